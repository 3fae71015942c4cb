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

// Replay runs the case that a result rests on again: the first failing or unclear seed, or the first of all when
// everything passed. With twice it is run two times and the two are compared as well. A submission that has
// changed since is an error.
func (g *Grader) Replay(ctx context.Context, l *Lab, old *grade.Result, twice bool) (Replay, error) {
	sub, err := l.unchanged(old)
	if err != nil {
		return Replay{}, err
	}
	o := Options{Seed: caseSeed(old), Seeds: 1}
	r, err := g.Grade(ctx, l, sub, o)
	if err != nil {
		return Replay{}, err
	}
	rep := Replay{Result: r, Differences: differences("the recorded run", old, r)}
	if !twice {
		return rep, nil
	}
	again, err := g.Grade(ctx, l, sub, o)
	if err != nil {
		return rep, err
	}
	rep.Differences = append(rep.Differences, differences("the first replay", r, again)...)
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
