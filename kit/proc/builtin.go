package proc

import (
	"time"

	"netsplit/kit/term"
)

// attendedName is the function of a process that runs none: requests at the node's door act in its name.
const attendedName = "attended"

// attended are the functions whose processes get no goroutine.
var attended = map[string]bool{attendedName: true}

// builtins are the functions that every node has. Those that begin with $ are for calls between runtimes.
var builtins = map[string]Func{
	attendedName:   nobody,
	"node":         func(p *Process, _ []term.Term) (term.Term, error) { return term.Atom(p.Node()), nil },
	"add":          add,
	"sleep":        sleep,
	"mirror":       mirror,
	"crash":        func(*Process, []term.Term) (term.Term, error) { return nil, Error(term.Atom("boom")) },
	"exit":         func(*Process, []term.Term) (term.Term, error) { return nil, Exit(term.Atom("bye")) },
	"throw":        func(*Process, []term.Term) (term.Term, error) { return nil, Throw(term.Atom("ball")) },
	"kill":         killSelf,
	"echo":         echo,
	"counter":      counter,
	"hello":        hello,
	"is_alive":     isAlive,
	"process_info": processInfo,
	registerFunc:   globalRegister,
	superName:      runSupervisor,
	superviseFunc:  supervise,
	distFunc:       runDist,
}

func nobody(*Process, []term.Term) (term.Term, error) { return nil, nil }

// add gives the sum of two integers.
func add(_ *Process, args []term.Term) (term.Term, error) {
	if len(args) != 2 {
		return nil, Error(Undef)
	}
	a, ok1 := term.BigInt(args[0])
	b, ok2 := term.BigInt(args[1])
	if !ok1 || !ok2 {
		return nil, Error(term.Atom("badarith"))
	}
	return term.Integer(a.Add(a, b)), nil
}

// sleep waits for so many milliseconds and answers slept.
func sleep(p *Process, args []term.Term) (term.Term, error) {
	if len(args) != 1 {
		return nil, Error(Undef)
	}
	ms, ok := args[0].(term.Int)
	if !ok || ms < 0 || ms > 24*3600*1000 {
		return nil, badarg()
	}
	p.Receive(time.Duration(ms)*time.Millisecond, func(term.Term) bool { return false })
	return term.Atom("slept"), nil
}

// mirror answers {Node, Value}.
func mirror(p *Process, args []term.Term) (term.Term, error) {
	if len(args) != 1 {
		return nil, Error(Undef)
	}
	return term.T(term.Atom(p.Node()), args[0]), nil
}

func killSelf(p *Process, _ []term.Term) (term.Term, error) {
	p.SendExit(p.Self(), Kill)
	return nil, nil
}

// hello writes a line and ends.
func hello(p *Process, args []term.Term) (term.Term, error) {
	p.Printf("hello from %s", p.Node())
	for _, a := range args {
		p.Printf("%s", term.String(a))
	}
	return nil, nil
}

// echo answers every message {From, Value} with {echo, Value}, until it gets stop.
func echo(p *Process, _ []term.Term) (term.Term, error) {
	for {
		msg, _ := p.Receive(Forever, nil)
		if term.Word(msg) == "stop" {
			return nil, nil
		}
		if t, ok := msg.(term.Tuple); ok && len(t) == 2 {
			if from, ok := t[0].(term.Pid); ok {
				if err := p.Send(from, term.T(term.Atom("echo"), t[1])); err != nil {
					return nil, err
				}
			}
		}
	}
}

// counter holds a number, 0 or what it was given: increment and {add, N} change it, {get, From} is answered with {count, N}, stop
// ends it, {crash, Reason} fails. Anything else is written out and dropped.
func counter(p *Process, args []term.Term) (term.Term, error) {
	var n term.Term = term.Int(0)
	if len(args) > 0 {
		n = args[0]
	}
	for {
		msg, _ := p.Receive(Forever, nil)
		var err error
		switch t, _ := msg.(term.Tuple); {
		case term.Word(msg) == "increment":
			n, err = add(p, []term.Term{n, term.Int(1)})
		case term.Word(msg) == "stop":
			return n, nil
		case len(t) == 2 && term.Word(t[0]) == "add":
			n, err = add(p, []term.Term{n, t[1]})
		case len(t) == 2 && term.Word(t[0]) == "crash":
			err = Error(t[1])
		case len(t) == 2 && term.Word(t[0]) == "get":
			if err = p.Send(t[1], term.T(term.Atom("count"), n)); err != nil {
				p.Printf("counter: nobody to tell: %s", term.String(t[1]))
				err = nil
			}
		default:
			p.Printf("counter: does not know %s", term.String(msg))
		}
		if err != nil {
			return nil, err
		}
	}
}

// processInfo answers what is known of a process of this node, as a map; undefined when it is gone.
func processInfo(p *Process, args []term.Term) (term.Term, error) {
	if len(args) != 1 {
		return nil, Error(Undef)
	}
	pid, ok := args[0].(term.Pid)
	if !ok || pid.Node != string(p.Node()) {
		return nil, badarg()
	}
	if i, ok := p.rt.Info(pid.ID); ok {
		return i.Term(), nil
	}
	return term.Undefined, nil
}

// Term gives the information as a map.
func (i Info) Term() term.Term {
	pair := func(k string, v term.Term) term.Pair { return term.Pair{Key: term.Atom(k), Value: v} }
	pids := func(list []term.Pid) term.List {
		l := term.List{}
		for _, p := range list {
			l = append(l, p)
		}
		return l
	}
	name := term.Atom("undefined")
	if i.Name != "" {
		name = term.Atom(i.Name)
	}
	return term.MakeMap(pair("pid", i.Pid), pair("function", term.Atom(i.Function)), pair("arity", term.Int(i.Arity)), pair("name", name),
		pair("global_names", append(term.List{}, i.Globals...)), pair("parent", i.Parent), pair("group_leader", i.Leader),
		pair("trap_exit", term.Bool(i.Trap)), pair("message_queue_len", term.Int(i.Waiting)), pair("received", term.Int(i.Received)),
		pair("links", pids(i.Links)), pair("monitors", append(term.List{}, i.Monitors...)), pair("monitored_by", pids(i.Watchers)))
}

// isAlive answers whether a process of this node lives.
func isAlive(p *Process, args []term.Term) (term.Term, error) {
	if len(args) != 1 {
		return nil, Error(Undef)
	}
	pid, ok := args[0].(term.Pid)
	if !ok || pid.Node != string(p.Node()) {
		return nil, badarg()
	}
	return term.Bool(p.rt.Alive(pid)), nil
}
