package lab

import (
	"context"
	"fmt"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/history"
	"netsplit/kit/term"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// World is a running cluster whose every request and fault goes on record. It is a world.World itself, so the
// shell and workloads use it without knowing.
type World struct {
	world.World
	log *history.Log
}

// Record wraps a world so that what happens through it is taken down.
func Record(w world.World) *World { return &World{World: w, log: history.NewLog()} }

// History gives what has been recorded until now.
func (w *World) History() *history.History { return w.log.Snapshot(w.Now()) }

// Enter says that the next phase of the run begins.
func (w *World) Enter(p history.Phase) { w.log.Enter(p) }

// Note puts a value on record under a name, for a check to read (history.Note).
func (w *World) Note(name string, value term.Term) { w.log.Note(name, value, w.Now()) }

// Call is world.World's Call, recorded.
func (w *World) Call(ctx context.Context, client string, node kit.NodeName, req door.Request) door.Outcome {
	id := w.log.Begin(client, node, req.Verb, req.Args, w.Now())
	out := w.World.Call(ctx, client, node, req)
	if out.Status != door.Pending {
		w.log.Finish(id, out, w.Now())
	}
	return out
}

// Patient gives a context under which a client of a simulated cluster waits for an answer for so long of the cluster's
// time, and no longer; its request then has the outcome lost.
func Patient(ctx context.Context, d time.Duration) context.Context { return patient{ctx, d} }

// patient has a deadline that the simulator counts in its own time; a timer would count the machine's.
type patient struct {
	context.Context
	wait time.Duration
}

// Deadline is always as far off as the client is patient.
func (p patient) Deadline() (time.Time, bool) { return time.Now().Add(p.wait), true }

// Do is Call with the request's parts written out.
func (w *World) Do(ctx context.Context, client string, node kit.NodeName, verb string, args ...term.Term) door.Outcome {
	return w.Call(ctx, client, node, door.Request{Client: client, Verb: verb, Args: args})
}

// Link is world.World's Link, recorded as cut, slow or heal.
func (w *World) Link(from, to kit.NodeName, rule wire.Rule) error {
	f := history.Fault{At: w.Now(), What: "heal", Node: from, Peer: to}
	switch {
	case rule.Cut != wire.Whole:
		f.What, f.Detail = "cut", string(rule.Cut)
	case rule != wire.Rule{}:
		f.What, f.Detail = "slow", ruleText(rule)
	}
	return w.fault(f, w.World.Link(from, to, rule))
}

func ruleText(r wire.Rule) string {
	text := ""
	add := func(format string, args ...any) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf(format, args...)
	}
	if r.Delay > 0 || r.Jitter > 0 {
		add("%v+%v", r.Delay, r.Jitter)
	}
	for _, p := range []struct {
		name  string
		share float64
	}{{"loss", r.Loss}, {"duplicate", r.Duplicate}, {"reorder", r.Reorder}} {
		if p.share > 0 {
			add("%s %g", p.name, p.share)
		}
	}
	return text
}

// Cut cuts a link in both directions.
func (w *World) Cut(a, b kit.NodeName, how wire.Cut) error { return w.both(a, b, wire.Rule{Cut: how}) }

// Heal makes a link whole in both directions.
func (w *World) Heal(a, b kit.NodeName) error { return w.both(a, b, wire.Rule{}) }

func (w *World) both(a, b kit.NodeName, rule wire.Rule) error {
	if err := w.Link(a, b, rule); err != nil {
		return err
	}
	return w.Link(b, a, rule)
}

// Kill is world.World's Kill, recorded.
func (w *World) Kill(n kit.NodeName) error {
	return w.fault(history.Fault{At: w.Now(), What: "kill", Node: n}, w.World.Kill(n))
}

// striker is a world that can kill a node in the middle of what it does; the simulator is one.
type striker interface {
	KillAfter(ctx context.Context, n kit.NodeName, steps int, within time.Duration) error
}

// KillAfter waits until a node has sent a frame to another node, changed its disc or answered a client so many times from now on,
// and kills it then, in the middle of whatever it does: with 1, 2, 3 and so on a lab kills a node at every step of a protocol
// without knowing the protocol. When the node has not done so much within the given time it is killed all the same.
// The kill is on record at the moment at which it happened.
func (w *World) KillAfter(ctx context.Context, n kit.NodeName, steps int, within time.Duration) error {
	s, ok := w.World.(striker)
	if !ok {
		return w.Kill(n)
	}
	switch err := s.KillAfter(ctx, n, steps, within); {
	case err == nil:
		return w.fault(history.Fault{At: w.Now(), What: "kill", Node: n, Detail: fmt.Sprintf("after %d more steps", steps)}, nil)
	case ctx.Err() != nil:
		return err
	}
	return w.Kill(n)
}

// Restart is world.World's Restart, recorded.
func (w *World) Restart(n kit.NodeName) error {
	return w.fault(history.Fault{At: w.Now(), What: "restart", Node: n}, w.World.Restart(n))
}

// Pause is world.World's Pause, recorded.
func (w *World) Pause(n kit.NodeName) error {
	return w.fault(history.Fault{At: w.Now(), What: "pause", Node: n}, w.World.Pause(n))
}

// Resume is world.World's Resume, recorded.
func (w *World) Resume(n kit.NodeName) error {
	return w.fault(history.Fault{At: w.Now(), What: "resume", Node: n}, w.World.Resume(n))
}

func (w *World) fault(f history.Fault, err error) error {
	if err != nil {
		f.Err = err.Error()
	}
	w.log.Fault(f)
	return err
}

// Await asks a node again and again until ok likes the outcome, at most for the given time of the world's clock.
// The last outcome is returned; the error is of kind Unavailable when none was liked.
func (w *World) Await(ctx context.Context, within time.Duration, ask func() door.Outcome, ok func(door.Outcome) bool) (door.Outcome, error) {
	const pause = 20 * time.Millisecond
	for end := w.Now() + within; ; {
		out := ask()
		if ok(out) {
			return out, nil
		}
		if w.Now() >= end {
			return out, &kit.Error{Op: "wait", Kind: kit.Unavailable, Err: fmt.Errorf("not within %v; the last answer was %s", within, out.Status)}
		}
		if err := w.Sleep(ctx, pause); err != nil {
			return out, err
		}
	}
}

// List is term.L: an operation as the doors want it is List(term.Atom("dirty_read"), term.Atom("account"), key).
func List(items ...term.Term) term.List { return items }

// Tuple is term.T: Tuple(term.Atom("account"), key, term.Int(100)) is a record.
func Tuple(items ...term.Term) term.Tuple { return items }
