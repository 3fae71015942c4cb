package bundle

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"netsplit/kit"
	"netsplit/kit/lab"
	"netsplit/labs"
	"netsplit/solutions"
)

// make3 makes the bundle of a real lab of each kind for a system.
func make3(t *testing.T, system string, seed uint64) map[lab.Kind]map[string]File {
	t.Helper()
	c, err := lab.Load(labs.FS, solutions.FS, labs.All())
	if err != nil {
		t.Fatal(err)
	}
	s, err := Find(system)
	if err != nil {
		t.Fatal(err)
	}
	out := map[lab.Kind]map[string]File{}
	for _, slug := range []string{"dirty-reads", "observe-system", "distributed-counter"} {
		l, err := c.Find(slug)
		if err != nil {
			t.Fatal(err)
		}
		files, err := s.Make(Spec{Lab: l, Seed: seed, Program: []byte("#!/bin/sh\n"), Version: "v"})
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]File{}
		for _, f := range files {
			if _, twice := byName[f.Name]; twice || !filepath.IsLocal(f.Name) || f.Mode != 0o644 && f.Mode != 0o755 {
				t.Errorf("%s: %s, mode %v", system, f.Name, f.Mode)
			}
			byName[f.Name] = f
		}
		out[l.Manifest.Kind] = byName
	}
	return out
}

// TestBundlesAreWhole: what each consumer looks for is there for a lab of each kind, filled in.
func TestBundlesAreWhole(t *testing.T) {
	for system, want := range map[string][]string{
		"gradescope":  {"setup.sh*", "run_autograder*", "netsplit*", "netsplit.conf", "grader.sh*", "README.md", "starter/README.md", "starter/.netsplit/lab.json"},
		"classroom50": {"autograders/LAB/autograder.py", "autograders/LAB/grade.sh*", "autograders/LAB/netsplit.gz*", "autograders/LAB/netsplit.conf", "runtime.json", "template/README.md", "README.md"},
		"github":      {"template/.github/workflows/grade.yml", "template/.netsplit/grader/grade.sh*", "template/.netsplit/grader/netsplit.gz*", "template/.netsplit/lab.json", "README.md"},
	} {
		for kind, files := range make3(t, system, 42) {
			slug := map[lab.Kind]string{lab.Script: "dirty-reads", lab.Answer: "observe-system", lab.Code: "distributed-counter"}[kind]
			for _, name := range want {
				name, runs := strings.CutSuffix(strings.ReplaceAll(name, "LAB", slug), "*")
				f, ok := files[name]
				if !ok || (f.Mode == 0o755) != runs {
					t.Errorf("%s %s: %s: there %v, mode %v", system, kind, name, ok, f.Mode)
				}
			}
			installs := false
			for name, f := range files {
				installs = installs || strings.HasSuffix(name, "get-go.sh")
				ours := !strings.HasPrefix(name, "template/") && !strings.HasPrefix(name, "starter/") || strings.Contains(name, "/.netsplit/grader/") || strings.Contains(name, ".github")
				if ours && (bytes.Contains(f.Data, []byte("[[.")) || bytes.Contains(f.Data, []byte("<no value>"))) {
					t.Errorf("%s %s: %s is not filled in", system, kind, name)
				}
				if strings.HasSuffix(name, "netsplit.conf") && !regexp.MustCompile(`(?m)^LAB=`+slug+`$`).Match(f.Data) || strings.HasSuffix(name, "netsplit.conf") && !regexp.MustCompile(`(?m)^SEED=42$`).Match(f.Data) {
					t.Errorf("%s", f.Data)
				}
			}
			if installs != (kind == lab.Code) {
				t.Errorf("%s %s: installs Go: %v", system, kind, installs)
			}
		}
	}
}

