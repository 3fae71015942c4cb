package grade

import (
	"fmt"
	"slices"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// Try is one time that a request was sent.
type Try struct {
	Op     int
	Took   history.Certainty
	Answer term.Term // nil when there is none
}

// Found says how often the effect of a request is there at one place.
type Found struct {
	Where string // as a sentence calls it after "on": a node
	Times int
	Op    int // the request that showed it; 0 is none
}

// Request is something that a client asks for under a name, if need be several times.
type Request struct {
	Name  string
	Tries []Try
	Found []Found
}

// Once demands that every request counts exactly once, however often it was sent: what was acknowledged is there once, what
// has no answer once or not at all, what was refused each time not at all, and what nobody asked for is not there.
//
// A lab says in Requests what its clients asked for, and where it is seen what came of it; RequestsOf and FindIn help:
//
//	grade.Once{What: "booking", Requests: func(h *history.History) []grade.Request {
//		all := grade.RequestsOf(h, "book", func(o history.Op) string { return grade.Word(o.Args[0]) })
//		for node, c := range grade.Copies(h, "booking") { // rows {booking, NAME, ...}
//			all = grade.FindIn(all, node, c, 2)
//		}
//		return all
//	}}.Counted
type Once struct {
	What     string // what a request is called: "booking"
	Requests func(h *history.History) []Request
	// SameAnswer demands, too, that a request that was answered several times got the same answer each time.
	SameAnswer bool
	// Retried is how many requests must have been sent more than once for the run to prove anything.
	Retried int
}

// Counted is the check.
func (c Once) Counted(h *history.History) Finding {
	if f, cut := cutOff(h); cut {
		return f
	}
	all := c.Requests(h)
	retried, found := 0, false
	for _, r := range all {
		if f := c.judge(r); f.Verdict != Pass {
			return f
		}
		if len(r.Tries) > 1 {
			retried++
		}
		found = found || len(r.Found) > 0
	}
	switch {
	case len(all) == 0:
		return Unclear(fmt.Sprintf("no %s was asked for, so none can have counted twice", c.what()))
	case !found:
		return Unclear(fmt.Sprintf("it could not be read what came of the requests (%s), so nothing can be said about them", c.what()))
	case retried < c.Retried:
		return Unclear(fmt.Sprintf("only %d of %d requests (%s) were sent more than once, and this task needs %d: the run proves nothing", retried, len(all), c.what(), c.Retried))
	}
	return Passed()
}

func (c Once) what() string {
	if c.What == "" {
		return "request"
	}
	return c.What
}

func (c Once) judge(r Request) Finding {
	if f := c.answers(r); f.Verdict != Pass {
		return f
	}
	took := history.No
	for _, t := range r.Tries {
		if t.Took == history.Yes || took == history.No {
			took = t.Took
		}
	}
	sent := "it was sent " + times(len(r.Tries))
	for _, f := range r.Found {
		actual := times(f.Times) + " on " + f.Where
		switch {
		case len(r.Tries) == 0 && f.Times > 0:
			return Failed(fmt.Sprintf("the %s %s is on %s, and nobody asked for it", c.what(), r.Name, f.Where), "only what was asked for", actual, r.evidence(f)...)
		case f.Times > 1:
			return Failed(fmt.Sprintf("the %s %s counted %s on %s; %s", c.what(), r.Name, times(f.Times), f.Where, sent),
				"once: sent again under the same name it is the same "+c.what(), actual, r.evidence(f)...)
		case took == history.No && f.Times > 0:
			return Failed(fmt.Sprintf("the %s %s was refused, and counted on %s all the same", c.what(), r.Name, f.Where),
				"an error that says for sure that nothing happened only when that is sure", actual, r.evidence(f)...)
		case took == history.Yes && f.Times < 1:
			return Failed(fmt.Sprintf("the %s %s was acknowledged, and is not on %s", c.what(), r.Name, f.Where), "once on "+f.Where, "not at all", r.evidence(f)...)
		}
	}
	return Passed()
}

// times says how often.
func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func (c Once) answers(r Request) Finding {
	first := Try{}
	for _, t := range r.Tries {
		switch {
		case !c.SameAnswer || t.Took != history.Yes || t.Answer == nil:
		case first.Answer == nil:
			first = t
		case !term.Equal(first.Answer, t.Answer):
			return Failed(fmt.Sprintf("the %s %s was answered %s and, asked again, %s", c.what(), r.Name, show(first.Answer), show(t.Answer)),
				show(first.Answer)+" again", show(t.Answer), first.Op, t.Op)
		}
	}
	return Passed()
}

// evidence gives the tries, a few of them, and what showed the effect.
func (r Request) evidence(f Found) []int {
	var all []int
	for _, t := range r.Tries[:min(len(r.Tries), 6)] {
		all = append(all, t.Op)
	}
	return ids(append(all, f.Op)...)
}

// RequestsOf makes a request of each name under which a verb was asked for, in the order in which they were first asked.
// Requests for which name gives nothing are left out.
func RequestsOf(h *history.History, verb string, name func(history.Op) string) []Request {
	var all []Request
	index := map[string]int{}
	for _, o := range h.Ops {
		if o.Verb != verb {
			continue
		}
		n := name(o)
		if n == "" {
			continue
		}
		i, known := index[n]
		if !known {
			i = len(all)
			index[n] = i
			all = append(all, Request{Name: n})
		}
		t := Try{Op: o.ID, Took: o.Took()}
		if v, err := o.Outcome.Term(); err == nil {
			t.Answer = v
		}
		all[i].Tries = append(all[i].Tries, t)
	}
	return all
}

// FindIn counts in a copy how often each request is there: the field at pos of a row (2 is the key) is the request's name, or
// a list of names. Names that nobody asked for become requests without tries.
func FindIn(all []Request, node kit.NodeName, c Copy, pos int) []Request {
	often := map[string]int{}
	var order []string
	count := func(t term.Term) {
		n := accountName(t)
		if often[n]++; often[n] == 1 {
			order = append(order, n)
		}
	}
	for _, row := range c.Rows {
		r, ok := row.(term.Tuple)
		if !ok || pos < 1 || pos > len(r) {
			continue
		}
		if list, ok := r[pos-1].(term.List); ok {
			for _, n := range list {
				count(n)
			}
			continue
		}
		count(r[pos-1])
	}
	all = slices.Clone(all)
	known := map[string]bool{}
	for i, r := range all {
		known[r.Name] = true
		all[i].Found = append(slices.Clone(r.Found), Found{Where: string(node), Times: often[r.Name], Op: c.Op})
	}
	for _, n := range order {
		if !known[n] {
			all = append(all, Request{Name: n, Found: []Found{{Where: string(node), Times: often[n], Op: c.Op}}})
		}
	}
	return all
}
