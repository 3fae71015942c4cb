package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/lock"
)

// Tx is an activity that its caller drives: a transaction, or one of the dirty kinds. Begin makes it; Commit or
// Abort ends it, and Close ends it in any case. One goroutine at a time uses it; Close may come from another.
//
// An operation of a transaction may answer ErrRestart: the caller then performs all operations again from the
// first, on the same Tx. Any other error of an operation leaves the transaction open; the caller decides
// whether to abort.
type Tx struct {
	s    *Store
	base context.Context // its maker's
	id   lock.Tx
	opts *TxOptions

	next, prev *Tx // in the list of open transactions

	mu       sync.Mutex // held by the operation in progress
	*txState            // what it knows, until it ends; nil in a dirty activity
	life     struct {
		mu     sync.Mutex
		wait   atomic.Pointer[txWait] // what else belongs to it, made when that is first needed
		closed atomic.Bool
	}

	kind      Kind
	listed    bool // in the list
	ended     bool
	restarted atomic.Bool
	// joins marks the transaction of a start, which locks at nodes that are not in the cluster yet.
	joins bool
	// gathers says that write locks at other nodes are taken together with the commit, deferred that some are due.
	gathers, deferred bool
	doubt             bool // an earlier run may have been committed by nodes that went away
}

// txState is what a transaction knows until it ends. The next one gets the memory, but never the Tx, which its maker may
// still have.
type txState struct {
	owner   lock.Owner // in this node's lock table
	held    heldLocks
	touched []kit.NodeName // nodes that know of this transaction
	ws      writeSet
	outer   []writeSet // of the enclosing transactions, when nested

	restarts int
	moves    int // runs that ended because tables had moved

	seen struct { // the table that was last looked for
		view *view
		tab  *tab
	}
	room struct { // enough for most; what was left in it by another transaction means nothing
		touched [4]kit.NodeName
		held    [4]heldLock
		keys    [4]wsKey
		ops     [4]op
		commit  [4]op
	}
}

var txStates = sync.Pool{New: func() any { return new(txState) }}

func newTxState() *txState {
	st := txStates.Get().(*txState)
	st.touched, st.held.list = st.room.touched[:0], st.room.held[:0]
	st.emptyWrites()
	return st
}

func (st *txState) emptyWrites() { st.ws = writeSet{keys: st.room.keys[:0], free: st.room.ops[:]} }

// free gives the memory to the next transaction.
func (st *txState) free() {
	st.held, st.touched, st.ws, st.outer = heldLocks{}, nil, writeSet{}, nil
	st.restarts, st.moves = 0, 0
	st.seen.view, st.seen.tab = nil, nil
	if st.owner.Idle() { // it is, unless the store was stopped under it
		txStates.Put(st)
	}
}

// txWait is what only some activities need. Their life.mu guards it.
type txWait struct {
	ctx    context.Context
	cancel context.CancelFunc
	calls  chan lockReply // of the requests for locks that are waited for
	lost   []kit.NodeName // the nodes that have gone while the transaction was open
}

// TxOptions limit a transaction. Retries is how often it may run in all before it is aborted with nomore;
// Infinity, the zero value, is no limit.
type TxOptions struct {
	Retries int
	Label   string // a name for lists of locks
	// Durable makes Commit return when what was written, or that it is decided, is on the disc (fdatasync) of every node
	// with an active disc copy: it survives a power failure of all of them. Without it the log is with the operating
	// system: it survives the death of the processes. Mnesia's own commit leaves it in the process for up to 2 s.
	Durable bool
}

// Begin begins an activity. Its age counts from here. It lives until Commit, Abort, Close, the end of ctx or a stop of
// the store.
func (s *Store) Begin(ctx context.Context, kind Kind, opts ...TxOptions) (*Tx, error) {
	v := s.view.Load()
	if v == nil || !v.up {
		err := abort("node_not_running", node(s.self))
		if kind > SyncTransaction {
			return s.newTx(ctx, kind, opts), nil // each operation says so itself
		}
		return nil, err
	}
	tx := s.newTx(ctx, kind, opts)
	if kind <= SyncTransaction && !s.open.add(tx) {
		return nil, &Error{Class: Aborted, Reason: reason("system_limit", node(s.self)), kind: kit.Overloaded}
	}
	return tx, nil
}

