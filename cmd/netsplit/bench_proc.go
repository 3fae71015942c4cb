package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"netsplit/kit"
	benchwork "netsplit/kit/bench"
	"netsplit/kit/cluster"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// procRun says what "bench proc" measures.
type procRun struct {
	runs     int
	count    int      // operations of a sample; 0: what suits the row
	only     []string // parts of rows' names
	erl      string   // Erlang's erl, to be measured beside; "" for not
	profiles string   // folder for CPU profiles of node a; "" for none

	cluster *cluster.Cluster
	erlang  *benchwork.Erlang // nil without erl
}

func newBenchProcCmd() *cobra.Command {
	var asJSON bool
	b := procRun{}
	cmd := &cobra.Command{
		Use:   "proc",
		Short: "Measure processes, beside Erlang's if wanted",
		Long: "Measures messages, spawns and calls between two nodes and within one. The nodes are processes of their own on\n" +
			"loopback. Each row is the median of several runs, after one that does not count. With --erl two nodes of\n" +
			"Erlang/OTP do the same, in turn with ours, and a third figure tells how many times better ours did in the same round.",
		Example: "  netsplit bench proc --only \"round trip\"\n  netsplit bench proc --erl erl --runs 7 --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.valid(); err != nil {
				return err
			}
			rows, err := b.run(cmd)
			if err != nil {
				return err
			}
			switch {
			case asJSON:
				return printJSON(cmd.OutOrStdout(), b.figures(rows))
			case b.erl != "":
				return b.print(cmd.OutOrStdout(), rows)
			}
			return printFigures(cmd.OutOrStdout(), b.figures(rows))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print a list of {name, n, median, min, max, unit}")
	f.IntVar(&b.runs, "runs", 5, "samples of each row")
	f.IntVar(&b.count, "count", 0, "operations of a sample (default: what suits the row)")
	f.StringArrayVar(&b.only, "only", nil, "only rows whose name has this in it; may be given several times")
	f.StringVar(&b.erl, "erl", "", "Erlang's erl, by name or path, to measure its nodes in turn with ours")
	f.StringVar(&b.profiles, "profile", "", "folder that gets a CPU profile of the first node for each row")
	return cmd
}

func (b *procRun) valid() error {
	bad := func(format string, args ...any) error {
		return &kit.Error{Op: "bench", Kind: kit.Invalid, Err: fmt.Errorf(format, args...)}
	}
	if b.runs < 1 || b.runs > maxRuns {
		return bad("%d runs, from 1 to %d are possible", b.runs, maxRuns)
	}
	if b.count != 0 && (b.count < 2 || b.count > benchwork.MaxProcCount) {
		return bad("%d operations, from 2 to %d are possible", b.count, benchwork.MaxProcCount)
	}
	if b.profiles == "" {
		return nil
	}
	var err error
	if b.profiles, err = filepath.Abs(b.profiles); err != nil {
		return err
	}
	return os.MkdirAll(b.profiles, 0o755)
}

// procFigures is one row: our samples and, beside Erlang, its own of the same rounds.
type procFigures struct {
	benchwork.ProcRow
	ours, erlang []float64
}

// ratios tells for each round how many times better ours did.
func (f procFigures) ratios() []float64 {
	var r []float64
	for i := range f.erlang {
		if f.More {
			r = append(r, f.ours[i]/f.erlang[i])
		} else {
			r = append(r, f.erlang[i]/f.ours[i])
		}
	}
	return r
}

