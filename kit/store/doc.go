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
// # What is on disc when a call returns
//
// Commit and the dirty writes hand their changes to the operating system before they return: the death of the process,
// or of all processes of the cluster at once, loses nothing; a power failure may lose the last moments. A transaction
// with TxOptions.Durable returns when the discs have it (fdatasync) on every node with an active disc copy; those that
// wait at the same time share a sync. SyncLog returns when all so far is on this node's disc. Schema changes, who was seen
// going down, and master nodes are on the disc when the call returns.
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
package store
