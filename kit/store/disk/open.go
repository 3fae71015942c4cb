package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Options say where a disc is: Dir(path) for a folder, NewMemory().Options() for tests, Link(link) in the simulator.
type Options struct {
	// Fault, when set, is asked before every change to a file: op is the moment ("append", "rotate", "dump into",
	// "write image", "build image", "write manifest"), call what is done (open, write, sync, truncate, rename, remove). Its error
	// is the call's; ErrFull plays a full disc. It may be called from several goroutines.
	Fault func(op, call, name string) error

	open func() (FS, imager, error)
}

// Disk is an open disc. It is safe for concurrent use.
type Disk struct {
	fs     FS
	sides  atomic.Uint64 // side files begun
	images imager
	wal    *wal
	notes  []string

	// work is held by whoever writes images, begins a segment or closes. It is taken before the others, wal.mu
	// before mu, and opening together with neither of them.
	work   sync.Mutex
	begun  atomic.Bool // there is a log; set with work held
	closed atomic.Bool // set with work held
	seq    uint64      // of the segment that is written to
	first  uint64      // the first segment that is needed
	base   LSN         // the first batch of that segment
	start  LSN         // the first batch of segment seq

	opening sync.Mutex // guards table.handle

	mu     sync.RWMutex
	tables map[string]*table
	meta   map[any]term.Pair
	behind int // changes in the log and not dumped
	last   LSN // the last batch that tables and meta show
	gone   []*table
}

// table is what is known of a table. Disk.mu guards it, but for handle.
type table struct {
	identity
	only    bool
	imaged  bool // its image must be there
	gone    bool // dropped
	waiting int  // changes in the log that are not in the image
	partial bool // some of what waits is in the log only: a dump comes before reading
	fresh   *overlay
	older   *overlay // what a dump is about to bring into the image
	handle  *handle
}

// Open opens the disc, or an empty one where nothing is; nothing is written before the first Append. What the log
// holds is dumped into the images first. A folder that another process has open is kit.Refused, damage kit.Corrupt.
func Open(o Options) (*Disk, error) {
	d := &Disk{tables: map[string]*table{}, meta: map[any]term.Pair{}}
	fsys, images, err := o.open()
	if err != nil {
		return nil, err
	}
	if o.Fault != nil {
		fsys = faulty{fsys, o.Fault}
	}
	if images == nil {
		images = plainImager{fsys}
	}
	if b, ok := images.(interface{ withFS(FS) imager }); ok {
		images = b.withFS(fsys)
	}
	d.fs, d.images = fsys, images
	d.wal = newWAL(fsys, d.take)
	if err := d.recover(); err != nil {
		if d.wal.file != nil {
			_ = d.wal.file.Close() // the error that matters is err
		}
		_ = fsys.Close()
		return nil, err
	}
	return d, nil
}

// recover reads manifest and log, brings the images up to date and tidies the folder.
func (d *Disk) recover() error {
	names, err := d.fs.List("open disc")
	if err != nil {
		return ioError("open disc", "", err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, tmpSuffix) {
			if err := d.fs.Remove("open disc", n); err != nil {
				return ioError("open disc", n, err)
			}
		}
	}
	found, err := d.readManifest()
	if err != nil {
		return err
	}
	if !found {
		return d.fresh(names)
	}
	if err := d.replay(segments(names)); err != nil {
		return err
	}
	if err := d.checkImages(names); err != nil {
		return err
	}
	d.begun.Store(true)
	if d.behind > 0 && d.behind <= openDump {
		return d.Dump()
	}
	return d.tidy()
}

// openDump is up to how many changes Open dumps. More wait for their table to be loaded, which reads them from the log.
const openDump = 10_000

