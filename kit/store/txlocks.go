package store

import (
	"errors"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// dropLocks releases the transaction's locks at every node but one.
func (tx *Tx) dropLocks(but kit.NodeName) {
	for _, n := range tx.touched {
		switch {
		case n == but:
		case n == tx.s.self:
			tx.releaseHere()
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
		t := tx.table(tab)
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
			call = tx.lockHere(item, lock.Read, nil)
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
		t := tx.table(tab)
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

// lockToWrite takes the write lock that changing a record needs. Where this node has a copy and the transaction runs as
// a function, only the lock here is waited for; those at the other copies are asked for together with the commit, in
// one round trip. It is strict two-phase locking all the same: who commits holds them all.
func (tx *Tx) lockToWrite(tab string, key term.Term) error {
	t := tx.table(tab)
	if !tx.gathers || key == nil || t == nil || t.read != tx.s.self || len(t.writers()) < 2 || t.Majority && !t.majority(t.writers()) {
		_, err := tx.lockWrite(tab, key, lock.Write)
		return err
	}
	here := []kit.NodeName{tx.s.self}
	tx.deferred = true
	if tx.held.has(tab, key, lock.Write, here) {
		return nil
	}
	tx.touch(tx.s.self)
	rep, err := tx.await(tx.lockHere(lock.Item{Table: tab, Key: key}, lock.Write, nil))
	switch {
	case err != nil:
		return err
	case rep.answer != lockGranted && rep.answer != lockRerun: // the copy here has gone
		_, err := tx.lockWrite(tab, key, lock.Write)
		return err
	}
	tx.held.add(heldLock{tab: tab, key: key, kind: lock.Write, nodes: here})
	return nil
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
		if call := tx.lockHere(item, kind, nil); call != nil {
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
				calls = append(calls, tx.lockHere(item, kind, ch))
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
	t := tx.table(item.Table)
	return t != nil && containsAll(ns, t.writers())
}

// await waits until all requests are granted; a nil one was granted at once. A refusal makes the transaction stand
// aside and run again; one that has done nothing yet goes on from where it is, which is the same, and its reply is
// lockRerun. The reply is that of the last one, or one that was lost or failed.
func (tx *Tx) await(calls ...*lockCall) (rep lockReply, err error) {
	if len(calls) == 1 && calls[0] != nil {
		defer tx.s.endCall(calls[0])
	}
	worst := lockReply{answer: lockGranted}
	for _, c := range calls {
		if c != nil && c.refused { // before anything is taken from a channel, where it may hear next that it may run again
			i := slices.Index(calls, c)
			calls[0], calls[i] = c, calls[0]
			break
		}
	}
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
			if len(calls) > 1 {
				tx.s.forget(except(calls, r.id)...)
			}
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
	if c.refused {
		return lockReply{from: c.node, id: c.id, answer: lockRefused}, nil
	}
	var r lockReply
	select {
	case r = <-c.ch:
	default:
		defer tx.listen(nil)
		if !tx.listen(c.ch) {
			return r, tx.gone()
		}
		select {
		case r = <-c.ch:
		case <-tx.base.Done():
			r.answer = lockKilled
		}
	}
	if r.answer == lockKilled {
		return lockReply{}, tx.gone()
	}
	return r, nil
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
	if err := tx.rerun(); !errors.Is(err, ErrRestart) {
		s.forget(&lockCall{id: r.id})
		return err
	}
	var late <-chan time.Time
	if tx.opts.Retries != Infinity {
		timer := time.NewTimer(patience(tx.restarts))
		defer timer.Stop()
		late = timer.C
	}
	defer tx.listen(nil)
	for {
		if !tx.listen(ch) {
			s.forget(&lockCall{id: r.id})
			return tx.gone()
		}
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
		case <-tx.base.Done():
			s.forget(&lockCall{id: r.id})
			return tx.gone()
		}
	}
}
