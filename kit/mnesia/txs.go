package mnesia

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// txSession is an interactive transaction: a process, in Erlang, that waits for orders. One operation at a time is
// performed; it goes on in the background when it waits for a lock.
type txSession struct {
	name, client string
	kind         store.Kind
	tx           *store.Tx

	mu      sync.Mutex
	busy    bool
	settled chan struct{} // closed when the operation asked last has its answer
	answer  door.Outcome
	over    bool
}

// The times for which a request waits for an operation that is not over.
const (
	blockTime  = 600 * time.Millisecond // tx_op, before it answers blocked
	commitTime = 15 * time.Second       // tx_commit
	maxWait    = 10 * time.Minute
)

// maxTxs bounds the interactive transactions that are open at once.
const maxTxs = 1024

func (f *Face) txBegin(ctx context.Context, req door.Request) door.Outcome {
	name, err := req.Atom(0)
	if err != nil {
		return door.FromError(err)
	}
	kind := store.Transaction
	if len(req.Args) > 1 {
		var ok bool
		if kind, ok = kindOf(req.Args[1]); !ok {
			return door.ErrorWith("badarg", req.Args[1])
		}
	}
	opts, err := txOptionsOf(req, 2)
	if err != nil {
		return Outcome(err)
	}
	life := f.ctx
	session := door.SessionOf(ctx)
	if session != nil {
		life = session.Context()
	}
	tx, err := f.store.Begin(life, kind, opts)
	if err != nil {
		return ended(Outcome(asAborted(err)))
	}
	s := &txSession{name: name, client: req.Client, kind: kind, tx: tx}
	if out, ok := f.addTx(s); !ok {
		tx.Close()
		return out
	}
	if session != nil {
		session.OnEnd(func() { f.endTx(s) })
	}
	return door.Done()
}

func (f *Face) addTx(s *txSession) (door.Outcome, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.txs {
		if o.name == s.name && o.client == s.client && !o.isOver() {
			return door.ErrorWith("already_exists", term.Atom(s.name)), false
		}
	}
	f.txs = slices.DeleteFunc(f.txs, func(o *txSession) bool { return o.name == s.name && o.client == s.client })
	if len(f.txs) >= maxTxs {
		f.txs = slices.DeleteFunc(f.txs, func(o *txSession) bool { return o.isOver() })
	}
	if f.closed || len(f.txs) >= maxTxs {
		return door.ErrorWith("system_limit", term.Atom("transactions")), false
	}
	f.txs = append(f.txs, s)
	return door.Outcome{}, true
}

// endTx ends a session as the death of its process does, and forgets it.
func (f *Face) endTx(s *txSession) {
	s.tx.Close()
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	f.mu.Lock()
	f.txs = slices.DeleteFunc(f.txs, func(o *txSession) bool { return o == s })
	f.mu.Unlock()
}

func (s *txSession) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// onTx finds the transaction that a request names: the client's own, else the only one of that name.
func (f *Face) onTx(serve func(ctx context.Context, s *txSession, req door.Request) door.Outcome) door.Handler {
	return func(ctx context.Context, req door.Request) door.Outcome {
		name, err := req.Atom(0)
		if err != nil {
			return door.FromError(err)
		}
		s := f.findTx(req.Client, name)
		if s == nil {
			return door.ErrorWith("no_transaction", term.Atom(name))
		}
		return serve(ctx, s, req)
	}
}

