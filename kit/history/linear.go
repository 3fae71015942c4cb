package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Act is one request to an Object, as the client knows it. What surely did not happen is no act.
type Act struct {
	Op     int // the request in the history
	Client string
	Node   kit.NodeName
	// Part is which part of the object it is about: the key in a table, the name of an account. Acts on different parts have
	// nothing to do with each other, and each part is looked at by itself: the more parts, the cheaper.
	Part string
	Name string // "read", "write": what Object.Apply knows
	Args []term.Term
	// Answer is what the client was told; nil when that is not known, or says nothing.
	Answer term.Term
	Begin  time.Duration
	// End is when the answer came. Open stands for never, and for an answer that proves nothing: the act may have taken effect
	// at any moment since Begin, also later, or not at all.
	End time.Duration
}

// Object says what a thing does that exists once and serves one request after the other.
type Object struct {
	// Start gives the state of a part before the first act.
	Start func(part string) term.Term
	// Apply gives the state after an act and what the act is answered; nil when any answer will do. It is told the act's part,
	// name, arguments, client and node, and nothing of how it went, and changes nothing that it is given. A nil state says that
	// the act is not possible.
	Apply func(state term.Term, a Act) (next, answer term.Term)
	// Pure says of an act that it never changes the state; nil says it of none. It makes the search shorter.
	Pure func(a Act) bool
	// Helps, when set, makes the search shorter where requests have no answer. Of told the answers matter; may are the others,
	// which may have taken effect, by the time of their beginning. It gives a function that says which of these could help to
	// explain the answers: when in doubt true. With often they may have taken effect any number of times, so that one can stand
	// for others that began later.
	Helps func(told, may []Act, often bool) func(a Act) bool
	// Loose, when set, is how to go through the acts that were answered without saying which of the others took effect when: a
	// state stands for all that they could have made of it. A nil state says that not even so the act could have got its
	// answer. Without it sets of states are tried, which only do while they are small.
	Loose func(part string, may []Act) (start term.Term, step func(state term.Term, a Act) term.Term)
}

// Linearization is what Linearize found out.
type Linearization struct {
	// Verdict is Yes when there is an order, No when there is none, and Maybe when the search was given up: see Why.
	Verdict Certainty
	Why     string
	Part    string // the part without an order
	// Stuck is the first answer, in the order of time, that fits into no order of what came before it and Core are the acts
	// that are in its way, by the time of their beginning: with Stuck they have no order, and without any one of them they
	// would have one. Core may hold more than it need when finding out took too long.
	Stuck Act
	Core  []Act
	// Prefix is the shortest history that has no order: the acts that had begun when Stuck was answered, as they were known
	// then. What was not answered yet is open.
	Prefix []Act
	// Instead are answers that Stuck could have got at most; nil when they were not all found.
	Instead []term.Term
	Work    int // what the search took, in the unit of its limit
}

// Limits of Linearize. The work is counted in states that are looked at, weighted by their size, and not in time, so that
// a verdict does not depend on the machine.
const (
	// LinearWork is what a search may take unless it is told otherwise, besides what it takes to go through the acts a few
	// times: some tenths of a second and 60 MB at most.
	LinearWork = 500_000
	// MaxActs bounds the acts on one part. Memory grows with their square.
	MaxActs = 5_000
)

// Linearize looks for an order of the acts, one after the other and each between its begin and its end, in which the object
// gives every act the answer that its client got (Herlihy and Wing, 1990). The search is that of Lowe's extension of Wing and Gong's
// algorithm, by Porcupine. When it takes more than work (0 stands for LinearWork) it is given up, and
// the verdict is Maybe, unless a coarser look at the same acts proves that no order exists.
//
// The first parts to be looked at are those with the fewest acts; one without an order settles the matter.
func Linearize(acts []Act, obj Object, work int) (l Linearization) {
	if work <= 0 {
		work = LinearWork
	}
	spent, unclear := 0, ""
	defer func() { l.Work = spent }()
	for _, part := range parts(acts) {
		if len(part) > MaxActs {
			unclear = fmt.Sprintf("%d requests are too many to be put in order; at most %d", len(part), MaxActs)
			continue
		}
		s := newSearch(part, obj, max(0, work-spent)+fewPasses*pass(len(part)))
		verdict, why := s.decide(part)
		spent += max(0, s.spent-fewPasses*pass(len(part)))
		switch verdict {
		case No:
			l = s.explain(part)
			l.Verdict, l.Part = No, part[0].Part
			return l
		case Maybe:
			unclear = why
		}
	}
	if unclear != "" {
		return Linearization{Verdict: Maybe, Why: unclear}
	}
	return Linearization{Verdict: Yes}
}

// fewPasses is how often a search may go through all acts at no charge.
const fewPasses = 8

// pass is the work of going through n acts once.
func pass(n int) int { return n * (1 + n/64) }

// parts sorts acts by their part, each by time; those with the fewest acts first.
func parts(acts []Act) [][]Act {
	var all [][]Act
	index := map[string]int{}
	for _, a := range acts {
		if a.End != Open {
			a.End = max(a.End, a.Begin)
		}
		i, ok := index[a.Part]
		if !ok {
			i = len(all)
			index[a.Part] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], a)
	}
	for _, p := range all {
		slices.SortStableFunc(p, func(a, b Act) int { return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.Op, b.Op)) })
	}
	slices.SortStableFunc(all, func(a, b []Act) int { return len(a) - len(b) })
	return all
}

// Acts makes acts of the requests of a history: of says what a request is about (Part, Name, Args), and that it is none of
// the object's with false. The rest is taken from the request, unless of has filled it in: the answer, when the outcome is one
// ("ok"), and whether it may still take effect. A request that was surely refused is no act, unless of gives it an answer:
// a compare-and-set that fails may be told as an error.
func (h *History) Acts(of func(Op) (Act, bool)) []Act {
	var all []Act
	for _, o := range h.Ops {
		a, ok := of(o)
		if !ok {
			continue
		}
		a.Op, a.Client, a.Node, a.Begin, a.End = o.ID, o.Client, o.Node, o.Begin, o.End
		switch took := o.Took(); {
		case a.Answer != nil && o.End != Open:
		case took == No:
			continue
		case took == Maybe:
			a.Answer, a.End = nil, Open
		default:
			a.Answer = value(o.Outcome.Value)
			if a.Answer == nil {
				a.Answer = term.Bin(o.Outcome.Value) // nonsense: equal to nothing that an object answers
			}
		}
		all = append(all, a)
	}
	return all
}
