package lesson

import (
	"strings"
	"testing"
	"testing/fstest"

	"netsplit/kit"
)

func TestScaffold(t *testing.T) {
	const course = "title: C\nheadline: H\nsummary: S\nparts:\n  - {dir: 1-one, title: One, summary: First}\n  - {dir: 2-two, title: Two, summary: Second}\n"
	tree := func(course string, files ...string) fstest.MapFS {
		fsys := fstest.MapFS{"course.yaml": {Data: []byte(course)}}
		for _, f := range files {
			fsys[f] = &fstest.MapFile{Data: []byte("x")}
		}
		return fsys
	}
	for _, c := range []struct {
		name, part, lesson string
		fsys               fstest.MapFS
		want               string // the file
		kind               kit.Kind
		says               string // in error and hint
	}{
		{"the first", "1-one", "begin", tree(course), "1-one/01-begin.md", 0, ""},
		{"after a gap", "one", "begin", tree(course, "1-one/07-x.md", "1-one/notes.txt", "2-two/20-y.md"), "1-one/08-begin.md", 0, ""},
		{"a part that is not there", "three", "begin", tree(course), "", kit.NotFound, "the parts are 1-one, 2-two"},
		{"a part to be made", "3-three", "begin", tree(course), "", kit.NotFound, `"dir: 3-three", title and summary`},
		{"a name of another part's", "one", "begin", tree(course, "2-two/01-begin.md"), "", kit.Exists, "2-two/01-begin.md has that name"},
		{"no number left", "one", "begin", tree(course, "1-one/99-x.md"), "", kit.Invalid, "the last number there is"},
		{"a bad name", "one", "Begin!", tree(course), "", kit.Invalid, "lower-case words"},
		{"a name that is a path", "one", "../x", tree(course), "", kit.Invalid, "lower-case words"},
		{"no course", "one", "begin", fstest.MapFS{}, "", kit.NotFound, "work in a checkout"},
		{"a damaged course", "one", "begin", tree("parts: ["), "", kit.Invalid, "mend course.yaml first"},
		{"a part without a title", "one", "begin", tree("title: C\nheadline: H\nsummary: S\nparts:\n  - {dir: 1-one}\n"), "1-one/01-begin.md", 0, ""},
	} {
		file, text, err := Scaffold(c.fsys, c.part, c.lesson)
		if c.want != "" {
			if err != nil || file != c.want || !strings.HasPrefix(string(text), "---\ntitle: Begin\n") {
				t.Errorf("%s: %s, %v\n%.40s", c.name, file, err, text)
			}
			continue
		}
		if err == nil || kit.KindOf(err) != c.kind || !strings.Contains(err.Error()+kit.HintOf(err), c.says) {
			t.Errorf("%s: %v, hint %q", c.name, err, kit.HintOf(err))
		}
	}
}
