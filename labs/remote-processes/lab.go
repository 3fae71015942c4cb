// Package remoteprocesses is the lab of processes on other machines: start them there, watch them, see why they ended,
// and find out what a lost connection does not tell.
package remoteprocesses

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
var Lab = lab.Definition{Slug: "remote-processes", Scenarios: []lab.Scenario{{New: newPlan}}}

const (
	// client is the name under which those who bring work go on record.
	client = "customers"
	// grader is the client that looks at the end.
	grader = "grader"
	// counter is the function that a worker runs.
	counter = "counter"
	// patience is how long the customers wait for a worker.
	patience = 5 * time.Second
)

var troubles = []string{"out_of_paper", "paper_jam", "no_ink", "door_open", "too_hot", "power_low"}

// shift is the random data of one run: what a worker begins with, what one of them fails of, and the work.
type shift struct {
	start   int64
	trouble term.Atom

	mu   sync.Mutex
	rand *rand.Rand
}

func newPlan(seed uint64) lab.Plan {
	s := newShift(rand.New(rand.NewPCG(seed, 6)))
	return lab.Plan{
		Data:    map[string]term.Term{"start": term.Int(s.start), "trouble": s.trouble},
		Hooks:   map[string]shell.Hook{"work": s.work},
		Observe: observe,
		Checks: []lab.Check{
			{Task: "spawn", Judge: s.spawned},
			{Task: "reasons", Judge: s.reasons},
			{Task: "linked", Judge: s.linked},
			{Task: "lost", Judge: s.lost},
			{Task: "dead", Judge: s.dead},
		},
	}
}

func newShift(r *rand.Rand) *shift {
	return &shift{start: 100 + r.Int64N(900), trouble: term.Atom(troubles[r.IntN(len(troubles))]), rand: r}
}

// pieces is the work for one worker.
func (s *shift) pieces() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]int64, 2+s.rand.IntN(3))
	for i := range list {
		list[i] = 1 + s.rand.Int64N(300)
	}
	return list
}

// work brings work to every worker, from its own node, so that a cut does not keep it away. It returns when all of it is
// done, and does not tell how much it was: only the workers know.
func (s *shift) work(ctx context.Context, w world.World, args []term.Term) (term.Term, error) {
	if len(args) > 0 {
		return nil, &kit.Error{Op: "work", Kind: kit.Invalid, Err: errors.New("it takes no arguments")}
	}
	for _, n := range w.Nodes() {
		list, err := w.Call(ctx, client, n, door.Request{Client: client, Verb: "processes"}).Term()
		if err != nil {
			continue // a node that is dead has no workers
		}
		processes, _ := list.(term.List)
		for _, p := range processes {
			info, _ := p.(term.Map)
			pid, ok := info.Opt("pid").(term.Pid)
			if !ok || info.Opt("function") != term.Atom(counter) {
				continue
			}
			if err := s.bring(ctx, w, n, pid); err != nil {
				return nil, err
			}
		}
	}
	return term.Atom("ok"), nil
}

// bring gives one worker its work and waits until it is done: the answer to get comes after what was sent before.
func (s *shift) bring(ctx context.Context, w world.World, n kit.NodeName, worker term.Pid) error {
	act := func(op ...term.Term) door.Outcome {
		return w.Call(ctx, client, n, door.Request{Client: client, Verb: "proc", Args: []term.Term{term.Atom("self"), term.List(op)}})
	}
	me, err := act(term.Atom("self")).Term()
	if err != nil {
		return fmt.Errorf("the customers on %s: %w", n, err)
	}
	for _, amount := range s.pieces() {
		act(term.Atom("send"), worker, term.T(term.Atom("add"), term.Int(amount)))
	}
	act(term.Atom("send"), worker, term.T(term.Atom("get"), me))
	for end := w.Now() + patience; ; {
		out := w.Call(ctx, client, n, door.Request{Client: client, Verb: "mailbox", Args: []term.Term{term.Atom("self"), term.Int(0)}})
		if string(out.Value) != "[]" {
			return out.Err()
		}
		if w.Now() > end {
			return &kit.Error{Op: "bring work to", What: term.String(worker), Kind: kit.Unavailable, Err: errors.New("it does not answer")}
		}
		if err := w.Sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// observe asks every node what runs there in the end.
func observe(ctx context.Context, w *lab.World) error {
	for _, n := range w.Nodes() {
		w.Do(ctx, grader, n, "processes")
	}
	return nil
}
