package proc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// mesh joins runtimes in memory, with links that can be cut. Frames pass in order, a millisecond later.
type mesh struct {
	mu    sync.Mutex
	nodes map[kit.NodeName]*Runtime
	wires map[[2]kit.NodeName]chan []byte // nil: the link is down
	work  sync.WaitGroup
	cut   map[[2]kit.NodeName]bool
}

// end is one node's end of the mesh.
type end struct {
	m    *mesh
	self kit.NodeName
}

func (e end) Send(to kit.NodeName, frame []byte) {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	if w := e.m.wires[[2]kit.NodeName{e.self, to}]; w != nil {
		w <- frame
	}
}

func (e end) Queued(to kit.NodeName) int { return 0 }

func (e end) Connect(_ context.Context, to kit.NodeName) error {
	e.m.mu.Lock()
	known, whole := e.m.nodes[to] != nil, !e.m.cut[pair(e.self, to)]
	e.m.mu.Unlock()
	if !known || !whole {
		return errors.New("unreachable")
	}
	e.m.link(e.self, to)
	return nil
}

func (e end) Disconnect(to kit.NodeName) { go e.m.unlink(e.self, to) }

func pair(a, b kit.NodeName) [2]kit.NodeName {
	if a > b {
		a, b = b, a
	}
	return [2]kit.NodeName{a, b}
}

// link brings a link up, and both ends hear of it before any frame.
func (m *mesh) link(a, b kit.NodeName) {
	m.mu.Lock()
	if m.wires[[2]kit.NodeName{a, b}] != nil {
		m.mu.Unlock()
		return
	}
	for _, w := range [][2]kit.NodeName{{a, b}, {b, a}} {
		frames := make(chan []byte, 100_000)
		m.wires[w] = frames
		from, to := m.nodes[w[0]], m.nodes[w[1]]
		m.work.Go(func() {
			to.PeerUp(from.cfg.Self)
			for f := range frames {
				time.Sleep(time.Millisecond)
				to.Receive(from.cfg.Self, f)
			}
			to.PeerDown(from.cfg.Self, "connection_closed")
		})
	}
	m.mu.Unlock()
}

func (m *mesh) unlink(a, b kit.NodeName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range [][2]kit.NodeName{{a, b}, {b, a}} {
		if c := m.wires[w]; c != nil {
			close(c)
			delete(m.wires, w)
		}
	}
}

func (m *mesh) setCut(a, b kit.NodeName, cut bool) {
	m.mu.Lock()
	m.cut[pair(a, b)] = cut
	m.mu.Unlock()
	if cut {
		m.unlink(a, b)
	} else {
		m.link(a, b)
	}
}

