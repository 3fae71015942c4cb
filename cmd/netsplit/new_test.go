package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"netsplit/kit"
	"netsplit/kit/lab"
	"netsplit/kit/lesson"
	"netsplit/lessons"
)

// TestNewLabsAreSound builds the program with a new lab of each kind in it and has it check them. The labs are laid over the
// checkout for the compiler only; nothing is written into it. The code lab is compiled, and not graded: that takes the simulator
// as long as all the rest, and its parts are those of the other code labs.
func TestNewLabsAreSound(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it takes some ten seconds")
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(repo, lab.ListFile))
	if err != nil {
		t.Fatal(err)
	}
	written := map[string][]byte{}
	for _, kind := range lab.Kinds() {
		slug := "new-lab-for-" + string(kind)
		files, err := lab.Scaffold(slug, kind)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			written[name] = text
		}
		if list, err = lab.AddToList(list, slug); err != nil {
			t.Fatal(err)
		}
	}
	written[lab.ListFile] = list
	overlay, program := overlayOf(t, repo, written), filepath.Join(t.TempDir(), "netsplit")
	for _, args := range [][]string{
		{"build", "-o", program, "./cmd/netsplit"},
		{"build", "-o", os.DevNull, "./labs/new-lab-for-code/starter"},
		{"build", "-o", os.DevNull, "./solutions/new-lab-for-code"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", append([]string{args[0], "-trimpath", "-overlay", overlay}, args[1:]...)...)
		cmd.Dir = repo
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
	for _, args := range [][]string{{"check", "new-lab-for-script", "new-lab-for-answer"}, {"hint", "new-lab-for-code", "swap"}} {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "NETSPLIT_HOME="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// overlayOf writes files to a folder of their own, and the table that tells the compiler where they belong.
func overlayOf(t *testing.T, repo string, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	var table struct{ Replace map[string]string }
	table.Replace = map[string]string{}
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, text, 0o644); err != nil {
			t.Fatal(err)
		}
		table.Replace[filepath.Join(repo, filepath.FromSlash(name))] = at
	}
	src, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(at, src, 0o644); err != nil {
		t.Fatal(err)
	}
	return at
}

// TestNewLessonsAreSound puts a new lesson into every part and reads the course.
func TestNewLessonsAreSound(t *testing.T) {
	src, err := courseSources()
	if err != nil {
		t.Fatal(err)
	}
	whole := fstest.MapFS{}
	err = fs.WalkDir(lessons.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := lessons.FS.ReadFile(name)
		whole[name] = &fstest.MapFile{Data: text}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	course, err := loadCourse()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range course.Parts {
		file, text, err := lesson.Scaffold(whole, p.Dir, "new-in-"+p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		whole[file] = &fstest.MapFile{Data: text}
	}
	src.Lessons = whole
	more, err := lesson.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(more.Lessons()), len(course.Lessons())+len(course.Parts); got != want {
		t.Errorf("%d lessons, want %d", got, want)
	}
	for _, p := range more.Parts {
		last := p.Lessons[len(p.Lessons)-1]
		if last.Name != "new-in-"+p.Dir {
			t.Errorf("the last lesson of %s is %s", p.Dir, last.Name)
		}
		text := last.Text(more, lesson.TextOptions{Width: 60})
		if !last.HasDiagram() || !strings.Contains(text, "Do it now") {
			t.Errorf("%s lacks a diagram or something to run", last.File)
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSuffix(line, "\n"); len([]rune(line)) > 60 && !strings.HasPrefix(line, "    ") && !strings.HasPrefix(line, "│     ") {
				t.Errorf("%s is too wide for a terminal: %s", last.File, line)
			}
		}
	}
}

// TestNothingIsLeftOfAFailure has the last step fail, and one in the middle.
func TestNothingIsLeftOfAFailure(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.WriteFile("file", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"a/b/c": []byte("x"), "a/d": []byte("y")}
	if err := writeAll(root, files, func() error { return fs.ErrPermission }); err == nil {
		t.Error("the last step failed, and nobody heard of it")
	}
	files["file/below"] = []byte("z") // no folder
	if err := writeAll(root, files, func() error { return nil }); kit.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}
