package history

import (
	"cmp"
	"slices"
)

// dep is why one transaction comes before another.
type dep uint8

// The dependencies; a set of them is their sum.
const (
	depWW dep = 1 << iota // the second overwrote the first
	depWR                 // the second read from the first
	depRW                 // the second overwrote what the first read
	depRT                 // the first's end was known before the second began
)

// arc is one dependency; old is the version of the key before, new the one after.
type arc struct {
	to       int
	kind     dep
	key      string
	old, new string
}

// connect draws the graph.
func (c *checker) connect() {
	c.arcs = make([][]arc, len(c.txns))
	for _, name := range c.names {
		if k := c.keys[name]; k.register {
			c.connectRegister(k)
		} else {
			c.connectList(k)
		}
	}
	for i := range c.txns {
		for _, r := range c.reads[i] {
			c.connectRead(i, c.keys[r.key], r)
		}
	}
	if c.want.RealTime {
		c.connectTime()
	}
}

func (c *checker) add(from int, a arc) {
	if from != a.to && !slices.Contains(c.arcs[from], a) {
		c.arcs[from] = append(c.arcs[from], a)
	}
}

// writer gives who wrote a value, if that happened.
func (c *checker) writer(k *keyHistory, v string) (int, bool) {
	w, ok := k.writes[v]
	return w.txn, ok && c.counted[w.txn]
}

func (c *checker) connectList(k *keyHistory) {
	last, lastBy, any := "", 0, false
	for _, v := range k.order {
		by, ok := c.writer(k, v)
		if !ok {
			continue
		}
		if any {
			c.add(lastBy, arc{to: by, kind: depWW, key: k.name, old: last, new: v})
		}
		last, lastBy, any = v, by, true
	}
	if !any {
		return
	}
	for _, v := range k.unread {
		c.add(lastBy, arc{to: k.writes[v].txn, kind: depWW, key: k.name, old: last, new: v})
	}
}

func (c *checker) connectRegister(k *keyHistory) {
	for _, v := range k.written {
		on, known := k.before[v]
		by, ok := c.writer(k, v)
		if !known || !ok {
			continue
		}
		if from, ok := c.writer(k, on); ok {
			c.add(from, arc{to: by, kind: depWW, key: k.name, old: on, new: v})
		}
	}
}

func (c *checker) connectRead(i int, k *keyHistory, r read) {
	if by, ok := c.writer(k, r.version); ok {
		c.add(by, arc{to: i, kind: depWR, key: k.name, new: r.version})
	}
	next := k.after[r.version]
	switch {
	case k.register && r.version == "":
		next = k.written
	case k.register:
	case !slices.Equal(r.seen, k.order[:min(len(r.seen), len(k.order))]):
		return // it belongs to another history of the key
	default:
		next = c.nextOf(k, len(r.seen))
	}
	for _, v := range next {
		if by, ok := c.writer(k, v); ok {
			c.add(i, arc{to: by, kind: depRW, key: k.name, old: r.version, new: v})
		}
	}
}

// nextOf gives what followed on the first n elements of a list: the next one, or all that nobody has seen.
func (c *checker) nextOf(k *keyHistory, n int) []string {
	for _, v := range k.order[n:] {
		if _, ok := c.writer(k, v); ok {
			return []string{v}
		}
	}
	return k.unread
}

// connectTime adds a node for each moment at which the end of a transaction was known. They follow each other, so that
// the graph grows with the transactions and not with their square.
func (c *checker) connectTime() {
	var ended, begun []int
	for i, t := range c.txns {
		if t.Final || !c.counted[i] {
			continue
		}
		begun = append(begun, i)
		if t.Took == Yes && t.End != Open {
			ended = append(ended, i)
		}
	}
	slices.SortStableFunc(ended, func(a, b int) int { return cmp.Compare(c.txns[a].End, c.txns[b].End) })
	slices.SortStableFunc(begun, func(a, b int) int { return cmp.Compare(c.txns[a].Begin, c.txns[b].Begin) })
	first := len(c.arcs)
	c.arcs = append(c.arcs, make([][]arc, len(ended))...)
	for at, i := range ended {
		c.arcs[i] = append(c.arcs[i], arc{to: first + at, kind: depRT})
		if at+1 < len(ended) {
			c.arcs[first+at] = append(c.arcs[first+at], arc{to: first + at + 1, kind: depRT})
		}
	}
	at := 0
	for _, i := range begun {
		for at < len(ended) && c.txns[ended[at]].End < c.txns[i].Begin {
			at++
		}
		if at > 0 {
			c.arcs[first+at-1] = append(c.arcs[first+at-1], arc{to: i, kind: depRT})
		}
	}
}

// step is one arc of a cycle, with where it starts.
type step struct {
	from int
	arc
}

// cycles finds the graph's knots and tells of the gravest cycle in each.
func (c *checker) cycles() {
	done := map[int]bool{} // transactions in knots without the order of time
	for _, knot := range c.knots(depWW | depWR | depRW) {
		for i := range knot {
			done[i] = true
		}
		c.tellCycle(c.worst(knot))
	}
	if !c.want.RealTime {
		return
	}
	for _, knot := range c.knots(depWW | depWR | depRW | depRT) {
		old := false
		for i := range knot {
			old = old || done[i]
		}
		if !old { // a cycle that needs no time has been told of
			c.tellTime(c.worstInTime(knot))
		}
	}
}

