package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// splits is how often a cluster is split and healed; the last time works as the first.
const splits = 20

// TestSplitsInTheSimulator splits a simulated cluster again and again, by turns so that it is told at once and so that it
// is not.
func TestSplitsInTheSimulator(t *testing.T) {
	dir, ok := simulable(t)
	if !ok {
		return
	}
	w, err := SimulatedProcs(dir, "./cmd/node")(t.Context(), ProcPlan{Seed: 1, Nodes: []kit.NodeName{"a", "b", "c"}})
	if err != nil {
		t.Fatal(err)
	}
	splitAgain(t, w, func(i int) wire.Cut { return []wire.Cut{wire.Loud, wire.Silent}[i%2] })
}

// TestSplitsOfProcesses does the same with real processes.
func TestSplitsOfProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it takes seconds of real time")
	}
	home, err := os.MkdirTemp("", "ns") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w, err := Real(home, "again", []string{self})(t.Context(), Plan{Nodes: []kit.NodeName{"a", "b", "c"}})
	if err != nil {
		t.Fatal(err)
	}
	splitAgain(t, w, func(i int) wire.Cut {
		if i == splits-1 {
			return wire.Silent
		}
		return wire.Loud
	})
}

// splitting is a cluster of a, b and c that is split and healed, with a process on each node.
type splitting struct {
	t    *testing.T
	w    World
	pids map[kit.NodeName]term.Pid
	held map[string]int64 // what each node holds after the first time
}

func splitAgain(t *testing.T, w World, cut func(int) wire.Cut) {
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := &splitting{t: t, w: w, pids: map[kit.NodeName]term.Pid{}, held: map[string]int64{}}
	for _, n := range w.Nodes() {
		s.must(n, "await_nodes", term.List{term.Atom("a"), term.Atom("b"), term.Atom("c")}, term.Int(20_000))
		out := s.must(n, "proc_spawn", term.Atom("p"+n))
		pid, ok := pidOf(out)
		if !ok {
			t.Fatalf("proc_spawn: %s", out.Value)
		}
		s.pids[n] = pid
		s.op(n, "trap_exit", term.True)
		s.op(n, "monitor_nodes_reason", term.True)
	}
	for i := range splits {
		if t.Failed() {
			return
		}
		s.once(i, cut(i))
	}
}

func (s *splitting) call(n kit.NodeName, verb string, args ...term.Term) door.Outcome {
	client := "of " + string(n)
	return s.w.Call(context.Background(), client, n, door.Request{Client: client, Verb: verb, Args: args})
}

func (s *splitting) must(n kit.NodeName, verb string, args ...term.Term) door.Outcome {
	s.t.Helper()
	out := s.call(n, verb, args...)
	if err := out.Err(); err != nil {
		s.t.Fatalf("%s at %s: %v", verb, n, err)
	}
	return out
}

// op does an operation in the name of the process on a node.
func (s *splitting) op(n kit.NodeName, name string, args ...term.Term) string {
	s.t.Helper()
	return string(s.must(n, "proc", s.pids[n], append(term.L(term.Atom(name)), args...)).Value)
}

// gets waits until a process has got all these messages, in any order, and nothing else.
func (s *splitting) gets(n kit.NodeName, want ...string) {
	s.t.Helper()
	var got []string
	left := append([]string(nil), want...)
	for range 500 {
		var list []json.RawMessage
		if err := json.Unmarshal(s.must(n, "mailbox", s.pids[n]).Value, &list); err != nil {
			s.t.Fatal(err)
		}
		for _, raw := range list {
			got = append(got, string(raw))
			for i, w := range left {
				if strings.Contains(string(raw), w) {
					left = append(left[:i], left[i+1:]...)
					break
				}
			}
		}
		if len(left) == 0 {
			break
		}
		_ = s.w.Sleep(context.Background(), 20*time.Millisecond)
	}
	if len(left) > 0 || len(got) != len(want) {
		s.t.Errorf("%s got %v; missing %v", n, got, left)
	}
}

// is waits until a node answers a request so.
func (s *splitting) is(n kit.NodeName, want, verb string, args ...term.Term) {
	s.t.Helper()
	got := ""
	for range 500 {
		if got = string(s.must(n, verb, args...).Value); got == want {
			return
		}
		_ = s.w.Sleep(context.Background(), 20*time.Millisecond)
	}
	s.t.Errorf("%s at %s: %s, want %s", verb, n, got, want)
}

// once splits a off, lets both sides take the same name, heals, and sees that all is as before.
func (s *splitting) once(i int, cut wire.Cut) {
	s.t.Helper()
	name, word := term.Atom("svc"), term.T(term.Atom("round"), term.Int(i))
	pid := func(n kit.NodeName) string { return fmt.Sprintf(`{"pid":"%s.%d"}`, n, s.pids[n].ID) }
	s.op("a", "monitor", s.pids["b"])
	s.op("b", "link", s.pids["a"])
	s.op("c", "send", s.pids["a"], word)
	s.gets("a", fmt.Sprintf(`"round",%d`, i))
	for _, o := range []kit.NodeName{"b", "c"} {
		_, _ = s.w.Link("a", o, wire.Rule{Cut: cut}), s.w.Link(o, "a", wire.Rule{Cut: cut}) // the nodes are the world's
	}
	s.gets("a", `"DOWN"`, `"EXIT"`, `"nodedown"`, `"nodedown"`)
	s.gets("b", `"EXIT"`, `"nodedown"`)
	s.gets("c", `"nodedown"`)
	s.is("a", `[]`, "nodes")
	s.is("b", `["c"]`, "nodes")
	for _, n := range []kit.NodeName{"a", "b"} {
		if got := s.op(n, "global_register", name, term.Atom("random_notify")); got != `"yes"` {
			s.t.Errorf("%s gets the name: %s", n, got)
		}
	}
	s.is("c", pid("b"), "global_whereis", name)
	for _, o := range []kit.NodeName{"b", "c"} {
		_, _ = s.w.Link("a", o, healed), s.w.Link(o, "a", healed)
	}
	s.gets("a", `"nodeup"`, `"nodeup"`)
	s.gets("b", `"nodeup"`, `"global_name_conflict"`)
	s.gets("c", `"nodeup"`)
	for _, n := range []kit.NodeName{"a", "b", "c"} {
		s.must(n, "global_sync")
		s.is(n, pid("a"), "global_whereis", name)
	}
	s.must("c", "global_unregister", name)
	s.is("b", `"undefined"`, "global_whereis", name)
	s.op("b", "send", s.pids["a"], word)
	s.gets("a", `"round"`)
	if i%5 == 0 || i == splits-1 {
		s.same(i)
	}
}

// same checks that the nodes hold no more than after the first time.
func (s *splitting) same(i int) {
	_ = s.w.Sleep(context.Background(), 300*time.Millisecond)
	for n := range s.pids {
		for _, verb := range []string{"proc_counts", "status"} {
			t, err := s.must(n, verb).Term()
			if err != nil {
				s.t.Fatal(err)
			}
			for _, p := range t.(term.Map) {
				v, isInt := p.Value.(term.Int)
				key, _ := p.Key.(term.Atom)
				if !isInt || key == "memory" || key == "uptime_ms" {
					continue
				}
				at := string(n) + " " + string(key)
				most := s.held[at]
				if key == "goroutines" {
					most += 3 // a try to connect, or a request
				}
				if i == 0 {
					s.held[at] = int64(v)
				} else if int64(v) > most {
					s.t.Errorf("round %d: %s is %d, was %d", i+1, at, v, s.held[at])
				}
			}
		}
	}
}
