package node

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/mnesia"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

// callTime is how long a call waits when nobody says.
const callTime = 15 * time.Second

// verbs are the verbs of processes, named as the steps of the conformance format where there is one.
func (f *procFace) verbs() []door.Verb {
	return []door.Verb{
		{Name: "functions", Doc: "the functions that can be spawned and called here, by name", Handler: f.functions},
		{Name: "spawn", Params: []string{"node", "function", "args?"}, Doc: "starts a process of a function at a node; its output comes to this node", Handler: f.spawn},
		{Name: "processes", Params: []string{"after?"}, Doc: "what is known of this node's processes, up to 1000, behind the number given", Handler: f.processes},
		{Name: "proc_counts", Doc: "how much the node's processes hold: all numbers are 0 when every process has ended", Handler: f.counts},
		{Name: "process_info", Params: []string{"pid"}, Doc: "what is known of a process anywhere; undefined when it is gone", Handler: f.info},
		{Name: "is_alive", Params: []string{"p"}, Doc: "whether a process anywhere lives", Handler: f.isAlive},
		{Name: "output", Params: []string{"after?", "ms?"}, Doc: "lines that processes wrote to this node behind the number given, waiting so long for the first", Handler: f.output},
		{Name: "proc_spawn", Params: []string{"p"}, Doc: "starts a process under a name that the client acts for, and gives its pid", Handler: f.procSpawn},
		{Name: "proc", Params: []string{"p", "op"}, Doc: "does an operation in the name of such a process; self is the client's own", Handler: f.proc},
		{Name: "proc_ops", Doc: "the operations of proc", Handler: f.procOps},
		{Name: "mailbox", Params: []string{"p", "ms?"}, Doc: "takes all messages of such a process, until so long nothing more has come", Handler: f.mailbox},
		{Name: "whereis", Params: []string{"name"}, Doc: "the process of this node that has a name, or undefined", Handler: f.whereis},
		{Name: "registered", Doc: "the local names", Handler: f.registered},
		{Name: "register", Params: []string{"name", "pid"}, Doc: "gives a process of this node a local name", Handler: f.register},
		{Name: "unregister", Params: []string{"name"}, Doc: "takes a local name away", Handler: f.unregister},
		{Name: "rpc", Params: []string{"node", "fn", "timeout?"}, Doc: "calls a function at a node, as rpc:call; fn is a name or a list of name and arguments", Handler: f.rpc},
		{Name: "erpc", Params: []string{"node", "fn", "timeout?"}, Doc: "calls a function at a node, as erpc:call, which raises what the function raised", Handler: f.erpc},
		{Name: "cast", Params: []string{"node", "fn"}, Doc: "begins a function at a node and does not wait", Handler: f.cast},
		{Name: "multicall", Params: []string{"nodes", "fn", "timeout?"}, Doc: "calls a function at several nodes at once", Handler: f.multicall},
		{Name: "global_register", Params: []string{"name", "pid", "resolver?"}, Doc: "gives a process a name in all connected nodes; yes or no", Handler: f.globalRegister},
		{Name: "global_re_register", Params: []string{"name", "pid", "resolver?"}, Doc: "the same, taking it from whoever has it", Handler: f.globalRegister},
		{Name: "global_unregister", Params: []string{"name"}, Doc: "takes a global name away", Handler: f.globalUnregister},
		{Name: "global_whereis", Params: []string{"name"}, Doc: "the process that has a global name, or undefined", Handler: f.globalWhereis},
		{Name: "global_names", Doc: "the global names that this node knows", Handler: f.globalNames},
		{Name: "global_sync", Doc: "waits until the names of all connected nodes are known here and clashes settled", Handler: f.globalSync},
	}
}

// outcome gives the outcome of a value or an error.
func outcome(v term.Term, err error) door.Outcome {
	var e *proc.Exception
	switch {
	case err == nil && v == nil:
		return door.Done()
	case err == nil:
		return door.OKTerm(v)
	case errors.Is(err, proc.ErrEnded):
		return door.Outcome{Status: door.Dead}
	case errors.As(err, &e):
		return reasonOutcome(door.Raised, e.Class, e.Reason)
	}
	return mnesia.Outcome(err)
}

