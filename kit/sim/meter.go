package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"netsplit/kit"
)

// A program is metered before it is compiled: its code is rewritten so that it counts its own steps and stops by
// itself when its allowance is used up. The count is part of the program, so it is the same on every machine
// and with every engine; a budget in seconds would judge a good program on a slow machine.
//
// What takes long either jumps back, and Go's wasm code does that through a loop at the function's head, or calls functions that call
// functions: so every turn of a loop is a step, and so is every call of a function that calls others. Bulk memory operations are the
// only instructions whose cost has no bound; they pay by the byte. Jumps forward are made direct on the way (see straighten).

// fuelExport is the name under which a metered module exports its allowance, a mutable i64.
const fuelExport = "netsplit.fuel"

// bulkShift makes a bulk memory operation pay one step for each 16 bytes.
const bulkShift = 4

// Ids of the sections that the meter changes, and the opcodes that it reads or writes.
const (
	secImport, secGlobal, secExport, secCode, secData, secDataCount = 2, 6, 7, 10, 11, 12

	opUnreachable, opLoop, opIf, opEnd = 0x00, 0x03, 0x04, 0x0b
	opGlobalGet, opGlobalSet           = 0x23, 0x24
	opI32Const, opI64Const, opI64LtS   = 0x41, 0x42, 0x53
	opI64Sub, opI64ShrU, opI64ExtendU  = 0x7d, 0x88, 0xad
	opBulk, opMemoryCopy, opMemoryFill = 0xfc, 10, 11
	opBlock, opBr, opBrTable           = 0x02, 0x0c, 0x0e
	opCall, opCallIndirect             = 0x10, 0x11
	opLocalGet, opLocalSet             = 0x20, 0x21
	typeI32, typeI64, typeNone         = 0x7f, 0x7e, 0x40
	kindFunc, kindTable, kindMemory    = 0, 1, 2
	kindGlobal                         = 3
)

var errWasm = errors.New("not a WebAssembly module that Go would write")

// meter rewrites a module, and gives apart the memory that it begins with, unless its data had to stay in it. It accepts what
// Go's toolchain emits and reports kit.Corrupt for anything else.
func meter(module []byte) (out, image []byte, err error) {
	defer func() {
		// cursor panics with errWasm at the end of its input, which keeps the decoder readable.
		if p := recover(); p != nil {
			if e, ok := p.(error); !ok || !errors.Is(e, errWasm) {
				panic(p)
			}
			err = &kit.Error{Op: "read program", Kind: kit.Corrupt, Err: p.(error)}
		}
	}()
	if !bytes.HasPrefix(module, []byte("\x00asm\x01\x00\x00\x00")) {
		panic(errWasm)
	}
	m := metering{out: append(make([]byte, 0, len(module)+len(module)/3), module[:8]...)}
	c := &cursor{b: module, at: 8}
	for c.at < len(c.b) {
		id := c.byte()
		m.section(id, c.bytes(int(c.uint())))
	}
	if !m.globals || !m.exports {
		panic(fmt.Errorf("%w: it has no globals or no exports", errWasm))
	}
	return m.out, m.image, nil
}

// metering is the state of one rewriting.
type metering struct {
	out              []byte
	image            []byte // the memory to begin with
	imported         uint64 // globals that are imported
	fuel             uint64 // index of the allowance
	globals, exports bool   // these sections were seen
	step             []byte // what is put at the head of every loop, and of functions without one that call others
	bulk             []byte // what is put before every bulk memory operation
}

// section copies one section, changed where need be.
func (m *metering) section(id byte, body []byte) {
	switch id {
	case secImport:
		m.imports(&cursor{b: body})
	case secGlobal:
		body = m.addGlobal(body)
	case secExport:
		body = m.addExport(body)
	case secCode:
		body = m.code(body)
	case secData:
		if m.image = imageOf(body); m.image != nil {
			return
		}
	case secDataCount: // counts the segments as they were; nothing that Go writes needs it
		return
	}
	m.out = append(m.out, id)
	m.out = binary.AppendUvarint(m.out, uint64(len(body)))
	m.out = append(m.out, body...)
}

func (m *metering) imports(c *cursor) {
	for n := c.uint(); n > 0; n-- {
		c.bytes(int(c.uint()))
		c.bytes(int(c.uint()))
		switch c.byte() {
		case kindFunc:
			c.uint()
		case kindTable:
			c.byte()
			c.limits()
		case kindMemory:
			c.limits()
		case kindGlobal:
			c.bytes(2)
			m.imported++
		default:
			panic(errWasm)
		}
	}
}

func (m *metering) addGlobal(body []byte) []byte {
	c := &cursor{b: body}
	n := c.uint()
	m.globals, m.fuel = true, m.imported+n
	out := binary.AppendUvarint(nil, n+2)
	out = append(out, body[c.at:]...)
	out = append(out, typeI64, 1, opI64Const, 0, opEnd) // the allowance
	out = append(out, typeI32, 1, opI32Const, 0, opEnd) // holds the length of a bulk operation for a moment

	f := func(op byte) []byte { return binary.AppendUvarint([]byte{op}, m.fuel) }
	length := func(op byte) []byte { return binary.AppendUvarint([]byte{op}, m.fuel+1) }
	m.bulk = bytes.Join([][]byte{
		length(opGlobalSet), f(opGlobalGet), length(opGlobalGet),
		{opI64ExtendU, opI64Const, bulkShift, opI64ShrU, opI64Sub}, f(opGlobalSet), length(opGlobalGet),
	}, nil)
	m.step = bytes.Join([][]byte{
		f(opGlobalGet), {opI64Const, 1, opI64Sub}, f(opGlobalSet),
		f(opGlobalGet), {opI64Const, 0, opI64LtS, opIf, typeNone, opUnreachable, opEnd},
	}, nil)
	return out
}

