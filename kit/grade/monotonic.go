package grade

import (
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// Seen is a version of something that a client was told, or has made.
type Seen struct {
	Op      int
	Client  string
	Node    kit.NodeName
	Key     string
	Version term.Term // a later one comes after it in the order of terms: a number that grows
	Wrote   bool      // the client has made this version itself, and was told so
	Begin   time.Duration
	End     time.Duration // history.Open when it was not answered: such a look proves nothing
}

// Monotonic demands that nobody goes back in time: once a client has seen a version of a key, what it asks for later shows
// that version or a later one, whichever node it asks (monotonic reads; Terry et al., 1994). Requests of one client that
// overlap are not compared.
//
//	grade.Monotonic{OwnWrites: true, Seen: func(h *history.History) (all []grade.Seen) {
//		for _, o := range h.Ops {
//			if v, err := o.Outcome.Term(); err == nil && o.Verb == "version" {
//				all = append(all, grade.SeenIn(o, grade.Word(o.Args[0]), v))
//			}
//		}
//		return all
//	}}.Forward
type Monotonic struct {
	What string // what a version is of, as a sentence calls it before the key: "page"
	Seen func(h *history.History) []Seen
	// OwnWrites demands, too, that a client sees what it has written itself (read your writes).
	OwnWrites bool
	// Together takes all clients for one: what anybody has seen, nobody who asks later may miss.
	Together bool
}

// SeenIn says that a request showed a version of a key.
func SeenIn(o history.Op, key string, version term.Term) Seen {
	return Seen{Op: o.ID, Client: o.Client, Node: o.Node, Key: key, Version: version, Begin: o.Begin, End: o.End}
}

// Forward is the check.
func (m Monotonic) Forward(h *history.History) Finding {
	if f, cut := cutOff(h); cut {
		return f
	}
	type session struct{ client, key string }
	groups := map[session][]Seen{}
	var order []session
	for _, s := range m.Seen(h) {
		if s.End == history.Open || s.Version == nil || s.Wrote && !m.OwnWrites {
			continue
		}
		g := session{s.Client, s.Key}
		if m.Together {
			g.client = ""
		}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], s)
	}
	compared := false
	for _, g := range order {
		f, any := m.session(groups[g])
		if f.Verdict != Pass {
			return f
		}
		compared = compared || any
	}
	if !compared {
		return Unclear("nobody looked at the same thing twice, one look after the other, so nobody can have gone back")
	}
	return Passed()
}

// session judges what one client saw of one key.
func (m Monotonic) session(all []Seen) (f Finding, compared bool) {
	slices.SortStableFunc(all, func(a, b Seen) int { return compare(int64(a.Begin), int64(b.Begin)) })
	ended := slices.Clone(all)
	slices.SortStableFunc(ended, func(a, b Seen) int { return compare(int64(a.End), int64(b.End)) })
	var newest *Seen // of those that had ended
	next := 0
	for _, s := range all {
		for ; next < len(ended) && ended[next].End < s.Begin; next++ {
			if newest == nil || term.Compare(ended[next].Version, newest.Version) > 0 {
				newest = &ended[next]
			}
		}
		if newest == nil || s.Wrote {
			continue
		}
		compared = true
		if term.Compare(s.Version, newest.Version) < 0 {
			return m.back(*newest, s), true
		}
	}
	return Passed(), compared
}

func (m Monotonic) back(before, now Seen) Finding {
	what := m.What
	if what != "" {
		what += " "
	}
	who := now.Client
	if before.Client != now.Client {
		who = before.Client
	}
	did := "had seen"
	if before.Wrote {
		did = "had written"
	}
	f := Failed(fmt.Sprintf("%s was shown version %s of %s%s on %s (asked at %s), although %s %s version %s on %s before that (%s)",
		now.Client, show(now.Version), what, now.Key, now.Node, ms(now.Begin), who, did, show(before.Version), before.Node, ms(before.End)),
		fmt.Sprintf("version %s or a later one", show(before.Version)), "version "+show(now.Version), before.Op, now.Op)
	f.Focus = now.Op
	return f
}
