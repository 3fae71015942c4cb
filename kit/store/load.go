package store

import (
	"context"
	"maps"
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// How tables get their content. At start a node loads from its own disc what no other node can know better; everything
// else it copies from a node that has it, or waits for one. The rules are those of mnesia_controller
// (last_consistent_replica, late_load_filter, orphan_tables); the comments name them.

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
	s.settle(ctx)
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

// dumped reports whether the disc holds a dump of a table.
func (s *Store) dumped(name string) bool {
	return s.disk != nil && slices.ContainsFunc(s.disk.Tables(), func(t disk.Table) bool { return t.Name == name })
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
	d := s.newCopy(t.Def, t.own)
	if t.own != RAM || s.dumped(name) {
		err := s.fillLocal(t, d)
		if err != nil && kit.KindOf(err) != kit.NotFound {
			s.mu.Lock()
			s.damaged[name] = err // it stays among the intents, so that nobody takes an older copy for the newest
			s.mu.Unlock()
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
	d.index(s.tabs[name].Def)
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

// fillLocal takes the rows of a table from the disc, or sees that they can be read there.
func (s *Store) fillLocal(t *tab, d *data) error {
	if d.disc == nil {
		return s.disk.Replay(t.Name, d.reserve, d.replay)
	}
	_, err := s.disk.Count(t.Name)
	if kit.KindOf(err) == kit.NotFound {
		_, err = s.disk.Append(makeOnDisc(t.Def, t.own))
	}
	return err
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
