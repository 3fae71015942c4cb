package term

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"sync/atomic"
	"unicode/utf8"

	"netsplit/kit"
)

// Limits of everything that reads terms from outside; what breaks them is refused, never cut short.
const (
	MaxDepth   = 256     // nesting of tuples, lists and maps
	MaxTerms   = 1 << 22 // terms in one decoded value, so that a small frame cannot claim all memory
	MaxIntBits = 1 << 17 // size of an integer, about 39,000 digits
	MaxAtom    = 255     // characters of an atom, as in Erlang
)

var (
	errNotFinite = errors.New("no finite number")
	errTooDeep   = fmt.Errorf("nested deeper than %d", MaxDepth)
	errNoTerm    = errors.New("it has no term")
	errNilTerm   = errors.New("a nil term")
	errNoTuple   = errors.New("no tuple")
)

// The binary form: one tag byte, then the value. It is canonical (one term, one form), because keys of Go
// maps are made of it and because a decoder that accepts one form only finds more damage.
//
//	00       never used, so that zeroed bytes are not a term
//	01       integer, zigzag varint           06 07 08  tuple, list, map: count, elements
//	02 03    big integer + / -: length, bytes 09        pid: node length, node, varint
//	04       float, 8 bytes                   0a        opaque: length, text
//	05       atom: length, text               0b        binary: length, bytes
//	10..1f   tuple of 0..15                   20..3f    atom of 0..31 bytes
//	40..6f   binary of 0..47 bytes            70..7f    list of 0..15
//	80..ff   integer 0..127
const (
	tagInt    = 0x01
	tagBigPos = 0x02
	tagBigNeg = 0x03
	tagFloat  = 0x04
	tagAtom   = 0x05
	tagTuple  = 0x06
	tagList   = 0x07
	tagMap    = 0x08
	tagPid    = 0x09
	tagOpaque = 0x0a
	tagBin    = 0x0b

	shortTuple = 0x10
	shortAtom  = 0x20
	shortBin   = 0x40
	shortList  = 0x70
	shortInt   = 0x80
)

// Append appends the binary form of t to dst. It panics on a nil Term.
func Append(dst []byte, t Term) []byte {
	e := encoder{dst: dst}
	e.term(t)
	return e.dst
}

type encoder struct {
	dst       []byte
	plainZero bool // write -0.0 as 0.0, which is equal to it
}

func (e *encoder) term(t Term) {
	switch x := t.(type) {
	case Int:
		if uint64(x) < 128 {
			e.dst = append(e.dst, shortInt|byte(x))
			return
		}
		e.dst = binary.AppendVarint(append(e.dst, tagInt), int64(x))
	case Atom:
		e.text(string(x), shortAtom, 32, tagAtom)
	case Bin:
		e.text(string(x), shortBin, 48, tagBin)
	case Tuple:
		e.elements(x, shortTuple, tagTuple)
	case List:
		e.elements(x, shortList, tagList)
	case Float:
		f := float64(x)
		if e.plainZero && f == 0 {
			f = 0
		}
		e.dst = binary.BigEndian.AppendUint64(append(e.dst, tagFloat), math.Float64bits(f))
	case Map:
		e.dst = binary.AppendUvarint(append(e.dst, tagMap), uint64(len(x)))
		for _, p := range x {
			e.term(p.Key)
			e.term(p.Value)
		}
	case Pid:
		e.dst = binary.AppendUvarint(append(e.dst, tagPid), uint64(len(x.Node)))
		e.dst = binary.AppendUvarint(append(e.dst, x.Node...), x.ID)
	case Big:
		e.big(x)
	case Opaque:
		e.dst = binary.AppendUvarint(append(e.dst, tagOpaque), uint64(len(x.Sort)))
		e.dst = append(e.dst, x.Sort...)
	default:
		panic(errNilTerm)
	}
}

func (e *encoder) text(s string, short byte, room int, long byte) {
	if len(s) < room {
		e.dst = append(e.dst, short|byte(len(s)))
	} else {
		e.dst = binary.AppendUvarint(append(e.dst, long), uint64(len(s)))
	}
	e.dst = append(e.dst, s...)
}

func (e *encoder) elements(ts []Term, short, long byte) {
	if len(ts) < 16 {
		e.dst = append(e.dst, short|byte(len(ts)))
	} else {
		e.dst = binary.AppendUvarint(append(e.dst, long), uint64(len(ts)))
	}
	for _, t := range ts {
		e.term(t)
	}
}

func (e *encoder) big(b Big) {
	if b.IsInt64() {
		e.term(Int(b.Int64()))
		return
	}
	tag := byte(tagBigPos)
	if b.Sign() < 0 {
		tag = tagBigNeg
	}
	raw := b.Bytes()
	e.dst = binary.AppendUvarint(append(e.dst, tag), uint64(len(raw)))
	e.dst = append(e.dst, raw...)
}