// worst gives the gravest cycle of a knot: with the fewest overwritten reads, and of these the shortest.
func (c *checker) worst(knot map[int]bool) []step {
	if cycle := c.shortest(knot, depWW, 0); cycle != nil {
		return cycle
	}
	if cycle := c.shortest(knot, depWW|depWR, 0); cycle != nil {
		return cycle
	}
	if cycle := c.pair(knot); cycle != nil {
		return cycle
	}
	if cycle := c.shortest(knot, depWW|depWR, depRW); cycle != nil {
		return cycle
	}
	return c.shortest(knot, depWW|depWR|depRW, 0)
}

func (c *checker) worstInTime(knot map[int]bool) []step {
	if cycle := c.shortest(knot, depWW|depWR|depRT, 0); cycle != nil {
		return cycle
	}
	if cycle := c.shortest(knot, depWW|depWR|depRT, depRW); cycle != nil {
		return cycle
	}
	return c.shortest(knot, depWW|depWR|depRW|depRT, 0)
}

// pair finds two transactions that are before each other because of one key: both read one version and wrote the next, or
// one read two versions; or else by any two dependencies with one overwritten read.
func (c *checker) pair(knot map[int]bool) []step {
	for _, same := range []bool{true, false} {
		for _, i := range sortedInts(knot) {
			for _, a := range c.arcs[i] {
				if a.kind != depRW || !knot[a.to] {
					continue
				}
				for _, b := range c.arcs[a.to] {
					if b.to == i && (same && b.key == a.key || !same && b.kind != depRW && b.kind != depRT) {
						return []step{{i, a}, {a.to, b}}
					}
				}
			}
		}
	}
	return nil
}

// maxStarts bounds the places of one knot from which cycles are searched; a knot larger than that still gives a cycle,
// perhaps not its shortest.
const maxStarts = 2000

// shortest finds the shortest cycle inside a knot that is made of dependencies of the kinds of rest and, unless first is
// none, begins with one of first.
func (c *checker) shortest(knot map[int]bool, rest, first dep) []step {
	var best []step
	try := func(cycle []step) {
		if cycle != nil && (best == nil || len(cycle) < len(best)) {
			best = cycle
		}
	}
	all := sortedInts(knot)
	for _, i := range all[:min(len(all), maxStarts)] {
		if first == 0 {
			try(c.path(knot, i, i, rest))
		}
		for _, a := range c.arcs[i] {
			if a.kind&first == 0 || !knot[a.to] {
				continue
			}
			if back := c.path(knot, a.to, i, rest); back != nil {
				try(append([]step{{i, a}}, back...))
			}
		}
		if len(best) == 2 {
			break
		}
	}
	return best
}

// path finds a shortest way of at least one arc between two nodes of a knot.
func (c *checker) path(knot map[int]bool, from, to int, kinds dep) []step {
	came := map[int]step{}
	queue := []int{from}
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		for _, a := range c.arcs[i] {
			if a.kind&kinds == 0 || !knot[a.to] {
				continue
			}
			if a.to == to {
				return append(walkBack(came, from, i), step{i, a})
			}
			if _, seen := came[a.to]; !seen && a.to != from {
				came[a.to] = step{i, a}
				queue = append(queue, a.to)
			}
		}
	}
	return nil
}

func walkBack(came map[int]step, from, to int) []step {
	var way []step
	for at := to; at != from; at = came[at].from {
		way = append(way, came[at])
	}
	slices.Reverse(way)
	return way
}

// knots gives the sets of nodes that can all be reached from each other by the kinds of dependencies, without single
// nodes: Tarjan's algorithm, without recursion.
func (c *checker) knots(kinds dep) []map[int]bool {
	n := len(c.arcs)
	t := tarjan{index: make([]int, n), low: make([]int, n), on: make([]bool, n), next: make([]int, n)}
	for i := range n {
		if t.index[i] == 0 {
			t.walk(c.arcs, i, kinds)
		}
	}
	return t.knots
}

type tarjan struct {
	index, low, next []int
	on               []bool
	stack            []int
	count            int
	knots            []map[int]bool
}

func (t *tarjan) walk(arcs [][]arc, root int, kinds dep) {
	work := []int{root}
	for len(work) > 0 {
		i := work[len(work)-1]
		if t.index[i] == 0 {
			t.count++
			t.index[i], t.low[i], t.on[i] = t.count, t.count, true
			t.stack = append(t.stack, i)
		}
		deeper := false
		for t.next[i] < len(arcs[i]) && !deeper {
			a := arcs[i][t.next[i]]
			switch {
			case a.kind&kinds == 0:
			case t.index[a.to] == 0:
				work, deeper = append(work, a.to), true
				continue
			case t.on[a.to]:
				t.low[i] = min(t.low[i], t.low[a.to])
			}
			t.next[i]++
		}
		if deeper {
			continue
		}
		work = work[:len(work)-1]
		if t.low[i] == t.index[i] {
			t.take(i)
		}
	}
}

// take takes a finished knot off the stack.
func (t *tarjan) take(i int) {
	knot := map[int]bool{}
	for {
		x := t.stack[len(t.stack)-1]
		t.stack = t.stack[:len(t.stack)-1]
		t.on[x] = false
		knot[x] = true
		if x == i {
			break
		}
	}
	if len(knot) > 1 {
		t.knots = append(t.knots, knot)
	}
}

func sortedInts(set map[int]bool) []int {
	var all []int
	for i := range set {
		all = append(all, i)
	}
	slices.Sort(all)
	return all
}
