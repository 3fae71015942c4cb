package proc

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"netsplit/kit/term"
)

// distActs is what a member of a distributed supervisor needs done. Nothing of it waits.
type distActs interface {
	self() term.Pid
	send(to term.Pid, msg term.Term)
	sendTo(node string, msg term.Term) // to the member there, whoever it is
	monitor(pid term.Pid) uint64
	monitorName(node string) uint64
	demonitor(ref uint64)
	connected() []string
	startPart(node string)
	start(spec ChildSpec) (term.Pid, term.Term)
	exit(pid term.Pid, reason term.Term)
	answer(to term.Pid, ref, v term.Term)
	say(text string)
}

// distEntry is one child as all members know it.
type distEntry struct {
	spec  ChildSpec
	pid   term.Pid // zero while it is claimed and not started
	moves int      // how often it was taken over from a lost member
	born  string   // tells this child from a later one of the same id
}

func childKey(id term.Term) string { return string(term.Append(nil, id)) }

// beats reports whether this copy of a child stays when there is another: see DistOptions.
func (e distEntry) beats(node string, other distEntry, there string) bool {
	return cmp.Or(cmp.Compare(e.moves, other.moves), cmp.Compare(node, there)) < 0
}

// distMember is another member as this one sees it.
type distMember struct {
	name    string
	pid     term.Pid // zero while it is not known
	ref     uint64   // the monitor on pid
	probe   uint64   // the monitor on the name, while pid is not known
	told    bool     // it has our list
	synced  bool     // we have its list, in has
	without bool     // with Quorum: it has not told that it has the majority
	left    bool     // it was stopped on purpose; nobody starts it again
	seen    bool     // it was synced once
	has     map[string]distEntry
	coming  map[string]distEntry // its list, not yet whole
	asked   time.Time            // when we last asked for its list
	let     time.Time            // when we last let it go on
	letUs   time.Time            // when we asked, of the last time it let us go on
	refused term.Pid             // a part that has other options, reported once
}

func (m *distMember) up() bool { return m.told && m.synced }

// kidState is what a child of this member is doing.
type kidState byte

const (
	claiming kidState = iota // the other members are asked whether it lives elsewhere
	alive
	stopping
)

// distKid is a child of this member.
type distKid struct {
	distEntry
	state    kidState
	taken    bool            // from a member that is lost, or had to stop it
	asked    map[string]bool // who is to vote
	votes    map[string]bool
	claim    uint64
	restarts []time.Time
	killAt   time.Time         // of one that is stopping
	ended    func(k *distKid)  // what is done when it has stopped
	replies  []func(term.Term) // who waits for it to run
	stops    []func(term.Term) // who waits for its end
}

// orphan is a child that runs nowhere, as far as this member knows.
type orphan struct {
	distEntry
	from   string // the member that had it
	next   time.Time
	wait   time.Duration
	placed bool // a member was told to run it and has not answered
	sent   bool // the member that decides was told of it
}

// distWait is a question to another member.
type distWait struct {
	node string
	run  bool // to run a child
	by   time.Time
	done func(term.Term)
}

// dist decides for one member of a distributed supervisor. It has no goroutine and no clock: each step is told the time.
type dist struct {
	opts     DistOptions
	me       string
	act      distActs
	now      time.Time
	began    time.Time
	members  map[string]*distMember
	rest     []*distMember // the same, by name
	kids     map[string]*distKid
	orphans  map[string]*orphan
	waits    map[uint64]*distWait
	last     uint64 // number of the last question, claim or birth
	tombs    map[string]bool
	tombsIn  []string // the oldest first
	lost     bool     // with Quorum: the majority has not let us go on
	pinged   time.Time
	ends     int         // children that are stopping
	settled  time.Time   // when places for the orphans were looked for
	restless bool        // it is to be done at once
	joining  []*distWait // who waits for the connected members to be known
	ending   term.Term   // set: the member ends with this reason when its children have
}

func newDist(me string, opts DistOptions, act distActs, now time.Time) *dist {
	d := &dist{opts: opts, me: me, act: act, now: now, began: now, members: map[string]*distMember{}, kids: map[string]*distKid{},
		orphans: map[string]*orphan{}, waits: map[uint64]*distWait{}, tombs: map[string]bool{}, lost: opts.Quorum && opts.majority() > 1}
	for _, n := range opts.Members {
		if string(n) != me {
			m := &distMember{name: string(n), without: d.lost, has: map[string]distEntry{}}
			d.members[string(n)], d.rest = m, append(d.rest, m) // Members are sorted
		}
	}
	return d
}

