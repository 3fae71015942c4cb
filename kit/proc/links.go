package proc

import (
	"errors"

	"netsplit/kit"
	"netsplit/kit/term"
)

var errNoFunc = errors.New("the node knows no such function")

// Link links a process of this node to another. Linking to a process of this node that is gone is an error, as in
// Erlang, unless the caller traps exits; anywhere else the exit signal noproc or noconnection comes.
func (c *Core) Link(id uint64, to term.Pid) error {
	p := c.procs.find(id)
	if p == nil || to == p.pid {
		return nil
	}
	if _, ok := p.links[to]; ok {
		return nil
	}
	if to.Node == c.self && c.find(to) == nil && !p.trap {
		return Error(NoProc)
	}
	p.link(to)
	c.route(to.Node, Signal{Op: OpLink, From: p.pid, To: to})
	return nil
}

func (p *process) link(to term.Pid) {
	if p.links == nil {
		p.links = map[term.Pid]struct{}{}
	}
	p.links[to] = struct{}{}
}

// Unlink takes a link away; when it returns no exit signal comes over it any more. The other side may be linking at the same
// time: its signal, sent before this one came, must not make a link that it does not have itself. So links from there do not count
// until it tells that the unlink has come (Erlang's distribution protocol, UNLINK_ID and UNLINK_ID_ACK, since OTP 23).
func (c *Core) Unlink(id uint64, to term.Pid) {
	p := c.procs.find(id)
	if p == nil {
		return
	}
	if _, ok := p.links[to]; ok {
		delete(p.links, to)
		if to.Node != c.self && c.reaches(to.Node) {
			if p.unlinked == nil {
				p.unlinked = map[term.Pid]int{}
			}
			p.unlinked[to]++
		}
		c.along(to.Node, Signal{Op: OpUnlink, From: p.pid, To: to})
	}
}

// unlinkArrived takes that one more unlink has come to a process, or is lost with the links that it could meet.
func (p *process) unlinkArrived(to term.Pid) {
	if p.unlinked == nil {
		return
	}
	if p.unlinked[to]--; p.unlinked[to] <= 0 {
		delete(p.unlinked, to)
	}
}

// linked takes OpLink, OpUnlink and OpUnlinked.
func (c *Core) linked(s Signal) {
	p := c.find(s.To)
	if s.To.Node != c.self {
		return // nobody here can answer for another node
	}
	switch {
	case s.Op == OpUnlink:
		if p != nil {
			delete(p.links, s.From)
		}
		if s.From.Node != c.self {
			c.along(s.From.Node, Signal{Op: OpUnlinked, From: s.To, To: s.From})
		}
	case s.Op == OpUnlinked:
		if p != nil && p.unlinked[s.From] > 0 {
			p.unlinkArrived(s.From)
		}
	case p != nil && p.unlinked[s.From] > 0:
	case p == nil:
		c.route(s.From.Node, Signal{Op: OpExitLink, From: s.To, To: s.From, Term: NoProc})
	default:
		p.link(s.From)
	}
}

// Monitor watches a process; a DOWN message tells of its end, or at once that it is not there.
func (c *Core) Monitor(id uint64, of term.Pid) uint64 {
	return c.monitor(id, watched{pid: of}, of.Node, Signal{Op: OpMonitor, To: of})
}

func (p *process) watches(ref uint64, what watched) {
	if p.monitors == nil {
		p.monitors = map[uint64]watched{}
	}
	p.monitors[ref] = what
}

// MonitorName watches whoever has a name at a node now.
func (c *Core) MonitorName(id uint64, name, node string) uint64 {
	return c.monitor(id, watched{name: name, node: node}, node, Signal{Op: OpMonitorName, Name: name})
}

func (c *Core) monitor(id uint64, what watched, node string, s Signal) uint64 {
	p := c.procs.find(id)
	if p == nil {
		return 0
	}
	ref := c.ref()
	p.watches(ref, what)
	s.From, s.Ref = p.pid, ref
	c.route(node, s)
	return ref
}

// Demonitor watches no longer, and takes a DOWN message that is there already out of the mailbox.
func (c *Core) Demonitor(id, ref uint64) {
	p := c.procs.find(id)
	if p == nil {
		return
	}
	if what, ok := p.monitors[ref]; ok {
		delete(p.monitors, ref)
		c.forget(p, ref, what)
		return
	}
	p.box.remove(func(m term.Term) bool {
		t, ok := m.(term.Tuple)
		return ok && len(t) == 5 && t[0] == term.Atom("DOWN") && t[1] == term.Int(ref)
	})
}

// forget tells the node of what was watched that it is not any more.
func (c *Core) forget(p *process, ref uint64, what watched) {
	c.along(what.at(), Signal{Op: OpDemonitor, From: p.pid, To: what.pid, Name: what.name, Ref: ref})
}

