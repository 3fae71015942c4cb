package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/disk"
)

// mesh is a cluster in memory: stores, and links that can be cut.
type mesh struct {
	tb    testing.TB
	mu    sync.Mutex
	nodes map[kit.NodeName]*meshNode
	cuts  map[[2]kit.NodeName]bool
	delay func() time.Duration                   // of each frame, in a bubble; may be nil
	lost  map[[2]kit.NodeName]map[frameKind]bool // frames that vanish on a link that stays up
	stall chan struct{}                          // while it is open, nodes take nothing from those with a smaller name
	queue map[[2]kit.NodeName]*atomic.Int64
	sent  int // bytes
}

// meshNode is one node: its disc outlives the store.
type meshNode struct {
	m     *mesh
	name  kit.NodeName
	files *disk.Memory
	disk  *disk.Disk
	store *Store
	inbox map[kit.NodeName]chan func() // one for each peer, served in turn while the node lives
	up    map[kit.NodeName]bool        // the links that are up
	wg    sync.WaitGroup
}

func newMesh(tb testing.TB, names ...kit.NodeName) *mesh {
	m := &mesh{tb: tb, nodes: map[kit.NodeName]*meshNode{}, cuts: map[[2]kit.NodeName]bool{}}
	for _, n := range names {
		m.nodes[n] = &meshNode{m: m, name: n}
		m.nodes[n].emptyDisc()
	}
	for _, n := range names {
		m.boot(n)
	}
	tb.Cleanup(m.close)
	return m
}

func (n *meshNode) emptyDisc() {
	n.files = disk.NewMemory()
	d, err := disk.Open(n.files.Options())
	if err != nil {
		n.m.tb.Fatal(err)
	}
	n.disk = d
}

// wipe gives a node that does not run an empty disc.
func (m *mesh) wipe(name kit.NodeName) {
	n := m.nodes[name]
	if err := n.disk.Close(); err != nil {
		m.tb.Error(err)
	}
	n.emptyDisc()
}

func (m *mesh) close() {
	for _, n := range m.names() {
		m.kill(n)
		if err := m.nodes[n].disk.Close(); err != nil {
			m.tb.Error(err)
		}
	}
}

func (m *mesh) names() []kit.NodeName {
	var ns []kit.NodeName
	for n := range m.nodes {
		ns = append(ns, n)
	}
	slices.Sort(ns)
	return ns
}

func (m *mesh) store(n kit.NodeName) *Store { return m.nodes[n].store }

// Self, Up and Send make a node the Peers of its store.
func (n *meshNode) Self() kit.NodeName { return n.name }

func (n *meshNode) Up() []kit.NodeName {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	var up []kit.NodeName
	for p := range n.up {
		up = append(up, p)
	}
	slices.Sort(up)
	return up
}

func (n *meshNode) Send(to kit.NodeName, frame []byte) {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	n.m.sent += len(frame)
	if !n.up[to] || n.m.lost[[2]kit.NodeName{n.name, to}][frameKind(frame[0])] {
		return // the link is down, or the test takes the frame
	}
	if p := n.m.nodes[to]; p.up[n.name] {
		s := p.store
		if n.m.stall != nil && n.name < to {
			q, stall := n.m.waits(n.name, to), n.m.stall
			q.Add(int64(len(frame)))
			p.inbox[n.name] <- func() {
				<-stall
				q.Add(-int64(len(frame)))
				s.Receive(n.name, frame)
			}
			return
		}
		p.inbox[n.name] <- func() { s.Receive(n.name, frame) }
	}
}

// waits counts the bytes on their way on a link that is stalled. Callers hold mu.
func (m *mesh) waits(from, to kit.NodeName) *atomic.Int64 {
	k := [2]kit.NodeName{from, to}
	if m.queue == nil {
		m.queue = map[[2]kit.NodeName]*atomic.Int64{}
	}
	if m.queue[k] == nil {
		m.queue[k] = &atomic.Int64{}
	}
	return m.queue[k]
}

// Queued makes a node a Queuer.
func (n *meshNode) Queued(to kit.NodeName) int {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	return int(n.m.waits(n.name, to).Load())
}

// boot starts a node's program, its store not started, and links it to all that it can reach.
func (m *mesh) boot(name kit.NodeName) {
	n := m.nodes[name]
	n.inbox, n.up = map[kit.NodeName]chan func(){}, map[kit.NodeName]bool{}
	s, err := Open(Config{Peers: n, Disk: n.disk})
	if err != nil {
		m.tb.Fatal(err)
	}
	n.store = s
	for _, p := range m.names() {
		m.link(name, p)
	}
}

