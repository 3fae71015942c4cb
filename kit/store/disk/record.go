package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"netsplit/kit"
	"netsplit/kit/term"
)

// A segment of the log is a header and records. A record is
//
//	a7 4e | kind | 0 | length of the body, 4 bytes | LSN, 8 bytes | CRC, 4 bytes | body
//
// The checksum (CRC-32C) covers all but itself. The two first bytes let a reader look for records behind a damaged
// place, to tell damage from an unfinished end.
const (
	segmentMagic  = "NSPLLOG1"
	segmentKin    = "NSPLLOG"                 // of all versions
	segmentHeader = len(segmentMagic) + 8 + 4 // magic, first LSN, CRC
	recordHeader  = 20
	recordMagic0  = 0xa7
	recordMagic1  = 0x4e
)

// recordKind says what a record is.
type recordKind byte

const (
	batchRecord recordKind = iota + 1 // body: changes
	markRecord                        // LSN: everything up to it has been synced
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends a record whose body is made by body.
func appendRecord(dst []byte, kind recordKind, lsn LSN, body func([]byte) []byte) []byte {
	at := len(dst)
	dst = append(dst, recordMagic0, recordMagic1, byte(kind), 0)
	dst = append(dst, make([]byte, recordHeader-4)...)
	if body != nil {
		dst = body(dst)
	}
	binary.LittleEndian.PutUint32(dst[at+4:], uint32(len(dst)-at-recordHeader))
	binary.LittleEndian.PutUint64(dst[at+8:], uint64(lsn))
	binary.LittleEndian.PutUint32(dst[at+16:], recordSum(dst[at:]))
	return dst
}

func recordSum(rec []byte) uint32 {
	return crc32.Update(crc32.Checksum(rec[:16], castagnoli), castagnoli, rec[recordHeader:])
}

// record is one record as it was read.
type record struct {
	kind recordKind
	lsn  LSN
	body []byte
	size int
}

// readRecord reads the record at the start of b; false when there is no whole, undamaged one.
func readRecord(b []byte) (record, bool) {
	if len(b) < recordHeader || b[0] != recordMagic0 || b[1] != recordMagic1 || b[3] != 0 {
		return record{}, false
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if n > MaxBatch || n > len(b)-recordHeader {
		return record{}, false
	}
	r := record{kind: recordKind(b[2]), lsn: LSN(binary.LittleEndian.Uint64(b[8:])), body: b[recordHeader : recordHeader+n], size: recordHeader + n}
	return r, recordSum(b[:r.size]) == binary.LittleEndian.Uint32(b[16:])
}

func segmentStart(first LSN) []byte {
	b := binary.LittleEndian.AppendUint64([]byte(segmentMagic), uint64(first))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func readSegmentStart(b []byte) (LSN, bool) {
	if len(b) < segmentHeader || !bytes.HasPrefix(b, []byte(segmentMagic)) {
		return 0, false
	}
	sum := crc32.Checksum(b[:segmentHeader-4], castagnoli)
	return LSN(binary.LittleEndian.Uint64(b[len(segmentMagic):])), sum == binary.LittleEndian.Uint32(b[segmentHeader-4:])
}

// appendBatch appends the body of a batch record.
func appendBatch(dst []byte, batch []Change) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(batch)))
	for _, c := range batch {
		dst = append(dst, byte(c.Op))
		switch c.Op {
		case SetMeta:
			dst = term.Append(term.Append(dst, c.Key), c.Value)
		case DelMeta:
			dst = term.Append(dst, c.Key)
		default:
			dst = binary.AppendUvarint(dst, uint64(len(c.Table)))
			dst = append(dst, c.Table...)
			switch c.Op {
			case Put, Delete, DeleteObject:
				dst = term.Append(dst, c.Value)
			case Create:
				only := byte(0)
				if c.Only {
					only = 1
				}
				dst = append(dst, byte(c.Type), only)
			}
		}
	}
	return dst
}

// maxTableName is the longest name of a table, in bytes: any atom fits.
const maxTableName = 4 * term.MaxAtom

var errBatch = errors.New("a damaged batch")

// logged is a change as it stands in the log; its slices are parts of the batch's body.
type logged struct {
	op    Op
	table []byte
	key   []byte // encoded: of SetMeta, DelMeta
	value []byte // encoded: of SetMeta, Put, Delete, DeleteObject
	typ   Type
	only  bool
}

