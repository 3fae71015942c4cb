package distributedcounter

import (
	"context"
	"time"

	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// together is the run without a cut: first everybody asks once, then come clients who lose their patience and ask again,
// elsewhere, under the same name.
type together struct{ seed uint64 }

const (
	patientClients = 4
	requestsEach   = 9
	impatient      = 3
	namesEach      = 7
	againNote      = "impatient-clients-come"
)

func newTogether(seed uint64) lab.Plan {
	t := together{seed}
	return lab.Plan{Setup: setup, Drive: t.drive, Observe: t.observe, Checks: []lab.Check{
		{Task: "shared", Judge: t.shared},
		{Task: "once", Judge: t.once},
	}}
}

func (t together) drive(ctx context.Context, w *lab.World) error {
	if err := lab.SlowLinks(w, wire.Rule{Delay: 4 * time.Millisecond, Jitter: 30 * time.Millisecond}); err != nil {
		return err
	}
	for i := range patientClients {
		w.Go(func(ctx context.Context) {
			c := newClient(t.seed, i)
			for range requestsEach {
				if c.Pause(ctx, w, 5*time.Millisecond, 60*time.Millisecond) != nil {
					return
				}
				if c.Rand.IntN(3) == 0 {
					c.Ask(ctx, w, c.AnyNode(w), "read")
					continue
				}
				by, name := c.next()
				c.Ask(ctx, w, c.AnyNode(w), "increment", by, name)
			}
		})
	}
	w.Wait()
	for _, n := range w.Nodes() {
		lab.Ask(ctx, w, "grader", n, "read")
	}
	w.Note(againNote, term.True)
	for i := range impatient {
		first, second := newClient(t.seed, 10+i), newClient(t.seed, 10+i) // the same requests of the same client, twice
		w.Go(func(ctx context.Context) { first.askAll(ctx, w, 1) })
		w.Go(func(ctx context.Context) { second.askAll(ctx, w, 2) })
	}
	w.Wait()
	return ctx.Err()
}

// askAll sends requests that a twin sends too; way makes the two go different ways.
func (c client) askAll(ctx context.Context, w *lab.World, way int) {
	for k := range namesEach {
		gap := c.Rand.IntN(60)
		start := c.Rand.IntN(len(w.Nodes()))
		by, name := c.next()
		if way == 2 && w.Sleep(ctx, time.Duration(gap)*time.Millisecond) != nil {
			return
		}
		c.Ask(ctx, w, w.Nodes()[(start+way*(1+k%2))%len(w.Nodes())], "increment", by, name)
		if w.Sleep(ctx, 20*time.Millisecond) != nil {
			return
		}
	}
}

func (t together) observe(ctx context.Context, w *lab.World) error {
	for _, n := range w.Nodes() {
		lab.Ask(ctx, w, "grader", n, "read")
	}
	return ctx.Err()
}

// before is what happened until the impatient clients came.
func before(h *history.History) *history.History {
	at := h.End
	for _, n := range h.Notes {
		if n.Name == againNote {
			at = n.At
		}
	}
	first := *h
	first.Ops = h.Filter(func(o history.Op) bool { return o.Begin < at })
	return &first
}

// shared judges the patient clients: every request must be answered, and the answers be those of one counter.
func (t together) shared(h *history.History) grade.Finding {
	return grade.All(allAnswered, exact.Exact)(before(h))
}

// once judges all of them.
func (t together) once(h *history.History) grade.Finding {
	return grade.All(allAnswered, exact.Exact)(h)
}

// allAnswered wants an answer to every request: nothing was cut.
func allAnswered(h *history.History) grade.Finding {
	for _, o := range h.Ops {
		if (o.Verb == "increment" || o.Verb == "read") && o.Outcome.Status != "ok" {
			return grade.Failed("a request was not answered although nothing was cut", "a number", grade.AnswerText(o), o.ID)
		}
	}
	return prompt.Answered(h)
}