func (m *metering) addExport(body []byte) []byte {
	c := &cursor{b: body}
	n := c.uint()
	m.exports = true
	out := binary.AppendUvarint(nil, n+1)
	out = append(out, body[c.at:]...)
	out = binary.AppendUvarint(out, uint64(len(fuelExport)))
	out = append(out, fuelExport...)
	return binary.AppendUvarint(append(out, kindGlobal), m.fuel)
}

func (m *metering) code(body []byte) []byte {
	c := &cursor{b: body}
	n := c.uint()
	out := make([]byte, 0, len(body)+len(body)/3)
	out = binary.AppendUvarint(out, n)
	var scratch []byte
	for ; n > 0; n-- {
		scratch = m.function(scratch[:0], c.bytes(int(c.uint())))
		out = binary.AppendUvarint(out, uint64(len(scratch)))
		out = append(out, scratch...)
	}
	return out
}

// function appends the rewritten body of one function.
func (m *metering) function(out, body []byte) []byte {
	c := &cursor{b: body}
	for n := c.uint(); n > 0; n-- { // groups of locals
		c.uint()
		c.byte()
	}
	out = append(out, body[:c.at]...)
	start, copied := len(out), c.at
	var jumps straighten
	head, looped, calls := true, false, false
	for c.at < len(c.b) {
		from := c.at
		op := c.instruction()
		looped = looped || head && op == opLoop
		head = head && op == opBlock
		if direct := jumps.see(body[from:c.at]); direct != nil {
			out = append(append(out, body[copied:from]...), direct...)
			copied = c.at
		}
		switch op {
		case opLoop:
			out = append(append(out, body[copied:c.at]...), m.step...)
			copied = c.at
		case opCall, opCallIndirect:
			calls = true
		case opBulk:
			if sub := body[from+1]; sub == opMemoryCopy || sub == opMemoryFill {
				out = append(append(out, body[copied:from]...), m.bulk...)
				copied = from
			}
		}
	}
	out = append(out, body[copied:]...)
	if calls && !looped {
		out = slices.Insert(out, start, m.step...)
	}
	return out
}

// cursor reads a module. It panics with errWasm when the bytes end or make no sense.
type cursor struct {
	b  []byte
	at int
}

func (c *cursor) byte() byte { return c.bytes(1)[0] }

func (c *cursor) bytes(n int) []byte {
	if n < 0 || n > len(c.b)-c.at {
		panic(errWasm)
	}
	c.at += n
	return c.b[c.at-n : c.at]
}

func (c *cursor) uint() uint64 {
	v, n := binary.Uvarint(c.b[c.at:])
	if n <= 0 || v > 1<<32 {
		panic(errWasm)
	}
	c.at += n
	return v
}

// skip passes over one LEB128 number of either sign.
func (c *cursor) skip() {
	for range binary.MaxVarintLen64 {
		if c.byte() < 0x80 {
			return
		}
	}
	panic(errWasm)
}

func (c *cursor) limits() {
	if c.byte()&1 != 0 {
		c.skip()
	}
	c.skip()
}

// instruction passes over one instruction and gives its opcode.
func (c *cursor) instruction() byte {
	op := c.byte()
	switch {
	case op >= opBlock && op <= opIf, op == opBr, op == 0x0d, op == opCall: // 0x0d is br_if
		c.skip()
	case op == opBrTable:
		for n := c.uint() + 1; n > 0; n-- {
			c.skip()
		}
	case op == opCallIndirect, op >= 0x28 && op <= 0x3e: // loads and stores
		c.skip()
		c.skip()
	case op == 0x1c: // select with types
		c.bytes(int(c.uint()))
	case op >= opLocalGet && op <= 0x26, op == 0x3f, op == 0x40, op == 0x41, op == opI64Const, op == 0xd0, op == 0xd2:
		c.skip()
	case op == 0x43:
		c.bytes(4)
	case op == 0x44:
		c.bytes(8)
	case op == opBulk:
		c.bulk()
	case op <= 0x01, op == 0x05, op == opEnd, op == 0x0f, op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4, op == 0xd1:
	default:
		panic(fmt.Errorf("%w: opcode %#x", errWasm, op))
	}
	return op
}

func (c *cursor) bulk() {
	switch sub := c.uint(); {
	case sub <= 7:
	case sub == 8, sub == opMemoryCopy, sub == 12, sub == 14:
		c.skip()
		c.skip()
	case sub == 9, sub == opMemoryFill, sub == 13, sub >= 15 && sub <= 17:
		c.skip()
	default:
		panic(fmt.Errorf("%w: opcode %#x %d", errWasm, opBulk, sub))
	}
}
