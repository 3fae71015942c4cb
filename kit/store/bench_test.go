package store

import (
	"context"
	"fmt"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

// fill makes a table with rows 1..n on nodes and waits until all have it.
func fill(b *testing.B, m *mesh, t Table, n int) *Store {
	b.Helper()
	ctx := context.Background()
	s := m.store("a")
	if err := s.CreateTable(ctx, t); err != nil {
		b.Fatal(err)
	}
	for i := range n {
		if err := s.DirtyWrite(ctx, t.Name, row(t.Name, i)); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func row(tab string, i int) term.Tuple {
	return term.Tuple{term.Atom(tab), term.Int(i), term.Bin("a value of about the size that rows have in ordinary use, a hundred bytes or somewhat fewer")}
}

const benchRows = 10000

func BenchmarkDirtyRead(b *testing.B) {
	s := fill(b, started(b, "a"), Table{Name: "t"}, benchRows)
	ctx := context.Background()
	for i := 0; b.Loop(); i++ {
		if _, err := s.DirtyRead(ctx, "t", term.Int(i%benchRows)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDirtyWrite(b *testing.B) {
	s := fill(b, started(b, "a"), Table{Name: "t"}, benchRows)
	ctx := context.Background()
	for i := 0; b.Loop(); i++ {
		if err := s.DirtyWrite(ctx, "t", row("t", i%benchRows)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTxRead(b *testing.B) {
	s := fill(b, started(b, "a"), Table{Name: "t"}, benchRows)
	ctx := context.Background()
	for i := 0; b.Loop(); i++ {
		err := s.Transaction(ctx, func(tx *Tx) error {
			_, err := tx.Read("t", term.Int(i%benchRows))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func benchTxWrite(b *testing.B, nodes []kit.NodeName, disc bool, clients int) {
	t := Table{Name: "t", RAM: nodes}
	if disc {
		t = Table{Name: "t", Disc: nodes}
	}
	s := fill(b, started(b, nodes...), t, benchRows)
	ctx := context.Background()
	b.SetParallelism(clients)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			err := s.Transaction(ctx, func(tx *Tx) error { return tx.Write("t", row("t", i%benchRows)) })
			if err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkTxWrite(b *testing.B) {
	for _, nodes := range [][]kit.NodeName{{"a"}, {"a", "b"}, {"a", "b", "c"}} {
		for _, clients := range []int{1, 8} {
			b.Run(fmt.Sprintf("nodes=%d/clients=%d", len(nodes), clients), func(b *testing.B) { benchTxWrite(b, nodes, false, clients) })
		}
	}
	b.Run("disc/nodes=1", func(b *testing.B) { benchTxWrite(b, []kit.NodeName{"a"}, true, 1) })
}

func BenchmarkHotKey(b *testing.B) {
	for _, nodes := range [][]kit.NodeName{{"a"}, {"a", "b"}} {
		for _, clients := range []int{1, 32} {
			b.Run(fmt.Sprintf("nodes=%d/clients=%d", len(nodes), clients), func(b *testing.B) {
				s := fill(b, started(b, nodes...), Table{Name: "t", RAM: nodes}, 1)
				ctx := context.Background()
				b.SetParallelism(clients)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						err := s.Transaction(ctx, func(tx *Tx) error {
							if _, err := tx.Read("t", term.Int(0), WriteLock); err != nil {
								return err
							}
							return tx.Write("t", row("t", 0))
						})
						if err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

// BenchmarkActivity does two operations in an activity of each kind.
func BenchmarkActivity(b *testing.B) {
	for _, kind := range []Kind{Transaction, AsyncDirty, ETS} {
		for _, what := range []string{"read", "write"} {
			b.Run(fmt.Sprintf("%v/%s", kind, what), func(b *testing.B) {
				s := fill(b, started(b, "a"), Table{Name: "t"}, benchRows)
				ctx := context.Background()
				rows := make([]term.Tuple, benchRows)
				for i := range rows {
					rows[i] = row("t", i)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					x, y := rows[i%benchRows], rows[(i+77)%benchRows]
					err := s.Activity(ctx, kind, func(tx *Tx) error {
						if what == "write" {
							if err := tx.Write("t", x); err != nil {
								return err
							}
							return tx.Write("t", y)
						}
						if _, err := tx.Read("t", x[1]); err != nil {
							return err
						}
						_, err := tx.Read("t", y[1])
						return err
					})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
