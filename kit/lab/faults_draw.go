package lab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// FaultKind is a kind of fault that a Menu draws from.
type FaultKind string

// The kinds of fault. Each is mended after its time; what it is mended by is said after the colon.
const (
	FaultCut      FaultKind = "cut"      // a link is cut, silently or loudly, one way or both: heal
	FaultIsolate  FaultKind = "isolate"  // all links of one node are cut alike: heal
	FaultSlow     FaultKind = "slow"     // a link delays: heal
	FaultLoss     FaultKind = "loss"     // a link loses, doubles and reorders: heal
	FaultKill     FaultKind = "kill"     // kill -9: restart
	FaultPowerOff FaultKind = "poweroff" // the same, and writes that were not synced are lost: restart
	FaultPause    FaultKind = "pause"    // a node stands still: resume
	FaultFull     FaultKind = "full"     // a disc has no room, though not while its node starts: mend
	FaultSlowDisc FaultKind = "slowdisc" // a disc syncs slowly: mend
	FaultClock    FaultKind = "clock"    // a clock jumps, by up to a minute, forward or back: mend
	FaultPace     FaultKind = "pace"     // a node computes 10 to 100 times slower: mend
)

// FaultKinds lists all kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{FaultCut, FaultIsolate, FaultSlow, FaultLoss, FaultKill, FaultPowerOff, FaultPause, FaultFull, FaultSlowDisc, FaultClock, FaultPace}
}

// Menu says what Draw may put into a plan. Nodes, Kinds and For are needed.
type Menu struct {
	Nodes []kit.NodeName
	Kinds []FaultKind   // a kind that is named twice is drawn twice as often
	For   time.Duration // how long the plan is
	// Calm is for how long nothing is broken at the plan's start and at its end; 0 is a tenth of For.
	Calm time.Duration
	// AtOnce is how many faults are in force at a time at most; 0 is one.
	AtOnce int
	// Away is how many nodes may be dead, paused or isolated at a time; 0 is less than half of them, but one at least.
	Away int
	// Least and Most are how long one fault lasts; 0 are a tenth and a third of For.
	Least, Most time.Duration
	// Spare are nodes that are never killed, powered off, paused or isolated.
	Spare []kit.NodeName
}

// drawn is a fault that has been drawn: its time, what it breaks, and the steps.
type drawn struct {
	from, to time.Duration
	parts    []string // "link a b", "node a", "disc a": two faults of one part never overlap
	away     kit.NodeName
	steps    []FaultStep // without times: those that break, then as many that mend
}

// Draw draws a plan. It depends on the seed and the menu alone. Everything that a plan breaks it mends, Calm before its end at the
// latest. With faults that do not fit side by side the plan is thinner than AtOnce allows.
func (m Menu) Draw(seed uint64) (FaultPlan, error) {
	if err := m.settle(); err != nil {
		return FaultPlan{}, err
	}
	const stream = 0x6661756c7473 // "faults": other draws from the same seed are other numbers
	r := rand.New(rand.NewPCG(seed, stream))
	var all []drawn
	end := m.For - m.Calm
	for t := m.Calm; t+m.Least <= end && len(all) < MaxFaultSteps/(4*len(m.Nodes)); t += ms(r, 1, m.Most/time.Duration(m.AtOnce)) {
		const tries = 4
		for range tries {
			d := m.one(r)
			d.from = t
			d.to = min(t+ms(r, m.Least, m.Most), end)
			if m.fits(all, d) {
				all = append(all, d)
				break
			}
		}
	}
	var p FaultPlan
	for _, d := range all {
		for i, s := range d.steps {
			s.At = d.from
			if i >= len(d.steps)/2 {
				s.At = d.to
			}
			p.Steps = append(p.Steps, s)
		}
	}
	// What is mended at one moment comes before what breaks then, so that a link may be cut again.
	slices.SortStableFunc(p.Steps, func(a, b FaultStep) int {
		if a.At != b.At {
			return int(a.At - b.At)
		}
		return rank(a) - rank(b)
	})
	return p, nil
}

func rank(s FaultStep) int {
	switch s.Do {
	case "heal", "restart", "resume", "mend":
		return 0
	}
	return 1
}

// settle fills in defaults and reports what is wrong with the menu.
func (m *Menu) settle() error {
	bad := func(format string, args ...any) error {
		return &kit.Error{Op: "draw faults", Kind: kit.Invalid, Err: fmt.Errorf(format, args...)}
	}
	def := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	def(&m.Calm, m.For/10)
	def(&m.Least, m.For/10)
	def(&m.Most, max(m.Least, m.For/3))
	m.AtOnce = max(m.AtOnce, 1)
	if m.Away <= 0 {
		m.Away = max(1, (len(m.Nodes)-1)/2)
	}
	for _, k := range m.Kinds {
		if !slices.Contains(FaultKinds(), k) {
			return bad("there is no fault %.32q", k)
		}
		if len(m.Nodes) < 2 && slices.Contains([]FaultKind{FaultCut, FaultIsolate, FaultSlow, FaultLoss}, k) {
			return bad("%s needs two nodes", k)
		}
	}
	switch {
	case len(m.Nodes) == 0 || len(m.Nodes) > 64:
		return bad("%d nodes", len(m.Nodes))
	case len(m.Kinds) == 0:
		return bad("no kinds of fault")
	case m.For <= 0 || m.For > maxFaultAt:
		return bad("a plan of %v", m.For)
	case m.Calm < 0 || m.Least < time.Millisecond || m.Most < m.Least:
		return bad("times of %v, %v to %v", m.Calm, m.Least, m.Most)
	case 2*m.Calm+m.Least > m.For:
		return bad("%v leave no room for a fault of %v between two calms of %v", m.For, m.Least, m.Calm)
	}
	return nil
}

