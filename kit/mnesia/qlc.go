package mnesia

import (
	"encoding/json"
	"slices"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// A query comprehension, in the conformance format's words:
//
//	{from: Table, filter: [Field, Operator, Value], select: Field | all, sort: true,
//	 join: {table: Table2, on: [Field, Field2], select: Field2}, opts: {lock: write}}
//
// A field is an attribute or a position in the record. As mnesia:table/2 does, a query locks its tables whole; inside that it
// goes by the key, or by an index, where the filter or the join allows it. Explain tells which.

// access is how the rows of a table are found.
type access string

// The ways to rows, the best first.
const (
	byKey   access = "key"   // those of one key
	byIndex access = "index" // those with one value of an indexed attribute
	byRange access = "range" // a part of an ordered_set, by bounds on its key
	byScan  access = "scan"  // every row is looked at, where the copy is
	byHash  access = "hash"  // the right side of a join: every row once, sorted into a table by the joined field
)

// source is one table of a query.
type source struct {
	table string
	typ   string
	attrs term.List
	index term.List
	local bool // it is read on this node
	lock  store.Lock
	way   access
	on    int // the field that way goes by
}

// comprehension is a query that was understood.
type comprehension struct {
	left          source
	filter        term.List
	holds         func(v, w term.Term) bool // the filter's operator
	filterAt, sel int
	join          bool
	right         source
	mine, sel2    int // of a join: the left field, and what is kept of the right
	sort          bool
}

// planOf reads a query and decides how its rows are found.
func (e call) planOf(t term.Term) (*comprehension, error) {
	q, _ := t.(term.Map)
	c := &comprehension{sort: q.Opt("sort") == term.Term(term.Atom("true"))}
	var err error
	if c.left, err = e.sourceOf(q.Opt("from"), q.Opt("opts")); err != nil {
		return nil, err
	}
	c.sel = c.left.field(q.Opt("select"))
	c.filter, _ = q.Opt("filter").(term.List)
	if len(c.filter) == 3 {
		c.filterAt = c.left.field(c.filter[0])
		op, _ := c.filter[1].(term.Atom)
		if c.holds = comparing[op]; c.holds == nil {
			return nil, &store.Error{Class: store.Errored, Reason: term.T(term.Atom("badarg"), c.filter[1])}
		}
		c.left.way, c.left.on = c.left.best(c.filterAt, c.filter[1], c.filter[2])
	} else if len(c.filter) != 0 {
		return nil, &store.Error{Class: store.Errored, Reason: term.T(term.Atom("badarg"), c.filter)}
	}
	j, ok := q.Opt("join").(term.Map)
	if !ok {
		return c, nil
	}
	c.join = true
	if c.right, err = e.sourceOf(j.Opt("table"), nil); err != nil {
		return nil, err
	}
	on, _ := j.Opt("on").(term.List)
	if len(on) != 2 {
		return nil, badOp("a join is on two fields")
	}
	c.mine, c.sel2 = c.left.field(on[0]), c.right.field(j.Opt("select"))
	c.right.on = c.right.field(on[1])
	c.right.way = byHash
	if way := c.right.equal(c.right.on); way != byScan && c.right.local {
		c.right.way = way
	}
	return c, nil
}

// sourceOf finds a table of a query.
func (e call) sourceOf(t, opts term.Term) (source, error) {
	name, _ := t.(term.Atom)
	s := source{table: string(name), lock: store.ReadLock, way: byScan}
	typ, _, ok := e.f.store.TableType(s.table)
	if !ok {
		return s, &store.Error{Class: store.Aborted, Reason: term.T(term.Atom("no_exists"), term.T(name, term.Atom("disc_copies")))}
	}
	s.typ = typ
	item := func(name term.Atom) term.Term {
		v, _ := e.f.store.TableInfo(s.table, name) // a table that goes meanwhile is missed by the reading
		return v
	}
	s.attrs, _ = item("attributes").(term.List)
	s.index, _ = item("index").(term.List)
	s.local = item("where_to_read") == term.Term(term.Atom(e.f.store.Self()))
	if m, ok := opts.(term.Map); ok && m.Opt("lock") != nil {
		a, _ := m.Opt("lock").(term.Atom)
		s.lock = store.Lock(a)
	}
	return s, nil
}

// field gives the position of a field; 0 is the whole record, also for what is not there.
func (s source) field(t term.Term) int {
	if n, ok := t.(term.Int); ok {
		return int(n)
	}
	for i, a := range s.attrs {
		if term.Equal(a, t) {
			return i + 2
		}
	}
	return 0
}

// equal is the way to rows with one value in a field.
func (s source) equal(pos int) access {
	switch {
	case pos == 2:
		return byKey
	case slices.ContainsFunc(s.index, func(p term.Term) bool { return p == term.Term(term.Int(pos)) }):
		return byIndex
	}
	return byScan
}

// best is the way to the rows that a filter lets through.
func (s source) best(pos int, op, value term.Term) (access, int) {
	exact := op == term.Term(term.Atom("=:="))
	if op == term.Term(term.Atom("==")) {
		switch value.(type) {
		case term.Atom, term.Bin: // nothing else is equal to them
			exact = true
		}
	}
	if way := s.equal(pos); exact && way != byScan {
		return way, pos
	}
	switch op {
	case term.Term(term.Atom("<")), term.Atom("=<"), term.Atom(">"), term.Atom(">="), term.Atom("=="):
		if pos == 2 && s.typ == "ordered_set" {
			return byRange, pos
		}
	}
	return byScan, 0
}

// explain tells how a query would be done.
func explain(e call) (json.RawMessage, error) {
	c, err := e.planOf(e.args[0])
	if err != nil {
		return nil, err
	}
	l := term.L(c.left.told())
	if c.join {
		l = append(l, c.right.told())
	}
	return js(l), nil
}

// told describes the access to a table as a map.
func (s source) told() term.Term {
	m := []term.Pair{{Key: term.Atom("table"), Value: term.Atom(s.table)}, {Key: term.Atom("access"), Value: term.Atom(s.way)},
		{Key: term.Atom("lock"), Value: term.Atom(s.lock)}}
	if s.on >= 2 && s.on-2 < len(s.attrs) {
		m = append(m, term.Pair{Key: term.Atom("attribute"), Value: s.attrs[s.on-2]})
	}
	return term.MakeMap(m...)
}

// qlc runs a query.
func qlc(e call) (json.RawMessage, error) {
	c, err := e.planOf(e.args[0])
	if err != nil {
		return nil, err
	}
	left, err := e.leftRows(c)
	if err != nil {
		return nil, err
	}
	match := func(term.Term) ([]term.Tuple, error) { return nil, nil }
	if c.join {
		if match, err = e.rightRows(c.right); err != nil {
			return nil, err
		}
	}
	out := term.List{}
	for _, r := range left {
		v, ok := pick(r, c.sel)
		if !ok {
			continue
		}
		if !c.join {
			out = append(out, v)
			continue
		}
		mine, ok := pick(r, c.mine)
		if !ok {
			continue
		}
		others, err := match(mine)
		if err != nil {
			return nil, err
		}
		for _, o := range others {
			if w, ok := pick(o, c.sel2); ok {
				out = append(out, term.T(v, w))
			}
		}
	}
	if c.sort {
		slices.SortStableFunc(out, term.Compare)
	}
	return js(out), nil
}

// leftRows gives the rows of the first table that the filter lets through.
func (e call) leftRows(c *comprehension) ([]term.Tuple, error) {
	s := c.left
	if _, err := e.tx.LockTable(s.table, s.lock); err != nil {
		return nil, err
	}
	var rows []term.Tuple
	var err error
	switch {
	case s.way == byKey:
		rows, err = e.tx.Read(s.table, c.filter[2])
	case s.way == byIndex:
		rows, err = e.tx.IndexRead(s.table, c.filter[2], term.Int(s.on))
	case len(c.filter) == 3 && c.filterAt >= 1 && c.filterAt <= len(s.attrs)+1:
		return e.selected(s, c)
	default:
		rows, err = e.everything(s.table)
	}
	if err != nil || len(c.filter) == 0 {
		return rows, err
	}
	var kept []term.Tuple
	for _, r := range rows {
		v, ok := pick(r, c.filterAt)
		if !ok {
			return nil, &store.Error{Class: store.Errored, Reason: term.Atom("badarg")}
		}
		if c.holds(v, c.filter[2]) {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// selected lets the copy itself apply the filter: bounds on the key of an ordered_set leave out what lies outside them,
// and no other rows travel.
func (e call) selected(s source, c *comprehension) ([]term.Tuple, error) {
	head := term.Tuple{}
	for i := range len(s.attrs) + 1 {
		head = append(head, variable(i+1))
	}
	guard := term.T(c.filter[1], variable(c.filterAt), term.T(term.Atom("const"), c.filter[2]))
	spec := term.L(term.T(head, term.L(guard), term.L(term.Atom("$_"))))
	found, err := e.tx.Select(s.table, spec, s.lock)
	var rows []term.Tuple
	for _, t := range found {
		if r, ok := t.(term.Tuple); ok {
			rows = append(rows, r)
		}
	}
	return rows, err
}

func variable(i int) term.Atom { return "$" + term.Atom(term.String(term.Int(i))) }

func (e call) everything(table string) ([]term.Tuple, error) {
	var rows []term.Tuple
	err := e.tx.Fold(table, false, func(r term.Tuple) bool {
		rows = append(rows, r)
		return true
	})
	return rows, err
}

// rightRows gives a function that finds the rows of a join's second table for a value.
func (e call) rightRows(s source) (func(term.Term) ([]term.Tuple, error), error) {
	if _, err := e.tx.LockTable(s.table, s.lock); err != nil {
		return nil, err
	}
	exactly := func(rows []term.Tuple, v term.Term) []term.Tuple { // 1 and 1.0 are one key of an ordered_set
		return slices.DeleteFunc(slices.Clone(rows), func(r term.Tuple) bool {
			w, ok := pick(r, s.on)
			return !ok || !term.Equal(v, w)
		})
	}
	switch s.way {
	case byKey:
		return func(v term.Term) ([]term.Tuple, error) {
			rows, err := e.tx.Read(s.table, v)
			return exactly(rows, v), err
		}, nil
	case byIndex:
		return func(v term.Term) ([]term.Tuple, error) {
			rows, err := e.tx.IndexRead(s.table, v, term.Int(s.on))
			return exactly(rows, v), err
		}, nil
	}
	rows, err := e.everything(s.table)
	if err != nil {
		return nil, err
	}
	by := map[any][]term.Tuple{}
	for _, r := range rows {
		if v, ok := pick(r, s.on); ok {
			by[term.Key(v)] = append(by[term.Key(v)], r)
		}
	}
	return func(v term.Term) ([]term.Tuple, error) { return by[term.Key(v)], nil }, nil
}

func pick(r term.Tuple, pos int) (term.Term, bool) {
	switch {
	case pos == 0:
		return r, true
	case pos < 0 || pos > len(r):
		return nil, false
	}
	return r[pos-1], true
}

// comparing are the operators of a filter.
var comparing = map[term.Atom]func(v, w term.Term) bool{
	">":   func(v, w term.Term) bool { return term.Compare(v, w) > 0 },
	"<":   func(v, w term.Term) bool { return term.Compare(v, w) < 0 },
	">=":  func(v, w term.Term) bool { return term.Compare(v, w) >= 0 },
	"=<":  func(v, w term.Term) bool { return term.Compare(v, w) <= 0 },
	"==":  func(v, w term.Term) bool { return term.Compare(v, w) == 0 },
	"/=":  func(v, w term.Term) bool { return term.Compare(v, w) != 0 },
	"=:=": term.Equal,
	"=/=": func(v, w term.Term) bool { return !term.Equal(v, w) },
}
