package serializedwriter

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

// restart is the run in which the writer is killed again and again, each time in the middle of something.
type restart struct{ *warehouse }

const (
	killer      = "killer"
	kills       = 4
	asking      = 4
	killBetween = 450 * time.Millisecond
	afterKills  = 700 * time.Millisecond
	finds       = time.Second // how long the killer looks for a writer
)

func newRestart(seed uint64) lab.Plan {
	r := restart{newWarehouse(seed)}
	return lab.Plan{Setup: r.setup, Drive: r.drive, Observe: r.finish, Checks: []lab.Check{{Task: "restart", Judge: r.judge}}}
}

func (r restart) drive(ctx context.Context, w *lab.World) error {
	if err := lab.SlowLinks(w, wire.Rule{Delay: 4 * time.Millisecond, Jitter: 8 * time.Millisecond}); err != nil {
		return err
	}
	end := w.Now() + kills*(killBetween+2*wayToShelf) + afterKills
	for i := range asking {
		w.Go(func(ctx context.Context) {
			c := newClient(r.seed, lab.ClientName(i), i)
			for w.Now() < end && c.Pause(ctx, w, 40*time.Millisecond, 160*time.Millisecond) == nil {
				c.some(ctx, w, c.AnyNode(w), r.anyItem(c))
			}
		})
	}
	w.Go(func(ctx context.Context) { r.kills(ctx, w) })
	w.Wait()
	return ctx.Err()
}

// kills has a shelf tidied and kills the writer meanwhile, on its way there or back; and sometimes its successor at once.
func (r restart) kills(ctx context.Context, w *lab.World) {
	c := newClient(r.seed, "tom", 70)
	for i := range kills {
		if w.Sleep(ctx, killBetween) != nil {
			return
		}
		node, item := c.AnyNode(w), r.items[c.Rand.IntN(2)]
		w.Go(func(ctx context.Context) { lab.Ask(ctx, w, fmt.Sprintf("tom-%d", i+1), node, "tidy", term.Bin(item)) })
		if c.Pause(ctx, w, 60*time.Millisecond, 2*wayToShelf) != nil {
			return
		}
		r.kill(ctx, w, c.Rand)
	}
}

// kill ends the process that has the writer's name, wherever it is. Before that, it gets a message that makes no sense.
func (r restart) kill(ctx context.Context, w *lab.World, chance *rand.Rand) {
	for until := w.Now() + finds; w.Now() < until; {
		found := false
		for _, n := range w.Nodes() {
			t, err := w.Do(ctx, killer, n, "whereis", writerName).Term()
			pid, ok := t.(term.Pid)
			if err != nil || !ok {
				continue
			}
			found = true
			if chance.IntN(3) == 0 {
				act(ctx, w, n, lab.List(term.Atom("send"), pid, term.Bin("how many mugs fit into a bed?")))
			}
			act(ctx, w, n, lab.List(term.Atom("exit_signal"), pid, term.Atom("kill")))
		}
		if found || w.Sleep(ctx, 50*time.Millisecond) != nil {
			return
		}
	}
}

// act has the killer do something in a process of its own.
func act(ctx context.Context, w *lab.World, n kit.NodeName, op term.List) {
	w.Do(ctx, killer, n, "proc", term.Atom("self"), op)
}

// finish asks on every node for everything, when there was time enough to come back.
func (r restart) finish(ctx context.Context, w *lab.World) error {
	if err := w.Sleep(ctx, limit); err != nil {
		return err
	}
	for i, item := range r.items[:items] {
		lab.Ask(ctx, w, looker, w.Nodes()[i%len(w.Nodes())], "change", term.Bin(item), term.Int(1))
		for _, n := range w.Nodes() {
			lab.Ask(ctx, w, looker, n, "amount", term.Bin(item))
		}
	}
	return look(ctx, w)
}

func (r restart) judge(h *history.History) grade.Finding {
	whole := h.During(history.Work, history.Observe)
	f := grade.All(found, prompt.Answered, recovered, r.ordered)(whole)
	f.Receipts = append(f.Receipts, receipt(whole))
	return f
}

