package lab

import (
	"context"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/term"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// trafficCounter is a world that knows what faults did to traffic; the simulator is one.
type trafficCounter interface {
	Counts(from kit.NodeName) []wire.Counts
}

// takeTraffic puts on record how many messages each fault held back or lost, and what faults did to machines, for the
// receipts. A real node counts since its process began, and tells through its door.
func (w *World) takeTraffic(ctx context.Context) {
	for _, from := range w.Nodes() {
		for to, n := range w.stopped(ctx, from) {
			w.Note(grade.TrafficNote(from, to), term.Int(n))
		}
	}
	w.takeDamage()
}

// takeDamage is takeTraffic for what is not traffic that stood still.
func (w *World) takeDamage() {
	for _, n := range w.Nodes() {
		if c, ok := can[trafficCounter](w.World); ok {
			for _, to := range c.Counts(n) {
				w.Note(grade.TouchedNote(n, to.Peer), term.Int(to.Delayed+to.Lost+to.Duplicated+to.Reordered))
			}
		}
		m, ok := can[world.Machines](w.World)
		if !ok {
			continue
		}
		d, err := m.Damage(n)
		if err != nil {
			continue
		}
		var counts term.Map
		for _, c := range []struct {
			key string
			n   int64
		}{
			{grade.DamageClockReads, int64(d.ClockReads)}, {grade.DamageLost, int64(d.Lost)}, {grade.DamageRefused, int64(d.Refused)},
			{grade.DamageSlowSyncs, int64(d.SlowSyncs)}, {grade.DamageSlowed, d.Slowed.Microseconds()}, {grade.DamageWaited, int64(d.Waited)},
		} {
			counts = append(counts, term.Pair{Key: term.Atom(c.key), Value: term.Int(c.n)})
		}
		w.Note(grade.DamageNote(n), counts)
	}
}

func (w *World) stopped(ctx context.Context, from kit.NodeName) map[kit.NodeName]uint64 {
	sums := map[kit.NodeName]uint64{}
	if c, ok := can[trafficCounter](w.World); ok {
		for _, counts := range c.Counts(from) {
			sums[counts.Peer] = counts.Held + counts.Dropped + counts.Refused + counts.Lost
		}
		return sums
	}
	out := w.World.Call(ctx, "grader", from, door.Request{Client: "grader", Verb: "links"})
	list, err := out.Term()
	if err != nil {
		return nil // a node that is down cannot tell
	}
	links, _ := list.(term.List)
	for _, l := range links {
		link, _ := l.(term.Map)
		peer, _ := get(link, "node").(term.Atom)
		counts, _ := get(link, "counts").(term.Map)
		for _, name := range []string{"held", "dropped", "refused", "lost"} {
			n, _ := get(counts, name).(term.Int)
			sums[kit.NodeName(peer)] += uint64(max(0, n))
		}
	}
	return sums
}

func get(m term.Map, key string) term.Term {
	for _, p := range m {
		if p.Key == term.Atom(key) {
			return p.Value
		}
	}
	return nil
}
