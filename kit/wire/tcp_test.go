//go:build !wasip1

package wire

import (
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
