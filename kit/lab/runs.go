package lab

import (
	"context"
	"runtime"
	"sync"

	"netsplit/kit"
)

// runAll runs seed after seed until every task has its verdict. Runs that prove nothing (a fault did not bite)
// are made up for with further seeds, within a bound.
func (g *Grader) runAll(ctx context.Context, l *Lab, work prepared, o Options, led *ledger) error {
	r := &runs{g: g, lab: l, work: work, led: led, jobs: g.jobs()}
	if l.Manifest.Kind.live() {
		r.jobs = 1 // real time: two clusters at once would disturb each other
	}
	if err := r.seeds(ctx, 0, o.Seeds); err != nil || led.settled() {
		return err
	}
	return r.seeds(ctx, o.Seeds, o.Seeds+max(2, o.Seeds/4))
}

// jobs is how many simulated runs go on at once.
func (g *Grader) jobs() int {
	if g.Jobs > 0 {
		return g.Jobs
	}
	return runtime.GOMAXPROCS(0)
}

// runs makes the runs of one grading, several at a time. What is learnt from them is entered in the order of seeds and
// scenarios, and a run that could tell nothing new by then is left out: so a result is the same however many go on at once.
type runs struct {
	g    *Grader
	lab  *Lab
	work prepared
	jobs int

	mu  sync.Mutex // guards led while runs go on
	led *ledger
}

// ahead is how many runs, for each that goes on at a time, may have been begun and not been entered: one that takes long
// should not keep the others waiting, and what has ended must be kept until then.
const ahead = 4

// outcome is what came of one run. Without a trial and an error it was left out.
type outcome struct {
	trial *trial
	err   error
}

// seeds runs the seeds from one index to before another, or until nothing new can be learnt.
func (r *runs) seeds(ctx context.Context, from, to int) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	n := (to - from) * len(r.lab.Scenarios)
	results, todo := make([]chan outcome, n), make(chan int, ahead*r.jobs)
	defer close(todo)
	defer cancel()
	for range r.jobs {
		group.Go(func() {
			for i := range todo {
				s, seed := r.lab.Scenarios[i%len(r.lab.Scenarios)], r.led.seed(from+i/len(r.lab.Scenarios))
				results[i] <- r.run(ctx, s, seed)
			}
		})
	}
	begun := 0
	for i := range n {
		for ; begun < min(n, i+cap(todo)); begun++ {
			results[begun] = make(chan outcome, 1)
			todo <- begun
		}
		out := <-results[i]
		results[i] = nil
		if out.err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return &kit.Error{Op: "grade", What: r.lab.Slug, Kind: kit.Broken, Err: out.err}
		}
		if r.enter(out.trial) {
			return nil
		}
		if done := i + 1; done%len(r.lab.Scenarios) == 0 {
			r.g.say("%d of %d runs", min(from+done/len(r.lab.Scenarios), r.led.want), r.led.want)
		}
	}
	return nil
}

// run makes one run, unless it can tell nothing new by now.
func (r *runs) run(ctx context.Context, s Scenario, seed uint64) outcome {
	if ctx.Err() != nil {
		return outcome{err: context.Cause(ctx)}
	}
	r.mu.Lock()
	open := r.led.open(s.Name)
	r.mu.Unlock()
	if !open {
		return outcome{}
	}
	t, err := r.g.runTrial(ctx, r.lab, s, seed, r.work)
	return outcome{t, err}
}

// enter takes a run down, if it still tells something, and reports whether nothing more can be learnt.
func (r *runs) enter(t *trial) (settled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t != nil && r.led.open(t.scenario) {
		for _, news := range r.led.enter(t) {
			r.g.tell(news)
		}
	}
	return r.led.settled()
}