func (s *Store) newTx(ctx context.Context, kind Kind, opts []TxOptions) *Tx {
	tx := &Tx{s: s, base: ctx, kind: kind, opts: &noOptions}
	if len(opts) > 0 {
		tx.opts = &opts[0]
	}
	if tx.IsTransaction() {
		tx.id, tx.txState = s.txTime(), newTxState()
	}
	return tx
}

var noOptions TxOptions

// ctx ends with the maker's context, and when the activity is closed.
func (tx *Tx) ctx() context.Context { return (*txContext)(tx) }

// txContext is a Tx as the context of its operations. Most of these never wait, and then it costs nothing.
type txContext Tx

func (c *txContext) Deadline() (time.Time, bool) { return c.base.Deadline() }
func (c *txContext) Value(key any) any           { return c.base.Value(key) }
func (c *txContext) Done() <-chan struct{}       { return (*Tx)(c).waiting().Done() }

func (c *txContext) Err() error {
	if c.life.closed.Load() {
		return context.Canceled
	}
	return c.base.Err()
}

// waiting gives the context that ends an operation which waits.
func (tx *Tx) waiting() context.Context {
	l := &tx.life
	l.mu.Lock()
	defer l.mu.Unlock()
	w := tx.wait()
	if w.ctx == nil {
		w.ctx, w.cancel = context.WithCancel(tx.base)
		if l.closed.Load() {
			w.cancel()
		}
	}
	return w.ctx
}

// wait gives the txWait. Callers hold life.mu.
func (tx *Tx) wait() *txWait {
	w := tx.life.wait.Load()
	if w == nil {
		w = &txWait{}
		tx.life.wait.Store(w)
	}
	return w
}

// lose notes that a node has gone.
func (tx *Tx) lose(n kit.NodeName) {
	tx.life.mu.Lock()
	defer tx.life.mu.Unlock()
	w := tx.wait()
	w.lost = append(w.lost, n)
}

// lost gives the nodes that have gone; with forget it begins anew.
func (tx *Tx) lost(forget bool) []kit.NodeName {
	w := tx.life.wait.Load()
	if w == nil {
		return nil
	}
	tx.life.mu.Lock()
	defer tx.life.mu.Unlock()
	ns := w.lost
	if forget {
		w.lost = nil
	}
	return ns
}

// listen has the channel of a request for a lock hear lockKilled when the activity is closed, whatever becomes of its
// maker's context; nil ends that. It reports false when the activity is closed already. A channel that is full does
// not hear it: who has taken something from one looks again.
func (tx *Tx) listen(ch chan lockReply) bool {
	tx.life.mu.Lock()
	defer tx.life.mu.Unlock()
	tx.wait().calls = ch
	return !tx.life.closed.Load()
}

// stop ends ctx.
func (tx *Tx) stop() {
	l := &tx.life
	if l.closed.Load() || l.closed.Swap(true) {
		return
	}
	w := l.wait.Load()
	if w == nil {
		return // whoever makes one from now on sees that the activity is closed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.cancel != nil {
		w.cancel()
	}
	if w.calls != nil {
		tell(w.calls, lockReply{answer: lockKilled})
	}
}

// dead reports whether the activity was closed or its maker's context has ended.
func (tx *Tx) dead() bool { return tx.ctx().Err() != nil }

// ID gives the transaction's name and age; a dirty activity has none.
func (tx *Tx) ID() lock.Tx { return tx.id }

// Kind gives the kind of activity.
func (tx *Tx) Kind() Kind { return tx.kind }

// IsTransaction reports whether the activity has locks and is all or nothing.
func (tx *Tx) IsTransaction() bool { return tx.kind <= SyncTransaction }

// Restarted reports whether the transaction has had to run again.
func (tx *Tx) Restarted() bool { return tx.restarted.Load() }

// Depth is how many transactions this one is nested in at the moment.
func (tx *Tx) Depth() int {
	if tx.txState == nil {
		return 0
	}
	return len(tx.outer)
}

var errEnded = &kit.Error{Op: "use transaction", Kind: kit.Invalid, Err: errors.New("it has ended")}

