package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"netsplit/kit"
)

// figure is one row of "bench": the median of n samples. Scripts rely on the JSON form.
type figure struct {
	Name   string  `json:"name"`
	N      int     `json:"n"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Unit   string  `json:"unit"`
}

// benchCase measures one thing. Sample takes one sample in the case's unit; it may be called any number of times.
type benchCase struct {
	name   string
	unit   string
	n      int // samples taken when --runs does not say
	sample func(ctx context.Context) (float64, error)
}

// maxRuns bounds --runs.
const maxRuns = 1000

func newBenchCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure on this machine",
		Example: "  netsplit bench lab\n  netsplit bench store --nodes 1,2\n  netsplit bench proc --erl erl\n  netsplit bench sim",
		Args:    refuseUnknown,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBenchLabCmd(), newBenchStoreCmd(), newBenchProcCmd(), newBenchSimCmd())
	return cmd
}

func newBenchLabCmd() *cobra.Command {
	var asJSON bool
	var runs int
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Measure what a student waits for",
		Long: "Measures what a student waits for: a cluster, a fault to be noticed, a page, a grade. Each row is the median\n" +
			"of several runs on this machine as it is now; a wide range says that the machine was busy.",
		Example: "  netsplit bench lab\n  netsplit bench lab --runs 20 --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runs < 0 || runs > maxRuns {
				return &kit.Error{Op: "bench", Kind: kit.Invalid, Err: fmt.Errorf("%d runs, from 1 to %d are possible", runs, maxRuns)}
			}
			cases, done, err := labCases()
			if err != nil {
				return err
			}
			defer done()
			return bench(cmd, cases, runs, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of {name, n, median, min, max, unit}")
	cmd.Flags().IntVar(&runs, "runs", 0, "samples of each row (default: what suits the row)")
	return cmd
}

func bench(cmd *cobra.Command, cases []benchCase, runs int, asJSON bool) error {
	figures := []figure{}
	for _, c := range cases {
		n := c.n
		if runs > 0 {
			n = runs
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s ...\n", c.name)
		f, err := measure(cmd.Context(), c, n)
		if err != nil {
			return &kit.Error{Op: "measure", What: c.name, Kind: kit.KindOf(err), Err: err}
		}
		figures = append(figures, f)
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), figures)
	}
	return printFigures(cmd.OutOrStdout(), figures)
}

// measure takes n samples after one that does not count.
func measure(ctx context.Context, c benchCase, n int) (figure, error) {
	var samples []float64
	for i := range n + 1 {
		if ctx.Err() != nil {
			return figure{}, context.Cause(ctx)
		}
		v, err := c.sample(ctx)
		if err != nil {
			return figure{}, err
		}
		if i > 0 {
			samples = append(samples, v)
		}
	}
	if len(samples) == 0 {
		return figure{}, errors.New("no sample was taken")
	}
	slices.Sort(samples)
	return figure{Name: c.name, N: n, Median: median(samples), Min: samples[0], Max: samples[len(samples)-1], Unit: c.unit}, nil
}

// median of sorted samples.
func median(sorted []float64) float64 {
	m := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[m]
	}
	return (sorted[m-1] + sorted[m]) / 2
}

func printFigures(w io.Writer, figures []figure) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tn\tmedian\tmin\tmax\tunit\t")
	for _, f := range figures {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t\n", f.Name, f.N, short(f.Median), short(f.Min), short(f.Max), f.Unit)
	}
	return t.Flush()
}

// short prints a figure with three digits that count.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
