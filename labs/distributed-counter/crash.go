package distributedcounter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// crash is the run in which a node is killed in the middle of requests and started again. What it said in its last moments is lost.
type crash struct {
	seed   uint64
	victim kit.NodeName
	after  time.Duration
}

const (
	muteFor      = 250 * time.Millisecond
	deadFor      = 1500 * time.Millisecond
	afterRestart = 1200 * time.Millisecond
)

func newCrash(seed uint64) lab.Plan {
	r := rand.New(rand.NewPCG(seed, 8))
	c := crash{seed: seed, victim: []kit.NodeName{"a", "b", "c"}[r.IntN(3)], after: time.Duration(400+r.IntN(300)) * time.Millisecond}
	return lab.Plan{Setup: setup, Drive: c.drive, Observe: finish, Checks: []lab.Check{{Task: "crash", Judge: c.judge}}}
}

func (c crash) drive(ctx context.Context, w *lab.World) error {
	if err := lab.SlowLinks(w, wire.Rule{Delay: 15 * time.Millisecond, Jitter: 20 * time.Millisecond}); err != nil {
		return err
	}
	end := w.Now() + c.after + muteFor + deadFor + afterRestart
	for i := range splitters {
		w.Go(func(ctx context.Context) { split{seed: c.seed}.client(ctx, w, i, end) })
	}
	w.Go(func(ctx context.Context) {
		if w.Sleep(ctx, c.after) != nil || c.links(w, wire.Rule{Cut: wire.Silent}) != nil || w.Sleep(ctx, muteFor) != nil {
			return
		}
		if w.Kill(c.victim) != nil || w.Sleep(ctx, deadFor) != nil || c.links(w, wire.Rule{}) != nil || w.Restart(c.victim) != nil {
			return
		}
		w.Do(ctx, "operator", c.victim, "start_store")
	})
	w.Wait()
	return ctx.Err()
}

// links sets the rule for all that the victim sends. In its last moments nothing gets out: what it counts then is not answered,
// and its clients ask again when it is back.
func (c crash) links(w *lab.World, rule wire.Rule) error {
	for _, n := range w.Nodes() {
		if n == c.victim {
			continue
		}
		if err := w.Link(c.victim, n, rule); err != nil {
			return err
		}
	}
	return nil
}

func (c crash) judge(h *history.History) grade.Finding {
	f := grade.All(exact.Exact, prompt.Answered, recovered)(h)
	f.Receipts = append(f.Receipts, c.receipt(h))
	return f
}

// receipt says whether the kill bit: something had been counted before, and requests were under way.
func (c crash) receipt(h *history.History) grade.Receipt {
	r := grade.Receipt{Fault: "kill " + string(c.victim), Evidence: "it was never ordered"}
	for _, f := range h.Faults {
		if f.What != "kill" || f.Err != "" {
			continue
		}
		counted, during := 0, 0
		for _, o := range h.During(history.Work).Ops {
			switch {
			case o.Verb == "increment" && o.Outcome.Status == door.OK && o.End < f.At:
				counted++
			case o.Overlaps(f.At, f.At+deadFor):
				during++
			}
		}
		r.Bit = counted > 0 && during > 0
		r.Evidence = fmt.Sprintf("at %v, after %d increments, with %d requests until it was back", f.At.Round(time.Millisecond), counted, during)
	}
	return r
}

func number(t term.Term) int64 { n, _ := t.(term.Int); return int64(n) }
