package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"netsplit/kit/grade"
	"netsplit/kit/history"
)

func soak(t *testing.T, l *Lab, o SoakOptions) *FlakeLedger {
	t.Helper()
	led, err := (&Grader{Env: fakeEnv(), Version: "test"}).Soak(context.Background(), l, o)
	if err != nil {
		t.Fatal(err)
	}
	return led
}

func TestSoakCountsEveryRun(t *testing.T) {
	l := find(t, fakeCatalog(t), "counter")
	led := soak(t, l, SoakOptions{Runs: 100})
	s := led.Solution
	if s.Runs != 100 || s.Passed != 100 || s.Failed != 0 || s.FailureRate.AtMost != 0.02952 || s.Tasks["count"].Passed != 100 {
		t.Errorf("solution %+v", s)
	}
	if led.Starter.Runs != 12 || led.Starter.Failed != 12 {
		t.Errorf("starter %+v", led.Starter)
	}
	kill := led.Mutants["counts-twice"].Tasks["count"].Kill
	if kill == nil || kill.Rate.Estimate != 1 || kill.Seeds != 1 || kill.Missed != 0 || !kill.Suffice {
		t.Errorf("counts-twice %+v", kill)
	}
	if k := led.Mutants["test-forgets"].Tasks["tests"].Kill; k == nil || k.Rate.Estimate != 1 {
		t.Errorf("test-forgets %+v", k)
	}
	if len(led.Warnings) != 0 {
		t.Errorf("warnings %q", led.Warnings)
	}
	src, err := led.JSON()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ReadLedger(src)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := back.JSON(); string(again) != string(src) {
		t.Errorf("read back\n%s", again)
	}
	if again, _ := soak(t, l, SoakOptions{Runs: 100}).JSON(); string(again) != string(src) {
		t.Errorf("the same runs make another ledger\n%s", again)
	}
}

// flaky is the counter lab with a check that says verdict for every n-th seed.
func flaky(t *testing.T, task string, n uint64, verdict grade.Verdict) *Lab {
	d := counter()
	fresh := d.Scenarios[0].New
	d.Scenarios[0].New = func(seed uint64) Plan {
		p := fresh(seed)
		p.Checks = append(p.Checks, Check{task, func(*history.History) grade.Finding {
			if seed%n != 0 {
				return grade.Passed()
			}
			return grade.Finding{Verdict: verdict, Why: "it is a bad day"}
		}})
		return p
	}
	return find(t, fakeCatalog(t, d), "counter")
}

func TestSoakGoesOnAfterAFailure(t *testing.T) {
	l := flaky(t, "count", 20, grade.Fail)
	l.Ledger = soak(t, l, SoakOptions{Runs: 60})
	s := l.Ledger.Solution
	if s.Failed != 3 || s.Passed != 57 || len(s.FailedSeeds) != 3 || s.FailedSeeds[1] != 40 || s.Reasons["count: it is a bad day"] != 3 {
		t.Errorf("%+v", s)
	}
	if _, err := ledgerAgain(l.Ledger); err != nil {
		t.Error(err)
	}
	p := Proof{OK: true}
	p.CheckLedger(l)
	if p.OK || !strings.Contains(strings.Join(p.Faults, ""), "the solution failed 3 of 60 runs, with seed 20 first") {
		t.Errorf("%+v", p)
	}
	if got := l.Standing(); got != "the lab's own solution failed 3 of 60 runs" {
		t.Error(got)
	}
}

func TestSoakCountsUnclearRuns(t *testing.T) {
	l := flaky(t, "crash", 10, grade.Inconclusive)
	l.Ledger = soak(t, l, SoakOptions{Runs: 40})
	if s := l.Ledger.Solution; s.Unclear != 4 || s.Failed != 0 || s.Tasks["crash"].Unclear != 4 || s.Reasons["crash: it is a bad day"] != 4 {
		t.Errorf("%+v", s)
	}
	const want = "the lab's own solution failed none of 40 runs; with 95 % confidence it fails fewer than 1 in 13 (4 runs said nothing)"
	if got := l.Standing(); got != want {
		t.Error(got)
	}
}

// TestSoakDoubtsSeeds has a mutant that every third seed shows, in a lab of four seeds.
func TestSoakDoubtsSeeds(t *testing.T) {
	l := find(t, fakeCatalog(t), "counter")
	l.Mutants[0].Edits[0].New = "return 1 but" // right up to seed 12
	led := soak(t, l, SoakOptions{Runs: 144})
	k := led.Mutants["counts-twice"].Tasks["count"].Kill
	if k.Suffice || k.Rate.Estimate != 0.33333 || k.Seeds != 3 || k.Missed != 0.197530864 {
		t.Errorf("%+v", k)
	}
	want := "mutant counts-twice: 33 % of the seeds show that task count fails, so a grade on 4 misses it with probability 0.2; 18 would do"
	if len(led.Warnings) != 1 || led.Warnings[0] != want {
		t.Errorf("%q", led.Warnings)
	}
}

