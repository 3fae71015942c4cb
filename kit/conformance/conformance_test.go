package conformance

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netsplit/kit/node"
	"netsplit/kit/sim"
)

var (
	traces = flag.String("traces", "testdata", "folder of traces, or one trace")
	worlds = flag.String("world", "", "worlds to run in: real, sim; without it both, the simulated one with some seeds")
	topics = flag.String("topics", "", "topics to run, such as tables,tx,dirty,part; none means all that the folder has")
	seeds  = flag.Int("seeds", 0, "how many seeds each trace runs with; the real world ignores the seed but runs as often")
	seed   = flag.Uint64("seed", 1, "the first seed")
	crash  = flag.String("crash", "", "what a kill does to un-synced data in the simulated world: nothing by default, lose, chance")
	report = flag.String("report", "", "file for the results as JSON")
)

// TestMain makes the test program its own node: a process that is started with a node's configuration is one.
func TestMain(m *testing.M) {
	if os.Getenv("NETSPLIT_NODE") != "" {
		os.Exit(node.Process(node.App{}, os.Stderr))
	}
	// Nodes that the race detector watches would sleep for a second before they exit.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// home is a folder for the state of real clusters. t.TempDir is too long for sockets.
func home(t *testing.T) string {
	t.Helper()
	h, err := os.MkdirTemp("", "ns")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(h); err != nil {
			t.Error(err)
		}
	})
	return h
}

func jobs(t *testing.T) []Job {
	var list []string
	if *topics != "" {
		list = strings.Split(*topics, ",")
	}
	all, err := Load(*traces, list...)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("no trace in %s of the topics %q", *traces, *topics)
	}
	makers := map[string]Maker{}
	for w := range strings.SplitSeq(worldsToRun(), ",") {
		switch w {
		case "real":
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			makers[w] = Real(home(t), []string{self})
		case "sim":
			root, err := filepath.Abs("../..")
			if err != nil {
				t.Fatal(err)
			}
			makers[w] = Simulated(root, "./cmd/node", sim.CrashKind(*crash))
		default:
			t.Fatalf("no world %q", w)
		}
	}
	var jobs []Job
	for _, w := range []string{"real", "sim"} {
		for _, trace := range all {
			for i := range seedsIn(w) {
				if makers[w] != nil && !(w == "real" && *worlds == "" && atLeisure(trace)) {
					jobs = append(jobs, Job{Trace: trace, World: w, Make: makers[w], Seed: *seed + uint64(i)})
				}
			}
		}
	}
	return jobs
}

// atLeisure reports whether a trace is one of the longer recordings (x-*), some of which depend on which of two nodes that do
// something at the same moment is the first. In virtual time that is always the same; on real processes they run when the
// real world is asked for by name.
func atLeisure(trace Trace) bool { return strings.HasPrefix(trace.ID, "x-") }

// worldsToRun are those asked for. Without a word both, except under the race detector, under which the simulator compiles ten
// times as long: TestSimulatedTraces runs it then without the detector, which sees nothing of its guests anyway.
func worldsToRun() string {
	switch {
	case *worlds != "":
		return *worlds
	case raced:
		return "real"
	}
	return "real,sim"
}

// fewSeeds is how many the simulated world runs with when nobody says how many.
const fewSeeds = 2

func seedsIn(world string) int {
	switch {
	case *seeds > 0:
		return *seeds
	case world == "sim":
		return fewSeeds
	}
	return 1
}

// atOnce is how many traces run at a time: they mostly wait.
const atOnce = 8