// cluster runs f in a bubble with connected nodes a, b, ..., and checks that everything ends with them.
func cluster(t *testing.T, n int, cfg Config, f func(t *testing.T, m *mesh, nodes []*Runtime)) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		m := &mesh{nodes: map[kit.NodeName]*Runtime{}, wires: map[[2]kit.NodeName]chan []byte{}, cut: map[[2]kit.NodeName]bool{}}
		var nodes []*Runtime
		for i := range n {
			c := cfg
			c.Self = kit.NodeName('a' + rune(i))
			c.Peers = end{m, c.Self}
			c.Report = func(text string) { t.Log(string(c.Self) + ": " + text) }
			r, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			m.nodes[c.Self] = r
			nodes = append(nodes, r)
		}
		for i := range nodes {
			for j := range i {
				m.link(nodes[j].cfg.Self, nodes[i].cfg.Self)
			}
		}
		time.Sleep(10 * time.Millisecond)
		f(t, m, nodes)
		for i := range nodes {
			for j := range i {
				m.unlink(nodes[j].cfg.Self, nodes[i].cfg.Self)
			}
		}
		m.work.Wait()
		for _, r := range nodes {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func attend(t *testing.T, r *Runtime) *Process {
	t.Helper()
	p, err := r.Attend()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// want takes the next message and compares how it prints.
func want(t *testing.T, p *Process, text string) {
	t.Helper()
	msg, ok := p.Receive(time.Second, nil)
	if got := term.String(msg); !ok || got != text {
		t.Errorf("got %s, want %s", got, text)
	}
}

func TestEchoOnAnotherNode(t *testing.T) {
	cluster(t, 2, Config{}, func(t *testing.T, m *mesh, nodes []*Runtime) {
		p := attend(t, nodes[0])
		q, err := p.Spawn("b", "echo")
		if err != nil || q.Node != "b" {
			t.Fatal(q, err)
		}
		for i := range 100 {
			if err := p.Send(q, term.T(p.Self(), term.Int(i))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			want(t, p, fmt.Sprintf("{echo,%d}", i))
		}
		p.Monitor(q)
		if err := p.Send(q, term.Atom("stop")); err != nil {
			t.Fatal(err)
		}
		want(t, p, fmt.Sprintf("{'DOWN',2,process,%s,normal}", term.String(q)))
	})
}

// A receive takes what it wants out of the middle, and leaves the rest in order.
func TestSelectiveReceive(t *testing.T) {
	cluster(t, 1, Config{}, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		p := attend(t, nodes[0])
		for i := range 5 {
			if err := p.Send(p.Self(), term.Int(i)); err != nil {
				t.Fatal(err)
			}
		}
		is := func(i term.Int) func(term.Term) bool { return func(m term.Term) bool { return m == i } }
		if m, ok := p.Receive(0, is(3)); !ok || m != term.Int(3) {
			t.Error(m, ok)
		}
		if m, ok := p.Receive(time.Second, is(9)); ok {
			t.Error(m)
		}
		for _, i := range []int{0, 1, 2, 4} {
			want(t, p, fmt.Sprint(i))
		}
		began := time.Now()
		if _, ok := p.Receive(50*time.Millisecond, nil); ok || time.Since(began) != 50*time.Millisecond {
			t.Error("it did not wait 50 ms in vain")
		}
	})
}

var ours = map[string]Func{
	"panics":  func(*Process, []term.Term) (term.Term, error) { panic("oh") },
	"fails":   func(*Process, []term.Term) (term.Term, error) { return nil, errors.New("no luck") },
	"leaves":  func(p *Process, _ []term.Term) (term.Term, error) { p.Exit(term.Atom("tired")); return nil, nil },
	"waits":   func(p *Process, _ []term.Term) (term.Term, error) { p.Receive(Forever, nil); return nil, nil },
	"deaf":    func(p *Process, _ []term.Term) (term.Term, error) { <-p.Context().Done(); return nil, nil },
	"nothing": func(*Process, []term.Term) (term.Term, error) { return nil, nil },
}

// What a function raises becomes the reason of its process and the answer of its call.
func TestReasonsAndCalls(t *testing.T) {
	cluster(t, 2, Config{Funcs: ours}, func(t *testing.T, m *mesh, nodes []*Runtime) {
		p := attend(t, nodes[0])
		for _, c := range []struct {
			fn, reason string
			kind       ResultKind
			value      string
		}{
			{"panics", "{panic,<<\"oh\">>}", Failed, "{panic,<<\"oh\">>}"},
			{"fails", `<<"no luck">>`, Failed, `<<"no luck">>`},
			{"leaves", "tired", Exited, "tired"},
			{"nothing", "normal", Returned, "ok"},
			{"throw", "{nocatch,ball}", Thrown, "ball"},
			{"kill", "killed", Died, "killed"},
			{"crash", "boom", Failed, "boom"},
		} {
			_, ref, err := p.SpawnMonitor("b", c.fn)
			msg, _ := p.Receive(time.Second, nil)
			down, _ := msg.(term.Tuple)
			if err != nil || len(down) != 5 || down[1] != term.Int(ref) {
				t.Errorf("%s: %v %s", c.fn, err, term.String(msg))
				continue
			}
			if plain, _ := WithoutStack(down[4]); term.String(plain) != c.reason {
				t.Errorf("%s ends with %s", c.fn, term.String(down[4]))
			}
			res, err := nodes[0].Call(t.Context(), term.Pid{}, "b", c.fn, nil, time.Second)
			if err != nil || res.Kind != c.kind || term.String(res.Value) != c.value {
				t.Errorf("call of %s: %+v %v", c.fn, res, err)
			}
		}
		res, err := nodes[0].Call(t.Context(), term.Pid{}, "b", "nosuch", nil, time.Second)
		if err != nil || res.Kind != Failed || res.Value != Undef {
			t.Errorf("unknown function: %+v %v", res, err)
		}
		if _, err := p.Spawn("b", "nosuch"); kit.KindOf(err) != kit.NotFound {
			t.Error(err)
		}
	})
}

// Calls that nobody answers: in time, on a cut link, and when the link is cut while one waits.
func TestCallsWithoutAnswer(t *testing.T) {
	cluster(t, 3, Config{Funcs: ours}, func(t *testing.T, m *mesh, nodes []*Runtime) {
		call := func(fn string) Result {
			res, err := nodes[0].Call(t.Context(), term.Pid{}, "b", fn, nil, time.Second)
			if err != nil {
				t.Error(err)
			}
			return res
		}
		if res := call("waits"); res.Kind != TimedOut {
			t.Error(res)
		}
		time.AfterFunc(100*time.Millisecond, func() { m.setCut("a", "b", true) })
		if res := call("waits"); res.Kind != Lost {
			t.Error(res)
		}
		if res := call("node"); res.Kind != Lost {
			t.Error(res)
		}
		all, err := nodes[0].Multicall(t.Context(), term.Pid{}, []kit.NodeName{"c", "b", "a"}, "node", nil, time.Second)
		if err != nil || len(all) != 3 || all[0].Value != term.Atom("c") || all[1].Kind != Lost || all[2].Value != term.Atom("a") {
			t.Error(all, err)
		}
		m.setCut("a", "b", false)
		time.Sleep(10 * time.Millisecond)
		if res := call("node"); res.Value != term.Atom("b") {
			t.Error(res)
		}
	})
}

// A killed process does not come back from what it asks for, and everything is joined.
func TestKilledAndClosed(t *testing.T) {
	cluster(t, 1, Config{Funcs: ours, MaxProcesses: 50, MaxMailbox: 10}, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		p := attend(t, nodes[0])
		var pids []term.Pid
		for i := 0; ; i++ {
			pid, err := p.Spawn("a", []string{"waits", "deaf"}[i%2])
			if err != nil {
				if kit.KindOf(err) != kit.Overloaded || len(pids) != 49 {
					t.Error(len(pids), err)
				}
				break
			}
			pids = append(pids, pid)
		}
		for _, pid := range pids[:20] {
			p.SendExit(pid, Kill)
		}
		synctest.Wait()
		if n := nodes[0].Count(); n != 30 {
			t.Errorf("%d processes", n)
		}
		p.Monitor(pids[31])
		for i := range 11 {
			if err := p.Send(pids[31], term.Int(i)); err != nil {
				t.Error(err)
			}
		}
		msg, _ := p.Receive(time.Second, nil)
		if !strings.Contains(term.String(msg), "{system_limit,mailbox}") {
			t.Error(term.String(msg))
		}
		p.End(Kill)
		if err := p.Act(func() error { return nil }); !errors.Is(err, ErrEnded) {
			t.Error(err)
		}
	})
}

// The node's own program starts processes, too; they have no parent, and what they write is shown here.
func TestSpawnByProgram(t *testing.T) {
	cluster(t, 1, Config{Funcs: ours, MaxProcesses: 1}, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		r := nodes[0]
		if _, err := r.Spawn("nosuch"); kit.KindOf(err) != kit.NotFound {
			t.Error(err)
		}
		if pid, err := r.Spawn("waits"); err != nil || !r.Alive(pid) {
			t.Error(pid, err)
		}
		if _, err := r.Spawn("waits"); kit.KindOf(err) != kit.Overloaded {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.Spawn("waits"); kit.KindOf(err) != kit.Unavailable {
			t.Error(err)
		}
	})
}

// What cannot be sent is said at once.
func TestBadInput(t *testing.T) {
	cluster(t, 2, Config{}, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		p := attend(t, nodes[0])
		if err := p.Send(term.Pid{Node: "b", ID: 99}, term.Bin(strings.Repeat("x", MaxMessage))); kit.KindOf(err) != kit.Invalid {
			t.Error(err)
		}
		var e *Exception
		if err := p.Send(term.Atom("nobody"), term.Int(1)); !errors.As(err, &e) || e.Reason != term.Atom("badarg") {
			t.Error(err)
		}
		if err := p.Send(term.Int(7), term.Int(1)); !errors.As(err, &e) {
			t.Error(err)
		}
		if err := p.Send(term.Pid{Node: "nosuch", ID: 1}, term.Int(1)); err != nil {
			t.Error(err)
		}
		if _, err := nodes[0].RegisterGlobal(t.Context(), term.Atom("x"), p.Self(), "nosuch"); kit.KindOf(err) != kit.NotFound {
			t.Error(err)
		}
		for i := range MaxConnecting + 10 { // more than may wait for a connection: the last ones fail at once
			nodes[0].step(func(c *Core) { c.SendName(p.Self(), "x", "zz", term.Int(i)) })
		}
		ref := p.Monitor(term.Pid{Node: "zz", ID: 1})
		want(t, p, fmt.Sprintf("{'DOWN',%d,process,<zz.1>,noconnection}", ref))
		nodes[1].Receive("a", []byte{1, 2, 3})
		forged := Signal{Op: OpExit, From: term.Pid{Node: "b", ID: 1}, To: p.Self(), Term: Kill}
		nodes[0].Receive("c", forged.Encode())
		nodes[1].Receive("c", forged.Encode())
		if _, ended := p.Ended(); ended {
			t.Error("a forged signal was taken")
		}
		if _, err := New(Config{Self: "a", Funcs: map[string]Func{"echo": echo}}); kit.KindOf(err) != kit.Invalid {
			t.Error(err)
		}
	})
}

