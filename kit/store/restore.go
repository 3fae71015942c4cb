package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// RestoreOp says what restoring does with a table.
type RestoreOp string

// What restoring does with a table.
const (
	ClearTables    RestoreOp = "clear_tables"    // empties it first
	KeepTables     RestoreOp = "keep_tables"     // writes over what is there
	RecreateTables RestoreOp = "recreate_tables" // makes it anew, as the backup defines it
	SkipTables     RestoreOp = "skip_tables"     // leaves it alone
)

// RestoreOptions say what is done with which table; Default, ClearTables when empty, is for those not named.
type RestoreOptions struct {
	Default RestoreOp
	Tables  map[string]RestoreOp
}

func (o RestoreOptions) of(tab string) RestoreOp {
	if op, ok := o.Tables[tab]; ok {
		return op
	}
	if o.Default == "" {
		return ClearTables
	}
	return o.Default
}

// staged are entries that have come to a node and are applied when the transaction commits.
type staged struct {
	from kit.NodeName
	tabs map[string][]op
	raw  []byte // of a fallback
	n    int
}

// Limits of what is staged at a node.
const (
	maxStaged      = 64       // restores at a time
	maxStagedOps   = 16 << 20 // entries of one restore
	maxStagedBytes = 1 << 30  // bytes of a fallback
)

// Restore puts the content of a backup into tables, all in one transaction at all their copies, and gives the names of the
// tables restored. A table of the backup that does not exist and is neither skipped nor recreated aborts it. It is
// mnesia:restore/2.
func (s *Store) Restore(ctx context.Context, src Source, o RestoreOptions) ([]string, error) {
	defs, err := backupDefs(src) // reads all: a damaged backup changes nothing
	if err != nil {
		return nil, err
	}
	id := s.clock.next()
	name := fmt.Sprintf("restore %s %d", id.Node, id.Time)
	defer func() {
		for _, n := range s.peers.Up() {
			s.cast(n, "stage_drop", term.Atom(name))
		}
		s.cp.unstage(name)
	}()
	var done []string
	err = s.schemaTx(ctx, func(c *changes) error {
		done = nil
		for _, tab := range sortedKeys(defs) {
			if tab == "schema" || o.of(tab) == SkipTables {
				continue
			}
			if err := c.restore(defs[tab], o.of(tab), name); err != nil {
				return err
			}
			done = append(done, tab)
		}
		return c.stageAll(ctx, src, name, done, defs, o)
	})
	return done, err
}

// backupDefs reads a backup to its end and gives the definitions of the tables that it holds then.
func backupDefs(src Source) (map[string]*Def, error) {
	defs := map[string]*Def{}
	err := TraverseBackup(src, nil, func(e Entry) ([]Entry, error) {
		switch e.Kind {
		case EntryTable:
			defs[e.Table] = e.Def
		case EntryDrop:
			delete(defs, e.Table)
		}
		if len(defs) > MaxTables {
			return nil, &kit.Error{Op: "read backup", Kind: kit.Overloaded, Err: errors.New("it defines too many tables")}
		}
		return nil, nil
	})
	return defs, err
}

// restore locks a table and asks for the changes of the schema that restoring it needs.
func (c *changes) restore(d *Def, how RestoreOp, id string) error {
	t := c.v.tables[d.Name]
	switch {
	case how == RecreateTables:
		if t != nil {
			if err := c.delete(d.Name); err != nil {
				return err
			}
		}
		for _, n := range slices.Concat(d.Disc, d.DiscOnly) {
			if !slices.Contains(c.v.nodes, n) {
				return abort("not_active", term.Atom(d.Name), term.Atom(n))
			}
		}
		at := slices.DeleteFunc(sorted(d.holders()), func(n kit.NodeName) bool { return !slices.Contains(c.v.nodes, n) })
		if len(at) > 0 {
			if _, err := c.tx.lockAt(lock.Item{Table: d.Name}, lock.Write, at); err != nil {
				return err
			}
		}
		cs := *d
		now := c.s.clock.next()
		cs.Cookie = Cookie{now.Time, now.Node}
		cs.Version = Version{Major: 2}
		c.add("create", &cs)
	case t == nil || len(t.active) == 0:
		return abort("no_exists", term.Atom(d.Name))
	default:
		if err := c.lockTable(d.Name); err != nil {
			return err
		}
	}
	c.ops = append(c.ops, schemaOp{kind: "restore", tab: d.Name, rows: []term.Tuple{term.T(term.Atom(how), term.Atom(id))}})
	return nil
}

