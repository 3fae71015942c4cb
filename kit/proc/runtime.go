package proc

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Peers is what a runtime needs of the cluster. Send never blocks; what is lost is lost with the link, which the node
// then tells by PeerDown. Connect returns when the link is up, or why it cannot be.
type Peers interface {
	Send(to kit.NodeName, frame []byte)
	Queued(to kit.NodeName) int
	Connect(ctx context.Context, to kit.NodeName) error
	Disconnect(to kit.NodeName)
}

// Config is what a runtime is told. Only Self is needed.
type Config struct {
	Self  kit.NodeName
	Boot  uint64 // which life of the node this is, from 1
	Peers Peers  // nil for a node that has none
	// Funcs are the functions that can be spawned and called by name, besides the built-in ones.
	Funcs map[string]Func
	// Resolvers settle clashes of global names, besides the built-in ones.
	Resolvers map[string]Resolver
	// PreventOverlap is Erlang's prevent_overlapping_partitions: a node that hears that a peer has lost a node which
	// it still has disconnects from that peer, so that no two parts of a split cluster overlap.
	PreventOverlap bool
	MaxProcesses   int // 0 is MaxProcesses
	MaxMailbox     int // 0 is MaxMailbox
	Seed           uint64
	Report         func(text string) // takes what is worth a line in the node's journal; may be nil
}

// Runtime is the running processes of one node. Its methods are safe for concurrent use.
type Runtime struct {
	cfg       Config
	funcs     map[string]Func
	resolvers map[string]Resolver
	ctx       context.Context
	cancel    context.CancelFunc
	tasks     sync.WaitGroup

	mu      busyLock
	core    *Core
	answers map[uint64]chan term.Term
	output  outputLog
	rng     *rand.Rand
	closed  bool
	busy    map[uint64]string // functions that have not returned although their process has ended
}

// busyLock is a mutex that is held for a fraction of a microsecond, but by every process that begins or ends. A goroutine that
// parks costs several times that, and Go's mutex parks at once when others are ready to run, so this one tries a while first.
type busyLock struct {
	sync.Mutex
	spins int
}

const (
	lockSpins = 40 // tries
	lockPause = 50 // steps between two of them
)

// Lock takes the lock.
func (l *busyLock) Lock() {
	for range l.spins {
		if l.TryLock() {
			return
		}
		for range lockPause {
		}
	}
	l.Mutex.Lock()
}

