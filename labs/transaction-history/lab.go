// Package transactionhistory is the lab of the bank account that remembers: a node program in five parts, graded in
// the simulator under load and with a node that is killed.
package transactionhistory

import (
	"context"
	"fmt"
	"math/rand/v2"

	"netsplit/kit"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// Lab is the lab's definition.
var Lab = lab.Definition{
	Slug:      "transaction-history",
	Scenarios: []lab.Scenario{{Name: "ledger", New: newLedger}, {Name: "desk", Nodes: []kit.NodeName{"a", "b"}, New: newDesk}},
	Tests:     &lab.TestSuite{Task: "tests"},
}

const (
	accountTable = "account"
	entryTable   = "entry"
)

// The client names by which a check finds its requests in the history.
const (
	opener   = "opener"
	auditor  = "auditor"
	reader   = "reader"   // the whole history, which others are held against
	filterer = "filterer" // filters that make sense
	faker    = "faker"    // filters that make none
	printer  = "printer"
	sorter   = "sorter"
	pager    = "pager"
	stranger = "stranger"
	changer  = "changer"
	listener = "listener"
)

// account is one account of a run.
type account struct {
	id, owner, currency string
	balance             int64
}

var owners = []string{"ada", "bo", "chen", "dana", "eve", "femi", "gita", "hugo", "ines", "juno"}

// drawAccounts makes accounts whose names and balances differ from run to run.
func drawAccounts(r *rand.Rand, currencies ...string) []account {
	var list []account
	for i, who := range r.Perm(len(owners))[:len(currencies)] {
		list = append(list, account{id: fmt.Sprintf("%s-%d", owners[who], 100+r.IntN(900)), owner: owners[who],
			currency: currencies[i], balance: 2000 + r.Int64N(3000)})
	}
	return list
}

// setup makes the bank's tables with a copy on every node, and opens the accounts.
func setup(ctx context.Context, w *lab.World, accounts []account) error {
	if err := lab.StartStores(ctx, w); err != nil {
		return err
	}
	var nodes term.List
	for _, n := range w.Nodes() {
		nodes = append(nodes, term.Atom(n))
	}
	make := func(table, kind string, attributes ...string) error {
		opts := term.MakeMap(
			term.Pair{Key: term.Atom("attributes"), Value: term.Atoms(attributes...)},
			term.Pair{Key: term.Atom("type"), Value: term.Atom(kind)},
			term.Pair{Key: term.Atom("disc_copies"), Value: nodes})
		if err := w.Do(ctx, "setup", "a", "create_table", term.Atom(table), opts).Err(); err != nil {
			return fmt.Errorf("create table %s: %w", table, err)
		}
		return nil
	}
	if err := make(accountTable, "set", "id", "owner", "currency", "balance", "entries"); err != nil {
		return err
	}
	if err := make(entryTable, "ordered_set", "id", "type", "amount", "date", "description", "other", "rate"); err != nil {
		return err
	}
	for _, a := range accounts {
		w.Do(ctx, opener, "a", "open", term.Bin(a.id), term.Bin(a.owner), term.Bin(a.currency), term.Int(a.balance))
	}
	return nil
}
