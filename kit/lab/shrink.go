package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// ShrinkLimits bound the searches of one grade for shorter runs that fail the same way. The zero value is no search.
type ShrinkLimits struct {
	// Runs is how many shorter runs are tried for a failed task. Within it the outcome is the same on every machine.
	Runs int
	// Wall is how long all searches of the grade may take together: somebody waits for the verdict. A search that is out of time
	// ends with the shortest run that it has, and the result says so. Only the first search, when the machine is slow, makes its
	// best guesses in any case, and all of it is over after twice that time.
	Wall time.Duration
}

// On a slow machine the first search makes so many tries all the same; but nothing takes longer than so many times what it should.
const (
	shrinkLeast = 12
	shrinkLate  = 2
)

// DefaultShrink is what "netsplit grade" spends.
var DefaultShrink = ShrinkLimits{Runs: 160, Wall: 8 * time.Second}

// shrinkTasks bounds the searches of one grade: who fails in everything is told the essence of the first tasks.
const shrinkTasks = 3

// shrinkFailed looks for shorter runs to explain what failed, and has the ledger show them. It changes no verdict.
func (g *Grader) shrinkFailed(ctx context.Context, l *Lab, sub Submission, work prepared, o Options, led *ledger) error {
	if l.Manifest.Kind != Code || o.Shrink.Runs <= 0 && len(o.shown) == 0 {
		return nil
	}
	var wanted []*failing
	for _, e := range led.entries {
		f := g.failing(l, work, e)
		if f == nil || led.hopeless(e.task) {
			continue
		}
		if known := o.shown[e.task]; known != nil {
			if err := f.show(ctx, *known); err != nil {
				return err
			}
			continue
		}
		wanted = append(wanted, f)
	}
	if o.Shrink.Runs <= 0 {
		return nil
	}
	g.searchAll(ctx, l, sub, wanted[:min(len(wanted), shrinkTasks)], o.Shrink)
	return nil
}

// searchAll looks for a shorter run for each of some failed tasks. All verdicts are known: when ctx ends, nothing but the search does.
func (g *Grader) searchAll(ctx context.Context, l *Lab, sub Submission, wanted []*failing, limits ShrinkLimits) {
	late, cancel := context.WithTimeout(ctx, shrinkLate*limits.Wall)
	defer cancel()
	reference := sync.OnceValues(func() (prepared, error) { return g.reference(late, l, sub) })
	end := time.Now().Add(limits.Wall)
	for i, f := range wanted {
		f.reference = reference
		share, least := time.Until(shareOf(time.Now(), end, len(wanted)-i)), 0
		if i == 0 {
			least = shrinkLeast
		}
		f.shrink(late, limits.Runs, least, share)
	}
}

// shareOf gives the end of the next of so many searches: it has three quarters of the time that is left, the last one all of it.
// What it does not need is for those behind it.
func shareOf(now, end time.Time, searches int) time.Time {
	if left := end.Sub(now); searches > 1 && left > 0 {
		return now.Add(left * 3 / 4)
	}
	return end
}

// reference compiles the lab's solution. A shorter run counts only if the solution does not fail in the same way: what is left out
// must not be what the work is blamed for. Without a solution to hold against, when that is what is graded, runs count as they are.
// An error says that there was no time to compile it: then no run counts.
func (g *Grader) reference(ctx context.Context, l *Lab, sub Submission) (prepared, error) {
	ref, err := l.Reference()
	if err != nil || digest(ref.Files) == digest(sub.Files) {
		return prepared{}, nil
	}
	g.say("compiling the solution, which shorter runs are held against")
	p, err := g.Env.Build(ctx, Source{Module: l.Slug, Files: ref.Files})
	if err != nil {
		return prepared{}, ctx.Err()
	}
	return prepared{program: p}, nil
}

// failing is a failed run that is to be made shorter.
type failing struct {
	g         *Grader
	lab       *Lab
	scenario  Scenario
	work      prepared
	reference func() (prepared, error) // compiled when it is first asked for; its program is nil when there is none
	entry     *entry
	task      string
	original  *trial
	finding   grade.Finding
	items     []item
	names     map[string]bool

	mu    sync.Mutex
	found map[string]*trial // those of the shorter runs that fail the same way, by set
}

// failing takes up a failed task; nil when there is no run of it that could be made shorter.
func (g *Grader) failing(l *Lab, work prepared, e *entry) *failing {
	if !e.failed() || e.shown.history == nil || e.shown.history.Truncated {
		return nil
	}
	i := slices.IndexFunc(l.Scenarios, func(s Scenario) bool { return s.Name == e.shown.scenario })
	f := &failing{g: g, lab: l, scenario: l.Scenarios[i], work: work, entry: e, task: e.task, original: e.shown, finding: e.finding,
		names: namesIn(e.shown.history), found: map[string]*trial{}}
	f.items = itemsOf(e.shown.history, l.nodes(f.scenario))
	return f
}

