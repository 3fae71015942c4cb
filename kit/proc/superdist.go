package proc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Limits of distributed supervisors.
const (
	MaxMembers  = 64      // members of one distributed supervisor
	MaxDistSpec = 4 << 10 // bytes of one child spec: every member keeps those of all
	maxDistAsks = 1024    // requests that wait for another member's answer
	maxTombs    = 4096    // children that ended for good and are remembered, so that no part brings them back
)

// The times of a distributed supervisor.
const (
	distBeat      = 500 * time.Millisecond // with Quorum, how often a member asks the others to let it go on
	distLease     = 2 * time.Second        // how long it may go on after it asked
	distStopping  = time.Second            // and how long its children then get to stop
	distMargin    = 500 * time.Millisecond // for timers that are late
	distFence     = distLease + distStopping + distMargin
	distRetry     = 200 * time.Millisecond // before a child that could not be placed is tried again, doubled up to distRetryMost
	distRetryMost = 5 * time.Second
	distJoining   = 2 * time.Second // how long the start of a part waits for the others
	distIdle      = time.Second     // how often members look after what else has to be done
	distAskTime   = 30 * time.Second
)

const distFunc = "dist_supervisor"

// DistOptions tell what a distributed supervisor does, the same on all members. Name and Members are needed.
//
// A distributed supervisor is one process on each member, registered there under Name, and children that are spread over the
// members (in Elixir the library Horde does this). Every member knows all children; any of them can be asked (see
// Supervisor). What holds:
//
//   - A new child goes to the member with the fewest children, of several to the one whose name sorts first. The member
//     whose name sorts first among those connected decides, so that two that start at once do not choose the same one.
//   - A child that ends is restarted where it was, as its Restart says. With more than MaxRestarts of one child Within
//     the time it is given up, and all members forget it: it is not handed on, for it would take member after member down.
//   - When a member is lost, its children but the temporary ones are restarted on the others, by the same rule, as soon
//     as those have noticed: at once when the connection closes. They begin anew; what they knew is lost.
//   - A member that comes back, or whose process was killed, gets its part started by the others. Children stay where
//     they are; new ones go to it. Rebalance moves children until no member has two more than another; they begin anew.
//
// In a split each part takes the other's nodes for lost and restarts their children: the same child then lives once in
// each part, with a state of its own. After the heal the members tell each other what they have, and of the copies of
// one child one stays: the one that was moved the least often, so the original; among equals the one on the member
// whose name sorts first. The others get the exit signal shutdown, the member says so in its output, and what they had
// done is lost. A child that was terminated, or came to its own end, in one part is ended in the other too.
//
// With Quorum a child never lives twice, at the price that a part without the majority of Members has none: a member
// that has not heard from the majority for two seconds stops its children, and starts none (the error no_quorum).
// The others wait until it must have done so, 3.5 s after they last let it go on, and then restart them.
// This counts on clocks that run at the same speed, and on functions that end when they are killed; a process of the
// system that was paused for longer and resumed has its children for the moment until its timers have run. A resource
// outside, which must not be written twice even then, has to check itself who may.
type DistOptions struct {
	Name        string         // the local name of each member's process
	Members     []kit.NodeName // all of them, this node included
	Quorum      bool
	MaxRestarts int           // of one child on one member; 0 is 1, negative none
	Within      time.Duration // 0 is 5 s; as a term, max_seconds
}

func (o DistOptions) whole() DistOptions {
	o.Members = slices.Clone(o.Members)
	slices.Sort(o.Members)
	o.Members = slices.Compact(o.Members)
	s := SupervisorOptions{MaxRestarts: o.MaxRestarts, Within: o.Within}.whole()
	o.MaxRestarts, o.Within = s.MaxRestarts, s.Within
	return o
}

// Term gives the options as the map that the function dist_supervisor takes: name, members, quorum, max_restarts and
// max_seconds.
func (o DistOptions) Term() term.Term {
	o = o.whole()
	pair := func(k string, v term.Term) term.Pair { return term.Pair{Key: term.Atom(k), Value: v} }
	return term.MakeMap(pair("name", term.Atom(o.Name)), pair("members", term.Atoms(o.Members...)), pair("quorum", term.Bool(o.Quorum)),
		pair("max_restarts", term.Int(max(o.MaxRestarts, 0))), pair("max_seconds", seconds(o.Within)))
}

