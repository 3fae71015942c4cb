// Package commit decides how a transaction ends on several nodes: two phases (prepare and vote, decide and apply) as two
// pure state machines, one for the node that runs the transaction and one for the nodes that hold copies. They take what
// happened and say what to send and do; they know nothing of frames, tables or time.
//
// The rules follow mnesia_tm: a participant whose coordinator goes down before the decision asks the other
// participants; when one of them has committed so does it, when none has, all abort. A participant that goes down does
// not stop the others: its copies are loaded anew when it comes back.
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
)

// String gives the state in lower case.
func (s State) String() string { return [...]string{"preparing", "committed", "aborted"}[s] }

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

// Down tells that a participant has gone. The others go on without it.
func (c *Coordinator) Down(n kit.NodeName) Step {
	c.joined, c.votes = without(c.joined, n), without(c.votes, n)
	if c.state == Preparing {
		return c.check()
	}
	return c.Applied(n)
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
	others      []kit.NodeName
	state       State
	asked       []kit.NodeName // those whose answer to "what became of it" is missing
	alone       bool           // the coordinator has gone
}

// Act is what a participant wants done next: ask others what became of the transaction, or end it.
type Act struct {
	Ask   []kit.NodeName
	Ended bool
	State State
}

// Participate begins after a yes was sent.
func Participate(coordinator kit.NodeName, others []kit.NodeName) *Participant {
	return &Participant{coordinator: coordinator, others: slices.Clone(others)}
}

// State tells where the transaction stands here.
func (p *Participant) State() State { return p.state }

// Alone reports whether the coordinator has gone, so that only the other participants can tell the outcome.
func (p *Participant) Alone() bool { return p.alone }

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
	if n != p.coordinator {
		if p.alone && slices.Contains(p.asked, n) {
			return p.Outcome(n, Aborted)
		}
		return Act{}
	}
	p.alone = true
	for _, o := range p.others {
		if slices.Contains(up, o) {
			p.asked = append(p.asked, o)
		}
	}
	if len(p.asked) == 0 {
		return p.Decide(false)
	}
	return Act{Ask: slices.Clone(p.asked)}
}

// Outcome takes another participant's answer. Preparing means that it does not know either.
func (p *Participant) Outcome(n kit.NodeName, s State) Act {
	if p.state != Preparing || !p.alone {
		return Act{}
	}
	p.asked = without(p.asked, n)
	switch {
	case s == Committed:
		return p.Decide(true)
	case len(p.asked) == 0:
		return p.Decide(false)
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
