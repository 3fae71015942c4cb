package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"netsplit/kit"
	"netsplit/kit/store/split"
	"netsplit/kit/term"
)

// CheckpointOptions say what a checkpoint keeps. Tables in Min are kept on one node, this one if it has a copy;
// tables in Max on all nodes with an active copy. Of a table in memory a checkpoint keeps what DumpTables last wrote,
// unless it is in RAMOverrides (or AllRAM is set): then what memory holds.
type CheckpointOptions struct {
	Name         string // empty: one is made up
	Min, Max     []string
	AllRAM       bool
	RAMOverrides []string
}

// checkpoints are those that this node keeps a part of.
type checkpoints struct {
	live     atomic.Int32 // how many, and one for the split journal; 0 costs writers nothing more than looking
	gate     sync.RWMutex // held shared while another node's transaction is applied, so that a checkpoint sees all or nothing of it
	mu       sync.Mutex
	all      map[string]*checkpoint
	parts    map[string]*staged // what is being restored or installed here, by its id
	made     int
	kept     atomic.Int64    // bytes that all checkpoints keep, about
	most     int64           // MaxRetained, except in tests
	expelled map[string]bool // checkpoints that were deactivated because they kept too much
	split    *split.Journal  // what was changed since a peer was lost

	freezer
	frozen map[string]*freeze // the moments that are being made, by name
}

// checkpoint is one state of some tables; it is never changed but for its retainers.
type checkpoint struct {
	name    string
	by      kit.NodeName // who made it
	nodes   []kit.NodeName
	tabs    []string                  // min, then max
	writers map[string][]kit.NodeName // who keeps a table
	keeps   map[string]*retainer      // tables kept here
	defs    []*Def                    // the schema as it was, by name
	reading map[string][]Entry        // what another node reads of a table at the moment
	total   *atomic.Int64             // of all checkpoints of this node
	bytes   atomic.Int64              // kept here, about
	over    atomic.Bool               // it was deactivated: what is changed from now on is not kept
}

// retainer keeps the old rows of what was changed since the checkpoint.
type retainer struct {
	cp   *checkpoint
	real bool // memory is the checkpoint's content; otherwise dump is
	dump []term.Tuple
	mu   sync.Mutex
	old  map[any][]term.Tuple
	keys []term.Term // in the order of the first change
}

// retain keeps the rows of a key before an operation changes them.
func (s *Store) retain(d *data, o *op) {
	if o.kind == opClear {
		s.noteCleared(o.tab, d)
	} else {
		s.noteOne(d, o)
	}
	key := o.key
	if o.row != nil {
		key = o.row[1]
	}
	s.cp.each(o.tab, func(r *retainer) {
		if o.kind == opClear {
			r.keepAll(d)
			return
		}
		r.keep(key, d.before(o, key))
	})
	s.limitRetained()
}

// MaxRetained is how many bytes of old rows a node keeps for all checkpoints together. When it is exceeded, the checkpoint
// with the most of them is deactivated, and a system event mnesia_checkpoint_deactivated says why.
const MaxRetained = 256 << 20

// limitRetained deactivates the largest checkpoint when too much is kept.
func (s *Store) limitRetained() {
	c := &s.cp
	if c.kept.Load() <= c.most {
		return
	}
	c.mu.Lock()
	var most *checkpoint
	for _, name := range sortedKeys(c.all) {
		if cp := c.all[name]; most == nil || cp.bytes.Load() > most.bytes.Load() {
			most = cp
		}
	}
	if most == nil || c.kept.Load() <= c.most {
		c.mu.Unlock()
		return
	}
	c.drop(most)
	if c.expelled == nil || len(c.expelled) >= maxCheckpoints {
		c.expelled = map[string]bool{}
	}
	c.expelled[most.name] = true
	c.mu.Unlock()
	s.hub.system(Event{Kind: "mnesia_checkpoint_deactivated", Value: term.T(term.Atom(most.name), reason("system_limit", term.Int(c.most)))})
	for _, n := range most.nodes {
		if n != s.self {
			s.cast(n, "checkpoint_drop", term.T(term.Atom(most.name), node(most.by)))
		}
	}
}

