package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// superRun is a distributed supervisor in a world where links and nodes fail.
type superRun struct {
	t        *testing.T
	ctx      context.Context
	w        World
	rng      *rand.Rand
	nodes    []kit.NodeName
	quorum   bool
	children int
}

func (r *superRun) call(n kit.NodeName, verb string, args ...term.Term) (term.Term, error) {
	out := r.w.Call(r.ctx, "t", n, door.Request{Client: "t", Verb: verb, Args: args})
	return out.Term()
}

// living counts the children that run on all nodes.
func (r *superRun) living() int {
	n := 0
	for _, node := range r.nodes {
		list, err := r.call(node, "processes")
		if err != nil {
			continue // it is down
		}
		for _, p := range list.(term.List) {
			if p.(term.Map).Opt("function") == term.Atom("counter") {
				n++
			}
		}
	}
	return n
}

func (r *superRun) pass(d time.Duration) {
	for ; d > 0; d -= 250 * time.Millisecond {
		if err := r.w.Sleep(r.ctx, 250*time.Millisecond); err != nil {
			r.t.Fatal(err)
		}
		if n := r.living(); r.quorum && n > r.children {
			r.t.Errorf("%d of %d children live at %v", n, r.children, r.w.Now())
		}
	}
}

func (r *superRun) link(a, b kit.NodeName, rule wire.Rule) {
	for _, l := range [][2]kit.NodeName{{a, b}, {b, a}} {
		if err := r.w.Link(l[0], l[1], rule); err != nil {
			r.t.Fatal(err)
		}
	}
}

// fault does something bad for a while.
func (r *superRun) fault() {
	n := r.nodes[r.rng.IntN(len(r.nodes))]
	rule := wire.Rule{Cut: []wire.Cut{wire.Loud, wire.Silent}[r.rng.IntN(2)]}
	switch r.rng.IntN(3) {
	case 0:
		if err := r.w.Kill(n); err != nil {
			r.t.Fatal(err)
		}
		r.pass(time.Duration(1+r.rng.IntN(5)) * time.Second)
		if err := r.w.Restart(n); err != nil {
			r.t.Fatal(err)
		}
	case 1: // one link
		other := r.nodes[r.rng.IntN(len(r.nodes))]
		if other != n {
			r.link(n, other, rule)
		}
		fallthrough
	default: // and a part
		for _, other := range r.nodes[:1+r.rng.IntN(len(r.nodes)-1)] {
			if other != n {
				r.link(n, other, rule)
			}
		}
		r.pass(time.Duration(1+r.rng.IntN(8)) * time.Second)
	}
	for i, a := range r.nodes {
		for _, b := range r.nodes[:i] {
			r.link(a, b, wire.Rule{})
		}
	}
	r.pass(time.Duration(r.rng.IntN(4)) * time.Second)
}

func (r *superRun) run() {
	pair := func(k string, v term.Term) term.Pair { return term.Pair{Key: term.Atom(k), Value: v} }
	opts := term.MakeMap(pair("name", term.Atom("workers")), pair("members", term.Atoms(r.nodes...)), pair("quorum", term.Bool(r.quorum)))
	if err := r.w.Sleep(r.ctx, time.Second); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.call(r.nodes[0], "dist_supervisor", opts); err != nil {
		r.t.Fatal(err)
	}
	for i := range r.children {
		spec := term.MakeMap(pair("id", term.Int(i)), pair("function", term.Atom("counter")))
		if _, err := r.call(r.nodes[i%len(r.nodes)], "start_child", term.Atom("workers"), spec); err != nil {
			r.t.Fatal(err)
		}
	}
	if n := r.living(); n != r.children {
		r.t.Errorf("%d of %d children live at first", n, r.children)
	}
	for range 6 {
		r.fault()
	}
	r.pass(15 * time.Second)
	if n := r.living(); n != r.children {
		r.t.Errorf("%d of %d children live in the end", n, r.children)
	}
	var all []string
	for _, n := range r.nodes {
		list, err := r.call(n, "which_children", term.Atom("workers"))
		if err != nil {
			r.t.Error(err)
		}
		all = append(all, term.String(list))
	}
	if slices.Sort(all); all[0] != all[len(all)-1] {
		r.t.Errorf("the members disagree: %q", all)
	}
}

// TestDistributedSupervisor lets links and nodes of simulated clusters fail: with quorum there are never more children
// than were started, and in the end each lives once and all members know where.
func TestDistributedSupervisor(t *testing.T) {
	dir, ok := simulable(t)
	if !ok {
		return
	}
	maker := SimulatedProcs(dir, "./cmd/node")
	n := 3
	if given("seeds") {
		n = *seeds
	}
	for i := range n {
		seed := *first + uint64(i)
		for _, quorum := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/quorum=%v", seed, quorum), func(t *testing.T) {
				nodes := []kit.NodeName{"a", "b", "c", "d", "e"}[:3+2*(seed%2)]
				w, err := maker(t.Context(), ProcPlan{Seed: seed, Nodes: nodes})
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				done := make(chan struct{})
				w.Go(func(ctx context.Context) {
					defer close(done)
					r := &superRun{t: t, ctx: ctx, w: w, rng: rand.New(rand.NewPCG(seed, 3)), nodes: nodes, quorum: quorum, children: 7}
					r.run()
				})
				w.Wait()
				<-done
			})
		}
	}
}
