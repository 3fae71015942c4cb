package store

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/tidwall/btree"

	"netsplit/kit/term"
)

// The hash of a key is salted, so that nobody can choose keys that collide. The order of rows does not depend on it.
var (
	hashSeed = maphash.MakeSeed()
	hashSalt = maphash.String(hashSeed, "integers")
)

// hashKey gives the hash of a key. whole says that no other key with whole set has it: integers are mixed without loss, and
// need not be looked up to be compared.
func hashKey(key term.Term) (h uint64, whole bool) {
	switch k := key.(type) {
	case term.Int:
		x := uint64(k) ^ hashSalt
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		return x ^ x>>31, true
	case term.Bin:
		return maphash.String(hashSeed, string(k)), false
	case term.Atom:
		return maphash.String(hashSeed, string(k)) + 1, false
	}
	var room [128]byte
	return maphash.Bytes(hashSeed, term.AppendOrdered(room[:0], key, false)), false
}

// hashRows holds a set (E is setRow) or a bag (E is the rows of one key). A slot holds what a key has; slots keep the order in
// which keys came, so that iteration is the same on every run.
//
// Reading a key takes no lock. What a slot points to never changes; an entry of the hash table, once it is there, keeps its
// hash and its slot until it is deleted, and neither is used again: the table is made anew instead, and readers go on
// in the old one. Everything else is guarded by the table's lock.
type hashRows[E any] struct {
	now     atomic.Pointer[hashState[E]]
	entries int // used, with deleted ones
	slots   int // used, with holes
	holes   int // slots of deleted keys
	rows    int
	walk    *btree.BTreeG[term.Term] // the keys in order; made when somebody first walks through them
}

// hashState is a hash table with linear probing and the slots that it points to.
type hashState[E any] struct {
	entries []hashEntry // a power of two, some of them free
	chunks  []*[chunkSlots]atomic.Pointer[E]
}

const chunkSlots = 512

// hashEntry is one place of the hash table.
type hashEntry struct {
	hash atomic.Uint64
	ref  atomic.Uint64 // 0: free; refDeleted; or the slot's number + 1, and refWhole
}

const (
	refWhole   = 1 << 32
	refSlot    = refWhole - 1
	refDeleted = 1 << 33
)

func newHashRows[E any]() *hashRows[E] {
	h := &hashRows[E]{}
	h.reset()
	return h
}

// reset empties it.
func (h *hashRows[E]) reset() {
	h.now.Store(&hashState[E]{entries: make([]hashEntry, 8)})
	h.entries, h.slots, h.holes, h.rows, h.walk = 0, 0, 0, 0, nil
}

func (s *hashState[E]) slot(i int) *atomic.Pointer[E] { return &s.chunks[i/chunkSlots][i%chunkSlots] }

// find gives the entry of a key; nil when there is none.
func (s *hashState[E]) find(key term.Term, hash uint64, whole bool) *hashEntry {
	mask := uint64(len(s.entries) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := &s.entries[i]
		ref := e.ref.Load()
		if ref == 0 {
			return nil
		}
		if ref == refDeleted || e.hash.Load() != hash || (ref&refWhole != 0) != whole {
			continue
		}
		if whole {
			return e
		}
		if p := s.slot(int(ref&refSlot) - 1).Load(); p != nil && term.Equal(keyOf(p), key) {
			return e
		}
	}
}

// touch reads the places of keys. One after the other in a large table each waits for memory; these do not depend on each
// other, so the processor fetches them together, and finds them when they are used.
func (s *hashState[E]) touch(rows []term.Tuple) (used int) {
	mask := uint64(len(s.entries) - 1)
	for _, r := range rows {
		if hash, _ := hashKey(r[1]); s.entries[hash&mask].ref.Load() != 0 {
			used++
		}
	}
	return used
}

