package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/peer"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

// procChannel carries the signals of processes.
const procChannel byte = 2

// procLinks is the node's mesh as its processes see it (proc.Peers).
type procLinks struct{ *links }

// Send queues a frame for a peer's processes.
func (l procLinks) Send(to kit.NodeName, frame []byte) {
	l.send(to, procChannel, frame, (*peer.Mesh).Send)
}

// Disconnect takes a link down until somebody connects again.
func (l procLinks) Disconnect(to kit.NodeName) {
	if m := l.mesh.Load(); m != nil {
		l.parts(to)
		_ = m.Disconnect(to) // a node that is not known is not connected
	}
}

// lossReason is what Erlang's nodedown_reason says of a lost link. The node that asked for a disconnection is told so.
func lossReason(reason string, ours bool) string {
	switch {
	case reason == peer.ReasonSilent:
		return "net_tick_timeout"
	case reason == peer.ReasonDisconnected && ours:
		return "disconnect"
	}
	return "connection_closed"
}

// maxAttended bounds the processes that a door's clients act for.
const maxAttended = 1024

// procFace is what the door shows of the node's processes: those that its clients act for, by name.
type procFace struct {
	node *Node
	rt   *proc.Runtime

	mu    sync.Mutex
	named map[string]*proc.Process
	refs  map[uint64]map[string]uint64 // by process: its last monitor of each target
}

func newProcFace(n *Node, rt *proc.Runtime) *procFace {
	return &procFace{node: n, rt: rt, named: map[string]*proc.Process{}, refs: map[uint64]map[string]uint64{}}
}

// open makes a process that clients act for under a name. It ends with the client that asked for it.
func (f *procFace) open(ctx context.Context, name string) (*proc.Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for other, p := range f.named {
		if _, ended := p.Ended(); ended {
			f.forget(other, p)
		}
	}
	if len(f.named) >= maxAttended {
		return nil, &kit.Error{Op: "spawn", Kind: kit.Overloaded, Err: fmt.Errorf("clients of the door act for %d processes already", maxAttended)}
	}
	if p := f.named[name]; p != nil {
		f.forget(name, p) // the old one lives on, under its pid
	}
	p, err := f.rt.Attend()
	if err != nil {
		return nil, err
	}
	f.named[name] = p
	if s := door.SessionOf(ctx); s != nil {
		s.OnEnd(func() {
			p.End(proc.Normal)
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.named[name] == p {
				f.forget(name, p)
			}
		})
	}
	return p, nil
}

func (f *procFace) forget(name string, p *proc.Process) {
	delete(f.named, name)
	delete(f.refs, p.Self().ID)
}

// own gives the process that a client acts for when it names none: its shell, made when first needed.
func (f *procFace) own(ctx context.Context, client string) (*proc.Process, error) {
	name := "shell of " + client
	f.mu.Lock()
	p := f.named[name]
	f.mu.Unlock()
	if p != nil {
		if _, ended := p.Ended(); !ended {
			return p, nil
		}
	}
	return f.open(ctx, name)
}

// actor finds the process that a request wants to act for: self, a name given by proc_spawn, or a pid.
func (f *procFace) actor(ctx context.Context, r door.Request, i int) (*proc.Process, error) {
	switch who := r.Args[i].(type) {
	case term.Atom:
		if who == "self" {
			return f.own(ctx, r.Client)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if p := f.named[string(who)]; p != nil {
			return p, nil
		}
	case term.Pid:
		if who.Node != string(f.node.cfg.Node) {
			return nil, &kit.Error{Op: r.Verb, What: term.String(who), Kind: kit.Invalid, Err: fmt.Errorf("it is a process of another node"), Hint: "ask its own node"}
		}
		if p := f.rt.Process(who.ID); p != nil {
			return p, nil
		}
		if !f.rt.Alive(who) {
			return nil, proc.ErrEnded
		}
		return nil, &kit.Error{Op: r.Verb, What: term.String(who), Kind: kit.Refused, Err: fmt.Errorf("it runs a function of its own; nobody else can act for it")}
	}
	return nil, &kit.Error{Op: r.Verb, What: term.String(r.Args[i]), Kind: kit.NotFound, Err: fmt.Errorf("there is no such process")}
}

// maxWait bounds the time that a verb of processes waits, as its client asks.
const maxWait = time.Hour

// wait reads the argument i, milliseconds, which may be left out.
func wait(r door.Request, i int, otherwise time.Duration) (time.Duration, error) {
	if len(r.Args) <= i {
		return otherwise, nil
	}
	if r.Args[i] == term.Atom("infinity") {
		return maxWait, nil
	}
	ms, err := r.Int(i)
	if err != nil || ms < 0 || ms > maxWait.Milliseconds() {
		return 0, &kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: fmt.Errorf("argument %d must be a number of milliseconds up to an hour", i+1)}
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// function reads what to call: a name, or a list of a name and arguments. Any other term calls mirror.
func function(t term.Term) (string, []term.Term) {
	switch t := t.(type) {
	case term.Atom:
		return string(t), nil
	case term.List:
		if len(t) > 0 {
			if name, ok := t[0].(term.Atom); ok && !strings.HasPrefix(string(name), "$") {
				return string(name), t[1:]
			}
		}
	}
	return "mirror", []term.Term{t}
}
