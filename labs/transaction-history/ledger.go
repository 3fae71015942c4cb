package transactionhistory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"netsplit/kit"
	"netsplit/kit/lab"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// ledger is the run in which many clients move money on three nodes at once, while an auditor adds up histories and
// something breaks.
type ledger struct {
	seed     uint64
	accounts []account
	trouble  string // "slow", "kill" or "jitter"
	victim   kit.NodeName
}

const (
	customers     = 4
	largest       = 400 // that a customer asks for, unless it is more than anybody has
	opsEach       = 12
	audits        = 14
	troubleBegins = 300 * time.Millisecond
	troubleLasts  = 900 * time.Millisecond
)

func newLedger(seed uint64) lab.Plan {
	r := rand.New(rand.NewPCG(seed, 3))
	l := &ledger{seed: seed, accounts: drawAccounts(r, "EUR", "EUR", "EUR", "EUR"),
		trouble: []string{"slow", "kill", "jitter"}[r.IntN(3)], victim: []kit.NodeName{"b", "c"}[r.IntN(2)]}
	return lab.Plan{
		Setup:   func(ctx context.Context, w *lab.World) error { return setup(ctx, w, l.accounts) },
		Drive:   l.drive,
		Observe: l.observe,
		Checks:  []lab.Check{{Task: "record", Judge: l.recorded}},
	}
}

func (l *ledger) drive(ctx context.Context, w *lab.World) error {
	for i := range customers {
		w.Go(func(ctx context.Context) { l.customer(ctx, w, i) })
	}
	w.Go(func(ctx context.Context) { l.audit(ctx, w) })
	w.Go(func(ctx context.Context) { l.breakSomething(ctx, w) })
	w.Wait()
	return ctx.Err()
}

// customer asks one node after the other. Every request has words of its own, so it is found again in the history.
func (l *ledger) customer(ctx context.Context, w *lab.World, i int) {
	r := rand.New(rand.NewPCG(l.seed, uint64(100+i)))
	name := fmt.Sprintf("customer-%d", i+1)
	for n := range opsEach {
		if w.Sleep(ctx, time.Duration(5+r.IntN(120))*time.Millisecond) != nil {
			return
		}
		node := w.Nodes()[r.IntN(len(w.Nodes()))]
		from, to := l.accounts[r.IntN(len(l.accounts))], l.accounts[r.IntN(len(l.accounts))]
		amount := term.Int(1 + r.Int64N(largest))
		if r.IntN(8) == 0 {
			amount = 1_000_000 // more than anybody has
		}
		why := term.Bin(fmt.Sprintf("%s no. %d", name, n+1))
		switch r.IntN(4) {
		case 0:
			w.Do(ctx, name, node, "deposit", term.Bin(from.id), amount, why)
		case 1:
			w.Do(ctx, name, node, "withdraw", term.Bin(from.id), amount, why)
		default:
			w.Do(ctx, name, node, "transfer", term.Bin(from.id), term.Bin(to.id), amount, why)
		}
	}
}

// audit reads an account and its history in one transaction of the store, which the program has no part in.
func (l *ledger) audit(ctx context.Context, w *lab.World) {
	r := rand.New(rand.NewPCG(l.seed, 200))
	any := term.Atom("_")
	for range audits {
		if w.Sleep(ctx, time.Duration(20+r.IntN(100))*time.Millisecond) != nil {
			return
		}
		id := term.Bin(l.accounts[r.IntN(len(l.accounts))].id)
		pattern := lab.Tuple(term.Atom(entryTable), lab.Tuple(id, any), any, any, any, any, any, any)
		w.Do(ctx, auditor, w.Nodes()[r.IntN(len(w.Nodes()))], "transaction", lab.List(
			lab.List(term.Atom("read"), term.Atom(accountTable), id),
			lab.List(term.Atom("match_object"), term.Atom(entryTable), pattern)))
	}
}

func (l *ledger) breakSomething(ctx context.Context, w *lab.World) {
	if w.Sleep(ctx, troubleBegins) != nil {
		return
	}
	switch l.trouble {
	case "kill":
		if w.Kill(l.victim) != nil || w.Sleep(ctx, troubleLasts) != nil || w.Restart(l.victim) != nil {
			return
		}
		w.Do(ctx, "operator", l.victim, "start_store")
	case "slow":
		l.rule(ctx, w, wire.Rule{Delay: 40 * time.Millisecond})
	case "jitter":
		l.rule(ctx, w, wire.Rule{Delay: 5 * time.Millisecond, Jitter: 60 * time.Millisecond, Loss: 0.1})
	}
}

// rule changes both directions of the link between a and the victim for a while.
func (l *ledger) rule(ctx context.Context, w *lab.World, rule wire.Rule) {
	if w.Link("a", l.victim, rule) != nil || w.Link(l.victim, "a", rule) != nil {
		return
	}
	if w.Sleep(ctx, troubleLasts) == nil {
		_ = w.Heal("a", l.victim) // what is left slow only makes the run longer
	}
}

func (l *ledger) observe(ctx context.Context, w *lab.World) error {
	tables := term.Atoms(accountTable, entryTable)
	for _, n := range w.Nodes() {
		w.Do(ctx, "grader", n, "wait_for_tables", tables, term.Int(5000))
	}
	if err := w.Sleep(ctx, time.Second); err != nil {
		return err
	}
	for _, n := range w.Nodes() {
		w.Do(ctx, "grader", n, "local_contents", term.Atom(accountTable))
		w.Do(ctx, "grader", n, "local_contents", term.Atom(entryTable))
	}
	return nil
}
