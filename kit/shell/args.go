package shell

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"netsplit/kit/term"
)

// callArgs turns the arguments of one call into terms.
type callArgs struct {
	r      *run
	db     *DB
	verb   *verb
	args   starlark.Tuple
	kwargs []starlark.Tuple

	do    string // operation, when a form of the call names another
	out   []term.Term
	table string // the table it is about, for showing rows
}

func (c *callArgs) usageError(format string, args ...any) error {
	return fmt.Errorf("%s: %s; usage: %s", c.verb.name, fmt.Sprintf(format, args...), c.verb.signature())
}

// signature is the call as help shows it.
func (v *verb) signature() string {
	if v.usage != "" {
		return v.name + "(" + v.usage + ")"
	}
	var parts []string
	for _, p := range v.params {
		switch {
		case p.kind == argOptions:
			parts = append(parts, "option=value...")
		case p.opt:
			parts = append(parts, "["+p.name+"]")
		default:
			parts = append(parts, p.name)
		}
	}
	return v.name + "(" + strings.Join(parts, ", ") + ")"
}

// collect fills out from args and kwargs.
func (c *callArgs) collect() error {
	if c.verb.build != nil {
		return c.verb.build(c)
	}
	c.splitOID()
	kwargs := c.kwargs
	if len(c.args) > len(c.verb.params) {
		return c.usageError("it takes %d arguments, not %d", len(c.verb.params), len(c.args))
	}
	for i, p := range c.verb.params {
		v, rest, named := takeKeyword(kwargs, p.name)
		switch {
		case i < len(c.args) && named:
			return c.usageError("%s is given twice", p.name)
		case i < len(c.args):
			v = c.args[i]
		case named:
			kwargs = rest
		case p.kind == argOptions:
			v = nil
		case p.opt:
			continue
		default:
			return c.usageError("%s is missing", p.name)
		}
		if p.kind == argOptions {
			if err := c.options(v, kwargs); err != nil {
				return err
			}
			kwargs = nil
			continue
		}
		t, err := c.convert(p, v)
		if err != nil {
			return err
		}
		c.out = append(c.out, t)
	}
	if len(kwargs) > 0 {
		return c.usageError("it has no argument %s", string(kwargs[0][0].(starlark.String)))
	}
	return nil
}

// splitOID accepts Mnesia's {Table, Key} in the place of the two.
func (c *callArgs) splitOID() {
	if len(c.verb.params) < 2 || c.verb.params[0].kind != argTable || c.verb.params[1].name != "key" || len(c.args) != 1 {
		return
	}
	if oid, ok := c.args[0].(starlark.Tuple); ok && len(oid) == 2 {
		c.args = oid
	}
}

func takeKeyword(kwargs []starlark.Tuple, name string) (v starlark.Value, rest []starlark.Tuple, ok bool) {
	for i, kw := range kwargs {
		if string(kw[0].(starlark.String)) == name {
			return kw[1], slices.Delete(slices.Clone(kwargs), i, i+1), true
		}
	}
	return nil, kwargs, false
}

func (c *callArgs) convert(p param, v starlark.Value) (term.Term, error) {
	switch p.kind {
	case argTable:
		name, err := tableName(v)
		if err != nil {
			return nil, c.usageError("%v", err)
		}
		c.table = name
		return term.Atom(name), nil
	case argTables:
		if _, isList := v.(starlark.Iterable); !isList {
			v = starlark.Tuple{v}
		}
		return asList(v)
	case argNode:
		name, err := nodeName(v)
		return term.Atom(name), err
	case argNodes:
		if _, isList := v.(starlark.Iterable); !isList {
			v = starlark.Tuple{v}
		}
		return asList(v)
	case argData:
		return toTerm(v, asData)
	case argSpec:
		return toSpec(v)
	case argInt:
		if _, ok := v.(starlark.Int); !ok {
			return nil, c.usageError("%s must be a whole number, not %s", p.name, v)
		}
		return toTerm(v, asData)
	}
	return toTerm(v, asName)
}

// asList makes a list of names from a list, a tuple or another iterable.
func asList(v starlark.Value) (term.Term, error) {
	t, err := toTerm(v, asName)
	if tuple, ok := t.(term.Tuple); ok {
		return term.List(tuple), err
	}
	return t, err
}

