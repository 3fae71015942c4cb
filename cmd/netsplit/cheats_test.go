package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"netsplit/kit/grade"
	"netsplit/kit/lab"
)

// What grading one cheat may take at most: bytes of the grader itself and of the largest process that it starts, which is
// the compiler with 640 MiB of data and the files that it maps; processor time; and time on a machine that does other things, too.
const (
	cheatMemory = 768 << 20
	toolMemory  = 1280 << 20
	cheatCPU    = 75 * time.Second
	cheatTime   = 8 * time.Minute
	// scriptMemory is what the grader itself may have where it runs nothing: a script is in a child.
	scriptMemory = 96 << 20
)

// suits reports whether a cheat is tried on a lab: the one that it names, or "every code lab", "every script lab".
func (c *cheat) suits(l *lab.Lab) bool {
	return c.lab == l.Slug || c.lab == "every "+string(l.Manifest.Kind)+" lab"
}

// cheat is one hostile submission, a file of testdata/cheats. Its README.md says what the fields mean.
type cheat struct {
	name, about string
	lab, with   string
	task        string
	verdict     grade.Verdict
	says        *regexp.Regexp
	slow        string
	explained   bool // the shortest run that shows it is looked for, as for anybody's work
	make        [][]string
	files       []txtar.File
}

// readCheat reads a cheat: comment lines that begin with #, "field: value" lines, then its files.
func readCheat(file string) (*cheat, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	a := txtar.Parse(src)
	c := &cheat{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), verdict: grade.Fail, files: a.Files}
	for line := range strings.Lines(string(a.Comment)) {
		line = strings.TrimSpace(line)
		if about, ok := strings.CutPrefix(line, "#"); ok {
			c.about = strings.TrimSpace(c.about + about)
			continue
		}
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "":
		case "lab":
			c.lab = value
		case "with":
			c.with = value
		case "explained":
			c.explained = value == "yes"
		case "task":
			c.task = value
		case "verdict":
			c.verdict = grade.Verdict(value)
		case "says":
			c.says, err = regexp.Compile("(?s)" + value)
		case "slow":
			c.slow = value
		case "make":
			var words []string
			words, err = splitWords(value)
			c.make = append(c.make, words)
		default:
			err = fmt.Errorf("%s: unknown field %q", file, field)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if c.about == "" || c.lab == "" || c.says == nil {
		return nil, fmt.Errorf("%s: it needs a comment, lab and says", file)
	}
	return c, nil
}

// splitWords splits at spaces; words in quotes are Go strings.
func splitWords(s string) (words []string, err error) {
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		word, rest, _ := strings.Cut(s, " ")
		if s[0] == '"' {
			if word, err = strconv.QuotedPrefix(s); err != nil {
				return nil, err
			}
			rest = s[len(word):]
			if word, err = strconv.Unquote(word); err != nil {
				return nil, err
			}
		}
		words, s = append(words, word), rest
	}
	return words, nil
}

// unpack writes the workspace that the cheat hands in.
func (c *cheat) unpack(t *testing.T, l *lab.Lab, dir string) {
	t.Helper()
	files := map[string]string{".netsplit/lab.json": fmt.Sprintf(`{"lab": %q, "seed": 7}`, l.Slug)}
	if c.with == "starter" || c.with == "solution" {
		sub, err := l.Unsolved()
		if c.with == "solution" {
			sub, err = l.Reference()
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []map[string][]byte{sub.Files, sub.Tests} {
			for name, text := range part {
				files[name] = string(text)
			}
		}
	}
	for _, f := range c.files {
		files[f.Name] = string(f.Data)
	}
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	for _, words := range c.make {
		if err := doMake(t, dir, words); err != nil {
			t.Fatal(words, err)
		}
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// doMake makes what a text archive cannot hold.
func doMake(t *testing.T, dir string, words []string) error {
	arg := func(i int) string { return words[min(i, len(words)-1)] }
	number := func(i int) int { n, _ := strconv.Atoi(arg(i)); return n }
	at := filepath.Join(dir, arg(1))
	switch arg(0) {
	case "link": // NAME TARGET
		return os.Symlink(arg(2), at)
	case "fifo": // NAME
		return errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.RemoveAll(at), syscall.Mkfifo(at, 0o600))
	case "remove": // NAME
		return os.Remove(at)
	case "write": // NAME TEXT
		writeFile(t, at, arg(2))
	case "fill": // NAME BYTES TEXT: append the text until there are so many bytes
		old, err := os.ReadFile(at)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		writeFile(t, at, string(old)+strings.Repeat(arg(3), number(2)/len(arg(3))))
	case "many": // COUNT PATTERN: so many empty files
		for i := range number(1) {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf(arg(2), i)), nil, 0o644); err != nil {
				return err
			}
		}
	case "grow": // NAME: append without end, as long as the test runs
		grow(t, at)
	default:
		return errors.New("no such word")
	}
	return nil
}

