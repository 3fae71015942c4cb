package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"netsplit/kit"
	"netsplit/kit/term"
)

func open(t testing.TB, o Options) *Disk {
	t.Helper()
	d, err := Open(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func do(t testing.TB, d *Disk, batch ...Change) LSN {
	t.Helper()
	lsn, err := d.Append(batch...)
	must(t, err)
	return lsn
}

func create(name string, typ Type, only bool) Change {
	return Change{Op: Create, Table: name, Type: typ, Only: only}
}

func put(table string, key any, val any) Change {
	return Change{Op: Put, Table: table, Value: term.Rec(term.Atom(table), key, val)}
}

// content gives tables and named values in a form to compare and print.
func content(t testing.TB, d *Disk) string {
	t.Helper()
	var b strings.Builder
	for _, tab := range d.Tables() {
		fmt.Fprintf(&b, "%s:", tab.Name)
		var rows []string
		must(t, d.Load(tab.Name, func(r term.Tuple) error {
			rows = append(rows, term.String(r))
			return nil
		}))
		slices.Sort(rows)
		n, err := d.Count(tab.Name)
		must(t, err)
		if n != len(rows) {
			fmt.Fprintf(&b, " (count says %d)", n)
		}
		fmt.Fprintf(&b, " %s\n", strings.Join(rows, " "))
	}
	for _, p := range d.AllMeta() {
		fmt.Fprintf(&b, "%s = %s\n", term.String(p.Key), term.String(p.Value))
	}
	return b.String()
}

// each runs a test on every kind of disc. reopen gives the same disc's options again.
func each(t *testing.T, f func(t *testing.T, o Options)) {
	t.Run("plain", func(t *testing.T) { f(t, NewMemory().Options()) })
	t.Run("bolt", func(t *testing.T) { f(t, Dir(t.TempDir())) })
}

func TestTables(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		d := open(t, o)
		if !d.Empty() {
			t.Error("a new disc is not empty")
		}
		do(t, d, create("s", Set, false), create("o", OrderedSet, false), create("b", Bag, true),
			Change{Op: SetMeta, Key: term.Atom("schema"), Value: term.Bin("v1")})
		do(t, d, put("s", 1, "a"), put("s", 1.0, "b"), put("s", 1, "c"), put("o", 1, "a"), put("o", 1.0, "b"),
			put("b", "k", 1), put("b", "k", 2), put("b", "k", 1), put("b", "k", 1.0))
		want := "b: {b,<<\"k\">>,1.0} {b,<<\"k\">>,1} {b,<<\"k\">>,2}\no: {o,1.0,<<\"b\">>}\ns: {s,1,<<\"c\">>} {s,1.0,<<\"b\">>}\nschema = <<\"v1\">>\n"
		for round := range 3 {
			if got := content(t, d); got != want {
				t.Fatalf("round %d:\n%s\nwant:\n%s", round, got, want)
			}
			switch round {
			case 0:
				must(t, d.Dump())
			case 1:
				must(t, d.Close())
				d = open(t, o)
			}
		}
		do(t, d, Change{Op: Delete, Table: "o", Value: term.Int(1)}, Change{Op: DeleteObject, Table: "b", Value: term.Rec("b", "k", 1)},
			Change{Op: DeleteObject, Table: "s", Value: term.Rec("s", 1, "other")}, Change{Op: DelMeta, Key: term.Atom("schema")})
		want = "b: {b,<<\"k\">>,1.0} {b,<<\"k\">>,2}\no: \ns: {s,1,<<\"c\">>} {s,1.0,<<\"b\">>}\n"
		must(t, d.Close())
		d = open(t, o)
		if got := content(t, d); got != want {
			t.Fatalf("after deletes:\n%s\nwant:\n%s", got, want)
		}
		do(t, d, Change{Op: Clear, Table: "s"}, put("s", 7, "x"), Change{Op: Drop, Table: "b"})
		do(t, d, create("b", Set, false), put("b", "n", 1))
		want = "b: {b,<<\"n\">>,1}\no: \ns: {s,7,<<\"x\">>}\n"
		must(t, d.Close())
		d = open(t, o)
		if got := content(t, d); got != want {
			t.Fatalf("after clear and drop:\n%s\nwant:\n%s", got, want)
		}
		must(t, d.Close())
		must(t, d.Close())
		if _, err := d.Append(put("s", 1, 1)); kit.KindOf(err) != kit.Unavailable {
			t.Errorf("append to a closed disc: %v", err)
		}
	})
}

