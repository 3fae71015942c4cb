package remoteprocesses

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

var noConnection = term.Atom("noconnection")

// cutOff gives the times during which a and a node were cut off from each other, both ways.
func cutOff(h *history.History, n kit.NodeName) []history.Span {
	var spans []history.Span
	for _, s := range h.Cuts("a", n) {
		for _, t := range h.Cuts(n, "a") {
			one := history.Span{From: max(s.From, t.From), To: min(closed(s.To, h), closed(t.To, h))}
			if one.To > one.From {
				spans = append(spans, one)
			}
		}
	}
	return spans
}

func closed(t time.Duration, h *history.History) time.Duration {
	if t == history.Open {
		return h.End
	}
	return t
}

// lost wants a worker taken for lost during a cut and replaced, found alive and at work after the heal, and ended then.
func (s *shift) lost(h *history.History) grade.Finding {
	if f := grade.Genuine(h); f.Verdict != grade.Pass {
		return f
	}
	work := h.During(history.Work)
	work.End = h.End
	f := grade.Failed("the links between a and b were not cut while a worker of b was watched", "a cut of a and b, and DOWN noconnection on a", "no such cut")
	for _, span := range cutOff(work, "b") {
		for _, w := range workers(h) {
			if w.pid.Node != "b" || w.fn != counter || w.op.Begin > span.From {
				continue
			}
			down, ok := told(h, "DOWN", w.pid, noConnection, span.From, span.To)
			if !ok {
				if f.Actual == "no such cut" {
					f.Actual = "a cut, and no DOWN noconnection taken out of a's mailbox before the heal"
				}
				continue
			}
			if f = s.replaced(h, w, down, span); f.Verdict == grade.Pass {
				return f
			}
		}
	}
	return f
}

// replaced judges what was done about one worker that was taken for lost.
func (s *shift) replaced(h *history.History, old worker, down signal, span history.Span) grade.Finding {
	evidence := []int{old.op.ID, down.op.ID}
	next, f := s.successor(h, old, down, span.To, evidence)
	if f.Verdict != grade.Pass {
		return f
	}
	evidence = append(evidence, next.op.ID)
	if !busy(h, old, span.From, span.To) || !busy(h, next, span.From, span.To) {
		return grade.Failed("the two workers did not both get work during the cut, so nothing shows that both are at work", "work() before the heal", "no work for one of them", evidence...)
	}
	i := slices.IndexFunc(counts(h, old), func(c count) bool { return c.asked.Begin > span.To })
	if i < 0 {
		return grade.Failed("nobody has asked the first worker after the heal, though it lives and went on working",
			fmt.Sprintf("(count, %d) from %s on a, after the heal", given(h, old, h.End), term.String(old.pid)), "no answer of it", evidence...)
	}
	answer := counts(h, old)[i]
	evidence = append(evidence, answer.asked.ID, answer.op)
	for _, x := range signals(h) {
		if x.kind == "DOWN" && x.who == old.pid && x.at > answer.at && !term.Equal(x.reason, noConnection) && !term.Equal(x.reason, term.Atom("noproc")) {
			pass := grade.Passed(grade.Receipt{Fault: "cut a | b", Bit: true, Evidence: fmt.Sprintf("for %d ms; DOWN noconnection after %d ms, and both workers at work meanwhile",
				(span.To - span.From).Milliseconds(), (down.at - span.From).Milliseconds())})
			pass.Evidence = append(evidence, x.op.ID)
			return pass
		}
	}
	return grade.Failed("two workers do one job after the heal: the end of the first one was not seen", fmt.Sprintf("DOWN of %s, watched anew, with the reason of its end", term.String(old.pid)),
		"no such DOWN", evidence...)
}

