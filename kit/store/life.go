package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/commit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// StartOptions are the parameters of a start.
type StartOptions struct {
	// ExtraNodes are nodes to ask for a schema besides those that the own schema names; a node without a disc
	// joins a cluster through them. Nil means those of the start before.
	ExtraNodes []kit.NodeName
	// IgnoreFallback leaves a fallback that is installed for a later start.
	IgnoreFallback bool
	// DumpWrites is after how many writes of the log it is dumped into the images (dump_log_write_threshold); 0 lets the
	// store choose: 524288 changes or 128 MiB. DumpEvery is after how long (dump_log_time_threshold); 0 means
	// DefaultDumpEvery.
	DumpWrites int
	DumpEvery  time.Duration
}

// Start starts the store: it reads its schema, joins the stores that run on the nodes of the schema, and begins to load
// its tables. Starting one that runs does nothing. A schema that cannot be merged with the others' is
// {error, start_failed}, and a mnesia_fatal event tells why.
//
// Nodes whose link is up, or can be brought up now (see Connector), are asked. One that comes up later and runs
// already is a partition.
func (s *Store) Start(ctx context.Context, opts StartOptions) error {
	s.life.Lock()
	defer s.life.Unlock()
	s.mu.Lock()
	if s.phase == running {
		s.mu.Unlock()
		return nil
	}
	s.complete(&opts)
	var err error
	if !opts.IgnoreFallback && s.set["ignore_fallback_at_startup"] != term.Term(term.Atom("true")) {
		err = s.useFallback()
	}
	if err == nil {
		err = s.brokenBy()
	}
	var defs map[string]*Def
	if err == nil {
		defs, err = s.readDefs()
	}
	if err != nil {
		s.mu.Unlock()
		s.fatal(err.Error())
		return failed("start_failed")
	}
	s.begin(defs, opts)
	s.mu.Unlock()
	s.connectAll(ctx, opts.ExtraNodes)
	s.tellStatus(statusAsk)
	if err := s.joinAll(ctx, opts.ExtraNodes); err != nil {
		s.halt()
		var e *Error
		if !errors.As(err, &e) || e.Class != Failed {
			return err
		}
		s.fatal(fatalText(e))
		return failed("start_failed")
	}
	s.mu.Lock()
	life := s.ctx
	s.mu.Unlock()
	s.settle(life)
	mine := s.initialLoads(life) // before the others hear of this node, so that they leave these tables to it
	s.announce()
	s.mu.Lock()
	s.go_(s.regulate)
	s.go_(func(context.Context) {
		s.loadAll(mine)
		s.startLoads()
	})
	s.mu.Unlock()
	return nil
}

// fatalText is Mnesia's message about a schema that cannot be merged.
func fatalText(e *Error) string {
	return "Failed to merge schema: " + mergeText(e)
}

// mergeText says why two schemas cannot be merged.
func mergeText(e *Error) string {
	text := term.String(e.Reason)
	if t, ok := e.Reason.(term.Tuple); ok && len(t) == 2 {
		what, _ := t[0].(term.Bin)
		tab, _ := t[1].(term.Atom)
		switch {
		case tab == "schema":
			return string(what)
		case what == badCookie:
			return string(what) + " " + string(tab) + ": ..."
		}
		return string(what) + " " + string(tab)
	}
	return text
}

// begin prepares a start. Callers hold mu.
func (s *Store) begin(defs map[string]*Def, opts StartOptions) {
	s.phase = starting
	s.epoch++
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tasks = &sync.WaitGroup{}
	s.extra = opts.ExtraNodes
	s.beginFlow(opts)
	s.tabs = map[string]*tab{}
	s.nodes, s.since = map[kit.NodeName]bool{}, map[kit.NodeName]uint64{}
	s.damaged, s.chosen = map[string]error{}, false
	clear(s.missed)
	s.loads, s.intents, s.flushes, s.sends = map[string]*loading{}, map[string]bool{}, map[flushKey]*flush{}, map[flushKey]*sending{}
	if len(defs) == 0 {
		id := s.clock.next()
		defs["schema"] = schemaDef(Cookie{id.Time, id.Node}, []kit.NodeName{s.self}, nil)
	}
	for name, d := range defs {
		s.tabs[name] = &tab{Def: d, own: d.storage(s.self)}
	}
	s.lockDoubts()
	s.publish()
}

