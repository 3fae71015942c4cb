package proc

import (
	"fmt"
	"slices"
	"time"

	"netsplit/kit/term"
)

// superActs is what a supervisor's decisions need done.
type superActs interface {
	now() time.Time
	// start begins a child; a reason says why it cannot.
	start(spec ChildSpec) (term.Pid, term.Term)
	// stop ends a child and returns when it has ended; one that has ended already is fine.
	stop(pid term.Pid, shutdown time.Duration)
	// again lets retry be called for the child, after what waits already.
	again(id term.Term)
	say(text string)
}

// childState is whether a child lives.
type childState byte

const (
	stopped    childState = iota // OTP's undefined: the spec is kept
	running                      // pid lives, as far as is known
	restarting                   // it could not be started again yet
)

type superChild struct {
	spec  ChildSpec
	pid   term.Pid
	state childState
}

// supervisor decides as OTP's supervisor does (stdlib 4.2 of OTP 25, which the scripts of testdata/supervisor were
// compared with). It has no goroutine or clock; superActs does what it decides, in the order given.
type supervisor struct {
	opts     SupervisorOptions
	children []*superChild // in the order of their start
	restarts []time.Time   // within the period, the oldest first
	act      superActs
}

// begin starts all children. When one cannot be started those before it are stopped, and the reason that the supervisor
// ends with is given.
func (s *supervisor) begin() term.Term {
	for _, spec := range s.opts.Children {
		s.children = append(s.children, &superChild{spec: spec})
	}
	if failed, why := s.startAll(s.children); failed != nil {
		s.stopAll(s.children)
		return term.T(term.Atom("shutdown"), term.T(term.Atom("failed_to_start_child"), failed.spec.ID, why))
	}
	return nil
}

func (s *supervisor) start(c *superChild) term.Term {
	pid, why := s.act.start(c.spec)
	if why == nil {
		c.pid, c.state = pid, running
	}
	return why
}

// startAll starts children in order, up to the first that cannot be.
func (s *supervisor) startAll(list []*superChild) (failed *superChild, why term.Term) {
	for _, c := range list {
		if why := s.start(c); why != nil {
			return c, why
		}
	}
	return nil, nil
}

// stopAll stops children in reverse order. Temporary ones are forgotten.
func (s *supervisor) stopAll(list []*superChild) {
	for _, c := range slices.Backward(slices.Clone(list)) {
		if c.state == running {
			s.act.stop(c.pid, c.spec.Shutdown)
		}
		s.drop(c)
	}
}

// drop takes that a child has ended: its spec stays, unless it is temporary.
func (s *supervisor) drop(c *superChild) {
	c.pid, c.state = term.Pid{}, stopped
	if c.spec.Restart == Temporary {
		s.children = slices.DeleteFunc(s.children, func(o *superChild) bool { return o == c })
	}
}

func (s *supervisor) find(id term.Term) *superChild {
	for _, c := range s.children {
		if term.Compare(c.spec.ID, id) == 0 {
			return c
		}
	}
	return nil
}

// restartable reports whether a child that ended with a reason is to be restarted.
func (r Restart) restartable(reason term.Term) bool {
	switch r {
	case Temporary:
		return false
	case Transient:
		t, _ := reason.(term.Tuple)
		return reason != Normal && reason != term.Atom("shutdown") && !(len(t) == 2 && t[0] == term.Atom("shutdown"))
	}
	return true
}

// ended takes the end of a process that the supervisor is linked to; false means that the supervisor ends too.
func (s *supervisor) ended(pid term.Pid, reason term.Term) bool {
	for _, c := range s.children {
		if c.state != running || c.pid != pid {
			continue
		}
		if !c.spec.Restart.restartable(reason) {
			s.drop(c)
			return true
		}
		reason, _ = WithoutStack(reason)
		s.act.say(fmt.Sprintf("child %s %s ended with %s", term.String(c.spec.ID), term.String(pid), short(reason)))
		return s.restart(c)
	}
	return true // some other process; OTP ignores it too
}

// retry takes that a child which could not be started is to be tried once more.
func (s *supervisor) retry(id term.Term) bool {
	if c := s.find(id); c != nil && c.state == restarting {
		return s.restart(c)
	}
	return true
}

// restart starts a child that has ended again, and whom the strategy adds.
func (s *supervisor) restart(c *superChild) bool {
	c.pid, c.state = term.Pid{}, stopped
	if !s.allowed() {
		s.act.say(fmt.Sprintf("more than %d restarts in %s: all children and the supervisor stop", max(s.opts.MaxRestarts, 0), s.opts.Within))
		return false
	}
	list := []*superChild{c}
	switch s.opts.Strategy {
	case RestForOne:
		list = s.children[slices.Index(s.children, c):]
	case OneForAll:
		list = s.children
	}
	list = slices.Clone(list)
	s.stopAll(list)
	list = slices.DeleteFunc(list, func(o *superChild) bool { return o.spec.Restart == Temporary })
	if failed, why := s.startAll(list); failed != nil {
		s.act.say(fmt.Sprintf("child %s cannot be restarted: %s", term.String(failed.spec.ID), short(why)))
		failed.state = restarting
		s.act.again(failed.spec.ID)
	}
	return true
}

