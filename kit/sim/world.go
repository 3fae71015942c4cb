// Package sim runs a cluster inside one process, in virtual time: several instances of a node program that was
// compiled to WebAssembly, the links between them, their discs, and the clients that ask them. The host owns
// time, network, disk and randomness, so that a seed decides everything and a run can be repeated to the byte.
// Nothing of the machine can be reached from inside: no file, no network, no clock, no environment.
//
// Build compiles a program, an Engine turns it into machine code, New starts a World. World implements
// world.World; its methods may be called by one client at a time, which is what Go, Call, Sleep and Wait see to.
package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/simlink"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// Config says what a World is made of. Engine, Program and Nodes are needed; zero values of the rest stand for the
// defaults that are named.
type Config struct {
	Engine  *Engine
	Program *Program
	// Programs gives single nodes another program.
	Programs map[kit.NodeName]*Program
	Nodes    []kit.NodeName // at most MaxNodes
	Seed     uint64         // decides everything that chance decides
	// Cookie is the nodes' common secret ("netsplit"), and Cookies that of single nodes, to try a wrong one.
	Cookie  string
	Cookies map[kit.NodeName]string
	// Setup is what each node finds as simlink.Start.Config; Setups overrides it for single nodes.
	Setup  json.RawMessage
	Setups map[kit.NodeName]json.RawMessage

	// Skew is how far the wall clocks of single nodes are off until SetClock; at most world.MaxClock.
	Skew map[kit.NodeName]time.Duration

	Latency     Span          // of a frame on a healthy link; 100 µs to 1 ms
	DiskLatency Span          // of a sync; 100 µs to 2 ms
	Disk        DiskFault     // of every node's disc, until SetDisk
	Budget      time.Duration // that a node may compute without waiting; 1 s
	Memory      uint64        // bytes that a node may have; 256 MiB
	MaxTime     time.Duration // virtual time after which the world ends; 24 h
	MaxCPU      time.Duration // that all nodes together may compute; 10 min
	CallTimeout time.Duration // of a Call whose context has no deadline; 60 s
	BootTimeout time.Duration // for a node to open its door; 30 s
	MaxEvents   int           // entries of the log that are kept; 100 000, none when negative
	Halt        *Halt         // where the world stands still to be looked at; nil for nowhere
}

// Span is a range of times from which the seed draws.
type Span struct{ Min, Max time.Duration }

// MaxNodes is the most nodes of a world.
const MaxNodes = 64

func (c *Config) validate() error {
	bad := func(text, hint string) error {
		return &kit.Error{Op: "make world", Kind: kit.Invalid, Err: errors.New(text), Hint: hint}
	}
	switch {
	case c.Engine == nil:
		return bad("it has no engine", "make one with NewEngine")
	case len(c.Nodes) == 0 || len(c.Nodes) > MaxNodes:
		return bad(fmt.Sprintf("%d nodes", len(c.Nodes)), fmt.Sprintf("a world has 1 to %d nodes", MaxNodes))
	case c.Memory > maxMemory:
		return bad(fmt.Sprintf("%d bytes for a node", c.Memory), fmt.Sprintf("the most is %d", maxMemory))
	}
	if err := c.Disk.Check(); err != nil {
		return err
	}
	c.Nodes = slices.Sorted(slices.Values(c.Nodes))
	for i, n := range c.Nodes {
		switch {
		case !n.Valid():
			return bad(fmt.Sprintf("%q is no name for a node", n), "start with a letter, go on with letters, digits, - or _")
		case i > 0 && n == c.Nodes[i-1]:
			return bad("two nodes are named "+string(n), "give each its own name")
		case c.Program == nil && c.Programs[n] == nil:
			return bad("node "+string(n)+" has no program", "set Program")
		case len(c.Setup) > 0 && !json.Valid(c.Setup) || len(c.Setups[n]) > 0 && !json.Valid(c.Setups[n]):
			return bad("the setup of node "+string(n)+" is no JSON", "encode it with encoding/json")
		case world.CheckClock(c.Skew[n]) != nil:
			return bad("the clock of node "+string(n)+" is off by more than a year", "use less")
		}
	}
	def := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	def(&c.Budget, time.Second)
	def(&c.MaxTime, 24*time.Hour)
	def(&c.MaxCPU, 10*time.Minute)
	def(&c.CallTimeout, time.Minute)
	def(&c.BootTimeout, 30*time.Second)
	if c.Cookie == "" {
		c.Cookie = "netsplit"
	}
	if c.Memory == 0 {
		c.Memory = 256 << 20
	}
	if c.Latency == (Span{}) {
		c.Latency = Span{Min: 100 * time.Microsecond, Max: time.Millisecond}
	}
	if c.DiskLatency == (Span{}) {
		c.DiskLatency = Span{Min: 100 * time.Microsecond, Max: 2 * time.Millisecond}
	}
	if c.MaxEvents == 0 {
		c.MaxEvents = 100_000
	}
	return nil
}