// others are the members other than this one, by name.
func (d *dist) others() []*distMember { return d.rest }

// leader decides where children go: the first by name of those connected.
func (d *dist) leader() string {
	for _, m := range d.others() {
		if m.up() && !m.without && m.name < d.me {
			return m.name
		}
	}
	return d.me
}

func (d *dist) number() uint64 { d.last++; return d.last }

// tell sends a message to a member; broadcast to all that have our list.
func (d *dist) tell(m *distMember, kind string, args ...term.Term) {
	d.act.send(m.pid, d.msg(kind, args...))
}

func (d *dist) msg(kind string, args ...term.Term) term.Term {
	return append(term.Tuple{distAtom, d.act.self(), term.Atom(kind)}, args...)
}

func (d *dist) broadcast(kind string, args ...term.Term) {
	for _, m := range d.others() {
		if m.told {
			d.tell(m, kind, args...)
		}
	}
}

// fewest is the member that gets the next child.
func (d *dist) fewest() string {
	best, least := d.me, d.load(d.me)
	for _, m := range d.others() {
		if n := d.load(m.name); m.up() && !m.without && (n < least || n == least && m.name < best) {
			best, least = m.name, n
		}
	}
	return best
}

// load counts the children of a member, with those that it was told to run.
func (d *dist) load(node string) int {
	if node == d.me {
		return len(d.kids)
	}
	n := 0
	for _, e := range d.members[node].has {
		if e.pid != (term.Pid{}) {
			n++
		}
	}
	for _, w := range d.waits {
		if w.node == node && w.run {
			n++
		}
	}
	return n
}

// owner finds who has a child, running or claimed: another member, or this one (nil and true).
func (d *dist) owner(key string) (*distMember, bool) {
	if d.kids[key] != nil {
		return nil, true
	}
	for _, m := range d.others() {
		if _, ok := m.has[key]; ok && m.up() {
			return m, true
		}
	}
	return nil, false
}

// ask puts a question to a member, or to this one, and calls done with the answer, once.
func (d *dist) ask(node string, done func(term.Term), kind string, args ...term.Term) {
	m := d.members[node]
	switch {
	case node == d.me:
		d.serve(kind, args, done)
	case m == nil || !m.told:
		done(errorTerm(NoConnection))
	case len(d.waits) >= maxDistAsks:
		done(errorTerm(term.Atom("system_limit")))
	default:
		n := d.number()
		d.waits[n] = &distWait{node, kind == "run" || kind == "take", d.now.Add(distAskTime), done}
		d.tell(m, "ask", term.Int(n), term.Atom(kind), append(term.List{}, args...))
	}
}

// serve answers a question of a member.
func (d *dist) serve(kind string, args []term.Term, done func(term.Term)) {
	switch {
	case kind == "place" && len(args) == 1:
		d.place(args[0], done)
	case (kind == "run" || kind == "take") && len(args) == 1:
		e, ok := parseEntry(args[0])
		if !ok {
			done(errorTerm(term.Atom("badarg")))
			return
		}
		d.run(e, kind == "take", done)
	case kind == "end" && len(args) == 1:
		d.end(args[0], done)
	case kind == "move" && len(args) == 2:
		to, _ := args[1].(term.Atom)
		d.move(args[0], string(to))
		done(term.Atom("ok"))
	case kind == "rebalance":
		done(d.rebalance())
	default:
		done(errorTerm(term.Atom("badarg")))
	}
}

// place finds a member for a new child.
func (d *dist) place(t term.Term, done func(term.Term)) {
	spec, err := ParseChildSpec(t)
	if err != nil {
		done(errorTerm(reasonOf(err)))
		return
	}
	key := childKey(spec.ID)
	m, has := d.owner(key)
	pid := d.pidOf(m, key)
	switch {
	case has && pid != (term.Pid{}):
		done(errorTerm(term.T(term.Atom("already_started"), pid)))
	case has || d.orphans[key] != nil:
		done(errorTerm(term.Atom("already_present")))
	case d.total() >= MaxChildren:
		done(errorTerm(term.Atom("system_limit")))
	case d.lost:
		done(errorTerm(term.Atom("no_quorum")))
	default:
		e := distEntry{spec: spec, born: fmt.Sprintf("%s %d %d", d.me, d.act.self().ID, d.number())}
		d.ask(d.fewest(), done, "run", e.term())
	}
}

