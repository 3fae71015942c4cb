package nodedisconnection

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

var both = []kit.NodeName{"a", "b"}

// parts fits a disconnection by hand that ended a connection.
func parts(m grade.Moment) bool {
	return grade.Verb("", "disconnect")(m) && string(m.Op.Outcome.Value) == "true"
}

// joins fits what connects on purpose.
func joins(m grade.Moment) bool {
	if m.Op == nil || m.Op.Outcome.Status != "ok" {
		return false
	}
	v := string(m.Op.Outcome.Value)
	return m.Op.Verb == "connect" && v == "true" || m.Op.Verb == "ping" && v == `"pong"`
}

// first finds the first moment that fits and began at or after a time.
func first(h *history.History, from time.Duration, fits func(grade.Moment) bool) (grade.Moment, bool) {
	moments := grade.Moments(h)
	i := slices.IndexFunc(moments, func(m grade.Moment) bool { return m.From >= from && fits(m) })
	if i < 0 {
		return grade.Moment{}, false
	}
	return moments[i], true
}

// byHand is the part of the work before the first mishap: whatever is told later may have that for its cause.
func byHand(h *history.History) *history.History {
	work := h.During(history.Work)
	i := slices.IndexFunc(work.Ops, func(o history.Op) bool { return o.Client == client })
	if i < 0 {
		return work
	}
	end := work.Ops[i].Begin
	faults := slices.Clone(work.Faults)
	return &history.History{Ops: work.Ops[:i], Faults: slices.DeleteFunc(faults, func(f history.Fault) bool { return f.At >= end }), End: end}
}

// told finds the first event of a kind that a node told the script about the other, at or after a time.
func told(h *history.History, n kit.NodeName, kind string, from time.Duration) (history.Event, bool) {
	for _, e := range h.Events() {
		if e.Node == n && e.Kind == kind && e.About == string(other(n)) && e.At >= from {
			return e, true
		}
	}
	return history.Event{}, false
}

// down wants a disconnection by hand that parted accepts.
func down(h *history.History) grade.Finding { return attempts(byHand(h), parted) }

// up wants one that rejoined accepts.
func up(h *history.History) grade.Finding { return attempts(byHand(h), rejoined) }

// attempts judges each disconnection by hand, until one is accepted; otherwise the last one counts.
func attempts(work *history.History, judge func(*history.History, history.Op) grade.Finding) grade.Finding {
	f := grade.Failed("nobody disconnected the nodes by hand", "a.disconnect(b), or b.disconnect(a)", "no such request that ended a connection")
	for _, m := range grade.Moments(work) {
		if parts(m) {
			if f = judge(work, *m.Op); f.Verdict == grade.Pass {
				break
			}
		}
	}
	return f
}

// parted wants nodedown told by both nodes after a disconnection, and both lists seen empty before anybody connects again.
func parted(work *history.History, cut history.Op) grade.Finding {
	f := grade.Passed()
	f.Evidence = []int{cut.ID}
	for _, n := range both {
		e, ok := told(work, n, "nodedown", cut.Begin)
		if !ok {
			return silence(work, n, "nodedown", "the nodes were disconnected", cut)
		}
		f.Evidence = append(f.Evidence, e.OpID)
	}
	until := work.End
	if join, ok := first(work, cut.End, joins); ok {
		until = join.From
	}
	for _, n := range both {
		look, ok := first(work, cut.Begin, grade.Lists(n))
		if !ok || look.From >= until {
			return grade.Failed(fmt.Sprintf("nobody saw the empty list of %s while the nodes were parted", n), fmt.Sprintf("[] as the answer of %s.nodes()", n),
				"no such answer between the disconnection and the next connection", cut.ID)
		}
		f.Evidence = append(f.Evidence, look.Op.ID)
	}
	return f
}

// silence says that a node did not tell of an event after something, and why that may be.
func silence(h *history.History, n kit.NodeName, kind, what string, after history.Op) grade.Finding {
	actual := fmt.Sprintf("%s did not tell it", n)
	switch subscribed, ok := first(h, 0, func(m grade.Moment) bool { return subscribes(m, n) }); {
	case !ok:
		actual = fmt.Sprintf("nobody subscribed on %s: %s.monitor_nodes(True)", n, n)
	case subscribed.From > after.Begin:
		actual = fmt.Sprintf("the subscription on %s came only after that; what had happened before is not told again", n)
	}
	return grade.Failed(fmt.Sprintf("%s was not seen on %s after %s", kind, n, what), fmt.Sprintf("%s, told by %s", kind, n), actual, after.ID)
}

