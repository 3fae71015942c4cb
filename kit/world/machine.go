package world

import (
	"fmt"
	"strings"
	"time"

	"netsplit/kit"
)

// Machines is a World that owns the machines which its nodes run on, and so can break their discs, clocks and
// processors too: the simulated one. A cluster of real processes cannot; ask with a type assertion.
type Machines interface {
	// SetDisk sets the rule of a node's disc, whether the node runs or not; the zero DiskFault mends it.
	SetDisk(kit.NodeName, DiskFault) error
	// SetClock makes a node's wall clock jump: from now on it is off by so much, also after a restart; 0 sets it right.
	// Timers and timeouts do not notice, since they go by the monotonic clock.
	SetClock(kit.NodeName, time.Duration) error
	// SetPace makes a node compute so many times slower, 1 to MaxPace; 1 is its own speed.
	SetPace(kit.NodeName, int) error
	// PowerOff ends a node as a power cut of its machine does: what it wrote and did not sync is lost, all of it,
	// or as much as Chance says when that is its disc's rule. Restart starts it again.
	PowerOff(kit.NodeName) error
	// Damage says what faults have done to a node until now.
	Damage(kit.NodeName) (Damage, error)
}

// MaxPace is how many times slower a node may be made to compute, MaxClock how far its clock may be off, and MaxSlow how
// long a disc may make a sync wait.
const (
	MaxPace  = 1000
	MaxClock = 365 * 24 * time.Hour
	MaxSlow  = time.Hour
)

// DiskFault is the rule of one node's disc. The zero value is a healthy one.
type DiskFault struct {
	// Slow is added to every sync.
	Slow time.Duration
	// Capacity is the most bytes that the disc holds; 0 is all that a disc may hold at most.
	Capacity int
	// Full is a disc with no room left: it takes no change that needs more.
	Full bool
	// Crash says what a kill does to what was written and not synced.
	Crash CrashKind
}

// CrashKind says what of the un-synced changes a disc keeps when its node is killed.
type CrashKind string

// The kinds of crash. Keep is what kill -9 does on a machine that lives on. The others are power cuts: Lose has the
// worst luck, Chance draws how many of the changes, in their order, got to the disc, and may tear the last append
// apart.
const (
	Keep   CrashKind = ""
	Lose   CrashKind = "lose"
	Chance CrashKind = "chance"
)

// Check reports what is wrong with a rule that comes from outside, as kit.Invalid.
func (f DiskFault) Check() error {
	if f.Slow < 0 || f.Slow > MaxSlow || f.Capacity < 0 || f.Crash != Chance && f.Crash != Keep && f.Crash != Lose {
		return &kit.Error{Op: "set disc", Kind: kit.Invalid, Err: fmt.Errorf("%v", f),
			Hint: fmt.Sprintf("sizes are not negative, times lie between 0 and %v; a crash is %q, %q or %q", MaxSlow, Keep, Lose, Chance)}
	}
	return nil
}

// String says in words what differs from a healthy disc.
func (f DiskFault) String() string {
	if f == (DiskFault{}) {
		return "healthy"
	}
	var all []string
	if f.Full {
		all = append(all, "full")
	}
	if f.Capacity != 0 {
		all = append(all, fmt.Sprintf("room for %d bytes", f.Capacity))
	}
	if f.Slow != 0 {
		all = append(all, fmt.Sprintf("syncs %v slower", f.Slow))
	}
	switch f.Crash {
	case Keep:
	case Lose:
		all = append(all, "a kill loses what is not synced")
	case Chance:
		all = append(all, "a kill may lose what is not synced")
	default:
		all = append(all, fmt.Sprintf("crash %.32q", string(f.Crash)))
	}
	return strings.Join(all, ", ")
}

// Damage is what faults did to one node since the world's start: the receipts of faults that are not of a link.
type Damage struct {
	Refused    int           `json:"refused"`     // writes that its full disc did not take
	Lost       int           `json:"lost"`        // changes of its disc that were lost with the power, whole or in part
	SlowSyncs  int           `json:"slow_syncs"`  // syncs that its disc's rule made slower
	ClockReads int           `json:"clock_reads"` // readings of its clock that were wrong
	Slowed     time.Duration `json:"slowed_ns"`   // how much longer its computing took
	Waited     int           `json:"waited"`      // frames, requests and timers that waited for the end of a pause
	Calls      int           `json:"calls"`       // requests that it had been sent and never answered, because it stopped
}

// Checks of the values that SetClock and SetPace take.

// CheckClock reports a clock that is off by more than MaxClock.
func CheckClock(off time.Duration) error {
	if off.Abs() > MaxClock {
		return &kit.Error{Op: "set clock", Kind: kit.Invalid, What: off.String(), Hint: fmt.Sprintf("a clock is off by at most %v", MaxClock)}
	}
	return nil
}

// CheckPace reports a pace that is not 1 to MaxPace.
func CheckPace(times int) error {
	if times < 1 || times > MaxPace {
		return &kit.Error{Op: "set pace", Kind: kit.Invalid, What: fmt.Sprint(times), Hint: fmt.Sprintf("a node computes 1 to %d times slower", MaxPace)}
	}
	return nil
}
