// Package serializedwriter is the lab of the one process through which all changes of a table go: a node program, graded in
// the simulator with many clients at once, while the process is killed again and again, and while too many want something.
package serializedwriter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// Lab is the lab's definition.
var Lab = lab.Definition{
	Slug:      "serialized-writer",
	Scenarios: []lab.Scenario{{Name: "day", New: newDay}, {Name: "restart", New: newRestart}},
}

// What the brief and the given code say.
const (
	table      = "stock"
	writerName = term.Atom("writer")
	outOfStock = term.Atom("out_of_stock")
	room       = 20
	dozen      = 12
	limit      = 5 * time.Second        // how long a request may take, and how long after the last kill all must work again
	wayToShelf = 300 * time.Millisecond // tidy walks there and back
)

const (
	items  = 4
	looker = "grader" // reads the tables themselves, and looks after the writer
)

var prompt = grade.Prompt{Verbs: []string{"change", "tidy", "amount"}, Limit: limit}

// warehouse is what a run begins with.
type warehouse struct {
	seed  uint64
	items []string // the last one is for the crush alone
	start map[string]int64
}

func newWarehouse(seed uint64) *warehouse {
	r := rand.New(rand.NewPCG(seed, 5))
	wares := []string{"beds", "bowls", "chairs", "clocks", "desks", "jars", "lamps", "mats", "mugs", "plates", "stools", "vases"}
	s := &warehouse{seed: seed, start: map[string]int64{}}
	for i, k := range r.Perm(len(wares))[:items+1] {
		s.items = append(s.items, wares[k])
		s.start[wares[k]] = 80 + r.Int64N(250)
		if i == items {
			s.start[wares[k]] = 1000 + r.Int64N(500)
		}
	}
	return s
}

// setup starts the stores and makes the table, with a copy on every node.
func (s *warehouse) setup(ctx context.Context, w *lab.World) error {
	if err := lab.StartStores(ctx, w); err != nil {
		return err
	}
	var nodes []string
	for _, n := range w.Nodes() {
		nodes = append(nodes, string(n))
	}
	opts := term.MakeMap(
		term.Pair{Key: term.Atom("attributes"), Value: term.Atoms("item", "amount")},
		term.Pair{Key: term.Atom("ram_copies"), Value: term.Atoms(nodes...)})
	if err := w.Do(ctx, "setup", "a", "create_table", term.Atom(table), opts).Err(); err != nil {
		return fmt.Errorf("create table %s: %w", table, err)
	}
	var writes term.List
	for _, item := range s.items {
		writes = append(writes, lab.List(term.Atom("write"), term.Atom(table), lab.Tuple(term.Atom(table), term.Bin(item), term.Int(s.start[item]))))
	}
	if err := w.Do(ctx, "setup", "a", "transaction", writes).Err(); err != nil {
		return fmt.Errorf("fill the shelves: %w", err)
	}
	return nil
}

// client is one who takes, brings and looks.
type client struct{ *lab.Client }

func newClient(seed uint64, name string, i int) client {
	return client{lab.NewClient(name, seed, uint64(100+i))}
}

// anyItem draws one, the first ones more often: those everybody wants.
func (s *warehouse) anyItem(c client) string { return s.items[c.Rand.IntN(1+c.Rand.IntN(items))] }

// change asks for one. The numbers differ, so that a change that is lost or doubled is known by its size; and more is taken than
// brought, so that now and then there is too little.
func (c client) change(ctx context.Context, w *lab.World, node kit.NodeName, item string) {
	by := 1 + c.Rand.Int64N(99)
	if c.Rand.IntN(5) < 3 {
		by = -by
	}
	c.Ask(ctx, w, node, "change", term.Bin(item), term.Int(by))
}

// some asks for a change, and now and then for what there is.
func (c client) some(ctx context.Context, w *lab.World, node kit.NodeName, item string) {
	if c.Rand.IntN(4) == 0 {
		c.Ask(ctx, w, node, "amount", term.Bin(item))
		return
	}
	c.change(ctx, w, node, item)
}

// look waits until the last write has reached every copy, and reads them.
func look(ctx context.Context, w *lab.World) error {
	if err := w.Sleep(ctx, time.Second); err != nil {
		return err
	}
	for _, n := range w.Nodes() {
		w.Do(ctx, looker, n, "local_contents", term.Atom(table))
	}
	return ctx.Err()
}

// shelf is an item as one process would keep it.
func (s *warehouse) shelf() history.Object {
	return history.Object{
		Start: func(item string) term.Term { return term.Int(s.start[item]) },
		Apply: func(state term.Term, a history.Act) (next, answer term.Term) {
			has, _ := state.(term.Int)
			switch a.Name {
			case "change":
				by, _ := a.Args[0].(term.Int)
				if has+by < 0 {
					return has, outOfStock
				}
				return has + by, has + by
			case "tidy":
				return has - has%dozen, has % dozen
			}
			return has, has
		},
		Pure: func(a history.Act) bool { return a.Name == "amount" },
	}
}

// oneOrder demands that the answers are those of one process that keeps the items.
func (s *warehouse) oneOrder(h *history.History) grade.Finding {
	return grade.Linearizable{
		What:   "the stock of",
		Object: s.shelf(),
		Acts: func(o history.Op) (history.Act, bool) {
			if !ours(o) {
				return history.Act{}, false
			}
			return history.Act{Part: grade.Word(o.Args[0]), Name: o.Verb, Args: o.Args[1:]}, true
		},
	}.Ordered(h)
}

// ours reports whether a request is one for the student's program.
func ours(o history.Op) bool {
	return (o.Verb == "change" || o.Verb == "tidy" || o.Verb == "amount") && len(o.Args) > 0
}

func number(o history.Op) (int64, bool) {
	t, err := o.Outcome.Term()
	n, ok := t.(term.Int)
	return int64(n), ok && err == nil && o.End != history.Open && o.Outcome.Status == door.OK
}

// served reports whether a request got an answer that makes sense.
func served(o history.Op) bool {
	if _, ok := number(o); ok {
		return true
	}
	t, err := o.Outcome.Term()
	return o.Verb == "change" && o.Outcome.Status == door.OK && err == nil && t == outOfStock
}

// refused reports whether a request was refused because too many wait.
func refused(o history.Op) bool {
	return o.End != history.Open && o.Outcome.Status == door.Error && o.Outcome.Kind == term.Atom("overloaded")
}

// without leaves requests out of a history.
func without(h *history.History, drop func(history.Op) bool) *history.History {
	p := *h
	p.Ops = h.Filter(func(o history.Op) bool { return !drop(o) })
	return &p
}
