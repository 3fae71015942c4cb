package lab

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// item is one thing that a run may do without: a request, an order to break or mend something, or a node.
type item struct {
	op     *history.Op
	fault  *history.Fault
	node   kit.NodeName
	number int // among the requests of its client, or among the orders with its target
}

// itemsOf lists what can be left out of a run: the requests of its work, in the order in which they began, its orders, and its nodes.
func itemsOf(h *history.History, nodes []kit.NodeName) []item {
	var items []item
	work, asked := h.During(history.Work), map[string]int{}
	for i, o := range work.Ops {
		asked[o.Client]++
		items = append(items, item{op: &work.Ops[i], number: asked[o.Client]})
	}
	ordered := map[string]int{}
	for i, f := range work.Faults {
		ordered[target(f)]++
		items = append(items, item{fault: &work.Faults[i], number: ordered[target(f)]})
	}
	for _, n := range nodes {
		items = append(items, item{node: n})
	}
	return items
}

// partOf is what a run of some of the items does.
func partOf(items []item, in set) part {
	p := part{requests: map[string]map[int]bool{}, faults: map[string]map[int]bool{}}
	add := func(to map[string]map[int]bool, name string, n int) {
		if to[name] == nil {
			to[name] = map[int]bool{}
		}
		to[name][n] = true
	}
	for i, it := range items {
		switch {
		case it.op != nil && in[i]:
			add(p.requests, it.op.Client, it.number)
		case it.fault != nil && in[i]:
			add(p.faults, target(*it.fault), it.number)
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
	case "heal", "restart", "resume", "mend":
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
	case "kill", "poweroff", "restart":
		lever = "process"
	case "pause", "resume":
		lever = "rest"
	case "mend":
		lever = f.Detail // disc, clock or pace
	}
	return strings.TrimSpace(lever + " " + string(f.Node) + " " + string(f.Peer))
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

// blows puts orders of one kind together that were given at one moment: a node is cut off from all others at once. A story that has
// some of them only would be another, and a stranger one.
func blows(items []item) [][]int {
	var units [][]int
	for _, u := range orders(items) {
		f := items[u[0]].fault
		same := func(unit []int) bool {
			g := items[unit[0]].fault
			return g.At == f.At && g.What == f.What && g.Detail == f.Detail
		}
		if i := slices.IndexFunc(units, same); i >= 0 {
			units[i] = append(units[i], u...)
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
	k := grade.Kept{Requests: kept(p.requests), Faults: kept(p.faults)}
	for _, n := range p.without {
		k.Without = append(k.Without, string(n))
	}
	return k
}

func kept(all map[string]map[int]bool) []grade.KeptNumbers {
	var list []grade.KeptNumbers
	for _, of := range slices.Sorted(maps.Keys(all)) {
		list = append(list, grade.KeptNumbers{Of: of, Numbers: ranges(all[of])})
	}
	return list
}

// parsePart reads what compact wrote. Anything else is an error of kind Corrupt.
func parsePart(k grade.Kept) (part, error) {
	var p part
	var err, err2 error
	p.requests, err = parseKept(k.Requests)
	p.faults, err2 = parseKept(k.Faults)
	if err = errors.Join(err, err2); err != nil {
		return part{}, &kit.Error{Op: "read result", What: "shrunk", Kind: kit.Corrupt, Err: err}
	}
	for _, n := range k.Without {
		p.without = append(p.without, kit.NodeName(n))
	}
	return p, nil
}

func parseKept(list []grade.KeptNumbers) (map[string]map[int]bool, error) {
	all, total := map[string]map[int]bool{}, 0
	for _, k := range list {
		numbers, err := parseRanges(k.Numbers)
		if err != nil {
			return nil, err
		}
		if total += len(numbers); total > history.MaxEntries {
			return nil, fmt.Errorf("more than %d numbers", history.MaxEntries)
		}
		all[k.Of] = numbers
	}
	return all, nil
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
