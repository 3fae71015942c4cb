package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// fakeWorld is a cluster of one map: dirty_write, dirty_read, and transactions of write and read.
type fakeWorld struct {
	nodes []kit.NodeName
	rows  map[any]term.Term
	now   time.Duration
	// step is what a counting program adds for each "incr".
	step   int
	count  int
	deaths []Death
	seed   uint64
	over   string
}

func (w *fakeWorld) Nodes() []kit.NodeName { return w.nodes }

func (w *fakeWorld) Call(_ context.Context, _ string, n kit.NodeName, req door.Request) door.Outcome {
	w.now += time.Millisecond
	switch req.Verb {
	case "incr":
		w.count += w.step
		return door.Done()
	case "exhaust":
		w.over = "it used up its time"
		return door.LostAnswer(w.over)
	case "total":
		return door.OKTerm(term.Int(w.count))
	case "panic":
		w.deaths = append(w.deaths, Death{Node: n, At: w.now, Why: "panic: boom", Text: "panic: boom\ngoroutine 1 [running]:\nmain.go:3"})
		return door.LostAnswer("the node ended")
	case "dirty":
		return door.OKTerm(w.do(req.Args[0].(term.List)))
	case "transaction":
		var results term.List
		for _, op := range req.Args[0].(term.List) {
			results = append(results, w.do(op.(term.List)))
		}
		return door.OKTerm(results)
	}
	return door.ErrorWith("undef", term.Atom(req.Verb))
}

func (w *fakeWorld) do(op term.List) term.Term {
	switch op[0].(term.Atom) {
	case "write", "dirty_write":
		row := op[2].(term.Tuple)
		w.rows[term.Key(row[1])] = row
		return term.Atom("ok")
	case "read", "dirty_read":
		if row, ok := w.rows[term.Key(op[2])]; ok {
			return term.L(row)
		}
		return term.L()
	}
	return term.Atom("undefined")
}

func (w *fakeWorld) Link(kit.NodeName, kit.NodeName, wire.Rule) error { return nil }
func (w *fakeWorld) Kill(kit.NodeName) error                          { return errors.New("it is not there") }
func (w *fakeWorld) Restart(kit.NodeName) error                       { return nil }
func (w *fakeWorld) Pause(kit.NodeName) error                         { return nil }
func (w *fakeWorld) Resume(kit.NodeName) error                        { return nil }
func (w *fakeWorld) Now() time.Duration                               { return w.now }
func (w *fakeWorld) Sleep(_ context.Context, d time.Duration) error   { w.now += d; return nil }
func (w *fakeWorld) Go(f func(ctx context.Context))                   { f(context.Background()) }
func (w *fakeWorld) Wait()                                            {}
func (w *fakeWorld) Close() error                                     { return nil }
func (w *fakeWorld) Hash() string                                     { return fmt.Sprintf("hash of %d", w.seed) }
func (w *fakeWorld) Over() string                                     { return w.over }
func (w *fakeWorld) Deaths() []Death                                  { return w.deaths }
func (w *fakeWorld) Output() string                                   { return "some output" }
func (w *fakeWorld) Counts(from kit.NodeName) []wire.Counts           { return nil }

var _ Simulation = (*fakeWorld)(nil)

// fakeEnv runs scripts of sentences and programs whose step is read off their source.
func fakeEnv() Env {
	return Env{
		Cluster: func(_ context.Context, _ string, nodes []kit.NodeName) (world.World, error) {
			return &fakeWorld{nodes: nodes, rows: map[any]term.Term{}}, nil
		},
		Script: fakeScript,
		Build: func(_ context.Context, src Source) (Program, error) {
			main := string(src.Files["main.go"])
			if strings.Contains(main, "does not compile") {
				return nil, &CompileError{Text: "main.go:3:1: syntax error"}
			}
			if src.Tests != nil && len(src.Tests) == 0 {
				return nil, &CompileError{Text: "no test files"}
			}
			p := fakeProgram{source: main}
			for _, test := range src.Tests {
				p.test = string(test)
			}
			return p, nil
		},
		Simulate: func(_ context.Context, p Program, o SimRun) (Simulation, error) {
			return &fakeWorld{nodes: o.Nodes, rows: map[any]term.Term{}, step: p.(fakeProgram).step(o.Seed), seed: o.Seed}, nil
		},
		Test: func(_ context.Context, p Program, seeds ...uint64) (all []TestReport, err error) {
			for _, seed := range seeds {
				all = append(all, fakeTest(p.(fakeProgram), seed))
			}
			return all, nil
		},
	}
}

