package grade

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"netsplit/kit/history"
	"netsplit/kit/term"
)

// Counter demands that a number which many clients raise and read on many nodes is one number: that there is an order of
// all requests, in keeping with time, in which every increment that was answered counts once, one that was refused never,
// one without an answer at most once, and every read answers the sum of what was counted before it.
//
// An increment is asked for with an amount above 0 and the request's name, and answered with the number that it led to;
// asked again under the same name it counts no further and gets the same answer. So the answers alone tell the order, and
// the check needs no search.
type Counter struct {
	Increment, Read string // the verbs
	Start           int64  // the number before the first increment
}

// point is where one request stands in the order of numbers: it found the counter at before and left it at after.
type point struct {
	before, after int64
	begin, end    time.Duration // from when to when it may have happened
	op            history.Op
	name          string // of the request; empty for a read
}

// increment is one request with all its tries.
type increment struct {
	name    string
	by      int64
	tries   []history.Op
	answers []history.Op // those of tries that were answered
	refused bool         // every try was, and surely did not count
}

// Exact is the check.
func (c Counter) Exact(h *history.History) Finding {
	incs, f := c.increments(h)
	if f.Verdict != Pass {
		return f
	}
	var counted, reads []point
	for _, in := range incs {
		if len(in.answers) == 0 {
			continue
		}
		p, f := in.point()
		if f.Verdict != Pass {
			return f
		}
		counted = append(counted, p)
	}
	for _, o := range h.Ops {
		if o.Verb != c.Read || o.Outcome.Status != "ok" {
			continue
		}
		n, ok := number(o)
		if !ok {
			return Failed("a read was answered with something that is no whole number", "a number", answer(o), o.ID)
		}
		reads = append(reads, point{before: n, after: n, begin: o.Begin, end: o.End, op: o})
	}
	if len(counted) == 0 {
		return Unclear("no increment was answered, so nothing could be lost")
	}
	for _, judge := range []func([]increment, []point, []point) Finding{c.tiled, c.seen, inTime} {
		if f := judge(incs, counted, reads); f.Verdict != Pass {
			return f
		}
	}
	return Passed()
}

// increments gathers the tries of each request, in the order in which they were first made.
func (c Counter) increments(h *history.History) ([]increment, Finding) {
	var all []increment
	index := map[string]int{}
	for _, o := range h.Ops {
		if o.Verb != c.Increment || len(o.Args) != 2 {
			continue
		}
		by, _ := o.Args[0].(term.Int)
		name := plain(o.Args[1])
		i, known := index[name]
		if !known {
			i = len(all)
			index[name] = i
			all = append(all, increment{name: name, by: int64(by), refused: true})
		}
		in := &all[i]
		in.tries = append(in.tries, o)
		switch {
		case o.End != history.Open && o.Outcome.Status == "ok":
			if _, ok := number(o); !ok {
				return nil, Failed("an increment was answered with something that is no whole number", "the number that it led to", answer(o), o.ID)
			}
			in.answers, in.refused = append(in.answers, o), false
		case o.End == history.Open || !o.Outcome.Definite():
			in.refused = false
		}
	}
	return all, Passed()
}

func number(o history.Op) (int64, bool) {
	t, err := o.Outcome.Term()
	n, ok := t.(term.Int)
	return int64(n), ok && err == nil
}

// point places a request that was answered: it happened after its first try began and before its first answer came.
func (in increment) point() (point, Finding) {
	first := in.answers[0]
	end := first.End
	n, _ := number(first)
	for _, o := range in.answers[1:] {
		end = min(end, o.End)
		if m, _ := number(o); m != n {
			return point{}, Failed(fmt.Sprintf("the request %s was answered %d and, asked again, %d", in.name, n, m),
				"the first answer again: a request counts once, however often it is sent", strconv.FormatInt(m, 10), first.ID, o.ID)
		}
	}
	return point{before: n - in.by, after: n, begin: in.tries[0].Begin, end: end, op: first, name: in.name}, Passed()
}