func (d *dist) pidOf(m *distMember, key string) term.Pid {
	if m != nil {
		return m.has[key].pid
	}
	if k := d.kids[key]; k != nil {
		return k.pid
	}
	return term.Pid{}
}

func (d *dist) total() int {
	n := len(d.kids) + len(d.orphans)
	for _, m := range d.members {
		n += len(m.has)
	}
	return n
}

// run takes a child that this member was chosen for: it asks the others first, so that none has it twice.
func (d *dist) run(e distEntry, taken bool, done func(term.Term)) {
	key := childKey(e.spec.ID)
	if k := d.kids[key]; k != nil {
		if k.state == alive {
			done(errorTerm(term.T(term.Atom("already_started"), k.pid)))
		} else {
			done(errorTerm(term.Atom("already_present")))
		}
		return
	}
	if d.lost || d.ending != nil {
		done(errorTerm(term.Atom("no_quorum")))
		return
	}
	if !d.grants(d.me, key) {
		done(errorTerm(term.Atom("already_present")))
		return
	}
	k := &distKid{distEntry: e, taken: taken, asked: map[string]bool{}, votes: map[string]bool{}, claim: d.number(), replies: []func(term.Term){done}}
	k.pid = term.Pid{}
	d.kids[key] = k
	for _, m := range d.others() {
		if m.up() {
			k.asked[m.name] = true
			d.tell(m, "claim", k.term(), term.Int(k.claim))
		}
	}
	d.judge(key, k)
}

// judge starts a claimed child when those who are asked have agreed.
func (d *dist) judge(key string, k *distKid) {
	if k.state != claiming {
		return
	}
	yes, missing := 1, 0
	for _, m := range d.others() {
		switch granted, voted := k.votes[m.name]; {
		case voted && !granted:
			d.yield(key, k, errorTerm(term.Atom("already_present")))
			return
		case voted:
			yes++
		case k.asked[m.name]:
			missing++
		}
	}
	switch enough := !d.opts.Quorum || yes >= d.opts.majority(); {
	case missing > 0 && !(d.opts.Quorum && enough):
		return
	case !enough:
		d.yield(key, k, errorTerm(term.Atom("no_quorum")))
		return
	}
	if d.tombs[k.born] {
		d.yield(key, k, errorTerm(term.Atom("not_found")))
		return
	}
	pid, why := d.act.start(k.spec)
	if why != nil {
		d.yield(key, k, errorTerm(why))
		return
	}
	k.pid, k.state = pid, alive
	delete(d.orphans, key)
	d.broadcast("have", k.term())
	if k.taken {
		d.act.say(fmt.Sprintf("child %s runs nowhere: it is started here", term.String(k.spec.ID)))
	}
	k.reply(okTerm(pid))
}

func (k *distKid) reply(answer term.Term) {
	list := k.replies
	k.replies = nil
	for _, done := range list {
		done(answer)
	}
}

// yield gives a claim up.
func (d *dist) yield(key string, k *distKid, answer term.Term) {
	delete(d.kids, key)
	d.broadcast("gone", k.spec.ID, term.Bin(k.born), term.Atom("unclaimed"))
	k.reply(answer)
}

// exited takes the end of a process that this one is linked to.
func (d *dist) exited(pid term.Pid, reason term.Term) {
	for key, k := range d.kids {
		if k.pid != pid || k.state == claiming {
			continue
		}
		if k.state == stopping {
			d.ends--
			k.ended(k)
			return
		}
		d.crashed(key, k, reason)
		return
	}
}

// crashed restarts a child that ended by itself, or lets it go.
func (d *dist) crashed(key string, k *distKid, reason term.Term) {
	if !k.spec.Restart.restartable(reason) {
		d.bury(key, k)
		return
	}
	reason, _ = WithoutStack(reason)
	k.restarts = slices.DeleteFunc(k.restarts, func(t time.Time) bool { return d.now.Sub(t) > d.opts.Within })
	k.restarts = append(k.restarts, d.now)
	if len(k.restarts) > d.opts.MaxRestarts {
		d.act.say(fmt.Sprintf("child %s ended with %s: more than %d restarts in %s, it is given up", term.String(k.spec.ID), short(reason), max(d.opts.MaxRestarts, 0), d.opts.Within))
		d.bury(key, k)
		return
	}
	d.act.say(fmt.Sprintf("child %s %s ended with %s", term.String(k.spec.ID), term.String(k.pid), short(reason)))
	pid, why := d.act.start(k.spec)
	if why != nil {
		d.strand(key, k)
		return
	}
	k.pid = pid
	d.broadcast("have", k.term())
}

