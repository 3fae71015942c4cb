package peer

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
)

// inBubble runs f with a fabric in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, fabric *wire.Fabric)) {
	oneThread(t)
	synctest.Test(t, func(t *testing.T) {
		fabric := wire.NewFabric(1)
		fabric.Latency = time.Millisecond
		f(t, fabric)
	})
}

func listen(t *testing.T, f *wire.Fabric, name kit.NodeName) *wire.Memory {
	t.Helper()
	n, err := f.Listen(name, "", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// startMesh starts a node that knows the others of a, b, c.
func startMesh(t *testing.T, f *wire.Fabric, name kit.NodeName, change func(*Config)) *Mesh {
	t.Helper()
	cfg := Config{Self: name, Network: listen(t, f, name), Static: true}
	for _, p := range []kit.NodeName{"a", "b", "c"} {
		cfg.Peers = append(cfg.Peers, wire.Peer{Node: p, Addr: "mem:" + string(p)})
	}
	if change != nil {
		change(&cfg)
	}
	m, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

// dials counts the calls of a node.
type dials struct {
	wire.Network
	count atomic.Int64
}

func (d *dials) Dial(ctx context.Context, to wire.Peer) (wire.Conn, error) {
	d.count.Add(1)
	return d.Network.Dial(ctx, to)
}

// A lost link is tried less often after a while, and where no node listens seldom: one that starts calls by itself, at once.
func TestTriesLess(t *testing.T) {
	inBubble(t, func(t *testing.T, f *wire.Fabric) {
		counted := &dials{}
		in := func(d time.Duration) int64 {
			before := counted.count.Load()
			time.Sleep(d)
			return counted.count.Load() - before
		}
		a := startMesh(t, f, "a", func(c *Config) {
			counted.Network, c.Network = c.Network, counted
			c.Peers, c.SlowAfter = []wire.Peer{{Node: "b", Addr: "mem:b"}}, 2*time.Second
		})
		if soon, late := in(2*time.Second), in(20*time.Second); soon < 7 || soon > 13 || late < 3 || late > 6 {
			t.Errorf("nobody there: %d tries in the first 2 s, %d in the next 20", soon, late)
		}
		began := time.Now()
		startMesh(t, f, "b", nil)
		if e := <-a.Events(); e.Kind != Up || time.Since(began) > 100*time.Millisecond {
			t.Errorf("%v after %v", e, time.Since(began))
		}
		counted.Rules().Set("b", wire.Rule{Cut: wire.Loud})
		if e := <-a.Events(); e.Kind != Down {
			t.Errorf("%v", e)
		}
		if soon, late := in(2*time.Second), in(20*time.Second); soon < 7 || soon > 13 || late < 15 || late > 27 {
			t.Errorf("cut: %d tries in the first 2 s, %d in the next 20", soon, late)
		}
	})
}

func TestEventsChannel(t *testing.T) {
	inBubble(t, func(t *testing.T, f *wire.Fabric) {
		a, b := startMesh(t, f, "a", nil), startMesh(t, f, "b", nil)
		if e := <-b.Events(); e.Kind != Up || e.Node != "a" {
			t.Fatalf("got %+v; want Up of a", e)
		}
		const count = 5000 // more than the channel holds
		for i := range count {
			if err := a.Send("b", 7, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		// A reader that takes nothing for minutes is slow, not dead, and its peer is not either.
		time.Sleep(5 * time.Minute)
		for i := range count {
			if e := <-b.Events(); e.Kind != Frame || e.Channel != 7 || string(e.Frame) != fmt.Sprint(i) {
				t.Fatalf("got %+v; want frame %d", e, i)
			}
		}
		a.Stop()
		if e := <-b.Events(); e.Kind != Down || e.Reason != ReasonStopped {
			t.Fatalf("got %+v; want Down of a", e)
		}
		for range a.Events() { // its Up
		}
		b.Stop()
		if e, ok := <-b.Events(); ok {
			t.Fatalf("got %+v after Stop", e)
		}
	})
}

func TestSendRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, f *wire.Fabric) {
		a := startMesh(t, f, "a", nil)
		startMesh(t, f, "b", nil)
		time.Sleep(time.Second)
		for _, c := range []struct {
			to      kit.NodeName
			channel byte
			size    int
			want    kit.Kind
		}{
			{"b", 0, 1, kit.Invalid},
			{"b", 255, 1, kit.Invalid},
			{"b", 1, wire.MaxFrame, kit.Invalid},
			{"c", 1, 1, kit.Unavailable},
			{"z", 1, 1, kit.Unavailable},
		} {
			if err := a.Send(c.to, c.channel, make([]byte, c.size)); kit.KindOf(err) != c.want {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if !slices.Equal(a.Up(), []kit.NodeName{"b"}) || !slices.Equal(a.Known(), []kit.NodeName{"b", "c"}) {
			t.Errorf("up %v, known %v", a.Up(), a.Known())
		}
	})
}

func TestManual(t *testing.T) {
	inBubble(t, func(t *testing.T, f *wire.Fabric) {
		manual := func(c *Config) { c.Manual = true }
		a, b := startMesh(t, f, "a", manual), startMesh(t, f, "b", manual)
		time.Sleep(time.Minute)
		if len(a.Up()) > 0 {
			t.Fatal("a connected by itself")
		}
		if _, err := a.Ping(context.Background(), "b"); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(b.Up(), []kit.NodeName{"a"}) {
			t.Fatalf("b sees %v", b.Up())
		}
		start := time.Now()
		if _, err := a.Ping(context.Background(), "c"); kit.KindOf(err) != kit.Unavailable || time.Since(start) > time.Second {
			t.Fatalf("ping of nobody: %v after %v", err, time.Since(start))
		}
		a.cfg.Network.Rules().Set("b", wire.Rule{Cut: wire.Silent})
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		if _, err := a.Ping(ctx, "b"); kit.KindOf(err) != kit.Unavailable {
			t.Fatalf("ping over a cut: %v", err)
		}
		a.cfg.Network.Rules().Set("b", wire.Rule{Cut: wire.Loud})
		a.cfg.Network.Rules().Set("b", wire.Rule{})
		time.Sleep(time.Minute)
		if len(a.Up()) > 0 {
			t.Fatal("a connected again by itself")
		}
	})
}

// TestDisconnectInHandler ends a link from its own handler, which must not wait for itself.
func TestDisconnectInHandler(t *testing.T) {
	inBubble(t, func(t *testing.T, f *wire.Fabric) {
		var b *Mesh
		var downs atomic.Int32
		ready := make(chan struct{})
		b = startMesh(t, f, "b", func(c *Config) {
			c.Handle = func(e Event) {
				<-ready
				switch e.Kind {
				case Frame:
					if err := b.Disconnect(e.Node); err != nil {
						t.Error(err)
					}
				case Down:
					downs.Add(1)
				}
			}
		})
		close(ready)
		a := startMesh(t, f, "a", nil)
		time.Sleep(time.Second)
		if err := a.Send("b", 1, []byte("go away")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if len(a.Up()) > 0 || len(b.Up()) > 0 || downs.Load() != 1 {
			t.Fatalf("a sees %v, b sees %v, %d downs", a.Up(), b.Up(), downs.Load())
		}
	})
}

// TestDownIsLast has the handler work on a frame while the link goes down: Down waits for it.
func TestDownIsLast(t *testing.T) {
	inBubble(t, func(t *testing.T, f *wire.Fabric) {
		var log []string // not locked: calls for one peer are serial, which the race detector checks
		done := make(chan struct{})
		b := startMesh(t, f, "b", func(c *Config) {
			c.Handle = func(e Event) {
				log = append(log, e.Kind.String())
				if e.Kind == Frame {
					time.Sleep(10 * time.Second)
					log = append(log, "handled")
				}
				if e.Kind == Down {
					close(done)
				}
			}
		})
		a := startMesh(t, f, "a", nil)
		time.Sleep(time.Second)
		if err := a.Send("b", 1, []byte("work")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := b.Disconnect("a"); err != nil {
			t.Fatal(err)
		}
		<-done
		if got := fmt.Sprint(log); got != "[up frame handled down]" {
			t.Fatal(got)
		}
	})
}

// TestGarbage has a peer that knows the cookie break the mesh's own protocol: its link ends, others are untouched.
func TestGarbage(t *testing.T) {
	inBubble(t, func(t *testing.T, f *wire.Fabric) {
		a, b := startMesh(t, f, "a", nil), startMesh(t, f, "b", nil)
		time.Sleep(time.Second)
		x := listen(t, f, "x")
		dial := func(first string) wire.Conn {
			c, err := x.Dial(context.Background(), wire.Peer{Node: "a", Addr: "mem:a"})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Send([]byte(first)); err != nil {
				t.Fatal(err)
			}
			return c
		}
		for _, first := range []string{"", "{", `{"Purpose":"tea"}`, `[1,2]`, string(make([]byte, maxHello+1))} {
			c := dial(first)
			if _, err := c.Recv(); err == nil {
				t.Errorf("%.20q was answered", first)
			}
		}
		c := dial(`{"Purpose":"link","Incarnation":1}`)
		if _, err := c.Recv(); err != nil {
			t.Fatal(err)
		}
		for _, frame := range []string{string(confirmFrame), "\x00", "\x00p", "\x00q12345678", "\x00zzz", "\xffgossip", "\x01hello"} {
			if err := c.Send([]byte(frame)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Millisecond)
		if !slices.Contains(a.Up(), "x") {
			t.Fatalf("a sees %v; unknown control frames should be skipped", a.Up())
		}
		if err := c.Send(nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		if !slices.Equal(a.Up(), []kit.NodeName{"b"}) || !slices.Equal(b.Up(), []kit.NodeName{"a"}) {
			t.Fatalf("a sees %v, b sees %v", a.Up(), b.Up())
		}
		for _, l := range a.Links() {
			if l.Node == "x" && l.Reason != ReasonGarbage {
				t.Errorf("x: %+v", l)
			}
		}
	})
}

func TestStartRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, f *wire.Fabric) {
		net := listen(t, f, "a")
		for _, cfg := range []Config{
			{},
			{Self: "A", Network: net},
			{Self: "a"},
			{Self: "a", Network: net, Peers: []wire.Peer{{Node: "b"}}},
			{Self: "a", Network: net, Peers: []wire.Peer{{Node: "B", Addr: "x"}}},
		} {
			if _, err := Start(cfg); kit.KindOf(err) != kit.Invalid {
				t.Errorf("%+v: %v", cfg, err)
			}
		}
		b := startMesh(t, f, "b", nil)
		for _, p := range []wire.Peer{{Node: "b", Addr: "x"}, {Node: "B!", Addr: "x"}, {Addr: "x"}} {
			if b.AddPeer(p) {
				t.Errorf("%v was taken", p)
			}
		}
	})
}

// TestJudge has both ends of two calls that cross decide, whatever they know: one of the calls counts, not both.
func TestJudge(t *testing.T) {
	for _, known := range []uint64{0, 5} {
		at := situation{self: "a", peer: "b", calling: true, calledAddr: "b:1", incarnation: known}
		bt := situation{self: "b", peer: "a", calling: true, calledAddr: "a:1", incarnation: known}
		atA, _ := judge(at, hello{Incarnation: 5, Addr: "b:1"})
		atB, _ := judge(bt, hello{Incarnation: 5, Addr: "a:1"})
		if atA != park || atB != take {
			t.Errorf("knowing %d: a decides %v, b decides %v", known, atA, atB)
		}
	}
	for name, c := range map[string]struct {
		s    situation
		h    hello
		want decision
	}{
		"the first call": {situation{self: "a", peer: "b"}, hello{Incarnation: 9}, take},
		"a call from a new address, while calling": {situation{self: "a", peer: "b", calling: true, calledAddr: "b:1"}, hello{Incarnation: 9, Addr: "b:2"}, take},
		"a call from a new life, while calling":    {situation{self: "a", peer: "b", calling: true, calledAddr: "b:1", incarnation: 5}, hello{Incarnation: 9, Addr: "b:1"}, take},
		"a call sent before the session":           {situation{self: "a", peer: "b", up: true, session: 3, incarnation: 9}, hello{Incarnation: 9, Session: 2}, refuse},
		"a call after the peer lost the session":   {situation{self: "a", peer: "b", up: true, session: 3, incarnation: 9}, hello{Incarnation: 9, Session: 3}, take},
		"a call of a dead life":                    {situation{self: "a", peer: "b", up: true, session: 3, incarnation: 9}, hello{Incarnation: 8, Session: 7}, refuse},
		"a call of the next life":                  {situation{self: "a", peer: "b", up: true, session: 3, incarnation: 9}, hello{Incarnation: 10}, take},
		"by itself after a disconnect":             {situation{self: "a", peer: "b", incarnation: 9, disconnected: true}, hello{Incarnation: 9}, refuse},
		"asked after a disconnect":                 {situation{self: "a", peer: "b", incarnation: 9, disconnected: true}, hello{Incarnation: 9, Asked: true}, take},
		"a new life after a disconnect":            {situation{self: "a", peer: "b", incarnation: 9, disconnected: true}, hello{Incarnation: 10}, take},
	} {
		if got, why := judge(c.s, c.h); got != c.want {
			t.Errorf("%s: %v (%s)", name, got, why)
		}
	}
}
