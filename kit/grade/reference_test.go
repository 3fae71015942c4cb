package grade

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// The checks over facts are compared with the plainest reading of what they promise, on thousands of small random facts.

// agree runs a check and its reference on many seeds and wants every verdict to be the same, and each to have come up.
func agree(t *testing.T, seeds uint64, one func(r *rand.Rand) (got Finding, want Verdict, facts any)) {
	t.Helper()
	count := map[Verdict]int{}
	for seed := range seeds {
		got, want, facts := one(rand.New(rand.NewPCG(seed, 5)))
		if got.Verdict != want {
			t.Fatalf("seed %d: want %s, got %s: %s\n%+v", seed, want, got.Verdict, got.Why, facts)
		}
		if got.Verdict == Fail && (got.Why == "" || got.Expected == "" || got.Actual == "") {
			t.Fatalf("seed %d: nothing is explained: %+v", seed, got)
		}
		count[want]++
	}
	t.Log(count)
	for _, v := range []Verdict{Pass, Fail, Inconclusive} {
		if count[v] < int(seeds)/50 {
			t.Errorf("%s came up %d times: too one-sided to prove anything", v, count[v])
		}
	}
}

func randomSpan(r *rand.Rand) (begin, end time.Duration) {
	begin = time.Duration(r.IntN(10))
	return begin, begin + time.Duration(r.IntN(4))
}

func TestConservedAgreesWithAllChoices(t *testing.T) {
	agree(t, 20_000, func(r *rand.Rand) (Finding, Verdict, any) {
		var flows []Flow
		for i := range r.IntN(5) {
			f := Flow{Name: fmt.Sprint("f", i), Took: history.Certainty(r.IntN(3)), By: r.Int64N(5) - 2, Moves: r.Int64N(3)}
			if f.Begin, f.End = randomSpan(r); f.Took == history.Maybe && r.IntN(2) == 0 {
				f.End = history.Open
			}
			flows = append(flows, f)
		}
		var looks []Look
		for range r.IntN(3) {
			l := Look{Who: "a look", Sum: big.NewInt(10 + r.Int64N(5) - 2)}
			l.Begin, l.End = randomSpan(r)
			looks = append(looks, l)
		}
		c := Conserved{Start: 10, InFlight: r.IntN(2) == 0, Flows: func(*history.History) []Flow { return flows }, Looks: func(*history.History) []Look { return looks }}
		want := Inconclusive
		for i, l := range looks {
			if i == 0 {
				want = Pass
			}
			if !possible(c, l, flows, 10) {
				want = Fail
			}
		}
		return c.Always(&history.History{}), want, []any{c, looks, flows}
	})
}

// possible tries every choice of what a look has seen of each flow.
func possible(c Conserved, l Look, flows []Flow, sum int64) bool {
	if len(flows) == 0 {
		return l.Sum.Int64() == sum
	}
	f, rest := flows[0], flows[1:]
	over := f.End != history.Open && f.End < l.Begin && f.Took != history.Maybe
	begun := f.Begin <= l.End
	var choices []int64
	if !over || f.Took == history.No {
		choices = append(choices, 0)
	}
	if begun && f.Took != history.No {
		choices = append(choices, f.By)
	}
	if begun && !over && c.InFlight {
		choices = append(choices, -f.Moves)
	}
	return slices.ContainsFunc(choices, func(by int64) bool { return possible(c, l, rest, sum+by) })
}

func TestAtomicAgreesWithBothDecisions(t *testing.T) {
	agree(t, 20_000, func(r *rand.Rand) (Finding, Verdict, any) {
		likely := 1 + r.IntN(2) // most facts tell one story, so that not all of them contradict each other
		decision := func() Decision {
			if r.IntN(8) == 0 {
				return Decision(r.IntN(3))
			}
			return Decision(likely * r.IntN(2))
		}
		var deeds []Deed
		for i := range r.IntN(3) {
			d := Deed{Name: fmt.Sprint("t", i)}
			for range r.IntN(3) {
				d.Answers = append(d.Answers, Told{Op: 1, Decision: decision()})
			}
			for j := range 1 + r.IntN(3) {
				p := Place{Name: fmt.Sprint("n", j), Said: decision(), Held: []Presence{Done, NotDone}[likely-1], Op: 2}
				if r.IntN(6) == 0 {
					p.Held = Presence(r.IntN(4))
				}
				d.Places = append(d.Places, p)
			}
			deeds = append(deeds, d)
		}
		a := Atomic{MayBlock: r.IntN(2) == 0, Deeds: func(*history.History) []Deed { return deeds }}
		want := Inconclusive
		for i, d := range deeds {
			if i == 0 {
				want = Pass
			}
			if !fits(a, d, Committed) && !fits(a, d, Aborted) {
				want = Fail
			}
			if want == Pass && slices.ContainsFunc(d.Places, func(p Place) bool { return p.Held == Unread }) {
				want = Inconclusive
			}
		}
		return a.Whole(&history.History{}), want, deeds
	})
}

