package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// storm lets the faults of a round happen, each at its time, and returns when the last one has begun.
func (r *run) storm(ctx context.Context, began time.Duration, faults []Fault) {
	for i, f := range faults {
		_ = r.w.Sleep(ctx, began+f.At-r.w.Now())
		r.w.Go(func(ctx context.Context) { r.inflict(ctx, f, uint64(i)) })
	}
}

// inflict does one fault and mends it.
func (r *run) inflict(ctx context.Context, f Fault, i uint64) {
	switch f.What {
	case Kill:
		if r.kill(f.Node, r.plan.Weather == Kills || r.plan.Weather == Power) {
			_ = r.w.Sleep(ctx, f.For)
			r.revive(ctx, f.Node)
		}
	case KillAll:
		r.killAll(ctx, f, rand.New(rand.NewPCG(r.plan.Seed, i)))
	case Isolate:
		r.isolate(ctx, f)
	case Freeze:
		r.freeze(ctx, f)
	case Slow:
		r.slow(ctx, f)
	}
}

// kill kills a node, unless it is not up, or, when others are to live on, it has the last loaded copy of a table.
func (r *run) kill(n kit.NodeName, others bool) bool {
	r.mu.Lock()
	s := r.nodes[n]
	if !s.alive || others && !r.spare(n) {
		if s.alive {
			r.counts.Skipped++
		}
		r.mu.Unlock()
		return false
	}
	s.alive, s.loaded, s.paused = false, false, false
	s.lives++
	r.counts.Kills++
	r.mu.Unlock()
	if p, ok := r.w.(powered); ok && (r.plan.Weather == Power || r.plan.Weather == Outage) {
		if err := p.LoseWrites(n, true); err == nil {
			r.count(func(c *Counts) { c.Lost++ })
		}
	}
	r.fault("kill", n, "", "", r.w.Kill(n))
	return true
}

// spare reports whether each table has a loaded copy elsewhere. Callers hold mu.
func (r *run) spare(n kit.NodeName) bool {
	for _, t := range r.layout.tables {
		if !slices.ContainsFunc(t.holders(), func(h kit.NodeName) bool { return h != n && r.nodes[h].loaded && !r.nodes[h].paused }) {
			return false
		}
	}
	return true
}

// revive starts a killed node and its store, and waits until it has its tables; unless it is killed again meanwhile.
func (r *run) revive(ctx context.Context, n kit.NodeName) {
	r.mu.Lock()
	s := r.nodes[n]
	life := s.lives
	r.mu.Unlock()
	err := r.w.Restart(n)
	r.fault("restart", n, "", "", err)
	if err != nil {
		r.mu.Lock()
		r.broken = append(r.broken, fmt.Sprintf("node %s did not start again: %v", n, err))
		r.mu.Unlock()
		return
	}
	r.mu.Lock()
	s.alive = true
	r.mu.Unlock()
	r.startStore(ctx, n, life)
}

// startStore starts a store; a kill may come between.
func (r *run) startStore(ctx context.Context, n kit.NodeName, life int) {
	if r.call(ctx, operator, n, "start_store").Status != door.OK {
		return
	}
	out := r.call(ctx, operator, n, "wait_for_tables", r.layout.names(), term.Int(loadTime))
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.nodes[n]; out.Status == door.OK && s.lives == life {
		s.loaded = true
	}
}

// killAll kills all nodes in some order; they come back in some order.
func (r *run) killAll(ctx context.Context, f Fault, draw *rand.Rand) {
	order := slices.Clone(r.plan.Nodes)
	draw.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	if r.plan.Weather == Outage {
		r.until = r.w.Now() // what is left is judged, and nothing comes on top
	}
	killed := map[kit.NodeName]bool{} // the others are down already, and whoever killed them brings them back
	for _, n := range order {
		if f.Spread > 0 {
			_ = r.w.Sleep(ctx, time.Duration(draw.Int64N(int64(f.Spread))))
		}
		killed[n] = r.kill(n, false)
	}
	_ = r.w.Sleep(ctx, f.For)
	draw.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, n := range order {
		if killed[n] {
			r.w.Go(func(ctx context.Context) { r.revive(ctx, n) })
		}
		_ = r.w.Sleep(ctx, time.Duration(draw.Int64N(int64(50*time.Millisecond))))
	}
}

// isolate cuts a node off, heals, and lets the operator repair what the cut left.
func (r *run) isolate(ctx context.Context, f Fault) {
	if !r.begin(ctx, f.Node) {
		return
	}
	r.count(func(c *Counts) { c.Cuts++ })
	rule := wire.Rule{Cut: wire.Loud}
	if f.Silent {
		rule.Cut = wire.Silent
	}
	for _, o := range r.plan.Nodes {
		if o != f.Node && f.Way != Incoming {
			r.fault("cut", f.Node, o, string(rule.Cut), r.w.Link(f.Node, o, rule))
		}
		if o != f.Node && f.Way != Outgoing {
			r.fault("cut", o, f.Node, string(rule.Cut), r.w.Link(o, f.Node, rule))
		}
	}
	_ = r.w.Sleep(ctx, f.For)
	r.heal(f.Node)
	r.reunite(ctx, f.Node)
}

