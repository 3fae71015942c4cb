package history

import (
	"slices"

	"netsplit/kit/term"
)

// Transactions makes Txns of the transactions in a run, in the order in which they began, for Anomalies. A key is named
// TABLE/KEY. What stands in the third place of a record is its value: where every value that is written to a key is a list that
// begins with what its transaction has just read there, the key is a list of appended elements, and else a register.
//
// A try that was restarted is a transaction of its own that did not happen; unless it was restarted at its commit, when nodes
// that went away may have committed it among themselves, or the end of the whole is not known: then its node has died, and
// with it the knowledge of which try was the last. Operations other than reads and writes of one
// record, such as selects and deletes, are left out; so are dirty
// operations, which promise nothing, but for the dirty writes of the setup phase.
func (h *History) Transactions() []Txn {
	b := h.accessBook()
	m := txnMaker{at: map[string]int{}, registers: map[string]bool{}, begun: map[string]bool{}}
	for i, a := range b.all {
		switch {
		case b.gone[i]:
		case a.Tx != "":
			if end, ok := b.ended[a.Tx]; ok {
				a.End = end
			}
			m.add(a, a.Tx)
		case a.Phase == Setup && a.Record() != nil:
			m.add(a, "setup "+itoa(a.OpID))
		}
	}
	for n, try := range b.tries {
		for _, i := range try.at {
			if a := b.all[i]; a.Tx != "" {
				if a.Took = No; b.unknown[a.Tx] || try.atCommit {
					a.Took = Maybe
				}
				m.add(a, a.Tx+" before restart "+itoa(n+1))
			}
		}
	}
	for name, op := range b.lastOp {
		if i, ok := m.at[name]; ok && !slices.Contains(m.txns[i].txn.Ops, op) {
			m.txns[i].txn.Ops = append(m.txns[i].txn.Ops, op)
		}
	}
	return m.finish()
}

// txnMaker gathers the accesses of each transaction.
type txnMaker struct {
	txns      []*txnDraft
	at        map[string]int  // of each name
	begun     map[string]bool // keys that the setup has written
	registers map[string]bool // keys that were written otherwise than by appending
}

type txnDraft struct {
	txn   Txn
	steps []draftStep
	has   map[string]term.Term // what each key holds as the transaction knows it
	known map[string]bool
}

// draftStep is a step before it is known what its key is.
type draftStep struct {
	key   string
	write bool
	value term.Term // nil when a read found nothing
	added []term.Term
}

func (m *txnMaker) add(a Access, name string) {
	i, ok := m.at[name]
	if !ok {
		i = len(m.txns)
		m.at[name] = i
		m.txns = append(m.txns, &txnDraft{txn: Txn{Name: name, Client: a.Client, Node: a.Node, Begin: a.Since, End: a.End, Took: a.Took},
			has: map[string]term.Term{}, known: map[string]bool{}})
	}
	d := m.txns[i]
	if n := len(d.txn.Ops); n == 0 || d.txn.Ops[n-1] != a.OpID {
		d.txn.Ops = append(d.txn.Ops, a.OpID)
	}
	if d.txn.End != Open && (a.End == Open || a.End > d.txn.End) {
		d.txn.End = a.End
	}
	key := a.Table() + "/" + term.String(a.Key())
	switch {
	case a.Reads():
		rows, ok := a.Result.(term.List)
		if !ok || len(rows) > 1 {
			return // it failed, or the table is a bag
		}
		v := term.Term(nil)
		if len(rows) == 1 {
			v = valueOf(rows[0])
		}
		d.has[key], d.known[key] = v, true
		d.steps = append(d.steps, draftStep{key: key, value: v})
	case a.Record() != nil:
		v := valueOf(a.Record())
		if l, isList := v.(term.List); isList && len(l) == 0 && d.has[key] == nil {
			d.has[key], d.known[key] = nil, true // an empty list is as good as none
			return
		}
		if a.Tx == "" && !m.begun[key] { // before the setup there was nothing
			m.begun[key], d.known[key] = true, true
			d.steps = append(d.steps, draftStep{key: key})
		}
		s := draftStep{key: key, write: true, value: v}
		if s.added = appended(d.has[key], v); s.added == nil || !d.known[key] {
			m.registers[key] = true
		}
		d.has[key], d.known[key] = v, true
		d.steps = append(d.steps, s)
	}
}

// valueOf gives the third element of a record.
func valueOf(t term.Term) term.Term {
	r, _ := t.(term.Tuple)
	if len(r) < 3 {
		return nil
	}
	return r[2]
}

// appended gives what a list has more than the one before; nil when it is no continuation of it.
func appended(before, now term.Term) []term.Term {
	l, ok := now.(term.List)
	old, isList := before.(term.List)
	if !ok || before != nil && !isList || len(l) <= len(old) || !slices.EqualFunc(l[:len(old)], old, term.Equal) {
		return nil
	}
	return l[len(old):]
}

func (m *txnMaker) finish() []Txn {
	slices.SortStableFunc(m.txns, func(a, b *txnDraft) int { return int(a.txn.Begin - b.txn.Begin) })
	var txns []Txn
	for _, d := range m.txns {
		for _, s := range d.steps {
			d.txn.Steps = append(d.txn.Steps, s.steps(m.registers[s.key])...)
		}
		txns = append(txns, d.txn)
	}
	return txns
}

func (s draftStep) steps(register bool) []Step {
	switch {
	case s.write && register:
		return []Step{{Kind: StepWrite, Key: s.key, Value: term.String(s.value)}}
	case s.write:
		var all []Step
		for _, v := range s.added {
			all = append(all, Step{Kind: StepAppend, Key: s.key, Value: term.String(v)})
		}
		return all
	case register && s.value == nil:
		return []Step{{Kind: StepRead, Key: s.key}}
	case register:
		return []Step{{Kind: StepRead, Key: s.key, Seen: []string{term.String(s.value)}}}
	}
	step := Step{Kind: StepRead, Key: s.key}
	l, _ := s.value.(term.List)
	for _, v := range l {
		step.Seen = append(step.Seen, term.String(v))
	}
	return []Step{step}
}
