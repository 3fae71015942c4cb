package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
)

// TestAnomalies runs testdata/anomalies: transactions by hand, one a line, and what is found in them.
//
//	T1 [5-9] yes: read x [1 2]; append x 3; read y =7; write y 8
//	final b yes: read x [1 2 3]
func TestAnomalies(t *testing.T) {
	datadriven.Walk(t, "testdata/anomalies", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var txns []Txn
			for _, line := range strings.Split(d.Input, "\n") {
				txn, err := parseTxn(line)
				if err != nil {
					d.Fatalf(t, "%s: %v", line, err)
				}
				txns = append(txns, txn)
			}
			found, err := Anomalies(txns, Isolation{RealTime: d.HasArg("time")})
			if err != nil {
				return err.Error()
			}
			if len(found) == 0 {
				return "none"
			}
			var b strings.Builder
			for _, a := range found {
				fmt.Fprintln(&b, a)
			}
			return b.String()
		})
	})
}

func parseTxn(line string) (Txn, error) {
	head, rest, _ := strings.Cut(line, ":")
	words := strings.Fields(head)
	t := Txn{Name: words[0]}
	if words[0] == "final" {
		t.Final, t.Name = true, "the copy on "+words[1]
	}
	t.Took = map[string]Certainty{"yes": Yes, "no": No, "maybe": Maybe}[words[len(words)-1]]
	if from, to, ok := strings.Cut(strings.Trim(words[1], "[]"), "-"); ok {
		b, _ := strconv.Atoi(from)
		e, _ := strconv.Atoi(to)
		t.Begin, t.End = time.Duration(b)*time.Millisecond, time.Duration(e)*time.Millisecond
		if to == "?" {
			t.End = Open
		}
	}
	for _, op := range strings.Split(rest, ";") {
		w := strings.Fields(op)
		if len(w) < 2 {
			continue
		}
		what := strings.Join(w[2:], " ")
		s := Step{Key: w[1], Value: what}
		switch {
		case w[0] == "append":
			s.Kind = StepAppend
		case w[0] == "write":
			s.Kind = StepWrite
		case w[0] == "read" && strings.HasPrefix(what, "="):
			s.Value, s.Seen = "", strings.Fields(what[1:])
		case w[0] == "read":
			s.Value, s.Seen = "", strings.Fields(strings.Trim(what, "[]"))
		default:
			return t, fmt.Errorf("%q is no step", op)
		}
		t.Steps = append(t.Steps, s)
	}
	return t, nil
}

// randomTxns makes a small history: transactions that run one after the other in a random order on lists or on registers
// that are read before they are written. With some chance a read is wrong, a write gets lost, a transaction that
// had no effect is said to have had one or is without an answer.
func randomTxns(r *rand.Rand, register bool) []Txn {
	keys := []string{"x", "y", "z"}[:1+r.IntN(3)]
	txns := make([]Txn, 2+r.IntN(4))
	states := []map[string][]string{{}} // every state there was
	value := 0
	for _, i := range r.Perm(len(txns)) {
		t := Txn{Name: fmt.Sprint("T", i), Took: []Certainty{Yes, Yes, Yes, Maybe, No}[r.IntN(5)]}
		base := states[len(states)-1]
		if r.IntN(4) == 0 {
			base = states[r.IntN(len(states))] // it sees an old state
		}
		now := map[string][]string{}
		for k, v := range states[len(states)-1] {
			now[k] = v
		}
		local := map[string][]string{}
		for range 1 + r.IntN(4) {
			k := keys[r.IntN(len(keys))]
			seen, own := local[k]
			if !own {
				seen = base[k]
			}
			if r.IntN(3) == 0 && !own {
				seen = states[r.IntN(len(states))][k]
			}
			write := r.IntN(2) == 0
			if !write || register {
				t.Steps = append(t.Steps, Step{Key: k, Seen: slices.Clone(seen)})
			}
			if write {
				value++
				v := strconv.Itoa(value)
				if register {
					t.Steps = append(t.Steps, Step{Kind: StepWrite, Key: k, Value: v})
					now[k], local[k] = []string{v}, []string{v}
				} else {
					t.Steps = append(t.Steps, Step{Kind: StepAppend, Key: k, Value: v})
					now[k] = append(slices.Clone(now[k]), v)
					local[k] = append(slices.Clone(seen), v)
				}
			}
		}
		if t.Took != No || r.IntN(10) == 0 {
			states = append(states, now)
		}
		txns[i] = t
	}
	return txns
}

