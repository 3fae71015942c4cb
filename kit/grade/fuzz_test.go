package grade

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// odd makes histories of bytes: few names, so that requests meet, and everything about them that can be odd.
type odd []byte

func (o *odd) n(most int) int {
	if len(*o) == 0 {
		return 0
	}
	b := (*o)[0]
	*o = (*o)[1:]
	return int(b) % most
}

func (o *odd) term(depth int) term.Term {
	small := []term.Term{term.Atom("x"), term.Int(1), term.Int(math.MinInt64), term.Bin("x"), term.Float(math.MaxFloat64), term.Int(math.MaxInt64),
		term.Atom("committed"), term.Atom("aborted"), term.Atom("in_doubt"), term.True, term.Bin(strings.Repeat("9", 400)), term.Bin("\xff\x1b[2J")}
	kind := o.n(len(small) + 5)
	switch {
	case kind < len(small) || depth > 3:
		return small[kind%len(small)]
	case kind == len(small):
		return term.Tuple{term.Atom("account"), o.term(depth + 1), o.term(depth + 1)}
	case kind == len(small)+1:
		return term.Map{{Key: o.term(depth + 1), Value: o.term(depth + 1)}}
	case kind == len(small)+2:
		t, _ := term.FromJSON([]byte(`{"i":"` + strings.Repeat("7", 300) + `"}`))
		return t
	}
	list := term.List{}
	for range o.n(4) {
		list = append(list, o.term(depth+1))
	}
	return list
}

func (o *odd) outcome() door.Outcome {
	out := door.Outcome{Status: []door.Status{door.OK, door.OK, door.OK, door.Aborted, door.Lost, door.Error, door.Down, door.Ended, door.Restart, "?"}[o.n(10)]}
	switch o.n(6) {
	case 0:
	case 1:
		out.Value = json.RawMessage(`{"nonsense`)
	default:
		out.Value, _ = term.ToJSON(o.term(0))
	}
	if out.Status == door.Aborted || out.Status == door.Error {
		out.Kind = term.Atom("busy")
	}
	return out
}

func (o *odd) history() *history.History {
	verbs := []string{"transfer", "deposit", "total", "balances", "decision", "get", "put", "cas", "read", "increment", "book", "version", "edit", "local_contents",
		"transaction", "dirty", "tx_begin", "tx_op", "tx_commit", "add"}
	times := []time.Duration{0, 1, 2, 3, 5, 8, -7, math.MaxInt64, math.MinInt64, history.Open}
	h := &history.History{End: times[o.n(len(times))]}
	for len(*o) > 0 && len(h.Ops) < 300 {
		if o.n(12) == 0 {
			h.Faults = append(h.Faults, history.Fault{At: times[o.n(len(times))], What: []string{"cut", "heal", "kill", "restart", "odd"}[o.n(5)], Node: "a", Peer: []kit.NodeName{"", "b"}[o.n(2)]})
			continue
		}
		op := history.Op{ID: len(h.Ops) + 1, Phase: []history.Phase{history.Setup, history.Work, history.Observe}[o.n(3)], Client: []string{"ann", "ben", ""}[o.n(3)],
			Node: []kit.NodeName{"a", "b"}[o.n(2)], Verb: verbs[o.n(len(verbs))], Begin: times[o.n(len(times))], End: times[o.n(len(times))]}
		for range o.n(4) {
			op.Args = append(op.Args, o.term(0))
		}
		if op.Verb == "local_contents" {
			op.Args = append([]term.Term{term.Atom([]string{"account", "entry", "booking"}[o.n(3)])}, op.Args...)
		}
		op.Outcome = o.outcome()
		h.Ops = append(h.Ops, op)
	}
	return h
}

// oddChecks are all checks over facts.
func oddChecks() map[string]Judge {
	with := func(args ...string) *datadriven.TestData {
		d := &datadriven.TestData{}
		for _, a := range args {
			d.CmdArgs = append(d.CmdArgs, datadriven.CmdArg{Key: a, Vals: []string{"a", "b"}})
		}
		return d
	}
	return map[string]Judge{
		"money": money(with("copies", "floor")).Always, "moving": money(with("copies", "inflight")).Always, "named": money(with("across", "names")).Always,
		"atomic": atomic(with()).Whole, "blocking": atomic(with("mayblock", "least")).Whole,
		"register": register(with()).Ordered, "number": sum().Ordered,
		"once": bookings(with()).Counted, "same": bookings(with("same", "retried")).Counted,
		"forward": versions(with("own")).Forward, "together": versions(with("together")).Forward,
		"converged":    Converged{Table: "account", Nodes: []kit.NodeName{"a", "b"}, Within: 1, Writes: []string{"put"}}.Equal,
		"serializable": Serializable{RealTime: true}.Explained,
	}
}

// judgeOdd runs all checks on the history that some bytes make.
func judgeOdd(t *testing.T, checks map[string]Judge, b []byte) {
	o := odd(b)
	h := o.history()
	for name, judge := range checks {
		start := time.Now()
		got := judge(h)
		if !got.Verdict.Valid() || got.Verdict != Pass && got.Why == "" {
			t.Errorf("%s: %+v", name, got)
		}
		if len(got.Why) > 20_000 || len(got.Expected) > 20_000 || len(got.Actual) > 20_000 {
			t.Errorf("%s says too much: %d, %d, %d", name, len(got.Why), len(got.Expected), len(got.Actual))
		}
		task := Task{}
		task.Explain(got, h)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

// FuzzFacts: no history, however odd, makes a check panic, take long, or find something without saying what.
func FuzzFacts(f *testing.F) {
	for _, seed := range []string{"", "\x01\x02\x03", strings.Repeat("abcdefghijklmnopqrstuvwxyz", 20), strings.Repeat("\x05\x01\x02\x00\x00\x06\x01\x02\x01\x04\x03", 40)} {
		f.Add([]byte(seed))
	}
	checks := oddChecks()
	f.Fuzz(func(t *testing.T, b []byte) { judgeOdd(t, checks, b) })
}

// TestOddHistories is the same for bytes that come from a seed.
func TestOddHistories(t *testing.T) {
	checks := oddChecks()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := make([]byte, 200+r.IntN(3000))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		judgeOdd(t, checks, b)
	}
}