func (r *run) heal(n kit.NodeName) {
	for _, o := range r.plan.Nodes {
		if o != n {
			r.fault("heal", n, o, "", r.w.Link(n, o, healed))
			r.fault("heal", o, n, "", r.w.Link(o, n, healed))
		}
	}
}

// begin waits for an earlier separation to be repaired, and opens a window for this one.
func (r *run) begin(ctx context.Context, n kit.NodeName) bool {
	for range 1000 {
		r.mu.Lock()
		if !r.isolated {
			r.isolated = true
			r.windows = append(r.windows, window{node: n, from: r.w.Now(), to: -1})
			r.mu.Unlock()
			return true
		}
		r.mu.Unlock()
		_ = r.w.Sleep(ctx, 10*time.Millisecond)
	}
	return false
}

// freeze pauses a node. Under Majority that is a separation like a cut.
func (r *run) freeze(ctx context.Context, f Fault) {
	long := r.plan.Weather == Majority
	if long && !r.begin(ctx, f.Node) {
		return
	}
	r.mu.Lock()
	s := r.nodes[f.Node]
	ok := s.alive && !s.paused
	life := s.lives
	if ok {
		s.paused = true
		r.counts.Freezes++
	}
	r.mu.Unlock()
	if !ok {
		return
	}
	r.fault("pause", f.Node, "", "", r.w.Pause(f.Node))
	_ = r.w.Sleep(ctx, f.For)
	r.mu.Lock()
	ok = s.lives == life && s.paused
	s.paused = false
	r.mu.Unlock()
	if ok {
		r.fault("resume", f.Node, "", "", r.w.Resume(f.Node))
	}
	if long {
		r.reunite(ctx, f.Node)
	}
}

// reunite waits until both sides have told of the separation, and, but under Islands, repairs it.
func (r *run) reunite(ctx context.Context, n kit.NodeName) {
	for range 60 {
		all := true
		for _, o := range r.plan.Nodes {
			all = r.hasTold(ctx, o) && all
		}
		if all {
			break
		}
		_ = r.w.Sleep(ctx, 50*time.Millisecond)
	}
	if r.plan.Weather != Islands {
		r.repair(ctx, n)
	}
}

// hasTold asks a node for events, and reports whether it has told of an inconsistent database in this round.
func (r *run) hasTold(ctx context.Context, n kit.NodeName) bool {
	out := r.call(ctx, operator, n, "boot_events")
	var events []struct {
		Event string `json:"event"`
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if out.Status == door.OK && json.Unmarshal(out.Value, &events) == nil {
		for _, e := range events {
			if e.Event == "inconsistent_database" {
				r.told[n] = true
			}
		}
	}
	return r.told[n]
}

// repair is what an operator does after a separation: the others are masters, and the store is started anew.
func (r *run) repair(ctx context.Context, n kit.NodeName) {
	others := slices.DeleteFunc(slices.Clone(r.plan.Nodes), func(o kit.NodeName) bool { return o == n })
	r.fault("repair", n, "", "", nil)
	r.mu.Lock()
	life := r.nodes[n].lives
	r.nodes[n].loaded = false
	r.mu.Unlock()
	for _, order := range [][]term.Term{{term.Atom("stop_store")}, {term.Atom("set_master_nodes"), atoms(others)}} {
		if out := r.call(ctx, operator, n, string(order[0].(term.Atom)), order[1:]...); out.Status != door.OK {
			r.mu.Lock()
			r.broken = append(r.broken, fmt.Sprintf("%v at %s after it was cut off: %v", order[0], n, out.Err()))
			r.mu.Unlock()
		}
	}
	r.startStore(ctx, n, life)
	r.call(ctx, operator, n, "set_master_nodes", term.List{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isolated = false
	if i := len(r.windows) - 1; i >= 0 {
		r.windows[i].to = r.w.Now()
	}
	for o := range r.told {
		r.told[o] = false
	}
}

// slow makes what a node sends late.
func (r *run) slow(ctx context.Context, f Fault) {
	rule := wire.Rule{Delay: 3 * time.Millisecond, Jitter: 20 * time.Millisecond}
	for _, o := range r.plan.Nodes {
		if o != f.Node {
			r.fault("slow", f.Node, o, "", r.w.Link(f.Node, o, rule))
		}
	}
	_ = r.w.Sleep(ctx, f.For)
	r.heal(f.Node)
}