func TestReadFromDisc(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		d := open(t, o)
		do(t, d, create("b", Bag, true), create("e", Set, true))
		check := func(key any, want string) {
			t.Helper()
			k, _ := term.FromGo(key)
			rows, err := d.Get("b", k)
			must(t, err)
			var got []string
			for _, r := range rows {
				got = append(got, term.String(r[2]))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("key %v: %v, want %s", key, got, want)
			}
		}
		do(t, d, put("b", 1, 1), put("b", 1, 2), put("b", 2, 5))
		check(1, "1 2")
		must(t, d.Dump())
		check(1, "1 2")
		do(t, d, put("b", 1, 3), Change{Op: DeleteObject, Table: "b", Value: term.Rec("b", 1, 1)}, Change{Op: Delete, Table: "b", Value: term.Int(2)})
		check(1, "2 3")
		check(2, "")
		do(t, d, Change{Op: Clear, Table: "b"}, put("b", 2, 9))
		check(1, "")
		check(2, "9")
		must(t, d.Dump())
		check(2, "9")
		long := strings.Repeat("x", 3000)
		do(t, d, put("b", long, 1), put("b", long+"y", 2))
		must(t, d.Dump())
		check(long, "1")
		seen := 0
		for key, found, err := d.Next("b", nil); found; key, found, err = d.Next("b", key) {
			must(t, err)
			seen++
		}
		if seen != 3 {
			t.Errorf("Next saw %d of 3 keys", seen)
		}
		if _, _, err := d.Next("b", term.Atom("nokey")); kit.KindOf(err) != kit.NotFound {
			t.Errorf("next of a key that is not there: %v", err)
		}
		if _, found, err := d.Next("e", nil); found || err != nil {
			t.Errorf("first of an empty table: %v %v", found, err)
		}
		must(t, d.Close())
	})
}

func TestReplace(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		d := open(t, o)
		do(t, d, create("t", Set, false), put("t", 1, "old"), put("t", 2, "old"))
		rows := []term.Tuple{term.Rec("t", 1, "new"), term.Rec("t", 3, "new")}
		must(t, d.Replace("t", slices.Values(rows)))
		want := "t: {t,1,<<\"new\">>} {t,3,<<\"new\">>}\n"
		if got := content(t, d); got != want {
			t.Fatalf("%s want %s", got, want)
		}
		do(t, d, put("t", 3, "later"))
		must(t, d.Close())
		d = open(t, o)
		if got := content(t, d); got != "t: {t,1,<<\"new\">>} {t,3,<<\"later\">>}\n" {
			t.Fatal(got)
		}
		must(t, d.Close())
	})
}

func TestRefusedBatches(t *testing.T) {
	d := open(t, NewMemory().Options())
	do(t, d, create("t", Set, false))
	for _, c := range []struct {
		batch []Change
		kind  kit.Kind
	}{
		{nil, kit.Invalid},
		{[]Change{put("no", 1, 1)}, kit.NotFound},
		{[]Change{{Op: Put, Table: "t", Value: term.Int(1)}}, kit.Invalid},
		{[]Change{{Op: Put, Table: "t", Value: term.T(term.Atom("t"))}}, kit.Invalid},
		{[]Change{create("t", Bag, false)}, kit.Exists},
		{[]Change{put("t", 1, 1), {Op: Drop, Table: "t"}, create("t", Set, false)}, kit.Invalid},
		{[]Change{{Op: 99, Table: "t"}}, kit.Invalid},
		{[]Change{{Op: SetMeta, Key: term.Atom("k")}}, kit.Invalid},
		{[]Change{put("t", 1, strings.Repeat("x", MaxBatch))}, kit.Overloaded},
	} {
		if _, err := d.Append(c.batch...); kit.KindOf(err) != c.kind || err == nil {
			t.Errorf("%.60v: %v", c.batch, err)
		}
	}
	if got := content(t, d); got != "t: \n" {
		t.Errorf("a refused batch left %s", got)
	}
}

