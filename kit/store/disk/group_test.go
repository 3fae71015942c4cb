package disk

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"netsplit/kit"
)

// One sync serves all who wait for it.
func TestGroupCommit(t *testing.T) {
	m := NewMemory()
	o := m.Options()
	gate := make(chan struct{})
	var once sync.Once
	waiting := make(chan struct{})
	o.Fault = func(op, call, name string) error {
		if op == "append" && call == "sync" {
			once.Do(func() { close(waiting); <-gate })
		}
		return nil
	}
	d := open(t, o)
	do(t, d, create("t", Set, false))
	before := m.Syncs()
	var wg sync.WaitGroup
	wg.Go(func() { must(t, d.Sync(do(t, d, put("t", 0, 0)))) })
	<-waiting
	var appended sync.WaitGroup
	for i := range 50 {
		appended.Add(1)
		wg.Go(func() {
			lsn := do(t, d, put("t", i+1, i))
			appended.Done()
			must(t, d.Sync(lsn))
		})
	}
	appended.Wait()
	close(gate)
	wg.Wait()
	if n := m.Syncs() - before; n > 3 {
		t.Errorf("51 waiting writers took %d syncs", n)
	}
	must(t, d.Close())
}

// TestGroupCommitSynced has those who wait for the disc anyway share their writes, too.
func TestGroupCommitSynced(t *testing.T) {
	m := NewMemory()
	o := m.Options()
	gate, waiting := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var writes atomic.Int64
	o.Fault = func(op, call, name string) error {
		switch {
		case op == "append" && call == "sync":
			once.Do(func() { close(waiting); <-gate })
		case op == "append" && call == "write":
			writes.Add(1)
		}
		return nil
	}
	d := open(t, o)
	do(t, d, create("t", Set, false))
	writes.Store(0)
	before := m.Syncs()
	synced := func(i int) {
		if _, err := d.AppendSynced(put("t", i, i)); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { synced(0) })
	<-waiting
	for i := range 50 {
		wg.Go(func() { synced(i + 1) })
	}
	for aboard := 0; aboard < 50; runtime.Gosched() {
		d.wal.mu.Lock()
		aboard = len(d.wal.next.batches)
		d.wal.mu.Unlock()
	}
	close(gate)
	wg.Wait()
	if n := m.Syncs() - before; n > 2 {
		t.Errorf("51 waiting writers took %d syncs", n)
	}
	if n := writes.Load(); n > 3 { // two flights, and the last mark
		t.Errorf("51 waiting writers took %d writes", n)
	}
	must(t, d.Close())
	d = open(t, m.Options())
	if n, err := d.Count("t"); n != 51 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	must(t, d.Close())
}

// TestBrokenSync has everybody who waits hear that a sync has failed.
func TestBrokenSync(t *testing.T) {
	o := NewMemory().Options()
	var broken atomic.Bool
	o.Fault = func(op, call, name string) error {
		if op == "append" && call == "sync" && broken.Load() {
			return errors.New("broken disc")
		}
		return nil
	}
	d := open(t, o)
	do(t, d, create("t", Set, false))
	broken.Store(true)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := d.AppendSynced(put("t", i, i)); kit.KindOf(err) != kit.Broken {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	_ = d.Close()
}
