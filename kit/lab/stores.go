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

// AwaitNodes waits until every node sees all others.
func AwaitNodes(ctx context.Context, w *World) error {
	all := everyNode(w)
	for _, n := range w.Nodes() {
		others := slices.DeleteFunc(slices.Clone(all), func(t term.Term) bool { return t == term.Atom(n) })
		if err := w.Do(ctx, "setup", n, "await_nodes", others, term.Int(meetIn.Milliseconds())).Err(); err != nil {
			return fmt.Errorf("wait until %s sees the others: %w", n, err)
		}
	}
	return nil
}

func everyNode(w *World) term.List {
	var all term.List
	for _, n := range w.Nodes() {
		all = append(all, term.Atom(n))
	}
	return all
}

// StartStores waits until all nodes see each other, makes one schema over all of them and starts the store on each: the beginning of most labs' Setup.
func StartStores(ctx context.Context, w *World) error {
	if err := AwaitNodes(ctx, w); err != nil {
		return err
	}
	nodes, all := w.Nodes(), everyNode(w)
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
