package transactionhistory

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// whole gives the history that other answers are held against: what the program answers without a filter.
func whole(h *history.History) ([]entry, history.Op, grade.Finding) {
	ops := by(h, reader, "history")
	if len(ops) == 0 {
		return nil, history.Op{}, grade.Unclear("nobody asked for the history")
	}
	list, ok := entriesOf(answer(ops[0]))
	if !ok {
		return nil, ops[0], grade.Failed("the history without a filter is not answered", "a list of entries", outcomeText(ops[0]), ops[0].ID)
	}
	if len(list) < 3 {
		return nil, ops[0], grade.Failed("the history has hardly an entry, so nothing can be asked of it; are withdrawals and transfers recorded?",
			"an entry for each of some fifteen requests", numbersOf(list), ops[0].ID)
	}
	return list, ops[0], grade.Passed()
}

// wishMap reads the filters that were asked for.
func wishMap(t term.Term) map[string]string {
	out := map[string]string{}
	m, _ := t.(term.Map)
	for _, p := range m {
		out[str(p.Key)] = str(p.Value)
	}
	return out
}

// wanted is what a filter means, written once more and independently of any program.
func wanted(e entry, wish map[string]string) bool {
	for name, value := range wish {
		n, _ := strconv.ParseInt(value, 10, 64)
		begin, end := span(value)
		switch {
		case name == "type" && e.kind != value,
			name == "min" && e.amount < n,
			name == "max" && e.amount > n,
			name == "from" && e.millis < begin,
			name == "to" && e.millis > end:
			return false
		}
	}
	return true
}

// span gives the milliseconds that a date or a moment stands for.
func span(s string) (begin, end int64) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.UnixMilli(), t.AddDate(0, 0, 1).UnixMilli() - 1
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, 0
	}
	return t.UnixMilli(), t.UnixMilli()
}

// filtered is the first half of part B: each filter gives exactly the entries it should, oldest first.
func filtered(h *history.History) grade.Finding {
	all, baseOp, f := whole(h)
	if f.Verdict != grade.Pass {
		return f
	}
	for _, o := range by(h, filterer, "history") {
		wish := wishMap(o.Args[2])
		var right []entry
		for _, e := range all {
			if wanted(e, wish) {
				right = append(right, e)
			}
		}
		got, ok := entriesOf(answer(o))
		if !ok || !slices.Equal(right, got) {
			actual := outcomeText(o)
			if ok {
				actual = numbersOf(got)
			}
			return grade.Failed(fmt.Sprintf("the filter %s gives the wrong entries", wishText(wish)), numbersOf(right), actual, baseOp.ID, o.ID)
		}
	}
	return grade.Passed()
}

// refusedFilters is the second half: what makes no sense is an error and not an empty list.
func refusedFilters(h *history.History) grade.Finding {
	for _, o := range by(h, faker, "history") {
		if o.Outcome.Status == "ok" {
			return grade.Failed(fmt.Sprintf("the filter %s makes no sense and was answered", wishText(wishMap(o.Args[2]))), "a refusal", outcomeText(o), o.ID)
		}
	}
	return grade.Passed()
}

// pageOf takes an answer of page apart.
func pageOf(o history.Op) (list []entry, next string, ok bool) {
	t, isPair := answer(o).(term.Tuple)
	if !isPair || len(t) != 2 {
		return nil, "", false
	}
	list, ok = entriesOf(t[0])
	return list, str(t[1]), ok
}

// compare is the order that a name stands for, numbers last.
func compare(order string) func(a, b entry) int {
	key, down := strings.CutPrefix(order, "-")
	return func(a, b entry) int {
		c := 0
		switch key {
		case "date":
			c = cmp.Compare(a.millis, b.millis)
		case "amount":
			c = cmp.Compare(a.amount, b.amount)
		}
		c = cmp.Or(c, cmp.Compare(a.number, b.number))
		if down {
			return -c
		}
		return c
	}
}