// link connects two nodes that run and are not cut apart.
func (m *mesh) link(a, b kit.NodeName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	x, y := m.nodes[a], m.nodes[b]
	if a == b || x.store == nil || y.store == nil || m.cuts[[2]kit.NodeName{a, b}] || m.cuts[[2]kit.NodeName{b, a}] || x.up[b] {
		return
	}
	x.serve(b)
	y.serve(a)
}

func (n *meshNode) serve(peer kit.NodeName) {
	s := n.store
	if n.inbox[peer] == nil {
		c := make(chan func(), 1<<16)
		n.inbox[peer] = c
		n.wg.Go(func() {
			for f := range c {
				if n.m.delay != nil {
					time.Sleep(n.m.delay())
				}
				f()
			}
		})
	}
	n.up[peer] = true
	n.inbox[peer] <- func() { s.PeerUp(peer) }
}

// unlink breaks the link between two nodes; both learn of it after what was on its way.
func (m *mesh) unlink(a, b kit.NodeName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range [][2]kit.NodeName{{a, b}, {b, a}} {
		if n := m.nodes[p[0]]; n.up[p[1]] {
			delete(n.up, p[1])
			s := n.store
			n.inbox[p[1]] <- func() { s.PeerDown(p[1]) }
		}
	}
}

func (m *mesh) cut(a, b kit.NodeName) {
	m.mu.Lock()
	m.cuts[[2]kit.NodeName{a, b}] = true
	m.mu.Unlock()
	m.unlink(a, b)
}

func (m *mesh) heal(a, b kit.NodeName) {
	m.mu.Lock()
	delete(m.cuts, [2]kit.NodeName{a, b})
	delete(m.cuts, [2]kit.NodeName{b, a})
	m.mu.Unlock()
	m.link(a, b)
}

// kill ends a node at once: others see its links go, it does nothing in good order.
func (m *mesh) kill(name kit.NodeName) {
	if m.nodes[name].store == nil {
		return
	}
	if err := m.die(name); err != nil {
		m.tb.Error(err)
	}
}

func (m *mesh) die(name kit.NodeName) error {
	n := m.nodes[name]
	for _, p := range m.names() {
		m.unlink(name, p)
	}
	m.mu.Lock()
	for _, c := range n.inbox {
		close(c)
	}
	clear(n.inbox)
	m.mu.Unlock()
	n.wg.Wait()
	s := n.store
	m.mu.Lock()
	n.store = nil
	m.mu.Unlock()
	return s.Close()
}

// lose makes a kind of frame vanish from now on, as if the sender died before it had sent it.
func (m *mesh) lose(from, to kit.NodeName, k frameKind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	link := [2]kit.NodeName{from, to}
	if m.lost == nil {
		m.lost = map[[2]kit.NodeName]map[frameKind]bool{}
	}
	if m.lost[link] == nil {
		m.lost[link] = map[frameKind]bool{}
	}
	m.lost[link][k] = true
}

// crash ends nodes at the same moment, so that none of them learns of another's end, or sees its links go. With power it is a power failure:
// their discs lose what was not synced.
func (m *mesh) crash(power bool, names ...kit.NodeName) {
	m.mu.Lock()
	for _, a := range names {
		n := m.nodes[a]
		for p := range n.up {
			delete(n.up, p)
			if slices.Contains(names, p) {
				delete(m.nodes[p].up, a)
			}
		}
		if power {
			n.files.Crash(nil)
		}
	}
	maps.DeleteFunc(m.lost, func(link [2]kit.NodeName, _ map[frameKind]bool) bool {
		return slices.Contains(names, link[0]) || slices.Contains(names, link[1])
	})
	m.mu.Unlock()
	for _, a := range names {
		n := m.nodes[a]
		m.die(a)
		_ = n.disk.Close() // it has no files any more after a power failure
		d, err := disk.Open(n.files.Options())
		if err != nil {
			m.tb.Fatal(err)
		}
		n.disk = d
	}
}

// started makes a mesh with a schema on all nodes whose stores run.
func started(tb testing.TB, names ...kit.NodeName) *mesh {
	tb.Helper()
	m := newMesh(tb, names...)
	startAll(tb, m)
	return m
}

// startAll makes a schema on all nodes, starts their stores and gives that of the first.
func startAll(tb testing.TB, m *mesh) *Store {
	tb.Helper()
	names := m.names()
	ctx := context.Background()
	for _, n := range names {
		s := m.store(n)
		if err := s.wait(ctx, func() bool { return len(s.links) == len(names)-1 }); err != nil {
			tb.Fatal(err)
		}
	}
	if err := m.store(names[0]).CreateSchema(ctx, names); err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, n := range names {
		wg.Go(func() {
			if err := m.store(n).Start(ctx, StartOptions{}); err != nil {
				tb.Error(err)
			}
		})
	}
	wg.Wait()
	return m.store(names[0])
}
