package shell

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// ChildVerb is the hidden verb of our own binary that runs ScriptMain.
const ChildVerb = "__script"

// Limits of the talk between RunIsolated and its child.
const (
	maxMessage = door.MaxLine + 1<<20
	maxStderr  = 4 << 10
	maxPending = 512 // requests of the child being served at once
)

// message is one line between the two. The child asks (Op set) and the parent answers with the same ID.
type message struct {
	ID int64  `json:"id,omitempty"`
	Op string `json:"op,omitempty"`

	// The first message, from the parent.
	Start *startOrder `json:"start,omitempty"`

	// Requests of the child.
	Client string          `json:"client,omitempty"`
	Node   kit.NodeName    `json:"node,omitempty"`
	Peer   kit.NodeName    `json:"peer,omitempty"`
	Rule   *wire.Rule      `json:"rule,omitempty"`
	Call   json.RawMessage `json:"call,omitempty"` // a door's order
	Millis float64         `json:"ms,omitempty"`
	Name   string          `json:"name,omitempty"`
	Terms  []jsonTerm      `json:"terms,omitempty"`
	Text   string          `json:"text,omitempty"`

	// Answers of the parent.
	Outcome *door.Outcome `json:"outcome,omitempty"`
	Nanos   int64         `json:"ns,omitempty"`
	Bytes   []byte        `json:"bytes,omitempty"`
	Fault   *fault        `json:"fault,omitempty"`

	// The last message, from the child.
	Done *doneReport `json:"done,omitempty"`
}

// The child's requests.
const (
	opCall    = "call"
	opLink    = "link"
	opKill    = "kill"
	opRestart = "restart"
	opPause   = "pause"
	opResume  = "resume"
	opNow     = "now"
	opSleep   = "sleep"
	opHook    = "hook"
	opLoad    = "load"
	opPrint   = "print"
	opAnswer  = "answer"
	opCancel  = "cancel"
)

type startOrder struct {
	File   string              `json:"file"`
	Source []byte              `json:"source"`
	Lab    string              `json:"lab"`
	Data   map[string]jsonTerm `json:"data"`
	Hooks  []string            `json:"hooks"`
	Nodes  []kit.NodeName      `json:"nodes"`
	Client string              `json:"client"`
	Width  int                 `json:"width"`
	Limits Limits              `json:"limits"`
	Load   bool                `json:"load"`
}

type doneReport struct {
	Fault *fault `json:"fault,omitempty"`
	Steps int64  `json:"steps"`
}

// jsonTerm is a term in the conformance format.
type jsonTerm struct{ term.Term }

// MarshalJSON writes the term.
func (j jsonTerm) MarshalJSON() ([]byte, error) { return term.ToJSON(j.Term) }

// UnmarshalJSON reads a term.
func (j *jsonTerm) UnmarshalJSON(b []byte) (err error) {
	j.Term, err = term.FromJSON(b)
	return err
}

// fault is an error on its way between the processes.
type fault struct {
	Kind   kit.Kind `json:"kind"`
	Msg    string   `json:"msg"`
	Hint   string   `json:"hint,omitempty"`
	File   string   `json:"file,omitempty"`
	Line   int      `json:"line,omitempty"`
	In     string   `json:"in,omitempty"`
	Source string   `json:"source,omitempty"`
	Late   bool     `json:"late,omitempty"`
}

func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{Kind: kit.KindOf(err), Msg: err.Error(), Hint: kit.HintOf(err)}
	var se *ScriptError
	if errors.As(err, &se) {
		f.Msg, f.File, f.Line, f.In, f.Source = se.Msg, se.File, se.Line, se.In, se.Source
	}
	f.Late = outOfTime(err)
	return f
}

func (f *fault) err() error {
	if f == nil {
		return nil
	}
	return &kit.Error{Kind: f.Kind, Hint: f.Hint, Err: &ScriptError{Msg: f.Msg, File: f.File, Line: f.Line, In: f.In, Source: f.Source, late: f.Late}}
}

