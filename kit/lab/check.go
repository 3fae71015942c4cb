package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"netsplit/kit/grade"
)

// Proof is what "netsplit check" found out about a lab. The JSON names are relied on outside the project.
type Proof struct {
	Lab      string                 `json:"lab"`
	Starter  grade.Verdict          `json:"starter"`
	Solution grade.Verdict          `json:"solution"`
	Mutants  map[string]MutantProof `json:"mutants"`
	OK       bool                   `json:"ok"`

	Faults []string `json:"faults,omitempty"` // what is wrong, in words
	Seeds  int      `json:"seeds"`
	Millis int64    `json:"ms"`
}

// MutantProof compares a mutant's verdict with the pinned one. Want and Got are whole verdicts; Tasks has the
// tasks that do not pass or were pinned.
type MutantProof struct {
	Want  grade.Verdict        `json:"want"`
	Got   grade.Verdict        `json:"got"`
	About string               `json:"about,omitempty"`
	Tasks map[string]TaskProof `json:"tasks,omitempty"`
}

// TaskProof is one cell of the kill matrix.
type TaskProof struct {
	Want grade.Verdict `json:"want"`
	Got  grade.Verdict `json:"got"`
}

// Check proves that a lab is sound: its starter fails, its solution passes with full score, every mutant gets its
// pinned verdict, and the solution's tests catch every wrong program.
func (g *Grader) Check(ctx context.Context, l *Lab, o Options) (Proof, error) {
	if o.Seed == 0 {
		o.Seed = 1 // a check is the same each time
	}
	p := Proof{Lab: l.Slug, Mutants: map[string]MutantProof{}, OK: true, Seeds: o.Seeds}
	if p.Seeds <= 0 {
		p.Seeds = l.Manifest.Seeds
	}
	if err := g.checkStarter(ctx, l, o, &p); err != nil {
		return p, err
	}
	if err := g.checkSolution(ctx, l, o, &p); err != nil {
		return p, err
	}
	for _, m := range l.Mutants {
		if m.Tests {
			continue
		}
		if err := g.checkMutant(ctx, l, m, o, &p); err != nil {
			return p, err
		}
	}
	return p, g.checkTestMutants(ctx, l, o, &p)
}

func (p *Proof) fault(format string, args ...any) {
	p.OK = false
	p.Faults = append(p.Faults, fmt.Sprintf(format, args...))
}

