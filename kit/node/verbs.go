package node

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/peer"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// defaultWait bounds verbs that wait for other nodes and were given no time.
const defaultWait = 10 * time.Second

// verbs are the node's own verbs. Those that have a step of the same name in the conformance format answer as it
// says.
func (n *Node) verbs() []door.Verb {
	return []door.Verb{
		{Name: "node", Doc: "the node's own name", Handler: n.verbNode},
		{Name: "nodes", Params: []string{"which?"}, Doc: "the other nodes whose link is up: the visible ones, or which is hidden, connected (both), known or this, as Erlang's nodes(Arg)", Handler: n.verbNodes},
		{Name: "known", Doc: "all other nodes that this one has been told of", Handler: n.verbKnown},
		{Name: "ping", Params: []string{"node?"}, Doc: "pong if the node answers, else pang; connects first if need be. Without a node: pong", Handler: n.verbPing},
		{Name: "connect", Params: []string{"node"}, Doc: "connects to a node; true when the link is up", Handler: n.verbConnect},
		{Name: "disconnect", Params: []string{"node"}, Doc: "takes the link to a node down until somebody connects again; false when there was none", Handler: n.verbDisconnect},
		{Name: "await_nodes", Params: []string{"nodes", "ms?"}, Doc: "waits until links to all these nodes are up", Handler: n.verbAwaitNodes},
		{Name: "introduce", Params: []string{"node", "address"}, Doc: "makes a node known under an address", Handler: n.verbIntroduce},
		{Name: "link", Params: []string{"node", "rule"}, Doc: "sets the fault rule for what this node sends to another: a map of cut, delay_us, jitter_us, loss, duplicate, reorder", Handler: n.verbLink},
		{Name: "links", Doc: "every link: its state and reason, its rule, and what that did", Handler: n.verbLinks},
		{Name: "status", Doc: "name, uptime, memory, links and store of this node", Handler: n.verbStatus},
		{Name: "verbs", Doc: "all verbs of this door with their parameters", Handler: n.verbVerbs},
		{Name: "stop", Doc: "ends the node in an orderly way", Handler: n.verbStop},
	}
}

func (n *Node) verbNode(context.Context, door.Request) door.Outcome {
	return door.OKTerm(term.Atom(n.cfg.Node))
}

func (n *Node) verbNodes(_ context.Context, r door.Request) door.Outcome {
	which := term.Term(term.Atom("visible"))
	if len(r.Args) > 0 {
		which = r.Args[0]
	}
	switch which {
	case term.Atom("visible"):
		return door.OKTerm(atoms(n.links.Up()))
	case term.Atom("hidden"):
		return door.OKTerm(atoms(n.links.mesh.Load().UpHidden()))
	case term.Atom("connected"):
		return door.OKTerm(atoms(n.links.UpAll()))
	case term.Atom("known"): // which in Erlang is this node too
		all := append(n.links.known(), n.cfg.Node)
		slices.Sort(all)
		return door.OKTerm(atoms(all))
	case term.Atom("this"):
		return door.OKTerm(atoms([]kit.NodeName{n.cfg.Node}))
	}
	return door.FromError(&kit.Error{Op: r.Verb, What: term.String(which), Kind: kit.Invalid, Err: errors.New("there are no such nodes"),
		Hint: "it takes visible, hidden, connected, known or this"})
}

func (n *Node) verbKnown(context.Context, door.Request) door.Outcome {
	return door.OKTerm(atoms(n.links.known()))
}

func atoms(names []kit.NodeName) term.List {
	l := make(term.List, 0, len(names))
	for _, name := range names {
		l = append(l, term.Atom(name))
	}
	return l
}

func boolean(b bool) door.Outcome { return door.OKTerm(boolAtom(b)) }

func boolAtom(b bool) term.Atom {
	if b {
		return "true"
	}
	return "false"
}

