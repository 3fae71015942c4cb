package bench

import (
	"context"
	"strings"
	"time"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// meterTimes is how often a row of mnesia_meter repeats its operation.
const meterTimes = 1000

// meter is mnesia_meter: one client, pairs of records that are married to each other.
type meter struct{}

// A way is a context in which mnesia_meter reads and writes.
type way struct {
	plain       bool // the dirty functions, outside an activity
	kind        store.Kind
	read, write store.Lock
}

var ways = map[string]way{
	"transaction":         {kind: store.Transaction, read: store.ReadLock, write: store.WriteLock},
	"transaction wread":   {kind: store.Transaction, read: store.WriteLock, write: store.WriteLock},
	"transaction s_write": {kind: store.Transaction, read: store.ReadLock, write: store.StickyLock},
	"sync_dirty":          {kind: store.SyncDirty, read: store.ReadLock, write: store.WriteLock},
	"async_dirty":         {kind: store.AsyncDirty, read: store.ReadLock, write: store.WriteLock},
	"ets":                 {kind: store.ETS, read: store.ReadLock, write: store.WriteLock},
	"dirty functions":     {plain: true},
}

// MeterOps lists the rows; the last words name what is done, the first the context. Only a table whose single copy is
// in this node's memory has the rows of the context ets.
func MeterOps(alone bool) []string {
	ops := []string{"transaction update", "transaction wread update", "transaction s_write update", "sync_dirty update",
		"async_dirty update", "dirty functions update", "transaction write", "transaction s_write write", "sync_dirty write",
		"async_dirty write", "dirty functions write", "transaction read", "sync_dirty read", "async_dirty read", "dirty functions read"}
	if alone {
		ops = append(ops, "ets update", "ets write", "ets read")
	}
	return ops
}

func (m *meter) tables() []store.Table {
	return []store.Table{{Name: "person", Attributes: []string{"name", "data", "married_to", "children"}}}
}

// fill leaves the table empty: every row writes its own pairs.
func (m *meter) fill(context.Context, *store.Store) error { return nil }

func (m *meter) client(*store.Store, string, int) (action, int, error) {
	return nil, 0, invalid("mnesia_meter has rows, not clients")
}

// hand is what reads and writes in a context.
type hand struct {
	ctx context.Context
	s   *store.Store
	tx  *store.Tx // nil for the dirty functions
	way way
}

func (h hand) read(name int) (term.Tuple, error) {
	k := term.Int(name)
	var rows []term.Tuple
	var err error
	if h.tx == nil {
		rows, err = h.s.DirtyRead(h.ctx, "person", k)
	} else {
		rows, err = h.tx.Read("person", k, h.way.read)
	}
	if err := got(k)(rows, err); err != nil {
		return nil, err
	}
	return rows[0], nil
}

func (h hand) write(row term.Tuple) error {
	if h.tx == nil {
		return h.s.DirtyWrite(h.ctx, "person", row)
	}
	return h.tx.Write("person", row, h.way.write)
}

// children are those of everybody.
var children = term.L(term.Atom("ulla"), term.Atom("bella"))

func person(name int, partner term.Term) term.Tuple {
	return term.Tuple{term.Atom("person"), term.Int(name), term.Atom("undefined"), partner, children}
}

func (h hand) marry(x int) error {
	if err := h.write(person(x, term.Int(-x))); err != nil {
		return err
	}
	return h.write(person(-x, term.Int(x)))
}

func (h hand) part(x int) error {
	a, err := h.read(x)
	if err != nil {
		return err
	}
	b, err := h.read(int(field(a, 3)))
	if err != nil {
		return err
	}
	for _, row := range []term.Tuple{a, b} {
		row = append(term.Tuple(nil), row...)
		row[3] = term.Atom("undefined")
		if err := h.write(row); err != nil {
			return err
		}
	}
	return nil
}

func (h hand) visit(x int) error {
	if _, err := h.read(x); err != nil {
		return err
	}
	_, err := h.read(-x)
	return err
}

func (w way) do(ctx context.Context, s *store.Store, f func(hand) error) error {
	if w.plain {
		return f(hand{ctx: ctx, s: s, way: w})
	}
	return s.Activity(ctx, w.kind, func(tx *store.Tx) error { return f(hand{ctx, s, tx, w}) })
}

// begin writes the pairs in the row's own context and brings the log into the tables. It gives what the row repeats.
func (m *meter) begin(ctx context.Context, s *store.Store, op string) (w way, what func(hand, int) error, err error) {
	at := strings.LastIndexByte(op, ' ')
	w, ok := ways[op[:max(at, 0)]]
	what = map[string]func(hand, int) error{"update": hand.part, "write": hand.marry, "read": hand.visit}[op[at+1:]]
	if !ok || what == nil {
		return w, nil, invalid("there is no row %q", op)
	}
	for x := meterTimes; x > 0; x-- {
		if err := w.do(ctx, s, func(h hand) error { return h.marry(x) }); err != nil {
			return w, nil, err
		}
	}
	return w, what, s.DumpLog()
}

// row measures a row.
func (m *meter) row(ctx context.Context, s *store.Store, op string) (Sample, error) {
	w, what, err := m.begin(ctx, s, op)
	if err != nil {
		return Sample{}, err
	}
	var times histogram
	begun, cpu := time.Now(), cpuTime()
	last := begun
	for x := meterTimes; x > 0; x-- {
		if err := w.do(ctx, s, func(h hand) error { return what(h, x) }); err != nil {
			return Sample{}, err
		}
		now := time.Now()
		times.add(now.Sub(last))
		last = now
	}
	return Sample{Count: meterTimes, Took: last.Sub(begun), CPU: cpuTime() - cpu, P50: times.quantile(0.5), P99: times.quantile(0.99)}, nil
}

// sums count the persons, and add up the partners of those who have one: a pair's add up to 0.
func (m *meter) sums(ctx context.Context, s *store.Store) (Sums, error) {
	rows, err := sum(ctx, s, "person", one)
	if err != nil {
		return Sums{}, err
	}
	partners, err := sum(ctx, s, "person", func(r term.Tuple) int64 { return field(r, 3) })
	return Sums{Copies: []int64{rows, 2 * meterTimes, partners, 0}, Equal: [][]int{{0, 1}, {2, 3}}}, err
}
