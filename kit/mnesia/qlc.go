package mnesia

import (
	"encoding/json"
	"slices"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// qlc runs a query comprehension over one table, or two that are joined on a field: see FORMAT's Q.
func qlc(e call) (json.RawMessage, error) {
	q, _ := e.args[0].(term.Map)
	left, err := e.queried(q.Opt("from"))
	if err != nil {
		return nil, err
	}
	filter, _ := q.Opt("filter").(term.List)
	sel := field(q.Opt("select"))
	var join term.Map
	var right []term.Tuple
	if j, ok := q.Opt("join").(term.Map); ok {
		join = j
		if right, err = e.queried(j.Opt("table")); err != nil {
			return nil, err
		}
	}
	out := term.List{}
	for _, r := range left {
		keep, err := passes(r, filter)
		if err != nil {
			return nil, err
		}
		v, ok := pick(r, sel)
		if !keep || !ok {
			continue
		}
		if join == nil {
			out = append(out, v)
			continue
		}
		out = append(out, joined(r, v, right, join)...)
	}
	if q.Opt("sort") == term.Term(term.Atom("true")) {
		slices.SortStableFunc(out, term.Compare)
	}
	return js(out), nil
}

// queried reads a table for a query.
func (e call) queried(t term.Term) ([]term.Tuple, error) {
	name, _ := t.(term.Atom)
	tab := string(name)
	if _, _, ok := e.f.store.TableType(tab); !ok {
		return nil, &store.Error{Class: store.Aborted, Reason: term.T(term.Atom("no_exists"), term.T(term.Atom(tab), term.Atom("disc_copies")))}
	}
	var rs []term.Tuple
	err := e.tx.Fold(tab, false, func(r term.Tuple) bool {
		rs = append(rs, r)
		return true
	})
	return rs, err
}

// field reads a position; 0 is the whole record.
func field(t term.Term) int {
	n, _ := t.(term.Int)
	return int(n)
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

func joined(r term.Tuple, v term.Term, right []term.Tuple, join term.Map) term.List {
	on, _ := join.Opt("on").(term.List)
	if len(on) != 2 {
		return nil
	}
	var out term.List
	mine, ok := pick(r, field(on[0]))
	for _, o := range right {
		theirs, has := pick(o, field(on[1]))
		if w, got := pick(o, field(join.Opt("select"))); ok && has && got && term.Equal(mine, theirs) {
			out = append(out, term.T(v, w))
		}
	}
	return out
}

// passes applies a filter [position, operator, value].
func passes(r term.Tuple, f term.List) (bool, error) {
	if len(f) != 3 {
		return len(f) == 0, nil
	}
	v, ok := pick(r, field(f[0]))
	if !ok {
		return false, &store.Error{Class: store.Errored, Reason: term.Atom("badarg")}
	}
	c := term.Compare(v, f[2])
	switch f[1] {
	case term.Term(term.Atom(">")):
		return c > 0, nil
	case term.Term(term.Atom("<")):
		return c < 0, nil
	case term.Term(term.Atom(">=")):
		return c >= 0, nil
	case term.Term(term.Atom("=<")):
		return c <= 0, nil
	case term.Term(term.Atom("==")):
		return c == 0, nil
	case term.Term(term.Atom("/=")):
		return c != 0, nil
	case term.Term(term.Atom("=:=")):
		return term.Equal(v, f[2]), nil
	case term.Term(term.Atom("=/=")):
		return !term.Equal(v, f[2]), nil
	}
	return false, &store.Error{Class: store.Errored, Reason: term.T(term.Atom("badarg"), f[1])}
}