// reasonOutcome spreads a reason over kind and arguments, as the conformance format has it.
func reasonOutcome(status door.Status, class string, reason term.Term) door.Outcome {
	reason, crash := proc.WithoutStack(reason)
	out := door.Outcome{Status: status, Class: class, Crash: crash}
	switch t := reason.(type) {
	case term.Atom:
		out.Kind = t
		return out
	case term.Tuple:
		if kind, ok := t[0].(term.Atom); len(t) > 0 && ok {
			out.Kind = kind
			for _, arg := range t[1:] {
				arg, _ = proc.WithoutStack(arg)
				out.Args = append(out.Args, arg)
			}
			return out
		}
	}
	out.Kind, out.Args = term.Atom("other"), []term.Term{reason}
	return out
}

func (f *procFace) functions(context.Context, door.Request) door.Outcome {
	list := term.List{}
	for _, name := range f.rt.Functions() {
		list = append(list, term.Atom(name))
	}
	return door.OKTerm(list)
}

func (f *procFace) spawn(ctx context.Context, r door.Request) door.Outcome {
	to, err := r.Node(0)
	if err != nil {
		return door.FromError(err)
	}
	fn, _ := r.Args[1].(term.Atom)
	args := term.List{}
	ok := true
	if len(r.Args) > 2 {
		args, ok = r.Args[2].(term.List)
	}
	if fn == "" || fn[0] == '$' || !ok {
		return door.FromError(&kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: errors.New("it takes a node, the name of a function and a list of arguments")})
	}
	if to != f.node.cfg.Node && !slices.Contains(f.node.links.known(), to) {
		return door.FromError(&kit.Error{Op: "spawn on", What: string(to), Kind: kit.NotFound, Err: errors.New("no such node is known")})
	}
	p, err := f.own(ctx, r.Client)
	if err != nil {
		return outcome(nil, err)
	}
	var pid term.Pid
	err = p.Act(func() (err error) {
		pid, err = p.Spawn(to, string(fn), args...)
		return err
	})
	if err == nil && pid.Node != string(to) {
		err = &kit.Error{Op: "spawn on", What: string(to), Kind: kit.Unavailable, Err: errors.New("the node cannot be reached")}
	}
	return outcome(pid, near(err, string(fn), f.rt.Functions()))
}

// near adds to the error of an unknown function those that were perhaps meant.
func near(err error, name string, known []string) error {
	var e *kit.Error
	if kit.KindOf(err) == kit.NotFound && errors.As(err, &e) {
		if like := kit.Near(name, known); len(like) > 0 {
			e.Hint = "did you mean " + like[0] + "?"
		}
	}
	return err
}

// maxListed is how many processes one answer tells about.
const maxListed = 1000

func (f *procFace) processes(_ context.Context, r door.Request) door.Outcome {
	after := int64(0)
	if len(r.Args) > 0 {
		var err error
		if after, err = r.Int(0); err != nil || after < 0 {
			return door.FromError(&kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: errors.New("argument 1 must be the number of a process")})
		}
	}
	list := term.List{}
	for _, i := range f.rt.Processes(uint64(after), maxListed) {
		list = append(list, i.Term())
	}
	return door.OKTerm(list)
}

func (f *procFace) counts(context.Context, door.Request) door.Outcome {
	n := f.rt.Held()
	return door.OKTerm(pairs("processes", term.Int(n.Processes), "functions", term.Int(n.Functions), "names", term.Int(n.Names),
		"global_names", term.Int(n.GlobalNames), "locks", term.Int(n.Locks), "lock_owners", term.Int(n.Owners), "questions", term.Int(n.Questions),
		"connecting", term.Int(n.Waiting), "subscriptions", term.Int(n.Subscriptions)))
}

func pidArg(r door.Request, i int) (term.Pid, error) {
	pid, ok := r.Args[i].(term.Pid)
	if !ok {
		return pid, &kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: errors.New("it takes the pid of a process")}
	}
	return pid, nil
}

func (f *procFace) info(ctx context.Context, r door.Request) door.Outcome {
	return f.about(ctx, r, "process_info")
}

func (f *procFace) isAlive(ctx context.Context, r door.Request) door.Outcome {
	return f.about(ctx, r, "is_alive")
}

