package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/simlink"
	"netsplit/kit/world"
)

// node is one node of a world, through all its boots.
type node struct {
	world *World
	name  kit.NodeName
	code  code
	args  []string // of the program
	disk  *disk
	draw  dice

	g        *guest // the current boot; nil when it does not run
	boots    int
	up       bool // the door is open
	paused   bool
	deferred []*event // came while it was paused
	busy     time.Duration
	timer    time.Duration // the earliest planned timer
	waiter   *waiter       // who waits for the door to open; may be nil
	strike   *strike       // an order to kill it in the middle of something; may be nil
	output   *tail
	steps    int64
	memory   uint64
	skew     time.Duration // of its wall clock
	pace     time.Duration // how many times slower it computes
	damage   world.Damage  // without what the disc counts
	reason   Reason        // why it does not run
	why      string

	listening            bool
	cookie               string
	lanes                map[uint64]*lane // its sending lanes, by its ID of the connection
	lastDial, lastAccept uint64
	queued               int // bytes sent and not arrived
	lastSync             time.Duration
	syncs                int // not yet answered
}

// NodeInfo is what a world knows of a node.
type NodeInfo struct {
	Name    kit.NodeName
	Running bool
	Up      bool // its door is open
	Paused  bool
	Boots   int
	Reason  Reason        // why it does not run
	Why     string        // the same as a sentence
	CPU     time.Duration // computed in all boots
	Memory  uint64        // bytes it had at most
	Output  string        // the beginning and the end of what it printed
}

// Node tells about a node.
func (w *World) Node(name kit.NodeName) (NodeInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.node("look at", name)
	if err != nil {
		return NodeInfo{}, err
	}
	return n.info(), nil
}

func (n *node) info() NodeInfo {
	n.measure()
	return NodeInfo{Name: n.name, Running: n.g != nil, Up: n.up, Paused: n.paused, Boots: n.boots, Reason: n.reason, Why: n.why,
		CPU: time.Duration(n.steps) * Step, Memory: n.memory, Output: n.output.String()}
}

func (n *node) measure() {
	if n.g != nil {
		n.memory = max(n.memory, n.g.memPeak)
	}
}

// boot starts a node. The waiter is woken when its door is open, or the node stopped, or it takes too long.
func (w *World) boot(n *node) *waiter {
	n.boots++
	n.reason, n.why = Running, ""
	n.up, n.paused, n.listening, n.cookie = false, false, false, ""
	n.lanes, n.lastDial, n.lastAccept = map[uint64]*lane{}, 0, simlink.HostConn-1
	n.busy, n.lastSync, n.syncs = w.now, 0, 0
	n.waiter = newWaiter(w.ctx)
	n.g = newGuest(launch{engine: w.cfg.Engine, code: n.code, memory: w.cfg.Memory, name: string(n.name), args: n.args, skew: n.off,
		random: &randomSource{stream(w.cfg.Seed, "random", string(n.name), strconv.Itoa(n.boots))}}, n.step, n.output)
	w.note(Event{What: Boot, Node: n.name, ID: uint64(n.boots)}, nil)
	for _, f := range n.disk.files() {
		n.put(f)
	}
	start, err := json.Marshal(w.start(n))
	if err != nil { // validate has looked at everything in it that could be at fault
		panic(err)
	}
	n.put(simlink.Frame{Kind: simlink.Boot, Data: start})
	w.at(w.now+n.draw.upTo(time.Millisecond), n, func() {})
	w.wakeAt(w.now+w.cfg.BootTimeout, n.waiter)
	return n.waiter
}

// booted gives the error of a boot, by its number, that did not open the door.
func (w *World) booted(n *node, boot int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case n.boots != boot || n.g == nil && n.reason == Killed && w.over == "":
		return &kit.Error{Op: "boot node", What: string(n.name), Kind: kit.Unavailable, Err: errors.New("it was killed before its door was open")}
	case n.up:
		return nil
	case n.g == nil && w.over != "":
		return &kit.Error{Op: "boot node", What: string(n.name), Kind: kit.Unavailable, Err: errors.New(n.why)}
	case n.g == nil:
		return &kit.Error{Op: "boot node", What: string(n.name), Kind: kit.Invalid,
			Err: fmt.Errorf("%s: %s%s", n.reason, n.why, quoted(n.output.String())), Hint: "run the program by itself to see how it ends"}
	}
	return &kit.Error{Op: "boot node", What: string(n.name), Kind: kit.Unavailable,
		Err: fmt.Errorf("its door was not open after %v%s", w.cfg.BootTimeout, quoted(n.output.String())), Hint: "a node's main function calls node.Main"}
}

