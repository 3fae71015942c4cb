// Package nodedisconnection is the lab of connections that go down: by hand, loudly and silently, and what either end
// is told.
package nodedisconnection

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
	"netsplit/kit/shell"
	"netsplit/kit/term"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// Lab is the lab's definition.
var Lab = lab.Definition{Slug: "node-disconnection", Scenarios: []lab.Scenario{{New: newPlan}}}

// client is the name under which mishaps go on record.
const client = "mishap"

// The kinds of mishap, as they are handed in.
const (
	onA    = "a"
	onB    = "b"
	loud   = "loud"
	silent = "silent"
)

// fate is the random data of one run: the order in which the mishaps come. After the last it begins again.
type fate struct {
	order []string
	mu    sync.Mutex
	next  int
}

func newPlan(seed uint64) lab.Plan {
	r := rand.New(rand.NewPCG(seed, 4))
	f := &fate{order: []string{onA, onB, loud, silent}}
	r.Shuffle(len(f.order), func(i, j int) { f.order[i], f.order[j] = f.order[j], f.order[i] })
	return lab.Plan{
		Hooks:   map[string]shell.Hook{"mishap": f.mishap},
		Setup:   lab.AwaitNodes,
		Observe: observe,
		Checks: []lab.Check{
			{Task: "down", Judge: grade.All(grade.Genuine, down)},
			{Task: "up", Judge: up},
			{Task: "mishaps", Judge: f.judge},
		},
	}
}

func other(n kit.NodeName) kit.NodeName {
	if n == "a" {
		return "b"
	}
	return "a"
}

// mishap takes the connection down in the next of the four ways.
func (f *fate) mishap(ctx context.Context, w world.World, args []term.Term) (term.Term, error) {
	if len(args) > 0 {
		return nil, &kit.Error{Op: "mishap", Kind: kit.Invalid, Err: errors.New("it takes no arguments")}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range w.Nodes() {
		if out := call(ctx, w, n, "nodes"); string(out.Value) != fmt.Sprintf("[%q]", other(n)) {
			return nil, &kit.Error{Op: "mishap", Kind: kit.Refused, Err: fmt.Errorf("%s is not connected to %s", n, other(n)),
				Hint: "mend what happened before, and wait until both nodes list each other"}
		}
	}
	kind := f.order[f.next%len(f.order)]
	f.next++
	switch kind {
	case loud, silent:
		for _, n := range w.Nodes() {
			if err := w.Link(n, other(n), wire.Rule{Cut: wire.Cut(kind)}); err != nil {
				return nil, err
			}
		}
	default:
		n := kit.NodeName(kind)
		if err := call(ctx, w, n, "disconnect", term.Atom(other(n))).Err(); err != nil {
			return nil, err
		}
	}
	return term.Atom("ok"), nil
}

func call(ctx context.Context, w world.World, n kit.NodeName, verb string, args ...term.Term) door.Outcome {
	return w.Call(ctx, client, n, door.Request{Client: client, Verb: verb, Args: args})
}

// observe looks whether the nodes are together in the end, and gives what was just mended a moment.
func observe(ctx context.Context, w *lab.World) error {
	apart := false
	_, err := w.Await(ctx, time.Second, func() door.Outcome {
		apart = false
		var out door.Outcome
		for _, n := range w.Nodes() {
			out = w.Do(ctx, "grader", n, "nodes")
			apart = apart || string(out.Value) != fmt.Sprintf("[%q]", other(n))
		}
		return out
	}, func(door.Outcome) bool { return !apart })
	if ctx.Err() != nil {
		return err
	}
	return nil
}
