package store

import (
	"context"
	"sync"

	"netsplit/kit"
	"netsplit/kit/term"
)

// calls are the requests of this node that wait for an answer from another, by number.
type calls struct {
	mu   sync.Mutex
	next uint64
	open map[uint64]*pendingCall
}

type pendingCall struct {
	node kit.NodeName
	ch   chan callReply // holds one
}

type callReply struct {
	value term.Term
	err   error
	down  bool // the node has gone
}

func (c *calls) init() { c.open = map[uint64]*pendingCall{} }

func (c *calls) add(n kit.NodeName) (uint64, *pendingCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	p := &pendingCall{node: n, ch: make(chan callReply, 1)}
	c.open[c.next] = p
	return c.next, p
}

// done answers a call; a number that is not open is ignored.
func (c *calls) done(n kit.NodeName, id uint64, r callReply) {
	c.mu.Lock()
	p := c.open[id]
	if p != nil && p.node == n {
		delete(c.open, id)
		p.ch <- r
	}
	c.mu.Unlock()
}

func (c *calls) drop(id uint64) {
	c.mu.Lock()
	delete(c.open, id)
	c.mu.Unlock()
}

// peerDown fails the calls to a node.
func (c *calls) peerDown(n kit.NodeName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, p := range c.open {
		if p.node == n {
			delete(c.open, id)
			p.ch <- callReply{down: true}
		}
	}
}

// await waits for the answer of a call.
func (s *Store) await(ctx context.Context, id uint64, p *pendingCall) callReply {
	select {
	case r := <-p.ch:
		return r
	case <-ctx.Done():
		s.calls.drop(id)
		return callReply{err: ctx.Err()}
	}
}

// call asks another store and waits. An error of the other side comes back as the *Error that it was.
func (s *Store) call(ctx context.Context, n kit.NodeName, method string, arg term.Term) (term.Term, error) {
	r := s.callDown(ctx, n, method, arg)
	if r.down {
		return nil, abort("mnesia_down", node(n))
	}
	return r.value, r.err
}

func (s *Store) callDown(ctx context.Context, n kit.NodeName, method string, arg term.Term) callReply {
	before := s.tie(n)
	if before.link == nil {
		return callReply{down: true}
	}
	id, p := s.calls.add(n)
	w := newFrame(fCall).num(id).str(method).term(arg)
	if !w.fits() {
		s.calls.drop(id)
		return callReply{err: tooLarge()}
	}
	s.peers.Send(n, w.b)
	if s.tie(n).link != before.link {
		s.calls.done(n, id, callReply{down: true})
	}
	return s.await(ctx, id, p)
}

// cast sends a message of the control plane that has no answer.
func (s *Store) cast(n kit.NodeName, method string, arg term.Term) {
	s.peers.Send(n, newFrame(fCast).str(method).term(arg).b)
}

func (s *Store) linked(n kit.NodeName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[n] != nil
}

func (s *Store) onCall(from kit.NodeName, r *reader, answer bool) {
	var id uint64
	if answer {
		id = r.num()
	}
	name, arg := r.str(), r.term()
	if r.err != nil {
		return
	}
	if f := s.slowly[name]; f != nil && answer {
		s.serveLater(from, id, f, arg)
		return
	}
	f, ok := s.methods[name]
	var v term.Term = term.Atom("ok")
	var err error
	if !ok {
		err = failed("unknown_method", term.Atom(name))
	} else {
		v, err = f(s, from, arg)
	}
	if answer {
		s.reply(from, id, v, err)
	}
}

// What an answer is.
const (
	replyValue = iota
	replyError
	replyDown // the store does not run
)

func (s *Store) reply(to kit.NodeName, id uint64, v term.Term, err error) {
	w := newFrame(fReply).num(id)
	if err == nil {
		if v == nil {
			v = term.Atom("ok")
		}
		if w.num(replyValue).term(v).fits() {
			s.peers.Send(to, w.b)
			return
		}
		w, err = newFrame(fReply).num(id), tooLarge()
	}
	s.peers.Send(to, w.num(replyError).err(err).b)
}

// err writes a failure.
func (w *writer) err(err error) *writer {
	e, ok := err.(*Error)
	if !ok {
		e = &Error{Class: Failed, Reason: term.T(term.Str(err.Error())), kind: kit.KindOf(err)}
	}
	return w.num(uint64(e.Class)).flag(e.Exit).flag(e.Crash).str(string(e.At)).num(uint64(e.kind)).term(e.Reason)
}

func (r *reader) failure() error {
	e := &Error{Class: Class(r.num()), Exit: r.flag(), Crash: r.flag(), At: r.node(), kind: kit.Kind(r.num()), Reason: r.term()}
	if r.err != nil {
		return r.err
	}
	return e
}

func (s *Store) onReply(from kit.NodeName, r *reader) {
	id, what := r.num(), r.num()
	var rep callReply
	switch what {
	case replyValue:
		rep.value = r.term()
	case replyError:
		rep.err = r.failure()
	default:
		rep.down = true
	}
	if r.err != nil {
		rep = callReply{err: broken("read answer", "%v from %s", r.err, from)}
	}
	s.calls.done(from, id, rep)
}

// Receive takes a frame from a peer's store. It never waits for other nodes. A frame that cannot be read is dropped.
func (s *Store) Receive(from kit.NodeName, frame []byte) {
	if len(frame) == 0 || from == s.self {
		return
	}
	r := &reader{b: frame[1:]}
	switch k := frameKind(frame[0]); k {
	case fLock:
		s.onLock(from, r)
	case fLocked:
		s.onLocked(from, r)
	case fRelease:
		if tx := r.tx(); r.err == nil && tx.Node == from && !s.promised(tx) {
			s.release(tx)
		}
	case fPrepare:
		s.onPrepare(from, r.b)
	case fVote:
		s.onVote(from, r)
	case fDecide:
		s.onDecide(from, r)
	case fApplied:
		s.onApplied(from, r)
	case fDirty:
		s.onDirty(from, r)
	case fOutcome:
		s.onOutcome(from, r)
	case fOutcomeIs:
		s.onOutcomeIs(from, r)
	case fSettled:
		s.onSettled(from, r)
	case fRuled:
		s.onRuled(from, r)
	case fCall, fCast:
		s.onCall(from, r, k == fCall)
	case fReply:
		s.onReply(from, r)
	case fChunk:
		s.onChunk(from, r)
	case fTaken:
		s.onTaken(from, r)
	case fStatus:
		s.onStatus(from, r)
	}
}