// quoted is the end of a node's output as part of an error.
func quoted(output string) string {
	if output == "" {
		return ""
	}
	const most = 2000
	if len(output) > most {
		output = "..." + output[len(output)-most:]
	}
	return "; it printed:\n" + output
}

// put gives the node a frame to read, if it runs.
func (n *node) put(f simlink.Frame) {
	if n.g != nil {
		n.g.put(f)
	}
}

// compute lets a node run, if there is something for it to do, until it is idle.
func (w *World) compute(n *node) {
	if w.now >= n.timer {
		n.timer = never
	}
	if n.g == nil || n.paused {
		return
	}
	if unread := len(n.g.inbox); unread > maxInbox {
		n.g.drop()
		w.stopped(n, Deaf, fmt.Sprintf("%d MiB of frames wait for it", unread>>20), n.disk.fault.Crash)
		return
	}
	if n.g.due(w.now) {
		g := n.g
		w.running, g.pace = n, n.pace
		n.busy = g.run(w.now, int64(w.cfg.Budget/Step))
		w.note(Event{What: Ran, Node: n.name, Size: int(g.used())}, nil)
		w.running = nil
		n.steps += g.used()
		w.cpu += time.Duration(g.used()) * Step
		n.damage.Slowed += time.Duration(g.used()) * Step * (n.pace - 1)
		if g.ended {
			reason, why := n.ended()
			w.stopped(n, reason, why, n.disk.fault.Crash)
			return
		}
	}
	if n.g.deadline < n.timer {
		n.timer = n.g.deadline
		w.at(n.timer, n, func() {})
	}
}

// stopped cleans up after a node whose guest has ended; crash is what becomes of its un-synced writes.
func (w *World) stopped(n *node, reason Reason, why string, crash CrashKind) {
	n.measure()
	n.g, n.reason, n.why = nil, reason, why
	n.up, n.listening, n.timer = false, false, never
	note := string(reason)
	if reason == Forged {
		w.note(Event{What: Forge, Node: n.name, Note: clean(why)}, nil)
	}
	w.note(Event{What: Stop, Node: n.name, Note: note}, nil)
	w.disconnect(n)
	w.unstrike(n)
	if lost := n.disk.crash(crash, n.draw); lost > 0 {
		n.damage.Lost += lost
		w.note(Event{What: Crash, Node: n.name, Size: lost}, nil)
	}
	if n.waiter != nil {
		w.wakeAt(w.now, n.waiter)
		n.waiter = nil
	}
	n.damage.Calls += w.loseCalls(n, "node "+string(n.name)+" stopped: "+note)
	w.release(n)
}

// release ends a pause: what came meanwhile comes now, in its order.
func (w *World) release(n *node) {
	n.paused = false
	late := n.deferred
	n.deferred = nil
	for _, e := range late {
		w.at(w.now, n, e.do)
	}
	w.at(w.now, n, func() {})
}

// Restart starts a node that does not run, with its disc, and returns when its door is open.
func (w *World) Restart(name kit.NodeName) error {
	w.mu.Lock()
	n, err := w.node("restart", name)
	switch {
	case err != nil:
	case w.over != "":
		err = &kit.Error{Op: "restart", What: string(name), Kind: kit.Unavailable, Err: errors.New("the world has ended: " + w.over)}
	case n.g != nil:
		err = &kit.Error{Op: "restart", What: string(name), Kind: kit.Exists, Err: errors.New("it runs"), Hint: "kill it first"}
	}
	if err != nil {
		w.mu.Unlock()
		return err
	}
	waiter := w.boot(n)
	boot := n.boots
	w.park(waiter)
	w.mu.Unlock()
	return w.booted(n, boot)
}

// Pause stops a node as SIGSTOP does: what is sent to it waits.
func (w *World) Pause(name kit.NodeName) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.alive("pause", name)
	if err != nil {
		return err
	}
	if !n.paused {
		n.paused = true
		w.note(Event{What: Pause, Node: name}, nil)
	}
	return nil
}

