package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestServe starts the real program, reads the start page at the address it prints, and stops it as Ctrl-C does.
func TestServe(t *testing.T) {
	cmd := exec.Command("netsplit", "serve", "--addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "NETSPLIT_HOME="+t.TempDir())
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }() // when a check below fails
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	if err != nil || !strings.HasPrefix(first, "http://127.0.0.1:") || !strings.HasSuffix(first, "/\n") {
		t.Fatalf("the first line is %q (%v)", first, err)
	}
	url := strings.TrimSpace(first)
	for _, at := range []string{"", "lessons/welcome/", "labs/dirty-reads/", "assets/site.css"} {
		resp, err := http.Get(url + at)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || len(body) < 1000 {
			t.Errorf("%s%s: %d, %d bytes, %v", url, at, resp.StatusCode, len(body), err)
		}
	}
	begun := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil || len(rest) > 0 {
		t.Errorf("on stdout stood also %q (%v)", rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C ends it with %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	if !strings.Contains(said.String(), "Press Ctrl-C to stop.") {
		t.Errorf("stderr says %q", said.String())
	}
}

// TestServeOnATakenPort: a port that was asked for is refused with a hint, the default moves on and says so.
func TestServeOnATakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"serve", "--addr", taken.Addr().String()}, nil, &out, &errOut)
	want := fmt.Sprintf("netsplit: listen on %s: the port is in use\nhint: another program has the port; leave out --addr, or try 127.0.0.1:0\n", taken.Addr())
	if code != 1 || out.Len() > 0 || errOut.String() != want {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out.String(), errOut.String())
	}
}
