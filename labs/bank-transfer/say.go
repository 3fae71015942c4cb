package banktransfer

import (
	"fmt"
	"slices"
	"time"

	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// lookedAt names a view as the middle of a sentence.
func (q question) lookedAt() string {
	switch q.who {
	case "tables":
		return "the tables"
	case "answer":
		return "the answer to " + q.own.name
	case "balance":
		return fmt.Sprintf("the balance of %s", q.ids[0])
	}
	return "the audit"
}

// say tells a mistake in a sentence; full with the accounts, as the first of several is.
func (q question) say(m mistake, full bool) string {
	t := m.transfer
	name := fmt.Sprintf("transfer %s", t.name)
	if full {
		name = fmt.Sprintf("transfer %s of %d from %s to %s", t.name, t.amount, t.from, t.to)
	}
	then, left, arrived := "", "left", "arrived"
	if q.who == "audit" || q.who == "balance" {
		then = fmt.Sprintf("%s saw half of the %s: ", q.lookedAt(), name)
	}
	switch {
	case t.refused && m.did == whole:
		return fmt.Sprintf("the %s was refused and was done all the same", name)
	case t.refused && m.did == debit:
		return fmt.Sprintf("the %s was refused, and %d %s %s all the same", name, t.amount, left, t.from)
	case t.refused:
		return fmt.Sprintf("the %s was refused, and %d %s at %s all the same", name, t.amount, arrived, t.to)
	case m.did == twice:
		return fmt.Sprintf("the %s counted twice", name)
	case m.did == none && (q.who == "audit" || q.who == "balance"):
		return fmt.Sprintf("%s does not show the %s, which was answered %s before it was asked for", q.lookedAt(), name, early(q.from-m.ended))
	case m.did == none:
		return fmt.Sprintf("the %s is lost: it was answered before, and %s %s as if it had never been", name, q.lookedAt(), map[bool]string{true: "are", false: "is"}[q.who == "tables"])
	case m.did == debit && then != "":
		return fmt.Sprintf("%s%d had left %s and had not arrived at %s", then, t.amount, t.from, t.to)
	case m.did == credit && then != "":
		return fmt.Sprintf("%s%d had arrived at %s and had not left %s", then, t.amount, t.to, t.from)
	case m.did == debit:
		return fmt.Sprintf("the %s is half done: %d %s %s and never %s at %s", name, t.amount, left, t.from, arrived, t.to)
	}
	return fmt.Sprintf("the %s is half done: %d %s at %s and never %s %s", name, t.amount, arrived, t.to, left, t.from)
}

// early says how long before something something else was.
func early(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", max(1, d.Milliseconds()))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// halves reports whether an auditor has caught transfers in the middle, and nothing else is wrong.
func (q question) halves(wrong []mistake) bool {
	return q.who == "audit" && !slices.ContainsFunc(wrong, func(m mistake) bool { return m.did != debit && m.did != credit })
}

// promised says which of the bank's promises mistakes break, before the figures that it would have led to. It is empty where
// what is said of the mistakes says it.
func (q question) promised(wrong []mistake) string {
	switch {
	case q.halves(wrong) && len(wrong) > 1:
		return fmt.Sprintf("both sides of every transfer or none (%d more were caught halfway): ", len(wrong)-1)
	case q.halves(wrong):
		return "both sides of every transfer or none: "
	case len(wrong) == 1 && wrong[0].did == none && (q.who == "audit" || q.who == "balance"):
		return "whoever asks sees what was answered before: "
	}
	return ""
}

// rivals are transfers that changed the account on which something of a transfer is missing, at the same time: one of them
// may have written over it.
func (r reckoning) rivals(q question, m mistake) (ids []int) {
	if m.should != whole || m.did == twice {
		return nil
	}
	for _, t := range r.transfers {
		if t == m.transfer || t.refused || t.ended == history.Open || len(ids) >= 3 {
			continue
		}
		meets := m.ended == history.Open || t.began <= m.ended && t.ended >= m.began
		missing := m.did != debit && t.effect(m.from) != 0 || m.did != credit && t.effect(m.to) != 0
		if meets && missing {
			ids = append(ids, t.answers[0].ID)
		}
	}
	return ids
}

// overdrawn tells of an account with less than nothing, and of those who took from it.
func (r reckoning) overdrawn(q question, id string) grade.Finding {
	var evidence []int
	for _, t := range slices.Backward(r.transfers) {
		if t.from == id && !t.refused && t.began <= q.to && len(evidence) < 3 {
			evidence = append(evidence, t.ops(1)...)
		}
	}
	return q.failed(fmt.Sprintf("%s was overdrawn: %s had it at %d", id, q.lookedAt(), q.has[id]),
		"0 at least: who has too little is refused with insufficient_funds", fmt.Sprintf("%s %d", id, q.has[id]), evidence, id)
}

// collided finds two transfers from one account that were under way at the same time and began with the same balance.
// That alone proves nothing, but it says how money went wrong that did.
func (r reckoning) collided(q question) (a, b *transfer, found bool) {
	if q.who != "tables" && q.who != "answer" {
		return nil, nil, false
	}
	for i, a := range r.transfers {
		for _, b := range r.transfers[i+1:] {
			if a.from != b.from || !slices.Contains(q.ids, a.from) || len(a.answers) == 0 || len(b.answers) == 0 || b.began > a.ended || a.began > b.ended || b.ended > q.to {
				continue
			}
			n, _ := number(a.answers[0])
			m, _ := number(b.answers[0])
			if n+a.amount == m+b.amount {
				return a, b, true
			}
		}
	}
	return nil, nil, false
}

// overwritten tells of two transfers that collided.
func (q question) overwritten(a, b *transfer) grade.Finding {
	n, _ := number(a.answers[0])
	m, _ := number(b.answers[0])
	before := n + a.amount
	return grade.Failed(fmt.Sprintf("money is lost or made: the transfer %s took %s from %d to %d, and the transfer %s took it from %d to %d, as if the other had not been",
		a.name, a.from, before, n, b.name, before, m),
		fmt.Sprintf("one of them begins where the other ended: %d after both", before-a.amount-b.amount),
		fmt.Sprintf("answers of %d and %d; what is written last stays", n, m), a.answers[0].ID, b.answers[0].ID)
}

// unexplained tells of a view for which no small mistake accounts.
func (r reckoning) unexplained(q question) grade.Finding {
	worst := 0 // the account that is off by most
	for i := range q.ids {
		if max(q.need[i], -q.need[i]) > max(q.need[worst], -q.need[worst]) {
			worst = i
		}
	}
	var evidence []int
	for _, t := range slices.Backward(slices.Concat(q.must, q.may)) {
		if len(evidence) < 5 && t != q.own && t.effect(q.ids[worst]) != 0 {
			evidence = append(evidence, t.ops(1)...)
		}
	}
	if len(q.ids) == 1 {
		id := q.ids[0]
		return q.failed(fmt.Sprintf("%s says that %s had %d, and no choice of the transfers until then leads there", q.lookedAt(), id, q.has[id]),
			fmt.Sprintf("%d, from the transfers that were answered before", q.has[id]-q.need[0]), fmt.Sprint(q.has[id]), evidence)
	}
	sum, base, wrong := int64(0), int64(0), ""
	for i, id := range q.ids {
		sum, base = sum+q.has[id], base+r.base[id]
		if q.need[i] != 0 {
			wrong += fmt.Sprintf(", %s %+d", id, q.need[i])
		}
	}
	return q.failed(fmt.Sprintf("several transfers are lost, doubled or half done: in %s no choice of them leads to what the accounts have", q.lookedAt()),
		fmt.Sprintf("%d in all accounts", base), fmt.Sprintf("%d in all accounts; against those that were answered: %s", sum, wrong[2:]), evidence, q.ids[worst])
}
