package disk

import (
	"fmt"
	"testing"

	"netsplit/kit/term"
)

// million is a table as "netsplit bench store --work bulk" has it.
func million(yield func(term.Tuple) bool) {
	for i := range 1_000_000 {
		if !yield(term.Tuple{term.Atom("t"), term.Int(i), term.Bin(fmt.Sprintf("%0100d", i))}) {
			return
		}
	}
}

func BenchmarkReplace1M(b *testing.B) {
	d := open(b, Dir(b.TempDir()))
	do(b, d, create("t", Set, false))
	for b.Loop() {
		must(b, d.Replace("t", million))
	}
	must(b, d.Close())
}

func BenchmarkReplay1M(b *testing.B) {
	for _, from := range []string{"image", "log"} {
		b.Run(from, func(b *testing.B) {
			d := open(b, Dir(b.TempDir()))
			do(b, d, create("t", Set, false))
			if from == "image" {
				must(b, d.Replace("t", million))
			} else {
				for r := range million {
					do(b, d, Change{Op: Put, Table: "t", Value: r})
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				rows := make([]term.Tuple, 0, 1_000_000)
				must(b, d.Replay("t", func(int) {}, func(l Loaded) error { rows = append(rows, l.Row); return nil }))
				if len(rows) != 1_000_000 {
					b.Fatal(len(rows))
				}
			}
			must(b, d.Close())
		})
	}
}

// BenchmarkDump brings changes of a table of a million rows into its image.
func BenchmarkDump(b *testing.B) {
	for _, n := range []int{10_000, 250_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := open(b, Dir(b.TempDir()))
			do(b, d, create("t", Set, false))
			must(b, d.Replace("t", million))
			for b.Loop() {
				b.StopTimer()
				for i := range n {
					do(b, d, Change{Op: Put, Table: "t", Value: term.Tuple{term.Atom("t"), term.Int(i * 7919 % 1_000_000), term.Bin(fmt.Sprintf("%0100d", i))}})
				}
				b.StartTimer()
				must(b, d.Dump())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/change")
			must(b, d.Close())
		})
	}
}
