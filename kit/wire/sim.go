package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"

	"netsplit/kit"
	"netsplit/kit/simlink"
)

// errClosed is the cause of every error after Close.
var errClosed = errors.New("the network is closed")

// simNet is the Network of a node inside the simulator. The host judges cookies and rules; the guest only
// says what it wants and takes what comes.
type simNet struct {
	link   *simlink.Link
	self   kit.NodeName
	cookie string
	rules  Rules

	mu     sync.Mutex
	conns  map[uint64]*simConn
	dials  map[uint64]chan error // buffered; gets nil when opened
	next   uint64
	queue  []*simConn    // accepted by the host, not yet by Accept; at most MaxBacklog
	signal chan struct{} // holds one token while queue may be non-empty
	done   chan struct{} // closed by Close
	closed bool
}

// maxBacklog is how many incoming connections may wait for Accept; more are closed.
const maxBacklog = 1024

// NewSim gives the Network of a node that runs inside the simulator. Its Rules are the node's own copy and
// change nothing: in the simulator faults are made by the host, where no node can reach them.
func NewSim(link *simlink.Link) (Network, error) {
	start := link.Start()
	n := &simNet{link: link, self: start.Node, cookie: start.Cookie, conns: map[uint64]*simConn{},
		dials: map[uint64]chan error{}, signal: make(chan struct{}, 1), done: make(chan struct{})}
	if err := link.Send(simlink.Frame{Kind: simlink.Listen, Data: []byte(n.cookie)}); err != nil {
		return nil, err
	}
	link.Handle(simlink.Wire, n.handle)
	return n, nil
}

func (n *simNet) Addr() string  { return string(n.self) }
func (n *simNet) Rules() *Rules { return &n.rules }

func (n *simNet) Dial(ctx context.Context, to Peer) (Conn, error) {
	answer := make(chan error, 1)
	n.mu.Lock()
	name := string(to.Node)
	if name == "" {
		name = to.Addr
	}
	if n.closed {
		n.mu.Unlock()
		return nil, &kit.Error{Op: "dial", What: name, Kind: kit.Unavailable, Err: errClosed}
	}
	n.next++
	id := n.next
	c := n.add(id, kit.NodeName(name))
	n.dials[id] = answer
	n.mu.Unlock()

	err := n.link.Send(simlink.Frame{Kind: simlink.Dial, ID: id, Name: name, Data: []byte(n.cookie)})
	if err == nil {
		select {
		case err = <-answer:
		case <-ctx.Done():
			err = ctx.Err()
		case <-n.done:
			err = errClosed
		}
	}
	n.mu.Lock()
	delete(n.dials, id)
	n.mu.Unlock()
	if err == nil {
		return c, nil
	}
	_ = c.Close()
	var known *kit.Error
	if errors.As(err, &known) {
		return nil, err
	}
	return nil, &kit.Error{Op: "dial", What: name, Kind: kit.Unavailable, Err: err}
}

func (n *simNet) Accept(ctx context.Context) (Conn, error) {
	for {
		n.mu.Lock()
		if n.closed {
			n.mu.Unlock()
			return nil, &kit.Error{Op: "accept", Kind: kit.Unavailable, Err: errClosed}
		}
		if len(n.queue) > 0 {
			c := n.queue[0]
			n.queue = n.queue[1:]
			if len(n.queue) > 0 {
				n.wake()
			}
			n.mu.Unlock()
			return c, nil
		}
		n.mu.Unlock()
		select {
		case <-n.signal:
		case <-n.done:
		case <-ctx.Done():
			return nil, &kit.Error{Op: "accept", Kind: kit.Unavailable, Err: ctx.Err()}
		}
	}
}

// Close closes every connection; later calls fail.
func (n *simNet) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	close(n.done)
	// In order of ID: what a node does must not depend on the order of a map more than it has to.
	var conns []*simConn
	for _, id := range slices.Sorted(maps.Keys(n.conns)) {
		conns = append(conns, n.conns[id])
	}
	n.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
	return nil
}

// add makes a connection; n.mu is held.
func (n *simNet) add(id uint64, peer kit.NodeName) *simConn {
	c := &simConn{net: n, id: id, peer: peer}
	c.more.L = &c.mu
	n.conns[id] = c
	return c
}

func (n *simNet) wake() {
	select {
	case n.signal <- struct{}{}:
	default:
	}
}

