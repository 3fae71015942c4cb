package main

import (
	"context"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/proc"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// bank is a node's part in all transfers.
//
// To do: so far every node carries out its part as soon as it is told to, if it can. When one cannot, the others have done
// theirs already.
type bank struct {
	node *node.Node
}

func newBank() *bank { return &bank{} }

// funcs are the functions that processes can run, by name: p.Spawn(p.Node(), "name", args...) starts one.
func (b *bank) funcs() map[string]proc.Func {
	return map[string]proc.Func{"bank": b.serve}
}

// recover runs after each start of the node, when its tables can be read and before the first message is answered.
func (b *bank) recover(p *proc.Process) error { return nil }

// transfer coordinates a transfer: true says that it is committed, false that it is aborted. It runs in a goroutine of its own for
// each client.
//
// An error of kind kit.Unavailable or Refused says for sure that nothing was or will be done.
func (b *bank) transfer(ctx context.Context, id string, changes []change) (bool, error) {
	nodes := nodesOf(changes)
	answers := b.ask(nodes, term.T(term.Atom("do"), term.Bin(id), changesTerm(changes)))
	for _, n := range nodes {
		if answers[n] != term.Atom("done") {
			return false, nil
		}
	}
	return true, nil
}

// handle answers a message that the bank of some node, perhaps this one, has sent with ask. It is called for one message at a
// time, so it must not wait for other nodes.
func (b *bank) handle(p *proc.Process, msg term.Term) term.Term {
	t, ok := msg.(term.Tuple)
	if !ok || len(t) != 3 {
		return term.Atom("what")
	}
	all, _ := readChanges(t[2])
	err := b.node.Store().Transaction(p.Context(), func(tx *store.Tx) error {
		for _, c := range changesOn(b.node.Name(), all) {
			n, err := balance(tx, c.account)
			if err != nil {
				return err
			}
			if n+c.by < 0 {
				return &kit.Error{Op: "take", What: c.account, Kind: kit.Refused} // which aborts the store's transaction
			}
			if err := post(tx, text(t[1]), c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return term.Atom("cannot")
	}
	return term.Atom("done")
}
