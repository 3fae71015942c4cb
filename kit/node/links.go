package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/peer"
	"netsplit/kit/wire"
)

// storeChannel carries the frames of the stores.
const storeChannel byte = 1

// links is the node's mesh as the store sees it (store.Peers), and as the verbs do.
type links struct {
	node      *Node
	simulated bool                      // see simulatedLinks
	mesh      atomic.Pointer[peer.Mesh] // nil until start
	set       chan struct{}             // closed when mesh is set

	mu      sync.Mutex
	changed chan struct{}         // closed and replaced at every Up and Down
	parting map[kit.NodeName]bool // links that this node takes down itself
}

// receiver is what the links feed: the store. For one peer the calls are serial and in order.
type receiver interface {
	PeerUp(kit.NodeName)
	PeerDown(kit.NodeName)
	Receive(from kit.NodeName, frame []byte)
}

func newLinks(n *Node, simulated bool) *links {
	return &links{node: n, simulated: simulated, set: make(chan struct{}), changed: make(chan struct{}), parting: map[kit.NodeName]bool{}}
}

// start connects to the known peers and feeds what happens on their links to r.
func (l *links) start(r receiver) error {
	n := l.node
	cfg := peer.Config{
		Self: n.cfg.Node, Network: n.network, Peers: n.cfg.Peers, Seed: n.cfg.Seed, Manual: n.cfg.Manual, Incarnation: n.cfg.Incarnation,
		// Discovery is for nodes that were told one address; a lab's nodes are told all of them.
		Static: n.cfg.Static,
		Hidden: n.cfg.Hidden,
		Logf:   n.logf,
		Handle: func(e peer.Event) { l.handle(r, e) },
	}
	if l.simulated {
		simulatedLinks(&cfg)
	}
	mesh, err := peer.Start(cfg)
	if err != nil {
		return err
	}
	l.mesh.Store(mesh)
	close(l.set)
	return nil
}

// simulatedLinks makes the links of a simulated node say less often that they live, and look less often for who is away: that is
// most of what an idle cluster computes, and so what a schedule with much waiting in it costs. A silent peer is given up
// after 1.2 s as elsewhere; a real node ticks four times as often meanwhile, because its machine may let it starve for a moment.
func simulatedLinks(cfg *peer.Config) {
	cfg.Tick, cfg.Missed, cfg.SlowAfter = 400*time.Millisecond, 3, 2*time.Second
}

// handle takes one event; the mesh calls it serially for each peer.
func (l *links) handle(r receiver, e peer.Event) {
	<-l.set // the first link may be up before Start has returned, and what the store then sends must not be lost
	switch e.Kind {
	case peer.Frame:
		switch e.Channel {
		case storeChannel:
			if !e.Hidden { // stores do not meet over hidden links
				r.Receive(e.Node, e.Frame)
			}
		case procChannel:
			l.node.procs.Receive(e.Node, e.Frame)
		}
	case peer.Up:
		l.node.Report("event", about(e)+" is up")
		if e.Hidden {
			l.node.procs.PeerUpHidden(e.Node)
		} else {
			r.PeerUp(e.Node)
			l.node.procs.PeerUp(e.Node)
		}
		l.wake()
	case peer.Down:
		l.node.Report("event", about(e)+" is down: "+e.Reason)
		if !e.Hidden {
			r.PeerDown(e.Node)
		}
		l.node.procs.PeerDown(e.Node, lossReason(e.Reason, l.parted(e.Node)))
		l.wake()
	}
}

func about(e peer.Event) string {
	if e.Hidden {
		return "hidden node " + string(e.Node)
	}
	return "node " + string(e.Node)
}

// parts notes that this node takes a link down itself; parted tells, once.
func (l *links) parts(n kit.NodeName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parting[n] = true
}

func (l *links) parted(n kit.NodeName) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ours := l.parting[n]
	delete(l.parting, n)
	return ours
}

