package sim

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"netsplit/kit/wire"
)

// faulty is a run with clients, cuts and a death, halted where the configuration says.
func faulty(t *testing.T, cfg Config) (*World, int) {
	t.Helper()
	w, err := New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	for _, n := range w.Nodes() {
		w.Go(func(ctx context.Context) {
			for range 5 {
				_ = w.Sleep(ctx, 100*time.Millisecond)
				ask(w, n, "append", "x")
				ask(w, n, "sync")
			}
			done++
		})
	}
	pass0 := func(d time.Duration) { _ = w.Sleep(context.Background(), d) }
	pass0(200 * time.Millisecond)
	_ = w.Link("a", "b", wire.Rule{Cut: wire.Silent})
	pass0(100 * time.Millisecond)
	_ = w.Kill("c")
	pass0(100 * time.Millisecond)
	_ = w.Pause("b")
	w.Wait()
	must(t, w.Close())
	return w, done
}

// A world that stands still has gone the same way until then, shows how all stands, answers who looks, and ends with
// every client let go.
func TestHalt(t *testing.T) {
	if slow {
		t.Skip("TestWithoutRaceDetector runs it")
	}
	whole, done := faulty(t, toyConfig(t, 21))
	if done != 3 {
		t.Fatalf("%d clients", done)
	}
	all := whole.Events()
	for _, c := range []struct {
		at    time.Duration
		event int // of all, when not 0
	}{{at: 0}, {at: time.Millisecond}, {at: 350 * time.Millisecond}, {at: 450 * time.Millisecond}, {event: 30}, {event: 700}} {
		cfg := toyConfig(t, 21)
		var p Picture
		var got string
		looks := 0
		cfg.Halt = &Halt{At: c.at, Look: func(_ context.Context, w *World) {
			looks++
			p = w.Picture()
			if again := w.Picture(); again.Seq != p.Seq || again.At != p.At {
				t.Error("a picture moves the world")
			}
			if p.Nodes[0].Up {
				got = ask(w, "a", "got")
			}
		}}
		if c.event > 0 {
			cfg.Halt.Seq = all[c.event].Seq
		}
		w, err := New(context.Background(), cfg)
		if err == nil {
			must(t, w.Close())
			w, _ = faulty(t, cfg)
		}
		if looks == 0 || w == nil && c.at > 0 {
			t.Fatalf("%+v: %d looks, %v", c, looks, err)
		}
		if w == nil {
			continue
		}
		events := w.Events()
		i := slices.IndexFunc(events, func(e Event) bool { return e.Seq > p.Seq })
		if i < 0 || len(all) < i || !slices.Equal(events[:i], all[:i]) {
			t.Errorf("%+v: another run until entry %d", c, p.Seq)
		}
		if c.at > 0 && p.At != c.at || c.event > 0 && p.Seq < cfg.Halt.Seq {
			t.Errorf("%+v: it stood still at %v, entry %d", c, p.At, p.Seq)
		}
		if p.Nodes[0].Up && got == "" {
			t.Errorf("%+v: no answer to a look", c)
		}
		if w.Over() != Halted {
			t.Errorf("%+v: over: %q", c, w.Over())
		}
	}
}

// A picture tells what is held, who is dead or paused, what is not on the disc yet, and which requests wait.
func TestPicture(t *testing.T) {
	w := start(t, toyConfig(t, 22))
	pass(t, w, 200*time.Millisecond)
	must(t, w.SetDisk("a", DiskFault{Slow: time.Second}))
	must(t, w.SetClock("a", -time.Hour))
	must(t, w.SetPace("a", 3))
	must(t, w.Link("a", "b", wire.Rule{Cut: wire.Silent}))
	must(t, w.Kill("c"))
	ask(w, "a", "append", "hello")
	w.Go(func(context.Context) { ask(w, "a", "sync") })
	w.Go(func(context.Context) { ask(w, "b", "hang") })
	pass(t, w, 300*time.Millisecond)
	must(t, w.Pause("b"))
	pass(t, w, 100*time.Millisecond)
	p := w.Picture()
	a, b, c := p.Nodes[0], p.Nodes[1], p.Nodes[2]
	if a.Clock != -time.Hour || a.Pace != 3 || a.Disk.Unsynced != 1 || a.Disk.Syncs != 1 || len(a.Disk.Files) != 1 ||
		a.Disk.Files[0] != (FilePicture{Name: "log", Size: 5, Durable: -1}) || a.Timer <= p.At {
		t.Errorf("a %+v", a)
	}
	if !b.Paused || b.Waiting == 0 || len(b.Requests) != 1 || b.Requests[0].Verb != "hang" || !b.Requests[0].There {
		t.Errorf("b %+v", b)
	}
	if c.Running || c.Reason != Killed || len(c.Requests) != 0 {
		t.Errorf("c %+v", c)
	}
	i := slices.IndexFunc(p.Links, func(l LinkPicture) bool { return l.From == "a" && l.To == "b" })
	if i < 0 || p.Links[i].Rule.Cut != wire.Silent || p.Links[i].Queued == 0 || len(p.Links[i].Frames) == 0 {
		t.Errorf("links %+v", p.Links)
	}
}

// A moment that does not come leaves the run as it is.
func TestHaltThatNeverComes(t *testing.T) {
	cfg := toyConfig(t, 21)
	cfg.Halt = &Halt{At: time.Hour, Look: func(context.Context, *World) { t.Error("a look") }}
	w, _ := faulty(t, cfg)
	if !strings.Contains(w.Over(), "closed") {
		t.Error(w.Over())
	}
}
