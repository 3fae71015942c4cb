package proc

import (
	"maps"
	"slices"

	"netsplit/kit/term"
)

// claim is one node's word that a process of its own has a global name. Only the node of the process says so and takes
// it back, so that what others know of it is in the right order.
type claim struct {
	name     string // the term's key
	term     term.Term
	pid      term.Pid
	resolver string
}

// clash is a name that two processes hold: they took it on two sides of a cut.
type clash struct {
	name     term.Term
	pids     [2]term.Pid
	resolver string
}

// lock is a global lock as one node knows it.
type lock struct {
	requester string
	owner     term.Pid
}

// registry is what one node knows of global names and locks. Every node holds all names; the one whose process has
// the name tells all others, also those that come later.
type registry struct {
	claims map[string][]claim // the first of a name is the one that counts here
	locks  map[string]lock
	owned  map[uint64]int // locks that processes of this node ever asked for
}

func newRegistry() registry {
	return registry{claims: map[string][]claim{}, locks: map[string]lock{}, owned: map[uint64]int{}}
}

func keyOf(t term.Term) string { return string(term.Append(nil, t)) }

// WhereisGlobal gives the process that has a global name, as this node knows it.
func (c *Core) WhereisGlobal(name term.Term) (term.Pid, bool) {
	if list := c.claims[keyOf(name)]; len(list) > 0 {
		return list[0].pid, true
	}
	return term.Pid{}, false
}

// GlobalNames lists the global names that this node knows, in term order.
func (c *Core) GlobalNames() []term.Term {
	var names []term.Term
	for _, list := range c.claims {
		names = append(names, list[0].term)
	}
	slices.SortFunc(names, term.Compare)
	return names
}

// Claim gives a global name to a process of this node and tells all peers. It is for the holder of the name's lock.
// It reports false when the process has one already, which Erlang refuses too. With replaces that does not matter, and
// others lose the name.
func (c *Core) Claim(id uint64, name term.Term, resolver string, replaces bool) bool {
	p := c.procs.find(id)
	key := keyOf(name)
	if p == nil {
		return true // it has the name and died at once
	}
	if len(p.globals) > 0 && !replaces || len(c.claims) >= MaxNames {
		return false
	}
	if !slices.Contains(p.globals, key) {
		p.globals = append(p.globals, key)
	}
	cl := claim{key, name, p.pid, resolver}
	c.addClaim(cl, replaces)
	c.broadcast(Signal{Op: OpClaim, From: c.host(), Term: cl.wire(replaces)})
	return true
}

func (cl claim) wire(replaces bool) term.Term {
	return term.T(cl.term, cl.pid, term.Bin(cl.resolver), term.Bool(replaces))
}

func (c *Core) broadcast(s Signal) {
	for _, n := range c.Peers() {
		c.route(n, s)
	}
}

// addClaim notes a claim, and what is to be done about another for the same name. One that replaces others counts here
// from now on. Of those only the nodes of their processes take them back, which may not see the new one: what one node
// forgot in another's name would be missing here when the other keeps the name in the end.
func (c *Core) addClaim(cl claim, replaces bool) {
	if replaces {
		for _, old := range slices.Clone(c.claims[cl.name]) {
			if old.pid.Node == c.self && old.pid != cl.pid {
				c.dropClaim(old.name, old.pid)
			}
		}
	}
	list := c.claims[cl.name]
	i := slices.IndexFunc(list, func(o claim) bool { return o.pid == cl.pid })
	switch {
	case i >= 0 && !replaces:
	case i >= 0:
		c.claims[cl.name] = append([]claim{list[i]}, slices.Delete(slices.Clone(list), i, i+1)...)
	case replaces:
		c.claims[cl.name] = append([]claim{cl}, list...)
	default:
		c.claims[cl.name] = append(list, cl)
	}
	if i >= 0 {
		return
	}
	for _, o := range list {
		c.conflict(o, cl, replaces)
	}
}

// conflict decides who settles a clash: of the two nodes that hold the name the one that comes first, since both see it
// as soon as they see each other. When they do not, a third node settles it if it lasts; so it is with a name that is being
// replaced, which its holder gives up when it hears of that.
func (c *Core) conflict(a, b claim, replaced bool) {
	if comparePids(a.pid, b.pid) > 0 {
		a, b = b, a
	}
	e := Effect{Clash: &clash{a.term, [2]term.Pid{a.pid, b.pid}, a.resolver}}
	switch {
	case c.self == b.pid.Node:
		return
	case c.self == a.pid.Node && !replaced:
		e.Kind = Resolve
	default:
		e.Kind = Conflict
	}
	c.effect(e)
}

// Clashes reports whether a clash is still there.
func (c *Core) Clashes(k clash) bool {
	list := c.claims[keyOf(k.name)]
	for _, pid := range k.pids {
		if !slices.ContainsFunc(list, func(cl claim) bool { return cl.pid == pid }) {
			return false
		}
	}
	return true
}

// Settled reports whether no process of this node has a name that another has too.
func (c *Core) Settled() bool {
	for _, list := range c.claims {
		if len(list) > 1 && slices.ContainsFunc(list, func(cl claim) bool { return cl.pid.Node == c.self }) {
			return false
		}
	}
	return true
}

