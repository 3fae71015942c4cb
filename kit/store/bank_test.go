package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

const (
	bankAccounts = 6
	bankMoney    = 100 // in each
)

// TestBank moves money between accounts from all nodes at once while one node dies, comes back and loads its copy. No
// money may be made or lost, and in the end all copies are equal.
func TestBank(t *testing.T) {
	for _, kind := range []string{"ram", "disc"} {
		t.Run(kind, func(t *testing.T) { bank(t, kind) })
	}
}

func bank(t *testing.T, kind string) {
	names := []kit.NodeName{"a", "b", "c"}
	m := started(t, names...)
	ctx := context.Background()
	tab := Table{Name: "t", RAM: names}
	if kind == "disc" {
		tab = Table{Name: "t", Disc: names}
	}
	if err := m.store("a").CreateTable(ctx, tab); err != nil {
		t.Fatal(err)
	}
	err := m.store("a").Transaction(ctx, func(tx *Tx) error {
		for i := range bankAccounts {
			if err := tx.Write("t", account(i, bankMoney)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for c := range 6 {
		s := m.store(names[c%2]) // of a and b; c dies
		clients.Go(func() { transfers(t, s, uint64(c), 150) })
	}
	clients.Go(func() {
		for range 3 {
			m.kill("c")
			m.boot("c")
			s := m.store("c")
			if err := s.wait(ctx, func() bool { return len(s.links) == 2 }); err != nil {
				t.Error(err)
			}
			if err := s.Start(ctx, StartOptions{}); err != nil {
				t.Error(err)
			}
			if err := s.WaitForTables(ctx, []string{"t"}); err != nil {
				t.Error(err)
			}
		}
	})
	clients.Wait()
	balance(t, m, names)
}

// balance checks that all copies hold all the money, are equal, and that no lock is left.
func balance(t *testing.T, m *mesh, names []kit.NodeName) {
	ctx := context.Background()
	// a transaction of c's own is behind everything that a and b have sent
	var seen []string
	for _, n := range names {
		if err := m.store(n).Activity(ctx, SyncTransaction, func(tx *Tx) error {
			_, err := tx.LockTable("t", WriteLock)
			if err != nil {
				return err
			}
			return tx.Write("t", account(bankAccounts, 0))
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range names {
		rows, _, err := m.store(n).LocalContents("t")
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, r := range rows {
			sum += int(r[2].(term.Int))
		}
		if sum != bankAccounts*bankMoney {
			t.Errorf("%s holds %d, not %d", n, sum, bankAccounts*bankMoney)
		}
		slices.SortFunc(rows, func(a, b term.Tuple) int { return term.Compare(a, b) })
		seen = append(seen, fmt.Sprint(rows))
	}
	if seen[0] != seen[1] || seen[0] != seen[2] {
		t.Errorf("the copies differ:\n%s", seen)
	}
	for _, n := range names {
		if held := m.store(n).HeldLocks(); len(held) > 0 {
			t.Errorf("locks left at %s: %v", n, held)
		}
	}
}

func account(i, n int) term.Tuple { return term.T(term.Atom("t"), term.Int(i), term.Int(n)) }

func transfers(t *testing.T, s *Store, seed uint64, n int) {
	r := rand.New(rand.NewPCG(seed, 3))
	for range n {
		from, to, sum := r.IntN(bankAccounts), r.IntN(bankAccounts), term.Int(r.IntN(10))
		if from == to {
			continue
		}
		err := s.Transaction(context.Background(), func(tx *Tx) error {
			x, err := tx.Read("t", term.Int(from), WriteLock)
			if err != nil {
				return err
			}
			y, err := tx.Read("t", term.Int(to), WriteLock)
			if err != nil {
				return err
			}
			if err := tx.Write("t", account(from, int(x[0][2].(term.Int)-sum))); err != nil {
				return err
			}
			return tx.Write("t", account(to, int(y[0][2].(term.Int)+sum)))
		})
		if err != nil {
			t.Error(err)
			return
		}
	}
}
