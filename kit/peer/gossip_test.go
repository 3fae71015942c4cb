//go:build !wasip1

package peer

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
)

// waitFor waits until ok, in virtual or in real time.
func waitFor(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

// startChain starts nodes each of which knows only the first one.
func startChain(t *testing.T, count int, listen func(name kit.NodeName) wire.Network) []*Mesh {
	t.Helper()
	var meshes []*Mesh
	for i := range count {
		name := kit.NodeName(fmt.Sprintf("n%d", i))
		cfg := Config{Self: name, Network: listen(name), Seed: 1, Logf: t.Logf, Handle: func(Event) {}, Meta: []byte("of " + name)}
		if i > 0 {
			cfg.Peers = []wire.Peer{{Node: meshes[0].Self(), Addr: meshes[0].cfg.Network.Addr()}}
		}
		m, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		meshes = append(meshes, m)
	}
	return meshes
}

func TestGossipInMemory(t *testing.T) {
	oneThread(t)
	synctest.Test(t, func(t *testing.T) {
		f, port := wire.NewFabric(3), 0
		f.Latency = time.Millisecond
		listen := func(name kit.NodeName) wire.Network {
			port++
			n, err := f.Listen(name, fmt.Sprintf("127.0.0.1:%d", port), "secret")
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		meshes := startChain(t, 5, listen)
		waitFor(t, 10*time.Second, "five nodes find each other through one", func() bool { return seesAll(meshes, true) })
		if l := meshes[4].Links()[1]; l.Node != "n1" || string(l.Meta) != "of n1" {
			t.Fatalf("meta of n1 at n4: %+v", l)
		}

		// Cut n0 and n1 off, for so long that both sides have buried each other.
		split := func(r wire.Rule) {
			for i, a := range meshes {
				for j, b := range meshes {
					if (i < 2) != (j < 2) {
						a.cfg.Network.Rules().Set(b.Self(), r)
					}
				}
			}
		}
		split(wire.Rule{Cut: wire.Silent})
		waitFor(t, 3*time.Second, "both sides see the split", func() bool {
			return len(meshes[0].Up()) == 1 && len(meshes[4].Up()) == 2
		})
		waitFor(t, time.Minute, "gossip buries the others", func() bool { return meshes[0].Links()[3].Gossip == "dead" })
		time.Sleep(time.Minute)
		split(wire.Rule{})
		waitFor(t, time.Second, "links are up after the heal", func() bool { return seesAll(meshes, false) })
		waitFor(t, 5*time.Second, "gossip has healed too", func() bool { return seesAll(meshes, true) })

		// One link cut: gossip keeps everybody alive, the link's own truth is that it is down.
		meshes[0].cfg.Network.Rules().Set("n1", wire.Rule{Cut: wire.Loud})
		time.Sleep(time.Minute)
		if up := meshes[0].Up(); !slices.Equal(up, []kit.NodeName{"n2", "n3", "n4"}) {
			t.Fatalf("n0 sees %v", up)
		}
		if l := meshes[0].Links()[0]; l.Node != "n1" || l.Gossip != "alive" {
			t.Fatalf("n1 at n0: %+v", l)
		}
		for _, m := range meshes {
			m.Stop()
			_ = m.cfg.Network.Close()
		}
		time.Sleep(10 * time.Second) // memberlist does not wait for its goroutines
	})
}

func TestGossipOverTCP(t *testing.T) {
	listen := func(name kit.NodeName) wire.Network {
		n, err := wire.ListenTCP(wire.TCPConfig{Self: name, Cookie: "secret", Logf: t.Logf})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
	start := time.Now()
	meshes := startChain(t, 3, listen)
	for _, m := range meshes {
		defer m.Stop()
	}
	waitFor(t, 5*time.Second, "three nodes find each other through one", func() bool { return seesAll(meshes, false) })
	t.Logf("all see all after %v", time.Since(start))
	set := func(r wire.Rule) {
		meshes[1].cfg.Network.Rules().Set("n2", r)
		meshes[2].cfg.Network.Rules().Set("n1", r)
	}
	down := func() bool { return len(meshes[1].Up()) == 1 && len(meshes[2].Up()) == 1 }
	up := func() bool { return seesAll(meshes, false) }
	for range 20 { // the last like the first
		set(wire.Rule{Cut: wire.Loud})
		waitFor(t, 5*time.Second, "loud cut", down)
		set(wire.Rule{})
		waitFor(t, 5*time.Second, "heal", up)
	}
	set(wire.Rule{Cut: wire.Silent})
	t.Logf("silent cut: down after %v", waitFor(t, 10*time.Second, "silent cut", down))
	if n := len(meshes[0].Up()); n != 2 {
		t.Fatalf("n0 sees %d", n)
	}
	set(wire.Rule{})
	t.Logf("healed: up after %v", waitFor(t, 5*time.Second, "heal", up))
}
