package mnesia

import (
	"encoding/json"
	"errors"
	"strings"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// Outcome gives the answer that Mnesia's shape of a failure has. An error that is not the store's own becomes
// prose, as door.FromError does it.
func Outcome(err error) door.Outcome {
	if err == nil {
		return door.Done()
	}
	var e *store.Error
	switch {
	case errors.Is(err, store.ErrRestart):
		return door.Outcome{Status: door.Restart}
	case !errors.As(err, &e):
		return door.FromError(err)
	}
	out := door.Outcome{Crash: e.Crash, At: string(e.At), Hint: kit.HintOf(err)}
	switch e.Class {
	case store.TimedOut:
		out.Status, out.Tables = door.Timeout, names(e.Reason)
		return out
	case store.Failed:
		out.Status = door.Error
	case store.Raised, store.Threw, store.Errored:
		out.Status = door.Raised
		out.Kind, out.Args, out.Text = split(e.Reason)
		out.Class = map[store.Class]string{store.Raised: "exit", store.Threw: "throw", store.Errored: "error"}[e.Class]
		if e.Class == store.Errored {
			out.Crash = false // every error has a stack; saying so tells nothing
		}
		return out
	default:
		out.Status = door.Aborted
		if e.Exit {
			out.How = "exit"
		}
	}
	out.Kind, out.Args, out.Text = split(e.Reason)
	return out
}

// split takes a reason apart as the conformance format has it: an atom, a tuple tagged with an atom, a tuple that
// starts with prose, or something else.
func split(reason term.Term) (kind term.Term, args []term.Term, text string) {
	if a, ok := reason.(term.Atom); ok {
		return a, nil, ""
	}
	if t, ok := reason.(term.Tuple); ok && len(t) > 0 {
		if a, ok := t[0].(term.Atom); ok {
			return a, append([]term.Term{}, t[1:]...), ""
		}
		if s, ok := chars(t[0]); ok {
			return term.Atom("text"), append([]term.Term{}, t[1:]...), s
		}
	}
	if s, ok := chars(reason); ok {
		return term.Atom("text"), nil, s
	}
	if t, ok := reason.(term.Tuple); ok && len(t) > 0 {
		return term.Atom("other"), append([]term.Term{}, t...), ""
	}
	return term.Atom("other"), []term.Term{reason}, ""
}

// chars reads a list of character codes as text; an empty list is none.
func chars(t term.Term) (string, bool) {
	l, ok := t.(term.List)
	if !ok || len(l) == 0 {
		return "", false
	}
	var b strings.Builder
	for _, e := range l {
		n, ok := e.(term.Int)
		if !ok || n < 9 || n > 0x10ffff || n > 13 && n < 32 {
			return "", false
		}
		b.WriteRune(rune(n))
	}
	return b.String(), true
}

// names reads a list of atoms.
func names(t term.Term) []string {
	l, _ := t.(term.List)
	out := []string{}
	for _, e := range l {
		a, _ := e.(term.Atom)
		out = append(out, string(a))
	}
	return out
}

// js writes a term in the conformance format. A term of the store always can be written.
func js(t term.Term) json.RawMessage {
	b, err := term.ToJSON(t)
	if err != nil {
		return json.RawMessage(`"$unprintable"`)
	}
	return b
}

func jsList(items []json.RawMessage) json.RawMessage {
	b := []byte{'['}
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	return append(b, ']')
}

// jsOutcome writes an outcome that stands inside another answer.
func jsOutcome(o door.Outcome) json.RawMessage {
	b, err := o.MarshalJSON()
	if err != nil {
		return js(term.Atom("$unprintable"))
	}
	return b
}

// answered is the outcome of a function that gives a term.
func answered(t term.Term, err error) door.Outcome {
	if err != nil {
		return Outcome(err)
	}
	return door.OKTerm(t)
}
