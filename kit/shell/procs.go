package shell

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// How an argument of a process function becomes a term.
type procArg int

const (
	argWho    procArg = iota // a node
	argWord                  // a name or reason: strings are atoms
	argAny                   // data: strings are text
	argTarget                // a pid, a name, or (name, node)
	argMillis                // milliseconds
)

// procFunction is one function of a node's processes: a request at its door, or an operation that the session's own
// process at that node does there (op).
type procFunction struct {
	name, usage, doc, example string
	verb, op                  string
	args                      []procArg
	least                     int
	names                     bool // atoms of the answer are names
}

var procFunctions = []procFunction{
	{"functions", "", "The functions that processes of this node can run, by name.", "a.functions()", "functions", "", nil, 0, true},
	{"is_alive", "pid", "Whether a process anywhere lives.", "a.is_alive(p)", "is_alive", "", []procArg{argAny}, 1, false},
	{"self", "", "The session's own process on this node: it sends, watches and receives for you.", "a.self()", "proc", "self", nil, 0, false},
	{"send", "to, message", "Sends a message to a pid, a local name or (name, node). Whether it arrives nobody tells.", `a.send(p, "hello")`, "proc", "send", []procArg{argTarget, argAny}, 2, false},
	{"monitor", "pid", "Watches a process: a.flush() shows DOWN with the reason when it ends or its node is lost.", "a.monitor(p)", "proc", "monitor", []procArg{argAny}, 1, false},
	{"monitor_name", "name, node", "Watches whoever has a name at a node.", `a.monitor_name("counter", b)`, "proc", "monitor_name", []procArg{argWord, argWho}, 2, false},
	{"demonitor", "pid", "Watches no longer.", "a.demonitor(p)", "proc", "demonitor", []procArg{argAny}, 1, false},
	{"link", "pid", "Links the session's own process to another: what ends one ends the other, unless it traps exits.", "a.link(p)", "proc", "link", []procArg{argAny}, 1, false},
	{"unlink", "pid", "Takes a link away.", "a.unlink(p)", "proc", "unlink", []procArg{argAny}, 1, false},
	{"trap_exit", "true or false", "Makes exit signals messages.", "a.trap_exit(True)", "proc", "trap_exit", []procArg{argAny}, 1, false},
	{"exit", "pid, reason", "Sends an exit signal: \"kill\" cannot be refused, \"normal\" does nothing to most.", `a.exit(p, "kill")`, "proc", "exit_signal", []procArg{argAny, argWord}, 2, false},
	{"register", "name, pid", "Gives a process of this node a local name.", `a.register("counter", p)`, "register", "", []procArg{argWord, argAny}, 2, false},
	{"unregister", "name", "Takes a local name away.", `a.unregister("counter")`, "unregister", "", []procArg{argWord}, 1, false},
	{"whereis", "name", "The process of this node that has a local name, or None.", `a.whereis("counter")`, "whereis", "", []procArg{argWord}, 1, false},
	{"registered", "", "The local names.", "a.registered()", "registered", "", nil, 0, true},
	{"global_register", "name, pid, [resolver]", "Gives a process a name in all connected nodes: \"yes\" or \"no\". resolver settles a clash after a cut: random_exit (the default: the process on the later node is killed), random_notify, notify_all.", `a.global_register("boss", p)`, "global_register", "", []procArg{argWord, argAny, argWord}, 2, true},
	{"global_re_register", "name, pid, [resolver]", "The same, taking the name from whoever has it.", `a.global_re_register("boss", p)`, "global_re_register", "", []procArg{argWord, argAny, argWord}, 2, true},
	{"global_unregister", "name", "Takes a global name away.", `a.global_unregister("boss")`, "global_unregister", "", []procArg{argWord}, 1, false},
	{"global_whereis", "name", "The process that has a global name, as this node knows it, or None.", `b.global_whereis("boss")`, "global_whereis", "", []procArg{argWord}, 1, false},
	{"global_names", "", "The global names that this node knows.", "a.global_names()", "global_names", "", nil, 0, true},
	{"global_send", "name, message", "Sends to whoever has a global name, and gives its pid.", `a.global_send("boss", "hello")`, "proc", "global_send", []procArg{argWord, argAny}, 2, false},
	{"global_sync", "", "Waits until this node knows the names of all that it is connected to and clashes are settled.", "a.global_sync()", "global_sync", "", nil, 0, false},
}

