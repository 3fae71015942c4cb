//go:build unix && !wasip1

package wire

import (
	"errors"
	"io"
	"syscall"
)

const canWriteDirectly = true

// directWrite writes to a socket as much as it takes at once. It is used by one writer at a time, and keeps its
// closure so that a write allocates nothing.
type directWrite struct {
	buf []byte
	n   int
	err error
	try func(fd uintptr) bool
}

func (d *directWrite) write(raw syscall.RawConn, buf []byte) (int, error) {
	if d.try == nil {
		d.try = func(fd uintptr) bool {
			d.n, d.err = syscall.Write(int(fd), d.buf)
			return true // never wait for the socket
		}
	}
	d.buf, d.n, d.err = buf, 0, io.ErrClosedPipe
	err := raw.Write(d.try)
	d.buf = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(d.err, syscall.EAGAIN), errors.Is(d.err, syscall.EINTR):
		return 0, nil
	case d.err != nil:
		return 0, d.err
	}
	return d.n, nil
}

func addrInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
