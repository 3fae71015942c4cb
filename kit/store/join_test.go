package store

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"netsplit/kit"
)

// TestJoinOfANodeThatWasLost lets a starting store lose a node that has taken it in before it has asked the rest of the cluster.
// The node has forgotten it when it is there again, so it has to join anew.
func TestJoinOfANodeThatWasLost(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(m *mesh)
		want []kit.NodeName
	}{
		{"a link that comes back", func(m *mesh) { m.cut("a", "c"); m.heal("a", "c") }, []kit.NodeName{"a", "c"}},
		{"a store that stops", func(m *mesh) { _ = m.store("a").Stop(context.Background()) }, []kit.NodeName{"c"}},
	} {
		t.Run(c.name, func(t *testing.T) { joinLost(t, c.lose, c.want) })
	}
}

func joinLost(t *testing.T, lose func(m *mesh), want []kit.NodeName) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		m := started(t, "a", "b", "c")
		a, c := m.store("a"), m.store("c")
		if err := c.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		m.lose("b", "c", fStatus) // c asks a first, since b has not told that it runs
		m.lose("b", "c", fReply)
		done := make(chan error, 1)
		go func() { done <- c.Start(ctx, StartOptions{}) }()
		synctest.Wait()
		if v := a.view.Load(); !slices.Equal(v.nodes, []kit.NodeName{"a", "b", "c"}) || len(done) > 0 {
			t.Fatalf("a is to have taken c in, and b not to have answered; a sees %v", v.nodes)
		}
		lose(m)
		synctest.Wait()
		m.kill("b")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, s := range []*Store{a, c} {
			if v := s.view.Load(); slices.Contains(want, s.self) && !slices.Equal(v.nodes, want) {
				t.Errorf("%s sees %v", s.self, v.nodes)
			}
		}
	})
}
