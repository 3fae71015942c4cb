package store

import (
	"iter"
	"slices"

	"netsplit/kit/store/match"
	"netsplit/kit/term"
)

// want gives the lock kind asked for, or a default.
func want(lks []Lock, def Lock) Lock {
	if len(lks) > 0 {
		return lks[0]
	}
	return def
}

// recordLock takes the lock that an operation on a record asks for.
func (tx *Tx) recordLock(tab string, key term.Term, lk Lock) error {
	switch lk {
	case ReadLock:
		_, err := tx.lockRead(tab, key, false)
		return err
	case StickyLock:
		return tx.lockSticky(tab, key)
	case WriteLock:
		return tx.lockToWrite(tab, key)
	}
	return abort("bad_type", term.Atom(tab), term.Atom(lk))
}

// Read gives the rows of a key. It takes a read lock on the record, or the lock that is named.
func (tx *Tx) Read(table string, key term.Term, lk ...Lock) ([]term.Tuple, error) {
	v, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	if table == "schema" {
		return nil, abort("bad_type", term.Atom(table))
	}
	if !tx.IsTransaction() {
		return tx.dirtyRead(v, table, key)
	}
	kind := want(lk, ReadLock)
	if kind == ReadLock {
		if e := tx.ws.find(table, key); e != nil && len(e.ops) > 0 {
			if t := v.tables[table]; t != nil && t.Type != "bag" {
				// mnesia:add_written/4 looks at the table only when the outcome depends on it
				if e.ops[0].kind != opDeleteRow {
					return e.over(t.Type, nil), nil
				}
			}
		}
		rows, err := tx.lockRead(table, key, true)
		if err != nil {
			return nil, err
		}
		return tx.own(table, key, rows), nil
	}
	if err := tx.recordLock(table, key, kind); err != nil {
		return nil, err
	}
	t := tx.table(table)
	if t == nil {
		return nil, abort("no_exists", term.Atom(table))
	}
	rows, err := tx.s.readRows(tx.ctx(), t, key)
	if err != nil {
		return nil, err
	}
	return tx.own(table, key, rows), nil
}

// own gives rows of a key as the transaction sees them.
func (tx *Tx) own(table string, key term.Term, rows []term.Tuple) []term.Tuple {
	if tx.ws.empty() {
		return rows
	}
	e := tx.ws.find(table, key)
	t := tx.table(table)
	if e == nil || t == nil {
		return rows
	}
	return e.over(t.Type, rows)
}

// tableLock takes the lock that an operation on a whole table asks for.
func (tx *Tx) tableLock(table string, lk Lock) error { return tx.recordLock(table, nil, lk) }

// rows answers a query under the transaction's locks.
func (tx *Tx) rows(q query) (answer, error) {
	t := tx.table(q.tab)
	a, err := tx.s.ask(tx.ctx(), t, q)
	if err != nil && (t == nil || t.read == "") {
		return a, abort("no_exists", term.Atom(q.tab))
	}
	return a, err
}

// MatchObject gives the rows that a pattern matches. A pattern with a bound key locks that record, any other the
// table.
func (tx *Tx) MatchObject(table string, pattern term.Term, lk ...Lock) ([]term.Tuple, error) {
	v, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	pat, ok := pattern.(term.Tuple)
	if !ok || len(pat) < 3 || table == "schema" {
		return nil, abort("bad_type", term.Atom(table), pattern)
	}
	q := query{kind: qMatch, tab: table, arg: pat}
	if !tx.IsTransaction() {
		a, err := tx.dirtyAsk(v, q)
		return a.rows, err
	}
	key := pat[1]
	if hasVar(key) {
		key = nil
	}
	if err := tx.recordLock(table, key, want(lk, ReadLock)); err != nil {
		return nil, err
	}
	t := tx.table(table)
	if t == nil {
		return nil, abort("no_exists", term.Atom(table))
	}
	if len(tx.ws.of(table)) == 0 {
		a, err := tx.rows(q)
		return a.rows, err
	}
	p, err := match.Compile(pat)
	if err != nil {
		return nil, abort("badarg", term.L(term.Atom(table), pattern))
	}
	rows, err := tx.seen(t, key)
	if err != nil {
		return nil, err
	}
	return keep(rows, p), nil
}

func keep(rows []term.Tuple, p *match.Pattern) []term.Tuple {
	var out []term.Tuple
	for _, r := range rows {
		if p.Match(r) {
			out = append(out, r)
		}
	}
	return out
}

