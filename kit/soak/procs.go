package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// ProcPlan says everything about a run of processes: actors, which are processes that clients act for, send, link, watch,
// register, spawn and end, while faults come and go. Then all is mended, perhaps split in two on purpose and mended
// again, and what the actors got is judged:
//
//   - what one process sent to another came in that order, none of it twice, and, but where their nodes lost each other
//     between, all of it;
//   - of each monitor exactly one DOWN came if its target ended or its node was lost, else none, with the right reason;
//     the same for links; what one process knows of a link or monitor, the other one knows too;
//   - in each part of a split cluster all nodes know the same global names, each with one holder that lives;
//   - every request was answered in time;
//   - when all processes have ended nothing is left of them.
//
// The same plan in the simulator is the same run.
type ProcPlan struct {
	Seed    uint64
	Nodes   []kit.NodeName
	Actors  int // per node, besides those that actors spawn
	Length  time.Duration
	Think   time.Duration  // an actor waits up to so long between its operations
	Overlap bool           // the nodes prevent overlapping partitions
	Faults  []Fault        // see Fault; of the kinds Kill, Freeze, Slow, Isolate and Part
	Part    []kit.NodeName // one side of the split after the faults; nil for none
}

// Part takes the link between Node and Peer down by hand, and later up again.
const Part FaultKind = "part"

// NewProcPlan draws a plan from a seed. One in eight has no faults.
func NewProcPlan(seed uint64) ProcPlan {
	r := rand.New(rand.NewPCG(seed, 0x9c0c))
	between := func(a, b time.Duration) time.Duration { return a + time.Duration(r.Int64N(int64(b-a)/1000)*1000) }
	ms := time.Millisecond
	p := ProcPlan{Seed: seed, Nodes: []kit.NodeName{"a", "b", "c", "d", "e"}[:3+r.IntN(3)], Actors: 2, Length: between(500*ms, 1800*ms), Think: between(10*ms, 60*ms)}
	if r.IntN(8) == 0 {
		return p
	}
	p.Overlap = r.IntN(4) == 0
	pick := func() kit.NodeName { return p.Nodes[r.IntN(len(p.Nodes))] }
	long := func() time.Duration {
		if r.IntN(2) == 0 {
			return between(2*ms, 200*ms)
		}
		return between(200*ms, 3000*ms)
	}
	for range 1 + r.IntN(6) {
		f := Fault{At: between(20*ms, p.Length), For: long(), Node: pick(), What: []FaultKind{Kill, Freeze, Slow, Isolate, Isolate, Isolate, Part}[r.IntN(7)],
			Silent: r.IntN(2) == 0, Way: []Way{BothWays, BothWays, Outgoing, Incoming}[r.IntN(4)]}
		if other := pick(); other != f.Node && (r.IntN(2) == 0 || f.What == Part) {
			f.Peer = other
		}
		p.Faults = append(p.Faults, f)
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	if r.IntN(2) == 0 {
		p.Part = p.Nodes[:1+r.IntN(len(p.Nodes)-1)]
	}
	return p
}

// String lists what is in the plan.
func (p ProcPlan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d actors at each of %d nodes, %v", p.Seed, p.Actors, len(p.Nodes), p.Length)
	if p.Overlap {
		b.WriteString(", overlapping partitions prevented")
	}
	for i, f := range p.Faults {
		fmt.Fprintf(&b, "\n  %d: %v", i, f)
	}
	if p.Part != nil {
		fmt.Fprintf(&b, "\n  then %v is split off", p.Part)
	}
	return b.String()
}

// Without is the plan without some of its faults, by their places.
func (p ProcPlan) Without(places []int) ProcPlan {
	var kept []Fault
	for i, f := range p.Faults {
		if !slices.Contains(places, i) {
			kept = append(kept, f)
		}
	}
	p.Faults = kept
	return p
}

// ProcReport is what came of a run of processes.
type ProcReport struct {
	Plan     ProcPlan
	Problems []Problem
	Counts   ProcCounts
	Took     time.Duration // of the world's time
	Story    string        // what those did whom the first problem is about, and the faults
}

// ProcCounts says how much was done.
type ProcCounts struct {
	Ops, Actors, Messages, Downs, Exits, Lost, Names, Yes, Clashes, Calls, Faults int
}

func (c *ProcCounts) add(o ProcCounts) {
	c.Ops += o.Ops
	c.Actors += o.Actors
	c.Messages += o.Messages
	c.Downs += o.Downs
	c.Exits += o.Exits
	c.Lost += o.Lost
	c.Names += o.Names
	c.Yes += o.Yes
	c.Clashes += o.Clashes
	c.Calls += o.Calls
	c.Faults += o.Faults
}

// procRun is one run under way.
type procRun struct {
	w    World
	plan ProcPlan

	mu       sync.Mutex
	until    time.Duration
	nodes    map[kit.NodeName]*nodeState
	pauses   []window // of nodes that were paused
	actors   []*actor
	byPid    map[term.Pid]*actor
	faults   []string
	hit      bool // a fault came
	problems []Problem
	counts   ProcCounts
	names    []holding // who got which global name, and lost it by an operation
	held     []holding // the same of locks
	seen     map[kit.NodeName]snapshot
}

// holding is a time during which a process must have something.
type holding struct {
	what     string
	who      term.Pid
	from, to time.Duration // to is negative while it lasts
}

func (r *procRun) problem(what string, about []term.Pid, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Problem{Round: 1, What: what, Text: fmt.Sprintf(format, args...)}
	for _, pid := range about {
		if a := r.byPid[pid]; a != nil {
			p.about = append(p.about, a.label)
		}
	}
	r.problems = append(r.problems, p)
}

func (r *procRun) call(ctx context.Context, client string, n kit.NodeName, verb string, args ...term.Term) door.Outcome {
	return r.w.Call(ctx, client, n, door.Request{Client: client, Verb: verb, Args: args})
}

// maxActors bounds the processes of one run.
const maxActors = 40

// RunProcs goes through a plan in a fresh world. An error means that the run itself could not be made.
func RunProcs(ctx context.Context, w World, p ProcPlan) (ProcReport, error) {
	r := &procRun{w: w, plan: p, nodes: map[kit.NodeName]*nodeState{}, byPid: map[term.Pid]*actor{}}
	began := w.Now()
	for _, n := range p.Nodes {
		r.nodes[n] = &nodeState{alive: true}
		if err := r.call(ctx, operator, n, "await_nodes", r.others(n), term.Int(10_000)).Err(); err != nil {
			return ProcReport{Plan: p}, fmt.Errorf("wait for the nodes at %s: %w", n, err)
		}
	}
	r.work(ctx, p.Length, func(ctx context.Context) { r.storm(ctx, r.w.Now()) })
	if r.mend(ctx) && p.Part != nil {
		r.split(ctx)
		r.mend(ctx)
	}
	if len(r.problems) == 0 {
		r.finish(ctx)
	}
	report := ProcReport{Plan: p, Problems: r.problems, Counts: r.counts, Took: w.Now() - began}
	report.Counts.Actors = len(r.actors)
	if len(r.problems) > 0 {
		report.Story = r.story(r.problems[0].about)
	}
	return report, nil
}

func (r *procRun) others(n kit.NodeName) term.List {
	return atoms(slices.DeleteFunc(slices.Clone(r.plan.Nodes), func(o kit.NodeName) bool { return o == n }))
}

// work lets actors act for so long, and with them happen what else is to happen.
func (r *procRun) work(ctx context.Context, length time.Duration, besides func(context.Context)) {
	r.until = r.w.Now() + length
	for i, n := range r.plan.Nodes {
		for k := range r.plan.Actors {
			draw := rand.New(rand.NewPCG(r.plan.Seed, uint64(1000*i+k)+uint64(r.until)))
			r.w.Go(func(ctx context.Context) { r.home(ctx, n, draw) })
		}
	}
	for _, a := range r.living() {
		r.w.Go(a.work)
	}
	r.w.Go(besides)
	r.w.Wait()
}

// home keeps one actor at a node: when it has ended another one begins.
func (r *procRun) home(ctx context.Context, n kit.NodeName, draw *rand.Rand) {
	for r.w.Now() < r.until && ctx.Err() == nil {
		a := r.newActor(n, draw.Uint64())
		if a == nil {
			return
		}
		out := r.call(ctx, a.label, n, "proc_spawn", term.Atom(a.label))
		if pid, ok := pidOf(out); ok {
			r.add(a, pid)
			a.home = true
			a.work(ctx)
		}
		_ = r.w.Sleep(ctx, 20*time.Millisecond)
	}
}

// newActor makes an actor without a process; nil when there are enough.
func (r *procRun) newActor(n kit.NodeName, seed uint64) *actor {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.actors) >= maxActors {
		return nil
	}
	a := &actor{r: r, label: fmt.Sprintf("p%d", len(r.actors)+1), node: n, rand: rand.New(rand.NewPCG(seed, 7)), life: r.nodes[n].lives,
		watch: map[string]bool{}, linked: map[term.Pid]bool{}, signals: map[int]term.Pid{}, begun: r.w.Now()}
	r.actors = append(r.actors, a)
	return a
}

