package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"

	"netsplit/kit"
	"netsplit/kit/store"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// framed makes a backup file of any content, so that what is inside is reached at all.
func framed(content []byte) []byte {
	b := []byte("NSPLTBK\x01")
	for n, block := range [][]byte{content, nil} {
		sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
		_, _ = sum.Write(binary.LittleEndian.AppendUint32(nil, uint32(n))) // it cannot fail
		_, _ = sum.Write(block)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(block)))
		b = binary.LittleEndian.AppendUint32(b, sum.Sum32())
		b = append(b, block...)
		if len(content) == 0 {
			break
		}
	}
	return b
}

// FuzzHostileBackup restores, traverses and installs backups from a hostile hand: an error or nothing strange, never a
// panic. What was restored can be read, backed up and started with.
func FuzzHostileBackup(f *testing.F) {
	good := backedUp(f, filledStore(f))
	f.Add(good[8+8:len(good)-8], uint8(0))
	f.Add(good[8+8:len(good)-8], uint8(1))
	entry := func(ts ...term.Term) (b []byte) {
		for _, t := range ts {
			b = term.Append(b, t)
		}
		return b
	}
	f.Add(entry(term.T(term.Atom("row"), term.Atom("t"), term.T(term.Atom("t"), term.Int(1), term.Int(2)))), uint8(2))
	f.Add(entry(term.T(term.Atom("drop"), term.Atom("schema")), term.T(term.Atom("delete"), term.Atom("t"), term.Int(1))), uint8(3))
	f.Fuzz(func(t *testing.T, content []byte, how uint8) {
		file := framed(content)
		d, err := disk.Open(disk.NewMemory().Options())
		if err != nil {
			t.Fatal(err)
		}
		s := opened(t, d)
		ctx := context.Background()
		_ = store.TraverseBackup(from(file), io.Discard, func(e store.Entry) ([]store.Entry, error) { return []store.Entry{e}, nil })
		op := []store.RestoreOp{store.ClearTables, store.KeepTables, store.RecreateTables, store.SkipTables}[how%4]
		_, err = s.Restore(ctx, from(file), store.RestoreOptions{Default: op})
		if err == nil {
			var refused *store.Error // a table may have been restored whose copies are on nodes that are not there
			if err := s.Backup(ctx, io.Discard); err != nil && !errors.As(err, &refused) {
				t.Fatalf("a backup of what was restored: %v", err)
			}
		}
		if err := s.InstallFallback(ctx, from(file), "x", store.FallbackOptions{Local: how&16 != 0}); err == nil {
			if err := s.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(ctx, store.StartOptions{}); err == nil {
				_ = s.Backup(ctx, io.Discard)
			}
		}
		if err := errors.Join(s.Close(), d.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

func opened(t testing.TB, d *disk.Disk) *store.Store {
	t.Helper()
	s, err := store.Open(store.Config{Peers: store.Alone("a"), Disk: d})
	ctx := context.Background()
	if err == nil {
		err = errors.Join(s.CreateSchema(ctx, nil), s.Start(ctx, store.StartOptions{}),
			s.CreateTable(ctx, store.Table{Name: "t", Disc: []kit.NodeName{"a"}}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func filledStore(t testing.TB) *store.Store {
	s, ctx := alone(t), context.Background()
	if err := s.CreateTable(ctx, store.Table{Name: "bag", Type: "bag", Index: []string{"val"}, RAM: []kit.NodeName{"a"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := errors.Join(s.DirtyWrite(ctx, "t", term.Rec("t", i, "x")), s.DirtyWrite(ctx, "bag", term.Rec("bag", 1, i))); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// A backup that grows without end costs what it holds, not what it claims.
func TestBackupBomb(t *testing.T) {
	s := alone(t)
	head := append([]byte("NSPLTBK\x01"), 0xff, 0xff, 0x3f, 0x01, 0, 0, 0, 0) // 20 MiB claimed, none there
	for _, b := range [][]byte{head, append(head[:8:8], 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)} {
		if _, err := s.Restore(context.Background(), from(b), store.RestoreOptions{}); kit.KindOf(err) != kit.Corrupt {
			t.Error(err)
		}
	}
	deep := bytes.Repeat([]byte{term.Append(nil, term.T(term.Int(1)))[0], 1}, 1<<20)
	if _, err := s.Restore(context.Background(), from(framed(deep)), store.RestoreOptions{}); kit.KindOf(err) != kit.Corrupt {
		t.Error(err)
	}
}