// about asks a process's own node about it; a node that is lost is {badrpc, nodedown}, as where Erlang asks by rpc.
func (f *procFace) about(ctx context.Context, r door.Request, fn string) door.Outcome {
	pid, err := pidArg(r, 0)
	if err != nil {
		return door.FromError(err)
	}
	res, err := f.rt.Call(ctx, term.Pid{}, kit.NodeName(pid.Node), fn, []term.Term{pid}, callTime)
	if err != nil {
		return outcome(nil, err)
	}
	if res.Kind != proc.Returned {
		out := rpcOutcome(res)
		return door.OKTerm(term.T(term.Atom("badrpc"), out.Reason()))
	}
	return door.OKTerm(res.Value)
}

func (f *procFace) output(ctx context.Context, r door.Request) door.Outcome {
	after := int64(0)
	if len(r.Args) > 0 {
		var err error
		if after, err = r.Int(0); err != nil || after < 0 {
			return door.FromError(&kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: errors.New("argument 1 must be the number of a line")})
		}
	}
	d, err := wait(r, 1, 0)
	if err != nil {
		return door.FromError(err)
	}
	lines, last := f.rt.Output(ctx, uint64(after), d)
	list := term.List{}
	for _, l := range lines {
		list = append(list, term.T(l.From, term.Bin(l.Text)))
	}
	return door.OKTerm(pairs("last", term.Int(last), "lines", list))
}

func (f *procFace) procSpawn(ctx context.Context, r door.Request) door.Outcome {
	name, err := r.Atom(0)
	if err != nil {
		return door.FromError(err)
	}
	p, err := f.open(ctx, name)
	if err != nil {
		return outcome(nil, err)
	}
	return door.OKTerm(p.Self())
}

func (f *procFace) whereis(_ context.Context, r door.Request) door.Outcome {
	name, err := r.Atom(0)
	if err != nil {
		return door.FromError(err)
	}
	return found(f.rt.Whereis(name))
}

func found(pid term.Pid, ok bool) door.Outcome {
	if !ok {
		return door.OKTerm(term.Undefined)
	}
	return door.OKTerm(pid)
}

func (f *procFace) registered(context.Context, door.Request) door.Outcome {
	return door.OKTerm(term.Atoms(f.rt.Registered()...))
}

func (f *procFace) register(_ context.Context, r door.Request) door.Outcome {
	name, err := r.Atom(0)
	if err != nil {
		return door.FromError(err)
	}
	pid, err := pidArg(r, 1)
	if err != nil {
		return door.FromError(err)
	}
	return outcome(term.True, f.rt.Register(name, pid))
}

func (f *procFace) unregister(_ context.Context, r door.Request) door.Outcome {
	name, err := r.Atom(0)
	if err != nil {
		return door.FromError(err)
	}
	return outcome(term.True, f.rt.Unregister(name))
}

func (f *procFace) globalRegister(ctx context.Context, r door.Request) door.Outcome {
	pid, err := pidArg(r, 1)
	if err != nil {
		return door.FromError(err)
	}
	resolver := ""
	if len(r.Args) > 2 {
		if resolver, err = r.Atom(2); err != nil {
			return door.FromError(err)
		}
	}
	if r.Verb == "global_re_register" {
		return outcome(term.Atom("yes"), f.rt.ReregisterGlobal(ctx, r.Args[0], pid, resolver))
	}
	ok, err := f.rt.RegisterGlobal(ctx, r.Args[0], pid, resolver)
	return outcome(yesNo(ok), err)
}

func yesNo(ok bool) term.Atom {
	if ok {
		return "yes"
	}
	return "no"
}

func (f *procFace) globalUnregister(ctx context.Context, r door.Request) door.Outcome {
	return outcome(nil, f.rt.UnregisterGlobal(ctx, r.Args[0]))
}

func (f *procFace) globalWhereis(_ context.Context, r door.Request) door.Outcome {
	return found(f.rt.WhereisGlobal(r.Args[0]))
}

func (f *procFace) globalNames(context.Context, door.Request) door.Outcome {
	return door.OKTerm(append(term.List{}, f.rt.GlobalNames()...))
}

func (f *procFace) globalSync(ctx context.Context, _ door.Request) door.Outcome {
	return outcome(nil, f.rt.SyncGlobal(ctx))
}

