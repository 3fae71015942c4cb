package store

import (
	"bytes"
	"slices"

	"github.com/tidwall/btree"

	"netsplit/kit/store/match"
	"netsplit/kit/term"
)

// rows is the content of one table on this node, decoded. Rows are immutable: a write replaces them. The
// table's lock guards it.
type rows interface {
	// get gives the rows of a key. Neither they nor the slice may be changed.
	get(key term.Term) []term.Tuple
	// put writes a row and gives the rows of its key before.
	put(row term.Tuple) []term.Tuple
	// remove deletes a key and gives its rows.
	remove(key term.Term) []term.Tuple
	// removeRow deletes exactly that row; it reports whether it was there.
	removeRow(row term.Tuple) bool
	// clear removes everything.
	clear()
	// size counts rows.
	size() int
	// scan calls f for every row until it says no: by key in an ordered_set, otherwise in the order in which
	// the keys came.
	scan(f func(term.Tuple) bool)
	// edge gives the first or the last key.
	edge(last bool) (term.Term, bool)
	// step gives the neighbour of a key. known is false when the key is not in a table without an order.
	step(key term.Term, back bool) (next term.Term, found, known bool)
}

// newRows makes empty rows for a table type.
func newRows(typ string) rows {
	switch typ {
	case "ordered_set":
		return &treeRows{tree: btree.NewBTreeGOptions(func(a, b term.Tuple) bool {
			return term.Compare(a[1], b[1]) < 0
		}, btree.Options{NoLocks: true})}
	case "bag":
		return newHashRows[[]term.Tuple]()
	}
	return newHashRows[setRow]()
}

// setRow is the one row of a key of a set, ready to be handed out.
type setRow [1]term.Tuple

// keyOf gives the key of what a slot of hashRows holds.
func keyOf[E any](v *E) term.Term {
	switch s := any(v).(type) {
	case *setRow:
		return s[0][1]
	case *[]term.Tuple:
		return (*s)[0][1]
	}
	return nil
}

// rowsOf gives the rows that a slot holds.
func rowsOf[E any](v *E) []term.Tuple {
	if v == nil {
		return nil
	}
	switch s := any(v).(type) {
	case *setRow:
		return s[:]
	case *[]term.Tuple:
		return slices.Clip(*s)
	}
	return nil
}

func (h *hashRows[E]) get(key term.Term) []term.Tuple { return rowsOf(h.lookup(key)) }

func (h *hashRows[E]) put(row term.Tuple) []term.Tuple {
	switch h := any(h).(type) {
	case *hashRows[setRow]:
		old := h.swap(row[1], setRow{row})
		if old == nil {
			h.rows++
		}
		return rowsOf(old)
	case *hashRows[[]term.Tuple]:
		return putInBag(h, row)
	}
	return nil
}

func putInBag(h *hashRows[[]term.Tuple], row term.Tuple) []term.Tuple {
	var old []term.Tuple
	if p := h.lookup(row[1]); p != nil {
		old = *p // with the room behind it, which nobody else looks at
	}
	if slices.ContainsFunc(old, func(r term.Tuple) bool { return term.Equal(r, row) }) {
		return slices.Clip(old)
	}
	rows := append(old, row)
	h.swap(row[1], rows)
	h.rows++
	return slices.Clip(old)
}

func (h *hashRows[E]) remove(key term.Term) []term.Tuple {
	old := h.get(key)
	if len(old) > 0 {
		h.drop(key)
		h.rows -= len(old)
	}
	return old
}

func (h *hashRows[E]) removeRow(row term.Tuple) bool {
	key := row[1]
	old := h.get(key)
	j := slices.IndexFunc(old, func(r term.Tuple) bool { return term.Equal(r, row) })
	if j < 0 {
		return false
	}
	h.rows--
	if bag, ok := any(h).(*hashRows[[]term.Tuple]); ok && len(old) > 1 {
		bag.swap(key, slices.Concat(old[:j], old[j+1:]))
		return true
	}
	h.drop(key)
	return true
}

func (h *hashRows[E]) clear() { h.reset() }

func (h *hashRows[E]) size() int { return h.rows }

func (h *hashRows[E]) scan(f func(term.Tuple) bool) {
	h.each(func(v *E) bool {
		for _, r := range rowsOf(v) {
			if !f(r) {
				return false
			}
		}
		return true
	})
}

// keys gives the keys in order. Walking through a table without an order in the order of its keys costs memory,
// but only where it is done, and is the same on every node and every run.
func (h *hashRows[E]) keys() *btree.BTreeG[term.Term] {
	if h.walk == nil {
		h.walk = btree.NewBTreeGOptions(exactLess, btree.Options{NoLocks: true})
		h.each(func(v *E) bool {
			h.walk.Set(keyOf(v))
			return true
		})
	}
	return h.walk
}

