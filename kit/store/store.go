package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// Config is what a store needs from outside. A nil Disk means a node without a disc. The caller owns the disc and
// closes it after the store.
type Config struct {
	Peers Peers
	Disk  *disk.Disk
	// Files keeps backups and text dumps by name. Without it they lie beside the log on the disc.
	Files Files
	// Watch, if set, is told of every system event, also of those of the start, when nobody can have subscribed. It
	// must not call the store.
	Watch func(Event)
}

// phase says what the store is doing.
type phase uint8

const (
	stopped phase = iota
	starting
	running
	stopping
)

// Store is one node's part of the replicated store. All methods are safe for concurrent use.
//
// Locks are taken in the order life, mu, gate, a table's, then the small ones (locks, calls, hub), which are
// never held while calling out.
type Store struct {
	self  kit.NodeName
	peers Peers
	later func(to kit.NodeName, frame []byte) // LaterSender's, or Send
	disk  *disk.Disk
	files Files
	cp    checkpoints
	hub   hub
	clock clock
	locks locks
	calls calls
	count counters
	flow  flow
	born  uint64 // the clock when the store was opened

	methods map[string]method // what other stores may ask
	slowly  map[string]method // and what is served beside the frames that follow

	life sync.Mutex // serialises Start, Stop and the making and deleting of schemas

	view atomic.Pointer[view] // what the data path sees; nil when the store does not run
	gate sync.RWMutex         // held shared by dirty writes from choosing the copies to having sent to them

	mu         sync.Mutex // guards what follows: the control plane
	phase      phase
	epoch      uint64 // counts starts
	ctx        context.Context
	cancel     context.CancelFunc
	tasks      *sync.WaitGroup // goroutines of this start
	tabs       map[string]*tab
	nodes      map[kit.NodeName]bool   // running stores of this cluster, with this one
	since      map[kit.NodeName]uint64 // for each of nodes, a number that is new whenever it joins
	joins      uint64
	links      map[kit.NodeName]*link
	downs      map[kit.NodeName]bool // those whose going down was seen and who have not joined since
	startDowns map[kit.NodeName]bool // downs as they were when this start joined the others
	chosen     bool                  // this start has decided what it loads from its own disc
	masters    map[string][]kit.NodeName
	known      map[string]knowledge
	missed     map[string][]kit.NodeName // active copies that a transaction has left out, until they go down
	changed    chan struct{}             // closed and replaced on every change that somebody may wait for
	loads      map[string]*loading
	intents    map[string]bool           // tables this node is about to load from its disc
	ends       sync.WaitGroup            // stops that the store itself has ordered
	preloaded  map[kit.NodeName][]string // while this node joins: what others have loaded since they answered
	damaged    map[string]error          // tables whose copy on disc could not be read
	flushes    map[flushKey]*flush
	sends      map[flushKey]*sending
	debug      string
	extra      []kit.NodeName
	set        map[term.Atom]term.Term // parameters that were set; never changed, only replaced
	slow       int                     // slow requests being served

	open openTxs
	part participants
	here []kit.NodeName // this node alone
}

// counters are the figures of system_info.
type counters struct {
	commits, failures, restarts, logged atomic.Int64
	schema                              atomic.Int64 // what Mnesia would have logged about the schema besides
}

// view is an immutable picture of the control plane.
type view struct {
	up     bool // started; while it is not, only the store itself works with it
	tables map[string]*tab
	nodes  []kit.NodeName
}

// tab is one table as this node sees it; it is never changed.
type tab struct {
	*Def
	data    *data          // the own copy; nil without one, and before it is loaded
	active  []kit.NodeName // nodes with a loaded copy, sorted: where writes go and are locked
	joining []kit.NodeName // nodes that are loading a copy: writes go there too
	read    kit.NodeName   // where reads go; empty: nowhere
	own     Storage
	forced  bool
	from    kit.NodeName // where the own copy's rows came from; empty before it is loaded
	why     term.Term    // the reason for loading it, as Mnesia names it
	buf     *buffer      // takes writes while the own copy is being loaded
}

// targets lists the nodes that a write goes to.
func (t *tab) targets() []kit.NodeName {
	if t.ReadOnly {
		return nil
	}
	if len(t.joining) == 0 {
		return t.active
	}
	return sorted(t.active, t.joining)
}

