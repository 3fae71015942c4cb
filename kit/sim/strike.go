package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"netsplit/kit"
	"netsplit/kit/simlink"
)

// A strike kills a node in the middle of what it does: right after it has done its k-th thing that anybody else can ever notice
// (sent a frame, changed its disc, answered a client). Between two such things a crash makes no difference, so that the
// strikes 1, 2, 3 and so on are all the crashes that there are.
type strike struct {
	left   int      // things to do before
	trail  []string // what it has done, the last of it
	waiter *waiter
	struck bool
}

// maxTrail is how much of what a node did before it was struck is kept.
const maxTrail = 8

// errStruck unwinds a guest that is struck while it computes.
var errStruck = errors.New("it was killed")

// KillAfter waits until a node has sent a frame to another node, changed its disc or answered a client so many times (at least
// once), from now on, and kills it then as kill -9 does: before it can do anything more. It gives what the node did last, in
// words: "sent to b", "wrote", "answered". The error is of kind Unavailable when the node has not done so much within the
// given time, or has stopped for another reason; then nothing was done to it.
func (w *World) KillAfter(ctx context.Context, name kit.NodeName, steps int, within time.Duration) (did []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.alive("kill", name)
	if err != nil {
		return nil, err
	}
	if steps < 1 || n.strike != nil {
		return nil, &kit.Error{Op: "kill", What: string(name), Kind: kit.Invalid, Err: fmt.Errorf("after %d steps", steps),
			Hint: "one such order at a time, of at least one step"}
	}
	s := &strike{left: steps, waiter: newWaiter(ctx)}
	n.strike = s
	w.wakeAt(w.now+within, s.waiter)
	w.park(s.waiter)
	if n.strike == s {
		n.strike = nil
	}
	if !s.struck {
		return nil, &kit.Error{Op: "kill", What: string(name), Kind: kit.Unavailable, Err: fmt.Errorf("of %d steps it has %d left to do", steps, s.left)}
	}
	return s.trail, nil
}

// step takes a frame from the node while it computes, and strikes when it was the one to wait for.
func (n *node) step(f simlink.Frame) uint32 {
	errno := n.frame(f)
	s := n.strike
	if s == nil || errno != errnoOK {
		return errno
	}
	what := n.noticed(f)
	if what == "" {
		return errno
	}
	if s.trail = append(s.trail, what); len(s.trail) > maxTrail {
		s.trail = s.trail[1:]
	}
	if s.left--; s.left == 0 {
		s.struck = true
		n.g.forged(errStruck)
	}
	return errno
}

// noticed says what a frame does that others can notice; empty is nothing.
func (n *node) noticed(f simlink.Frame) string {
	switch f.Kind {
	case simlink.Data, simlink.Packet:
		if l := n.lanes[f.ID]; l != nil {
			return "sent to " + string(l.link.to.name)
		}
	case simlink.Door:
		return "answered"
	case simlink.DiskAppend, simlink.DiskReplace, simlink.DiskTruncate, simlink.DiskRename, simlink.DiskRemove:
		return "wrote"
	}
	return ""
}

// ended says how a node's guest has ended: by its own doing, or because it was struck.
func (n *node) ended() (Reason, string) {
	if n.g.broken == errStruck {
		return Killed, errStruck.Error()
	}
	return n.g.why()
}

// unstrike ends an order to strike when the node stops, whatever the reason.
func (w *World) unstrike(n *node) {
	if s := n.strike; s != nil {
		n.strike = nil
		w.wakeAt(w.now, s.waiter)
	}
}