func subscribes(m grade.Moment, n kit.NodeName) bool {
	if m.Op == nil || m.Op.Node != n {
		return false
	}
	name, _ := grade.Act(*m.Op)
	return strings.HasPrefix(name, "monitor_nodes")
}

// rejoined wants the nodes connected again by hand after a disconnection, nodeup told by both after that, and each in the
// other's list.
func rejoined(work *history.History, cut history.Op) grade.Finding {
	join, ok := first(work, cut.End, joins)
	if !ok {
		actual := "nobody did"
		if _, healed := first(work, cut.End, func(m grade.Moment) bool { return m.Fault != nil && m.Fault.What == "heal" }); healed {
			actual = "the links were healed, but no link was cut: a disconnection by hand lasts until somebody connects"
		}
		return grade.Failed("nobody connected the nodes again", "a.connect(b), or b.connect(a)", actual, cut.ID)
	}
	f := grade.Passed()
	f.Evidence = []int{cut.ID, join.Op.ID}
	for _, n := range both {
		e, ok := told(work, n, "nodeup", join.From)
		if !ok {
			return silence(work, n, "nodeup", "the nodes were connected again", *join.Op)
		}
		look, ok := first(work, join.From, grade.Lists(n, other(n)))
		if !ok {
			return grade.Failed(fmt.Sprintf("nobody saw %s in the list of %s again", other(n), n), fmt.Sprintf("[%s] as the answer of %s.nodes()", other(n), n),
				"no such answer after the connection", join.Op.ID)
		}
		f.Evidence = append(f.Evidence, e.OpID, look.Op.ID)
	}
	return f
}

// judge wants every mishap named, on the strength of what both nodes reported, and the nodes together in the end.
func (f *fate) judge(h *history.History) grade.Finding {
	var begun []history.Op // each mishap begins with a look at b, the second of the two
	work := h.During(history.Work)
	for _, o := range work.Ops {
		if o.Client == client && o.Verb == "nodes" && o.Node == "b" && string(o.Outcome.Value) == `["a"]` {
			begun = append(begun, o)
		}
	}
	if len(begun) < len(f.order) {
		return grade.Failed("there were fewer mishaps than four", "mishap() called four times", fmt.Sprintf("%d times", len(begun)))
	}
	for _, n := range both {
		if got := reasons(work, n, begun[0].Begin); got < len(begun) {
			return grade.Failed(fmt.Sprintf("the reasons were not read on %s, so the answer can only be a guess", n),
				fmt.Sprintf("a nodedown with its reason on %s for each of the %d mishaps", n, len(begun)), fmt.Sprintf("%d of them", got))
		}
	}
	var want []string
	for i := range begun {
		want = append(want, f.order[i%len(f.order)])
	}
	finding := grade.Answer("mishaps", strings.Join(want, ", "), func(v term.Term) string { return compare(v, want) })(h)
	if finding.Verdict != grade.Pass {
		return finding
	}
	for _, n := range both {
		look, ok := first(h.During(history.Observe), 0, grade.Lists(n, other(n)))
		if !ok {
			return grade.Failed("the last mishap was not mended", fmt.Sprintf("%s in the list of %s at the end", other(n), n), "it is not there")
		}
		finding.Evidence = append(finding.Evidence, look.Op.ID)
	}
	return finding
}

// reasons counts the losses that a node told the script of with their reason.
func reasons(h *history.History, n kit.NodeName, from time.Duration) int {
	count := 0
	for _, e := range h.Events() {
		var more struct{ Info json.RawMessage }
		if e.Node == n && e.Kind == "nodedown" && e.At >= from && json.Unmarshal(e.Raw, &more) == nil && more.Info != nil {
			count++
		}
	}
	return count
}

// compare says where an answer differs from what happened.
func compare(v term.Term, want []string) string {
	list, ok := v.(term.List)
	if !ok || len(list) != len(want) {
		return fmt.Sprintf("the answer is no list of %d words", len(want))
	}
	for i, x := range list {
		if grade.Word(x) != want[i] {
			return fmt.Sprintf("mishap %d was another one", i+1)
		}
	}
	return ""
}
