package mnesia

import (
	"encoding/json"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// onTable makes an operation of one that takes a table first.
func onTable(f func(c call, table string) (json.RawMessage, error)) func(call) (json.RawMessage, error) {
	return func(c call) (json.RawMessage, error) {
		t, err := c.table()
		if err != nil {
			return nil, err
		}
		return f(c, t)
	}
}

// txOps need an activity around them.
var txOps = []Op{
	{Name: "write", Params: []string{"table", "record", "lock?"}, Doc: "Writes a record.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return done(c.tx.Write(t, c.args[1], c.lock(2)...))
	})},
	{Name: "write1", Params: []string{"record"}, Doc: "Writes a record into the table of its name.", run: func(c call) (json.RawMessage, error) {
		return c.writeNamed()
	}},
	{Name: "s_write", Params: []string{"record"}, Doc: "Writes under a sticky lock.", run: func(c call) (json.RawMessage, error) {
		return c.writeNamed(store.StickyLock)
	}},
	{Name: "read", Params: []string{"table", "key", "lock?"}, Doc: "Reads the records of a key.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		rows, err := c.tx.Read(t, c.args[1], c.lock(2)...)
		return c.rows(t, rows, err)
	})},
	{Name: "wread", Params: []string{"table", "key"}, Doc: "Reads under a write lock.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		rows, err := c.tx.Read(t, c.args[1], store.WriteLock)
		return c.rows(t, rows, err)
	})},
	{Name: "delete", Params: []string{"table", "key", "lock?"}, Doc: "Deletes the records of a key.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return done(c.tx.Delete(t, c.args[1], c.lock(2)...))
	})},
	{Name: "s_delete", Params: []string{"table", "key"}, Doc: "Deletes under a sticky lock.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return done(c.tx.Delete(t, c.args[1], store.StickyLock))
	})},
	{Name: "delete_object", Params: []string{"table", "record", "lock?"}, Doc: "Deletes exactly this record.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return done(c.tx.DeleteObject(t, c.args[1], c.lock(2)...))
	})},
	{Name: "match_object", Params: []string{"table", "pattern", "lock?"}, Doc: "The records that a pattern matches.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		rows, err := c.tx.MatchObject(t, c.args[1], c.lock(2)...)
		return c.rows(t, rows, err)
	})},
	{Name: "select", Params: []string{"table", "spec", "lock?"}, Doc: "What a match specification gives.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		ts, err := c.tx.Select(t, c.args[1], c.lock(2)...)
		return c.terms(t, ts, err)
	})},
	{Name: "select_chunks", Params: []string{"table", "spec", "limit", "lock"}, Doc: "What a match specification gives, in chunks of at most so many.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return c.selectChunks(t)
	})},
	{Name: "index_read", Params: []string{"table", "value", "attr"}, Doc: "The records with a value in an indexed attribute.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		rows, err := c.tx.IndexRead(t, c.args[1], c.args[2])
		return found(rows, err)
	})},
	{Name: "index_match_object", Params: []string{"table", "pattern", "attr", "lock?"}, Doc: "As match_object, by an index.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		rows, err := c.tx.IndexMatchObject(t, c.args[1], c.args[2], c.lock(3)...)
		return found(rows, err)
	})},
	{Name: "all_keys", Params: []string{"table"}, Doc: "All keys.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		ts, err := c.tx.AllKeys(t)
		return c.terms(t, ts, err)
	})},
	{Name: "first", Params: []string{"table"}, Doc: "The first key.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return one(c.tx.First(t))
	})},
	{Name: "last", Params: []string{"table"}, Doc: "The last key.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return one(c.tx.Last(t))
	})},
	{Name: "next", Params: []string{"table", "key"}, Doc: "The key after one.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return one(c.tx.Next(t, c.args[1]))
	})},
	{Name: "prev", Params: []string{"table", "key"}, Doc: "The key before one.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return one(c.tx.Prev(t, c.args[1]))
	})},
	{Name: "walk", Params: []string{"table"}, Doc: "All keys, by first and next.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return c.walk(t, c.tx.First, c.tx.Next)
	})},
	{Name: "walk_back", Params: []string{"table"}, Doc: "All keys, by last and prev.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return c.walk(t, c.tx.Last, c.tx.Prev)
	})},
	{Name: "foldl", Params: []string{"table", "fn"}, Doc: "Folds over the records: collect, count or [sum, position].", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return c.fold(t, false)
	})},
	{Name: "foldr", Params: []string{"table", "fn"}, Doc: "As foldl, from the last.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return c.fold(t, true)
	})},
	{Name: "lock", Params: []string{"item", "kind"}, Doc: "Takes a lock.", run: lockItem},
	{Name: "read_lock_table", Params: []string{"table"}, Doc: "Locks a table for reading.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		_, err := c.tx.LockTable(t, store.ReadLock)
		return done(err)
	})},
	{Name: "write_lock_table", Params: []string{"table"}, Doc: "Locks a table for writing.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		_, err := c.tx.LockTable(t, store.WriteLock)
		return done(err)
	})},
	// Whoever drives a transaction from outside opens and closes inner ones with these; in one request there is
	// "transaction".
	{Name: "nest_begin", Doc: "Opens a transaction inside this one.", run: func(c call) (json.RawMessage, error) { return done(c.tx.Nest()) }},
	{Name: "nest_commit", Doc: "Closes the innermost one and keeps its changes.", run: func(c call) (json.RawMessage, error) { c.tx.Unnest(true); return okJSON, nil }},
	{Name: "nest_abort", Doc: "Closes the innermost one and undoes its changes.", run: func(c call) (json.RawMessage, error) { c.tx.Unnest(false); return okJSON, nil }},
	{Name: "qlc", Params: []string{"query"}, Doc: "A query comprehension over one table or two.", run: qlc},
	{Name: "explain", Params: []string{"query"}, Doc: "How a query comprehension finds its rows: for each table by its key, an index, a range of keys, or a scan.", run: explain},
	{Name: "incr", Params: []string{"table", "key", "n"}, Doc: "Reads under a write lock, adds to the third field, writes.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return c.incr(t, store.WriteLock)
	})},
	{Name: "incr_r", Params: []string{"table", "key", "n"}, Doc: "As incr, with a read lock first.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return c.incr(t, store.ReadLock)
	})},
}

