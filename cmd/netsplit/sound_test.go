package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"netsplit/labs"
)

// TestLabsAreSound builds the program as a user does, without the race detector under which compiling a lab's program for
// the simulator takes a minute each time, and has it check every lab and lesson: starters fail, solutions pass, every wrong
// answer gets its verdict.
func TestLabsAreSound(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it takes some two minutes")
	}
	program := filepath.Join(t.TempDir(), "netsplit")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), program, "check", "--json")
	cmd.Dir = t.TempDir() // the program works in any folder
	cmd.Env = append(os.Environ(), "NETSPLIT_HOME="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("netsplit check: %v\n%s", err, out)
	}
	var proofs []struct {
		Lab     string
		Mutants map[string]struct{ Want, Got any }
		OK      bool
	}
	if err := json.Unmarshal(out, &proofs); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sound := map[string]bool{}
	for _, p := range proofs {
		sound[p.Lab] = len(p.Mutants) >= 3 && p.OK
	}
	for _, l := range labs.All() {
		if !sound[l.Slug] {
			t.Errorf("lab %s is not sound with at least three wrong answers\n%s", l.Slug, out)
		}
	}
}
