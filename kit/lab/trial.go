package lab

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// How long one run may take in real time before the grader gives up on it.
const (
	scriptWall = 90 * time.Second
	trialWall  = 3 * time.Minute
)

// undated shows no deadline, though it ends at one: deadlines are real time, and requests in the simulator would be given
// up for them at moments that depend on the machine.
type undated struct{ context.Context }

// Deadline shows none.
func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

// errTrialWall ends a run that takes too long.
var errTrialWall = fmt.Errorf("the grader gave up on this run after %v", trialWall)

// trial is one run of one scenario under one seed, judged.
type trial struct {
	scenario  string
	seed      uint64
	findings  map[string]grade.Finding // by task
	history   *history.History
	hash      string
	output    string
	stopped   string // why the student's script or program ended early, in words for the student
	isolation string
	budget    string // in real time, that ran out
	full      error  // why nothing more could be written in the end
	lag       time.Duration
	took      time.Duration
	left      *leftOut // what of the work was not done; nil is nothing
}

// runTrial runs and judges. An error means that the harness is broken: it says nothing about the submission.
func (g *Grader) runTrial(parent context.Context, l *Lab, s Scenario, seed uint64, work prepared) (*trial, error) {
	return g.runCase(parent, l, s, seed, work, nil)
}

// runCase is runTrial of a run of which something may be left out. What the lab's own code panics of is an error, also where many
// runs go on at once.
func (g *Grader) runCase(parent context.Context, l *Lab, s Scenario, seed uint64, work prepared, left *leftOut) (_ *trial, err error) {
	defer catch("run", fmt.Sprintf("%s with seed %d", s.Name, seed), &err)
	ctx, cancel := context.WithCancelCause(undated{parent})
	defer cancel(nil)
	late := time.AfterFunc(trialWall, func() { cancel(errTrialWall) })
	defer late.Stop()
	t := &trial{scenario: s.Name, seed: seed, left: left}
	plan := s.New(seed)
	began, lag := time.Now(), startLag(ctx)
	switch l.Manifest.Kind {
	case Script:
		err = g.scriptTrial(ctx, l, s, plan, work, t)
	case Answer:
		err = g.answerTrial(ctx, l, s, plan, work, t)
	default:
		err = g.codeTrial(ctx, l, s, plan, work, t)
	}
	t.lag, t.took = lag.end(), time.Since(began)
	if parent.Err() != nil {
		return nil, context.Cause(parent)
	}
	if ctx.Err() != nil {
		t.budget = errTrialWall.Error()
		t.giveUp(plan, t.budget+t.busy())
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run %s with seed %d: %w", s.Name, seed, err)
	}
	if t.findings == nil {
		if t.findings, err = judge(plan.Checks, t.history); err != nil {
			return nil, err
		}
	}
	if l.Manifest.Kind.live() && !work.fixed() {
		t.blameStop()
		t.excuseStarved()
		t.excuseFullDisc()
	}
	return t, nil
}

// giveUp makes every task of the scenario inconclusive: a budget of the grader's ran out, so nothing is known.
func (t *trial) giveUp(plan Plan, why string) {
	t.findings = map[string]grade.Finding{}
	for _, c := range plan.Checks {
		t.findings[c.Task] = grade.Unclear(why)
	}
}

// blameStop makes what nothing could be said about a failure when the script itself stopped early: then it is
// known why nothing was seen.
func (t *trial) blameStop() {
	if t.stopped == "" {
		return
	}
	if t.budget != "" {
		t.excuseLate()
		return
	}
	for name, f := range t.findings {
		if f.Verdict == grade.Inconclusive {
			f.Verdict, f.Why = grade.Fail, "the script stopped before this could be seen: "+f.Why
			t.findings[name] = f
		}
	}
}

// excuseLate makes failures inconclusive when the script was ended for the time that it took. A machine that had more time
// to give might have seen it through.
func (t *trial) excuseLate() {
	for name, f := range t.findings {
		if f.Verdict == grade.Fail {
			f.Verdict = grade.Inconclusive
			f.Why = fmt.Sprintf("%s%s, so nothing is proved; seen until then was: %s", t.budget, t.busy(), f.Why)
			t.findings[name] = f
		}
	}
}

// busy says how long the machine kept the grader from running, when that is worth a word.
func (t *trial) busy() string {
	if t.lag < starvedAfter {
		return ""
	}
	return fmt.Sprintf(" (its machine was busy: it stood still for %v)", t.lag.Round(time.Millisecond))
}

