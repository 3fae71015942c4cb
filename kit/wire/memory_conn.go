package wire

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
)

// memWindow is how much one end of a memory connection may have received and not taken, as a socket's buffer.
const memWindow = 1 << 20

// memConn is one end of a connection in memory. Its goroutine carries what this end sends to the other end.
type memConn struct {
	net   *Memory
	other *memConn
	wake  chan struct{} // holds one token for the goroutine

	stopped atomic.Bool // the goroutine must end

	mu     sync.Mutex
	change sync.Cond // of anything below
	peer   kit.NodeName
	out    outbox
	limit  int
	closed bool // no more is taken or given at this end
	frames [][]byte
	bytes  int  // in frames
	fin    bool // the other end closed; frames come first
}

// newMemPair makes both ends of a connection that from opens to to.
func newMemPair(from, to *Memory) (dialler, acceptor *memConn) {
	number := from.fabric.number(from.id.self, to.id.self)
	healthy := new(Rules).link("")
	end := func(n *Memory, peer kit.NodeName, number uint64) *memConn {
		c := &memConn{net: n, wake: make(chan struct{}, 1), limit: maxHello}
		c.change.L = &c.mu
		c.out = outbox{link: healthy, latency: n.fabric.Latency, rng: newRand(n.fabric.seed, n.id.self, peer, number)}
		return c
	}
	dialler, acceptor = end(from, to.id.self, 2*number), end(to, from.id.self, 2*number+1)
	dialler.other, acceptor.other = acceptor, dialler
	return dialler, acceptor
}

func (c *memConn) bind(peer kit.NodeName) error {
	l := c.net.rules.link(peer)
	c.mu.Lock()
	c.peer, c.out.link = peer, l
	c.mu.Unlock()
	if l.now().Cut == Loud {
		l.refused.Add(1)
		return cutErr(peer)
	}
	return nil
}

func (c *memConn) admit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = MaxFrame
}

func (c *memConn) Peer() kit.NodeName {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}

func (c *memConn) Send(frame []byte) error {
	return c.queue(frame, func() { c.out.push(frame, time.Now()) })
}

func (c *memConn) SendPacket(frame []byte) error {
	return c.queue(frame, func() { c.out.pushPacket(frame, time.Now()) })
}

// Queued counts the bytes that wait to be sent.
func (c *memConn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.bytes
}

func (c *memConn) queue(frame []byte, push func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.fin {
		return closedErr(c.peer)
	}
	if err := checkSend(c.peer, frame, c.out.bytes); err != nil {
		return err
	}
	push()
	c.kick()
	return nil
}

func (c *memConn) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// deliver carries items to the other end until the close has been carried or the connection ends.
func (c *memConn) deliver() {
	defer c.net.forget(c)
	for {
		c.mu.Lock()
		if c.stopped.Load() {
			c.mu.Unlock()
			return
		}
		it, ok := c.out.pop(time.Now())
		wait, timed := c.out.wait(time.Now())
		c.mu.Unlock()
		switch {
		case ok && it.fin:
			c.other.finish()
			return
		case ok:
			c.carry(it.frame)
		case !timed:
			<-c.wake
		default:
			c.pause(wait)
		}
	}
}

// pause waits for a kick, but not longer than d.
func (c *memConn) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.wake:
	case <-t.C:
	}
}

// carry gives one frame to the other end, waiting for its window. What a crashed node is sent is sent again and again;
// if another runs in its place, that one answers that it knows nothing of the connection.
func (c *memConn) carry(frame []byte) {
	o := c.other
	for o.net.crashed() {
		if c.stopped.Load() || o.net.fabric.replaced(o.net) {
			c.abort()
			return
		}
		c.pause(retransmit)
	}
	o.mu.Lock()
	for o.bytes > memWindow && !o.closed && !c.stopped.Load() {
		o.change.Wait()
	}
	broken := len(frame) > o.limit
	if !o.closed && !broken {
		o.frames = append(o.frames, frame)
		o.bytes += len(frame)
		o.change.Broadcast()
	}
	o.mu.Unlock()
	if broken {
		c.abort()
	}
}

// finish is the arrival of the other end's close.
func (c *memConn) finish() {
	if c.net.crashed() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fin = true
	c.change.Broadcast()
}

func (c *memConn) Recv() ([]byte, error) {
	c.mu.Lock()
	for len(c.frames) == 0 && !c.closed && !c.fin {
		c.change.Wait()
	}
	if c.closed || len(c.frames) == 0 {
		c.mu.Unlock()
		_ = c.Close() // after the other end's close nothing can be sent either
		return nil, io.EOF
	}
	frame := c.frames[0]
	c.frames = c.frames[1:]
	c.bytes -= len(frame)
	c.change.Broadcast()
	c.mu.Unlock()
	return frame, nil
}

func (c *memConn) Close() error {
	c.mu.Lock()
	if !c.closed && c.out.link.now().Cut == Loud {
		c.mu.Unlock()
		c.abort()
		return nil
	}
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.frames, c.bytes = nil, 0
	c.out.pushFin(time.Now())
	c.change.Broadcast()
	c.kick()
	return nil
}

// abort ends the connection for both ends at once.
func (c *memConn) abort() {
	c.stop()
	if !c.net.crashed() && !c.other.net.crashed() {
		c.other.stop()
	}
}

// stop ends this end.
func (c *memConn) stop() {
	c.mu.Lock()
	if !c.stopped.Swap(true) {
		c.closed, c.fin = true, true
		c.out.drop()
		c.frames, c.bytes = nil, 0
		c.change.Broadcast()
	}
	c.mu.Unlock()
	c.kick()
	c.other.mu.Lock()
	c.other.change.Broadcast() // the goroutine may wait for the other end's window
	c.other.mu.Unlock()
}

// die ends the connection with its node: by a crash, or in good order as far as a cut lets it.
func (c *memConn) die(silent bool) {
	c.mu.Lock()
	held := c.out.link.now().Cut != Whole
	c.mu.Unlock()
	if silent || held {
		c.stop()
		return
	}
	_ = c.Close()
}