// lookup gives what a key has; nil when it is not there. It may be called at any time.
func (h *hashRows[E]) lookup(key term.Term) *E {
	s := h.now.Load()
	hash, whole := hashKey(key)
	e := s.find(key, hash, whole)
	if e == nil {
		return nil
	}
	ref := e.ref.Load()
	if ref == refDeleted {
		return nil
	}
	return s.slot(int(ref&refSlot) - 1).Load()
}

// swap makes v what a key has and gives what it had.
func (h *hashRows[E]) swap(key term.Term, v *E) (old *E) {
	hash, whole := hashKey(key)
	s := h.now.Load()
	if e := s.find(key, hash, whole); e != nil {
		p := s.slot(int(e.ref.Load()&refSlot) - 1)
		old = p.Load()
		p.Store(v)
		return old
	}
	if h.entries >= len(s.entries)/8*7 {
		h.rebuild(h.slots - h.holes + 1)
		s = h.now.Load()
	}
	if h.slots == len(s.chunks)*chunkSlots {
		s = &hashState[E]{entries: s.entries, chunks: append(s.chunks, new([chunkSlots]atomic.Pointer[E]))}
		h.now.Store(s)
	}
	s.slot(h.slots).Store(v)
	h.slots++
	s.enter(hash, whole, h.slots)
	h.entries++
	if h.walk != nil {
		h.walk.Set(key)
	}
	return nil
}

// enter puts a new entry into the hash table.
func (s *hashState[E]) enter(hash uint64, whole bool, slot int) {
	mask := uint64(len(s.entries) - 1)
	i := hash & mask
	for s.entries[i].ref.Load() != 0 {
		i = (i + 1) & mask
	}
	ref := uint64(slot)
	if whole {
		ref |= refWhole
	}
	s.entries[i].hash.Store(hash)
	s.entries[i].ref.Store(ref) // from here on it is found
}

// drop deletes a key that is there.
func (h *hashRows[E]) drop(key term.Term) {
	hash, whole := hashKey(key)
	s := h.now.Load()
	e := s.find(key, hash, whole)
	slot := int(e.ref.Load()&refSlot) - 1
	e.ref.Store(refDeleted)
	s.slot(slot).Store(nil)
	h.holes++
	if h.walk != nil {
		h.walk.Delete(key)
	}
	if h.holes > 64 && h.holes > h.slots/2 {
		h.rebuild(h.slots - h.holes)
	}
}

// reserve makes room for so many keys in all.
func (h *hashRows[E]) reserve(n int) {
	if n > len(h.now.Load().entries)/8*7 {
		h.rebuild(n)
	}
}

// rebuild makes a hash table for n keys and closes the holes, keeping the order.
func (h *hashRows[E]) rebuild(n int) {
	old := h.now.Load()
	size := 8
	for size/8*6 < n {
		size *= 2
	}
	s := &hashState[E]{entries: make([]hashEntry, size)}
	if h.holes <= h.slots/8 { // few: the slots stay where they are
		s.chunks = old.chunks
		for i := range old.entries {
			e := &old.entries[i]
			if ref := e.ref.Load(); ref != 0 && ref != refDeleted {
				s.enter(e.hash.Load(), ref&refWhole != 0, int(ref&refSlot))
			}
		}
		h.entries = h.slots - h.holes
		h.now.Store(s)
		return
	}
	kept := 0
	h.each(func(v *E) bool {
		if kept == len(s.chunks)*chunkSlots {
			s.chunks = append(s.chunks, new([chunkSlots]atomic.Pointer[E]))
		}
		s.slot(kept).Store(v)
		kept++
		hash, whole := hashKey(keyOf(v))
		s.enter(hash, whole, kept)
		return true
	})
	h.slots, h.entries, h.holes = kept, kept, 0
	h.now.Store(s)
}

// each calls f for what every key has until it says no.
func (h *hashRows[E]) each(f func(v *E) bool) {
	s := h.now.Load()
	for i := range h.slots {
		if v := s.slot(i).Load(); v != nil && !f(v) {
			return
		}
	}
}
