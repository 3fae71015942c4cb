//go:build !wasip1

package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"netsplit/kit"
)

const (
	// maxBuffer is the largest write buffer that a connection keeps for the next batch.
	maxBuffer = 1 << 20
	// readBuffer and firstRead bound what one read takes, and what a length from outside makes us allocate at once.
	readBuffer = 64 << 10
	firstRead  = 1 << 20
)

// tcpConn is a connection over one socket. A frame is its length in four bytes, big-endian, and its bytes.
//
// Sending combines: frames are appended to a buffer, and whoever finds nobody writing writes all of it. On an idle
// connection that is the sender itself, by one write that never blocks; what the socket does not take, and what
// gathers during a write, is left to the connection's goroutine. So a lone request costs no change of goroutines,
// and under load one system call carries many frames. Frames under a rule take the longer way through the outbox.
type tcpConn struct {
	net    *TCP
	number uint64
	sock   *net.TCPConn
	raw    syscall.RawConn
	wake   chan struct{} // holds one token for the goroutine
	link   atomic.Pointer[link]

	mu      sync.Mutex
	peer    kit.NodeName
	out     outbox
	pending []byte // encoded frames, not yet given to the socket
	spare   []byte // the buffer that pending does not use
	rest    []byte // the unwritten end of a buffer, to be written before pending
	writing bool
	flying  int  // bytes in the hands of the writer
	closed  bool // Close was called, or the socket broke: nothing more is taken or given
	ending  bool // all that was sent before Close is in pending, or written
	aborted bool // the socket is closed
	last    time.Time
	later   *time.Timer // wakes the goroutine for what SendLater left; nil before the first
	armed   bool        // later runs
	corked  time.Time   // since when what is sent waits for the reader; zero when it does not
	urgent  bool        // pending has more than SendLater's

	direct directWrite

	readMu sync.Mutex // held by Recv, and by the goroutine while it drains
	in     *bufio.Reader
	eager  eagerReader  // what in reads from
	gather bool         // see Gather
	run    int          // frames given out since the reader last had to wait; 0 without gather
	limit  atomic.Int64 // longest frame taken from the peer
	over   atomic.Bool  // closed, for Recv without mu
}

// startConn makes the connection of a socket; its goroutine belongs to n.tasks.
func startConn(n *TCP, sock *net.TCPConn, number uint64) (*tcpConn, error) {
	raw, err := sock.SyscallConn()
	if err != nil {
		return nil, err
	}
	tune(sock, raw)
	c := &tcpConn{net: n, number: number, sock: sock, raw: raw, wake: make(chan struct{}, 1),
		eager: eagerReader{sock: sock, raw: raw, shared: &n.eager}}
	c.in = bufio.NewReaderSize(&c.eager, readBuffer)
	c.limit.Store(maxHello)
	c.setLink("", new(Rules).link(""))
	n.tasks.Go(c.writeLoop)
	return c, nil
}

func (c *tcpConn) setLink(peer kit.NodeName, l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer = peer
	c.out.link, c.out.rng = l, newRand(c.net.seed, c.net.id.self, peer, c.number)
	c.link.Store(l)
}

func (c *tcpConn) bind(peer kit.NodeName) error {
	l := c.net.rules.link(peer)
	c.setLink(peer, l)
	if l.now().Cut == Loud {
		l.refused.Add(1)
		return cutErr(peer)
	}
	return nil
}

func (c *tcpConn) admit() { c.limit.Store(MaxFrame) }

func (c *tcpConn) Peer() kit.NodeName {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}

func (c *tcpConn) Send(frame []byte) error {
	c.mu.Lock()
	if err := c.checkLocked(frame); err != nil {
		c.mu.Unlock()
		return err
	}
	if c.out.link.rule.Load() == nil && c.out.empty() {
		c.appendLocked(frame)
		c.urgent = true
		c.flushAndUnlock()
		return nil
	}
	c.out.push(frame, time.Now())
	c.mu.Unlock()
	c.kick()
	return nil
}

func (c *tcpConn) SendLater(frame []byte) error {
	c.mu.Lock()
	if err := c.checkLocked(frame); err != nil {
		c.mu.Unlock()
		return err
	}
	if c.out.link.rule.Load() != nil || !c.out.empty() {
		c.out.push(frame, time.Now())
		c.mu.Unlock()
		c.kick()
		return nil
	}
	c.appendLocked(frame)
	if c.corked.IsZero() && time.Since(c.last) < busyGap { // there is a next one without waiting for it
		c.flushAndUnlock()
		return nil
	}
	if !c.writing && !c.armed { // a writer looks again
		c.armed = true
		if c.later == nil {
			c.later = time.AfterFunc(LaterTime, c.kick)
		} else {
			c.later.Reset(LaterTime)
		}
	}
	c.mu.Unlock()
	return nil
}

