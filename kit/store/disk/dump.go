package disk

import (
	"errors"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"sync"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Dump moves what the log holds into the images and begins a new log; writers wait for one sync and go on. After
// an error the log is still complete and Dump may be called again.
func (d *Disk) Dump() error {
	d.work.Lock()
	defer d.work.Unlock()
	switch {
	case d.closed.Load():
		return errClosed()
	case !d.begun.Load():
		return nil
	}
	p, err := d.rotate()
	if err != nil {
		return err
	}
	for _, t := range p.tables {
		if err := d.bring(t.t, t.n, p.upto); err != nil {
			return err
		}
	}
	d.mu.RLock()
	d.first, d.base = d.seq, d.start
	m := d.manifest()
	d.mu.RUnlock()
	if err := d.wal.sync(0); err != nil {
		return err
	}
	if err := d.putManifest(m); err != nil {
		d.first, d.base = p.first, p.base
		return err
	}
	d.mu.Lock()
	d.behind -= p.behind
	gone := d.gone
	d.gone = nil
	d.mu.Unlock()
	for _, t := range gone {
		if err := d.forget(t); err != nil {
			return err
		}
	}
	return d.tidy()
}

// plan is what a dump has to bring into the images: for each table its first n waiting changes.
type plan struct {
	tables []planned
	upto   LSN
	behind int
	first  uint64 // where the log begins if the dump comes to nothing
	base   LSN
}

type planned struct {
	t *table
	n int
}

// rotate begins a new segment, unless the present one is empty, and says what stands before it.
func (d *Disk) rotate() (plan, error) {
	p := plan{first: d.first, base: d.base}
	err := d.wal.hold(func() error {
		w := d.wal
		if w.broken != nil {
			return w.broken
		}
		if w.written >= d.start {
			if err := w.file.Sync("rotate"); err != nil {
				w.broken = &kit.Error{Op: "sync", Kind: kit.Broken, What: w.name, Err: err, Hint: "restart the node"}
				return w.broken
			}
			f, err := d.newSegment("rotate", d.seq+1, w.written+1)
			if err != nil {
				return err
			}
			_ = w.file.Close() // it is synced and never written again
			d.seq, d.start = d.seq+1, w.written+1
			w.rotated(f, segmentName(d.seq))
		}
		d.mu.RLock()
		defer d.mu.RUnlock()
		p.upto, p.behind = w.written, d.behind
		for _, name := range slices.Sorted(maps.Keys(d.tables)) {
			if t := d.tables[name]; len(t.pend) > 0 {
				p.tables = append(p.tables, planned{t, len(t.pend)})
			}
		}
		return nil
	})
	return p, err
}

// bring puts the first n waiting changes of a table into its image. The log has them on the disc already.
func (d *Disk) bring(t *table, n int, upto LSN) error {
	d.mu.RLock()
	changes, gone := t.pend[:n:n], t.gone
	d.mu.RUnlock()
	if gone || n == 0 {
		return nil
	}
	h, err := d.acquire(t)
	if err != nil {
		return err
	}
	if h == nil {
		err = d.images.build(t.identity, upto, foldAll(t.typ, changes))
	} else {
		err = errors.Join(h.im.apply(changes, upto), h.release())
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	t.imaged = true
	t.setPending(t.pend[n:])
	d.mu.Unlock()
	return nil
}

// foldAll gives the rows that changes make of an empty table.
func foldAll(typ Type, changes []pending) iter.Seq[term.Tuple] {
	return func(yield func(term.Tuple) bool) {
		k := gather(typ, changes, 0)
		for _, key := range k.keys {
			for _, r := range fold(typ, nil, k.byKey[key]) {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// handle is an open image. Several may read it at once; it is closed when the last lets go, unless it is kept.
type handle struct {
	mu   sync.Mutex
	im   image
	refs int
	keep bool // of a disc_only_copies table: stay open between uses
}

func (h *handle) release() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refs--
	return h.closeIfIdle()
}

// drop lets the handle close as soon as nobody uses it.
func (h *handle) drop() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keep = false
	return h.closeIfIdle()
}

func (h *handle) closeIfIdle() error {
	if h.refs > 0 || h.keep || h.im == nil {
		return nil
	}
	im := h.im
	h.im = nil
	return im.close()
}

// grab takes the handle for a use; false when it is closed.
func (h *handle) grab(keep bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.im == nil {
		return false
	}
	h.refs++
	h.keep = keep
	return true
}

// acquire opens the table's image for a use, which the handle's release ends; nil when the table has none yet.
func (d *Disk) acquire(t *table) (*handle, error) {
	d.mu.RLock()
	keep, imaged := t.only && !t.gone, t.imaged
	d.mu.RUnlock()
	d.opening.Lock()
	defer d.opening.Unlock()
	if t.handle != nil && t.handle.grab(keep) {
		return t.handle, nil
	}
	im, err := d.images.open(t.identity)
	if errors.Is(err, fs.ErrNotExist) {
		if imaged {
			return nil, corrupt(t.file()+d.images.suffix(), "it is missing", "")
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t.handle = &handle{im: im, refs: 1, keep: keep}
	return t.handle, nil
}

// forget closes the table's image, or lets its last reader do so.
func (d *Disk) forget(t *table) error {
	d.opening.Lock()
	h := t.handle
	t.handle = nil
	d.opening.Unlock()
	if h == nil {
		return nil
	}
	return h.drop()
}

// find gives a table by name.
func (d *Disk) find(name string) (*table, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	t := d.tables[name]
	if t == nil {
		return nil, &kit.Error{Op: "use", Kind: kit.NotFound, What: "table " + name, Err: errors.New("it is not on this disc")}
	}
	return t, nil
}

// current brings what waits for the table into its image and opens it.
func (d *Disk) current(name string) (*table, *handle, error) {
	t, err := d.find(name)
	if err != nil {
		return nil, nil, err
	}
	d.mu.RLock()
	n := len(t.pend)
	d.mu.RUnlock()
	if n > 0 {
		if err := d.catchUp(t); err != nil {
			return nil, nil, err
		}
	}
	h, err := d.acquire(t)
	return t, h, err
}

func (d *Disk) catchUp(t *table) error {
	d.work.Lock()
	defer d.work.Unlock()
	if d.closed.Load() {
		return errClosed()
	}
	d.mu.RLock()
	n := len(t.pend)
	var upto LSN
	if n > 0 {
		upto = t.pend[n-1].lsn
	}
	d.mu.RUnlock()
	if n == 0 {
		return nil
	}
	if err := d.wal.sync(upto); err != nil { // the image must not know more than the log
		return err
	}
	return d.bring(t, n, upto)
}

// Load calls f with every record of the table, in no fixed order (an OrderedSet: not in key order either);
// the records of one key of a Bag come together, oldest first. f's error ends it. f must not use the Disk.
func (d *Disk) Load(table string, f func(term.Tuple) error) error {
	_, h, err := d.current(table)
	if err != nil || h == nil {
		return err
	}
	err = h.im.each(func(rows []term.Tuple) error {
		for _, r := range rows {
			if err := f(r); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, h.release())
}

// Replace makes rows the whole content of the table, durably and at once: after a crash it is the old content
// or the new. Changes appended before the call are forgotten, those appended after it began come on top.
func (d *Disk) Replace(table string, rows iter.Seq[term.Tuple]) error {
	t, err := d.find(table)
	if err != nil {
		return err
	}
	d.work.Lock()
	defer d.work.Unlock()
	if d.closed.Load() {
		return errClosed()
	}
	d.mu.RLock()
	fence := d.last
	d.mu.RUnlock()
	if err := d.wal.sync(fence); err != nil { // else a later batch could get a number that the image takes for its own
		return err
	}
	if err := d.forget(t); err != nil { // not every system replaces a file that is open
		return err
	}
	if err := d.images.build(t.identity, fence, rows); err != nil {
		return err
	}
	if err := d.forget(t); err != nil {
		return err
	}
	d.mu.Lock()
	known := t.imaged
	t.imaged = true
	n := 0
	for n < len(t.pend) && t.pend[n].lsn <= fence {
		n++
	}
	t.setPending(t.pend[n:])
	d.mu.Unlock()
	if known {
		return nil
	}
	return d.writeManifest()
}

// Get gives the records with a key, oldest first. It works for all tables and is meant for disc_only_copies.
func (d *Disk) Get(table string, key term.Term) ([]term.Tuple, error) {
	t, err := d.find(table)
	if err != nil {
		return nil, err
	}
	k := imageKey(t.typ, key)
	d.mu.RLock()
	only := t.only
	waiting, ok := t.index[string(k)]
	if !ok {
		waiting = t.index[everyKey]
	}
	waiting = slices.Clone(waiting)
	d.mu.RUnlock()
	var h *handle
	if only {
		h, err = d.acquire(t)
	} else {
		_, h, err = d.current(table)
	}
	if err != nil {
		return nil, err
	}
	var rows []term.Tuple
	if h != nil {
		rows, err = h.im.get(k)
		err = errors.Join(err, h.release())
	}
	return fold(t.typ, rows, waiting), err
}

// Next gives the key after key in the table's own fixed order; a nil key asks for the first. found is false at the
// end. A key that is not there is kit.NotFound.
func (d *Disk) Next(table string, key term.Term) (next term.Term, found bool, err error) {
	t, h, err := d.current(table)
	if err != nil {
		return nil, false, err
	}
	if h == nil && key == nil {
		return nil, false, nil
	}
	var rows []term.Tuple
	var k []byte
	if key != nil {
		k = imageKey(t.typ, key)
		if h != nil {
			rows, err = h.im.get(k)
		}
		if err == nil && len(rows) == 0 {
			err = &kit.Error{Op: "find key after", Kind: kit.NotFound, What: term.String(key)}
		}
	}
	if err == nil {
		rows, err = h.im.next(k)
	}
	if h != nil {
		err = errors.Join(err, h.release())
	}
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	return rows[0][1], true, nil
}

// Count gives the number of records.
func (d *Disk) Count(table string) (int, error) {
	_, h, err := d.current(table)
	if err != nil || h == nil {
		return 0, err
	}
	return h.im.count(), h.release()
}

// Verify reads every image and checks every checksum; it names the first file that is damaged.
func (d *Disk) Verify() error {
	for _, t := range d.Tables() {
		if err := d.Load(t.Name, func(term.Tuple) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}
