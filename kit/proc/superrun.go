package proc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// The messages between a supervisor and those who ask it: {'$supervise', {From, Ref}, Request} and {'$supervised', Ref,
// Answer}.
const (
	superviseAtom  = term.Atom("$supervise")
	supervisedAtom = term.Atom("$supervised")
	superviseFunc  = "$supervise"
)

// runSupervisor is the function supervisor: a process that is linked to its children and traps exits.
func runSupervisor(p *Process, args []term.Term) (term.Term, error) {
	if len(args) != 1 {
		return nil, Error(Undef)
	}
	opts, err := ParseSupervisorOptions(args[0])
	if err != nil {
		return nil, Exit(reasonOf(err)) // as OTP's start_link: without a stack
	}
	p.TrapExit(true)
	s := &supervisor{opts: opts, act: superProcess{p}}
	if why := s.begin(); why != nil {
		return nil, Exit(why)
	}
	parent := p.parent()
	for {
		msg, _ := p.Receive(Forever, nil)
		if reason := s.take(p, parent, msg); reason != nil {
			s.stopAll(s.children)
			return nil, Exit(reason)
		}
	}
}

// take deals with one message, and gives the reason when the supervisor is to end.
func (s *supervisor) take(p *Process, parent term.Pid, msg term.Term) term.Term {
	if pid, reason, ok := exitMessage(msg); ok {
		switch {
		case pid == parent:
			return reason
		case !s.ended(pid, reason):
			return term.Atom("shutdown")
		}
		return nil
	}
	if from, ref, req, ok := asked(msg); ok {
		if req == term.Atom("stop") {
			p.answer(from, ref, term.Atom("ok"))
			return Normal
		}
		p.answer(from, ref, s.request(req))
		return nil
	}
	if t, _ := msg.(term.Tuple); len(t) == 2 && t[0] == again && !s.retry(t[1]) {
		return term.Atom("shutdown")
	}
	return nil
}

// exitMessage reads {'EXIT', Pid, Reason}.
func exitMessage(msg term.Term) (term.Pid, term.Term, bool) {
	if t, _ := msg.(term.Tuple); len(t) == 3 && t[0] == term.Atom("EXIT") {
		pid, ok := t[1].(term.Pid)
		return pid, t[2], ok
	}
	return term.Pid{}, nil, false
}

// asked reads a request to a supervisor.
func asked(msg term.Term) (from term.Pid, ref, req term.Term, ok bool) {
	t, _ := msg.(term.Tuple)
	if len(t) != 3 || t[0] != superviseAtom {
		return from, nil, nil, false
	}
	who, _ := t[1].(term.Tuple)
	if len(who) != 2 {
		return from, nil, nil, false
	}
	from, ok = who[0].(term.Pid)
	return from, who[1], t[2], ok
}

// answer answers a request. It does not wait for room on the way, as Send would: a supervisor must go on.
func (p *Process) answer(to term.Pid, ref, v term.Term) {
	p.do(func(c *Core) { c.Send(p.pid, to, term.T(supervisedAtom, ref, v)) })
}

// parent is who spawned the process.
func (p *Process) parent() (pid term.Pid) {
	p.do(func(c *Core) { pid = c.procs.find(p.pid.ID).parent })
	return pid
}

// superProcess does what a supervisor decides, as the process that it is.
type superProcess struct{ p *Process }

func (a superProcess) now() time.Time { return time.Now() }

func (a superProcess) start(spec ChildSpec) (term.Pid, term.Term) { return a.p.startChild(spec) }

// startChild begins a process of a spec on this node, linked to this one.
func (p *Process) startChild(spec ChildSpec) (term.Pid, term.Term) {
	pid, err := p.SpawnLink(p.Node(), spec.Function, spec.Args...)
	switch {
	case err == nil:
		return pid, nil
	case kit.KindOf(err) == kit.NotFound:
		return term.Pid{}, Undef
	}
	return term.Pid{}, term.Atom("system_limit")
}

func (a superProcess) again(id term.Term) {
	a.p.do(func(c *Core) { c.Send(a.p.pid, a.p.pid, term.T(again, id)) })
}

func (a superProcess) say(text string) { a.p.say("supervisor: " + text) }

// say writes a line of output without waiting for room on its way.
func (p *Process) say(text string) {
	p.do(func(c *Core) {
		leader := c.procs.find(p.pid.ID).leader
		c.route(leader.Node, Signal{Op: OpOutput, From: p.pid, To: leader, Term: term.Bin(text)})
	})
}

// stop ends a child as OTP's supervisor does: by exit signal, the second one kill, and waits for its end.
func (a superProcess) stop(pid term.Pid, shutdown time.Duration) {
	p := a.p
	ref := p.Monitor(pid)
	p.Unlink(pid)
	down := func(m term.Term) bool {
		t, _ := m.(term.Tuple)
		return len(t) == 5 && t[0] == term.Atom("DOWN") && t[1] == term.Int(ref)
	}
	reason := term.Atom("shutdown")
	if shutdown == BrutalKill {
		reason, shutdown = Kill, Infinity
	}
	if shutdown == Infinity {
		shutdown = Forever
	}
	p.SendExit(pid, reason)
	if _, ok := p.Receive(shutdown, down); !ok {
		p.SendExit(pid, Kill)
		p.Receive(Forever, down)
	}
	p.Receive(0, func(m term.Term) bool { // it may have ended before it was unlinked
		who, _, ok := exitMessage(m)
		return ok && who == pid
	})
}

