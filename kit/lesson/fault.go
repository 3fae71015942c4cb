package lesson

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a course's files. Line counts from 1; 0 means the file as a whole.
type Fault struct {
	File string
	Line int
	Text string
}

// String gives "file:line: text".
func (f Fault) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
}

// Faults is an error that lists every fault found, in the order of files and lines.
type Faults []Fault

// Error gives a line for each fault.
func (fs Faults) Error() string {
	var lines []string
	for _, f := range fs {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

// report gathers faults while a course is read.
type report struct {
	faults Faults
	more   int
}

func (r *report) add(file string, line int, format string, args ...any) {
	if len(r.faults) >= maxFaults {
		r.more++
		return
	}
	r.faults = append(r.faults, Fault{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// sorted gives what was gathered, by file and line.
func (r *report) sorted() Faults {
	slices.SortStableFunc(r.faults, func(a, b Fault) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	if r.more > 0 {
		return append(r.faults, Fault{File: "(more)", Text: fmt.Sprintf("and %d more faults", r.more)})
	}
	return r.faults
}
