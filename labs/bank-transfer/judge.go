package banktransfer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// rules judges the client who was alone: what every request must be answered follows from the ones before it.
func (d day) rules(h *history.History) grade.Finding {
	p, base, _ := d.part(h, "", crowdComes)
	has := map[string]int64{}
	for id, n := range base {
		has[id] = n
	}
	var last []int // the requests of the last transfer
	for _, o := range p.Ops {
		switch o.Verb {
		case "transfer":
			last = []int{o.ID}
			if f := ruled(has, o); f.Verdict != grade.Pass {
				return f
			}
		case "balance":
			id := grade.Word(o.Args[0])
			n, ok := number(o)
			if !ok || n != has[id] {
				return grade.Failed(fmt.Sprintf("after this transfer %s has not what it should have", id), fmt.Sprint(has[id]), grade.AnswerText(o), append(last, o.ID)...)
			}
		}
	}
	r := reckoning{readBooks(p), base}
	for _, l := range r.looks {
		if f := d.whole(l); f.Verdict != grade.Pass {
			return f
		}
		if f := r.judge(l); f.Verdict != grade.Pass {
			return f
		}
	}
	return grade.Passed()
}

// ruled holds the answer to a transfer against the rules, and does it.
func ruled(has map[string]int64, o history.Op) grade.Finding {
	from, to := grade.Word(o.Args[0]), grade.Word(o.Args[1])
	amount, _ := o.Args[2].(term.Int)
	n := int64(amount)
	var want []term.Term
	_, pays := has[from]
	_, gets := has[to]
	if n <= 0 {
		want = append(want, badAmount)
	}
	if from == to {
		want = append(want, sameAccount)
	}
	if !pays || !gets {
		want = append(want, noAccount)
	}
	if pays && has[from] < n {
		want = append(want, insufficient)
	}
	if o.Outcome.Status == door.Down {
		return grade.Passed() // it was never asked
	}
	if len(want) > 0 {
		if refusal(o) && slices.Contains(want, o.Outcome.Kind) {
			return grade.Passed()
		}
		return grade.Failed("a transfer that breaks a rule was not refused as it should be", fmt.Sprintf("a refusal: %s", want[0]), grade.AnswerText(o), o.ID)
	}
	left, ok := number(o)
	switch want := strconv.FormatInt(has[from]-n, 10); {
	case refusal(o):
		return grade.Failed(fmt.Sprintf("the transfer of %d from %s to %s was refused although it keeps all the rules: %s had %d", n, from, to, from, has[from]),
			want+": the transfer is done", grade.AnswerText(o), o.ID)
	case !ok || left != has[from]-n:
		return grade.Failed(fmt.Sprintf("the transfer of %d from %s to %s is not answered with what the payer has then: %s had %d", n, from, to, from, has[from]),
			want, grade.AnswerText(o), o.ID)
	}
	has[from] -= n
	has[to] += n
	return grade.Passed()
}

// whole wants a look at the tables to show every account.
func (b *bank) whole(l view) grade.Finding {
	if len(l.ops) < len(branches) {
		return grade.Unclear("the tables of the branches could not all be read")
	}
	for _, id := range b.accounts {
		if _, there := l.has[id]; !there {
			return grade.Failed(fmt.Sprintf("the account %s is gone from its table", id), "the rows that were there", fmt.Sprintf("%d accounts", len(l.has)), l.ops...)
		}
	}
	if len(l.has) != len(b.accounts) {
		return grade.Failed("the tables of the branches hold rows that are no accounts of the bank", fmt.Sprintf("%d accounts", len(b.accounts)), fmt.Sprintf("%d rows", len(l.has)), l.ops...)
	}
	return grade.Passed()
}

// kept wants the tables to hold, whenever nobody moves money, what the transfers lead to.
func (b *bank) kept(base map[string]int64) grade.Judge {
	return func(h *history.History) grade.Finding {
		r := reckoning{readBooks(h), base}
		if len(r.looks) == 0 {
			return grade.Unclear("what the accounts had in the end could not be read")
		}
		if !slices.ContainsFunc(r.transfers, func(t *transfer) bool { return len(t.answers) > 0 }) {
			return grade.Unclear("no transfer was done, so nothing could be lost")
		}
		for _, l := range r.looks {
			if f := b.whole(l); f.Verdict != grade.Pass {
				return f
			}
			if f := r.judge(l); f.Verdict != grade.Pass {
				return f
			}
		}
		return grade.Passed()
	}
}

// answers wants the number that a payer was told to be one that the account can have had.
func (b *bank) answers(base map[string]int64) grade.Judge {
	return func(h *history.History) grade.Finding {
		for _, o := range h.Ops {
			if _, ok := number(o); o.Verb == "transfer" && o.Outcome.Status == door.OK && !ok {
				return grade.Failed("a transfer was answered with something that is no whole number", "what the payer has then", grade.AnswerText(o), o.ID)
			}
		}
		r := reckoning{readBooks(h), base}
		for _, v := range r.views {
			if v.own == nil {
				continue
			}
			if f := r.judge(v); f.Verdict != grade.Pass {
				return f
			}
		}
		return grade.Passed()
	}
}

