//go:build !wasip1

package peer

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"netsplit/kit"
	"netsplit/kit/wire"
)

const (
	// rejoinEvery is how often a node that is connected but unknown to gossip is joined: once both sides of a split
	// have declared each other dead, memberlist by itself never tries again.
	rejoinEvery = 500 * time.Millisecond
	// joinTime bounds one exchange of member lists.
	joinTime = 2 * time.Second
	// maxPackets and maxStreams bound what waits for memberlist; more packets are lost, more streams are closed.
	maxPackets = 1024
	maxStreams = 64
)

// gossip is memberlist over the wire: its packets ride on the links that are up, its streams are connections of their
// own, and whatever a cut does to the wire it does to both. It only finds nodes and their addresses. Whether a node
// can be talked to is never asked of it: with one link of three cut, it rightly keeps everybody alive.
type gossip struct {
	mesh  *Mesh
	list  *memberlist.Memberlist
	self  netip.AddrPort
	ctx   context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup
	wake  chan struct{} // holds one token when a link came up

	packets chan *memberlist.Packet
	streams chan net.Conn

	mu     sync.Mutex
	states map[kit.NodeName]member
	open   map[*streamConn]struct{}
}

// member is what gossip says of a node.
type member struct {
	state string
	meta  []byte
}

func startMembership(m *Mesh) (membership, error) {
	if m.cfg.Static {
		return static{}, nil
	}
	self, err := netip.ParseAddrPort(m.cfg.Advertise)
	if err != nil || self.Addr().IsUnspecified() {
		return nil, &kit.Error{Op: "start gossip on", Kind: kit.Invalid, What: m.cfg.Advertise, Err: err, Hint: "advertise an IP address and port that the other nodes can reach"}
	}
	if len(m.cfg.Meta) > memberlist.MetaMaxSize {
		return nil, &kit.Error{Op: "start gossip", Kind: kit.Invalid, What: "meta", Hint: "keep it within 512 bytes"}
	}
	g := &gossip{
		mesh: m, self: self, wake: make(chan struct{}, 1), packets: make(chan *memberlist.Packet, maxPackets),
		streams: make(chan net.Conn, maxStreams), states: map[kit.NodeName]member{}, open: map[*streamConn]struct{}{},
	}
	g.ctx, g.end = context.WithCancel(m.ctx)
	if g.list, err = memberlist.Create(g.config()); err != nil {
		g.end()
		return nil, &kit.Error{Op: "start gossip", Kind: kit.Broken, Err: err}
	}
	g.tasks.Go(g.rejoin)
	return g, nil
}

// config suits a lab: a handful of nodes on loopback, and a learner who should see a change within a second.
func (g *gossip) config() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = string(g.mesh.cfg.Self)
	c.Transport, c.Delegate, c.Events = g, g, g
	c.AdvertiseAddr, c.AdvertisePort = g.self.Addr().String(), int(g.self.Port())
	c.BindPort = int(g.self.Port())
	c.ProbeInterval, c.ProbeTimeout = 500*time.Millisecond, 250*time.Millisecond
	c.GossipInterval, c.GossipToTheDeadTime = 100*time.Millisecond, 5*time.Second
	c.PushPullInterval = 2 * time.Second
	c.TCPTimeout = joinTime
	c.EnableCompression = false
	c.DeadNodeReclaimTime = 500 * time.Millisecond // or a node that restarts on another port is refused
	c.RequireNodeNames = true                      // or there are calls that no rule can be found for
	c.LogOutput, c.Logger = nil, log.New(logWriter{g}, "", 0)
	return c
}

// logWriter passes memberlist's log on, without its chatter, and without the nodes that it cannot reach: the links
// tell of those. Nothing comes after stop, for which memberlist's goroutines do not wait.
type logWriter struct{ gossip *gossip }

func (w logWriter) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	chatter := strings.HasPrefix(line, "[DEBUG]") || strings.HasPrefix(line, "[INFO]") || strings.Contains(line, ": dial tcp: ")
	if !chatter && w.gossip.ctx.Err() == nil {
		w.gossip.mesh.cfg.Logf("gossip: %s", line)
	}
	return len(p), nil
}