// dropClaim forgets a claim; of a process of this node all are told.
func (c *Core) dropClaim(key string, pid term.Pid) {
	list := c.claims[key]
	i := slices.IndexFunc(list, func(cl claim) bool { return cl.pid == pid })
	if i < 0 {
		return
	}
	cl := list[i]
	if len(list) == 1 {
		delete(c.claims, key)
	} else {
		c.claims[key] = slices.Delete(slices.Clone(list), i, i+1)
	}
	if pid.Node != c.self {
		return
	}
	if p := c.find(pid); p != nil {
		p.globals = slices.DeleteFunc(p.globals, func(k string) bool { return k == key })
	}
	c.broadcast(Signal{Op: OpUnclaim, From: c.host(), Term: term.T(cl.term, pid)})
}

// releaseNames takes from a process that ended its name and its locks.
func (c *Core) releaseNames(p *process) {
	for _, key := range slices.Clone(p.globals) {
		c.dropClaim(key, p.pid)
	}
	if _, ok := c.owned[p.pid.ID]; ok {
		delete(c.owned, p.pid.ID)
		s := Signal{Op: OpUnlockAll, From: p.pid}
		c.Signal(s)
		c.broadcast(s)
	}
}

// loseNames forgets the names of a node's processes, and their locks.
func (c *Core) loseNames(node string) {
	for key, list := range c.claims {
		list = slices.DeleteFunc(slices.Clone(list), func(cl claim) bool { return cl.pid.Node == node })
		if c.claims[key] = list; len(list) == 0 {
			delete(c.claims, key)
		}
	}
	maps.DeleteFunc(c.locks, func(_ string, l lock) bool { return l.owner.Node == node })
}

// greetNames tells a new peer the names that processes of this node have.
func (c *Core) greetNames(node string) {
	var own []claim
	for _, list := range c.claims {
		for _, cl := range list {
			if cl.pid.Node == c.self {
				own = append(own, cl)
			}
		}
	}
	slices.SortFunc(own, compareClaims)
	for _, cl := range own {
		c.route(node, Signal{Op: OpClaim, From: c.host(), Term: cl.wire(false)})
	}
}

// registrySignal takes the signals of names and locks.
func (c *Core) registrySignal(s Signal) {
	t, _ := s.Term.(term.Tuple)
	switch s.Op {
	case OpClaim:
		if len(t) != 4 {
			return
		}
		pid, ok1 := t[1].(term.Pid)
		resolver, ok2 := t[2].(term.Bin)
		if ok1 && ok2 && pid.Node == s.From.Node && len(c.claims) < MaxNames {
			c.addClaim(claim{keyOf(t[0]), t[0], pid, string(resolver)}, t[3] == term.True)
		}
	case OpUnclaim:
		if len(t) == 2 {
			if pid, ok := t[1].(term.Pid); ok && pid.Node == s.From.Node && pid.Node != c.self {
				c.dropClaim(keyOf(t[0]), pid)
			}
		}
	case OpWithdraw:
		if len(t) == 2 {
			if pid, ok := t[1].(term.Pid); ok && pid.Node == c.self {
				c.dropClaim(keyOf(t[0]), pid)
			}
		}
		c.done(s)
	case OpSync:
		c.done(s)
	case OpLock, OpUnlock, OpUnlockAll:
		c.lockSignal(s, t)
	}
}

func (c *Core) done(s Signal) {
	c.route(s.From.Node, Signal{Op: OpDone, From: c.host(), To: s.From, Ref: s.Ref})
}

// lockSignal takes the signals of locks. A lock is asked for at each node that it is to hold at; who meets another there
// gives back what it got and tries again, so that no two wait for each other.
func (c *Core) lockSignal(s Signal, t term.Tuple) {
	if s.Op == OpUnlockAll {
		maps.DeleteFunc(c.locks, func(_ string, l lock) bool { return l.owner == s.From })
		return
	}
	if len(t) != 3 {
		return
	}
	id, requester := keyOf(t[0]), keyOf(t[1])
	held, locked := c.locks[id]
	if s.Op == OpUnlock {
		if locked && held.requester == requester && held.owner.Node == s.From.Node {
			delete(c.locks, id)
		}
		c.done(s)
		return
	}
	answer := term.Term(term.Atom("granted"))
	holder, taken := c.WhereisGlobal(t[2])
	switch {
	case locked && held.requester == requester:
		answer = term.Atom("held")
	case locked || len(c.locks) >= MaxLocks:
		answer = term.Atom("busy")
	case taken && t[2] != term.Undefined:
		answer = holder
	default:
		c.locks[id] = lock{requester, s.From}
	}
	c.route(s.From.Node, Signal{Op: OpLocked, From: c.host(), To: s.From, Ref: s.Ref, Term: answer})
}

// Owns notes that a process asks for locks, which end with it.
func (c *Core) Owns(id uint64) { c.owned[id]++ }

// Peers lists the nodes whose link is up and not hidden, sorted: those that share global names and locks.
func (c *Core) Peers() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.up)), func(n string) bool { return c.hidden[n] })
}
