package soak

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flag"
)

// TestProcesses runs plans of processes in the simulator.
func TestProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the node program has to be compiled")
	}
	if raced {
		againTest(t, "TestProcesses")
		return
	}
	dir, err := filepath.Abs(*module)
	if err != nil {
		t.Fatal(err)
	}
	maker := SimulatedProcs(dir, "./cmd/node")
	if *oneSeed >= 0 {
		oneProcs(t, maker, uint64(*oneSeed))
		return
	}
	n := *seeds
	if !given("seeds") {
		n = 16 // some seconds
	}
	began := time.Now()
	var mu sync.Mutex
	var sum ProcCounts
	failed := map[string]int{}
	done := 0
	next := make(chan uint64)
	var work sync.WaitGroup
	for range 2 {
		work.Go(func() {
			for seed := range next {
				rep, err := OnceProcs(t.Context(), maker, NewProcPlan(seed))
				mu.Lock()
				done++
				sum.add(rep.Counts)
				if done%100 == 0 {
					t.Logf("%d done after %v", done, time.Since(began).Round(time.Second))
				}
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				if len(rep.Problems) > 0 {
					what := rep.Problems[0].What
					if failed[what]++; failed[what] == 1 && !*raw {
						mu.Unlock()
						small, dropped := ShrinkProcs(t.Context(), maker, rep)
						mu.Lock()
						t.Errorf("%s", tellProcs(small, dropped))
					} else {
						t.Errorf("seed %d: %v", seed, rep.Problems[0])
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		mu.Lock()
		enough := len(failed) >= maxFailures && !*keep || *budget > 0 && time.Since(began) > *budget
		mu.Unlock()
		if enough {
			t.Logf("ended after %d plans", i)
			break
		}
		next <- *first + uint64(i)
	}
	close(next)
	work.Wait()
	took := time.Since(began)
	t.Logf("%d seeds in %v (%.1f a second); %+v", done, took.Round(time.Millisecond), float64(done)/took.Seconds(), sum)
	if len(failed) > 0 {
		t.Errorf("failures: %v", failed)
	}
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// againTest runs a test once more without the race detector.
func againTest(t *testing.T, name string) {
	args := []string{"test", "-count=1", "-run", "^" + name + "$", "-timeout", "0", ".", "-args"}
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
func oneProcs(t *testing.T, maker func(context.Context, ProcPlan) (World, error), seed uint64) {
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