// sortedRight wants every order to be right, ties included, and an unknown order to be refused.
func sortedRight(h *history.History) grade.Finding {
	all, baseOp, f := whole(h)
	if f.Verdict != grade.Pass {
		return f
	}
	for _, o := range by(h, sorter, "page") {
		order := str(o.Args[3])
		got, _, ok := pageOf(o)
		right := slices.Clone(all)
		slices.SortFunc(right, compare(order))
		if !ok || !slices.Equal(got, right) {
			actual := outcomeText(o)
			if ok {
				actual = numbersOf(got)
			}
			return grade.Failed(fmt.Sprintf("the order %q is wrong", order), numbersOf(right), actual, baseOp.ID, o.ID)
		}
	}
	for _, o := range by(h, sorter+"-fake", "page") {
		if o.Outcome.Status == "ok" {
			return grade.Failed("an order that does not exist was answered", "a refusal", outcomeText(o), o.ID)
		}
	}
	return grade.Passed()
}

// paged wants the pages put together to be the history, although it grew meanwhile.
func (d *desk) paged(h *history.History) grade.Finding {
	all, _, f := whole(h)
	if f.Verdict != grade.Pass {
		return f
	}
	var ids []int
	var got []entry
	pages := by(h, pager, "page")
	for i, o := range pages {
		list, next, ok := pageOf(o)
		ids = append(ids, o.ID)
		switch {
		case !ok:
			return grade.Failed("a page is not answered", "entries and a cursor", outcomeText(o), o.ID)
		case len(list) > 4 || len(list) == 0 || len(list) < 4 && next != "":
			return grade.Failed("a page has not the size that was asked for", "4 entries, fewer only on the last page", fmt.Sprintf("%d entries", len(list)), o.ID)
		case i == len(pages)-1 && next != "":
			return grade.Failed("the pages never end", "an empty cursor after the last page", fmt.Sprintf("%q", next), o.ID)
		}
		got = append(got, list...)
	}
	right := slices.Clone(all)
	slices.Reverse(right)
	if !slices.Equal(got, right) {
		return grade.Failed("the pages together are not the history: a new entry made one repeat or hid one",
			numbersOf(right), numbersOf(got), ids...)
	}
	for _, o := range by(h, pager+"-fake", "page") {
		if o.Outcome.Status == "ok" {
			return grade.Failed(fmt.Sprintf("size %d with cursor %q was answered", num(o.Args[5]), str(o.Args[4])), "a refusal", outcomeText(o), o.ID)
		}
	}
	return grade.Passed()
}

// accessed wants the owner and the bank to be answered and everybody else to be refused in one and the same way.
func accessed(h *history.History) grade.Finding {
	asked := h.Filter(func(o history.Op) bool { return o.Client == stranger })
	if len(asked) != 7 {
		return grade.Unclear("not everybody came to ask")
	}
	for i, who := range []string{"the owner", "the bank"} {
		if asked[i].Outcome.Status != "ok" {
			return grade.Failed(who+" was refused", "the history", outcomeText(asked[i]), asked[i].ID)
		}
	}
	for _, i := range []int{2, 5, 6} {
		if asked[i].Outcome.Status == "ok" {
			return grade.Failed("a stranger was answered", "forbidden", outcomeText(asked[i]), asked[i].ID)
		}
	}
	if !sameOutcome(asked[2], asked[3]) {
		return grade.Failed("the refusal tells a stranger whether an account exists", outcomeText(asked[2]), outcomeText(asked[3]), asked[2].ID, asked[3].ID)
	}
	if got := term.String(asked[4].Outcome.Reason()); asked[4].Outcome.Status == "ok" || got != "no_account" {
		return grade.Failed("the bank is not told that an account does not exist", "aborted with no_account", outcomeText(asked[4]), asked[4].ID)
	}
	return grade.Passed()
}
