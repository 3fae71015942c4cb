package twophasecommit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/wire"
)

// cut is the run in which messages are lost or late: one node is cut off from the others for a while, or its links are slow.
type cut struct {
	seed   uint64
	how    string
	away   kit.NodeName
	begins time.Duration
	lasts  time.Duration
}

// The ways of being away.
const (
	silent = "silent"
	loud   = "loud"
	brief  = "brief" // silent, and over before anybody notices: what was held arrives late
	mute   = "mute"  // nothing that it sends arrives
	deaf   = "deaf"  // nothing that is sent to it arrives
	slow   = "slow"  // votes come late, but in time
	late   = "late"  // votes come when their transfer has been given up
)

var ways = []string{silent, mute, slow, brief, deaf, late, loud}

const (
	cutClients = 2
	slowBy     = 380 * time.Millisecond
	lateBy     = 600 * time.Millisecond
	slowJitter = 80 * time.Millisecond
	afterCut   = 300 * time.Millisecond
)

func newCut(seed uint64) lab.Plan {
	c := cutOf(seed)
	return lab.Plan{Setup: setup, Drive: c.drive, Observe: finish, Checks: []lab.Check{{Task: "cut", Judge: c.judge}}}
}

func cutOf(seed uint64) cut {
	r := rand.New(rand.NewPCG(seed, 14))
	c := cut{seed: seed, how: ways[seed%uint64(len(ways))], away: nodes[r.IntN(3)], begins: time.Duration(60+r.IntN(100)) * time.Millisecond, lasts: 2500 * time.Millisecond}
	if c.how == brief {
		c.lasts = time.Duration(300+r.IntN(600)) * time.Millisecond
	}
	return c
}

func (c cut) drive(ctx context.Context, w *lab.World) error {
	if err := lab.SlowLinks(w, usual); err != nil {
		return err
	}
	end := w.Now() + c.begins + c.lasts + afterCut
	for i := range cutClients {
		w.Go(func(ctx context.Context) { c.client(ctx, w, i, end) })
	}
	w.Go(func(ctx context.Context) {
		if w.Sleep(ctx, c.begins) != nil || c.order(w, true) != nil || w.Sleep(ctx, c.lasts) != nil {
			return
		}
		_ = c.order(w, false) // what is left broken shows in the end
	})
	w.Wait()
	return ctx.Err()
}

var usual = wire.Rule{Delay: 2 * time.Millisecond, Jitter: 8 * time.Millisecond}

// client transfers between accounts of all nodes, its own on each, so that no two clients meet. The first asks the node that is to
// be away, the second another one.
func (c cut) client(ctx context.Context, w *lab.World, i int, end time.Duration) {
	cl := newClient(c.seed, i)
	at := c.away
	if i > 0 {
		at = others(c.away)[cl.Rand.IntN(2)]
	}
	for w.Now() < end {
		from := cl.Rand.IntN(3)
		amount := 2 * cl.amount(5, 15)
		var parts []part
		for k, n := range nodes {
			by := amount / 2
			if k == from {
				by = -amount
			}
			parts = append(parts, part{n, accounts[n][i], by})
		}
		cl.transfer(ctx, w, at, parts...)
		if cl.Pause(ctx, w, time.Millisecond, 20*time.Millisecond) != nil {
			return
		}
	}
}

// order breaks or mends.
func (c cut) order(w *lab.World, broken bool) error {
	rule := wire.Rule{}
	if broken {
		rule = map[string]wire.Rule{loud: {Cut: wire.Loud}, slow: {Delay: slowBy, Jitter: slowJitter}, late: {Delay: lateBy, Jitter: slowJitter}}[c.how]
		if rule == (wire.Rule{}) {
			rule.Cut = wire.Silent
		}
	}
	for _, o := range others(c.away) {
		if c.how != deaf {
			if err := w.Link(c.away, o, rule); err != nil {
				return err
			}
		}
		if c.how != mute {
			if err := w.Link(o, c.away, rule); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c cut) judge(h *history.History) grade.Finding {
	f := explainUnkilled(h, grade.All(whole, sound)(h))
	if f.Verdict != grade.Fail {
		f = grade.All(found(f), found(grade.All(decided, prompt.Answered, recovered)(h)))(h)
	}
	f.Receipts = append(f.Receipts, c.receipt(h))
	return f
}

// explainUnkilled says of a transfer that went wrong what can have led to it when nobody was killed.
func explainUnkilled(h *history.History, f grade.Finding) grade.Finding {
	r, ok := about(h, f)
	i := slices.IndexFunc(deeds(h), func(d grade.Deed) bool { return d.Name == r.id })
	if !ok || i < 0 {
		return f
	}
	for _, p := range deeds(h)[i].Places {
		node, _, _ := strings.Cut(p.Name, " ")
		switch {
		case r.said() == grade.Committed && p.Held == grade.NotDone:
			f.Why += fmt.Sprintf(". Either it was committed without a yes of %s; or %s said yes and gave it up before it heard the decision: by itself, or because its coordinator told it "+
				`"aborted" while it was still collecting votes`, node, node)
			return f
		case r.said() == grade.Aborted && p.Held == grade.Done:
			f.Why += fmt.Sprintf(". %s did it without having been told that it is committed", node)
			return f
		}
	}
	return f
}

// receipt says whether the cut bit: transfers over it while it lasted, and messages that did not get through, or late.
func (c cut) receipt(h *history.History) grade.Receipt {
	what := map[string]string{loud: "cut %s off, connections closed", silent: "cut %s off, silently", brief: "cut %s off for a moment",
		mute: "nothing from %s arrives", deaf: "nothing to %s arrives", slow: "slow links of %s", late: "very slow links of %s"}[c.how]
	r := grade.Receipt{Fault: fmt.Sprintf(what, c.away)}
	from, to := time.Duration(-1), time.Duration(-1)
	for _, f := range h.During(history.Work).Faults {
		switch {
		case f.Err != "" || f.Peer == "":
		case f.What == "heal":
			to = f.At
		case from < 0:
			from = f.At
		}
	}
	if from < 0 || to < from {
		r.Evidence = "it was never ordered"
		return r
	}
	under := 0
	for _, q := range requests(h.During(history.Work)) {
		if q.op.Overlaps(from, to) {
			under++
		}
	}
	var stopped int64
	for _, o := range others(c.away) {
		for _, note := range []string{grade.TrafficNote(c.away, o), grade.TrafficNote(o, c.away)} {
			if n, ok := h.Note(note); ok {
				stopped += number(n)
			}
		}
	}
	delayed := c.how == slow || c.how == late
	r.Bit = under > 0 && (stopped > 0 || delayed)
	r.Evidence = fmt.Sprintf("from %v for %v; %d transfers meanwhile", from.Round(time.Millisecond), (to - from).Round(time.Millisecond), under)
	if !delayed {
		r.Evidence += fmt.Sprintf("; %d messages held or lost", stopped)
	}
	return r
}
