package history

import (
	"encoding/json"
	"time"

	"netsplit/kit"
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
	Tx     string      // names the activity it belonged to; empty for a dirty operation
	Name   string      // as in the conformance format: dirty_read, write, ...
	Args   []term.Term // after the name: table, key or record, ...
	Result term.Term   // nil when there is none, or when it is no plain term
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

// Table gives the table that the access names; empty when it names none.
func (a Access) Table() string {
	if len(a.Args) == 0 {
		return ""
	}
	t, _ := a.Args[0].(term.Atom)
	return string(t)
}

// Key gives the key that the access reads or writes; nil when it names none.
func (a Access) Key() term.Term {
	if len(a.Args) < 2 {
		return nil
	}
	if a.Writes() && a.Name != "delete" && a.Name != "dirty_delete" && a.Name != "dirty_update_counter" {
		if r, ok := a.Args[1].(term.Tuple); ok && len(r) > 1 {
			return r[1]
		}
		return nil
	}
	return a.Args[1]
}

// Record gives the record that a write puts into the table; nil for anything else.
func (a Access) Record() term.Tuple {
	switch a.Name {
	case "write", "dirty_write", "s_write":
		if len(a.Args) > 1 {
			r, _ := a.Args[1].(term.Tuple)
			return r
		}
	}
	return nil
}

// Writes reports whether the access changes a record.
func (a Access) Writes() bool {
	switch a.Name {
	case "write", "dirty_write", "s_write", "delete", "dirty_delete", "delete_object", "dirty_delete_object",
		"dirty_update_counter":
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
	b := accessBook{open: map[txKey]*openTx{}}
	for _, o := range h.Ops {
		b.add(o)
	}
	return b.settle()
}

type txKey struct {
	client, tx string
	node       kit.NodeName
}

// openTx collects an interactive transaction: from is where its current try begins in the book.
type openTx struct {
	name string
	at   []int
}

type accessBook struct {
	all  []Access
	gone map[int]bool // accesses of tries that were restarted
	open map[txKey]*openTx
}

func (b *accessBook) add(o Op) {
	switch o.Verb {
	case "dirty":
		if len(o.Args) > 0 {
			b.addStep(o, o.Args[0], "", value(o.Outcome.Value), o.certainty())
		}
	case "transaction":
		if len(o.Args) > 0 {
			b.addList(o, o.Args[0], "transaction")
		}
	case "activity":
		if len(o.Args) > 1 {
			kind, _ := o.Args[0].(term.Atom)
			b.addList(o, o.Args[1], string(kind))
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
	switch o.Verb {
	case "tx_begin":
		b.open[key] = &openTx{name: "tx " + itoa(o.ID)}
	case "tx_op":
		tx := b.open[key]
		if tx == nil || len(o.Args) < 2 {
			return
		}
		if o.Outcome.Status == "restart" {
			b.forget(tx)
			return
		}
		if b.addStep(o, o.Args[1], tx.name, value(o.Outcome.Value), Maybe) {
			tx.at = append(tx.at, len(b.all)-1)
		}
	case "tx_commit", "tx_abort", "tx_kill":
		tx := b.open[key]
		if tx == nil {
			return
		}
		took := o.certainty()
		if o.Outcome.Status == "restart" {
			b.forget(tx)
			return
		}
		if o.Verb != "tx_commit" {
			took = No
		}
		for _, i := range tx.at {
			b.all[i].Took = took
		}
		delete(b.open, key)
	}
}

func (b *accessBook) forget(tx *openTx) {
	if b.gone == nil {
		b.gone = map[int]bool{}
	}
	for _, i := range tx.at {
		b.gone[i] = true
	}
	tx.at = nil
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
func (b *accessBook) addList(o Op, ops term.Term, kind string) {
	list, ok := ops.(term.List)
	if !ok {
		return
	}
	var results []json.RawMessage
	if o.Outcome.Status == "ok" {
		if json.Unmarshal(o.Outcome.Value, &results) != nil {
			results = nil
		}
	}
	tx := ""
	if kind == "transaction" || kind == "sync_transaction" {
		tx = "tx " + itoa(o.ID)
	}
	for i, step := range list {
		var result term.Term
		if i < len(results) {
			result = value(results[i])
		}
		b.addStep(o, step, tx, result, o.certainty())
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
	b.all = append(b.all, Access{OpID: o.ID, Client: o.Client, Node: o.Node, Phase: o.Phase, Begin: o.Begin, End: o.End,
		Tx: tx, Name: string(name), Args: list[1:], Result: result, Took: took})
	return true
}

// certainty reads a whole request's outcome.
func (o Op) certainty() Certainty {
	switch {
	case o.End == Open || !o.Outcome.Definite():
		return Maybe
	case o.Outcome.Status == "ok":
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
