package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/world"
)

// machineWorld is a fake cluster whose machines break, and whose nodes know whether they run.
type machineWorld struct {
	*fakeWorld
	dead map[kit.NodeName]bool
}

var _ world.Machines = machineWorld{}

func (w machineWorld) Kill(n kit.NodeName) error {
	if w.dead[n] {
		return &kit.Error{Op: "kill", What: string(n), Kind: kit.Unavailable}
	}
	w.dead[n] = true
	return nil
}

func (w machineWorld) Restart(n kit.NodeName) error {
	if !w.dead[n] {
		return &kit.Error{Op: "restart", What: string(n), Kind: kit.Exists}
	}
	delete(w.dead, n)
	w.now += 3 * time.Millisecond
	return nil
}

func (w machineWorld) PowerOff(n kit.NodeName) error               { return w.Kill(n) }
func (w machineWorld) SetDisk(kit.NodeName, world.DiskFault) error { return nil }
func (w machineWorld) SetClock(kit.NodeName, time.Duration) error  { return nil }
func (w machineWorld) SetPace(kit.NodeName, int) error             { return nil }
func (w machineWorld) Damage(kit.NodeName) (world.Damage, error)   { return world.Damage{}, nil }
func newMachines(nodes ...kit.NodeName) machineWorld {
	return machineWorld{&fakeWorld{nodes: nodes}, map[kit.NodeName]bool{}}
}

// testdata/faults: plans read, drawn and run.
//
//	parse         reads the input and writes it back
//	draw seed=(1,2) for=DURATION nodes=(a,b) kinds=(...) [at-once=N] [away=N] [spare=(a)] [calm=D] [least=D] [most=D]
//	run           does the input's plan on three nodes and prints what is on record; real: on a world without machines
func TestFaultPlans(t *testing.T) {
	datadriven.Walk(t, "testdata/faults", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "draw":
				return drawScript(t, d)
			case "parse":
				p, err := ParseFaults(d.Input)
				if err != nil {
					return told(err)
				}
				if again, err := ParseFaults(p.String()); err != nil || again.String() != p.String() {
					t.Errorf("written and read again: %v\n%s", err, again)
				}
				return p.String()
			case "run":
				return runScriptedPlan(t, d)
			}
			d.Fatalf(t, "no command %q", d.Cmd)
			return ""
		})
	})
}

func told(err error) string {
	s := "error: " + err.Error() + "\n"
	if hint := kit.HintOf(err); hint != "" {
		s += "hint: " + hint + "\n"
	}
	return s
}

func drawScript(t *testing.T, d *datadriven.TestData) string {
	var m Menu
	var seeds []string
	times := map[string]*time.Duration{"for": &m.For, "calm": &m.Calm, "least": &m.Least, "most": &m.Most}
	for _, a := range d.CmdArgs {
		var err error
		switch {
		case times[a.Key] != nil:
			*times[a.Key], err = time.ParseDuration(a.Vals[0])
		case a.Key == "seed":
			seeds = a.Vals
		case a.Key == "at-once":
			_, err = fmt.Sscan(a.Vals[0], &m.AtOnce)
		case a.Key == "away":
			_, err = fmt.Sscan(a.Vals[0], &m.Away)
		case a.Key == "kinds":
			for _, k := range a.Vals {
				m.Kinds = append(m.Kinds, FaultKind(k))
			}
		case a.Key == "nodes", a.Key == "spare":
			var all []kit.NodeName
			for _, n := range a.Vals {
				all = append(all, kit.NodeName(n))
			}
			if a.Key == "nodes" {
				m.Nodes = all
			} else {
				m.Spare = all
			}
		}
		if err != nil {
			d.Fatalf(t, "%s: %v", a.Key, err)
		}
	}
	var b strings.Builder
	for _, s := range seeds {
		var seed uint64
		if _, err := fmt.Sscan(s, &seed); err != nil {
			d.Fatalf(t, "%v", err)
		}
		p, err := m.Draw(seed)
		if err != nil {
			return told(err)
		}
		fmt.Fprintf(&b, "# seed %d\n%s", seed, p)
	}
	return b.String()
}

