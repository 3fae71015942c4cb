package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// asmOps are the instructions that the scripts of TestJumps are written in. A block and its like may be followed by "i32", its result;
// the others by as many numbers as they have operands, a table by any.
var asmOps = map[string]byte{"block": opBlock, "loop": opLoop, "if": opIf, "end": opEnd, "br": opBr, "br_table": opBrTable,
	"const": opI32Const, "set": opLocalSet, "get": opLocalGet, "nop": 0x01, "call": opCall}

// TestJumps shows functions as Go's compiler makes them, and the jumps that are made direct: "br 3 -> 1". Commands:
//
//	straighten        the function's instructions, any number on a line
func TestJumps(t *testing.T) {
	datadriven.RunTest(t, "testdata/jumps", func(t *testing.T, d *datadriven.TestData) string {
		var s straighten
		var out strings.Builder
		for _, line := range strings.Split(d.Input, "\n") {
			words := strings.Fields(line)
			shown := line
			for len(words) > 0 {
				n := 1 + slices.IndexFunc(words[1:], func(w string) bool { return asmOps[w] != 0 })
				if n == 0 {
					n = len(words)
				}
				if instead := s.see(assemble(t, words[:n])); instead != nil {
					shown += fmt.Sprintf(" -> %d", instead[1])
				}
				words = words[n:]
			}
			fmt.Fprintln(&out, shown)
		}
		return out.String()
	})
}

// assemble gives the bytes of one instruction.
func assemble(t *testing.T, words []string) []byte {
	op := asmOps[words[0]]
	ins := []byte{op}
	switch {
	case op == opBlock || op == opLoop || op == opIf:
		kind := byte(typeNone)
		if len(words) > 1 {
			kind = typeI32
		}
		return append(ins, kind)
	case op == opBrTable:
		ins = append(ins, byte(len(words)-2))
	}
	for _, w := range words[1:] {
		n, err := strconv.Atoi(w)
		if err != nil {
			t.Fatal(err)
		}
		if op == opI32Const && (n > 63 || n < -64) { // the sign has the seventh bit
			ins = append(ins, byte(n&0x7f)|0x80)
			n >>= 7
		}
		ins = append(ins, byte(n&0x7f))
	}
	return ins
}
