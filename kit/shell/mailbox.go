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

// awaitMessage is await_event for what comes as a message.
func (n *Node) awaitMessage(r *run, event string, timeout time.Duration) (starlark.Value, error) {
	var found starlark.Value
	ok, err := r.pollUntil(timeout, func() (bool, error) {
		if err := n.fetchMessages(r, 0); err != nil {
			return false, err
		}
		mail := n.s.mail[n.name]
		i := slices.IndexFunc(mail, func(v starlark.Value) bool { return eventName(v) == event })
		if i >= 0 {
			found = mail[i]
			n.s.mail[n.name] = slices.Delete(slices.Clone(mail), i, i+1)
		}
		return i >= 0, nil
	})
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
