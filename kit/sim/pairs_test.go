package sim

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// everything makes tests that try a sample try all.
var everything = flag.Bool("everything", false, "try all pairs of faults, and 1000 seeds")

// trouble is one fault of node a, or of what a sends to b, with how it ends and what shows that it did something.
type trouble struct {
	name, part string
	do, undo   func(w *World) error
	bit        func(w *World, since time.Duration) int
}

// allTroubles is every fault that the simulator knows.
func allTroubles() []trouble {
	rule := func(r wire.Rule) func(*World) error {
		return func(w *World) error { return w.Link("a", "b", r) }
	}
	whole := rule(wire.Rule{})
	counts := func(count func(wire.Counts) uint64) func(*World, time.Duration) int {
		return func(w *World, _ time.Duration) int {
			n := uint64(0)
			for _, c := range w.Counts("a") {
				n += count(c)
			}
			return int(n)
		}
	}
	stops := func(w *World, since time.Duration) int { return happened(w, Stop, since) }
	back := func(w *World) error { return w.Restart("a") }
	disk := func(f DiskFault) func(*World) error { return func(w *World) error { return w.SetDisk("a", f) } }
	hurt := func(count func(w *World) int) func(*World, time.Duration) int {
		return func(w *World, _ time.Duration) int { return count(w) }
	}
	damage := func(w *World) (d struct{ refused, slow, reads, slowed, waited int }) {
		all, _ := w.Damage("a")
		d.refused, d.slow, d.reads, d.slowed, d.waited = all.Refused, all.SlowSyncs, all.ClockReads, int(all.Slowed), all.Waited
		return d
	}
	return []trouble{
		{"silent cut", "link", rule(wire.Rule{Cut: wire.Silent}), whole, counts(func(c wire.Counts) uint64 { return c.Held + c.Refused })},
		{"loud cut", "link", rule(wire.Rule{Cut: wire.Loud}), whole, counts(func(c wire.Counts) uint64 { return c.Refused })},
		{"delay", "link", rule(wire.Rule{Delay: 30 * time.Millisecond, Jitter: 30 * time.Millisecond}), whole, counts(func(c wire.Counts) uint64 { return c.Delayed })},
		{"loss", "link", rule(wire.Rule{Loss: 0.6, Duplicate: 0.5, Reorder: 0.5}), whole, counts(func(c wire.Counts) uint64 { return c.Delayed })},
		{"kill", "node", func(w *World) error { return w.Kill("a") }, back, stops},
		{"power off", "node", func(w *World) error { return w.PowerOff("a") }, back, stops},
		{"strike", "node", func(w *World) error {
			_, err := w.KillAfter(context.Background(), "a", 3, time.Second)
			return err
		}, back, stops},
		{"pause", "node", func(w *World) error { return w.Pause("a") }, func(w *World) error { return w.Resume("a") }, hurt(func(w *World) int { return damage(w).waited })},
		{"full disc", "disc", disk(DiskFault{Full: true}), disk(DiskFault{}), hurt(func(w *World) int { return damage(w).refused })},
		{"slow disc", "disc", disk(DiskFault{Slow: 40 * time.Millisecond, Crash: Chance}), disk(DiskFault{}), hurt(func(w *World) int { return damage(w).slow })},
		{"clock", "clock", func(w *World) error { return w.SetClock("a", -time.Hour) }, func(w *World) error { return w.SetClock("a", 0) }, hurt(func(w *World) int { return damage(w).reads })},
		{"pace", "pace", func(w *World) error { return w.SetPace("a", 50) }, func(w *World) error { return w.SetPace("a", 1) }, hurt(func(w *World) int { return damage(w).slowed })},
	}
}

func happened(w *World, what Happening, since time.Duration) int {
	n := 0
	for _, e := range w.Events() {
		if e.What == what && e.At >= since {
			n++
		}
	}
	return n
}

// patience is a context whose deadline stays as far off as it is.
type patience struct{ context.Context }

func (patience) Deadline() (time.Time, bool) { return time.Now().Add(100 * time.Millisecond), true }

// askSoon asks without waiting long; ok is false when no answer came.
func askSoon(ctx context.Context, w *World, client string, node kit.NodeName, verb string, args ...term.Term) (string, bool) {
	out := w.Call(patience{ctx}, client, node, door.Request{Verb: verb, Args: args})
	return string(out.Value), out.Status == door.OK
}

// pairRun is one run of two faults that overlap, with a client that writes all the time.
type pairRun struct {
	w              *World
	hash           string
	bit            [2]int // what each fault did
	done           [2]bool
	synced, writes int // appends that were acknowledged after a sync, and all
}

// tooLate are the refusals of an order that another fault has come before.
func tooLate(err error) bool {
	k := kit.KindOf(err)
	return k == kit.Unavailable || k == kit.Exists
}

