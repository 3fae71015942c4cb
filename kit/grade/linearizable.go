package grade

import (
	"fmt"
	"slices"
	"strings"

	"netsplit/kit/history"
)

// Linearizable demands that a thing that several nodes keep behaves as if there were one of it, which serves one request
// after the other: there is an order of all requests, each between its begin and its end, in which every answer is the one
// that the thing would give. An unanswered request may have taken effect at any moment since it began, or not at all; one
// that was surely refused has not.
//
// A lab says what the thing is with one of history's objects or one of its own, and in Acts which requests are about it:
//
//	grade.Linearizable{
//		What:   "the register",
//		Object: history.Register(term.Atom("none")),
//		Acts: func(o history.Op) (history.Act, bool) {
//			switch o.Verb {
//			case "get": // get(key)
//				return history.Act{Part: grade.Word(o.Args[0]), Name: "read"}, true
//			case "put": // put(key, value)
//				return history.Act{Part: grade.Word(o.Args[0]), Name: "write", Args: o.Args[1:]}, true
//			}
//			return history.Act{}, false
//		},
//	}.Ordered
//
// For a number that is raised under names and answered with where it led to, Counter is quicker and tells more.
type Linearizable struct {
	What   string // what the thing is called: "the register"; a part of it is "the register x"
	Object history.Object
	Acts   func(o history.Op) (history.Act, bool) // see history.History.Acts
	// Work bounds the search, see history.Linearize; 0 stands for history.LinearWork. A search that is given up is inconclusive.
	Work int
}

// Ordered is the check.
func (l Linearizable) Ordered(h *history.History) Finding {
	if f, cut := cutOff(h); cut {
		return f
	}
	acts := h.Acts(l.Acts)
	if !slices.ContainsFunc(acts, func(a history.Act) bool { return a.End != history.Open }) {
		return Unclear(fmt.Sprintf("no request about %s was answered, so there is nothing to put in order", l.what("")))
	}
	switch r := history.Linearize(acts, l.Object, l.Work); r.Verdict {
	case history.Yes:
		return Passed()
	case history.No:
		return l.explain(h, r)
	default:
		return Unclear(fmt.Sprintf("whether the requests about %s have an order could not be found out: %s", l.what(""), r.Why))
	}
}

func (l Linearizable) what(part string) string {
	s := l.What
	if s == "" {
		s = "the object"
	}
	if part != "" {
		s += " " + clip(part, 60)
	}
	return s
}

// explain says which answer fits into no order, and what is in its way.
func (l Linearizable) explain(h *history.History, r history.Linearization) Finding {
	stuck, _ := h.Op(r.Stuck.Op)
	said := []string{fmt.Sprintf("%s's %s on %s (%s to %s) was answered %s, and no order of the requests about %s, one after the other, explains that",
		stuck.Client, request(stuck), stuck.Node, ms(stuck.Begin), ms(stuck.End), answer(stuck), l.what(r.Part))}
	core := r.Core
	var evidence []int
	for _, a := range core[max(0, len(core)-maxExcerpt+1):] {
		evidence = append(evidence, a.Op)
	}
	const most = 6 // of what is in the way
	switch n := len(core); {
	case n == 0:
		said = append(said, "No request that had begun by then leads to this answer")
	case n > most:
		said = append(said, fmt.Sprintf("It contradicts %d answers that came before; these are the last of them", n))
		core = core[n-most:]
	}
	said = append(said, chain(h, core, r.Stuck)...)
	if hint, op := l.mishap(h, r); hint != "" {
		said = append(said, hint)
		if !slices.Contains(evidence, op) {
			evidence = append([]int{op}, evidence...)
		}
	}
	f := Failed(strings.Join(said, ". "), l.expected(r), request(stuck)+" → "+answer(stuck), ids(append(evidence, stuck.ID)...)...)
	f.Focus = stuck.ID
	return f
}

