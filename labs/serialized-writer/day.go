package serializedwriter

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// day is the run in which nothing breaks: first some clients take their time while shelves are tidied, then many come in a
// rush, and in the end more than can be served want the same item at once, while its shelf is being tidied.
type day struct{ *warehouse }

const (
	rushBegins   = "the-rush-begins"
	crushBegins  = "the-crush-begins"
	crowd        = 4
	requestsEach = 9
	tidies       = 2
	rushers      = 12
	rushEach     = 6
	rushTakes    = time.Second // at most
	crush        = 48
	slack        = 5 // so many more or fewer than room may wait
	// atOnce is how soon who is refused must be told: long before the tidying is over.
	atOnce = 250 * time.Millisecond
)

func newDay(seed uint64) lab.Plan {
	d := day{newWarehouse(seed)}
	return lab.Plan{Setup: d.setup, Drive: d.drive, Observe: look, Checks: []lab.Check{
		{Task: "nothing-lost", Judge: d.nothingLost},
		{Task: "in-order", Judge: d.inOrder},
		{Task: "quick", Judge: d.quick},
		{Task: "full", Judge: d.full},
	}}
}

func (d day) drive(ctx context.Context, w *lab.World) error {
	if err := lab.SlowLinks(w, wire.Rule{Delay: 6 * time.Millisecond, Jitter: 12 * time.Millisecond}); err != nil {
		return err
	}
	for i := range crowd {
		w.Go(func(ctx context.Context) { d.customer(ctx, w, newClient(d.seed, lab.ClientName(i), i)) })
	}
	w.Go(func(ctx context.Context) { d.tidier(ctx, w) })
	w.Wait()
	w.Note(rushBegins, term.True)
	for i := range rushers {
		w.Go(func(ctx context.Context) {
			c := newClient(d.seed, fmt.Sprintf("guest-%d", i+1), 20+i)
			for range rushEach {
				c.change(ctx, w, w.Nodes()[i%len(w.Nodes())], d.anyItem(c))
			}
		})
	}
	w.Wait()
	w.Note(crushBegins, term.True)
	d.crush(ctx, w)
	return ctx.Err()
}

// customer changes and looks, each time at another node.
func (d day) customer(ctx context.Context, w *lab.World, c client) {
	for range requestsEach {
		if c.Pause(ctx, w, time.Millisecond, 30*time.Millisecond) != nil {
			return
		}
		item := d.anyItem(c)
		c.change(ctx, w, c.AnyNode(w), item)
		if c.Rand.IntN(3) == 0 {
			c.Ask(ctx, w, c.AnyNode(w), "amount", term.Bin(item))
		}
	}
}

// tidier has shelves tidied that everybody wants.
func (d day) tidier(ctx context.Context, w *lab.World) {
	c := newClient(d.seed, "tom", 60)
	for i := range tidies {
		if c.Pause(ctx, w, 20*time.Millisecond, 60*time.Millisecond) != nil {
			return
		}
		c.Ask(ctx, w, c.AnyNode(w), "tidy", term.Bin(d.items[i]))
	}
}

// coveted is the item that everybody wants in the end.
func (d day) coveted() string { return d.items[items] }

// crush has more clients than there is room for ask at once while the writer is busy. When that is over, it asks on each node.
func (d day) crush(ctx context.Context, w *lab.World) {
	item := term.Bin(d.coveted())
	w.Go(func(ctx context.Context) {
		lab.Ask(ctx, w, "tom", w.Nodes()[d.seed%uint64(len(w.Nodes()))], "tidy", item)
	})
	for i := range crush {
		w.Go(func(ctx context.Context) {
			c := newClient(d.seed, fmt.Sprintf("late-%d", i+1), 200+i)
			if c.Pause(ctx, w, 80*time.Millisecond, 110*time.Millisecond) == nil {
				c.change(ctx, w, w.Nodes()[i%len(w.Nodes())], d.coveted())
			}
		})
	}
	w.Wait()
	for _, n := range w.Nodes() {
		lab.Ask(ctx, w, "ada", n, "change", item, term.Int(1))
	}
}