// Decode reads one term and returns the bytes after it. src may come from anywhere: what is not the
// canonical form of a term within the limits is an error of kind kit.Corrupt. The term shares no memory with src.
func Decode(src []byte) (Term, []byte, error) {
	d := decoder{src: src, left: MaxTerms}
	t := d.term(0)
	if d.bad != "" {
		return nil, src, &kit.Error{Op: "decode term", Kind: kit.Corrupt,
			What: fmt.Sprintf("at byte %d of %d", d.at, len(src)), Err: errors.New(d.bad)}
	}
	return t, src[d.at:], nil
}

// DecodeTuple is Decode for bytes that hold a tuple; other terms are kit.Corrupt. It saves what an interface around the
// tuple costs.
func DecodeTuple(src []byte) (Tuple, []byte, error) {
	if len(src) > 0 && src[0] >= shortTuple && src[0] < shortAtom {
		d := decoder{src: src, at: 1, left: MaxTerms - 1}
		if elems := d.elements(int(src[0]&0x0f), 0); d.bad == "" {
			return elems, src[d.at:], nil
		}
	}
	t, rest, err := Decode(src)
	if err != nil {
		return nil, src, err
	}
	tuple, ok := t.(Tuple)
	if !ok {
		return nil, src, &kit.Error{Op: "decode term", Kind: kit.Corrupt, What: String(t), Err: errNoTuple}
	}
	return tuple, rest, nil
}

// Skip returns the bytes behind the first term of src. It sees that lengths and counts are within src, but not that the
// term is in order: only Decode does.
func Skip(src []byte) ([]byte, error) {
	d := decoder{src: src}
	for left := 1; left > 0 && d.bad == ""; left-- {
		left += d.skip()
	}
	if d.bad != "" {
		return src, &kit.Error{Op: "skip term", Kind: kit.Corrupt, What: fmt.Sprintf("at byte %d of %d", d.at, len(src)), Err: errors.New(d.bad)}
	}
	return src[d.at:], nil
}

// Elements gives the bytes behind the head of an encoded tuple, where its elements begin, and their number. Only the head
// is looked at.
func Elements(src []byte) (elems []byte, n int, err error) {
	d := decoder{src: src}
	if len(src) > 0 && (src[0] == tagTuple || src[0] >= shortTuple && src[0] < shortAtom) {
		n = d.skip()
	} else {
		d.fail(errNoTuple.Error())
	}
	if d.bad != "" {
		return nil, 0, &kit.Error{Op: "read tuple", Kind: kit.Corrupt, Err: errors.New(d.bad)}
	}
	return src[d.at:], n, nil
}

// skip passes one term but for its elements, whose number it gives.
func (d *decoder) skip() int {
	if d.at >= len(d.src) {
		d.fail("the bytes end inside a term")
		return 0
	}
	tag := d.src[d.at]
	d.at++
	room := len(d.src) - d.at // every element takes at least a byte
	switch {
	case tag >= shortInt:
	case tag >= shortList:
		return int(tag & 0x0f)
	case tag >= shortBin:
		d.bytes(int(tag - shortBin))
	case tag >= shortAtom:
		d.bytes(int(tag & 0x1f))
	case tag >= shortTuple:
		return int(tag & 0x0f)
	default:
		switch tag {
		case tagInt:
			d.uvarint()
		case tagFloat:
			d.bytes(8)
		case tagBigPos, tagBigNeg, tagAtom, tagBin, tagOpaque:
			d.bytes(d.size(0, room))
		case tagTuple, tagList:
			return d.size(0, room)
		case tagMap:
			return 2 * d.size(0, room/2)
		case tagPid:
			d.bytes(d.size(0, room))
			d.uvarint()
		default:
			d.fail("an unknown tag")
		}
	}
	return 0
}

// decoder walks src once. bad is why it stopped; after that every method returns zero values.
type decoder struct {
	src  []byte
	at   int
	left int
	bad  string
}

func (d *decoder) fail(why string) Term {
	if d.bad == "" {
		d.bad = why
	}
	return nil
}

func (d *decoder) term(depth int) Term {
	if d.at >= len(d.src) {
		return d.fail("the bytes end inside a term")
	}
	if d.left--; d.left < 0 {
		return d.fail("more terms than allowed")
	}
	tag := d.src[d.at]
	d.at++
	switch {
	case tag >= shortInt:
		return Int(tag & 0x7f)
	case tag >= shortList:
		return List(d.elements(int(tag&0x0f), depth))
	case tag >= shortBin:
		return Bin(d.bytes(int(tag - shortBin)))
	case tag >= shortAtom:
		return d.atom(int(tag & 0x1f))
	case tag >= shortTuple:
		return Tuple(d.elements(int(tag&0x0f), depth))
	}
	return d.long(tag, depth)
}