func fakeTest(f fakeProgram, seed uint64) TestReport {
	switch {
	case strings.Contains(f.test, "no function"):
		return TestReport{Passed: true, Output: "testing: warning: no tests to run\nPASS\n"}
	case strings.Contains(f.test, "never end"):
		return TestReport{Why: "spinning: it did not become idle within 20s"}
	case strings.Contains(f.test, "now and then with wrong ones"):
		return TestReport{Passed: f.step(0) == 1 || seed%2 == 0, Output: "ran"}
	case strings.Contains(f.test, "now and then"):
		return TestReport{Passed: seed%2 == 0, Output: "--- FAIL: TestChance (0.00s)\n    main_test.go:7: tails\nFAIL\n"}
	case strings.Contains(f.test, "ask too much"):
		return TestReport{Output: manyFailures}
	case strings.Contains(f.test, "always PASS"):
		return TestReport{Passed: true, Output: "PASS"}
	case strings.Contains(f.test, "always FAIL"):
		return TestReport{Output: "FAIL"}
	}
	return TestReport{Passed: f.step(0) == 1, Output: "ran"}
}

// manyFailures is what go's testing package prints of three tests, of which the first and the third fail.
const manyFailures = `=== RUN   TestOne
--- FAIL: TestOne (0.00s)
    main_test.go:7: 1 is not 2
    --- FAIL: TestOne/part (0.00s)
        main_test.go:9: nor is 3
--- PASS: TestTwo (0.00s)
some print
--- FAIL: TestThree (0.00s)
    main_test.go:20: it prints:
        two lines
FAIL
exit status 1
`

type fakeProgram struct{ source, test string }

// step: "return 1" counts right, "return 1 but" only with small seeds.
func (p fakeProgram) step(seed uint64) int {
	switch {
	case strings.Contains(p.source, "return 1 but") && seed >= 13:
		return 5
	case strings.Contains(p.source, "return 1"):
		return 1
	case strings.Contains(p.source, "return 2"):
		return 2
	}
	return 0
}

func fakeScript(ctx context.Context, src []byte, o ScriptRun) (ScriptReport, error) {
	do := func(verb string, ops ...term.Term) {
		for _, op := range ops {
			o.World.Call(ctx, "shell", "a", door.Request{Verb: verb, Args: []term.Term{op}})
		}
	}
	answers := map[string]term.Term{"seen": term.Int(1)}
	ann, ben := term.Atom("ann"), term.Atom("ben")
	write := func(kind string, who term.Atom, n int) term.Term {
		return term.L(term.Atom(kind), term.Atom("account"), term.T(term.Atom("account"), who, term.Int(n)))
	}
	read := func(kind string, who term.Atom) term.Term { return term.L(term.Atom(kind), term.Atom("account"), who) }
	for i, line := range strings.Split(string(src), "\n") {
		switch line {
		case "move in a transaction":
			do("transaction", term.L(write("write", ann, 90), write("write", ben, 110)))
		case "look in a transaction":
			do("transaction", term.L(read("read", ann), read("read", ben)))
		case "move with dirty writes":
			do("dirty", write("dirty_write", ann, 90), read("dirty_read", ann), read("dirty_read", ben), write("dirty_write", ben, 110))
		case "answer with the richer", "answer with the first":
			rich := richer(ctx, o.World)
			if line == "answer with the first" {
				rich = ann
			}
			answers["owner"], answers["balance"] = rich, balanceOf(ctx, o.World, rich)
		case "give everything to ben":
			do("dirty", write("dirty_write", ann, 0), write("dirty_write", ben, 9999))
		case "print":
			fmt.Fprintln(o.Out, "hello\x1b[31m")
		case "mistake":
			return ScriptReport{Err: &kit.Error{Op: "run.star", What: fmt.Sprintf("line %d", i+1), Kind: kit.Invalid, Err: errors.New("no such word"), Hint: "spell it right"}}, nil
		case "wait for ever":
			return ScriptReport{Answers: answers, OutOfTime: true, Err: &kit.Error{Op: "run.star", Kind: kit.Overloaded, Err: errors.New("it ran longer than 1m30s")}}, nil
		case "the child cannot start":
			return ScriptReport{}, errors.New("fork: no")
		}
	}
	return ScriptReport{Answers: answers, Isolation: "child process"}, nil
}

func balanceOf(ctx context.Context, w world.World, who term.Atom) term.Term {
	out := w.Call(ctx, "grader", "a", door.Request{Verb: "dirty", Args: []term.Term{term.L(term.Atom("dirty_read"), term.Atom("account"), who)}})
	rows, err := out.Term()
	if list, ok := rows.(term.List); err == nil && ok && len(list) == 1 {
		return list[0].(term.Tuple)[2]
	}
	return term.Undefined
}

func richer(ctx context.Context, w world.World) term.Atom {
	if term.Compare(balanceOf(ctx, w, "ann"), balanceOf(ctx, w, "ben")) > 0 {
		return "ann"
	}
	return "ben"
}

