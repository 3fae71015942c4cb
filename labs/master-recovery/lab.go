// Package masterrecovery is the lab of a split: three nodes, one cut off, writes on both sides, and the recovery
// through master nodes that keeps the rows of the side which gives way.
package masterrecovery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/lab"
	"netsplit/kit/shell"
	"netsplit/kit/term"
	"netsplit/kit/world"
)

// Lab is the lab's definition.
var Lab = lab.Definition{Slug: "master-recovery", Scenarios: []lab.Scenario{{New: newPlan}}}

const (
	orders = "orders"
	saved  = "saved"
	// client is the name under which the traffic of the lab's shop goes on record.
	client = "shop"
)

var goods = []string{"tea", "rice", "salt", "lamp", "rope", "boots", "chairs", "cups", "nails", "paper", "seeds", "soap"}

// shop is the random data of one run: orders that are there from the beginning, and what the two sides of the split
// will write.
type shop struct {
	initial  []term.Tuple
	majority []term.Tuple // written on a and b during the split
	lone     []term.Tuple // written on c meanwhile; the first two are orders that a and b change, too
	gone     []term.Term  // deleted on a meanwhile
}

func newPlan(seed uint64) lab.Plan {
	r := rand.New(rand.NewPCG(seed, 2))
	s := newShop(r)
	return lab.Plan{
		Data:    map[string]term.Term{"table": term.Atom(orders), "saved": term.Atom(saved)},
		Hooks:   map[string]shell.Hook{"traffic": s.traffic},
		Setup:   s.setup,
		Observe: observe,
		Checks: []lab.Check{
			{Task: "split", Judge: s.split},
			{Task: "noticed", Judge: noticed},
			{Task: "saved", Judge: s.kept},
			{Task: "masters", Judge: masters},
			{Task: "whole", Judge: s.whole},
		},
	}
}

func newShop(r *rand.Rand) *shop {
	s := &shop{}
	order := func(id int) term.Tuple {
		return lab.Tuple(term.Atom(orders), term.Int(id), term.Bin(goods[r.IntN(len(goods))]), term.Int(1+r.Int64N(40)))
	}
	first := 1000 + r.IntN(8000)
	n := 6 + r.IntN(5)
	for i := range n {
		s.initial = append(s.initial, order(first+i))
	}
	// Both sides change the first two orders, each in its own way: the quantities cannot be equal.
	for i := range 2 {
		up, down := order(first+i), order(first+i)
		up[3], down[3] = term.Int(100+r.Int64N(50)), term.Int(200+r.Int64N(50))
		s.majority, s.lone = append(s.majority, up), append(s.lone, down)
	}
	s.gone = []term.Term{term.Int(first + 2)}
	next := first + n
	for range 2 + r.IntN(3) {
		s.majority = append(s.majority, order(next))
		next++
	}
	for range 2 + r.IntN(4) {
		s.lone = append(s.lone, order(next))
		next++
	}
	return s
}

func (s *shop) setup(ctx context.Context, w *lab.World) error {
	if err := lab.StartStores(ctx, w); err != nil {
		return err
	}
	attributes := lab.List(term.Atom("id"), term.Atom("item"), term.Atom("quantity"))
	make := func(table string, nodes ...term.Term) error {
		opts := term.MakeMap(
			term.Pair{Key: term.Atom("attributes"), Value: attributes},
			term.Pair{Key: term.Atom("disc_copies"), Value: term.List(nodes)})
		return w.Do(ctx, "setup", "a", "create_table", term.Atom(table), opts).Err()
	}
	if err := make(orders, term.Atom("a"), term.Atom("b"), term.Atom("c")); err != nil {
		return fmt.Errorf("create table %s: %w", orders, err)
	}
	if err := make(saved, term.Atom("a"), term.Atom("b")); err != nil {
		return fmt.Errorf("create table %s: %w", saved, err)
	}
	var ops term.List
	for _, row := range s.initial {
		ops = append(ops, write(row))
	}
	return w.Do(ctx, "setup", "a", "activity", term.Atom("sync_transaction"), ops).Err()
}

func write(row term.Tuple) term.List { return lab.List(term.Atom("write"), term.Atom(orders), row) }

// traffic is the shop at work: customers on either side change orders, make new ones and cancel one. The script
// calls it; it answers nothing, so what was written can only be found in the tables.
func (s *shop) traffic(ctx context.Context, w world.World, args []term.Term) (term.Term, error) {
	if len(args) > 0 {
		return nil, &kit.Error{Op: "traffic", Kind: kit.Invalid, Err: fmt.Errorf("it takes no arguments")}
	}
	var left, right term.List
	for _, row := range s.majority {
		left = append(left, write(row))
	}
	for _, key := range s.gone {
		left = append(left, lab.List(term.Atom("delete"), term.Atom(orders), key))
	}
	for _, row := range s.lone {
		right = append(right, write(row))
	}
	for _, side := range []struct {
		node kit.NodeName
		ops  term.List
	}{{"a", left}, {"c", right}} {
		out := w.Call(ctx, client, side.node, door.Request{Client: client, Verb: "transaction", Args: []term.Term{side.ops}})
		if err := out.Err(); err != nil {
			return nil, fmt.Errorf("the shop on %s: %w", side.node, err)
		}
	}
	return term.Atom("ok"), nil
}

// observe gives a restarted store time to load, then reads every copy and what the nodes think of each other.
func observe(ctx context.Context, w *lab.World) error {
	tables := lab.List(term.Atom(orders))
	for _, n := range w.Nodes() {
		w.Do(ctx, "grader", n, "wait_for_tables", tables, term.Int(3000))
	}
	if err := w.Sleep(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	for _, n := range w.Nodes() {
		w.Do(ctx, "grader", n, "local_contents", term.Atom(orders))
		w.Do(ctx, "grader", n, "system_info", term.Atom("running_db_nodes"))
		w.Do(ctx, "grader", n, "table_info", term.Atom(orders), term.Atom("master_nodes"))
	}
	w.Do(ctx, "grader", "a", "local_contents", term.Atom(saved))
	w.Do(ctx, "grader", "b", "local_contents", term.Atom(saved))
	return nil
}
