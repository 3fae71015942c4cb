package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// has makes a property of sets: it has all things of one of the alternatives, "1 5|7" (things count from 0).
func has(alternatives string) func(set) bool {
	return func(s set) bool {
		return slices.ContainsFunc(strings.Split(alternatives, "|"), func(alt string) bool {
			return !slices.ContainsFunc(strings.Fields(alt), func(w string) bool {
				i, err := strconv.Atoi(w)
				return err != nil || !s[i]
			})
		})
	}
}

func (s set) String() string {
	var in []string
	for i, x := range s {
		if x {
			in = append(in, strconv.Itoa(i))
		}
	}
	return strings.Join(in, " ")
}

// testBatch answers for several sets and keeps count of them.
func testBatch(property func(set) bool, asked *int) func([]set) []bool {
	return func(sets []set) []bool {
		var all []bool
		for _, s := range sets {
			*asked++
			all = append(all, property(s))
		}
		return all
	}
}

// The scripts of testdata/shrink: "drop n=20 [unit=2] [runs=50]" drops things in units of so many from n things that have the
// property of the input; "items", "units" and "kept" show what the parts of a run are (history.Parse).
func TestShrinkScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/shrink", func(t *testing.T, path string) {
		var h *history.History
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "drop":
				return scriptDrop(t, d)
			case "history":
				var err error
				if h, err = history.Parse(d.Input); err != nil {
					t.Fatal(err)
				}
				size := sizeOf(h, 3)
				return fmt.Sprintf("%d requests of %d clients, %d faults\n", size.Ops, size.Clients, size.Faults)
			case "units":
				return scriptUnits(t, d, h)
			case "reason":
				f := grade.Finding{Why: d.Input}
				return reasonOf(f, map[string]bool{"a": true, "b": true, "ada": true, "customer-1": true}) + "\n"
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

func scriptDrop(t *testing.T, d *datadriven.TestData) string {
	n, unit, runs := 0, 1, 1000
	d.ScanArgs(t, "n", &n)
	d.MaybeScanArgs(t, "unit", &unit)
	d.MaybeScanArgs(t, "runs", &runs)
	var units [][]int
	for i := 0; i < n; i += unit {
		var u []int
		for j := i; j < min(n, i+unit); j++ {
			u = append(u, j)
		}
		units = append(units, u)
	}
	asked := 0
	s := newSearch(n, 1, runs, testBatch(has(d.Input), &asked))
	s.drop(units)
	out := fmt.Sprintf("%v\n%d tried", s.best, s.tried)
	if s.spent() {
		out += ", spent"
	}
	return out + "\n"
}

