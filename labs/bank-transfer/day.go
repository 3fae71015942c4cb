package banktransfer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// day is the run in which nothing breaks: first one client alone tries the rules, then many come at once while an auditor
// adds up, and in the end clients who lose their patience and ask again, elsewhere, under the same name.
type day struct{ *bank }

const (
	crowdComes     = "the-crowd-comes"
	impatientCome  = "the-impatient-come"
	crowd          = 4
	requestsEach   = 7
	audits         = 5
	impatient      = 2
	namesEach      = 4
	crowdedBranch  = 2 // so many accounts of each branch are those that everybody wants
	untilCommitted = 400 * time.Millisecond
	atOnce         = time.Millisecond      // after an answer, a client looks: what begins at the very moment of an answer may be older
	ritaLooks      = 50 * time.Millisecond // after each transfer, when it has reached every branch
)

func newDay(seed uint64) lab.Plan {
	d := day{newBank(seed)}
	return lab.Plan{Setup: d.setup, Drive: d.drive, Checks: []lab.Check{
		{Task: "rules", Judge: d.rules},
		{Task: "together", Judge: d.together},
		{Task: "audit", Judge: d.audited},
		{Task: "once", Judge: d.once},
	}}
}

func (d day) drive(ctx context.Context, w *lab.World) error {
	if err := lab.SlowLinks(w, wire.Rule{Delay: time.Millisecond, Jitter: time.Millisecond}); err != nil {
		return err
	}
	d.alone(ctx, w)
	if err := d.rest(ctx, w, crowdComes); err != nil {
		return err
	}
	if err := lab.SlowLinks(w, wire.Rule{Delay: 3 * time.Millisecond, Jitter: 20 * time.Millisecond}); err != nil {
		return err
	}
	for i := range crowd {
		w.Go(func(ctx context.Context) { d.customer(ctx, w, newClient(d.seed, i)) })
	}
	w.Go(func(ctx context.Context) { d.auditor(ctx, w) })
	w.Wait()
	if err := w.Sleep(ctx, atOnce); err != nil {
		return err
	}
	d.rush(ctx, w)
	if err := d.rest(ctx, w, impatientCome); err != nil {
		return err
	}
	for i := range impatient {
		first, second := newClient(d.seed, crowd+i), newClient(d.seed, crowd+i) // the same requests of the same client, twice
		w.Go(func(ctx context.Context) { d.insist(ctx, w, first, 1) })
		w.Go(func(ctx context.Context) { d.insist(ctx, w, second, 2) })
	}
	w.Wait()
	return d.rest(ctx, w, "")
}

// rest waits until the last commit has reached every table, looks at them, and says who comes next.
func (d day) rest(ctx context.Context, w *lab.World, next string) error {
	if err := w.Sleep(ctx, untilCommitted); err != nil {
		return err
	}
	d.look(ctx, w)
	if next != "" {
		w.Note(next, term.True)
	}
	return nil
}

// alone tries the rules, one request after the other. After each it asks what one of the two accounts has.
func (d day) alone(ctx context.Context, w *lab.World) {
	r := rand.New(rand.NewPCG(d.seed, 6))
	a, b, c := d.accounts[0], d.accounts[perBranch], d.accounts[2*perBranch]
	beside := d.accounts[1]
	has := d.start
	for i, o := range []order{
		{from: a, to: b, amount: 1 + r.Int64N(99)},
		{from: beside, to: a, amount: 1 + r.Int64N(99)},
		{from: c, to: b, amount: has[c] + 1},
		{from: c, to: "b-7", amount: 1 + r.Int64N(99)},
		{from: "a-8", to: c, amount: 1 + r.Int64N(99)},
		{from: c, to: "nowhere-1", amount: 1 + r.Int64N(99)},
		{from: c, to: c, amount: 1 + r.Int64N(99)},
		{from: c, to: a, amount: 0},
		{from: c, to: a, amount: -1 - r.Int64N(99)},
		{from: c, to: b, amount: has[c]},
	} {
		o.name = fmt.Sprintf("rita-%d", i+1)
		lab.Ask(ctx, w, "rita", branches[r.IntN(len(branches))], "transfer", o.args()...)
		if w.Sleep(ctx, ritaLooks) != nil {
			return
		}
		look := o.from
		if _, there := has[look]; !there || i == 0 {
			look = o.to
		}
		lab.Ask(ctx, w, "rita", branches[r.IntN(len(branches))], "balance", term.Bin(look))
	}
}

// popular are the accounts that everybody wants.
func (d day) popular() (ids []string) {
	for i := range branches {
		ids = append(ids, d.accounts[i*perBranch:i*perBranch+crowdedBranch]...)
	}
	return ids
}

