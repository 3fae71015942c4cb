package split

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// The files of a journal: split.state names the starts, the runs and the log; runs hold records sorted; the log holds
// what memory holds. A record in a file is its length and a CRC-32C, four bytes each, little-endian, and a term:
//
//	{Number, Table, ID, Key, First, Latest, [Row before, ...]}   a change
//	{Number, Table, ID, Latest}                                  the latest operation of a change that stands before

const stateName = "split.state"

func runName(n int) string { return fmt.Sprintf("split.%d.run", n) }
func logName(n int) string { return fmt.Sprintf("split.%d.log", n) }

// maxRecord bounds one record of a file: all rows of a key, which came in frames of at most 16 MiB.
const maxRecord = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendFramed(b []byte, t term.Term) []byte {
	at := len(b)
	b = term.Append(append(b, 0, 0, 0, 0, 0, 0, 0, 0), t)
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-8))
	binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(b[at+8:], castagnoli))
	return b
}

func appendRecord(b []byte, c *Change) []byte {
	before := make(term.List, len(c.Before))
	for i, r := range c.Before {
		before[i] = r
	}
	return appendFramed(b, term.T(term.Int(c.Seq), term.Atom(c.Table), term.Bin(c.ID), c.Key, term.Int(c.First), term.Int(c.Latest), before))
}

func appendLatest(b []byte, c *Change) []byte {
	return appendFramed(b, term.T(term.Int(c.Seq), term.Atom(c.Table), term.Bin(c.ID), term.Int(c.Latest)))
}

var errDamaged = errors.New("it is damaged")

func damaged(name string) error {
	return &kit.Error{Op: "read split journal", What: name, Kind: kit.Corrupt, Err: errDamaged,
		Hint: "what was changed since the split is not known any more; compare the copies by their rows"}
}

// readTerm reads one framed term; io.EOF at a clean end.
func readTerm(r *bufio.Reader) (t term.Term, size int, err error) {
	var head [8]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if n == 0 && err == io.EOF {
			return nil, 0, io.EOF
		}
		return nil, 0, errDamaged
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxRecord {
		return nil, 0, errDamaged
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(n))) // the length is not trusted
	if err != nil || len(b) != int(n) || crc32.Checksum(b, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, 0, errDamaged
	}
	t, rest, err := term.Decode(b)
	if err != nil || len(rest) > 0 {
		return nil, 0, errDamaged
	}
	return t, int(n) + 8, nil
}

// changeOf reads a record; whole is false for a note of the latest operation.
func changeOf(t term.Term) (c *Change, whole, ok bool) {
	r, isTuple := t.(term.Tuple)
	if !isTuple || len(r) != 7 && len(r) != 4 {
		return nil, false, false
	}
	seq, ok1 := r[0].(term.Int)
	tab, ok2 := r[1].(term.Atom)
	id, ok3 := r[2].(term.Bin)
	if !ok1 || !ok2 || !ok3 || seq < 0 {
		return nil, false, false
	}
	c = &Change{Seq: uint64(seq), Table: string(tab), ID: string(id)}
	if len(r) == 4 {
		c.Latest, ok = opOf(r[3])
		return c, false, ok
	}
	c.Key = r[3]
	first, ok1 := opOf(r[4])
	latest, ok2 := opOf(r[5])
	rows, ok3 := r[6].(term.List)
	if !ok1 || !ok2 || !ok3 {
		return nil, false, false
	}
	c.First, c.Latest = first, latest
	for _, row := range rows {
		tp, ok := row.(term.Tuple)
		if !ok || len(tp) < 2 {
			return nil, false, false
		}
		c.Before = append(c.Before, tp)
	}
	return c, true, true
}

func opOf(t term.Term) (Op, bool) {
	n, ok := t.(term.Int)
	return Op(n), ok && n >= term.Int(Write) && n <= term.Int(Clear)
}

