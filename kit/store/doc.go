// Package store is the replicated store: Mnesia's model and semantics in Go. Its state machines for locks,
// commit and matching are the pure packages below it; this package acts on what they decide.
//
// # The store
//
// A Store is one node's part. Open makes it, Start lets it find the stores of the nodes in its schema and join them.
// A table lives on the nodes that its description names, in memory (RAM), in memory and on disc (Disc), or on disc
// (DiscOnly). Every node can read and write every table.
//
//	s, err := store.Open(store.Config{Peers: store.Alone("a")})
//	err = s.Start(ctx, store.StartOptions{})
//	err = s.CreateTable(ctx, store.Table{Name: "account"})
//	err = s.Transaction(ctx, func(tx *store.Tx) error {
//		return tx.Write("account", term.Rec("account", "ann", 100))
//	})
//
// # Transactions
//
// A transaction locks what it reads on one copy and what it writes on all. The one that began earlier is older; an
// older one waits for a younger, a younger one that meets an older starts again. Dirty functions take no locks.
//
// A write waits for its lock at this node, when it has a copy. The locks at the other copies are asked for together with the
// commit: all of them say yes in one round trip, or the transaction gives way and runs again. A transaction that its
// caller drives step by step (Begin) takes every lock at once, as Mnesia does.
//
// A commit has two phases. Every node with a copy says yes, then the one that runs the transaction decides, and tells its
// caller and the others at the same time. When it dies before the others have heard, they compare what they have
// said: all have said yes means committed, since the caller may know it. A node whose fellow voters are all gone keeps
// the records locked until one of them comes back. Should two nodes have decided differently after all, because the
// network parted in that moment, both report inconsistent_database with bad_decision.
//
// # Durability
//
// What a node's own disc holds when a call returns, of tables with a copy on it. "Process" survives the end of the process,
// kill -9 too, also of all nodes at once: the operating system has it. "Power" survives a loss of power: it was synced.
//
//	Transaction, Commit, dirty writes           process
//	Transaction with TxOptions.Durable          power, on every node with a copy on disc
//	SyncLog                                     power, all that was written before
//	DumpLog                                     power, and in the images of the tables, the log begins anew
//	CreateTable and all other schema changes    power
//	AddTableCopy, DumpTables                    power: what the copy was when it was taken
//	SetMasterNodes, who was seen going down     power
//	Backup to a file beside the log             power
//	Stop, Close                                 power
//
// A batch of changes, such as a transaction's, is found whole or not at all. After a loss of power what was not synced may be
// missing from some batch on, never from the middle.
//
// A disc that is full refuses a write: the transaction is aborted with {disc, Text}, its kind is kit.Overloaded, nothing was
// changed, and the same call works once there is room. The log stays whole and readable; a dump that finds no room is told by a
// mnesia_error event and tried again. A node that cannot write what others have committed stops its store, after a
// mnesia_fatal event that says why, and so does one that cannot read a table that lives on the disc. A sync that fails is
// final: what it lost is not known, so writes are refused until the node is started again.
//
// A DiscOnly table is read from the disc. Memory holds the changes that wait in the log for a dump, and its indexes.
//
// # Backups
//
// Backup writes one state of all tables while others go on writing: a checkpoint keeps the old rows of what is changed
// meanwhile. A checkpoint has all of a transaction, on all nodes, or nothing: all nodes hold their decisions for a moment.
// A node keeps at most MaxRetained bytes of old rows.
//
//	err = s.Backup(ctx, file)
//	tables, err := s.Restore(ctx, func() (io.ReadCloser, error) { return os.Open(name) }, store.RestoreOptions{})
//
// ReadBackup gives a backup's entries, TraverseBackup changes them, InstallFallback makes a backup what all nodes begin with
// when they start next. A file that was cut or changed is refused before anything is touched.
//
// # When the network parts
//
// Both sides go on. When the link is back nothing is merged: both report inconsistent_database, and their copies
// stay apart until one side's store is restarted and takes the other's content. SetMasterNodes says whose.
//
// Meanwhile each node keeps a split journal: of every key that it changes, what it did first and last, and the rows before.
// After the heal Diff compares two copies by digests and says of each row that differs who did what:
//
//	for d, err := range s.Diff(ctx, "account", "b") {
//		// d.Key, d.Here, d.There, d.HereDid, d.ThereDid, d.Before
//	}
//
// # When there is too much
//
// Every queue has a bound. Writers wait while a peer or the log cannot keep up, at most until their context ends, and a
// system event mnesia_overload tells once when that begins; see overload.go for the list.
package store
