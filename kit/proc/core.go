package proc

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"netsplit/kit"
	"netsplit/kit/term"
)

// EffectKind says what an Effect asks for.
type EffectKind byte

// The effects.
const (
	Run      EffectKind = iota + 1 // process ID is to run Name with Args
	Ended                          // process ID has ended with Reason
	Transmit                       // Signal goes to the peer Node
	Connect                        // bring up the link to Node, and tell by ConnectFailed if that is in vain
	Answered                       // what was asked with Ref is answered with Reason; nil when the node asked was lost
	Print                          // Line was written by a process whose output belongs here
	Resolve                        // two processes hold the global name Name: see registry.conflict
	Conflict                       // as Resolve, for holders that do not see each other: decide when it lasts
	Suspect                        // the peer Node has lost Name: call Overlaps a while later (see Config.PreventOverlap)
	Drop                           // take the link to Node down
	Report                         // Line is worth a line in the node's journal
)

// Effect is one thing that the core wants done.
type Effect struct {
	Kind   EffectKind
	ID     uint64
	Ref    uint64
	Node   string
	Name   string
	Args   []term.Term
	Reason term.Term
	Line   *Line
	Signal *Signal
	Clash  *clash

	proc *process // of Run and Ended
}

// Line is a line of output.
type Line struct {
	From term.Pid
	Text string
}

// watched is what a monitor watches: a process, or whoever had a name at a node.
type watched struct {
	pid  term.Pid
	name string // with a name: what DOWN tells is {name, node}
	node string
}

// at is the node of what is watched.
func (w watched) at() string {
	if w.name != "" {
		return w.node
	}
	return w.pid.Node
}

func (w watched) term() term.Term {
	if w.name != "" {
		return term.T(term.Atom(w.name), term.Atom(w.node))
	}
	return w.pid
}

// watcher is a monitor seen from the one that is watched.
type watcher struct {
	pid term.Pid
	ref uint64
}

// process is one process of this node.
type process struct {
	pid      term.Pid
	fn       string
	args     int
	parent   term.Pid
	leader   term.Pid // its output goes to the node of this one
	name     string   // local
	globals  []string // keys of its global names
	trap     bool
	box      mailbox
	links    map[term.Pid]struct{}
	unlinked map[term.Pid]int // of other nodes: how many unlinks have not come to them yet, see Unlink
	monitors map[uint64]watched
	watchers map[watcher]struct{}
	call     *watcher // who waits for the function's answer, and under what reference

	out   sync.Mutex // held by the process while it sends past the core
	ended bool       // under the core's lock and out

	handle Process // the runtime's; zero before it knows of the process
	next   chain   // of the table
}

// end makes the process send nothing more: what it sent comes before the news of its end.
func (p *process) end() {
	p.out.Lock()
	p.ended = true
	p.out.Unlock()
	p.box.close()
}

// Core is the state of one node's processes. Every method takes one step; Effects gives what is to be done then.
// The same steps in the same order give the same effects.
type Core struct {
	self       string
	base, last uint64 // numbers of processes: before the first one of this life, and the last one
	lastRef    uint64
	maxProcs   int
	maxMailbox int
	knows      func(fn string) bool

	procs    *table
	names    map[string]*process
	up       map[string]bool
	hidden   map[string]bool     // those of them whose link is hidden
	waiting  map[string][]Signal // to nodes that a connection is being made to
	asked    map[uint64]string   // references of the runtime's own questions, and the nodes asked
	spawning map[uint64]Signal   // those of them that ask for a process
	subs     []subscription
	nodes    map[string][]uint64 // monitor_node: who wants to know of the node's loss, once each
	overlap  overlap
	registry

	out []Effect
}

// idsPerLife separates the numbers of the processes of a node's lives.
const idsPerLife = 1_000_000_000_000

// NewCore makes the core of a node in its boot-th life (from 1): numbers of processes never come again. knows tells
// which functions there are; limits of 0 are the defaults.
func NewCore(self string, boot uint64, knows func(string) bool, maxProcs, maxMailbox int) *Core {
	base := (max(boot, 1) - 1) % 10_000_000 * idsPerLife
	return &Core{self: self, base: base, last: base, maxProcs: cmp.Or(maxProcs, MaxProcesses), maxMailbox: cmp.Or(maxMailbox, MaxMailbox),
		knows: knows, procs: newTable(), names: map[string]*process{}, up: map[string]bool{}, hidden: map[string]bool{}, waiting: map[string][]Signal{},
		asked: map[uint64]string{}, spawning: map[uint64]Signal{}, nodes: map[string][]uint64{}, overlap: overlap{dropped: map[string]bool{}},
		registry: newRegistry()}
}

