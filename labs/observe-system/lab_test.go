package observesystem

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"netsplit/kit"
)

// TestEverySeedHasOneAnswer: whatever is drawn, each question has exactly one right answer, and each of the usual
// misreadings another.
func TestEverySeedHasOneAnswer(t *testing.T) {
	seen := map[kit.NodeName]int{}
	for seed := range uint64(2000) {
		p := newPlant(rand.New(rand.NewPCG(seed, 3)))
		names := map[string]bool{}
		var full, busy, holder, impostor worker
		for _, w := range p.workers {
			if names[w.name] {
				t.Fatalf("seed %d: two processes are called %s", seed, w.name)
			}
			names[w.name] = true
			switch {
			case w.name == leader:
				impostor = w
			case w.fn == "sleep" && w.sent > full.sent:
				full = w
			}
			if w.sent > busy.sent {
				busy = w
			}
			if w.claim {
				holder = w
			}
		}
		if full.sent < 3000 || full.node == "a" {
			t.Errorf("seed %d: the full mailbox is %+v", seed, full)
		}
		for _, w := range p.workers {
			if w.fn == "sleep" && w.name != full.name && w.sent > full.sent/10 {
				t.Errorf("seed %d: %+v is nearly as full as %+v", seed, w, full)
			}
		}
		if busy.fn != "echo" || busy.sent <= full.sent {
			t.Errorf("seed %d: most messages went to %+v, most wait at %+v", seed, busy, full)
		}
		if !holder.claim || impostor.claim || holder.node == impostor.node || holder.name == leader {
			t.Errorf("seed %d: the global name is held by %+v, the local one by %+v", seed, holder, impostor)
		}
		if p.from == p.to || p.delay < 100e6 || p.delay > 500e6 {
			t.Errorf("seed %d: %s to %s is %v late", seed, p.from, p.to, p.delay)
		}
		checkTables(t, seed, p.tables)
		seen[p.from]++
	}
	if len(seen) != len(nodes) {
		t.Errorf("slow links begin only at %v", seen)
	}
}

func checkTables(t *testing.T, seed uint64, tables []table) {
	single, memory, least := "", "", tables[0]
	for _, x := range tables {
		copies, disc := 0, 0
		for kind, on := range x.copies {
			copies += len(on)
			if kind != "ram_copies" {
				disc += len(on)
			}
		}
		if copies == 1 {
			if single != "" {
				t.Errorf("seed %d: %s and %s have one copy", seed, single, x.name)
			}
			single = x.name
		}
		if disc == 0 {
			if memory != "" {
				t.Errorf("seed %d: %s and %s are on no disc", seed, memory, x.name)
			}
			memory = x.name
		}
		if x.rows < least.rows {
			least = x
		}
	}
	if single == "" || memory == "" || single == memory || least.name == single {
		t.Errorf("seed %d: one copy %q, on no disc %q, fewest rows %q", seed, single, memory, least.name)
	}
}

// TestSameSeedSamePlant: a workspace's cluster is the same each time, and another seed's is another.
func TestSameSeedSamePlant(t *testing.T) {
	text := func(seed uint64) string {
		p := newPlant(rand.New(rand.NewPCG(seed, 3)))
		return fmt.Sprint(p.workers, p.tables, p.from, p.to, p.delay)
	}
	if first, again := text(42), text(42); first != again {
		t.Errorf("one seed gave two plants:\n%s\n%s", first, again)
	}
	if text(42) == text(43) {
		t.Error("two seeds gave the same plant")
	}
	if plan := Lab.Scenarios[0].New(42); len(plan.Data) != 0 {
		t.Errorf("lab.data tells something: %v", plan.Data)
	}
}
