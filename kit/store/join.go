package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// How stores find together. A store that starts tells all peers so and hears what they are doing. It then joins each
// store of its schema that runs, one cluster after another; it waits for those with a smaller name that are
// starting too; and when there is nobody left it runs. Since a peer answers only after it has heard of the start, of
// two that start at once one always knows of the other.

// joinAll joins all running stores of the schema's nodes and makes this store run.
func (s *Store) joinAll(ctx context.Context, extra []kit.NodeName) error {
	for tries := 1; ; tries++ {
		var next kit.NodeName
		done := false
		err := s.wait(ctx, func() bool {
			next = ""
			pending := false
			for _, n := range s.schemaNodes(extra) {
				l := s.links[n]
				switch {
				case l == nil || n == s.self || s.nodes[n]:
				case !l.told, l.phase == starting && n < s.self:
					pending = true
				case l.phase == running && next == "":
					next = n
				}
			}
			if next != "" {
				return true
			}
			if !pending {
				s.becomeRunning()
				done = true
			}
			return done
		})
		if err != nil {
			return err
		}
		if done {
			s.tellStatus(0)
			return nil
		}
		if err := s.join(ctx, next); err != nil && !errors.Is(err, errJoinAgain) {
			return err
		}
		if err := s.pause(ctx, next, tries); err != nil {
			return err
		}
	}
}

// pause waits before the next attempt when a node could not be joined, because it sees us otherwise than we see it.
func (s *Store) pause(ctx context.Context, n kit.NodeName, tries int) error {
	if s.tie(n).since != 0 {
		return nil
	}
	t := time.NewTimer(min(time.Duration(tries)*time.Millisecond, maxJoinPause))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// maxJoinPause is the longest pause between attempts to join.
const maxJoinPause = 100 * time.Millisecond

// schemaNodes lists the nodes of the schema and those named besides. Callers hold mu.
func (s *Store) schemaNodes(extra []kit.NodeName) []kit.NodeName {
	t := s.tabs["schema"]
	if t == nil {
		return nil
	}
	return sorted(t.holders(), extra)
}

// errJoinAgain says that the cluster changed while it was being joined.
var errJoinAgain = errors.New("the cluster changed")

// badCookie is the start of Mnesia's message about two tables of one name.
const badCookie = term.Bin("Bad cookie in table definition")

// cannotMerge is that about two versions of one table.
const cannotMerge = term.Bin("Cannot merge definitions of table")

// join joins the cluster that a running store belongs to. The table schema is locked there meanwhile, so that
// nobody else joins and no table changes.
func (s *Store) join(ctx context.Context, first kit.NodeName) error {
	tx := s.newTx(ctx, Transaction, nil)
	tx.joins = true
	defer tx.Close()
	for {
		err := s.joinLocked(ctx, tx, first)
		if !errors.Is(err, ErrRestart) {
			return err
		}
	}
}

func (s *Store) joinLocked(ctx context.Context, tx *Tx, first kit.NodeName) error {
	members, _, err := s.joinInfo(ctx, first)
	if err != nil {
		return err
	}
	s.mu.Lock()
	all := sorted(members, slices.Collect(maps.Keys(s.nodes)), []kit.NodeName{s.self})
	s.mu.Unlock()
	tx.mu.Lock()
	done, err := tx.lockAt(lock.Item{Table: "schema"}, lock.Write, all)
	tx.mu.Unlock()
	if err != nil {
		return err
	}
	again, defs, err := s.joinInfo(ctx, first)
	if err != nil {
		return err
	}
	if !done || !slices.Equal(members, again) {
		return errJoinAgain
	}
	merged, err := s.mergeDefs(defs)
	if err != nil {
		return err
	}
	s.detectStarting(members)
	return s.enterCluster(ctx, members, merged)
}

// joinInfo asks a running store for its cluster and its definitions.
func (s *Store) joinInfo(ctx context.Context, n kit.NodeName) ([]kit.NodeName, map[string]*Def, error) {
	v, err := s.call(ctx, n, "join_info", term.List{})
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		return nil, nil, errJoinAgain
	}
	t, ok := v.(term.Tuple)
	if !ok || len(t) != 2 {
		return nil, nil, errJoinAgain
	}
	ns, ok1 := t[0].(term.List)
	ds, ok2 := t[1].(term.List)
	defs, ok3 := defsOf(ds)
	if !ok1 || !ok2 || !ok3 {
		return nil, nil, broken("join", "malformed schema from %s", n)
	}
	return nodesOf(ns), defs, nil
}

