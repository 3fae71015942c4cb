package lab

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/term"
)

// Grader grades submissions.
type Grader struct {
	Env     Env
	Version string // of this program, for the result
	// Progress is told what goes on, a short line at a time; nil is silent. It may be called from any goroutine,
	// one call at a time.
	Progress func(line string)
	// News is told at once what stays true: that a task has failed, and with which seed. It is called as Progress is; nil is
	// Progress.
	News func(line string)
	// Jobs is how many simulated runs go on at once; 0 is one a core.
	Jobs int
	// TestJobs is how many wrong programs are compiled and run at once with a submission's tests, and no more than Jobs; 0 is two.
	// Each takes some 150 MB while it is linked.
	TestJobs int
}

// Options of one grading.
type Options struct {
	Seed  uint64 // of the first run; 0 draws one
	Seeds int    // how many runs; 0 is what the manifest says
	// Shown, when set, is given each failed task's history, as it is explained. It is called before Grade returns.
	Shown func(sub Submission, t Telling)
	// Shrink bounds the search for shorter runs to explain failures with, in labs that are simulated; zero is none.
	Shrink ShrinkLimits
	// tested is what tests got before, when many programs are graded that have the same; nil to judge them each time.
	tested *testsKnown
	// fewer is how many runs single tasks are judged on, where that is less than Seeds.
	fewer map[string]int
	// shown are shorter runs to show without a search, by task: those of a result that is replayed.
	shown map[string]*grade.Shrunk
}

// The isolation that a result names.
const (
	isolationScript = "a fresh cluster of node processes on this machine; the script apart: "
	isolationAnswer = "a fresh cluster of node processes on this machine; the answers are data, nothing of yours is run"
	isolationCode   = "WebAssembly sandbox: no files, no network, no clock and no environment of this machine; compiled by its Go toolchain, which runs nothing of yours"
)

// prepared is a submission made ready to run.
type prepared struct {
	script  []byte
	program Program
	answers map[string]term.Term // of an answer file; nil when there is a script to find them
}

// fixed reports whether the work is about the cluster of one seed, so that other seeds say nothing about it.
func (p prepared) fixed() bool { return p.answers != nil }

// Grade runs and judges a submission. An error means that the harness is broken (exit code 3) or was
// interrupted; whatever is wrong with the submission is in the result. Who interrupts the search for shorter runs gets the result
// with what was found.
func (g *Grader) Grade(ctx context.Context, l *Lab, sub Submission, o Options) (*grade.Result, error) {
	began := time.Now()
	work, err := g.prepare(ctx, l, sub)
	if err == nil {
		err = o.settle(l, sub, work)
		if err != nil && !errors.Is(err, errNoSeed) {
			return nil, err
		}
	}
	r := g.blank(l, sub, o)
	if err != nil {
		if err := unrun(r, err); err != nil {
			return nil, err
		}
		r.Millis = time.Since(began).Milliseconds()
		return r, nil
	}
	if work.fixed() {
		r.Isolation = isolationAnswer
	}
	led := newLedger(l, sub, o, work.fixed())
	if err := g.runAll(ctx, l, work, o, led); err != nil {
		return nil, err
	}
	led.account(r)
	if l.Tests != nil && !led.hopeless(l.Tests.Task) {
		if err := g.gradeTests(ctx, l, sub, o, r); err != nil {
			return nil, err
		}
	}
	if err := g.shrinkFailed(ctx, l, sub, work, o, led); err != nil {
		return nil, err
	}
	led.fill(r)
	led.tell(o.Shown)
	r.Settle()
	r.Millis = time.Since(began).Milliseconds()
	return r, nil
}

// unrun fills in the result of a submission that could not be run: failed when the submission is at fault, inconclusive
// when a budget in real time ran out. Any other error is the harness's, and is given back.
func unrun(r *grade.Result, err error) error {
	verdict := grade.Fail
	var late *Exhausted
	switch {
	case errors.As(err, &late):
		verdict, r.Budgets = grade.Inconclusive, []string{late.Error()}
	case kit.KindOf(err) != kit.Invalid:
		return err
	}
	r.Problem = problemText(err)
	for i := range r.Tasks {
		r.Tasks[i].Verdict, r.Tasks[i].Why = verdict, "the submission could not be run: "+firstLine(r.Problem)
	}
	r.Settle()
	return nil
}

// errNoSeed: answers are about the cluster of one seed, and nobody knows of which.
var errNoSeed = &kit.Error{Op: "grade", What: AnswerFile, Kind: kit.Invalid, Err: errors.New("it is not known which cluster the answers are about"),
	Hint: fmt.Sprintf("grade the folder that \"netsplit lab start\" made, with its %s, or say --seed", markerFile)}

