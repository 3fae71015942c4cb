package store

import (
	"errors"
	"slices"

	"netsplit/kit/store/match"
	"netsplit/kit/term"
)

// IndexRead gives the rows that have a value in an indexed attribute. attr is a name or a position in the record.
func (tx *Tx) IndexRead(table string, value, attr term.Term) ([]term.Tuple, error) {
	v, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	pos, err := indexPos(v, table, attr)
	if err != nil {
		return nil, err
	}
	if hasVar(value) {
		return nil, abort("bad_type", term.Atom(table), attr, value)
	}
	return tx.byIndex(v, table, value, pos)
}

func (tx *Tx) byIndex(v *view, table string, value term.Term, pos int) ([]term.Tuple, error) {
	q := query{kind: qIndex, tab: table, arg: value, pos: pos}
	if !tx.IsTransaction() {
		a, err := tx.dirtyAsk(v, q)
		return a.rows, err
	}
	t := v.tables[table]
	if t == nil || len(t.active) == 0 {
		return nil, abort("no_exists", term.Atom(table))
	}
	if !slices.Contains(t.Index, pos) {
		return nil, abort("no_exists", term.Atom(table), term.T(term.Atom("index"), term.L(term.Int(pos))))
	}
	if err := tx.tableLock(table, ReadLock); err != nil {
		return nil, err
	}
	a, err := tx.rows(q)
	if err != nil {
		return nil, err
	}
	rows := a.rows
	wrote := tx.ws.of(table)
	if len(wrote) == 0 {
		return rows, nil
	}
	rows = slices.DeleteFunc(slices.Clone(rows), func(r term.Tuple) bool {
		return slices.ContainsFunc(wrote, func(e *wsKey) bool { return term.Equal(e.key, r[1]) })
	})
	for _, e := range wrote {
		base, err := tx.s.readRows(tx.ctx(), t, e.key)
		if err != nil {
			return nil, err
		}
		for _, r := range e.over(t.Type, base) {
			if pos <= len(r) && term.Equal(r[pos-1], value) {
				rows = append(rows, r)
			}
		}
	}
	return rows, nil
}

// indexPos finds the position of an attribute, with the errors of mnesia_schema:attr_tab_to_pos/2.
func indexPos(v *view, table string, attr term.Term) (int, error) {
	t := v.tables[table]
	if t == nil {
		if n, isInt := attr.(term.Int); isInt {
			return int(n), nil
		}
		return 0, abort("no_exists", term.T(term.Atom(table), term.Atom("attributes")))
	}
	if n, isInt := attr.(term.Int); isInt {
		return int(n), nil
	}
	pos, ok := t.position(attr)
	if !ok {
		return 0, abort("bad_type", attr)
	}
	return pos, nil
}

// IndexMatchObject gives the rows that a pattern matches, found by an indexed attribute that it binds.
func (tx *Tx) IndexMatchObject(table string, pattern, attr term.Term, lk ...Lock) ([]term.Tuple, error) {
	v, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	pat, ok := pattern.(term.Tuple)
	if !ok || len(pat) < 3 || table == "schema" {
		return nil, abort("bad_type", term.Atom(table), pattern)
	}
	kind := want(lk, ReadLock)
	if tx.IsTransaction() && kind != ReadLock {
		return nil, abort("bad_type", term.Atom(table), term.Atom(kind))
	}
	pos, err := indexPos(v, table, attr)
	if err != nil {
		return nil, err
	}
	switch bound := !hasVar(pat[1]); {
	case pos < 1 || pos > len(pat):
		return nil, abort("bad_type", term.Atom(table), term.Int(pos))
	case bound && !tx.IsTransaction(): // the key finds it
		a, err := tx.dirtyAsk(v, query{kind: qMatch, tab: table, arg: pat})
		return a.rows, err
	case bound && pos == 2:
		return tx.byKey(v, table, pat)
	case hasVar(pat[pos-1]):
		return nil, abort("bad_type", term.Atom(table), attr, pat[pos-1])
	}
	rows, err := tx.byIndex(v, table, pat[pos-1], pos)
	if err != nil {
		return nil, tx.patternArgs(err, table, pat, pos)
	}
	p, err := match.Compile(pat)
	if err != nil {
		return nil, abort("badarg", term.L(term.Atom(table), pattern))
	}
	return keep(rows, p), nil
}

// byKey matches the rows of a pattern's key, under the lock that an index takes.
func (tx *Tx) byKey(v *view, table string, pat term.Tuple) ([]term.Tuple, error) {
	if err := tx.tableLock(table, ReadLock); err != nil {
		return nil, err
	}
	rows, err := tx.seen(v.tables[table], pat[1])
	if err != nil {
		return nil, err
	}
	p, err := match.Compile(pat)
	if err != nil {
		return nil, abort("badarg", term.L(term.Atom(table), pat))
	}
	return keep(rows, p), nil
}

// patternArgs names the pattern in an error of a dirty activity, where the query has only the value looked for.
func (tx *Tx) patternArgs(err error, table string, pat term.Tuple, pos int) error {
	var e *Error
	if tx.IsTransaction() || !errors.As(err, &e) {
		return err
	}
	if t, ok := e.Reason.(term.Tuple); !ok || len(t) != 2 || !isList(t[1]) {
		return err
	}
	return abort(string(e.kindAtom()), term.L(term.Atom(table), pat, term.Int(pos)))
}
