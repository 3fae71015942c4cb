package banktransfer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// trouble is the run in which one node is away for a while: cut off loudly or silently, in one direction only, paused, or
// killed in the middle of requests.
type trouble struct {
	*bank
	how    string
	away   kit.NodeName
	others []kit.NodeName
	begins time.Duration
	lasts  time.Duration
}

// The ways of being away.
const (
	loud   = "loud"
	silent = "silent"
	brief  = "brief" // silent, and over before anybody notices: what was held arrives late
	mute   = "mute"  // nothing that it sends arrives
	deaf   = "deaf"  // nothing that is sent to it arrives
	paused = "pause"
	killed = "kill"
)

const (
	splitBegins  = 900 * time.Millisecond
	splitLasts   = 6 * time.Second
	briefLasts   = 800 * time.Millisecond
	deadFor      = 1500 * time.Millisecond
	volleyTakes  = 170 * time.Millisecond
	muteFor      = 150 * time.Millisecond // before it is killed: what it says in its last moments is lost
	afterTrouble = 1500 * time.Millisecond
	customers    = 4
	// noticed is how long after a cut the others may still wait for the node that is away.
	noticed = 4 * time.Second
)

func newTrouble(seed, salt uint64, ways ...string) trouble {
	r := rand.New(rand.NewPCG(seed, salt))
	i := r.IntN(len(branches))
	t := trouble{bank: newBank(seed), how: ways[r.IntN(len(ways))], away: branches[i], begins: splitBegins, lasts: splitLasts}
	t.others = []kit.NodeName{branches[(i+1)%3], branches[(i+2)%3]}
	switch t.how {
	case brief:
		t.lasts = briefLasts
	case killed:
		t.begins, t.lasts = time.Duration(900+r.IntN(300))*time.Millisecond, muteFor+deadFor
	}
	return t
}

func newSplit(seed uint64) lab.Plan {
	return newTrouble(seed, 7, loud, silent, brief, mute, deaf, paused).plan("split")
}

func newCrash(seed uint64) lab.Plan { return newTrouble(seed, 8, killed).plan("crash") }

func (t trouble) plan(task string) lab.Plan {
	return lab.Plan{Setup: t.setup, Drive: t.drive, Observe: t.finish, Checks: []lab.Check{{Task: task, Judge: t.judge}}}
}

func (t trouble) drive(ctx context.Context, w *lab.World) error {
	if err := lab.SlowLinks(w, wire.Rule{Delay: 2 * time.Millisecond, Jitter: 8 * time.Millisecond}); err != nil {
		return err
	}
	end := w.Now() + t.begins + t.lasts + afterTrouble
	for i := range customers {
		w.Go(func(ctx context.Context) { t.customer(ctx, w, i, end) })
	}
	w.Go(func(ctx context.Context) { t.breakIt(ctx, w) })
	w.Wait()
	return ctx.Err()
}

// customer moves money and looks, at its own node, the last one at any. Of what may or may not have been done it asks again,
// under the same name, once and elsewhere.
func (t trouble) customer(ctx context.Context, w *lab.World, i int, end time.Duration) {
	c := newClient(t.seed, i)
	node := func() kit.NodeName {
		if i < len(branches) {
			return branches[i]
		}
		return c.AnyNode(w)
	}
	if c.Pause(ctx, w, 10*time.Millisecond, 60*time.Millisecond) != nil {
		return
	}
	first := c.next(t.accounts)
	first.amount = 1 + first.amount/8 // so that nobody has too little, and something has been done when the trouble begins
	t.insist(ctx, w, c, node(), first)
	for w.Now() < end {
		if c.Pause(ctx, w, 100*time.Millisecond, 500*time.Millisecond) != nil {
			return
		}
		switch c.Rand.IntN(6) {
		case 0:
			c.Ask(ctx, w, node(), "audit")
			continue
		case 1:
			c.Ask(ctx, w, node(), "balance", term.Bin(t.accounts[c.Rand.IntN(len(t.accounts))]))
			continue
		}
		o := c.next(t.accounts)
		if c.Rand.IntN(3) == 0 { // within what is left when a node is away
			o = c.next(slices.DeleteFunc(slices.Clone(t.accounts), func(id string) bool { return home(id) == t.away }))
		}
		t.insist(ctx, w, c, node(), o)
	}
}

