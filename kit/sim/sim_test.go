package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// childEnv makes this test binary a child that runs one scenario with the runner it names and prints the hash.
const childEnv = "NETSPLIT_SIM_TEST_RUNNER"

func TestMain(m *testing.M) {
	if runner := os.Getenv(childEnv); runner != "" {
		hash, err := child(Runner(runner))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("hash", hash)
		return
	}
	os.Exit(m.Run())
}

// toy builds the toy program once for all tests.
var toy = sync.OnceValues(func() (*Program, error) { return Build(context.Background(), ".", "./internal/toy") })

// machine is the engine that most tests share.
var machine = sync.OnceValues(func() (*Engine, error) {
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	return NewEngine(context.Background(), Compiled, dir)
})

// toyConfig is three toy nodes.
func toyConfig(t testing.TB, seed uint64) Config {
	t.Helper()
	p, err := toy()
	if err != nil {
		t.Fatal(err)
	}
	e, err := machine()
	if err != nil {
		t.Fatal(err)
	}
	return Config{Engine: e, Program: p, Nodes: []kit.NodeName{"a", "b", "c"}, Seed: seed}
}

func start(t testing.TB, cfg Config) *World {
	t.Helper()
	w, err := New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// ask calls a verb and gives its value, or the outcome's status when there is none.
func ask(w *World, node kit.NodeName, verb string, args ...string) string {
	req := door.Request{Verb: verb}
	for _, a := range args {
		req.Args = append(req.Args, term.Atom(a))
	}
	out := w.Call(context.Background(), "c", node, req)
	if out.Status != door.OK {
		return string(out.Status) + ": " + out.Text
	}
	var s string
	if json.Unmarshal(out.Value, &s) == nil {
		return s
	}
	return string(out.Value)
}

// scenario is a run with all that a run can have: clients side by side, every fault, a death and a rebirth.
func scenario(e *Engine, seed uint64, length time.Duration) (string, error) {
	p, err := toy()
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	w, err := New(ctx, Config{Engine: e, Program: p, Nodes: []kit.NodeName{"a", "b", "c"}, Seed: seed, Disk: DiskFault{Crash: Chance}})
	if err != nil {
		return "", err
	}
	for _, n := range w.Nodes() {
		w.Go(func(ctx context.Context) {
			for range 5 {
				_ = w.Sleep(ctx, length/20)
				ask(w, n, "append", "x")
				ask(w, n, "got")
			}
		})
	}
	faults := []func() error{
		func() error { return w.Link("a", "b", wire.Rule{Cut: wire.Silent}) },
		func() error {
			return w.Link("b", "c", wire.Rule{Delay: time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.1})
		},
		func() error { return w.Kill("c") },
		func() error { return w.Link("a", "b", wire.Rule{}) },
		func() error { return w.Restart("c") },
		func() error { return w.Link("c", "a", wire.Rule{Cut: wire.Loud}) },
		func() error { return w.Pause("b") },
		func() error { return w.Resume("b") },
		func() error { return w.Link("c", "a", wire.Rule{}) },
	}
	for _, f := range faults {
		if err := errors.Join(f(), w.Sleep(ctx, length/10)); err != nil {
			return "", errors.Join(err, w.Close())
		}
	}
	w.Wait()
	hash := w.Hash()
	return hash, w.Close()
}

// childSeed and childLength are what the child runs.
const (
	childSeed   = 7
	childLength = 500 * time.Millisecond
)

func child(runner Runner) (string, error) {
	ctx := context.Background()
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	e, err := NewEngine(ctx, runner, dir)
	if err != nil {
		return "", err
	}
	hash, err := scenario(e, childSeed, childLength)
	return hash, errors.Join(err, e.Close(ctx))
}

// One seed gives one run: in this process, in another one, and in a third with the other engine.
func TestOneSeedOneRun(t *testing.T) {
	cfg := toyConfig(t, childSeed)
	here, err := scenario(cfg.Engine, childSeed, childLength)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, runner := range []Runner{Compiled, Interpreted} {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), childEnv+"="+string(runner))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", runner, err, out)
		}
		if got := strings.TrimSpace(string(out)); got != "hash "+here {
			t.Errorf("with the %s another process says %q, this one %s", runner, got, here)
		}
	}
}

