package store

import (
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// applySchema carries out schema changes on this node.
func (s *Store) applySchema(ops []schemaOp) {
	if len(ops) == 0 {
		return
	}
	s.gate.Lock()
	s.mu.Lock()
	var events []Event
	for _, o := range ops {
		events = append(events, s.applySchemaOp(o)...)
		s.countSchema(o)
	}
	s.publish()
	s.mu.Unlock()
	s.gate.Unlock()
	for _, e := range events {
		s.hub.schema(e)
	}
	s.hub.activity()
	s.startLoads()
}

// countSchema counts what a schema change puts into Mnesia's log: of a definition the preparation, the commit record and
// the decision.
func (s *Store) countSchema(o schemaOp) {
	switch {
	case !s.useDir():
	case o.kind == "clear":
		s.count.schema.Add(1)
	default:
		s.count.schema.Add(3)
	}
}

// applySchemaOp changes one table. Callers hold mu.
func (s *Store) applySchemaOp(o schemaOp) []Event {
	wrote := Event{Kind: "schema_write", Table: o.tab, By: "transaction"}
	old := s.tabs[o.tab]
	switch o.kind {
	case "create":
		s.createHere(o.def)
		return []Event{wrote, wrote}
	case "delete":
		s.dropHere(o.tab)
		return []Event{{Kind: "schema_delete", Table: o.tab, By: "transaction"}}
	case "clear":
		if old != nil && old.data != nil {
			s.retainAll(old)
			old.data.clear()
			s.logHere(old, disk.Change{Op: disk.Clear, Table: o.tab})
			s.hub.definition(o.tab)
		}
		return nil
	case "restore":
		return s.restoreHere(o)
	case "dump":
		s.dumpHere(old)
		return nil
	case "transform":
		s.redefine(o.def)
		s.transformHere(o)
		if len(o.def.Index) > 0 {
			return []Event{wrote, wrote, wrote} // the indexes are taken away and made again
		}
		return []Event{wrote}
	case "content":
		if o.at == s.self && old != nil {
			o.def = old.Def
			s.transformHere(o)
		}
		return nil
	case "define":
		s.redefine(o.def)
		if old != nil && len(o.def.holders()) > len(old.holders()) {
			return []Event{wrote, wrote} // the definition is written once more when the copy is loaded
		}
		return []Event{wrote}
	}
	return nil
}

// logHere appends changes of a table's content when it has a copy on disc here.
func (s *Store) logHere(t *tab, cs ...disk.Change) {
	if t.own != Disc && t.own != DiscOnly {
		return
	}
	if _, err := s.disk.Append(cs...); err != nil {
		s.fatalLater("cannot write the log: " + err.Error())
	}
}

// saveDef keeps a definition on disc.
func (s *Store) saveDef(d *Def, more ...disk.Change) {
	cs := append(more, disk.Change{Op: disk.SetMeta, Key: metaTable(d.Name), Value: d.term()})
	if err := s.saveNow(cs...); err != nil {
		s.fatalLater("cannot write the schema: " + err.Error())
	}
}

func diskType(typ string) disk.Type {
	switch typ {
	case "ordered_set":
		return disk.OrderedSet
	case "bag":
		return disk.Bag
	}
	return disk.Set
}

// makeOnDisc gives the change that makes a table's place on disc.
func makeOnDisc(d *Def, st Storage) disk.Change {
	return disk.Change{Op: disk.Create, Table: d.Name, Type: diskType(d.Type), Only: st == DiscOnly}
}

// createHere makes a new table, empty and loaded at all running nodes that have a copy.
func (s *Store) createHere(d *Def) {
	t := &tab{Def: d, own: d.storage(s.self)}
	for _, n := range sorted(d.holders()) {
		if s.nodes[n] && (!d.LocalContent || n == s.self) {
			t.active = append(t.active, n)
		}
	}
	var more []disk.Change
	if t.own != Unknown {
		t.data = s.newCopy(d, t.own)
		t.from, t.why = s.self, term.T(term.Atom("dumper"), term.Atom("create_table"))
		if t.own != RAM {
			more = append(more, makeOnDisc(d, t.own))
		}
	}
	s.tabs[d.Name] = t
	s.reroute(d.Name)
	s.saveDef(d, more...)
	if t.data != nil {
		t.data.index(d)
	}
}

// dropHere forgets a table.
func (s *Store) dropHere(name string) {
	t := s.tabs[name]
	if t == nil {
		return
	}
	delete(s.tabs, name)
	cs := []disk.Change{{Op: disk.DelMeta, Key: metaTable(name)}}
	if t.own != Unknown {
		cs = append(cs, disk.Change{Op: disk.Drop, Table: name})
	}
	if _, known := s.known[name]; known {
		delete(s.known, name)
		cs = append(cs, disk.Change{Op: disk.DelMeta, Key: metaKnown(name)})
	}
	if s.masters[name] != nil {
		delete(s.masters, name)
		cs = append(cs, disk.Change{Op: disk.DelMeta, Key: metaMaster(name)})
	}
	if err := s.saveNow(cs...); err != nil {
		s.fatalLater("cannot write the schema: " + err.Error())
	}
	s.hub.endTable(name)
}

// redefine replaces a definition and brings the own copy in line with it. Callers hold mu.
func (s *Store) redefine(d *Def) {
	old := s.tabs[d.Name]
	if old == nil {
		s.createHere(d)
		return
	}
	was, now := old.own, d.storage(s.self)
	if was == DiscOnly && (now == RAM || now == Disc) && old.data != nil {
		moved := *old
		moved.data = old.data.inMemory(old.Def) // as long as it is on the disc
		old = &moved
		s.setTab(d.Name, func(t *tab) { t.data = moved.data })
	}
	s.setTab(d.Name, func(t *tab) {
		t.Def = d
		holds := func(n kit.NodeName) bool { return !slices.Contains(d.holders(), n) }
		t.active = slices.DeleteFunc(slices.Clone(t.active), holds)
		t.joining = slices.DeleteFunc(slices.Clone(t.joining), holds)
		switch {
		case now == Unknown:
			t.data = nil // where it came from can still be asked
		case was == Unknown && d.LocalContent && s.phase == running:
			t.data, t.active = s.newCopy(d, now), []kit.NodeName{s.self} // there is nothing to copy
		}
	})
	if d.Name == "schema" {
		s.redefineSchema(was, now)
		s.forsake(slices.DeleteFunc(old.holders(), func(n kit.NodeName) bool { return slices.Contains(d.holders(), n) }))
		return
	}
	s.reindex(old, d)
	var more []disk.Change
	switch {
	case was == now:
	case now == Unknown:
		s.hub.endTable(d.Name)
		if was != RAM {
			more = append(more, disk.Change{Op: disk.Drop, Table: d.Name})
		}
	case now == RAM && was != Unknown:
		more = append(more, disk.Change{Op: disk.Drop, Table: d.Name})
	default:
		more = append(more, makeOnDisc(d, now)) // between the two kinds on disc the content stays where it is
	}
	if now == RAM && was == Unknown {
		more = nil
	}
	s.saveDef(d, more...)
	if t := s.tabs[d.Name]; was == RAM && (now == Disc || now == DiscOnly) && t.data != nil {
		s.rewrite(d.Name, t.data)
	}
	if was != now && now == DiscOnly {
		s.leaveMemory(d.Name)
	}
	s.reroute(d.Name)
}

// rewrite makes the content in memory the whole content on disc.
func (s *Store) rewrite(name string, d *data) {
	if err := s.disk.Replace(name, slices.Values(d.all())); err != nil {
		s.fatalLater("cannot write table " + name + ": " + err.Error())
	}
}

// leaveMemory gives up the rows in memory of a table whose content is on the disc, where it lives from now on.
func (s *Store) leaveMemory(name string) {
	s.setTab(name, func(t *tab) {
		if t.data != nil && t.own == DiscOnly {
			t.data = s.newCopy(t.Def, t.own)
			t.data.index(t.Def)
		}
	})
}

// dumpHere writes a copy in memory to the disc.
func (s *Store) dumpHere(t *tab) {
	if t == nil || t.own != RAM || t.data == nil {
		return
	}
	if err := s.saveNow(makeOnDisc(t.Def, Disc)); err != nil {
		s.fatalLater("cannot dump table " + t.Name + ": " + err.Error())
		return
	}
	s.rewrite(t.Name, t.data)
}

// reindex adds and drops indexes of the own copy.
func (s *Store) reindex(old *tab, d *Def) {
	t := s.tabs[d.Name]
	if t.data == nil {
		return
	}
	for _, pos := range old.Index {
		if !slices.Contains(d.Index, pos) {
			t.data.delIndex(pos)
		}
	}
	for _, pos := range d.Index {
		t.data.addIndex(pos)
	}
}

// redefineSchema moves the schema between memory and disc. Callers hold mu.
func (s *Store) redefineSchema(was, now Storage) {
	t := s.tabs["schema"]
	switch {
	case was == RAM && now == Disc:
		cs := []disk.Change{}
		for _, name := range sortedKeys(s.tabs) {
			d := s.tabs[name].Def
			if st := d.storage(s.self); name != "schema" && (st == Disc || st == DiscOnly) { // a node that lost its disc
				cs = append(cs, makeOnDisc(d, st))
			}
			cs = append(cs, disk.Change{Op: disk.SetMeta, Key: metaTable(name), Value: d.term()})
		}
		if err := s.saveNow(cs...); err != nil {
			s.fatalLater("cannot write the schema: " + err.Error())
		}
	case was == Disc && now == RAM:
		if err := s.wipe(); err != nil {
			s.fatalLater("cannot remove the schema: " + err.Error())
		}
	default:
		s.saveDef(t.Def)
	}
	s.reroute("schema")
}

// wipe removes everything from the disc.
func (s *Store) wipe() error {
	if s.disk == nil {
		return nil
	}
	if err := s.cp.split.Clear(); err != nil {
		return err
	}
	var cs []disk.Change
	for _, p := range s.disk.AllMeta() {
		cs = append(cs, disk.Change{Op: disk.DelMeta, Key: p.Key})
	}
	for _, t := range s.disk.Tables() {
		cs = append(cs, disk.Change{Op: disk.Drop, Table: t.Name})
	}
	if len(cs) == 0 {
		return nil
	}
	lsn, err := s.disk.Append(cs...)
	if err != nil {
		return err
	}
	return s.disk.Sync(lsn)
}

// transformHere replaces the content of the own copy.
func (s *Store) transformHere(o schemaOp) {
	t := s.tabs[o.tab]
	if t == nil || t.data == nil || o.rows == nil {
		return
	}
	s.retainAll(t)
	d := newData(o.def)
	for _, r := range o.rows {
		d.put(r)
	}
	s.setTab(o.tab, func(t *tab) { t.data = d })
	if t.own == Disc || t.own == DiscOnly {
		s.rewrite(o.tab, d)
		s.leaveMemory(o.tab)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}
