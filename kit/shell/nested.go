package shell

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"netsplit/kit/term"
)

// The operations that open and close a transaction inside another: the lambda of the inner one runs here too, so
// it cannot be sent as one operation with its contents.
const (
	opNestBegin  = "nest_begin"
	opNestCommit = "nest_commit"
	opNestAbort  = "nest_abort"
)

// nested is tx.transaction(lambda tx: ...).
func (t *Tx) nested(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fn starlark.Callable
	if err := starlark.UnpackArgs(name, args, kwargs, "function", &fn); err != nil {
		return nil, err
	}
	if t.manual {
		return nil, fmt.Errorf("%s: a transaction stepped by hand has no inner ones", name)
	}
	return t.runNested(r, fn)
}

// runNested runs the lambda as a transaction inside t: its changes are undone alone when it aborts, and
// become real only when the outermost commits. A restart unwinds to the outermost.
func (t *Tx) runNested(r *run, fn starlark.Callable) (starlark.Value, error) {
	if _, err := t.send(r, &verb{name: "transaction"}, "", term.List{term.Atom(opNestBegin)}); err != nil {
		return nil, err
	}
	inner := &Tx{node: t.node, name: t.name, kind: "transaction", client: t.client, parent: t, own: t.own, open: true}
	v, err := inner.callLambda(r, fn)
	open := inner.open
	inner.open = false
	var again *errRestart
	switch {
	case errors.As(err, &again), err != nil && !open, r.ctx.Err() != nil:
		return nil, err // the outermost deals with it
	case err != nil:
		if _, undo := t.send(r, &verb{name: "transaction"}, "", term.List{term.Atom(opNestAbort)}); undo != nil {
			return nil, undo
		}
		return nil, err
	}
	if _, err := t.send(r, &verb{name: "transaction"}, "", term.List{term.Atom(opNestCommit)}); err != nil {
		return nil, err
	}
	return v, nil
}
