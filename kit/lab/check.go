package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
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
	// Warnings are about what does not make the lab unsound: a ledger that is out of date, a grade on too few seeds.
	Warnings []string `json:"warnings,omitempty"`
	Seeds    int      `json:"seeds"`
	Millis   int64    `json:"ms"`

	Tasks         []string                 `json:"tasks"` // of the lab, in order: the columns of the matrix
	StarterTasks  map[string]grade.Verdict `json:"starter_tasks,omitempty"`
	SolutionTasks map[string]grade.Verdict `json:"solution_tasks,omitempty"`
	Ledger        *FlakeLedger             `json:"ledger,omitempty"` // what a soak found out just now
}

// MutantProof compares a mutant's verdict with the pinned one. Want and Got are whole verdicts; Tasks has the
// tasks that do not pass or were pinned.
type MutantProof struct {
	Want  grade.Verdict        `json:"want"`
	Got   grade.Verdict        `json:"got"`
	About string               `json:"about,omitempty"`
	Tasks map[string]TaskProof `json:"tasks,omitempty"`
	Tests bool                 `json:"tests,omitempty"` // it is one of those that a student's tests are tried on
}

// TaskProof is one cell of the kill matrix.
type TaskProof struct {
	Want grade.Verdict `json:"want"`
	Got  grade.Verdict `json:"got"`
}

// Check proves that a lab is sound: its starter fails, its solution passes with full score, every mutant gets its
// pinned verdict, the solution's tests catch every wrong program, and the hints are of use.
func (g *Grader) Check(ctx context.Context, l *Lab, o Options) (_ Proof, err error) {
	if o.Seed == 0 {
		o.Seed = 1 // a check is the same each time
	}
	o.tested = &testsKnown{} // mutants keep the solution's tests, which say nothing about the mutants
	p := Proof{Lab: l.Slug, Mutants: map[string]MutantProof{}, OK: true, Seeds: o.Seeds, Tasks: l.Manifest.TaskNames()}
	if p.Seeds <= 0 {
		p.Seeds = l.Manifest.Seeds
	}
	if o.Shown == nil { // what a program is told may name its files and functions
		if g, err = g.together(ctx, l); err != nil {
			return p, err
		}
	}
	if err := g.checkStarter(ctx, l, o, &p); err != nil {
		return p, err
	}
	if err := g.checkSolution(ctx, l, o, &p); err != nil {
		return p, err
	}
	if err := g.checkMutants(ctx, l, o, &p); err != nil {
		return p, err
	}
	if err := g.checkTestMutants(ctx, l, o, &p); err != nil {
		return p, err
	}
	for _, f := range l.HintFaults() {
		p.fault("%s", f)
	}
	return p, nil
}

// together has the starter, the solution and the mutants compiled as one program.
func (g *Grader) together(ctx context.Context, l *Lab) (*Grader, error) {
	starter, err := l.Unsolved()
	solution, err2 := l.Reference()
	if err := errors.Join(err, err2); err != nil {
		return g, err
	}
	subs := []Submission{starter, solution}
	for _, m := range l.Mutants {
		if m.Tests {
			continue
		}
		sub, err := l.Mutated(m)
		if err != nil {
			return g, err
		}
		subs = append(subs, sub)
	}
	return g.withJoint(ctx, l, subs)
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

// sparedRuns is on how many runs a check judges those tasks of a mutant that its mistake leaves alone: that they pass on many seeds is
// what the solution shows, and here they show that the mistake is what its description says.
const sparedRuns = 5

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
	p.Starter, p.StarterTasks = r.Verdict, taskVerdicts(r)
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
	p.Solution, p.SolutionTasks = r.Verdict, taskVerdicts(r)
	if r.Verdict != grade.Pass || r.Score != r.Max {
		p.fault("the solution gets %s, %d of %d points: %s", r.Verdict, r.Score, r.Max, complaint(r))
	}
	return nil
}

func taskVerdicts(r *grade.Result) map[string]grade.Verdict {
	all := map[string]grade.Verdict{}
	for _, t := range r.Tasks {
		all[t.Name] = t.Verdict
	}
	return all
}

// checkMutants checks the mutants that are graded. Simulated ones are graded side by side, each with one run at a time: to build a
// program keeps one processor busy, and the others have runs to make meanwhile.
func (g *Grader) checkMutants(ctx context.Context, l *Lab, o Options, p *Proof) error {
	graded := slices.DeleteFunc(slices.Clone(l.Mutants), func(m Mutant) bool { return m.Tests })
	one, jobs := *g, 1
	if !l.Manifest.Kind.live() {
		jobs, one.Jobs = g.jobs(), 1
	}
	var saying sync.Mutex
	if g.Progress != nil {
		one.Progress = func(line string) {
			saying.Lock()
			defer saying.Unlock()
			g.Progress(line)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	proofs, todo := make([]Proof, len(graded)), make(chan int, len(graded))
	for i := range graded {
		proofs[i] = Proof{Mutants: map[string]MutantProof{}, OK: true}
		todo <- i
	}
	close(todo)
	var workers sync.WaitGroup
	for range jobs {
		workers.Go(func() {
			for i := range todo {
				if ctx.Err() != nil {
					return
				}
				if err := one.checkMutant(ctx, l, graded[i], o, &proofs[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	for _, q := range proofs {
		p.OK, p.Faults, p.Millis = p.OK && q.OK, append(p.Faults, q.Faults...), p.Millis+q.Millis
		maps.Copy(p.Mutants, q.Mutants)
	}
	return context.Cause(ctx)
}

func (g *Grader) checkMutant(ctx context.Context, l *Lab, m Mutant, o Options, p *Proof) error {
	sub, err := l.Mutated(m)
	want := m.Want(l)
	o.fewer = map[string]int{}
	for task, v := range want {
		if v == grade.Pass && l.Manifest.Kind == Code {
			o.fewer[task] = sparedRuns
		}
	}
	r, err := g.gradeFor(ctx, l, sub, err, o, p)
	if err != nil {
		return err
	}
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
		runs := o.tested.runsOf(testsKey{l.Slug, digest(ref.Tests), o.Seed}, m.Name) // from grading the solution
		if runs == nil {
			g.say("%s: tests with mutant %s", l.Slug, m.Name)
			if runs, err = g.runTests(ctx, l, wrong.Files, ref.Tests, o.Seed); err != nil {
				return fmt.Errorf("mutant %s: %w", m.Name, err)
			}
		}
		proof := MutantProof{Want: grade.Fail, Got: grade.Fail, About: m.About, Tests: true}
		if failed := len(runs.failed()); failed < len(runs) {
			proof.Got = grade.Pass
			p.fault("mutant %s passes the solution's tests, %d times of %d", m.Name, len(runs)-failed, len(runs))
		}
		proof.Tasks = map[string]TaskProof{l.Tests.Task: {Want: proof.Want, Got: proof.Got}}
		p.Mutants[m.Name] = proof
	}
	if tried == 0 {
		p.fault("it grades tests and has no mutant with tests: true")
	}
	return nil
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
