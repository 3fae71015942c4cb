package conformance

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/wire"
)

// FuzzTrace gives the reader of trace files, and the runner, files of a hostile hand. Whatever stands in them, the answer is an
// error or a result: no panic, and no more steps, nodes or time than the limits say.
func FuzzTrace(f *testing.F) {
	for _, name := range []string{"lock-01", "sub-03", "bk-03", "rec-10", "x-info-05", "text-01", "part-13"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	for _, s := range []string{``, `{}`, `[]`, `{"id":"x","nodes":["a"],"steps":[{}]}`, `{"id":"x","nodes":["a","a"],"steps":[{"do":"kill","node":"a"}]}`,
		`{"id":"../x","nodes":["a"],"steps":[{"do":"sleep","ms":1e18}]}`, `{"id":"x","nodes":[""],"steps":[{"do":"tx_op"}]}`,
		`{"id":"x","nodes":["a"],"steps":[{"do":"settle","ms":-1},{"do":"repeat_dirty","on":"a","op":["x"],"times":1000000000}]}`,
		`{"id":"x","nodes":["a"],"steps":[{"do":"fill","on":"a","table":"t","n":99999999999}]}`,
		`{"id":"x","nodes":["a"],"steps":[{"do":"transaction","on":"a","ops":[["transaction",[["try",["try",[]]]]]]}]}`,
		`{"id":"x","nodes":["a"],"steps":[{"do":"events","p":"p","expect":{"ok":1}},{"do":"cut","between":[["a"],["a"]]}]}`,
		`{"id":"x","nodes":["a"],"steps":[{"do":"system_info","on":"a","item":"all","expect":{"one_of":[]}}]}`,
		`{"id":"x","nodes":["a"],"steps":` + strings.Repeat(`[`, 20000) + strings.Repeat(`]`, 20000) + `}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		trace, err := Parse([]byte(text))
		if err != nil {
			if kit.KindOf(err) != kit.Invalid {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if len(trace.Steps) > MaxSteps || len(trace.Nodes) > MaxNodes {
			t.Fatalf("%d steps, %d nodes", len(trace.Steps), len(trace.Nodes))
		}
		if len(trace.Steps) > 30 {
			return // running many would make the fuzzer slow
		}
		w := &quiet{nodes: trace.Nodes}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		res, err := Run(ctx, w, trace)
		w.Wait()
		if ctx.Err() != nil {
			t.Fatalf("it does not end: %s", text)
		}
		if err == nil {
			_ = res.String()
			if _, err := json.Marshal(res); err != nil {
				t.Error(err)
			}
		}
	})
}

// quiet is a world in which everything is well at once, and time passes only for those who sleep.
type quiet struct {
	nodes []kit.NodeName
	mu    sync.Mutex
	now   time.Duration
	work  sync.WaitGroup
}

func (w *quiet) Call(_ context.Context, _ string, n kit.NodeName, req door.Request) door.Outcome {
	text := `{"ok":["x"]}`
	switch req.Verb {
	case "verbs":
		var list []string
		for _, v := range []string{"transaction ops retries?", "system_info item", "nodes", "ops", "tx_begin tx kind? retries?", "tx_op tx op ms?", "tx_commit tx",
			"subscribe p what", "events p", "table_info table item", "damage file what", "load_textfile def", "start_store config?", "activity kind ops", "dirty op"} {
			words := strings.Fields(v)
			list = append(list, verbJSON(words[0], words[1:]...))
		}
		text = `{"ok":[` + strings.Join(list, ",") + `]}`
	case "ops":
		text = `{"ok":[` + verbJSON("read", "table", "key") + `]}`
	case "nodes":
		text = othersOf(w.nodes, n)
	case "system_info", "events":
		text = `{"ok":[]}`
	}
	var out door.Outcome
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return door.FromError(err)
	}
	return out
}

func (w *quiet) Now() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *quiet) Sleep(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	w.now += max(d, 0)
	w.mu.Unlock()
	runtime.Gosched()
	return ctx.Err()
}

func (w *quiet) Nodes() []kit.NodeName                            { return w.nodes }
func (w *quiet) Link(kit.NodeName, kit.NodeName, wire.Rule) error { return nil }
func (w *quiet) Kill(kit.NodeName) error                          { return nil }
func (w *quiet) Restart(kit.NodeName) error                       { return nil }
func (w *quiet) Stop(kit.NodeName) error                          { return nil }
func (w *quiet) WipeDisc(kit.NodeName) error                      { return nil }
func (w *quiet) Pause(kit.NodeName) error                         { return nil }
func (w *quiet) Resume(kit.NodeName) error                        { return nil }
func (w *quiet) Leave(string)                                     {}
func (w *quiet) Go(f func(context.Context))                       { w.work.Go(func() { f(context.Background()) }) }
func (w *quiet) Wait()                                            { w.work.Wait() }
func (w *quiet) Close() error                                     { w.work.Wait(); return nil }
