package main

import (
	"context"
	"fmt"

	"netsplit/kit"
	"netsplit/kit/cluster"
)

// labSpec turns the argument of "lab up" into the cluster to start.
func labSpec(_ context.Context, lab string, nodes int) (cluster.Spec, error) {
	if nodes < 0 || nodes > cluster.MaxNodes {
		return cluster.Spec{}, &kit.Error{Kind: kit.Invalid, Err: fmt.Errorf("%d nodes cannot be started", nodes),
			Hint: fmt.Sprintf("--nodes takes 1 to %d", cluster.MaxNodes)}
	}
	return cluster.Spec{Lab: lab, Nodes: cluster.Letters(nodes)}, nil
}
