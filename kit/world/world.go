// Package world is what a lab, the shell and the grader see of a running cluster, real (kit/cluster) or
// simulated (kit/sim): clients, faults and a clock.
package world

import (
	"context"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/wire"
)

// World is a running cluster, real (kit/cluster) or simulated (kit/sim); a lab's workload cannot tell which.
// Faults are directed where a link has two directions; helpers on top cut both.
type World interface {
	Nodes() []kit.NodeName
	// Call sends one door request as the given client and waits for its outcome. A lost answer is door.Lost.
	Call(ctx context.Context, client string, node kit.NodeName, req door.Request) door.Outcome
	// Link sets the rule for traffic from one node to another; the zero Rule heals that direction.
	Link(from, to kit.NodeName, rule wire.Rule) error
	Kill(kit.NodeName) error    // as kill -9
	Restart(kit.NodeName) error // start a killed or stopped node again, same disc
	Pause(kit.NodeName) error   // SIGSTOP
	Resume(kit.NodeName) error
	// Now is the world's clock since its start; Sleep passes that clock's time.
	Now() time.Duration
	Sleep(ctx context.Context, d time.Duration) error
	// Go runs f as one client, concurrently with the others; Wait waits for all of them.
	Go(f func(ctx context.Context))
	Wait()
	Close() error
}
