package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// How tables get their content. At start a node loads from its own disc what no other node can know better; everything
// else it copies from a node that has it, or waits for one. The rules are those of mnesia_controller
// (last_consistent_replica, late_load_filter, orphan_tables); the comments name them.

// loading is a copy of a table on its way from another node.
type loading struct {
	from  kit.NodeName
	buf   *buffer
	rows  *data
	done  chan error // receives once
	ended bool
}

// buffer keeps the operations that come for a copy while its rows are still on their way.
type buffer struct {
	mu   sync.Mutex
	ops  []op
	done bool
	data *data // once done
}

// take keeps an operation; false when the copy is complete and takes it itself.
func (b *buffer) take(o *op) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return false
	}
	b.ops = append(b.ops, *o)
	return true
}

// flushKey names a copy in the making; flush is what its source waits for: that everything which was sent to it before
// the new copy became a target has arrived.
type flushKey struct {
	tab string
	to  kit.NodeName
}

type flush struct {
	begun bool // the source itself has been asked
	heard map[kit.NodeName]bool
}

// maxLoaders is how many tables are copied at a time (no_table_loaders).
const maxLoaders = 2

// retryLoad is how long a node waits before it tries a failed copy again.
const retryLoad = 100 * time.Millisecond

// safeLoad is last_consistent_replica: whether this node may load its own copy at start without asking for a
// better one.
func (s *Store) safeLoad(t *tab) bool {
	masters := s.masters[t.Name]
	var better []kit.NodeName
	for _, n := range t.holders() {
		if n != s.self && !s.startDowns[n] && t.storage(n) != RAM {
			better = append(better, n)
		}
	}
	switch {
	case len(t.holders()) == 1, t.LocalContent:
		return true
	case len(masters) > 0 && slices.Contains(masters, s.self):
		return true
	case len(masters) > 0:
		return false
	case t.own == RAM:
		return len(t.Disc)+len(t.DiscOnly) == 0
	case t.ReadOnly:
		return true
	}
	return len(better) == 0
}

// initialLoads gives the tables that may be loaded from the own disc at start.
func (s *Store) initialLoads(ctx context.Context) []string {
	s.mu.Lock()
	if s.tabs["schema"] != nil && s.tabs["schema"].own == RAM {
		s.startDowns = map[kit.NodeName]bool{}
	}
	var safe []string
	for name, t := range s.tabs {
		if name != "schema" && t.own != Unknown && t.data == nil && s.safeLoad(t) {
			safe = append(safe, name)
		}
	}
	s.mu.Unlock()
	return s.intend(ctx, safe)
}

// lateLoad loads tables from the own disc, except those that another node has loaded or is about to: these are copied
// from there.
func (s *Store) lateLoad(ctx context.Context, tabs []string) {
	s.loadAll(s.intend(ctx, tabs))
	s.startLoads()
}

func (s *Store) loadAll(tabs []string) {
	for _, name := range tabs {
		s.loadLocal(name)
	}
}

