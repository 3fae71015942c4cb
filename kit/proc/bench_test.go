package proc

import (
	"runtime"
	"testing"
	"time"

	"netsplit/kit/term"
)

func lone(b *testing.B, funcs map[string]Func) *Runtime {
	b.Helper()
	r, err := New(Config{Self: "a", Funcs: funcs})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	})
	return r
}

// BenchmarkRoundTrip is a message to a process of the same node and its answer.
func BenchmarkRoundTrip(b *testing.B) {
	p, err := lone(b, nil).Attend()
	if err != nil {
		b.Fatal(err)
	}
	q, err := p.Spawn("a", "echo")
	if err != nil {
		b.Fatal(err)
	}
	msg := term.T(p.Self(), term.Int(1))
	for b.Loop() {
		if err := p.Send(q, msg); err != nil {
			b.Fatal(err)
		}
		if _, ok := p.Receive(time.Minute, nil); !ok {
			b.Fatal("no answer")
		}
	}
}

// BenchmarkMailbox is one message put into a mailbox and one taken out, 100,000 at a time.
func BenchmarkMailbox(b *testing.B) {
	p, err := lone(b, nil).Attend()
	if err != nil {
		b.Fatal(err)
	}
	const burst = 100_000
	for n := 0; n < b.N; n += burst {
		for range burst {
			if err := p.Send(p.Self(), term.Int(1)); err != nil {
				b.Fatal(err)
			}
		}
		for range burst {
			p.Receive(0, nil)
		}
	}
}

// BenchmarkSpawn is a process that is begun and ends.
func BenchmarkSpawn(b *testing.B) {
	p, err := lone(b, ours).Attend()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Spawn("a", "nothing"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAlive tells the bytes of a process that waits.
func BenchmarkAlive(b *testing.B) {
	p, err := lone(b, ours).Attend()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n < 100_000 {
			if _, err := p.Spawn("a", "waits"); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkEnd is a process that waits among 100,000 others, gets a message and ends.
func BenchmarkEnd(b *testing.B) {
	r := lone(b, ours)
	p, err := r.Attend()
	if err != nil {
		b.Fatal(err)
	}
	const many = 100_000
	for n := 0; n < b.N; n += many {
		b.StopTimer()
		var all []term.Pid
		for range many {
			q, err := p.Spawn("a", "waits")
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, q)
		}
		b.StartTimer()
		for _, q := range all {
			if err := p.Send(q, term.Int(1)); err != nil {
				b.Fatal(err)
			}
		}
		for r.Count() > 1 {
			runtime.Gosched()
		}
	}
}
