package grade

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"netsplit/kit"
	"netsplit/kit/history"
)

func TestSettle(t *testing.T) {
	task := func(name string, v Verdict, after ...string) Task {
		return Task{Name: name, Verdict: v, Max: 10, After: after, Why: "because"}
	}
	for _, c := range []struct {
		tasks   []Task
		verdict Verdict
		score   int
		each    string
	}{
		{[]Task{task("a", Pass), task("b", Pass, "a")}, Pass, 20, "a pass, b pass"},
		{[]Task{task("a", Fail), task("b", Pass, "a"), task("c", Pass, "b")}, Fail, 0, "a fail, b skipped, c skipped"},
		{[]Task{task("a", Inconclusive), task("b", Fail, "a")}, Inconclusive, 0, "a inconclusive, b skipped"},
		{[]Task{task("a", Inconclusive), task("b", Fail)}, Fail, 0, "a inconclusive, b fail"},
		{[]Task{task("a", Pass), task("b", "nonsense")}, Inconclusive, 10, "a pass, b inconclusive"},
		{[]Task{task("a", Pass), task("b", Pass, "never-heard-of")}, Pass, 10, "a pass, b skipped"},
	} {
		r := Result{Tasks: c.tasks}
		r.Settle()
		var each []string
		for _, t := range r.Tasks {
			each = append(each, t.Name+" "+string(t.Verdict))
		}
		if got := strings.Join(each, ", "); r.Verdict != c.verdict || r.Score != c.score || got != c.each || r.Max != 10*len(c.tasks) {
			t.Errorf("%s, %d of %d points, %s; want %s, %d, %s", r.Verdict, r.Score, r.Max, got, c.verdict, c.score, c.each)
		}
	}
}

