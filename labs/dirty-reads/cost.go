package dirtyreads

import (
	"fmt"
	"math"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

func nodeName(s string) kit.NodeName { return kit.NodeName(s) }

// measured is what the node answered to one measurement: nanoseconds an operation.
type measured struct {
	id    int
	nanos float64
}

// measurements gives the last measurement of each kind of activity with the given operation. The node ran it and
// took the time itself, so the figure holds the store's work and not the way to it.
func measurements(h *history.History, op string) map[string]measured {
	found := map[string]measured{}
	for _, o := range h.Ops {
		if o.Verb != "measure" || o.Outcome.Status != "ok" || len(o.Args) < 3 {
			continue
		}
		kind, _ := o.Args[0].(term.Atom)
		times, _ := o.Args[2].(term.Int)
		if firstOp(o.Args[1]) != op || times < leastTimes {
			continue
		}
		total, err := term.FromJSON(o.Outcome.Value)
		if n, ok := total.(term.Int); err == nil && ok && n > 0 {
			found[string(kind)] = measured{id: o.ID, nanos: float64(n) / float64(times)}
		}
	}
	return found
}

// firstOp names the operation of a list of exactly one.
func firstOp(ops term.Term) string {
	list, ok := ops.(term.List)
	if !ok || len(list) != 1 {
		return ""
	}
	step, ok := list[0].(term.List)
	if !ok || len(step) == 0 {
		return ""
	}
	name, _ := step[0].(term.Atom)
	return string(name)
}

// cost wants both ratios measured in this very run, and the answers to be what the measurements say.
func cost(h *history.History) grade.Finding {
	work := h.During(history.Work)
	return grade.All(
		ratio(work, "read", "read_ratio"),
		ratio(work, "write", "write_ratio"))(work)
}

func ratio(h *history.History, op, answer string) grade.Judge {
	return func(*history.History) grade.Finding {
		m := measurements(h, op)
		dirty, tx := m["async_dirty"], m["transaction"]
		switch {
		case dirty.nanos == 0:
			return grade.Failed("the dirty "+op+" was not measured", measureHint("async_dirty", op), "no such measurement")
		case tx.nanos == 0:
			return grade.Failed("the "+op+" in a transaction was not measured", measureHint("transaction", op), "no such measurement")
		}
		want := tx.nanos / dirty.nanos
		given, ok := h.Note(answer)
		if !ok {
			return grade.Failed(fmt.Sprintf("the script gave no answer %q", answer), fmt.Sprintf("answer(%q, ...)", answer), "nothing", dirty.id, tx.id)
		}
		got, ok := number(given)
		if !ok || math.Abs(got-want) > want/10 {
			return grade.Failed(fmt.Sprintf("%s is not what this run measured", answer),
				fmt.Sprintf("%.0f ns / %.0f ns = %.1f, give or take a tenth", tx.nanos, dirty.nanos, want), term.String(given), dirty.id, tx.id)
		}
		f := grade.Passed()
		f.Why = fmt.Sprintf("here a %s in a transaction costs %.1f dirty ones", op, want)
		return f
	}
}

func measureHint(kind, op string) string {
	return fmt.Sprintf("a.db.measure(%q, %q, ..., times=%d) or more times", kind, op, leastTimes)
}

func number(t term.Term) (float64, bool) {
	switch n := t.(type) {
	case term.Int:
		return float64(n), true
	case term.Float:
		return float64(n), true
	}
	return 0, false
}