// drop forgets a checkpoint. Callers hold mu.
func (c *checkpoints) drop(cp *checkpoint) {
	cp.over.Store(true)
	c.kept.Add(-cp.bytes.Load())
	delete(c.all, cp.name)
	c.count()
}

const tooMuchKept = "its node had to keep more than 256 MiB of old rows for it; take backups more quickly after the checkpoint, or of fewer tables"

// retainAll keeps all rows of a table, before its content is replaced.
func (s *Store) retainAll(t *tab) {
	if t != nil && t.data != nil && s.cp.live.Load() > 0 {
		s.noteCleared(t.Name, t.data)
		s.cp.each(t.Name, func(r *retainer) { r.keepAll(t.data) })
		s.limitRetained()
	}
}

func (c *checkpoints) each(tab string, f func(*retainer)) {
	c.mu.Lock()
	var rs []*retainer
	for _, cp := range c.all {
		if r := cp.keeps[tab]; r != nil && r.real {
			rs = append(rs, r)
		}
	}
	c.mu.Unlock()
	for _, r := range rs {
		f(r)
	}
}

func (r *retainer) keep(key term.Term, rows []term.Tuple) {
	if len(rows) > 0 {
		key = rows[0][1] // 1 and 1.0 are one key of an ordered_set
	}
	k := term.Key(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.old[k]; !ok {
		r.old[k] = rows
		r.keys = append(r.keys, key)
		n := 64 + weight(key)
		for _, row := range rows {
			n += weights(row)
		}
		if !r.cp.over.Load() {
			r.cp.bytes.Add(int64(n))
			r.cp.total.Add(int64(n))
		}
	}
}

func (r *retainer) keepAll(d *data) {
	byKey := map[any][]term.Tuple{}
	for _, row := range d.all() {
		k := term.Key(row[1])
		byKey[k] = append(byKey[k], row)
	}
	for _, rows := range byKey {
		r.keep(rows[0][1], rows)
	}
}

// rows gives a table as it was at the checkpoint. The rows in memory are taken first: what is changed after that is
// kept before it is changed.
func (r *retainer) rows(d *data) []term.Tuple {
	if !r.real {
		return r.dump
	}
	var out []term.Tuple
	if d != nil {
		out = d.all()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out = slices.DeleteFunc(out, func(row term.Tuple) bool {
		_, changed := r.old[term.Key(row[1])]
		return changed
	})
	for _, k := range r.keys {
		out = append(out, r.old[term.Key(k)]...)
	}
	return out
}

// Checkpoints lists the checkpoints that this node keeps a part of.
func (s *Store) Checkpoints() []string {
	s.cp.mu.Lock()
	defer s.cp.mu.Unlock()
	return sortedKeys(s.cp.all)
}

// tableCheckpoints lists those that keep a table here.
func (s *Store) tableCheckpoints(tab string) term.List {
	s.cp.mu.Lock()
	defer s.cp.mu.Unlock()
	l := term.List{}
	for _, name := range sortedKeys(s.cp.all) {
		if s.cp.all[name].keeps[tab] != nil {
			l = append(l, term.Atom(name))
		}
	}
	return l
}

// reset forgets all checkpoints, and without a disc the split journal: the copies that it tells of are gone.
func (c *checkpoints) reset(disc bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !disc {
		_ = c.split.Clear() // there is no file that could fail
	}
	for _, cp := range c.all {
		cp.over.Store(true)
	}
	c.kept.Store(0)
	c.all, c.parts = nil, nil
	c.count()
}

// count tells writers whether anybody wants to know what they change. Callers hold mu.
func (c *checkpoints) count() {
	n := int32(len(c.all))
	if c.split.Active() {
		n++
	}
	c.live.Store(n)
}

func (c *checkpoints) recount() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count()
}

func (c *checkpoints) named(name string) *checkpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[name]
}

