package conformance

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/cluster"
	"netsplit/kit/door"
	"netsplit/kit/node"
	"netsplit/kit/sim"
)

// Maker makes a fresh world for a trace.
type Maker func(ctx context.Context, t Trace, seed uint64) (World, error)

var _ World = (*cluster.Cluster)(nil)

// Real makes clusters of processes that run program (see cluster.Spec), which end with the world. home is the folder
// for their state.
func Real(home string, program []string) Maker {
	return func(ctx context.Context, t Trace, _ uint64) (World, error) {
		return cluster.Up(ctx, cluster.Spec{Lab: "trace-" + t.ID, Nodes: t.Nodes, Program: program, Home: home, Temporary: true,
			Manual: t.manual(), PreventOverlap: t.Kernel["prevent_overlapping_partitions"], Who: "conformance"})
	}
}

// Simulated makes worlds of the simulator that run the node program of pkg, a package in the module at dir. crash says
// what a kill does to what a disc has not synced. The program is built once, when the first world is made.
func Simulated(dir, pkg string, crash sim.CrashKind) Maker {
	get := sim.Prepare(dir, pkg)
	return func(ctx context.Context, t Trace, seed uint64) (World, error) {
		m, err := get()
		if err != nil {
			return nil, err
		}
		setup, err := json.Marshal(node.Config{Manual: t.manual(), PreventOverlap: t.Kernel["prevent_overlapping_partitions"]})
		if err != nil {
			return nil, err
		}
		w, err := sim.New(ctx, sim.Config{Engine: m.Engine, Program: m.Program, Nodes: t.Nodes, Seed: seed, Setup: setup,
			Disk: sim.DiskFault{Crash: crash}})
		if err != nil {
			return nil, err
		}
		return simulated{w}, nil
	}
}

// simulated adds to a simulated world what scenarios need.
type simulated struct{ *sim.World }

// Stop asks the node to stop and waits until it has.
func (w simulated) Stop(n kit.NodeName) error {
	ctx := context.Background()
	if err := w.Call(ctx, "conformance", n, door.Request{Verb: "stop"}).Err(); err != nil {
		return err
	}
	for range 1000 {
		info, err := w.Node(n)
		if err != nil || !info.Running {
			return err
		}
		if err := w.Sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return &kit.Error{Op: "stop node", Kind: kit.Broken, What: string(n)}
}

// Job is one trace to be run.
type Job struct {
	Trace Trace
	World string // its name in reports
	Make  Maker
	Seed  uint64
}

// RunAll runs jobs, a few at once, and gives their results in the order of the jobs. A job whose world could not
// be made or run is an error in its place.
func RunAll(ctx context.Context, jobs []Job, atOnce int) ([]Result, []error) {
	results, errs := make([]Result, len(jobs)), make([]error, len(jobs))
	var work sync.WaitGroup
	next := make(chan int) // closed when all are handed out
	for range max(1, atOnce) {
		work.Go(func() {
			for i := range next {
				results[i], errs[i] = jobs[i].run(ctx)
			}
		})
	}
	for i := range jobs {
		next <- i
	}
	close(next)
	work.Wait()
	return results, errs
}

func (j Job) run(ctx context.Context) (res Result, err error) {
	w, err := j.Make(ctx, j.Trace, j.Seed)
	if err != nil {
		return res, err
	}
	defer func() {
		if cerr := w.Close(); err == nil {
			err = cerr
		}
	}()
	res, err = Run(ctx, w, j.Trace)
	res.World, res.Seed = j.World, j.Seed
	return res, err
}
