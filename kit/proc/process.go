package proc

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Process is one process as its own function sees it. Only that function may call its methods, one at a time; a
// killed process does not come back from them.
type Process struct {
	rt      *Runtime
	me      *process // of the core
	pid     term.Pid
	fn      string
	ctx     context.Context // nil until somebody asks for it; under the runtime's lock
	cancel  context.CancelFunc
	last    *process    // where it sent to last
	alarm   *time.Timer // of Receive; nil before the first one with a time
	alarmAt time.Time   // when it rings; zero when it does not
	reason  term.Term   // why it ended; under the runtime's lock
	acting  sync.Mutex  // of an attended process: one at a time
	running bool        // its function has not returned; under the runtime's lock
}

// gone is what a method of a process that has ended panics with; run catches it.
type gone struct{ reason term.Term }

// Gone reports whether a recovered panic means that the process had ended.
func Gone(p any) bool { _, is := p.(gone); return is }

// run is the life of a process's goroutine.
func (p *Process) run(f Func, args []term.Term) {
	r := p.rt
	defer r.tasks.Done()
	value, e := p.apply(f, args)
	p.unsetAlarm()
	kind, reason := "return", term.Term(Normal)
	if e != nil {
		kind, value, reason = e.Class, e.Reason, e.exitReason()
		if e.Class == "error" {
			value = term.T(e.Reason, e.Stack)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.running = false
	if p.me.ended { // killed, or closed
		delete(r.busy, p.pid.ID)
	}
	r.core.finish(p.me, kind, value, reason)
	r.performAll()
}

// apply calls the function and gives what it raised.
func (p *Process) apply(f Func, args []term.Term) (value term.Term, e *Exception) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case gone:
			value, e = nil, &Exception{Class: "exit", Reason: Killed} // it has ended already; this changes nothing
		case *Exception:
			e = exception(v, p.fn, len(args))
		default:
			e = &Exception{Class: "error", Reason: term.T(term.Atom("panic"), term.Bin(strings.ToValidUTF8(fmt.Sprintf("%.1000v", v), "?"))),
				Stack: term.List{panicFrame(p.fn, len(args))}}
		}
	}()
	value, err := f(p, args)
	if err != nil {
		return nil, exception(err, p.fn, len(args))
	}
	if value == nil {
		value = term.Atom("ok")
	}
	return value, nil
}

// panicFrame finds where a panic came from, below the runtime's own frames.
func panicFrame(fn string, arity int) term.Tuple {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") && f.Function != "" {
			return frameOf(fn, arity, path.Base(f.File), f.Line)
		}
		if !more {
			return frameOf(fn, arity, "", 0)
		}
	}
}

// lock takes the runtime's lock; it does not return when the process has ended.
func (p *Process) lock() {
	p.rt.mu.Lock()
	if p.me.ended {
		reason := p.reason
		p.rt.mu.Unlock()
		panic(gone{reason})
	}
}

// do makes a step in the name of the process; it does not return when that has ended.
func (p *Process) do(f func(c *Core)) {
	p.lock()
	defer p.rt.mu.Unlock()
	p.rt.stepLocked(f)
}

// alive panics when the process has ended.
func (p *Process) alive() { p.do(func(*Core) {}) }

// Self is the process's own pid.
func (p *Process) Self() term.Pid { return p.pid }

// Node is the name of the node that the process runs on.
func (p *Process) Node() kit.NodeName { return p.rt.cfg.Self }

// Context ends with the process.
func (p *Process) Context() context.Context {
	p.rt.mu.Lock()
	defer p.rt.mu.Unlock()
	if p.ctx == nil {
		p.ctx, p.cancel = context.WithCancel(p.rt.ctx)
		if p.me.ended {
			p.cancel()
		}
	}
	return p.ctx
}

// Send sends a message to a pid, to a local name (an atom) or to {name, node}. A receiver that is not there gets
// nothing, and nobody is told; but a local name that nobody has is badarg, as in Erlang. A message to another node that is longer
// than MaxMessage is kit.Invalid. Send waits while too much waits to be sent to the node.
func (p *Process) Send(to term.Term, msg term.Term) error {
	switch to := to.(type) {
	case term.Pid:
		if to.Node == p.pid.Node {
			p.sendHere(to, msg)
			return nil
		}
		if err := p.room(to.Node, msg); err != nil {
			return err
		}
		p.do(func(c *Core) { c.Send(p.pid, to, msg) })
		return nil
	case term.Atom:
		var err error
		p.do(func(c *Core) {
			if _, ok := c.Whereis(string(to)); !ok {
				err = badarg()
				return
			}
			c.SendName(p.pid, string(to), c.self, msg)
		})
		return err
	case term.Tuple:
		if name, node, ok := nameAt(to); ok {
			if err := p.room(node, msg); err != nil {
				return err
			}
			p.do(func(c *Core) { c.SendName(p.pid, name, node, msg) })
			return nil
		}
	}
	return badarg()
}