func TestDamageIsNamed(t *testing.T) {
	fill := func(t *testing.T) *Memory {
		m := NewMemory()
		d := open(t, m.Options())
		do(t, d, create("t", Set, false), put("t", 1, "dumped"))
		must(t, d.Dump())
		do(t, d, put("t", 2, "one"))
		must(t, d.Sync(do(t, d, put("t", 3, "two"))))
		do(t, d, put("t", 4, "three"))
		m.Edit("none", func(b []byte) []byte { return nil }) // leaves the process where it is
		_ = m.Close()
		return m
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			b[(len(b)+at)%len(b)] ^= 1
			return b
		}
	}
	for _, c := range []struct {
		name, file string
		edit       func([]byte) []byte
	}{
		{"log flipped in synced data", "log.00000002", flip(segmentHeader + 30)},
		{"log header flipped", "log.00000002", flip(3)},
		{"log removed", "log.00000002", func([]byte) []byte { return nil }},
		{"log emptied", "log.00000002", func([]byte) []byte { return []byte{} }},
		{"image flipped", "t.1.img", flip(-3)},
		{"image cut", "t.1.img", func(b []byte) []byte { return b[:len(b)-1] }},
		{"image emptied", "t.1.img", func([]byte) []byte { return []byte{} }},
		{"image removed", "t.1.img", func([]byte) []byte { return nil }},
		{"manifest flipped", "MANIFEST", flip(20)},
		{"manifest removed", "MANIFEST", func([]byte) []byte { return nil }},
		{"manifest emptied", "MANIFEST", func([]byte) []byte { return []byte{} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fill(t)
			m.Edit(c.file, c.edit)
			d, err := Open(m.Options())
			if err == nil {
				t.Fatalf("opened: %s", content(t, d))
			}
			if kit.KindOf(err) != kit.Corrupt || !strings.Contains(err.Error(), c.file) || kit.HintOf(err) == "" {
				t.Errorf("%v (hint %q)", err, kit.HintOf(err))
			}
		})
	}
}

// A file of another form is refused as that, not taken for damage and not read.
func TestUnknownForms(t *testing.T) {
	fill := func(o Options) {
		d := open(t, o)
		do(t, d, create("t", Set, false), put("t", 1, "x"))
		must(t, d.Dump())
		must(t, d.Close())
	}
	refused := func(what string, o Options) {
		t.Helper()
		d, err := Open(o)
		if err == nil {
			err = d.Load("t", func(term.Tuple) error { return nil })
			must(t, d.Close())
		}
		if kit.KindOf(err) != kit.Corrupt || !strings.Contains(err.Error(), "unknown form 3") || !strings.Contains(kit.HintOf(err), "version") {
			t.Errorf("%s: %v (hint %q)", what, err, kit.HintOf(err))
		}
	}
	m := NewMemory()
	fill(m.Options())
	m.Edit("t.1.img", func(b []byte) []byte { b[len(plainKin)] = '3'; return b })
	refused("image", m.Options())
	m = NewMemory()
	fill(m.Options())
	m.Edit("log.00000002", func(b []byte) []byte { b[len(segmentKin)] = '3'; return b })
	refused("log", m.Options())
	m = NewMemory()
	fill(m.Options())
	m.Edit("MANIFEST", func(b []byte) []byte {
		head := len(manifestMagic) + 4
		v, _, err := term.Decode(b[head:])
		must(t, err)
		v.(term.Tuple)[1] = term.Int(3)
		b = term.Append(b[:head], v)
		binary.LittleEndian.PutUint32(b[head-4:], crc32.Checksum(b[head:], castagnoli))
		return b
	})
	refused("manifest", m.Options())
	dir := t.TempDir()
	fill(Dir(dir))
	b := boltImager{path: dir}
	im, err := b.open(identity{"t", Set, 1})
	must(t, err)
	must(t, im.(*boltImage).db.Update(func(tx *bbolt.Tx) error {
		v, _, err := term.Decode(tx.Bucket(boltAbout).Get(boltID))
		must(t, err)
		v.(term.Tuple)[1] = term.Int(3)
		return tx.Bucket(boltAbout).Put(boltID, term.Append(nil, v))
	}))
	must(t, im.close())
	refused("bolt image", Dir(dir))
}

