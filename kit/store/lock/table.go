package lock

import (
	"slices"

	"netsplit/kit/term"
)

// Owner is a transaction with what it holds and waits for, in the order in which it came to it. The zero Owner is ready
// for use. It must not be copied, and serves one transaction at a time.
type Owner struct {
	tx         Tx
	in         *Locks // where it holds or wants something, or has; nil: nowhere
	next, prev *Owner // in the ring of in
	at         []place
	room       [4]place
}

// Idle reports whether it has had everything taken from it, so that no lock table knows it.
func (o *Owner) Idle() bool { return o.in == nil }

// enter takes an owner into the ring.
func (l *Locks) enter(o *Owner, tx Tx) {
	clear(o.at) // what it had in a lock table that is no more
	o.tx, o.in, o.at = tx, l, o.room[:0]
	o.next, o.prev = &l.owners, l.owners.prev
	o.prev.next, l.owners.prev = o, o
}

// leave takes an owner out of the ring.
func (o *Owner) leave() {
	o.prev.next, o.next.prev = o.next, o.prev
	o.in, o.next, o.prev = nil, nil, nil
}

// place is an entry where a transaction holds something or, with w, waits.
type place struct {
	e *entry
	w *waiter
}

// table is what is locked in one table.
type table struct {
	name    string
	whole   entry
	items   []*entry // by hash, those of one place linked by same; a power of two
	count   int      // of items
	first   *entry   // the items in the order in which they came, linked by next
	last    *entry
	waiting int // requests that wait for one of its items
}

// crowded reports whether somebody holds or wants the whole table.
func (t *table) crowded() bool { return len(t.whole.holders) > 0 || t.whole.waiting() > 0 }

// entry is one thing that is locked or wanted: a record, or a whole table when key is nil.
type entry struct {
	table   *table
	key     term.Term
	hash    uint64
	exact   bool // no other key has this hash
	looked  bool
	same    *entry // in table.items
	next    *entry // in the order of coming
	prev    *entry
	holders []holder // in the order of the grants; one that had a read lock and writes has two
	writers int      // of the holders, those that write
	queue   lines    // these keep what they hold; youngest first
	aside   lines    // these have nothing; oldest first
	room    [2]holder
}

type holder struct {
	owner *Owner
	kind  Kind
}

// lines are the requests that wait, by kind.
type lines [2]heap

func (e *entry) item() Item { return Item{Table: e.table.name, Key: e.key} }

func (e *entry) waiting() int {
	return len(e.queue[Read]) + len(e.queue[Write]) + len(e.aside[Read]) + len(e.aside[Write])
}

// has reports whether a transaction holds the item in at least that kind.
func (e *entry) has(o *Owner, k Kind) bool {
	for i := range e.holders {
		if e.holders[i].owner == o && e.holders[i].kind >= k {
			return true
		}
	}
	return false
}

func (e *entry) take(o *Owner, k Kind) {
	if e.holders == nil {
		e.holders = e.room[:0]
	}
	e.holders = append(e.holders, holder{o, k})
	e.writers += int(k)
}

// drop takes everything from a holder.
func (e *entry) drop(o *Owner) {
	if len(e.holders) == 1 && e.holders[0].owner == o {
		e.writers -= int(e.holders[0].kind)
		e.holders[0].owner = nil
		e.holders = e.holders[:0]
		return
	}
	e.holders = slices.DeleteFunc(e.holders, func(h holder) bool {
		if h.owner != o {
			return false
		}
		e.writers -= int(h.kind)
		return true
	})
}

// entry finds an item, or makes it.
func (l *Locks) entry(i Item) *entry {
	t := l.tables[i.Table]
	if t == nil {
		t = l.table(i.Table)
	}
	if i.Key == nil {
		return &t.whole
	}
	hash, exact := term.Hash(i.Key)
	for e := t.items[hash&uint64(len(t.items)-1)]; e != nil; e = e.same {
		if e.hash == hash && (exact && e.exact || term.Equal(e.key, i.Key)) {
			return e
		}
	}
	var e *entry
	if n := len(l.idle.entries); n > 0 {
		e = l.idle.entries[n-1]
		l.idle.entries = l.idle.entries[:n-1]
	} else {
		e = &entry{}
	}
	e.table, e.key, e.hash, e.exact = t, i.Key, hash, exact
	t.add(e)
	return e
}

// fewItems is the size of a table's hash table to begin with.
const fewItems = 8

// add takes an item into its table.
func (t *table) add(e *entry) {
	if t.count == len(t.items) {
		t.items = make([]*entry, 2*len(t.items))
		for x := t.first; x != nil; x = x.next {
			t.link(x)
		}
	}
	t.count++
	t.link(e)
	if e.prev = t.last; e.prev != nil {
		e.prev.next = e
	} else {
		t.first = e
	}
	t.last = e
}

func (t *table) link(e *entry) {
	at := &t.items[e.hash&uint64(len(t.items)-1)]
	e.same, *at = *at, e
}

// remove takes an item out of its table.
func (t *table) remove(e *entry) {
	at := &t.items[e.hash&uint64(len(t.items)-1)]
	for *at != e {
		at = &(*at).same
	}
	*at = e.same
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		t.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		t.last = e.prev
	}
	e.same, e.next, e.prev = nil, nil, nil
	if t.count--; t.count == 0 && len(t.items) > maxIdle {
		t.items = make([]*entry, fewItems)
	}
}

func (l *Locks) table(name string) *table {
	if len(l.tables) >= maxIdle {
		for n, t := range l.tables {
			if t.count == 0 && !t.crowded() {
				delete(l.tables, n)
			}
		}
	}
	t := &table{name: name, items: make([]*entry, fewItems)}
	t.whole.table = t
	l.tables[name] = t
	return t
}

// owner makes an owner for one that is known by its name.
func (l *Locks) owner() *Owner {
	n := len(l.idle.owners)
	if n == 0 {
		return &Owner{}
	}
	o := l.idle.owners[n-1]
	l.idle.owners = l.idle.owners[:n-1]
	return o
}

// look has an entry looked at in the end, whether anybody still holds or wants it.
func (l *Locks) look(e *entry) {
	if !e.looked && e.key != nil {
		e.looked = true
		l.left = append(l.left, e)
	}
}

// tidy ends a call: it forgets what nobody holds or wants.
func (l *Locks) tidy() {
	for _, e := range l.left {
		e.looked = false
		if len(e.holders) > 0 || e.waiting() > 0 {
			continue
		}
		e.table.remove(e)
		if len(l.idle.entries) < maxIdle && cap(e.holders) <= maxIdle {
			e.table, e.key = nil, nil
			l.idle.entries = append(l.idle.entries, e)
		}
	}
	clear(l.left)
	l.left = l.left[:0]
	for _, w := range l.done {
		if len(l.idle.waiters) < maxIdle {
			*w = waiter{}
			l.idle.waiters = append(l.idle.waiters, w)
		}
	}
	clear(l.done)
	l.done = l.done[:0]
}
