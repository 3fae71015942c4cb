package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
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
	kind Kind
	opts TxOptions
	// joins marks the transaction of a start, which locks at nodes that are not in the cluster yet.
	joins bool

	life struct {
		mu     sync.Mutex
		ctx    context.Context // made when an operation first has to wait
		cancel context.CancelFunc
		closed atomic.Bool
	}

	next, prev *Tx // in the list of open transactions
	listed     bool

	mu        sync.Mutex // held by the operation in progress
	ended     bool
	room      *txRoom // memory for what follows, until the end
	held      heldLocks
	touched   []kit.NodeName // nodes that know of this transaction
	ws        writeSet
	outer     []writeSet // of the enclosing transactions, when nested
	restarts  int
	restarted atomic.Bool
	lost      lostNodes
}

// lostNodes are the nodes that have gone while the transaction was open.
type lostNodes struct {
	mu sync.Mutex
	ns []kit.NodeName
}

// TxOptions limit a transaction. Retries is how often it may run in all before it is aborted with nomore;
// Infinity, the zero value, is no limit.
type TxOptions struct {
	Retries int
	Label   string // a name for lists of locks
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
	tx := &Tx{s: s, base: ctx, id: s.clock.next(), kind: kind}
	if len(opts) > 0 {
		tx.opts = opts[0]
	}
	if tx.IsTransaction() {
		tx.room = rooms.Get().(*txRoom)
		tx.touched = tx.room.touched[:0]
		tx.held.list = tx.room.held[:0]
		tx.ws.use(tx.room)
	}
	return tx
}

// txRoom is the memory that an ordinary transaction needs for what it knows. The next transaction gets it when this
// one has ended; the Tx itself is never used again, since its maker may still have it.
type txRoom struct {
	touched [4]kit.NodeName
	held    [4]heldLock
	keys    [4]wsKey
	ops     [4]op
}

var rooms = sync.Pool{New: func() any { return new(txRoom) }}

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
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(tx.base)
		if l.closed.Load() {
			l.cancel()
		}
	}
	return l.ctx
}

// stop ends ctx.
func (tx *Tx) stop() {
	l := &tx.life
	if l.closed.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed.Store(true)
	if l.cancel != nil {
		l.cancel()
	}
}

// dead reports whether the activity was closed or its maker's context has ended.
func (tx *Tx) dead() bool { return tx.ctx().Err() != nil }

// ID gives the transaction's name and age.
func (tx *Tx) ID() lock.Tx { return tx.id }

// Kind gives the kind of activity.
func (tx *Tx) Kind() Kind { return tx.kind }

// IsTransaction reports whether the activity has locks and is all or nothing.
func (tx *Tx) IsTransaction() bool { return tx.kind <= SyncTransaction }

// Restarted reports whether the transaction has had to run again.
func (tx *Tx) Restarted() bool { return tx.restarted.Load() }

// Depth is how many transactions this one is nested in at the moment.
func (tx *Tx) Depth() int { return len(tx.outer) }

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
	tx.outer = append(tx.outer, tx.ws)
	tx.ws = tx.ws.clone()
	return nil
}

// Unnest ends the innermost nested transaction.
func (tx *Tx) Unnest(keep bool) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if len(tx.outer) == 0 {
		return
	}
	last := len(tx.outer) - 1
	if !keep {
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
	tx.dropLocks("")
	tx.leave()
}

// leave takes the transaction out of the list of open ones.
func (tx *Tx) leave() {
	tx.stop()
	tx.ws, tx.outer, tx.held, tx.touched = writeSet{}, nil, heldLocks{}, nil
	if tx.IsTransaction() {
		tx.s.open.remove(tx)
	}
	if tx.room != nil {
		*tx.room = txRoom{}
		rooms.Put(tx.room)
		tx.room = nil
	}
}

// forgetWrites empties the transaction, which is to run again.
func (tx *Tx) forgetWrites() {
	tx.ws, tx.outer = writeSet{}, nil
	tx.ws.use(tx.room)
}

// dropLocks releases the transaction's locks at every node but one.
func (tx *Tx) dropLocks(but kit.NodeName) {
	for _, n := range tx.touched {
		switch {
		case n == but:
		case n == tx.s.self:
			tx.s.release(tx.id)
		default:
			tx.s.releaseThere(n, tx.id)
		}
	}
	tx.touched = tx.touched[:0]
	if but != "" {
		tx.touched = append(tx.touched, but)
	}
	tx.held.reset()
}

