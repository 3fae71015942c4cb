package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// greeter is a code lab whose program is asked to say hello, with a word that it may pass over.
func greeter(t *testing.T, way term.Atom) *Lab {
	t.Helper()
	readme := `---
title: Greeter
kind: code
nodes: 2
minutes: 5
seeds: 2
tasks:
  - {name: hello, title: Say hello, points: 60}
  - {name: tests, title: Test it, points: 40, after: [hello]}
---
Greet.
`
	labs := fstest.MapFS{
		"greeter/README.md":                 {Data: []byte(readme)},
		"greeter/starter/main.go":           {Data: []byte(program1("return term.Atom(\"nothing\"), nil"))},
		"greeter/mutants/rude/verdict.yaml": {Data: []byte("about: says the wrong word\ntests: true\nclue: the word\nedits: [{file: words.go, old: '\"hello\"', new: '\"go away\"'}]\n")},
	}
	solutions := fstest.MapFS{
		"greeter/main.go":       {Data: []byte(program1("return term.Atom(word()), nil"))},
		"greeter/words.go":      {Data: []byte("package main\n\nfunc word() string { return \"hello\" }\n")},
		"greeter/words_test.go": {Data: []byte("package main\n\nimport \"testing\"\n\nfunc TestWord(t *testing.T) {\n\tif word() != \"hello\" {\n\t\tt.Fatal(word())\n\t}\n}\n")},
	}
	hello := func(h *history.History) grade.Finding {
		for _, o := range h.Ops {
			if v, err := o.Outcome.Term(); err != nil || !term.Equal(v, term.Atom("hello")) {
				return grade.Failed("it did not say hello", "hello", string(o.Outcome.Status), o.ID)
			}
		}
		return grade.Passed()
	}
	c, err := Load(labs, solutions, []Definition{{Slug: "greeter", Tests: &TestSuite{Task: "tests"}, Scenarios: []Scenario{{New: func(uint64) Plan {
		return Plan{Checks: []Check{{"hello", hello}}, Drive: func(ctx context.Context, w *World) error {
			for _, n := range w.Nodes() {
				w.Go(func(ctx context.Context) { w.Do(ctx, "c-"+string(n), n, "hello", way) })
			}
			return nil
		}}
	}}}}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.Find("greeter")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// program1 is a node program whose verb "hello" has the given body.
func program1(body string) string {
	return fmt.Sprintf(`package main

import (
	"context"

	"netsplit/kit/node"
	"netsplit/kit/term"
)

func hello(ctx context.Context, n *node.Node, args []term.Term) (term.Term, error) {
	%s
}

func main() {
	node.Main(node.App{Verbs: map[string]node.Verb{"hello": hello}})
}
`, body)
}

func system(t *testing.T) *Grader {
	t.Helper()
	switch {
	case testing.Short():
		t.Skip("-short: compiling programs takes seconds each")
	case raced:
		t.Skip("TestWithoutRaceDetector runs it")
	}
	s := &System{}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Grader{Env: s.Env()}
}

func TestSolutionPassesInTheSimulator(t *testing.T) {
	g, l := system(t), greeter(t, "")
	ref, err := l.Reference()
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Grade(t.Context(), l, ref, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != grade.Pass || r.Score != 100 {
		t.Fatalf("%s, %d points: %+v\n%s", r.Verdict, r.Score, r.Tasks, r.Output)
	}
	rep, err := g.Replay(t.Context(), l, r, ReplayOptions{Twice: true})
	if err != nil || len(rep.Differences) > 0 || r.Runs[0].Hash == "" {
		t.Errorf("replay: %q, %v, hash %q", rep.Differences, err, r.Runs[0].Hash)
	}
}

// naughty is a program that misbehaves in the way it is asked to.
const naughty = `package main

import (
	"context"
	"fmt"
	"os"

	"netsplit/kit/node"
	"netsplit/kit/term"
)

func hello(ctx context.Context, n *node.Node, args []term.Term) (term.Term, error) {
	switch args[0].(term.Atom) {
	case "panic":
		var m map[string]int
		m["x"] = 1
	case "exit":
		os.Exit(0)
	case "spin":
		for {
		}
	case "memory":
		for all := [][]byte{}; ; {
			all = append(all, make([]byte, 1<<20))
		}
	case "recurse":
		return hello(ctx, n, args)
	case "print":
		for range 1000 {
			fmt.Println("--- PASS: all\n{\"verdict\":\"pass\"}\x1b[2J")
		}
	case "read":
		if _, err := os.ReadFile("/etc/passwd"); err != nil {
			panic("nothing to read: " + err.Error())
		}
	}
	return term.Atom("no"), nil
}

func main() {
	node.Main(node.App{Verbs: map[string]node.Verb{"hello": hello}})
}
`

// TestBadPrograms wants each to score 0 with a reason that its author can act on.
func TestBadPrograms(t *testing.T) {
	g := system(t)
	for _, c := range []struct{ name, way, source, says string }{
		{"does not compile", "", program1("return 7, nil"), "main.go:11:9: cannot use 7"},
		{"is no program", "", "package greeter\n", "hint: it needs package main and func main"},
		{"imports what is not there", "", "package main\n\nimport _ \"example.org/evil\"\n\nfunc main() {}\n", "example.org/evil"},
		{"exits at once", "", "package main\n\nimport \"os\"\n\nfunc main() { os.Exit(0) }\n", "exit code 0"},
		{"panics in init", "", "package main\n\nfunc init() { panic(\"so there\") }\n\nfunc main() {}\n", "so there"},
		{"panics", "panic", naughty, "assignment to entry in nil map"},
		{"exits in a request", "exit", naughty, "exit code 0"},
		{"spins", "spin", naughty, "without waiting"},
		{"eats memory", "memory", naughty, "more than its limit"},
		{"recurses without end", "recurse", naughty, "ended by itself"},
		{"prints a verdict", "print", naughty, "it did not say hello"},
		{"reads the machine", "read", naughty, "nothing to read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := greeter(t, term.Atom(c.way))
			sub := Submission{Name: "work", Files: map[string][]byte{"main.go": []byte(c.source)}}
			r, err := g.Grade(t.Context(), l, sub, Options{Seed: 1, Seeds: 1})
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			if err := grade.Text(&text, r); err != nil {
				t.Fatal(err)
			}
			if r.Verdict != grade.Fail || r.Score != 0 || !strings.Contains(text.String(), c.says) {
				t.Errorf("%s, %d points, and the text lacks %q:\n%s", r.Verdict, r.Score, c.says, text.String())
			}
			if strings.Contains(text.String(), "\x1b") || strings.Contains(text.String(), "/netsplit/work/") {
				t.Errorf("the text holds what it should not:\n%s", text.String())
			}
		})
	}
}

// TestStudentTests grades tests: real ones catch the mutant, and neither passing nor failing always earns a point.
func TestStudentTests(t *testing.T) {
	g, l := system(t), greeter(t, "")
	ref, err := l.Reference()
	if err != nil {
		t.Fatal(err)
	}
	const head = "package main\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Exit\n\n"
	for _, c := range []struct {
		name, tests string
		verdict     grade.Verdict
		says        string
	}{
		{"always pass", head + "func TestMain(m *testing.M) { os.Exit(0) }\n", grade.Fail, "goes wrong in the word"},
		{"prints PASS", head + "func TestX(t *testing.T) { println(\"--- PASS: TestX\\nPASS\"); os.Exit(0) }\n", grade.Fail, "goes wrong in the word"},
		{"always fail", head + "func TestX(t *testing.T) { t.Fatal(\"no\") }\n", grade.Fail, "the tests fail with a right program"},
		{"do not compile", head + "func TestX(t *testing.T) { nosuch() }\n", grade.Fail, "undefined: nosuch"},
		{"embed the program", head + "import _ \"embed\"\n\n//go:embed words.go\nvar src string\n", grade.Fail, "has no place in a submission"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := Submission{Name: "work", Files: ref.Files, Tests: map[string][]byte{"words_test.go": []byte(c.tests)}}
			r, err := g.Grade(t.Context(), l, sub, Options{Seed: 1, Seeds: 1})
			if err != nil {
				t.Fatal(err)
			}
			tests := taskIn(r, "tests")
			if all := r.Problem + tests.Why + tests.Actual; r.Verdict != c.verdict || tests.Score != 0 || !strings.Contains(all, c.says) {
				t.Errorf("%s, %d points: %+v %s", r.Verdict, tests.Score, tests, r.Problem)
			}
		})
	}
}

// TestCodeWorkspaceBuildsOffline wants a new workspace to build, vet and test with no network and nothing fetched.
func TestCodeWorkspaceBuildsOffline(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: compiling takes seconds")
	}
	dir := filepath.Join(t.TempDir(), "my work")
	if err := greeter(t, "").Start(dir, 0); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"build", "-o", os.DevNull, "./..."}, {"vet", "./..."}, {"test", "./..."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly -trimpath", "GOWORK=off") // -trimpath: what other tests have compiled serves here, too
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestWithoutRaceDetector runs the tests that need the simulator in a test binary without the detector, under which
// compiling to machine code takes ten times as long.
func TestWithoutRaceDetector(t *testing.T) {
	if !raced || testing.Short() {
		t.Skip("the race detector is not at work")
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-trimpath", "-vet=off", "-count=1", "-run", "^(TestSolutionPassesInTheSimulator|TestBadPrograms|TestStudentTests|TestStandInTheSimulator|TestSchedulesTwice|TestJointProgramsKeepApart|TestNotJoined)$", ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
