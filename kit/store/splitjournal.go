package store

import (
	"errors"
	"iter"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/split"
	"netsplit/kit/term"
)

// The split journal. From the moment the link to a node breaks whose store ran and had an active copy of a table that is
// also here, this node keeps of each key of the table what the first change since then was, the rows before it, and what
// the latest was. It is kept for the table and that node until both have an active copy in one cluster again, or the
// table goes. A node that stopped in good order is not lost: its copy does not live on.
//
// What was written here in the last moments before the loss was noticed, and did not reach the peer, is not in the
// journal; nor are changes that another node of this side made while this store did not run (SplitInfo names the node
// whose journal has them). Changes are noted before they are made, and a process that dies loses none; a power failure
// may lose the last moments, as it may of the log, but nothing of what is synced: SyncLog and durable transactions
// sync the journal too.

// SplitChange is what the split journal knows of one key.
type SplitChange struct {
	Key    term.Term
	First  string       // write, delete, delete_object or clear_table: the first change since the split
	Latest string       // and the latest
	Before []term.Tuple // the rows of the key before the first
}

// Split is a table that has lost a node with a copy.
type Split struct {
	Table      string
	Peer       kit.NodeName
	Since      time.Time
	Truncated  string       // why later changes are missing; empty: none are
	CopiedFrom kit.NodeName // this copy was loaded from there meanwhile; earlier changes are in that node's journal
}

// SplitUse is what a node's journal takes up.
type SplitUse struct {
	Changes int   // in memory
	Memory  int   // their bytes, at most 16 MiB
	Disc    int64 // bytes on the disc, at most 1 GiB
}

// SplitInfo lists what is kept, by table and node, and how much room it takes.
func (s *Store) SplitInfo() ([]Split, SplitUse) {
	var out []Split
	for _, st := range s.cp.split.Starts() {
		out = append(out, Split{Table: st.Table, Peer: st.Peer, Since: st.At, Truncated: st.Truncated, CopiedFrom: st.CopiedFrom})
	}
	var u SplitUse
	u.Changes, u.Memory, u.Disc = s.cp.split.Size()
	return out, u
}

// splitOf finds what is kept of a table for a peer.
func (s *Store) splitOf(table string, peer kit.NodeName) (split.Start, error) {
	starts := s.cp.split.Starts()
	i := slices.IndexFunc(starts, func(st split.Start) bool { return st.Table == table && st.Peer == peer })
	if i < 0 {
		e := failed("no_exists", term.T(term.Atom("split"), term.Atom(table), node(peer)))
		e.hint = "a split is kept from the moment the link to a node with a copy breaks until that node has loaded the table again"
		return split.Start{}, e
	}
	return starts[i], nil
}

// SplitChanges gives what was changed here in a table since a node with a copy of it was lost, each key once. It is one
// state of the journal. Where it was cut short, the last thing given is an error of kind kit.Overloaded.
func (s *Store) SplitChanges(table string, peer kit.NodeName) iter.Seq2[SplitChange, error] {
	return func(yield func(SplitChange, error) bool) {
		st, err := s.splitOf(table, peer)
		if err != nil {
			yield(SplitChange{}, err)
			return
		}
		for c, err := range s.cp.split.Changes(table, peer) {
			if err != nil {
				yield(SplitChange{}, err)
				return
			}
			if !yield(splitChange(c), nil) {
				return
			}
		}
		if st.Truncated != "" {
			yield(SplitChange{}, &kit.Error{Op: "read split journal", What: table, Kind: kit.Overloaded, Err: errors.New(st.Truncated),
				Hint: "later changes are not known; compare the copies by their rows"})
		}
	}
}

func splitChange(c split.Change) SplitChange {
	return SplitChange{Key: c.Key, First: c.First.String(), Latest: c.Latest.String(), Before: c.Before}
}

// ForgetSplit ends the journal of a table for a node before its time: after both copies were made equal by hand.
func (s *Store) ForgetSplit(table string, peer kit.NodeName) error {
	if _, err := s.splitOf(table, peer); err != nil {
		return err
	}
	err := s.cp.split.Forget(table, peer)
	s.cp.recount()
	return err
}

