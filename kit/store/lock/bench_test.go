package lock

import (
	"fmt"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

func tx(n int) Tx { return Tx{Time: uint64(n), Node: "a"} }

// BenchmarkAlone takes and releases a lock that nobody else wants.
func BenchmarkAlone(b *testing.B) {
	l := New()
	keys := make([]term.Term, 1<<16)
	for i := range keys {
		keys[i] = term.Int(i)
	}
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		if ans, _ := l.Ask(Request{Tx: tx(i), Item: Item{"t", keys[i%len(keys)]}, Kind: Write}); ans != Granted {
			b.Fatal(ans)
		}
		l.Release(tx(i))
	}
}

// BenchmarkHotKey has so many transactions at one key that all but one stand aside: each ends, lets the next one in,
// and comes again as the youngest.
func BenchmarkHotKey(b *testing.B) {
	for _, n := range []int{2, 8, 64, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := New()
			r := Request{Item: Item{"t", term.Int(1)}, Kind: Write}
			for i := range n {
				r.Tx = tx(i)
				l.Ask(r)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				evs := l.Release(tx(i))
				if len(evs) != 1 || evs[0].Tx != tx(i+1) {
					b.Fatal(evs)
				}
				r.Tx = tx(i + n)
				l.Ask(r)
			}
		})
	}
}

// BenchmarkQueue has older ones wait for a younger one's lock.
func BenchmarkQueue(b *testing.B) {
	for _, n := range []int{8, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := New()
			b.ReportAllocs()
			for i := n; b.Loop(); i += n {
				for k := range n {
					l.Ask(Request{Tx: tx(i - k), Item: Item{"t", term.Int(1)}, Kind: Write})
				}
				for k := range n {
					if evs := l.Release(tx(i - k)); len(evs) != 1 && k < n-1 {
						b.Fatal(evs)
					}
				}
			}
		})
	}
}

// BenchmarkChain has transactions that each hold a key and wait for the next one's: one end of the chain lets all go,
// one after the other.
func BenchmarkChain(b *testing.B) {
	const n = 64
	l := New()
	b.ReportAllocs()
	for i := n; b.Loop(); i += n {
		for k := range n {
			l.Ask(Request{Tx: tx(i - k), Item: Item{"t", term.Int(k)}, Kind: Write})
			if k > 0 {
				l.Ask(Request{Tx: tx(i - k), Item: Item{"t", term.Int(k - 1)}, Kind: Write})
			}
		}
		for k := range n {
			l.Release(tx(i - k))
		}
	}
}

// BenchmarkReaders has readers of one key come and go while a writer waits aside.
func BenchmarkReaders(b *testing.B) {
	const n = 64
	l := New()
	r := Request{Item: Item{"t", term.Int(1)}}
	for i := range n {
		r.Tx = tx(i)
		l.Ask(r)
	}
	l.Ask(Request{Tx: Tx{1 << 62, "b"}, Item: r.Item, Kind: Write})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Release(tx(i))
		r.Tx = tx(i + n)
		l.Ask(r)
	}
}

// BenchmarkManyTables takes a lock in each of four tables out of many.
func BenchmarkManyTables(b *testing.B) {
	l := New()
	names := make([]string, 512)
	for i := range names {
		names[i] = fmt.Sprintf("table_%d", i)
	}
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		for k := range 4 {
			l.Ask(Request{Tx: tx(i), Item: Item{names[(4*i+k)%len(names)], term.Int(k)}, Kind: Write})
		}
		l.Release(tx(i))
	}
}

// BenchmarkTable has readers of a whole table and writers of its records, from two nodes.
func BenchmarkTable(b *testing.B) {
	l := New()
	const n = 32
	ask := func(i int) {
		r := Request{Tx: Tx{uint64(i), []kit.NodeName{"a", "b"}[i%2]}, Item: Item{Table: "t"}}
		if i%2 == 1 {
			r.Item.Key, r.Kind = term.Int(i%8), Write
		}
		l.Ask(r)
	}
	for i := range n {
		ask(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Release(Tx{uint64(i), []kit.NodeName{"a", "b"}[i%2]})
		ask(i + n)
	}
}