// allowed counts a restart, and reports whether it is one too many.
func (s *supervisor) allowed() bool {
	now := s.act.now()
	s.restarts = slices.DeleteFunc(s.restarts, func(t time.Time) bool { return now.Sub(t) > s.opts.Within })
	s.restarts = append(s.restarts, now)
	return len(s.restarts) <= s.opts.MaxRestarts
}

// request answers one request: {start_child, Spec}, {terminate_child, Id}, which_children and so on, as OTP does.
func (s *supervisor) request(req term.Term) term.Term {
	t, _ := req.(term.Tuple)
	if len(t) == 2 {
		switch t[0] {
		case term.Atom("start_child"):
			return s.startChild(t[1])
		case term.Atom("terminate_child"):
			return s.terminateChild(t[1])
		case term.Atom("restart_child"):
			return s.restartChild(t[1])
		case term.Atom("delete_child"):
			return s.deleteChild(t[1])
		case term.Atom("get_childspec"):
			if c := s.find(t[1]); c != nil {
				return okTerm(c.spec.Term())
			}
			return errorTerm(term.Atom("not_found"))
		}
	}
	switch req {
	case term.Atom("ready"):
		return term.Atom("ok")
	case term.Atom("which_children"):
		return s.which()
	case term.Atom("count_children"):
		return s.count()
	}
	return errorTerm(term.Atom("badarg"))
}

func okTerm(v term.Term) term.Term         { return term.T(term.Atom("ok"), v) }
func errorTerm(reason term.Term) term.Term { return term.T(term.Atom("error"), reason) }

func (s *supervisor) startChild(t term.Term) term.Term {
	spec, err := ParseChildSpec(t)
	if err != nil {
		return errorTerm(reasonOf(err))
	}
	if c := s.find(spec.ID); c != nil {
		if c.state == running {
			return errorTerm(term.T(term.Atom("already_started"), c.pid))
		}
		return errorTerm(term.Atom("already_present"))
	}
	if len(s.children) >= MaxChildren {
		return errorTerm(term.Atom("system_limit"))
	}
	c := &superChild{spec: spec}
	if why := s.start(c); why != nil {
		return errorTerm(why)
	}
	s.children = append(s.children, c)
	return okTerm(c.pid)
}

func (s *supervisor) terminateChild(id term.Term) term.Term {
	c := s.find(id)
	if c == nil {
		return errorTerm(term.Atom("not_found"))
	}
	s.stopAll([]*superChild{c})
	return term.Atom("ok")
}

func (s *supervisor) restartChild(id term.Term) term.Term {
	c, no := s.idle(id)
	if no != nil {
		return no
	}
	if why := s.start(c); why != nil {
		return errorTerm(why)
	}
	return okTerm(c.pid)
}

func (s *supervisor) deleteChild(id term.Term) term.Term {
	c, no := s.idle(id)
	if no != nil {
		return no
	}
	s.children = slices.DeleteFunc(s.children, func(o *superChild) bool { return o == c })
	return term.Atom("ok")
}

// idle finds a child that is stopped, or gives the answer to who wanted one.
func (s *supervisor) idle(id term.Term) (*superChild, term.Term) {
	c := s.find(id)
	switch {
	case c == nil:
		return nil, errorTerm(term.Atom("not_found"))
	case c.state == running:
		return nil, errorTerm(term.Atom("running"))
	case c.state == restarting:
		return nil, errorTerm(term.Atom("restarting"))
	}
	return c, nil
}

// which lists {Id, Pid, Type, [Function]}, the last started first, as OTP does; Pid may be undefined or restarting.
func (s *supervisor) which() term.Term {
	list := term.List{}
	for _, c := range slices.Backward(s.children) {
		var pid term.Term = c.pid
		switch c.state {
		case stopped:
			pid = term.Undefined
		case restarting:
			pid = term.Atom("restarting")
		}
		list = append(list, term.T(c.spec.ID, pid, term.Atom(c.spec.Type), term.L(term.Atom(c.spec.Function))))
	}
	return list
}

func (s *supervisor) count() term.Term {
	active, supers := 0, 0
	for _, c := range s.children {
		if c.state == running {
			active++
		}
		if c.spec.Type == SupervisorKid {
			supers++
		}
	}
	return countsTerm(len(s.children), active, supers)
}

func countsTerm(specs, active, supers int) term.Term {
	pair := func(k string, n int) term.Term { return term.T(term.Atom(k), term.Int(n)) }
	return term.L(pair("specs", specs), pair("active", active), pair("supervisors", supers), pair("workers", specs-supers))
}

// short renders a reason within the bounds of a line.
func short(reason term.Term) string { return fmt.Sprintf("%.300s", term.String(reason)) }
