// Package observesystem is the lab of looking: a cluster in which a few things are not as the others, and questions that
// only looking answers.
package observesystem

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/lab"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// Lab is the lab's definition.
var Lab = lab.Definition{Slug: "observe-system", Scenarios: []lab.Scenario{{New: newPlan}}}

const (
	setup  = "setup"
	leader = "leader"
	// asleep is how long the idle processes sleep, in milliseconds: longer than anybody looks.
	asleep = 24 * 3600 * 1000
	// perNode is how many named processes run on each node.
	perNode = 4
	settled = 20 * time.Second
)

var (
	jobs = []string{"billing", "mailer", "search", "thumbnails", "invoices", "reports", "tickets", "gateway", "notifier", "indexer",
		"scheduler", "shipping", "archiver", "exporter", "auditor", "pricing"}
	goods = []string{"orders", "stock", "prices", "customers", "carts", "visits", "reviews", "returns", "vouchers"}
	nodes = []kit.NodeName{"a", "b", "c"}
)

// worker is a named process: one that sleeps lets its messages wait, one that echoes takes every message at once.
type worker struct {
	name  string
	node  kit.NodeName
	fn    term.Atom
	sent  int64
	claim bool // it has the global name
}

// table is one table with its copies, and how many rows it gets.
type table struct {
	name   string
	copies map[string][]kit.NodeName // by kind
	rows   int
}

// plant is what one seed puts into the cluster.
type plant struct {
	workers []worker
	tables  []table
	from    kit.NodeName // the link from here
	to      kit.NodeName // to there
	delay   time.Duration
}

func newPlan(seed uint64) lab.Plan {
	p := newPlant(rand.New(rand.NewPCG(seed, 3)))
	return lab.Plan{
		Data:    map[string]term.Term{},
		Setup:   p.setup,
		Observe: observe,
		Checks:  checks(),
	}
}

func newPlant(r *rand.Rand) *plant {
	p := &plant{delay: time.Duration(150+10*r.IntN(26)) * time.Millisecond}
	ends := r.Perm(len(nodes))
	p.from, p.to = nodes[ends[0]], nodes[ends[1]]
	p.hire(r)
	p.furnish(r)
	return p
}

// hire draws the processes. The one whose mailbox is full is not on a, where one looks first; another took far more
// messages and has none waiting. One process has the global name, and one on another node has the same word for its
// local name.
func (p *plant) hire(r *rand.Rand) {
	names := r.Perm(len(jobs))
	for i, n := range nodes {
		for j := range perNode {
			w := worker{name: jobs[names[i*perNode+j]], node: n, fn: "sleep", sent: r.Int64N(40)}
			if j == 0 {
				w.fn, w.sent = "echo", 200+r.Int64N(2000)
			}
			p.workers = append(p.workers, w)
		}
	}
	at := func(node, job int) *worker { return &p.workers[node*perNode+job] }
	stuck := at(1+r.IntN(2), 1+r.IntN(perNode-1))
	stuck.sent = 3000 + r.Int64N(5000)
	at(r.IntN(len(nodes)), 0).sent = 2*stuck.sent + r.Int64N(5000)
	homes := r.Perm(len(nodes))
	at(homes[0], 1+r.IntN(perNode-1)).claim = true
	p.workers = append(p.workers, worker{name: leader, node: nodes[homes[1]], fn: "echo", sent: 50 + r.Int64N(50)})
}

// furnish draws the tables. Most have a disc copy on every node. One has a single copy, one is in memory only, and two
// are mixed, so that each of them has a disc to fall back on.
func (p *plant) furnish(r *rand.Rand) {
	names, home := r.Perm(len(goods)), r.Perm(len(nodes))
	one, others := []kit.NodeName{nodes[home[0]]}, []kit.NodeName{nodes[home[1]], nodes[home[2]]}
	kinds := []map[string][]kit.NodeName{
		{"disc_copies": one},
		{"ram_copies": nodes},
		{"disc_copies": others, "ram_copies": one},
		{"disc_copies": {nodes[home[1]]}, "ram_copies": {nodes[home[2]]}},
		{"disc_copies": nodes}, {"disc_copies": nodes}, {"disc_only_copies": nodes},
	}
	for i, copies := range kinds {
		t := table{name: goods[names[i]], copies: copies, rows: 20 + r.IntN(80)}
		switch i {
		case 0:
			t.rows = 120 + r.IntN(80) // the table to find is the largest, not the smallest
		case len(kinds) - 1:
			t.rows = 3 + r.IntN(10)
		}
		p.tables = append(p.tables, t)
	}
	r.Shuffle(len(p.tables), func(i, j int) { p.tables[i], p.tables[j] = p.tables[j], p.tables[i] })
}