// writers lists the nodes where a write is locked: where_to_write.
func (t *tab) writers() []kit.NodeName {
	if t.ReadOnly {
		return nil
	}
	return t.active
}

// sorted merges lists of nodes.
func sorted(lists ...[]kit.NodeName) []kit.NodeName {
	ns := slices.Concat(lists...)
	slices.Sort(ns)
	return slices.Compact(ns)
}

// Open makes a store that is not started. Close ends it; it is safe twice.
func Open(cfg Config) (*Store, error) {
	if cfg.Peers == nil {
		return nil, &kit.Error{Op: "open store", Kind: kit.Invalid, Hint: "give Config.Peers; store.Alone(name) is a node of its own"}
	}
	s := &Store{self: cfg.Peers.Self(), peers: cfg.Peers, disk: cfg.Disk, debug: "none",
		tabs: map[string]*tab{}, nodes: map[kit.NodeName]bool{}, since: map[kit.NodeName]uint64{}, links: map[kit.NodeName]*link{},
		downs: map[kit.NodeName]bool{}, masters: map[string][]kit.NodeName{}, known: map[string]knowledge{}, missed: map[string][]kit.NodeName{}, changed: make(chan struct{}),
		loads: map[string]*loading{}, intents: map[string]bool{}, flushes: map[flushKey]*flush{}, sends: map[flushKey]*sending{},
		here: []kit.NodeName{cfg.Peers.Self()}, methods: methods(), slowly: slowMethods()}
	s.later = cfg.Peers.Send
	if l, ok := cfg.Peers.(LaterSender); ok {
		s.later = l.SendLater
	}
	s.meter()
	s.hub.opened, s.hub.watch = time.Now(), cfg.Watch
	s.files = cfg.Files
	s.clock.open(s.self)
	s.cp.most = MaxRetained
	s.born = s.clock.next().Time
	s.locks.init()
	s.calls.init()
	s.part.init()
	for _, n := range cfg.Peers.Up() {
		s.links[n] = &link{}
	}
	s.readMeta()
	s.readDoubts()
	s.openSplit()
	return s, nil
}

// Close stops the store.
func (s *Store) Close() error {
	err := s.Stop(context.Background())
	s.flow.closed.Store(true)
	s.ends.Wait()
	return errors.Join(err, s.cp.split.Close())
}

// Self is the node's name.
func (s *Store) Self() kit.NodeName { return s.self }

// alone is a Peers without peers.
type alone struct{ name kit.NodeName }

func (a alone) Self() kit.NodeName        { return a.name }
func (a alone) Up() []kit.NodeName        { return nil }
func (a alone) Send(kit.NodeName, []byte) {}

// Alone is the Peers of a node that stands by itself: an embedded store without a cluster.
func Alone(name kit.NodeName) Peers { return alone{name} }