// explained reports whether some order of the transactions that happened, one after the other, gives the reads that they
// had: by trying all.
func explained(txns []Txn, register bool) bool {
	var sure, perhaps []Txn
	for _, t := range txns {
		switch t.Took {
		case Yes:
			sure = append(sure, t)
		case Maybe:
			perhaps = append(perhaps, t)
		}
	}
	for pick := range 1 << len(perhaps) {
		chosen := slices.Clone(sure)
		for i, t := range perhaps {
			if pick&(1<<i) != 0 {
				chosen = append(chosen, t)
			}
		}
		if serial(chosen, map[string][]string{}, register) {
			return true
		}
	}
	return false
}

func serial(left []Txn, state map[string][]string, register bool) bool {
	if len(left) == 0 {
		return true
	}
	for i, t := range left {
		if next := apply(t, state, register); next != nil && serial(slices.Delete(slices.Clone(left), i, i+1), next, register) {
			return true
		}
	}
	return false
}

// apply performs a transaction; nil when it would have read something else.
func apply(t Txn, state map[string][]string, register bool) map[string][]string {
	now := map[string][]string{}
	for k, v := range state {
		now[k] = v
	}
	for _, s := range t.Steps {
		switch {
		case s.Kind == StepRead && !slices.Equal(s.Seen, now[s.Key]):
			return nil
		case s.Kind == StepRead:
		case register:
			now[s.Key] = []string{s.Value}
		default:
			now[s.Key] = append(slices.Clone(now[s.Key]), s.Value)
		}
	}
	return now
}

// TestAnomaliesAgreeWithAllOrders compares the verdict on thousands of small histories with trying all orders.
func TestAnomaliesAgreeWithAllOrders(t *testing.T) {
	const histories = 20_000
	good, kinds := 0, map[AnomalyKind]int{}
	for seed := range uint64(histories) {
		register := seed%2 == 1
		txns := randomTxns(rand.New(rand.NewPCG(seed, 7)), register)
		found, err := Anomalies(txns, Isolation{})
		if err != nil {
			t.Fatal(err)
		}
		want := explained(txns, register)
		if want != (len(found) == 0) {
			t.Fatalf("seed %d: an order exists: %v\n%s\nfound %v", seed, want, sayTxns(txns), found)
		}
		if want {
			good++
		}
		for _, a := range found {
			kinds[a.Kind]++
			if len(a.Story) == 0 || len(a.Txns) == 0 {
				t.Errorf("seed %d: nothing is told of %v", seed, a)
			}
		}
	}
	t.Logf("%d of %d have an order; found %v", good, histories, kinds)
	if good < histories/10 || good > histories*9/10 {
		t.Errorf("%d of %d histories have an order: too one-sided to prove anything", good, histories)
	}
}

func sayTxns(txns []Txn) string {
	var b strings.Builder
	for _, t := range txns {
		fmt.Fprintf(&b, "%s %v %+v\n", t.Name, t.Took, t.Steps)
	}
	return b.String()
}

// TestRealTimeAgreesWithAllOrders does the same with times: every order that contradicts them is left out.
func TestRealTimeAgreesWithAllOrders(t *testing.T) {
	bad, stale := 0, 0
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 8))
		txns := randomTxns(r, false)
		for i := range txns {
			txns[i].Begin = time.Duration(r.IntN(20)) * time.Millisecond
			txns[i].End = txns[i].Begin + time.Duration(1+r.IntN(6))*time.Millisecond
		}
		plain, err := Anomalies(txns, Isolation{})
		if err != nil {
			t.Fatal(err)
		}
		found, err := Anomalies(txns, Isolation{RealTime: true})
		if err != nil {
			t.Fatal(err)
		}
		if want := explainedInTime(txns); want != (len(found) == 0) {
			t.Fatalf("seed %d: an order exists: %v\n%s\nfound %v", seed, want, sayTxns(txns), found)
		}
		if len(found) > 0 && len(plain) == 0 {
			bad++
			if found[0].Kind == StaleRead {
				stale++
			}
		}
	}
	if bad < 50 || stale < 5 {
		t.Errorf("only %d histories are wrong because of time alone, %d of them stale reads", bad, stale)
	}
}

// explainedInTime is explained for orders that keep to the order of time.
func explainedInTime(txns []Txn) bool {
	var try func(left []Txn, state map[string][]string) bool
	try = func(left []Txn, state map[string][]string) bool {
		if !slices.ContainsFunc(left, func(t Txn) bool { return t.Took == Yes }) {
			return true
		}
		for i, t := range left {
			if slices.ContainsFunc(left, func(o Txn) bool { return o.Took == Yes && o.End < t.Begin }) {
				continue
			}
			if next := apply(t, state, false); next != nil && try(slices.Delete(slices.Clone(left), i, i+1), next) {
				return true
			}
		}
		return false
	}
	return try(slices.DeleteFunc(slices.Clone(txns), func(t Txn) bool { return t.Took == No }), map[string][]string{})
}