// intend decides which of some tables this node loads from its disc, and lets others know when they ask. A global lock
// keeps two nodes from deciding at the same time.
func (s *Store) intend(ctx context.Context, tabs []string) []string {
	if len(tabs) == 0 {
		return nil
	}
	var mine []string
	err := s.Transaction(ctx, func(tx *Tx) error {
		mine = nil
		v := s.view.Load()
		if v == nil {
			return abort("node_not_running", node(s.self))
		}
		if _, err := tx.LockGlobal(term.Atom("mnesia_late_disc_load"), v.nodes, WriteLock); err != nil {
			return err
		}
		theirs := map[string][]kit.NodeName{}
		for _, n := range v.nodes {
			if n == s.self {
				continue
			}
			r, err := s.call(ctx, n, "intents", term.List{})
			if err != nil {
				continue
			}
			l, _ := r.(term.List)
			for _, t := range l {
				if a, ok := t.(term.Atom); ok {
					theirs[string(a)] = append(theirs[string(a)], n)
				}
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, name := range tabs {
			if t := s.tabs[name]; t != nil && t.data == nil && t.own != Unknown && !s.heed(t, theirs[name]) {
				s.intents[name] = true
				mine = append(mine, name)
			}
		}
		return nil
	})
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(mine, s.before)
	return mine
}

// before orders tables for loading: greater load_order first. Callers hold mu.
func (s *Store) before(a, b string) int {
	x, y := s.tabs[a], s.tabs[b]
	switch {
	case x == nil || y == nil || x.LoadOrder == y.LoadOrder:
		return cmpStrings(a, b)
	case x.LoadOrder > y.LoadOrder:
		return -1
	}
	return 1
}

func cmpStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// heed is late_load_filter: whether another node's copy, loaded or about to be, is to be preferred.
func (s *Store) heed(t *tab, theirs []kit.NodeName) bool {
	if t.LocalContent || t.ReadOnly {
		return false
	}
	masters := s.masters[t.Name]
	for _, n := range theirs {
		if s.nodes[n] && (len(masters) == 0 || slices.Contains(masters, n)) {
			return true
		}
	}
	return false
}

// serveIntents tells which tables this node has loaded or is about to load from its disc.
func serveIntents(s *Store, _ kit.NodeName, _ term.Term) (term.Term, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.loadedHere()
	for _, name := range sortedKeys(s.intents) {
		l = append(l, term.Atom(name))
	}
	return l, nil
}

// loadLocal makes the own copy from the disc, or empty when it has none there.
func (s *Store) loadLocal(name string) {
	s.mu.Lock()
	t := s.tabs[name]
	s.mu.Unlock()
	if t == nil || t.own == Unknown || t.data != nil {
		return
	}
	d := newData(t.Def)
	if t.own != RAM {
		err := s.disk.Load(name, func(r term.Tuple) error {
			d.put(r)
			return nil
		})
		if err != nil && kit.KindOf(err) != kit.NotFound {
			s.fatal("cannot load table " + name + ": " + err.Error())
			return
		}
	}
	s.mu.Lock()
	delete(s.intents, name)
	if cur := s.tabs[name]; s.phase != running || cur == nil || cur.Def.Cookie != t.Def.Cookie || cur.data != nil {
		s.mu.Unlock()
		return
	}
	for _, pos := range s.tabs[name].Index {
		d.addIndex(pos)
	}
	s.setTab(name, func(t *tab) {
		t.data = d
		t.active = sorted(t.active, []kit.NodeName{s.self})
	})
	s.reroute(name)
	s.publish()
	others := s.others()
	s.mu.Unlock()
	for _, n := range others {
		s.cast(n, "loaded", term.Atom(name))
	}
}

// startLoads begins to copy tables that have an own copy to fill and a node to take it from.
func (s *Store) startLoads() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return
	}
	var names []string
	for name, t := range s.tabs {
		if name != "schema" && t.own != Unknown && t.data == nil && !t.LocalContent && s.loads[name] == nil && s.source(t) != "" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, s.before)
	for _, name := range names {
		if len(s.loads) >= maxLoaders {
			break
		}
		s.loads[name] = &loading{}
		s.go_(func(ctx context.Context) { s.copyTable(ctx, name) })
	}
}

// source gives the node to copy a table from: with master nodes only one of them, unless the load is forced.
func (s *Store) source(t *tab) kit.NodeName {
	if t.forced {
		for _, n := range t.active {
			if n != s.self && s.nodes[n] {
				return n
			}
		}
		return ""
	}
	if n := s.bestCopy(t); n != s.self {
		return n
	}
	return ""
}

// copyTable copies a table from another node. A read lock at all copies keeps transactions out; dirty writes go on and
// reach the new copy too, because it becomes a target everywhere before the source takes its picture.
func (s *Store) copyTable(ctx context.Context, name string) {
	err := s.copyOnce(ctx, name)
	s.mu.Lock()
	delete(s.loads, name)
	s.publish()
	s.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		s.unjoin(name)
		select {
		case <-time.After(retryLoad):
		case <-ctx.Done():
			return
		}
	}
	s.startLoads()
}

