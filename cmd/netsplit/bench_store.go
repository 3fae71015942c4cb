package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"netsplit/kit"
	benchwork "netsplit/kit/bench"
	"netsplit/kit/cluster"
	"netsplit/kit/door"
	"netsplit/kit/lab"
	"netsplit/kit/node"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// storeBench says what "bench store" measures.
type storeBench struct {
	nodes    []int
	storages []string
	works    []string
	clients  []int
	records  int      // in the largest table of a workload that can be of any size; 0: its own number
	only     []string // parts of rows' names
	runs     int
	length   time.Duration // of a sample
	profiles string        // folder for CPU profiles of node a; "" for none
}

// storeRow is one line of the benchmark: an operation of a workload with that many clients on each of the nodes.
type storeRow struct {
	op      string
	clients int
	on      int  // how many nodes have clients
	micros  bool // the figure is microseconds for an operation, not operations a second
	bulk    bool // see storeWork.bulk
}

var storeWorks = []string{"meter", "tpcb", "tpcb_replica", "tpcb_sticky_replica", "tpcb_conflict", "tpcb_dist", "hlr", "micro", "bulk", "recovery"}

func newBenchStoreCmd() *cobra.Command {
	var asJSON bool
	b := storeBench{}
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Measure the store with Mnesia's own benchmarks",
		Long: "Measures the store with the workloads that come with Mnesia (mnesia_meter, mnesia_tpcb, the HLR bench) and with\n" +
			"single operations (micro). The nodes are processes of their own, the clients run inside them. Each row is the\n" +
			"median of several runs; at the end of each workload its sums must agree on all copies, or the command fails.",
		Example: "  netsplit bench store --nodes 1 --work micro --only tx_read\n  netsplit bench store --runs 5 --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.valid(); err != nil {
				return err
			}
			figures, err := b.run(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), figures)
			}
			return printFigures(cmd.OutOrStdout(), figures)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print a list of {name, n, median, min, max, unit}")
	f.IntVar(&b.runs, "runs", 3, "samples of each row")
	f.IntSliceVar(&b.nodes, "nodes", []int{1, 2, 3}, "numbers of nodes; each has a copy of every table")
	f.StringSliceVar(&b.storages, "storage", []string{"ram", "disc"}, "storages: ram, disc")
	f.StringSliceVar(&b.works, "work", storeWorks, "workloads")
	f.IntSliceVar(&b.clients, "clients", []int{1, 8, 64}, "clients at once, where the workload does not say")
	f.IntVar(&b.records, "records", 0, "records in the largest table of micro, tpcb and hlr; 0 for what the workload says")
	f.StringArrayVar(&b.only, "only", nil, "only rows whose name has this in it; may be given several times")
	f.DurationVar(&b.length, "time", time.Second, "length of a sample")
	f.StringVar(&b.profiles, "profile", "", "folder that gets a CPU profile of the first node for each row")
	return cmd
}

func newBenchNodeCmd() *cobra.Command {
	return &cobra.Command{
		Use:    "__bench_node",
		Short:  "Be a node that runs benchmarks",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exitCode{code: node.Process(benchwork.App(), cmd.ErrOrStderr())}
		},
	}
}