func (g *Grader) gradeFor(ctx context.Context, l *Lab, sub Submission, err error, o Options, p *Proof) (*grade.Result, error) {
	if err != nil {
		return nil, err
	}
	g.say("%s: %s", l.Slug, sub.Name)
	for tries := 1; ; tries++ {
		r, err := g.Grade(ctx, l, sub, o)
		if err != nil {
			return nil, err
		}
		p.Millis += r.Millis
		if tries == calmTries || !starved(r) {
			return r, nil
		}
		g.say("%s: %s once more, the machine was busy", l.Slug, sub.Name)
		select {
		case <-time.After(calmPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// A check grades again what a busy machine made unclear, so many times in all and after such a pause: it asks what the lab
// is worth, not what the machine is.
const (
	calmTries = 4
	calmPause = 3 * time.Second
)

// starved reports whether a result on a real cluster is unclear and the grader was kept from running meanwhile.
func starved(r *grade.Result) bool {
	return r.Kind == string(Script) && time.Duration(r.LagMillis)*time.Millisecond >= starvedAfter &&
		slices.ContainsFunc(r.Tasks, func(t grade.Task) bool { return t.Verdict == grade.Inconclusive })
}

func (g *Grader) checkStarter(ctx context.Context, l *Lab, o Options, p *Proof) error {
	sub, err := l.Unsolved()
	o.Seeds = 1 // one failing run is enough
	r, err := g.gradeFor(ctx, l, sub, err, o, p)
	if err != nil {
		return err
	}
	p.Starter = r.Verdict
	switch {
	case r.Verdict != grade.Fail:
		p.fault("the starter gets %s, not fail", r.Verdict)
	case r.Problem != "":
		p.fault("the starter cannot be run: %s", firstLine(r.Problem))
	}
	return nil
}

func (g *Grader) checkSolution(ctx context.Context, l *Lab, o Options, p *Proof) error {
	sub, err := l.Reference()
	r, err := g.gradeFor(ctx, l, sub, err, o, p)
	if err != nil {
		return err
	}
	if p.Solution = r.Verdict; r.Verdict != grade.Pass || r.Score != r.Max {
		p.fault("the solution gets %s, %d of %d points: %s", r.Verdict, r.Score, r.Max, complaint(r))
	}
	return nil
}

func (g *Grader) checkMutant(ctx context.Context, l *Lab, m Mutant, o Options, p *Proof) error {
	sub, err := l.Mutated(m)
	r, err := g.gradeFor(ctx, l, sub, err, o, p)
	if err != nil {
		return err
	}
	want := m.Want(l)
	proof := MutantProof{Want: overall(want), Got: r.Verdict, About: m.About, Tasks: map[string]TaskProof{}}
	if r.Problem != "" {
		p.fault("mutant %s cannot be run: %s", m.Name, firstLine(r.Problem))
	}
	for _, t := range r.Tasks {
		if want[t.Name] != grade.Pass || t.Verdict != grade.Pass {
			proof.Tasks[t.Name] = TaskProof{Want: want[t.Name], Got: t.Verdict}
		}
		if want[t.Name] != t.Verdict {
			p.fault("mutant %s: task %s gets %s, pinned is %s%s", m.Name, t.Name, t.Verdict, want[t.Name], because(t.Why))
		}
	}
	p.Mutants[m.Name] = proof
	return nil
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

// overall gives the verdict of a result with these task verdicts.
func overall(tasks map[string]grade.Verdict) grade.Verdict {
	all := grade.Pass
	for _, v := range tasks {
		switch v {
		case grade.Fail:
			return grade.Fail
		case grade.Inconclusive:
			all = grade.Inconclusive
		}
	}
	return all
}

// checkTestMutants proves that the solution's own tests catch each wrong program, so that a student's can.
func (g *Grader) checkTestMutants(ctx context.Context, l *Lab, o Options, p *Proof) error {
	if l.Tests == nil {
		return nil
	}
	ref, err := l.Reference()
	if err != nil {
		return err
	}
	tried := 0
	for _, m := range l.Mutants {
		if !m.Tests {
			continue
		}
		tried++
		wrong, err := l.Mutated(m)
		if err != nil {
			return err
		}
		g.say("%s: tests with mutant %s", l.Slug, m.Name)
		report, err := g.runTests(ctx, l, wrong.Files, ref.Tests, o.Seed)
		if err != nil {
			return fmt.Errorf("mutant %s: %w", m.Name, err)
		}
		proof := MutantProof{Want: grade.Fail, Got: grade.Fail, About: m.About}
		if report.Passed {
			proof.Got = grade.Pass
			p.fault("mutant %s passes the solution's tests", m.Name)
		}
		p.Mutants[m.Name] = proof
	}
	if tried == 0 {
		p.fault("it grades tests and has no mutant with tests: true")
	}
	return nil
}

// Matrix prints the kill matrix: a line for each mutant, what it got for each task that tells it from the
// solution.
func (p Proof) Matrix() string {
	var b strings.Builder
	var names []string
	for n := range p.Mutants {
		names = append(names, n)
	}
	slices.Sort(names)
	width := 0
	for _, n := range names {
		width = max(width, len(n))
	}
	for _, n := range names {
		m := p.Mutants[n]
		mark := "caught"
		if m.Want != m.Got {
			mark = "SURVIVED"
		}
		fmt.Fprintf(&b, "  %-*s  %-8s  %s\n", width, n, mark, m.cells())
	}
	return b.String()
}

func (m MutantProof) cells() string {
	var cells []string
	for task, t := range m.Tasks {
		cell := fmt.Sprintf("%s %s", task, t.Got)
		if t.Got != t.Want {
			cell += fmt.Sprintf(" (pinned %s)", t.Want)
		}
		cells = append(cells, cell)
	}
	slices.Sort(cells)
	return strings.Join(cells, ", ")
}

// complaint gives the first reason why a result is no pass.
func complaint(r *grade.Result) string {
	if r.Problem != "" {
		return firstLine(r.Problem)
	}
	for _, t := range r.Tasks {
		if t.Verdict != grade.Pass {
			return fmt.Sprintf("%s %s with seed %d: %s", t.Name, t.Verdict, t.Seed, t.Why)
		}
	}
	return "no complaint"
}