// insist asks for a transfer, and once more elsewhere when nobody can say whether it was done.
func (t trouble) insist(ctx context.Context, w *lab.World, c client, node kit.NodeName, o order) {
	if c.Ask(ctx, w, node, "transfer", o.args()...).Definite() || c.Pause(ctx, w, 20*time.Millisecond, 60*time.Millisecond) != nil {
		return
	}
	c.Ask(ctx, w, c.AnyNode(w), "transfer", o.args()...)
}

// volley asks the node that is about to go away for transfers between the others, one after the other, so that the trouble
// catches one of them in the middle of its commit: then the others may know what became of it, and the node does not.
func (t trouble) volley(w *lab.World) {
	for i := range perBranch {
		c := newClient(t.seed, crowd+1+i)
		o := order{t.account(t.others[i%2], i), t.account(t.others[1-i%2], i), 1 + c.Rand.Int64N(40), c.NextName()}
		w.Go(func(ctx context.Context) {
			if w.Sleep(ctx, time.Duration(i)*volleyTakes/5+time.Duration(c.Rand.IntN(40))*time.Millisecond) == nil {
				t.insist(ctx, w, c, t.away, o)
			}
		})
	}
}

// breakIt breaks and mends. The store of a node that was away is started anew, as whoever runs it would: stores that have lost
// sight of each other do not come together by themselves.
func (t trouble) breakIt(ctx context.Context, w *lab.World) {
	if w.Sleep(ctx, t.begins-volleyTakes) != nil {
		return
	}
	t.volley(w)
	if w.Sleep(ctx, volleyTakes) != nil {
		return
	}
	switch t.how {
	case killed:
		t.visit(w)
		t.kill(ctx, w)
		return
	case brief:
		t.visit(w)
	}
	if t.order(w, true) != nil || w.Sleep(ctx, t.lasts) != nil || t.order(w, false) != nil || t.how == brief {
		return
	}
	w.Do(ctx, "operator", t.away, "stop_store")
	w.Do(ctx, "operator", t.away, "start_store")
}

// visit asks for a transfer to an account of the node that goes away, at another one, while it goes: a node that is away for so short a
// time might not be missed by anybody, and the run would prove nothing.
func (t trouble) visit(w *lab.World) {
	c := newClient(t.seed, crowd)
	from := t.others[c.Rand.IntN(len(t.others))]
	o := order{t.account(from, c.Rand.IntN(perBranch)), t.account(t.away, c.Rand.IntN(perBranch)), 1 + c.Rand.Int64N(40), c.NextName()}
	w.Go(func(ctx context.Context) {
		if c.Pause(ctx, w, 0, muteFor/2) == nil {
			t.insist(ctx, w, c, from, o)
		}
	})
}

// kill ends the node after a moment in which nothing that it sends gets out: what it decides then is not heard.
func (t trouble) kill(ctx context.Context, w *lab.World) {
	if t.links(w, wire.Rule{Cut: wire.Silent}, false) != nil || w.Sleep(ctx, muteFor) != nil || w.Kill(t.away) != nil ||
		w.Sleep(ctx, deadFor) != nil || t.links(w, wire.Rule{}, false) != nil || w.Restart(t.away) != nil {
		return
	}
	w.Do(ctx, "operator", t.away, "start_store")
}

// order breaks or mends.
func (t trouble) order(w *lab.World, broken bool) error {
	if t.how == paused {
		if broken {
			return w.Pause(t.away)
		}
		return w.Resume(t.away)
	}
	rule := wire.Rule{}
	if broken {
		rule.Cut = wire.Silent
		if t.how == loud {
			rule.Cut = wire.Loud
		}
	}
	return t.links(w, rule, t.how != mute)
}

