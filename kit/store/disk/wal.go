package disk

import (
	"errors"
	"sync"

	"netsplit/kit"
)

// wal is the open end of the log. Writers put their batches into a flight; whoever finds nobody writing
// writes the flight for all. The same for syncs: one leader syncs for all who wait. Those who wait for a sync anyway do not write
// by themselves: while one sync is under way the next flight gathers, and its leader writes it all at once.
type wal struct {
	fs FS
	// done is called, in order and with mu held, with each batch that reached the operating system.
	done func(LSN, []Change)

	mu      sync.Mutex
	moved   sync.Cond  // whenever writing, a flight or broken changes, or syncing ends
	covered *sync.Cond // the end of the sync that is under way, for those whom it serves
	gather  *sync.Cond // for those who need the next one: one of them is to lead it
	file    File
	name    string
	size    int64 // of the undamaged file
	next    *flight
	spare   []byte // the buffer of a flight that has landed
	writing bool
	syncing bool
	holding bool // somebody waits for both to end; none may begin
	last    LSN  // the last batch that was given a number
	written LSN  // the last batch that the operating system has
	synced  LSN
	upto    LSN   // what the sync that is under way will have synced
	broken  error // why nothing can be written any more
}

// flight is what goes to the file in one write.
type flight struct {
	buf     []byte
	batches []flying
	last    LSN
	done    bool
	err     error
}

type flying struct {
	lsn     LSN
	changes []Change
}

// maxSpare is how big a buffer may be that is kept for the next flight.
const maxSpare = 1 << 20

// maxFlight bounds the bytes that wait for a write.
const maxFlight = 2 * MaxBatch

func newWAL(fs FS, done func(LSN, []Change)) *wal {
	w := &wal{fs: fs, done: done, next: &flight{}}
	w.moved.L = &w.mu
	w.covered, w.gather = sync.NewCond(&w.mu), sync.NewCond(&w.mu)
	return w
}

// append writes a batch and returns when the operating system has it.
func (w *wal) append(batch []Change) (LSN, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, lsn, err := w.board(batch)
	if err != nil {
		return 0, err
	}
	for !f.done {
		if w.writing || w.holding {
			w.moved.Wait()
		} else {
			w.write()
			w.nudge()
		}
	}
	return lsn, f.err
}

// appendSynced writes a batch and returns when it is on the disc.
func (w *wal) appendSynced(batch []Change) (LSN, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, lsn, err := w.board(batch)
	if err != nil {
		return 0, err
	}
	for f.err == nil && w.synced < lsn {
		if f.done && w.broken != nil {
			return 0, w.broken
		}
		w.awaitSync(lsn)
	}
	return lsn, f.err
}

// board puts a batch into the next flight.
func (w *wal) board(batch []Change) (*flight, LSN, error) {
	if w.broken != nil {
		return nil, 0, w.broken
	}
	f := w.next
	if len(f.buf) > maxFlight {
		return nil, 0, &kit.Error{Op: "append to", Kind: kit.Overloaded, What: w.name, Err: errors.New("too much waits to be written")}
	}
	start, lsn := len(f.buf), w.last+1
	f.buf = appendRecord(f.buf, batchRecord, lsn, func(b []byte) []byte { return appendBatch(b, batch) })
	if len(f.buf)-start > MaxBatch {
		f.buf = f.buf[:start]
		return nil, 0, &kit.Error{Op: "append to", Kind: kit.Overloaded, What: w.name, Err: errors.New("the batch is too big")}
	}
	f.batches = append(f.batches, flying{lsn, batch})
	w.last, f.last = lsn, lsn
	return f, lsn, nil
}

// write writes the next flight, and what nobody waits for behind it; then it is somebody else's turn. It is
// called, and returns, with mu held.
func (w *wal) write() {
	w.writing = true
	for first := true; len(w.next.buf) > 0 && w.broken == nil && (first || len(w.next.batches) == 0); first = false {
		f := w.next
		w.next = &flight{buf: w.spare[:0]}
		w.spare = nil
		w.mu.Unlock()
		n, err := w.file.Write("append", f.buf)
		w.mu.Lock()
		if err != nil {
			w.failed(f, n, ioError("append to", w.name, err))
			continue
		}
		w.size += int64(n)
		for _, b := range f.batches {
			w.written = b.lsn
			w.done(b.lsn, b.changes)
		}
		w.land(f, nil)
		if cap(f.buf) <= maxSpare {
			w.spare = f.buf
		}
	}
	if w.broken != nil {
		w.land(w.next, w.broken)
		w.next, w.last = &flight{}, w.written
	}
	w.writing = false
	w.moved.Broadcast()
}

func (w *wal) land(f *flight, err error) {
	f.done, f.err = true, err
	w.moved.Broadcast()
	if err != nil {
		w.gather.Broadcast()
	}
}

// failed takes back a flight of which n bytes were written, and what waits behind it: their numbers are given again.
func (w *wal) failed(f *flight, n int, err error) {
	if n > 0 {
		if terr := w.fs.Truncate("append", w.name, w.size); terr != nil {
			w.broken = &kit.Error{Op: "append to", Kind: kit.Broken, What: w.name, Err: errors.Join(err, terr), Hint: "restart the node"}
			err = w.broken
		}
	}
	behind := w.next
	w.next = &flight{}
	w.last = w.written
	w.land(f, err)
	w.land(behind, err)
}

// sync returns when everything up to lsn is on the disc.
func (w *wal) sync(lsn LSN) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if lsn == 0 {
		lsn = w.written
	}
	for w.synced < lsn {
		switch {
		case w.broken != nil:
			return w.broken
		case lsn > w.last:
			return &kit.Error{Op: "sync", Kind: kit.Invalid, What: w.name, Err: errors.New("no such batch yet")}
		}
		w.awaitSync(lsn)
	}
	return nil
}

// awaitSync does what brings a sync of lsn nearer: it waits for one, or leads one. It is called, and returns, with mu held.
func (w *wal) awaitSync(lsn LSN) {
	switch {
	case w.syncing && lsn <= w.upto:
		w.covered.Wait()
	case w.syncing || w.writing || w.holding:
		w.gather.Wait()
	default:
		w.lead()
	}
}

// nudge wakes one of those who need a sync, to lead it, if it can begin.
func (w *wal) nudge() {
	if !w.syncing && !w.writing && !w.holding {
		w.gather.Signal()
	}
}

// lead writes what has gathered and syncs for all who wait. It is called, and returns, with mu held.
func (w *wal) lead() {
	if len(w.next.batches) > 0 {
		w.write()
	}
	if w.broken != nil || w.written == w.synced {
		w.nudge()
		return
	}
	w.syncing, w.upto = true, w.written
	w.covered, w.gather = w.gather, w.covered // nobody waits for the end of the last one any more
	w.mu.Unlock()
	err := w.file.Sync("append")
	w.mu.Lock()
	w.syncing = false
	if err != nil {
		// What an interrupted sync has lost is not known, and asking again may answer "all well".
		w.broken = &kit.Error{Op: "sync", Kind: kit.Broken, What: w.name, Err: err, Hint: "restart the node"}
		w.gather.Broadcast()
	} else if w.upto > w.synced {
		w.synced = w.upto
		w.next.buf = appendRecord(w.next.buf, markRecord, w.upto, nil)
		if len(w.next.batches) == 0 && !w.writing && !w.holding { // else it goes with those
			w.write()
		}
	}
	w.covered.Broadcast()
	w.moved.Broadcast()
	w.nudge()
}

// hold waits until nobody writes or syncs, keeps both from beginning, and calls f without the lock. What f
// leaves broken stays so; writers wait meanwhile.
func (w *wal) hold(f func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holding = true
	for w.writing || w.syncing {
		w.moved.Wait()
	}
	w.mu.Unlock()
	err := f()
	w.mu.Lock()
	w.holding = false
	w.write()
	w.gather.Broadcast()
	return err
}

// rotated goes on with a new segment, inside hold. The old one is on the disc.
func (w *wal) rotated(f File, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.file, w.name, w.size = f, name, int64(segmentHeader)
	w.synced = w.written
}

// close syncs and closes. The second sync is for the mark that the first leaves.
func (w *wal) close() error {
	err := w.sync(0)
	herr := w.hold(func() error {
		if err == nil {
			err = w.file.Sync("close")
		}
		w.mu.Lock()
		w.broken = &kit.Error{Op: "use disc", Kind: kit.Unavailable, Err: errors.New("it is closed")}
		w.mu.Unlock()
		return errors.Join(err, w.file.Close())
	})
	return ioError("close", w.name, herr)
}