// fits says whether a fault keeps the menu's bounds beside those that are drawn.
func (m Menu) fits(all []drawn, d drawn) bool {
	if slices.Contains(m.Spare, d.away) && d.away != "" {
		return false
	}
	beside, away := 1, 1
	for _, other := range all {
		if other.to <= d.from || other.from >= d.to {
			continue
		}
		beside++
		if other.away != "" {
			away++
		}
		if slices.ContainsFunc(d.parts, func(p string) bool { return slices.Contains(other.parts, p) }) {
			return false
		}
	}
	return beside <= m.AtOnce && (d.away == "" || away <= m.Away)
}

// one draws a fault without its time.
func (m Menu) one(r *rand.Rand) drawn {
	kind := m.Kinds[r.IntN(len(m.Kinds))]
	i := r.IntN(len(m.Nodes))
	a := m.Nodes[i]
	node := func(part, mend string, s FaultStep) drawn {
		s.Node = a
		back := FaultStep{Do: mend, Node: a}
		if mend == "mend" {
			back.Part = part
		}
		return drawn{parts: []string{part + " " + string(a)}, steps: []FaultStep{s, back}}
	}
	away := func(d drawn) drawn {
		d.away = a
		return d
	}
	// A node that starts writes to its disc at once, and ends when that is full: the two never meet.
	starts := func(d drawn) drawn {
		d.parts = append(d.parts, "room "+string(a))
		return d
	}
	switch kind {
	case FaultCut, FaultSlow, FaultLoss:
		j := r.IntN(len(m.Nodes) - 1)
		if j >= i {
			j++
		}
		return oneLink(r, kind, a, m.Nodes[j])
	case FaultIsolate:
		cut := wire.Rule{Cut: drawCut(r)}
		d := away(drawn{})
		var back []FaultStep
		for _, b := range m.Nodes {
			if b != a {
				d.parts = append(d.parts, linkPart(a, b))
				d.steps = append(d.steps, FaultStep{Do: "cut", Node: a, Peer: b, Rule: cut})
				back = append(back, FaultStep{Do: "heal", Node: a, Peer: b})
			}
		}
		d.steps = append(d.steps, back...)
		return d
	case FaultKill:
		return starts(away(node("node", "restart", FaultStep{Do: "kill"})))
	case FaultPowerOff:
		return starts(away(node("node", "restart", FaultStep{Do: "poweroff"})))
	case FaultPause:
		return away(node("node", "resume", FaultStep{Do: "pause"}))
	case FaultFull:
		return starts(node("disc", "mend", FaultStep{Do: "disc", Disk: world.DiskFault{Full: true}}))
	case FaultSlowDisc:
		return node("disc", "mend", FaultStep{Do: "disc", Disk: world.DiskFault{Slow: ms(r, 10*time.Millisecond, 300*time.Millisecond)}})
	case FaultClock:
		off := ms(r, time.Second, time.Minute)
		if r.IntN(2) == 0 {
			off = -off
		}
		return node("clock", "mend", FaultStep{Do: "clock", Off: off})
	}
	return node("pace", "mend", FaultStep{Do: "pace", Times: 10 + r.IntN(91)}) // FaultPace
}

// oneLink draws a fault of a link.
func oneLink(r *rand.Rand, kind FaultKind, a, b kit.NodeName) drawn {
	s := FaultStep{Do: "slow", Node: a, Peer: b}
	switch kind {
	case FaultCut:
		s.Do, s.Rule.Cut = "cut", drawCut(r)
		s.OneWay = r.IntN(3) == 0
	case FaultSlow:
		s.Rule.Delay, s.Rule.Jitter = ms(r, 5*time.Millisecond, 200*time.Millisecond), ms(r, 0, 50*time.Millisecond)
	default:
		part := func() float64 { return float64(r.IntN(30)) / 100 }
		s.Rule = wire.Rule{Loss: 0.01 + part(), Duplicate: part(), Reorder: part()}
	}
	return drawn{parts: []string{linkPart(a, b)}, steps: []FaultStep{s, {Do: "heal", Node: a, Peer: b, OneWay: s.OneWay}}}
}

func linkPart(a, b kit.NodeName) string { return "link " + string(min(a, b)) + " " + string(max(a, b)) }

func drawCut(r *rand.Rand) wire.Cut {
	if r.IntN(2) == 0 {
		return wire.Loud
	}
	return wire.Silent
}

// ms draws a time from the closed range, in whole milliseconds, so that a plan reads well.
func ms(r *rand.Rand, least, most time.Duration) time.Duration {
	low, high := (least+time.Millisecond-1)/time.Millisecond, most/time.Millisecond
	if high <= low {
		return low * time.Millisecond
	}
	return (low + time.Duration(r.Int64N(int64(high-low)+1))) * time.Millisecond
}
