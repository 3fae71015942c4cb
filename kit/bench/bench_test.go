package bench

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

func TestQuantilesOfAHistogram(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	for p, want := range map[float64]time.Duration{0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond} {
		if got := h.quantile(p); got < want*15/16 || got > want*17/16 {
			t.Errorf("quantile %v is %v, want about %v", p, got, want)
		}
	}
	h.add(-time.Second) // a clock that went back is no reason to panic
	if (&histogram{}).quantile(0.5) != 0 {
		t.Error("an empty histogram has a quantile")
	}
}

func TestAnswersAreReadAsTheyWereWritten(t *testing.T) {
	sample := Sample{Count: 7, Took: time.Second, P50: 3, P99: 9}
	if got, err := ReadSample(sample.term()); err != nil || got != sample {
		t.Errorf("sample: %v, %v", got, err)
	}
	sums := Sums{Copies: []int64{1, -2}, Done: []int64{3}, Equal: [][]int{{0, 2}, {1}}}
	got, err := ReadSums(sums.term())
	if err != nil || !slices.Equal(got.Copies, sums.Copies) || !slices.Equal(got.Done, sums.Done) || len(got.Equal) != 2 {
		t.Errorf("sums: %v, %v", got, err)
	}
	for _, bad := range []term.Term{term.Int(1), term.L(), term.L(term.Int(1), term.Int(2), term.Int(3), term.Atom("x")),
		term.L(term.L(term.Atom("x")), term.L(), term.L())} {
		if _, err := ReadSample(bad); err == nil {
			t.Errorf("%s was read as a sample", term.String(bad))
		}
		if _, err := ReadSums(bad); err == nil {
			t.Errorf("%s was read as sums", term.String(bad))
		}
	}
}

func TestCheckFindsWhatDoesNotAgree(t *testing.T) {
	ok := func() []Sums { // both copies hold 5, which the clients of the two nodes wrote
		return []Sums{{Copies: []int64{5, 5}, Done: []int64{2}, Equal: [][]int{{0, 1, 2}}}, {Copies: []int64{5, 5}, Done: []int64{3}}}
	}
	if err := Check(ok()); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(s []Sums){
		"copies differ":         func(s []Sums) { s[1].Copies[0] = 6 },
		"a copy is not whole":   func(s []Sums) { s[1].Copies = s[1].Copies[:1] },
		"sums differ":           func(s []Sums) { s[0].Copies[1], s[1].Copies[1] = 4, 4 },
		"a write was lost":      func(s []Sums) { s[1].Done[0] = 4 },
		"counts are missing":    func(s []Sums) { s[1].Done = nil },
		"a place is not there":  func(s []Sums) { s[0].Equal = [][]int{{0, 9}} },
		"a place is before all": func(s []Sums) { s[0].Equal = [][]int{{0, -1}} },
	} {
		s := ok()
		spoil(s)
		if Check(s) == nil {
			t.Errorf("%s, and the check says nothing", name)
		}
	}
	if Check(nil) == nil {
		t.Error("no node at all, and the check says nothing")
	}
}

func TestTransactionsStayInTheirTables(t *testing.T) {
	for name, b := range tpcbConfigs(3) {
		rng := rand.New(rand.NewPCG(1, 1))
		others := 0
		for i := range 10_000 {
			r := rng.Float64()
			switch i {
			case 0:
				r = 0
			case 1:
				r = 0.9999999999999999
			}
			d := b.pick(r)
			if d.branch < 0 || d.branch >= b.local || d.teller < 0 || d.teller >= b.branches*tellers ||
				d.account < 0 || d.account >= b.branches*b.accounts || d.delta < -999999 || d.delta > 999999 {
				t.Fatalf("%s: %v gives %+v", name, r, d)
			}
			if d.account/b.accounts != d.branch {
				others++
			}
		}
		if b.local == 1 && others > 0 || b.local > 1 && (others < 1200 || others > 1800) {
			t.Errorf("%s: %d of 10000 accounts are in another branch", name, others)
		}
	}
}

// TestEveryOperationKeepsItsSums runs everything for a moment on a store that is alone.
func TestEveryOperationKeepsItsSums(t *testing.T) {
	ops := map[string][]string{"micro": MicroOps(true), "meter": MeterOps(true), "hlr": {"generate"}}
	for name := range tpcbConfigs(1) {
		ops[name] = []string{"drive"}
	}
	for name, list := range ops {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := alone(t)
			w, err := load(name, 1, 0, "a")
			if err != nil {
				t.Fatal(err)
			}
			for _, table := range w.tables() {
				if err := s.CreateTable(ctx, table); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.fill(ctx, s); err != nil {
				t.Fatal(err)
			}
			for _, op := range list {
				var sample Sample
				if m, ok := w.(*meter); ok {
					sample, err = m.row(ctx, s, op)
				} else {
					sample, err = drive(ctx, w, s, op, 3, 5*time.Millisecond)
				}
				if err != nil || sample.Count == 0 || sample.Rate() == 0 || sample.P99 < sample.P50 {
					t.Fatalf("%s: %+v, %v", op, sample, err)
				}
			}
			sums, err := w.sums(ctx, s)
			if err != nil {
				t.Fatal(err)
			}
			if err := Check([]Sums{sums}); err != nil {
				t.Error(err)
			}
			if name == "tpcb" { // money out of nothing must be seen
				row := term.Tuple{term.Atom("teller"), term.Int(9), term.Int(0), term.Int(1), filler()}
				if err := s.DirtyWrite(ctx, "teller", row); err != nil {
					t.Fatal(err)
				}
				if sums, err = w.sums(ctx, s); err != nil || Check([]Sums{sums}) == nil {
					t.Errorf("a wrong balance was not seen: %v", err)
				}
			}
		})
	}
}

func alone(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(store.Config{Peers: store.Alone("a")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Start(context.Background(), store.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUnknownNamesAreRefused(t *testing.T) {
	if _, err := load("nothing", 1, 0, "a"); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("unknown workload: %v", err)
	}
	for _, w := range []workload{&micro{}, newHLR(1), &meter{}, &bulk{}, &recovery{}, &tpcb{}} {
		if _, _, err := w.client(nil, "nothing", 0); err == nil {
			t.Errorf("%T has an operation that is not there", w)
		}
	}
	if _, err := (&meter{}).row(context.Background(), nil, "nothing"); err == nil {
		t.Error("the meter has a row that is not there")
	}
}
