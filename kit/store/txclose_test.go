package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"netsplit/kit"
	"netsplit/kit/term"
)

// TestCloseEndsWaits has transactions wait for a lock in every way there is, here and at another node, and closes them.
func TestCloseEndsWaits(t *testing.T) {
	for name, c := range map[string]struct {
		node  kit.NodeName
		older bool // than the holder: it queues; otherwise it stands aside
		used  bool // it has done something before
	}{
		"queues":                   {"a", true, true},
		"stands aside":             {"a", false, false},
		"stands aside, used":       {"a", false, true},
		"queues far away":          {"b", true, true},
		"stands aside far away":    {"b", false, true},
		"stands aside there, new":  {"b", false, false},
		"queues far away, nothing": {"b", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ctx := context.Background()
				m := started(t, "a", "b")
				if err := m.store("a").CreateTable(ctx, Table{Name: "t", RAM: []kit.NodeName{"a"}}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				begin := func(n kit.NodeName) *Tx {
					tx, err := m.store(n).Begin(ctx, Transaction)
					if err != nil {
						t.Fatal(err)
					}
					return tx
				}
				var holder, waiter *Tx
				if c.older {
					waiter = begin(c.node)
				}
				if holder = begin("a"); !c.older {
					waiter = begin(c.node)
				}
				if c.used {
					if _, err := waiter.Read("t", term.Int(2), WriteLock); err != nil {
						t.Fatal(err)
					}
				}
				if err := holder.Write("t", row("t", 1)); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() {
					_, err := waiter.Read("t", term.Int(1), WriteLock)
					ended <- err
				}()
				synctest.Wait()
				if len(ended) > 0 {
					t.Fatalf("it did not wait: %v", <-ended)
				}
				waiter.Close()
				var e *Error
				if err := <-ended; !errors.As(err, &e) || e.Reason != term.Term(term.Atom("killed")) {
					t.Errorf("it ended with %v", err)
				}
				if err := holder.Commit(); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if held := m.store("a").HeldLocks(); len(held) > 0 {
					t.Errorf("locks are left: %v", held)
				}
			})
		})
	}
}