func (l *links) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *links) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Self is the node's own name.
func (l *links) Self() kit.NodeName { return l.node.cfg.Node }

// Up lists the nodes whose link is up and not hidden, sorted.
func (l *links) Up() []kit.NodeName {
	if m := l.mesh.Load(); m != nil {
		return slices.Clone(m.Up())
	}
	return nil
}

// Send queues a frame for a peer's store. When the link is down it is lost, and PeerDown tells; a queue that is
// full ends the link, since stores and processes rely on every frame of a session.
func (l *links) Send(to kit.NodeName, frame []byte) {
	l.send(to, storeChannel, frame, (*peer.Mesh).Send)
}

// SendLater is Send for a frame that nobody waits for.
func (l *links) SendLater(to kit.NodeName, frame []byte) {
	l.send(to, storeChannel, frame, (*peer.Mesh).SendLater)
}

// Queued tells how many bytes wait to be sent to a node (store.Queuer).
func (l *links) Queued(to kit.NodeName) int {
	if m := l.mesh.Load(); m != nil {
		return m.Queued(to)
	}
	return 0
}

func (l *links) send(to kit.NodeName, channel byte, frame []byte, how func(*peer.Mesh, kit.NodeName, byte, []byte) error) {
	m := l.mesh.Load()
	if m == nil {
		return
	}
	if err := how(m, to, channel, frame); kit.KindOf(err) == kit.Overloaded {
		l.node.logf("link to %s: %v", to, err)
		l.reset(m, to)
	}
}

// reset makes a link anew, so that both stores see it go down and come up.
func (l *links) reset(m *peer.Mesh, to kit.NodeName) {
	if m.Disconnect(to) != nil {
		return // so many orders wait already that one of them is this
	}
	l.node.tasks.Go(func() { _ = m.Connect(l.node.ctx, to) }) // when it fails the mesh goes on trying
}

// Connect brings the link to a node up, for a store that starts (store.Connector). A try that failed is not
// repeated here; the mesh itself goes on trying.
func (l *links) Connect(ctx context.Context, to kit.NodeName) error {
	m := l.mesh.Load()
	if m == nil {
		return &kit.Error{Op: "connect to", What: string(to), Kind: kit.Unavailable, Err: errors.New("the node is not connected to any other yet")}
	}
	return m.Connect(ctx, to)
}

// UpAll lists the nodes whose link is up, hidden or not, sorted.
func (l *links) UpAll() []kit.NodeName {
	m := l.mesh.Load()
	if m == nil {
		return nil
	}
	all := slices.Concat(m.Up(), m.UpHidden())
	slices.Sort(all)
	return all
}

func (l *links) known() []kit.NodeName {
	if m := l.mesh.Load(); m != nil {
		return m.Known()
	}
	return nil
}

// await returns when links to all of these are up, or to every other known node when none is named.
func (l *links) await(ctx context.Context, nodes []kit.NodeName) error {
	for {
		changed := l.next()
		up := l.UpAll()
		missing := slices.DeleteFunc(slices.Clone(nodes), func(n kit.NodeName) bool {
			return n == l.Self() || slices.Contains(up, n)
		})
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &kit.Error{Op: "wait for node", What: string(missing[0]), Kind: kit.Unavailable, Err: errors.New(l.why(missing[0]))}
		}
	}
}

// why says what keeps the link to a node down.
func (l *links) why(n kit.NodeName) string {
	for _, link := range l.mesh.Load().Links() {
		if link.Node == n && link.Reason != "" {
			return link.Reason
		}
	}
	return "no link to it yet"
}

func (l *links) introduce(p wire.Peer) error {
	if !l.mesh.Load().AddPeer(p) {
		return &kit.Error{Op: "introduce", What: string(p.Node), Kind: kit.Overloaded, Err: errors.New("too many nodes are known")}
	}
	return nil
}

func (l *links) close() {
	if m := l.mesh.Load(); m != nil {
		m.Stop()
	}
}
