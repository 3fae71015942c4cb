package door

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"netsplit/kit"
	"netsplit/kit/term"
)

// OKTerm is success with a value.
func OKTerm(t term.Term) Outcome {
	raw, err := term.ToJSON(t)
	if err != nil {
		return FromError(err)
	}
	return Outcome{Status: OK, Value: raw}
}

// OKJSON is success with a value that is in the conformance format already.
func OKJSON(value json.RawMessage) Outcome { return Outcome{Status: OK, Value: value} }

// Done is the plain {"ok":"ok"}.
func Done() Outcome { return OKTerm(term.Atom("ok")) }

// AbortWith is {aborted, {Kind, Args...}}; without args the reason is the bare atom.
func AbortWith(kind string, args ...term.Term) Outcome {
	return Outcome{Status: Aborted, Kind: term.Atom(kind), Args: args}
}

// ErrorWith is {error, {Kind, Args...}}; without args the reason is the bare atom.
func ErrorWith(kind string, args ...term.Term) Outcome {
	return Outcome{Status: Error, Kind: term.Atom(kind), Args: args}
}

// FromError is the error outcome of a Go error: kit.Error's kind becomes the outcome's ("not_found"), its
// prose the text.
func FromError(err error) Outcome {
	return Outcome{Status: Error, Kind: term.Atom(strings.ReplaceAll(kit.KindOf(err).String(), " ", "_")),
		Text: err.Error(), Hint: kit.HintOf(err)}
}

// LostAnswer is the outcome of a request whose answer never came.
func LostAnswer(why string) Outcome { return Outcome{Status: Lost, Text: why} }

// NotRunning is the outcome of a request that never reached a node.
func NotRunning(why string) Outcome { return Outcome{Status: Down, Text: why} }

// Term gives the value of a successful outcome. A value that holds nested outcomes is no term, and a failed
// outcome has none: both are errors.
func (o Outcome) Term() (term.Term, error) {
	if err := o.Err(); err != nil {
		return nil, err
	}
	return term.FromJSON(o.Value)
}

// Reason gives the reason of a failure as one term: the kind, or the tuple of the kind and its arguments.
func (o Outcome) Reason() term.Term {
	switch {
	case o.Kind == nil:
		return term.Atom(o.Status)
	case len(o.Args) == 0:
		return o.Kind
	}
	return append(term.Tuple{o.Kind}, o.Args...)
}

// Definite reports whether the outcome proves that the request took effect as answered, or not at all. Lost
// answers, timeouts and what is still going on prove nothing.
func (o Outcome) Definite() bool {
	switch o.Status {
	case OK, Aborted, Raised, Blocked, Restart, Down, Started:
		return true
	case Error:
		k, ours := kindOf(o.Kind)
		return !ours || k.Definite()
	}
	return false
}

// Err gives nil for OK, and otherwise an error that says what went wrong.
func (o Outcome) Err() error {
	if o.Status == OK {
		return nil
	}
	e := &kit.Error{Kind: kit.Unknown, Hint: o.Hint, Err: errors.New(o.prose())}
	switch o.Status {
	case Down:
		e.Kind = kit.Unavailable
	case Error:
		if k, ours := kindOf(o.Kind); ours {
			e.Kind = k
			break
		}
		e.Kind = kit.Invalid
	case Aborted, Raised, Restart:
		e.Kind = kit.Invalid
	}
	return e
}

// prose says the failure in words, with the reason as Erlang's shell prints it.
func (o Outcome) prose() string {
	_, ours := kindOf(o.Kind)
	switch o.Status {
	case Error:
		if o.Text != "" && ours {
			return o.Text
		}
		return "error " + o.reasonText()
	case Aborted, Raised, BadRPC:
		return string(o.Status) + " " + o.reasonText()
	case Timeout:
		return "timeout waiting for " + strings.Join(o.Tables, ", ")
	case Lost:
		if o.Text != "" {
			return "the answer was lost: " + o.Text
		}
		return "the answer was lost"
	case Down:
		if o.Text != "" {
			return "node not running: " + o.Text
		}
		return "node not running"
	}
	return string(o.Status)
}

func (o Outcome) reasonText() string {
	s := term.String(o.Reason())
	if o.Text != "" {
		s += fmt.Sprintf(" (%s)", o.Text)
	}
	return s
}

// kindOf undoes FromError's naming of kit's kinds.
func kindOf(t term.Term) (kit.Kind, bool) {
	a, ok := t.(term.Atom)
	if !ok {
		return kit.Unknown, false
	}
	for k := kit.Unknown; k <= kit.Broken; k++ {
		if strings.ReplaceAll(k.String(), " ", "_") == string(a) {
			return k, true
		}
	}
	return kit.Unknown, false
}

// MarshalJSON writes the outcome as the conformance format has it, status first.
func (o Outcome) MarshalJSON() ([]byte, error) {
	head, err := o.head()
	if err != nil {
		return nil, err
	}
	b := appendField([]byte{'{'}, string(o.Status), head)
	if o.Args != nil {
		args, err := termsJSON(o.Args)
		if err != nil {
			return nil, err
		}
		b = appendField(b, "args", args)
	}
	for _, f := range []struct{ name, text string }{
		{"text", o.Text}, {"how", o.How}, {"class", o.Class}, {"at", o.At}, {"hint", o.Hint},
	} {
		if f.text != "" {
			b = appendField(b, f.name, quote(f.text))
		}
	}
	if o.Crash {
		b = appendField(b, "crash", []byte("true"))
	}
	if o.Results != nil {
		b = appendField(b, "results", o.Results)
	}
	return append(b, '}'), nil
}

