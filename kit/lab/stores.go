package lab

import (
	"context"
	"fmt"
	"slices"
	"time"

	"netsplit/kit/term"
)

// meetIn is how long nodes that have just been started may take to connect.
const meetIn = 10 * time.Second

// StartStores waits until all nodes see each other, makes one schema over all of them and starts the store on each: the beginning of most labs' Setup.
func StartStores(ctx context.Context, w *World) error {
	nodes := w.Nodes()
	var all term.List
	for _, n := range nodes {
		all = append(all, term.Atom(n))
	}
	for _, n := range nodes {
		others := slices.DeleteFunc(slices.Clone(all), func(t term.Term) bool { return t == term.Atom(n) })
		if err := w.Do(ctx, "setup", n, "await_nodes", others, term.Int(meetIn.Milliseconds())).Err(); err != nil {
			return fmt.Errorf("wait until %s sees the others: %w", n, err)
		}
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