// RunIsolated runs an untrusted script in a child process of our own binary: it holds no secrets, its
// memory is limited, and all it can do is ask for what a script may ask. The child is killed when ctx or
// Limits.Wall ends. The binary must serve ChildVerb with ScriptMain.
func RunIsolated(ctx context.Context, name string, src []byte, opts Options) Result {
	limits := opts.Limits.withDefaults()
	res := Result{Isolation: isolation(limits)}
	if int64(len(src)) > limits.Source {
		res.Err = &kit.Error{Op: "read", What: name, Kind: kit.Overloaded,
			Err: fmt.Errorf("the script has %d bytes, more than %d", len(src), limits.Source)}
		return res
	}
	if limits.Wall > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limits.Wall+childGrace, errWall{limits.Wall})
		defer cancel()
	}
	c := &childRun{opts: opts, limits: limits, left: limits.Output, answers: map[string]term.Term{}, waiting: map[int64]context.CancelFunc{}}
	res.Err = c.run(ctx, name, src)
	res.Answers, res.Steps, res.OutOfTime = c.answers, c.steps, outOfTime(res.Err)
	return res
}

// childGrace is how much longer than Limits.Wall the child may take to say so itself.
const childGrace = time.Second

// childRun is the parent's side of one child.
type childRun struct {
	opts   Options
	limits Limits
	stdin  io.WriteCloser

	mu      sync.Mutex // guards what follows, and writing to stdin
	left    int64
	answers map[string]term.Term
	waiting map[int64]context.CancelFunc
	steps   int64
	jobs    sync.WaitGroup
}

func (c *childRun) run(ctx context.Context, name string, src []byte) error {
	exe, err := os.Executable()
	if err != nil {
		return childError(kit.Broken, fmt.Errorf("find our own program: %w", err))
	}
	cmd := exec.CommandContext(ctx, exe, ChildVerb, strconv.FormatInt(c.limits.Memory, 10), c.limits.CPU.String())
	cmd.Env = []string{"GOTRACEBACK=none", "GORACE=atexit_sleep_ms=0", "GOMAXPROCS=2", "HOME=/", "NETSPLIT_SCRIPT=1"}
	cmd.Dir = os.TempDir()
	cmd.WaitDelay = childGrace
	isolateProcess(cmd)
	stderr := &tail{}
	cmd.Stderr = stderr
	c.stdin, err = cmd.StdinPipe()
	if err != nil {
		return childError(kit.Broken, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return childError(kit.Broken, err)
	}
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return c.verdict(ctx, nil, nil, "")
		}
		return childError(kit.Broken, err)
	}
	serving, stop := context.WithCancel(ctx)
	report, readErr := c.serve(serving, name, src, stdout)
	stop()
	_ = c.stdin.Close()
	if report == nil {
		_ = cmd.Process.Kill() // it talks nonsense, or is dead already
	}
	waitErr := cmd.Wait()
	c.jobs.Wait()
	if report != nil {
		c.steps = report.Steps
		err := report.Fault.err()
		if err != nil && ctx.Err() != nil { // what was under way when it ended says less than why it ended
			return c.verdict(ctx, nil, nil, "")
		}
		return err
	}
	return c.verdict(ctx, readErr, waitErr, stderr.String())
}

