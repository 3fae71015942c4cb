// Package kit holds the vocabulary that the whole project shares: node names, the error that
// crosses package borders, and limits. It imports nothing of ours; every other package may import it.
package kit

import (
	"errors"
	"fmt"
)

// NodeName names a node inside one lab: a lower-case letter followed by lower-case letters, digits,
// '-' or '_', at most MaxNodeName bytes ("a", "b", "oam-1").
type NodeName string

// MaxNodeName is the longest node name in bytes; door sockets put it into a file name.
const MaxNodeName = 32

// Valid reports whether n may name a node.
func (n NodeName) Valid() bool {
	if len(n) == 0 || len(n) > MaxNodeName || n[0] < 'a' || n[0] > 'z' {
		return false
	}
	for _, c := range []byte(n) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Kind says what sort of failure an Error is, so that callers can branch on it.
type Kind int

// The kinds. Definite tells which of them prove that nothing happened.
const (
	Unknown     Kind = iota // the outcome is not known: it may have happened
	Invalid                 // the request itself is wrong
	NotFound                // what was named does not exist
	Exists                  // what was to be made is there already
	Refused                 // a rule forbids it (wrong cookie, foreign origin, read-only)
	Unavailable             // nobody who could do it can be reached now; nothing happened
	Overloaded              // a stated limit was reached; nothing happened
	Corrupt                 // stored or received bytes are not what was written
	Broken                  // our own machinery failed
)

var kindNames = [...]string{"unknown", "invalid", "not found", "exists", "refused", "unavailable", "overloaded", "corrupt", "broken"}

// String gives the kind's name in lower case.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// Definite reports whether an error of this kind proves that the operation did not happen.
// When in doubt it says no, because a history must never record a false "failed".
func (k Kind) Definite() bool {
	switch k {
	case Invalid, NotFound, Exists, Refused, Unavailable, Overloaded:
		return true
	}
	return false
}

// Error is the one error type that crosses package borders. Op is what was tried ("load table"),
// What the thing it was tried on ("account"), Err the cause, Hint what the reader can do about it.
// Only the command line and web pages show hints.
type Error struct {
	Op   string
	Kind Kind
	What string
	Hint string
	Err  error
}

// Error gives "op what: cause", without a capital or a full stop and without the hint.
func (e *Error) Error() string {
	s := e.Op
	if e.What != "" {
		if s != "" {
			s += " "
		}
		s += e.What
	}
	switch {
	case e.Err != nil && s != "":
		return fmt.Sprintf("%s: %v", s, e.Err)
	case e.Err != nil:
		return e.Err.Error()
	}
	return s + ": " + e.Kind.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf finds the kind of the outermost *Error in err's chain; Unknown when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Unknown
}

// HintOf finds the first hint in err's chain; empty when there is none.
func HintOf(err error) string {
	var e *Error
	for err != nil && errors.As(err, &e) {
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
