package proc

import (
	"errors"
	"fmt"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Limits of supervisors.
const (
	MaxChildren = 4096                // children of one supervisor
	MaxSpec     = 64 << 10            // bytes of one child spec
	MaxRestarts = 1000                // what a supervisor may be told to allow
	MaxPeriod   = 24 * time.Hour      // the longest window in which restarts are counted, and the longest shutdown but Infinity
	superviseIn = 60 * time.Second    // how long a request waits for a supervisor that is busy
	superName   = "supervisor"        // the function of a supervisor
	again       = term.Atom("$again") // {'$again', Id}: try the start of a child once more
)

// Strategy says whom a supervisor restarts with a child that ended.
type Strategy string

// The strategies: only the child itself; it and those started after it; all.
const (
	OneForOne  Strategy = "one_for_one"
	RestForOne Strategy = "rest_for_one"
	OneForAll  Strategy = "one_for_all"
)

// Restart says when a child that ended is restarted: always, only when its reason is none of normal, shutdown and
// {shutdown, _}, or never.
type Restart string

// The kinds of restart.
const (
	Permanent Restart = "permanent"
	Transient Restart = "transient"
	Temporary Restart = "temporary"
)

// ChildType says whether a child is a supervisor itself; the default of Shutdown hangs on it.
type ChildType string

// The types of children.
const (
	Worker        ChildType = "worker"
	SupervisorKid ChildType = "supervisor"
)

// How a child may be stopped, besides a time.
const (
	BrutalKill time.Duration = -1 // with kill, at once
	Infinity   time.Duration = -2 // with shutdown, and wait as long as it takes
)

// ChildSpec tells a supervisor of a child. ID and Function are needed.
type ChildSpec struct {
	ID       term.Term // names the child within its supervisor: any term, mostly an atom
	Function string    // what it runs; as a term, function
	Args     []term.Term
	Restart  Restart // "" is Permanent
	// Shutdown is how long a child that is to stop gets between the exit signals shutdown and kill. 0 is 5 s, and
	// Infinity for a supervisor.
	Shutdown time.Duration
	Type     ChildType // "" is Worker
}

// SupervisorOptions tell what a supervisor does. The zero value restarts each child on its own, once in 5 seconds.
type SupervisorOptions struct {
	Strategy Strategy // "" is OneForOne
	// MaxRestarts Within this time are allowed; with one more the supervisor stops all children and itself, with the reason
	// shutdown. 0 is 1, OTP's default; negative allows none.
	MaxRestarts int
	Within      time.Duration // 0 is 5 s; as a term, max_seconds
	Children    []ChildSpec   // started in this order, stopped in the reverse one
}

// NoRestarts is a MaxRestarts that allows none.
const NoRestarts = -1

// Term gives the spec as the map that messages to supervisors carry: id, function, args, restart, shutdown (milliseconds,
// brutal_kill or infinity) and type, with the defaults filled in.
func (s ChildSpec) Term() term.Term {
	s = s.whole()
	var shutdown term.Term = term.Int(s.Shutdown.Milliseconds())
	switch s.Shutdown {
	case BrutalKill:
		shutdown = term.Atom("brutal_kill")
	case Infinity:
		shutdown = term.Atom("infinity")
	}
	pair := func(k string, v term.Term) term.Pair { return term.Pair{Key: term.Atom(k), Value: v} }
	return term.MakeMap(pair("id", s.ID), pair("function", term.Atom(s.Function)), pair("args", append(term.List{}, s.Args...)),
		pair("restart", term.Atom(s.Restart)), pair("shutdown", shutdown), pair("type", term.Atom(s.Type)))
}

// whole fills the defaults in.
func (s ChildSpec) whole() ChildSpec {
	if s.ID == nil {
		s.ID = term.Undefined
	}
	if s.Restart == "" {
		s.Restart = Permanent
	}
	if s.Type == "" {
		s.Type = Worker
	}
	if s.Shutdown == 0 {
		s.Shutdown = 5 * time.Second
		if s.Type == SupervisorKid {
			s.Shutdown = Infinity
		}
	}
	return s
}

// ParseChildSpec reads a spec. What is wrong is said with OTP's reasons: missing_id, {invalid_shutdown, X} and the like;
// a key that no spec has is {invalid_child_spec, Key}.
func ParseChildSpec(t term.Term) (ChildSpec, error) {
	m, ok := t.(term.Map)
	switch {
	case sizeOf(t) > MaxSpec:
		return ChildSpec{}, badSpec("invalid_child_spec", term.Atom("too_long"))
	case !ok:
		return ChildSpec{}, badSpec("invalid_child_spec", t)
	}
	var s ChildSpec
	for _, p := range m {
		if err := s.set(p.Key, p.Value); err != nil {
			return ChildSpec{}, err
		}
	}
	switch {
	case s.ID == nil:
		return ChildSpec{}, Error(term.Atom("missing_id"))
	case s.Function == "":
		return ChildSpec{}, Error(term.Atom("missing_function"))
	}
	return s.whole(), nil
}

func badSpec(what string, v term.Term) error { return Error(term.T(term.Atom(what), v)) }

// set takes one pair of a spec's map.
func (s *ChildSpec) set(key, v term.Term) error {
	name, _ := key.(term.Atom)
	word, _ := v.(term.Atom)
	switch name {
	case "id":
		s.ID = v
	case "function":
		if word == "" || word[0] == '$' {
			return badSpec("invalid_function", v)
		}
		s.Function = string(word)
	case "args":
		list, ok := v.(term.List)
		if !ok {
			return badSpec("invalid_args", v)
		}
		s.Args = list
	case "restart":
		s.Restart = Restart(word)
		if s.Restart != Permanent && s.Restart != Transient && s.Restart != Temporary {
			return badSpec("invalid_restart_type", v)
		}
	case "type":
		s.Type = ChildType(word)
		if s.Type != Worker && s.Type != SupervisorKid {
			return badSpec("invalid_child_type", v)
		}
	case "shutdown":
		return s.setShutdown(v)
	default:
		return badSpec("invalid_child_spec", key)
	}
	return nil
}

func (s *ChildSpec) setShutdown(v term.Term) error {
	ms, ok := v.(term.Int)
	switch {
	case v == term.Atom("brutal_kill"):
		s.Shutdown = BrutalKill
	case v == term.Atom("infinity"):
		s.Shutdown = Infinity
	case !ok || ms < 0 || ms > term.Int(MaxPeriod.Milliseconds()):
		return badSpec("invalid_shutdown", v)
	default:
		s.Shutdown = max(time.Duration(ms)*time.Millisecond, 1) // 0 would be the default
	}
	return nil
}

// Term gives the options as the map that the function supervisor takes: strategy, max_restarts, max_seconds (a whole
// number) and children.
func (o SupervisorOptions) Term() term.Term {
	o = o.whole()
	children := term.List{}
	for _, c := range o.Children {
		children = append(children, c.Term())
	}
	pair := func(k string, v term.Term) term.Pair { return term.Pair{Key: term.Atom(k), Value: v} }
	return term.MakeMap(pair("strategy", term.Atom(o.Strategy)), pair("max_restarts", term.Int(max(o.MaxRestarts, 0))),
		pair("max_seconds", seconds(o.Within)), pair("children", children))
}

// seconds gives a duration as a number of seconds, whole if it is.
func seconds(d time.Duration) term.Term {
	if d%time.Second == 0 {
		return term.Int(d / time.Second)
	}
	return term.Float(d.Seconds())
}

func (o SupervisorOptions) whole() SupervisorOptions {
	if o.Strategy == "" {
		o.Strategy = OneForOne
	}
	if o.MaxRestarts == 0 {
		o.MaxRestarts = 1
	}
	if o.Within == 0 {
		o.Within = 5 * time.Second
	}
	return o
}

// ParseSupervisorOptions reads options, with the reasons of OTP's supervisor: {supervisor_data, {invalid_strategy, X}},
// {start_spec, {duplicate_child_name, Id}} and the like.
func ParseSupervisorOptions(t term.Term) (SupervisorOptions, error) {
	m, ok := t.(term.Map)
	if !ok {
		return SupervisorOptions{}, badData("invalid_type", t)
	}
	var o SupervisorOptions
	for _, p := range m {
		if err := o.set(p.Key, p.Value); err != nil {
			return SupervisorOptions{}, err
		}
	}
	o = o.whole()
	seen := map[string]bool{}
	for _, c := range o.Children {
		key := childKey(c.ID)
		if seen[key] {
			return SupervisorOptions{}, Error(term.T(term.Atom("start_spec"), term.T(term.Atom("duplicate_child_name"), c.ID)))
		}
		seen[key] = true
	}
	return o, nil
}

func badData(what string, v term.Term) error {
	return Error(term.T(term.Atom("supervisor_data"), term.T(term.Atom(what), v)))
}

func (o *SupervisorOptions) set(key, v term.Term) error {
	name, _ := key.(term.Atom)
	switch name {
	case "strategy":
		word, _ := v.(term.Atom)
		o.Strategy = Strategy(word)
		if o.Strategy != OneForOne && o.Strategy != RestForOne && o.Strategy != OneForAll {
			return badData("invalid_strategy", v)
		}
	case "max_restarts":
		n, ok := v.(term.Int)
		if !ok || n < 0 || n > MaxRestarts {
			return badData("invalid_intensity", v)
		}
		if o.MaxRestarts = int(n); n == 0 {
			o.MaxRestarts = NoRestarts
		}
	case "max_seconds":
		var ok bool
		if o.Within, ok = period(v); !ok {
			return badData("invalid_period", v)
		}
	case "children":
		list, ok := v.(term.List)
		if !ok || len(list) > MaxChildren {
			return Error(term.T(term.Atom("start_spec"), term.Atom("invalid_children")))
		}
		for _, t := range list {
			c, err := ParseChildSpec(t)
			if err != nil {
				return Error(term.T(term.Atom("start_spec"), reasonOf(err)))
			}
			o.Children = append(o.Children, c)
		}
	default:
		return badData("invalid_option", key)
	}
	return nil
}

// period reads a number of seconds above 0.
func period(v term.Term) (time.Duration, bool) {
	s := 0.0
	switch n := v.(type) {
	case term.Int:
		s = float64(n)
	case term.Float:
		s = float64(n)
	}
	if !(s >= 0.001 && s <= MaxPeriod.Seconds()) {
		return 0, false
	}
	return time.Duration(s * float64(time.Second)), true
}

// reasonOf gives the reason of an error that Error, Exit or Throw made, or its text.
func reasonOf(err error) term.Term {
	var e *Exception
	if errors.As(err, &e) {
		return e.Reason
	}
	return term.Bin(err.Error())
}

// check is what the Go face asks of a spec before it becomes a message.
func (s ChildSpec) check() error {
	if _, err := ParseChildSpec(s.Term()); err != nil || s.ID == nil || s.Shutdown < Infinity {
		return &kit.Error{Op: "start child", What: term.String(s.whole().ID), Kind: kit.Invalid, Err: fmt.Errorf("bad spec: %w", errors.Join(err))}
	}
	return nil
}
