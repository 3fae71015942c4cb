package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// The moment of a checkpoint is the same on all nodes. The node that makes it asks all running nodes to hold their
// decisions: commits go on up to the point where they would be decided, and wait there. Each node then tells all others,
// on the links on which its decisions went before; a node that has heard this from all has applied every decision there
// is, and notes its part of the checkpoint. When all have, decisions go on. So a transaction is in a checkpoint on all
// nodes or on none. Decisions wait for two round trips, and what is open or waits for locks does not hinder it.
//
// Mnesia waits for the transactions that are pending at that moment instead.

// maxFreeze is how long decisions are held at most; a checkpoint that is not made by then is given up.
const maxFreeze = 3 * time.Second

// Limits of freezes: at a time on a node, and tries to find a moment in which no node comes or goes.
const (
	maxFreezes     = 64
	maxFreezeTries = 20
)

// freeze is a moment in which this node holds its decisions.
type freeze struct {
	from   kit.NodeName
	nodes  []kit.NodeName // who is asked to; nil before this node itself was
	heard  map[kit.NodeName]bool
	ready  chan struct{} // closed when all have been heard
	gone   chan struct{} // closed when it is over
	timer  *time.Timer
	holds  bool // it holds the node's decisions
	spoilt bool // something was decided meanwhile that is not on all nodes
}

// freezer is a node's part in the freezes. It is a lock that those who decide share and a freeze has alone; those who wait
// for it wait at a channel, since that may be long.
type freezer struct {
	deciding atomic.Int64    // commits from being decided to being told
	held     atomic.Bool     // none may begin
	holdMu   sync.Mutex      // guards what follows
	holds    int             // freezes
	open     chan struct{}   // closed when none holds any more
	idle     []chan struct{} // closed when nothing is being decided
}

// begin begins a decision; it waits while a freeze holds.
func (f *freezer) begin() {
	f.deciding.Add(1)
	for f.held.Load() {
		f.end()
		f.holdMu.Lock()
		open := f.open
		f.holdMu.Unlock()
		if open != nil {
			<-open
		}
		f.deciding.Add(1)
	}
}

// end ends a decision.
func (f *freezer) end() {
	if f.deciding.Add(-1) > 0 || !f.held.Load() {
		return
	}
	f.holdMu.Lock()
	defer f.holdMu.Unlock()
	for _, c := range f.idle {
		close(c)
	}
	f.idle = nil
}

// hold returns when nothing is being decided, and keeps it so until letGo.
func (f *freezer) hold() {
	f.holdMu.Lock()
	if f.holds++; f.holds == 1 {
		f.open = make(chan struct{})
		f.held.Store(true)
	}
	var idle chan struct{}
	if f.deciding.Load() > 0 {
		idle = make(chan struct{})
		f.idle = append(f.idle, idle)
	}
	f.holdMu.Unlock()
	if idle != nil {
		<-idle
	}
}

func (f *freezer) letGo() {
	f.holdMu.Lock()
	defer f.holdMu.Unlock()
	if f.holds--; f.holds == 0 {
		f.held.Store(false)
		close(f.open)
		f.open = nil
	}
}

// errAgain says that nodes came or went while the moment was being made.
var errAgain = errors.New("the cluster changed")

