package disk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"sync"

	"netsplit/kit/term"
)

// image is one table as it was at a batch of the log. Implementations: bbolt (real nodes), a plain file (the
// simulator, tests). Keys are those of imageKey; the rows of one key lie together.
type image interface {
	// apply brings changes in, durably and all or nothing, except those of batches that are in it. One caller at once.
	apply(changes []pending, upto LSN) error
	// each gives the rows of every key. They share no memory with the image.
	each(f func(rows []term.Tuple) error) error
	// get gives the rows of a key; none when it is not there.
	get(key []byte) ([]term.Tuple, error)
	// next gives the rows of the key behind this one in byte order, nil at the end. An empty key asks for the first.
	next(key []byte) ([]term.Tuple, error)
	count() int
	close() error
}

// imager makes images of one kind in one folder.
type imager interface {
	// open opens a table's image. One that is not there is fs.ErrNotExist; one of another table kit.Corrupt.
	open(t identity) (image, error)
	// build makes a table's image of rows, in place of the one that is there: a crash leaves the old or the new.
	build(t identity, applied LSN, rows iter.Seq[term.Tuple]) error
	// suffix ends the names of image files.
	suffix() string
}

// pending is a change that waits in the log for a dump.
type pending struct {
	lsn LSN
	Change
}

// identity tells a table from another of the same name that was there before.
type identity struct {
	name    string
	typ     Type
	created LSN
}

