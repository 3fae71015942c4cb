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
// # What is on disc when a call returns
//
// Commit and the dirty writes hand their changes to the operating system before they return: the death of the process
// loses nothing, a power failure may lose the last moments. SyncLog returns when all is on the disc. Schema changes,
// who was seen going down, and master nodes are on the disc when the call returns.
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