// setup plants it all; the slow link comes last, or it would slow down the planting.
func (p *plant) setup(ctx context.Context, w *lab.World) error {
	if err := lab.StartStores(ctx, w); err != nil {
		return err
	}
	for _, t := range p.tables {
		if err := t.make(ctx, w); err != nil {
			return err
		}
	}
	for _, v := range p.workers {
		if err := v.start(ctx, w); err != nil {
			return fmt.Errorf("start %s on %s: %w", v.name, v.node, err)
		}
	}
	return w.Link(p.from, p.to, wire.Rule{Delay: p.delay})
}

func (t table) make(ctx context.Context, w *lab.World) error {
	pairs := []term.Pair{{Key: term.Atom("attributes"), Value: lab.List(term.Atom("id"), term.Atom("item"))}}
	for kind, on := range t.copies {
		var list term.List
		for _, n := range on {
			list = append(list, term.Atom(n))
		}
		pairs = append(pairs, term.Pair{Key: term.Atom(kind), Value: list})
	}
	if err := w.Do(ctx, setup, nodes[0], "create_table", term.Atom(t.name), term.MakeMap(pairs...)).Err(); err != nil {
		return fmt.Errorf("create table %s: %w", t.name, err)
	}
	var ops term.List
	for i := range t.rows {
		ops = append(ops, lab.List(term.Atom("write"), term.Atom(t.name), lab.Tuple(term.Atom(t.name), term.Int(i), term.Bin("item"))))
	}
	if err := w.Do(ctx, setup, nodes[0], "activity", term.Atom("sync_transaction"), ops).Err(); err != nil {
		return fmt.Errorf("fill table %s: %w", t.name, err)
	}
	return nil
}

// start spawns a process, names it, sends it its messages, and waits until those that are to be taken have been.
func (v worker) start(ctx context.Context, w *lab.World) error {
	args := term.List{}
	if v.fn == "sleep" {
		args = term.List{term.Int(asleep)}
	}
	pid, err := w.Do(ctx, setup, v.node, "spawn", term.Atom(v.node), v.fn, args).Term()
	if err != nil {
		return err
	}
	if err := w.Do(ctx, setup, v.node, "register", term.Atom(v.name), pid).Err(); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	send := lab.List(term.Atom("send_seq"), pid, term.Int(v.sent))
	if err := w.Do(ctx, setup, v.node, "proc", term.Atom("self"), send).Err(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if v.claim {
		got, err := w.Do(ctx, setup, v.node, "global_register", term.Atom(leader), pid).Term()
		if err != nil || got != term.Atom("yes") {
			return fmt.Errorf("register the name %s: %v, %w", leader, got, err)
		}
		if err := everywhere(ctx, w, pid); err != nil {
			return err
		}
	}
	want := term.Int(0)
	if v.fn == "sleep" {
		want = term.Int(v.sent)
	}
	_, err = w.Await(ctx, settled, func() door.Outcome { return w.Do(ctx, setup, v.node, "process_info", pid) }, func(o door.Outcome) bool {
		info, err := o.Term()
		m, ok := info.(term.Map)
		return err == nil && ok && m.Opt("message_queue_len") == want && m.Opt("received") == term.Int(v.sent)
	})
	return err
}

// everywhere waits until all nodes know who has the global name.
func everywhere(ctx context.Context, w *lab.World, pid term.Term) error {
	for _, n := range nodes {
		_, err := w.Await(ctx, settled, func() door.Outcome { return w.Do(ctx, setup, n, "global_whereis", term.Atom(leader)) },
			func(o door.Outcome) bool { got, err := o.Term(); return err == nil && term.Equal(got, pid) })
		if err != nil {
			return fmt.Errorf("%s does not know the name: %w", n, err)
		}
	}
	return nil
}
