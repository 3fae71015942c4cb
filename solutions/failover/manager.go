package main

import (
	"context"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

// manager sees to it that the workers of this node run, and no others. There is one on every node; they do not talk to each
// other, but all of them reckon with the same rule.
type manager struct {
	node *node.Node
	mine map[string]term.Pid // the workers that it runs, by name
}

// start begins the manager, and who starts it again if it fails.
func (m *manager) start(ctx context.Context, n *node.Node) error {
	m.node = n
	_, err := n.Procs().StartSupervisor(ctx, proc.SupervisorOptions{
		Children: []proc.ChildSpec{{ID: term.Atom("manager"), Function: "manager"}},
	})
	return err
}

// place says on which node each worker runs when these nodes live. A worker stays at home, its place when all nodes live, as long as
// its home does; those who have lost theirs go one by one to the node that has the fewest.
func place(all, living []kit.NodeName) map[string]kit.NodeName {
	at, load := map[string]kit.NodeName{}, map[kit.NodeName]int{}
	var homeless []string
	for i, w := range allWorkers {
		home := all[i%len(all)]
		if !slices.Contains(living, home) {
			homeless = append(homeless, w)
			continue
		}
		at[w] = home
		load[home]++
	}
	for _, w := range homeless {
		idlest := slices.MinFunc(living, func(a, b kit.NodeName) int { return load[a] - load[b] })
		at[w] = idlest
		load[idlest]++
	}
	return at
}

// calm is how long nothing may happen before the manager acts: bad news come in bursts, and a worker that fails at once must not
// keep it busy.
const calm = 50 * time.Millisecond

// run is the manager's process. It is linked to its workers: it learns of their end, and if it fails they end with it.
func (m *manager) run(p *proc.Process, _ []term.Term) (term.Term, error) {
	m.mine = map[string]term.Pid{}
	p.TrapExit(true)
	p.MonitorNodes(true, false)
	for {
		if err := m.arrange(p); err != nil {
			return nil, err
		}
		msg, came := p.Receive(proc.Forever, nil)
		for came {
			m.take(msg)
			msg, came = p.Receive(calm, nil)
		}
	}
}

// take learns from a message what has changed. That a node came or went needs no remembering: arrange looks itself.
func (m *manager) take(msg term.Term) {
	t, ok := msg.(term.Tuple)
	if !ok || len(t) != 3 || t[0] != term.Atom("EXIT") {
		return
	}
	for name, pid := range m.mine {
		if pid == t[1] {
			delete(m.mine, name)
		}
	}
}

// arrange compares what runs here with what should, stops the one and starts the other.
func (m *manager) arrange(p *proc.Process) error {
	self := m.node.Name()
	all := append(m.node.Known(), self)
	living := append(m.node.Nodes(), self)
	slices.Sort(all)
	slices.Sort(living)
	at := place(all, living)
	for _, w := range allWorkers {
		pid, runs := m.mine[w]
		switch {
		case at[w] == self && !runs:
			pid, err := p.SpawnLink(self, "worker", term.Atom(w))
			if err != nil {
				return err
			}
			m.mine[w] = pid
		case at[w] != self && runs:
			p.SendExit(pid, proc.Kill) // its EXIT message takes it off the list
		}
	}
	return nil
}
