package kit_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// may is the import table: which of our packages each package may import, besides kit, which all may.
// A name ending in "/..." stands for everything below it. A package that is not in the table fails the
// test: decide where it stands before it grows.
var may = map[string]string{
	"kit":                "",
	"kit/term":           "",
	"kit/simlink":        "",
	"kit/diagram":        "",
	"kit/source":         "kit/term kit/door kit/wire kit/peer kit/proc kit/store kit/store/... kit/mnesia kit/node kit/simlink",
	"kit/door":           "kit/term",
	"kit/wire":           "kit/simlink",
	"kit/peer":           "kit/wire",
	"kit/store/match":    "kit/term",
	"kit/store/lock":     "kit/term",
	"kit/store/commit":   "kit/term",
	"kit/store/disk":     "kit/term kit/simlink",
	"kit/store/split":    "kit/term",
	"kit/store":          "kit/term kit/store/...",
	"kit/mnesia":         "kit/term kit/door kit/store kit/store/...",
	"kit/proc":           "kit/term",
	"kit/node":           "kit/term kit/door kit/wire kit/peer kit/proc kit/store kit/store/disk kit/mnesia kit/simlink",
	"kit/bench":          "kit/term kit/proc kit/store kit/node",
	"kit/world":          "kit/door kit/wire",
	"kit/cluster":        "kit/term kit/door kit/wire kit/world kit/node",
	"kit/sim":            "kit/term kit/door kit/wire kit/world kit/simlink kit/node",
	"kit/shell":          "kit/term kit/door kit/wire kit/world",
	"kit/history":        "kit/term kit/door kit/diagram",
	"kit/grade":          "kit/term kit/door kit/diagram kit/history",
	"kit/lab":            "kit/term kit/door kit/wire kit/world kit/cluster kit/sim kit/shell kit/history kit/grade kit/diagram kit/source",
	"kit/class":          "kit/grade kit/lab",
	"kit/bundle":         "kit/lab",
	"kit/lesson":         "kit/lab kit/diagram",
	"kit/conformance":    "kit/term kit/door kit/wire kit/world kit/cluster kit/sim kit/node kit/mnesia",
	"kit/soak":           "kit/term kit/door kit/wire kit/world kit/history kit/cluster kit/sim kit/node",
	"labs":               "labs/... kit/lab",
	"labs/*":             "kit/...",
	"labs/*/starter":     "kit/node kit/proc kit/store kit/term",
	"labs/*/mutants/*":   "kit/node kit/proc kit/store kit/term",
	"solutions":          "",
	"solutions/*":        "kit/node kit/proc kit/store kit/term",
	"lessons":            "",
	"site":               "kit/lesson kit/lab kit/diagram",
	"cmd/netsplit":       "kit/... labs solutions lessons site",
	"cmd/node":           "kit/node",
	"kit/*/internal/*":   "kit/...",
	"kit/*/internal/*/*": "kit/...",
}

// doors names the only packages that may import each big dependency.
var doors = map[string]string{
	"go.etcd.io/bbolt":                  "kit/store/disk",
	"github.com/hashicorp/memberlist":   "kit/peer",
	"github.com/tetratelabs/wazero":     "kit/sim",
	"go.starlark.net":                   "kit/shell",
	"github.com/reeflective/readline":   "kit/shell",
	"github.com/yuin/goldmark":          "kit/lesson site",
	"github.com/alecthomas/chroma":      "kit/lesson site",
	"github.com/spf13/cobra":            "cmd/netsplit",
	"github.com/KimMachineGun":          "cmd/netsplit",
	"go.yaml.in/yaml":                   "kit/lab kit/lesson",
	"github.com/tidwall/btree":          "kit/store kit/store/disk",
	"github.com/rogpeppe/go-internal":   "",
	"github.com/cockroachdb/datadriven": "",
}

// The limits on size; a longer function or file hides two ideas.
const (
	maxFuncLines = 70
	maxFileLines = 600
)

type goFile struct {
	path, dir string
	test      bool
	lines     int
	fset      *token.FileSet
	ast       *ast.File
}

