package proc

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"netsplit/kit/term"
)

// TestTable compares a table that grows and shrinks with a map, while others look something up in it.
func TestTable(t *testing.T) {
	tab, want := newTable(), map[uint64]*process{}
	var stop atomic.Bool
	var lookers sync.WaitGroup
	defer lookers.Wait()
	defer stop.Store(true)
	for seed := range uint64(2) {
		lookers.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 2))
			for !stop.Load() {
				id := rng.Uint64N(3000)
				if p := tab.get(id); p != nil && p.pid.ID != id {
					t.Errorf("looked for %d, found %d", id, p.pid.ID)
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for round := range 20_000 {
		id := rng.Uint64N(3000)
		grow := round/5000%2 == 0
		switch p := want[id]; {
		case p == nil && (grow || rng.IntN(8) == 0):
			want[id] = &process{pid: term.Pid{Node: "a", ID: id}}
			tab.put(want[id])
		case p != nil && (!grow || rng.IntN(8) == 0):
			tab.remove(p)
			delete(want, id)
		}
		if got := tab.find(id); got != want[id] || tab.get(id) != want[id] || tab.len() != len(want) {
			t.Fatalf("%d is %v, %d processes; want %v, %d", id, got, tab.len(), want[id], len(want))
		}
	}
	all := tab.all()
	if len(all) != len(want) {
		t.Fatalf("%d processes are listed, want %d", len(all), len(want))
	}
	for i, p := range all {
		if want[p.pid.ID] != p || i > 0 && all[i-1].pid.ID >= p.pid.ID {
			t.Fatalf("%d is listed in place %d", p.pid.ID, i)
		}
	}
}

// TestNothingAfterDown kills processes that send as fast as they can: what they send comes in order, and nothing of one
// comes behind the news of its end.
func TestNothingAfterDown(t *testing.T) {
	r, err := New(Config{Self: "a", Funcs: map[string]Func{
		"talks": func(p *Process, args []term.Term) (term.Term, error) {
			for i := 1; ; i++ {
				if err := p.Send(args[0], term.T(p.Self(), term.Int(i))); err != nil {
					return nil, err
				}
			}
		}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	p, err := r.Attend()
	if err != nil {
		t.Fatal(err)
	}
	last := map[term.Pid]term.Int{}
	for range 200 {
		q, _, err := p.SpawnMonitor("a", "talks", p.Self())
		if err != nil {
			t.Fatal(err)
		}
		for last[q] >= 0 {
			msg, _ := p.Receive(Forever, nil)
			m := msg.(term.Tuple)
			if len(m) == 5 {
				last[m[3].(term.Pid)] = -1
				continue
			}
			from, n := m[0].(term.Pid), m[1].(term.Int)
			if n != last[from]+1 {
				t.Fatalf("message %d of %s after %d", n, term.String(from), last[from])
			}
			if last[from] = n; n == 3 {
				p.SendExit(from, Kill)
			}
		}
	}
}
