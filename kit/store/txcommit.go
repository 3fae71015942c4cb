package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"netsplit/kit"
	"netsplit/kit/store/commit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// commitID names one attempt to commit: a transaction that runs again keeps its age, and so its name as an owner of
// locks, but what became of its first attempt says nothing about its second.
type commitID lock.Tx

// participants are the commits that this node takes part in: those it drives and those it has voted for.
type participants struct {
	mu      sync.Mutex
	driven  map[commitID]*driven
	voted   map[commitID]*voted
	done    map[commitID]commit.State // how recent ones ended, for participants in doubt
	ring    []commitID                // those in done, oldest first from next
	next    int
	evicted uint64                      // the greatest time of a transaction that was in done
	askedBy map[commitID][]kit.NodeName // nodes that want to hear how one ends
	owed    map[commitID][]kit.NodeName // decisions in the own log, and the participants that may need them
	forget  []commitID                  // those that nobody needs any more
	over    map[kit.NodeName]int        // since a coordinator was told what is settled
	ruled   map[commitID]commit.State   // decisions made while the coordinator was away
	kept    []commitID                  // commits that were not the coordinator's, in the own log; oldest first
}

// remembered is how many outcomes are kept for participants in doubt.
const remembered = 1 << 14

// driven is a commit of a transaction of this node.
type driven struct {
	c     *commit.Coordinator
	steps chan commit.Step // what it wants done; has room for all it can want
	// standing is the first refusal of a lock, cancelled says that this node gave up.
	standing  *standing
	cancelled bool
	locks     uint64      // the number of the request for locks
	early     []lockReply // of those who say that it may run again before they say that it stands aside
}

// voted is a commit that another node drives.
type voted struct {
	p       *commit.Participant
	tx      lock.Tx // the owner of the locks
	ops     []op
	schema  []schemaOp
	logged  bool // that it is prepared is in the log
	durable bool
	found   bool           // in the log, after a crash or stop
	told    bool           // by the coordinator how it ended
	left    []kit.NodeName // see leftOut
}

func (p *participants) init() {
	p.driven, p.voted = map[commitID]*driven{}, map[commitID]*voted{}
	p.done, p.askedBy = map[commitID]commit.State{}, map[commitID][]kit.NodeName{}
	p.owed, p.over, p.ruled = map[commitID][]kit.NodeName{}, map[kit.NodeName]int{}, map[commitID]commit.State{}
}

// record remembers how a transaction ended. Callers hold mu.
func (p *participants) record(tx commitID, st commit.State) (asked []kit.NodeName) {
	if len(p.ring) < remembered {
		p.ring = append(p.ring, tx)
	} else {
		p.evicted = max(p.evicted, p.ring[p.next].Time)
		delete(p.done, p.ring[p.next])
		p.ring[p.next] = tx
		p.next = (p.next + 1) % remembered
	}
	p.done[tx] = st
	asked = p.askedBy[tx]
	delete(p.askedBy, tx)
	return asked
}

// Commit ends the activity and makes what it wrote permanent. An error that is not ErrRestart means that the
// activity is over and has done nothing, unless its kit.Kind says that the outcome is unknown.
func (tx *Tx) Commit() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.ended {
		return errEnded
	}
	if !tx.IsTransaction() {
		tx.ended = true
		tx.leave()
		return nil
	}
	if len(tx.outer) > 0 {
		return &kit.Error{Op: "commit transaction", Kind: kit.Invalid, Err: errors.New("a nested transaction is open")}
	}
	if tx.dead() {
		err := tx.gone()
		tx.finish()
		return tx.sure(err)
	}
	if err := tx.lostLocks(); err != nil {
		return err
	}
	if tx.ws.empty() {
		tx.s.count.commits.Add(1)
		tx.finish()
		return nil
	}
	err := tx.s.commitOps(tx, tx.ws.ops(tx.room.commit[:0]))
	switch {
	case errors.Is(err, ErrRestart):
		return err
	case err == nil:
		tx.s.count.commits.Add(1)
	case !tx.ended:
		tx.s.count.failures.Add(1)
	}
	tx.finish()
	return tx.sure(err)
}

// sure marks a failure of a transaction an earlier run of which may have been committed by others: their links broke
// when this node did not know their votes, and they may have found that all had said yes.
func (tx *Tx) sure(err error) error {
	if err == nil || !tx.doubt || errors.Is(err, ErrRestart) {
		return err
	}
	return unknownEnd(err)
}

func unknownEnd(err error) error {
	return &kit.Error{Op: "commit transaction", Kind: kit.Unknown, Err: fmt.Errorf("nodes that went away during the commit may have committed it; here it ended with %v", err),
		Hint: "read the data when they are back to see whether it is there"}
}

