package store

import (
	"encoding/binary"
	"errors"

	"netsplit/kit"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// The frames between stores. A frame is a kind and its fields in order: numbers as varints, strings and terms
// with their length known from the coding. What a frame means is said where it is handled.

type frameKind byte

const (
	fStatus    frameKind = iota + 1 // what a store tells its peer about itself, at link up and on every change
	fLock                           // ask for a lock, perhaps with the rows under it
	fLocked                         // what became of it
	fRelease                        // a transaction lets go of everything here
	fPrepare                        // the operations of a transaction, and a vote is wanted
	fVote                           // the answer to fPrepare
	fDecide                         // commit or abort of what was prepared
	fApplied                        // the answer to a decision or dirty write that is waited for
	fDirty                          // operations without a transaction
	fOutcome                        // what became of that transaction? asked by a participant in doubt
	fOutcomeIs                      // the answer
	fCall                           // a request of the control plane or a remote read, as a term
	fReply                          // its answer
	fChunk                          // rows of a table on their way to a new copy
	fCast                           // a message of the control plane, as a term
	fSettled                        // a participant needs no decisions but those named
	fRuled                          // what was decided about a transaction while its coordinator was away
	fTaken                          // a copy has taken a chunk
)

// maxItems bounds every count in a frame, far above what a frame of the wire's size can hold.
const maxItems = 1 << 22

// writer builds a frame.
type writer struct{ b []byte }

func newFrame(k frameKind) *writer { return &writer{b: append(make([]byte, 0, 96), byte(k))} }

func (w *writer) num(n uint64) *writer { w.b = binary.AppendUvarint(w.b, n); return w }

func (w *writer) flag(f bool) *writer {
	if f {
		return w.num(1)
	}
	return w.num(0)
}

func (w *writer) str(s string) *writer {
	w.b = append(binary.AppendUvarint(w.b, uint64(len(s))), s...)
	return w
}

func (w *writer) term(t term.Term) *writer { w.b = term.Append(w.b, t); return w }

func (w *writer) tx(t lock.Tx) *writer { return w.num(t.Time).str(string(t.Node)) }

func (w *writer) commit(id commitID) *writer { return w.tx(lock.Tx(id)) }

func (w *writer) nodes(ns []kit.NodeName) *writer {
	w.num(uint64(len(ns)))
	for _, n := range ns {
		w.str(string(n))
	}
	return w
}

func (w *writer) rows(rs []term.Tuple) *writer {
	w.num(uint64(len(rs)))
	for _, r := range rs {
		w.term(r)
	}
	return w
}

var errFrame = errors.New("malformed frame")

// reader takes a frame apart. After the first fault everything reads as zero and err says so.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errFrame
	}
	r.b = nil
}

func (r *reader) num() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reader) flag() bool { return r.num() != 0 }

// count reads a number of items, each of which takes at least one byte.
func (r *reader) count() int {
	n := r.num()
	if n > uint64(len(r.b)) || n > maxItems {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) str() string {
	n := r.count()
	if r.err != nil {
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) node() kit.NodeName { return kit.NodeName(r.str()) }

func (r *reader) term() term.Term {
	if r.err != nil {
		return nil
	}
	t, rest, err := term.Decode(r.b)
	if err != nil {
		r.err, r.b = err, nil
		return nil
	}
	r.b = rest
	return t
}

func (r *reader) tx() lock.Tx { return lock.Tx{Time: r.num(), Node: r.node()} }

func (r *reader) commit() commitID { return commitID(r.tx()) }

func (r *reader) nodes() []kit.NodeName {
	n := r.count()
	ns := make([]kit.NodeName, 0, n)
	for range n {
		ns = append(ns, r.node())
	}
	return ns
}

func (r *reader) tuple() term.Tuple {
	if r.err != nil {
		return nil
	}
	t, rest, err := term.DecodeTuple(r.b)
	if err != nil || len(t) < 2 {
		r.fail()
		return nil
	}
	r.b = rest
	return t
}

func (r *reader) rows() []term.Tuple {
	n := r.count()
	if n == 0 {
		return nil
	}
	rs := make([]term.Tuple, 0, n)
	for range n {
		rs = append(rs, r.tuple())
	}
	return rs
}

// opKind is what an operation does to a table.
type opKind byte

const (
	opWrite opKind = iota + 1
	opDelete
	opDeleteRow
	opCounter // add to the third field; only dirty
	opClear
)

// op is one operation on a table: row for opWrite and opDeleteRow, key for opDelete and opCounter.
type op struct {
	kind opKind
	tab  string
	row  term.Tuple
	key  term.Term
	incr term.Term

	old      []term.Tuple // the rows of the key before, when foreseen; see Store.foresee
	foreseen bool
}

func (w *writer) ops(ops []op) *writer {
	w.num(uint64(len(ops)))
	for i := range ops {
		o := &ops[i]
		w.num(uint64(o.kind)).str(o.tab)
		switch o.kind {
		case opWrite, opDeleteRow:
			w.term(o.row)
		case opDelete:
			w.term(o.key)
		case opCounter:
			w.term(o.key).term(o.incr)
		}
	}
	return w
}

func (r *reader) ops() []op {
	n := r.count()
	ops := make([]op, 0, min(n, 1024))
	for range n {
		o := op{kind: opKind(r.num()), tab: r.str()}
		switch o.kind {
		case opWrite, opDeleteRow:
			o.row = r.tuple()
		case opDelete:
			o.key = r.term()
		case opCounter:
			o.key, o.incr = r.term(), r.term()
		case opClear:
		default:
			r.fail()
		}
		if r.err != nil {
			return nil
		}
		ops = append(ops, o)
	}
	return ops
}
