package diagram

import (
	"cmp"
	"slices"
)

// The flow chart is laid out in layers (Sugiyama's method): edges that close a cycle are turned round, each
// node gets the layer of its longest way from a source, long edges get a bend in every layer between, the
// order within a layer is improved by barycentres, and positions are pulled towards their neighbours.
// u runs along the direction of the chart, v across it.

// cell is a node or a bend in its layer.
type cell struct {
	node   int // index of the node; -1 for a bend
	layer  int
	size   int // extent along v
	depth  int // extent along u
	v      int // middle
	group  int // outermost group; -1 for none
	up     []int
	down   []int
	weight float64
}

// route is one edge with the cells it passes, from From to To as drawn along u; reversed edges run backwards.
type route struct {
	edge     int
	cells    []int
	reversed bool
	shift    int // along v at the middle, to tell edges between the same two nodes apart
}

type flowLayout struct {
	f      *Flow
	cells  []cell
	layers [][]int
	routes []route
	top    []int // u where each layer begins
	deep   []int // extent of each layer along u
}

const (
	flowGapV  = 34
	flowGapU  = 46
	flowSweep = 12
)

func layOut(f *Flow, size func(i int) (v, u int), labelDepth func(e FlowEdge) int) *flowLayout {
	l := &flowLayout{f: f}
	back := f.backEdges()
	layer := f.layerOf(back)
	for i, n := range f.Nodes {
		v, u := size(i)
		l.cells = append(l.cells, cell{node: i, layer: layer[i], size: v, depth: u, group: f.outermost(n.Group)})
	}
	l.addRoutes(back)
	l.order()
	l.place()
	l.stack(labelDepth)
	return l
}

// backEdges marks the edges that close a cycle, found in the order the chart names them.
func (f *Flow) backEdges() []bool {
	back := make([]bool, len(f.Edges))
	state := make([]int, len(f.Nodes)) // 0 new, 1 open, 2 done
	var visit func(i int)
	visit = func(i int) {
		state[i] = 1
		for k, e := range f.Edges {
			if e.From != i || e.To == i {
				continue
			}
			switch state[e.To] {
			case 0:
				visit(e.To)
			case 1:
				back[k] = true
			}
		}
		state[i] = 2
	}
	for i := range f.Nodes {
		if state[i] == 0 {
			visit(i)
		}
	}
	return back
}

func (f *Flow) layerOf(back []bool) []int {
	layer := make([]int, len(f.Nodes))
	for range f.Nodes { // longest path: at most as many rounds as nodes
		changed := false
		for k, e := range f.Edges {
			from, to := e.From, e.To
			if back[k] {
				from, to = to, from
			}
			if from != to && layer[to] < layer[from]+1 {
				layer[to] = layer[from] + 1
				changed = true
			}
		}
		if !changed {
			break
		}
	}
	return layer
}

func (f *Flow) outermost(g int) int {
	for g >= 0 && f.Groups[g].Parent >= 0 {
		g = f.Groups[g].Parent
	}
	return g
}

// addRoutes makes the bends of long edges and links every cell with its neighbours above and below.
func (l *flowLayout) addRoutes(back []bool) {
	pairs := map[[2]int]int{}
	for k, e := range l.f.Edges {
		from, to := e.From, e.To
		if back[k] {
			from, to = to, from
		}
		r := route{edge: k, reversed: back[k], cells: []int{from}}
		if from != to {
			prev := from
			for at := l.cells[from].layer + 1; at < l.cells[to].layer; at++ {
				l.cells = append(l.cells, cell{node: -1, layer: at, size: 8, group: -1})
				bend := len(l.cells) - 1
				l.link(prev, bend)
				r.cells = append(r.cells, bend)
				prev = bend
			}
			l.link(prev, to)
		}
		r.cells = append(r.cells, to)
		n := pairs[[2]int{from, to}]
		pairs[[2]int{from, to}]++
		r.shift = (n + 1) / 2 * 36
		if n%2 == 1 {
			r.shift = -r.shift
		}
		l.routes = append(l.routes, r)
	}
	// two edges between the same nodes part to both sides
	for i := range l.routes {
		r := &l.routes[i]
		if pairs[[2]int{r.cells[0], r.cells[len(r.cells)-1]}] == 2 {
			if r.shift == 0 {
				r.shift = 18
			} else {
				r.shift = -18
			}
		}
	}
	for i, c := range l.cells {
		for len(l.layers) <= c.layer {
			l.layers = append(l.layers, nil)
		}
		l.layers[c.layer] = append(l.layers[c.layer], i)
	}
}

