// Package history is the record of one run: what clients asked, what they were told, which faults were ordered,
// and what the student answered, each with the time of the run's clock. It imports no runtime, so a recorded run can be
// judged again on another day by another version. What a run is worth is not said here; the one thing that is found here is
// whether its transactions can have happened one after the other: Anomalies.
package history

import (
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// Phase says in which part of a run something happened.
type Phase string

// The phases of a graded run, in order: the lab prepares tables and data, then the student's script or the
// lab's clients work, then the grader looks at what is left.
const (
	Setup   Phase = "setup"
	Work    Phase = "work"
	Observe Phase = "observe"
)

// Limits of one history. What comes later is dropped and Truncated says so.
const (
	MaxEntries = 200_000
	MaxBytes   = 64 << 20
)

// Op is one request and its answer. IDs count from 1 in the order in which requests began.
type Op struct {
	ID      int
	Phase   Phase
	Client  string
	Node    kit.NodeName
	Verb    string
	Args    []term.Term
	Begin   time.Duration
	End     time.Duration // Open while no answer has come
	Outcome door.Outcome
}

// Open is the End of a request that was never answered.
const Open time.Duration = -1

// Overlaps reports whether o was in flight at some moment between from and to. An unanswered request is in
// flight for ever.
func (o Op) Overlaps(from, to time.Duration) bool {
	return o.Begin <= to && (o.End == Open || o.End >= from)
}

// Fault is one order to break or mend something. What is cut, slow, heal for a link, which has a direction (Node to
// Peer); kill, restart, pause, resume, poweroff for a node; disc, clock, pace for a node's machine, with mend to set
// right what Detail names.
type Fault struct {
	Phase  Phase         `json:"phase"`
	At     time.Duration `json:"-"`
	What   string        `json:"what"`
	Node   kit.NodeName  `json:"node"`
	Peer   kit.NodeName  `json:"peer,omitempty"`
	Detail string        `json:"detail,omitempty"` // "silent", "50ms", "+2s", "full"
	Err    string        `json:"err,omitempty"`    // the order was refused
}

// Mends reports whether f sets right what another fault broke.
func (f Fault) Mends() bool {
	return f.What == "heal" || f.What == "restart" || f.What == "resume" || f.What == "mend"
}

// Part names what f breaks or mends: "link", "node", or of its machine "disc", "clock" or "pace". A fault holds until
// the next one of the same part.
func (f Fault) Part() string {
	switch {
	case f.Peer != "":
		return "link"
	case f.What == "mend":
		return f.Detail
	case f.What == "disc", f.What == "clock", f.What == "pace":
		return f.What
	}
	return "node"
}

// Note is something that a script or a lab put on record under a name: an answer, a receipt, a figure.
type Note struct {
	Phase Phase
	At    time.Duration
	Name  string
	Value term.Term
}

// History is a finished record. Ops are sorted by ID, Faults and Notes by time.
type History struct {
	Ops       []Op
	Faults    []Fault
	Notes     []Note
	End       time.Duration // when the record was closed
	Truncated bool          // a limit was reached: what is missing proves nothing
}

// During gives the part of the history that belongs to the phases.
func (h *History) During(phases ...Phase) *History {
	return &History{
		Ops:       keep(h.Ops, func(o Op) bool { return slices.Contains(phases, o.Phase) }),
		Faults:    keep(h.Faults, func(f Fault) bool { return slices.Contains(phases, f.Phase) }),
		Notes:     keep(h.Notes, func(n Note) bool { return slices.Contains(phases, n.Phase) }),
		End:       h.End,
		Truncated: h.Truncated,
	}
}

// Filter gives the operations that ok accepts, in order.
func (h *History) Filter(ok func(Op) bool) []Op { return keep(h.Ops, ok) }

// Op finds an operation by its ID.
func (h *History) Op(id int) (Op, bool) {
	i, ok := slices.BinarySearchFunc(h.Ops, id, func(o Op, id int) int { return o.ID - id })
	if !ok {
		return Op{}, false
	}
	return h.Ops[i], true
}

// Note gives the last value put on record under a name.
func (h *History) Note(name string) (term.Term, bool) {
	for _, n := range slices.Backward(h.Notes) {
		if n.Name == name {
			return n.Value, true
		}
	}
	return nil, false
}

func keep[T any](all []T, ok func(T) bool) []T {
	var kept []T
	for _, x := range all {
		if ok(x) {
			kept = append(kept, x)
		}
	}
	return kept
}

// Log takes down a run while it goes on. It is safe for concurrent use.
type Log struct {
	mu    sync.Mutex
	phase Phase
	h     History
	bytes int
}

// NewLog gives an empty log in the setup phase.
func NewLog() *Log { return &Log{phase: Setup} }

// Enter starts the next phase; an operation belongs to the phase in which it began.
func (l *Log) Enter(p Phase) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = p
}

// Begin takes down a request and gives its ID, or 0 when the log is full.
func (l *Log) Begin(client string, node kit.NodeName, verb string, args []term.Term, at time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.room(64) {
		return 0
	}
	id := len(l.h.Ops) + 1
	l.h.Ops = append(l.h.Ops, Op{ID: id, Phase: l.phase, Client: client, Node: node, Verb: verb, Args: args,
		Begin: at, End: Open, Outcome: door.Outcome{Status: door.Pending}})
	return id
}

// Finish takes down the answer to request id. An answer too large for the log leaves the request open.
func (l *Log) Finish(id int, out door.Outcome, at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id < 1 || id > len(l.h.Ops) || !l.room(len(out.Value)+len(out.Results)+len(out.Text)) {
		return
	}
	l.h.Ops[id-1].Outcome, l.h.Ops[id-1].End = out, at
}

// Fault takes down an order to break or mend something; the phase is filled in.
func (l *Log) Fault(f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.room(64) {
		f.Phase = l.phase
		l.h.Faults = append(l.h.Faults, f)
	}
}

// Note puts a value on record under a name.
func (l *Log) Note(name string, value term.Term, at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.room(64) {
		l.h.Notes = append(l.h.Notes, Note{Phase: l.phase, At: at, Name: name, Value: value})
	}
}

// room books n bytes, or says that the log is full.
func (l *Log) room(n int) bool {
	entries := len(l.h.Ops) + len(l.h.Faults) + len(l.h.Notes)
	if l.h.Truncated || entries >= MaxEntries || l.bytes+n > MaxBytes {
		l.h.Truncated = true
		return false
	}
	l.bytes += n
	return true
}

// Snapshot gives what has been recorded until at, as a history of its own.
func (l *Log) Snapshot(at time.Duration) *History {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.h
	h.Ops, h.Faults, h.Notes = slices.Clone(h.Ops), slices.Clone(h.Faults), slices.Clone(h.Notes)
	h.End = at
	slices.SortStableFunc(h.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	slices.SortStableFunc(h.Notes, func(a, b Note) int { return int(a.At - b.At) })
	return &h
}