// callFunctions run functions of processes; their last arguments are the function's.
var callFunctions = []nodeFunction{
	{"spawn", "node, function, arguments...", "Starts a process of a named function at a node and gives its pid. What it writes is shown here.", `p = a.spawn("b", "counter")`, (*Node).spawn},
	{"rpc", "node, function, arguments..., [timeout=15000]", "Calls a function at a node and gives its answer (rpc:call). It fails with badrpc nodedown, timeout or EXIT.", `a.rpc("b", "add", 1, 2)`, (*Node).callFunction},
	{"erpc", "node, function, arguments..., [timeout=15000]", "As rpc, but fails with what the function raised (erpc:call).", `a.erpc("b", "node")`, (*Node).callFunction},
	{"cast", "node, function, arguments...", "Begins a function at a node and does not wait.", `a.cast("b", "hello")`, (*Node).callFunction},
	{"multicall", "nodes, function, arguments..., [timeout=15000]", "Calls a function at several nodes at once: .results, and .bad_nodes that did not answer.", `a.multicall([a, b, c], "node")`, (*Node).callFunction},
	{"monitor_nodes", "true or false, [reason=False]", "Subscribes to nodeup and nodedown, which a.flush() shows and await_event waits for; with reason, a nodedown's .info tells why.", "a.monitor_nodes(True)", (*Node).monitorNodes},
	{"receive", "[count=1], [timeout=5000]", "Waits for so many messages of the session's own process and takes them, the oldest first.", "a.receive(3)", (*Node).receive},
	{"await_message", "kind, [about], [timeout=5000]", "Waits for a message to the session's own process, takes it and leaves the others: the first that is kind or begins with it, and has about in it. It fails after so many milliseconds.",
		`a.await_message("DOWN", p).reason`, (*Node).awaitOne},
	{"flush", "[wait=100]", "Takes the messages of the session's own process, until so many milliseconds nothing more has come.", "a.flush()", (*Node).flush},
	{"processes", "", "What runs on this node, with function, name, messages waiting, links: those with the most messages waiting first. At most 20000 are listed.", "[p[\"pid\"] for p in a.processes()]", (*Node).processes},
	{"process_info", "pid", "What is known of a process anywhere; None when it is gone.", "a.process_info(p)", (*Node).processInfo},
	{"await_output", "text, [timeout=5000]", "Waits until a process has written a line with the text in it to this node, and gives the line with its .pid and .text. Lines before it are passed over. It fails after so many milliseconds.",
		`a.await_output("hello")`, (*Node).awaitOutput},
	{"output", "[wait=0]", "Shows what processes wrote to this node since it was last shown.", "a.output()", (*Node).showOutput},
}

// processFunctions are all of them, as functions of a node.
func processFunctions() []nodeFunction {
	list := slices.Concat(callFunctions, superFunctions)
	for i := range procFunctions {
		f := &procFunctions[i]
		list = append(list, nodeFunction{f.name, f.usage, f.doc, f.example, f.call})
	}
	return list
}

// call does one of them.
func (f *procFunction) call(n *Node, r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(kwargs) > 0 || len(args) < f.least || len(args) > len(f.args) {
		return nil, fmt.Errorf("%s: usage: %s(%s)", name, name, f.usage)
	}
	terms := make([]term.Term, 0, len(args)+1)
	for i, v := range args {
		t, err := f.args[i].term(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		terms = append(terms, t)
	}
	if f.op != "" {
		terms = []term.Term{term.Atom("self"), append(term.List{term.Atom(f.op)}, terms...)}
	}
	return n.ask(r, name, f.verb, f.names, terms)
}

func (k procArg) term(v starlark.Value) (term.Term, error) {
	switch k {
	case argWho:
		name, err := nodeName(v)
		return term.Atom(name), err
	case argWord:
		return toTerm(v, asName)
	case argTarget:
		return toTerm(v, asName)
	case argMillis:
		if ms, ok := v.(starlark.Int); !ok || ms.Sign() < 0 {
			return nil, fmt.Errorf("%s is no number of milliseconds", v)
		}
	}
	return toTerm(v, asData)
}

// ask does one request of processes; the error tells the function as it is called here. What processes wrote meanwhile is
// shown first.
func (n *Node) ask(r *run, what, verb string, names bool, args []term.Term) (starlark.Value, error) {
	if err := n.beginOutput(r); err != nil {
		return nil, err
	}
	out, err := r.call(n.name, door.Request{Client: r.client, Verb: verb, Args: args})
	if err != nil {
		return nil, err
	}
	if out.Status == door.OK {
		return view{s: n.s, names: names, keys: true}.decode(out.Value, 0)
	}
	if out.Status == door.Dead {
		return nil, fmt.Errorf("%s: the process has ended", what)
	}
	return nil, &outcomeError{out: out, s: n.s, node: n.String(), what: what}
}

// spawned is how long a.spawn waits for a first line of output, so that a process that writes at once is seen to.
const spawnedWait = 100 * time.Millisecond

func (n *Node) spawn(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) < 2 || len(kwargs) > 0 {
		return nil, errors.New(`spawn: give a node, the name of a function, and its arguments: a.spawn("b", "counter")`)
	}
	terms, err := functionArgs(name, args)
	if err != nil {
		return nil, err
	}
	v, err := n.ask(r, name, "spawn", false, []term.Term{terms[0], terms[1], append(term.List{}, terms[2:]...)})
	if err != nil {
		return nil, err
	}
	return v, n.fetchOutput(r, spawnedWait)
}

