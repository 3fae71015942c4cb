//go:build !wasip1

package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
)

func listenTCP(t *testing.T, self kit.NodeName) *TCP {
	t.Helper()
	n, err := ListenTCP(TCPConfig{Self: self, Cookie: "secret", Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// framed puts lengths before frames.
func framed(frames ...[]byte) []byte {
	var b []byte
	for _, f := range frames {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return b
}

// TestStrangers sends what no node sends: each connection is closed, and the node still serves others.
func TestStrangers(t *testing.T) {
	n := listenTCP(t, "a")
	fresh := make([]byte, nonceSize)
	hello := func(version, self, want string) []byte {
		return join(helloFrame, []byte(version), []byte(self), []byte(want), fresh)
	}
	proof := join(proofFrame, make([]byte, 32))
	for name, send := range map[string][]byte{
		"text":                  []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"a huge length":         {0xff, 0xff, 0xff, 0xff},
		"a long hello":          framed(make([]byte, maxHello+1)),
		"an empty frame":        framed(nil),
		"half a hello":          framed(hello(handshakeVersion, "b", "a")[:20]),
		"a hello with more":     framed(append(hello(handshakeVersion, "b", "a"), 0)),
		"no name":               framed(hello(handshakeVersion, "", "a")),
		"a bad name":            framed(hello(handshakeVersion, "B\x00", "a")),
		"our own name":          framed(hello(handshakeVersion, "a", "a")),
		"another's name wanted": framed(hello(handshakeVersion, "b", "z")),
		"another version":       framed(hello("netsplit-wire/0", "b", "a")),
		"no proof":              framed(hello(handshakeVersion, "b", "a"), hello(handshakeVersion, "b", "a")),
		"a false proof":         framed(hello(handshakeVersion, "b", "a"), proof),
	} {
		sock, err := net.Dial("tcp", n.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sock.Write(send); err != nil {
			t.Fatal(err)
		}
		_ = sock.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, sock); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: the connection stays open", name)
		}
		_ = sock.Close()
	}
	if got := n.Refused(); got != 4 {
		t.Errorf("counted %d refusals; want those of two names, a version and a proof", got)
	}
	w := world{t: t}
	w.connect(listenTCP(t, "b"), n, "a")
}

// TestNoReplay sends a proof back to whom it came from, and one of another handshake: neither passes.
func TestNoReplay(t *testing.T) {
	s1 := transcript("a", "b", []byte("n1"), []byte("n2"))
	s2 := transcript("a", "b", []byte("n1"), []byte("n3"))
	proofs := [][]byte{prove("secret", "dialler", s1), prove("secret", "acceptor", s1), prove("secret", "dialler", s2), prove("other", "dialler", s1),
		prove("secret", "dialler", transcript("b", "a", []byte("n1"), []byte("n2")))}
	for i, p := range proofs {
		for j, q := range proofs {
			if i != j && bytes.Equal(p, q) {
				t.Errorf("proofs %d and %d are alike", i, j)
			}
		}
	}
}

// TestOversizeFrame lets a peer that knows the cookie break the limit.
func TestOversizeFrame(t *testing.T) {
	w := world{t: t}
	ab, ba := w.connect(listenTCP(t, "a"), listenTCP(t, "b"), "b")
	if _, err := ab.(*tcpConn).sock.Write([]byte{0x01, 0x00, 0x00, 0x01}); err != nil {
		t.Fatal(err)
	}
	_, err := ba.Recv()
	w.wantKind(err, kit.Corrupt)
	w.wantEOF(ba)
	w.wantEOF(ab)
}

// TestSlowReader fills the queue to a peer that does not read: Send never blocks, and nothing is lost or mixed up.
func TestSlowReader(t *testing.T) {
	w := world{t: t}
	ab, ba := w.connect(listenTCP(t, "a"), listenTCP(t, "b"), "b")
	sent := 0
	for {
		frame := make([]byte, 100<<10)
		binary.BigEndian.PutUint32(frame, uint32(sent))
		err := ab.Send(frame)
		if kit.KindOf(err) == kit.Overloaded {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if sent++; sent > 10000 {
			t.Fatal("the queue never fills")
		}
	}
	for i := range sent {
		f, err := ba.Recv()
		if err != nil || len(f) != 100<<10 || binary.BigEndian.Uint32(f) != uint32(i) {
			t.Fatalf("frame %d of %d: %d bytes, %v", i, sent, len(f), err)
		}
	}
	w.send(ab, "after")
	w.want(ba, "after")
}

// TestFullSocket sends slowly, so that each frame is written by its sender, until the socket takes only a part of one.
func TestFullSocket(t *testing.T) {
	w := world{t: t}
	ab, ba := w.connect(listenTCP(t, "a"), listenTCP(t, "b"), "b")
	const size = 30 << 10
	c, count, left := ab.(*tcpConn), 0, 0
	for ; left == 0; count++ {
		if count == 10000 {
			t.Fatal("the socket never fills")
		}
		if err := ab.Send(bytes.Repeat([]byte{byte(count)}, size)); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); time.Since(start) < 2*busyGap; {
			runtime.Gosched()
		}
		c.mu.Lock()
		left = len(c.rest) + len(c.pending) + c.flying
		c.mu.Unlock()
	}
	for i := range count {
		f, err := ba.Recv()
		if err != nil || !bytes.Equal(f, bytes.Repeat([]byte{byte(i)}, size)) {
			t.Fatalf("frame %d of %d is not what was sent (%v)", i, count, err)
		}
	}
}

// TestManySenders has the frames of each sender arrive in order, however they are gathered.
func TestManySenders(t *testing.T) {
	w := world{t: t}
	ab, ba := w.connect(listenTCP(t, "a"), listenTCP(t, "b"), "b")
	const senders, each = 16, 500
	for s := range senders {
		go func() {
			for i := range each {
				frame := binary.BigEndian.AppendUint32(nil, uint32(s))
				if err := ab.Send(binary.BigEndian.AppendUint32(frame, uint32(i))); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	var next [senders]uint32
	for range senders * each {
		f, err := ba.Recv()
		if err != nil {
			t.Fatal(err)
		}
		s, i := binary.BigEndian.Uint32(f), binary.BigEndian.Uint32(f[4:])
		if i != next[s] {
			t.Fatalf("sender %d: %d after %d", s, i, next[s])
		}
		next[s]++
	}
}

func TestListenErrors(t *testing.T) {
	n := listenTCP(t, "a")
	_, err := ListenTCP(TCPConfig{Self: "b", Addr: n.Addr()})
	if kit.KindOf(err) != kit.Exists || kit.HintOf(err) == "" {
		t.Errorf("address in use: %v", err)
	}
	if _, err := ListenTCP(TCPConfig{Self: "b", Addr: "nowhere"}); kit.KindOf(err) != kit.Invalid {
		t.Errorf("bad address: %v", err)
	}
	if _, err := ListenTCP(TCPConfig{Self: "B!"}); kit.KindOf(err) != kit.Invalid {
		t.Errorf("bad name: %v", err)
	}
	if _, err := n.Dial(context.Background(), Peer{"b", "not an address"}); kit.KindOf(err) != kit.Unavailable {
		t.Errorf("dial: %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(framed([]byte("frame"), nil))
	f.Add([]byte{0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			frame, err := readFrame(r, 1000)
			if err != nil {
				return
			}
			if len(frame) > 1000 {
				t.Fatal("too long")
			}
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add(join('h', []byte("a"), nil, []byte("bc"))[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if parts, ok := split(b, 3); ok && !bytes.Equal(join(0, parts...)[1:], b) {
			t.Fatalf("%q is not what %q was made of", parts, b)
		}
	})
}
