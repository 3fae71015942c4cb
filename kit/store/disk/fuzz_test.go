package disk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

// seedRows is what the fuzzed files hold at first.
func seedRows(yield func(term.Tuple) bool) {
	for i := range 200 {
		if !yield(term.Rec("t", i, "a value", []any{1.5, i})) {
			return
		}
	}
}

// named fails when an error of a damaged file does not say that it is damaged.
func named(t *testing.T, err error) {
	t.Helper()
	if err != nil && (kit.KindOf(err) != kit.Corrupt || kit.HintOf(err) == "") {
		t.Fatalf("%v (%v, hint %q)", err, kit.KindOf(err), kit.HintOf(err))
	}
}

// FuzzRecord reads bytes as a record of the log, its checksum made right, so that what is behind it is reached.
func FuzzRecord(f *testing.F) {
	batch := []Change{create("t", Bag, true), put("t", 1, 2), {Op: SetMeta, Key: term.Atom("k"), Value: term.List{}},
		{Op: Delete, Table: "t", Value: term.Bin("k")}, {Op: Clear, Table: "t"}, {Op: Drop, Table: "t"}}
	f.Add(appendRecord(nil, batchRecord, 1, func(b []byte) []byte { return appendBatch(b, batch) }))
	f.Add(appendRecord(nil, markRecord, 7, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < recordHeader {
			return
		}
		binary.LittleEndian.PutUint32(b[16:], recordSum(b))
		r, ok := readRecord(b)
		if !ok {
			return
		}
		var changes []Change
		err := readBatch(r.body, func(l *logged) error {
			c, err := l.change()
			if err != nil {
				return err
			}
			changes = append(changes, c)
			if l.op < SetMeta {
				_, _, err = l.raw(1, Bag, nil)
			}
			return err
		})
		if err == nil && r.kind == batchRecord && len(changes) > 0 {
			if again := appendBatch(nil, changes); !bytes.Equal(again, r.body) {
				t.Fatalf("%x reads as %v, which is %x", r.body, changes, again)
			}
		}
	})
}

// FuzzPlainImage reads bytes as an image of the simulator, its checksum made right.
func FuzzPlainImage(f *testing.F) {
	m := NewMemory()
	d := open(f, m.Options())
	do(f, d, create("t", Bag, false))
	must(f, d.Replace("t", seedRows))
	t := d.tables["t"].identity
	must(f, d.Close())
	m.Edit(t.file()+".img", func(b []byte) []byte { f.Add(b[len(plainMagic)+4:]); return b })
	f.Fuzz(func(t0 *testing.T, body []byte) {
		b := binary.LittleEndian.AppendUint32([]byte(plainMagic), crc32.Checksum(body, castagnoli))
		m := NewMemory()
		must(t0, replaceFile(m, "fuzz", t.file()+".img", append(b, body...)))
		im, err := plainImager{m}.open(t)
		named(t0, err)
		if err != nil {
			return
		}
		named(t0, loadImage(im, func(Loaded) error { return nil }))
		_, _, err = im.next(nil)
		named(t0, err)
		p := &part{}
		p.take(rawChange{lsn: 1 << 60, op: DeleteObject, key: imageKey(Bag, term.Int(1)), row: term.Append(nil, term.Rec("t", 1, 2))})
		named(t0, im.apply(p, 1<<60))
	})
}

// FuzzBoltImage changes bytes of a real image: at a place, so many, to these.
func FuzzBoltImage(f *testing.F) {
	dir := f.TempDir()
	d := open(f, Dir(dir))
	do(f, d, create("t", Set, false))
	must(f, d.Replace("t", seedRows))
	id := d.tables["t"].identity
	must(f, d.Close())
	name := id.file() + ".bolt"
	whole, err := os.ReadFile(filepath.Join(dir, name))
	must(f, err)
	f.Add(uint32(0), []byte{})
	f.Add(uint32(4096*3+10), []byte{0xff, 0xff, 0, 0})
	f.Add(uint32(4096*2), []byte{2, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff})
	for _, page := range []uint32{2, 3, 4, 5, 6, 7} {
		for _, child := range []byte{2, 3, 4, 5, 6, 7} { // a branch that leads elsewhere
			f.Add(page*4096+8, []byte{1, 0, 1, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, child, 0, 0, 0, 0, 0, 0, 0})
		}
	}
	f.Fuzz(func(t *testing.T, at uint32, to []byte) {
		b := bytes.Clone(whole)
		copy(b[int(at)%len(b):], to)
		p := boltImager{path: t.TempDir()}
		must(t, os.WriteFile(filepath.Join(p.path, name), b, 0o600))
		im, err := p.open(id)
		named(t, err)
		if err != nil {
			return
		}
		rows := 0
		err = loadImage(im, func(Loaded) error { rows++; return nil })
		named(t, err)
		if err == nil && rows != im.count() {
			t.Fatalf("%d rows of %d and no error", rows, im.count())
		}
		_, err = im.get(imageKey(Set, term.Int(77)))
		named(t, err)
		_, _, err = im.next(nil)
		named(t, err)
		_ = im.close()
	})
}