// verdict says why a child ended without a report.
func (c *childRun) verdict(ctx context.Context, readErr, waitErr error, stderr string) error {
	switch cause := context.Cause(ctx); {
	case cause != nil && errors.As(cause, new(errWall)):
		return &kit.Error{Op: "run script", Kind: kit.Overloaded, Err: cause, Hint: "is there a loop that never ends, or a wait for something that does not come?"}
	case cause != nil:
		return &kit.Error{Op: "run script", Kind: kit.Unknown, Err: errInterrupted}
	case strings.Contains(stderr, timeWatch):
		return &kit.Error{Op: "run script", Kind: kit.Overloaded, Err: fmt.Errorf("the script used more than %v of processor time", c.limits.CPU),
			Hint: "does one step of it do too much?"}
	case strings.Contains(stderr, "stack overflow") || strings.Contains(stderr, "stack exceeds"):
		return &kit.Error{Op: "run script", Kind: kit.Overloaded, Err: errors.New("the script nests too deep")}
	case ranOut(stderr):
		return &kit.Error{Op: "run script", Kind: kit.Overloaded, Err: fmt.Errorf("the script used more than %d MiB of memory", c.limits.Memory>>20),
			Hint: "does a list or a string grow without end?"}
	case readErr != nil && !errors.Is(readErr, io.EOF):
		return childError(kit.Broken, readErr)
	}
	return childError(kit.Broken, fmt.Errorf("the script's process ended early: %v %s", waitErr, strings.TrimSpace(cutText(stderr, 200))))
}

// ranOut tells from a child's last words that it met its limits: the watch says so, and the runtime dies of many
// things when it gets no memory. A panic of ours is none of them.
func ranOut(stderr string) bool {
	for _, sign := range []string{memoryWatch, "out of memory", "cannot allocate memory", "fatal error:", "runtime:", "runtime."} {
		if strings.Contains(stderr, sign) {
			return !strings.Contains(stderr, "panic:")
		}
	}
	return false
}

func childError(kind kit.Kind, err error) error {
	return &kit.Error{Op: "run script apart", Kind: kind, Err: err}
}

// serve starts the script and answers the child's requests until it reports or goes.
func (c *childRun) serve(ctx context.Context, name string, src []byte, stdout io.Reader) (*doneReport, error) {
	order := &startOrder{File: name, Source: src, Lab: c.opts.Lab, Data: map[string]jsonTerm{}, Nodes: c.opts.World.Nodes(),
		Client: c.opts.Client, Width: c.opts.Width, Limits: c.limits, Load: c.opts.Load != nil}
	for k, v := range c.opts.Data {
		order.Data[k] = jsonTerm{v}
	}
	for k := range c.opts.Hooks {
		order.Hooks = append(order.Hooks, k)
	}
	c.send(message{Start: order})
	lines := newLines(stdout)
	slots := make(chan struct{}, maxPending)
	for {
		m, err := lines.next()
		if err != nil {
			return nil, err
		}
		switch m.Op {
		case "":
			if m.Done == nil {
				return nil, errors.New("the script's process sent an empty message")
			}
			return m.Done, nil
		case opCancel:
			c.mu.Lock()
			if cancel := c.waiting[m.ID]; cancel != nil {
				cancel()
			}
			c.mu.Unlock()
			continue
		case opPrint:
			if err := c.print(m.Text); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			return nil, fmt.Errorf("the script's process has more than %d requests open", maxPending)
		}
		c.jobs.Add(1)
		job, cancel := context.WithCancel(ctx)
		c.mu.Lock()
		c.waiting[m.ID] = cancel
		c.mu.Unlock()
		go func() {
			defer func() { <-slots; c.jobs.Done() }()
			answer := c.do(job, m)
			c.mu.Lock()
			delete(c.waiting, m.ID)
			c.mu.Unlock()
			cancel()
			answer.ID = m.ID
			c.send(answer)
		}()
	}
}

// print checks the limit again: the child is not trusted to keep it.
func (c *childRun) print(text string) error {
	if c.left -= int64(len(text)); c.left < -maxPrintBytes {
		return errors.New("the script's process prints past its limit")
	}
	if c.opts.Out != nil {
		_, _ = io.WriteString(c.opts.Out, text)
	}
	return nil
}

