package diagram

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// SpaceTime is the diagram of a recorded run: a line for each lane (node or client), time downwards, one row
// an event. Rows are evenly spaced, since what matters is the order; the clock stands at the left.
type SpaceTime struct {
	Lanes  []string
	Events []Event
}

// Event is one row of a SpaceTime.
type Event struct {
	At   time.Duration // since the start of the run
	Kind EventKind
	Lane int    // where it happens; for Send, Cut and Heal the first of two
	To   int    // for Send, Cut and Heal: the other lane
	Text string // told beside the drawing
	Bad  bool   // the event that the verdict rests on, shown in the warning colour
}

// EventKind says how an event is drawn.
type EventKind int

// The kinds of event. Down and Up begin and end the time in which a lane is not running.
const (
	Point EventKind = iota
	Send
	Lose
	Cut
	Heal
	Down
	Up
)

// MaxEvents is how many events a drawing shows; of a longer run the last ones are shown and the rest is
// counted in the first row.
const MaxEvents = 200

// shown gives the events in order of time, cut to MaxEvents, and how many were left out.
func (s *SpaceTime) shown() ([]Event, int) {
	events := slices.Clone(s.Events)
	slices.SortStableFunc(events, func(a, b Event) int { return int(a.At - b.At) })
	left := max(0, len(events)-MaxEvents)
	return events[left:], left
}