// check is mnesia_checkpoint:check_tables/1.
func (o *CheckpointOptions) check() error {
	pair := func(k1 string, l1 []string, k2 string, l2 []string) error {
		return failed("combine_error", term.Atom(o.Name), term.L(term.T(term.Atom(k1), names(l1)), term.T(term.Atom(k2), names(l2))))
	}
	var double []string
	for _, t := range o.Min {
		if slices.Contains(o.Max, t) {
			double = append(double, t)
		}
	}
	switch {
	case len(double) > 0:
		return pair("min", double, "max", double)
	case len(o.Min)+len(o.Max) == 0:
		return pair("min", nil, "max", nil)
	}
	var outside []string
	for _, t := range o.RAMOverrides {
		if !slices.Contains(o.Min, t) && !slices.Contains(o.Max, t) {
			outside = append(outside, t)
		}
	}
	if len(outside) > 0 {
		return pair("ram_overrides_dump", outside, "min", outside)
	}
	return nil
}

// ActivateCheckpoint notes the state of tables as it is now. Writes go on; what they change is kept until the
// checkpoint is deactivated, or until a node would have to keep more than MaxRetained bytes for it. A checkpoint has all of
// a transaction, on all nodes, or nothing. It gives the name and the nodes that keep it.
func (s *Store) ActivateCheckpoint(ctx context.Context, o CheckpointOptions) (string, []kit.NodeName, error) {
	v := s.view.Load()
	if v == nil || !v.up {
		return "", nil, failed("node_not_running", node(s.self))
	}
	if o.Name == "" {
		s.cp.mu.Lock()
		s.cp.made++
		o.Name = fmt.Sprintf("auto_%s_%d", s.self, s.cp.made)
		s.cp.mu.Unlock()
	}
	if s.cp.named(o.Name) != nil {
		return "", nil, failed("already_exists", term.Atom(o.Name))
	}
	if err := o.check(); err != nil {
		return "", nil, err
	}
	tabs := term.List{}
	var nodes []kit.NodeName
	for _, name := range slices.Concat(o.Min, o.Max) {
		ws, err := s.keepers(v, o, name)
		if err != nil {
			return "", nil, err
		}
		nodes = append(nodes, ws...)
		tabs = append(tabs, term.T(term.Atom(name), nodeList(ws), term.Bool(o.AllRAM || slices.Contains(o.RAMOverrides, name))))
	}
	nodes = sorted(nodes)
	err := s.atOnce(ctx, func(ctx context.Context, id string) error {
		return s.askAll(ctx, nodes, "checkpoint_make", term.T(term.Atom(o.Name), nodeList(nodes), tabs, term.Atom(id)))
	}, func() {
		for _, n := range nodes {
			s.castNode(n, "checkpoint_drop", term.T(term.Atom(o.Name), node(s.self)))
		}
	})
	if err != nil {
		return "", nil, err
	}
	return o.Name, nodes, nil
}

// keepers is mnesia_checkpoint:select_writers/2.
func (s *Store) keepers(v *view, o CheckpointOptions, name string) ([]kit.NodeName, error) {
	t := v.tables[name]
	if t == nil {
		return nil, failed("aborted", reason("no_exists", term.T(term.Atom(name), term.Atom("active_replicas"))))
	}
	switch {
	case len(t.active) == 0:
		return nil, prose(Failed, "Cannot prepare checkpoint (replica not available)", term.L(term.Atom(name), term.Atom(o.Name)))
	case slices.Contains(o.Max, name):
		return t.active, nil
	case slices.Contains(t.active, s.self):
		return []kit.NodeName{s.self}, nil
	}
	return t.active[:1], nil
}

