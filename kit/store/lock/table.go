package lock

import (
	"slices"

	"netsplit/kit/term"
)

// owner is a transaction with what it holds and waits for, in the order in which it came to it.
type owner struct {
	tx   Tx
	at   []place
	room [4]place
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
	items   map[any]*entry
	waiting int // requests that wait for one of its items
}

// crowded reports whether somebody holds or wants the whole table.
func (t *table) crowded() bool { return len(t.whole.holders) > 0 || t.whole.waiting() > 0 }

// entry is one thing that is locked or wanted: a record, or a whole table when key is nil.
type entry struct {
	table   *table
	key     term.Term
	hash    any // the key as a key of table.items
	looked  bool
	holders []holder // in the order of the grants; one that had a read lock and writes has two
	writers int      // of the holders, those that write
	queue   lines    // these keep what they hold; youngest first
	aside   lines    // these have nothing; oldest first
	room    [2]holder
}

type holder struct {
	owner *owner
	kind  Kind
}

// lines are the requests that wait, by kind.
type lines [2]heap

func (e *entry) item() Item { return Item{Table: e.table.name, Key: e.key} }

func (e *entry) waiting() int {
	return len(e.queue[Read]) + len(e.queue[Write]) + len(e.aside[Read]) + len(e.aside[Write])
}

// has reports whether a transaction holds the item in at least that kind.
func (e *entry) has(o *owner, k Kind) bool {
	for i := range e.holders {
		if e.holders[i].owner == o && e.holders[i].kind >= k {
			return true
		}
	}
	return false
}

func (e *entry) take(o *owner, k Kind) {
	if e.holders == nil {
		e.holders = e.room[:0]
	}
	e.holders = append(e.holders, holder{o, k})
	e.writers += int(k)
}

// drop takes everything from a holder.
func (e *entry) drop(o *owner) {
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
	k := term.Key(i.Key)
	e := t.items[k]
	if e == nil {
		if n := len(l.idle.entries); n > 0 {
			e = l.idle.entries[n-1]
			l.idle.entries = l.idle.entries[:n-1]
		} else {
			e = &entry{}
		}
		e.table, e.key, e.hash = t, i.Key, k
		t.items[k] = e
	}
	return e
}

func (l *Locks) table(name string) *table {
	if len(l.tables) >= maxIdle {
		for n, t := range l.tables {
			if len(t.items) == 0 && !t.crowded() {
				delete(l.tables, n)
			}
		}
	}
	t := &table{name: name, items: map[any]*entry{}}
	t.whole.table = t
	l.tables[name] = t
	return t
}

func (l *Locks) owner(tx Tx) *owner {
	var o *owner
	if n := len(l.idle.owners); n > 0 {
		o = l.idle.owners[n-1]
		l.idle.owners = l.idle.owners[:n-1]
	} else {
		o = &owner{}
		o.at = o.room[:0]
	}
	o.tx = tx
	l.owners[tx] = o
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
		delete(e.table.items, e.hash)
		if len(l.idle.entries) < maxIdle && cap(e.holders) <= maxIdle {
			e.table, e.key, e.hash = nil, nil, nil
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
