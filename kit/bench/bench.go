// Package bench holds the workloads of "netsplit bench store": the three benchmarks that come with Mnesia's source
// (mnesia_meter, mnesia_tpcb and the HLR bench) and a table of single operations. They run inside the nodes, as a
// program's own requests, so that the figures hold no cost of the door; and each has sums that must agree at the end.
// The workloads of "netsplit bench proc" are here too, once for the nodes and once in Erlang, for Erlang's.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// The requests that a node with App answers.
const (
	VerbPrepare = "bench_prepare" // work, storage, nodes, records?: makes and fills the tables, from one node
	VerbEnlist  = "bench_enlist"  // work, nodes, records?: gets a node ready to run work that another one has prepared
	VerbRun     = "bench_run"     // operation, clients, milliseconds, profile?: drives clients and gives a Sample
	VerbSettle  = "bench_settle"  // returns when no transaction is under way in the work's tables
	VerbSums    = "bench_sums"    // gives the sums of this node's copies, for Check
	VerbMemory  = "bench_memory"  // gives the bytes in use on the node's heap, after a collection
)

// Limits of one run.
const (
	maxClients = 4096
	maxFor     = 10 * time.Minute
	maxRecords = 100_000_000
)

// action is one operation of one client.
type action func(ctx context.Context) error

// workload is one benchmark as one node runs it.
type workload interface {
	// tables describes the tables, without their copies.
	tables() []store.Table
	// fill writes the rows that are there at the beginning.
	fill(ctx context.Context, s *store.Store) error
	// client gives the action of the i-th client of an operation, and how many of them one time measurement spans.
	client(s *store.Store, op string, i int) (do action, every int, err error)
	// sums gives what Check compares.
	sums(ctx context.Context, s *store.Store) (Sums, error)
}

// bench is the state of one node.
type bench struct {
	mu   sync.Mutex // one request at a time
	work workload
}

// App is the node program that runs the workloads.
func App() node.App {
	b := &bench{}
	verbs := map[string]node.Verb{}
	for name, do := range map[string]node.Verb{VerbPrepare: b.prepare, VerbEnlist: b.enlist, VerbRun: b.run, VerbSettle: b.settle,
		VerbSums: b.sums, VerbMemory: b.memory} {
		verbs[name] = func(ctx context.Context, n *node.Node, args []term.Term) (term.Term, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return do(ctx, n, args)
		}
	}
	p := &procBench{gate: make(chan struct{})}
	verbs[VerbProc] = p.sample
	start := func(_ context.Context, n *node.Node) error { p.rt = n.Procs(); return nil }
	return node.App{Verbs: verbs, Funcs: p.funcs(), Start: start}
}

func invalid(format string, args ...any) error {
	return &kit.Error{Op: "bench", Kind: kit.Invalid, Err: fmt.Errorf(format, args...)}
}

// wrong is an error for a store that did not do what it was asked to.
func wrong(format string, args ...any) error {
	return &kit.Error{Op: "bench", Kind: kit.Broken, Err: fmt.Errorf(format, args...)}
}

func atom(args []term.Term, i int) string {
	if i >= len(args) {
		return ""
	}
	a, _ := args[i].(term.Atom)
	return string(a)
}

func names(args []term.Term, i int) ([]kit.NodeName, error) {
	if i >= len(args) {
		return nil, invalid("argument %d, a list of nodes, is missing", i+1)
	}
	l, _ := args[i].(term.List)
	var nodes []kit.NodeName
	for _, t := range l {
		if a, ok := t.(term.Atom); ok {
			nodes = append(nodes, kit.NodeName(a))
		}
	}
	if len(nodes) == 0 || len(nodes) != len(l) {
		return nil, invalid("argument %d is no list of nodes", i+1)
	}
	return nodes, nil
}

// records gives how many records are asked for; 0 for the workload's own number.
func records(args []term.Term, i int) (int, error) {
	if i >= len(args) {
		return 0, nil
	}
	n, ok := args[i].(term.Int)
	if !ok || n < 0 || n > maxRecords {
		return 0, invalid("argument %d is no number of records up to %d", i+1, maxRecords)
	}
	return int(n), nil
}

