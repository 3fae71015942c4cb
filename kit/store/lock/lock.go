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
//
// What a request or a release costs does not grow with the number of those that wait for a record: they wait in
// heaps, and a release looks only at the first of each. Locks on whole tables are for the few: while somebody holds
// or wants one, a release looks at everybody who waits in the table.
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

// The answers. After Refused the transaction holds nothing here and stands aside for the lock; Release ends that.
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

// Locks is the lock table of one node.
type Locks struct {
	tables map[string]*table
	owners Owner         // the ring of those that hold or want something begins and ends here
	named  map[Tx]*Owner // of them, those that are known by their names only
	events []Event       // of the call in progress

	idle struct { // memory to use again
		owners  []*Owner
		entries []*entry
		waiters []*waiter
	}
	left []*entry  // those that the call in progress may have left empty
	done []*waiter // those whose waiting has ended in the call in progress
}

// maxIdle bounds what is kept to be used again, of each kind, and the tables that nobody uses.
const maxIdle = 1024

// New makes an empty lock table.
func New() *Locks {
	l := &Locks{tables: map[string]*table{}, named: map[Tx]*Owner{}}
	l.owners.next, l.owners.prev = &l.owners, &l.owners
	return l
}

// Ask asks for a lock. When the answer is Refused, the locks that the transaction held here are released, and
// the events tell who got them. The events are valid until the next call.
func (l *Locks) Ask(r Request) (Answer, []Event) {
	o := l.named[r.Tx]
	if o == nil {
		o = l.owner()
		l.named[r.Tx] = o
	}
	return l.AskAs(o, r)
}

// AskAs is Ask for a transaction whose Owner the caller keeps: always this one, so that nobody has to look for it.
func (l *Locks) AskAs(o *Owner, r Request) (Answer, []Event) {
	l.events = l.events[:0]
	if o.in != l {
		l.enter(o, r.Tx)
	}
	ans := l.ask(o, r)
	if len(l.left)+len(l.done) > 0 {
		l.tidy()
	}
	return ans, l.events
}

func (l *Locks) ask(o *Owner, r Request) Answer {
	e := l.entry(r.Item)
	if e.has(o, r.Kind) {
		return Granted
	}
	ans := e.decide(r, o, false)
	if ans == Refused {
		l.release(o)
	}
	if ans == Granted {
		if !e.has(o, Read) {
			o.at = append(o.at, place{e: e})
		}
		e.take(o, r.Kind)
		return Granted
	}
	l.wait(o, e, r, ans == Refused)
	return ans
}

// Release takes everything from a transaction, what it holds and what it waits for. The events tell who got it; they
// are valid until the next call.
func (l *Locks) Release(tx Tx) []Event {
	o := l.named[tx]
	if o == nil {
		return nil
	}
	delete(l.named, tx)
	evs := l.ReleaseAs(o)
	if len(l.idle.owners) < maxIdle {
		l.idle.owners = append(l.idle.owners, o)
	}
	return evs
}

// ReleaseAs is Release for a transaction whose Owner the caller keeps. The Owner may serve another one then.
func (l *Locks) ReleaseAs(o *Owner) []Event {
	l.events = l.events[:0]
	if o.in != l {
		return nil
	}
	l.release(o)
	o.leave()
	l.tidy()
	return l.events
}

// release takes everything from an owner and serves those that waited for it.
func (l *Locks) release(o *Owner) {
	for _, p := range o.at {
		if p.w != nil {
			l.leave(p.w)
		} else {
			p.e.drop(o)
		}
		l.look(p.e)
	}
	for _, p := range o.at { // nobody adds to it meanwhile: the owner waits for nothing
		l.serve(p.e)
	}
	clear(o.at)
	o.at = o.at[:0]
}

// Transactions lists those that hold or want something, oldest first.
func (l *Locks) Transactions() []Tx {
	var txs []Tx
	for _, o := range l.sorted() {
		txs = append(txs, o.tx)
	}
	return txs
}

// sorted lists the owners, oldest first.
func (l *Locks) sorted() []*Owner {
	var os []*Owner
	for o := l.owners.next; o != &l.owners; o = o.next {
		os = append(os, o)
	}
	slices.SortFunc(os, func(a, b *Owner) int { return a.tx.Compare(b.tx) })
	return os
}

// Lock is one line of what is held or queued.
type Lock struct {
	Tx   Tx
	Item Item
	Kind Kind
}

// Held lists the locks held, oldest transaction first.
func (l *Locks) Held() []Lock {
	var out []Lock
	for _, o := range l.sorted() {
		for _, p := range o.at {
			if p.w != nil {
				continue
			}
			for _, h := range p.e.holders {
				if h.owner == o {
					out = append(out, Lock{o.tx, p.e.item(), h.kind})
				}
			}
		}
	}
	return out
}

// Queue lists the requests that wait in a queue. Those that stand aside are not in it.
func (l *Locks) Queue() []Lock {
	var out []Lock
	for _, o := range l.sorted() {
		for _, p := range o.at {
			if p.w != nil && !p.w.aside {
				out = append(out, Lock{o.tx, p.e.item(), p.w.Kind})
			}
		}
	}
	return out
}