// do serves one request.
func (c *childRun) do(ctx context.Context, m message) message {
	w := c.opts.World
	failed := func(err error) message { return message{Fault: faultOf(err)} }
	switch m.Op {
	case opCall:
		order, err := door.DecodeOrder(m.Call)
		if err != nil {
			return failed(err)
		}
		out := w.Call(ctx, m.Client, m.Node, order.Request)
		return message{Outcome: &out}
	case opLink:
		if m.Rule == nil {
			return failed(&kit.Error{Op: "set link", Kind: kit.Invalid})
		}
		return failed(w.Link(m.Node, m.Peer, *m.Rule))
	case opKill:
		return failed(w.Kill(m.Node))
	case opRestart:
		return failed(w.Restart(m.Node))
	case opPause:
		return failed(w.Pause(m.Node))
	case opResume:
		return failed(w.Resume(m.Node))
	case opNow:
		return message{Nanos: int64(w.Now())}
	case opSleep:
		d := time.Duration(max(0, min(m.Millis, float64(maxDelay.Milliseconds()))) * float64(time.Millisecond))
		return failed(w.Sleep(ctx, d))
	case opLoad:
		if c.opts.Load == nil {
			return failed(&kit.Error{Op: "load", What: m.Name, Kind: kit.Refused})
		}
		src, err := c.opts.Load(m.Name)
		return message{Bytes: src, Fault: faultOf(err)}
	case opHook:
		return c.hook(ctx, m)
	case opAnswer:
		return c.answer(m)
	}
	return failed(&kit.Error{Op: "serve script", What: cutText(m.Op, 20), Kind: kit.Invalid})
}

func (c *childRun) hook(ctx context.Context, m message) message {
	h := c.opts.Hooks[m.Name]
	if h == nil {
		return message{Fault: faultOf(&kit.Error{Op: "call", What: cutText(m.Name, 40), Kind: kit.NotFound})}
	}
	args := make([]term.Term, len(m.Terms))
	for i, t := range m.Terms {
		args[i] = t.Term
	}
	t, err := h(ctx, c.opts.World, args)
	if err != nil {
		return message{Fault: faultOf(err)}
	}
	return message{Terms: []jsonTerm{{t}}}
}

func (c *childRun) answer(m message) message {
	const maxAnswers = 100
	if len(m.Terms) != 1 || len(m.Name) > 100 {
		return message{Fault: faultOf(&kit.Error{Op: "answer", Kind: kit.Invalid})}
	}
	c.mu.Lock()
	full := len(c.answers) >= maxAnswers
	if !full {
		c.answers[m.Name] = m.Terms[0].Term
	}
	c.mu.Unlock()
	if full {
		return message{Fault: faultOf(&kit.Error{Op: "answer", Kind: kit.Overloaded})}
	}
	if c.opts.Answer != nil {
		c.opts.Answer(m.Name, m.Terms[0].Term)
	}
	return message{}
}

// send writes one line; a child that is gone is noticed by the reader.
func (c *childRun) send(m message) {
	line, err := json.Marshal(m)
	if err != nil {
		line, _ = json.Marshal(message{ID: m.ID, Fault: faultOf(childError(kit.Broken, err))})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.stdin.Write(append(line, '\n'))
}

// lines reads messages, one a line, of bounded length.
type lines struct{ s *bufio.Scanner }

func newLines(r io.Reader) *lines {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxMessage)
	return &lines{s}
}

func (l *lines) next() (message, error) {
	var m message
	if !l.s.Scan() {
		if err := l.s.Err(); err != nil {
			return m, err
		}
		return m, io.EOF
	}
	dec := json.NewDecoder(bytes.NewReader(l.s.Bytes()))
	if err := dec.Decode(&m); err != nil {
		return m, fmt.Errorf("the other process sent no message: %w", err)
	}
	return m, nil
}

// tail keeps the first bytes of what is written to it: a crash says at its beginning what it was.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := maxStderr - t.buf.Len(); room > 0 {
		t.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
