package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"netsplit/kit"
	"netsplit/kit/grade"
)

// suiteSeeds is how often tests are run with each program: tests are worth what they say every time.
const suiteSeeds = 3

const suiteWant = "tests that pass with the right program and fail with each wrong one"

// gradeTests judges the tests a student wrote: they must pass with the solution, and fail with the wrong programs.
// They are compiled with each and run in the sandbox, where all they can do is pass or fail for a program that
// they are not told: always passing catches no wrong program, and always failing fails the right one, so neither
// scores.
func (g *Grader) gradeTests(ctx context.Context, l *Lab, sub Submission, o Options, r *grade.Result) error {
	t := taskIn(r, l.Tests.Task)
	t.Seed, t.Replay = o.Seed, ""
	key := testsKey{l.Slug, digest(sub.Tests), o.Seed}
	f, known := o.tested.find(key)
	if !known {
		var err error
		f, err = g.judgeTests(ctx, l, sub, o, r)
		var late *Exhausted
		if errors.As(err, &late) {
			r.Budgets = append(r.Budgets, late.Error())
			t.Explain(grade.Unclear(late.Error()+", so your tests were not judged"), nil)
			return nil
		}
		if err != nil {
			return &kit.Error{Op: "grade tests", What: l.Slug, Kind: kit.Broken, Err: err}
		}
		o.tested.keep(key, f)
	}
	t.Explain(f, nil)
	return nil
}

// testsKnown is what tests got before, and what became of each wrong program with them; nil knows nothing and keeps nothing.
type testsKnown struct {
	mu    sync.Mutex
	found map[testsKey]grade.Finding
	runs  map[testsKey]map[string]testRuns // by the wrong program's name
}

// testsKey tells tests apart, of one lab and on one first seed.
type testsKey struct {
	lab, digest string
	seed        uint64
}

func (k *testsKnown) find(key testsKey) (f grade.Finding, known bool) {
	if k == nil {
		return f, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	f, known = k.found[key]
	return f, known
}

func (k *testsKnown) keep(key testsKey, f grade.Finding) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.found == nil {
		k.found = map[testsKey]grade.Finding{}
	}
	k.found[key] = f
}

// keepRuns keeps what became of the wrong programs.
func (k *testsKnown) keepRuns(key testsKey, wrong []Mutant, runs []testRuns) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.runs == nil {
		k.runs = map[testsKey]map[string]testRuns{}
	}
	k.runs[key] = map[string]testRuns{}
	for i, m := range wrong {
		k.runs[key][m.Name] = runs[i]
	}
}

// runsOf gives what became of a wrong program; nil when it was not tried.
func (k *testsKnown) runsOf(key testsKey, name string) testRuns {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.runs[key][name]
}

func taskIn(r *grade.Result, name string) *grade.Task {
	for i := range r.Tasks {
		if r.Tasks[i].Name == name {
			return &r.Tasks[i]
		}
	}
	return &grade.Task{} // Load refuses a suite for a task that is not there
}

func (g *Grader) judgeTests(ctx context.Context, l *Lab, sub Submission, o Options, r *grade.Result) (grade.Finding, error) {
	if len(sub.Tests) == 0 {
		return grade.Failed("there is no test file", suiteWant, "no file that ends in _test.go"), nil
	}
	if given, err := l.Unsolved(); err != nil || digest(given.Tests) == digest(sub.Tests) { // nothing need be compiled for that
		return grade.Failed("the tests are still those that you were given", suiteWant, "no test of yours"), err
	}
	if where, what := peeks(sub.Tests); what != "" {
		return grade.Failed(fmt.Sprintf("the tests import %s, with which they could tell programs apart by how they are built", what),
			"tests that judge by what the program does", fmt.Sprintf("import %q in %s", what, where)), nil
	}
	ref, err := l.Reference()
	if err != nil {
		return grade.Finding{}, err
	}
	g.say("running your tests with a right program")
	runs, err := g.runTests(ctx, l, ref.Files, sub.Tests, o.Seed)
	var c *CompileError
	if errors.As(err, &c) {
		return grade.Failed("the tests do not compile with a right program that has the starter's functions and types", suiteWant, c.Text), nil
	}
	if err != nil {
		return grade.Finding{}, err
	}
	if failed := runs.failed(); len(failed) > 0 {
		r.Output = grade.Clean(failed[0].Output)
		return falseAlarm(runs, failed, o.Seed), nil
	}
	if strings.Contains(runs[0].Output, "no tests to run") {
		return grade.Failed("there is no test in the test files", suiteWant, "no function TestXxx(t *testing.T)"), nil
	}
	return g.tryMutants(ctx, l, sub, o)
}

// falseAlarm explains tests that fail with a right program.
func falseAlarm(runs, failed testRuns, seed uint64) grade.Finding {
	said := orText(failed[0].Why, failures(failed[0].Output))
	switch {
	case len(failed) < len(runs):
		text := ""
		for i, r := range runs {
			text += fmt.Sprintf("seed %d: %s\n", seed+uint64(i), passOrFail(r.Passed))
		}
		return grade.Failed("the tests pass with a right program, and fail with the same program when they are run again: what they say depends on chance",
			"tests that say the same every time; what is random, or depends on the time of day or the order of a map, has no place in what they compare", text+said)
	case failed[0].Why != "":
		return grade.Failed("the tests do not come to an end with a right program", fmt.Sprintf("tests that end by themselves, after at most %v of computing", testCPU), said)
	}
	return grade.Failed("the tests fail with a right program, so they ask for what the task does not promise", "tests that pass with it", said)
}