// excuseStarved makes failures inconclusive when the machine kept the grader from running for so long that a real
// cluster may have misbehaved for that reason alone.
func (t *trial) excuseStarved() {
	if t.lag < starvedAfter {
		return
	}
	for name, f := range t.findings {
		if f.Verdict == grade.Fail {
			f.Verdict = grade.Inconclusive
			f.Why = fmt.Sprintf("the grader's machine was busy (it stood still for %v), so this run proves nothing; seen was: %s",
				t.lag.Round(time.Millisecond), f.Why)
			t.findings[name] = f
		}
	}
}

// excuseFullDisc makes failures inconclusive when nothing more could be written in the end: nodes and faults fail for that reason alone.
func (t *trial) excuseFullDisc() {
	if t.full == nil {
		return
	}
	for name, f := range t.findings {
		if f.Verdict == grade.Fail {
			f.Verdict = grade.Inconclusive
			f.Why = fmt.Sprintf("the disc of the grader's machine is full (%v), so this run proves nothing: make room and grade again; seen was: %s", t.full, f.Why)
			t.findings[name] = f
		}
	}
}

// catch is deferred where a lab's own code runs: its panic is a broken harness, and says nothing about the submission.
func catch(op, what string, err *error) {
	if p := recover(); p != nil {
		*err = &kit.Error{Op: op, What: what, Kind: kit.Broken, Err: fmt.Errorf("the lab's own code panicked: %v\n\n%s", p, debug.Stack())}
	}
}

// judge applies all checks to a history. A check that panics is a broken harness.
func judge(checks []Check, h *history.History) (map[string]grade.Finding, error) {
	byTask := map[string][]grade.Judge{}
	for _, c := range checks {
		byTask[c.Task] = append(byTask[c.Task], c.Judge)
	}
	findings := map[string]grade.Finding{}
	for _, c := range checks {
		task := c.Task
		if _, done := findings[task]; done {
			continue
		}
		f, err := findingOf(task, grade.All(byTask[task]...), h)
		if err != nil {
			return nil, err
		}
		if h.Truncated && f.Verdict == grade.Pass {
			f = grade.Unclear("the run was too long to record whole", f.Receipts...)
		}
		findings[task] = f
	}
	return findings, nil
}

// findingOf applies one check.
func findingOf(task string, judge grade.Judge, h *history.History) (_ grade.Finding, err error) {
	defer catch("judge", task, &err)
	return judge(h).Bit(), nil
}

// phase is one step of a run on a real cluster.
type phase struct {
	name history.Phase
	what string // for errors; they are the harness's
	do   func(ctx context.Context, w *World) error
}

// onCluster runs the phases on a fresh real cluster and keeps the record of them.
func (g *Grader) onCluster(ctx context.Context, l *Lab, s Scenario, t *trial, phases ...phase) (err error) {
	cluster, err := g.Env.Cluster(ctx, l.Slug, l.nodes(s))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	w := Record(cluster)
	for _, p := range phases {
		w.Enter(p.name)
		if p.do == nil {
			continue
		}
		if err := p.do(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", p.what, err)
		}
	}
	w.takeTraffic(ctx)
	if g.Env.Room != nil {
		t.full = g.Env.Room()
	}
	t.history = w.History()
	return nil
}

// scriptTrial replays run.star and looks at what it left.
func (g *Grader) scriptTrial(ctx context.Context, l *Lab, s Scenario, plan Plan, work prepared, t *trial) error {
	return g.onCluster(ctx, l, s, t,
		phase{history.Setup, "set up", plan.Setup},
		phase{history.Work, "replay", g.replay(l, plan, work, t)},
		phase{history.Observe, "observe", plan.Observe})
}

// answerTrial reads the facts that are asked for off a cluster on which nobody has worked, and only then takes the
// student's answers, or lets the script find them: what a script does to the cluster cannot change the facts.
func (g *Grader) answerTrial(ctx context.Context, l *Lab, s Scenario, plan Plan, work prepared, t *trial) error {
	answer := g.replay(l, plan, work, t)
	if work.fixed() {
		answer = func(_ context.Context, w *World) error {
			for name, v := range work.answers {
				w.Note(name, v)
			}
			return nil
		}
	}
	return g.onCluster(ctx, l, s, t,
		phase{history.Setup, "set up", plan.Setup},
		phase{history.Observe, "observe", plan.Observe},
		phase{history.Work, "answer", answer})
}

// replay runs the student's script and notes its answers.
func (g *Grader) replay(l *Lab, plan Plan, work prepared, t *trial) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		var out tail
		report, err := g.replayBeside(ctx, l, plan, w, ScriptRun{World: w, Lab: l.Slug, Data: plan.Data, Hooks: plan.Hooks,
			Wall: scriptWall, Out: &out}, work.script)
		if err != nil {
			return err
		}
		for name, v := range report.Answers {
			w.Note(name, v)
		}
		t.output, t.isolation = out.String(), report.Isolation
		if report.Err != nil {
			t.stopped = stoppedText(report.Err)
		}
		if report.OutOfTime {
			t.budget = fmt.Sprintf("%s was still at work after %v", ScriptFile, scriptWall)
		}
		return nil
	}
}

