package grade

import (
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// Held is what a node was seen to hold.
type Held struct {
	Node  kit.NodeName
	Op    int
	Begin time.Duration
	End   time.Duration // history.Open when it was not answered
	Value term.Term     // nil when it could not be read; rows as a list, sorted
}

// Converged demands that all copies come to hold the same after the last fault is mended and the last write is done, in a
// stated time, and stay so: whatever is looked at later than that is the same on all nodes.
//
//	grade.Converged{Table: "cart", Nodes: []kit.NodeName{"a", "b", "c"}, Within: 5 * time.Second}.Equal
//
// reads the nodes' own copies (local_contents) after the heal, in whatever phase. A lab whose copies are read with
// verbs of its own gives Held, and names the verbs that change them in Writes.
type Converged struct {
	Table  string
	Nodes  []kit.NodeName
	Within time.Duration
	Held   func(h *history.History) []Held // nil: the answers to local_contents and contents for Table
	Writes []string                        // verbs that change what is held, besides the store's own operations on Table
}

// Equal is the check.
func (c Converged) Equal(h *history.History) Finding {
	if f, cut := cutOff(h); cut {
		return f
	}
	from, f := c.whole(h)
	if f.Verdict != Pass {
		return f
	}
	due := max(from, c.lastWrite(h)) + c.Within
	held := c.Held
	if held == nil {
		held = c.copies
	}
	byNode := map[kit.NodeName][]Held{}
	for _, x := range held(h) {
		if x.Begin >= due {
			byNode[x.Node] = append(byNode[x.Node], x)
		}
	}
	var first *Held
	unseen := Passed()
	for _, n := range c.Nodes {
		looks := byNode[n]
		if len(looks) == 0 {
			unseen = Unclear(fmt.Sprintf("nobody looked at what %s holds later than %v after everything was mended and written (%s), so it cannot be said whether the copies came together", n, c.Within, ms(due)))
		}
		for i, x := range looks {
			switch {
			case x.Value == nil:
				return Failed(fmt.Sprintf("%s cannot be read on %s, %v after everything was mended and written", c.what(), n, c.Within),
					"the same on "+names(c.Nodes), "nothing to be read on "+string(n), x.Op)
			case first == nil:
				first = &looks[i]
			case !term.Equal(first.Value, x.Value):
				return c.differ(*first, x, from)
			}
		}
	}
	return unseen
}

func (c Converged) what() string {
	if c.Table == "" {
		return "the copy"
	}
	return "the copy of " + c.Table
}

// whole gives the time at which the last fault was mended.
func (c Converged) whole(h *history.History) (time.Duration, Finding) {
	at := time.Duration(-1)
	for _, f := range h.Faults {
		switch {
		case f.Err != "":
		case f.Mends():
			at = max(at, f.At)
		case inForce(h, f, h.End):
			return 0, Unclear(fmt.Sprintf("a fault was still in force at the end (%s), so the copies need not have come together", faultText(f, false)))
		}
	}
	if at < 0 {
		return 0, Unclear("nothing was broken and mended, so nothing can be said about how the copies come together after it")
	}
	return at, Passed()
}

// lastWrite gives the time at which the last write had ended; one without an answer counts from its beginning.
func (c Converged) lastWrite(h *history.History) time.Duration {
	at := time.Duration(0)
	for _, a := range h.Accesses() {
		if a.Writes() && a.Table() == c.Table && a.Took != history.No {
			at = max(at, a.Begin, a.End)
		}
	}
	for _, o := range h.Ops {
		if slices.Contains(c.Writes, o.Verb) && o.Took() != history.No {
			at = max(at, o.Begin, o.End)
		}
	}
	return at
}

func (c Converged) copies(h *history.History) []Held {
	var all []Held
	for _, o := range h.Ops {
		if o.Verb != "local_contents" && o.Verb != "contents" || len(o.Args) == 0 || !term.Equal(o.Args[0], term.Atom(c.Table)) {
			continue
		}
		x := Held{Node: o.Node, Op: o.ID, Begin: o.Begin, End: o.End}
		if rows, ok := rowsOf(o.Outcome.Value); ok && o.Took() == history.Yes {
			x.Value = term.List(rows)
		}
		all = append(all, x)
	}
	return all
}

// differ explains two looks that are not the same.
func (c Converged) differ(a, b Held, from time.Duration) Finding {
	where := fmt.Sprintf("%s on %s and on %s", c.what(), a.Node, b.Node)
	if a.Node == b.Node {
		where = fmt.Sprintf("%s on %s at %s and at %s", c.what(), a.Node, ms(a.Begin), ms(b.Begin))
	}
	expected, actual := show(a.Value), show(b.Value)
	x, okX := a.Value.(term.List)
	y, okY := b.Value.(term.List)
	if okX && okY {
		if missing, extra := diffRows(x, y); len(missing)+len(extra) > 0 {
			expected, actual = rowsText("", missing, extra), rowsText("", extra, missing)
		}
	}
	return Failed(fmt.Sprintf("%s differ at %s, although all was mended at %s, the last write was over and %v have passed since", where, ms(b.Begin), ms(from), c.Within),
		fmt.Sprintf("the same: %s, as on %s", expected, a.Node), actual, ids(a.Op, b.Op)...)
}