// options makes the option map from a dict, a list of pairs as Mnesia has it, and named arguments.
func (c *callArgs) options(v starlark.Value, kwargs []starlark.Tuple) error {
	var pairs []term.Pair
	switch v := v.(type) {
	case nil, starlark.NoneType:
	case *starlark.Dict:
		t, err := toTerm(v, asName)
		if err != nil {
			return err
		}
		pairs = append(pairs, t.(term.Map)...)
	case starlark.Iterable:
		t, err := asList(v)
		if err != nil {
			return err
		}
		for _, item := range t.(term.List) {
			pair, ok := item.(term.Tuple)
			if !ok || len(pair) != 2 {
				return c.usageError("options are named (disc_copies=[a, b]), a dict, or a list of pairs")
			}
			pairs = append(pairs, term.Pair{Key: pair[0], Value: pair[1]})
		}
	default:
		return c.usageError("options are named (disc_copies=[a, b]), a dict, or a list of pairs")
	}
	for _, kw := range kwargs {
		t, err := toTerm(kw[1], asName)
		if err != nil {
			return err
		}
		name := string(kw[0].(starlark.String))
		if tuple, ok := t.(term.Tuple); ok {
			t = term.List(tuple)
		}
		pairs = append(pairs, term.Pair{Key: term.Atom(name), Value: t})
	}
	if len(pairs) > 0 || v != nil || !c.optional() {
		c.out = append(c.out, term.MakeMap(pairs...))
	}
	return nil
}

// optional reports whether the last parameter may be left out altogether.
func (c *callArgs) optional() bool {
	return len(c.verb.params) == 1
}

func tableName(v starlark.Value) (string, error) {
	switch v := v.(type) {
	case starlark.String:
		return string(v), nil
	case Atom, *Node:
		return atomName(v), nil
	case *recordType:
		return v.name, nil
	case *Table:
		return v.name, nil
	}
	return "", fmt.Errorf("%s is no table name: a name is a string", v)
}

func nodeName(v starlark.Value) (string, error) {
	switch v := v.(type) {
	case *Node, Atom:
		return atomName(v), nil
	case starlark.String:
		return string(v), nil
	}
	return "", fmt.Errorf("%s is no node", v)
}

// masterNodes accepts (nodes) and (table, nodes); the door takes the nodes first.
func (c *callArgs) masterNodes() error {
	if len(c.kwargs) > 0 || len(c.args) < 1 || len(c.args) > 2 {
		return c.usageError("it takes a table and nodes, or only nodes")
	}
	nodes, err := c.convert(param{name: "nodes", kind: argNodes}, c.args[len(c.args)-1])
	if err != nil {
		return err
	}
	c.out = append(c.out, nodes)
	if len(c.args) == 2 {
		table, err := c.convert(pTable, c.args[0])
		if err != nil {
			return err
		}
		c.out = append(c.out, table)
	}
	return nil
}

// subscription accepts "system", "activity", ("table", t) and ("table", t, "detailed"), as arguments or as a tuple.
func (c *callArgs) subscription() error {
	args := c.args
	if len(args) == 1 {
		if tuple, ok := args[0].(starlark.Tuple); ok {
			args = tuple
		}
	}
	if len(args) == 0 || len(args) > 3 || len(c.kwargs) > 0 {
		return c.usageError("say what to subscribe to")
	}
	names := make([]string, len(args))
	for i, a := range args {
		name, err := tableName(a)
		if err != nil {
			return c.usageError("%s is no name", a)
		}
		names[i] = name
	}
	c.out = []term.Term{term.Atom(c.r.s.opts.Client)}
	if names[0] != "table" {
		c.out = append(c.out, term.Atom(names[0]))
		return nil
	}
	if len(names) == 1 {
		return c.usageError("which table?")
	}
	detail := "simple"
	if len(names) == 3 {
		detail = names[2]
	}
	c.out = append(c.out, term.MakeMap(term.Pair{Key: term.Atom("table"), Value: term.Atom(names[1])},
		term.Pair{Key: term.Atom("detail"), Value: term.Atom(detail)}))
	return nil
}

// lockItem accepts ("table", t), ("record", t, key), ("global", key, nodes) and a kind.
func (c *callArgs) lockItem() error {
	if len(c.args) != 2 || len(c.kwargs) > 0 {
		return c.usageError("it takes an item and a kind")
	}
	item, ok := c.args[0].(starlark.Tuple)
	if !ok || len(item) < 2 {
		return c.usageError("the item is a tuple")
	}
	what, err := tableName(item[0])
	if err != nil {
		return c.usageError("%v", err)
	}
	var value term.Term
	switch {
	case what == "table" && len(item) == 2:
		value, err = c.convert(pTable, item[1])
	case what == "record" && len(item) == 3:
		var table, key term.Term
		if table, err = c.convert(pTable, item[1]); err == nil {
			key, err = toTerm(item[2], asData)
		}
		value = term.List{table, key}
	case what == "global" && len(item) == 3:
		var key, nodes term.Term
		if key, err = toTerm(item[1], asData); err == nil {
			nodes, err = asList(item[2])
		}
		value = term.List{key, nodes}
	default:
		return c.usageError("no such item")
	}
	if err != nil {
		return err
	}
	kind, err := toTerm(c.args[1], asName)
	if err != nil {
		return err
	}
	c.out = []term.Term{term.MakeMap(term.Pair{Key: term.Atom(what), Value: value}), kind}
	return nil
}

// row reads the forms of a write: (record), (table, record), (table, field...), (table, field=value...).
func (c *callArgs) row() error { return c.recordArgs(asData, starlark.None) }

