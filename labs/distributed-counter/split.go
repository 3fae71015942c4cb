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
	"netsplit/kit/wire"
)

// split is the run in which one node is away for a while: cut off loudly or silently, in one direction only, from one of
// the others only, or paused.
type split struct {
	seed   uint64
	how    string
	away   kit.NodeName
	others []kit.NodeName
	lasts  time.Duration
}

// The ways of being away.
const (
	loud    = "loud"
	silent  = "silent"
	brief   = "brief" // silent, and over before anybody notices: what was held arrives late
	mute    = "mute"  // nothing that it sends arrives
	deaf    = "deaf"  // nothing that is sent to it arrives
	oneLink = "link"  // one of the others still sees both
	paused  = "pause"
)

const (
	splitBegins = 400 * time.Millisecond
	splitLasts  = 6 * time.Second
	briefLasts  = 1500 * time.Millisecond
	afterSplit  = 1500 * time.Millisecond
	splitters   = 4
)

func newSplit(seed uint64) lab.Plan {
	r := rand.New(rand.NewPCG(seed, 7))
	nodes := []kit.NodeName{"a", "b", "c"}
	i := r.IntN(len(nodes))
	s := split{seed: seed, how: []string{loud, silent, brief, mute, deaf, oneLink, paused}[r.IntN(7)], away: nodes[i], lasts: splitLasts}
	s.others = []kit.NodeName{nodes[(i+1)%3], nodes[(i+2)%3]}
	switch s.how {
	case oneLink:
		s.others = s.others[:1]
	case brief:
		s.lasts = briefLasts
	}
	return lab.Plan{Setup: setup, Drive: s.drive, Observe: finish, Checks: []lab.Check{{Task: "split", Judge: s.judge}}}
}

func (s split) drive(ctx context.Context, w *lab.World) error {
	if err := lab.SlowLinks(w, wire.Rule{Delay: 2 * time.Millisecond, Jitter: 10 * time.Millisecond}); err != nil {
		return err
	}
	end := w.Now() + splitBegins + s.lasts + afterSplit
	for i := range splitters {
		w.Go(func(ctx context.Context) { s.client(ctx, w, i, end) })
	}
	w.Go(func(ctx context.Context) {
		if w.Sleep(ctx, splitBegins) != nil || s.order(w, true) != nil || w.Sleep(ctx, s.lasts) != nil {
			return
		}
		_ = s.order(w, false) // what is left broken shows in the end
	})
	w.Wait()
	return ctx.Err()
}

// client counts and reads at its own node, the last one at any. Of what may or may not have counted it asks again, under the
// same name, once and elsewhere.
func (s split) client(ctx context.Context, w *lab.World, i int, end time.Duration) {
	c := newClient(s.seed, i)
	node := func() kit.NodeName {
		if i < len(w.Nodes()) {
			return w.Nodes()[i]
		}
		return c.AnyNode(w)
	}
	for w.Now() < end {
		if c.Pause(ctx, w, 40*time.Millisecond, 220*time.Millisecond) != nil {
			return
		}
		if c.Rand.IntN(3) == 0 {
			c.Ask(ctx, w, node(), "read")
			continue
		}
		by, name := c.next()
		out := c.Ask(ctx, w, node(), "increment", by, name)
		if out.Definite() || c.Pause(ctx, w, 20*time.Millisecond, 60*time.Millisecond) != nil {
			continue
		}
		c.Ask(ctx, w, c.AnyNode(w), "increment", by, name)
	}
}

// order breaks or mends.
func (s split) order(w *lab.World, broken bool) error {
	if s.how == paused {
		if broken {
			return w.Pause(s.away)
		}
		return w.Resume(s.away)
	}
	rule := wire.Rule{}
	if broken {
		rule.Cut = wire.Silent
		if s.how == loud || s.how == oneLink {
			rule.Cut = wire.Loud
		}
	}
	for _, o := range s.others {
		if s.how != deaf {
			if err := w.Link(s.away, o, rule); err != nil {
				return err
			}
		}
		if s.how != mute {
			if err := w.Link(o, s.away, rule); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s split) judge(h *history.History) grade.Finding {
	f := grade.All(exact.Exact, prompt.Answered, recovered, s.goesOn)(h)
	f.Receipts = append(f.Receipts, s.receipt(h))
	return f
}

// span is when the node was away.
func (s split) span(h *history.History) (from, to time.Duration, ok bool) {
	for _, f := range h.During(history.Work).Faults {
		switch {
		case f.Err != "" || f.What == "slow":
		case (f.What == "cut" || f.What == "pause") && !ok:
			from, to, ok = f.At, h.End, true
		case ok && (f.What == "heal" || f.What == "resume"):
			return from, f.At, true
		}
	}
	return from, to, ok
}

// goesOn wants the counter to go on for somebody: a cut leaves the node that has it working. Only when that node is
// paused can nobody count.
func (s split) goesOn(h *history.History) grade.Finding {
	from, to, ok := s.span(h)
	if !ok || s.how == paused {
		return grade.Passed()
	}
	var last []int
	for _, o := range h.During(history.Work).Ops {
		if o.Verb != "increment" || o.Begin < from || o.Begin > to {
			continue
		}
		if o.Outcome.Status == door.OK && o.End <= to {
			return grade.Passed()
		}
		last = append(last, o.ID)
	}
	return grade.Failed(fmt.Sprintf("while %s was cut off nobody could count, on either side", s.away), "the side that has the counter goes on",
		"no increment was answered during the cut", last[:min(len(last), 4)]...)
}

// receipt says whether the fault bit: requests on both sides while it lasted, and messages that did not get through.
func (s split) receipt(h *history.History) grade.Receipt {
	from, to, ok := s.span(h)
	what := map[string]string{loud: "cut %s off, connections closed", silent: "cut %s off, silently", brief: "cut %s off for a moment",
		mute: "nothing from %s arrives", deaf: "nothing to %s arrives", oneLink: "cut the link of %s and " + string(s.others[0]), paused: "pause %s"}[s.how]
	r := grade.Receipt{Fault: fmt.Sprintf(what, s.away)}
	if !ok {
		r.Evidence = "it was never ordered"
		return r
	}
	here, there := 0, 0
	for _, o := range h.During(history.Work).Ops {
		if !o.Overlaps(from, to) {
			continue
		}
		if o.Node == s.away {
			here++
		} else {
			there++
		}
	}
	var stopped int64
	for _, o := range s.others {
		for _, note := range []string{grade.TrafficNote(s.away, o), grade.TrafficNote(o, s.away)} {
			if n, ok := h.Note(note); ok {
				stopped += number(n)
			}
		}
	}
	r.Bit = here > 0 && there > 0 && (stopped > 0 || s.how == paused)
	r.Evidence = fmt.Sprintf("from %v for %v; requests meanwhile: %d on %s, %d on the others; %d messages held or lost",
		from.Round(time.Millisecond), (to - from).Round(time.Millisecond), here, s.away, there, stopped)
	return r
}