// A torn end that was never synced is what a crash leaves: cut off, told, nothing else lost.
func TestTornEnd(t *testing.T) {
	m := NewMemory()
	d := open(t, m.Options())
	do(t, d, create("t", Set, false))
	must(t, d.Sync(do(t, d, put("t", 1, "synced"))))
	do(t, d, put("t", 2, "not synced"))
	m.Crash(nil)
	m.Edit("log.00000001", func(b []byte) []byte {
		return append(b, appendRecord(nil, batchRecord, 3, func(b []byte) []byte { return appendBatch(b, []Change{put("t", 2, "x")}) })[:15]...)
	})
	d = open(t, m.Options())
	if got := content(t, d); got != "t: {t,1,<<\"synced\">>}\n" {
		t.Error(got)
	}
	if len(d.Notes()) != 1 || !strings.Contains(d.Notes()[0], "log.00000001") {
		t.Errorf("notes: %q", d.Notes())
	}
	do(t, d, put("t", 3, "goes on"))
	must(t, d.Close())
	d = open(t, m.Options())
	if got := content(t, d); got != "t: {t,1,<<\"synced\">>} {t,3,<<\"goes on\">>}\n" {
		t.Error(got)
	}
}

func TestFullDisc(t *testing.T) {
	m := NewMemory()
	d := open(t, m.Options())
	do(t, d, create("t", Set, false))
	do(t, d, put("t", 1, "kept"))
	m.SetRoom(10)
	for range 3 {
		_, err := d.Append(put("t", 2, "does not fit"))
		if kit.KindOf(err) != kit.Overloaded || !errors.Is(err, ErrFull) || kit.HintOf(err) == "" {
			t.Fatalf("append to a full disc: %v", err)
		}
		m.SetRoom(10)
	}
	if err := d.Dump(); kit.KindOf(err) != kit.Overloaded {
		t.Fatalf("dump to a full disc: %v", err)
	}
	m.SetRoom(-1)
	do(t, d, put("t", 3, "after"))
	must(t, d.Dump())
	must(t, d.Close())
	d = open(t, m.Options())
	if got := content(t, d); got != "t: {t,1,<<\"kept\">>} {t,3,<<\"after\">>}\n" {
		t.Error(got)
	}
}

func TestFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	d := open(t, Dir(dir))
	if _, err := Open(Dir(dir)); kit.KindOf(err) != kit.Refused {
		t.Errorf("opened twice: %v", err)
	}
	must(t, d.Close())
	must(t, open(t, Dir(dir)).Close())
}

