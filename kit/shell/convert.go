package shell

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"netsplit/kit/term"
)

// How a script's strings become terms. In data a string is a binary, as in the course's Erlang tabs; where a
// name is meant (a table, an attribute, an option, a lock) it is an atom; in a pattern "_" and "$1" are
// the match variables. atom("x") and b"..." say exactly what is meant anywhere.
type stringRule int

const (
	asData stringRule = iota
	asName
	asPattern
)

// Limits of one value on its way to a node.
const (
	maxValueDepth = 100
	maxValueParts = 1 << 20
)

type converter struct {
	rule  stringRule
	parts int
}

func toTerm(v starlark.Value, rule stringRule) (term.Term, error) {
	c := converter{rule: rule}
	return c.term(v, 0)
}

func (c *converter) term(v starlark.Value, depth int) (term.Term, error) {
	if c.parts++; depth > maxValueDepth || c.parts > maxValueParts {
		return nil, errors.New("this value is too deep or too large to send to a node")
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return term.Atom("undefined"), nil
	case starlark.Bool:
		return boolAtom(bool(v)), nil
	case starlark.Int:
		return intTerm(v), nil
	case starlark.Float:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("%v is no value of the store: floats are finite", v)
		}
		return term.Float(v), nil
	case starlark.String:
		return c.text(string(v)), nil
	case starlark.Bytes:
		return term.Bin(v), nil
	case Atom, *Node:
		return term.Atom(atomName(v)), nil
	case Pid:
		return v.Pid, nil
	case *recordType:
		return term.Atom(v.name), nil
	case *Record:
		list, err := c.list(v.tuple(), depth)
		return term.Tuple(list), err
	case starlark.Tuple:
		list, err := c.list(v, depth)
		return term.Tuple(list), err
	case *starlark.Dict:
		return c.dict(v, depth)
	case starlark.Iterable:
		if _, isSet := v.(*starlark.Set); isSet {
			return nil, errors.New("a set cannot be stored: use sorted(...) to make it a list")
		}
		return c.iterable(v, depth)
	}
	return nil, fmt.Errorf("a %s cannot be sent to a node", v.Type())
}

func (c *converter) text(s string) term.Term {
	if c.rule == asName || c.rule == asPattern && isMatchVariable(s) {
		return term.Atom(s)
	}
	return term.Bin(s)
}

