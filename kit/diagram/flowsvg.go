package diagram

import "math"

// flowPicture maps the layout's u and v to the page's x and y and draws.
type flowPicture struct {
	svg
	f       *Flow
	l       *flowLayout
	origin  int
	total   int  // extent along u
	flat    bool // u runs along x
	reverse bool
}

// SVG draws the chart.
func (f *Flow) SVG(id, title string) string {
	wrapped := &Flow{Direction: f.Direction, Nodes: append([]FlowNode(nil), f.Nodes...), Edges: append([]FlowEdge(nil), f.Edges...), Groups: f.Groups}
	for i := range wrapped.Nodes {
		wrapped.Nodes[i].Label = wrap(f.Nodes[i].Label, 26)
	}
	for i := range wrapped.Edges {
		wrapped.Edges[i].Label = wrap(f.Edges[i].Label, 22)
	}
	p := &flowPicture{f: wrapped, flat: f.Direction == "LR" || f.Direction == "RL", reverse: f.Direction == "BT" || f.Direction == "RL", origin: 10}
	if len(f.Groups) > 0 {
		p.origin = 34
	}
	p.id = id
	p.l = layOut(wrapped, p.size, p.labelDepth)
	last := len(p.l.layers) - 1
	p.total = p.l.top[last] + p.l.deep[last]
	p.groups()
	for _, r := range p.l.routes {
		p.edge(r)
	}
	for i := range wrapped.Nodes {
		p.node(i)
	}
	for _, r := range p.l.routes {
		p.edgeLabel(r)
	}
	return p.done(title, f.describe())
}

// size is a node's extent across and along the direction of the chart.
func (p *flowPicture) size(i int) (int, int) {
	w, h := p.box(i)
	if p.flat {
		return h, w
	}
	return w, h
}

func (p *flowPicture) box(i int) (int, int) {
	n := p.f.Nodes[i]
	w, h := widest(n.Label, pixels)+28, len(n.Label)*lineHeight+18
	switch n.Shape {
	case "diamond":
		w, h = w+w/3+10, h+h/2+8
	case "circle":
		w = max(w, h)
		h = w
	case "hex", "stadium", "flag":
		w += 20
	case "db":
		h += 14
	}
	return w, h
}

func (p *flowPicture) labelDepth(e FlowEdge) int {
	if len(e.Label) == 0 || e.Label[0] == "" {
		return 0
	}
	if p.flat {
		return widest(e.Label, pixels)
	}
	return len(e.Label) * lineHeight
}

// at maps a point of the layout to the page.
func (p *flowPicture) at(u, v float64) (float64, float64) {
	if p.reverse {
		u = float64(p.total) - u
	}
	if p.flat {
		return u + float64(p.origin), v + float64(p.origin)
	}
	return v + float64(p.origin), u + float64(p.origin)
}

// middle is the middle of a cell along u.
func (p *flowPicture) middle(c int) float64 {
	k := p.l.cells[c].layer
	return float64(p.l.top[k]) + float64(p.l.deep[k])/2
}

func (p *flowPicture) node(i int) {
	fx, fy := p.at(p.middle(i), float64(p.l.cells[i].v))
	w, h := p.box(i)
	x, y := int(fx)-w/2, int(fy)-h/2
	n := p.f.Nodes[i]
	switch n.Shape {
	case "round":
		p.rect(x, y, w, h, 10, "dg-box")
	case "stadium":
		p.rect(x, y, w, h, h/2, "dg-box")
	case "circle":
		p.circle(int(fx), int(fy), w/2, "dg-box")
	case "diamond":
		p.path(pathf("M%d %d L%d %d L%d %d L%d %d Z", x, y+h/2, x+w/2, y, x+w, y+h/2, x+w/2, y+h), "dg-box")
	case "hex":
		p.path(pathf("M%d %d L%d %d H%d L%d %d L%d %d H%d Z", x, y+h/2, x+12, y, x+w-12, x+w, y+h/2, x+w-12, y+h, x+12), "dg-box")
	case "flag":
		p.path(pathf("M%d %d H%d V%d H%d L%d %d Z", x, y, x+w, y+h, x, x+12, y+h/2), "dg-box")
	case "db":
		p.path(pathf("M%d %d V%d A%d 7 0 0 0 %d %d V%d A%d 7 0 0 0 %d %d Z", x, y+7, y+h-7, w/2, x+w, y+h-7, y+7, w/2, x, y+7), "dg-box")
		p.path(pathf("M%d %d A%d 7 0 0 0 %d %d", x, y+7, w/2, x+w, y+7), "dg-edge")
		fy += 5
	case "sub":
		p.rect(x, y, w, h, 2, "dg-box")
		p.line(x+6, y, x+6, y+h, "dg-edge")
		p.line(x+w-6, y, x+w-6, y+h, "dg-edge")
	default:
		p.rect(x, y, w, h, 4, "dg-box")
	}
	p.grow(x+w, y+h)
	p.text(int(fx), int(fy)+5-(len(n.Label)-1)*lineHeight/2, n.Label, "dg-mid")
}