// enter begins an operation.
func (tx *Tx) enter() (*view, error) {
	tx.mu.Lock()
	if tx.ended {
		tx.mu.Unlock()
		return nil, errEnded
	}
	v := tx.s.view.Load()
	if v == nil || !v.up {
		if !tx.IsTransaction() {
			return &view{}, nil // no table exists then
		}
		tx.mu.Unlock()
		return nil, abort("node_not_running", node(tx.s.self))
	}
	return v, nil
}

// Nest begins a transaction inside this one. Unnest ends it, keeping or dropping what it wrote; its locks stay in
// either case until the outermost ends.
func (tx *Tx) Nest() error {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.ended {
		return errEnded
	}
	if tx.txState == nil {
		tx.txState = newTxState()
	}
	tx.outer = append(tx.outer, tx.ws)
	tx.ws = tx.ws.clone()
	return nil
}

// Unnest ends the innermost nested transaction.
func (tx *Tx) Unnest(keep bool) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.Depth() == 0 {
		return
	}
	last := len(tx.outer) - 1
	if keep {
		tx.s.count.commits.Add(1)
	} else {
		tx.ws = tx.outer[last]
		tx.s.count.failures.Add(1)
	}
	tx.outer = tx.outer[:last]
}

// Abort ends the activity; what a transaction has written is forgotten.
func (tx *Tx) Abort() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if !tx.ended && tx.IsTransaction() {
		tx.s.count.failures.Add(1)
	}
	tx.finish()
}

// Close ends the activity whatever it is doing, as the death of its process does. After Commit or Abort it does nothing.
func (tx *Tx) Close() {
	tx.stop()
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.finish()
}

// finish lets go of everything.
func (tx *Tx) finish() {
	if tx.ended {
		return
	}
	tx.ended = true
	if tx.IsTransaction() {
		tx.dropLocks("")
	}
	tx.leave()
}

// leave takes the transaction out of the list of open ones.
func (tx *Tx) leave() {
	tx.stop()
	if tx.IsTransaction() {
		tx.s.open.remove(tx)
	}
	if tx.txState != nil {
		tx.txState.free()
		tx.txState = nil
	}
}

// forgetWrites empties the transaction, which is to run again.
func (tx *Tx) forgetWrites() {
	tx.outer = nil
	tx.emptyWrites()
}

// table gives a table of the running store, or nil.
func (s *Store) table(name string) *tab {
	v := s.view.Load()
	if v == nil {
		return nil
	}
	return v.tables[name]
}

// table is Store.table. A transaction mostly asks for one several times in a row.
func (tx *Tx) table(name string) *tab {
	v := tx.s.view.Load()
	if v == nil {
		return nil
	}
	st := tx.txState
	if st == nil {
		return v.tables[name]
	}
	if st.seen.view != v || st.seen.tab == nil || st.seen.tab.Name != name {
		st.seen.view, st.seen.tab = v, v.tables[name]
	}
	return st.seen.tab
}

// Transaction runs fn in a transaction and commits when it returns nil. fn runs again whenever the transaction has
// to give way to an older one, so it must have no effect but through tx. An error of fn aborts the
// transaction and is returned; Abort makes one with a reason of the caller's.
func (s *Store) Transaction(ctx context.Context, fn func(*Tx) error, opts ...TxOptions) error {
	return s.Activity(ctx, Transaction, fn, opts...)
}

// Activity runs fn in an activity of the kind, as mnesia:activity/2.
func (s *Store) Activity(ctx context.Context, kind Kind, fn func(*Tx) error, opts ...TxOptions) error {
	tx, err := s.Begin(ctx, kind, opts...)
	if err != nil {
		return err
	}
	defer tx.Close()
	tx.gathers = tx.IsTransaction()
	for {
		err := fn(tx)
		if err == nil {
			err = tx.Commit()
		}
		switch {
		case errors.Is(err, ErrRestart):
			continue
		case err != nil:
			tx.Abort()
			return tx.sure(err)
		}
		return nil
	}
}

// Nested runs fn in a transaction inside this one. When fn fails what it wrote is forgotten and the outer one
// may go on; locks stay. ErrRestart must be passed on: the outermost runs again.
func (tx *Tx) Nested(fn func(*Tx) error) error {
	if err := tx.Nest(); err != nil {
		return err
	}
	err := fn(tx)
	if !errors.Is(err, ErrRestart) {
		tx.Unnest(err == nil)
	}
	return err
}
