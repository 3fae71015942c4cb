package store

import (
	"sync"

	"netsplit/kit/store/disk"
	"netsplit/kit/store/match"
	"netsplit/kit/term"
)

// data is this node's copy of a table with its indexes. Reads take the lock shared, or not at all, so that they never wait
// for the network or the disc.
type data struct {
	mu      sync.RWMutex
	order   sync.Mutex // held while an operation is done here and sent to the other copies
	logging sync.Mutex // held while a dirty operation goes to the log and then to a copy on the disc
	typ     string
	rows    rows      // always the same one
	free    bool      // a key can be read without the lock
	disc    *discRows // rows, when they live on the disc
	indexes []*index
	turn    uint64
}

func newData(d *Def) *data {
	t := &data{typ: d.Type, rows: newRows(d.Type), free: d.Type != "ordered_set"}
	for _, pos := range d.Index {
		t.indexes = append(t.indexes, newIndex(pos))
	}
	return t
}

// get gives the rows of a key. Neither they nor the slice may be changed.
func (t *data) get(key term.Term) []term.Tuple {
	if t.free {
		return t.rows.get(key)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.rows.get(key)
}

// write puts a row and gives the rows of its key before.
func (t *data) write(row term.Tuple) []term.Tuple {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.put(row)
}

func (t *data) put(row term.Tuple) []term.Tuple {
	if len(t.indexes) == 0 {
		return t.rows.put(row)
	}
	n := t.rows.size()
	old := t.rows.put(row)
	if t.typ == "bag" && t.rows.size() == n {
		return old // the very row was there
	}
	t.turn++
	for _, x := range t.indexes {
		if t.typ != "bag" {
			for _, r := range old {
				x.del(r)
			}
		}
		x.add(row, t.turn)
	}
	return old
}

// delete removes a key and gives its rows.
func (t *data) delete(key term.Term) []term.Tuple {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.rows.remove(key)
	for _, x := range t.indexes {
		for _, r := range old {
			x.del(r)
		}
	}
	return old
}

// deleteRow removes exactly that row and gives the rows of its key before.
func (t *data) deleteRow(row term.Tuple) []term.Tuple {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.rows.get(row[1])
	if t.rows.removeRow(row) {
		for _, x := range t.indexes {
			x.del(row)
		}
	}
	return old
}

// share takes the lock for reading and gives what lets go of it. Rows that live on the disc need no lock, and a walk
// through them should not keep writers waiting.
func (t *data) share() (done func()) {
	if t.disc != nil {
		return func() {}
	}
	t.mu.RLock()
	return t.mu.RUnlock
}

// clear removes everything.
func (t *data) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows.clear()
	for i, x := range t.indexes {
		t.indexes[i] = newIndex(x.pos)
	}
}

// reserve makes room for so many rows, if they are more than there are.
func (t *data) reserve(n int) {
	if h, ok := t.rows.(*hashRows[setRow]); ok {
		h.reserve(n)
	}
}

// touch has the places of rows at hand that are about to be put there.
func (t *data) touch(rows []term.Tuple) {
	if h, ok := t.rows.(*hashRows[setRow]); ok {
		h.now.Load().touch(rows)
	}
}

// replay does what the disc tells while the copy is being loaded and nobody else has it.
func (t *data) replay(l disk.Loaded) error {
	switch l.Op {
	case disk.Put:
		t.put(l.Row)
	case disk.Delete:
		t.delete(l.Key)
	case disk.DeleteObject:
		t.deleteRow(l.Row)
	case disk.Clear:
		t.clear()
	}
	return nil
}

// addIndex builds an index from the rows; an index that exists is left alone.
func (t *data) addIndex(pos int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.indexes {
		if x.pos == pos {
			return
		}
	}
	x := newIndex(pos)
	t.rows.scan(func(r term.Tuple) bool {
		t.turn++
		x.add(r, t.turn)
		return true
	})
	t.indexes = append(t.indexes, x)
}

func (t *data) delIndex(pos int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, x := range t.indexes {
		if x.pos == pos {
			t.indexes = append(t.indexes[:i:i], t.indexes[i+1:]...)
			return
		}
	}
}

func (t *data) size() int {
	defer t.share()()
	return t.rows.size()
}

// about gives how many rows there are, or 0 where counting them takes long.
func (t *data) about() int {
	if t.disc != nil {
		return 0
	}
	return t.rows.size()
}

// all gives every row.
func (t *data) all() []term.Tuple {
	defer t.share()()
	out := make([]term.Tuple, 0, t.about())
	t.rows.scan(func(r term.Tuple) bool {
		out = append(out, r)
		return true
	})
	return out
}

// each calls f with every row until it says no; writers do not wait for it.
func (t *data) each(f func(term.Tuple) bool) {
	if t.disc != nil {
		t.disc.scan(f)
		return
	}
	for _, r := range t.all() {
		if !f(r) {
			return
		}
	}
}

// keysOf gives the keys of the rows that a pattern matches, in the table's order; each once unless the table is a
// bag, where the caller makes them unique.
func (t *data) keysOf(pattern term.Term) []term.Term {
	p, err := match.Compile(pattern)
	if err != nil {
		return nil
	}
	defer t.share()()
	out := make([]term.Term, 0, t.about())
	t.rows.scan(func(r term.Tuple) bool {
		if !p.Match(r) {
			return true
		}
		if n := len(out); t.typ == "bag" && n > 0 && term.Equal(out[n-1], r[1]) {
			return true // the rows of a key come together
		}
		out = append(out, r[1])
		return true
	})
	return out
}

// edge and step may build the order of the keys, so they take the lock for writing.
func (t *data) edge(last bool) (term.Term, bool) {
	if t.disc != nil {
		return t.disc.edge(last)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows.edge(last)
}

func (t *data) step(key term.Term, back bool) (next term.Term, found, known bool) {
	if t.disc != nil {
		return t.disc.step(key, back)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows.step(key, back)
}

// indexed gives the rows with a value in an indexed field; ok is false when there is no such index.
func (t *data) indexed(pos int, value term.Term) (out []term.Tuple, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, x := range t.indexes {
		if x.pos != pos {
			continue
		}
		for _, k := range x.find(value) {
			for _, r := range t.rows.get(k) {
				if pos <= len(r) && term.Equal(r[pos-1], value) {
					out = append(out, r)
				}
			}
		}
		return out, true
	}
	return nil, false
}

// match gives the rows that a pattern matches. A pattern with a bound key looks only at that key's rows.
func (t *data) match(p *match.Pattern) []term.Tuple {
	defer t.share()()
	var out []term.Tuple
	keep := func(r term.Tuple) bool {
		if p.Match(r) {
			out = append(out, r)
		}
		return true
	}
	if key, bound := p.Key(); bound {
		for _, r := range t.rows.get(key) {
			keep(r)
		}
		return out
	}
	t.rows.scan(keep)
	return out
}

// candidates gives the rows that a match specification has to look at.
func (t *data) candidates(spec *match.Spec) []term.Tuple {
	keys, bound := spec.Keys()
	tree, ordered := t.rows.(*treeRows)
	switch {
	case !bound && ordered:
		t.mu.RLock()
		defer t.mu.RUnlock()
		return tree.within(spec.Range())
	case !bound:
		return t.all()
	}
	var out []term.Tuple
	for _, k := range keys {
		out = append(out, t.get(k)...)
	}
	return out
}
