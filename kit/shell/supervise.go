package shell

import (
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"netsplit/kit/term"
)

// superFunctions start supervisors and ask them. Their names and answers are those of Erlang's supervisor.
var superFunctions = []nodeFunction{
	{"supervisor", "[strategy=\"one_for_one\"], [children=[]], [max_restarts=1], [max_seconds=5]", "Starts a supervisor of processes on this node and gives its pid. strategy: one_for_one restarts the child that ended, rest_for_one also those started after it, one_for_all all. With more than max_restarts in max_seconds all children are stopped and the supervisor ends with the reason shutdown.",
		`sup = a.supervisor(children=[child("c1", "counter"), child("c2", "counter", 40)])`, (*Node).startSupervisor},
	{"start_child", "supervisor, child", "Adds a child and gives its pid. It fails with already_started or already_present when the supervisor knows the id.", `a.start_child(sup, child("c3", "counter"))`, (*Node).startChild},
	{"terminate_child", "supervisor, id", "Stops a child; its spec stays, unless it is temporary.", `a.terminate_child(sup, "c1")`, (*Node).childVerb},
	{"restart_child", "supervisor, id", "Starts a child that is stopped, and gives its pid.", `a.restart_child(sup, "c1")`, (*Node).childVerb},
	{"delete_child", "supervisor, id", "Forgets a child that is stopped.", `a.delete_child(sup, "c1")`, (*Node).childVerb},
	{"which_children", "supervisor", "The children, the last started first: (id, pid, type, [function]). The pid of one that is stopped is None, of one that could not be restarted yet \"restarting\".", "a.which_children(sup)", (*Node).superVerb},
	{"count_children", "supervisor", "How many children there are: specs, active, supervisors, workers.", "dict(a.count_children(sup))", (*Node).superVerb},
	{"dist_supervisor", "name, members=, [quorum=False], [max_restarts=1], [max_seconds=5]", "Starts a distributed supervisor: a process of this name on each member, and children spread over them. Ask any of them by the name, at its node. A child goes to the member with the fewest; when a node is lost its children are restarted on the others. In a split each part does so: the same child lives twice, and after the heal only the one that was moved least stays. With quorum=True a part without the majority of the members stops its children, and none lives twice. See help(\"supervisors\").",
		`a.dist_supervisor("workers", members=[a, b, c])`, (*Node).startDist},
	{"members", "supervisor", "The members of a distributed supervisor, as this one sees them: (node, \"up\", children); \"down\", or \"no_quorum\" for itself without the majority.", `a.members("workers")`, (*Node).superVerb},
	{"rebalance", "supervisor", "Moves children of a distributed supervisor until no member has two more than another, and gives how many move. They begin anew.", `a.rebalance("workers")`, (*Node).superVerb},
	{"stop_supervisor", "supervisor", "Stops a supervisor, and its children in the reverse order of their start; a distributed one on all members that are connected.", "a.stop_supervisor(sup)", (*Node).superVerb},
}

// childSpec is what child(...) gives: the spec of a child.
type childSpec struct{ spec term.Map }

func (c childSpec) String() string        { return term.String(c.spec) }
func (c childSpec) Type() string          { return "child" }
func (c childSpec) Freeze()               {}
func (c childSpec) Truth() starlark.Bool  { return true }
func (c childSpec) Hash() (uint32, error) { return Atom(c.String()).Hash() }

// makeChild is child(id, function, arguments..., restart=, shutdown=, type=). A child that is a supervisor takes the
// keywords of a.supervisor instead of arguments.
func makeChild(_ *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) < 2 {
		return nil, errors.New(`child: give an id, the name of a function, and its arguments: child("c1", "counter", 40)`)
	}
	id, err := toTerm(args[0], asName)
	if err != nil {
		return nil, fmt.Errorf("child: %w", err)
	}
	fn, err := tableName(args[1])
	if err != nil {
		return nil, fmt.Errorf("child: %s is no name of a function", args[1])
	}
	list := term.List{}
	for _, v := range args[2:] {
		t, err := toTerm(v, asData)
		if err != nil {
			return nil, fmt.Errorf("child: %w", err)
		}
		list = append(list, t)
	}
	pairs := []term.Pair{{Key: term.Atom("id"), Value: id}, {Key: term.Atom("function"), Value: term.Atom(fn)}}
	nested := kwargs[:0:0]
	for _, kw := range kwargs {
		key := string(kw[0].(starlark.String))
		if key != "restart" && key != "shutdown" && key != "type" {
			nested = append(nested, kw)
			continue
		}
		v, err := toTerm(kw[1], asName)
		if err != nil {
			return nil, fmt.Errorf("child: %s: %w", key, err)
		}
		pairs = append(pairs, term.Pair{Key: term.Atom(key), Value: v})
	}
	if fn == "supervisor" && len(list) == 0 {
		opts, err := superOptions(name, nested)
		if err != nil {
			return nil, err
		}
		list, nested = term.List{opts}, nil
		pairs = append([]term.Pair{{Key: term.Atom("type"), Value: term.Atom("supervisor")}}, pairs...)
	}
	if len(nested) > 0 {
		return nil, fmt.Errorf("child: unexpected keyword argument %s", nested[0][0])
	}
	return childSpec{term.MakeMap(append(pairs, term.Pair{Key: term.Atom("args"), Value: list})...)}, nil
}

