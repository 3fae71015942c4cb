package store

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// hub hands events to subscribers. Nobody waits for a subscriber: its mailbox is bounded, and what does not fit
// is counted.
type hub struct {
	mu       sync.Mutex
	opened   time.Time
	watch    func(Event) // told of system events; may be nil
	subs     []*Subscription
	boot     []Event      // system events since boot or since last asked, whoever subscribed
	watching atomic.Int32 // table and activity subscriptions there are
}

// Subscription is one subscriber's mailbox.
type Subscription struct {
	hub    *hub
	store  *Store
	to     []SubscribeTo
	wake   chan struct{}
	queue  []Event
	bytes  int // of the rows in queue, about
	lost   int
	closed bool
}

// NewSubscription makes a mailbox that is subscribed to nothing yet. It lives until Close, also over stops of the
// store, which end what it is subscribed to.
func (s *Store) NewSubscription() *Subscription {
	sub := &Subscription{hub: &s.hub, store: s, wake: make(chan struct{}, 1)}
	s.hub.mu.Lock()
	s.hub.subs = append(s.hub.subs, sub)
	s.hub.mu.Unlock()
	return sub
}

// Subscribe adds a subscription, as mnesia:subscribe/1. It gives the own node's name.
func (sub *Subscription) Subscribe(to SubscribeTo) (kit.NodeName, error) {
	s := sub.store
	v := s.view.Load()
	if v == nil {
		return "", failed("node_not_running", node(s.self))
	}
	switch to.What {
	case "system", "activity":
	case "table":
		t := v.tables[to.Table]
		switch {
		case t == nil:
			return "", failed("no_exists", term.Atom(to.Table))
		case t.data == nil && to.Table != "schema":
			return "", failed("not_active_local", term.Atom(to.Table))
		}
	default:
		return "", failed("badarg", to.term())
	}
	h := sub.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range sub.to {
		if t == to {
			return "", failed("already_exists", to.term())
		}
		if to.What == "table" && t.What == "table" && t.Table == to.Table {
			return "", failed("already_exists", to.term())
		}
	}
	sub.to = append(sub.to, to)
	h.recount()
	return s.self, nil
}

// Unsubscribe ends a subscription.
func (sub *Subscription) Unsubscribe(to SubscribeTo) (kit.NodeName, error) {
	if sub.store.view.Load() == nil {
		return "", failed("node_not_running", node(sub.store.self))
	}
	if to.What == "table" && sub.store.table(to.Table) == nil {
		return "", failed("badarg")
	}
	h := sub.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	sub.to = slices.DeleteFunc(sub.to, func(t SubscribeTo) bool { return t == to })
	h.recount()
	return sub.store.self, nil
}

func (to SubscribeTo) term() term.Term {
	if to.What != "table" {
		return term.Atom(to.What)
	}
	d := term.Atom("simple")
	if to.Detailed {
		d = "detailed"
	}
	return term.T(term.Atom("table"), term.Atom(to.Table), d)
}

// Close ends the mailbox.
func (sub *Subscription) Close() {
	h := sub.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	sub.closed, sub.to = true, nil
	h.subs = slices.DeleteFunc(h.subs, func(x *Subscription) bool { return x == sub })
	h.recount()
}

// recount counts the subscriptions that cost something on every write. Callers hold mu.
func (h *hub) recount() {
	n := 0
	for _, sub := range h.subs {
		for _, to := range sub.to {
			if to.What != "system" {
				n++
			}
		}
	}
	h.watching.Store(int32(n))
}

// Drain gives the events that have come, oldest first, and how many were lost because the mailbox was full.
func (sub *Subscription) Drain() (events []Event, lost int) {
	h := sub.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	events, lost = sub.queue, sub.lost
	sub.queue, sub.lost, sub.bytes = nil, 0, 0
	return events, lost
}

// Wake receives after events came; one value may stand for many events. It is never closed.
func (sub *Subscription) Wake() <-chan struct{} { return sub.wake }

func (sub *Subscription) push(e Event) {
	if len(sub.queue) >= EventBacklog || sub.bytes >= EventBytes {
		sub.lost++
		return
	}
	if e.What != nil {
		sub.bytes += weight(e.What)
	}
	for _, r := range e.Old {
		sub.bytes += weights(r)
	}
	sub.queue = append(sub.queue, e)
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

// BootEvents gives the system events since the store was opened or since last asked, whoever subscribed.
func (s *Store) BootEvents() []Event {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	evs := s.hub.boot
	s.hub.boot = nil
	return evs
}

// system reports a system event.
func (h *hub) system(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.At = time.Since(h.opened)
	if len(h.boot) >= EventBacklog {
		h.boot = slices.Delete(h.boot, 0, 1)
	}
	h.boot = append(h.boot, e)
	if h.watch != nil {
		h.watch(e)
	}
	for _, sub := range h.subs {
		if sub.wants(SubscribeTo{What: "system"}) {
			sub.push(e)
		}
	}
}

func (sub *Subscription) wants(to SubscribeTo) bool { return slices.Contains(sub.to, to) }

// activity reports that a transaction that wrote something has completed.
func (h *hub) activity() {
	if h.watching.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := Event{Kind: "complete", By: "transaction", At: time.Since(h.opened)}
	for _, sub := range h.subs {
		if sub.wants(SubscribeTo{What: "activity"}) {
			sub.push(e)
		}
	}
}

// table reports a change of a table's row. what is the record, or the key for deletes by key.
func (h *hub) table(tab, kind string, what term.Term, old []term.Tuple, by string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, sub := range h.subs {
		for _, to := range sub.to {
			if to.What != "table" || to.Table != tab {
				continue
			}
			e := Event{Kind: kind, Table: tab, What: what, By: by, Detailed: to.Detailed, At: time.Since(h.opened)}
			if to.Detailed {
				e.Old = old
				switch kind {
				case "delete":
					e.What = term.T(term.Atom(tab), what)
				case "delete_object":
					e.Kind = "delete"
					row, _ := what.(term.Tuple)
					e.Old = []term.Tuple{row} // whether it was there or not
				}
			}
			sub.push(e)
		}
	}
}

// schema reports a change of a table's definition to those who subscribe to the table schema.
func (h *hub) schema(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.At = time.Since(h.opened)
	for _, sub := range h.subs {
		for _, to := range sub.to {
			if to.What == "table" && to.Table == "schema" {
				e.Detailed = to.Detailed
				sub.push(e)
			}
		}
	}
}

// endTable ends the subscriptions to a table whose copy has gone.
func (h *hub) endTable(tab string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, sub := range h.subs {
		sub.to = slices.DeleteFunc(sub.to, func(t SubscribeTo) bool { return t.What == "table" && t.Table == tab })
	}
	h.recount()
}

// endAll ends all subscriptions, when the store stops.
func (h *hub) endAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, sub := range h.subs {
		sub.to = nil
	}
	h.recount()
}

// systemSubscribers counts the subscribers to system events, the store's own handler of them among these.
func (h *hub) systemSubscribers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 1
	for _, sub := range h.subs {
		if sub.wants(SubscribeTo{What: "system"}) {
			n++
		}
	}
	return n
}

// subscribers counts the subscribers of a table.
func (h *hub) subscribers(tab string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, sub := range h.subs {
		for _, to := range sub.to {
			if to.What == "table" && to.Table == tab {
				n++
			}
		}
	}
	return n
}
