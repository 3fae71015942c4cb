package proc

import (
	"slices"

	"netsplit/kit/term"
)

// request answers a request of a client.
func (d *dist) request(req term.Term, done func(term.Term)) {
	t, _ := req.(term.Tuple)
	if len(t) == 2 {
		switch t[0] {
		case term.Atom("start_child"):
			if sizeOf(t[1]) > MaxDistSpec {
				done(errorTerm(term.T(term.Atom("invalid_child_spec"), term.Atom("too_long"))))
				return
			}
			d.ask(d.leader(), done, "place", t[1])
			return
		case term.Atom("terminate_child"):
			if d.lost {
				done(errorTerm(term.Atom("no_quorum")))
			} else {
				d.terminate(t[1], done)
			}
			return
		case term.Atom("restart_child"), term.Atom("delete_child"):
			done(errorTerm(term.Atom(distFunc))) // as OTP answers simple_one_for_one: it keeps no spec of a child that has ended
			return
		case term.Atom("get_childspec"):
			if e, ok := d.find(childKey(t[1])); ok {
				done(okTerm(e.spec.Term()))
			} else {
				done(errorTerm(term.Atom("not_found")))
			}
			return
		}
	}
	switch req {
	case term.Atom("ready"):
		done(term.Atom("ok"))
	case term.Atom("which_children"):
		done(d.which())
	case term.Atom("count_children"):
		done(d.count())
	case term.Atom("joined"):
		if len(d.joining) >= maxDistAsks {
			done(errorTerm(term.Atom("system_limit")))
			return
		}
		d.joining = append(d.joining, &distWait{by: d.now.Add(distJoining), done: done})
	case term.Atom("members"):
		done(d.memberList())
	case term.Atom("rebalance"):
		d.ask(d.leader(), done, "rebalance")
	case term.Atom("stop"):
		d.broadcast("stop")
		d.stopAll(Normal)
		done(term.Atom("ok"))
	default:
		done(errorTerm(term.Atom("badarg")))
	}
}

// find gives what is known of a child, wherever it is.
func (d *dist) find(key string) (distEntry, bool) {
	if k := d.kids[key]; k != nil {
		return k.distEntry, true
	}
	for _, m := range d.others() {
		if e, ok := m.has[key]; ok && m.up() {
			return e, true
		}
	}
	if o := d.orphans[key]; o != nil {
		return o.distEntry, true
	}
	return distEntry{}, false
}

// terminate ends a child wherever it is. Instead of its id its pid will do.
func (d *dist) terminate(id term.Term, done func(term.Term)) {
	if pid, is := id.(term.Pid); is {
		for _, e := range d.all() {
			if e.pid == pid {
				id = e.spec.ID
			}
		}
	}
	key := childKey(id)
	m, has := d.owner(key)
	switch o := d.orphans[key]; {
	case has && m == nil:
		d.end(id, done)
	case has:
		d.ask(m.name, done, "end", id)
	case o != nil:
		delete(d.orphans, key)
		d.entomb(o.born)
		d.broadcast("gone", id, term.Bin(o.born), term.Atom("ended"))
		done(term.Atom("ok"))
	default:
		done(errorTerm(term.Atom("not_found")))
	}
}

// end ends a child of this member.
func (d *dist) end(id term.Term, done func(term.Term)) {
	key := childKey(id)
	k := d.kids[key]
	switch {
	case k == nil:
		done(errorTerm(term.Atom("not_found")))
	case k.state == claiming:
		k.replies = append(k.replies, func(term.Term) { d.end(id, done) })
	case len(k.stops) >= maxDistAsks:
		done(errorTerm(term.Atom("system_limit")))
	default:
		k.stops = append(k.stops, done)
		d.stop(k, 0, func(k *distKid) { d.bury(key, k) })
	}
}

// all lists what is known of all children that run or are to, by id.
func (d *dist) all() []distEntry {
	var list []distEntry
	seen := map[string]bool{}
	add := func(key string, e distEntry) {
		if !seen[key] {
			list = append(list, e)
		}
		seen[key] = true
	}
	for key, k := range d.kids {
		add(key, k.distEntry)
	}
	for _, m := range d.others() {
		for key, e := range m.has {
			if m.up() {
				add(key, e)
			}
		}
	}
	for key, o := range d.orphans {
		add(key, o.distEntry)
	}
	slices.SortFunc(list, func(a, b distEntry) int { return term.Compare(a.spec.ID, b.spec.ID) })
	return list
}

// which lists the children as OTP does, by id; the pid of one that has no place yet is restarting.
func (d *dist) which() term.Term {
	list := term.List{}
	for _, e := range d.all() {
		var pid term.Term = e.pid
		if e.pid == (term.Pid{}) {
			pid = term.Atom("restarting")
		}
		list = append(list, term.T(e.spec.ID, pid, term.Atom(e.spec.Type), term.L(term.Atom(e.spec.Function))))
	}
	return list
}

func (d *dist) count() term.Term {
	active, supers := 0, 0
	all := d.all()
	for _, e := range all {
		if e.pid != (term.Pid{}) {
			active++
		}
		if e.spec.Type == SupervisorKid {
			supers++
		}
	}
	return countsTerm(len(all), active, supers)
}

func (d *dist) memberList() term.Term {
	list := term.List{}
	for _, n := range d.opts.Members {
		state := term.Atom("up")
		m := d.members[string(n)]
		load := 0
		switch {
		case m == nil && d.lost:
			state = "no_quorum"
		case m != nil && !m.up():
			state = "down"
		}
		if m == nil || m.up() {
			load = d.load(string(n))
		}
		list = append(list, term.T(term.Atom(n), state, term.Int(load)))
	}
	return list
}
