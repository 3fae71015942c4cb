package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
	"netsplit/kit/simlink"
)

// simHost plays the simulator for one node.
type simHost struct {
	*simlink.Host
	t *testing.T
}

// newSim gives a network and its host, which has taken Listen.
func newSim(t *testing.T) (Network, simHost) {
	t.Helper()
	link, host, err := simlink.Pair(simlink.Start{Node: "a", Nodes: []kit.NodeName{"a", "b"}, Cookie: "secret"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewSim(link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		host.Close()
		<-link.Ended()
	})
	h := simHost{host, t}
	if f := h.want(simlink.Listen, 0); string(f.Data) != "secret" {
		t.Errorf("listened with %q", f.Data)
	}
	return n, h
}

func (h simHost) want(k simlink.Kind, id uint64) simlink.Frame {
	h.t.Helper()
	f, err := h.Recv()
	if err != nil || f.Kind != k || f.ID != id {
		h.t.Fatalf("%v %d (%v), want %v %d", f.Kind, f.ID, err, k, id)
	}
	return f
}

func TestSimDial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, h := newSim(t)
		type result struct {
			c   Conn
			err error
		}
		for id, c := range []struct {
			answer simlink.Frame
			kind   kit.Kind
		}{
			{simlink.Frame{Kind: simlink.Refused, Name: "cookie", Data: []byte("the cookies differ")}, kit.Refused},
			{simlink.Frame{Kind: simlink.Refused, Name: "down", Data: []byte("nobody listens there")}, kit.Unavailable},
			{simlink.Frame{Kind: simlink.Opened}, -1},
		} {
			got := make(chan result, 1)
			go func() {
				c, err := n.Dial(context.Background(), Peer{Node: "b"})
				got <- result{c, err}
			}()
			f := h.want(simlink.Dial, uint64(id+1)) // and nothing between: what was refused is not closed
			if f.Name != "b" || string(f.Data) != "secret" {
				t.Errorf("dialled %q with %q", f.Name, f.Data)
			}
			c.answer.ID = f.ID
			h.Send(c.answer)
			r := <-got
			switch {
			case c.kind < 0 && (r.err != nil || r.c.Peer() != "b"):
				t.Errorf("%v", r.err)
			case c.kind >= 0 && kit.KindOf(r.err) != c.kind || errors.Is(r.err, ErrNobody) != (c.answer.Name == "down"):
				t.Errorf("%v, want %v", r.err, c.kind)
			}
		}
	})
}

// A dial that is given up is closed, so that the host does not keep it.
func TestSimDialGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, h := newSim(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := n.Dial(ctx, Peer{Addr: "b"}); kit.KindOf(err) != kit.Unavailable || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		h.want(simlink.Dial, 1)
		h.want(simlink.Close, 1)
	})
}

func TestSimConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, h := newSim(t)
		id := uint64(simlink.HostConn)
		h.Send(simlink.Frame{Kind: simlink.Accept, ID: id, Name: "b"})
		h.Send(simlink.Frame{Kind: simlink.Data, ID: id, Data: []byte("one")})
		h.Send(simlink.Frame{Kind: simlink.Packet, ID: id, Data: []byte("two")})
		h.Send(simlink.Frame{Kind: simlink.Close, ID: id})
		c, err := n.Accept(context.Background())
		if err != nil || c.Peer() != "b" {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, want := range []string{"one", "two"} {
			if f, err := c.Recv(); err != nil || string(f) != want {
				t.Errorf("%q %v, want %q", f, err, want)
			}
		}
		if _, err := c.Recv(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		if err := c.Send([]byte("x")); kit.KindOf(err) != kit.Unavailable {
			t.Error(err)
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	})
}

// What is read is reported, so that the host's window opens again.
func TestSimWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, h := newSim(t)
		id := uint64(simlink.HostConn)
		h.Send(simlink.Frame{Kind: simlink.Accept, ID: id, Name: "b"})
		c, err := n.Accept(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		const size = 300 << 10
		for range 8 {
			h.Send(simlink.Frame{Kind: simlink.Data, ID: id, Data: make([]byte, size)})
		}
		for range 8 {
			if _, err := c.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			f := h.want(simlink.Taken, id)
			if got := binary.LittleEndian.Uint64(f.Data); got != 4*size {
				t.Errorf("%d bytes reported", got)
			}
		}
		if err := c.Send(make([]byte, MaxFrame+1)); kit.KindOf(err) != kit.Invalid {
			t.Error(err)
		}
	})
}

func TestSimClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, h := newSim(t)
		for i := range uint64(3) {
			h.Send(simlink.Frame{Kind: simlink.Accept, ID: simlink.HostConn + i, Name: "b"})
		}
		synctest.Wait()
		accepted := make(chan error, 1)
		if _, err := n.Accept(context.Background()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		go func() {
			for range 3 {
				_, err := n.Accept(context.Background())
				if err != nil {
					accepted <- err
				}
			}
		}()
		synctest.Wait()
		if err := errors.Join(n.Close(), n.Close()); err != nil {
			t.Fatal(err)
		}
		if err := <-accepted; kit.KindOf(err) != kit.Unavailable {
			t.Error(err)
		}
		for i := range uint64(3) { // in order of ID, whatever a map's order is
			h.want(simlink.Close, simlink.HostConn+i)
		}
		if _, err := n.Dial(ctx, Peer{Node: "b"}); kit.KindOf(err) != kit.Unavailable {
			t.Error(err)
		}
	})
}

// bubble runs a test in virtual time on one thread: with more, Go 1.26's race detector now and then crashes on the
// timers of a bubble, whose context the threads that fire them share without a lock.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f)
}
