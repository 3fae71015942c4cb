package source

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestModuleFilesAreTheRoots(t *testing.T) {
	for _, c := range []struct{ name, have string }{{"go.mod", goMod}, {"go.sum", goSum}} {
		want, err := os.ReadFile(filepath.Join("..", "..", c.name))
		if err != nil {
			t.Fatal(err)
		}
		if c.have != string(want) {
			t.Errorf("kit/source/%s.txt is not the root's %s: cp %s kit/source/%s.txt", c.name, c.name, c.name, c.name)
		}
	}
}

// pkg is what "go list" says of a package.
type pkg struct {
	ImportPath string
	GoFiles    []string
	EmbedFiles []string
	Dir        string
}

func list(t *testing.T, env []string, patterns ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,GoFiles,EmbedFiles,Dir"}, patterns...)...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestKitIsWhole compares the tree with what kit/node is built from, on this machine and in the simulator.
func TestKitIsWhole(t *testing.T) {
	tree, err := Kit()
	if err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{"kit": true}
	for _, env := range [][]string{nil, {"GOOS=wasip1", "GOARCH=wasm"}, {"GOOS=windows"}, {"GOOS=darwin"}} {
		for _, p := range list(t, env, "./kit/node") {
			dir, ours := strings.CutPrefix(p.ImportPath, "netsplit/")
			if !ours {
				continue
			}
			needed[dir] = true
			for _, f := range append(p.GoFiles, p.EmbedFiles...) {
				want, err := os.ReadFile(filepath.Join(p.Dir, f))
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(f, "_test.go") {
					continue
				}
				if got, ok := tree[path.Join(dir, f)]; !ok {
					t.Errorf("%v: %s is not carried: name it in the go:embed of %s/sources.go, and its package in packages()", env, path.Join(dir, f), dir)
				} else if string(got) != string(want) {
					t.Errorf("%s differs from its source", path.Join(dir, f))
				}
			}
		}
	}
	for dir := range packages() {
		if !needed[dir] {
			t.Errorf("%s is carried and kit/node does not need it", dir)
		}
	}
}

func TestModuleLooksNothingUp(t *testing.T) {
	mod, sum := Module("some-lab", ".netsplit/kit")
	for _, want := range []string{"module some-lab\n", "replace netsplit => ./.netsplit/kit\n", "require netsplit v0.0.0\n"} {
		if !strings.Contains(string(mod), want) {
			t.Errorf("go.mod lacks %q:\n%s", want, mod)
		}
	}
	for _, gone := range []string{"tool ", "module netsplit"} {
		if strings.Contains(string(mod), "\n"+gone) {
			t.Errorf("go.mod still has %q", gone)
		}
	}
	if len(sum) == 0 {
		t.Error("go.sum is empty")
	}
}

func TestPathsAreQuoted(t *testing.T) {
	mod, _ := Module("some-lab", "/home/some one/kit")
	if !strings.Contains(string(mod), `replace netsplit => "/home/some one/kit"`) {
		t.Errorf("%s", mod)
	}
}
