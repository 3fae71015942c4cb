package lab

import (
	"context"
	"fmt"

	"netsplit/kit/term"
)

// StartStores makes one schema over all nodes and starts the store on each: the beginning of most labs' Setup.
func StartStores(ctx context.Context, w *World) error {
	nodes := w.Nodes()
	var all term.List
	for _, n := range nodes {
		all = append(all, term.Atom(n))
	}
	if err := w.Do(ctx, "setup", nodes[0], "create_schema", all).Err(); err != nil {
		return fmt.Errorf("create schema: %w", err)
	}
	for _, n := range nodes {
		if err := w.Do(ctx, "setup", n, "start_store").Err(); err != nil {
			return fmt.Errorf("start the store on %s: %w", n, err)
		}
	}
	return nil
}
