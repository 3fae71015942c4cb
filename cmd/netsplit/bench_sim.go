package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
	"netsplit/kit/sim"
)

// benchSimLab is the lab that "bench sim" measures when none is named.
const benchSimLab = "two-phase-commit"

func newBenchSimCmd() *cobra.Command {
	var asJSON bool
	var runs int
	cmd := &cobra.Command{
		Use:   "sim [LAB]",
		Short: "Measure the simulator, and how fast it grades",
		Long: "Measures the simulator with the solution of a lab that asks for a program (" + benchSimLab + "): what it takes to\n" +
			"build a program, to make machine code of it, to start its nodes, and how many schedules it runs in a second on all\n" +
			"cores. A schedule is one run of one scenario under one seed. The first verdict is what a student waits for after\n" +
			"saving a file: build, machine code, and fifty schedules. Each row is the median of several runs.",
		Example: "  netsplit bench sim\n  netsplit bench sim failover --runs 7 --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if runs < 0 || runs > maxRuns {
				return &kit.Error{Op: "bench", Kind: kit.Invalid, Err: fmt.Errorf("%d runs, from 1 to %d are possible", runs, maxRuns)}
			}
			slug := benchSimLab
			if len(args) > 0 {
				slug = args[0]
			}
			b, err := newBenchSim(slug)
			if err != nil {
				return err
			}
			defer b.close()
			return bench(cmd, b.cases(), runs, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of {name, n, median, min, max, unit}")
	cmd.Flags().IntVar(&runs, "runs", 0, "samples of each row (default: what suits the row)")
	return cmd
}

// benchSim measures with the solution of one code lab.
type benchSim struct {
	lab    *lab.Lab
	sub    lab.Submission
	system lab.System
	edits  int
	seed   uint64
	built  lab.Program // of the solution as it is
}

func newBenchSim(slug string) (*benchSim, error) {
	c, err := catalog()
	if err != nil {
		return nil, err
	}
	l, err := c.Find(slug)
	if err != nil {
		return nil, err
	}
	if l.Manifest.Kind != lab.Code {
		return nil, &kit.Error{Op: "bench", What: slug, Kind: kit.Invalid, Err: fmt.Errorf("it is a lab of kind %s, which is not simulated", l.Manifest.Kind),
			Hint: `"netsplit lab list" says which labs ask for a program (kind code)`}
	}
	sub, err := l.Reference()
	return &benchSim{lab: l, sub: sub}, err
}

func (b *benchSim) close() { _ = b.system.Close() } // its engine ends with this process in any case

func (b *benchSim) cases() []benchCase {
	return []benchCase{
		{"build, nothing changed", "s", 5, func(ctx context.Context) (float64, error) { return b.build(ctx, false) }},
		{"build, one file changed", "s", 5, func(ctx context.Context) (float64, error) { return b.build(ctx, true) }},
		{"machine code of a changed program", "s", 3, func(ctx context.Context) (float64, error) { return b.load(ctx, true) }},
		{"machine code from the cache on disc", "s", 5, func(ctx context.Context) (float64, error) { return b.load(ctx, false) }},
		{"three nodes, ready", "ms", 20, func(ctx context.Context) (float64, error) { return b.idle(ctx, 0) }},
		{"three idle nodes, ten virtual seconds", "ms", 20, func(ctx context.Context) (float64, error) { return b.idle(ctx, 10*time.Second) }},
		{"schedules of " + b.lab.Slug + ", all cores", "1/s", 5, b.schedules},
		{"first verdict after an edit, 50 schedules", "s", 3, b.verdict},
	}
}

// source is the solution, changed or not. The change is one that the linker cannot leave out.
func (b *benchSim) source(changed bool) lab.Source {
	files := maps.Clone(b.sub.Files)
	if changed {
		b.edits++
		text := fmt.Sprintf("package main\n\nimport \"os\"\n\nvar edit = os.Getpid() + %d\n", time.Now().UnixNano()%1e9+int64(b.edits))
		files["bench_edit.go"] = []byte(text)
	}
	return lab.Source{Module: b.lab.Slug, Files: files}
}

// build gives the seconds of a build.
func (b *benchSim) build(ctx context.Context, changed bool) (float64, error) {
	src := b.source(changed)
	begun := time.Now()
	_, err := b.system.Env().Build(ctx, src)
	return time.Since(begun).Seconds(), err
}

// load gives the seconds until a new engine has a program's machine code.
func (b *benchSim) load(ctx context.Context, changed bool) (float64, error) {
	p, err := b.system.Env().Build(ctx, b.source(changed))
	if err != nil {
		return 0, err
	}
	dir, err := sim.CacheDir()
	if err != nil {
		return 0, err
	}
	e, err := sim.NewEngine(ctx, sim.Compiled, dir)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	err = e.Load(ctx, p.(*sim.Program))
	took := time.Since(begun)
	if closed := e.Close(ctx); err == nil {
		err = closed
	}
	return took.Seconds(), err
}

// program is the solution, built once.
func (b *benchSim) program(ctx context.Context) (lab.Program, error) {
	if b.built != nil {
		return b.built, nil
	}
	p, err := b.system.Env().Build(ctx, b.source(false))
	b.built = p
	return p, err
}

// idle gives the milliseconds that it takes to start three nodes and let so much time pass for them.
func (b *benchSim) idle(ctx context.Context, d time.Duration) (float64, error) {
	p, err := b.program(ctx)
	if err != nil {
		return 0, err
	}
	b.seed++
	begun := time.Now()
	w, err := b.system.Env().Simulate(ctx, p, lab.SimRun{Nodes: []kit.NodeName{"a", "b", "c"}, Seed: b.seed})
	if err != nil {
		return 0, err
	}
	if deaths := w.Deaths(); len(deaths) > 0 {
		return 0, &kit.Error{Op: "start node", What: string(deaths[0].Node), Kind: kit.Broken, Err: fmt.Errorf("%s", deaths[0].Why)}
	}
	if d > 0 {
		if err := w.Sleep(ctx, d); err != nil {
			return 0, err
		}
	}
	took := time.Since(begun)
	return millis(took), w.Close()
}

// graded runs about so many schedules of the lab with a program, and gives how many it were, and the seconds.
func (b *benchSim) graded(ctx context.Context, src lab.Source, schedules int) (n int, seconds float64, err error) {
	env := b.system.Env()
	if _, changed := src.Files["bench_edit.go"]; !changed {
		p, err := b.program(ctx)
		if err != nil {
			return 0, 0, err
		}
		env.Build = func(context.Context, lab.Source) (lab.Program, error) { return p, nil }
	}
	sub := b.sub
	sub.Files = src.Files
	each := len(b.lab.Scenarios)
	b.seed += uint64(schedules)
	g := &lab.Grader{Env: env, Version: lab.Version()}
	begun := time.Now()
	r, err := g.Grade(ctx, b.lab, sub, lab.Options{Seed: b.seed, Seeds: (schedules + each - 1) / each})
	took := time.Since(begun)
	if err != nil {
		return 0, 0, err
	}
	if r.Verdict != grade.Pass {
		return 0, 0, &kit.Error{Op: "grade solution", What: b.lab.Slug, Kind: kit.Broken, Err: fmt.Errorf("%s with seed %d %s", r.Verdict, r.Seed, strings.TrimSpace(r.Problem))}
	}
	return len(r.Runs), took.Seconds(), nil
}

// schedules gives how many schedules are run in a second, once the program is there.
func (b *benchSim) schedules(ctx context.Context) (float64, error) {
	n, seconds, err := b.graded(ctx, b.source(false), 100)
	if err != nil {
		return 0, err
	}
	return float64(n) / seconds, nil
}

// verdict gives the seconds from an edit to the verdict on fifty schedules.
func (b *benchSim) verdict(ctx context.Context) (float64, error) {
	_, seconds, err := b.graded(ctx, b.source(true), 50)
	return seconds, err
}