// Resume lets a paused node go on.
func (w *World) Resume(name kit.NodeName) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.alive("resume", name)
	if err != nil {
		return err
	}
	if n.paused {
		w.note(Event{What: Resume, Node: name}, nil)
		n.damage.Waited += len(n.deferred)
		w.release(n)
	}
	return nil
}

func (w *World) alive(op string, name kit.NodeName) (*node, error) {
	n, err := w.node(op, name)
	if err != nil {
		return nil, err
	}
	if n.g == nil {
		return nil, &kit.Error{Op: op, What: string(name), Kind: kit.Unavailable, Err: errors.New("it does not run: " + n.why),
			Hint: "restart it first"}
	}
	return n, nil
}

// frame takes a frame from the node while it computes; it gives WASI's error number.
func (n *node) frame(f simlink.Frame) uint32 {
	w := n.world
	switch f.Kind {
	case simlink.Ready:
		if !n.up {
			n.up = true
			w.note(Event{What: Up, Node: n.name}, nil)
			if n.waiter != nil {
				w.wakeAt(n.g.now(), n.waiter)
				n.waiter = nil
			}
		}
	case simlink.Listen:
		if len(f.Data) > maxCookie {
			return n.forged("a cookie of %d bytes", len(f.Data))
		}
		n.listening, n.cookie = true, string(f.Data)
	case simlink.Dial:
		return w.dial(n, f)
	case simlink.Data, simlink.Packet:
		return w.transmit(n, f)
	case simlink.Close:
		return w.hangUp(n, f)
	case simlink.Taken:
		return w.taken(n, f)
	case simlink.Door:
		return w.answer(n, f.Data)
	case simlink.DiskAppend, simlink.DiskReplace, simlink.DiskTruncate, simlink.DiskRename, simlink.DiskRemove:
		if f.Name == "" {
			return n.forged("a file without a name")
		}
		w.note(Event{What: Write, Node: n.name, Size: len(f.Data), Note: clean(f.Kind.String() + " " + f.Name)}, f.Data)
		return n.disk.take(f)
	case simlink.DiskSync:
		return w.sync(n, f.ID)
	default:
		return n.forged("a %v frame from a node", f.Kind)
	}
	return errnoOK
}

// forged ends the node: it wrote what simlink would never write.
func (n *node) forged(format string, args ...any) uint32 {
	n.g.forged(fmt.Errorf("forged or broken frame: "+format, args...))
	return errnoInval
}

func (w *World) sync(n *node, id uint64) uint32 {
	if n.syncs >= maxSyncs {
		return errnoNobufs
	}
	n.syncs++
	g, mark := n.g, n.disk.mark()
	w.note(Event{What: Sync, Node: n.name, ID: id}, nil)
	due := g.now() + n.draw.between(w.cfg.DiskLatency.Min, w.cfg.DiskLatency.Max) + n.disk.fault.Slow
	if n.disk.fault.Slow > 0 {
		n.damage.SlowSyncs++
	}
	n.lastSync = max(n.lastSync, due)
	w.at(n.lastSync, n, func() {
		if n.g != g {
			return
		}
		n.syncs--
		n.disk.settleTo(mark)
		w.note(Event{What: Synced, Node: n.name, ID: id}, nil)
		n.put(simlink.Frame{Kind: simlink.DiskDone, ID: id})
	})
	return errnoOK
}

// answer takes a line that the node's door wrote.
func (w *World) answer(n *node, line []byte) uint32 {
	a, err := door.DecodeAnswer(line)
	switch {
	case err != nil:
		return n.forged("an answer: %v", err)
	case a.ID == 0 || a.ID > w.lastCall:
		return n.forged("an answer to request %d, which was never asked", a.ID)
	}
	c := w.calls[a.ID]
	switch {
	case c == nil || c.done: // nobody waits any more
		return errnoOK
	case c.node != n:
		return n.forged("an answer to request %d, which was for node %s", a.ID, c.node.name)
	}
	c.done, c.out = true, a.Outcome
	w.note(Event{What: Answer, Node: n.name, ID: a.ID, Size: len(line)}, line)
	w.wakeAt(n.g.now()+w.doorLatency(), c.waiter)
	return errnoOK
}
