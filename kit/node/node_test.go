package node

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/simlink"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// bench is a few nodes on a network in memory, in virtual time.
type bench struct {
	t      *testing.T
	fabric *wire.Fabric
	nodes  map[kit.NodeName]*placed
}

// placed is one node of a bench.
type placed struct {
	node    *Node
	handler chan door.Handler // gets the handler when the door opens
	h       door.Handler
	stop    context.CancelFunc
	ended   chan error
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, fabric: wire.NewFabric(1), nodes: map[kit.NodeName]*placed{}}
}

// start starts a node that knows the others by name.
func (b *bench) start(cfg Config, app App, others ...kit.NodeName) *placed {
	b.t.Helper()
	cfg.Static = true
	if cfg.Cookie == "" {
		cfg.Cookie = "secret"
	}
	for _, o := range others {
		cfg.Peers = append(cfg.Peers, wire.Peer{Node: o, Addr: "mem:" + string(o)})
	}
	if err := cfg.validate(); err != nil {
		b.t.Fatal(err)
	}
	network, err := b.fabric.Listen(cfg.Node, "", cfg.Cookie)
	if err != nil {
		b.t.Fatal(err)
	}
	p := &placed{handler: make(chan door.Handler, 1), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(b.t.Context())
	p.stop = cancel
	place := Place{Network: network, Serve: func(ctx context.Context, h door.Handler) error {
		p.handler <- h
		<-ctx.Done()
		return nil
	}}
	go func() { p.ended <- run(ctx, cfg, app, place, func(n *Node) { p.node = n }) }()
	b.nodes[cfg.Node] = p
	synctest.Wait()
	select {
	case p.h = <-p.handler:
	default:
	}
	return p
}

// end stops every node and fails the test when one does not end well.
func (b *bench) end() {
	for name, p := range b.nodes {
		p.stop()
		if err := <-p.ended; err != nil {
			b.t.Errorf("node %s: %v", name, err)
		}
	}
}

// ask does one request and gives the answer as Erlang's shell would print it, or the error's text.
func (b *bench) ask(n kit.NodeName, verb string, args ...term.Term) string {
	b.t.Helper()
	s, end := door.NewSession(b.t.Context(), "test")
	defer end()
	out := b.nodes[n].h(s.Context(), door.Request{Client: "test", Verb: verb, Args: args})
	v, err := out.Term()
	if err != nil {
		return err.Error()
	}
	return term.String(v)
}

// askJSON is ask for answers that are no terms, such as events.
func (b *bench) askJSON(n kit.NodeName, verb string) string {
	s, end := door.NewSession(b.t.Context(), "test")
	defer end()
	return string(b.nodes[n].h(s.Context(), door.Request{Client: "test", Verb: verb}).Value)
}

func (b *bench) want(n kit.NodeName, want, verb string, args ...term.Term) {
	b.t.Helper()
	if got := b.ask(n, verb, args...); got != want {
		b.t.Errorf("%s: %s %v: got %s, want %s", n, verb, args, got, want)
	}
}

func TestNodesFindEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		b.start(Config{Node: "a"}, App{}, "b", "c")
		b.start(Config{Node: "b"}, App{}, "a", "c")
		b.start(Config{Node: "c"}, App{}, "a", "b")
		b.want("a", "ok", "await_nodes", term.List{term.Atom("b"), term.Atom("c")})
		b.want("a", "a", "node")
		b.want("a", "[b,c]", "nodes")
		b.want("b", "ok", "await_nodes", term.List{term.Atom("a"), term.Atom("c")})
		b.want("b", "[a,c]", "known")
		b.want("a", "pong", "ping", term.Atom("b"))
		b.want("a", "pang", "ping", term.Atom("nosuch"))
		b.want("a", "pong", "ping")
	})
}