// becomeRunning ends the start when nobody else has to be joined. Callers hold mu.
func (s *Store) becomeRunning() {
	s.phase = running
	s.startDowns = maps.Clone(s.downs)
	s.enter(s.self)
	s.setTab("schema", func(t *tab) {
		t.active = sorted(t.active, []kit.NodeName{s.self})
		t.from, t.why = s.self, loadInitial
	})
	s.reroute("schema")
	s.publish()
	s.count.commits.Add(startCommits)
	if len(s.nodes) > 1 {
		s.count.commits.Add(1) // the schemas were merged
	}
	s.count.schema.Add(startCommits)
}

// startCommits is how many transactions Mnesia's start performs on the schema.
const startCommits = 2

// Stop stops the store: open transactions are aborted, the log is brought to the disc. Stopping one that does not run
// does nothing.
func (s *Store) Stop(context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	s.mu.Lock()
	was := s.phase
	s.mu.Unlock()
	if was != running {
		return nil
	}
	s.hub.system(Event{Kind: "mnesia_down", Node: s.self})
	s.halt()
	s.hub.endAll()
	if s.disk != nil {
		return s.disk.Sync(0)
	}
	return nil
}

// halt ends everything that a start has begun.
func (s *Store) halt() {
	s.mu.Lock()
	s.phase = stopping
	s.publish()
	cancel, tasks := s.cancel, s.tasks
	s.mu.Unlock()
	cancel()
	s.cp.thawAll("")
	txs := s.open.list()
	s.giveUp()
	for _, tx := range txs {
		tx.Close()
	}
	tasks.Wait()
	s.mu.Lock()
	clear(s.flushes)
	s.phase = stopped
	s.tabs, s.nodes, s.since = map[string]*tab{}, map[kit.NodeName]bool{}, map[kit.NodeName]uint64{}
	s.publish()
	s.mu.Unlock()
	s.locks.mu.Lock()
	s.locks.table = lock.New()
	s.locks.waiting = map[lockID]remoteWait{}
	s.locks.stuck = map[string]bool{}
	s.locks.mu.Unlock()
	s.part.mu.Lock()
	s.part.voted = map[commitID]*voted{}
	s.part.mu.Unlock()
	s.readDoubts()
	s.cp.reset(s.disk != nil)
	s.count = counters{}
	s.tellStatus(0)
}

// giveUp aborts the commits of this node that are not decided, and lets go of those that wait for others to apply.
func (s *Store) giveUp() {
	s.part.mu.Lock()
	driven := sortedIDs(s.part.driven)
	s.part.mu.Unlock()
	for _, id := range driven {
		s.giveUpOn(id, reason("node_not_running", node(s.self)))
		for _, n := range s.peers.Up() {
			s.step(id, func(c *commit.Coordinator) commit.Step { return c.Down(n) })
		}
	}
}

// fatal reports that the store cannot go on.
func (s *Store) fatal(text string) {
	s.hub.system(Event{Kind: "mnesia_fatal", Text: text})
}

// breakDown reports that this node's copies lack something that others have, and stops the store, as Mnesia does: copies
// that differ must not go on serving. It returns at once, since it is called by what a stop waits for.
func (s *Store) breakDown(text string) {
	s.fatal(text)
	s.ends.Go(func() { _ = s.Stop(context.Background()) }) // the disc has failed already
}

// fatalLater is fatal for callers that hold mu.
func (s *Store) fatalLater(text string) { s.fatal(text) }

// Status flags.
const (
	statusFresh  = 1 << iota // the first one since the link came up
	statusAsk                // an answer is wanted
	statusAnswer             // the answer
)

// link is what is known of a peer whose link is up.
type link struct {
	phase   phase
	told    bool // it has told its phase since it was last asked
	sees    bool // it has recorded that we went down
	masters bool // it has master nodes for the schema
	stops   int  // how often it has said that it does not run
}

// tellStatus tells all peers, or those named, what this store is doing.
func (s *Store) tellStatus(flags uint64, to ...kit.NodeName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(to) == 0 {
		to = slices.Sorted(maps.Keys(s.links))
	}
	for _, n := range to {
		if l := s.links[n]; l != nil && flags&statusAsk != 0 {
			l.told = false
		}
		w := newFrame(fStatus).num(uint64(s.phase)).num(flags).flag(s.downs[n]).flag(len(s.masters["schema"]) > 0).num(s.clock.last.Load())
		s.peers.Send(n, w.b)
	}
}