// openSplit makes the journal, with what the disc has of it.
func (s *Store) openSplit() {
	if s.disk == nil {
		s.cp.split = split.New(nil, split.Limits{})
		return
	}
	s.cp.split = split.New(s.disk, split.Limits{})
	if err := s.cp.split.Load(); err != nil {
		s.hub.system(Event{Kind: "mnesia_error", Text: err.Error()})
		s.cp.split = split.New(s.disk, split.Limits{}) // what it still had is not told from what it had not
	}
	s.cp.recount()
}

// loseCopies begins the journal of the tables of which a node that is lost has an active copy. Callers hold mu.
func (s *Store) loseCopies(n kit.NodeName) {
	if !s.nodes[n] || s.phase != running {
		return
	}
	var lost []string
	for _, name := range sortedKeys(s.tabs) {
		t := s.tabs[name]
		if name != "schema" && t.own != Unknown && !t.LocalContent && slices.Contains(t.active, n) {
			lost = append(lost, name)
		}
	}
	if len(lost) == 0 {
		return
	}
	s.splitError(s.cp.split.Begin(n, lost...))
}

// splitError says that the journal is not on the disc. It is kept in memory all the same.
func (s *Store) splitError(err error) {
	s.cp.recount()
	if err != nil {
		s.hub.system(Event{Kind: "mnesia_error", Text: "the split journal is not on the disc: " + err.Error()})
	}
}

// settleSplits ends the journals of tables that are whole again or gone. Callers hold mu.
func (s *Store) settleSplits() {
	if !s.cp.split.Active() || s.phase != running {
		return
	}
	for _, st := range s.cp.split.Starts() {
		t := s.tabs[st.Table]
		both := t != nil && slices.Contains(t.active, s.self) && slices.Contains(t.active, st.Peer) && s.nodes[st.Peer]
		if t == nil || t.own == Unknown || t.storage(st.Peer) == Unknown || both {
			s.splitError(s.cp.split.Forget(st.Table, st.Peer))
		}
	}
}

// splitCopied notes that the own copy was taken from another node.
func (s *Store) splitCopied(name string, from kit.NodeName) {
	if s.cp.split.Active() {
		s.splitError(s.cp.split.Copied(name, from))
	}
}

// noteSplit notes operations that are about to be done here; with durable they are on the disc when it returns.
func (s *Store) noteSplit(v *view, durable bool, ops ...op) {
	if !s.cp.split.Active() {
		return
	}
	var notes []split.Note
	for i := range ops {
		if t := v.tables[ops[i].tab]; t != nil && t.data != nil && s.cp.split.Wants(t.Name) {
			notes = append(notes, splitNote(t.data, &ops[i]))
		}
	}
	if len(notes) > 0 {
		s.cp.split.Add(notes...)
	}
	if durable {
		s.cp.split.Sync()
	}
}

// noteOne is noteSplit for one operation on a copy.
func (s *Store) noteOne(d *data, o *op) {
	if s.cp.split.Active() && s.cp.split.Wants(o.tab) {
		s.cp.split.Add(splitNote(d, o))
	}
}

func splitNote(d *data, o *op) split.Note {
	n := split.Note{Table: o.tab, Key: o.key, Op: split.Write}
	switch o.kind {
	case opDelete:
		n.Op = split.Delete
	case opDeleteRow:
		n.Op = split.DeleteObject
	}
	if o.row != nil {
		n.Key = o.row[1]
	}
	n.ID = string(disk.KeyID(diskType(d.typ), n.Key))
	n.Before = func() []term.Tuple { return d.get(n.Key) }
	return n
}

// noteCleared notes all rows of a table that is about to be emptied.
func (s *Store) noteCleared(name string, d *data) {
	if !s.cp.split.Active() || !s.cp.split.Wants(name) {
		return
	}
	byKey := map[string][]term.Tuple{}
	var notes []split.Note
	for _, row := range d.all() {
		id := string(disk.KeyID(diskType(d.typ), row[1]))
		if byKey[id] == nil {
			notes = append(notes, split.Note{Table: name, ID: id, Key: row[1], Op: split.Clear, Before: func() []term.Tuple { return byKey[id] }})
		}
		byKey[id] = append(byKey[id], row)
	}
	s.cp.split.Add(notes...)
}
