package lock

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit/term"
)

// TestScripts runs the scripts in testdata. t1 is older than t2, and so on. Commands:
//
//	read|write TX TABLE[/KEY]     ask for a lock
//	release TX                    the transaction ends
//	held, queue                   list
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		l := New()
		var next uint64
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out []string
			switch d.Cmd {
			case "read", "write":
				next++
				r := Request{Tx: txOf(t, d.CmdArgs[0].Key), Item: itemOf(d.CmdArgs[1].Key), ID: next}
				if d.Cmd == "write" {
					r.Kind = Write
				}
				ans, evs := l.Ask(r)
				out = append(out, [...]string{"granted", "queued", "refused: stands aside"}[ans])
				out = append(out, events(evs)...)
			case "release":
				out = events(l.Release(txOf(t, d.CmdArgs[0].Key)))
			case "held":
				out = locks(l.Held())
			case "queue":
				out = locks(l.Queue())
			default:
				t.Fatalf("no command %q", d.Cmd)
			}
			if len(out) == 0 {
				return "nothing\n"
			}
			return strings.Join(out, "\n") + "\n"
		})
	})
}

func txOf(t *testing.T, s string) Tx {
	n, err := strconv.Atoi(strings.TrimPrefix(s, "t"))
	if err != nil {
		t.Fatal(err)
	}
	return Tx{Time: uint64(n), Node: "a"}
}

func itemOf(s string) Item {
	tab, key, ok := strings.Cut(s, "/")
	if !ok {
		return Item{Table: tab}
	}
	return Item{Table: tab, Key: term.Atom(key)}
}

func events(evs []Event) []string {
	var out []string
	for _, e := range evs {
		what := "granted"
		switch {
		case e.Answer == Refused:
			what = "refused: stands aside"
		case e.Rerun:
			what = "granted: runs again"
		}
		out = append(out, fmt.Sprintf("t%d %s %s", e.Tx.Time, name(e.Item), what))
	}
	return out
}

func name(i Item) string {
	if i.Key == nil {
		return i.Table
	}
	return fmt.Sprintf("%s/%s", i.Table, i.Key)
}

func locks(ls []Lock) []string {
	var out []string
	for _, k := range ls {
		out = append(out, fmt.Sprintf("t%d %s %s", k.Tx.Time, k.Kind, name(k.Item)))
	}
	return out
}

// TestRandom drives random requests and checks after each that no two locks conflict, and in the end that
// everybody who did not give up was served.
func TestRandom(t *testing.T) {
	for seed := range uint64(500) {
		random(t, seed)
	}
}

func random(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	l := New()
	blocked := map[Tx]bool{}
	var id uint64
	heard := func(evs []Event) {
		for _, e := range evs {
			blocked[e.Tx] = e.Answer == Refused
		}
	}
	for range 300 {
		tx := Tx{Time: r.Uint64N(8) + 1, Node: "a"}
		switch {
		case r.IntN(4) == 0:
			delete(blocked, tx)
			heard(l.Release(tx))
		case !blocked[tx]:
			it := Item{Table: "t"}
			if r.IntN(5) > 0 {
				it.Key = term.Int(r.IntN(3))
			}
			id++
			ans, evs := l.Ask(Request{Tx: tx, Item: it, Kind: Kind(r.IntN(2)), ID: id})
			blocked[tx] = ans != Granted
			heard(evs)
		}
		check(t, seed, l)
	}
	for range 100 {
		for _, tx := range l.Transactions() {
			if !blocked[tx] {
				heard(l.Release(tx))
			}
		}
	}
	if txs := l.Transactions(); len(txs) > 0 {
		t.Fatalf("seed %d: %v wait for ever\nheld %v\nqueue %v", seed, txs, locks(l.Held()), locks(l.Queue()))
	}
}

func check(t *testing.T, seed uint64, l *Locks) {
	held := l.Held()
	for i, a := range held {
		for _, b := range held[i+1:] {
			meet := a.Item.Key == nil || b.Item.Key == nil || term.Equal(a.Item.Key, b.Item.Key)
			if a.Tx != b.Tx && meet && (a.Kind == Write || b.Kind == Write) {
				t.Fatalf("seed %d: conflicting locks %v", seed, locks([]Lock{a, b}))
			}
		}
	}
	for _, tab := range l.tables {
		n := tab.whole.waiting()
		for e := tab.first; e != nil; e = e.next {
			n += e.waiting()
			if len(e.holders)+e.waiting() == 0 {
				t.Fatalf("seed %d: %v is kept for nobody", seed, e.item())
			}
		}
		if n != tab.waiting {
			t.Fatalf("seed %d: %d wait, counted as %d", seed, n, tab.waiting)
		}
	}
	if !slices.IsSortedFunc(held, func(a, b Lock) int { return a.Tx.Compare(b.Tx) }) {
		t.Fatalf("seed %d: the list is not in order of age", seed)
	}
}
