package transactionhistory

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// recorded is the check of part A: histories add up at every moment at which somebody looks, every acknowledged request
// is in them exactly once and no refused one, transfers stand on both sides, and all nodes have the same.
func (l *ledger) recorded(h *history.History) grade.Finding {
	if f := l.opened(h); f.Verdict != grade.Pass {
		return f
	}
	f := grade.All(l.audited, l.served, l.eachOnce, l.numbered, l.covered, l.same)(h)
	if f.Verdict == grade.Pass {
		f.Receipts = append(f.Receipts, l.receipt(h))
	}
	return f
}

func (l *ledger) opened(h *history.History) grade.Finding {
	for _, o := range by(h, opener, "open") {
		if o.Outcome.Status != "ok" {
			return grade.Failed("an account could not be opened", "ok", outcomeText(o), o.ID)
		}
	}
	return grade.Passed()
}

// audited wants every transaction of the auditor to have seen a balance that the history explains.
func (l *ledger) audited(h *history.History) grade.Finding {
	seen := 0
	for _, o := range by(h, auditor, "transaction") {
		t, ok := answer(o).(term.List)
		if !ok || len(t) != 2 {
			continue
		}
		accounts, _ := t[0].(term.List)
		rows, _ := t[1].(term.List)
		if len(accounts) != 1 {
			return grade.Failed("an account is gone", "one row", term.String(t[0]), o.ID)
		}
		row, _ := accounts[0].(term.Tuple)
		if len(row) != 6 {
			return grade.Failed("a row of the table account has not its six elements", "{account, id, owner, currency, balance, entries}", term.String(accounts[0]), o.ID)
		}
		seen++
		sum, id := int64(0), str(row[1])
		for _, r := range rows {
			if e, ok := rowEntry(r); ok {
				sum += e.signed()
			}
		}
		if start := l.start(id); start+sum != num(row[4]) {
			return grade.Failed(fmt.Sprintf("at %v the balance of %s and its history contradict each other", o.Begin.Round(time.Millisecond), id),
				fmt.Sprintf("opened with %d, %d entries that add up to %d: a balance of %d", start, len(rows), sum, start+sum),
				fmt.Sprintf("a balance of %d", num(row[4])), l.before(h, o, id)...)
		}
	}
	if seen == 0 {
		return grade.Unclear("the auditor never got an answer, so nothing was looked at")
	}
	return grade.Passed()
}

// served wants the bank to do what it is asked: one that refuses every customer never contradicts itself. A request that
// meets a full lock may well fail, so a quarter of each kind is enough. What a node that was killed is asked does not count,
// also once it is back: by chance all requests of a kind go there.
func (l *ledger) served(h *history.History) grade.Finding {
	type count struct{ asked, done, last int }
	counts := map[string]*count{"deposit": {}, "withdraw": {}, "transfer": {}}
	for _, o := range h.During(history.Work).Ops {
		c := counts[o.Verb]
		if c == nil || !payable(o) || killedBefore(h, o.Node, o.End) {
			continue
		}
		c.asked++
		if o.Outcome.Status == "ok" {
			c.done++
		} else {
			c.last = o.ID
		}
	}
	for _, verb := range []string{"deposit", "withdraw", "transfer"} {
		if c := counts[verb]; c.asked >= 4 && c.done*4 < c.asked {
			return grade.Failed(fmt.Sprintf("the bank hardly does what it is there for: it did %d of %d requests to %s", c.done, c.asked, verb),
				"most of them done, since the money is there", fmt.Sprintf("%d done", c.done), c.last)
		}
	}
	return grade.Passed()
}

// killedBefore reports whether a node was killed before a moment, or before the end when that is history.Open.
func killedBefore(h *history.History, node kit.NodeName, at time.Duration) bool {
	return slices.ContainsFunc(h.Faults, func(f history.Fault) bool {
		return f.What == "kill" && f.Node == node && f.Err == "" && (at == history.Open || f.At <= at)
	})
}

// payable reports whether nothing in a request itself is a reason to refuse it.
func payable(o history.Op) bool {
	if len(o.Args) < 3 || o.Verb == "transfer" && (len(o.Args) < 4 || str(o.Args[0]) == str(o.Args[1])) {
		return false
	}
	return num(o.Args[len(o.Args)-2]) <= largest
}

