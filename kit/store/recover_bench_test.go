package store

import (
	"context"
	"fmt"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

// BenchmarkDiff compares two copies of 100 thousand rows of 100 bytes that are equal, or differ in ten.
func BenchmarkDiff(b *testing.B) {
	const rows = 100_000
	m := started(b, "a", "b")
	ctx := context.Background()
	if err := m.store("a").CreateTable(ctx, Table{Name: "t", RAM: []kit.NodeName{"a", "b"}}); err != nil {
		b.Fatal(err)
	}
	for i := range rows {
		row := term.T(term.Atom("t"), term.Int(i), term.Bin(fmt.Sprintf("%084d", i)))
		m.store("a").table("t").data.write(row)
		m.store("b").table("t").data.write(row)
	}
	for _, n := range []int{0, 10} {
		for i := range n {
			m.store("b").table("t").data.delete(term.Int(i * 777))
		}
		b.Run(fmt.Sprintf("differing=%d", n), func(b *testing.B) {
			m.mu.Lock()
			before := m.sent
			m.mu.Unlock()
			for b.Loop() {
				found := 0
				for _, err := range m.store("a").Diff(ctx, "t", "b") {
					if err != nil {
						b.Fatal(err)
					}
					found++
				}
				if found != n {
					b.Fatal(found)
				}
			}
			m.mu.Lock()
			b.ReportMetric(float64(m.sent-before)/float64(b.N), "B-sent/op")
			m.mu.Unlock()
		})
	}
}

// BenchmarkSplitWrite is a dirty write of a local copy with nobody lost, and with the split journal kept: of keys that it
// knows already, and of new ones.
func BenchmarkSplitWrite(b *testing.B) {
	for _, what := range []string{"whole", "known", "new"} {
		b.Run(what, func(b *testing.B) {
			m := started(b, "a")
			s, ctx := m.store("a"), context.Background()
			if err := s.CreateTable(ctx, Table{Name: "t"}); err != nil {
				b.Fatal(err)
			}
			if what != "whole" {
				if err := s.cp.split.Begin("b", "t"); err != nil {
					b.Fatal(err)
				}
				s.cp.recount()
			}
			n := 0
			for b.Loop() {
				k := n % 1000
				if what == "new" {
					k = n
				}
				if err := s.DirtyWrite(ctx, "t", term.T(term.Atom("t"), term.Int(k), term.Int(n))); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
	}
}

// BenchmarkCheckpoint makes and forgets a checkpoint of a table with copies on three nodes.
func BenchmarkCheckpoint(b *testing.B) {
	names := []kit.NodeName{"a", "b", "c"}
	m := started(b, names...)
	ctx := context.Background()
	if err := m.store("a").CreateTable(ctx, Table{Name: "t", RAM: names}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		name, _, err := m.store("a").ActivateCheckpoint(ctx, CheckpointOptions{Max: []string{"t"}})
		if err == nil {
			err = m.store("a").DeactivateCheckpoint(ctx, name)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
