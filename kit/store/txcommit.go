package store

import (
	"errors"
	"slices"
	"sync"

	"netsplit/kit"
	"netsplit/kit/store/commit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// participants are the commits that this node takes part in: those it drives and those it has voted for.
type participants struct {
	mu      sync.Mutex
	driven  map[lock.Tx]*driven
	voted   map[lock.Tx]*voted
	done    map[lock.Tx]commit.State // how recent ones ended, for participants in doubt
	ring    []lock.Tx                // those in done, oldest first from next
	next    int
	askedBy map[lock.Tx][]kit.NodeName // nodes that want to hear how one ends
}

// remembered is how many outcomes are kept for participants in doubt.
const remembered = 1 << 14

// driven is a commit of a transaction of this node.
type driven struct {
	c     *commit.Coordinator
	steps chan commit.Step // what it wants done; has room for all it can want
}

// voted is a commit that another node drives.
type voted struct {
	p      *commit.Participant
	ops    []op
	schema []schemaOp
}

func (p *participants) init() {
	p.driven, p.voted = map[lock.Tx]*driven{}, map[lock.Tx]*voted{}
	p.done, p.askedBy = map[lock.Tx]commit.State{}, map[lock.Tx][]kit.NodeName{}
}

// record remembers how a transaction ended. Callers hold mu.
func (p *participants) record(tx lock.Tx, st commit.State) (asked []kit.NodeName) {
	if len(p.ring) < remembered {
		p.ring = append(p.ring, tx)
	} else {
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
		return err
	}
	if err := tx.lostLocks(); err != nil {
		return err
	}
	if tx.ws.empty() {
		tx.finish()
		return nil
	}
	err := tx.s.commitOps(tx, tx.ws.ops())
	if err == nil {
		tx.s.count.commits.Add(1)
	} else {
		tx.s.count.failures.Add(1)
	}
	tx.finish()
	return err
}

// lostLocks makes a transaction run again that had a read lock on a node which has gone: another one may have
// written there since.
func (tx *Tx) lostLocks() error {
	tx.lost.mu.Lock()
	ns := tx.lost.ns
	tx.lost.mu.Unlock()
	if len(ns) == 0 {
		return nil
	}
	for _, h := range tx.held.list {
		if len(h.nodes) != 1 || !slices.Contains(ns, h.nodes[0]) {
			continue
		}
		if t := tx.s.table(h.tab); t != nil && t.read != "" && h.kind == lock.Read {
			tx.lost.mu.Lock()
			tx.lost.ns = nil
			tx.lost.mu.Unlock()
			tx.dropLocks("")
			tx.forgetWrites()
			tx.restarts++
			tx.restarted.Store(true)
			tx.s.count.restarts.Add(1)
			return ErrRestart
		}
	}
	return nil
}

// commitOps distributes operations to the copies and commits them.
func (s *Store) commitOps(tx *Tx, ops []op) error {
	v := s.view.Load()
	if v == nil || !v.up {
		return abort("node_not_running", node(s.self))
	}
	var others []kit.NodeName
	local := false
	same := true
	var first []kit.NodeName
	for i := range ops {
		t := v.tables[ops[i].tab]
		if t == nil || len(t.targets()) == 0 {
			return abort("no_exists", term.Atom(ops[i].tab))
		}
		if t.Majority && !t.majority(t.writers()) {
			return abort("no_majority", term.Atom(ops[i].tab))
		}
		to := t.targets()
		if first == nil {
			first = to
		}
		same = same && slices.Equal(first, to)
		for _, n := range to {
			if n == s.self {
				local = true
			} else if !slices.Contains(others, n) {
				others = append(others, n)
			}
		}
	}
	if len(others) == 0 {
		return s.finishLocal(tx.id, ops)
	}
	slices.Sort(others)
	for _, n := range others {
		tx.touch(n)
	}
	if local {
		tx.touch(s.self)
	}
	// without a copy here nobody would have applied it yet when this returns
	err := s.drive(tx.id, others, tx.kind == SyncTransaction || !local, func(n kit.NodeName) []byte {
		return s.prepareFrame(tx.id, others, opsFor(v, ops, n, same), nil)
	}, func() error { return s.finishLocal(tx.id, opsFor(v, ops, s.self, same && local)) })
	if err == nil {
		// the decision releases the locks at the participants
		tx.touched = slices.DeleteFunc(tx.touched, func(n kit.NodeName) bool { return slices.Contains(others, n) })
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

func (s *Store) prepareFrame(tx lock.Tx, others []kit.NodeName, ops []op, schema []schemaOp) []byte {
	w := newFrame(fPrepare).tx(tx).nodes(others).ops(ops).num(uint64(len(schema)))
	for _, o := range schema {
		w.term(o.term())
	}
	return w.b
}

// drive runs a commit from this node: prepare everywhere, and when all say yes apply here and tell them. With
// sync it returns when all have applied it.
func (s *Store) drive(tx lock.Tx, others []kit.NodeName, sync bool, frame func(kit.NodeName) []byte, apply func() error) error {
	d := &driven{steps: make(chan commit.Step, 2*len(others)+4)}
	ties, frames := make([]tie, len(others)), make([][]byte, len(others))
	for i, n := range others {
		if ties[i], frames[i] = s.tie(n), frame(n); len(frames[i]) > maxFrame {
			return tooLarge()
		}
	}
	p := &s.part
	p.mu.Lock()
	var st commit.Step
	d.c, st = commit.Coordinate(others, sync)
	p.driven[tx] = d
	p.mu.Unlock()
	d.tell(st)
	for i, n := range others {
		s.peers.Send(n, frames[i])
	}
	for i, n := range others {
		if ties[i].since == 0 || s.tie(n) != ties[i] { // it went before this commit was known to those who tell it so
			s.step(tx, func(c *commit.Coordinator) commit.Step { return c.Down(n) })
		}
	}
	var err error
	for st := range d.steps {
		if st.Decided {
			err = s.decide(tx, d, st, sync, apply)
		}
		if st.Done || err != nil {
			break
		}
	}
	p.mu.Lock()
	delete(p.driven, tx)
	p.mu.Unlock()
	return err
}

// tell hands a step to the goroutine that drives the commit.
func (d *driven) tell(st commit.Step) {
	if st.Decided || st.Done {
		d.steps <- st // there is room: one decision, and one end
	}
}

// step feeds an event to the coordinator of a transaction of ours.
func (s *Store) step(tx lock.Tx, event func(*commit.Coordinator) commit.Step) {
	s.part.mu.Lock()
	d := s.part.driven[tx]
	if d == nil {
		s.part.mu.Unlock()
		return
	}
	st := event(d.c)
	s.part.mu.Unlock()
	d.tell(st)
}

// decide carries out a coordinator's decision: here first, so that a decision which was told is on this disc.
func (s *Store) decide(tx lock.Tx, d *driven, st commit.Step, sync bool, apply func() error) error {
	commits := st.State == commit.Committed
	var err error
	if commits {
		if err = apply(); err != nil {
			commits = false
		}
	} else {
		s.part.mu.Lock()
		_, why := d.c.State()
		s.part.mu.Unlock()
		err = &Error{Class: Aborted, Reason: why}
	}
	s.part.mu.Lock()
	asked := s.part.record(tx, map[bool]commit.State{true: commit.Committed, false: commit.Aborted}[commits])
	s.part.mu.Unlock()
	for _, n := range st.To {
		s.peers.Send(n, newFrame(fDecide).tx(tx).flag(commits).flag(sync).b)
	}
	s.tellOutcome(tx, asked)
	return err
}

// finishLocal makes operations permanent and visible on this node.
func (s *Store) finishLocal(tx lock.Tx, ops []op) error {
	v := s.view.Load()
	if v == nil {
		return abort("node_not_running", node(s.self))
	}
	var changes []disk.Change
	for i := range ops {
		if t := v.tables[ops[i].tab]; t != nil && t.buf == nil && (t.own == Disc || t.own == DiscOnly) {
			changes = append(changes, change(&ops[i]))
		}
	}
	s.cp.gate.RLock()
	defer s.cp.gate.RUnlock()
	if len(changes) > 0 {
		s.noteSplit(v, ops...)
		if _, err := s.disk.Append(changes...); err != nil {
			return discError(err)
		}
		s.count.logged.Add(1)
	}
	for i := range ops {
		if t := v.tables[ops[i].tab]; t != nil {
			s.applyOne(t, &ops[i], "transaction")
		}
	}
	if len(ops) > 0 {
		s.hub.activity()
	}
	return nil
}

// onPrepare votes on another node's transaction.
func (s *Store) onPrepare(from kit.NodeName, r *reader) {
	tx, others, ops := r.tx(), r.nodes(), r.ops()
	n := r.count()
	var schema []schemaOp
	for range n {
		o, ok := schemaOpOf(r.term())
		if !ok {
			r.fail()
		}
		schema = append(schema, o)
	}
	if r.err != nil || tx.Node != from {
		return
	}
	s.clock.see(tx)
	why := s.votes(ops, schema)
	p := &s.part
	p.mu.Lock()
	if _, over := p.done[tx]; over && why == nil {
		why = term.Atom("decided")
	}
	if why == nil {
		mates := slices.DeleteFunc(others, func(n kit.NodeName) bool { return n == s.self })
		p.voted[tx] = &voted{p: commit.Participate(from, mates), ops: ops, schema: schema}
	}
	p.mu.Unlock()
	w := newFrame(fVote).tx(tx).flag(why == nil)
	if why != nil {
		s.release(tx)
		w.term(why)
	}
	s.peers.Send(from, w.b)
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
	tx, yes := r.tx(), r.flag()
	var why term.Term
	if !yes {
		why = r.term()
	}
	if r.err == nil {
		s.step(tx, func(c *commit.Coordinator) commit.Step { return c.Vote(from, why) })
	}
}

// onDecide takes the coordinator's decision.
func (s *Store) onDecide(from kit.NodeName, r *reader) {
	tx, commits, ack := r.tx(), r.flag(), r.flag()
	if r.err != nil || tx.Node != from {
		return
	}
	s.part.mu.Lock()
	vt := s.part.voted[tx]
	var act commit.Act
	if vt != nil {
		act = vt.p.Decide(commits)
	}
	s.part.mu.Unlock()
	s.conclude(tx, vt, act)
	if ack {
		s.peers.Send(from, newFrame(fApplied).tx(tx).b)
	}
}

// onApplied takes the news that a participant has applied a decision.
func (s *Store) onApplied(from kit.NodeName, r *reader) {
	if tx := r.tx(); r.err == nil {
		s.step(tx, func(c *commit.Coordinator) commit.Step { return c.Applied(from) })
	}
}

// conclude carries out what a participant wants done.
func (s *Store) conclude(tx lock.Tx, vt *voted, act commit.Act) {
	for _, n := range act.Ask {
		s.peers.Send(n, newFrame(fOutcome).tx(tx).b)
	}
	if !act.Ended {
		if vt == nil {
			s.release(tx)
		}
		return
	}
	if act.State == commit.Committed {
		s.applySchema(vt.schema)
		if err := s.finishLocal(tx, vt.ops); err != nil {
			s.breakDown("cannot write a committed transaction: " + err.Error())
		}
	}
	s.part.mu.Lock()
	delete(s.part.voted, tx)
	asked := s.part.record(tx, act.State)
	s.part.mu.Unlock()
	s.release(tx)
	s.tellOutcome(tx, asked)
}

// onOutcome answers a participant in doubt; it is told later when this node does not know but will.
func (s *Store) onOutcome(from kit.NodeName, r *reader) {
	tx := r.tx()
	if r.err != nil {
		return
	}
	p := &s.part
	p.mu.Lock()
	st, known := p.done[tx]
	if !known {
		switch vt := p.voted[tx]; {
		case vt == nil && p.driven[tx] == nil:
			st = commit.Aborted // and it can not be prepared here any more
			p.record(tx, st)
		case vt != nil && vt.p.Alone():
			st = commit.Preparing
		default:
			p.askedBy[tx] = append(p.askedBy[tx], from)
			p.mu.Unlock()
			return
		}
	}
	p.mu.Unlock()
	s.peers.Send(from, newFrame(fOutcomeIs).tx(tx).num(uint64(st)).b)
}

func (s *Store) tellOutcome(tx lock.Tx, asked []kit.NodeName) {
	if len(asked) == 0 {
		return
	}
	s.part.mu.Lock()
	st := s.part.done[tx]
	s.part.mu.Unlock()
	for _, n := range asked {
		s.peers.Send(n, newFrame(fOutcomeIs).tx(tx).num(uint64(st)).b)
	}
}

func (s *Store) onOutcomeIs(from kit.NodeName, r *reader) {
	tx, st := r.tx(), commit.State(r.num())
	if r.err != nil {
		return
	}
	s.part.mu.Lock()
	vt := s.part.voted[tx]
	var act commit.Act
	if vt != nil {
		act = vt.p.Outcome(from, st)
	}
	s.part.mu.Unlock()
	if vt != nil {
		s.conclude(tx, vt, act)
	}
}

// commitPeerDown tells all commits that a node has gone.
func (s *Store) commitPeerDown(n kit.NodeName) {
	up := s.peers.Up()
	p := &s.part
	p.mu.Lock()
	driven := sortedTxs(p.driven)
	votedTxs := sortedTxs(p.voted)
	p.mu.Unlock()
	for _, tx := range driven {
		s.step(tx, func(c *commit.Coordinator) commit.Step { return c.Down(n) })
	}
	for _, tx := range votedTxs {
		p.mu.Lock()
		vt := p.voted[tx]
		var act commit.Act
		var asked []kit.NodeName
		if vt != nil {
			act = vt.p.Down(n, up)
			if vt.p.Alone() {
				asked = p.askedBy[tx]
				delete(p.askedBy, tx)
			}
		}
		p.mu.Unlock()
		if vt == nil {
			continue
		}
		for _, a := range asked {
			s.peers.Send(a, newFrame(fOutcomeIs).tx(tx).num(uint64(commit.Preparing)).b)
		}
		s.conclude(tx, vt, act)
	}
}

// inDoubt reports whether this node has voted for a transaction and does not know its end.
func (s *Store) inDoubt(tx lock.Tx) bool {
	s.part.mu.Lock()
	defer s.part.mu.Unlock()
	return s.part.voted[tx] != nil
}

func sortedTxs[V any](m map[lock.Tx]V) []lock.Tx {
	txs := make([]lock.Tx, 0, len(m))
	for tx := range m {
		txs = append(txs, tx)
	}
	slices.SortFunc(txs, lock.Tx.Compare)
	return txs
}
