package soak

import (
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestProcesses runs plans of processes in the simulator.
func TestProcesses(t *testing.T) {
	dir, ok := simulable(t)
	if !ok {
		return
	}
	maker := SimulatedProcs(dir, "./cmd/node")
	if *oneSeed >= 0 {
		oneProcs(t, maker, uint64(*oneSeed))
		return
	}
	n := *seeds
	if !given("seeds") {
		n = 10 // some seconds
	}
	began := time.Now()
	runs := procRuns{t: t, maker: maker, failed: map[string]int{}, began: began}
	next := make(chan uint64)
	var work sync.WaitGroup
	for range 2 {
		work.Go(func() {
			for seed := range next {
				runs.one(seed)
			}
		})
	}
	for i := range n {
		if runs.enough() {
			t.Logf("ended after %d plans", i)
			break
		}
		next <- *first + uint64(i)
	}
	close(next)
	work.Wait()
	took := time.Since(began)
	t.Logf("%d seeds in %v (%.1f a second); %+v", runs.done, took.Round(time.Millisecond), float64(runs.done)/took.Seconds(), runs.sum)
	if len(runs.failed) > 0 {
		t.Errorf("failures: %v", runs.failed)
	}
}

// procRuns runs seeds and counts what comes of them.
type procRuns struct {
	t     *testing.T
	maker ProcMaker
	began time.Time

	mu     sync.Mutex
	done   int
	sum    ProcCounts
	failed map[string]int // by the kind of the first problem
}

func (r *procRuns) enough() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failed) >= maxFailures && !*keep || *budget > 0 && time.Since(r.began) > *budget
}

// one runs a seed; the first failure of each kind is made small and told.
func (r *procRuns) one(seed uint64) {
	rep, err := OnceProcs(r.t.Context(), r.maker, NewProcPlan(seed))
	if err != nil {
		r.t.Errorf("seed %d: %v", seed, err)
	}
	fresh := false
	r.mu.Lock()
	r.done++
	r.sum.add(rep.Counts)
	if r.done%100 == 0 {
		r.t.Logf("%d done after %v", r.done, time.Since(r.began).Round(time.Second))
	}
	if len(rep.Problems) > 0 {
		r.failed[rep.Problems[0].What]++
		fresh = r.failed[rep.Problems[0].What] == 1
	}
	r.mu.Unlock()
	switch {
	case len(rep.Problems) == 0:
	case fresh && !*raw:
		small, dropped := ShrinkProcs(r.t.Context(), r.maker, rep)
		r.t.Error(tellProcs(small, dropped))
	default:
		r.t.Errorf("seed %d: %v", seed, rep.Problems[0])
	}
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// simulable gives the folder of the module whose node program is to be simulated. Compiling that takes its time, so that -short
// skips the test. Under the race detector the test is run once more without it instead, and there is nothing left to do: the code
// under test is machine code of its own in the simulator, of which the race detector sees nothing.
func simulable(t *testing.T) (dir string, ok bool) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: the node program has to be compiled")
	}
	if raced {
		again(t)
		return "", false
	}
	dir, err := filepath.Abs(*module)
	if err != nil {
		t.Fatal(err)
	}
	return dir, true
}

// again runs a test once more without the race detector.
func again(t *testing.T) {
	t.Helper()
	args := []string{"test", "-trimpath", "-vet=off", "-count=1", "-run", "^" + t.Name() + "$", "-timeout", "0", ".", "-args"}
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// oneProcs runs a single seed twice and tells what happened.
func oneProcs(t *testing.T, maker ProcMaker, seed uint64) {
	p := NewProcPlan(seed)
	var dropped []int
	if *without != "" {
		for _, s := range strings.Split(*without, ",") {
			i, err := strconv.Atoi(s)
			if err != nil {
				t.Fatalf("-without %s: %v", *without, err)
			}
			dropped = append(dropped, i)
		}
	}
	p = p.Without(dropped)
	if slices.Contains(dropped, splitPlace) {
		p.Part = nil
	}
	if *clients > 0 {
		p.Actors = *clients
	}
	var hashes []string
	for i := range 2 {
		w, err := maker(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		rep, err := RunProcs(t.Context(), w, p)
		if err != nil {
			t.Error(err)
		}
		if s, ok := w.(simulated); ok {
			hashes = append(hashes, s.Hash())
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if i == 0 && len(rep.Problems) > 0 {
			t.Error(tellProcs(rep, dropped))
		} else if i == 0 {
			t.Logf("%v\n%v of the cluster's time; %+v", p, rep.Took, rep.Counts)
		}
	}
	if hashes[0] != hashes[1] {
		t.Errorf("the second run was not the same: %v", hashes)
	}
}

// tellProcs says what a failing run was, what is wrong, and how to see it again.
func tellProcs(r ProcReport, dropped []int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n", r.Plan)
	for i, p := range r.Problems {
		if i == 5 {
			fmt.Fprintf(&b, "and %d more\n", len(r.Problems)-i)
			break
		}
		fmt.Fprintf(&b, "%v\n", p)
	}
	story := strings.Split(strings.TrimSpace(r.Story), "\n")
	if most := 60; len(story) > most && *oneSeed < 0 {
		story = append([]string{"..."}, story[len(story)-most:]...)
	}
	fmt.Fprintf(&b, "what happened:\n%s\nto see it again: %s", strings.Join(story, "\n"), ProcCommand(r.Plan, dropped))
	return b.String()
}
