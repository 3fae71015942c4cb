// Package peer knows who is in the cluster and whose direct link is up. Discovery is memberlist's (real nodes) or
// a fixed list (the simulator, tests); the truth about a link is always the link itself: one data connection to
// every known peer, over which both ends tick.
package peer

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
)

// Config says how a node takes part. Only Self and Network are needed.
type Config struct {
	Self    kit.NodeName
	Network wire.Network // opened and closed by the caller
	// Peers are the nodes to connect to from the start. One without a name is asked for it. Nodes that connect to
	// us, and nodes that gossip tells of, are known from then on too.
	Peers []wire.Peer

	Advertise string // where others reach this node; empty is Network.Addr
	Meta      []byte // at most 512 bytes that gossip tells the others of this node, in Link.Meta

	Seed        uint64        // of the spread of retries
	Incarnation uint64        // tells this life of the node from earlier ones, and grows; 0 takes the clock
	Tick        time.Duration // how often each end of a link says that it lives; 0 is 100 ms
	Missed      int           // ticks without any sign of life before a link is down; 0 is 12
	Retry       time.Duration // about how often a lost link is tried again; 0 is 200 ms
	SlowAfter   time.Duration // when a lost link is tried less often, see slowRetry; 0 is 30 s
	DialTimeout time.Duration // for one try, delays of the link included; 0 is 5 s

	Manual bool // connect only when Connect or Ping ask for it
	Static bool // no gossip: the cluster is Peers and whoever connects
	// Hidden nodes watch a cluster without being part of it, as Erlang's -hidden does: their links are hidden at both ends,
	// gossip does not tell of them, and nobody but themselves connects them again.
	Hidden bool

	// Handle, if set, takes the events instead of the channel, without a change of goroutines (some 30 us less a
	// round trip). Calls for one peer are serial; those for different peers are concurrent. It may call Send, Up,
	// Known, Links and Disconnect, but not Connect, Ping or Stop.
	Handle func(Event)
	// Logf takes what is worth knowing but nobody's error; may be nil.
	Logf func(format string, args ...any)
}

// Kind says what an Event is.
type Kind byte

// The kinds of events.
const (
	Up    Kind = iota + 1 // the link to Node is up
	Down                  // it is down again; Reason says why
	Frame                 // Node sent Frame on Channel
)

// String gives the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Up:
		return "up"
	case Down:
		return "down"
	case Frame:
		return "frame"
	}
	return "unknown"
}

// Event is something that happened on the link to one peer. For one peer events are serial: Up before the frames of
// a connection, Down after the last of them, then perhaps Up again. Session numbers the connections of a pair, the
// same at both ends, and grows; when one end loses a connection and makes another, the other end sees Down and Up
// too, however quick that was.
type Event struct {
	Kind    Kind
	Node    kit.NodeName
	Channel byte
	Frame   []byte // belongs to the receiver
	Session uint64
	Hidden  bool   // one of the two ends is a hidden node
	Reason  string // for Down: one of the Reason constants
}

// The reasons of a Down.
const (
	ReasonClosed       = "connection closed" // a loud cut, or the process ended
	ReasonSilent       = "no sign of life"   // a silent cut, a pause, a crash
	ReasonDisconnected = "disconnected"      // Disconnect was called at either end
	ReasonStopped      = "node stopped"      // the peer's Stop
	ReasonReplaced     = "replaced"          // the peer lost the connection before us and made another
	ReasonGarbage      = "protocol broken"   // the peer sent what no node sends
)

// FirstChannel and LastChannel bound the channels that Send takes; the others are the mesh's own.
const (
	FirstChannel byte = 1
	LastChannel  byte = 250
)

// MaxPeers is how many peers a node keeps; more are refused.
const MaxPeers = 1024

// maxEvents is how many events wait for their reader; then the peers that send more are made to wait.
const maxEvents = 1024

// Link is what is known of the link to one peer.
type Link struct {
	Node    kit.NodeName
	Addr    string
	Up      bool
	Hidden  bool // one of the two ends is a hidden node, as far as is known
	Session uint64
	Since   time.Time // of the last Up or Down; zero when there was none
	Reason  string    // why it is down: the last Down's reason, or the error of the last try with its hint
	Gossip  string    // what gossip says of the node: alive, dead, left; empty when it knows nothing
	Meta    []byte    // what the node's Config.Meta is, as gossip told it
}

