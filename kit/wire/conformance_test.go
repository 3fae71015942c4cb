package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
)

// world makes networks of one form for the shared suite.
type world struct {
	t      *testing.T
	listen func(self kit.NodeName, cookie string) Network
	silent time.Duration // how long nothing may arrive before we believe that nothing will
}

// suite is what every Network must do; each case gets fresh nodes.
var suite = []struct {
	name string
	run  func(w world)
}{
	{"frames arrive whole and in order both ways", framesInOrder},
	{"a close arrives after the frames before it", closeAfterFrames},
	{"two connections between one pair live side by side", twoConns},
	{"a wrong cookie is refused and told to both", wrongCookieRefused},
	{"a wrong name is refused", wrongNameRefused},
	{"an address without a name tells the name", namelessDial},
	{"nobody there is unavailable at once", nobodyThere},
	{"a silent cut holds frames until the heal", silentHolds},
	{"a silent cut of one way leaves the other way", silentOneWay},
	{"a close during a silent cut is not seen", silentHidesClose},
	{"a dial waits out a silent cut", silentDial},
	{"a loud cut closes both ends and refuses", loudCloses},
	{"a loud cut at the acceptor refuses the dialler", loudAtAcceptor},
	{"a delay keeps the order", delayInOrder},
	{"a heal releases what was delayed", healReleases},
	{"packets vanish under a cut and streams do not", packetsVanish},
	{"loss, duplicates and reordering touch packets only", packetChaos},
	{"limits are refused and the queue overloads", limits},
	{"close ends everybody's waiting", closeEnds},
}

func TestMemory(t *testing.T) {
	// With more threads Go 1.26's race detector now and then crashes on the timers of a bubble.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := NewFabric(7)
				c.run(world{t: t, silent: 10 * time.Second, listen: func(self kit.NodeName, cookie string) Network {
					n, err := f.Listen(self, "", cookie)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = n.Close() })
					return n
				}})
			})
		})
	}
}

func (w world) pair() (a, b Network, ab, ba Conn) {
	w.t.Helper()
	a, b = w.listen("a", "secret"), w.listen("b", "secret")
	ab, ba = w.connect(a, b, "b")
	return a, b, ab, ba
}