func (l *flowLayout) link(above, below int) {
	l.cells[above].down = append(l.cells[above].down, below)
	l.cells[below].up = append(l.cells[below].up, above)
}

// order sorts each layer by the mean place of its neighbours, members of one group side by side.
func (l *flowLayout) order() {
	for sweep := range flowSweep {
		for k := range l.layers {
			layer := l.layers[k]
			look := func(c cell) []int { return c.up }
			if sweep%2 == 1 {
				layer = l.layers[len(l.layers)-1-k]
				look = func(c cell) []int { return c.down }
			}
			l.sortLayer(layer, look)
		}
	}
}

func (l *flowLayout) sortLayer(layer []int, look func(cell) []int) {
	pos := map[int]int{}
	for _, other := range l.layers {
		for i, c := range other {
			pos[c] = i
		}
	}
	groupSum, groupN := map[int]float64{}, map[int]float64{}
	for i, c := range layer {
		sum, n := 0.0, 0.0
		for _, o := range look(l.cells[c]) {
			sum += float64(pos[o])
			n++
		}
		w := float64(i)
		if n > 0 {
			w = sum / n
		}
		l.cells[c].weight = w
		groupSum[l.cells[c].group] += w
		groupN[l.cells[c].group]++
	}
	key := func(c int) float64 {
		g := l.cells[c].group
		if g < 0 {
			return l.cells[c].weight
		}
		return groupSum[g] / groupN[g]
	}
	slices.SortStableFunc(layer, func(a, b int) int {
		return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(l.cells[a].group, l.cells[b].group),
			cmp.Compare(l.cells[a].weight, l.cells[b].weight))
	})
}

// place gives every cell its middle along v: first side by side, then pulled to the mean of its neighbours.
func (l *flowLayout) place() {
	for _, layer := range l.layers {
		x := 0
		for i, c := range layer {
			if i > 0 {
				x += l.apart(layer[i-1], c)
			}
			l.cells[c].v = x
		}
	}
	for round := range 24 {
		for k := range l.layers {
			layer := l.layers[k]
			if round%2 == 1 {
				layer = l.layers[len(l.layers)-1-k]
			}
			l.pull(layer)
		}
	}
	low := l.cells[0].v - l.cells[0].size/2
	for _, c := range l.cells {
		low = min(low, c.v-c.size/2)
	}
	for i := range l.cells {
		l.cells[i].v -= low
	}
}

// apart is the least distance between the middles of two neighbours in a layer.
func (l *flowLayout) apart(a, b int) int {
	gap := flowGapV
	if l.cells[a].group != l.cells[b].group {
		gap += 24
	}
	if l.cells[a].node < 0 && l.cells[b].node < 0 {
		gap = 16
	}
	return (l.cells[a].size+l.cells[b].size)/2 + gap
}

// pull moves a layer's cells towards the mean of their neighbours, keeping order and distance: the mean of
// a pass from the left and one from the right.
func (l *flowLayout) pull(layer []int) {
	want := make([]int, len(layer))
	for i, c := range layer {
		sum, n := 0, 0
		for _, o := range slices.Concat(l.cells[c].up, l.cells[c].down) {
			sum += l.cells[o].v
			n++
		}
		want[i] = l.cells[c].v
		if n > 0 {
			want[i] = sum / n
		}
	}
	left, right := slices.Clone(want), slices.Clone(want)
	for i := 1; i < len(layer); i++ {
		left[i] = max(left[i], left[i-1]+l.apart(layer[i-1], layer[i]))
	}
	for i := len(layer) - 2; i >= 0; i-- {
		right[i] = min(right[i], right[i+1]-l.apart(layer[i], layer[i+1]))
	}
	for i, c := range layer {
		l.cells[c].v = (left[i] + right[i]) / 2
	}
}

// stack gives every layer its place along u, leaving room for labels and group titles between layers.
func (l *flowLayout) stack(labelDepth func(e FlowEdge) int) {
	between := make([]int, len(l.layers)+1)
	for _, r := range l.routes {
		at := l.cells[r.cells[0]].layer
		between[at] = max(between[at], labelDepth(l.f.Edges[r.edge]))
	}
	u := 0
	for k, layer := range l.layers {
		deep := 0
		for _, c := range layer {
			deep = max(deep, l.cells[c].depth)
		}
		l.top = append(l.top, u)
		l.deep = append(l.deep, deep)
		u += deep + flowGapU + between[k]
		if len(l.f.Groups) > 0 {
			u += 22
		}
	}
}
