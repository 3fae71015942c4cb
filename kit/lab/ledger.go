package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// ledger gathers what the runs said about each task.
type ledger struct {
	lab       *Lab
	sub       Submission
	want      int            // conclusive runs asked for
	fewer     map[string]int // of them for single tasks
	first     uint64
	fixed     bool // every run has the first seed
	entries   []*entry
	runs      []grade.Run
	lag       time.Duration
	isolation string   // of the script, as last seen
	budgets   []string // in real time, that ran out
}

// entry is one task's column. A task may be judged by several scenarios; it passes when all of them pass.
type entry struct {
	task      string
	scenarios map[string]*tally
	shown     *trial // the run whose finding is explained: the first that failed, else the last unclear one
	finding   grade.Finding
	shrunk    *grade.Shrunk   // what is shown is a shorter run than the one that failed
	unshrunk  *grade.Unshrunk // the search for one ended before it found any
}

type tally struct {
	passed, unclear int
	first           grade.Finding // of the first pass
	seen            *trial
}

func newLedger(l *Lab, sub Submission, o Options, fixed bool) *ledger {
	led := &ledger{lab: l, sub: sub, want: o.Seeds, fewer: o.fewer, first: o.Seed, fixed: fixed}
	for _, t := range l.Manifest.Tasks {
		e := &entry{task: t.Name, scenarios: map[string]*tally{}, finding: grade.Finding{Verdict: grade.Pass}}
		for _, s := range l.Scenarios {
			if slices.Contains(l.tasksOf(s), t.Name) {
				e.scenarios[s.Name] = &tally{}
			}
		}
		if len(e.scenarios) > 0 {
			led.entries = append(led.entries, e)
		}
	}
	return led
}

// wants gives how many conclusive runs a task needs to pass.
func (led *ledger) wants(task string) int {
	if n, ok := led.fewer[task]; ok {
		return min(n, led.want)
	}
	return led.want
}

// seed gives the seed of the i-th run.
func (led *ledger) seed(i int) uint64 {
	if led.fixed {
		return led.first
	}
	return led.first + uint64(i)
}

func (e *entry) failed() bool { return e.finding.Verdict == grade.Fail }

// open reports whether a scenario can still tell something new.
func (led *ledger) open(scenario string) bool {
	return slices.ContainsFunc(led.entries, func(e *entry) bool {
		t := e.scenarios[scenario]
		return t != nil && !e.failed() && !led.hopeless(e.task) && t.passed < led.wants(e.task)
	})
}

// hopeless reports whether a task that this one builds on has failed, so that it will be skipped.
func (led *ledger) hopeless(task string) bool {
	t, _ := led.lab.Manifest.Task(task)
	return slices.ContainsFunc(led.entries, func(e *entry) bool {
		return slices.Contains(t.After, e.task) && (e.failed() || led.hopeless(e.task))
	})
}

// settled reports whether no further run can change anything.
func (led *ledger) settled() bool {
	return !slices.ContainsFunc(led.lab.Scenarios, func(s Scenario) bool { return led.open(s.Name) })
}

// enter adds a run, and gives the news worth telling at once: tasks that failed for the first time, and will not be skipped.
func (led *ledger) enter(t *trial) (news []string) {
	led.runs = append(led.runs, grade.Run{Scenario: t.scenario, Seed: t.seed, Hash: t.hash, Millis: t.took.Milliseconds()})
	led.lag, led.isolation = max(led.lag, t.lag), t.isolation
	if t.budget != "" && !slices.Contains(led.budgets, t.budget) {
		led.budgets = append(led.budgets, t.budget)
	}
	var failed []*entry
	for _, e := range led.entries {
		f, judged := t.findings[e.task]
		if !judged || e.failed() {
			continue
		}
		tally := e.scenarios[t.scenario]
		switch f.Verdict {
		case grade.Pass:
			if tally.passed++; tally.passed == 1 {
				tally.first, tally.seen = f, t
			}
		case grade.Fail:
			e.shown, e.finding = t, f
			failed = append(failed, e)
		default:
			tally.unclear++
			e.shown, e.finding = t, f
		}
	}
	for _, e := range failed {
		if !led.hopeless(e.task) {
			news = append(news, fmt.Sprintf("%s failed with seed %d: %s", e.task, t.seed, oneLine(e.finding.Why)))
		}
	}
	return news
}

// account writes into a result what was run, and how.
func (led *ledger) account(r *grade.Result) {
	r.Runs, r.LagMillis, r.Budgets = led.runs, led.lag.Milliseconds(), led.budgets
	if led.isolation != "" {
		r.Isolation = isolationScript + led.isolation
	}
}

// fill writes the verdicts into a result.
func (led *ledger) fill(r *grade.Result) {
	for i := range r.Tasks {
		t := &r.Tasks[i]
		j := slices.IndexFunc(led.entries, func(e *entry) bool { return e.task == t.Name })
		if j < 0 {
			continue
		}
		e := led.entries[j]
		led.conclude(e, t)
		t.Replay = led.replay(t.Seed)
		if e.shown != nil && e.shown.stopped != "" && r.Stopped == "" {
			r.Stopped = grade.Clean(e.shown.stopped)
		}
		if e.shown != nil && r.Output == "" {
			r.Output = grade.Clean(e.shown.output)
		}
	}
}

// conclude turns a column into a verdict: fail when a run failed; pass when every scenario has as many conclusive
// runs as were asked for; otherwise inconclusive.
func (led *ledger) conclude(e *entry, t *grade.Task) {
	var h *history.History
	if e.shown != nil {
		h, t.Seed = e.shown.history, e.shown.seed
	}
	want := led.wants(e.task)
	least, unclear := want, 0
	pass := grade.Passed()
	var seen *history.History
	for _, s := range led.lab.Scenarios {
		if n := e.scenarios[s.Name]; n != nil {
			least, unclear = min(least, n.passed), unclear+n.unclear
			pass.Receipts = append(pass.Receipts, n.first.Receipts...)
			if len(pass.Evidence) == 0 && n.seen != nil {
				pass.Why, pass.Evidence, seen = n.first.Why, n.first.Evidence, n.seen.history
			}
		}
	}
	t.Seeds = least
	switch {
	case e.failed():
		t.Explain(e.finding, h)
		t.Shrunk, t.Unshrunk, t.Scenario = e.shrunk, e.unshrunk, e.shown.scenario
	case least >= want:
		t.Explain(pass, seen)
		t.Seed = led.first
	case e.shown != nil:
		t.Scenario = e.shown.scenario
		f := e.finding
		f.Verdict = grade.Inconclusive
		if want > 1 {
			f.Why = fmt.Sprintf("%s (%d runs of %d told something, %d did not)", f.Why, least, want, unclear)
		}
		t.Explain(f, h)
	}
}

// replay is the command that runs the case again.
func (led *ledger) replay(seed uint64) string {
	var what string
	switch {
	case led.sub.Dir != "":
		what = quoteArg(led.sub.Dir)
	case led.sub.Name == "solution":
		what = led.lab.Slug + " --solution"
	default:
		return "" // starters and mutants are run by "netsplit check"
	}
	return fmt.Sprintf("netsplit grade %s --seed %d --seeds 1", what, seed)
}

// quoteArg quotes a word for a POSIX shell when it must be.
func quoteArg(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+:@,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
