package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/proc"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// counter is this node's part of the counter: the way to the one process that keeps it.
type counter struct{ node *node.Node }

const (
	keeperName = "keeper"
	table      = "counter" // every node's own, on its disc
	totalKey   = term.Atom("total")
	patience   = 3 * time.Second // of who asks the keeper
)

// start begins the keeper, on one node only.
func (c *counter) start(_ context.Context, n *node.Node) error {
	c.node = n
	if n.Name() != c.home() {
		return nil
	}
	_, err := n.Procs().Spawn("keeper")
	return err
}

func (c *counter) funcs() map[string]proc.Func {
	return map[string]proc.Func{"keeper": c.keeper}
}

// home is the node of the keeper. It does not depend on who is connected to whom, so that all nodes agree at all times.
func (c *counter) home() kit.NodeName {
	return slices.Min(append(c.node.Known(), c.node.Name()))
}

func (c *counter) increment(ctx context.Context, by int64, name string) (int64, error) {
	return c.ask(term.T(term.Atom("increment"), term.Int(by), term.Bin(name)))
}

func (c *counter) read(context.Context) (int64, error) { return c.ask(term.Atom("read")) }

// ask sends a request to the keeper and waits for its answer. Only an error of kind Unavailable says that nothing was counted.
func (c *counter) ask(request term.Term) (n int64, err error) {
	home := c.home()
	if home != c.node.Name() && !slices.Contains(c.node.Nodes(), home) {
		return 0, &kit.Error{Op: "ask the counter", Kind: kit.Unavailable, Err: errors.New("its node cannot be reached")}
	}
	p, err := c.node.Procs().Attend() // a process of our own, to be answered
	if err != nil {
		return 0, err
	}
	defer p.End(proc.Normal)
	err = p.Act(func() error {
		p.MonitorName(keeperName, home)
		if err := p.Send(term.T(term.Atom(keeperName), term.Atom(home)), term.T(p.Self(), request)); err != nil {
			return err
		}
		answer, _ := p.Receive(patience, nil) // nobody knows of this process but the keeper, and the monitor
		n, err = readAnswer(answer)
		return err
	})
	return n, err
}

// readAnswer takes {counted, N}, {refused, Text}, the DOWN message of the monitor, or nothing.
func readAnswer(answer term.Term) (int64, error) {
	if t, ok := answer.(term.Tuple); ok && len(t) == 2 {
		switch v := t[1].(type) {
		case term.Int:
			return int64(v), nil
		case term.Bin:
			return 0, &kit.Error{Op: "count", Kind: kit.Unavailable, Err: errors.New(string(v))}
		}
	}
	return 0, &kit.Error{Op: "ask the counter", Kind: kit.Unknown, Err: errors.New("no answer; it may have counted"),
		Hint: "ask again under the same name"}
}

// keeper is the process that counts: one request after the other, each on disc before it is answered.
func (c *counter) keeper(p *proc.Process, _ []term.Term) (term.Term, error) {
	if err := p.Register(keeperName); err != nil {
		return nil, err
	}
	for {
		msg, _ := p.Receive(proc.Forever, nil)
		t, ok := msg.(term.Tuple)
		if !ok || len(t) != 2 {
			continue
		}
		n, err := c.serve(p.Context(), t[1])
		answer := term.T(term.Atom("counted"), term.Int(n))
		if err != nil { // the transaction was aborted: nothing was counted
			answer = term.T(term.Atom("refused"), term.Bin(err.Error()))
		}
		_ = p.Send(t[0], answer) // who is gone needs no answer
	}
}

// serve does one request in one transaction: it is counted and remembered, or neither.
func (c *counter) serve(ctx context.Context, request term.Term) (n int64, err error) {
	err = c.node.Store().Transaction(ctx, func(tx *store.Tx) error {
		if n, _, err = get(tx, totalKey); err != nil {
			return err
		}
		t, ok := request.(term.Tuple)
		if !ok || len(t) != 3 {
			return nil // a read
		}
		by, _ := t[1].(term.Int)
		name := t[2]
		before, done, err := get(tx, name)
		if err != nil {
			return err
		}
		if done {
			n = before
			return nil
		}
		n += int64(by)
		if err := tx.Write(table, term.T(term.Atom(table), totalKey, term.Int(n))); err != nil {
			return err
		}
		return tx.Write(table, term.T(term.Atom(table), name, term.Int(n)))
	})
	return n, err
}

// get reads the number under a key.
func get(tx *store.Tx, key term.Term) (n int64, found bool, err error) {
	rows, err := tx.Read(table, key)
	if err != nil || len(rows) == 0 {
		return 0, false, err
	}
	v, _ := rows[0][2].(term.Int)
	return int64(v), true, nil
}