// seen gives the rows of a table, or of a key, as the transaction sees them.
func (tx *Tx) seen(t *tab, key term.Term) ([]term.Tuple, error) {
	if key != nil {
		rows, err := tx.s.readRows(tx.ctx(), t, key)
		if err != nil {
			return nil, err
		}
		return tx.own(t.Name, key, rows), nil
	}
	a, err := tx.rows(query{kind: qAll, tab: t.Name})
	if err != nil {
		return nil, err
	}
	return tx.ws.overlay(t, a.rows), nil
}

// Select runs a match specification over a table.
func (tx *Tx) Select(table string, spec term.Term, lk ...Lock) ([]term.Term, error) {
	v, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	if _, ok := spec.(term.List); !ok {
		return nil, abort("badarg", term.Atom(table), spec)
	}
	if table == "schema" {
		return nil, abort("bad_type", term.Atom(table))
	}
	q := query{kind: qSelect, tab: table, arg: spec}
	if !tx.IsTransaction() {
		a, err := tx.dirtyAsk(v, q)
		return a.terms, err
	}
	compiled, bad := match.CompileSpec(spec)
	var key term.Term
	if bad == nil {
		if k, bound := compiled.Key(); bound {
			key = k
		}
	}
	if err := tx.recordLock(table, key, want(lk, ReadLock)); err != nil {
		return nil, err
	}
	if l, _ := spec.(term.List); len(l) == 0 {
		return nil, nil
	}
	t := tx.table(table)
	if t == nil {
		return nil, abort("no_exists", term.Atom(table))
	}
	if bad != nil {
		return nil, abort("badarg", q.args())
	}
	if len(tx.ws.of(table)) == 0 {
		a, err := tx.rows(q)
		return a.terms, err
	}
	rows, err := tx.seen(t, key)
	if err != nil {
		return nil, err
	}
	return runSpec(compiled, rows), nil
}

// AllKeys gives every key once.
func (tx *Tx) AllKeys(table string) ([]term.Term, error) {
	v, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	if table == "schema" {
		return nil, abort("bad_type", term.Atom(table))
	}
	t := v.tables[table]
	if !tx.IsTransaction() {
		return tx.dirtyKeys(v, table)
	}
	if t == nil {
		return nil, abort("no_exists", term.T(term.Atom(table), term.Atom("wild_pattern")))
	}
	if err := tx.tableLock(table, ReadLock); err != nil {
		return nil, err
	}
	if len(tx.ws.of(table)) == 0 {
		a, err := tx.rows(query{kind: qKeys, tab: table, arg: t.wild()})
		return a.terms, err
	}
	rows, err := tx.seen(t, nil)
	if err != nil {
		return nil, err
	}
	p, err := match.Compile(t.wild())
	if err != nil {
		return nil, err
	}
	var keys []term.Term
	seen := map[any]bool{}
	for _, r := range keep(rows, p) {
		if k := term.Key(r[1]); !seen[k] {
			seen[k] = true
			keys = append(keys, r[1])
		}
	}
	return keys, nil
}

// Fold calls f with every row until it says no. The order is that of the keys in an ordered_set, backwards when
// asked, and not defined otherwise.
func (tx *Tx) Fold(table string, backwards bool, f func(term.Tuple) bool) error {
	rows, err := tx.everything(table)
	if err != nil {
		return err
	}
	if backwards {
		slices.Reverse(rows)
	}
	for _, r := range rows {
		if !f(r) {
			return nil
		}
	}
	return nil
}

