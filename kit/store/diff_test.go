package store

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

// A large table of which a few rows differ is compared with little traffic; one of which all rows differ in parts.
func TestDiffTraffic(t *testing.T) {
	const rows = 20_000
	m := started(t, "a", "b")
	ctx := context.Background()
	a, b := m.store("a"), m.store("b")
	if err := a.CreateTable(ctx, Table{Name: "t", RAM: []kit.NodeName{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		row := term.T(term.Atom("t"), term.Int(i), term.Bin(fmt.Sprintf("%0100d", i)))
		a.table("t").data.write(row)
		b.table("t").data.write(row)
	}
	diff := func(batch, most int) (keys []int) {
		t.Helper()
		before := m.sent
		d := &differ{s: a, ctx: ctx, table: "t", with: "b", batch: batch, yield: func(d Difference, err error) bool {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, int(d.Key.(term.Int)))
			return true
		}}
		if err := d.run(); err != nil {
			t.Fatal(err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if n := m.sent - before; n > most {
			t.Errorf("%d differences cost %d bytes, more than %d", len(keys), n, most)
		}
		slices.Sort(keys)
		return keys
	}
	if d := diff(diffBatch, 25<<10); len(d) > 0 {
		t.Error("equal copies differ in", d)
	}
	for _, k := range []int{3, 777, rows - 1} {
		b.table("t").data.delete(term.Int(k))
	}
	a.table("t").data.write(term.T(term.Atom("t"), term.Int(-5), term.Atom("here")))
	if d := diff(diffBatch, 30<<10); !slices.Equal(d, []int{-5, 3, 777, rows - 1}) {
		t.Error("differences:", d)
	}
	for i := range rows {
		b.table("t").data.write(term.T(term.Atom("t"), term.Int(i), term.Int(0)))
	}
	if d := diff(2000, 8<<20); len(d) != rows+1 {
		t.Errorf("%d differences", len(d))
	}
	for i := range rows - 600 {
		a.table("t").data.delete(term.Int(i))
		b.table("t").data.delete(term.Int(i))
	}
	if d := diff(2, 8<<20); len(d) != 601 { // fewer than some buckets hold
		t.Errorf("%d differences", len(d))
	}
}