func passOrFail(passed bool) string {
	if passed {
		return "pass"
	}
	return "fail"
}

// maxFailureLines is how much of a failing test is shown.
const maxFailureLines = 12

// failures takes out of a test binary's output what the tests that failed said; all of its end when none says so.
func failures(output string) string {
	var lines []string
	inside := false
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		text := strings.TrimLeft(line, " ")
		switch {
		case strings.HasPrefix(text, "--- FAIL"):
			inside = true
		case strings.HasPrefix(text, "---"), strings.HasPrefix(text, "==="), line == text:
			inside = false
		}
		if inside {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 || strings.Contains(output, "panic: ") {
		return lastLines(output, maxFailureLines)
	}
	if more := len(lines) - maxFailureLines; more > 0 {
		lines = append(lines[:maxFailureLines], fmt.Sprintf("(%d more lines)", more))
	}
	return strings.Join(lines, "\n")
}

// firstFailure is what failures gives in a line.
func firstFailure(output string) string {
	return strings.TrimPrefix(firstLine(failures(output)), "--- FAIL: ")
}

// tryMutants runs tests that accept the right program with each wrong one.
func (g *Grader) tryMutants(ctx context.Context, l *Lab, sub Submission, o Options) (grade.Finding, error) {
	var wrong []Mutant
	for _, m := range l.Mutants {
		if m.Tests {
			wrong = append(wrong, m)
		}
	}
	runs, err := g.runMutants(ctx, l, wrong, sub, o.Seed)
	if err != nil {
		return grade.Finding{}, err
	}
	o.tested.keepRuns(testsKey{l.Slug, digest(sub.Tests), o.Seed}, wrong, runs)
	var missed, byLuck []Mutant
	for i, m := range wrong {
		switch n := len(runs[i].failed()); {
		case n == 0:
			missed = append(missed, m)
		case n < len(runs[i]):
			byLuck = append(byLuck, m)
		}
	}
	total := len(wrong)
	caught := total - len(missed) - len(byLuck)
	need := l.Tests.Catch
	if need <= 0 || need > total {
		need = total
	}
	if caught >= need {
		return grade.Passed(), nil
	}
	actual := fmt.Sprintf("%d caught, %d not", caught, total-caught)
	if len(missed) > 0 {
		actual += "; one of those that were not goes wrong in " + missed[0].Clue
	} else {
		actual += "; one of those that were not fails the tests now and then: it goes wrong in " + byLuck[0].Clue
	}
	f := grade.Failed(fmt.Sprintf("%d of %d wrong programs pass the tests", total-caught, total),
		fmt.Sprintf("at least %d of %d wrong programs caught, every time", need, total), actual)
	f.Credit = float64(caught) / float64(total)
	return f, nil
}

// testJobs is how many programs are compiled and tested at once.
func (g *Grader) testJobs() int { return min(g.jobs(), cmp.Or(g.TestJobs, 2)) }

// runMutants runs tests with wrong programs, by itself two at a time, because most of it is compiling.
func (g *Grader) runMutants(ctx context.Context, l *Lab, wrong []Mutant, sub Submission, seed uint64) ([]testRuns, error) {
	runs, errs := make([]testRuns, len(wrong)), make([]error, len(wrong))
	next := make(chan int) // closed below, when all are handed out
	var workers sync.WaitGroup
	for range min(g.testJobs(), len(wrong)) {
		workers.Go(func() {
			for i := range next {
				program, err := l.Mutated(wrong[i])
				if err == nil {
					runs[i], err = g.runTests(ctx, l, program.Files, sub.Tests, seed)
				}
				if err != nil { // the mutant compiles with the solution's tests: "netsplit check" sees to that
					errs[i] = fmt.Errorf("mutant %s: %w", wrong[i].Name, err)
				}
			}
		})
	}
	for i := range wrong {
		g.say("running your tests with a wrong program (%d of %d)", i+1, len(wrong))
		next <- i
	}
	close(next)
	workers.Wait()
	return runs, errors.Join(errs...)
}

// testRuns is what became of tests that were run with one program, with several seeds.
type testRuns []TestReport

func (r testRuns) failed() testRuns {
	var all testRuns
	for _, t := range r {
		if !t.Passed {
			all = append(all, t)
		}
	}
	return all
}

// runTests compiles the root package of a program together with test files, and runs the tests with several seeds.
func (g *Grader) runTests(ctx context.Context, l *Lab, program, tests map[string][]byte, seed uint64) (testRuns, error) {
	p, err := g.buildTests(ctx, l, program, tests)
	if err != nil {
		return nil, err
	}
	seeds := make([]uint64, suiteSeeds)
	for i := range seeds {
		seeds[i] = seed + uint64(i)
	}
	return g.Env.Test(ctx, p, seeds...)
}

func (g *Grader) buildTests(ctx context.Context, l *Lab, program, tests map[string][]byte) (Program, error) {
	if tests == nil {
		tests = map[string][]byte{}
	}
	return g.Env.Build(ctx, Source{Module: l.Slug, Files: program, Tests: tests})
}

func orText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
