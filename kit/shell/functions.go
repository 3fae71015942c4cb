package shell

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// function is one function of the language's own, besides those of nodes and stores.
type function struct {
	name, usage, doc, example string
	call                      builtin
}

// functions are all of them, in the order of the help.
var functions = slices.Concat(viewFunctions, faultFunctions, waitFunctions, valueFunctions, taskFunctions)

var faultFunctions = []function{
	{"cut", "x, y, [silent=False]", "Cuts the links between two nodes, or two lists of nodes, both ways. Loud by default: both sides know at once; silent: messages vanish.",
		"cut(a, [b, c])", cut},
	{"heal", "[x, y]", "Makes the links between two nodes whole again, or all links.", "heal()", heal},
	{"kill", "node", "Kills the node's process, as kill -9.", "kill(b)", nodeFault((*Session).killNode)},
	{"restart", "node", "Starts a killed node again, with the disc it had; its store is started by b.db.start().", "restart(b)", nodeFault((*Session).restartNode)},
	{"pause", "node", "Stops the node's process where it is (SIGSTOP): it answers nothing and its connections stay open.", "pause(b)", nodeFault((*Session).pauseNode)},
	{"resume", "node", "Lets a paused node go on.", "resume(b)", nodeFault((*Session).resumeNode)},
	{"slow", "x, y, delay", `Delays everything between two nodes, each way: "50ms", or a number of milliseconds; 0 ends it.`, `slow(a, b, "50ms")`, slow},
	{"loss", "x, y, share", "Loses this share of what is sent between two nodes; 0 ends it.", "loss(a, b, 0.3)", loss},
}

var waitFunctions = []function{
	{"await_event", "node, event, [timeout=5000]", "Waits for an event on a node and gives it: a system event of the store, or nodeup, nodedown, DOWN, EXIT in the mailbox of the session's own process. Events that came before and were not yet awaited count. It fails after so many milliseconds.",
		`await_event(a, "inconsistent_database")`, awaitEvent},
	{"await_up", "node, [on=], [timeout=5000]", "Waits until the node answers; with on, until that node is connected to it.", "await_up(b, on=a)", awaitUp},
	{"await_down", "node, [on=], [timeout=5000]", "Waits until all other nodes (or only the one given by on) have noticed that they lost it.", "await_down(b)", awaitDown},
	{"wait_until", "function, [timeout=5000]", "Calls the function again and again until it gives something true, and gives that.", "wait_until(lambda: len(a.nodes()) == 2)", waitUntil},
	{"sleep", "milliseconds", "Lets time pass.", "sleep(500)", sleepFor},
	{"now", "", "Milliseconds since the lab was started.", "now()", now},
	{"timed", "function, [n=1000]", "Calls the function n times and gives the microseconds that one call took on average.", `timed(lambda: a.db.dirty_read("person", "ada"), 1000)`, timed},
}

var valueFunctions = []function{
	{"atom", "name", `An atom: a name that is no text. Strings are text in data, and names where a table, an attribute or an option is meant.`, `atom("ok")`, makeAtom},
	{"record", "name, fields", "A record type: calling it makes records, .fields serves as attributes.", `person = record("person", ["name", "age"])`, makeRecordType},
	{"child", "id, function, arguments..., [restart=\"permanent\"], [shutdown=5000], [type=\"worker\"]", `The spec of a child, for a supervisor. restart: "permanent" always, "transient" unless it ended with normal or shutdown, "temporary" never; shutdown: milliseconds to end in when told to, "brutal_kill" or "infinity". With the function "supervisor" the options of a.supervisor follow.`,
		`child("c1", "counter", 40, restart="transient")`, makeChild},
	{"attempt", "function, arguments...", "Calls the function and gives a result with .ok and .value, or .error, .kind and .reason when it failed.", `attempt(lambda: a.db.dirty_read("nosuch", 1))`, attempt},
	{"check", "condition, [message]", "Fails with the message unless the condition is true.", `check(len(rows) == 3, "three rows")`, check},
	{"answer", "name, value", "Hands in a value that a task asks for.", `answer("ratio", 8.5)`, handIn},
	{"sum", "list, [start=0]", "Adds numbers.", "sum([1, 2, 3])", sum},
	{"round", "number, [digits=0]", "Rounds to so many digits.", "round(2.567, 1)", round},
}

// makeAtom is atom("x").
func makeAtom(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "name", &text); err != nil {
		return nil, err
	}
	s, err := tableName(text)
	if err != nil {
		return nil, fmt.Errorf("atom: %w", err)
	}
	return view{s: r.s}.value(term.Atom(s)), nil
}

