package store

import (
	"sync/atomic"

	"github.com/tidwall/btree"

	"netsplit/kit/term"
)

// hashRows holds a set (E is setRow) or a bag (E is the rows of one key). A slot holds what a key has; slots keep the order in
// which keys came, so that iteration is the same on every run.
//
// Reading a key takes no lock. What a cell says of rows never changes; an entry of the hash table, once it is there, keeps
// its hash, and its key until that is deleted, and is not used again then: the table is made anew instead, and readers
// go on in the old one. Everything else is guarded by the table's lock.
type hashRows[E any] struct {
	now   atomic.Pointer[hashTable[E]]
	used  int        // entries, with deleted ones
	slots []*cell[E] // nil where the key was deleted
	holes int        // of them
	rows  int
	walk  *btree.BTreeG[term.Term] // the keys in order; made when somebody first walks through them
}

// hashTable has linear probing; its size is a power of two, and some entries are free.
type hashTable[E any] []hashEntry[E]

// hashEntry is one place of the hash table. It is found from when its hash is there; a hash of 0 is a free place.
type hashEntry[E any] struct {
	hash atomic.Uint64
	cell atomic.Pointer[cell[E]] // nil: deleted
}

// cell is what a key has.
type cell[E any] struct {
	v    E
	slot uint32 // guarded by the table's lock
}

func newHashRows[E any]() *hashRows[E] {
	h := &hashRows[E]{}
	h.reset()
	return h
}

// reset empties it.
func (h *hashRows[E]) reset() {
	h.now.Store(newHashTable[E](8))
	h.used, h.slots, h.holes, h.rows, h.walk = 0, nil, 0, 0, nil
}

func newHashTable[E any](size int) *hashTable[E] {
	t := make(hashTable[E], size)
	return &t
}

// find gives the entry of a key, and what it has; nil when there is none.
func (t hashTable[E]) find(key term.Term) (*hashEntry[E], *cell[E]) {
	hash, exact := term.Hash(key)
	mask := uint64(len(t) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := &t[i]
		switch e.hash.Load() {
		case 0:
			return nil, nil
		case hash:
			if c := e.cell.Load(); c != nil && (exact || term.Equal(keyOf(&c.v), key)) {
				return e, c
			}
		}
	}
}

// touch reads the places of keys. One after the other in a large table each waits for memory; these do not depend on each
// other, so the processor fetches them together, and finds them when they are used.
func (t hashTable[E]) touch(rows []term.Tuple) (used int) {
	mask := uint64(len(t) - 1)
	for _, r := range rows {
		if hash, _ := term.Hash(r[1]); t[hash&mask].hash.Load() != 0 {
			used++
		}
	}
	return used
}

// lookup gives what a key has, or nil. It may be called at any time.
func (h *hashRows[E]) lookup(key term.Term) *E {
	_, c := h.now.Load().find(key)
	if c == nil {
		return nil
	}
	return &c.v
}

// swap makes v what a key has and gives what it had.
func (h *hashRows[E]) swap(key term.Term, v E) (old *E) {
	t := *h.now.Load()
	if e, c := t.find(key); e != nil {
		now := &cell[E]{v, c.slot}
		h.slots[c.slot] = now
		e.cell.Store(now)
		return &c.v
	}
	if h.used >= len(t)/8*7 {
		h.rebuild(len(h.slots) - h.holes + 1)
		t = *h.now.Load()
	}
	c := &cell[E]{v, uint32(len(h.slots))}
	h.slots = append(h.slots, c)
	hash, _ := term.Hash(key)
	t.enter(hash, c)
	h.used++
	if h.walk != nil {
		h.walk.Set(key)
	}
	return nil
}

// enter puts a new entry into the hash table.
func (t hashTable[E]) enter(hash uint64, c *cell[E]) {
	mask := uint64(len(t) - 1)
	i := hash & mask
	for t[i].hash.Load() != 0 {
		i = (i + 1) & mask
	}
	t[i].cell.Store(c)
	t[i].hash.Store(hash) // from here on it is found
}

// drop deletes a key that is there.
func (h *hashRows[E]) drop(key term.Term) {
	e, c := h.now.Load().find(key)
	e.cell.Store(nil)
	h.slots[c.slot] = nil
	h.holes++
	if h.walk != nil {
		h.walk.Delete(key)
	}
	if h.holes > 64 && h.holes > len(h.slots)/2 {
		h.rebuild(len(h.slots) - h.holes)
	}
}

// reserve makes room for so many keys in all.
func (h *hashRows[E]) reserve(n int) {
	if n > len(*h.now.Load())/8*7 {
		h.rebuild(n)
	}
}

// rebuild makes a hash table for n keys and closes the holes, when they are many, keeping the order.
func (h *hashRows[E]) rebuild(n int) {
	size := 8
	for size/8*6 < n {
		size *= 2
	}
	now := newHashTable[E](size)
	old := *h.now.Load()
	for i := range old {
		if c := old[i].cell.Load(); c != nil {
			now.enter(old[i].hash.Load(), c)
		}
	}
	h.used = len(h.slots) - h.holes
	h.now.Store(now)
	if h.holes > len(h.slots)/8 {
		kept := make([]*cell[E], 0, h.used)
		for _, c := range h.slots {
			if c != nil {
				c.slot = uint32(len(kept))
				kept = append(kept, c)
			}
		}
		h.slots, h.holes = kept, 0
	}
}

// each calls f for what every key has until it says no.
func (h *hashRows[E]) each(f func(v *E) bool) {
	for _, c := range h.slots {
		if c != nil && !f(&c.v) {
			return
		}
	}
}
