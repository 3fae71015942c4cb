package main

import (
	"context"

	"netsplit/kit/node"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

// manager sees to it that the workers run. There is one on every node.
type manager struct {
	node *node.Node
}

// start runs once on every node when it stands. The other nodes need not be connected yet: m.node.Known() lists all of them,
// m.node.Nodes() those that are connected now.
func (m *manager) start(_ context.Context, n *node.Node) error {
	m.node = n
	_, err := n.Procs().Spawn("manager")
	return err
}

// run is the manager's process.
//
// To do: it starts all workers on the first node, once, and then sleeps. Spread them, restart those that end, take over from nodes that
// are lost, and give back when they return.
func (m *manager) run(p *proc.Process, _ []term.Term) (term.Term, error) {
	if m.node.Name() == "a" {
		for _, w := range allWorkers {
			if _, err := p.Spawn(p.Node(), "worker", term.Atom(w)); err != nil {
				return nil, err
			}
		}
	}
	for {
		p.Receive(proc.Forever, nil)
	}
}
