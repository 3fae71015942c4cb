package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// tellCycle names a cycle and explains it.
func (c *checker) tellCycle(cycle []step) {
	c.tellAs(c.kindOf(cycle), cycle)
}

// tellTime is tellCycle for one that needs the order of time.
func (c *checker) tellTime(cycle []step) {
	kind := TimeTravel
	reads, others := 0, 0
	for _, s := range cycle {
		switch s.kind {
		case depRW:
			reads++
		case depWW, depWR:
			others++
		}
	}
	if reads == 1 && others == 0 {
		kind = StaleRead
	}
	c.tellAs(kind, cycle)
}

func (c *checker) tellAs(kind AnomalyKind, cycle []step) {
	if cycle == nil {
		return
	}
	cycle = c.withoutMoments(cycle)
	var keys []string
	var txns []int
	var story []string
	for _, s := range cycle {
		if s.key != "" && !slices.Contains(keys, s.key) {
			keys = append(keys, s.key)
		}
		txns = append(txns, s.from)
		story = append(story, c.sayStep(s))
	}
	slices.Sort(keys)
	story = append(story, c.sayEnd(kind, cycle))
	for _, t := range txns[:min(len(txns), maxShown)] {
		story = append(story, "("+c.intro(t)+c.sayReads(t, keys)+")")
	}
	c.tell(kind, keys, txns, story...)
}

// kindOf names a cycle by its dependencies.
func (c *checker) kindOf(cycle []step) AnomalyKind {
	reads, flows := 0, 0
	for _, s := range cycle {
		switch s.kind {
		case depRW:
			reads++
		case depWR:
			flows++
		}
	}
	if len(cycle) == 2 && reads > 0 {
		a, b := cycle[0], cycle[1]
		if a.kind != depRW {
			a, b = b, a
		}
		switch {
		case a.key == b.key && b.kind == depWR:
			return UnrepeatableRead
		case a.key == b.key:
			return LostUpdate
		case b.kind == depWR:
			return FracturedRead
		}
	}
	switch {
	case reads == 0 && flows == 0:
		return DirtyWrite
	case reads == 0:
		return CircularFlow
	case reads == 1:
		return ReadSkew
	}
	return WriteSkew
}

// withoutMoments joins the steps of time between two transactions into one.
func (c *checker) withoutMoments(cycle []step) []step {
	first := slices.IndexFunc(cycle, func(s step) bool { return s.from < len(c.txns) })
	cycle = slices.Concat(cycle[first:], cycle[:first])
	var out []step
	for _, s := range cycle {
		if s.from >= len(c.txns) {
			out[len(out)-1].to = s.to
			continue
		}
		out = append(out, s)
	}
	return out
}

func (c *checker) sayStep(s step) string {
	from, to := c.txns[s.from].Name, c.txns[s.to].Name
	switch s.kind {
	case depWW:
		if k := c.keys[s.key]; !k.register {
			return fmt.Sprintf("%s appended %s to %s before %s appended %s.", from, s.old, s.key, to, s.new)
		}
		return fmt.Sprintf("%s wrote %s to %s, and %s overwrote it with %s.", from, s.old, s.key, to, s.new)
	case depWR:
		return fmt.Sprintf("%s wrote %s to %s, and %s read it.", from, s.new, s.key, to)
	case depRW:
		return fmt.Sprintf("%s read %s = %s, and so before %s wrote %s.", from, s.key, c.state(s.key, s.old), to, s.new)
	}
	return fmt.Sprintf("%s had ended at %s, before %s began at %s.", from, at(c.txns[s.from].End), to, at(c.txns[s.to].Begin))
}

// sayEnd says why it cannot be.
func (c *checker) sayEnd(kind AnomalyKind, cycle []step) string {
	switch kind {
	case LostUpdate:
		return "Both went on from the same state: whichever was second has not seen the first."
	case FracturedRead, UnrepeatableRead:
		a, b := cycle[0], cycle[1]
		if a.kind != depRW {
			a, b = b, a
		}
		if kind == UnrepeatableRead {
			return fmt.Sprintf("%s has read %s both before and after %s.", c.txns[a.from].Name, a.key, c.txns[a.to].Name)
		}
		return fmt.Sprintf("%s has seen what %s wrote to %s and not what it wrote to %s: half of it.", c.txns[a.from].Name, c.txns[a.to].Name, b.key, a.key)
	case StaleRead:
		return "What was acknowledged must be seen by all who begin later."
	}
	var names []string
	for _, s := range cycle {
		names = append(names, c.txns[s.from].Name)
	}
	return "So each had to be before the next: " + strings.Join(names, ", ") + ", and " + names[0] + " again. No order one after the other explains this."
}

// intro names a transaction with its client and time.
func (c *checker) intro(i int) string {
	t := c.txns[i]
	var parts []string
	if t.Client != "" {
		parts = append(parts, t.Client)
	}
	if t.Node != "" {
		parts = append(parts, "at "+string(t.Node))
	}
	switch {
	case t.Begin == 0 && t.End == 0:
	case t.End == Open:
		parts = append(parts, "from "+at(t.Begin)+", never answered")
	default:
		parts = append(parts, at(t.Begin)+" to "+at(t.End))
	}
	if len(parts) == 0 {
		return t.Name
	}
	return t.Name + " (" + strings.Join(parts, " ") + ")"
}

// saw says what a transaction read.
func (c *checker) saw(i int, r read) string {
	verb := " read "
	if c.txns[i].Final {
		verb = " has "
	}
	what := list(r.seen)
	if c.keys[r.key].register {
		what = c.state(r.key, r.version)
	}
	return c.intro(i) + verb + r.key + " = " + what
}

// sayReads tells what a transaction saw of some keys.
func (c *checker) sayReads(i int, keys []string) string {
	var parts []string
	for _, r := range c.reads[i] {
		if slices.Contains(keys, r.key) {
			what := list(r.seen)
			if c.keys[r.key].register {
				what = c.state(r.key, r.version)
			}
			parts = append(parts, r.key+" = "+what)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " read " + strings.Join(parts, ", ")
}

func (c *checker) ownLost(i int, s Step, mine []string) string {
	return fmt.Sprintf("%s wrote %s to %s and then read %s there.", c.intro(i), strings.Join(mine, ", "), s.Key, list(s.Seen))
}

// state names a version: of a list by its end, since all before it is known.
func (c *checker) state(key, version string) string {
	switch k := c.keys[key]; {
	case version == "":
		return "nothing"
	case k.register:
		return version
	}
	return list(c.keys[key].order[:slices.Index(c.keys[key].order, version)+1])
}

// maxShown is how many elements of a list a sentence shows, and of how many transactions of a cycle the reads are told.
const maxShown = 6

func list(vs []string) string {
	if n := len(vs); n > maxShown {
		return fmt.Sprintf("[... %s] (%d elements)", strings.Join(vs[n-maxShown:], " "), n)
	}
	return "[" + strings.Join(vs, " ") + "]"
}

// at gives a time in the run as a reader likes it.
func at(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }
