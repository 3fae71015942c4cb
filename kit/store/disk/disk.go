// Package disk is the durable half of a store: an append log that serves many writers with one sync, images
// of the tables that the log is dumped into, and a small area of named values (schema, decisions, who was
// seen going down) that lives in the same log, so that a batch of changes is whole or absent after a crash.
//
// Durability, said once: Append hands the batch to the operating system and returns, so that a killed
// process loses nothing that was appended before (unless another Append was writing at that very moment) and a
// power failure may lose the last moments; Sync returns after the bytes are on the disc. Replace and Dump
// return after what they wrote is on the disc. Nothing else waits for the disc.
//
// What waits in the log is not kept in memory, but for disc_only_copies tables, which are read with Get, After and Scan: those
// keep it by key until the next Dump. Load and Replay read image and log, and decode on all cores.
//
// A full disc (ErrFull, kit.Overloaded) refuses an Append or a Dump and leaves what was there; the next call works when
// there is room. A Sync that failed breaks the log (kit.Broken) until the disc is opened again.
//
// Damage: a record that a crash has left unfinished at the end of the log is cut off and told in Notes. Damage in what
// was synced, a missing file and an image of another table are kit.Corrupt, naming the file; nothing is dropped silently.
package disk

import "netsplit/kit/term"

// LSN numbers the batches of a log: 1, 2, 3, ... over the whole life of the disc.
type LSN uint64

// Op says what a Change does.
type Op byte

// The changes. All are absolute, so that a dump interrupted by a crash can be repeated.
const (
	Put          Op = iota + 1 // Value: a record. In a set it replaces the record with its key, in a bag it is added
	Delete                     // Value: a key. All records with it go
	DeleteObject               // Value: a record. Exactly this one goes (equal by =:=)
	Clear                      // all records of the table go
	SetMeta                    // Key, Value: a named value
	DelMeta                    // Key: a named value goes
	Create                     // Type, Only: the table is made, empty. One that exists keeps its content, and is Only or not from now on
	Drop                       // the table goes with its image; no change where there is none
)

// Change is one change of a batch.
type Change struct {
	Op    Op
	Table string    // all but SetMeta and DelMeta
	Key   term.Term // SetMeta, DelMeta
	Value term.Term // the record (a Tuple with its key second), the key, or the named value
	Type  Type      // Create
	Only  bool      // Create: a disc_only_copies table, which is read with Get and Next
}

// Type is a table's type.
type Type byte

// The types of table. They decide which keys are the same: in an OrderedSet 1 and 1.0 are one key.
const (
	Set Type = iota + 1
	OrderedSet
	Bag
)

// Table is a table that the disc holds.
type Table struct {
	Name string
	Type Type
	Only bool // disc_only_copies
}

// Limits. What breaks them is refused with kit.Invalid or kit.Overloaded before anything is written.
const (
	MaxBatch   = 64 << 20 // bytes of one batch in the log
	MaxPending = 1 << 22  // changes in the log and not yet dumped
)