// Effects gives what the steps since the last call ask for. The slice is used again by the next step.
func (c *Core) Effects() []Effect {
	out := c.out
	c.out = c.out[:0]
	return out
}

func (c *Core) effect(e Effect) { c.out = append(c.out, e) }

func (c *Core) ref() uint64 { c.lastRef++; return c.lastRef }

// host is the pid that stands for the node's runtime.
func (c *Core) host() term.Pid { return term.Pid{Node: c.self} }

// Spawn begins a process that belongs to parent and whose output goes to leader; both may be the host. An unknown
// function is kit.NotFound, too many processes kit.Overloaded.
func (c *Core) Spawn(fn string, args []term.Term, parent, leader term.Pid) (term.Pid, error) {
	p, err := c.add(fn, len(args), parent, leader)
	if err != nil {
		return term.Pid{}, err
	}
	c.effect(Effect{Kind: Run, ID: p.pid.ID, Name: fn, Args: args, proc: p})
	return p.pid, nil
}

// Attend begins a process that runs no function: the caller acts in its name.
func (c *Core) Attend(fn string, parent, leader term.Pid) (term.Pid, error) {
	p, err := c.make(fn, 0, parent, leader)
	if err != nil {
		return term.Pid{}, err
	}
	return p.pid, nil
}

func (c *Core) add(fn string, args int, parent, leader term.Pid) (*process, error) {
	if !c.knows(fn) {
		return nil, errUnknown(fn)
	}
	return c.make(fn, args, parent, leader)
}

func errUnknown(fn string) error {
	return &kit.Error{Op: "spawn", What: fn, Kind: kit.NotFound, Err: errNoFunc, Hint: `"functions" lists those of the node`}
}

func (c *Core) make(fn string, args int, parent, leader term.Pid) (*process, error) {
	p := &process{fn: fn, args: args, parent: parent, leader: leader}
	return p, c.place(p)
}

// place gives a process its number.
func (c *Core) place(p *process) error {
	if c.procs.len() >= c.maxProcs {
		return overloaded("spawn", "processes of "+c.self, c.maxProcs)
	}
	c.last++
	p.pid = term.Pid{Node: c.self, ID: c.last}
	c.procs.put(p)
	return nil
}

// find gives a process of this node that lives.
func (c *Core) find(pid term.Pid) *process {
	if pid.Node != c.self {
		return nil
	}
	return c.procs.find(pid.ID)
}

// Alive reports whether a process of this node lives.
func (c *Core) Alive(id uint64) bool { return c.procs.find(id) != nil }

// route brings a signal to its node: here at once, else over the link, which is made if need be.
func (c *Core) route(node string, s Signal) {
	switch {
	case node == c.self:
		c.Signal(s)
	case c.up[node]:
		frame := s // so that s itself stays on the stack where nothing is sent
		c.effect(Effect{Kind: Transmit, Node: node, Signal: &frame})
	default:
		c.connect(node, s)
	}
}

// connect lets a signal wait for the link to a node, which is asked for with the first. When too many wait already it
// is as if the node could not be reached.
func (c *Core) connect(node string, s Signal) {
	queue, trying := c.waiting[node]
	if len(queue) >= MaxConnecting {
		c.bounce(s)
		return
	}
	c.waiting[node] = append(queue, s)
	if !trying {
		c.effect(Effect{Kind: Connect, Node: node})
	}
}

// along brings a signal to a node if there is a link, or one is being made, over which the other side could know what
// the signal is about. A link that went down took all links and monitors with it, and to tell of their end must not
// connect again to a node that somebody may have disconnected on purpose.
func (c *Core) along(node string, s Signal) {
	if c.reaches(node) {
		c.route(node, s)
	}
}

// reaches reports whether there is a link to a node, or one is being made.
func (c *Core) reaches(node string) bool {
	_, trying := c.waiting[node]
	return trying || node == c.self || c.up[node]
}