// TestShrinkIsAnOption: the scripts of a code lab's bundle pass on what its configuration says, and others know nothing of it.
func TestShrinkIsAnOption(t *testing.T) {
	c, err := lab.Load(labs.FS, solutions.FS, labs.All())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Systems() {
		for slug, want := range map[string]map[bool]string{"distributed-counter": {false: "\nSHRINK=yes\n", true: "\nSHRINK=no\n"}, "dirty-reads": {}} {
			for _, off := range []bool{false, true} {
				l, err := c.Find(slug)
				if err != nil {
					t.Fatal(err)
				}
				files, err := s.Make(Spec{Lab: l, Seed: 7, Program: []byte("x"), NoShrink: off})
				if err != nil {
					t.Fatal(err)
				}
				said, passed := "", 0
				for _, f := range files {
					if strings.HasSuffix(f.Name, "netsplit.conf") {
						said = string(f.Data)
					}
					if bytes.Contains(f.Data, []byte("\n[ \"$SHRINK\" != no ] || set -- \"$@\" --no-shrink\n")) {
						passed++
					}
				}
				if code := len(want) > 0; code != (passed == 1) || !strings.Contains(said, want[off]) || code != strings.Contains(said, "SHRINK") {
					t.Errorf("%s for %s, off %v: passed on by %d files, and the configuration says\n%s", slug, s.Name, off, passed, said)
				}
			}
		}
	}
}