// clock prints a time with the precision that a reader can use.
func clock(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.3f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// valid drops events whose lanes do not exist: a recorded file may be damaged.
func (s *SpaceTime) valid(e Event) bool {
	two := e.Kind == Send || e.Kind == Lose || e.Kind == Cut || e.Kind == Heal
	return e.Lane >= 0 && e.Lane < len(s.Lanes) && (!two || e.To >= 0 && e.To < len(s.Lanes) && e.To != e.Lane)
}

// Text draws the run with box characters: the clock, the lanes, and what happened in words.
func (s *SpaceTime) Text(width int) string {
	c := &canvas{}
	const timeWidth = 10
	xs := make([]int, len(s.Lanes))
	x := timeWidth + 2
	for i, l := range s.Lanes {
		w := max(columns(l), 3)
		xs[i] = x + w/2
		c.text(xs[i]-columns(l)/2, 0, l)
		x += w + 3
	}
	room := max(width-x, 24)
	events, left := s.shown()
	y := 1
	down := make([]bool, len(s.Lanes))
	life := func() {
		for i, lx := range xs {
			r := '│'
			if down[i] {
				r = '┊'
			}
			c.put(lx, y, r)
		}
	}
	if left > 0 {
		life()
		c.text(x, y, fmt.Sprintf("(%d earlier events left out)", left))
		y++
	}
	for _, e := range events {
		if !s.valid(e) {
			continue
		}
		life()
		s.textRow(c, e, xs, y, down)
		at := clock(e.At)
		c.text(timeWidth-columns(at), y, at)
		text := e.Text
		if e.Bad {
			text = "◄ " + text
		}
		for i, l := range wrap([]string{text}, room) {
			if i > 0 {
				y++
				life()
			}
			c.text(x, y, l)
		}
		y++
	}
	life()
	return c.String()
}

// textRow draws the marks of one event and notes which lanes are down from here on.
func (s *SpaceTime) textRow(c *canvas, e Event, xs []int, y int, down []bool) {
	across := func(body rune) {
		lo, hi := min(xs[e.Lane], xs[e.To]), max(xs[e.Lane], xs[e.To])
		for x := lo + 1; x < hi; x++ {
			if c.at(x, y) == '│' {
				c.put(x, y, '┼')
			} else {
				c.put(x, y, body)
			}
		}
	}
	tip := func(right, left rune) {
		if xs[e.To] > xs[e.Lane] {
			c.put(xs[e.To]-1, y, right)
		} else {
			c.put(xs[e.To]+1, y, left)
		}
	}
	switch e.Kind {
	case Send, Lose:
		across('─')
		c.put(xs[e.Lane], y, '●')
		if e.Kind == Lose {
			tip('✕', '✕')
		} else {
			tip('▶', '◀')
		}
	case Cut:
		across('╌')
		c.put((xs[e.Lane]+xs[e.To])/2, y, '✕')
	case Heal:
		across('═')
	case Down:
		c.put(xs[e.Lane], y, '✕')
		down[e.Lane] = true
	case Up:
		c.put(xs[e.Lane], y, '○')
		down[e.Lane] = false
	default:
		c.put(xs[e.Lane], y, '●')
	}
}

// SVG draws the run.
func (s *SpaceTime) SVG(id, title string) string {
	p := &svg{id: id}
	const left, rowHeight, textColumns = 84, 26, 72
	xs := make([]int, len(s.Lanes))
	x := left
	for i, l := range s.Lanes {
		w := max(pixels(l)+20, 56)
		xs[i] = x + w/2
		p.rect(x, 6, w, 28, 5, "dg-box")
		p.text(xs[i], 25, []string{l}, "dg-mid dg-strong")
		x += w + 22
	}
	events, dropped := s.shown()
	var marks svg
	y := 54
	downSince := make([]int, len(s.Lanes))
	if dropped > 0 {
		marks.text(x, y+5, []string{fmt.Sprintf("(%d earlier events left out)", dropped)}, "dg-small")
		y += rowHeight
	}
	for _, e := range events {
		if !s.valid(e) {
			continue
		}
		marks.text(8, y+5, []string{clock(e.At)}, "dg-small")
		s.svgMarks(&marks, e, xs, y, downSince)
		lines := wrap([]string{e.Text}, textColumns)
		class := "dg-small"
		if e.Bad {
			class += " dg-strong"
		}
		marks.text(x, y+5, lines, class)
		y += rowHeight + (len(lines)-1)*lineHeight
	}
	for i, lx := range xs {
		p.line(lx, 34, lx, y, "dg-life")
		if downSince[i] > 0 {
			p.line(lx, downSince[i], lx, y, "dg-down")
		}
	}
	p.b.WriteString(marks.b.String())
	p.grow(marks.w, y)
	return p.done(title, s.describe())
}

func (s *SpaceTime) svgMarks(p *svg, e Event, xs []int, y int, downSince []int) {
	dot, edge := "dg-dot", "dg-edge"
	if e.Bad {
		dot, edge = "dg-bad", "dg-bad-edge"
	}
	from := xs[e.Lane]
	switch e.Kind {
	case Send, Lose:
		to := xs[e.To]
		dir := 1
		if to < from {
			dir = -1
		}
		h := headArrow
		if e.Kind == Lose {
			h, edge = headCross, "dg-bad-edge dg-dotted"
		}
		p.line(from, y, to-3*dir, y, edge)
		p.arrowHead(to-dir, y, float64(dir), 0, h)
		p.circle(from, y, 4, dot)
	case Cut, Heal:
		to := xs[e.To]
		if e.Kind == Heal {
			p.line(from, y, to, y, "dg-edge dg-thick")
			return
		}
		p.line(from, y, to, y, "dg-bad-edge dg-dotted")
		p.arrowHead((from+to)/2+7, y, 1, 0, headCross)
	case Down:
		p.arrowHead(from+7, y, 1, 0, headCross)
		downSince[e.Lane] = y
	case Up:
		if downSince[e.Lane] > 0 {
			p.line(from, downSince[e.Lane], from, y, "dg-down")
			downSince[e.Lane] = 0
		}
		p.circle(from, y, 4, dot)
	default:
		p.circle(from, y, 4, dot)
	}
}

// describe tells the run in sentences.
func (s *SpaceTime) describe() string {
	events, _ := s.shown()
	var b strings.Builder
	for _, e := range events {
		if s.valid(e) {
			fmt.Fprintf(&b, "%s %s: %s. ", clock(e.At), s.Lanes[e.Lane], e.Text)
		}
	}
	return strings.TrimSpace(b.String())
}