func isMatchVariable(s string) bool {
	if s == "_" || s == "$_" || s == "$$" {
		return true
	}
	digits, ok := strings.CutPrefix(s, "$")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

func (c *converter) list(items starlark.Tuple, depth int) ([]term.Term, error) {
	out := make([]term.Term, 0, min(len(items), 1024))
	for _, item := range items {
		t, err := c.term(item, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (c *converter) iterable(v starlark.Iterable, depth int) (term.Term, error) {
	out := term.List{}
	it := v.Iterate()
	defer it.Done()
	var item starlark.Value
	for it.Next(&item) {
		t, err := c.term(item, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (c *converter) dict(d *starlark.Dict, depth int) (term.Term, error) {
	pairs := make([]term.Pair, 0, d.Len())
	for _, item := range d.Items() {
		k, err := c.term(item[0], depth+1)
		if err != nil {
			return nil, err
		}
		v, err := c.term(item[1], depth+1)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, term.Pair{Key: k, Value: v})
	}
	return term.MakeMap(pairs...), nil
}

func boolAtom(b bool) term.Atom {
	if b {
		return "true"
	}
	return "false"
}

func intTerm(v starlark.Int) term.Term {
	if i, ok := v.Int64(); ok {
		return term.Int(i)
	}
	return term.Big{Int: v.BigInt()}
}

// toRecord makes the tuple of a record: its first element is a name, the others follow rule.
func toRecord(v starlark.Value, rule stringRule) (term.Term, error) {
	t, err := toTerm(v, rule)
	if err != nil {
		return nil, err
	}
	tuple, ok := t.(term.Tuple)
	if !ok || len(tuple) == 0 {
		return t, nil // Mnesia says bad_type; so shall the node
	}
	if name, ok := tuple[0].(term.Bin); ok {
		tuple[0] = term.Atom(name)
	}
	return tuple, nil
}

// toSpec makes a match specification: [(HEAD, [GUARD, ...], [BODY, ...])], strings in the place of a record's
// name or of an operator being atoms.
func toSpec(v starlark.Value) (term.Term, error) {
	t, err := toTerm(v, asPattern)
	if err != nil {
		return nil, err
	}
	clauses, ok := t.(term.List)
	if !ok {
		return t, nil
	}
	for _, clause := range clauses {
		parts, ok := clause.(term.Tuple)
		if !ok || len(parts) != 3 {
			continue
		}
		if head, ok := parts[0].(term.Tuple); ok {
			nameFirst(head)
		}
		for _, list := range parts[1:] {
			exprs, _ := list.(term.List)
			for _, e := range exprs {
				nameOperators(e)
			}
		}
	}
	return t, nil
}

// nameOperators turns the first string of every call tuple into an atom; {{...}} makes a data tuple, so
// its inner tuple has no operator.
func nameOperators(e term.Term) {
	call, ok := e.(term.Tuple)
	if !ok {
		return
	}
	if len(call) == 1 {
		if data, ok := call[0].(term.Tuple); ok {
			for _, x := range data {
				nameOperators(x)
			}
			return
		}
	}
	nameFirst(call)
	for _, x := range call {
		nameOperators(x)
	}
}

func nameFirst(t term.Tuple) {
	if len(t) > 0 {
		if name, ok := t[0].(term.Bin); ok {
			t[0] = term.Atom(name)
		}
	}
}

// view says how terms of an answer are shown.
type view struct {
	s     *Session
	names bool       // atoms are names, so they read as strings; lists of character codes are text
	keys  bool       // keys of maps are names
	table *tableInfo // tuples of this shape are its records
}

// value makes a script value of a term. undefined is None; true and false are booleans; atoms that name a node
// of the lab are that node.
func (v view) value(t term.Term) starlark.Value {
	switch t := t.(type) {
	case term.Int:
		return starlark.MakeInt64(int64(t))
	case term.Big:
		return starlark.MakeBigInt(new(big.Int).Set(t.Int))
	case term.Float:
		return starlark.Float(t)
	case term.Bin:
		if utf8.ValidString(string(t)) {
			return starlark.String(t)
		}
		return starlark.Bytes(t)
	case term.Atom:
		return v.atom(t)
	case term.Tuple:
		return v.tuple(t)
	case term.List:
		if text, ok := charlist(t); ok && v.names {
			return starlark.String(text)
		}
		out := make([]starlark.Value, len(t))
		for i, x := range t {
			out[i] = v.value(x)
		}
		return starlark.NewList(out)
	case term.Map:
		return v.dict(t)
	case term.Pid:
		return Pid{t}
	case term.Opaque:
		return opaque{t}
	}
	return starlark.None
}

// charlist reads a list of printable character codes as text, as Erlang's shell does.
func charlist(t term.List) (string, bool) {
	if len(t) < 2 {
		return "", false
	}
	text := make([]byte, len(t))
	for i, x := range t {
		c, ok := x.(term.Int)
		if !ok || c < ' ' || c > '~' {
			return "", false
		}
		text[i] = byte(c)
	}
	return string(text), true
}

func (v view) atom(a term.Atom) starlark.Value {
	switch a {
	case "true":
		return starlark.True
	case "false":
		return starlark.False
	case "undefined":
		return starlark.None
	}
	if n := v.s.node(string(a)); n != nil {
		return n
	}
	if v.names && a != "ok" {
		return starlark.String(a)
	}
	return Atom(a)
}

func (v view) tuple(t term.Tuple) starlark.Value {
	out := make(starlark.Tuple, len(t))
	inner := v
	for i, x := range t {
		out[i] = inner.value(x)
	}
	if v.table == nil || len(t) != 1+len(v.table.fields) {
		return out
	}
	if name, ok := t[0].(term.Atom); ok && string(name) == v.table.record {
		return &Record{name: v.table.record, fields: v.table.fields, values: out[1:]}
	}
	return out
}

func (v view) dict(m term.Map) starlark.Value {
	d := starlark.NewDict(len(m))
	for _, p := range m {
		k := view{s: v.s, names: v.names || v.keys}.value(p.Key)
		if _, err := k.Hash(); err != nil {
			k = starlark.String(term.String(p.Key)) // a list as key has no place in a dict
		}
		if err := d.SetKey(k, v.value(p.Value)); err != nil {
			continue
		}
	}
	return d
}