func TestSoakGoesOnWhereItStood(t *testing.T) {
	l := find(t, fakeCatalog(t), "counter")
	whole, _ := soak(t, l, SoakOptions{Runs: 50}).JSON()
	path := filepath.Join(t.TempDir(), "soak", "counter.jsonl")
	env, runs := fakeEnv(), 0
	simulate := env.Simulate
	env.Simulate = func(ctx context.Context, p Program, o SimRun) (Simulation, error) {
		if runs++; runs == 40 {
			return nil, errors.New("the power went")
		}
		return simulate(ctx, p, o)
	}
	g := &Grader{Env: env, Version: "test", Jobs: 1}
	if _, err := g.Soak(context.Background(), l, SoakOptions{Runs: 50, Partial: path}); err == nil {
		t.Fatal("the soak did not break")
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"who":"solution","seed":49,"tas`); err != nil { // a line that was not written whole
		t.Fatal(err)
	}
	f.Close()
	env.Simulate, runs = simulate, 0
	counted := env
	counted.Simulate = func(ctx context.Context, p Program, o SimRun) (Simulation, error) {
		runs++
		return simulate(ctx, p, o)
	}
	led, err := (&Grader{Env: counted, Version: "test", Jobs: 1}).Soak(context.Background(), l, SoakOptions{Runs: 50, Partial: path})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := led.JSON(); string(got) != string(whole) {
		t.Errorf("after the interruption the ledger is another\n%s", got)
	}
	if all := 2 * (50 + 10 + 10); runs != all-2*19 {
		t.Errorf("%d runs, of %d, although 19 were whole before", runs, all)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the runs are kept after the end: %v", err)
	}
}

func TestPartialIsOfOneLabOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	for i, head := range []partialHead{{"x", "1", "v"}, {"x", "1", "v"}, {"x", "2", "v"}} {
		p, err := openPartial(path, head)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(p.runs), []int{0, 1, 0}[i]; got != want {
			t.Errorf("%d: %d runs were there, not %d", i, got, want)
		}
		if err := p.add(soakRun{Who: "solution", Seed: uint64(i)}); err != nil {
			t.Fatal(err)
		}
		p.close()
	}
}

func ledgerAgain(led *FlakeLedger) (*FlakeLedger, error) {
	src, err := led.JSON()
	if err != nil {
		return nil, err
	}
	return ReadLedger(src)
}

func TestLedgerIsRefused(t *testing.T) {
	good, err := soak(t, find(t, fakeCatalog(t), "counter"), SoakOptions{Runs: 40}).JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, with, want string }{
		{"fewer failures", `"failed": 0`, `"failed": 1`, "0 seeds are named"},
		{"a better rate", `"at_most": 0.07216`, `"at_most": 0.0021`, "does not follow"},
		{"a better kill", `"missed": 0`, `"missed": 0.5`, "do not follow"},
		{"unknown field", `"runs": 40`, `"walks": 40`, "unknown field"},
		{"no method", `"method": "`, `"method": "not `, "the method"},
		{"other runs", `"first_seed": 1`, `"first_seed": 0`, "from seed 0"},
	} {
		bad := strings.Replace(string(good), c.old, c.with, 1)
		if bad == string(good) {
			t.Errorf("%s: %q is not in\n%s", c.name, c.old, good)
		}
		if _, err := ReadLedger([]byte(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := ReadLedger(append(good, "{}"...)); err == nil {
		t.Error("more than one document")
	}
	if _, err := ReadLedger(make([]byte, maxLedger+1)); err == nil {
		t.Error("a ledger of any size")
	}
	files := fstest.MapFS{LedgerFile: {Data: good}}
	if _, err := loadLedger(&Lab{Definition: Definition{Slug: "another"}, files: files}); err == nil || !strings.Contains(err.Error(), `of "counter"`) {
		t.Errorf("the ledger of another lab: %v", err)
	}
	if led, err := loadLedger(&Lab{Definition: Definition{Slug: "counter"}, files: files}); err != nil || led.Runs != 40 {
		t.Errorf("%v %v", led, err)
	}
}

// TestLedgerGrowsOld: another mutant makes it stale, another word of the brief does not.
func TestLedgerGrowsOld(t *testing.T) {
	l := find(t, fakeCatalog(t), "counter")
	l.Ledger = soak(t, l, SoakOptions{Runs: 20})
	warnings := func() string {
		p := Proof{OK: true}
		p.CheckLedger(l)
		if !p.OK {
			t.Errorf("faults %q", p.Faults)
		}
		return strings.Join(p.Warnings, "\n")
	}
	l.Manifest.Title, l.Manifest.brief = "Another title", "Other words"
	if got := warnings(); got != "" {
		t.Error(got)
	}
	l.Manifest.Seeds++
	if got := warnings(); !strings.Contains(got, "the lab has changed since its ledger was written") {
		t.Errorf("%q", got)
	}
	l.Ledger = nil
	if got := warnings(); !strings.Contains(got, "netsplit check --soak 400 counter") {
		t.Errorf("%q", got)
	}
}
