package twophasecommit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// crash is a run in which a node is killed in the middle of transfers, after a number of steps that the seed decides, and
// started again: the coordinator of these transfers, or a participant.
type crash struct {
	seed        uint64
	coordinator kit.NodeName
	victim      kit.NodeName
	steps       int  // that the victim still does
	outside     bool // the coordinator has no account in the transfers
	again       bool // the others are killed and started again while the coordinator is away
	down        time.Duration
}

const (
	participantSteps = 10
	coordinatorSteps = 10
	strikeIn         = 3 * time.Second
	longAway         = time.Minute // longer than a patience that somebody may think long enough
)

func newParticipant(seed uint64) lab.Plan { return participantOf(seed).plan("participant-crash") }

func newCoordinator(seed uint64) lab.Plan { return coordinatorOf(seed).plan("coordinator-crash") }

func (c crash) plan(task string) lab.Plan {
	return lab.Plan{Setup: setup, Drive: c.drive, Observe: finish, Checks: []lab.Check{{Task: task, Judge: c.judge}}}
}

func participantOf(seed uint64) crash {
	r := rand.New(rand.NewPCG(seed, 12))
	c := crash{seed: seed, coordinator: nodes[r.IntN(3)], steps: 1 + int(seed%participantSteps), down: time.Duration(1200+r.IntN(1600)) * time.Millisecond}
	c.victim = others(c.coordinator)[r.IntN(2)]
	if r.IntN(3) == 0 {
		c.down = longAway // nobody may wait for it with an answer, and it must be told all the same when it is back
	}
	return c
}

func coordinatorOf(seed uint64) crash {
	r := rand.New(rand.NewPCG(seed, 13))
	c := crash{seed: seed, coordinator: nodes[r.IntN(3)], steps: 1 + int(seed%coordinatorSteps), down: time.Duration(2200+r.IntN(600)) * time.Millisecond}
	c.victim = c.coordinator
	c.outside = seed/coordinatorSteps%2 == 0 // so that seeds in a row have every step of both kinds
	c.again = r.IntN(2) == 0
	if seed/(2*coordinatorSteps)%2 == 0 {
		c.down = longAway // who has said yes waits for it
	}
	return c
}

func (c crash) drive(ctx context.Context, w *lab.World) error {
	if err := lab.SlowLinks(w, wire.Rule{Delay: 2 * time.Millisecond, Jitter: 6 * time.Millisecond}); err != nil {
		return err
	}
	dead := false
	w.Go(func(ctx context.Context) {
		ada := newClient(c.seed, 0)
		for last := false; !last && w.Sleep(ctx, time.Millisecond) == nil; {
			last = dead // one more when it is dead
			ada.transfer(ctx, w, c.coordinator, c.parts(ada)...)
		}
	})
	w.Go(func(ctx context.Context) {
		err := w.KillAfter(ctx, c.victim, c.steps, strikeIn)
		dead = true
		if err == nil {
			c.meanwhile(ctx, w)
		}
	})
	w.Wait()
	return ctx.Err()
}

// parts draws a transfer of which the first account of every node has a part, but not of the coordinator's when it is outside: from one of
// the accounts 60 to 90 go to the others.
func (c crash) parts(ada client) []part {
	var at []kit.NodeName
	for _, n := range nodes {
		if !c.outside || n != c.coordinator {
			at = append(at, n)
		}
	}
	from := (ada.Made + int(c.seed)) % len(at)
	amount := 2 * ada.amount(30, 45)
	var parts []part
	for i, n := range at {
		by := amount / int64(len(at)-1)
		if i == from {
			by *= -int64(len(at) - 1)
		}
		parts = append(parts, part{n, accounts[n][0], by})
	}
	return parts
}

// meanwhile is what happens while the victim is away: the living transfer between accounts that are free, and want money from those
// that may not be; one of them may be killed and started again, too. Then the victim comes back.
func (c crash) meanwhile(ctx context.Context, w *lab.World) {
	back := w.Now() + c.down
	bo, living := newClient(c.seed, 1), others(c.victim)
	one, two := living[0], living[1]
	if w.Sleep(ctx, 10*time.Millisecond) != nil {
		return
	}
	bo.transfer(ctx, w, one, pay(one, accounts[one][1], two, accounts[two][1], bo.amount(1, 9))...)
	if c.again {
		for _, n := range living {
			if w.Kill(n) != nil || w.Sleep(ctx, 50*time.Millisecond) != nil {
				return
			}
			start(ctx, w, n)
		}
		_ = w.Sleep(ctx, 300*time.Millisecond) // for them to see their tables
	}
	c.grab(ctx, w, bo, one, two)
	_ = w.Sleep(ctx, max(0, back-w.Now()-500*time.Millisecond))
	c.grab(ctx, w, bo, two, one)
	_ = w.Sleep(ctx, max(0, back-w.Now()))
	start(ctx, w, c.victim)
}

