package soak

import (
	"encoding/json"
	"fmt"

	"netsplit/kit/term"
)

// readEvent reads one message as the door shows it.
func readEvent(raw json.RawMessage) (event, error) {
	var m struct {
		Event   string          `json:"event"`
		Reason  json.RawMessage `json:"reason"`
		Who     json.RawMessage `json:"who"`
		Node    json.RawMessage `json:"node"`
		Info    json.RawMessage `json:"info"`
		Name    json.RawMessage `json:"name"`
		Message json.RawMessage `json:"message"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return event{}, err
	}
	e := event{what: m.Event}
	part := func(raw json.RawMessage) term.Term {
		t, err := term.FromJSON(raw)
		if err != nil {
			return nil
		}
		return t
	}
	switch m.Event {
	case "DOWN", "EXIT":
		e.reason = term.String(part(m.Reason))
		var named struct{ Name, Node string }
		if pid, ok := part(m.Who).(term.Pid); ok {
			e.pid, e.who = pid, term.String(pid)
		} else if err := json.Unmarshal(m.Who, &named); err == nil {
			e.pid, e.who = term.Pid{Node: named.Node}, named.Name+"@"+named.Node
		} else {
			return e, err
		}
		if t, ok := part(m.Reason).(term.Tuple); ok && len(t) == 3 && t[0] == term.Atom("sig") {
			n, _ := t[2].(term.Int)
			e.n = int(n)
		}
	case "nodeup", "nodedown":
		n, _ := part(m.Node).(term.Atom)
		e.who = string(n)
	case "global_name_conflict":
		e.who = term.String(part(m.Name))
	case "":
		t, ok := part(m.Message).(term.Tuple)
		switch {
		case ok && len(t) == 2 && t[0] == term.Atom("mark"):
			n, _ := t[1].(term.Int)
			e.what, e.n = "mark", int(n)
		case ok && len(t) == 3 && t[0] == term.Atom("m"):
			n, _ := t[2].(term.Int)
			e.what, e.who, e.n = "message", string(t[1].(term.Atom)), int(n)
		default:
			return e, fmt.Errorf("nobody sends that")
		}
	}
	return e, nil
}
