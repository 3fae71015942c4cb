package proc

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"netsplit/kit/term"
)

// distAtom begins the messages between members: {'$dist', Pid of the sender, Kind, ...}.
const distAtom = term.Atom("$dist")

// term gives an entry as members tell each other of it: {Spec, Pid or undefined, Moves, Born}.
func (e distEntry) term() term.Term {
	var pid term.Term = e.pid
	if e.pid == (term.Pid{}) {
		pid = term.Undefined
	}
	return term.T(e.spec.Term(), pid, term.Int(e.moves), term.Bin(e.born))
}

func parseEntry(t term.Term) (e distEntry, ok bool) {
	parts, _ := t.(term.Tuple)
	if len(parts) != 4 {
		return e, false
	}
	var err error
	if e.spec, err = ParseChildSpec(parts[0]); err != nil {
		return e, false
	}
	e.pid, _ = parts[1].(term.Pid)
	moves, ok1 := parts[2].(term.Int)
	born, ok2 := parts[3].(term.Bin)
	e.moves, e.born = int(moves), string(born)
	return e, ok1 && ok2 && moves >= 0 && len(born) <= maxName
}

// begin meets the members that are connected.
func (d *dist) begin(now time.Time) {
	d.now = now
	d.meet()
}

// step takes one message and looks after what else is due. It gives the reason when the member is to end.
func (d *dist) step(now time.Time, msg term.Term) term.Term {
	d.now = now
	d.checkLease()
	if msg != nil {
		d.take(msg)
	}
	d.housekeep()
	if d.ending != nil && len(d.kids) == 0 {
		return d.ending
	}
	return nil
}

func (d *dist) take(msg term.Term) {
	if pid, reason, ok := exitMessage(msg); ok {
		d.exited(pid, reason)
		return
	}
	if from, ref, req, ok := asked(msg); ok {
		d.request(req, func(answer term.Term) { d.act.answer(from, ref, answer) })
		return
	}
	t, _ := msg.(term.Tuple)
	switch {
	case len(t) == 5 && t[0] == term.Atom("DOWN"):
		ref, _ := t[1].(term.Int)
		d.down(uint64(ref), t[4])
	case len(t) == 2 && t[0] == term.Atom("nodeup"):
		d.meet()
	case len(t) >= 3 && t[0] == distAtom:
		from, _ := t[1].(term.Pid)
		kind, _ := t[2].(term.Atom)
		if m := d.members[from.Node]; m != nil && from.ID != 0 {
			d.heard(m, from, string(kind), t[3:])
		}
	}
}

// heard takes a message of a member. join and hello make it known; anything else of a part that is not known is late.
func (d *dist) heard(m *distMember, from term.Pid, kind string, args []term.Term) {
	switch {
	case kind == "join" && len(args) == 1:
		if d.accept(m, from, args[0]) {
			d.introduce(m)
			if !m.synced && m.coming == nil {
				d.join(m)
			}
		}
	case kind == "hello" && len(args) == 1:
		if d.accept(m, from, args[0]) {
			m.coming = map[string]distEntry{}
		}
	case from != m.pid:
	case kind == "synced":
		d.synced(m)
	case kind == "have" && len(args) == 1:
		if e, ok := parseEntry(args[0]); ok {
			d.have(m, e)
		}
	case kind == "gone" && len(args) == 3:
		born, _ := args[1].(term.Bin)
		why, _ := args[2].(term.Atom)
		d.gone(m, childKey(args[0]), string(born), string(why))
	default:
		d.heardMore(m, kind, args)
	}
}