// rowOnly is for functions that take the record alone.
func (c *callArgs) rowOnly() error {
	if len(c.args) != 1 || len(c.kwargs) > 0 {
		return c.usageError("it takes a record")
	}
	rec, err := toRecord(c.args[0], asData)
	if err != nil {
		return err
	}
	c.out, c.table = []term.Term{rec}, recordTable(rec)
	return nil
}

// pattern reads the same forms for a match; fields that are not named match anything.
func (c *callArgs) pattern() error { return c.recordArgs(asPattern, starlark.String("_")) }

// indexPattern is pattern with an attribute (and a lock) after it.
func (c *callArgs) indexPattern() error {
	if len(c.args) >= 2 && isRecord(c.args[0]) {
		rec, err := toRecord(c.args[0], asPattern)
		if err != nil {
			return err
		}
		c.args = append(starlark.Tuple{starlark.String(recordTable(rec))}, c.args...)
	}
	if len(c.args) < 3 || len(c.args) > 4 || len(c.kwargs) > 0 {
		return c.usageError("it takes a pattern and an attribute")
	}
	table, err := c.convert(pTable, c.args[0])
	if err != nil {
		return err
	}
	rec, err := toRecord(c.args[1], asPattern)
	if err != nil {
		return err
	}
	c.out = []term.Term{table, rec}
	for _, v := range c.args[2:] {
		t, err := toTerm(v, asName)
		if err != nil {
			return err
		}
		c.out = append(c.out, t)
	}
	return nil
}

func isRecord(v starlark.Value) bool {
	switch v.(type) {
	case *Record, starlark.Tuple:
		return true
	}
	return false
}

func recordTable(rec term.Term) string {
	if t, ok := rec.(term.Tuple); ok && len(t) > 0 {
		if name, ok := t[0].(term.Atom); ok {
			return string(name)
		}
	}
	return ""
}

func (c *callArgs) recordArgs(rule stringRule, missing starlark.Value) error {
	lock, kwargs, hasLock := takeKeyword(c.kwargs, "lock")
	if len(c.args) == 0 {
		return c.usageError("the record is missing")
	}
	if isRecord(c.args[0]) {
		if len(c.args) > 2 || len(kwargs) > 0 {
			return c.usageError("nothing but a lock may follow the record")
		}
		rec, err := toRecord(c.args[0], rule)
		if err != nil {
			return err
		}
		if recordTable(rec) == "" {
			return c.usageError("%s is no record: its first element must be a name", c.args[0])
		}
		c.args = append(starlark.Tuple{starlark.String(recordTable(rec))}, c.args...)
	}
	table, err := c.convert(pTable, c.args[0])
	if err != nil {
		return err
	}
	fields := c.args[1:]
	var rec term.Term
	if len(fields) > 0 && c.wholeRecord(fields, kwargs, &lock, &hasLock) {
		rec, err = toRecord(fields[0], rule)
	} else {
		rec, err = c.rowOfFields(fields, kwargs, rule, missing)
	}
	if err != nil {
		return err
	}
	c.out = []term.Term{table, rec}
	if hasLock {
		kind, err := toTerm(lock, asName)
		if err != nil {
			return err
		}
		c.out = append(c.out, kind)
	}
	return nil
}

// wholeRecord decides whether what follows the table is one record (and perhaps a lock), or its fields.
func (c *callArgs) wholeRecord(fields starlark.Tuple, kwargs []starlark.Tuple, lock *starlark.Value, hasLock *bool) bool {
	if !isRecord(fields[0]) || len(kwargs) > 0 || len(fields) > 2 {
		return false
	}
	if tuple, ok := fields[0].(starlark.Tuple); ok && len(fields) == 2 {
		name := ""
		if len(tuple) > 0 {
			name, _ = tableName(tuple[0]) // a key may be a tuple; then it is no name
		}
		info := c.r.tableInfo(c.db.node, c.table)
		if name != c.table && (info == nil || name != info.record) {
			return false
		}
	}
	if len(fields) == 2 {
		*lock, *hasLock = fields[1], true
	}
	return true
}

func (c *callArgs) rowOfFields(fields starlark.Tuple, kwargs []starlark.Tuple, rule stringRule, missing starlark.Value) (term.Term, error) {
	info := c.r.tableInfo(c.db.node, c.table)
	name := c.table
	if info != nil {
		name = info.record
	}
	values := slices.Clone(fields)
	if len(kwargs) > 0 {
		if info == nil {
			return nil, errors.New(c.verb.name + ": the attributes of " + c.table + " are not known here; is the store started and the table created?")
		}
		rec, err := makeRecord(name, info.fields, fields, kwargs)
		if err != nil {
			return nil, err
		}
		values = rec.values
		for i := range values {
			given := i < len(fields) || slices.ContainsFunc(kwargs, func(kw starlark.Tuple) bool { return string(kw[0].(starlark.String)) == info.fields[i] })
			if !given {
				values[i] = missing
			}
		}
	}
	return toRecord(append(starlark.Tuple{starlark.String(name)}, values...), rule)
}
