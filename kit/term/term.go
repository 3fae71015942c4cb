// Package term is the closed set of values that a table, a message or a door request can hold: Erlang's
// terms as far as the course needs them, with Erlang's order. Terms are immutable once made: nobody may
// change a slice that was put into a Tuple, List or Map.
package term

import "math/big"

// Term is one value: Int, Big, Float, Atom, Bin, Tuple, List, Map, Pid or Opaque, and nothing else.
type Term interface{ term() }

type (
	// Int is an integer that fits 64 bits. Integers outside it are Big; Normalize keeps that unique.
	Int int64
	// Big is an integer that does not fit an Int.
	Big struct{ *big.Int }
	// Float is a 64-bit float; never NaN or infinite, as in Erlang.
	Float float64
	// Atom is an Erlang atom. true, false, ok, undefined, '_' and '$1' are atoms.
	Atom string
	// Bin is a binary; UTF-8 text is the ordinary string of the course.
	Bin string
	// Tuple is a tuple. A record is a tuple whose first element is the record's name.
	Tuple []Term
	// List is a proper list.
	List []Term
	// Map is a map, sorted by key in term order, no key twice. MakeMap builds one.
	Map []Pair
	// Pid names a process: its node, and a number unique on that node since the node's first start.
	Pid struct {
		Node string
		ID   uint64
	}
	// Opaque stands for a fun or reference in an answer; it cannot be sent back. Sort is "fun" or "ref".
	Opaque struct{ Sort string }
)

// Pair is one association of a Map.
type Pair struct{ Key, Value Term }

func (Int) term()    {}
func (Big) term()    {}
func (Float) term()  {}
func (Atom) term()   {}
func (Bin) term()    {}
func (Tuple) term()  {}
func (List) term()   {}
func (Map) term()    {}
func (Pid) term()    {}
func (Opaque) term() {}