// links sets a rule for what the node sends, unless it is deaf, and for what is sent to it.
func (t trouble) links(w *lab.World, rule wire.Rule, to bool) error {
	for _, o := range t.others {
		if t.how != deaf {
			if err := w.Link(t.away, o, rule); err != nil {
				return err
			}
		}
		if to {
			if err := w.Link(o, t.away, rule); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t trouble) judge(h *history.History) grade.Finding {
	whole := h.During(history.Work, history.Observe)
	f := grade.All(prompt.Answered, sameAnswer, t.answers(t.start), t.kept(t.start), t.seen(t.start), refusals(t.start), recovered, t.goesOn)(whole)
	f.Receipts = append(f.Receipts, t.receipt(h))
	return f
}

// span is when the node was away.
func (t trouble) span(h *history.History) (from, to time.Duration, ok bool) {
	for _, f := range h.During(history.Work).Faults {
		switch {
		case f.Err != "":
		case (f.What == "cut" || f.What == "pause" || f.What == "kill") && !ok:
			from, to, ok = f.At, h.End, true
		case ok && (f.What == "heal" || f.What == "resume" || f.What == "restart"):
			return from, f.At, true
		}
	}
	return from, to, ok
}

// goesOn wants those who can do without the node that is away to go on, when they have noticed that it is.
func (t trouble) goesOn(h *history.History) grade.Finding {
	from, to, ok := t.span(h)
	if !ok || to-from < noticed+time.Second {
		return grade.Passed()
	}
	var tried []int
	for _, o := range h.Ops {
		if o.Verb != "transfer" || o.Node == t.away || o.Begin < from+noticed || o.Begin > to {
			continue
		}
		if home(grade.Word(o.Args[0])) == t.away || home(grade.Word(o.Args[1])) == t.away {
			continue
		}
		if o.Outcome.Status == door.OK || refusal(o) {
			return grade.Passed()
		}
		tried = append(tried, o.ID)
	}
	if len(tried) < 2 {
		return grade.Passed()
	}
	return grade.Failed(fmt.Sprintf("while %s was away nobody could move money between the accounts of %s and %s", t.away, t.others[0], t.others[1]),
		"transfers that need no account of the node that is away go on", "none of them was answered", tried[:min(len(tried), 4)]...)
}

// receipt says whether the fault bit: transfers had been done before, some were under way, and messages did not get through.
func (t trouble) receipt(h *history.History) grade.Receipt {
	from, to, ok := t.span(h)
	what := map[string]string{loud: "cut %s off, connections closed", silent: "cut %s off, silently", brief: "cut %s off for a moment",
		mute: "nothing from %s arrives", deaf: "nothing to %s arrives", paused: "pause %s", killed: "kill %s"}[t.how]
	r := grade.Receipt{Fault: fmt.Sprintf(what, t.away)}
	if !ok {
		r.Evidence = "it was never ordered"
		return r
	}
	before, across, during := 0, 0, 0
	for _, o := range h.During(history.Work).Ops {
		switch {
		case o.Verb != "transfer":
		case o.End != history.Open && o.End < from:
			if o.Outcome.Status == door.OK {
				before++
			}
		case o.Overlaps(from, to):
			during++
			if (home(grade.Word(o.Args[0])) == t.away) != (home(grade.Word(o.Args[1])) == t.away) {
				across++
			}
		}
	}
	var stopped int64
	for _, o := range t.others {
		for _, note := range []string{grade.TrafficNote(t.away, o), grade.TrafficNote(o, t.away)} {
			if v, ok := h.Note(note); ok {
				n, _ := v.(term.Int)
				stopped += int64(n)
			}
		}
	}
	r.Bit = before > 0 && across > 0 && (stopped > 0 || t.how == paused)
	r.Evidence = fmt.Sprintf("from %v for %v, after %d transfers; meanwhile %d, %d of them to or from its accounts; %d messages held or lost",
		from.Round(time.Millisecond), (to - from).Round(time.Millisecond), before, during, across, stopped)
	return r
}
