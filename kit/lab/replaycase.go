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

// Which says which run of a result to look at.
type Which struct {
	Scenario string // "" is that of the first failing task
	Task     string // the run that explains this task; "" is the first failing one of the scenario
	Full     bool   // the whole run, also where the result explains a failure with a shorter one
}

// simCase is one simulated run of a result that is to be run again.
type simCase struct {
	lab      *Lab
	scenario Scenario
	seed     uint64
	task     grade.Task // that it explains; the zero value when all passed
	recorded string     // the hash on record; empty when there is none
	work     prepared
	whole    *trial        // what a shorter run is a part of; nil when the whole is looked at
	shrunk   *grade.Shrunk // the part
	part     part
	diff     []string // how the whole was not the recorded one
}

// simRun is what came of running a case again.
type simRun struct {
	trial  *trial
	events []sim.Event // until the end of the run, at most maxLogged
	over   string      // why the simulation ended before its time
}

// openCase finds the run that a result rests on: that of the first failing or unclear task, or of one that is named. Where the
// result explains a failure with a shorter run, that is the one which it speaks of, and it is meant unless the whole is asked for.
// Only code labs are simulated.
func (g *Grader) openCase(ctx context.Context, l *Lab, old *grade.Result, which Which) (simCase, error) {
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
	c, err := l.pick(old, which)
	if err != nil {
		return simCase{}, err
	}
	for _, r := range old.Runs {
		if r.Scenario == c.scenario.Name && r.Seed == c.seed {
			c.recorded = r.Hash
		}
	}
	if c.work, err = g.prepare(ctx, l, sub); err != nil || c.task.Shrunk == nil || which.Full {
		return c, err
	}
	return g.openShorter(ctx, old, c)
}

// openShorter makes the case that of the shorter run which explains its task. What is left out in it follows from the whole, which is
// run for that.
func (g *Grader) openShorter(ctx context.Context, old *grade.Result, c simCase) (simCase, error) {
	p, err := parsePart(c.task.Shrunk.Kept)
	if err != nil {
		return c, err
	}
	whole, err := g.runTrial(ctx, c.lab, c.scenario, c.seed, c.work)
	if err != nil {
		return c, err
	}
	if whole.history == nil {
		return c, &kit.Error{Op: "replay", What: c.lab.Slug, Kind: kit.Overloaded, Err: errors.New(whole.budget), Hint: "try again when the machine has less to do"}
	}
	c.diff = c.otherwise(old, whole.hash, g.Version)
	c.whole, c.shrunk, c.part, c.recorded = whole, c.task.Shrunk, p, c.task.Shrunk.Hash
	return c, nil
}

// pick chooses a scenario and a seed of a result, and the task that this run explains.
func (l *Lab) pick(old *grade.Result, which Which) (simCase, error) {
	var names []string
	for _, s := range l.Scenarios {
		names = append(names, s.Name)
	}
	none := func(what string, err error, hint string) (simCase, error) {
		return simCase{}, &kit.Error{Op: "replay", What: what, Kind: kit.NotFound, Err: err, Hint: hint}
	}
	if which.Scenario != "" && !slices.Contains(names, which.Scenario) {
		return none(fmt.Sprintf("scenario %.64q", which.Scenario), nil, fmt.Sprintf("the scenarios of %s are %v", l.Slug, names))
	}
	if _, ok := l.Manifest.Task(which.Task); which.Task != "" && !ok {
		return none(fmt.Sprintf("task %.64q", which.Task), nil, fmt.Sprintf("the tasks of %s are %v", l.Slug, l.Manifest.TaskNames()))
	}
	wanted := func(s Scenario, task string) bool {
		return (which.Scenario == "" || s.Name == which.Scenario) && (which.Task == "" || task == which.Task)
	}
	for _, v := range []grade.Verdict{grade.Fail, grade.Inconclusive} {
		for _, t := range old.Tasks {
			for _, s := range l.Scenarios {
				if t.Verdict == v && t.Seed != 0 && wanted(s, t.Name) && l.explains(s, t) {
					return simCase{lab: l, scenario: s, seed: t.Seed, task: t}, nil
				}
			}
		}
	}
	for _, s := range l.Scenarios {
		if wanted(s, which.Task) && (which.Task == "" || slices.Contains(l.tasksOf(s), which.Task)) {
			return simCase{lab: l, scenario: s, seed: old.Seed}, nil
		}
	}
	return none("task "+which.Task, errors.New("no run of the cluster judges it there"), fmt.Sprintf("leave --task out, or name another scenario: there are %v", names))
}

// explains reports whether a task is explained with a run of a scenario. Results of earlier versions do not say with which.
func (l *Lab) explains(s Scenario, t grade.Task) bool {
	if t.Scenario != "" {
		return t.Scenario == s.Name
	}
	return slices.Contains(l.tasksOf(s), t.Name)
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
	t, err := again.once(ctx, c)
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

// once runs the whole, or the part of it that is looked at.
func (g *Grader) once(ctx context.Context, c simCase) (*trial, error) {
	if c.shrunk != nil {
		return g.runPart(ctx, c.lab, c.scenario, c.whole, c.work, c.part)
	}
	return g.runTrial(ctx, c.lab, c.scenario, c.seed, c.work)
}

// otherwise says how a run that was to be the recorded one was not.
func (c simCase) otherwise(old *grade.Result, hash, version string) []string {
	if c.recorded == "" || c.recorded == hash {
		return c.diff
	}
	run := fmt.Sprintf("%s with seed %d", c.scenario.Name, c.seed)
	if c.shrunk != nil {
		run = "the shorter run that explains task " + c.task.Name
	}
	diff := append(slices.Clone(c.diff), fmt.Sprintf("%s went otherwise than in the recorded run: its event log is %s, not %s", run, hash, c.recorded))
	if old.Version != version && len(c.diff) == 0 {
		diff = append(diff, fmt.Sprintf("another netsplit recorded it: %s, this is %s", old.Version, version))
	}
	return diff
}
