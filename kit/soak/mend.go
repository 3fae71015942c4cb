package soak

import (
	"context"
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// copyOf is what one node's copy of one table holds, sorted.
type copyOf struct {
	table string
	node  kit.NodeName
	rows  []term.Tuple
	err   string
}

// ending is what was found after all was mended.
type ending struct {
	copies []copyOf
	broken []string // what did not come back
	locks  []string // locks that nobody holds any more
}

// mend brings everything back: links, processes, stores, tables. Then every node writes to every table, behind all that was
// sent before, and the copies are taken down.
func (r *run) mend(ctx context.Context) ending {
	e := ending{broken: slices.Clone(r.broken)}
	failed := func(n kit.NodeName, what string, out door.Outcome) {
		e.broken = append(e.broken, fmt.Sprintf("after all was mended, %s at %s: %v", what, n, out.Err()))
	}
	for _, n := range r.plan.Nodes {
		if p, ok := r.w.(powered); ok {
			_ = p.LoseWrites(n, false)
		}
		r.mu.Lock()
		loaded := r.nodes[n].loaded
		r.mu.Unlock()
		if loaded {
			continue
		}
		if out := r.call(ctx, operator, n, "start_store"); out.Status != door.OK { // it is running, as a rule
			failed(n, "start_store", out)
		}
	}
	for _, n := range r.plan.Nodes {
		out := r.call(ctx, operator, n, "wait_for_tables", r.layout.names(), term.Int(loadTime))
		if out.Status != door.OK {
			failed(n, "wait_for_tables", out)
			continue
		}
		r.mu.Lock()
		r.nodes[n].loaded = true
		r.mu.Unlock()
	}
	if len(e.broken) > 0 {
		return e
	}
	for _, n := range r.plan.Nodes {
		if out := r.settle(ctx, n); out.Status != door.OK {
			failed(n, "a transaction on all tables", out)
		}
	}
	for _, n := range r.plan.Nodes {
		e.copies = append(e.copies, r.copies(ctx, n)...)
		if left := r.locksLeft(ctx, n); left != "" {
			e.locks = append(e.locks, fmt.Sprintf("at %s: %s", n, left))
		}
	}
	return e
}

// locksLeft waits for the locks of a node to be released, for the store's own transactions may be at work still.
func (r *run) locksLeft(ctx context.Context, n kit.NodeName) string {
	var out door.Outcome
	for range 40 {
		out = r.call(ctx, operator, n, "held_locks")
		t, err := out.Term()
		if l, ok := t.(term.List); err == nil && ok && len(l) == 0 {
			return ""
		}
		_ = r.w.Sleep(ctx, 50*time.Millisecond)
	}
	return string(out.Value)
}

// settle writes to every table under a lock on the whole of it.
func (r *run) settle(ctx context.Context, n kit.NodeName) door.Outcome {
	var ops term.List
	for _, t := range r.layout.tables {
		ops = append(ops, term.L(term.Atom("write_lock_table"), term.Atom(t.name)),
			term.L(term.Atom("write"), term.Atom(t.name), term.T(term.Atom(t.name), term.Atom("settled_"+n), term.Int(r.round))))
	}
	return r.call(ctx, operator, n, "activity", term.Atom("sync_transaction"), ops)
}

// copies takes down all that a node has.
func (r *run) copies(ctx context.Context, n kit.NodeName) []copyOf {
	var all []copyOf
	for _, t := range r.layout.tables {
		if !slices.Contains(t.holders(), n) {
			continue
		}
		c := copyOf{table: t.name, node: n}
		out := r.call(ctx, operator, n, "local_contents", term.Atom(t.name))
		if err := out.Err(); err != nil {
			c.err = err.Error()
		}
		c.rows = rowsIn(out.Value)
		slices.SortFunc(c.rows, func(a, b term.Tuple) int { return term.Compare(a, b) })
		all = append(all, c)
	}
	return all
}

// endIslands takes down what each side has, and repairs.
func (r *run) endIslands(ctx context.Context, n kit.NodeName) {
	for _, o := range r.plan.Nodes {
		r.islands[o] = r.copies(ctx, o)
	}
	for _, o := range r.plan.Nodes {
		if !r.hasTold(ctx, o) {
			r.broken = append(r.broken, fmt.Sprintf("%s has not reported inconsistent_database, although %s was cut off", o, n))
		}
	}
	r.repair(ctx, n)
}
