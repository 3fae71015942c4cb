// Package cluster runs real lab clusters on this machine: each node a detached process with a door of its own.
// There is no daemon. What is known about a lab lies in its state folder, so that any later command can find
// the nodes again; faults are orders to the nodes at both ends of a link, or signals to a process.
package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
)

// Limits of a lab.
const (
	MaxNodes   = 16
	MaxLabName = 48 // bytes; a folder is named after the lab
)

// Spec says what cluster to start.
type Spec struct {
	Lab   string         // the lab's name: as a node name, but up to MaxLabName bytes
	Nodes []kit.NodeName // default a, b, c
	// Program is the command that runs a node: it must call node.Main. Default: this very program with the
	// argument "__node".
	Program []string
	Dir     string // the student's workspace, only recorded; "" when there is none
	Home    string // state folder; "" for Home()
	// Setup runs when every node sees all others, before Up returns: tables, data. May be nil.
	Setup func(ctx context.Context, c *Cluster) error
	// StartStore lets each node start its store by itself at boot.
	StartStore bool
	// Manual nodes connect only when somebody asks them to; Up then does not wait for links.
	Manual bool
	// PreventOverlap is node.Config's setting of that name, for every node.
	PreventOverlap bool
	// Hidden are further nodes that watch the others without being part of their cluster (node.Config.Hidden).
	Hidden []kit.NodeName
	// Temporary clusters belong to the process that starts them: their nodes end with it at the latest, and
	// Close takes them down and removes their folder. Lab then is only the start of the name.
	Temporary bool
	IdleExit  time.Duration // a node ends when nobody used its door for so long; 0: node.DefaultIdleExit, negative: never
	ReadyIn   time.Duration // how long starting may take; 0: DefaultReadyIn
	Who       string        // who acts, for the journal; default "cli"
}

// DefaultReadyIn is how long a cluster may take to start before Up gives up. It is far above the usual
// fraction of a second, for machines that are busy.
const DefaultReadyIn = 20 * time.Second

// DefaultNodes are the nodes of a lab that names none.
var DefaultNodes = []kit.NodeName{"a", "b", "c"}

// Letters gives the first n default node names: a, b, c, ...
func Letters(n int) []kit.NodeName {
	names := make([]kit.NodeName, 0, n)
	for i := range min(n, MaxNodes) {
		names = append(names, kit.NodeName(rune('a'+i)))
	}
	return names
}

// validate fills defaults and refuses what cannot be started.
func (s *Spec) validate() error {
	if len(s.Nodes) == 0 {
		s.Nodes = slices.Clone(DefaultNodes)
	}
	all := slices.Concat(s.Nodes, s.Hidden)
	if len(all) > MaxNodes {
		return invalid("start lab", s.Lab, fmt.Sprintf("%d nodes, the limit is %d", len(all), MaxNodes), "")
	}
	for i, n := range all {
		if !n.Valid() {
			return invalid("start lab", s.Lab, fmt.Sprintf("%q cannot name a node", n), "a node's name is a lower-case letter, then lower-case letters, digits, '-' or '_'")
		}
		if slices.Contains(all[:i], n) {
			return invalid("start lab", s.Lab, fmt.Sprintf("two nodes are called %s", n), "")
		}
	}
	if s.Temporary {
		s.Lab += "-" + strings.ToLower(rand.Text()[:8])
	}
	if !ValidLab(s.Lab) {
		return invalid("start lab", s.Lab, "that cannot name a lab", "a lab's name is a lower-case letter, then lower-case letters, digits, '-' or '_'")
	}
	if s.Home == "" {
		home, err := Home()
		if err != nil {
			return err
		}
		s.Home = home
	}
	if s.ReadyIn == 0 {
		s.ReadyIn = DefaultReadyIn
	}
	if s.Who == "" {
		s.Who = "cli"
	}
	return nil
}

// ValidLab reports whether a lab can have that name; it becomes a folder's name.
func ValidLab(lab string) bool {
	return len(lab) <= MaxLabName && kit.NodeName("a"+lab[:min(len(lab), kit.MaxNodeName-1)]).Valid() && lab != "" && lab[0] >= 'a' && lab[0] <= 'z' &&
		strings.Trim(lab, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func invalid(op, what, why, hint string) error {
	return &kit.Error{Op: op, What: what, Kind: kit.Invalid, Err: errors.New(why), Hint: hint}
}

// Cluster is a handle on a lab that was started, by this process or another. It is safe for concurrent use.
type Cluster struct {
	files   files
	who     string
	journal *door.Journal
	opened  time.Time

	mu      sync.Mutex
	lab     labFile
	clients map[clientKey]*door.Client
	Cleared bool       // what was left of an earlier start of the lab was cleared away
	leash   []*os.File // held open as long as a temporary cluster may live
	work    sync.WaitGroup
	ctx     context.Context // of Go's functions; ends with Close
	cancel  context.CancelFunc
	closed  bool
}

// clientKey: each client has a connection of its own, so that one who waits does not hold up another.
type clientKey struct {
	node   kit.NodeName
	client string
}
