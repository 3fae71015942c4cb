package class

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
)

// scriptLab is a lab of two tasks.
func scriptLab() *lab.Lab {
	return &lab.Lab{Definition: lab.Definition{Slug: "bank"}, Manifest: lab.Manifest{Title: "The bank", Kind: lab.Script, Nodes: 2, Seeds: 1,
		Tasks: []lab.Task{{Name: "one", Title: "One", Points: 30}, {Name: "two", Title: "Two", Points: 70}}}}
}

// folders writes files below a new folder. A name that ends in a slash is a folder, "a -> b" a link.
func folders(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		from, to, link := strings.Cut(name, " -> ")
		path := filepath.Join(dir, filepath.FromSlash(from))
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(to, path)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const marker = `{"lab": "bank", "version": "1"}`

// result is what the grader would write.
func result(m Member, v grade.Verdict) *grade.Result {
	r := &grade.Result{Lab: "bank", Verdict: v, Seed: m.Seed, Seeds: 1, Max: 100, Submission: grade.Submission{Digest: m.Digest},
		Tasks: []grade.Task{{Name: "one", Verdict: grade.Pass, Score: 30, Max: 30}, {Name: "two", Verdict: v, Max: 70, Why: "it was " + string(v)}}}
	r.Score = 30
	if v == grade.Pass {
		r.Score, r.Tasks[1].Score = 100, 70
	}
	return r
}

func written(r *grade.Result) []byte {
	var b bytes.Buffer
	if err := grade.JSON(&b, r); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestFindTakesWorkspacesAndFolders(t *testing.T) {
	dir := folders(t, map[string]string{
		"class/ada/.netsplit/lab.json":           marker,
		"class/ada/run.star":                     "x = 1",
		"class/bob/bank/.netsplit/lab.json":      marker,
		"class/bob/bank/run.star":                "",
		"class/cyd/.netsplit/lab.json":           `{"lab": "other"}`,
		"class/dan/run.star":                     "",
		"class/eve/":                             "",
		"class/fay/a/.netsplit/lab.json":         marker,
		"class/fay/b/.netsplit/lab.json":         marker,
		"class/gil/run.star -> /etc/passwd":      "",
		"class/hal/.netsplit/lab.json -> /dev/0": "",
		"class/out/run.star":                     "", // where grades are written
		"class/.git/run.star":                    "",
		"class/notes.txt":                        "",
		"class/ivy -> ada":                       "",
		"alone/.netsplit/lab.json":               marker,
		"alone/run.star":                         "",
		"more/ada/run.star":                      strings.Repeat("#", 600<<10),
	})
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	l := scriptLab()
	found, err := Find([]string{at("class"), at("alone"), at("more"), at("class")}, l, at("class/out"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range Read(found, l, 7, true) {
		line := strings.ReplaceAll(m.Name, filepath.ToSlash(dir)+"/", "") + ": " + m.Problem
		if m.Problem == "" {
			rel, _ := filepath.Rel(dir, m.Dir)
			line += filepath.ToSlash(rel)
		}
		got = append(got, line)
	}
	want := []string{
		"class/ada: class/ada",
		"bob: class/bob/bank",
		"cyd: it is work on lab other, not bank",
		"dan: class/dan",
		"eve: there is no work on lab bank in it",
		"fay: work on lab bank lies in 2 of its folders; which one counts is not known",
		"gil: read run.star: it is no ordinary file; links are not followed",
		"hal: there is no work on lab bank in it",
		"alone: alone",
		"more/ada: read run.star: it has 614400 bytes, at most 524288 are read",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if slugs := Labs(found); !slices.Equal(slugs, []string{"bank", "other"}) {
		t.Errorf("labs %q", slugs)
	}
	for _, bad := range []string{"nosuch", "class/notes.txt", "class/eve"} {
		if _, err := Find([]string{at(bad)}, nil, ""); kit.KindOf(err) != kit.NotFound && kit.KindOf(err) != kit.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestStale(t *testing.T) {
	m := Member{Name: "ada", Digest: "d1", Seed: 7}
	for _, c := range []struct {
		change func(*grade.Result, *Member)
		want   string
	}{
		{func(*grade.Result, *Member) {}, ""},
		{func(r *grade.Result, _ *Member) { r.Lab = "x" }, "another lab"},
		{func(_ *grade.Result, m *Member) { m.Digest = "d2" }, "work has changed"},
		{func(r *grade.Result, _ *Member) { r.Build = "b2" }, "netsplit has changed"},
		{func(_ *grade.Result, m *Member) { m.Seed = 8 }, "seed is another"},
		{func(r *grade.Result, m *Member) { m.Seed, r.Seed = 0, 9 }, ""}, // drawn by the grader
		{func(r *grade.Result, _ *Member) { r.Seeds = 50 }, "number of runs"},
		{func(r *grade.Result, _ *Member) { r.Seeds, r.Seed, r.Problem = 0, 0, "it does not compile" }, ""},
		{func(r *grade.Result, _ *Member) { r.Verdict = grade.Inconclusive }, "inconclusive"},
	} {
		r, m := result(m, grade.Fail), m
		r.Build = "b1"
		c.change(r, &m)
		if got := Stale(r, m, "bank", "b1", 1); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// class is a session on members whose grading is scripted by name.
func class(out string, script map[string]func(Member) Ended) (*Session, *[]string) {
	said := &[]string{}
	return &Session{Lab: scriptLab(), Out: out, Seed: 7, Jobs: 3, Build: "b1", Version: "v1", Now: func() time.Time { return time.Unix(0, 0).UTC() },
		Say: func(r Row, done, all int) { *said = append(*said, fmt.Sprintf("%d/%d %s", done, all, r.Line())) },
		Grade: func(_ context.Context, m Member) Ended {
			if f := script[m.Name]; f != nil {
				return f(m)
			}
			return Ended{Result: written(result(m, grade.Pass))}
		}}, said
}

func members(names ...string) []Member {
	var out []Member
	for _, n := range names {
		out = append(out, Member{Name: n, Folder: "in/" + n, Dir: "in/" + n, Digest: "d-" + n, Seed: 7})
	}
	return out
}

func states(t *Table) string {
	var out []string
	for _, r := range t.Rows {
		s := r.Name + " " + string(r.State)
		if r.Kept {
			s += " kept"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestRunSurvivesAndGoesOn(t *testing.T) {
	out := t.TempDir()
	script := map[string]func(Member) Ended{
		"dies":    func(Member) Ended { return Ended{State: Broke, Why: "panic: oh"} },
		"slow":    func(Member) Ended { return Ended{State: TimedOut, Why: "too long"} },
		"rubbish": func(Member) Ended { return Ended{Result: []byte("{]")} },
		"foreign": func(m Member) Ended { r := result(m, grade.Pass); r.Lab = "x"; return Ended{Result: written(r)} },
		"forged": func(m Member) Ended {
			r := result(m, grade.Pass)
			r.Tasks = r.Tasks[:1]
			return Ended{Result: written(r)}
		},
		"unclear": func(m Member) Ended { return Ended{Result: written(result(m, grade.Inconclusive))} },
		"wrong":   func(m Member) Ended { return Ended{Result: written(result(m, grade.Fail))} },
	}
	all := members("dies", "slow", "ada", "rubbish", "foreign", "forged", "unclear", "wrong")
	all = append(all, Member{Name: "unread", Problem: "nothing there"})
	s, said := class(out, script)
	table, err := s.Run(context.Background(), all)
	if err != nil {
		t.Fatal(err)
	}
	want := "dies broken, slow timeout, ada pass, rubbish broken, foreign broken, forged broken, unclear inconclusive, wrong fail, unread unread"
	if got := states(table); got != want || len(*said) != len(all) {
		t.Errorf("%s\nsaid %q", got, *said)
	}
	if table.ExitCode() != grade.ExitBroken {
		t.Errorf("status %d", table.ExitCode())
	}
	// A second call keeps what is settled and does the rest again.
	delete(script, "dies")
	delete(script, "unclear")
	all[7].Digest = "d-wrong-2"
	s, _ = class(out, script)
	if table, err = s.Run(context.Background(), all); err != nil {
		t.Fatal(err)
	}
	want = "dies pass, slow timeout, ada pass kept, rubbish broken, foreign broken, forged broken, unclear pass, wrong fail, unread unread"
	if got := states(table); got != want {
		t.Errorf("second call: %s", got)
	}
	s, _ = class(out, nil)
	s.Again = true
	if table, err = s.Run(context.Background(), all[:3]); err != nil || states(table) != "dies pass, slow pass, ada pass" || table.ExitCode() != 0 {
		t.Errorf("again: %v, %s", err, states(table))
	}
	for _, name := range []string{CSVFile, HTMLFile, "results/ada.json"} {
		if src, err := os.ReadFile(filepath.Join(out, name)); err != nil || len(src) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if kept, err := ReadKept(out); err != nil || kept != (Kept{Lab: "bank", Seed: 7, Seeds: 1}) {
		t.Errorf("%+v, %v", kept, err)
	}
}

func TestInterruptedRunLeavesATable(t *testing.T) {
	out := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	s, _ := class(out, map[string]func(Member) Ended{"bob": func(Member) Ended {
		cancel()
		return Ended{State: Waiting, Why: "interrupted"}
	}})
	s.Jobs = 1
	table, err := s.Run(ctx, members("ada", "bob", "cyd"))
	if err != nil || states(table) != "ada pass, bob waiting, cyd waiting" || table.ExitCode() != grade.ExitBroken {
		t.Fatalf("%v, %s", err, states(table))
	}
	src, err := os.ReadFile(filepath.Join(out, CSVFile))
	if err != nil || !strings.Contains(string(src), "\ncyd,waiting,") {
		t.Errorf("%v\n%s", err, src)
	}
}

func TestRunSaysWhenNothingCanBeWritten(t *testing.T) {
	s, _ := class(filepath.Join(folders(t, map[string]string{"file": ""}), "file", "grades"), nil)
	if _, err := s.Run(context.Background(), members("ada")); kit.KindOf(err) != kit.Refused {
		t.Errorf("%v", err)
	}
	dir := folders(t, map[string]string{"class.json": "{]"})
	if _, err := ReadKept(dir); kit.KindOf(err) != kit.Corrupt {
		t.Errorf("%v", err)
	}
}

func TestFileNamesAreSafeAndDistinct(t *testing.T) {
	seen := map[string]string{}
	form := regexp.MustCompile(`^[a-z0-9_-]{0,60}(\.[0-9a-f]{10})?\.json$`)
	for _, name := range []string{"ada", "Ada", "ADA", "a/da", "a-da", "../../etc/passwd", "", "..", strings.Repeat("x", 300), strings.Repeat("x", 301),
		"Åsa", "Øsa", "a\x00b", "a\nb", "con", "results/ada"} {
		got := Member{Name: name}.File()
		if !form.MatchString(got) || seen[strings.ToLower(got)] != "" {
			t.Errorf("%q becomes %q, as %q", name, got, seen[got])
		}
		seen[strings.ToLower(got)] = name + "!"
	}
}

// hostileNames try to leave a cell, an attribute, a script or a formula.
var hostileNames = []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\"=1", "'=1", "|calc", "％", "＝1", `=HYPERLINK("http://x","y")`, "a,b;c\"d", "a\r\n=1",
	"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</script>", "{{.}}", "javascript:alert(1)", "\u202eevil", "\x1b[31m", "ada\x00", "&lt;b&gt;",
	strings.Repeat("=", 5000)}

func hostileTable(names []string) *Table {
	t := newTable(scriptLab())
	for _, n := range names {
		m := Member{Name: oneLine(n), Folder: "in/" + n, Digest: "d", Seed: 1}
		r := result(m, grade.Fail)
		r.Tasks[1].Why = n
		row := t.graded(m, r)
		row.Result = ResultsDir + "/" + m.File()
		t.Rows = append(t.Rows, row, blank(m, Broke, n))
	}
	return t
}

// formula is what Excel, LibreOffice or Sheets may take for one.
func formula(s string) bool {
	return s != "" && strings.ContainsRune("=+-@\t\r\n|%＝＋－＠", []rune(s)[0])
}

func checkCSV(t *testing.T, table *Table) {
	t.Helper()
	var b bytes.Buffer
	if err := table.CSV(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll()
	if err != nil || len(lines) != len(table.Rows)+1 {
		t.Fatalf("%v, %d lines for %d rows", err, len(lines), len(table.Rows))
	}
	for _, line := range lines {
		for _, c := range line {
			if formula(c) || formula(strings.TrimLeft(c, " \"")) || strings.ContainsAny(c, "\r\n\t\x00\x1b") {
				t.Errorf("cell %.80q", c)
			}
		}
	}
}

// tag is any tag of a page; ours come from the template alone.
var tag = regexp.MustCompile(`<[^>]*>`)

func checkHTML(t *testing.T, table *Table) string {
	t.Helper()
	var b bytes.Buffer
	if err := table.HTML(&b); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(b.String(), "<tbody>")
	body, _, _ := strings.Cut(rest, "</tbody>")
	ours := regexp.MustCompile(`^</?(tr|th|td|span|i|bdi|details|summary|ul|li|b|p|code|a)( (class|scope|data-label|data-value|title|aria-label|href)="[^"<>]*")*>$`)
	for _, got := range tag.FindAllString(body, -1) {
		if !ours.MatchString(got) {
			t.Errorf("tag %.200q", got)
		}
		if _, link, ok := strings.Cut(got, `href="`); ok && !strings.HasPrefix(link, "results/") {
			t.Errorf("link %.200q", got)
		}
	}
	if n := strings.Count(b.String(), "<script>"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	return html.UnescapeString(tag.ReplaceAllString(body, ""))
}

func TestTablesHoldHostileNames(t *testing.T) {
	table := hostileTable(hostileNames)
	checkCSV(t, table)
	text := checkHTML(t, table)
	for _, want := range []string{"<script>alert(1)</script>", "{{.}}", "&lt;b&gt;"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q as it is", want)
		}
	}
}

func FuzzTables(f *testing.F) {
	for _, n := range hostileNames {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, name string) {
		table := hostileTable([]string{name})
		checkCSV(t, table)
		checkHTML(t, table)
	})
}

// TestPageNeedsNothingElse: its policy names the very script that it has, and nothing points elsewhere.
func TestPageNeedsNothingElse(t *testing.T) {
	var b bytes.Buffer
	if err := hostileTable([]string{"ada"}).HTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if !strings.Contains(page, "<script>"+pageScript+"</script>") || !strings.Contains(html.UnescapeString(page), policy()) {
		t.Error("the script or the policy is not what it was made from")
	}
	if regexp.MustCompile(`(?i)(src|href)="?(https?:)?//|@import|url\(`).MatchString(page) {
		t.Error("the page fetches something")
	}
}

func TestSummaryAndStatus(t *testing.T) {
	table := newTable(scriptLab())
	if table.Rows = []Row{{State: Passed}}; table.Summary() != "1 submission: 1 pass" || table.ExitCode() != grade.ExitPass {
		t.Error(table.Summary(), table.ExitCode())
	}
	table.Rows = append(table.Rows, Row{State: Failed}, Row{State: Inconclusive})
	if table.ExitCode() != grade.ExitInconclusive {
		t.Error(table.ExitCode())
	}
	table.Rows = append(table.Rows, Row{State: TooLarge})
	if want := "4 submissions: 1 pass, 1 fail, 1 inconclusive, 1 not graded: took too much memory"; table.Summary() != want || table.ExitCode() != grade.ExitBroken {
		t.Error(table.Summary(), table.ExitCode())
	}
}

func TestEnded(t *testing.T) {
	none := func() ([]byte, error) { return nil, os.ErrNotExist }
	some := func() ([]byte, error) { return []byte("{}"), nil }
	stopped := Ended{State: TimedOut, Why: "slow"}
	for _, c := range []struct {
		name    string
		stopped Ended
		err     error
		said    string
		result  func() ([]byte, error)
		want    State
		why     string
	}{
		{"a verdict", Ended{}, nil, "", some, "", ""},
		{"a verdict at the last moment", stopped, nil, "", some, "", ""},
		{"status 0 and nothing", Ended{}, nil, "", none, Broke, "no result"},
		{"stopped", stopped, errors.New("signal: killed"), "", some, TimedOut, "slow"},
		{"not started", Ended{}, errors.New("no such program"), "", some, Broke, "no such program"},
	} {
		got := ended(c.stopped, c.err, c.said, c.result)
		if c.name == "stopped" {
			got = ended(c.stopped, nil, c.said, none)
		}
		if got.State != c.want || !strings.Contains(got.Why, c.why) || (got.State == "") != (got.Result != nil) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	for said, want := range map[string]string{
		"":                                     "",
		"noise\nnetsplit: the disc is full\nh": "the disc is full",
		"goroutine 1\npanic: nil map\n\tat x":  "panic: nil map",
		"fatal error: out of memory\nstack":    "fatal error: out of memory",
		"one\nlast":                            "last",
	} {
		if got := lastWords(said); got != want {
			t.Errorf("%q gives %q", said, got)
		}
	}
}