// As Erlang's net_kernel:connect_node and disconnect_node answer.
// The whole way of a partition through the layers: a replicated table, a cut, writes on both sides, the heal, and
// the event on both sides that tells of it. Nothing is merged.
func TestStoreThroughThePartition(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		for _, n := range []kit.NodeName{"a", "b"} {
			b.start(Config{Node: n}, App{}, map[kit.NodeName]kit.NodeName{"a": "b", "b": "a"}[n])
		}
		for _, n := range []kit.NodeName{"a", "b"} {
			b.want(n, "ok", "await_nodes", term.List{term.Atom("a"), term.Atom("b")})
			b.want(n, "ok", "start_store")
		}
		b.want("a", "[b]", "change_config", term.Atom("extra_db_nodes"), term.List{term.Atom("b")})
		opts := term.MakeMap(term.Pair{Key: term.Atom("ram_copies"), Value: term.List{term.Atom("a"), term.Atom("b")}})
		b.want("a", "ok", "create_table", term.Atom("t"), opts)
		write := func(n kit.NodeName, v int) {
			t.Helper()
			op := term.List{term.Atom("dirty_write"), term.Atom("t"), term.Tuple{term.Atom("t"), term.Atom("k"), term.Int(v)}}
			b.want(n, "ok", "dirty", op)
		}
		write("a", 1)
		time.Sleep(time.Second)
		b.want("b", "[{t,k,1}]", "local_contents", term.Atom("t"))
		if got := b.ask("b", "status"); !strings.Contains(got, "size => 1") || !strings.Contains(got, "store => yes") {
			t.Errorf("status: %s", got)
		}
		rule := func(r wire.Rule) {
			b.want("a", "ok", "link", term.Atom("b"), RuleTerm(r))
			b.want("b", "ok", "link", term.Atom("a"), RuleTerm(r))
			time.Sleep(5 * time.Second)
		}
		rule(wire.Rule{Cut: wire.Silent})
		write("a", 2)
		write("b", 3)
		rule(wire.Rule{})
		b.want("a", "[{t,k,2}]", "local_contents", term.Atom("t"))
		b.want("b", "[{t,k,3}]", "local_contents", term.Atom("t"))
		for _, n := range []kit.NodeName{"a", "b"} {
			if got := b.askJSON(n, "boot_events"); !strings.Contains(got, `"running_partitioned_network"`) {
				t.Errorf("%s heard %s", n, got)
			}
		}
	})
}

func TestConnectAndDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		b.start(Config{Node: "a", Manual: true}, App{}, "b")
		b.start(Config{Node: "b", Manual: true}, App{}, "a")
		b.want("a", "[]", "nodes")
		b.want("a", "false", "disconnect", term.Atom("b"))
		b.want("a", "true", "connect", term.Atom("b"))
		b.want("a", "[b]", "nodes")
		b.want("b", "[a]", "nodes")
		b.want("a", "true", "connect", term.Atom("a"))
		b.want("a", "false", "connect", term.Atom("nosuch"))
		b.want("a", "false", "disconnect", term.Atom("nosuch"))
		b.want("a", "false", "disconnect", term.Atom("a"))
		b.want("a", "true", "disconnect", term.Atom("b"))
		b.want("a", "[]", "nodes")
		b.want("a", "false", "disconnect", term.Atom("b"))
		time.Sleep(time.Minute)
		b.want("a", "[]", "nodes")
		b.want("b", "[]", "nodes")
	})
}

