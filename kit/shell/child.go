package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/metrics"
	"strconv"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// ScriptMain is the child's side of RunIsolated: it serves ChildVerb and gives the exit code. args are what
// follows the verb.
func ScriptMain(args []string, in io.Reader, out io.Writer) int {
	var l Limits
	if len(args) == 2 {
		l.Memory, _ = strconv.ParseInt(args[0], 10, 64)
		l.CPU, _ = time.ParseDuration(args[1])
	}
	if l.Memory < minMemory || l.CPU <= 0 {
		return 2 // not called by RunIsolated
	}
	limitProcess(l)
	messages := newLines(in)
	first, err := messages.next()
	if err != nil || first.Start == nil {
		return 2
	}
	p := &parent{out: out, answers: map[int64]chan message{}, nodes: first.Start.Nodes, began: time.Now()}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() { // ends with the process, which ends when the script does
		for {
			m, err := messages.next()
			if err != nil {
				cancel(errors.New("the grader has gone"))
				return
			}
			p.deliver(m)
		}
	}()
	res := p.runScript(ctx, first.Start)
	p.send(message{Done: &doneReport{Fault: faultOf(res.Err), Steps: res.Steps}})
	return 0
}

// minMemory is less than what Go needs to start.
const minMemory = 64 << 20

// memoryWatch is what the child says when watchMemory ends it.
const memoryWatch = "netsplit: memory limit"

// timeWatch is what the child says when it has used up its processor time.
const timeWatch = "netsplit: processor time limit"

// watchMemory ends the process when its heap is larger than limit: one huge allocation may pass the limit for a
// moment. It reads a metric that stops no other goroutine: runtime.ReadMemStats would wait until the copy of a huge
// list ends, and meanwhile the script would be at its next one.
func watchMemory(limit int64) {
	const every = 20 * time.Millisecond
	go func() { // ends with the process
		heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for range time.Tick(every) {
			metrics.Read(heap)
			if heap[0].Value.Uint64() > uint64(limit) {
				fmt.Fprintln(os.Stderr, memoryWatch)
				os.Exit(2)
			}
		}
	}()
}

func (p *parent) runScript(ctx context.Context, order *startOrder) Result {
	opts := Options{World: p, Lab: order.Lab, Client: order.Client, Width: order.Width, Limits: order.Limits, Out: printer{p},
		Data: map[string]term.Term{}, Hooks: map[string]Hook{}}
	for k, v := range order.Data {
		opts.Data[k] = v.Term
	}
	for _, name := range order.Hooks {
		opts.Hooks[name] = p.hook(name)
	}
	if order.Load {
		opts.Load = func(module string) ([]byte, error) {
			m := p.ask(ctx, message{Op: opLoad, Name: module})
			return m.Bytes, m.Fault.err()
		}
	}
	opts.Answer = func(name string, value term.Term) {
		p.ask(ctx, message{Op: opAnswer, Name: name, Terms: []jsonTerm{{value}}})
	}
	return RunFile(ctx, order.File, order.Source, opts)
}

// parent is the world as the child sees it: every call is a request to the process that started it.
type parent struct {
	mu      sync.Mutex
	out     io.Writer
	seq     int64
	answers map[int64]chan message
	nodes   []kit.NodeName
	began   time.Time
	clients sync.WaitGroup
}

var _ world.World = (*parent)(nil)

func (p *parent) send(m message) {
	line, err := json.Marshal(m)
	if err != nil {
		os.Exit(2)
	}
	if _, err := p.out.Write(append(line, '\n')); err != nil {
		os.Exit(2) // nobody listens any more
	}
}

// ask sends a request and waits for its answer; when ctx ends the request is cancelled.
func (p *parent) ask(ctx context.Context, m message) message {
	answer := make(chan message, 1)
	p.mu.Lock()
	p.seq++
	m.ID = p.seq
	p.answers[m.ID] = answer
	p.send(m)
	p.mu.Unlock()
	select {
	case a := <-answer:
		return a
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.send(message{Op: opCancel, ID: m.ID})
	p.mu.Unlock()
	return <-answer // a cancelled request is answered at once
}

func (p *parent) deliver(m message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer := p.answers[m.ID]; answer != nil {
		delete(p.answers, m.ID)
		answer <- m
	}
}

func (p *parent) hook(name string) Hook {
	return func(ctx context.Context, _ world.World, args []term.Term) (term.Term, error) {
		m := message{Op: opHook, Name: name}
		for _, a := range args {
			m.Terms = append(m.Terms, jsonTerm{a})
		}
		answer := p.ask(ctx, m)
		if err := answer.Fault.err(); err != nil {
			return nil, err
		}
		if len(answer.Terms) != 1 {
			return nil, childError(kit.Broken, errors.New("no answer"))
		}
		return answer.Terms[0].Term, nil
	}
}

// printer sends what the script prints.
type printer struct{ p *parent }

func (w printer) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	w.p.send(message{Op: opPrint, Text: string(b)})
	return len(b), nil
}

// Nodes is world.World's.
func (p *parent) Nodes() []kit.NodeName { return p.nodes }

// Call is world.World's.
func (p *parent) Call(ctx context.Context, client string, node kit.NodeName, req door.Request) door.Outcome {
	req.Client = client
	line, err := door.EncodeRequest(req)
	if err != nil {
		return door.FromError(err)
	}
	m := p.ask(ctx, message{Op: opCall, Client: client, Node: node, Call: line})
	switch {
	case m.Fault != nil:
		return door.FromError(m.Fault.err())
	case m.Outcome == nil:
		return door.LostAnswer("no answer came")
	}
	return *m.Outcome
}

// Link is world.World's.
func (p *parent) Link(from, to kit.NodeName, rule wire.Rule) error {
	return p.ask(context.Background(), message{Op: opLink, Node: from, Peer: to, Rule: &rule}).Fault.err()
}

func (p *parent) fault(op string, n kit.NodeName) error {
	return p.ask(context.Background(), message{Op: op, Node: n}).Fault.err()
}

// Kill is world.World's.
func (p *parent) Kill(n kit.NodeName) error { return p.fault(opKill, n) }

// Restart is world.World's.
func (p *parent) Restart(n kit.NodeName) error { return p.fault(opRestart, n) }

// Pause is world.World's.
func (p *parent) Pause(n kit.NodeName) error { return p.fault(opPause, n) }

// Resume is world.World's.
func (p *parent) Resume(n kit.NodeName) error { return p.fault(opResume, n) }

// Now is world.World's.
func (p *parent) Now() time.Duration {
	return time.Duration(p.ask(context.Background(), message{Op: opNow}).Nanos)
}

// Sleep is world.World's.
func (p *parent) Sleep(ctx context.Context, d time.Duration) error {
	return p.ask(ctx, message{Op: opSleep, Millis: float64(d) / float64(time.Millisecond)}).Fault.err()
}

// Go is world.World's.
func (p *parent) Go(f func(ctx context.Context)) {
	p.clients.Add(1)
	go func() {
		defer p.clients.Done()
		f(context.Background())
	}()
}

// Wait is world.World's.
func (p *parent) Wait() { p.clients.Wait() }

// Close is world.World's; the cluster is the parent's.
func (p *parent) Close() error { return nil }
