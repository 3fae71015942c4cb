package store

import (
	"maps"
	"time"

	"netsplit/kit/term"
)

// setting is a parameter of a start: its value when nobody sets it (nil for those that system_info does not tell), and
// what it may be.
type setting struct {
	standard term.Term
	allowed  func(term.Term) bool
}

// settings are Mnesia's parameters, with the checks of mnesia_monitor:do_check_type/2. Those that steer how Mnesia itself
// logs, loads and sends are kept and told again, and change nothing here.
var settings = map[term.Atom]setting{
	"access_module":               {term.Atom("mnesia"), isAtom},
	"auto_repair":                 {term.Atom("true"), isBool},
	"backup_module":               {term.Atom("mnesia_backup"), isAtom},
	"core_dir":                    {term.Atom("false"), func(t term.Term) bool { return isList(t) || t == term.Term(term.Atom("false")) }},
	"dc_dump_limit":               {term.Int(4), isPositive},
	"debug":                       {nil, func(t term.Term) bool { _, ok := debugLevel(t); return ok }},
	"dir":                         {nil, func(t term.Term) bool { _, bin := t.(term.Bin); return bin || isList(t) || isAtom(t) }},
	"dump_disc_copies_at_startup": {nil, isBool},
	"dump_log_load_regulation":    {term.Atom("false"), isBool},
	"dump_log_time_threshold":     {term.Int(180000), isPositive},
	"dump_log_update_in_place":    {term.Atom("true"), isBool},
	"dump_log_write_threshold":    {term.Int(1000), isPositive},
	"event_module":                {term.Atom("mnesia_event"), isAtom},
	"extra_db_nodes":              {nil, isAtoms},
	"fallback_error_function":     {term.T(term.Atom("mnesia"), term.Atom("lkill")), isFunctionName},
	"ignore_fallback_at_startup":  {term.Atom("false"), isBool},
	"max_transfer_size":           {term.Int(64000), isPositive},
	"max_wait_for_decision":       {term.Atom("infinity"), func(t term.Term) bool { return t == term.Term(term.Atom("infinity")) || isPositive(t) }},
	"no_table_loaders":            {term.Int(maxLoaders), isPositive},
	"pid_sort_order":              {nil, func(term.Term) bool { return true }},
	"schema":                      {nil, isList},
	"schema_location":             {term.Atom("opt_disc"), isMedia},
	"send_compressed":             {term.Int(0), func(t term.Term) bool { n, ok := t.(term.Int); return ok && n >= 0 && n <= 9 }},
}

func isBool(t term.Term) bool {
	return t == term.Term(term.Atom("true")) || t == term.Term(term.Atom("false"))
}

func isPositive(t term.Term) bool {
	n, ok := t.(term.Int)
	return ok && n > 0
}

func isMedia(t term.Term) bool {
	return t == term.Term(term.Atom("disc")) || t == term.Term(term.Atom("opt_disc")) || t == term.Term(term.Atom("ram"))
}

func isFunctionName(t term.Term) bool {
	p, ok := t.(term.Tuple)
	return ok && len(p) == 2 && isAtom(p[0]) && isAtom(p[1])
}

func isAtoms(t term.Term) bool {
	l, ok := t.(term.List)
	for _, e := range l {
		ok = ok && isAtom(e)
	}
	return ok
}

// Set gives a parameter for the starts to come, as mnesia:start/1 does with each of its own: it stays until the
// program ends. A name or value that is none is {bad_type, Name, Value}. It does not change a store that runs.
func (s *Store) Set(name string, value term.Term) error {
	p, ok := settings[term.Atom(name)]
	if !ok || !p.allowed(value) {
		return failed("bad_type", term.Atom(name), value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case "debug":
		s.debug, _ = debugLevel(value)
	case "extra_db_nodes":
		l, _ := value.(term.List)
		s.extra = nodesOf(l)
	default:
		set := maps.Clone(s.set)
		if set == nil {
			set = map[term.Atom]term.Term{}
		}
		set[term.Atom(name)] = value
		s.set = set
	}
	return nil
}

// complete takes the options of a start that are not given from what was set before, and keeps those that are. Callers hold mu.
func (s *Store) complete(opts *StartOptions) {
	if opts.ExtraNodes == nil {
		opts.ExtraNodes = s.extra
	}
	if n, ok := s.set["dump_log_write_threshold"].(term.Int); ok && opts.DumpWrites == 0 {
		opts.DumpWrites = int(min(n, 1<<30))
	}
	if n, ok := s.set["dump_log_time_threshold"].(term.Int); ok && opts.DumpEvery == 0 {
		opts.DumpEvery = time.Duration(min(n, 1<<40)) * time.Millisecond
	}
	set := maps.Clone(s.set)
	if set == nil {
		set = map[term.Atom]term.Term{}
	}
	if opts.DumpWrites > 0 {
		set["dump_log_write_threshold"] = term.Int(opts.DumpWrites)
	}
	if opts.DumpEvery > 0 {
		set["dump_log_time_threshold"] = term.Int(opts.DumpEvery / time.Millisecond)
	}
	s.set = set
}

// settingOf gives a parameter's value; ok is false for what is none that can be told.
func (s *Store) settingOf(name term.Atom) (v term.Term, ok bool) {
	s.mu.Lock()
	v, ok = s.set[name]
	s.mu.Unlock()
	if !ok {
		v = settings[name].standard
	}
	return v, v != nil
}

// ChangeConfig changes a parameter of the running store, as mnesia:change_config/2; dc_dump_limit is the only one that can
// be, besides the one that ChangeExtraNodes is for.
func (s *Store) ChangeConfig(name string, value term.Term) error {
	switch {
	case name != "dc_dump_limit" || s.Running() && !isPositive(value):
		return failed("badarg", term.Atom(name))
	case !s.Running():
		return failed("not_started", term.Atom("mnesia"))
	}
	return s.Set(name, value)
}
