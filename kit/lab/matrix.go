package lab

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"netsplit/kit/grade"
)

// Matrix draws the kill matrix: a line for the starter, the solution and each mutant, a column for each task. In
// lines too short for words a cell is one letter and a column has a number, both explained below. No line is longer
// than width characters, 40 at least.
func (p Proof) Matrix(width int) string {
	rows := p.rows()
	if text, ok := wordMatrix(p.Tasks, rows, width); ok {
		return text
	}
	return letterMatrix(p.Tasks, rows, max(width, 40))
}

// matrixRow is one line of the matrix; a task that is not in cells was not judged.
type matrixRow struct {
	name  string
	cells map[string]TaskProof
}

func (p Proof) rows() []matrixRow {
	rows := []matrixRow{{"starter", seen(p.StarterTasks)}, {"solution", pinned(p.SolutionTasks)}}
	for _, name := range slices.Sorted(maps.Keys(p.Mutants)) {
		m := p.Mutants[name]
		row := matrixRow{name, m.Tasks}
		if !m.Tests { // what is not told apart passed, as it should
			row.cells = map[string]TaskProof{}
			for _, t := range p.Tasks {
				row.cells[t] = TaskProof{Want: grade.Pass, Got: grade.Pass}
			}
			maps.Copy(row.cells, m.Tasks)
		}
		rows = append(rows, row)
	}
	return slices.DeleteFunc(rows, func(r matrixRow) bool { return len(r.cells) == 0 })
}

// seen is a row that nothing is pinned for.
func seen(tasks map[string]grade.Verdict) map[string]TaskProof {
	cells := map[string]TaskProof{}
	for t, v := range tasks {
		cells[t] = TaskProof{Want: v, Got: v}
	}
	return cells
}

// pinned is a row that must pass.
func pinned(tasks map[string]grade.Verdict) map[string]TaskProof {
	cells := map[string]TaskProof{}
	for t, v := range tasks {
		cells[t] = TaskProof{Want: grade.Pass, Got: v}
	}
	return cells
}

// word says what became of a task: in lower case or FAIL when it is as pinned, else with a mark or SURVIVED.
func (t TaskProof) word() string {
	text := map[grade.Verdict]string{grade.Pass: "pass", grade.Fail: "FAIL", grade.Skipped: "skip", grade.Inconclusive: "unclear"}[t.Got]
	switch {
	case t.Got == t.Want:
		return text
	case t.Want == grade.Fail && t.Got == grade.Pass:
		return "SURVIVED"
	}
	return text + "!"
}

// letter is word in one letter, with a mark behind it when it is not as pinned.
func (t TaskProof) letter() string {
	text := map[grade.Verdict]string{grade.Pass: ".", grade.Fail: "F", grade.Skipped: "-", grade.Inconclusive: "?"}[t.Got]
	if t.Want == grade.Fail && t.Got == grade.Pass {
		text = "S"
	}
	if t.Got != t.Want {
		text += "!"
	}
	return text
}

func wordMatrix(tasks []string, rows []matrixRow, width int) (text string, fits bool) {
	lines := [][]string{append([]string{""}, tasks...)}
	for _, r := range rows {
		line := []string{r.name}
		for _, t := range tasks {
			if cell, ok := r.cells[t]; ok {
				line = append(line, cell.word())
			} else {
				line = append(line, "")
			}
		}
		lines = append(lines, line)
	}
	wide := make([]int, len(tasks)+1)
	sum := 0
	for i := range wide {
		for _, line := range lines {
			wide[i] = max(wide[i], utf8.RuneCountInString(line[i]))
		}
		sum += wide[i] + 2
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(strings.TrimRight(padded(line, wide), " ") + "\n")
	}
	return b.String(), sum <= width
}

func padded(cells []string, wide []int) string {
	var b strings.Builder
	for i, c := range cells {
		b.WriteString("  " + c + strings.Repeat(" ", max(0, wide[i]-utf8.RuneCountInString(c))))
	}
	return b.String()
}

func letterMatrix(tasks []string, rows []matrixRow, width int) string {
	first := 0
	for _, r := range rows {
		first = max(first, utf8.RuneCountInString(r.name))
	}
	first = max(8, min(first, width-2-4*len(tasks)))
	wide := append([]int{first}, slices.Repeat([]int{2}, len(tasks))...)
	head := []string{""}
	var legend []string
	for i, t := range tasks {
		head = append(head, strconv.Itoa(i+1))
		legend = append(legend, fmt.Sprintf("%d %s", i+1, t))
	}
	var b strings.Builder
	line := func(cells []string) { b.WriteString(strings.TrimRight(padded(cells, wide), " ") + "\n") }
	line(head)
	for _, r := range rows {
		cells := []string{clipTo(r.name, first)}
		for _, t := range tasks {
			cell, ok := r.cells[t]
			switch {
			case ok:
				cells = append(cells, cell.letter())
			default:
				cells = append(cells, "")
			}
		}
		line(cells)
	}
	b.WriteString(foldList("  ", legend, width))
	b.WriteString(foldList("  ", []string{". passes", "F fails as pinned", "- skipped", "? unclear", "S survived", "! not as pinned"}, width))
	return b.String()
}

func clipTo(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// foldList joins items with commas into lines of at most width characters.
func foldList(indent string, items []string, width int) string {
	var b strings.Builder
	at := 0
	for i, item := range items {
		if i < len(items)-1 {
			item += ","
		}
		n := utf8.RuneCountInString(item) + 1
		switch {
		case i == 0:
			b.WriteString(indent)
			at = len(indent)
		case at+n > width:
			b.WriteString("\n" + indent)
			at = len(indent)
		default:
			b.WriteByte(' ')
		}
		b.WriteString(item)
		at += n
	}
	return b.String() + "\n"
}
