package soak

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Without is the plan without some faults of its only round, which are named by their places in it.
func (p Plan) Without(places []int) Plan {
	if len(p.Rounds) != 1 {
		return p
	}
	r := p.Rounds[0]
	var kept []Fault
	for i, f := range r.Faults {
		if !slices.Contains(places, i) {
			kept = append(kept, f)
		}
	}
	p.Rounds = []Round{{Length: r.Length, Think: r.Think, Faults: kept}}
	return p
}

// Shrunk is a failing plan with as little in it as was found to fail in the same way.
type Shrunk struct {
	Report  Report
	Dropped []int // faults of the plan that are not needed
	Clients int   // per node
}

// Shrink makes a failing plan smaller: it leaves out faults one by one, and clients, as long as the first problem
// remains of its kind. Each try is a run of its own.
func Shrink(ctx context.Context, make Maker, failed Report) Shrunk {
	best := Shrunk{Report: failed, Clients: failed.Plan.Clients}
	if len(failed.Problems) == 0 || len(failed.Plan.Rounds) != 1 {
		return best
	}
	fails := func(p Plan) (Report, bool) {
		r, err := Once(ctx, make, p)
		return r, err == nil && slices.ContainsFunc(r.Problems, func(x Problem) bool { return x.What == failed.Problems[0].What })
	}
	for i := range failed.Plan.Rounds[0].Faults {
		dropped := append(slices.Clone(best.Dropped), i)
		p := failed.Plan.Without(dropped)
		p.Clients = best.Clients
		if r, still := fails(p); still {
			best.Report, best.Dropped = r, dropped
		}
	}
	if best.Clients > 1 {
		p := failed.Plan.Without(best.Dropped)
		p.Clients = 1
		if r, still := fails(p); still {
			best.Report, best.Clients = r, 1
		}
	}
	return best
}

// Command is what repeats a run of the simulator.
func (s Shrunk) Command() string {
	cmd := fmt.Sprintf("go test ./kit/soak -run TestSeeds -v -args -seed %d", s.Report.Plan.Seed)
	if len(s.Dropped) > 0 {
		cmd += " -without " + strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Dropped), " ", ","), "[]")
	}
	if s.Clients != PlanOf(s.Report.Plan.Seed).Clients {
		cmd += fmt.Sprintf(" -clients %d", s.Clients)
	}
	return cmd
}
