package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"netsplit/kit/door"
	"netsplit/kit/term"
)

// Waiting times inside the shell.
const (
	leaveTimeout = 2 * time.Second // to tell a node that a transaction is given up
	blockStep    = time.Second     // how long one tx_wait waits before the shell looks round
)

// Tx is an open transaction. Its lambda runs here; each operation is a request to the node. When the node
// restarts it, a lambda runs again from its first line; a transaction stepped by hand has its operations
// performed again by the shell.
type Tx struct {
	node   *Node
	name   string
	kind   string
	client string
	parent *Tx // for a nested transaction
	manual bool
	open   bool
	own    *Tx // the outermost transaction, which the node knows by name

	// For stepping by hand: the operations so far and how many have been answered since the last restart.
	log      []loggedOp
	done     int
	asked    bool // the operation at done has been sent and is waiting
	restarts int
}

type loggedOp struct {
	v     *verb
	table string
	op    term.List
}

// errRestart makes the lambdas of a transaction unwind up to the outermost one.
type errRestart struct{ tx *Tx }

func (e *errRestart) Error() string {
	return "the transaction is restarted (do not catch this: let it pass)"
}

// String tells node, kind and state.
func (t *Tx) String() string {
	state := "open"
	if !t.open {
		state = "ended"
	}
	return fmt.Sprintf("<%s on %s, %s>", t.kind, t.node, state)
}

// Type is "tx".
func (t *Tx) Type() string { return "tx" }

// Freeze does nothing.
func (t *Tx) Freeze() {}

// Truth reports whether it is open.
func (t *Tx) Truth() starlark.Bool { return starlark.Bool(t.open) }

// Hash is not offered.
func (t *Tx) Hash() (uint32, error) { return 0, errors.New("a transaction has no hash") }

// txFunctions are what a transaction has besides the operations.
var txFunctions = []struct{ name, usage, doc string }{
	{"transaction", "lambda tx: ...", "A transaction inside this one: its abort undoes only its own changes."},
	{"try_transaction", "lambda tx: ...", "The same, but gives a result with .ok, so that the outer one can go on after an abort."},
	{"abort", "[reason]", "Gives the transaction up: nothing it did remains."},
	{"foldl", "function, start, table", "Folds the rows of a table: function(row, value) gives the next value."},
	{"table", "name", "The table's rows, for comprehensions, under a read lock."},
	{"table_info", "table, item", "As a.db.table_info, within the transaction."},
	{"commit", "", "Stepped by hand: ends the transaction and makes its changes real."},
	{"wait", "[timeout]", "Stepped by hand: waits for the answer of the operation that is blocked, so many milliseconds."},
	{"kill", "", "Stepped by hand: ends its process, as a crash would."},
	{"info", "", "Stepped by hand: whether it was restarted."},
}

// Attr finds an operation or a function of the transaction.
func (t *Tx) Attr(name string) (starlark.Value, error) {
	s := t.node.s
	switch name {
	case "transaction":
		return s.method(name, t.nested), nil
	case "try_transaction":
		return s.method(name, func(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			v, err := t.nested(r, name, args, kwargs)
			return r.attempted(v, err)
		}), nil
	case "abort":
		return s.method(name, t.abort), nil
	case "foldl":
		return s.method(name, t.inside(t.node.db.fold)), nil
	case "table":
		return s.method(name, t.node.db.tableValue), nil
	case "commit":
		return s.method(name, t.commit), nil
	case "wait":
		return s.method(name, t.wait), nil
	case "kill":
		return s.method(name, t.kill), nil
	case "info":
		return newFields("tx_info", "restarted", starlark.Bool(t.restarts > 0), "open", starlark.Bool(t.open)), nil
	}
	if v := t.operation(name); v != nil {
		return s.method(name, func(r *run, _ string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			return t.perform(r, v, args, kwargs)
		}), nil
	}
	return nil, starlark.NoSuchAttrError(fmt.Sprintf("a transaction has no function %s; help(\"tx\") lists them", name))
}

// operation finds what can be done in a transaction: its own operations, dirty ones, and table_info.
func (t *Tx) operation(name string) *verb {
	v := verbNamed(name)
	if v == nil || v.via == viaVerb && name != "table_info" {
		return nil
	}
	return v
}

// inside runs f with this transaction as the thread's.
func (t *Tx) inside(f builtin) builtin {
	return func(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		prev := r.tx
		r.tx = t
		defer func() { r.tx = prev }()
		return f(r, name, args, kwargs)
	}
}

// AttrNames lists operations and functions.
func (t *Tx) AttrNames() []string {
	var names []string
	for _, f := range txFunctions {
		names = append(names, f.name)
	}
	for i := range verbs {
		if verbs[i].via == viaTx {
			names = append(names, verbs[i].name)
		}
	}
	return names
}