// successor finds the worker that was started elsewhere when a had been told, and that goes on from the last count known.
func (s *shift) successor(h *history.History, old worker, down signal, until time.Duration, evidence []int) (worker, grade.Finding) {
	known, asked := term.Int(-1), false
	for _, c := range counts(h, old) {
		if c.at <= down.at {
			known, asked = term.Int(c.n), true
		}
	}
	if !asked {
		return old, grade.Failed("nobody knew the worker's count when it was lost, so no other can go on from it", "its count asked for on a before", "no answer of "+term.String(old.pid), evidence...)
	}
	early, wrong := 0, worker{}
	for _, w := range workers(h) {
		switch {
		case w.pid.Node == old.pid.Node || w.fn != counter || w.op.Begin <= old.op.Begin || w.op.Begin > until:
		case w.op.Begin < down.at:
			early = w.op.ID
		case !term.Equal(w.start, known):
			wrong = w
		default:
			return w, grade.Passed()
		}
	}
	expected := fmt.Sprintf("a.spawn of a counter on another node, with %d", known)
	switch {
	case wrong.op.ID > 0:
		begins := "nothing"
		if wrong.start != nil {
			begins = term.String(wrong.start)
		}
		return old, grade.Failed("the new worker does not go on from the last count that a knew", expected, "it begins with "+begins, append(evidence, wrong.op.ID)...)
	case early > 0:
		return old, grade.Failed("the new worker was started before a was told that the first is lost", expected+", after DOWN", "it was started before", append(evidence, early)...)
	}
	return old, grade.Failed("no worker took the place of the one that was lost", expected, "none was started", evidence...)
}

// dead wants a worker lost with its node and replaced, and certainty about it when the node was back.
func (s *shift) dead(h *history.History) grade.Finding {
	if f := grade.Genuine(h); f.Verdict != grade.Pass {
		return f
	}
	work := h.During(history.Work)
	f := grade.Failed("no node was killed while a watched one of its workers", "kill of a worker's node, and DOWN noconnection on a", "nothing of the kind")
	for _, x := range work.Faults {
		if x.What != "kill" || x.Err != "" {
			continue
		}
		for _, w := range workers(h) {
			if w.pid.Node != string(x.Node) || w.fn != counter || w.op.Begin > x.At {
				continue
			}
			if down, ok := told(h, "DOWN", w.pid, noConnection, x.At, h.End); ok {
				if f = s.certain(h, w, down, x); f.Verdict == grade.Pass {
					return f
				}
			}
		}
	}
	return f
}

// certain judges what was done about a worker whose node was killed.
func (s *shift) certain(h *history.History, old worker, down signal, killed history.Fault) grade.Finding {
	evidence := []int{old.op.ID, down.op.ID}
	next, f := s.successor(h, old, down, h.End, evidence)
	if f.Verdict != grade.Pass {
		return f
	}
	evidence = append(evidence, next.op.ID)
	faults := h.During(history.Work).Faults
	i := slices.IndexFunc(faults, func(x history.Fault) bool {
		return x.What == "restart" && x.Err == "" && x.Node == killed.Node && x.At > killed.At
	})
	if i < 0 {
		return grade.Failed("the dead node was not started again", fmt.Sprintf("restart(%s)", killed.Node), "it is still down", evidence...)
	}
	sure, ok := told(h, "DOWN", old.pid, term.Atom("noproc"), faults[i].At, h.End)
	if !ok {
		return grade.Failed("whether the worker is dead was not asked again when its node was back", fmt.Sprintf("DOWN of %s with the reason noproc", term.String(old.pid)),
			"no such DOWN after the restart", evidence...)
	}
	f = alone(h, next)
	f.Evidence = append(append(evidence, sure.op.ID), f.Evidence...)
	return f
}

// alone demands that in the end one worker is left in the cluster, this one.
func alone(h *history.History, w worker) grade.Finding {
	var left []string
	found := false
	for _, o := range h.During(history.Observe).Ops {
		v, err := o.Outcome.Term()
		list, ok := v.(term.List)
		if o.Verb != "processes" || err != nil || !ok {
			continue
		}
		for _, p := range list {
			info, _ := p.(term.Map)
			pid, ok := info.Opt("pid").(term.Pid)
			if !ok || info.Opt("function") != term.Atom(counter) {
				continue
			}
			found = found || pid == w.pid
			left = append(left, term.String(pid))
		}
	}
	if !found || len(left) != 1 {
		actual := strings.Join(left, ", ")
		if actual == "" {
			actual = "none"
		}
		return grade.Failed("in the end the worker that took over is not the only one", "only "+term.String(w.pid), actual)
	}
	return grade.Passed()
}