func (c *tcpConn) SendPacket(frame []byte) error {
	c.mu.Lock()
	if err := c.checkLocked(frame); err != nil {
		c.mu.Unlock()
		return err
	}
	if c.out.link.rule.Load() == nil {
		c.appendLocked(frame)
		c.urgent = true
		c.flushAndUnlock()
		return nil
	}
	c.out.pushPacket(frame, time.Now())
	c.mu.Unlock()
	c.kick()
	return nil
}

// Queued counts the bytes that wait to be sent.
func (c *tcpConn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.bytes + c.flying + len(c.rest) + len(c.pending)
}

func (c *tcpConn) checkLocked(frame []byte) error {
	if c.closed {
		return closedErr(c.peer)
	}
	return checkSend(c.peer, frame, c.out.bytes+c.flying+len(c.rest)+len(c.pending))
}

func (c *tcpConn) appendLocked(frame []byte) {
	c.pending = binary.BigEndian.AppendUint32(c.pending, uint32(len(frame)))
	c.pending = append(c.pending, frame...)
}

// kick wakes the goroutine.
func (c *tcpConn) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// busyGap tells an idle connection from a busy one: frames that follow each other faster are worth gathering.
const busyGap = 20 * time.Microsecond

// flushAndUnlock writes pending if nobody writes and the connection was idle; otherwise it leaves it to those who do.
func (c *tcpConn) flushAndUnlock() {
	now := time.Now()
	if c.writing || !c.corked.IsZero() && now.Sub(c.corked) < corkTime && len(c.pending) < readBuffer {
		c.mu.Unlock() // the writer looks again, and so does the reader
		return
	}
	busy := now.Sub(c.last) < busyGap
	c.last = now
	if busy {
		c.mu.Unlock()
		c.kick()
		return
	}
	c.writeNowAndUnlock()
}

// writeNowAndUnlock writes pending as far as the socket takes it at once, and leaves the rest to the goroutine.
func (c *tcpConn) writeNowAndUnlock() {
	if len(c.rest) > 0 || len(c.pending) > readBuffer || !canWriteDirectly {
		c.mu.Unlock()
		c.kick()
		return
	}
	buf := c.takeLocked()
	c.mu.Unlock()
	n, err := c.direct.write(c.raw, buf)
	c.mu.Lock()
	c.doneLocked(buf, n)
	more := len(c.rest)+len(c.pending) > 0 || c.closed
	c.mu.Unlock()
	if err != nil {
		c.abort()
	} else if more {
		c.kick()
	}
}

// takeLocked makes the caller the writer and gives it what to write.
func (c *tcpConn) takeLocked() []byte {
	c.writing = true
	if c.armed {
		c.armed = false
		c.later.Stop()
	}
	buf := c.rest
	if len(buf) > 0 {
		c.rest = nil
	} else {
		buf = c.pending
		c.pending, c.spare, c.urgent = c.spare[:0], nil, false
	}
	c.flying = len(buf)
	return buf
}

// doneLocked ends a write of n bytes of buf.
func (c *tcpConn) doneLocked(buf []byte, n int) {
	c.writing, c.flying = false, 0
	if n < len(buf) {
		c.rest = buf[n:]
	} else if cap(buf) <= maxBuffer && c.spare == nil {
		c.spare = buf[:0]
	}
}

// writeLoop writes what senders left, releases what rules held back, and ends the connection after its close.
func (c *tcpConn) writeLoop() {
	defer c.net.forget(c)
	for {
		c.mu.Lock()
		c.releaseLocked(time.Now())
		switch {
		case c.aborted:
			c.mu.Unlock()
			return
		case !c.writing && len(c.rest)+len(c.pending) > 0:
			c.writeAndUnlock()
		case !c.writing && c.ending:
			c.mu.Unlock()
			c.finish()
			return
		default:
			wait, timed := c.out.wait(time.Now())
			c.mu.Unlock()
			c.sleep(wait, timed)
		}
	}
}

// writeAndUnlock writes one buffer and waits for the socket to take it.
func (c *tcpConn) writeAndUnlock() {
	buf := c.takeLocked()
	if c.closed {
		_ = c.sock.SetWriteDeadline(time.Now().Add(closeTime))
	}
	c.mu.Unlock()
	n, err := c.sock.Write(buf)
	c.mu.Lock()
	c.doneLocked(buf, n)
	c.mu.Unlock()
	if err != nil {
		c.abort()
	}
}

