package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/term"
)

func answers(text string, seed uint64) Submission {
	return Submission{Name: "work", Dir: "/home/student/work", Files: map[string][]byte{AnswerFile: []byte(text)}, Seed: seed}
}

// With the odd seed 7 ben is the richer, with 507; with 8 it is ann, with 508.
func TestGradeAnswers(t *testing.T) {
	l := find(t, fakeCatalog(t), "richer")
	for _, c := range []struct {
		name    string
		sub     Submission
		o       Options
		verdict grade.Verdict
		score   int
		says    string
	}{
		{"right", answers("owner: ben\nbalance: 507\n", 7), Options{}, grade.Pass, 50, "the answers are data, nothing of yours is run"},
		{"right, quoted", answers("owner: \"ben\"\nbalance: '507'\n", 7), Options{}, grade.Pass, 50, "seed 7,"},
		{"the answers of another cluster", answers("owner: ann\nbalance: 508\n", 7), Options{}, grade.Fail, 0, "not what the cluster shows: owner, balance"},
		{"the seed of the command line counts", answers("owner: ann\nbalance: 508\n", 7), Options{Seed: 8}, grade.Pass, 50, "seed 8,"},
		{"half of it", answers("owner: ben\nbalance: 100\n", 7), Options{}, grade.Fail, 25, "balance: the field balance of that row"},
		{"as started", answers("owner:\nbalance:\n", 7), Options{}, grade.Fail, 0, "not answered: owner, balance"},
		{"only comments", answers("# nothing\n", 7), Options{}, grade.Fail, 0, "balance: no answer"},
		{"empty", answers("", 7), Options{}, grade.Fail, 0, "owner: no answer"},
		{"no seed known", answers("owner: ann\n", 0), Options{}, grade.Fail, 0, "it is not known which cluster the answers are about"},
		{"a name that is not asked", answers("ower: ann\n", 7), Options{}, grade.Fail, 0, "hint: did you mean owner?"},
		{"no YAML", answers("owner: [ann", 7), Options{}, grade.Fail, 0, "read answers.yaml"},
		{"a script that looks", script("answer with the richer"), Options{Seed: 8}, grade.Pass, 50, "the script apart: child process"},
		{"a script on a drawn seed", script("answer with the richer"), Options{Seeds: 3}, grade.Pass, 50, "PASS"},
		{"a script that answers nothing", script(""), Options{Seed: 8}, grade.Fail, 0, "not answered: owner, balance"},
		{"what a script changes is no fact", script("give everything to ben\nanswer with the richer"), Options{Seed: 7}, grade.Fail, 25, "not what the cluster shows: balance"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := (&Grader{Env: fakeEnv(), Version: "test"}).Grade(t.Context(), l, c.sub, c.o)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if err := grade.Text(&text, r); err != nil {
				t.Fatal(err)
			}
			if r.Verdict != c.verdict || r.Score != c.score || !strings.Contains(text.String(), c.says) {
				t.Errorf("%s, %d points, want %s, %d and %q:\n%s", r.Verdict, r.Score, c.verdict, c.score, c.says, text.String())
			}
			for _, secret := range []string{"507", "508"} {
				if given := string(c.sub.Files[AnswerFile]); r.Verdict == grade.Fail && strings.Contains(text.String(), secret) && !strings.Contains(given, secret) {
					t.Errorf("the grade tells the answer:\n%s", text.String())
				}
			}
		})
	}
}

