// Package grade turns histories into verdicts and verdicts into something a student can act on: the result model,
// the checks over a history, and the writers. It imports no runtime: a recorded run can be graded again.
package grade

import (
	"fmt"
	"time"

	"netsplit/kit/history"
)

// Verdict is what can be said about a task or a whole submission.
type Verdict string

// The verdicts. Inconclusive (a fault did not bite, a checker ran out of budget, the grader's machine was
// starved) is never turned into pass or fail. Skipped is for tasks only: a task they build on did not pass.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Inconclusive Verdict = "inconclusive"
	Skipped      Verdict = "skipped"
)

// The exit codes of "netsplit grade" and "netsplit replay".
const (
	ExitPass         = 0
	ExitFail         = 1
	ExitInconclusive = 2
	ExitBroken       = 3 // the harness itself broke; says nothing about the submission
)

// ExitCode gives the process status that stands for v.
func (v Verdict) ExitCode() int {
	switch v {
	case Pass:
		return ExitPass
	case Fail:
		return ExitFail
	case Inconclusive:
		return ExitInconclusive
	}
	return ExitBroken
}

// Valid reports whether v is one of the four.
func (v Verdict) Valid() bool {
	return v == Pass || v == Fail || v == Inconclusive || v == Skipped
}

// Finding is what one check says about one history. Why is one or two sentences to the student; Expected and
// Actual always come as a pair. Evidence names the operations (history.Op.ID) that show it, in the order in
// which they should be read. A passing finding may leave everything but Verdict empty; when it has evidence, the
// diagram of it is shown: a lab may ask for something to be brought about.
type Finding struct {
	Verdict  Verdict
	Why      string
	Expected string
	Actual   string
	Evidence []int
	Focus    int // the operation that the verdict rests on, marked in the diagram; 0 is the last of Evidence
	Receipts []Receipt
	// Credit is the share of the points, 0 to 1, that a failed task has earned all the same.
	Credit float64
}

// Receipt proves that a fault bit, or says that it did not. A task that claims "under a partition" counts only
// with a receipt whose Bit is true.
type Receipt struct {
	Fault    string `json:"fault"` // "cut a b"
	Bit      bool   `json:"bit"`
	Evidence string `json:"evidence"` // "12 frames held, 3 operations in flight"
}

// Task is the grade of one task. The JSON names are relied on outside the project.
type Task struct {
	Name     string    `json:"name"`
	Verdict  Verdict   `json:"verdict"`
	Score    int       `json:"score"`
	Max      int       `json:"max"`
	Why      string    `json:"why,omitempty"`
	Expected string    `json:"expected,omitempty"`
	Actual   string    `json:"actual,omitempty"`
	Lesson   string    `json:"lesson,omitempty"`
	Replay   string    `json:"replay,omitempty"` // the command that runs the failing case again
	Receipts []Receipt `json:"receipts,omitempty"`

	Title     string    `json:"title,omitempty"`
	Rationale string    `json:"rationale,omitempty"` // what this task is to prove, from the lab's front matter
	After     []string  `json:"after,omitempty"`
	Seed      uint64    `json:"seed,omitempty"`     // the first seed that showed the verdict
	Seeds     int       `json:"seeds,omitempty"`    // how many runs this task was judged on
	Excerpt   []string  `json:"excerpt,omitempty"`  // the shortest history that shows it, a line each
	Diagram   string    `json:"diagram,omitempty"`  // the same as a space-time diagram in text
	SVG       string    `json:"svg,omitempty"`      // the same as a picture
	Scenario  string    `json:"scenario,omitempty"` // of the run that is explained
	Shrunk    *Shrunk   `json:"shrunk,omitempty"`   // what is shown is a shorter run than the one that failed
	Unshrunk  *Unshrunk `json:"unshrunk,omitempty"` // what is shown is the run that failed, and the search for a shorter one was ended

	credit float64
}

// Run is one run that a result rests on.
type Run struct {
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed"`
	Hash     string `json:"hash,omitempty"` // of the simulator's event log; equal hashes mean the same run
	Millis   int64  `json:"ms"`
}

// Submission says what was graded, so that a replay can tell whether it is still the same.
type Submission struct {
	Dir    string `json:"dir,omitempty"`
	Name   string `json:"name"` // what to call it in messages: a folder, "solution", "mutant lost-write"
	Digest string `json:"digest"`
}

