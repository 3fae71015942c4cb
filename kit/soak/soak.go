// Package soak proves the store and the processes of nodes under faults. What is promised of processes stands at ProcPlan. The
// store is proved so: clients run transactions through the doors of a cluster's nodes while a plan of faults, drawn from a seed, kills nodes, cuts links and takes discs their power; then all is mended, and what was answered
// and what is left are judged. It works in both worlds: on real processes, where kill -9 is one, and in the
// simulator, where a seed decides everything and a failing run can be repeated.
//
// # What is promised, by weather
//
// Kills: nodes die as by kill -9 and come back, but one loaded copy of each table lives on. Nothing that was acknowledged is
// lost, no transaction is half there, every history is strictly serializable, and in the end all copies are equal.
//
// Blackout: all nodes die within moments of each other. The same holds for tables with a disc copy on each node that has
// a copy. Tables in memory alone are gone, as Mnesia's are, and take no part.
//
// Power: as Kills, but a node that dies loses what was not synced. The same holds, since others live on.
//
// Outage: all nodes lose power, and with it what was not synced. What was acknowledged as durable is there, nothing is there
// by halves, and all copies are equal. Other acknowledged transactions may be gone.
//
// Majority: nodes are cut off, one at a time, by cuts of one or both directions, told or silent, or a pause that
// looks like one; after each the operator names the others as masters and restarts the store that was cut off. All tables ask for
// a majority. Transactions that write are as under Kills. Those that only read on a node that is cut off may see an old
// state, as in Mnesia, where a read needs no majority; they are left out.
//
// Islands: as Majority with a single cut, and tables that do not ask for a majority. Each side by itself is as under Kills; both
// sides report inconsistent_database, and when the operator has named masters and restarted the other store, all copies are equal
// to the masters'. What the other side had acknowledged in between is gone, as in Mnesia, which merges nothing.
//
// In any weather a node whose tables are loaded never answers that there is no copy of a table that it has.
//
// Left out: a cut between two nodes that a third can still reach. Both then have a majority, and Mnesia's locks do not
// reach across; nothing is promised there but that an operator can make the copies equal again.
package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/world"
)

// World is what a run needs of a cluster: both kit/cluster and kit/sim have it.
type World interface {
	world.World
	// Leave ends a client's sessions, as if its process had died.
	Leave(client string)
}

// powered is a world whose discs can lose what was not synced.
type powered interface {
	// LoseWrites says whether a node that is killed from now on loses writes that were not synced.
	LoseWrites(n kit.NodeName, lose bool) error
}

// Weather is the kind of trouble that a plan has; see the package's description for what is promised in each.
type Weather string

// The weathers.
const (
	Kills    Weather = "kills"
	Blackout Weather = "blackout"
	Power    Weather = "power"
	Outage   Weather = "outage"
	Majority Weather = "majority"
	Islands  Weather = "islands"
)

// Weathers lists those of the simulator; real processes know Kills and Blackout.
var Weathers = []Weather{Kills, Blackout, Power, Outage, Majority, Islands}

// Plan says everything about a run. The same plan in the simulator is the same run.
type Plan struct {
	Seed    uint64
	Weather Weather
	Nodes   []kit.NodeName
	Clients int // per node
	Rounds  []Round
}

// Round is a stretch of work with faults, after which everything is mended and judged.
type Round struct {
	Length time.Duration
	Think  time.Duration // a client waits up to so long between its transactions
	Faults []Fault
}

// FaultKind says what a Fault does.
type FaultKind string

// The faults. Each mends itself after its time, so that any of them can be left out of a plan.
const (
	Kill    FaultKind = "kill"    // kill -9, then restart
	KillAll FaultKind = "killall" // all nodes, within Spread
	Isolate FaultKind = "isolate" // Node is cut off from all others
	Freeze  FaultKind = "freeze"  // Node is paused: briefly, or so long that it looks cut off
	Slow    FaultKind = "slow"    // what Node sends is late
)

// Fault is one fault of a plan; At counts from the beginning of its round.
type Fault struct {
	At, For time.Duration
	What    FaultKind
	Node    kit.NodeName
	Peer    kit.NodeName  // of processes: only the link to this one; empty for all
	Silent  bool          // Isolate: nobody is told
	Way     Way           // Isolate
	Spread  time.Duration // KillAll
}

// Way says which direction a cut takes.
type Way string

// The ways of a cut, as the node that is cut off sees it.
const (
	BothWays Way = "both ways"
	Outgoing Way = "outgoing"
	Incoming Way = "incoming"
)

// String tells the fault in a few words.
func (f Fault) String() string {
	s := strings.TrimSuffix(fmt.Sprintf("%v %s %s %s", f.At, f.What, f.Node, f.Peer), " ")
	switch f.What {
	case KillAll:
		s = fmt.Sprintf("%v kill all within %v", f.At, f.Spread)
	case Isolate:
		s += " (" + string(f.Way)
		if f.Silent {
			s += ", silent"
		}
		s += ")"
	}
	return fmt.Sprintf("%s for %v", s, f.For)
}

// String lists the faults.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %s, %d clients at each of %d nodes", p.Seed, p.Weather, p.Clients, len(p.Nodes))
	for i, r := range p.Rounds {
		fmt.Fprintf(&b, "\n  round %d, %v:", i+1, r.Length)
		for _, f := range r.Faults {
			fmt.Fprintf(&b, "\n    %v", f)
		}
	}
	return b.String()
}