// PeerUp tells that the link to a node is up.
func (s *Store) PeerUp(n kit.NodeName) {
	s.mu.Lock()
	s.links[n] = &link{}
	s.publish()
	asks, flags := s.phase == running || s.phase == starting, uint64(statusFresh)
	if s.phase == starting { // it waits for everybody's answer, and n may not have heard the question
		flags |= statusAsk
	}
	s.mu.Unlock()
	s.tellStatus(flags, n)
	s.compare(n)
	if asks {
		s.askDoubts(n)
	}
}

// onStatus takes a peer's status. A peer that runs, and ran before the link came up, while each saw the other go down, is
// a partitioned network: both are told, nothing is merged.
func (s *Store) onStatus(from kit.NodeName, r *reader) {
	ph, flags, sees, masters := phase(r.num()), r.num(), r.flag(), r.flag()
	now := lock.Tx{Time: r.num()}
	if r.err != nil || ph > stopping {
		return
	}
	s.clock.see(now) // a name that this node gave before a restart is not given again
	s.mu.Lock()
	l := s.links[from]
	if l == nil {
		l = &link{}
		s.links[from] = l
	}
	gone := l.phase == running && (ph == stopped || ph == stopping) || s.nodes[from] && ph == stopped
	l.phase, l.sees, l.masters = ph, sees, masters
	if ph == stopped || ph == stopping {
		l.stops++
	}
	l.told = l.told || flags&statusAnswer != 0
	split := flags&statusFresh != 0 && s.phase == running && ph == running && s.downs[from] && sees && !masters && !s.nodes[from]
	s.publish()
	s.mu.Unlock()
	if flags&statusAsk != 0 {
		s.tellStatus(statusAnswer, from)
	}
	if split {
		s.hub.system(Event{Kind: "inconsistent_database", Context: "running_partitioned_network", Node: from})
	}
	if gone {
		s.nodeDown(from)
	}
}

// PeerDown tells that the link to a node has gone.
func (s *Store) PeerDown(n kit.NodeName) {
	s.mu.Lock()
	delete(s.links, n)
	s.loseCopies(n)
	was := s.remove(n) // together with the link: who finds that it has gone looks at the copies anew, and must not find it there
	s.mu.Unlock()
	s.afterDown(n, was)
}

// nodeDown takes a store out of the cluster: its copies are not active any more, its transactions end.
func (s *Store) nodeDown(n kit.NodeName) {
	s.mu.Lock()
	was := s.remove(n)
	s.mu.Unlock()
	s.afterDown(n, was)
}

// remove takes a node and its copies out of what this node sees, and reports whether it was there. Callers hold mu.
func (s *Store) remove(n kit.NodeName) bool {
	was := s.nodes[n]
	if was {
		delete(s.nodes, n)
		delete(s.since, n)
		s.downs[n] = true
		notes := []disk.Change{{Op: disk.SetMeta, Key: metaDown(n), Value: term.Atom("true")}}
		for _, name := range sortedKeys(s.tabs) {
			s.leaveTable(name, n)
			notes = append(notes, s.noteBehind(name)...)
		}
		if err := s.saveNow(notes...); err != nil { // before the view without it lets anything be written
			s.fatalLater("cannot write the log: " + err.Error())
		}
	}
	s.publish()
	return was
}

// afterDown ends what waits for a node that was removed, and tells of it.
func (s *Store) afterDown(n kit.NodeName, was bool) {
	s.commitPeerDown(n)
	s.lockPeerDown(n, s.inDoubt())
	s.calls.peerDown(n)
	for _, tx := range s.open.list() {
		tx.lose(n)
	}
	s.loadPeerDown(n)
	s.cp.unstageFrom(n)
	if was {
		s.hub.system(Event{Kind: "mnesia_down", Node: n})
		s.startLoads()
	}
}

// leaveTable takes a node's copy of a table out of use. Callers hold mu.
func (s *Store) leaveTable(name string, n kit.NodeName) {
	t := s.tabs[name]
	if !slices.Contains(t.active, n) && !slices.Contains(t.joining, n) && t.read != n {
		return
	}
	not := func(x kit.NodeName) bool { return x == n }
	s.missed[name] = slices.DeleteFunc(s.missed[name], not)
	s.setTab(name, func(t *tab) {
		t.active = slices.DeleteFunc(slices.Clone(t.active), not)
		t.joining = slices.DeleteFunc(slices.Clone(t.joining), not)
	})
	s.reroute(name)
}

