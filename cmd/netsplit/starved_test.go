package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"netsplit/kit/grade"
)

// TestStarvedGraderSaysTheSame grades programs of all kinds twice, once with the grader stopped three quarters of the time. A
// run in the simulator counts steps and virtual time, so that the verdicts, the reasons and the event logs are the same;
// the result owns up to the lag. How far a search for shorter runs comes is a matter of time, so none is made.
func TestStarvedGraderSaysTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: compiles and grades programs")
	}
	t.Parallel()
	program := buildProgram(t)
	labs, err := catalog()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cheatAt := func(name, slug string) string {
		c, err := readCheat(filepath.Join("testdata", "cheats", name+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		l, err := labs.Find(slug)
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, name)
		c.unpack(t, l, at)
		return at
	}
	for _, c := range []struct {
		name    string
		args    []string
		verdict grade.Verdict
	}{
		{"a right program", []string{"--solution", "distributed-counter", "--seeds", "3"}, grade.Pass},
		{"a program that spins", []string{cheatAt("spins", "transaction-history"), "--seeds", "1"}, grade.Fail},
		{"a program that lets everybody wait", []string{cheatAt("never-answers", "failover"), "--seeds", "1"}, grade.Fail},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			calm := gradeStarved(t, program, c.args, 0, 0)
			starved := gradeStarved(t, program, c.args, 120*time.Millisecond, 40*time.Millisecond)
			if calm.Verdict != c.verdict || starved.Verdict != c.verdict || calm.Score != starved.Score {
				t.Errorf("calm: %s, %d points; starved: %s, %d points", calm.Verdict, calm.Score, starved.Verdict, starved.Score)
			}
			for i, a := range calm.Tasks {
				if b := starved.Tasks[i]; a.Verdict != b.Verdict || a.Why != b.Why || a.Actual != b.Actual {
					t.Errorf("task %s: calm %s %q, starved %s %q", a.Name, a.Verdict, a.Why, b.Verdict, b.Why)
				}
			}
			if len(calm.Runs) == 0 || len(calm.Runs) != len(starved.Runs) {
				t.Fatalf("%d runs, %d when starved", len(calm.Runs), len(starved.Runs))
			}
			for i, a := range calm.Runs {
				if b := starved.Runs[i]; a.Hash != b.Hash || a.Seed != b.Seed || a.Scenario != b.Scenario {
					t.Errorf("run %s with seed %d: %q, starved %q", a.Scenario, a.Seed, a.Hash, b.Hash)
				}
			}
			if len(starved.Budgets) > 0 || starved.LagMillis < 80 {
				t.Errorf("starved: lag of %d ms, budgets %q", starved.LagMillis, starved.Budgets)
			}
		})
	}
}

// gradeStarved runs "netsplit grade". With a stop it lets the process run and stand still in turn, on a single thread.
func gradeStarved(t *testing.T, program string, args []string, stop, run time.Duration) *grade.Result {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "result.json")
	cmd := exec.CommandContext(t.Context(), program, append([]string{"grade", "--no-shrink", "--seed", "5", "--format", "json", "--out", file}, args...)...)
	cmd.Env = append(os.Environ(), "NETSPLIT_HOME="+dir, "GOFLAGS=-trimpath", "GOPROXY=off")
	if stop > 0 {
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the verdict is read from the file
	}()
	starve(cmd.Process, ended, stop, run)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	r, err := grade.ReadJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// starve stops a process and lets it go on, in turn, until it has ended. Without a stop it only waits.
func starve(p *os.Process, ended <-chan struct{}, stop, run time.Duration) {
	for stop > 0 {
		for _, step := range []struct {
			signal syscall.Signal
			wait   time.Duration
		}{{syscall.SIGSTOP, stop}, {syscall.SIGCONT, run}} {
			if p.Signal(step.signal) != nil {
				<-ended
				return
			}
			select {
			case <-ended:
				return
			case <-time.After(step.wait):
			}
		}
	}
	<-ended
}
