package lesson

import (
	"strings"

	"github.com/yuin/goldmark/ast"
	east "github.com/yuin/goldmark/extension/ast"
)

// table sets a table in columns that share the width; cells that do not fit are wrapped.
func (t *textWriter) table(n *east.Table, width int) []line {
	const gap = 2
	var rows [][][]cell
	for r := n.FirstChild(); r != nil; r = r.NextSibling() {
		var row [][]cell
		for c := r.FirstChild(); c != nil; c = c.NextSibling() {
			s := style{}
			if r.Kind() == east.KindTableHeader {
				s = titleStyle
			}
			row = append(row, t.inline(c, s))
		}
		rows = append(rows, row)
	}
	widths := fit(rows, width-gap*max(0, len(n.Alignments)-1))
	var out []line
	for i, row := range rows {
		made, wrapped := t.row(row, widths, n.Alignments, gap)
		if wrapped && i > 1 {
			out = append(out, line{})
		}
		out = append(out, made...)
		if i == 0 {
			var rule []string
			for _, w := range widths {
				rule = append(rule, strings.Repeat("─", w))
			}
			out = append(out, line{{text: strings.Join(rule, strings.Repeat(" ", gap)), style: dimStyle}})
		}
	}
	return out
}

// fit gives each column its natural width, taking from the widest until all fit into the total.
func fit(rows [][][]cell, total int) []int {
	var natural, least []int
	for _, row := range rows {
		for i, c := range row {
			if i >= len(natural) {
				natural, least = append(natural, 1), append(least, 1)
			}
			one := flow(c, 1<<20)
			if len(one) > 0 {
				natural[i] = max(natural[i], one[0].width())
			}
			ws, _ := words(c)
			for _, w := range ws {
				least[i] = max(least[i], min(w.width(), 24))
			}
		}
	}
	sum := 0
	for _, w := range natural {
		sum += w
	}
	for ; sum > total; sum-- {
		widest := -1
		for i, w := range natural {
			if w > least[i] && (widest < 0 || w > natural[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break // every column is at its longest word: the table is wider than the terminal
		}
		natural[widest]--
	}
	return natural
}

func (t *textWriter) row(row [][]cell, widths []int, align []east.Alignment, gap int) (out []line, wrapped bool) {
	var cols [][]line
	height := 1
	for i, c := range row {
		if i >= len(widths) {
			break
		}
		lines := flow(c, widths[i])
		cols = append(cols, lines)
		height = max(height, len(lines))
	}
	for y := range height {
		var l line
		for i, lines := range cols {
			var own line
			if y < len(lines) {
				own = lines[y]
			}
			if i < len(align) && align[i] == east.AlignRight {
				own = append(line{{text: strings.Repeat(" ", max(0, widths[i]-own.width()))}}, own...)
			}
			l = append(l, own.pad(widths[i])...)
			l = append(l, cell{text: strings.Repeat(" ", gap)})
		}
		out = append(out, l)
	}
	return out, height > 1
}

// raw gives the text of a code span as it was written.
func (p *Page) raw(n ast.Node) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if txt, ok := c.(*ast.Text); ok {
			b.WriteString(strings.ReplaceAll(string(txt.Segment.Value(p.source)), "\n", " "))
		}
	}
	return b.String()
}