// fresh makes sure that a folder without a manifest has nothing in it that a manifest should tell about.
func (d *Disk) fresh(names []string) error {
	for _, n := range names {
		if strings.HasSuffix(n, d.images.suffix()) {
			return corrupt(manifestName, "it is missing, though there is an image "+n, "")
		}
	}
	for _, seq := range segments(names) {
		name := segmentName(seq)
		b, err := readFile(d.fs, "open disc", name)
		if err != nil {
			return ioError("open disc", name, err)
		}
		if seq != 1 || len(b) > segmentHeader {
			return corrupt(manifestName, "it is missing, though there is a log", "")
		}
		if err := d.fs.Remove("open disc", name); err != nil { // begun, and crashed before the manifest
			return ioError("open disc", name, err)
		}
	}
	return nil
}

// replay reads the segments and leaves the last one open for writing.
func (d *Disk) replay(seqs []uint64) error {
	for len(seqs) > 0 && seqs[0] < d.first {
		seqs = seqs[1:] // tidy removes it
	}
	if len(seqs) == 0 || seqs[0] != d.first {
		return corrupt(segmentName(d.first), "it is missing", "")
	}
	next := d.base
	for i, seq := range seqs {
		if seq != d.first+uint64(i) {
			return corrupt(segmentName(d.first+uint64(i)), "it is missing", "")
		}
		name := segmentName(seq)
		b, err := readFile(d.fs, "open disc", name)
		if err != nil {
			return ioError("open disc", name, err)
		}
		lastOne := i == len(seqs)-1
		if lastOne && i > 0 && len(b) < segmentHeader {
			d.note("removed %s, which a crash had left without a header", name)
			if err := d.fs.Remove("open disc", name); err != nil {
				return ioError("open disc", name, err)
			}
			break
		}
		s, err := scanSegment(name, b, lastOne, d.takeLogged)
		if err != nil {
			return err
		}
		if s.first != next {
			return corrupt(name, fmt.Sprintf("it begins with batch %d where batch %d is due", s.first, next), "")
		}
		next = s.last + 1
		d.seq, d.start = seq, s.first
		d.wal.size = s.good
		if s.cut > 0 {
			d.note("cut %d bytes off %s: an unfinished write after batch %d", s.cut, name, s.last)
			if err := d.fs.Truncate("open disc", name, s.good); err != nil {
				return ioError("open disc", name, err)
			}
		}
	}
	d.wal.last, d.wal.written = next-1, next-1
	d.last = next - 1
	return d.reopen(d.seq)
}

// reopen opens a segment for writing at its end.
func (d *Disk) reopen(seq uint64) error {
	name := segmentName(seq)
	f, err := d.fs.Append("open disc", name, false)
	if err != nil {
		return ioError("open disc", name, err)
	}
	d.wal.file, d.wal.name = f, name
	return nil
}

func (d *Disk) checkImages(names []string) error {
	for _, t := range d.tables {
		if name := t.file() + d.images.suffix(); t.imaged && !slices.Contains(names, name) {
			return corrupt(name, "it is missing", "")
		}
	}
	return nil
}

func (d *Disk) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// take brings a batch of the log into what is known. wal calls it with its lock held.
func (d *Disk) take(lsn LSN, batch []Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = lsn
	d.behind += len(batch)
	for i := range batch {
		if c := &batch[i]; c.Op >= SetMeta {
			d.takeSchema(lsn, c)
		} else if t := d.tables[c.Table]; t != nil && lsn >= t.created {
			t.waiting++
			if t.only {
				t.fresh.add(t.typ, pending{lsn, *c})
			}
		}
	}
}

// takeLogged is take for a batch that is read from the log.
func (d *Disk) takeLogged(lsn LSN, body []byte) error {
	d.last = lsn
	return readBatch(body, func(l *logged) error {
		d.behind++
		t := d.tables[string(l.table)]
		if l.op < SetMeta && (t == nil || lsn < t.created || !t.only) {
			if t != nil && lsn >= t.created {
				t.waiting++
			}
			return nil
		}
		c, err := l.change()
		switch {
		case err != nil:
			return err
		case c.Op >= SetMeta:
			d.takeSchema(lsn, &c)
		default:
			t.waiting++
			t.fresh.add(t.typ, pending{lsn, c})
		}
		return nil
	})
}

