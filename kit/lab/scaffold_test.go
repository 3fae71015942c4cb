package lab

import (
	"go/format"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"netsplit/kit"
)

// TestScaffold wants what a new lab begins with to be clean Go, a front matter that can be read, a starter that fits
// its kind, and at least three wrong answers whose edits fit the solution. That it compiles and is sound is tested with the
// program that carries it, in cmd/netsplit.
func TestScaffold(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			files, err := Scaffold("wrong-order", kind)
			if err != nil {
				t.Fatal(err)
			}
			labs, solutions := fstest.MapFS{}, fstest.MapFS{}
			for name, text := range files {
				top, rest, _ := strings.Cut(name, "/wrong-order/")
				map[string]fstest.MapFS{"labs": labs, "solutions": solutions}[top][rest] = &fstest.MapFile{Data: text}
				if strings.Contains(string(text), "[[") || strings.Contains(name, ".tmpl") {
					t.Errorf("%s is not filled in", name)
				}
				if clean, err := format.Source(text); path.Ext(name) == ".go" && (err != nil || string(clean) != string(text)) {
					t.Errorf("%s is not as gofmt writes it: %v", name, err)
				}
			}
			m, err := ParseManifest(labs["README.md"].Data)
			if err != nil {
				t.Fatal(err)
			}
			l := &Lab{Definition: Definition{Slug: "wrong-order"}, Manifest: m, files: labs, solution: solutions}
			if m.Title != "Wrong order" || m.Kind != kind {
				t.Errorf("%+v", m)
			}
			if err := l.checkFiles(); err != nil {
				t.Error(err)
			}
			if faults := l.HintFaults(); len(faults) > 0 {
				t.Errorf("%q", faults)
			}
			if wrong, err := loadMutants(l); err != nil || len(wrong) < 3 {
				t.Errorf("%d wrong answers, %v", len(wrong), err)
			}
		})
	}
}

func TestScaffoldRefusesBadNames(t *testing.T) {
	for _, slug := range []string{"", "Wrong", "wrong_order", "../wrong", "wrong-", "9lives", strings.Repeat("x", 49),
		"select", "type", "string", "nil", "main", "init", "vendor", "testdata", "internal", "playground", "playground-2"} {
		if files, err := Scaffold(slug, Script); kit.KindOf(err) != kit.Invalid || kit.HintOf(err) == "" || files != nil {
			t.Errorf("%q: %v, hint %q", slug, err, kit.HintOf(err))
		}
	}
	if _, err := Scaffold("fine", "essay"); kit.KindOf(err) != kit.Invalid || kit.HintOf(err) == "" {
		t.Errorf("kind essay: %v", err)
	}
}

const smallList = `// Package labs lists the labs.
package labs

import (
	"embed"

	"netsplit/kit/lab"
	zebra "netsplit/labs/zebra-stripes"
)

// FS is this folder.
//
//go:embed */README.md
var FS embed.FS

// All is every lab.
func All() []lab.Definition {
	return []lab.Definition{
		zebra.Lab, // the first
	}
}
`

func TestAddToList(t *testing.T) {
	got, err := AddToList([]byte(smallList), "wrong-order")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(
		"\tzebra \"net", "\twrongorder \"netsplit/labs/wrong-order\"\n\tzebra \"net",
		"zebra.Lab, // the first", "zebra.Lab, // the first\n\t\twrongorder.Lab,").Replace(smallList)
	if string(got) != want {
		t.Errorf("got:\n%s", got)
	}
	for range 2 { // a lab of one word needs no name for its import, and one can be added to what was added to
		if got, err = AddToList(got, "quorum"); err != nil {
			break
		}
		if !strings.Contains(string(got), "\n\t\"netsplit/labs/quorum\"\n") || !strings.Contains(string(got), "\t\twrongorder.Lab,\n\t\tquorum.Lab,\n") {
			t.Errorf("got:\n%s", got)
		}
	}
	if kit.KindOf(err) != kit.Exists {
		t.Errorf("a lab was listed twice: %v", err)
	}
	line := strings.Replace(smallList, "\n\t\tzebra.Lab, // the first\n\t", "zebra.Lab", 1)
	if got, err := AddToList([]byte(line), "quorum"); err != nil || !strings.Contains(string(got), "zebra.Lab,\n\t\tquorum.Lab}") {
		t.Errorf("into a list on one line: %v\n%s", err, got)
	}
	empty := strings.Replace(strings.Replace(smallList, "\n\t\tzebra.Lab, // the first\n\t", "", 1), "\tzebra \"netsplit/labs/zebra-stripes\"\n", "", 1)
	if got, err := AddToList([]byte(empty), "quorum"); err != nil || !strings.Contains(string(got), "return []lab.Definition{\n\t\tquorum.Lab,\n\t}") {
		t.Errorf("into an empty list: %v\n%s", err, got)
	}
}

func TestAddToListRefusesWhatItDoesNotKnow(t *testing.T) {
	swap := func(old, with string) string { return strings.Replace(smallList, old, with, 1) }
	for _, c := range []struct {
		name, src string
		kind      kit.Kind
		hint      string
	}{
		{"no Go", "hello", kit.Invalid, `the import wrongorder "netsplit/labs/wrong-order", and wrongorder.Lab in the list`},
		{"another function", swap("func All", "func Each"), kit.Invalid, "wrongorder.Lab in the list"},
		{"no literal", swap("return []lab.Definition{\n\t\tzebra.Lab, // the first\n\t}", "return list"), kit.Invalid, "by hand"},
		{"more than a return", swap("\treturn", "\tprintln()\n\treturn"), kit.Invalid, "by hand"},
		{"no imports", "package labs\n\nfunc All() []int {\n\treturn []int{}\n}\n", kit.Invalid, "by hand"},
		{"its name is taken", swap("zebra \"netsplit", "wrongorder \"netsplit"), kit.Exists, "wrong-order-lab"},
	} {
		if got, err := AddToList([]byte(c.src), "wrong-order"); kit.KindOf(err) != c.kind || !strings.Contains(kit.HintOf(err), c.hint) || got != nil {
			t.Errorf("%s: %v, hint %q", c.name, err, kit.HintOf(err))
		}
	}
	for _, slug := range []string{"embed", "lab"} {
		if _, err := AddToList([]byte(smallList), slug); kit.KindOf(err) != kit.Exists {
			t.Errorf("%s: %v", slug, err)
		}
	}
}

// TestAddToTheList: the list that this project has is of the form that is known.
func TestAddToTheList(t *testing.T) {
	src, err := os.ReadFile("../../" + ListFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AddToList(src, "no-lab-has-this-name"); err != nil {
		t.Error(err)
	}
}
