// Package globalregistry is the lab of global names: one till with one name, found from every node, lost with its holder,
// given away twice in a split, and put together again.
package globalregistry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/lab"
	"netsplit/kit/shell"
	"netsplit/kit/term"
	"netsplit/kit/world"
)

// Lab is the lab's definition.
var Lab = lab.Definition{Slug: "global-registry", Scenarios: []lab.Scenario{{New: newPlan}}}

const (
	// client is the name under which the sales of the lab's shop go on record.
	client = "shop"
	// patience is how long the shop waits for the till to answer.
	patience = 5 * time.Second
)

var shops = []string{"harbour", "market", "station", "bridge", "castle", "garden"}

// market is the random data of one run.
type market struct {
	name  term.Atom
	float int64 // the money that is in a till in the morning

	mu   sync.Mutex
	rand *rand.Rand // of the sales
}

func newPlan(seed uint64) lab.Plan {
	m := newMarket(rand.New(rand.NewPCG(seed, 5)))
	return lab.Plan{
		Data:    map[string]term.Term{"name": m.name, "float": term.Int(m.float)},
		Hooks:   map[string]shell.Hook{"sales": m.sales},
		Observe: m.observe,
		Checks: []lab.Check{
			{Task: "register", Judge: m.registered},
			{Task: "reach", Judge: m.reached},
			{Task: "released", Judge: m.released},
			{Task: "clash", Judge: m.clashed},
			{Task: "resolved", Judge: m.resolved},
			{Task: "merged", Judge: m.merged},
		},
	}
}

func newMarket(r *rand.Rand) *market {
	return &market{
		name:  term.Atom(fmt.Sprintf("till_%s_%d", shops[r.IntN(len(shops))], 10+r.IntN(90))),
		float: 50 + r.Int64N(150),
		rand:  r,
	}
}

// amounts are what one node sells until it has been asked.
func (m *market) amounts() []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]int64, 2+m.rand.IntN(3))
	for i := range list {
		list[i] = 1 + m.rand.Int64N(400)
	}
	return list
}

// sales is the shop at work: a clerk on each node that runs sells a few things, and books each in the till that has the
// name there. It returns when the tills have booked them, and answers nothing, so that only a till knows its total.
func (m *market) sales(ctx context.Context, w world.World, args []term.Term) (term.Term, error) {
	if len(args) > 0 {
		return nil, &kit.Error{Op: "sales", Kind: kit.Invalid, Err: errors.New("it takes no arguments")}
	}
	for _, n := range w.Nodes() {
		if err := m.sell(ctx, w, n); err != nil {
			return nil, err
		}
	}
	return term.Atom("ok"), nil
}

func (m *market) sell(ctx context.Context, w world.World, n kit.NodeName) error {
	act := func(op ...term.Term) door.Outcome {
		return w.Call(ctx, client, n, door.Request{Client: client, Verb: "proc", Args: []term.Term{term.Atom("self"), term.List(op)}})
	}
	me := act(term.Atom("self"))
	if me.Status == door.Down {
		return nil // a node that is dead sells nothing
	}
	self, err := me.Term()
	if err != nil || me.Status != door.OK {
		return fmt.Errorf("the shop on %s: %w", n, me.Err())
	}
	for _, amount := range m.amounts() {
		if out := act(term.Atom("global_send"), m.name, term.T(term.Atom("add"), term.Int(amount))); out.Status != door.OK {
			return &kit.Error{Op: "sell on", What: string(n), Kind: kit.Unavailable, Err: fmt.Errorf("no till has the name %s there", m.name)}
		}
	}
	act(term.Atom("global_send"), m.name, term.T(term.Atom("get"), self))
	out := w.Call(ctx, client, n, door.Request{Client: client, Verb: "mailbox", Args: []term.Term{term.Atom("self"), term.Int(0)}})
	for end := w.Now() + patience; string(out.Value) == "[]"; {
		if w.Now() > end {
			return &kit.Error{Op: "sell on", What: string(n), Kind: kit.Unavailable, Err: errors.New("the till does not answer; does it run the function counter?")}
		}
		if err := w.Sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
		out = w.Call(ctx, client, n, door.Request{Client: client, Verb: "mailbox", Args: []term.Term{term.Atom("self"), term.Int(0)}})
	}
	return out.Err()
}

// observe asks every node who has the name in the end, and that till for its total.
func (m *market) observe(ctx context.Context, w *lab.World) error {
	for _, n := range w.Nodes() {
		w.Do(ctx, grader, n, "global_whereis", m.name)
	}
	me := w.Do(ctx, grader, "a", "proc", term.Atom("self"), lab.List(term.Atom("self")))
	self, err := me.Term()
	if err != nil || me.Status != door.OK {
		return nil // the judge finds no total
	}
	sent := w.Do(ctx, grader, "a", "proc", term.Atom("self"), lab.List(term.Atom("global_send"), m.name, lab.Tuple(term.Atom("get"), self)))
	if sent.Status != door.OK {
		return nil
	}
	_, _ = w.Await(ctx, patience, func() door.Outcome {
		return w.Do(ctx, grader, "a", "mailbox", term.Atom("self"), term.Int(0))
	}, func(out door.Outcome) bool { return string(out.Value) != "[]" })
	return nil
}

// grader is the client that looks at the end.
const grader = "grader"