// sendHere sends to a process of this node without the core, which has nothing to decide. The core takes out when it ends the
// sender, so that nothing of it comes behind the news of that.
func (p *Process) sendHere(to term.Pid, msg term.Term) {
	q := p.last
	if q == nil || q.pid.ID != to.ID {
		q = p.rt.core.procs.get(to.ID)
	}
	p.me.out.Lock()
	ended, full := p.me.ended, false
	if !ended && q != nil {
		p.last, full = q, !q.box.add(msg, 0, p.rt.core.maxMailbox)
	}
	p.me.out.Unlock()
	if ended || full || q == nil {
		p.do(func(c *Core) { c.Send(p.pid, to, msg) })
	}
}

// nameAt reads {name, node}.
func nameAt(t term.Tuple) (name, node string, ok bool) {
	if len(t) != 2 {
		return "", "", false
	}
	n, ok1 := t[0].(term.Atom)
	at, ok2 := t[1].(term.Atom)
	return string(n), string(at), ok1 && ok2
}

// busyQueue is how many bytes may wait for a node before who sends more must wait, as Erlang's busy distribution ports.
const busyQueue = 4 << 20

// room waits until a message may be sent to a node.
func (p *Process) room(node string, msg term.Term) error {
	if node == string(p.rt.cfg.Self) || p.rt.cfg.Peers == nil {
		return nil
	}
	if size := sizeOf(msg); size > MaxMessage {
		return &kit.Error{Op: "send", Kind: kit.Invalid, Err: fmt.Errorf("the message has %d bytes; the limit between nodes is %d", size, MaxMessage)}
	}
	for p.rt.cfg.Peers.Queued(kit.NodeName(node)) > busyQueue {
		time.Sleep(time.Millisecond)
		p.alive()
	}
	return nil
}

// Forever lets Receive wait as long as it takes.
const Forever time.Duration = -1

// Receive takes the first message out of the mailbox that match is true for, whatever came before it; a nil match takes
// any. It waits for one until timeout is over, and gives false then; with 0 it only looks.
func (p *Process) Receive(timeout time.Duration, match func(term.Term) bool) (term.Term, bool) {
	if timeout > 0 {
		return p.receiveWithin(timeout, match)
	}
	for seen := 0; ; {
		msg := p.next(&seen, match, timeout != 0)
		if msg != nil || timeout == 0 {
			return msg, msg != nil
		}
		p.unsetAlarm()
		<-p.me.box.wake
	}
}

// receiveWithin is apart so that a process that waits for ever has a small stack.
func (p *Process) receiveWithin(timeout time.Duration, match func(term.Term) bool) (term.Term, bool) {
	seen := 0
	msg := p.next(&seen, match, true)
	if msg != nil {
		return msg, true
	}
	now := time.Now()
	end := now.Add(timeout)
	if p.alarmAt.IsZero() || p.alarmAt.After(end) {
		p.setAlarm(end, timeout)
	}
	for {
		<-p.me.box.wake
		if msg = p.next(&seen, match, true); msg != nil {
			return msg, true
		}
		if now = time.Now(); !now.Before(end) {
			p.alarmAt = time.Time{}
			return nil, false
		}
		if !now.Before(p.alarmAt) { // it was an earlier Receive's
			p.setAlarm(end, end.Sub(now))
		}
	}
}

// setAlarm has the process woken. An alarm that is not needed any more stays: most often the next Receive would set it again.
func (p *Process) setAlarm(at time.Time, in time.Duration) {
	p.alarmAt = at
	if p.alarm == nil {
		p.alarm = time.AfterFunc(in, p.me.box.token)
	} else {
		p.alarm.Reset(in)
	}
}

// unsetAlarm lets the process sleep.
func (p *Process) unsetAlarm() {
	if !p.alarmAt.IsZero() {
		p.alarm.Stop()
		p.alarmAt = time.Time{}
	}
}

// next takes a message that matches, from the one numbered seen on; nil when there is none, and then, with wait, the mailbox
// wakes the process. match runs without a lock: only this process takes messages away, so that the numbers stay.
func (p *Process) next(seen *int, match func(term.Term) bool, wait bool) term.Term {
	box := &p.me.box
	for {
		msg, ok := box.look(*seen, match == nil, wait)
		switch {
		case !ok:
			p.alive() // which it is not
			return nil
		case msg == nil || match == nil:
			return msg
		case match(msg):
			msg, _ = box.look(*seen, true, false)
			return msg
		}
		*seen++
	}
}

// Spawn begins a process of a named function at a node; its output goes where this process's output goes. A node that
// cannot be reached gives the pid of a process that has ended with noconnection, as in Erlang; an unknown function is
// kit.NotFound, too many processes kit.Overloaded.
func (p *Process) Spawn(node kit.NodeName, fn string, args ...term.Term) (term.Pid, error) {
	return p.spawn(node, fn, request{args: args})
}