// TestAnomaliesRefuse: what cannot be judged is an error.
func TestAnomaliesRefuse(t *testing.T) {
	for _, txns := range [][]Txn{
		{{Name: "T1", Steps: []Step{{Kind: StepAppend, Key: "x", Value: "1"}}}, {Name: "T2", Steps: []Step{{Kind: StepAppend, Key: "x", Value: "1"}}}},
		{{Name: "T1", Steps: []Step{{Kind: StepAppend, Key: "x", Value: "1"}, {Kind: StepWrite, Key: "x", Value: "2"}}}},
		{{Name: "T1", Steps: []Step{{Kind: StepWrite, Key: "x"}}}},
		make([]Txn, MaxTxns+1),
	} {
		if found, err := Anomalies(txns, Isolation{}); kit.KindOf(err) != kit.Invalid {
			t.Errorf("found %v, error %v", found, err)
		}
	}
}

// TestAnomaliesOfLongHistories: a long history is judged quickly, and one anomaly in it is found.
func TestAnomaliesOfLongHistories(t *testing.T) {
	var txns []Txn
	lists := map[string][]string{}
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 4000 {
		v, k, o := strconv.Itoa(i+1), "k"+strconv.Itoa(r.IntN(40)), "k"+strconv.Itoa(r.IntN(40))
		now := time.Duration(i) * time.Millisecond
		txns = append(txns, Txn{Name: "T" + v, Took: Yes, Begin: now, End: now + 900*time.Microsecond,
			Steps: []Step{{Key: o, Seen: lists[o]}, {Key: k, Seen: lists[k]}, {Kind: StepAppend, Key: k, Value: v}}})
		lists[k] = append(slices.Clone(lists[k]), v)
	}
	if found, err := Anomalies(txns, Isolation{RealTime: true}); err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	late := &txns[3000].Steps[1]
	late.Seen = late.Seen[:len(late.Seen)-1]
	found, err := Anomalies(txns, Isolation{RealTime: true})
	if err != nil || len(found) != 1 || found[0].Kind != LostUpdate {
		t.Fatal(found, err)
	}
}

// TestTransactions: what a recorded run tells of its transactions.
func TestTransactions(t *testing.T) {
	h := parse(t, `
phase setup
1-2 setup a dirty ["dirty_write","account",{"t":["account","ann",100]}] => "ok"
phase work
3-4 c1 a tx_begin "t" "transaction" => "ok"
5-6 c1 a tx_op "t" ["read","log","k"] => []
6-7 c1 a tx_op "t" ["write","log",{"t":["log","k",[1]]}] => {"restart":true}
7-8 c1 a tx_op "t" ["read","log","k"] => []
8-9 c1 a tx_op "t" ["write","log",{"t":["log","k",[2]]}] => "ok"
9-10 c1 a tx_op "t" ["write","log",{"t":["log","k",[2,3]]}] => "ok"
11-15 c1 a tx_commit "t" => "ok"
12-13 c2 b transaction [["wread","account","ann"],["write","account",{"t":["account","ann",90]}]] => [[{"t":["account","ann",100]}],"ok"]
16-? c2 b transaction [["wread","account","ann"],["write","account",{"t":["account","ann",80]}]] => ?
17-18 c2 b transaction [["read","log","k"],["read","account","ann"]] => [[{"t":["log","k",[2,3]]}],[{"t":["account","ann",80]}]]
`)
	txns := h.Transactions()
	var b strings.Builder
	for _, x := range txns {
		fmt.Fprintf(&b, "%s %s-%s %v %v\n", x.Name, at(x.Begin), at(x.End), x.Took, x.Steps)
	}
	want := `setup 1 1ms-2ms 1 [{0 account/ann  []} {2 account/ann 100 []}]
tx 2 3ms-15ms 1 [{0 log/k  []} {1 log/k 2 []} {1 log/k 3 []}]
tx 2 before restart 1 3ms-6ms 2 [{0 log/k  []}]
tx 9 12ms-13ms 1 [{0 account/ann  [100]} {2 account/ann 90 []}]
tx 10 16ms-0s 0 [{2 account/ann 80 []}]
tx 11 17ms-18ms 1 [{0 log/k  [2 3]} {0 account/ann  [80]}]
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	if found, err := Anomalies(txns, Isolation{RealTime: true}); err != nil || len(found) > 0 {
		t.Error(found, err)
	}
}
