package sim

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/simlink"
	"netsplit/kit/wire"
)

// tally counts the events of one kind between two nodes since a time.
func tally(w *World, what Happening, from, to kit.NodeName, since time.Duration) int {
	n := 0
	for _, e := range w.Events() {
		if e.What == what && e.Node == from && e.Peer == to && e.At >= since {
			n++
		}
	}
	return n
}

func pass(t *testing.T, w *World, d time.Duration) {
	t.Helper()
	if err := w.Sleep(context.Background(), d); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A silent cut of one direction holds what is sent that way, lets the other way through, and gives all of it
// after the heal, in order and once.
func TestSilentCut(t *testing.T) {
	w := start(t, toyConfig(t, 11))
	pass(t, w, 500*time.Millisecond)
	must(t, w.Link("a", "b", wire.Rule{Cut: wire.Silent}))
	cut := w.Now()
	pass(t, w, 500*time.Millisecond)
	if n := tally(w, Receive, "b", "a", cut); n != 0 {
		t.Errorf("%d frames crossed the cut", n)
	}
	if n := tally(w, Receive, "a", "b", cut); n == 0 {
		t.Error("the other direction is cut too")
	}
	held := w.Counts("a")[0]
	if held.Peer != "b" || held.Held == 0 || held.Dropped != 0 {
		t.Errorf("receipt %+v", held)
	}
	must(t, w.Link("a", "b", wire.Rule{}))
	pass(t, w, 50*time.Millisecond)
	must(t, w.Link("a", "b", wire.Rule{Cut: wire.Loud})) // so that nothing more is on its way
	pass(t, w, 50*time.Millisecond)

	var sent, got []uint64
	for _, e := range w.Events() {
		if e.What == Send && e.Node == "a" && e.Peer == "b" && e.At >= cut {
			sent = append(sent, e.ID)
		}
		if e.What == Receive && e.Node == "b" && e.Peer == "a" && e.At > cut {
			got = append(got, e.ID)
		}
	}
	if len(sent) < int(held.Held) || len(got) < int(held.Held) {
		t.Errorf("held %d of %d, %d came", held.Held, len(sent), len(got))
	}
	for i := 1; i < len(got); i++ {
		if got[i] == got[i-1] {
			t.Errorf("frame %d came twice", got[i])
		}
	}
}

// A dial waits out a silent cut and is refused by a loud one; a cut of the way back counts as well.
func TestDialUnderCuts(t *testing.T) {
	for _, c := range []struct {
		from, to kit.NodeName
		cut      wire.Cut
		want     string
		least    time.Duration
	}{
		{"a", "b", wire.Whole, "dialled", 0},
		{"a", "b", wire.Silent, "unavailable", time.Second},
		{"b", "a", wire.Silent, "unavailable", time.Second},
		{"a", "b", wire.Loud, "unavailable", 0},
		{"b", "a", wire.Loud, "unavailable", 0},
	} {
		w := start(t, toyConfig(t, 5))
		must(t, w.Link(c.from, c.to, wire.Rule{Cut: c.cut}))
		before := w.Now()
		got := ask(w, "a", "dial", "b")
		took := w.Now() - before
		if got != c.want || took < c.least || took > c.least+50*time.Millisecond {
			t.Errorf("%s cut from %s to %s: %s after %v", c.cut, c.from, c.to, got, took)
		}
	}
}

// Nodes with other cookies do not talk, whoever dials, and are told so.
func TestCookies(t *testing.T) {
	cfg := toyConfig(t, 5)
	cfg.Cookies = map[kit.NodeName]string{"b": "wrong"}
	w := start(t, cfg)
	for _, pair := range [][2]string{{"a", "b"}, {"b", "a"}} {
		if got := ask(w, kit.NodeName(pair[0]), "dial", pair[1]); got != "refused" {
			t.Errorf("%s dialled %s: %s", pair[0], pair[1], got)
		}
	}
	if got := ask(w, "a", "dial", "c"); got != "dialled" {
		t.Error(got)
	}
	if got := ask(w, "a", "dial", "nobody"); got != "unavailable" {
		t.Error(got)
	}
}

// A killed node is refused at once, its requests are not answered, and its peers go on when it is back.
func TestKillAndRestart(t *testing.T) {
	w := start(t, toyConfig(t, 5))
	pass(t, w, 200*time.Millisecond)
	must(t, w.Kill("b"))
	if err := w.Kill("b"); kit.KindOf(err) != kit.Unavailable {
		t.Errorf("killed twice: %v", err)
	}
	if got := ask(w, "b", "got"); !strings.HasPrefix(got, "down") && !strings.Contains(got, "does not run") {
		t.Error(got)
	}
	if got := ask(w, "a", "dial", "b"); got != "unavailable" {
		t.Error(got)
	}
	must(t, w.Restart("b"))
	if err := w.Restart("b"); kit.KindOf(err) != kit.Exists {
		t.Errorf("restarted while it runs: %v", err)
	}
	back := w.Now()
	pass(t, w, 500*time.Millisecond)
	if tally(w, Receive, "b", "a", back) == 0 || tally(w, Receive, "a", "b", back) == 0 {
		t.Error("nothing is sent after the restart")
	}
	if n, err := w.Node("b"); err != nil || n.Boots != 2 || !n.Up {
		t.Errorf("%v %+v", err, n)
	}
}

// A paused node does nothing, and gets all that was sent to it when it goes on.
func TestPause(t *testing.T) {
	w := start(t, toyConfig(t, 5))
	pass(t, w, 200*time.Millisecond)
	must(t, w.Pause("b"))
	pass(t, w, 10*time.Millisecond)
	paused := w.Now()
	pass(t, w, 300*time.Millisecond)
	for _, e := range w.Events() {
		if e.Node == "b" && e.At > paused && (e.What == Send || e.What == Receive) {
			t.Fatalf("a paused node acted: %+v", e)
		}
	}
	must(t, w.Resume("b"))
	back := w.Now()
	pass(t, w, 10*time.Millisecond)
	if n := tally(w, Receive, "b", "a", back); n < 10 {
		t.Errorf("%d frames came after the pause", n)
	}
}

// A delay moves every frame; a lossy stream is late and complete.
func TestDelayAndLoss(t *testing.T) {
	w := start(t, toyConfig(t, 5))
	must(t, w.Link("a", "b", wire.Rule{Delay: 50 * time.Millisecond, Loss: 0.2}))
	pass(t, w, 3*time.Second)
	sent := map[uint64]time.Duration{}
	last, came := uint64(0), 0
	for _, e := range w.Events() {
		switch {
		case e.What == Send && e.Node == "a" && e.Peer == "b":
			sent[e.ID] = e.At
		case e.What == Receive && e.Node == "b" && e.Peer == "a":
			at, ok := sent[e.ID]
			if !ok {
				continue // sent on a connection that b made
			}
			came++
			if e.At-at < 50*time.Millisecond {
				t.Errorf("frame %d took %v", e.ID, e.At-at)
			}
			last = max(last, e.ID)
		}
	}
	if c := w.Counts("a"); came == 0 || len(c) != 1 || c[0].Delayed == 0 {
		t.Errorf("%d came, receipts %+v", came, c)
	}
	if err := w.Link("a", "b", wire.Rule{Loss: 2}); kit.KindOf(err) != kit.Invalid {
		t.Error(err)
	}
	if err := w.Link("a", "z", wire.Rule{}); kit.KindOf(err) != kit.NotFound {
		t.Error(err)
	}
}

// What was synced survives every crash, what was not only as the disc's rule says.
func TestDisc(t *testing.T) {
	for _, c := range []struct {
		fault DiskFault
		want  []string // what the disc may hold afterwards
	}{
		{DiskFault{}, []string{"onetwo"}},
		{DiskFault{Crash: Lose}, []string{"one"}},
		{DiskFault{Crash: Chance}, []string{"one", "onet", "onetw", "onetwo"}},
	} {
		seen := map[string]bool{}
		for seed := range uint64(6) {
			cfg := toyConfig(t, seed)
			cfg.Disk = c.fault
			cfg.Nodes = []kit.NodeName{"a"}
			w := start(t, cfg)
			ask(w, "a", "append", "one")
			if got := ask(w, "a", "sync"); got != "" {
				t.Fatalf("sync: %s", got)
			}
			ask(w, "a", "append", "two")
			must(t, w.Kill("a"))
			must(t, w.Restart("a"))
			got := ask(w, "a", "files")
			seen[got] = true
			if !strings.Contains(" "+strings.Join(c.want, " ")+" ", " "+got+" ") {
				t.Errorf("%v: the disc holds %q", c.fault, got)
			}
		}
		if c.fault.Crash == Chance && len(seen) < 2 {
			t.Errorf("chance always leaves %v", seen)
		}
	}
}

func TestFullAndSlowDisc(t *testing.T) {
	w := start(t, toyConfig(t, 1))
	must(t, w.SetDisk("a", DiskFault{Capacity: 5, Slow: time.Second}))
	if got := ask(w, "a", "append", "12345"); got != "ok" {
		t.Error(got)
	}
	if got := ask(w, "a", "append", "6"); !strings.Contains(got, "the disc is full") {
		t.Error(got)
	}
	before := w.Now()
	if got := ask(w, "a", "sync"); got != "" || w.Now()-before < time.Second {
		t.Errorf("%q after %v", got, w.Now()-before)
	}
	files, err := w.Files("a")
	if err != nil || string(files["log"]) != "12345" {
		t.Errorf("%v %q", err, files)
	}
	if err := w.SetDisk("a", DiskFault{Crash: "melt"}); kit.KindOf(err) != kit.Invalid {
		t.Error(err)
	}
}

// Clients run side by side in virtual time, one at a time, and their panics reach Wait.
func TestClients(t *testing.T) {
	w := start(t, toyConfig(t, 1))
	order := ""
	began := w.Now()
	for i := range 3 {
		w.Go(func(ctx context.Context) {
			for round := range 3 {
				_ = w.Sleep(ctx, time.Duration(i+1)*100*time.Millisecond)
				ask(w, "a", "got")
				order += strconv.Itoa(i*10+round) + " "
			}
		})
	}
	w.Wait()
	if want := "0 10 1 20 2 11 21 12 22 "; order != want {
		t.Errorf("order %q, want %q", order, want)
	}
	if took := w.Now() - began; took < 900*time.Millisecond || took > 910*time.Millisecond {
		t.Errorf("took %v", took)
	}
	w.Go(func(context.Context) { panic("client") })
	func() {
		defer func() {
			if p := recover(); p != "client" {
				t.Errorf("Wait gave %v", p)
			}
		}()
		w.Wait()
	}()
}

// A world that has used up its time ends: clients are woken, calls fail, and nobody waits for ever.
func TestWorldEnds(t *testing.T) {
	cfg := toyConfig(t, 1)
	cfg.MaxTime = 2 * time.Second
	w := start(t, cfg)
	woken := 0
	w.Go(func(ctx context.Context) {
		if w.Sleep(ctx, time.Hour) != nil && ctx.Err() != nil {
			woken++
		}
		for w.Now() < 3*time.Hour {
			ask(w, "a", "got")
			_ = w.Sleep(ctx, time.Minute)
		}
	})
	w.Go(func(context.Context) {
		if strings.HasPrefix(ask(w, "b", "hang"), "lost") {
			woken++
		}
	})
	w.Wait()
	if woken != 2 || !strings.Contains(w.Over(), "its limit of 2s") {
		t.Errorf("%d woken, over: %q", woken, w.Over())
	}
	if err := w.Restart("a"); kit.KindOf(err) != kit.Unavailable {
		t.Error(err)
	}
}

// The log is bounded; the hash covers all of it.
func TestLogIsBounded(t *testing.T) {
	cfg := toyConfig(t, 1)
	whole := start(t, cfg)
	cfg.MaxEvents = 10
	short := start(t, cfg)
	pass(t, whole, time.Second)
	pass(t, short, time.Second)
	all, last := whole.Events(), short.Events()
	if len(last) != 10 || len(all) < 100 || last[9] != all[len(all)-1] || last[0] != all[len(all)-10] {
		t.Errorf("%d of %d entries", len(last), len(all))
	}
	if whole.Hash() != short.Hash() {
		t.Error("the hash depends on what is kept")
	}
}

// Emptying a disc leaves the node's own files, its backups.
func TestWipedDisc(t *testing.T) {
	d := newDisk(DiskFault{Capacity: 100})
	for _, name := range []string{"log.1", simlink.KeptPrefix + "monday"} {
		if errno := d.take(simlink.Frame{Kind: simlink.DiskAppend, Name: name, Data: []byte("12345")}); errno != errnoOK {
			t.Fatal(errno)
		}
	}
	d.settle(len(d.pending))
	d = d.wiped()
	if len(d.durable) != 1 || string(d.durable[simlink.KeptPrefix+"monday"]) != "12345" || d.bytes != 5 || d.fault.Capacity != 100 {
		t.Errorf("%+v", d)
	}
}
