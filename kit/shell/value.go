package shell

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Atom is an Erlang atom as a script value. Two atoms are equal when their names are, and a node equals the
// atom of its name; an atom is never equal to a string.
type Atom string

// String gives the atom as Erlang prints it, or atom("...") when it would need quotes.
func (a Atom) String() string {
	if plainAtom(string(a)) {
		return string(a)
	}
	return fmt.Sprintf("atom(%s)", syntax.Quote(string(a), false))
}

// Type is "atom", for nodes too: it is what makes them comparable.
func (a Atom) Type() string { return "atom" }

// Freeze does nothing: atoms never change.
func (a Atom) Freeze() {}

// Truth is false for false and undefined only.
func (a Atom) Truth() starlark.Bool { return a != "false" && a != "undefined" }

// Hash agrees with equality: a node hashes as its atom does.
func (a Atom) Hash() (uint32, error) {
	h := fnv.New32a()
	h.Write([]byte(a))
	return h.Sum32(), nil
}

// CompareSameType orders atoms and nodes by name, as Erlang orders atoms.
func (a Atom) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	return threeway(op, strings.Compare(string(a), atomName(y))), nil
}

// Attr gives the atom's name as a string.
func (a Atom) Attr(name string) (starlark.Value, error) {
	if name == "name" {
		return starlark.String(a), nil
	}
	return nil, nil
}

// AttrNames lists the attributes.
func (a Atom) AttrNames() []string { return []string{"name"} }

func plainAtom(s string) bool {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s == "$end_of_table"
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '@' && c != '-' {
			return false
		}
	}
	return true
}

// atomName gives the name of an atom or a node.
func atomName(v starlark.Value) string {
	switch v := v.(type) {
	case Atom:
		return string(v)
	case *Node:
		return string(v.name)
	}
	return ""
}

func threeway(op syntax.Token, cmp int) bool {
	switch op {
	case syntax.EQL:
		return cmp == 0
	case syntax.NEQ:
		return cmp != 0
	case syntax.LE:
		return cmp <= 0
	case syntax.LT:
		return cmp < 0
	case syntax.GE:
		return cmp >= 0
	}
	return cmp > 0
}

// Pid is a process identifier; it can be passed on, compared and printed.
type Pid struct{ term.Pid }

// String prints the node and the number of the process.
func (p Pid) String() string { return fmt.Sprintf("<%s.%d>", p.Node, p.ID) }

// Type is "pid".
func (p Pid) Type() string { return "pid" }

// Freeze does nothing.
func (p Pid) Freeze() {}

// Truth is always true.
func (p Pid) Truth() starlark.Bool { return true }

// Hash mixes node and number.
func (p Pid) Hash() (uint32, error) {
	h, err := Atom(p.Node).Hash()
	return h ^ uint32(p.ID), err
}

// Attr gives the name of the node that the process runs on.
func (p Pid) Attr(name string) (starlark.Value, error) {
	if name == "node" {
		return Atom(p.Node), nil
	}
	return nil, nil
}

// AttrNames lists the attributes.
func (p Pid) AttrNames() []string { return []string{"node"} }

// opaque stands for a function or a reference in an answer.
type opaque struct{ term.Opaque }

func (o opaque) String() string        { return "<" + o.Sort + ">" }
func (o opaque) Type() string          { return o.Sort }
func (o opaque) Freeze()               {}
func (o opaque) Truth() starlark.Bool  { return true }
func (o opaque) Hash() (uint32, error) { return 0, fmt.Errorf("a %s has no hash", o.Sort) }

// Record is a tuple whose first element is the record's name, with the names of its fields where they are
// known. r.age reads a field, r[0] is the record's name, r[1] the key; records are never changed:
// r.replace(age=32) makes a new one.
type Record struct {
	name   string
	fields []string // one a value
	values starlark.Tuple
}

// String prints person(name="ada", age=36).
func (r *Record) String() string {
	var b strings.Builder
	b.WriteString(Atom(r.name).String())
	b.WriteByte('(')
	for i, v := range r.values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(r.fields[i])
		b.WriteByte('=')
		writeValue(&b, v, 1)
	}
	b.WriteByte(')')
	return b.String()
}