// bury forgets a child for good.
func (d *dist) bury(key string, k *distKid) {
	delete(d.kids, key)
	d.entomb(k.born)
	d.broadcast("gone", k.spec.ID, term.Bin(k.born), term.Atom("ended"))
	for _, done := range k.stops {
		done(term.Atom("ok"))
	}
}

// strand gives a child up to whoever takes it.
func (d *dist) strand(key string, k *distKid) {
	if len(k.stops) > 0 { // it is to end anyway
		d.bury(key, k)
		return
	}
	delete(d.kids, key)
	d.broadcast("gone", k.spec.ID, term.Bin(k.born), term.Atom("moved"))
	d.adopt(key, k.distEntry, d.me, distRetry)
}

// entomb remembers that a child ended for good.
func (d *dist) entomb(born string) {
	if d.tombs[born] {
		return
	}
	if len(d.tombsIn) >= maxTombs {
		delete(d.tombs, d.tombsIn[0])
		d.tombsIn = slices.Delete(d.tombsIn, 0, 1)
	}
	d.tombs[born] = true
	d.tombsIn = append(d.tombsIn, born)
}

// stop tells a child to end; then is called when it has.
func (d *dist) stop(k *distKid, within time.Duration, then func(*distKid)) {
	if k.state == stopping {
		return // it ends for the reason that came first
	}
	k.state, k.ended = stopping, then
	d.ends++
	shutdown := k.spec.Shutdown
	if within > 0 && (shutdown < 0 || shutdown > within) && shutdown != BrutalKill {
		shutdown = within
	}
	switch shutdown {
	case BrutalKill:
		d.act.exit(k.pid, Kill)
	case Infinity:
		d.act.exit(k.pid, term.Atom("shutdown"))
	default:
		k.killAt = d.now.Add(shutdown)
		d.act.exit(k.pid, term.Atom("shutdown"))
	}
}

// adopt takes that a child runs nowhere.
func (d *dist) adopt(key string, e distEntry, from string, wait time.Duration) {
	if e.spec.Restart == Temporary || d.tombs[e.born] || d.orphans[key] != nil || len(d.orphans) >= MaxChildren {
		return
	}
	if _, has := d.owner(key); has {
		return
	}
	e.pid = term.Pid{}
	d.restless = d.restless || wait == 0
	d.orphans[key] = &orphan{distEntry: e, from: from, next: d.now.Add(wait)}
}

// settle finds places for the orphans, or hands them to the member that does.
func (d *dist) settle() {
	if len(d.orphans) == 0 || !d.restless && d.now.Sub(d.settled) < distRetry/10 {
		return
	}
	d.restless, d.settled = false, d.now
	leader := d.leader()
	for _, key := range slices.Sorted(maps.Keys(d.orphans)) {
		o := d.orphans[key]
		if o == nil {
			continue
		}
		switch _, has := d.owner(key); {
		case d.tombs[o.born]:
			delete(d.orphans, key)
		case has && d.pidOfOwner(key) != (term.Pid{}):
			delete(d.orphans, key)
		case has || o.placed || d.now.Before(o.next) || d.ending != nil:
		case leader != d.me:
			o.next, o.sent = d.now.Add(distIdle), true
			d.tell(d.members[leader], "orphan", o.term(), term.Atom(o.from))
		case d.lost || d.opts.Quorum && o.from != d.me && !d.released(o.from):
		default:
			d.resettle(key, o)
		}
	}
}

func (d *dist) pidOfOwner(key string) term.Pid {
	m, _ := d.owner(key)
	return d.pidOf(m, key)
}

// resettle tells a member to run an orphan.
func (d *dist) resettle(key string, o *orphan) {
	e := o.distEntry
	e.moves++
	o.placed = true
	d.ask(d.fewest(), func(answer term.Term) {
		o.placed = false
		o.wait = min(max(distRetry, 2*o.wait), distRetryMost)
		o.next = d.now.Add(o.wait)
		if t, _ := answer.(term.Tuple); len(t) == 2 && t[0] == term.Atom("ok") && d.orphans[key] == o {
			delete(d.orphans, key)
		}
	}, "take", e.term())
}
