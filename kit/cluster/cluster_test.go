package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/node"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// TestMain makes the test program its own node: a process that is started with a node's configuration is one.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("TEST_PROGRAM") == "garbage":
		f := os.NewFile(3, "ready")
		fmt.Fprintln(f, "PASS")
		os.Exit(0)
	case os.Getenv("TEST_PROGRAM") == "panic":
		node.Main(node.App{Start: func(context.Context, *node.Node) error { panic("the student's mistake") }})
	case os.Getenv("TEST_PROGRAM") == "hang":
		time.Sleep(time.Minute)
	case os.Getenv("NETSPLIT_NODE") != "":
		os.Exit(node.Process(node.App{}, os.Stderr))
	}
	// Nodes that the race detector watches would sleep for a second before they exit.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// home is a state folder for one test; at its end no process of any of its labs may be left.
func home(t *testing.T) string {
	t.Helper()
	// t.TempDir is too long for sockets in some tests, and that has a test of its own.
	h, err := os.MkdirTemp("", "ns")
	if err != nil {
		t.Fatal(err)
	}
	pids := map[process]bool{}
	note := func() {
		labs, _ := filepath.Glob(filepath.Join(h, "labs", "*", "nodes", "*", "process.json"))
		for _, path := range labs {
			var nf nodeFile
			if readJSON(path, &nf) == nil {
				pids[process{nf.Pid, nf.Started}] = true
			}
		}
	}
	t.Cleanup(func() {
		note()
		labs, err := List(h)
		if err != nil {
			t.Error(err)
		}
		for _, l := range labs {
			if _, err := Down(h, l.Name); err != nil {
				t.Error(err)
			}
		}
		for p := range pids {
			if p.status() != gone {
				t.Errorf("process %d is left", p.pid)
				_ = p.kill()
			}
		}
		if err := os.RemoveAll(h); err != nil {
			t.Error(err)
		}
	})
	return h
}

func spec(t *testing.T, h, lab string) Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Lab: lab, Home: h, Program: []string{self}, Who: "test"}
}

