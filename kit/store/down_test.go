package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"netsplit/kit"
	"netsplit/kit/term"
)

// TestNodeGoesWithItsLink watches a store while links break: a node of the cluster always has a link. If it stayed a member for
// a moment longer, a transaction would ask it for locks in vain until it had no attempt left, and end with no_exists although
// there are copies on other nodes.
func TestNodeGoesWithItsLink(t *testing.T) {
	s := started(t, "a").store("a")
	var others []kit.NodeName
	s.mu.Lock()
	for i := range 500 {
		n := kit.NodeName(fmt.Sprintf("n%d", i))
		others = append(others, n)
		s.links[n] = &link{}
		s.enter(n)
	}
	s.publish()
	s.mu.Unlock()
	var work sync.WaitGroup
	defer work.Wait()
	for range 4 { // so that one of them waits for the lock whenever it is let go
		work.Go(func() {
			for left := len(others); left > 0; {
				s.mu.Lock()
				left = len(s.nodes) - 1
				for n := range s.nodes {
					if n != s.self && s.links[n] == nil {
						t.Errorf("%s is a node of the cluster, and the link to it has gone", n)
						left = 0
					}
				}
				s.mu.Unlock()
			}
		})
	}
	for _, n := range others {
		s.PeerDown(n)
	}
}

// TestNodeGoesBeforeItLocks lets a node go that was asked for a lock on a name and has not answered: the name is locked at the
// others, as if it had gone before. A store that starts decides under such a lock what it loads.
func TestNodeGoesBeforeItLocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := started(t, "a", "b")
		m.lose("b", "a", fLocked)
		type answer struct {
			at  []kit.NodeName
			err error
		}
		got := make(chan answer, 1)
		go func() {
			var at []kit.NodeName
			err := m.store("a").Transaction(context.Background(), func(tx *Tx) (err error) {
				at, err = tx.LockGlobal(term.Atom("name"), []kit.NodeName{"a", "b"}, WriteLock)
				return err
			})
			got <- answer{at, err}
		}()
		synctest.Wait()
		if len(got) > 0 {
			t.Fatal("it did not wait for b")
		}
		m.kill("b")
		if g := <-got; g.err != nil || !slices.Equal(g.at, []kit.NodeName{"a"}) {
			t.Errorf("locked at %v, %v", g.at, g.err)
		}
	})
}