// stageAll sends the entries of the tables to all nodes that run.
func (c *changes) stageAll(ctx context.Context, src Source, id string, tabs []string, defs map[string]*Def, o RestoreOptions) error {
	nodes := c.v.nodes
	for _, n := range nodes {
		if err := c.s.atNode(ctx, n, "stage", term.T(term.Atom(id), term.Bool(true), term.List{})); err != nil {
			return err
		}
	}
	part, size := term.List{}, 0
	send := func() error {
		for _, n := range nodes {
			if err := c.s.atNode(ctx, n, "stage", term.T(term.Atom(id), term.Bool(false), part)); err != nil {
				return err
			}
		}
		part, size = nil, 0
		return nil
	}
	err := TraverseBackup(src, nil, func(e Entry) ([]Entry, error) {
		if e.Kind != EntryRow && e.Kind != EntryDelete || !slices.Contains(tabs, e.Table) {
			return nil, nil
		}
		d := defs[e.Table]
		if t := c.v.tables[e.Table]; t != nil && o.of(e.Table) != RecreateTables {
			d = t.Def
		}
		if e.Kind == EntryRow && (len(e.Row) != d.arity() || e.Row[0] != term.Term(term.Atom(d.RecordName))) {
			return nil, abort("bad_type", term.Atom(e.Table), e.Row)
		}
		t := e.term()
		part = append(part, t)
		if size += len(term.Append(nil, t)); size < maxPart {
			return nil, nil
		}
		return nil, send()
	})
	if err == nil && len(part) > 0 {
		err = send()
	}
	return err
}

// stage keeps entries that come before the commit; fresh begins anew.
func stage(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	a, ok := arg.(term.Tuple)
	if !ok || len(a) != 3 {
		return nil, failed("badarg", arg)
	}
	id, ok1 := a[0].(term.Atom)
	part, ok2 := a[2].(term.List)
	if !ok1 || !ok2 {
		return nil, failed("badarg", arg)
	}
	c := &s.cp
	c.mu.Lock()
	defer c.mu.Unlock()
	if a[1] == term.True {
		if c.parts == nil {
			c.parts = map[string]*staged{}
		}
		if c.parts[string(id)] == nil && len(c.parts) >= maxStaged {
			return nil, &Error{Class: Aborted, Reason: reason("system_limit", id), kind: kit.Overloaded}
		}
		c.parts[string(id)] = &staged{from: from, tabs: map[string][]op{}}
	}
	st := c.parts[string(id)]
	if st == nil || st.from != from {
		return nil, abort("no_exists", id)
	}
	for _, t := range part {
		e, ok := entryOf(t)
		if !ok || st.n >= maxStagedOps {
			return nil, &Error{Class: Aborted, Reason: reason("system_limit", id), kind: kit.Overloaded}
		}
		o := op{kind: opDelete, tab: e.Table, key: e.Key}
		if e.Kind == EntryRow {
			o = op{kind: opWrite, tab: e.Table, row: e.Row}
		}
		st.tabs[e.Table] = append(st.tabs[e.Table], o)
		st.n++
	}
	return nil, nil
}

func stageDrop(s *Store, _ kit.NodeName, arg term.Term) (term.Term, error) {
	id, _ := arg.(term.Atom)
	s.cp.unstage(string(id))
	return nil, nil
}

func (c *checkpoints) unstage(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.parts, id)
}

// unstageFrom forgets what a node that has gone began.
func (c *checkpoints) unstageFrom(n kit.NodeName) {
	c.thawAll(n)
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, st := range c.parts {
		if st.from == n {
			delete(c.parts, id)
		}
	}
}

// restoreHere applies what was staged for a table to the own copy. Callers hold mu and gate.
func (s *Store) restoreHere(o schemaOp) []Event {
	if len(o.rows) != 1 || len(o.rows[0]) != 2 {
		return nil
	}
	how, _ := o.rows[0][0].(term.Atom)
	id, _ := o.rows[0][1].(term.Atom)
	var ops []op
	s.cp.mu.Lock()
	if st := s.cp.parts[string(id)]; st != nil {
		ops = st.tabs[o.tab]
	}
	s.cp.mu.Unlock()
	t := s.tabs[o.tab]
	if t == nil {
		return nil
	}
	clearing := RestoreOp(how) == ClearTables
	if clearing && t.data != nil {
		s.retainAll(t)
		t.data.clear()
		s.logHere(t, disk.Change{Op: disk.Clear, Table: o.tab})
	}
	if t.data != nil {
		s.foresee(s.view.Load(), ops)
		for part := range slices.Chunk(ops, 1024) {
			cs := make([]disk.Change, len(part))
			for i := range part {
				cs[i] = change(&part[i])
			}
			s.logHere(t, cs...)
		}
		for i := range ops {
			s.applyOne(t, &ops[i], "transaction")
		}
	}
	if clearing {
		s.hub.definition(o.tab)
		return []Event{{Kind: "schema_delete", Table: o.tab, By: "transaction", What: term.Atom(o.tab)}, {Kind: "schema_write", Table: o.tab, By: "transaction"}}
	}
	return nil
}

// definition tells those who watch a table that it was emptied: Mnesia says so by replacing its definition.
func (h *hub) definition(tab string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range []Event{{Kind: "schema_delete", What: term.Atom(tab)}, {Kind: "schema_write"}} {
		e.Table, e.By, e.At = tab, "transaction", time.Since(h.opened)
		for _, sub := range h.subs {
			for _, to := range sub.to {
				if to.What == "table" && to.Table == tab {
					e.Detailed = to.Detailed
					sub.push(e)
				}
			}
		}
	}
}
