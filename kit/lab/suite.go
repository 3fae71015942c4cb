package lab

import (
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"strconv"
	"strings"

	"netsplit/kit"
	"netsplit/kit/grade"
)

// gradeTests judges the tests a student wrote: they must pass with the solution, and fail with the wrong programs.
// They are compiled with each and run in the sandbox, where all they can do is pass or fail for a program that
// they are not told: always passing catches no wrong program, and always failing fails the right one, so neither
// scores.
func (g *Grader) gradeTests(ctx context.Context, l *Lab, sub Submission, o Options, r *grade.Result) error {
	t := taskIn(r, l.Tests.Task)
	t.Seed, t.Replay = o.Seed, ""
	f, err := g.judgeTests(ctx, l, sub, o.Seed, r)
	var late *Exhausted
	if errors.As(err, &late) {
		r.Budgets = append(r.Budgets, late.Error())
		f, err = grade.Unclear(late.Error()+", so your tests were not judged"), nil
	}
	if err != nil {
		return &kit.Error{Op: "grade tests", What: l.Slug, Kind: kit.Broken, Err: err}
	}
	t.Explain(f, nil)
	return nil
}

func taskIn(r *grade.Result, name string) *grade.Task {
	for i := range r.Tasks {
		if r.Tasks[i].Name == name {
			return &r.Tasks[i]
		}
	}
	return &grade.Task{} // Load refuses a suite for a task that is not there
}

func (g *Grader) judgeTests(ctx context.Context, l *Lab, sub Submission, seed uint64, r *grade.Result) (grade.Finding, error) {
	const want = "tests that pass with the right program and fail with each wrong one"
	if len(sub.Tests) == 0 {
		return grade.Failed("there is no test file", want, "no file that ends in _test.go"), nil
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
	report, err := g.runTests(ctx, l, ref.Files, sub.Tests, seed)
	var c *CompileError
	if errors.As(err, &c) {
		return grade.Failed("the tests do not compile with a right program that has the starter's functions and types", want, c.Text), nil
	}
	if err != nil {
		return grade.Finding{}, err
	}
	if !report.Passed {
		r.Output = grade.Clean(report.Output)
		return grade.Failed("the tests fail with a right program", "tests that pass with it", orText(report.Why, lastLines(report.Output, 12))), nil
	}
	return g.tryMutants(ctx, l, sub, seed)
}

// peeks finds the first import of test files that shows more of a program than what it does: its lines, its code, its
// memory. What cannot be parsed is left to the compiler.
func peeks(tests map[string][]byte) (where, what string) {
	for _, name := range names(tests) {
		f, err := parser.ParseFile(token.NewFileSet(), name, tests[name], parser.ImportsOnly)
		if err != nil {
			continue
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			switch top, _, _ := strings.Cut(path, "/"); top {
			case "runtime", "unsafe", "debug", "syscall":
				return name, path
			}
		}
	}
	return "", ""
}

func (g *Grader) tryMutants(ctx context.Context, l *Lab, sub Submission, seed uint64) (grade.Finding, error) {
	total, caught := 0, 0
	var missed []string
	for _, m := range l.Mutants {
		if !m.Tests {
			continue
		}
		total++
		wrong, err := l.Mutated(m)
		if err != nil {
			return grade.Finding{}, err
		}
		g.say("running your tests with a wrong program (%d)", total)
		report, err := g.runTests(ctx, l, wrong.Files, sub.Tests, seed)
		if err != nil { // the mutant compiles with the solution's tests: "netsplit check" sees to that
			return grade.Finding{}, fmt.Errorf("mutant %s: %w", m.Name, err)
		}
		if report.Passed {
			missed = append(missed, m.About)
		} else {
			caught++
		}
	}
	need := l.Tests.Catch
	if need <= 0 || need > total {
		need = total
	}
	if caught >= need {
		return grade.Passed(), nil
	}
	f := grade.Failed(fmt.Sprintf("the tests pass although the program is wrong, %d times of %d", total-caught, total),
		fmt.Sprintf("at least %d of %d wrong programs caught", need, total),
		fmt.Sprintf("%d caught; one that was not: it %s", caught, missed[0]))
	f.Credit = float64(caught) / float64(total)
	return f, nil
}

// runTests compiles the root package of a program together with test files, and runs the tests.
func (g *Grader) runTests(ctx context.Context, l *Lab, program, tests map[string][]byte, seed uint64) (TestReport, error) {
	if tests == nil {
		tests = map[string][]byte{}
	}
	p, err := g.Env.Build(ctx, Source{Module: l.Slug, Files: program, Tests: tests})
	if err != nil {
		return TestReport{}, err
	}
	return g.Env.Test(ctx, p, seed)
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
