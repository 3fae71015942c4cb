package store

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"netsplit/kit"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// TestHeldLocksWithIndex compares the answers of many locks, which have an index, with those of a list.
func TestHeldLocksWithIndex(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	key := func() term.Term {
		switch r.IntN(8) {
		case 0:
			return nil
		case 1:
			return term.T(term.Int(r.IntN(4)), term.Atom("x"))
		}
		return term.Int(r.IntN(40))
	}
	nodes := [][]kit.NodeName{{"a"}, {"b"}, {"a", "b"}}
	tabs := []string{"t", "u", "v", "w"}
	var h heldLocks
	yes := 0
	for range 2000 {
		l := heldLock{tab: tabs[r.IntN(len(tabs))], key: key(), kind: lock.Kind(r.IntN(2)), nodes: nodes[r.IntN(3)]}
		if l.key == nil && r.IntN(10) > 0 {
			continue
		}
		list := heldLocks{list: h.list}
		if got, want := h.has(l.tab, l.key, l.kind, l.nodes), list.has(l.tab, l.key, l.kind, l.nodes); got != want {
			t.Fatalf("%v: %v, a list says %v", l, got, want)
		} else if want {
			yes++
		} else if len(h.list) < 60 {
			h.add(l)
		}
	}
	if h.last == nil || yes == 0 || yes > 1900 {
		t.Fatalf("%d of 2000 were held: nothing was compared", yes)
	}
	if h.reset(); h.has("t", term.Int(1), lock.Read, nil) {
		t.Error("a lock is left")
	}
}

// TestCountersOfAnySize adds numbers that fit a machine word and others.
func TestCountersOfAnySize(t *testing.T) {
	edge := []term.Term{term.Int(0), term.Int(1), term.Int(-1), term.Int(-5), term.Int(7), term.Int(1<<63 - 1), term.Int(-1 << 63),
		term.Integer(new(big.Int).Lsh(big.NewInt(1), 70)), term.Integer(new(big.Int).Lsh(big.NewInt(-1), 70))}
	for _, was := range edge {
		for _, incr := range edge {
			x, _ := term.BigInt(was)
			y, _ := term.BigInt(incr)
			want := x.Add(x, y)
			if want.Sign() < 0 {
				want.SetInt64(0)
			}
			o := op{kind: opCounter, key: term.Int(1), incr: incr, row: term.T(term.Atom("t"), term.Int(1), incr)}
			got := counted(&o, []term.Tuple{term.T(term.Atom("t"), term.Int(1), was)})
			if !term.Equal(got[2], term.Integer(want)) {
				t.Errorf("%s + %s = %s", term.String(was), term.String(incr), term.String(got[2]))
			}
		}
	}
}
