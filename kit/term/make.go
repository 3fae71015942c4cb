package term

import (
	"math"
	"math/big"
	"reflect"
	"slices"

	"netsplit/kit"
)

// The atoms that programs name most often.
const (
	True       = Atom("true")
	False      = Atom("false")
	OK         = Atom("ok")
	Undefined  = Atom("undefined")
	Any        = Atom("_")
	EndOfTable = Atom("$end_of_table")
)

// T makes a tuple, L a list: T(Atom("person"), Bin("hernan"), Int(31)).
func T(elems ...Term) Tuple { return elems }

// L makes a list.
func L(elems ...Term) List { return elems }

// Str makes the list of the characters of s, which is what a string in double quotes is in Erlang.
func Str(s string) List {
	l := make(List, 0, len(s))
	for _, r := range s {
		l = append(l, Int(r))
	}
	return l
}

// Bool makes the atom true or false.
func Bool(b bool) Atom {
	if b {
		return True
	}
	return False
}

// Rec makes a record from Go values as FromGo maps them: Rec("person", "hernan", 31). It panics when a
// field is of a Go type that has no term, which is a mistake in the program; use FromGo for data.
func Rec(name Atom, fields ...any) Tuple {
	t := make(Tuple, 0, len(fields)+1)
	t = append(t, name)
	for _, f := range fields {
		v, err := FromGo(f)
		if err != nil {
			panic(err)
		}
		t = append(t, v)
	}
	return t
}

// Atoms makes a list of atoms, for example of table or node names.
func Atoms[S ~string](names ...S) List {
	l := make(List, len(names))
	for i, n := range names {
		l[i] = Atom(n)
	}
	return l
}

// Integer makes the integer term of i: an Int when it fits 64 bits, else a Big. i must not change afterwards.
func Integer(i *big.Int) Term {
	if i.IsInt64() {
		return Int(i.Int64())
	}
	return Big{i}
}

// Normalize makes a Big that fits 64 bits an Int; every other term is returned as it is.
func Normalize(t Term) Term {
	if b, ok := t.(Big); ok {
		return Integer(b.Int)
	}
	return t
}

// BigInt gives the value of an integer term; false when t is no integer. The result is a copy.
func BigInt(t Term) (*big.Int, bool) {
	switch x := t.(type) {
	case Int:
		return big.NewInt(int64(x)), true
	case Big:
		return new(big.Int).Set(x.Int), true
	}
	return nil, false
}

// MakeMap makes a map, sorted by key; of equal keys the last wins. 1 and 1.0 are two keys.
func MakeMap(pairs ...Pair) Map {
	m := slices.Clone(pairs)
	slices.SortStableFunc(m, func(a, b Pair) int { return compare(a.Key, b.Key, true) })
	out := m[:0]
	for i, p := range m {
		if i+1 < len(m) && compare(p.Key, m[i+1].Key, true) == 0 {
			continue
		}
		out = append(out, p)
	}
	return Map(out)
}

// Get gives the value of a key, found by =:= .
func (m Map) Get(key Term) (Term, bool) {
	i, ok := slices.BinarySearchFunc(m, key, func(p Pair, k Term) int { return compare(p.Key, k, true) })
	if !ok {
		return nil, false
	}
	return m[i].Value, true
}

// Opt gives the value of an atom key, as in a map of options; nil when it is not there.
func (m Map) Opt(key Atom) Term {
	v, _ := m.Get(key)
	return v
}

// FromGo makes a term of a Go value: integers of any type and *big.Int, floats, bool (an atom), string and
// []byte (a binary), slices and arrays (a list), maps (a map); a Term stays as it is, nil is the atom undefined.
// Other types, a NaN and an infinity are kit.Invalid.
func FromGo(v any) (Term, error) {
	switch x := v.(type) {
	case nil:
		return Undefined, nil
	case Term:
		return x, nil
	case int:
		return Int(x), nil
	case string:
		return Bin(x), nil
	case bool:
		return Bool(x), nil
	case []byte:
		return Bin(x), nil
	case float64:
		return fromFloat(x)
	case *big.Int:
		return Integer(new(big.Int).Set(x)), nil
	}
	return fromReflect(reflect.ValueOf(v), 0)
}

func fromFloat(f float64) (Term, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, &kit.Error{Op: "make a term of", Kind: kit.Invalid, What: "a float", Err: errNotFinite}
	}
	return Float(f), nil
}

func fromReflect(v reflect.Value, depth int) (Term, error) {
	if depth > MaxDepth {
		return nil, &kit.Error{Op: "make a term of", Kind: kit.Invalid, What: "a Go value", Err: errTooDeep}
	}
	if !v.IsValid() {
		return Undefined, nil
	}
	if v.CanInterface() {
		switch x := v.Interface().(type) {
		case Term:
			return x, nil
		case *big.Int:
			return Integer(new(big.Int).Set(x)), nil
		}
	}
	switch v.Kind() {
	case reflect.Bool:
		return Bool(v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Int(v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return Integer(new(big.Int).SetUint64(v.Uint())), nil
	case reflect.Float32, reflect.Float64:
		return fromFloat(v.Float())
	case reflect.String:
		return Bin(v.String()), nil
	case reflect.Interface:
		return fromReflect(v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		return fromSlice(v, depth)
	case reflect.Map:
		return fromMap(v, depth)
	}
	return nil, &kit.Error{Op: "make a term of", Kind: kit.Invalid, What: "Go type " + v.Type().String(), Err: errNoTerm}
}

func fromSlice(v reflect.Value, depth int) (Term, error) {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		return Bin(v.Bytes()), nil
	}
	l := make(List, v.Len())
	for i := range l {
		t, err := fromReflect(v.Index(i), depth+1)
		if err != nil {
			return nil, err
		}
		l[i] = t
	}
	return l, nil
}

func fromMap(v reflect.Value, depth int) (Term, error) {
	pairs := make([]Pair, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		key, err := fromReflect(it.Key(), depth+1)
		if err != nil {
			return nil, err
		}
		val, err := fromReflect(it.Value(), depth+1)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, Pair{key, val})
	}
	return MakeMap(pairs...), nil
}

// ToGo gives the plain Go value of a term: int (or *big.Int), float64, string for a binary, bool for the
// atoms true and false, []any for a list, map[string]any for a map whose keys are all binaries or all atoms. Other
// atoms, tuples, pids and other maps stay terms, so that nothing is confused with something else.
func ToGo(t Term) any {
	switch x := t.(type) {
	case Int:
		return int(x)
	case Big:
		return new(big.Int).Set(x.Int)
	case Float:
		return float64(x)
	case Bin:
		return string(x)
	case Atom:
		switch x {
		case True:
			return true
		case False:
			return false
		}
	case List:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = ToGo(e)
		}
		return out
	case Map:
		if m, ok := stringMap(x); ok {
			return m
		}
	}
	return t
}

func stringMap(m Map) (map[string]any, bool) {
	out := make(map[string]any, len(m))
	bins := 0
	for _, p := range m {
		switch k := p.Key.(type) {
		case Bin:
			bins++
			out[string(k)] = ToGo(p.Value)
		case Atom:
			out[string(k)] = ToGo(p.Value)
		default:
			return nil, false
		}
	}
	return out, bins == 0 || bins == len(m)
}

// Word gives an atom, or text, as what it says: who types a message in the shell sends text. Anything else says nothing.
func Word(t Term) string {
	switch t := t.(type) {
	case Atom:
		return string(t)
	case Bin:
		return string(t)
	}
	return ""
}
