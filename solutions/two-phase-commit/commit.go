package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/proc"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// What banks say to each other. Votes are yes and no, decisions committed and aborted; undecided is neither.
const (
	prepare   = term.Atom("prepare")
	yes       = term.Atom("yes")
	no        = term.Atom("no")
	committed = term.Atom("committed")
	aborted   = term.Atom("aborted")
	undecided = term.Atom("undecided")
	outcome   = term.Atom("outcome") // what became of a transfer?
	done      = term.Atom("done")
)

// again is how long one waits before one asks or tells once more.
const again = 700 * time.Millisecond

// bank is a node's part in all transfers. Its log has two kinds of rows: {prepared, ID} of a transfer that this node
// has said yes to and does not know the end of, with its coordinator and the changes here; {committed, ID} of one that this node has
// decided to commit, with the nodes that have not all heard of it. A transfer without a row at its coordinator is aborted.
type bank struct {
	node *node.Node

	mu       sync.Mutex
	deciding map[string]bool   // transfers of which this node is collecting the votes
	locked   map[string]string // accounts that a prepared transfer will change, and which
}

func newBank() *bank {
	return &bank{deciding: map[string]bool{}, locked: map[string]string{}}
}

func (b *bank) funcs() map[string]proc.Func {
	return map[string]proc.Func{"bank": b.serve, "asker": b.asker, "teller": b.teller}
}

// recover takes up what an earlier life of this node has left: it locks again what it has said yes to, and asks and tells on.
func (b *bank) recover(p *proc.Process) error {
	var rows []term.Tuple
	err := b.store(p.Context(), func(tx *store.Tx) (err error) {
		rows, err = tx.MatchObject(logTable, term.T(term.Atom(logTable), term.Atom("_"), term.Atom("_")))
		return err
	})
	for i := 0; i < len(rows) && err == nil; i++ {
		key, _ := rows[i][1].(term.Tuple)
		switch value := rows[i][2].(type) {
		case term.Tuple: // prepared
			changes, _ := readChanges(value[1])
			b.lock(text(key[1]), changes)
			_, err = p.Spawn(p.Node(), "asker", key[1], value[0])
		case term.List: // committed
			_, err = p.Spawn(p.Node(), "teller", key[1], value)
		}
	}
	return err
}

// transfer is the coordinator.
func (b *bank) transfer(ctx context.Context, id string, changes []change) (bool, error) {
	nodes := nodesOf(changes)
	b.setDeciding(id, true)
	votes := b.ask(nodes, term.T(prepare, term.Bin(id), term.Atom(b.node.Name()), changesTerm(changes)))
	all := !slices.ContainsFunc(nodes, func(n kit.NodeName) bool { return votes[n] != yes })
	if all { // the decision: from here on it is committed, whatever happens to this node
		all = b.store(ctx, func(tx *store.Tx) error { return writeLog(tx, committed, id, nodeTerms(nodes)) }) == nil
	}
	b.setDeciding(id, false)
	if !all {
		b.ask(nodes, term.T(aborted, term.Bin(id))) // who does not hear it will ask
		return false, nil
	}
	if left := b.tell(ctx, id, nodes); len(left) > 0 {
		_, _ = b.node.Procs().Spawn("teller", term.Bin(id), nodeTerms(left))
	}
	return true, nil
}

// tell tells nodes that a transfer is committed, and gives those that have not said that it is done. When all have, nobody will
// ask any more and the decision can be forgotten.
func (b *bank) tell(ctx context.Context, id string, nodes []kit.NodeName) (left []kit.NodeName) {
	answers := b.ask(nodes, term.T(committed, term.Bin(id)))
	for _, n := range nodes {
		if answers[n] != done {
			left = append(left, n)
		}
	}
	if len(left) == 0 && b.store(ctx, func(tx *store.Tx) error { return tx.Delete(logTable, term.T(committed, term.Bin(id))) }) != nil {
		return nodes
	}
	return left
}

// teller tells until all have heard.
func (b *bank) teller(p *proc.Process, args []term.Term) (term.Term, error) {
	id, nodes := text(args[0]), readNodes(args[1])
	for nodes = b.tell(p.Context(), id, nodes); len(nodes) > 0; nodes = b.tell(p.Context(), id, nodes) {
		wait(p, again)
	}
	return nil, nil
}