// rejoin exchanges member lists with every node whose link is up and that gossip does not know to be alive.
func (g *gossip) rejoin() {
	t := time.NewTicker(rejoinEvery)
	defer t.Stop()
	for {
		for _, peer := range g.mesh.Up() {
			if g.state(peer) == "alive" || g.ctx.Err() != nil {
				continue
			}
			if l := g.mesh.find(peer).describe(); isAddrPort(l.Addr) {
				// An error shows as the node staying unknown; the next round tries again.
				_, _ = g.list.Join([]string{string(peer) + "/" + l.Addr})
			}
		}
		select {
		case <-t.C:
		case <-g.wake:
		case <-g.ctx.Done():
			return
		}
	}
}

// isAddrPort keeps memberlist from asking a name server, which no rule reaches.
func isAddrPort(addr string) bool {
	_, err := netip.ParseAddrPort(addr)
	return err == nil
}

func (g *gossip) linkUp(kit.NodeName) {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *gossip) state(peer kit.NodeName) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.states[peer].state
}

func (g *gossip) meta(peer kit.NodeName) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.states[peer].meta
}

// stop ends gossip without a goodbye: the links tell that the node is gone.
func (g *gossip) stop() {
	g.end()
	_ = g.list.Shutdown() // answers nil, or that it was shut down before
	g.mu.Lock()
	var open []*streamConn
	for c := range g.open {
		open = append(open, c)
	}
	g.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
	g.tasks.Wait()
}

// NotifyJoin, NotifyUpdate and NotifyLeave are called by memberlist under its lock, so they must not ask it anything.
// Pointers they get belong to memberlist.

// NotifyJoin takes a node that gossip learned of.
func (g *gossip) NotifyJoin(n *memberlist.Node) { g.learn(n, "alive") }

// NotifyUpdate takes a node whose address or data changed.
func (g *gossip) NotifyUpdate(n *memberlist.Node) { g.learn(n, "alive") }

// NotifyLeave takes a node that gossip thinks dead, or that left.
func (g *gossip) NotifyLeave(n *memberlist.Node) {
	if n.State == memberlist.StateLeft {
		g.learn(n, "left")
	} else {
		g.learn(n, "dead")
	}
}

func (g *gossip) learn(n *memberlist.Node, state string) {
	name := kit.NodeName(n.Name)
	g.mu.Lock()
	if _, known := g.states[name]; known || len(g.states) <= MaxPeers {
		g.states[name] = member{state, append([]byte(nil), n.Meta...)}
	}
	g.mu.Unlock()
	if state == "alive" {
		g.mesh.heardOf(wire.Peer{Node: name, Addr: n.Address()})
	}
}

// heardOf takes what gossip tells of a node. What the node itself told us is newer while its link is up.
func (m *Mesh) heardOf(p wire.Peer) {
	if l := m.find(p.Node); l == nil || l.current.Load() == nil {
		m.AddPeer(p)
	}
}

// NodeMeta gives what Config.Meta says of this node.
func (g *gossip) NodeMeta(int) []byte { return g.mesh.cfg.Meta }

// The rest of memberlist's delegate: nothing else is gossiped.

// NotifyMsg takes nothing.
func (g *gossip) NotifyMsg([]byte) {}

// GetBroadcasts gives nothing.
func (g *gossip) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState gives nothing.
func (g *gossip) LocalState(bool) []byte { return nil }

// MergeRemoteState takes nothing.
func (g *gossip) MergeRemoteState([]byte, bool) {}

// What follows is memberlist's transport.

// sendPacket sends gossip that may be lost.
func (m *Mesh) sendPacket(to kit.NodeName, b []byte) {
	if l := m.find(to); l != nil {
		if s := l.current.Load(); s != nil {
			_ = s.conn.SendPacket(prefixed(gossipChannel, b)) // lost is lost
		}
	}
}

// FinalAdvertiseAddr is the node's own address.
func (g *gossip) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return g.self.Addr().AsSlice(), int(g.self.Port()), nil
}

// WriteToAddress sends a packet on the link to a node. A packet that cannot be sent is lost without a word: told of
// an error, memberlist would not suspect the node.
func (g *gossip) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	g.mesh.sendPacket(kit.NodeName(a.Name), b)
	return time.Now(), nil
}

