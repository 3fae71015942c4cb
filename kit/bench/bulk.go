package bench

import (
	"context"
	"runtime"

	"netsplit/kit/node"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// BulkRows is the number of rows in the table of the workload bulk, each with a value of 100 bytes.
const BulkRows = 1_000_000

// bulk is one large table: what its rows weigh, how long it takes to load and to copy.
type bulk struct{}

func (b *bulk) tables() []store.Table {
	return []store.Table{{Name: "t", Attributes: []string{"k", "v"}}}
}

func (b *bulk) fill(ctx context.Context, s *store.Store) error {
	for k := 1; k <= BulkRows; k++ {
		if err := s.DirtyWrite(ctx, "t", term.Tuple{term.Atom("t"), term.Int(k), value(k)}); err != nil {
			return err
		}
	}
	return nil
}

func (b *bulk) client(*store.Store, string, int) (action, int, error) {
	return nil, 0, invalid("bulk has no clients")
}

// sums count the rows and add up their keys.
func (b *bulk) sums(ctx context.Context, s *store.Store) (Sums, error) {
	rows, err := sum(ctx, s, "t", one)
	if err != nil {
		return Sums{}, err
	}
	keys, err := sum(ctx, s, "t", func(r term.Tuple) int64 { return field(r, 1) })
	return Sums{Copies: []int64{rows, BulkRows, keys, BulkRows * (BulkRows + 1) / 2}, Equal: [][]int{{0, 1}, {2, 3}}}, err
}

func (b *bench) memory(context.Context, *node.Node, []term.Term) (term.Term, error) {
	runtime.GC()
	runtime.GC() // what the first one has found to be finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return term.Int(m.HeapAlloc), nil
}
