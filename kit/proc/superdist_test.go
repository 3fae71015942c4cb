package proc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// places shows where the children of a supervisor live, as the node that is asked knows it.
func places(t *testing.T, r *Runtime) string {
	t.Helper()
	list, err := r.Supervisor(term.Atom("workers")).WhichChildren(t.Context())
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, c := range list {
		parts = append(parts, fmt.Sprintf("%s@%s", term.String(c.ID), c.Pid.Node))
	}
	return strings.Join(parts, " ")
}

// living shows where they really live.
func living(nodes []*Runtime) string {
	var parts []string
	for _, r := range nodes {
		for _, i := range r.Processes(0, 1000) {
			if i.Function == "holder" {
				parts = append(parts, string(r.cfg.Self))
			}
		}
	}
	return strings.Join(parts, "")
}

func distributed(t *testing.T, nodes []*Runtime, quorum bool, children int) Supervisor {
	t.Helper()
	opts := DistOptions{Name: "workers", Members: []kit.NodeName{"a", "b", "c"}, Quorum: quorum}
	pid, err := nodes[0].StartDistSupervisor(t.Context(), opts)
	if err != nil || pid.Node != "a" {
		t.Fatal(pid, err)
	}
	again, err := nodes[0].StartDistSupervisor(t.Context(), opts)
	if err != nil || again != pid {
		t.Error(again, err)
	}
	s := nodes[1].Supervisor(term.Atom("workers"))
	for i := range children {
		if _, err := s.StartChild(t.Context(), child(fmt.Sprintf("x%d", i+1), "holder")); err != nil {
			t.Error(err)
		}
	}
	return s
}