func (f *Face) findTx(client, name string) *txSession {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []*txSession
	for _, s := range f.txs {
		switch {
		case s.name != name:
		case s.client == client:
			return s
		default:
			found = append(found, s)
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return nil
}

func (f *Face) txOp(ctx context.Context, s *txSession, req door.Request) door.Outcome {
	wait, err := waitOf(req, 2, blockTime)
	if err != nil {
		return door.FromError(err)
	}
	if out, ok := f.ask(s, func() door.Outcome { return f.perform(s, req.Args[1]) }); !ok {
		return out
	}
	return s.await(ctx, wait)
}

// perform does one operation. A failure ends the transaction, as an exception ends the function of one.
func (f *Face) perform(s *txSession, op term.Term) door.Outcome {
	v, err := env{f: f, ctx: f.ctx, tx: s.tx}.op(op, 0)
	switch {
	case err == nil:
		return door.OKJSON(v)
	case errors.Is(err, store.ErrRestart):
		return Outcome(err)
	}
	s.tx.Abort()
	return s.finish(ended(s.failure(err)))
}

func (s *txSession) failure(err error) door.Outcome {
	if s.kind <= store.SyncTransaction {
		return Outcome(asAborted(err))
	}
	return Outcome(asDirtyFailure(err))
}

func (s *txSession) finish(out door.Outcome) door.Outcome {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	return out
}

// ended wraps the outcome of a transaction that ended instead of answering.
func ended(out door.Outcome) door.Outcome {
	return door.Outcome{Status: door.Ended, Value: jsOutcome(out)}
}

func (f *Face) txCommit(ctx context.Context, s *txSession, req door.Request) door.Outcome {
	wait, err := waitOf(req, 1, commitTime)
	if err != nil {
		return door.FromError(err)
	}
	out, ok := f.ask(s, func() door.Outcome {
		switch err := s.tx.Commit(); {
		case err == nil:
			return s.finish(door.Done())
		case errors.Is(err, store.ErrRestart):
			return Outcome(err)
		default:
			s.tx.Abort()
			return s.finish(s.failure(err))
		}
	})
	if !ok {
		return out
	}
	if out = s.await(ctx, wait); out.Status == door.Ended {
		var inner door.Outcome
		if json.Unmarshal(out.Value, &inner) == nil {
			return inner
		}
	}
	return out
}

// ask starts an order in the background; ok is false when it cannot be taken, with the answer to give.
func (f *Face) ask(s *txSession, order func() door.Outcome) (door.Outcome, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.busy:
		out := door.ErrorWith("busy", term.Atom(s.name))
		out.Hint = "its last operation is not over; tx_wait waits for it"
		return out, false
	case s.over && s.answer.Status != "":
		return s.answer, false
	case s.over:
		return door.ErrorWith("no_transaction", term.Atom(s.name)), false
	}
	s.busy, s.settled = true, make(chan struct{})
	f.tasks.Go(func() {
		out := order()
		s.mu.Lock()
		s.busy, s.answer = false, out
		close(s.settled)
		s.mu.Unlock()
	})
	return door.Outcome{}, true
}

// await gives the answer to the last order, or says that it is blocked.
func (s *txSession) await(ctx context.Context, wait time.Duration) door.Outcome {
	s.mu.Lock()
	settled := s.settled
	s.mu.Unlock()
	if settled == nil {
		return door.ErrorWith("badarg", term.Atom("nothing_asked"))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-settled:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.answer
	case <-timer.C:
	case <-ctx.Done():
	}
	return door.Outcome{Status: door.Blocked}
}

func (f *Face) txWait(ctx context.Context, s *txSession, req door.Request) door.Outcome {
	wait, err := waitOf(req, 1, commitTime)
	if err != nil {
		return door.FromError(err)
	}
	return s.await(ctx, wait)
}

func (f *Face) txKill(_ context.Context, s *txSession, _ door.Request) door.Outcome {
	f.endTx(s)
	return door.Done()
}

func (f *Face) txInfo(_ context.Context, s *txSession, _ door.Request) door.Outcome {
	if s.tx.Restarted() {
		return door.OKJSON(json.RawMessage(`{"restarted":true}`))
	}
	return door.OKJSON(json.RawMessage(`{"restarted":false}`))
}

// txID names the transaction as held_locks of a node names one that was begun elsewhere.
func (f *Face) txID(_ context.Context, s *txSession, _ door.Request) door.Outcome {
	return door.OKTerm(term.Atom(s.tx.ID().String()))
}

// waitOf reads a time in milliseconds.
func waitOf(req door.Request, i int, standard time.Duration) (time.Duration, error) {
	if len(req.Args) <= i {
		return standard, nil
	}
	if term.Equal(req.Args[i], term.Atom("infinity")) {
		return maxWait, nil
	}
	ms, err := req.Int(i)
	if err != nil {
		return 0, err
	}
	return min(max(time.Duration(ms)*time.Millisecond, 0), maxWait), nil
}

// lockLines names the transactions of locks: those begun at this node's door by their names.
func (f *Face) lockLines(lines []store.LockLine) door.Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []term.Term{}
	for _, l := range lines {
		name := l.Tx.String()
		for _, s := range f.txs {
			if s.tx.ID() == l.Tx {
				name = s.name
			}
		}
		key := l.Key
		if key == nil {
			key = term.Atom("$table")
		}
		list = append(list, term.L(term.Atom(l.Table), key, term.Atom(l.Kind), term.Atom(name)))
	}
	return door.OKTerm(term.List(sorted(list)))
}