// takeSchema takes a named value, or the making or dropping of a table.
func (d *Disk) takeSchema(lsn LSN, c *Change) {
	t := d.tables[c.Table]
	switch c.Op {
	case SetMeta:
		d.meta[term.Key(c.Key)] = term.Pair{Key: c.Key, Value: c.Value}
	case DelMeta:
		delete(d.meta, term.Key(c.Key))
	case Create:
		if t == nil {
			t = &table{identity: identity{c.Table, c.Type, lsn}, only: c.Only}
			if t.only {
				t.fresh = &overlay{}
			}
			d.tables[c.Table] = t
		}
		if lsn >= t.created && t.only != c.Only {
			t.only, t.partial = c.Only, c.Only && t.waiting > 0
			t.fresh, t.older = nil, nil
			if t.only {
				t.fresh = &overlay{}
			}
		}
	case Drop:
		if t != nil && t.created < lsn {
			t.gone = true
			d.gone = append(d.gone, t)
			delete(d.tables, c.Table)
		}
	}
}

// Empty reports whether nothing was ever written here: no log, no table, no named value.
func (d *Disk) Empty() bool { return !d.begun.Load() }

// Notes tell what Open found and mended.
func (d *Disk) Notes() []string { return slices.Clone(d.notes) }

// Append writes the batch to the log, whole or not at all, and gives its number; see the package comment for
// what survives what. A full disc is kit.Overloaded and changes nothing. A change of a table that is not there is
// kit.NotFound. The terms must not change afterwards.
func (d *Disk) Append(batch ...Change) (LSN, error) {
	return d.log(batch, d.wal.append)
}

// AppendSynced is Append followed by Sync of that batch, with one write and one sync for all who do it at the same time. After an
// error of kit.Broken the batch may be in the log, as after a Sync that failed.
func (d *Disk) AppendSynced(batch ...Change) (LSN, error) {
	return d.log(batch, d.wal.appendSynced)
}

// log hands a batch that can be replayed to the log.
func (d *Disk) log(batch []Change, write func([]Change) (LSN, error)) (LSN, error) {
	if d.closed.Load() {
		return 0, errClosed()
	}
	if err := d.check(batch); err != nil {
		return 0, err
	}
	if err := d.begin(); err != nil {
		return 0, err
	}
	return write(batch)
}