// perform runs one operation in the transaction.
func (t *Tx) perform(r *run, v *verb, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	c := &callArgs{r: r, db: t.node.db, verb: v, args: args, kwargs: kwargs}
	if err := c.collect(); err != nil {
		return nil, err
	}
	return t.send(r, v, c.table, append(term.List{term.Atom(c.operation())}, c.out...))
}

// send performs an operation, waiting for its lock; stepped by hand it gives up the wait after a moment.
func (t *Tx) send(r *run, v *verb, table string, op term.List) (starlark.Value, error) {
	if !t.open {
		return nil, fmt.Errorf("%s: this transaction has ended", v.name)
	}
	if t.manual {
		if t.done < len(t.log) {
			return nil, fmt.Errorf("%s: the operation before is still blocked; tx.wait() waits for it", v.name)
		}
		t.log = append(t.log, loggedOp{v, table, op})
		return t.advance(r, 0)
	}
	if t.parent != nil {
		op = term.List{term.Atom("try"), op} // a failure must not end the outer transaction
	}
	out, err := t.request(r, "tx_op", op)
	for err == nil && out.Status == door.Blocked {
		out, err = t.request(r, "tx_wait", term.Int(blockStep.Milliseconds()))
	}
	if err != nil {
		return nil, err
	}
	if t.parent != nil && out.Status == door.OK {
		var inner door.Outcome
		if err := json.Unmarshal(out.Value, &inner); err != nil {
			return nil, fmt.Errorf("%s: the node's answer cannot be read: %w", v.name, err)
		}
		if inner.Status != door.OK {
			return nil, t.failure(v.name, inner)
		}
		out = inner
	}
	return t.outcome(r, v, table, out)
}

func (t *Tx) request(r *run, verb string, args ...term.Term) (door.Outcome, error) {
	req := door.Request{Client: t.client, Verb: verb, Args: append([]term.Term{term.Atom(t.name)}, args...)}
	return r.callAs(t.client, t.node.name, req)
}

// outcome turns the answer of an operation into a value; what ends the transaction closes it here too.
func (t *Tx) outcome(r *run, v *verb, table string, out door.Outcome) (starlark.Value, error) {
	switch out.Status {
	case door.OK:
		return t.node.db.show(r, v, table, out)
	case door.Restart:
		t.own.restarts++
		return nil, &errRestart{tx: t.own}
	case door.Ended:
		var inner door.Outcome
		if err := json.Unmarshal(out.Value, &inner); err == nil {
			out = inner
		}
	}
	t.end()
	return nil, t.failure(v.name, out)
}

func (t *Tx) failure(what string, out door.Outcome) error {
	return &outcomeError{out: out, s: t.node.s, node: t.node.String(), what: what}
}

func (t *Tx) end() {
	s := t.node.s
	for x := t; x != nil; x = x.parent {
		x.open = false
	}
	if t.own.manual && t.own.client != "" {
		s.free = append(s.free, t.own.client)
		t.own.client = ""
	}
}

// openTx asks the node for a new transaction.
func (d *DB) openTx(r *run, kind, client string, opts ...term.Term) (*Tx, error) {
	s := d.node.s
	s.txSeq++
	t := &Tx{node: d.node, kind: kind, client: client, name: fmt.Sprintf("tx%d", s.txSeq), open: true}
	t.own = t
	out, err := t.request(r, "tx_begin", append([]term.Term{term.Atom(kind)}, opts...)...)
	if err != nil {
		return nil, err
	}
	if out.Status != door.OK && out.Status != door.Started {
		return nil, t.failure(kind, out)
	}
	return t, nil
}

// activity is a.db.transaction(lambda tx: ...) and its kin.
func (d *DB) activity(r *run, kind string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fn starlark.Callable
	var retries starlark.Value = starlark.None
	var durable bool
	if err := starlark.UnpackArgs(kind, args, kwargs, "function", &fn, "retries?", &retries, "durable?", &durable); err != nil {
		return nil, fmt.Errorf("%w; usage: %s.%s(lambda tx: ...)", err, d, kind)
	}
	if r.tx != nil && r.tx.node == d.node && !r.tx.manual && kind == "transaction" {
		return r.tx.runNested(r, fn) // as in Mnesia, where the inner one sees the outer's process
	}
	opts, err := txOptions(retries, durable)
	if err != nil {
		return nil, err
	}
	t, err := d.openTx(r, kind, r.client, opts...)
	if err != nil {
		return nil, err
	}
	return t.runLambda(r, fn)
}