// head gives the value of the status key.
func (o Outcome) head() ([]byte, error) {
	switch o.Status {
	case OK, Ended:
		if len(o.Value) == 0 {
			return quote("ok"), nil
		}
		return o.Value, nil
	case Aborted, Error, BadRPC, Raised, Started:
		if o.Kind == nil {
			return quote("other"), nil
		}
		return term.ToJSON(o.Kind)
	case Timeout:
		if len(o.Value) > 0 {
			return o.Value, nil
		}
		return json.Marshal(slices.Concat([]string{}, o.Tables))
	case Down:
		return quote("not running"), nil
	case Dead:
		return quote("dead"), nil
	case Blocked, Pending, Lost, Restart:
		return []byte("true"), nil
	}
	return nil, &kit.Error{Op: "encode outcome", What: string(o.Status), Kind: kit.Invalid, Err: errors.New("unknown status")}
}

func quote(s string) []byte {
	b, _ := json.Marshal(s) // a string always encodes
	return b
}

func appendField(b []byte, name string, value []byte) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), name...)
	return append(append(b, '"', ':'), value...)
}

func termsJSON(ts []term.Term) ([]byte, error) {
	b := []byte{'['}
	for i, t := range ts {
		if i > 0 {
			b = append(b, ',')
		}
		one, err := term.ToJSON(t)
		if err != nil {
			return nil, err
		}
		b = append(b, one...)
	}
	return append(b, ']'), nil
}

func termsFromJSON(raw []byte) ([]term.Term, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, err
	}
	ts := make([]term.Term, 0, len(items))
	for _, item := range items {
		t, err := term.FromJSON(item)
		if err != nil {
			return nil, err
		}
		ts = append(ts, t)
	}
	return ts, nil
}

// wireOutcome has one field for each key of an outcome's JSON, so that unknown keys can be refused.
type wireOutcome struct {
	OK      json.RawMessage `json:"ok"`
	Aborted json.RawMessage `json:"aborted"`
	Error   json.RawMessage `json:"error"`
	Timeout json.RawMessage `json:"timeout"`
	Raised  json.RawMessage `json:"raised"`
	BadRPC  json.RawMessage `json:"badrpc"`
	Blocked json.RawMessage `json:"blocked"`
	Pending json.RawMessage `json:"pending"`
	Ended   json.RawMessage `json:"ended"`
	Started json.RawMessage `json:"started"`
	Lost    json.RawMessage `json:"lost"`
	Down    json.RawMessage `json:"node"`
	Dead    json.RawMessage `json:"process"`
	Restart json.RawMessage `json:"restart"`

	Args    json.RawMessage `json:"args"`
	Text    string          `json:"text"`
	How     string          `json:"how"`
	Class   string          `json:"class"`
	Crash   bool            `json:"crash"`
	At      string          `json:"at"`
	Results json.RawMessage `json:"results"`
	Hint    string          `json:"hint"`
}

// UnmarshalJSON reads one outcome. An object without exactly one status, or with keys that no outcome has,
// is refused.
func (o *Outcome) UnmarshalJSON(b []byte) error {
	var w wireOutcome
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return badOutcome(err)
	}
	out := Outcome{Text: w.Text, How: w.How, Class: w.Class, Crash: w.Crash, At: w.At, Results: w.Results, Hint: w.Hint}
	var head json.RawMessage
	for _, c := range []struct {
		status Status
		value  json.RawMessage
	}{
		{OK, w.OK}, {Aborted, w.Aborted}, {Error, w.Error}, {Timeout, w.Timeout}, {Raised, w.Raised}, {BadRPC, w.BadRPC},
		{Blocked, w.Blocked}, {Pending, w.Pending}, {Ended, w.Ended}, {Started, w.Started}, {Lost, w.Lost},
		{Down, w.Down}, {Dead, w.Dead}, {Restart, w.Restart},
	} {
		if c.value == nil {
			continue
		}
		if out.Status != "" {
			return badOutcome(fmt.Errorf("both %q and %q", out.Status, c.status))
		}
		out.Status, head = c.status, c.value
	}
	if err := out.setHead(head); err != nil {
		return badOutcome(err)
	}
	if w.Args != nil {
		args, err := termsFromJSON(w.Args)
		if err != nil {
			return badOutcome(err)
		}
		out.Args = args
	}
	*o = out
	return nil
}

func (o *Outcome) setHead(head json.RawMessage) (err error) {
	switch o.Status {
	case "":
		return errors.New("no status")
	case OK, Ended:
		o.Value = head
	case Aborted, Error, BadRPC, Raised, Started:
		o.Kind, err = term.FromJSON(head)
	case Timeout:
		if json.Unmarshal(head, &o.Tables) != nil {
			var list []json.RawMessage
			o.Tables, o.Value, err = nil, head, json.Unmarshal(head, &list)
		}
	}
	return err
}

func badOutcome(err error) error {
	return &kit.Error{Op: "decode outcome", Kind: kit.Corrupt, Err: err}
}
