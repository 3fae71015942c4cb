package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// period is a time in which everything must be in its place: each worker once on some of the nodes, and evenly.
type period struct {
	from, to time.Duration
	nodes    []kit.NodeName
	since    string // "after b was killed": what had happened, for the explanation
}

// judge looks at all looks of the period.
func (p period) judge(all []look) grade.Finding {
	seen := between(all, p.from, p.to)
	if len(seen) < 3 {
		return grade.Unclear("the nodes were hardly looked at in that time")
	}
	for _, l := range seen {
		if f := p.once(l); f.Verdict != grade.Pass {
			return f
		}
		least, most := workers, 0
		for _, n := range p.nodes {
			least, most = min(least, len(l.runs[n])), max(most, len(l.runs[n]))
		}
		if most-least > 1 {
			return grade.Failed(fmt.Sprintf("%s, the workers are not spread evenly", p.since), p.even(), l.spread(p.nodes), l.evidence(p.nodes)...)
		}
	}
	return grade.Passed()
}

// once wants each worker to run on one of the nodes.
func (p period) once(l look) grade.Finding {
	var missing, double, where []string
	var ids []int
	for _, w := range allWorkers() {
		switch on := l.on(w, p.nodes); {
		case len(on) == 0:
			missing = append(missing, w)
		case len(on) > 1:
			double = append(double, w)
			if len(double) <= shown {
				where = append(where, fmt.Sprintf("%s on %s", w, names(on)))
			}
			for _, id := range l.evidence(on) {
				if !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
		}
	}
	want := fmt.Sprintf("each worker on one of %s", names(p.nodes))
	switch {
	case len(missing) > 0:
		return grade.Failed(fmt.Sprintf("%s, %s %s nowhere", p.since, some(missing), verb(missing, "runs", "run")), want,
			fmt.Sprintf("%s, %d nowhere", l.spread(p.nodes), len(missing)), l.evidence(p.nodes)...)
	case len(double) > 0:
		return grade.Failed(fmt.Sprintf("%s, %s %s more than once", p.since, some(double), verb(double, "runs", "run")), want,
			strings.Join(where, "; ")+more(double), ids...)
	}
	return grade.Passed()
}

// shown is how many workers an explanation names; of the others it gives the number.
const shown = 3

// some names a few of the workers: "worker_1, worker_2 and worker_3", "worker_1, worker_2, worker_3 and 7 others".
func some(list []string) string {
	switch n := len(list); {
	case n == 1:
		return list[0]
	case n <= shown:
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	case n == shown+1:
		return strings.Join(list[:shown], ", ") + " and another"
	default:
		return fmt.Sprintf("%s and %d others", strings.Join(list[:shown], ", "), n-shown)
	}
}

func more(list []string) string {
	if n := len(list) - shown; n > 0 {
		return fmt.Sprintf("; and %d more", n)
	}
	return ""
}

func verb(list []string, one, many string) string {
	if len(list) == 1 {
		return one
	}
	return many
}

// even says how many workers a node may have.
func (p period) even() string {
	least := workers / len(p.nodes)
	if workers%len(p.nodes) == 0 {
		return fmt.Sprintf("%d on each of %s", least, names(p.nodes))
	}
	return fmt.Sprintf("%d or %d on each of %s", least, least+1, names(p.nodes))
}

// after says in words how long after what a period begins.
func after(d time.Duration, what string) string { return fmt.Sprintf("%v after %s", d, what) }

// pids reads who asked "whereis" last in a time: which process was which worker on a node.
func pids(h *history.History, who string) map[string]history.Op {
	found := map[string]history.Op{}
	for _, o := range h.Ops {
		if o.Client != who || o.Verb != "whereis" {
			continue
		}
		if _, ok := pidOf(o); ok {
			found[nameIn(o)] = o
		}
	}
	return found
}

// nameIn is the name that was asked for.
func nameIn(o history.Op) string {
	a, _ := o.Args[0].(term.Atom)
	return string(a)
}

func pidOf(o history.Op) (term.Pid, bool) {
	t, err := o.Outcome.Term()
	pid, ok := t.(term.Pid)
	return pid, ok && err == nil
}

// alone wants those workers of which first and later both tell to be the same processes; but not those that may differ.
// Operations of cause say what happened in between.
func alone(first, later map[string]history.Op, but []string, since string, cause ...int) grade.Finding {
	for _, w := range allWorkers() {
		a, known := first[w]
		if !known || slices.Contains(but, w) {
			continue
		}
		before, _ := pidOf(a)
		b, still := later[w]
		if !still {
			return grade.Failed(fmt.Sprintf("%s ran on %s and did not have to move, but %s it runs elsewhere or not at all", w, a.Node, since),
				"the same process on "+string(a.Node), "no such process there", evidence(a.ID, cause)...)
		}
		now, _ := pidOf(b)
		if now.Node != before.Node {
			return grade.Failed(fmt.Sprintf("%s ran on %s and did not have to move, but %s it runs on %s", w, a.Node, since, now.Node),
				"the same process: "+term.String(before), term.String(now), evidence(a.ID, cause, b.ID)...)
		}
		if now != before {
			return grade.Failed(fmt.Sprintf("%s ran on %s and was not concerned, but %s it is another process", w, a.Node, since),
				"the same process: "+term.String(before), term.String(now), evidence(a.ID, cause, b.ID)...)
		}
	}
	return grade.Passed()
}

// evidence puts what happened in between behind what was before.
func evidence(before int, between []int, later ...int) []int {
	return slices.Concat([]int{before}, between, later)
}
