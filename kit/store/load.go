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
	case slices.Contains(s.known[t.Name].late, s.self):
		return false // others had it when this node, which was about to get it, went down
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
	mine := s.intend(ctx, safe, false)
	s.mu.Lock()
	s.chosen = true
	s.mu.Unlock()
	return mine
}

// lateLoad loads tables from the own disc, except those that another node has loaded or is about to: these are copied
// from there. Of orphans it takes only what falls to this node.
func (s *Store) lateLoad(ctx context.Context, tabs []string, orphans bool) {
	s.settle(ctx)
	s.loadAll(s.intend(ctx, tabs, orphans))
	s.startLoads()
}

func (s *Store) loadAll(tabs []string) {
	for _, name := range tabs {
		s.loadLocal(name)
	}
}

// intend decides which of some tables this node loads from its disc, and lets others know when they ask. A global lock
// keeps two nodes from deciding at the same time. Orphans are left alone while another node has not decided what it loads
// at its start: it may know better, and will tell that it is up.
func (s *Store) intend(ctx context.Context, tabs []string, orphans bool) []string {
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
		if v = s.view.Load(); v == nil { // who has come while the lock was waited for may have decided under it
			return abort("node_not_running", node(s.self))
		}
		in := s.askIntents(ctx, v.nodes)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, name := range tabs {
			t := s.tabs[name]
			in.claim(s.self, name, s.known[name])
			if t != nil && t.data == nil && t.own != Unknown && !s.heed(t, in.theirs[name]) && (!orphans || t.heir(in.claims[name], append(in.doubtful[name], in.silent...)) == s.self) {
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

// intents is what all nodes say about their tables.
type intents struct {
	theirs   map[string][]kit.NodeName             // who has loaded a table, or is about to load it from its disc
	claims   map[string]map[kit.NodeName]knowledge // what they know of its copies
	doubtful map[string][]kit.NodeName             // who is in doubt about a transaction on it
	silent   []kit.NodeName                        // those that have not decided yet
}

func (in *intents) claim(by kit.NodeName, name string, k knowledge) {
	if in.claims[name] == nil {
		in.claims[name] = map[kit.NodeName]knowledge{}
	}
	in.claims[name][by] = k
}

// askIntents asks all others what they intend; of this node it has the doubts only.
func (s *Store) askIntents(ctx context.Context, nodes []kit.NodeName) *intents {
	in := &intents{theirs: map[string][]kit.NodeName{}, claims: map[string]map[kit.NodeName]knowledge{}, doubtful: map[string][]kit.NodeName{}}
	for _, name := range s.doubtful() {
		in.doubtful[name] = []kit.NodeName{s.self}
	}
	names := func(t term.Term, to map[string][]kit.NodeName, n kit.NodeName) {
		l, _ := t.(term.List)
		for _, x := range l {
			if a, ok := x.(term.Atom); ok {
				to[string(a)] = append(to[string(a)], n)
			}
		}
	}
	for _, n := range nodes {
		if n == s.self {
			continue
		}
		r, err := s.call(ctx, n, "intents", term.List{})
		t, _ := r.(term.Tuple)
		if err != nil || len(t) != 3 {
			in.silent = append(in.silent, n)
			continue
		}
		names(t[0], in.theirs, n)
		names(t[2], in.doubtful, n)
		said, _ := t[1].(term.List)
		for _, x := range said {
			if name, k, ok := knowledgeIn(x); ok {
				in.claim(n, name, k)
			}
		}
	}
	return in
}

// knowledge is what a node keeps on its disc of a table: whose copies there it knows to be old, of others while its own is loaded, or
// its own while another is; and when that last changed while its own was loaded, in the clock of transactions.
type knowledge struct {
	at   uint64
	late []kit.NodeName
}

// heir gives the node that loads a table which nobody has and all could: the smallest, as Mnesia has it, but of those whose
// copy is not known to be old. Mnesia takes the smallest of all, and with it an old copy, when the others died at the same moment.
// A node that says so of itself is right; of another it is right when it was the later of the two to have the table and see
// something change, for the other may have caught up since. While one of them is silent, or in doubt about a transaction on the
// table, there is none.
func (t *tab) heir(claims map[kit.NodeName]knowledge, silent []kit.NodeName) kit.NodeName {
	disc := slices.Sorted(slices.Values(slices.Concat(t.Disc, t.DiscOnly)))
	if slices.ContainsFunc(disc, func(n kit.NodeName) bool { return slices.Contains(silent, n) }) {
		return ""
	}
	rank := func(n kit.NodeName) int {
		if slices.Contains(claims[n].late, n) {
			return 2
		}
		for by, c := range claims {
			if slices.Contains(c.late, n) && !slices.Contains(c.late, by) && c.at > claims[n].at {
				return 1
			}
		}
		return 0
	}
	return slices.MinFunc(disc, func(a, b kit.NodeName) int { return rank(a) - rank(b) })
}

// noteBehind keeps on disc what this node knows of the copies of a table, and gives nothing where that is kept already. It goes into the log before
// what the others miss. A table that nobody has loaded stays as it was noted. Callers hold mu.
func (s *Store) noteBehind(name string) []disk.Change {
	t := s.tabs[name]
	if t == nil || name == "schema" || t.LocalContent || t.own != Disc && t.own != DiscOnly {
		return nil
	}
	st, known := s.known[name]
	switch {
	case t.data != nil:
		late := slices.DeleteFunc(slices.Concat(t.Disc, t.DiscOnly), func(n kit.NodeName) bool {
			return slices.Contains(t.active, n) && !slices.Contains(s.missed[name], n)
		})
		return s.keep(name, late)
	case len(t.active) == 0, known && slices.Equal(st.late, []kit.NodeName{s.self}):
		return nil
	}
	s.known[name] = knowledge{st.at, []kit.NodeName{s.self}}
	return []disk.Change{{Op: disk.SetMeta, Key: metaKnown(name), Value: s.known[name].term()}}
}

// saveBehind writes what noteBehind gives for one table. Callers hold mu.
func (s *Store) saveBehind(name string) {
	if err := s.save(s.noteBehind(name)...); err != nil {
		s.fatalLater("cannot write the log: " + err.Error())
	}
}

// keep notes whose copies are old, and that this is known now, unless it was. Callers hold mu.
func (s *Store) keep(name string, late []kit.NodeName) []disk.Change {
	slices.Sort(late)
	if st, known := s.known[name]; known && slices.Equal(st.late, late) {
		return nil
	}
	s.known[name] = knowledge{s.clock.next().Time, late}
	return []disk.Change{{Op: disk.SetMeta, Key: metaKnown(name), Value: s.known[name].term()}}
}

func (st knowledge) term() term.Term { return term.T(term.Int(st.at), nodeList(st.late)) }

func knowledgeOf(t term.Term) (knowledge, bool) {
	p, _ := t.(term.Tuple)
	if len(p) != 2 {
		return knowledge{}, false
	}
	at, ok := p[0].(term.Int)
	l, is := p[1].(term.List)
	return knowledge{uint64(at), nodesOf(l)}, ok && is
}

// knowledgeIn reads one entry of what serveIntents tells.
func knowledgeIn(t term.Term) (string, knowledge, bool) {
	p, _ := t.(term.Tuple)
	if len(p) != 2 {
		return "", knowledge{}, false
	}
	name, ok := p[0].(term.Atom)
	st, is := knowledgeOf(p[1])
	return string(name), st, ok && is
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

// serveIntents tells which tables this node has loaded or is about to load from its disc, what it knows of all copies,
// and which tables it is in doubt about.
func serveIntents(s *Store, _ kit.NodeName, _ term.Term) (term.Term, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.chosen {
		return nil, failed("starting", node(s.self))
	}
	l := s.loadedHere()
	for _, name := range sortedKeys(s.intents) {
		l = append(l, term.Atom(name))
	}
	known := term.List{}
	for _, name := range sortedKeys(s.known) {
		known = append(known, term.T(term.Atom(name), s.known[name].term()))
	}
	doubts := term.List{}
	for _, name := range s.doubtful() {
		doubts = append(doubts, term.Atom(name))
	}
	return term.T(l, known, doubts), nil
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
		t.from, t.why = s.self, t.whyLocal()
		t.active = sorted(t.active, []kit.NodeName{s.self})
	})
	s.saveBehind(name)
	s.reroute(name)
	s.publish()
	others := s.others()
	s.mu.Unlock()
	for _, n := range others {
		s.cast(n, "loaded", term.Atom(name))
	}
}

// Reasons for loading a table, as table_info's load_reason tells them.
const (
	loadInitial = term.Atom("initial")
	loadLocal   = term.Atom("local_only")
	loadForced  = term.Atom("forced_by_user")
)

// whyLocal is the reason for loading a table from the own disc.
func (t *tab) whyLocal() term.Term {
	switch {
	case t.forced:
		return loadForced
	case t.LocalContent, len(t.holders()) == 1:
		return loadLocal
	}
	return loadInitial
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
	switch {
	case s.nodes[from]:
		s.addActive(name, from)
		s.publish()
	case s.preloaded != nil && len(s.preloaded[from]) < MaxTables: // it has answered to the join that this node is making, and said less
		s.preloaded[from] = append(s.preloaded[from], name)
	}
	s.mu.Unlock()
	s.startLoads()
	return nil, nil
}

// adoptOrphans is orphan_tables: when a node has come up, tables whose disc copies are all on running nodes and which
// none of them has loaded are loaded by one of them (see heir), or by a master.
func (s *Store) adoptOrphans(n kit.NodeName) {
	s.mu.Lock()
	if s.phase != running {
		s.mu.Unlock()
		return
	}
	var mine, heirs []string
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
		case len(s.masters[name]) == 0 && slices.Contains(disc, s.self):
			heirs = append(heirs, name)
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
		s.go_(func(ctx context.Context) { s.lateLoad(ctx, mine, false) })
	}
	if len(heirs) > 0 {
		s.go_(func(ctx context.Context) { s.lateLoad(ctx, heirs, true) })
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
		s.go_(func(ctx context.Context) { s.lateLoad(ctx, tabs, false) })
	}
	return nil, nil
}
