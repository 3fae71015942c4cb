package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// tiring is a lab whose wrong program no longer says hello after two requests to one node, whatever else happens.
func tiring(t *testing.T) *Lab {
	t.Helper()
	readme := `---
title: Tiring
kind: code
nodes: 2
minutes: 5
seeds: 1
tasks:
  - {name: hello, title: Say hello, points: 100}
---
Greet, however often.
`
	const edits = "about: grows tired\ntasks: {hello: fail}\nedits: [{file: words.go, old: 'return \"hello\"', new: 'if said++; said > 2 { return \"no\" }; return \"hello\"'}]\n"
	labs := fstest.MapFS{
		"tiring/README.md":                  {Data: []byte(readme)},
		"tiring/starter/main.go":            {Data: []byte(program1("return term.Atom(\"nothing\"), nil"))},
		"tiring/mutants/tired/verdict.yaml": {Data: []byte(edits)},
	}
	solutions := fstest.MapFS{
		"tiring/main.go":  {Data: []byte(program1("return term.Atom(word()), nil"))},
		"tiring/words.go": {Data: []byte("package main\n\nvar said int\n\nfunc word() string { return \"hello\" }\n")},
	}
	hello := func(h *history.History) grade.Finding {
		for _, o := range h.Ops {
			if v, err := o.Outcome.Term(); err == nil && !term.Equal(v, term.Atom("hello")) {
				return grade.Failed("node "+string(o.Node)+" did not say hello", "hello", term.String(v), o.ID)
			}
		}
		return grade.Passed()
	}
	client := func(w *World, name string, nodes ...kit.NodeName) {
		w.Go(func(ctx context.Context) {
			for i := range 12 {
				w.Do(ctx, name, nodes[i%len(nodes)], "hello")
				if w.Sleep(ctx, 30*time.Millisecond) != nil {
					return
				}
			}
		})
	}
	c, err := Load(labs, solutions, []Definition{{Slug: "tiring", Scenarios: []Scenario{{New: func(uint64) Plan {
		return Plan{Checks: []Check{{"hello", hello}}, Drive: func(ctx context.Context, w *World) error {
			client(w, "ann", "a", "b")
			client(w, "ben", "b", "a")
			w.Go(func(ctx context.Context) {
				if w.Sleep(ctx, 20*time.Millisecond) == nil && w.Pause("b") == nil && w.Sleep(ctx, 100*time.Millisecond) == nil {
					_ = w.Resume("b")
				}
			})
			return nil
		}}
	}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return find(t, c, "tiring")
}

// TestShrinkInTheSimulator grades a program in the simulator, has its failure shrunk, and replays what is shown.
func TestShrinkInTheSimulator(t *testing.T) {
	g, l := system(t), tiring(t)
	sub, err := l.Mutated(l.Mutants[0])
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Grade(t.Context(), l, sub, Options{Seed: 1, Shrink: ShrinkLimits{Runs: 60, Wall: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	s := r.Tasks[0].Shrunk
	if s == nil || s.From != (grade.Size{Ops: 24, Faults: 1, Clients: 2, Nodes: 2}) || s.To != (grade.Size{Ops: 3, Clients: 1, Nodes: 1}) || s.Hash == "" || s.Cut != "" {
		t.Fatalf("%+v of %+v", s, r.Tasks[0])
	}
	if len(r.Tasks[0].Excerpt) != 3 {
		t.Errorf("shown is\n%s", strings.Join(r.Tasks[0].Excerpt, "\n"))
	}
	rep, err := g.Replay(t.Context(), l, r, ReplayOptions{Twice: true})
	if err != nil || len(rep.Differences) > 0 || rep.Result.Tasks[0].Shrunk == nil || rep.Result.Tasks[0].Diagram != r.Tasks[0].Diagram {
		t.Errorf("replay: %q, %v, %+v", rep.Differences, err, rep.Result)
	}
	full, err := g.Replay(t.Context(), l, r, ReplayOptions{Full: true})
	if err != nil || len(full.Differences) > 0 || full.Result.Tasks[0].Shrunk != nil {
		t.Errorf("the full replay: %q, %v", full.Differences, err)
	}
	lookAtShorter(t, g, l, r)
	s.Kept.Requests = s.Kept.Requests[:0]
	if rep, err = g.Replay(t.Context(), l, r, ReplayOptions{}); err != nil || len(rep.Differences) != 1 || !strings.Contains(rep.Differences[0], "does not fail") {
		t.Errorf("a shorter run that does not fail is not told: %q, %v", rep.Differences, err)
	}
}

// lookAtShorter looks at the log and at a moment of what a result shows, and at the whole.
func lookAtShorter(t *testing.T, g *Grader, l *Lab, r *grade.Result) {
	t.Helper()
	asked := func(which Which) (RunLog, int) {
		log, err := g.Log(t.Context(), l, r, LogOptions{Which: which, What: []string{"ask"}})
		if err != nil || len(log.Differences) > 0 {
			t.Fatalf("%+v: %v, %q", which, err, log.Differences)
		}
		n := 0
		for _, e := range log.Events {
			if strings.HasSuffix(e.Note, " hello") {
				n++
			}
		}
		return log, n
	}
	short, n := asked(Which{})
	if n != 3 || short.Hash != r.Tasks[0].Shrunk.Hash || short.Shrunk == nil {
		t.Errorf("shown is a run of %d requests, hash %s, shrunk %+v", n, short.Hash, short.Shrunk)
	}
	last := short.Events[len(short.Events)-1]
	if at := fmt.Sprintf("%.1f ms", last.Micros/1e3); !strings.Contains(strings.Join(r.Tasks[0].Excerpt, "\n"), at) {
		t.Errorf("the last request is at %s, the explanation says\n%s", at, strings.Join(r.Tasks[0].Excerpt, "\n"))
	}
	whole, n := asked(Which{Task: "hello", Scenario: r.Tasks[0].Scenario, Full: true})
	if n != 24 || whole.Hash != r.Runs[0].Hash || whole.Shrunk != nil {
		t.Errorf("the whole run has %d requests, hash %s, shrunk %+v", n, whole.Hash, whole.Shrunk)
	}
	for _, full := range []bool{false, true} {
		s, err := g.Stand(t.Context(), l, r, Which{Full: full}, Moment{Event: last.Seq})
		if err != nil || len(s.Differences) > 0 || (s.Shrunk == nil) != full || (len(s.Nodes) == 1) == full {
			t.Errorf("full %v: %v, %q, %d nodes, shrunk %+v", full, err, s.Differences, len(s.Nodes), s.Shrunk)
		}
	}
	other := *r
	other.Tasks = slices.Clone(r.Tasks)
	changed := *r.Tasks[0].Shrunk
	changed.Hash, other.Tasks[0].Shrunk = "0000", &changed
	if log, err := g.Log(t.Context(), l, &other, LogOptions{}); err != nil || len(log.Differences) != 1 || !strings.Contains(log.Differences[0], "the shorter run that explains task hello went otherwise") {
		t.Errorf("%v, %q", err, log.Differences)
	}
	if _, err := g.Log(t.Context(), l, r, LogOptions{Which: Which{Task: "nonsense"}}); kit.KindOf(err) != kit.NotFound || !strings.Contains(kit.HintOf(err), "[hello]") {
		t.Errorf("%v", err)
	}
}
