package store

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// What happens when more comes than can be worked off. Three things are watched, each with a high-water mark: what waits
// to be sent to a peer, what the log holds that is not in the images, and transactions that wait. Reaching a mark is an
// episode: one system event mnesia_overload, and for the first two writers wait, at most until their context ends or
// maxRoomWait is over, which is kit.Overloaded; nothing was done then. Mnesia has the events, and no limit behind them.
//
//	{dump_log, write_threshold}                    the log was to be dumped again before the last dump was through
//	{mnesia_tm, message_queue_len, [Before, Now]}  transactions wait, as counted twice in ten seconds
//	{outbox, Node, Bytes}                          a peer takes more slowly than it is sent to; Mnesia has no such event
//
// # All queues and their bounds
//
//	to a peer              64 MiB (wire.MaxQueue); writers wait above 16 MiB; at the bound the link is reset
//	from a peer            one frame: the reader serves it before it takes the next
//	the log's next write   128 MiB; then refused
//	changes not dumped     4 Mi (disk.MaxPending), then refused; dumped from 512 Ki on, writers wait above 2 Mi
//	transactions           65536 open on a node, each with at most 1 Mi operations; then refused
//	a copy in the making   1 Mi operations; then it begins again. Its rows are sent 8 MiB ahead at most
//	locks of other nodes   what their open transactions ask for
//	slow requests          16 at a time; then refused
//	events                 4096 and 16 MiB for each subscriber; later ones are dropped and counted
//	outcomes remembered    16384
//	old rows of checkpoints, split journal, staged restores: see MaxRetained, SplitUse, Restore
//	a door's requests      door.MaxWaiting for each client; then refused

// Queuer is what Peers may be able to do besides: tell how many bytes wait to be sent to a node; 0 when that is not known.
type Queuer interface {
	Queued(to kit.NodeName) int
}

// The marks.
const (
	outboxHigh  = 16 << 20  // bytes to a peer above which writers wait
	outboxLow   = 4 << 20   // and below which they go on
	outboxLook  = 64 << 10  // bytes sent between two looks
	dumpChanges = 1 << 19   // changes in the log from which it is dumped, when no other threshold was set
	dumpBytes   = 128 << 20 // or bytes
	dumpHigh    = 1 << 21   // changes above which writers wait for the dump
	dumpLook    = 1 << 10   // log writes between two looks
	waitersHigh = 100       // transactions that wait, as in mnesia_recover
	waitersLook = 10 * time.Second
	roomPoll    = 5 * time.Millisecond
	maxRoomWait = 10 * time.Second
)

// DefaultDumpEvery is after how long a log is dumped that has anything in it (dump_log_time_threshold).
const DefaultDumpEvery = 3 * time.Minute

// flow is the state of what is watched.
type flow struct {
	queuer  Queuer
	sent    atomic.Int64 // bytes since the last look
	pressed atomic.Int32 // marks that are exceeded; 0 costs writers one load

	mu      sync.Mutex
	busy    map[kit.NodeName]bool
	behind  bool          // the dump
	changed chan struct{} // closed and replaced when room was made

	writes int64 // dump_log_write_threshold as set; 0: dumpChanges
	every  time.Duration
	base   atomic.Int64 // log writes at the last request to dump
	kick   chan struct{}
	asked  atomic.Bool  // a dump was asked for and is not through
	told   atomic.Bool  // and asked for again, and that was said
	mark   atomic.Int64 // changes in the log when it was asked for

	waiting atomic.Int32 // writers that wait for room
	crowded bool         // that many transactions wait was said; regulate's
	closed  atomic.Bool
}

// metered is Peers with a look at what waits.
type metered struct {
	Peers
	s *Store
}

func (m metered) Send(to kit.NodeName, frame []byte) {
	m.Peers.Send(to, frame)
	f := &m.s.flow
	if n := f.sent.Add(int64(len(frame))); n > outboxLook || len(frame) > outboxLook {
		f.sent.Store(0)
		if q := f.queuer.Queued(to); q > outboxHigh {
			m.s.peerBusy(to, q)
		}
	}
}