// A cut is an order to both ends; after the heal the nodes meet again by themselves.
func TestCutAndHeal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, how := range []wire.Cut{wire.Loud, wire.Silent} {
			b := newBench(t)
			b.start(Config{Node: "a"}, App{}, "b")
			b.start(Config{Node: "b"}, App{}, "a")
			b.want("b", "ok", "await_nodes", term.List{term.Atom("a")})
			b.want("a", "ok", "await_nodes", term.List{term.Atom("b")})
			begun := time.Now()
			b.want("a", "ok", "link", term.Atom("b"), RuleTerm(wire.Rule{Cut: how}))
			b.want("b", "ok", "link", term.Atom("a"), RuleTerm(wire.Rule{Cut: how}))
			for b.ask("a", "nodes") != "[]" || b.ask("b", "nodes") != "[]" {
				time.Sleep(10 * time.Millisecond)
			}
			took, most := time.Since(begun), 3*time.Second
			if how == wire.Loud {
				most = time.Second
			}
			if took > most {
				t.Errorf("%s: the nodes saw the cut after %v", how, took)
			}
			if got := b.ask("a", "await_nodes", term.List{term.Atom("b")}, term.Int(5000)); !strings.Contains(got, "wait for node b") {
				t.Errorf("%s: got %s", how, got)
			}
			b.want("a", "ok", "link", term.Atom("b"), RuleTerm(wire.Rule{}))
			b.want("b", "ok", "link", term.Atom("a"), RuleTerm(wire.Rule{}))
			b.want("a", "ok", "await_nodes", term.List{term.Atom("b")})
			b.end()
		}
	})
}

// A rule that is in the configuration holds before the first connection: a restarted node stays cut off.
func TestRulesFromTheStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		loud := wire.Rule{Cut: wire.Loud}
		b.start(Config{Node: "a", Rules: map[kit.NodeName]wire.Rule{"b": loud}}, App{}, "b")
		b.start(Config{Node: "b", Rules: map[kit.NodeName]wire.Rule{"a": loud}}, App{}, "a")
		time.Sleep(time.Minute)
		b.want("a", "[]", "nodes")
		b.want("b", "[]", "nodes")
	})
}

func TestWrongCookie(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		b.start(Config{Node: "a", Cookie: "one"}, App{}, "b")
		b.start(Config{Node: "b", Cookie: "two"}, App{}, "a")
		if got := b.ask("a", "await_nodes", term.List{term.Atom("b")}); !strings.Contains(got, "wrong cookie") {
			t.Errorf("got %s", got)
		}
		b.want("a", "[]", "nodes")
	})
}

func TestProgram(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		began := false
		app := App{
			Verbs: map[string]Verb{
				"add": func(_ context.Context, n *Node, args []term.Term) (term.Term, error) {
					x, _ := args[0].(term.Int)
					y, _ := args[1].(term.Int)
					return term.Tuple{term.Atom(n.Name()), x + y}, nil
				},
				"refuse": func(context.Context, *Node, []term.Term) (term.Term, error) {
					return nil, &kit.Error{Op: "pay", Kind: kit.Refused, Err: errors.New("not enough money")}
				},
				"nothing": func(context.Context, *Node, []term.Term) (term.Term, error) { return nil, nil },
			},
			Start: func(_ context.Context, n *Node) error { began = n.Store() != nil; return nil },
		}
		b.start(Config{Node: "a"}, app)
		b.want("a", "{a,5}", "add", term.Int(2), term.Int(3))
		b.want("a", "pay: not enough money", "refuse")
		b.want("a", "ok", "nothing")
		if got := b.ask("a", "add"); !strings.Contains(got, "panic") {
			t.Errorf("a verb that panics: %s", got)
		}
		if !began {
			t.Error("Start did not run, or without a store")
		}
	})
}

// A program cannot take the place of what the node itself answers, nor start when its Start says no.
func TestBadPrograms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		nothing := func(context.Context, *Node, []term.Term) (term.Term, error) { return nil, nil }
		for name, app := range map[string]App{
			"shadow": {Verbs: map[string]Verb{"link": nothing}},
			"nil":    {Verbs: map[string]Verb{"mine": nil}},
			"start":  {Start: func(context.Context, *Node) error { return errors.New("no") }},
		} {
			p := b.start(Config{Node: "a"}, app)
			if err := <-p.ended; err == nil {
				t.Errorf("%s: the node ran", name)
			}
		}
	})
}

func TestStopVerb(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		p := b.start(Config{Node: "a"}, App{})
		b.want("a", "ok", "stop")
		if err := <-p.ended; err != nil {
			t.Error(err)
		}
	})
}