func runPair(t *testing.T, x, y trouble, seed uint64) pairRun {
	t.Helper()
	w := start(t, toyConfig(t, seed))
	r := pairRun{w: w}
	stop := false
	w.Go(func(ctx context.Context) {
		for !stop {
			r.writes++
			took, ok := askSoon(ctx, w, "writer", "a", "append", term.Atom("x"))
			if ok && took == `"ok"` {
				if got, ok := askSoon(ctx, w, "writer", "a", "sync"); ok && got == `""` {
					r.synced++
				}
			}
			askSoon(ctx, w, "writer", "a", "now")
			_ = w.Sleep(ctx, 5*time.Millisecond)
		}
	})
	pass(t, w, 100*time.Millisecond)
	began := w.Now()
	for i, step := range []struct {
		do  func(*World) error
		who int
	}{{x.do, 0}, {y.do, 1}, {x.undo, 0}, {y.undo, 1}} {
		err := error(nil)
		if i < 2 || r.done[step.who] {
			err = step.do(w)
		}
		if err != nil && !tooLate(err) {
			t.Fatalf("step %d: %v", i, err)
		}
		if i < 2 {
			r.done[step.who] = err == nil
		}
		pass(t, w, 100*time.Millisecond)
	}
	if x.name == "loss" || y.name == "loss" {
		pass(t, w, time.Second) // what was lost is sent again after a while, and holds up what comes behind it
	}
	pass(t, w, 300*time.Millisecond)
	stop = true
	w.Wait()
	r.bit = [2]int{x.bit(w, began), y.bit(w, began)}
	r.hash = w.Hash()
	return r
}

// sound checks what holds after any faults that have ended.
func (r pairRun) sound() error {
	w := r.w
	var all []error
	bad := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	healed := w.Now() - 200*time.Millisecond
	for _, pair := range [][2]kit.NodeName{{"a", "b"}, {"b", "a"}, {"a", "c"}} {
		if tally(w, Receive, pair[1], pair[0], healed) == 0 {
			bad("nothing goes from %s to %s any more", pair[0], pair[1])
		}
	}
	before := w.Now()
	got, ok := askSoon(context.Background(), w, "judge", "a", "got")
	if took := w.Now() - before; !ok || took > 20*time.Millisecond {
		bad("a answers %q (%v) after %v", got, ok, took)
	}
	if kept := w.nodes["a"].disk.sizes["log"]; kept < r.synced || kept > r.writes {
		bad("the disc holds %d writes; %d were synced, %d were asked for", kept, r.synced, r.writes)
	}
	if err := w.balanced(); err != nil {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// balanced checks the books: each frame that was sent has come once, was lost, or is on its way; and nothing is counted that
// is not there.
func (w *World) balanced() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	fate := map[uint64]int{}
	for _, e := range w.log.events() {
		switch e.What {
		case Send:
			fate[e.ID]++
		case Receive, Drop:
			fate[e.ID]--
		}
	}
	for _, l := range w.links {
		for _, lane := range l.lanes {
			bytes := 0
			for _, it := range append(append([]item{}, lane.flight...), lane.queue...) {
				fate[it.id]--
				bytes += it.cost()
			}
			if bytes != lane.bytes || lane.unread < 0 {
				return fmt.Errorf("a lane from %s to %s holds %d bytes and counts %d, with %d unread", l.from.name, l.to.name, bytes, lane.bytes, lane.unread)
			}
		}
	}
	for id, n := range fate {
		if id != 0 && n != 0 {
			return fmt.Errorf("frame %d: sent, and neither arrived nor lost nor on its way: %+d", id, n)
		}
	}
	for name, n := range w.nodes {
		sum := 0
		for _, to := range w.cfg.Nodes {
			if l := w.links[[2]kit.NodeName{name, to}]; l != nil {
				for _, lane := range l.lanes {
					sum += lane.bytes
				}
			}
		}
		if n.queued != sum || n.syncs < 0 || len(n.deferred) > 0 || n.paused {
			return fmt.Errorf("node %s counts %d bytes on their way of %d, %d syncs, %d deferred, paused %v", name, n.queued, sum, n.syncs, len(n.deferred), n.paused)
		}
	}
	return nil
}

// Any two faults that overlap end well: the books balance, all nodes talk again, what was synced is there, each fault that could
// do something did, and the run can be repeated.
func TestPairsOfFaults(t *testing.T) {
	switch {
	case testing.Short():
		t.Skip("-short: some hundred runs")
	case slow:
		t.Skip("TestWithoutRaceDetector runs it")
	}
	for i, x := range allTroubles() {
		for j, y := range allTroubles() {
			if !*everything && (i*5+j)%4 != 0 {
				continue
			}
			t.Run(x.name+" and "+y.name, func(t *testing.T) {
				t.Parallel()
				r := runPair(t, x, y, 31)
				if err := r.sound(); err != nil {
					t.Error(err)
				}
				for i, f := range []trouble{x, y} {
					if r.done[i] && r.bit[i] == 0 && x.part != y.part {
						t.Errorf("%s had no effect", f.name)
					}
				}
				if i == j || *everything {
					if again := runPair(t, x, y, 31); again.hash != r.hash {
						t.Errorf("the same twice is %s and %s", r.hash, again.hash)
					}
				}
			})
		}
	}
}
