package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"netsplit/kit/term"
)

// recovery measures how long a node that was cut off takes to have the others' rows again, through master nodes.
func (w *storeWork) recovery(cmd *cobra.Command, rows []storeRow) ([]figure, error) {
	ctx := cmd.Context()
	if err := w.prepare(ctx, w.nodes); err != nil {
		return nil, err
	}
	var figures []figure
	for _, r := range rows {
		name := w.bench.name(w.work, w.storage, len(w.nodes), r)
		fmt.Fprintf(cmd.ErrOrStderr(), "%s ...\n", name)
		var samples []float64
		for i := range w.bench.runs {
			v, err := w.recover(ctx, i)
			if err == nil {
				err = w.check(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			samples = append(samples, v)
		}
		figures = append(figures, figureOf(name, "s", samples))
	}
	return figures, nil
}

// recover cuts the last node off, has both sides write, heals, and gives the seconds that the last node takes to
// name the first as its master, stop, start and load the table.
func (w *storeWork) recover(ctx context.Context, round int) (float64, error) {
	first, last := w.nodes[0], w.nodes[len(w.nodes)-1]
	for _, n := range w.nodes[:len(w.nodes)-1] {
		if err := w.c.Cut(n, last, false, false); err != nil {
			return 0, err
		}
	}
	if err := w.running(ctx, len(w.nodes)-1); err != nil {
		return 0, err
	}
	for i, n := range w.nodes {
		if n != first && n != last {
			continue
		}
		row := term.Tuple{term.Atom("t"), term.Int(1), term.Bin(make([]byte, 200+2*round+i))}
		if _, err := w.ask(ctx, n, "dirty", term.L(term.Atom("dirty_write"), term.Atom("t"), row)); err != nil {
			return 0, err
		}
	}
	if err := w.c.HealAll(); err != nil {
		return 0, err
	}
	if err := w.linked(ctx); err != nil {
		return 0, err
	}
	begun := time.Now()
	for _, step := range []struct {
		verb string
		args []term.Term
	}{
		{"set_master_nodes", []term.Term{term.Atoms(first)}},
		{"stop_store", nil},
		{"start_store", nil},
		{"wait_for_tables", []term.Term{term.L(term.Atom("t")), term.Int(bulkWait.Milliseconds())}},
	} {
		if _, err := w.ask(ctx, last, step.verb, step.args...); err != nil {
			return 0, fmt.Errorf("%s: %w", step.verb, err)
		}
	}
	took := time.Since(begun).Seconds()
	_, err := w.ask(ctx, last, "set_master_nodes", term.List{})
	return took, err
}

// until waits for something that the nodes will do by themselves.
func (w *storeWork) until(ctx context.Context, what string, done func() (bool, error)) error {
	const patience = 30 * time.Second
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := w.c.Sleep(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: not within %v", what, patience)
}

// running waits until the first node's store has so many running nodes.
func (w *storeWork) running(ctx context.Context, n int) error {
	return w.until(ctx, "lose the node that is cut off", func() (bool, error) {
		t, err := w.ask(ctx, w.nodes[0], "system_info", term.Atom("running_db_nodes"))
		l, _ := t.(term.List)
		return len(l) == n, err
	})
}

// linked waits until the last node sees all others.
func (w *storeWork) linked(ctx context.Context) error {
	return w.until(ctx, "reconnect", func() (bool, error) {
		t, err := w.ask(ctx, w.nodes[len(w.nodes)-1], "nodes")
		l, _ := t.(term.List)
		return len(l) == len(w.nodes)-1, err
	})
}
