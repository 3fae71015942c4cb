//go:build !wasip1

package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"netsplit/kit"
)

// maxConns is how many connections may be open before those that wait for a heal to say goodbye are given up.
const maxConns = 1024

// TCPConfig says how a node joins its lab's network.
type TCPConfig struct {
	Self   kit.NodeName
	Addr   string                           // where to listen; empty is a free port of the loopback interface
	Cookie string                           // shared by all nodes of a lab
	Seed   uint64                           // of the chances and jitters that rules ask for
	Logf   func(format string, args ...any) // for what happens to strangers' connections; may be nil
}

// TCP is the Network of real nodes: one listener that carries everything, so that a rule reaches everything.
//
// Rules act where data is sent. One thing they cannot do for a real process: when it is killed during a silent
// cut, its kernel closes its sockets and the peer sees that.
type TCP struct {
	eager    eagerness
	id       identity
	seed     uint64
	logf     func(string, ...any)
	rules    Rules
	listener net.Listener
	accepted chan *tcpConn
	ctx      context.Context
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
	refused  atomic.Uint64

	mu       sync.Mutex
	conns    map[*tcpConn]struct{}
	pending  int // incoming connections in their handshake
	sequence uint64
	closed   bool
}

// eagerness says whether a reader of a network may look instead of waiting: one at a time, and only while there is a processor
// for this node and each one that it is connected to. Where nodes share processors, looking takes them from those looked for:
// three nodes on two of them commit a fifth to a third fewer transactions a second with it.
type eagerness struct {
	taken atomic.Bool  // one of the readers looks
	conns atomic.Int32 // connections of the network
}

func (e *eagerness) room() bool { return int(e.conns.Load()) < runtime.GOMAXPROCS(0) }

// ListenTCP opens the network of one node. An address in use is kit.Exists.
func ListenTCP(cfg TCPConfig) (*TCP, error) {
	fail := func(kind kit.Kind, hint string, err error) (*TCP, error) {
		return nil, &kit.Error{Op: "listen on", Kind: kind, What: cfg.Addr, Hint: hint, Err: err}
	}
	if !cfg.Self.Valid() {
		return fail(kit.Invalid, "a node name is a letter followed by letters, digits, - or _", errors.New("bad node name "+clean(string(cfg.Self))))
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	// Multipath TCP, Go's default for listeners, costs time on loopback and gives nothing there.
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	listener, err := lc.Listen(context.Background(), "tcp", cfg.Addr)
	switch {
	case err != nil && addrInUse(err):
		return fail(kit.Exists, "another process listens there; end it or choose another port", err)
	case err != nil:
		return fail(kit.Invalid, "give an address of this machine as HOST:PORT", err)
	}
	n := &TCP{
		id: identity{cfg.Self, cfg.Cookie}, seed: cfg.Seed, logf: cfg.Logf, listener: listener,
		accepted: make(chan *tcpConn), conns: map[*tcpConn]struct{}{},
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.rules.Watch(n.ruleChanged)
	n.tasks.Go(n.listen)
	return n, nil
}

// Addr is the listener's HOST:PORT.
func (n *TCP) Addr() string { return n.listener.Addr().String() }

// Rules is the lever for what this node sends.
func (n *TCP) Rules() *Rules { return &n.rules }

// Refused counts the connections from outside that did not pass the handshake because of their cookie, name or
// version.
func (n *TCP) Refused() uint64 { return n.refused.Load() }

// Dial opens a connection to a peer.
func (n *TCP) Dial(ctx context.Context, to Peer) (Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	if to.Node != "" {
		if err := n.rules.link(to.Node).passable(ctx, to.Node); err != nil {
			return nil, err
		}
	}
	var d net.Dialer
	d.SetMultipathTCP(false)
	sock, err := d.DialContext(ctx, "tcp", to.Addr)
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("%w: %w", ErrNobody, err)
	}
	if err != nil {
		return nil, dialErr(to.Node, err)
	}
	c, err := n.newConn(sock.(*net.TCPConn))
	if err != nil {
		return nil, err
	}
	if err := n.id.dial(ctx, c, to.Node); err != nil {
		return nil, err
	}
	return c, nil
}

// Accept waits for a connection that passed the handshake.
func (n *TCP) Accept(ctx context.Context) (Conn, error) {
	select {
	case c := <-n.accepted:
		return c, nil
	case <-ctx.Done():
		return nil, &kit.Error{Op: "accept", Kind: kit.Unavailable, Err: ctx.Err()}
	case <-n.ctx.Done():
		return nil, &kit.Error{Op: "accept", Kind: kit.Unavailable, Err: net.ErrClosed}
	}
}

// Close ends the network. What was sent before is still written, as far as the peers take it within stopTime.
func (n *TCP) Close() error {
	n.mu.Lock()
	n.closed = true
	conns := n.snapshotLocked("")
	n.mu.Unlock()
	n.cancel()
	err := n.listener.Close()
	for _, c := range conns {
		_ = c.Close()
	}
	hard := time.AfterFunc(stopTime, func() {
		for _, c := range conns {
			c.abort()
		}
	})
	for _, c := range conns {
		if c.heldBack() {
			c.abort()
		}
	}
	n.tasks.Wait()
	hard.Stop()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

func (n *TCP) listen() {
	for {
		sock, err := n.listener.Accept()
		if err != nil {
			if n.ctx.Err() != nil {
				return
			}
			// Out of file descriptors, or a connection that ended before it was taken: the listener still works.
			n.logf("accept: %v", err)
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-n.ctx.Done():
				return
			}
		}
		if !n.reserve() {
			n.logf("accept: too many connections wait for their handshake")
			_ = sock.Close()
			continue
		}
		n.tasks.Go(func() { n.welcome(sock.(*net.TCPConn)) })
	}
}

// reserve takes one of the places for handshakes.
func (n *TCP) reserve() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.pending >= maxHandshakes {
		return false
	}
	n.pending++
	return true
}