func (b *storeBench) valid() error {
	bad := func(format string, args ...any) error {
		return &kit.Error{Op: "bench", Kind: kit.Invalid, Err: fmt.Errorf(format, args...)}
	}
	if b.runs < 1 || b.runs > maxRuns {
		return bad("%d runs, from 1 to %d are possible", b.runs, maxRuns)
	}
	if b.length < time.Millisecond || b.length > time.Minute {
		return bad("samples of %v, from 1ms to 1m are possible", b.length)
	}
	if b.records < 0 || b.records > 10_000_000 {
		return bad("%d records, up to 10000000 are possible", b.records)
	}
	for _, n := range b.nodes {
		if n < 1 || n > 7 {
			return bad("%d nodes, from 1 to 7 are possible", n)
		}
	}
	for _, n := range b.clients {
		if n < 1 || n > 1024 {
			return bad("%d clients, from 1 to 1024 are possible", n)
		}
	}
	for _, s := range b.storages {
		if s != "ram" && s != "disc" {
			return bad("there is no storage %q: ram or disc", s)
		}
	}
	for _, w := range b.works {
		if !slices.Contains(storeWorks, w) {
			return bad("there is no workload %q: %s", w, strings.Join(storeWorks, ", "))
		}
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

// rows lists what one workload measures on a cluster.
func (b *storeBench) rows(work string, nodes int, disc bool) []storeRow {
	var rows []storeRow
	switch work {
	case "micro":
		for _, op := range benchwork.MicroOps(disc) {
			for _, c := range b.clients {
				rows = append(rows, storeRow{op: op, clients: c, on: 1})
			}
		}
	case "meter":
		for _, op := range benchwork.MeterOps(nodes == 1 && !disc) {
			rows = append(rows, storeRow{op: op, clients: 1, on: 1, micros: true})
		}
	case "hlr":
		for _, c := range []int{2, 8} {
			rows = append(rows, storeRow{op: "generate", clients: c, on: nodes})
		}
	case "tpcb":
		for _, c := range b.clients {
			rows = append(rows, storeRow{op: "drive", clients: c, on: 1})
		}
	case "tpcb_conflict", "tpcb_dist":
		rows = append(rows, storeRow{op: "drive", clients: 10, on: nodes})
	case "bulk":
		rows = append(rows, storeRow{op: "memory of a row", bulk: true})
		if disc {
			rows = append(rows, storeRow{op: "start with 1M rows", bulk: true})
		}
		if nodes > 1 {
			rows = append(rows, storeRow{op: "copy 1M rows to a new node", bulk: true})
		}
	case "recovery":
		if nodes > 2 {
			rows = append(rows, storeRow{op: "100k rows through master nodes", bulk: true})
		}
	default:
		rows = append(rows, storeRow{op: "drive", clients: 1, on: 1})
	}
	return rows
}

func (b *storeBench) name(work, storage string, nodes int, r storeRow) string {
	name := fmt.Sprintf("%s %s, %d nodes: %s", work, storage, nodes, r.op)
	if nodes == 1 {
		name = fmt.Sprintf("%s %s, 1 node: %s", work, storage, r.op)
	}
	switch {
	case r.clients > 1:
		name += fmt.Sprintf(", %d clients", r.clients)
	case !r.micros && !r.bulk:
		name += ", 1 client"
	}
	if r.on > 1 {
		name += " on each"
	}
	return name
}

// wanted reports whether a row is one of those asked for.
func (b *storeBench) wanted(name string) bool {
	return len(b.only) == 0 || slices.ContainsFunc(b.only, func(part string) bool { return strings.Contains(name, part) })
}

func (b *storeBench) run(cmd *cobra.Command) ([]figure, error) {
	figures := []figure{}
	for _, nodes := range b.nodes {
		for _, storage := range b.storages {
			more, err := b.cluster(cmd, nodes, storage)
			if err != nil {
				return nil, err
			}
			figures = append(figures, more...)
		}
	}
	return figures, nil
}

// cluster measures all workloads on one new cluster.
func (b *storeBench) cluster(cmd *cobra.Command, nodes int, storage string) (figures []figure, err error) {
	ctx := cmd.Context()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c, err := cluster.Up(ctx, cluster.Spec{Lab: "bench", Nodes: cluster.Letters(nodes), Program: []string{self, "__bench_node"},
		Temporary: true, Who: "bench", Setup: func(ctx context.Context, c *cluster.Cluster) error { return lab.StartStores(ctx, lab.Record(c)) }})
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := c.Close(); err == nil {
			err = e
		}
	}()
	for _, work := range b.works {
		var rows []storeRow
		for _, r := range b.rows(work, nodes, storage == "disc") {
			if b.wanted(b.name(work, storage, nodes, r)) {
				rows = append(rows, r)
			}
		}
		if len(rows) == 0 {
			continue
		}
		w := &storeWork{c: c, bench: b, work: work, storage: storage, nodes: c.Nodes()}
		measure := w.measure
		switch work {
		case "bulk":
			measure = w.bulk
		case "recovery":
			measure = w.recovery
		}
		more, err := measure(cmd, rows)
		if err != nil {
			return nil, &kit.Error{Op: "measure", What: fmt.Sprintf("%s %s, %d nodes", work, storage, nodes), Kind: kit.KindOf(err), Err: err}
		}
		figures = append(figures, more...)
	}
	return figures, nil
}

// storeWork is one workload on a running cluster.
type storeWork struct {
	c             *cluster.Cluster
	bench         *storeBench
	work, storage string
	nodes         []kit.NodeName
}

func (w *storeWork) ask(ctx context.Context, n kit.NodeName, verb string, args ...term.Term) (term.Term, error) {
	return w.c.Call(ctx, "bench", n, door.Request{Client: "bench", Verb: verb, Args: args}).Term()
}

func (w *storeWork) kind() store.Storage {
	return map[string]store.Storage{"ram": store.RAM, "disc": store.Disc}[w.storage]
}

// prepare makes the tables, with copies on the nodes that are named; the first node fills them.
func (w *storeWork) prepare(ctx context.Context, copies []kit.NodeName) error {
	for i, n := range slices.Backward(w.nodes) {
		verb, args := benchwork.VerbEnlist, []term.Term{term.Atom(w.work), term.Atoms(w.nodes...), term.Int(w.bench.records)}
		if i == 0 {
			verb, args = benchwork.VerbPrepare, []term.Term{term.Atom(w.work), term.Atom(w.kind()), term.Atoms(copies...),
				term.Int(w.bench.records)}
		}
		if _, err := w.ask(ctx, n, verb, args...); err != nil {
			return fmt.Errorf("prepare %s: %w", n, err)
		}
	}
	// the table was filled with dirty writes: no transaction may come before one of them at another copy
	_, err := w.ask(ctx, w.nodes[0], benchwork.VerbSettle)
	return err
}

func (w *storeWork) measure(cmd *cobra.Command, rows []storeRow) ([]figure, error) {
	ctx := cmd.Context()
	if err := w.prepare(ctx, w.nodes); err != nil {
		return nil, err
	}
	var figures []figure
	for _, r := range rows {
		name := w.bench.name(w.work, w.storage, len(w.nodes), r)
		fmt.Fprintf(cmd.ErrOrStderr(), "%s ...\n", name)
		more, err := w.row(ctx, name, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		figures = append(figures, more...)
		if err := w.check(ctx); err != nil {
			return nil, fmt.Errorf("check after %s: %w", name, err)
		}
	}
	return figures, nil
}

// row takes the samples of one row, after a short one that does not count.
func (w *storeWork) row(ctx context.Context, name string, r storeRow) ([]figure, error) {
	var rate, p50, p99, cpu []float64
	for i := range w.bench.runs + 1 {
		length, profile := w.bench.length, ""
		switch {
		case i == 0:
			length = max(length/4, time.Millisecond)
		case i == 1 && w.bench.profiles != "":
			profile = filepath.Join(w.bench.profiles, strings.NewReplacer(" ", "-", ",", "", ":", "").Replace(name)+".pprof")
		}
		s, err := w.sample(ctx, r, length, profile)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue
		}
		if r.micros {
			rate = append(rate, s.Took.Seconds()*1e6/float64(max(s.Count, 1)))
		} else {
			rate = append(rate, s.Rate())
		}
		p50, p99 = append(p50, float64(s.P50)/1e3), append(p99, float64(s.P99)/1e3)
		cpu = append(cpu, float64(s.CPU)/1e3/float64(max(s.Count, 1)))
	}
	unit := "ops/s"
	if r.micros {
		unit = "us"
	}
	return []figure{figureOf(name, unit, rate), figureOf(name+", p50", "us", p50), figureOf(name+", p99", "us", p99),
		figureOf(name+", cpu", "us", cpu)}, nil
}

func figureOf(name, unit string, samples []float64) figure {
	slices.Sort(samples)
	return figure{Name: name, N: len(samples), Median: median(samples), Min: samples[0], Max: samples[len(samples)-1], Unit: unit}
}

// sample drives the clients on all nodes of the row at the same time.
func (w *storeWork) sample(ctx context.Context, r storeRow, length time.Duration, profile string) (benchwork.Sample, error) {
	samples := make([]benchwork.Sample, r.on)
	errs := make([]error, r.on)
	var all sync.WaitGroup
	for i, n := range w.nodes[:r.on] {
		all.Go(func() {
			args := []term.Term{term.Atom(r.op), term.Int(r.clients), term.Int(length.Milliseconds())}
			if i == 0 && profile != "" {
				args = append(args, term.Atom(profile))
			}
			t, err := w.ask(ctx, n, benchwork.VerbRun, args...)
			if err == nil {
				samples[i], err = benchwork.ReadSample(t)
			}
			errs[i] = err
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return benchwork.Sample{}, fmt.Errorf("on %s: %w", w.nodes[i], err)
		}
	}
	return benchwork.Join(samples), nil
}

// check waits until no transaction is under way and compares the sums of all copies. Dirty writes reach the other
// copies in their own time, so that copies that differ are looked at again for a while.
func (w *storeWork) check(ctx context.Context) error {
	const patience = 30 * time.Second
	holders := w.nodes
	if w.work == "bulk" { // the others have no copy, and would fetch all rows
		holders = w.nodes[:1]
	}
	for end := time.Now().Add(patience); ; {
		if _, err := w.ask(ctx, w.nodes[0], benchwork.VerbSettle); err != nil {
			return err
		}
		var sums []benchwork.Sums
		for _, n := range holders {
			t, err := w.ask(ctx, n, benchwork.VerbSums)
			if err != nil {
				return fmt.Errorf("sums of %s: %w", n, err)
			}
			s, err := benchwork.ReadSums(t)
			if err != nil {
				return err
			}
			sums = append(sums, s)
		}
		err := benchwork.Check(sums)
		if err == nil || w.work != "micro" && w.work != "meter" || time.Now().After(end) {
			return err
		}
		if err := w.c.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