// TestSimulatedTraces runs the simulated world in a test binary without the race detector.
func TestSimulatedTraces(t *testing.T) {
	if !raced || testing.Short() || *worlds != "" {
		t.Skip("TestTraces runs them")
	}
	args := []string{"test", "-trimpath", "-vet=off", "-count=1", "-run", "^TestTraces$", ".", "-args", "-world", "sim"}
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestTraces runs the traces and fails for each that fails. One that needs what the product does not know yet is
// skipped, with a list of what that is.
func TestTraces(t *testing.T) {
	all := jobs(t)
	results, errs := RunAll(t.Context(), all, atOnce)
	for i, r := range results {
		t.Run(fmt.Sprintf("%s/%s/%d", all[i].World, all[i].Trace.ID, all[i].Seed), func(t *testing.T) {
			switch {
			case errs[i] != nil:
				t.Fatal(errs[i])
			case r.Verdict == Fail:
				t.Error(r)
			case r.Verdict == NotYet:
				t.Skip(r)
			case r.Verdict == Info || slices.ContainsFunc(r.Steps, func(s StepResult) bool { return s.Verdict == Info }):
				t.Log(r)
			}
		})
	}
	t.Logf("\n%s", Summary(results))
	if *report != "" {
		b, err := json.MarshalIndent(results, "", " ")
		if err == nil {
			err = os.WriteFile(*report, b, 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

func outcomeOf(t *testing.T, s string) any {
	t.Helper()
	v := value(json.RawMessage(s))
	if v == nil {
		t.Fatalf("no JSON: %s", s)
	}
	return v
}

// The rules of comparison: what must be equal, and what may differ.
func TestCompare(t *testing.T) {
	for _, c := range []struct {
		step, want, got string
		same            bool
	}{
		{`{"do":"x"}`, `{"ok":"ok"}`, `{"ok":"ok"}`, true},
		{`{"do":"x"}`, `{"ok":1}`, `{"ok":{"f":"1.0"}}`, false},
		{`{"do":"x"}`, `{"ok":123456789012345678901234567890}`, `{"ok":123456789012345678901234567891}`, false},
		{`{"do":"x"}`, `{"ok":"ok"}`, `{"aborted":"no_exists"}`, false},
		{`{"do":"x"}`, `{"aborted":"no_exists","args":["t"],"how":"exit"}`, `{"aborted":"no_exists","args":["t"]}`, true},
		{`{"do":"x"}`, `{"aborted":"no_exists","args":["t"]}`, `{"aborted":"no_exists","args":["u"]}`, false},
		{`{"do":"x"}`, `{"aborted":"no_exists","args":["t"]}`, `{"aborted":"no_exists"}`, false},
		{`{"do":"x"}`, `{"error":"text","text":"All nodes","at":"b"}`, `{"error":"text","text":"all other nodes"}`, true},
		{`{"do":"x"}`, `{"error":"start_failed"}`, `{"aborted":"bad_type","args":["x"]}`, true},
		{`{"do":"x"}`, `{"raised":"boom","class":"error"}`, `{"raised":"boom","class":"exit"}`, false},
		{`{"do":"x"}`, `{"one_of":[{"ok":1},{"ok":2}]}`, `{"ok":2}`, true},
		{`{"do":"x"}`, `{"one_of":[{"ok":1},{"ok":2}]}`, `{"ok":3}`, false},
		{`{"do":"x"}`, `{"lost":true}`, `{"node":"not running"}`, true},
		{`{"do":"x"}`, `{"ok":["b","a"]}`, `{"ok":["a","b"]}`, true},
		{`{"do":"x"}`, `{"ok":["k2","k1"]}`, `{"ok":["k1","k2"]}`, false},
		{`{"do":"x"}`, `{"timeout":["t","u"]}`, `{"timeout":["u","t"]}`, true},
		{`{"do":"x"}`, `{"aborted":"x","args":[{"str":"..."},{"str":"ab"},{"fun":"?"}]}`, `{"aborted":"x","args":[[1,2],[97,98],{"fun":"?"}]}`, true},
		{`{"do":"x"}`, `{"aborted":"x","args":[{"str":"ab"}]}`, `{"aborted":"x","args":[[97,99]]}`, false},
		{`{"do":"x"}`, `{"ok":[{"pid":"p1"},{"pid":"p1"},{"pid":"?"}]}`, `{"ok":[{"pid":"a.1"},{"pid":"a.1"},{"pid":"b.7"}]}`, true},
		{`{"do":"x"}`, `{"ok":[{"pid":"p1"},{"pid":"p1"}]}`, `{"ok":[{"pid":"a.1"},{"pid":"a.2"}]}`, false},
		{`{"do":"contents","table":"t"}`, `{"ok":[1,2]}`, `{"ok":[2,1]}`, true},
		{`{"do":"contents","table":"t"}`, `{"ok":[1,2]}`, `{"ok":[2,2]}`, false},
		{`{"do":"contents","table":"o"}`, `{"ok":[1,2]}`, `{"ok":[2,1]}`, false},
		{`{"do":"transaction","ops":[["write","t",1],["read","t",1],["read","o",1]]}`, `{"ok":["ok",[1,2],[1,2]]}`, `{"ok":["ok",[2,1],[1,2]]}`, true},
		{`{"do":"transaction","ops":[["read","o",1]]}`, `{"ok":[[1,2]]}`, `{"ok":[[2,1]]}`, false},
		{`{"do":"transaction","ops":[["first","t"]]}`, `{"ok":["k1"]}`, `{"ok":["k2"]}`, true}, // reported, as info
		{`{"do":"transaction","ops":[["first","t"]]}`, `{"ok":["k1"]}`, `{"ok":["$end_of_table"]}`, false},
		{`{"do":"transaction","ops":[["first","o"]]}`, `{"ok":["k1"]}`, `{"ok":["k2"]}`, false},
		{`{"do":"transaction","ops":[["index_read","o",1,2]]}`, `{"ok":[[1,2]]}`, `{"ok":[[2,1]]}`, true},
		{`{"do":"transaction","ops":[["transaction",[["read","t",1]]]]}`, `{"ok":[{"ok":[[1,2]]}]}`, `{"ok":[{"ok":[[2,1]]}]}`, true},
		{`{"do":"transaction","ops":[["transaction",[["abort","x"]]]]}`, `{"ok":[{"aborted":"x"}]}`, `{"ok":[{"aborted":"y"}]}`, false},
		{`{"do":"transaction","ops":[["all_keys","t"],["abort","x"]]}`, `{"aborted":"x","results":[[1,2]]}`, `{"aborted":"x","results":[[2,1]]}`, true},
		{`{"do":"transaction","ops":[["all_keys","t"],["abort","x"]]}`, `{"aborted":"x","results":[[1,2]]}`, `{"aborted":"x","results":[[2,3]]}`, false},
		{`{"do":"transaction","ops":[["select_chunks","t",[],2]]}`, `{"ok":[{"all":[1,2]}]}`, `{"ok":[{"all":[2,1]}]}`, true},
		{`{"do":"transaction","ops":[["select_chunks","o",[],2]]}`, `{"ok":[{"chunks":[[1],[2]]}]}`, `{"ok":[{"chunks":[[1,2]]}]}`, false},
		{`{"do":"table_info","item":"attributes"}`, `{"ok":["k","v"]}`, `{"ok":["v","k"]}`, false},
		{`{"do":"table_info","item":"index"}`, `{"ok":[3,4]}`, `{"ok":[4,3]}`, true},
		{`{"do":"dirty","op":["dirty_match_object","t","_"]}`, `{"ok":[1,2]}`, `{"ok":[2,1]}`, true},
		{`{"do":"tx_commit"}`, `{"blocked":true}`, `{"ok":[]}`, false},
		{`{"do":"tx_op","op":["read","t",1]}`, `{"ended":{"aborted":"x"}}`, `{"ended":{"aborted":"x"}}`, true},
		{`{"do":"tx_op","op":["read","t",1]}`, `{"ended":{"aborted":"x"}}`, `{"aborted":"x"}`, false},
	} {
		cmp := comparer{nodes: nil, ordered: map[string]bool{"o": true}, pids: map[string]string{}}
		cmp.nodes = append(cmp.nodes, "a", "b")
		var s Step
		if err := json.Unmarshal([]byte(c.step), &s); err != nil {
			t.Fatal(err)
		}
		why := cmp.outcome(s, outcomeOf(t, c.want), outcomeOf(t, c.got))
		if (why == "") != c.same {
			t.Errorf("%s\n want %s\n got  %s\n says %q", c.step, c.want, c.got, why)
		}
	}
}

// Every trace that we have can be read, and every step says what to do.
func TestLoad(t *testing.T) {
	all, err := Load("testdata")
	if err != nil || len(all) != 335 {
		t.Fatalf("%d traces, %v", len(all), err)
	}
	part, err := Load("testdata", "part")
	if err != nil || len(part) != 21 {
		t.Fatalf("%d traces of topic part, %v", len(part), err)
	}
	for _, trace := range all {
		for i, s := range trace.Steps {
			if s.Do() == "" {
				t.Errorf("%s step %d has no do", trace.ID, i+1)
			}
		}
	}
	if _, err := Load("nosuch"); err == nil {
		t.Error("a folder that is not there")
	}
}
