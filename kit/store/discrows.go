package store

import (
	"slices"

	"netsplit/kit/store/disk"
	"netsplit/kit/store/match"
	"netsplit/kit/term"
)

// discRows is the content of a disc_only_copies table: it is read from the disc, where the log puts it. What the
// changing methods are told is on the disc already. Memory holds what waits in the log for a dump, and indexes.
type discRows struct {
	disk *disk.Disk
	name string
	fail func(error) // takes an error of the disc: the store ends over it, since it cannot tell what the table holds
}

// newCopy makes an own copy of a table: empty, but what the disc holds for a table that lives there.
func (s *Store) newCopy(d *Def, own Storage) *data {
	t := newData(d)
	if own != DiscOnly || s.disk == nil {
		return t
	}
	t.disc = &discRows{disk: s.disk, name: d.Name, fail: func(err error) {
		s.breakDown("cannot read table " + d.Name + ": " + err.Error())
	}}
	t.rows, t.free, t.indexes = t.disc, true, nil // index makes those
	return t
}

// index makes the indexes of a definition that are not there yet.
func (t *data) index(d *Def) {
	for _, pos := range d.Index {
		t.addIndex(pos)
	}
}

// inMemory gives a copy in memory of a table that lives on the disc.
func (t *data) inMemory(d *Def) *data {
	m := newData(d)
	t.rows.scan(func(r term.Tuple) bool {
		m.put(r)
		return true
	})
	return m
}

// logJoined puts an operation into the log that came for a copy just when it was complete: who sent it took it for one that
// is kept in memory until then.
func (s *Store) logJoined(t *tab, o *op) {
	if t.own != Disc && t.own != DiscOnly {
		return
	}
	if err := s.logOp(t, t.buf.data, o); err != nil {
		s.breakDown("cannot write the log: " + err.Error())
	}
}

// logOp puts an operation on a copy into the log, before it is applied.
func (s *Store) logOp(t *tab, d *data, o *op) error {
	logged := *o
	if o.kind == opCounter {
		logged = op{kind: opWrite, tab: o.tab, row: counted(o, d.get(o.key))}
	}
	if d.disc != nil { // once it is in the log it is done
		*o = logged
		o.old, o.foreseen = d.get(o.touches()), true
	}
	_, err := s.disk.Append(change(&logged))
	return err
}

func (r *discRows) get(key term.Term) []term.Tuple {
	rows, err := r.disk.Get(r.name, key)
	if err != nil {
		r.fail(err)
	}
	return rows
}

func (r *discRows) put(term.Tuple) []term.Tuple   { return nil }
func (r *discRows) remove(term.Term) []term.Tuple { return nil }
func (r *discRows) removeRow(row term.Tuple) bool { return false }
func (r *discRows) clear()                        {}

func (r *discRows) size() int {
	n, err := r.disk.Count(r.name)
	if err != nil {
		r.fail(err)
	}
	return n
}

// scan gives the rows by key in term order, as they are on the disc when it begins.
func (r *discRows) scan(f func(term.Tuple) bool) {
	if err := r.disk.Scan(r.name, f); err != nil {
		r.fail(err)
	}
}

// edge gives the first key either way, as hashRows does.
func (r *discRows) edge(bool) (term.Term, bool) { return r.after(nil) }

func (r *discRows) after(key term.Term) (term.Term, bool) {
	rows, err := r.disk.After(r.name, key)
	if err != nil {
		r.fail(err)
	}
	if len(rows) == 0 {
		return nil, false
	}
	return rows[0][1], true
}

func (r *discRows) step(key term.Term, _ bool) (next term.Term, found, known bool) {
	if len(r.get(key)) == 0 {
		return nil, false, false
	}
	next, found = r.after(key)
	return next, found, true
}

// foresee notes in operations on tables that live on the disc what they will change, where somebody needs to know: once
// they are in the log it cannot be read any more.
func (s *Store) foresee(v *view, ops []op) {
	type place struct {
		tab string
		key any
	}
	var now map[place][]term.Tuple // as the operations before leave it
	for i := range ops {
		o := &ops[i]
		t := v.tables[o.tab]
		if t == nil || !s.mindsOld(t) || o.kind == opClear {
			continue
		}
		at := place{o.tab, term.Key(o.touches())}
		old, known := now[at]
		if !known {
			old = t.data.get(o.touches())
		}
		o.old, o.foreseen = old, true
		if len(ops) > 1 {
			if now == nil {
				now = map[place][]term.Tuple{}
			}
			now[at] = o.onto(t.Type, old)
		}
	}
}

// mindsOld reports whether somebody needs to know what the rows of a table that lives on the disc were before.
func (s *Store) mindsOld(t *tab) bool {
	d := t.data
	return d != nil && d.disc != nil && (d.hasIndex() || s.hub.watching.Load() > 0 || s.cp.live.Load() > 0)
}

// foreseeOne is foresee for a dirty operation.
func (s *Store) foreseeOne(t *tab, o *op) {
	if s.mindsOld(t) && o.kind != opClear {
		o.old, o.foreseen = t.data.get(o.touches()), true
	}
}

// touches gives the key that an operation changes.
func (o *op) touches() term.Term {
	if o.row != nil {
		return o.row[1]
	}
	return o.key
}

// onto gives the rows of a key after an operation other than a counter's.
func (o *op) onto(typ string, rows []term.Tuple) []term.Tuple {
	same := func(r term.Tuple) bool { return term.Equal(r, o.row) }
	switch {
	case o.kind == opDelete:
		return nil
	case o.kind == opDeleteRow:
		return slices.DeleteFunc(slices.Clone(rows), same)
	case typ != "bag":
		return []term.Tuple{o.row}
	case slices.ContainsFunc(rows, same):
		return rows
	}
	return append(slices.Clip(rows), o.row)
}

// before gives the rows of a key that an operation is about to change.
func (t *data) before(o *op, key term.Term) []term.Tuple {
	if o.foreseen {
		return o.old
	}
	return t.get(key)
}

func (t *data) hasIndex() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.indexes) > 0
}

// applyOnDisc brings the indexes of a table that lives on the disc in line with an operation.
func (t *data) applyOnDisc(o *op) []term.Tuple {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.indexes) == 0 || !o.foreseen {
		return o.old
	}
	now := o.onto(t.typ, o.old)
	t.turn++
	for _, x := range t.indexes {
		for _, r := range o.old {
			if !slices.ContainsFunc(now, func(n term.Tuple) bool { return term.Equal(n, r) }) {
				x.del(r)
			}
		}
		for _, r := range now {
			if !slices.ContainsFunc(o.old, func(w term.Tuple) bool { return term.Equal(w, r) }) {
				x.add(r, t.turn)
			}
		}
	}
	return o.old
}

// run runs a match specification over the rows that it has to look at. Of a table that lives on the disc it keeps in
// memory only what it gives.
func (t *data) run(spec *match.Spec) []term.Term {
	if _, bound := spec.Keys(); bound || t.disc == nil {
		return runSpec(spec, t.candidates(spec))
	}
	var out []term.Term
	t.disc.scan(func(r term.Tuple) bool {
		if v, ok := spec.Run(r); ok {
			out = append(out, v)
		}
		return true
	})
	return out
}