// SpawnLink is Spawn of a process that is linked from its first moment on.
func (p *Process) SpawnLink(node kit.NodeName, fn string, args ...term.Term) (term.Pid, error) {
	return p.spawn(node, fn, request{args: args, link: true})
}

// SpawnMonitor is Spawn of a process that is watched from its first moment on; the number is the monitor's.
func (p *Process) SpawnMonitor(node kit.NodeName, fn string, args ...term.Term) (term.Pid, uint64, error) {
	req := request{args: args}
	p.do(func(c *Core) { req.monitor = c.ref() })
	pid, err := p.spawn(node, fn, req)
	return pid, req.monitor, err
}

// Link links to a process; see Core.Link.
func (p *Process) Link(to term.Pid) (err error) {
	p.do(func(c *Core) { err = c.Link(p.pid.ID, to) })
	return err
}

// Unlink takes a link away.
func (p *Process) Unlink(to term.Pid) { p.do(func(c *Core) { c.Unlink(p.pid.ID, to) }) }

// TrapExit makes exit signals messages {'EXIT', Pid, Reason}.
func (p *Process) TrapExit(on bool) { p.do(func(c *Core) { c.Trap(p.pid.ID, on) }) }

// Monitor watches a process; when it ends, or is not there, the message {'DOWN', Ref, process, Pid, Reason} comes, once.
func (p *Process) Monitor(of term.Pid) (ref uint64) {
	p.do(func(c *Core) { ref = c.Monitor(p.pid.ID, of) })
	return ref
}

// MonitorName watches whoever has a name at a node; DOWN then tells {Name, Node} instead of the pid.
func (p *Process) MonitorName(name string, node kit.NodeName) (ref uint64) {
	p.do(func(c *Core) { ref = c.MonitorName(p.pid.ID, name, string(node)) })
	return ref
}

// Demonitor ends a monitor and takes its message back if it has come.
func (p *Process) Demonitor(ref uint64) { p.do(func(c *Core) { c.Demonitor(p.pid.ID, ref) }) }

// SendExit sends an exit signal: kill cannot be trapped, normal does nothing to who does not trap.
func (p *Process) SendExit(to term.Pid, reason term.Term) {
	p.do(func(c *Core) { c.SendExit(p.pid, to, reason) })
	p.alive() // it may have been to itself
}

// Exit ends the process; it does not return.
func (p *Process) Exit(reason term.Term) { panic(&Exception{Class: "exit", Reason: reason}) }

// Register gives the process a local name.
func (p *Process) Register(name string) (err error) {
	p.do(func(c *Core) { err = c.Register(name, p.pid) })
	return err
}

// MonitorNodes subscribes to nodeup and nodedown; see Core.MonitorNodes.
func (p *Process) MonitorNodes(on, reason bool) {
	p.do(func(c *Core) { c.MonitorNodes(p.pid.ID, on, reason) })
}

// MonitorNode asks for one nodedown message; see Core.MonitorNode.
func (p *Process) MonitorNode(node kit.NodeName, on bool) {
	p.do(func(c *Core) { c.MonitorNode(p.pid.ID, string(node), on) })
}

// Leader is the process, or the node (ID 0), that the output of this one goes to.
func (p *Process) Leader() (leader term.Pid) {
	p.do(func(c *Core) { leader = c.procs.find(p.pid.ID).leader })
	return leader
}

// Printf writes output: lines shown at the node where the first of its ancestors was spawned, as Erlang's group leaders
// do it.
func (p *Process) Printf(format string, args ...any) {
	text := strings.ToValidUTF8(fmt.Sprintf(format, args...), "?")
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		line = line[:min(len(line), MaxLine)]
		leader := p.Leader()
		_ = p.room(leader.Node, term.Bin(line)) // a line is never too long
		p.do(func(c *Core) {
			c.route(leader.Node, Signal{Op: OpOutput, From: p.pid, To: leader, Term: term.Bin(strings.ToValidUTF8(line, ""))})
		})
	}
}

// ErrEnded is what Act gives for a process that has ended, before or meanwhile.
var ErrEnded = errors.New("the process has ended")

// Act does something in the name of an attended process; two do so one after the other. An error that f gives or raises
// is given back and does not end the process.
func (p *Process) Act(f func() error) (err error) {
	p.acting.Lock()
	defer p.acting.Unlock()
	defer func() {
		switch v := recover().(type) {
		case nil:
		case gone:
			err = ErrEnded
		case *Exception:
			err = v
		default:
			panic(v)
		}
	}()
	p.alive()
	return f()
}

// End ends an attended process.
func (p *Process) End(reason term.Term) {
	p.rt.step(func(c *Core) { c.Exit(p.pid.ID, reason) })
}

// Ended gives the reason that the process ended with; false while it lives.
func (p *Process) Ended() (term.Term, bool) {
	p.rt.mu.Lock()
	defer p.rt.mu.Unlock()
	return p.reason, p.me.ended && p.rt.core.procs.find(p.pid.ID) == nil
}
