package diagram

// seqScreen is the state while a sequence diagram is drawn into cells.
type seqScreen struct {
	canvas
	seq    *Sequence
	xs     []int
	width  int
	y      int
	blocks []int // top row of each open block
}

// Text draws the diagram with box characters. Labels wrap harder until the drawing fits width, down to
// labels of minTextLabel columns; below that the drawing is wider than asked.
func (s *Sequence) Text(width int) string {
	sp := spacing{measure: columns, boxPad: 4, gap: 1, label: 4, self: 4, margin: 1 + 2*s.depth()}
	wrapped, xs, total := s, []int(nil), 0
	for w := maxTextLabel; w >= minTextLabel; w -= 4 {
		wrapped = s.wrapped(w)
		xs, total = wrapped.centers(sp)
		if total <= width {
			break
		}
	}
	p := &seqScreen{seq: wrapped, xs: xs, width: total}
	p.actorBoxes(true)
	for _, it := range wrapped.Items {
		p.item(it)
	}
	p.life()
	p.actorBoxes(false)
	return p.String()
}

const (
	maxTextLabel = 40
	minTextLabel = 12
)

func (p *seqScreen) actorBoxes(top bool) {
	h := p.seq.actorLines() + 2
	for i, a := range p.seq.Actors {
		w := widest(a.Label, columns) + 4
		x := p.xs[i] - w/2
		p.box(x, p.y, w, h)
		for j, l := range a.Label {
			p.text(p.xs[i]-columns(l)/2, p.y+1+(h-2-len(a.Label))/2+j, l)
		}
		if top {
			p.put(p.xs[i], p.y+h-1, '┬')
		} else {
			p.put(p.xs[i], p.y, '┴')
		}
	}
	p.y += h
}

// life draws one row of life lines and block sides, and moves on.
func (p *seqScreen) life() {
	for _, x := range p.xs {
		p.put(x, p.y, '│')
	}
	for d := range p.blocks {
		p.put(2*d, p.y, '│')
		p.put(p.width-1-2*d, p.y, '│')
	}
	p.y++
}

func (p *seqScreen) item(it Item) {
	switch it.Kind {
	case Message:
		if it.From == it.To {
			p.selfMessage(it)
			return
		}
		p.message(it)
	case Note:
		p.note(it)
	case BlockStart:
		p.rule(len(p.blocks), '┌', '┐', it)
		p.blocks = append(p.blocks, p.y)
	case BlockPart:
		d := len(p.blocks) - 1
		open := p.blocks
		p.blocks = p.blocks[:d]
		p.rule(d, '├', '┤', it)
		p.blocks = open
	case BlockEnd:
		d := len(p.blocks) - 1
		p.blocks = p.blocks[:d]
		p.rule(d, '└', '┘', Item{})
	}
}

// rule draws a horizontal edge of a block with its tag.
func (p *seqScreen) rule(d int, l, r rune, it Item) {
	y := p.y
	p.life()
	p.hline(2*d, p.width-1-2*d, y, '─')
	p.put(2*d, y, l)
	p.put(p.width-1-2*d, y, r)
	tag := it.Block
	for _, t := range it.Text {
		if t != "" {
			tag += " [" + t + "]"
		}
	}
	if tag != "" {
		p.text(2*d+2, y, " "+tag+" ")
	}
}

func (p *seqScreen) message(it Item) {
	from, to := p.xs[it.From], p.xs[it.To]
	lo, hi := min(from, to), max(from, to)
	for _, l := range it.caption() {
		if l == "" {
			continue
		}
		y := p.y
		p.life()
		w := columns(l)
		x := lo + (hi-lo-w)/2 + 1
		p.text(x, y, l)
		if p.at(x-1, y) != '│' {
			p.put(x-1, y, ' ')
		}
	}
	y := p.y
	p.life()
	body := '─'
	if it.Dotted {
		body = '╌'
	}
	p.hline(lo+1, hi-1, y, body)
	for _, x := range p.xs {
		if x > lo && x < hi {
			p.put(x, y, '┼')
		}
	}
	tip, at, start := '▶', hi-1, '├'
	if to < from {
		tip, at, start = '◀', lo+1, '┤'
	}
	switch it.Head {
	case headCross:
		tip = '✕'
	case headNone:
		tip = body
	case headOpen:
		tip = '>'
		if to < from {
			tip = '<'
		}
	}
	p.put(at, y, tip)
	p.put(from, y, start)
}

func (p *seqScreen) selfMessage(it Item) {
	x := p.xs[it.From]
	lines := it.caption()
	y := p.y
	p.life()
	p.text(x, y, "├──┐")
	for i, l := range lines {
		if i > 0 {
			p.life()
			p.put(x+3, y+i, '│')
		}
		p.text(x+5, y+i, l)
	}
	y = p.y
	p.life()
	p.text(x, y, "│◀─┘")
}

func (p *seqScreen) note(it Item) {
	w := widest(it.Text, columns) + 4
	x := 0
	switch it.Side {
	case "left":
		x = p.xs[it.From] - w - 1
	case "right":
		x = p.xs[it.From] + 2
	default:
		w = max(w, p.xs[it.To]-p.xs[it.From]+3)
		x = (p.xs[it.From]+p.xs[it.To])/2 - w/2
	}
	x = max(x, 0)
	y := p.y
	for range len(it.Text) + 2 {
		p.life()
	}
	for i := range it.Text {
		p.hline(x, x+w-1, y+1+i, ' ')
	}
	p.box(x, y, w, len(it.Text)+2)
	for i, l := range it.Text {
		p.text(x+(w-columns(l))/2, y+1+i, l)
	}
}
