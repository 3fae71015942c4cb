package shell

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"netsplit/kit/door"
	"netsplit/kit/term"
)

// maxEvents bounds what the shell remembers of one node's events; the oldest go first.
const maxEvents = 10_000

// eventLog is what a node has reported to this session. Two readers walk over the same list: events() shows
// each event once, await_event takes each event once.
type eventLog struct {
	list    []starlark.Value
	shown   int
	awaited map[int]bool

	system     bool // this session is subscribed to the node's system events
	subscribed bool // or to anything else
}

func (s *Session) eventsOf(n *Node) *eventLog {
	log := s.events[n.name]
	if log == nil {
		log = &eventLog{awaited: map[int]bool{}}
		s.events[n.name] = log
	}
	return log
}

func (l *eventLog) add(v starlark.Value) {
	l.list = append(l.list, v)
	if over := len(l.list) - maxEvents; over > 0 {
		l.list = append([]starlark.Value(nil), l.list[over:]...)
		l.shown = max(0, l.shown-over)
		kept := map[int]bool{}
		for i := range l.awaited {
			if i >= over {
				kept[i-over] = true
			}
		}
		l.awaited = kept
	}
}

// fetchEvents gets what the node has reported since last asked: what this session subscribed to and, until it
// subscribed to system events itself, those that the node kept since its start.
func (r *run) fetchEvents(n *Node) error {
	log := r.s.eventsOf(n)
	if log.subscribed || log.system {
		out, err := r.call(n.name, door.Request{Client: r.client, Verb: "events", Args: []term.Term{term.Atom(r.s.opts.Client)}})
		if err := r.takeEvents(n, log, out, err); err != nil {
			return err
		}
		if out.Status == door.Error { // the node has been restarted and knows of no subscription
			log.subscribed, log.system = false, false
		}
	}
	if log.system {
		return nil
	}
	out, err := r.call(n.name, door.Request{Client: r.client, Verb: "boot_events"})
	return r.takeEvents(n, log, out, err)
}

func (r *run) takeEvents(n *Node, log *eventLog, out door.Outcome, err error) error {
	switch {
	case err != nil:
		return err
	case out.Status == door.OK:
		return r.addEvents(log, out.Value)
	case out.Status == door.Error:
		return nil
	}
	return &outcomeError{out: out, s: r.s, node: n.String(), what: "events"}
}

// noteSubscription remembers what the session asked a node for.
func (s *Session) noteSubscription(n *Node, verb string, args []term.Term) {
	if len(args) != 2 {
		return
	}
	log := s.eventsOf(n)
	system := args[1] == term.Atom("system")
	switch {
	case verb == "subscribe" && system:
		log.system = true
	case verb == "subscribe":
		log.subscribed = true
	case verb == "unsubscribe" && system:
		log.system = false
	}
}

func (r *run) addEvents(log *eventLog, raw json.RawMessage) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return fmt.Errorf("events: the node's answer cannot be read: %w", err)
	}
	for _, item := range items {
		v, err := view{s: r.s}.decode(item, 0)
		if err != nil {
			return fmt.Errorf("events: the node's answer cannot be read: %w", err)
		}
		log.add(v)
	}
	return nil
}

func eventName(v starlark.Value) string {
	if f, ok := v.(*fieldsValue); ok {
		if s, ok := f.get("event").(starlark.String); ok {
			return string(s)
		}
	}
	return ""
}

func awaitEvent(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var node starlark.Value
	var event string
	timeout := 5000
	if err := starlark.UnpackArgs(name, args, kwargs, "node", &node, "event", &event, "timeout?", &timeout); err != nil {
		return nil, err
	}
	nodes, err := r.s.group(node)
	if err != nil {
		return nil, err
	}
	if len(nodes) != 1 {
		return nil, fmt.Errorf("%s: it takes one node", name)
	}
	n := nodes[0]
	if slices.Contains(processEvents, event) {
		return n.awaitMessage(r, event, millis(timeout))
	}
	var found starlark.Value
	ok, err := r.pollUntil(millis(timeout), func() (bool, error) {
		if err := r.fetchEvents(n); err != nil {
			return false, err
		}
		log := r.s.eventsOf(n)
		for i, e := range log.list {
			if !log.awaited[i] && eventName(e) == event {
				log.awaited[i] = true
				found = e
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("await_event: no %s on %s within %d ms%s", event, n, timeout, r.s.eventsOf(n).summary())
	}
	return found, nil
}

// summary tells what did come, for the message of a wait in vain.
func (l *eventLog) summary() string {
	var names []string
	for i := max(0, len(l.list)-5); i < len(l.list); i++ {
		if name := eventName(l.list[i]); name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "; nothing else came"
	}
	return "; the last ones were " + strings.Join(names, ", ")
}

// nodeEvents is a.events(): what came since it was last asked.
func (n *Node) nodeEvents(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	if err := r.fetchEvents(n); err != nil {
		return nil, err
	}
	log := r.s.eventsOf(n)
	fresh := append([]starlark.Value(nil), log.list[log.shown:]...)
	log.shown = len(log.list)
	return starlark.NewList(fresh), nil
}
