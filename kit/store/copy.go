package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// How a node copies a table from another while others write to it. The new copy becomes a target of all writes
// first, and keeps what comes; then the source, once it has heard from everybody that nothing is on its way to it
// alone any more, sends its rows.

// loading is a copy of a table on its way from another node.
type loading struct {
	from  kit.NodeName
	buf   *buffer
	rows  *data
	done  chan error // receives once
	ended bool
}

// buffer keeps the operations that come for a copy while its rows are still on their way.
type buffer struct {
	mu   sync.Mutex
	ops  []op
	full bool // more came than is kept: the copy has to begin again
	done bool
	data *data // once done
}

// take keeps an operation; false when the copy is complete and takes it itself.
func (b *buffer) take(o *op) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return false
	}
	if b.full = b.full || len(b.ops) >= MaxWrites; !b.full {
		b.ops = append(b.ops, *o)
	}
	return true
}

// flushKey names a copy in the making; flush is what its source waits for: that everything which was sent to it before
// the new copy became a target has arrived.
type flushKey struct {
	tab string
	to  kit.NodeName
}

type flush struct {
	begun bool // the source itself has been asked
	heard map[kit.NodeName]bool
}

// maxLoaders is how many tables are copied at a time (no_table_loaders).
const maxLoaders = 2

// retryLoad is how long a node waits before it tries a failed copy again.
const retryLoad = 100 * time.Millisecond

// startLoads begins to copy tables that have an own copy to fill and a node to take it from.
func (s *Store) startLoads() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return
	}
	var names []string
	for name, t := range s.tabs {
		if name != "schema" && t.own != Unknown && t.data == nil && !t.LocalContent && s.loads[name] == nil && s.source(t) != "" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, s.before)
	for _, name := range names {
		if len(s.loads) >= maxLoaders {
			break
		}
		s.loads[name] = &loading{}
		s.go_(func(ctx context.Context) { s.copyTable(ctx, name) })
	}
}

// source gives the node to copy a table from: with master nodes only one of them, unless the load is forced.
func (s *Store) source(t *tab) kit.NodeName {
	if t.forced {
		for _, n := range t.active {
			if n != s.self && s.nodes[n] {
				return n
			}
		}
		return ""
	}
	if n := s.bestCopy(t); n != s.self {
		return n
	}
	return ""
}

// copyTable copies a table from another node. A read lock at all copies keeps transactions out; dirty writes go on and
// reach the new copy too, because it becomes a target everywhere before the source takes its picture.
func (s *Store) copyTable(ctx context.Context, name string) {
	err := s.copyOnce(ctx, name)
	s.mu.Lock()
	delete(s.loads, name)
	s.publish()
	s.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		s.unjoin(name)
		select {
		case <-time.After(retryLoad):
		case <-ctx.Done():
			return
		}
	}
	s.startLoads()
}

