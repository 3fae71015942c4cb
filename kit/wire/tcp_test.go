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