// fits says whether a decision explains all there is about a deed.
func fits(a Atomic, d Deed, decision Decision) bool {
	for _, t := range d.Answers {
		if t.Decision != Undecided && t.Decision != decision {
			return false
		}
	}
	for _, p := range d.Places {
		wrong := map[Decision]Presence{Committed: NotDone, Aborted: Done}[decision]
		if p.Held == wrong || p.Said != Undecided && p.Said != decision || p.Held == InDoubt && !a.MayBlock {
			return false
		}
	}
	return true
}

func TestOnceAgreesWithCounting(t *testing.T) {
	agree(t, 20_000, func(r *rand.Rand) (Finding, Verdict, any) {
		var all []Request
		for i := range r.IntN(3) {
			q := Request{Name: fmt.Sprint("r", i)}
			for range r.IntN(4) {
				q.Tries = append(q.Tries, Try{Op: 1, Took: history.Certainty(r.IntN(3)), Answer: term.Int(r.IntN(8) / 7)})
			}
			for range r.IntN(3) {
				q.Found = append(q.Found, Found{Where: "a", Times: r.IntN(8) % 5 % 3 % 2, Op: 2})
			}
			if n := len(q.Found); n > 0 && r.IntN(8) == 0 {
				q.Found[n-1].Times = 2
			}
			all = append(all, q)
		}
		c := Once{SameAnswer: r.IntN(2) == 0, Requests: func(*history.History) []Request { return all }}
		want := Inconclusive
		for _, q := range all {
			if want == Inconclusive && len(q.Found) > 0 {
				want = Pass
			}
		}
		for _, q := range all {
			least, most := 0, 0
			answers := map[term.Term]bool{}
			for _, try := range q.Tries {
				switch try.Took {
				case history.Yes:
					least, most, answers[try.Answer] = 1, 1, true
				case history.Maybe:
					most = 1
				}
			}
			if c.SameAnswer && len(answers) > 1 || slices.ContainsFunc(q.Found, func(f Found) bool { return f.Times < least || f.Times > most }) {
				want = Fail
			}
		}
		return c.Counted(&history.History{}), want, all
	})
}

func TestMonotonicAgreesWithAllPairs(t *testing.T) {
	agree(t, 20_000, func(r *rand.Rand) (Finding, Verdict, any) {
		var all []Seen
		for range r.IntN(9) {
			s := Seen{Client: []string{"ann", "ben"}[r.IntN(2)], Key: []string{"x", "y"}[r.IntN(2)], Wrote: r.IntN(3) == 0}
			s.Begin, s.End = randomSpan(r)
			s.Version = term.Int(int(s.Begin)/3 + r.IntN(4)/3 - r.IntN(6)/5)
			if r.IntN(8) == 0 {
				s.End = history.Open
			}
			all = append(all, s)
		}
		m := Monotonic{OwnWrites: r.IntN(2) == 0, Together: r.IntN(2) == 0, Seen: func(*history.History) []Seen { return all }}
		want := Inconclusive
		for _, a := range all {
			for _, b := range all {
				same := a.Key == b.Key && (m.Together || a.Client == b.Client)
				if !same || a.End == history.Open || b.End == history.Open || a.End >= b.Begin || b.Wrote || a.Wrote && !m.OwnWrites {
					continue
				}
				if want == Inconclusive {
					want = Pass
				}
				if term.Compare(b.Version, a.Version) < 0 {
					want = Fail
				}
			}
		}
		return m.Forward(&history.History{}), want, all
	})
}

func TestConvergedAgreesWithAllPairs(t *testing.T) {
	agree(t, 20_000, func(r *rand.Rand) (Finding, Verdict, any) {
		h := &history.History{End: 20, Faults: []history.Fault{{At: 1, What: "cut", Node: "a", Peer: "b"}}}
		if r.IntN(10) > 0 {
			h.Faults = append(h.Faults, history.Fault{At: 4, What: "heal", Node: "a", Peer: "b"})
		}
		due := time.Duration(4 + 3)
		if r.IntN(3) == 0 {
			h.Ops = append(h.Ops, history.Op{ID: 1, Verb: "put", Begin: 3, End: 6})
			h.Ops[0].Outcome.Status = "ok"
			due = 6 + 3
		}
		var all []Held
		for range 1 + r.IntN(6) {
			x := Held{Node: []kit.NodeName{"a", "b"}[r.IntN(2)], Begin: time.Duration(5 + r.IntN(7)), Value: term.Int(r.IntN(9) / 8)}
			if r.IntN(12) == 0 {
				x.Value = nil
			}
			all = append(all, x)
		}
		c := Converged{Nodes: []kit.NodeName{"a", "b"}, Within: 3, Writes: []string{"put"}, Held: func(*history.History) []Held { return all }}
		late := slices.DeleteFunc(slices.Clone(all), func(x Held) bool { return x.Begin < due })
		of := func(n kit.NodeName) func(Held) bool { return func(x Held) bool { return x.Node == n } }
		want := Pass
		for _, x := range late {
			if x.Value == nil || !term.Equal(x.Value, late[0].Value) {
				want = Fail
			}
		}
		if len(h.Faults) < 2 || want == Pass && !(slices.ContainsFunc(late, of("a")) && slices.ContainsFunc(late, of("b"))) {
			want = Inconclusive
		}
		return c.Equal(h), want, all
	})
}