func checkpointMake(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	a, ok := arg.(term.Tuple)
	if !ok || len(a) != 4 {
		return nil, failed("badarg", arg)
	}
	name, ok1 := a[0].(term.Atom)
	nodes, ok2 := a[1].(term.List)
	tabs, ok3 := a[2].(term.List)
	id, ok4 := a[3].(term.Atom)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, failed("badarg", arg)
	}
	if err := s.awaitFrozen(string(id)); err != nil {
		return nil, err
	}
	cp := &checkpoint{by: from, total: &s.cp.kept, name: string(name), nodes: nodesOf(nodes), writers: map[string][]kit.NodeName{},
		keeps: map[string]*retainer{}, reading: map[string][]Entry{}}
	s.cp.gate.Lock()
	defer s.cp.gate.Unlock()
	v := s.view.Load()
	if v == nil || !v.up {
		return nil, failed("node_not_running", node(s.self))
	}
	for _, e := range tabs {
		if err := s.keepTable(v, cp, e); err != nil {
			return nil, err
		}
	}
	for _, n := range sortedKeys(v.tables) {
		cp.defs = append(cp.defs, v.tables[n].Def)
	}
	s.cp.mu.Lock()
	defer s.cp.mu.Unlock()
	if s.cp.all[cp.name] != nil {
		return nil, failed("already_exists", name)
	}
	if s.cp.all == nil {
		s.cp.all = map[string]*checkpoint{}
	}
	if len(s.cp.all) >= maxCheckpoints {
		return nil, &Error{Class: Failed, Reason: reason("system_limit", name), kind: kit.Overloaded}
	}
	s.cp.all[cp.name] = cp
	s.cp.count()
	return nil, nil
}

// maxCheckpoints is how many checkpoints a node keeps at a time.
const maxCheckpoints = 256

// keepTable adds a table to a checkpoint that is being made.
func (s *Store) keepTable(v *view, cp *checkpoint, e term.Term) error {
	p, ok := e.(term.Tuple)
	if !ok || len(p) != 3 {
		return failed("badarg", e)
	}
	tab, _ := p[0].(term.Atom)
	ws, _ := p[1].(term.List)
	cp.tabs = append(cp.tabs, string(tab))
	cp.writers[string(tab)] = nodesOf(ws)
	if !slices.Contains(cp.writers[string(tab)], s.self) {
		return nil
	}
	t := v.tables[string(tab)]
	if t == nil || t.data == nil && t.Name != "schema" {
		return prose(Failed, "Cannot prepare checkpoint (replica not available)", term.L(tab, term.Atom(cp.name)))
	}
	r := &retainer{cp: cp, real: t.own != RAM || p[2] == term.True || t.Name == "schema", old: map[any][]term.Tuple{}}
	if !r.real && s.dumped(t.Name) {
		err := s.disk.Load(t.Name, func(row term.Tuple) error {
			r.dump = append(r.dump, row)
			return nil
		})
		if err != nil && kit.KindOf(err) != kit.NotFound {
			return err
		}
	}
	cp.keeps[string(tab)] = r
	return nil
}

// DeactivateCheckpoint forgets a checkpoint everywhere.
func (s *Store) DeactivateCheckpoint(ctx context.Context, name string) error {
	cp := s.cp.named(name)
	if cp == nil {
		return s.noCheckpoint(name, failed("no_exists", term.Atom(name)))
	}
	for _, n := range cp.nodes {
		if n != s.self && s.joined(n) {
			_ = s.atNode(ctx, n, "checkpoint_drop", term.Atom(name)) // one that goes now forgets it too
		}
	}
	return s.atNode(ctx, s.self, "checkpoint_drop", term.Atom(name))
}

// noCheckpoint adds the hint why a checkpoint is gone.
func (s *Store) noCheckpoint(name string, e *Error) *Error {
	s.cp.mu.Lock()
	defer s.cp.mu.Unlock()
	if s.cp.expelled[name] {
		e.hint = tooMuchKept
	}
	return e
}

func checkpointDrop(s *Store, _ kit.NodeName, arg term.Term) (term.Term, error) {
	name, _ := arg.(term.Atom)
	s.cp.mu.Lock()
	defer s.cp.mu.Unlock()
	if p, ok := arg.(term.Tuple); ok && len(p) == 2 { // only what that node has made: there may have been one before
		name, _ = p[0].(term.Atom)
		if cp := s.cp.all[string(name)]; cp == nil || term.Term(node(cp.by)) != p[1] {
			return nil, nil
		}
	}
	if cp := s.cp.all[string(name)]; cp != nil {
		s.cp.drop(cp)
	}
	return nil, nil
}

// joined reports whether a node's store runs in this cluster.
func (s *Store) joined(n kit.NodeName) bool {
	v := s.view.Load()
	return v != nil && slices.Contains(v.nodes, n)
}