// called does one of the calls.
func (f *procFace) called(ctx context.Context, r door.Request, show func(proc.Result) door.Outcome) door.Outcome {
	to, err := r.Node(0)
	if err != nil {
		return door.FromError(err)
	}
	d, err := wait(r, 2, callTime)
	if err != nil {
		return door.FromError(err)
	}
	fn, args := function(r.Args[1])
	res, err := f.rt.Call(ctx, term.Pid{}, to, fn, args, d)
	if err != nil {
		return outcome(nil, err)
	}
	return show(res)
}

func (f *procFace) rpc(ctx context.Context, r door.Request) door.Outcome {
	return f.called(ctx, r, rpcOutcome)
}

func (f *procFace) erpc(ctx context.Context, r door.Request) door.Outcome {
	return f.called(ctx, r, erpcOutcome)
}

// rpcOutcome is what rpc:call answers.
func rpcOutcome(res proc.Result) door.Outcome {
	switch res.Kind {
	case proc.Returned, proc.Thrown:
		return door.OKTerm(res.Value)
	case proc.Lost:
		return reasonOutcome(door.BadRPC, "", term.Atom("nodedown"))
	case proc.TimedOut:
		return reasonOutcome(door.BadRPC, "", term.Atom("timeout"))
	}
	return reasonOutcome(door.BadRPC, "", term.T(term.Atom("EXIT"), res.Value))
}

// erpcOutcome is what erpc:call answers or raises.
func erpcOutcome(res proc.Result) door.Outcome {
	switch res.Kind {
	case proc.Thrown:
		return reasonOutcome(door.Raised, "throw", res.Value)
	case proc.Exited:
		return reasonOutcome(door.Raised, "exit", term.T(term.Atom("exception"), res.Value))
	case proc.Failed:
		return reasonOutcome(door.Raised, "error", term.T(term.Atom("exception"), res.Value))
	case proc.Died:
		return reasonOutcome(door.Raised, "exit", term.T(term.Atom("signal"), res.Value))
	case proc.Lost:
		return reasonOutcome(door.Raised, "error", term.T(term.Atom("erpc"), proc.NoConnection))
	case proc.TimedOut:
		return reasonOutcome(door.Raised, "error", term.T(term.Atom("erpc"), term.Atom("timeout")))
	}
	return door.OKTerm(res.Value)
}

func (f *procFace) cast(_ context.Context, r door.Request) door.Outcome {
	to, err := r.Node(0)
	if err != nil {
		return door.FromError(err)
	}
	fn, args := function(r.Args[1])
	return outcome(term.True, f.rt.Cast(term.Pid{}, to, fn, args))
}

// multicall answers, as rpc:multicall, what the nodes that could be called answered, and the nodes that could not or did
// not in time.
func (f *procFace) multicall(ctx context.Context, r door.Request) door.Outcome {
	list, ok := r.Args[0].(term.List)
	if !ok || len(list) > MaxPeers {
		return door.FromError(&kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: errors.New("argument 1 must be a list of nodes")})
	}
	var nodes []kit.NodeName
	for _, t := range list {
		name, _ := t.(term.Atom)
		nodes = append(nodes, kit.NodeName(name))
	}
	d, err := wait(r, 2, callTime)
	if err != nil {
		return door.FromError(err)
	}
	fn, args := function(r.Args[1])
	all, err := f.rt.Multicall(ctx, term.Pid{}, nodes, fn, args, d)
	if err != nil {
		return outcome(nil, err)
	}
	answer := struct {
		Results []json.RawMessage `json:"results"`
		Bad     []string          `json:"bad_nodes"`
	}{[]json.RawMessage{}, []string{}}
	for _, res := range all {
		if res.Kind == proc.Lost || res.Kind == proc.TimedOut {
			answer.Bad = append(answer.Bad, string(res.Node))
			continue
		}
		raw, err := json.Marshal(rpcOutcome(res))
		if res.Kind == proc.Returned || res.Kind == proc.Thrown {
			raw, err = term.ToJSON(res.Value)
		}
		if err != nil {
			return door.FromError(err)
		}
		answer.Results = append(answer.Results, raw)
	}
	slices.Sort(answer.Bad)
	raw, err := json.Marshal(answer)
	if err != nil {
		return door.FromError(err)
	}
	return door.OKJSON(raw)
}
