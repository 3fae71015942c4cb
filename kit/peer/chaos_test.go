package peer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
)

// witness checks the promises of Event for one life of one node.
type witness struct {
	t    *testing.T
	self kit.NodeName

	mu   sync.Mutex
	up   map[kit.NodeName]uint64 // session that is up
	past map[kit.NodeName]uint64 // last session
	last map[kit.NodeName]uint64 // number of the last frame in this session, 0 none
	log  []string
}

func (w *witness) take(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf("%v %s: %s %s session %d %s", time.Now().Format("04:05.000"), w.self, e.Kind, e.Node, e.Session, e.Reason))
	up := w.up[e.Node]
	switch e.Kind {
	case Up:
		if up != 0 || e.Session <= w.past[e.Node] {
			w.t.Errorf("%s: Up of %s, session %d, after %d (up %d)", w.self, e.Node, e.Session, w.past[e.Node], up)
		}
		w.up[e.Node], w.past[e.Node], w.last[e.Node] = e.Session, e.Session, 0
	case Down:
		if up != e.Session || e.Reason == "" {
			w.t.Errorf("%s: Down of %s, session %d, while %d is up", w.self, e.Node, e.Session, up)
		}
		delete(w.up, e.Node)
	case Frame:
		number := binary.BigEndian.Uint64(e.Frame)
		if up != e.Session || w.last[e.Node] != 0 && number != w.last[e.Node]+1 {
			w.t.Errorf("%s: frame %d of %s after %d, session %d while %d is up", w.self, number, e.Node, w.last[e.Node], e.Session, up)
		}
		w.last[e.Node] = number
	}
}

func (w *witness) session(peer kit.NodeName) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up[peer]
}

func (w *witness) frames(peer kit.NodeName) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[peer]
}

// chaos is a cluster under random faults.
type chaos struct {
	t      *testing.T
	rng    *rand.Rand
	fabric *wire.Fabric
	names  []kit.NodeName
	nets   map[kit.NodeName]*wire.Memory
	meshes map[kit.NodeName]*Mesh
	seen   map[kit.NodeName]*witness
	sent   map[[2]kit.NodeName]uint64
}

func (c *chaos) start(name kit.NodeName) {
	net, err := c.fabric.Listen(name, "", "secret")
	if err != nil {
		c.t.Fatal(err)
	}
	w := &witness{t: c.t, self: name, up: map[kit.NodeName]uint64{}, past: map[kit.NodeName]uint64{}, last: map[kit.NodeName]uint64{}}
	cfg := Config{Self: name, Network: net, Seed: c.rng.Uint64(), Static: true, Handle: w.take}
	for _, p := range c.names {
		cfg.Peers = append(cfg.Peers, wire.Peer{Node: p, Addr: "mem:" + string(p)})
	}
	m, err := Start(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nets[name], c.meshes[name], c.seen[name] = net, m, w
}

// fault does one random thing.
func (c *chaos) fault() {
	from, to := c.names[c.rng.IntN(len(c.names))], c.names[c.rng.IntN(len(c.names))]
	if from == to {
		return
	}
	switch c.rng.IntN(9) {
	case 0:
		c.nets[from].Rules().Set(to, wire.Rule{Cut: wire.Silent})
	case 1:
		c.nets[from].Rules().Set(to, wire.Rule{Cut: wire.Loud})
	case 2:
		c.nets[from].Rules().Set(to, wire.Rule{Delay: 30 * time.Millisecond, Jitter: 50 * time.Millisecond, Loss: 0.1})
	case 3, 4, 5:
		c.nets[from].Rules().Set(to, wire.Rule{})
		c.nets[to].Rules().Set(from, wire.Rule{})
	case 6:
		if err := c.meshes[from].Disconnect(to); err != nil {
			c.t.Error(err)
		}
	case 7:
		m := c.meshes[to]
		m.find(from).order(order{kind: orderConnect, reply: make(chan error, 1)})
	case 8:
		if c.rng.IntN(2) == 0 {
			c.fabric.Crash(from)
		} else {
			c.fabric.Kill(from)
		}
		c.meshes[from].Stop()
		c.start(from)
	}
}

func (c *chaos) chatter() {
	for _, from := range c.names {
		for _, to := range c.names {
			if from != to {
				k := [2]kit.NodeName{from, to}
				if c.meshes[from].Send(to, 1, binary.BigEndian.AppendUint64(nil, c.sent[k]+1)) == nil {
					c.sent[k]++
				}
			}
		}
	}
}

func (c *chaos) healAll() {
	for _, from := range c.names {
		for _, to := range c.names {
			if from != to {
				c.nets[from].Rules().Set(to, wire.Rule{})
				c.meshes[from].find(to).order(order{kind: orderConnect, reply: make(chan error, 1)})
			}
		}
	}
}

// TestChaos plays random faults for some minutes of virtual time: events keep their order, frames theirs, both ends
// agree about the session, and every heal brings all links back within a second.
func TestChaos(t *testing.T) {
	oneThread(t)
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &chaos{t: t, rng: rand.New(rand.NewPCG(seed, 1)), fabric: wire.NewFabric(seed), names: []kit.NodeName{"a", "b", "c"},
					nets: map[kit.NodeName]*wire.Memory{}, meshes: map[kit.NodeName]*Mesh{}, seen: map[kit.NodeName]*witness{}, sent: map[[2]kit.NodeName]uint64{}}
				c.fabric.Latency = time.Millisecond
				for _, name := range c.names {
					c.start(name)
				}
				defer c.stop()
				for range 20 {
					for range 30 {
						c.fault()
						for range c.rng.IntN(12) {
							time.Sleep(time.Duration(10+c.rng.IntN(40)) * time.Millisecond)
							c.chatter()
						}
					}
					c.settle()
				}
			})
		})
	}
}

func (c *chaos) stop() {
	for _, name := range c.names {
		c.meshes[name].Stop()
		_ = c.nets[name].Close()
	}
}

// settle heals everything and checks that all is well within a second.
func (c *chaos) settle() {
	c.healAll()
	time.Sleep(time.Second)
	c.chatter()
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
	for _, a := range c.names {
		for _, b := range c.names {
			x, y := c.seen[a], c.seen[b]
			if a != b && x.frames(b) == 0 {
				c.t.Errorf("after the heal %s gets nothing from %s", a, b)
			}
			if a != b && (x.session(b) == 0 || x.session(b) != y.session(a)) {
				c.t.Errorf("after the heal %s has session %d with %s, which has %d", a, x.session(b), b, y.session(a))
			}
		}
	}
	if c.t.Failed() {
		for _, name := range c.names {
			log := c.seen[name].log
			c.t.Log(log[max(0, len(log)-12):])
		}
		c.t.FailNow()
	}
}
