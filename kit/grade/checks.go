package grade

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

func sortedIDs(ids map[int]bool) []int { return slices.Sorted(maps.Keys(ids)) }

// Copies reads what the nodes' own copies of a table held at the end: the last "local_contents" (or "contents")
// of each node in the observe phase. A node that gave none is missing from the result.
func Copies(h *history.History, table string) map[kit.NodeName]Copy {
	copies := map[kit.NodeName]Copy{}
	for _, o := range h.During(history.Observe).Ops {
		if o.Verb != "local_contents" && o.Verb != "contents" || len(o.Args) == 0 || !term.Equal(o.Args[0], term.Atom(table)) {
			continue
		}
		if rows, ok := rowsOf(o.Outcome.Value); ok && o.Outcome.Status == "ok" {
			copies[o.Node] = Copy{Op: o.ID, Rows: rows}
		}
	}
	return copies
}

// Copy is one node's copy of a table, sorted, and the operation that read it.
type Copy struct {
	Op   int
	Rows []term.Term
}

func rowsOf(raw json.RawMessage) ([]term.Term, bool) {
	if len(raw) == 0 {
		return nil, false
	}
	t, err := term.FromJSON(raw)
	if err != nil {
		return nil, false
	}
	list, ok := t.(term.List)
	if !ok {
		return nil, false // "none": the node has no copy
	}
	rows := slices.Clone([]term.Term(list))
	slices.SortFunc(rows, term.Compare)
	return rows, true
}

// Replicas demands that the nodes' copies of a table are the same and, when Want is set, that they hold exactly
// these rows.
type Replicas struct {
	Table string
	Nodes []kit.NodeName
	Want  []term.Term // nil: any content, as long as it is the same everywhere
	What  string      // what Want is, for the explanation: "what the master held"
}

// Equal is the check.
func (r Replicas) Equal(h *history.History) Finding {
	copies := Copies(h, r.Table)
	if len(r.Nodes) == 0 {
		return Unclear("no node was named to compare")
	}
	var want []term.Term
	wantName, wantOp := r.What, 0
	if r.Want != nil {
		want = slices.Clone(r.Want)
		slices.SortFunc(want, term.Compare)
	}
	for i, n := range r.Nodes {
		c, ok := copies[n]
		if !ok {
			return Failed(fmt.Sprintf("node %s has no readable copy of %s at the end", n, r.Table),
				fmt.Sprintf("a copy of %s on %s", r.Table, names(r.Nodes)), fmt.Sprintf("none on %s", n))
		}
		if i == 0 && r.Want == nil {
			want, wantName, wantOp = c.Rows, "the copy on "+string(n), c.Op
			continue
		}
		if missing, extra := diffRows(want, c.Rows); len(missing)+len(extra) > 0 {
			evidence := []int{c.Op}
			if wantOp > 0 {
				evidence = []int{wantOp, c.Op}
			}
			return Failed(fmt.Sprintf("the copy of %s on %s differs from %s in %d row(s)", r.Table, n, wantName, max(len(missing), len(extra))),
				rowsText("", missing, extra), rowsText("", extra, missing), evidence...)
		}
	}
	return Passed()
}

// diffRows compares sorted rows as multisets.
func diffRows(want, got []term.Term) (missing, extra []term.Term) {
	for len(want) > 0 && len(got) > 0 {
		switch c := term.Compare(want[0], got[0]); {
		case c == 0 && term.Equal(want[0], got[0]):
			want, got = want[1:], got[1:]
		case c <= 0:
			missing, want = append(missing, want[0]), want[1:]
		default:
			extra, got = append(extra, got[0]), got[1:]
		}
	}
	return append(missing, want...), append(extra, got...)
}

// rowsText lists the rows that only one side has; when it has none, it says that the other side's are absent.
func rowsText(text string, rows, others []term.Term) string {
	const most = 4
	if len(rows) == 0 {
		return "no " + rowsText("", others, nil)
	}
	var parts []string
	for i, r := range rows {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(rows)-most))
			break
		}
		parts = append(parts, show(r))
	}
	return text + strings.Join(parts, ", ")
}

func names(nodes []kit.NodeName) string {
	var s []string
	for _, n := range nodes {
		s = append(s, string(n))
	}
	return strings.Join(s, ", ")
}

