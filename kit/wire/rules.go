package wire

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"netsplit/kit"
)

// maxLinks bounds the peers that Rules remembers; a peer beyond it is never cut or counted.
const maxLinks = 4096

// Rules holds the current Rule towards each peer and counts what the rules did. It is safe for concurrent use,
// and its zero value is ready. Watch tells the network that a rule changed so that a loud cut can close connections.
type Rules struct {
	mu    sync.Mutex
	links map[kit.NodeName]*link
	watch []func(kit.NodeName, Rule)
}

// Counts says what the rules did to the traffic towards one peer since the node started: the receipt of a fault.
type Counts struct {
	Peer       kit.NodeName
	Held       uint64 // frames that waited out a silent cut, or still wait
	Dropped    uint64 // frames that a cut swallowed for good
	Refused    uint64 // connections that a cut refused, closed, or kept from being made
	Delayed    uint64 // frames and packets that a delay, or a lost segment, made late
	Lost       uint64 // packets that vanished
	Duplicated uint64 // packets that arrived twice
	Reordered  uint64 // packets held back so that later ones overtake them
}

// link is the rule towards one peer with its counters. A nil rule is a healthy link, so that the healthy path
// costs one atomic load a frame.
type link struct {
	rule    atomic.Pointer[Rule]
	changed atomic.Pointer[chan struct{}] // closed at the next change

	held, dropped, refused, delayed, lost, duplicated, reordered atomic.Uint64
}

// Set replaces the rule towards a peer; the zero Rule heals the direction. A rule that Check rejects is the
// caller's mistake: its chances and times are taken as they are.
func (r *Rules) Set(to kit.NodeName, rule Rule) {
	r.mu.Lock()
	l := r.linkLocked(to)
	if rule == (Rule{}) {
		l.rule.Store(nil)
	} else {
		l.rule.Store(&rule)
	}
	next := make(chan struct{})
	close(*l.changed.Swap(&next))
	watch := r.watch
	r.mu.Unlock()
	for _, f := range watch {
		f(to, rule)
	}
}

// To gives the rule towards a peer.
func (r *Rules) To(to kit.NodeName) Rule {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.links[to]; l != nil {
		return l.now()
	}
	return Rule{}
}

// Watch registers f to be called after every Set, outside the lock, on the caller's goroutine.
func (r *Rules) Watch(f func(kit.NodeName, Rule)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = append(slices.Clone(r.watch), f)
}

// Counts gives the receipts of every peer that a rule ever touched, by name.
func (r *Rules) Counts() []Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Counts
	for name, l := range r.links {
		c := Counts{
			Peer: name, Held: l.held.Load(), Dropped: l.dropped.Load(), Refused: l.refused.Load(), Delayed: l.delayed.Load(),
			Lost: l.lost.Load(), Duplicated: l.duplicated.Load(), Reordered: l.reordered.Load(),
		}
		if c != (Counts{Peer: name}) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Counts) int { return strings.Compare(string(a.Peer), string(b.Peer)) })
	return all
}

// Missed counts a frame that was lost because a cut had already taken the whole connection: there was nothing
// left to send it on. Without a cut it counts nothing.
func (r *Rules) Missed(to kit.NodeName) {
	if l := r.link(to); l.now().Cut != Whole {
		l.dropped.Add(1)
	}
}

// link gives the entry of a peer, made on first use.
func (r *Rules) link(to kit.NodeName) *link {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.linkLocked(to)
}

func (r *Rules) linkLocked(to kit.NodeName) *link {
	if l := r.links[to]; l != nil {
		return l
	}
	l := new(link)
	changed := make(chan struct{})
	l.changed.Store(&changed)
	if r.links == nil {
		r.links = map[kit.NodeName]*link{}
	}
	if len(r.links) < maxLinks {
		r.links[to] = l
	}
	return l
}

func (l *link) now() Rule {
	if r := l.rule.Load(); r != nil {
		return *r
	}
	return Rule{}
}

// passable waits while the direction is cut silently, as a lost connection request is sent again until one gets
// through. It fails at once under a loud cut, and when ctx ends.
func (l *link) passable(ctx context.Context, to kit.NodeName) error {
	for counted := false; ; counted = true {
		changed := *l.changed.Load()
		cut := l.now().Cut
		if cut == Whole {
			return nil
		}
		if !counted {
			l.refused.Add(1)
		}
		if cut == Loud {
			return cutErr(to)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return dialErr(to, ctx.Err())
		}
	}
}

func cutErr(to kit.NodeName) error {
	return &kit.Error{Op: "connect to", Kind: kit.Unavailable, What: string(to), Hint: "the link is cut; heal it to connect"}
}

func dialErr(to kit.NodeName, err error) error {
	return &kit.Error{Op: "connect to", Kind: kit.Unavailable, What: string(to), Err: err}
}
