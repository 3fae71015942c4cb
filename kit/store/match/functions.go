package match

import (
	"math"
	"math/big"

	"netsplit/kit/term"
)

// function is a guard function or operator over at most three values; false when it raises.
type function struct {
	arity int
	do    func([3]term.Term) (term.Term, bool)
}

// functions are those of OTP 25 except node, which this package cannot know, and the ones for tracing.
var functions = map[term.Atom]function{
	"abs":        {1, abs},
	"bit_size":   {1, func(a [3]term.Term) (term.Term, bool) { b, ok := a[0].(term.Bin); return term.Int(8 * len(b)), ok }},
	"element":    {2, element},
	"hd":         {1, func(a [3]term.Term) (term.Term, bool) { return headTail(a[0], true) }},
	"tl":         {1, func(a [3]term.Term) (term.Term, bool) { return headTail(a[0], false) }},
	"length":     {1, func(a [3]term.Term) (term.Term, bool) { l, ok := a[0].(term.List); return term.Int(len(l)), ok }},
	"map_get":    {2, func(a [3]term.Term) (term.Term, bool) { return mapGet(a[0], a[1]) }},
	"map_size":   {1, func(a [3]term.Term) (term.Term, bool) { m, ok := a[0].(term.Map); return term.Int(len(m)), ok }},
	"is_map_key": {2, isMapKey},
	"is_record":  {3, isRecord},
	"round":      {1, func(a [3]term.Term) (term.Term, bool) { return whole(a[0], math.Round) }},
	"trunc":      {1, func(a [3]term.Term) (term.Term, bool) { return whole(a[0], math.Trunc) }},
	"size":       {1, size},
	"+":          {2, arith((*big.Int).Add, func(x, y int64) int64 { return x + y }, func(x, y float64) float64 { return x + y })},
	"-":          {2, arith((*big.Int).Sub, func(x, y int64) int64 { return x - y }, func(x, y float64) float64 { return x - y })},
	"*":          {2, arith((*big.Int).Mul, func(x, y int64) int64 { return x * y }, func(x, y float64) float64 { return x * y })},
	"/":          {2, quotient},
	"self":       {0, func([3]term.Term) (term.Term, bool) { return term.Opaque{Sort: "pid"}, true }},
	"div":        {2, division((*big.Int).Quo)},
	"rem":        {2, division((*big.Int).Rem)},
	"band":       {2, integers((*big.Int).And)},
	"bor":        {2, integers((*big.Int).Or)},
	"bxor":       {2, integers((*big.Int).Xor)},
	"bnot":       {1, func(a [3]term.Term) (term.Term, bool) { return bitNot(a[0]) }},
	"bsl":        {2, func(a [3]term.Term) (term.Term, bool) { return shift(a[0], a[1], false) }},
	"bsr":        {2, func(a [3]term.Term) (term.Term, bool) { return shift(a[0], a[1], true) }},
}

// signs are the operators + and - of one operand.
var signs = map[term.Atom]function{
	"+": {1, func(a [3]term.Term) (term.Term, bool) { _, ok := toFloat(a[0]); return a[0], ok }},
	"-": {1, func(a [3]term.Term) (term.Term, bool) {
		if f, ok := a[0].(term.Float); ok {
			return -f, true
		}
		return functions["-"].do([3]term.Term{term.Int(0), a[0]})
	}},
}

// quotient divides; the result is a float always.
func quotient(a [3]term.Term) (term.Term, bool) {
	f, ok1 := toFloat(a[0])
	g, ok2 := toFloat(a[1])
	if !ok1 || !ok2 || g == 0 {
		return nil, false
	}
	return term.Float(f / g), !math.IsInf(f/g, 0)
}

func abs(a [3]term.Term) (term.Term, bool) {
	if f, ok := a[0].(term.Float); ok {
		return term.Float(math.Abs(float64(f))), true
	}
	i, ok := term.BigInt(a[0])
	if !ok {
		return nil, false
	}
	return term.Integer(i.Abs(i)), true
}

func element(a [3]term.Term) (term.Term, bool) {
	n, ok1 := a[0].(term.Int)
	t, ok2 := a[1].(term.Tuple)
	if !ok1 || !ok2 || n < 1 || int(n) > len(t) {
		return nil, false
	}
	return t[n-1], true
}