// check refuses a batch that could not be replayed.
func (d *Disk) check(batch []Change) error {
	if len(batch) == 0 {
		return &kit.Error{Op: "append to the log", Kind: kit.Invalid, Err: errors.New("an empty batch")}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.behind > MaxPending {
		return &kit.Error{Op: "append to the log", Kind: kit.Overloaded, Err: errors.New("too much waits for a dump")}
	}
	schema := false
	for i := range batch {
		c := &batch[i]
		if err := c.check(); err != nil {
			return err
		}
		schema = schema || c.Op == Create || c.Op == Drop
	}
	if schema {
		return d.checkSchema(batch)
	}
	for i := range batch {
		if c := &batch[i]; c.Table != "" && d.tables[c.Table] == nil {
			return noTable(c.Table)
		}
	}
	return nil
}

func noTable(name string) error {
	return &kit.Error{Op: "append to the log", Kind: kit.NotFound, What: "table " + name}
}

// checkSchema is check for a batch that makes or drops tables. It is called with mu held.
func (d *Disk) checkSchema(batch []Change) error {
	made, touched := map[string]bool{}, map[string]bool{} // by this batch
	for i := range batch {
		c := &batch[i]
		t := d.tables[c.Table]
		switch {
		case c.Op == SetMeta || c.Op == DelMeta:
		case c.Op == Create && t != nil && t.typ != c.Type && !made[c.Table]:
			return &kit.Error{Op: "create", Kind: kit.Exists, What: "table " + c.Table, Err: errors.New("with another type")}
		case c.Op == Create && touched[c.Table]:
			return &kit.Error{Op: "create", Kind: kit.Invalid, What: "table " + c.Table, Err: errors.New("after changes of it in the same batch")}
		case c.Op == Create || c.Op == Drop:
			made[c.Table] = true
		case t == nil && !made[c.Table]:
			return noTable(c.Table)
		default:
			touched[c.Table] = true
		}
	}
	return nil
}

// begin makes log and manifest of a disc that had none.
func (d *Disk) begin() error {
	if d.begun.Load() {
		return nil
	}
	d.work.Lock()
	defer d.work.Unlock()
	switch {
	case d.closed.Load():
		return errClosed()
	case d.begun.Load():
		return nil
	}
	d.seq, d.first, d.base, d.start = 1, 1, 1, 1
	f, err := d.newSegment("begin log", 1, 1)
	if err != nil {
		return err
	}
	if err := d.writeManifest(); err != nil {
		_ = f.Close() // the error that matters is err; the next try begins anew
		return err
	}
	d.wal.file, d.wal.name, d.wal.size = f, segmentName(1), int64(segmentHeader)
	d.begun.Store(true)
	return nil
}

func errClosed() error {
	return &kit.Error{Op: "use disc", Kind: kit.Unavailable, Err: fs.ErrClosed}
}

// newSegment makes a segment whose header is on the disc.
func (d *Disk) newSegment(op string, seq uint64, first LSN) (File, error) {
	name := segmentName(seq)
	f, err := d.fs.Append(op, name, true)
	if err != nil {
		return nil, ioError(op, name, err)
	}
	if _, err = f.Write(op, segmentStart(first)); err == nil {
		err = f.Sync(op)
	}
	if err == nil {
		err = d.fs.SyncDir(op)
	}
	if err != nil {
		_ = f.Close()
		_ = d.fs.Remove(op, name) // without records it does no harm if it stays
		return nil, ioError(op, name, err)
	}
	return f, nil
}

// Sync returns when every batch up to lsn is on the disc; one sync serves all who wait. lsn 0 means all so far.
func (d *Disk) Sync(lsn LSN) error {
	if !d.begun.Load() && lsn == 0 {
		return nil
	}
	return d.wal.sync(lsn)
}

// Meta gives a named value. It is kept in memory: cheap.
func (d *Disk) Meta(key term.Term) (term.Term, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p, ok := d.meta[term.Key(key)]
	return p.Value, ok
}

// AllMeta gives all named values, sorted by key.
func (d *Disk) AllMeta() []term.Pair {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.allMeta()
}

func (d *Disk) allMeta() []term.Pair {
	pairs := make([]term.Pair, 0, len(d.meta))
	for _, p := range d.meta {
		pairs = append(pairs, p)
	}
	return term.MakeMap(pairs...)
}

// Tables lists the tables, sorted by name.
func (d *Disk) Tables() []Table {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make([]Table, 0, len(d.tables))
	for _, t := range d.tables {
		out = append(out, Table{t.name, t.typ, t.only})
	}
	slices.SortFunc(out, func(a, b Table) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Pending says how much the log holds that is not in the images: when to Dump.
func (d *Disk) Pending() (changes int, bytes int64) {
	d.mu.RLock()
	changes = d.behind
	d.mu.RUnlock()
	d.wal.mu.Lock()
	defer d.wal.mu.Unlock()
	return changes, d.wal.size
}

// Close syncs, closes and unlocks. It is safe twice.
func (d *Disk) Close() error {
	d.work.Lock()
	defer d.work.Unlock()
	if d.closed.Swap(true) {
		return nil
	}
	var err error
	if d.begun.Load() {
		err = d.wal.close()
	}
	d.mu.Lock()
	tables := d.gone
	for _, t := range d.tables {
		tables = append(tables, t)
	}
	d.tables, d.gone = map[string]*table{}, nil
	d.mu.Unlock()
	for _, t := range tables {
		err = errors.Join(err, d.forget(t))
	}
	return errors.Join(err, ioError("close disc", "", d.fs.Close()))
}
