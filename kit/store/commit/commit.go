// Package commit decides how a transaction ends on several nodes: two phases (prepare and vote, decide and apply) as two
// pure state machines, one for the node that runs the transaction and one for the nodes that hold copies. They take what
// happened and say what to send and do; they know nothing of frames, tables or time.
//
// The coordinator commits when every participant has said yes, and only then: one that goes before its vote came
// aborts the transaction, which runs again without it (mnesia_tm's bad_commit). So a participant whose
// coordinator has gone knows the outcome as soon as it knows the votes: one that has heard of the decision tells
// it; one that has said no, or promises not to say yes any more, means aborted; and when all have said yes the
// transaction is committed, for the coordinator may have told its caller so. While a participant's vote cannot
// be known, or when part of the transaction is on the coordinator's disc alone, it is in doubt and keeps its locks;
// Mnesia presumes abort there for most transactions, and can lose one whose caller was told that it is committed. So
// is what a participant finds in its log after a crash of its own, until it hears of somebody who knows: while it was
// down, or going down, the coordinator may have gone on without it.
package commit

import (
	"slices"

	"netsplit/kit"
	"netsplit/kit/term"
)

// State is where a transaction stands.
type State uint8

// The states.
const (
	Preparing State = iota // votes are missing
	Committed
	Aborted
	Forgotten // nothing is known of it, since the node has lost its memory
	Presumed  // it said yes, and does not commit any more unless somebody has: the coordinator has not decided
)

// String gives the state in lower case.
func (s State) String() string {
	return [...]string{"preparing", "committed", "aborted", "forgotten", "presumed"}[min(s, Presumed)]
}

// Coordinator drives one transaction from the node that runs it.
type Coordinator struct {
	state   State
	sync    bool           // Done waits until all have applied
	votes   []kit.NodeName // those whose vote is missing
	joined  []kit.NodeName // those that take part and are up
	applied []kit.NodeName // those whose application is missing
	reason  term.Term      // why it aborted
}

// Step is what a coordinator wants done next. To gets the decision in State; Done says that the transaction is
// over for its caller. A zero Step asks for nothing.
type Step struct {
	Decided bool
	State   State
	To      []kit.NodeName
	Done    bool
}

// Coordinate begins with a prepare to every participant, which the caller sends. Without participants the
// decision is made at once.
func Coordinate(participants []kit.NodeName, sync bool) (*Coordinator, Step) {
	c := &Coordinator{sync: sync, votes: slices.Clone(participants), joined: slices.Clone(participants)}
	return c, c.check()
}

// State tells where the transaction stands, and why it aborted.
func (c *Coordinator) State() (State, term.Term) { return c.state, c.reason }

// Vote takes a participant's vote; a nil reason is a yes.
func (c *Coordinator) Vote(n kit.NodeName, reason term.Term) Step {
	if c.state != Preparing || !slices.Contains(c.votes, n) {
		return Step{}
	}
	c.votes = without(c.votes, n)
	if reason != nil {
		c.joined = without(c.joined, n) // it has forgotten the transaction already
		return c.abort(reason)
	}
	return c.check()
}

// Down tells that a participant has gone. Without its vote the transaction aborts; afterwards the others go on
// without it, and its copies will be loaded anew.
func (c *Coordinator) Down(n kit.NodeName) Step {
	c.joined = without(c.joined, n)
	switch {
	case c.state != Preparing:
		return c.Applied(n)
	case slices.Contains(c.votes, n):
		return c.abort(term.T(term.Atom("bad_commit"), term.Atom(n)))
	}
	return Step{}
}

// Applied tells that a participant has applied the decision.
func (c *Coordinator) Applied(n kit.NodeName) Step {
	if c.state == Preparing || !slices.Contains(c.applied, n) {
		return Step{}
	}
	c.applied = without(c.applied, n)
	return Step{Done: c.sync && len(c.applied) == 0}
}

// Cancel aborts a transaction that is not decided, because its caller has gone.
func (c *Coordinator) Cancel(reason term.Term) Step {
	if c.state != Preparing {
		return Step{}
	}
	return c.abort(reason)
}

func (c *Coordinator) check() Step {
	if len(c.votes) > 0 {
		return Step{}
	}
	c.state = Committed
	c.applied = slices.Clone(c.joined)
	return Step{Decided: true, State: Committed, To: c.joined, Done: !c.sync || len(c.applied) == 0}
}

func (c *Coordinator) abort(reason term.Term) Step {
	c.state, c.reason, c.votes = Aborted, reason, nil
	return Step{Decided: true, State: Aborted, To: c.joined, Done: true}
}

// Participant is one transaction on a node that holds copies, from its yes to the decision.
type Participant struct {
	coordinator kit.NodeName
	mates       []kit.NodeName // the other participants
	others      []kit.NodeName // those of them whose vote is not known
	rest        []kit.NodeName // once it is presumed aborted: those who may have committed without the coordinator
	state       State
	asked       []kit.NodeName // those whose answer to "what became of it" is missing
	alone       bool           // the coordinator has gone, or has forgotten
	waits       bool           // only the coordinator can say that it is committed
	found       bool           // in the log after a crash
	presumed    bool           // the coordinator has not decided
}

// Act is what a participant wants done next: ask others what became of the transaction, or end it.
type Act struct {
	Ask   []kit.NodeName
	Ended bool
	State State
}