// readBatch reads the body of a batch record. Its checksum was right, so an error means a wrong program wrote it.
func readBatch(body []byte, f func(c *logged) error) error {
	n, w := binary.Uvarint(body)
	if w <= 0 || n > uint64(len(body)) {
		return errBatch
	}
	body = body[w:]
	var c logged
	for range n {
		var err error
		if body, err = c.read(body); err != nil {
			return err
		}
		if err := f(&c); err != nil {
			return err
		}
	}
	if len(body) > 0 {
		return errBatch
	}
	return nil
}

// read takes a change from the start of b. It sees that its parts are there, not that they are in order.
func (c *logged) read(b []byte) (rest []byte, err error) {
	if len(b) == 0 {
		return nil, errBatch
	}
	*c = logged{op: Op(b[0])}
	b = b[1:]
	if c.op == SetMeta || c.op == DelMeta {
		if c.key, b, err = cutTerm(b); err == nil && c.op == SetMeta {
			c.value, b, err = cutTerm(b)
		}
		return b, err
	}
	var ok bool
	if c.table, b, ok = cutBytes(b); !ok || len(c.table) == 0 || len(c.table) > maxTableName {
		return nil, errBatch
	}
	switch c.op {
	case Put, Delete, DeleteObject:
		c.value, b, err = cutTerm(b)
	case Create:
		if len(b) < 2 || Type(b[0]) < Set || Type(b[0]) > Bag || b[1] > 1 {
			return nil, errBatch
		}
		c.typ, c.only, b = Type(b[0]), b[1] == 1, b[2:]
	case Clear, Drop:
	default:
		return nil, errBatch
	}
	return b, err
}

// cutTerm takes an encoded term from the start of b.
func cutTerm(b []byte) (t, rest []byte, err error) {
	rest, err = term.Skip(b)
	return b[:len(b)-len(rest)], rest, err
}

// change decodes the change.
func (c *logged) change() (Change, error) {
	out := Change{Op: c.op, Table: string(c.table), Type: c.typ, Only: c.only}
	var err error
	if c.key != nil {
		if out.Key, _, err = term.Decode(c.key); err != nil {
			return out, err
		}
	}
	if c.value != nil {
		if out.Value, _, err = term.Decode(c.value); err != nil {
			return out, err
		}
	}
	return out, out.check()
}

// raw gives the change for an image of a table of that type; its key is appended to keys, which it gives back longer.
func (c *logged) raw(lsn LSN, typ Type, keys []byte) (rawChange, []byte, error) {
	out := rawChange{lsn: lsn, op: c.op}
	if c.op == Clear {
		return out, keys, nil
	}
	at := c.value
	if c.op != Delete {
		out.row = c.value
		var err error
		if at, err = rowKeyAt(c.value); err != nil {
			return out, keys, err
		}
	}
	key, _, err := term.Decode(at)
	if err != nil {
		return out, keys, err
	}
	n := len(keys)
	keys = appendKey(keys, typ, key)
	out.key = keys[n:len(keys):len(keys)]
	return out, keys, nil
}

// rowKeyAt gives the place in an encoded record where its key begins.
func rowKeyAt(row []byte) ([]byte, error) {
	elems, n, err := term.Elements(row)
	if err != nil || n < 2 {
		return nil, errBatch
	}
	return term.Skip(elems)
}

// check reports a change that cannot be meant.
func (c *Change) check() error {
	bad := ""
	switch c.Op {
	case Put, DeleteObject:
		if row, ok := c.Value.(term.Tuple); !ok || len(row) < 2 {
			bad = "a record is a tuple of at least two elements"
		}
	case Delete:
		if c.Value == nil {
			bad = "no key"
		}
	case SetMeta, DelMeta:
		if c.Key == nil || c.Op == SetMeta && c.Value == nil || c.Table != "" {
			bad = "no named value"
		}
	case Create:
		if c.Type < Set || c.Type > Bag {
			bad = "no such type of table"
		}
	case Clear, Drop:
	default:
		bad = "no such change"
	}
	if bad == "" && c.Op != SetMeta && c.Op != DelMeta && (c.Table == "" || len(c.Table) > maxTableName) {
		bad = "no table name"
	}
	if bad == "" {
		return nil
	}
	return &kit.Error{Op: "log change", Kind: kit.Invalid, What: fmt.Sprintf("of table %q", c.Table), Err: errors.New(bad)}
}
