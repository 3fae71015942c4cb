package masterrecovery

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// split wants the shop to have been at work on both sides while c was cut off from a and from b, and the cut to be
// over in the end.
func (s *shop) split(h *history.History) grade.Finding {
	work := h.During(history.Work)
	f := grade.InOrder(
		grade.Step{Name: "c cut off from a", Done: grade.Order("cut", "a", "c")},
		grade.Step{Name: "traffic()", Done: shopOn("c")},
		grade.Step{Name: "the links healed", Done: grade.Order("heal", "a", "c")},
	)(work)
	if f.Verdict != grade.Pass {
		return f
	}
	f.Receipts = append(f.Receipts, grade.CutReceipt(work, []kit.NodeName{"a", "b"}, []kit.NodeName{"c"}))
	if f.Receipts[0].Bit {
		return f
	}
	if len(work.Cuts("b", "c")) == 0 {
		return grade.Failed("c was cut off from a but could still talk to b, so the two sides were one cluster all the time",
			"c cut off from a and from b", "only a and c were cut")
	}
	return f.Bit()
}

func shopOn(node kit.NodeName) func(grade.Moment) bool {
	return func(m grade.Moment) bool { return m.Op != nil && m.Op.Client == client && m.Op.Node == node }
}

// noticed wants both sides to have said that the database is inconsistent, to somebody who asked.
func noticed(h *history.History) grade.Finding {
	work := h.During(history.Work)
	return grade.All(
		grade.EventOn("a", "inconsistent_database", "c"),
		grade.EventOn("c", "inconsistent_database", "a"))(work)
}

// onlyLone gives the rows that c alone had when the links healed: what is lost when c gives way.
func (s *shop) onlyLone() []term.Tuple {
	have := map[any]term.Tuple{}
	for _, row := range slices.Concat(s.initial, s.majority) {
		have[term.Key(row[1])] = row
	}
	var rows []term.Tuple
	for _, row := range s.lone {
		if other, ok := have[term.Key(row[1])]; !ok || !term.Equal(other, row) {
			rows = append(rows, row)
		}
	}
	return rows
}

// kept wants every row that only c had in the table saved, put there before c gave its copy up.
func (s *shop) kept(h *history.History) grade.Finding {
	order := grade.InOrder(
		grade.Step{Name: "the links healed", Done: grade.Order("heal", "a", "c")},
		grade.Step{Name: "rows of c written to the table saved", Done: savesRow},
		grade.Step{Name: "the store on c stopped", Done: stopsC},
	)(h.During(history.Work))
	copies := grade.Copies(h, saved)
	for _, n := range []kit.NodeName{"a", "b"} {
		c, ok := copies[n]
		if !ok {
			return grade.Failed("the table saved cannot be read on "+string(n), "a copy of saved on a and b", "none")
		}
		var missing []string
		for _, row := range s.onlyLone() {
			want := slices.Clone(row)
			want[0] = term.Atom(saved)
			if !slices.ContainsFunc(c.Rows, func(r term.Term) bool { return term.Equal(r, want) }) {
				missing = append(missing, term.String(row))
			}
		}
		if len(missing) > 0 {
			return grade.Failed(fmt.Sprintf("%d of the %d rows that only c had are lost for good", len(missing), len(s.onlyLone())),
				"a record in saved for each of them", "missing: "+strings.Join(missing[:min(3, len(missing))], ", "), c.Op)
		}
	}
	if order.Verdict != grade.Pass {
		order.Why = "the rows of c were saved, but not before c's copy was given up: " + order.Why
	}
	return order
}

// savesRow fits a request that writes to the table saved, in whatever way.
func savesRow(m grade.Moment) bool {
	if m.Op == nil || m.Op.Client == client {
		return false
	}
	one := &history.History{Ops: []history.Op{*m.Op}}
	for _, a := range one.Accesses() {
		if a.Table() == saved && a.Writes() {
			return true
		}
	}
	return m.Op.Verb == "tx_op" && len(m.Op.Args) > 1 && writesSaved(m.Op.Args[1])
}

func writesSaved(op term.Term) bool {
	list, ok := op.(term.List)
	return ok && len(list) > 1 && term.Equal(list[0], term.Atom("write")) && term.Equal(list[1], term.Atom(saved))
}

// stopsC fits whatever takes c's copy out of memory: an orderly stop of its store, or the end of the node.
func stopsC(m grade.Moment) bool {
	return grade.Verb("c", "stop_store")(m) || grade.Order("kill", "c", "")(m) || grade.Order("restart", "c", "")(m)
}

// masters wants c to have been told its masters after the heal and before its restart, and to know them in the end.
func masters(h *history.History) grade.Finding {
	f := grade.InOrder(
		grade.Step{Name: "the links healed", Done: grade.Order("heal", "a", "c")},
		grade.Step{Name: "set_master_nodes on c", Done: grade.Verb("c", "set_master_nodes")},
		grade.Step{Name: "the store on c stopped", Done: stopsC},
	)(h.During(history.Work))
	if f.Verdict != grade.Pass {
		return f
	}
	for _, o := range h.During(history.Observe).Ops {
		if o.Verb != "table_info" || o.Node != "c" {
			continue
		}
		var nodes []string
		if json.Unmarshal(o.Outcome.Value, &nodes) != nil || len(nodes) == 0 || slices.Contains(nodes, "c") {
			return grade.Failed("c does not take a or b for its master", "a, b or both", string(o.Outcome.Value), o.ID)
		}
	}
	return f
}

// whole wants one cluster again: all three run together, and every copy holds what a held.
func (s *shop) whole(h *history.History) grade.Finding {
	for _, o := range h.During(history.Observe).Ops {
		if o.Verb != "system_info" {
			continue
		}
		var nodes []string
		if json.Unmarshal(o.Outcome.Value, &nodes) != nil || len(nodes) != 3 {
			return grade.Failed(fmt.Sprintf("the store on %s does not run together with the others", o.Node),
				"running_db_nodes of a, b and c", string(o.Outcome.Value), o.ID)
		}
	}
	return grade.Replicas{Table: orders, Nodes: []kit.NodeName{"a", "b", "c"}, Want: s.masterRows(),
		What: "what a and b held after the split"}.Equal(h)
}

func (s *shop) masterRows() []term.Term {
	rows := map[any]term.Tuple{}
	var order []any
	for _, row := range slices.Concat(s.initial, s.majority) {
		k := term.Key(row[1])
		if _, known := rows[k]; !known {
			order = append(order, k)
		}
		rows[k] = row
	}
	for _, key := range s.gone {
		delete(rows, term.Key(key))
	}
	var all []term.Term
	for _, k := range order {
		if row, ok := rows[k]; ok {
			all = append(all, row)
		}
	}
	return all
}
