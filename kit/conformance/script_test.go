package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// scripted is a world that answers what a test wants, in the bubble's time.
type scripted struct {
	nodes  []kit.NodeName
	answer func(n kit.NodeName, verb, args string) string
	began  time.Time
	work   sync.WaitGroup
	mu     sync.Mutex
	log    []string
}

func (w *scripted) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *scripted) Call(_ context.Context, client string, n kit.NodeName, req door.Request) door.Outcome {
	args, _ := term.ToJSON(term.List(req.Args))
	text := ""
	switch req.Verb {
	case "verbs":
		text = `{"ok":[` + strings.Join([]string{verbJSON("transaction", "ops", "retries?"), verbJSON("system_info", "item"), verbJSON("nodes"),
			verbJSON("ops"), verbJSON("tx_begin", "tx"), verbJSON("tx_op", "tx", "op"), verbJSON("tx_commit", "tx"),
			verbJSON("subscribe", "p", "what"), verbJSON("events", "p"), verbJSON("wait_for_tables", "tables", "timeout")}, ",") + `]}`
	case "ops":
		text = `{"ok":[` + verbJSON("read", "table", "key") + `,` + verbJSON("write", "table", "record") + `]}`
	case "nodes":
		text = othersOf(w.nodes, n)
	default:
		w.note("%s %s %s %s", client, n, req.Verb, args)
		text = w.answer(n, req.Verb, string(args))
	}
	var out door.Outcome
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return door.FromError(err)
	}
	return out
}

// othersOf is what a node answers that sees all others.
func othersOf(all []kit.NodeName, n kit.NodeName) string {
	b, _ := json.Marshal(slices.DeleteFunc(slices.Clone(all), func(o kit.NodeName) bool { return o == n }))
	return `{"ok":` + string(b) + `}`
}

func verbJSON(name string, params ...string) string {
	var ps []string
	for _, p := range params {
		ps = append(ps, fmt.Sprintf(`{"s":%q}`, p))
	}
	return fmt.Sprintf(`{"m":[["name",%q],["params",[%s]]]}`, name, strings.Join(ps, ","))
}

func (w *scripted) Nodes() []kit.NodeName { return w.nodes }
func (w *scripted) Link(from, to kit.NodeName, r wire.Rule) error {
	w.note("link %s %s %q", from, to, r.Cut)
	return nil
}
func (w *scripted) Kill(n kit.NodeName) error     { w.note("kill %s", n); return nil }
func (w *scripted) Restart(n kit.NodeName) error  { w.note("restart %s", n); return nil }
func (w *scripted) Stop(n kit.NodeName) error     { w.note("stop %s", n); return nil }
func (w *scripted) WipeDisc(n kit.NodeName) error { w.note("wipe %s", n); return nil }
func (w *scripted) Pause(kit.NodeName) error      { return nil }
func (w *scripted) Resume(kit.NodeName) error     { return nil }
func (w *scripted) Leave(client string)           { w.note("leave %s", client) }
func (w *scripted) Now() time.Duration            { return time.Since(w.began) }
func (w *scripted) Sleep(_ context.Context, d time.Duration) error {
	time.Sleep(d)
	return nil
}
func (w *scripted) Go(f func(context.Context)) { w.work.Go(func() { f(context.Background()) }) }
func (w *scripted) Wait()                      { w.work.Wait() }
func (w *scripted) Close() error               { w.work.Wait(); return nil }

// runSteps runs steps against a scripted world and gives their verdicts and the trace's.
func runSteps(t *testing.T, steps string, answer func(n kit.NodeName, verb, args string) string) (Result, *scripted) {
	t.Helper()
	w := &scripted{nodes: []kit.NodeName{"a", "b"}, answer: answer, began: time.Now()}
	trace := Trace{ID: "x-01", Nodes: w.nodes}
	if err := json.Unmarshal([]byte(steps), &trace.Steps); err != nil {
		t.Fatal(err)
	}
	res, err := Run(context.Background(), w, trace)
	if err != nil {
		t.Fatal(err)
	}
	w.Wait()
	return res, w
}

func verdicts(r Result) string {
	words := []string{string(r.Verdict) + ":"}
	for _, s := range r.Steps {
		words = append(words, string(s.Verdict))
	}
	return strings.Join(words, " ")
}

// Right answers pass, wrong ones fail, quirks and what is not known are told apart.
func TestVerdicts(t *testing.T) {
	const good, bad = `{"ok":[["x"]]}`, `{"ok":[["y"]]}`
	read := func(more string) string {
		return `{"on":"a","do":"transaction","ops":[["read","t",1]],"expect":{"ok":[["x"]]}` + more + `}`
	}
	for _, c := range []struct{ steps, answer, want string }{
		{read(""), good, "pass: pass"},
		{read(""), bad, "fail: fail"},
		{read(`,"quirk":"an accident"`), bad, "pass: info"},
		{read(`,"unchecked":true`), bad, "pass: free"},
		{read(`,"quirk":"an accident"`) + "," + read(""), `{"aborted":"x"}`, "info: info unsure"},
		{`{"on":"a","do":"backup","file":"f","expect":{"ok":"ok"}},` + read(""), bad, "not yet: not yet unsure"},
		{`{"on":"a","do":"transaction","ops":[["qlc",{}]],"expect":{"ok":[[]]}},` + read(""), good, "not yet: not yet pass"},
		{read("") + `,{"on":"a","do":"backup","file":"f","expect":{"ok":"ok"}}`, bad, "fail: fail not yet"},
		{`{"on":["a","b"],"do":"transaction","ops":[["read","t",1]],"expect":{"a":{"ok":[["x"]]},"b":{"ok":[["x"]]}}}`, good, "pass: pass"},
		{`{"on":["a","b"],"do":"transaction","ops":[["read","t",1]],"expect":{"a":{"ok":[["x"]]},"b":{"ok":[["z"]]}}}`, good, "fail: fail"},
	} {
		bubble(t, func(t *testing.T) {
			res, _ := runSteps(t, "["+c.steps+"]", func(kit.NodeName, string, string) string { return c.answer })
			if got := verdicts(res); got != c.want {
				t.Errorf("%s\n answered %s: %s, want %s", c.steps, c.answer, got, c.want)
			}
		})
	}
}

