package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"netsplit/kit/grade"
)

// view shows on a terminal what goes on: a line that is overwritten again and again, and above it the news, which stay. Elsewhere
// it shows nothing: the result has all that is worth keeping.
type view struct {
	w       io.Writer  // nil shows nothing
	columns func() int // of the terminal, as wide as it is now
	width   int        // of the line that can be seen
}

// viewOn is a view on w, if that is a terminal.
func viewOn(w io.Writer) *view {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &view{}
	}
	return &view{w: f, columns: func() int {
		columns, _, err := term.GetSize(int(f.Fd()))
		if err != nil || columns < 20 {
			return 80
		}
		return columns
	}}
}

// progress is what to tell what goes on; nil when nobody sees it.
func (v *view) progress() func(line string) {
	if v.w == nil {
		return nil
	}
	return func(line string) {
		v.clear()
		line = v.fit(line)
		v.width = len([]rune(line))
		fmt.Fprint(v.w, line)
	}
}

// news is what to tell what is to stay; nil when nobody sees it.
func (v *view) news() func(line string) {
	if v.w == nil {
		return nil
	}
	return func(line string) {
		v.clear()
		fmt.Fprintln(v.w, v.fit(line))
	}
}

// clear takes the line away that is overwritten.
func (v *view) clear() {
	if v.width > 0 {
		fmt.Fprintf(v.w, "\r%s\r", strings.Repeat(" ", v.width))
	}
	v.width = 0
}

// fit makes text harmless, and cuts it where the terminal ends: a line that wraps cannot be overwritten.
func (v *view) fit(line string) string {
	runes, room := []rune(strings.Join(strings.Fields(grade.Clean(line)), " ")), v.columns()-1
	if len(runes) > room {
		return string(runes[:room-1]) + "…"
	}
	return string(runes)
}