// tiled wants each increment to begin where another ended.
func (c Counter) tiled(incs []increment, counted, _ []point) Finding {
	slices.SortStableFunc(counted, func(a, b point) int {
		return compare(a.after, b.after)
	})
	at := point{after: c.Start}
	for _, p := range counted {
		switch {
		case p.before < at.after && at.name == "":
			return Failed(fmt.Sprintf("the request %s of %d was answered %d", p.name, p.after-p.before, p.after),
				fmt.Sprintf("at least %d, because the counter began with %d", at.after+p.after-p.before, at.after), strconv.FormatInt(p.after, 10), p.op.ID)
		case p.before < at.after:
			return lost(at, p)
		case p.before > at.after:
			if f := extra(incs, at.after, p); f.Verdict != Pass {
				return f
			}
		}
		at = p
	}
	return Passed()
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// lost explains two increments that overlap.
func lost(a, b point) Finding {
	if a.begin > b.begin {
		a, b = b, a
	}
	return Failed(fmt.Sprintf("an increment is lost: on %s the request %s took the counter from %d to %d, and on %s the request %s took it from %d to %d, as if the other had not been",
		a.op.Node, a.name, a.before, a.after, b.op.Node, b.name, b.before, b.after),
		fmt.Sprintf("one of them begins where the other ended: %d and %d counted one after the other", a.after-a.before, b.after-b.before),
		fmt.Sprintf("answers of %d and %d", a.after, b.after), a.op.ID, b.op.ID)
}

// extra explains a step of the counter that no answer accounts for: requests without an answer may have made it.
func extra(incs []increment, from int64, next point) Finding {
	gap := next.before - from
	if _, ok := subset(open(incs), gap); ok {
		return Passed()
	}
	expected := fmt.Sprintf("%d, the last number, and %d more: %d", from, next.after-next.before, from+next.after-next.before)
	step := fmt.Sprintf("the counter went from %d to %d without any other request for it", from, next.before)
	if f, found := blame(incs, gap, func(in increment) bool { return in.refused }); found {
		return Failed(fmt.Sprintf("%s refused and counted all the same: %s", named(f), step),
			"an error of kind unknown, unless it is sure that nothing was counted",
			fmt.Sprintf("an error of kind %s, which promises that nothing was counted, and %d more on the counter", plain(f[0].tries[0].Outcome.Kind), gap),
			append(opIDs(f), next.op.ID)...)
	}
	if f, found := blame(incs, gap, func(in increment) bool { return len(in.answers) > 0 && in.name != next.name }); found {
		return Failed(fmt.Sprintf("%s counted twice: %s", named(f), step), expected, strconv.FormatInt(next.after, 10), append(opIDs(f), next.op.ID)...)
	}
	return Failed(fmt.Sprintf("the counter went from %d to %d and no request accounts for it", from, next.before), expected, strconv.FormatInt(next.after, 10), next.op.ID)
}

// blame finds the requests that explain a step: one of just that amount, or several that were tried more than once or
// failed together.
func blame(incs []increment, gap int64, may func(increment) bool) ([]increment, bool) {
	var some []increment
	for _, in := range incs {
		if !may(in) {
			continue
		}
		if in.by == gap {
			return []increment{in}, true
		}
		if in.refused || len(in.tries) > 1 {
			some = append(some, in)
		}
	}
	if len(some) > maxOpen {
		return longest(some, gap)
	}
	return subset(some, gap)
}

// longest is for more requests than every sum can be tried of: those that waited longest for their answers are the likeliest
// to have been on their way.
func longest(list []increment, want int64) ([]increment, bool) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b increment) int { return compare(int64(b.waited()), int64(a.waited())) })
	sum := int64(0)
	for i, in := range list[:maxOpen] {
		if sum += in.by; sum == want {
			return list[:i+1], true
		}
	}
	return nil, false
}

// waited is how long the first try of a request took to be answered.
func (in increment) waited() time.Duration {
	if o := in.tries[0]; o.End != history.Open {
		return o.End - o.Begin
	}
	return math.MaxInt64
}