// connects reports whether a question is worth a connection. What a node knows of names, and of locks that belong to a node,
// is gone with the link.
func (s Signal) connects() bool {
	switch s.Op {
	case OpUnlock, OpWithdraw, OpSync:
		return false
	case OpLock:
		return s.From.ID != 0
	}
	return true
}

// bounce takes that a signal cannot be sent: links and monitors fire, questions have no answer, the rest is lost.
func (c *Core) bounce(s Signal) {
	p := c.find(s.From)
	switch s.Op {
	case OpLink:
		if p != nil {
			c.exitSignal(p, Signal{Op: OpExitLink, From: s.To, To: p.pid, Term: NoConnection})
		}
	case OpUnlink:
		if p != nil {
			p.unlinkArrived(s.To)
		}
	case OpMonitor, OpMonitorName:
		if p != nil {
			c.down(p, s.Ref, NoConnection)
		}
	case OpSpawn, OpCall, OpLock, OpUnlock, OpWithdraw, OpSync:
		if _, asked := c.asked[s.Ref]; asked {
			c.drop(s.Ref)
			c.effect(Effect{Kind: Answered, Ref: s.Ref})
		}
	}
}

// Send sends a message to a process anywhere. One that is not there gets nothing, and nobody is told.
func (c *Core) Send(from, to term.Pid, msg term.Term) {
	c.route(to.Node, Signal{Op: OpSend, From: from, To: to, Term: msg})
}

// SendName sends to whoever has the name at a node.
func (c *Core) SendName(from term.Pid, name, node string, msg term.Term) {
	c.route(node, Signal{Op: OpSendName, From: from, Name: name, Term: msg})
}

// deliver puts a message into a mailbox.
func (c *Core) deliver(p *process, msg term.Term) { c.put(p, msg, 0) }

// put is deliver for a message that came in a frame of some size. A mailbox that is full ends its process.
func (c *Core) put(p *process, msg term.Term, size int) {
	if !p.box.add(msg, size, c.maxMailbox) {
		c.effect(Effect{Kind: Report, Line: &Line{From: p.pid, Text: "ended: too many messages wait in its mailbox"}})
		c.die(p, term.T(term.Atom("system_limit"), term.Atom("mailbox")))
	}
}

// Signal takes a signal for this node, from a process here or from a peer.
func (c *Core) Signal(s Signal) {
	switch s.Op {
	case OpSend:
		if p := c.find(s.To); p != nil {
			c.put(p, s.Term, s.size)
		}
	case OpSendName:
		if p := c.names[s.Name]; p != nil {
			c.put(p, s.Term, s.size)
		}
	case OpLink, OpUnlink, OpUnlinked:
		c.linked(s)
	case OpExit, OpExitLink:
		if p := c.find(s.To); p != nil {
			c.exitSignal(p, s)
		}
	case OpMonitor, OpMonitorName, OpDemonitor:
		c.watch(s)
	case OpDown:
		// Only the node of what is watched tells of its end.
		if p := c.find(s.To); p != nil && p.monitors[s.Ref].at() == s.From.Node {
			c.down(p, s.Ref, s.Term)
		}
	case OpOutput:
		if text, ok := s.Term.(term.Bin); ok {
			c.effect(Effect{Kind: Print, Line: &Line{From: s.From, Text: string(text)}})
		}
	case OpSpawn, OpCall:
		c.asks(s)
	case OpSpawned, OpReturn, OpLocked, OpDone:
		c.answer(s.From.Node, s.Ref, s.Term)
	default:
		c.clusterSignal(s)
	}
}

// clusterSignal takes what nodes tell each other of the cluster; a hidden node has no say in that.
func (c *Core) clusterSignal(s Signal) {
	if c.hidden[s.From.Node] {
		return
	}
	switch s.Op {
	case OpNodes:
		c.introduced(s)
	case OpLost:
		c.heardLost(s.From.Node, s.Name)
	default:
		c.registrySignal(s)
	}
}

