package soak

import (
	"context"
	"fmt"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// storm lets the plan's faults happen, each at its time.
func (r *procRun) storm(ctx context.Context, began time.Duration) {
	for _, f := range r.plan.Faults {
		_ = r.w.Sleep(ctx, began+f.At-r.w.Now())
		r.w.Go(func(ctx context.Context) { r.inflict(ctx, f) })
	}
}

func (r *procRun) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hit = true
	r.counts.Faults++
	r.faults = append(r.faults, fmt.Sprintf("%v ", r.w.Now())+fmt.Sprintf(format, args...))
}

// inflict does one fault and mends it.
func (r *procRun) inflict(ctx context.Context, f Fault) {
	switch f.What {
	case Kill:
		if r.kill(f.Node) {
			_ = r.w.Sleep(ctx, f.For)
			r.revive(f.Node)
		}
	case Freeze:
		r.freeze(ctx, f)
	case Slow:
		r.rule(f, wire.Rule{Delay: 3 * time.Millisecond, Jitter: 20 * time.Millisecond})
		_ = r.w.Sleep(ctx, f.For)
		r.rule(f, healed)
	case Isolate:
		cut := wire.Loud
		if f.Silent {
			cut = wire.Silent
		}
		r.rule(f, wire.Rule{Cut: cut})
		_ = r.w.Sleep(ctx, f.For)
		r.rule(f, healed)
	case Part:
		if f.Peer == "" {
			return
		}
		r.note("disconnect %s %s", f.Node, f.Peer)
		r.call(ctx, operator+string(f.Node), f.Node, "disconnect", term.Atom(f.Peer))
		_ = r.w.Sleep(ctx, f.For)
		r.note("connect %s %s", f.Node, f.Peer)
		r.call(ctx, operator+string(f.Node), f.Node, "connect", term.Atom(f.Peer))
	}
}

// rule sets the rule of the links that a fault is about.
func (r *procRun) rule(f Fault, rule wire.Rule) {
	what := string(f.What)
	if rule == healed {
		what = "heal after " + what
	}
	r.note("%s %s %s %s %s", what, f.Node, f.Peer, f.Way, rule.Cut)
	for _, o := range r.plan.Nodes {
		if o == f.Node || f.Peer != "" && o != f.Peer {
			continue
		}
		if f.Way != Incoming {
			_ = r.w.Link(f.Node, o, rule) // the nodes are the world's
		}
		if f.Way != Outgoing {
			_ = r.w.Link(o, f.Node, rule)
		}
	}
}

func (r *procRun) kill(n kit.NodeName) bool {
	r.mu.Lock()
	s := r.nodes[n]
	if !s.alive {
		r.mu.Unlock()
		return false
	}
	s.alive, s.paused = false, false
	s.lives++
	r.mu.Unlock()
	r.resumed(n)
	r.note("kill %s", n)
	_ = r.w.Kill(n) // it is up
	return true
}

func (r *procRun) revive(n kit.NodeName) {
	r.note("restart %s", n)
	if err := r.w.Restart(n); err != nil {
		r.problem("not recovered", nil, "node %s did not start again: %v", n, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes[n].alive = true
}

func (r *procRun) freeze(ctx context.Context, f Fault) {
	r.mu.Lock()
	s := r.nodes[f.Node]
	life, ok := s.lives, s.alive && !s.paused
	if ok {
		s.paused = true
		r.pauses = append(r.pauses, window{node: f.Node, from: r.w.Now(), to: -1})
	}
	r.mu.Unlock()
	if !ok {
		return
	}
	r.note("pause %s", f.Node)
	_ = r.w.Pause(f.Node) // it is up
	_ = r.w.Sleep(ctx, f.For)
	r.mu.Lock()
	ok = s.lives == life && s.paused
	r.mu.Unlock()
	if ok {
		r.note("resume %s", f.Node)
		_ = r.w.Resume(f.Node)
		r.resumed(f.Node)
	}
}

// resumed notes that a node's pause is over.
func (r *procRun) resumed(n kit.NodeName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes[n].paused = false
	for i := range r.pauses {
		if p := &r.pauses[i]; p.node == n && p.to < 0 {
			p.to = r.w.Now()
		}
	}
}

// mend heals all links and connects all nodes, and waits until that lasts and names have settled. It reports whether it did.
func (r *procRun) mend(ctx context.Context) bool {
	for _, a := range r.plan.Nodes {
		for _, b := range r.plan.Nodes {
			if a != b {
				_ = r.w.Link(a, b, healed)
			}
		}
	}
	for range 12 {
		for _, a := range r.plan.Nodes {
			for _, b := range r.plan.Nodes {
				if a < b {
					r.call(ctx, operator, a, "connect", term.Atom(b))
				}
			}
		}
		_ = r.w.Sleep(ctx, 1500*time.Millisecond)
		whole := true
		for _, n := range r.plan.Nodes {
			out := r.call(ctx, operator, n, "nodes")
			t, _ := out.Term()
			l, _ := t.(term.List)
			whole = whole && len(l) == len(r.plan.Nodes)-1
		}
		if whole {
			return r.settle(ctx, r.plan.Nodes)
		}
	}
	r.problem("not recovered", nil, "after all was mended not all nodes are connected")
	return false
}

// settle waits until clashes of names are over.
func (r *procRun) settle(ctx context.Context, nodes []kit.NodeName) bool {
	_ = r.w.Sleep(ctx, 3*time.Second)
	for _, n := range nodes {
		if out := r.call(ctx, operator, n, "global_sync"); out.Status != door.OK {
			r.problem("names not settled", nil, "global_sync at %s: %v", n, out.Err())
			return false
		}
	}
	return true
}

// split parts the cluster in two, lets the actors work, and looks at the names of each side when all has settled.
func (r *procRun) split(ctx context.Context) {
	in := map[kit.NodeName]bool{}
	for _, n := range r.plan.Part {
		in[n] = true
	}
	var sides [2][]kit.NodeName
	for _, a := range r.plan.Nodes {
		side := 0
		if in[a] {
			side = 1
		}
		sides[side] = append(sides[side], a)
		for _, b := range r.plan.Nodes {
			if in[a] != in[b] {
				_ = r.w.Link(a, b, wire.Rule{Cut: wire.Silent})
			}
		}
	}
	r.note("split off %v", r.plan.Part)
	r.work(ctx, 500*time.Millisecond, func(context.Context) {})
	_ = r.w.Sleep(ctx, 3*time.Second)
	if r.plan.Overlap { // which cuts more links than we did, and the sides are not whole
		return
	}
	for _, side := range sides {
		if r.settle(ctx, side) {
			r.sameNames(ctx, side)
		}
	}
}
