package disk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"netsplit/kit/term"
)

// image is one table as it was at a batch of the log. Implementations: bbolt (real nodes), a plain file (the
// simulator, tests). Keys are those of imageKey, in their order; the rows of one key lie together, in the form of
// storeRows.
type image interface {
	// apply brings changes in, durably and all or nothing, except those of batches that are in it. One caller at once.
	apply(p *part, upto LSN) error
	// each gives every key with its rows as they are stored. They are valid until end, which it calls last, returns, and
	// are read within safely.
	each(f func(key, stored []byte) error, end func()) error
	// get gives the rows of a key; none when it is not there.
	get(key []byte) ([]term.Tuple, error)
	// next gives the key behind this one and its rows, no rows at the end. An empty key asks for the first.
	next(key []byte) ([]byte, []term.Tuple, error)
	// safely calls f and makes an error of the faults that reading a damaged file can cause.
	safely(f func() error) error
	// file is the image's name.
	file() string
	// applied is the last batch that is in it, count the number of its rows.
	applied() LSN
	count() int
	close() error
}

// builder makes a new image beside the one that is there.
type builder interface {
	// add puts changes on top of what was added before.
	add(p *part) error
	// commit puts the image in place of the one that is there: a crash leaves the old or the new.
	commit(applied LSN) error
	// abort forgets it. It is harmless after commit.
	abort()
}

// imager makes images of one kind in one folder.
type imager interface {
	// open opens a table's image. One that is not there is fs.ErrNotExist; one of another table kit.Corrupt.
	open(t identity) (image, error)
	// create begins a new image.
	create(t identity) (builder, error)
	// suffix ends the names of image files.
	suffix() string
}

// part is a run of changes of one table, as the log has them.
type part struct {
	cleared LSN // of the last Clear; what came before it is not in changes
	changes []rawChange
	bytes   int
}

// rawChange is a change of one key: row is the encoded record, nil for Delete.
type rawChange struct {
	lsn LSN
	op  Op
	key []byte // imageKey
	row []byte
	at  int // its place among the changes of the part
}

// take adds a change. What the change refers to is kept, not copied.
func (p *part) take(c rawChange) {
	if c.op == Clear {
		p.cleared, p.changes = c.lsn, p.changes[:0]
		return
	}
	c.at = len(p.changes)
	p.changes = append(p.changes, c)
	p.bytes += len(c.key) + len(c.row) + 64
}

// since drops the changes of batches up to applied, and sorts the others by key, oldest first.
func (p *part) since(applied LSN) (clear bool, changes []rawChange) {
	i := 0
	for i < len(p.changes) && p.changes[i].lsn <= applied {
		i++ // batches come in order
	}
	changes = p.changes[i:]
	slices.SortFunc(changes, byKey)
	return p.cleared > applied, changes
}

func byKey(a, b rawChange) int {
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c
	}
	return a.at - b.at
}

