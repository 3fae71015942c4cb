package sim

import (
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/world"
)

// A power cut loses what was not synced, whatever a kill would do; a disc that is full takes nothing more until it is mended.
func TestPowerOffAndFullDisc(t *testing.T) {
	w := start(t, toyConfig(t, 41))
	ask(w, "a", "append", "one")
	ask(w, "a", "sync")
	ask(w, "a", "append", "two")
	must(t, w.PowerOff("a"))
	if err := w.PowerOff("a"); kit.KindOf(err) != kit.Unavailable {
		t.Errorf("powered off twice: %v", err)
	}
	must(t, w.Restart("a"))
	if got := ask(w, "a", "files"); got != "one" {
		t.Errorf("the disc holds %q", got)
	}
	must(t, w.SetDisk("a", DiskFault{Full: true}))
	if got := ask(w, "a", "append", "three"); !strings.Contains(got, "the disc is full") {
		t.Error(got)
	}
	must(t, w.SetDisk("a", DiskFault{}))
	if got := ask(w, "a", "append", "three"); got != "ok" {
		t.Error(got)
	}
	if d, err := w.Damage("a"); err != nil || d.Lost != 1 || d.Refused != 1 {
		t.Errorf("%v %+v", err, d)
	}
}

// A clock jumps, stays wrong through a restart, and is set right; timers do not notice.
func TestClockJumps(t *testing.T) {
	w := start(t, toyConfig(t, 42))
	for _, c := range []struct {
		off  time.Duration
		want string
	}{{0, "2026-01-01T00:"}, {time.Hour, "2026-01-01T01:"}, {-time.Hour, "2025-12-31T23:"}} {
		must(t, w.SetClock("a", c.off))
		before := w.Now()
		if got := ask(w, "a", "now"); !strings.HasPrefix(got, c.want) || w.Now()-before > 10*time.Millisecond {
			t.Errorf("off by %v: %s after %v", c.off, got, w.Now()-before)
		}
	}
	must(t, w.Kill("a"))
	must(t, w.Restart("a"))
	if got := ask(w, "a", "now"); !strings.HasPrefix(got, "2025-12-31T23:") {
		t.Error(got)
	}
	if d, err := w.Damage("a"); err != nil || d.ClockReads == 0 {
		t.Errorf("%v %+v", err, d)
	}
	if err := w.SetClock("a", 2*world.MaxClock); kit.KindOf(err) != kit.Invalid {
		t.Error(err)
	}
}

// A node that computes more slowly answers later by as much, and is no spinner for it.
func TestPace(t *testing.T) {
	cfg := toyConfig(t, 43)
	cfg.Budget = 50 * time.Millisecond
	w := start(t, cfg)
	took := func() time.Duration {
		before := w.Now()
		ask(w, "a", "got")
		return w.Now() - before
	}
	quick := took()
	must(t, w.SetPace("a", world.MaxPace))
	slowly := took()
	must(t, w.SetPace("a", 1))
	pass(t, w, time.Second)
	if again := took(); slowly < 5*quick || again > slowly/2 {
		t.Errorf("%v, slowed %v, then %v", quick, slowly, again)
	}
	if n, err := w.Node("a"); err != nil || !n.Up {
		t.Errorf("%v %+v", err, n)
	}
	for _, times := range []int{0, -1, world.MaxPace + 1} {
		if err := w.SetPace("a", times); kit.KindOf(err) != kit.Invalid {
			t.Errorf("%d: %v", times, err)
		}
	}
}
