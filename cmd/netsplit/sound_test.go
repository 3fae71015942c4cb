package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"netsplit/kit/lab"
)

// TestLabsAreSound has the program that users have check every lab and lesson: starters fail, solutions pass, all wrong answers get
// their verdicts. Labs on real clusters mostly wait, so they are checked beside those that keep the processors busy.
func TestLabsAreSound(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it takes two minutes")
	}
	t.Parallel()
	all, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	program := buildProgram(t)
	var live, code []string
	for _, l := range all.All() {
		if l.Manifest.Kind == lab.Code {
			code = append(code, l.Slug)
		} else {
			live = append(live, l.Slug)
		}
	}
	for name, slugs := range map[string][]string{"live": live, "code": code} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantSound(t, program, slugs)
		})
	}
	t.Run("lessons", func(t *testing.T) {
		if _, err := loadCourse(); err != nil {
			t.Error(err)
		}
	})
}

// wantSound has labs checked, in a folder of its own.
func wantSound(t *testing.T, program string, slugs []string) {
	cmd := exec.CommandContext(t.Context(), program, append([]string{"check", "--json"}, slugs...)...)
	cmd.Dir = t.TempDir() // the program works in any folder
	cmd.Env = append(os.Environ(), "NETSPLIT_HOME="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("netsplit check: %v\n%s", err, out)
	}
	var proofs []lab.Proof
	if err := json.Unmarshal(out, &proofs); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sound := map[string]bool{}
	for _, p := range proofs {
		sound[p.Lab] = len(p.Mutants) >= 3 && p.OK
	}
	for _, slug := range slugs {
		if !sound[slug] {
			t.Errorf("lab %s is not sound with at least three wrong answers\n%s", slug, out)
		}
	}
}
