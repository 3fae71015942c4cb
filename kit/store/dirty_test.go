package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// TestCountersAtOnce lets the counters of several nodes arrive at once. What a copy on the disc counts after a restart is
// what it counted before.
func TestCountersAtOnce(t *testing.T) {
	const senders, counters = 4, 200
	dir := disk.Dir(t.TempDir()) // whose writes take their time
	open := func() (*Store, *disk.Disk) {
		d, err := disk.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(Config{Peers: Alone("a"), Disk: d})
		if err != nil {
			t.Fatal(err)
		}
		return s, d
	}
	wrong := func(s *Store) []term.Tuple {
		rows, _, err := s.LocalContents("t")
		if err != nil || len(rows) != counters {
			t.Fatal(len(rows), err)
		}
		return slices.DeleteFunc(rows, func(r term.Tuple) bool { return r[2] == term.Term(term.Int(senders)) })
	}
	s, d := open()
	if err := s.CreateSchema(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), StartOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateTable(t.Context(), Table{Name: "t", Disc: []kit.NodeName{"a"}}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range senders {
		from := kit.NodeName(fmt.Sprint("n", i))
		all.Go(func() {
			for k := range term.Int(counters) {
				one := op{kind: opCounter, tab: "t", key: k, incr: term.Int(1)}
				s.Receive(from, newFrame(fDirty).num(0).ops([]op{one}).term(term.T(term.Atom("t"), k, one.incr)).b)
			}
		})
	}
	all.Wait()
	if w := wrong(s); len(w) > 0 {
		t.Errorf("counted %v", w)
	}
	if err := errors.Join(s.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	s, d = open()
	defer d.Close()
	defer s.Close()
	if err := errors.Join(s.Start(t.Context(), StartOptions{}), s.WaitForTables(t.Context(), []string{"t"})); err != nil {
		t.Fatal(err)
	}
	if w := wrong(s); len(w) > 0 {
		t.Errorf("after the restart %v", w)
	}
}
