package conformance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verdict is what became of a step or a trace.
type Verdict string

// The verdicts. Info is a difference where Mnesia's own answer is an accident (the step has a quirk) or an order that
// nobody promises; Unsure a difference that may only follow from one before it, a step that could not be performed or a
// quirk that took another course; Free a step with nothing to compare.
const (
	Pass   Verdict = "pass"
	Fail   Verdict = "fail"
	NotYet Verdict = "not yet"
	Info   Verdict = "info"
	Unsure Verdict = "unsure"
	Free   Verdict = "free"
)

// StepResult says what became of a step. Number counts from 1.
type StepResult struct {
	Number  int             `json:"number"`
	Step    string          `json:"step"`
	Verdict Verdict         `json:"verdict"`
	Why     string          `json:"why,omitempty"`
	Want    json.RawMessage `json:"want,omitempty"`
	Got     json.RawMessage `json:"got,omitempty"`
}

// Result says what became of a trace in one world.
type Result struct {
	ID      string        `json:"id"`
	Topic   string        `json:"topic"`
	Title   string        `json:"title"`
	World   string        `json:"world"`
	Seed    uint64        `json:"seed"`
	Verdict Verdict       `json:"verdict"`
	Steps   []StepResult  `json:"steps"`
	Took    time.Duration `json:"took"` // of the world's clock
	Missing []string      `json:"missing,omitempty"`
}

// conclude gives the trace its verdict: fail when a step failed, else not yet when it needs what the product lacks,
// else info when a quirk sent it another way.
func (r *Result) conclude() {
	has := func(v Verdict) bool {
		return slices.ContainsFunc(r.Steps, func(s StepResult) bool { return s.Verdict == v })
	}
	switch {
	case has(Fail):
		r.Verdict = Fail
	case has(NotYet):
		r.Verdict = NotYet
	case has(Unsure):
		r.Verdict = Info
	default:
		r.Verdict = Pass
	}
}

// String gives the trace's verdict and the steps that did not pass.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-7s %s (%s, seed %d): %s", r.Verdict, r.ID, r.World, r.Seed, r.Title)
	for _, s := range r.Steps {
		if s.Verdict == Pass || s.Verdict == Free {
			continue
		}
		fmt.Fprintf(&b, "\n  step %d %s: %s", s.Number, s.Verdict, s.Step)
		if s.Why != "" {
			fmt.Fprintf(&b, "\n    %s", s.Why)
		}
		if len(s.Want) > 0 {
			fmt.Fprintf(&b, "\n    want %s", s.Want)
		}
		if len(s.Got) > 0 {
			fmt.Fprintf(&b, "\n    got  %s", s.Got)
		}
	}
	return b.String()
}

// Summary counts verdicts of traces and steps by world and topic, and lists what is missing.
func Summary(results []Result) string {
	type row struct{ pass, fail, notYet, other, steps, stepPass, stepFail, info int }
	rows, missing := map[[2]string]*row{}, map[string]int{}
	for _, r := range results {
		for _, topic := range []string{r.Topic, "~all"} {
			k := [2]string{r.World, topic}
			if rows[k] == nil {
				rows[k] = &row{}
			}
			c := rows[k]
			switch r.Verdict {
			case Pass:
				c.pass++
			case Fail:
				c.fail++
			case Info:
				c.other++
			default:
				c.notYet++
			}
			for _, s := range r.Steps {
				c.steps++
				switch s.Verdict {
				case Pass:
					c.stepPass++
				case Fail:
					c.stepFail++
				case Info:
					c.info++
				}
			}
		}
		for _, m := range r.Missing {
			missing[m]++
		}
	}
	keys := make([][2]string, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	var b strings.Builder
	fmt.Fprintf(&b, "%-6s %-14s %6s %6s %8s %6s   %s\n", "world", "topic", "pass", "fail", "not yet", "quirk", "steps: passed, failed, differing by a quirk, all")
	for _, k := range keys {
		c := rows[k]
		fmt.Fprintf(&b, "%-6s %-14s %6d %6d %8d %6d   %d, %d, %d, %d\n", k[0], strings.TrimPrefix(k[1], "~"), c.pass, c.fail, c.notYet, c.other, c.stepPass, c.stepFail, c.info, c.steps)
	}
	if len(missing) > 0 {
		names := make([]string, 0, len(missing))
		for m := range missing {
			names = append(names, m)
		}
		slices.SortFunc(names, func(x, y string) int { return cmp.Or(missing[y]-missing[x], cmp.Compare(x, y)) })
		b.WriteString("not yet known (traces that need it):")
		for _, n := range names {
			fmt.Fprintf(&b, " %s (%d)", n, missing[n])
		}
		b.WriteString("\n")
	}
	return b.String()
}
