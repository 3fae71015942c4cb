package soak

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"netsplit/kit/node"
)

var (
	rounds  = flag.Int("rounds", 20, "rounds of kills on real processes")
	seeds   = flag.Int("seeds", 36, "seeds in the simulator")
	first   = flag.Uint64("from", 0, "the first of them")
	oneSeed = flag.Int64("seed", -1, "run this seed only, and tell everything")
	without = flag.String("without", "", "with -seed: places of faults to leave out, such as 0,2")
	clients = flag.Int("clients", 0, "with -seed: clients per node")
	module  = flag.String("module", "../..", "the module whose cmd/node the simulated nodes run")
	only    = flag.String("weather", "", "only this weather")
	budget  = flag.Duration("time", 0, "begin no more seeds after so long; 0 for no limit")
	raw     = flag.Bool("noshrink", false, "do not look for the smallest plan that fails")
	keep    = flag.Bool("keep", false, "go on after a failure")
)

// TestMain makes the test program its own node: a process that is started with a node's configuration is one.
func TestMain(m *testing.M) {
	if os.Getenv("NETSPLIT_NODE") != "" {
		os.Exit(node.Process(node.App{}, os.Stderr))
	}
	// Nodes that the race detector watches would sleep for a second before they exit.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// maxFailures is how many failures are told before a test gives up.
const maxFailures = 5

// TestSeeds runs plans in the simulator.
func TestSeeds(t *testing.T) {
	dir, ok := simulable(t)
	if !ok {
		return
	}
	maker := Simulated(dir, "./cmd/node")
	if *oneSeed >= 0 {
		one(t, maker, uint64(*oneSeed))
		return
	}
	plans := make([]Plan, 0, *seeds)
	for i := range *seeds {
		if p := PlanOf(*first + uint64(i)); *only == "" || string(p.Weather) == *only {
			plans = append(plans, p)
		}
	}
	began := time.Now()
	reports, errs := all(t, maker, plans)
	failed := map[string]int{}
	for i, r := range reports {
		if errs[i] != nil {
			t.Errorf("seed %d: %v", plans[i].Seed, errs[i])
		}
		if len(r.Problems) == 0 {
			continue
		}
		failed[string(r.Plan.Weather)+": "+r.Problems[0].What]++
		if *raw {
			continue
		}
		if n := len(failed); n <= maxFailures && failed[string(r.Plan.Weather)+": "+r.Problems[0].What] == 1 {
			small := Shrink(t.Context(), maker, r)
			t.Errorf("%v\n%s\nto see it again: %s", small.Report.Plan, problems(small.Report), small.Command())
		} else {
			t.Errorf("seed %d (%s): %s", r.Plan.Seed, r.Plan.Weather, r.Problems[0].What)
		}
	}
	took := time.Since(began)
	done := len(slices.DeleteFunc(slices.Clone(reports), func(r Report) bool { return r.Took == 0 }))
	t.Logf("%d seeds in %v (%.1f a second); %+v", done, took.Round(time.Millisecond), float64(done)/took.Seconds(), Sum(reports))
	if len(failed) > 0 {
		t.Errorf("failures: %v", failed)
	}
}

// all runs plans, two at a time.
func all(t *testing.T, maker Maker, plans []Plan) ([]Report, []error) {
	reports, errs := make([]Report, len(plans)), make([]error, len(plans))
	next := make(chan int)
	var work sync.WaitGroup
	var mu sync.Mutex
	failures, done := 0, 0
	for range 2 {
		work.Go(func() {
			for i := range next {
				r, err := Once(t.Context(), maker, plans[i])
				r.Last = nil // many histories do not fit
				mu.Lock()
				reports[i], errs[i] = r, err
				if done++; done%100 == 0 {
					t.Logf("%d done", done)
				}
				if err != nil || len(r.Problems) > 0 {
					failures++
					t.Logf("seed %d (%s): %v %.1500v", plans[i].Seed, plans[i].Weather, err, problems(r)) // at once: a long run may be ended
				}
				mu.Unlock()
			}
		})
	}
	began := time.Now()
	for i := range plans {
		mu.Lock()
		enough := failures > maxFailures && !*keep
		mu.Unlock()
		if enough || *budget > 0 && time.Since(began) > *budget {
			t.Logf("ended after %d plans", i)
			break
		}
		next <- i
	}
	close(next)
	work.Wait()
	return reports, errs
}

// one runs a single seed twice and tells what happened.
func one(t *testing.T, maker Maker, seed uint64) {
	p := PlanOf(seed)
	if *without != "" {
		var places []int
		for _, s := range strings.Split(*without, ",") {
			i, err := strconv.Atoi(s)
			if err != nil {
				t.Fatalf("-without %s: %v", *without, err)
			}
			places = append(places, i)
		}
		p = p.Without(places)
	}
	if *clients > 0 {
		p.Clients = *clients
	}
	t.Log(p)
	var hashes []string
	for range 2 {
		w, err := maker(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(t.Context(), w, p)
		if err != nil {
			t.Error(err)
		}
		if s, ok := w.(simulated); ok {
			hashes = append(hashes, s.Hash())
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if len(hashes) == 2 {
			break
		}
		if r.Last != nil {
			t.Log(tellRun(r))
		}
		t.Logf("%v of the cluster's time; %+v", r.Took, r.Counts)
		if len(r.Problems) > 0 {
			t.Error(problems(r))
		}
	}
	if len(hashes) == 2 && hashes[0] != hashes[1] {
		t.Errorf("the second run was not the same: %v", hashes)
	}
}

// tellRun gives the requests and faults of a run in the order of time.
func tellRun(r Report) string {
	type line struct {
		at   time.Duration
		text string
	}
	var lines []line
	for _, o := range r.Last.Ops {
		lines = append(lines, line{o.Begin, fmt.Sprintf("%v-%v %s %s %s %v => %s %.200s %v", o.Begin, o.End, o.Client, o.Node, o.Verb, o.Args, o.Outcome.Status, o.Outcome.Value, o.Outcome.Kind)})
	}
	for _, f := range r.Last.Faults {
		lines = append(lines, line{f.At, fmt.Sprintf("%v ======== %s %s %s %s %s", f.At, f.What, f.Node, f.Peer, f.Detail, f.Err)})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text + "\n")
	}
	return b.String()
}

func problems(r Report) string {
	var all []string
	for _, p := range r.Problems {
		all = append(all, p.String())
	}
	return strings.Join(all, "\n")
}

// TestRounds kills real processes under load. The rounds are spread over clusters that live for a few of them.
func TestRounds(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it takes seconds of real time")
	}
	if *oneSeed >= 0 {
		t.Skip("-seed is for the simulator")
	}
	home, err := os.MkdirTemp("", "ns") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const perCluster = 10
	var mu sync.Mutex
	var reports []Report
	next := make(chan int)
	var work sync.WaitGroup
	began := time.Now()
	for worker := range 2 {
		work.Go(func() {
			maker := Real(home, fmt.Sprint("soak", worker), []string{self})
			for i := range next {
				p := NewPlan(*first+uint64(i), []Weather{Kills, Blackout}[i%2], min(perCluster, *rounds-i*perCluster))
				r, err := Once(context.Background(), maker, p)
				if err != nil {
					t.Errorf("%v: %v", p, err)
				}
				if len(r.Problems) > 0 {
					t.Errorf("%v\n%s\n%s", p, problems(r), tellRun(r))
				}
				mu.Lock()
				reports = append(reports, r)
				mu.Unlock()
			}
		})
	}
	for i := range (*rounds + perCluster - 1) / perCluster {
		if t.Failed() && !*keep {
			break
		}
		next <- i
	}
	close(next)
	work.Wait()
	t.Logf("%d rounds in %v; %+v", *rounds, time.Since(began).Round(time.Millisecond), Sum(reports))
}
