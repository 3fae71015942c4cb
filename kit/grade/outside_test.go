package grade

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"netsplit/kit"
)

var update = flag.Bool("update", false, "write what the formats say into testdata/formats")

// setting is that of a Classroom 50 run at a known time.
func setting(change ...string) Setting {
	env := map[string]string{"CLASSROOM": "cs", "ASSIGNMENT": "dirty-reads", "OWNER": "ada", "ASSIGNMENT_TYPE": "individual",
		"SUBMISSION_TAG": "submit/2026-06-01T14-32-05Z-a1b2c3d", "COMMIT_URL": "https://example.org/commit/1",
		"RELEASE_URL": "https://example.org/release/1", "REVIEW_URL": "https://example.org/compare/1"}
	for i := 0; i+1 < len(change); i += 2 {
		env[change[i]] = change[i+1]
	}
	return Setting{Getenv: func(key string) string { return env[key] }, Now: time.Date(2026, 6, 1, 14, 33, 11, 0, time.UTC)}
}

// sample is a result with every verdict, partial credit included.
func sample() *Result {
	r := &Result{Lab: "dirty-reads", Title: "A total that never existed", Kind: "script", Version: "devel", Seed: 7, Seeds: 3, Millis: 1234,
		Isolation: "a cluster of its own", Submission: Submission{Dir: "/home/ada/work", Name: "/home/ada/work", Digest: "00ff"},
		Output: "hello\n100% done", Tasks: []Task{
			{Name: "setup", Title: "Two nodes", Verdict: Pass, Max: 10},
			{Name: "seen", Title: "Bring it about", Verdict: Pass, Max: 10, Why: "a reader saw 3 of 4 accounts", Diagram: "a ──▶ b\n"},
			{Name: "total", Title: "The total", Rationale: "A transfer is two writes", Verdict: Fail, Max: 30, credit: 0.5,
				Why: "the total was 90, not 100", Expected: "100", Actual: "90", Lesson: "dirty-operations", Diagram: "c1 ──▶ a: read <x> & y",
				Replay:   "netsplit grade /home/ada/work --seed 7 --seeds 1",
				Receipts: []Receipt{{Fault: "cut a b", Bit: true, Evidence: "12 frames held"}}},
			{Name: "after-total", Title: "What builds on it", Verdict: Pass, Max: 20, After: []string{"total"}},
			{Name: "cut", Title: "Under a partition", Rationale: "Both sides go on", Verdict: Inconclusive, Max: 30,
				Why: "the fault had no effect", Receipts: []Receipt{{Fault: "cut a b", Evidence: "0 frames held"}}},
		}}
	r.Settle()
	return r
}

// unclear is a result of which nothing failed and not everything could be judged.
func unclear() *Result {
	r := sample()
	r.Tasks = append(r.Tasks[:1:1], r.Tasks[4])
	r.Settle()
	return r
}

// unrun is the result of a submission that does not compile.
func unrun() *Result {
	r := sample()
	r.Problem, r.Output = "/home/ada/work/main.go:3: undefined: x\n::error::forged", ""
	for i := range r.Tasks {
		r.Tasks[i] = Task{Name: r.Tasks[i].Name, Max: 10, Verdict: Fail, Why: "the submission could not be run: undefined: x"}
	}
	r.Settle()
	return r
}

// evil has something against every format.
const evil = "x\n::error::forged\n  ::set-output name=score::100\r::stop-commands::t\n\u2003::warning::y\n##[error]old form ##[set-env name=A]b\n" +
	"\u2028::notice::ls\n]]>&amp;<a/></testcase></failure><testcase name=\"forged\"/>\x00\x01\x08\x0b\x1f\ufffe\uffff\ufeff \x1b[31mred\x1b]0;t\x07\u009b1m" +
	" \xff\xfe\xc0\x80 \u202egnp.exe\n</pre></code></details><script>alert(1)</script><img src=x onerror=y>\n\n# head\n| a | b |\n```\n~~~\n" +
	"[click](javascript:x) @octocat #1 **bold** `code` %0A%0D%25 a%3Ab,title=z\n[[ATTACHMENT|/etc/passwd]] \"quoted\" 'single' {\"status\":\"pass\"}\n"

// hostile has evil in every text that there is, with lines of 10 MB, scores out of range and names that repeat.
func hostile() *Result { return hostileOf(2 << 20) }

