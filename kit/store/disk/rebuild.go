package disk

import (
	"bytes"
	"iter"
	"sync"

	"netsplit/kit/term"
)

// Rebuild makes a new content of a table beside the old one while the log goes on. It is used by one goroutine at a time;
// Commit or Abort ends it.
type Rebuild struct {
	d    *Disk
	t    *table
	b    builder
	next *part
	last []byte // the key before, while all came in order; nil once one did not
	keys []byte // room for keys of next
	rows []byte // room for its rows

	parts  chan *part
	writer sync.WaitGroup
	mu     sync.Mutex
	err    error // of the writer
	ended  bool
}

// How much is put into a new image at a time, about. Keys that come in order can be put there little by little; others are
// sorted, and cost an image the more, the smaller the parts are.
const (
	rebuildSorted = 8 << 20
	rebuildBytes  = 48 << 20
)

// Rebuild begins to make a new content for a table.
func (d *Disk) Rebuild(table string) (*Rebuild, error) {
	t, err := d.find(table)
	if err != nil {
		return nil, err
	}
	if d.closed.Load() {
		return nil, errClosed()
	}
	b, err := d.images.create(t.identity)
	if err != nil {
		return nil, err
	}
	r := &Rebuild{d: d, t: t, b: b, next: &part{}, last: []byte{}, parts: make(chan *part)}
	r.writer.Go(r.write)
	return r, nil
}

// write puts parts into the image.
func (r *Rebuild) write() {
	for p := range r.parts {
		if r.failed() == nil {
			if err := r.b.add(p); err != nil {
				r.mu.Lock()
				r.err = err
				r.mu.Unlock()
			}
		}
	}
}

func (r *Rebuild) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Put adds a record; in a Set and an OrderedSet it takes the place of one with its key. The disc may be behind.
func (r *Rebuild) Put(row term.Tuple) error {
	r.rows = room(r.rows)
	at := len(r.rows)
	r.rows = term.Append(r.rows, row)
	return r.PutEncoded(row, r.rows[at:len(r.rows):len(r.rows)])
}

// PutEncoded is Put for a record whose encoding, term.Append's, is at hand. It must not change until the end.
func (r *Rebuild) PutEncoded(row term.Tuple, encoded []byte) error {
	if len(row) < 2 {
		return (&Change{Op: Put, Table: r.t.name, Value: row}).check()
	}
	r.put(row[1], encoded)
	return r.full()
}

func (r *Rebuild) put(key term.Term, row []byte) {
	r.keys = room(r.keys)
	at := len(r.keys)
	r.keys = appendKey(r.keys, r.t.typ, key)
	k := r.keys[at:len(r.keys):len(r.keys)]
	if r.last != nil && bytes.Compare(r.last, k) < 0 {
		r.last = k
	} else {
		r.last = nil
	}
	r.next.take(rawChange{lsn: 1, op: Put, key: k, row: row})
}

// room gives a buffer that has some: a full one is left to those who have parts of it.
func room(b []byte) []byte {
	if cap(b)-len(b) < 1<<12 {
		return make([]byte, 0, 1<<18)
	}
	return b
}

// full sends the part on when there is enough of it.
func (r *Rebuild) full() error {
	if r.next.bytes < rebuildSorted || r.last == nil && r.next.bytes < rebuildBytes {
		return nil
	}
	r.parts <- r.next
	r.next = &part{}
	return r.failed()
}

// end waits for the writer.
func (r *Rebuild) end() {
	if !r.ended {
		r.ended = true
		close(r.parts)
		r.writer.Wait()
	}
}

// Abort forgets the new content. After Commit it does nothing.
func (r *Rebuild) Abort() {
	r.end()
	r.b.abort()
}

// Commit makes the new content the whole content of the table, durably and at once: after a crash it is the old or the
// new. Changes appended before the call are forgotten, those appended after it began come on top.
func (r *Rebuild) Commit() error {
	if len(r.next.changes) > 0 {
		r.parts <- r.next
	}
	r.end()
	defer r.b.abort()
	if r.err != nil {
		return r.err
	}
	d, t := r.d, r.t
	d.work.Lock()
	defer d.work.Unlock()
	if d.closed.Load() {
		return errClosed()
	}
	d.mu.RLock()
	fence, gone := d.last, t.gone
	d.mu.RUnlock()
	if gone {
		return noTable(t.name)
	}
	if err := d.wal.sync(fence); err != nil { // else a later batch could get a number that the image takes for its own
		return err
	}
	if err := d.forget(t); err != nil { // not every system replaces a file that is open
		return err
	}
	if err := r.b.commit(fence); err != nil {
		return err
	}
	if err := d.forget(t); err != nil {
		return err
	}
	return d.replaced(t, fence)
}

// replaced notes that a table's image has what there is up to a batch. It is called with work held.
func (d *Disk) replaced(t *table, fence LSN) error {
	d.mu.Lock()
	known := t.imaged
	t.imaged = true
	if d.last == fence {
		t.waiting = 0
		if t.only {
			t.older, t.fresh = nil, &overlay{}
		}
	} else if t.only { // what came meanwhile stays
		t.fresh = t.fresh.onto(t.typ, t.older).after(t.typ, fence)
		t.older = nil
	}
	d.mu.Unlock()
	if known {
		return nil
	}
	return d.writeManifest()
}

// Replace makes rows the whole content of the table; see Rebuild.
func (d *Disk) Replace(table string, rows iter.Seq[term.Tuple]) error {
	r, err := d.Rebuild(table)
	if err != nil {
		return err
	}
	defer r.Abort()
	for row := range rows {
		if err := r.Put(row); err != nil {
			return err
		}
	}
	return r.Commit()
}
