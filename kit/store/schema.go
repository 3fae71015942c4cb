package store

import (
	"context"
	"errors"
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// schemaOp is one change of the schema, done on every running node in one commit.
type schemaOp struct {
	kind string // create, define, delete, clear, transform, content, dump, restore
	tab  string
	def  *Def         // the new definition
	rows []term.Tuple // transform: the new content, for the nodes with a copy
	at   kit.NodeName // content: the only node that it is for
}

func (o schemaOp) term() term.Term {
	var def term.Term = term.List{}
	if o.def != nil {
		def = o.def.term()
	}
	rows := make(term.List, len(o.rows))
	for i, r := range o.rows {
		rows[i] = r
	}
	return term.T(term.Atom(o.kind), term.Atom(o.tab), def, rows, node(o.at))
}

func schemaOpOf(t term.Term) (schemaOp, bool) {
	tp, ok := t.(term.Tuple)
	if !ok || len(tp) != 5 {
		return schemaOp{}, false
	}
	at, _ := tp[4].(term.Atom)
	kind, ok1 := tp[0].(term.Atom)
	tab, ok2 := tp[1].(term.Atom)
	rows, ok3 := tp[3].(term.List)
	o := schemaOp{kind: string(kind), tab: string(tab), at: kit.NodeName(at)}
	if m, isMap := tp[2].(term.Map); isMap {
		d, ok := defOf(m)
		if !ok {
			return o, false
		}
		o.def = d
	}
	for _, r := range rows {
		row, ok := r.(term.Tuple)
		if !ok || len(row) < 2 {
			return o, false
		}
		o.rows = append(o.rows, row)
	}
	bare := []string{"delete", "clear", "content", "dump", "restore"} // those without a definition
	return o, ok1 && ok2 && ok3 && (o.def != nil || slices.Contains(bare, o.kind))
}

// changes is a schema transaction in the making.
type changes struct {
	s   *Store
	tx  *Tx
	v   *view
	ops []schemaOp
}

// protect refuses a change of the table schema itself, before anything is locked.
func (s *Store) protect(name string) error {
	if name == "schema" && s.Running() {
		return abort("bad_type", term.Atom(name))
	}
	return nil
}

// schemaTx runs f under a write lock on the table schema at every running node and commits what it asks for.
func (s *Store) schemaTx(ctx context.Context, f func(c *changes) error) error {
	tx, err := s.Begin(ctx, SyncTransaction)
	if err != nil {
		return err
	}
	defer tx.Close()
	for {
		err := s.schemaRun(tx, f)
		if errors.Is(err, ErrRestart) {
			continue
		}
		if err != nil {
			s.count.failures.Add(1)
		}
		return err
	}
}

func (s *Store) schemaRun(tx *Tx, f func(c *changes) error) error {
	if _, err := tx.enter(); err != nil {
		return err
	}
	defer tx.mu.Unlock()
	if _, err := tx.lockWrite("schema", nil, lock.Write); err != nil {
		return err
	}
	v := s.view.Load()
	if v == nil || !v.up {
		return abort("node_not_running", node(s.self))
	}
	c := &changes{s: s, tx: tx, v: v}
	if err := f(c); err != nil {
		return err
	}
	if len(c.ops) == 0 {
		return nil
	}
	for _, o := range c.ops {
		if err := s.schemaReady(o); err != nil {
			return err
		}
	}
	others := slices.DeleteFunc(slices.Clone(v.nodes), func(n kit.NodeName) bool { return n == s.self })
	p := plan{view: v, ctx: tx.ctx(), id: s.commitID(), tx: tx.id, others: others, sync: true}
	p.frame = func(kit.NodeName) []byte { return s.prepareFrame(&p, nil, c.ops) }
	p.apply = func() error {
		s.applySchema(c.ops)
		return nil
	}
	err := s.drive(&p)
	if errors.Is(err, errStale) {
		return tx.again()
	}
	if err = tx.driven(err, others); err == nil {
		s.count.commits.Add(1)
	}
	return err
}

// lockTable takes a write lock on a table at its active copies, as get_tid_ts_and_lock(Tab, write).
func (c *changes) lockTable(name string) error {
	_, err := c.tx.lockWrite(name, nil, lock.Write)
	return err
}

// lockActive locks a table wherever it is active, also one that is read only.
func (c *changes) lockActive(t *tab) error {
	if len(t.active) == 0 {
		return abort("no_exists", term.Atom(t.Name))
	}
	_, err := c.tx.lockAt(lock.Item{Table: t.Name}, lock.Write, t.active)
	return err
}

// table gives a table to change. One that does not exist is {no_exists, {Tab, cstruct}}.
func (c *changes) table(name string) (*tab, error) {
	t := c.v.tables[name]
	if t == nil {
		return nil, abort("no_exists", term.T(term.Atom(name), term.Atom("cstruct")))
	}
	return t, nil
}

// active checks that every node with a copy and with a schema on disc has it loaded, as
// mnesia_schema:ensure_active/1: also one that is down.
func (c *changes) active(t *tab) error {
	if len(t.active) == 0 {
		return abort("no_exists", term.Atom(t.Name))
	}
	disc := c.v.tables["schema"].Disc
	var missing term.List
	for _, n := range t.holders() {
		if slices.Contains(disc, n) && !slices.Contains(c.loaded(t), n) {
			missing = append(missing, term.Atom(n))
		}
	}
	if len(missing) > 0 {
		return abort("not_active", term.Str("All replicas on diskfull nodes are not active yet"), term.Atom(t.Name), missing)
	}
	return nil
}

// loaded lists the nodes with a loaded copy; of local content, which every node loads by itself, those that run.
func (c *changes) loaded(t *tab) []kit.NodeName {
	if t.LocalContent {
		return c.v.nodes
	}
	return t.active
}

// next gives a copy of a definition with the next version, as mnesia_schema:incr_version/1: a major one when all
// its disc nodes take part.
func (c *changes) next(t *tab) *Def {
	d := *t.Def
	all := true
	for _, n := range t.holders() {
		if slices.Contains(c.v.tables["schema"].Disc, n) && !slices.Contains(c.loaded(t), n) {
			all = false
		}
	}
	d.Version.Minor++
	if all {
		d.Version.Major, d.Version.Minor = d.Version.Major+1, 0
	}
	id := c.s.clock.next()
	d.Version.By = Cookie{id.Time, id.Node}
	return &d
}

func (c *changes) add(kind string, d *Def) {
	c.ops = append(c.ops, schemaOp{kind: kind, tab: d.Name, def: d})
}

// CreateTable makes a table on all nodes that run, with copies where the description says.
func (s *Store) CreateTable(ctx context.Context, t Table) error {
	return s.CreateTableTerm(ctx, t.options())
}

// CreateTableTerm is mnesia:create_table/1: arg is a property list.
func (s *Store) CreateTableTerm(ctx context.Context, arg term.Term) error {
	return s.schemaTx(ctx, func(c *changes) error {
		d, err := parseDef(s.self, arg)
		if err != nil {
			if n, ok := existing(c.v, arg); ok {
				return abort("already_exists", n)
			}
			return err
		}
		if c.v.tables[d.Name] != nil {
			return abort("already_exists", term.Atom(d.Name))
		}
		if len(c.v.tables) >= MaxTables {
			return &Error{Class: Aborted, Reason: reason("system_limit", term.Atom(d.Name)), kind: kit.Overloaded}
		}
		for _, n := range slices.Concat(d.Disc, d.DiscOnly) {
			if !slices.Contains(c.v.nodes, n) {
				return abort("not_active", term.Atom(d.Name), term.Atom(n))
			}
		}
		id := s.clock.next()
		d.Cookie = Cookie{id.Time, id.Node}
		d.Version = Version{Major: 2}
		at := slices.DeleteFunc(sorted(d.holders()), func(n kit.NodeName) bool { return !slices.Contains(c.v.nodes, n) })
		if len(at) > 0 {
			if _, err := c.tx.lockAt(lock.Item{Table: d.Name}, lock.Write, at); err != nil {
				return err
			}
		}
		c.add("create", d)
		return nil
	})
}

// existing finds whether a wrong definition is that of a table which exists, because that is checked before.
func existing(v *view, arg term.Term) (term.Term, bool) {
	l, ok := arg.(term.List)
	if !ok {
		return nil, false
	}
	o := &options{tab: term.Atom("unknown"), list: l}
	a, ok := o.pick("name", nil).(term.Atom)
	if !ok || v.tables[string(a)] == nil {
		return nil, false
	}
	o.tab = a
	o.read(&Def{}, "")
	return a, o.err == nil
}

// DeleteTable removes a table from all nodes.
func (s *Store) DeleteTable(ctx context.Context, name string) error {
	if err := s.protect(name); err != nil {
		return err
	}
	return s.schemaTx(ctx, func(c *changes) error { return c.delete(name) })
}

func (c *changes) delete(name string) error {
	if c.v.tables[name] == nil {
		return abort("no_exists", term.Atom(name))
	}
	if err := c.lockTable(name); err != nil {
		return err
	}
	t, err := c.table(name)
	if err != nil {
		return err
	}
	if err := c.active(t); err != nil {
		return err
	}
	c.ops = append(c.ops, schemaOp{kind: "delete", tab: name})
	return nil
}

// ClearTable deletes all rows, of the own copy only when the table has local content.
func (s *Store) ClearTable(ctx context.Context, name string) error {
	t := s.upTable(name)
	if t != nil && t.LocalContent && t.read == s.self {
		_, err := s.dirtyOp(ctx, op{kind: opClear, tab: name}, true)
		return err
	}
	return s.schemaTx(ctx, func(c *changes) error {
		if name == "schema" {
			return nil
		}
		if c.v.tables[name] == nil {
			return abort("no_exists", term.Atom(name))
		}
		if err := c.lockTable(name); err != nil {
			return err
		}
		c.ops = append(c.ops, schemaOp{kind: "clear", tab: name})
		return nil
	})
}

// DumpTables writes the memory copies of tables to the disc of every node that has one. A store that starts with no
// other copy to be had loads them from there.
func (s *Store) DumpTables(ctx context.Context, tabs []string) error {
	return s.schemaTx(ctx, func(c *changes) error {
		for _, name := range tabs {
			if c.v.tables[name] == nil {
				return abort("no_exists", term.Atom(name))
			}
			if t := c.v.tables[name]; len(t.Disc)+len(t.DiscOnly) > 0 {
				return prose(Aborted, "Only allowed on ram_copies", term.Atom(name), nodeList(sorted(slices.Concat(t.Disc, t.DiscOnly))))
			}
			if _, err := c.tx.lockWrite(name, nil, lock.Read); err != nil {
				return err
			}
			c.ops = append(c.ops, schemaOp{kind: "dump", tab: name})
		}
		return nil
	})
}

// schemaReady checks on one node that it can carry out a schema change.
func (s *Store) schemaReady(o schemaOp) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tabs[o.tab]; o.kind == "dump" && t != nil && t.own == RAM && !s.useDir() {
		return abort("has_no_disc", node(s.self))
	}
	if o.def == nil {
		return nil
	}
	st := o.def.storage(s.self)
	if st != Disc && st != DiscOnly {
		if old := s.tabs[o.tab]; o.tab == "schema" && old != nil && old.own == Disc && st == RAM {
			return s.noDiscTables()
		}
		return nil
	}
	if o.tab == "schema" {
		if s.disk == nil {
			return abort("has_no_disc", node(s.self))
		}
		return nil
	}
	if !s.useDir() {
		if o.kind == "create" {
			return abort("bad_type", term.Atom(o.tab), term.Atom(st), node(s.self))
		}
		return abort("has_no_disc", node(s.self))
	}
	return nil
}

// noDiscTables checks that the node keeps no table on disc, before its schema leaves the disc.
func (s *Store) noDiscTables() error {
	var disc []string
	for name, t := range s.tabs {
		if name != "schema" && (t.own == Disc || t.own == DiscOnly) {
			disc = append(disc, name)
		}
	}
	if len(disc) == 0 {
		return nil
	}
	slices.Sort(disc)
	return prose(Aborted, "Disc resident tables", names(disc), node(s.self))
}