// supervise asks a supervisor, in a process of its own: args are who (a pid, a name or {name, node}) and the request.
func supervise(p *Process, args []term.Term) (term.Term, error) {
	if len(args) != 2 {
		return nil, Error(Undef)
	}
	return p.supervise(args[0], args[1])
}

func (p *Process) supervise(who, req term.Term) (term.Term, error) {
	var ref uint64
	switch at := who.(type) {
	case term.Pid:
		ref = p.Monitor(at)
	case term.Atom:
		ref = p.MonitorName(string(at), p.Node())
		who = term.T(at, term.Atom(p.Node()))
	case term.Tuple:
		name, node, ok := nameAt(at)
		if !ok {
			return nil, badarg()
		}
		ref = p.MonitorName(name, kit.NodeName(node))
	default:
		return nil, badarg()
	}
	if err := p.Send(who, term.T(superviseAtom, term.T(p.pid, term.Int(ref)), req)); err != nil {
		return nil, err
	}
	msg, ok := p.Receive(superviseIn, func(m term.Term) bool {
		t, _ := m.(term.Tuple)
		return len(t) == 3 && t[0] == supervisedAtom && t[1] == term.Int(ref) ||
			len(t) == 5 && t[0] == term.Atom("DOWN") && t[1] == term.Int(ref)
	})
	p.Demonitor(ref)
	t, _ := msg.(term.Tuple)
	switch {
	case !ok:
		return nil, Exit(term.Atom("timeout"))
	case len(t) == 5:
		return nil, Exit(t[4])
	}
	return t[2], nil
}

// StartSupervisor begins a supervisor on this node, linked to this process, and returns when all its children are
// started. What is wrong with the options, or the start of a child, is an Exception with OTP's reason; the supervisor's
// exit signal comes too then.
func (p *Process) StartSupervisor(o SupervisorOptions) (term.Pid, error) {
	return p.startSupervisor(o.Term(), true)
}

// StartSupervisorTerm is StartSupervisor of options as a term, and without the link.
func (p *Process) StartSupervisorTerm(options term.Term) (term.Pid, error) {
	return p.startSupervisor(options, false)
}

func (p *Process) startSupervisor(options term.Term, link bool) (term.Pid, error) {
	req := request{args: []term.Term{options}, link: link}
	p.do(func(c *Core) { req.monitor = c.ref() })
	pid, err := p.spawn(p.Node(), superName, req)
	if err != nil {
		return pid, err
	}
	defer p.Demonitor(req.monitor)
	return pid, p.ready(pid, req.monitor)
}

// ready waits until a supervisor answers, or has ended.
func (p *Process) ready(pid term.Pid, monitor uint64) error {
	if err := p.Send(pid, term.T(superviseAtom, term.T(p.pid, term.Int(monitor)), term.Atom("ready"))); err != nil {
		return err
	}
	msg, _ := p.Receive(Forever, func(m term.Term) bool {
		t, _ := m.(term.Tuple)
		return len(t) == 3 && t[0] == supervisedAtom && t[1] == term.Int(monitor) ||
			len(t) == 5 && t[0] == term.Atom("DOWN") && t[1] == term.Int(monitor)
	})
	if t, _ := msg.(term.Tuple); len(t) == 5 {
		reason, _ := WithoutStack(t[4])
		return Error(reason)
	}
	return nil
}

// StartSupervisor begins a supervisor that nobody is linked to; see Process.StartSupervisor. It lives until it is
// stopped, gives up, or the node ends.
func (r *Runtime) StartSupervisor(ctx context.Context, o SupervisorOptions) (term.Pid, error) {
	return r.startBy(ctx, func(p *Process) (term.Pid, error) { return p.startSupervisor(o.Term(), false) })
}

// startBy lets a process of the moment start something.
func (r *Runtime) startBy(ctx context.Context, start func(*Process) (term.Pid, error)) (pid term.Pid, err error) {
	if err := ctx.Err(); err != nil {
		return pid, err
	}
	p, err := r.Attend()
	if err != nil {
		return pid, err
	}
	defer p.End(Normal)
	defer context.AfterFunc(ctx, func() { p.End(Kill) })()
	err = p.Act(func() (err error) {
		pid, err = start(p)
		return err
	})
	if errors.Is(err, ErrEnded) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return pid, err
}

// Supervisor is a supervisor somewhere, of either kind, as those see it who ask it. What it refuses is an Exception with
// OTP's reason, such as already_present or not_found; that it is not there is the exit noproc, noconnection or timeout.
type Supervisor struct {
	rt *Runtime
	at term.Term
}

// Supervisor gives the supervisor that is a pid, has a local name (an atom) or is {name, node}.
func (r *Runtime) Supervisor(at term.Term) Supervisor { return Supervisor{r, at} }