// lostLocks makes a transaction run again that had a read lock on a node which has gone: another one may have
// written there since.
func (tx *Tx) lostLocks() error {
	ns := tx.lost(false)
	if len(ns) == 0 {
		return nil
	}
	for _, h := range tx.held.list {
		if len(h.nodes) != 1 || !slices.Contains(ns, h.nodes[0]) {
			continue
		}
		if t := tx.s.table(h.tab); t != nil && t.read != "" && h.kind == lock.Read {
			return tx.again()
		}
	}
	return nil
}

// again gives up all locks and writes and answers ErrRestart, or the end of a transaction that has run often enough.
func (tx *Tx) again() error {
	tx.lost(true)
	tx.dropLocks("")
	return tx.rerun()
}

// rerun makes the transaction ready to run from its beginning.
func (tx *Tx) rerun() error {
	tx.forgetWrites()
	tx.deferred = false
	tx.restarts++
	if tx.opts.Retries != Infinity && tx.restarts >= tx.opts.Retries {
		tx.s.count.failures.Add(1)
		tx.finish()
		return &Error{Class: Aborted, Reason: term.Atom("nomore"), kind: kit.Overloaded}
	}
	tx.restarted.Store(true)
	tx.s.count.restarts.Add(1)
	return ErrRestart
}

// share is what a commit has to do: who takes part, and what each of them gets.
type share struct {
	v      *view
	ops    []op
	others []kit.NodeName // participants but this one, sorted
	local  bool           // this node has a copy of something
	same   bool           // all operations go to all participants
	logged bool           // some copy is on disc
	own    bool           // the only copy of something is on this node's disc
}

// shareOut finds the copies that operations go to.
func (s *Store) shareOut(v *view, ops []op) (share, error) {
	sh := share{v: v, ops: ops, same: true}
	var first []kit.NodeName
	for i := range ops {
		t := v.tables[ops[i].tab]
		if t == nil || len(t.targets()) == 0 {
			return sh, abort("no_exists", term.Atom(ops[i].tab))
		}
		if t.Majority && !t.majority(t.writers()) {
			return sh, abort("no_majority", term.Atom(ops[i].tab))
		}
		to := t.targets()
		if first == nil {
			first = to
		}
		sh.same = sh.same && slices.Equal(first, to)
		sh.logged = sh.logged || len(t.Disc)+len(t.DiscOnly) > 0
		sh.own = sh.own || len(to) == 1 && to[0] == s.self && t.own != RAM
		for _, n := range to {
			if n == s.self {
				sh.local = true
			} else if !slices.Contains(sh.others, n) {
				sh.others = append(sh.others, n)
			}
		}
	}
	slices.Sort(sh.others)
	return sh, nil
}

// covers reports whether a later view has no copy that the share leaves out.
func (sh *share) covers(v *view, self kit.NodeName) bool {
	if v == nil {
		return false
	}
	for i := range sh.ops {
		t, old := v.tables[sh.ops[i].tab], sh.v.tables[sh.ops[i].tab]
		if t == old {
			continue
		}
		if t == nil || t.Cookie != old.Cookie {
			return false
		}
		for _, n := range t.targets() {
			if n == self && !sh.local || n != self && !slices.Contains(sh.others, n) {
				return false
			}
		}
	}
	return true
}

// commitOps distributes operations to the copies and commits them.
func (s *Store) commitOps(tx *Tx, ops []op) error {
	for range maxAttempts {
		if err := s.commitOnce(tx, ops); !errors.Is(err, errStale) {
			return err
		}
	}
	return tx.again()
}

func (s *Store) commitOnce(tx *Tx, ops []op) error {
	v := s.view.Load()
	if v == nil || !v.up {
		return abort("node_not_running", node(s.self))
	}
	sh, err := s.shareOut(v, ops)
	if err == nil {
		err = s.roomForOps(tx.ctx(), ops)
	}
	if err != nil {
		return err
	}
	if len(sh.others) == 0 {
		return s.commitHere(tx, ops, sh.logged)
	}
	return s.commitThere(tx, sh)
}

// commitThere commits what has copies on other nodes.
func (s *Store) commitThere(tx *Tx, sh share) error {
	v, ops := sh.v, sh.ops
	for _, n := range sh.others {
		tx.touch(n)
	}
	if sh.local {
		tx.touch(s.self)
	}
	p := plan{view: v, ctx: tx.ctx(), id: s.commitID(), tx: tx.id, others: sh.others, logged: sh.logged, own: sh.own, durable: tx.opts.Durable && sh.logged}
	if tx.deferred {
		p.locks = s.locks.number()
	}
	// without a copy here nobody would have applied it yet when this returns
	p.sync = tx.kind == SyncTransaction || !sh.local
	p.frame = func(n kit.NodeName) []byte { return s.prepareFrame(&p, opsFor(v, ops, n, sh.same), nil) }
	p.apply = func() error {
		if tx.deferred && !sh.covers(s.view.Load(), s.self) {
			return errMoved
		}
		return s.finishLocal(opsFor(v, ops, s.self, sh.same && sh.local), "transaction", p.durable, s.decision(&p)...)
	}
	return tx.driven(s.drive(&p), sh.others)
}

