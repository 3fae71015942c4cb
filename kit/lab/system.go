package lab

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/cluster"
	"netsplit/kit/shell"
	"netsplit/kit/sim"
	"netsplit/kit/world"
)

// System is the real Env: node processes, script children, the Go toolchain and the simulator of this machine. What
// is costly is made on first use; Close releases it.
type System struct {
	mu     sync.Mutex
	engine *sim.Engine
	tidy   sync.Once
}

// Env gives the functions that grading needs.
func (s *System) Env() Env {
	return Env{Cluster: startCluster, Room: room, Script: runScript, Build: s.build, BuildAll: s.buildAll, Simulate: s.simulate, Test: s.test}
}

// Close releases the simulator, in which nothing may run any more. What is simulated later makes a new one.
func (s *System) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil {
		return nil
	}
	engine := s.engine
	s.engine = nil
	return engine.Close(context.Background())
}

// startCluster starts node processes that end with this process at the latest.
func startCluster(ctx context.Context, lab string, nodes []kit.NodeName) (world.World, error) {
	name := lab
	if most := cluster.MaxLabName - len("-12345678"); len(name) > most {
		name = name[:most]
	}
	return cluster.Up(ctx, cluster.Spec{Lab: name, Nodes: nodes, Temporary: true, Who: "grader"})
}

// roomy is how many bytes must still fit on the disc in the end for what a real cluster did to count against anybody: twice what the
// cluster of any lab had there at most, with its solution (108 KiB, observe-system).
const roomy = 256 << 10

// room tries whether there is some.
func room() error {
	home, err := cluster.Home()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(home, "room-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, roomy))
	return errors.Join(err, f.Close())
}

// runScript replays a script in a child process. A broken child is our fault, everything else the script's.
func runScript(ctx context.Context, src []byte, o ScriptRun) (ScriptReport, error) {
	res := shell.RunIsolated(ctx, ScriptFile, src, shell.Options{World: o.World, Lab: o.Lab, Data: o.Data, Hooks: o.Hooks,
		Out: o.Out, Limits: shell.Limits{Wall: o.Wall}})
	if res.Err != nil && kit.KindOf(res.Err) == kit.Broken {
		return ScriptReport{}, res.Err
	}
	if ctx.Err() != nil {
		return ScriptReport{}, context.Cause(ctx)
	}
	return ScriptReport{Answers: res.Answers, Err: res.Err, OutOfTime: res.OutOfTime, Isolation: res.Isolation}, nil
}

// load gives the engine with a program compiled to machine code.
func (s *System) load(ctx context.Context, p *sim.Program) (*sim.Engine, error) {
	engine, err := s.simulator(ctx)
	if err != nil {
		return nil, err
	}
	return engine, engine.Load(ctx, p)
}

func (s *System) simulator(ctx context.Context) (_ *sim.Engine, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil {
		s.engine, err = newEngine(ctx)
	}
	return s.engine, err
}

// What the nodes of a graded run get. Those of the course's solutions have 9 MiB, and compute for some 20 ms in a whole
// run; both are counted by the simulator, not measured, so that a slow machine changes nothing.
const (
	nodeMemory = 64 << 20         // bytes, each
	trialCPU   = 10 * time.Second // of the simulator's time, together
)

// unfit gives the error of a program that cannot be made ready to run at all, which is its author's; nil for any other.
func unfit(ctx context.Context, err error) *kit.Error {
	var e *kit.Error
	if ctx.Err() == nil && errors.As(err, &e) && (e.Kind == kit.Invalid || e.Kind == kit.Refused || e.Kind == kit.Corrupt || e.Kind == kit.Overloaded) {
		copied := *e
		return &copied
	}
	return nil
}

// newEngine makes a simulator that keeps machine code in the user's cache.
func newEngine(ctx context.Context) (*sim.Engine, error) {
	dir, err := sim.CacheDir()
	if err != nil {
		dir = "" // slower, no more
	}
	return sim.NewEngine(context.WithoutCancel(ctx), sim.Compiled, dir)
}

// simulate starts a simulated cluster. A program whose nodes do not come up is no error: it is a simulation in
// which every node has died.
func (s *System) simulate(ctx context.Context, p Program, o SimRun) (Simulation, error) {
	program := p.(*sim.Program)
	engine, err := s.load(ctx, program)
	if e := unfit(ctx, err); e != nil {
		e.What = string(o.Nodes[0])
		return stillborn{nodes: o.Nodes, why: e}, nil
	}
	if err != nil {
		return nil, err
	}
	w, err := sim.New(ctx, sim.Config{Engine: engine, Program: program, Nodes: o.Nodes, Seed: o.Seed,
		Memory: nodeMemory, MaxCPU: trialCPU, Skew: o.Clocks, Halt: o.Halt, MaxEvents: o.Events})
	var e *kit.Error
	if errors.As(err, &e) && ctx.Err() == nil && (e.Kind == kit.Invalid || e.Kind == kit.Unavailable) {
		return stillborn{nodes: o.Nodes, why: e}, nil
	}
	if err != nil {
		return nil, err
	}
	return simulation{w}, nil
}