// atOnce calls f when no transaction is half applied on any node, and keeps it so until f returns. f gets the name of
// the moment and must be quick. When that comes to nothing, undo takes back what it did.
func (s *Store) atOnce(ctx context.Context, f func(ctx context.Context, id string) error, undo func()) error {
	ctx, cancel := context.WithTimeout(ctx, maxFreezeTries*maxFreeze)
	defer cancel()
	var err error
	for try := range maxFreezeTries {
		if err = s.tryAtOnce(ctx, f); err == nil {
			return nil
		}
		undo()
		if !errors.Is(err, errAgain) {
			return err
		}
		select {
		case <-time.After(time.Duration(try+1) * 5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return &Error{Class: Failed, Reason: term.T(term.Str("Cannot prepare checkpoint (the cluster changes)"), node(s.self)), kind: kit.Unavailable,
		hint: "try again when no node starts, stops, or is in doubt about a transaction"}
}

func (s *Store) tryAtOnce(ctx context.Context, f func(ctx context.Context, id string) error) error {
	v := s.view.Load()
	if v == nil || !v.up {
		return failed("node_not_running", node(s.self))
	}
	tick := s.clock.next()
	id := fmt.Sprintf("%s %d", tick.Node, tick.Time)
	ctx, cancel := context.WithTimeout(ctx, maxFreeze)
	defer cancel()
	thawed := true
	defer func() {
		if !thawed {
			for _, n := range v.nodes {
				s.castNode(n, "checkpoint_thaw", term.Atom(id))
			}
		}
	}()
	if err := s.askAll(ctx, v.nodes, "running", term.List{}); err != nil { // a node that hangs must not hold up the others
		return err
	}
	thawed = false
	if err := s.askAll(ctx, v.nodes, "checkpoint_freeze", term.T(term.Atom(id), nodeList(v.nodes))); err != nil {
		return err
	}
	if err := f(ctx, id); err != nil {
		return err
	}
	thawed = true
	return s.askAll(ctx, v.nodes, "checkpoint_thaw", term.Atom(id))
}

// askAll asks nodes at the same time; the first error counts.
func (s *Store) askAll(ctx context.Context, nodes []kit.NodeName, method string, arg term.Term) error {
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			if n == s.self {
				f := s.slowly[method]
				if f == nil {
					f = s.methods[method]
				}
				_, errs[i] = f(s, n, arg)
			} else {
				_, errs[i] = s.call(ctx, n, method, arg)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		var e *Error
		if errors.As(err, &e) && e.kindAtom() == "again" {
			return errAgain
		}
		if err != nil && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.kindAtom() == "mnesia_down") {
			return errAgain
		}
	}
	return errors.Join(errs...)
}

func (s *Store) castNode(n kit.NodeName, method string, arg term.Term) {
	if n == s.self {
		_, _ = s.methods[method](s, n, arg) // it is a cast
		return
	}
	s.cast(n, method, arg)
}

var errNotNow = failed("again")

// checkpointFreeze holds this node's decisions until checkpoint_thaw.
func checkpointFreeze(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	a, ok := arg.(term.Tuple)
	if !ok || len(a) != 2 {
		return nil, failed("badarg", arg)
	}
	name, ok1 := a[0].(term.Atom)
	l, ok2 := a[1].(term.List)
	if !ok1 || !ok2 {
		return nil, failed("badarg", arg)
	}
	nodes := nodesOf(l)
	if !s.sees(nodes) {
		return nil, errNotNow
	}
	s.cp.mu.Lock()
	f := s.cp.freeze(string(name), from)
	if f != nil && f.from == "" {
		f.from = from // another node was faster to hear of it
	}
	if f == nil || f.nodes != nil {
		s.cp.mu.Unlock()
		return nil, errNotNow
	}
	f.nodes = nodes
	f.timer = time.AfterFunc(maxFreeze, func() { s.cp.thaw(string(name)) })
	s.cp.mu.Unlock()
	s.cp.hold()
	s.cp.mu.Lock()
	f.holds = s.cp.frozen[string(name)] == f
	f.check()
	s.cp.mu.Unlock()
	if !f.holds {
		s.cp.letGo() // it was over before it began
		return nil, errNotNow
	}
	for _, n := range nodes {
		s.castNode(n, "checkpoint_frozen", name)
	}
	return nil, nil
}

// sees reports whether the running nodes are these, and nothing is in doubt whose outcome is being asked for.
func (s *Store) sees(nodes []kit.NodeName) bool {
	s.part.mu.Lock()
	for _, vt := range s.part.voted {
		if vt.p.Waiting() {
			s.part.mu.Unlock()
			return false
		}
	}
	s.part.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == running && slices.Equal(nodes, slices.Sorted(maps.Keys(s.nodes)))
}

// freeze finds a freeze or makes it; nil when there are too many. Callers hold mu.
func (c *checkpoints) freeze(id string, from kit.NodeName) *freeze {
	f := c.frozen[id]
	if f == nil && len(c.frozen) < maxFreezes {
		if c.frozen == nil {
			c.frozen = map[string]*freeze{}
		}
		f = &freeze{from: from, heard: map[kit.NodeName]bool{}, ready: make(chan struct{}), gone: make(chan struct{})}
		c.frozen[id] = f
	}
	return f
}

// checkpointFrozen hears that another node holds its decisions; all that it has decided came before.
func checkpointFrozen(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	id, _ := arg.(term.Atom)
	s.cp.mu.Lock()
	defer s.cp.mu.Unlock()
	f := s.cp.freeze(string(id), "")
	if f == nil || f.heard[from] {
		return nil, nil
	}
	f.heard[from] = true
	f.check()
	return nil, nil
}

// check notes when all have been heard. Callers hold the checkpoints' mu.
func (f *freeze) check() {
	if f.nodes == nil || slices.ContainsFunc(f.nodes, func(n kit.NodeName) bool { return !f.heard[n] }) {
		return
	}
	select {
	case <-f.ready:
	default:
		close(f.ready)
	}
}

// awaitFrozen waits until all nodes hold their decisions and all that was decided before is applied here.
func (s *Store) awaitFrozen(id string) error {
	s.cp.mu.Lock()
	f := s.cp.frozen[id]
	s.cp.mu.Unlock()
	if f == nil {
		return errNotNow
	}
	select {
	case <-f.ready:
		return nil
	case <-f.gone:
		return errNotNow
	}
}

// checkpointThaw lets decisions go on. It answers an error when they did not wait all the time, or a node came or went.
func checkpointThaw(s *Store, _ kit.NodeName, arg term.Term) (term.Term, error) {
	id, _ := arg.(term.Atom)
	f := s.cp.thaw(string(id))
	if f == nil || f.spoilt || !s.sees(f.nodes) {
		return nil, errNotNow
	}
	return nil, nil
}

// thaw ends a freeze and gives it; nil when it was over.
func (c *checkpoints) thaw(id string) *freeze {
	c.mu.Lock()
	f := c.frozen[id]
	if f == nil {
		c.mu.Unlock()
		return nil
	}
	delete(c.frozen, id)
	close(f.gone)
	if f.timer != nil {
		f.timer.Stop()
	}
	held := f.holds
	c.mu.Unlock()
	if held {
		c.letGo() // without mu, which those who decide may need before they are through
	}
	return f
}

// thawAll ends the freezes that a node began, or with an empty name all.
func (c *checkpoints) thawAll(from kit.NodeName) {
	c.mu.Lock()
	ids := slices.DeleteFunc(sortedKeys(c.frozen), func(id string) bool {
		f := c.frozen[id]
		return from != "" && f.from != from && (f.from != "" || !f.heard[from])
	})
	c.mu.Unlock()
	for _, id := range ids {
		c.thaw(id)
	}
}

// spoil notes that something was decided without its coordinator: others may have it before or after this moment.
func (c *checkpoints) spoil() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frozen {
		f.spoilt = true
	}
}
