//go:build unix

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// place is a folder that every user may enter, with this test program in it under the name that makes it netsplit.
func place(t *testing.T) (dir, program string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: bundles are run as their consumers do")
	}
	for _, tool := range []string{"sh", "timeout", "gzip", "mktemp", "od"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not there", tool)
		}
	}
	dir, err := os.MkdirTemp("", "netsplit-bundle-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Executable()
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "netsplit")
	if os.Link(self, program) != nil {
		src, err := os.ReadFile(self)
		if err == nil {
			err = os.WriteFile(program, src, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// The bundle carries a script instead of a program of a hundred megabytes; it starts the real one.
	write(t, filepath.Join(dir, "stub"), "#!/bin/sh\nGORACE="+raceEnv+" exec "+program+" \"$@\"\n")
	return dir, program
}

func write(t *testing.T, name, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}

// export writes the bundle of dirty-reads into a folder.
func export(t *testing.T, dir, system string) string {
	t.Helper()
	out := filepath.Join(dir, system)
	cmd := exec.Command(filepath.Join(dir, "netsplit"), "export", system, "dirty-reads", "--seed", "5", "--binary", filepath.Join(dir, "stub"), "--out", out)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return out
}

// hostileStar prints what a job's runner, a page or a terminal might obey, and a line of 10 MB.
const hostileStar = `print("::error::forged\n::set-output name=grade::100\n##[error]old\n::stop-commands::x\n\x1b[2J<script>alert(1)</script>")
print("x" * (10 << 20))
fail("::error title=a::b\n::add-mask::y")
`

// solutionStar is work with full marks.
func solutionStar(t *testing.T) string { return readFile(t, "../../solutions/dirty-reads/run.star") }

// gradescopeResults reads results.json as Gradescope documents it.
func gradescopeResults(t *testing.T, name string) (score float64, output string, tests int) {
	t.Helper()
	var r struct {
		Score      *float64
		Output     string
		Visibility string
		Stdout     string `json:"stdout_visibility"`
		Format     string `json:"output_format"`
		Tests      []struct {
			Score            float64
			Max              float64 `json:"max_score"`
			Status, Name     string
			Output           string
			Format           string `json:"output_format"`
			Visibility, Numb string
		}
	}
	src := readFile(t, name)
	if err := json.Unmarshal([]byte(src), &r); err != nil || r.Score == nil || len(src) > 4<<20 {
		t.Fatalf("%v, %d bytes: %.500s", err, len(src), src)
	}
	if r.Visibility != "visible" || r.Stdout != "hidden" || r.Format != "text" {
		t.Errorf("%.300s", src)
	}
	for _, test := range r.Tests {
		if test.Score < 0 || test.Score > test.Max || !slices.Contains([]string{"passed", "failed"}, test.Status) || test.Name == "" || test.Format != "text" {
			t.Errorf("%+v", test)
		}
	}
	return *r.Score, r.Output, len(r.Tests)
}

func TestGradescopeBundle(t *testing.T) {
	dir, _ := place(t)
	root := filepath.Join(dir, "autograder")
	if err := os.MkdirAll(filepath.Join(root, "submission"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(export(t, dir, "gradescope"), filepath.Join(root, "source")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NETSPLIT_AUTOGRADER", root)
	if out, err := exec.Command("sh", filepath.Join(root, "source/setup.sh")).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("dirty-reads: PASS")) {
		t.Fatalf("setup.sh: %v\n%s", err, out)
	}
	gradescopeUnbuilt(t, root)
	results, handedIn := filepath.Join(root, "results/results.json"), filepath.Join(root, "submission/run.star")
	run := func() string {
		out, err := exec.Command(filepath.Join(root, "source/run_autograder")).CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return string(out)
	}
	write(t, handedIn, solutionStar(t))
	out := run()
	if score, said, tests := gradescopeResults(t, results); score != 100 || tests != 3 || !strings.Contains(said, "seed 5") {
		t.Errorf("the solution has %v points in %d tests: %s\n%s", score, tests, said, out)
	}
	write(t, handedIn, hostileStar)
	run()
	if score, said, tests := gradescopeResults(t, results); score != 0 || tests != 3 || !strings.Contains(said, "stopped early") || strings.Contains(said, "\x1b") {
		t.Errorf("the hostile one has %v points in %d tests: %.300s", score, tests, said)
	}
	// From here on what runs is no netsplit: whatever it does, there is a result that says that nothing was graded.
	for _, c := range []struct{ name, does, want string }{
		{"nothing handed in", "", "cannot be read"},
		{"panics", "exit 2", "status 2"},
		{"is killed", "kill -9 $$", "too much memory"},
		{"hangs", "exec sleep 60", "longer than 1 seconds"},
		{"says pass and writes nothing", "exit 0", "left no result"},
		{"links its result", "while [ $1 != --out ]; do shift; done; ln -s /etc/passwd \"$2\"", "left no result"},
		{"fills its result", "while [ $1 != --out ]; do shift; done; mkdir \"$2\"", "left no result"},
	} {
		if c.does == "" {
			if err := os.Remove(handedIn); err != nil {
				t.Fatal(err)
			}
		} else {
			write(t, filepath.Join(root, "netsplit/netsplit"), "#!/bin/sh\n"+c.does+"\n")
		}
		if c.name == "hangs" {
			conf := filepath.Join(root, "source/netsplit.conf")
			write(t, conf, strings.Replace(readFile(t, conf), "TIMEOUT=540", "TIMEOUT=1", 1))
		}
		write(t, results, `{"score": 100, "tests": []}`) // of an earlier run
		out := run()
		if score, said, tests := gradescopeResults(t, results); score != 0 || tests != 0 || !strings.Contains(said, "Nothing was graded: ") || !strings.Contains(said, c.want) {
			t.Errorf("%s: %v points, %s\n%s", c.name, score, said, out)
		}
	}
	gradescopeKilled(t, root, results)
	gradescopeApart(t, root)
}

// gradescopeUnbuilt builds images with graders that are none: whatever status they end with, the build must fail.
func gradescopeUnbuilt(t *testing.T, root string) {
	t.Helper()
	source, home := filepath.Join(root, "source/netsplit"), filepath.Join(root, "netsplit")
	good := readFile(t, source)
	for _, status := range []string{"0", "2", "3"} {
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
		}
		write(t, source, "#!/bin/sh\nexit "+status+"\n")
		if out, err := exec.Command("sh", filepath.Join(root, "source/setup.sh")).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("netsplit does not work in this image")) {
			t.Errorf("setup.sh with a grader that ends with %s and writes nothing: %v\n%s", status, err, out)
		}
	}
	write(t, source, good)
	if out, err := exec.Command("sh", filepath.Join(root, "source/setup.sh")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// gradescopeKilled ends the autograder itself while it grades.
func gradescopeKilled(t *testing.T, root, results string) {
	conf := filepath.Join(root, "source/netsplit.conf")
	write(t, conf, strings.Replace(readFile(t, conf), "TIMEOUT=1\n", "TIMEOUT=30\n", 1))
	write(t, filepath.Join(root, "netsplit/netsplit"), "#!/bin/sh\necho ready >&2\nexec sleep 30\n")
	for sig, want := range map[syscall.Signal]string{syscall.SIGKILL: "was stopped before it had a result", syscall.SIGTERM: "was told to stop"} {
		cmd := exec.Command(filepath.Join(root, "source/run_autograder"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		said, err := cmd.StderrPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := said.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		_ = cmd.Process.Signal(sig)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Errorf("%v does not end it", sig)
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // timeout has a group of its own; its child is a sleep that ends
		if score, said, _ := gradescopeResults(t, results); score != 0 || !strings.Contains(said, want) {
			t.Errorf("%v: %v points, %s", sig, score, said)
		}
	}
}

// gradescopeApart looks from where the grader stands: it is no root, and sees neither the bundle nor the results.
func gradescopeApart(t *testing.T, root string) {
	if os.Getuid() != 0 {
		t.Log("not root: that the grader runs as another user is not tried")
		return
	}
	seen := filepath.Join(root, "seen")
	write(t, seen, "")
	if err := os.Chmod(seen, 0o666); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "netsplit/netsplit"), fmt.Sprintf("#!/bin/sh\n{ id -u; cat %s/source/netsplit.conf %s/results/results.json; env; } >%s 2>&1\nexit 3\n", root, root, seen))
	t.Setenv("A_SECRET", "shown")
	if out, err := exec.Command(filepath.Join(root, "source/run_autograder")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if got := readFile(t, seen); strings.Count(got, "ermission denied") != 2 || strings.HasPrefix(got, "0\n") || strings.Contains(got, "LAB=") || strings.Contains(got, "A_SECRET") {
		t.Errorf("the grader sees %s", got)
	}
}

// command is a workflow command that GitHub's runner would obey in a step's output.
var command = regexp.MustCompile(`(?m)^\s*::([a-z-]+)[^:\n]*::|##\[([a-z-]+)`)

// obeyed lists the commands in a step's output by name, as the runner reads them: none between stop-commands and its token.
func obeyed(t *testing.T, out string) []string {
	t.Helper()
	var names []string
	token := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		switch {
		case token != "":
			if line == "::"+token+"::" {
				token = ""
			}
		case strings.HasPrefix(line, "::stop-commands::"):
			token = strings.TrimPrefix(line, "::stop-commands::")
			if len(token) != 32 {
				t.Errorf("token %q can be guessed", token)
			}
		default:
			if m := command.FindStringSubmatch(line); m != nil {
				names = append(names, m[1]+m[2])
			} else if line != "" {
				t.Errorf("the step also prints %.200q", line)
			}
		}
	}
	if token != "" {
		t.Error("commands stay stopped")
	}
	return names
}

func TestGithubBundle(t *testing.T) {
	dir, _ := place(t)
	repo := filepath.Join(export(t, dir, "github"), "template")
	summary := filepath.Join(dir, "summary.md")
	step := func() (int, string) {
		write(t, summary, "before\n")
		// As the workflow's step has it.
		cmd := exec.Command("sh", "-e", "-c", "sh .netsplit/grader/grade.sh github .")
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "GITHUB_STEP_SUMMARY="+summary, "GITHUB_ENV="+dir+"/env", "GITHUB_OUTPUT="+dir+"/output", "GITHUB_ACTIONS=true")
		out, err := cmd.Output()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	write(t, filepath.Join(repo, "run.star"), solutionStar(t))
	if code, out := step(); code != 0 || !slices.Equal(obeyed(t, out), []string{"notice"}) {
		t.Errorf("the solution: status %d\n%s", code, out)
	}
	if got := readFile(t, summary); !strings.HasPrefix(got, "before\n## ✓ <code>dirty-reads</code>: pass, 100 of 100 points\n") {
		t.Errorf("summary %.300s", got)
	}
	write(t, filepath.Join(repo, "run.star"), hostileStar)
	if code, out := step(); code != 1 || slices.ContainsFunc(obeyed(t, out), func(name string) bool { return !slices.Contains([]string{"error", "notice"}, name) }) || len(out) > 64<<10 {
		t.Errorf("the hostile one: status %d\n%.2000s", code, out)
	}
	if got := readFile(t, summary); len(got) > 1<<20 || strings.Contains(got, "<script>") {
		t.Errorf("summary of %d bytes", len(got))
	}
	for does, want := range map[string]string{
		"echo ::error::forged; echo ::set-output name=x::y >&2; exit 2": "it left no result",
		"echo ::set-env name=A::b >&2; exit 3":                          "it ended with status 3",
		"test -z \"$GITHUB_ENV$GITHUB_STEP_SUMMARY\" && exit 42":        "it ended with status 42",
	} {
		pack(t, filepath.Join(repo, ".netsplit/grader/netsplit.gz"), "#!/bin/sh\n"+does+"\n")
		code, out := step()
		_, tail, _ := strings.Cut(out, "\n::error title=netsplit::")
		if code != 3 || !strings.Contains(tail, want) {
			t.Errorf("%s: status %d\n%s", does, code, out)
		}
	}
	for _, name := range []string{"env", "output"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("something wrote the job's %s", name)
		}
	}
}

func pack(t *testing.T, name, text string) {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, b.String())
}

func TestClassroom50Bundle(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not there")
	}
	dir, _ := place(t)
	out := export(t, dir, "classroom50")
	repo := filepath.Join(out, "template")
	victim := filepath.Join(dir, "victim")
	grader := filepath.Join(out, "autograders/dirty-reads")
	run := func() (int, string) {
		write(t, victim, "mine")
		_ = os.Remove(filepath.Join(repo, "result.json"))
		if err := os.Symlink(victim, filepath.Join(repo, "result.json")); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(python, filepath.Join(grader, "autograder.py"))
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "CLASSROOM=cs", "ASSIGNMENT=dirty-reads", "ASSIGNMENT_TYPE=individual", "OWNER=ada", "USERNAME=ada",
			"SUBMISSION_TAG=submit/2026-06-01T14-32-05Z-a1b2c3d", "COMMIT_URL=https://example.org/c", "RELEASE_URL=https://example.org/r",
			"REVIEW_URL=https://example.org/v", "GITHUB_OUTPUT="+dir+"/output")
		said, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if readFile(t, victim) != "mine" {
			t.Error("result.json was written through a link of the student's")
		}
		return cmd.ProcessState.ExitCode(), string(said)
	}
	for work, want := range map[string]int{solutionStar(t): 100, hostileStar: 0} {
		write(t, filepath.Join(repo, "run.star"), work)
		code, said := run()
		var r struct {
			Schema, Classroom, Owner, Submission string
			Score                                *int
			Max                                  int `json:"max-score"`
			Tests                                []struct {
				Name   string `json:"test-name"`
				Passed bool
				Score  int
			}
		}
		if err := json.Unmarshal([]byte(readFile(t, filepath.Join(repo, "result.json"))), &r); err != nil || code != 0 {
			t.Fatalf("status %d, %v\n%s", code, err, said)
		}
		sum := 0
		for _, test := range r.Tests {
			sum += test.Score
		}
		if r.Schema != "classroom50/result/v1" || r.Classroom != "cs" || r.Owner != "ada" || r.Score == nil || *r.Score != want || sum != want || r.Max != 100 {
			t.Errorf("%+v", r)
		}
		if names := obeyedAnyway(t, said); len(names) > 0 {
			t.Errorf("the runner obeys %q", names)
		}
	}
	pack(t, filepath.Join(grader, "netsplit.gz"), "#!/bin/sh\nexit 2\n")
	if code, said := run(); code != 3 {
		t.Errorf("a grader that panics: status %d\n%s", code, said)
	}
}

// obeyedAnyway is obeyed for a step that may print text.
func obeyedAnyway(t *testing.T, out string) []string {
	t.Helper()
	var kept []string
	stopped := regexp.MustCompile(`(?s)::stop-commands::([0-9a-f]{32})\n.*?\n::([0-9a-f]{32})::\n`)
	for _, m := range command.FindAllStringSubmatch(stopped.ReplaceAllString(out, ""), -1) {
		kept = append(kept, m[0])
	}
	return kept
}
