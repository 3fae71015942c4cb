package door

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Order is one decoded line from a client: a request, or one of the two orders that are about requests.
type Order struct {
	Request
	Cancel uint64 // the request with this ID is no longer wanted; 0 otherwise
	Gone   bool   // Client has left: its session ends
}

// wireOrder is a line from a client. {"id":1,"client":"c1","verb":"ping","args":[..]} asks,
// {"client":"c1","cancel":1} takes a request back, {"client":"c1","gone":true} says good-bye.
type wireOrder struct {
	ID     uint64          `json:"id,omitempty"`
	Client string          `json:"client"`
	Verb   string          `json:"verb,omitempty"`
	Args   json.RawMessage `json:"args,omitempty"`
	Cancel uint64          `json:"cancel,omitempty"`
	Gone   bool            `json:"gone,omitempty"`
}

// EncodeOrder gives the line of an order, without the line feed.
func EncodeOrder(o Order) ([]byte, error) {
	w := wireOrder{ID: o.ID, Client: o.Client, Verb: o.Verb, Cancel: o.Cancel, Gone: o.Gone}
	if len(o.Args) > 0 {
		args, err := termsJSON(o.Args)
		if err != nil {
			return nil, &kit.Error{Op: "encode request", What: o.Verb, Kind: kit.Invalid, Err: err}
		}
		w.Args = args
	}
	line, err := json.Marshal(w)
	if err != nil {
		return nil, &kit.Error{Op: "encode request", What: o.Verb, Kind: kit.Invalid, Err: err}
	}
	if len(line) > MaxLine {
		return nil, &kit.Error{Op: "encode request", What: o.Verb, Kind: kit.Overloaded,
			Err: fmt.Errorf("%d bytes, the limit is %d", len(line), MaxLine), Hint: "send it in parts"}
	}
	return line, nil
}

// EncodeRequest gives the line of a request.
func EncodeRequest(r Request) ([]byte, error) { return EncodeOrder(Order{Request: r}) }

// DecodeOrder reads a line from a client. When the line is an order with a bad part, the error comes with
// what could be read, so that it can be answered under the request's ID.
func DecodeOrder(line []byte) (Order, error) {
	if len(line) > MaxLine {
		return Order{}, badOrder(kit.Overloaded, fmt.Errorf("%d bytes, the limit is %d", len(line), MaxLine))
	}
	var w wireOrder
	if err := json.Unmarshal(line, &w); err != nil {
		return Order{Request: Request{ID: w.ID, Client: cut(w.Client)}}, badOrder(kit.Invalid, err)
	}
	o := Order{Request: Request{ID: w.ID, Client: cut(w.Client), Verb: w.Verb}, Cancel: w.Cancel, Gone: w.Gone}
	switch {
	case len(w.Client) > MaxName:
		return o, badOrder(kit.Invalid, fmt.Errorf("the client's name is longer than %d bytes", MaxName))
	case o.Gone || o.Cancel != 0:
		return o, nil
	case len(w.Verb) > MaxName:
		o.Verb = cut(w.Verb)
		return o, badOrder(kit.Invalid, fmt.Errorf("the verb is longer than %d bytes", MaxName))
	case w.Verb == "":
		return o, badOrder(kit.Invalid, errors.New("no verb"))
	}
	if len(w.Args) > 0 && !bytes.Equal(w.Args, []byte("null")) {
		args, err := termsFromJSON(w.Args)
		if err != nil {
			return o, badOrder(kit.Invalid, err)
		}
		o.Args = args
	}
	return o, nil
}

func badOrder(kind kit.Kind, err error) error {
	return &kit.Error{Op: "read request", Kind: kind, Err: err}
}

func cut(s string) string { return s[:min(len(s), MaxName)] }

// Answer is the outcome of the request with that ID.
type Answer struct {
	ID      uint64  `json:"id"`
	Outcome Outcome `json:"outcome"`
}

// EncodeAnswer gives the line of an answer. An outcome that cannot be written or is longer than MaxLine is
// replaced by an error, so that every request has an answer.
func EncodeAnswer(a Answer) []byte {
	line, err := json.Marshal(a)
	if err == nil && len(line) > MaxLine {
		err = &kit.Error{Op: "encode answer", Kind: kit.Broken,
			Err: fmt.Errorf("%d bytes, the limit is %d", len(line), MaxLine), Hint: "ask for less at once"}
	}
	if err == nil {
		return line
	}
	line, err = json.Marshal(Answer{ID: a.ID, Outcome: FromError(err)})
	if err != nil { // only prose is in it
		return fmt.Appendf(nil, `{"id":%d,"outcome":{"error":"broken"}}`, a.ID)
	}
	return line
}

// DecodeAnswer reads a line from a node.
func DecodeAnswer(line []byte) (Answer, error) {
	var a Answer
	if len(line) > MaxLine {
		return a, &kit.Error{Op: "read answer", Kind: kit.Corrupt, Err: fmt.Errorf("%d bytes, the limit is %d", len(line), MaxLine)}
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return Answer{}, &kit.Error{Op: "read answer", Kind: kit.Corrupt, Err: err}
	}
	return a, nil
}

// Atom, Node, Text, Int and so on give argument i as a Go value; the error says which argument is wrong.

// Atom gives argument i as an atom.
func (r Request) Atom(i int) (string, error) {
	if a, ok := r.arg(i).(term.Atom); ok {
		return string(a), nil
	}
	return "", r.badArg(i, "an atom")
}

// Node gives argument i as the name of a node.
func (r Request) Node(i int) (kit.NodeName, error) {
	if a, ok := r.arg(i).(term.Atom); ok && kit.NodeName(a).Valid() {
		return kit.NodeName(a), nil
	}
	return "", r.badArg(i, "a node")
}

// Int gives argument i as an integer.
func (r Request) Int(i int) (int64, error) {
	if n, ok := r.arg(i).(term.Int); ok {
		return int64(n), nil
	}
	return 0, r.badArg(i, "an integer")
}

func (r Request) arg(i int) term.Term {
	if i < len(r.Args) {
		return r.Args[i]
	}
	return nil
}

func (r Request) badArg(i int, want string) error {
	err := fmt.Errorf("argument %d must be %s", i+1, want)
	if t := r.arg(i); t != nil {
		err = fmt.Errorf("%w, not %.200s", err, term.String(t))
	}
	return &kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: err}
}
