package sim

import (
	"container/heap"
	"context"
	"time"
)

// The world is a queue of events in virtual time. Everything that runs, runs because an event came up: a node gets a
// frame, a timer of it is due, a client's answer arrives. One thing runs at a time: a node (on its goroutine, while the
// goroutine that drives the queue waits for it) or a client. A client that waits drives the queue itself, until an
// event wakes it or somebody else; then the other one runs, and drives in its turn.

// event is something that will happen. An event of a node waits while the node computes or is paused.
type event struct {
	at   time.Duration
	seq  uint64 // breaks ties: what was planned first comes first
	node *node
	do   func()
}

type queue []*event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}

// at plans an event; n may be nil.
func (w *World) at(at time.Duration, n *node, do func()) {
	w.seq++
	heap.Push(&w.queue, &event{at: max(at, w.now), seq: w.seq, node: n, do: do})
}

// clock is the time at which whoever runs now acts: that of the node that computes, or the world's.
func (w *World) clock() time.Duration {
	if w.running != nil {
		return w.running.g.now()
	}
	return w.now
}

// waiter is a client that waits.
type waiter struct {
	wake chan struct{} // holds one token once it has been woken
	done bool
	ctx  context.Context // may be nil: then nothing but its event wakes it
}

// interrupted gives a client whose wait has ended without its event, or with it while it stood still for a look.
func (w *World) interrupted() *waiter {
	for _, x := range w.parked {
		if x.done || x.ctx != nil && (w.over != "" || x.ctx.Err() != nil) {
			return x
		}
	}
	return nil
}

func newWaiter(ctx context.Context) *waiter { return &waiter{wake: make(chan struct{}, 1), ctx: ctx} }

// park waits until the waiter is woken. The caller holds w.mu, before and after.
func (w *World) park(mine *waiter) {
	w.parked = append(w.parked, mine)
	for !mine.done {
		other := w.step()
		if other == nil || other == mine {
			continue
		}
		w.hand(other)
		w.mu.Unlock()
		<-mine.wake
		w.mu.Lock()
	}
}

// hand lets another client run. The caller must stop running at once.
func (w *World) hand(to *waiter) { to.wake <- struct{}{} }

// leave is called by a client that ends: somebody else must drive. With nobody left it returns.
func (w *World) leave() {
	for len(w.parked) > 0 {
		if other := w.step(); other != nil {
			w.hand(other)
			return
		}
	}
}

// woken marks a waiter as woken. It gives the waiter if somebody is parked on it, who is to run next then.
func (w *World) woken(x *waiter) *waiter {
	x.done = true
	for i, p := range w.parked {
		if p == x {
			w.parked = append(w.parked[:i], w.parked[i+1:]...)
			return x
		}
	}
	return nil
}

// wakeAt plans the end of a wait; the event does nothing when the wait has ended before.
func (w *World) wakeAt(at time.Duration, x *waiter) {
	w.at(at, nil, func() {
		if !x.done {
			w.ready = x
		}
	})
}

// step lets one thing happen. It gives the client that is to run next, if the event woke one.
func (w *World) step() *waiter {
	if x := w.halt(); x != nil {
		return x
	}
	if x := w.interrupted(); x != nil {
		return w.woken(x)
	}
	if len(w.queue) == 0 {
		// Nothing will ever happen again, so nobody needs to wait.
		return w.woken(w.parked[0])
	}
	w.limits()
	e := heap.Pop(&w.queue).(*event)
	if n := e.node; n != nil {
		if n.paused {
			n.deferred = append(n.deferred, e)
			return nil
		}
		if n.g != nil && n.busy > e.at {
			e.at = n.busy
			heap.Push(&w.queue, e)
			return nil
		}
	}
	w.now = max(w.now, e.at)
	e.do()
	if e.node != nil {
		w.together(e.node)
		w.compute(e.node)
	}
	if x := w.ready; x != nil {
		w.ready = nil
		return w.woken(x)
	}
	return nil
}

// together does the node's other events that are due now, so that it gets all their frames in one go.
func (w *World) together(n *node) {
	for len(w.queue) > 0 {
		e := w.queue[0]
		if e.node != n || e.at > w.now || n.paused {
			return
		}
		heap.Pop(&w.queue)
		e.do()
	}
}
