package sim

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/simlink"
)

// call is one request that a client waits for.
type call struct {
	node   *node
	waiter *waiter
	done   bool // out is the answer
	out    door.Outcome

	client, verb string
	asked        time.Duration
	there        bool // it has reached the node
}

// afterEnd is how far the clock moves for a call in a world that has ended, so that clients who wait for a time do
// not wait for ever.
const afterEnd = time.Millisecond

// doorLatency draws how long a request or an answer takes between a client and a node; no fault touches it.
func (w *World) doorLatency() time.Duration {
	return w.door.between(20*time.Microsecond, 200*time.Microsecond)
}

// Call sends one door request as the given client and waits for its outcome: door.Down when the node does not run,
// door.Lost when no answer came. The time a call may take is that of ctx's deadline, rounded up to 100 ms
// and counted in virtual time; without one it is Config.CallTimeout.
func (w *World) Call(ctx context.Context, client string, node kit.NodeName, req door.Request) door.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.node("call", node)
	if err != nil {
		return door.FromError(err)
	}
	if err := context.Cause(ctx); err != nil && w.over == "" {
		return door.FromError(&kit.Error{Op: "call", What: req.Verb, Kind: kit.Unavailable, Err: err})
	}
	if w.over != "" {
		w.now += afterEnd
		return door.NotRunning("the world has ended: " + w.over)
	}
	w.lastCall++
	id := w.lastCall
	req.ID, req.Client = id, client
	line, err := door.EncodeRequest(req)
	if err != nil {
		return door.FromError(err)
	}
	c := &call{node: n, waiter: newWaiter(ctx), client: clean(client), verb: clean(req.Verb), asked: w.now}
	w.calls[id] = c
	w.note(Event{What: Ask, Node: node, ID: id, Size: len(line), Note: clean(client + " " + req.Verb)}, line)
	w.order(client, n, line, func() {
		c.there = true
		w.note(Event{What: Serve, Node: node, ID: id}, nil)
	}, func() {
		w.finish(c, door.NotRunning("node "+string(node)+" does not run: "+n.why))
	})
	limit := w.now + w.timeout(ctx)
	w.wakeAt(limit, c.waiter)
	w.park(c.waiter)
	delete(w.calls, id)
	if !c.done {
		c.out = w.unanswered(ctx, limit, c.out)
		if line, err := door.EncodeOrder(door.Order{Request: door.Request{Client: client}, Cancel: id}); err == nil {
			w.order(client, n, line, func() {}, func() {})
		}
	}
	w.note(Event{What: Outcome, Node: node, ID: id, Note: string(c.out.Status)}, nil)
	return c.out
}

// unanswered is the outcome of a call that was given up.
func (w *World) unanswered(ctx context.Context, limit time.Duration, had door.Outcome) door.Outcome {
	switch {
	case had.Status != "":
		return had
	case ctx.Err() != nil:
		return door.LostAnswer(context.Cause(ctx).Error())
	case w.now >= limit:
		return door.LostAnswer("no answer in time")
	}
	return door.LostAnswer("nothing is left to happen")
}

func (w *World) timeout(ctx context.Context) time.Duration {
	const grain = 100 * time.Millisecond
	left := w.cfg.CallTimeout
	if p, ok := ctx.(interface{ Patience() time.Duration }); ok {
		left = p.Patience()
	} else if deadline, ok := ctx.Deadline(); ok {
		// The caller's clock is real; rounding up takes off what the machine lost between there and here, unless it is starved.
		// Who needs the same run on every machine gives a context with Patience.
		left = time.Until(deadline)
	}
	return max(grain, (left+grain-1)/grain*grain)
}

// order brings a line to a node's door. Lines of one client arrive in the order in which they left. Exactly one of
// there and down is called then, the latter when the node does not run.
func (w *World) order(client string, n *node, line []byte, there, down func()) {
	key := [2]string{client, string(n.name)}
	at := max(w.now+w.doorLatency(), w.arrivals[key])
	w.arrivals[key] = at
	w.at(at, n, func() {
		if n.g == nil {
			down()
			return
		}
		there()
		n.put(simlink.Frame{Kind: simlink.Door, Data: line})
	})
}

// finish gives a call an outcome that is not the node's, unless it has one.
func (w *World) finish(c *call, out door.Outcome) {
	if !c.done {
		c.done, c.out = true, out
		w.wakeAt(w.now+w.doorLatency(), c.waiter)
	}
}

// loseCalls ends the calls that a dead node will never answer, and says how many they are.
func (w *World) loseCalls(n *node, why string) int {
	lost := 0
	for _, id := range slices.Sorted(maps.Keys(w.calls)) {
		if c := w.calls[id]; c.node == n {
			if !c.done {
				lost++
			}
			w.finish(c, door.LostAnswer(why))
		}
	}
	return lost
}

// Leave tells all nodes that a client has gone: what it left open there is ended, as if its process had died.
func (w *World) Leave(client string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line, err := door.EncodeOrder(door.Order{Request: door.Request{Client: client}, Gone: true})
	if err != nil || w.over != "" {
		return
	}
	for _, name := range w.cfg.Nodes {
		w.order(client, w.nodes[name], line, func() {}, func() {})
	}
}

// Sleep passes virtual time. It ends early, with an error, when ctx or the world does.
func (w *World) Sleep(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	until := w.now + max(d, 0)
	if w.over == "" && ctx.Err() == nil {
		x := newWaiter(ctx)
		w.wakeAt(until, x)
		w.park(x)
	}
	switch {
	case ctx.Err() != nil && w.over == "":
		return &kit.Error{Op: "sleep", Kind: kit.Unavailable, Err: context.Cause(ctx)}
	case w.over != "" && w.now < until:
		w.now = until
		return &kit.Error{Op: "sleep", Kind: kit.Unavailable, Err: errors.New("the world has ended: " + w.over)}
	}
	return nil
}

// Go runs f as one client. It begins when its caller next waits.
func (w *World) Go(f func(ctx context.Context)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clients++
	x := &waiter{wake: make(chan struct{}, 1)}
	w.parked = append(w.parked, x)
	w.wakeAt(w.now, x)
	go func() {
		<-x.wake
		w.mu.Lock() // whoever woke it is still inside
		ctx := w.ctx
		w.mu.Unlock()
		defer w.gone()
		f(ctx)
	}()
}

// gone ends a client. A panic of it is kept for Wait, where somebody can see it.
func (w *World) gone() {
	p := recover()
	w.mu.Lock()
	defer w.mu.Unlock()
	if p != nil && w.panicked == nil {
		w.panicked = p
	}
	w.clients--
	if w.clients == 0 {
		for _, x := range w.waits {
			w.wakeAt(w.now, x)
		}
		w.waits = nil
	}
	w.leave()
}

// Wait waits for all clients that Go has started. A client's panic goes on here.
func (w *World) Wait() {
	w.mu.Lock()
	w.join()
	p := w.panicked
	w.panicked = nil
	w.mu.Unlock()
	if p != nil {
		panic(p)
	}
}

func (w *World) join() {
	for w.clients > 0 {
		x := &waiter{wake: make(chan struct{}, 1)}
		w.waits = append(w.waits, x)
		w.park(x)
	}
}

// Close ends the world: nodes are dropped, clients get door.Lost and are waited for.
func (w *World) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end("it was closed")
	w.join()
	w.unload()
	w.queue, w.calls = nil, map[uint64]*call{}
	return nil
}
