package diagram

import (
	"fmt"
	"html"
	"strings"
)

// CSS is the style sheet for every drawing of this package. It uses the custom properties --ink, --paper,
// --line, --accent, --soft and --bad where a page defines them, so pictures follow the page's theme.
const CSS = `.dg{max-width:100%;height:auto;font:14px/1.3 system-ui,sans-serif}
.dg text{fill:var(--ink,#1c1e21);stroke:none}
.dg .dg-mid{text-anchor:middle}
.dg .dg-small{font-size:12.5px}
.dg .dg-strong{font-weight:600}
.dg .dg-box{fill:var(--paper,#fff);stroke:var(--ink,#1c1e21);stroke-width:1.3}
.dg .dg-halo{fill:var(--paper,#fff);stroke:none}
.dg .dg-group{fill:var(--soft,#f1f3f5);stroke:var(--line,#868e96);stroke-width:1}
.dg .dg-life{stroke:var(--line,#868e96);stroke-width:1;stroke-dasharray:4 4;fill:none}
.dg .dg-active{fill:var(--soft,#f1f3f5);stroke:var(--ink,#1c1e21);stroke-width:1}
.dg .dg-edge{stroke:var(--ink,#1c1e21);stroke-width:1.4;fill:none}
.dg .dg-dotted{stroke-dasharray:5 4}
.dg .dg-thick{stroke-width:2.8}
.dg .dg-head{fill:var(--ink,#1c1e21);stroke:none}
.dg .dg-note{fill:var(--note,#fff8db);stroke:var(--line,#868e96);stroke-width:1}
.dg .dg-note-text{fill:var(--note-ink,#1c1e21)}
.dg .dg-frame{fill:none;stroke:var(--line,#868e96);stroke-width:1}
.dg .dg-tag{fill:var(--soft,#f1f3f5);stroke:var(--line,#868e96);stroke-width:1}
.dg .dg-dot{fill:var(--accent,#1864ab);stroke:none}
.dg .dg-bad{fill:var(--bad,#c92a2a);stroke:none}
.dg .dg-bad-edge{stroke:var(--bad,#c92a2a);stroke-width:1.6;fill:none}
.dg .dg-down{stroke:var(--bad,#c92a2a);stroke-width:3;stroke-dasharray:2 4;fill:none}
`

// svg gathers elements; it measures nothing and knows no layout.
type svg struct {
	b    strings.Builder
	w, h int
	id   string
}

func (s *svg) grow(x, y int) { s.w, s.h = max(s.w, x), max(s.h, y) }

func (s *svg) line(x1, y1, x2, y2 int, class string) {
	fmt.Fprintf(&s.b, `<line x1="%d" y1="%d" x2="%d" y2="%d" class="%s"/>`, x1, y1, x2, y2, class)
	s.grow(max(x1, x2), max(y1, y2))
}

func (s *svg) rect(x, y, w, h, round int, class string) {
	fmt.Fprintf(&s.b, `<rect x="%d" y="%d" width="%d" height="%d" rx="%d" class="%s"/>`, x, y, w, h, round, class)
	s.grow(x+w, y+h)
}

func (s *svg) circle(x, y, r int, class string) {
	fmt.Fprintf(&s.b, `<circle cx="%d" cy="%d" r="%d" class="%s"/>`, x, y, r, class)
	s.grow(x+r, y+r)
}

func (s *svg) path(d, class string) {
	fmt.Fprintf(&s.b, `<path d="%s" class="%s"/>`, d, class)
}

// text writes lines, the first with its base line at y.
func (s *svg) text(x, y int, lines []string, class string) {
	for i, l := range lines {
		fmt.Fprintf(&s.b, `<text x="%d" y="%d" class="%s">%s</text>`, x, y+i*lineHeight, class, html.EscapeString(l))
	}
	if !strings.Contains(class, "dg-mid") {
		s.grow(x+widest(lines, pixels), y)
	}
}

// arrowHead draws a head at (x, y) that points along (dx, dy), which need not be of unit length.
func (s *svg) arrowHead(x, y int, dx, dy float64, kind head) {
	if dx == 0 && dy == 0 || kind == headNone {
		return
	}
	n := hypot(dx, dy)
	ux, uy := dx/n, dy/n
	at := func(along, side float64) (float64, float64) {
		return float64(x) - ux*along - uy*side, float64(y) - uy*along + ux*side
	}
	switch kind {
	case headArrow, headOpen:
		ax, ay := at(9, 4.5)
		bx, by := at(9, -4.5)
		if kind == headOpen {
			s.path(fmt.Sprintf("M%.1f %.1f L%d %d L%.1f %.1f", ax, ay, x, y, bx, by), "dg-edge")
			return
		}
		s.path(fmt.Sprintf("M%d %d L%.1f %.1f L%.1f %.1f Z", x, y, ax, ay, bx, by), "dg-head")
	case headCross:
		ax, ay := at(2, 5)
		bx, by := at(12, -5)
		cx, cy := at(2, -5)
		ex, ey := at(12, 5)
		s.path(fmt.Sprintf("M%.1f %.1f L%.1f %.1f M%.1f %.1f L%.1f %.1f", ax, ay, bx, by, cx, cy, ex, ey), "dg-bad-edge")
	case headDot:
		cx, cy := at(5, 0)
		s.circle(int(cx), int(cy), 4, "dg-head")
	}
}

// done closes the picture. desc is its text twin, for readers who do not see it.
func (s *svg) done(title, desc string) string {
	w, h := s.w+8, s.h+8
	return fmt.Sprintf(`<svg class="dg" xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 %d %d" width="%d" height="%d" aria-labelledby="%s-t %s-d"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>%s</svg>`,
		w, h, w, h, s.id, s.id, s.id, html.EscapeString(title), s.id, html.EscapeString(desc), s.b.String())
}

const lineHeight = 18

// pixels estimates the width of s at 14 px in a sans-serif face, from classes of letters.
func pixels(s string) int {
	w := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune("ijl|.,:;'!", r):
			w += 4.1
		case strings.ContainsRune("ftr()[]{}/-\" `", r):
			w += 5.4
		case strings.ContainsRune("mwMW@%", r):
			w += 12
		case r >= 'A' && r <= 'Z':
			w += 9.6
		default:
			w += 8.1 * float64(cells(r))
		}
	}
	return int(w + 0.5)
}

type head int

const (
	headNone head = iota
	headArrow
	headOpen
	headCross
	headDot
)

func pathf(format string, args ...any) string { return fmt.Sprintf(format, args...) }
