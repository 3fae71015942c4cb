package disk

import (
	"iter"

	"netsplit/kit/term"
)

// The bodies of these are being written.

// Options say where a disc is: Dir(path) for a folder, Memory() for tests, Link(link) in the simulator.
type Options struct{}

// Dir is a folder of the real file system; images are bbolt files. It does not exist under wasip1.
func Dir(path string) Options { panic("contract") }

// Disk is an open disc. It is safe for concurrent use.
type Disk struct{}

// Open opens the disc, or makes an empty one. What the log holds is dumped into the images first. A folder
// that another process has open is kit.Refused.
func Open(o Options) (*Disk, error) { panic("contract") }

// Empty reports whether nothing was ever written here: no log, no table, no named value.
func (d *Disk) Empty() bool { panic("contract") }

// Append writes the batch to the log, whole or not at all, and gives its number; see the package comment for
// what survives what. A full disc is kit.Overloaded and changes nothing. The terms must not change afterwards.
func (d *Disk) Append(batch ...Change) (LSN, error) { panic("contract") }

// Sync returns when every batch up to lsn is on the disc; one sync serves all who wait. lsn 0 means all so far.
func (d *Disk) Sync(lsn LSN) error { panic("contract") }

// Meta gives a named value. It is kept in memory: cheap.
func (d *Disk) Meta(key term.Term) (term.Term, bool) { panic("contract") }

// AllMeta gives all named values, sorted by key.
func (d *Disk) AllMeta() []term.Pair { panic("contract") }

// Tables lists the tables, sorted by name.
func (d *Disk) Tables() []Table { panic("contract") }

// Load calls f with every record of the table, in no fixed order (an OrderedSet: not in key order either);
// the records of one key of a Bag come together, oldest first. f's error ends it.
func (d *Disk) Load(table string, f func(term.Tuple) error) error { panic("contract") }

// Replace makes rows the whole content of the table, durably and at once: after a crash it is the old content
// or the new. Changes appended before the call are forgotten, those appended after it began come on top.
func (d *Disk) Replace(table string, rows iter.Seq[term.Tuple]) error { panic("contract") }

// Get gives the records with a key, oldest first. It works for all tables and is meant for disc_only_copies.
func (d *Disk) Get(table string, key term.Term) ([]term.Tuple, error) { panic("contract") }

// Next gives the key after key in the table's own fixed order; a nil key asks for the first. found is false at the
// end. A key that is not there is kit.NotFound.
func (d *Disk) Next(table string, key term.Term) (next term.Term, found bool, err error) {
	panic("contract")
}

// Count gives the number of records.
func (d *Disk) Count(table string) (int, error) { panic("contract") }

// Dump moves what the log holds into the images and begins a new log; writers go on meanwhile. After an error
// the log is still complete and Dump may be called again.
func (d *Disk) Dump() error { panic("contract") }

// Pending says how much the log holds that is not in the images: when to Dump.
func (d *Disk) Pending() (changes int, bytes int64) { panic("contract") }

// Notes tell what Open found and mended.
func (d *Disk) Notes() []string { panic("contract") }

// Close syncs, closes and unlocks. It is safe twice.
func (d *Disk) Close() error { panic("contract") }