// Result is the grade of one submission of one lab. The JSON names of the first block are relied on outside
// the project.
type Result struct {
	Lab       string  `json:"lab"`
	Verdict   Verdict `json:"verdict"`
	Score     int     `json:"score"`
	Max       int     `json:"max"`
	Seed      uint64  `json:"seed"`
	Isolation string  `json:"isolation"` // what stood between the submission's code and this machine
	Tasks     []Task  `json:"tasks"`

	Title   string `json:"title,omitempty"`
	Kind    string `json:"kind"`
	Version string `json:"version"` // of netsplit
	// Build names the very program that graded, when a class was: one version can have had several.
	Build      string     `json:"build,omitempty"`
	Submission Submission `json:"submission"`
	Seeds      int        `json:"seeds"`  // how many seeds were asked for
	Millis     int64      `json:"ms"`     // wall time of the grading
	LagMillis  int64      `json:"lag_ms"` // the longest the grader itself was kept from running
	// Budgets names the budgets in real time that ran out, in words. What rests on such a run is inconclusive.
	Budgets []string `json:"budgets,omitempty"`
	// Problem is what kept the submission from being run at all (it does not compile, a file is missing); every
	// task then has failed for that reason.
	Problem string `json:"problem,omitempty"`
	// Stopped says why the submission's script or program ended before its time, if it did.
	Stopped string `json:"stopped,omitempty"`
	Output  string `json:"output,omitempty"` // the last of what the submission printed, as data
	// Standing says how often the lab's own solution was graded and what it got: how far a verdict can be trusted.
	Standing string `json:"standing,omitempty"`
	Runs     []Run  `json:"runs,omitempty"`
}

// Settle skips the tasks whose prerequisites did not pass, sets every task's score from its verdict, and
// derives the result's verdict and score: fail if any task failed, else inconclusive if any was, else pass.
// Tasks must stand after those they build on.
func (r *Result) Settle() {
	passed := map[string]bool{}
	r.Score, r.Max, r.Verdict = 0, 0, Pass
	inconclusive := false
	for i := range r.Tasks {
		t := &r.Tasks[i]
		for _, parent := range t.After {
			if !passed[parent] {
				*t = Task{Name: t.Name, Title: t.Title, Max: t.Max, After: t.After, Lesson: t.Lesson, Verdict: Skipped,
					Why: fmt.Sprintf("not judged, because %q has not passed", parent)}
				break
			}
		}
		t.Score = 0
		switch t.Verdict {
		case Pass:
			t.Score, passed[t.Name] = t.Max, true
		case Fail:
			r.Verdict = Fail
			t.Score = min(t.Max-1, int(float64(t.Max)*t.credit))
		case Skipped: // the parent's verdict counts
		default:
			t.Verdict, inconclusive = Inconclusive, true
		}
		r.Score += t.Score
		r.Max += t.Max
	}
	if inconclusive && r.Verdict == Pass {
		r.Verdict = Inconclusive
	}
}

// Judge is a pure check over one history.
type Judge func(h *history.History) Finding

// Passed is the finding of a check with nothing to complain about.
func Passed(receipts ...Receipt) Finding { return Finding{Verdict: Pass, Receipts: receipts} }

// Failed says what went wrong; evidence are the operations that show it.
func Failed(why, expected, actual string, evidence ...int) Finding {
	return Finding{Verdict: Fail, Why: why, Expected: expected, Actual: actual, Evidence: evidence}
}

// Unclear is for a run that proves nothing either way.
func Unclear(why string, receipts ...Receipt) Finding {
	return Finding{Verdict: Inconclusive, Why: why, Receipts: receipts}
}

// All gives the first finding that fails, else the first that is inconclusive, else a pass with the receipts
// of all.
func All(checks ...Judge) Judge {
	return func(h *history.History) Finding {
		sum := Passed()
		for _, check := range checks {
			f := check(h)
			switch {
			case f.Verdict == Fail:
				return f
			case f.Verdict != Pass && sum.Verdict == Pass:
				f.Receipts = append(sum.Receipts, f.Receipts...)
				sum = f
			default:
				sum.Receipts = append(sum.Receipts, f.Receipts...)
				if sum.Verdict == Pass && len(sum.Evidence) == 0 {
					sum.Why, sum.Evidence = f.Why, f.Evidence
				}
			}
		}
		return sum
	}
}

// Bit turns a finding that rests on faults into an inconclusive one when a receipt says that its fault did not
// bite. A failure stays one: what went wrong went wrong with or without the fault.
func (f Finding) Bit() Finding {
	if f.Verdict != Pass {
		return f
	}
	for _, r := range f.Receipts {
		if !r.Bit {
			return Unclear(fmt.Sprintf("the fault %q had no effect on this run (%s), so it proves nothing", r.Fault, r.Evidence), f.Receipts...)
		}
	}
	return f
}

// ms prints a moment of a run as the diagrams do: milliseconds, from a second on seconds.
func ms(d time.Duration) string {
	switch {
	case d == history.Open:
		return "never"
	case d >= time.Second:
		return fmt.Sprintf("%.3f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