// A restarted transaction performs all its operations again; only the last one's answer counts.
func TestInteractiveRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		res, w := runSteps(t, `[
			{"on":"a","do":"tx_begin","tx":"t1","expect":{"ok":"ok"}},
			{"do":"tx_op","tx":"t1","op":["read","t",1],"expect":{"ok":["first"]}},
			{"do":"tx_op","tx":"t1","op":["read","t",2],"expect":{"blocked":true}},
			{"do":"tx_wait","tx":"t1","expect":{"ok":["second"]}},
			{"do":"tx_info","tx":"t1","expect":{"ok":{"restarted":true}}},
			{"do":"tx_commit","tx":"t1","expect":{"ok":"ok"}}]`, func(_ kit.NodeName, verb, args string) string {
			switch {
			case verb != "tx_op":
				return `{"ok":"ok"}`
			case strings.Contains(args, ",1]"):
				return `{"ok":["first"]}`
			}
			calls++
			if calls == 1 {
				time.Sleep(2 * time.Second)
				return `{"restart":true}`
			}
			return `{"ok":["second"]}`
		})
		if verdicts(res) != "pass: pass pass pass pass pass pass" {
			t.Errorf("%s", res)
		}
		want := `tx-t1 a tx_begin ["t1"]; tx-t1 a tx_op ["t1",["read","t",1]]; tx-t1 a tx_op ["t1",["read","t",2]]; ` +
			`tx-t1 a tx_op ["t1",["read","t",1]]; tx-t1 a tx_op ["t1",["read","t",2]]; tx-t1 a tx_commit ["t1"]`
		if got := strings.Join(w.log, "; "); got != want {
			t.Errorf("asked %s", got)
		}
	})
}

// Events are collected until the recorded number came and a little more time passed, so that one too many shows.
func TestEvents(t *testing.T) {
	for _, c := range []struct {
		late time.Duration
		want string
	}{{10 * time.Second, "pass: pass pass"}, {50 * time.Millisecond, "fail: pass fail"}} {
		bubble(t, func(t *testing.T) {
			began, given := time.Now(), 0
			res, _ := runSteps(t, `[
				{"on":"a","do":"subscribe","p":"s","what":"system","expect":{"ok":"a"}},
				{"do":"events","p":"s","expect":{"ok":[{"event":"mnesia_down","node":"b"}]}}]`, func(_ kit.NodeName, verb, _ string) string {
				if verb == "subscribe" {
					return `{"ok":"a"}`
				}
				if given == 0 || given == 1 && time.Since(began) > c.late {
					given++
					return `{"ok":[{"event":"mnesia_down","node":"b"}]}`
				}
				return `{"ok":[]}`
			})
			if verdicts(res) != c.want {
				t.Errorf("%s", res)
			}
		})
	}
}

// Faults reach the world in the form that the scenario says, and steps on nodes that are gone say so.
func TestFaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		res, w := runSteps(t, `[
			{"do":"cut","between":[["a"],["b"]]},
			{"do":"heal","between":[["b"],["a"]]},
			{"do":"kill","node":"b"},
			{"on":"b","do":"system_info","item":"is_running","expect":{"node":"not running"}},
			{"do":"start_node","node":"b"},
			{"do":"stop_node","node":"b"},
			{"do":"wipe_disc","node":"b"},
			{"on":"a","do":"wait_for_tables","tables":["t"],"bg":"w","expect":{"started":"w"}},
			{"do":"await","bg":"w","timeout":100,"expect":{"pending":true}},
			{"do":"await","bg":"w","expect":{"ok":"ok"}}]`, func(_ kit.NodeName, verb, _ string) string {
			if verb == "wait_for_tables" {
				time.Sleep(time.Second)
				return `{"ok":"ok"}`
			}
			return `{"ok":[]}`
		})
		if res.Verdict != Pass {
			t.Errorf("%s", res)
		}
		var faults []string
		for _, l := range w.log {
			if !strings.HasPrefix(l, "conformance") {
				faults = append(faults, l)
			}
		}
		want := `link a b "loud"; link b a "loud"; link a b ""; link b a ""; kill b; restart b; stop b; wipe b; bg-1 a wait_for_tables [["t"],5000]`
		if got := strings.Join(faults, "; "); got != want {
			t.Errorf("did %s", got)
		}
	})
}

// bubble runs a test in virtual time on one thread: with more, Go 1.26's race detector now and then crashes on the
// timers of a bubble, whose context the threads that fire them share without a lock.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f)
}