// bbolt panics or faults at files that were cut, and takes an empty one for new: all must be clear errors.
func TestDamagedBoltFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func([]byte) []byte
	}{
		{"empty", func(b []byte) []byte { return nil }},
		{"one byte", func(b []byte) []byte { return b[:1] }},
		{"one page", func(b []byte) []byte { return b[:4096] }},
		{"half", func(b []byte) []byte { return b[:len(b)/2] }},
		{"three pages", func(b []byte) []byte { return b[:3*4096] }},
		{"value flipped", func(b []byte) []byte {
			i := strings.LastIndex(string(b), "needle")
			b[i] ^= 1
			return b
		}},
		{"rubbish", func(b []byte) []byte { return []byte(strings.Repeat("rubbish!", len(b)/8)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, Dir(dir))
			do(t, d, create("t", Set, false))
			for i := range 500 {
				do(t, d, put("t", i, strings.Repeat("x", 100)))
			}
			do(t, d, put("t", 500, "needle"))
			must(t, d.Close())
			must(t, open(t, Dir(dir)).Close()) // dumps
			name := filepath.Join(dir, "t.1.bolt")
			b, err := os.ReadFile(name)
			must(t, err)
			must(t, os.WriteFile(name, c.edit(b), 0o600))
			d = open(t, Dir(dir))
			err = d.Load("t", func(term.Tuple) error { return nil })
			if kit.KindOf(err) != kit.Corrupt || !strings.Contains(err.Error(), "t.1.bolt") {
				t.Errorf("%v", err)
			}
			must(t, d.Close())
		})
	}
}

func TestNamesOfTables(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		d := open(t, o)
		names := []string{"T", "t", "../x", "a b", "é", ".", strings.Repeat("n", 255), strings.Repeat("n", 254) + "m", "$1", "con"}
		for i, n := range names {
			do(t, d, create(n, Set, false), put(n, i, n))
		}
		must(t, d.Close())
		d = open(t, o)
		for i, n := range names {
			got := 0
			must(t, d.Load(n, func(r term.Tuple) error {
				got++
				if r[1] != term.Int(i) {
					t.Errorf("table %q holds %s", n, term.String(r))
				}
				return nil
			}))
			if got != 1 {
				t.Errorf("table %q holds %d rows", n, got)
			}
		}
		must(t, d.Close())
	})
}

func TestCallerStopsLoad(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		d := open(t, o)
		do(t, d, create("t", Set, false), put("t", 1, 1), put("t", 2, 2))
		stop := errors.New("stop")
		if err := d.Load("t", func(term.Tuple) error { return stop }); !errors.Is(err, stop) || kit.KindOf(err) != kit.Unknown {
			t.Errorf("%v", err)
		}
		if err := d.Load("no", nil); kit.KindOf(err) != kit.NotFound {
			t.Errorf("%v", err)
		}
		must(t, d.Close())
	})
}

func TestConcurrentUse(t *testing.T) {
	each(t, func(t *testing.T, o Options) {
		d := open(t, o)
		do(t, d, create("t", Set, false), create("e", Bag, true))
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := range 100 {
					batch := []Change{put("t", w*1000+i, i), put("e", i%7, w*1000+i)}
					if i%10 == 5 {
						if _, err := d.AppendSynced(batch...); err != nil {
							t.Error(err)
						}
						continue
					}
					lsn := do(t, d, batch...)
					switch {
					case i%10 == 3:
						must(t, d.Sync(lsn))
					case i%25 == 7:
						must(t, d.Dump())
					case i%5 == 1:
						if rows, err := d.Get("e", term.Int(i%7)); err != nil || len(rows) == 0 {
							t.Errorf("get: %v %v", rows, err)
						}
					}
				}
			})
		}
		wg.Wait()
		must(t, d.Close())
		d = open(t, o)
		for _, name := range []string{"t", "e"} {
			if n, err := d.Count(name); n != 400 || err != nil {
				t.Errorf("%s: %d rows, %v", name, n, err)
			}
		}
		must(t, d.Close())
	})
}

func FuzzScanSegment(f *testing.F) {
	b := segmentStart(1)
	b = appendRecord(b, batchRecord, 1, func(b []byte) []byte { return appendBatch(b, []Change{create("t", Set, true), put("t", 1, 2)}) })
	b = appendRecord(b, markRecord, 1, nil)
	f.Add(b)
	f.Add(b[:len(b)-5])
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = scanSegment("log", b, true, func(_ LSN, body []byte) error {
			return readBatch(body, func(l *logged) error {
				_, err := l.change()
				return err
			})
		})
	})
}
