package lab

import (
	"context"
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
	s.Kept.Requests = s.Kept.Requests[:0]
	if rep, err = g.Replay(t.Context(), l, r, ReplayOptions{}); err != nil || len(rep.Differences) != 1 || !strings.Contains(rep.Differences[0], "does not fail") {
		t.Errorf("a shorter run that does not fail is not told: %q, %v", rep.Differences, err)
	}
}