func ctxFor(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func (w world) connect(from, to Network, name kit.NodeName) (dialled, accepted Conn) {
	w.t.Helper()
	dialled, err := from.Dial(ctxFor(5*time.Second), Peer{name, to.Addr()})
	if err != nil {
		w.t.Fatal(err)
	}
	if accepted, err = to.Accept(ctxFor(5 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	return dialled, accepted
}

func (w world) send(c Conn, frames ...string) {
	w.t.Helper()
	for _, f := range frames {
		if err := c.Send([]byte(f)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w world) want(c Conn, frames ...string) {
	w.t.Helper()
	for _, f := range frames {
		got, err := c.Recv()
		if err != nil || string(got) != f {
			w.t.Fatalf("received %.40q, %v; want %q", got, err, f)
		}
	}
}

func (w world) wantEOF(c Conn) {
	w.t.Helper()
	if got, err := c.Recv(); err != io.EOF {
		w.t.Fatalf("received %.40q, %v; want EOF", got, err)
	}
}

func (w world) wantKind(err error, k kit.Kind) {
	w.t.Helper()
	if kit.KindOf(err) != k || err == nil {
		w.t.Fatalf("got %v (%v); want %v", err, kit.KindOf(err), k)
	}
}

// receiver reads a connection in the background.
type receiver struct {
	got chan string // closed at EOF
}

func receive(c Conn) receiver {
	r := receiver{make(chan string, 10000)}
	go func() {
		defer close(r.got)
		for {
			f, err := c.Recv()
			if err != nil {
				return
			}
			r.got <- string(f)
		}
	}()
	return r
}

// quiet fails if anything arrives, or the connection ends, within d.
func (w world) quiet(r receiver, d time.Duration) {
	w.t.Helper()
	select {
	case f, ok := <-r.got:
		w.t.Fatalf("received %.40q (open %v); want nothing", f, ok)
	case <-time.After(d):
	}
}

func (w world) next(r receiver, want string) {
	w.t.Helper()
	select {
	case f, ok := <-r.got:
		if !ok || f != want {
			w.t.Fatalf("received %.40q (open %v); want %q", f, ok, want)
		}
	case <-time.After(5 * time.Second):
		w.t.Fatalf("received nothing; want %q", want)
	}
}

func (w world) ended(r receiver) {
	w.t.Helper()
	select {
	case f, ok := <-r.got:
		if ok {
			w.t.Fatalf("received %.40q; want the end", f)
		}
	case <-time.After(5 * time.Second):
		w.t.Fatal("the connection did not end")
	}
}

func framesInOrder(w world) {
	_, _, ab, ba := w.pair()
	if ab.Peer() != "b" || ba.Peer() != "a" {
		w.t.Fatalf("peers are %s and %s", ab.Peer(), ba.Peer())
	}
	const count = 2000
	var senders sync.WaitGroup
	for _, c := range []Conn{ab, ba} {
		senders.Go(func() {
			for i := range count {
				frame := binary.BigEndian.AppendUint32(nil, uint32(i))
				frame = append(frame, bytes.Repeat([]byte{byte(i)}, i%300)...)
				if err := c.Send(frame); err != nil {
					w.t.Error(err)
					return
				}
			}
		})
	}
	for _, c := range []Conn{ba, ab} {
		for i := range count {
			f, err := c.Recv()
			if err != nil || len(f) != 4+i%300 || binary.BigEndian.Uint32(f) != uint32(i) {
				w.t.Fatalf("frame %d: %d bytes, %v", i, len(f), err)
			}
		}
	}
	senders.Wait()
	big := bytes.Repeat([]byte("x"), MaxFrame)
	w.send(ab, string(big), "", "after")
	w.want(ba, string(big), "", "after")
}

func closeAfterFrames(w world) {
	_, _, ab, ba := w.pair()
	w.send(ba, "unread")
	w.send(ab, "one", "two")
	_ = ab.Close()
	_ = ab.Close()
	w.want(ba, "one", "two")
	w.wantEOF(ba)
	w.wantEOF(ab)
	w.wantKind(ab.Send(nil), kit.Unavailable)
	w.wantKind(ba.Send(nil), kit.Unavailable)
}

func twoConns(w world) {
	a, b, ab, ba := w.pair()
	ba2, ab2 := w.connect(b, a, "a")
	w.send(ab, "first")
	w.send(ab2, "second")
	w.want(ba2, "second")
	w.want(ba, "first")
	_ = ab.Close()
	w.wantEOF(ba)
	w.send(ab2, "third")
	w.want(ba2, "third")
}

func wrongCookieRefused(w world) {
	a, b := w.listen("a", "secret"), w.listen("b", "other")
	_, err := a.Dial(ctxFor(5*time.Second), Peer{"b", b.Addr()})
	w.wantKind(err, kit.Refused)
	if kit.HintOf(err) == "" {
		w.t.Fatal("no hint")
	}
	if _, err := b.Accept(ctxFor(100 * time.Millisecond)); err == nil {
		w.t.Fatal("the stranger was accepted")
	}
	if n := b.(interface{ Refused() uint64 }).Refused(); n != 1 {
		w.t.Fatalf("counted %d refusals", n)
	}
}

func wrongNameRefused(w world) {
	a, b := w.listen("a", "secret"), w.listen("b", "secret")
	_, err := a.Dial(ctxFor(5*time.Second), Peer{"c", b.Addr()})
	w.wantKind(err, kit.Refused)
	_, err = a.Dial(ctxFor(5*time.Second), Peer{"", a.Addr()})
	w.wantKind(err, kit.Refused)
}

func namelessDial(w world) {
	a, b := w.listen("a", "secret"), w.listen("b", "secret")
	ab, _ := w.connect(a, b, "")
	if ab.Peer() != "b" {
		w.t.Fatalf("peer is %q", ab.Peer())
	}
	a.Rules().Set("b", Rule{Cut: Loud})
	_, err := a.Dial(ctxFor(5*time.Second), Peer{"", b.Addr()})
	w.wantKind(err, kit.Unavailable)
}

func nobodyThere(w world) {
	a, b := w.listen("a", "secret"), w.listen("b", "secret")
	_ = b.Close()
	start := time.Now()
	_, err := a.Dial(ctxFor(5*time.Second), Peer{"b", b.Addr()})
	w.wantKind(err, kit.Unavailable)
	if !errors.Is(err, ErrNobody) {
		w.t.Fatalf("%v does not say that nobody is there", err)
	}
	if time.Since(start) > 3*time.Second {
		w.t.Fatal("it took", time.Since(start))
	}
}

func silentHolds(w world) {
	a, b, ab, ba := w.pair()
	a.Rules().Set("b", Rule{Cut: Silent})
	b.Rules().Set("a", Rule{Cut: Silent})
	w.send(ab, "one", "two")
	w.send(ba, "back")
	atB, atA := receive(ba), receive(ab)
	w.quiet(atB, w.silent)
	w.quiet(atA, 0)
	if c := a.Rules().Counts(); len(c) != 1 || c[0].Peer != "b" || c[0].Held != 2 {
		w.t.Fatalf("receipts %+v", c)
	}
	a.Rules().Set("b", Rule{})
	b.Rules().Set("a", Rule{})
	w.next(atB, "one")
	w.next(atB, "two")
	w.next(atA, "back")
}

func silentOneWay(w world) {
	a, _, ab, ba := w.pair()
	a.Rules().Set("b", Rule{Cut: Silent})
	w.send(ab, "held")
	w.send(ba, "free")
	w.next(receive(ab), "free")
	w.quiet(receive(ba), w.silent)
}

func silentHidesClose(w world) {
	a, _, ab, ba := w.pair()
	a.Rules().Set("b", Rule{Cut: Silent})
	w.send(ab, "last")
	_ = ab.Close()
	w.wantEOF(ab)
	atB := receive(ba)
	w.quiet(atB, w.silent)
	a.Rules().Set("b", Rule{})
	w.next(atB, "last")
	w.ended(atB)
}

func silentDial(w world) {
	a, b := w.listen("a", "secret"), w.listen("b", "secret")
	b.Rules().Set("a", Rule{Cut: Silent}) // the answer's way is cut
	_, err := a.Dial(ctxFor(w.silent), Peer{"b", b.Addr()})
	w.wantKind(err, kit.Unavailable)
	a.Rules().Set("b", Rule{Cut: Silent})
	time.AfterFunc(w.silent/5, func() {
		a.Rules().Set("b", Rule{})
		b.Rules().Set("a", Rule{})
	})
	w.connect(a, b, "b")
}

func loudCloses(w world) {
	a, b, ab, ba := w.pair()
	atA, atB := receive(ab), receive(ba)
	a.Rules().Set("b", Rule{Cut: Loud})
	w.ended(atA)
	w.ended(atB)
	w.wantKind(ab.Send(nil), kit.Unavailable)
	start := time.Now()
	_, err := a.Dial(ctxFor(5*time.Second), Peer{"b", b.Addr()})
	w.wantKind(err, kit.Unavailable)
	if time.Since(start) > 3*time.Second {
		w.t.Fatal("it took", time.Since(start))
	}
	if c := a.Rules().Counts(); len(c) != 1 || c[0].Refused != 2 {
		w.t.Fatalf("receipts %+v", c)
	}
	a.Rules().Set("b", Rule{})
	w.connect(a, b, "b")
}

func loudAtAcceptor(w world) {
	a, b := w.listen("a", "secret"), w.listen("b", "secret")
	b.Rules().Set("a", Rule{Cut: Loud})
	start := time.Now()
	_, err := a.Dial(ctxFor(5*time.Second), Peer{"b", b.Addr()})
	w.wantKind(err, kit.Unavailable)
	if time.Since(start) > 3*time.Second {
		w.t.Fatal("it took", time.Since(start))
	}
}

func delayInOrder(w world) {
	a, _, ab, ba := w.pair()
	a.Rules().Set("b", Rule{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.05})
	start := time.Now()
	for i := range 50 {
		w.send(ab, fmt.Sprint(i))
	}
	for i := range 50 {
		w.want(ba, fmt.Sprint(i))
		if i == 0 && time.Since(start) < 50*time.Millisecond {
			w.t.Fatal("the first came after", time.Since(start))
		}
	}
	w.send(ba, "back")
	w.want(ab, "back")
}

func healReleases(w world) {
	a, _, ab, ba := w.pair()
	a.Rules().Set("b", Rule{Delay: time.Hour})
	w.send(ab, "late")
	atB := receive(ba)
	w.quiet(atB, w.silent)
	a.Rules().Set("b", Rule{})
	w.next(atB, "late")
}

func packetsVanish(w world) {
	a, _, ab, ba := w.pair()
	a.Rules().Set("b", Rule{Cut: Silent})
	w.send(ab, "stream")
	if err := ab.SendPacket([]byte("packet")); err != nil {
		w.t.Fatal(err)
	}
	a.Rules().Set("b", Rule{})
	if err := ab.SendPacket([]byte("second")); err != nil {
		w.t.Fatal(err)
	}
	got := map[string]bool{}
	for range 2 {
		f, err := ba.Recv()
		if err != nil {
			w.t.Fatal(err)
		}
		got[string(f)] = true
	}
	if !got["stream"] || !got["second"] {
		w.t.Fatalf("received %v", got)
	}
	if c := a.Rules().Counts(); len(c) != 1 || c[0].Lost != 1 || c[0].Held != 1 {
		w.t.Fatalf("receipts %+v", c)
	}
}

func packetChaos(w world) {
	a, _, ab, ba := w.pair()
	a.Rules().Set("b", Rule{Loss: 0.3, Duplicate: 0.3, Reorder: 0.3})
	const count = 200
	for i := range count {
		if err := ab.SendPacket([]byte{byte(i)}); err != nil {
			w.t.Fatal(err)
		}
	}
	time.Sleep(2 * reorderBy)
	a.Rules().Set("b", Rule{})
	w.send(ab, "end")
	seen, doubled, swapped, last := map[byte]bool{}, 0, 0, -1
	for {
		f, err := ba.Recv()
		if err != nil {
			w.t.Fatal(err)
		}
		if string(f) == "end" {
			break
		}
		if seen[f[0]] {
			doubled++
		} else if int(f[0]) < last {
			swapped++
		}
		seen[f[0]], last = true, int(f[0])
	}
	c := a.Rules().Counts()[0]
	if len(seen) == count || doubled == 0 || swapped == 0 || c.Lost != uint64(count-len(seen)) || c.Duplicated != uint64(doubled) || c.Reordered == 0 {
		w.t.Fatalf("%d of %d seen, %d doubled, %d swapped; receipts %+v", len(seen), count, doubled, swapped, c)
	}
}

func limits(w world) {
	a, _, ab, ba := w.pair()
	w.wantKind(ab.Send(make([]byte, MaxFrame+1)), kit.Invalid)
	a.Rules().Set("b", Rule{Cut: Silent})
	frame := make([]byte, MaxFrame)
	for range MaxQueue / MaxFrame {
		w.send(ab, string(frame))
	}
	w.wantKind(ab.Send([]byte("x")), kit.Overloaded)
	a.Rules().Set("b", Rule{Cut: Loud})
	w.wantEOF(ba)
	if c := a.Rules().Counts(); c[0].Dropped != MaxQueue/MaxFrame {
		w.t.Fatalf("receipts %+v", c)
	}
}

func closeEnds(w world) {
	a, b, ab, ba := w.pair()
	b.Rules().Set("a", Rule{Cut: Silent})
	w.send(ba, "never")
	atA, atB := receive(ab), receive(ba)
	done := make(chan error, 1)
	go func() {
		_, err := b.Accept(context.Background())
		done <- err
	}()
	_ = b.Close()
	w.ended(atB)
	if err := <-done; err == nil {
		w.t.Fatal("Accept went on")
	}
	if _, err := b.Dial(context.Background(), Peer{"a", a.Addr()}); err == nil {
		w.t.Fatal("Dial went on")
	}
	_ = a.Close()
	w.ended(atA)
	if err := ab.Send(nil); !errors.Is(err, io.ErrClosedPipe) {
		w.t.Fatal(err)
	}
}
