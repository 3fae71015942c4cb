package grade

import (
	"fmt"
	"time"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// Durable demands that the final copies of a table (see Copies) hold, for every key, the outcome of a write that
// may have been the last: no acknowledged write began after it had ended. It is the check for "acknowledged
// means kept".
type Durable struct {
	Table string
	Nodes []kit.NodeName
}

// Kept is the check. It is for tables of type set and ordered_set.
func (d Durable) Kept(h *history.History) Finding {
	copies := Copies(h, d.Table)
	byKey := d.writes(h)
	if len(byKey) == 0 {
		return Unclear(fmt.Sprintf("nothing was written to %s, so nothing could be lost", d.Table))
	}
	for _, n := range d.Nodes {
		c, ok := copies[n]
		if !ok {
			return Failed(fmt.Sprintf("node %s has no readable copy of %s at the end", n, d.Table), "a copy on "+string(n), "none")
		}
		held := map[any]term.Term{}
		for _, row := range c.Rows {
			if r, ok := row.(term.Tuple); ok && len(r) > 1 {
				held[term.Key(r[1])] = r
			}
		}
		for _, w := range byKey {
			if f := d.keyKept(n, c.Op, held[term.Key(w[0].Key())], w); f.Verdict != Pass {
				return f
			}
		}
	}
	return Passed()
}

// writes gives the writes of the work phase to each key, keys in the order of their first write.
func (d Durable) writes(h *history.History) [][]history.Access {
	index := map[any]int{}
	var byKey [][]history.Access
	for _, a := range h.Accesses() {
		if a.Table() != d.Table || !a.Writes() || a.Took == history.No || a.Key() == nil {
			continue
		}
		k := term.Key(a.Key())
		i, ok := index[k]
		if !ok {
			i = len(byKey)
			index[k] = i
			byKey = append(byKey, nil)
		}
		byKey[i] = append(byKey[i], a)
	}
	return byKey
}

func (d Durable) keyKept(n kit.NodeName, readOp int, held term.Term, writes []history.Access) Finding {
	var last *history.Access // the acknowledged write that began latest
	for i, w := range writes {
		if w.Took == history.Yes && (last == nil || w.Begin >= last.Begin) {
			last = &writes[i]
		}
		if w.Name == "dirty_update_counter" || w.Name == "incr" || w.Name == "incr_r" || w.Name == "delete_object" || w.Name == "dirty_delete_object" {
			return Passed() // what is left depends on more than one write
		}
	}
	if last == nil {
		return Passed()
	}
	for _, w := range writes {
		over := w.OpID != last.OpID && w.Took == history.Yes && last.Begin > w.End
		if !over && sameRow(w.Record(), held) {
			return Passed()
		}
	}
	return Failed(fmt.Sprintf("a write to %s on %s was acknowledged and is gone on %s", show(last.Key()), last.Node, n),
		showRow(last.Record()), showRow(held), last.OpID, readOp)
}

// sameRow compares a written record with a held one; a delete has no record, and neither has a missing row.
func sameRow(written term.Tuple, held term.Term) bool {
	if written == nil || held == nil {
		return written == nil && held == nil
	}
	return term.Equal(written, held)
}

func showRow(t term.Term) string {
	if r, ok := t.(term.Tuple); t == nil || ok && r == nil {
		return "no row"
	}
	return show(t)
}

// CutReceipt says whether a cut between two sides bit: while every link across was cut in both directions, were
// operations in flight on either side, and were messages held or lost? Traffic counts stand in notes that the
// recorder took when the world can count (TrafficNote), for the whole run; without them the operations alone must do. Of
// several cuts it is the first that bit, else the first.
func CutReceipt(h *history.History, left, right []kit.NodeName) Receipt {
	first := Receipt{Fault: fmt.Sprintf("cut %s | %s", names(left), names(right)), Evidence: "the two sides were never wholly cut off from each other"}
	for i, span := range cutSpans(h, left, right) {
		r := cutReceipt(h, left, right, span)
		r.Fault = first.Fault
		if r.Bit {
			return r
		}
		if i == 0 {
			first = r
		}
	}
	return first
}

func cutReceipt(h *history.History, left, right []kit.NodeName, span history.Span) (r Receipt) {
	nLeft, nRight := opsDuring(h, left, span), opsDuring(h, right, span)
	held, counted := heldAcross(h, left, right)
	r.Bit = nLeft > 0 && nRight > 0 && (!counted || held > 0)
	r.Evidence = fmt.Sprintf("cut at %s for %s; operations meanwhile: %d on %s, %d on %s", ms(span.From), ms(lasted(h, span)),
		nLeft, names(left), nRight, names(right))
	if counted {
		r.Evidence += fmt.Sprintf("; %d messages held or lost", held)
	}
	return r
}

// cutSpans gives the times during which all links across are cut both ways.
func cutSpans(h *history.History, left, right []kit.NodeName) []history.Span {
	spans := []history.Span{{To: history.Open}}
	for _, a := range left {
		for _, b := range right {
			spans = overlaps(overlaps(spans, h.Cuts(a, b)), h.Cuts(b, a))
		}
	}
	return spans
}

// overlaps gives what two lists of times have in common; each is in order.
func overlaps(as, bs []history.Span) []history.Span {
	var both []history.Span
	for _, a := range as {
		for _, b := range bs {
			s := history.Span{From: max(a.From, b.From), To: a.To}
			if a.To == history.Open || b.To != history.Open && b.To < a.To {
				s.To = b.To
			}
			if s.To == history.Open || s.To > s.From {
				both = append(both, s)
			}
		}
	}
	return both
}

func opsDuring(h *history.History, nodes []kit.NodeName, span history.Span) int {
	end := span.To
	if end == history.Open {
		end = h.End
	}
	count := 0
	for _, o := range h.Ops {
		for _, n := range nodes {
			if o.Node == n && o.Overlaps(span.From, end) {
				count++
			}
		}
	}
	return count
}

func heldAcross(h *history.History, left, right []kit.NodeName) (int64, bool) {
	total, counted := int64(0), false
	for _, a := range left {
		for _, b := range right {
			for _, name := range []string{TrafficNote(a, b), TrafficNote(b, a)} {
				if n, ok := h.Note(name); ok {
					i, _ := n.(term.Int)
					total, counted = total+int64(i), true
				}
			}
		}
	}
	return total, counted || counts(h, left[0])
}

// TrafficNote names the note under which a recorder puts how many messages from one node to another a fault held
// back or lost.
func TrafficNote(from, to kit.NodeName) string { return fmt.Sprintf("traffic:%s>%s", from, to) }

func lasted(h *history.History, s history.Span) time.Duration {
	if s.To == history.Open {
		return (h.End - s.From).Round(time.Millisecond)
	}
	return (s.To - s.From).Round(time.Millisecond)
}