// functionArgs reads node, function and the function's arguments.
func functionArgs(name string, args starlark.Tuple) ([]term.Term, error) {
	terms := make([]term.Term, len(args))
	for i, v := range args {
		rule := argAny
		switch i {
		case 0:
			rule = argWho
		case 1:
			rule = argWord
		}
		if _, several := v.(starlark.Iterable); i == 0 && several {
			list, err := asList(v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			terms[0] = list
			continue
		}
		var err error
		if terms[i], err = rule.term(v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return terms, nil
}

// callFunction is rpc, erpc, cast and multicall.
func (n *Node) callFunction(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	timeout, rest, timed := takeKeyword(kwargs, "timeout")
	if len(args) < 2 || len(rest) > 0 || timed && name == "cast" {
		return nil, fmt.Errorf("%s: give where to call, the name of a function, and its arguments", name)
	}
	terms, err := functionArgs(name, args)
	if err != nil {
		return nil, err
	}
	list, several := terms[0].(term.List)
	if several != (name == "multicall") {
		if name != "multicall" {
			return nil, fmt.Errorf("%s: it takes one node; multicall takes a list", name)
		}
		list = term.List{terms[0]}
	}
	if name == "multicall" {
		terms[0] = list
	}
	req := []term.Term{terms[0], append(term.List{terms[1]}, terms[2:]...)}
	if timed {
		ms, err := argMillis.term(timeout)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		req = append(req, ms)
	}
	v, err := n.ask(r, name, name, false, req)
	if err != nil {
		return nil, err
	}
	return v, n.fetchOutput(r, 0)
}

func (n *Node) showOutput(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	wait := 0
	if err := starlark.UnpackArgs(name, args, kwargs, "wait?", &wait); err != nil {
		return nil, err
	}
	return starlark.None, n.fetchOutput(r, time.Duration(wait)*time.Millisecond)
}

// beginOutput notes, the first time, where the output of a node stands: what was written before is not shown.
func (n *Node) beginOutput(r *run) error {
	if _, known := n.s.outputs[n.name]; known {
		return n.fetchOutput(r, 0)
	}
	last, _, err := n.outputSince(r, int64(^uint64(0)>>1), 0)
	if err == nil {
		n.s.outputs[n.name], n.s.awaited[n.name] = last, last
	}
	return err
}

// awaitOutput waits for a line that nobody has awaited yet.
func (n *Node) awaitOutput(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text string
	timeout := 5000
	if err := starlark.UnpackArgs(name, args, kwargs, "text", &text, "timeout?", &timeout); err != nil {
		return nil, err
	}
	if err := n.beginOutput(r); err != nil {
		return nil, err
	}
	var found starlark.Value
	ok, err := r.pollUntil(millis(timeout), func() (bool, error) {
		last, lines, err := n.outputSince(r, n.s.awaited[n.name], 0)
		if err == nil && last < n.s.awaited[n.name] { // the node has been started again, and counts anew
			n.s.awaited[n.name] = 0
			last, lines, err = n.outputSince(r, 0, 0)
		}
		if err != nil {
			return false, err
		}
		for i, l := range lines {
			if pid, line, ok := outputLine(l); ok && strings.Contains(line, text) {
				n.s.awaited[n.name] = last - int64(len(lines)-1-i)
				found = newFields("line", "pid", Pid{pid}, "text", starlark.String(line))
				return true, nil
			}
		}
		n.s.awaited[n.name] = last
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%s: nothing with %q was written to %s within %d ms", name, text, n, timeout)
	}
	return found, n.fetchOutput(r, 0)
}

// outputLine takes apart one line of output.
func outputLine(t term.Term) (pid term.Pid, text string, ok bool) {
	line, is := t.(term.Tuple)
	if !is || len(line) != 2 {
		return pid, "", false
	}
	pid, ok1 := line[0].(term.Pid)
	b, ok2 := line[1].(term.Bin)
	return pid, string(b), ok1 && ok2
}

// fetchOutput prints what processes wrote to a node since it was last shown.
func (n *Node) fetchOutput(r *run, wait time.Duration) error {
	after := n.s.outputs[n.name]
	last, lines, err := n.outputSince(r, after, wait)
	if err == nil && last < after { // the node has been started again, and counts anew
		last, lines, err = n.outputSince(r, 0, 0)
	}
	if err != nil {
		return err
	}
	n.s.outputs[n.name] = last
	for _, l := range lines {
		if pid, text, ok := outputLine(l); ok {
			r.print(r.th, fmt.Sprintf("%s %s", Pid{pid}, text))
		}
	}
	return nil
}

func (n *Node) outputSince(r *run, after int64, wait time.Duration) (int64, term.List, error) {
	out, err := r.call(n.name, door.Request{Client: r.client, Verb: "output", Args: []term.Term{term.Int(after), term.Int(wait.Milliseconds())}})
	if err != nil {
		return 0, nil, err
	}
	if out.Status != door.OK {
		return 0, nil, &outcomeError{out: out, s: n.s, node: n.String(), what: "output"}
	}
	t, err := out.Term()
	m, ok := t.(term.Map)
	if err != nil || !ok {
		return 0, nil, &kit.Error{Op: "read the output of", What: n.String(), Kind: kit.Corrupt, Err: err}
	}
	last, _ := m.Opt("last").(term.Int)
	lines, _ := m.Opt("lines").(term.List)
	return int64(last), lines, nil
}
