package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/world"
)

func script(text string) Submission {
	return Submission{Name: "work", Dir: "/home/student/work", Files: map[string][]byte{ScriptFile: []byte(text)}}
}

func program(step, test string) Submission {
	return Submission{Name: "work", Dir: "/home/student/work",
		Files: map[string][]byte{"main.go": []byte("package main\n" + step)},
		Tests: map[string][]byte{"main_test.go": []byte("package main\n" + test)}}
}

// verdicts prints a result's tasks: name verdict score.
func verdicts(r *grade.Result) string {
	var parts []string
	for _, t := range r.Tasks {
		parts = append(parts, t.Name+" "+string(t.Verdict))
	}
	return strings.Join(parts, ", ")
}

func TestGrade(t *testing.T) {
	c := fakeCatalog(t)
	for _, tc := range []struct {
		name    string
		lab     string
		sub     Submission
		verdict grade.Verdict
		tasks   string
		score   int
		says    string // somewhere in the text
	}{
		{"a solved script", "steady-total", script("move in a transaction\nlook in a transaction"), grade.Pass,
			"move pass, look pass", 100, "PASS  100/100"},
		{"an empty script skips what builds on it", "steady-total", script(""), grade.Fail,
			"move fail, look skipped", 0, `not judged, because "move" has not passed`},
		{"a wrong total is explained", "steady-total", script("move with dirty writes"), grade.Fail,
			"move pass, look fail", 60, "190, from ann: 90, ben: 100"},
		{"a look that nobody took proves nothing", "steady-total", script("move in a transaction"), grade.Inconclusive,
			"move pass, look inconclusive", 60, "nobody read all of ann, ben"},
		{"a mistake says where, and what was done before counts", "steady-total", script("move in a transaction\nmistake\nlook in a transaction"),
			grade.Fail, "move pass, look fail", 60, "run.star stopped early: run.star line 2: no such word\n  hint: spell it right"},
		{"what it printed is shown as data", "steady-total", script("print"), grade.Fail, "move fail, look skipped", 0, "  | hello␛[31m"},
		{"a right program", "counter", program("func step() int { return 1 }", "real"), grade.Pass,
			"count pass, crash pass, tests pass", 100, "PASS"},
		{"a wrong program loses what builds on it", "counter", program("func step() int { return 2 }", "real"), grade.Fail,
			"count fail, crash pass, tests skipped", 20, "increments were lost or doubled"},
		{"a program that does not compile", "counter", program("does not compile", "real"), grade.Fail,
			"count fail, crash fail, tests skipped", 0, "main.go:3:1: syntax error"},
		{"tests that always pass", "counter", program("func step() int { return 1 }", "always PASS"), grade.Fail,
			"count pass, crash pass, tests fail", 70, "0 caught, 1 not; one of those that were not goes wrong in what an increment adds"},
		{"tests that always fail", "counter", program("func step() int { return 1 }", "always FAIL"), grade.Fail,
			"count pass, crash pass, tests fail", 70, "the tests fail with a right program"},
		{"no tests at all", "counter", Submission{Name: "work", Files: map[string][]byte{"main.go": []byte("return 1")}}, grade.Fail,
			"count pass, crash pass, tests fail", 70, "there is no test file"},
		{"embedding is refused", "counter", program("//go:embed main.go\nvar s string", ""), grade.Fail,
			"count fail, crash fail, tests skipped", 0, "main.go:2: //go:embed has no place in a submission"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := find(t, c, tc.lab)
			g := &Grader{Env: fakeEnv(), Version: "test"}
			r, err := g.Grade(context.Background(), l, tc.sub, Options{Seed: 7})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != tc.verdict || verdicts(r) != tc.tasks || r.Score != tc.score {
				t.Errorf("got %s, %s, %d points; want %s, %s, %d", r.Verdict, verdicts(r), r.Score, tc.verdict, tc.tasks, tc.score)
			}
			var text bytes.Buffer
			if err := grade.Text(&text, r); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text.String(), tc.says) {
				t.Errorf("the text lacks %q:\n%s", tc.says, text.String())
			}
			if strings.Contains(text.String(), "\x1b") {
				t.Error("an escape sequence of the submission reached the text")
			}
		})
	}
}

