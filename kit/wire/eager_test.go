//go:build unix

package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// sockets gives the two ends of a connection.
func sockets(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr)); err != nil {
		t.Fatal(err)
	}
	if near, err = l.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// TestEager reads with a reader that looks for answers: it gets what comes, sooner or later, learns from looks in vain, takes turns
// with the network's other readers, and ends as a socket does.
func TestEager(t *testing.T) {
	sock, far := sockets(t)
	raw, err := sock.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	shared := &eagerness{}
	e := &eagerReader{sock: sock, raw: raw, on: true, shared: shared}
	buf := make([]byte, 16)
	read := func() {
		t.Helper()
		if n, err := e.Read(buf); err != nil || string(buf[:n]) != "x" || shared.taken.Load() {
			t.Fatalf("read %q, %v, taken %v", buf[:n], err, shared.taken.Load())
		}
	}
	send := func() {
		if _, err := io.WriteString(far, "x"); err != nil {
			t.Error(err)
		}
	}
	// A byte that is late, on a real socket; where the reader itself is later it is tried again.
	late := func(skip int) {
		t.Helper()
		for range 100 {
			e.rest = 0
			time.AfterFunc(5*time.Millisecond, send)
			if read(); e.rest > 0 {
				break
			}
		}
		if e.rest != skip || e.skip != skip {
			t.Fatalf("rests for %d reads of %d, want %d", e.rest, e.skip, skip)
		}
	}

	send()
	if read(); e.rest > 0 {
		t.Fatal("what was there is taken for a look in vain")
	}
	late(leastRest)
	for range leastRest {
		send()
		read()
	}
	if e.rest != 0 {
		t.Fatalf("rests for %d more reads", e.rest)
	}
	late(2 * leastRest)
	e.rest = 0
	shared.taken.Store(true)
	send()
	if n, err := e.Read(buf); n != 1 || err != nil || !shared.taken.Load() {
		t.Fatalf("beside another reader: %d, %v, taken %v", n, err, shared.taken.Load())
	}
	shared.taken.Store(false)

	if err := sock.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("after the deadline: %v", err)
	}
	if err := sock.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	far.Close()
	if _, err := e.Read(buf); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
}

// TestEagerYields reads while the network has as many connections as the machine processors: somebody else needs this one, so the
// reader does not look.
func TestEagerYields(t *testing.T) {
	sock, far := sockets(t)
	raw, err := sock.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	shared := &eagerness{}
	shared.conns.Store(int32(runtime.GOMAXPROCS(0)))
	e := &eagerReader{sock: sock, raw: raw, on: true, shared: shared}
	time.AfterFunc(5*time.Millisecond, func() { _, _ = far.Write([]byte("x")) })
	if n, err := e.Read(make([]byte, 1)); n != 1 || err != nil || e.rest != 0 || e.skip != 0 {
		t.Fatalf("read %d, %v; it rests for %d reads of %d", n, err, e.rest, e.skip)
	}
}
