package store

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// TestOneMoment moves money between tables that lie on different nodes, over slow links, while backups are taken from all
// nodes and a node dies and comes back. Every backup holds all the money.
func TestOneMoment(t *testing.T) {
	for seed := range uint64(6) {
		bubble(t, func(t *testing.T) { oneMoment(t, seed) })
	}
}

func oneMoment(t *testing.T, seed uint64) {
	names := []kit.NodeName{"a", "b", "c", "d"}
	m := started(t, names...)
	ctx := context.Background()
	tabs := []Table{{Name: "x", Disc: []kit.NodeName{"a"}}, {Name: "y", Disc: []kit.NodeName{"b", "c"}}, {Name: "z", Disc: []kit.NodeName{"c"}}}
	for _, tab := range tabs {
		if err := m.store("a").CreateTable(ctx, tab); err != nil {
			t.Fatal(err)
		}
		if err := m.store("a").Activity(ctx, SyncTransaction, func(tx *Tx) error {
			return tx.Write(tab.Name, term.T(term.Atom(tab.Name), term.Int(0), term.Int(1000)))
		}); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(seed, 5))
	var mu sync.Mutex
	m.delay = func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		if r.IntN(20) == 0 {
			return 20 * time.Millisecond // now and then one is overtaken by many on other links
		}
		return time.Duration(r.IntN(2000)) * time.Microsecond
	}
	var clients sync.WaitGroup
	stop := make(chan bool)
	moved := make([]int, 3)
	for i := range 3 {
		s := m.store(names[i])
		clients.Go(func() { moved[i] = pay(t, s, seed*10+uint64(i), stop) })
	}
	clients.Go(func() { // d has no copy of anything, but takes part in every moment
		for range 3 {
			time.Sleep(time.Second)
			m.kill("d")
			m.boot("d")
			if err := m.store("d").Start(ctx, StartOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 40 {
		s := m.store(names[i%3])
		time.Sleep(20 * time.Millisecond)
		var b bytes.Buffer
		if err := s.Backup(ctx, &b); err != nil {
			t.Fatal(err)
		}
		sum := 0
		for e, err := range ReadBackup(&b) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == EntryRow {
				sum += int(e.Row[2].(term.Int))
			}
		}
		if sum != 3000 {
			t.Fatalf("seed %d: backup %d holds %d, not 3000", seed, i, sum)
		}
	}
	close(stop)
	clients.Wait()
	if moved[0]+moved[1]+moved[2] < 100 {
		t.Errorf("only %d transactions were made", moved)
	}
}

// pay moves money between the tables until stop.
func pay(t *testing.T, s *Store, seed uint64, stop chan bool) (n int) {
	r := rand.New(rand.NewPCG(seed, 6))
	tabs := []string{"x", "y", "z"}
	for {
		select {
		case <-stop:
			return n
		default:
		}
		p := r.Perm(3)
		from, to, sum := tabs[p[0]], tabs[p[1]], term.Int(r.IntN(20))
		err := s.Transaction(context.Background(), func(tx *Tx) error {
			for _, part := range []struct {
				tab string
				add term.Int
			}{{from, -sum}, {to, sum}} {
				rows, err := tx.Read(part.tab, term.Int(0), WriteLock)
				if err != nil {
					return err
				}
				if err := tx.Write(part.tab, term.T(term.Atom(part.tab), term.Int(0), rows[0][2].(term.Int)+part.add)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
			return n
		}
		n++
	}
}

// A checkpoint that would make its node keep too much is deactivated everywhere, and says so.
func TestRetainedLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := started(t, "a", "b")
		ctx := context.Background()
		a, b := m.store("a"), m.store("b")
		if err := a.CreateTable(ctx, Table{Name: "t", Disc: []kit.NodeName{"a", "b"}}); err != nil {
			t.Fatal(err)
		}
		write := func(n int) {
			for i := range n {
				if err := a.DirtyWrite(ctx, "t", term.T(term.Atom("t"), term.Int(i), term.Bin(make([]byte, 100)))); err != nil {
					t.Fatal(err)
				}
			}
		}
		write(50)
		b.cp.most = 4000
		if _, _, err := a.ActivateCheckpoint(ctx, CheckpointOptions{Name: "noon", Max: []string{"t"}}); err != nil {
			t.Fatal(err)
		}
		b.BootEvents()
		write(10)
		synctest.Wait()
		if len(a.Checkpoints())+len(b.Checkpoints()) != 2 {
			t.Fatal("deactivated too early")
		}
		write(50)
		synctest.Wait()
		if len(a.Checkpoints())+len(b.Checkpoints()) != 0 {
			t.Fatal("still active")
		}
		if evs := b.BootEvents(); len(evs) != 1 || evs[0].Kind != "mnesia_checkpoint_deactivated" {
			t.Fatal(evs)
		}
		err := b.BackupCheckpoint(ctx, io.Discard, "noon", BackupOptions{})
		if err == nil || kit.HintOf(err) == "" {
			t.Fatal(err)
		}
	})
}
