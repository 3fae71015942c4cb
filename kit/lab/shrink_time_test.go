package lab

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// wrongThroughout is a lab with four tasks that a program which counts double fails all of, in a way that needs a dozen requests to
// show: a shorter run takes many tries to find.
func wrongThroughout(t *testing.T) *Lab {
	t.Helper()
	tasks := []string{"one", "two", "three", "four"}
	readme := "---\ntitle: Wrong\nkind: code\nnodes: 1\nminutes: 5\nseeds: 1\ntasks:\n"
	var wrong []string
	for _, name := range tasks {
		readme += fmt.Sprintf("  - {name: %s, title: Count, points: 25}\n", name)
		wrong = append(wrong, name+": fail")
	}
	labs := fstest.MapFS{
		"wrong/README.md":                   {Data: []byte(readme + "---\nCount.\n")},
		"wrong/starter/main.go":             {Data: []byte("package main\n\nfunc step() int { return 0 }\n")},
		"wrong/mutants/double/verdict.yaml": {Data: []byte("about: counts double\ntasks: {" + strings.Join(wrong, ", ") + "}\nedits: [{file: main.go, old: return 1, new: return 2}]\n")},
	}
	solutions := fstest.MapFS{"wrong/main.go": {Data: []byte("package main\n\nfunc step() int { return 1 }\n")}}
	judge := func(h *history.History) grade.Finding {
		asked := len(h.Ops) - 1
		total, _ := h.Ops[asked].Outcome.Term()
		if asked < 12 || term.Equal(total, term.Int(asked)) {
			return grade.Passed()
		}
		return grade.Failed("it was counted double", fmt.Sprint(asked), term.String(total))
	}
	c, err := Load(labs, solutions, []Definition{{Slug: "wrong", Scenarios: []Scenario{{New: func(uint64) Plan {
		p := Plan{
			Drive: func(ctx context.Context, w *World) error {
				for range 40 {
					w.Do(ctx, "c", "a", "incr")
				}
				return nil
			},
			Observe: func(ctx context.Context, w *World) error {
				w.Do(ctx, "c", "a", "total")
				return nil
			},
		}
		for _, name := range tasks {
			p.Checks = append(p.Checks, Check{name, judge})
		}
		return p
	}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return find(t, c, "wrong")
}

// gradeWrong grades work that fails everything on a machine that takes so long for a run, and says how long the search took. It is to
// be called in a synctest bubble.
func gradeWrong(ctx context.Context, t *testing.T, each time.Duration, jobs int, limits ShrinkLimits) (*grade.Result, time.Duration) {
	t.Helper()
	env, l := fakeEnv(), wrongThroughout(t)
	simulate := env.Simulate
	env.Simulate = func(ctx context.Context, p Program, o SimRun) (Simulation, error) {
		timer := time.NewTimer(each)
		defer timer.Stop()
		select {
		case <-timer.C:
			return simulate(ctx, p, o)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	sub, err := l.Mutated(l.Mutants[0])
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r, err := (&Grader{Env: env, Jobs: jobs}).Grade(ctx, l, sub, Options{Seed: 1, Seeds: 1, Shrink: limits})
	if err != nil {
		t.Fatal(err)
	}
	return r, time.Since(began) - each // the first run is that which fails
}

// tries gives how many runs were tried for a task, and what ended that.
func tries(task grade.Task) (int, string) {
	switch {
	case task.Shrunk != nil:
		return task.Shrunk.Runs, task.Shrunk.Cut
	case task.Unshrunk != nil:
		return task.Unshrunk.Runs, task.Unshrunk.Cut
	}
	return 0, ""
}

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	old := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(old)
	synctest.Test(t, f)
}

// A verdict comes soon, however much failed and however slow the machine is.
func TestSearchesEndInTime(t *testing.T) {
	for _, c := range []struct {
		each, most time.Duration
		first      int // tries for the first task, at least
	}{
		{250 * time.Millisecond, 9 * time.Second, 20},
		{400 * time.Millisecond, 8*time.Second + 1600*time.Millisecond, shrinkLeast},
		{700 * time.Millisecond, 16 * time.Second, shrinkLeast}, // its best guesses are made, although they take longer
		{5 * time.Second, 16 * time.Second, 2},
	} {
		bubble(t, func(t *testing.T) {
			r, took := gradeWrong(t.Context(), t, c.each, 1, DefaultShrink)
			if took > c.most {
				t.Errorf("runs of %v: the search took %v", c.each, took)
			}
			for i, task := range r.Tasks {
				n, cut := tries(task)
				switch {
				case task.Verdict != grade.Fail:
					t.Errorf("runs of %v: %s: %s", c.each, task.Name, task.Verdict)
				case i == 0 && (n < c.first || cut != grade.CutTime):
					t.Errorf("runs of %v: %s was tried %d times, cut by %q", c.each, task.Name, n, cut)
				case i > 0 && i < shrinkTasks && cut != grade.CutTime:
					t.Errorf("runs of %v: %s was cut by %q after %d", c.each, task.Name, cut, n)
				case i >= shrinkTasks && (n > 0 || cut != ""):
					t.Errorf("runs of %v: a search for %s, too", c.each, task.Name)
				}
			}
		})
	}
}

// What is found is the same on any machine that is fast enough.
func TestSearchesDoNotDependOnTheMachine(t *testing.T) {
	var docs []string
	for _, c := range []struct {
		each time.Duration
		jobs int
		wall time.Duration
	}{{time.Microsecond, 1, DefaultShrink.Wall}, {time.Millisecond, 1, DefaultShrink.Wall}, {time.Second, 3, time.Hour}} {
		bubble(t, func(t *testing.T) {
			r, _ := gradeWrong(t.Context(), t, c.each, c.jobs, ShrinkLimits{Runs: DefaultShrink.Runs, Wall: c.wall})
			text := ""
			for _, task := range r.Tasks[:shrinkTasks] {
				if task.Shrunk == nil || task.Shrunk.Cut != "" || task.Shrunk.To.Ops != 12 {
					t.Fatalf("%s: %+v", task.Name, task.Shrunk)
				}
				text += fmt.Sprintf("%+v\n", *task.Shrunk)
			}
			docs = append(docs, text)
		})
	}
	if docs[0] != docs[1] || docs[0] != docs[2] {
		t.Errorf("%s", strings.Join(docs, "\n"))
	}
}

// What failed is told before the search for the shortest run that does, and a task that will be skipped is not told of.
func TestFailuresAreToldFirst(t *testing.T) {
	l := wrongThroughout(t)
	l.Manifest.Tasks[3].After = []string{"one"}
	sub, err := l.Mutated(l.Mutants[0])
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	g := &Grader{Env: fakeEnv(), Jobs: 1, Progress: func(s string) { told = append(told, s) }, News: func(s string) { told = append(told, "news: "+s) }}
	if _, err := g.Grade(context.Background(), l, sub, Options{Seed: 5, Seeds: 1, Shrink: DefaultShrink}); err != nil {
		t.Fatal(err)
	}
	want := []string{"compiling", "news: one failed with seed 5: it was counted double", "news: two failed with seed 5: it was counted double",
		"news: three failed with seed 5: it was counted double", "one: looking for the shortest run that fails (40 requests of 40, 0 tried)"}
	if len(told) < len(want) || !slices.Equal(told[:len(want)], want) {
		t.Errorf("told was\n%s", strings.Join(told, "\n"))
	}
	if last := told[len(told)-1]; !strings.HasPrefix(last, "three: looking for the shortest run that fails (12 requests of 40, ") {
		t.Errorf("in the end %q", last)
	}
}

// Who does not want to wait for shorter runs and interrupts has the verdict all the same, explained with what was found.
func TestInterruptedSearch(t *testing.T) {
	for _, after := range []time.Duration{300 * time.Millisecond, 4 * time.Second} {
		bubble(t, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			time.AfterFunc(250*time.Millisecond+after, interrupt)
			r, took := gradeWrong(ctx, t, 250*time.Millisecond, 1, DefaultShrink)
			if took > after || r.Verdict != grade.Fail || len(r.Tasks) != 4 {
				t.Errorf("%v, %v: %+v", took, r.Verdict, r.Tasks)
			}
			for i, task := range r.Tasks {
				if _, cut := tries(task); i < shrinkTasks && cut != grade.CutAsked || task.Verdict != grade.Fail || task.Actual == "" {
					t.Errorf("interrupted after %v: %s: %v %q, cut by %q", after, task.Name, task.Verdict, task.Actual, cut)
				}
			}
		})
	}
}

// Most of the time is for the first search, and what one does not need is for those behind it.
func TestShareOfTime(t *testing.T) {
	now := time.Unix(0, 0)
	for _, c := range []struct {
		left     time.Duration
		searches int
		want     time.Duration
	}{{8 * time.Second, 3, 6 * time.Second}, {8 * time.Second, 1, 8 * time.Second}, {2 * time.Second, 2, 1500 * time.Millisecond}, {-time.Second, 2, -time.Second}} {
		if got := shareOf(now, now.Add(c.left), c.searches).Sub(now); got != c.want {
			t.Errorf("%v of %v for %d", got, c.left, c.searches)
		}
	}
}

// A solution that is not compiled in time judges nothing: no shorter run is shown that nobody has held against it.
func TestNoReferenceInTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l, env := wrongThroughout(t), fakeEnv()
		build, builds := env.Build, 0
		env.Build = func(ctx context.Context, src Source) (Program, error) {
			if builds++; builds > 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return build(ctx, src)
		}
		sub, err := l.Mutated(l.Mutants[0])
		if err != nil {
			t.Fatal(err)
		}
		r, err := (&Grader{Env: env, Jobs: 1}).Grade(context.Background(), l, sub, Options{Seed: 1, Seeds: 1, Shrink: DefaultShrink})
		if err != nil {
			t.Fatal(err)
		}
		if n, cut := tries(r.Tasks[0]); r.Tasks[0].Shrunk != nil || cut != grade.CutTime || n == 0 {
			t.Errorf("%+v, %+v", r.Tasks[0].Shrunk, r.Tasks[0].Unshrunk)
		}
	})
}