// TestFirstFailingSeed wants the same seed however many runs go on at once, and the command that replays it.
func TestFirstFailingSeed(t *testing.T) {
	l := find(t, fakeCatalog(t), "counter")
	var first []grade.Run
	for _, jobs := range []int{1, 2, 5} {
		var news []string
		g := &Grader{Env: fakeEnv(), Jobs: jobs, Progress: func(s string) { news = append(news, s) }}
		r, err := g.Grade(context.Background(), l, program("return 1 but not always", "real"), Options{Seed: 10, Seeds: 9})
		if err != nil {
			t.Fatal(err)
		}
		count := r.Tasks[0]
		if count.Verdict != grade.Fail || count.Seed != 13 || count.Replay != "netsplit grade /home/student/work --seed 13 --seeds 1" {
			t.Errorf("%d jobs: %s with seed %d, replay %q", jobs, count.Verdict, count.Seed, count.Replay)
		}
		if !strings.Contains(strings.Join(news, "\n"), "count failed with seed 13: increments were lost or doubled") {
			t.Errorf("%d jobs: the failure was not reported: %q", jobs, news)
		}
		if crash := r.Tasks[1]; crash.Verdict != grade.Pass || crash.Seeds != 9 {
			t.Errorf("%d jobs: crash %s on %d seeds", jobs, crash.Verdict, crash.Seeds)
		}
		if r.Runs[0].Hash != "hash of 10" {
			t.Errorf("runs: %+v", r.Runs)
		}
		for i := range r.Runs {
			r.Runs[i].Millis = 0
		}
		if first == nil {
			first = r.Runs
		} else if !slices.Equal(first, r.Runs) {
			t.Errorf("%d jobs: other runs than with one job: %+v, %+v", jobs, r.Runs, first)
		}
	}
}

// TestRunsThatProveNothing wants them made up for with further seeds, and an honest word when they are too many.
func TestRunsThatProveNothing(t *testing.T) {
	for _, tc := range []struct {
		name    string
		bites   func(seed uint64) bool
		verdict grade.Verdict
		seeds   int
		says    string
	}{
		{"all bite", func(uint64) bool { return true }, grade.Pass, 4, ""},
		{"one does not", func(s uint64) bool { return s != 12 }, grade.Pass, 4, ""},
		{"none does", func(uint64) bool { return false }, grade.Inconclusive, 0, `the fault "cut a | b" had no effect`},
		{"too few do", func(s uint64) bool { return s < 12 }, grade.Inconclusive, 2, "(2 runs of 4 told something, 4 did not)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := counter()
			d.Tests = nil
			d.Scenarios = []Scenario{{New: func(seed uint64) Plan {
				judge := func(*history.History) grade.Finding {
					return grade.Passed(grade.Receipt{Fault: "cut a | b", Bit: tc.bites(seed), Evidence: "counted"})
				}
				return Plan{Checks: []Check{{"count", judge}, {"crash", judge}, {"tests", judge}}}
			}}}
			l := find(t, fakeCatalog(t, d), "counter")
			g := &Grader{Env: fakeEnv(), Jobs: 2}
			r, err := g.Grade(context.Background(), l, program("return 1", ""), Options{Seed: 10, Seeds: 4})
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Tasks[0]; got.Verdict != tc.verdict || got.Seeds != tc.seeds || !strings.Contains(got.Why, tc.says) {
				t.Errorf("%s on %d seeds: %s", got.Verdict, got.Seeds, got.Why)
			}
			if r.Verdict != tc.verdict || r.Verdict.ExitCode() != map[grade.Verdict]int{grade.Pass: 0, grade.Inconclusive: 2}[tc.verdict] {
				t.Errorf("result %s, exit %d", r.Verdict, r.Verdict.ExitCode())
			}
		})
	}
}

