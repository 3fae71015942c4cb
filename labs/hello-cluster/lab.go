// Package hellocluster is the first lab of nodes and processes: connect, spawn on the other node, and read off a
// running process where it lives and where its output goes.
package hellocluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// Lab is the lab's definition.
var Lab = lab.Definition{Slug: "hello-cluster", Scenarios: []lab.Scenario{{New: newPlan}}}

const (
	// visitor is the local name of the process that the lab plants.
	visitor = "visitor"
	// asleep is how long it sleeps, in milliseconds: longer than any lab is up.
	asleep = 24 * 3600 * 1000
	// patience is how long the lab waits for what takes a moment.
	patience = 5 * time.Second
)

var (
	moods  = []string{"warm", "cold", "late", "early", "kind", "loud", "quiet", "short", "long", "odd"}
	things = []string{"tea", "rain", "bread", "snow", "light", "wind", "smoke", "salt", "sand", "ink"}
)

// meeting is the random data of one run: the greeting, where the visitor runs, who let it in, and its mail.
type meeting struct {
	greeting string
	runsOn   kit.NodeName
	leader   kit.NodeName
	letters  []string
}

func newPlan(seed uint64) lab.Plan {
	m := newMeeting(rand.New(rand.NewPCG(seed, 3)))
	return lab.Plan{
		Data:    map[string]term.Term{"greeting": term.Bin(m.greeting)},
		Setup:   m.setup,
		Observe: m.observe,
		Checks: []lab.Check{
			{Task: "connect", Judge: connected},
			{Task: "ping", Judge: pinged},
			{Task: "spawn", Judge: m.greeted},
			{Task: "inspect", Judge: m.inspected},
		},
	}
}

func newMeeting(r *rand.Rand) *meeting {
	word := func() string { return moods[r.IntN(len(moods))] + " " + things[r.IntN(len(things))] }
	m := &meeting{greeting: fmt.Sprintf("%s and %s, %d times", word(), word(), 2+r.IntN(98)), runsOn: "a", leader: "b"}
	if r.IntN(2) == 0 {
		m.runsOn, m.leader = m.leader, m.runsOn
	}
	for range 3 + r.IntN(15) {
		m.letters = append(m.letters, word())
	}
	return m
}

// setup lets the visitor in from the other node, puts its letters into its mailbox, and parts the nodes.
func (m *meeting) setup(ctx context.Context, w *lab.World) error {
	if err := lab.AwaitNodes(ctx, w); err != nil {
		return err
	}
	out := w.Do(ctx, "setup", m.leader, "spawn", term.Atom(m.runsOn), term.Atom("sleep"), lab.List(term.Int(asleep)))
	if err := out.Err(); err != nil {
		return fmt.Errorf("spawn the visitor: %w", err)
	}
	pid, err := out.Term()
	if err != nil {
		return err
	}
	if err := w.Do(ctx, "setup", m.runsOn, "register", term.Atom(visitor), pid).Err(); err != nil {
		return fmt.Errorf("register the visitor: %w", err)
	}
	for _, text := range m.letters {
		op := lab.List(term.Atom("send"), pid, term.Bin(text))
		if err := w.Do(ctx, "setup", m.runsOn, "proc", term.Atom("self"), op).Err(); err != nil {
			return fmt.Errorf("write to the visitor: %w", err)
		}
	}
	if _, err := w.Await(ctx, patience, func() door.Outcome {
		return w.Do(ctx, "setup", m.runsOn, "process_info", pid)
	}, func(o door.Outcome) bool {
		info, err := o.Term()
		about, ok := info.(term.Map)
		return err == nil && ok && term.Equal(about.Opt("message_queue_len"), term.Int(len(m.letters)))
	}); err != nil {
		return fmt.Errorf("the visitor's mail: %w", err)
	}
	return part(ctx, w)
}

// part disconnects the two nodes; neither connects again by itself.
func part(ctx context.Context, w *lab.World) error {
	if err := w.Do(ctx, "setup", "a", "disconnect", term.Atom("b")).Err(); err != nil {
		return fmt.Errorf("disconnect: %w", err)
	}
	for _, n := range w.Nodes() {
		if _, err := w.Await(ctx, patience, func() door.Outcome { return w.Do(ctx, "setup", n, "nodes") }, func(o door.Outcome) bool {
			return string(o.Value) == "[]"
		}); err != nil {
			return fmt.Errorf("disconnect, seen from %s: %w", n, err)
		}
	}
	return nil
}

func other(n kit.NodeName) kit.NodeName {
	if n == "a" {
		return "b"
	}
	return "a"
}

// observe reads what processes wrote to either node, and gives what is on its way a moment.
func (m *meeting) observe(ctx context.Context, w *lab.World) error {
	greetings := spawned(w.History(), "a", "b")
	read := func() door.Outcome { return w.Do(ctx, "grader", "a", "output", term.Int(0)) }
	if len(greetings) == 0 {
		read()
	} else if _, err := w.Await(ctx, 2*time.Second, read, func(o door.Outcome) bool {
		return slices.ContainsFunc(lines(o), func(l line) bool { return m.isGreeting(l, greetings) })
	}); err != nil && ctx.Err() != nil {
		return err
	}
	w.Do(ctx, "grader", "b", "output", term.Int(0))
	return nil
}