func TestBadArguments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		b.start(Config{Node: "a"}, App{}, "b")
		a := term.Atom("b")
		rule := func(key string, v term.Term) term.Term {
			return term.MakeMap(term.Pair{Key: term.Atom(key), Value: v})
		}
		for _, args := range [][]term.Term{
			{term.Atom("link"), a, term.Int(1)},
			{term.Atom("link"), a, rule("cut", term.Atom("rude"))},
			{term.Atom("link"), a, rule("delay_us", term.Int(-1))},
			{term.Atom("link"), a, rule("delay_us", term.Int(1<<62))},
			{term.Atom("link"), a, rule("loss", term.Float(1.5))},
			{term.Atom("link"), a, rule("lose", term.Float(0.5))},
			{term.Atom("link"), term.Atom("zz"), RuleTerm(wire.Rule{})},
			{term.Atom("link"), term.Bin("b"), RuleTerm(wire.Rule{})},
			{term.Atom("await_nodes"), term.Int(1)},
			{term.Atom("await_nodes"), term.List{term.Int(1)}},
			{term.Atom("await_nodes"), term.List{}, term.Int(-1)},
			{term.Atom("introduce"), term.Atom("a"), term.Bin("mem:a")},
			{term.Atom("introduce"), a, term.Int(7)},
			{term.Atom("connect"), term.Tuple{}},
		} {
			out := b.nodes["a"].h(t.Context(), door.Request{Verb: string(args[0].(term.Atom)), Args: args[1:]})
			if out.Status != door.Error {
				t.Errorf("%v: %+v", args, out)
			}
		}
	})
}

func TestRuleTermsReadBack(t *testing.T) {
	for _, r := range []wire.Rule{
		{}, {Cut: wire.Loud}, {Cut: wire.Silent, Delay: 20 * time.Millisecond, Jitter: time.Microsecond, Loss: 0.25, Duplicate: 1, Reorder: 0.5},
	} {
		if got, err := RuleFromTerm(RuleTerm(r)); err != nil || got != r {
			t.Errorf("%+v came back as %+v, %v", r, got, err)
		}
	}
}

func TestParseConfig(t *testing.T) {
	for _, bad := range []string{
		``, `{}`, `{"node":"a"}`, `{"node":"A","cookie":"x"}`, `{"node":"a","cookie":"x","peers":[{"Node":"a"}]}`, `{"node":"a","cookie":"x","peers":[{"Node":"../b"}]}`,
	} {
		if _, err := ParseConfig([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	if c, err := ParseConfig([]byte(`{"node":"a","cookie":"x"}`)); err != nil || c.IdleExit != DefaultIdleExit {
		t.Errorf("%+v %v", c, err)
	}
}

// On the simulator's link the node answers the door's lines and ends with the link.
func TestSimulated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		link, host, err := simlink.Pair(simlink.Start{Node: "a", Nodes: []kit.NodeName{"a", "b"}, Cookie: "x", Boots: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- RunSimulated(t.Context(), link, App{}) }()
		line, err := door.EncodeRequest(door.Request{ID: 7, Client: "c1", Verb: "known"})
		if err != nil {
			t.Fatal(err)
		}
		ready := false
		for {
			f, err := host.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if f.Kind == simlink.Ready {
				ready = true
				host.Send(simlink.Frame{Kind: simlink.Door, Data: line})
			}
			if f.Kind == simlink.Door {
				a, err := door.DecodeAnswer(f.Data)
				if err != nil || a.ID != 7 || string(a.Outcome.Value) != `["b"]` || !ready {
					t.Errorf("got %s, %v", f.Data, err)
				}
				break
			}
		}
		host.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// bubble runs a test in virtual time on one thread: with more, Go 1.26's race detector now and then crashes on the
// timers of a bubble, whose context the threads that fire them share without a lock.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f)
}
