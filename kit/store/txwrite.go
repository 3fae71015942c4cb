package store

import (
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// checkRow is mnesia_lib:validate_record/2 with the guard of mnesia:write/3 before it.
func rowShape(table string, row term.Term, lk Lock) (term.Tuple, error) {
	t, ok := row.(term.Tuple)
	if !ok || len(t) < 3 || table == "schema" {
		return nil, abort("bad_type", term.Atom(table), row, term.Atom(lk))
	}
	return t, nil
}

// fits checks the record's name and size.
func (t *tab) fits(row term.Tuple) error {
	if len(row) != t.arity() || row[0] != term.Term(term.Atom(t.RecordName)) {
		return abort("bad_type", row)
	}
	return nil
}

// Write writes a row: in a set it replaces the row with its key, in a bag it is added. It takes a write lock on the
// record at every active copy.
func (tx *Tx) Write(table string, row term.Term, lk ...Lock) error {
	v, err := tx.enter()
	if err != nil {
		return err
	}
	defer tx.mu.Unlock()
	kind := want(lk, WriteLock)
	r, err := rowShape(table, row, kind)
	if err != nil {
		return err
	}
	if !tx.IsTransaction() {
		t := v.tables[table]
		if t == nil && tx.kind == ETS {
			return errETS
		}
		if t == nil {
			return abort("no_exists", term.Atom(table))
		}
		if err := t.fits(r); err != nil {
			return err
		}
		return tx.dirty(v, op{kind: opWrite, tab: table, row: r})
	}
	t, err := tx.writeLock(table, r[1], kind)
	if err != nil {
		return err
	}
	if err := t.fits(r); err != nil {
		return err
	}
	if tx.ws.size() >= MaxWrites {
		return &Error{Class: Aborted, Reason: reason("system_limit", term.Atom("writes")), kind: kit.Overloaded}
	}
	tx.ws.write(t, r)
	return nil
}

func (tx *Tx) writeLock(table string, key term.Term, kind Lock) (*tab, error) {
	if kind != WriteLock && kind != StickyLock {
		return nil, abort("bad_type", term.Atom(table), term.Atom(kind))
	}
	if kind == StickyLock {
		if t := tx.table(table); t == nil || t.read != tx.s.self {
			return nil, abort("not_local", term.Atom(table)) // mnesia_locker:sticky_wlock/3
		}
	}
	if err := tx.recordLock(table, key, kind); err != nil {
		return nil, err
	}
	t := tx.table(table)
	if t == nil {
		return nil, abort("no_exists", term.Atom(table))
	}
	return t, nil
}

// Delete deletes all rows with a key.
func (tx *Tx) Delete(table string, key term.Term, lk ...Lock) error {
	v, err := tx.enter()
	if err != nil {
		return err
	}
	defer tx.mu.Unlock()
	if table == "schema" {
		return abort("bad_type", term.Atom(table))
	}
	if !tx.IsTransaction() {
		return tx.dirty(v, op{kind: opDelete, tab: table, key: key})
	}
	if _, err := tx.writeLock(table, key, want(lk, WriteLock)); err != nil {
		return err
	}
	tx.ws.delete(table, key)
	return nil
}

// DeleteObject deletes exactly that row.
func (tx *Tx) DeleteObject(table string, row term.Term, lk ...Lock) error {
	v, err := tx.enter()
	if err != nil {
		return err
	}
	defer tx.mu.Unlock()
	r, ok := row.(term.Tuple)
	if !ok || len(r) < 3 || table == "schema" {
		return abort("bad_type", term.Atom(table))
	}
	if hasVar(r) {
		return abort("bad_type", term.Atom(table), row)
	}
	if !tx.IsTransaction() {
		return tx.dirty(v, op{kind: opDeleteRow, tab: table, row: r})
	}
	t, err := tx.writeLock(table, r[1], want(lk, WriteLock))
	if err != nil {
		return err
	}
	tx.ws.deleteRow(t, r)
	return nil
}

// LockTable locks a whole table and gives the nodes where: none for a read lock, and none in a dirty activity.
func (tx *Tx) LockTable(table string, kind Lock) ([]kit.NodeName, error) {
	_, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	if !tx.IsTransaction() {
		return nil, nil
	}
	switch kind {
	case ReadLock:
		_, err := tx.lockRead(table, nil, false)
		return nil, err
	case WriteLock, StickyLock:
		return tx.lockWrite(table, nil, lock.Write)
	case LoadLock:
		return tx.lockWrite(table, nil, lock.Read)
	}
	return nil, abort("bad_type", term.Atom(table), term.Atom(kind))
}

// LockRecord locks a record and gives the nodes where: none for a lock that was held already, and none in a dirty
// activity.
func (tx *Tx) LockRecord(table string, key term.Term, kind Lock) ([]kit.NodeName, error) {
	_, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	if !tx.IsTransaction() {
		return nil, nil
	}
	if kind != WriteLock {
		return nil, tx.recordLock(table, key, kind)
	}
	if t := tx.table(table); t != nil && len(t.writers()) > 0 && tx.held.has(table, key, lock.Write, t.writers()) {
		return nil, nil
	}
	return tx.lockWrite(table, key, lock.Write)
}

// LockGlobal locks a name of the caller's at nodes, those of them whose stores run, and gives these. A node that goes before it
// has answered counts as one that does not run.
func (tx *Tx) LockGlobal(key term.Term, nodes []kit.NodeName, kind Lock) ([]kit.NodeName, error) {
	v, err := tx.enter()
	if err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	if !tx.IsTransaction() {
		return nil, nil
	}
	k := lock.Write
	switch kind {
	case ReadLock:
		k = lock.Read
	case WriteLock:
	default:
		return nil, abort("bad_type", term.T(term.Atom("global"), key, nodeList(nodes)), term.Atom(kind))
	}
	for range maxAttempts {
		var at []kit.NodeName
		for _, n := range sorted(nodes) {
			if slices.Contains(v.nodes, n) {
				at = append(at, n)
			}
		}
		if len(at) == 0 {
			return nil, nil
		}
		done, err := tx.lockAt(lock.Item{Table: globalTable, Key: key}, k, at)
		if err != nil || done {
			return at, err
		}
		if v = tx.s.view.Load(); v == nil || !v.up {
			break
		}
	}
	return nil, abort("no_exists", key)
}
