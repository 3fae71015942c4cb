package store

import (
	"math"
	"slices"

	"netsplit/kit/term"
)

// writeSet is what a transaction has written and not yet committed: for each key the operations in order.
type writeSet struct {
	keys []wsKey
	at   map[wsOID]int // index into keys; made when there are many
	free []op          // room for the operations of keys that have one
}

type wsOID struct {
	tab string
	key any
}

// wsKey is one key's operations. A write of a set forgets the earlier ones.
type wsKey struct {
	tab string
	key term.Term
	ops []op
}

func (e *wsKey) oid() wsOID { return wsOID{e.tab, term.Key(e.key)} }

// wsFew is how many keys are looked through without a map.
const wsFew = 8

// wsChunk is for how many operations there is memory made at a time.
const wsChunk = 256

func (w *writeSet) empty() bool { return len(w.keys) == 0 }

func (w *writeSet) size() int { return len(w.keys) }

func (w *writeSet) find(tab string, key term.Term) *wsKey {
	if len(w.keys) == 0 {
		return nil
	}
	if w.at != nil {
		if i, ok := w.at[wsOID{tab, term.Key(key)}]; ok {
			return &w.keys[i]
		}
		return nil
	}
	for i := range w.keys {
		if e := &w.keys[i]; e.tab == tab && term.Equal(e.key, key) {
			return e
		}
	}
	return nil
}

// entry gives the operations of a key, making an empty list when there is none.
func (w *writeSet) entry(tab string, key term.Term) *wsKey {
	if e := w.find(tab, key); e != nil {
		return e
	}
	w.keys = append(w.keys, wsKey{tab: tab, key: key})
	i := len(w.keys) - 1
	switch {
	case w.at != nil:
		w.at[w.keys[i].oid()] = i
	case len(w.keys) > wsFew:
		w.at = make(map[wsOID]int, 2*wsFew)
		for j := range w.keys {
			w.at[w.keys[j].oid()] = j
		}
	}
	return &w.keys[i]
}

func (w *writeSet) write(t *tab, row term.Tuple) {
	e := w.entry(t.Name, row[1])
	o := op{kind: opWrite, tab: t.Name, row: row}
	if t.Type == "bag" {
		e.ops = append(slices.DeleteFunc(e.ops, func(x op) bool { return sameRow(x, opWrite, row) }), o)
		return
	}
	w.only(e, o)
}

// only makes an operation the only one of its key.
func (w *writeSet) only(e *wsKey, o op) {
	if cap(e.ops) == 0 {
		if len(w.free) == 0 {
			w.free = make([]op, min(2*len(w.keys), wsChunk))
		}
		e.ops, w.free = w.free[:0:1], w.free[1:]
	}
	clear(e.ops)
	e.ops = append(e.ops[:0], o)
}

func sameRow(x op, k opKind, row term.Tuple) bool { return x.kind == k && term.Equal(x.row, row) }

func (w *writeSet) delete(tab string, key term.Term) {
	w.only(w.entry(tab, key), op{kind: opDelete, tab: tab, key: key})
}

// deleteRow is mnesia:do_delete_object: in a set a row that was written here and is another one stays.
func (w *writeSet) deleteRow(t *tab, row term.Tuple) {
	o := op{kind: opDeleteRow, tab: t.Name, row: row}
	e := w.entry(t.Name, row[1])
	isRow := func(x op) bool { return x.row != nil && term.Equal(x.row, row) }
	if t.Type == "bag" {
		e.ops = append(slices.DeleteFunc(slices.Clone(e.ops), isRow), o)
		return
	}
	for _, x := range e.ops {
		if x.kind == opWrite && !isRow(x) {
			return
		}
	}
	wrote := slices.ContainsFunc(e.ops, func(x op) bool { return x.kind == opWrite })
	if wrote {
		// what was there before the write goes too
		w.only(e, op{kind: opDelete, tab: t.Name, key: row[1]})
		return
	}
	e.ops = append(slices.DeleteFunc(slices.Clone(e.ops), isRow), o)
}

func (w *writeSet) clone() writeSet {
	c := writeSet{keys: slices.Clone(w.keys)}
	for i := range c.keys {
		c.keys[i].ops = slices.Clone(c.keys[i].ops)
	}
	if w.at != nil {
		c.at = make(map[wsOID]int, len(w.at))
		for i := range c.keys {
			c.at[c.keys[i].oid()] = i
		}
	}
	return c
}

