package remoteprocesses

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// worker is a process that the script started.
type worker struct {
	pid   term.Pid
	fn    string
	start term.Term // what it was given; nil for nothing
	op    history.Op
}

// workers lists the processes that the script started from node a, in order.
func workers(h *history.History) []worker {
	var list []worker
	for _, o := range h.During(history.Work).Ops {
		if o.Verb != "spawn" || o.Client == client || o.Node != "a" || len(o.Args) < 2 {
			continue
		}
		pid, ok := grade.Pid(o)
		if !ok {
			continue
		}
		w := worker{pid: pid, fn: grade.Word(o.Args[1]), op: o}
		if len(o.Args) > 2 {
			if args, _ := o.Args[2].(term.List); len(args) > 0 {
				w.start = args[0]
			}
		}
		list = append(list, w)
	}
	return list
}

// own reports whether a request is one of the script's at node a.
func own(o history.Op) bool { return o.Client != client && o.Node == "a" && o.Phase == history.Work }

// signal is DOWN or EXIT, as the script took it out of a mailbox on a.
type signal struct {
	kind   string
	who    term.Pid
	reason term.Term
	at     time.Duration // of the answer that carried it
	op     history.Op
}

// signals lists them.
func signals(h *history.History) []signal {
	var list []signal
	for _, e := range h.During(history.Work).Events() {
		var raw struct{ Reason, Who json.RawMessage }
		o, _ := h.Op(e.OpID)
		if e.Kind != "DOWN" && e.Kind != "EXIT" || !own(o) || json.Unmarshal(e.Raw, &raw) != nil {
			continue
		}
		who, err := term.FromJSON(raw.Who)
		pid, ok := who.(term.Pid)
		reason, err2 := term.FromJSON(raw.Reason)
		if err == nil && err2 == nil && ok {
			list = append(list, signal{e.Kind, pid, reason, e.At, o})
		}
	}
	return list
}

// told finds a signal about a process, with a reason, that was taken between two moments; a nil reason is any.
func told(h *history.History, kind string, who term.Pid, reason term.Term, from, to time.Duration) (signal, bool) {
	for _, s := range signals(h) {
		if s.kind == kind && s.who == who && (reason == nil || term.Equal(s.reason, reason)) && s.at >= from && s.at <= to {
			return s, true
		}
	}
	return signal{}, false
}

// given adds up what a worker began with and what was added to it in requests that began before a moment.
func given(h *history.History, w worker, before time.Duration) int64 {
	start, _ := w.start.(term.Int)
	sum := int64(start)
	for _, o := range h.During(history.Work).Ops {
		op, args := grade.Act(o)
		if op != "send" || len(args) != 2 || !term.Equal(args[0], w.pid) || o.Begin >= before {
			continue
		}
		if grade.Word(args[1]) == "increment" {
			sum++
		}
		if t, ok := args[1].(term.Tuple); ok && len(t) == 2 && grade.Word(t[0]) == "add" {
			n, _ := t[1].(term.Int)
			sum += int64(n)
		}
	}
	return sum
}

// busy reports whether customers brought work to a worker between two moments.
func busy(h *history.History, w worker, from, to time.Duration) bool {
	return slices.ContainsFunc(h.During(history.Work).Ops, func(o history.Op) bool {
		op, args := grade.Act(o)
		return o.Client == client && op == "send" && len(args) == 2 && term.Equal(args[0], w.pid) && o.Begin > from && o.End < to
	})
}

// count is a worker's answer: its right total, asked for and received on a.
type count struct {
	n     int64
	asked history.Op
	at    time.Duration // when it was received
	op    int           // the request that brought it
}

// counts lists the right answers of a worker that came to a, in the order in which they were asked for. The work is
// secret, so that who has the right number has it from the worker.
func counts(h *history.History, w worker) []count {
	var list []count
	for _, o := range h.Ops {
		op, args := grade.Act(o)
		if !own(o) || op != "send" || len(args) != 2 || !term.Equal(args[0], w.pid) {
			continue
		}
		if t, ok := args[1].(term.Tuple); !ok || len(t) != 2 || grade.Word(t[0]) != "get" {
			continue
		}
		want := given(h, w, o.Begin)
		for _, m := range h.Messages() {
			t, ok := m.Value.(term.Tuple)
			if from, found := h.Op(m.OpID); found && own(from) && ok && len(t) == 2 && grade.Word(t[0]) == "count" && term.Equal(t[1], term.Int(want)) && m.At >= o.Begin {
				list = append(list, count{want, o, m.At, m.OpID})
				break
			}
		}
	}
	return list
}