func makeRecordType(_ *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var record string
	var fields *starlark.List
	if err := starlark.UnpackArgs(name, args, kwargs, "name", &record, "fields", &fields); err != nil {
		return nil, err
	}
	t := &recordType{name: record}
	for v := range fields.Elements() {
		field, err := tableName(v)
		if err != nil {
			return nil, fmt.Errorf("record: %s is no field name", v)
		}
		if slices.Contains(t.fields, field) {
			return nil, fmt.Errorf("record: the field %s is named twice", field)
		}
		t.fields = append(t.fields, field)
	}
	if len(t.fields) == 0 {
		return nil, errors.New("record: it needs at least one field")
	}
	return t, nil
}

func attempt(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) == 0 {
		return nil, errors.New("attempt: give it a function: attempt(lambda: ...)")
	}
	fn, ok := args[0].(starlark.Callable)
	if !ok {
		return nil, fmt.Errorf("attempt: %s is no function: write attempt(lambda: ...)", args[0].Type())
	}
	v, err := starlark.Call(r.th, fn, args[1:], kwargs)
	return r.attempted(v, err)
}

func check(_ *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var cond starlark.Value
	var msg starlark.Value = starlark.String("")
	if err := starlark.UnpackArgs(name, args, kwargs, "condition", &cond, "message?", &msg); err != nil {
		return nil, err
	}
	if cond.Truth() {
		return starlark.None, nil
	}
	text, ok := starlark.AsString(msg)
	if !ok {
		text = msg.String()
	}
	if text == "" {
		return nil, errors.New("check: the condition does not hold")
	}
	return nil, errors.New("check: " + text)
}

func handIn(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var key string
	var value starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "name", &key, "value", &value); err != nil {
		return nil, err
	}
	t, err := toTerm(value, asData)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if err := r.s.keepAnswer(key, t); err != nil {
		return nil, err
	}
	if r.s.opts.Answer != nil {
		err = r.blocking(func(context.Context) error { r.s.opts.Answer(key, t); return nil })
	}
	return starlark.None, err
}

func sum(_ *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var list starlark.Iterable
	var total starlark.Value = starlark.MakeInt(0)
	if err := starlark.UnpackArgs(name, args, kwargs, "list", &list, "start?", &total); err != nil {
		return nil, err
	}
	it := list.Iterate()
	defer it.Done()
	var v starlark.Value
	for it.Next(&v) {
		next, err := starlark.Binary(syntax.PLUS, total, v)
		if err != nil {
			return nil, fmt.Errorf("sum: %w", err)
		}
		total = next
	}
	return total, nil
}

func round(_ *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x starlark.Value
	digits := 0
	if err := starlark.UnpackArgs(name, args, kwargs, "number", &x, "digits?", &digits); err != nil {
		return nil, err
	}
	f, ok := starlark.AsFloat(x)
	if !ok || digits < 0 || digits > 15 {
		return nil, fmt.Errorf("round: it takes a number and 0 to 15 digits")
	}
	text := big.NewFloat(f).Text('f', digits)
	if digits == 0 {
		n, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return nil, fmt.Errorf("round: %v cannot be rounded", f)
		}
		return starlark.MakeBigInt(n), nil
	}
	var out float64
	if _, err := fmt.Sscan(text, &out); err != nil {
		return nil, fmt.Errorf("round: %w", err)
	}
	return starlark.Float(out), nil
}

