package store

import (
	"context"
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/commit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// The participant's side of a commit: locks that are still missing are taken, the yes is logged where the transaction
// touches copies on disc, and the decision carried out.

// prepared is a transaction that another node wants to commit here, until the vote is sent.
type prepared struct {
	from    kit.NodeName
	tie     tie
	id      commitID
	tx      lock.Tx
	flags   uint64
	lockID  uint64
	others  []kit.NodeName
	ops     []op
	schema  []schemaOp
	body    []byte         // as it came, for the log
	granted int            // the operations whose record is locked
	left    []kit.NodeName // whose copies it leaves out, although this node sees them
	stray   bool           // the transaction has let go meanwhile; under locks.mu
}

// readPrepare reads what follows the kind of a prepare frame.
func readPrepare(b []byte) (*prepared, bool) {
	r := &reader{b: b}
	pr := &prepared{body: b, id: r.commit(), tx: r.tx(), flags: r.num(), lockID: r.num(), others: r.nodes(), ops: r.ops()}
	for range r.count() {
		o, ok := schemaOpOf(r.term())
		if !ok {
			r.fail()
			break
		}
		pr.schema = append(pr.schema, o)
	}
	return pr, r.err == nil
}

// onPrepare takes another node's transaction.
func (s *Store) onPrepare(from kit.NodeName, body []byte) {
	pr, ok := readPrepare(body)
	if !ok || pr.tx.Node != from || pr.id.Node != from {
		return
	}
	pr.from, pr.tie = from, s.tie(from)
	s.clock.see(lock.Tx(pr.id))
	s.lockPrepared(pr)
}

// lockPrepared takes the locks that are missing, and votes when it has them. Where it must wait it is called again
// when a lock was granted.
func (s *Store) lockPrepared(pr *prepared) {
	if pr.flags&prepareLocks == 0 {
		s.vote(pr)
		return
	}
	l := &s.locks
	id := lockID{pr.from, pr.lockID}
	var out []outFrame
	l.mu.Lock()
	if pr.stray {
		delete(l.going, pr)
		l.mu.Unlock()
		return
	}
	for ; pr.granted < len(pr.ops); pr.granted++ {
		o := &pr.ops[pr.granted]
		item := lock.Item{Table: o.tab, Key: o.keyTerm()}
		ans, evs := l.table.Ask(lock.Request{Tx: pr.tx, Item: item, Kind: lock.Write, ID: pr.lockID})
		out = append(out, s.lockEvents(evs)...)
		if ans == lock.Granted {
			continue
		}
		w := remoteWait{tx: pr.tx, prepared: pr}
		if ans == lock.Refused {
			w.prepared = nil
			out = append(out, outFrame{to: pr.from, frame: standFrame(pr)})
		}
		l.waiting[id] = w
		delete(l.going, pr)
		l.mu.Unlock()
		s.sendAll(out)
		return
	}
	l.mu.Unlock()
	s.sendAll(out)
	s.vote(pr)
	l.mu.Lock()
	delete(l.going, pr)
	l.mu.Unlock()
}

// keyTerm is the key of the record that an operation changes; nil for a whole table.
func (o *op) keyTerm() term.Term {
	switch {
	case o.row != nil:
		return o.row[1]
	case o.kind == opClear:
		return nil
	}
	return o.key
}

// The votes.
const (
	voteYes   = iota
	voteNo    // with the reason
	voteStand // an older transaction holds a lock: the number follows under which it hears when to run again
)

func standFrame(pr *prepared) []byte {
	return newFrame(fVote).commit(pr.id).num(voteStand).num(pr.lockID).b
}

// vote votes on a transaction whose locks are held.
func (s *Store) vote(pr *prepared) {
	why := s.votes(pr.ops, pr.schema)
	pr.left = s.leftOut(pr)
	logged := pr.flags&prepareLogged != 0 && s.onDisc()
	var lsn disk.LSN
	if why == nil && logged {
		var err error
		notes := append(s.noteMissed(pr), disk.Change{Op: disk.SetMeta, Key: metaTx("prepared", pr.id), Value: term.T(term.Bin(pr.body), nodeList(pr.left))})
		if lsn, err = s.disk.Append(notes...); err != nil {
			s.breakDown("cannot write the log: " + err.Error()) // the others go on without this node
			return
		}
	}
	p := &s.part
	p.mu.Lock()
	if _, over := p.done[pr.id]; over && why == nil {
		why = term.Atom("decided")
	}
	var vt *voted
	if why == nil {
		vt = newVoted(s.self, pr)
		vt.logged = logged
		p.voted[pr.id] = vt
	}
	p.mu.Unlock()
	switch {
	case why != nil:
		s.refuse(pr, why, logged)
	case s.tie(pr.from) != pr.tie:
		s.withdraw(pr) // it has gone, and so will not hear the vote
	case pr.flags&prepareDurable != 0 && logged:
		s.voteSynced(pr, lsn)
	default:
		s.peers.Send(pr.from, newFrame(fVote).commit(pr.id).num(voteYes).b)
	}
}

func newVoted(self kit.NodeName, pr *prepared) *voted {
	mates := slices.DeleteFunc(slices.Clone(pr.others), func(n kit.NodeName) bool { return n == self })
	p := commit.Participate(pr.tx.Node, mates, pr.flags&prepareOwn != 0)
	return &voted{tx: pr.tx, p: p, ops: pr.ops, schema: pr.schema, durable: pr.flags&prepareDurable != 0, left: pr.left}
}

// leftOut lists the nodes that this node sees with copies of what is changed, and that do not take part: the link between them
// and the coordinator has gone, and that of this node has not, or not yet.
func (s *Store) leftOut(pr *prepared) []kit.NodeName {
	v := s.view.Load()
	var left []kit.NodeName
	for i := range pr.ops {
		if v == nil || v.tables[pr.ops[i].tab] == nil {
			continue
		}
		for _, n := range v.tables[pr.ops[i].tab].targets() {
			if n != s.self && n != pr.from && !slices.Contains(pr.others, n) && !slices.Contains(left, n) {
				left = append(left, n)
			}
		}
	}
	return left
}

func (s *Store) refuse(pr *prepared, why term.Term, logged bool) {
	if logged {
		s.unlog(pr.id)
	}
	s.letGo(pr)
	s.peers.Send(pr.from, newFrame(fVote).commit(pr.id).num(voteNo).term(why).b)
}

// letGo releases what a commit has locked, unless its transaction has let go itself.
func (s *Store) letGo(pr *prepared) {
	l := &s.locks
	l.mu.Lock()
	var out []outFrame
	if !pr.stray {
		out = s.releaseLocked(pr.tx)
	}
	l.mu.Unlock()
	s.sendAll(out)
}

// withdraw takes back a yes that was not sent.
func (s *Store) withdraw(pr *prepared) {
	s.part.mu.Lock()
	vt := s.part.voted[pr.id]
	delete(s.part.voted, pr.id)
	s.part.mu.Unlock()
	if vt == nil {
		return
	}
	if vt.logged {
		s.unlog(pr.id)
	}
	s.letGo(pr)
}

// unlog takes back that a transaction is prepared.
func (s *Store) unlog(id commitID) {
	if _, err := s.disk.Append(disk.Change{Op: disk.DelMeta, Key: metaTx("prepared", id)}); err != nil {
		s.breakDown("cannot write the log: " + err.Error())
	}
}

// voteSynced says yes when that is on the disc. Others of the same sender are served meanwhile, so that one sync does
// for many.
func (s *Store) voteSynced(pr *prepared, lsn disk.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return
	}
	s.go_(func(context.Context) {
		if err := s.disk.Sync(lsn); err != nil {
			s.breakDown("cannot write the log: " + err.Error())
			return
		}
		s.peers.Send(pr.from, newFrame(fVote).commit(pr.id).num(voteYes).b)
	})
}

