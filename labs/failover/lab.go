// Package failover is the lab of the workers that must run: a node program that spreads them over the nodes and starts them
// elsewhere when a node is lost, graded in the simulator.
package failover

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// Lab is the lab's definition.
var Lab = lab.Definition{
	Slug:      "failover",
	Scenarios: []lab.Scenario{{Name: "crash", New: newCrash}, {Name: "loss", New: newLoss}},
}

const (
	workers = 10
	watcher = "watcher"
	beat    = 100 * time.Millisecond // between two looks
	// settleIn is how long the workers may take to be in their places, whatever happened, and restartIn how long a worker
	// that crashed may be away. The brief says so.
	settleIn  = 5 * time.Second
	restartIn = time.Second
)

func name(i int) string { return fmt.Sprintf("worker_%d", i+1) }

func allWorkers() []string {
	var all []string
	for i := range workers {
		all = append(all, name(i))
	}
	return all
}

// watch looks at all nodes again and again until the run's time has come.
func watch(ctx context.Context, w *lab.World, end time.Duration) {
	for w.Now() < end {
		for _, n := range w.Nodes() {
			w.Do(ctx, watcher, n, "registered")
		}
		if w.Sleep(ctx, beat) != nil {
			return
		}
	}
}

// look is one look at all nodes.
type look struct {
	at   time.Duration
	runs map[kit.NodeName][]string // the workers on each node that answered
	ops  map[kit.NodeName]int
}

// looks reads what the watcher saw.
func looks(h *history.History) []look {
	var all []look
	for _, o := range h.Ops {
		if o.Client != watcher || o.Verb != "registered" {
			continue
		}
		if len(all) == 0 || o.Begin-all[len(all)-1].at >= beat/2 {
			all = append(all, look{at: o.Begin, runs: map[kit.NodeName][]string{}, ops: map[kit.NodeName]int{}})
		}
		l := all[len(all)-1]
		t, err := o.Outcome.Term()
		list, ok := t.(term.List)
		if err != nil || !ok {
			continue
		}
		l.ops[o.Node] = o.ID
		l.runs[o.Node] = []string{}
		for _, e := range list {
			if a, _ := e.(term.Atom); strings.HasPrefix(string(a), "worker_") {
				l.runs[o.Node] = append(l.runs[o.Node], string(a))
			}
		}
	}
	return all
}

// between gives the looks of a time.
func between(all []look, from, to time.Duration) []look {
	return slices.DeleteFunc(slices.Clone(all), func(l look) bool { return l.at < from || l.at >= to })
}

// on lists the nodes that a worker runs on.
func (l look) on(worker string, nodes []kit.NodeName) []kit.NodeName {
	var found []kit.NodeName
	for _, n := range nodes {
		if slices.Contains(l.runs[n], worker) {
			found = append(found, n)
		}
	}
	return found
}

// evidence gives the operations of a look at some nodes.
func (l look) evidence(nodes []kit.NodeName) []int {
	var ids []int
	for _, n := range nodes {
		if id := l.ops[n]; id > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// spread says how many run where.
func (l look) spread(nodes []kit.NodeName) string {
	var parts []string
	for _, n := range nodes {
		parts = append(parts, fmt.Sprintf("%d on %s", len(l.runs[n]), n))
	}
	return strings.Join(parts, ", ")
}

func names(nodes []kit.NodeName) string {
	var parts []string
	for _, n := range nodes {
		parts = append(parts, string(n))
	}
	return strings.Join(parts, ", ")
}
