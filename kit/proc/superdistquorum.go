package proc

import (
	"maps"
	"slices"
	"time"

	"netsplit/kit/term"
)

// With Quorum each member asks the others every distBeat to let it go on, and may for distLease after the time it asked
// at. Who lets a member go on knows its whole list, and for distFence afterwards agrees to nobody else's running what is
// on it. Two majorities have a member in common: so nobody runs a child whose owner may still.

// ping asks the others to let this member go on.
func (d *dist) ping() {
	if !d.opts.Quorum {
		return
	}
	d.pinged = d.now
	for _, m := range d.others() {
		if m.up() {
			d.tell(m, "ping", term.Int(d.now.Sub(d.began)), term.Bool(d.lost))
		}
	}
}

// lease is until when this member may go on.
func (d *dist) lease() time.Time {
	need := d.opts.majority() - 1 // besides itself
	if need == 0 {
		return d.now.Add(distLease)
	}
	var times []time.Time
	for _, m := range d.others() {
		if m.up() && !m.letUs.IsZero() {
			times = append(times, m.letUs)
		}
	}
	if len(times) < need {
		return time.Time{}
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	return times[need-1].Add(distLease)
}

// checkLease stops the children when the majority no longer lets this member go on, and lets it begin again when it does.
func (d *dist) checkLease() {
	if !d.opts.Quorum {
		return
	}
	holds := d.now.Before(d.lease())
	switch {
	case d.lost && holds && len(d.kids) == 0:
		d.lost = false
		d.act.say("the majority of the members is connected")
		d.ping() // so that the others know at once
	case !d.lost && !holds:
		d.lost = true
		d.act.say("the majority of the members is lost: the children here stop")
		for _, k := range d.sorted() {
			key := childKey(k.spec.ID)
			if k.state == claiming {
				d.yield(key, k, errorTerm(term.Atom("no_quorum")))
				continue
			}
			if k.state == stopping { // it has no more time than the others
				k.killAt = earlier(k.killAt, d.now.Add(distStopping))
				continue
			}
			d.stop(k, distStopping, func(k *distKid) { d.strand(key, k) })
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// released reports whether a member has surely stopped the children that are not on its list, or never were.
func (d *dist) released(node string) bool {
	m := d.members[node]
	if m == nil || m.up() {
		return true
	}
	since := m.let
	if since.IsZero() {
		since = d.began // whom an earlier life of this member let go on is not known
	}
	return d.now.Sub(since) > distFence
}

// grants decides whether a member, or this one, may run a child.
func (d *dist) grants(node, key string) bool {
	if k := d.kids[key]; k != nil && node != d.me {
		return false
	}
	for _, m := range d.others() {
		_, has := m.has[key]
		switch {
		case m.name == node:
		case m.up() && has:
			return false
		case d.opts.Quorum && !m.up() && (has || !m.seen) && !d.released(m.name):
			return false
		}
	}
	return true
}

// vote answers a claim, and notes it.
func (d *dist) vote(m *distMember, e distEntry, n term.Term) {
	key := childKey(e.spec.ID)
	ok := m.up() && !d.tombs[e.born] && d.grants(m.name, key)
	if ok {
		e.pid = term.Pid{}
		if was, known := m.has[key]; !known || was.pid == (term.Pid{}) {
			m.has[key] = e
		}
	}
	d.tell(m, "vote", e.spec.ID, n, term.Bool(ok))
}

// housekeep does what is due.
func (d *dist) housekeep() {
	for _, n := range slices.Sorted(maps.Keys(d.waits)) {
		if w := d.waits[n]; w != nil && d.now.After(w.by) {
			delete(d.waits, n)
			w.done(errorTerm(term.Atom("timeout")))
		}
	}
	d.killLate()
	if d.ending == nil {
		d.meet()
	}
	if d.opts.Quorum {
		if d.now.Sub(d.pinged) >= distBeat {
			d.ping()
		}
		d.checkLease()
		for _, m := range d.others() { // what they had counts no more
			if !m.up() && len(m.has) > 0 && d.released(m.name) {
				m.has = map[string]distEntry{}
			}
		}
	}
	d.settle()
	if len(d.joining) > 0 && (d.joined() || d.now.After(d.joining[0].by)) {
		for _, w := range d.joining {
			w.done(term.Atom("ok"))
		}
		d.joining = nil
	}
}

// killLate kills children that were told to end and have not.
func (d *dist) killLate() {
	if d.ends == 0 {
		return
	}
	var late []string
	for key, k := range d.kids {
		if k.state == stopping && !k.killAt.IsZero() && !d.now.Before(k.killAt) {
			late = append(late, key)
		}
	}
	for _, key := range slices.Sorted(slices.Values(late)) {
		k := d.kids[key]
		k.killAt = time.Time{}
		d.act.exit(k.pid, Kill)
	}
}

// joined reports whether all members that are connected have met.
func (d *dist) joined() bool {
	for _, node := range d.act.connected() {
		if m := d.members[node]; m != nil && (!m.up() || m.without) {
			return false
		}
	}
	return !d.lost
}

// next is when a step is due although no message comes.
func (d *dist) next() time.Duration {
	at := d.now.Add(distIdle)
	if d.opts.Quorum {
		at = earlier(at, d.pinged.Add(distBeat))
		if !d.lost {
			at = earlier(at, d.lease())
		}
	}
	if d.ends > 0 {
		for _, k := range d.kids {
			if k.state == stopping && !k.killAt.IsZero() {
				at = earlier(at, k.killAt)
			}
		}
	}
	for _, w := range d.joining {
		at = earlier(at, w.by)
	}
	for _, o := range d.orphans {
		if !o.placed {
			at = earlier(at, o.next.Add(distRetry/10))
		}
	}
	return max(at.Sub(d.now), distRetry/10)
}

// stopAll ends all children, and then this member.
func (d *dist) stopAll(reason term.Term) {
	if d.ending != nil {
		return
	}
	d.ending = reason
	for _, k := range slices.Backward(d.sorted()) {
		key := childKey(k.spec.ID)
		if k.state == claiming {
			d.yield(key, k, errorTerm(NoProc))
			continue
		}
		d.stop(k, 0, func(k *distKid) { d.bury(key, k) })
	}
}

// rebalance tells those with the most children to hand some to those with the fewest, and answers how many.
func (d *dist) rebalance() term.Term {
	if d.lost {
		return errorTerm(term.Atom("no_quorum"))
	}
	loads := map[string]int{d.me: d.load(d.me)}
	ids := map[string][]term.Term{d.me: nil}
	for _, k := range d.sorted() {
		if k.state == alive {
			ids[d.me] = append(ids[d.me], k.spec.ID)
		}
	}
	for _, m := range d.others() {
		if !m.up() {
			continue
		}
		loads[m.name] = d.load(m.name)
		for _, e := range m.has {
			if e.pid != (term.Pid{}) {
				ids[m.name] = append(ids[m.name], e.spec.ID)
			}
		}
		slices.SortFunc(ids[m.name], term.Compare)
	}
	moved := 0
	for {
		from, to := extremes(loads)
		if loads[from]-loads[to] < 2 || len(ids[from]) == 0 {
			return okTerm(term.Int(moved))
		}
		last := len(ids[from]) - 1
		id := ids[from][last]
		ids[from] = ids[from][:last]
		loads[from]--
		loads[to]++
		moved++
		d.ask(from, func(term.Term) {}, "move", id, term.Atom(to))
	}
}

// extremes gives the members with the most and the fewest children, of several the first by name.
func extremes(loads map[string]int) (most, fewest string) {
	for name, n := range loads {
		if most == "" || n > loads[most] || n == loads[most] && name < most {
			most = name
		}
		if fewest == "" || n < loads[fewest] || n == loads[fewest] && name < fewest {
			fewest = name
		}
	}
	return most, fewest
}

// move ends a child here and lets another member run it.
func (d *dist) move(id term.Term, to string) {
	key := childKey(id)
	k := d.kids[key]
	if k == nil || k.state != alive || to == d.me || d.members[to] == nil {
		return
	}
	d.stop(k, 0, func(k *distKid) {
		if len(k.stops) > 0 { // it was to end meanwhile
			d.bury(key, k)
			return
		}
		d.strand(key, k)
		if o := d.orphans[key]; o != nil {
			o.placed = true
			e := o.distEntry
			d.ask(to, func(answer term.Term) {
				o.placed, o.next = false, d.now.Add(distRetry)
				if t, _ := answer.(term.Tuple); len(t) == 2 && t[0] == term.Atom("ok") && d.orphans[key] == o {
					delete(d.orphans, key)
				}
			}, "run", e.term())
		}
	})
}