// points is the way of an edge on the page, from its From node to its To node.
func (p *flowPicture) points(r route) [][2]float64 {
	var pts [][2]float64
	last := len(r.cells) - 1
	for i, c := range r.cells {
		u, v := p.middle(c), float64(p.l.cells[c].v)
		half := float64(p.l.cells[c].depth) / 2
		switch i {
		case 0:
			u += half
		case last:
			u -= half
		}
		x, y := p.at(u, v)
		pts = append(pts, [2]float64{x, y})
		if last == 1 && i == 0 && r.shift != 0 {
			x, y = p.at((u+p.middle(r.cells[1])-float64(p.l.cells[r.cells[1]].depth)/2)/2, (v+float64(p.l.cells[r.cells[1]].v))/2+float64(r.shift))
			pts = append(pts, [2]float64{x, y})
		}
	}
	if r.reversed {
		for i, j := 0, len(pts)-1; i < j; i, j = i+1, j-1 {
			pts[i], pts[j] = pts[j], pts[i]
		}
	}
	return pts
}

func (p *flowPicture) edge(r route) {
	e := p.f.Edges[r.edge]
	class := "dg-edge"
	switch e.Style {
	case "dotted":
		class += " dg-dotted"
	case "thick":
		class += " dg-thick"
	}
	if e.From == e.To {
		p.loop(e, class)
		return
	}
	pts := p.points(r)
	d := pathf("M%.1f %.1f", pts[0][0], pts[0][1])
	for i := 1; i < len(pts); i++ {
		a, b := pts[i-1], pts[i]
		if p.flat {
			m := (a[0] + b[0]) / 2
			d += pathf(" C%.1f %.1f %.1f %.1f %.1f %.1f", m, a[1], m, b[1], b[0], b[1])
		} else {
			m := (a[1] + b[1]) / 2
			d += pathf(" C%.1f %.1f %.1f %.1f %.1f %.1f", a[0], m, b[0], m, b[0], b[1])
		}
		p.grow(int(b[0]), int(b[1]))
	}
	p.path(d, class)
	p.tip(pts[len(pts)-2], pts[len(pts)-1], e.Head)
	if e.Both {
		p.tip(pts[1], pts[0], headArrow)
	}
}

// tip draws a head at to; curves arrive straight along the direction of the chart.
func (p *flowPicture) tip(from, to [2]float64, h head) {
	dx, dy := 0.0, math.Copysign(1, to[1]-from[1])
	if p.flat {
		dx, dy = math.Copysign(1, to[0]-from[0]), 0
	}
	p.arrowHead(int(to[0]), int(to[1]), dx, dy, h)
}

func (p *flowPicture) loop(e FlowEdge, class string) {
	fx, fy := p.at(p.middle(e.From), float64(p.l.cells[e.From].v))
	w, _ := p.box(e.From)
	x, y := int(fx)+w/2, int(fy)
	p.path(pathf("M%d %d C%d %d %d %d %d %d", x, y-8, x+34, y-22, x+34, y+22, x, y+8), class)
	p.arrowHead(x, y+8, -1, 0.3, e.Head)
	p.grow(x+36, y+24)
	if len(e.Label) > 0 {
		p.text(x+34, y+5, e.Label, "dg-small")
	}
}

func (p *flowPicture) edgeLabel(r route) {
	e := p.f.Edges[r.edge]
	if len(e.Label) == 0 || e.Label[0] == "" || e.From == e.To {
		return
	}
	pts := p.points(r)
	i := (len(pts) - 1) / 2
	x, y := (pts[i][0]+pts[i+1][0])/2, (pts[i][1]+pts[i+1][1])/2
	if len(pts) == 3 {
		x, y = pts[1][0], pts[1][1]
	}
	w := widest(e.Label, pixels)
	top := int(y) - len(e.Label)*lineHeight/2
	p.rect(int(x)-w/2-3, top, w+6, len(e.Label)*lineHeight, 3, "dg-halo")
	p.text(int(x), top+13, e.Label, "dg-mid dg-small")
}

// groups draws the frames of subgraphs, outer ones first, around all their nodes.
func (p *flowPicture) groups() {
	for g := range p.f.Groups {
		x1, y1, x2, y2 := math.MaxInt, math.MaxInt, 0, 0
		depth := 0
		for i, n := range p.f.Nodes {
			d, inside := p.f.inside(n.Group, g)
			if !inside {
				continue
			}
			depth = max(depth, d)
			fx, fy := p.at(p.middle(i), float64(p.l.cells[i].v))
			w, h := p.box(i)
			x1, y1 = min(x1, int(fx)-w/2), min(y1, int(fy)-h/2)
			x2, y2 = max(x2, int(fx)+w/2), max(y2, int(fy)+h/2)
		}
		if x2 == 0 {
			continue
		}
		pad := 10 + 8*depth
		w := max(x2-x1+2*pad, widest(p.f.Groups[g].Title, pixels)+20)
		p.rect(x1-pad, y1-pad-16, w, y2-y1+2*pad+16, 6, "dg-group")
		p.text(x1-pad+8, y1-pad, p.f.Groups[g].Title, "dg-small dg-strong")
	}
}

// inside tells whether group g holds the group of, and how many frames lie between.
func (f *Flow) inside(of, g int) (int, bool) {
	for d := 0; of >= 0; d++ {
		if of == g {
			return d, true
		}
		of = f.Groups[of].Parent
	}
	return 0, false
}