// first is the worker that the script starts on b first, with what it was told to begin with.
func (s *shift) first(h *history.History) (worker, bool) {
	for _, w := range workers(h) {
		if w.pid.Node == "b" && w.fn == counter && term.Equal(w.start, term.Int(s.start)) {
			return w, true
		}
	}
	return worker{}, false
}

// spawned wants a worker on b, work brought to it, and its count on a.
func (s *shift) spawned(h *history.History) grade.Finding {
	expected := fmt.Sprintf("a.spawn(b, \"counter\", %d)", s.start)
	w, ok := s.first(h)
	if !ok {
		actual := "a started nothing on b"
		for _, other := range workers(h) {
			actual = fmt.Sprintf("a started %s on %s", other.fn, other.pid.Node)
		}
		return grade.Failed("a has started no worker on b that begins with what the run says", expected, actual)
	}
	if !busy(h, w, w.op.End, h.End) {
		return grade.Failed("the worker got no work", "work() called while it lives", "no work", w.op.ID)
	}
	for _, c := range counts(h, w) {
		if c.n != s.start {
			f := grade.Passed()
			f.Evidence = []int{w.op.ID, c.asked.ID, c.op}
			return f
		}
	}
	return grade.Failed("the worker's count with the work in it did not come to a", fmt.Sprintf("(count, %d) in the mailbox of a.self()", given(h, w, h.End)),
		"no such message", w.op.ID)
}

// reasons wants four kinds of DOWN about processes on b.
func (s *shift) reasons(h *history.History) grade.Finding {
	if f := grade.Genuine(h); f.Verdict != grade.Pass {
		return f
	}
	here := map[term.Pid]int{}
	for _, w := range workers(h) {
		if w.pid.Node == "b" {
			here[w.pid] = w.op.ID
		}
	}
	f := grade.Passed()
	for _, want := range []struct {
		reason term.Term
		how    string
	}{
		{term.Atom("killed"), "a process on b that is killed"},
		{term.Atom("normal"), "a process on b that has done its work"},
		{s.trouble, fmt.Sprintf("a counter on b that gets (\"crash\", %s)", s.trouble)},
		{term.Atom("noproc"), "a process on b that was watched only when it had ended"},
	} {
		all := signals(h)
		i := slices.IndexFunc(all, func(x signal) bool {
			return x.kind == "DOWN" && term.Equal(x.reason, want.reason) && here[x.who] > 0
		})
		if i < 0 {
			return grade.Failed(fmt.Sprintf("no DOWN with the reason %s came to a from b", term.String(want.reason)), want.how, reasonsSeen(all, here), f.Evidence...)
		}
		f.Evidence = append(f.Evidence, all[i].op.ID)
	}
	return f
}

// reasonsSeen lists the reasons that did come.
func reasonsSeen(all []signal, here map[term.Pid]int) string {
	var seen []string
	for _, x := range all {
		if text := term.String(x.reason); x.kind == "DOWN" && here[x.who] > 0 && !slices.Contains(seen, text) && len(seen) < 6 {
			seen = append(seen, text)
		}
	}
	if len(seen) == 0 {
		return "none at all"
	}
	return "only " + strings.Join(seen, ", ")
}

// linked wants the exit of a linked process on b to have come to a as a message.
func (s *shift) linked(h *history.History) grade.Finding {
	if f := grade.Genuine(h); f.Verdict != grade.Pass {
		return f
	}
	for _, o := range h.Ops {
		op, args := grade.Act(o)
		if !own(o) || op != "link" || len(args) != 1 {
			continue
		}
		pid, _ := args[0].(term.Pid)
		if pid.Node != "b" {
			continue
		}
		for _, x := range signals(h) {
			if x.kind == "EXIT" && x.who == pid && x.at > o.End && !term.Equal(x.reason, term.Atom("noproc")) && !term.Equal(x.reason, term.Atom("noconnection")) {
				f := grade.Passed()
				f.Evidence = []int{o.ID, x.op.ID}
				return f
			}
		}
		return grade.Failed("the end of the linked process did not come to a as a message", "EXIT with the reason of its end, in the mailbox of a.self()", "no EXIT of it", o.ID)
	}
	return grade.Failed("no process of b was linked to a's own", "a.link of a process on b", "no link")
}