// hostileOf is the same with lines of size times five bytes.
func hostileOf(size int) *Result {
	long := evil + strings.Repeat("A\x1b\"<\\", size)
	r := &Result{Lab: evil, Title: evil, Kind: evil, Version: evil, Verdict: Fail, Seed: 1<<64 - 1, Seeds: 9, Millis: -5, Isolation: evil,
		Stopped: long, Output: long, Submission: Submission{Dir: "/", Name: evil}}
	for i := range 20 {
		t := Task{Name: evil, Title: evil, Rationale: evil, Why: long, Expected: evil, Actual: long, Lesson: evil, Replay: evil, Diagram: evil,
			Verdict: []Verdict{Fail, Pass, Inconclusive, Skipped}[i%4], Score: 50, Max: 10, Receipts: []Receipt{{Fault: evil, Evidence: evil}}}
		switch i {
		case 2:
			t.Name, t.Why, t.Expected, t.Actual = "", "", "", ""
		case 5:
			t.Score, t.Max = -3, 7
		case 9:
			t.Score, t.Max, t.Diagram = 0, -2, long
		}
		r.Tasks = append(r.Tasks, t)
	}
	return r
}

// written is what the named format makes of r.
func written(t *testing.T, name string, r *Result) []byte {
	t.Helper()
	w, err := Format(name)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := w.Write(&b, r, setting()); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b.Bytes()
}

// TestFormatsSay holds the wording of every format against files.
func TestFormatsSay(t *testing.T) {
	results := map[string]func() *Result{"sample": sample, "unclear": unclear, "unrun": unrun}
	for name, result := range results {
		docs := map[string][]byte{}
		for _, w := range Writers() {
			docs[w.Name] = written(t, w.Name, result())
			if w.Summary != nil {
				var b bytes.Buffer
				if err := w.Summary(&b, result()); err != nil {
					t.Fatal(err)
				}
				docs[w.Name+"-summary"] = b.Bytes()
			}
		}
		for format, got := range docs {
			file := filepath.Join("testdata", "formats", name+"."+format)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if want, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %v; got\n%s", file, err, got)
			}
		}
	}
}

// TestHostileTextIsBounded: whatever a submission says, a document is UTF-8, has no control characters and no end
// that is out of sight.
func TestHostileTextIsBounded(t *testing.T) {
	r := hostile()
	for _, w := range Writers()[2:] {
		docs := [][]byte{written(t, w.Name, r)}
		if w.Summary != nil {
			var b bytes.Buffer
			if err := w.Summary(&b, r); err != nil {
				t.Fatal(err)
			}
			docs = append(docs, b.Bytes())
		}
		for _, doc := range docs {
			if len(doc) > maxJUnit || !utf8.Valid(doc) {
				t.Errorf("%s: %d bytes, valid %v", w.Name, len(doc), utf8.Valid(doc))
			}
			for _, c := range "\x00\x01\x08\x0b\r\x1b\x1f\u009b\u2028\u202e\ufeff\ufffe\uffff" {
				if bytes.ContainsRune(doc, c) {
					t.Errorf("%s lets %U through", w.Name, c)
				}
			}
			if bytes.Contains(doc, []byte("##[")) {
				t.Errorf("%s lets a command in the runner's older form through", w.Name)
			}
		}
	}
}

func TestUpTo(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"short", 5, "short"}, {"shorter than that", 14, "sho" + clipped}, {"ééééé", 5, "ééééé"}, {"x\u2028y", 9, "x\ny"}, {"", 0, ""},
		{strings.Repeat("\x00", 100), 10, clipped}, {"abc", 1, clipped},
	} {
		if got := upTo(c.text, c.limit); got != c.want {
			t.Errorf("%q in %d is %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

// TestStatuses: where a consumer takes a status for a grader that broke, a failed submission is none.
func TestStatuses(t *testing.T) {
	want := map[string][3]int{"junit": {0, 1, 2}, "github": {0, 1, 2}, "gradescope": {0, 0, 0}, "exercism": {0, 0, 0}, "classroom50": {0, 0, 2},
		"text": {0, 1, 2}, "json": {0, 1, 2}}
	for _, w := range Writers() {
		status := w.Status
		if status == nil {
			status = Verdict.ExitCode
		}
		if got := [3]int{status(Pass), status(Fail), status(Inconclusive)}; got != want[w.Name] {
			t.Errorf("%s: %v, want %v", w.Name, got, want[w.Name])
		}
	}
}

func TestClassroom50NeedsItsRunner(t *testing.T) {
	for _, c := range []struct{ key, value, says string }{
		{"OWNER", "", "lacks OWNER"}, {"CLASSROOM", "\x00", "lacks CLASSROOM"}, {"SUBMISSION_TAG", "v1", "does not start with submit/"},
	} {
		err := classroom50Ready(setting(c.key, c.value))
		if kit.KindOf(err) != kit.Invalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s=%q: %v", c.key, c.value, err)
		}
	}
	if err := classroom50Ready(setting("OWNER", "", "USERNAME", "bob", "REVIEW_URL", "", "ASSIGNMENT_TYPE", "")); err != nil {
		t.Error(err)
	}
}