// commitHere commits what has no copy but here.
func (s *Store) commitHere(tx *Tx, ops []op, logged bool) error {
	s.cp.begin() // where a checkpoint is being made, it waits
	defer s.cp.end()
	return s.finishLocal(ops, "transaction", tx.opts.Durable && logged)
}

// driven says what the end of a commit means for its transaction.
func (tx *Tx) driven(err error, others []kit.NodeName) error {
	var stop *standing
	switch {
	case err == nil:
		// the decision releases the locks at the participants
		tx.touched = slices.DeleteFunc(tx.touched, func(n kit.NodeName) bool { return slices.Contains(others, n) })
	case errors.As(err, &stop):
		return tx.standAside(stop.reply, stop.ch)
	case errors.Is(err, errBadCommit):
		tx.doubt = true
		return tx.again()
	case errors.Is(err, errMoved) && tx.moves < maxAttempts:
		tx.moves++
		return tx.again()
	}
	return err
}

// opsFor gives the operations on tables that a node has a copy of.
func opsFor(v *view, ops []op, n kit.NodeName, all bool) []op {
	if all {
		return ops
	}
	var out []op
	for i := range ops {
		if t := v.tables[ops[i].tab]; t != nil && slices.Contains(t.targets(), n) {
			out = append(out, ops[i])
		}
	}
	return out
}

// plan is one commit on several nodes.
type plan struct {
	view    *view           // what it was made from
	ctx     context.Context // when it ends the commit is given up, if it is not decided
	id      commitID
	tx      lock.Tx
	others  []kit.NodeName // the participants but this node
	locks   uint64         // the number of the request for the locks that are still missing at the others; 0: none is
	logged  bool           // participants with a disc log that they are prepared, and the coordinator that it is decided
	own     bool           // only the coordinator's disc has a part of it
	durable bool           // it waits until that is on their discs
	sync    bool           // it ends when all have applied it
	frame   func(kit.NodeName) []byte
	apply   func() error
}

// Flags of a prepare.
const (
	prepareLocks   = 1 << iota // take write locks on the records first
	prepareLogged              // log it where there is a disc
	prepareDurable             // and vote when it is on the disc
	prepareOwn                 // the coordinator's disc has a part that nobody else has
)

func (s *Store) prepareFrame(p *plan, ops []op, schema []schemaOp) []byte {
	var flags uint64
	if p.locks != 0 {
		flags |= prepareLocks
	}
	if p.logged {
		flags |= prepareLogged
	}
	if p.durable {
		flags |= prepareDurable
	}
	if p.own {
		flags |= prepareOwn
	}
	w := newFrame(fPrepare).commit(p.id).tx(p.tx).num(flags).num(p.locks).nodes(p.others).ops(ops).num(uint64(len(schema)))
	for _, o := range schema {
		w.term(o.term())
	}
	return w.b
}

// Why a commit ended without a decision that counts.
var (
	errBadCommit = errors.New("a participant went away before it voted")
	errMoved     = errors.New("a copy came while the locks were taken, or a participant has told others that it will not vote")
	errStale     = errors.New("a node came or went before the commit began")
)

// standing is the refusal of a participant where an older transaction holds a lock: the transaction stands aside there.
type standing struct {
	reply lockReply
	ch    chan lockReply
}

func (*standing) Error() string { return "a lock was refused" }

// drive runs a commit from this node: prepare everywhere, and when all say yes apply here and tell them.
func (s *Store) drive(pl *plan) error {
	d := &driven{steps: make(chan commit.Step, 2*len(pl.others)+4), locks: pl.locks}
	ties, frames := make([]tie, len(pl.others)), make([][]byte, len(pl.others))
	for i, n := range pl.others {
		if ties[i], frames[i] = s.tie(n), pl.frame(n); len(frames[i]) > maxFrame {
			return tooLarge()
		}
	}
	if s.view.Load() != pl.view {
		return errStale
	}
	p := &s.part
	p.mu.Lock()
	var st commit.Step
	d.c, st = commit.Coordinate(pl.others, pl.sync)
	p.driven[pl.id] = d
	p.mu.Unlock()
	d.tell(st)
	for i, n := range pl.others {
		s.peers.Send(n, frames[i])
	}
	for i, n := range pl.others {
		if ties[i].since == 0 || s.tie(n) != ties[i] { // it went before this commit was known to those who tell it so
			s.step(pl.id, func(c *commit.Coordinator) commit.Step { return c.Down(n) })
		}
	}
	err := s.steer(pl, d)
	p.mu.Lock()
	delete(p.driven, pl.id)
	p.mu.Unlock()
	return err
}