// superOptions reads the keywords of a supervisor.
func superOptions(name string, kwargs []starlark.Tuple) (term.Term, error) {
	var pairs []term.Pair
	for _, kw := range kwargs {
		key := string(kw[0].(starlark.String))
		var v term.Term
		var err error
		switch key {
		case "children":
			v, err = childList(kw[1])
		case "strategy", "max_restarts", "max_seconds":
			v, err = toTerm(kw[1], asName)
		default:
			err = errors.New("no such option; there are strategy, children, max_restarts and max_seconds")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, key, err)
		}
		pairs = append(pairs, term.Pair{Key: term.Atom(key), Value: v})
	}
	return term.MakeMap(pairs...), nil
}

func childList(v starlark.Value) (term.Term, error) {
	it, ok := v.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("a %s is no list of children", v.Type())
	}
	list := term.List{}
	for elem := range starlark.Elements(it) {
		c, ok := elem.(childSpec)
		if !ok {
			return nil, fmt.Errorf(`%s is no child: write child("c1", "counter")`, cutText(elem.String(), 100))
		}
		list = append(list, c.spec)
	}
	return list, nil
}

func (n *Node) startSupervisor(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		return nil, errors.New(`supervisor: name its options: a.supervisor(strategy="one_for_all", children=[child("c1", "counter")])`)
	}
	opts, err := superOptions(name, kwargs)
	if err != nil {
		return nil, err
	}
	v, err := n.ask(r, name, name, false, []term.Term{opts})
	if err != nil {
		return nil, err
	}
	return v, n.fetchOutput(r, 0)
}

func (n *Node) startDist(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var label, members starlark.Value
	var restarts, seconds starlark.Value = starlark.None, starlark.None
	quorum := false
	if err := starlark.UnpackArgs(name, args, kwargs, "name", &label, "members", &members, "quorum?", &quorum, "max_restarts?", &restarts, "max_seconds?", &seconds); err != nil {
		return nil, err
	}
	what, err := argWord.term(label)
	if err != nil {
		return nil, fmt.Errorf("dist_supervisor: %w", err)
	}
	nodes, err := nodeList(members)
	if err != nil {
		return nil, fmt.Errorf("dist_supervisor: members: %w", err)
	}
	pairs := []term.Pair{{Key: term.Atom("name"), Value: what}, {Key: term.Atom("members"), Value: nodes}, {Key: term.Atom("quorum"), Value: term.Bool(quorum)}}
	for key, v := range map[term.Atom]starlark.Value{"max_restarts": restarts, "max_seconds": seconds} {
		if v != starlark.None {
			t, err := toTerm(v, asName)
			if err != nil {
				return nil, fmt.Errorf("dist_supervisor: %s: %w", key, err)
			}
			pairs = append(pairs, term.Pair{Key: key, Value: t})
		}
	}
	return n.ask(r, name, name, false, []term.Term{term.MakeMap(pairs...)})
}

// nodeList reads a list of nodes.
func nodeList(v starlark.Value) (term.List, error) {
	it, ok := v.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("a %s is no list of nodes", v.Type())
	}
	list := term.List{}
	for elem := range starlark.Elements(it) {
		name, err := nodeName(elem)
		if err != nil {
			return nil, err
		}
		list = append(list, term.Atom(name))
	}
	return list, nil
}

func (n *Node) startChild(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var who, what starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "supervisor", &who, "child", &what); err != nil {
		return nil, err
	}
	c, ok := what.(childSpec)
	if !ok {
		return nil, fmt.Errorf(`start_child: %s is no child: write child("c1", "counter")`, cutText(what.String(), 100))
	}
	at, err := argTarget.term(who)
	if err != nil {
		return nil, fmt.Errorf("start_child: %w", err)
	}
	return n.ask(r, name, name, true, []term.Term{at, c.spec})
}

// childVerb is a request about one child.
func (n *Node) childVerb(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var who, id starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "supervisor", &who, "id", &id); err != nil {
		return nil, err
	}
	at, err := argTarget.term(who)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	what, err := argWord.term(id)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return n.ask(r, name, name, true, []term.Term{at, what})
}

// superVerb is a request about a whole supervisor.
func (n *Node) superVerb(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var who starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "supervisor", &who); err != nil {
		return nil, err
	}
	at, err := argTarget.term(who)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return n.ask(r, name, name, true, []term.Term{at})
}
