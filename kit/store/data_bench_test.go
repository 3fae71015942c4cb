package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// BenchmarkDirtyReadRandom reads keys of a table that does not fit the processor's caches, by many at once.
func BenchmarkDirtyReadRandom(b *testing.B) {
	const n = 100_000
	s := fill(b, started(b, "a"), Table{Name: "t"}, n)
	for _, clients := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			if clients == 1 {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			} else {
				b.SetParallelism(clients / runtime.GOMAXPROCS(0))
			}
			b.RunParallel(func(pb *testing.PB) {
				ctx := context.Background()
				r := rand.New(rand.NewPCG(rand.Uint64(), 1))
				for pb.Next() {
					if rows, err := s.DirtyRead(ctx, "t", term.Int(r.IntN(n))); err != nil || len(rows) != 1 {
						b.Error(rows, err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkRowMemory gives the bytes on the heap for a row with a value of 100 bytes.
func BenchmarkRowMemory(b *testing.B) {
	for _, typ := range []string{"set", "ordered_set", "bag"} {
		b.Run(typ, func(b *testing.B) {
			const n = 1_000_000
			for b.Loop() {
				before := heap()
				d := newData(&Def{Type: typ})
				for i := range n {
					d.write(term.Tuple{term.Atom("t"), term.Int(i + 1000), term.Bin(fmt.Sprintf("%0100d", i))})
				}
				b.ReportMetric(float64(heap()-before)/n, "B/row")
				runtime.KeepAlive(d)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// onDisc starts a store of one node with a disc in a folder, and gives what ends the benchmark at an error.
func onDisc(b *testing.B) (*Store, *disk.Disk, func(error)) {
	b.Helper()
	do := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	d, err := disk.Open(disk.Dir(b.TempDir()))
	do(err)
	s, err := Open(Config{Peers: Alone("a"), Disk: d})
	do(err)
	do(s.CreateSchema(b.Context(), nil))
	do(s.Start(b.Context(), StartOptions{}))
	return s, d, do
}

// BenchmarkStart1M loads a table of a million rows with values of 100 bytes from the disc.
func BenchmarkStart1M(b *testing.B) {
	for _, from := range []string{"image", "log"} {
		b.Run(from, func(b *testing.B) {
			ctx := context.Background()
			s, d, do := onDisc(b)
			do(s.CreateTable(ctx, Table{Name: "t", Disc: []kit.NodeName{"a"}}))
			before := heap()
			for i := range 1_000_000 {
				do(s.DirtyWrite(ctx, "t", term.Tuple{term.Atom("t"), term.Int(i + 1000), term.Bin(fmt.Sprintf("%0100d", i))}))
			}
			b.ReportMetric(float64(heap()-before)/1e6, "B/row-written")
			if from == "image" {
				do(s.DumpLog())
			}
			for b.Loop() {
				b.StopTimer()
				do(s.Stop(ctx))
				b.StartTimer()
				do(s.Start(ctx, StartOptions{}))
				do(s.WaitForTables(ctx, []string{"t"}))
			}
			b.ReportMetric(float64(heap()-before)/1e6, "B/row-loaded")
			do(s.Close())
			do(d.Close())
		})
	}
}

// BenchmarkCopy1M copies a table of a million rows with values of 100 bytes to a node with a disc of its own.
func BenchmarkCopy1M(b *testing.B) {
	for _, st := range []Storage{RAM, Disc, DiscOnly} {
		b.Run(string(st), func(b *testing.B) {
			ctx := context.Background()
			m := newMesh(b, "a", "b")
			for _, n := range m.names() {
				if err := m.nodes[n].disk.Close(); err != nil {
					b.Fatal(err)
				}
				d, err := disk.Open(disk.Dir(b.TempDir()))
				if err != nil {
					b.Fatal(err)
				}
				m.nodes[n].disk, m.nodes[n].store.disk = d, d
			}
			s := startAll(b, m)
			do := func(err error) {
				b.Helper()
				if err != nil {
					b.Fatal(err)
				}
			}
			do(s.CreateTable(ctx, Table{Name: "t", RAM: []kit.NodeName{"a"}}))
			for i := range 1_000_000 {
				do(s.DirtyWrite(ctx, "t", term.Tuple{term.Atom("t"), term.Int(i + 1000), term.Bin(fmt.Sprintf("%0100d", i))}))
			}
			for b.Loop() {
				do(s.AddTableCopy(ctx, "t", "b", st))
				b.StopTimer()
				do(s.DelTableCopy(ctx, "t", "b"))
				b.StartTimer()
			}
		})
	}
}

// BenchmarkDiscOnly writes and reads a table that lives on the disc, and gives what memory holds of it after a dump.
func BenchmarkDiscOnly(b *testing.B) {
	const n = 100_000
	ctx := context.Background()
	s, d, do := onDisc(b)
	do(s.CreateTable(ctx, Table{Name: "t", DiscOnly: []kit.NodeName{"a"}}))
	before := heap()
	for i := range n {
		do(s.DirtyWrite(ctx, "t", row("t", i)))
	}
	waiting := heap()
	do(s.DumpLog())
	after := heap()
	b.Run("read", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if rows, err := s.DirtyRead(ctx, "t", term.Int(i*7919%n)); err != nil || len(rows) != 1 {
				b.Fatal(rows, err)
			}
		}
		b.ReportMetric(float64(waiting-before)/n, "B/row-waiting")
		b.ReportMetric(float64(after-before)/n, "B/row-dumped")
	})
	b.Run("write", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			do(s.DirtyWrite(ctx, "t", row("t", i*7919%n)))
		}
	})
	do(s.Close())
	do(d.Close())
}
