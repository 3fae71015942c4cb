package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// item is one thing that a run may do without: a request, an order to break or mend something, or a node.
type item struct {
	op     *history.Op
	fault  *history.Fault
	node   kit.NodeName
	number int // among the requests of its client, or among the orders
}

// itemsOf lists what can be left out of a run: the requests of its work, in the order in which they began, its orders, and its nodes.
func itemsOf(h *history.History, nodes []kit.NodeName) []item {
	var items []item
	work, asked := h.During(history.Work), map[string]int{}
	for i, o := range work.Ops {
		asked[o.Client]++
		items = append(items, item{op: &work.Ops[i], number: asked[o.Client]})
	}
	for i := range work.Faults {
		items = append(items, item{fault: &work.Faults[i], number: i + 1})
	}
	for _, n := range nodes {
		items = append(items, item{node: n})
	}
	return items
}

// partOf is what a run of some of the items does.
func partOf(items []item, in set) part {
	p := part{requests: map[string]map[int]bool{}, faults: map[int]bool{}}
	for i, it := range items {
		switch {
		case it.op != nil && in[i]:
			if p.requests[it.op.Client] == nil {
				p.requests[it.op.Client] = map[int]bool{}
			}
			p.requests[it.op.Client][it.number] = true
		case it.fault != nil && in[i]:
			p.faults[it.number] = true
		case it.node != "" && !in[i]:
			p.without = append(p.without, it.node)
		}
	}
	return p
}

// where gives the numbers of the items that are such.
func where(items []item, such func(item) bool) []int {
	var at []int
	for i, it := range items {
		if such(it) {
			at = append(at, i)
		}
	}
	return at
}

// byClient puts each client's requests together.
func byClient(items []item) [][]int {
	var units [][]int
	index := map[string]int{}
	for i, it := range items {
		if it.op == nil {
			continue
		}
		j, ok := index[it.op.Client]
		if !ok {
			j = len(units)
			index[it.op.Client] = j
			units = append(units, nil)
		}
		units[j] = append(units[j], i)
	}
	return units
}

// bursts puts together what a client asked without a pause: each request began at the very moment at which the one before it was
// answered. They often belong together, as a look at all nodes does.
func bursts(items []item) [][]int {
	var units [][]int
	for _, client := range byClient(items) {
		for k, i := range client {
			if k > 0 && items[client[k-1]].op.End == items[i].op.Begin {
				last := &units[len(units)-1]
				*last = append(*last, i)
				continue
			}
			units = append(units, []int{i})
		}
	}
	slices.SortStableFunc(units, func(a, b []int) int { return a[0] - b[0] })
	return units
}

// singles puts every request by itself.
func singles(items []item) [][]int {
	var units [][]int
	for i, it := range items {
		if it.op != nil {
			units = append(units, []int{i})
		}
	}
	return units
}

// nodesOf puts every node by itself.
func nodesOf(items []item) [][]int {
	var units [][]int
	for i, it := range items {
		if it.node != "" {
			units = append(units, []int{i})
		}
	}
	return units
}

// mends reports whether an order makes something whole.
func mends(f history.Fault) bool {
	switch f.What {
	case "heal", "restart", "resume":
		return true
	}
	return false
}

// target names what an order acts on: what is mended is what was broken last with the same target.
func target(f history.Fault) string {
	lever := f.What
	switch f.What {
	case "cut", "slow", "heal":
		lever = "link"
	case "kill", "restart":
		lever = "process"
	case "pause", "resume":
		lever = "rest"
	}
	return lever + " " + string(f.Node) + " " + string(f.Peer)
}

// orders puts what breaks something together with what mends it: one without the other is another story.
func orders(items []item) [][]int {
	var units [][]int
	open := map[string]int{}
	for i, it := range items {
		if it.fault == nil {
			continue
		}
		t := target(*it.fault)
		if j, ok := open[t]; ok && mends(*it.fault) {
			units[j] = append(units[j], i)
			continue // a second heal of the same link belongs to it as well
		}
		open[t] = len(units)
		units = append(units, []int{i})
	}
	return units
}

// blows puts orders together that were given at one moment: a node is cut off from all others at once.
func blows(items []item) [][]int {
	var units [][]int
	for _, u := range orders(items) {
		at := func(unit []int) time.Duration { return items[unit[0]].fault.At }
		if n := len(units); n > 0 && at(units[n-1]) == at(u) {
			units[n-1] = append(units[n-1], u...)
			continue
		}
		units = append(units, u)
	}
	return units
}

// sizeOf counts what happened in a run.
func sizeOf(h *history.History, nodes int) grade.Size {
	items := itemsOf(h, nil)
	return grade.Size{Ops: len(singles(items)), Faults: len(blows(items)), Clients: len(byClient(items)), Nodes: nodes}
}

// compact writes a part for a result.
func (p part) compact() grade.Kept {
	k := grade.Kept{Faults: ranges(p.faults)}
	for client, numbers := range p.requests {
		k.Requests = append(k.Requests, grade.KeptRequests{Client: client, Numbers: ranges(numbers)})
	}
	slices.SortFunc(k.Requests, func(a, b grade.KeptRequests) int { return strings.Compare(a.Client, b.Client) })
	for _, n := range p.without {
		k.Without = append(k.Without, string(n))
	}
	return k
}

// parsePart reads what compact wrote. Anything else is an error of kind Corrupt.
func parsePart(k grade.Kept) (part, error) {
	bad := func(err error) (part, error) {
		return part{}, &kit.Error{Op: "read result", What: "shrunk", Kind: kit.Corrupt, Err: err}
	}
	p := part{requests: map[string]map[int]bool{}}
	total := 0
	var err error
	for _, r := range k.Requests {
		if p.requests[r.Client], err = parseRanges(r.Numbers); err != nil {
			return bad(err)
		}
		if total += len(p.requests[r.Client]); total > history.MaxEntries {
			return bad(fmt.Errorf("more than %d requests", history.MaxEntries))
		}
	}
	if p.faults, err = parseRanges(k.Faults); err != nil {
		return bad(err)
	}
	for _, n := range k.Without {
		p.without = append(p.without, kit.NodeName(n))
	}
	return p, nil
}

// ranges writes numbers as in "1,4-6".
func ranges(numbers map[int]bool) string {
	var parts []string
	sorted := make([]int, 0, len(numbers))
	for n := range numbers {
		sorted = append(sorted, n)
	}
	slices.Sort(sorted)
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, strconv.Itoa(sorted[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", sorted[i], sorted[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

func parseRanges(text string) (map[int]bool, error) {
	numbers := map[int]bool{}
	if text == "" {
		return numbers, nil
	}
	for _, word := range strings.Split(text, ",") {
		a, b, isRange := strings.Cut(word, "-")
		from, err := strconv.Atoi(a)
		to := from
		if err == nil && isRange {
			to, err = strconv.Atoi(b)
		}
		if err != nil || from < 1 || to < from || to > history.MaxEntries {
			return nil, fmt.Errorf("%q is no list of numbers", text)
		}
		if len(numbers)+to-from > history.MaxEntries {
			return nil, fmt.Errorf("more than %d numbers", history.MaxEntries)
		}
		for n := from; n <= to; n++ {
			numbers[n] = true
		}
	}
	return numbers, nil
}
