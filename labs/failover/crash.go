package failover

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// crash is the run in which all nodes live and some workers end.
type crash struct{ seed uint64 }

const (
	crashes    = 3
	crashEvery = 1800 * time.Millisecond
	looksAfter = time.Second
	killer     = "killer"
	first      = "before" // who asks for the pids before and after the work
	last       = "after"
)

func newCrash(seed uint64) lab.Plan {
	c := crash{seed}
	return lab.Plan{Drive: c.drive, Checks: []lab.Check{
		{Task: "spread", Judge: spread},
		{Task: "crash", Judge: restarted},
	}}
}

func (c crash) drive(ctx context.Context, w *lab.World) error {
	if err := w.Sleep(ctx, settleIn); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(c.seed, 9))
	end := w.Now() + looksAfter + crashes*crashEvery
	w.Go(func(ctx context.Context) { watch(ctx, w, end) })
	w.Go(func(ctx context.Context) {
		askPids(ctx, w, first, w.Nodes())
		if w.Sleep(ctx, looksAfter) != nil {
			return
		}
		for _, i := range r.Perm(workers)[:crashes] {
			kill(ctx, w, term.Atom(name(i)))
			if w.Sleep(ctx, crashEvery) != nil {
				return
			}
		}
		askPids(ctx, w, last, w.Nodes())
	})
	w.Wait()
	return ctx.Err()
}

// kill ends a worker wherever it runs.
func kill(ctx context.Context, w *lab.World, worker term.Atom) {
	for _, n := range w.Nodes() {
		out := w.Do(ctx, killer, n, "whereis", worker)
		t, err := out.Term()
		if pid, ok := t.(term.Pid); ok && err == nil {
			w.Do(ctx, killer, n, "proc", term.Atom("self"), lab.List(term.Atom("exit_signal"), pid, term.Atom("kill")))
			return
		}
	}
}

// askPids asks every node for every worker's process.
func askPids(ctx context.Context, w *lab.World, who string, nodes []kit.NodeName) {
	for _, n := range nodes {
		for _, name := range allWorkers() {
			w.Do(ctx, who, n, "whereis", term.Atom(name))
		}
	}
}

// kills gives the orders to end a worker, and its name.
func kills(h *history.History) (orders []history.Op, victims []string) {
	worker := ""
	for _, o := range h.Ops {
		switch {
		case o.Client != killer:
		case o.Verb == "whereis":
			worker = nameIn(o)
		case o.Verb == "proc" && o.Outcome.Status == "ok":
			orders, victims = append(orders, o), append(victims, worker)
		}
	}
	return orders, victims
}

// workEnd is the last moment at which the nodes were looked at.
func workEnd(h *history.History) time.Duration {
	end := time.Duration(0)
	for _, o := range h.During(history.Work).Ops {
		end = max(end, o.Begin)
	}
	return end
}

// spread wants every worker to run once, evenly, until the first crash.
func spread(h *history.History) grade.Finding {
	nodes := []kit.NodeName{"a", "b", "c"}
	to := workEnd(h)
	if orders, _ := kills(h); len(orders) > 0 {
		to = orders[0].Begin - beat // a look takes a moment
	}
	return period{0, to, nodes, after(settleIn, "all nodes were started")}.judge(looks(h))
}

// restarted wants every worker that was killed to run again where it ran, and nobody else to notice.
func restarted(h *history.History) grade.Finding {
	orders, victims := kills(h)
	if len(orders) < crashes {
		return grade.Unclear("fewer workers were found to be killed than there should be")
	}
	all := looks(h)
	for i, o := range orders {
		to := workEnd(h)
		if i+1 < len(orders) {
			to = orders[i+1].Begin
		}
		for _, l := range between(all, o.End+restartIn, to) {
			on := l.on(victims[i], []kit.NodeName{"a", "b", "c"})
			if len(on) == 1 && on[0] == o.Node {
				continue
			}
			where := "nowhere"
			if len(on) > 0 {
				where = "on " + names(on)
			}
			return grade.Failed(fmt.Sprintf("%s crashed on %s and does not run there again", victims[i], o.Node),
				fmt.Sprintf("%s on %s within %v", victims[i], o.Node, restartIn), where, o.ID, l.ops[o.Node])
		}
	}
	var causes []int
	for _, o := range orders {
		causes = append(causes, o.ID)
	}
	f := alone(pids(h, first), pids(h, last), victims, "after the crash of "+some(victims), causes...)
	if f.Verdict == grade.Pass {
		f.Receipts = append(f.Receipts, grade.Receipt{Fault: "kill workers", Bit: true,
			Evidence: fmt.Sprintf("%d of them: %v", len(orders), victims)})
	}
	return f
}
