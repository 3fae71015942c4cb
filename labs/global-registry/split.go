package globalregistry

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// clash is the name given away on both sides of a cut.
type clash struct {
	left, right holding // right is on c
	span        history.Span
}

func (k clash) pids() []term.Pid { return []term.Pid{k.left.pid, k.right.pid} }

// by reports whether both holders were registered with a resolver.
func (k clash) by(resolver string) bool {
	return k.left.resolver == resolver && k.right.resolver == resolver
}

// apart gives the times during which c was cut off from a and from b, both ways.
func apart(h *history.History) []history.Span {
	spans := []history.Span{{From: 0, To: history.Open}}
	for _, link := range [][2]kit.NodeName{{"a", "c"}, {"c", "a"}, {"b", "c"}, {"c", "b"}} {
		var both []history.Span
		for _, s := range spans {
			for _, t := range h.Cuts(link[0], link[1]) {
				one := history.Span{From: max(s.From, t.From), To: earlier(s.To, t.To)}
				if one.To == history.Open || one.To > one.From {
					both = append(both, one)
				}
			}
		}
		spans = both
	}
	return spans
}

func earlier(a, b time.Duration) time.Duration {
	if a == history.Open || b != history.Open && b < a {
		return b
	}
	return a
}

// clashes lists the cuts in which the name was given away on both sides. Of several holders of one side the last counts.
func (m *market) clashes(h *history.History) []clash {
	var list []clash
	for _, s := range apart(h.During(history.Work)) {
		k := clash{span: s}
		for _, hold := range m.holdings(h) {
			switch {
			case hold.op.Begin < s.From || s.To != history.Open && hold.op.End > s.To:
			case hold.pid.Node == "c":
				k.right = hold
			default:
				k.left = hold
			}
		}
		if k.left.op.ID > 0 && k.right.op.ID > 0 {
			list = append(list, k)
		}
	}
	return list
}

// clashed wants one name with two holders, the shop at work on both sides, and the links whole again.
func (m *market) clashed(h *history.History) grade.Finding {
	f := grade.Failed("the name never had two holders", "global_register answered yes on both sides while c was cut off from a and from b", m.sides(h))
	for _, k := range m.clashes(h) {
		f = m.bitten(h, k)
		if f.Verdict == grade.Pass {
			break
		}
	}
	return f
}

// sides tells what there was instead of a clash.
func (m *market) sides(h *history.History) string {
	work := h.During(history.Work)
	switch spans := apart(work); {
	case len(work.Cuts("a", "c"))+len(work.Cuts("b", "c")) == 0:
		return "no link of c was cut"
	case len(spans) == 0:
		return "c could still reach one of the others, and with it the name"
	}
	return "the name was registered on one side at most"
}

func (m *market) bitten(h *history.History, k clash) grade.Finding {
	evidence := []int{k.left.op.ID, k.right.op.ID}
	if k.span.To == history.Open {
		return grade.Failed("the links were never healed, so the two holders never met", "heal()", "c was cut off to the end", evidence...)
	}
	sold := [2]int{}
	for i, pid := range k.pids() {
		for _, b := range m.bookings(h) {
			if b.op.Client == client && b.to == pid && b.op.Begin > k.span.From && b.op.End < k.span.To {
				sold[i]++
			}
		}
		if sold[i] == 0 {
			return grade.Failed("the shop sold nothing on one side of the cut, so there is nothing to lose there", "sales() after both have the name and before the heal",
				"no sale booked in "+term.String(pid), evidence...)
		}
	}
	// That one name was given away twice is what no whole network lets happen.
	f := grade.Passed(grade.Receipt{Fault: "cut a, b | c", Bit: true, Evidence: fmt.Sprintf("for %d ms; both sides gave the name away; %d sales booked on one side, %d on the other",
		(k.span.To - k.span.From).Milliseconds(), sold[0], sold[1])})
	f.Evidence = evidence
	return f
}

// resolved wants the loser's DOWN to have been seen, and every node to know the one that has kept the name.
func (m *market) resolved(h *history.History) grade.Finding {
	f := grade.Failed("no clash was left to the default resolver", "two holders registered with random_exit, the default", "none")
	for _, k := range m.clashes(h) {
		if k.by("random_exit") && k.span.To != history.Open {
			f = m.survived(h, k)
			if f.Verdict == grade.Pass {
				break
			}
		}
	}
	if forged := grade.Genuine(h); forged.Verdict != grade.Pass {
		return forged
	}
	return f
}

func (m *market) survived(h *history.History, k clash) grade.Finding {
	until := m.until(h, later(k.left.op, k.right.op))
	for i, loser := range k.pids() {
		winner := k.pids()[1-i]
		down, reason, id := downOf(h, loser, k.span.To, until)
		switch {
		case !down:
			continue
		case reason != "killed":
			why := "the loser was watched only when the clash was over, and then nobody knows any more how it ended"
			if reason == "noconnection" {
				why = "the loser was watched from the other side of the cut, so what came is the cut and not its end"
			}
			return grade.Failed(why, "DOWN with the reason killed", fmt.Sprintf("DOWN with the reason %s", reason), id)
		}
		if o, byHand := m.ended(h, loser, k.left.op.Begin, until); byHand {
			return grade.Failed("the script ended that process itself", "the resolver kills one of the two", "an exit by hand", o.ID, id)
		}
		f := m.known(h, nodes, k.span.To, until, winner)
		f.Evidence = append([]int{id}, f.Evidence...)
		return f
	}
	return grade.Failed("one of the two holders was killed after the heal, and nobody has seen it", "DOWN with the reason killed in a mailbox",
		"no DOWN of either after the heal", k.left.op.ID, k.right.op.ID)
}

