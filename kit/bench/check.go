package bench

import (
	"slices"

	"netsplit/kit/term"
)

// Sums is what one node says of its copies, and of what its own clients did.
type Sums struct {
	// Copies are sums over the node's copies, in an order that the workload fixes. All nodes must agree on them.
	Copies []int64
	// Done are counts of what the node's own clients did. Over all nodes they add up to what Copies say.
	Done []int64
	// Equal lists groups of positions: all of a group must be the same. A position is one in Copies, or, from
	// len(Copies) on, in the nodes' total of Done.
	Equal [][]int
}

func ints(v []int64) term.List {
	l := term.List{}
	for _, n := range v {
		l = append(l, term.Int(n))
	}
	return l
}

func (s Sums) term() term.Term {
	groups := term.List{}
	for _, g := range s.Equal {
		l := term.List{}
		for _, i := range g {
			l = append(l, term.Int(i))
		}
		groups = append(groups, l)
	}
	return term.L(ints(s.Copies), ints(s.Done), groups)
}

func readInts(t term.Term) ([]int64, bool) {
	l, ok := t.(term.List)
	var v []int64
	for _, e := range l {
		n, isInt := e.(term.Int)
		ok = ok && isInt
		v = append(v, int64(n))
	}
	return v, ok
}

// ReadSums reads what VerbSums answers.
func ReadSums(t term.Term) (Sums, error) {
	l, _ := t.(term.List)
	if len(l) != 3 {
		return Sums{}, wrong("%s are no sums", term.String(t))
	}
	var s Sums
	var ok1, ok2 bool
	s.Copies, ok1 = readInts(l[0])
	s.Done, ok2 = readInts(l[1])
	groups, ok3 := l[2].(term.List)
	for _, g := range groups {
		v, ok := readInts(g)
		ok3 = ok3 && ok
		var at []int
		for _, i := range v {
			at = append(at, int(i))
		}
		s.Equal = append(s.Equal, at)
	}
	if !ok1 || !ok2 || !ok3 {
		return Sums{}, wrong("%s are no sums", term.String(t))
	}
	return s, nil
}

// Check compares what all nodes say when nothing is under way any more: every copy must have the same sums, and the
// sums must fit each other and what the clients did. It is mnesia_tpcb's verify_tabs, for each workload.
func Check(nodes []Sums) error {
	if len(nodes) == 0 {
		return wrong("no node gave sums")
	}
	first := nodes[0]
	done := make([]int64, len(first.Done))
	for i, n := range nodes {
		if !slices.Equal(n.Copies, first.Copies) {
			return wrong("the copies of node %d have the sums %v, those of node 1 %v", i+1, n.Copies, first.Copies)
		}
		if len(n.Done) != len(done) {
			return wrong("node %d counts other things than node 1", i+1)
		}
		for j, v := range n.Done {
			done[j] += v
		}
	}
	all := slices.Concat(first.Copies, done)
	for _, g := range first.Equal {
		for _, i := range g {
			if i < 0 || i >= len(all) || all[i] != all[g[0]] {
				return wrong("the sums %v do not agree at the places %v", all, g)
			}
		}
	}
	return nil
}
