// Program bank-transfer is a node of a bank with three branches. This file is given; nothing in it has to be changed, but it
// may be.
package main

import (
	"context"
	"errors"

	"netsplit/kit/node"
	"netsplit/kit/term"
)

func main() {
	b := new(bank)
	node.Main(node.App{
		Start: b.start,
		Verbs: map[string]node.Verb{
			"transfer": b.transferVerb,
			"balance":  b.balanceVerb,
			"audit":    b.auditVerb,
		},
	})
}

// errArgs is the answer to a request that makes no sense.
var errArgs = errors.New("transfer takes the payer's account, the payee's, an amount and the name of the request; balance takes an account; audit takes nothing")

// transfer: from, to, amount, name of the request -> what the payer has then
func (b *bank) transferVerb(ctx context.Context, _ *node.Node, args []term.Term) (term.Term, error) {
	if len(args) != 4 {
		return nil, errArgs
	}
	from, ok1 := args[0].(term.Bin)
	to, ok2 := args[1].(term.Bin)
	amount, ok3 := args[2].(term.Int)
	name, ok4 := args[3].(term.Bin)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, errArgs
	}
	left, err := b.transfer(ctx, string(from), string(to), int64(amount), string(name))
	return term.Int(left), err
}

// balance: account -> what it has
func (b *bank) balanceVerb(ctx context.Context, _ *node.Node, args []term.Term) (term.Term, error) {
	if len(args) != 1 {
		return nil, errArgs
	}
	account, ok := args[0].(term.Bin)
	if !ok {
		return nil, errArgs
	}
	has, err := b.balance(ctx, string(account))
	return term.Int(has), err
}

// audit: -> [{account, what it has}, ...], every account of all branches
func (b *bank) auditVerb(ctx context.Context, _ *node.Node, args []term.Term) (term.Term, error) {
	if len(args) != 0 {
		return nil, errArgs
	}
	all, err := b.audit(ctx)
	list := term.List{}
	for _, a := range all {
		list = append(list, term.T(term.Bin(a.id), term.Int(a.has)))
	}
	return list, err
}