// Many want the same name at once: one gets it, and all nodes agree.
func TestGlobalNameRace(t *testing.T) {
	cluster(t, 3, Config{}, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		for round := range 10 {
			name := term.T(term.Atom("job"), term.Int(round))
			got := make([]bool, 9)
			var work sync.WaitGroup
			for i := range got {
				p := attend(t, nodes[i%3])
				work.Go(func() {
					var err error
					if got[i], err = nodes[i%3].RegisterGlobal(t.Context(), name, p.Self(), ""); err != nil {
						t.Error(err)
					}
				})
			}
			work.Wait()
			winners := 0
			for _, g := range got {
				if g {
					winners++
				}
			}
			first, _ := nodes[0].WhereisGlobal(name)
			for _, r := range nodes {
				if pid, ok := r.WhereisGlobal(name); !ok || pid != first || winners != 1 {
					t.Errorf("round %d: %d got it, %s knows %v", round, winners, r.cfg.Self, pid)
				}
			}
		}
	})
}

// Output of a process goes to where the first of its ancestors was spawned.
func TestOutput(t *testing.T) {
	funcs := map[string]Func{"relay": func(p *Process, _ []term.Term) (term.Term, error) {
		p.Printf("one\ntwo on %s\n", p.Node())
		_, err := p.Spawn("c", "hello")
		return nil, err
	}}
	cluster(t, 3, Config{Funcs: funcs}, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		if _, err := attend(t, nodes[0]).Spawn("b", "relay"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		lines, last := nodes[0].Output(t.Context(), 0, time.Second)
		var got []string
		for _, l := range lines {
			got = append(got, l.From.Node+": "+l.Text)
		}
		slices.Sort(got)
		if want := "b: one, b: two on b, c: hello from c"; strings.Join(got, ", ") != want || last != 3 {
			t.Errorf("%d lines: %s", last, strings.Join(got, ", "))
		}
		if lines, _ := nodes[0].Output(t.Context(), last, time.Second); len(lines) != 0 {
			t.Error(lines)
		}
	})
}