// save writes the state. Callers hold mu.
func (j *Journal) save() error {
	if j.files == nil {
		return nil
	}
	if len(j.starts) == 0 {
		return j.removeAll()
	}
	starts, runs := term.List{}, term.List{}
	for _, s := range j.list() {
		starts = append(starts, term.T(term.Atom(s.Table), term.Atom(s.Peer), term.Int(s.Seq), term.Int(s.At.UnixNano()),
			term.Bin(s.Truncated), term.Atom(s.CopiedFrom)))
	}
	for _, r := range j.runs {
		runs = append(runs, term.T(term.Int(r.n), term.Int(r.bytes)))
	}
	b := appendFramed(nil, term.T(term.Atom("split"), term.Int(1), term.Int(j.seq), term.Int(j.next), term.Int(j.logs), starts, runs))
	return j.files.WriteFile(stateName, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// removeAll takes all files away. Callers hold mu.
func (j *Journal) removeAll() error {
	errs := []error{j.files.RemoveFile(stateName)} // first: without it the others mean nothing
	if j.log != nil {
		errs = append(errs, j.log.Close(), j.files.RemoveFile(logName(j.logs)))
		j.log = nil
	}
	j.retired = append(j.retired, j.runs...)
	j.runs = nil
	j.sweep()
	j.logs++
	j.next++
	return errors.Join(errs...)
}

// Load takes over what a journal left on the disc. Damage is kit.Corrupt: nothing is taken over then.
func (j *Journal) Load() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.files == nil {
		return nil
	}
	f, err := j.files.OpenFile(stateName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t, _, err := readTerm(bufio.NewReader(f))
	if err = errors.Join(err, f.Close()); err != nil || !j.readState(t) {
		return damaged(stateName)
	}
	if err := j.readLog(); err != nil {
		return err
	}
	j.active.Store(len(j.starts) > 0)
	for n := max(0, j.next-maxRuns); n < j.next+2; n++ { // what a crash kept from being removed
		if f, err := j.files.OpenFile(runName(n)); err == nil {
			_ = f.Close() // it was only looked for
			if !slices.ContainsFunc(j.runs, func(r run) bool { return r.n == n }) {
				_ = j.files.RemoveFile(runName(n))
			}
		}
	}
	return nil
}

func (j *Journal) readState(t term.Term) bool {
	r, ok := t.(term.Tuple)
	if !ok || len(r) != 7 || r[0] != term.Term(term.Atom("split")) || r[1] != term.Term(term.Int(1)) {
		return false
	}
	seq, ok1 := r[2].(term.Int)
	next, ok2 := r[3].(term.Int)
	logs, ok3 := r[4].(term.Int)
	starts, ok4 := r[5].(term.List)
	runs, ok5 := r[6].(term.List)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || len(starts) > MaxStarts || len(runs) > maxRuns {
		return false
	}
	for _, e := range starts {
		s, ok := startOf(e)
		if !ok {
			return false
		}
		if j.starts[s.Table] == nil {
			j.starts[s.Table] = map[kit.NodeName]*Start{}
		}
		j.starts[s.Table][s.Peer] = s
		j.since[s.Table] = max(j.since[s.Table], s.Seq)
	}
	for _, e := range runs {
		p, ok := e.(term.Tuple)
		if !ok || len(p) != 2 {
			return false
		}
		n, ok1 := p[0].(term.Int)
		size, ok2 := p[1].(term.Int)
		if !ok1 || !ok2 {
			return false
		}
		j.runs = append(j.runs, run{int(n), int64(size)})
	}
	j.seq, j.next, j.logs = uint64(seq), int(next), int(logs)
	return true
}

func startOf(t term.Term) (*Start, bool) {
	p, ok := t.(term.Tuple)
	if !ok || len(p) != 6 {
		return nil, false
	}
	tab, ok1 := p[0].(term.Atom)
	peer, ok2 := p[1].(term.Atom)
	seq, ok3 := p[2].(term.Int)
	at, ok4 := p[3].(term.Int)
	why, ok5 := p[4].(term.Bin)
	from, ok6 := p[5].(term.Atom)
	return &Start{Table: string(tab), Peer: kit.NodeName(peer), Seq: uint64(seq), At: time.Unix(0, int64(at)),
		Truncated: string(why), CopiedFrom: kit.NodeName(from)}, ok1 && ok2 && ok3 && ok4 && ok5 && ok6
}

// readLog brings what the log holds into memory and begins a new log with it. What a crash has left unfinished at the
// log's end was never made.
func (j *Journal) readLog() error {
	f, err := j.files.OpenFile(logName(j.logs))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	br := bufio.NewReaderSize(f, 1<<16)
	for {
		t, size, err := readTerm(br)
		if err != nil {
			break
		}
		c, whole, ok := changeOf(t)
		if !ok {
			break
		}
		k := c.Table + "\x00" + c.ID
		switch old := j.mem[k]; {
		case whole:
			j.mem[k] = &record{Change: *c, size: size, older: old}
			j.bytes += size
			j.seq = max(j.seq, c.Seq)
		case old != nil && old.Seq == c.Seq:
			old.Latest = c.Latest
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	old := j.logs
	j.logs++
	var b []byte
	for _, c := range j.inMemory("") {
		b = appendRecord(b, c)
	}
	if j.write(b); j.failed != nil {
		return nil // the starts say so
	}
	return errors.Join(j.save(), j.files.RemoveFile(logName(old)))
}

// cursor walks through one source of records in their order.
type cursor struct {
	cur  *Change
	next func() (*Change, error)
	end  func() error
}

func (c *cursor) step() (err error) {
	c.cur, err = c.next()
	return err
}

// openRun opens a run to read it from its beginning.
func (j *Journal) openRun(r run) (*cursor, error) {
	f, err := j.files.OpenFile(runName(r.n))
	if err != nil {
		return nil, damaged(runName(r.n))
	}
	br := bufio.NewReaderSize(f, 1<<16)
	return &cursor{end: f.Close, next: func() (*Change, error) {
		t, _, err := readTerm(br)
		if err == io.EOF {
			return nil, nil
		}
		c, whole, ok := changeOf(t)
		if err != nil || !ok || !whole {
			return nil, damaged(runName(r.n))
		}
		return c, nil
	}}, nil
}

// merged gives all records of some runs, and of a sorted slice, in their order.
func (j *Journal) merged(runs []run, mem []*Change) iter.Seq2[*Change, error] {
	return func(yield func(*Change, error) bool) {
		cursors := []*cursor{{end: func() error { return nil }, next: func() (*Change, error) {
			if len(mem) == 0 {
				return nil, nil
			}
			c := mem[0]
			mem = mem[1:]
			return c, nil
		}}}
		defer func() {
			for _, c := range cursors {
				_ = c.end() // it was only read
			}
		}()
		for _, r := range runs {
			c, err := j.openRun(r)
			if err != nil {
				yield(nil, err)
				return
			}
			cursors = append(cursors, c)
		}
		for _, c := range cursors {
			if err := c.step(); err != nil {
				yield(nil, err)
				return
			}
		}
		for {
			var least *cursor
			for _, c := range cursors {
				if c.cur != nil && (least == nil || compare(c.cur, least.cur) < 0) {
					least = c
				}
			}
			if least == nil || !yield(least.cur, nil) {
				return
			}
			if err := least.step(); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// Changes gives the changes of a table since it lost a peer, each key once, ordered by ID. It reads one state of the
// journal; it needs memory for what memory holds of the table.
func (j *Journal) Changes(table string, peer kit.NodeName) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		j.mu.Lock()
		s := j.starts[table][peer]
		if s == nil {
			j.mu.Unlock()
			return
		}
		from := s.Seq
		mem := j.inMemory(table)
		runs := slices.Clone(j.runs)
		j.readers++ // the files of this state stay until it is read
		j.mu.Unlock()
		defer j.read()
		var at *Change
		for c, err := range j.merged(runs, mem) {
			switch {
			case err != nil:
				yield(Change{}, err)
				return
			case c.Table != table || c.Seq < from:
				continue
			case at != nil && at.ID == c.ID:
				at.Latest = c.Latest
				continue
			case at != nil && !yield(*at, nil):
				return
			}
			at = c
		}
		if at != nil {
			yield(*at, nil)
		}
	}
}

// read ends a reading.
func (j *Journal) read() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.readers--
	j.sweep()
}

// mergeSoon merges the runs into one when there are many. Callers hold mu.
func (j *Journal) mergeSoon() {
	if len(j.runs) < mergeAt || j.merging || j.closed {
		return
	}
	j.merging = true
	runs := slices.Clone(j.runs)
	starts := map[string][]uint64{}
	for _, s := range j.list() {
		starts[s.Table] = append(starts[s.Table], s.Seq)
	}
	out := run{n: j.next}
	j.next++
	j.tasks.Go(func() { j.merge(runs, starts, out) })
}

// merge makes one run of several.
func (j *Journal) merge(runs []run, starts map[string][]uint64, out run) {
	err := j.files.WriteFile(runName(out.n), func(w io.Writer) error {
		var b []byte
		for c, err := range folded(j.merged(runs, nil), starts) {
			if err != nil {
				return err
			}
			b = appendRecord(b[:0], c)
			out.bytes += int64(len(b))
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.merging = false
	if err != nil || len(j.runs) < len(runs) || !slices.Equal(j.runs[:len(runs)], runs) {
		_ = j.files.RemoveFile(runName(out.n)) // nobody knows it; the runs are still whole
		return
	}
	j.runs = append([]run{out}, j.runs[len(runs):]...)
	if err := j.save(); err != nil {
		j.fail(err)
		return
	}
	j.retired = append(j.retired, runs...)
	j.sweep()
}

// folded leaves of the changes of each key the first since each start, with the latest operation of those left out.
func folded(in iter.Seq2[*Change, error], starts map[string][]uint64) iter.Seq2[*Change, error] {
	return func(yield func(*Change, error) bool) {
		var at *Change
		for c, err := range in {
			if err != nil {
				yield(nil, err)
				return
			}
			same := at != nil && at.Table == c.Table && at.ID == c.ID
			wanted := slices.ContainsFunc(starts[c.Table], func(s uint64) bool { return s <= c.Seq && (!same || at.Seq < s) })
			switch {
			case wanted:
				if at != nil && !yield(at, nil) {
					return
				}
				at = c
			case same:
				at.Latest = c.Latest
			}
		}
		if at != nil {
			yield(at, nil)
		}
	}
}

// sweep removes the files of runs that were merged, unless somebody reads. Callers hold mu.
func (j *Journal) sweep() {
	if j.readers > 0 {
		return
	}
	for _, r := range j.retired {
		_ = j.files.RemoveFile(runName(r.n)) // the state does not name it any more
	}
	j.retired = nil
}

// Tables lists the tables that have lost a peer.
func (j *Journal) Tables() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Sorted(maps.Keys(j.starts))
}