// watch takes OpMonitor, OpMonitorName and OpDemonitor.
func (c *Core) watch(s Signal) {
	w := watcher{s.From, s.Ref}
	p := c.find(s.To)
	if s.Op == OpMonitorName {
		p = c.names[s.Name]
	}
	switch {
	case s.Op == OpDemonitor && s.Name == "":
		if p != nil {
			delete(p.watchers, w)
		}
	case s.Op == OpDemonitor: // whoever had the name then may have another now
		for _, q := range c.procs.all() {
			delete(q.watchers, w)
		}
	case p == nil:
		c.route(s.From.Node, Signal{Op: OpDown, From: c.host(), To: s.From, Ref: s.Ref, Term: NoProc})
	default:
		if p.watchers == nil {
			p.watchers = map[watcher]struct{}{}
		}
		p.watchers[w] = struct{}{}
	}
}

// down tells a process of the end of what it watches, once.
func (c *Core) down(p *process, ref uint64, reason term.Term) {
	what, ok := p.monitors[ref]
	if !ok {
		return
	}
	delete(p.monitors, ref)
	c.deliver(p, term.T(term.Atom("DOWN"), term.Int(ref), term.Atom("process"), what.term(), reason))
}

// asks takes OpSpawn and OpCall: a process is begun for another node.
func (c *Core) asks(s Signal) {
	req, ok := parseRequest(s)
	if !ok {
		return // no node of ours sends that
	}
	refuse := func(reason term.Term) {
		if s.Op == OpCall {
			reason = term.T(term.Atom("error"), reason)
		}
		c.reply(s, reason)
	}
	p, err := c.add(s.Name, len(req.args), s.From, req.leader)
	switch {
	case kit.KindOf(err) == kit.NotFound:
		refuse(Undef)
		return
	case err != nil:
		refuse(term.Atom("system_limit"))
		return
	}
	if s.Op == OpCall {
		p.call = &watcher{s.From, s.Ref}
	} else {
		c.bind(p, s.From, req)
		c.reply(s, p.pid)
	}
	c.effect(Effect{Kind: Run, ID: p.pid.ID, Name: s.Name, Args: req.args, proc: p})
}

// spawnHere begins p for a process of this node, which is linked to it or watches it as the request says.
func (c *Core) spawnHere(parent, p *process, req request) error {
	if !c.knows(p.fn) {
		return errUnknown(p.fn)
	}
	p.parent, p.leader = parent.pid, parent.leader
	if err := c.place(p); err != nil {
		return err
	}
	if req.link || req.monitor != 0 {
		c.bind(p, parent.pid, req)
	}
	if req.link {
		parent.link(p.pid)
	}
	if req.monitor != 0 {
		parent.watches(req.monitor, watched{pid: p.pid})
	}
	return nil
}

// spawned links the asker to the process that it asked for, or lets it watch that, before any news of it can come.
func (c *Core) spawned(from string, ref uint64, t term.Term) {
	s, ok := c.spawning[ref]
	delete(c.spawning, ref)
	pid, is := t.(term.Pid)
	req, _ := parseRequest(s)
	if !ok || !is || pid.Node != from {
		return
	}
	switch p := c.find(s.From); {
	case p == nil:
		if req.link {
			c.along(pid.Node, Signal{Op: OpExitLink, From: s.From, To: pid, Term: NoProc})
		}
		if req.monitor != 0 {
			c.along(pid.Node, Signal{Op: OpDemonitor, From: s.From, To: pid, Ref: req.monitor})
		}
	default:
		if req.link {
			p.link(pid)
		}
		if req.monitor != 0 {
			p.watches(req.monitor, watched{pid: pid})
		}
	}
}

// bind links a new process to its parent, or lets that watch it, from its first moment on.
func (c *Core) bind(p *process, parent term.Pid, req request) {
	if req.link {
		p.link(parent)
	}
	if req.monitor != 0 {
		p.watchers = map[watcher]struct{}{{parent, req.monitor}: {}}
	}
}

func (c *Core) reply(s Signal, t term.Term) {
	op := OpSpawned
	if s.Op == OpCall {
		op = OpReturn
	}
	c.route(s.From.Node, Signal{Op: op, From: c.host(), To: s.From, Ref: s.Ref, Term: t})
}

// request is what OpSpawn and OpCall carry in their term.
type request struct {
	leader  term.Pid
	args    []term.Term
	link    bool
	monitor uint64
}

func (r request) term() term.Term {
	return term.T(r.leader, term.List(r.args), term.Bool(r.link), term.Int(r.monitor))
}

func parseRequest(s Signal) (request, bool) {
	t, _ := s.Term.(term.Tuple)
	if len(t) != 4 {
		return request{}, false
	}
	leader, ok1 := t[0].(term.Pid)
	args, ok2 := t[1].(term.List)
	monitor, ok3 := t[3].(term.Int)
	return request{leader, args, t[2] == term.True, uint64(monitor)}, ok1 && ok2 && ok3
}

// returned gives the answer of a process's function to the node that called it.
func (c *Core) returned(p *process, kind string, value term.Term) {
	if p.call == nil {
		return
	}
	to := p.call
	p.call = nil
	if to.pid.Node == c.self || c.up[to.pid.Node] { // else nobody waits any more
		c.route(to.pid.Node, Signal{Op: OpReturn, From: c.host(), To: to.pid, Ref: to.ref, Term: term.T(term.Atom(kind), value)})
	}
}
