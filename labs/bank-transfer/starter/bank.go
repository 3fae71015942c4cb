package main

import (
	"context"
	"strings"

	"netsplit/kit/node"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// bank is this node's program. Every node runs it, and every node takes requests for all accounts.
type bank struct{ node *node.Node }

// branches are the bank's branches. Branch a keeps its tables on node a only, and so on.
var branches = []string{"a", "b", "c"}

// accountTable is the table with the accounts of a branch, {account_a, id, balance}. There is one more beside it, on the
// same node, for the requests that were done: {done_a, name, answer}. So far nobody writes there.
func accountTable(branch string) string { return "account_" + branch }

// branchOf is the branch of an account: the one of "b-207" is b. There may be no such branch.
func branchOf(id string) string {
	branch, _, _ := strings.Cut(id, "-")
	return branch
}

// The refusals. Each says for sure that no money was moved.
var (
	errNoAccount    = store.Abort(term.Atom("no_account"))
	errInsufficient = store.Abort(term.Atom("insufficient_funds"))
	errBadAmount    = store.Abort(term.Atom("bad_amount"))   // it is not above 0
	errSameAccount  = store.Abort(term.Atom("same_account")) // from and to are one account
)

// start runs once on every node when it stands. The store has not been started yet.
func (b *bank) start(_ context.Context, n *node.Node) error {
	b.node = n
	return nil
}

// transfer moves an amount from one account to another, which may belong to other branches, and gives what the payer has
// then. It refuses with one of the errors above. name is the request's: who asks again under the same name, here or at
// another node, gets the first answer again, and nothing is moved.
//
// An error of kind kit.Unavailable, Refused, Overloaded or Invalid says for sure that nothing was moved and nothing will be.
// When that is not sure, the error is of kind kit.Unknown.
//
// To do: so far it moves the money if nobody else does anything at the same time, and does not look at the name.
func (b *bank) transfer(ctx context.Context, from, to string, amount int64, name string) (int64, error) {
	switch {
	case amount <= 0:
		return 0, errBadAmount
	case from == to:
		return 0, errSameAccount
	}
	payer, err := b.balance(ctx, from)
	if err != nil {
		return 0, err
	}
	payee, err := b.balance(ctx, to)
	if err != nil {
		return 0, err
	}
	if payer < amount {
		return 0, errInsufficient
	}
	if err := b.set(ctx, from, payer-amount); err != nil {
		return 0, err
	}
	return payer - amount, b.set(ctx, to, payee+amount)
}

// balance gives what an account has: every transfer that was answered before balance was called is in it.
func (b *bank) balance(ctx context.Context, id string) (int64, error) {
	rows, err := b.node.Store().DirtyRead(ctx, accountTable(branchOf(id)), term.Bin(id))
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		return 0, errNoAccount
	}
	return number(rows[0][2]), nil
}

// set writes what an account has.
func (b *bank) set(ctx context.Context, id string, has int64) error {
	table := accountTable(branchOf(id))
	return b.node.Store().DirtyWrite(ctx, table, term.T(term.Atom(table), term.Bin(id), term.Int(has)))
}

// account is one line of an audit.
type account struct {
	id  string
	has int64
}

// audit gives every account of all branches as they are at one moment: of each transfer both sides, or neither.
func (b *bank) audit(ctx context.Context) ([]account, error) {
	any := term.Atom("_")
	var all []account
	for _, branch := range branches {
		table := accountTable(branch)
		rows, err := b.node.Store().DirtyMatchObject(ctx, table, term.T(term.Atom(table), any, any))
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			all = append(all, account{id: text(r[1]), has: number(r[2])})
		}
	}
	return all, nil
}

func text(t term.Term) string {
	s, _ := t.(term.Bin)
	return string(s)
}

func number(t term.Term) int64 {
	n, _ := t.(term.Int)
	return int64(n)
}
