package mnesia

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// Op is one operation that stands inside transaction, activity, dirty and tx_op: a list of its name and its
// arguments, as in the conformance format.
type Op struct {
	Name   string
	Params []string // a "?" at the end marks what may be left out
	Doc    string
	dirty  bool // works outside an activity, too
	run    func(c call) (json.RawMessage, error)
}

// call is one operation being performed.
type call struct {
	env
	name  *Op // what it is
	args  []term.Term
	depth int
}

// Ops lists the operations, in the order of the help.
func Ops() []Op { return slices.Concat(txOps, dirtyOps, controlOps()) }

// opNamed finds an operation.
func opNamed(name term.Atom) *Op {
	in := func(list []Op) *Op {
		for i := range list {
			if list[i].Name == string(name) {
				return &list[i]
			}
		}
		return nil
	}
	return cmp.Or(in(txOps), in(dirtyOps), in(controlOps()))
}

// op performs one operation and gives its answer in the conformance format.
func (e env) op(t term.Term, depth int) (json.RawMessage, error) {
	l, ok := t.(term.List)
	if !ok || len(l) == 0 {
		return nil, badOp("an operation is a list of its name and its arguments")
	}
	name, _ := l[0].(term.Atom)
	o := opNamed(name)
	if o == nil {
		return nil, &store.Error{Class: store.Failed, Reason: term.T(term.Atom("unknown_op"), l[0])}
	}
	least := 0
	for _, p := range o.Params {
		if p[len(p)-1] != '?' {
			least++
		}
	}
	if n := len(l) - 1; n < least || n > len(o.Params) {
		return nil, &store.Error{Class: store.Failed, Reason: term.T(term.Atom("badarity"), l[0], term.Int(len(l)-1))}
	}
	if e.tx == nil && !o.dirty {
		return nil, &store.Error{Class: store.Aborted, Exit: true, Reason: term.Atom("no_transaction")}
	}
	return o.run(call{env: e, name: o, args: l[1:], depth: depth})
}

func badOp(text string) error {
	return &store.Error{Class: store.Failed, Reason: term.T(term.Atom("badarg"), term.Str(text))}
}

// table gives a table's name. Anything but an atom names no table.
func (c call) table() (string, error) {
	if a, ok := c.args[0].(term.Atom); ok {
		return string(a), nil
	}
	why := term.T(term.Atom("bad_type"), c.args[0])
	if len(c.name.Params) > 1 {
		switch c.name.Params[1] {
		case "record", "pattern", "spec":
			why = append(why, c.args[1])
			if c.name.Name == "write" {
				lock := append(c.lock(2), store.WriteLock)[0]
				why = append(why, term.Atom(lock))
			}
		case "item":
			why[0], why = term.Atom("no_exists"), append(why, c.args[1])
		}
	}
	return "", &store.Error{Class: store.Aborted, Exit: c.tx == nil, Reason: why}
}

// lock gives the lock named by argument i, if there is one.
func (c call) lock(i int) []store.Lock {
	if i >= len(c.args) {
		return nil
	}
	if a, ok := c.args[i].(term.Atom); ok {
		return []store.Lock{store.Lock(a)}
	}
	return []store.Lock{store.Lock(term.String(c.args[i]))}
}

var okJSON = json.RawMessage(`"ok"`)

func done(err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	return okJSON, nil
}

func one(t term.Term, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	return js(t), nil
}

// rows answers records of a table: sorted, unless the table itself has an order.
func (e env) rows(table string, rows []term.Tuple, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	return e.terms(table, asTerms(rows), nil)
}

func (e env) terms(table string, ts []term.Term, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	if !e.f.ordered(table) {
		ts = sorted(ts)
	}
	return js(term.List(ts)), nil
}

// ordered reports whether a table gives its rows in the order of their keys.
func (f *Face) ordered(table string) bool {
	typ, _, _ := f.store.TableType(table)
	return typ == "ordered_set"
}

func asTerms(rows []term.Tuple) []term.Term {
	ts := make([]term.Term, len(rows))
	for i, r := range rows {
		ts[i] = r
	}
	return ts
}

// sorted sorts by Erlang's order; numbers that compare equal stand in the order integer, float.
func sorted(ts []term.Term) []term.Term {
	ts = slices.Clone(ts)
	slices.SortStableFunc(ts, func(a, b term.Term) int {
		if c := term.Compare(a, b); c != 0 || term.Equal(a, b) {
			return c
		}
		return slices.Compare(term.Append(nil, a), term.Append(nil, b))
	})
	return ts
}

