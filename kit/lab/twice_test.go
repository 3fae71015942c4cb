package lab

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/term"
)

var schedules = flag.Int("schedules", 4, "how many seeds TestSchedulesTwice runs twice")

// storm is a schedule with all that there is: real nodes with stores on discs, clients that write everywhere, and a plan of
// every kind of fault. It gives the run's hash and the receipts of the faults.
func storm(ctx context.Context, g *Grader, p Program, seed uint64) (hash string, receipts []grade.Receipt, err error) {
	nodes := []kit.NodeName{"a", "b", "c"}
	cluster, err := g.Env.Simulate(ctx, p, SimRun{Nodes: nodes, Seed: seed, Clocks: map[kit.NodeName]time.Duration{"c": time.Duration(seed%7) * time.Second}})
	if err != nil {
		return "", nil, err
	}
	defer cluster.Close()
	w := Record(cluster)
	if err := StartStores(ctx, w); err != nil {
		return "", nil, err
	}
	copies := term.Map{{Key: term.Atom("disc_copies"), Value: everyNode(w)}}
	if err := w.Do(ctx, "setup", "a", "create_table", term.Atom("t"), copies).Err(); err != nil {
		return "", nil, err
	}
	plan, err := Menu{Nodes: nodes, Kinds: FaultKinds(), For: 6 * time.Second, Calm: 500 * time.Millisecond, Least: 300 * time.Millisecond, Most: 1500 * time.Millisecond, AtOnce: 3}.Draw(seed)
	if err != nil {
		return "", nil, err
	}
	w.Enter("work")
	var failed error
	over := false
	w.Go(func(ctx context.Context) {
		failed = plan.RunThen(ctx, w, func(ctx context.Context, s FaultStep) error {
			if s.Do == "restart" {
				w.Do(Patient(ctx, time.Second), "starter", s.Node, "start_store")
			}
			return nil
		})
		over = true
	})
	for i, n := range nodes {
		w.Go(func(ctx context.Context) {
			for k := 0; !over; k++ {
				key, op := term.Int(k%5), term.Atom("write")
				w.Do(Patient(ctx, time.Second), fmt.Sprintf("client-%d", i), n, "transaction", List(List(op, term.Atom("t"), Tuple(term.Atom("t"), key, term.Int(k)))))
				_ = w.Sleep(ctx, 20*time.Millisecond)
			}
		})
	}
	w.Wait()
	if why := cluster.Over(); why != "" || len(cluster.Deaths()) > 0 {
		return "", nil, fmt.Errorf("over: %q, deaths %v", why, cluster.Deaths())
	}
	w.takeTraffic(ctx)
	return cluster.Hash(), grade.FaultReceipts(w.History()), failed
}

// stormy compiles the plain node.
func stormy(t *testing.T) (*Grader, Program) {
	t.Helper()
	g := system(t)
	p, err := g.Env.Build(t.Context(), Source{Module: "storm", Files: map[string][]byte{"main.go": []byte("package main\n\nimport \"netsplit/kit/node\"\n\nfunc main() { node.Main(node.App{}) }\n")}})
	if err != nil {
		t.Fatal(err)
	}
	return g, p
}

// TestSchedulesTwice runs each seed twice: alone in peace, and beside others on a starved machine whose garbage collector never
// rests. It is the same run, and over all seeds every kind of fault has bitten. With -schedules 1000 it takes minutes.
func TestSchedulesTwice(t *testing.T) {
	g, p := stormy(t)
	peace := make([]string, *schedules)
	bit, seen := map[string]bool{}, map[string]bool{}
	for i := range peace {
		hash, receipts, err := storm(t.Context(), g, p, uint64(i+1))
		if err != nil || seen[hash] {
			t.Fatalf("seed %d: %v, hash %s", i+1, err, hash)
		}
		peace[i], seen[hash] = hash, true
		for _, r := range receipts {
			bit[r.Fault] = bit[r.Fault] || r.Bit
		}
	}
	for _, again := range underLoad(t, len(peace), func(i int) (string, error) {
		hash, _, err := storm(t.Context(), g, p, uint64(i+1))
		return hash, err
	}) {
		if again.err != nil || again.hash != peace[again.i] {
			t.Errorf("seed %d: %s, under load %s, %v", again.i+1, peace[again.i], again.hash, again.err)
		}
	}
	if len(bit) < 3 {
		t.Errorf("only these faults were ordered: %v", bit)
	}
	for kind, ok := range bit {
		if !ok && *schedules >= 50 {
			t.Errorf("%s never bit", kind)
		}
	}
	t.Logf("%d schedules, faults that bit: %v", *schedules, bit)
}

type ranAgain struct {
	i    int
	hash string
	err  error
}

// underLoad runs n things four at a time while the machine is kept busy.
func underLoad(t *testing.T, n int, run func(i int) (string, error)) []ranAgain {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	ctx, stop := context.WithCancel(t.Context())
	var busy, work sync.WaitGroup
	busy.Go(func() {
		for ctx.Err() == nil {
			garbage := make([][]byte, 64)
			for i := range garbage {
				garbage[i] = make([]byte, 16<<10)
			}
			runtime.GC()
		}
	})
	all := make([]ranAgain, n)
	next := make(chan int)
	for range 4 {
		work.Go(func() {
			for i := range next {
				hash, err := run(i)
				all[i] = ranAgain{i, hash, err}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	work.Wait()
	stop()
	busy.Wait()
	return all
}
