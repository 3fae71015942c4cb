package term

import (
	"cmp"
	"math"
	"math/big"
	"strings"
)

// Compare gives Erlang's term order: number < atom < ref < fun < pid < tuple < map < nil < list < binary.
// Integers and floats compare by value, so Compare(Int(1), Float(1)) is 0; this is the order of keys in an
// ordered_set. Tuples compare by size first, then element by element; maps by size, then keys, then values.
func Compare(a, b Term) int { return compare(a, b, false) }

// Equal is Erlang's =:= : as Compare == 0, but 1 and 1.0 differ. 0.0 and -0.0 are equal, as they are
// before OTP 27.
func Equal(a, b Term) bool {
	switch x := a.(type) {
	case Int:
		y, ok := b.(Int)
		return ok && x == y
	case Atom:
		y, ok := b.(Atom)
		return ok && x == y
	case Bin:
		y, ok := b.(Bin)
		return ok && x == y
	case Tuple:
		y, ok := b.(Tuple)
		return ok && equalAll(x, y)
	case List:
		y, ok := b.(List)
		return ok && equalAll(x, y)
	case Float:
		y, ok := b.(Float)
		return ok && x == y
	}
	return compare(a, b, true) == 0
}

func equalAll(a, b []Term) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// compare orders two terms. Where exact is set every integer is less than every float, at any depth: the
// order that Erlang uses between keys of maps, and the one in which only equal (=:=) terms give 0.
func compare(a, b Term, exact bool) int {
	switch x := a.(type) {
	case Int:
		if y, ok := b.(Int); ok {
			return cmp.Compare(x, y)
		}
	case Atom:
		if y, ok := b.(Atom); ok {
			return strings.Compare(string(x), string(y))
		}
	case Bin:
		if y, ok := b.(Bin); ok {
			return strings.Compare(string(x), string(y))
		}
	case Tuple:
		if y, ok := b.(Tuple); ok {
			if len(x) != len(y) {
				return cmp.Compare(len(x), len(y))
			}
			return compareAll(x, y, exact)
		}
	case List:
		if y, ok := b.(List); ok {
			return compareAll(x, y, exact)
		}
	case Map:
		if y, ok := b.(Map); ok {
			return compareMaps(x, y, exact)
		}
	case Pid:
		if y, ok := b.(Pid); ok {
			if c := strings.Compare(x.Node, y.Node); c != 0 {
				return c
			}
			return cmp.Compare(x.ID, y.ID)
		}
	case Opaque:
		if y, ok := b.(Opaque); ok && rank(a) == rank(b) {
			return strings.Compare(x.Sort, y.Sort)
		}
	}
	ra, rb := rank(a), rank(b)
	if ra == 0 && rb == 0 {
		return compareNumbers(a, b, exact)
	}
	return cmp.Compare(ra, rb)
}

// rank is the place of a term's type in the order of types.
func rank(t Term) int {
	switch x := t.(type) {
	case Int, Big, Float:
		return 0
	case Atom:
		return 1
	case Opaque:
		switch x.Sort {
		case "ref":
			return 2
		case "fun":
			return 3
		}
		return 5
	case Pid:
		return 4
	case Tuple:
		return 6
	case Map:
		return 7
	case List:
		if len(x) == 0 {
			return 8
		}
		return 9
	case Bin:
		return 10
	}
	return -1 // a nil Term: no value, but a bound below all values
}

func compareAll(a, b []Term, exact bool) int {
	for i := range min(len(a), len(b)) {
		if c := compare(a[i], b[i], exact); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareMaps(a, b Map, exact bool) int {
	if len(a) != len(b) {
		return cmp.Compare(len(a), len(b))
	}
	for i := range a {
		if c := compare(a[i].Key, b[i].Key, true); c != 0 {
			return c
		}
	}
	for i := range a {
		if c := compare(a[i].Value, b[i].Value, exact); c != 0 {
			return c
		}
	}
	return 0
}

func compareNumbers(a, b Term, exact bool) int {
	x, aFloat := a.(Float)
	y, bFloat := b.(Float)
	switch {
	case aFloat && bFloat:
		return cmp.Compare(x, y)
	case exact && aFloat:
		return 1
	case exact && bFloat:
		return -1
	case aFloat:
		return -compareToFloat(b, float64(x))
	case bFloat:
		return compareToFloat(a, float64(y))
	}
	return compareIntegers(a, b)
}

func compareIntegers(a, b Term) int {
	x, aBig := a.(Big)
	y, bBig := b.(Big)
	switch {
	case aBig && bBig:
		return x.Cmp(y.Int)
	case aBig:
		return x.Sign()
	case bBig:
		return -y.Sign()
	}
	return cmp.Compare(a.(Int), b.(Int))
}

// compareToFloat compares an integer with a float by value, exactly: 2^53+1 is more than 2.0^53.
func compareToFloat(t Term, f float64) int {
	i, ok := t.(Int)
	if !ok {
		return new(big.Float).SetInt(t.(Big).Int).Cmp(big.NewFloat(f))
	}
	switch {
	case f >= 1<<63:
		return -1
	case f < -1<<63:
		return 1
	}
	whole := math.Trunc(f)
	if c := cmp.Compare(int64(i), int64(whole)); c != 0 {
		return c
	}
	return cmp.Compare(whole, f)
}

// compound is the Key of a term that is not comparable in Go: its binary form.
type compound string

// Key gives a comparable Go value that is the same for two terms exactly when Equal says so, for use in Go
// maps. Scalars are their own key, so no allocation happens for them.
func Key(t Term) any {
	switch t.(type) {
	case Int, Atom, Bin, Float, Pid, Opaque:
		return t
	}
	var room [128]byte
	e := encoder{dst: room[:0], plainZero: true}
	e.term(t)
	return compound(e.dst)
}
