// Package split remembers what a node has changed in a table since it lost a peer that has a copy of it: for each key
// the first change, with the rows before it, and what the latest change was. After the network has healed, that tells
// "inserted here" from "deleted there".
//
// A Journal keeps a bounded amount in memory. What is over goes to sorted runs on the disc, and every first change is
// appended to a log there before it is made, so that a node that dies keeps its journal. Without a disc, or when the
// disc's share is used up too, what comes later is not kept, and the journal says so.
package split

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Op is what a change did.
type Op uint8

// The changes.
const (
	Write Op = iota + 1
	Delete
	DeleteObject
	Clear
)

var opNames = [...]string{"", "write", "delete", "delete_object", "clear_table"}

// String gives Mnesia's name of the operation.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return ""
}

// Change is what a journal knows of one key.
type Change struct {
	Table  string
	ID     string // the key as disk.KeyID gives it
	Key    term.Term
	First  Op           // the first change since the peer was lost
	Latest Op           // the latest one
	Before []term.Tuple // the rows of the key before the first; none when there were none
	Seq    uint64       // numbers the first changes of a node in their order
}

// Start is one table that lost one peer.
type Start struct {
	Table string
	Peer  kit.NodeName
	Seq   uint64    // changes from this number on are since then
	At    time.Time // when it was lost
	// Truncated says why later changes are missing; empty when they are not.
	Truncated string
	// CopiedFrom is the node from which the own copy was loaded meanwhile: what was changed before that is in its
	// journal.
	CopiedFrom kit.NodeName
}

// Limits bound a journal. Zero means what DefaultLimits says.
type Limits struct {
	Memory int   // bytes of changes kept in memory, as encoded
	Disc   int64 // bytes of runs
}

// DefaultLimits: memory holds some 100 thousand small rows, which in Go takes about four times the bytes.
var DefaultLimits = Limits{Memory: 16 << 20, Disc: 1 << 30}

// maxRuns is how many runs there may be; from mergeAt on they are merged.
const (
	mergeAt = 8
	maxRuns = 64
)

// MaxStarts bounds the pairs of table and peer; it is over what a schema of 4096 tables loses with 16 nodes.
const MaxStarts = 1 << 16

// Files is the disc as a journal needs it: *disk.Disk is one.
type Files interface {
	WriteFile(name string, content func(io.Writer) error) error
	AppendFile(name string) (interface {
		io.WriteCloser
		Sync() error
	}, error)
	OpenFile(name string) (io.ReadCloser, error)
	RemoveFile(name string) error
}

// Journal is a node's. Its methods are safe for concurrent use.
type Journal struct {
	files  Files // nil without a disc
	limits Limits
	active atomic.Bool

	mu     sync.Mutex
	starts map[string]map[kit.NodeName]*Start
	since  map[string]uint64  // of each table the latest start
	counts map[string]uint64  // changes of each table, noted again or not
	seq    uint64             // of the last first change
	mem    map[string]*record // by table and key; the latest of each, which knows the one before
	bytes  int
	runs   []run
	next   int // number of the next run
	logs   int // number of the log
	log    interface {
		io.WriteCloser
		Sync() error
	}
	unsynced bool  // something was written to log since it was last synced
	failed   error // why the disc cannot be written
	merging  bool
	readers  int   // of runs
	retired  []run // files to remove when nobody reads
	closed   bool
	tasks    sync.WaitGroup
}

// record is a change as it is kept.
type record struct {
	Change
	size  int
	older *record // of the same key, before the latest start
}

// run is a file of records sorted by table, key and number.
type run struct {
	n     int
	bytes int64
}

// New makes an empty journal. files may be nil.
func New(files Files, limits Limits) *Journal {
	if limits.Memory <= 0 {
		limits.Memory = DefaultLimits.Memory
	}
	if limits.Disc <= 0 {
		limits.Disc = DefaultLimits.Disc
	}
	return &Journal{files: files, limits: limits, starts: map[string]map[kit.NodeName]*Start{}, since: map[string]uint64{},
		counts: map[string]uint64{}, mem: map[string]*record{}}
}

// Active reports whether any table has lost a peer. It is one atomic load.
func (j *Journal) Active() bool { return j.active.Load() }

