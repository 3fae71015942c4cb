package proc

import (
	"cmp"
	"maps"
	"slices"

	"netsplit/kit/term"
)

// subscription is one process's wish to hear of every node that comes or goes.
type subscription struct {
	id     uint64
	reason bool // with the reason of a loss
}

// MonitorNodes subscribes a process to nodeup and nodedown messages, or ends all its subscriptions of that kind (Erlang's
// net_kernel:monitor_nodes). Each subscription gives each message once more.
func (c *Core) MonitorNodes(id uint64, on, reason bool) {
	s := subscription{id, reason}
	if on && len(c.subs) < MaxNames {
		c.subs = append(c.subs, s)
	} else if !on {
		c.subs = slices.DeleteFunc(c.subs, func(t subscription) bool { return t == s })
	}
}

// MonitorNode asks for one nodedown message when the node is lost, at once if it cannot be reached, or takes one such
// wish back (Erlang's monitor_node).
func (c *Core) MonitorNode(id uint64, node string, on bool) {
	list := c.nodes[node]
	switch i := slices.Index(list, id); {
	case !on && i >= 0:
		c.nodes[node] = slices.Delete(list, i, i+1)
	case !on:
	case node == c.self:
	default:
		if len(list) < MaxNames {
			c.nodes[node] = append(list, id)
		}
		if _, trying := c.waiting[node]; !c.up[node] && !trying {
			c.waiting[node] = []Signal{}
			c.effect(Effect{Kind: Connect, Node: node})
		}
	}
}

// unsubscribe forgets what a process that ended wanted to hear.
func (c *Core) unsubscribe(id uint64) {
	if len(c.subs) > 0 {
		c.subs = slices.DeleteFunc(c.subs, func(s subscription) bool { return s.id == id })
	}
	for node, list := range c.nodes {
		if slices.Contains(list, id) {
			c.nodes[node] = slices.DeleteFunc(list, func(i uint64) bool { return i == id })
		}
	}
}

// PeerUp takes that the link to a node is up.
func (c *Core) PeerUp(node string) { c.peerUp(node, false) }

// PeerUpHidden takes that a hidden link to a node is up. Messages, links, monitors and calls cross it as any other; who
// waits for nodeup and nodedown of all nodes is not told, and global names and locks, introductions and the prevention of
// overlaps leave it out, as Erlang's global does with hidden nodes.
func (c *Core) PeerUpHidden(node string) { c.peerUp(node, true) }

func (c *Core) peerUp(node string, hidden bool) {
	if c.up[node] {
		return
	}
	c.up[node] = true
	if hidden {
		c.hidden[node] = true
	}
	delete(c.overlap.dropped, node)
	queue := c.waiting[node]
	delete(c.waiting, node)
	if !hidden {
		c.tell("nodeup", node, nil)
		c.greet(node)
	}
	for _, s := range queue {
		c.route(node, s)
	}
}

// greet tells a new peer whom this node is connected to, so that all connect to all, and which names it holds.
func (c *Core) greet(node string) {
	var others term.List
	for _, n := range c.Peers() {
		if n != node {
			others = append(others, term.Atom(n))
		}
	}
	c.route(node, Signal{Op: OpNodes, From: c.host(), Term: others})
	c.greetNames(node)
}

// maxIntroduced bounds the nodes that one peer can have this one connect to at once.
const maxIntroduced = 1024

// introduced connects to the nodes that a peer is connected to, as Erlang's global does.
func (c *Core) introduced(s Signal) {
	list, _ := s.Term.(term.List)
	for _, t := range list[:min(len(list), maxIntroduced)] {
		n, ok := t.(term.Atom)
		if !ok || string(n) == c.self || c.up[string(n)] {
			continue
		}
		if _, trying := c.waiting[string(n)]; !trying {
			c.waiting[string(n)] = []Signal{}
			c.effect(Effect{Kind: Connect, Node: string(n)})
		}
	}
}

// PeerDown takes that the link to a node is down: every link and monitor across it fires. reason is what those hear who
// asked for the reason of a loss.
func (c *Core) PeerDown(node string, reason term.Term) {
	if !c.up[node] {
		return
	}
	delete(c.up, node)
	hidden := c.hidden[node]
	delete(c.hidden, node)
	for _, p := range c.procs.all() {
		if !p.ended { // by a link to one before it
			c.cutOff(p, node)
		}
	}
	c.loseAnswers(node)
	c.loseNames(node)
	if !hidden {
		c.tell("nodedown", node, reason)
		c.lost(node)
	}
	c.tellOnce(node)
}

// cutOff fires what one process has across a link that is down.
func (c *Core) cutOff(p *process, node string) {
	for w := range p.watchers {
		if w.pid.Node == node {
			delete(p.watchers, w)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(p.monitors)) {
		if p.monitors[ref].at() == node {
			c.down(p, ref, NoConnection)
		}
	}
	for q := range p.unlinked {
		if q.Node == node {
			delete(p.unlinked, q)
		}
	}
	for _, q := range sortedPids(p.links) {
		if q.Node == node {
			c.exitSignal(p, Signal{Op: OpExitLink, From: q, To: p.pid, Term: NoConnection})
		}
	}
}

// loseAnswers tells those who wait for an answer of a node that none comes.
func (c *Core) loseAnswers(node string) {
	for _, ref := range slices.Sorted(maps.Keys(c.asked)) {
		if c.asked[ref] == node {
			c.drop(ref)
			c.effect(Effect{Kind: Answered, Ref: ref})
		}
	}
}

// ConnectFailed takes that a connection attempt was in vain: what waited for it is lost, with the answers that Erlang
// gives.
func (c *Core) ConnectFailed(node string) {
	queue, trying := c.waiting[node]
	if !trying || c.up[node] {
		return
	}
	delete(c.waiting, node)
	for _, s := range queue {
		c.bounce(s)
	}
	c.tellOnce(node)
}

// tell sends nodeup or nodedown to the subscribers. Those who want reasons get a list of what is known besides.
func (c *Core) tell(what, node string, reason term.Term) {
	info := term.List{}
	if reason != nil {
		info = term.L(term.T(term.Atom("nodedown_reason"), reason))
	}
	for _, s := range slices.Clone(c.subs) {
		p := c.procs.find(s.id)
		switch {
		case p == nil:
		case s.reason:
			c.deliver(p, term.T(term.Atom(what), term.Atom(node), info))
		default:
			c.deliver(p, term.T(term.Atom(what), term.Atom(node)))
		}
	}
}

// tellOnce sends nodedown to those who asked about this node, and forgets their wish.
func (c *Core) tellOnce(node string) {
	list := c.nodes[node]
	delete(c.nodes, node)
	for _, id := range list {
		if p := c.procs.find(id); p != nil {
			c.deliver(p, term.T(term.Atom("nodedown"), term.Atom(node)))
		}
	}
}

// overlap is what prevents partitions that overlap: when a node has lost another, those who still have both cut both
// off, so that no node is in two parts of what was one cluster.
type overlap struct {
	on      bool
	dropped map[string]bool // nodes that were cut off for that, until they are back
}

// PreventOverlap switches Erlang's prevent_overlapping_partitions.
func (c *Core) PreventOverlap(on bool) { c.overlap.on = on }

// lost tells all peers that this node has lost another, unless it cut that one off itself.
func (c *Core) lost(node string) {
	if c.overlap.on && !c.overlap.dropped[node] {
		c.broadcast(Signal{Op: OpLost, From: c.host(), Name: node})
	}
}

// heardLost takes that a peer has lost a node. This node may be about to lose it too; so it waits before it judges.
func (c *Core) heardLost(peer, node string) {
	if c.overlap.on && node != c.self {
		c.effect(Effect{Kind: Suspect, Node: peer, Name: node})
	}
}

// Overlaps cuts a peer off that has lost a node which is still connected here, or was until it was cut off in the same
// way; as Erlang's global does since OTP 25.
func (c *Core) Overlaps(peer, node string) {
	if c.up[peer] && (c.up[node] || c.overlap.dropped[node]) {
		c.overlap.dropped[peer] = true
		c.effect(Effect{Kind: Drop, Node: peer})
	}
}

// Subscriptions gives the number of subscriptions to nodeup and nodedown.
func (c *Core) Subscriptions() int { return len(c.subs) }

func compareClaims(a, b claim) int {
	return cmp.Or(cmp.Compare(a.name, b.name), comparePids(a.pid, b.pid))
}