// exactLess orders keys; 1 and 1.0 are two keys in a set or bag.
func exactLess(a, b term.Term) bool {
	if c := term.Compare(a, b); c != 0 || term.Equal(a, b) {
		return c < 0
	}
	return bytes.Compare(term.AppendOrdered(nil, a, false), term.AppendOrdered(nil, b, false)) < 0
}

// edge gives the first key either way: without an order last is the same as first, as in ets.
func (h *hashRows[E]) edge(bool) (term.Term, bool) { return h.keys().Min() }

func (h *hashRows[E]) step(key term.Term, _ bool) (next term.Term, found, known bool) {
	if h.lookup(key) == nil {
		return nil, false, false
	}
	h.keys().Ascend(key, func(k term.Term) bool {
		if term.Equal(k, key) {
			return true
		}
		next, found = k, true
		return false
	})
	return next, found, true
}

// treeRows holds an ordered_set.
type treeRows struct{ tree *btree.BTreeG[term.Tuple] }

// pivot is a row to look for a key with.
func pivot(key term.Term) term.Tuple { return term.Tuple{nil, key} }

func (t *treeRows) get(key term.Term) []term.Tuple {
	r, ok := t.tree.Get(pivot(key))
	if !ok {
		return nil
	}
	return []term.Tuple{r}
}

func one(r term.Tuple, ok bool) []term.Tuple {
	if !ok {
		return nil
	}
	return []term.Tuple{r}
}

func (t *treeRows) put(row term.Tuple) []term.Tuple { return one(t.tree.Set(row)) }

func (t *treeRows) remove(key term.Term) []term.Tuple { return one(t.tree.Delete(pivot(key))) }

func (t *treeRows) removeRow(row term.Tuple) bool {
	r, ok := t.tree.Get(row)
	if !ok || !term.Equal(r, row) {
		return false
	}
	t.tree.Delete(row)
	return true
}

func (t *treeRows) clear() { t.tree.Clear() }

func (t *treeRows) size() int { return t.tree.Len() }

func (t *treeRows) scan(f func(term.Tuple) bool) { t.tree.Scan(f) }

// within gives the rows whose keys are in a range, without looking at those outside.
func (t *treeRows) within(r match.Range) (out []term.Tuple) {
	if r.Empty() {
		return nil
	}
	keep := func(row term.Tuple) bool {
		side := r.Side(row[1])
		if side == 0 {
			out = append(out, row)
		}
		return side <= 0
	}
	if from, ok := r.From(); ok {
		t.tree.Ascend(pivot(from), keep)
	} else {
		t.tree.Scan(keep)
	}
	return out
}

func (t *treeRows) edge(last bool) (term.Term, bool) {
	get := t.tree.Min
	if last {
		get = t.tree.Max
	}
	r, ok := get()
	if !ok {
		return nil, false
	}
	return r[1], true
}

func (t *treeRows) step(key term.Term, back bool) (next term.Term, found, known bool) {
	visit := func(r term.Tuple) bool {
		if term.Compare(r[1], key) == 0 {
			return true
		}
		next, found = r[1], true
		return false
	}
	if back {
		t.tree.Descend(pivot(key), visit)
	} else {
		t.tree.Ascend(pivot(key), visit)
	}
	return next, found, true
}

// index finds the keys of the rows that have a value in one field.
type index struct {
	pos  int // 1-based position in the record
	keys map[any]map[any]keyCount
}

// keyCount is one key and how many of its rows have the value.
type keyCount struct {
	key   term.Term
	count int
	turn  uint64 // when it was added, for a fixed order
}

func newIndex(pos int) *index { return &index{pos: pos, keys: map[any]map[any]keyCount{}} }

func (x *index) add(row term.Tuple, turn uint64) {
	if x.pos > len(row) {
		return
	}
	v := term.Key(row[x.pos-1])
	m := x.keys[v]
	if m == nil {
		m = map[any]keyCount{}
		x.keys[v] = m
	}
	k := term.Key(row[1])
	e, ok := m[k]
	if !ok {
		e = keyCount{key: row[1], turn: turn}
	}
	e.count++
	m[k] = e
}

func (x *index) del(row term.Tuple) {
	if x.pos > len(row) {
		return
	}
	v := term.Key(row[x.pos-1])
	m := x.keys[v]
	k := term.Key(row[1])
	e, ok := m[k]
	switch {
	case !ok:
	case e.count > 1:
		e.count--
		m[k] = e
	case len(m) > 1:
		delete(m, k)
	default:
		delete(x.keys, v)
	}
}

// find gives the keys of rows with the value, in the order in which they were added.
func (x *index) find(value term.Term) []term.Term {
	m := x.keys[term.Key(value)]
	es := make([]keyCount, 0, len(m))
	for _, e := range m {
		es = append(es, e)
	}
	slices.SortFunc(es, func(a, b keyCount) int { return int(int64(a.turn) - int64(b.turn)) })
	keys := make([]term.Term, len(es))
	for i, e := range es {
		keys[i] = e.key
	}
	return keys
}