// WriteTo is not called where every address has a name.
func (g *gossip) WriteTo([]byte, string) (time.Time, error) { return time.Now(), nil }

func (g *gossip) packet(from kit.NodeName, b []byte) {
	p := &memberlist.Packet{Buf: b, From: g.addrOf(from), Timestamp: time.Now()}
	select {
	case g.packets <- p:
	default:
	}
}

func (g *gossip) addrOf(peer kit.NodeName) net.Addr {
	a, err := netip.ParseAddrPort(g.mesh.find(peer).describe().Addr)
	if err != nil {
		return &net.UDPAddr{}
	}
	return net.UDPAddrFromAddrPort(a)
}

// PacketCh gives the packets that came in.
func (g *gossip) PacketCh() <-chan *memberlist.Packet { return g.packets }

// DialTimeout is DialAddressTimeout for an address without a name, whose rule is found in the handshake.
func (g *gossip) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout opens a stream to a node.
func (g *gossip) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(g.ctx, timeout)
	defer cancel()
	c, err := g.mesh.cfg.Network.Dial(ctx, wire.Peer{Node: kit.NodeName(a.Name), Addr: a.Addr})
	if err == nil {
		if err = sendJSON(c, hello{Purpose: purposeGossip}); err == nil {
			return g.newStream(c, a.Addr), nil
		}
		_ = c.Close()
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err} // what memberlist takes for a fault of the remote
}

func (g *gossip) stream(c wire.Conn) {
	s := g.newStream(c, "")
	select {
	case g.streams <- s:
	default:
		_ = s.Close()
	}
}

// StreamCh gives the streams that came in.
func (g *gossip) StreamCh() <-chan net.Conn { return g.streams }

// Shutdown is called by memberlist's own; the network is not ours to close.
func (g *gossip) Shutdown() error { return nil }

func (g *gossip) newStream(c wire.Conn, addr string) *streamConn {
	s := &streamConn{gossip: g, conn: c, remote: g.remoteOf(c, addr)}
	g.mu.Lock()
	g.open[s] = struct{}{}
	g.mu.Unlock()
	if g.ctx.Err() != nil {
		_ = s.Close()
	}
	return s
}

func (g *gossip) remoteOf(c wire.Conn, addr string) net.Addr {
	if a, err := netip.ParseAddrPort(addr); err == nil {
		return net.TCPAddrFromAddrPort(a)
	}
	if l := g.mesh.find(c.Peer()); l != nil {
		if a, err := netip.ParseAddrPort(l.describe().Addr); err == nil {
			return net.TCPAddrFromAddrPort(a)
		}
	}
	return &net.TCPAddr{}
}

// streamConn is a stream of bytes over a connection of frames. A deadline that passes ends it.
type streamConn struct {
	gossip *gossip
	conn   wire.Conn
	remote net.Addr
	rest   []byte // of the last frame; Read is called by one goroutine at a time

	mu    sync.Mutex
	timer *time.Timer
	late  bool
}

func (s *streamConn) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		f, err := s.conn.Recv()
		if err != nil {
			return 0, s.cause(err)
		}
		s.rest = f
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *streamConn) Write(b []byte) (int, error) {
	if err := s.conn.Send(append([]byte(nil), b...)); err != nil {
		return 0, s.cause(err)
	}
	return len(b), nil
}

// cause tells a deadline from other ends.
func (s *streamConn) cause(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.late {
		return &net.OpError{Op: "read", Net: "tcp", Addr: s.remote, Err: context.DeadlineExceeded}
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return &net.OpError{Op: "read", Net: "tcp", Addr: s.remote, Err: err}
}

func (s *streamConn) Close() error {
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.gossip.mu.Lock()
	delete(s.gossip.open, s)
	s.gossip.mu.Unlock()
	return s.conn.Close()
}

func (s *streamConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(s.gossip.self) }
func (s *streamConn) RemoteAddr() net.Addr { return s.remote }

func (s *streamConn) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if !t.IsZero() {
		s.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			s.late = true
			s.mu.Unlock()
			_ = s.Close()
		})
	}
	return nil
}

func (s *streamConn) SetReadDeadline(t time.Time) error  { return s.SetDeadline(t) }
func (s *streamConn) SetWriteDeadline(t time.Time) error { return s.SetDeadline(t) }
