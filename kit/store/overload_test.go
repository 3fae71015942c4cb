package store

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

func overloads(s *Store) (got []string) {
	for _, e := range s.BootEvents() {
		if e.Kind == "mnesia_overload" {
			got = append(got, term.String(e.Value))
		}
	}
	return got
}

// A peer that does not read: what waits for it stays bounded, one event tells, writers wait or give up with an error that
// says that nothing was written, and go on when it reads again.
func TestSlowPeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := started(t, "a", "b")
		ctx := context.Background()
		a := m.store("a")
		for _, tab := range []Table{{Name: "t", RAM: []kit.NodeName{"a", "b"}}, {Name: "own", RAM: []kit.NodeName{"a"}}} {
			if err := a.CreateTable(ctx, tab); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		m.mu.Lock()
		m.stall = make(chan struct{})
		m.mu.Unlock()
		row := func(i int) term.Tuple { return term.T(term.Atom("t"), term.Int(i), term.Bin(make([]byte, 4096))) }
		refused, written := 0, 0
		for i := range 10_000 {
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			err := a.DirtyWrite(short, "t", row(i))
			cancel()
			switch {
			case err == nil:
				written++
			case kit.KindOf(err) == kit.Overloaded && kit.HintOf(err) != "":
				refused++
			default:
				t.Fatal(err)
			}
			if refused > 20 {
				break
			}
		}
		if q := m.nodes["a"].Queued("b"); refused < 20 || q > outboxHigh+1<<20 {
			t.Errorf("%d writes refused, %d bytes wait", refused, q)
		}
		if n := a.table("t").data.size(); n != written {
			t.Errorf("%d rows here, %d were written", n, written)
		}
		if err := a.DirtyWrite(ctx, "own", term.T(term.Atom("own"), term.Int(1), term.Int(1))); err != nil {
			t.Error("a table without a copy there has nothing to wait for:", err)
		}
		begun := time.Now()
		if err := a.DirtyWrite(ctx, "t", row(0)); kit.KindOf(err) != kit.Overloaded || time.Since(begun) != maxRoomWait {
			t.Error("a write without a deadline:", err, time.Since(begun))
		}
		done := make(chan error, 1)
		go func() {
			done <- a.Transaction(ctx, func(tx *Tx) error { return tx.Write("t", row(-1)) })
		}()
		synctest.Wait()
		if got := overloads(a); len(got) != 1 {
			t.Error("events:", got)
		}
		close(m.stall)
		if err := <-done; err != nil {
			t.Error("a transaction that waited:", err)
		}
		m.mu.Lock()
		m.stall = nil
		m.mu.Unlock()
		synctest.Wait()
		if n := m.store("b").table("t").data.size(); n != written+1 {
			t.Errorf("%d rows there, not %d", n, written+1)
		}
	})
}

// The log is dumped when the threshold is reached. When it is reached again meanwhile, that is an overload, once.
func TestDumpThreshold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, "a")
		a, ctx := m.store("a"), context.Background()
		if err := a.CreateSchema(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if err := a.Start(ctx, StartOptions{DumpWrites: 10, DumpEvery: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if err := a.CreateTable(ctx, Table{Name: "t", Disc: []kit.NodeName{"a"}}); err != nil {
			t.Fatal(err)
		}
		write := func(n int) {
			t.Helper()
			for i := range n {
				if err := a.DirtyWrite(ctx, "t", term.T(term.Atom("t"), term.Int(i), term.Int(1))); err != nil {
					t.Fatal(err)
				}
			}
		}
		pending := func() int { n, _ := a.disk.Pending(); return n }
		write(9)
		synctest.Wait()
		if pending() == 0 {
			t.Error("dumped too early")
		}
		write(1)
		synctest.Wait()
		if n := pending(); n != 0 {
			t.Errorf("%d changes were not dumped", n)
		}
		write(35) // the dump does not run before this returns: there is one thread
		synctest.Wait()
		if got := overloads(a); !slices.Equal(got, []string{"{dump_log,write_threshold}"}) {
			t.Error("events:", got)
		}
		write(3)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := pending(); n != 0 {
			t.Errorf("%d changes were not dumped when time was up", n)
		}
	})
}

// Transactions that wait for long are an overload, told once.
func TestWaiters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, "a")
		a, ctx := m.store("a"), context.Background()
		if err := a.Start(ctx, StartOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := a.CreateTable(ctx, Table{Name: "t"}); err != nil {
			t.Fatal(err)
		}
		txs := make([]*Tx, waitersHigh+10)
		for i := range txs {
			tx, err := a.Begin(ctx, Transaction)
			if err != nil {
				t.Fatal(err)
			}
			txs[i] = tx
			time.Sleep(time.Millisecond)
		}
		holder := txs[len(txs)-1] // the youngest: the others may wait for it
		if err := holder.Write("t", term.T(term.Atom("t"), term.Int(1), term.Int(1))); err != nil {
			t.Fatal(err)
		}
		for _, tx := range txs[:len(txs)-1] {
			go func() { _ = tx.Write("t", term.T(term.Atom("t"), term.Int(1), term.Int(2))) }()
		}
		time.Sleep(5 * waitersLook)
		if got := overloads(a); len(got) != 1 {
			t.Error("events:", got)
		}
		for _, tx := range txs {
			tx.Close()
		}
	})
}
