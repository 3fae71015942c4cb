package store

import (
	"context"
	"testing"
	"testing/synctest"

	"netsplit/kit"
	"netsplit/kit/term"
)

// TestCopyWaitsForItsOwnFlush lets the source of a copy hear late that another node has sent it all it had before an earlier copy
// for the same node. That says nothing about this copy: the other node may not know of it, and write past it.
func TestCopyWaitsForItsOwnFlush(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := context.Background()
		m := started(t, "a", "b", "c")
		a, c := m.store("a"), m.store("c")
		if err := a.CreateTable(ctx, Table{Name: "t", RAM: []kit.NodeName{"a"}}); err != nil {
			t.Fatal(err)
		}
		for late := range 3 {
			if _, err := serveFlush(a, "b", term.T(term.Atom("t"), term.Atom("c"), term.Int(late))); err != nil {
				t.Fatal(err)
			}
		}
		m.lose("c", "b", fCall)
		go func() { _ = a.AddTableCopy(ctx, "t", "c", RAM) }()
		synctest.Wait()
		if err := m.store("b").DirtyWrite(ctx, "t", term.T(term.Atom("t"), term.Int(1), term.Int(2))); err != nil {
			t.Fatal(err)
		}
		m.kill("b")
		if err := a.wait(ctx, func() bool { return len(a.tabs["t"].active) == 2 }); err != nil {
			t.Fatal(err)
		}
		if rows, _, err := c.LocalContents("t"); err != nil || len(rows) != 1 {
			t.Errorf("the copy has %v, %v", rows, err)
		}
	})
}
