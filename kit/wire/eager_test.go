//go:build unix

package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// TestEager reads with a reader that looks for answers: it gets what comes, sooner or later, learns from looks in vain, takes turns
// with the network's other readers, and ends as a socket does.
func TestEager(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	sock := near.(*net.TCPConn)
	raw, err := sock.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Bool
	e := &eagerReader{sock: sock, raw: raw, on: true, taken: &taken}
	buf := make([]byte, 16)
	read := func(wantRest, wantSkip int) {
		t.Helper()
		n, err := e.Read(buf)
		if err != nil || string(buf[:n]) != "x" {
			t.Fatalf("read %q, %v", buf[:n], err)
		}
		if e.rest != wantRest || e.skip != wantSkip || taken.Load() {
			t.Fatalf("rests for %d reads of %d, taken %v; want %d of %d", e.rest, e.skip, taken.Load(), wantRest, wantSkip)
		}
	}
	send := func() {
		if _, err := io.WriteString(far, "x"); err != nil {
			t.Error(err)
		}
	}
	late := func(do func()) {
		time.AfterFunc(5*time.Millisecond, do) // a real socket: there is no other way to be late
	}

	send()
	time.Sleep(time.Millisecond)
	read(0, 0) // it was there
	late(send)
	read(leastRest, leastRest)
	for i := range leastRest {
		send()
		read(leastRest-1-i, leastRest)
	}
	late(send)
	read(2*leastRest, 2*leastRest)
	e.rest = 0
	taken.Store(true)
	send()
	if n, err := e.Read(buf); n != 1 || err != nil || !taken.Load() {
		t.Fatalf("beside another reader: %d, %v, taken %v", n, err, taken.Load())
	}
	taken.Store(false)

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
