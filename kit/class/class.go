// Package class grades the submissions of a whole class: which folders are submissions, which of them an earlier
// call has graded already, the grading of the rest side by side, and the table of all. It decides; grading one
// submission is a function that it is given, and Child is the one that does it in a process of its own, so that a
// submission that takes its grader down takes nobody else's.
package class

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"netsplit/kit/grade"
	"netsplit/kit/lab"
)

// State is what became of one submission. The first three are verdicts; a submission in any other state has no grade,
// and nothing is said for or against it.
type State string

// The states.
const (
	Passed       State = "pass"
	Failed       State = "fail"
	Inconclusive State = "inconclusive"
	Unread       State = "unread"  // the submission cannot be read: no work in it, too large, a link
	Broke        State = "broken"  // the grader ended without a result
	TimedOut     State = "timeout" // the grader was ended because it took too long
	TooLarge     State = "memory"  // the grader was ended because it took too much memory
	Waiting      State = "waiting" // it was not its turn before the call ended
)

// Graded reports whether the state is a verdict.
func (s State) Graded() bool { return s == Passed || s == Failed || s == Inconclusive }

// Said is the state in words.
func (s State) Said() string {
	switch s {
	case Unread:
		return "not graded: cannot be read"
	case Broke:
		return "not graded: the grader broke"
	case TimedOut:
		return "not graded: took too long"
	case TooLarge:
		return "not graded: took too much memory"
	case Waiting:
		return "not graded yet"
	}
	return string(s)
}

// Member is one submission of a class.
type Member struct {
	Name   string // what the table calls it; no two of a class have the same
	Folder string // the folder that was named or found
	Dir    string // where in it the work lies; empty when Problem says why there is none
	Digest string // of the work's content
	Seed   uint64 // to grade it with; 0 leaves it to the grader
	// Problem says why the submission cannot be read; empty when it can be.
	Problem string
}

// File names the member's result: portable, and no two names of a class share one.
func (m Member) File() string { return fileName(m.Name) + ".json" }

// Row is one line of the table.
type Row struct {
	Name   string
	Folder string
	State  State
	Score  int
	Max    int
	Why    string // the first thing that is to be learnt, in a line
	Tasks  []Cell // one for each column; empty without a grade
	Seed   uint64
	Seeds  int
	Digest string
	Result string // the file with the whole grade, relative to the table; empty when there is none
	Took   time.Duration
	Kept   bool // an earlier call graded it
}

// Cell is one task of one submission.
type Cell struct {
	Verdict grade.Verdict
	Score   int
	Why     string
}

// Column is one task of the lab.
type Column struct {
	Name, Title string
	Max         int
}

// Table is the grades of a class.
type Table struct {
	Lab     string
	Title   string
	Columns []Column
	Max     int
	Seed    uint64 // all were graded with; 0 when each has its own
	Seeds   int
	Version string
	At      time.Time
	Rows    []Row
}

// Count says how many submissions are in a state.
func (t *Table) Count(s State) int {
	n := 0
	for _, r := range t.Rows {
		if r.State == s {
			n++
		}
	}
	return n
}

// ExitCode is the process status that stands for the table: 0 when every submission passed or failed, 2 when nothing
// could be said about some, 3 when some have no grade at all.
func (t *Table) ExitCode() int {
	code := grade.ExitPass
	for _, r := range t.Rows {
		switch {
		case !r.State.Graded():
			return grade.ExitBroken
		case r.State == Inconclusive:
			code = grade.ExitInconclusive
		}
	}
	return code
}

// Summary counts the states in a line: "40 submissions: 31 pass, 8 fail, 1 not graded: took too long".
func (t *Table) Summary() string {
	var parts []string
	for _, s := range []State{Passed, Failed, Inconclusive, Unread, Broke, TimedOut, TooLarge, Waiting} {
		if n := t.Count(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s.Said()))
		}
	}
	return fmt.Sprintf("%s: %s", counted(len(t.Rows), "submission"), strings.Join(parts, ", "))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// newTable makes the table of a lab without rows.
func newTable(l *lab.Lab) *Table {
	t := &Table{Lab: l.Slug, Title: l.Manifest.Title, Max: l.Manifest.Points()}
	for _, task := range l.Manifest.Tasks {
		t.Columns = append(t.Columns, Column{Name: task.Name, Title: task.Title, Max: task.Points})
	}
	return t
}

// blank is the row of a member without a grade.
func blank(m Member, s State, why string) Row {
	return Row{Name: m.Name, Folder: oneLine(m.Folder), State: s, Why: oneLine(why), Digest: m.Digest, Seed: m.Seed}
}

// graded is the row of a member with a grade. A result that does not fit the lab is a broken grader's.
func (t *Table) graded(m Member, r *grade.Result) Row {
	state := map[grade.Verdict]State{grade.Pass: Passed, grade.Fail: Failed, grade.Inconclusive: Inconclusive}[r.Verdict]
	if state == "" || r.Lab != t.Lab || len(r.Tasks) != len(t.Columns) {
		return blank(m, Broke, "the grader wrote a result that is none of this lab")
	}
	row := Row{Name: m.Name, Folder: oneLine(m.Folder), State: state, Score: r.Score, Max: r.Max, Why: oneLine(cmp.Or(r.Problem, r.Stopped)), Seed: r.Seed, Seeds: r.Seeds,
		Digest: r.Submission.Digest, Took: time.Duration(r.Millis) * time.Millisecond}
	for i, task := range r.Tasks {
		if task.Name != t.Columns[i].Name {
			return blank(m, Broke, "the grader wrote a result that is none of this lab")
		}
		row.Tasks = append(row.Tasks, Cell{Verdict: task.Verdict, Score: task.Score, Why: oneLine(task.Why)})
		if state != Passed && task.Verdict == r.Verdict {
			row.Why = cmp.Or(row.Why, oneLine(task.Name+": "+task.Why))
		}
	}
	return row
}

// maxWhy bounds a reason in the table, in runes; the whole stands in the result.
const maxWhy = 300

// oneLine makes text of a submission harmless and short.
func oneLine(text string) string {
	if most := 8 * maxWhy; len(text) > most {
		text = text[:most]
	}
	runes := []rune(strings.Join(strings.Fields(grade.Clean(text)), " "))
	if len(runes) > maxWhy {
		return string(runes[:maxWhy-1]) + "…"
	}
	return string(runes)
}

// Stale says why an earlier grade of a member does not stand any more; empty when it does. What grades is told apart
// by build, since two builds of changed sources can have one version.
func Stale(r *grade.Result, m Member, slug, build string, seeds int) string {
	switch {
	case r.Lab != slug:
		return "it was another lab"
	case r.Submission.Digest != m.Digest:
		return "the work has changed"
	case r.Build != build:
		return "netsplit has changed"
	case r.Problem != "": // it was never run, so with no seed
	case m.Seed != 0 && r.Seed != m.Seed:
		return "the seed is another"
	case r.Seeds != seeds:
		return "the number of runs is another"
	case r.Verdict != grade.Pass && r.Verdict != grade.Fail:
		return "it was inconclusive"
	}
	return ""
}
