package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/sim"
)

// maxLogged is how many entries of a run's event log a replay keeps: the latest ones.
const maxLogged = 400_000

// simCase is one simulated run of a result that is to be run again.
type simCase struct {
	lab      *Lab
	scenario Scenario
	seed     uint64
	recorded string // the hash on record; empty when there is none
	work     prepared
}

// simRun is what came of running a case again.
type simRun struct {
	trial  *trial
	events []sim.Event // until the end of the run, at most maxLogged
	over   string      // why the simulation ended before its time
}

// openCase finds the run that a result rests on: that of the first failing or unclear task, or of a scenario that is
// named. Only code labs are simulated.
func (g *Grader) openCase(ctx context.Context, l *Lab, old *grade.Result, scenario string) (simCase, error) {
	bad := func(text, hint string) (simCase, error) {
		return simCase{}, &kit.Error{Op: "replay", What: l.Slug, Kind: kit.Invalid, Err: errors.New(text), Hint: hint}
	}
	if l.Manifest.Kind != Code {
		return bad("it was graded on a cluster of real processes, which keeps no event log and cannot be stopped at a moment",
			"\"netsplit replay RESULT\" runs it again; for a log and a look, take the result of a code lab")
	}
	if old.Problem != "" {
		return bad("the work could not be run, so there is no run to look at: "+firstLine(old.Problem), "mend that, and grade it again")
	}
	sub, err := l.unchanged(old)
	if err != nil {
		return simCase{}, err
	}
	c := simCase{lab: l}
	if c.scenario, c.seed, err = l.pick(old, scenario); err != nil {
		return simCase{}, err
	}
	for _, r := range old.Runs {
		if r.Scenario == c.scenario.Name && r.Seed == c.seed {
			c.recorded = r.Hash
		}
	}
	c.work, err = g.prepare(ctx, l, sub)
	return c, err
}

// pick chooses a scenario and a seed of a result.
func (l *Lab) pick(old *grade.Result, name string) (Scenario, uint64, error) {
	var names []string
	for _, s := range l.Scenarios {
		names = append(names, s.Name)
	}
	if name != "" && !slices.Contains(names, name) {
		return Scenario{}, 0, &kit.Error{Op: "replay", What: fmt.Sprintf("scenario %.64q", name), Kind: kit.NotFound, Hint: fmt.Sprintf("the scenarios of %s are %v", l.Slug, names)}
	}
	for _, v := range []grade.Verdict{grade.Fail, grade.Inconclusive} {
		for _, t := range old.Tasks {
			if t.Verdict != v || t.Seed == 0 {
				continue
			}
			for _, s := range l.Scenarios {
				if slices.Contains(l.tasksOf(s), t.Name) && (name == "" || name == s.Name) {
					return s, t.Seed, nil
				}
			}
		}
	}
	i := max(0, slices.Index(names, name))
	return l.Scenarios[i], old.Seed, nil
}

// run runs the case once; change may alter how it is simulated.
func (g *Grader) run(ctx context.Context, c simCase, change func(*SimRun)) (simRun, error) {
	var world Simulation
	again := *g
	again.Env.Simulate = func(ctx context.Context, p Program, o SimRun) (Simulation, error) {
		o.Events = maxLogged
		change(&o)
		w, err := g.Env.Simulate(ctx, p, o)
		world = w
		return w, err
	}
	t, err := again.runTrial(ctx, c.lab, c.scenario, c.seed, c.work)
	if err != nil {
		return simRun{}, err
	}
	r := simRun{trial: t}
	if world == nil {
		return r, nil
	}
	r.over = world.Over()
	if log, ok := world.(interface{ Events() []sim.Event }); ok {
		r.events = log.Events()
		// That the grader closed it is no part of the run.
		if n := len(r.events); n > 0 && r.events[n-1].What == sim.WorldOver {
			r.events = r.events[:n-1]
		}
	}
	return r, nil
}

// otherwise says how a run that was to be the recorded one was not.
func (c simCase) otherwise(old *grade.Result, hash, version string) []string {
	if c.recorded == "" || c.recorded == hash {
		return nil
	}
	diff := []string{fmt.Sprintf("%s with seed %d went otherwise than in the recorded run: its event log is %s, not %s", c.scenario.Name, c.seed, hash, c.recorded)}
	if old.Version != version {
		diff = append(diff, fmt.Sprintf("another netsplit recorded it: %s, this is %s", old.Version, version))
	}
	return diff
}
