package mnesia

import (
	"encoding/json"
	"errors"
	"math/big"
	"slices"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// found answers records read by an index: always sorted.
func found(rows []term.Tuple, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	return js(term.List(sorted(asTerms(rows)))), nil
}

// recordName gives the name of a record, which is also that of its table.
func recordName(t term.Term) (string, bool) {
	r, ok := t.(term.Tuple)
	if !ok || len(r) < 3 {
		return "", false
	}
	a, ok := r[0].(term.Atom)
	return string(a), ok
}

func (c call) writeNamed(lock ...store.Lock) (json.RawMessage, error) {
	name, ok := recordName(c.args[0])
	if !ok {
		return nil, &store.Error{Class: store.Aborted, Reason: term.T(term.Atom("bad_type"), c.args[0])}
	}
	return done(c.tx.Write(name, c.args[0], lock...))
}

func (c call) dirtyFirst(t string) (term.Term, error) { return c.f.store.DirtyFirst(c.ctx, t) }
func (c call) dirtyLast(t string) (term.Term, error)  { return c.f.store.DirtyLast(c.ctx, t) }
func (c call) dirtyNext(t string, k term.Term) (term.Term, error) {
	return c.f.store.DirtyNext(c.ctx, t, k)
}
func (c call) dirtyPrev(t string, k term.Term) (term.Term, error) {
	return c.f.store.DirtyPrev(c.ctx, t, k)
}

// maxWalk bounds a walk over the keys: one key a step is for small tables.
const maxWalk = 100_000

func (c call) walk(table string, first func(string) (term.Term, error), next func(string, term.Term) (term.Term, error)) (json.RawMessage, error) {
	keys := []term.Term{}
	k, err := first(table)
	for err == nil && !term.Equal(k, store.EndOfTable) {
		if len(keys) == maxWalk {
			return nil, &store.Error{Class: store.Failed, Reason: term.T(term.Atom("system_limit"), term.Atom("walk"))}
		}
		keys = append(keys, k)
		k, err = next(table, k)
	}
	return c.terms(table, keys, err)
}

// fold collects, counts or adds up the records of a table.
func (c call) fold(table string, backwards bool) (json.RawMessage, error) {
	var rows []term.Term
	sum := new(big.Int)
	pos := 0
	switch fn := c.args[1].(type) {
	case term.Atom:
		if fn != "collect" && fn != "count" {
			return nil, badOp("a fold is collect, count or [sum, position]")
		}
	case term.List:
		p, ok := term.Term(nil), false
		if len(fn) == 2 && term.Equal(fn[0], term.Atom("sum")) {
			p, ok = fn[1], true
		}
		n, isInt := p.(term.Int)
		if !ok || !isInt || n < 1 || n > 1<<20 {
			return nil, badOp("a fold is collect, count or [sum, position]")
		}
		pos = int(n)
	default:
		return nil, badOp("a fold is collect, count or [sum, position]")
	}
	var bad error
	err := c.tx.Fold(table, backwards, func(r term.Tuple) bool {
		rows = append(rows, r)
		if pos == 0 {
			return true
		}
		if pos > len(r) {
			bad = &store.Error{Class: store.Errored, Reason: term.Atom("badarg")}
			return false
		}
		n, ok := term.BigInt(r[pos-1])
		if !ok {
			bad = &store.Error{Class: store.Errored, Reason: term.Atom("badarith")}
			return false
		}
		sum.Add(sum, n)
		return true
	})
	switch {
	case err != nil:
		return nil, err
	case bad != nil:
		return nil, bad
	case pos > 0:
		return js(term.Integer(sum)), nil
	case term.Equal(c.args[1], term.Atom("count")):
		return js(term.Int(len(rows))), nil
	}
	return c.terms(table, rows, nil)
}

// selectChunks answers as mnesia:select/4 and select/1 do until the end of the table: {"chunks": [[..], ..]} of an
// ordered_set, {"all": [..]} of a table without an order.
func (c call) selectChunks(table string) (json.RawMessage, error) {
	bad := func(kind string, args ...term.Term) error {
		return &store.Error{Class: store.Aborted, Reason: append(term.Tuple{term.Atom(kind)}, args...)}
	}
	spec, limit := c.args[1], c.args[2]
	n, isInt := limit.(term.Int)
	if l, isList := spec.(term.List); !isList || !isInt || table == "schema" {
		return nil, bad("badarg", term.Atom(table), spec, limit)
	} else if len(l) == 0 {
		n = 1 // it matches nothing
	}
	storage, err := c.f.store.TableInfo(table, term.Atom("storage_type"))
	if err != nil {
		return nil, bad("no_exists", term.T(term.Atom(table), term.Atom("disc_copies")))
	}
	where := bad("badarg", term.L(storage, term.Atom(table), spec, limit))
	if n < 1 {
		return nil, where
	}
	found, err := c.tx.SelectChunks(table, spec, int(min(n, maxChunk)), c.lock(3)...)
	var e *store.Error
	if errors.As(err, &e) && e.Class != store.Raised {
		if t, ok := e.Reason.(term.Tuple); ok && term.Equal(t[0], term.Atom("badarg")) {
			return nil, where
		}
	}
	if err != nil {
		return nil, err
	}
	if !c.f.ordered(table) {
		all := slices.Concat(found...)
		return append(append(json.RawMessage(`{"all":`), js(term.List(sorted(all)))...), '}'), nil
	}
	chunks := term.List{}
	for _, part := range found {
		chunks = append(chunks, term.List(part))
	}
	return append(append(json.RawMessage(`{"chunks":`), js(chunks)...), '}'), nil
}

// maxChunk bounds what is asked for at once.
const maxChunk = 1 << 30

// incr reads a record, adds to its third field and writes it back.
func (c call) incr(table string, lock store.Lock) (json.RawMessage, error) {
	rows, err := c.tx.Read(table, c.args[1], lock)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 || len(rows[0]) < 3 {
		return nil, &store.Error{Class: store.Errored, Crash: true, Reason: term.T(term.Atom("badmatch"), term.List(asTerms(rows)))}
	}
	old, ok1 := term.BigInt(rows[0][2])
	n, ok2 := term.BigInt(c.args[2])
	if !ok1 || !ok2 {
		return nil, &store.Error{Class: store.Errored, Crash: true, Reason: term.Atom("badarith")}
	}
	row := append(term.Tuple{}, rows[0]...)
	row[2] = term.Integer(new(big.Int).Add(old, n))
	if err := c.tx.Write(table, row); err != nil {
		return nil, err
	}
	return js(row[2]), nil
}

// lockItem takes {"table":t}, {"record":[t,k]} or {"global":[key,[nodes]]}, as maps or as Mnesia's tuples.
func lockItem(c call) (json.RawMessage, error) {
	kind := c.lock(1)[0]
	what, args := itemOf(c.args[0])
	switch {
	case what == "table" && len(args) == 1 && kind == "none":
		return js(term.List{}), nil // mnesia:lock_table/2 lets it pass
	case what == "table" && len(args) == 1:
		if kind == store.LoadLock {
			kind = store.WriteLock // mnesia:lock/2 takes it as one
		}
		if t, ok := args[0].(term.Atom); ok {
			ns, err := c.tx.LockTable(string(t), kind)
			if kind == store.ReadLock && c.tx.IsTransaction() {
				return done(err)
			}
			return one(nodeList(ns), err)
		}
	case what == "record" && len(args) == 2:
		if t, ok := args[0].(term.Atom); ok {
			return c.lockRecord(string(t), args[1], kind)
		}
	case what == "global" && len(args) == 2:
		if kind != store.ReadLock && kind != store.WriteLock {
			return nil, &store.Error{Class: store.Aborted, Reason: term.T(term.Atom("bad_type"), c.args[1])}
		}
		if ns, ok := nodesOf(args[1]); ok {
			locked, err := c.tx.LockGlobal(args[0], ns, kind)
			return one(nodeList(locked), err)
		}
	}
	return nil, &store.Error{Class: store.Aborted, Reason: term.T(term.Atom("bad_type"), c.args[0])}
}

// lockRecord answers as mnesia:lock/2: a read lock gives the records, a write lock the nodes.
func (c call) lockRecord(table string, key term.Term, kind store.Lock) (json.RawMessage, error) {
	if kind == store.ReadLock && c.tx.IsTransaction() {
		rows, err := c.tx.Read(table, key)
		return c.rows(table, rows, err)
	}
	ns, err := c.tx.LockRecord(table, key, kind)
	if err != nil || kind == store.StickyLock {
		return done(err)
	}
	return js(nodeList(ns)), nil
}

func itemOf(t term.Term) (string, []term.Term) {
	switch t := t.(type) {
	case term.Map:
		if len(t) == 1 {
			what, _ := t[0].Key.(term.Atom)
			if l, ok := t[0].Value.(term.List); ok {
				return string(what), l
			}
			return string(what), []term.Term{t[0].Value}
		}
	case term.Tuple:
		if len(t) > 1 {
			what, _ := t[0].(term.Atom)
			return string(what), t[1:]
		}
	}
	return "", nil
}

func nodeList(ns []kit.NodeName) term.List {
	l := term.List{}
	for _, n := range ns {
		l = append(l, term.Atom(n))
	}
	return l
}

// nodesOf reads a list of atoms as nodes. The names need not be those of known nodes.
func nodesOf(t term.Term) ([]kit.NodeName, bool) {
	l, ok := t.(term.List)
	if !ok {
		return nil, false
	}
	var ns []kit.NodeName
	for _, e := range l {
		a, ok := e.(term.Atom)
		if !ok {
			return nil, false
		}
		ns = append(ns, kit.NodeName(a))
	}
	return ns, true
}

// api calls a verb inside the activity. What would change the schema is refused in a transaction, as
// mnesia_schema:schema_transaction/1 does.
func api(c call) (json.RawMessage, error) {
	m, ok := c.args[0].(term.Map)
	if !ok {
		return nil, badOp("a step is an object with the key do")
	}
	args := map[string]term.Term{}
	for _, p := range m {
		k, _ := p.Key.(term.Atom)
		args[string(k)] = p.Value
	}
	name, _ := args["do"].(term.Atom)
	v := c.f.verbNamed(string(name))
	if v == nil {
		return nil, &store.Error{Class: store.Failed, Reason: term.T(term.Atom("unknown_verb"), args["do"])}
	}
	if v.schema && c.tx != nil && c.tx.IsTransaction() {
		return jsOutcome(Outcome(&store.Error{Class: store.Aborted, Exit: v.Name == "clear_table", Reason: term.Atom("nested_transaction")})), nil
	}
	req := door.Request{Verb: v.Name}
	for _, p := range v.Params {
		a, given := args[plain(p)]
		if !given {
			break
		}
		req.Args = append(req.Args, a)
	}
	return jsOutcome(v.Handler(c.ctx, req)), nil
}

// plain is a parameter's name without the mark that it may be left out.
func plain(p string) string {
	if p[len(p)-1] == '?' {
		return p[:len(p)-1]
	}
	return p
}
