package disk

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
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
	return d.dump()
}

// dump is called with work held.
func (d *Disk) dump() error {
	p, err := d.rotate()
	if err != nil {
		return err
	}
	if err := d.bring(p); err != nil {
		return err
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
	for t, n := range p.tables {
		t.waiting -= n
		t.older, t.partial = nil, false
	}
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

// plan is what a dump has to bring into the images: the log up to a batch, which holds so many changes of these tables.
type plan struct {
	tables map[*table]int
	upto   LSN
	behind int
	first  uint64 // where the log begins if the dump comes to nothing
	base   LSN
	end    uint64 // the segment behind the last that matters
}

// rotate begins a new segment, unless the present one is empty, and says what stands before it.
func (d *Disk) rotate() (plan, error) {
	p := plan{first: d.first, base: d.base, tables: map[*table]int{}}
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
		d.mu.Lock()
		defer d.mu.Unlock()
		p.upto, p.behind, p.end = w.written, d.behind, d.seq
		for _, t := range d.tables {
			if t.waiting > 0 {
				p.tables[t] = t.waiting
			}
			if t.only {
				t.older, t.fresh = t.fresh.onto(t.typ, t.older), &overlay{}
			}
		}
		return nil
	})
	return p, err
}

// dumpBytes is about how much of the log a dump holds at a time.
const dumpBytes = 48 << 20

// bring reads the log and puts it into the images, a part at a time. An image says up to which batch it has the log.
func (d *Disk) bring(p plan) error {
	byName := make(map[string]*table, len(p.tables))
	for t := range p.tables {
		byName[t.name] = t
	}
	parts, bytes := map[*table]*part{}, 0
	flush := func(upto LSN) error {
		for _, t := range slices.SortedFunc(maps.Keys(parts), func(a, b *table) int { return strings.Compare(a.name, b.name) }) {
			if err := d.bringPart(t, parts[t], upto); err != nil {
				return err
			}
		}
		clear(parts)
		bytes = 0
		return nil
	}
	if len(p.tables) > 0 {
		for seq := p.first; seq < p.end; seq++ {
			name := segmentName(seq)
			b, err := readFile(d.fs, "dump", name)
			if err != nil {
				return ioError("dump", name, err)
			}
			err = eachBatch(name, b, func(lsn LSN, body []byte) (bool, error) {
				n, err := gather(parts, byName, lsn, body)
				if bytes += n; err == nil && bytes > dumpBytes {
					err = flush(lsn)
				}
				return true, err
			})
			if err != nil {
				return err
			}
		}
	}
	return flush(p.upto)
}

// gather adds the changes of a batch to the parts of their tables, and gives by how many bytes these grow.
func gather(parts map[*table]*part, byName map[string]*table, lsn LSN, body []byte) (grown int, err error) {
	keys := make([]byte, 0, 64)
	err = readBatch(body, func(l *logged) error {
		t := byName[string(l.table)]
		if t == nil || l.op >= SetMeta || lsn < t.created {
			return nil // of a table that is gone, or was before this one
		}
		p := parts[t]
		if p == nil {
			p = &part{}
			parts[t] = p
		}
		var c rawChange
		c, keys, err = l.raw(lsn, t.typ, keys)
		if err != nil {
			return err
		}
		grown -= p.bytes
		p.take(c)
		grown += p.bytes
		return nil
	})
	return grown, err
}