// World is a simulated cluster.
type World struct {
	cfg    Config
	ctx    context.Context // of the clients; ends with the world
	cancel context.CancelFunc
	nodes  map[kit.NodeName]*node
	links  map[[2]kit.NodeName]*link

	mu      sync.Mutex // held by whoever drives, or is inside a method
	now     time.Duration
	seq     uint64
	queue   queue
	parked  []*waiter
	ready   *waiter // woken by the current event
	running *node   // computes now
	log     *eventLog
	door    dice
	cpu     time.Duration // all that was computed
	over    string        // why the world has ended; empty while it has not

	lastConn, lastFrame, lastCall uint64

	calls    map[uint64]*call
	arrivals map[[2]string]time.Duration // of the latest request of a client at a node
	clients  int
	halted   bool      // the moment of Config.Halt has come
	frozen   []*waiter // clients that stand still since
	waits    []*waiter // in Wait
	panicked any       // what a client panicked with

	held []func() // release the nodes' programs, when the world is closed
}

var (
	_ world.World    = (*World)(nil)
	_ world.Machines = (*World)(nil)
)

// New makes a world and starts its nodes; it returns when all doors are open. When a node's program ends before
// that, the error says why and quotes its output. ctx ends the world early.
func New(ctx context.Context, cfg Config) (*World, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	w := &World{cfg: cfg, nodes: map[kit.NodeName]*node{}, links: map[[2]kit.NodeName]*link{}, log: newEventLog(cfg.MaxEvents),
		door: newDice(cfg.Seed, "door"), calls: map[uint64]*call{}, arrivals: map[[2]string]time.Duration{}}
	for _, name := range cfg.Nodes {
		p := cfg.Program
		if own := cfg.Programs[name]; own != nil {
			p = own
		}
		code, release, err := cfg.Engine.hold(ctx, p)
		if err != nil {
			w.unload()
			return nil, err
		}
		w.held = append(w.held, release)
		w.nodes[name] = &node{world: w, name: name, code: code, args: p.Args, disk: newDisk(cfg.Disk), output: &tail{},
			draw: newDice(cfg.Seed, "node", string(name)), timer: never, reason: Killed, skew: cfg.Skew[name], pace: 1}
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.mu.Lock()
	var firsts []*waiter
	for _, name := range cfg.Nodes {
		firsts = append(firsts, w.boot(w.nodes[name]))
	}
	for _, first := range firsts {
		if !first.done {
			w.park(first)
		}
	}
	w.mu.Unlock()
	for _, name := range cfg.Nodes {
		if err := w.booted(w.nodes[name], 1); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	return w, nil
}

// unload lets go of the nodes' programs.
func (w *World) unload() {
	for _, release := range w.held {
		release()
	}
	w.held = nil
}

// note puts an entry into the log, at the clock of whoever acts.
func (w *World) note(e Event, carried []byte) {
	e.At = w.clock()
	w.log.add(e, carried)
}

// limits ends the world when it has used up what it was given.
func (w *World) limits() {
	switch {
	case w.over != "":
	case w.ctx.Err() != nil:
		w.end("it was cancelled")
	case w.queue[0].at > w.cfg.MaxTime:
		w.end(fmt.Sprintf("it reached its limit of %v", w.cfg.MaxTime))
	case w.cpu > w.cfg.MaxCPU:
		w.end(fmt.Sprintf("its nodes have computed for more than %v", w.cfg.MaxCPU))
	}
}

// end stops every node and wakes every client, once.
func (w *World) end(why string) {
	if w.over != "" {
		return
	}
	w.over = why
	w.note(Event{What: WorldOver, Note: why}, nil)
	for _, name := range w.cfg.Nodes {
		if n := w.nodes[name]; n.g != nil {
			n.g.drop()
			n.g, n.paused, n.reason, n.why = nil, false, Killed, "the world has ended: "+why
		}
	}
	for _, c := range w.calls {
		c.out = door.LostAnswer("the world has ended: " + why)
	}
	w.cancel()
}

// Over says why the world has ended by itself; empty while it has not.
func (w *World) Over() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// Spent reports whether the nodes have computed all that Config.MaxCPU gives them, which ends the world.
func (w *World) Spent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cpu > w.cfg.MaxCPU
}

// Nodes lists the nodes by name, whether they run or not.
func (w *World) Nodes() []kit.NodeName { return slices.Clone(w.cfg.Nodes) }

// Seed is what decided the run.
func (w *World) Seed() uint64 { return w.cfg.Seed }

// Now is the virtual time since the world's start.
func (w *World) Now() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Hash names everything that has happened until now: two runs with one hash were the same, to the byte.
func (w *World) Hash() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.hash()
}

