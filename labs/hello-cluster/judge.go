package hellocluster

import (
	"fmt"
	"slices"
	"strings"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// connected wants the student to have connected the nodes, and to have seen each in the other's list after that.
func connected(h *history.History) grade.Finding {
	work := h.During(history.Work)
	f := grade.Passed()
	for _, n := range []kit.NodeName{"a", "b"} {
		order := grade.InOrder(
			grade.Step{Name: "one node connected to the other", Done: connects},
			grade.Step{Name: fmt.Sprintf("%s.nodes() listed %s", n, other(n)), Done: grade.Lists(n, other(n))},
		)(work)
		if order.Verdict != grade.Pass {
			return order
		}
		i := slices.IndexFunc(work.Ops, func(o history.Op) bool { return grade.Lists(n, other(n))(grade.Moment{Op: &o}) })
		f.Evidence = append(f.Evidence, work.Ops[i].ID)
	}
	return f
}

// connects fits a request that brought the link up on purpose.
func connects(m grade.Moment) bool {
	return grade.Verb("", "connect")(m) && string(m.Op.Outcome.Value) == "true" || pong(m)
}

func pong(m grade.Moment) bool { return answered(m, "pong") && len(m.Op.Args) == 1 && peer(m) }
func pang(m grade.Moment) bool { return answered(m, "pang") && len(m.Op.Args) == 1 && !peer(m) }

func answered(m grade.Moment, word string) bool {
	return grade.Verb("", "ping")(m) && string(m.Op.Outcome.Value) == fmt.Sprintf("%q", word)
}

// peer tells whether a ping went to the other one of the two nodes.
func peer(m grade.Moment) bool { return term.Equal(m.Op.Args[0], term.Atom(other(m.Op.Node))) }

// pinged wants both answers that a ping can get.
func pinged(h *history.History) grade.Finding {
	work := h.During(history.Work)
	return grade.All(
		grade.InOrder(grade.Step{Name: "a ping of the other node that was answered with pong", Done: pong}),
		grade.InOrder(grade.Step{Name: "a ping of a name that no node has, answered with pang", Done: pang}),
	)(work)
}

// spawned gives the processes that a node started on another during the work, and who asked for it.
func spawned(h *history.History, by, on kit.NodeName) map[term.Pid]int {
	pids := map[term.Pid]int{}
	for _, o := range h.During(history.Work).Ops {
		if o.Verb != "spawn" || o.Node != by || o.Outcome.Status != door.OK {
			continue
		}
		if pid, ok := grade.Pid(o); ok && pid.Node == string(on) {
			pids[pid] = o.ID
		}
	}
	return pids
}

// line is one line of output, as a node's verb output tells it.
type line struct {
	from term.Pid
	text string
}

func lines(out door.Outcome) []line {
	v, err := out.Term()
	m, ok := v.(term.Map)
	if err != nil || !ok {
		return nil
	}
	var all []line
	list, _ := m.Opt("lines").(term.List)
	for _, x := range list {
		if t, ok := x.(term.Tuple); ok && len(t) == 2 {
			pid, _ := t[0].(term.Pid)
			text, _ := t[1].(term.Bin)
			all = append(all, line{pid, string(text)})
		}
	}
	return all
}

func (m *meeting) isGreeting(l line, of map[term.Pid]int) bool {
	_, ours := of[l.from]
	return ours && strings.Contains(l.text, m.greeting)
}

// greeted wants a process on b, spawned from a, whose greeting came to a.
func (m *meeting) greeted(h *history.History) grade.Finding {
	pids := spawned(h, "a", "b")
	expected := fmt.Sprintf("%q on a, written by a process that runs on b", m.greeting)
	if len(pids) == 0 {
		actual := "no process of a's on b"
		for _, by := range []kit.NodeName{"a", "b"} {
			if n := len(spawned(h, by, by)); n > 0 {
				actual = fmt.Sprintf("%d started by %s on %s itself", n, by, by)
			}
		}
		if len(spawned(h, "b", "a")) > 0 {
			actual = "a process on a, started by b"
		}
		return grade.Failed("a started no process on b", expected, actual)
	}
	wrote := []string{}
	for _, o := range h.Ops {
		if o.Phase == history.Setup || o.Verb != "output" || o.Node != "a" {
			continue
		}
		for _, l := range lines(o.Outcome) {
			if m.isGreeting(l, pids) {
				f := grade.Passed()
				f.Evidence = []int{pids[l.from], o.ID}
				return f
			}
			if _, ours := pids[l.from]; ours && len(wrote) < 3 {
				wrote = append(wrote, l.text)
			}
		}
	}
	actual := "it wrote nothing"
	if len(wrote) > 0 {
		actual = "it wrote " + strings.Join(wrote, "; ")
	}
	return grade.Failed("the process on b did not write the greeting of this run", expected, actual)
}

// inspected wants the three answers, and that the script has asked the system for them.
func (m *meeting) inspected(h *history.History) grade.Finding {
	asked := m.looks(h.During(history.Work))
	if asked == 0 {
		return grade.Failed("nobody asked the system about the visitor, so the answers can only be guesses",
			"process_info of the process that has the name visitor", "no such question")
	}
	f := grade.All(
		grade.Answer("runs_on", "the node in the visitor's pid", place(m.runsOn, "the visitor runs on the other node")),
		grade.Answer("output_goes_to", "the node of its group leader", place(m.leader, "that is where it runs; its output goes to the node of its group leader")),
		grade.Answer("letters", "the length of its message queue", func(v term.Term) string {
			if !term.Equal(v, term.Int(len(m.letters))) {
				return "the visitor has another number of messages to read"
			}
			return ""
		}),
	)(h)
	f.Evidence = []int{asked}
	return f
}

// place accepts a node, given as itself, by its name, or as a pid that lives there.
func place(want kit.NodeName, complaint string) func(term.Term) string {
	return func(v term.Term) string {
		name := grade.Word(v)
		if pid, ok := v.(term.Pid); ok {
			name = pid.Node
		}
		if name != string(want) {
			return complaint
		}
		return ""
	}
}

// looks finds the first answer of the system that told about the visitor; 0 when there is none.
func (m *meeting) looks(h *history.History) int {
	for _, o := range h.Ops {
		if o.Verb != "process_info" && o.Verb != "processes" || o.Outcome.Status != door.OK {
			continue
		}
		v, err := o.Outcome.Term()
		if err != nil {
			continue
		}
		list, ok := v.(term.List)
		if !ok {
			list = term.List{v}
		}
		for _, x := range list {
			if info, ok := x.(term.Map); ok && term.Equal(info.Opt("name"), term.Atom(visitor)) {
				return o.ID
			}
		}
	}
	return 0
}