// exitSignal is what an exit signal does to a process (Erlang's reference manual, "Receiving Exit Signals").
func (c *Core) exitSignal(p *process, s Signal) {
	if s.Op == OpExitLink {
		if _, ok := p.links[s.From]; !ok {
			return // unlinked meanwhile
		}
		delete(p.links, s.From)
	}
	switch {
	case s.Op == OpExit && s.Term == Kill:
		c.die(p, Killed)
	case p.trap:
		c.deliver(p, term.T(term.Atom("EXIT"), s.From, s.Term))
	case s.Term == Normal && s.From != p.pid:
	default:
		c.die(p, s.Term)
	}
}

// Exit ends a process: its function has returned, or raised something.
func (c *Core) Exit(id uint64, reason term.Term) {
	if p := c.procs.find(id); p != nil {
		c.die(p, reason)
	}
}

// finish takes that a process's function has come to an end: what it answers whoever called it, and the exit reason. kind is
// return, throw, exit or error.
func (c *Core) finish(p *process, kind string, value, reason term.Term) {
	if c.procs.find(p.pid.ID) == p { // else it was killed
		c.returned(p, kind, value)
		c.die(p, reason)
	}
}

// SendExit sends an exit signal.
func (c *Core) SendExit(from, to term.Pid, reason term.Term) {
	c.route(to.Node, Signal{Op: OpExit, From: from, To: to, Term: reason})
}

// die ends a process and tells those who watch it, then those who are linked to it, in the order of their pids.
func (c *Core) die(p *process, reason term.Term) {
	if c.procs.find(p.pid.ID) != p {
		return // a step that tells it several things may end it with the first
	}
	p.end()
	c.procs.remove(p)
	if p.name != "" {
		delete(c.names, p.name)
	}
	c.effect(Effect{Kind: Ended, ID: p.pid.ID, Reason: reason, proc: p})
	c.releaseNames(p)
	c.unsubscribe(p.pid.ID)
	c.returned(p, "signal", reason)
	for _, w := range sortedWatchers(p.watchers) {
		c.along(w.pid.Node, Signal{Op: OpDown, From: p.pid, To: w.pid, Ref: w.ref, Term: reason})
	}
	for _, q := range sortedPids(p.links) {
		c.along(q.Node, Signal{Op: OpExitLink, From: p.pid, To: q, Term: reason})
	}
	if len(p.monitors) == 0 {
		return
	}
	for _, ref := range slices.Sorted(maps.Keys(p.monitors)) {
		c.forget(p, ref, p.monitors[ref])
	}
}

func sortedWatchers(set map[watcher]struct{}) []watcher {
	if len(set) == 0 { // as most have
		return nil
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b watcher) int {
		return cmp.Or(comparePids(a.pid, b.pid), cmp.Compare(a.ref, b.ref))
	})
}

func sortedPids(set map[term.Pid]struct{}) []term.Pid {
	if len(set) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(set), comparePids)
}

func comparePids(a, b term.Pid) int {
	return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID))
}

// answer gives a question of the runtime's own its answer, if the node that was asked gives it.
func (c *Core) answer(from string, ref uint64, t term.Term) {
	if node, ok := c.asked[ref]; ok && node == from {
		delete(c.asked, ref)
		c.spawned(from, ref, t)
		if t == nil {
			t = term.Atom("ok")
		}
		c.effect(Effect{Kind: Answered, Ref: ref, Reason: t})
	}
}

// Ref gives a new reference: a number that no other monitor or question of this node has.
func (c *Core) Ref() uint64 { return c.ref() }

// Ask sends a node a signal that it answers, with a reference in s.Ref; the answer is the effect Answered. Of an OpSpawn
// the new process is linked to From, or watched by it, as the request says.
func (c *Core) Ask(node string, s Signal) {
	if s.Op == OpSpawn {
		c.spawning[s.Ref] = s
	}
	c.asked[s.Ref] = node
	if !s.connects() && !c.reaches(node) {
		c.bounce(s)
		return
	}
	c.route(node, s)
}

// Forget gives up on the answer to a question. That of an OpSpawn is still waited for: the new process is tied to one that
// may have ended meanwhile, and must hear of it.
func (c *Core) Forget(ref uint64) {
	if _, ok := c.spawning[ref]; !ok {
		delete(c.asked, ref)
	}
}

// drop forgets a question whose answer will never come.
func (c *Core) drop(ref uint64) {
	delete(c.asked, ref)
	delete(c.spawning, ref)
}