func defsOf(l term.List) (map[string]*Def, bool) {
	defs := map[string]*Def{}
	for _, t := range l {
		d, ok := defOf(t)
		if !ok {
			return nil, false
		}
		defs[d.Name] = d
	}
	return defs, len(defs) <= MaxTables
}

func defList(defs map[string]*Def) term.List {
	var l term.List
	for _, name := range sortedKeys(defs) {
		l = append(l, defs[name].term())
	}
	return l
}

func serveJoinInfo(s *Store, _ kit.NodeName, _ term.Term) (term.Term, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return nil, failed("node_not_running", node(s.self))
	}
	defs := map[string]*Def{}
	for name, t := range s.tabs {
		defs[name] = t.Def
	}
	return term.T(nodeList(slices.Sorted(maps.Keys(s.nodes))), defList(defs)), nil
}

// mergeDefs merges the cluster's definitions with the own ones.
func (s *Store) mergeDefs(theirs map[string]*Def) (map[string]*Def, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	merged := map[string]*Def{}
	force := len(s.masters["schema"]) > 0
	for name, t := range s.tabs {
		merged[name] = t.Def
	}
	for _, name := range slices.Backward(sortedKeys(theirs)) { // so that of several faults the same one is told
		d, err := s.mergeDef(merged[name], theirs[name], force)
		if err != nil {
			return nil, err
		}
		merged[name] = d
	}
	if d := merged["schema"]; d.storage(s.self) == Unknown {
		merged["schema"] = d.place(s.self, RAM)
	}
	return merged, nil
}

// mergeDef is mnesia_schema:merge_versions/4: the same table, made once, differing in nothing that matters, is
// taken in its newer version.
func (s *Store) mergeDef(mine, theirs *Def, force bool) (*Def, error) {
	switch {
	case mine == nil:
		return theirs, nil
	case mine.Name == "schema" && mine.storage(s.self) == RAM && len(mine.holders()) == 1:
		return theirs, nil // a node without a disc takes what the others have
	case theirs.Name == "schema" && len(theirs.holders()) == 1 && len(theirs.RAM) == 1 && mine.Cookie != theirs.Cookie:
		return mine, nil
	case mine.Name == "schema" && mine.Cookie != theirs.Cookie && !force:
		return nil, &Error{Class: Failed, Reason: term.T(term.Bin("Incompatible schema cookies"), term.Atom(mine.Name))}
	case mine.Cookie != theirs.Cookie && !force:
		return nil, &Error{Class: Failed, Reason: term.T(badCookie, term.Atom(mine.Name))}
	case mine.Name != "schema" && !force && !sameShape(mine, theirs):
		return nil, &Error{Class: Failed, Reason: term.T(cannotMerge, term.Atom(mine.Name))}
	case mine.Version.newer(theirs.Version):
		return mine, nil
	}
	return theirs, nil
}

func sameShape(a, b *Def) bool {
	return a.Type == b.Type && a.LocalContent == b.LocalContent && slices.Equal(a.Attributes, b.Attributes) &&
		slices.Equal(a.Index, b.Index) && a.ReadOnly == b.ReadOnly && a.LoadOrder == b.LoadOrder && a.Majority == b.Majority &&
		a.RecordName == b.RecordName && term.Equal(orEmpty(a.UserProps), orEmpty(b.UserProps)) &&
		term.Equal(orEmpty(a.StorageProps), orEmpty(b.StorageProps))
}

// newer reports whether v is a later version than w.
func (v Version) newer(w Version) bool {
	if v.Major != w.Major {
		return v.Major > w.Major
	}
	return v.Minor > w.Minor
}

