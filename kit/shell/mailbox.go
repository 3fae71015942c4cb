package shell

import (
	"fmt"
	"slices"
	"time"

	"go.starlark.net/starlark"

	"netsplit/kit/door"
	"netsplit/kit/term"
)

// processEvents are the events that come as messages to the session's own process; all others are the store's.
var processEvents = []string{"nodeup", "nodedown", "DOWN", "EXIT", "global_name_conflict"}

// maxMessages bounds the messages of one node that were fetched and not yet taken.
const maxMessages = 100_000

// fetchMessages gets what has come to the session's own process since last asked, and waits until nothing more has come
// for so long. Fetched messages stay in order until somebody takes them: await_event takes one of them, as a selective
// receive does, and flush and receive take the others.
func (n *Node) fetchMessages(r *run, wait time.Duration) error {
	if len(n.s.mail[n.name]) >= maxMessages {
		return fmt.Errorf("%d messages wait on %s: take them with %s.flush()", maxMessages, n, n)
	}
	out, err := r.call(n.name, door.Request{Client: r.client, Verb: "mailbox", Args: []term.Term{term.Atom("self"), term.Int(wait.Milliseconds())}})
	switch {
	case err != nil:
		return err
	case out.Status == door.Dead:
		return fmt.Errorf("the session's own process on %s has ended", n)
	case out.Status != door.OK:
		return &outcomeError{out: out, s: n.s, node: n.String(), what: "mailbox"}
	}
	v, err := view{s: n.s, keys: true}.decode(out.Value, 0)
	if err != nil {
		return err
	}
	list, ok := v.(*starlark.List)
	if !ok {
		return fmt.Errorf("the messages of %s cannot be read", n)
	}
	n.s.mail[n.name] = slices.AppendSeq(n.s.mail[n.name], list.Elements())
	return nil
}

// takeMessages takes the oldest fetched messages.
func (n *Node) takeMessages(count int) *starlark.List {
	mail := n.s.mail[n.name]
	taken := slices.Clone(mail[:count])
	n.s.mail[n.name] = mail[count:]
	return starlark.NewList(taken)
}

// flush takes the messages of the session's own process.
func (n *Node) flush(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	wait := 100
	if err := starlark.UnpackArgs(name, args, kwargs, "wait?", &wait); err != nil {
		return nil, err
	}
	if wait < 0 {
		return nil, fmt.Errorf("%s: %d is no number of milliseconds", name, wait)
	}
	if err := n.fetchOutput(r, 0); err != nil {
		return nil, err
	}
	if err := n.fetchMessages(r, millis(wait)); err != nil {
		return nil, err
	}
	return n.takeMessages(len(n.s.mail[n.name])), nil
}