func later(a, b history.Op) history.Op {
	if a.Begin > b.Begin {
		return a
	}
	return b
}

// downOf finds the first DOWN of a process that the script took out of a mailbox between two moments.
func downOf(h *history.History, pid term.Pid, from, to time.Duration) (ok bool, reason string, op int) {
	for _, e := range h.During(history.Work).Events() {
		var raw struct{ Reason, Who json.RawMessage }
		if e.Kind != "DOWN" || e.At < from || e.At > to || e.Client == client || json.Unmarshal(e.Raw, &raw) != nil {
			continue
		}
		if who, err := term.FromJSON(raw.Who); err != nil || !term.Equal(who, pid) {
			continue
		}
		return true, strings.Trim(string(raw.Reason), `"`), e.OpID
	}
	return false, "", 0
}

// merged wants a clash that both processes survived, the loser told, and one till in the end that has all the money.
func (m *market) merged(h *history.History) grade.Finding {
	all := m.clashes(h)
	i := slices.IndexFunc(all, func(k clash) bool { return k.by("random_notify") && k.span.To != history.Open })
	if i < 0 {
		return grade.Failed("no clash was left to random_notify", "two holders registered with random_notify, on both sides of a cut that was healed", "none")
	}
	k := all[i]
	if f := m.bitten(h, k); f.Verdict != grade.Pass {
		return f
	}
	if f := grade.Genuine(h); f.Verdict != grade.Pass {
		return f
	}
	told := m.told(h, k)
	if told.Verdict != grade.Pass {
		return told
	}
	f := m.counted(h, k)
	if f.Verdict == grade.Pass {
		f.Evidence = slices.Concat([]int{k.left.op.ID, k.right.op.ID}, told.Evidence, f.Evidence)
	}
	return f
}

// told wants to have seen that one of the two got the message: what the function counter does not know it writes out.
func (m *market) told(h *history.History, k clash) grade.Finding {
	for _, o := range h.During(history.Work).Ops {
		if o.Verb != "output" || o.Outcome.Status != door.OK || o.Client == client {
			continue
		}
		v, err := o.Outcome.Term()
		out, ok := v.(term.Map)
		if err != nil || !ok {
			continue
		}
		lines, _ := out.Opt("lines").(term.List)
		for _, l := range lines {
			t, ok := l.(term.Tuple)
			if !ok || len(t) != 2 || o.End < k.span.To {
				continue
			}
			pid, _ := t[0].(term.Pid)
			text, _ := t[1].(term.Bin)
			if slices.Contains(k.pids(), pid) && strings.Contains(string(text), "global_name_conflict") {
				f := grade.Passed()
				f.Evidence = []int{o.ID}
				return f
			}
		}
	}
	return grade.Failed("the loser was told that it has lost the name, and nobody has seen it", "a line with global_name_conflict in the output of its node",
		"no such line was read", k.left.op.ID, k.right.op.ID)
}

// counted wants every node to name one of the two in the end, and that one to have what was sold on both sides.
func (m *market) counted(h *history.History, k clash) grade.Finding {
	var holder term.Pid
	var evidence []int
	for _, o := range h.During(history.Observe).Ops {
		if o.Verb != "global_whereis" {
			continue
		}
		pid, _ := grade.Pid(o)
		evidence = append(evidence, o.ID)
		if !slices.Contains(k.pids(), pid) || holder.Node != "" && holder != pid {
			return grade.Failed("the nodes do not agree on one of the two tills in the end", fmt.Sprintf("%s on every node", either(k)),
				fmt.Sprintf("%s says %s", o.Node, grade.AnswerText(o)), evidence...)
		}
		holder = pid
	}
	want := int64(0)
	for _, b := range m.bookings(h) {
		if b.op.Client == client && slices.Contains(k.pids(), b.to) {
			want += b.amount
		}
	}
	for _, msg := range h.During(history.Observe).Messages() {
		t, ok := msg.Value.(term.Tuple)
		if !ok || len(t) != 2 || grade.Word(t[0]) != "count" {
			continue
		}
		if !term.Equal(t[1], term.Int(want)) {
			return grade.Failed("the till that has the name does not have what was sold on both sides", fmt.Sprintf("a total of %d", want),
				"a total of "+term.String(t[1]), append(evidence, msg.OpID)...)
		}
		f := grade.Passed()
		f.Evidence = append(evidence, msg.OpID)
		return f
	}
	return grade.Failed("the till that has the name in the end does not answer", fmt.Sprintf("a total of %d", want), "no answer", evidence...)
}

func either(k clash) string { return term.String(k.left.pid) + " or " + term.String(k.right.pid) }