// votes gives nil for yes, or the reason of a no.
func (s *Store) votes(ops []op, schema []schemaOp) term.Term {
	v := s.view.Load()
	if v == nil {
		return reason("node_not_running", node(s.self))
	}
	for i := range ops {
		t := v.tables[ops[i].tab]
		if t == nil || t.data == nil && t.buf == nil || !t.takes(&ops[i]) {
			return reason("no_exists", term.Atom(ops[i].tab))
		}
	}
	for _, o := range schema {
		if err := s.schemaReady(o); err != nil {
			e, ok := err.(*Error)
			if !ok {
				return term.T(term.Str(err.Error()))
			}
			return e.Reason
		}
	}
	return nil
}

// onVote takes a participant's vote.
func (s *Store) onVote(from kit.NodeName, r *reader) {
	id, what := r.commit(), r.num()
	var why term.Term
	var number uint64
	switch what {
	case voteYes:
	case voteNo:
		why = r.term()
	case voteStand:
		number, why = r.num(), term.Atom("cyclic")
	default:
		return
	}
	if r.err != nil {
		return
	}
	if what == voteStand {
		s.stand(id, from, number)
	}
	s.step(id, func(c *commit.Coordinator) commit.Step { return c.Vote(from, why) })
}

// stand notes that a transaction of this node stands aside at another, which tells when it may run again. It does so at
// one node only; the others hear that it lets go.
func (s *Store) stand(id commitID, n kit.NodeName, number uint64) {
	ch := make(chan lockReply, 2)
	s.part.mu.Lock()
	d := s.part.driven[id]
	if d == nil || d.standing != nil {
		s.part.mu.Unlock()
		return
	}
	d.standing = &standing{reply: lockReply{from: n, id: number, answer: lockRefused}, ch: ch}
	for _, r := range d.early {
		if r.from == n {
			ch <- r
			s.part.mu.Unlock()
			return
		}
	}
	s.part.mu.Unlock()
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	s.locks.asked[number] = &lockCall{id: number, node: n, ch: ch}
}