func (n *TCP) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pending--
}

// crowded reports whether so many connections are open that those closed during a cut cannot wait for its heal.
func (n *TCP) crowded() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns) > maxConns
}

// welcome does the handshake with whoever connected, and gives the connection to Accept.
func (n *TCP) welcome(sock *net.TCPConn) {
	from := sock.RemoteAddr()
	c, err := n.newConn(sock)
	if err == nil {
		ctx, cancel := context.WithTimeout(n.ctx, HandshakeTime)
		_, err = n.id.accept(ctx, c)
		cancel()
	}
	defer n.release()
	if err == nil {
		select {
		case n.accepted <- c:
		case <-n.ctx.Done():
			c.abort()
		}
		return
	}
	if kit.KindOf(err) == kit.Refused {
		n.refused.Add(1)
	}
	if n.ctx.Err() == nil {
		n.logf("connection from %v: %v (%s)", from, err, kit.HintOf(err))
	}
	if c != nil {
		_ = c.Close()
	}
}

// newConn takes charge of a socket.
func (n *TCP) newConn(sock *net.TCPConn) (*tcpConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		_ = sock.Close()
		return nil, &kit.Error{Op: "connect", Kind: kit.Unavailable, Err: net.ErrClosed}
	}
	n.sequence++
	c, err := startConn(n, sock, n.sequence)
	if err != nil {
		_ = sock.Close()
		return nil, &kit.Error{Op: "connect", Kind: kit.Broken, Err: err}
	}
	n.conns[c] = struct{}{}
	n.eager.conns.Store(int32(len(n.conns)))
	return c, nil
}

func (n *TCP) forget(c *tcpConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
	n.eager.conns.Store(int32(len(n.conns)))
}

// ruleChanged makes the connections of a peer obey its new rule.
func (n *TCP) ruleChanged(to kit.NodeName, rule Rule) {
	n.mu.Lock()
	conns := n.snapshotLocked(to)
	n.mu.Unlock()
	for _, c := range conns {
		if rule.Cut == Loud {
			n.rules.link(to).refused.Add(1)
			c.abort()
		} else {
			c.kick()
		}
	}
}

// snapshotLocked lists the connections to a peer, or all.
func (n *TCP) snapshotLocked(to kit.NodeName) []*tcpConn {
	var all []*tcpConn
	for c := range n.conns {
		if to == "" || c.Peer() == to {
			all = append(all, c)
		}
	}
	return all
}
