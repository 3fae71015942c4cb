package store

import (
	"context"
	"testing"
	"testing/synctest"

	"netsplit/kit"
	"netsplit/kit/term"
)

// TestPromiseKeepsLocks lets a participant in doubt hear that the coordinator lets go of the transaction, as one does that saw
// the link break and is heard again: until the outcome is known nobody else may write what was promised.
func TestPromiseKeepsLocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := started(t, "a", "b")
		if err := m.store("a").CreateTable(context.Background(), Table{Name: "t", RAM: []kit.NodeName{"a", "b"}}); err != nil {
			t.Fatal(err)
		}
		m.lose("b", "a", fVote)
		go func() {
			_ = m.store("a").Transaction(context.Background(), func(tx *Tx) error { return tx.Write("t", term.T(term.Atom("t"), term.Int(1), term.Int(2))) })
		}()
		synctest.Wait()
		b := m.store("b")
		held := b.HeldLocks()
		if len(held) != 1 {
			t.Fatalf("held: %v", held)
		}
		b.Receive("a", newFrame(fRelease).tx(held[0].Tx).b)
		if after := b.HeldLocks(); len(after) != 1 {
			t.Errorf("held after the release: %v", after)
		}
		m.kill("a")
		synctest.Wait()
		if rows, _, err := b.LocalContents("t"); err != nil || len(rows) != 1 || len(b.HeldLocks()) != 0 {
			t.Errorf("in the end: %v, %v, %v", rows, b.HeldLocks(), err)
		}
	})
}