// ParseDistOptions reads options; what is wrong is {supervisor_data, {invalid_members, X}} and the like.
func ParseDistOptions(t term.Term) (DistOptions, error) {
	m, ok := t.(term.Map)
	if !ok {
		return DistOptions{}, badData("invalid_type", t)
	}
	var o DistOptions
	var s SupervisorOptions
	for _, p := range m {
		word, _ := p.Value.(term.Atom)
		switch p.Key {
		case term.Atom("name"):
			o.Name = string(word)
		case term.Atom("quorum"):
			if word != term.True && word != term.False {
				return o, badData("invalid_quorum", p.Value)
			}
			o.Quorum = word == term.True
		case term.Atom("members"):
			if o.Members, ok = memberNames(p.Value); !ok {
				return o, badData("invalid_members", p.Value)
			}
		case term.Atom("max_restarts"), term.Atom("max_seconds"):
			if err := s.set(p.Key, p.Value); err != nil {
				return o, err
			}
		default:
			return o, badData("invalid_option", p.Key)
		}
	}
	if o.Name == "" || o.Name == "undefined" {
		return o, badData("invalid_name", term.Atom(o.Name))
	}
	if len(o.Members) == 0 {
		return o, badData("invalid_members", term.List{})
	}
	o.MaxRestarts, o.Within = s.MaxRestarts, s.Within
	return o.whole(), nil
}

func memberNames(t term.Term) ([]kit.NodeName, bool) {
	list, ok := t.(term.List)
	if !ok || len(list) > MaxMembers {
		return nil, false
	}
	var names []kit.NodeName
	for _, e := range list {
		a, _ := e.(term.Atom)
		if !kit.NodeName(a).Valid() {
			return nil, false
		}
		names = append(names, kit.NodeName(a))
	}
	return names, true
}

// majority is how many members are more than half of all.
func (o DistOptions) majority() int { return len(o.Members)/2 + 1 }

// StartDistSupervisor begins this node's part of a distributed supervisor. Members that are connected get theirs too; it
// waits for them, two seconds at most. One that has begun already is fine; a name that another process has is the error
// {already_started, Pid}. The supervisor is asked by Runtime.Supervisor with its name.
func (r *Runtime) StartDistSupervisor(ctx context.Context, o DistOptions) (term.Pid, error) {
	return r.startBy(ctx, func(p *Process) (term.Pid, error) { return p.StartDistSupervisorTerm(o.Term()) })
}

// StartDistSupervisorTerm is Runtime.StartDistSupervisor of options as a term.
func (p *Process) StartDistSupervisorTerm(options term.Term) (term.Pid, error) {
	o, err := ParseDistOptions(options)
	if err != nil {
		return term.Pid{}, err
	}
	if !slices.Contains(o.Members, p.Node()) {
		return term.Pid{}, badData("invalid_members", term.Atoms(o.Members...))
	}
	req := request{args: []term.Term{options}}
	p.do(func(c *Core) { req.monitor = c.ref() })
	pid, err := p.spawn(p.Node(), distFunc, req)
	if err != nil {
		return pid, err
	}
	defer p.Demonitor(req.monitor)
	err = p.ready(pid, req.monitor)
	var e *Exception
	if errors.As(err, &e) {
		if t, _ := e.Reason.(term.Tuple); len(t) == 2 && t[0] == term.Atom("already_started") {
			if other, ok := t[1].(term.Pid); ok && p.isDist(other) {
				return other, nil
			}
		}
	}
	if err == nil {
		_, err = p.supervise(pid, term.Atom("joined"))
	}
	return pid, err
}

// isDist reports whether a process of this node is a part of a distributed supervisor.
func (p *Process) isDist(pid term.Pid) (is bool) {
	p.do(func(c *Core) {
		q := c.find(pid)
		is = q != nil && q.fn == distFunc
	})
	return is
}

// Member is what a member of a distributed supervisor knows of one.
type Member struct {
	Node     kit.NodeName
	State    string // up, down, or no_quorum for itself
	Children int    // that run there, as far as is known
}

// Members lists the members of a distributed supervisor, as the one that is asked sees them.
func (s Supervisor) Members(ctx context.Context) ([]Member, error) {
	answer, err := s.Done(ctx, term.Atom("members"))
	rows, _ := answer.(term.List)
	var list []Member
	for _, row := range rows {
		t, _ := row.(term.Tuple)
		if len(t) != 3 {
			return nil, &kit.Error{Op: "ask supervisor", What: term.String(s.at), Kind: kit.Corrupt, Err: fmt.Errorf("it answers %s", short(answer))}
		}
		node, _ := t[0].(term.Atom)
		state, _ := t[1].(term.Atom)
		n, _ := t[2].(term.Int)
		list = append(list, Member{kit.NodeName(node), string(state), int(n)})
	}
	return list, err
}

// Rebalance moves children of a distributed supervisor from the members with the most to those with the fewest, and
// gives how many will move. Moved children end with shutdown and begin anew.
func (s Supervisor) Rebalance(ctx context.Context) (int, error) {
	v, err := s.Done(ctx, term.Atom("rebalance"))
	n, _ := v.(term.Int)
	return int(n), err
}