// TestAnswersOfOneSeed: other seeds say nothing about them, so asking for several is a mistake of whoever grades.
func TestAnswersOfOneSeed(t *testing.T) {
	l := find(t, fakeCatalog(t), "richer")
	g := &Grader{Env: fakeEnv()}
	if _, err := g.Grade(t.Context(), l, answers("owner: ann\n", 7), Options{Seeds: 2}); kit.KindOf(err) != kit.Invalid {
		t.Errorf("two seeds: %v", err)
	}
	dir := t.TempDir()
	if err := l.Start(dir, 7); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, AnswerFile), []byte("owner: ann\nbalance: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	sub, err := l.Open(dir)
	if err != nil || sub.Seed != 7 {
		t.Fatalf("seed %d, %v", sub.Seed, err)
	}
	r, err := g.Grade(t.Context(), l, sub, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := "netsplit grade " + sub.Dir + " --seed 7 --seeds 1"; r.Tasks[0].Replay != want {
		t.Errorf("replay %q, want %q", r.Tasks[0].Replay, want)
	}
	rep, err := g.Replay(t.Context(), l, r, ReplayOptions{Twice: true})
	if err != nil || len(rep.Differences) > 0 {
		t.Errorf("%v, %v", rep.Differences, err)
	}
}

// TestTwoWaysToAnswer: a folder has answers, or a script that finds them.
func TestTwoWaysToAnswer(t *testing.T) {
	l := find(t, fakeCatalog(t), "richer")
	both := answers("owner: ben\nbalance: 507\n", 7)
	both.Files[ScriptFile] = []byte("answer with the richer")
	r, err := (&Grader{Env: fakeEnv()}).Grade(t.Context(), l, both, Options{})
	if err != nil || r.Verdict != grade.Fail || !strings.Contains(r.Problem, "hand in one of the two") {
		t.Errorf("%+v, %v", r, err)
	}
	both.Files[AnswerFile] = []byte("owner:\nbalance:\n")
	if r, err = (&Grader{Env: fakeEnv()}).Grade(t.Context(), l, both, Options{}); err != nil || r.Verdict != grade.Pass {
		t.Errorf("the script beside an untouched answer file: %+v, %v", r, err)
	}
}

// TestBadAnswers: whatever a file holds, it is read as data within bounds, or refused with its line.
func TestBadAnswers(t *testing.T) {
	l := find(t, fakeCatalog(t), "richer")
	for _, c := range []struct{ text, want string }{
		{"- ann\n", `every line is "name: answer"`},
		{"ann", `every line is "name: answer"`},
		{"owner: ann\nowner: ben\n", "answered twice"},
		{"owner: ann\n---\nowner: ben\n", "more than one document"},
		{"owner: [ann, ben]\n", "answers.yaml:1: owner: an answer is one word or number"},
		{"owner: {name: ann}\n", "one word or number"},
		{"owner: &x ann\nbalance: *x\n", "answers.yaml:2: balance: an answer is one word or number"},
		{"[owner]: ann\n", `every line is "name: answer"`},
		{"<<: {owner: ann}\n", `nothing called "<<" is asked`},
		{"owner: " + strings.Repeat("a", 300), "300 bytes"},
		{"# " + strings.Repeat("x", maxAnswerFile), "at most"},
		{"owner: \xff", "UTF-8"},
		{strings.Repeat("[", 5000), "read answers.yaml"},
		{"owner: !!binary zz\n", ""},
	} {
		_, err := l.parseAnswers([]byte(c.text))
		if c.want == "" && err == nil {
			continue
		}
		if err == nil || kit.KindOf(err) != kit.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: got %v, want %q", c.text, err, c.want)
		}
	}
}

func TestAnswersStayWhatTheyAre(t *testing.T) {
	l := find(t, fakeCatalog(t), "richer")
	for text, want := range map[string]term.Term{
		"4711": term.Int(4711), "-3": term.Int(-3), "n": term.Bin("n"), "no": term.Bin("no"), "true": term.Bin("true"),
		"1e3": term.Bin("1e3"), "2.50": term.Bin("2.50"), "'  b '": term.Bin("b"), "2024-01-02": term.Bin("2024-01-02"),
		"99999999999999999999": term.Bin("99999999999999999999"), "~": nil, `""`: nil, "": nil,
	} {
		got, err := l.parseAnswers([]byte("balance: " + text + "   # a comment\n"))
		if err != nil || !(want == nil && got["balance"] == nil || want != nil && got["balance"] != nil && term.Equal(got["balance"], want)) {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
		}
	}
}

