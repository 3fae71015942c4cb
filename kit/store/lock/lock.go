// Package lock decides who may lock what on one node. It is a pure state machine: requests and releases go in,
// grants come out; who carries them to the askers is the store's business.
//
// The rules are those of Mnesia's mnesia_locker. Every transaction has an age. One that asks for a lock which a
// younger one holds waits in a queue; one that meets an older holder is refused and must start again, so no
// cycle of waiting can form. Waiters are served youngest first.
//
// Where Mnesia lets a refused transaction sleep for a random time and try again, here it stands aside: it loses
// all its locks, holds nothing, and is granted the lock it wanted as soon as that is free, oldest first. Then it
// runs again. Since it waits with empty hands it cannot be part of a cycle either.
package lock

import (
	"cmp"
	"fmt"
	"slices"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Tx names a transaction and gives its age: the smaller Time is older, equal ones go by node. Times are unique
// on a node.
type Tx struct {
	Time uint64
	Node kit.NodeName
}

// Compare is negative when a is older than b.
func (a Tx) Compare(b Tx) int {
	if c := cmp.Compare(a.Time, b.Time); c != 0 {
		return c
	}
	return cmp.Compare(a.Node, b.Node)
}

// String gives "12@a".
func (a Tx) String() string { return fmt.Sprintf("%d@%s", a.Time, a.Node) }

// Kind is the kind of a lock.
type Kind uint8

// The kinds. Readers share; a writer is alone.
const (
	Read Kind = iota
	Write
)

// String gives read or write.
func (k Kind) String() string {
	if k == Write {
		return "write"
	}
	return "read"
}

// Item is what is locked: a record, or a whole table when Key is nil.
type Item struct {
	Table string
	Key   term.Term
}

// Request asks for a lock. ID is the asker's own number for it and comes back with the grant.
type Request struct {
	Tx   Tx
	Item Item
	Kind Kind
	ID   uint64
}

// Answer is what Ask says.
type Answer uint8

// The answers. After Refused the transaction holds nothing here and stands aside for the lock; Abandon ends that.
const (
	Granted Answer = iota
	Queued
	Refused
)

// Event tells what became of a request that waited.
type Event struct {
	Request
	Answer Answer // Granted or Refused
	Rerun  bool   // granted to a transaction that had been refused: it must run again, from its beginning
}

// waiter is a request in a queue (its transaction keeps what it holds), or standing aside with nothing.
type waiter struct {
	Request
	aside bool
	rerun bool // it has stood aside and must run again
}

// item is the state of one lockable thing.
type item struct {
	holders []holder // in the order of the grants
	waiters []waiter // in the order of asking
}

type holder struct {
	tx   Tx
	kind Kind
}

type table struct {
	whole item
	items map[any]*entry
}

type entry struct {
	item
	key term.Term
}

// Locks is the lock table of one node.
type Locks struct {
	tables map[string]*table
	held   map[Tx][]Item // what each transaction holds or waits for, each item once
}

// New makes an empty lock table.
func New() *Locks {
	return &Locks{tables: map[string]*table{}, held: map[Tx][]Item{}}
}

// Ask asks for a lock. When the answer is Refused, the locks that the transaction held here are released, and
// the events tell who got them.
func (l *Locks) Ask(r Request) (Answer, []Event) {
	it := l.make(r.Item)
	if it.has(r.Tx, r.Kind) {
		return Granted, nil
	}
	switch ans := l.decide(r, false); ans {
	case Granted:
		l.grant(r)
		return Granted, nil
	case Queued:
		it.waiters = append(it.waiters, waiter{Request: r})
		l.note(r.Tx, r.Item)
		return Queued, nil
	}
	evs := l.Release(r.Tx)
	it = l.make(r.Item)
	it.waiters = append(it.waiters, waiter{Request: r, aside: true, rerun: true})
	l.note(r.Tx, r.Item)
	return Refused, evs
}

// Release takes everything from a transaction, what it holds and what it waits for.
func (l *Locks) Release(tx Tx) []Event {
	items := l.held[tx]
	if items == nil {
		return nil
	}
	delete(l.held, tx)
	crowd := false
	for _, i := range items {
		t := l.tables[i.Table]
		it := l.find(i)
		it.holders = slices.DeleteFunc(it.holders, func(h holder) bool { return h.tx == tx })
		it.waiters = slices.DeleteFunc(it.waiters, func(w waiter) bool { return w.Tx == tx })
		crowd = crowd || len(it.waiters) > 0 || len(t.whole.waiters) > 0 || i.Key == nil
	}
	var evs []Event
	if crowd {
		for _, i := range items {
			evs = l.serve(i, evs)
		}
	}
	for _, i := range items {
		l.tidy(i)
	}
	return evs
}

// Transactions lists those that hold or want something, oldest first.
func (l *Locks) Transactions() []Tx {
	txs := make([]Tx, 0, len(l.held))
	for tx := range l.held {
		txs = append(txs, tx)
	}
	slices.SortFunc(txs, Tx.Compare)
	return txs
}

// Lock is one line of what is held or queued.
type Lock struct {
	Tx   Tx
	Item Item
	Kind Kind
}

// Held lists the locks held, oldest transaction first.
func (l *Locks) Held() []Lock {
	return l.list(func(it *item, i Item, add func(Lock)) {
		for _, h := range it.holders {
			add(Lock{h.tx, i, h.kind})
		}
	})
}

// Queue lists the requests that wait in a queue. Those that stand aside are not in it.
func (l *Locks) Queue() []Lock {
	return l.list(func(it *item, i Item, add func(Lock)) {
		for _, w := range it.waiters {
			if !w.aside {
				add(Lock{w.Tx, i, w.Kind})
			}
		}
	})
}

func (l *Locks) list(visit func(it *item, i Item, add func(Lock))) []Lock {
	var out []Lock
	for _, tx := range l.Transactions() {
		for _, i := range l.held[tx] {
			visit(l.find(i), i, func(k Lock) {
				if k.Tx == tx {
					out = append(out, k)
				}
			})
		}
	}
	return out
}

func (l *Locks) find(i Item) *item {
	t := l.tables[i.Table]
	if t == nil {
		return nil
	}
	if i.Key == nil {
		return &t.whole
	}
	if e := t.items[term.Key(i.Key)]; e != nil {
		return &e.item
	}
	return nil
}

func (l *Locks) make(i Item) *item {
	t := l.tables[i.Table]
	if t == nil {
		t = &table{items: map[any]*entry{}}
		l.tables[i.Table] = t
	}
	if i.Key == nil {
		return &t.whole
	}
	k := term.Key(i.Key)
	e := t.items[k]
	if e == nil {
		e = &entry{key: i.Key}
		t.items[k] = e
	}
	return &e.item
}

// tidy forgets an item that nobody holds or wants.
func (l *Locks) tidy(i Item) {
	t := l.tables[i.Table]
	if t == nil {
		return
	}
	if i.Key != nil {
		k := term.Key(i.Key)
		if e := t.items[k]; e != nil && len(e.holders) == 0 && len(e.waiters) == 0 {
			delete(t.items, k)
		}
	}
}

// note remembers that a transaction holds or wants an item.
func (l *Locks) note(tx Tx, i Item) {
	items := l.held[tx]
	for _, h := range items {
		if h.Table == i.Table && same(h.Key, i.Key) {
			return
		}
	}
	l.held[tx] = append(items, i)
}

func same(a, b term.Term) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return term.Equal(a, b)
}