// early keeps the news that a transaction may run again until its refusal comes: the two were sent by two goroutines.
func (s *Store) early(r lockReply) {
	s.part.mu.Lock()
	defer s.part.mu.Unlock()
	for _, d := range s.part.driven {
		if d.locks != 0 && d.locks == r.id && len(d.early) < 16 {
			d.early = append(d.early, r)
		}
	}
}

// onDecide takes the coordinator's decision.
func (s *Store) onDecide(from kit.NodeName, r *reader) {
	id, commits, ack := r.commit(), r.flag(), r.flag()
	if r.err != nil || id.Node != from {
		return
	}
	s.part.mu.Lock()
	vt := s.part.voted[id]
	var act commit.Act
	switch {
	case vt != nil:
		act = vt.p.Decide(commits)
		vt.told = true
	case !commits:
		s.part.record(id, commit.Aborted) // it may still wait for a lock here; its release is on the way
	}
	s.part.mu.Unlock()
	s.conclude(id, vt, act)
	if ack {
		s.peers.Send(from, newFrame(fApplied).commit(id).b)
	}
}

// onApplied takes the news that a participant has applied a decision.
func (s *Store) onApplied(from kit.NodeName, r *reader) {
	if id := r.commit(); r.err == nil {
		s.step(id, func(c *commit.Coordinator) commit.Step { return c.Applied(from) })
	}
}

