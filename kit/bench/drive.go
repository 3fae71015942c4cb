package bench

import (
	"context"
	"math/bits"
	"sync"
	"time"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// Sample is what one run of one operation gave.
type Sample struct {
	Count    int64         // operations done
	Took     time.Duration // from the first client's start to the last one's end
	P50, P99 time.Duration // latency of an operation: half of them, 99 of 100 of them, took no longer
	CPU      time.Duration // what the processors spent meanwhile for all nodes that had clients; 0: not known
}

// Rate is the number of operations a second.
func (s Sample) Rate() float64 {
	if s.Took <= 0 {
		return 0
	}
	return float64(s.Count) / s.Took.Seconds()
}

func (s Sample) term() term.Term {
	return term.L(term.Int(s.Count), term.Int(s.Took), term.Int(s.P50), term.Int(s.P99), term.Int(s.CPU))
}

// ReadSample reads what VerbRun answers.
func ReadSample(t term.Term) (Sample, error) {
	l, ok := t.(term.List)
	if !ok || len(l) != 5 {
		return Sample{}, wrong("%s is no sample", term.String(t))
	}
	var v [5]int64
	for i := range v {
		n, ok := l[i].(term.Int)
		if !ok {
			return Sample{}, wrong("%s is no sample", term.String(t))
		}
		v[i] = int64(n)
	}
	return Sample{v[0], time.Duration(v[1]), time.Duration(v[2]), time.Duration(v[3]), time.Duration(v[4])}, nil
}

// Join adds up samples that were taken on several nodes at the same time.
func Join(samples []Sample) Sample {
	var all Sample
	for _, s := range samples {
		all.Count += s.Count
		all.CPU += s.CPU
		all.Took = max(all.Took, s.Took)
		all.P50 = max(all.P50, s.P50)
		all.P99 = max(all.P99, s.P99)
	}
	return all
}

// histogram counts latencies with 16 classes for each power of two nanoseconds.
type histogram [64 * 16]int64

func (h *histogram) add(d time.Duration) {
	n := uint64(max(d, 16))
	e := bits.Len64(n) - 1
	h[e*16+int(n>>(e-4)&15)]++
}

// quantile gives the middle of the class below which the part p of all lies.
func (h *histogram) quantile(p float64) time.Duration {
	var total, seen int64
	for _, n := range h {
		total += n
	}
	for i, n := range h {
		seen += n
		if n > 0 && float64(seen) >= p*float64(total) {
			return time.Duration((float64(16+i%16) + 0.5) * float64(uint64(1)<<(i/16)) / 16)
		}
	}
	return 0
}

// drive runs clients of an operation in a closed loop, without a pause, for some time.
func drive(ctx context.Context, w workload, s *store.Store, op string, clients int, length time.Duration) (Sample, error) {
	type lane struct {
		do    action
		every int
		count int64
		times histogram
		err   error
	}
	lanes := make([]lane, clients)
	for i := range lanes {
		var err error
		if lanes[i].do, lanes[i].every, err = w.client(s, op, i); err != nil {
			return Sample{}, err
		}
	}
	begun, cpu := time.Now(), cpuTime()
	var all sync.WaitGroup
	for i := range lanes {
		all.Go(func() {
			l := &lanes[i]
			for (l.count == 0 || time.Since(begun) < length) && l.err == nil && ctx.Err() == nil { // once at least
				for range l.every - 1 {
					if l.err = l.do(ctx); l.err != nil {
						return
					}
				}
				at := time.Now()
				l.err = l.do(ctx)
				l.times.add(time.Since(at))
				l.count += int64(l.every)
			}
		})
	}
	all.Wait()
	sample := Sample{Took: time.Since(begun), CPU: cpuTime() - cpu}
	var times histogram
	for i := range lanes {
		if err := lanes[i].err; err != nil {
			return Sample{}, err
		}
		sample.Count += lanes[i].count
		for c, n := range lanes[i].times {
			times[c] += n
		}
	}
	sample.P50, sample.P99 = times.quantile(0.5), times.quantile(0.99)
	return sample, ctx.Err()
}
