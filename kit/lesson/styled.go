package lesson

import (
	"strings"
	"unicode"
)

// style says how a cell looks on a terminal that has colours; on others only the text remains. Only the 16 ANSI
// colours are used, which every theme of a terminal keeps readable.
type style struct {
	bold, dim, italic, underline bool
	color                        byte // 0 none, '1' red ... '6' cyan
}

func (s style) codes() string {
	var c []string
	for _, x := range []struct {
		on   bool
		code string
	}{{s.bold, "1"}, {s.dim, "2"}, {s.italic, "3"}, {s.underline, "4"}, {s.color != 0, "3" + string(rune(s.color))}} {
		if x.on {
			c = append(c, x.code)
		}
	}
	return strings.Join(c, ";")
}

// cell is a piece of text in one style, without line breaks; hard ends a line by the author's wish.
type cell struct {
	text  string
	style style
	hard  bool
}

// line is one line of the terminal.
type line []cell

func plainLine(s string) line { return line{{text: s}} }

func (l line) width() int {
	n := 0
	for _, c := range l {
		n += columns(c.text)
	}
	return n
}

// write puts the line out, without blanks at its end. Neighbours of one style share their escape codes.
func (l line) write(b *strings.Builder, color bool) {
	var runs line
	for _, c := range l {
		if last := len(runs) - 1; last >= 0 && (!color || runs[last].style == c.style) {
			runs[last].text += c.text
			continue
		}
		runs = append(runs, cell{text: c.text, style: c.style})
	}
	for len(runs) > 0 {
		last := &runs[len(runs)-1]
		if last.text = strings.TrimRight(last.text, " "); last.text != "" {
			break
		}
		runs = runs[:len(runs)-1]
	}
	for _, c := range runs {
		if codes := c.style.codes(); color && codes != "" {
			b.WriteString("\x1b[" + codes + "m" + c.text + "\x1b[0m")
		} else {
			b.WriteString(c.text)
		}
	}
	b.WriteByte('\n')
}

// prefix puts one cell before the first line and another before the rest.
func prefix(lines []line, first, rest cell) []line {
	out := make([]line, len(lines))
	for i, l := range lines {
		p := rest
		if i == 0 {
			p = first
		}
		out[i] = append(line{p}, l...)
	}
	return out
}

// words parts cells at blanks. A word may hold several styles.
func words(cells []cell) (out []line, breaks map[int]bool) {
	breaks = map[int]bool{}
	var cur line
	end := func() {
		if len(cur) > 0 {
			out = append(out, cur)
			cur = nil
		}
	}
	for _, c := range cells {
		if c.hard {
			end()
			breaks[len(out)] = true
			continue
		}
		for i, part := range strings.FieldsFunc(c.text, func(r rune) bool { return r == ' ' || r == '\n' || r == '\t' }) {
			if i > 0 || startsBlank(c.text) {
				end()
			}
			cur = append(cur, cell{text: part, style: c.style})
		}
		if endsBlank(c.text) {
			end()
		}
	}
	end()
	return out, breaks
}

func startsBlank(s string) bool { return s != "" && strings.ContainsRune(" \n\t", rune(s[0])) }
func endsBlank(s string) bool   { return s != "" && strings.ContainsRune(" \n\t", rune(s[len(s)-1])) }

// flow fills lines of at most width columns with the words of cells; a longer word has a line of its own.
func flow(cells []cell, width int) []line {
	ws, breaks := words(cells)
	var out []line
	var cur line
	used := 0
	for i, w := range ws {
		n := w.width()
		switch {
		case breaks[i] && i > 0, used > 0 && used+1+n > width:
			out = append(out, cur)
			cur, used = nil, 0
		case used > 0:
			blank := cell{text: " "}
			if last := cur[len(cur)-1].style; last == w[0].style {
				blank.style = last // an underlined link stays whole
			}
			cur = append(cur, blank)
			used++
		}
		cur = append(cur, w...)
		used += n
	}
	if len(cur) > 0 {
		out = append(out, cur)
	}
	return out
}

// columns is the width of s in a terminal: East Asian wide letters take two cells, marks that combine none.
func columns(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana),
			r >= 0xff00 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
			n += 2
		default:
			n++
		}
	}
	return n
}

// pad fills up with blanks to width columns.
func (l line) pad(width int) line {
	if n := width - l.width(); n > 0 {
		return append(l[:len(l):len(l)], cell{text: strings.Repeat(" ", n)})
	}
	return l
}