// All iterates over the rows of a table; the error of the read comes as the second value, with a nil row.
func (tx *Tx) All(table string) iter.Seq2[term.Tuple, error] {
	return func(yield func(term.Tuple, error) bool) {
		rows, err := tx.everything(table)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (tx *Tx) everything(table string) ([]term.Tuple, error) {
	v, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	if table == "schema" {
		return nil, abort("bad_type", term.Atom(table))
	}
	if !tx.IsTransaction() {
		a, err := tx.dirtyAsk(v, query{kind: qAll, tab: table})
		return a.rows, err
	}
	if err := tx.tableLock(table, ReadLock); err != nil {
		return nil, err
	}
	t := tx.table(table)
	if t == nil {
		return nil, abort("no_exists", term.Atom(table))
	}
	return tx.seen(t, nil)
}

// First gives the first key, or EndOfTable. Last, Next and Prev are alike. In a table without an order the four go
// through the keys in a fixed but undefined order.
func (tx *Tx) First(table string) (term.Term, error) { return tx.walk(qFirst, table, nil) }

// Last gives the last key, or EndOfTable.
func (tx *Tx) Last(table string) (term.Term, error) { return tx.walk(qLast, table, nil) }

// Next gives the key after key, which need not be there in an ordered_set.
func (tx *Tx) Next(table string, key term.Term) (term.Term, error) {
	return tx.walk(qNext, table, key)
}

// Prev gives the key before key.
func (tx *Tx) Prev(table string, key term.Term) (term.Term, error) {
	return tx.walk(qPrev, table, key)
}

func (tx *Tx) walk(kind queryKind, table string, key term.Term) (term.Term, error) {
	v, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	if table == "schema" {
		return nil, abort("bad_type", term.Atom(table))
	}
	q := query{kind: kind, tab: table, arg: key}
	if !tx.IsTransaction() {
		return firstOf(tx.dirtyAsk(v, q))
	}
	if err := tx.tableLock(table, ReadLock); err != nil {
		return nil, err
	}
	t := tx.table(table)
	if t == nil {
		return nil, abort("no_exists", term.Atom(table))
	}
	if len(tx.ws.of(table)) == 0 {
		return firstOf(tx.rows(q))
	}
	w := walker{tx: tx, t: t, back: kind == qLast || kind == qPrev}
	if t.Type == "ordered_set" {
		return w.ordered(q)
	}
	return w.unordered(q)
}

func firstOf(a answer, err error) (term.Term, error) {
	if err != nil {
		return nil, err
	}
	return a.terms[0], nil
}

// walker goes through the keys of a table as a transaction sees them that has written to it.
type walker struct {
	tx   *Tx
	t    *tab
	back bool
}

// alive gives whether a key has rows, and whether the table itself has some.
func (w *walker) alive(key term.Term) (sees, has bool, err error) {
	rows, err := w.tx.s.readRows(w.tx.ctx(), w.t, key)
	return len(w.tx.own(w.t.Name, key, rows)) > 0, len(rows) > 0, err
}

// base asks the table itself, from a key or from an end, until it gives a key that the transaction sees.
func (w *walker) base(q query) (term.Term, error) {
	for {
		k, err := firstOf(w.tx.rows(q))
		if err != nil || k == EndOfTable {
			return k, err
		}
		sees, _, err := w.alive(k)
		if err != nil || sees {
			return k, err
		}
		q.kind, q.arg = qNext, k
		if w.back {
			q.kind = qPrev
		}
	}
}

// ordered takes the nearer of the table's next key and the next key written.
func (w *walker) ordered(q query) (term.Term, error) {
	best, err := w.base(q)
	if err != nil {
		return nil, err
	}
	for _, e := range w.tx.ws.of(w.t.Name) {
		if q.arg != nil && w.compare(e.key, q.arg) <= 0 {
			continue
		}
		if best != EndOfTable && w.compare(e.key, best) >= 0 {
			continue
		}
		sees, _, err := w.alive(e.key)
		if err != nil {
			return nil, err
		}
		if sees {
			best = e.key
		}
	}
	return best, nil
}

func (w *walker) compare(a, b term.Term) int {
	if w.back {
		a, b = b, a
	}
	return term.Compare(a, b)
}

// unordered goes through the table's keys and then through the new ones.
func (w *walker) unordered(q query) (term.Term, error) {
	wrote := w.tx.ws.of(w.t.Name)
	at := 0
	inTable := true
	if q.arg != nil {
		sees, has, err := w.alive(q.arg)
		if err != nil {
			return nil, err
		}
		if inTable = has; !has {
			at = slices.IndexFunc(wrote, func(e *wsKey) bool { return term.Equal(e.key, q.arg) }) + 1
			if !sees && (at == 0 || wrote[at-1].gone()) {
				return nil, abort("badarg", q.args())
			}
		}
	}
	if inTable {
		if k, err := w.base(q); err != nil || k != EndOfTable {
			return k, err
		}
	}
	for _, e := range wrote[at:] {
		sees, has, err := w.alive(e.key)
		if err != nil {
			return nil, err
		}
		if sees && !has {
			return e.key, nil
		}
	}
	return EndOfTable, nil
}