func (d *dist) heardMore(m *distMember, kind string, args []term.Term) {
	switch {
	case kind == "claim" && len(args) == 2:
		if e, ok := parseEntry(args[0]); ok {
			d.vote(m, e, args[1])
		}
	case kind == "vote" && len(args) == 3:
		key := childKey(args[0])
		if k := d.kids[key]; k != nil && term.Int(k.claim) == args[1] {
			k.votes[m.name] = args[2] == term.True
			d.judge(key, k)
		}
	case kind == "ask" && len(args) == 3:
		list, _ := args[2].(term.List)
		what, _ := args[1].(term.Atom)
		pid := m.pid
		d.serve(string(what), list, func(answer term.Term) { d.act.send(pid, d.msg("answer", args[0], answer)) })
	case kind == "answer" && len(args) == 2:
		n, _ := args[0].(term.Int)
		if w := d.waits[uint64(n)]; w != nil && w.node == m.name {
			delete(d.waits, uint64(n))
			w.done(args[1])
		}
	case kind == "orphan" && len(args) == 2:
		from, _ := args[1].(term.Atom)
		if e, ok := parseEntry(args[0]); ok {
			d.adopt(childKey(e.spec.ID), e, string(from), 0)
			if d.tombs[e.born] {
				d.tell(m, "drop", e.spec.ID, term.Bin(e.born))
			}
		}
	case kind == "drop" && len(args) == 2:
		born, _ := args[1].(term.Bin)
		d.dropped(childKey(args[0]), string(born))
	case kind == "twice" && len(args) == 2:
		node, _ := args[1].(term.Atom)
		if e, ok := parseEntry(args[0]); ok {
			d.twice(childKey(e.spec.ID), e, string(node))
		}
	case kind == "ping" && len(args) == 2 && m.up():
		m.let, m.without = d.now, args[1] == term.True
		d.tell(m, "pong", args[0])
	case kind == "pong" && len(args) == 1:
		ns, _ := args[0].(term.Int)
		if at := d.began.Add(time.Duration(ns)); at.After(m.letUs) && !at.After(d.now) {
			m.letUs = at
			d.checkLease()
		}
	case kind == "stop":
		m.left = true
		d.stopAll(Normal)
	}
}

// meet asks the connected members that are not known yet for their lists.
func (d *dist) meet() {
	if !slices.ContainsFunc(d.others(), func(m *distMember) bool { return !m.synced }) {
		return
	}
	for _, node := range d.act.connected() {
		m := d.members[node]
		if m == nil || m.synced || !m.asked.IsZero() && d.now.Sub(m.asked) < distIdle {
			continue
		}
		d.join(m)
	}
}

func (d *dist) join(m *distMember) {
	m.asked = d.now
	if m.pid == (term.Pid{}) && m.probe == 0 {
		m.probe = d.act.monitorName(m.name)
	}
	msg := d.msg("join", d.terms())
	if m.pid == (term.Pid{}) {
		d.act.sendTo(m.name, msg)
	} else {
		d.act.send(m.pid, msg)
	}
}

// terms is what all members must have in common.
func (d *dist) terms() term.Term {
	return term.T(term.Bool(d.opts.Quorum), term.Atoms(d.opts.Members...))
}

// accept takes a part as the member's. One with other options is none of ours.
func (d *dist) accept(m *distMember, pid term.Pid, terms term.Term) bool {
	if term.Compare(terms, d.terms()) != 0 {
		if m.refused != pid {
			m.refused = pid
			d.act.say(fmt.Sprintf("the part on %s has other members or another quorum: it is ignored", m.name))
		}
		return false
	}
	if m.pid == pid {
		return true
	}
	if m.pid != (term.Pid{}) {
		d.loses(m) // another life of the part
	}
	if m.probe != 0 {
		d.act.demonitor(m.probe)
		m.probe = 0
	}
	m.pid, m.left = pid, false
	m.ref = d.act.monitor(pid)
	return true
}

// introduce tells a member what we have.
func (d *dist) introduce(m *distMember) {
	d.tell(m, "hello", d.terms())
	for _, k := range d.sorted() {
		e := k.distEntry
		if k.state != alive { // nobody should end another copy because of this one
			e.pid = term.Pid{}
		}
		d.tell(m, "have", e.term())
	}
	m.told = true
	d.tell(m, "synced")
}

// sorted are the children here by the order of their ids.
func (d *dist) sorted() []*distKid {
	var list []*distKid
	for _, k := range d.kids {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b *distKid) int { return term.Compare(a.spec.ID, b.spec.ID) })
	return list
}

// synced takes that a member's list is whole.
func (d *dist) synced(m *distMember) {
	if m.coming == nil {
		return
	}
	list := m.coming
	m.coming, m.synced, m.seen = nil, true, true
	m.has = map[string]distEntry{}
	for _, key := range slices.Sorted(maps.Keys(list)) {
		d.have(m, list[key])
	}
	d.ping()
}