// Connect forwards Connector's.
func (m metered) Connect(ctx context.Context, to kit.NodeName) error {
	if c, ok := m.Peers.(Connector); ok {
		return c.Connect(ctx, to)
	}
	return &kit.Error{Op: "connect to", What: string(to), Kind: kit.Unavailable}
}

// meter looks at what waits for peers, where they can tell.
func (s *Store) meter() {
	s.flow.busy, s.flow.changed = map[kit.NodeName]bool{}, make(chan struct{})
	s.flow.kick = make(chan struct{}, 1)
	if q, ok := s.peers.(Queuer); ok {
		s.flow.queuer = q
		s.peers = metered{s.peers, s}
	}
}

// beginFlow begins to watch in a new start. Callers hold mu.
func (s *Store) beginFlow(opts StartOptions) {
	f := &s.flow
	f.writes, f.every = int64(opts.DumpWrites), opts.DumpEvery
	if f.every <= 0 {
		f.every = DefaultDumpEvery
	}
	f.base.Store(0)
	f.asked.Store(false)
	f.told.Store(false)
	f.crowded = false
}

func (s *Store) overloaded(what term.Term) {
	s.hub.system(Event{Kind: "mnesia_overload", Value: what})
}

// peerBusy begins an episode: writers to a peer wait until it has taken most of what waits. It never waits itself.
func (s *Store) peerBusy(n kit.NodeName, bytes int) {
	f := &s.flow
	f.mu.Lock()
	if f.busy[n] || f.closed.Load() {
		f.mu.Unlock()
		return
	}
	f.busy[n] = true
	f.pressed.Add(1)
	f.mu.Unlock()
	s.ends.Go(func() { s.watchPeer(n, bytes) })
}

func (s *Store) watchPeer(n kit.NodeName, bytes int) {
	s.overloaded(term.T(term.Atom("outbox"), node(n), term.Int(bytes)))
	f := &s.flow
	tick := time.NewTicker(roomPoll)
	defer tick.Stop()
	for f.queuer.Queued(n) > outboxLow && !s.flow.closed.Load() {
		<-tick.C
	}
	f.mu.Lock()
	delete(f.busy, n)
	f.mu.Unlock()
	f.roomMade()
}

// roomMade ends an episode and wakes those who wait.
func (f *flow) roomMade() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pressed.Add(-1)
	close(f.changed)
	f.changed = make(chan struct{})
}

// room waits until what a write of some tables adds to is below its mark.
func (s *Store) room(ctx context.Context, tabs ...string) error {
	if s.flow.pressed.Load() == 0 {
		return nil
	}
	v := s.view.Load()
	if v == nil {
		return nil
	}
	var to []kit.NodeName
	disc := false
	for _, name := range tabs {
		if t := v.tables[name]; t != nil {
			to = append(to, t.targets()...)
			disc = disc || t.own == Disc || t.own == DiscOnly
		}
	}
	return s.awaitRoom(ctx, to, disc)
}

func (s *Store) roomForOps(ctx context.Context, ops []op) error {
	if s.flow.pressed.Load() == 0 {
		return nil
	}
	tabs := make([]string, len(ops))
	for i := range ops {
		tabs[i] = ops[i].tab
	}
	slices.Sort(tabs)
	return s.room(ctx, slices.Compact(tabs)...)
}

func (s *Store) awaitRoom(ctx context.Context, to []kit.NodeName, disc bool) error {
	f := &s.flow
	var timer *time.Timer
	for {
		f.mu.Lock()
		what := f.blocks(to, disc)
		changed := f.changed
		f.mu.Unlock()
		if what == nil || s.flow.closed.Load() {
			return nil
		}
		if timer == nil {
			timer = time.NewTimer(maxRoomWait)
			defer timer.Stop()
			s.flow.waiting.Add(1)
			defer s.flow.waiting.Add(-1)
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
		case <-timer.C:
		}
		return &Error{Class: Aborted, Reason: reason("system_limit", what), kind: kit.Overloaded,
			hint: "nothing was written; what came before is not worked off yet: write more slowly, or see what keeps that node or its disc"}
	}
}