// Supervisor gives a supervisor to ask; see Runtime.Supervisor.
func (p *Process) Supervisor(at term.Term) Supervisor { return p.rt.Supervisor(at) }

// Child is what which_children tells of a child.
type Child struct {
	ID       term.Term
	Pid      term.Pid // zero when it is not running
	State    string   // running, undefined (stopped, the spec is kept) or restarting
	Type     ChildType
	Function string
}

// Counts is what count_children tells: specs known, children running, and how many of the specs are of each type.
type Counts struct{ Specs, Active, Supervisors, Workers int }

// Ask sends a request, for those that have no method here, and gives the answer as it is.
func (s Supervisor) Ask(ctx context.Context, req term.Term) (term.Term, error) {
	res, err := s.rt.Call(ctx, term.Pid{}, s.rt.cfg.Self, superviseFunc, []term.Term{s.at, req}, superviseIn+time.Second)
	switch {
	case err != nil:
		return nil, err
	case res.Kind == TimedOut:
		return nil, Exit(term.Atom("timeout"))
	case res.Kind == Lost:
		return nil, Exit(NoConnection)
	case res.Kind == Failed:
		return nil, Error(res.Value)
	case res.Kind != Returned:
		return nil, Exit(res.Value)
	}
	return res.Value, nil
}

// Done is Ask that gives the value of {ok, Value}, and {error, Reason} as an Exception.
func (s Supervisor) Done(ctx context.Context, req term.Term) (term.Term, error) {
	answer, err := s.Ask(ctx, req)
	if err != nil {
		return nil, err
	}
	if t, _ := answer.(term.Tuple); len(t) == 2 {
		if t[0] == term.Atom("error") {
			return nil, Error(t[1])
		}
		return t[1], nil
	}
	return answer, nil
}

func (s Supervisor) pid(ctx context.Context, req term.Term) (term.Pid, error) {
	v, err := s.Done(ctx, req)
	pid, ok := v.(term.Pid)
	if err == nil && !ok {
		err = &kit.Error{Op: "ask supervisor", What: term.String(s.at), Kind: kit.Corrupt, Err: fmt.Errorf("it answers %s", short(v))}
	}
	return pid, err
}

// StartChild adds a child and starts it.
func (s Supervisor) StartChild(ctx context.Context, spec ChildSpec) (term.Pid, error) {
	if err := spec.check(); err != nil {
		return term.Pid{}, err
	}
	return s.pid(ctx, term.T(term.Atom("start_child"), spec.Term()))
}

// TerminateChild stops a child; its spec stays, unless it is temporary.
func (s Supervisor) TerminateChild(ctx context.Context, id term.Term) error {
	_, err := s.Done(ctx, term.T(term.Atom("terminate_child"), id))
	return err
}

// RestartChild starts a child that is stopped.
func (s Supervisor) RestartChild(ctx context.Context, id term.Term) (term.Pid, error) {
	return s.pid(ctx, term.T(term.Atom("restart_child"), id))
}

// DeleteChild forgets a child that is stopped.
func (s Supervisor) DeleteChild(ctx context.Context, id term.Term) error {
	_, err := s.Done(ctx, term.T(term.Atom("delete_child"), id))
	return err
}

// Stop stops all children in reverse order and the supervisor itself, which ends with the reason normal (OTP's
// supervisor:stop). It returns when the supervisor has begun to.
func (s Supervisor) Stop(ctx context.Context) error {
	_, err := s.Done(ctx, term.Atom("stop"))
	return err
}

// WhichChildren lists the children, the last started first.
func (s Supervisor) WhichChildren(ctx context.Context) ([]Child, error) {
	answer, err := s.Done(ctx, term.Atom("which_children"))
	if err != nil {
		return nil, err
	}
	var list []Child
	rows, _ := answer.(term.List)
	for _, row := range rows {
		t, _ := row.(term.Tuple)
		if len(t) != 4 {
			continue
		}
		kind, _ := t[2].(term.Atom)
		c := Child{ID: t[0], State: "running", Type: ChildType(kind)}
		switch at := t[1].(type) {
		case term.Pid:
			c.Pid = at
		case term.Atom:
			c.State = string(at)
		}
		if fns, _ := t[3].(term.List); len(fns) == 1 {
			fn, _ := fns[0].(term.Atom)
			c.Function = string(fn)
		}
		list = append(list, c)
	}
	return list, nil
}

// CountChildren counts them.
func (s Supervisor) CountChildren(ctx context.Context) (Counts, error) {
	answer, err := s.Done(ctx, term.Atom("count_children"))
	var c Counts
	list, _ := answer.(term.List)
	for _, row := range list {
		t, _ := row.(term.Tuple)
		if len(t) != 2 {
			continue
		}
		n, _ := t[1].(term.Int)
		switch t[0] {
		case term.Atom("specs"):
			c.Specs = int(n)
		case term.Atom("active"):
			c.Active = int(n)
		case term.Atom("supervisors"):
			c.Supervisors = int(n)
		case term.Atom("workers"):
			c.Workers = int(n)
		}
	}
	return c, err
}
