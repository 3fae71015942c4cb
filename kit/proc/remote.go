package proc

import (
	"context"
	"errors"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// spawn asks a node for a process and waits for its pid.
func (p *Process) spawn(node kit.NodeName, fn string, req request) (term.Pid, error) {
	if node == p.rt.cfg.Self {
		return p.spawnHere(fn, req)
	}
	req.leader = p.Leader()
	for _, a := range req.args {
		if err := p.room(string(node), a); err != nil {
			return term.Pid{}, err
		}
	}
	answer, err := p.rt.ask(p.Context(), string(node), Signal{Op: OpSpawn, From: p.pid, Name: fn, Term: req.term()})
	if err != nil {
		p.alive()
		return term.Pid{}, err
	}
	switch a := answer.(type) {
	case term.Pid:
		return a, nil
	case nil:
		return p.crasher(req), nil
	case term.Atom:
		if a == "system_limit" {
			return term.Pid{}, overloaded("spawn", "processes of "+string(node), MaxProcesses)
		}
	}
	return term.Pid{}, unknown(fn, node)
}

func unknown(fn string, node kit.NodeName) error {
	return &kit.Error{Op: "spawn", What: fn + " on " + string(node), Kind: kit.NotFound, Err: errNoFunc, Hint: `"functions" lists those of a node`}
}

// spawnHere begins a process on this node.
func (p *Process) spawnHere(fn string, req request) (term.Pid, error) {
	q := &process{fn: fn, args: len(req.args)} // outside the lock: memory may have to be collected first
	p.lock()
	err := p.rt.core.spawnHere(p.me, q, req)
	var f Func
	if err == nil {
		f = p.rt.prepare(q)
	}
	p.rt.mu.Unlock()
	switch {
	case f != nil:
		go q.handle.run(f, req.args) // joined by Close
	case kit.KindOf(err) == kit.NotFound:
		return term.Pid{}, unknown(fn, p.rt.cfg.Self)
	case err != nil:
		return term.Pid{}, err
	}
	return q.pid, nil
}

// crasher makes what Erlang gives for a process on a node that cannot be reached: one of this node that ends at once.
func (p *Process) crasher(req request) (pid term.Pid) {
	p.do(func(c *Core) {
		q, err := c.make("$crasher", 0, p.pid, c.host())
		if err != nil {
			return // no pid at all then
		}
		pid = q.pid
		if me := c.procs.find(p.pid.ID); me != nil {
			if req.link {
				me.link(pid)
			}
			if req.monitor != 0 {
				me.watches(req.monitor, watched{pid: pid})
			}
		}
		c.bind(q, p.pid, req)
		c.die(q, NoConnection)
	})
	return pid
}

// ask puts a question to a node's runtime and waits for the answer; nil means that the node cannot be reached, or was
// lost before it answered.
func (r *Runtime) ask(ctx context.Context, node string, s Signal) (term.Term, error) {
	ref, ch, err := r.begins(node, s)
	if err != nil {
		return nil, err
	}
	return r.answered(ctx, ref, ch)
}

// begins puts a question.
func (r *Runtime) begins(node string, s Signal) (uint64, chan term.Term, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, nil, errClosed("ask " + node)
	}
	ch := make(chan term.Term, 1)
	if s.From == (term.Pid{}) {
		s.From = r.core.host()
	}
	s.Ref = r.core.Ref()
	r.answers[s.Ref] = ch // before the step: the answer may be among its effects
	r.stepLocked(func(c *Core) { c.Ask(node, s) })
	return s.Ref, ch, nil
}

func (r *Runtime) answered(ctx context.Context, ref uint64, ch chan term.Term) (term.Term, error) {
	select {
	case t := <-ch:
		return t, nil
	case <-ctx.Done():
	case <-r.ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.core.Forget(ref)
	delete(r.answers, ref)
	select {
	case t := <-ch: // it came at the last moment
		return t, nil
	default:
	}
	if r.closed {
		return nil, errClosed("wait for an answer")
	}
	return nil, ctx.Err()
}

// later does something after a while, unless the runtime is closed before.
func (r *Runtime) later(d time.Duration, f func()) {
	if r.closed {
		return
	}
	r.tasks.Go(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			f()
		case <-r.ctx.Done():
		}
	})
}

// overlapPatience is how long a node that hears of another's loss waits for its own link to go down too.
const overlapPatience = time.Second

// Result is what became of a call.
type Result struct {
	Node  kit.NodeName
	Kind  ResultKind
	Value term.Term // the answer, what was thrown, or the reason
	Stack term.List // of an error
}

// ResultKind says how a call ended.
type ResultKind string

