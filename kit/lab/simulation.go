package lab

import (
	"context"
	"fmt"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/sim"
	"netsplit/kit/wire"
)

// simulation is a simulated cluster as the grader sees it.
type simulation struct{ *sim.World }

// Deaths lists the nodes that stopped without an order to.
func (s simulation) Deaths() []Death {
	var all []Death
	for _, name := range s.Nodes() {
		n, err := s.Node(name)
		if err == nil && !n.Running && n.Reason != sim.Killed {
			all = append(all, Death{Node: name, At: s.stopped(name), Why: string(n.Reason) + ": " + n.Why, Text: n.Output})
		}
	}
	if len(all) == 0 && s.Spent() {
		all = append(all, s.busiest())
	}
	return all
}

// busiest is the end of a cluster whose nodes computed all the time that they have: the one that did most is to blame. They
// are counted steps, the same on every machine, and not seconds.
func (s simulation) busiest() Death {
	d, most := Death{At: s.Now()}, time.Duration(-1)
	for _, name := range s.Nodes() {
		if n, err := s.Node(name); err == nil && n.CPU > most {
			most = n.CPU
			d.Node, d.Text = name, n.Output
		}
	}
	d.Why = fmt.Sprintf("%s: the nodes computed for more than %v in all, this one for %v", sim.Spinning, trialCPU, most.Round(time.Millisecond))
	return d
}

// stopped finds when a node stopped last.
func (s simulation) stopped(name kit.NodeName) time.Duration {
	at := s.Now()
	for _, e := range s.Events() {
		if e.What == sim.Stop && e.Node == name {
			at = e.At
		}
	}
	return at
}

// Output is what the nodes printed, the last of each.
func (s simulation) Output() string {
	var b strings.Builder
	for _, name := range s.Nodes() {
		if n, err := s.Node(name); err == nil && n.Output != "" {
			b.WriteString("node " + string(name) + ": " + strings.TrimRight(n.Output, "\n") + "\n")
		}
	}
	return b.String()
}

// stillborn stands for a cluster whose program ended before its door was open.
type stillborn struct {
	nodes []kit.NodeName
	why   *kit.Error
}

// Deaths blames the node that the boot failed on.
func (s stillborn) Deaths() []Death {
	first, _, _ := strings.Cut(s.why.Err.Error(), "\n")
	return []Death{{Node: kit.NodeName(s.why.What), Why: first, Text: s.why.Err.Error()}}
}

func (s stillborn) Nodes() []kit.NodeName { return s.nodes }

func (s stillborn) Call(context.Context, string, kit.NodeName, door.Request) door.Outcome {
	return door.NotRunning("the program ended at its start")
}

func (s stillborn) down() error {
	return &kit.Error{Op: "reach node", What: s.why.What, Kind: kit.Unavailable, Err: s.why}
}

func (s stillborn) Link(kit.NodeName, kit.NodeName, wire.Rule) error { return s.down() }
func (s stillborn) Kill(kit.NodeName) error                          { return s.down() }
func (s stillborn) Restart(kit.NodeName) error                       { return s.down() }
func (s stillborn) Pause(kit.NodeName) error                         { return s.down() }
func (s stillborn) Resume(kit.NodeName) error                        { return s.down() }
func (s stillborn) Now() time.Duration                               { return 0 }
func (s stillborn) Sleep(context.Context, time.Duration) error       { return s.down() }
func (s stillborn) Go(func(context.Context))                         {}
func (s stillborn) Wait()                                            {}
func (s stillborn) Close() error                                     { return nil }
func (s stillborn) Over() string                                     { return "" }
func (s stillborn) Hash() string                                     { return "" }
func (s stillborn) Output() string                                   { return s.why.Err.Error() }