// TestFillAnswers keeps comments and order, and what it writes reads back.
func TestFillAnswers(t *testing.T) {
	l := find(t, fakeCatalog(t), "richer")
	starter, err := os.ReadFile("testdata/labs/richer/starter/answers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.FillAnswers(starter, map[string]term.Term{"owner": term.Atom("ann"), "balance": term.Int(5)}, false)
	want := "# Who has more in the account, ann or ben?\nowner: ann\n# And how much is it?\nbalance: 5\n"
	if err != nil || string(got) != want {
		t.Errorf("got\n%s%v", got, err)
	}
	for _, text := range []string{"null", "12", "a: b", "# x", "two\nlines", "- ", "\"", "é"} {
		out, err := l.FillAnswers(starter, map[string]term.Term{"owner": term.Bin(text)}, false)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if back, err := l.parseAnswers(out); err != nil || !term.Equal(back["owner"], term.Bin(strings.TrimSpace(text))) {
			t.Errorf("%q reads back as %v, %v:\n%s", text, back, err, out)
		}
	}
	if _, err := l.FillAnswers(got, map[string]term.Term{"owner": term.Bin("ben")}, false); kit.KindOf(err) != kit.Exists {
		t.Errorf("an answer was replaced: %v", err)
	}
	if out, err := l.FillAnswers(got, map[string]term.Term{"owner": term.Bin("ben"), "balance": term.Int(5)}, true); err != nil || !strings.Contains(string(out), "owner: ben\n") {
		t.Errorf("%s%v", out, err)
	}
	for _, bad := range []map[string]term.Term{{"owner": term.L(term.Int(1))}, {"ower": term.Int(1)}} {
		if _, err := l.FillAnswers(starter, bad, false); kit.KindOf(err) != kit.Invalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestWorkspaceSeed: an answer lab's workspace remembers what its cluster is set up with.
func TestWorkspaceSeed(t *testing.T) {
	c := fakeCatalog(t)
	dir := filepath.Join(t.TempDir(), "w")
	if err := find(t, c, "richer").Start(dir, 0); kit.KindOf(err) != kit.Invalid {
		t.Errorf("without a seed: %v", err)
	}
	if err := find(t, c, "richer").Start(dir, 4711); err != nil {
		t.Fatal(err)
	}
	if m, err := ReadMarker(dir); err != nil || m.Seed != 4711 {
		t.Errorf("%+v, %v", m, err)
	}
	other := filepath.Join(t.TempDir(), "w")
	if err := find(t, c, "steady-total").Start(other, 4711); err != nil {
		t.Fatal(err)
	}
	if m, err := ReadMarker(other); err != nil || m.Seed != 0 {
		t.Errorf("a script lab's workspace has a seed: %+v, %v", m, err)
	}
	edited := filepath.Join(dir, filepath.FromSlash(markerFile))
	if err := os.WriteFile(edited, []byte(`{"lab": "richer", "seed": -1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMarker(dir); kit.KindOf(err) != kit.Corrupt {
		t.Errorf("a negative seed: %v", err)
	}
}

// FuzzAnswers wants an answer or an error of kind Invalid for any bytes, and what is filled in to read back.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{"", "owner: ann\nbalance: 507\n", "owner: &a [*a]", "? owner\n: ann", "owner: |\n  two\n  lines\n", "%YAML 1.2\n---\nowner: x", "{owner: ann}", "\ufeffowner: ann"} {
		f.Add([]byte(s))
	}
	c, err := Load(os.DirFS("testdata/labs"), os.DirFS("testdata/solutions"), []Definition{richerLab()})
	if err != nil {
		f.Fatal(err)
	}
	l := c.All()[0]
	f.Fuzz(func(t *testing.T, src []byte) {
		if _, err := l.parseAnswers(src); err != nil {
			if kit.KindOf(err) != kit.Invalid {
				t.Errorf("%q: %v", src, err)
			}
			return
		}
		out, err := l.FillAnswers(src, map[string]term.Term{"owner": term.Bin("ann")}, true)
		if err != nil {
			return // written in a form that lines cannot be put into
		}
		if back, err := l.parseAnswers(out); err != nil || !term.Equal(back["owner"], term.Bin("ann")) {
			t.Errorf("%q filled in is %q: %v, %v", src, out, back, err)
		}
	})
}
