package lab

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/history"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// part says which part of a run's work is done. Everything that it does not name is left out, also what the original run never
// got to: leaving something out makes its client take another way, and may only ever make the run shorter.
type part struct {
	requests map[string]map[int]bool // of each client, counted from 1 in the order in which it asks
	faults   map[string]map[int]bool // of each target, counted from 1 in the order in which they are given
	without  []kit.NodeName          // nodes that the cluster does not have
}

// leftOut is what a recorder leaves out of the work of one run. Clients are told that their request was refused, as any node
// may answer at any time, or that the answer was lost if it was in the original run; and they are told so after the time that
// the original took, so that what is kept meets the others at about the same moment as there.
type leftOut struct {
	part  part
	base  map[string][]history.Op    // the original's requests of its work, by client
	broke map[string][]history.Fault // its orders, by target
	nodes []kit.NodeName             // its nodes
	abort func()                     // ends a run that gets nowhere

	mu      sync.Mutex
	working bool
	asked   map[string]int
	ordered map[string]int
	beyond  int // requests left out that the original run does not have
}

const (
	// beyondTook is how long a request takes that is left out and has no original.
	beyondTook = time.Millisecond
	// maxBeyond bounds them: a client that asks until it is answered would ask for ever.
	maxBeyond = 20_000
)

func newLeftOut(p part, h *history.History, nodes []kit.NodeName, abort func()) *leftOut {
	l := &leftOut{part: p, base: map[string][]history.Op{}, broke: map[string][]history.Fault{}, nodes: nodes, abort: abort,
		asked: map[string]int{}, ordered: map[string]int{}}
	work := h.During(history.Work)
	for _, o := range work.Ops {
		l.base[o.Client] = append(l.base[o.Client], o)
	}
	for _, f := range work.Faults {
		l.broke[target(f)] = append(l.broke[target(f)], f)
	}
	return l
}

// recordLess wraps a world as Record does, and leaves out what is to be left out.
func recordLess(w world.World, left *leftOut) *World {
	if left != nil && len(left.part.without) > 0 {
		w = fewer{World: w, gone: left.part.without}
	}
	r := Record(w)
	r.left = left
	return r
}

// enter follows the phases: only work is left out, never set-up and observation.
func (l *leftOut) enter(p history.Phase) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.working = p == history.Work
}

// allNodes are the original's nodes, while there is work; nil when the world is to be asked.
func (l *leftOut) allNodes() []kit.NodeName {
	if l == nil || len(l.part.without) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.working {
		return nil
	}
	return slices.Clone(l.nodes)
}

func (l *leftOut) gone(n kit.NodeName) bool { return slices.Contains(l.part.without, n) }

// call answers a request that is left out.
func (l *leftOut) call(ctx context.Context, w world.World, client string, node kit.NodeName) (out door.Outcome, left bool) {
	if l == nil {
		return out, false
	}
	took, lost, left := l.next(client, node)
	if !left {
		return out, false
	}
	_ = w.Sleep(ctx, took) // whoever is told to stop stops all the same
	if lost {
		return door.LostAnswer("no answer in time"), true
	}
	return door.FromError(&kit.Error{Op: "call", What: string(node), Kind: kit.Refused, Err: errors.New("not now")}), true
}

// next counts a client's request and says whether it is left out, and how the original went.
func (l *leftOut) next(client string, node kit.NodeName) (took time.Duration, lost, left bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.working {
		return 0, false, false
	}
	l.asked[client]++
	n := l.asked[client]
	if l.part.requests[client][n] && !l.gone(node) {
		return 0, false, false
	}
	if base := l.base[client]; n <= len(base) {
		o := base[n-1]
		if o.End == history.Open {
			return beyondTook, true, true
		}
		return o.End - o.Begin, !o.Outcome.Definite(), true
	}
	if l.beyond++; l.beyond == maxBeyond {
		l.abort()
	}
	return beyondTook, false, true
}

// fault counts an order and says whether it is left out.
func (l *leftOut) fault(f history.Fault) bool {
	_, left := l.order(f)
	return left
}

// order is fault, and says when the order was carried out in the original run.
func (l *leftOut) order(f history.Fault) (at time.Duration, left bool) {
	if l == nil {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.working {
		return 0, false
	}
	t := target(f)
	l.ordered[t]++
	n := l.ordered[t]
	if base := l.broke[t]; n <= len(base) {
		at = base[n-1].At
	}
	return at, !l.part.faults[t][n] || l.gone(f.Node) || l.gone(f.Peer)
}

// waitFor is fault for an order that takes its time: whoever gave it waits as long as in the original run.
func (l *leftOut) waitFor(ctx context.Context, w world.World, f history.Fault) (left bool, err error) {
	at, left := l.order(f)
	if wait := at - w.Now(); left && wait > 0 {
		err = w.Sleep(ctx, wait)
	}
	return left, err
}

// fewer is a world without some of the nodes that its clients know of: rules for their links are taken and forgotten.
type fewer struct {
	world.World
	gone []kit.NodeName
}

// Link passes on the rules between nodes that are there.
func (f fewer) Link(from, to kit.NodeName, rule wire.Rule) error {
	if slices.Contains(f.gone, from) || slices.Contains(f.gone, to) {
		return nil
	}
	return f.World.Link(from, to, rule)
}

// can finds what a world can do beyond what every world can.
func can[T any](w world.World) (T, bool) {
	if f, ok := w.(fewer); ok {
		w = f.World
	}
	able, ok := w.(T)
	return able, ok
}
