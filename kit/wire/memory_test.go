package wire

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
)

// fabricTest runs f with a fabric in virtual time.
func fabricTest(t *testing.T, seed uint64, f func(w world, fabric *Fabric)) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		fabric := NewFabric(seed)
		f(world{t: t, silent: 10 * time.Second, listen: func(self kit.NodeName, cookie string) Network {
			n, err := fabric.Listen(self, "", cookie)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = n.Close() })
			return n
		}}, fabric)
	})
}

// A crashed node tells nobody; its successor knows nothing of the old connections and says so when they are used.
func TestCrash(t *testing.T) {
	fabricTest(t, 1, func(w world, f *Fabric) {
		_, b, ab, ba := w.pair()
		atA, atB := receive(ab), receive(ba)
		f.Crash("b")
		w.ended(atB)
		w.quiet(atA, time.Hour)
		w.send(ab, "into the dark")
		w.quiet(atA, time.Hour)
		if _, err := ab.(*memConn).net.Dial(ctxFor(time.Second), Peer{"b", b.Addr()}); kit.KindOf(err) != kit.Unavailable {
			w.t.Fatalf("dial of a crashed node: %v", err)
		}
		w.listen("b", "secret")
		w.ended(atA)
	})
}

// A killed process leaves its kernel to close its connections, unless a cut hides that.
func TestKill(t *testing.T) {
	fabricTest(t, 1, func(w world, f *Fabric) {
		a, b, ab, ba := w.pair()
		w.send(ba, "last words")
		f.Kill("b")
		w.want(ab, "last words")
		w.wantEOF(ab)
		c := w.listen("c", "secret")
		ac, _ := w.connect(a, c, "c")
		c.Rules().Set("a", Rule{Cut: Silent})
		f.Kill("c")
		w.quiet(receive(ac), time.Hour)
		if _, err := a.Dial(context.Background(), Peer{"b", b.Addr()}); kit.KindOf(err) != kit.Unavailable {
			w.t.Fatalf("dial of a killed node: %v", err)
		}
	})
}

func TestFabricAddresses(t *testing.T) {
	fabricTest(t, 1, func(w world, f *Fabric) {
		a := w.listen("a", "secret")
		if _, err := f.Listen("b", a.Addr(), "secret"); kit.KindOf(err) != kit.Exists {
			w.t.Fatalf("address in use: %v", err)
		}
		if _, err := f.Listen("B!", "", "secret"); kit.KindOf(err) != kit.Invalid {
			w.t.Fatalf("bad name: %v", err)
		}
	})
}

// One seed gives one fate to every frame; another seed gives another.
func TestSeed(t *testing.T) {
	fates := func(seed uint64) string {
		var got strings.Builder
		fabricTest(t, seed, func(w world, f *Fabric) {
			f.Latency = time.Millisecond
			a, _, ab, ba := w.pair()
			a.Rules().Set("b", Rule{Jitter: 30 * time.Millisecond, Loss: 0.2, Duplicate: 0.2, Reorder: 0.2})
			start := time.Now()
			for i := range 50 {
				_ = ab.SendPacket([]byte{byte(i)})
				_ = ab.Send([]byte{byte(100 + i)})
			}
			atB := receive(ba)
			time.Sleep(time.Hour)
			_ = ab.Close()
			for f := range atB.got {
				fmt.Fprintf(&got, "%d ", f[0])
			}
			fmt.Fprint(&got, time.Since(start))
		})
		return got.String()
	}
	if one, again := fates(1), fates(1); one != again {
		t.Errorf("seed 1 gave\n%s\nand\n%s", one, again)
	}
	if fates(1) == fates(2) {
		t.Error("seeds 1 and 2 give the same")
	}
}
