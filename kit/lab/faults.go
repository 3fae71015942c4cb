package lab

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// FaultPlan is a list of faults with their times, written out by hand or drawn from a seed (Menu.Draw). It is data: Run
// acts on it, ParseFaults and String read and write it as text.
type FaultPlan struct {
	Steps []FaultStep // by At; of steps of one time the earlier in the list is done first
}

// FaultStep is one order of a plan. Which of the fields after Do count depends on Do.
type FaultStep struct {
	At   time.Duration // since the plan began
	Do   string        // one of the words that ParseFaults knows
	Node kit.NodeName  // empty for a heal of all links, and a mend of everything
	Peer kit.NodeName  // cut, slow, heal
	// OneWay leaves the direction from Peer to Node as it is.
	OneWay bool
	Rule   wire.Rule       // cut, slow
	Disk   world.DiskFault // disc
	Off    time.Duration   // clock
	Times  int             // pace
	Part   string          // mend: "disc", "clock", "pace"; empty is all three
}

// Limits of one plan.
const (
	MaxFaultSteps = 1000
	maxFaultText  = 64 << 10
	maxFaultAt    = time.Hour
)

// faultWords is what a step may do, with how it is written.
var faultWords = []struct{ word, form string }{
	{"cut", "cut A B [silent|loud], one way: cut A > B"},
	{"slow", "slow A B [delay=TIME] [jitter=TIME] [loss=0.1] [duplicate=0.1] [reorder=0.1], one way: slow A > B ..."},
	{"heal", "heal A B, one way: heal A > B, all links: heal"},
	{"kill", "kill A"},
	{"poweroff", "poweroff A"},
	{"restart", "restart A"},
	{"pause", "pause A"},
	{"resume", "resume A"},
	{"disc", "disc A [full] [room=BYTES] [slow=TIME] [crash=lose|chance]"},
	{"clock", "clock A +2s"},
	{"pace", "pace A 20"},
	{"mend", "mend A [disc|clock|pace], everything that the plan broke: mend"},
}

// ParseFaults reads a plan, a step a line, as an instructor writes it:
//
//	# a comment
//	200ms  cut a b silent      # both ways; without a word it is loud
//	200ms  cut a > c           # only what a sends to c
//	1s     heal a b            # without nodes: all links
//	1s     slow a b delay=20ms jitter=5ms loss=0.1 duplicate=0.1 reorder=0.1
//	2s     kill b              # also poweroff, restart, pause, resume
//	3s     disc b full         # also room=4096 slow=50ms crash=lose
//	3s     clock b +2s
//	3s     pace c 20           # it computes 20 times slower
//	4s     mend b disc         # also clock, pace; without a word all three
//	5s     mend                # everything that the plan broke and that is still broken
//
// The steps may stand in any order. Check says whether they fit a cluster.
func ParseFaults(text string) (FaultPlan, error) {
	if len(text) > maxFaultText {
		return FaultPlan{}, faultErr("", fmt.Errorf("%d bytes", len(text)), fmt.Sprintf("a plan has at most %d", maxFaultText))
	}
	var p FaultPlan
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(p.Steps) == MaxFaultSteps {
			return FaultPlan{}, faultErr("", errors.New("too many steps"), fmt.Sprintf("a plan has at most %d", MaxFaultSteps))
		}
		s, err := parseStep(words)
		if err != nil {
			return FaultPlan{}, faultErr(fmt.Sprintf("line %d", i+1), err, kit.HintOf(err))
		}
		p.Steps = append(p.Steps, s)
	}
	p.sort()
	return p, nil
}

func faultErr(what string, err error, hint string) error {
	return &kit.Error{Op: "read fault plan", What: what, Kind: kit.Invalid, Err: err, Hint: hint}
}

func (p *FaultPlan) sort() {
	slices.SortStableFunc(p.Steps, func(a, b FaultStep) int { return cmp.Compare(a.At, b.At) })
}