// of gives the keys written of a table, in the order in which they were first written.
func (w *writeSet) of(tab string) []*wsKey {
	var out []*wsKey
	for i := range w.keys {
		if w.keys[i].tab == tab && len(w.keys[i].ops) > 0 {
			out = append(out, &w.keys[i])
		}
	}
	return out
}

// ops gives everything in the order of commit: the key that was first written last comes first, the operations
// of one key in their order. (Mnesia's order between keys is that of a hash table.) They go into room if they fit.
func (w *writeSet) ops(room []op) []op {
	n := 0
	for i := range w.keys {
		n += len(w.keys[i].ops)
	}
	out := slices.Grow(room[:0], n)
	turns := w.turns()
	for i := len(w.keys) - 1; i >= 0; i-- {
		at := i
		if turns != nil {
			at = turns[i]
		}
		out = append(out, w.keys[at].ops...)
	}
	return out
}

// turns gives, if some keys are one key to an ordered_set, as 1 and 1.0 are, which key's operations take the place of
// each: of two such keys that was first written comes first, so that the last write counts.
func (w *writeSet) turns() (turns []int) {
	ints := map[wsOID]int(nil) // made when there is a float that may be equal to one
	for i := range w.keys {
		f, float := w.keys[i].key.(term.Float)
		if !float || math.Abs(float64(f)) >= 1<<53 || float64(f) != math.Trunc(float64(f)) {
			continue
		}
		if ints == nil {
			ints = map[wsOID]int{}
			for j := range w.keys {
				if _, ok := w.keys[j].key.(term.Int); ok {
					ints[w.keys[j].oid()] = j
				}
				turns = append(turns, j)
			}
		}
		if j, ok := ints[wsOID{w.keys[i].tab, term.Key(term.Int(f))}]; ok {
			turns[i], turns[j] = turns[j], turns[i]
		}
	}
	return turns
}

// gone reports whether the last thing done to the key was to delete it.
func (e *wsKey) gone() bool { return len(e.ops) > 0 && e.ops[len(e.ops)-1].kind == opDelete }

// over gives the rows of a key as the transaction sees them, from those that the table has.
func (e *wsKey) over(typ string, rows []term.Tuple) []term.Tuple {
	out := rows
	for _, o := range e.ops {
		switch o.kind {
		case opDelete:
			out = nil
		case opDeleteRow:
			out = slices.DeleteFunc(slices.Clone(out), func(r term.Tuple) bool { return term.Equal(r, o.row) })
		case opWrite:
			if typ != "bag" {
				out = []term.Tuple{o.row}
				continue
			}
			rest := slices.DeleteFunc(slices.Clone(out), func(r term.Tuple) bool { return term.Equal(r, o.row) })
			out = append(rest, o.row)
		}
	}
	return out
}

// overlay gives the rows of a table, or of a part of it, as the transaction sees them. Rows of keys that rows does
// not hold are added at the end; an ordered_set is in order.
func (w *writeSet) overlay(t *tab, rows []term.Tuple) []term.Tuple {
	wrote := w.of(t.Name)
	if len(wrote) == 0 {
		return rows
	}
	ordered := t.Type == "ordered_set"
	byKey := make(map[any]*wsKey, len(wrote))
	for _, e := range wrote {
		byKey[term.Key(e.key)] = e
	}
	base := map[any][]term.Tuple{}
	out := make([]term.Tuple, 0, len(rows)+len(wrote))
	for _, r := range rows {
		k := term.Key(r[1])
		switch e := byKey[k]; {
		case e != nil:
			base[k] = append(base[k], r)
		case ordered && slices.ContainsFunc(wrote, func(e *wsKey) bool { return term.Compare(e.key, r[1]) == 0 }):
			// 1 and 1.0 are one key there
		default:
			out = append(out, r)
		}
	}
	for _, e := range wrote {
		out = append(out, e.over(t.Type, base[term.Key(e.key)])...)
	}
	if ordered {
		slices.SortStableFunc(out, func(a, b term.Tuple) int { return term.Compare(a[1], b[1]) })
	}
	return out
}
