package failover

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/wire"
)

// loss is the run in which a node is lost and comes back.
type loss struct {
	seed   uint64
	how    string // kill, loud or silent
	victim kit.NodeName
	others []kit.NodeName
}

const (
	losesAfter = 300 * time.Millisecond
	lostFor    = settleIn + 1500*time.Millisecond
	watchAfter = settleIn + time.Second
)

func newLoss(seed uint64) lab.Plan {
	r := rand.New(rand.NewPCG(seed, 11))
	nodes := []kit.NodeName{"a", "b", "c"}
	l := loss{seed: seed, how: []string{"kill", "loud", "silent"}[r.IntN(3)], victim: nodes[r.IntN(3)]}
	l.others = slices.DeleteFunc(nodes, func(n kit.NodeName) bool { return n == l.victim })
	return lab.Plan{Drive: l.drive, Checks: []lab.Check{
		{Task: "failover", Judge: l.takenOver},
		{Task: "alone", Judge: l.leftAlone},
		{Task: "return", Judge: l.returned},
	}}
}

func (l loss) drive(ctx context.Context, w *lab.World) error {
	if err := w.Sleep(ctx, settleIn); err != nil {
		return err
	}
	end := w.Now() + losesAfter + lostFor + watchAfter
	w.Go(func(ctx context.Context) { watch(ctx, w, end) })
	w.Go(func(ctx context.Context) {
		askPids(ctx, w, first, l.others)
		if w.Sleep(ctx, losesAfter) != nil || l.lose(w) != nil || w.Sleep(ctx, lostFor) != nil {
			return
		}
		askPids(ctx, w, last, l.others)
		_ = l.bringBack(w) // a node that is still away shows in the end
	})
	w.Wait()
	return ctx.Err()
}

func (l loss) lose(w *lab.World) error {
	if l.how == "kill" {
		return w.Kill(l.victim)
	}
	cut := wire.Loud
	if l.how == "silent" {
		cut = wire.Silent
	}
	for _, o := range l.others {
		if err := w.Cut(l.victim, o, cut); err != nil {
			return err
		}
	}
	return nil
}

func (l loss) bringBack(w *lab.World) error {
	if l.how == "kill" {
		return w.Restart(l.victim)
	}
	for _, o := range l.others {
		if err := w.Heal(l.victim, o); err != nil {
			return err
		}
	}
	return nil
}

// times are when the node was lost and when it came back.
func (l loss) times(h *history.History) (lost, back time.Duration) {
	lost, back = -1, -1
	for _, f := range h.Faults {
		switch {
		case f.Err != "":
		case (f.What == "kill" || f.What == "cut") && lost < 0:
			lost = f.At
		case f.What == "restart" || f.What == "heal":
			back = f.At
		}
	}
	return lost, back
}

// what says what happened to the node.
func (l loss) what() string {
	return map[string]string{"kill": "%s was killed", "loud": "%s was cut off", "silent": "%s was cut off silently"}[l.how]
}

// takenOver wants the living to have the workers of the node that was lost.
func (l loss) takenOver(h *history.History) grade.Finding {
	lost, back := l.times(h)
	p := period{lost + settleIn, back - beat, l.others, after(settleIn, fmt.Sprintf(l.what(), l.victim))}
	f := p.judge(looks(h))
	f.Receipts = append(f.Receipts, l.receipt(h))
	return f
}

// leftAlone wants the workers of the living to have gone on undisturbed.
func (l loss) leftAlone(h *history.History) grade.Finding {
	return alone(pids(h, first), pids(h, last), nil, fmt.Sprintf("since "+l.what(), l.victim))
}

// returned wants everything to be in its place once more, and nothing twice.
func (l loss) returned(h *history.History) grade.Finding {
	_, back := l.times(h)
	p := period{back + settleIn, workEnd(h), []kit.NodeName{"a", "b", "c"}, after(settleIn, fmt.Sprintf("%s was back", l.victim))}
	f := p.judge(looks(h))
	f.Receipts = append(f.Receipts, l.receipt(h))
	return f
}

// receipt says whether the loss bit: workers ran on the node, and messages were lost on the way to it.
func (l loss) receipt(h *history.History) grade.Receipt {
	lost, back := l.times(h)
	had := 0
	for _, s := range between(looks(h), 0, lost) {
		had = len(s.runs[l.victim])
	}
	if l.how != "kill" {
		r := grade.CutReceipt(h, []kit.NodeName{l.victim}, l.others)
		r.Evidence += fmt.Sprintf("; %d workers ran on %s", had, l.victim)
		return r
	}
	return grade.Receipt{Fault: "kill " + string(l.victim), Bit: had > 0 && lost >= 0,
		Evidence: fmt.Sprintf("at %v, back after %v; %d workers ran on it", lost.Round(time.Millisecond), (back - lost).Round(time.Millisecond), had)}
}