// runs calls f with the changes of each key.
func runs(changes []rawChange, f func(cs []rawChange) error) error {
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && bytes.Equal(changes[n].key, changes[0].key) {
			n++
		}
		if err := f(changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// pending is a change that waits in the log for a dump.
type pending struct {
	lsn LSN
	Change
}

// imageVersion is the form of images. Others are refused.
const imageVersion = 2

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
	return term.T(term.Atom("image"), term.Int(imageVersion), term.Bin(t.name), term.Int(t.typ), term.Int(t.created), term.Int(applied), term.Int(count))
}

// readIdentity checks an image's identity record and gives what else it says.
func (t identity) readIdentity(file string, raw []byte) (applied LSN, count int, err error) {
	v, rest, err := term.Decode(raw)
	r, ok := v.(term.Tuple)
	if err != nil || len(rest) > 0 || !ok || len(r) < 2 || r[0] != term.Atom("image") {
		return 0, 0, corrupt(file, "it has no identity record", "")
	}
	if r[1] != term.Int(imageVersion) || len(r) != 7 {
		return 0, 0, unknownForm(file, r[1])
	}
	a, ok1 := r[5].(term.Int)
	n, ok2 := r[6].(term.Int)
	if !ok1 || !ok2 || r[2] != term.Bin(t.name) || r[3] != term.Int(t.typ) || r[4] != term.Int(t.created) {
		return 0, 0, corrupt(file, "it is the image of another table: "+term.String(v), "")
	}
	return LSN(a), int(n), nil
}

// maxKey is the longest key of an image; longer ones are replaced by a digest, behind all others. (bbolt takes 32,768
// bytes.)
const maxKey = 8192

// imageKey gives the bytes under which the rows of a key lie: in term order, one for keys that the table's type takes
// for one.
func imageKey(typ Type, key term.Term) []byte {
	return appendKey(make([]byte, 0, 32), typ, key)
}

func appendKey(dst []byte, typ Type, key term.Term) []byte {
	at := len(dst)
	dst = term.AppendOrdered(dst, key, typ == OrderedSet)
	if len(dst)-at <= maxKey {
		return dst
	}
	sum := sha256.Sum256(dst[at:])
	return append(append(dst[:at], 0xff), sum[:]...) // no term begins with ff
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

// storeRows appends the stored form of the rows of one key: a checksum of key and rows, then the rows.
func storeRows(dst, key []byte, rows ...term.Tuple) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, r := range rows {
		dst = term.Append(dst, r)
	}
	return seal(dst, at, key)
}

// seal writes the checksum of the rows that stand in dst from at+4 on.
func seal(dst []byte, at int, key []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, dst[at+4:])
	binary.LittleEndian.PutUint32(dst[at:], sum)
	return dst
}

var errRows = errors.New("damaged rows")

// checkRows gives the rows that storeRows wrote, encoded.
func checkRows(key, stored []byte) ([]byte, error) {
	if len(stored) < 5 || crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, stored[4:]) != binary.LittleEndian.Uint32(stored) {
		return nil, errRows
	}
	return stored[4:], nil
}

// readRows reads what storeRows wrote. The rows share no memory with stored.
func readRows(dst []term.Tuple, key, stored []byte) ([]term.Tuple, error) {
	b, err := checkRows(key, stored)
	for err == nil && len(b) > 0 {
		var row term.Tuple
		row, b, err = term.DecodeTuple(b)
		if len(row) < 2 {
			err = errRows
		}
		dst = append(dst, row)
	}
	if err != nil {
		return nil, errRows
	}
	return dst, nil
}

func damagedRows(file string, key, stored []byte) error {
	what := fmt.Sprintf("%x", key[:min(len(key), 64)])
	if len(stored) > 4 {
		if row, _, err := term.DecodeTuple(stored[4:]); err == nil && len(row) > 1 {
			what = term.String(row[1])
		}
	}
	return corrupt(file, "the rows of key "+what+" are damaged", "")
}

// merge gives the stored form of a key's rows after changes to it, appended to dst and empty when no row is left, and by
// how much their number grows. old is the stored form before, nil when there was none.
func merge(dst []byte, typ Type, file string, old []byte, cs []rawChange) (stored []byte, more int, err error) {
	key, last := cs[0].key, &cs[len(cs)-1]
	if typ != Bag && last.op == Put { // the ordinary case needs no decoding
		at := len(dst)
		dst = append(append(dst, 0, 0, 0, 0), last.row...)
		if old == nil {
			more = 1
		}
		return seal(dst, at, key), more, nil
	}
	if typ != Bag && last.op == Delete {
		if old != nil {
			more = -1
		}
		return nil, more, nil
	}
	var rows []term.Tuple
	if old != nil {
		if rows, err = readRows(nil, key, old); err != nil {
			return nil, 0, damagedRows(file, key, old)
		}
	}
	changes := make([]Change, len(cs))
	for i, c := range cs {
		changes[i].Op = c.op
		if c.row != nil {
			if changes[i].Value, _, err = term.Decode(c.row); err != nil {
				return nil, 0, corrupt(file, "a change of it is damaged: "+err.Error(), "")
			}
		}
	}
	now := fold(typ, rows, changes)
	if len(now) == 0 {
		return nil, -len(rows), nil
	}
	return storeRows(dst, key, now...), len(now) - len(rows), nil
}

// unknownForm refuses a file of another version of the program.
func unknownForm(file string, version term.Term) error {
	return corrupt(file, "it is of the unknown form "+term.String(version), "start the version of the program that wrote it")
}
