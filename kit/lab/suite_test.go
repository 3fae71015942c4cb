package lab

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit/grade"
)

// TestTestsAreJudged has tests of every kind that students hand in, and what they are told about them.
func TestTestsAreJudged(t *testing.T) {
	l := find(t, fakeCatalog(t), "counter")
	for _, c := range []struct{ tests, why, expected, actual string }{
		{"always FAIL", "the tests fail with a right program, so they ask for what the task does not promise", "tests that pass with it", "FAIL"},
		{"ask too much", "the tests fail with a right program, so they ask for what the task does not promise", "tests that pass with it",
			"--- FAIL: TestOne (0.00s)\n    main_test.go:7: 1 is not 2\n    --- FAIL: TestOne/part (0.00s)\n        main_test.go:9: nor is 3\n" +
				"--- FAIL: TestThree (0.00s)\n    main_test.go:20: it prints:\n        two lines"},
		{"fail now and then", "what they say depends on chance", "tests that say the same every time",
			"seed 1: fail\nseed 2: pass\nseed 3: fail\n--- FAIL: TestChance (0.00s)\n    main_test.go:7: tails"},
		{"never end", "the tests do not come to an end with a right program", "at most 20s of computing", "spinning: it did not become idle"},
		{"no function", "there is no test in the test files", "tests that pass with the right program", "no function TestXxx"},
		{"always PASS", "1 of 1 wrong programs pass the tests", "at least 1 of 1", "0 caught, 1 not; one of those that were not goes wrong in what an increment adds"},
		{"fail now and then with wrong ones", "1 of 1 wrong programs pass the tests", "caught, every time",
			"0 caught, 1 not; one of those that were not fails the tests now and then: it goes wrong in what an increment adds"},
	} {
		r, err := (&Grader{Env: fakeEnv()}).Grade(context.Background(), l, program("func step() int { return 1 }", c.tests), Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		got := taskIn(r, "tests")
		if got.Verdict != "fail" || got.Score != 0 || !strings.Contains(got.Why, c.why) || !strings.Contains(got.Expected, c.expected) ||
			!strings.Contains(got.Actual, c.actual) {
			t.Errorf("tests that %s: %s %d\nwhy %s\nexpected %s\nactual %s", c.tests, got.Verdict, got.Score, got.Why, got.Expected, got.Actual)
		}
	}
}

// TestGivenTestsAreNotTried: tests that nobody has touched are told so, and nothing is compiled with them; nor with any tests while
// the task that theirs builds on has not passed.
func TestGivenTestsAreNotTried(t *testing.T) {
	l := find(t, fakeCatalog(t), "counter")
	given, err := l.Unsolved()
	if err != nil || len(given.Tests) == 0 {
		t.Fatal(err, "the starter has no tests")
	}
	right, err := l.Reference()
	if err != nil {
		t.Fatal(err)
	}
	env := fakeEnv()
	env.Test = func(context.Context, Program, ...uint64) ([]TestReport, error) {
		return nil, errors.New("they were run")
	}
	for _, c := range []struct {
		program map[string][]byte
		verdict grade.Verdict
		why     string
	}{
		{right.Files, grade.Fail, "the tests are still those that you were given"},
		{given.Files, grade.Skipped, `not judged, because "count" has not passed`},
	} {
		r, err := (&Grader{Env: env}).Grade(context.Background(), l, Submission{Name: "work", Files: c.program, Tests: given.Tests}, Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := taskIn(r, "tests"); got.Verdict != c.verdict || got.Score != 0 || got.Why != c.why {
			t.Errorf("%+v", got)
		}
	}
}

// TestCaughtMutantsScore: who catches some of the wrong programs gets their share of the points.
func TestCaughtMutantsScore(t *testing.T) {
	l := find(t, fakeCatalog(t), "counter")
	forgets := l.Mutants[1]
	same := forgets // one that no test can catch: it is right
	same.Name, same.Clue, same.Edits = "same", "nothing", nil
	l.Mutants = append(l.Mutants, forgets, same)
	r, err := (&Grader{Env: fakeEnv()}).Grade(context.Background(), l, program("func step() int { return 1 }", "real"), Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := taskIn(r, "tests"); got.Score != 20 || !strings.Contains(got.Actual, "2 caught, 1 not") || strings.Contains(got.Actual, forgets.Clue) {
		t.Errorf("%+v", got)
	}
}

// TestTestJobs: where there is memory for one compiler only, no second one is started beside it.
func TestTestJobs(t *testing.T) {
	l := find(t, fakeCatalog(t), "counter")
	l.Mutants = append(l.Mutants, l.Mutants[1], l.Mutants[1], l.Mutants[1])
	for _, c := range []struct{ jobs, testJobs, want int }{
		{jobs: 4, testJobs: 1, want: 1},
		{jobs: 4, want: 2},
		{jobs: 4, testJobs: 2, want: 2},
		{jobs: 1, testJobs: 2, want: 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			env := fakeEnv()
			var mu sync.Mutex
			now, most := 0, 0
			count := func(by int) {
				mu.Lock()
				defer mu.Unlock()
				now += by
				most = max(most, now)
			}
			build := env.Build
			env.Build = func(ctx context.Context, src Source) (Program, error) {
				if src.Tests == nil {
					return build(ctx, src)
				}
				count(1)
				defer count(-1)
				time.Sleep(time.Second) // in the bubble's time, which moves when all of them wait
				return build(ctx, src)
			}
			g := &Grader{Env: env, Jobs: c.jobs, TestJobs: c.testJobs}
			r, err := g.Grade(t.Context(), l, program("func step() int { return 1 }", "real"), Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			if got := taskIn(r, "tests"); got.Verdict != grade.Pass || most != c.want {
				t.Errorf("%+v: %d at once, want %d; %s", c, most, c.want, got.Why)
			}
		})
	}
}

func TestFailuresAreCut(t *testing.T) {
	long := "--- FAIL: TestLong (0.00s)\n" + strings.Repeat("    main_test.go:1: no\n", 30)
	if got := failures(long); strings.Count(got, "\n") != maxFailureLines || !strings.HasSuffix(got, "(19 more lines)") {
		t.Errorf("%q", got)
	}
	panicked := "--- FAIL: TestOne (0.00s)\npanic: boom [recovered]\n\ngoroutine 1 [running]:\n"
	if got := failures(panicked); !strings.Contains(got, "panic: boom") {
		t.Errorf("%q", got)
	}
}