// blocks names what is over its mark, of what a write adds to. Callers hold mu.
func (f *flow) blocks(to []kit.NodeName, disc bool) term.Term {
	for _, n := range to {
		if f.busy[n] {
			return term.T(term.Atom("outbox"), node(n))
		}
	}
	if disc && f.behind {
		return term.Atom("dump_log")
	}
	return nil
}

// logged counts a write of the log, and asks for a dump when the threshold is reached.
func (s *Store) logged() {
	f := &s.flow
	n := s.count.logged.Add(1)
	if f.writes > 0 {
		if n-f.base.Load() < f.writes {
			return
		}
		f.base.Store(n)
		s.askDump()
		return
	}
	if n%dumpLook != 0 {
		return
	}
	changes, bytes := s.disk.Pending()
	if f.asked.Load() {
		bytes, changes = 0, changes-int(f.mark.Load()) // what came since
	}
	if changes >= dumpChanges || bytes >= dumpBytes {
		s.askDump()
	}
}

// askDump asks for a dump. Being asked again before that is through is an overload.
func (s *Store) askDump() {
	f := &s.flow
	changes, _ := s.disk.Pending()
	if !f.asked.Swap(true) {
		f.mark.Store(int64(changes))
		select {
		case f.kick <- struct{}{}:
		default: // there is one already
		}
		return
	}
	if !f.told.Swap(true) {
		s.overloaded(term.T(term.Atom("dump_log"), term.Atom("write_threshold")))
	}
	if changes > dumpHigh {
		f.mu.Lock()
		if !f.behind {
			f.behind = true
			f.pressed.Add(1)
		}
		f.mu.Unlock()
	}
}

// regulate dumps the log when asked to, or when time is up, and looks for transactions that wait.
func (s *Store) regulate(ctx context.Context) {
	f := &s.flow
	dump, look := time.NewTicker(f.every), time.NewTicker(waitersLook)
	defer dump.Stop()
	defer look.Stop()
	before := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			before = s.lookAtWaiters(before)
			continue
		case <-dump.C:
			if s.disk == nil {
				continue
			}
			if n, _ := s.disk.Pending(); n == 0 || f.asked.Swap(true) {
				continue
			}
		case <-f.kick:
		}
		s.dumpNow()
	}
}

func (s *Store) dumpNow() {
	f := &s.flow
	err := s.DumpLog()
	f.asked.Store(false)
	f.told.Store(false)
	f.mu.Lock()
	was := f.behind
	f.behind = false
	f.mu.Unlock()
	if was {
		f.roomMade()
	}
	if err != nil && s.Running() {
		s.hub.system(Event{Kind: "mnesia_error", Text: "cannot dump the log: " + err.Error()})
	}
}

// lookAtWaiters counts the transactions that wait here for a lock, a decision or room.
func (s *Store) lookAtWaiters(before int) int {
	s.locks.mu.Lock()
	now := len(s.locks.asked) + len(s.locks.waiting)
	s.locks.mu.Unlock()
	s.part.mu.Lock()
	now += len(s.part.driven) + len(s.part.voted)
	s.part.mu.Unlock()
	now += int(s.flow.waiting.Load())
	switch {
	case now <= waitersHigh:
		s.flow.crowded = false
	case before > waitersHigh && !s.flow.crowded:
		s.flow.crowded = true
		s.overloaded(term.T(term.Atom("mnesia_tm"), term.Atom("message_queue_len"), term.L(term.Int(before), term.Int(now))))
	}
	return now
}
