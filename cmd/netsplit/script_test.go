package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"netsplit/kit/cluster"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts")

// raceEnv keeps programs that the race detector watches from sleeping for a second before each exit, as they do by default.
// What it finds it tells at once.
const raceEnv = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	_ = os.Setenv("GORACE", raceEnv)
	testscript.Main(withProgram{m}, map[string]func(){"netsplit": main})
}

// withProgram runs the tests with a folder for the program that buildProgram makes.
type withProgram struct{ *testing.M }

func (m withProgram) Run() int {
	dir, err := os.MkdirTemp("", "netsplit-program-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program.dir = dir
	return m.M.Run()
}

// program is netsplit as users have it: without the race detector, under which the simulator crawls and the script child's
// memory is only watched. It is built for the first test that asks.
var program struct {
	sync.Once
	dir, failed string
}

func buildProgram(t *testing.T) string {
	t.Helper()
	file := filepath.Join(program.dir, "netsplit")
	program.Do(func() {
		if out, err := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-o", file, ".").CombinedOutput(); err != nil {
			program.failed = fmt.Sprintf("%v\n%s", err, out)
		}
	})
	if program.failed != "" {
		t.Fatal(program.failed)
	}
	return file
}

// simulated are the scripts that grade programs. They use the program as users have it: under the race detector making machine
// code takes ten times as long, and what runs there is tested under it in kit/sim and kit/lab.
var simulated = []string{"grade-all", "replay-look", "way-distributed-counter", "way-serialized-writer", "way-transaction-history", "way-two-phase-commit"}

// TestScripts plays testdata/script/*.txtar with the real program. Each script has a state folder of its own and
// must end what it started: a process that is left fails it.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, ".home")
			env.Setenv("NETSPLIT_HOME", home)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("GORACE", raceEnv)
			repo, err := filepath.Abs("../..")
			if err != nil {
				return err
			}
			env.Setenv("REPO", repo)
			if slices.Contains(simulated, strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")) {
				env.Setenv("PATH", filepath.Dir(buildProgram(t))+string(filepath.ListSeparator)+env.Getenv("PATH"))
			}
			if cache, err := os.UserCacheDir(); err == nil {
				env.Setenv("MACHINE_CODE", cache)
			}
			if err := goEnv(env); err != nil {
				return err
			}
			env.Defer(func() {
				labs, err := cluster.List(home)
				if err != nil {
					t.Error(err)
				}
				for _, l := range labs {
					if _, err := cluster.Down(home, l.Name); err != nil {
						t.Error(err)
					}
				}
				for _, pid := range nodesOf(home) {
					t.Errorf("process %d of %s is left", pid, home)
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			})
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"nodes-left": nodesLeft,
			"kill-nodes": killNodes,
			"eventually": eventually,
			"status":     status,
		},
	})
}

// goEnv lets a script compile with the caches of whoever runs the tests, without a network.
func goEnv(env *testscript.Env) error {
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		return err
	}
	dirs := strings.Fields(string(out))
	if len(dirs) != 2 {
		return fmt.Errorf("go env says %q", out)
	}
	env.Setenv("GOCACHE", dirs[0])
	env.Setenv("GOMODCACHE", dirs[1])
	env.Setenv("GOPROXY", "off")
	env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, ".cache"))
	return nil
}

// nodesLeft (nodes-left N) checks how many node processes of the script run.
func nodesLeft(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(strings.Join(args, ""))
	if neg || err != nil {
		ts.Fatalf("usage: nodes-left N")
	}
	if got := nodesOf(ts.Getenv("NETSPLIT_HOME")); len(got) != want {
		ts.Fatalf("%d node processes are running, want %d: %v", len(got), want, got)
	}
}

// killNodes (kill-nodes) kills every node process of the script behind its lab's back.
func killNodes(ts *testscript.TestScript, neg bool, args []string) {
	home := ts.Getenv("NETSPLIT_HOME")
	for _, pid := range nodesOf(home) {
		ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		labs, err := cluster.List(home)
		ts.Check(err)
		if !slices.ContainsFunc(labs, func(l cluster.Lab) bool { return !l.Stale }) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("processes outlive SIGKILL")
		}
	}
}

// eventually (eventually PATTERN COMMAND...) repeats a netsplit command until its output contains the pattern.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: eventually TEXT COMMAND...")
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if strings.Contains(out, args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q did not appear in 10 s; at last: %v\n%s", args[0], err, out)
		}
	}
}

// status (status N COMMAND...) runs a command that must end with that exit status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: status N COMMAND...")
	}
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// nodesOf finds the node processes that were started with a state folder; it needs Linux's /proc, and finds none
// elsewhere.
func nodesOf(home string) []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil || !bytes.Contains(append([]byte{0}, env...), []byte("\x00NETSPLIT_NODE="+home)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
