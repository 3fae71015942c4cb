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
	id     uint64
	own    Storage
	from   kit.NodeName
	buf    *buffer
	rows   *data
	done   chan error // receives once
	ended  bool
	chunks chan chunk    // one without rows is the end; it has room for all that the source may send ahead
	about  chan int      // about how many rows will come
	stop   chan struct{} // closed when nobody takes chunks any more
	disc   *disk.Rebuild // nil when the copy is not on the disc
}

// chunk is a run of rows as they came.
type chunk struct {
	rows []term.Tuple
	raw  []byte // the same, encoded
	ends []int  // where each ends in raw
}

// chunk reads one, up to the end of its frame.
func (r *reader) chunk() chunk {
	c := chunk{rows: make([]term.Tuple, 0, 1<<11), ends: make([]int, 0, 1<<11), raw: r.b}
	for len(r.b) > 0 {
		row := r.tuple()
		if r.err != nil {
			break
		}
		c.rows = append(c.rows, row)
		c.ends = append(c.ends, len(c.raw)-len(r.b))
	}
	return c
}

// chunksAhead is how many chunks of a copy may be on their way, or wait to be taken.
const chunksAhead = 32

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
		if err := s.takeCopy(ctx, l, name); err != nil {
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

// takeCopy asks for the rows of a table, takes them, and puts the copy into use.
func (s *Store) takeCopy(ctx context.Context, l *loading, name string) error {
	filled := make(chan error, 1)
	go func() { filled <- s.fill(l, name) }() // before the first rows can come
	err := s.awaitRows(ctx, name, l, filled)
	if err == nil {
		select {
		case l.chunks <- chunk{}:
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
		s.splitCopied(name, l.from)
	}
	if l.disc != nil {
		l.disc.Abort()
	}
	return err
}

// awaitRows makes all nodes of the cluster send their writes to the new copy, too, also those that join meanwhile, and
// waits until the rows are here.
func (s *Store) awaitRows(ctx context.Context, name string, l *loading, filled chan error) error {
	arg := term.T(term.Atom(name), term.Atom(l.from), term.Int(l.id))
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
		case err := <-filled: // it could not go on
			filled <- err
			return err
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fill puts rows where they belong until the end or until it is stopped.
func (s *Store) fill(l *loading, name string) error {
	if l.own != RAM {
		var err error
		if l.disc, err = s.disk.Rebuild(name); err != nil {
			return err
		}
	}
	for {
		select {
		case c := <-l.chunks:
			if len(c.rows) == 0 {
				return nil
			}
			s.peers.Send(l.from, newFrame(fTaken).str(name).b)
			at := 0
			for i, row := range c.rows {
				if l.rows.disc == nil {
					if i%touchRows == 0 {
						l.rows.touch(c.rows[i:min(i+touchRows, len(c.rows))])
					}
					l.rows.put(row)
				}
				if l.disc != nil {
					if err := l.disc.PutEncoded(row, c.raw[at:c.ends[i]:c.ends[i]]); err != nil {
						return err
					}
					at = c.ends[i]
				}
			}
		case n := <-l.about:
			l.rows.reserve(min(n, maxReserve))
		case <-l.stop:
			return nil
		}
	}
}

// touchRows is how many rows are looked up together before they are put in their places.
const touchRows = 64

// maxReserve bounds the room that is made because another node says so.
const maxReserve = 1 << 24

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
	l := &loading{id: s.clock.next().Time, own: t.own, from: from, about: make(chan int, 1), buf: &buffer{}, rows: s.newCopy(t.Def, t.own), done: make(chan error, 1),
		chunks: make(chan chunk, chunksAhead+1), stop: make(chan struct{})}
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
		t.from, t.why = l.from, term.T(term.Atom("active_remote"), node(l.from))
		t.joining = slices.DeleteFunc(slices.Clone(t.joining), func(n kit.NodeName) bool { return n == s.self })
		t.active = sorted(t.active, []kit.NodeName{s.self})
	})
	s.saveBehind(name)
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

// onChunk takes rows of a copy that is being made here.
func (s *Store) onChunk(from kit.NodeName, r *reader) {
	name, id, what := r.str(), r.num(), r.num()
	var c chunk
	n := 0
	if what == chunkBegin {
		n = int(min(r.num(), maxReserve))
	} else {
		c = r.chunk()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.loads[name]
	if l == nil || l.id != id || l.from != from || l.ended {
		return
	}
	switch {
	case r.err != nil:
		l.end(broken("copy table", "%s from %s: %v", name, from, r.err))
	case what == chunkEnd:
		l.end(nil)
	case what == chunkGone:
		l.end(abort("no_exists", term.Atom(name)))
	case what == chunkBegin:
		select {
		case l.about <- n:
		default: // said twice
		}
	case len(c.rows) > 0:
		select {
		case l.chunks <- c:
		default:
			l.end(broken("copy table", "%s from %s: more at once than was asked for", name, from))
		}
	}
}

func (l *loading) end(err error) {
	if !l.ended && l.done != nil {
		l.ended = true
		l.done <- err
	}
}