func up(t *testing.T, s Spec) *Cluster {
	t.Helper()
	c, err := Up(t.Context(), s)
	if err != nil {
		t.Fatal(err, kit.HintOf(err))
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func ask(t *testing.T, c *Cluster, n kit.NodeName, verb string, args ...term.Term) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	v, err := c.Call(ctx, "test", n, door.Request{Verb: verb, Args: args}).Term()
	if err != nil {
		return err.Error()
	}
	return term.String(v)
}

// eventually polls: processes do not live in virtual time.
func eventually(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("not after 10 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(begun)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err, kit.HintOf(err))
	}
}

func states(c *Cluster) string {
	var s []string
	for _, n := range c.Look().Nodes {
		s = append(s, string(n.Node)+" "+n.State)
	}
	return strings.Join(s, ", ")
}

func TestUpAndDown(t *testing.T) {
	h := home(t)
	begun := time.Now()
	c := up(t, spec(t, h, "demo"))
	t.Logf("ready after %v", time.Since(begun))
	for n, want := range map[kit.NodeName]string{"a": "[b,c]", "b": "[a,c]", "c": "[a,b]"} {
		if got := ask(t, c, n, "nodes"); got != want {
			t.Errorf("%s sees %s", n, got)
		}
	}
	if got := ask(t, c, "z", "nodes"); !strings.Contains(got, "no such node") {
		t.Errorf("got %s", got)
	}
	if _, err := Up(t.Context(), spec(t, h, "demo")); kit.KindOf(err) != kit.Exists {
		t.Errorf("a second up: %v", err)
	}
	other := up(t, spec(t, h, "other"))
	if got := ask(t, other, "a", "nodes"); got != "[b,c]" {
		t.Errorf("the other lab's a sees %s", got)
	}
	if _, err := Open(h, "", "test"); kit.KindOf(err) != kit.Invalid || !strings.Contains(err.Error(), "demo, other") {
		t.Errorf("opening one of two labs: %v", err)
	}
	must(t, other.Down(t.Context()))
	again, err := Open(h, "", "test")
	must(t, err)
	defer again.Close()
	if again.Lab() != "demo" || ask(t, again, "a", "node") != "a" {
		t.Error("another handle on the lab does not work")
	}
	must(t, c.Down(t.Context()))
	if labs, err := List(h); err != nil || len(labs) != 0 {
		t.Errorf("left: %+v %v", labs, err)
	}
	if err := again.Cut("a", "b", false, false); kit.KindOf(err) != kit.Unavailable {
		t.Errorf("a fault in a lab that is down: %v", err)
	}
	if _, err := Down(h, "demo"); kit.KindOf(err) != kit.NotFound {
		t.Errorf("down twice: %v", err)
	}
	path, err := JournalPath(h, "demo")
	must(t, err)
	entries, _, err := door.ReadJournal(path, 0)
	if err != nil || !slices.ContainsFunc(entries, func(e Entry) bool { return e.Kind == "lab" && e.Text == "down demo" && e.Who == "test" }) {
		t.Errorf("journal: %+v %v", entries, err)
	}
}

// Both kinds of cut, as far as the nodes at both ends see them; the third node is not touched.
func TestCut(t *testing.T) {
	h := home(t)
	c := up(t, spec(t, h, "demo"))
	for _, silent := range []bool{false, true} {
		must(t, c.Cut("a", "b", silent, false))
		took := eventually(t, "both ends see the cut", func() bool {
			return ask(t, c, "a", "nodes") == "[c]" && ask(t, c, "b", "nodes") == "[c]"
		})
		t.Logf("silent %v: nodedown after %v", silent, took)
		if got := ask(t, c, "c", "nodes"); got != "[a,b]" {
			t.Errorf("c sees %s", got)
		}
		must(t, c.HealAll())
		if len(c.Rules()) > 0 && len(c.Rules()["a"])+len(c.Rules()["b"]) > 0 {
			t.Errorf("left: %v", c.Rules())
		}
		took = eventually(t, "both ends meet again", func() bool {
			return ask(t, c, "a", "nodes") == "[b,c]" && ask(t, c, "b", "nodes") == "[a,c]"
		})
		t.Logf("silent %v: nodeup after %v", silent, took)
	}
	must(t, c.Slow("a", "c", 30*time.Millisecond, false))
	begun := time.Now()
	if got := ask(t, c, "a", "ping", term.Atom("c")); got != "pong" || time.Since(begun) < 60*time.Millisecond {
		t.Errorf("%s after %v on a slow link", got, time.Since(begun))
	}
	must(t, c.Cut("a", "c", false, true))
	if r := c.Rules()["a"]["c"]; r != (wire.Rule{Cut: wire.Loud, Delay: 30 * time.Millisecond}) {
		t.Errorf("a cut of a slow link: %+v", r)
	}
	must(t, c.Heal("a", "c"))
	for _, err := range []error{c.Cut("a", "a", false, false), c.Cut("a", "z", false, false), c.Kill("z")} {
		if err == nil {
			t.Error("a fault without a target was done")
		}
	}
}

// A cut stays in force when a node restarts, and when it changes while the node is dead or paused.
func TestKillRestartPause(t *testing.T) {
	h := home(t)
	c := up(t, spec(t, h, "demo"))
	must(t, c.Cut("a", "b", false, false))
	must(t, c.Kill("b"))
	if got := states(c); got != "a running, b killed, c running" {
		t.Error(got)
	}
	if out := c.Call(t.Context(), "test", "b", door.Request{Verb: "node"}); out.Status != door.Down {
		t.Errorf("a dead node answered %+v", out)
	}
	if err := c.Kill("b"); kit.KindOf(err) != kit.Unavailable || !strings.Contains(kit.HintOf(err), "restart b") {
		t.Errorf("killing twice: %v", err)
	}
	must(t, c.Cut("b", "c", false, false))
	must(t, c.Restart("b"))
	eventually(t, "c has noticed", func() bool { return ask(t, c, "c", "nodes") == "[a]" })
	time.Sleep(300 * time.Millisecond) // long enough for a wrong reconnection
	if got := ask(t, c, "b", "nodes"); got != "[]" {
		t.Errorf("the restarted node sees %s through the cuts", got)
	}
	if got := ask(t, c, "b", "links"); strings.Count(got, "cut => loud") != 2 {
		t.Errorf("the restarted node's links: %s", got)
	}
	must(t, c.Pause("b"))
	if got := states(c); got != "a running, b paused, c running" {
		t.Error(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if out := c.Call(ctx, "impatient", "b", door.Request{Verb: "node"}); out.Status != door.Lost {
		t.Errorf("a paused node answered %+v", out)
	}
	if err := c.Restart("b"); kit.KindOf(err) != kit.Unavailable || !strings.Contains(kit.HintOf(err), "resume b") {
		t.Errorf("restarting a paused node: %v", err)
	}
	must(t, c.HealAll())
	must(t, c.Slow("b", "a", 5*time.Millisecond, true))
	must(t, c.Resume("b"))
	if got := ask(t, c, "b", "links"); strings.Count(got, "cut => whole") != 2 || !strings.Contains(got, "delay_us => 5000") {
		t.Errorf("the resumed node's links: %s", got)
	}
	eventually(t, "b is back", func() bool { return ask(t, c, "b", "nodes") == "[a,c]" })
	must(t, c.Stop("c"))
	if got := states(c); got != "a running, b running, c stopped" {
		t.Error(got)
	}
	must(t, os.WriteFile(filepath.Join(c.files.disc("c"), "x"), nil, 0o600))
	must(t, c.WipeDisc("c"))
	if left, err := os.ReadDir(c.files.disc("c")); err != nil || len(left) != 0 {
		t.Errorf("on the disc: %v %v", left, err)
	}
	if err := c.WipeDisc("a"); kit.KindOf(err) != kit.Refused {
		t.Errorf("wiping a running node's disc: %v", err)
	}
	must(t, c.Restart("c"))
	if got := ask(t, c, "c", "stop"); got != "ok" { // the same through its own door
		t.Error(got)
	}
	eventually(t, "c is stopped", func() bool { return states(c) == "a running, b running, c stopped" })
	must(t, c.Restart("c"))
	must(t, c.Restart("c")) // a running node is stopped first
	eventually(t, "c is back", func() bool { return ask(t, c, "c", "nodes") == "[a,b]" })
	must(t, c.Pause("a"))
	must(t, c.Kill("a")) // a paused node can be killed
	must(t, c.Pause("b"))
	must(t, c.Down(t.Context())) // and a lab with a paused one ended
}

// When another process took a node's port while it was down, it gets a new one and the others learn it.
func TestRestartWithTakenPort(t *testing.T) {
	h := home(t)
	c := up(t, spec(t, h, "demo"))
	must(t, c.Kill("b"))
	addr := c.Look().Nodes[1].Address
	var l net.Listener
	eventually(t, "the port is free", func() (ok bool) { var err error; l, err = net.Listen("tcp", addr); return err == nil })
	defer l.Close()
	must(t, c.Restart("b"))
	if now := c.Look().Nodes[1].Address; now == addr {
		t.Errorf("b is still at %s", now)
	}
	eventually(t, "all see b", func() bool {
		return ask(t, c, "a", "nodes") == "[b,c]" && ask(t, c, "b", "nodes") == "[a,c]" && ask(t, c, "c", "nodes") == "[a,b]"
	})
}

// A lab whose processes are gone is recognised, never confused with processes that have their pids now, and
// cleared by up and down alike.
func TestStale(t *testing.T) {
	h := home(t)
	c := up(t, spec(t, h, "demo"))
	for _, n := range c.Nodes() {
		p, _ := c.processOf(n)
		must(t, p.kill())
		must(t, p.await(time.Second, gone))
	}
	labs, err := List(h)
	if err != nil || len(labs) != 1 || !labs[0].Stale {
		t.Fatalf("%+v %v", labs, err)
	}
	if _, err := Open(h, "demo", "test"); kit.KindOf(err) != kit.Unavailable {
		t.Errorf("opening it: %v", err)
	}
	// The pid belongs to somebody else now: this test, which must survive.
	must(t, c.updateNode("a", func(nf *nodeFile) { nf.Pid = os.Getpid() }))
	if labs, err := List(h); err != nil || !labs[0].Stale {
		t.Errorf("with a reused pid: %+v %v", labs, err)
	}
	fresh := up(t, spec(t, h, "demo"))
	if !fresh.Cleared {
		t.Error("up did not say that it cleared anything")
	}
	// A node that was killed on purpose does not make a lab stale; one that crashed is told apart.
	must(t, fresh.Kill("a"))
	p, _ := fresh.processOf("b")
	must(t, p.kill())
	eventually(t, "b is seen as crashed", func() bool { return states(fresh) == "a killed, b crashed, c running" })
	must(t, fresh.Kill("c"))
	if fresh.Look().Stale == false {
		t.Error("only killed and crashed nodes, and not stale")
	}
	must(t, fresh.Restart("b"))
	must(t, fresh.Kill("b"))
	if fresh.Look().Stale {
		t.Error("a lab whose nodes were all killed on purpose is stale")
	}
	must(t, fresh.Down(t.Context()))
	// What cannot be read cannot be running as far as anyone knows.
	must(t, os.WriteFile(c.files.labJSON(), []byte("{"), 0o600))
	if stale, err := Down(h, "demo"); !stale || err != nil {
		t.Errorf("a broken lab.json: %v %v", stale, err)
	}
}

// Two at once: one starts the lab, the other is told that it runs.
func TestConcurrentUp(t *testing.T) {
	h := home(t)
	errs := make([]error, 3)
	var work sync.WaitGroup
	for i := range errs {
		s := spec(t, h, "demo")
		work.Go(func() {
			c, err := Up(t.Context(), s)
			if errs[i] = err; err == nil {
				c.Close()
			}
		})
	}
	work.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if kit.KindOf(err) != kit.Exists {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of them started it", won)
	}
}

// A program that is no node, or a broken one, gives an error that shows what it wrote, and leaves nothing running.
func TestBrokenPrograms(t *testing.T) {
	for _, c := range []struct{ program, want string }{
		{"garbage", "a node's first word"},
		{"panic", "the student's mistake"},
		{"hang", "not ready within"},
	} {
		t.Run(c.program, func(t *testing.T) {
			t.Setenv("TEST_PROGRAM", c.program)
			s := spec(t, home(t), "demo")
			if c.program == "hang" {
				s.ReadyIn = 200 * time.Millisecond
			}
			_, err := Up(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if labs, err := List(s.Home); err != nil || len(labs) != 0 {
				t.Errorf("left: %+v %v", labs, err)
			}
		})
	}
	s := spec(t, home(t), "demo")
	s.Program = []string{"/nowhere/at/all"}
	if _, err := Up(t.Context(), s); err == nil || !strings.Contains(err.Error(), "/nowhere/at/all") {
		t.Errorf("got %v", err)
	}
	s = spec(t, s.Home, "demo")
	s.Setup = func(context.Context, *Cluster) error { return errors.New("no tables today") }
	if _, err := Up(t.Context(), s); err == nil || !strings.Contains(err.Error(), "set up lab demo: no tables today") {
		t.Errorf("got %v", err)
	}
}

func TestBadSpecs(t *testing.T) {
	h := home(t)
	for _, s := range []Spec{
		{Lab: ""}, {Lab: "../x"}, {Lab: "Demo"}, {Lab: strings.Repeat("x", 99)}, {Lab: "demo", Nodes: []kit.NodeName{"a", "a"}},
		{Lab: "demo", Nodes: []kit.NodeName{"/"}}, {Lab: "demo", Nodes: make([]kit.NodeName, 99)},
	} {
		s.Home = h
		if _, err := Up(t.Context(), s); kit.KindOf(err) != kit.Invalid {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// A grader's cluster goes with the grader, whether it closes it or dies.
func TestTemporary(t *testing.T) {
	h := home(t)
	s := spec(t, h, "grade")
	s.Temporary = true
	c := up(t, s)
	if c.Lab() == "grade" || !strings.HasPrefix(c.Lab(), "grade-") {
		t.Errorf("its name is %s", c.Lab())
	}
	if _, err := Open(h, "", "test"); kit.KindOf(err) != kit.NotFound {
		t.Errorf("it counts as the running lab: %v", err)
	}
	c.Go(func(ctx context.Context) {
		if err := c.Sleep(ctx, time.Hour); err == nil {
			t.Error("slept an hour")
		}
	})
	must(t, c.Close())
	if left, err := os.ReadDir(filepath.Join(h, "labs")); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
	c = up(t, s)
	c.closeLeashes() // as the kernel does when the grader dies
	eventually(t, "the nodes have ended", func() bool { return c.Look().Stale })
}

// An abandoned lab ends by itself, and is then one whose processes are gone.
func TestAbandoned(t *testing.T) {
	s := spec(t, home(t), "demo")
	s.IdleExit = 300 * time.Millisecond
	c := up(t, s)
	eventually(t, "the nodes have ended", func() bool { return c.Look().Stale })
	entries, _, err := door.ReadJournal(c.files.journal(), 0)
	if err != nil || !slices.ContainsFunc(entries, func(e Entry) bool { return strings.Contains(e.Text, "nobody used the node's door") }) {
		t.Errorf("journal: %+v %v", entries, err)
	}
}

// Nodes end by themselves when their lab is no more, for example because its folder was removed.
func TestFolderRemoved(t *testing.T) {
	h := home(t)
	c := up(t, spec(t, h, "demo"))
	var ps []process
	for _, n := range c.Nodes() {
		p, _ := c.processOf(n)
		ps = append(ps, p)
	}
	must(t, os.RemoveAll(filepath.Join(h, "labs")))
	eventually(t, "the nodes have ended", func() bool {
		return !slices.ContainsFunc(ps, func(p process) bool { return p.status() != gone })
	})
}

// Socket paths are short; a state folder need not be.
func TestLongHome(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "")
	h := filepath.Join(home(t), strings.Repeat("deep/", 30))
	s := spec(t, h, "demo")
	s.Nodes = []kit.NodeName{"a", kit.NodeName(strings.Repeat("b", kit.MaxNodeName))}
	c := up(t, s)
	if got := ask(t, c, "a", "nodes"); got != "["+string(s.Nodes[1])+"]" {
		t.Errorf("got %s", got)
	}
	doors := c.lab.Doors
	must(t, c.Down(t.Context()))
	if _, err := os.Stat(doors); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", doors, err)
	}
	// A folder that others can enter is refused.
	open := filepath.Join(h, "open")
	must(t, os.Mkdir(open, 0o755))
	if err := ownFolder(open); err == nil {
		t.Error("a folder that others can read was accepted")
	}
}

// Manual nodes keep to themselves until they are told to connect.
func TestManual(t *testing.T) {
	s := spec(t, home(t), "demo")
	s.Manual = true
	c := up(t, s)
	if got := ask(t, c, "a", "nodes"); got != "[]" {
		t.Errorf("a sees %s", got)
	}
	if got := ask(t, c, "a", "connect", term.Atom("b")); got != "true" {
		t.Errorf("connect: %s", got)
	}
	if got := ask(t, c, "b", "nodes"); got != "[a]" {
		t.Errorf("b sees %s", got)
	}
}

// A node whose disc is damaged does not start, says which file, and leaves the rest of the lab alone.
func TestDamagedDisc(t *testing.T) {
	h := home(t)
	s := spec(t, h, "demo")
	nodes := term.List{term.Atom("a"), term.Atom("b")}
	s.Nodes = []kit.NodeName{"a", "b"}
	s.Setup = func(ctx context.Context, c *Cluster) error {
		ask(t, c, "a", "create_schema", nodes)
		ask(t, c, "a", "start_store")
		ask(t, c, "b", "start_store")
		opts := term.MakeMap(term.Pair{Key: term.Atom("disc_copies"), Value: nodes})
		if got := ask(t, c, "a", "create_table", term.Atom("t"), opts); got != "ok" {
			return errors.New(got)
		}
		ask(t, c, "a", "fill", term.Atom("t"), term.Int(100))
		return nil
	}
	c := up(t, s)
	must(t, c.Stop("b"))
	files, err := filepath.Glob(filepath.Join(c.files.disc("b"), "*"))
	must(t, err)
	for _, f := range files {
		info, err := os.Stat(f)
		must(t, err)
		if info.Mode().IsRegular() && info.Size() > 8 {
			b, err := os.ReadFile(f)
			must(t, err)
			for i := range b[:len(b)/2] {
				b[i] ^= 0x55
			}
			must(t, os.WriteFile(f, b, 0o600))
		}
	}
	if err := c.Restart("b"); kit.KindOf(err) != kit.Corrupt {
		t.Errorf("restart with a damaged disc: %v", err)
	} else {
		t.Log(err)
	}
	if got := states(c); got != "a running, b crashed" {
		t.Error(got)
	}
	must(t, c.WipeDisc("b"))
	must(t, c.Restart("b"))
	if got := ask(t, c, "b", "start_store"); got != "ok" {
		t.Errorf("with an empty disc: %s", got)
	}
}

// Each client is a process of its own to a node: it waits alone, and what it left open ends when it leaves.
func TestClients(t *testing.T) {
	h := home(t)
	c := up(t, spec(t, h, "demo"))
	must(t, c.Kill("b"))
	eventually(t, "a has noticed", func() bool { return ask(t, c, "a", "nodes") == "[c]" })
	waiting := make(chan door.Outcome, 1)
	c.Go(func(ctx context.Context) {
		waiting <- c.Call(ctx, "patient", "a", door.Request{Verb: "await_nodes", Args: []term.Term{term.List{term.Atom("b")}}})
	})
	if got := ask(t, c, "a", "node"); got != "a" {
		t.Errorf("got %s", got)
	}
	must(t, c.Restart("b"))
	c.Wait()
	if out := <-waiting; out.Status != door.OK {
		t.Errorf("got %+v", out)
	}
	c.Leave("patient")
}
