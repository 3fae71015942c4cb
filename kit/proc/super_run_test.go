package proc

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// child gives a spec of a function of the tests.
func child(id, fn string, args ...term.Term) ChildSpec {
	return ChildSpec{ID: term.Atom(id), Function: fn, Args: args}
}

// holder is a child that answers nothing, ends with what it is sent, and with stubborn traps exit signals.
func holder(p *Process, args []term.Term) (term.Term, error) {
	stubborn := len(args) > 0 && args[0] == term.Atom("stubborn")
	p.TrapExit(true)
	for {
		msg, _ := p.Receive(Forever, nil)
		if _, reason, ok := exitMessage(msg); ok && !stubborn {
			p.Printf("told %s", term.String(reason))
			return nil, Exit(reason)
		} else if !ok {
			return nil, Exit(msg)
		}
	}
}

// children shows what a supervisor's children are.
func children(t *testing.T, s Supervisor) string {
	t.Helper()
	list, err := s.WhichChildren(t.Context())
	if err != nil {
		t.Error(err)
	}
	var parts []string
	for _, c := range list {
		parts = append(parts, fmt.Sprintf("%s %s", term.String(c.ID), c.State))
	}
	return strings.Join(parts, ", ")
}

func pidOf(t *testing.T, s Supervisor, id string) term.Pid {
	t.Helper()
	list, err := s.WhichChildren(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, c := range list {
		if c.ID == term.Atom(id) {
			return c.Pid
		}
	}
	t.Errorf("no child %s", id)
	return term.Pid{}
}

var holders = Config{Funcs: map[string]Func{"holder": holder, "waits": ours["waits"], "deaf": ours["deaf"]}}

// A supervisor as its children and those who ask it see it: restarts, answers, its end.
func TestSupervisor(t *testing.T) {
	cluster(t, 2, holders, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		p := attend(t, nodes[0])
		p.TrapExit(true)
		pid, err := p.StartSupervisor(SupervisorOptions{Strategy: OneForAll, MaxRestarts: 2,
			Children: []ChildSpec{child("x", "holder"), child("y", "holder"), child("z", "counter")}})
		if err != nil {
			t.Fatal(err)
		}
		s, far := nodes[0].Supervisor(pid), nodes[1].Supervisor(pid)
		was := pidOf(t, s, "x")
		if err := p.Send(pidOf(t, far, "y"), term.Atom("boom")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if got := children(t, far); got != "z running, y running, x running" || pidOf(t, s, "x") == was || nodes[0].Alive(was) {
			t.Error(got)
		}
		late, err := far.StartChild(t.Context(), child("late", "holder"))
		if err != nil || late.Node != "a" {
			t.Error(late, err)
		}
		if err := p.Register("super"); err != nil {
			t.Error(err)
		}
		var e *Exception
		if _, err := s.StartChild(t.Context(), child("late", "holder")); !errors.As(err, &e) || term.String(e.Reason) != "{already_started,"+term.String(late)+"}" {
			t.Error(err)
		}
		if _, err := s.StartChild(t.Context(), child("no", "nosuch")); !errors.As(err, &e) || e.Reason != Undef {
			t.Error(err)
		}
		if counts, err := s.CountChildren(t.Context()); err != nil || counts != (Counts{4, 4, 0, 4}) {
			t.Error(counts, err)
		}
		p.SendExit(pid, term.Atom("shutdown")) // from its parent
		want(t, p, fmt.Sprintf("{'EXIT',%s,shutdown}", term.String(pid)))
		if n := nodes[0].Count(); n != 1 {
			t.Errorf("%d processes are left", n)
		}
		if _, err := s.WhichChildren(t.Context()); !errors.As(err, &e) || e.Reason != NoProc {
			t.Error(err)
		}
	})
}

// A supervisor under a supervisor; the inner one gives up and is started again with fresh counts, the outer one gives up
// in turn.
func TestSupervisionTree(t *testing.T) {
	cluster(t, 1, holders, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		inner := SupervisorOptions{Children: []ChildSpec{child("leaf", "holder")}}
		outer, err := nodes[0].StartSupervisor(t.Context(), SupervisorOptions{Children: []ChildSpec{
			{ID: term.Atom("inner"), Function: "supervisor", Args: []term.Term{inner.Term()}, Type: SupervisorKid}}})
		if err != nil {
			t.Fatal(err)
		}
		p := attend(t, nodes[0])
		top := nodes[0].Supervisor(outer)
		first := pidOf(t, top, "inner")
		p.Monitor(outer)
		for i := range 4 {
			mid := pidOf(t, top, "inner")
			if (mid == first) != (i < 2) {
				t.Errorf("after %d ends the inner supervisor is %v", i, mid)
			}
			leaf := pidOf(t, nodes[0].Supervisor(mid), "leaf")
			if err := p.Send(leaf, term.Atom("boom")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if msg, _ := p.Receive(time.Second, nil); !strings.HasSuffix(term.String(msg), ",shutdown}") {
			t.Error(term.String(msg))
		}
		if n := nodes[0].Count(); n != 1 {
			t.Errorf("%d processes are left", n)
		}
	})
}

// Children are told to stop, and killed when they do not; requests wait meanwhile. Exit signals of others change nothing.
func TestSupervisorStops(t *testing.T) {
	cluster(t, 1, holders, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		deaf := child("deaf", "holder", term.Atom("stubborn"))
		deaf.Shutdown = 2 * time.Second
		brutal := child("brutal", "holder")
		brutal.Shutdown = BrutalKill
		pid, err := nodes[0].StartSupervisor(t.Context(), SupervisorOptions{Children: []ChildSpec{deaf, brutal, child("kind", "holder")}})
		if err != nil {
			t.Fatal(err)
		}
		s := nodes[0].Supervisor(pid)
		p := attend(t, nodes[0])
		p.SendExit(pid, term.Atom("shutdown"))
		began := time.Now()
		if got := children(t, s); got != "kind running, brutal running, deaf running" || time.Since(began) != 0 {
			t.Error(got)
		}
		go func() { _ = s.TerminateChild(t.Context(), term.Atom("deaf")) }()
		time.Sleep(time.Second)
		if got := children(t, s); got != "kind running, brutal running, deaf undefined" || time.Since(began) != 2*time.Second {
			t.Error(got, time.Since(began))
		}
		p.Monitor(pid)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if msg, _ := p.Receive(time.Second, nil); !strings.HasSuffix(term.String(msg), ",normal}") || nodes[0].Count() != 1 {
			t.Error(term.String(msg))
		}
		var told []string
		lines, _ := nodes[0].Output(t.Context(), 0, time.Second)
		for _, l := range lines {
			told = append(told, l.Text)
		}
		if strings.Join(told, ", ") != "told shutdown" {
			t.Error(told)
		}
	})
}

// What cannot be started is said with OTP's reasons, and nothing is left.
func TestSupervisorBadInput(t *testing.T) {
	cluster(t, 1, Config{Funcs: holders.Funcs, MaxProcesses: 20}, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		start := func(o SupervisorOptions) string {
			_, err := nodes[0].StartSupervisor(t.Context(), o)
			var e *Exception
			if !errors.As(err, &e) {
				return fmt.Sprint(err)
			}
			return term.String(e.Reason)
		}
		many := make([]ChildSpec, 30)
		for i := range many {
			many[i] = child(fmt.Sprintf("c%d", i), "holder")
		}
		for _, c := range []struct {
			o    SupervisorOptions
			want string
		}{
			{SupervisorOptions{Strategy: "x"}, "{supervisor_data,{invalid_strategy,x}}"},
			{SupervisorOptions{Children: []ChildSpec{child("a", "waits"), child("a", "waits")}}, "{start_spec,{duplicate_child_name,a}}"},
			{SupervisorOptions{Children: []ChildSpec{child("a", "$global_register")}}, "{start_spec,{invalid_function,'$global_register'}}"},
			{SupervisorOptions{Children: []ChildSpec{child("a", "waits"), child("b", "nosuch")}}, "{shutdown,{failed_to_start_child,b,undef}}"},
			{SupervisorOptions{Children: many}, "{shutdown,{failed_to_start_child,c18,system_limit}}"},
			{SupervisorOptions{Children: []ChildSpec{child("a", "waits", term.Bin(strings.Repeat("x", MaxSpec)))}}, "{start_spec,{invalid_child_spec,too_long}}"},
			{SupervisorOptions{Children: make([]ChildSpec, MaxChildren+1)}, "{start_spec,invalid_children}"},
		} {
			if got := start(c.o); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		}
		if n := nodes[0].Count(); n != 0 {
			t.Errorf("%d processes are left", n)
		}
		pid, err := nodes[0].StartSupervisor(t.Context(), SupervisorOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s := nodes[0].Supervisor(pid)
		if _, err := s.StartChild(t.Context(), ChildSpec{Function: "waits"}); kit.KindOf(err) != kit.Invalid {
			t.Error(err)
		}
		p := attend(t, nodes[0])
		for _, junk := range []term.Term{term.Atom("x"), term.T(superviseAtom, term.Atom("x"), term.Atom("y")), term.T(superviseAtom, term.T(), term.Atom("y")),
			term.T(again, term.Atom("x")), term.T(term.Atom("EXIT"), p.Self(), term.Atom("x"))} {
			if err := p.Send(pid, junk); err != nil {
				t.Error(err)
			}
		}
		if _, err := s.Ask(t.Context(), term.T(term.Atom("start_child"), term.Int(1), term.Int(2))); err != nil {
			t.Error(err)
		}
		if got := children(t, s); got != "" {
			t.Error(got)
		}
	})
}