// grab wants money from the accounts that may be locked.
func (c crash) grab(ctx context.Context, w *lab.World, bo client, one, two kit.NodeName) {
	bo.transfer(ctx, w, one, pay(one, accounts[one][0], two, accounts[two][2], bo.amount(60, 90))...)
	bo.transfer(ctx, w, two, pay(two, accounts[two][0], one, accounts[one][2], bo.amount(60, 90))...)
}

// start starts a node and its store again. What does not work shows in the end.
func start(ctx context.Context, w *lab.World, n kit.NodeName) {
	if w.Restart(n) == nil {
		w.Do(ctx, "operator", n, "start_store")
	}
}

func (c crash) judge(h *history.History) grade.Finding {
	f := c.explain(h, grade.All(whole, sound)(h))
	if f.Verdict != grade.Fail {
		rest := grade.All(decided, prompt.Answered, c.goesOn, recovered)(h)
		f = grade.All(found(f), found(rest))(h)
	}
	f.Receipts = append(f.Receipts, c.receipt(h))
	return f
}

// found is a check that has been made.
func found(f grade.Finding) grade.Judge { return func(*history.History) grade.Finding { return f } }

// explain says of a transfer that went wrong what the kill has to do with it.
func (c crash) explain(h *history.History, f grade.Finding) grade.Finding {
	kill, killed := c.killed(h)
	r, ok := about(h, f)
	if !ok || !killed || !r.touches(c.victim) || !r.op.Overlaps(kill.At, kill.At) {
		return f
	}
	switch {
	case r.op.Node == c.victim:
		f.Why += fmt.Sprintf(". Its coordinator %s was killed in the middle of it, %s: who has said yes must not decide alone what becomes of it, and what %s has told anybody it must still know when it is back",
			c.victim, kill.Detail, c.victim)
	case r.said() == grade.Committed:
		f.Why += fmt.Sprintf(". %s was killed in the middle of it, %s: nobody may commit it before %s has said yes; what it has said yes to it must still know, "+
			"and be able to do once, when it is back; and whoever decided must know the decision until %s has carried it out", c.victim, kill.Detail, c.victim, c.victim)
	default:
		f.Why += fmt.Sprintf(". %s was killed in the middle of it, %s: it must ask what was decided, when it is back", c.victim, kill.Detail)
	}
	return f
}

// killed gives the moment of the victim's kill.
func (c crash) killed(h *history.History) (kill history.Fault, ok bool) {
	for _, f := range h.Faults {
		if f.What == "kill" && f.Node == c.victim && f.Err == "" {
			return f, true
		}
	}
	return history.Fault{}, false
}

// goesOn wants transfers between the living, on accounts that nothing else touches, to be committed.
func (c crash) goesOn(h *history.History) grade.Finding {
	at, ok := c.killed(h)
	for _, r := range requests(h) {
		free := len(r.parts) == 2 && r.parts[0].account == accounts[r.parts[0].node][1] && r.parts[1].account == accounts[r.parts[1].node][1]
		if !ok || r.op.Begin < at.At || !free || r.said() == grade.Committed {
			continue
		}
		if r.op.Outcome.Status == door.OK || r.op.Outcome.Definite() {
			return grade.Failed(fmt.Sprintf("%s was killed, and %s aborts a transfer that %s has no part in", c.victim, r.op.Node, c.victim),
				"committed: its nodes live and its accounts are free", grade.AnswerText(r.op), r.op.ID)
		}
	}
	return grade.Passed()
}

// receipt says whether the kill hit a transfer.
func (c crash) receipt(h *history.History) grade.Receipt {
	r := grade.Receipt{Fault: "kill " + string(c.victim), Evidence: "it was never ordered"}
	at, ok := c.killed(h)
	if !ok {
		return r
	}
	r.Evidence = fmt.Sprintf("at %v, with no transfer under way", at.At.Round(time.Millisecond))
	for _, q := range requests(h) {
		if q.touches(c.victim) && q.op.Overlaps(at.At, at.At) {
			r.Bit = true
			r.Evidence = fmt.Sprintf("at %v, in the middle of %s; the last that it did: %s", at.At.Round(time.Millisecond), q.id, steps(h, c.victim))
		}
	}
	return r
}

// steps says what a node did before it was killed.
func steps(h *history.History, n kit.NodeName) string {
	note, _ := h.Note(lab.StepsNote(n))
	list, _ := note.(term.List)
	var all []string
	for _, s := range list {
		all = append(all, grade.Word(s))
	}
	return strings.Join(all, ", ")
}