// txOptions gives the arguments of tx_begin after the kind; none when all is as usual.
func txOptions(retries starlark.Value, durable bool) ([]term.Term, error) {
	limit := term.Term(term.Atom("infinity"))
	switch s, isString := retries.(starlark.String); {
	case retries == starlark.None && !durable:
		return nil, nil
	case retries == starlark.None || isString && s == "infinity":
	default:
		if _, ok := retries.(starlark.Int); !ok {
			return nil, fmt.Errorf("retries is a number or \"infinity\", not %s", retries)
		}
		var err error
		if limit, err = toTerm(retries, asData); err != nil {
			return nil, err
		}
	}
	if durable {
		return []term.Term{limit, term.Atom("true")}, nil
	}
	return []term.Term{limit}, nil
}

func (d *DB) activityNamed(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) == 0 {
		return nil, errors.New("activity: name the kind, then give the lambda")
	}
	kind, err := tableName(args[0])
	if err != nil || !isActivity(kind) {
		return nil, fmt.Errorf("activity: %s is no kind of activity", args[0])
	}
	return d.activity(r, kind, args[1:], kwargs)
}

func (d *DB) tryTransaction(r *run, _ string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	v, err := d.activity(r, "transaction", args, kwargs)
	return r.attempted(v, err)
}

// runLambda runs the lambda until it commits or aborts.
func (t *Tx) runLambda(r *run, fn starlark.Callable) (starlark.Value, error) {
	for {
		v, err := t.callLambda(r, fn)
		var again *errRestart
		if errors.As(err, &again) && again.tx == t && t.open {
			if err := r.ctx.Err(); err != nil {
				t.giveUp()
				return nil, reasonOf(r.ctx)
			}
			continue
		}
		if err != nil {
			return nil, t.abandon(r, err)
		}
		if !t.open {
			return nil, errors.New("the transaction ended before its lambda did")
		}
		out, err := t.request(r, "tx_commit")
		switch {
		case err != nil:
			t.giveUp()
			return nil, err
		case out.Status == door.OK:
			t.end()
			return v, nil
		case out.Status == door.Restart:
			t.restarts++
			continue
		}
		t.end()
		return nil, t.failure(t.kind, unwrapEnded(out))
	}
}

func unwrapEnded(out door.Outcome) door.Outcome {
	var inner door.Outcome
	if out.Status == door.Ended && json.Unmarshal(out.Value, &inner) == nil {
		return inner
	}
	return out
}

func (t *Tx) callLambda(r *run, fn starlark.Callable) (starlark.Value, error) {
	prev := r.tx
	r.tx = t
	defer func() { r.tx = prev }()
	args := starlark.Tuple{t}
	if f, ok := fn.(*starlark.Function); ok && f.NumParams() == 0 {
		args = nil // lambda: a.db.read(...) knows its transaction by the thread, as in Mnesia
	}
	return starlark.Call(r.th, fn, args, nil)
}

// abandon ends the transaction after an error in its lambda: an abort that the node knows of already, fail(),
// a mistake in the script, or an interrupt.
func (t *Tx) abandon(r *run, err error) error {
	if !t.open {
		return err
	}
	var own *abortError
	switch {
	case r.ctx.Err() != nil:
		t.giveUp()
		return err
	case errors.As(err, &own):
		if _, sent := t.request(r, "tx_op", term.List{term.Atom("abort"), abortReason(own.reason)}); sent != nil {
			t.giveUp()
		}
	default:
		text := term.Bin(cutText(strings.TrimPrefix(err.Error(), "fail: "), 500))
		if _, sent := t.request(r, "tx_op", term.List{term.Atom("abort"), text}); sent != nil {
			t.giveUp()
		}
	}
	t.end()
	return err
}

func abortReason(v starlark.Value) term.Term {
	t, err := toTerm(v, asData)
	if err != nil {
		return term.Bin(v.String())
	}
	return t
}

// giveUp ends it even though the script is being interrupted.
func (t *Tx) giveUp() {
	s := t.node.s
	if !t.open {
		return
	}
	client, req := t.client, door.Request{Verb: "tx_kill", Args: []term.Term{term.Atom(t.name)}}
	t.end()
	running := s.running
	s.yield()
	defer s.turn(running)
	s.leave(client, t.node, req)
}