func TestSeedIsThatOfTheStarterToo(t *testing.T) {
	var m lab.Marker
	if err := json.Unmarshal(make3(t, "gradescope", 77)[lab.Answer]["starter/.netsplit/lab.json"].Data, &m); err != nil || m.Seed != 77 {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestWorkflow reads the workflow as GitHub does, as far as it matters: it may read, and runs one pinned action.
func TestWorkflow(t *testing.T) {
	var w struct {
		Permissions map[string]string
		Jobs        map[string]struct {
			Timeout int `yaml:"timeout-minutes"`
			Steps   []struct {
				Uses, Run string
				With      map[string]any
			}
		}
	}
	src := make3(t, "github", 42)[lab.Code]["template/.github/workflows/grade.yml"].Data
	if err := yaml.Unmarshal(src, &w); err != nil {
		t.Fatal(err)
	}
	steps := w.Jobs["grade"].Steps
	if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" || w.Jobs["grade"].Timeout == 0 || len(steps) != 2 {
		t.Fatalf("%+v", w)
	}
	if !regexp.MustCompile(`^actions/checkout@[0-9a-f]{40}$`).MatchString(steps[0].Uses) || steps[0].With["persist-credentials"] != false {
		t.Errorf("%+v", steps[0])
	}
	if steps[1].Run != "sh .netsplit/grader/grade.sh github ." || regexp.MustCompile(`\$\{\{[^}]*(head|title|body|actor|event)`).Match(src) {
		t.Errorf("%+v", steps[1])
	}
}

func TestRuntimeIsJSON(t *testing.T) {
	for kind, files := range make3(t, "classroom50", 42) {
		var r map[string]string
		if err := json.Unmarshal(files["runtime.json"].Data, &r); err != nil || (r["go"] == GoVersion) != (kind == lab.Code) || r["runs-on"] == "" {
			t.Errorf("%s: %v, %v", kind, r, err)
		}
	}
}

// TestGoIsThatOfTheModule: the toolchain that bundles install compiles what this module's go.mod asks for.
func TestGoIsThatOfTheModule(t *testing.T) {
	src, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go 1\.(\d+)`).FindSubmatch(src)
	if m == nil || string(m[1]) != strconv.Itoa(MinGo) || !strings.HasPrefix(GoVersion, "1."+strconv.Itoa(MinGo)+".") {
		t.Errorf("go.mod says %q; bundles install %s and take 1.%d", m, GoVersion, MinGo)
	}
	if sum, err := hex.DecodeString(GoSHA256); err != nil || len(sum) != 32 {
		t.Errorf("%q is no SHA-256", GoSHA256)
	}
}

// TestGetGo plays the network with a curl of our own: what it gives is installed only with the right checksum, and
// nothing is fetched when there is a Go that will do.
func TestGetGo(t *testing.T) {
	for _, tool := range []string{"sh", "tar", "sha256sum", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not there", tool)
		}
	}
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files := make3(t, "gradescope", 42)[lab.Code]
	write("get-go.sh", string(files["get-go.sh"].Data))
	write("src/go/bin/go", "#!/bin/sh\n")
	archive := filepath.Join(dir, "go.tar.gz")
	if out, err := exec.Command("tar", "-C", filepath.Join(dir, "src"), "-czf", archive, "go").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	src, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(src)
	write("bin/curl", "#!/bin/sh\nwhile [ \"$1\" != --output ]; do shift; done\ncp "+archive+" \"$2\"\necho fetched \"$3\" >>"+dir+"/log\n")
	try := func(conf string, goVersion string) (string, error) {
		write("netsplit.conf", conf)
		write("bin/go", "#!/bin/sh\necho "+goVersion+"\n")
		if err := os.RemoveAll(filepath.Join(dir, "to")); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", filepath.Join(dir, "get-go.sh"), filepath.Join(dir, "to"))
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	installed := func() bool { _, err := os.Stat(filepath.Join(dir, "to/go/bin/go")); return err == nil }
	good := "GO_VERSION=1.26.8\nGO_SHA256=" + hex.EncodeToString(sum[:]) + "\n"
	if out, err := try(good, "go1.26.1"); err != nil || installed() {
		t.Errorf("with Go 1.26.1: %v, installed %v\n%s", err, installed(), out)
	}
	for _, old := range []string{"go1.25.9", "devel", ""} {
		if out, err := try(good, old); err != nil || !installed() {
			t.Errorf("with %q: %v\n%s", old, err, out)
		}
	}
	if out, err := try(string(files["netsplit.conf"].Data), "go1.25.9"); err == nil || installed() {
		t.Errorf("another archive was installed\n%s", out)
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	if got := strings.Count(string(log), "fetched https://go.dev/dl/go1.26.8.linux-amd64.tar.gz\n"); got != 4 {
		t.Errorf("fetched %d times\n%s", got, log)
	}
}

func TestZipKeepsModesAndIsTheSameTwice(t *testing.T) {
	files := []File{{"a/run", 0o755, []byte("x")}, {"b", 0o644, []byte("y")}}
	var one, two bytes.Buffer
	if err := Zip(&one, files); err != nil {
		t.Fatal(err)
	}
	if err := Zip(&two, files); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two zips of the same files differ", err)
	}
	z, err := zip.NewReader(bytes.NewReader(one.Bytes()), int64(one.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || f.Name != files[i].Name || f.Mode() != files[i].Mode || !bytes.Equal(got, files[i].Data) {
			t.Errorf("%s %v %q %v", f.Name, f.Mode(), got, err)
		}
	}
}

func TestWriteDirReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	files := []File{{"a/b", 0o755, []byte("x")}}
	if err := WriteDir(filepath.Join(dir, "new"), files); err != nil {
		t.Fatal(err)
	}
	if err := WriteDir(filepath.Join(dir, "new"), files); kit.KindOf(err) != kit.Exists {
		t.Errorf("%v", err)
	}
	if err := WriteDir(filepath.Join(dir, "new/a/b"), files); kit.KindOf(err) != kit.Refused {
		t.Errorf("%v", err)
	}
}

func TestUnfit(t *testing.T) {
	if why := Unfit([]byte("#!/bin/sh\n")); why == "" {
		t.Error("a script is no program for Linux")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	why := Unfit(src)
	if bytes.HasPrefix(src, []byte("\x7fELF")) && bytes.Contains(src[:4096], []byte("/ld-linux")) != strings.Contains(why, "libraries") {
		t.Errorf("%q", why)
	}
}
