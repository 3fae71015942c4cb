package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
)

// SoakOptions says how long to soak.
type SoakOptions struct {
	Seed uint64 // the first; 0 is 1
	Runs int    // of the solution; the others get an eighth, ten at least
	// Partial is a file that keeps what was run, so that a soak that was interrupted goes on where it stood; it is
	// removed in the end. "" keeps nothing.
	Partial string
	// Tell is told what is begun and how long it may take, a line at a time; nil is silent.
	Tell func(line string)
}

const (
	soakShare = 8
	soakLeast = 10
)

// soaker is one soak under way.
type soaker struct {
	g    *Grader
	l    *Lab
	o    SoakOptions
	done *partial
	left int // runs still to make
	made int // runs made in this process
	took time.Duration
	mu   sync.Mutex
}

// soakRun is one run of one program: its verdict for each task, and why those that did not pass did not.
type soakRun struct {
	Who   string                   `json:"who"`
	Seed  uint64                   `json:"seed"`
	Tasks map[string]grade.Verdict `json:"tasks"`
	Why   map[string]string        `json:"why,omitempty"`
}

// soaked is a program to soak.
type soaked struct {
	who  string
	runs int
	want map[string]grade.Verdict
	// run makes one run. It is made on first use, because it compiles.
	ready func(ctx context.Context) (func(ctx context.Context, seed uint64) (soakRun, error), error)
}

// Soak grades the solution on many seeds, and the starter and every mutant on a share of them, none of which stops at
// a failure, and sums it up.
func (g *Grader) Soak(ctx context.Context, l *Lab, o SoakOptions) (*FlakeLedger, error) {
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Runs < 1 || o.Runs > maxSeeds {
		return nil, &kit.Error{Op: "soak", What: l.Slug, Kind: kit.Invalid, Err: fmt.Errorf("%d runs", o.Runs), Hint: fmt.Sprintf("1 to %d", maxSeeds)}
	}
	digest, err := l.soakDigest()
	if err != nil {
		return nil, err
	}
	done, err := openPartial(o.Partial, partialHead{Lab: l.Slug, Digest: digest, Version: g.Version})
	if err != nil {
		return nil, err
	}
	defer done.close()
	s := &soaker{g: g, l: l, o: o, done: done}
	programs, err := s.programs()
	if err != nil {
		return nil, err
	}
	s.announce(programs)
	for _, p := range programs {
		if err := s.soak(ctx, p); err != nil {
			return nil, err
		}
	}
	led := s.sum(programs, digest)
	return led, done.remove()
}

// programs lists what is to be run.
func (s *soaker) programs() ([]soaked, error) {
	share := min(s.o.Runs, max(soakLeast, s.o.Runs/soakShare))
	ref, err := s.l.Reference()
	if err != nil {
		return nil, err
	}
	starter, err := s.l.Unsolved()
	if err != nil {
		return nil, err
	}
	list := []soaked{{who: "solution", runs: s.o.Runs, ready: s.program(ref)}, {who: "starter", runs: share, ready: s.program(starter)}}
	for _, m := range s.l.Mutants {
		sub, err := s.l.Mutated(m)
		if err != nil {
			return nil, err
		}
		p := soaked{who: mutantPrefix + m.Name, runs: share, want: m.Want(s.l), ready: s.program(sub)}
		if m.Tests {
			p.want, p.ready = map[string]grade.Verdict{s.l.Tests.Task: grade.Fail}, s.tests(sub.Files, ref.Tests)
		}
		list = append(list, p)
	}
	if s.l.Tests != nil {
		list = append(list, soaked{who: "solution's tests", runs: share, ready: s.tests(ref.Files, ref.Tests)})
	}
	return list, nil
}

// program runs a submission in all scenarios of the lab.
func (s *soaker) program(sub Submission) func(context.Context) (func(context.Context, uint64) (soakRun, error), error) {
	return func(ctx context.Context) (func(context.Context, uint64) (soakRun, error), error) {
		work, err := s.g.prepare(ctx, s.l, sub)
		if err != nil && kit.KindOf(err) != kit.Invalid {
			return nil, err
		}
		refused := err
		return func(ctx context.Context, seed uint64) (soakRun, error) {
			run := soakRun{Tasks: map[string]grade.Verdict{}, Why: map[string]string{}}
			if refused != nil || work.fixed() { // an answer lab's starter has no answers to any cluster
				for _, t := range s.l.Manifest.Tasks {
					run.Tasks[t.Name] = grade.Fail
				}
				return run, nil
			}
			for _, scenario := range s.l.Scenarios {
				t, err := s.calmTrial(ctx, scenario, seed, work)
				if err != nil {
					return run, err
				}
				for task, f := range t.findings {
					run.add(task, f)
				}
			}
			return run, nil
		}, nil
	}
}

