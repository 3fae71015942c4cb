package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"netsplit/kit/store"
)

// BenchmarkWork drives clients of the workloads on a store that is alone. The store is the same for all that need the same
// tables.
func BenchmarkWork(b *testing.B) {
	for _, w := range []struct {
		work    string
		ops     []string
		clients []int
	}{
		{"micro", []string{"dirty_read", "dirty_write", "tx_read", "tx_write", "tx_rw", "tx_rw_onekey"}, []int{1, 8, 64}},
		{"tpcb", []string{"drive"}, []int{1, 8, 64}},
		{"hlr", []string{"generate"}, []int{1}},
	} {
		b.Run(w.work, func(b *testing.B) {
			s, work := prepared(b, w.work)
			for _, op := range w.ops {
				for _, n := range w.clients {
					b.Run(fmt.Sprintf("%s/clients=%d", op, n), func(b *testing.B) { benchClients(b, s, work, op, n) })
				}
			}
		})
	}
}

func prepared(b *testing.B, name string) (*store.Store, workload) {
	ctx := context.Background()
	s := alone(b)
	work, err := load(name, 1, 0, "a")
	if err != nil {
		b.Fatal(err)
	}
	for _, table := range work.tables() {
		if err := s.CreateTable(ctx, table); err != nil {
			b.Fatal(err)
		}
	}
	if err := work.fill(ctx, s); err != nil {
		b.Fatal(err)
	}
	return s, work
}

// benchClients divides b.N operations among clients, and reports what the processors spent on each as cpu-ns/op.
func benchClients(b *testing.B, s *store.Store, work workload, op string, clients int) {
	ctx := context.Background()
	do := make([]action, clients)
	for i := range do {
		var err error
		if do[i], _, err = work.client(s, op, i); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	var all sync.WaitGroup
	for i, do := range do {
		n := b.N / clients
		if i < b.N%clients {
			n++
		}
		all.Go(func() {
			for range n {
				if err := do(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
}

// BenchmarkMeter has the rows of mnesia_meter; an operation is a pair's.
func BenchmarkMeter(b *testing.B) {
	for _, op := range MeterOps(true) {
		b.Run(op, func(b *testing.B) {
			ctx := context.Background()
			s, work := prepared(b, "meter")
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += meterTimes {
				b.StopTimer()
				w, what, err := work.(*meter).begin(ctx, s, op)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				for x := min(meterTimes, b.N-n); x > 0; x-- {
					if err := w.do(ctx, s, func(h hand) error { return what(h, x) }); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
