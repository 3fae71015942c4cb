package shell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"netsplit/kit/door"
	"netsplit/kit/term"
)

// termKeys are the keys of the one-key objects that stand for a term in the conformance format.
var termKeys = []string{"s", "b64", "t", "m", "pid", "fun", "ref", "f", "i", "node", "str"}

// outcomeKeys are the statuses that an outcome inside a value can have.
var outcomeKeys = []string{"ok", "aborted", "error", "timeout", "raised", "badrpc", "lost", "restart", "ended", "started", "blocked", "pending"}

// maxAnswerDepth bounds the nesting of an answer's lists and objects outside its terms.
const maxAnswerDepth = 32

// decode makes a script value of an answer. Besides terms an answer can hold outcomes (of nested
// transactions) and objects with named fields (events).
func (v view) decode(raw json.RawMessage, depth int) (starlark.Value, error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case depth > maxAnswerDepth:
		return nil, errors.New("the node's answer is too deep")
	case len(raw) == 0:
		return starlark.None, nil
	case raw[0] == '[':
		if t, err := term.FromJSON(raw); err == nil {
			return v.value(t), nil
		}
		return v.decodeList(raw, depth)
	case raw[0] == '{':
		return v.decodeObject(raw, depth)
	}
	t, err := term.FromJSON(raw)
	if err != nil {
		return nil, err
	}
	return v.value(t), nil
}

func (v view) decodeList(raw json.RawMessage, depth int) (starlark.Value, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, err
	}
	out := make([]starlark.Value, len(items))
	for i, item := range items {
		x, err := v.decode(item, depth+1)
		if err != nil {
			return nil, err
		}
		out[i] = x
	}
	return starlark.NewList(out), nil
}

func (v view) decodeObject(raw json.RawMessage, depth int) (starlark.Value, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	if len(fields) == 1 {
		for key := range fields {
			if slices.Contains(termKeys, key) {
				t, err := term.FromJSON(raw)
				if err != nil {
					return nil, err
				}
				return v.value(t), nil
			}
		}
	}
	if slices.ContainsFunc(outcomeKeys, func(k string) bool { _, has := fields[k]; return has }) {
		var o door.Outcome
		if err := json.Unmarshal(raw, &o); err == nil {
			return v.outcome(o, depth+1), nil
		}
	}
	return v.decodeFields(fields, depth)
}

// decodeFields makes a struct: "event" or "message" first, the others by name. Atoms in it are names.
func (v view) decodeFields(fields map[string]json.RawMessage, depth int) (starlark.Value, error) {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if (a == "event") != (b == "event") {
			if a == "event" {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	f := newFields("struct")
	if _, isEvent := fields["event"]; isEvent {
		f.kind = "event"
	}
	for _, name := range names {
		inner := v
		inner.names = v.names || !slices.Contains([]string{"record", "old", "what", "key", "value", "message", "results"}, name)
		if f.kind == "event" && inner.names == v.names {
			inner.names = false // rows and keys are data
		}
		x, err := inner.decode(fields[name], depth+1)
		if err != nil {
			return nil, err
		}
		f.add(name, x)
	}
	return f, nil
}

// outcome makes the struct that attempt() and nested operations give: .ok, and .value or .error.
func (v view) outcome(o door.Outcome, depth int) starlark.Value {
	if o.Status == door.OK {
		value, err := v.decode(o.Value, depth)
		if err != nil {
			return failedValue(err)
		}
		return newFields("result", "ok", starlark.True, "value", value)
	}
	return failedValue(&outcomeError{out: o, s: v.s})
}

// failedValue describes an error as a value: .ok is False, .error its text, .kind what a script can branch
// on ("no_exists", "lost", "fail"), .reason the whole reason.
func failedValue(err error) *fieldsValue {
	kind, reason, aborted := "error", starlark.Value(starlark.None), false
	var oe *outcomeError
	if errors.As(err, &oe) {
		kind = oe.kind()
		aborted = oe.out.Status == door.Aborted
		reason = view{s: oe.s, names: true}.value(oe.out.Reason())
	}
	var fe *abortError
	if errors.As(err, &fe) {
		kind, aborted, reason = "fail", true, fe.reason
		if name := atomName(fe.reason); name != "" {
			kind = name
		}
	}
	return newFields("result", "ok", starlark.False, "error", starlark.String(err.Error()),
		"kind", starlark.String(kind), "reason", reason, "aborted", starlark.Bool(aborted))
}

// outcomeError is an outcome other than ok, as the error that a script sees.
type outcomeError struct {
	out  door.Outcome
	s    *Session
	node string
	what string // what was asked: "dirty_read"
}

// kind names the outcome for a script: the abort's kind, or the status.
func (e *outcomeError) kind() string {
	if a, ok := e.out.Kind.(term.Atom); ok {
		return string(a)
	}
	switch e.out.Status {
	case door.Down:
		return "node_down"
	}
	return string(e.out.Status)
}

// Error says what was asked, of whom, and what came of it; the reason is printed as Erlang's shell does.
func (e *outcomeError) Error() string {
	what := e.what
	if what != "" {
		what += ": "
	}
	if e.out.Status == door.Aborted {
		text := what + "aborted: " + term.String(e.out.Reason())
		if e.out.Text != "" {
			text += " (" + e.out.Text + ")"
		}
		return text
	}
	if e.out.Status == door.Down && e.node != "" {
		return what + "node " + e.node + " is not running"
	}
	return what + e.out.Err().Error()
}

// Unwrap gives the outcome's own error, with its kind and hint.
func (e *outcomeError) Unwrap() error { return e.out.Err() }

// abortError is a transaction that the script itself gave up: tx.abort(reason) or fail().
type abortError struct {
	reason starlark.Value
	text   string
}

func (e *abortError) Error() string { return "transaction aborted: " + e.text }

// blockedValue is what a manually stepped operation gives while it waits for a lock.
type blockedValue struct{ tx *Tx }

func (b blockedValue) String() string {
	return fmt.Sprintf("blocked (waits for a lock: %s.wait())", "tx")
}
func (b blockedValue) Type() string          { return "blocked" }
func (b blockedValue) Freeze()               {}
func (b blockedValue) Truth() starlark.Bool  { return false }
func (b blockedValue) Hash() (uint32, error) { return 0, errors.New("blocked has no hash") }
