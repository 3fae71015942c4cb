package term

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
)

// AppendOrdered appends bytes of t that sort (bytes.Compare) as Compare orders terms. With byValue they are the same for
// two terms exactly when Compare gives 0, which is what one key is in an ordered_set; without it exactly when Equal
// says so, 1 before 1.0. They are for keys of sorted files and cannot be read back. It panics on a nil Term.
func AppendOrdered(dst []byte, t Term, byValue bool) []byte {
	o := ordering{dst: dst}
	o.term(t, false)
	if !byValue && o.floats {
		o.dst = append(o.dst, o.kinds...)
	}
	return o.dst
}

// ordering writes the values of a term. What tells 1 from 1.0 comes behind all of them, since it counts only where all
// values are the same.
type ordering struct {
	dst    []byte
	kinds  []byte // one for each number: 1 integer, 2 float
	floats bool   // there is one among them
}

// The first byte of every term, in the order of types; a list's end is less than all.
const (
	orderEnd   = 0x00
	orderMinus = 0x08
	orderZero  = 0x09
	orderPlus  = 0x0a
	orderAtom  = 0x10
	orderRank  = 0x18 // and the rank, for the types that are seldom keys
	orderTuple = 0x40
	orderMap   = 0x48
	orderNil   = 0x50
	orderList  = 0x51
	orderBin   = 0x60
)

// term writes a term. Keys of maps are exact: there every integer is before every float.
func (o *ordering) term(t Term, exact bool) {
	switch x := t.(type) {
	case Int, Float, Big:
		o.number(t, exact)
	case Atom:
		o.text(orderAtom, string(x))
	case Bin:
		o.text(orderBin, string(x))
	case Tuple:
		o.dst = binary.BigEndian.AppendUint32(append(o.dst, orderTuple), uint32(len(x)))
		for _, e := range x {
			o.term(e, exact)
		}
	case Map:
		o.dst = binary.BigEndian.AppendUint32(append(o.dst, orderMap), uint32(len(x)))
		for _, p := range x {
			o.term(p.Key, true)
		}
		for _, p := range x {
			o.term(p.Value, exact)
		}
	case List:
		if len(x) == 0 {
			o.dst = append(o.dst, orderNil)
			return
		}
		o.dst = append(o.dst, orderList)
		for _, e := range x {
			o.term(e, exact)
		}
		o.dst = append(o.dst, orderEnd)
	case Pid:
		o.text(orderRank+byte(rank(t)), x.Node)
		o.dst = binary.BigEndian.AppendUint64(o.dst, x.ID)
	case Opaque:
		o.text(orderRank+byte(rank(t)), x.Sort)
	default:
		panic(errNilTerm)
	}
}

// text writes bytes so that no text is the beginning of another: 0 ends it, 0 and 1 in it are written as two.
func (o *ordering) text(tag byte, s string) {
	o.dst = append(o.dst, tag)
	for i := range len(s) {
		if c := s[i]; c > 1 {
			o.dst = append(o.dst, c)
		} else {
			o.dst = append(o.dst, 1, c+1)
		}
	}
	o.dst = append(o.dst, 0)
}

// number writes sign, binary exponent, and the digits behind the first in groups of seven with a bit that says
// whether there are more, so that a number is less than one that goes on where it ends.
func (o *ordering) number(t Term, exact bool) {
	_, isFloat := t.(Float)
	kind := byte(1)
	if isFloat {
		kind, o.floats = 2, o.floats || !exact
	}
	if exact {
		o.dst = append(o.dst, orderMinus-1, kind) // before the number, not behind all
	} else {
		o.kinds = append(o.kinds, kind)
	}
	tagAt := len(o.dst)
	negative := false
	switch x := t.(type) {
	case Int:
		negative = x < 0
		u := uint64(x)
		if negative {
			u = -u
		}
		if u == 0 {
			o.dst = append(o.dst, orderZero)
			return
		}
		e := bits.Len64(u)
		o.dst = append(o.dst, orderPlus)
		o.exponent(e)
		o.digits(u << (64 - e) << 1)
	case Float:
		if x == 0 {
			o.dst = append(o.dst, orderZero)
			return
		}
		negative = x < 0
		frac, e := math.Frexp(math.Abs(float64(x)))
		o.dst = append(o.dst, orderPlus)
		o.exponent(e)
		o.digits(uint64(frac*(1<<53)) << 12)
	case Big:
		negative = x.Sign() < 0
		o.dst = append(o.dst, orderPlus)
		o.exponent(x.BitLen())
		o.bigDigits(x.Int)
	}
	if negative {
		o.dst[tagAt] = orderMinus
		for i := tagAt + 1; i < len(o.dst); i++ {
			o.dst[i] = ^o.dst[i]
		}
	}
}

// exponent writes where the first binary digit stands: 1 for the number 1. One byte serves what is ordinary.
func (o *ordering) exponent(e int) {
	switch {
	case e < 1:
		o.dst = binary.BigEndian.AppendUint16(append(o.dst, 0), uint16(e+2048))
	case e <= 200:
		o.dst = append(o.dst, byte(e))
	default:
		o.dst = binary.BigEndian.AppendUint32(append(o.dst, 255), uint32(e))
	}
}

// digits writes the binary digits of u from the highest on.
func (o *ordering) digits(u uint64) {
	for {
		group := byte(u>>57) << 1
		if u <<= 7; u == 0 {
			o.dst = append(o.dst, group)
			return
		}
		o.dst = append(o.dst, group|1)
	}
}

// bigDigits writes the binary digits of b's magnitude behind the first.
func (o *ordering) bigDigits(b *big.Int) {
	low := int(b.TrailingZeroBits()) // there are only zeros behind it
	for at := b.BitLen() - 2; ; at -= 7 {
		group := byte(0)
		for i := range 7 {
			group <<= 1
			if at-i >= 0 {
				group |= byte(b.Bit(at - i))
			}
		}
		group <<= 1
		if at-7 < low {
			o.dst = append(o.dst, group)
			return
		}
		o.dst = append(o.dst, group|1)
	}
}
