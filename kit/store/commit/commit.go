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
)

// String gives the state in lower case.
func (s State) String() string {
	return [...]string{"preparing", "committed", "aborted", "forgotten"}[min(s, Forgotten)]
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
	others      []kit.NodeName // the participants whose vote is not known
	state       State
	asked       []kit.NodeName // those whose answer to "what became of it" is missing
	alone       bool           // the coordinator has gone, or has forgotten
	waits       bool           // only the coordinator can say that it is committed
}

// Act is what a participant wants done next: ask others what became of the transaction, or end it.
type Act struct {
	Ask   []kit.NodeName
	Ended bool
	State State
}

// Participate begins after a yes was sent, or was found in the log after a crash. others are the other participants. With
// waits the coordinator writes something on its disc that no participant has: if it dies undecided that is lost, so
// the votes of the others do not make a commit.
func Participate(coordinator kit.NodeName, others []kit.NodeName, waits bool) *Participant {
	return &Participant{coordinator: coordinator, others: slices.Clone(others), waits: waits}
}

// State tells where the transaction stands here.
func (p *Participant) State() State { return p.state }

// Alone reports whether the coordinator cannot tell the outcome any more, so that the other participants must.
func (p *Participant) Alone() bool { return p.alone }

// Waiting reports whether an answer is still to come from a node that was asked.
func (p *Participant) Waiting() bool { return p.state == Preparing && len(p.asked) > 0 }

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
	p.asked = without(p.asked, n)
	if n != p.coordinator {
		return Act{}
	}
	p.alone = true
	return p.ask(up)
}

// Up tells that nodes can be asked again, or, after a crash of this one, for the first time.
func (p *Participant) Up(up ...kit.NodeName) Act {
	if p.state != Preparing {
		return Act{}
	}
	if slices.Contains(up, p.coordinator) && !slices.Contains(p.asked, p.coordinator) {
		p.asked = append(p.asked, p.coordinator)
		a := p.ask(up)
		a.Ask = append([]kit.NodeName{p.coordinator}, a.Ask...)
		return a
	}
	return p.ask(up)
}

func (p *Participant) ask(up []kit.NodeName) Act {
	var now []kit.NodeName
	for _, o := range p.others {
		if slices.Contains(up, o) && !slices.Contains(p.asked, o) {
			now = append(now, o)
		}
	}
	p.asked = append(p.asked, now...)
	act := p.check()
	act.Ask = now
	return act
}

// Outcome takes another node's answer. Preparing means that it has said yes and does not know either.
func (p *Participant) Outcome(n kit.NodeName, s State) Act {
	if p.state != Preparing || !slices.Contains(p.asked, n) {
		return Act{}
	}
	p.asked = without(p.asked, n)
	switch {
	case s == Committed || s == Aborted:
		return p.Decide(s == Committed)
	case n == p.coordinator:
		p.alone, p.waits = true, false // it has no disc that would know
	default:
		p.others = without(p.others, n)
	}
	return p.check()
}

// check commits when nobody can have said no.
func (p *Participant) check() Act {
	if p.alone && !p.waits && len(p.others) == 0 && !slices.Contains(p.asked, p.coordinator) {
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