// abort is tx.abort(reason). In a lambda it unwinds it; stepped by hand it is an operation.
func (t *Tx) abort(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var reason starlark.Value = Atom("aborted")
	if err := starlark.UnpackArgs(name, args, kwargs, "reason?", &reason); err != nil {
		return nil, err
	}
	if !t.manual {
		text := reason.String()
		if s, ok := reason.(starlark.String); ok {
			text = string(s)
		}
		return nil, &abortError{reason: reason, text: text}
	}
	_, err := t.send(r, &verb{name: name}, "", term.List{term.Atom("abort"), abortReason(reason)})
	var oe *outcomeError
	if errors.As(err, &oe) && oe.out.Status == door.Aborted {
		return failedValue(err), nil
	}
	return starlark.None, err
}

// begin opens a transaction to be stepped by hand, with a client of its own so that it can wait for a lock while
// others go on.
func (d *DB) begin(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	kind := "transaction"
	var retries starlark.Value = starlark.None
	var durable bool
	if err := starlark.UnpackArgs(name, args, kwargs, "kind?", &kind, "retries?", &retries, "durable?", &durable); err != nil {
		return nil, err
	}
	if !isActivity(kind) {
		return nil, fmt.Errorf("begin: %q is no kind of activity", kind)
	}
	opts, err := txOptions(retries, durable)
	if err != nil {
		return nil, err
	}
	s := d.node.s
	client := fmt.Sprintf("%s.tx%d", s.opts.Client, s.txSeq+1)
	if n := len(s.free); n > 0 {
		client, s.free = s.free[n-1], s.free[:n-1]
	}
	t, err := d.openTx(r, kind, client, opts...)
	if err != nil {
		s.free = append(s.free, client)
		return nil, err
	}
	t.manual = true
	return t, nil
}

// advance performs the logged operations that have no answer yet, waiting at most the given time for a lock
// beyond what the node itself waits. The value is the last operation's, or blocked.
func (t *Tx) advance(r *run, patience time.Duration) (starlark.Value, error) {
	end := r.s.w.Now() + patience
	for {
		next := t.log[t.done]
		var out door.Outcome
		var err error
		if t.asked {
			left := max(end-r.s.w.Now(), 0)
			out, err = t.request(r, "tx_wait", term.Int(min(left, blockStep).Milliseconds()))
		} else {
			out, err = t.request(r, "tx_op", next.op)
		}
		if err != nil {
			return nil, err
		}
		switch out.Status {
		case door.Blocked:
			t.asked = true
			if r.s.w.Now() >= end {
				return blockedValue{t}, nil
			}
			continue
		case door.Restart:
			t.restarts++
			t.done, t.asked = 0, false
			continue
		}
		t.asked = false
		v, err := t.outcome(r, next.v, next.table, out)
		if err != nil {
			return nil, err
		}
		if t.done++; t.done == len(t.log) {
			return v, nil
		}
	}
}

func (t *Tx) byHand(name string) error {
	switch {
	case !t.manual:
		return fmt.Errorf("%s: a lambda's transaction commits when the lambda returns; %s is for those opened with begin()", name, name)
	case !t.open:
		return fmt.Errorf("%s: this transaction has ended", name)
	}
	return nil
}

func (t *Tx) wait(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	timeout := 5000
	if err := starlark.UnpackArgs(name, args, kwargs, "timeout?", &timeout); err != nil {
		return nil, err
	}
	if err := t.byHand(name); err != nil {
		return nil, err
	}
	if t.done == len(t.log) {
		return nil, errors.New("wait: no operation is blocked")
	}
	return t.advance(r, millis(timeout))
}

func (t *Tx) commit(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	if err := t.byHand(name); err != nil {
		return nil, err
	}
	for {
		if t.done < len(t.log) {
			v, err := t.advance(r, 0)
			if _, blocked := v.(blockedValue); err != nil || blocked {
				return v, err
			}
		}
		out, err := t.request(r, "tx_commit")
		switch {
		case err != nil:
			return nil, err
		case out.Status == door.Restart:
			t.restarts++
			t.done, t.asked = 0, false
			continue
		}
		t.end()
		if out.Status == door.OK {
			return Atom("ok"), nil
		}
		return nil, t.failure("commit", unwrapEnded(out))
	}
}

func (t *Tx) kill(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	if err := t.byHand(name); err != nil {
		return nil, err
	}
	_, err := t.request(r, "tx_kill")
	t.end()
	return Atom("ok"), err
}

// attempted makes a result of a value or an error. What ends the script, or restarts a transaction, passes.
func (r *run) attempted(v starlark.Value, err error) (starlark.Value, error) {
	if err == nil {
		return newFields("result", "ok", starlark.True, "value", v), nil
	}
	var again *errRestart
	if errors.As(err, &again) || r.ctx.Err() != nil || r.failed != nil || errors.Is(err, context.Canceled) ||
		strings.Contains(err.Error(), "Starlark computation cancelled") {
		return nil, err
	}
	return failedValue(err), nil
}

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }
