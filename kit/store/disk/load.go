package disk

import (
	"errors"
	"runtime"
	"sync"

	"github.com/tidwall/btree"

	"netsplit/kit/term"
)

// How a table is read as a whole: one goroutine walks through the image or the log, some decode what it finds, and
// the caller takes it in the order in which it was found.

// Loaded is one change on the way to a table's content.
type Loaded struct {
	Op  Op         // Put, Delete, DeleteObject or Clear
	Row term.Tuple // Put, DeleteObject
	Key term.Term  // Delete
}

// portion is a run of what the walk has found. Its slices may be parts of a mapped file.
type portion struct {
	found []found
	out   []Loaded
	err   error
	ready chan struct{} // closed when out or err is there
}

// found is something encoded: a key with its rows as an image stores them, or a change of the log.
type found struct {
	op      Op // 0: rows of an image
	key     []byte
	value   []byte
	waiting []pending // changes of these rows
	typ     Type      // with waiting
}

// Sizes of the pipe: how many of found are decoded at a time, and how many portions may be on their way.
const (
	portionSize = 512
	portions    = 16
)

// pipe runs walk, which hands what it finds to a feeder, and gives the decoded changes to f in order. f's error ends it.
func pipe(decode func(p *portion), walk func(fd *feeder) error, f func(Loaded) error) error {
	fd := &feeder{work: make(chan *portion, portions), order: make(chan *portion, portions), stop: make(chan struct{}), next: &portion{}}
	var decoders, walker sync.WaitGroup
	for range max(1, runtime.GOMAXPROCS(0)) {
		decoders.Go(func() {
			for p := range fd.work {
				decode(p)
				close(p.ready)
			}
		})
	}
	var walkErr error
	walker.Go(func() {
		defer close(fd.order)
		walkErr = walk(fd)
		fd.end()
	})
	var err error
	for p := range fd.order {
		<-p.ready
		if err != nil {
			continue
		}
		if err = p.err; err == nil {
			err = deliver(p.out, f)
		}
		if err != nil {
			close(fd.stop)
		}
	}
	walker.Wait()
	close(fd.work)
	decoders.Wait()
	if err == nil {
		err = walkErr
	}
	return err
}

func deliver(out []Loaded, f func(Loaded) error) error {
	for i := range out {
		if err := f(out[i]); err != nil {
			return err
		}
	}
	return nil
}

var errStopped = errors.New("stopped")

// feeder gathers what is found into portions and sends them on their way.
type feeder struct {
	work, order chan *portion
	stop        chan struct{}
	next        *portion
	underway    []*portion
}

func (fd *feeder) hand(x found) error {
	fd.next.found = append(fd.next.found, x)
	if len(fd.next.found) < portionSize {
		return nil
	}
	return fd.send()
}

func (fd *feeder) send() error {
	p := fd.next
	if len(p.found) == 0 {
		return nil
	}
	fd.next = &portion{found: make([]found, 0, portionSize)}
	p.ready = make(chan struct{})
	select {
	case <-fd.stop:
		return errStopped
	case fd.work <- p:
	}
	fd.order <- p // it is taken from there until it is closed
	fd.underway = append(fd.underway, p)
	if len(fd.underway) > 2*portions {
		<-fd.underway[0].ready
		fd.underway = fd.underway[1:]
	}
	return nil
}

// end sends the rest and returns when all is decoded: then what was found is not needed any more.
func (fd *feeder) end() {
	_ = fd.send() // errStopped: nobody wants it
	for _, p := range fd.underway {
		<-p.ready
	}
	fd.underway = nil
}

// decodePortion decodes rows of an image and changes of the log.
func decodePortion(file string, p *portion) error {
	p.out = make([]Loaded, 0, len(p.found))
	rows := make([]term.Tuple, 0, 1)
	for _, x := range p.found {
		var err error
		switch x.op {
		case 0:
			rows = rows[:0]
			if x.value != nil {
				if rows, err = readRows(rows, x.key, x.value); err != nil {
					return damagedRows(file, x.key, x.value)
				}
			}
			if x.waiting != nil {
				rows = foldPending(x.typ, rows, x.waiting)
			}
			for _, r := range rows {
				p.out = append(p.out, Loaded{Op: Put, Row: r})
			}
		case Clear:
			p.out = append(p.out, Loaded{Op: Clear})
		case Delete:
			l := Loaded{Op: Delete}
			if l.Key, _, err = term.Decode(x.value); err != nil {
				return corrupt(file, "a change in it is damaged: "+err.Error(), "")
			}
			p.out = append(p.out, l)
		default:
			l := Loaded{Op: x.op}
			if l.Row, _, err = term.DecodeTuple(x.value); err != nil || len(l.Row) < 2 {
				return corrupt(file, "a record in it is damaged", "")
			}
			p.out = append(p.out, l)
		}
	}
	return nil
}

// Load calls f with every record of the table, by key in term order; the records of one key of a Bag come together, oldest
// first. What the log holds is dumped before. f's error ends it. f must not use the Disk.
func (d *Disk) Load(table string, f func(term.Tuple) error) error {
	_, h, err := d.current(table)
	if err != nil || h == nil {
		return err
	}
	return errors.Join(loadImage(h.im, func(l Loaded) error { return f(l.Row) }), h.release())
}

