package store

import (
	"context"

	"netsplit/kit"
	"netsplit/kit/store/match"
	"netsplit/kit/term"
)

// queryKind is a question to one copy of a table.
type queryKind uint8

const (
	qRead queryKind = iota + 1
	qMatch
	qSelect
	qKeys
	qAll
	qFirst
	qLast
	qNext
	qPrev
	qIndex
)

// query is a question to one copy of a table, which may be on another node. arg is the key, pattern,
// specification or indexed value.
type query struct {
	kind queryKind
	tab  string
	pos  int
	arg  term.Term
}

// answer is rows, or terms where the question is not for rows.
type answer struct {
	rows  []term.Tuple
	terms []term.Term
}

// args gives the arguments as Mnesia lists them in {no_exists, [Tab | Args]} and {badarg, [Tab | Args]}.
func (q query) args() term.List {
	l := term.L(term.Atom(q.tab))
	switch q.kind {
	case qFirst, qLast, qAll:
		return l
	case qKeys:
		return append(l, q.arg)
	case qIndex:
		return append(l, q.arg, term.Int(q.pos))
	}
	return append(l, q.arg)
}

// ask answers a query from the copy that the table is read from. A query that no copy can answer is {no_exists,
// [Tab | Args]}, as mnesia:dirty_rpc/4.
func (s *Store) ask(ctx context.Context, t *tab, q query) (answer, error) {
	for range maxAttempts {
		if t == nil || t.read == "" {
			break
		}
		if t.read == s.self {
			if t.data == nil {
				break
			}
			return t.data.answer(q)
		}
		a, down, err := s.askThere(ctx, t.read, q)
		if err != nil || !down {
			return a, err
		}
		was := t.read
		if t = s.table(q.tab); t != nil && t.read == was {
			break // it is there but not ready, or our picture of it is old
		}
	}
	return answer{}, abort("no_exists", q.args())
}

// readRows reads a key where the table is read.
func (s *Store) readRows(ctx context.Context, t *tab, key term.Term) ([]term.Tuple, error) {
	if t.read == s.self && t.data != nil {
		return t.data.get(key), nil
	}
	a, err := s.ask(ctx, t, query{kind: qRead, tab: t.Name, arg: key})
	return a.rows, err
}

func (s *Store) askThere(ctx context.Context, n kit.NodeName, q query) (answer, bool, error) {
	arg := q.arg
	if arg == nil {
		arg = term.List{}
	}
	r := s.callDown(ctx, n, "query", term.T(term.Int(q.kind), term.Atom(q.tab), term.Int(q.pos), term.L(arg)))
	if r.down || r.err != nil {
		return answer{}, r.down, r.err
	}
	t, ok := r.value.(term.Tuple)
	if !ok || len(t) != 2 {
		return answer{}, true, nil // not ready there
	}
	rows, ok1 := t[0].(term.List)
	terms, ok2 := t[1].(term.List)
	if !ok1 || !ok2 {
		return answer{}, false, broken("read answer", "malformed rows from %s", n)
	}
	a := answer{terms: terms}
	for _, r := range rows {
		row, ok := r.(term.Tuple)
		if !ok || len(row) < 2 {
			return answer{}, false, broken("read answer", "malformed row from %s", n)
		}
		a.rows = append(a.rows, row)
	}
	return a, false, nil
}

// serveQuery answers another node's query from the own copy; the atom nowhere when there is none.
func serveQuery(s *Store, _ kit.NodeName, arg term.Term) (term.Term, error) {
	t, ok := arg.(term.Tuple)
	if !ok || len(t) != 4 {
		return nil, failed("badarg", arg)
	}
	kind, _ := t[0].(term.Int)
	name, _ := t[1].(term.Atom)
	pos, _ := t[2].(term.Int)
	box, _ := t[3].(term.List)
	if len(box) != 1 || kind < 0 || kind > 255 {
		return nil, failed("badarg", arg)
	}
	tb := s.table(string(name))
	if tb == nil || tb.data == nil || tb.read != s.self {
		return term.Atom("nowhere"), nil
	}
	a, err := tb.data.answer(query{kind: queryKind(kind), tab: string(name), pos: int(pos), arg: box[0]})
	if err != nil {
		return nil, err
	}
	rows := make(term.List, len(a.rows))
	for i, r := range a.rows {
		rows[i] = r
	}
	return term.T(rows, term.List(a.terms)), nil
}

// answer runs a query on the own copy.
func (t *data) answer(q query) (answer, error) {
	bad := func() error { return abort("badarg", q.args()) }
	edge := func(k term.Term, ok bool) (answer, error) {
		if !ok {
			k = EndOfTable
		}
		return answer{terms: []term.Term{k}}, nil
	}
	switch q.kind {
	case qRead:
		return answer{rows: t.get(q.arg)}, nil
	case qMatch:
		p, err := match.Compile(q.arg)
		if err != nil {
			return answer{}, bad()
		}
		return answer{rows: t.match(p)}, nil
	case qSelect:
		spec, err := match.CompileSpec(q.arg)
		if err != nil {
			return answer{}, bad()
		}
		return answer{terms: t.run(spec)}, nil
	case qKeys:
		return answer{terms: t.keysOf(q.arg)}, nil
	case qAll:
		return answer{rows: t.all()}, nil
	case qFirst, qLast:
		return edge(t.edge(q.kind == qLast))
	case qNext, qPrev:
		k, found, known := t.step(q.arg, q.kind == qPrev)
		if !known {
			return answer{}, bad()
		}
		return edge(k, found)
	case qIndex:
		rows, ok := t.indexed(q.pos, q.arg)
		if !ok {
			return answer{}, bad()
		}
		return answer{rows: rows}, nil
	}
	return answer{}, failed("badarg", term.Int(q.kind))
}

// runSpec runs a match specification over rows.
func runSpec(spec *match.Spec, rows []term.Tuple) []term.Term {
	var out []term.Term
	for _, r := range rows {
		if v, ok := spec.Run(r); ok {
			out = append(out, v)
		}
	}
	return out
}

// hasVar reports whether a term holds '_' or a variable like '$1', as mnesia:has_var/1.
func hasVar(t term.Term) bool {
	var elems []term.Term
	switch x := t.(type) {
	case term.Atom:
		if x == "_" {
			return true
		}
		if len(x) < 2 || x[0] != '$' {
			return false
		}
		for _, c := range x[1:] {
			if c < '0' || c > '9' {
				return false
			}
		}
		return true
	case term.Tuple:
		elems = x
	case term.List:
		elems = x
	case term.Map:
		for _, p := range x {
			if hasVar(p.Key) || hasVar(p.Value) {
				return true
			}
		}
	}
	for _, e := range elems {
		if hasVar(e) {
			return true
		}
	}
	return false
}
