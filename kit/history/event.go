package history

import (
	"encoding/json"
	"strconv"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Event is something that a node told of itself: a system event of the store, a table event, a node going down.
// It was seen at the time of the answer that carried it, which is later than it happened.
type Event struct {
	OpID    int // the request whose answer carried it
	Client  string
	Node    kit.NodeName // who told it
	At      time.Duration
	Kind    string // inconsistent_database, mnesia_down, mnesia_up, nodedown, write, ...
	Context string // of inconsistent_database: running_partitioned_network or starting_partitioned_network
	About   string // the node it is about, when it names one
	Raw     json.RawMessage
}

// Events takes the events out of the answers to "events", "mailbox" and "boot_events", in the order they were
// told.
func (h *History) Events() []Event {
	var all []Event
	for _, o := range h.Ops {
		if o.Verb != "events" && o.Verb != "mailbox" && o.Verb != "boot_events" || o.Outcome.Status != "ok" {
			continue
		}
		var list []json.RawMessage
		if json.Unmarshal(o.Outcome.Value, &list) != nil {
			continue
		}
		for _, raw := range list {
			var e struct {
				Event   string `json:"event"`
				Context string `json:"context"`
				Node    string `json:"node"`
			}
			if json.Unmarshal(raw, &e) != nil || e.Event == "" {
				continue
			}
			all = append(all, Event{OpID: o.ID, Client: o.Client, Node: o.Node, At: o.End, Kind: e.Event,
				Context: e.Context, About: e.Node, Raw: raw})
		}
	}
	return all
}

// Message is what a process was sent and a client took out of its mailbox, at the time of the answer that carried it.
type Message struct {
	OpID   int
	Client string
	Node   kit.NodeName // where the process lives
	At     time.Duration
	Value  term.Term
}

// Messages takes the messages out of the answers to "mailbox", in the order of the mailboxes; what the runtime itself
// sends is not among them, but in Events.
func (h *History) Messages() []Message {
	var all []Message
	for _, o := range h.Ops {
		var list []struct {
			Message json.RawMessage `json:"message"`
		}
		if o.Verb != "mailbox" || o.Outcome.Status != "ok" || json.Unmarshal(o.Outcome.Value, &list) != nil {
			continue
		}
		for _, m := range list {
			if m.Message == nil {
				continue
			}
			if v, err := term.FromJSON(m.Message); err == nil {
				all = append(all, Message{OpID: o.ID, Client: o.Client, Node: o.Node, At: o.End, Value: v})
			}
		}
	}
	return all
}

// Span is a stretch of the run's time; To is Open when it lasted to the end.
type Span struct{ From, To time.Duration }

// Cuts gives the times during which the direction from one node to another was cut, in order.
func (h *History) Cuts(from, to kit.NodeName) []Span {
	var spans []Span
	open := false
	for _, f := range h.Faults {
		if f.Node != from || f.Peer != to || f.Err != "" {
			continue
		}
		switch {
		case f.What == "cut" && !open:
			spans, open = append(spans, Span{From: f.At, To: Open}), true
		case f.What != "cut" && open:
			spans[len(spans)-1].To, open = f.At, false
		}
	}
	return spans
}

func itoa(n int) string { return strconv.Itoa(n) }
