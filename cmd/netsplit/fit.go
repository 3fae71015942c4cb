package main

import (
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"netsplit/kit/grade"
)

// printResult writes a result for a person: as it is, or made to fit when out is a terminal.
func printResult(out io.Writer, r *grade.Result) error {
	s := screenOf(out)
	if !s.terminal {
		return grade.Text(out, r)
	}
	var b strings.Builder
	if err := grade.Text(&b, r); err != nil {
		return err
	}
	_, err := io.WriteString(out, s.fit(b.String()))
	return err
}

var (
	resultField = regexp.MustCompile(`^  (asked|happened|expected|actual|fault|shown|seen) +`)
	resultHead  = regexp.MustCompile(`^([a-z0-9-]+: )(PASS|FAIL|INCONCLUSIVE)( .*)?$`)
	resultWord  = regexp.MustCompile(`[^ ,]*(,+| +|$)`)
	resultMark  = regexp.MustCompile(`^( *)([✓✗?])( .*)$`)
)

// narrowest is the width below which lines are left to the terminal.
const narrowest = 40

// fit breaks the long lines of a result's text at blanks, and goes on below where their text began; verdicts have
// colours where there are any. Commands and what the work printed stay as they are.
func (s screen) fit(text string) string {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		l := lines[i]
		switch field := resultField.FindString(l); {
		case field != "":
			lines[i] = hang(l, s.text.Width, strings.Repeat(" ", utf8.RuneCountInString(field)))
		case strings.HasPrefix(l, "  read ") && utf8.RuneCountInString(l) > s.text.Width:
			lines[i] = strings.Replace(l, " (netsplit", "\n            (netsplit", 1) // a command stays in one piece
		case strings.HasPrefix(l, "seed "), strings.HasPrefix(l, "  not judged"):
			lines[i] = hang(l, s.text.Width, "  ")
		case inDiagram(l):
			end := i + 1
			for end < len(lines) && inDiagram(lines[end]) {
				end++
			}
			s.fitDiagram(lines[i:end])
			i = end - 1
		case s.text.Color:
			lines[i] = verdictColor(l)
		}
	}
	return strings.Join(lines, "\n")
}

// inDiagram reports whether a line belongs to a space-time diagram, as results show them.
func inDiagram(l string) bool {
	return strings.HasPrefix(l, "    ") && strings.ContainsAny(l, "│●○✕┊┼")
}

// afterLines is the room between the last line of life and what is said beside it.
const afterLines = 5

// fitDiagram breaks what stands to the right of the lines of life; these go on beside it. The last line of a diagram
// has nothing but them.
func (s screen) fitDiagram(lines []string) {
	life := []rune(strings.TrimRight(lines[len(lines)-1], " "))
	margin := string(life) + strings.Repeat(" ", afterLines)
	if strings.Trim(margin, " │┊") != "" || s.text.Width-len([]rune(margin)) < narrowest/4 {
		return
	}
	for i, l := range lines {
		lines[i] = hang(l, s.text.Width, margin)
	}
}

// fitLast breaks the lines of a table within its last column, when it is shown in a terminal that is too narrow.
func (s screen) fitLast(table string) string {
	if !s.terminal {
		return table
	}
	lines := strings.Split(table, "\n")
	margin := strings.Repeat(" ", strings.LastIndex(lines[0], " ")+1)
	for i, l := range lines {
		lines[i] = hang(l, s.text.Width, margin)
	}
	return strings.Join(lines, "\n")
}

// hang breaks a line at blanks and after commas so that no part is wider than width where words allow, and begins all
// but the first with a margin.
func hang(l string, width int, margin string) string {
	indent := utf8.RuneCountInString(margin)
	if width < narrowest || utf8.RuneCountInString(l) <= width {
		return l
	}
	var parts []string
	part, column := "", 0
	for _, word := range resultWord.FindAllString(l, -1) {
		if seen := utf8.RuneCountInString(strings.TrimRight(word, " ")); column > indent && column+seen > width {
			parts = append(parts, strings.TrimRight(part, " "))
			part, column = margin, indent
		}
		part += word
		column += utf8.RuneCountInString(word)
	}
	return strings.Join(append(parts, part), "\n")
}

// verdictColor colours the verdict at the head of a result, and the marks of its tasks.
func verdictColor(l string) string {
	paint := func(what string) string {
		switch what {
		case "PASS", "✓":
			return "\x1b[32m" + what + "\x1b[0m"
		case "FAIL", "✗":
			return "\x1b[31m" + what + "\x1b[0m"
		}
		return "\x1b[33m" + what + "\x1b[0m"
	}
	if m := resultHead.FindStringSubmatch(l); m != nil {
		return "\x1b[1m" + m[1] + paint(m[2]) + "\x1b[1m" + m[3] + "\x1b[0m"
	}
	if m := resultMark.FindStringSubmatch(l); m != nil {
		return m[1] + paint(m[2]) + m[3]
	}
	return l
}
