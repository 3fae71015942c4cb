package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"netsplit/kit/class"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
)

// A panic is no verdict: it ends with the status of a broken harness, and tells what to report.
func TestPanicIsABrokenHarness(t *testing.T) {
	var said bytes.Buffer
	var none map[string]int
	code := guarded(&said, []string{"grade", "my work", "--seed", "3"}, func() int {
		none["x"] = 1
		return grade.ExitPass
	})
	if code != grade.ExitBroken {
		t.Errorf("status %d", code)
	}
	lines := strings.Split(said.String(), "\n")
	if want := "netsplit: this is a fault of netsplit itself, and says nothing about your work: panic: assignment to entry in nil map"; lines[0] != want {
		t.Errorf("it begins %q", lines[0])
	}
	for _, want := range []string{"\nhint: please report it", "called as: netsplit grade \"my work\" --seed 3\n", "root_test.go:"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q is not in\n%s", want, said.String())
		}
	}
	said.Reset()
	if code := guarded(&said, nil, func() int { return grade.ExitInconclusive }); code != grade.ExitInconclusive || said.Len() > 0 {
		t.Errorf("status %d, said %q", code, said.String())
	}
}

// A class is graded without a search for shorter runs, unless it is asked for; a single grade has one, unless it is not.
func TestWhoShrinks(t *testing.T) {
	for _, c := range []struct {
		f          gradeFlags
		one, class bool
	}{{gradeFlags{}, true, false}, {gradeFlags{shrink: true}, true, true}, {gradeFlags{noShrink: true}, false, false}} {
		args := childArgs(&lab.Lab{Definition: lab.Definition{Slug: "x"}}, 4, class.Member{Seed: 3}, c.f)
		if got := !slices.Contains(args, "--no-shrink"); got != c.class || strings.Join(args[:8], " ") != "grade DIR --lab x --seed SEED --seeds 4" {
			t.Errorf("%+v: a member of a class is graded with %q", c.f, args)
		}
		if got := c.f.shrinking(true).Runs > 0; got != c.one {
			t.Errorf("%+v: a grade shrinks: %v", c.f, got)
		}
	}
}