// shrink searches, and has the task explained with what it finds. The search is over after so many runs, or when its share of time
// is over and at least some were made.
func (f *failing) shrink(late context.Context, runs, least int, share time.Duration) {
	timed, stop := context.WithCancel(late)
	defer stop()
	began := time.Now()
	var s *search
	s = newSearch(len(f.items), f.g.jobs(), runs, func(sets []set) []bool {
		if s.tried > least && time.Since(began) > share {
			stop()
		}
		if timed.Err() != nil {
			s.halt()
			return make([]bool, len(sets))
		}
		f.g.say("%s: looking for the shortest run that fails (%s, %d tried)", f.task, f.sized(s.best), s.tried-1)
		return f.fails(timed, sets)
	})
	f.search(timed, s)
	cut := ""
	switch {
	case errors.Is(late.Err(), context.Canceled):
		cut = grade.CutAsked
	case timed.Err() != nil:
		cut = grade.CutTime
	case s.spent():
		cut = grade.CutRuns
	}
	if short := f.found[s.best.key()]; short != nil {
		f.explain(short, grade.Shrunk{Runs: s.tried, Cut: cut, Kept: partOf(f.items, s.best).compact()})
	} else if cut != "" {
		f.entry.unshrunk = &grade.Unshrunk{Runs: s.tried, Cut: cut}
	}
}

// sized tells the size of a part of the run.
func (f *failing) sized(in set) string {
	n := len(where(f.items, func(it item) bool { return it.op != nil }))
	kept := 0
	for i, it := range f.items {
		if it.op != nil && in[i] {
			kept++
		}
	}
	return fmt.Sprintf("%d requests of %d", kept, n)
}

// show runs a part that an earlier search has found, and has the task explained with it, if it fails the same way.
func (f *failing) show(ctx context.Context, known grade.Shrunk) error {
	p, err := parsePart(known.Kept)
	if err != nil {
		return err
	}
	t, err := f.g.runPart(ctx, f.lab, f.scenario, f.original, f.work, p)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil && f.same(t) {
		f.explain(t, known)
	}
	return nil
}

// explain has a task explained with a shorter run.
func (f *failing) explain(short *trial, s grade.Shrunk) {
	nodes := len(f.lab.nodes(f.scenario))
	s.From, s.To, s.Hash = sizeOf(f.original.history, nodes), sizeOf(short.history, nodes-len(s.Kept.Without)), short.hash
	f.entry.shown, f.entry.finding, f.entry.shrunk = short, f.explained(short), &s
}

// search leaves out what it can: first all that the finding does not rest on, then faults, clients, what clients ask at once, single
// requests, and nodes.
func (f *failing) search(ctx context.Context, s *search) {
	s.guess(f.guesses(s.best)...)
	requests := func() {
		s.drop(bursts(f.items))
		s.drop(singles(f.items))
	}
	for _, step := range []func(){
		func() { s.drop(blows(f.items)) },
		func() { s.drop(byClient(f.items)) },
		requests,
		func() { s.drop(nodesOf(f.items)) },
		requests, // what another step took out may have been what some of them were for
	} {
		if step(); ctx.Err() != nil || s.spent() {
			return
		}
	}
}

// guesses are parts worth a try before anything is known, the smallest first: the requests that the finding rests on; those and
// what was asked in one go with them; also what their clients asked shortly before and after; all that these clients asked; all that
// was asked until the last of them was answered. Each without any fault, and with all.
func (f *failing) guesses(whole set) []set {
	evidence, clients := map[int]bool{}, map[string]bool{}
	until := time.Duration(-1)
	for _, id := range f.finding.Evidence {
		if o, ok := f.original.history.Op(id); ok && o.Phase == history.Work {
			evidence[id], clients[o.Client] = true, true
			until = max(until, o.Begin, o.End)
		}
	}
	if len(evidence) == 0 {
		return nil
	}
	faults := where(f.items, func(it item) bool { return it.fault != nil })
	not := func(such func(item) bool) []int {
		return where(f.items, func(it item) bool { return it.op != nil && !such(it) })
	}
	var sets []set
	for _, less := range [][]int{
		not(func(it item) bool { return evidence[it.op.ID] }),
		f.apart(evidence, 0),
		f.apart(evidence, 2),
		not(func(it item) bool { return clients[it.op.Client] }),
		not(func(it item) bool { return it.op.Begin <= until }),
	} {
		sets = append(sets, whole.without(less, faults), whole.without(less))
	}
	return sets
}