func grow(t *testing.T, name string) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var growing sync.WaitGroup
	growing.Go(func() {
		const most = 256 << 20 // of the disc
		more := bytes.Repeat([]byte("x = 1\n"), 10_000)
		for n := 0; n < most && ctx.Err() == nil; n += len(more) {
			if _, err := f.Write(more); err != nil {
				return
			}
		}
		<-ctx.Done()
	})
	t.Cleanup(func() { stop(); growing.Wait(); f.Close() })
}

// graded is what became of a cheat.
type graded struct {
	cheat, lab, reason string
	took, cpu          time.Duration
	own, largest       int64 // bytes at most: of the grader itself, of its largest process
}

// TestCheats hands in testdata/cheats, one after the other, to the program that users have. Each must get no point, and a
// reason; the grader must hold within its bounds and let nothing through to whoever reads its output.
func TestCheats(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a minute and more")
	}
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "cheats", "*.txtar"))
	if err != nil || len(files) < 28 {
		t.Fatalf("%d cheats, %v", len(files), err)
	}
	labs, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	program := buildProgram(t)
	var mu sync.Mutex
	var table []graded
	t.Run("graded", func(t *testing.T) {
		for _, file := range files {
			c, err := readCheat(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range labs.All() {
				if !c.suits(l) {
					continue
				}
				t.Run(c.name+"/"+l.Slug, func(t *testing.T) {
					if c.slow != "" && os.Getenv("NETSPLIT_CHEATS") != "all" {
						t.Skip("NETSPLIT_CHEATS=all runs it: " + c.slow)
					}
					t.Parallel()
					g := c.try(t, program, l)
					mu.Lock()
					defer mu.Unlock()
					table = append(table, g)
				})
			}
		}
	})
	slices.SortFunc(table, func(a, b graded) int { return cmp.Or(cmp.Compare(a.cheat, b.cheat), cmp.Compare(a.lab, b.lab)) })
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s %-20s %6s %6s %6s %7s  %s\n", "CHEAT", "LAB", "S", "CPU S", "MB", "MB MOST", "REASON")
	for _, g := range table {
		fmt.Fprintf(&b, "%-32s %-20s %6.1f %6.1f %6d %7d  %s\n", g.cheat, g.lab, g.took.Seconds(), g.cpu.Seconds(), g.own>>20, g.largest>>20, g.reason)
	}
	t.Log("\n" + b.String())
	if name := os.Getenv("NETSPLIT_CHEATS_TABLE"); name != "" {
		writeFile(t, name, b.String())
	}
}