// Random cuts and heals while processes send, watch and end: order for each pair is kept, each monitor tells exactly once,
// and after the last heal a global name has one holder.
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cluster(t, 3, Config{Seed: seed}, func(t *testing.T, m *mesh, nodes []*Runtime) { storm(t, m, nodes, seed) })
		})
	}
}

func storm(t *testing.T, m *mesh, nodes []*Runtime, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	w, sink := attend(t, nodes[0]), attend(t, nodes[1])
	sender := attend(t, nodes[2])
	refs := map[term.Term]int{}
	var names []*Process
	for i := range 200 {
		node := nodes[rng.IntN(3)]
		switch rng.IntN(6) {
		case 0:
			a := rng.IntN(3)
			m.setCut(kit.NodeName('a'+rune(a)), kit.NodeName('a'+rune((a+1)%3)), rng.IntN(2) == 0)
		case 1:
			pid, ref, err := w.SpawnMonitor(node.cfg.Self, "sleep", term.Int(rng.IntN(40)))
			if err == nil && pid.Node != "" {
				refs[term.Int(ref)] = 0
			}
		case 2:
			p := attend(t, node)
			refs[term.Int(w.Monitor(p.Self()))] = 0
			names = append(names, p)
			if _, err := node.RegisterGlobal(t.Context(), term.Atom("boss"), p.Self(), ""); err != nil {
				t.Error(err)
			}
		case 3:
			if len(names) > 0 {
				names[rng.IntN(len(names))].End(term.Atom("done"))
			}
		default:
			if err := sender.Send(sink.Self(), term.Int(i)); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Duration(rng.IntN(5)) * time.Millisecond)
	}
	for a := range 3 {
		m.setCut(kit.NodeName('a'+rune(a)), kit.NodeName('a'+rune((a+1)%3)), false)
	}
	time.Sleep(10 * time.Second)
	holders := map[term.Pid]bool{}
	for _, r := range nodes {
		if pid, ok := r.WhereisGlobal(term.Atom("boss")); ok {
			holders[pid] = true
		}
	}
	if len(holders) > 1 {
		t.Errorf("%d holders of a global name", len(holders))
	}
	for _, p := range names {
		p.End(Kill)
	}
	judge(t, sink, w, refs)
}

// judge looks at what came: messages in the order sent, each monitor's word once.
func judge(t *testing.T, sink, w *Process, refs map[term.Term]int) {
	for last := term.Int(-1); ; {
		msg, ok := sink.Receive(time.Second, nil)
		if !ok {
			break
		}
		if msg.(term.Int) <= last {
			t.Errorf("%v came after %d", msg, last)
		}
		last = msg.(term.Int)
	}
	for {
		msg, ok := w.Receive(time.Second, nil)
		if !ok {
			break
		}
		refs[msg.(term.Tuple)[1]]++
	}
	for ref, n := range refs {
		if n != 1 {
			t.Errorf("monitor %v told %d times", ref, n)
		}
	}
}
