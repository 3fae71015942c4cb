//go:build unix && !wasip1

package wire

import (
	"net"
	"runtime"
	"syscall"
	"time"
)

// eagerFor is how long a reader looks again before it sleeps: more than the first answer of a process that had to be woken takes,
// some 60 us here, so that from the second on both sides are awake, and one takes 15.
const eagerFor = 150 * time.Microsecond

// A look that was in vain is not repeated for so many reads, and for twice as many after each further one.
const (
	leastRest = 8
	mostRest  = 128
)

// eagerReader reads from a socket. Where an answer is likely to come at once it looks for it a while before it waits, because
// to sleep and to be woken takes several times as long as the answer itself. Whether it is likely it learns from experience: when
// the other side is slow, or has no processor since others need it, looking soon stops.
type eagerReader struct {
	sock   *net.TCPConn
	raw    syscall.RawConn
	on     bool // looks at all
	shared *eagerness

	rest, skip int // reads until it looks again; how many it was to be at last

	buf []byte
	n   int
	err error
	try func(fd uintptr) bool // a closure that is kept, so that a read allocates nothing
}

// Read reads what there is, as soon as there is something.
func (e *eagerReader) Read(p []byte) (int, error) {
	switch {
	case !e.on:
	case e.rest > 0:
		e.rest--
	case e.shared.room() && e.shared.taken.CompareAndSwap(false, true):
		n := e.look(p)
		e.shared.taken.Store(false)
		if n > 0 {
			return n, nil
		}
	}
	return e.sock.Read(p) // which also tells what is wrong, if something is
}

// look reads without waiting, again and again for a while. 0 means that nothing came or something is wrong.
func (e *eagerReader) look(p []byte) int {
	var begun time.Time
	for {
		switch n, again := e.once(p); {
		case n > 0 && !begun.IsZero():
			e.skip = 0
			return n
		case n > 0 || !again:
			return n
		}
		now := time.Now()
		if begun.IsZero() {
			begun = now
		} else if now.Sub(begun) > eagerFor {
			e.skip = min(max(2*e.skip, leastRest), mostRest)
			e.rest = e.skip
			return 0
		}
		runtime.Gosched() // those who were just given something to do come first
	}
}

func (e *eagerReader) once(p []byte) (n int, again bool) {
	if e.try == nil {
		e.try = func(fd uintptr) bool {
			e.n, e.err = syscall.Read(int(fd), e.buf)
			return true // never wait for the socket
		}
	}
	e.buf, e.n, e.err = p, 0, nil
	err := e.raw.Read(e.try)
	e.buf = nil
	if err != nil {
		return 0, false
	}
	return max(e.n, 0), e.err == syscall.EAGAIN || e.err == syscall.EINTR
}