func (b *procRun) run(cmd *cobra.Command) (rows []procFigures, err error) {
	ctx := cmd.Context()
	if b.erl != "" { // first: it may not be there
		if b.erlang, err = benchwork.StartErlang(ctx, b.erl); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.erlang.Close()) }()
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b.cluster, err = cluster.Up(ctx, cluster.Spec{Lab: "bench", Nodes: cluster.Letters(2), Program: []string{self, "__bench_node"},
		Temporary: true, Who: "bench"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.cluster.Close()) }()
	for _, op := range benchwork.ProcOps() {
		count := op.Count
		if b.count != 0 {
			count = b.count
		}
		names := op.Rows(count)
		if !slices.ContainsFunc(names, func(r benchwork.ProcRow) bool { return b.wanted(r.Name) }) {
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s ...\n", names[0].Name)
		measured, err := b.measure(ctx, op, count)
		if err != nil {
			return nil, &kit.Error{Op: "measure", What: names[0].Name, Kind: kit.KindOf(err), Err: err}
		}
		for _, f := range measured {
			if b.wanted(f.Name) {
				rows = append(rows, f)
			}
		}
	}
	return rows, nil
}

// wanted reports whether a row is one of those asked for.
func (b *procRun) wanted(name string) bool {
	return len(b.only) == 0 || slices.ContainsFunc(b.only, func(part string) bool { return strings.Contains(name, part) })
}

// measure takes the samples of one operation, in turn with Erlang's. The first round does not count.
func (b *procRun) measure(ctx context.Context, op benchwork.ProcOp, count int) ([]procFigures, error) {
	var rows []procFigures
	for _, r := range op.Rows(count) {
		rows = append(rows, procFigures{ProcRow: r})
	}
	for i := range b.runs + 1 {
		ours, err := b.sample(ctx, op, count, i == 1 && b.profiles != "")
		if err != nil {
			return nil, err
		}
		var erlang []float64
		if b.erlang != nil {
			if erlang, err = b.erlang.Sample(ctx, op, count); err != nil {
				return nil, fmt.Errorf("in Erlang: %w", err)
			}
		}
		for j := range rows {
			if i == 0 {
				break
			}
			rows[j].ours = append(rows[j].ours, ours[j])
			if erlang != nil {
				rows[j].erlang = append(rows[j].erlang, erlang[j])
			}
		}
	}
	return rows, nil
}

// sample takes one of our nodes.
func (b *procRun) sample(ctx context.Context, op benchwork.ProcOp, count int, profile bool) ([]float64, error) {
	nodes := b.cluster.Nodes()
	args := []term.Term{term.Atom(op.Op), term.Int(count), term.Int(op.Senders), term.Atom(nodes[1])}
	if profile {
		name := strings.NewReplacer(" ", "-", ",", "", ":", "").Replace(op.Rows(count)[0].Name)
		args = append(args, term.Atom(filepath.Join(b.profiles, name+".pprof")))
	}
	t, err := b.cluster.Call(ctx, "bench", nodes[0], door.Request{Client: "bench", Verb: benchwork.VerbProc, Args: args}).Term()
	if err != nil {
		return nil, err
	}
	return benchwork.ReadProcSample(op, t)
}

// figures lists the rows, each followed by Erlang's and by the ratio where that was measured.
func (b *procRun) figures(rows []procFigures) []figure {
	figures := []figure{}
	for _, r := range rows {
		figures = append(figures, figureOf(r.Name, r.Unit, slices.Clone(r.ours)))
		if b.erlang != nil {
			figures = append(figures, figureOf(r.Name+", Erlang/OTP "+b.erlang.Release, r.Unit, slices.Clone(r.erlang)),
				figureOf(r.Name+", times better than Erlang", "x", r.ratios()))
		}
	}
	return figures
}

// print writes the rows with Erlang beside.
func (b *procRun) print(w io.Writer, rows []procFigures) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\tn\tErlang/OTP %s\tNetsplit\tunit\ttimes better\tmin\tmax\t\n", b.erlang.Release)
	for _, r := range rows {
		ours, erlang := figureOf("", "", slices.Clone(r.ours)), figureOf("", "", slices.Clone(r.erlang))
		ratio := figureOf("", "", r.ratios())
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.Name, len(r.ours), short(erlang.Median), short(ours.Median), r.Unit,
			short(ratio.Median), short(ratio.Min), short(ratio.Max))
	}
	return t.Flush()
}
