package main

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"slices"
	"testing"

	"netsplit/kit/lab"
)

var everyMutant = flag.Bool("every-mutant", false, "check all labs whose programs are simulated with all their wrong answers: some five minutes more")

// TestLabsAreSound has the program that users have check every lab and lesson: starters fail, solutions pass, wrong answers get their
// verdicts. To compile and grade a wrong program keeps a processor busy for five seconds, and there are a hundred and more. So a
// lab whose ledger is up to date, which has the runs of all of them, is checked with one for each task; a lab that was changed since, with
// all, as "netsplit check" does. Wrong answers to labs on real clusters mostly wait, and all of them are tried.
func TestLabsAreSound(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it takes two minutes")
	}
	all, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	program := buildProgram(t)
	var live, changed, recorded []string
	for _, l := range all.All() {
		switch {
		case l.Manifest.Kind != lab.Code:
			live = append(live, l.Slug)
		case *everyMutant || !l.OnRecord():
			changed = append(changed, l.Slug)
		default:
			recorded = append(recorded, l.Slug)
		}
	}
	t.Run("live", func(t *testing.T) {
		t.Parallel()
		wantSound(t, program, live)
	})
	t.Run("code", func(t *testing.T) {
		t.Parallel()
		wantSound(t, program, recorded, "--quick")
		wantSound(t, program, changed)
	})
	t.Run("lessons", func(t *testing.T) {
		if _, err := loadCourse(); err != nil {
			t.Error(err)
		}
	})
}

// wantSound has labs checked, in a folder of its own.
func wantSound(t *testing.T, program string, slugs []string, flags ...string) {
	if len(slugs) == 0 {
		return // check without a name checks all labs
	}
	cmd := exec.CommandContext(t.Context(), program, slices.Concat([]string{"check", "--json"}, flags, slugs)...)
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
		sound[p.Lab] = len(p.Mutants)+p.Left >= 3 && len(p.Mutants) > 0 && p.OK
	}
	for _, slug := range slugs {
		if !sound[slug] {
			t.Errorf("lab %s is not sound with at least three wrong answers\n%s", slug, out)
		}
	}
}
