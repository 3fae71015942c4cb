package bench

import (
	"context"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// RecoveryRows is the number of rows in the table of the workload recovery, each with a value of 100 bytes.
const RecoveryRows = 100_000

// recovery is a table that the copies of a cut cluster disagree about, until one side takes the other's.
type recovery struct{}

func (r *recovery) tables() []store.Table {
	return []store.Table{{Name: "t", Attributes: []string{"k", "v"}}}
}

func (r *recovery) fill(ctx context.Context, s *store.Store) error {
	for k := 1; k <= RecoveryRows; k++ {
		if err := s.DirtyWrite(ctx, "t", term.Tuple{term.Atom("t"), term.Int(k), value(k)}); err != nil {
			return err
		}
	}
	return nil
}

func (r *recovery) client(*store.Store, string, int) (action, int, error) {
	return nil, 0, invalid("recovery has no clients")
}

// sums count the rows and the length of their values, in which the sides of a split differ.
func (r *recovery) sums(ctx context.Context, s *store.Store) (Sums, error) {
	rows, err := sum(ctx, s, "t", one)
	if err != nil {
		return Sums{}, err
	}
	bytes, err := sum(ctx, s, "t", func(r term.Tuple) int64 { b, _ := r[2].(term.Bin); return int64(len(b)) })
	return Sums{Copies: []int64{rows, RecoveryRows, bytes}, Equal: [][]int{{0, 1}}}, err
}
