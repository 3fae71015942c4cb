//go:build !wasip1

package door

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netsplit/kit"
)

// The socket is its owner's alone; one left by a dead node is replaced, one in use is not.
func TestSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	path := filepath.Join(dir, "a.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]os.FileMode{path: 0o600, dir: 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", p, info.Mode(), err)
		}
	}
	if _, err := Listen(path); kit.KindOf(err) != kit.Exists {
		t.Errorf("second listener: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l, err = Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	mux, _ := NewMux(Verb{Name: "hi", Handler: func(context.Context, Request) Outcome { return Done() }})
	served := make(chan error, 1)
	go func() { served <- (&Server{Handler: mux.Serve}).Serve(ctx, l) }()
	c := NewClient(DialUnix(path))
	if out := c.Call(t.Context(), Request{Client: "c", Verb: "hi"}); out.Status != OK {
		t.Errorf("got %+v", out)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	c.Close()
	if _, err := Listen(filepath.Join(dir, strings.Repeat("x", 200))); kit.KindOf(err) != kit.Invalid {
		t.Errorf("long path: %v", err)
	}
}
