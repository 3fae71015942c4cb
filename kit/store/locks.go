package store

import (
	"context"
	"sync"

	"netsplit/kit"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// locks is this node's lock table and the requests that wait at it or at others.
type locks struct {
	mu      sync.Mutex
	table   *lock.Locks
	waiting map[lockID]remoteWait // requests of other nodes that have no answer yet
	going   map[*prepared]bool    // commits of other nodes that got the lock they waited for and are going on
	asked   map[uint64]*lockCall  // requests of this node, here or elsewhere
	idle    []*lockCall           // to be used again
	next    uint64
	stuck   map[string]bool // tables that a sticky lock of this node has been taken on
}

// lockID names a request of another node.
type lockID struct {
	from kit.NodeName
	id   uint64
}

// remoteWait is what to send back when a remote request is granted.
type remoteWait struct {
	tx       lock.Tx
	rows     bool      // the rows under the lock are wanted
	prepared *prepared // what goes on when the lock is granted
}

// lockCall is a request of this node's that waits for its answer.
type lockCall struct {
	id   uint64
	node kit.NodeName
	tx   lock.Tx
	ch   chan lockReply // holds two: refused, and granted to run again
	// refused says that the lock was refused at once; what follows comes through the channel.
	refused bool
	alone   bool // the channel is its own
}

// maxIdleCalls bounds the calls that are kept to be used again.
const maxIdleCalls = 256

// call gives a call with a channel of its own.
func (l *locks) call() *lockCall {
	n := len(l.idle)
	if n == 0 {
		return &lockCall{ch: make(chan lockReply, 2), alone: true}
	}
	c := l.idle[n-1]
	l.idle = l.idle[:n-1]
	return c
}

// endCall gives up a call that has had its last answer, or was forgotten.
func (s *Store) endCall(c *lockCall) {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	if c.alone && len(c.ch) == 0 && s.locks.asked[c.id] == nil && len(s.locks.idle) < maxIdleCalls {
		s.locks.idle = append(s.locks.idle, c)
	}
}

// lockReply is what became of a request.
type lockReply struct {
	from   kit.NodeName
	id     uint64
	answer lockAnswer
	rows   []term.Tuple
}

type lockAnswer uint8

const (
	lockGranted lockAnswer = iota
	lockRefused            // the transaction must stand aside
	lockRerun              // granted after standing aside
	lockLost               // the node has gone
	lockFailed             // the rows cannot be read there
	lockKilled             // the transaction was closed
)

func (l *locks) init() {
	l.table = lock.New()
	l.waiting = map[lockID]remoteWait{}
	l.asked = map[uint64]*lockCall{}
	l.stuck = map[string]bool{}
	l.going = map[*prepared]bool{}
}

// wholeTable is how a lock on a table is listed.
const wholeTable = term.Atom("______WHOLETABLE_____")

// globalTable is the table name under which global locks are kept.
const globalTable = "______GLOBAL_____"

// lockHere asks this node's own lock table. It gives nil when the lock is granted at once; otherwise the call's
// channel, ch or a new one, hears what becomes of it.
func (tx *Tx) lockHere(item lock.Item, kind lock.Kind, ch chan lockReply) *lockCall {
	s, l := tx.s, &tx.s.locks
	l.mu.Lock()
	l.next++
	id := l.next
	ans, evs := l.table.AskAs(&tx.owner, lock.Request{Tx: tx.id, Item: item, Kind: kind, ID: id})
	if ans == lock.Granted { // and there are no events
		l.mu.Unlock()
		return nil
	}
	var call *lockCall
	if ch == nil {
		call = l.call()
	} else {
		call = &lockCall{ch: ch}
	}
	call.id, call.node, call.tx, call.refused = id, s.self, tx.id, ans == lock.Refused
	l.asked[id] = call
	out := s.lockEvents(evs)
	l.mu.Unlock()
	s.sendAll(out)
	return call
}

// lockThere asks another node.
func (tx *Tx) lockThere(n kit.NodeName, item lock.Item, kind lock.Kind, rows bool, ch chan lockReply) *lockCall {
	s, l := tx.s, &tx.s.locks
	before := s.tie(n)
	l.mu.Lock()
	l.next++
	call := &lockCall{id: l.next, node: n, tx: tx.id, ch: ch}
	l.asked[call.id] = call
	l.mu.Unlock()
	w := newFrame(fLock).num(call.id).tx(tx.id).num(uint64(kind)).flag(rows).str(item.Table).flag(item.Key != nil)
	if item.Key != nil {
		w.term(item.Key)
	}
	s.peers.Send(n, w.b)
	if before.link == nil || before.since == 0 && !tx.joins || s.tie(n) != before {
		l.mu.Lock()
		if l.asked[call.id] != nil {
			delete(l.asked, call.id)
			call.tell(lockReply{from: n, id: call.id, answer: lockLost})
		}
		l.mu.Unlock()
	}
	return call
}

// forget drops requests whose answers nobody wants any more.
func (s *Store) forget(calls ...*lockCall) {
	if len(calls) == 0 {
		return
	}
	s.locks.mu.Lock()
	for _, c := range calls {
		if c != nil {
			delete(s.locks.asked, c.id)
		}
	}
	s.locks.mu.Unlock()
}

// outFrame is a frame to send once no lock is held, or a commit that goes on then.
type outFrame struct {
	to       kit.NodeName
	frame    []byte
	prepared *prepared
}

func (s *Store) sendAll(out []outFrame) {
	for _, f := range out {
		if f.prepared != nil {
			s.lockPrepared(f.prepared)
			continue
		}
		s.peers.Send(f.to, f.frame)
	}
}

// number gives a number for a request.
func (l *locks) number() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return l.next
}