// settle fills in the seeds that were not given.
func (o *Options) settle(l *Lab, sub Submission, work prepared) error {
	if o.Seeds > maxSeeds {
		return &kit.Error{Op: "grade", Kind: kit.Invalid, Err: fmt.Errorf("%d seeds, at most %d", o.Seeds, maxSeeds)}
	}
	if work.fixed() {
		if o.Seeds > 1 {
			return &kit.Error{Op: "grade", What: AnswerFile, Kind: kit.Invalid, Err: errors.New("answers are about the cluster of one seed"), Hint: "leave --seeds out"}
		}
		o.Seeds = 1
		if o.Seed == 0 {
			o.Seed = sub.Seed
		}
		if o.Seed == 0 {
			return errNoSeed
		}
	}
	if o.Seeds <= 0 {
		o.Seeds = l.Manifest.Seeds
	}
	if o.Seed == 0 {
		o.Seed = DrawSeed()
	}
	return nil
}

// DrawSeed gives a seed that is easy to type; never 0.
func DrawSeed() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return binary.LittleEndian.Uint64(b[:])%999_999 + 1
}

func (g *Grader) blank(l *Lab, sub Submission, o Options) *grade.Result {
	r := &grade.Result{Lab: l.Slug, Title: l.Manifest.Title, Kind: string(l.Manifest.Kind), Version: g.Version, Seed: o.Seed,
		Seeds: o.Seeds, Isolation: isolationCode, Standing: l.Standing(),
		Submission: grade.Submission{Dir: sub.Dir, Name: sub.Name, Digest: sub.Digest()}}
	if l.Manifest.Kind.live() {
		r.Isolation = isolationScript + "not run"
	}
	for _, t := range l.Manifest.Tasks {
		r.Tasks = append(r.Tasks, grade.Task{Name: t.Name, Title: t.Title, Max: t.Points, After: t.After, Rationale: t.Proves,
			Lesson: t.Lesson, Verdict: grade.Inconclusive})
	}
	return r
}

// prepare checks and compiles. A mistake of the student's is an error of kind Invalid.
func (g *Grader) prepare(ctx context.Context, l *Lab, sub Submission) (prepared, error) {
	if sub.Refused != nil {
		return prepared{}, sub.Refused
	}
	if len(sub.Files) == 0 {
		return prepared{}, refuse(sub.Name, "there is nothing to grade in it")
	}
	switch l.Manifest.Kind {
	case Script:
		return prepared{script: sub.Files[ScriptFile]}, nil
	case Answer:
		return l.prepareAnswers(sub)
	}
	if err := sub.forbidden(); err != nil {
		return prepared{}, err
	}
	g.say("compiling")
	p, err := g.Env.Build(ctx, Source{Module: l.Slug, Files: sub.Files})
	return prepared{program: p}, invalidIfCompile(err)
}

// prepareAnswers reads the answer file, or takes the script that finds the answers. When both are there it must be
// plain which one is meant: an answer file that is as the starter has it does not count.
func (l *Lab) prepareAnswers(sub Submission) (prepared, error) {
	script, hasScript := sub.Files[ScriptFile]
	src, hasFile := sub.Files[AnswerFile]
	if !hasFile {
		return prepared{script: script}, nil
	}
	answers, err := l.parseAnswers(src)
	switch {
	case err != nil:
		return prepared{}, err
	case !hasScript:
		return prepared{answers: answers}, nil
	case len(answers) == 0:
		return prepared{script: script}, nil
	}
	return prepared{}, &kit.Error{Op: "read", What: sub.Name, Kind: kit.Invalid, Err: fmt.Errorf("it has answers in %s, and %s to find them", AnswerFile, ScriptFile),
		Hint: "hand in one of the two, and take the other away"}
}

func invalidIfCompile(err error) error {
	var c *CompileError
	if errors.As(err, &c) {
		return &kit.Error{Op: "compile", Kind: kit.Invalid, Err: c, Hint: c.Hint}
	}
	return err
}

func problemText(err error) string {
	text := err.Error()
	if hint := kit.HintOf(err); hint != "" {
		text += "\nhint: " + hint
	}
	return grade.Clean(text)
}

func firstLine(s string) string {
	for i, r := range s {
		if r == '\n' {
			return s[:i]
		}
	}
	return s
}

func (g *Grader) say(format string, args ...any) {
	if g.Progress != nil {
		g.Progress(fmt.Sprintf(format, args...))
	}
}

// tell gives news.
func (g *Grader) tell(line string) {
	if g.News != nil {
		g.News(line)
		return
	}
	g.say("%s", line)
}

// tasksOf lists the tasks that a scenario judges.
func (l *Lab) tasksOf(s Scenario) []string {
	var names []string
	for _, c := range s.New(1).Checks {
		if !slices.Contains(names, c.Task) {
			names = append(names, c.Task)
		}
	}
	return names
}