// Begin notes that a table has lost a peer. One that is lost already stays so. An error says that this is not on the
// disc; the journal is kept all the same.
func (j *Journal) Begin(peer kit.NodeName, tables ...string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	changed := false
	if len(j.starts) == 0 {
		j.failed = nil // the disc may have room again
	}
	for _, t := range tables {
		if j.starts[t][peer] != nil || j.count() >= MaxStarts {
			continue
		}
		if j.starts[t] == nil {
			j.starts[t] = map[kit.NodeName]*Start{}
		}
		s := &Start{Table: t, Peer: peer, Seq: j.seq + 1, At: time.Now()}
		if j.failed != nil {
			s.Truncated = j.failed.Error()
		}
		j.starts[t][peer] = s
		j.since[t] = s.Seq
		changed = true
	}
	if !changed {
		return nil
	}
	j.active.Store(true)
	return j.save()
}

func (j *Journal) count() (n int) {
	for _, m := range j.starts {
		n += len(m)
	}
	return n
}

// Forget ends what Begin began, for a peer or, with an empty one, for all peers of the table.
func (j *Journal) Forget(table string, peer kit.NodeName) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.starts[table] == nil || peer != "" && j.starts[table][peer] == nil {
		return nil
	}
	if peer == "" {
		clear(j.starts[table])
	} else {
		delete(j.starts[table], peer)
	}
	j.settle(table)
	return j.save()
}

// Restart begins a table's journal for a peer anew, because both copies are equal at this moment. It does so only if no
// change was noted since Count gave count.
func (j *Journal) Restart(table string, peer kit.NodeName, count uint64) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.starts[table][peer]
	if s == nil || j.counts[table] != count {
		return false, nil
	}
	*s = Start{Table: table, Peer: peer, Seq: j.seq + 1, At: s.At}
	j.since[table] = s.Seq
	return true, j.save()
}

// Count counts the changes of a table that were noted; it only grows.
func (j *Journal) Count(table string) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.counts[table]
}

// Copied notes that the own copy of a table was loaded from another node while peers are lost.
func (j *Journal) Copied(table string, from kit.NodeName) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.starts[table] {
		s.CopiedFrom = from
	}
	if len(j.starts[table]) == 0 {
		return nil
	}
	return j.save()
}

// settle forgets what no start needs any more. Callers hold mu.
func (j *Journal) settle(table string) {
	if len(j.starts[table]) == 0 {
		delete(j.starts, table)
		delete(j.since, table)
		delete(j.counts, table)
		maps.DeleteFunc(j.mem, func(_ string, r *record) bool {
			if r.Table != table {
				return false
			}
			for ; r != nil; r = r.older {
				j.bytes -= r.size
			}
			return true
		})
	}
	j.active.Store(len(j.starts) > 0)
}

// Starts lists the tables that have lost a peer, by table and peer.
func (j *Journal) Starts() []Start {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.list()
}

func (j *Journal) list() []Start {
	var out []Start
	for _, t := range slices.Sorted(maps.Keys(j.starts)) {
		for _, p := range slices.Sorted(maps.Keys(j.starts[t])) {
			out = append(out, *j.starts[t][p])
		}
	}
	return out
}

// Size tells how much is kept: changes in memory, their bytes, and bytes in runs on the disc.
func (j *Journal) Size() (changes, memory int, disc int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.mem), j.bytes, j.discBytes()
}

func (j *Journal) discBytes() (n int64) {
	for _, r := range j.runs {
		n += r.bytes
	}
	return n
}

// Wants reports whether changes of a table are to be noted.
func (j *Journal) Wants(table string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.wants(table)
}

func (j *Journal) wants(table string) bool {
	for _, s := range j.starts[table] {
		if s.Truncated == "" {
			return true
		}
	}
	return false
}

// Note is one change to note, about to be made.
type Note struct {
	Table  string
	ID     string
	Key    term.Term
	Op     Op
	Before func() []term.Tuple // asked only when this is the first change of the key
}

// Add notes changes. What does not fit any more is not kept, and Starts says so from then on.
func (j *Journal) Add(notes ...Note) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var line []byte
	for i := range notes {
		n := &notes[i]
		if !j.wants(n.Table) {
			continue
		}
		j.counts[n.Table]++
		k := n.Table + "\x00" + n.ID
		r := j.mem[k]
		switch {
		case r == nil || r.Seq < j.since[n.Table]:
			j.seq++
			r = &record{older: r, Change: Change{Table: n.Table, ID: n.ID, Key: n.Key, First: n.Op, Latest: n.Op, Before: n.Before(), Seq: j.seq}}
			start := len(line)
			line = appendRecord(line, &r.Change)
			r.size = len(line) - start
			j.mem[k] = r
			j.bytes += r.size
		case r.Latest != n.Op:
			r.Latest = n.Op
			line = appendLatest(line, &r.Change)
		}
		if len(line) > 1<<20 || j.bytes > j.limits.Memory {
			j.write(line)
			line = line[:0]
		}
		if j.bytes > j.limits.Memory {
			j.spill(n.Table)
		}
	}
	j.write(line)
}