func runScriptedPlan(t *testing.T, d *datadriven.TestData) string {
	p, err := ParseFaults(d.Input)
	if err != nil {
		return told(err)
	}
	cluster := newMachines("a", "b", "c")
	w := Record(cluster)
	if d.HasArg("real") {
		w = Record(cluster.fakeWorld)
	}
	end := ""
	if err := p.Run(t.Context(), w); err != nil {
		end = told(err)
	}
	var b strings.Builder
	for _, f := range w.History().Faults {
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("%v %s %s %s %s %s", f.At, f.What, f.Node, f.Peer, f.Detail, f.Err), " "))
	}
	return b.String() + end
}

// Whatever is drawn keeps the menu's bounds, is mended in time, and can be written, read and checked.
func TestDrawnPlansKeepTheirBounds(t *testing.T) {
	nodes := []kit.NodeName{"a", "b", "c", "d", "e"}
	faults := 0
	for seed := range uint64(300) {
		m := Menu{Nodes: nodes, Kinds: FaultKinds(), For: 10 * time.Second, Calm: time.Second, AtOnce: int(seed%4) + 1, Away: int(seed % 3), Spare: []kit.NodeName{"c"}}
		p, err := m.Draw(seed)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(nodes); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if again, err := ParseFaults(p.String()); err != nil || !slices.Equal(again.Steps, p.Steps) {
			t.Fatalf("seed %d: written and read again: %v\n%s\n%s", seed, err, p, again)
		}
		w := Record(newMachines(nodes...))
		if err := p.Run(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if err := keepsBounds(w.History(), m); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, p)
		}
		faults += len(p.Steps)
	}
	if faults < 1000 {
		t.Errorf("only %d steps in all plans", faults)
	}
}

// keepsBounds follows what is broken through a run.
func keepsBounds(h *history.History, m Menu) error {
	broken := map[string]bool{}
	for _, f := range h.Faults {
		key := f.Part() + " " + string(f.Node) + " " + string(f.Peer)
		switch {
		case f.Err != "":
			return fmt.Errorf("refused: %+v", f)
		case f.At < m.Calm || f.At > m.For-m.Calm:
			return fmt.Errorf("out of time: %+v", f)
		case f.Mends() && !broken[key]:
			return fmt.Errorf("whole already: %+v", f)
		case f.Mends():
			delete(broken, key)
		case broken[key]:
			return fmt.Errorf("broken already: %+v", f)
		default:
			broken[key] = true
		}
		away := 0
		for _, n := range m.Nodes {
			if broken["node "+string(n)+" "] {
				away++
				if slices.Contains(m.Spare, n) {
					return fmt.Errorf("it should be spared: %+v", f)
				}
			}
		}
		if most := cmp.Or(m.Away, 2); away > most { // of five nodes less than half are two
			return fmt.Errorf("%d nodes are away", away)
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("left broken: %v", broken)
	}
	return nil
}

// A run ends with the world, and passes on what goes wrong in what follows a step.
func TestFaultPlanEndsEarly(t *testing.T) {
	p, err := ParseFaults("1s kill a\n2s restart a\n3s cut a b")
	if err != nil {
		t.Fatal(err)
	}
	w := Record(newMachines("a", "b"))
	boom := errors.New("boom")
	var seen []string
	err = p.RunThen(t.Context(), w, func(_ context.Context, s FaultStep) error {
		seen = append(seen, s.Do)
		if s.Do == "restart" {
			return boom
		}
		return nil
	})
	if !errors.Is(err, boom) || !slices.Equal(seen, []string{"kill", "restart"}) {
		t.Errorf("%v %v", err, seen)
	}
	if err := p.Run(t.Context(), Record(newMachines("a"))); kit.KindOf(err) != kit.Invalid {
		t.Errorf("a plan for other nodes: %v", err)
	}
}

// Nothing that is read makes the parser panic, and what it takes it can write.
func FuzzParseFaults(f *testing.F) {
	f.Add("1s cut a > b silent\n2s disc b full room=5 slow=1s crash=lose\n3s mend")
	f.Add("1s slow a b loss=NaN delay=-1s")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseFaults(text)
		if err != nil {
			if kit.KindOf(err) != kit.Invalid {
				t.Fatal(err)
			}
			return
		}
		if again, err := ParseFaults(p.String()); err != nil || !slices.Equal(again.Steps, p.Steps) {
			t.Fatalf("%v\n%s\n%s", err, p, again)
		}
	})
}