// seen wants everybody who looks to see the bank as it was at one moment.
func (b *bank) seen(base map[string]int64) grade.Judge {
	return func(h *history.History) grade.Finding {
		for _, o := range h.Ops {
			if f := b.shaped(o); f.Verdict != grade.Pass {
				return f
			}
		}
		r := reckoning{readBooks(h), base}
		looked := 0
		for _, v := range r.views {
			if v.own != nil {
				continue
			}
			if f := r.judge(v); f.Verdict != grade.Pass {
				return f
			}
			looked++
		}
		if looked == 0 {
			return grade.Unclear("nobody was told what the accounts have, so nothing can be said about it")
		}
		return grade.Passed()
	}
}

// shaped wants an answer to be of the kind that was asked for, with every account in it.
func (b *bank) shaped(o history.Op) grade.Finding {
	if o.Outcome.Status != door.OK || o.End == history.Open {
		return grade.Passed()
	}
	switch o.Verb {
	case "balance":
		if _, ok := number(o); !ok {
			return grade.Failed("balance was answered with something that is no whole number", "what the account has", grade.AnswerText(o), o.ID)
		}
	case "audit":
		has, ok := lines(o)
		if !ok {
			return grade.Failed("an audit is no list of accounts, each once", "[{account, what it has}, ...]", grade.AnswerText(o), o.ID)
		}
		if missing := b.missing(has); missing != "" {
			return grade.Failed(fmt.Sprintf("the audit on %s is of a part of the bank: %s, and whoever adds up cannot know", o.Node, missing),
				fmt.Sprintf("all %d accounts, or an error: what cannot be read makes the audit fail", len(b.accounts)), grade.AnswerText(o), o.ID)
		}
		if len(has) > len(b.accounts) {
			return grade.Failed("an audit lists accounts that the bank has not", fmt.Sprintf("%d accounts", len(b.accounts)), grade.AnswerText(o), o.ID)
		}
	}
	return grade.Passed()
}

// missing says which accounts an audit leaves out: whole branches, or else the first that is not there. It is empty when all are.
func (b *bank) missing(has map[string]int64) string {
	var first string
	var gone []string // branches of which it has none
	for _, branch := range branches {
		there := false
		for _, id := range b.accounts {
			if _, listed := has[id]; home(id) == branch && listed {
				there = true
			} else if home(id) == branch {
				first = cmp.Or(first, id)
			}
		}
		if !there {
			gone = append(gone, string(branch))
		}
	}
	switch {
	case first == "":
		return ""
	case len(gone) > 0:
		return "no account of branch " + strings.Join(gone, " or ") + " is in it"
	}
	return first + " is not in it"
}

// sameAnswer wants a request that is asked again to get its first answer.
func sameAnswer(h *history.History) grade.Finding {
	for _, t := range readBooks(h).transfers {
		for _, o := range t.answers[min(1, len(t.answers)):] {
			answered := t.answers[0]
			first, _ := number(answered)
			if n, _ := number(o); n != first {
				return grade.Failed(fmt.Sprintf("the transfer %s of %d from %s to %s was answered %d by %s, and asked for under the same name it was answered %d by %s, as if the name were new there",
					t.name, t.amount, t.from, t.to, first, answered.Node, n, o.Node),
					fmt.Sprintf("%d again: a name moves money once, however often and wherever it is asked for", first), fmt.Sprint(n), answered.ID, o.ID)
			}
		}
	}
	return grade.Passed()
}

// refusals wants nobody to be refused who had enough all the time, and the other refusals only where they belong.
func refusals(base map[string]int64) grade.Judge {
	return func(h *history.History) grade.Finding {
		b := readBooks(h)
		for _, t := range b.transfers {
			for _, o := range t.tries {
				if !refusal(o) {
					continue
				}
				if o.Outcome.Kind != insufficient {
					return grade.Failed("a transfer was refused by a rule that it keeps", "what the payer has then, or insufficient_funds", grade.AnswerText(o), o.ID)
				}
				if least := b.least(base, t, o.Begin, o.End); least >= t.amount {
					return grade.Failed(fmt.Sprintf("the transfer %s of %d was refused although %s had %d at least", t.name, t.amount, t.from, least),
						"what the payer has then", grade.AnswerText(o), o.ID)
				}
			}
		}
		return grade.Passed()
	}
}

// least is the least that the payer can have had at some moment of a request.
func (b *books) least(base map[string]int64, of *transfer, from, to time.Duration) int64 {
	n := base[of.from]
	for _, t := range b.transfers {
		change := t.effect(of.from)
		switch {
		case t.refused || t.began > to:
		case t.ended != history.Open && t.ended < from:
			n += change
		default:
			n += min(change, 0)
		}
	}
	return n
}
