package proc

import (
	"maps"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// runDist is the function dist_supervisor: this node's part of a distributed supervisor.
func runDist(p *Process, args []term.Term) (term.Term, error) {
	if len(args) != 1 {
		return nil, Error(Undef)
	}
	opts, err := ParseDistOptions(args[0])
	if err != nil {
		return nil, Exit(reasonOf(err))
	}
	if !slices.Contains(opts.Members, p.Node()) {
		return nil, Exit(reasonOf(badData("invalid_members", term.Atoms(opts.Members...))))
	}
	if err := p.Register(opts.Name); err != nil {
		other, _ := p.rt.Whereis(opts.Name)
		return nil, Exit(term.T(term.Atom("already_started"), other))
	}
	p.TrapExit(true)
	p.MonitorNodes(true, false)
	p.do(func(c *Core) { c.procs.find(p.pid.ID).leader = c.host() }) // its children belong to the node, not to who began it
	d := newDist(string(p.Node()), opts, distProcess{p, opts, args[0]}, time.Now())
	d.begin(time.Now())
	for {
		msg, _ := p.Receive(d.next(), nil)
		if reason := d.step(time.Now(), msg); reason != nil {
			return nil, Exit(reason)
		}
	}
}

// distProcess does what a member decides, as the process that it is.
type distProcess struct {
	p       *Process
	opts    DistOptions
	options term.Term
}

func (a distProcess) self() term.Pid { return a.p.pid }

// send does not connect to a node that is lost, as messages do else: members meet when the node comes back by itself.
func (a distProcess) send(to term.Pid, msg term.Term) {
	a.p.do(func(c *Core) {
		if c.up[to.Node] {
			c.Send(a.p.pid, to, msg)
		}
	})
}

func (a distProcess) sendTo(node string, msg term.Term) {
	a.p.do(func(c *Core) {
		if c.up[node] {
			c.SendName(a.p.pid, a.opts.Name, node, msg)
		}
	})
}

func (a distProcess) monitor(pid term.Pid) (ref uint64) {
	a.p.do(func(c *Core) {
		if ref = a.lost(c, pid.Node); ref == 0 {
			ref = c.Monitor(a.p.pid.ID, pid)
		}
	})
	return ref
}

func (a distProcess) monitorName(node string) (ref uint64) {
	a.p.do(func(c *Core) {
		if ref = a.lost(c, node); ref == 0 {
			ref = c.MonitorName(a.p.pid.ID, a.opts.Name, node)
		}
	})
	return ref
}

// lost is a monitor on a node that is not connected: its word comes at once.
func (a distProcess) lost(c *Core, node string) uint64 {
	if c.up[node] {
		return 0
	}
	ref, me := c.ref(), c.procs.find(a.p.pid.ID)
	me.watches(ref, watched{name: a.opts.Name, node: node})
	c.down(me, ref, NoConnection)
	return ref
}

func (a distProcess) demonitor(ref uint64) { a.p.Demonitor(ref) }

func (a distProcess) connected() (nodes []string) {
	a.p.do(func(c *Core) { nodes = slices.Sorted(maps.Keys(c.up)) })
	return nodes
}

// startPart begins a member's part there; when there is one meanwhile the new one ends at once.
func (a distProcess) startPart(node string) {
	if !slices.Contains(a.connected(), node) {
		return
	}
	_ = a.p.rt.Cast(term.Pid{}, kit.NodeName(node), distFunc, []term.Term{a.options}) // it is tried again
}

func (a distProcess) start(spec ChildSpec) (term.Pid, term.Term) { return a.p.startChild(spec) }

func (a distProcess) exit(pid term.Pid, reason term.Term) { a.p.SendExit(pid, reason) }

func (a distProcess) answer(to term.Pid, ref, v term.Term) { a.p.answer(to, ref, v) }

func (a distProcess) say(text string) {
	a.p.say(a.opts.Name + ": " + text)
	a.p.rt.report(a.opts.Name + ": " + text)
}
