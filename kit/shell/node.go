package shell

import (
	"errors"
	"fmt"
	"slices"

	"go.starlark.net/starlark"

	"netsplit/kit/door"
	"netsplit/kit/term"
)

// nodeFunction is a function of a node, besides those of its store.
type nodeFunction struct {
	name, usage, doc, example string
	call                      func(n *Node, r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)
}

// nodeFunctions are all of them.
var nodeFunctions = slices.Concat(linkFunctions, processFunctions())

var linkFunctions = []nodeFunction{
	{"nodes", "[which]", "The nodes that this one is connected to: the visible ones, or which is \"hidden\", \"connected\" (both), \"known\" or \"this\".", "a.nodes()", (*Node).listNodes},
	{"ping", "node", "pong when the other node answers, else pang.", "a.ping(b)", (*Node).peerVerb},
	{"connect", "node", "Connects to another node; True when connected.", "a.connect(b)", (*Node).peerVerb},
	{"disconnect", "node", "Closes the connection to another node.", "a.disconnect(b)", (*Node).peerVerb},
	{"events", "", "Events since they were last asked for: system events, and what a.db.subscribe asked for.", "a.events()", (*Node).nodeEvents},
	{"call", "verb, arguments...", "Asks the node's program for one of its own verbs.", `a.call("status")`, (*Node).callVerb},
	{"verbs", "", "The verbs that the node's program answers.", "a.verbs()", (*Node).plainVerb},
}

// Attr gives the store (db), the name, and the node's functions.
func (n *Node) Attr(name string) (starlark.Value, error) {
	switch name {
	case "db":
		return n.db, nil
	case "name":
		return starlark.String(n.name), nil
	}
	for _, f := range nodeFunctions {
		if f.name == name {
			return n.s.method(name, func(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
				return f.call(n, r, name, args, kwargs)
			}), nil
		}
	}
	hint := ""
	if verbNamed(name) != nil || isActivity(name) {
		hint = fmt.Sprintf(": functions of the store are in %s.db.%s", n, name)
	}
	return nil, starlark.NoSuchAttrError(fmt.Sprintf("node %s has no .%s%s", n, name, hint))
}

// AttrNames lists them.
func (n *Node) AttrNames() []string {
	names := []string{"db", "name"}
	for _, f := range nodeFunctions {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

func (n *Node) plainVerb(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	return n.verb(r, name, true)
}

func (n *Node) listNodes(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	which := "visible"
	if err := starlark.UnpackArgs(name, args, kwargs, "which?", &which); err != nil {
		return nil, err
	}
	return n.verb(r, name, true, term.Atom(which))
}

func (n *Node) peerVerb(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var peer starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "node", &peer); err != nil {
		return nil, err
	}
	other, err := nodeName(peer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return n.verb(r, name, false, term.Atom(other))
}

func (n *Node) verb(r *run, verb string, names bool, args ...term.Term) (starlark.Value, error) {
	out, err := r.call(n.name, door.Request{Client: r.client, Verb: verb, Args: args})
	if err != nil {
		return nil, err
	}
	if out.Status != door.OK {
		return nil, &outcomeError{out: out, s: n.s, node: n.String(), what: verb}
	}
	return view{s: n.s, names: names, keys: true}.decode(out.Value, 0)
}

func (n *Node) callVerb(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) == 0 || len(kwargs) > 0 {
		return nil, errors.New("call: name a verb, then give its arguments")
	}
	verb, err := tableName(args[0])
	if err != nil {
		return nil, fmt.Errorf("call: %w", err)
	}
	terms := make([]term.Term, 0, len(args)-1)
	for _, a := range args[1:] {
		t, err := toTerm(a, asData)
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
	}
	return n.verb(r, verb, false, terms...)
}
