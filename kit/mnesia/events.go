package mnesia

import (
	"context"
	"encoding/json"
	"time"

	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// maxSubs bounds the subscribers of one node's door.
const maxSubs = 256

// subscriber names who subscribes: the first of two arguments, or the client itself.
func subscriber(req door.Request) (p string, what term.Term, err error) {
	if len(req.Args) == 1 {
		return req.Client, req.Args[0], nil
	}
	p, err = req.Atom(0)
	return p, req.Args[1], err
}

func (f *Face) subscribe(ctx context.Context, req door.Request) door.Outcome {
	p, what, err := subscriber(req)
	if err != nil {
		return door.FromError(err)
	}
	to, ok := subscriptionOf(what)
	if !ok {
		return door.ErrorWith("badarg", asTuple(what))
	}
	sub, out := f.mailbox(ctx, p)
	if sub == nil {
		return out
	}
	n, err := sub.Subscribe(to)
	return answered(term.Atom(n), err)
}

// mailbox finds a subscriber's mailbox, or makes it; it ends with the client.
func (f *Face) mailbox(ctx context.Context, p string) (*store.Subscription, door.Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if sub := f.subs[p]; sub != nil {
		return sub, door.Outcome{}
	}
	if f.closed || len(f.subs) >= maxSubs {
		return nil, door.ErrorWith("system_limit", term.Atom("subscribers"))
	}
	sub := f.store.NewSubscription()
	f.subs[p] = sub
	if session := door.SessionOf(ctx); session != nil {
		session.OnEnd(func() {
			f.mu.Lock()
			if f.subs[p] == sub {
				delete(f.subs, p)
			}
			f.mu.Unlock()
			sub.Close()
		})
	}
	return sub, door.Outcome{}
}

func (f *Face) unsubscribe(_ context.Context, req door.Request) door.Outcome {
	p, what, err := subscriber(req)
	if err != nil {
		return door.FromError(err)
	}
	to, ok := subscriptionOf(what)
	sub := f.subOf(p)
	if !ok || sub == nil {
		return door.ErrorWith("badarg", asTuple(what))
	}
	n, err := sub.Unsubscribe(to)
	return answered(term.Atom(n), err)
}

func (f *Face) subOf(p string) *store.Subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.subs[p]
}

// subscriptionOf reads system, activity, {table, T}, {table, T, Detail} or {"table":t,"detail":d}.
func subscriptionOf(what term.Term) (store.SubscribeTo, bool) {
	switch w := what.(type) {
	case term.Atom:
		return store.SubscribeTo{What: string(w)}, w == "system" || w == "activity"
	case term.Tuple:
		if len(w) < 2 || len(w) > 3 || !term.Equal(w[0], term.Atom("table")) {
			return store.SubscribeTo{}, false
		}
		detail := term.Term(term.Atom("simple"))
		if len(w) == 3 {
			detail = w[2]
		}
		return tableSubscription(w[1], detail)
	case term.Map:
		var table term.Term
		detail := term.Term(term.Atom("simple"))
		for _, p := range w {
			switch p.Key {
			case term.Atom("table"):
				table = p.Value
			case term.Atom("detail"):
				detail = p.Value
			}
		}
		return tableSubscription(table, detail)
	}
	return store.SubscribeTo{}, false
}

// asTuple writes the {"table":t,"detail":d} of a step as Mnesia takes it.
func asTuple(what term.Term) term.Term {
	m, ok := what.(term.Map)
	if !ok || m.Opt("table") == nil {
		return what
	}
	t := term.T(term.Atom("table"), m.Opt("table"))
	if d := m.Opt("detail"); d != nil {
		t = append(t, d)
	}
	return t
}

func tableSubscription(table, detail term.Term) (store.SubscribeTo, bool) {
	t, ok := table.(term.Atom)
	d, _ := detail.(term.Atom)
	return store.SubscribeTo{What: "table", Table: string(t), Detailed: d == "detailed"}, ok && (d == "simple" || d == "detailed")
}

// events empties a mailbox. With a time it waits that long for the first event.
func (f *Face) events(ctx context.Context, req door.Request) door.Outcome {
	p := req.Client
	if len(req.Args) > 0 {
		var err error
		if p, err = req.Atom(0); err != nil {
			return door.FromError(err)
		}
	}
	wait, err := waitOf(req, 1, 0)
	if err != nil {
		return door.FromError(err)
	}
	sub := f.subOf(p)
	if sub == nil {
		out := door.ErrorWith("not_subscribed", term.Atom(p))
		out.Hint = "subscribe first"
		return out
	}
	evs, lost := sub.Drain()
	if len(evs) == 0 && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-sub.Wake():
		case <-timer.C:
		case <-ctx.Done():
		}
		evs, lost = sub.Drain()
	}
	items := eventList(evs)
	if lost > 0 {
		items = append(items, object("event", term.Atom("events_lost"), "value", term.Int(lost)))
	}
	return door.OKJSON(jsList(items))
}

func (f *Face) bootEvents(context.Context, door.Request) door.Outcome {
	return door.OKJSON(jsList(eventList(f.store.BootEvents())))
}

func eventList(evs []store.Event) []json.RawMessage {
	var items []json.RawMessage
	for _, e := range evs {
		items = append(items, eventJSON(e))
	}
	return items
}

// eventJSON writes an event in the conformance format.
func eventJSON(e store.Event) json.RawMessage {
	kv := []any{"event", term.Atom(e.Kind)}
	add := func(k string, v any) { kv = append(kv, k, v) }
	if e.Node != "" {
		add("node", term.Atom(e.Node))
	}
	if e.Context != "" {
		add("context", term.Atom(e.Context))
	}
	if e.Value != nil {
		add("value", e.Value)
	}
	if e.Text != "" {
		add("text", prose(e.Text))
	}
	if e.By != "" {
		add("by", term.Atom(e.By))
	}
	tableEvent(e, add)
	return object(kv...)
}

// tableEvent adds what a change of a table tells, in the simple or the detailed form.
func tableEvent(e store.Event, add func(string, any)) {
	switch {
	case e.Kind == "schema_write" || e.Kind == "schema_delete":
		add("table", term.Atom(e.Table))
		switch {
		case e.Detailed:
			add("detailed", term.Atom("true"))
		case e.What != nil: // the definition goes by its name alone
		default:
			add("def", term.Atom("true"))
		}
	case e.Table == "":
	case e.Detailed:
		old := term.List{}
		for _, r := range e.Old {
			old = append(old, r)
		}
		add("table", term.Atom(e.Table))
		add("what", e.What)
		add("old", old)
	case e.Kind == "delete":
		add("table", term.Atom(e.Table))
		add("key", e.What)
	default:
		add("record", e.What)
	}
}

// prose is text that stands as a JSON string, not as an atom.
type prose string

// object writes a JSON object from names and values.
func object(kv ...any) json.RawMessage {
	b := []byte{'{'}
	for i := 0; i+1 < len(kv); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := json.Marshal(kv[i]) // a string always encodes
		b = append(append(b, name...), ':')
		switch v := kv[i+1].(type) {
		case prose:
			text, _ := json.Marshal(string(v))
			b = append(b, text...)
		case term.Term:
			b = append(b, js(v)...)
		}
	}
	return append(b, '}')
}