// add joins what two scenarios say of one task.
func (r *soakRun) add(task string, f grade.Finding) {
	was, judged := r.Tasks[task]
	if judged && (was == grade.Fail || f.Verdict == grade.Pass || was == grade.Inconclusive && f.Verdict != grade.Fail) {
		return
	}
	r.Tasks[task] = f.Verdict
	if f.Verdict != grade.Pass {
		r.Why[task] = clipTo(firstLine(grade.Clean(f.Why)), 200)
	}
}

// calmTrial runs once more what a busy machine made unclear on a real cluster.
func (s *soaker) calmTrial(ctx context.Context, scenario Scenario, seed uint64, work prepared) (*trial, error) {
	for tries := 1; ; tries++ {
		t, err := s.g.runTrial(ctx, s.l, scenario, seed, work)
		if err != nil {
			return nil, err
		}
		unclear := false
		for _, f := range t.findings {
			unclear = unclear || f.Verdict == grade.Inconclusive
		}
		if tries == calmTries || !unclear || !s.l.Manifest.Kind.live() || t.lag < starvedAfter {
			return t, nil
		}
		select {
		case <-time.After(calmPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tests runs tests with a program.
func (s *soaker) tests(program, tests map[string][]byte) func(context.Context) (func(context.Context, uint64) (soakRun, error), error) {
	return func(ctx context.Context) (func(context.Context, uint64) (soakRun, error), error) {
		p, err := s.g.buildTests(ctx, s.l, program, tests)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, seed uint64) (soakRun, error) {
			run := soakRun{Tasks: map[string]grade.Verdict{s.l.Tests.Task: grade.Pass}, Why: map[string]string{}}
			reports, err := s.g.Env.Test(ctx, p, seed)
			if err != nil {
				return run, err
			}
			if report := reports[0]; !report.Passed {
				run.Tasks[s.l.Tests.Task] = grade.Fail
				run.Why[s.l.Tests.Task] = clipTo(firstLine(grade.Clean(orText(report.Why, firstFailure(report.Output)))), 200)
			}
			return run, nil
		}, nil
	}
}

// announce says what is to be done.
func (s *soaker) announce(programs []soaked) {
	all := 0
	for _, p := range programs {
		all += p.runs
		for i := range p.runs {
			if !s.done.has(p.who, s.o.Seed+uint64(i)) {
				s.left++
			}
		}
	}
	text := fmt.Sprintf("%s: %d runs of the solution, %d of others", s.l.Slug, programs[0].runs, all-programs[0].runs)
	if s.left < all {
		text += fmt.Sprintf("; %d were made before", all-s.left)
	}
	s.tell(text)
}

func (s *soaker) tell(line string) {
	if s.o.Tell != nil {
		s.o.Tell(line)
	}
}

// soak makes the runs of one program that are not on record yet, some side by side.
func (s *soaker) soak(ctx context.Context, p soaked) error {
	var todo []uint64
	for i := range p.runs {
		if seed := s.o.Seed + uint64(i); !s.done.has(p.who, seed) {
			todo = append(todo, seed)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	run, err := p.ready(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", p.who, err)
	}
	jobs := s.g.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	if s.l.Manifest.Kind.live() {
		jobs = 1 // as in a grade
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan uint64) // closed below, when all are handed out or one broke
	var workers sync.WaitGroup
	for range min(jobs, len(todo)) {
		workers.Go(func() {
			for seed := range next {
				if err := s.one(ctx, p, run, seed, len(todo), jobs); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, seed := range todo {
		select {
		case next <- seed:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// one makes a run and records it.
func (s *soaker) one(ctx context.Context, p soaked, run func(context.Context, uint64) (soakRun, error), seed uint64, todo, jobs int) error {
	began := time.Now()
	r, err := run(ctx, seed)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &kit.Error{Op: "soak", What: fmt.Sprintf("%s with seed %d", p.who, seed), Kind: kit.Broken, Err: err}
	}
	r.Who, r.Seed = p.who, seed
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left--
	s.made++
	s.took += time.Since(began)
	left := (s.took / time.Duration(s.made) * time.Duration(s.left) / time.Duration(jobs)).Round(time.Second)
	if s.made == min(2*jobs, todo) {
		s.tell(fmt.Sprintf("%s: about %v for all of it", s.l.Slug, left))
	}
	if p.who == "solution" && !r.passed() {
		s.tell(fmt.Sprintf("%s: the solution does not pass with seed %d: %v", s.l.Slug, seed, r.Why))
	}
	s.g.say("%s: %s, %d runs left, about %v", s.l.Slug, p.who, s.left, left)
	return s.done.add(r)
}

func (r soakRun) passed() bool { return r.verdict() == grade.Pass }

func (r soakRun) verdict() grade.Verdict { return overall(r.Tasks) }

// sum makes the ledger.
func (s *soaker) sum(programs []soaked, digest string) *FlakeLedger {
	led := &FlakeLedger{Lab: s.l.Slug, Digest: digest, Method: ledgerMethod, First: s.o.Seed, Runs: s.o.Runs, Grade: s.l.Manifest.Seeds,
		Mutants: map[string]Soaked{}}
	for _, p := range programs {
		sum := s.sumOf(p, led.Grade)
		switch {
		case p.who == "solution":
			led.Solution = sum
		case p.who == "starter":
			led.Starter = sum
			if sum.Failed < sum.Runs {
				led.Warnings = append(led.Warnings, fmt.Sprintf("the starter failed only %d of %d runs", sum.Failed, sum.Runs))
			}
		case p.want != nil:
			led.Mutants[p.who[len(mutantPrefix):]] = sum
		case sum.Failed > 0: // the solution's own tests
			led.Warnings = append(led.Warnings, fmt.Sprintf("the solution's tests fail with the solution, %d times of %d", sum.Failed, sum.Runs))
		}
	}
	led.judgeSeeds()
	led.judgeOthers(programs)
	return led
}

func (s *soaker) sumOf(p soaked, seeds int) Soaked {
	sum := Soaked{Runs: p.runs, Tasks: map[string]TaskSoak{}}
	kills := wanted(p.want)
	for i := range p.runs {
		seed := s.o.Seed + uint64(i)
		r := s.done.get(p.who, seed)
		switch r.verdict() {
		case grade.Pass:
			sum.Passed++
		case grade.Fail:
			sum.Failed++
			if p.who == "solution" {
				sum.FailedSeeds = append(sum.FailedSeeds, seed)
			}
		default:
			sum.Unclear++
		}
		for _, task := range slices.Sorted(maps.Keys(r.Tasks)) {
			sum.count(task, r.Tasks[task])
			if r.Tasks[task] == grade.Inconclusive || r.Tasks[task] == grade.Fail && p.who == "solution" {
				sum.reason(task + ": " + r.Why[task])
			}
		}
	}
	for task, t := range sum.Tasks {
		if kills[task] {
			t.Kill = killOf(t, seeds)
			sum.Tasks[task] = t
		}
	}
	sum.settle()
	return sum
}

func (s *Soaked) count(task string, v grade.Verdict) {
	t := s.Tasks[task]
	switch v {
	case grade.Pass:
		t.Passed++
	case grade.Fail:
		t.Failed++
	default:
		t.Unclear++
	}
	s.Tasks[task] = t
}

// judgeOthers warns of mutants that fail what is pinned to pass, with some seeds.
func (f *FlakeLedger) judgeOthers(programs []soaked) {
	for _, p := range programs {
		if p.want == nil {
			continue
		}
		tasks := f.Mutants[p.who[len(mutantPrefix):]].Tasks
		for _, task := range slices.Sorted(maps.Keys(tasks)) {
			if t := tasks[task]; p.want[task] == grade.Pass && t.Failed > 0 {
				f.Warnings = append(f.Warnings, fmt.Sprintf("%s fails task %s in %d runs of %d, which is pinned to pass", p.who, task, t.Failed,
					t.Passed+t.Failed+t.Unclear))
			}
		}
	}
}

// errNotKept says that a soak goes on without being able to resume.
var errNotKept = errors.New("the runs made so far cannot be kept")
