package grade

import (
	"fmt"
	"slices"
	"strings"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// Decision is what somebody says became of a deed.
type Decision int

// The decisions. Undecided is also for an answer that never came, or that proves nothing.
const (
	Undecided Decision = iota
	Committed
	Aborted
)

// String gives the word that findings use.
func (d Decision) String() string {
	switch d {
	case Committed:
		return "committed"
	case Aborted:
		return "aborted"
	}
	return "undecided"
}

// Presence says whether a deed is done at one place.
type Presence int

// The presences. InDoubt is for a participant that holds the deed ready and waits for a decision; Unread for a place that
// could not be looked at, which proves nothing.
const (
	NotDone Presence = iota
	Done
	InDoubt
	Unread
)

// String gives the words that findings use.
func (p Presence) String() string {
	switch p {
	case NotDone:
		return "not done"
	case Done:
		return "done"
	case InDoubt:
		return "in doubt"
	}
	return "not readable"
}

// Told is one answer that a client got about a deed.
type Told struct {
	Op       int // the request
	Decision Decision
}

// Place is where a part of a deed belongs: a node, or a row on a node.
type Place struct {
	Name string // as a sentence calls it after "on": "b", "b (account ann)"
	Held Presence
	Op   int // the request that showed it; 0 is none
	// Said is what the participant itself says was decided, where a lab can ask for it; Undecided is no statement.
	Said Decision
}

// Deed is one request that is to be done at several places or at none: a distributed transaction, a transfer.
type Deed struct {
	Name    string // of the request; every deed has another
	Answers []Told // of each time that its client asked, in order
	Places  []Place
}

// Atomic demands all or nothing: each deed is done at all of its places or at none, whatever its client was told; done at all
// when the answer was that it is committed, at none when it was aborted; nobody is ever told two different things; and no
// two participants decide differently.
//
// A lab says in Deeds what its verbs and tables mean. Give every deed something of its own at each place, such as a row
// whose key is the deed's name: a value that a later deed may overwrite shows nothing.
//
//	grade.Atomic{What: "transfer", Deeds: func(h *history.History) []grade.Deed {
//		deeds := grade.DeedsOf(h, "transfer", func(o history.Op) string { return grade.Word(o.Args[0]) }, nil)
//		copies := grade.Copies(h, "entry") // read with local_contents in the phase observe
//		for i := range deeds {
//			for _, n := range []kit.NodeName{"a", "b"} {
//				deeds[i].Places = append(deeds[i].Places, grade.RowAt(copies, n, term.Bin(deeds[i].Name)))
//			}
//		}
//		return deeds
//	}}.Whole
type Atomic struct {
	What  string // what a deed is called: "transfer", "transaction"
	Deeds func(h *history.History) []Deed
	// MayBlock accepts a place that is in doubt at the end, for a run in which the one who knows is still away. The places
	// that are not in doubt must agree all the same.
	MayBlock bool
	// Least is how many deeds must have been committed for the run to prove anything; with fewer it is inconclusive.
	Least int
}

// Whole is the check.
func (a Atomic) Whole(h *history.History) Finding {
	if f, cut := cutOff(h); cut {
		return f
	}
	deeds := a.Deeds(h)
	if len(deeds) == 0 {
		return Unclear(fmt.Sprintf("no %s was asked for, so none can have been done by halves", a.what()))
	}
	unread, committed := Passed(), 0
	for _, judge := range []func(Deed) Finding{a.told, a.decided, a.done, a.halves, a.doubt} {
		for _, d := range deeds {
			f := judge(d)
			if f.Verdict == Fail {
				return f
			}
			if f.Verdict != Pass {
				unread = f
			}
		}
	}
	for _, d := range deeds {
		if slices.ContainsFunc(d.Answers, func(t Told) bool { return t.Decision == Committed }) {
			committed++
		}
	}
	if unread.Verdict == Pass && committed < a.Least {
		return Unclear(fmt.Sprintf("only %d of %d (%s) were committed, and this task needs %d: the run proves nothing", committed, len(deeds), a.what(), a.Least))
	}
	return unread
}

func (a Atomic) what() string {
	if a.What == "" {
		return "transaction"
	}
	return a.What
}

// told wants all answers to one deed to say the same.
func (a Atomic) told(d Deed) Finding {
	first := Told{}
	for _, t := range d.Answers {
		switch {
		case t.Decision == Undecided || t.Decision == first.Decision:
		case first.Decision == Undecided:
			first = t
		default:
			return Failed(fmt.Sprintf("the %s %s was answered %s and, asked again, %s", a.what(), d.Name, first.Decision, t.Decision),
				fmt.Sprintf("%s again: what is decided once is decided for good", first.Decision), t.Decision.String(), first.Op, t.Op)
		}
	}
	return Passed()
}

// answer gives what the client was told in the end.
func (d Deed) answer() Told {
	for _, t := range d.Answers {
		if t.Decision != Undecided {
			return t
		}
	}
	if n := len(d.Answers); n > 0 {
		return Told{Op: d.Answers[n-1].Op}
	}
	return Told{}
}

// decided wants the participants to have decided alike, and as the client was told.
func (a Atomic) decided(d Deed) Finding {
	var first *Place
	answer := d.answer()
	for i, p := range d.Places {
		switch {
		case p.Said == Undecided:
			continue
		case answer.Decision != Undecided && p.Said != answer.Decision:
			return Failed(fmt.Sprintf("the client of the %s %s was told that it is %s, and on %s it was %s", a.what(), d.Name, answer.Decision, p.Name, p.Said),
				fmt.Sprintf("%s on %s", answer.Decision, p.Name), fmt.Sprintf("%s on %s", p.Said, p.Name), ids(answer.Op, p.Op)...)
		case first == nil:
			first = &d.Places[i]
		case p.Said != first.Said:
			return Failed(fmt.Sprintf("the %s %s was %s on %s and %s on %s", a.what(), d.Name, first.Said, first.Name, p.Said, p.Name),
				"one decision, the same for all participants", fmt.Sprintf("%s on %s, %s on %s", first.Said, first.Name, p.Said, p.Name), ids(answer.Op, first.Op, p.Op)...)
		}
	}
	return Passed()
}

// done wants the places to hold what the client was told, what they say themselves, and what another one says.
func (a Atomic) done(d Deed) Finding {
	answer := d.answer()
	first := slices.IndexFunc(d.Places, func(p Place) bool { return p.Said != Undecided })
	for _, p := range d.Places {
		said := p // who says what was decided: the place itself, or else another
		if p.Said == Undecided && first >= 0 {
			said = d.Places[first]
		}
		switch {
		case answer.Decision == Committed && p.Held == NotDone:
			return Failed(fmt.Sprintf("the client of the %s %s was told that it is committed, and on %s nothing of it was done", a.what(), d.Name, p.Name),
				"done on "+d.names(), d.held(), d.evidence(p)...)
		case answer.Decision == Aborted && p.Held == Done:
			return Failed(fmt.Sprintf("the client of the %s %s was told that it is aborted, and on %s it was done all the same", a.what(), d.Name, p.Name),
				"not done on any of "+d.names(), d.held(), d.evidence(p)...)
		case said.Said == Committed && p.Held == NotDone, said.Said == Aborted && p.Held == Done:
			return Failed(fmt.Sprintf("the %s %s was %s on %s, and on %s it is %s", a.what(), d.Name, said.Said, said.Name, p.Name, p.Held),
				"done on all of "+d.names()+" when it is committed, and on none when it is aborted", d.held(), d.evidence(p)...)
		}
	}
	return Passed()
}

// halves wants a deed that nobody was told of to be done everywhere or nowhere.
func (a Atomic) halves(d Deed) Finding {
	for _, p := range d.Places {
		if p.Held != Done {
			continue
		}
		for _, q := range d.Places {
			if q.Held == NotDone {
				return Failed(fmt.Sprintf("half of the %s %s was done: it is done on %s and not on %s", a.what(), d.Name, p.Name, q.Name),
					"done on all of "+d.names()+", or on none of them", d.held(), d.evidence(q)...)
			}
		}
	}
	return Passed()
}

// doubt wants nobody to be left waiting, unless that is allowed, and nobody unread.
func (a Atomic) doubt(d Deed) Finding {
	unread := Passed()
	for _, p := range d.Places {
		if p.Held == InDoubt && !a.MayBlock {
			return Failed(fmt.Sprintf("the %s %s is still in doubt on %s at the end", a.what(), d.Name, p.Name),
				"committed or aborted on "+p.Name, "neither: it waits for a decision", d.evidence(p)...)
		}
		if p.Held == Unread {
			unread = Unclear(fmt.Sprintf("what became of the %s %s on %s could not be read, so nothing can be said about it", a.what(), d.Name, p.Name))
		}
	}
	return unread
}

func (d Deed) names() string {
	var all []string
	for _, p := range d.Places {
		all = append(all, p.Name)
	}
	return strings.Join(all, ", ")
}

// held says what is where, as far as anybody has looked.
func (d Deed) held() string {
	var all []string
	for _, p := range d.Places {
		if p.Held == Unread {
			continue
		}
		all = append(all, fmt.Sprintf("%s on %s", p.Held, p.Name))
	}
	return strings.Join(all, ", ")
}

// evidence gives the requests of the client, then those that showed the places, the one that tells last.
func (d Deed) evidence(tells Place) []int {
	var all []int
	for _, t := range d.Answers[:min(len(d.Answers), 4)] {
		all = append(all, t.Op)
	}
	for _, p := range d.Places[:min(len(d.Places), 8)] {
		if p.Name != tells.Name {
			all = append(all, p.Op)
		}
	}
	return ids(append(all, tells.Op)...)
}

// ids keeps each request once, at its last place, and leaves out 0.
func ids(all ...int) []int {
	var kept []int
	for i, id := range all {
		if id != 0 && !slices.Contains(all[i+1:], id) {
			kept = append(kept, id)
		}
	}
	return kept
}

// DeedsOf makes a deed of each name under which a verb was asked for, in the order in which they were first asked, with
// the answers of all tries and without places. decide says what an answer means; nil stands for Decided. Requests
// for which name gives nothing are left out.
func DeedsOf(h *history.History, verb string, name func(history.Op) string, decide func(history.Op) Decision) []Deed {
	if decide == nil {
		decide = Decided
	}
	var deeds []Deed
	index := map[string]int{}
	for _, o := range h.Ops {
		if o.Verb != verb {
			continue
		}
		n := name(o)
		if n == "" {
			continue
		}
		i, known := index[n]
		if !known {
			i = len(deeds)
			index[n] = i
			deeds = append(deeds, Deed{Name: n})
		}
		deeds[i].Answers = append(deeds[i].Answers, Told{Op: o.ID, Decision: decide(o)})
	}
	return deeds
}

// Decided takes an answer for what it says: any value but the atoms aborted and undecided, and tuples that begin with them, is
// committed; an abort, and an error that says for sure that nothing happened, is aborted; everything else is undecided.
func Decided(o history.Op) Decision {
	switch o.Took() {
	case history.No:
		return Aborted
	case history.Maybe:
		return Undecided
	}
	v, _ := o.Outcome.Term()
	if t, ok := v.(term.Tuple); ok && len(t) > 0 {
		v = t[0]
	}
	switch v {
	case term.Atom("aborted"):
		return Aborted
	case term.Atom("undecided"):
		return Undecided
	}
	if o.Outcome.Status != door.OK {
		return Undecided
	}
	return Committed
}

// RowAt looks for a row in a node's final copy (see Copies) by its key: done when it is there.
func RowAt(copies map[kit.NodeName]Copy, node kit.NodeName, key term.Term) Place {
	c, ok := copies[node]
	if !ok {
		return Place{Name: string(node), Held: Unread}
	}
	p := Place{Name: string(node), Op: c.Op}
	for _, row := range c.Rows {
		if r, ok := row.(term.Tuple); ok && len(r) > 1 && term.Equal(r[1], key) {
			p.Held = Done
		}
	}
	return p
}