func loadImage(im image, f func(Loaded) error) error {
	var stop error // f's own, which is handed on as it is
	err := pipe(func(p *portion) {
		p.err = im.safely(func() error { return decodePortion(im.file(), p) })
	}, func(fd *feeder) error {
		return im.each(func(key, stored []byte) error { return fd.hand(found{key: key, value: stored}) }, fd.end)
	}, func(l Loaded) error {
		stop = f(l)
		return stop
	})
	if stop != nil {
		return stop
	}
	return err
}

// Replay calls f with changes that make the table's content of an empty table: the records of its image by key in term
// order, then what the log holds for it. size, called first, tells about how many records there are. Nothing is written,
// unless the log holds much of other tables and is dumped for that. f's error ends it. f must not use the Disk.
func (d *Disk) Replay(table string, size func(n int), f func(Loaded) error) error {
	d.work.Lock()
	defer d.work.Unlock()
	if d.closed.Load() {
		return errClosed()
	}
	t, err := d.find(table)
	if err != nil {
		return err
	}
	d.mu.RLock()
	waiting, behind, last := t.waiting, d.behind, d.last
	d.mu.RUnlock()
	if waiting > 0 && behind-waiting > max(waiting, openDump) { // else each table would read all of the log
		if err := d.dump(); err != nil {
			return err
		}
		waiting = 0
	}
	h, err := d.acquire(t)
	if err != nil {
		return err
	}
	var applied LSN
	if h != nil {
		size(h.im.count() + waiting)
		applied = h.im.applied()
		if err = errors.Join(loadImage(h.im, f), h.release()); err != nil {
			return err
		}
	} else {
		size(waiting)
	}
	if waiting == 0 {
		return nil
	}
	return d.loadLog(t, applied, last, f)
}

// loadLog gives f the changes of a table in the log, from those behind one batch up to another.
func (d *Disk) loadLog(t *table, after, upto LSN, f func(Loaded) error) error {
	for seq := d.first; seq <= d.seq; seq++ {
		name := segmentName(seq)
		b, err := readFile(d.fs, "load", name)
		if err != nil {
			return ioError("load", name, err)
		}
		var stop error
		err = pipe(func(p *portion) { p.err = decodePortion(name, p) }, func(fd *feeder) error {
			return walkLog(name, b, t, after, upto, fd.hand)
		}, func(l Loaded) error {
			stop = f(l)
			return stop
		})
		if stop != nil {
			return stop
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func walkLog(name string, b []byte, t *table, after, upto LSN, hand func(found) error) error {
	return eachBatch(name, b, func(lsn LSN, body []byte) (bool, error) {
		if lsn > upto {
			return false, nil
		}
		if lsn <= after || lsn < t.created {
			return true, nil
		}
		return true, readBatch(body, func(l *logged) error {
			if l.op >= SetMeta || string(l.table) != t.name {
				return nil
			}
			return hand(found{op: l.op, value: l.value})
		})
	})
}

// Scan calls f with every record of a disc_only_copies table until it says no: by key in term order, the records of one key
// oldest first. It gives what there is when it begins, perhaps with later changes. f must not use the Disk.
func (d *Disk) Scan(table string, f func(term.Tuple) bool) error {
	t, err := d.findOnly(table)
	if err != nil {
		return err
	}
	d.mu.Lock() // Copy is a write
	sum := t.fresh.onto(t.typ, t.older)
	waiting, cleared := sum.keys.Copy(), sum.cleared > 0
	d.mu.Unlock()
	h, err := d.acquire(t)
	if err != nil {
		return err
	}
	file, safely := t.file(), func(f func() error) error { return f() }
	if h != nil {
		file, safely = h.im.file(), h.im.safely
	}
	err = pipe(func(p *portion) {
		p.err = safely(func() error { return decodePortion(file, p) })
	}, func(fd *feeder) error {
		m := merger{typ: t.typ, fd: fd, waiting: waiting.Iter()}
		m.more = m.waiting.First()
		if h == nil || cleared {
			return m.rest()
		}
		if err := h.im.each(m.hand, fd.end); err != nil {
			return err
		}
		return m.rest()
	}, func(l Loaded) error {
		if !f(l.Row) {
			return errStopped
		}
		return nil
	})
	if errors.Is(err, errStopped) {
		err = nil
	}
	if h != nil {
		err = errors.Join(err, h.release())
	}
	return err
}

// merger puts what waits in the log between the rows of an image.
type merger struct {
	typ     Type
	fd      *feeder
	waiting btree.MapIter[string, []pending]
	more    bool // waiting is at a key
}

func (m *merger) hand(key, stored []byte) error {
	for m.more && m.waiting.Key() < string(key) {
		if err := m.take(nil, nil); err != nil {
			return err
		}
	}
	if m.more && m.waiting.Key() == string(key) {
		return m.take(key, stored)
	}
	return m.fd.hand(found{key: key, value: stored})
}

// take hands on what waits for a key, with what the image has for it.
func (m *merger) take(key, stored []byte) error {
	x := found{typ: m.typ, key: key, value: stored, waiting: m.waiting.Value()}
	m.more = m.waiting.Next()
	return m.fd.hand(x)
}

func (m *merger) rest() error {
	for m.more {
		if err := m.take(nil, nil); err != nil {
			return err
		}
	}
	return nil
}