// load makes the workload with the given name for a cluster of that many nodes. With records its largest table has that
// many, if the workload can be of any size.
func load(name string, nodes, records int, self kit.NodeName) (workload, error) {
	or := func(n int) int {
		if records > 0 {
			return records
		}
		return n
	}
	switch name {
	case "micro":
		return &micro{rows: or(microRows)}, nil
	case "meter":
		return &meter{}, nil
	case "hlr":
		return newHLR(or(hlrSubscribers)), nil
	case "bulk":
		return &bulk{}, nil
	case "recovery":
		return &recovery{}, nil
	}
	if c, ok := tpcbConfigs(nodes)[name]; ok {
		c.self = self
		if name == "tpcb" {
			c.accounts = or(c.accounts)
		}
		return c, nil
	}
	return nil, invalid("there is no workload %q", name)
}

func (b *bench) enlist(_ context.Context, n *node.Node, args []term.Term) (term.Term, error) {
	nodes, err := names(args, 1)
	if err != nil {
		return nil, err
	}
	size, err := records(args, 2)
	if err != nil {
		return nil, err
	}
	b.work, err = load(atom(args, 0), len(nodes), size, n.Name())
	return term.Atom("ok"), err
}

func (b *bench) prepare(ctx context.Context, n *node.Node, args []term.Term) (term.Term, error) {
	nodes, err := names(args, 2)
	if err != nil {
		return nil, err
	}
	size, err := records(args, 3)
	if err != nil {
		return nil, err
	}
	w, err := load(atom(args, 0), len(nodes), size, n.Name())
	if err != nil {
		return nil, err
	}
	s := n.Store()
	for _, t := range w.tables() {
		if _, _, known := s.TableType(t.Name); known {
			if err := s.DeleteTable(ctx, t.Name); err != nil {
				return nil, err
			}
		}
		switch st := store.Storage(atom(args, 1)); st {
		case store.RAM:
			t.RAM = nodes
		case store.Disc:
			t.Disc = nodes
		default:
			return nil, invalid("storage %q", st)
		}
		if err := s.CreateTable(ctx, t); err != nil {
			return nil, err
		}
	}
	b.work = w
	return term.Atom("ok"), w.fill(ctx, s)
}

var errNotReady = errors.New("nothing was prepared")

func (b *bench) run(ctx context.Context, n *node.Node, args []term.Term) (term.Term, error) {
	if b.work == nil {
		return nil, invalid("%w", errNotReady)
	}
	var nums [2]int64
	for i := range nums {
		if len(args) < i+2 {
			return nil, invalid("operation, clients and milliseconds are needed")
		}
		v, ok := args[i+1].(term.Int)
		if !ok || v <= 0 {
			return nil, invalid("argument %d is no positive number", i+2)
		}
		nums[i] = int64(v)
	}
	if nums[0] > maxClients || nums[1] > maxFor.Milliseconds() {
		return nil, invalid("at most %d clients and %v", maxClients, maxFor)
	}
	stop, err := profile(atom(args, 3))
	if err != nil {
		return nil, err
	}
	defer stop()
	op := atom(args, 0)
	if m, ok := b.work.(*meter); ok { // it counts iterations, not time
		sample, err := m.row(ctx, n.Store(), op)
		return sample.term(), err
	}
	sample, err := drive(ctx, b.work, n.Store(), op, int(nums[0]), time.Duration(nums[1])*time.Millisecond)
	return sample.term(), err
}

// profile begins a CPU profile, written to a file when stop is called; without a path it does nothing.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that is cut short does not open
	}, nil
}

// settle takes a write lock on every table: when it has them all, no transaction's change is under way.
func (b *bench) settle(ctx context.Context, n *node.Node, _ []term.Term) (term.Term, error) {
	if b.work == nil {
		return nil, invalid("%w", errNotReady)
	}
	return term.Atom("ok"), n.Store().Transaction(ctx, func(tx *store.Tx) error {
		for _, t := range b.work.tables() {
			if _, err := tx.LockTable(t.Name, store.WriteLock); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) sums(ctx context.Context, n *node.Node, _ []term.Term) (term.Term, error) {
	if b.work == nil {
		return nil, invalid("%w", errNotReady)
	}
	sums, err := b.work.sums(ctx, n.Store())
	return sums.term(), err
}

// sum adds up f over the rows of the node's own copy.
func sum(ctx context.Context, s *store.Store, table string, f func(row term.Tuple) int64) (total int64, err error) {
	err = s.Activity(ctx, store.AsyncDirty, func(tx *store.Tx) error {
		total = 0
		return tx.Fold(table, false, func(row term.Tuple) bool {
			total += f(row)
			return true
		})
	})
	return total, err
}

// field gives an integer field of a row; 0 when it is none.
func field(row term.Tuple, i int) int64 {
	if i >= len(row) {
		return 0
	}
	v, _ := row[i].(term.Int)
	return int64(v)
}

func one(row term.Tuple) int64 { return 1 }
