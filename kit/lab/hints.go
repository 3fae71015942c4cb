package lab

import (
	"fmt"
	"io/fs"
	"strings"
)

// What the hints of a lab must be: several levels, short, and no solution among them.
const (
	leastHints   = 2
	maxHintWords = 160
	// leastLine is how long a line of code must be, without its spaces, for a hint that quotes it to give it away;
	// shorter ones are words of the language.
	leastLine = 18
)

// HintFaults finds tasks with too few hints, hints that nobody would read to their end, and hints that could be pasted.
func (l *Lab) HintFaults() []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	own, err := l.solutionLines()
	if err != nil {
		fault("the solution cannot be read: %v", err)
	}
	for _, t := range l.Manifest.Tasks {
		if len(t.Hints) < leastHints {
			fault("task %s has %d hints, not %d or more: from vague to nearly telling", t.Name, len(t.Hints), leastHints)
		}
		for i, h := range t.Hints {
			if n := len(strings.Fields(h)); n > maxHintWords {
				fault("task %s: hint %d has %d words, more than %d", t.Name, i+1, n, maxHintWords)
			}
			if line := pasted(h, own); line != "" {
				fault("task %s: hint %d has a line of the solution: %s", t.Name, i+1, line)
			}
		}
	}
	return faults
}

// pasted gives the line that a hint contains, however it is spaced.
func pasted(hint string, lines []string) string {
	hint = unspaced(hint)
	for _, line := range lines {
		if strings.Contains(hint, unspaced(line)) {
			return line
		}
	}
	return ""
}

func unspaced(s string) string { return strings.Join(strings.Fields(s), "") }

// solutionLines are the lines of code that a student has to find: those of the solution that the starter has not.
func (l *Lab) solutionLines() ([]string, error) {
	given, err := codeLines(l.Starter())
	if err != nil {
		return nil, err
	}
	solved, err := codeLines(l.solution)
	if err != nil {
		return nil, err
	}
	var own []string
	for line := range solved {
		if !given[line] && len(unspaced(line)) >= leastLine {
			own = append(own, line)
		}
	}
	return own, nil
}

func codeLines(fsys fs.FS) (map[string]bool, error) {
	files, err := readTree(fsys, func(name string) bool { return isGo(name) || scriptFile(name) })
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, src := range files {
		for line := range strings.Lines(string(src)) {
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, "//") && !strings.HasPrefix(line, "#") {
				all[line] = true
			}
		}
	}
	return all, nil
}
