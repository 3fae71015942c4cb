package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	benchwork "netsplit/kit/bench"
	"netsplit/kit/term"
)

// bulkWait bounds the wait for a table to be loaded.
const bulkWait = 2 * time.Minute

// bulk measures one large table with a single copy: its memory, a start of its node's store, a copy to another node.
func (w *storeWork) bulk(cmd *cobra.Command, rows []storeRow) ([]figure, error) {
	ctx := cmd.Context()
	before, err := w.heap(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.prepare(ctx, w.nodes[:1]); err != nil {
		return nil, err
	}
	var figures []figure
	for _, r := range rows {
		name := w.bench.name(w.work, w.storage, len(w.nodes), r)
		fmt.Fprintf(cmd.ErrOrStderr(), "%s ...\n", name)
		unit, sample := "s", w.start
		switch {
		case strings.HasPrefix(r.op, "memory"):
			unit, sample = "bytes", func(ctx context.Context) (float64, error) {
				after, err := w.heap(ctx)
				return (after - before) / benchwork.BulkRows, err
			}
		case strings.HasPrefix(r.op, "copy"):
			sample = w.copy
		}
		var samples []float64
		for range w.bench.runs {
			v, err := sample(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			samples = append(samples, v)
		}
		figures = append(figures, figureOf(name, unit, samples))
		if err := w.check(ctx); err != nil {
			return nil, fmt.Errorf("check after %s: %w", name, err)
		}
	}
	return figures, nil
}

func (w *storeWork) heap(ctx context.Context) (float64, error) {
	t, err := w.ask(ctx, w.nodes[0], benchwork.VerbMemory)
	n, _ := t.(term.Int)
	return float64(n), err
}

// start stops the first node's store and gives the seconds from its start until the table is there.
func (w *storeWork) start(ctx context.Context) (float64, error) {
	n := w.nodes[0]
	if _, err := w.ask(ctx, n, "stop_store"); err != nil {
		return 0, err
	}
	begun := time.Now()
	if _, err := w.ask(ctx, n, "start_store"); err != nil {
		return 0, err
	}
	_, err := w.ask(ctx, n, "wait_for_tables", term.L(term.Atom("t")), term.Int(bulkWait.Milliseconds()))
	return time.Since(begun).Seconds(), err
}

// copy gives the seconds until the second node has a copy, which is then taken away again.
func (w *storeWork) copy(ctx context.Context) (float64, error) {
	table, to := term.Atom("t"), term.Atom(w.nodes[1])
	begun := time.Now()
	if _, err := w.ask(ctx, w.nodes[0], "add_table_copy", table, to, term.Atom(w.kind())); err != nil {
		return 0, err
	}
	took := time.Since(begun).Seconds()
	_, err := w.ask(ctx, w.nodes[0], "del_table_copy", table, to)
	return took, err
}
