package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/sim"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// golden compares text with a file of testdata; with UPDATE=1 in the environment it writes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%v; %s is now:\n%s", err, path, got)
	}
}

// Every kind of entry is told in a sentence, and what a program put into it does no harm.
func TestLogText(t *testing.T) {
	r := RunLog{Lab: "counter", Scenario: "main", Seed: 7, Hash: "cafe", Total: 40, LeftOut: 3,
		Differences: []string{"main with seed 7 went otherwise than in the recorded run"}}
	for i, what := range happenings {
		e := sim.Event{Seq: uint64(2*i + 1), At: time.Duration(i) * 1234567, What: what, Node: "a", Peer: "b", ID: uint64(i + 1), Size: i}
		switch what {
		case sim.Stop:
			e.Note = "panicked"
		case sim.Ask:
			e.Note = "ann transaction"
		case sim.Outcome:
			e.Note = "ok"
		case sim.Rule:
			e.Note = `cut "" delay 20ms jitter 5ms loss 0.1 duplicate 0 reorder 0`
		case sim.Write:
			e.Note = "append \x1b[31mlog\r\n::error::x ##[error]\u202e" + strings.Repeat("x", 500)
		case sim.DiskRule:
			e.Note = world.DiskFault{Full: true, Slow: time.Second}.String()
		case sim.ClockRule:
			e.Note = "-2s"
		case sim.Dial, sim.Refused:
			e.Peer, e.Note = kit.NodeName("x\x1b[2J"), "down"
		}
		r.Events = append(r.Events, entryOf(e))
	}
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\r\u202e") {
		t.Error("control characters")
	}
	golden(t, "log.txt", b.String())
}

func TestStandingText(t *testing.T) {
	s := Standing{Lab: "counter", Scenario: "main", Seed: 7, Next: []LogEntry{entryOf(sim.Event{Seq: 99, At: 1300 * time.Millisecond, What: sim.Resume, Node: "b"})}}
	s.take(sim.Picture{At: 1250 * time.Millisecond, Seq: 98,
		Nodes: []sim.NodePicture{
			{NodeInfo: sim.NodeInfo{Name: "a", Running: true, Up: true, Boots: 2, CPU: 1500 * time.Microsecond, Memory: 7 << 20}, Clock: -2 * time.Second, Pace: 20,
				Timer: 1260 * time.Millisecond, Unread: 1, Requests: []sim.RequestPicture{{ID: 4, Client: "ann\x1b", Verb: "add", Asked: time.Second, There: true}, {ID: 5, Client: "ben", Verb: "get", Asked: time.Second}},
				Disk: sim.DiskPicture{Rule: sim.DiskFault{Full: true}, Bytes: 12, Unsynced: 2, Syncs: 1,
					Files: []sim.FilePicture{{Name: "log", Size: 12, Durable: 5}, {Name: "new", Size: 3, Durable: -1}, {Name: "old", Size: -1, Durable: 9}, {Name: "same", Size: 4, Durable: 4}}}},
			{NodeInfo: sim.NodeInfo{Name: "b", Running: true, Up: true, Paused: true, Boots: 1}, Pace: 1, Timer: -1, Waiting: 3},
			{NodeInfo: sim.NodeInfo{Name: "c", Reason: sim.Panicked, Why: "panic: \x1b[31mboom", Boots: 1}, Pace: 1, Timer: -1},
			{NodeInfo: sim.NodeInfo{Name: "d", Running: true, Boots: 1}, Pace: 1, Timer: -1},
		},
		Links: []sim.LinkPicture{
			{From: "a", To: "b", Rule: wire.Rule{Cut: wire.Silent}, Queued: 2, Bytes: 40, Frames: []uint64{8, 9}},
			{From: "b", To: "a", Rule: wire.Rule{Delay: time.Second, Loss: 0.25}, Flight: 1, Bytes: 1, Frames: []uint64{7}, Packets: 1},
		}})
	s.Nodes[0].View = &NodeView{Micros: 1251000, Store: "yes", Links: []string{"b", "d"}, Tables: []TableView{{Name: "t", Type: "set", Storage: "ram_copies", Size: 1, Rows: []string{`{t,"ann",1}`}}},
		Locks: []string{"{{t,1},write,x}"}, Processes: []string{"<a.1> keeper"}, Trouble: "processes: lost"}
	var b strings.Builder
	if err := s.Text(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "standing.txt", b.String())
	empty := Standing{Lab: "counter", Scenario: "main"}
	b.Reset()
	if err := empty.Text(&b); err != nil || !strings.Contains(b.String(), "nothing: the run is over") {
		t.Errorf("%v %s", err, b.String())
	}
}

func TestMoments(t *testing.T) {
	for text, want := range map[string]Moment{"1.5s": {At: 1500 * time.Millisecond}, "#12": {Event: 12}, "345": {Event: 345}, "0": {}, "250us": {At: 250 * time.Microsecond}} {
		if got, err := ParseMoment(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "#", "#0", "-1s", "25h", "#1s", "1e9", "soon", "99999999999999999999999"} {
		if m, err := ParseMoment(text); kit.KindOf(err) != kit.Invalid {
			t.Errorf("%q: %+v, %v", text, m, err)
		}
	}
}

// A case that is stopped at any moment goes the same way until then, and looking at it twice gives the same.
func TestStandInTheSimulator(t *testing.T) {
	g, l := system(t), greeter(t, "")
	sub, err := l.Unsolved()
	if err != nil {
		t.Fatal(err)
	}
	old, err := g.Grade(t.Context(), l, sub, Options{Seed: 5, Seeds: 1})
	if err != nil {
		t.Fatal(err)
	}
	log, err := g.Log(t.Context(), l, old, LogOptions{})
	if err != nil || len(log.Differences) > 0 || len(log.Events) < 10 || log.Hash != old.Runs[0].Hash {
		t.Fatalf("%v %+v", err, log)
	}
	for _, at := range []Moment{{Event: log.Events[len(log.Events)/2].Seq}, {At: time.Duration(log.Events[len(log.Events)-5].Micros * 1000)}} {
		first, err := g.Stand(t.Context(), l, old, Which{}, at)
		if err != nil || len(first.Differences) > 0 || len(first.Nodes) != 2 || len(first.Next) == 0 {
			t.Fatalf("%v: %v %+v", at, err, first)
		}
		if at.Event > 0 && (first.Event < at.Event || first.Next[0].Seq <= first.Event) {
			t.Errorf("%v: stopped after %d, then comes %d", at, first.Event, first.Next[0].Seq)
		}
		if n := first.Nodes[0]; n.State != "up" || n.View == nil || n.View.Trouble != "" || n.View.Store != "no" {
			t.Errorf("%v: node a %+v", at, n)
		}
		second, err := g.Stand(t.Context(), l, old, Which{}, at)
		if err != nil || !slices.Equal(second.Next, first.Next) || second.Event != first.Event || second.Nodes[0].View.Micros != first.Nodes[0].View.Micros {
			t.Errorf("%v: another time: %v %+v", at, err, second)
		}
	}
	changed := *old
	changed.Runs = slices.Clone(old.Runs)
	changed.Runs[0].Hash = "0000"
	s, err := g.Stand(t.Context(), l, &changed, Which{}, Moment{})
	if err != nil || len(s.Differences) == 0 {
		t.Errorf("another run than the recorded one: %v %v", err, s.Differences)
	}
}
