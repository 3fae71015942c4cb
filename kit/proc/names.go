package proc

import (
	"maps"
	"slices"

	"netsplit/kit/term"
)

// Register gives a process of this node a local name. A name that is taken, a process that has one, that is gone or of
// another node, and the name undefined are badarg, as in Erlang.
func (c *Core) Register(name string, pid term.Pid) error {
	p := c.find(pid)
	if p == nil || p.name != "" || c.names[name] != nil || name == "" || name == "undefined" || len(c.names) >= MaxNames {
		return badarg()
	}
	p.name = name
	c.names[name] = p
	return nil
}

// Unregister takes a local name away; one that nobody has is badarg.
func (c *Core) Unregister(name string) error {
	p := c.names[name]
	if p == nil {
		return badarg()
	}
	p.name = ""
	delete(c.names, name)
	return nil
}

// Whereis gives the process that has a local name.
func (c *Core) Whereis(name string) (term.Pid, bool) {
	if p := c.names[name]; p != nil {
		return p.pid, true
	}
	return term.Pid{}, false
}

// Registered lists the local names, sorted.
func (c *Core) Registered() []string { return slices.Sorted(maps.Keys(c.names)) }

// Info is what is known of one process.
type Info struct {
	Pid      term.Pid
	Function string // what it runs
	Arity    int
	Name     string // local; empty when it has none
	Globals  []term.Term
	Parent   term.Pid
	Leader   term.Pid
	Trap     bool
	Waiting  int    // messages in the mailbox
	Received uint64 // messages that ever came
	Links    []term.Pid
	Monitors []term.Term // what it watches: pids or {name, node}
	Watchers []term.Pid
}

// Info tells about a process of this node; false when there is none.
func (c *Core) Info(id uint64) (Info, bool) {
	p := c.procs.find(id)
	if p == nil {
		return Info{}, false
	}
	waiting, got := p.box.waits()
	i := Info{Pid: p.pid, Function: p.fn, Arity: p.args, Name: p.name, Parent: p.parent, Leader: p.leader, Trap: p.trap,
		Waiting: waiting, Received: got, Links: sortedPids(p.links)}
	for _, key := range p.globals {
		if list := c.claims[key]; len(list) > 0 {
			i.Globals = append(i.Globals, list[0].term)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(p.monitors)) {
		i.Monitors = append(i.Monitors, p.monitors[ref].term())
	}
	for w := range p.watchers {
		i.Watchers = append(i.Watchers, w.pid)
	}
	slices.SortFunc(i.Watchers, comparePids)
	return i, true
}

// Processes tells about up to limit processes of this node, the oldest first, beginning behind the number after.
func (c *Core) Processes(after uint64, limit int) []Info {
	var all []Info
	for _, p := range c.procs.all() {
		if id := p.pid.ID; id > after && len(all) < limit {
			i, _ := c.Info(id)
			all = append(all, i)
		}
	}
	return all
}

// Count is how many processes there are.
func (c *Core) Count() int { return c.procs.len() }

// Waiting is how many messages wait in all mailboxes together.
func (c *Core) Waiting() int {
	sum := 0
	for _, p := range c.procs.all() {
		n, _ := p.box.waits()
		sum += n
	}
	return sum
}

// Trap lets exit signals become messages.
func (c *Core) Trap(id uint64, on bool) {
	if p := c.procs.find(id); p != nil {
		p.trap = on
	}
}
