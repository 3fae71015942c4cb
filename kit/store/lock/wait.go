package lock

import "slices"

// waiter is a request in a queue (its transaction keeps what it holds), or standing aside with nothing.
type waiter struct {
	Request
	owner *Owner
	e     *entry
	aside bool
	rerun bool // it has stood aside and must run again
	place int  // in its heap; 0 is the first
	ended bool // it waits no more
}

// heap holds waiters; those that stand aside oldest first, the others youngest first.
type heap []*waiter

func before(a, b *waiter) bool {
	c := a.Tx.Compare(b.Tx)
	if c == 0 {
		return a.ID < b.ID
	}
	return c < 0 == a.aside
}

func (h *heap) first() *waiter {
	if len(*h) == 0 {
		return nil
	}
	return (*h)[0]
}

func (h *heap) push(w *waiter) {
	w.place = len(*h)
	*h = append(*h, w)
	h.up(w.place)
}

func (h *heap) remove(w *waiter) {
	ws := *h
	last := len(ws) - 1
	i := w.place
	ws[i] = ws[last]
	ws[i].place = i
	ws[last] = nil
	*h = ws[:last]
	if i < last {
		h.down(i)
		h.up(i)
	}
}

func (h heap) up(i int) {
	for i > 0 && before(h[i], h[(i-1)/2]) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h heap) down(i int) {
	for {
		least := i
		for _, c := range [2]int{2*i + 1, 2*i + 2} {
			if c < len(h) && before(h[c], h[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

func (h heap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (w *waiter) line() *heap {
	if w.aside {
		return &w.e.aside[w.Kind]
	}
	return &w.e.queue[w.Kind]
}

// first gives the one of two that comes first; either may be nil.
func first(a, b *waiter) *waiter {
	if a == nil || b != nil && before(b, a) {
		return b
	}
	return a
}

// wait puts a request in line.
func (l *Locks) wait(o *Owner, e *entry, r Request, aside bool) {
	var w *waiter
	if n := len(l.idle.waiters); n > 0 {
		w = l.idle.waiters[n-1]
		l.idle.waiters = l.idle.waiters[:n-1]
	} else {
		w = &waiter{}
	}
	*w = waiter{Request: r, owner: o, e: e, aside: aside, rerun: aside}
	w.line().push(w)
	e.table.waiting++
	o.at = append(o.at, place{e, w})
}

// leave takes a waiter out of its line.
func (l *Locks) leave(w *waiter) {
	w.line().remove(w)
	w.e.table.waiting--
	w.ended = true
	l.done = append(l.done, w)
}

// queue moves a waiter that stands aside into the queue.
func (w *waiter) queue() {
	w.line().remove(w)
	w.aside = false
	w.line().push(w)
}

// grant gives a waiter what it waits for.
func (l *Locks) grant(w *waiter) {
	o := w.owner
	i := slices.IndexFunc(o.at, func(p place) bool { return p.w == w })
	if w.e.has(o, Read) {
		o.at = slices.Delete(o.at, i, i+1) // a writer keeps the read lock it had
	} else {
		o.at[i].w = nil
	}
	w.e.take(o, w.Kind)
	l.leave(w)
	l.events = append(l.events, Event{Request: w.Request, Answer: Granted, Rerun: w.rerun})
}

// refuse makes a waiter in a queue stand aside: an older one has come to hold what it waits for.
func (l *Locks) refuse(w *waiter) {
	l.events = append(l.events, Event{Request: w.Request, Answer: Refused})
	e := w.e
	l.look(e) // kept from here until it waits there again
	l.release(w.owner)
	l.wait(w.owner, e, w.Request, true)
}

// decide is mnesia_locker's can_lock: a conflict with an older holder refuses, one with a younger queues. Without
// conflict a request also respects those that queue, unless it is queued itself. o is the asker; it may be nil.
func (e *entry) decide(r Request, o *Owner, queued bool) Answer {
	ans := e.meet(r, o, Granted)
	t := e.table
	switch {
	case e.key != nil && len(t.whole.holders) > 0:
		ans = t.whole.meet(r, o, ans)
	case e.key == nil:
		for x := t.first; x != nil; x = x.next {
			if ans = x.meet(r, o, ans); ans == Refused {
				break
			}
		}
	}
	if queued || ans != Granted {
		return ans
	}
	// a reader of a record must not overtake a queued writer of it, and nobody overtakes one that waits for the
	// whole table
	if r.Kind == Read && e.key != nil {
		ans = e.respect(r, ans)
	}
	return t.whole.respect(r, ans)
}

// meet looks at the holders of an entry; ans is what is known already.
func (e *entry) meet(r Request, o *Owner, ans Answer) Answer {
	if ans == Refused || r.Kind == Read && e.writers == 0 {
		return ans
	}
	for i := range e.holders {
		h := &e.holders[i]
		switch {
		case h.owner == o || r.Kind == Read && h.kind == Read:
		case r.Tx.Compare(h.owner.tx) >= 0:
			return Refused
		default:
			ans = Queued
		}
	}
	return ans
}

// respect looks at the youngest other one in an entry's queue.
func (e *entry) respect(r Request, ans Answer) Answer {
	w := first(e.queue[Read].first(), e.queue[Write].first())
	switch {
	case w == nil || ans == Refused:
	case w.Tx == r.Tx:
		w = nil // it asks twice: the next one counts
		for _, line := range e.queue {
			for _, x := range line {
				if x.Tx != r.Tx {
					w = first(w, x)
				}
			}
		}
	}
	switch {
	case w == nil || ans == Refused:
		return ans
	case r.Tx.Compare(w.Tx) >= 0:
		return Refused
	}
	return Queued
}

// serve looks again at those who wait for an entry where something was released.
func (l *Locks) serve(e *entry) {
	switch {
	case e.table == nil || e.table.waiting == 0:
	case e.key == nil || e.table.crowded():
		l.serveTable(e)
	case e.waiting() > 0:
		l.serveQueue(e)
		l.serveAside(e)
	}
}

// serveQueue serves the queue of a record in whose table nobody holds or wants the whole. When one must go on waiting for
// younger ones, so must all after it, which are older still: mnesia_locker:try_waiters_obj/1 stops there, and readers
// do not pass a waiting writer.
func (l *Locks) serveQueue(e *entry) {
	for e.writers == 0 {
		w := first(e.queue[Read].first(), e.queue[Write].first())
		if w == nil {
			return
		}
		switch e.meet(w.Request, w.owner, Granted) {
		case Granted:
			l.grant(w)
		case Queued:
			return
		case Refused:
			l.refuse(w)
		}
	}
}

// serveAside serves those that stand aside for a record in whose table nobody holds or wants the whole. Whoever finds
// only younger ones before it joins the queue.
func (l *Locks) serveAside(e *entry) {
	var stop [2]bool
	for !stop[Read] || !stop[Write] {
		var of [2]*waiter
		for k := range of {
			if !stop[k] {
				of[k] = e.aside[k].first()
			}
		}
		w := first(of[Read], of[Write])
		if w == nil {
			return
		}
		switch e.decide(w.Request, w.owner, false) {
		case Granted:
			l.grant(w)
		case Queued:
			w.queue()
		case Refused:
			stop[w.Kind] = true // and the others of its kind are younger
		}
	}
}

// serveTable looks at all who may have waited for an entry, also because of the whole table: the queue first (youngest
// first), then those that stand aside (oldest first). Of the queue nobody is looked at behind one that must go on waiting:
// where a record was released all, where the table was those that want the same, as mnesia_locker:try_waiters_tab/1.
func (l *Locks) serveTable(e *entry) {
	var ws []*waiter
	add := func(e *entry) {
		for k := range e.queue {
			ws = append(append(ws, e.queue[k]...), e.aside[k]...)
		}
	}
	add(&e.table.whole)
	if e.key != nil {
		add(e)
	} else {
		for x := e.table.first; x != nil; x = x.next {
			add(x)
		}
	}
	slices.SortFunc(ws, func(a, b *waiter) int {
		switch {
		case a.aside != b.aside && a.aside, a.aside == b.aside && before(b, a):
			return 1
		}
		return -1
	})
	var stuck []*entry
	for _, w := range ws {
		if w.ended || !w.aside && slices.ContainsFunc(stuck, func(s *entry) bool { return e.key != nil || s.key == nil || s == w.e }) {
			continue
		}
		switch w.e.decide(w.Request, w.owner, !w.aside) {
		case Granted:
			l.grant(w)
		case Queued:
			if w.aside {
				w.queue()
			} else {
				stuck = append(stuck, w.e)
			}
		case Refused:
			if !w.aside {
				l.refuse(w)
			}
		}
	}
}
