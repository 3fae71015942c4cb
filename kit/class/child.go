package class

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"netsplit/kit/grade"
)

// Child grades a submission with a program of its own, which runs in a process group of its own with a home, a
// temporary folder and bounds of its own. What it compiled is shared with all others.
type Child struct {
	Program string   // the netsplit to run
	Args    []string // before --format and --out; DIR is replaced by the submission's folder, SEED by its seed
	Wall    time.Duration
	Memory  int64 // bytes of the process and all that it starts; 0 is no bound. Kept on Linux only.
	Heap    int64 // bytes of its Go heap beyond which it collects garbage more often, so as to stay below Memory; 0 is its own choice
	Cores   int   // how many it may keep busy
}

// grace is how long a process that was told to end may take to take its clusters down.
const grace = 10 * time.Second

// maxSaid is how much of what the child said last is kept.
const maxSaid = 8 << 10

// Grade runs the child on one submission.
func (c Child) Grade(ctx context.Context, m Member) Ended {
	began := time.Now()
	end := c.grade(ctx, m)
	end.Took = time.Since(began)
	return end
}

func (c Child) grade(ctx context.Context, m Member) Ended {
	if ctx.Err() != nil {
		return Ended{State: Waiting, Why: "interrupted"}
	}
	broke := func(err error) Ended { return Ended{State: Broke, Why: "it cannot be started: " + err.Error()} }
	dir, err := os.MkdirTemp("", "ns-")
	if err != nil {
		return broke(err)
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "result.json")
	cmd := exec.Command(c.Program, slices.Concat(c.args(m), []string{"--format", "json", "--out", out})...)
	cmd.Env = c.environment(os.Environ(), dir)
	said := &tail{}
	cmd.Stderr = said
	cmd.WaitDelay = time.Second // for what it left behind with its standard error
	apart(cmd)
	runtime.LockOSThread() // see endWithUs
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return broke(err)
	}
	first(cmd.Process.Pid)
	stopped := make(chan Ended, 1)
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { stopped <- c.watch(ctx, cmd.Process.Pid, over) })
	err = cmd.Wait()
	close(over)
	wg.Wait()
	endAll(cmd.Process.Pid) // what it started and did not end
	return ended(<-stopped, err, said.String(), func() ([]byte, error) { return readBounded(out) })
}

func (c Child) args(m Member) []string {
	var out []string
	for _, a := range c.Args {
		switch a {
		case "DIR":
			a = m.Dir
			if strings.HasPrefix(a, "-") {
				a = "./" + a
			}
		case "SEED":
			a = strconv.FormatUint(m.Seed, 10)
		}
		out = append(out, a)
	}
	return out
}

// environment is the caller's, with a home and a temporary folder that go away, and without what commands a job of
// CI or colours text.
func (c Child) environment(env []string, dir string) []string {
	var out []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "GITHUB_") || strings.HasPrefix(name, "RUNNER_") || strings.HasPrefix(name, "ACTIONS_") {
			continue
		}
		out = append(out, e)
	}
	if c.Heap > 0 {
		out = append(out, "GOMEMLIMIT="+strconv.FormatInt(c.Heap, 10))
	}
	return append(out, "NETSPLIT_HOME="+filepath.Join(dir, "h"), "TMPDIR="+dir, "NO_COLOR=1", "GOMAXPROCS="+strconv.Itoa(max(1, c.Cores)))
}

// watch ends the process when the context ends or a bound is reached, and says which; the zero value when it ended by
// itself.
func (c Child) watch(ctx context.Context, pid int, over <-chan struct{}) Ended {
	wall := time.NewTimer(c.Wall)
	defer wall.Stop()
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-over:
			return Ended{}
		case <-ctx.Done():
			c.end(pid, over)
			return Ended{State: Waiting, Why: "interrupted"}
		case <-wall.C:
			c.end(pid, over)
			return Ended{State: TimedOut, Why: fmt.Sprintf("the grading took longer than %v", c.Wall)}
		case <-look.C:
			if used := memory(pid); c.Memory > 0 && used > c.Memory {
				endAll(pid)
				return Ended{State: TooLarge, Why: fmt.Sprintf("the grading took %d MiB, at most %d are allowed", used>>20, c.Memory>>20)}
			}
		}
	}
}

// end asks the process to end, and makes it.
func (c Child) end(pid int, over <-chan struct{}) {
	ask(pid)
	select {
	case <-over:
	case <-time.After(grace):
		endAll(pid)
	}
}

// ended says what became of a child: stopped is why it was ended, err how it ended, said the last of what it said. A
// result counts only from a child that ended with a verdict by itself.
func ended(stopped Ended, err error, said string, result func() ([]byte, error)) Ended {
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return Ended{State: Broke, Why: err.Error()}
	}
	if code == grade.ExitPass || code == grade.ExitFail || code == grade.ExitInconclusive { // a panic ends with 2 as well
		if src, err := result(); err == nil {
			return Ended{Result: src}
		}
	}
	if stopped.State != "" {
		return stopped
	}
	why := fmt.Sprintf("the grader ended with status %d and no result", code)
	if code < 0 {
		why = fmt.Sprintf("the grader was killed (%v), as a machine does that runs out of memory", exit)
	}
	if said = lastWords(said); said != "" {
		why += ": " + said
	}
	return Ended{State: Broke, Why: why}
}

// lastWords picks what matters of what a broken grader said: its own error, or the panic.
func lastWords(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	for _, mark := range []string{"netsplit: ", "panic: ", "fatal error: "} {
		for _, line := range lines {
			if _, text, ok := strings.Cut(line, mark); ok && strings.HasPrefix(line, mark) {
				if mark != "netsplit: " {
					text = mark + text
				}
				return oneLine(text)
			}
		}
	}
	return oneLine(lines[len(lines)-1])
}

// tail keeps the first and the last of what is written to it.
type tail struct {
	mu         sync.Mutex
	begin, end []byte
}

// Write takes everything.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	room := min(len(b), maxSaid-len(t.begin))
	t.begin, b = append(t.begin, b[:room]...), b[room:]
	t.end = append(t.end, b[max(0, len(b)-maxSaid):]...)
	t.end = t.end[max(0, len(t.end)-maxSaid):]
	return n, nil
}

// String gives what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.end) == 0 {
		return string(t.begin)
	}
	return string(t.begin) + "\n" + string(t.end)
}