// handle takes a frame from the host, on the link's reader.
func (n *simNet) handle(f simlink.Frame) {
	n.mu.Lock()
	c, answer := n.conns[f.ID], n.dials[f.ID]
	switch f.Kind {
	case simlink.Accept:
		full := n.closed || len(n.queue) >= maxBacklog
		c = n.add(f.ID, kit.NodeName(f.Name))
		if !full {
			n.queue = append(n.queue, c)
			n.wake()
		}
		n.mu.Unlock()
		if full {
			_ = c.Close()
		}
		return
	case simlink.Refused, simlink.Close:
		delete(n.conns, f.ID)
	}
	n.mu.Unlock()

	switch f.Kind {
	case simlink.Opened:
		if answer != nil {
			answer <- nil
		}
	case simlink.Refused:
		if answer != nil {
			c.end() // there is nothing to close at the host
			answer <- dialRefused(c.peer, f)
		}
	case simlink.Data, simlink.Packet:
		if c != nil {
			c.deliver(f.Data)
		}
	case simlink.Close:
		if c != nil {
			c.end()
		}
	}
}

func dialRefused(peer kit.NodeName, f simlink.Frame) error {
	e := &kit.Error{Op: "dial", What: string(peer), Kind: kit.Unavailable, Err: errors.New(string(f.Data))}
	switch f.Name {
	case "cookie":
		e.Kind, e.Hint = kit.Refused, "give both nodes the same cookie"
	case "down":
		e.Err = ErrNobody
	}
	return e
}

// simConn is one connection of a simulated node.
type simConn struct {
	net  *simNet
	id   uint64
	peer kit.NodeName

	mu     sync.Mutex
	more   sync.Cond
	frames [][]byte // received; the host holds back what passes simlink.Window
	taken  int      // bytes that Recv gave since the last report
	closed bool     // by this side: Recv ends at once
	ended  bool     // by the other side: Recv ends after frames
}

func (c *simConn) Peer() kit.NodeName { return c.peer }

func (c *simConn) Send(frame []byte) error       { return c.send(simlink.Data, frame) }
func (c *simConn) SendPacket(frame []byte) error { return c.send(simlink.Packet, frame) }

func (c *simConn) send(kind simlink.Kind, frame []byte) error {
	if len(frame) > MaxFrame {
		return &kit.Error{Op: "send to", What: string(c.peer), Kind: kit.Invalid, Err: errors.New("the frame is longer than MaxFrame")}
	}
	c.mu.Lock()
	down := c.closed || c.ended
	c.mu.Unlock()
	if down {
		return &kit.Error{Op: "send to", What: string(c.peer), Kind: kit.Unavailable, Err: io.ErrClosedPipe}
	}
	return c.net.link.Send(simlink.Frame{Kind: kind, ID: c.id, Data: frame})
}

func (c *simConn) Recv() ([]byte, error) {
	c.mu.Lock()
	for len(c.frames) == 0 && !c.closed && !c.ended {
		c.more.Wait()
	}
	if c.closed || len(c.frames) == 0 {
		c.mu.Unlock()
		return nil, io.EOF
	}
	f := c.frames[0]
	c.frames = c.frames[1:]
	c.taken += len(f)
	report := 0
	if c.taken >= simlink.TakenStep && !c.ended {
		report, c.taken = c.taken, 0
	}
	c.mu.Unlock()
	if report > 0 {
		// An error means that the connection ended meanwhile, which the next Recv tells.
		_ = c.net.link.Send(simlink.Frame{Kind: simlink.Taken, ID: c.id, Data: binary.LittleEndian.AppendUint64(nil, uint64(report))})
	}
	return f, nil
}

func (c *simConn) Close() error {
	c.mu.Lock()
	first := !c.closed
	tell := first && !c.ended
	c.closed, c.frames = true, nil
	c.more.Broadcast()
	c.mu.Unlock()
	if !first {
		return nil
	}
	c.net.mu.Lock()
	delete(c.net.conns, c.id)
	c.net.mu.Unlock()
	if tell {
		// The host may have closed it at the same time; then there is nobody to tell.
		_ = c.net.link.Send(simlink.Frame{Kind: simlink.Close, ID: c.id})
	}
	return nil
}

func (c *simConn) deliver(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.frames = append(c.frames, frame)
		c.more.Broadcast()
	}
}

func (c *simConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.more.Broadcast()
}
