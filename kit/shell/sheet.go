package shell

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// maxSheetRows is how many rows of a sheet the prompt shows; the value has them all.
const maxSheetRows = 40

// maxCell is how many characters of a cell are shown.
const maxCell = 40

// heading is one column of a sheet.
type heading struct {
	name  string
	right bool // figures are aligned on the right
}

// sheet is what a view of the system gives: for a script a list of dicts, at the prompt an aligned table.
type sheet struct {
	rows  []starlark.Value
	heads []heading
	cells [][]string // what the table shows of each row
	notes []string   // lines below the table
}

// add appends a row, as a value and as what is shown of it.
func (s *sheet) add(row starlark.Value, cells ...string) {
	s.rows, s.cells = append(s.rows, row), append(s.cells, cells)
}

func (s *sheet) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// text is the aligned table.
func (s *sheet) text() string {
	shown := s.cells[:min(len(s.cells), maxSheetRows)]
	width := make([]int, len(s.heads))
	for i, h := range s.heads {
		width[i] = len(h.name)
		for _, row := range shown {
			width[i] = max(width[i], utf8.RuneCountInString(cutText(row[i], maxCell)))
		}
	}
	var b strings.Builder
	line := func(cell func(i int) string) {
		var l strings.Builder
		for i, h := range s.heads {
			text := cutText(cell(i), maxCell)
			pad := strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(text)))
			l.WriteString("  ")
			if h.right {
				l.WriteString(pad + text)
			} else {
				l.WriteString(text + pad)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	line(func(i int) string { return s.heads[i].name })
	for _, row := range shown {
		line(func(i int) string { return row[i] })
	}
	if more := len(s.cells) - len(shown); more > 0 {
		fmt.Fprintf(&b, "  ... %d more rows; the value has them all\n", more)
	}
	for _, n := range s.notes {
		b.WriteString(n + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// sheetsText shows a list of sheets one below the other; false when the list holds anything else, or nothing.
func sheetsText(l *starlark.List) (string, bool) {
	var parts []string
	for v := range l.Elements() {
		s, ok := v.(*sheet)
		if !ok || len(parts) >= maxPrintItems {
			return "", false
		}
		parts = append(parts, s.text())
	}
	return strings.Join(parts, "\n\n"), len(parts) > 0
}

// list is the rows as a plain list.
func (s *sheet) list() *starlark.List { return starlark.NewList(slices.Clone(s.rows)) }

// String gives the rows on one line, as print and text formatting want it.
func (s *sheet) String() string { return valueText(s.list()) }

// Type is "rows".
func (s *sheet) Type() string { return "rows" }

// Freeze freezes the rows.
func (s *sheet) Freeze() {
	for _, r := range s.rows {
		r.Freeze()
	}
}

// Truth tells whether there is any row.
func (s *sheet) Truth() starlark.Bool { return len(s.rows) > 0 }

// Hash fails, as for a list.
func (s *sheet) Hash() (uint32, error) { return 0, errors.New("rows have no hash") }

// Len counts the rows.
func (s *sheet) Len() int { return len(s.rows) }

// Index gives a row.
func (s *sheet) Index(i int) starlark.Value { return s.rows[i] }

// Iterate walks over the rows.
func (s *sheet) Iterate() starlark.Iterator { return s.list().Iterate() }

// Slice gives some of the rows, still as a sheet.
func (s *sheet) Slice(start, end, step int) starlark.Value {
	out := &sheet{heads: s.heads}
	for i := start; step > 0 && i < end || step < 0 && i > end; i += step {
		out.add(s.rows[i], s.cells[i]...)
	}
	return out
}

// Binary joins rows with further ones (+), and finds one among them (in).
func (s *sheet) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	if other, ok := y.(*sheet); ok && op == syntax.PLUS {
		y = other.list()
	}
	if side == starlark.Left {
		return starlark.Binary(op, s.list(), y)
	}
	return starlark.Binary(op, y, s.list())
}