func (l *Locks) grant(r Request) {
	it := l.make(r.Item)
	if slices.ContainsFunc(it.holders, func(h holder) bool { return h.tx == r.Tx }) {
		it.holders = append(it.holders, holder{r.Tx, r.Kind}) // a writer keeps the read lock it had
		return
	}
	waited := slices.ContainsFunc(it.waiters, func(w waiter) bool { return w.Tx == r.Tx })
	it.holders = append(it.holders, holder{r.Tx, r.Kind})
	if !waited {
		l.held[r.Tx] = append(l.held[r.Tx], r.Item)
	}
}

// has reports whether tx holds the item in at least that kind.
func (it *item) has(tx Tx, k Kind) bool {
	for _, h := range it.holders {
		if h.tx == tx && h.kind >= k {
			return true
		}
	}
	return false
}

// decide is mnesia_locker's can_lock: a conflict with an older holder refuses, one with a younger queues.
// Without conflict a request also respects those that queue, unless it is queued itself.
func (l *Locks) decide(r Request, queued bool) Answer {
	t := l.tables[r.Item.Table]
	ans := Granted
	meet := func(hs []holder) bool {
		for _, h := range hs {
			if h.tx == r.Tx || r.Kind == Read && h.kind == Read {
				continue
			}
			if r.Tx.Compare(h.tx) >= 0 {
				return false
			}
			ans = Queued
		}
		return true
	}
	if !meet(t.whole.holders) {
		return Refused
	}
	if r.Item.Key != nil {
		if e := t.items[term.Key(r.Item.Key)]; e != nil && !meet(e.holders) {
			return Refused
		}
	} else {
		for _, e := range t.items {
			if !meet(e.holders) {
				return Refused
			}
		}
	}
	if queued || ans == Queued {
		return ans
	}
	return l.respect(t, r)
}