// TestCredit gives a failed task a share of its points, and never all of them.
func TestCredit(t *testing.T) {
	for share, want := range map[float64]int{0: 0, 0.5: 15, 0.999: 29, 1: 29, 7: 29, -1: 0} {
		r := Result{Tasks: []Task{{Name: "tests", Max: 30}}}
		r.Tasks[0].Explain(Finding{Verdict: Fail, Credit: share}, nil)
		if r.Settle(); r.Score != want {
			t.Errorf("a share of %v gave %d points, want %d", share, r.Score, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for v, want := range map[Verdict]int{Pass: 0, Fail: 1, Inconclusive: 2, Skipped: 3, "": 3} {
		if got := v.ExitCode(); got != want {
			t.Errorf("%q exits with %d, want %d", v, got, want)
		}
	}
}

func TestAll(t *testing.T) {
	give := func(f Finding) Judge { return func(*history.History) Finding { return f } }
	bit := Receipt{Fault: "cut", Bit: true}
	missed := Receipt{Fault: "kill", Bit: false, Evidence: "it was down already"}
	for _, c := range []struct {
		checks []Judge
		want   string
	}{
		{nil, "pass  []"},
		{[]Judge{give(Passed(bit)), give(Passed())}, "pass  [cut]"},
		{[]Judge{give(Unclear("dim")), give(Failed("wrong", "x", "y"))}, "fail wrong []"},
		{[]Judge{give(Passed(bit)), give(Unclear("dim")), give(Passed(missed))}, "inconclusive dim [cut kill]"},
	} {
		f := All(c.checks...)(nil)
		var faults []string
		for _, r := range f.Receipts {
			faults = append(faults, r.Fault)
		}
		if got := fmt.Sprintf("%s %s %v", f.Verdict, f.Why, faults); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if f := Passed(bit, missed).Bit(); f.Verdict != Inconclusive || !strings.Contains(f.Why, "it was down already") {
		t.Errorf("%+v", f)
	}
	if f := (Finding{Verdict: Fail, Receipts: []Receipt{missed}}).Bit(); f.Verdict != Fail {
		t.Errorf("a failure became %s", f.Verdict)
	}
}

func TestCleanTakesTheSting(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n": "plain\ttext\n", "\x1b[31mred": "␛[31mred", "a\x00b\rc\x07": "abc", "\xff\xfe": "?", "\u202etxt.exe": "txt.exe",
		"ok\u009b31m": "ok31m",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestFormats(t *testing.T) {
	if _, err := Format("junit5"); kit.KindOf(err) != kit.NotFound || !strings.Contains(kit.HintOf(err), "text, json") {
		t.Errorf("%v, hint %q", err, kit.HintOf(err))
	}
	for _, w := range Writers() {
		got, err := Format(w.Name)
		if err != nil || got.Name != w.Name || w.About == "" {
			t.Errorf("%s: %+v, %v", w.Name, got, err)
		}
	}
}

func TestBadResultsAreRefused(t *testing.T) {
	for _, src := range []string{"", "{", "[]", "{}", `{"lab":"x","verdict":"perfect","tasks":[{}]}`, `{"lab":"x","verdict":"pass","tasks":[]}`,
		`{"lab":7}`} {
		if r, err := ReadJSON(strings.NewReader(src)); err == nil || kit.HintOf(err) == "" {
			t.Errorf("%q was read as %+v, %v", src, r, err)
		}
	}
}

// TestExcerptTellsFaultsInForce: a cut from before the evidence is part of the story while nobody healed it.
func TestExcerptTellsFaultsInForce(t *testing.T) {
	h, err := history.Parse(`
1 cut a b silent
2 kill c
3 restart c
4 cut a c
5 heal a c
10-11 c1 a dirty ["dirty_write","account",{"t":["account","ann",1]}] => "ok"
12-13 c2 b dirty ["dirty_read","account","ann"] => []
14-? c2 b tx_op "t" ["read","account","ann"] => ?
20 heal a b
`)
	if err != nil {
		t.Fatal(err)
	}
	var task Task
	task.Explain(Failed("w", "e", "a", 1, 2, 3), h)
	got := strings.Join(task.Excerpt, "\n")
	want := strings.Join([]string{
		"   1.0 ms  cut a → b (silent)",
		"  10.0 ms  c1       a  dirty_write(account, {account,ann,1}) → ok",
		"  12.0 ms  c2       b  dirty_read(account, ann) → []",
		"  14.0 ms  c2       b  t: read(account, ann) → no answer"}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(task.Diagram, "node b") || !strings.Contains(task.SVG, "<svg") {
		t.Errorf("diagram\n%s", task.Diagram)
	}
}

// TestLongEvidenceIsCut keeps an explanation short whatever a check names.
func TestLongEvidenceIsCut(t *testing.T) {
	var script strings.Builder
	var ids []int
	for i := range 1000 {
		fmt.Fprintf(&script, "%d-%d c a dirty [\"dirty_read\",\"t\",%d] => []\n%d cut a b\n", i+1, i+2, i, i+1)
		ids = append(ids, i+1)
	}
	h, err := history.Parse(script.String())
	if err != nil {
		t.Fatal(err)
	}
	var task Task
	task.Explain(Failed("w", "e", "a", append(ids, 0, -7, 99999)...), h)
	if n := len(task.Excerpt); n > 2*maxExcerpt {
		t.Errorf("%d lines", n)
	}
}

func TestTextNamesTheFormats(t *testing.T) {
	r := &Result{Lab: "x", Verdict: Inconclusive, Isolation: "none", Seed: 3, Seeds: 20, Tasks: []Task{{Name: "t", Title: "T", Verdict: Inconclusive,
		Max: 5, Why: "nothing bit", Receipts: []Receipt{{Fault: "cut a | b", Evidence: "nobody was there"}}, Lesson: "part/slug", Replay: "netsplit grade x"}}}
	var b bytes.Buffer
	if err := Text(&b, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"x: INCONCLUSIVE", "seed 3 and the 19 after it, none", "cut a | b: did not bite; nobody was there", "netsplit read part/slug"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "Stuck?") {
		t.Error("a hint is offered although nothing failed")
	}
}
