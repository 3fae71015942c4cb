package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
)

const head = `---
title: T
kind: script
nodes: 2
minutes: 5
tasks:
  - {name: one, title: One, points: 10}
---
Brief.
`

func TestManifest(t *testing.T) {
	m, err := ParseManifest([]byte(strings.ReplaceAll(head, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if m.Title != "T" || m.Points() != 10 || m.Seeds != 1 || m.brief != "Brief.\n" {
		t.Errorf("%+v, brief %q", m, m.brief)
	}
}

func TestBadManifestsAreRefused(t *testing.T) {
	edit := func(old, with string) string {
		if !strings.Contains(head, old) {
			t.Fatalf("%q is not in the manifest", old)
		}
		return strings.Replace(head, old, with, 1)
	}
	for _, c := range []struct{ readme, want string }{
		{"# no front matter", "the first line must be ---"},
		{"---\ntitle: T\n", "no second line ---"},
		{edit("title: T", ""), "title is missing"},
		{edit("title: T", "title: T\ncolour: red"), "field colour not found"},
		{edit("kind: script", "kind: essay"), `kind is "essay"`},
		{edit("kind: script", "kind: answer"), "it asks for 0 answers"},
		{edit("points: 10", "points: 10, answers: [who]"), "only a lab of kind answer has answers"},
		{strings.Replace(edit("kind: script", "kind: answer"), "points: 10", "points: 10, answers: [who, who]", 1), `"who" must have a name of its own`},
		{strings.Replace(edit("kind: script", "kind: answer"), "points: 10", "points: 10, answers: [Who]", 1), `"Who" must have a name of its own`},
		{edit("nodes: 2", "nodes: 0"), "nodes is 0"},
		{edit("nodes: 2", "nodes: 200"), "nodes is 200"},
		{edit("minutes: 5", "minutes: soon"), "cannot unmarshal"},
		{edit("minutes: 5", "minutes: 5\nseeds: -1"), "seeds is -1"},
		{edit("minutes: 5", "minutes: 5\nlesson: ../secret"), "is no lesson's slug"},
		{edit("  - {name: one, title: One, points: 10}", "  []"), "it has 0 tasks"},
		{edit("points: 10", "points: 0"), "points is 0"},
		{edit("name: one", "name: One!"), "lower-case words"},
		{edit("points: 10", "points: 10, after: [two]"), `after "two", which is no earlier task`},
		{edit("points: 10", "points: 10, after: [one]"), `after "one"`},
		{edit("points: 10}", "points: 10}\n  - {name: one, title: Two, points: 1}"), "there are two of them"},
		{edit("points: 10", "points: 10, hints: [a, b, c, d, e, f, g]"), "7 hints"},
		{edit("Brief.", strings.Repeat("x", maxReadme)), "at most"},
		{strings.Replace(head, "title: T", strings.Repeat("&a [", 200), 1), ""},
	} {
		_, err := ParseManifest([]byte(c.readme))
		if err == nil || !strings.Contains(err.Error(), c.want) || kit.KindOf(err) != kit.Invalid {
			t.Errorf("%.80q: got %v, want %q", c.readme, err, c.want)
		}
	}
}

func TestLoadFindsMistakesOfAuthors(t *testing.T) {
	files := func(name, text string) fs.FS {
		all := fstest.MapFS{}
		err := fs.WalkDir(os.DirFS("testdata/labs"), ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			src, err := os.ReadFile(filepath.Join("testdata/labs", p))
			all[p] = &fstest.MapFile{Data: src}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if text == "" {
			delete(all, name)
		} else {
			all[name] = &fstest.MapFile{Data: []byte(text)}
		}
		return all
	}
	const verdict = "steady-total/mutants/two-writes/verdict.yaml"
	for _, c := range []struct{ file, text, want string }{
		{"steady-total/README.md", "", "README.md"},
		{"steady-total/README.md", head, `a check judges task "move"`},
		{"steady-total/starter/run.star", "", "read its starter"},
		{verdict, "about: x\ntasks: {nosuch: fail}", `there is no task "nosuch"`},
		{verdict, "about: x\ntasks: {look: pass}", "is no verdict to pin"},
		{verdict, "tasks: {look: fail}", "about is missing"},
		{verdict, "about: x", "pin the verdict of a task"},
		{verdict, "about: x\ntasks: {look: fail}\nedits: [{file: run.star, old: nowhere, new: x}]", "occurs 0 times"},
		{verdict, "about: x\ntasks: {look: fail}\nedits: [{file: none.star, old: x, new: x}]", `no file "none.star"`},
		{verdict, "about: x\ntasks: {look: fail}\nfiles: {../../escape: x}", "is no file name"},
		{verdict, "about: x\ntasks: {look: fail}\ncolour: red", "field colour not found"},
	} {
		_, err := Load(files(c.file, c.text), os.DirFS("testdata/solutions"), []Definition{steadyTotal()})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: got %v, want %q", c.file, c.text, err, c.want)
		}
	}
	if _, err := Load(files("x", "y"), os.DirFS("testdata/solutions"), []Definition{steadyTotal(), steadyTotal()}); err == nil {
		t.Error("a lab was listed twice")
	}
}

func TestUnknownLabNamesNearOnes(t *testing.T) {
	_, err := fakeCatalog(t).Find("stedy-total")
	if kit.KindOf(err) != kit.NotFound || kit.HintOf(err) != "did you mean steady-total?" {
		t.Errorf("%v, hint %q", err, kit.HintOf(err))
	}
}

func TestNear(t *testing.T) {
	labs := []string{"dirty-reads", "master-recovery", "transaction-history"}
	for word, want := range map[string]string{"dirty-read": "[dirty-reads]", "dirtyreads": "[dirty-reads]", "mastre-recovery": "[master-recovery]",
		"history": "[transaction-history]", "x": "[]", "": "[]", strings.Repeat("dirty", 1000): "[]"} {
		if got := fmt.Sprint(kit.Near(word, labs)); got != want {
			t.Errorf("%.40q: %s, want %s", word, got, want)
		}
	}
}

// TestWorkspace makes one, and wants every way to overwrite something refused with nothing written.
func TestWorkspace(t *testing.T) {
	l := find(t, fakeCatalog(t), "steady-total")
	dir := filepath.Join(t.TempDir(), "some where", "new")
	if err := l.Start(dir, 0); err != nil {
		t.Fatal(err)
	}
	if m, err := ReadMarker(dir); err != nil || m.Lab != "steady-total" {
		t.Errorf("marker %+v, %v", m, err)
	}
	brief, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil || !strings.HasPrefix(string(brief), "Move `lab.data") {
		t.Errorf("brief %q, %v", brief, err)
	}
	below := filepath.Join(dir, "deep", "er")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if root, m, err := FindWorkspace(below); err != nil || root != dir || m.Lab != "steady-total" {
		t.Errorf("found %s %+v, %v", root, m, err)
	}
	if err := l.Start(dir, 0); kit.KindOf(err) != kit.Exists || !strings.Contains(err.Error(), "workspace of lab steady-total already") {
		t.Errorf("started twice: %v", err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, ScriptFile), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(other, 0); kit.KindOf(err) != kit.Exists || kit.HintOf(err) == "" {
		t.Errorf("started over a file: %v", err)
	}
	if entries, _ := os.ReadDir(other); len(entries) != 1 {
		t.Errorf("a refused start left %v", entries)
	}
	file := filepath.Join(other, ScriptFile)
	if err := l.Start(file, 0); kit.KindOf(err) != kit.Exists {
		t.Errorf("started in a file: %v", err)
	}
}

func TestOpenRefusesWhatIsNoSubmission(t *testing.T) {
	c := fakeCatalog(t)
	write := func(name string, b []byte) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), b, 0o644) }
	}
	for _, tc := range []struct {
		name, lab string
		make      func(dir string) error
		want      string
	}{
		{"no such folder", "counter", os.Remove, "there is no such folder"},
		{"nothing in it", "counter", func(string) error { return nil }, "it has no Go file"},
		{"no script", "steady-total", write("other.star", nil), "it has no run.star"},
		{"a script that is a link", "steady-total", func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, ScriptFile)) }, "links are not followed"},
		{"a program that is a link", "counter", func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "main.go")) }, "links are not followed"},
		{"a huge file", "counter", write("main.go", make([]byte, maxFileBytes+1)), "bytes"},
		{"too many files", "counter", func(dir string) error {
			for i := range maxFiles + 1 {
				if err := write(fmt.Sprintf("f%d.go", i), nil)(dir); err != nil {
					return err
				}
			}
			return nil
		}, "more than 64 files"},
		{"folders without end", "counter", func(dir string) error {
			return os.MkdirAll(filepath.Join(dir, "a/b/c/d/e/f"), 0o755)
		}, "nested more than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "work")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := tc.make(dir); err != nil {
				t.Fatal(err)
			}
			s, err := find(t, c, tc.lab).Open(dir)
			if err = errors.Join(err, s.Refused); err == nil || !strings.Contains(err.Error(), tc.want) || len(s.Files) > 0 {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestOpenReadsOnlyWhatIsGraded: module files, assembly, hidden folders and vendored code stay behind.
func TestOpenReadsOnlyWhatIsGraded(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"main.go", "main_test.go", "sub/x.go", "go.mod", "evil.s", "evil.c", ".hidden/x.go", "vendor/v/v.go", "_x.go", ".x.go", "testdata/x.go"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("package x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := find(t, fakeCatalog(t), "counter").Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(names(s.Files), names(s.Tests)); got != "[main.go sub/x.go] [main_test.go]" {
		t.Errorf("read %s", got)
	}
	before := s.Digest()
	s.Tests["main_test.go"] = []byte("package y")
	if s.Digest() == before {
		t.Error("the digest does not cover the tests")
	}
}

func TestHintsAndProgressAreRemembered(t *testing.T) {
	l := find(t, fakeCatalog(t), "steady-total")
	home := filepath.Join(t.TempDir(), "state")
	b := OpenBook(home)
	task, _ := l.Manifest.Task("move")
	for _, c := range []struct {
		reset       bool
		shown, more int
	}{{false, 1, 1}, {false, 2, 0}, {false, 2, 0}, {true, 1, 1}, {false, 2, 0}} {
		shown, more, err := b.Hint(l, task, c.reset)
		if err != nil || len(shown) != c.shown || more != c.more {
			t.Errorf("%d hints and %d more, %v; want %+v", len(shown), more, err, c)
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, r := range []grade.Result{
		{Lab: l.Slug, Verdict: grade.Pass, Score: 100, Max: 100, Submission: grade.Submission{Dir: "/w"}},
		{Lab: l.Slug, Verdict: grade.Fail, Score: 60, Max: 100, Submission: grade.Submission{Dir: "/w"}},
		{Lab: l.Slug, Verdict: grade.Pass, Score: 100, Max: 100, Submission: grade.Submission{Name: "solution"}},
	} {
		if err := b.Graded(&r, at); err != nil {
			t.Fatal(err)
		}
	}
	p, err := OpenBook(home).Read()
	if err != nil {
		t.Fatal(err)
	}
	if own := p.Labs[l.Slug]; own.Best != 100 || !own.Passed || own.Grades != 2 || own.Hints["move"] != 2 {
		t.Errorf("%+v", own)
	}
	if err := os.WriteFile(filepath.Join(home, "progress.json"), []byte("{garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(); kit.KindOf(err) != kit.Corrupt || kit.HintOf(err) == "" {
		t.Errorf("a damaged file gave %v", err)
	}
	if _, _, err := b.Hint(l, task, false); kit.KindOf(err) != kit.Corrupt {
		t.Errorf("a damaged file was overwritten: %v", err)
	}
}

func TestReplayRefusesOtherWork(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, ScriptFile)
	if err := os.WriteFile(file, []byte("move with dirty writes"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := find(t, fakeCatalog(t), "steady-total")
	sub, err := l.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	g := &Grader{Env: fakeEnv()}
	r, err := g.Grade(t.Context(), l, sub, Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := g.Replay(t.Context(), l, r, ReplayOptions{Twice: true})
	if err != nil || len(rep.Differences) > 0 || rep.Result.Seed != 3 {
		t.Errorf("replay: %+v, %v", rep, err)
	}
	r.Tasks[1].Verdict = grade.Inconclusive
	if rep, err = g.Replay(t.Context(), l, r, ReplayOptions{}); err != nil || len(rep.Differences) == 0 {
		t.Errorf("a recorded verdict that does not come again is not told: %+v, %v", rep, err)
	}
	if err := os.WriteFile(file, []byte("move in a transaction"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Replay(t.Context(), l, r, ReplayOptions{}); kit.KindOf(err) != kit.Invalid || kit.HintOf(err) == "" {
		t.Errorf("changed work was replayed: %v", err)
	}
}
