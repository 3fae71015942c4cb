//go:build unix

package class

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"netsplit/kit/grade"
)

// TestMain is also the grader that the tests of Child start: what it does is the folder's name.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "grade" {
		standIn(os.Args)
	}
	os.Exit(m.Run())
}

// standIn plays a grader that breaks in one way or another.
func standIn(args []string) {
	out := args[len(args)-1]
	switch filepath.Base(args[2]) {
	case "passes":
		m := Member{Digest: "d", Seed: 7}
		r := result(m, grade.Pass)
		r.Isolation = strings.Join(args, " ") + "|" + os.Getenv("NETSPLIT_HOME") + "|" + os.Getenv("GITHUB_ENV") + "|" + os.Getenv("GOMEMLIMIT") + "|" + os.Getenv("TMPDIR")
		if err := os.WriteFile(out, written(r), 0o600); err != nil {
			panic(err)
		}
		os.Exit(0)
	case "panics":
		panic("this grader breaks")
	case "exits":
		fmt.Fprintln(os.Stderr, "netsplit: the lab broke")
		os.Exit(3)
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "polite":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		<-ctx.Done()
		stop()
		os.Exit(3)
	case "hungry":
		var all [][]byte
		for {
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			if all = append(all, b); len(all) > 60 { // should nobody stop it
				break
			}
			runtime.KeepAlive(all)
		}
	case "floods":
		line := []byte(strings.Repeat("\x1b[31m::error::forged ", 500) + "\n")
		for range 1000 {
			_, _ = os.Stderr.Write(line)
		}
		os.Exit(3)
	}
	time.Sleep(time.Minute) // ended long before
	os.Exit(3)
}

func TestChild(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: processes are started and killed")
	}
	t.Setenv("GITHUB_ENV", "/secret")
	for _, c := range []struct {
		does      string
		wall      time.Duration
		memory    int64
		interrupt time.Duration
		want      State
		why       string
	}{
		{does: "passes"},
		{does: "panics", want: Broke, why: "panic: this grader breaks"},
		{does: "exits", want: Broke, why: "status 3 and no result: the lab broke"},
		{does: "killed", want: Broke, why: "was killed"},
		{does: "floods", want: Broke, why: "status 3"},
		{does: "polite", wall: 300 * time.Millisecond, want: TimedOut, why: "longer than 300ms"},
		{does: "polite", interrupt: 300 * time.Millisecond, want: Waiting, why: "interrupted"},
		{does: "hungry", memory: 300 << 20, want: TooLarge, why: "at most 300 are allowed"},
	} {
		if c.does == "hungry" && runtime.GOOS != "linux" {
			continue
		}
		t.Run(c.does+string(c.want), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if c.interrupt > 0 {
				time.AfterFunc(c.interrupt, cancel)
			}
			child := Child{Program: os.Args[0], Args: []string{"grade", "DIR", "--seed", "SEED"}, Wall: cmp.Or(c.wall, time.Minute), Memory: c.memory, Heap: 1 << 29, Cores: 1}
			end := child.Grade(ctx, Member{Name: "x", Dir: "in/" + c.does, Seed: 7})
			if end.State != c.want || !strings.Contains(end.Why, c.why) || len([]rune(end.Why)) > 2*maxWhy || strings.Contains(end.Why, "\x1b") {
				t.Errorf("%+v", end)
			}
			if c.does != "passes" {
				return
			}
			r, err := grade.ReadJSON(strings.NewReader(string(end.Result)))
			if err != nil {
				t.Fatal(err)
			}
			args, env, _ := strings.Cut(r.Isolation, "|")
			home, rest, _ := strings.Cut(env, "|")
			secret, rest, _ := strings.Cut(rest, "|")
			heap, tmp, _ := strings.Cut(rest, "|")
			if heap != "536870912" {
				t.Errorf("GOMEMLIMIT %q", heap)
			}
			if !strings.Contains(args, "grade in/passes --seed 7 --format json --out ") || !strings.HasPrefix(home, tmp) || secret != "" {
				t.Errorf("args %q, home %q, GITHUB_ENV %q", args, home, secret)
			}
			if _, err := os.Stat(tmp); !os.IsNotExist(err) {
				t.Errorf("%s is left: %v", tmp, err)
			}
		})
	}
}
