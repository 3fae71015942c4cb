// Program two-phase-commit is a node of a bank whose accounts lie on several nodes. This file and bank.go are given; nothing in
// them has to be changed, but it may be.
package main

import (
	"context"
	"errors"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/term"
)

func main() {
	b := newBank()
	node.Main(node.App{
		Start: b.start,
		Funcs: b.funcs(),
		Verbs: map[string]node.Verb{"transfer": b.transferVerb},
	})
}

// errArgs is the answer to a request that makes no sense.
var errArgs = errors.New("transfer takes a name and a list of changes, each {node, account, amount}, no account twice")

// transfer: the transfer's name, its changes -> committed or aborted
func (b *bank) transferVerb(ctx context.Context, _ *node.Node, args []term.Term) (term.Term, error) {
	if len(args) != 2 {
		return nil, errArgs
	}
	id, ok := args[0].(term.Bin)
	changes, ok2 := readChanges(args[1])
	if !ok || !ok2 {
		return nil, errArgs
	}
	committed, err := b.transfer(ctx, string(id), changes)
	switch {
	case err != nil:
		return nil, err
	case committed:
		return term.Atom("committed"), nil
	}
	return term.Atom("aborted"), nil
}

// change is one part of a transfer: by is added to an account of a node. A withdrawal is below 0.
type change struct {
	node    kit.NodeName
	account string
	by      int64
}

// nodesOf lists the nodes that a transfer concerns, each once.
func nodesOf(changes []change) []kit.NodeName {
	var nodes []kit.NodeName
	seen := map[kit.NodeName]bool{}
	for _, c := range changes {
		if !seen[c.node] {
			nodes, seen[c.node] = append(nodes, c.node), true
		}
	}
	return nodes
}

// changesOn gives the part of a transfer that concerns one node.
func changesOn(n kit.NodeName, changes []change) []change {
	var here []change
	for _, c := range changes {
		if c.node == n {
			here = append(here, c)
		}
	}
	return here
}

// changesTerm writes changes as a term, for a message or a row; readChanges reads them.
func changesTerm(changes []change) term.List {
	list := term.List{}
	for _, c := range changes {
		list = append(list, term.T(term.Atom(c.node), term.Bin(c.account), term.Int(c.by)))
	}
	return list
}

func readChanges(t term.Term) ([]change, bool) {
	list, ok := t.(term.List)
	var changes []change
	seen := map[[2]string]bool{}
	for _, e := range list {
		c, _ := e.(term.Tuple)
		if len(c) != 3 {
			return nil, false
		}
		by, ok := c[2].(term.Int)
		next := change{kit.NodeName(text(c[0])), text(c[1]), int64(by)}
		key := [2]string{string(next.node), next.account}
		if !ok || !next.node.Valid() || next.account == "" || seen[key] {
			return nil, false
		}
		seen[key] = true
		changes = append(changes, next)
	}
	return changes, ok && len(changes) > 0
}

// text gives what an atom or a text says.
func text(t term.Term) string {
	switch t := t.(type) {
	case term.Atom:
		return string(t)
	case term.Bin:
		return string(t)
	}
	return ""
}
