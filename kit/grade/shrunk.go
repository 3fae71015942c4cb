package grade

import (
	"fmt"
	"strings"
)

// Shrunk says that a failed task is explained with a shorter run than the one that was found to fail: a part of its requests and
// faults with the same seed, which fails the same way. The verdict rests on the original.
type Shrunk struct {
	From Size   `json:"from"`
	To   Size   `json:"to"`
	Runs int    `json:"runs"`           // how many shorter runs were tried
	Cut  string `json:"cut,omitempty"`  // what ended the search before its end: CutRuns, CutTime or CutAsked
	Hash string `json:"hash,omitempty"` // of the shorter run's event log
	Kept Kept   `json:"kept"`
}

// What ends a search for a shorter run before its end.
const (
	CutRuns = "runs"
	CutTime = "time"
	// CutAsked is a search that was interrupted by whoever waited for it.
	CutAsked = "asked"
)

// cutTold says what ended a search.
func cutTold(cut string) string {
	if cut == CutAsked {
		return "interrupted"
	}
	return "out of " + cut
}

// Unshrunk says that a shorter run was looked for and that the search ended, out of runs, out of time or interrupted, before it found one.
type Unshrunk struct {
	Runs int    `json:"runs"` // how many shorter runs were tried
	Cut  string `json:"cut"`
}

// Story says in a line what is shown.
func (u *Unshrunk) Story() string {
	switch {
	case u.Runs == 0 && u.Cut == CutAsked:
		return "the run that failed; the search for a shorter one was interrupted"
	case u.Runs == 0:
		return "the run that failed; no time was left to look for a shorter one"
	case u.Runs == 1:
		return "the run that failed; the one shorter one that was tried does not fail the same way, and the search was then " + cutTold(u.Cut)
	}
	return fmt.Sprintf("the run that failed; none of %d shorter ones fails the same way, and the search was then %s", u.Runs, cutTold(u.Cut))
}

// Size is how much happens in a run while clients work. A fault that hits several links at one moment counts once.
type Size struct {
	Ops     int `json:"ops"`
	Faults  int `json:"faults"`
	Clients int `json:"clients"`
	Nodes   int `json:"nodes"`
}

// Kept says what a shorter run has of its original's work, so that it can be run again: requests by client, and orders to break
// or mend by what they act on.
type Kept struct {
	Requests []KeptNumbers `json:"requests,omitempty"`
	Faults   []KeptNumbers `json:"faults,omitempty"`
	Without  []string      `json:"without,omitempty"` // nodes that it does without
}

// KeptNumbers are the requests of one client, or the orders with one target ("link a b", "process c"), counted from 1 in the
// order of the original run and written as in "1,4-6".
type KeptNumbers struct {
	Of      string `json:"of"`
	Numbers string `json:"numbers"`
}

// Story says in a line what is shown.
func (s *Shrunk) Story() string {
	var of []string
	add := func(to, from int, one, many string) {
		if from == 0 {
			return
		}
		name := many
		if to == 1 {
			name = one
		}
		of = append(of, fmt.Sprintf("%d %s of %d", to, name, from))
	}
	add(s.To.Ops, s.From.Ops, "request", "requests")
	add(s.To.Faults, s.From.Faults, "fault", "faults")
	if s.To.Nodes < s.From.Nodes {
		add(s.To.Nodes, s.From.Nodes, "node", "nodes")
	}
	text := fmt.Sprintf("the shortest run found that fails the same way: %s (%d tried", strings.Join(of, ", "), s.Runs)
	if s.Cut != "" {
		text += fmt.Sprintf("; %s, so there may be a shorter one", cutTold(s.Cut))
	}
	return text + ")"
}