// file gives the name of the table's image without suffix. Any atom can name a table, so all but plain
// characters are escaped and long names are shortened.
func (t identity) file() string {
	var b strings.Builder
	for _, c := range []byte(t.name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	name := b.String()
	if len(name) > 80 {
		sum := sha256.Sum256([]byte(t.name))
		name = fmt.Sprintf("%s-%x", name[:60], sum[:8])
	}
	return fmt.Sprintf("%s.%d", name, t.created)
}

// term is the identity record of an image.
func (t identity) term(applied LSN, count int) term.Term {
	return term.T(term.Atom("image"), term.Int(1), term.Bin(t.name), term.Int(t.typ), term.Int(t.created), term.Int(applied), term.Int(count))
}

// readIdentity checks an image's identity record and gives what else it says.
func (t identity) readIdentity(file string, raw []byte) (applied LSN, count int, err error) {
	v, rest, err := term.Decode(raw)
	r, ok := v.(term.Tuple)
	if err != nil || len(rest) > 0 || !ok || len(r) != 7 || r[0] != term.Atom("image") {
		return 0, 0, corrupt(file, "it has no identity record", "")
	}
	a, ok1 := r[5].(term.Int)
	n, ok2 := r[6].(term.Int)
	if !ok1 || !ok2 || r[1] != term.Int(1) || r[2] != term.Bin(t.name) || r[3] != term.Int(t.typ) || r[4] != term.Int(t.created) {
		return 0, 0, corrupt(file, "it is the image of another table: "+term.String(v), "")
	}
	return LSN(a), int(n), nil
}

// maxKey is the longest key of an image; longer ones are replaced by a digest. (bbolt takes 32,768 bytes.)
const maxKey = 1024

// imageKey gives the bytes under which the rows of a key lie. Keys that the table's type takes for one give one.
func imageKey(typ Type, key term.Term) []byte {
	b := term.Append(make([]byte, 0, 32), canonical(key, typ == OrderedSet))
	if len(b) <= maxKey {
		return b
	}
	sum := sha256.Sum256(b)
	return append([]byte{0}, sum[:]...) // no term begins with 0
}

// canonical gives one term for all that are equal: 0.0 for -0.0, and with byValue the integer for a float
// that has an integer's value.
func canonical(t term.Term, byValue bool) term.Term {
	switch x := t.(type) {
	case term.Float:
		f := float64(x)
		if byValue && f == math.Trunc(f) {
			i, _ := big.NewFloat(f).Int(nil)
			return term.Integer(i)
		}
		if f == 0 {
			return term.Float(0)
		}
	case term.Tuple:
		if elems, changed := canonicalAll(x, byValue); changed {
			return term.Tuple(elems)
		}
	case term.List:
		if elems, changed := canonicalAll(x, byValue); changed {
			return term.List(elems)
		}
	case term.Map:
		pairs := make([]term.Pair, len(x))
		for i, p := range x {
			pairs[i] = term.Pair{Key: canonical(p.Key, false), Value: canonical(p.Value, byValue)}
		}
		return term.MakeMap(pairs...)
	}
	return t
}

func canonicalAll(elems []term.Term, byValue bool) ([]term.Term, bool) {
	for i, e := range elems {
		switch e.(type) {
		case term.Float, term.Tuple, term.List, term.Map:
			out := slices.Clone(elems)
			for j := i; j < len(out); j++ {
				out[j] = canonical(out[j], byValue)
			}
			return out, true
		}
	}
	return elems, false
}

// rowKey gives the key of the rows that a change touches.
func (c *Change) rowKey(typ Type) []byte {
	if c.Op == Delete {
		return imageKey(typ, c.Value)
	}
	return imageKey(typ, c.Value.(term.Tuple)[1])
}

// fold gives the rows of one key after changes to it. rows is not changed.
func fold(typ Type, rows []term.Tuple, changes []Change) []term.Tuple {
	rows = slices.Clip(rows)
	for _, c := range changes {
		switch c.Op {
		case Delete, Clear:
			rows = nil
		case DeleteObject:
			rows = slices.DeleteFunc(slices.Clone(rows), func(r term.Tuple) bool { return term.Equal(r, c.Value) })
		case Put:
			row := c.Value.(term.Tuple)
			if typ != Bag {
				rows = []term.Tuple{row}
			} else if !slices.ContainsFunc(rows, func(r term.Tuple) bool { return term.Equal(r, row) }) {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// keyed are changes gathered by the key that they touch.
type keyed struct {
	clear bool // first of all, the table is emptied
	keys  []string
	byKey map[string][]Change
}

// gather sorts changes by key, leaving out those of batches up to applied.
func gather(typ Type, changes []pending, applied LSN) keyed {
	k := keyed{byKey: map[string][]Change{}}
	for i := range changes {
		c := &changes[i].Change
		if changes[i].lsn <= applied {
			continue
		}
		if c.Op == Clear {
			k.clear, k.byKey = true, map[string][]Change{}
			continue
		}
		key := string(c.rowKey(typ))
		if c.Op == Delete || c.Op == Put && typ != Bag {
			k.byKey[key] = []Change{*c}
		} else {
			k.byKey[key] = append(k.byKey[key], *c)
		}
	}
	k.keys = slices.Sorted(maps.Keys(k.byKey))
	return k
}

// appendRows appends the stored form of the rows of one key: a checksum of key and rows, then the rows.
func appendRows(dst []byte, key []byte, rows []term.Tuple) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, r := range rows {
		dst = term.Append(dst, r)
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, dst[at+4:])
	binary.LittleEndian.PutUint32(dst[at:], sum)
	return dst
}

var errRows = errors.New("damaged rows")

// readRows reads what appendRows wrote. The rows share no memory with b.
func readRows(key, b []byte) ([]term.Tuple, error) {
	if len(b) < 5 || crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, b[4:]) != binary.LittleEndian.Uint32(b) {
		return nil, errRows
	}
	rows := make([]term.Tuple, 0, 1)
	for b = b[4:]; len(b) > 0; {
		v, rest, err := term.Decode(b)
		row, ok := v.(term.Tuple)
		if err != nil || !ok || len(row) < 2 {
			return nil, errRows
		}
		rows, b = append(rows, row), rest
	}
	return rows, nil
}

func damagedRows(file string, key []byte) error {
	what := "a long key"
	if t, _, err := term.Decode(key); err == nil {
		what = term.String(t)
	}
	return corrupt(file, "the rows of key "+what+" are damaged", "")
}

// plainImager makes images that are one file each, written as a whole.
type plainImager struct{ fs FS }

func (p plainImager) suffix() string { return ".img" }

const plainMagic = "NSPLIMG1"

// plainImage is an image held in memory.
type plainImage struct {
	p  plainImager
	t  identity
	mu sync.Mutex // guards the fields below; rows and keys themselves never change
	at LSN
	n  int

	rows map[string][]term.Tuple
	keys []string // sorted; nil when not known
}

func (p plainImager) open(t identity) (image, error) {
	name := t.file() + p.suffix()
	b, err := readFile(p.fs, "open image", name)
	if err != nil {
		return nil, err
	}
	body, ok := bytes.CutPrefix(b, []byte(plainMagic))
	if !ok || len(body) < 4 || crc32.Checksum(body[4:], castagnoli) != binary.LittleEndian.Uint32(body) {
		return nil, corrupt(name, "its checksum is wrong", "")
	}
	head, body, ok := cutBytes(body[4:])
	if !ok {
		return nil, corrupt(name, "it has no identity record", "")
	}
	im := &plainImage{p: p, t: t, rows: map[string][]term.Tuple{}}
	if im.at, im.n, err = t.readIdentity(name, head); err != nil {
		return nil, err
	}
	for len(body) > 0 {
		key, rest, ok1 := cutBytes(body)
		val, rest, ok2 := cutBytes(rest)
		if !ok1 || !ok2 {
			return nil, corrupt(name, "it is cut off", "")
		}
		rows, err := readRows(key, val)
		if err != nil {
			return nil, damagedRows(name, key)
		}
		im.rows[string(key)], body = rows, rest
	}
	return im, nil
}

// cutBytes takes a length and so many bytes from the start of b.
func cutBytes(b []byte) (head, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

func (p plainImager) build(t identity, applied LSN, rows iter.Seq[term.Tuple]) error {
	im := &plainImage{p: p, t: t, at: applied, rows: map[string][]term.Tuple{}}
	for r := range rows {
		key := string(imageKey(t.typ, r[1]))
		old := im.rows[key]
		now := fold(t.typ, old, []Change{{Op: Put, Value: r}})
		im.rows[key], im.n = now, im.n+len(now)-len(old)
	}
	return im.write(im.rows, im.n, applied)
}

func (im *plainImage) write(rows map[string][]term.Tuple, n int, applied LSN) error {
	out := append([]byte(plainMagic), 0, 0, 0, 0)
	out = appendBytes(out, term.Append(nil, im.t.term(applied, n)))
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		out = appendBytes(out, []byte(k))
		out = appendBytes(out, appendRows(nil, []byte(k), rows[k]))
	}
	sumAt := len(plainMagic)
	binary.LittleEndian.PutUint32(out[sumAt:], crc32.Checksum(out[sumAt+4:], castagnoli))
	return replaceFile(im.p.fs, "write image", im.t.file()+im.p.suffix(), out)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func (im *plainImage) close() error { return nil }

func (im *plainImage) count() int {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.n
}

func (im *plainImage) apply(changes []pending, upto LSN) error {
	k := gather(im.t.typ, changes, im.at)
	rows, n := maps.Clone(im.rows), im.n
	if k.clear {
		rows, n = map[string][]term.Tuple{}, 0
	}
	for _, key := range k.keys {
		now := fold(im.t.typ, rows[key], k.byKey[key])
		n += len(now) - len(rows[key])
		if len(now) == 0 {
			delete(rows, key)
		} else {
			rows[key] = now
		}
	}
	if err := im.write(rows, n, upto); err != nil {
		return err
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.rows, im.n, im.at, im.keys = rows, n, upto, nil
	return nil
}

// sorted gives the rows and their keys in order, as they are now.
func (im *plainImage) sorted() (map[string][]term.Tuple, []string) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if im.keys == nil {
		im.keys = slices.Sorted(maps.Keys(im.rows))
	}
	return im.rows, im.keys
}

func (im *plainImage) each(f func([]term.Tuple) error) error {
	rows, keys := im.sorted()
	for _, k := range keys {
		if err := f(rows[k]); err != nil {
			return err
		}
	}
	return nil
}

func (im *plainImage) get(key []byte) ([]term.Tuple, error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.rows[string(key)], nil
}

func (im *plainImage) next(key []byte) ([]term.Tuple, error) {
	rows, keys := im.sorted()
	i, found := slices.BinarySearch(keys, string(key))
	if found {
		i++
	}
	if i == len(keys) {
		return nil, nil
	}
	return rows[keys[i]], nil
}