// CreateSchema makes an empty schema on the discs of nodes, on all or none. All must be reachable, their stores
// stopped, their discs without a schema. No nodes means this one.
func (s *Store) CreateSchema(ctx context.Context, nodes []kit.NodeName) error {
	if len(nodes) == 0 {
		nodes = []kit.NodeName{s.self}
	}
	given := nodes
	nodes = sorted(nodes)
	for _, n := range nodes {
		if n != s.self && !s.linked(n) {
			e := prose(Failed, "All nodes not running", node(n), term.Atom("nodedown"))
			e.At, e.kind = n, kit.Unavailable
			return e
		}
	}
	id := s.clock.next()
	def := schemaDef(Cookie{id.Time, id.Node}, nil, nodes)
	for _, n := range nodes {
		if err := s.atNode(ctx, n, "schema_check", def.term()); err != nil {
			return err
		}
	}
	switch {
	case len(nodes) < len(given):
		return failed("combine_error", nodeList(given))
	case !slices.Contains(nodes, s.self):
		return prose(Failed, "Cannot install fallback", term.T(term.Str("No disc resident schema on local node"), nodeList(nodes)))
	}
	for _, n := range nodes {
		if err := s.atNode(ctx, n, "schema_make", def.term()); err != nil {
			return err
		}
	}
	return nil
}

// atNode calls a method on another node, or here.
func (s *Store) atNode(ctx context.Context, n kit.NodeName, name string, arg term.Term) error {
	if n == s.self {
		_, err := s.methods[name](s, n, arg)
		return err
	}
	_, err := s.call(ctx, n, name, arg)
	return err
}

func schemaCheck(s *Store, _ kit.NodeName, _ term.Term) (term.Term, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != stopped || s.useDir() {
		e := failed("already_exists", node(s.self))
		e.At = s.self
		return nil, e
	}
	if s.disk == nil {
		e := failed("has_no_disc", node(s.self))
		e.At = s.self
		return nil, e
	}
	return nil, nil
}

func schemaMake(s *Store, _ kit.NodeName, arg term.Term) (term.Term, error) {
	d, ok := defOf(arg)
	if !ok {
		return nil, failed("badarg", arg)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.wipe(); err != nil {
		return nil, err
	}
	clear(s.downs)
	clear(s.masters)
	lsn, err := s.disk.Append(disk.Change{Op: disk.SetMeta, Key: metaTable("schema"), Value: d.term()})
	if err == nil {
		err = s.disk.Sync(lsn)
	}
	return nil, err
}

// DeleteSchema removes everything from the discs of nodes, whose stores must be stopped.
func (s *Store) DeleteSchema(ctx context.Context, nodes []kit.NodeName) error {
	var missing, up term.List
	for _, n := range sorted(nodes) {
		if n == s.self {
			if s.Running() {
				up = append(up, node(n))
			}
			continue
		}
		v, err := s.call(ctx, n, "running", term.List{})
		switch {
		case err != nil:
			missing = append(missing, node(n))
		case v == term.Term(term.Atom("yes")):
			up = append(up, node(n))
		}
	}
	switch {
	case len(missing) > 0:
		e := prose(Failed, "All nodes not running", missing)
		e.kind = kit.Unavailable
		return e
	case len(up) > 0:
		return prose(Failed, "Mnesia is not stopped everywhere", up)
	}
	for _, n := range sorted(nodes) {
		if err := s.atNode(ctx, n, "schema_delete", term.List{}); err != nil {
			return err
		}
	}
	return nil
}

func schemaDelete(s *Store, _ kit.NodeName, _ term.Term) (term.Term, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != stopped {
		return nil, prose(Failed, "Mnesia is not stopped everywhere", term.L(node(s.self)))
	}
	clear(s.downs)
	clear(s.masters)
	return nil, s.wipe()
}

// Running reports whether the store runs.
func (s *Store) Running() bool {
	v := s.view.Load()
	return v != nil && v.up
}

// Phase gives what the store is doing, in Mnesia's words: no, starting, yes, stopping.
func (s *Store) Phase() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return [...]string{"no", "starting", "yes", "stopping"}[s.phase]
}