// New makes the runtime of a node.
func New(cfg Config) (*Runtime, error) {
	r := &Runtime{cfg: cfg, funcs: maps.Clone(builtins), resolvers: maps.Clone(resolvers),
		answers: map[uint64]chan term.Term{}, rng: rand.New(rand.NewPCG(cfg.Seed, nameSeed(cfg.Self))), busy: map[uint64]string{}}
	if runtime.GOMAXPROCS(0) > 1 {
		r.mu.spins = lockSpins
	}
	r.output.fresh = make(chan struct{})
	for name, f := range cfg.Funcs {
		if _, taken := r.funcs[name]; taken || f == nil || name == "" || len(name) > term.MaxAtom {
			return nil, &kit.Error{Op: "add function", What: name, Kind: kit.Invalid, Err: errors.New("it needs a function and a name of its own")}
		}
		r.funcs[name] = f
	}
	for name, f := range cfg.Resolvers {
		if _, taken := r.resolvers[name]; taken || f == nil {
			return nil, &kit.Error{Op: "add resolver", What: name, Kind: kit.Invalid, Err: errors.New("it needs a function and a name of its own")}
		}
		r.resolvers[name] = f
	}
	r.core = NewCore(string(cfg.Self), cfg.Boot, func(fn string) bool { return r.funcs[fn] != nil }, cfg.MaxProcesses, cfg.MaxMailbox)
	r.core.PreventOverlap(cfg.PreventOverlap)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// nameSeed makes the chances of nodes with the same seed differ.
func nameSeed(name kit.NodeName) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// Functions lists the functions that can be spawned and called, sorted.
func (r *Runtime) Functions() []string {
	var names []string
	for name := range r.funcs {
		if name[0] != '$' { // the runtime's own
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// step makes one step of the core and does what it asks for.
func (r *Runtime) step(f func(c *Core)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stepLocked(f)
}

func (r *Runtime) stepLocked(f func(c *Core)) {
	f(r.core)
	r.performAll()
}

// performAll does what the core asks for. That may lead to further steps later, never at once.
func (r *Runtime) performAll() {
	effects := r.core.Effects()
	for i := range effects {
		r.perform(&effects[i])
		effects[i] = Effect{}
	}
}

// perform does one effect, under the lock. Nothing here waits.
func (r *Runtime) perform(e *Effect) {
	switch e.Kind {
	case Run:
		r.begin(e.proc, e.Args)
	case Ended:
		if p := &e.proc.handle; p.rt != nil {
			p.reason = e.Reason
			if p.running {
				r.busy[e.ID] = p.fn
			}
			if p.cancel != nil {
				p.cancel()
			}
		}
	case Transmit:
		r.cfg.Peers.Send(kit.NodeName(e.Node), e.Signal.Encode())
	case Connect:
		r.connect(e.Node)
	case Answered:
		if ch := r.answers[e.Ref]; ch != nil {
			delete(r.answers, e.Ref)
			ch <- e.Reason // it has room for the one answer
		}
	case Print:
		r.output.add(*e.Line)
	case Resolve:
		r.resolve(*e.Clash, 0)
	case Conflict:
		r.resolve(*e.Clash, lastingClash)
	case Suspect:
		peer, node := e.Node, e.Name
		r.later(overlapPatience, func() { r.step(func(c *Core) { c.Overlaps(peer, node) }) })
	case Drop:
		r.report(fmt.Sprintf("disconnects from %s, which has lost a node that is still connected here", e.Node))
		r.cfg.Peers.Disconnect(kit.NodeName(e.Node))
	case Report:
		r.report(fmt.Sprintf("process <%s.%d> %s", e.Line.From.Node, e.Line.From.ID, e.Line.Text))
	}
}

func (r *Runtime) report(text string) {
	if r.cfg.Report != nil {
		r.cfg.Report(text)
	}
}

// connect tries to bring up a link, outside the lock.
func (r *Runtime) connect(node string) {
	if r.closed {
		return
	}
	r.tasks.Go(func() {
		err := error(&kit.Error{Op: "connect to", What: node, Kind: kit.NotFound})
		if r.cfg.Peers != nil && kit.NodeName(node).Valid() {
			err = r.cfg.Peers.Connect(r.ctx, kit.NodeName(node))
		}
		if err != nil {
			r.step(func(c *Core) { c.ConnectFailed(node) })
		}
	})
}

// begin runs a process's function in a goroutine of its own.
func (r *Runtime) begin(q *process, args []term.Term) {
	if f := r.prepare(q); f != nil {
		go q.handle.run(f, args) // joined by Close
	}
}

// prepare makes the handle of a process that is to run its function, which it gives; nil when nobody runs it. The function must
// be run then: Close waits for it.
func (r *Runtime) prepare(q *process) Func {
	p := r.adopt(q)
	if attended[q.fn] {
		return nil
	}
	p.running = true
	r.tasks.Add(1)
	return r.funcs[q.fn]
}

// adopt makes the handle of a process that the core has begun.
func (r *Runtime) adopt(q *process) *Process {
	p := &q.handle
	p.rt, p.me, p.pid, p.fn = r, q, q.pid, q.fn
	return p
}

// PeerUp takes that the link to a node is up, before the first of its frames.
func (r *Runtime) PeerUp(node kit.NodeName) {
	r.step(func(c *Core) { c.PeerUp(string(node)) })
}

// PeerUpHidden is PeerUp of a hidden link: see Core.PeerUpHidden.
func (r *Runtime) PeerUpHidden(node kit.NodeName) {
	r.step(func(c *Core) { c.PeerUpHidden(string(node)) })
}

// PeerDown takes that it is down again, after the last of its frames. reason is what Erlang's nodedown_reason says:
// disconnect, connection_closed or net_tick_timeout.
func (r *Runtime) PeerDown(node kit.NodeName, reason string) {
	r.step(func(c *Core) { c.PeerDown(string(node), term.Atom(reason)) })
}

// Receive takes a frame of a peer. One that cannot be read is dropped and reported.
func (r *Runtime) Receive(from kit.NodeName, frame []byte) {
	s, err := Decode(string(from), frame)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.report(err.Error())
		return
	}
	if !r.core.up[string(from)] || r.closed {
		return
	}
	r.stepLocked(func(c *Core) { c.Signal(s) })
}

// Attend begins a process that runs no function: the caller acts in its name. leader is whose output it shows; the zero
// Pid is the node's own.
func (r *Runtime) Attend() (*Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed("spawn")
	}
	pid, err := r.core.Attend(attendedName, r.core.host(), r.core.host())
	if err != nil {
		return nil, err
	}
	return r.adopt(r.core.procs.find(pid.ID)), nil
}

// Spawn begins a process of a named function here, for the node's own program: nobody is its parent. An unknown function is
// kit.NotFound, too many processes kit.Overloaded.
func (r *Runtime) Spawn(fn string, args ...term.Term) (pid term.Pid, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return pid, errClosed("spawn")
	}
	r.stepLocked(func(c *Core) { pid, err = c.Spawn(fn, args, c.host(), c.host()) })
	return pid, err
}

// Process gives the handle of an attended process of this node; nil when there is none of that number.
func (r *Runtime) Process(id uint64) *Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.core.procs.find(id); q != nil && attended[q.fn] {
		return &q.handle
	}
	return nil
}