// detectStarting reports the nodes with which this one was separated: each has seen the other go down. Master nodes for
// the schema say that the operator knows.
func (s *Store) detectStarting(members []kit.NodeName) {
	var split []kit.NodeName
	s.mu.Lock()
	if len(s.masters["schema"]) == 0 {
		for _, n := range members {
			if l := s.links[n]; l != nil && l.sees && !l.masters && s.downs[n] {
				split = append(split, n)
			}
		}
	}
	s.mu.Unlock()
	for _, n := range split {
		s.hub.system(Event{Kind: "inconsistent_database", Context: "starting_partitioned_network", Node: n})
	}
}

// enterCluster tells all members that this store is one of them and takes over what they say.
func (s *Store) enterCluster(ctx context.Context, members []kit.NodeName, merged map[string]*Def) error {
	active := map[kit.NodeName]term.List{}
	asked := map[kit.NodeName]life{}
	arg := defList(merged)
	s.mu.Lock()
	s.preloaded = map[kit.NodeName][]string{}
	s.mu.Unlock()
	for _, n := range members {
		asked[n] = s.lifeOf(n)
		v, err := s.call(ctx, n, "join", arg)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if l, ok := v.(term.List); ok && err == nil {
			active[n] = l
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range active {
		if l := s.links[n]; l == nil || l.life() != asked[n] { // it has forgotten this store, also when it is there again
			delete(active, n)
		}
	}
	if len(active) == 0 {
		return errJoinAgain
	}
	for _, name := range sortedKeys(merged) {
		s.adopt(merged[name])
	}
	for n, tabs := range active {
		s.enter(n)
		s.setTab("schema", func(t *tab) { t.active = sorted(t.active, []kit.NodeName{n}) })
		for _, t := range tabs {
			if name, ok := t.(term.Atom); ok && name != "schema" {
				s.addActive(string(name), n)
			}
		}
		for _, name := range s.preloaded[n] {
			s.addActive(name, n)
		}
	}
	s.preloaded = nil
	s.reroute("schema")
	s.publish()
	return nil
}

// life is one life of another node's store, as this node sees it: it ends with the link, or when the store stops.
type life struct {
	link  *link
	stops int
}

func (l *link) life() life { return life{l, l.stops} }

func (s *Store) lifeOf(n kit.NodeName) life {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.links[n]; l != nil {
		return l.life()
	}
	return life{}
}

// adopt takes a definition over from a merge. Callers hold mu.
func (s *Store) adopt(d *Def) {
	old := s.tabs[d.Name]
	switch {
	case old == nil:
		s.tabs[d.Name] = &tab{Def: d, own: d.storage(s.self)}
		var more []disk.Change
		if st := d.storage(s.self); st == Disc || st == DiscOnly {
			more = append(more, makeOnDisc(d, st))
		}
		s.saveDef(d, more...)
	case old.Def.Version != d.Version || d.Name == "schema":
		s.redefine(d)
	}
}

// addActive notes that a node has a loaded copy. Callers hold mu and publish.
func (s *Store) addActive(name string, n kit.NodeName) {
	t := s.tabs[name]
	if t == nil || t.LocalContent && n != s.self || slices.Contains(t.active, n) || t.storage(n) == Unknown {
		return
	}
	s.setTab(name, func(t *tab) {
		t.active = sorted(t.active, []kit.NodeName{n})
		t.joining = slices.DeleteFunc(slices.Clone(t.joining), func(x kit.NodeName) bool { return x == n })
	})
	s.saveBehind(name)
	s.reroute(name)
}

// serveJoin takes a starting store into the cluster and tells which tables are loaded here.
func serveJoin(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	l, ok := arg.(term.List)
	if !ok {
		return nil, failed("badarg", arg)
	}
	defs, ok := defsOf(l)
	if !ok {
		return nil, failed("badarg", arg)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running || s.links[from] == nil {
		return nil, failed("node_not_running", node(s.self))
	}
	for _, name := range sortedKeys(defs) {
		s.adopt(defs[name])
	}
	s.enter(from)
	s.setTab("schema", func(t *tab) { t.active = sorted(t.active, []kit.NodeName{from}) })
	s.reroute("schema")
	s.publish()
	return s.loadedHere(), nil
}

// loadedHere lists the tables whose copy on this node is loaded. Callers hold mu.
func (s *Store) loadedHere() term.List {
	l := term.List{}
	for _, name := range sortedKeys(s.tabs) {
		if t := s.tabs[name]; t.data != nil && slices.Contains(t.active, s.self) {
			l = append(l, term.Atom(name))
		}
	}
	return l
}

// announce tells the cluster that this store runs, and takes note itself that the others do.
func (s *Store) announce() {
	s.mu.Lock()
	others := s.others()
	loaded := s.loadedHere()
	s.mu.Unlock()
	for _, n := range others {
		s.cast(n, "node_up", loaded)
	}
	for _, n := range others {
		s.nodeUp(n)
	}
}

// others lists the running nodes but this one. Callers hold mu.
func (s *Store) others() []kit.NodeName {
	ns := slices.Sorted(maps.Keys(s.nodes))
	return slices.DeleteFunc(ns, func(n kit.NodeName) bool { return n == s.self })
}

// serveNodeUp takes the news that a store runs.
func serveNodeUp(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	l, _ := arg.(term.List)
	s.mu.Lock()
	if s.phase != running || !s.nodes[from] {
		s.mu.Unlock()
		return nil, nil
	}
	for _, t := range l {
		if name, ok := t.(term.Atom); ok {
			s.addActive(string(name), from)
		}
	}
	s.publish()
	s.mu.Unlock()
	s.nodeUp(from)
	return nil, nil
}

// nodeUp forgets that a node went down, tells subscribers, and looks after tables that nobody has loaded.
func (s *Store) nodeUp(n kit.NodeName) {
	s.mu.Lock()
	var notes []disk.Change
	for _, name := range sortedKeys(s.tabs) {
		if t := s.tabs[name]; t.storage(n) == Disc || t.storage(n) == DiscOnly {
			notes = append(notes, s.noteBehind(name)...)
		}
	}
	if s.downs[n] {
		delete(s.downs, n)
		notes = append(notes, disk.Change{Op: disk.DelMeta, Key: metaDown(n)})
	}
	if err := s.save(notes...); err != nil {
		s.fatalLater("cannot write the log: " + err.Error())
	}
	s.mu.Unlock()
	s.hub.system(Event{Kind: "mnesia_up", Node: n})
	s.startLoads()
	s.adoptOrphans(n)
}

// ChangeExtraNodes is mnesia:change_config(extra_db_nodes, Nodes): it connects a running store to others and gives those
// that it is connected with.
func (s *Store) ChangeExtraNodes(ctx context.Context, nodes []kit.NodeName) ([]kit.NodeName, error) {
	s.life.Lock()
	defer s.life.Unlock()
	if !s.Running() {
		return nil, failed("node_not_running", node(s.self))
	}
	s.tellStatus(statusAsk)
	var got []kit.NodeName
	for _, n := range sorted(nodes) {
		ok, err := s.joinOne(ctx, n)
		var e *Error
		if errors.As(err, &e) && e.Class == Failed {
			return nil, failed("merge_schema_failed", term.Str(mergeText(e)))
		}
		if err != nil {
			return nil, err
		}
		if ok {
			got = append(got, n)
		}
	}
	s.mu.Lock()
	s.extra = sorted(s.extra, got)
	s.mu.Unlock()
	return got, nil
}

func (s *Store) joinOne(ctx context.Context, n kit.NodeName) (bool, error) {
	for n != s.self {
		up, member := false, false
		if err := s.wait(ctx, func() bool {
			l := s.links[n]
			up, member = l != nil && l.phase == running, s.nodes[n]
			return l == nil || l.told
		}); err != nil {
			return false, err
		}
		if member || !up {
			return member, nil
		}
		err := s.join(ctx, n)
		var e *Error
		switch {
		case err == nil:
			s.announce()
			return true, nil
		case errors.As(err, &e) && e.Class == Failed:
			return false, err
		case !errors.Is(err, errJoinAgain):
			return false, err
		}
	}
	return true, nil
}
