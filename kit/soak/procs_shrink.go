package soak

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// splitPlace names the split after the faults, where faults are named by their places.
const splitPlace = 99

// ShrinkProcs makes a failing plan smaller: it leaves out faults one by one, the split and actors, as long as a problem of
// the first one's kind remains. It gives the places of what it left out; 99 is the split.
func ShrinkProcs(ctx context.Context, make ProcMaker, failed ProcReport) (ProcReport, []int) {
	best, whole := failed, failed.Plan
	var dropped []int
	try := func(p ProcPlan) bool {
		r, err := OnceProcs(ctx, make, p)
		if err != nil || !slices.ContainsFunc(r.Problems, func(x Problem) bool { return x.What == failed.Problems[0].What }) {
			return false
		}
		best = r
		return true
	}
	smaller := func(places []int) ProcPlan {
		p := whole.Without(places)
		p.Actors = best.Plan.Actors
		if slices.Contains(places, splitPlace) {
			p.Part = nil
		}
		return p
	}
	places := []int{}
	for i := range whole.Faults {
		places = append(places, i)
	}
	if whole.Part != nil {
		places = append([]int{splitPlace}, places...)
	}
	for _, i := range places {
		if more := append(slices.Clone(dropped), i); try(smaller(more)) {
			dropped = more
		}
	}
	if p := smaller(dropped); p.Actors > 1 {
		p.Actors = 1
		try(p)
	}
	return best, dropped
}

// ProcCommand is what repeats a run of the simulator.
func ProcCommand(p ProcPlan, dropped []int) string {
	cmd := fmt.Sprintf("go test ./kit/soak -run TestProcesses -v -args -seed %d", p.Seed)
	if len(dropped) > 0 {
		cmd += " -without " + strings.Trim(strings.ReplaceAll(fmt.Sprint(dropped), " ", ","), "[]")
	}
	if p.Actors != NewProcPlan(p.Seed).Actors {
		cmd += fmt.Sprintf(" -clients %d", p.Actors)
	}
	return cmd
}
