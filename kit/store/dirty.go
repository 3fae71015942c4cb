package store

import (
	"context"
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// dirtyRead reads a key without a lock.
func (tx *Tx) dirtyRead(v *view, table string, key term.Term) ([]term.Tuple, error) {
	t := v.tables[table]
	if tx.kind == ETS {
		if err := inMemory(t); err != nil {
			return nil, err
		}
		return t.data.get(key), nil
	}
	return tx.s.dirtyRead(tx.ctx(), t, table, key)
}

func (s *Store) dirtyRead(ctx context.Context, t *tab, table string, key term.Term) ([]term.Tuple, error) {
	if t != nil && t.read == s.self && t.data != nil {
		return t.data.get(key), nil
	}
	a, err := s.ask(ctx, t, query{kind: qRead, tab: table, arg: key})
	return a.rows, err
}

// inMemory checks that the ets kind of activity may touch a table.
func inMemory(t *tab) error {
	if t == nil || t.data == nil || t.own == DiscOnly {
		return errETS
	}
	return nil
}

// errETS is what ets itself answers, with no Mnesia in between.
var errETS = &Error{Class: Raised, Reason: term.Atom("badarg"), Crash: true}

// dirtyAsk answers a query without a lock.
func (tx *Tx) dirtyAsk(v *view, q query) (answer, error) {
	t := v.tables[q.tab]
	if tx.kind == ETS {
		if err := inMemory(t); err != nil {
			return answer{}, err
		}
		a, err := t.data.answer(q)
		if err != nil {
			err = errETS
		}
		return a, err
	}
	return tx.s.ask(tx.ctx(), t, q)
}

// dirtyKeys is mnesia:dirty_all_keys/1.
func (tx *Tx) dirtyKeys(v *view, table string) ([]term.Term, error) {
	t := v.tables[table]
	if t == nil {
		return nil, abort("no_exists", term.Atom(table))
	}
	a, err := tx.dirtyAsk(v, query{kind: qKeys, tab: table, arg: t.wild()})
	if e, ok := err.(*Error); ok && e.kindAtom() == "no_exists" {
		head := t.wild()
		head[1] = term.Atom("$1")
		spec := term.L(term.T(head, term.List{}, term.L(term.Atom("$1"))))
		err = abort("no_exists", term.L(term.Atom(table), spec))
	}
	return a.terms, err
}

// kindAtom gives the first element of the reason.
func (e *Error) kindAtom() term.Atom {
	a, _ := headAtom(e.Reason)
	return a
}

// dirty does one operation of a dirty activity.
func (tx *Tx) dirty(v *view, o op) error {
	if tx.kind == ETS {
		t := v.tables[o.tab]
		if err := inMemory(t); err != nil {
			return err
		}
		t.data.apply(&o)
		return nil
	}
	_, err := tx.s.dirtyOp(tx.ctx(), o, tx.kind == SyncDirty)
	return err
}

// apply does an operation on the copy and gives the rows of its key before, and the result of a counter.
func (t *data) apply(o *op) (old []term.Tuple, result term.Term) {
	if t.disc != nil && o.kind != opClear {
		return t.applyOnDisc(o), nil
	}
	switch o.kind {
	case opWrite:
		return t.write(o.row), nil
	case opDelete:
		return t.delete(o.key), nil
	case opDeleteRow:
		return t.deleteRow(o.row), nil
	case opClear:
		t.clear()
	case opCounter:
		t.mu.Lock()
		defer t.mu.Unlock()
		row := counted(o, t.rows.get(o.key))
		o.row = row
		return t.put(row), row[2]
	}
	return nil, nil
}

// counted gives the row that an update of a counter writes. A value that is no integer counts as 0, and the result
// is never below 0.
func counted(o *op, old []term.Tuple) term.Tuple {
	var was term.Term = term.Int(0)
	key := o.key
	if len(old) > 0 && len(old[0]) > 2 {
		key = old[0][1]
		if _, ok := term.BigInt(old[0][2]); ok {
			was = old[0][2]
		}
	}
	x, small := was.(term.Int)
	y, too := o.incr.(term.Int)
	if sum := x + y; small && too && (x^sum)&(y^sum) >= 0 { // no overflow
		if sum < 0 || len(old) == 0 && y < 0 {
			sum = 0
		}
		return term.Tuple{o.row[0], key, sum}
	}
	a, _ := term.BigInt(was)
	b, _ := term.BigInt(o.incr)
	sum := a.Add(a, b)
	if sum.Sign() < 0 || len(old) == 0 && b.Sign() < 0 {
		sum.SetInt64(0)
	}
	return term.Tuple{o.row[0], key, term.Integer(sum)}
}

// dirtyOp does an operation on all copies. It returns when the copy that this node reads has it, with sync when every
// active copy has.
func (s *Store) dirtyOp(ctx context.Context, o op, sync bool) (term.Term, error) {
	if err := s.room(ctx, o.tab); err != nil {
		return nil, err
	}
	s.gate.RLock()
	v := s.view.Load()
	var t *tab
	if v != nil && v.up {
		t = v.tables[o.tab]
	}
	if t == nil {
		s.gate.RUnlock()
		if o.kind == opDelete || o.kind == opDeleteRow {
			if v == nil || !v.up {
				return nil, abort("node_not_running", node(s.self))
			}
			return nil, abort("no_exists", term.T(term.Atom(o.tab), term.Atom("where_to_commit")))
		}
		return nil, abort("no_exists", term.Atom(o.tab))
	}
	to := t.targets()
	if len(to) == 0 || t.read == "" {
		s.gate.RUnlock()
		return nil, abort("no_exists", term.Atom(o.tab))
	}
	if len(to) == 1 && to[0] == s.self && t.own != Disc && t.own != DiscOnly {
		result := s.applyOne(t, &o, "dirty") // the common case of a table in memory
		s.gate.RUnlock()
		return result, nil
	}
	result, waits, err := s.dirtySend(t, &o, to, sync)
	s.gate.RUnlock()
	if err != nil {
		return nil, err
	}
	for _, w := range waits {
		r := s.await(ctx, w.id, w.p)
		switch {
		case r.down && w.p.node == t.read && len(to) == 1:
			return nil, abort("no_exists", term.Atom(o.tab))
		case r.err != nil:
			return nil, r.err
		case w.p.node == t.read && r.value != nil:
			result = r.value
		}
	}
	return result, nil
}

// dirtyWait is an answer that a dirty write waits for.
type dirtyWait struct {
	id uint64
	p  *pendingCall
}

// dirtySend does the operation here and sends it to the other copies, in one order for all who do that.
func (s *Store) dirtySend(t *tab, o *op, to []kit.NodeName, sync bool) (result term.Term, waits []dirtyWait, err error) {
	if weights(o.row)+weight(o.key) > maxFrame {
		return nil, nil, tooLarge()
	}
	if t.data != nil {
		t.data.order.Lock()
		defer t.data.order.Unlock()
	}
	sent := *o
	if slices.Contains(to, s.self) {
		var err error
		if result, err = s.applyLogged(t, o, "dirty"); err != nil {
			return nil, nil, err
		}
	}
	var told *writer // what those get who need not answer
	for _, n := range to {
		switch {
		case n == s.self:
		case sync || n == t.read:
			before := s.tie(n)
			id, p := s.calls.add(n)
			waits = append(waits, dirtyWait{id, p})
			s.peers.Send(n, dirtyFrame(id, &sent).b)
			if before.since == 0 || s.tie(n) != before {
				s.calls.done(n, id, callReply{down: true})
			}
		default:
			if told == nil {
				told = dirtyFrame(0, &sent)
			}
			s.peers.Send(n, told.b)
		}
	}
	return result, waits, nil
}

// dirtyFrame tells another copy of an operation; with an id it answers.
func dirtyFrame(id uint64, o *op) *writer {
	w := newFrame(fDirty).num(id).ops([]op{*o})
	if o.kind == opCounter {
		w.term(o.row)
	}
	return w
}

// applyLogged does an operation here, on the disc first when the table has a copy there.
func (s *Store) applyLogged(t *tab, o *op, by string) (result term.Term, err error) {
	if t.own == Disc || t.own == DiscOnly {
		t.data.logging.Lock() // several nodes' operations come at once, and the log must end with what the copy does
		defer t.data.logging.Unlock()
		logged := *o
		if o.kind == opCounter {
			logged = op{kind: opWrite, tab: o.tab, row: counted(o, t.data.get(o.key))}
		}
		if t.data.disc != nil { // once it is in the log it is done
			if o.kind == opCounter {
				result = logged.row[2]
			}
			*o = logged
			s.foreseeOne(t, o)
		}
		s.noteOne(t.data, o)
		if _, err := s.disk.Append(change(&logged)); err != nil {
			return nil, discError(err)
		}
		s.logged()
	}
	if r := s.applyOne(t, o, by); r != nil {
		result = r
	}
	return result, nil
}

// discError makes an abort of a failure of the disc.
func discError(err error) error {
	return &Error{Class: Aborted, Reason: term.T(term.Atom("disc"), term.Str(err.Error())), kind: kit.KindOf(err), hint: kit.HintOf(err)}
}

// change gives an operation as the disc's log has it.
func change(o *op) disk.Change {
	switch o.kind {
	case opWrite:
		return disk.Change{Op: disk.Put, Table: o.tab, Value: o.row}
	case opDelete:
		return disk.Change{Op: disk.Delete, Table: o.tab, Value: o.key}
	case opDeleteRow:
		return disk.Change{Op: disk.DeleteObject, Table: o.tab, Value: o.row}
	}
	return disk.Change{Op: disk.Clear, Table: o.tab}
}

// applyOne does an operation on the own copy and tells subscribers.
func (s *Store) applyOne(t *tab, o *op, by string) term.Term {
	if t.buf != nil && t.buf.take(o) {
		return nil
	}
	d := t.data
	if d == nil && t.buf != nil {
		if d = t.buf.data; d != nil {
			s.logJoined(t, o)
		}
	}
	if d == nil {
		return nil
	}
	if s.cp.live.Load() > 0 {
		s.retain(d, o)
	}
	old, result := d.apply(o)
	if s.hub.watching.Load() == 0 {
		return result
	}
	switch o.kind {
	case opWrite, opCounter:
		s.hub.table(o.tab, "write", o.row, old, by)
	case opDelete:
		s.hub.table(o.tab, "delete", o.key, old, by)
	case opDeleteRow:
		s.hub.table(o.tab, "delete_object", o.row, nil, by)
	}
	return result
}

// onDirty does another node's dirty operation here.
func (s *Store) onDirty(from kit.NodeName, r *reader) {
	id := r.num()
	ops := r.ops()
	if r.err != nil || len(ops) != 1 {
		return
	}
	o := ops[0]
	if o.kind == opCounter {
		o.row = r.tuple()
		if _, ok := term.BigInt(o.incr); !ok || r.err != nil {
			return
		}
	}
	if s.view.Load() == nil {
		if id != 0 {
			s.peers.Send(from, newFrame(fReply).num(id).num(replyDown).b)
		}
		return
	}
	var result term.Term
	t := s.table(o.tab)
	if t != nil && t.takes(&o) {
		var err error
		if t.data != nil {
			result, err = s.applyLogged(t, &o, "dirty")
		} else {
			s.applyOne(t, &o, "dirty")
		}
		if err != nil { // the other copies have it
			if id != 0 {
				s.peers.Send(from, newFrame(fReply).num(id).num(replyDown).b)
			}
			s.breakDown("cannot write what other copies have: " + err.Error())
			return
		}
	}
	if id != 0 {
		if result == nil {
			result = term.Atom("ok")
		}
		s.reply(from, id, result, nil)
	}
}

// takes reports whether an operation from outside fits the table.
func (t *tab) takes(o *op) bool {
	switch o.kind {
	case opWrite:
		return t.fits(o.row) == nil
	case opCounter:
		return t.arity() == 3 && t.Type != "bag"
	}
	return true
}

// The dirty functions: mnesia:dirty_read/2 and the others, each an operation by itself, without locks.

// DirtyRead gives the rows of a key.
func (s *Store) DirtyRead(ctx context.Context, table string, key term.Term) ([]term.Tuple, error) {
	if table == "schema" {
		return nil, exit("bad_type", term.Atom(table))
	}
	rows, err := s.dirtyRead(ctx, s.upTable(table), table, key)
	return rows, asExit(err)
}

func (s *Store) upTable(name string) *tab {
	v := s.view.Load()
	if v == nil || !v.up {
		return nil
	}
	return v.tables[name]
}

// DirtyWrite writes a row. It returns when the copy that this node reads has it.
func (s *Store) DirtyWrite(ctx context.Context, table string, row term.Term) error {
	r, err := rowShape(table, row, WriteLock)
	if err != nil {
		return exit("bad_type", term.Atom(table), row)
	}
	t := s.upTable(table)
	if t == nil {
		return exit("no_exists", term.Atom(table))
	}
	if err := t.fits(r); err != nil {
		return asExit(err)
	}
	_, err = s.dirtyOp(ctx, op{kind: opWrite, tab: table, row: r}, false)
	return asExit(err)
}

// DirtyDelete deletes a key.
func (s *Store) DirtyDelete(ctx context.Context, table string, key term.Term) error {
	if table == "schema" {
		return exit("bad_type", term.Atom(table))
	}
	_, err := s.dirtyOp(ctx, op{kind: opDelete, tab: table, key: key}, false)
	return asExit(err)
}

// DirtyDeleteObject deletes exactly that row.
func (s *Store) DirtyDeleteObject(ctx context.Context, table string, row term.Term) error {
	r, ok := row.(term.Tuple)
	if !ok || len(r) < 3 || table == "schema" || hasVar(r) {
		return exit("bad_type", term.Atom(table), row)
	}
	_, err := s.dirtyOp(ctx, op{kind: opDeleteRow, tab: table, row: r}, false)
	return asExit(err)
}

// DirtyUpdateCounter adds to the third field of a record (name, key, counter), making it when there is none, and
// gives the sum, which is never below 0. Every copy does the addition by itself.
func (s *Store) DirtyUpdateCounter(ctx context.Context, table string, key, incr term.Term) (term.Term, error) {
	t := s.upTable(table)
	_, isInt := term.BigInt(incr)
	switch {
	case table == "schema" || !isInt:
		return nil, exit("bad_type", term.Atom(table), incr)
	case t == nil:
		return nil, exit("no_exists", term.Atom(table))
	case t.arity() != 3 || t.Type == "bag":
		return nil, exit("combine_error", term.Atom(table), term.Atom("update_counter"))
	}
	o := op{kind: opCounter, tab: table, key: key, incr: incr, row: term.Tuple{term.Atom(t.RecordName), key, incr}}
	v, err := s.dirtyOp(ctx, o, false)
	return v, asExit(err)
}

// DirtyMatchObject gives the rows that a pattern matches.
func (s *Store) DirtyMatchObject(ctx context.Context, table string, pattern term.Term) ([]term.Tuple, error) {
	p, ok := pattern.(term.Tuple)
	if !ok || len(p) < 3 || table == "schema" {
		return nil, exit("bad_type", term.Atom(table), pattern)
	}
	a, err := s.ask(ctx, s.upTable(table), query{kind: qMatch, tab: table, arg: p})
	return a.rows, asExit(err)
}

// DirtySelect runs a match specification.
func (s *Store) DirtySelect(ctx context.Context, table string, spec term.Term) ([]term.Term, error) {
	if _, ok := spec.(term.List); !ok || table == "schema" {
		return nil, exit("bad_type", term.Atom(table), spec)
	}
	a, err := s.ask(ctx, s.upTable(table), query{kind: qSelect, tab: table, arg: spec})
	return a.terms, asExit(err)
}

// dirtyTx runs an operation of a dirty activity by itself, with its errors as those of dirty functions.
func dirtyTx[T any](ctx context.Context, s *Store, f func(*Tx) (T, error)) (T, error) {
	tx := s.newTx(ctx, AsyncDirty, nil)
	defer tx.stop()
	v, err := f(tx)
	return v, asExit(err)
}

// DirtyIndexRead gives the rows that have a value in an indexed attribute.
func (s *Store) DirtyIndexRead(ctx context.Context, table string, value, attr term.Term) ([]term.Tuple, error) {
	return dirtyTx(ctx, s, func(tx *Tx) ([]term.Tuple, error) { return tx.IndexRead(table, value, attr) })
}

// DirtyIndexMatchObject gives the rows that a pattern matches, found by an index.
func (s *Store) DirtyIndexMatchObject(ctx context.Context, table string, pattern, attr term.Term) ([]term.Tuple, error) {
	return dirtyTx(ctx, s, func(tx *Tx) ([]term.Tuple, error) { return tx.IndexMatchObject(table, pattern, attr) })
}

// DirtyAllKeys gives every key once.
func (s *Store) DirtyAllKeys(ctx context.Context, table string) ([]term.Term, error) {
	return dirtyTx(ctx, s, func(tx *Tx) ([]term.Term, error) { return tx.AllKeys(table) })
}

// DirtyFirst gives the first key or EndOfTable.
func (s *Store) DirtyFirst(ctx context.Context, table string) (term.Term, error) {
	return dirtyTx(ctx, s, func(tx *Tx) (term.Term, error) { return tx.First(table) })
}

// DirtyLast gives the last key or EndOfTable.
func (s *Store) DirtyLast(ctx context.Context, table string) (term.Term, error) {
	return dirtyTx(ctx, s, func(tx *Tx) (term.Term, error) { return tx.Last(table) })
}

// DirtyNext gives the key after key.
func (s *Store) DirtyNext(ctx context.Context, table string, key term.Term) (term.Term, error) {
	return dirtyTx(ctx, s, func(tx *Tx) (term.Term, error) { return tx.Next(table, key) })
}

// DirtyPrev gives the key before key.
func (s *Store) DirtyPrev(ctx context.Context, table string, key term.Term) (term.Term, error) {
	return dirtyTx(ctx, s, func(tx *Tx) (term.Term, error) { return tx.Prev(table, key) })
}