// Mesh holds the links of one node. All methods may be called from any goroutine.
type Mesh struct {
	cfg    Config
	events chan Event
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	greets chan struct{} // one token for each incoming connection that has not said what it is for

	links  atomic.Pointer[map[kit.NodeName]*link] // replaced, never changed
	up     atomic.Pointer[[]kit.NodeName]         // likewise; sorted
	hidden atomic.Pointer[[]kit.NodeName]         // likewise
	mu     sync.Mutex                             // for replacing the three above
	gossip membership
}

// membership finds nodes by gossip, and tells the mesh of them by AddPeer.
type membership interface {
	packet(from kit.NodeName, b []byte) // a packet of gossip came in
	stream(c wire.Conn)                 // a stream of gossip came in
	linkUp(peer kit.NodeName)
	state(peer kit.NodeName) string
	meta(peer kit.NodeName) []byte
	stop()
}

// Start begins to connect to all peers and to take their connections. Stop must be called in the end.
func Start(cfg Config) (*Mesh, error) {
	if !cfg.Self.Valid() || cfg.Network == nil {
		return nil, &kit.Error{Op: "start mesh", Kind: kit.Invalid, What: string(cfg.Self), Hint: "a mesh needs its node's name and network"}
	}
	for _, p := range cfg.Peers {
		if p.Node != "" && !p.Node.Valid() || p.Addr == "" {
			return nil, &kit.Error{Op: "start mesh", Kind: kit.Invalid, What: "peer " + string(p.Node), Hint: "give each peer as a node name and an address"}
		}
	}
	m := &Mesh{cfg: cfg.filled(), events: make(chan Event, maxEvents), greets: make(chan struct{}, MaxPeers)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.links.Store(&map[kit.NodeName]*link{})
	m.up.Store(&[]kit.NodeName{})
	m.hidden.Store(&[]kit.NodeName{})
	var err error
	if m.gossip, err = startMembership(m); err != nil {
		m.cancel()
		return nil, err
	}
	cfg.Network.Rules().Watch(m.ruleChanged)
	m.tasks.Go(m.accept)
	for _, p := range cfg.Peers {
		if p.Node == "" {
			m.tasks.Go(func() { m.seek(p.Addr) })
		} else if p.Node != cfg.Self {
			m.AddPeer(p)
		}
	}
	return m, nil
}

func (c Config) filled() Config {
	if c.Incarnation == 0 {
		c.Incarnation = uint64(time.Now().UnixNano())
	}
	if c.Tick <= 0 {
		c.Tick = 100 * time.Millisecond
	}
	if c.Missed <= 0 {
		c.Missed = 12
	}
	if c.Retry <= 0 {
		c.Retry = 200 * time.Millisecond
	}
	if c.SlowAfter <= 0 {
		c.SlowAfter = 30 * time.Second
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = 5 * time.Second
	}
	if c.Advertise == "" {
		c.Advertise = c.Network.Addr()
	}
	c.Static = c.Static || c.Hidden
	if c.Logf == nil {
		c.Logf = func(string, ...any) {}
	}
	return c
}

// Self is the node's own name.
func (m *Mesh) Self() kit.NodeName { return m.cfg.Self }

// Up lists the nodes whose direct link is up and not hidden, sorted, without Self: Erlang's nodes(). The slice must not
// be changed.
func (m *Mesh) Up() []kit.NodeName { return *m.up.Load() }

// UpHidden lists those whose link is up and hidden: Erlang's nodes(hidden). The slice must not be changed.
func (m *Mesh) UpHidden() []kit.NodeName { return *m.hidden.Load() }

// Known lists all nodes that the mesh ever heard of, sorted, without Self.
func (m *Mesh) Known() []kit.NodeName {
	return slices.Sorted(maps.Keys(*m.links.Load()))
}

// Links tells the state of every known link, by name.
func (m *Mesh) Links() []Link {
	var all []Link
	for _, name := range m.Known() {
		info := m.find(name).describe()
		info.Gossip, info.Meta = m.gossip.state(name), m.gossip.meta(name)
		all = append(all, info)
	}
	return all
}

// Events gives the events of all peers when Config.Handle is not set. Stop closes the channel, without a Down for
// the links that were up. A reader that is slow makes the peers wait, but no link is lost by that.
func (m *Mesh) Events() <-chan Event { return m.events }

// Send queues a frame for a peer and never blocks; frames to one peer arrive in the order sent. It fails with
// kit.Unavailable when the link is down, and as wire.Conn's Send does. A nil error is no promise of arrival.
func (m *Mesh) Send(to kit.NodeName, channel byte, frame []byte) error {
	return m.send(to, channel, frame, wire.Conn.Send)
}

// SendLater is Send for a frame that nobody waits for: where the network can, it goes with the next one, or by itself
// within wire.LaterTime.
func (m *Mesh) SendLater(to kit.NodeName, channel byte, frame []byte) error {
	return m.send(to, channel, frame, func(c wire.Conn, frame []byte) error {
		if l, ok := c.(wire.LaterConn); ok {
			return l.SendLater(frame)
		}
		return c.Send(frame)
	})
}

// Queued tells how many bytes wait to be sent to a peer; 0 when the link is down or its network does not know.
func (m *Mesh) Queued(to kit.NodeName) int {
	if l := m.find(to); l != nil {
		if s := l.current.Load(); s != nil {
			if q, ok := s.conn.(wire.QueuedConn); ok {
				return q.Queued()
			}
		}
	}
	return 0
}

func (m *Mesh) send(to kit.NodeName, channel byte, frame []byte, how func(wire.Conn, []byte) error) error {
	if channel < FirstChannel || channel > LastChannel || len(frame) >= wire.MaxFrame {
		return &kit.Error{Op: "send to", Kind: kit.Invalid, What: string(to), Hint: "the channel is reserved, or the frame longer than 16 MiB"}
	}
	if l := m.find(to); l != nil {
		if s := l.current.Load(); s != nil {
			return how(s.conn, prefixed(channel, frame))
		}
	}
	m.cfg.Network.Rules().Missed(to)
	return &kit.Error{Op: "send to", Kind: kit.Unavailable, What: string(to), Hint: "the link is down"}
}

func prefixed(channel byte, frame []byte) []byte {
	b := make([]byte, 1+len(frame))
	b[0] = channel
	copy(b[1:], frame)
	return b
}

// AddPeer makes a node known, or tells its new address, and begins to connect to it. It reports whether there was
// room.
func (m *Mesh) AddPeer(p wire.Peer) bool {
	if p.Node == m.cfg.Self || !p.Node.Valid() {
		return false
	}
	l := m.ensure(p.Node)
	if l == nil {
		return false
	}
	if p.Addr != "" {
		l.order(order{kind: orderAddr, addr: p.Addr})
	}
	return true
}

// Connect brings the link to a node up, as Erlang's net_kernel:connect_node does, and waits for that. It also ends
// what Disconnect began. An unknown node is kit.NotFound.
func (m *Mesh) Connect(ctx context.Context, node kit.NodeName) error {
	l := m.find(node)
	if l == nil {
		return &kit.Error{Op: "connect to", Kind: kit.NotFound, What: string(node), Hint: "no node of this name is known"}
	}
	reply := make(chan error, 1)
	if !l.order(order{kind: orderConnect, reply: reply}) {
		return &kit.Error{Op: "connect to", Kind: kit.Overloaded, What: string(node)}
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return &kit.Error{Op: "connect to", Kind: kit.Unavailable, What: string(node), Err: ctx.Err()}
	case <-m.ctx.Done():
		return &kit.Error{Op: "connect to", Kind: kit.Unavailable, What: string(node), Err: context.Canceled}
	}
}

// Disconnect takes the link to a node down, as Erlang's disconnect_node does, and returns before the Down. Neither
// end connects again by itself, until either calls Connect or Ping or starts anew.
func (m *Mesh) Disconnect(node kit.NodeName) error {
	l := m.find(node)
	if l == nil {
		return &kit.Error{Op: "disconnect", Kind: kit.NotFound, What: string(node), Hint: "no node of this name is known"}
	}
	if !l.order(order{kind: orderDisconnect}) {
		return &kit.Error{Op: "disconnect", Kind: kit.Overloaded, What: string(node)}
	}
	return nil
}

// Ping connects to a node if need be and measures one round trip, as net_adm:ping does with its pong and pang.
func (m *Mesh) Ping(ctx context.Context, node kit.NodeName) (time.Duration, error) {
	if err := m.Connect(ctx, node); err != nil {
		return 0, err
	}
	return m.find(node).ping(ctx)
}

// Stop says goodbye to every peer, ends every link and returns when nothing of the mesh runs any more. The network
// stays open.
func (m *Mesh) Stop() {
	m.gossip.stop()
	m.cancel()
	m.tasks.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.events != nil && m.cfg.Handle == nil {
		m.cfg.Handle = func(Event) {}
		close(m.events)
	}
}

func (m *Mesh) find(node kit.NodeName) *link { return (*m.links.Load())[node] }

// ensure finds the link to a peer or begins one; nil when there is no room or the mesh has stopped.
func (m *Mesh) ensure(node kit.NodeName) *link {
	m.mu.Lock()
	defer m.mu.Unlock()
	links := *m.links.Load()
	if l := links[node]; l != nil {
		return l
	}
	if len(links) >= MaxPeers || m.ctx.Err() != nil {
		return nil
	}
	l := newLink(m, node)
	more := maps.Clone(links)
	more[node] = l
	m.links.Store(&more)
	m.tasks.Go(l.run)
	return l
}

// setUp keeps the lists of Up and UpHidden.
func (m *Mesh) setUp(node kit.NodeName, up, hidden bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up.Store(listed(*m.up.Load(), node, up && !hidden))
	m.hidden.Store(listed(*m.hidden.Load(), node, up && hidden))
}

// listed gives a sorted list with a node in it, or without it.
func listed(list []kit.NodeName, node kit.NodeName, in bool) *[]kit.NodeName {
	list = slices.Clone(list)
	at, found := slices.BinarySearch(list, node)
	switch {
	case in && !found:
		list = slices.Insert(list, at, node)
	case !in && found:
		list = slices.Delete(list, at, at+1)
	}
	return &list
}

// emit gives an event to whoever takes them, until done ends.
func (m *Mesh) emit(e Event, done <-chan struct{}) {
	if m.cfg.Handle != nil {
		m.cfg.Handle(e)
		return
	}
	select {
	case m.events <- e:
		return
	default:
	}
	select {
	case m.events <- e:
	case <-done:
	case <-m.ctx.Done():
	}
}

// ruleChanged tries a healed link at once.
func (m *Mesh) ruleChanged(to kit.NodeName, rule wire.Rule) {
	if l := m.find(to); l != nil && rule.Cut == wire.Whole {
		l.order(order{kind: orderRetry})
	}
}

// accept takes connections until the mesh stops or the network is closed.
func (m *Mesh) accept() {
	for {
		c, err := m.cfg.Network.Accept(m.ctx)
		if err != nil {
			return
		}
		select {
		case m.greets <- struct{}{}:
			m.tasks.Go(func() {
				m.greet(c)
				<-m.greets
			})
		default:
			_ = c.Close()
		}
	}
}

// greet reads what an incoming connection is for.
func (m *Mesh) greet(c wire.Conn) {
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.DialTimeout)
	defer cancel()
	h, err := recvHello(ctx, c)
	switch {
	case err != nil:
		_ = c.Close()
	case h.Purpose == purposeGossip:
		m.gossip.stream(c)
	default:
		l := m.ensure(c.Peer())
		if l == nil || !l.offer(incoming{c, h}) {
			_ = c.Close()
		}
	}
}

// seek asks the node at an address for its name until it answers.
func (m *Mesh) seek(addr string) {
	for m.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(m.ctx, m.cfg.DialTimeout)
		c, err := m.cfg.Network.Dial(ctx, wire.Peer{Addr: addr})
		cancel()
		if err == nil {
			m.AddPeer(wire.Peer{Node: c.Peer(), Addr: addr})
			_ = c.Close()
			return
		}
		m.cfg.Logf("find node at %s: %v", addr, err)
		select {
		case <-time.After(m.cfg.Retry):
		case <-m.ctx.Done():
		}
	}
}