func (n *Node) verbPing(ctx context.Context, r door.Request) door.Outcome {
	if len(r.Args) == 0 {
		return door.OKTerm(term.Atom("pong"))
	}
	to, err := r.Node(0)
	if err != nil {
		return door.FromError(err)
	}
	if to == n.cfg.Node {
		return door.OKTerm(term.Atom("pong"))
	}
	ctx, cancel := context.WithTimeout(ctx, defaultWait)
	defer cancel()
	if _, err := n.links.mesh.Load().Ping(ctx, to); err != nil {
		return door.OKTerm(term.Atom("pang"))
	}
	return door.OKTerm(term.Atom("pong"))
}

// verbConnect makes a round trip, so that the link is up at the other end too when it answers true.
func (n *Node) verbConnect(ctx context.Context, r door.Request) door.Outcome {
	to, err := r.Node(0)
	if err != nil {
		return door.FromError(err)
	}
	if to == n.cfg.Node {
		return boolean(true)
	}
	ctx, cancel := context.WithTimeout(ctx, defaultWait)
	defer cancel()
	_, err = n.links.mesh.Load().Ping(ctx, to)
	return boolean(err == nil)
}

// verbDisconnect answers when the link is down, so that who asked sees it down.
func (n *Node) verbDisconnect(ctx context.Context, r door.Request) door.Outcome {
	to, err := r.Node(0)
	if err != nil {
		return door.FromError(err)
	}
	wasUp := slices.Contains(n.links.UpAll(), to)
	if wasUp {
		n.links.parts(to)
	}
	if err := n.links.mesh.Load().Disconnect(to); err != nil {
		if kit.KindOf(err) == kit.NotFound {
			return boolean(false)
		}
		return door.FromError(err)
	}
	for changed := n.links.next(); slices.Contains(n.links.UpAll(), to); changed = n.links.next() {
		select {
		case <-changed:
		case <-ctx.Done():
			return door.FromError(ctx.Err())
		}
	}
	return boolean(wasUp)
}

func (n *Node) verbAwaitNodes(ctx context.Context, r door.Request) door.Outcome {
	list, ok := r.Args[0].(term.List)
	if !ok || len(list) > MaxPeers {
		return door.FromError(&kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: errors.New("argument 1 must be a list of nodes")})
	}
	nodes := make([]kit.NodeName, 0, len(list))
	for _, t := range list {
		name, _ := t.(term.Atom)
		if !kit.NodeName(name).Valid() {
			return door.FromError(&kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: errors.New("argument 1 must be a list of nodes")})
		}
		nodes = append(nodes, kit.NodeName(name))
	}
	wait := defaultWait
	if len(r.Args) > 1 {
		ms, err := r.Int(1)
		if err != nil || ms < 0 || ms > int64(time.Hour/time.Millisecond) {
			return door.FromError(&kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: errors.New("argument 2 must be a number of milliseconds")})
		}
		wait = time.Duration(ms) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := n.links.await(ctx, nodes); err != nil {
		return door.FromError(err)
	}
	return door.Done()
}

func (n *Node) verbIntroduce(_ context.Context, r door.Request) door.Outcome {
	name, err := r.Node(0)
	if err != nil {
		return door.FromError(err)
	}
	addr, ok := r.Args[1].(term.Bin)
	if !ok || addr == "" || len(addr) > 256 || name == n.cfg.Node {
		return door.FromError(&kit.Error{Op: r.Verb, Kind: kit.Invalid, Err: errors.New("it takes another node and its address")})
	}
	if err := n.links.introduce(wire.Peer{Node: name, Addr: string(addr)}); err != nil {
		return door.FromError(err)
	}
	return door.Done()
}

func (n *Node) verbLink(_ context.Context, r door.Request) door.Outcome {
	to, err := r.Node(0)
	if err != nil {
		return door.FromError(err)
	}
	rule, err := RuleFromTerm(r.Args[1])
	if err != nil {
		return door.FromError(err)
	}
	if !slices.Contains(n.links.known(), to) {
		return door.FromError(&kit.Error{Op: "link", What: string(to), Kind: kit.NotFound, Err: errors.New("no such node is known")})
	}
	n.network.Rules().Set(to, rule)
	return door.Done()
}