// asker asks a coordinator what became of a transfer that this node has said yes to, until it knows.
func (b *bank) asker(p *proc.Process, args []term.Term) (term.Term, error) {
	id, coordinator := text(args[0]), readNodes(term.L(args[1]))
	for {
		wait(p, again)
		if !b.holds(id) {
			return nil, nil
		}
		for _, answer := range b.ask(coordinator, term.T(outcome, term.Bin(id))) {
			if answer == committed || answer == aborted {
				b.ask([]kit.NodeName{b.node.Name()}, term.T(answer, term.Bin(id)))
			}
		}
	}
}

// handle is the participant, and what the coordinator remembers. The process bank calls it, for one message at a time.
func (b *bank) handle(p *proc.Process, msg term.Term) term.Term {
	t, ok := msg.(term.Tuple)
	if !ok || len(t) < 2 {
		return no
	}
	id := text(t[1])
	switch {
	case t[0] == prepare && len(t) == 4:
		changes, _ := readChanges(t[3])
		return b.vote(p, id, t[2], changesOn(b.node.Name(), changes))
	case t[0] == committed || t[0] == aborted:
		return b.end(p.Context(), id, t[0] == committed)
	case t[0] == outcome:
		return b.outcome(p.Context(), id)
	}
	return no
}

// vote says yes when nothing can keep this node from committing any more: the accounts are locked and can bear it, and all that is
// needed to do it is on disc.
func (b *bank) vote(p *proc.Process, id string, coordinator term.Term, changes []change) term.Term {
	if !b.lock(id, changes) {
		return no
	}
	can := true
	err := b.store(p.Context(), func(tx *store.Tx) error {
		for _, c := range changes {
			n, err := balance(tx, c.account)
			if err != nil {
				return err
			}
			can = can && n+c.by >= 0
		}
		if !can {
			return nil
		}
		return writeLog(tx, "prepared", id, term.T(coordinator, changesTerm(changes)))
	})
	if err == nil && can {
		_, err = p.Spawn(p.Node(), "asker", term.Bin(id), coordinator)
	}
	if err != nil || !can {
		b.unlock(id)
		return no
	}
	return yes
}

// end carries out a decision, once.
func (b *bank) end(ctx context.Context, id string, commit bool) term.Term {
	key := term.T(term.Atom("prepared"), term.Bin(id))
	err := b.store(ctx, func(tx *store.Tx) error {
		rows, err := tx.Read(logTable, key)
		if err != nil || len(rows) == 0 {
			return err // it is done already
		}
		value, _ := rows[0][2].(term.Tuple)
		changes, _ := readChanges(value[1])
		for _, c := range changes {
			if !commit {
				break
			}
			if err := post(tx, id, c); err != nil {
				return err
			}
		}
		return tx.Delete(logTable, key)
	})
	if err != nil {
		return undecided
	}
	b.unlock(id)
	return done
}

// outcome says what became of a transfer that this node coordinates, or did in an earlier life.
func (b *bank) outcome(ctx context.Context, id string) term.Term {
	b.mu.Lock()
	open := b.deciding[id]
	b.mu.Unlock()
	if open {
		return undecided
	}
	answer := aborted
	err := b.store(ctx, func(tx *store.Tx) error {
		rows, err := tx.Read(logTable, term.T(committed, term.Bin(id)))
		if len(rows) > 0 {
			answer = committed
		}
		return err
	})
	if err != nil {
		return undecided
	}
	return answer
}

func (b *bank) store(ctx context.Context, f func(tx *store.Tx) error) error {
	return b.node.Store().Transaction(ctx, f)
}

func writeLog(tx *store.Tx, kind term.Atom, id string, value term.Term) error {
	return tx.Write(logTable, term.T(term.Atom(logTable), term.T(kind, term.Bin(id)), value))
}

func (b *bank) setDeciding(id string, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if on {
		b.deciding[id] = true
	} else {
		delete(b.deciding, id)
	}
}

// lock locks all accounts for a transfer, or none.
func (b *bank) lock(id string, changes []change) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range changes {
		if by, taken := b.locked[c.account]; taken && by != id {
			return false
		}
	}
	for _, c := range changes {
		b.locked[c.account] = id
	}
	return true
}

func (b *bank) unlock(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for account, by := range b.locked {
		if by == id {
			delete(b.locked, account)
		}
	}
}

func (b *bank) holds(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, by := range b.locked {
		if by == id {
			return true
		}
	}
	return false
}

func nodeTerms(nodes []kit.NodeName) term.List {
	list := term.List{}
	for _, n := range nodes {
		list = append(list, term.Atom(n))
	}
	return list
}

func readNodes(t term.Term) []kit.NodeName {
	list, _ := t.(term.List)
	var nodes []kit.NodeName
	for _, e := range list {
		nodes = append(nodes, kit.NodeName(text(e)))
	}
	return nodes
}
