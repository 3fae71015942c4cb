//go:build !unix && !wasip1

package wire

import (
	"net"
	"syscall"
)

// eagerReader reads from a socket. To look again before it waits has no portable form.
type eagerReader struct {
	sock   *net.TCPConn
	raw    syscall.RawConn
	on     bool
	shared *eagerness
}

func (e *eagerReader) Read(p []byte) (int, error) { return e.sock.Read(p) }