// moment is when a note was taken.
func moment(h *history.History, name string) time.Duration {
	for _, n := range h.Notes {
		if n.Name == name {
			return n.At
		}
	}
	return h.End + 1
}

// nothingLost judges what the copies hold in the end: the sum of what was answered.
func (d day) nothingLost(h *history.History) grade.Finding {
	p := without(h, func(o history.Op) bool { return ours(o) && grade.Word(o.Args[0]) == d.coveted() })
	if f := allServed(p); f.Verdict != grade.Pass {
		return f
	}
	return d.summed(p)
}

// allServed wants an answer to everything: nothing is broken, and there is room for everybody.
func allServed(h *history.History) grade.Finding {
	for _, o := range h.Ops {
		if ours(o) && !served(o) {
			return grade.Failed("a request was not answered although nothing was broken and there was room", "a number, or out_of_stock for a change", grade.AnswerText(o), o.ID)
		}
	}
	return prompt.Answered(h)
}

// summed holds every copy against the requests that were answered.
func (d day) summed(h *history.History) grade.Finding {
	copies := grade.Copies(h, table)
	want := map[string]int64{}
	for item, n := range d.start {
		want[item] = n
	}
	for _, o := range h.Ops {
		n, ok := number(o)
		switch {
		case !ok || !ours(o):
		case o.Verb == "tidy":
			want[grade.Word(o.Args[0])] -= n
		case o.Verb == "change":
			by, _ := o.Args[1].(term.Int)
			want[grade.Word(o.Args[0])] += int64(by)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(copies)) {
		held := map[string]int64{}
		for _, row := range copies[node].Rows {
			if r, ok := row.(term.Tuple); ok && len(r) == 3 {
				n, _ := r[2].(term.Int)
				held[grade.Word(r[1])] = int64(n)
			}
		}
		for _, item := range d.items[:items] {
			if held[item] == want[item] {
				continue
			}
			why := fmt.Sprintf("updates of %s are lost or doubled: the copy of %s is off by %+d from what was answered", item, node, held[item]-want[item])
			more, evidence := d.howLost(h, item, want[item], held[item])
			return grade.Failed(why+more, fmt.Sprintf("%s %d: %d at the beginning, and every change that was answered once", item, want[item], d.start[item]),
				fmt.Sprintf("%s %d", item, held[item]), append(evidence, copies[node].Op)...)
		}
	}
	if len(copies) < 3 {
		return grade.Unclear("not every node's copy could be read in the end")
	}
	return grade.Passed()
}

// howLost says how an update may have been lost, and which requests show it.
func (d day) howLost(h *history.History, item string, want, held int64) (text string, evidence []int) {
	if want < 0 {
		text = ". More was taken than there was: not everybody who was told a number should have been"
	}
	if evidence = collided(h, item); len(evidence) > 0 {
		return text + ". Two requests that overlapped began with the same amount, as if the other had not been", evidence
	}
	for _, o := range h.Ops {
		if _, ok := number(o); !ok || o.Verb != "change" || grade.Word(o.Args[0]) != item || o.Args[1] != term.Int(want-held) {
			continue
		}
		for _, b := range h.Ops {
			if _, ok := number(b); ok && b.ID != o.ID && (b.Verb == "change" || b.Verb == "tidy") && grade.Word(b.Args[0]) == item && b.Overlaps(o.Begin, o.End) {
				evidence = append(evidence, b.ID)
			}
		}
		return text + fmt.Sprintf(". It is as if %s's change by %d had not been", o.Client, want-held), append(evidence[:min(len(evidence), 3)], o.ID)
	}
	return text, nil
}

// collided finds two changes of an item that were under way at the same time and began with the same amount. That alone proves
// nothing, but it says how an update was lost that was.
func collided(h *history.History, item string) []int {
	type change struct {
		history.Op
		before int64
	}
	var all []change
	for _, o := range h.Ops {
		n, ok := number(o)
		if o.Verb != "change" || !ok || grade.Word(o.Args[0]) != item {
			continue
		}
		by, _ := o.Args[1].(term.Int)
		c := change{o, n - int64(by)}
		for _, b := range all {
			if b.before == c.before && b.End > c.Begin {
				return []int{b.ID, o.ID}
			}
		}
		all = append(all, c)
	}
	return nil
}

// inOrder judges the answers.
func (d day) inOrder(h *history.History) grade.Finding {
	at := moment(h, crushBegins)
	return d.oneOrder(without(h, func(o history.Op) bool { return ours(o) && o.Begin >= at }))
}

// quick judges how long the rush took: as long as the way there and back, not as long as the copies need to agree.
func (d day) quick(h *history.History) grade.Finding {
	from, to := moment(h, rushBegins), moment(h, crushBegins)
	var last history.Op
	first, n := history.Op{}, 0
	for _, o := range h.Ops {
		if !ours(o) || o.Begin < from || o.Begin >= to {
			continue
		}
		if n++; n == 1 {
			first = o
		}
		if last.ID == 0 || o.End > last.End {
			last = o
		}
	}
	if n == 0 {
		return grade.Unclear("nobody came in the rush")
	}
	if took := last.End - first.Begin; last.End == history.Open || took > rushTakes {
		return grade.Failed(fmt.Sprintf("%d clients asked for %d changes, each client for one after the other, and the last was answered after %v", rushers, n, took.Round(time.Millisecond)),
			fmt.Sprintf("%v at most: a change costs the way to the writer and back, and the writer waits for no other node", rushTakes),
			fmt.Sprint(took.Round(time.Millisecond)), first.ID, last.ID)
	}
	return grade.Passed()
}

// full judges the crush.
func (d day) full(h *history.History) grade.Finding {
	at := moment(h, crushBegins)
	p := without(h, func(o history.Op) bool { return ours(o) && o.Begin < at })
	var in, out []int
	var tidy history.Op
	for _, o := range p.Ops {
		switch {
		case !ours(o):
		case o.Verb == "tidy":
			tidy = o
		case refused(o):
			out = append(out, o.ID)
			if took := o.End - o.Begin; took > atOnce {
				return grade.Failed(fmt.Sprintf("a request that found no room was told so only after %v", took.Round(time.Millisecond)),
					"a refusal at once, while the writer is still busy with something else", fmt.Sprint(took.Round(time.Millisecond)), tidy.ID, o.ID)
			}
		case served(o):
			in = append(in, o.ID)
		default:
			return grade.Failed("a request was neither done nor refused with overloaded, though nothing was broken", "an answer, or an error of kind Overloaded", grade.AnswerText(o), o.ID)
		}
	}
	if f := prompt.Answered(p); f.Verdict != grade.Pass {
		return f
	}
	if f := d.roomFor(in, out, tidy); f.Verdict != grade.Pass {
		return f
	}
	return d.oneOrder(p)
}

// roomFor wants as many to be served as there is room for. The last three came when it was empty again.
func (d day) roomFor(in, out []int, tidy history.Op) grade.Finding {
	if tidy.ID == 0 || len(in)+len(out) < crush {
		return grade.Unclear("not enough clients came at once")
	}
	most := in[:min(len(in), 3)]
	switch n := len(in) - 3; {
	case n > room+slack:
		return grade.Failed(fmt.Sprintf("%d requests were let in while the writer was busy for %v", n, 2*wayToShelf),
			fmt.Sprintf("%d, a few more or fewer; the others refused at once with overloaded", room), fmt.Sprintf("%d let in, %d refused", n, len(out)), append([]int{tidy.ID}, most...)...)
	case n < room-slack:
		return grade.Failed(fmt.Sprintf("only %d requests were let in while the writer was busy for %v, or later when it was not", n, 2*wayToShelf),
			fmt.Sprintf("%d, a few more or fewer", room), fmt.Sprintf("%d let in, %d refused", n, len(out)), append([]int{tidy.ID}, out[:min(len(out), 3)]...)...)
	}
	return grade.Passed()
}
