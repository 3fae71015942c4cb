// Package diagram draws sequence diagrams, flow charts and space-time diagrams of recorded runs, each as SVG
// (classes only, no inline style, so a strict content security policy holds) and as text for a terminal.
// Sequence and flow diagrams are read from the subset of Mermaid that the lessons use; what the parser does
// not know it refuses, naming the line.
package diagram

import (
	"fmt"
	"strings"
)

// Diagram is a parsed or built picture.
type Diagram interface {
	// SVG gives a self-contained <svg> element with title and description for screen readers. id makes its
	// inner ids unique on a page.
	SVG(id, title string) string
	// Text draws with box characters, at most width columns where it can.
	Text(width int) string
}

// Limits of a source text: a lesson file is input from outside.
const (
	maxLines = 400
	maxItems = 300
	maxDepth = 8
)

// Error is a fault in a diagram's source. Line counts from 1 within that source.
type Error struct {
	Line int
	Text string
}

// Error gives "line N: text".
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

func fault(line int, format string, args ...any) error {
	return &Error{Line: line, Text: fmt.Sprintf(format, args...)}
}

// Parse reads a Mermaid source: "sequenceDiagram", "graph TD" or "flowchart LR" (and the other directions).
// The error is an *Error that names the line.
func Parse(src string) (Diagram, error) {
	lines := strings.Split(strings.ReplaceAll(src, "\r\n", "\n"), "\n")
	if len(lines) > maxLines {
		return nil, fault(maxLines, "more than %d lines", maxLines)
	}
	for i, line := range lines {
		line = uncomment(line)
		if line == "" {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "sequenceDiagram":
			return parseSequence(lines[i+1:], i+1)
		case "graph", "flowchart":
			return parseFlow(lines[i+1:], i+1, strings.TrimSuffix(strings.TrimSpace(rest), ";"))
		}
		return nil, fault(i+1, "%q starts no diagram that is known; use sequenceDiagram, graph or flowchart", word)
	}
	return nil, fault(1, "the diagram is empty")
}

// uncomment trims a line and drops Mermaid's %% comments.
func uncomment(line string) string {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "%%") {
		return ""
	}
	return line
}

// label splits a label at <br/> and at \n as Mermaid does. Quotes around all of it are not part of it; others are.
func label(s string) []string {
	s = strings.TrimSpace(s)
	if inner, ok := strings.CutPrefix(s, `"`); ok && strings.Count(inner, `"`) == 1 && strings.HasSuffix(inner, `"`) {
		s = strings.TrimSuffix(inner, `"`)
	}
	for _, br := range []string{"<br/>", "<br />", "<br>", `\n`} {
		s = strings.ReplaceAll(s, br, "\n")
	}
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		out = append(out, strings.TrimSpace(line))
	}
	return out
}

// wrap breaks each line at blanks so that none is longer than width columns, where words allow.
func wrap(lines []string, width int) []string {
	var out []string
	for _, line := range lines {
		cur := ""
		for _, w := range strings.Fields(line) {
			switch {
			case cur == "":
				cur = w
			case columns(cur)+1+columns(w) <= width:
				cur += " " + w
			default:
				out = append(out, cur)
				cur = w
			}
		}
		out = append(out, cur)
	}
	return out
}

// columns is the width of s in terminal cells: East Asian wide letters take two, combining marks none.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

func cells(r rune) int {
	switch {
	case r >= 0x300 && r <= 0x36f, r == 0x200d, r >= 0xfe00 && r <= 0xfe0f:
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
		return 2
	}
	return 1
}

func widest(lines []string, measure func(string) int) int {
	w := 0
	for _, l := range lines {
		w = max(w, measure(l))
	}
	return w
}