// respect looks at those that wait already: a reader of a record must not overtake a queued writer of it, and
// nobody overtakes one that waits for the whole table.
func (l *Locks) respect(t *table, r Request) Answer {
	ans := Granted
	if r.Kind == Read && r.Item.Key != nil {
		if e := t.items[term.Key(r.Item.Key)]; e != nil {
			if w, ok := youngest(e.waiters, r.Tx); ok {
				if r.Tx.Compare(w) >= 0 {
					return Refused
				}
				ans = Queued
			}
		}
	}
	if w, ok := youngest(t.whole.waiters, r.Tx); ok {
		if r.Tx.Compare(w) >= 0 {
			return Refused
		}
		ans = Queued
	}
	return ans
}

// youngest finds the youngest other transaction in a queue.
func youngest(ws []waiter, not Tx) (Tx, bool) {
	var best Tx
	found := false
	for _, w := range ws {
		if !w.aside && w.Tx != not && (!found || w.Tx.Compare(best) > 0) {
			best, found = w.Tx, true
		}
	}
	return best, found
}

// serve looks again at those who wait for an item that was released, the queue first (youngest first), then
// those that stand aside (oldest first). Behind one that must go on waiting nobody else in the queue for the same
// item is looked at, as in mnesia_locker:try_waiters_obj/1 and try_waiters_tab/1: else readers could pass a waiting
// writer for ever.
func (l *Locks) serve(i Item, evs []Event) []Event {
	t := l.tables[i.Table]
	if t == nil {
		return evs
	}
	ws := slices.Clone(t.whole.waiters)
	if i.Key != nil {
		if e := t.items[term.Key(i.Key)]; e != nil {
			ws = append(ws, e.waiters...)
		}
	} else {
		for _, e := range t.items {
			ws = append(ws, e.waiters...)
		}
	}
	slices.SortFunc(ws, func(a, b waiter) int {
		switch {
		case a.aside != b.aside && a.aside:
			return 1
		case a.aside != b.aside:
			return -1
		case a.aside:
			return a.Tx.Compare(b.Tx)
		}
		return b.Tx.Compare(a.Tx)
	})
	var stuck []Item // what those of the queue that must go on waiting want
	all := false     // nobody else of the queue is looked at
	for _, w := range ws {
		passed := func(i Item) bool { return i.Key != nil && w.Item.Key != nil && term.Equal(i.Key, w.Item.Key) }
		if !w.aside && (all || slices.ContainsFunc(stuck, passed)) {
			continue
		}
		evs = l.retry(w, evs)
		if !w.aside && l.queued(w) {
			stuck, all = append(stuck, w.Item), all || i.Key != nil || w.Item.Key == nil
		}
	}
	return evs
}

// queued reports whether a request waits in a queue still.
func (l *Locks) queued(w waiter) bool {
	it := l.find(w.Item)
	return it != nil && slices.ContainsFunc(it.waiters, func(x waiter) bool { return x.Tx == w.Tx && x.ID == w.ID && !x.aside })
}

// retry decides again about one waiter.
func (l *Locks) retry(w waiter, evs []Event) []Event {
	it := l.find(w.Item)
	at := slices.IndexFunc(it.waiters, func(x waiter) bool { return x.Tx == w.Tx && x.ID == w.ID })
	if at < 0 {
		return evs
	}
	switch l.decide(w.Request, !w.aside) {
	case Granted:
		l.grant(w.Request)
		it.waiters = slices.Delete(it.waiters, at, at+1)
		return append(evs, Event{Request: w.Request, Answer: Granted, Rerun: w.rerun})
	case Queued:
		it.waiters[at].aside = false // only younger ones are before it now
	case Refused:
		if !w.aside {
			// an older one came to hold what this one waits for: it stands aside from now on
			held := l.Release(w.Tx)
			it = l.make(w.Item)
			it.waiters = append(it.waiters, waiter{Request: w.Request, aside: true, rerun: true})
			l.note(w.Tx, w.Item)
			return append(append(evs, Event{Request: w.Request, Answer: Refused}), held...)
		}
	}
	return evs
}