// Children are spread; those of a node that is gone live on elsewhere; the node comes back into use.
func TestDistSupervisorNodes(t *testing.T) {
	cluster(t, 3, holders, func(t *testing.T, m *mesh, nodes []*Runtime) {
		s := distributed(t, nodes, false, 4)
		if got := places(t, nodes[2]); got != "x1@a x2@b x3@c x4@a" || living(nodes) != "aabc" {
			t.Error(got, living(nodes))
		}
		m.setCut("a", "c", true)
		m.setCut("b", "c", true)
		time.Sleep(10 * time.Millisecond)
		if got := places(t, nodes[0]); got != "x1@a x2@b x3@b x4@a" {
			t.Error(got)
		}
		if got := places(t, nodes[2]); got != "x1@c x2@c x3@c x4@c" {
			t.Error(got)
		}
		if list, err := s.Members(t.Context()); err != nil || !slices.Equal(list, []Member{{"a", "up", 2}, {"b", "up", 2}, {"c", "down", 0}}) {
			t.Error(list, err)
		}
		m.setCut("a", "c", false)
		m.setCut("b", "c", false)
		time.Sleep(3 * time.Second)
		if got := places(t, nodes[2]); got != "x1@a x2@b x3@c x4@a" || living(nodes) != "aabc" {
			t.Error(got, living(nodes))
		}
		part, _ := nodes[1].Whereis("workers") // its part fails: its children move, and a new part begins
		p := attend(t, nodes[0])
		p.SendExit(part, Kill)
		time.Sleep(3 * time.Second)
		list, err := s.Members(t.Context())
		if err != nil || len(list) != 3 || list[1].State != "up" {
			t.Error(list, err)
		}
		if got := places(t, nodes[1]); strings.Contains(got, "x2@b") || strings.Count(got, "@") != 4 {
			t.Error(got)
		}
		if n, err := s.Rebalance(t.Context()); err != nil || n != 1 {
			t.Error(n, err)
		}
		time.Sleep(time.Second)
		if got := living(nodes); len(got) < 4 || !strings.Contains(got, "b") {
			t.Error(got)
		}
		if err := s.TerminateChild(t.Context(), term.Atom("x3")); err != nil {
			t.Error(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		for _, r := range nodes {
			if _, ok := r.Whereis("workers"); ok {
				t.Errorf("%s has its part still", r.cfg.Self)
			}
		}
	})
}

// With quorum no child lives twice, and a part without the majority has none.
func TestDistSupervisorQuorum(t *testing.T) {
	cluster(t, 3, holders, func(t *testing.T, m *mesh, nodes []*Runtime) {
		distributed(t, nodes, true, 3)
		m.setCut("a", "c", true)
		m.setCut("a", "b", true)
		for range 500 {
			time.Sleep(10 * time.Millisecond)
			if got := living(nodes); len(got) > 3 {
				t.Fatal(got)
			}
		}
		if got := living(nodes); got != "bbc" {
			t.Error(got)
		}
		var e *Exception
		s := nodes[0].Supervisor(term.Atom("workers"))
		if _, err := s.StartChild(t.Context(), child("y", "holder")); !errors.As(err, &e) || e.Reason != term.Atom("no_quorum") {
			t.Error(err)
		}
		m.setCut("a", "c", false)
		m.setCut("a", "b", false)
		time.Sleep(2 * time.Second)
		if pid, err := s.StartChild(t.Context(), child("y", "holder")); err != nil || pid.Node != "a" {
			t.Error(pid, err)
		}
	})
}

// What is no member's, or no message of a member, changes nothing.
func TestDistSupervisorBadInput(t *testing.T) {
	cluster(t, 2, holders, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		for _, c := range []struct {
			o    DistOptions
			want string
		}{
			{DistOptions{Members: []kit.NodeName{"a"}}, "{supervisor_data,{invalid_name,''}}"},
			{DistOptions{Name: "w"}, "{supervisor_data,{invalid_members,[]}}"},
			{DistOptions{Name: "w", Members: []kit.NodeName{"b"}}, "{supervisor_data,{invalid_members,[b]}}"},
			{DistOptions{Name: "w", Members: []kit.NodeName{"a", ""}}, "{supervisor_data,{invalid_members,['',a]}}"},
			{DistOptions{Name: "w", Members: []kit.NodeName{"a"}, MaxRestarts: MaxRestarts + 1}, "{supervisor_data,{invalid_intensity,1001}}"},
		} {
			_, err := nodes[0].StartDistSupervisor(t.Context(), c.o)
			var e *Exception
			if !errors.As(err, &e) || term.String(e.Reason) != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
		}
		p := attend(t, nodes[0])
		if err := p.Register("taken"); err != nil {
			t.Fatal(err)
		}
		var e *Exception
		if _, err := nodes[0].StartDistSupervisor(t.Context(), DistOptions{Name: "taken", Members: []kit.NodeName{"a"}}); !errors.As(err, &e) {
			t.Error(err)
		}
		pid, err := nodes[0].StartDistSupervisor(t.Context(), DistOptions{Name: "workers", Members: []kit.NodeName{"a", "b"}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		q := attend(t, nodes[1])
		part, _ := nodes[1].Whereis("workers")
		for _, from := range []term.Pid{part, q.Self(), p.Self(), {}} {
			for _, kind := range []string{"join", "hello", "synced", "have", "gone", "claim", "vote", "ask", "answer", "orphan", "drop", "twice", "ping", "pong", "x"} {
				for n := range 4 {
					msg := append(term.Tuple{distAtom, from, term.Atom(kind)}, make(term.Tuple, n)...)
					for i := range n {
						msg[3+i] = []term.Term{term.Int(-1), term.T(), term.L(term.Int(1))}[i]
					}
					if err := q.Send(pid, msg); err != nil {
						t.Error(err)
					}
				}
			}
		}
		s := nodes[0].Supervisor(term.Atom("workers"))
		big := child("big", "holder", term.Bin(strings.Repeat("x", MaxDistSpec)))
		if _, err := s.StartChild(t.Context(), big); !errors.As(err, &e) || term.String(e.Reason) != "{invalid_child_spec,too_long}" {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		if _, err := s.StartChild(t.Context(), child("x", "holder")); err != nil {
			t.Error(err)
		}
		if now, _ := nodes[0].Whereis("workers"); now != pid {
			t.Error("the part ended")
		}
	})
}