func (s *Store) copyOnce(ctx context.Context, name string) error {
	return s.Transaction(ctx, func(tx *Tx) error {
		if _, err := tx.LockTable(name, LoadLock); err != nil {
			return err
		}
		l, err := s.beginCopy(name)
		if err != nil || l == nil {
			return err
		}
		err = s.awaitRows(ctx, name, l)
		if err == nil {
			err = s.endCopy(name, l)
			s.splitCopied(name, l.from)
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		others := s.others()
		s.mu.Unlock()
		for _, n := range others {
			if _, err := s.call(ctx, n, "loaded", term.Atom(name)); ctx.Err() != nil {
				return err
			}
		}
		return nil
	})
}

// awaitRows makes all nodes of the cluster send their writes to the new copy, too, also those that join meanwhile, and
// waits until the rows are here.
func (s *Store) awaitRows(ctx context.Context, name string, l *loading) error {
	arg := term.T(term.Atom(name), term.Atom(l.from))
	asked := map[kit.NodeName]uint64{} // in which stay in the cluster
	for {
		s.mu.Lock()
		others, changed, since := s.others(), s.changed, maps.Clone(s.since)
		s.mu.Unlock()
		for _, n := range others {
			if asked[n] == since[n] {
				continue
			}
			_, err := s.call(ctx, n, "joining", arg)
			switch {
			case err == nil:
				asked[n] = since[n]
			case n == l.from:
				return err
			}
		}
		select {
		case err := <-l.done:
			return err
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// beginCopy makes the own copy a target of writes that are kept until the rows are here.
func (s *Store) beginCopy(name string) (*loading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tabs[name]
	if t == nil || t.own == Unknown || t.data != nil {
		return nil, nil
	}
	from := s.source(t)
	if from == "" {
		return nil, abort("no_exists", term.Atom(name))
	}
	s.dropDoubts(name) // the source has settled them, or its locks would have kept us out
	l := &loading{from: from, buf: &buffer{}, rows: newData(t.Def), done: make(chan error, 1)}
	s.loads[name] = l
	s.setTab(name, func(t *tab) {
		t.buf = l.buf
		t.joining = sorted(t.joining, []kit.NodeName{s.self})
	})
	s.publish()
	return l, nil
}

// endCopy puts the copy into use.
func (s *Store) endCopy(name string, l *loading) error {
	s.mu.Lock()
	t := s.tabs[name]
	s.mu.Unlock()
	if t == nil || t.own == Unknown {
		return nil
	}
	b := l.buf
	b.mu.Lock()
	if b.full {
		b.mu.Unlock()
		return &kit.Error{Op: "copy table", What: name, Kind: kit.Overloaded}
	}
	for i := range b.ops {
		l.rows.apply(&b.ops[i])
	}
	var err error
	if t.own != RAM {
		err = s.disk.Replace(name, slices.Values(l.rows.all()))
	}
	if err == nil {
		b.done, b.data, b.ops = true, l.rows, nil
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cur := s.tabs[name]; cur == nil || cur.own == Unknown {
		return nil
	}
	for _, pos := range s.tabs[name].Index {
		l.rows.addIndex(pos)
	}
	s.setTab(name, func(t *tab) {
		t.data, t.buf = l.rows, nil
		t.joining = slices.DeleteFunc(slices.Clone(t.joining), func(n kit.NodeName) bool { return n == s.self })
		t.active = sorted(t.active, []kit.NodeName{s.self})
	})
	s.reroute(name)
	s.publish()
	return nil
}

// unjoin takes back that this node is a target of a table's writes, after a copy that failed.
func (s *Store) unjoin(name string) {
	s.mu.Lock()
	s.setTab(name, func(t *tab) {
		if t.data == nil {
			t.buf = nil
			t.joining = slices.DeleteFunc(slices.Clone(t.joining), func(n kit.NodeName) bool { return n == s.self })
		}
	})
	s.publish()
	others := s.others()
	loaded := s.tabs[name] != nil && s.tabs[name].data != nil
	s.mu.Unlock()
	if loaded {
		return
	}
	for _, n := range others {
		s.cast(n, "unjoining", term.Atom(name))
	}
}

func tabArg(arg term.Term) (string, kit.NodeName) {
	if a, ok := arg.(term.Atom); ok {
		return string(a), ""
	}
	t, _ := arg.(term.Tuple)
	if len(t) != 2 {
		return "", ""
	}
	name, _ := t[0].(term.Atom)
	n, _ := t[1].(term.Atom)
	return string(name), kit.NodeName(n)
}

// serveJoining makes another node's copy a target of writes, and tells the source that everything which went to it
// alone has been sent.
func serveJoining(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	name, source := tabArg(arg)
	s.gate.Lock()
	defer s.gate.Unlock()
	s.mu.Lock()
	t := s.tabs[name]
	if t == nil || s.phase != running {
		s.mu.Unlock()
		return nil, abort("no_exists", term.Atom(name))
	}
	s.setTab(name, func(t *tab) { t.joining = sorted(t.joining, []kit.NodeName{from}) })
	s.publish()
	s.mu.Unlock()
	key := flushKey{name, from}
	if source == s.self {
		s.flushed(key, s.self)
	} else {
		s.cast(source, "flush", term.T(term.Atom(name), term.Atom(from)))
	}
	return nil, nil
}

func serveUnjoining(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	name, _ := tabArg(arg)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setTab(name, func(t *tab) {
		t.joining = slices.DeleteFunc(slices.Clone(t.joining), func(n kit.NodeName) bool { return n == from })
	})
	delete(s.flushes, flushKey{name, from})
	s.publish()
	return nil, nil
}

func serveFlush(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	name, to := tabArg(arg)
	s.flushed(flushKey{name, to}, from)
	return nil, nil
}

// flushed notes that a node has sent all it had before a new copy became a target. When all have, the rows go out.
func (s *Store) flushed(key flushKey, from kit.NodeName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return
	}
	f := s.flushes[key]
	if f == nil {
		if len(s.flushes) >= MaxTables {
			return
		}
		f = &flush{heard: map[kit.NodeName]bool{}}
		s.flushes[key] = f
	}
	f.heard[from] = true
	f.begun = f.begun || from == s.self
	s.trySend(key, f)
}

// trySend sends a table's rows when nothing is missing any more. Callers hold mu.
func (s *Store) trySend(key flushKey, f *flush) {
	if !f.begun {
		return
	}
	for n := range s.nodes {
		if n != key.to && !f.heard[n] {
			return
		}
	}
	delete(s.flushes, key)
	t := s.tabs[key.tab]
	s.go_(func(ctx context.Context) { s.sendRows(ctx, key, t) })
}

// chunkBytes is how much of a table goes into one frame, about.
const chunkBytes = 256 << 10

// sendRows sends a table to a node that makes a copy.
func (s *Store) sendRows(ctx context.Context, key flushKey, t *tab) {
	end := func(ok bool) {
		s.peers.Send(key.to, newFrame(fChunk).str(key.tab).num(map[bool]uint64{true: 1, false: 2}[ok]).num(0).b)
	}
	if t == nil || t.data == nil {
		end(false)
		return
	}
	rows := t.data.all()
	for len(rows) > 0 {
		w := &writer{}
		n := 0
		for n < len(rows) && len(w.b) < chunkBytes {
			w.term(rows[n])
			n++
		}
		f := newFrame(fChunk).str(key.tab).num(0).num(uint64(n))
		s.peers.Send(key.to, append(f.b, w.b...))
		rows = rows[n:]
		for s.roomFor(ctx, key.to) != nil && ctx.Err() == nil && s.linked(key.to) {
			continue // a slow node takes its time
		}
	}
	end(true)
}

// onChunk takes rows of a copy that is being made here.
func (s *Store) onChunk(from kit.NodeName, r *reader) {
	name, what := r.str(), r.num()
	rows := r.rows()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.loads[name]
	if l == nil || l.from != from || l.ended {
		return
	}
	switch {
	case r.err != nil:
		l.end(broken("copy table", "%s from %s: %v", name, from, r.err))
	case what == 1:
		l.end(nil)
	case what == 2:
		l.end(abort("no_exists", term.Atom(name)))
	default:
		for _, row := range rows {
			l.rows.put(row)
		}
	}
}

func (l *loading) end(err error) {
	if !l.ended && l.done != nil {
		l.ended = true
		l.done <- err
	}
}

// loadPeerDown ends copies from a node that has gone, and sends those that waited for it.
func (s *Store) loadPeerDown(n kit.NodeName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range sortedKeys(s.loads) {
		if l := s.loads[name]; l.from == n {
			l.end(abort("mnesia_down", node(n)))
		}
	}
	keys := slices.SortedFunc(maps.Keys(s.flushes), func(a, b flushKey) int { return cmpStrings(a.tab+"/"+string(a.to), b.tab+"/"+string(b.to)) })
	for _, k := range keys {
		if k.to == n {
			delete(s.flushes, k)
			continue
		}
		s.trySend(k, s.flushes[k])
	}
}