func (l *ledger) start(id string) int64 {
	for _, a := range l.accounts {
		if a.id == id {
			return a.balance
		}
	}
	return 0
}

// before gives the last requests that changed an account before an audit began, and the audit.
func (l *ledger) before(h *history.History, audit history.Op, id string) []int {
	var ids []int
	for _, o := range h.During(history.Work).Ops {
		if o.Begin <= audit.End && touches(o, id) && o.Outcome.Status == "ok" {
			ids = append(ids, o.ID)
		}
	}
	return append(ids[max(0, len(ids)-3):], audit.ID)
}

func touches(o history.Op, id string) bool {
	switch o.Verb {
	case "deposit", "withdraw":
		return len(o.Args) > 0 && str(o.Args[0]) == id
	case "transfer":
		return len(o.Args) > 1 && (str(o.Args[0]) == id || str(o.Args[1]) == id)
	}
	return false
}

// want is what a request must have left in the histories, if it took effect.
func want(o history.Op) []entry {
	switch o.Verb {
	case "deposit":
		return []entry{{account: str(o.Args[0]), kind: "deposit", amount: num(o.Args[1])}}
	case "withdraw":
		return []entry{{account: str(o.Args[0]), kind: "withdrawal", amount: num(o.Args[1])}}
	}
	from, to, amount := str(o.Args[0]), str(o.Args[1]), num(o.Args[2])
	return []entry{{account: from, kind: "transfer_out", amount: amount, other: to}, {account: to, kind: "transfer_in", amount: amount, other: from}}
}

// eachOnce holds the histories that are left against what clients were told.
func (l *ledger) eachOnce(h *history.History) grade.Finding {
	left, copyOp, f := l.finalEntries(h)
	if f.Verdict != grade.Pass {
		return f
	}
	byWords := map[string][]entry{}
	for _, e := range left {
		byWords[e.description] = append(byWords[e.description], e)
	}
	for _, o := range h.During(history.Work).Ops {
		if o.Verb != "deposit" && o.Verb != "withdraw" && o.Verb != "transfer" {
			continue
		}
		found := byWords[str(o.Args[len(o.Args)-1])]
		sure := o.Outcome.Definite() && o.End != history.Open
		switch {
		case sure && o.Outcome.Status != "ok" && len(found) > 0:
			return grade.Failed("a request was refused and stands in the history all the same", "no entry of it", found[0].String(), o.ID, copyOp)
		case sure && o.Outcome.Status != "ok", !sure && len(found) == 0:
			continue
		}
		if f := l.stands(o, found, copyOp); f.Verdict != grade.Pass {
			return f
		}
	}
	return grade.Passed()
}

// stands compares the entries found for a request with those it must have left.
func (l *ledger) stands(o history.Op, found []entry, copyOp int) grade.Finding {
	wanted := want(o)
	for _, e := range wanted {
		n := 0
		for _, got := range found {
			if got.account == e.account && got.kind == e.kind && got.amount == e.amount && got.other == e.other {
				n++
			}
		}
		expected := fmt.Sprintf("one %s of %d in the history of %s", e.kind, e.amount, e.account)
		switch {
		case n == 0 && e.kind == "transfer_in":
			return grade.Failed("a transfer is not recorded for the one who is paid", expected, entryList(found), o.ID, copyOp)
		case n == 0:
			return grade.Failed("a request was acknowledged and is not recorded", expected, entryList(found), o.ID, copyOp)
		case n > 1:
			return grade.Failed("a request is recorded more than once", expected, fmt.Sprintf("%d of them", n), o.ID, copyOp)
		}
	}
	if len(found) > len(wanted) {
		return grade.Failed("a request left more entries than it should", fmt.Sprintf("%d", len(wanted)), entryList(found), o.ID, copyOp)
	}
	if len(found) == 2 && found[0].millis != found[1].millis {
		return grade.Failed("the two sides of a transfer have different moments", "the same date in both entries",
			fmt.Sprintf("%d and %d", found[0].millis, found[1].millis), o.ID, copyOp)
	}
	for _, e := range found {
		if e.millis <= 0 {
			return grade.Failed("an entry has no date", "the moment of the request in milliseconds", fmt.Sprint(e.millis), o.ID, copyOp)
		}
	}
	return grade.Passed()
}

