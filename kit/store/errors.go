package store

import (
	"errors"
	"fmt"

	"netsplit/kit"
	"netsplit/kit/term"
)

// ErrRestart is answered by an operation of a client-driven transaction that has lost its locks to an older
// one. By the time it is returned the transaction may run again: the caller performs all its operations again
// from the first, on the same Tx. Store.Transaction does that by itself.
var ErrRestart = errors.New("transaction restarted")

// Class says in which of Erlang's ways a failure was answered.
type Class uint8

// The classes of failure.
const (
	Aborted  Class = iota // {aborted, Reason}
	Failed                // {error, Reason}
	Raised                // an exception of class exit whose reason is no abort
	Threw                 // an exception of class throw
	Errored               // an exception of class error
	TimedOut              // {timeout, Tables}: Reason is the list of tables
)

// Error is a refusal or failure in Mnesia's terms. Reason is the term that Mnesia gives; prose in it is a list
// of character codes, as in Erlang. errors.As finds it; kit.KindOf tells what sort of failure it is and whether
// it proves that nothing happened.
type Error struct {
	Class  Class
	Reason term.Term
	Exit   bool         // an abort that is raised, not returned: dirty functions, functions called outside an activity
	Crash  bool         // Mnesia's reason carries a stack trace
	At     kit.NodeName // the node that Mnesia names as the origin of an {error, _}; may be empty
	kind   kit.Kind
	hint   string
}

// Error gives the reason as Erlang's shell prints it.
func (e *Error) Error() string {
	s := term.String(e.Reason)
	switch e.Class {
	case Aborted:
		return "aborted: " + s
	case TimedOut:
		return "timeout: " + s
	case Failed:
		return "error: " + s
	}
	return "raised: " + s
}

// WithHint gives the same failure with a sentence that says what can be done.
func (e *Error) WithHint(hint string) *Error {
	c := *e
	c.hint = hint
	return &c
}

// Unwrap gives the kind, so that kit.KindOf and kit.HintOf work on store errors.
func (e *Error) Unwrap() error {
	k := e.kind
	if k == kit.Unknown && e.Class != TimedOut {
		k = kindOfReason(e.Reason)
	}
	return &kit.Error{Kind: k, Hint: e.hint, Err: errors.New(k.String())}
}

// Definite reports whether the error proves that nothing happened. A transaction that was aborted has done
// nothing; only one whose decision is not known has an error that is not definite.
func (e *Error) Definite() bool {
	if e.Class == Aborted && e.kind == kit.Unknown {
		return true
	}
	return e.kind.Definite()
}

// kindOfReason maps Mnesia's commonest reasons to kit's kinds.
func kindOfReason(r term.Term) kit.Kind {
	head := r
	if t, ok := r.(term.Tuple); ok && len(t) > 0 {
		head = t[0]
	}
	a, _ := head.(term.Atom)
	switch a {
	case "no_exists":
		return kit.NotFound
	case "already_exists":
		return kit.Exists
	case "node_not_running", "not_active", "no_majority", "mnesia_down":
		return kit.Unavailable
	case "system_limit", "nomore":
		return kit.Overloaded
	}
	return kit.Invalid
}

// abort makes {aborted, Kind} or {aborted, {Kind, Args...}}.
func abort(kind string, args ...term.Term) *Error {
	return &Error{Class: Aborted, Reason: reason(kind, args...)}
}

// exit makes an abort that is raised.
func exit(kind string, args ...term.Term) *Error {
	e := abort(kind, args...)
	e.Exit = true
	return e
}

// failed makes {error, Kind} or {error, {Kind, Args...}}.
func failed(kind string, args ...term.Term) *Error {
	return &Error{Class: Failed, Reason: reason(kind, args...)}
}

// crashed makes an abort whose reason is an exception with its stack.
func crashed(kind string, args ...term.Term) *Error {
	e := abort(kind, args...)
	e.Crash = true
	return e
}

// prose makes an abort whose reason is a tuple that starts with English.
func prose(class Class, text string, args ...term.Term) *Error {
	return &Error{Class: class, Reason: append(term.Tuple{term.Str(text)}, args...)}
}

func reason(kind string, args ...term.Term) term.Term {
	if len(args) == 0 {
		return term.Atom(kind)
	}
	return append(term.Tuple{term.Atom(kind)}, args...)
}

// asExit gives the same abort as raised.
func asExit(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Class == Aborted && !e.Exit {
		c := *e
		c.Exit = true
		return &c
	}
	return err
}

// Abort makes the error that a transaction's function returns to abort with a reason of its own, as
// mnesia:abort/1 does. Use it for business rules: store.Abort(term.Atom("not_enough_money")).
func Abort(why term.Term) error { return &Error{Class: Aborted, Reason: why, Exit: true} }

// Reason gives the reason term of an aborted activity, and whether err is one.
func Reason(err error) (term.Term, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason, true
	}
	return nil, false
}

func node(n kit.NodeName) term.Atom { return term.Atom(n) }

func broken(op string, format string, args ...any) error {
	return &kit.Error{Op: op, Kind: kit.Broken, Err: fmt.Errorf(format, args...)}
}
