package sim

import (
	"context"
	"testing"
	"time"

	"netsplit/kit"
)

// done counts what a node did since a time that others can notice.
func done(w *World, node kit.NodeName, since time.Duration) int {
	n := 0
	for _, e := range w.Events() {
		if e.Node == node && e.At >= since && (e.What == Send || e.What == Write || e.What == Answer) {
			n++
		}
	}
	return n
}

// A node that is to be killed after its k-th step has done k steps when it is dead, for every k; what it sent before arrives.
func TestKillAfter(t *testing.T) {
	for steps := 1; steps <= 6; steps++ {
		w := start(t, toyConfig(t, 12))
		pass(t, w, 300*time.Millisecond)
		from := w.Now()
		trail, err := w.KillAfter(context.Background(), "a", steps, time.Minute)
		must(t, err)
		if len(trail) != steps {
			t.Errorf("after %d steps it did %q", steps, trail)
		}
		n, err := w.Node("a")
		must(t, err)
		if n.Running || n.Reason != Killed {
			t.Fatalf("after %d steps a is %+v", steps, n)
		}
		if got := done(w, "a", from); got != steps {
			t.Errorf("a has done %d steps, want %d", got, steps)
		}
		sent := tally(w, Send, "a", "b", 0)
		pass(t, w, 50*time.Millisecond)
		if got := tally(w, Receive, "b", "a", 0); got != sent {
			t.Errorf("after %d steps b got %d frames of %d", steps, got, sent)
		}
		must(t, w.Restart("a"))
	}
}

// An order that is not reached in time, or whose node stops otherwise, has done nothing and says so.
func TestKillAfterInVain(t *testing.T) {
	w := start(t, toyConfig(t, 13))
	if _, err := w.KillAfter(context.Background(), "a", 1_000_000, time.Second); kit.KindOf(err) != kit.Unavailable {
		t.Errorf("not reached: %v", err)
	}
	if n, err := w.Node("a"); err != nil || !n.Running {
		t.Errorf("a is %+v, %v", n, err)
	}
	if _, err := w.KillAfter(context.Background(), "a", 0, time.Second); kit.KindOf(err) != kit.Invalid {
		t.Errorf("no step: %v", err)
	}
	var err error
	w.Go(func(ctx context.Context) { _, err = w.KillAfter(ctx, "a", 1_000_000, time.Hour) })
	pass(t, w, time.Second)
	must(t, w.Kill("a"))
	w.Wait()
	if kit.KindOf(err) != kit.Unavailable || w.Now() > time.Minute {
		t.Errorf("at %v: %v", w.Now(), err)
	}
	if _, err := w.KillAfter(context.Background(), "a", 1, time.Second); kit.KindOf(err) != kit.Unavailable {
		t.Errorf("it does not run: %v", err)
	}
	must(t, w.Restart("a"))
	pass(t, w, time.Second)
}
