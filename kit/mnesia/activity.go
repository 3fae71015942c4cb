package mnesia

import (
	"context"
	"encoding/json"
	"errors"

	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// env is where an operation runs: inside tx, or outside any activity when tx is nil.
type env struct {
	f   *Face
	ctx context.Context
	tx  *store.Tx
}

// maxNest bounds activities inside activities in one request.
const maxNest = 32

// activity runs operations in an activity of a kind, as mnesia:activity/2 does, and gives what it answers. A
// restart of an enclosing transaction is the only error.
func (e env) activity(kind store.Kind, ops term.List, depth int, opts ...store.TxOptions) (door.Outcome, error) {
	if depth > maxNest {
		return door.ErrorWith("system_limit", term.Atom("nested_activities")), nil
	}
	var done []json.RawMessage
	body := func(tx *store.Tx) error {
		done = nil
		in := env{f: e.f, ctx: e.ctx, tx: tx}
		for _, op := range ops {
			v, err := in.op(op, depth)
			if err != nil {
				return err
			}
			done = append(done, v)
		}
		return nil
	}
	nested := e.tx != nil && e.tx.IsTransaction()
	var err error
	if nested {
		err = e.tx.Nested(body)
	} else {
		err = e.f.store.Activity(e.ctx, kind, body, opts...)
	}
	if err == nil {
		return door.OKJSON(jsList(done)), nil
	}
	if errors.Is(err, store.ErrRestart) && nested {
		return door.Outcome{}, err
	}
	var out door.Outcome
	switch {
	case kind <= store.SyncTransaction:
		out = Outcome(asAborted(err))
	case nested:
		out = Outcome(asExitOf(asAborted(err)))
	default:
		out = Outcome(asDirtyFailure(err))
	}
	if len(done) > 0 {
		out.Results = jsList(done)
	}
	return out, nil
}

// asAborted is what mnesia:transaction/1 answers when its function failed: {aborted, Reason}, whatever the failure was.
// (mnesia_tm:execute_transaction/5 and its helpers.)
func asAborted(err error) error {
	var e *store.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.Exit = false
	switch e.Class {
	case store.Raised:
		if t, ok := e.Reason.(term.Tuple); ok && len(t) == 2 && term.Equal(t[0], term.Atom("aborted")) {
			c.Reason = t[1]
		}
	case store.Errored:
		c.Crash = true
	case store.Threw:
		c.Reason = term.T(term.Atom("throw"), e.Reason)
	case store.Aborted:
	default:
		return err
	}
	c.Class = store.Aborted
	return &c
}

// asExitOf is how a dirty activity inside a transaction, which is a nested transaction, hands its abort on: it exits
// with the bare reason.
func asExitOf(err error) error {
	var e *store.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.Class = store.Raised
	return &c
}

// asDirtyFailure is what a dirty activity of its own raises: aborts and exits as they are, an error as an exit with
// the stack.
func asDirtyFailure(err error) error {
	var e *store.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	switch e.Class {
	case store.Aborted:
		c.Exit = true
	case store.Errored:
		c.Class, c.Crash = store.Raised, true
	}
	return &c
}

// listOf reads an argument that must be a list of operations.
func listOf(t term.Term) (term.List, bool) {
	l, ok := t.(term.List)
	return l, ok && len(l) <= maxOps
}

// maxOps bounds the operations of one request.
const maxOps = 100_000

func (f *Face) transaction(ctx context.Context, req door.Request) door.Outcome {
	opts, err := txOptionsOf(req, 1)
	if err != nil {
		return Outcome(err)
	}
	return f.run(ctx, store.Transaction, req.Args[0], opts)
}

func (f *Face) activityVerb(ctx context.Context, req door.Request) door.Outcome {
	kind, opts, ok := kindAndRetries(req.Args[0])
	if !ok {
		return Outcome(&store.Error{Class: store.Aborted, Exit: true, Reason: term.T(term.Atom("bad_type"), req.Args[0])})
	}
	return f.run(ctx, kind, req.Args[1], opts)
}

// kindAndRetries reads the kind of an activity: an atom, or {transaction, Retries} and {sync_transaction, Retries} as
// mnesia:activity/2 takes them.
func kindAndRetries(t term.Term) (store.Kind, store.TxOptions, bool) {
	pair, isPair := t.(term.Tuple)
	if !isPair || len(pair) != 2 {
		kind, ok := kindOf(t)
		return kind, store.TxOptions{}, ok
	}
	kind, ok := kindOf(pair[0])
	opts, err := retriesIn(pair[1])
	return kind, opts, ok && err == nil && kind <= store.SyncTransaction
}

func (f *Face) run(ctx context.Context, kind store.Kind, ops term.Term, opts store.TxOptions) door.Outcome {
	list, ok := listOf(ops)
	if !ok {
		return door.ErrorWith("badarg", term.Atom("ops"))
	}
	out, err := env{f: f, ctx: ctx}.activity(kind, list, 0, opts)
	if err != nil {
		return Outcome(err)
	}
	return out
}

func kindOf(t term.Term) (store.Kind, bool) {
	a, _ := t.(term.Atom)
	return store.KindNamed(string(a))
}

// txOptionsOf reads how often a transaction may run, and whether its commit waits for the discs. Absent arguments and the
// atom infinity are no limit.
func txOptionsOf(req door.Request, i int) (store.TxOptions, error) {
	opts := store.TxOptions{Retries: store.Infinity}
	var err error
	if len(req.Args) > i {
		opts, err = retriesIn(req.Args[i])
	}
	opts.Durable = len(req.Args) > i+1 && term.Equal(req.Args[i+1], term.Atom("true"))
	return opts, err
}

func retriesIn(t term.Term) (store.TxOptions, error) {
	if term.Equal(t, term.Atom("infinity")) {
		return store.TxOptions{Retries: store.Infinity}, nil
	}
	n, ok := t.(term.Int)
	if !ok || n < 0 {
		return store.TxOptions{}, &store.Error{Class: store.Aborted,
			Reason: term.T(term.Atom("badarg"), term.Opaque{Sort: "fun"}, term.List{}, t, term.Atom("mnesia"))}
	}
	return store.TxOptions{Retries: max(1, int(n))}, nil // it runs once in any case
}