// long reads the forms whose size does not fit the tag.
func (d *decoder) long(tag byte, depth int) Term {
	switch tag {
	case tagInt:
		v, n := binary.Varint(d.src[d.at:])
		if n <= 0 || n > 1 && d.src[d.at+n-1] == 0 || uint64(v) < 128 {
			return d.fail("a damaged integer")
		}
		d.at += n
		return Int(v)
	case tagBigPos, tagBigNeg:
		return d.big(tag)
	case tagFloat:
		raw := d.bytes(8)
		if len(raw) != 8 {
			return nil
		}
		f := math.Float64frombits(binary.BigEndian.Uint64(raw))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return d.fail("a float that is no finite number")
		}
		return Float(f)
	case tagAtom:
		return d.atom(d.size(32, 4*MaxAtom))
	case tagBin:
		return Bin(d.bytes(d.size(48, math.MaxInt32)))
	case tagTuple:
		return Tuple(d.elements(d.size(16, MaxTerms), depth))
	case tagList:
		return List(d.elements(d.size(16, MaxTerms), depth))
	case tagMap:
		return d.mapping(d.size(0, MaxTerms), depth)
	case tagPid:
		node := string(d.bytes(d.size(0, kit.MaxNodeName)))
		return Pid{Node: node, ID: d.uvarint()}
	case tagOpaque:
		return Opaque{Sort: string(d.bytes(d.size(0, 4*MaxAtom)))}
	}
	return d.fail("an unknown tag")
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.src[d.at:])
	if n <= 0 || n > 1 && d.src[d.at+n-1] == 0 {
		d.fail("a damaged length")
		return 0
	}
	d.at += n
	return v
}

// size reads a length or count between least and most.
func (d *decoder) size(least, most int) int {
	v := d.uvarint()
	if v < uint64(least) || v > uint64(most) {
		d.fail("a length out of bounds")
		return 0
	}
	return int(v)
}

func (d *decoder) bytes(n int) []byte {
	if d.bad != "" || n > len(d.src)-d.at {
		d.fail("the bytes end inside a term")
		return nil
	}
	b := d.src[d.at : d.at+n]
	d.at += n
	return b
}

func (d *decoder) elements(n, depth int) []Term {
	if depth >= MaxDepth {
		d.fail(errTooDeep.Error())
		return nil
	}
	if d.bad != "" || n > len(d.src)-d.at || n > d.left {
		d.fail("a count out of bounds")
		return nil
	}
	out := make([]Term, n)
	for i := range out {
		out[i] = d.term(depth + 1)
		if d.bad != "" {
			return nil
		}
	}
	return out
}

func (d *decoder) mapping(n, depth int) Term {
	if 2*n > len(d.src)-d.at {
		return d.fail("a count out of bounds")
	}
	flat := d.elements(2*n, depth)
	if d.bad != "" {
		return nil
	}
	m := make(Map, n)
	for i := range m {
		m[i] = Pair{flat[2*i], flat[2*i+1]}
		if i > 0 && compare(m[i-1].Key, m[i].Key, true) >= 0 {
			return d.fail("a map that is not sorted")
		}
	}
	return m
}

func (d *decoder) big(tag byte) Term {
	raw := d.bytes(d.size(8, MaxIntBits/8))
	if d.bad != "" {
		return nil
	}
	i := new(big.Int).SetBytes(raw)
	if tag == tagBigNeg {
		i.Neg(i)
	}
	if raw[0] == 0 || i.IsInt64() {
		return d.fail("a damaged integer")
	}
	return Big{i}
}

// knownAtom is an atom that was decoded before, with its interface value ready made.
type knownAtom struct {
	text string
	term Term
}

// knownAtoms saves the two allocations of an atom met again: table names, record names, flags. It is a
// direct-mapped cache of fixed size, so that hostile input cannot make it grow.
var knownAtoms [1024]atomic.Pointer[knownAtom]

func (d *decoder) atom(n int) Term {
	raw := d.bytes(n)
	if d.bad != "" {
		return nil
	}
	h := uint32(2166136261)
	for _, c := range raw {
		h = (h ^ uint32(c)) * 16777619
	}
	slot := &knownAtoms[(h^h>>16)%uint32(len(knownAtoms))]
	if k := slot.Load(); k != nil && k.text == string(raw) {
		return k.term
	}
	if !utf8.Valid(raw) || utf8.RuneCount(raw) > MaxAtom {
		return d.fail("an atom that is no text or too long")
	}
	k := &knownAtom{text: string(raw)}
	k.term = Atom(k.text)
	slot.Store(k)
	return k.term
}
