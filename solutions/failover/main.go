// Program failover is a node of a cluster that keeps ten workers running. This file is given; nothing in it has to be changed.
package main

import (
	"context"
	"fmt"
	"strings"

	"netsplit/kit/node"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

func main() {
	m := new(manager)
	node.Main(node.App{
		Start: m.start,
		Funcs: map[string]proc.Func{"manager": m.run, "worker": worker},
		Verbs: map[string]node.Verb{"workers": workers},
	})
}

// allWorkers are the names of the workers. Each of them should run once in the cluster.
var allWorkers = func() (names []string) {
	for i := range 10 {
		names = append(names, fmt.Sprintf("worker_%d", i+1))
	}
	return names
}()

// worker is what a worker runs. Its argument is its name, which it registers on its node: a second one of that name on the same
// node ends at once.
func worker(p *proc.Process, args []term.Term) (term.Term, error) {
	if len(args) != 1 {
		return nil, proc.Error(term.Atom("badarg"))
	}
	name, _ := args[0].(term.Atom)
	if err := p.Register(string(name)); err != nil {
		return nil, err
	}
	for {
		p.Receive(proc.Forever, nil) // a real one would do what the message says
	}
}

// workers: -> the names of the workers that run on this node
func workers(_ context.Context, n *node.Node, _ []term.Term) (term.Term, error) {
	list := term.List{}
	for _, name := range n.Procs().Registered() {
		if strings.HasPrefix(name, "worker_") {
			list = append(list, term.Bin(name))
		}
	}
	return list, nil
}
