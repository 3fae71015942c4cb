// Package mnesia is the store's face with Mnesia's names: verbs for a node's door and operations for its
// transactions, with answers in the form of the conformance traces.
package mnesia

import (
	"context"
	"slices"
	"sync"

	"netsplit/kit/door"
	"netsplit/kit/store"
)

// Face serves one store.
type Face struct {
	store *store.Store
	ctx   context.Context
	stop  context.CancelFunc
	tasks sync.WaitGroup
	verbs []verb

	mu     sync.Mutex
	txs    []*txSession
	subs   map[string]*store.Subscription
	closed bool

	coming    []byte // a file that is being put
	comingFor string // its name
}

// verb is a door's verb; schema marks those that change the schema, which a transaction refuses.
type verb struct {
	door.Verb
	schema bool
}

// New makes the face of a store. Close ends what its clients left open.
func New(s *store.Store) *Face {
	f := &Face{store: s, subs: map[string]*store.Subscription{}}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.verbs = slices.Concat(f.list(), f.backupVerbs(), f.splitVerbs())
	return f
}

// Verbs gives the verbs to mount on a node's door. The verb "ops" lists the operations of transactions for
// completion.
func (f *Face) Verbs() []door.Verb {
	vs := make([]door.Verb, 0, len(f.verbs))
	for _, v := range f.verbs {
		vs = append(vs, v.Verb)
	}
	return vs
}

func (f *Face) verbNamed(name string) *verb {
	for i := range f.verbs {
		if f.verbs[i].Name == name {
			return &f.verbs[i]
		}
	}
	return nil
}

// Close ends all open interactive transactions and subscriptions, and waits for their last operations.
func (f *Face) Close() {
	f.mu.Lock()
	f.closed = true
	txs, subs := f.txs, f.subs
	f.txs, f.subs = nil, map[string]*store.Subscription{}
	f.mu.Unlock()
	for _, s := range txs {
		f.endTx(s)
	}
	for _, sub := range subs {
		sub.Close()
	}
	f.stop()
	f.tasks.Wait()
}