// named begins a sentence about some requests.
func named(list []increment) string {
	if len(list) == 1 {
		return fmt.Sprintf("the request %s was", list[0].name)
	}
	var all []string
	for _, in := range list {
		all = append(all, in.name)
	}
	return fmt.Sprintf("the requests %s were", strings.Join(all, ", "))
}

// opIDs are the tries of some requests, a few of each.
func opIDs(list []increment) []int {
	var ids []int
	for _, in := range list {
		for _, o := range in.tries[:min(len(in.tries), 4)] {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// maxOpen bounds the requests of which every sum is tried.
const maxOpen = 16

// subset finds requests whose amounts add up to want. With more than maxOpen of them any sum is believed.
func subset(list []increment, want int64) (found []increment, ok bool) {
	if len(list) > maxOpen {
		return nil, true
	}
	for set := range 1 << len(list) {
		found = found[:0]
		sum := int64(0)
		for i, in := range list {
			if set&(1<<i) != 0 {
				found, sum = append(found, in), sum+in.by
			}
		}
		if sum == want {
			return found, true
		}
	}
	return nil, false
}

// open gives the requests that nobody knows the end of.
func open(incs []increment) []increment {
	var list []increment
	for _, in := range incs {
		if len(in.answers) == 0 && !in.refused {
			list = append(list, in)
		}
	}
	return list
}

// seen wants every read to answer a number at which the counter stood.
func (c Counter) seen(incs []increment, counted, reads []point) Finding {
	last := counted[len(counted)-1]
	unsure := open(incs)
	for _, r := range reads {
		i, exact := slices.BinarySearchFunc(counted, r.after, func(p point, n int64) int { return compare(p.after, n) })
		below, above := c.Start, int64(math.MaxInt64) // between two numbers that are known
		if i > 0 {
			below = counted[i-1].after
		}
		if i < len(counted) {
			above = counted[i].before
		}
		if exact || r.after == c.Start {
			continue
		}
		if _, ok := subset(unsure, r.after-below); ok && r.after >= below && r.after <= above {
			continue
		}
		if r.after > last.after {
			return Failed(fmt.Sprintf("a read on %s answered %d, more than was ever counted", r.op.Node, r.after), fmt.Sprintf("at most %d", last.after), strconv.FormatInt(r.after, 10), last.op.ID, r.op.ID)
		}
		p := counted[min(i, len(counted)-1)]
		return Failed(fmt.Sprintf("a read on %s answered %d, a number at which the counter never stood", r.op.Node, r.after),
			fmt.Sprintf("%d or %d", p.before, p.after), strconv.FormatInt(r.after, 10), p.op.ID, r.op.ID)
	}
	return Passed()
}

// inTime wants every request to find what was there before it began.
func inTime(_ []increment, counted, reads []point) Finding {
	all := slices.Concat(counted, reads)
	ended := slices.Clone(all)
	slices.SortStableFunc(all, func(a, b point) int { return compare(int64(a.begin), int64(b.begin)) })
	slices.SortStableFunc(ended, func(a, b point) int { return compare(int64(a.end), int64(b.end)) })
	var top *point // of those that have ended, the one that saw or made the largest number
	next := 0
	for _, p := range all {
		for ; next < len(ended) && ended[next].end < p.begin; next++ {
			if top == nil || ended[next].after > top.after {
				top = &ended[next]
			}
		}
		if top == nil || p.before >= top.after {
			continue
		}
		if p.name == "" {
			return Failed(fmt.Sprintf("a read on %s answered %d, although the counter had reached %d before the read began", p.op.Node, p.after, top.after),
				fmt.Sprintf("at least %d", top.after), strconv.FormatInt(p.after, 10), top.op.ID, p.op.ID)
		}
		return Failed(fmt.Sprintf("the request %s was answered %d, although the counter had reached %d before it began", p.name, p.after, top.after),
			fmt.Sprintf("at least %d", top.after+p.after-p.before), strconv.FormatInt(p.after, 10), top.op.ID, p.op.ID)
	}
	return Passed()
}
