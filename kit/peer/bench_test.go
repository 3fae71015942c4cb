//go:build !wasip1

package peer

import (
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
)

// benchMesh starts nodes over TCP that all know each other. handle gives each its Config.Handle.
func benchMesh(b *testing.B, names []kit.NodeName, handle func(i int) func(Event)) []*Mesh {
	var nets []wire.Network
	var peers []wire.Peer
	for _, name := range names {
		n, err := wire.ListenTCP(wire.TCPConfig{Self: name, Cookie: "secret"})
		if err != nil {
			b.Fatal(err)
		}
		nets, peers = append(nets, n), append(peers, wire.Peer{Node: name, Addr: n.Addr()})
	}
	var meshes []*Mesh
	for i, name := range names {
		m, err := Start(Config{Self: name, Network: nets[i], Peers: peers, Handle: handle(i)})
		if err != nil {
			b.Fatal(err)
		}
		meshes = append(meshes, m)
	}
	return meshes
}

func stopMeshes(meshes []*Mesh) {
	for _, m := range meshes {
		m.Stop()
		_ = m.cfg.Network.Close()
	}
}

func until(ok func() bool) {
	for !ok() {
		time.Sleep(100 * time.Microsecond)
	}
}

// BenchmarkRoundTrip is one frame there and back between two meshes of one process.
func BenchmarkRoundTrip(b *testing.B) {
	back := make(chan struct{}, 1)
	var meshes []*Mesh
	ready := make(chan struct{})
	meshes = benchMesh(b, []kit.NodeName{"a", "b"}, func(i int) func(Event) {
		return func(e Event) {
			if e.Kind != Frame {
				return
			}
			<-ready
			if i == 0 {
				back <- struct{}{}
			} else if err := meshes[1].Send("a", 1, e.Frame); err != nil {
				b.Error(err)
			}
		}
	})
	close(ready)
	defer stopMeshes(meshes)
	until(func() bool { return seesAll(meshes, false) })
	frame := make([]byte, 132)
	for b.Loop() {
		if err := meshes[0].Send("b", 1, frame); err != nil {
			b.Fatal(err)
		}
		<-back
	}
}

// BenchmarkAllSeeAll is from the start of three nodes until each has links to the others.
func BenchmarkAllSeeAll(b *testing.B) {
	for b.Loop() {
		meshes := benchMesh(b, []kit.NodeName{"a", "b", "c"}, func(int) func(Event) { return func(Event) {} })
		until(func() bool { return seesAll(meshes, false) })
		b.StopTimer()
		stopMeshes(meshes)
		b.StartTimer()
	}
}

// BenchmarkDown is from a cut of both ways until both ends know; healing is from the heal until both are up.
func BenchmarkDown(b *testing.B) {
	for _, cut := range []wire.Cut{wire.Loud, wire.Silent} {
		b.Run(string(cut), func(b *testing.B) {
			meshes := benchMesh(b, []kit.NodeName{"a", "b", "c"}, func(int) func(Event) { return func(Event) {} })
			defer stopMeshes(meshes)
			until(func() bool { return seesAll(meshes, false) })
			set := func(r wire.Rule) {
				meshes[0].cfg.Network.Rules().Set("b", r)
				meshes[1].cfg.Network.Rules().Set("a", r)
			}
			var healing time.Duration
			for b.Loop() {
				set(wire.Rule{Cut: cut})
				until(func() bool { return len(meshes[0].Up()) == 1 && len(meshes[1].Up()) == 1 })
				b.StopTimer()
				start := time.Now()
				set(wire.Rule{})
				until(func() bool { return seesAll(meshes, false) })
				healing += time.Since(start)
				b.StartTimer()
			}
			b.ReportMetric(float64(healing.Microseconds())/float64(b.N)/1000, "ms/heal")
		})
	}
}
