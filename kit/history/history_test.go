package history

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netsplit/kit/door"
	"netsplit/kit/term"
)

func parse(t *testing.T, script string) *History {
	t.Helper()
	h, err := Parse(script)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// book prints accesses compactly: request, client, activity, name and key, result, certainty.
func book(all []Access) string {
	var b strings.Builder
	for _, a := range all {
		result, key := "-", "-"
		if a.Result != nil {
			result = term.String(a.Result)
		}
		if a.Key() != nil {
			key = term.String(a.Key())
		}
		fmt.Fprintf(&b, "%d %s %q %s %s %s %s %s\n", a.OpID, a.Client, a.Tx, a.Name, a.Table(), key, result,
			[]string{"maybe", "yes", "no"}[a.Took])
	}
	return b.String()
}

type accessCase struct{ name, script, want string }

var wholeActivities = []accessCase{
	{"dirty operations stand alone", `
1-2 c1 a dirty ["dirty_write","account",{"t":["account","ann",90]}] => "ok"
2-3 c2 b dirty ["dirty_read","account","ann"] => [{"t":["account","ann",90]}]
3-4 c2 b dirty ["dirty_read","nosuch","ann"] => {"aborted":"no_exists","args":["nosuch"],"how":"exit"}
4-? c2 b dirty ["dirty_delete","account","ann"] => ?
`, `1 c1 "" dirty_write account ann ok yes
2 c2 "" dirty_read account ann [{account,ann,90}] yes
3 c2 "" dirty_read nosuch ann - no
4 c2 "" dirty_delete account ann - maybe
`},
	{"a transaction's answers belong to its operations", `
1-2 c1 a transaction [["read","account","ann"],["write","account",{"t":["account","ann",1]}]] => [[],"ok"]
2-3 c1 a transaction [["write","account",{"t":["account","ben",1]}]] => {"aborted":"nomem"}
3-4 c1 a transaction [["read","account","ann"]] => {"lost":true}
`, `1 c1 "tx 1" read account ann [] yes
1 c1 "tx 1" write account ann ok yes
2 c1 "tx 2" write account ben - no
3 c1 "tx 3" read account ann - maybe
`},
	{"a restarted transaction counts from its last try", `
1-2 c1 a tx_begin "t" => "ok"
2-3 c1 a tx_op "t" ["read","account","ann"] => [{"t":["account","ann",1]}]
3-4 c1 a tx_op "t" ["read","account","ben"] => {"restart":true}
4-5 c1 a tx_op "t" ["read","account","ann"] => [{"t":["account","ann",2]}]
5-6 c1 a tx_commit "t" => "ok"
`, `4 c1 "tx 1" read account ann [{account,ann,2}] yes
`},
	{"an aborted or abandoned interactive transaction did nothing", `
1-2 c1 a tx_begin "t" => "ok"
2-3 c1 a tx_op "t" ["write","account",{"t":["account","ann",5]}] => "ok"
3-4 c1 a tx_kill "t" => "ok"
4-5 c1 a tx_begin "t" => "ok"
5-6 c1 a tx_op "t" ["write","account",{"t":["account","ann",6]}] => "ok"
`, `2 c1 "tx 1" write account ann ok no
5 c1 "tx 4" write account ann ok maybe
`},
	{"an async_dirty activity is dirty, a sync_transaction is not", `
1-2 c1 a activity "async_dirty" [["write","account",{"t":["account","ann",5]}]] => ["ok"]
2-3 c1 a activity "sync_transaction" [["write","account",{"t":["account","ann",6]}]] => ["ok"]
`, `1 c1 "" write account ann ok yes
2 c1 "tx 2" write account ann ok yes
`},
}

var steppedActivities = []accessCase{
	{"a blocked operation has the answer that was waited for", `
1-2 c1 a tx_begin "t" "transaction" => "ok"
2-3 c1 a tx_op "t" ["read","account","ann"] => {"blocked":true}
3-9 c1 a tx_wait "t" 500 => [{"t":["account","ann",1]}]
9-10 c1 a tx_commit "t" => "ok"
`, `2 c1 "tx 1" read account ann [{account,ann,1}] yes
`},
	{"a nested abort undoes only its own", `
1-2 c1 a tx_begin "t" "transaction" => "ok"
2-3 c1 a tx_op "t" ["write","account",{"t":["account","ann",1]}] => "ok"
3-4 c1 a tx_op "t" ["nest_begin"] => "ok"
4-5 c1 a tx_op "t" ["write","account",{"t":["account","ben",1]}] => "ok"
5-6 c1 a tx_op "t" ["nest_abort"] => "ok"
6-7 c1 a tx_op "t" ["s_write",{"t":["account","cyd",1]}] => "ok"
7-8 c1 a tx_commit "t" => "ok"
`, `2 c1 "tx 1" write account ann ok yes
6 c1 "tx 1" s_write account cyd ok yes
`},
	{"an activity without locks, driven step by step, is dirty; one that ended by itself did nothing", `
1-2 c1 a tx_begin "t" "async_dirty" => "ok"
2-3 c1 a tx_op "t" ["write","account",{"t":["account","ann",1]}] => "ok"
3-4 c1 a tx_commit "t" => "ok"
4-5 c1 a tx_begin "u" "transaction" => "ok"
5-6 c1 a tx_op "u" ["write","account",{"t":["account","ben",1]}] => "ok"
6-7 c1 a tx_op "u" ["read","nosuch",1] => {"ended":{"aborted":"no_exists","args":["nosuch"]}}
`, `2 c1 "" write account ann ok yes
5 c1 "tx 4" write account ben ok no
`},
	{"nonsense is passed over", `
1-2 c1 a tx_begin "z" => "ok"
1-2 c1 a tx_op "z" ["nest_abort"] => "ok"
1-2 c1 a tx_op "z" ["nest_commit"] => "ok"
1-2 c1 a tx_wait "z" 5 => "ok"

1-2 c1 a dirty "x" => "ok"
1-2 c1 a dirty [] => "ok"
1-2 c1 a dirty => "ok"
1-2 c1 a transaction 7 => "ok"
1-2 c1 a tx_op "never-begun" ["read","account","ann"] => []
1-2 c1 a tx_commit "never-begun" => "ok"
`, ""},
}

func TestAccesses(t *testing.T) {
	for _, c := range slices.Concat(wholeActivities, steppedActivities) {
		t.Run(c.name, func(t *testing.T) {
			if got := book(parse(t, c.script).Accesses()); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// TestRestartedTransactionBeganOnce: its operations know when it began and what made it restart.
func TestRestartedTransactionBeganOnce(t *testing.T) {
	h := parse(t, `
1-2 c1 a tx_begin "t" "transaction" => "ok"
3-8 c1 a tx_op "t" ["read","account","ann"] => {"restart":true}
9-10 c1 a tx_op "t" ["read","account","ann"] => []
11-12 c1 a tx_commit "t" => "ok"
`)
	got := h.Accesses()
	if len(got) != 1 || got[0].Since != time.Millisecond || !reflect.DeepEqual(got[0].Restarts, []int{2}) {
		t.Errorf("%+v", got)
	}
}

func TestEventsAndCuts(t *testing.T) {
	h := parse(t, `
1 cut a b silent
2 cut b a silent
3 cut a b loud
5 heal a b
9-10 shell b boot_events => [{"event":"mnesia_down","node":"a"},{"event":"inconsistent_database","context":"running_partitioned_network","node":"a"},7]
11-12 shell a events "p" => {"error":"nosuch"}
20 end
`)
	got := h.Events()
	if len(got) != 2 || got[1].Kind != "inconsistent_database" || got[1].Context != "running_partitioned_network" ||
		got[1].About != "a" || got[1].Node != "b" || got[1].At != 10*time.Millisecond {
		t.Errorf("events: %+v", got)
	}
	if got, want := h.Cuts("a", "b"), []Span{{time.Millisecond, 5 * time.Millisecond}}; !reflect.DeepEqual(got, want) {
		t.Errorf("cuts a b: %v, want %v", got, want)
	}
	if got, want := h.Cuts("b", "a"), []Span{{2 * time.Millisecond, Open}}; !reflect.DeepEqual(got, want) {
		t.Errorf("cuts b a: %v, want %v", got, want)
	}
}

func TestWrittenHistoryIsReadBack(t *testing.T) {
	h := parse(t, `
phase setup
1-2 setup a create_table "account" {"ram_copies":["a","b"]} => "ok"
phase work
2.5 cut a b silent
3-4 c1 a dirty ["dirty_read","account",{"s":"ann"}] => [{"t":["account",{"s":"ann"},90]}]
4-5 c1 a tx_commit "t" => {"aborted":"bad","args":[1],"text":"so"}
6-? c1 b dirty ["dirty_read","account",1] => ?
7 note ratio {"t":[{"f":"9.5"},"x"]}
`)
	var b bytes.Buffer
	if err := h.Write(&b); err != nil {
		t.Fatal(err)
	}
	back, err := Read(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := back.Write(&again); err != nil {
		t.Fatal(err)
	}
	if b.String() != again.String() {
		t.Errorf("wrote\n%s\nread back and wrote\n%s", b.String(), again.String())
	}
	if !reflect.DeepEqual(h, back) {
		t.Errorf("read back\n%+v\nwant\n%+v", back, h)
	}
}

func TestBadRecordsAreRefused(t *testing.T) {
	head := `{"history":{"version":1,"end":5}}` + "\n"
	for _, src := range []string{
		`{"op":{"id":1}}`,
		`{"history":{"version":9}}`,
		head + `{"op":{"id":1,"args":[{"nonsense":1}]}}`,
		head + `{"op":{"id":2,"args":[]}}` + "\n" + `{"op":{"id":1,"args":[]}}`,
		head + `{}`,
		head + `not json`,
		head + `{"note":{"value":{"t":3}}}`,
	} {
		if h, err := Read(strings.NewReader(src)); err == nil {
			t.Errorf("%s was read as %+v", src, h)
		}
	}
}

func TestLogIsBoundedAndConcurrent(t *testing.T) {
	l := NewLog()
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for i := range 1000 {
				id := l.Begin("c", "a", "dirty", nil, time.Duration(i))
				l.Finish(id, door.Done(), time.Duration(i+1))
			}
		})
	}
	clients.Wait()
	if h := l.Snapshot(time.Second); len(h.Ops) != 4000 || h.Truncated {
		t.Errorf("%d operations, truncated %v", len(h.Ops), h.Truncated)
	}
	l.Finish(1, door.Outcome{Status: door.OK, Value: make([]byte, MaxBytes)}, 0)
	if id := l.Begin("c", "a", "dirty", nil, 0); id != 0 {
		t.Errorf("a full log took operation %d", id)
	}
	l.Finish(0, door.Done(), 0) // of an operation that was not taken
	if h := l.Snapshot(time.Second); !h.Truncated || len(h.Ops) != 4000 {
		t.Errorf("%d operations, truncated %v", len(h.Ops), h.Truncated)
	}
}

func TestPhases(t *testing.T) {
	l := NewLog()
	l.Begin("c", "a", "one", nil, 0)
	l.Enter(Work)
	l.Fault(Fault{What: "kill", Node: "a"})
	l.Note("x", term.Int(1), 0)
	l.Enter(Observe)
	l.Begin("c", "a", "two", nil, 0)
	h := l.Snapshot(0)
	if got := h.During(Setup, Observe); len(got.Ops) != 2 || len(got.Faults) != 0 || len(got.Notes) != 0 {
		t.Errorf("outside work: %+v", got)
	}
	if got := h.During(Work); len(got.Ops) != 0 || len(got.Faults) != 1 || len(got.Notes) != 1 {
		t.Errorf("during work: %+v", got)
	}
	if o, ok := h.Op(2); !ok || o.Verb != "two" {
		t.Errorf("operation 2: %+v %v", o, ok)
	}
	if _, ok := h.Op(3); ok {
		t.Error("operation 3 was found")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"history":{"version":1,"end":5}}` + "\n" + `{"op":{"id":1,"args":[["x"]],"end":3,"outcome":{"ok":1}}}`)
	f.Fuzz(func(t *testing.T, src string) {
		if h, err := Read(strings.NewReader(src)); err == nil {
			h.Accesses()
			h.Events()
		}
	})
}

// Messages are what processes were sent; what the runtime tells is in Events.
func TestMessages(t *testing.T) {
	h := parse(t, `
1-2 shell a mailbox "self" 0 => [{"message":{"s":"one"}},{"event":"nodedown","node":"b"},{"message":3},{"message":null}]
3-4 shell b mailbox "self" 0 => {"raised":"badarg"}
5-6 other b mailbox "self" 0 => [{"message":{"t":["n",1]}}]
7-8 shell b events "p" => [{"message":1}]
`)
	got := ""
	for _, m := range h.Messages() {
		got += fmt.Sprintf("%d %s %s %v %s\n", m.OpID, m.Client, m.Node, m.At, term.String(m.Value))
	}
	want := "1 shell a 2ms <<\"one\">>\n1 shell a 2ms 3\n3 other b 6ms {n,1}\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if e := h.Events(); len(e) != 1 || e[0].Kind != "nodedown" {
		t.Errorf("events: %+v", e)
	}
}