func headTail(t term.Term, head bool) (term.Term, bool) {
	l, ok := t.(term.List)
	if !ok || len(l) == 0 {
		return nil, false
	}
	if head {
		return l[0], true
	}
	return l[1:], true
}

func mapGet(key, m term.Term) (term.Term, bool) {
	if m, ok := m.(term.Map); ok {
		return m.Get(key)
	}
	return nil, false
}

func isMapKey(a [3]term.Term) (term.Term, bool) {
	m, ok := a[1].(term.Map)
	if !ok {
		return nil, false
	}
	_, has := m.Get(a[0])
	return term.Bool(has), true
}

func isRecord(a [3]term.Term) (term.Term, bool) {
	name, ok1 := a[1].(term.Atom)
	n, ok2 := a[2].(term.Int)
	if !ok1 || !ok2 {
		return nil, false
	}
	t, ok := a[0].(term.Tuple)
	return term.Bool(ok && len(t) == int(n) && len(t) > 0 && t[0] == name), true
}

func size(a [3]term.Term) (term.Term, bool) {
	switch x := a[0].(type) {
	case term.Tuple:
		return term.Int(len(x)), true
	case term.Bin:
		return term.Int(len(x)), true
	}
	return nil, false
}

func whole(t term.Term, f func(float64) float64) (term.Term, bool) {
	x, ok := t.(term.Float)
	if !ok {
		return t, isInteger(t)
	}
	i, _ := big.NewFloat(f(float64(x))).Int(nil)
	return term.Integer(i), true
}

func toFloat(t term.Term) (float64, bool) {
	switch x := t.(type) {
	case term.Float:
		return float64(x), true
	case term.Int:
		return float64(x), true
	case term.Big:
		f, _ := new(big.Float).SetInt(x.Int).Float64()
		return f, !math.IsInf(f, 0)
	}
	return 0, false
}

// maxBits bounds integers that guards make, so that a specification from outside cannot eat the memory.
const maxBits = term.MaxIntBits

func integer(i *big.Int) (term.Term, bool) { return term.Integer(i), i.BitLen() <= maxBits }

// arith does an operation on integers of any size, and on floats as soon as one operand is a float. small is
// the same for integers of less than 32 bits, whose result cannot overflow.
func arith(ints func(z, x, y *big.Int) *big.Int, small func(x, y int64) int64, floats func(x, y float64) float64) func([3]term.Term) (term.Term, bool) {
	onInts := integers(ints)
	return func(a [3]term.Term) (term.Term, bool) {
		x, ok1 := a[0].(term.Int)
		y, ok2 := a[1].(term.Int)
		if ok1 && ok2 && x == term.Int(int32(x)) && y == term.Int(int32(y)) {
			return term.Int(small(int64(x), int64(y))), true
		}
		_, f1 := a[0].(term.Float)
		_, f2 := a[1].(term.Float)
		if !f1 && !f2 {
			return onInts(a)
		}
		f, ok1 := toFloat(a[0])
		g, ok2 := toFloat(a[1])
		if !ok1 || !ok2 {
			return nil, false
		}
		r := floats(f, g)
		return term.Float(r), !math.IsInf(r, 0) && !math.IsNaN(r)
	}
}

func integers(op func(z, x, y *big.Int) *big.Int) func([3]term.Term) (term.Term, bool) {
	return func(a [3]term.Term) (term.Term, bool) {
		x, ok1 := term.BigInt(a[0])
		y, ok2 := term.BigInt(a[1])
		if !ok1 || !ok2 {
			return nil, false
		}
		return integer(op(x, x, y))
	}
}

func division(op func(z, x, y *big.Int) *big.Int) func([3]term.Term) (term.Term, bool) {
	do := integers(op)
	return func(a [3]term.Term) (term.Term, bool) {
		if a[1] == term.Int(0) {
			return nil, false
		}
		return do(a)
	}
}

func bitNot(t term.Term) (term.Term, bool) {
	i, ok := term.BigInt(t)
	if !ok {
		return nil, false
	}
	return term.Integer(i.Not(i)), true
}

func shift(t, by term.Term, right bool) (term.Term, bool) {
	i, ok := term.BigInt(t)
	n, isInt := by.(term.Int)
	if !ok || !isInt || n < -maxBits || n > maxBits {
		return nil, false
	}
	if right {
		n = -n
	}
	if n < 0 {
		return term.Integer(i.Rsh(i, uint(-n))), true
	}
	return integer(i.Lsh(i, uint(n)))
}