// Participate begins after a yes was sent. mates are the other participants. With waits the coordinator writes something
// on its disc that no participant has: if it dies undecided that is lost, so the votes of the others do not make a commit.
func Participate(coordinator kit.NodeName, mates []kit.NodeName, waits bool) *Participant {
	return &Participant{coordinator: coordinator, mates: slices.Clone(mates), others: slices.Clone(mates), waits: waits}
}

// Found says that the yes was found in the log after a crash. Then the votes alone do not make a commit: the coordinator,
// or one of the others, may have gone on without this node.
func (p *Participant) Found() { p.found = true }

// State tells where the transaction stands here: Presumed while it is known that the coordinator has not decided, and not
// whether another participant has.
func (p *Participant) State() State {
	if p.state == Preparing && p.presumed {
		return Presumed
	}
	return p.state
}

// Alone reports whether the coordinator cannot tell the outcome any more, so that the other participants must.
func (p *Participant) Alone() bool { return p.alone || p.presumed }

// Waiting reports whether an answer is still to come from a node that was asked.
func (p *Participant) Waiting() bool { return p.state == Preparing && len(p.asked) > 0 }

// Presumed reports whether the coordinator has said that it did not decide.
func (p *Participant) Presumed() bool { return p.presumed }

// Coordinator names the node that decides.
func (p *Participant) Coordinator() kit.NodeName { return p.coordinator }

// Decide takes the coordinator's decision, or that of another participant.
func (p *Participant) Decide(commit bool) Act {
	if p.state != Preparing {
		return Act{}
	}
	p.state = Aborted
	if commit {
		p.state = Committed
	}
	return Act{Ended: true, State: p.state}
}

// Down tells that a node has gone. up lists the nodes that can still be asked.
func (p *Participant) Down(n kit.NodeName, up []kit.NodeName) Act {
	if p.state != Preparing {
		return Act{}
	}
	p.asked = slices.DeleteFunc(p.asked, func(m kit.NodeName) bool { return m == n })
	if n != p.coordinator || p.found || p.presumed {
		return Act{}
	}
	p.alone = true
	return p.ask(up)
}

// Forsake tells that a node will never come back. What it knows is lost, and the rest end it.
func (p *Participant) Forsake(n kit.NodeName, up []kit.NodeName) Act {
	if p.state != Preparing {
		return Act{}
	}
	p.asked, p.rest = without(p.asked, n), without(p.rest, n)
	if n == p.coordinator {
		p.alone = true
	}
	return p.ask(up)
}

// Up tells that nodes can be asked again, or, after a crash of this one, for the first time.
func (p *Participant) Up(up ...kit.NodeName) Act {
	if p.state != Preparing {
		return Act{}
	}
	if !p.presumed && slices.Contains(up, p.coordinator) && !slices.Contains(p.asked, p.coordinator) {
		p.asked = append(p.asked, p.coordinator)
		a := p.ask(up)
		a.Ask = append([]kit.NodeName{p.coordinator}, a.Ask...)
		return a
	}
	return p.ask(up)
}

func (p *Participant) ask(up []kit.NodeName) Act {
	whom := p.others
	if p.presumed {
		whom = p.rest
	}
	var now []kit.NodeName
	for _, o := range whom {
		if slices.Contains(up, o) && !slices.Contains(p.asked, o) {
			now = append(now, o)
		}
	}
	p.asked = append(p.asked, now...)
	act := p.check()
	act.Ask = now
	return act
}

// Outcome takes another node's answer. Preparing means that it has said yes and does not know either. up lists the nodes that can
// be asked: when the coordinator has not decided, the others are asked once more, for they may have committed without it.
func (p *Participant) Outcome(n kit.NodeName, s State, up []kit.NodeName) Act {
	if p.state != Preparing || !slices.Contains(p.asked, n) {
		return Act{}
	}
	p.asked = without(p.asked, n)
	switch {
	case n == p.coordinator && s == Aborted:
		return p.presume(up)
	case s == Committed || s == Aborted:
		return p.Decide(s == Committed)
	case n == p.coordinator:
		p.alone, p.waits = true, false // it has no disc that would know
	case p.presumed && slices.Contains(p.asked, n): // what it said before it was asked again
	case p.presumed:
		p.rest = without(p.rest, n)
	case s != Presumed: // whose yes does not count any more
		p.others = without(p.others, n)
	}
	return p.check()
}

// presume takes the news that the coordinator has not decided, and asks all others. One that says from now on that it has not
// committed will not: it has not heard of this node's yes, and does not any more.
func (p *Participant) presume(up []kit.NodeName) Act {
	p.presumed, p.rest = true, slices.Clone(p.mates)
	now := slices.DeleteFunc(slices.Clone(p.mates), func(n kit.NodeName) bool { return !slices.Contains(up, n) })
	p.asked = append(p.asked, now...)
	act := p.check()
	act.Ask = now
	return act
}

// check ends it when nobody can have said no, or nobody can have committed.
func (p *Participant) check() Act {
	switch {
	case p.presumed && len(p.rest) == 0:
		return p.Decide(false)
	case p.presumed:
	case p.alone && !p.waits && len(p.others) == 0 && !slices.Contains(p.asked, p.coordinator):
		return p.Decide(true)
	}
	return Act{}
}

func without(ns []kit.NodeName, n kit.NodeName) []kit.NodeName {
	i := slices.Index(ns, n)
	if i < 0 {
		return ns
	}
	return slices.Concat(ns[:i], ns[i+1:])
}
