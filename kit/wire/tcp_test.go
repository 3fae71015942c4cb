//go:build !wasip1

package wire

import (
	"encoding/binary"
	"testing"
	"time"

	"netsplit/kit"
)

func TestTCP(t *testing.T) {
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(world{t: t, silent: 50 * time.Millisecond, listen: func(self kit.NodeName, cookie string) Network {
				n, err := ListenTCP(TCPConfig{Self: self, Cookie: cookie, Logf: t.Logf})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = n.Close() })
				return n
			}})
		})
	}
}

// TestGather answers what comes in runs: the answers keep their order, and while the reader is busy what others send goes
// with the next frame after a millisecond.
func TestGather(t *testing.T) {
	w := world{t: t}
	ab, ba := w.connect(listenTCP(t, "a"), listenTCP(t, "b"), "b")
	ba.(GatheringConn).Gather()
	const frames = 5000
	stuck := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			f, err := ba.Recv()
			if err != nil {
				return
			}
			if i == frames {
				stuck <- struct{}{}
				<-stuck
			}
			if err := ba.Send(f); err != nil {
				t.Error(err)
			}
		}
	}()
	go func() {
		for i := range frames {
			if err := ab.Send(binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range frames {
		if f, err := ab.Recv(); err != nil || binary.BigEndian.Uint32(f) != uint32(i) {
			t.Fatalf("answer %d is %x, %v", i, f, err)
		}
	}
	w.send(ab, "wait")
	<-stuck
	w.send(ba, "1")
	time.Sleep(2 * corkTime)
	w.send(ba, "2")
	w.want(ab, "1", "2")
	w.send(ba, "3")
	w.want(ab, "3")
	stuck <- struct{}{}
	w.want(ab, "wait")
}

// TestSendLater sends frames that may wait between others: the order stays, and the last one leaves by itself. A rule
// holds for them as for any frame.
func TestSendLater(t *testing.T) {
	w := world{t: t, silent: 50 * time.Millisecond, listen: func(self kit.NodeName, cookie string) Network {
		n, err := ListenTCP(TCPConfig{Self: self, Cookie: cookie, Logf: t.Logf})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		return n
	}}
	a, _, ab, ba := w.pair()
	later := func(frame string) {
		t.Helper()
		if err := ab.(LaterConn).SendLater([]byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	later("1")
	w.want(ba, "1")
	for range 50 {
		later("2")
		w.send(ab, "3")
		later("4")
		later("5")
		w.want(ba, "2", "3", "4", "5")
	}
	a.Rules().Set("b", Rule{Cut: Silent})
	later("6")
	w.quiet(receive(ba), 50*time.Millisecond)
	later("7")
	if err := ab.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ab.(LaterConn).SendLater([]byte("8")); kit.KindOf(err) != kit.Unavailable {
		t.Errorf("after Close: %v", err)
	}
}