func (tx *Tx) touch(n kit.NodeName) {
	if !slices.Contains(tx.touched, n) {
		tx.touched = append(tx.touched, n)
	}
}

func containsAll(have, want []kit.NodeName) bool {
	for _, n := range want {
		if !slices.Contains(have, n) {
			return false
		}
	}
	return true
}

// maxAttempts bounds how often a request follows a table that moves between nodes.
const maxAttempts = 100

// lockRead takes a read lock at the node where the table is read. With want it gives the rows of the key, read
// there under the lock.
func (tx *Tx) lockRead(tab string, key term.Term, want bool) ([]term.Tuple, error) {
	s := tx.s
	for range maxAttempts {
		t := s.table(tab)
		if t == nil || t.read == "" {
			break
		}
		at := s.here
		if t.read != s.self {
			at = []kit.NodeName{t.read}
		}
		if tx.held.has(tab, key, lock.Read, at) {
			if !want {
				return nil, nil
			}
			return s.readRows(tx.ctx(), t, key)
		}
		tx.touch(t.read)
		item := lock.Item{Table: tab, Key: key}
		var call *lockCall
		if t.read == s.self {
			call = s.lockHere(tx.id, item, lock.Read, nil)
		} else {
			call = tx.lockThere(t.read, item, lock.Read, want, make(chan lockReply, 2))
		}
		rep := lockReply{answer: lockGranted}
		if call != nil {
			var err error
			if rep, err = tx.await(call); err != nil {
				return nil, err
			}
		}
		if rep.answer != lockGranted && rep.answer != lockRerun {
			continue
		}
		tx.held.add(heldLock{tab: tab, key: key, kind: lock.Read, nodes: at})
		if rep.answer == lockRerun {
			continue // it waited; the table may have moved, and the rows are still to be read
		}
		if !want || t.read != s.self {
			return rep.rows, nil
		}
		return t.data.get(key), nil
	}
	return nil, abort("no_exists", term.Atom(tab))
}

// lockWrite takes a write lock at every active copy and gives the nodes. Kind is Read for a load lock.
func (tx *Tx) lockWrite(tab string, key term.Term, kind lock.Kind) ([]kit.NodeName, error) {
	for range maxAttempts {
		t := tx.s.table(tab)
		if t == nil || len(t.writers()) == 0 {
			break
		}
		ns := t.writers()
		if t.Majority && kind == lock.Write && !t.majority(ns) {
			return nil, abort("no_majority", term.Atom(tab))
		}
		done, err := tx.lockAt(lock.Item{Table: tab, Key: key}, kind, ns)
		if err != nil {
			return nil, err
		}
		if done {
			return ns, nil
		}
	}
	return nil, abort("no_exists", term.Atom(tab))
}

// majority reports whether nodes are more than half of the table's copies.
func (t *tab) majority(have []kit.NodeName) bool { return 2*len(have) > len(t.holders()) }

// lockAt takes a lock at nodes, the first before the others so that two who want the same meet there. done is
// false when a node went away or came meanwhile and the caller has to look again.
func (tx *Tx) lockAt(item lock.Item, kind lock.Kind, ns []kit.NodeName) (done bool, err error) {
	if tx.held.has(item.Table, item.Key, kind, ns) {
		return true, nil
	}
	s := tx.s
	if len(ns) == 1 && ns[0] == s.self {
		tx.touch(s.self)
		if call := s.lockHere(tx.id, item, kind, nil); call != nil {
			if rep, err := tx.await(call); err != nil || rep.answer != lockGranted && rep.answer != lockRerun {
				return false, err
			}
		}
		return tx.keep(item, kind, ns), nil
	}
	ask := func(ns []kit.NodeName) (bool, error) {
		var ch chan lockReply
		var calls []*lockCall
		for _, n := range ns {
			tx.touch(n)
			if n == s.self {
				calls = append(calls, s.lockHere(tx.id, item, kind, ch))
				continue
			}
			if ch == nil {
				ch = make(chan lockReply, 2*len(ns))
			}
			calls = append(calls, tx.lockThere(n, item, kind, false, ch))
		}
		rep, err := tx.await(calls...)
		return rep.answer == lockGranted || rep.answer == lockRerun, err
	}
	ok, err := ask(ns[:1])
	if err == nil && ok && len(ns) > 1 {
		ok, err = ask(ns[1:])
	}
	if err != nil || !ok {
		return false, err
	}
	return tx.keep(item, kind, ns), nil
}