// pairs builds a map from names and values, one after the other.
func pairs(kv ...any) term.Map {
	var ps []term.Pair
	for i := 0; i+1 < len(kv); i += 2 {
		ps = append(ps, term.Pair{Key: term.Atom(kv[i].(string)), Value: kv[i+1].(term.Term)})
	}
	return term.MakeMap(ps...)
}

func (n *Node) verbLinks(context.Context, door.Request) door.Outcome {
	counts := map[kit.NodeName]wire.Counts{}
	for _, c := range n.network.Rules().Counts() {
		counts[c.Peer] = c
	}
	list := term.List{}
	for _, l := range n.links.mesh.Load().Links() {
		list = append(list, linkTerm(l, n.network.Rules().To(l.Node), counts[l.Node]))
	}
	return door.OKTerm(list)
}

func linkTerm(l peer.Link, rule wire.Rule, c wire.Counts) term.Term {
	since := term.Int(0)
	if !l.Since.IsZero() {
		since = term.Int(time.Since(l.Since).Milliseconds())
	}
	return pairs("node", term.Atom(l.Node), "up", boolAtom(l.Up), "hidden", boolAtom(l.Hidden), "for_ms", since, "reason", term.Bin(l.Reason),
		"address", term.Bin(l.Addr), "gossip", term.Atom(cmp.Or(l.Gossip, "unknown")), "rule", RuleTerm(rule),
		"counts", pairs("held", term.Int(c.Held), "dropped", term.Int(c.Dropped), "refused", term.Int(c.Refused), "delayed", term.Int(c.Delayed),
			"lost", term.Int(c.Lost), "duplicated", term.Int(c.Duplicated), "reordered", term.Int(c.Reordered)))
}

func (n *Node) verbStatus(context.Context, door.Request) door.Outcome {
	m := pairs("node", term.Atom(n.cfg.Node), "lab", term.Bin(n.cfg.Lab), "uptime_ms", term.Int(time.Since(n.begun).Milliseconds()),
		"memory", term.Int(residentBytes()), "goroutines", term.Int(runtime.NumGoroutine()), "address", term.Bin(n.Addr()),
		"processes", term.Int(n.procs.Count()), "waiting", term.Int(n.procs.Waiting()), "nodes", atoms(n.links.Up()), "known", atoms(n.links.known()), "store", term.Atom(n.store.Phase()), "tables", n.tables())
	return door.OKTerm(m)
}

// tables describes the tables of a running store, the schema's own left out.
func (n *Node) tables() term.List {
	list := term.List{}
	names, err := n.store.SystemInfo(term.Atom("tables"))
	if all, ok := names.(term.List); err == nil && ok {
		for _, name := range all {
			table, ok := name.(term.Atom)
			if !ok || table == "schema" {
				continue
			}
			row := []any{"table", table}
			for _, item := range []string{"type", "storage_type", "size", "where_to_read"} {
				if v, err := n.store.TableInfo(string(table), term.Atom(item)); err == nil { // it may have gone meanwhile
					row = append(row, item, v)
				}
			}
			list = append(list, pairs(row...))
		}
	}
	return list
}

func (n *Node) verbVerbs(context.Context, door.Request) door.Outcome {
	list := term.List{}
	for _, v := range n.mux.Verbs() {
		params := term.List{}
		for _, p := range v.Params {
			params = append(params, term.Bin(p))
		}
		list = append(list, pairs("name", term.Atom(v.Name), "params", params, "doc", term.Bin(v.Doc)))
	}
	return door.OKTerm(list)
}

// verbStop answers first; the node ends when the answer had time to leave, with the door.
func (n *Node) verbStop(ctx context.Context, _ door.Request) door.Outcome {
	n.Report("event", "stop was asked for at the door")
	n.tasks.Go(func() {
		select {
		case <-time.After(stopDelay):
		case <-n.ctx.Done():
		}
		n.Stop()
	})
	return door.Done()
}

// stopDelay is how long the answer of the verb stop has to leave.
const stopDelay = 20 * time.Millisecond