func (r *procRun) add(a *actor, pid term.Pid) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.pid = pid
	if r.byPid[pid] != nil {
		r.problems = append(r.problems, Problem{Round: 1, What: "one pid twice", Text: fmt.Sprintf("%s is %s and %s", term.String(pid), r.byPid[pid].label, a.label)})
	}
	r.byPid[pid] = a
}

// living lists the actors that are not known to have ended.
func (r *procRun) living() []*actor {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*actor
	for _, a := range r.actors {
		if a.ready && !a.over() {
			all = append(all, a)
		}
	}
	return all
}

func pidOf(out door.Outcome) (term.Pid, bool) {
	if out.Status != door.OK {
		return term.Pid{}, false
	}
	t, err := out.Term()
	pid, ok := t.(term.Pid)
	return pid, ok && err == nil
}

// story tells what those did and got whom a problem is about, with the faults, in the order of time.
func (r *procRun) story(about []string) string {
	type line struct {
		at   time.Duration
		text string
	}
	var lines []line
	for _, a := range r.actors {
		if !slices.Contains(about, a.label) {
			for _, e := range a.trace { // what others did to them
				if b := r.byPid[e.pid]; b != nil && !e.got && e.what != "send" && slices.Contains(about, b.label) || len(about) == 0 && strings.HasPrefix(e.what, "global_") {
					lines = append(lines, line{e.at, a.label + " " + e.String()})
				}
			}
			continue
		}
		lines = append(lines, line{a.begun, fmt.Sprintf("%s is %s", a.label, term.String(a.pid))})
		for _, e := range a.trace {
			if !e.concerns(about, r) {
				continue
			}
			lines = append(lines, line{e.at, a.label + " " + e.String()})
		}
	}
	for _, f := range r.faults {
		var at time.Duration
		text := f
		if i := strings.IndexByte(f, ' '); i > 0 {
			at, _ = time.ParseDuration(f[:i])
			text = "======== " + f[i+1:]
		}
		lines = append(lines, line{at, text})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "  %v %s\n", l.at, l.text)
	}
	return b.String()
}