// customer moves money and looks whether it has arrived.
func (d day) customer(ctx context.Context, w *lab.World, c client) {
	for range requestsEach {
		if c.Pause(ctx, w, 2*time.Millisecond, 40*time.Millisecond) != nil {
			return
		}
		o := c.next(d.popular())
		out := c.Ask(ctx, w, c.AnyNode(w), "transfer", o.args()...)
		if out.Status == door.OK && c.Rand.IntN(3) > 0 && w.Sleep(ctx, atOnce) == nil {
			c.Ask(ctx, w, home(o.to), "balance", term.Bin(o.to))
		}
	}
}

// rush has three clients at once move two thirds of one account: it has enough for one of them.
func (d day) rush(ctx context.Context, w *lab.World) {
	c := newClient(d.seed, 51)
	popular := d.popular()
	from := popular[c.Rand.IntN(len(popular))]
	out := lab.Ask(ctx, w, "hal", home(from), "balance", term.Bin(from))
	t, err := out.Term()
	has, ok := t.(term.Int)
	if err != nil || !ok || has < 2 {
		return
	}
	for i, n := range w.Nodes() {
		o := order{from: from, to: c.other(popular, from), amount: int64(has)*2/3 + int64(i), name: fmt.Sprintf("rush-%d", i+1)}
		w.Go(func(ctx context.Context) { lab.Ask(ctx, w, lab.ClientName(i), n, "transfer", o.args()...) })
	}
	w.Wait()
}

// other draws another account.
func (c client) other(accounts []string, than string) string {
	for {
		if id := accounts[c.Rand.IntN(len(accounts))]; id != than {
			return id
		}
	}
}

func (d day) auditor(ctx context.Context, w *lab.World) {
	c := newClient(d.seed, 50)
	for range audits {
		if c.Pause(ctx, w, 5*time.Millisecond, 60*time.Millisecond) != nil {
			return
		}
		lab.Ask(ctx, w, "auditor", c.AnyNode(w), "audit")
	}
}

// insist sends requests that a twin sends too; way makes the two go different ways.
func (d day) insist(ctx context.Context, w *lab.World, c client, way int) {
	for k := range namesEach {
		gap := c.Rand.IntN(60)
		start := c.Rand.IntN(len(branches))
		o := c.next(d.popular())
		o.amount = 1 + o.amount/8 // nobody is to run out of money here
		if way == 2 && w.Sleep(ctx, time.Duration(gap)*time.Millisecond) != nil {
			return
		}
		c.Ask(ctx, w, branches[(start+way*(1+k%2))%len(branches)], "transfer", o.args()...)
		if w.Sleep(ctx, 20*time.Millisecond) != nil {
			return
		}
	}
}

// part is the history from one note to the next, and what the accounts had when it began. An empty name is the beginning,
// or the end.
func (d day) part(h *history.History, from, to string) (part *history.History, base map[string]int64, f grade.Finding) {
	since, until := time.Duration(0), h.End+1
	for _, n := range h.Notes {
		switch n.Name {
		case from:
			since = n.At
		case to:
			until = n.At
		}
	}
	p := *h.During(history.Work)
	p.Ops = p.Filter(func(o history.Op) bool { return o.Begin >= since && o.Begin < until })
	base = d.start
	if from == "" {
		return &p, base, grade.Passed()
	}
	before := *h
	before.Ops = h.Filter(func(o history.Op) bool { return o.Begin < since })
	looks := readBooks(&before).looks
	if len(looks) == 0 {
		return &p, nil, grade.Unclear("what the accounts had before could not be read")
	}
	base = looks[len(looks)-1].has
	return &p, base, d.whole(looks[len(looks)-1])
}

// together judges the crowd: all are answered, nobody is overdrawn, and the tables hold what was answered.
func (d day) together(h *history.History) grade.Finding {
	p, base, f := d.part(h, crowdComes, impatientCome)
	if f.Verdict != grade.Pass {
		return f
	}
	return grade.All(allAnswered, d.answers(base), d.kept(base), refusals(base))(p)
}

// audited judges what was seen meanwhile.
func (d day) audited(h *history.History) grade.Finding {
	p, base, f := d.part(h, crowdComes, impatientCome)
	if f.Verdict != grade.Pass {
		return f
	}
	return d.seen(base)(p)
}

// once judges the impatient.
func (d day) once(h *history.History) grade.Finding {
	p, base, f := d.part(h, impatientCome, "")
	if f.Verdict != grade.Pass {
		return f
	}
	return grade.All(allAnswered, sameAnswer, d.answers(base), d.kept(base))(p)
}

// allAnswered wants every request to be done or to be refused by a rule: nothing is broken.
func allAnswered(h *history.History) grade.Finding {
	for _, o := range h.Ops {
		if o.Verb != "transfer" && o.Verb != "balance" && o.Verb != "audit" || o.Outcome.Status == door.OK || refusal(o) {
			continue
		}
		return grade.Failed(fmt.Sprintf("%s's %s on %s ended in an error although no node and no link was broken", o.Client, o.Verb, o.Node),
			"an answer, or the refusal of a rule that the request breaks: who comes while others are served waits", grade.AnswerText(o), o.ID)
	}
	return prompt.Answered(h)
}