func (s *Store) copyOnce(ctx context.Context, name string) error {
	return s.Transaction(ctx, func(tx *Tx) error {
		if _, err := tx.LockTable(name, LoadLock); err != nil {
			return err
		}
		l, others, err := s.beginCopy(name)
		if err != nil || l == nil {
			return err
		}
		arg := term.T(term.Atom(name), term.Atom(l.from))
		for _, n := range others {
			if _, err := s.call(ctx, n, "joining", arg); err != nil && n == l.from {
				return err
			}
		}
		select {
		case err = <-l.done:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err == nil {
			err = s.endCopy(name, l)
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		others = s.others()
		s.mu.Unlock()
		for _, n := range others {
			if _, err := s.call(ctx, n, "loaded", term.Atom(name)); ctx.Err() != nil {
				return err
			}
		}
		return nil
	})
}

// beginCopy makes the own copy a target of writes that are kept until the rows are here.
func (s *Store) beginCopy(name string) (*loading, []kit.NodeName, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tabs[name]
	if t == nil || t.own == Unknown || t.data != nil {
		return nil, nil, nil
	}
	from := s.source(t)
	if from == "" {
		return nil, nil, abort("no_exists", term.Atom(name))
	}
	l := &loading{from: from, buf: &buffer{}, rows: newData(t.Def), done: make(chan error, 1)}
	s.loads[name] = l
	s.setTab(name, func(t *tab) {
		t.buf = l.buf
		t.joining = sorted(t.joining, []kit.NodeName{s.self})
	})
	s.publish()
	return l, s.others(), nil
}

// endCopy puts the copy into use.
func (s *Store) endCopy(name string, l *loading) error {
	s.mu.Lock()
	t := s.tabs[name]
	s.mu.Unlock()
	if t == nil || t.own == Unknown {
		return nil
	}
	b := l.buf
	b.mu.Lock()
	for i := range b.ops {
		l.rows.apply(&b.ops[i])
	}
	var err error
	if t.own != RAM {
		err = s.disk.Replace(name, slices.Values(l.rows.all()))
	}
	if err == nil {
		b.done, b.data, b.ops = true, l.rows, nil
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cur := s.tabs[name]; cur == nil || cur.own == Unknown {
		return nil
	}
	for _, pos := range s.tabs[name].Index {
		l.rows.addIndex(pos)
	}
	s.setTab(name, func(t *tab) {
		t.data, t.buf = l.rows, nil
		t.joining = slices.DeleteFunc(slices.Clone(t.joining), func(n kit.NodeName) bool { return n == s.self })
		t.active = sorted(t.active, []kit.NodeName{s.self})
	})
	s.reroute(name)
	s.publish()
	return nil
}

// unjoin takes back that this node is a target of a table's writes, after a copy that failed.
func (s *Store) unjoin(name string) {
	s.mu.Lock()
	s.setTab(name, func(t *tab) {
		if t.data == nil {
			t.buf = nil
			t.joining = slices.DeleteFunc(slices.Clone(t.joining), func(n kit.NodeName) bool { return n == s.self })
		}
	})
	s.publish()
	others := s.others()
	loaded := s.tabs[name] != nil && s.tabs[name].data != nil
	s.mu.Unlock()
	if loaded {
		return
	}
	for _, n := range others {
		s.cast(n, "unjoining", term.Atom(name))
	}
}

func tabArg(arg term.Term) (string, kit.NodeName) {
	if a, ok := arg.(term.Atom); ok {
		return string(a), ""
	}
	t, _ := arg.(term.Tuple)
	if len(t) != 2 {
		return "", ""
	}
	name, _ := t[0].(term.Atom)
	n, _ := t[1].(term.Atom)
	return string(name), kit.NodeName(n)
}

// serveJoining makes another node's copy a target of writes, and tells the source that everything which went to it
// alone has been sent.
func serveJoining(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	name, source := tabArg(arg)
	s.gate.Lock()
	defer s.gate.Unlock()
	s.mu.Lock()
	t := s.tabs[name]
	if t == nil || s.phase != running {
		s.mu.Unlock()
		return nil, abort("no_exists", term.Atom(name))
	}
	s.setTab(name, func(t *tab) { t.joining = sorted(t.joining, []kit.NodeName{from}) })
	s.publish()
	s.mu.Unlock()
	key := flushKey{name, from}
	if source == s.self {
		s.flushed(key, s.self)
	} else {
		s.cast(source, "flush", term.T(term.Atom(name), term.Atom(from)))
	}
	return nil, nil
}

func serveUnjoining(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	name, _ := tabArg(arg)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setTab(name, func(t *tab) {
		t.joining = slices.DeleteFunc(slices.Clone(t.joining), func(n kit.NodeName) bool { return n == from })
	})
	delete(s.flushes, flushKey{name, from})
	s.publish()
	return nil, nil
}

func serveFlush(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	name, to := tabArg(arg)
	s.flushed(flushKey{name, to}, from)
	return nil, nil
}

// flushed notes that a node has sent all it had before a new copy became a target. When all have, the rows go out.
func (s *Store) flushed(key flushKey, from kit.NodeName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return
	}
	f := s.flushes[key]
	if f == nil {
		if len(s.flushes) >= MaxTables {
			return
		}
		f = &flush{heard: map[kit.NodeName]bool{}}
		s.flushes[key] = f
	}
	f.heard[from] = true
	f.begun = f.begun || from == s.self
	s.trySend(key, f)
}

// trySend sends a table's rows when nothing is missing any more. Callers hold mu.
func (s *Store) trySend(key flushKey, f *flush) {
	if !f.begun {
		return
	}
	for n := range s.nodes {
		if n != key.to && !f.heard[n] {
			return
		}
	}
	delete(s.flushes, key)
	t := s.tabs[key.tab]
	s.go_(func(ctx context.Context) { s.sendRows(key, t) })
}

// chunkBytes is how much of a table goes into one frame, about.
const chunkBytes = 256 << 10

// sendRows sends a table to a node that makes a copy.
func (s *Store) sendRows(key flushKey, t *tab) {
	end := func(ok bool) {
		s.peers.Send(key.to, newFrame(fChunk).str(key.tab).num(map[bool]uint64{true: 1, false: 2}[ok]).num(0).b)
	}
	if t == nil || t.data == nil {
		end(false)
		return
	}
	rows := t.data.all()
	for len(rows) > 0 {
		w := &writer{}
		n := 0
		for n < len(rows) && len(w.b) < chunkBytes {
			w.term(rows[n])
			n++
		}
		f := newFrame(fChunk).str(key.tab).num(0).num(uint64(n))
		s.peers.Send(key.to, append(f.b, w.b...))
		rows = rows[n:]
	}
	end(true)
}

// onChunk takes rows of a copy that is being made here.
func (s *Store) onChunk(from kit.NodeName, r *reader) {
	name, what := r.str(), r.num()
	rows := r.rows()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.loads[name]
	if l == nil || l.from != from || l.ended {
		return
	}
	switch {
	case r.err != nil:
		l.end(broken("copy table", "%s from %s: %v", name, from, r.err))
	case what == 1:
		l.end(nil)
	case what == 2:
		l.end(abort("no_exists", term.Atom(name)))
	default:
		for _, row := range rows {
			l.rows.put(row)
		}
	}
}

func (l *loading) end(err error) {
	if !l.ended && l.done != nil {
		l.ended = true
		l.done <- err
	}
}

// loadPeerDown ends copies from a node that has gone, and sends those that waited for it.
func (s *Store) loadPeerDown(n kit.NodeName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range sortedKeys(s.loads) {
		if l := s.loads[name]; l.from == n {
			l.end(abort("mnesia_down", node(n)))
		}
	}
	keys := slices.SortedFunc(maps.Keys(s.flushes), func(a, b flushKey) int { return cmpStrings(a.tab+"/"+string(a.to), b.tab+"/"+string(b.to)) })
	for _, k := range keys {
		if k.to == n {
			delete(s.flushes, k)
			continue
		}
		s.trySend(k, s.flushes[k])
	}
}

// serveLoaded takes the news that another node has a loaded copy.
func serveLoaded(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	name, _ := tabArg(arg)
	s.mu.Lock()
	if s.nodes[from] {
		s.addActive(name, from)
		s.publish()
	}
	s.mu.Unlock()
	s.startLoads()
	return nil, nil
}

// adoptOrphans is orphan_tables: when a node has come up, tables whose disc copies are all on running nodes and which
// none of them has loaded are loaded by the node with the smallest name, or by a master.
func (s *Store) adoptOrphans(n kit.NodeName) {
	s.mu.Lock()
	if s.phase != running {
		s.mu.Unlock()
		return
	}
	var mine []string
	masters := map[kit.NodeName]term.List{}
	for _, name := range sortedKeys(s.tabs) {
		t := s.tabs[name]
		if name == "schema" || t.own == Unknown || t.read == s.self || len(t.active) > 0 {
			continue
		}
		disc := slices.Concat(t.Disc, t.DiscOnly)
		switch {
		case t.LocalContent:
			mine = append(mine, name)
		case !slices.Contains(disc, n):
			if len(disc) == 0 && !slices.ContainsFunc(t.RAM, func(x kit.NodeName) bool { return slices.Contains(s.tabs["schema"].Disc, x) }) {
				mine = append(mine, name)
			}
		case slices.ContainsFunc(disc, func(x kit.NodeName) bool { return !s.nodes[x] }):
		case slices.Min(disc) == s.self && len(s.masters[name]) == 0:
			mine = append(mine, name)
		case slices.Min(disc) == s.self:
			for _, m := range s.masters[name] {
				masters[m] = append(masters[m], term.Atom(name))
			}
		}
	}
	if l := masters[s.self]; l != nil {
		for _, t := range l {
			mine = append(mine, string(t.(term.Atom)))
		}
		delete(masters, s.self)
	}
	if len(mine) > 0 {
		s.go_(func(ctx context.Context) { s.lateLoad(ctx, mine) })
	}
	s.mu.Unlock()
	for _, m := range slices.Sorted(maps.Keys(masters)) {
		s.cast(m, "adopt", masters[m])
	}
}

// serveAdopt loads tables that a node without the right to has found orphaned.
func serveAdopt(s *Store, _ kit.NodeName, arg term.Term) (term.Term, error) {
	l, _ := arg.(term.List)
	var tabs []string
	for _, t := range l {
		if a, ok := t.(term.Atom); ok {
			tabs = append(tabs, string(a))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == running {
		s.go_(func(ctx context.Context) { s.lateLoad(ctx, tabs) })
	}
	return nil, nil
}

// WaitForTables waits until tables can be read here, or ctx ends: then the error is TimedOut with those that are missing.
func (s *Store) WaitForTables(ctx context.Context, tabs []string) error {
	if !s.Running() && s.Phase() == "no" {
		return failed("node_not_running", node(s.self))
	}
	var missing term.List
	err := s.wait(ctx, func() bool {
		missing = nil
		for _, name := range tabs {
			if t := s.tabs[name]; t == nil || t.read == "" || s.phase != running {
				missing = append(missing, term.Atom(name))
			}
		}
		return len(missing) == 0 || s.phase == stopped
	})
	switch {
	case len(missing) == 0:
		return nil
	case err == nil:
		return failed("node_not_running", node(s.self))
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		slices.SortFunc(missing, term.Compare)
		return &Error{Class: TimedOut, Reason: missing, kind: kit.Unavailable}
	}
	return err
}

// ForceLoadTable loads the own copy of a table whatever others may have, and waits until the table can be read.
func (s *Store) ForceLoadTable(ctx context.Context, name string) error {
	if name == "schema" {
		return failed("bad_type", term.Atom(name))
	}
	s.mu.Lock()
	t := s.tabs[name]
	if t == nil || s.phase != running {
		s.mu.Unlock()
		return failed("no_exists", term.Atom(name))
	}
	if t.own != Unknown && t.data == nil {
		s.setTab(name, func(t *tab) { t.forced = true })
		s.publish()
		s.go_(func(ctx context.Context) { s.lateLoad(ctx, []string{name}) })
	}
	s.mu.Unlock()
	return s.WaitForTables(ctx, []string{name})
}

// SetMasterNodes names the nodes from which tables are to be loaded, whoever went down last. An empty list takes it
// back. tab empty means all tables of this node, for each those of nodes that have a copy. It is kept on disc and
// may be called while the store is stopped.
func (s *Store) SetMasterNodes(tab string, nodes []kit.NodeName) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defs := map[string]*Def{}
	for name, t := range s.tabs {
		defs[name] = t.Def
	}
	if s.phase == stopped {
		var err error
		if defs, err = s.readDefs(); err != nil {
			return err
		}
	}
	var cs []disk.Change
	set := func(name string, ns []kit.NodeName) {
		if len(ns) == 0 {
			delete(s.masters, name)
			cs = append(cs, disk.Change{Op: disk.DelMeta, Key: metaMaster(name)})
			return
		}
		s.masters[name] = ns
		cs = append(cs, disk.Change{Op: disk.SetMeta, Key: metaMaster(name), Value: nodeList(ns)})
	}
	nodes = sorted(nodes)
	if tab != "" {
		d := defs[tab]
		if d == nil {
			return failed("no_exists", term.Atom(tab))
		}
		for _, n := range nodes {
			if !slices.Contains(d.holders(), n) {
				return failed("no_exists", term.Atom(tab), term.L(term.Atom(n)))
			}
		}
		set(tab, nodes)
		return s.saveMasters(cs)
	}
	for _, name := range sortedKeys(defs) {
		d := defs[name]
		holds := slices.DeleteFunc(slices.Clone(nodes), func(n kit.NodeName) bool { return !slices.Contains(d.holders(), n) })
		if name == "schema" || len(holds) > 0 || len(nodes) == 0 {
			set(name, holds)
		}
	}
	return s.saveMasters(cs)
}

func (s *Store) saveMasters(cs []disk.Change) error {
	if s.disk == nil {
		return nil
	}
	if s.phase == stopped {
		if _, ok := s.disk.Meta(metaTable("schema")); !ok {
			return nil
		}
	}
	lsn, err := s.disk.Append(cs...)
	if err != nil {
		return err
	}
	return s.disk.Sync(lsn)
}

// method serves a call. It must not wait for other nodes, because frames of one peer are served in turn.
type method func(s *Store, from kit.NodeName, arg term.Term) (term.Term, error)

// methods lists what one store may ask of another.
func methods() map[string]method {
	return map[string]method{
		"query":         serveQuery,
		"join_info":     serveJoinInfo,
		"join":          serveJoin,
		"node_up":       serveNodeUp,
		"intents":       serveIntents,
		"joining":       serveJoining,
		"unjoining":     serveUnjoining,
		"flush":         serveFlush,
		"loaded":        serveLoaded,
		"adopt":         serveAdopt,
		"schema_check":  schemaCheck,
		"schema_make":   schemaMake,
		"schema_delete": schemaDelete,
		"running":       serveRunning,
		"tx_label":      serveTxLabel,
	}
}

func serveRunning(s *Store, _ kit.NodeName, _ term.Term) (term.Term, error) {
	if s.Running() {
		return term.Atom("yes"), nil
	}
	return term.Atom("no"), nil
}