// steer does what the coordinator wants until the commit is over.
func (s *Store) steer(pl *plan, d *driven) error {
	gone := pl.ctx.Done()
	for {
		select {
		case st := <-d.steps:
			var err error
			if st.Decided {
				err = s.decide(pl, d, st)
			}
			if st.Done || err != nil {
				return err
			}
		case <-gone:
			gone = nil
			s.giveUpOn(pl.id, term.Atom("killed"))
		}
	}
}

// giveUpOn aborts a commit of this node, unless it is decided.
func (s *Store) giveUpOn(id commitID, why term.Term) {
	s.part.mu.Lock()
	if d := s.part.driven[id]; d != nil {
		if st, _ := d.c.State(); st == commit.Preparing {
			d.cancelled = true
		}
	}
	s.part.mu.Unlock()
	s.step(id, func(c *commit.Coordinator) commit.Step { return c.Cancel(why) })
}

// tell hands a step to the goroutine that drives the commit.
func (d *driven) tell(st commit.Step) {
	if st.Decided || st.Done {
		d.steps <- st // there is room: one decision, and one end
	}
}

// step feeds an event to the coordinator of a transaction of ours.
func (s *Store) step(id commitID, event func(*commit.Coordinator) commit.Step) {
	s.part.mu.Lock()
	d := s.part.driven[id]
	if d == nil {
		s.part.mu.Unlock()
		return
	}
	st := event(d.c)
	s.part.mu.Unlock()
	d.tell(st)
}

// decide carries out a coordinator's decision: here first, so that a decision which was told is in this log.
func (s *Store) decide(pl *plan, d *driven, st commit.Step) error {
	s.cp.begin()
	defer s.cp.end()
	commits := st.State == commit.Committed
	var err error
	if commits {
		if err = pl.apply(); err != nil {
			commits = false
		}
	} else {
		err = s.whyAborted(d)
	}
	s.part.mu.Lock()
	asked := s.part.record(pl.id, map[bool]commit.State{true: commit.Committed, false: commit.Aborted}[commits])
	s.part.mu.Unlock()
	send := s.later
	if pl.sync {
		send = s.peers.Send
	}
	for _, n := range st.To {
		send(n, newFrame(fDecide).commit(pl.id).flag(commits).flag(pl.sync).b)
	}
	s.tellOutcome(pl.id, asked)
	return err
}

// whyAborted gives the reason of an abort in the terms of its caller.
func (s *Store) whyAborted(d *driven) error {
	s.part.mu.Lock()
	defer s.part.mu.Unlock()
	_, why := d.c.State()
	switch head, _ := headAtom(why); {
	case d.standing != nil:
		return d.standing
	case head == "bad_commit":
		return errBadCommit
	case d.cancelled:
		return unknownEnd(&Error{Class: Aborted, Reason: why})
	case head == "decided" || head == "no_exists" && s.writable(why):
		return &movedError{&Error{Class: Aborted, Reason: why}}
	}
	return &Error{Class: Aborted, Reason: why}
}

// movedError is the no of a participant that sees another cluster than this node does at the moment: the transaction runs
// again, and gives this reason when that does not help.
type movedError struct{ why *Error }

func (e *movedError) Error() string   { return e.why.Error() }
func (e *movedError) Unwrap() []error { return []error{errMoved, e.why} }

// writable reports whether the table of a no_exists can be written as this node sees it.
func (s *Store) writable(why term.Term) bool {
	t, ok := why.(term.Tuple)
	if !ok || len(t) != 2 {
		return false
	}
	name, _ := t[1].(term.Atom)
	tab := s.table(string(name))
	return tab != nil && len(tab.targets()) > 0
}

// finishLocal makes operations permanent and visible on this node. With durable it returns when they are on the disc;
// more goes into the same batch of the log.
func (s *Store) finishLocal(ops []op, by string, durable bool, more ...disk.Change) error {
	v := s.view.Load()
	if v == nil {
		return abort("node_not_running", node(s.self))
	}
	changes := more
	for i := range ops {
		if t := v.tables[ops[i].tab]; t != nil && t.buf == nil && (t.own == Disc || t.own == DiscOnly) {
			changes = append(changes, change(&ops[i]))
		}
	}
	if len(changes) > 0 {
		s.noteSplit(v, durable, ops...)
		s.foresee(v, ops)
		log := s.disk.Append
		if durable {
			log = s.disk.AppendSynced
		}
		if _, err := log(changes...); err != nil {
			return discError(err)
		}
		s.logged()
	}
	for i := range ops {
		if t := v.tables[ops[i].tab]; t != nil {
			s.applyOne(t, &ops[i], by)
		}
	}
	if len(ops) > 0 {
		s.hub.activity()
	}
	return nil
}