// lockEvents tells waiters what became of their requests. Callers hold locks.mu and send what it returns.
func (s *Store) lockEvents(evs []lock.Event) (out []outFrame) {
	l := &s.locks
	for _, e := range evs {
		ans := lockGranted
		switch {
		case e.Answer == lock.Refused:
			ans = lockRefused
		case e.Rerun:
			ans = lockRerun
		}
		if e.Tx.Node != s.self {
			id := lockID{e.Tx.Node, e.ID}
			w := l.waiting[id]
			if ans != lockRefused {
				delete(l.waiting, id)
			}
			if w.prepared != nil {
				out = append(out, l.goOn(id, w, ans))
				continue
			}
			out = append(out, outFrame{to: e.Tx.Node, frame: s.lockedFrame(e.Request, ans, w.rows && ans == lockGranted)})
			continue
		}
		if c := l.asked[e.ID]; c != nil {
			if ans != lockRefused {
				delete(l.asked, e.ID)
			}
			c.tell(lockReply{from: s.self, id: e.ID, answer: ans})
		}
	}
	return out
}

// goOn says how a commit goes on that waited for a lock.
func (l *locks) goOn(id lockID, w remoteWait, ans lockAnswer) outFrame {
	pr := w.prepared
	if ans == lockRefused {
		l.waiting[id] = remoteWait{tx: w.tx}
		return outFrame{to: pr.from, frame: standFrame(pr)}
	}
	l.going[pr] = true
	return outFrame{prepared: pr} // it asks again, and has it
}

// stray ends the commits of a transaction, or of all of a node, that are going on though it has let go: what it locks
// from now on belongs to another attempt.
func (l *locks) stray(of func(*prepared) bool) {
	for pr := range l.going {
		pr.stray = pr.stray || of(pr)
	}
}

func (c *lockCall) tell(r lockReply) { tell(c.ch, r) }

func tell(ch chan lockReply, r lockReply) {
	select {
	case ch <- r:
	default: // nobody waits any more
	}
}

// lockedFrame answers a remote request, with the rows under the lock when they were asked for.
func (s *Store) lockedFrame(r lock.Request, ans lockAnswer, rows bool) []byte {
	w := newFrame(fLocked).num(r.ID)
	if !rows {
		return w.num(uint64(ans)).num(0).b
	}
	v := s.view.Load()
	if v != nil {
		if t := v.tables[r.Item.Table]; t != nil && t.data != nil && t.read == s.self {
			if w.num(uint64(ans)).rows(t.data.get(r.Item.Key)).fits() {
				return w.b
			}
			w = newFrame(fLocked).num(r.ID)
		}
	}
	return w.num(uint64(lockFailed)).num(0).b
}

// onLock serves another node's request.
func (s *Store) onLock(from kit.NodeName, r *reader) {
	req := lock.Request{ID: r.num(), Tx: r.tx(), Kind: lock.Kind(r.num())}
	rows := r.flag()
	req.Item.Table = r.str()
	if r.flag() {
		req.Item.Key = r.term()
	}
	if r.err != nil || req.Tx.Node != from || req.Kind > lock.Write || rows && req.Item.Key == nil {
		return
	}
	s.clock.see(req.Tx)
	l := &s.locks
	l.mu.Lock()
	ans, evs := l.table.Ask(req)
	out := s.lockEvents(evs)
	if ans != lock.Granted {
		l.waiting[lockID{from, req.ID}] = remoteWait{tx: req.Tx, rows: rows}
	}
	l.mu.Unlock()
	switch ans {
	case lock.Granted:
		out = append(out, outFrame{to: from, frame: s.lockedFrame(req, lockGranted, rows)})
	case lock.Refused:
		out = append(out, outFrame{to: from, frame: s.lockedFrame(req, lockRefused, false)})
	}
	s.sendAll(out)
}

