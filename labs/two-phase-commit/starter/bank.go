package main

import (
	"context"
	"fmt"
	"time"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/proc"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// The node's own tables, on its own disc.
const (
	accountTable = "account" // {account, Name, Balance, Entries}, each entry {Transfer, Amount}
	logTable     = "log"     // {log, Key, Value}: whatever you have to remember
)

// patience is how long ask waits for answers.
const patience = time.Second

// start runs once on every node when it stands; the store may not have been started yet.
func (b *bank) start(_ context.Context, n *node.Node) error {
	b.node = n
	_, err := n.Procs().Spawn("bank")
	return err
}

// serve is the process "bank". It waits for the node's tables, lets recover look at what an earlier life of the node left in
// them, and then answers one message after the other.
func (b *bank) serve(p *proc.Process, _ []term.Term) (term.Term, error) {
	for b.node.Store().WaitForTables(p.Context(), []string{accountTable, logTable}) != nil {
		wait(p, 20*time.Millisecond)
	}
	if err := b.recover(p); err != nil {
		return nil, err
	}
	if err := p.Register("bank"); err != nil {
		return nil, err
	}
	for {
		msg, _ := p.Receive(proc.Forever, nil)
		if t, ok := msg.(term.Tuple); ok && len(t) == 2 {
			_ = p.Send(t[0], term.T(term.Atom(b.node.Name()), b.handle(p, t[1])))
		}
	}
}

// wait lets a process sleep.
func wait(p *proc.Process, d time.Duration) { p.Receive(d, func(term.Term) bool { return false }) }

// ask sends a message to the banks of some nodes, its own may be among them, and gives what their handle answers within
// patience. A node that is missing in the result may have got the message, or may get it later, or never.
func (b *bank) ask(nodes []kit.NodeName, msg term.Term) map[kit.NodeName]term.Term {
	answers := map[kit.NodeName]term.Term{}
	p, err := b.node.Procs().Attend() // a process of our own, to be answered
	if err != nil {
		return answers
	}
	defer p.End(proc.Normal)
	_ = p.Act(func() error {
		for _, n := range nodes {
			_ = p.Send(term.T(term.Atom("bank"), term.Atom(n)), term.T(p.Self(), msg))
		}
		for end := time.Now().Add(patience); len(answers) < len(nodes); {
			answer, came := p.Receive(max(0, time.Until(end)), nil)
			if !came {
				return nil
			}
			if t, ok := answer.(term.Tuple); ok && len(t) == 2 {
				answers[kit.NodeName(text(t[0]))] = t[1]
			}
		}
		return nil
	})
	return answers
}

// balance reads what is in an account of this node.
func balance(tx *store.Tx, account string) (int64, error) {
	row, err := accountRow(tx, account)
	if err != nil {
		return 0, err
	}
	n, _ := row[2].(term.Int)
	return int64(n), nil
}

// post adds one change of a transfer to its account, and enters it into the account's statement.
func post(tx *store.Tx, id string, c change) error {
	row, err := accountRow(tx, c.account)
	if err != nil {
		return err
	}
	n, _ := row[2].(term.Int)
	entries, _ := row[3].(term.List)
	entries = append(entries[:len(entries):len(entries)], term.T(term.Bin(id), term.Int(c.by)))
	return tx.Write(accountTable, term.T(row[0], row[1], n+term.Int(c.by), entries))
}

func accountRow(tx *store.Tx, account string) (term.Tuple, error) {
	rows, err := tx.Read(accountTable, term.Bin(account))
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || len(rows[0]) != 4 {
		return nil, &kit.Error{Op: "read account", What: account, Kind: kit.NotFound, Err: fmt.Errorf("there is none on this node")}
	}
	return rows[0], nil
}