// Problem is a broken promise.
type Problem struct {
	Round int
	What  string // in two or three words; the same for problems of the same kind
	Text  string // the explanation
	about []string
}

// String gives the explanation with its title.
func (p Problem) String() string { return fmt.Sprintf("round %d: %s: %s", p.Round, p.What, p.Text) }

// Report is what came of a run.
type Report struct {
	Plan     Plan
	Problems []Problem
	Counts   Counts
	Took     time.Duration // of the world's time
	Last     *history.History
}

// Counts says how much was done, and what befell it.
type Counts struct {
	Committed, Aborted, Unknown, Restarted int // transactions, and tries of them
	Durable, Seen                          int // acknowledged as durable; without an answer and yet seen
	Kills, Cuts, Freezes, Skipped          int // Skipped: kills that would have taken the last copy
	Lost                                   int // discs that lost writes
}

// add sums up.
func (c *Counts) add(o Counts) {
	c.Committed += o.Committed
	c.Aborted += o.Aborted
	c.Unknown += o.Unknown
	c.Restarted += o.Restarted
	c.Durable += o.Durable
	c.Seen += o.Seen
	c.Kills += o.Kills
	c.Cuts += o.Cuts
	c.Freezes += o.Freezes
	c.Skipped += o.Skipped
	c.Lost += o.Lost
}

// Sum adds up the counts of reports.
func Sum(reports []Report) Counts {
	var c Counts
	for _, r := range reports {
		c.add(r.Counts)
	}
	return c
}

// Run makes the tables in a fresh world and goes through the plan. It stops after the first round with problems. An error
// means that the run itself could not be made.
func Run(ctx context.Context, w World, p Plan) (Report, error) {
	r := &run{w: w, plan: p, layout: layoutOf(p), log: history.NewLog(), durable: map[string]bool{}}
	report := Report{Plan: p}
	began := w.Now()
	if err := r.setUp(ctx); err != nil {
		return report, err
	}
	for i := range p.Rounds {
		r.round, r.log = i, history.NewLog()
		r.durable = map[string]bool{}
		problems, err := r.play(ctx)
		if err != nil {
			return report, fmt.Errorf("round %d: %w", i+1, err)
		}
		report.Last = r.log.Snapshot(w.Now())
		report.Problems = append(report.Problems, problems...)
		if len(problems) > 0 {
			break
		}
	}
	report.Counts, report.Took = r.counts, w.Now()-began
	return report, nil
}

// NewPlan draws a plan from a seed.
func NewPlan(seed uint64, weather Weather, rounds int) Plan {
	p := Plan{Seed: seed, Weather: weather, Nodes: []kit.NodeName{"a", "b", "c"}, Clients: 2}
	r := rand.New(rand.NewPCG(seed, 0x50a4))
	for range rounds {
		p.Rounds = append(p.Rounds, drawRound(r, p))
	}
	return p
}

// PlanOf draws the weather from the seed as well.
func PlanOf(seed uint64) Plan { return NewPlan(seed, Weathers[seed%uint64(len(Weathers))], 1) }

// drawRound draws one round's faults.
func drawRound(r *rand.Rand, p Plan) Round {
	between := func(a, b time.Duration) time.Duration { return a + time.Duration(r.Int64N(int64(b-a)/1000)*1000) }
	ms := time.Millisecond
	pick := func() kit.NodeName { return p.Nodes[r.IntN(len(p.Nodes))] }
	round := Round{Length: between(200*ms, 400*ms), Think: 12 * ms}
	switch p.Weather {
	case Kills, Power:
		for range 1 + r.IntN(4) {
			round.Faults = append(round.Faults, Fault{At: between(20*ms, round.Length), For: between(1*ms, 300*ms), What: Kill, Node: pick()})
		}
		if r.IntN(3) == 0 {
			round.Faults = append(round.Faults, Fault{At: between(20*ms, round.Length), For: between(1*ms, 300*ms), What: Freeze, Node: pick()})
		}
		if r.IntN(3) == 0 {
			round.Faults = append(round.Faults, Fault{At: between(20*ms, round.Length), For: between(20*ms, 500*ms), What: Slow, Node: pick()})
		}
	case Blackout, Outage:
		if r.IntN(3) == 0 {
			round.Faults = append(round.Faults, Fault{At: between(20*ms, round.Length/2), For: between(1*ms, 300*ms), What: Kill, Node: pick()})
		}
		round.Faults = append(round.Faults, Fault{At: between(round.Length/2, round.Length), For: between(1*ms, 100*ms), What: KillAll, Spread: between(0, 20*ms)})
		if r.IntN(3) == 0 {
			round.Faults[len(round.Faults)-1].Spread = 0
		}
	case Majority, Islands:
		round.Length, round.Think = between(300*ms, 600*ms), 100*ms
		n := 1
		if p.Weather == Majority {
			n += r.IntN(3) / 2
		}
		at := between(20*ms, 200*ms)
		for range n {
			f := Fault{At: at, For: between(1400*ms, 1800*ms), What: Isolate, Node: pick(), Silent: r.IntN(2) == 0, Way: []Way{BothWays, Outgoing, Incoming}[r.IntN(3)]}
			if p.Weather == Majority && r.IntN(5) == 0 {
				f.What, f.For = Freeze, between(1400*ms, 1800*ms)
			}
			round.Faults = append(round.Faults, f)
			at += f.For + between(400*ms, 800*ms)
		}
		round.Length += at
	}
	slices.SortStableFunc(round.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	return round
}
