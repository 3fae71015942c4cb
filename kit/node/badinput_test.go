package node

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit/door"
	"netsplit/kit/term"
)

// What is wrong is said, or is silently true where Erlang is silent, and nothing hangs. Each line of the script is a request
// at the door of the node a, in its second life; b is another node, zz none.
func TestBadInputScript(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		b.start(Config{Node: "a", Boot: 2}, App{}, "b")
		b.start(Config{Node: "b", Boot: 1}, App{}, "a")
		b.want("a", "ok", "await_nodes", term.List{term.Atom("b")})
		s, end := door.NewSession(t.Context(), "shell")
		defer end()
		datadriven.RunTest(t, "testdata/badinput", func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				begun := time.Now()
				out.WriteString(request(t, b.nodes["a"].h, s, line) + "\n")
				if took := time.Since(begun); took > 6*time.Second {
					t.Errorf("%s took %v", line, took)
				}
			}
			return out.String()
		})
		if out := b.ask("b", "ping", term.Atom("a")); out != "pong" {
			t.Errorf("in the end b pings a: %s", out)
		}
	})
}

// request does one request of a script: a JSON list of the verb and its arguments.
func request(t *testing.T, h door.Handler, s *door.Session, line string) string {
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(line), &parts); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	r := door.Request{Client: "shell"}
	for i, raw := range parts {
		v, err := term.FromStep(raw)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if i == 0 {
			r.Verb = term.String(v)
			continue
		}
		r.Args = append(r.Args, v)
	}
	raw, err := json.Marshal(h(s.Context(), r))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// A message that is too large for a link is refused; its sender lives, and the link stays. Within a node it may be large.
func TestMessageTooLarge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		b.start(Config{Node: "a"}, App{}, "b")
		b.start(Config{Node: "b"}, App{}, "a")
		b.want("a", "ok", "await_nodes", term.List{term.Atom("b")})
		ask, end := asker(t, b)
		defer end()
		large := term.Bin(strings.Repeat("x", 9<<20))
		self := term.Atom("self")
		send := func(to, msg term.Term) string {
			return ask("a", "proc", self, term.L(term.Atom("send"), to, msg))
		}
		far := term.Pid{Node: "b", ID: 77}
		for _, c := range []struct{ got, says string }{
			{send(far, large), "the limit between nodes"},
			{send(term.T(term.Atom("x"), term.Atom("b")), large), "the limit between nodes"},
			{ask("a", "rpc", term.Atom("b"), term.L(term.Atom("mirror"), large)), "longer than a message may be"},
			{ask("a", "rpc", term.Atom("a"), term.L(term.Atom("is_alive"), large)), "badarg"},
			{ask("a", "proc", self, term.L(term.Atom("spawn_on"), term.Atom("b"), term.Atom("echo"), term.L(large))), "the limit between nodes"},
			{send(far, term.Int(1)), `"ok"`},
			{ask("a", "nodes"), `["b"]`},
		} {
			if !strings.Contains(c.got, c.says) {
				t.Errorf("got %.300s, want %s", c.got, c.says)
			}
		}
		if got := ask("a", "mailbox", self); got != "[]" {
			t.Errorf("%.300s", got)
		}
	})
}
