package store

import (
	"context"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Kind is the kind of an activity, as in mnesia:activity/2.
type Kind uint8

// The kinds of activity. Only the first two have locks and are all or nothing.
const (
	Transaction     Kind = iota // returns when the decision is made; other copies follow at once
	SyncTransaction             // returns when every active copy has applied it
	AsyncDirty                  // no locks, each write on its own, other copies follow
	SyncDirty                   // no locks, each write returns when every active copy has applied it
	ETS                         // the node's own memory only, nothing replicated, nothing logged
)

var kindNames = [...]string{"transaction", "sync_transaction", "async_dirty", "sync_dirty", "ets"}

// String gives Mnesia's name of the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// KindNamed finds the kind with Mnesia's name.
func KindNamed(name string) (Kind, bool) {
	for i, n := range kindNames {
		if n == name {
			return Kind(i), true
		}
	}
	return 0, false
}

// Lock is the kind of lock that an operation takes. Sticky write locks are accepted and taken as write locks.
type Lock string

// The kinds of lock.
const (
	ReadLock   Lock = "read"
	WriteLock  Lock = "write"
	StickyLock Lock = "sticky_write"
	LoadLock   Lock = "load" // a read lock on the table at every copy
)

// Infinity is the number of retries of a transaction that never gives up.
const Infinity = 0

// EndOfTable is what First, Next, Prev and Last give when there is no such key.
const EndOfTable = term.Atom("$end_of_table")

// Limits of a store. What breaks them is refused with kit.Overloaded.
const (
	MaxTables    = 4096     // tables in a schema
	MaxOpen      = 65536    // transactions open at once on a node
	MaxWrites    = 1 << 20  // operations in one transaction
	EventBacklog = 4096     // events waiting for one subscriber; later ones are dropped and counted
	EventBytes   = 16 << 20 // and bytes of their rows
)

// SubscribeTo names what a subscription is for: Table empty means the system events, "activity" in What the
// activity events.
type SubscribeTo struct {
	What     string // "system", "activity" or "table"
	Table    string
	Detailed bool
}

// Event is one event as a subscriber gets it. Kind is Mnesia's name: mnesia_up, mnesia_down,
// inconsistent_database, mnesia_fatal, mnesia_user, mnesia_overload, complete, write, delete, delete_object,
// schema_write, schema_delete.
type Event struct {
	Kind     string
	Node     kit.NodeName  // for mnesia_up, mnesia_down, inconsistent_database
	Context  string        // for inconsistent_database: running_partitioned_network, starting_partitioned_network, bad_decision
	Value    term.Term     // for mnesia_user, mnesia_overload
	Text     string        // for mnesia_fatal
	Table    string        // for table events
	What     term.Term     // the record; the key for delete; for detailed deletes the tuple {Table, Key}
	Old      []term.Tuple  // detailed: the records before
	Detailed bool          // as subscribed
	By       string        // "transaction" or "dirty"
	At       time.Duration // since the store was opened
}

// Waiter is what WaitForTables and ForceLoadTable wait with: the context bounds them.
type Waiter = context.Context
