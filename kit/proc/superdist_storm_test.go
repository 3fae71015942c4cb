package proc

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

const stormSeeds = uint64(6)

// Random cuts, loud and silent, kills, ends and requests. With quorum no child lives twice at any moment; without, not once
// all is whole again. In both each child that was never ended lives in the end.
func TestDistSupervisorStorm(t *testing.T) {
	for _, quorum := range []bool{false, true} {
		for seed := range stormSeeds {
			t.Run(fmt.Sprintf("quorum=%v/%d", quorum, seed), func(t *testing.T) { distStorm(t, quorum, seed) })
		}
	}
}

func distStorm(t *testing.T, quorum bool, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	names := []string{"a", "b", "c", "d", "e"}[:3+2*rng.IntN(2)]
	opts := DistOptions{Name: "workers", Quorum: quorum, MaxRestarts: 1000}
	for _, name := range names {
		opts.Members = append(opts.Members, kit.NodeName(name))
	}
	n := newDistNet(t, opts, rng)
	twice := ""
	n.check = func() {
		if !quorum || twice != "" {
			return
		}
		for id, at := range n.where() {
			if len(at) > 1 {
				twice = fmt.Sprintf("%s lives on %v after %v", id, at, n.now.Sub(time.Unix(0, 0)))
			}
		}
	}
	n.nodes["a"].begin()
	n.run(10 * time.Second)
	for i := range 60 {
		n.anything(names, i)
		n.run(time.Duration(rng.IntN(4000)) * time.Millisecond)
	}
	n.nodes["a"].begin()
	wanted := n.where()
	n.healAll(names)
	n.run(60 * time.Second)
	if twice != "" {
		t.Error(twice)
	}
	n.calm(wanted)
	if t.Failed() {
		t.Log(strings.Join(n.log, "\n"))
	}
}

// anything is one thing that happens.
func (n *distNet) anything(names []string, i int) {
	a, b := names[n.rng.IntN(len(names))], names[n.rng.IntN(len(names))]
	switch n.rng.IntN(8) {
	case 0, 1:
		if a != b {
			n.setCut(a, b, n.rng.IntN(2) == 0)
		}
	case 2:
		if a != b {
			n.heal(a, b)
		}
	case 3:
		n.around(a, names, func(o string) { n.setCut(a, o, n.rng.IntN(2) == 0) })
	case 4:
		n.healAll(names)
	case 5:
		alive := 0
		for _, x := range n.nodes {
			if x.d != nil {
				alive++
			}
		}
		if alive > 1 { // else nobody would begin its part again
			n.kill(a)
			n.around(a, names, func(o string) { n.upAt(a, o) })
		}
	default:
		if x := n.nodes[a]; x.d != nil {
			x.ask(term.T(term.Atom("start_child"), (&superScript{}).spec([]string{fmt.Sprintf("x%d", i)})))
			n.run(20 * time.Millisecond)
		}
	}
}

func (n *distNet) around(a string, names []string, do func(o string)) {
	for _, o := range names {
		if o != a {
			do(o)
		}
	}
}

func (n *distNet) healAll(names []string) {
	for _, x := range names {
		n.around(x, names, func(y string) { n.heal(x, y) })
	}
}

// calm is how it must be when all has been whole for a while.
func (n *distNet) calm(wanted map[string][]string) {
	where := n.where()
	for id, at := range where {
		if len(at) != 1 {
			n.t.Errorf("%s lives on %v", id, at)
		}
	}
	for id := range wanted {
		if len(where[id]) == 0 {
			n.t.Errorf("%s lives nowhere", id)
		}
	}
	for _, x := range n.nodes {
		switch {
		case x.d == nil:
			n.t.Errorf("%s has no member", x.name)
		case len(x.d.all()) != len(where) || len(x.d.orphans) > 0 || len(x.d.waits) > 0:
			n.t.Errorf("%s: %d known of %d", x.name, len(x.d.all()), len(where))
		}
	}
}
