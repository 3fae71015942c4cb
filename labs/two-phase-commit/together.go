package twophasecommit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// together is the run in which nothing breaks: first one client asks for one transfer after the other, then several ask at
// once for transfers between the same accounts, and somebody looks at these accounts all the time.
type together struct{ seed uint64 }

const (
	alone      = 7
	rivals     = 3
	rivalsEach = 4
	rivalsNote = "rivals-come"
	watcher    = "watcher"
	looks      = 24
)

func newTogether(seed uint64) lab.Plan {
	t := together{seed}
	return lab.Plan{Setup: setup, Drive: t.drive, Observe: finish, Checks: []lab.Check{
		{Task: "agree", Judge: t.agree},
		{Task: "concurrent", Judge: t.concurrent},
	}}
}

func (t together) drive(ctx context.Context, w *lab.World) error {
	if err := lab.SlowLinks(w, wire.Rule{Delay: 3 * time.Millisecond, Jitter: 20 * time.Millisecond}); err != nil {
		return err
	}
	t.oneByOne(ctx, w)
	read(ctx, w)
	w.Note(rivalsNote, term.True)
	if err := w.Sleep(ctx, time.Millisecond); err != nil {
		return err
	}
	for i := range rivals {
		w.Go(func(ctx context.Context) {
			c := newClient(t.seed, 1+i)
			for range rivalsEach {
				from, to := c.Rand.IntN(3), 1+c.Rand.IntN(2)
				payer, payee := nodes[from], nodes[(from+to)%3]
				c.transfer(ctx, w, nodes[c.Rand.IntN(3)], pay(payer, accounts[payer][0], payee, accounts[payee][0], c.amount(55, 95))...)
				if c.Pause(ctx, w, time.Millisecond, 60*time.Millisecond) != nil {
					return
				}
			}
		})
	}
	w.Go(func(ctx context.Context) {
		for i := range looks {
			n := nodes[i%3]
			look(ctx, w, watcher, n, accounts[n][0])
			if w.Sleep(ctx, 9*time.Millisecond) != nil {
				return
			}
		}
	})
	w.Wait()
	return ctx.Err()
}

// oneByOne asks for transfers of which some cannot be: an account has not enough, or is not there. Every other one of those has
// its hopeless part on the last node, when the others have said yes.
func (t together) oneByOne(ctx context.Context, w *lab.World) {
	c := newClient(t.seed, 0)
	for i := range alone {
		ring := slices.Concat(nodes[c.Rand.IntN(3):], nodes)[:3]
		parts := []part{}
		for _, n := range ring {
			parts = append(parts, part{n, accounts[n][c.Rand.IntN(3)], c.amount(1, 20)})
		}
		parts[0].by = -parts[1].by - parts[2].by
		switch i % 4 {
		case 1:
			parts[2].by = -400 - c.amount(1, 99)
		case 2:
			parts = parts[:2]
			parts[1].by = -parts[0].by
		case 3:
			parts[0].account = "zoe"
		}
		c.transfer(ctx, w, nodes[c.Rand.IntN(3)], parts...)
		if w.Sleep(ctx, 5*time.Millisecond) != nil {
			return
		}
	}
}

// before is what happened until the rivals came.
func before(h *history.History) *history.History {
	until := h.End
	for _, n := range h.Notes {
		if n.Name == rivalsNote {
			until = n.At
		}
	}
	first := *h
	first.Ops = h.Filter(func(o history.Op) bool { return o.Begin <= until })
	return &first
}

// agree judges the transfers that came one by one.
func (t together) agree(h *history.History) grade.Finding {
	h = before(h)
	return grade.All(asItShould, found(explainUnkilled(h, whole(h))), decided, prompt.Answered)(h)
}

// concurrent judges all of them.
func (t together) concurrent(h *history.History) grade.Finding {
	return grade.All(found(explainUnkilled(h, whole(h))), sound, unseen, decided, prompt.Answered, recovered)(h)
}

// asItShould wants a transfer that comes alone to be committed when all accounts can bear it, and aborted when one cannot.
func asItShould(h *history.History) grade.Finding {
	balance := map[at]int64{}
	for _, n := range nodes {
		for _, name := range accounts[n] {
			balance[at{n, name}] = opening
		}
	}
	for _, r := range requests(h) {
		why := ""
		for _, p := range r.parts {
			has, there := balance[at{p.node, p.account}]
			switch {
			case !there:
				why = fmt.Sprintf("there is no account %s on %s", p.account, p.node)
			case has+p.by < 0:
				why = fmt.Sprintf("%s on %s has %d, and %d are to be taken", p.account, p.node, has, -p.by)
			}
		}
		switch {
		case why != "" && r.said() == grade.Committed:
			return grade.Failed(fmt.Sprintf("the transfer %s was committed, although %s", r.id, why), "aborted: one who cannot do its part is enough", "committed", r.op.ID)
		case why == "" && r.said() == grade.Aborted:
			return grade.Failed(fmt.Sprintf("the transfer %s was not committed, although every account could bear it and no other transfer was under way", r.id),
				"committed", grade.AnswerText(r.op), r.op.ID)
		case r.said() == grade.Committed:
			for _, p := range r.parts {
				balance[at{p.node, p.account}] += p.by
			}
		}
	}
	return grade.Passed()
}

// unseen wants nobody to have seen a change of a transfer that was not committed in the end.
func unseen(h *history.History) grade.Finding {
	final := books(h)
	for _, o := range h.Ops {
		where, a, ok := looked(o)
		if !ok || o.Client != watcher {
			continue
		}
		for _, e := range a.entries {
			last := final[where]
			if last.has(e.id) {
				continue
			}
			r, _ := find(h, e.id)
			return grade.Failed(fmt.Sprintf("a change of %s was seen on %s (account %s) before it was decided, and then it was taken back", e.id, o.Node, a.name),
				"changes that others can see only when their transfer is committed", fmt.Sprintf("%+d of %s in the account, and at the end it is gone", e.by, e.id), r.op.ID, o.ID, last.op)
		}
	}
	return grade.Passed()
}
