package sim

import (
	"cmp"
	"fmt"
	"slices"
)

// Go's linker writes a program's data as ten thousands of small segments, leaving out every run of zeros. Placing
// them one by one, in memory that the system hands out page by page, is the larger part of what it costs to start an
// instance. So the data section is taken out of the module, and its image is copied into memory that was used before.

// maxImage bounds an image in bytes. The data of a program that has more stays where it is.
const maxImage = 2 * MaxProgram

// imageOf gives the memory that a data section makes; nil when it is not one that Go would write.
func imageOf(body []byte) []byte {
	c := &cursor{b: body}
	var segments []segment
	for n := c.uint(); n > 0; n-- {
		if c.uint() != 0 || c.byte() != opI32Const { // not an active segment at a constant address
			return nil
		}
		s := segment{at: c.int32()}
		if c.byte() != opEnd {
			return nil
		}
		s.data = c.bytes(int(c.uint()))
		segments = append(segments, s)
	}
	slices.SortFunc(segments, func(a, b segment) int { return cmp.Compare(a.at, b.at) })
	end := int64(0)
	for _, s := range segments {
		if s.at < end || s.end() > maxImage { // one lies over the other, and their order counts
			return nil
		}
		end = s.end()
	}
	image := make([]byte, end)
	for _, s := range segments {
		copy(image[s.at:], s.data)
	}
	return image
}

// segment is a piece of a program's data and its address.
type segment struct {
	at   int64
	data []byte
}

func (s segment) end() int64 { return s.at + int64(len(s.data)) }

// int32 reads a signed LEB128 number.
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
