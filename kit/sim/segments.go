package sim

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// Go's linker writes a program's data as ten thousands of small segments, leaving out every run of zeros. Placing
// them one by one is half of what it costs to start an instance. So neighbours are joined here, with the zeros
// between them: a new memory holds zeros there anyway.

// joinGap is the longest run of zeros, in bytes, that is written out to join two segments.
const joinGap = 512

// join rewrites the data section. What it does not know it leaves as it is.
func join(body []byte) []byte {
	c := &cursor{b: body}
	var segments []segment
	for n := c.uint(); n > 0; n-- {
		if c.uint() != 0 || c.byte() != opI32Const { // not an active segment at a constant address
			return body
		}
		s := segment{at: c.int32()}
		if c.byte() != opEnd {
			return body
		}
		s.data = c.bytes(int(c.uint()))
		segments = append(segments, s)
	}
	slices.SortFunc(segments, func(a, b segment) int { return cmp.Compare(a.at, b.at) })

	var joined []segment
	for _, s := range segments {
		if last := len(joined) - 1; last >= 0 {
			l := &joined[last]
			gap := s.at - l.at - int64(len(l.data))
			if gap < 0 {
				return body // one lies over the other, and their order counts
			}
			if gap <= joinGap {
				l.data = append(append(l.data, make([]byte, gap)...), s.data...)
				continue
			}
		}
		joined = append(joined, segment{at: s.at, data: slices.Clone(s.data)})
	}
	out := binary.AppendUvarint(make([]byte, 0, len(body)+len(body)/8), uint64(len(joined)))
	for _, s := range joined {
		out = append(out, 0, opI32Const)
		out = append(appendInt(out, s.at), opEnd)
		out = append(binary.AppendUvarint(out, uint64(len(s.data))), s.data...)
	}
	return out
}

// segment is a piece of a program's data and its address.
type segment struct {
	at   int64
	data []byte
}

// int32 reads a signed LEB128 number. Addresses above 2 GiB are negative then, and stay in their order.
func (c *cursor) int32() int64 {
	v, shift := int64(0), 0
	for {
		b := c.byte()
		v |= int64(b&0x7f) << shift
		shift += 7
		switch {
		case b&0x80 == 0 && b&0x40 != 0:
			return v | -1<<shift
		case b&0x80 == 0:
			return v
		case shift >= 35:
			panic(fmt.Errorf("%w: number", errWasm))
		}
	}
}

// appendInt appends a signed LEB128 number.
func appendInt(dst []byte, v int64) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(dst, b)
		}
		dst = append(dst, b|0x80)
	}
}