// chain tells in sentences how what is in the way lies in time.
func chain(h *history.History, core []history.Act, stuck history.Act) (said []string) {
	all := append(slices.Clone(core), stuck)
	slices.SortStableFunc(all, func(a, b history.Act) int { return compare(int64(a.Begin), int64(b.Begin)) })
	name := func(a history.Act) string {
		o, _ := h.Op(a.Op)
		if a.Op == stuck.Op {
			return fmt.Sprintf("%s's %s", o.Client, request(o))
		}
		return fmt.Sprintf("%s's %s → %s", o.Client, request(o), answer(o))
	}
	told, last := map[int]bool{stuck.Op: true}, 0
	for i, a := range all {
		var before *history.Act // the one that was answered last before a began
		for j, b := range all[:i] {
			if b.End != history.Open && b.End < a.Begin && (before == nil || b.End >= before.End) {
				before = &all[j]
			}
		}
		if before == nil {
			continue
		}
		who := name(*before)
		if before.Op == last {
			who = "That"
		}
		said = append(said, fmt.Sprintf("%s was answered at %s, before %s began at %s", who, ms(before.End), name(a), ms(a.Begin)))
		told[before.Op], told[a.Op], last = true, true, a.Op
	}
	for _, a := range all {
		if !told[a.Op] {
			said = append(said, fmt.Sprintf("%s was in flight at the same time (%s to %s)", name(a), ms(a.Begin), ms(a.End)))
		}
	}
	return said
}

// mishap finds the one request whose mishap would explain the answer: one that was refused and happened, one that was
// answered and did not, or one that happened twice.
func (l Linearizable) mishap(h *history.History, r history.Linearization) (text string, op int) {
	const (
		most = 12     // requests that are tried of each kind
		work = 20_000 // for each of them
	)
	explains := func(acts []history.Act) bool { return history.Linearize(acts, l.Object, work).Verdict == history.Yes }
	say := func(o history.Op, how string) (string, int) {
		return fmt.Sprintf("It is as if %s's %s → %s had %s", o.Client, request(o), answer(o), how), o.ID
	}
	changes := func(a history.Act) bool {
		return a.Op != r.Stuck.Op && (l.Object.Pure == nil || !l.Object.Pure(a))
	}
	refused := l.refused(h, r)
	for _, a := range refused[max(0, len(refused)-most):] {
		if o, _ := h.Op(a.Op); explains(append(slices.Clone(r.Prefix), a)) {
			return say(o, "happened all the same")
		}
	}
	tried := 0
	for _, a := range slices.Backward(r.Core) {
		if o, _ := h.Op(a.Op); changes(a) && tried < most {
			tried++
			if explains(slices.DeleteFunc(slices.Clone(r.Prefix), func(b history.Act) bool { return b.Op == a.Op })) {
				return say(o, "not happened")
			}
		}
	}
	tried = 0
	for _, a := range slices.Backward(r.Prefix) {
		if o, _ := h.Op(a.Op); changes(a) && a.End != history.Open && tried < most {
			tried++
			a.Answer, a.End = nil, history.Open
			if explains(append(slices.Clone(r.Prefix), a)) {
				return say(o, "happened twice")
			}
		}
	}
	return "", 0
}

// refused gives the requests about the part that were surely refused before the stuck answer came, as if they might have
// happened.
func (l Linearizable) refused(h *history.History, r history.Linearization) []history.Act {
	var all []history.Act
	for _, o := range h.Ops {
		if o.Took() != history.No || o.Begin > r.Stuck.End {
			continue
		}
		if a, ok := l.Acts(o); ok && a.Part == r.Part && a.Answer == nil {
			a.Op, a.Client, a.Node, a.Begin, a.End = o.ID, o.Client, o.Node, o.Begin, history.Open
			all = append(all, a)
		}
	}
	return all
}

func (l Linearizable) expected(r history.Linearization) string {
	var words []string
	for _, t := range r.Instead {
		words = append(words, show(t))
	}
	switch {
	case len(words) > 0:
		return strings.Join(words, " or ")
	case len(r.Core) == 0:
		return "an answer that some of the requests lead to"
	}
	return fmt.Sprintf("an answer that %s can give at some moment between the begin and the end of the request", l.what(r.Part))
}

// cutOff gives the finding on a record that is not complete: what is missing from it may explain anything.
func cutOff(h *history.History) (Finding, bool) {
	if !h.Truncated {
		return Finding{}, false
	}
	return Unclear(fmt.Sprintf("more happened in this run than a record holds (%d entries, %d MB), so it proves nothing", history.MaxEntries, history.MaxBytes>>20)), true
}