// Events gives the latest entries of the log, at most Config.MaxEvents, oldest first.
func (w *World) Events() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.events()
}

// Counts gives the receipts of a node's outgoing links: what the rules did to its traffic towards each peer.
// Peers that no rule touched are left out.
func (w *World) Counts(from kit.NodeName) []wire.Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []wire.Counts
	for _, to := range w.cfg.Nodes {
		if l := w.links[[2]kit.NodeName{from, to}]; l != nil && l.counts != (wire.Counts{Peer: to}) {
			all = append(all, l.counts)
		}
	}
	return all
}

// node finds a node for a method called op.
func (w *World) node(op string, name kit.NodeName) (*node, error) {
	if n := w.nodes[name]; n != nil {
		return n, nil
	}
	var names []string
	for _, n := range w.cfg.Nodes {
		names = append(names, string(n))
	}
	return nil, &kit.Error{Op: op, What: string(name), Kind: kit.NotFound, Err: errors.New("there is no such node"),
		Hint: "the nodes are " + strings.Join(names, ", ")}
}

// Link sets the rule for traffic from one node to another; the zero Rule heals that direction.
func (w *World) Link(from, to kit.NodeName, rule wire.Rule) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, err := w.node("set link of", from)
	if err != nil {
		return err
	}
	b, err := w.node("set link to", to)
	if err != nil {
		return err
	}
	if err := rule.Check(); err != nil {
		return err
	}
	w.setRule(w.link(a, b), rule)
	return nil
}

// WipeDisc empties the disc of a node that does not run. Its backups stay.
func (w *World) WipeDisc(name kit.NodeName) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.node("wipe disc of", name)
	if err != nil {
		return err
	}
	if n.g != nil {
		return &kit.Error{Op: "wipe disc of", Kind: kit.Refused, What: string(name), Err: errors.New("it runs")}
	}
	n.disk = n.disk.wiped()
	w.note(Event{What: DiskRule, Node: name, Note: "wiped"}, nil)
	return nil
}

// Files gives a copy of what a node's disc would hold after a crash that loses everything that is not synced.
func (w *World) Files(name kit.NodeName) (map[string][]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.node("read disc of", name)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, f := range n.disk.files() {
		files[f.Name] = slices.Clone(f.Data)
	}
	return files, nil
}

// start is what a node is told at boot.
func (w *World) start(n *node) simlink.Start {
	s := simlink.Start{Node: n.name, Nodes: w.cfg.Nodes, Cookie: w.cfg.Cookie, Boots: n.boots, Config: w.cfg.Setup}
	if c, ok := w.cfg.Cookies[n.name]; ok {
		s.Cookie = c
	}
	if c, ok := w.cfg.Setups[n.name]; ok {
		s.Config = c
	}
	return s
}
