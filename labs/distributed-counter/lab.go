// Package distributedcounter is the lab of the counter that several nodes share: a node program, graded in the simulator
// with many clients, impatient ones among them, while links are cut and nodes paused or killed.
package distributedcounter

import (
	"context"
	"fmt"
	"slices"
	"time"

	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// Lab is the lab's definition.
var Lab = lab.Definition{
	Slug:      "distributed-counter",
	Scenarios: []lab.Scenario{{Name: "together", New: newTogether}, {Name: "split", New: newSplit}, {Name: "crash", New: newCrash}},
}

const (
	table = "counter"
	// limit is how long a request may take, as the brief says.
	limit = 5 * time.Second
	// settleIn is how long after the heal everything must work again.
	settleIn = 5 * time.Second
)

var exact = grade.Counter{Increment: "increment", Read: "read"}

var prompt = grade.Prompt{Verbs: []string{"increment", "read"}, Limit: limit}

// setup starts the stores and gives every node a table of its own.
func setup(ctx context.Context, w *lab.World) error {
	if err := lab.StartStores(ctx, w); err != nil {
		return err
	}
	var nodes []string
	for _, n := range w.Nodes() {
		nodes = append(nodes, string(n))
	}
	opts := term.MakeMap(
		term.Pair{Key: term.Atom("attributes"), Value: term.Atoms("key", "value")},
		term.Pair{Key: term.Atom("local_content"), Value: term.True},
		term.Pair{Key: term.Atom("disc_copies"), Value: term.Atoms(nodes...)})
	if err := w.Do(ctx, "setup", "a", "create_table", term.Atom(table), opts).Err(); err != nil {
		return fmt.Errorf("create table %s: %w", table, err)
	}
	return nil
}

// client is one who counts and reads.
type client struct{ *lab.Client }

func newClient(seed uint64, i int) client {
	return client{lab.NewClient(lab.ClientName(i%5), seed, uint64(100+i))}
}

// next gives an amount and a name for a request. The amounts differ, so that a lost or doubled one is known by its size.
func (c client) next() (by term.Int, name term.Bin) {
	return term.Int(1 + c.Rand.Int64N(299)), term.Bin(c.NextName())
}

// finish asks again, under the same name, for every increment of which its client does not know what became, and reads
// the counter on every node.
func finish(ctx context.Context, w *lab.World) error {
	if err := w.Sleep(ctx, settleIn); err != nil {
		return err
	}
	for i, o := range open(w.History()) {
		node := w.Nodes()[i%len(w.Nodes())]
		lab.Ask(ctx, w, o.Client, node, "increment", o.Args...)
	}
	for _, n := range w.Nodes() {
		lab.Ask(ctx, w, "grader", n, "read")
	}
	return ctx.Err()
}

// open gives the first try of every increment that was not answered and may have counted.
func open(h *history.History) []history.Op {
	var first []history.Op
	answered, unsure := map[string]bool{}, map[string]bool{} // by the name of the request
	for _, o := range h.Ops {
		if o.Verb != "increment" {
			continue
		}
		name := nameOf(o)
		if !slices.ContainsFunc(first, func(f history.Op) bool { return nameOf(f) == name }) {
			first = append(first, o)
		}
		answered[name] = answered[name] || o.End != history.Open && o.Outcome.Status == door.OK
		unsure[name] = unsure[name] || o.End == history.Open || !o.Outcome.Definite()
	}
	return slices.DeleteFunc(first, func(o history.Op) bool { return answered[nameOf(o)] || !unsure[nameOf(o)] })
}

// nameOf is the name of an increment's request.
func nameOf(o history.Op) string { return term.String(o.Args[1]) }

// recovered wants everything that was asked in the end to be answered.
func recovered(h *history.History) grade.Finding {
	for _, o := range h.During(history.Observe).Ops {
		if (o.Verb == "increment" || o.Verb == "read") && o.Outcome.Status != door.OK {
			return grade.Failed(fmt.Sprintf("%v after everything was whole again, the counter cannot be reached from %s", settleIn, o.Node),
				"a number", grade.AnswerText(o), o.ID)
		}
	}
	return grade.Passed()
}
