package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/term"
	"netsplit/kit/world"
)

// TestMain lets the test binary be the child of RunIsolated.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ChildVerb {
		os.Exit(ScriptMain(os.Args[2:], os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// TestScripts runs the conversations of testdata/scripts. A file is one session.
//
//	type        entries, as typed one after another; what is printed, errors with "error:" and "hint:"
//	file        the same text as one file
//	calls       what the nodes were asked since the last "calls"
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		w := newFake()
		var out bytes.Buffer
		s, err := New(Options{World: w, Lab: "demo", Out: &out,
			Data: map[string]term.Term{"keys": term.List{term.Bin("k7"), term.Bin("k9")}, "amount": term.Int(412)},
			Hooks: map[string]Hook{"double": func(_ context.Context, _ world.World, args []term.Term) (term.Term, error) {
				n, ok := args[0].(term.Int)
				if !ok {
					return nil, &kit.Error{Op: "double", Kind: kit.Invalid, Hint: "give it a number"}
				}
				return 2 * n, nil
			}},
			Load: func(name string) ([]byte, error) {
				if name != "usr.star" {
					return nil, &kit.Error{Op: "load", What: name, Kind: kit.NotFound}
				}
				return []byte("def add(db, n): return db.dirty_write('usr', n, 1)\n_private = 1\n"), nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out.Reset()
			show := func(err error) {
				if err != nil {
					fmt.Fprintf(&out, "error: %v\n", err)
					if h := kit.HintOf(err); h != "" {
						fmt.Fprintf(&out, "hint: %s\n", h)
					}
				}
			}
			switch d.Cmd {
			case "type":
				if _, err := s.Piped(t.Context(), "typed", strings.NewReader(d.Input), show); err != nil {
					show(err)
				}
			case "file":
				show(s.RunFile(t.Context(), "run.star", []byte(d.Input)))
			case "calls":
				for _, c := range w.calls {
					fmt.Fprintln(&out, c)
				}
			default:
				t.Fatalf("no command %s", d.Cmd)
			}
			if d.Cmd != "calls" && !d.HasArg("keep") {
				defer func() { w.calls = w.calls[:len(w.calls):len(w.calls)] }()
			}
			if d.Cmd == "calls" {
				w.calls = nil
			}
			return out.String()
		})
	})
}

func session(t *testing.T, opts Options) (*Session, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	opts.Out = &out
	if opts.World == nil {
		opts.World = newFake()
	}
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, &out
}

func TestLimitsStopScripts(t *testing.T) {
	for _, c := range []struct {
		name, src, want string
		limits          Limits
	}{
		{"endless loop", "while True: pass", tooManySteps, Limits{Steps: 1_000_000}},
		{"wall clock", "while True: pass", "ran longer than", Limits{Steps: -1, Wall: 50 * time.Millisecond}},
		{"wall clock in a sleep", "wait_until(lambda: False, 3600000)", "ran longer than", Limits{Wall: 100 * time.Millisecond}},
		{"recursion", "def f(n):\n  return f(n + 1)\nf(0)", tooDeep, Limits{}},
		{"output", "while True: print('x' * 1000)", tooMuchOutput, Limits{}},
		{"source", "x = 1" + strings.Repeat(" ", 100), "bytes", Limits{Source: 10}},
		{"tasks", "for i in range(100): background(lambda: wait_until(lambda: False, 1000000))", "tasks are running", Limits{Tasks: 3}},
		{"tasks loop for ever", "def f():\n  while True: pass\nbackground(f)\nf()", tooManySteps, Limits{Steps: 1_000_000}},
		{"many attempts", "def f():\n  for i in range(10000000): attempt(lambda: fail('x'))\nf()", tooManySteps, Limits{Steps: 1_000_000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newFake()
			w.hang = strings.Contains(c.name, "sleep")
			s, _ := session(t, Options{World: w, Limits: c.limits})
			err := s.RunFile(t.Context(), "run.star", []byte(c.src))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if c.name != "tasks" && kit.KindOf(err) != kit.Overloaded {
				t.Errorf("kind %v", kit.KindOf(err))
			}
			if err := s.RunFile(t.Context(), "again", []byte("x = 1")); err != nil && c.limits.Steps <= 0 && c.limits.Source == 0 && c.name != "tasks" {
				t.Errorf("the session is of no use afterwards: %v", err)
			}
		})
	}
}

