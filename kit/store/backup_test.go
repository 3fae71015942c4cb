package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"netsplit/kit"
	"netsplit/kit/store"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

func alone(t testing.TB) *store.Store {
	t.Helper()
	d, err := disk.Open(disk.NewMemory().Options())
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(store.Config{Peers: store.Alone("a"), Disk: d})
	ctx := context.Background()
	if err == nil {
		err = errors.Join(s.CreateSchema(ctx, nil), s.Start(ctx, store.StartOptions{}))
	}
	if err == nil {
		err = s.CreateTable(ctx, store.Table{Name: "t", Disc: []kit.NodeName{"a"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(s.Close(), d.Close()) })
	return s
}

func from(b []byte) store.Source {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

func backedUp(t testing.TB, s *store.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Backup(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Transactions move money between two rows while backups are taken: no backup may see half of one.
func TestBackupWhileWriting(t *testing.T) {
	s, ctx := alone(t), context.Background()
	put := func(x int) error {
		return s.Transaction(ctx, func(tx *store.Tx) error {
			return errors.Join(tx.Write("t", term.Rec("t", "from", 1000-x)), tx.Write("t", term.Rec("t", "to", x)))
		})
	}
	if err := put(0); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan bool), make(chan error, 1)
	go func() {
		for x := 1; ; x++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := put(x % 1000); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 50 {
		sum := 0
		for e, err := range store.ReadBackup(bytes.NewReader(backedUp(t, s))) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == store.EntryRow {
				sum += int(e.Row[2].(term.Int))
			}
		}
		if sum != 1000 {
			t.Fatalf("a backup holds %d, not 1000: half a transaction", sum)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A backup that was cut, changed or lengthened anywhere is refused, and the tables stay as they are.
func TestDamagedBackup(t *testing.T) {
	s, ctx := alone(t), context.Background()
	if err := s.DirtyWrite(ctx, "t", term.Rec("t", "k", 1)); err != nil {
		t.Fatal(err)
	}
	good := backedUp(t, s)
	if err := s.DirtyWrite(ctx, "t", term.Rec("t", "k", 2)); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, b []byte) {
		t.Helper()
		if _, err := s.Restore(ctx, from(b), store.RestoreOptions{}); kit.KindOf(err) != kit.Corrupt {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range good {
		refused("cut", good[:i])
		bad := slices.Clone(good)
		bad[i] ^= 0x40
		refused("changed", bad)
	}
	refused("lengthened", append(slices.Clone(good), "trash"...))
	rows, err := s.DirtyRead(ctx, "t", term.Bin("k"))
	if err != nil || len(rows) != 1 || rows[0][2] != term.Term(term.Int(2)) {
		t.Fatalf("a refused backup changed the table: %v %v", rows, err)
	}
	if tabs, err := s.Restore(ctx, from(good), store.RestoreOptions{}); err != nil || !slices.Equal(tabs, []string{"t"}) {
		t.Fatalf("the good one: %v %v", tabs, err)
	}
	rows, _ = s.DirtyRead(ctx, "t", term.Bin("k"))
	if len(rows) != 1 || rows[0][2] != term.Term(term.Int(1)) {
		t.Fatalf("restored: %v", rows)
	}
}

func FuzzReadBackup(f *testing.F) {
	f.Add([]byte{})
	var seed bytes.Buffer // written by hand: a store's goroutines would blur the coverage
	w := store.NewBackupWriter(&seed)
	for i := range 3 {
		row := store.Entry{Kind: store.EntryRow, Table: "t", Row: term.Rec("t", i, "x")}
		gone := store.Entry{Kind: store.EntryDelete, Table: "t", Key: term.Int(i)}
		if err := errors.Join(w.Write(row), w.Write(gone)); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(seed.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		for e, err := range store.ReadBackup(bytes.NewReader(b)) {
			if err != nil && kit.KindOf(err) != kit.Corrupt || err == nil && e.Table == "" && e.Kind == 0 {
				t.Fatal(e, err)
			}
		}
	})
}