// receive waits for a number of messages.
func (n *Node) receive(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	count, timeout := 1, 5000
	if err := starlark.UnpackArgs(name, args, kwargs, "count?", &count, "timeout?", &timeout); err != nil {
		return nil, err
	}
	if count < 1 || count > maxMessages {
		return nil, fmt.Errorf("%s: the count is between 1 and %d", name, maxMessages)
	}
	if err := n.fetchOutput(r, 0); err != nil {
		return nil, err
	}
	ok, err := r.pollUntil(millis(timeout), func() (bool, error) {
		err := n.fetchMessages(r, 0)
		return len(n.s.mail[n.name]) >= count, err
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s: %d of %d messages came to %s within %d ms%s", name, len(n.s.mail[n.name]), count, n, timeout, n.mailSummary())
	}
	return n.takeMessages(count), nil
}

// takeMessage waits for a message that fits, takes it and leaves the others: a receive with a pattern.
func (n *Node) takeMessage(r *run, timeout time.Duration, fits func(starlark.Value) (bool, error)) (found starlark.Value, ok bool, err error) {
	ok, err = r.pollUntil(timeout, func() (bool, error) {
		if err := n.fetchMessages(r, 0); err != nil {
			return false, err
		}
		mail := n.s.mail[n.name]
		for i, m := range mail {
			if fit, err := fits(m); fit || err != nil {
				found, n.s.mail[n.name] = m, slices.Delete(slices.Clone(mail), i, i+1)
				return fit, err
			}
		}
		return false, nil
	})
	return found, ok, err
}

// awaitOne is a.await_message: one message by its first word and something in it. What is no event is given as it was sent.
func (n *Node) awaitOne(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var kind string
	var about starlark.Value
	timeout := 5000
	if err := starlark.UnpackArgs(name, args, kwargs, "kind", &kind, "about?", &about, "timeout?", &timeout); err != nil {
		return nil, err
	}
	if err := n.fetchOutput(r, 0); err != nil {
		return nil, err
	}
	m, ok, err := n.takeMessage(r, millis(timeout), func(m starlark.Value) (bool, error) { return fitsMessage(m, kind, about) })
	switch {
	case err != nil:
		return nil, err
	case !ok && about != nil:
		return nil, fmt.Errorf("%s: no %s with %s on %s within %d ms%s", name, kind, about, n, timeout, n.mailSummary())
	case !ok:
		return nil, fmt.Errorf("%s: no %s on %s within %d ms%s", name, kind, n, timeout, n.mailSummary())
	}
	if f, is := m.(*fieldsValue); is && f.get("message") != nil {
		m = f.get("message")
	}
	return m, n.fetchOutput(r, 0)
}

// fitsMessage reports whether a message is the word kind, or a tuple or an event that begins with it, and has about, unless
// that is nil, among its parts.
func fitsMessage(m starlark.Value, kind string, about starlark.Value) (bool, error) {
	f, ok := m.(*fieldsValue)
	if !ok {
		return false, nil
	}
	parts := f.values // of an event, whose name comes first
	if msg := f.get("message"); msg != nil {
		parts = []starlark.Value{msg}
		if t, is := msg.(starlark.Indexable); is {
			if _, text := msg.(starlark.String); !text {
				parts = nil
				for i := range t.Len() {
					parts = append(parts, t.Index(i))
				}
			}
		}
	}
	if len(parts) == 0 || wordOf(parts[0]) != kind {
		return false, nil
	}
	for _, p := range parts {
		if about == nil {
			return true, nil
		}
		if same, err := starlark.Equal(p, about); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// wordOf gives text or an atom as what it says.
func wordOf(v starlark.Value) string {
	if s, ok := v.(starlark.String); ok {
		return string(s)
	}
	return atomName(v)
}

// awaitMessage is await_event for what comes as a message.
func (n *Node) awaitMessage(r *run, event string, timeout time.Duration) (starlark.Value, error) {
	found, ok, err := n.takeMessage(r, timeout, func(m starlark.Value) (bool, error) { return eventName(m) == event, nil })
	switch {
	case err != nil:
		return nil, err
	case ok:
		return found, nil
	}
	what := fmt.Sprintf("await_event: no %s on %s within %d ms%s", event, n, timeout.Milliseconds(), n.mailSummary())
	if event == "nodeup" || event == "nodedown" {
		what += fmt.Sprintf("; it comes to those who asked for it before with %s.monitor_nodes(True)", n)
	}
	return nil, fmt.Errorf("%s", what)
}

// mailSummary tells what did come, for the message of a wait in vain.
func (n *Node) mailSummary() string {
	mail := n.s.mail[n.name]
	if len(mail) == 0 {
		return "; nothing else came"
	}
	text := mail[len(mail)-1].String()
	return "; the last of what came was " + cutText(text, 120)
}

// monitorNodes subscribes the session's own process to what becomes of other nodes.
func (n *Node) monitorNodes(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var on, reason bool
	if err := starlark.UnpackArgs(name, args, kwargs, "on", &on, "reason?", &reason); err != nil {
		return nil, err
	}
	op := term.Atom("monitor_nodes")
	if reason {
		op = "monitor_nodes_reason"
	}
	return n.ask(r, name, "proc", false, []term.Term{term.Atom("self"), term.List{op, boolAtom(on)}})
}