// onLocked takes the answer to a request of ours.
func (s *Store) onLocked(from kit.NodeName, r *reader) {
	rep := lockReply{from: from, id: r.num(), answer: lockAnswer(r.num())}
	rep.rows = r.rows()
	if r.err != nil || rep.answer > lockFailed {
		return
	}
	l := &s.locks
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.asked[rep.id]
	if c == nil && rep.answer == lockRerun {
		s.early(rep)
	}
	if c == nil || c.node != from {
		return
	}
	if rep.answer != lockRefused {
		delete(l.asked, rep.id)
	}
	c.tell(rep)
}

// releaseHere takes all locks at this node from a transaction of this node.
func (tx *Tx) releaseHere() {
	l := &tx.s.locks
	l.mu.Lock()
	out := tx.s.lockEvents(l.table.ReleaseAs(&tx.owner))
	l.mu.Unlock()
	tx.s.sendAll(out)
}

// release takes all locks at this node from a transaction of another.
func (s *Store) release(tx lock.Tx) {
	l := &s.locks
	l.mu.Lock()
	out := s.releaseLocked(tx)
	l.mu.Unlock()
	s.sendAll(out)
}

// releaseLocked is release for callers that hold locks.mu and send what it returns.
func (s *Store) releaseLocked(tx lock.Tx) []outFrame {
	l := &s.locks
	for id, w := range l.waiting {
		if w.tx == tx {
			delete(l.waiting, id)
		}
	}
	l.stray(func(pr *prepared) bool { return pr.tx == tx })
	return s.lockEvents(l.table.Release(tx))
}

// releaseThere tells another node that a transaction has let go of everything there.
func (s *Store) releaseThere(n kit.NodeName, tx lock.Tx) {
	s.peers.Send(n, newFrame(fRelease).tx(tx).b)
}

// lockPeerDown fails the requests that wait at a node that has gone, and takes the locks of its transactions,
// except those in keep, which are in doubt.
func (s *Store) lockPeerDown(n kit.NodeName, keep map[lock.Tx]bool) {
	l := &s.locks
	l.mu.Lock()
	for id, c := range l.asked {
		if c.node == n {
			delete(l.asked, id)
			c.tell(lockReply{from: n, id: id, answer: lockLost})
		}
	}
	for id := range l.waiting {
		if id.from == n {
			delete(l.waiting, id)
		}
	}
	l.stray(func(pr *prepared) bool { return pr.from == n })
	var out []outFrame
	for _, tx := range l.table.Transactions() {
		if tx.Node == n && !keep[tx] {
			out = append(out, s.lockEvents(l.table.Release(tx))...)
		}
	}
	l.mu.Unlock()
	s.sendAll(out)
}

// LockLine is one line of the lists of held and queued locks. Key is nil for a whole table.
type LockLine struct {
	Tx    lock.Tx
	Table string
	Key   term.Term
	Kind  string
}

// HeldLocks lists the locks held at this node, LockQueue the requests that wait in a queue here.
func (s *Store) HeldLocks() []LockLine { return s.lockLines((*lock.Locks).Held) }

// LockQueue lists the requests that wait in a queue at this node.
func (s *Store) LockQueue() []LockLine { return s.lockLines((*lock.Locks).Queue) }

func (s *Store) lockLines(list func(*lock.Locks) []lock.Lock) []LockLine {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	var out []LockLine
	for _, k := range list(s.locks.table) {
		out = append(out, LockLine{Tx: k.Tx, Table: k.Item.Table, Key: k.Item.Key, Kind: k.Kind.String()})
	}
	return out
}

// TxLabel gives the name that a transaction was begun with, asking the node where it runs.
func (s *Store) TxLabel(ctx context.Context, id lock.Tx) string {
	if id.Node != s.self {
		v, err := s.call(ctx, id.Node, "tx_label", term.Int(id.Time))
		a, _ := v.(term.Atom)
		if err != nil {
			return ""
		}
		return string(a)
	}
	if tx := s.open.find(id); tx != nil {
		return tx.opts.Label
	}
	return ""
}

func serveTxLabel(s *Store, _ kit.NodeName, arg term.Term) (term.Term, error) {
	n, _ := arg.(term.Int)
	return term.Atom(s.TxLabel(context.Background(), lock.Tx{Time: uint64(n), Node: s.self})), nil
}
