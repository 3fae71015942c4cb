package history

import (
	"encoding/json"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// Access is one store operation inside a request: a dirty operation, or one operation of a transaction.
type Access struct {
	OpID   int // the request that carried it
	Client string
	Node   kit.NodeName
	Phase  Phase
	Begin  time.Duration // of that request
	End    time.Duration
	// Since is when its activity began: tx_begin for a transaction that is driven step by step, also when it has
	// restarted meanwhile; Begin for anything else.
	Since time.Duration
	// Restarts are the requests of its activity that were answered by a restart.
	Restarts []int
	Tx       string      // names the activity it belonged to; empty for a dirty operation
	Name     string      // as in the conformance format: dirty_read, write, ...
	Args     []term.Term // after the name: table, key or record, ...
	Result   term.Term   // nil when there is none, or when it is no plain term
	// Took says what the client may believe: Yes was acknowledged, No provably did not happen (aborted, refused),
	// Maybe has no answer.
	Took Certainty
}

// Certainty is what an answer proves.
type Certainty int

// What an answer proves about an operation.
const (
	Maybe Certainty = iota
	Yes
	No
)

// Table gives the table that the access names, or that its record belongs to; empty when it names none.
func (a Access) Table() string {
	if len(a.Args) == 0 {
		return ""
	}
	switch t := a.Args[0].(type) {
	case term.Atom:
		return string(t)
	case term.Tuple: // s_write, write1, dirty_write1: the table is the record's name
		if len(t) > 0 {
			name, _ := t[0].(term.Atom)
			return string(name)
		}
	}
	return ""
}

// Key gives the key that the access reads or writes; nil when it names none.
func (a Access) Key() term.Term {
	if r := a.record(); r != nil {
		if len(r) > 1 {
			return r[1]
		}
		return nil
	}
	if len(a.Args) < 2 {
		return nil
	}
	return a.Args[1]
}

// Record gives the record that a write puts into the table; nil for anything else.
func (a Access) Record() term.Tuple {
	switch a.Name {
	case "write", "dirty_write", "s_write", "write1", "dirty_write1":
		return a.record()
	}
	return nil
}

// record finds the record among the arguments of an operation that names one.
func (a Access) record() term.Tuple {
	at := 1
	switch a.Name {
	case "write", "dirty_write", "delete_object", "dirty_delete_object":
	case "s_write", "write1", "dirty_write1":
		at = 0
	default:
		return nil
	}
	if len(a.Args) <= at {
		return nil
	}
	r, _ := a.Args[at].(term.Tuple)
	return r
}

// Writes reports whether the access changes a record.
func (a Access) Writes() bool {
	switch a.Name {
	case "write", "dirty_write", "s_write", "write1", "dirty_write1", "delete", "s_delete", "dirty_delete", "delete_object",
		"dirty_delete_object", "dirty_update_counter", "incr", "incr_r":
		return true
	}
	return false
}

// Reads reports whether the access reads one key.
func (a Access) Reads() bool {
	return a.Name == "read" || a.Name == "wread" || a.Name == "dirty_read"
}

// Dirty reports whether the access took no part in a transaction.
func (a Access) Dirty() bool { return a.Tx == "" }

// Accesses takes the store operations out of the requests, in the order in which the requests began. An
// interactive transaction that restarted counts from its last restart, and takes the certainty of its end.
func (h *History) Accesses() []Access {
	b := h.accessBook()
	return b.settle()
}

func (h *History) accessBook() *accessBook {
	b := &accessBook{open: map[txKey]*openTx{}, gone: map[int]bool{}, ended: map[string]time.Duration{}, lastOp: map[string]int{}, unknown: map[string]bool{}}
	for _, o := range h.Ops {
		b.add(o)
	}
	return b
}

type txKey struct {
	client, tx string
	node       kit.NodeName
}

// openTx collects an interactive activity.
type openTx struct {
	name   string // empty when it takes no locks
	since  time.Duration
	lost   []int // requests answered by a restart
	at     []int // its operations in the book, those of the current try
	nested []int // where nested transactions began, as lengths of at
}

// try is a run of a transaction that was restarted. One that was restarted at its commit may have happened all the same, where
// nodes went away in that moment: they may have found among themselves that all had said yes.
type try struct {
	at       []int // in all
	atCommit bool
}

type accessBook struct {
	all  []Access
	gone map[int]bool // accesses of tries that were restarted
	open map[txKey]*openTx
	// tries are the accesses of tries that were restarted, try by try.
	tries  []try
	ended  map[string]time.Duration // when the answer to the end of an interactive transaction came
	lastOp map[string]int           // the request that ended an interactive transaction
	// unknown are the interactive transactions that were restarted and whose end was not told.
	unknown map[string]bool
}

func (b *accessBook) add(o Op) {
	switch o.Verb {
	case "dirty":
		if len(o.Args) > 0 {
			b.addStep(o, o.Args[0], "", value(o.Outcome.Value), o.Took())
		}
	case "transaction":
		if len(o.Args) > 0 {
			b.addList(o, o.Args[0], term.Atom("transaction"))
		}
	case "activity":
		if len(o.Args) > 1 {
			b.addList(o, o.Args[1], o.Args[0])
		}
	default:
		b.addInteractive(o)
	}
}

func (b *accessBook) addInteractive(o Op) {
	if len(o.Args) == 0 {
		return
	}
	key := txKey{client: o.Client, tx: term.String(o.Args[0]), node: o.Node}
	if o.Verb == "tx_begin" {
		tx := &openTx{since: o.Begin}
		kind := term.Term(term.Atom("transaction"))
		if len(o.Args) > 1 {
			kind = o.Args[1]
		}
		if locks(kind) {
			tx.name = "tx " + itoa(o.ID)
		}
		b.open[key] = tx
		return
	}
	tx := b.open[key]
	if tx == nil {
		return
	}
	switch o.Outcome.Status {
	case door.Restart: // everything is asked again, from the first
		b.forget(tx, 0)
		b.tries[len(b.tries)-1].atCommit = o.Verb == "tx_commit"
		b.unknown[tx.name] = true
		tx.lost = append(tx.lost, o.ID)
		return
	case door.Ended: // it ended instead of answering
		b.ended[tx.name], b.lastOp[tx.name] = o.End, o.ID
		b.end(key, tx, endedAs(o.Outcome))
		return
	}
	switch o.Verb {
	case "tx_op":
		if len(o.Args) > 1 && !b.nest(tx, o.Args[1]) && b.addStep(o, o.Args[1], tx.name, value(o.Outcome.Value), Maybe) {
			a := &b.all[len(b.all)-1]
			a.Since, a.Restarts = tx.since, slices.Clone(tx.lost)
			tx.at = append(tx.at, len(b.all)-1)
		}
	case "tx_wait": // the answer to the operation that was blocked
		if n := len(tx.at); n > 0 && o.Outcome.Status == door.OK {
			a := &b.all[tx.at[n-1]]
			a.Result, a.End = value(o.Outcome.Value), o.End
		}
	case "tx_commit":
		b.ended[tx.name], b.lastOp[tx.name] = o.End, o.ID
		b.end(key, tx, o.Took())
	case "tx_abort", "tx_kill":
		b.lastOp[tx.name] = o.ID
		b.end(key, tx, No)
	}
}

// nest follows a nested transaction: its abort undoes only what was done since it began.
func (b *accessBook) nest(tx *openTx, op term.Term) bool {
	list, ok := op.(term.List)
	if !ok || len(list) != 1 {
		return false
	}
	n := len(tx.nested)
	switch list[0] {
	case term.Atom("nest_begin"):
		tx.nested = append(tx.nested, len(tx.at))
	case term.Atom("nest_commit"):
		tx.nested = tx.nested[:max(0, n-1)]
	case term.Atom("nest_abort"):
		if n > 0 {
			b.forget(tx, tx.nested[n-1])
			tx.nested = tx.nested[:n-1]
		}
	default:
		return false
	}
	return true
}

// end gives all operations of a transaction the certainty of its end.
func (b *accessBook) end(key txKey, tx *openTx, took Certainty) {
	for _, i := range tx.at {
		b.all[i].Took = took
	}
	if took != Maybe {
		delete(b.unknown, tx.name)
	}
	delete(b.open, key)
}

// endedAs reads what {"ended": outcome} proves.
func endedAs(out door.Outcome) Certainty {
	var inner door.Outcome
	if json.Unmarshal(out.Value, &inner) != nil {
		return Maybe
	}
	return Op{Outcome: inner}.Took()
}

// locks reports whether a kind of activity is a transaction.
func locks(kind term.Term) bool {
	return kind == term.Atom("transaction") || kind == term.Atom("sync_transaction")
}

// forget strikes out what a transaction did from its n-th operation on.
func (b *accessBook) forget(tx *openTx, n int) {
	for _, i := range tx.at[n:] {
		b.gone[i] = true
	}
	if n == 0 {
		b.tries = append(b.tries, try{at: slices.Clone(tx.at)})
		tx.nested = nil
	}
	tx.at = tx.at[:n]
}

func (b *accessBook) settle() []Access {
	var kept []Access
	for i, a := range b.all {
		if !b.gone[i] {
			kept = append(kept, a)
		}
	}
	return kept
}

// addList adds the operations of an activity that came as one request; its results are a list.
func (b *accessBook) addList(o Op, ops, kind term.Term) {
	list, ok := ops.(term.List)
	if !ok {
		return
	}
	var results []json.RawMessage
	if o.Outcome.Status == door.OK {
		if json.Unmarshal(o.Outcome.Value, &results) != nil {
			results = nil
		}
	}
	tx := ""
	if locks(kind) {
		tx = "tx " + itoa(o.ID)
	}
	for i, step := range list {
		var result term.Term
		if i < len(results) {
			result = value(results[i])
		}
		b.addStep(o, step, tx, result, o.Took())
	}
}

func (b *accessBook) addStep(o Op, step term.Term, tx string, result term.Term, took Certainty) bool {
	list, ok := step.(term.List)
	if !ok || len(list) == 0 {
		return false
	}
	name, ok := list[0].(term.Atom)
	if !ok {
		return false
	}
	b.all = append(b.all, Access{OpID: o.ID, Client: o.Client, Node: o.Node, Phase: o.Phase, Begin: o.Begin, End: o.End, Since: o.Begin,
		Tx: tx, Name: string(name), Args: list[1:], Result: result, Took: took})
	return true
}

// Took says what the answer proves about the whole request: that it happened, that it did not, or nothing.
func (o Op) Took() Certainty {
	switch {
	case o.End == Open || !o.Outcome.Definite():
		return Maybe
	case o.Outcome.Status == door.OK:
		return Yes
	}
	return No
}

// value reads a plain term; nested outcomes and nonsense give nil.
func value(raw json.RawMessage) term.Term {
	if len(raw) == 0 {
		return nil
	}
	t, err := term.FromJSON(raw)
	if err != nil {
		return nil
	}
	return t
}
