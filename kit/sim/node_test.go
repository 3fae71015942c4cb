package sim

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// nodeRun is a run of the real node program: links come up, a cut takes one down, the heal brings it back, a killed node
// comes back. It gives the hash.
func nodeRun(t testing.TB, cfg Config) string {
	t.Helper()
	ctx := context.Background()
	w := start(t, cfg)
	ask := func(node kit.NodeName, verb string, args ...term.Term) string {
		t.Helper()
		out := w.Call(ctx, "c", node, door.Request{Verb: verb, Args: args})
		if out.Status != door.OK {
			b, err := json.Marshal(out)
			t.Fatalf("%s at %s: %s %v", verb, node, b, err)
		}
		return string(out.Value)
	}
	atoms := func(names ...string) (l term.List) {
		for _, n := range names {
			l = append(l, term.Atom(n))
		}
		return l
	}
	expect := func(node kit.NodeName, want string) {
		t.Helper()
		if got := ask(node, "nodes"); got != want {
			t.Errorf("at %v %s sees %s, want %s", w.Now(), node, got, want)
		}
	}
	ask("a", "await_nodes", atoms("b", "c"), term.Int(5000))
	ask("a", "create_schema", atoms("a", "b", "c"))
	for _, n := range w.Nodes() {
		ask(n, "start_store")
	}
	ask("a", "create_table", term.Atom("account"), term.MakeMap(term.Pair{Key: term.Atom("disc_copies"), Value: atoms("a", "b", "c")}))
	for i := range 20 {
		ask("b", "transaction", term.List{term.List{term.Atom("write"), term.Atom("account"),
			term.Tuple{term.Atom("account"), term.Int(i), term.Int(100)}}})
	}
	must(t, w.Link("a", "b", wire.Rule{Cut: wire.Silent}))
	must(t, w.Link("b", "a", wire.Rule{Cut: wire.Silent}))
	must(t, w.Sleep(ctx, 5*time.Second))
	expect("a", `["c"]`)
	expect("c", `["a","b"]`)
	must(t, w.Link("a", "b", wire.Rule{}))
	must(t, w.Link("b", "a", wire.Rule{}))
	must(t, w.Sleep(ctx, 3*time.Second))
	expect("a", `["b","c"]`)
	must(t, w.Kill("c"))
	must(t, w.Sleep(ctx, time.Second))
	expect("a", `["b"]`)
	must(t, w.Restart("c"))
	must(t, w.Sleep(ctx, time.Second))
	expect("a", `["b","c"]`)
	hash := w.Hash()
	must(t, w.Close())
	return hash
}

// The node program of this project runs here unchanged, and the same way each time.
func TestNode(t *testing.T) {
	if slow {
		t.Skip("compiling the node program takes a minute under the race detector")
	}
	cfg := nodeConfig(t)
	cfg.Seed = 7
	one, two := nodeRun(t, cfg), nodeRun(t, cfg)
	cfg.Seed = 8
	if other := nodeRun(t, cfg); one != two || one == other {
		t.Errorf("seed 7: %s, %s; seed 8: %s", one, two, other)
	}
}

func nodeConfig(t testing.TB) Config {
	t.Helper()
	p, err := Build(context.Background(), "../..", "./cmd/node")
	if err != nil {
		t.Fatal(err)
	}
	cfg := toyConfig(t, 7)
	cfg.Program = p
	must(t, cfg.Engine.Load(context.Background(), p))
	return cfg
}

// BenchmarkNode runs the real node program through cuts, a heal, a kill and a restart: some ten virtual seconds.
func BenchmarkNode(b *testing.B) {
	cfg := nodeConfig(b)
	for b.Loop() {
		nodeRun(b, cfg)
		cfg.Seed++
	}
}

// An engine lets go of programs that no world uses, keeps those that one does, and loads what is asked for again.
func TestIdlePrograms(t *testing.T) {
	if slow {
		t.Skip("TestWithoutRaceDetector runs it")
	}
	cfg := toyConfig(t, 1)
	e, err := NewEngine(t.Context(), Interpreted, "") // which loads fast
	must(t, err)
	t.Cleanup(func() { must(t, e.Close(context.Background())) })
	e.idle = 1
	cfg.Engine = e
	w := start(t, cfg)
	for i := range e.idle + 2 {
		other := NewProgram(append(slices.Clone(cfg.Program.Wasm), 0, 2, 1, byte(i))) // a custom section more
		must(t, e.Load(t.Context(), other))
	}
	if len(e.modules) != e.idle+1 || e.modules[cfg.Program.Hash] == nil {
		t.Errorf("%d programs are loaded", len(e.modules))
	}
	must(t, w.Kill("a"))
	must(t, w.Restart("a")) // its program is still there
	must(t, w.Close())
	again := NewProgram(append(slices.Clone(cfg.Program.Wasm), 0, 2, 1, 0)) // the first to go
	must(t, e.Load(t.Context(), again))
	if bad := NewProgram([]byte("no program")); e.Load(t.Context(), bad) == nil || e.modules[bad.Hash] != nil {
		t.Error("what cannot be loaded is kept")
	}
	must(t, start(t, cfg).Close())
}