func TestNodeThatEndsByItself(t *testing.T) {
	d := counter()
	d.Tests = nil
	pass := func(*history.History) grade.Finding { return grade.Passed() }
	d.Scenarios = []Scenario{
		{Name: "calm", New: func(uint64) Plan { return Plan{Checks: []Check{{"count", pass}, {"tests", pass}}} }},
		{Name: "rough", New: func(uint64) Plan {
			return Plan{Checks: []Check{{"crash", pass}}, Drive: func(ctx context.Context, w *World) error {
				w.Do(ctx, "c1", "a", "panic")
				return nil
			}}
		}},
	}
	l := find(t, fakeCatalog(t, d), "counter")
	r, err := (&Grader{Env: fakeEnv()}).Grade(context.Background(), l, program("return 1", ""), Options{Seed: 1, Seeds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := verdicts(r); got != "count pass, crash fail, tests pass" {
		t.Errorf("verdicts: %s", got)
	}
	if crash := r.Tasks[1]; crash.Actual != "panic: boom" || !strings.Contains(crash.Why, "node a ended by itself") || len(crash.Excerpt) != 1 {
		t.Errorf("%+v", crash)
	}
	if !strings.Contains(r.Output, "main.go:3") {
		t.Errorf("the trace is not shown: %q", r.Output)
	}
}

// TestBudgetThatRanOut blames nobody.
func TestBudgetThatRanOut(t *testing.T) {
	d := counter()
	d.Tests = nil
	pass := func(*history.History) grade.Finding { return grade.Failed("it was lost", "x", "y") }
	d.Scenarios = []Scenario{{New: func(uint64) Plan {
		return Plan{Checks: []Check{{"count", pass}, {"crash", pass}, {"tests", pass}}, Drive: func(ctx context.Context, w *World) error {
			w.Do(ctx, "c1", "a", "exhaust")
			return nil
		}}
	}}}
	l := find(t, fakeCatalog(t, d), "counter")
	r, err := (&Grader{Env: fakeEnv()}).Grade(context.Background(), l, program("return 1", ""), Options{Seed: 1, Seeds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != grade.Inconclusive || !strings.Contains(r.Tasks[0].Why, "it used up its time") {
		t.Errorf("%s: %+v", r.Verdict, r.Tasks[0])
	}
}

// TestRealTimeBlamesNobody wants every budget in real time that runs out to be said, and to leave what rests on it
// inconclusive.
func TestRealTimeBlamesNobody(t *testing.T) {
	c := fakeCatalog(t)
	slow := fakeEnv()
	slow.Build = func(_ context.Context, src Source) (Program, error) {
		return nil, &Exhausted{"compiling", buildWall}
	}
	slowTests := fakeEnv()
	slowTests.Build = func(ctx context.Context, src Source) (Program, error) {
		if src.Tests != nil {
			return nil, &Exhausted{"compiling", buildWall}
		}
		return fakeEnv().Build(ctx, src)
	}
	for _, tc := range []struct {
		name, lab string
		sub       Submission
		env       Env
		tasks     string
		budget    string
	}{
		{"a script that waits", "steady-total", script("wait for ever"), fakeEnv(), "move inconclusive, look skipped", "run.star was still at work after 1m30s"},
		{"a script that waits when all is done", "steady-total", script("move in a transaction\nlook in a transaction\nwait for ever"), fakeEnv(), "move pass, look pass", "run.star was still at work"},
		{"a compiler that is slow", "counter", program("return 1", "real"), slow, "count inconclusive, crash inconclusive, tests skipped", "compiling took longer than 5m0s"},
		{"a compiler that is slow with the tests", "counter", program("return 1", "real"), slowTests, "count pass, crash pass, tests inconclusive", "compiling took longer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := (&Grader{Env: tc.env}).Grade(context.Background(), find(t, c, tc.lab), tc.sub, Options{Seed: 7, Seeds: 1})
			if err != nil {
				t.Fatal(err)
			}
			if got := verdicts(r); got != tc.tasks || len(r.Budgets) != 1 || !strings.Contains(r.Budgets[0], tc.budget) {
				t.Errorf("%s; budgets %q", got, r.Budgets)
			}
		})
	}
}

// TestRunShowsNoDeadline wants nothing in a run to see how much real time the grader has left.
func TestRunShowsNoDeadline(t *testing.T) {
	d := counter()
	d.Tests = nil
	pass := func(*history.History) grade.Finding { return grade.Passed() }
	seen := false
	d.Scenarios = []Scenario{{New: func(uint64) Plan {
		return Plan{Checks: []Check{{"count", pass}, {"crash", pass}, {"tests", pass}}, Drive: func(ctx context.Context, _ *World) error {
			_, seen = ctx.Deadline()
			return nil
		}}
	}}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	l := find(t, fakeCatalog(t, d), "counter")
	if _, err := (&Grader{Env: fakeEnv()}).Grade(ctx, l, program("return 1", ""), Options{Seed: 1, Seeds: 1}); err != nil || seen {
		t.Errorf("a deadline is seen: %v, %v", seen, err)
	}
}

func TestTestsThatPeek(t *testing.T) {
	for src, want := range map[string]string{
		"package main\nimport \"testing\"": "", "package main\nimport (\n\tx \"runtime/debug\"\n)": "runtime/debug",
		"package main\nimport . \"unsafe\"\nfunc": "unsafe", "package main; import `debug/buildinfo`": "debug/buildinfo", "no Go": "",
	} {
		if _, got := peeks(map[string][]byte{"x_test.go": []byte(src)}); got != want {
			t.Errorf("%q: %q", src, got)
		}
	}
}

func TestInterruptedGradingIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err := (&Grader{Env: fakeEnv()}).Grade(ctx, find(t, fakeCatalog(t), "counter"), program("return 1", "real"), Options{Seed: 1})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestBrokenHarness wants an error, never a verdict, when it is the grader that fails.
func TestBrokenHarness(t *testing.T) {
	c := fakeCatalog(t)
	for name, tc := range map[string]struct {
		lab  string
		sub  Submission
		edit func(*Env)
	}{
		"the cluster does not start": {"steady-total", script(""), func(e *Env) {
			e.Cluster = func(context.Context, string, []kit.NodeName) (world.World, error) { return nil, errors.New("no port") }
		}},
		"the script's child cannot start": {"steady-total", script("the child cannot start"), func(*Env) {}},
		"the compiler is missing": {"counter", program("return 1", ""), func(e *Env) {
			e.Build = func(context.Context, Source) (Program, error) { return nil, errors.New("exec: go: not found") }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			env := fakeEnv()
			tc.edit(&env)
			g := &Grader{Env: env}
			if r, err := g.Grade(context.Background(), find(t, c, tc.lab), tc.sub, Options{Seed: 1}); err == nil {
				t.Errorf("graded: %s", verdicts(r))
			}
		})
	}
}

func TestPanickingCheckIsABrokenHarness(t *testing.T) {
	_, err := judge([]Check{{"count", func(*history.History) grade.Finding { panic("oops") }}}, &history.History{})
	if kit.KindOf(err) != kit.Broken || !strings.Contains(err.Error(), "count") {
		t.Errorf("error: %v", err)
	}
}

// TestPanickingLabIsABrokenHarness: whatever of a lab's own code panics, in a run beside others, the grader ends with an error that
// says where.
func TestPanickingLabIsABrokenHarness(t *testing.T) {
	oops := func(context.Context, *World) error { panic("oops") }
	for name, plan := range map[string]func(seed uint64) Plan{
		"setup":   func(uint64) Plan { return Plan{Setup: oops} },
		"drive":   func(uint64) Plan { return Plan{Drive: oops} },
		"observe": func(uint64) Plan { return Plan{Observe: oops} },
		"new":     func(seed uint64) Plan { return map[bool]func() Plan{true: func() Plan { return Plan{} }}[seed == 1]() },
	} {
		for slug, def := range map[string]Definition{"counter": counter(), "steady-total": steadyTotal()} {
			checks := def.Scenarios[0].New(1).Checks
			def.Scenarios[0].New = func(seed uint64) Plan {
				p := plan(seed)
				p.Checks = checks
				return p
			}
			l := find(t, fakeCatalog(t, def), slug)
			files := map[string][]byte{"main.go": []byte("return 2"), "main_test.go": []byte("real"), ScriptFile: []byte("print")}
			r, err := (&Grader{Env: fakeEnv(), Jobs: 2}).Grade(context.Background(), l, Submission{Name: "w", Files: files}, Options{Seed: 7, Seeds: 3})
			if kit.KindOf(err) != kit.Broken || !strings.Contains(err.Error(), "the lab's own code panicked: ") || !strings.Contains(err.Error(), "grader_test.go:") {
				t.Errorf("%s of %s: %+v, %v", name, slug, r, err)
			}
		}
	}
}

// TestTruncatedHistory wants no pass that rests on a record with holes.
func TestTruncatedHistory(t *testing.T) {
	pass := []Check{{"count", func(*history.History) grade.Finding { return grade.Passed() }}}
	f, err := judge(pass, &history.History{Truncated: true})
	if err != nil || f["count"].Verdict != grade.Inconclusive {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestStarvedGraderBlamesNobody(t *testing.T) {
	run := trial{lag: 2 * starvedAfter, findings: map[string]grade.Finding{
		"count": grade.Failed("it was late", "soon", "late"), "crash": grade.Passed()}}
	run.excuseStarved()
	if f := run.findings["count"]; f.Verdict != grade.Inconclusive || !strings.Contains(f.Why, "it was late") {
		t.Errorf("%+v", f)
	}
	if f := run.findings["crash"]; f.Verdict != grade.Pass {
		t.Errorf("%+v", f)
	}
	run = trial{lag: lagBeat, findings: map[string]grade.Finding{"count": grade.Failed("it was late", "soon", "late")}}
	run.excuseStarved()
	if f := run.findings["count"]; f.Verdict != grade.Fail {
		t.Errorf("%+v", f)
	}
}

// TestCheckTriesAgain wants a check to grade again only what a busy machine made unclear on a real cluster.
func TestCheckTriesAgain(t *testing.T) {
	for _, c := range []struct {
		kind    Kind
		lag     time.Duration
		verdict grade.Verdict
		want    bool
	}{
		{Script, 2 * starvedAfter, grade.Inconclusive, true},
		{Script, 2 * starvedAfter, grade.Fail, false},
		{Script, lagBeat, grade.Inconclusive, false},
		{Code, 2 * starvedAfter, grade.Inconclusive, false},
	} {
		r := &grade.Result{Kind: string(c.kind), LagMillis: c.lag.Milliseconds(), Tasks: []grade.Task{{Verdict: grade.Pass}, {Verdict: c.verdict}}}
		if got := starved(r); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestCheckProvesALab(t *testing.T) {
	c := fakeCatalog(t)
	g := &Grader{Env: fakeEnv()}
	for _, slug := range []string{"steady-total", "counter", "richer"} {
		p, err := g.Check(context.Background(), find(t, c, slug), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !p.OK || p.Starter != grade.Fail || p.Solution != grade.Pass || len(p.Mutants) != 2 {
			t.Errorf("%s: %+v", slug, p)
		}
	}
}

func TestCheckFindsAnUnsoundLab(t *testing.T) {
	lax := steadyTotal()
	fresh := lax.Scenarios[0].New
	lax.Scenarios = []Scenario{{New: func(seed uint64) Plan {
		p := fresh(seed)
		p.Checks = []Check{{"move", func(*history.History) grade.Finding { return grade.Passed() }},
			{"look", func(*history.History) grade.Finding { return grade.Passed() }}}
		return p
	}}}
	l := find(t, fakeCatalog(t, lax), "steady-total")
	p, err := (&Grader{Env: fakeEnv()}).Check(context.Background(), l, Options{})
	if err != nil {
		t.Fatal(err)
	}
	faults := strings.Join(p.Faults, "\n")
	for _, want := range []string{"the starter gets pass, not fail", "mutant two-writes: task look gets pass, pinned is fail", "mutant says-nothing: task move gets pass"} {
		if !strings.Contains(faults, want) {
			t.Errorf("the faults lack %q:\n%s", want, faults)
		}
	}
	if p.OK || !strings.Contains(p.Matrix(80), "two-writes    pass      SURVIVED\n") {
		t.Errorf("ok %v, matrix\n%s", p.OK, p.Matrix(80))
	}
}

func TestLagMeterEndsAndMeasures(t *testing.T) {
	m := startLag(context.Background())
	m.note(3 * time.Second)
	if got := m.end(); got < 3*time.Second {
		t.Errorf("lag %v", got)
	}
}

// TestTextIsPinned keeps the wording of a failing grade; times are the fake world's.
func TestTextIsPinned(t *testing.T) {
	l := find(t, fakeCatalog(t), "steady-total")
	r, err := (&Grader{Env: fakeEnv()}).Grade(context.Background(), l, script("move with dirty writes"), Options{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := grade.Text(&text, r); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "wrong-total.txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s(UPDATE_GOLDEN=1 rewrites it)", text.String(), want)
	}
}

func TestResultSurvivesJSON(t *testing.T) {
	l := find(t, fakeCatalog(t), "steady-total")
	r, err := (&Grader{Env: fakeEnv()}).Grade(context.Background(), l, script("move with dirty writes"), Options{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := grade.JSON(&b, r); err != nil {
		t.Fatal(err)
	}
	begins := regexp.MustCompile(`(?s)^\{\s*"lab": "steady-total",\s*"verdict": "fail",\s*"score": 60,\s*"max": 100,\s*"seed": 7,\s*"isolation": "[^"]+",\s*"tasks": \[\s*\{\s*"name": "move",\s*"verdict": "pass",\s*"score": 60,\s*"max": 60`)
	if !begins.MatchString(b.String()) {
		t.Errorf("the JSON begins\n%.400s", b.String())
	}
	back, err := grade.ReadJSON(&b)
	if err != nil || back.Tasks[1].Why != r.Tasks[1].Why {
		t.Errorf("read back %+v, %v", back, err)
	}
}

// TestFullDiscBlamesNobody grades scripts on a machine whose disc is full: what failed may have failed for that, what passed has passed.
func TestFullDiscBlamesNobody(t *testing.T) {
	l := find(t, fakeCatalog(t), "steady-total")
	env := fakeEnv()
	env.Room = func() error { return errors.New("no space left on device") }
	for text, want := range map[string]grade.Verdict{
		"move in a transaction\nlook in a transaction":          grade.Pass,
		"move with dirty writes":                                grade.Inconclusive,
		"move in a transaction\nmistake\nlook in a transaction": grade.Inconclusive,
	} {
		r, err := (&Grader{Env: env, Version: "test"}).Grade(t.Context(), l, script(text), Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		var says strings.Builder
		if err := grade.Text(&says, r); err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(says.String(), "no space left on device"); r.Verdict != want || told != (want == grade.Inconclusive) {
			t.Errorf("%q: %s, %s", text, r.Verdict, says.String())
		}
	}
}