// ordered is oneOrder that tells, too, which request lost its writer before the answers made no sense any more.
func (r restart) ordered(h *history.History) grade.Finding {
	f := r.oneOrder(h)
	wrong, ok := h.Op(f.Focus)
	if f.Verdict != grade.Fail || !ok || !ours(wrong) {
		return f
	}
	var cut, kill history.Op
	for _, o := range h.Ops {
		if !ours(o) || o.Begin > wrong.Begin || grade.Word(o.Args[0]) != grade.Word(wrong.Args[0]) {
			continue
		}
		told := slices.Contains(f.Evidence, o.ID)
		if cut.ID != 0 && !told && (o.Verb != "tidy" || slices.Contains(f.Evidence, cut.ID)) {
			continue
		}
		for _, k := range killsOf(h) {
			if o.Overlaps(k.Begin, k.Begin) && k.Begin < wrong.Begin {
				cut, kill = o, k
			}
		}
	}
	if cut.ID == 0 {
		return f
	}
	f.Why += fmt.Sprintf(". The writer was killed at %v, while %s's %s of %s was under way", kill.Begin.Round(time.Millisecond), cut.Client, cut.Verb, grade.Word(cut.Args[0]))
	for _, id := range []int{cut.ID, kill.ID} {
		if !slices.Contains(f.Evidence, id) {
			f.Evidence = append(f.Evidence, id)
		}
	}
	slices.Sort(f.Evidence)
	return f
}

// killsOf gives the orders to end the writer that were carried out.
func killsOf(h *history.History) (orders []history.Op) {
	for _, o := range h.Ops {
		if name, _ := grade.Act(o); name == "exit_signal" && o.Client == killer {
			orders = append(orders, o)
		}
	}
	return orders
}

// found wants a process that has the writer's name, to begin with and after each kill.
func found(h *history.History) grade.Finding {
	var looks []int
	for _, o := range h.Ops {
		switch t, err := o.Outcome.Term(); {
		case o.Verb != "whereis" || o.Client != killer || err != nil:
		default:
			if _, ok := t.(term.Pid); ok {
				looks = nil
				continue
			}
			if looks = append(looks, o.ID); len(looks) < int(finds/(50*time.Millisecond)) {
				continue
			}
			killed := killsOf(h)
			if len(killed) == 0 {
				return grade.Failed("no process on any node has the local name writer", "one process that changes the table, registered as writer",
					grade.AnswerText(o), looks[len(looks)-3:]...)
			}
			times := "once"
			if len(killed) > 1 {
				times = fmt.Sprintf("%d times", len(killed))
			}
			return grade.Failed(fmt.Sprintf("when the writer had been killed %s, no process had its name any more", times), "somebody starts it again, and it registers its name",
				grade.AnswerText(o), append([]int{killed[len(killed)-1].ID}, looks[len(looks)-3:]...)...)
		}
	}
	return grade.Passed()
}

// recovered wants everything that was asked in the end to be answered.
func recovered(h *history.History) grade.Finding {
	for _, o := range h.During(history.Observe).Ops {
		if !ours(o) || served(o) {
			continue
		}
		var evidence []int
		if killed := killsOf(h); len(killed) > 0 {
			evidence = []int{killed[len(killed)-1].ID}
		}
		return grade.Failed(fmt.Sprintf("more than %v after the writer was killed for the last time, %s does not answer", limit, o.Node),
			"a number: the writer was started again, and every node finds it", grade.AnswerText(o), append(evidence, o.ID)...)
	}
	return grade.Passed()
}

// receipt says whether the kills bit: requests were under way, and some of them were not answered.
func receipt(h *history.History) grade.Receipt {
	r := grade.Receipt{Fault: "kill the writer"}
	orders, during, failed := killsOf(h), 0, 0
	for _, k := range orders {
		for _, o := range h.During(history.Work).Ops {
			if ours(o) && o.Overlaps(k.Begin, k.Begin) {
				during++
				if o.End == history.Open || o.Outcome.Status != door.OK {
					failed++
				}
			}
		}
	}
	r.Bit = len(orders) > 0 && during > 0
	r.Evidence = fmt.Sprintf("%d times, with %d requests under way, of which %d got no answer", len(orders), during, failed)
	return r
}