// write appends to the log. Callers hold mu.
func (j *Journal) write(line []byte) {
	if j.files == nil || len(line) == 0 || j.failed != nil {
		return
	}
	var err error
	if j.log == nil {
		err = j.newLog()
	}
	if err == nil {
		j.unsynced = true
		_, err = j.log.Write(line)
	}
	if err != nil {
		j.fail(err)
	}
}

// Sync returns when all that was noted is on the disc, where there is one.
func (j *Journal) Sync() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.log == nil || !j.unsynced || j.failed != nil {
		return
	}
	j.unsynced = false
	if err := j.log.Sync(); err != nil {
		j.fail(err)
	}
}

func (j *Journal) newLog() (err error) {
	j.log, err = j.files.AppendFile(logName(j.logs))
	return err
}

// fail stops noting: what cannot be put on the disc is not kept, and said to be missing. Callers hold mu.
func (j *Journal) fail(err error) {
	j.failed = err
	for t := range j.starts {
		j.truncate(t, err.Error())
	}
}

// truncate says that later changes of a table are missing. Callers hold mu.
func (j *Journal) truncate(table, why string) {
	for _, s := range j.starts[table] {
		if s.Truncated == "" {
			s.Truncated = why
		}
	}
	if err := j.save(); err != nil && j.failed == nil {
		j.failed = err
	}
}

// The reasons for which a journal ends early by itself.
const (
	whyMemory = "the journal is full, and this node has no disc to put more on"
	whyDisc   = "the journal's share of the disc is used up"
)

// spill moves what memory holds to a new run. Callers hold mu.
func (j *Journal) spill(table string) {
	switch {
	case j.files == nil:
		j.truncate(table, whyMemory)
		return
	case j.failed != nil:
		return // it was said when it happened
	case j.discBytes()+int64(j.bytes) > j.limits.Disc || len(j.runs) >= maxRuns:
		j.truncate(table, whyDisc)
		return
	}
	all := j.inMemory("")
	r := run{n: j.next}
	err := j.files.WriteFile(runName(r.n), func(w io.Writer) error {
		var b []byte
		for _, rec := range all {
			b = appendRecord(b[:0], rec)
			r.bytes += int64(len(b))
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		j.fail(err)
		return
	}
	old, oldLog := j.log, j.logs
	j.next, j.logs, j.log = j.next+1, j.logs+1, nil
	j.runs = append(j.runs, r)
	if err := j.save(); err != nil {
		j.fail(err)
		return
	}
	clear(j.mem)
	j.bytes = 0
	if old != nil {
		_ = errors.Join(old.Close(), j.files.RemoveFile(logName(oldLog))) // nobody reads it any more
	}
	j.mergeSoon()
}

// inMemory gives what memory holds, of one table or of all, in the order of runs. Callers hold mu.
func (j *Journal) inMemory(table string) []*Change {
	var all []*Change
	for _, r := range j.mem {
		if table != "" && r.Table != table {
			continue
		}
		for ; r != nil; r = r.older {
			c := r.Change
			all = append(all, &c)
		}
	}
	slices.SortFunc(all, compare)
	return all
}

func compare(a, b *Change) int {
	if c := strings.Compare(a.Table, b.Table); c != 0 {
		return c
	}
	if c := strings.Compare(a.ID, b.ID); c != 0 {
		return c
	}
	switch {
	case a.Seq < b.Seq:
		return -1
	case a.Seq > b.Seq:
		return 1
	}
	return 0
}

// Close ends the journal; what it has on the disc stays for the next one. It is safe twice.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closed = true
	log := j.log
	j.log = nil
	j.mu.Unlock()
	j.tasks.Wait()
	if log != nil {
		return log.Close()
	}
	return nil
}

// Clear forgets everything, also on the disc.
func (j *Journal) Clear() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.starts) == 0 && len(j.runs) == 0 {
		return nil
	}
	for t := range j.starts {
		clear(j.starts[t])
		j.settle(t)
	}
	return j.save()
}