// group reads a node or a list of nodes.
func (s *Session) group(v starlark.Value) ([]*Node, error) {
	items := []starlark.Value{v}
	switch list := v.(type) {
	case *starlark.List:
		items = slices.Collect(list.Elements())
	case starlark.Tuple:
		items = list
	}
	var nodes []*Node
	for _, item := range items {
		name, err := nodeName(item)
		if err != nil {
			return nil, err
		}
		n := s.node(name)
		if n == nil {
			return nil, &kit.Error{Op: "find node", What: name, Kind: kit.NotFound, Hint: "the nodes are " + s.nodeNames()}
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func (s *Session) nodeNames() string {
	names := make([]string, len(s.order))
	for i, n := range s.order {
		names[i] = string(n)
	}
	return strings.Join(names, ", ")
}

// links calls change with the rule of every link between two groups, both ways, and puts the new rules in force.
func (r *run) links(x, y starlark.Value, change func(*wire.Rule)) error {
	xs, err := r.s.group(x)
	if err != nil {
		return err
	}
	ys, err := r.s.group(y)
	if err != nil {
		return err
	}
	for _, p := range xs {
		for _, q := range ys {
			if p == q {
				return &kit.Error{Op: "cut", What: p.String(), Kind: kit.Invalid, Err: errors.New("a node has no link to itself")}
			}
			for _, link := range [][2]kit.NodeName{{p.name, q.name}, {q.name, p.name}} {
				if err := r.setLink(link, change); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ruler is a world that knows the rules in force, whoever set them.
type ruler interface {
	Rules() map[kit.NodeName]map[kit.NodeName]wire.Rule
}

func (r *run) setLink(link [2]kit.NodeName, change func(*wire.Rule)) error {
	rule := r.s.rules[link]
	if w, ok := r.s.w.(ruler); ok {
		rule = w.Rules()[link[0]][link[1]]
	}
	change(&rule)
	r.s.rules[link] = rule
	return r.blocking(func(context.Context) error { return r.s.w.Link(link[0], link[1], rule) })
}

func cut(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, y starlark.Value
	silent := false
	if err := starlark.UnpackArgs(name, args, kwargs, "x", &x, "y", &y, "silent?", &silent); err != nil {
		return nil, err
	}
	how := wire.Loud
	if silent {
		how = wire.Silent
	}
	return Atom("ok"), r.links(x, y, func(rule *wire.Rule) { rule.Cut = how })
}

func heal(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, y starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "x?", &x, "y?", &y); err != nil {
		return nil, err
	}
	whole := func(rule *wire.Rule) { *rule = wire.Rule{} }
	switch {
	case x != nil && y != nil:
		return Atom("ok"), r.links(x, y, whole)
	case x != nil:
		return nil, errors.New("heal: name two nodes, or none to heal all links")
	}
	for _, p := range r.s.order {
		for _, q := range r.s.order {
			if p == q {
				continue
			}
			if err := r.setLink([2]kit.NodeName{p, q}, whole); err != nil {
				return nil, err
			}
		}
	}
	return Atom("ok"), nil
}

func slow(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, y, delay starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "x", &x, "y", &y, "delay", &delay); err != nil {
		return nil, err
	}
	d, err := duration(delay)
	if err != nil {
		return nil, fmt.Errorf("slow: %w", err)
	}
	return Atom("ok"), r.links(x, y, func(rule *wire.Rule) { rule.Delay = d })
}

// maxDelay bounds slow and sleep: longer is a slip of the finger.
const maxDelay = time.Hour

func duration(v starlark.Value) (time.Duration, error) {
	var d time.Duration
	switch v := v.(type) {
	case starlark.String:
		parsed, err := time.ParseDuration(string(v))
		if err != nil {
			return 0, fmt.Errorf("%s is no duration: write \"50ms\", \"2s\", or milliseconds as a number", v)
		}
		d = parsed
	default:
		ms, ok := starlark.AsFloat(v)
		switch {
		case !ok:
			return 0, fmt.Errorf("%s is no duration: write \"50ms\", \"2s\", or milliseconds as a number", v)
		case !(ms >= 0 && ms <= float64(maxDelay.Milliseconds())): // NaN is neither
			return 0, fmt.Errorf("%s milliseconds are not between 0 and %v", v, maxDelay)
		}
		d = time.Duration(ms * float64(time.Millisecond))
	}
	if d < 0 || d > maxDelay {
		return 0, fmt.Errorf("%v is not between 0 and %v", d, maxDelay)
	}
	return d, nil
}

func loss(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, y starlark.Value
	var share starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "x", &x, "y", &y, "share", &share); err != nil {
		return nil, err
	}
	p, ok := starlark.AsFloat(share)
	if !ok || p < 0 || p > 1 {
		return nil, fmt.Errorf("loss: the share is between 0 and 1, not %s", share)
	}
	return Atom("ok"), r.links(x, y, func(rule *wire.Rule) { rule.Loss = p })
}

func (s *Session) killNode(n kit.NodeName) error { return s.w.Kill(n) }
func (s *Session) restartNode(n kit.NodeName) error {
	return s.w.Restart(n)
}
func (s *Session) pauseNode(n kit.NodeName) error  { return s.w.Pause(n) }
func (s *Session) resumeNode(n kit.NodeName) error { return s.w.Resume(n) }

// nodeFault makes a function of one node, or a list of them, from a fault of the world.
func nodeFault(fault func(*Session, kit.NodeName) error) builtin {
	return func(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var x starlark.Value
		if err := starlark.UnpackArgs(name, args, kwargs, "node", &x); err != nil {
			return nil, err
		}
		nodes, err := r.s.group(x)
		if err != nil {
			return nil, err
		}
		for _, n := range nodes {
			clear(r.s.tables)
			if err := r.blocking(func(context.Context) error { return fault(r.s, n.name) }); err != nil {
				return nil, err
			}
		}
		return Atom("ok"), nil
	}
}

func sleepFor(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "milliseconds", &v); err != nil {
		return nil, err
	}
	d, err := duration(v)
	if err != nil {
		return nil, fmt.Errorf("sleep: %w", err)
	}
	return starlark.None, r.sleep(d)
}

func now(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	return starlark.MakeInt64(r.s.w.Now().Milliseconds()), nil
}

// maxTimed bounds the calls of one timed().
const maxTimed = 1_000_000

func timed(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fn starlark.Callable
	n := 1000
	if err := starlark.UnpackArgs(name, args, kwargs, "function", &fn, "n?", &n); err != nil {
		return nil, err
	}
	if n < 1 || n > maxTimed {
		return nil, fmt.Errorf("timed: n is between 1 and %d", maxTimed)
	}
	began := r.s.w.Now()
	for range n {
		if _, err := starlark.Call(r.th, fn, nil, nil); err != nil {
			return nil, err
		}
	}
	took := r.s.w.Now() - began
	return starlark.Float(float64(took.Nanoseconds()/int64(n)) / 1000), nil
}

func waitUntil(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fn starlark.Callable
	timeout := 5000
	if err := starlark.UnpackArgs(name, args, kwargs, "function", &fn, "timeout?", &timeout); err != nil {
		return nil, err
	}
	var last starlark.Value = starlark.None
	ok, err := r.pollUntil(millis(timeout), func() (bool, error) {
		v, err := starlark.Call(r.th, fn, nil, nil)
		if err != nil {
			return false, err
		}
		last = v
		return bool(v.Truth()), nil
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("wait_until: not within %d ms; the last value was %s", timeout, cutText(last.String(), 200))
	}
	return last, nil
}

// connected asks a node which others it is connected to; ok is false when it does not answer.
func (r *run) connected(n *Node) (names []string, ok bool, err error) {
	out, err := r.call(n.name, door.Request{Client: r.client, Verb: "nodes"})
	if err != nil || out.Status != door.OK {
		return nil, false, err
	}
	t, err := out.Term()
	if err != nil {
		return nil, false, nil
	}
	list, _ := t.(term.List)
	for _, x := range list {
		if a, isAtom := x.(term.Atom); isAtom {
			names = append(names, string(a))
		}
	}
	return names, true, nil
}

// awaitArgs are the arguments that await_up and await_down share.
func (r *run) awaitArgs(name string, args starlark.Tuple, kwargs []starlark.Tuple) (n *Node, on []*Node, timeout time.Duration, err error) {
	var x starlark.Value
	var seenBy starlark.Value = starlark.None
	ms := 5000
	if err = starlark.UnpackArgs(name, args, kwargs, "node", &x, "on?", &seenBy, "timeout?", &ms); err != nil {
		return nil, nil, 0, err
	}
	nodes, err := r.s.group(x)
	if err != nil {
		return nil, nil, 0, err
	}
	if len(nodes) != 1 {
		return nil, nil, 0, fmt.Errorf("%s: it takes one node", name)
	}
	if seenBy != starlark.None {
		on, err = r.s.group(seenBy)
	}
	return nodes[0], on, millis(ms), err
}

func awaitUp(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n, on, timeout, err := r.awaitArgs(name, args, kwargs)
	if err != nil {
		return nil, err
	}
	ok, err := r.pollUntil(timeout, func() (bool, error) {
		if _, up, err := r.connected(n); !up || err != nil {
			return false, err
		}
		for _, other := range on {
			seen, up, err := r.connected(other)
			if err != nil || !up || !slices.Contains(seen, string(n.name)) {
				return false, err
			}
		}
		return true, nil
	})
	return verdict(ok, err, "await_up: %s is not up after %v", n, timeout)
}

func awaitDown(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n, on, timeout, err := r.awaitArgs(name, args, kwargs)
	if err != nil {
		return nil, err
	}
	all := on == nil
	if all {
		for _, other := range r.s.order {
			if other != n.name {
				on = append(on, r.s.nodes[string(other)])
			}
		}
	}
	ok, err := r.pollUntil(timeout, func() (bool, error) {
		for _, other := range on {
			seen, up, err := r.connected(other)
			if err != nil {
				return false, err
			}
			if !up && !all || up && slices.Contains(seen, string(n.name)) {
				return false, nil
			}
		}
		return true, nil
	})
	return verdict(ok, err, "await_down: %s is still connected after %v", n, timeout)
}

func verdict(ok bool, err error, format string, args ...any) (starlark.Value, error) {
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &kit.Error{Kind: kit.Unavailable, Err: fmt.Errorf(format, args...)}
	}
	return Atom("ok"), nil
}