// parseStep reads the words of one line.
func parseStep(words []string) (FaultStep, error) {
	at, err := time.ParseDuration(words[0])
	if err != nil || at < 0 || at > maxFaultAt {
		return FaultStep{}, &kit.Error{Op: "read time", What: fmt.Sprintf("%.32q", words[0]), Kind: kit.Invalid, Hint: "a line begins with its time since the plan's start, like 1.5s; the most is 1h"}
	}
	if len(words) == 1 {
		return FaultStep{}, errors.New("it says no fault")
	}
	s := FaultStep{At: at, Do: words[1]}
	form := ""
	var all []string
	for _, w := range faultWords {
		all = append(all, w.word)
		if w.word == s.Do {
			form = w.form
		}
	}
	if form == "" {
		return FaultStep{}, &kit.Error{Op: "read fault", What: fmt.Sprintf("%.32q", s.Do), Kind: kit.Invalid, Hint: "the faults are " + strings.Join(all, ", ")}
	}
	if err := s.parse(words[2:]); err != nil {
		hint := "it is written: " + form
		if more := kit.HintOf(err); more != "" {
			hint = more + "; " + hint
		}
		return FaultStep{}, &kit.Error{Op: "read", What: s.Do, Kind: kit.Invalid, Err: err, Hint: hint}
	}
	return s, nil
}

// parse reads what follows the word of a step.
func (s *FaultStep) parse(words []string) error {
	take := func() string {
		if len(words) == 0 {
			return ""
		}
		w := words[0]
		words = words[1:]
		return w
	}
	if len(words) == 0 && (s.Do == "heal" || s.Do == "mend") {
		return nil
	}
	s.Node = kit.NodeName(take())
	if s.Do == "cut" || s.Do == "slow" || s.Do == "heal" {
		if len(words) > 0 && words[0] == ">" {
			s.OneWay = true
			take()
		}
		s.Peer = kit.NodeName(take())
	}
	if err := s.parseMore(words); err != nil {
		return err
	}
	return s.check()
}

func (s *FaultStep) parseMore(words []string) error {
	switch s.Do {
	case "cut":
		s.Rule.Cut = wire.Loud
		if len(words) == 1 {
			s.Rule.Cut, words = wire.Cut(words[0]), nil
		}
	case "slow":
		return eachSetting(words, s.parseRule)
	case "disc":
		return eachSetting(words, s.parseDisk)
	case "clock", "pace":
		if len(words) != 1 {
			return errors.New("a number is missing, or there is too much")
		}
		var err error
		if s.Do == "clock" {
			s.Off, err = time.ParseDuration(words[0])
		} else {
			s.Times, err = strconv.Atoi(words[0])
		}
		if err != nil {
			return fmt.Errorf("%.32q is no number of the kind", words[0])
		}
		return nil
	case "mend":
		if len(words) == 1 {
			s.Part, words = words[0], nil
		}
	}
	if len(words) > 0 {
		return fmt.Errorf("%.32q is too much", words[0])
	}
	return nil
}