// TestHostileSource feeds what nests deep to the parser: an error or a result, but no crash.
func TestHostileSource(t *testing.T) {
	s, _ := session(t, Options{Limits: Limits{Wall: time.Minute}})
	n := 200_000
	for _, src := range []string{
		strings.Repeat("(", n), strings.Repeat("[", n), strings.Repeat("{", n), strings.Repeat("-", n) + "1", strings.Repeat("not ", n/4) + "1",
		strings.Repeat("lambda:", n/7) + "1", strings.Repeat("1 if 1 else ", n/12) + "1", "x = " + strings.Repeat("[", n/2) + strings.Repeat("]", n/2),
		strings.Repeat("f(", n/2) + strings.Repeat(")", n/2), "\x00\xff\xfe", strings.Repeat("a.", n/2) + "b", "x" + strings.Repeat("[0]", n/3),
		"1" + strings.Repeat("+1", n/2), deepBlocks(400),
	} {
		if err := s.RunFile(t.Context(), "hostile", []byte(src)); err == nil {
			continue
		} else if kit.KindOf(err) == kit.Broken {
			t.Errorf("%.20q: %v", src, err)
		}
	}
}

func deepBlocks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "if 1:\n")
	}
	return b.String() + strings.Repeat(" ", n) + "pass\n"
}

func TestInterruptStopsWhatRuns(t *testing.T) {
	for _, src := range []string{"while True: pass", "wait_until(lambda: False, 3600000)", "background(lambda: wait_until(lambda: False, 3600000)).wait()"} {
		w := newFake()
		w.hang = true
		s, _ := session(t, Options{World: w, Limits: Limits{Steps: -1}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(30*time.Millisecond, cancel)
		err := s.Eval(ctx, "typed", src)
		if err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Errorf("%s: %v", src, err)
		}
		if err := s.Eval(t.Context(), "typed", "1 + 1"); err != nil {
			t.Errorf("after an interrupt: %v", err)
		}
	}
}

func TestJournalTellsWhatWasTyped(t *testing.T) {
	var got []Entry
	s, _ := session(t, Options{Journal: func(e Entry) { got = append(got, e) }})
	_ = s.Eval(t.Context(), "typed", "1 + 1\n")
	_ = s.Eval(t.Context(), "typed", "fail('no')")
	_ = s.Eval(t.Context(), "typed", "x = 'y' * 1000")
	_ = s.Eval(t.Context(), "typed", "x")
	if len(got) != 4 || got[0] != (Entry{Source: "1 + 1", OK: true, Outcome: "2"}) {
		t.Fatalf("%+v", got)
	}
	if got[1].OK || !strings.HasPrefix(got[1].Outcome, "no") {
		t.Errorf("%+v", got[1])
	}
	if len(got[3].Outcome) > maxOutcome+3 {
		t.Errorf("outcome of %d bytes", len(got[3].Outcome))
	}
}

func TestAnswersReachTheCaller(t *testing.T) {
	var told []string
	opts := Options{World: newFake(), Answer: func(name string, v term.Term) { told = append(told, name+"="+term.String(v)) }}
	src := []byte("answer('ratio', 8.5)\nanswer('who', 'ada')\nanswer('ratio', 9)\n")
	for _, run := range []func(context.Context, string, []byte, Options) Result{RunFile, RunIsolated} {
		told = nil
		res := run(t.Context(), "run.star", src, opts)
		if res.Err != nil || len(res.Answers) != 2 || !term.Equal(res.Answers["ratio"], term.Int(9)) {
			t.Errorf("%+v", res)
		}
		if strings.Join(told, " ") != `ratio=8.5 who=<<"ada">> ratio=9` {
			t.Errorf("%q", told)
		}
	}
}

func TestNamesMustNotClash(t *testing.T) {
	w := newFake()
	w.nodes = []kit.NodeName{"cut"}
	if _, err := New(Options{World: w}); kit.KindOf(err) != kit.Exists {
		t.Errorf("a node named cut: %v", err)
	}
	if _, err := New(Options{World: newFake(), Hooks: map[string]Hook{"kill": nil}}); kit.KindOf(err) != kit.Exists {
		t.Errorf("a hook named kill: %v", err)
	}
	if _, err := New(Options{}); kit.KindOf(err) != kit.Broken {
		t.Errorf("no world: %v", err)
	}
}

func TestScriptErrorsNameThePlace(t *testing.T) {
	s, _ := session(t, Options{})
	err := s.RunFile(t.Context(), "run.star", []byte("def f(x):\n    return x + 'a'\n\na.db.transaction(lambda tx: f(1))\n"))
	var se *ScriptError
	if !errors.As(err, &se) || se.Line != 2 || se.In != "f" || se.File != "run.star" || se.Source != "return x + 'a'" {
		t.Fatalf("%+v %v", se, err)
	}
}