// publish makes the control plane's state visible to the data path. Callers hold mu.
func (s *Store) publish() {
	s.settleSplits()
	if s.phase == stopped {
		s.view.Store(nil)
	} else {
		v := &view{up: s.phase == running, tables: maps.Clone(s.tabs), nodes: slices.Sorted(maps.Keys(s.nodes))}
		s.view.Store(v)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// setTab replaces a table by a changed copy. Callers hold mu and publish afterwards.
func (s *Store) setTab(name string, change func(t *tab)) {
	old := s.tabs[name]
	if old == nil {
		return
	}
	t := *old
	change(&t)
	t.own = t.storage(s.self)
	s.tabs[name] = &t
}

// enter takes a node into the cluster. Callers hold mu.
func (s *Store) enter(n kit.NodeName) {
	s.joins++
	s.nodes[n], s.since[n] = true, s.joins
}

// tie is what a request to another node depends on: the link, and the node's stay in the cluster. Whoever sends a
// request notes the tie before it is registered with those who fail the requests to a node that goes, and looks
// again after it was sent. A tie that is the same still was whole all the time; had it broken, the request
// would have failed or will.
type tie struct {
	link  *link
	since uint64
}

func (s *Store) tie(n kit.NodeName) tie {
	s.mu.Lock()
	defer s.mu.Unlock()
	return tie{s.links[n], s.since[n]}
}

// reroute chooses anew where reads of a table go. Callers hold mu.
func (s *Store) reroute(name string) {
	s.setTab(name, func(t *tab) {
		switch {
		case slices.Contains(t.active, s.self):
			t.read = s.self
		case t.LocalContent:
			t.read = ""
		default:
			t.read = s.bestCopy(t)
		}
	})
}

// bestCopy is mnesia_lib:set_remote_where_to_read: the first active copy, those in memory first, and only a
// master's when there are masters.
func (s *Store) bestCopy(t *tab) kit.NodeName {
	masters := s.masters[t.Name]
	best := kit.NodeName("")
	for _, n := range t.active {
		if len(masters) > 0 && !slices.Contains(masters, n) || !s.nodes[n] {
			continue
		}
		if !slices.Contains(t.DiscOnly, n) {
			return n
		}
		if best == "" {
			best = n
		}
	}
	return best
}

// wait waits until ok says so, which is called with mu held after every change. It gives ctx's error.
func (s *Store) wait(ctx context.Context, ok func() bool) error {
	s.mu.Lock()
	for !ok() {
		c := s.changed
		s.mu.Unlock()
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
	}
	s.mu.Unlock()
	return nil
}

// go_ runs f as a task of this start; Stop waits for it. Callers hold mu.
func (s *Store) go_(f func(ctx context.Context)) {
	ctx := s.ctx
	s.tasks.Go(func() { f(ctx) })
}

// The names of what is kept in the disc's named values.
func metaTable(name string) term.Term   { return term.T(term.Atom("table"), term.Atom(name)) }
func metaKnown(tab string) term.Term    { return term.T(term.Atom("known"), term.Atom(tab)) }
func metaDown(n kit.NodeName) term.Term { return term.T(term.Atom("down"), term.Atom(n)) }
func metaMaster(tab string) term.Term   { return term.T(term.Atom("master"), term.Atom(tab)) }

// readMeta takes from the disc who was seen going down, and the master nodes.
func (s *Store) readMeta() {
	if s.disk == nil {
		return
	}
	for _, p := range s.disk.AllMeta() {
		k, ok := p.Key.(term.Tuple)
		if !ok || len(k) != 2 {
			continue
		}
		name, _ := k[1].(term.Atom)
		switch k[0] {
		case term.Term(term.Atom("down")):
			s.downs[kit.NodeName(name)] = true
		case term.Term(term.Atom("known")):
			if st, ok := knowledgeOf(p.Value); ok {
				s.known[string(name)] = st
				s.clock.see(lock.Tx{Time: st.at, Node: s.self})
			}
		case term.Term(term.Atom("master")):
			if l, ok := p.Value.(term.List); ok {
				s.masters[string(name)] = nodesOf(l)
			}
		}
	}
}

// readDefs gives the table definitions on the disc; empty when there is no schema.
func (s *Store) readDefs() (map[string]*Def, error) {
	defs := map[string]*Def{}
	if s.disk == nil {
		return defs, nil
	}
	for _, p := range s.disk.AllMeta() {
		k, ok := p.Key.(term.Tuple)
		if !ok || len(k) != 2 || k[0] != term.Term(term.Atom("table")) {
			continue
		}
		d, ok := defOf(p.Value)
		if !ok {
			return nil, &kit.Error{Op: "read schema", What: term.String(k[1]), Kind: kit.Corrupt}
		}
		defs[d.Name] = d
	}
	return defs, nil
}

// useDir reports whether this node keeps its schema on disc. Callers hold mu.
func (s *Store) useDir() bool {
	if s.disk == nil {
		return false
	}
	if t := s.tabs["schema"]; t != nil {
		return t.storage(s.self) == Disc
	}
	_, ok := s.disk.Meta(metaTable("schema"))
	return ok
}

// save appends changes to the disc when the node has one in use. Callers hold mu.
func (s *Store) save(changes ...disk.Change) error {
	if !s.useDir() || len(changes) == 0 {
		return nil
	}
	_, err := s.disk.Append(changes...)
	return err
}

// saveNow appends changes and waits until they are on the disc.
func (s *Store) saveNow(changes ...disk.Change) error {
	if !s.useDir() || len(changes) == 0 {
		return nil
	}
	lsn, err := s.disk.Append(changes...)
	if err != nil {
		return err
	}
	return s.disk.Sync(lsn)
}