// Thirty seeds, each run twice: the same run both times, and no two seeds alike.
func TestThirtySeedsTwice(t *testing.T) {
	e := toyConfig(t, 0).Engine
	seen := map[string]uint64{}
	seeds := uint64(30)
	if slow {
		seeds = 8
	}
	for seed := range seeds {
		one, err := scenario(e, seed, 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		two, err := scenario(e, seed, 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if one != two {
			t.Errorf("seed %d: %s, then %s", seed, one, two)
		}
		if other, ok := seen[one]; ok {
			t.Errorf("seeds %d and %d give the same run", other, seed)
		}
		seen[one] = seed
	}
}

// A guest reaches nothing of the machine, and its clock is the world's.
func TestNothingReachable(t *testing.T) {
	t.Setenv("NETSPLIT_SECRET", "visible")
	w := start(t, toyConfig(t, 1))
	if got := ask(w, "a", "reach"); got != "null" && got != "" {
		t.Errorf("a guest got through with: %s", got)
	}
	if got := ask(w, "a", "now"); !strings.HasPrefix(got, "2026-01-01T00:00:00.0") {
		t.Errorf("a guest's clock says %s", got)
	}
}

// A program that is broken or hostile ends with its node; the others and the world go on.
func TestWrongPrograms(t *testing.T) {
	for _, c := range []struct {
		verb string
		want Reason
		why  string
	}{
		{"spin", Spinning, "computed for 50ms without waiting"},
		{"double", Spinning, "without waiting"},
		{"flood", Spinning, "without waiting"},
		{"eat", OutOfMemory, "more than its limit"},
		{"panic", Panicked, "panic: as asked"},
		{"exit", Exited, "exit code 3"},
		{"forge", Forged, "forged or broken frame"},
	} {
		t.Run(c.verb, func(t *testing.T) {
			cfg := toyConfig(t, 3)
			cfg.Budget, cfg.Memory = 50*time.Millisecond, 64<<20
			w := start(t, cfg)
			if got := ask(w, "a", c.verb); !strings.HasPrefix(got, "lost") {
				t.Errorf("answered %q", got)
			}
			n, err := w.Node("a")
			if err != nil || n.Running || n.Reason != c.want || !strings.Contains(n.Why, c.why) {
				t.Errorf("%v %q: %q, want %q: %q", err, n.Reason, n.Why, c.want, c.why)
			}
			if len(n.Output) > 2*(tailHead+tailRing) || !strings.Contains(n.Output, "toy starts a boot 1") {
				t.Errorf("kept %d bytes of output", len(n.Output))
			}
			if got := ask(w, "b", "got"); strings.Contains(got, "lost") {
				t.Errorf("another node answered %q", got)
			}
			if err := w.Restart("a"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDeepRecursion(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	w := start(t, toyConfig(t, 3))
	ask(w, "a", "recurse")
	if n, err := w.Node("a"); err != nil || n.Reason != StackFull && n.Reason != OutOfMemory {
		t.Errorf("%v %q: %q", err, n.Reason, n.Why)
	}
}

// A request to a node that hangs is given up after its time, which is virtual.
func TestCallGivesUp(t *testing.T) {
	w := start(t, toyConfig(t, 3))
	before := w.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out := w.Call(ctx, "c", "a", door.Request{Verb: "hang"})
	if took := w.Now() - before; out.Status != door.Lost || took < 5*time.Second || took > 5200*time.Millisecond {
		t.Errorf("%s after %v", out.Status, took)
	}
	if ctx.Err() != nil {
		t.Error("it took real time")
	}
}

func TestBadConfig(t *testing.T) {
	good := toyConfig(t, 1)
	for name, change := range map[string]func(*Config){
		"no engine":   func(c *Config) { c.Engine = nil },
		"no program":  func(c *Config) { c.Program = nil },
		"no nodes":    func(c *Config) { c.Nodes = nil },
		"bad name":    func(c *Config) { c.Nodes = []kit.NodeName{"A b"} },
		"same name":   func(c *Config) { c.Nodes = []kit.NodeName{"a", "a"} },
		"much memory": func(c *Config) { c.Memory = 1 << 40 },
		"bad disc":    func(c *Config) { c.Disk.Slow = -1 },
		"no wasm":     func(c *Config) { c.Program = NewProgram([]byte("PASS")) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			change(&cfg)
			if w, err := New(context.Background(), cfg); err == nil || !kit.KindOf(err).Definite() && kit.KindOf(err) != kit.Corrupt {
				t.Errorf("%v %v", w, err)
			}
		})
	}
	if _, err := NewEngine(context.Background(), "steam", ""); kit.KindOf(err) != kit.Invalid {
		t.Error(err)
	}
}