// bringPart puts a part of the log into a table's image. The log has it on the disc already.
func (d *Disk) bringPart(t *table, p *part, upto LSN) error {
	d.mu.RLock()
	gone := t.gone
	d.mu.RUnlock()
	if gone {
		return nil
	}
	h, err := d.acquire(t)
	if err != nil {
		return err
	}
	if h != nil {
		return errors.Join(h.im.apply(p, upto), h.release())
	}
	b, err := d.images.create(t.identity)
	if err != nil {
		return err
	}
	defer b.abort()
	if err := b.add(p); err != nil {
		return err
	}
	if err := b.commit(upto); err != nil {
		return err
	}
	d.mu.Lock()
	t.imaged = true
	d.mu.Unlock()
	return nil
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

// current brings what waits for the table into its image and opens it; nil when it has none.
func (d *Disk) current(name string) (*table, *handle, error) {
	t, err := d.find(name)
	if err != nil {
		return nil, nil, err
	}
	d.mu.RLock()
	n := t.waiting
	d.mu.RUnlock()
	if n > 0 {
		if err := d.Dump(); err != nil {
			return nil, nil, err
		}
	}
	h, err := d.acquire(t)
	return t, h, err
}

// Get gives the records with a key of a disc_only_copies table, oldest first.
func (d *Disk) Get(table string, key term.Term) ([]term.Tuple, error) {
	t, err := d.findOnly(table)
	if err != nil {
		return nil, err
	}
	return d.rowsOf(t, imageKey(t.typ, key))
}

// findOnly is find for what works with disc_only_copies tables.
func (d *Disk) findOnly(name string) (*table, error) {
	t, err := d.find(name)
	if err != nil {
		return nil, err
	}
	d.mu.RLock()
	only, partial := t.only, t.partial
	d.mu.RUnlock()
	if partial {
		if err := d.Dump(); err != nil {
			return nil, err
		}
	}
	if !only {
		return nil, &kit.Error{Op: "read from disc", Kind: kit.Invalid, What: "table " + name, Err: errors.New("it is no disc_only_copies table")}
	}
	return t, nil
}

// rowsOf gives the rows of an image key of a disc_only_copies table.
func (d *Disk) rowsOf(t *table, k []byte) (rows []term.Tuple, err error) {
	d.mu.RLock()
	waiting, cleared := t.waitingFor(string(k))
	d.mu.RUnlock()
	if !cleared {
		h, err := d.acquire(t)
		if err != nil {
			return nil, err
		}
		if h != nil {
			rows, err = h.im.get(k)
			if err = errors.Join(err, h.release()); err != nil {
				return nil, err
			}
		}
	}
	return fold(t.typ, rows, waiting), nil
}

// After gives the records of the key behind key, in term order, of a disc_only_copies table; a nil key asks for the
// first. No records: there is no such key.
func (d *Disk) After(table string, key term.Term) ([]term.Tuple, error) {
	t, err := d.findOnly(table)
	if err != nil {
		return nil, err
	}
	var k []byte
	if key != nil {
		k = imageKey(t.typ, key)
	}
	for {
		d.mu.RLock()
		next, waits := t.waitingAfter(string(k))
		cleared := t.fresh.cleared > 0 || t.older != nil && t.older.cleared > 0
		d.mu.RUnlock()
		var found []byte
		if !cleared {
			if found, err = d.imageAfter(t, k); err != nil {
				return nil, err
			}
		}
		switch {
		case found == nil && !waits:
			return nil, nil
		case found == nil, waits && next < string(found):
			found = []byte(next)
		}
		rows, err := d.rowsOf(t, found)
		if err != nil || len(rows) > 0 {
			return rows, err
		}
		k = found // it has been deleted
	}
}

// imageAfter gives the key behind k in the image; nil at the end.
func (d *Disk) imageAfter(t *table, k []byte) ([]byte, error) {
	h, err := d.acquire(t)
	if err != nil || h == nil {
		return nil, err
	}
	found, _, err := h.im.next(k)
	return found, errors.Join(err, h.release())
}

// Next gives the key behind key, in term order, of a disc_only_copies table; a nil key asks for the first. found is false
// at the end. A key that is not there is kit.NotFound.
func (d *Disk) Next(table string, key term.Term) (next term.Term, found bool, err error) {
	if key != nil {
		rows, err := d.Get(table, key)
		if err == nil && len(rows) == 0 {
			err = &kit.Error{Op: "find key after", Kind: kit.NotFound, What: term.String(key)}
		}
		if err != nil {
			return nil, false, err
		}
	}
	rows, err := d.After(table, key)
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	return rows[0][1], true, nil
}

// Count gives the number of records. Of a disc_only_copies table it looks at each key that waits in the log; of others it
// dumps the log first.
func (d *Disk) Count(table string) (int, error) {
	t, err := d.find(table)
	if err != nil {
		return 0, err
	}
	d.mu.RLock()
	only, partial := t.only, t.partial
	d.mu.RUnlock()
	if only && !partial {
		return d.countOnly(t)
	}
	_, h, err := d.current(table)
	if err != nil || h == nil {
		return 0, err
	}
	return h.im.count(), h.release()
}

// countOnly counts what image and waiting changes give. No dump goes on meanwhile.
func (d *Disk) countOnly(t *table) (int, error) {
	d.work.Lock()
	defer d.work.Unlock()
	if d.closed.Load() {
		return 0, errClosed()
	}
	d.mu.Lock() // Copy is a write
	sum := t.fresh.onto(t.typ, t.older)
	keys := sum.keys.Copy()
	cleared := sum.cleared > 0
	d.mu.Unlock()
	h, err := d.acquire(t)
	if err != nil {
		return 0, err
	}
	n := 0
	if h != nil && !cleared {
		n = h.im.count()
	}
	keys.Scan(func(k string, ps []pending) bool {
		var rows []term.Tuple
		if h != nil && !cleared {
			if rows, err = h.im.get([]byte(k)); err != nil {
				return false
			}
		}
		n += len(foldPending(t.typ, rows, ps)) - len(rows)
		return true
	})
	if h != nil {
		err = errors.Join(err, h.release())
	}
	return n, err
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