// keep notes a lock that was granted. It reports false when the table has more copies by now.
func (tx *Tx) keep(item lock.Item, kind lock.Kind, ns []kit.NodeName) bool {
	tx.held.add(heldLock{tab: item.Table, key: item.Key, kind: kind, nodes: ns})
	if item.Table == globalTable {
		return true
	}
	t := tx.s.table(item.Table)
	return t != nil && containsAll(ns, t.writers())
}

// await waits until all requests are granted; a nil one was granted at once. A refusal makes the transaction stand
// aside and run again; one that has done nothing yet goes on from where it is, which is the same, and its reply is
// lockRerun. The reply is that of the last one, or one that was lost or failed.
func (tx *Tx) await(calls ...*lockCall) (rep lockReply, err error) {
	worst := lockReply{answer: lockGranted}
	for _, c := range calls {
		if c == nil {
			continue
		}
		r, err := tx.awaitOne(c)
		switch {
		case err != nil:
			tx.s.forget(calls...)
			return rep, err
		case r.answer == lockRefused:
			tx.s.forget(except(calls, r.id)...)
			return lockReply{from: r.from, answer: lockRerun}, tx.standAside(r, c.ch)
		case r.answer == lockLost || r.answer == lockFailed:
			worst = r
		default:
			rep = r
		}
	}
	if worst.answer != lockGranted {
		return worst, nil
	}
	return rep, nil
}

// awaitOne waits for the next answer to requests that share a channel.
func (tx *Tx) awaitOne(c *lockCall) (lockReply, error) {
	select {
	case r := <-c.ch:
		return r, nil
	default:
	}
	select {
	case r := <-c.ch:
		return r, nil
	case <-tx.ctx().Done():
		return lockReply{}, tx.gone()
	}
}

func except(calls []*lockCall, id uint64) []*lockCall {
	return slices.DeleteFunc(slices.Clone(calls), func(c *lockCall) bool { return c == nil || c.id == id })
}

// gone is the error of an operation whose client, or store, has gone.
func (tx *Tx) gone() error {
	if v := tx.s.view.Load(); v == nil || !v.up {
		return abort("node_not_running", node(tx.s.self))
	}
	return &Error{Class: Aborted, Reason: term.Atom("killed"), kind: kit.Unavailable}
}

// patience is how long a transaction with limited retries stands aside for its nth run: the longest that
// mnesia_lib:random_time/2 would let it sleep.
func patience(n int) time.Duration {
	d := n * n
	return time.Duration(500*d/(d+50)+1) * time.Millisecond
}

// unused reports whether the request for a lock at a node is the first thing that the transaction does.
func (tx *Tx) unused(at kit.NodeName) bool {
	return len(tx.held.list) == 0 && tx.ws.empty() && len(tx.outer) == 0 && len(tx.touched) == 1 && tx.touched[0] == at
}

// standAside gives up all locks and writes, waits with nothing until the lock that was refused is granted, and
// answers ErrRestart unless there was nothing to give up.
func (tx *Tx) standAside(r lockReply, ch chan lockReply) error {
	s := tx.s
	unused := tx.unused(r.from)
	tx.dropLocks(r.from)
	tx.forgetWrites()
	tx.restarts++
	if tx.opts.Retries != Infinity && tx.restarts >= tx.opts.Retries {
		s.forget(&lockCall{id: r.id})
		s.count.failures.Add(1)
		tx.finish()
		return &Error{Class: Aborted, Reason: term.Atom("nomore"), kind: kit.Overloaded}
	}
	tx.restarted.Store(true)
	s.count.restarts.Add(1)
	var late <-chan time.Time
	if tx.opts.Retries != Infinity {
		timer := time.NewTimer(patience(tx.restarts))
		defer timer.Stop()
		late = timer.C
	}
	for {
		select {
		case again := <-ch:
			if again.id != r.id {
				continue // the answer to a request that was given up
			}
			switch {
			case again.answer == lockLost:
				tx.touched = tx.touched[:0]
			case unused:
				return nil
			}
			return ErrRestart
		case <-late:
			s.forget(&lockCall{id: r.id})
			tx.dropLocks("")
			return ErrRestart
		case <-tx.ctx().Done():
			s.forget(&lockCall{id: r.id})
			return tx.gone()
		}
	}
}

// table gives a table of the running store, or nil.
func (s *Store) table(name string) *tab {
	v := s.view.Load()
	if v == nil {
		return nil
	}
	return v.tables[name]
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
			return err
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
