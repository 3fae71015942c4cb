package store

import (
	"netsplit/kit"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// heldLock is a lock that a transaction holds, on some nodes.
type heldLock struct {
	tab   string
	key   term.Term // nil: the whole table
	kind  lock.Kind
	prev  int32 // with an index: the lock before it on the same thing, counted from 1; 0 is none
	nodes []kit.NodeName
}

// heldLocks are the locks that a transaction holds, in the order in which it got them.
type heldLocks struct {
	list []heldLock
	last map[wsOID]int32 // the last lock on a thing, counted from 1; made when there are many
}

// heldFew is how many locks are looked through without an index.
const heldFew = 16

func (h *heldLocks) reset() { h.list, h.last = h.list[:0], nil }

func (l *heldLock) oid() wsOID {
	if l.key == nil {
		return wsOID{tab: l.tab}
	}
	return wsOID{l.tab, term.Key(l.key)}
}

func (h *heldLocks) add(l heldLock) {
	h.list = append(h.list, l)
	switch {
	case h.last != nil:
		h.index(len(h.list))
	case len(h.list) > heldFew:
		h.last = make(map[wsOID]int32, 4*heldFew)
		for i := range h.list {
			h.index(i + 1)
		}
	}
}

func (h *heldLocks) index(n int) {
	l := &h.list[n-1]
	oid := l.oid()
	l.prev = h.last[oid]
	h.last[oid] = int32(n)
}

// has reports whether the transaction has the lock already, on these nodes at least, be it as one on the whole table.
func (h *heldLocks) has(tab string, key term.Term, kind lock.Kind, nodes []kit.NodeName) bool {
	if h.last == nil {
		for i := range h.list {
			l := &h.list[i]
			if l.tab == tab && (l.key == nil || key != nil && term.Equal(l.key, key)) && l.covers(kind, nodes) {
				return true
			}
		}
		return false
	}
	whole := heldLock{tab: tab}
	if h.indexed(whole.oid(), kind, nodes) {
		return true
	}
	whole.key = key
	return key != nil && h.indexed(whole.oid(), kind, nodes)
}

func (h *heldLocks) indexed(oid wsOID, kind lock.Kind, nodes []kit.NodeName) bool {
	for n := h.last[oid]; n != 0; n = h.list[n-1].prev {
		if h.list[n-1].covers(kind, nodes) {
			return true
		}
	}
	return false
}

func (l *heldLock) covers(kind lock.Kind, nodes []kit.NodeName) bool {
	return l.kind >= kind && containsAll(l.nodes, nodes)
}