func errClosed(op string) error {
	return &kit.Error{Op: op, Kind: kit.Unavailable, Err: errors.New("the node is stopping")}
}

// Processes tells about up to limit processes, beginning behind the number after.
func (r *Runtime) Processes(after uint64, limit int) []Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.Processes(after, limit)
}

// Info tells about one process of this node.
func (r *Runtime) Info(id uint64) (Info, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.Info(id)
}

// Count is how many processes there are.
func (r *Runtime) Count() int { return r.core.Count() }

// Waiting is how many messages wait in all mailboxes together.
func (r *Runtime) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.Waiting()
}

// Alive reports whether a process of this node lives.
func (r *Runtime) Alive(pid term.Pid) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.find(pid) != nil
}

// Register, Unregister, Whereis and Registered are the local names. A name or process that will not do is an error of
// the class error with the reason badarg.
func (r *Runtime) Register(name string, pid term.Pid) (err error) {
	r.step(func(c *Core) { err = c.Register(name, pid) })
	return err
}

// Unregister takes a name away.
func (r *Runtime) Unregister(name string) (err error) {
	r.step(func(c *Core) { err = c.Unregister(name) })
	return err
}

// Whereis gives the process that has a local name.
func (r *Runtime) Whereis(name string) (term.Pid, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.Whereis(name)
}

// Registered lists the local names.
func (r *Runtime) Registered() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.Registered()
}

// stopPatience is how long Close waits for functions to see that their process has ended.
const stopPatience = 5 * time.Second

// Close ends every process and returns when their functions have. One that does not look at its context keeps it for
// stopPatience at most and is named in the error.
func (r *Runtime) Close() error {
	r.mu.Lock()
	r.closed = true
	for _, q := range r.core.procs.all() {
		q.end()
	}
	r.mu.Unlock()
	r.cancel()
	done := make(chan struct{})
	go func() { // joined below, or left with the functions that do not end
		r.tasks.Wait()
		close(done)
	}()
	t := time.NewTimer(stopPatience)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.Sorted(maps.Values(r.busy))
	for _, q := range r.core.procs.all() {
		if p := &q.handle; p.running {
			names = append(names, p.fn)
		}
	}
	return &kit.Error{Op: "stop processes", Kind: kit.Broken, Err: fmt.Errorf("%d functions have not ended: %.200q", len(names), names),
		Hint: "a function that runs for long should look at p.Context()"}
}
