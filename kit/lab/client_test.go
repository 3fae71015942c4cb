package lab

import (
	"context"
	"slices"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/wire"
)

// cornerShop is a fake cluster that remembers how long clients wait, how long they sleep, and how its links are.
type cornerShop struct {
	*fakeWorld
	waits []time.Duration
	slept []time.Duration
	links []string
}

func (s *cornerShop) Call(ctx context.Context, client string, n kit.NodeName, req door.Request) door.Outcome {
	if p, ok := ctx.(interface{ Patience() time.Duration }); ok {
		s.waits = append(s.waits, p.Patience())
	}
	return s.fakeWorld.Call(ctx, client, n, req)
}

func (s *cornerShop) Sleep(ctx context.Context, d time.Duration) error {
	s.slept = append(s.slept, d)
	return s.fakeWorld.Sleep(ctx, d)
}

func (s *cornerShop) Link(from, to kit.NodeName, rule wire.Rule) error {
	s.links = append(s.links, string(from)+string(to)+" "+rule.Delay.String())
	return nil
}

func newCornerShop() (*cornerShop, *World) {
	s := &cornerShop{fakeWorld: &fakeWorld{nodes: []kit.NodeName{"a", "b", "c"}, step: 1}}
	return s, Record(s)
}

// draws is what a client does by chance: how long it pauses, which nodes it goes to.
func draws(t *testing.T, c *Client) (pauses []time.Duration, nodes []kit.NodeName) {
	t.Helper()
	s, w := newCornerShop()
	for range 200 {
		if err := c.Pause(context.Background(), w, 5*time.Millisecond, 60*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, c.AnyNode(w))
	}
	return s.slept, nodes
}

// TestClientDraws wants a client to do the same whenever its seed and stream are the same, something else with another of
// either, and pauses within their bounds.
func TestClientDraws(t *testing.T) {
	pauses, nodes := draws(t, NewClient("ada", 7, 100))
	again, nodesAgain := draws(t, NewClient("bo", 7, 100))
	if !slices.Equal(pauses, again) || !slices.Equal(nodes, nodesAgain) {
		t.Error("with the same seed and stream a client did something else")
	}
	for _, c := range []*Client{NewClient("ada", 8, 100), NewClient("ada", 7, 101)} {
		if other, _ := draws(t, c); slices.Equal(pauses, other) {
			t.Error("two streams are the same")
		}
	}
	if least, most := slices.Min(pauses), slices.Max(pauses); least != 5*time.Millisecond || most != 59*time.Millisecond {
		t.Errorf("pauses of %v to %v, want 5ms to 59ms", least, most)
	}
	for _, n := range []kit.NodeName{"a", "b", "c"} {
		if !slices.Contains(nodes, n) {
			t.Errorf("nobody went to %s", n)
		}
	}
	s, w := newCornerShop()
	if err := NewClient("ada", 7, 100).Pause(context.Background(), w, time.Second, time.Second); err != nil || s.slept[0] != time.Second {
		t.Errorf("a pause of just a second was %v (%v)", s.slept, err)
	}
}

// TestClientAsks wants requests to be on record under the client's name, and given up no sooner than its patience ends.
func TestClientAsks(t *testing.T) {
	s, w := newCornerShop()
	c := NewClient(ClientName(9), 1, 1)
	if out := c.Ask(context.Background(), w, "b", "incr"); out.Status != door.OK {
		t.Fatal(out)
	}
	Ask(context.Background(), w, "grader", "c", "total")
	ops := w.History().Ops
	if len(ops) != 2 || ops[0].Client != "bo" || ops[0].Node != "b" || ops[1].Client != "grader" || ops[1].Node != "c" {
		t.Errorf("on record: %+v", ops)
	}
	if !slices.Equal(s.waits, []time.Duration{ClientPatience, ClientPatience}) {
		t.Errorf("they waited %v", s.waits)
	}
	if a, b := c.NextName(), c.NextName(); a != "bo-1" || b != "bo-2" || c.Made != 2 {
		t.Errorf("requests %s and %s, %d in all", a, b, c.Made)
	}
}

// TestSlowLinks wants every link to be slow in both directions, and nothing of it on record: it is no fault.
func TestSlowLinks(t *testing.T) {
	s, w := newCornerShop()
	if err := SlowLinks(w, wire.Rule{Delay: 3 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	want := []string{"ab 3ms", "ac 3ms", "ba 3ms", "bc 3ms", "ca 3ms", "cb 3ms"}
	if !slices.Equal(s.links, want) {
		t.Errorf("links %v, want %v", s.links, want)
	}
	if f := w.History().Faults; len(f) != 0 {
		t.Errorf("on record: %v", f)
	}
}
