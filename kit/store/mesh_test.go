package store

import (
	"context"
	"slices"
	"sync"
	"testing"

	"netsplit/kit"
	"netsplit/kit/store/disk"
)

// mesh is a cluster in memory: stores, and links that can be cut.
type mesh struct {
	tb    testing.TB
	mu    sync.Mutex
	nodes map[kit.NodeName]*meshNode
	cuts  map[[2]kit.NodeName]bool
}

// meshNode is one node: its disc outlives the store.
type meshNode struct {
	m     *mesh
	name  kit.NodeName
	disk  *disk.Disk
	store *Store
	inbox map[kit.NodeName]chan func() // one for each peer, served in turn
	wg    sync.WaitGroup
}

func newMesh(tb testing.TB, names ...kit.NodeName) *mesh {
	m := &mesh{tb: tb, nodes: map[kit.NodeName]*meshNode{}, cuts: map[[2]kit.NodeName]bool{}}
	for _, n := range names {
		d, err := disk.Open(disk.NewMemory().Options())
		if err != nil {
			tb.Fatal(err)
		}
		m.nodes[n] = &meshNode{m: m, name: n, disk: d}
	}
	for _, n := range names {
		m.boot(n)
	}
	tb.Cleanup(m.close)
	return m
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
	for p := range n.inbox {
		up = append(up, p)
	}
	slices.Sort(up)
	return up
}

func (n *meshNode) Send(to kit.NodeName, frame []byte) {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	if n.inbox[to] == nil {
		return // the link is down
	}
	if p := n.m.nodes[to]; p.inbox[n.name] != nil {
		s := p.store
		p.inbox[n.name] <- func() { s.Receive(n.name, frame) }
	}
}

// boot starts a node's program, its store not started, and links it to all that it can reach.
func (m *mesh) boot(name kit.NodeName) {
	n := m.nodes[name]
	n.inbox = map[kit.NodeName]chan func(){}
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
	if a == b || x.store == nil || y.store == nil || m.cuts[[2]kit.NodeName{a, b}] || m.cuts[[2]kit.NodeName{b, a}] || x.inbox[b] != nil {
		return
	}
	x.serve(b)
	y.serve(a)
}

func (n *meshNode) serve(peer kit.NodeName) {
	c := make(chan func(), 1<<16)
	n.inbox[peer] = c
	s := n.store
	c <- func() { s.PeerUp(peer) }
	n.wg.Go(func() {
		for f := range c {
			f()
		}
	})
}

// unlink breaks the link between two nodes; both learn of it after what was on its way.
func (m *mesh) unlink(a, b kit.NodeName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range [][2]kit.NodeName{{a, b}, {b, a}} {
		n := m.nodes[p[0]]
		if c := n.inbox[p[1]]; c != nil {
			delete(n.inbox, p[1])
			s := n.store
			c <- func() { s.PeerDown(p[1]) }
			close(c)
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
	n := m.nodes[name]
	if n.store == nil {
		return
	}
	for _, p := range m.names() {
		m.unlink(name, p)
	}
	n.wg.Wait()
	s := n.store
	m.mu.Lock()
	n.store = nil
	m.mu.Unlock()
	if err := s.Close(); err != nil {
		m.tb.Error(err)
	}
}

// started makes a mesh with a schema on all nodes whose stores run.
func started(tb testing.TB, names ...kit.NodeName) *mesh {
	tb.Helper()
	m := newMesh(tb, names...)
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
	return m
}