func entryList(list []entry) string {
	if len(list) == 0 {
		return "no entry with its description"
	}
	s := list[0].String()
	for _, e := range list[1:] {
		s += "; " + e.String()
	}
	return clip(s)
}

func (l *ledger) finalEntries(h *history.History) ([]entry, int, grade.Finding) {
	c, ok := grade.Copies(h, entryTable)["a"]
	if !ok {
		return nil, 0, grade.Failed("the table entry cannot be read on a in the end", "its rows", "none")
	}
	var left []entry
	for _, row := range c.Rows {
		e, ok := rowEntry(row)
		if !ok {
			return nil, c.Op, grade.Failed("a row of the table entry has another form than it should",
				"{entry, {id, number}, type, amount, date, description, other, rate}", term.String(row), c.Op)
		}
		left = append(left, e)
	}
	return left, c.Op, grade.Passed()
}

// numbered wants the entries of every account to be numbered 1, 2, 3 and so on: a gap is an entry that was lost or
// overwritten.
func (l *ledger) numbered(h *history.History) grade.Finding {
	left, op, f := l.finalEntries(h)
	if f.Verdict != grade.Pass {
		return f
	}
	byAccount := map[string][]int64{}
	for _, e := range left {
		byAccount[e.account] = append(byAccount[e.account], e.number)
	}
	for _, a := range l.accounts {
		numbers := byAccount[a.id]
		slices.Sort(numbers)
		for i, n := range numbers {
			if n != int64(i+1) {
				return grade.Failed(fmt.Sprintf("the entries of %s are not numbered without gaps", a.id),
					fmt.Sprintf("number %d", i+1), fmt.Sprintf("number %d", n), op)
			}
		}
	}
	return grade.Passed()
}

// covered wants no entry to take more than there was: the entries of an account, one after the other, never lead below nothing.
func (l *ledger) covered(h *history.History) grade.Finding {
	left, copyOp, f := l.finalEntries(h)
	if f.Verdict != grade.Pass {
		return f
	}
	slices.SortStableFunc(left, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
	for _, a := range l.accounts {
		balance := a.balance
		for _, e := range left {
			if e.account != a.id {
				continue
			}
			had := balance
			if balance += e.signed(); balance >= 0 {
				continue
			}
			ids := []int{copyOp}
			for _, o := range h.During(history.Work).Ops {
				if touches(o, a.id) && str(o.Args[len(o.Args)-1]) == e.description {
					ids = []int{o.ID, copyOp}
				}
			}
			return grade.Failed(fmt.Sprintf("%s paid more than it had: its entry %d, %q", a.id, e.number, e.description),
				fmt.Sprintf("a refusal, because there were only %d", had), fmt.Sprintf("a %s of %d", e.kind, e.amount), ids...)
		}
	}
	return grade.Passed()
}

func (l *ledger) same(h *history.History) grade.Finding {
	nodes := []kit.NodeName{"a", "b", "c"}
	return grade.All(grade.Replicas{Table: accountTable, Nodes: nodes}.Equal, grade.Replicas{Table: entryTable, Nodes: nodes}.Equal)(h)
}

// receipt says whether what was to break did break while requests were under way.
func (l *ledger) receipt(h *history.History) grade.Receipt {
	what := map[string]string{"kill": "kill", "slow": "slow", "jitter": "slow"}[l.trouble]
	r := grade.Receipt{Fault: fmt.Sprintf("%s %s", what, l.victim)}
	for _, f := range h.Faults {
		if f.What != what || f.Err != "" {
			continue
		}
		n := 0
		for _, o := range h.During(history.Work).Ops {
			if o.Overlaps(f.At, f.At+troubleLasts) {
				n++
			}
		}
		r.Bit = n > 0
		r.Evidence = fmt.Sprintf("at %v, with %d requests meanwhile", f.At.Round(time.Millisecond), n)
		return r
	}
	r.Evidence = "it was never ordered"
	return r
}