// sources parses every Go file of the module except testdata.
func sources(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != ".." && (name == "testdata" || strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, src, parser.ParseComments)
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(filepath.ToSlash(p), "../")
		files = append(files, goFile{path: rel, dir: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"),
			lines: strings.Count(string(src), "\n"), fset: fset, ast: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d Go files found: the walk looks at the wrong folder", len(files))
	}
	return files
}

// ruleFor finds the row of the import table for a folder: its own, or the pattern that fits.
func ruleFor(dir string) (string, bool) {
	if r, ok := may[dir]; ok {
		return r, true
	}
	for _, pattern := range sortedKeys(may) {
		if ok, err := path.Match(pattern, dir); err == nil && ok {
			return may[pattern], true
		}
	}
	return "", false
}

func allowed(rule, dep string) bool {
	if dep == "kit" {
		return true
	}
	for a := range strings.FieldsSeq(rule) {
		if a == dep {
			return true
		}
		if base, ok := strings.CutSuffix(a, "/..."); ok && (dep == base || strings.HasPrefix(dep, base+"/")) {
			return true
		}
	}
	return false
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// importFault says what is wrong with one import, or nothing.
func importFault(dir, imp string) string {
	if dep, ours := strings.CutPrefix(imp, "netsplit/"); ours {
		rule, known := ruleFor(dir)
		switch {
		case !known:
			return fmt.Sprintf("%s has no row in the import table of kit/arch_test.go", dir)
		case !allowed(rule, dep):
			return fmt.Sprintf("%s must not import %s", dir, dep)
		}
		return ""
	}
	for _, lib := range sortedKeys(doors) {
		if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !allowed(doors[lib], dir) {
			return fmt.Sprintf("%s must not import %s: its door is %q", dir, lib, doors[lib])
		}
	}
	return ""
}

func TestImportsFollowTheTable(t *testing.T) {
	for _, f := range sources(t) {
		if f.test {
			continue // tests may look sideways
		}
		for _, spec := range f.ast.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if fault := importFault(f.dir, imp); fault != "" {
				t.Errorf("%s: %s", f.path, fault)
			}
		}
	}
}

func TestImportFaultsAreFound(t *testing.T) {
	for _, c := range []struct{ dir, imp, want string }{
		{"kit/store", "netsplit/kit/node", "kit/store must not import kit/node"},
		{"kit/grade", "netsplit/kit/store", "kit/grade must not import kit/store"},
		{"kit/store", "go.etcd.io/bbolt", `kit/store must not import go.etcd.io/bbolt: its door is "kit/store/disk"`},
		{"kit/nowhere", "netsplit/kit/term", "kit/nowhere has no row in the import table of kit/arch_test.go"},
		{"kit/store", "netsplit/kit/store/lock", ""},
		{"solutions/some-lab", "netsplit/kit/cluster", "solutions/some-lab must not import kit/cluster"},
	} {
		if got := importFault(c.dir, c.imp); got != c.want {
			t.Errorf("%s importing %s: got %q, want %q", c.dir, c.imp, got, c.want)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, f := range sources(t) {
		if f.lines > maxFileLines {
			t.Errorf("%s has %d lines; at most %d", f.path, f.lines, maxFileLines)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
			if n > maxFuncLines {
				t.Errorf("%s: func %s has %d lines; at most %d", f.path, fn.Name.Name, n, maxFuncLines)
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s: no init functions; write the list out", f.path)
			}
		}
	}
}

func TestEveryPackageAndExportIsDocumented(t *testing.T) {
	comments := map[string][]string{}
	dirs := map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		dirs[f.dir] = true
		if f.ast.Doc != nil && !strings.HasPrefix(strings.TrimSpace(f.ast.Doc.Text()), "go:build") {
			comments[f.dir] = append(comments[f.dir], f.path)
		}
		switch f.ast.Name.Name {
		case "util", "utils", "common", "helpers", "misc":
			t.Errorf("%s: a package is named for what it gives, not %q", f.path, f.ast.Name.Name)
		}
		if f.ast.Name.Name == "main" || strings.HasPrefix(f.path, "labs/") {
			continue
		}
		for _, name := range undocumented(f.ast) {
			t.Errorf("%s: %s has no comment", f.path, name)
		}
	}
	for dir := range dirs {
		if n := len(comments[dir]); n != 1 {
			t.Errorf("%s: the package comment stands in %d files, want exactly one: %v", dir, n, comments[dir])
		}
	}
}

// undocumented lists the exported functions, methods of exported types, and types without a comment.
func undocumented(f *ast.File) []string {
	var names []string
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				ts, ok := s.(*ast.TypeSpec)
				if ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil && ts.Comment == nil {
					names = append(names, ts.Name.Name)
				}
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if idx, ok := typ.(*ast.IndexExpr); ok {
		typ = idx.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

func TestTopLevel(t *testing.T) {
	want := []string{".ci", "README.md", "cmd", "go.mod", "go.sum", "kit", "labs", "lessons", "site", "solutions"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n != ".git" && n != ".gitignore" && !slices.Contains(want, n) {
			t.Errorf("%s does not belong at the top level, which is %v", n, want)
		}
	}
}

// scriptRunners are the only files outside of kit/shell that run a script in their own process, which its author's memory
// and time are not bounded in: the shell of the person who typed it. Work to be graded goes through shell.RunIsolated.
var scriptRunners = map[string]string{"cmd/netsplit/sh.go": "New"}

func TestGradedScriptsRunApart(t *testing.T) {
	isolated := 0
	for _, f := range sources(t) {
		if f.test || f.dir == "kit/shell" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); !ok || pkg.Name != "shell" {
				return true
			}
			switch name := sel.Sel.Name; {
			case name == "RunIsolated":
				isolated++
			case (name == "New" || name == "RunFile") && scriptRunners[f.path] != name:
				t.Errorf("%s: shell.%s runs a script in this process; use shell.RunIsolated", f.fset.Position(n.Pos()), name)
			}
			return true
		})
	}
	if isolated != 1 {
		t.Errorf("shell.RunIsolated is called in %d places, not one", isolated)
	}
}
