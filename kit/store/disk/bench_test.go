package disk

import (
	"fmt"
	"testing"

	"netsplit/kit/term"
)

func BenchmarkAppend(b *testing.B) {
	d := open(b, Dir(b.TempDir()))
	do(b, d, create("t", Set, false))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		do(b, d, put("t", i%100000, "0123456789012345678901234567890123456789"))
	}
	must(b, d.Close())
}

// BenchmarkCommit is appended and synced, by many at once.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			d := open(b, Dir(b.TempDir()))
			do(b, d, create("t", Set, false))
			b.SetParallelism((writers + 1) / 2)
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					_, err := d.AppendSynced(put("t", i%1000, "0123456789012345678901234567890123456789"))
					must(b, err)
				}
			})
			must(b, d.Close())
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	const n = 100_000
	o := Dir(b.TempDir())
	d := open(b, o)
	do(b, d, create("t", Set, false))
	must(b, d.Replace("t", func(yield func(term.Tuple) bool) {
		for i := range n {
			if !yield(term.Rec("t", i, "0123456789012345678901234567890123456789", i, 1.5)) {
				return
			}
		}
	}))
	for b.Loop() {
		rows := 0
		must(b, d.Load("t", func(term.Tuple) error { rows++; return nil }))
		if rows != n {
			b.Fatal(rows)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())*1000/float64(b.N)/n, "ns/row")
	must(b, d.Close())
}