// apart gives the requests that are not in a burst with some of the evidence, nor in one of so many bursts before and after it of
// the same client.
func (f *failing) apart(evidence map[int]bool, around int) []int {
	lists := map[string][][]int{}
	for _, b := range bursts(f.items) {
		client := f.items[b[0]].op.Client
		lists[client] = append(lists[client], b)
	}
	var apart []int
	for _, list := range lists {
		for i := range list {
			near := slices.Concat(list[max(0, i-around):min(len(list), i+around+1)]...)
			if !slices.ContainsFunc(near, func(k int) bool { return evidence[f.items[k].op.ID] }) {
				apart = append(apart, list[i]...)
			}
		}
	}
	return apart
}

// fails runs several parts side by side and says of each whether it fails the same way.
func (f *failing) fails(ctx context.Context, sets []set) []bool {
	fails := make([]bool, len(sets))
	var all sync.WaitGroup
	for i, in := range sets {
		all.Go(func() {
			t := f.try(ctx, in)
			if fails[i] = t != nil; fails[i] {
				f.mu.Lock()
				f.found[in.key()] = t
				f.mu.Unlock()
			}
		})
	}
	all.Wait()
	return fails
}

// try runs a part. It gives nil unless that fails in the same way, and the solution does not.
func (f *failing) try(ctx context.Context, in set) *trial {
	p := partOf(f.items, in)
	t, err := f.g.runPart(ctx, f.lab, f.scenario, f.original, f.work, p)
	if err != nil || !f.same(t) || !f.teaches(t, p) {
		return nil
	}
	reference, err := f.reference()
	switch {
	case err != nil:
		return nil
	case reference.program == nil:
		return t
	}
	right, err := f.g.runPart(ctx, f.lab, f.scenario, f.original, reference, p)
	if err != nil || f.same(right) {
		return nil
	}
	return t
}

// teaches reports whether the words of a shorter run's finding still make sense: expected and actual differ, if they did, and it
// does not speak of a node that is not there.
func (f *failing) teaches(t *trial, p part) bool {
	got := t.findings[f.task]
	if got.Expected == got.Actual && f.finding.Expected != f.finding.Actual {
		return false
	}
	return !slices.ContainsFunc(words.FindAllString(got.Why+" "+got.Expected+" "+got.Actual, -1), func(w string) bool {
		return slices.Contains(p.without, kit.NodeName(w))
	})
}

// same reports whether a run failed as the original did.
func (f *failing) same(t *trial) bool {
	got := t.findings[f.task]
	if got.Verdict != grade.Fail || t.history == nil {
		return false
	}
	names := namesIn(t.history)
	for n := range f.names {
		names[n] = true
	}
	return reasonOf(got, names) == reasonOf(f.finding, names)
}

// maxStory is how many lines of a diagram may tell all that is done in a shorter run; of a longer one only what its finding rests on is
// shown.
const maxStory = 12

// explained is the finding of a shorter run, to be shown. Whether faults bit is a matter of the original. What is left of the work
// belongs to the story, if that stays one.
func (f *failing) explained(short *trial) grade.Finding {
	got := short.findings[f.task]
	got.Receipts, got.Credit = f.finding.Receipts, f.finding.Credit
	return wholeStory(got, short.history)
}

// wholeStory adds what is left of the work to the evidence of a shorter run's finding, if that stays a story.
func wholeStory(got grade.Finding, h *history.History) grade.Finding {
	evidence := slices.Clone(got.Evidence)
	for _, o := range h.During(history.Work).Ops {
		if !slices.Contains(evidence, o.ID) {
			evidence = append(evidence, o.ID)
		}
	}
	const linesEach = 2 // a request and its answer
	if len(got.Evidence) > 0 && linesEach*len(evidence)+len(h.During(history.Work).Faults) <= maxStory {
		if got.Focus == 0 {
			got.Focus = got.Evidence[len(got.Evidence)-1]
		}
		slices.Sort(evidence)
		got.Evidence = evidence
	}
	return got
}

// runPart runs a part of an original run: same scenario, same seed, less work.
func (g *Grader) runPart(ctx context.Context, l *Lab, s Scenario, original *trial, work prepared, p part) (*trial, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nodes := l.nodes(s)
	left := slices.DeleteFunc(slices.Clone(nodes), func(n kit.NodeName) bool { return slices.Contains(p.without, n) })
	if len(left) == 0 {
		return nil, fmt.Errorf("a run needs a node")
	}
	s.Nodes = left
	return g.runCase(ctx, l, s, original.seed, work, newLeftOut(p, original.history, nodes, cancel))
}