// Type is "record".
func (r *Record) Type() string { return "record" }

// Freeze freezes the fields' values.
func (r *Record) Freeze() { r.values.Freeze() }

// Truth is always true.
func (r *Record) Truth() starlark.Bool { return true }

// Hash is that of the tuple.
func (r *Record) Hash() (uint32, error) { return r.tuple().Hash() }

// Len counts the record's name as an element, as Erlang does.
func (r *Record) Len() int { return 1 + len(r.values) }

// Index reads the record as the tuple it is.
func (r *Record) Index(i int) starlark.Value {
	if i == 0 {
		return Atom(r.name)
	}
	return r.values[i-1]
}

// Iterate walks over the tuple: name, key, fields.
func (r *Record) Iterate() starlark.Iterator { return r.tuple().Iterate() }

// CompareSameType compares the tuples; the fields' names do not matter.
func (r *Record) CompareSameType(op syntax.Token, y starlark.Value, depth int) (bool, error) {
	return starlark.CompareDepth(op, r.tuple(), y.(*Record).tuple(), depth)
}

func (r *Record) tuple() starlark.Tuple {
	return append(starlark.Tuple{Atom(r.name)}, r.values...)
}

// Attr reads a field; replace is the method that makes a changed copy, unless a field has that name.
func (r *Record) Attr(name string) (starlark.Value, error) {
	if i := slices.Index(r.fields, name); i >= 0 {
		return r.values[i], nil
	}
	if name == "replace" {
		return starlark.NewBuiltin("replace", r.replace), nil
	}
	return nil, starlark.NoSuchAttrError(fmt.Sprintf("a %s record has no field %s: it has %s", r.name, name, strings.Join(r.fields, ", ")))
}

// AttrNames lists the fields and the method.
func (r *Record) AttrNames() []string { return append(slices.Clone(r.fields), "replace") }

func (r *Record) replace(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("replace: name the fields, as in r.replace(%s=...)", r.fields[len(r.fields)-1])
	}
	values := slices.Clone(r.values)
	for _, kw := range kwargs {
		i := slices.Index(r.fields, string(kw[0].(starlark.String)))
		if i < 0 {
			return nil, fmt.Errorf("replace: a %s record has no field %s: it has %s", r.name, string(kw[0].(starlark.String)), strings.Join(r.fields, ", "))
		}
		values[i] = kw[1]
	}
	return &Record{name: r.name, fields: r.fields, values: values}, nil
}

// recordType is what record("person", ["name", "age"]) gives: calling it makes a record.
type recordType struct {
	name   string
	fields []string
}

func (t *recordType) String() string {
	return fmt.Sprintf("record(%q, [%s])", t.name, quoteAll(t.fields))
}
func (t *recordType) Type() string          { return "record_type" }
func (t *recordType) Freeze()               {}
func (t *recordType) Truth() starlark.Bool  { return true }
func (t *recordType) Hash() (uint32, error) { return Atom(t.name).Hash() }
func (t *recordType) Name() string          { return t.name }

// Attr gives the name and the fields: person.fields serves as the attributes of create_table.
func (t *recordType) Attr(name string) (starlark.Value, error) {
	switch name {
	case "name":
		return starlark.String(t.name), nil
	case "fields":
		return stringList(t.fields), nil
	}
	return nil, nil
}

func (t *recordType) AttrNames() []string { return []string{"fields", "name"} }

// CallInternal makes a record from positional or named fields; missing ones are None, as undefined in Erlang.
func (t *recordType) CallInternal(_ *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return makeRecord(t.name, t.fields, args, kwargs)
}

func makeRecord(name string, fields []string, args starlark.Tuple, kwargs []starlark.Tuple) (*Record, error) {
	if len(args) > len(fields) {
		return nil, fmt.Errorf("a %s record has %d fields (%s), not %d", name, len(fields), strings.Join(fields, ", "), len(args))
	}
	values := make(starlark.Tuple, len(fields))
	for i := range values {
		values[i] = starlark.None
	}
	copy(values, args)
	for _, kw := range kwargs {
		field := string(kw[0].(starlark.String))
		i := slices.Index(fields, field)
		if i < 0 {
			return nil, fmt.Errorf("a %s record has no field %s: it has %s", name, field, strings.Join(fields, ", "))
		}
		if i < len(args) {
			return nil, fmt.Errorf("field %s is given twice", field)
		}
		values[i] = kw[1]
	}
	return &Record{name: name, fields: fields, values: values}, nil
}

