package banktransfer

import (
	"slices"
	"time"

	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// transfer is one transfer with all its tries.
type transfer struct {
	order
	tries   []history.Op
	answers []history.Op  // those of tries that were answered
	began   time.Duration // when it was first asked for
	ended   time.Duration // when it was first answered; history.Open when it never was
	refused bool          // every try was, so that surely nothing was moved
}

// view is what somebody was told that some accounts had, at one moment between from and to.
type view struct {
	ops      []int
	who      string // begins a sentence: "the audit on b"
	has      map[string]int64
	from, to time.Duration
	own      *transfer // the view is its answer
}

// books are the transfers and the views of a run, or of a part of it.
type books struct {
	transfers []*transfer
	views     []view // what the program answered
	looks     []view // what the tables held, when nobody was moving money
}

// readBooks finds them. Answers that make no sense are left out; shapes judges them.
func readBooks(h *history.History) *books {
	b := &books{}
	index := map[string]*transfer{}
	for _, o := range h.Ops {
		switch {
		case o.Phase == history.Setup:
		case o.Verb == "transfer":
			b.addTry(index, o)
		case o.Verb == "local_contents" && o.Client == looker:
			b.addLook(o)
		case o.Outcome.Status != door.OK || o.End == history.Open:
		case o.Verb == "balance":
			if n, ok := number(o); ok {
				b.views = append(b.views, view{ops: []int{o.ID}, who: "balance", has: map[string]int64{grade.Word(o.Args[0]): n}, from: o.Begin, to: o.End})
			}
		case o.Verb == "audit":
			if has, ok := lines(o); ok {
				b.views = append(b.views, view{ops: []int{o.ID}, who: "audit", has: has, from: o.Begin, to: o.End})
			}
		}
	}
	for _, t := range b.transfers {
		if len(t.answers) == 0 {
			continue
		}
		n, _ := number(t.answers[0])
		b.views = append(b.views, view{ops: []int{t.answers[0].ID}, who: "answer", has: map[string]int64{t.from: n}, from: t.began, to: t.ended, own: t})
	}
	slices.SortStableFunc(b.views, func(v, w view) int { return int(v.to - w.to) })
	return b
}

func (b *books) addTry(index map[string]*transfer, o history.Op) {
	if len(o.Args) != 4 {
		return
	}
	amount, ok := o.Args[2].(term.Int)
	if !ok {
		return
	}
	name := grade.Word(o.Args[3])
	t := index[name]
	if t == nil {
		t = &transfer{order: order{grade.Word(o.Args[0]), grade.Word(o.Args[1]), int64(amount), name}, began: o.Begin, ended: history.Open, refused: true}
		index[name] = t
		b.transfers = append(b.transfers, t)
	}
	t.tries = append(t.tries, o)
	if o.End == history.Open || !o.Outcome.Definite() {
		t.refused = false
		return
	}
	if _, ok := number(o); ok {
		t.answers, t.refused = append(t.answers, o), false
		if t.ended == history.Open || o.End < t.ended {
			t.ended = o.End
		}
	}
}

// addLook adds a branch's table to the others that were read with it.
func (b *books) addLook(o history.Op) {
	t, err := o.Outcome.Term()
	rows, ok := t.(term.List)
	if err != nil || !ok {
		return
	}
	has := map[string]int64{}
	for _, row := range rows {
		r, ok := row.(term.Tuple)
		if !ok || len(r) != 3 {
			return
		}
		n, ok := r[2].(term.Int)
		if !ok {
			return
		}
		has[grade.Word(r[1])] = int64(n)
	}
	if k := len(b.looks); k > 0 && len(b.looks[k-1].ops) < len(branches) {
		l := &b.looks[k-1]
		for id, n := range has {
			l.has[id] = n
		}
		l.ops, l.to = append(l.ops, o.ID), o.End
		return
	}
	b.looks = append(b.looks, view{ops: []int{o.ID}, who: "tables", has: has, from: o.Begin, to: o.End})
}

func number(o history.Op) (int64, bool) {
	t, err := o.Outcome.Term()
	n, ok := t.(term.Int)
	return int64(n), ok && err == nil
}

// lines reads the answer to an audit.
func lines(o history.Op) (map[string]int64, bool) {
	t, err := o.Outcome.Term()
	list, ok := t.(term.List)
	if err != nil || !ok {
		return nil, false
	}
	has := map[string]int64{}
	for _, l := range list {
		r, ok := l.(term.Tuple)
		if !ok || len(r) != 2 {
			return nil, false
		}
		n, ok := r[1].(term.Int)
		if _, twice := has[grade.Word(r[0])]; !ok || twice {
			return nil, false
		}
		has[grade.Word(r[0])] = int64(n)
	}
	return has, true
}

// open gives the transfers of which nobody knows whether they were done.
func (b *books) open() []*transfer {
	return slices.DeleteFunc(slices.Clone(b.transfers), func(t *transfer) bool { return t.refused || len(t.answers) > 0 })
}

// effect is what a transfer does to an account.
func (t *transfer) effect(id string) int64 {
	switch id {
	case t.from:
		return -t.amount
	case t.to:
		return t.amount
	}
	return 0
}
