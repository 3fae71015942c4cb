package sim

import "encoding/binary"

// Go's compiler for WebAssembly makes every jump within a function go through one place: the jump puts the number of its target
// into a local variable and branches to the loop at the function's head, where a table picks the target's block
// (cmd/internal/obj/wasm, in preprocess). That is one indirect jump, which processors foresee badly, for every if and every end of a
// for. A jump forward has its target's block around it, and can leave that block directly; it ends at the same place with the same
// variables. straighten finds those jumps while a function is rewritten. Jumps back still go through the loop, and are counted there.
type straighten struct {
	phase  int
	depth  int   // blocks, loops and ifs that are open
	loop   int   // depth of the loop at the head
	blocks int   // blocks around the table, one for each target
	closed int   // how many of them have ended; target i begins where i+1 have
	table  []int // by number of a target: its block, counted from the innermost
	number int   // what was last put into the variable
	fresh  int   // 2 after the number, 1 after it was put into the variable, 0 later
}

// The phases of straighten: the head of a function is its first loop, then blocks only, then the variable, then the table.
const (
	seekLoop = iota
	seekBlocks
	seekTable
	inBody
	otherShape // this function is not of that form
)

// see takes the function's next instruction. For a jump forward it gives the instruction to put in its place, otherwise nil.
func (s *straighten) see(ins []byte) (instead []byte) {
	op := ins[0]
	s.head(op, ins)
	switch op {
	case opBlock, opLoop, opIf:
		s.depth++
	case opEnd:
		if s.phase == inBody && s.depth == s.loop+s.blocks-s.closed {
			s.closed++
		}
		s.depth--
	case opBr:
		instead = s.branch(ins)
	}
	switch {
	case op == opI32Const:
		s.number, s.fresh = signed(ins[1:]), 2
	case op == opLocalSet && ins[1] == 0 && s.fresh == 2:
		s.fresh = 1
	default:
		s.fresh = 0
	}
	return instead
}

// head follows the beginning of the function.
func (s *straighten) head(op byte, ins []byte) {
	switch {
	case s.phase == seekLoop && op == opLoop && ins[1] == typeNone:
		s.phase, s.loop = seekBlocks, s.depth+1
	case s.phase == seekBlocks && op == opBlock && ins[1] == typeNone:
		s.blocks++
	case s.phase == seekBlocks && op == opLocalGet && ins[1] == 0:
		s.phase = seekTable
	case s.phase == seekTable && op == opBrTable:
		s.phase = inBody
		c := &cursor{b: ins, at: 1}
		for n := c.uint() + 1; n > 0; n-- {
			to := int(c.uint())
			s.table = append(s.table, to)
			if to >= s.blocks {
				s.phase = otherShape
			}
		}
	case s.phase == seekBlocks || s.phase == seekTable:
		s.phase = otherShape
	}
}

// branch gives the direct form of a jump through the loop.
func (s *straighten) branch(ins []byte) []byte {
	c := &cursor{b: ins, at: 1}
	if s.phase != inBody || s.fresh != 1 || s.number < 0 || s.depth-int(c.uint()) != s.loop {
		return nil
	}
	to := s.table[min(s.number, len(s.table)-1)]
	if to < s.closed {
		return nil // backward
	}
	return binary.AppendUvarint([]byte{opBr}, uint64(s.depth-(s.loop+s.blocks-to)))
}

// signed reads a LEB128 number; -1 for one that is too long to number a target.
func signed(b []byte) int {
	n := 0
	for i, x := range b {
		if i == 3 {
			break
		}
		n |= int(x&0x7f) << (7 * i)
		if x < 0x80 {
			if x&0x40 != 0 {
				return -1
			}
			return n
		}
	}
	return -1
}