// have takes that a member has a child, running or claimed.
func (d *dist) have(m *distMember, e distEntry) {
	key := childKey(e.spec.ID)
	if m.coming != nil {
		if len(m.coming) < MaxChildren {
			m.coming[key] = e
		}
		return
	}
	if _, known := m.has[key]; !known && len(m.has) >= MaxChildren {
		return
	}
	if d.tombs[e.born] {
		d.tell(m, "drop", e.spec.ID, term.Bin(e.born))
		return
	}
	m.has[key] = e
	if e.pid == (term.Pid{}) {
		return
	}
	if o := d.orphans[key]; o != nil && !o.placed {
		delete(d.orphans, key)
	}
	d.twice(key, e, m.name)
	if d.opts.Quorum { // there are no two; it would be old news
		return
	}
	for _, other := range d.others() { // they may not see each other
		if f, has := other.has[key]; has && other != m && other.up() && f.pid != (term.Pid{}) {
			if e.beats(m.name, f, other.name) {
				d.tell(other, "twice", e.term(), term.Atom(m.name))
			} else if m.told {
				d.tell(m, "twice", f.term(), term.Atom(other.name))
			}
		}
	}
}

// twice takes that a child of this member lives elsewhere too.
func (d *dist) twice(key string, e distEntry, node string) {
	k := d.kids[key]
	if k == nil || k.state != alive || !e.beats(node, k.distEntry, d.me) {
		return
	}
	d.act.say(fmt.Sprintf("child %s lives on %s too, which keeps it: this one %s ends", term.String(k.spec.ID), node, term.String(k.pid)))
	d.stop(k, 0, func(k *distKid) {
		delete(d.kids, key)
		d.broadcast("gone", k.spec.ID, term.Bin(k.born), term.Atom("twice"))
		if len(k.stops) == 0 {
			d.adopt(key, k.distEntry, d.me, 2*distIdle)
		}
		for _, done := range k.stops { // somebody wants it ended: there too
			d.terminate(k.spec.ID, done)
		}
	})
}

// gone takes that a member has a child no more.
func (d *dist) gone(m *distMember, key, born, why string) {
	if why == "ended" {
		d.entomb(born)
		d.dropped(key, born)
	}
	if m.coming != nil {
		delete(m.coming, key)
	}
	e, has := m.has[key]
	if !has || e.born != born {
		return
	}
	delete(m.has, key)
	if why != "ended" && why != "unclaimed" { // somebody else should have it; this is for the case that nobody has
		d.adopt(key, e, m.name, 2*distIdle)
	}
}

// dropped takes that a child was ended for good somewhere else.
func (d *dist) dropped(key, born string) {
	if o := d.orphans[key]; o != nil && o.born == born {
		delete(d.orphans, key)
	}
	if k := d.kids[key]; k != nil && k.born == born && k.state == alive {
		d.act.say(fmt.Sprintf("child %s was ended elsewhere: this one %s ends", term.String(k.spec.ID), term.String(k.pid)))
		d.stop(k, 0, func(k *distKid) { d.bury(key, k) })
	}
}

// down takes the end of a monitor: a part is gone, or there is none.
func (d *dist) down(ref uint64, reason term.Term) {
	for _, m := range d.others() {
		switch ref {
		case m.probe:
			m.probe = 0
			if reason == NoProc && !m.left && m.pid == (term.Pid{}) && d.ending == nil {
				d.act.startPart(m.name)
			}
		case m.ref:
			if reason == Normal || reason == term.Atom("shutdown") {
				m.left = true
			}
			d.loses(m)
		default:
			continue
		}
		return
	}
}

// loses takes that a part is gone: its children are orphans now.
func (d *dist) loses(m *distMember) {
	if m.ref != 0 {
		d.act.demonitor(m.ref)
	}
	has := m.has
	m.pid, m.ref, m.told, m.synced, m.without, m.coming, m.asked = term.Pid{}, 0, false, false, d.opts.Quorum, nil, time.Time{}
	for key, e := range has {
		if e.pid != (term.Pid{}) {
			d.adopt(key, e, m.name, 0)
		}
	}
	if !d.opts.Quorum {
		m.has = map[string]distEntry{} // with Quorum they count until the member has surely stopped them
	}
	for _, n := range slices.Sorted(maps.Keys(d.waits)) {
		if w := d.waits[n]; w != nil && w.node == m.name {
			delete(d.waits, n)
			w.done(errorTerm(NoConnection))
		}
	}
	d.restless = true
	for _, o := range d.orphans { // perhaps somebody else decides now
		if o.sent {
			o.sent, o.next = false, d.now
		}
	}
	for _, k := range d.sorted() {
		delete(k.asked, m.name)
		d.judge(childKey(k.spec.ID), k)
	}
	d.checkLease()
}