// richerLab is the answer lab of testdata: who of two is the richer, and how rich. With an odd seed it is ben.
func richerLab() Definition {
	balance := func(h *history.History, who term.Atom) (term.Term, error) {
		for _, a := range h.During(history.Observe).Accesses() {
			if rows, ok := a.Result.(term.List); ok && len(rows) == 1 && term.Equal(a.Key(), who) {
				return rows[0].(term.Tuple)[2], nil
			}
		}
		return nil, fmt.Errorf("nobody read the account of %s", who)
	}
	richer := func(h *history.History) (term.Term, error) {
		a, err := balance(h, "ann")
		b, err2 := balance(h, "ben")
		if err := errors.Join(err, err2); err != nil {
			return nil, err
		}
		if term.Compare(a, b) > 0 {
			return term.Atom("ann"), nil
		}
		return term.Atom("ben"), nil
	}
	return Definition{Slug: "richer", Scenarios: []Scenario{{New: func(seed uint64) Plan {
		rich, poor := term.Atom("ann"), term.Atom("ben")
		if seed%2 == 1 {
			rich, poor = poor, rich
		}
		return Plan{
			Setup: func(ctx context.Context, w *World) error {
				for who, n := range map[term.Atom]uint64{rich: 500 + seed%100, poor: 100} {
					w.Do(ctx, "setup", "a", "dirty", term.L(term.Atom("dirty_write"), term.Atom("account"), term.T(term.Atom("account"), who, term.Int(n))))
				}
				return nil
			},
			Observe: func(ctx context.Context, w *World) error {
				for _, who := range []term.Atom{"ann", "ben"} {
					w.Do(ctx, "grader", "a", "dirty", term.L(term.Atom("dirty_read"), term.Atom("account"), who))
				}
				return nil
			},
			Checks: []Check{{Task: "who", Judge: grade.Answered(
				grade.Question{Name: "owner", Where: "the row with the greater balance", Truth: richer},
				grade.Question{Name: "balance", Where: "the field balance of that row", Truth: func(h *history.History) (term.Term, error) {
					who, err := richer(h)
					if err != nil {
						return nil, err
					}
					return balance(h, who.(term.Atom))
				}})}},
		}
	}}}}
}

// steadyTotal and counter are the labs of testdata.
func steadyTotal() Definition {
	keys := []term.Term{term.Atom("ann"), term.Atom("ben")}
	total := grade.Total{Table: "account", Keys: keys, Pos: 3, Want: 200}
	return Definition{Slug: "steady-total", Scenarios: []Scenario{{New: func(uint64) Plan {
		return Plan{
			Setup: func(ctx context.Context, w *World) error {
				for _, k := range keys {
					w.Do(ctx, "setup", "a", "dirty", term.L(term.Atom("dirty_write"), term.Atom("account"), term.T(term.Atom("account"), k, term.Int(100))))
				}
				return nil
			},
			Observe: func(ctx context.Context, w *World) error {
				w.Do(ctx, "grader", "a", "dirty", term.L(term.Atom("dirty_read"), term.Atom("account"), term.Atom("ben")))
				return nil
			},
			Checks: []Check{
				{Task: "move", Judge: func(h *history.History) grade.Finding {
					for _, a := range h.During(history.Work).Accesses() {
						if a.Writes() {
							return grade.Passed()
						}
					}
					return grade.Failed("nothing was moved", "two writes", "none")
				}},
				{Task: "look", Judge: func(h *history.History) grade.Finding { return total.Conserved(h.During(history.Work)) }},
			},
		}
	}}}}
}

func counter() Definition {
	count := func(h *history.History) grade.Finding {
		asked, told := 0, term.Term(nil)
		var last int
		for _, o := range h.Ops {
			switch o.Verb {
			case "incr":
				asked++
			case "total":
				told, _ = o.Outcome.Term()
				last = o.ID
			}
		}
		if told == nil || !term.Equal(told, term.Int(asked)) {
			return grade.Failed("increments were lost or doubled", fmt.Sprint(asked), term.String(told), last)
		}
		return grade.Passed()
	}
	drive := func(verbs ...string) func(context.Context, *World) error {
		return func(ctx context.Context, w *World) error {
			for _, v := range verbs {
				w.Do(ctx, "c1", "a", v)
			}
			return nil
		}
	}
	return Definition{Slug: "counter", Tests: &TestSuite{Task: "tests"}, Scenarios: []Scenario{
		{Name: "load", New: func(uint64) Plan {
			return Plan{Drive: drive("incr", "incr"), Observe: drive("total"), Checks: []Check{{Task: "count", Judge: count}}}
		}},
		{Name: "rough", New: func(uint64) Plan {
			return Plan{Drive: drive("incr"), Checks: []Check{{Task: "crash", Judge: func(*history.History) grade.Finding { return grade.Passed() }}}}
		}},
	}}
}

func fakeCatalog(t *testing.T, defs ...Definition) Catalog {
	t.Helper()
	if len(defs) == 0 {
		defs = []Definition{steadyTotal(), counter(), richerLab()}
	}
	c, err := Load(os.DirFS("testdata/labs"), os.DirFS("testdata/solutions"), defs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func find(t *testing.T, c Catalog, slug string) *Lab {
	t.Helper()
	l, err := c.Find(slug)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
