package store

import (
	"slices"

	"github.com/tidwall/btree"

	"netsplit/kit/term"
)

// rows is the content of one table on this node, decoded. Rows are immutable: a write replaces them. The
// table's lock guards it.
type rows interface {
	// get gives the rows of a key; the slice is the caller's.
	get(key term.Term) []term.Tuple
	// put writes a row and gives the rows of its key before.
	put(row term.Tuple) []term.Tuple
	// remove deletes a key and gives its rows.
	remove(key term.Term) []term.Tuple
	// removeRow deletes exactly that row; it reports whether it was there.
	removeRow(row term.Tuple) bool
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
		return &hashRows[term.Tuple]{at: map[any]int32{}}
	}
	return &hashRows[term.Term]{at: map[any]int32{}}
}

// hashRows holds a set (E is a term: a slot is one row) or a bag (E is a row: a slot is the rows of one key).
// Slots keep the order in which keys came, so that iteration is the same on every run.
type hashRows[E any] struct {
	at    map[any]int32
	slots [][]E
	holes int // slots of deleted keys
	rows  int
	walk  *btree.BTreeG[term.Term] // the keys in order; made when somebody first walks through them
}

// rowsOf gives a slot's rows.
func rowsOf[E any](slot []E) []term.Tuple {
	switch s := any(slot).(type) {
	case []term.Tuple:
		return slices.Clone(s)
	case []term.Term:
		return []term.Tuple{s}
	}
	return nil
}

// keyOf gives the key of a slot's rows.
func keyOf[E any](slot []E) term.Term {
	switch s := any(slot).(type) {
	case []term.Tuple:
		return s[0][1]
	case []term.Term:
		return s[1]
	}
	return nil
}

func (h *hashRows[E]) get(key term.Term) []term.Tuple {
	i, ok := h.at[term.Key(key)]
	if !ok {
		return nil
	}
	return rowsOf(h.slots[i])
}

func (h *hashRows[E]) put(row term.Tuple) []term.Tuple {
	k := term.Key(row[1])
	i, ok := h.at[k]
	if !ok {
		h.at[k] = int32(len(h.slots))
		var slot []E
		switch s := any(&slot).(type) {
		case *[]term.Tuple:
			*s = []term.Tuple{row}
		case *[]term.Term:
			*s = row
		}
		h.slots = append(h.slots, slot)
		h.rows++
		if h.walk != nil {
			h.walk.Set(row[1])
		}
		return nil
	}
	old := rowsOf(h.slots[i])
	switch s := any(&h.slots[i]).(type) {
	case *[]term.Tuple:
		if !slices.ContainsFunc(*s, func(r term.Tuple) bool { return term.Equal(r, row) }) {
			*s = append(*s, row)
			h.rows++
		}
	case *[]term.Term:
		*s = row
	}
	return old
}

func (h *hashRows[E]) remove(key term.Term) []term.Tuple {
	k := term.Key(key)
	i, ok := h.at[k]
	if !ok {
		return nil
	}
	old := rowsOf(h.slots[i])
	h.drop(k, i)
	h.rows -= len(old)
	return old
}

func (h *hashRows[E]) drop(k any, i int32) {
	if h.walk != nil {
		h.walk.Delete(keyOf(h.slots[i]))
	}
	delete(h.at, k)
	h.slots[i] = nil
	h.holes++
	if h.holes > 64 && h.holes > len(h.slots)/2 {
		h.compact()
	}
}

// compact closes the holes, keeping the order.
func (h *hashRows[E]) compact() {
	kept := make([][]E, 0, len(h.slots)-h.holes)
	for _, s := range h.slots {
		if s != nil {
			h.at[term.Key(keyOf(s))] = int32(len(kept))
			kept = append(kept, s)
		}
	}
	h.slots, h.holes = kept, 0
}

func (h *hashRows[E]) removeRow(row term.Tuple) bool {
	k := term.Key(row[1])
	i, ok := h.at[k]
	if !ok {
		return false
	}
	switch s := any(&h.slots[i]).(type) {
	case *[]term.Term:
		if !term.Equal(term.Tuple(*s), row) {
			return false
		}
	case *[]term.Tuple:
		j := slices.IndexFunc(*s, func(r term.Tuple) bool { return term.Equal(r, row) })
		if j < 0 {
			return false
		}
		h.rows--
		if len(*s) > 1 {
			*s = slices.Delete(*s, j, j+1)
			return true
		}
		h.drop(k, i)
		return true
	}
	h.rows--
	h.drop(k, i)
	return true
}

func (h *hashRows[E]) size() int { return h.rows }

func (h *hashRows[E]) scan(f func(term.Tuple) bool) {
	for _, slot := range h.slots {
		switch s := any(slot).(type) {
		case []term.Tuple:
			for _, r := range s {
				if !f(r) {
					return
				}
			}
		case []term.Term:
			if s != nil && !f(s) {
				return
			}
		}
	}
}

// keys gives the keys in order. Walking through a table without an order in the order of its keys costs memory,
// but only where it is done, and is the same on every node and every run.
func (h *hashRows[E]) keys() *btree.BTreeG[term.Term] {
	if h.walk == nil {
		h.walk = btree.NewBTreeGOptions(exactLess, btree.Options{NoLocks: true})
		for _, s := range h.slots {
			if s != nil {
				h.walk.Set(keyOf(s))
			}
		}
	}
	return h.walk
}

// exactLess orders keys; 1 and 1.0 are two keys in a set or bag.
func exactLess(a, b term.Term) bool {
	if c := term.Compare(a, b); c != 0 || term.Equal(a, b) {
		return c < 0
	}
	return term.Compare(term.Bin(term.Append(nil, a)), term.Bin(term.Append(nil, b))) < 0
}

// edge gives the first key either way: without an order last is the same as first, as in ets.
func (h *hashRows[E]) edge(bool) (term.Term, bool) { return h.keys().Min() }

func (h *hashRows[E]) step(key term.Term, _ bool) (next term.Term, found, known bool) {
	if _, ok := h.at[term.Key(key)]; !ok {
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

func (t *treeRows) size() int { return t.tree.Len() }

func (t *treeRows) scan(f func(term.Tuple) bool) { t.tree.Scan(f) }

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
