package node

import (
	"strings"
	"testing"
	"time"

	"netsplit/kit/door"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

// ask of one client, so that its own process lives from one request to the next.
func asker(t *testing.T, b *bench) (func(n, verb string, args ...term.Term) string, func()) {
	s, end := door.NewSession(t.Context(), "shell")
	return func(n, verb string, args ...term.Term) string {
		t.Helper()
		out := b.nodes["a"].h(s.Context(), door.Request{Client: "shell", Verb: verb, Args: args})
		if out.Status != door.OK {
			raw, err := out.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		}
		return string(out.Value)
	}, end
}

// A program adds functions; other nodes spawn and call them by name.
func TestFunctionsOfAProgram(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		double := func(p *proc.Process, args []term.Term) (term.Term, error) {
			n, ok := args[0].(term.Int)
			if !ok {
				return nil, proc.Error(term.Atom("badarg"))
			}
			p.Printf("doubling %d", n)
			return 2 * n, nil
		}
		app := App{Funcs: map[string]proc.Func{"double": double}}
		b.start(Config{Node: "a"}, app, "b")
		b.start(Config{Node: "b"}, app, "a")
		b.want("a", "ok", "await_nodes", term.List{term.Atom("b")})
		ask, end := asker(t, b)
		defer end()
		if got := ask("a", "rpc", term.Atom("b"), term.L(term.Atom("double"), term.Int(21))); got != "42" {
			t.Error(got)
		}
		if got := ask("a", "rpc", term.Atom("b"), term.L(term.Atom("double"), term.Atom("x"))); !strings.Contains(got, `"args":["badarg"]`) {
			t.Error(got)
		}
		if got := ask("a", "output", term.Int(0), term.Int(1000)); !strings.Contains(got, "doubling 21") {
			t.Error(got)
		}
	})
}

// Processes that a client acts for end with it.
func TestProcessesEndWithTheirClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		a := b.start(Config{Node: "a"}, App{})
		ask, end := asker(t, b)
		if got := ask("a", "proc_spawn", term.Atom("p")); !strings.HasPrefix(got, `{"pid":"a.`) {
			t.Error(got)
		}
		ask("a", "proc", term.Atom("self"), term.L(term.Atom("self")))
		if n := a.node.procs.Count(); n != 2 {
			t.Errorf("%d processes", n)
		}
		end()
		time.Sleep(time.Millisecond)
		if n := a.node.procs.Count(); n != 0 {
			t.Errorf("%d processes are left", n)
		}
	})
}

// What is wrong is said, and nothing hangs.
func TestBadProcessRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		b.start(Config{Node: "a"}, App{})
		ask, end := asker(t, b)
		defer end()
		self, a := term.Atom("self"), term.Atom("a")
		op := func(elems ...term.Term) []term.Term { return []term.Term{self, term.List(elems)} }
		for _, c := range []struct {
			verb string
			args []term.Term
			says string
		}{
			{"spawn", []term.Term{a, term.Atom("nosuch")}, "knows no such function"},
			{"spawn", []term.Term{a, term.Atom("$global_register")}, "invalid"},
			{"spawn", []term.Term{a, term.Atom("echo"), term.Int(1)}, "invalid"},
			{"spawn", []term.Term{term.Atom("zz"), term.Atom("echo")}, "no such node"},
			{"proc", []term.Term{term.Atom("nobody"), term.L(self)}, "there is no such process"},
			{"proc", []term.Term{term.Pid{Node: "b", ID: 1}, term.L(self)}, "another node"},
			{"proc", []term.Term{term.Pid{Node: "a", ID: 999}, term.L(self)}, `{"process":"dead"}`},
			{"proc", op(), "badarg"},
			{"proc", op(term.Atom("nosuch")), "no such operation"},
			{"proc", op(term.Int(1)), "no such operation"},
			{"proc", op(term.Atom("link")), "it takes pid"},
			{"proc", op(term.Atom("link"), term.Int(3)), `"raised":"badarg"`},
			{"proc", op(term.Atom("send_seq"), term.Pid{Node: "a", ID: 1}, term.Int(1<<40)), "badarg"},
			{"proc", op(term.Atom("demonitor"), term.Atom("x")), "badarg"},
			{"proc", op(term.Atom("global_send"), term.Atom("nobody"), term.Int(1)), `"args":[{"t":["nobody",1]}],"class":"exit"`},
			{"mailbox", []term.Term{self, term.Int(-1)}, "milliseconds"},
			{"rpc", []term.Term{term.Atom("zz"), term.Atom("node")}, `"badrpc":"nodedown"`},
			{"rpc", []term.Term{a, term.Atom("nosuch")}, `"args":["undef"]`},
			{"rpc", []term.Term{a, term.Atom("node"), term.Int(1 << 50)}, "milliseconds"},
			{"rpc", []term.Term{term.Int(1), term.Atom("node")}, "invalid"},
			{"multicall", []term.Term{term.Int(1), term.Atom("node")}, "list of nodes"},
			{"register", []term.Term{term.Atom("x"), term.Int(1)}, "invalid"},
			{"register", []term.Term{term.Atom("x"), term.Pid{Node: "a", ID: 999}}, `"raised":"badarg"`},
			{"global_register", []term.Term{term.Atom("x"), term.Pid{Node: "a", ID: 1}, term.Atom("nosuch")}, "no resolver"},
			{"process_info", []term.Term{term.Pid{Node: "a", ID: 999}}, `"undefined"`},
			{"is_alive", []term.Term{term.Pid{Node: "zz", ID: 1}}, `{"t":["badrpc","nodedown"]}`},
			{"output", []term.Term{term.Int(-1)}, "invalid"},
			{"processes", []term.Term{term.Atom("x")}, "invalid"},
		} {
			if got := ask("a", c.verb, c.args...); !strings.Contains(got, c.says) {
				t.Errorf("%s %s: got %s, want %s", c.verb, term.String(term.List(c.args)), got, c.says)
			}
		}
	})
}