// The kinds of a result. Lost means that the node was not connected, or was lost before the answer came: whether the
// function ran is not known then. TimedOut means that no answer came in time; the function may still run.
const (
	Returned ResultKind = "return"
	Thrown   ResultKind = "throw"
	Exited   ResultKind = "exit"
	Failed   ResultKind = "error"
	Died     ResultKind = "signal"
	Lost     ResultKind = "lost"
	TimedOut ResultKind = "timeout"
)

// Call runs a function at a node, in a process of its own, and gives what became of it, at the latest after timeout
// (Erlang's erpc:call). leader is where its output goes; the zero Pid is this node. The error is only for calls that could
// not be made at all: a runtime that is closed, arguments that are too long.
func (r *Runtime) Call(ctx context.Context, leader term.Pid, node kit.NodeName, fn string, args []term.Term, timeout time.Duration) (Result, error) {
	ref, ch, err := r.call(leader, node, fn, args)
	if err != nil {
		return Result{}, err
	}
	return r.result(ctx, node, ref, ch, timeout)
}

func (r *Runtime) call(leader term.Pid, node kit.NodeName, fn string, args []term.Term) (uint64, chan term.Term, error) {
	if leader.Node == "" {
		leader = term.Pid{Node: string(r.cfg.Self)}
	}
	if size := sizeOf(term.List(args)); size > MaxMessage && node != r.cfg.Self {
		return 0, nil, &kit.Error{Op: "call", What: fn, Kind: kit.Invalid, Err: errors.New("its arguments are longer than a message may be")}
	}
	return r.begins(string(node), Signal{Op: OpCall, Name: fn, Term: request{leader: leader, args: args}.term()})
}

func (r *Runtime) result(ctx context.Context, node kit.NodeName, ref uint64, ch chan term.Term, timeout time.Duration) (Result, error) {
	res := Result{Node: node}
	outer := ctx
	if timeout >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	answer, err := r.answered(ctx, ref, ch)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && outer.Err() == nil:
		res.Kind = TimedOut
		return res, nil
	case err != nil:
		return res, err
	case answer == nil:
		res.Kind = Lost
		return res, nil
	}
	res.read(answer)
	return res, nil
}

// read takes {Kind, Value}; an error's value is {Reason, Stack}.
func (res *Result) read(answer term.Term) {
	t, _ := answer.(term.Tuple)
	res.Kind, res.Value = Failed, term.Atom("badarg")
	if len(t) != 2 {
		return
	}
	kind, _ := t[0].(term.Atom)
	switch k := ResultKind(kind); k {
	case Returned, Thrown, Exited, Died:
		res.Kind, res.Value = k, t[1]
	case Failed:
		res.Value = t[1]
		if v, ok := t[1].(term.Tuple); ok && len(v) == 2 {
			if stack, ok := v[1].(term.List); ok {
				res.Value, res.Stack = v[0], stack
			}
		}
	}
}

// Multicall runs a function at several nodes at once and gives a result for each, in their order.
func (r *Runtime) Multicall(ctx context.Context, leader term.Pid, nodes []kit.NodeName, fn string, args []term.Term, timeout time.Duration) ([]Result, error) {
	type asked struct {
		ref uint64
		ch  chan term.Term
	}
	all := make([]asked, len(nodes))
	end := time.Now().Add(timeout)
	for i, n := range nodes {
		ref, ch, err := r.call(leader, n, fn, args)
		if err != nil {
			return nil, err
		}
		all[i] = asked{ref, ch}
	}
	results := make([]Result, len(nodes))
	for i, n := range nodes {
		left := timeout
		if timeout >= 0 {
			left = max(0, time.Until(end))
		}
		var err error
		if results[i], err = r.result(ctx, n, all[i].ref, all[i].ch, left); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// Cast begins a function at a node and does not wait for it.
func (r *Runtime) Cast(leader term.Pid, node kit.NodeName, fn string, args []term.Term) error {
	ref, _, err := r.call(leader, node, fn, args)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.core.Forget(ref)
		delete(r.answers, ref)
	}
	return err
}

// sizeOf estimates the bytes that a term takes in a frame.
func sizeOf(t term.Term) int {
	switch x := t.(type) {
	case term.Atom:
		return len(x) + 2
	case term.Bin:
		return len(x) + 4
	case term.Big:
		return x.BitLen()/8 + 4
	case term.Tuple:
		return sizeOf(term.List(x))
	case term.List:
		n := 4
		for _, e := range x {
			n += sizeOf(e)
		}
		return n
	case term.Map:
		n := 4
		for _, p := range x {
			n += sizeOf(p.Key) + sizeOf(p.Value)
		}
		return n
	}
	return 12
}
