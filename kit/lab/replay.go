package lab

import (
	"context"
	"errors"
	"fmt"

	"netsplit/kit"
	"netsplit/kit/grade"
)

// Replay is what came of running a recorded result's case again.
type Replay struct {
	Result *grade.Result
	// Differences says in words where the run was not the recorded one; empty when it was the same.
	Differences []string
}

// ReplayOptions say how to run a case again.
type ReplayOptions struct {
	Twice bool // run it two times, and compare the two as well
	Full  bool // explain failures with the whole run, also where the result shows a shorter one
}

// Replay runs the case that a result rests on again: the first failing or unclear seed, or the first of all when
// everything passed; and then the shorter runs that explain its failures. A submission that has changed since is an error.
func (g *Grader) Replay(ctx context.Context, l *Lab, old *grade.Result, how ReplayOptions) (Replay, error) {
	sub, err := l.unchanged(old)
	if err != nil {
		return Replay{}, err
	}
	o := Options{Seed: caseSeed(old), Seeds: 1}
	if !how.Full {
		o.shown = shownIn(old, o.Seed)
	}
	r, err := g.Grade(ctx, l, sub, o)
	if err != nil {
		return Replay{}, err
	}
	rep := Replay{Result: r, Differences: differences("the recorded run", old, r)}
	rep.Differences = append(rep.Differences, otherShown("the recorded run", o.shown, r)...)
	if !how.Twice {
		return rep, nil
	}
	again, err := g.Grade(ctx, l, sub, o)
	if err != nil {
		return rep, err
	}
	rep.Differences = append(rep.Differences, differences("the first replay", r, again)...)
	rep.Differences = append(rep.Differences, otherShown("the first replay", shownIn(r, o.Seed), again)...)
	return rep, nil
}

// unchanged reads a recorded submission again and sees to it that it is the same.
func (l *Lab) unchanged(old *grade.Result) (Submission, error) {
	sub, err := l.reopen(old.Submission)
	if err == nil && sub.Digest() != old.Submission.Digest {
		err = &kit.Error{Op: "replay", What: old.Submission.Name, Kind: kit.Invalid,
			Err:  errors.New("the work has changed since it was graded, so the run would be another"),
			Hint: fmt.Sprintf("\"netsplit grade %s --seed %d\" grades it as it is now with the same seed", quoteArg(sub.Name), old.Seed)}
	}
	return sub, err
}

// shownIn gives the shorter runs of a seed that a result shows, by task.
func shownIn(r *grade.Result, seed uint64) map[string]*grade.Shrunk {
	shown := map[string]*grade.Shrunk{}
	for _, t := range r.Tasks {
		if t.Shrunk != nil && t.Seed == seed {
			shown[t.Name] = t.Shrunk
		}
	}
	return shown
}

// otherShown compares the shorter runs that were to be shown with those that a result has.
func otherShown(than string, want map[string]*grade.Shrunk, r *grade.Result) []string {
	var diff []string
	for _, t := range r.Tasks {
		switch short := want[t.Name]; {
		case short == nil:
		case t.Shrunk == nil:
			diff = append(diff, fmt.Sprintf("the shorter run that explains task %s does not fail in that way any more", t.Name))
		case t.Shrunk.Hash != short.Hash:
			diff = append(diff, fmt.Sprintf("the shorter run that explains task %s went otherwise than in %s: its event log is %s, not %s",
				t.Name, than, t.Shrunk.Hash, short.Hash))
		}
	}
	return diff
}

// reopen reads a recorded submission again.
func (l *Lab) reopen(s grade.Submission) (Submission, error) {
	switch {
	case s.Dir != "":
		return l.Open(s.Dir)
	case s.Name == "solution":
		return l.Reference()
	case s.Name == "starter":
		return l.Unsolved()
	}
	for _, m := range l.Mutants {
		if s.Name == "mutant "+m.Name {
			return l.Mutated(m)
		}
	}
	return Submission{}, &kit.Error{Op: "replay", What: fmt.Sprintf("%q", s.Name), Kind: kit.NotFound,
		Err: errors.New("the result does not say where the work lies")}
}

// caseSeed picks the seed to run again.
func caseSeed(r *grade.Result) uint64 {
	for _, v := range []grade.Verdict{grade.Fail, grade.Inconclusive} {
		for _, t := range r.Tasks {
			if t.Verdict == v && t.Seed != 0 {
				return t.Seed
			}
		}
	}
	return r.Seed
}

// differences compares the runs that two results share, and the verdicts of tasks that rest on the same seed.
func differences(than string, a, b *grade.Result) []string {
	var diff []string
	recorded := map[string]string{}
	for _, run := range a.Runs {
		recorded[fmt.Sprintf("%s with seed %d", run.Scenario, run.Seed)] = run.Hash
	}
	for _, run := range b.Runs {
		name := fmt.Sprintf("%s with seed %d", run.Scenario, run.Seed)
		if h, ok := recorded[name]; ok && h != run.Hash {
			diff = append(diff, fmt.Sprintf("%s went otherwise than in %s: its event log is %s, not %s", name, than, run.Hash, h))
		}
	}
	for _, t := range b.Tasks {
		for _, old := range a.Tasks {
			if old.Name == t.Name && old.Seed == t.Seed && old.Verdict != t.Verdict {
				diff = append(diff, fmt.Sprintf("task %s got %s, in %s %s", t.Name, t.Verdict, than, old.Verdict))
			}
		}
	}
	if len(diff) > 0 && a.Version != b.Version {
		diff = append(diff, fmt.Sprintf("another netsplit recorded it: %s, this is %s", a.Version, b.Version))
	}
	return diff
}
