package history

import (
	"cmp"
	"slices"
	"sort"

	"netsplit/kit/term"
)

// The effort that finding an explanation may take: the verdict stands before it begins.
const (
	whyQuestions = 30      // as much work in all as so many questions may take
	whyLeast     = 20_000  // the work for one question, besides going through all acts a few times
	whyMost      = 250_000 // the same, when finding the verdict took that much
)

// explain finds the first answer that fits into no order, and what is in its way. There is none for acts as a whole.
func (s *search) explain(acts []Act) Linearization {
	s.check = max(whyLeast+3*pass(len(acts)), min(2*s.spent, whyMost))
	s.limit = s.spent + whyQuestions*s.check
	ends := answered(acts)
	// The answers that came first have an order, all have none, and each further one can only make it worse.
	k := sort.Search(len(ends)-1, func(k int) bool { return s.refutes(asOf(acts, ends, k+1)) }) + 1
	stuck := ends[k-1]
	w := why{search: s, acts: asOf(acts, ends, k), stuck: stuck}
	core := w.core(ends[:k-1])
	l := Linearization{Stuck: acts[stuck], Prefix: w.acts}
	for _, i := range core {
		l.Core = append(l.Core, acts[i])
	}
	slices.SortStableFunc(l.Core, func(a, b Act) int { return cmp.Compare(a.Begin, b.Begin) })
	l.Instead = w.instead()
	return l
}

// answered lists the acts that have an end by when they ended.
func answered(acts []Act) []int {
	var ends []int
	for i, a := range acts {
		if a.End != Open {
			ends = append(ends, i)
		}
	}
	slices.SortStableFunc(ends, func(i, j int) int { return cmp.Compare(acts[i].End, acts[j].End) })
	return ends
}

// asOf gives the acts as they were known when the first k answers had come: the others had begun, or not even that, and are
// left out by giving them no place among the items.
func asOf(acts []Act, ends []int, k int) []Act {
	last := acts[ends[k-1]].End
	known := make([]bool, len(acts))
	for _, i := range ends[:k] {
		known[i] = true
	}
	var some []Act
	for i, a := range acts {
		if a.Begin > last {
			break
		}
		if !known[i] {
			a.Answer, a.End = nil, Open
		}
		some = append(some, a)
	}
	return some
}

// refutes reports whether the acts surely have no order.
func (s *search) refutes(acts []Act) bool { return s.refute(s.tell(acts)) }

func (s *search) refute(all []item) bool {
	limit := s.limit
	defer func() { s.limit = limit }()
	s.limit = min(limit, s.spent+s.check)
	verdict, full := s.coarse(all)
	if verdict == No {
		return true
	}
	more := s.check
	if !full {
		more /= 8 // where the laxer question is answered otherwise, there mostly is an order
	}
	s.limit = min(limit, s.spent+more)
	return s.exact(all) == No
}

// why looks for the acts that are in the way of one answer.
type why struct {
	*search
	acts  []Act // as of that answer
	stuck int
}

// core finds a smallest set of answered acts, so that the stuck one has no order with them even if nothing is known
// of the others but that they had begun: QuickXplain (Junker, 2004). When it does not come to an end, all of them are the core.
func (w *why) core(known []int) []int {
	// Those that come first are kept rather than others: the nearest in time make the shortest story.
	near := slices.Clone(known)
	slices.Reverse(near)
	if w.alone(nil) {
		return nil
	}
	found := w.xplain(nil, false, near)
	if !w.alone(found) {
		return known
	}
	return found
}

func (w *why) xplain(sure []int, grown bool, rest []int) []int {
	switch {
	case grown && w.alone(sure):
		return nil
	case len(rest) <= 1:
		return rest
	}
	a, b := rest[:len(rest)/2], rest[len(rest)/2:]
	more := w.xplain(slices.Concat(sure, a), len(a) > 0, b)
	return slices.Concat(w.xplain(slices.Concat(sure, more), len(more) > 0, a), more)
}

// alone reports whether the stuck act and some others have no order, whatever became of the rest.
func (w *why) alone(core []int) bool {
	if w.stop() {
		return false
	}
	told := make([]bool, len(w.acts))
	told[w.stuck] = true
	for _, i := range core {
		told[i] = true
	}
	acts := slices.Clone(w.acts)
	for i := range acts {
		if !told[i] {
			acts[i].Answer, acts[i].End = nil, Open
		}
	}
	return w.refutes(acts)
}

// maxInstead bounds the answers that are tried instead of a wrong one.
const maxInstead = 6

// instead finds the answers that would have fitted; nil when there are too many to say.
func (w *why) instead() []term.Term {
	helps := w.obj.Helps
	w.obj.Helps = nil // what does not help to explain the answer that there was may well lead to another
	all := w.tell(w.acts)
	w.obj.Helps = helps
	var tried, fit []term.Term
	limit := w.limit
	defer func() { w.limit = limit }()
	w.limit = w.spent + w.check
	_, gaveUp := w.run(all, func(state int, it *item) (next int, ok bool) {
		next, ok = w.take(state, it)
		if it.id != w.stuck || len(tried) > 4*maxInstead {
			return next, ok
		}
		a := w.moves[[2]int{state, it.id}].answer
		if a != nil && !slices.ContainsFunc(tried, func(t term.Term) bool { return term.Equal(t, a) }) {
			tried = append(tried, a)
		}
		return next, ok
	})
	if gaveUp {
		return nil
	}
	if len(tried) > 4*maxInstead {
		return nil
	}
	at := slices.IndexFunc(all, func(it item) bool { return it.id == w.stuck })
	for _, answer := range tried {
		all[at].act.Answer = answer
		w.limit = w.spent + w.check
		switch w.exact(all) {
		case Maybe:
			return nil
		case Yes:
			fit = append(fit, answer)
		}
	}
	if len(fit) > maxInstead {
		return nil
	}
	slices.SortFunc(fit, term.Compare)
	return fit
}
