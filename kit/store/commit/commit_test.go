package commit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/term"
)

// TestScripts runs the scripts in testdata. Commands of a coordinator:
//
//	coordinate NODE... [sync]    begin
//	vote NODE [REASON]           yes, or no with a reason
//	down NODE, applied NODE, cancel
//
// and of a participant:
//
//	participate COORDINATOR OTHER... [waits]
//	decide commit|abort
//	lost NODE [UP...]            a node has gone; those named are up
//	crashed                      the yes is what this node finds in its log
//	found NODE...                these can be asked
//	outcome NODE STATE [UP...]   another participant's answer
//	forsake NODE [UP...]         it will never come back
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var c *Coordinator
		var p *Participant
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var args []string
			for _, a := range d.CmdArgs {
				args = append(args, a.Key)
			}
			switch d.Cmd {
			case "coordinate":
				sync := slices.Contains(args, "sync")
				args = slices.DeleteFunc(args, func(s string) bool { return s == "sync" })
				var s Step
				c, s = Coordinate(nodes(args), sync)
				return step(s)
			case "vote":
				var why term.Term
				if len(args) > 1 {
					why = term.Atom(args[1])
				}
				return step(c.Vote(kit.NodeName(args[0]), why))
			case "down":
				return step(c.Down(kit.NodeName(args[0])))
			case "applied":
				return step(c.Applied(kit.NodeName(args[0])))
			case "cancel":
				return step(c.Cancel(term.Atom("killed")))
			case "participate":
				waits := slices.Contains(args, "waits")
				args = slices.DeleteFunc(args, func(s string) bool { return s == "waits" })
				p = Participate(kit.NodeName(args[0]), nodes(args[1:]), waits)
				return "waits\n"
			case "crashed":
				p.Found()
				return "waits\n"
			case "forsake":
				return act(p.Forsake(kit.NodeName(args[0]), nodes(args[1:])))
			case "decide":
				return act(p.Decide(args[0] == "commit"))
			case "lost":
				return act(p.Down(kit.NodeName(args[0]), nodes(args[1:])))
			case "found":
				return act(p.Up(nodes(args)...))
			case "outcome":
				st := map[string]State{"preparing": Preparing, "committed": Committed, "aborted": Aborted, "forgotten": Forgotten, "presumed": Presumed}[args[1]]
				return act(p.Outcome(kit.NodeName(args[0]), st, nodes(args[2:])))
			}
			t.Fatalf("no command %q", d.Cmd)
			return ""
		})
	})
}

func nodes(ss []string) []kit.NodeName {
	var ns []kit.NodeName
	for _, s := range ss {
		ns = append(ns, kit.NodeName(s))
	}
	return ns
}

func step(s Step) string {
	var out []string
	if s.Decided {
		out = append(out, fmt.Sprintf("%s, tell %v", s.State, s.To))
	}
	if s.Done {
		out = append(out, "done")
	}
	return lines(out)
}

func act(a Act) string {
	var out []string
	if len(a.Ask) > 0 {
		out = append(out, fmt.Sprintf("ask %v", a.Ask))
	}
	if a.Ended {
		out = append(out, a.State.String())
	}
	return lines(out)
}

func lines(out []string) string {
	if len(out) == 0 {
		return "waits\n"
	}
	return strings.Join(out, "\n") + "\n"
}

// TestAgreement lets the coordinator die at random moments, together with some participants, and brings them back in
// random order. Those that are left all end in the same way, as the coordinator when it told anybody; while one that
// has said yes cannot be asked nobody contradicts what the coordinator may have told its caller.
func TestAgreement(t *testing.T) {
	for seed := range uint64(20000) {
		agreement(t, seed)
	}
}

func agreement(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	names := []kit.NodeName{"b", "c", "d"}[:1+r.IntN(3)]
	c, _ := Coordinate(names, false)
	ps := map[kit.NodeName]*Participant{}
	for _, n := range names {
		ps[n] = Participate("a", slices.DeleteFunc(slices.Clone(names), func(m kit.NodeName) bool { return m == n }), false)
	}
	var st Step
	for _, n := range names {
		var why term.Term
		switch r.IntN(8) {
		case 0:
			why = term.Atom("no")
			ps[n].Decide(false)
		case 1:
			if s := c.Down(n); s.Decided { // the link to it breaks; it has said yes
				st = s
			}
			continue
		}
		if s := c.Vote(n, why); s.Decided {
			st = s
		}
	}
	told := false
	for _, n := range st.To { // the coordinator dies while it tells them
		if r.IntN(2) == 0 {
			break
		}
		told = true
		ps[n].Decide(st.State == Committed)
	}
	resolve(r, ps, names)
	for _, n := range names {
		got := ps[n].State()
		if got == Preparing {
			t.Fatalf("seed %d: %s never ends", seed, n)
		}
		if (told || st.State == Committed) && got != st.State || got != ps[names[0]].State() {
			t.Fatalf("seed %d: %s %s, the coordinator %s (told %v)", seed, n, got, st.State, told)
		}
	}
}

// resolve brings the participants back one after another and lets them find out among themselves.
func resolve(r *rand.Rand, ps map[kit.NodeName]*Participant, names []kit.NodeName) {
	var up []kit.NodeName
	for _, i := range r.Perm(len(names)) {
		n := names[i]
		up = append(up, n)
		asks := map[kit.NodeName][]kit.NodeName{n: ps[n].Down("a", up).Ask}
		for _, o := range up {
			asks[o] = append(asks[o], ps[o].Up(n).Ask...)
		}
		for _, from := range names {
			for _, o := range asks[from] {
				ps[from].Outcome(o, ps[o].State(), up)
			}
		}
	}
}