// conclude carries out what a participant wants done.
func (s *Store) conclude(id commitID, vt *voted, act commit.Act) {
	for _, n := range act.Ask {
		s.peers.Send(n, newFrame(fOutcome).commit(id).flag(vt.logged).b)
	}
	if !act.Ended || vt.found && s.afterLoad(id, vt, act) {
		return
	}
	if vt.logged && s.view.Load() == nil {
		return // it stays in the log, for the next start
	}
	var done []disk.Change
	if vt.logged {
		done = []disk.Change{{Op: disk.DelMeta, Key: metaTx("prepared", id)}}
	}
	heard := vt.told && !vt.found
	if act.State == commit.Committed && vt.logged && !vt.told {
		done = append(append(done, s.part.keepRuling(id)...), s.noteLost(id, vt)...)
	}
	if act.State == commit.Committed {
		s.cp.gate.RLock()
		s.applySchema(vt.schema)
		err := s.finishLocal(vt.ops, "transaction", vt.durable && !vt.logged, done...)
		s.cp.gate.RUnlock()
		if err != nil {
			s.breakDown("cannot write a committed transaction: " + err.Error())
		}
		if !heard {
			s.passOn(vt)
		}
	} else if vt.logged {
		s.unlog(id)
	}
	s.part.mu.Lock()
	delete(s.part.voted, id)
	asked := s.part.record(id, act.State)
	s.part.mu.Unlock()
	s.release(vt.tx)
	s.tellOutcome(id, asked)
	if vt.logged {
		s.settled(id.Node)
	}
	if vt.found {
		s.tellResolved()
	}
}

// afterLoad leaves it to a task to conclude a transaction that changes a table which is being loaded from the disc now: the load may
// have passed the record already. It reports whether it did.
func (s *Store) afterLoad(id commitID, vt *voted, act commit.Act) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	loading := func() bool {
		return slices.ContainsFunc(vt.ops, func(o op) bool { return s.intents[o.tab] })
	}
	if s.view.Load() == nil || !loading() {
		return false
	}
	s.go_(func(ctx context.Context) {
		if s.wait(ctx, func() bool { return !loading() }) == nil {
			s.conclude(id, vt, commit.Act{Ended: true, State: act.State})
		}
	})
	return true
}

// noteMissed gives what goes into the log with a yes to a transaction that leaves out copies which this node sees: that they are
// old. When those nodes go down that is known of them anyway, but this one may crash before it sees that.
func (s *Store) noteMissed(pr *prepared) []disk.Change {
	if len(pr.left) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var notes []disk.Change
	for i := range pr.ops {
		name := pr.ops[i].tab
		if t := s.tabs[name]; t != nil && t.data != nil {
			s.missed[name] = sorted(s.missed[name], slices.DeleteFunc(slices.Clone(pr.left), func(n kit.NodeName) bool { return !slices.Contains(t.active, n) }))
			notes = append(notes, s.noteBehind(name)...)
		}
	}
	return notes
}

// noteLost gives what goes into the log with a commit after a crash which the coordinator has not decided: that its copies are
// old, as this node knew at the time.
func (s *Store) noteLost(id commitID, vt *voted) []disk.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	var notes []disk.Change
	for i := range vt.ops {
		name := vt.ops[i].tab
		k := s.known[name]
		if t := s.tabs[name]; vt.found && t != nil && (t.storage(id.Node) == Disc || t.storage(id.Node) == DiscOnly) && !slices.Contains(k.late, s.self) {
			s.known[name] = knowledge{max(k.at, id.Time), sorted(k.late, []kit.NodeName{id.Node})}
			notes = append(notes, disk.Change{Op: disk.SetMeta, Key: metaKnown(name), Value: s.known[name].term()})
		}
	}
	return notes
}

// passOn gives a transaction that was committed without its coordinator to the copies that it left out, so that they do not
// come to differ from those that this node reaches. Nobody can have
// written these records since, for they are locked here.
func (s *Store) passOn(vt *voted) {
	v := s.view.Load()
	for i := range vt.ops {
		if v == nil || v.tables[vt.ops[i].tab] == nil || !slices.Contains(v.tables[vt.ops[i].tab].active, s.self) {
			continue
		}
		for _, n := range v.tables[vt.ops[i].tab].targets() {
			if slices.Contains(vt.left, n) {
				s.peers.Send(n, newFrame(fDirty).num(0).ops(vt.ops[i:i+1]).b)
			}
		}
	}
}
