package grade

import (
	"bytes"
	"strings"
	"testing"

	"netsplit/kit/history"
)

// shortened is a result whose failure is explained with a shorter run.
func shortened() *Result {
	r := sample()
	for i := range r.Tasks {
		if r.Tasks[i].Verdict == Fail {
			r.Tasks[i].Shrunk = &Shrunk{From: Size{Ops: 120, Faults: 6, Clients: 5, Nodes: 3}, To: Size{Ops: 3, Faults: 1, Clients: 2, Nodes: 3}, Runs: 47, Cut: "time",
				Hash: "00ff", Kept: Kept{Requests: []KeptNumbers{{"ada", "3"}, {"bo", "1-2"}}, Faults: []KeptNumbers{{"link a b", "1-2"}}, Without: []string{"c"}}}
		}
	}
	return r
}

// unshortened is a result whose failure was not made shorter in time.
func unshortened() *Result {
	r := shortened()
	for i := range r.Tasks {
		if r.Tasks[i].Shrunk != nil {
			r.Tasks[i].Shrunk, r.Tasks[i].Unshrunk, r.Tasks[i].Scenario = nil, &Unshrunk{Runs: 7, Cut: CutTime}, "together"
		}
	}
	return r
}

func TestUnshrunkStory(t *testing.T) {
	for u, want := range map[Unshrunk]string{
		{Runs: 160, Cut: CutRuns}: "the run that failed; none of 160 shorter ones fails the same way, and the search was then out of runs",
		{Runs: 1, Cut: CutTime}:   "the run that failed; the one shorter one that was tried does not fail the same way, and the search was then out of time",
		{Runs: 9, Cut: CutAsked}:  "the run that failed; none of 9 shorter ones fails the same way, and the search was then interrupted",
		{Cut: CutAsked}:           "the run that failed; the search for a shorter one was interrupted",
		{Cut: CutTime}:            "the run that failed; no time was left to look for a shorter one",
	} {
		if got := u.Story(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var text bytes.Buffer
	if err := Text(&text, unshortened()); err != nil || !strings.Contains(text.String(), "  shown     the run that failed; none of 7") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func TestShrunkStory(t *testing.T) {
	for _, c := range []struct {
		s    Shrunk
		want string
	}{
		{Shrunk{From: Size{Ops: 120, Faults: 6, Nodes: 3}, To: Size{Ops: 3, Faults: 1, Nodes: 3}, Runs: 47},
			"the shortest run found that fails the same way: 3 requests of 120, 1 fault of 6 (47 tried)"},
		{Shrunk{From: Size{Ops: 120, Nodes: 3}, To: Size{Ops: 1, Nodes: 1}, Runs: 9},
			"the shortest run found that fails the same way: 1 request of 120, 1 node of 3 (9 tried)"},
		{Shrunk{From: Size{Ops: 12, Faults: 1, Nodes: 3}, To: Size{Ops: 11, Nodes: 3}, Runs: 9, Cut: "time"},
			"the shortest run found that fails the same way: 11 requests of 12, 0 faults of 1 (9 tried; out of time, so there may be a shorter one)"},
	} {
		if got := c.s.Story(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	var text bytes.Buffer
	if err := Text(&text, shortened()); err != nil || !strings.Contains(text.String(), "  shown     the shortest run found") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

// TestBothWaysAreToldOnce: the two directions of a cut, given at one moment, are one line; lanes of nodes are in order.
func TestBothWaysAreToldOnce(t *testing.T) {
	h, err := history.Parse("1 cut c a silent\n1 cut a c silent\n2 cut c b silent\n3 cut b c silent\n4 slow a b 5ms\n4 slow b a 7ms\n5-6 ada c read => 1\n5 kill b")
	if err != nil {
		t.Fatal(err)
	}
	var task Task
	task.Explain(Failed("wrong", "1", "2", 1), h)
	want := []string{"cut c ↔ a (silent)", "cut c → b (silent)", "cut b → c (silent)", "slow a → b (5ms)", "slow b → a (7ms)", "read() → 1", "kill b"}
	var got []string
	for i, l := range task.Excerpt {
		if got = append(got, l); i >= len(want) || !strings.HasSuffix(l, want[i]) {
			t.Fatalf("told is\n%s", strings.Join(task.Excerpt, "\n"))
		}
	}
	if len(got) != len(want) {
		t.Errorf("told is\n%s", strings.Join(got, "\n"))
	}
	if head, _, _ := strings.Cut(task.Diagram, "\n"); strings.Join(strings.Fields(head), " ") != "ada node a node b node c" {
		t.Errorf("lanes %q", head)
	}
}
