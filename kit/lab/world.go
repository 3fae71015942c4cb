package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	log  *history.Log
	left *leftOut // what is not done of the work; nil is nothing
}

// Record wraps a world so that what happens through it is taken down.
func Record(w world.World) *World { return &World{World: w, log: history.NewLog()} }

// Nodes is world.World's Nodes. While clients work it names those as well that a shortened run does without: whoever draws
// one of them draws what was drawn in the run that is shortened.
func (w *World) Nodes() []kit.NodeName {
	if all := w.left.allNodes(); all != nil {
		return all
	}
	return w.World.Nodes()
}

// History gives what has been recorded until now.
func (w *World) History() *history.History { return w.log.Snapshot(w.Now()) }

// Enter says that the next phase of the run begins.
func (w *World) Enter(p history.Phase) {
	w.log.Enter(p)
	w.left.enter(p)
}

// Note puts a value on record under a name, for a check to read (history.Note).
func (w *World) Note(name string, value term.Term) { w.log.Note(name, value, w.Now()) }

// Call is world.World's Call, recorded.
func (w *World) Call(ctx context.Context, client string, node kit.NodeName, req door.Request) door.Outcome {
	if out, left := w.left.call(ctx, w.World, client, node); left {
		return out
	}
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

// Patience is how long the client waits, in the cluster's time. The simulator asks for it rather than for the deadline, from
// which a busy machine would take something off.
func (p patient) Patience() time.Duration { return p.wait }

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
	return w.fault(f, func() error { return w.World.Link(from, to, rule) })
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
	return w.fault(history.Fault{At: w.Now(), What: "kill", Node: n}, func() error { return w.World.Kill(n) })
}

// StepsNote names the note under which KillAfter puts what the node did last: a list of texts, such as "sent to b", "wrote",
// "answered".
func StepsNote(n kit.NodeName) string { return "steps:" + string(n) }

// striker is a world that can kill a node in the middle of what it does; the simulator is one.
type striker interface {
	KillAfter(ctx context.Context, n kit.NodeName, steps int, within time.Duration) (did []string, err error)
}

// KillAfter waits until a node has sent a frame to another node, changed its disc or answered a client so many times from now on,
// and kills it then, in the middle of whatever it does: with 1, 2, 3 and so on a lab kills a node at every step of a protocol
// without knowing the protocol. When the node has not done so much within the given time it is killed all the same.
// The kill is on record at the moment at which it happened, and what the node did last before it under StepsNote.
func (w *World) KillAfter(ctx context.Context, n kit.NodeName, steps int, within time.Duration) error {
	s, ok := can[striker](w.World)
	if !ok {
		return w.Kill(n)
	}
	kill := history.Fault{What: "kill", Node: n}
	if left, err := w.left.waitFor(ctx, w.World, kill); left {
		return err
	}
	did, err := s.KillAfter(ctx, n, steps, within)
	switch {
	case err == nil:
		var list term.List
		for _, d := range did {
			list = append(list, term.Bin(d))
		}
		w.Note(StepsNote(n), list)
		kill.Detail = "right after it " + did[len(did)-1]
	case ctx.Err() != nil:
		return err
	default:
		err = w.World.Kill(n)
	}
	kill.At = w.Now()
	return w.ordered(kill, err)
}

// Restart is world.World's Restart, recorded.
func (w *World) Restart(n kit.NodeName) error {
	return w.fault(history.Fault{At: w.Now(), What: "restart", Node: n}, func() error { return w.World.Restart(n) })
}

// Pause is world.World's Pause, recorded.
func (w *World) Pause(n kit.NodeName) error {
	return w.fault(history.Fault{At: w.Now(), What: "pause", Node: n}, func() error { return w.World.Pause(n) })
}

// Resume is world.World's Resume, recorded.
func (w *World) Resume(n kit.NodeName) error {
	return w.fault(history.Fault{At: w.Now(), What: "resume", Node: n}, func() error { return w.World.Resume(n) })
}

// machines gives what can break the nodes' machines, or says that this world cannot.
func (w *World) machines(op string, n kit.NodeName) (world.Machines, error) {
	if m, ok := can[world.Machines](w.World); ok {
		return m, nil
	}
	return nil, &kit.Error{Op: op, What: string(n), Kind: kit.Refused, Err: errors.New("the nodes are processes of this machine, which stays whole"),
		Hint: "discs, clocks and processors break in the simulator only, where code labs are graded"}
}

// machine does one order to a node's machine and records it.
func (w *World) machine(op string, f history.Fault, do func(world.Machines) error) error {
	f.At = w.Now()
	return w.fault(f, func() error {
		m, err := w.machines(op, f.Node)
		if err != nil {
			return err
		}
		return do(m)
	})
}

// PowerOff is world.Machines' PowerOff, recorded as poweroff. On a real cluster it is an error of kind Refused, like the
// other faults of machines.
func (w *World) PowerOff(n kit.NodeName) error {
	return w.machine("power off", history.Fault{What: "poweroff", Node: n}, func(m world.Machines) error { return m.PowerOff(n) })
}

// Disk sets the rule of a node's disc, recorded as disc; the zero rule is recorded as mend disc.
func (w *World) Disk(n kit.NodeName, rule world.DiskFault) error {
	f := history.Fault{What: "disc", Node: n, Detail: rule.String()}
	if rule == (world.DiskFault{}) {
		f.What, f.Detail = "mend", "disc"
	}
	return w.machine("set disc of", f, func(m world.Machines) error { return m.SetDisk(n, rule) })
}

// Clock makes a node's wall clock jump to be off by so much, recorded as clock; 0 is recorded as mend clock.
func (w *World) Clock(n kit.NodeName, off time.Duration) error {
	f := history.Fault{What: "clock", Node: n, Detail: signed(off)}
	if off == 0 {
		f.What, f.Detail = "mend", "clock"
	}
	return w.machine("set clock of", f, func(m world.Machines) error { return m.SetClock(n, off) })
}

// clocksFromStart records the clocks that a run began with.
func (w *World) clocksFromStart(clocks map[kit.NodeName]time.Duration) {
	for _, n := range slices.Sorted(maps.Keys(clocks)) {
		if clocks[n] != 0 {
			w.log.Fault(history.Fault{What: "clock", Node: n, Detail: signed(clocks[n])})
		}
	}
}

func signed(d time.Duration) string {
	if d > 0 {
		return "+" + d.String()
	}
	return d.String()
}

// Pace makes a node compute so many times slower, recorded as pace; 1, its own speed, is recorded as mend pace.
func (w *World) Pace(n kit.NodeName, times int) error {
	f := history.Fault{What: "pace", Node: n, Detail: fmt.Sprintf("%d times slower", times)}
	if times == 1 {
		f.What, f.Detail = "mend", "pace"
	}
	return w.machine("set pace of", f, func(m world.Machines) error { return m.SetPace(n, times) })
}

// fault carries out an order and puts it on record.
func (w *World) fault(f history.Fault, do func() error) error {
	if w.left.fault(f) {
		return nil
	}
	return w.ordered(f, do())
}

// ordered puts an order on record.
func (w *World) ordered(f history.Fault, err error) error {
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
