package store

import (
	"context"
	"maps"
	"slices"
	"sync"

	"netsplit/kit"
	"netsplit/kit/term"
)

// How a node gives a table to one that makes a copy of it: it waits until everything that was sent to it alone has
// arrived, and sends its rows, no faster than they are taken.

// flushKey names a copy in the making; flush is what its source waits for: that everything which was sent to it before
// the new copy became a target has arrived.
type flushKey struct {
	tab string
	to  kit.NodeName
}

type flush struct {
	id    uint64                  // of the copy, from whoever makes it; 0 until the source itself has been asked
	heard map[kit.NodeName]uint64 // of which copy, for what a node says of an earlier one may come late
}

// sending is a table on its way to a new copy.
type sending struct {
	ahead chan struct{} // holds one for each chunk that the copy has not taken yet
	stop  chan struct{} // closed when nobody wants it any more
	once  sync.Once
	done  chan struct{} // closed at the end
}

func (x *sending) end() { x.once.Do(func() { close(x.stop) }) }

// What a chunk is.
const (
	chunkRows  = iota
	chunkEnd   // all rows have been sent
	chunkGone  // the source has no copy any more
	chunkBegin // with about how many rows will come
)

// tabArg reads a table's name, or a tuple of it and a node's.
func tabArg(arg term.Term) (string, kit.NodeName) {
	if a, ok := arg.(term.Atom); ok {
		return string(a), ""
	}
	t, _ := arg.(term.Tuple)
	if len(t) < 2 {
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
	id := copyID(arg)
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
		s.flushed(key, s.self, id)
	} else {
		s.cast(source, "flush", term.T(term.Atom(name), term.Atom(from), term.Int(id)))
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
	if x := s.sends[flushKey{name, from}]; x != nil {
		x.end()
	}
	s.publish()
	return nil, nil
}

func serveFlush(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	name, to := tabArg(arg)
	s.flushed(flushKey{name, to}, from, copyID(arg))
	return nil, nil
}

// copyID is the last of a table's name, a node's, and the number of the copy that is being made.
func copyID(arg term.Term) uint64 {
	t, _ := arg.(term.Tuple)
	if len(t) != 3 {
		return 0
	}
	n, _ := t[2].(term.Int)
	return uint64(n)
}

// flushed notes that a node has sent all it had before a new copy became a target. When all have, the rows go out.
func (s *Store) flushed(key flushKey, from kit.NodeName, id uint64) {
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
		f = &flush{heard: map[kit.NodeName]uint64{}}
		s.flushes[key] = f
	}
	f.heard[from] = id
	if from == s.self {
		f.id = id
	}
	s.trySend(key, f)
}

// trySend sends a table's rows when nothing is missing any more. Callers hold mu.
func (s *Store) trySend(key flushKey, f *flush) {
	if f.id == 0 {
		return
	}
	for n := range s.nodes {
		if n != key.to && f.heard[n] != f.id {
			return
		}
	}
	delete(s.flushes, key)
	t, before := s.tabs[key.tab], s.sends[key]
	x := &sending{ahead: make(chan struct{}, chunksAhead), stop: make(chan struct{}), done: make(chan struct{})}
	s.sends[key] = x
	s.go_(func(ctx context.Context) {
		if before != nil {
			before.end()
			<-before.done
		}
		s.sendRows(ctx, key, f.id, t, x)
		close(x.done)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.sends[key] == x {
			delete(s.sends, key)
		}
	})
}

// chunkBytes is how much of a table goes into one frame, about.
const chunkBytes = 256 << 10

// sendRows sends a table to a node that makes a copy, no further ahead of it than chunksAhead.
func (s *Store) sendRows(ctx context.Context, key flushKey, id uint64, t *tab, x *sending) {
	frame := func(what uint64) *writer { return newFrame(fChunk).str(key.tab).num(id).num(what) }
	if t == nil || t.data == nil {
		s.peers.Send(key.to, frame(chunkGone).b)
		return
	}
	s.peers.Send(key.to, frame(chunkBegin).num(uint64(t.data.about())).b)
	w := frame(chunkRows)
	empty := len(w.b)
	part := func() bool {
		select {
		case x.ahead <- struct{}{}:
			s.peers.Send(key.to, w.b)
			w.b = append(make([]byte, 0, len(w.b)+len(w.b)/16), w.b[:empty]...)
			return true
		case <-x.stop:
		case <-ctx.Done():
		}
		return false
	}
	going := true
	t.data.each(func(row term.Tuple) bool {
		w.term(row)
		if len(w.b) >= chunkBytes {
			going = part()
		}
		return going
	})
	if going && (len(w.b) == empty || part()) {
		s.peers.Send(key.to, frame(chunkEnd).b)
	}
}

// onTaken takes the news that a copy has taken a chunk.
func (s *Store) onTaken(from kit.NodeName, r *reader) {
	name := r.str()
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.sends[flushKey{name, from}]; x != nil && r.err == nil {
		select {
		case <-x.ahead:
		default:
		}
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
	for k, x := range s.sends {
		if k.to == n {
			x.end()
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