// try has a cheat graded and looks at everything that it may have touched.
func (c *cheat) try(t *testing.T, program string, l *lab.Lab) graded {
	dir := t.TempDir()
	work, result := filepath.Join(dir, "work"), filepath.Join(dir, "result.json")
	c.unpack(t, l, work)
	ci := map[string]string{}
	for _, name := range []string{"GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_OUTPUT"} {
		ci[name] = filepath.Join(dir, name)
		writeFile(t, ci[name], "")
	}
	ctx, cancel := context.WithTimeout(t.Context(), cheatTime)
	defer cancel()
	args := []string{"grade", work, "--seed", "7", "--seeds", "1", "--format", "json", "--out", result}
	if !c.explained {
		args = append(args, "--no-shrink")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NETSPLIT_HOME="+filepath.Join(dir, "home"), "NETSPLIT_SECRET=visible", "GOFLAGS=-trimpath", "GOPROXY=off")
	for name, file := range ci {
		cmd.Env = append(cmd.Env, name+"="+file)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	g := graded{cheat: c.name, lab: l.Slug, took: time.Since(began), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), own: peak()}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		g.largest = u.Maxrss << 10
	}
	if ctx.Err() != nil {
		t.Fatalf("the grader hung for %v: %v\n%s", cheatTime, err, out.String())
	}
	if got := cmd.ProcessState.ExitCode(); got != c.status() {
		t.Errorf("the grader ended with the status %d, want %d", got, c.status())
	}
	g.reason = c.judge(t, result, out.String())
	if l.Manifest.Kind != lab.Code && g.own > scriptMemory {
		t.Errorf("the grader itself had %d MiB: was the script run in it?", g.own>>20)
	}
	if g.own > cheatMemory || g.largest > toolMemory {
		t.Errorf("the grader had %d MiB, its largest process %d", g.own>>20, g.largest>>20)
	}
	if g.cpu > cheatCPU {
		t.Errorf("the grader computed for %v", g.cpu)
	}
	for name, file := range ci {
		if b, err := os.ReadFile(file); err != nil || len(b) > 0 {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	return g
}

func (c *cheat) status() int {
	if c.task != "" {
		return grade.ExitFail
	}
	return c.verdict.ExitCode()
}

// judge reads the result as a course would, and gives the reason that it states.
func (c *cheat) judge(t *testing.T, file, text string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("no result: %v\n%s", err, text)
		return ""
	}
	r, err := grade.ReadJSON(bytes.NewReader(b))
	if err != nil {
		t.Errorf("%v\n%s", err, b)
		return ""
	}
	if want := isolationOf(r); r.Isolation != want {
		t.Errorf("the isolation is %q, not %q", r.Isolation, want)
	}
	score, verdict, reason := r.Score, r.Verdict, cmp.Or(r.Problem, r.Stopped)
	for _, task := range r.Tasks {
		if task.Name == c.task {
			score, verdict, reason = task.Score, task.Verdict, task.Why
		}
		if reason == "" && task.Verdict != grade.Pass {
			reason = task.Why
		}
	}
	if score != 0 || verdict != c.verdict {
		t.Errorf("%s, %d points, want %s, 0\n%s", verdict, score, c.verdict, text)
	}
	if !c.says.MatchString(text) {
		t.Errorf("the text lacks %q:\n%s", c.says, text)
	}
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "::") || strings.HasPrefix(line, "##[") || strings.ContainsAny(line, "\x1b\a\r\u202e") {
			t.Errorf("line %d of the text could act on who reads it: %q", i+1, line)
		}
	}
	if len(text) > 256<<10 || len(b) > 4<<20 {
		t.Errorf("%d bytes of text, %d of result", len(text), len(b))
	}
	reason, _, _ = strings.Cut(reason, "\n")
	return reason[:min(len(reason), 110)]
}

// isolationOf gives the words in which a result must say what stood between the submission and this machine.
func isolationOf(r *grade.Result) string {
	const cluster = "a fresh cluster of node processes on this machine; "
	switch {
	case r.Kind == string(lab.Code):
		return "WebAssembly sandbox: no files, no network, no clock and no environment of this machine; compiled by its Go toolchain, which runs nothing of yours"
	case len(r.Runs) == 0:
		return cluster + "the script apart: not run"
	case runtime.GOOS != "linux":
		return cluster + "the script apart: child process, at most about 384 MiB (watched), has no environment"
	}
	return cluster + "the script apart: child process, at most 384 MiB (RLIMIT_DATA) and 30s of processor time (RLIMIT_CPU), writes no file (RLIMIT_FSIZE), has no environment"
}

// watchPeak follows the memory of a process; the function gives the most that it had, 0 where that is not told.
func watchPeak(pid int) func() int64 {
	var most int64
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
				if _, rest, ok := strings.Cut(string(b), "VmHWM:"); ok {
					kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
					most = max(most, kb<<10)
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() int64 { stop(); done.Wait(); return most }
}