// fieldsValue is a struct of a few named values, in the order they were made: an event, an outcome, a timing.
type fieldsValue struct {
	kind   string
	names  []string
	values []starlark.Value
}

func newFields(kind string, pairs ...any) *fieldsValue {
	f := &fieldsValue{kind: kind}
	for i := 0; i+1 < len(pairs); i += 2 {
		f.add(pairs[i].(string), pairs[i+1].(starlark.Value))
	}
	return f
}

func (f *fieldsValue) add(name string, v starlark.Value) {
	f.names = append(f.names, name)
	f.values = append(f.values, v)
}

func (f *fieldsValue) get(name string) starlark.Value {
	if i := slices.Index(f.names, name); i >= 0 {
		return f.values[i]
	}
	return nil
}

// String prints kind(name=value, ...).
func (f *fieldsValue) String() string {
	var b strings.Builder
	b.WriteString(f.kind)
	b.WriteByte('(')
	for i, v := range f.values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.names[i])
		b.WriteByte('=')
		writeValue(&b, v, 1)
	}
	b.WriteByte(')')
	return b.String()
}

func (f *fieldsValue) Type() string { return f.kind }
func (f *fieldsValue) Freeze()      {}
func (f *fieldsValue) Truth() starlark.Bool {
	if ok, is := f.get("ok").(starlark.Bool); is {
		return ok
	}
	return true
}
func (f *fieldsValue) Hash() (uint32, error) { return 0, fmt.Errorf("a %s has no hash", f.kind) }

// Attr reads a field.
func (f *fieldsValue) Attr(name string) (starlark.Value, error) {
	if v := f.get(name); v != nil {
		return v, nil
	}
	return nil, starlark.NoSuchAttrError(fmt.Sprintf("this %s has no .%s: it has %s", f.kind, name, strings.Join(f.names, ", ")))
}

// AttrNames lists the fields.
func (f *fieldsValue) AttrNames() []string { return f.names }

// CompareSameType knows equality only.
func (f *fieldsValue) CompareSameType(op syntax.Token, y starlark.Value, depth int) (bool, error) {
	g := y.(*fieldsValue)
	if op != syntax.EQL && op != syntax.NEQ {
		return false, fmt.Errorf("%s values have no order", f.kind)
	}
	same := slices.Equal(f.names, g.names)
	for i := 0; same && i < len(f.values); i++ {
		eq, err := starlark.EqualDepth(f.values[i], g.values[i], depth-1)
		if err != nil {
			return false, err
		}
		same = eq
	}
	return same == (op == syntax.EQL), nil
}

func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = syntax.Quote(s, false)
	}
	return strings.Join(quoted, ", ")
}

func stringList(list []string) *starlark.List {
	out := make([]starlark.Value, len(list))
	for i, s := range list {
		out[i] = starlark.String(s)
	}
	return starlark.NewList(out)
}

// Node is a node of the lab as a script value: a, b, c. It equals the atom of its name.
type Node struct {
	name kit.NodeName
	s    *Session
	db   *DB
}

// String is the node's name, as one types it.
func (n *Node) String() string { return string(n.name) }

// Type is "atom", so that a node equals its atom; type(a) says so.
func (n *Node) Type() string { return "atom" }

// Freeze does nothing.
func (n *Node) Freeze() {}

// Truth is always true.
func (n *Node) Truth() starlark.Bool { return true }

// Hash is that of the atom.
func (n *Node) Hash() (uint32, error) { return Atom(n.name).Hash() }

// CompareSameType compares names.
func (n *Node) CompareSameType(op syntax.Token, y starlark.Value, depth int) (bool, error) {
	return Atom(n.name).CompareSameType(op, y, depth)
}
