package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// bank is this node's program. Every node runs it, and every node takes requests for all accounts.
type bank struct{ node *node.Node }

// branches are the bank's branches. Branch a keeps its tables on node a only, and so on.
var branches = []string{"a", "b", "c"}

// patience is how long a transaction may take: waiting for locks, for other nodes, and running again.
const patience = 3 * time.Second

// accountTable is the table with the accounts of a branch, {account_a, id, balance}; doneTable is one beside it, on the
// same node, for the requests that were done: {done_a, name, answer}.
func accountTable(branch string) string { return "account_" + branch }
func doneTable(branch string) string    { return "done_" + branch }

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

var refusals = []error{errNoAccount, errInsufficient, errBadAmount, errSameAccount}

func (b *bank) start(_ context.Context, n *node.Node) error {
	b.node = n
	return nil
}

// transfer does everything in one transaction: looking whether the request is new, looking what there is, moving, and
// remembering. The name lies beside the payer's account, where every node looks for it.
func (b *bank) transfer(ctx context.Context, from, to string, amount int64, name string) (int64, error) {
	switch {
	case amount <= 0:
		return 0, errBadAmount
	case from == to:
		return 0, errSameAccount
	}
	accounts, done := accountTable(branchOf(from)), doneTable(branchOf(from))
	var left int64
	err := b.do(ctx, func(tx *store.Tx) error {
		payer, err := b.read(tx, from)
		if err != nil {
			return err
		}
		before, err := tx.Read(done, term.Bin(name), store.WriteLock)
		if err != nil {
			return err
		}
		if len(before) > 0 {
			left = number(before[0][2])
			return nil
		}
		payee, err := b.read(tx, to)
		if err != nil {
			return err
		}
		if payer < amount {
			return errInsufficient
		}
		left = payer - amount
		if err := put(tx, accounts, from, left); err != nil {
			return err
		}
		if err := put(tx, accountTable(branchOf(to)), to, payee+amount); err != nil {
			return err
		}
		return put(tx, done, name, left)
	})
	return left, err
}

func (b *bank) balance(ctx context.Context, id string) (int64, error) {
	var has int64
	err := b.do(ctx, func(tx *store.Tx) (err error) {
		has, err = b.read(tx, id, store.ReadLock)
		return err
	})
	return has, err
}

// account is one line of an audit.
type account struct {
	id  string
	has int64
}

func (b *bank) audit(ctx context.Context) ([]account, error) {
	var all []account
	err := b.do(ctx, func(tx *store.Tx) error {
		all = nil // it may run again
		for _, branch := range branches {
			for r, err := range tx.All(accountTable(branch)) {
				if err != nil {
					return err
				}
				all = append(all, account{id: text(r[1]), has: number(r[2])})
			}
		}
		return nil
	})
	return all, err
}

// read gives what an account has, under a write lock, because who reads it to move money will change it; balance asks for
// the lock of a reader.
func (b *bank) read(tx *store.Tx, id string, lock ...store.Lock) (int64, error) {
	if !slices.Contains(branches, branchOf(id)) {
		return 0, errNoAccount
	}
	if len(lock) == 0 {
		lock = []store.Lock{store.WriteLock}
	}
	rows, err := tx.Read(accountTable(branchOf(id)), term.Bin(id), lock...)
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		return 0, errNoAccount
	}
	return number(rows[0][2]), nil
}

func put(tx *store.Tx, table, key string, n int64) error {
	return tx.Write(table, term.T(term.Atom(table), term.Bin(key), term.Int(n)))
}

// do runs a transaction for as long as a client may be left waiting, and says honestly what became of it.
func (b *bank) do(ctx context.Context, fn func(tx *store.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := b.node.Store().Transaction(ctx, fn)
	if err == nil || slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) }) {
		return err
	}
	var aborted *store.Error
	if errors.As(err, &aborted) && aborted.Definite() || kit.KindOf(err).Definite() {
		return &kit.Error{Op: "ask the branches", Kind: kit.Unavailable, Err: errors.New(err.Error()), Hint: "nothing was moved; try again later"}
	}
	return &kit.Error{Op: "commit", Kind: kit.Unknown, Err: errors.New(err.Error()), Hint: "ask again under the same name"}
}

func text(t term.Term) string {
	s, _ := t.(term.Bin)
	return string(s)
}

func number(t term.Term) int64 {
	n, _ := t.(term.Int)
	return int64(n)
}