// dirtyOps need none.
var dirtyOps = []Op{
	{Name: "dirty_read", Params: []string{"table", "key"}, dirty: true, Doc: "Reads without locks.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		rows, err := c.f.store.DirtyRead(c.ctx, t, c.args[1])
		return c.rows(t, rows, err)
	})},
	{Name: "dirty_write", Params: []string{"table", "record"}, dirty: true, Doc: "Writes without locks.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return done(c.f.store.DirtyWrite(c.ctx, t, c.args[1]))
	})},
	{Name: "dirty_write1", Params: []string{"record"}, dirty: true, Doc: "Writes into the table of the record's name.", run: func(c call) (json.RawMessage, error) {
		name, ok := recordName(c.args[0])
		if !ok {
			return nil, &store.Error{Class: store.Aborted, Exit: true, Reason: term.T(term.Atom("bad_type"), c.args[0])}
		}
		return done(c.f.store.DirtyWrite(c.ctx, name, c.args[0]))
	}},
	{Name: "dirty_delete", Params: []string{"table", "key"}, dirty: true, Doc: "Deletes without locks.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return done(c.f.store.DirtyDelete(c.ctx, t, c.args[1]))
	})},
	{Name: "dirty_delete_object", Params: []string{"table", "record"}, dirty: true, Doc: "Deletes exactly this record.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return done(c.f.store.DirtyDeleteObject(c.ctx, t, c.args[1]))
	})},
	{Name: "dirty_update_counter", Params: []string{"table", "key", "n"}, dirty: true, Doc: "Adds to a counter and gives the new value.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return one(c.f.store.DirtyUpdateCounter(c.ctx, t, c.args[1], c.args[2]))
	})},
	{Name: "dirty_match_object", Params: []string{"table", "pattern"}, dirty: true, Doc: "The records that a pattern matches.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		rows, err := c.f.store.DirtyMatchObject(c.ctx, t, c.args[1])
		return c.rows(t, rows, err)
	})},
	{Name: "dirty_select", Params: []string{"table", "spec"}, dirty: true, Doc: "What a match specification gives.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		ts, err := c.f.store.DirtySelect(c.ctx, t, c.args[1])
		return c.terms(t, ts, err)
	})},
	{Name: "dirty_index_read", Params: []string{"table", "value", "attr"}, dirty: true, Doc: "The records with a value in an indexed attribute.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		rows, err := c.f.store.DirtyIndexRead(c.ctx, t, c.args[1], c.args[2])
		return found(rows, err)
	})},
	{Name: "dirty_index_match_object", Params: []string{"table", "pattern", "attr"}, dirty: true, Doc: "As dirty_match_object, by an index.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		rows, err := c.f.store.DirtyIndexMatchObject(c.ctx, t, c.args[1], c.args[2])
		return found(rows, err)
	})},
	{Name: "dirty_all_keys", Params: []string{"table"}, dirty: true, Doc: "All keys.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		ts, err := c.f.store.DirtyAllKeys(c.ctx, t)
		return c.terms(t, ts, err)
	})},
	{Name: "dirty_first", Params: []string{"table"}, dirty: true, Doc: "The first key.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return one(c.f.store.DirtyFirst(c.ctx, t))
	})},
	{Name: "dirty_last", Params: []string{"table"}, dirty: true, Doc: "The last key.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return one(c.f.store.DirtyLast(c.ctx, t))
	})},
	{Name: "dirty_next", Params: []string{"table", "key"}, dirty: true, Doc: "The key after one.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return one(c.f.store.DirtyNext(c.ctx, t, c.args[1]))
	})},
	{Name: "dirty_prev", Params: []string{"table", "key"}, dirty: true, Doc: "The key before one.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return one(c.f.store.DirtyPrev(c.ctx, t, c.args[1]))
	})},
	{Name: "dirty_walk", Params: []string{"table"}, dirty: true, Doc: "All keys, by dirty_first and dirty_next.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return c.walk(t, c.dirtyFirst, c.dirtyNext)
	})},
	{Name: "dirty_walk_back", Params: []string{"table"}, dirty: true, Doc: "All keys, by dirty_last and dirty_prev.", run: onTable(func(c call, t string) (json.RawMessage, error) {
		return c.walk(t, c.dirtyLast, c.dirtyPrev)
	})},
}
