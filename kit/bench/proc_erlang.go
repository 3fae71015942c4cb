package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"netsplit/kit"
)

//go:embed proc.erl
var erlangModule []byte

// erlangLine bounds a line that an Erlang node writes, erlangPatience the wait for one, erlangStop its end.
const (
	erlangLine     = 64 << 10
	erlangPatience = 2 * time.Minute
	erlangStop     = 5 * time.Second
)

// Erlang is two connected nodes of Erlang/OTP on loopback, with the workloads of ProcOps.
type Erlang struct {
	Release string // of Erlang/OTP

	dir   string // holds the compiled module and the cookie
	exe   string
	nodes []*erlangNode
	first *erlangNode // the one that runs the workloads, with the other one's help
}

type erlangNode struct {
	cmd    *exec.Cmd
	in     io.WriteCloser // the node ends when it is closed
	lines  chan string    // closed at the end of the node's output
	stderr *head
}

// StartErlang compiles the module and starts the nodes. program is erl, or where it is. They end with Close, with ctx, and
// when this process ends in whatever way.
func StartErlang(ctx context.Context, program string) (*Erlang, error) {
	exe, err := exec.LookPath(program)
	if err != nil {
		return nil, &kit.Error{Op: "find Erlang", What: program, Kind: kit.NotFound, Err: err,
			Hint: "install Erlang/OTP 25 or later, or say where its erl is: --erl PATH"}
	}
	dir, err := os.MkdirTemp("", "netsplit-bench-")
	if err != nil {
		return nil, err
	}
	e := &Erlang{dir: dir, exe: exe}
	if err := e.begin(ctx); err != nil {
		return nil, errors.Join(&kit.Error{Op: "start Erlang", What: exe, Kind: kit.KindOf(err), Err: err}, e.Close())
	}
	return e, nil
}

func (e *Erlang) begin(ctx context.Context) error {
	if err := e.compile(ctx); err != nil {
		return err
	}
	_, port, err := e.start(ctx, "b")
	if err != nil {
		return err
	}
	if e.first, _, err = e.start(ctx, "a", "-netsplit_port", port); err != nil {
		return err
	}
	if answer, err := e.first.ask(ctx, "connect b@127.0.0.1"); err != nil || answer != "true" {
		return errors.Join(err, fmt.Errorf("the two nodes do not connect: %.100q", answer))
	}
	return nil
}

// compile makes the module, and a cookie that only this user can read.
func (e *Erlang) compile(ctx context.Context) error {
	source := filepath.Join(e.dir, "netsplit_bench.erl")
	if err := os.WriteFile(source, erlangModule, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(e.dir, ".erlang.cookie"), []byte(rand.Text()), 0o400); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, e.exe, "-noinput", "-eval",
		`case compile:file("netsplit_bench", [report]) of {ok, _} -> halt(0); _ -> halt(1) end.`)
	cmd.Dir = e.dir
	cmd.WaitDelay = erlangStop
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the workloads: %w: %.500s", err, out)
	}
	return nil
}

// start begins one node and gives the port that it listens on.
func (e *Erlang) start(ctx context.Context, name string, more ...string) (n *erlangNode, port string, err error) {
	args := append([]string{"+Bd", "-noshell", "-start_epmd", "false", "-epmd_module", "netsplit_bench", "-pa", e.dir,
		"-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-name", name + "@127.0.0.1"}, more...)
	n = &erlangNode{cmd: exec.CommandContext(ctx, e.exe, append(args, "-eval", "netsplit_bench:serve().")...), lines: make(chan string, 1), stderr: &head{}}
	n.cmd.Dir, n.cmd.Stderr, n.cmd.WaitDelay = e.dir, n.stderr, erlangStop
	n.cmd.Env = append(os.Environ(), "HOME="+e.dir, "ERL_CRASH_DUMP=/dev/null")
	if n.in, err = n.cmd.StdinPipe(); err != nil {
		return nil, "", err
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, "", err
	}
	e.nodes = append(e.nodes, n)
	go n.read(out) // ends with the node's output
	line, err := n.line(ctx)
	if err != nil {
		return nil, "", err
	}
	f := strings.Fields(line)
	if len(f) != 3 || f[0] != "ready" {
		return nil, "", fmt.Errorf("it says %.200q", line)
	}
	if release, err := strconv.Atoi(f[1]); err != nil || release < 25 {
		return nil, "", fmt.Errorf("it is Erlang/OTP %.10s; 25 or later is needed", f[1])
	}
	e.Release = f[1]
	return n, f[2], nil
}

func (n *erlangNode) read(out io.Reader) {
	defer close(n.lines)
	s := bufio.NewScanner(out)
	s.Buffer(nil, erlangLine)
	for s.Scan() {
		n.lines <- s.Text()
	}
}

func (n *erlangNode) line(ctx context.Context) (string, error) {
	t := time.NewTimer(erlangPatience)
	defer t.Stop()
	select {
	case line, ok := <-n.lines:
		if !ok {
			return "", fmt.Errorf("the node has ended: %s", n.stderr)
		}
		return line, nil
	case <-t.C:
		return "", fmt.Errorf("no answer within %v: %s", erlangPatience, n.stderr)
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func (n *erlangNode) ask(ctx context.Context, line string) (string, error) {
	if _, err := io.WriteString(n.in, line+"\n"); err != nil {
		return "", err
	}
	return n.line(ctx)
}

// Sample runs an operation once and gives a figure for each of its rows.
func (e *Erlang) Sample(ctx context.Context, op ProcOp, count int) ([]float64, error) {
	line, err := e.first.ask(ctx, fmt.Sprintf("%s %d %d", op.Op, count, op.Senders))
	if err != nil {
		return nil, err
	}
	f := strings.Fields(line)
	if len(f) != len(op.rows)+1 || f[0] != "ok" {
		return nil, wrong("Erlang says %.300q", line)
	}
	var figures []float64
	for _, text := range f[1:] {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		figures = append(figures, v)
	}
	return figures, nil
}

// Close ends the nodes and removes what they needed.
func (e *Erlang) Close() error {
	for _, n := range e.nodes {
		_ = n.in.Close()
	}
	for _, n := range e.nodes {
		stop := time.AfterFunc(erlangStop, func() { _ = n.cmd.Process.Kill() })
		for range n.lines { // so that its reader ends
		}
		_ = n.cmd.Wait() // how it ended does not matter any more
		stop.Stop()
	}
	return os.RemoveAll(e.dir)
}

// head keeps the beginning of what a node writes to its standard error.
type head struct {
	mu   sync.Mutex
	text []byte
}

func (t *head) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 1000 - len(t.text); room > 0 {
		t.text = append(t.text, b[:min(room, len(b))]...)
	}
	return len(b), nil
}

func (t *head) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
