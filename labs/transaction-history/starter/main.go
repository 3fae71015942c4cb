// Program transaction-history is a bank on a replicated store: a node with verbs of its own. This file and bank.go
// are given; nothing in them has to be changed.
package main

import (
	"context"
	"errors"
	"time"

	"netsplit/kit/node"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

func main() {
	node.Main(node.App{
		Start: func(ctx context.Context, n *node.Node) error {
			return startNotices(ctx, n.Store())
		},
		Verbs: map[string]node.Verb{
			"open":          open,
			"deposit":       deposit,
			"withdraw":      withdraw,
			"transfer":      transfer,
			"balance":       balance,
			"history":       history,
			"statement":     statement,
			"page":          page,
			"notifications": notifications,
		},
	})
}

// args reads the arguments of a verb one after the other. The first mistake is kept.
type args struct {
	list []term.Term
	err  error
}

func (a *args) next() term.Term {
	if len(a.list) == 0 {
		if a.err == nil {
			a.err = errors.New("an argument is missing")
		}
		return nil
	}
	t := a.list[0]
	a.list = a.list[1:]
	return t
}

func (a *args) text() string {
	s, ok := a.next().(term.Bin)
	if !ok && a.err == nil {
		a.err = errors.New("an argument must be text")
	}
	return string(s)
}

func (a *args) number() int64 {
	n, ok := a.next().(term.Int)
	if !ok && a.err == nil {
		a.err = errors.New("an argument must be a whole number")
	}
	return int64(n)
}

// wishes reads a map of texts, as the filters of a history.
func (a *args) wishes() map[string]string {
	out := map[string]string{}
	m, ok := a.next().(term.Map)
	if !ok && a.err == nil {
		a.err = errors.New("an argument must be a map")
	}
	for _, p := range m {
		k, ok1 := p.Key.(term.Bin)
		v, ok2 := p.Value.(term.Bin)
		if (!ok1 || !ok2) && a.err == nil {
			a.err = errors.New("filters are texts")
		}
		out[string(k)] = string(v)
	}
	return out
}

// now is the moment of a record: UTC, whole milliseconds.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// open: id, owner, currency, balance -> ok
func open(ctx context.Context, n *node.Node, list []term.Term) (term.Term, error) {
	a := args{list: list}
	acc := Account{ID: a.text(), Owner: a.text(), Currency: a.text(), Balance: a.number()}
	if a.err != nil {
		return nil, a.err
	}
	return term.Atom("ok"), n.Store().Transaction(ctx, func(tx *store.Tx) error {
		if _, err := readAccount(tx, acc.ID); !errors.Is(err, errNoAccount) {
			return errors.Join(err, store.Abort(term.Atom("already_exists")))
		}
		return writeAccount(tx, acc)
	})
}

// deposit: id, amount, description -> balance
func deposit(ctx context.Context, n *node.Node, list []term.Term) (term.Term, error) {
	return change(ctx, n, list, Deposit)
}

// withdraw: id, amount, description -> balance
func withdraw(ctx context.Context, n *node.Node, list []term.Term) (term.Term, error) {
	return change(ctx, n, list, Withdraw)
}

func change(ctx context.Context, n *node.Node, list []term.Term, f func(*store.Tx, string, int64, string, time.Time) (int64, error)) (term.Term, error) {
	a := args{list: list}
	id, amount, why := a.text(), a.number(), a.text()
	if a.err != nil {
		return nil, a.err
	}
	var left int64
	at := now()
	err := n.Store().Transaction(ctx, func(tx *store.Tx) (err error) {
		left, err = f(tx, id, amount, why, at)
		return err
	})
	return term.Int(left), err
}

// transfer: from, to, amount, description -> ok
func transfer(ctx context.Context, n *node.Node, list []term.Term) (term.Term, error) {
	a := args{list: list}
	from, to, amount, why := a.text(), a.text(), a.number(), a.text()
	if a.err != nil {
		return nil, a.err
	}
	at := now()
	return term.Atom("ok"), n.Store().Transaction(ctx, func(tx *store.Tx) error {
		return Transfer(tx, from, to, amount, why, at)
	})
}

// balance: id -> balance
func balance(ctx context.Context, n *node.Node, list []term.Term) (term.Term, error) {
	a := args{list: list}
	id := a.text()
	if a.err != nil {
		return nil, a.err
	}
	var acc Account
	err := n.Store().Transaction(ctx, func(tx *store.Tx) (err error) {
		acc, err = readAccount(tx, id)
		return err
	})
	return term.Int(acc.Balance), err
}

// find serves history and statement: who asks, for which account, with which filters.
func find(ctx context.Context, n *node.Node, a *args) ([]Entry, error) {
	caller, id, wishes := a.text(), a.text(), a.wishes()
	if a.err != nil {
		return nil, a.err
	}
	filter, err := ParseFilter(wishes)
	if err != nil {
		return nil, err
	}
	var found []Entry
	err = n.Store().Transaction(ctx, func(tx *store.Tx) (err error) {
		if err := MayRead(tx, caller, id); err != nil {
			return err
		}
		found, err = History(tx, id, filter)
		return err
	})
	return found, err
}

// history: caller, id, filters -> list of entries, oldest first
func history(ctx context.Context, n *node.Node, list []term.Term) (term.Term, error) {
	found, err := find(ctx, n, &args{list: list})
	return entriesTerm(found), err
}

// statement: caller, id, filters, form (table, json or csv) -> text
func statement(ctx context.Context, n *node.Node, list []term.Term) (term.Term, error) {
	a := args{list: list}
	found, err := find(ctx, n, &a)
	if err != nil {
		return nil, err
	}
	form := a.text()
	text := ""
	switch {
	case a.err != nil:
		return nil, a.err
	case form == "table":
		text = FormatTable(found)
	case form == "json":
		text, err = FormatJSON(found)
	case form == "csv":
		text, err = FormatCSV(found)
	default:
		err = errors.New("the form is table, json or csv")
	}
	return term.Bin(text), err
}

// page: caller, id, filters, order, cursor, size -> {entries, next cursor}
func page(ctx context.Context, n *node.Node, list []term.Term) (term.Term, error) {
	a := args{list: list}
	found, err := find(ctx, n, &a)
	if err != nil {
		return nil, err
	}
	order, cursor, size := a.text(), a.text(), a.number()
	if a.err != nil {
		return nil, a.err
	}
	if err := Sort(found, order); err != nil {
		return nil, err
	}
	part, next, err := Page(found, cursor, int(size))
	return term.T(entriesTerm(part), term.Bin(next)), err
}

// notifications: caller, id -> entries since last asked
func notifications(ctx context.Context, n *node.Node, list []term.Term) (term.Term, error) {
	a := args{list: list}
	caller, id := a.text(), a.text()
	if a.err != nil {
		return nil, a.err
	}
	err := n.Store().Transaction(ctx, func(tx *store.Tx) error { return MayRead(tx, caller, id) })
	if err != nil {
		return nil, err
	}
	return entriesTerm(takeNotices(id)), nil
}
