package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// How a node copies a table from another while others write to it. The new copy becomes a target of all writes
// first, and keeps what comes; then the source, once it has heard from everybody that nothing is on its way to it
// alone any more, sends its rows.

// loading is a copy of a table on its way from another node. Its rows are put into memory and into a new image on the
// disc as they come.
type loading struct {
	from   kit.NodeName
	buf    *buffer
	rows   *data
	done   chan error // receives once
	ended  bool
	chunks chan []term.Tuple // nil is the end
	stop   chan struct{}     // closed when nobody takes chunks any more
	disc   *disk.Rebuild     // nil when the copy is not on the disc
}

// chunksAhead is how many chunks of a copy may wait: then whoever sends them has to.
const chunksAhead = 64

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
		l, others, err := s.beginCopy(name)
		if err != nil || l == nil {
			return err
		}
		if err := s.takeCopy(ctx, l, name, others); err != nil {
			return err
		}
		s.mu.Lock()
		others = s.others()
		s.mu.Unlock()
		for _, n := range others {
			if _, err := s.call(ctx, n, "loaded", term.Atom(name)); ctx.Err() != nil {
				return err
			}
		}
		return nil
	})
}

// takeCopy asks for the rows of a table, takes them, and puts the copy into use.
func (s *Store) takeCopy(ctx context.Context, l *loading, name string, others []kit.NodeName) error {
	filled := make(chan error, 1)
	go func() { filled <- s.fill(l, name) }() // before the first rows can come
	err := s.askCopy(ctx, l, name, others)
	if err == nil {
		select {
		case err = <-l.done:
		case err = <-filled: // it could not go on
			filled <- err
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err == nil {
		select {
		case l.chunks <- nil:
		case err = <-filled:
			filled <- err
		}
	}
	if err != nil {
		close(l.stop)
	}
	if ferr := <-filled; err == nil {
		err = ferr
	}
	if err == nil {
		err = s.endCopy(name, l)
	}
	if l.disc != nil {
		l.disc.Abort()
	}
	return err
}

// askCopy makes the own copy a target of writes at the other nodes; the source sends its rows when all have heard.
func (s *Store) askCopy(ctx context.Context, l *loading, name string, others []kit.NodeName) error {
	arg := term.T(term.Atom(name), term.Atom(l.from))
	for _, n := range others {
		if _, err := s.call(ctx, n, "joining", arg); err != nil && n == l.from {
			return err
		}
	}
	return nil
}

// fill puts rows where they belong until the end or until it is stopped.
func (s *Store) fill(l *loading, name string) error {
	if t := s.table(name); t != nil && t.own != RAM {
		var err error
		if l.disc, err = s.disk.Rebuild(name); err != nil {
			return err
		}
	}
	for {
		select {
		case rows := <-l.chunks:
			if rows == nil {
				return nil
			}
			for _, row := range rows {
				if l.rows.disc == nil {
					l.rows.put(row)
				}
				if l.disc != nil {
					if err := l.disc.Put(row); err != nil {
						return err
					}
				}
			}
		case <-l.stop:
			return nil
		}
	}
}

// beginCopy makes the own copy a target of writes that are kept until the rows are here.
func (s *Store) beginCopy(name string) (*loading, []kit.NodeName, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tabs[name]
	if t == nil || t.own == Unknown || t.data != nil {
		return nil, nil, nil
	}
	from := s.source(t)
	if from == "" {
		return nil, nil, abort("no_exists", term.Atom(name))
	}
	s.dropDoubts(name) // the source has settled them, or its locks would have kept us out
	l := &loading{from: from, buf: &buffer{}, rows: s.newCopy(t.Def, t.own), done: make(chan error, 1),
		chunks: make(chan []term.Tuple, chunksAhead), stop: make(chan struct{})}
	s.loads[name] = l
	s.setTab(name, func(t *tab) {
		t.buf = l.buf
		t.joining = sorted(t.joining, []kit.NodeName{s.self})
	})
	s.publish()
	return l, s.others(), nil
}

// endCopy puts the copy into use.
func (s *Store) endCopy(name string, l *loading) error {
	s.mu.Lock()
	t := s.tabs[name]
	s.mu.Unlock()
	if t == nil || t.own == Unknown {
		return nil
	}
	if l.disc != nil { // writers go on: what they write is kept in memory still
		if err := l.disc.Commit(); err != nil {
			return err
		}
	}
	if err := s.endBuffer(t, l); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cur := s.tabs[name]; cur == nil || cur.own == Unknown {
		return nil
	}
	l.rows.index(s.tabs[name].Def)
	s.setTab(name, func(t *tab) {
		t.data, t.buf = l.rows, nil
		t.joining = slices.DeleteFunc(slices.Clone(t.joining), func(n kit.NodeName) bool { return n == s.self })
		t.active = sorted(t.active, []kit.NodeName{s.self})
	})
	s.reroute(name)
	s.publish()
	return nil
}

// endBuffer does what came while the rows were on their way; what comes from now on the copy takes itself.
func (s *Store) endBuffer(t *tab, l *loading) error {
	b := l.buf
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full {
		return &kit.Error{Op: "copy table", What: t.Name, Kind: kit.Overloaded}
	}
	for i := range b.ops {
		if t.own != RAM {
			if err := s.logOp(t, l.rows, &b.ops[i]); err != nil {
				return err
			}
		}
		l.rows.apply(&b.ops[i])
	}
	b.done, b.data, b.ops = true, l.rows, nil
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
	w, n := &writer{}, uint64(0)
	send := func() {
		if n > 0 {
			s.peers.Send(key.to, append(newFrame(fChunk).str(key.tab).num(0).num(n).b, w.b...))
			w, n = &writer{b: w.b[:0]}, 0
		}
	}
	t.data.each(func(row term.Tuple) bool {
		w.term(row)
		if n++; len(w.b) >= chunkBytes {
			send()
		}
		return ctx.Err() == nil
	})
	send()
	end(true)
}

// onChunk takes rows of a copy that is being made here.
func (s *Store) onChunk(from kit.NodeName, r *reader) {
	name, what := r.str(), r.num()
	rows := r.rows()
	s.mu.Lock()
	l := s.loads[name]
	if l == nil || l.from != from || l.ended {
		s.mu.Unlock()
		return
	}
	if r.err == nil && what != 1 && what != 2 {
		s.mu.Unlock()
		if len(rows) > 0 {
			select {
			case l.chunks <- rows:
			case <-l.stop:
			}
		}
		return
	}
	switch {
	case r.err != nil:
		l.end(broken("copy table", "%s from %s: %v", name, from, r.err))
	case what == 1:
		l.end(nil)
	default:
		l.end(abort("no_exists", term.Atom(name)))
	}
	s.mu.Unlock()
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
