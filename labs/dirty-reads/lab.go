// Package dirtyreads is the lab in which a reader sees a total that never existed, and a transaction that
// makes it whole.
package dirtyreads

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// Lab is the lab's definition.
var Lab = lab.Definition{Slug: "dirty-reads", Scenarios: []lab.Scenario{{New: newPlan}}}

const (
	table   = "account"
	balance = 3 // the field's position in the record
	// leastTimes is how many operations a measurement must rest on.
	leastTimes = 500
)

// names to draw account owners from; any four are in use in one run.
var names = []string{"ada", "bo", "chen", "dana", "eve", "femi", "gita", "hugo", "ines", "juno", "kofi", "lena"}

// bank is the random data of one run.
type bank struct {
	keys     []term.Term
	balances []int64
	amount   int64
	total    int64
}

func newPlan(seed uint64) lab.Plan {
	r := rand.New(rand.NewPCG(seed, 1))
	b := &bank{amount: 10 + r.Int64N(90)}
	for _, i := range r.Perm(len(names))[:4] {
		b.keys = append(b.keys, term.Bin(names[i]))
		b.balances = append(b.balances, 200+r.Int64N(800))
		b.total += b.balances[len(b.balances)-1]
	}
	return lab.Plan{
		Data: map[string]term.Term{
			"accounts": term.List(b.keys),
			"payer":    b.keys[0],
			"payee":    b.keys[1],
			"amount":   term.Int(b.amount),
			"total":    term.Int(b.total),
		},
		Setup:   b.setup,
		Observe: observe,
		Checks: []lab.Check{
			{Task: "wrong-total", Judge: b.wrongTotal},
			{Task: "right-total", Judge: b.rightTotal},
			{Task: "cost", Judge: cost},
		},
	}
}

func (b *bank) setup(ctx context.Context, w *lab.World) error {
	nodes := lab.List(term.Atom("a"), term.Atom("b"))
	opts := term.MakeMap(
		term.Pair{Key: term.Atom("attributes"), Value: lab.List(term.Atom("owner"), term.Atom("balance"))},
		term.Pair{Key: term.Atom("ram_copies"), Value: nodes})
	if err := lab.StartStores(ctx, w); err != nil {
		return err
	}
	if err := w.Do(ctx, "setup", "a", "create_table", term.Atom(table), opts).Err(); err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	var ops term.List
	for i, k := range b.keys {
		ops = append(ops, lab.List(term.Atom("write"), term.Atom(table), lab.Tuple(term.Atom(table), k, term.Int(b.balances[i]))))
	}
	return w.Do(ctx, "setup", "a", "activity", term.Atom("sync_transaction"), ops).Err()
}

