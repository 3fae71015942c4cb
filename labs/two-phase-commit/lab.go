// Package twophasecommit is the lab of the transfers over several nodes: a node program that asks, decides and tells, graded in
// the simulator while nodes are killed at every step and links are cut.
package twophasecommit

import (
	"context"
	"fmt"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// Lab is the lab's definition.
var Lab = lab.Definition{
	Slug: "two-phase-commit",
	Scenarios: []lab.Scenario{
		{Name: "together", New: newTogether},
		{Name: "participant", New: newParticipant},
		{Name: "coordinator", New: newCoordinator},
		{Name: "cut", New: newCut},
	},
}

const (
	accountTable = "account"
	logTable     = "log"
	opening      = 100 // what is in each account at first
	// limit is how long a transfer may take, as the brief says.
	limit = 5 * time.Second
	// settleIn is how long after everything is whole again nothing may be in doubt any more.
	settleIn = 5 * time.Second
	grader   = "grader"
)

var nodes = []kit.NodeName{"a", "b", "c"}

// accounts are those of each node.
var accounts = map[kit.NodeName][]string{"a": {"ann", "abe", "amy"}, "b": {"bob", "ben", "bea"}, "c": {"cat", "cal", "coy"}}

// setup starts the stores, gives every node tables of its own, and money to its accounts.
func setup(ctx context.Context, w *lab.World) error {
	if err := lab.StartStores(ctx, w); err != nil {
		return err
	}
	for _, table := range []string{accountTable, logTable} {
		attrs := map[string]term.List{accountTable: term.Atoms("name", "balance", "entries"), logTable: term.Atoms("key", "value")}
		opts := term.MakeMap(
			term.Pair{Key: term.Atom("attributes"), Value: attrs[table]},
			term.Pair{Key: term.Atom("local_content"), Value: term.True},
			term.Pair{Key: term.Atom("disc_copies"), Value: term.Atoms("a", "b", "c")})
		if err := w.Do(ctx, "setup", "a", "create_table", term.Atom(table), opts).Err(); err != nil {
			return fmt.Errorf("create table %s: %w", table, err)
		}
	}
	for _, n := range nodes {
		var ops term.List
		for _, name := range accounts[n] {
			row := lab.Tuple(term.Atom(accountTable), term.Bin(name), term.Int(opening), term.List{})
			ops = append(ops, lab.List(term.Atom("write"), term.Atom(accountTable), row))
		}
		if err := w.Do(ctx, "setup", n, "transaction", ops).Err(); err != nil {
			return fmt.Errorf("open the accounts of %s: %w", n, err)
		}
	}
	return w.Sleep(ctx, time.Second) // for the program to see its tables
}

// part is one change of a transfer.
type part struct {
	node    kit.NodeName
	account string
	by      int64
}

// client asks for transfers.
type client struct{ *lab.Client }

func newClient(seed uint64, i int) client {
	return client{lab.NewClient(lab.ClientName(i%4), seed, uint64(200+i))}
}

// transfer asks a node for a transfer, under a new name, and waits for the answer as long as a client does.
func (c client) transfer(ctx context.Context, w *lab.World, at kit.NodeName, parts ...part) door.Outcome {
	return transfer(ctx, w, c.Name, at, c.NextName(), parts)
}

func transfer(ctx context.Context, w *lab.World, who string, at kit.NodeName, id string, parts []part) door.Outcome {
	var changes term.List
	for _, p := range parts {
		changes = append(changes, lab.Tuple(term.Atom(p.node), term.Bin(p.account), term.Int(p.by)))
	}
	return lab.Ask(ctx, w, who, at, "transfer", term.Bin(id), changes)
}

// pay is a transfer between two accounts.
func pay(from kit.NodeName, payer string, to kit.NodeName, payee string, amount int64) []part {
	return []part{{from, payer, -amount}, {to, payee, amount}}
}

func (c client) amount(least, most int64) int64 { return least + c.Rand.Int64N(most-least+1) }

// read reads what is in the accounts of every node.
func read(ctx context.Context, w *lab.World) {
	for _, n := range w.Nodes() {
		for _, name := range accounts[n] {
			look(ctx, w, grader, n, name)
		}
	}
}

// look reads an account past all locks.
func look(ctx context.Context, w *lab.World, who string, n kit.NodeName, account string) {
	w.Do(ctx, who, n, "dirty", lab.List(term.Atom("dirty_read"), term.Atom(accountTable), term.Bin(account)))
}

// finish lets everything settle, reads the accounts, and then asks each node for a gift to some accounts of every node: each
// account gets one, so that one which is still locked shows.
func finish(ctx context.Context, w *lab.World) error {
	if err := w.Sleep(ctx, settleIn); err != nil {
		return err
	}
	read(ctx, w)
	for i, at := range w.Nodes() {
		var gift []part
		for _, n := range w.Nodes() {
			gift = append(gift, part{n, accounts[n][i], 1})
		}
		transfer(ctx, w, grader, at, fmt.Sprintf("gift-%d", i+1), gift)
	}
	return ctx.Err()
}

// others are the two nodes besides n, in the order of a ring.
func others(n kit.NodeName) []kit.NodeName {
	for i := range nodes {
		if nodes[i] == n {
			return []kit.NodeName{nodes[(i+1)%3], nodes[(i+2)%3]}
		}
	}
	return nil
}
