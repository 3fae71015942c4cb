package wire

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
)

// Fabric is a network in memory for tests under testing/synctest, with the same rules, handshake and limits as the
// TCP form. Chance is drawn for every connection and direction from the fabric's seed, so that the order in which
// goroutines of one instant run does not change it.
type Fabric struct {
	// Latency is how long a frame takes on a healthy link, give or take a half of it more, drawn from the seed: so no
	// two things happen at one instant, where goroutines run in any order. It may be set before the first connection.
	Latency time.Duration

	seed uint64

	mu    sync.Mutex
	nodes map[string]*Memory       // by address; a crashed node stays until the next one at its address
	named map[kit.NodeName]*Memory // the last one of each name
	made  map[string]uint64        // connections made, by "from>to"
}

// NewFabric makes an empty network whose chances follow from seed.
func NewFabric(seed uint64) *Fabric {
	return &Fabric{seed: seed, nodes: map[string]*Memory{}, named: map[kit.NodeName]*Memory{}, made: map[string]uint64{}}
}

// Memory is one node's Network on a Fabric.
type Memory struct {
	fabric   *Fabric
	id       identity
	addr     string
	rules    Rules
	accepted chan *memConn
	ctx      context.Context
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
	refused  atomic.Uint64

	mu     sync.Mutex
	conns  []*memConn // open ones, in order of their making
	gone   bool       // closed, killed or crashed
	silent bool       // crashed: nobody is told
}

// Listen adds a node at an address, which may be any text; empty is "mem:" and the name. The address of a node
// that still runs is kit.Exists.
func (f *Fabric) Listen(self kit.NodeName, addr, cookie string) (*Memory, error) {
	if addr == "" {
		addr = "mem:" + string(self)
	}
	if !self.Valid() {
		return nil, &kit.Error{Op: "listen on", Kind: kit.Invalid, What: addr, Err: errors.New("bad node name " + clean(string(self)))}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.nodes[addr]; n != nil && !n.isGone() {
		return nil, &kit.Error{Op: "listen on", Kind: kit.Exists, What: addr, Hint: "choose another address"}
	}
	n := &Memory{fabric: f, id: identity{self, cookie}, addr: addr, accepted: make(chan *memConn)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.rules.Watch(n.ruleChanged)
	f.nodes[addr], f.named[self] = n, n
	return n, nil
}

// Crash takes a node's power away: it sends nothing more, and nobody is told. Its connections stay open at the
// other ends until those send something after a node of that name runs again.
func (f *Fabric) Crash(name kit.NodeName) { f.stop(name, true) }

// Kill ends a node's process as kill -9 does: its kernel still closes the connections.
func (f *Fabric) Kill(name kit.NodeName) { f.stop(name, false) }

func (f *Fabric) stop(name kit.NodeName, silent bool) {
	f.mu.Lock()
	n := f.named[name]
	f.mu.Unlock()
	if n != nil {
		n.end(silent)
	}
}

// find gives the node at an address; nil when there never was one.
func (f *Fabric) find(addr string) *Memory {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[addr]
}

// replaced reports whether a node of n's name runs that is not n.
func (f *Fabric) replaced(n *Memory) bool {
	f.mu.Lock()
	now := f.named[n.id.self]
	f.mu.Unlock()
	return now != n && !now.isGone()
}

// number counts the connections from one node to another.
func (f *Fabric) number(from, to kit.NodeName) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := string(from) + ">" + string(to)
	f.made[key]++
	return f.made[key]
}

// newRand gives the source of chance of one connection's direction.
func newRand(seed uint64, from, to kit.NodeName, number uint64) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s>%s", from, to)
	return rand.New(rand.NewPCG(seed^h.Sum64(), number))
}

func (n *Memory) isGone() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone
}

// Addr is the address that Listen was given.
func (n *Memory) Addr() string { return n.addr }

// Rules is the lever for what this node sends.
func (n *Memory) Rules() *Rules { return &n.rules }

// Refused counts the connections that did not pass the handshake because of their cookie, name or version.
func (n *Memory) Refused() uint64 { return n.refused.Load() }

// Dial opens a connection to a peer. A node that crashed does not answer; where nobody listens the connection is
// refused at once.
func (n *Memory) Dial(ctx context.Context, to Peer) (Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	if to.Node != "" {
		if err := n.rules.link(to.Node).passable(ctx, to.Node); err != nil {
			return nil, err
		}
	}
	target := n.fabric.find(to.Addr)
	for target != nil && target.crashed() {
		select {
		case <-ctx.Done():
			return nil, dialErr(to.Node, ctx.Err())
		case <-time.After(retransmit):
			target = n.fabric.find(to.Addr)
		}
	}
	if target == nil || target.isGone() {
		return nil, dialErr(to.Node, ErrNobody)
	}
	mine, theirs := newMemPair(n, target)
	if !n.add(mine) || !target.add(theirs) {
		mine.abort()
		return nil, dialErr(to.Node, errors.New("the network is closed"))
	}
	target.tasks.Go(func() { target.welcome(theirs) })
	if err := n.id.dial(ctx, mine, to.Node); err != nil {
		return nil, err
	}
	return mine, nil
}

// add takes charge of a connection and starts its delivery.
func (n *Memory) add(c *memConn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone {
		return false
	}
	n.conns = append(n.conns, c)
	n.tasks.Go(c.deliver)
	return true
}

func (n *Memory) forget(c *memConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, have := range n.conns {
		if have == c {
			n.conns = append(n.conns[:i:i], n.conns[i+1:]...)
			return
		}
	}
}

func (n *Memory) crashed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone && n.silent
}

func (n *Memory) welcome(c *memConn) {
	ctx, cancel := context.WithTimeout(n.ctx, HandshakeTime)
	_, err := n.id.accept(ctx, c)
	cancel()
	if err != nil {
		if kit.KindOf(err) == kit.Refused {
			n.refused.Add(1)
		}
		_ = c.Close()
		return
	}
	select {
	case n.accepted <- c:
	case <-n.ctx.Done():
	}
}

// Accept waits for a connection that passed the handshake.
func (n *Memory) Accept(ctx context.Context) (Conn, error) {
	select {
	case c := <-n.accepted:
		return c, nil
	case <-ctx.Done():
		return nil, &kit.Error{Op: "accept", Kind: kit.Unavailable, Err: ctx.Err()}
	case <-n.ctx.Done():
		return nil, &kit.Error{Op: "accept", Kind: kit.Unavailable, Err: io.ErrClosedPipe}
	}
}

// Close ends the network; peers see their connections close, unless a cut hides it from them.
func (n *Memory) Close() error {
	n.end(false)
	return nil
}

// end stops everything of the node.
func (n *Memory) end(silent bool) {
	n.mu.Lock()
	first := !n.gone
	if first {
		n.gone, n.silent = true, silent
	}
	conns := append([]*memConn(nil), n.conns...)
	n.mu.Unlock()
	if first {
		n.cancel()
		for _, c := range conns {
			c.die(silent)
		}
	}
	hard := time.AfterFunc(stopTime, func() {
		for _, c := range conns {
			c.abort()
		}
	})
	n.tasks.Wait()
	hard.Stop()
}

func (n *Memory) ruleChanged(to kit.NodeName, rule Rule) {
	n.mu.Lock()
	conns := append([]*memConn(nil), n.conns...)
	n.mu.Unlock()
	for _, c := range conns {
		switch {
		case c.Peer() != to:
		case rule.Cut == Loud:
			n.rules.link(to).refused.Add(1)
			c.abort()
		default:
			c.kick()
		}
	}
}