// observe reads both copies once what was on its way has arrived.
func observe(ctx context.Context, w *lab.World) error {
	if err := w.Sleep(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	for _, n := range w.Nodes() {
		w.Do(ctx, "grader", n, "local_contents", term.Atom(table))
	}
	return nil
}

func (b *bank) sum() grade.Total {
	return grade.Total{Table: table, Keys: b.keys, Pos: balance, Want: b.total}
}

// wrongTotal wants a reader on b to have caught a dirty transfer of a half way, and no money to be lost by it.
func (b *bank) wrongTotal(h *history.History) grade.Finding {
	work := h.During(history.Work)
	if f := b.moneyKept(h); f.Verdict != grade.Pass {
		return f
	}
	_, wrong := b.sum().Split(work)
	views := grade.Views(work, table, b.keys)
	if len(views) == 0 {
		return grade.Failed("nobody read all four accounts, so no total was seen",
			"dirty reads of all accounts on b", "no client read them all")
	}
	var elsewhere bool
	for _, v := range wrong {
		if v.Tx {
			continue
		}
		if v.Node != "b" {
			elsewhere = true
			continue
		}
		moving := b.dirtyWrites(work, "a")
		before := slices.ContainsFunc(moving, func(a history.Access) bool { return a.End <= v.Begin })
		after := slices.ContainsFunc(moving, func(a history.Access) bool { return a.Begin >= v.End })
		if before && after {
			f := grade.Passed()
			f.Evidence = append(around(moving, v), v.Ops...)
			slices.Sort(f.Evidence)
			f.Evidence = slices.Compact(f.Evidence)
			return f
		}
	}
	if elsewhere {
		return grade.Failed("the wrong total was seen on a, where the writes are made; the task is to see it on b",
			"dirty reads on b between the two writes on a", "the reader asked node a")
	}
	return grade.Failed("every reader saw the right total: nobody looked between the two writes of a dirty transfer",
		fmt.Sprintf("a reader on b that sees a total other than %d", b.total), fmt.Sprintf("%d looks at the accounts, all fine", len(views)),
		views[len(views)-1].Ops...)
}

// moneyKept wants the accounts to add up on both nodes in the end: a half-done transfer that is left half done is a
// loss, not a view.
func (b *bank) moneyKept(h *history.History) grade.Finding {
	copies := grade.Copies(h, table)
	for _, n := range []string{"a", "b"} {
		sum := int64(0)
		for _, row := range copies[nodeName(n)].Rows {
			if r, ok := row.(term.Tuple); ok && len(r) >= balance {
				if v, ok := r[balance-1].(term.Int); ok {
					sum += int64(v)
				}
			}
		}
		if sum != b.total {
			return grade.Failed("money has gone missing, or appeared, for good: the last total on "+n+" is wrong",
				fmt.Sprintf("%d on both nodes in the end", b.total), fmt.Sprintf("%d on %s", sum, n), copies[nodeName(n)].Op)
		}
	}
	return grade.Passed()
}

func (b *bank) dirtyWrites(h *history.History, node string) []history.Access {
	var all []history.Access
	for _, a := range h.Accesses() {
		if a.Dirty() && a.Writes() && a.Table() == table && string(a.Node) == node && a.Took == history.Yes {
			all = append(all, a)
		}
	}
	return all
}

// around picks the last write before a view and the first after it.
func around(writes []history.Access, v grade.View) []int {
	before, after := 0, 0
	for _, w := range writes {
		switch {
		case w.End <= v.Begin:
			before = w.OpID
		case w.Begin >= v.End && after == 0:
			after = w.OpID
		}
	}
	return []int{before, after}
}

// rightTotal wants a transfer in a transaction, a transaction that read all accounts while it was going on, and the right
// total in every transaction.
func (b *bank) rightTotal(h *history.History) grade.Finding {
	work := h.During(history.Work)
	moves := b.transfers(work)
	if len(moves) == 0 {
		return grade.Failed("no transaction moved money between two accounts",
			fmt.Sprintf("one transaction that writes both %s and %s", term.String(b.keys[0]), term.String(b.keys[1])), "none")
	}
	right, wrong := b.sum().Split(work)
	for _, v := range wrong {
		if v.Tx {
			return grade.Failed("a transaction saw a wrong total", fmt.Sprint(b.total), "another sum", v.Ops...)
		}
	}
	for _, v := range right {
		if !v.Tx {
			continue
		}
		for _, m := range moves {
			if v.Begin < m.to && v.End > m.from {
				f := grade.Passed()
				f.Evidence = append(slices.Clone(m.ops), v.Ops...)
				slices.Sort(f.Evidence)
				f.Evidence = slices.Compact(f.Evidence)
				return f
			}
		}
	}
	for _, v := range wrong {
		for _, m := range moves {
			if v.Begin < m.to && v.End > m.from {
				return grade.Failed("the reader that ran during the transfer read without a transaction, and saw a wrong total",
					"the reads inside one transaction, too", "dirty reads", v.Ops...)
			}
		}
	}
	return grade.Failed("no transaction read the accounts while the transfer was going on, so the repair was not put to the test",
		"a reading transaction that begins before the transfer commits", "readers only before or after it", moves[0].ops...)
}

type transfer struct {
	from, to time.Duration
	ops      []int
}

// transfers finds the committed transactions that wrote at least two of the accounts.
func (b *bank) transfers(h *history.History) []transfer {
	type move struct {
		transfer
		keys map[any]bool
	}
	byTx, order := map[string]*move{}, []string{}
	for _, a := range h.Accesses() {
		if a.Dirty() || a.Took != history.Yes || a.Table() != table {
			continue
		}
		name := a.Client + " " + a.Tx
		m := byTx[name]
		if m == nil {
			m = &move{transfer: transfer{from: a.Since}, keys: map[any]bool{}}
			byTx[name] = m
			order = append(order, name)
		}
		m.to = max(m.to, a.End)
		m.ops = append(m.ops, a.OpID)
		if a.Writes() && a.Key() != nil {
			m.keys[term.Key(a.Key())] = true
		}
	}
	var all []transfer
	for _, name := range order {
		if m := byTx[name]; len(m.keys) >= 2 {
			all = append(all, m.transfer)
		}
	}
	return all
}