// releaseLocked moves what may go now from the outbox to pending.
func (c *tcpConn) releaseLocked(now time.Time) {
	for len(c.pending) < maxBuffer && !c.ending {
		it, ok := c.out.pop(now)
		switch {
		case !ok:
			return
		case it.fin:
			c.ending = true
		default:
			c.appendLocked(it.frame)
		}
	}
}

// sleep waits for a kick, or for the time when the outbox releases something.
func (c *tcpConn) sleep(wait time.Duration, timed bool) {
	if !timed {
		<-c.wake
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-c.wake:
	case <-t.C:
	}
}

// finish says goodbye as TCP does: no more from here; then it reads what the peer still sends, because closing a
// socket with unread data would reset the connection and lose what was just written.
func (c *tcpConn) finish() {
	_ = c.sock.CloseWrite()
	c.readMu.Lock() // Recv has seen the deadline that Close set, and returned
	if c.sock.SetReadDeadline(time.Now().Add(closeTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.in, MaxQueue)
	}
	c.readMu.Unlock()
	c.abort()
}

func (c *tcpConn) Gather() {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	c.gather = true
	c.eager.on = true
}

// corkTime bounds how long what is sent waits for a reader that is busy. The next frame sent after it takes all along.
const corkTime = time.Millisecond

// cork makes what is sent wait for uncork.
func (c *tcpConn) cork() {
	c.mu.Lock()
	c.corked = time.Now()
	c.mu.Unlock()
}

// uncork writes what was sent while the reader had frames to give out. Where these were several and none was answered
// at once, others are about to run because of them, and what they send goes along.
func (c *tcpConn) uncork() {
	c.mu.Lock()
	if c.run > 1 && !c.urgent {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	c.corked, c.run = time.Time{}, 0
	if c.writing || !c.urgent {
		c.mu.Unlock()
		return
	}
	c.last = time.Now()
	c.writeNowAndUnlock()
}

// ready reports whether a whole frame has been read already.
func (c *tcpConn) ready() bool {
	n := c.in.Buffered()
	if n < 4 {
		return false
	}
	head, _ := c.in.Peek(4)
	return uint64(n) >= 4+uint64(binary.BigEndian.Uint32(head))
}

func (c *tcpConn) Recv() ([]byte, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if c.over.Load() {
		return nil, io.EOF
	}
	if c.run > 0 && !c.ready() {
		c.uncork()
	}
	frame, err := readFrame(c.in, int(c.limit.Load()))
	if c.gather && err == nil {
		if c.run++; c.run == 1 {
			c.cork()
		}
	}
	switch {
	case c.over.Load():
		return nil, io.EOF
	case kit.KindOf(err) == kit.Corrupt:
		c.abort()
		return nil, err
	case err != nil:
		// Whatever ended it, nothing more will come; nothing can be sent any more either.
		c.abort()
		return nil, io.EOF
	}
	return frame, nil
}

// readFrame takes one frame of at most limit bytes.
func readFrame(r *bufio.Reader, limit int) ([]byte, error) {
	head, err := r.Peek(4)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(head))
	if size > limit {
		return nil, &kit.Error{Op: "receive frame", Kind: kit.Corrupt, Err: errors.New("it is longer than allowed")}
	}
	_, _ = r.Discard(4)
	frame := make([]byte, min(size, firstRead))
	for have := 0; ; {
		n, err := io.ReadFull(r, frame[have:])
		if err != nil {
			return nil, err
		}
		if have += n; have == size {
			return frame, nil
		}
		frame = append(frame, make([]byte, min(size-have, have))...)
	}
}

func (c *tcpConn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.over.Store(true)
	c.out.pushFin(time.Now())
	c.mu.Unlock()
	_ = c.sock.SetReadDeadline(time.Unix(1, 0))
	switch cut := c.link.Load().now().Cut; {
	case cut == Whole:
		_ = c.sock.SetWriteDeadline(time.Now().Add(closeTime))
	case cut == Loud || c.net.crowded():
		c.abort()
	}
	c.kick()
	return nil
}

// heldBack reports whether a rule keeps the connection from closing soon.
func (c *tcpConn) heldBack() bool { return c.link.Load().now().Cut != Whole }

// abort closes the socket at once; what was not written is lost.
func (c *tcpConn) abort() {
	c.mu.Lock()
	if !c.aborted {
		c.aborted, c.closed = true, true
		c.over.Store(true)
		c.out.drop()
		_ = c.sock.Close()
	}
	c.mu.Unlock()
	c.kick()
}