// EventOn demands that a node told of an event of a kind before the end of the run; about may be empty.
func EventOn(node kit.NodeName, kind string, about kit.NodeName) Judge {
	return func(h *history.History) Finding {
		var others []string
		for _, e := range h.Events() {
			if e.Node == node && e.Kind == kind && (about == "" || e.About == string(about)) {
				return Passed()
			}
			if e.Node == node && len(others) < 6 {
				others = append(others, e.Kind)
			}
		}
		actual := "no event of " + string(node) + " at all"
		if len(others) > 0 {
			actual = "only " + strings.Join(others, ", ")
		}
		want := fmt.Sprintf("%s on %s", kind, node)
		if about != "" {
			want += fmt.Sprintf(" about %s", about)
		}
		return Failed(fmt.Sprintf("node %s never reported %s", node, kind), want, actual)
	}
}

// Step is one thing that must have been done, in the words shown to the student ("masters were set on b").
type Step struct {
	Name string
	Done func(Moment) bool
}

// Moment is an operation or a fault, in the order of time. Exactly one of the two is set.
type Moment struct {
	From, To time.Duration
	Op       *history.Op
	Fault    *history.Fault
	both     bool // the fault is told for both directions of a link
}

// Moments lists a history's operations and faults by the time at which they began.
func Moments(h *history.History) []Moment {
	var all []Moment
	for i, o := range h.Ops {
		all = append(all, Moment{From: o.Begin, To: o.End, Op: &h.Ops[i]})
	}
	for i, f := range h.Faults {
		all = append(all, Moment{From: f.At, To: f.At, Fault: &h.Faults[i]})
	}
	slices.SortStableFunc(all, func(a, b Moment) int { return int(a.From - b.From) })
	return all
}

// InOrder demands that the steps were done one after the other: each is the first moment that fits and began
// after the step before it had ended.
func InOrder(steps ...Step) Judge {
	return func(h *history.History) Finding {
		moments := Moments(h)
		after, last := time.Duration(-1), ""
		var evidence []int
		for _, s := range steps {
			i := slices.IndexFunc(moments, func(m Moment) bool { return m.From >= after && s.Done(m) })
			if i < 0 {
				return notInOrder(moments, s, last, evidence)
			}
			m := moments[i]
			after, last = max(m.From, m.To), s.Name
			if m.Op != nil {
				evidence = append(evidence, m.Op.ID)
			}
		}
		return Passed()
	}
}

func notInOrder(moments []Moment, s Step, last string, evidence []int) Finding {
	early := slices.IndexFunc(moments, s.Done)
	switch {
	case last == "":
		return Failed(fmt.Sprintf("this was not done: %s", s.Name), s.Name, "nothing of the kind", evidence...)
	case early >= 0:
		return Failed(fmt.Sprintf("this was done too early: %s", s.Name), fmt.Sprintf("%s after %s", s.Name, last),
			fmt.Sprintf("at %s, before that", ms(moments[early].From)), evidence...)
	}
	return Failed(fmt.Sprintf("this was not done: %s", s.Name), fmt.Sprintf("%s after %s", s.Name, last), "it never happened", evidence...)
}

// Verb fits a successful request of a verb to a node; an empty node is any.
func Verb(node kit.NodeName, verb string) func(Moment) bool {
	return func(m Moment) bool {
		return m.Op != nil && m.Op.Verb == verb && (node == "" || m.Op.Node == node) && m.Op.Outcome.Status == "ok"
	}
}

// Lists fits an answer of a node's list of connected nodes that names exactly these, sorted.
func Lists(node kit.NodeName, peers ...kit.NodeName) func(Moment) bool {
	return func(m Moment) bool {
		var seen []kit.NodeName
		return Verb(node, "nodes")(m) && json.Unmarshal(m.Op.Outcome.Value, &seen) == nil && slices.Equal(seen, peers)
	}
}

// Order fits a fault ordered of a kind (cut, heal, kill, ...) on a node, or on a link between two in either
// direction.
func Order(what string, node, peer kit.NodeName) func(Moment) bool {
	return func(m Moment) bool {
		f := m.Fault
		return f != nil && f.Err == "" && f.What == what &&
			(f.Node == node && f.Peer == peer || peer != "" && f.Node == peer && f.Peer == node)
	}
}

// Answer demands that a script gave an answer under a name, and that ok accepts it; ok's text says what is wrong.
func Answer(name, expected string, ok func(term.Term) (complaint string)) Judge {
	return func(h *history.History) Finding {
		v, given := h.Note(name)
		if !given {
			return Failed(fmt.Sprintf("the script gave no answer %q", name), expected, fmt.Sprintf("no call of answer(%q, ...)", name))
		}
		if complaint := ok(v); complaint != "" {
			return Failed(complaint, expected, show(v))
		}
		return Passed()
	}
}
