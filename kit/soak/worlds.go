package soak

import (
	"context"
	"encoding/json"
	"time"

	"netsplit/kit"
	"netsplit/kit/cluster"
	"netsplit/kit/door"
	"netsplit/kit/sim"
)

// Maker makes a fresh world for a plan.
type Maker func(ctx context.Context, p Plan) (World, error)

// Real makes clusters of processes that run program (see cluster.Spec), which end with the world. home is the folder
// for their state, lab names the clusters; of one name there is one at a time.
func Real(home, lab string, program []string) Maker {
	return func(ctx context.Context, p Plan) (World, error) {
		c, err := cluster.Up(ctx, cluster.Spec{Lab: lab, Nodes: p.Nodes, Program: program, Home: home, Temporary: true, Who: "soak"})
		if err != nil {
			return nil, err
		}
		return processes{c}, nil
	}
}

// processes is a real cluster whose requests are given up after a while.
type processes struct{ *cluster.Cluster }

// Call sends one request.
func (w processes) Call(ctx context.Context, client string, n kit.NodeName, req door.Request) door.Outcome {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return w.Cluster.Call(ctx, client, n, req)
}

// Simulated makes worlds of the simulator that run the node program of pkg, a package in the module at dir. The program
// is built once, when the first world is made.
func Simulated(dir, pkg string) Maker {
	get := sim.Prepare(dir, pkg)
	return func(ctx context.Context, p Plan) (World, error) {
		m, err := get()
		if err != nil {
			return nil, err
		}
		w, err := sim.New(ctx, sim.Config{Engine: m.Engine, Program: m.Program, Nodes: p.Nodes, Seed: p.Seed, CallTimeout: startTime,
			MaxTime: 10 * time.Minute, MaxEvents: -1})
		if err != nil {
			return nil, err
		}
		return simulated{w}, nil
	}
}

type simulated struct{ *sim.World }

// LoseWrites says what a kill does to what was not synced: a power cut draws how much of it had got to the disc.
func (w simulated) LoseWrites(n kit.NodeName, lose bool) error {
	f := sim.DiskFault{}
	if lose {
		f.Crash = sim.Chance
	}
	return w.SetDisk(n, f)
}

// ProcMaker makes a fresh world for a plan of processes.
type ProcMaker func(ctx context.Context, p ProcPlan) (World, error)

// SimulatedProcs makes worlds for plans of processes, as Simulated does for the store's.
func SimulatedProcs(dir, pkg string) ProcMaker {
	get := sim.Prepare(dir, pkg)
	return func(ctx context.Context, p ProcPlan) (World, error) {
		m, err := get()
		if err != nil {
			return nil, err
		}
		cfg := sim.Config{Engine: m.Engine, Program: m.Program, Nodes: p.Nodes, Seed: p.Seed, CallTimeout: startTime, MaxTime: 10 * time.Minute, MaxEvents: -1}
		if p.Overlap {
			cfg.Setup = json.RawMessage(`{"prevent_overlapping_partitions":true}`)
		}
		w, err := sim.New(ctx, cfg)
		if err != nil {
			return nil, err
		}
		return simulated{w}, nil
	}
}

// OnceProcs makes a world, runs a plan of processes in it, and ends it.
func OnceProcs(ctx context.Context, make ProcMaker, p ProcPlan) (ProcReport, error) {
	w, err := make(ctx, p)
	if err != nil {
		return ProcReport{Plan: p}, err
	}
	report, err := RunProcs(ctx, w, p)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return report, err
}

// Once makes a world, runs a plan in it, and ends it.
func Once(ctx context.Context, make Maker, p Plan) (Report, error) {
	w, err := make(ctx, p)
	if err != nil {
		return Report{Plan: p}, err
	}
	report, err := Run(ctx, w, p)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return report, err
}
