package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"netsplit/kit"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// Run does the steps of a plan, each at its time since the call, and returns after the last. What it orders is in the
// history. It is one client's work, so that a lab's Drive says w.Go(func(ctx context.Context) { err = plan.Run(ctx, w) })
// and starts its clients beside it.
//
// An order that comes too late, because a node that is to be killed is dead already, is no error; it stands in the
// history with the reason. A restart holds the steps behind it up until the node is there.
func (p FaultPlan) Run(ctx context.Context, w *World) error {
	return p.RunThen(ctx, w, func(context.Context, FaultStep) error { return nil })
}

// RunThen is Run with something to do after each step that was carried out, such as to start the store of a node that is
// there again.
func (p FaultPlan) RunThen(ctx context.Context, w *World, then func(context.Context, FaultStep) error) error {
	if err := p.Check(w.Nodes()); err != nil {
		return err
	}
	began := w.Now()
	b := broken{links: map[[2]kit.NodeName]bool{}, parts: map[[2]string]bool{}}
	for _, s := range p.Steps {
		if err := w.Sleep(ctx, began+s.At-w.Now()); err != nil {
			return fmt.Errorf("run fault plan: %w", err)
		}
		for _, order := range b.orders(s) {
			err := order.order(w)
			switch kind := kit.KindOf(err); {
			case err == nil:
				b.note(order)
				err = then(ctx, order)
			case kind == kit.Unavailable || kind == kit.Exists:
				err = nil // too late
			}
			if err != nil {
				return fmt.Errorf("run fault plan: %s: %w", order, err)
			}
		}
	}
	return nil
}

// broken is what a plan broke and has not mended.
type broken struct {
	links map[[2]kit.NodeName]bool // from, to
	parts map[[2]string]bool       // node and part; "dead" and "paused" are parts, too
}

// orders gives the single orders that a step stands for.
func (b broken) orders(s FaultStep) []FaultStep {
	switch {
	case s.Do == "heal" && s.Node == "":
		return b.heals(s)
	case s.Do == "mend" && s.Node == "":
		return append(b.heals(s), b.mends(s, "")...)
	case s.Do == "mend" && s.Part == "":
		return b.mends(s, s.Node)
	}
	return []FaultStep{s}
}

func (b broken) heals(s FaultStep) []FaultStep {
	var all []FaultStep
	for _, l := range slices.SortedFunc(maps.Keys(b.links), func(x, y [2]kit.NodeName) int { return slices.Compare(x[:], y[:]) }) {
		all = append(all, FaultStep{At: s.At, Do: "heal", Node: l[0], Peer: l[1], OneWay: true})
	}
	return all
}

// mends mends all parts of one node's machine; without a node those of all nodes, and the nodes go on.
func (b broken) mends(s FaultStep, only kit.NodeName) []FaultStep {
	var all []FaultStep
	for _, p := range slices.SortedFunc(maps.Keys(b.parts), func(x, y [2]string) int { return slices.Compare(x[:], y[:]) }) {
		node, part := kit.NodeName(p[0]), p[1]
		step := FaultStep{At: s.At, Do: "mend", Node: node, Part: part}
		switch {
		case only != "" && (node != only || part == "dead" || part == "paused"):
			continue
		case part == "dead":
			step.Do, step.Part = "restart", ""
		case part == "paused":
			step.Do, step.Part = "resume", ""
		}
		all = append(all, step)
	}
	return all
}

// note takes down what an order has changed.
func (b broken) note(s FaultStep) {
	node := string(s.Node)
	switch s.Do {
	case "cut", "slow", "heal":
		for _, l := range s.directions() {
			b.links[l] = true
			if s.Do == "heal" {
				delete(b.links, l)
			}
		}
	case "kill", "poweroff":
		b.parts[[2]string{node, "dead"}] = true
		delete(b.parts, [2]string{node, "paused"})
	case "restart":
		delete(b.parts, [2]string{node, "dead"})
	case "pause":
		b.parts[[2]string{node, "paused"}] = true
	case "resume":
		delete(b.parts, [2]string{node, "paused"})
	case "disc", "clock", "pace":
		b.parts[[2]string{node, s.Do}] = true
	case "mend":
		delete(b.parts, [2]string{node, s.Part})
	}
}

// directions are those of a link that a step is about.
func (s FaultStep) directions() [][2]kit.NodeName {
	if s.OneWay {
		return [][2]kit.NodeName{{s.Node, s.Peer}}
	}
	return [][2]kit.NodeName{{s.Node, s.Peer}, {s.Peer, s.Node}}
}

// order carries out one single order.
func (s FaultStep) order(w *World) error {
	switch s.Do {
	case "cut", "slow", "heal":
		var err error
		for _, l := range s.directions() {
			rule := s.Rule
			if s.Do == "heal" {
				rule = wire.Rule{}
			}
			err = errors.Join(err, w.Link(l[0], l[1], rule))
		}
		return err
	case "kill":
		return w.Kill(s.Node)
	case "poweroff":
		return w.PowerOff(s.Node)
	case "restart":
		return w.Restart(s.Node)
	case "pause":
		return w.Pause(s.Node)
	case "resume":
		return w.Resume(s.Node)
	case "disc":
		return w.Disk(s.Node, s.Disk)
	case "clock":
		return w.Clock(s.Node, s.Off)
	case "pace":
		return w.Pace(s.Node, s.Times)
	}
	switch s.Part { // mend
	case "disc":
		return w.Disk(s.Node, world.DiskFault{})
	case "clock":
		return w.Clock(s.Node, 0)
	}
	return w.Pace(s.Node, 1)
}