// eachSetting reads words like slow=50ms; a word without a value has the value "".
func eachSetting(words []string, set func(name, value string) error) error {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		if err := set(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *FaultStep) parseRule(name, value string) (err error) {
	switch name {
	case "delay":
		s.Rule.Delay, err = time.ParseDuration(value)
	case "jitter":
		s.Rule.Jitter, err = time.ParseDuration(value)
	case "loss":
		s.Rule.Loss, err = strconv.ParseFloat(value, 64)
	case "duplicate":
		s.Rule.Duplicate, err = strconv.ParseFloat(value, 64)
	case "reorder":
		s.Rule.Reorder, err = strconv.ParseFloat(value, 64)
	default:
		return fmt.Errorf("there is no setting %.32q", name)
	}
	if err != nil {
		return fmt.Errorf("%s=%.32s has no value of the kind", name, value)
	}
	return nil
}

func (s *FaultStep) parseDisk(name, value string) (err error) {
	switch {
	case name == "full" && value == "":
		s.Disk.Full = true
	case name == "room":
		s.Disk.Capacity, err = strconv.Atoi(value)
	case name == "slow":
		s.Disk.Slow, err = time.ParseDuration(value)
	case name == "crash":
		s.Disk.Crash = world.CrashKind(value)
	default:
		return fmt.Errorf("there is no setting %.32q", name)
	}
	if err != nil {
		return fmt.Errorf("%s=%.32s has no value of the kind", name, value)
	}
	return nil
}

// check says whether a step is whole and within limits.
func (s FaultStep) check() error {
	link := s.Do == "cut" || s.Do == "slow" || s.Do == "heal"
	switch {
	case s.At < 0 || s.At > maxFaultAt:
		return fmt.Errorf("the time %v", s.At)
	case s.Node == "" && s.Peer == "" && s.Part == "" && (s.Do == "heal" || s.Do == "mend"):
		return nil
	case !s.Node.Valid():
		return fmt.Errorf("%.64q is no name for a node", s.Node)
	case link && !s.Peer.Valid():
		return fmt.Errorf("%.64q is no name for a node", s.Peer)
	case link && s.Node == s.Peer:
		return errors.New("a link has two ends")
	}
	switch s.Do {
	case "cut":
		if s.Rule.Cut == wire.Whole {
			return errors.New("the cut is neither silent nor loud")
		}
		return s.Rule.Check()
	case "slow":
		if s.Rule == (wire.Rule{}) || s.Rule.Cut != wire.Whole {
			return errors.New("it says nothing to slow it by")
		}
		return s.Rule.Check()
	case "disc":
		if s.Disk == (world.DiskFault{}) {
			return errors.New("it says nothing that is wrong with the disc")
		}
		return s.Disk.Check()
	case "clock":
		if s.Off == 0 {
			return errors.New("the clock does not move")
		}
		return world.CheckClock(s.Off)
	case "pace":
		if s.Times == 1 {
			return errors.New("the node is no slower")
		}
		return world.CheckPace(s.Times)
	case "mend":
		if !slices.Contains([]string{"", "disc", "clock", "pace"}, s.Part) {
			return fmt.Errorf("a node has no %.32q", s.Part)
		}
	case "heal", "kill", "poweroff", "restart", "pause", "resume":
	default:
		return fmt.Errorf("there is no fault %.32q", s.Do)
	}
	return nil
}

// Check reports, as kit.Invalid, the first step that is not whole or names a node that the cluster does not have.
func (p FaultPlan) Check(nodes []kit.NodeName) error {
	if len(p.Steps) > MaxFaultSteps {
		return faultErr("", errors.New("too many steps"), fmt.Sprintf("a plan has at most %d", MaxFaultSteps))
	}
	last := time.Duration(0)
	for _, s := range p.Steps {
		if err := s.check(); err != nil {
			return faultErr(fmt.Sprintf("step %q", s), err, "")
		}
		if s.At < last {
			return faultErr(fmt.Sprintf("step %q", s), errors.New("it stands after a later one"), "")
		}
		last = s.At
		for _, n := range []kit.NodeName{s.Node, s.Peer} {
			if n != "" && !slices.Contains(nodes, n) {
				return faultErr(fmt.Sprintf("step %q", s), fmt.Errorf("there is no node %s", n), fmt.Sprintf("the nodes are %v", nodes))
			}
		}
	}
	return nil
}

// String writes the plan as ParseFaults reads it.
func (p FaultPlan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		b.WriteString(s.String() + "\n")
	}
	return b.String()
}

// String writes the step as ParseFaults reads it.
func (s FaultStep) String() string {
	parts := []string{s.At.String(), s.Do}
	add := func(set bool, format string, arg any) {
		if set {
			parts = append(parts, fmt.Sprintf(format, arg))
		}
	}
	add(s.Node != "", "%s", s.Node)
	add(s.OneWay, "%s", ">")
	add(s.Peer != "", "%s", s.Peer)
	switch s.Do {
	case "cut":
		add(true, "%s", s.Rule.Cut)
	case "slow":
		add(s.Rule.Delay != 0, "delay=%v", s.Rule.Delay)
		add(s.Rule.Jitter != 0, "jitter=%v", s.Rule.Jitter)
		add(s.Rule.Loss != 0, "loss=%g", s.Rule.Loss)
		add(s.Rule.Duplicate != 0, "duplicate=%g", s.Rule.Duplicate)
		add(s.Rule.Reorder != 0, "reorder=%g", s.Rule.Reorder)
	case "disc":
		add(s.Disk.Full, "%s", "full")
		add(s.Disk.Capacity != 0, "room=%d", s.Disk.Capacity)
		add(s.Disk.Slow != 0, "slow=%v", s.Disk.Slow)
		add(s.Disk.Crash != "", "crash=%s", s.Disk.Crash)
	case "clock":
		add(true, "%s", signed(s.Off))
	case "pace":
		add(true, "%d", s.Times)
	case "mend":
		add(s.Part != "", "%s", s.Part)
	}
	return strings.Join(parts, " ")
}
