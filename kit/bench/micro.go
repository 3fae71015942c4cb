package bench

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// microRows is the number of rows in each of the two tables, unless another one is asked for.
const microRows = 100_000

// micro is the table of single operations: t{k, v} with a value of 100 bytes, and the counters c{k, n}.
type micro struct {
	rows  int
	added atomic.Int64 // what the clients of this node have added to counters
}

// MicroOps lists the operations; one that ends in _onekey has all clients at one key.
func MicroOps(disc bool) []string {
	ops := []string{"dirty_read", "dirty_write", "dirty_counter", "tx_read", "tx_write", "tx_rw", "tx_counter", "synctx_write",
		"syncdirty_write", "tx_rw_onekey", "tx_counter_onekey", "dirty_counter_onekey", "tx_read_onekey"}
	if disc {
		ops = append(ops, "tx_write_synced")
	}
	return ops
}

func (m *micro) tables() []store.Table {
	return []store.Table{{Name: "t", Attributes: []string{"k", "v"}}, {Name: "c", Attributes: []string{"k", "n"}}}
}

// value is the 100-byte value of a row; the key is in its last bytes, as in an Erlang <<K:800>>.
func value(k int) term.Bin {
	b := make([]byte, 100)
	for i := 99; k > 0; i-- {
		b[i] = byte(k)
		k >>= 8
	}
	return term.Bin(b)
}

func (m *micro) fill(ctx context.Context, s *store.Store) error {
	for k := 1; k <= m.rows; k++ {
		if err := s.DirtyWrite(ctx, "t", term.Tuple{term.Atom("t"), term.Int(k), value(k)}); err != nil {
			return err
		}
		if err := s.DirtyWrite(ctx, "c", term.Tuple{term.Atom("c"), term.Int(k), term.Int(0)}); err != nil {
			return err
		}
	}
	return nil
}

func (m *micro) client(s *store.Store, op string, i int) (action, int, error) {
	top := max(m.rows, 1)
	name, hot := strings.CutSuffix(op, "_onekey")
	if hot {
		top = 1
	}
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	key := func() term.Term { return term.Int(rng.IntN(top) + 1) }
	val := value(1)
	row := func(k term.Term) term.Tuple { return term.Tuple{term.Atom("t"), k, val} }
	write := func(tx *store.Tx, k term.Term) error { return tx.Write("t", row(k)) }
	in := func(kind store.Kind, do func(*store.Tx, term.Term) error) action {
		return func(ctx context.Context) error {
			k := key()
			return s.Activity(ctx, kind, func(tx *store.Tx) error { return do(tx, k) })
		}
	}
	switch name {
	case "dirty_read":
		return func(ctx context.Context) error { k := key(); return got(k)(s.DirtyRead(ctx, "t", k)) }, 16, nil
	case "dirty_write":
		return func(ctx context.Context) error { return s.DirtyWrite(ctx, "t", row(key())) }, 16, nil
	case "dirty_counter":
		return func(ctx context.Context) error {
			m.added.Add(1)
			_, err := s.DirtyUpdateCounter(ctx, "c", key(), term.Int(1))
			return err
		}, 16, nil
	case "tx_read":
		return in(store.Transaction, func(tx *store.Tx, k term.Term) error { return got(k)(tx.Read("t", k)) }), 1, nil
	case "tx_write":
		return in(store.Transaction, write), 1, nil
	case "tx_write_synced":
		return func(ctx context.Context) error {
			k := key()
			return s.Transaction(ctx, func(tx *store.Tx) error { return write(tx, k) }, store.TxOptions{Durable: true})
		}, 1, nil
	case "synctx_write":
		return in(store.SyncTransaction, write), 1, nil
	case "syncdirty_write":
		return in(store.SyncDirty, write), 1, nil
	case "tx_rw":
		return in(store.Transaction, func(tx *store.Tx, k term.Term) error {
			if err := got(k)(tx.Read("t", k, store.WriteLock)); err != nil {
				return err
			}
			return write(tx, k)
		}), 1, nil
	case "tx_counter":
		add := in(store.Transaction, increment)
		return func(ctx context.Context) error { m.added.Add(1); return add(ctx) }, 1, nil
	}
	return nil, 0, invalid("there is no operation %q", op)
}

// increment adds 1 to a counter, reading it with the write lock.
func increment(tx *store.Tx, k term.Term) error {
	rows, err := tx.Read("c", k, store.WriteLock)
	if err := got(k)(rows, err); err != nil {
		return err
	}
	return tx.Write("c", term.Tuple{term.Atom("c"), k, term.Int(field(rows[0], 2) + 1)})
}

// got checks that a read has found the one row of a key. As in the original, which matches [_], a client does not look into
// the row: what a look costs is its own affair, and is the processor's cache.
func got(k term.Term) func([]term.Tuple, error) error {
	return func(rows []term.Tuple, err error) error {
		if err == nil && len(rows) != 1 {
			err = wrong("reading key %s gave %d rows", term.String(k), len(rows))
		}
		return err
	}
}

func (m *micro) sums(ctx context.Context, s *store.Store) (Sums, error) {
	rows, err := sum(ctx, s, "t", one)
	if err != nil {
		return Sums{}, err
	}
	counts, err := sum(ctx, s, "c", func(row term.Tuple) int64 { return field(row, 2) })
	return Sums{Copies: []int64{rows, counts}, Done: []int64{m.added.Load()}, Equal: [][]int{{1, 2}}}, err
}
