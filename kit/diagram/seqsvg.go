package diagram

import "strings"

// seqPicture is the state while a sequence diagram is drawn from top to bottom.
type seqPicture struct {
	svg
	under  svg // painted before everything else
	seq    *Sequence
	xs     []int
	width  int
	y      int
	active [][]int // per actor: the y where each open activation started
	blocks []seqBlock
}

type seqBlock struct{ top, depth int }

const (
	svgLabelWidth = 34 // columns after which a message label wraps
	svgBlockPad   = 12
)

// SVG draws the diagram.
func (s *Sequence) SVG(id, title string) string {
	wrapped := s.wrapped(svgLabelWidth)
	margin := 12 + svgBlockPad*s.depth()
	xs, width := wrapped.centers(spacing{measure: pixels, boxPad: 28, gap: 26, label: 26, self: 34, margin: margin})
	p := &seqPicture{seq: wrapped, xs: xs, width: width, y: 8, active: make([][]int, len(xs))}
	p.id = id
	top := p.y + p.actorBoxes()
	p.y = top + 14
	for _, it := range wrapped.Items {
		p.item(it)
	}
	p.y += 12
	for i := range p.active {
		for len(p.active[i]) > 0 {
			p.deactivate(i)
		}
	}
	bottom := p.y
	p.actorBoxes()
	for _, x := range xs {
		p.under.line(x, top, x, bottom, "dg-life")
	}
	rest := p.b.String()
	p.b.Reset()
	p.b.WriteString(p.under.b.String())
	p.b.WriteString(rest)
	p.grow(width, bottom)
	return p.done(title, s.describe())
}

// actorBoxes draws the row of boxes at the current y and gives its height.
func (p *seqPicture) actorBoxes() int {
	h := p.seq.actorLines()*lineHeight + 14
	for i, a := range p.seq.Actors {
		w := widest(a.Label, pixels) + 28
		p.rect(p.xs[i]-w/2, p.y, w, h, 5, "dg-box")
		p.text(p.xs[i], p.y+h/2+5-(len(a.Label)-1)*lineHeight/2, a.Label, "dg-mid dg-strong")
	}
	p.grow(p.width, p.y+h)
	return h
}

func (p *seqPicture) item(it Item) {
	switch it.Kind {
	case Message:
		p.message(it)
	case Note:
		p.note(it)
	case Activate:
		p.active[it.From] = append(p.active[it.From], p.y)
	case Deactivate:
		p.deactivate(it.From)
	case BlockStart:
		p.blocks = append(p.blocks, seqBlock{top: p.y, depth: len(p.blocks)})
		p.blockTag(it)
	case BlockPart:
		b := p.blocks[len(p.blocks)-1]
		x := p.frameX(b.depth)
		p.line(x, p.y, p.width-x, p.y, "dg-frame dg-dotted")
		p.blockTag(it)
	case BlockEnd:
		b := p.blocks[len(p.blocks)-1]
		p.blocks = p.blocks[:len(p.blocks)-1]
		x := p.frameX(b.depth)
		p.y += 6
		p.rect(x, b.top, p.width-2*x, p.y-b.top, 4, "dg-frame")
		p.y += 12
	}
}

func (p *seqPicture) frameX(depth int) int { return 6 + depth*svgBlockPad }

func (p *seqPicture) blockTag(it Item) {
	x := p.frameX(p.blocks[len(p.blocks)-1].depth)
	w := pixels(it.Block) + 16
	p.rect(x, p.y, w, 22, 4, "dg-tag")
	p.text(x+8, p.y+16, []string{it.Block}, "dg-strong dg-small")
	p.text(x+w+8, p.y+16, it.Text, "dg-small")
	p.y += 28 + (len(it.Text)-1)*lineHeight
}

func (p *seqPicture) message(it Item) {
	lines := it.caption()
	from, to := p.xs[it.From], p.xs[it.To]
	class := "dg-edge"
	if it.Dotted {
		class += " dg-dotted"
	}
	if it.Head == headCross {
		class = strings.Replace(class, "dg-edge", "dg-bad-edge", 1)
	}
	if from == to {
		p.text(from+40, p.y+18, lines, "dg-small")
		h := max(len(lines)*lineHeight, 24)
		p.path(pathf("M%d %d H%d V%d H%d", from, p.y+8, from+28, p.y+8+h, from+8), class)
		p.arrowHead(from, p.y+8+h, -1, 0, it.Head)
		p.y += h + 20
		return
	}
	p.halo((from+to)/2, p.y+14, lines)
	p.text((from+to)/2, p.y+14, lines, "dg-mid dg-small")
	p.y += 14 + (len(lines)-1)*lineHeight + 8
	dir := 1
	if to < from {
		dir = -1
	}
	if it.Start {
		p.active[it.To] = append(p.active[it.To], p.y)
	}
	edge := to - dir*p.half(it.To)
	p.line(from+dir*p.half(it.From), p.y, edge-dir*2, p.y, class)
	p.arrowHead(edge, p.y, float64(dir), 0, it.Head)
	if it.Stop {
		p.deactivate(it.From)
	}
	p.y += 14
}

// half is how far an actor's activation bar reaches out from its life line.
func (p *seqPicture) half(actor int) int {
	if len(p.active[actor]) > 0 {
		return 5
	}
	return 0
}

// halo keeps a label readable where it crosses life lines.
func (p *seqPicture) halo(x, y int, lines []string) {
	w := widest(lines, pixels)
	if w > 0 {
		p.rect(x-w/2-2, y-13, w+4, len(lines)*lineHeight-1, 2, "dg-halo")
	}
}

func (p *seqPicture) deactivate(actor int) {
	open := p.active[actor]
	if len(open) == 0 {
		return
	}
	top := open[len(open)-1]
	p.active[actor] = open[:len(open)-1]
	p.under.rect(p.xs[actor]-5+3*(len(open)-1), top, 10, max(p.y-top, 6), 1, "dg-active")
}

func (p *seqPicture) note(it Item) {
	w := widest(it.Text, pixels) + 20
	h := len(it.Text)*lineHeight + 10
	x := 0
	switch it.Side {
	case "left":
		x = p.xs[it.From] - w - 10
	case "right":
		x = p.xs[it.From] + 10
	default:
		mid := (p.xs[it.From] + p.xs[it.To]) / 2
		w = max(w, p.xs[it.To]-p.xs[it.From]+24)
		x = mid - w/2
	}
	p.rect(x, p.y, w, h, 2, "dg-note")
	p.text(x+w/2, p.y+18, it.Text, "dg-mid dg-small dg-note-text")
	p.y += h + 10
}

// describe tells the diagram in sentences.
func (s *Sequence) describe() string {
	var b strings.Builder
	for _, it := range s.Items {
		switch it.Kind {
		case Message:
			verb := " to "
			if it.Head == headCross {
				verb = " to (lost) "
			}
			b.WriteString(s.name(it.From) + verb + s.name(it.To))
			if t := strings.Join(it.caption(), " "); t != "" {
				b.WriteString(": " + t)
			}
		case Note:
			b.WriteString("Note: " + strings.Join(it.Text, " "))
		case BlockStart, BlockPart:
			b.WriteString(it.Block + " " + strings.Join(it.Text, " "))
		case BlockEnd:
			b.WriteString("end")
		default:
			continue
		}
		b.WriteString(". ")
	}
	return strings.TrimSpace(b.String())
}

func (s *Sequence) name(i int) string { return strings.Join(s.Actors[i].Label, " ") }