// replayBeside runs the script, and the lab's own clients beside it until the script ends.
func (g *Grader) replayBeside(ctx context.Context, l *Lab, plan Plan, w *World, run ScriptRun, src []byte) (ScriptReport, error) {
	if plan.Drive == nil {
		return g.Env.Script(ctx, src, run)
	}
	driveCtx, stop := context.WithCancel(ctx)
	driven := make(chan error, 1)
	go func() {
		var err error
		defer func() { driven <- err }()
		defer catch("drive", l.Slug, &err)
		err = plan.Drive(driveCtx, w)
	}()
	report, err := g.Env.Script(ctx, src, run)
	stop()
	if derr := <-driven; derr != nil && !errors.Is(derr, context.Canceled) {
		err = errors.Join(err, fmt.Errorf("drive: %w", derr))
	}
	return report, err
}

func stoppedText(err error) string {
	text := ScriptFile + " stopped early: " + err.Error()
	if hint := kit.HintOf(err); hint != "" {
		text += "\nhint: " + hint
	}
	return text
}

// codeTrial runs the student's program on all nodes of a simulated cluster.
func (g *Grader) codeTrial(ctx context.Context, l *Lab, s Scenario, plan Plan, work prepared, t *trial) (err error) {
	sim, err := g.Env.Simulate(ctx, work.program, SimRun{Nodes: l.nodes(s), Seed: t.seed, Clocks: plan.Clocks})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.Close()) }()
	w := recordLess(sim, t.left)
	w.clocksFromStart(plan.Clocks)
	steps := []struct {
		phase history.Phase
		name  string
		do    func(context.Context, *World) error
	}{{history.Setup, "set up", plan.Setup}, {history.Work, "drive", plan.Drive}, {history.Observe, "observe", plan.Observe}}
	for _, step := range steps {
		w.Enter(step.phase)
		if step.do == nil {
			continue
		}
		err := step.do(ctx, w)
		w.Wait()
		if deaths := sim.Deaths(); len(deaths) > 0 {
			t.history, t.hash, t.output = w.History(), sim.Hash(), sim.Output()
			t.died(plan, deaths[0])
			return nil
		}
		if why := sim.Over(); why != "" {
			t.history, t.hash, t.output = w.History(), sim.Hash(), sim.Output()
			t.giveUp(plan, "the simulation was ended: "+why)
			return nil
		}
		if err != nil && ctx.Err() == nil && kit.KindOf(err) != kit.Broken {
			t.history, t.hash, t.output = w.History(), sim.Hash(), sim.Output()
			t.balked(plan, step.name, err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	w.takeTraffic(ctx)
	t.history, t.hash, t.output = w.History(), sim.Hash(), sim.Output()
	return nil
}

// balked fails every task of the scenario because the program's nodes would not do what every node does. In a code lab
// all nodes run the submission, and the lab's own part is proved with the solution, so that nobody else is to blame.
func (t *trial) balked(plan Plan, step string, err error) {
	t.stopped = fmt.Sprintf("the nodes do not serve: %s: %v", step, err)
	t.findings = map[string]grade.Finding{}
	for _, c := range plan.Checks {
		t.findings[c.Task] = grade.Failed(t.stopped, "nodes that do what they are asked, beside what the lab adds to them", err.Error())
	}
}

// died fails every task of the scenario because a node's program ended by itself.
func (t *trial) died(plan Plan, d Death) {
	t.stopped = fmt.Sprintf("node %s ended by itself at %v: %s", d.Node, d.At.Round(time.Millisecond), d.Why)
	if text := strings.TrimSpace(d.Text); text != "" {
		t.output = text
	}
	var open []int // what was asked of the node when it died is what killed it
	for _, o := range t.history.Ops {
		if o.Node == d.Node && o.Begin <= d.At && (o.End == history.Open || o.End >= d.At) && len(open) < 4 {
			open = append(open, o.ID)
		}
	}
	t.findings = map[string]grade.Finding{}
	for _, c := range plan.Checks {
		t.findings[c.Task] = grade.Failed(t.stopped, "a program that serves until it is told to stop", d.Why, open...)
	}
}

// tail keeps the last of what a submission prints.
type tail struct{ b []byte }

const maxTail = 8 << 10

// Write never fails; what is older than the last maxTail bytes is forgotten.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 2*maxTail {
		t.b = append([]byte(nil), t.b[len(t.b)-maxTail:]...)
	}
	return len(p), nil
}

// String gives at most the last maxTail bytes.
func (t *tail) String() string { return string(t.b[max(0, len(t.b)-maxTail):]) }