func scriptUnits(t *testing.T, d *datadriven.TestData, h *history.History) string {
	items := itemsOf(h, []kit.NodeName{"a", "b"})
	var b strings.Builder
	for _, arg := range d.CmdArgs {
		fmt.Fprintf(&b, "%s:", arg.Key)
		for _, u := range map[string]func([]item) [][]int{"clients": byClient, "bursts": bursts, "singles": singles, "orders": orders,
			"blows": blows, "nodes": nodesOf}[arg.Key](items) {
			var names []string
			for _, i := range u {
				switch it := items[i]; {
				case it.op != nil:
					names = append(names, fmt.Sprintf("%s %d", it.op.Client, it.number))
				case it.fault != nil:
					names = append(names, fmt.Sprintf("%s %s %d", it.fault.What, target(*it.fault), it.number))
				default:
					names = append(names, string(it.node))
				}
			}
			fmt.Fprintf(&b, " [%s]", strings.Join(names, ", "))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestSearchIsTheSameWithAnyNumberOfJobs compares searches for random properties, and counts what they ask.
func TestSearchIsTheSameWithAnyNumberOfJobs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n := 1 + r.IntN(40)
		var alts []string
		for range 1 + r.IntN(3) {
			var alt []string
			for range r.IntN(5) {
				alt = append(alt, strconv.Itoa(r.IntN(n)))
			}
			alts = append(alts, strings.Join(alt, " "))
		}
		property, runs := has(strings.Join(alts, "|")), 5+r.IntN(200)
		var first *search
		for _, jobs := range []int{1, 2, 3, 8} {
			asked := 0
			s := newSearch(n, jobs, runs, testBatch(property, &asked))
			whole := s.best
			s.guess(whole.without([]int{0}), whole.without([]int{n - 1}))
			var units [][]int
			for i := range n {
				units = append(units, []int{i})
			}
			s.drop(units)
			switch {
			case first == nil:
				first = s
			case s.best.key() != first.best.key() || s.tried != first.tried:
				t.Fatalf("%q of %d: %v after %d with %d jobs, %v after %d with one", alts, n, s.best, s.tried, jobs, first.best, first.tried)
			}
			if s.tried > runs || asked > runs+jobs*runs {
				t.Fatalf("%d tried and %d asked of %d", s.tried, asked, runs)
			}
			if !property(s.best) {
				t.Fatalf("%v lacks the property %q", s.best, alts)
			}
			if s.spent() {
				continue
			}
			for i, in := range s.best {
				if in && property(s.best.without([]int{i})) {
					t.Fatalf("%v for %q could do without %d", s.best, alts, i)
				}
			}
		}
	}
}

// TestHaltedSearch keeps the best set and counts only what was tested.
func TestHaltedSearch(t *testing.T) {
	for halt := range 12 {
		asked := 0
		var s *search
		property := has("3 12")
		s = newSearch(20, 1, 1000, func(sets []set) []bool {
			if asked == halt {
				s.halt()
				return make([]bool, len(sets))
			}
			asked++
			return []bool{property(sets[0])}
		})
		var units [][]int
		for i := range 20 {
			units = append(units, []int{i})
		}
		s.drop(units)
		if s.tried != halt || !s.spent() || !property(s.best) {
			t.Errorf("halted after %d: %d tried, %v", halt, s.tried, s.best)
		}
	}
}

// TestRanges reads what it writes and refuses the rest.
func TestRanges(t *testing.T) {
	for _, c := range []string{"", "1", "1-3", "1,3", "2-4,7,9-10"} {
		numbers, err := parseRanges(c)
		if err != nil || ranges(numbers) != c {
			t.Errorf("%q is read as %v (%v) and written as %q", c, numbers, err, ranges(numbers))
		}
	}
	for _, c := range []string{"0", "-1", "1-", "3-1", "x", "1,,2", "1-9999999999", strings.Repeat("1-200000,", 9) + "1"} {
		if numbers, err := parseRanges(c); err == nil {
			t.Errorf("%.20q is read as %d numbers", c, len(numbers))
		}
	}
	many := grade.Kept{}
	for i := range 3 {
		many.Requests = append(many.Requests, grade.KeptNumbers{Of: strconv.Itoa(i), Numbers: "1-150000"})
	}
	if _, err := parsePart(many); kit.KindOf(err) != kit.Corrupt {
		t.Errorf("far too many requests: %v", err)
	}
}

// TestLeftOut records a run of which something is left out, on a world that notes what reaches it.
func TestLeftOut(t *testing.T) {
	original, err := history.Parse(`
		phase setup
		0-1 ada a make => 1
		phase work
		10-30 ada a increment 1 => 1
		30-7030 ada b increment 2 => {"lost":true}
		7050-7060 ada a increment 3 => 3
		20 kill b
		40 restart b
		60 kill a`)
	if err != nil {
		t.Fatal(err)
	}
	p := part{requests: map[string]map[int]bool{"ada": {3: true}}, faults: map[string]map[int]bool{"process b": {1: true, 2: true}}, without: []kit.NodeName{"c"}}
	inner := &noting{fakeWorld: &fakeWorld{nodes: []kit.NodeName{"a", "b"}, rows: map[any]term.Term{}}}
	aborted := false
	w := recordLess(inner, newLeftOut(p, original, []kit.NodeName{"a", "b", "c"}, func() { aborted = true }))
	ctx := context.Background()
	ask := func(client string, node kit.NodeName) door.Outcome { return w.Do(ctx, client, node, "increment") }

	w.Enter(history.Setup)
	if got := ask("ada", "a"); len(w.Nodes()) != 2 || len(inner.heard) != 1 {
		t.Errorf("set-up is touched: %v, nodes %v, %q", got.Status, w.Nodes(), inner.heard)
	}
	w.Enter(history.Work)
	if len(w.Nodes()) != 3 {
		t.Errorf("clients know of %v, not of all that there were", w.Nodes())
	}
	before := w.Now()
	if got := ask("ada", "a"); got.Status == door.OK || !got.Definite() || w.Now()-before != 20*time.Millisecond {
		t.Errorf("what is left out was answered %v after %v", got.Status, w.Now()-before)
	}
	if got := ask("ada", "b"); got.Definite() || w.Now()-before != 7020*time.Millisecond {
		t.Errorf("what had no answer and is left out was answered %v after %v", got.Status, w.Now()-before)
	}
	ask("ada", "a") // is kept
	ask("ada", "a") // the original has no such request
	ask("bo", "a")  // nor such a client
	for _, err := range []error{w.Kill("b"), w.Restart("b"), w.Kill("a"), w.Kill("c"), w.Cut("a", "c", wire.Silent), w.Disk("a", world.DiskFault{Full: true})} {
		if err != nil && !strings.Contains(err.Error(), "not there") {
			t.Error(err)
		}
	}
	if err := w.World.Link("a", "c", wire.Rule{Delay: 1}); err != nil {
		t.Error(err)
	}
	w.Enter(history.Observe)
	ask("ada", "a")
	want := []string{"ada increment a", "ada increment a", "kill b", "restart b", "ada increment a"}
	if !slices.Equal(inner.heard, want) {
		t.Errorf("the world was asked\n%q, not\n%q", inner.heard, want)
	}
	h := w.History()
	if len(h.Ops) != 3 || len(h.Faults) != 2 {
		t.Errorf("on record are %d requests and %d orders, not 3 and 2", len(h.Ops), len(h.Faults))
	}
	w.Enter(history.Work)
	for range maxBeyond {
		ask("bo", "a")
	}
	if !aborted {
		t.Error("a client that asks for ever is never stopped")
	}
}

// noting is a world that notes requests and orders.
type noting struct {
	*fakeWorld
	heard []string
}

func (n *noting) Call(_ context.Context, client string, node kit.NodeName, req door.Request) door.Outcome {
	n.heard = append(n.heard, fmt.Sprintf("%s %s %s", client, req.Verb, node))
	return door.Done()
}

func (n *noting) Kill(node kit.NodeName) error {
	n.heard = append(n.heard, "kill "+string(node))
	return nil
}

func (n *noting) Restart(node kit.NodeName) error {
	n.heard = append(n.heard, "restart "+string(node))
	return nil
}

// TestShrinkFailed grades a program that counts each of two increments twice: one is enough to show it.
func TestShrinkFailed(t *testing.T) {
	l := find(t, fakeCatalog(t), "counter")
	var docs []string
	for _, jobs := range []int{1, 2, 5} {
		g := &Grader{Env: fakeEnv(), Jobs: jobs}
		r, err := g.Grade(context.Background(), l, program("return 2", "real"), Options{Seed: 7, Seeds: 1, Shrink: ShrinkLimits{Runs: 20, Wall: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		count := r.Tasks[0]
		if count.Shrunk == nil || count.Shrunk.To.Ops != 1 || count.Shrunk.From.Ops != 2 || count.Expected != "1" || count.Actual != "2" || count.Seed != 7 {
			t.Fatalf("%+v, shrunk %+v", count, count.Shrunk)
		}
		doc, err := json.Marshal(count)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, string(doc))
		var text bytes.Buffer
		if err := grade.Text(&text, r); err != nil {
			t.Fatal(err)
		}
		if want := "shown     the shortest run found that fails the same way: 1 request of 2 ("; !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	if docs[0] != docs[1] || docs[0] != docs[2] {
		t.Errorf("the outcome differs with the number of jobs:\n%s", strings.Join(docs, "\n"))
	}
}

// TestShrinkKeepsTheReason does not take a shorter run that fails in another way, nor one that the solution fails as well.
func TestShrinkKeepsTheReason(t *testing.T) {
	for _, c := range []struct {
		name  string
		judge func(asked, counted int) string // why it fails, empty when it does not
		want  int                             // requests left; -1 is no shorter run
	}{
		{"expected and actual are the same below three", func(asked, counted int) string {
			if counted == asked {
				return ""
			}
			return "wrong"
		}, 3},
		{"any failure", func(asked, counted int) string { return "wrong" }, -1},
		{"another reason below three", func(asked, counted int) string {
			switch {
			case counted == asked:
				return ""
			case asked < 3:
				return "too few"
			}
			return fmt.Sprintf("%d wrong", counted)
		}, 3},
		{"the solution fails it as well below four", func(asked, counted int) string {
			if counted == asked && asked >= 4 {
				return ""
			}
			return "wrong"
		}, 4},
	} {
		def := counter()
		def.Scenarios[0].New = func(uint64) Plan {
			return Plan{Drive: func(ctx context.Context, w *World) error {
				for range 6 {
					w.Do(ctx, "c1", "a", "incr")
				}
				return nil
			}, Observe: func(ctx context.Context, w *World) error {
				w.Do(ctx, "c1", "a", "total")
				return nil
			}, Checks: []Check{{Task: "count", Judge: func(h *history.History) grade.Finding {
				total, _ := h.Ops[len(h.Ops)-1].Outcome.Term()
				n, _ := total.(term.Int)
				if why := c.judge(len(h.Ops)-1, int(n)); why != "" {
					return grade.Failed(why, fmt.Sprint(max(1, len(h.Ops)-2)), "1", len(h.Ops))
				}
				return grade.Passed()
			}}}}
		}
		l := find(t, fakeCatalog(t, def), "counter")
		g := &Grader{Env: fakeEnv()}
		r, err := g.Grade(context.Background(), l, program("return 2", "real"), Options{Seed: 7, Seeds: 1, Shrink: ShrinkLimits{Runs: 50, Wall: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		switch s := r.Tasks[0].Shrunk; {
		case s == nil && c.want >= 0, s != nil && s.To.Ops != c.want:
			t.Errorf("%s: %+v, want %d requests", c.name, s, c.want)
		}
	}
}

// TestUnitsCoverAll holds that every request, order and node is in exactly one unit of each kind.
func TestUnitsCoverAll(t *testing.T) {
	h, err := history.Parse("1-2 ada a x => 1\n2-3 ada a x => 1\n2-3 bo b x => 1\n4 cut a b silent\n4 cut b a silent\n5 heal a b\n6 kill a\n7 heal b a\n8 heal b a")
	if err != nil {
		t.Fatal(err)
	}
	items := itemsOf(h, []kit.NodeName{"a", "b"})
	for name, units := range map[string][][]int{"requests": slices.Concat(bursts(items), orders(items), nodesOf(items)),
		"clients": slices.Concat(byClient(items), blows(items), nodesOf(items)), "singles": slices.Concat(singles(items), orders(items), nodesOf(items))} {
		seen := map[int]int{}
		for _, u := range units {
			for _, i := range u {
				seen[i]++
			}
		}
		if len(seen) != len(items) || slices.Max(slices.Collect(maps.Values(seen))) != 1 {
			t.Errorf("%s: %v of %d items", name, seen, len(items))
		}
	}
}