// controlOps steer the activity itself. They lead back to all operations, so the list is made when it is needed.
func controlOps() []Op {
	return []Op{
		{Name: "abort", Params: []string{"reason"}, dirty: true, Doc: "Aborts the activity.",
			run: func(c call) (json.RawMessage, error) {
				why := c.args[0]
				if t, ok := why.(term.Tuple); ok && len(t) == 2 && t[0] == term.Term(term.Atom("aborted")) {
					why = t[1] // mnesia:abort/1 says it once only
				}
				return nil, store.Abort(why)
			}},
		{Name: "raise", Params: []string{"class", "reason"}, dirty: true, Doc: "Raises an exception of class error, exit or throw.", run: raise},
		{Name: "try", Params: []string{"op"}, dirty: true, Doc: "Performs an operation and catches whatever it raises.", run: try},
		{Name: "sleep", Params: []string{"ms"}, dirty: true, Doc: "Waits.", run: sleep},
		{Name: "is_transaction", dirty: true, Doc: "Whether this is a transaction.",
			run: func(c call) (json.RawMessage, error) {
				return js(term.Bool(c.tx != nil && c.tx.IsTransaction())), nil
			}},
		{Name: "transaction", Params: []string{"ops"}, dirty: true, Doc: "Performs operations in a (nested) transaction.",
			run: func(c call) (json.RawMessage, error) { return c.nest(store.Transaction, c.args[0]) }},
		{Name: "activity", Params: []string{"kind", "ops"}, dirty: true, Doc: "Performs operations in a (nested) activity.",
			run: func(c call) (json.RawMessage, error) {
				kind, opts, ok := kindAndRetries(c.args[0])
				if !ok {
					return jsOutcome(Outcome(badType(c.args[0]))), nil
				}
				return c.nest(kind, c.args[1], opts)
			}},
		{Name: "api", Params: []string{"step"}, dirty: true, Doc: "Calls a function that is no operation, inside the activity.", run: api},
		{Name: "table_info", Params: []string{"table", "item"}, dirty: true, Doc: "Answers a question about a table.",
			run: func(c call) (json.RawMessage, error) {
				t, err := c.table()
				if err != nil {
					return nil, err
				}
				return one(c.f.store.TableInfo(t, c.args[1]))
			}},
	}
}

func (c call) nest(kind store.Kind, ops term.Term, opts ...store.TxOptions) (json.RawMessage, error) {
	list, ok := listOf(ops)
	if !ok {
		return nil, badOp("the operations of an activity are a list")
	}
	out, err := c.activity(kind, list, c.depth+1, opts...)
	if err != nil {
		return nil, err
	}
	return jsOutcome(out), nil
}

func raise(c call) (json.RawMessage, error) {
	e := &store.Error{Reason: c.args[1]}
	switch c.args[0] {
	case term.Atom("error"):
		e.Class = store.Errored
	case term.Atom("exit"):
		e.Class = store.Raised
		if t, ok := e.Reason.(term.Tuple); ok && len(t) == 2 && term.Equal(t[0], term.Atom("aborted")) {
			return nil, store.Abort(t[1])
		}
	case term.Atom("throw"):
		e.Class = store.Threw
	default:
		return nil, badOp("an exception is of class error, exit or throw")
	}
	return nil, e
}

func try(c call) (json.RawMessage, error) {
	if c.depth >= maxNest {
		return nil, badOp("operations are nested too deep")
	}
	v, err := c.op(c.args[0], c.depth+1)
	if errors.Is(err, store.ErrRestart) {
		return nil, err
	}
	if err == nil {
		return append(append(json.RawMessage(`{"ok":`), v...), '}'), nil
	}
	var e *store.Error
	if errors.As(err, &e) && e.Class == store.Aborted {
		raised := *e
		raised.Exit = true
		err = &raised
	}
	return jsOutcome(Outcome(err)), nil
}

// maxSleep bounds the operation sleep.
const maxSleep = time.Minute

func sleep(c call) (json.RawMessage, error) {
	ms, ok := c.args[0].(term.Int)
	if !ok || ms < 0 || time.Duration(ms) > maxSleep/time.Millisecond {
		return nil, badOp("sleep takes milliseconds, at most a minute")
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return okJSON, nil
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
}
