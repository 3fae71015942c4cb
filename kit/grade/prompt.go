package grade

import (
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/history"
)

// Prompt demands that every request of some verbs was answered within a time, be it with an error: who asks must not be
// left waiting. A request to a node that was down or paused meanwhile is excused.
type Prompt struct {
	Verbs []string
	Limit time.Duration
}

// Answered is the check.
func (p Prompt) Answered(h *history.History) Finding {
	for _, o := range h.Ops {
		if !slices.Contains(p.Verbs, o.Verb) {
			continue
		}
		end, actual := o.End, ""
		switch {
		case end == history.Open || o.Outcome.Status == "lost":
			actual = "no answer"
			if end == history.Open {
				end = h.End
			}
		default:
			actual = fmt.Sprintf("%s after %s", answer(o), (end - o.Begin).Round(time.Millisecond))
		}
		if end-o.Begin <= p.Limit || Absent(h, o.Node, o.Begin, end) {
			continue
		}
		return Failed(fmt.Sprintf("a request on %s was left waiting", o.Node), fmt.Sprintf("an answer or an error within %v", p.Limit), actual, o.ID)
	}
	return Passed()
}

// Absent reports whether a node was down or paused at some moment between from and to.
func Absent(h *history.History, node kit.NodeName, from, to time.Duration) bool {
	away := false
	for _, f := range h.Faults {
		if f.At > to {
			break
		}
		if f.Node != node || f.Err != "" || f.Part() != "node" {
			continue
		}
		switch f.What {
		case "kill", "pause", "poweroff":
			away = true
			if f.At >= from {
				return true
			}
		case "restart", "resume":
			if away && f.At >= from {
				return true
			}
			away = false
		}
	}
	return away
}
