package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// twins are two tables that are told the same: d lives on the disc, m in memory with a copy on the disc.
type twins struct {
	t     *testing.T
	s     *Store
	d     *disk.Disk
	o     disk.Options
	r     *rand.Rand
	typ   string
	subs  [2]*Subscription
	index bool
}

// A table that lives on the disc answers as one in memory does, whatever waits in the log, through dumps and restarts.
func TestDiscOnlyIsLikeMemory(t *testing.T) {
	for _, typ := range []string{"set", "bag"} {
		for seed := range uint64(6) {
			for _, real := range []bool{false, true} {
				if real && seed > 1 {
					continue
				}
				t.Run(fmt.Sprintf("%s/%d/%v", typ, seed, real), func(t *testing.T) {
					w := &twins{t: t, r: rand.New(rand.NewPCG(seed, 9)), typ: typ, o: disk.NewMemory().Options()}
					if real {
						w.o = disk.Dir(t.TempDir())
					}
					w.boot()
					w.must(w.s.CreateSchema(t.Context(), nil))
					w.start()
					for _, tab := range []string{"d", "m"} {
						def := Table{Name: tab, RecordName: "r", Type: typ, Attributes: []string{"k", "v"}}
						if tab == "d" {
							def.DiscOnly = []kit.NodeName{"a"}
						} else {
							def.Disc = []kit.NodeName{"a"}
						}
						w.must(w.s.CreateTable(t.Context(), def))
					}
					w.watch()
					for range 150 {
						w.step()
					}
					w.compare()
					w.must(w.s.Close())
					w.must(w.d.Close())
				})
			}
		}
	}
}

func (w *twins) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *twins) boot() {
	var err error
	w.d, err = disk.Open(w.o)
	w.must(err)
	w.s, err = Open(Config{Peers: Alone("a"), Disk: w.d})
	w.must(err)
}

func (w *twins) start() {
	w.must(w.s.Start(w.t.Context(), StartOptions{}))
	w.must(w.s.WaitForTables(w.t.Context(), []string{"schema"}))
}

func (w *twins) watch() {
	for i, tab := range []string{"d", "m"} {
		w.subs[i] = w.s.NewSubscription()
		_, err := w.subs[i].Subscribe(SubscribeTo{What: "table", Table: tab, Detailed: true})
		w.must(err)
	}
}

func (w *twins) key() term.Term {
	return []term.Term{term.Int(w.r.IntN(4)), term.Float(1), term.Bin("k"), term.T(term.Int(1), term.Float(2))}[w.r.IntN(4)]
}

func (w *twins) both(f func(tab string) error) {
	w.t.Helper()
	for _, tab := range []string{"d", "m"} {
		w.must(f(tab))
	}
}

func (w *twins) step() {
	ctx := w.t.Context()
	row := term.T(term.Atom("r"), w.key(), term.Int(w.r.IntN(3)))
	switch n := w.r.IntN(40); {
	case n < 10:
		w.both(func(tab string) error { return w.s.DirtyWrite(ctx, tab, row) })
	case n < 13:
		w.both(func(tab string) error { return w.s.DirtyDelete(ctx, tab, row[1]) })
	case n < 16:
		w.both(func(tab string) error { return w.s.DirtyDeleteObject(ctx, tab, row) })
	case n < 26:
		key, rows := w.key(), []term.Tuple{row, term.T(term.Atom("r"), row[1], term.Int(7)), term.T(term.Atom("r"), w.key(), term.Int(1))}
		w.both(func(tab string) error {
			return w.s.Transaction(ctx, func(tx *Tx) error {
				if err := tx.Delete(tab, key); err != nil {
					return err
				}
				for _, r := range rows {
					if err := tx.Write(tab, r); err != nil {
						return err
					}
				}
				return tx.DeleteObject(tab, row)
			})
		})
	case n < 28 && w.typ == "set":
		w.both(func(tab string) error {
			_, err := w.s.DirtyUpdateCounter(ctx, tab, row[1], term.Int(3))
			return err
		})
	case n == 28:
		w.both(func(tab string) error { return w.s.ClearTable(ctx, tab) })
	case n < 31:
		w.must(w.s.DumpLog())
	case n == 31:
		w.must(w.s.Stop(ctx))
		w.start()
		w.must(w.s.WaitForTables(ctx, []string{"d", "m"}))
		w.watch()
	case n == 32:
		w.must(w.s.Close())
		w.must(w.d.Close())
		w.boot()
		w.start()
		w.must(w.s.WaitForTables(ctx, []string{"d", "m"}))
		w.watch()
	case n == 33 && !w.index:
		w.index = true
		w.both(func(tab string) error { return w.s.AddTableIndex(ctx, tab, term.Atom("v")) })
	case n == 34:
		for _, st := range [][]Storage{{Disc, DiscOnly}, {RAM, DiscOnly}}[w.r.IntN(2)] {
			w.must(w.s.ChangeTableCopyType(ctx, "d", "a", st))
		}
	case n < 40:
		w.compare()
	}
}

// compare asks both the same.
func (w *twins) compare() {
	w.t.Helper()
	ctx := context.Background()
	look := func(tab string) string {
		var b strings.Builder
		for k, err := w.s.DirtyFirst(ctx, tab); k != term.Term(EndOfTable); k, err = w.s.DirtyNext(ctx, tab, k) {
			w.must(err)
			rows, err := w.s.DirtyRead(ctx, tab, k)
			w.must(err)
			fmt.Fprintln(&b, term.String(k), printRows(rows))
		}
		keys, err := w.s.DirtyAllKeys(ctx, tab)
		w.must(err)
		slices.SortFunc(keys, exactOrder)
		matched, err := w.s.DirtyMatchObject(ctx, tab, term.T(term.Atom("r"), term.Any, term.Int(1)))
		w.must(err)
		var some []term.Tuple
		if w.index {
			some, err = w.s.DirtyIndexRead(ctx, tab, term.Int(1), term.Atom("v"))
			w.must(err)
		}
		for _, rows := range [][]term.Tuple{matched, some} {
			slices.SortFunc(rows, func(a, b term.Tuple) int { return exactOrder(a, b) })
		}
		size, err := w.s.TableInfo(tab, term.Atom("size"))
		w.must(err)
		return fmt.Sprint(b.String(), keys, matched, some, term.String(size))
	}
	if d, m := look("d"), look("m"); d != m {
		w.t.Fatalf("on the disc:\n%s\nin memory:\n%s", d, m)
	}
	var told [2][]string
	for i, sub := range w.subs {
		events, _ := sub.Drain()
		for _, e := range events {
			if what, ok := e.What.(term.Tuple); ok && what[0] == term.Term(term.Atom(e.Table)) {
				e.What = what[1] // of a key
			} else if e.What == term.Term(term.Atom(e.Table)) {
				e.What = nil // the table's own name
			}
			told[i] = append(told[i], fmt.Sprint(e.Kind, e.What, e.Old))
		}
	}
	if !slices.Equal(told[0], told[1]) {
		w.t.Fatalf("events on the disc:\n%s\nin memory:\n%s", strings.Join(told[0], "\n"), strings.Join(told[1], "\n"))
	}
}

func exactOrder(a, b term.Term) int {
	switch {
	case exactLess(a, b):
		return -1
	case exactLess(b, a):
		return 1
	}
	return 0
}
