package store

import (
	"context"
	"errors"
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// checkStorage refuses what is no storage type.
func checkStorage(tab string, st Storage) error {
	switch st {
	case RAM, Disc, DiscOnly:
		return nil
	}
	return abort("badarg", term.Atom(tab), term.Atom(st))
}

// checkPlaces is what assert_correct_cstruct says about a changed set of copies.
func checkPlaces(d *Def) error {
	if d.Name == "schema" && len(d.DiscOnly) > 0 {
		return abort("bad_type", term.Atom(d.Name), term.T(term.Atom("disc_only_copies"), nodeList(d.DiscOnly)))
	}
	if d.Type == "ordered_set" && len(d.DiscOnly) > 0 {
		return abort("bad_type", term.Atom(d.Name), term.T(term.Atom("not_supported"), term.Atom("ordered_set"), term.Atom("disc_only_copies")))
	}
	return nil
}

// AddTableCopy gives a node a copy of a table; it returns when the copy is loaded, if the node runs.
func (s *Store) AddTableCopy(ctx context.Context, name string, n kit.NodeName, st Storage) error {
	err := s.schemaTx(ctx, func(c *changes) error {
		t, err := c.table(name)
		if err != nil {
			return err
		}
		if slices.Contains(t.holders(), n) {
			return abort("already_exists", term.Atom(name), term.Atom(n))
		}
		if err := checkStorage(name, st); err != nil {
			return err
		}
		d := c.next(t).place(n, st)
		if err := checkPlaces(d); err != nil {
			return err
		}
		up := slices.Contains(c.v.nodes, n)
		switch {
		case name == "schema" && st != RAM:
			return abort("badarg", term.Atom(name), term.Atom(st))
		case name == "schema" && up:
			return abort("already_exists", term.Atom(name), term.Atom(n))
		case st != RAM && !up:
			return abort("not_active", term.Atom("schema"), term.Atom(n))
		}
		c.add("define", d)
		return nil
	})
	if err != nil {
		return err
	}
	return s.awaitCopy(ctx, name, n)
}

// awaitCopy waits until a node that runs has loaded its new copy.
func (s *Store) awaitCopy(ctx context.Context, name string, n kit.NodeName) error {
	s.startLoads()
	return s.wait(ctx, func() bool {
		t := s.tabs[name]
		return name == "schema" || t == nil || t.LocalContent && n != s.self || !s.nodes[n] || len(t.active) == 0 ||
			slices.Contains(t.active, n) || !slices.Contains(t.holders(), n) || s.phase != running
	})
}

// DelTableCopy takes a node's copy of a table away; with the last one the table goes. The copy of the table schema
// goes only from a node that does not run, which then belongs to the cluster no more.
func (s *Store) DelTableCopy(ctx context.Context, name string, n kit.NodeName) error {
	return s.schemaTx(ctx, func(c *changes) error {
		t, err := c.table(name)
		if err != nil {
			return err
		}
		return c.delCopy(t, n)
	})
}

func (c *changes) delCopy(t *tab, n kit.NodeName) error {
	if t.storage(n) == Unknown {
		return abort("badarg", term.Atom(t.Name), term.Atom("unknown"))
	}
	d := c.next(t).place(n, Unknown)
	switch {
	case t.Name == "schema" && slices.Contains(c.v.nodes, n):
		return abort("active", term.Str("Mnesia is running"), term.Atom(n))
	case t.Name == "schema" && len(d.holders()) == 0:
		return abort("combine_error", term.Atom(t.Name), term.Str("Last replica"))
	case t.Name == "schema":
		c.add("define", d)
		return c.forget(n)
	case len(d.holders()) == 0:
		return c.delete(t.Name)
	}
	if err := c.active(t); err != nil {
		return err
	}
	if err := c.lockTable(t.Name); err != nil {
		return err
	}
	c.add("define", d)
	return nil
}

// forget takes a node's copies of all tables away.
func (c *changes) forget(n kit.NodeName) error {
	for _, name := range sortedKeys(c.v.tables) {
		t := c.v.tables[name]
		if name == "schema" || t.storage(n) == Unknown {
			continue
		}
		d := c.next(t).place(n, Unknown)
		if len(d.holders()) == 0 {
			c.ops = append(c.ops, schemaOp{kind: "delete", tab: name})
			continue
		}
		c.add("define", d)
	}
	return nil
}

// MoveTableCopy moves a copy from one node to another.
func (s *Store) MoveTableCopy(ctx context.Context, name string, from, to kit.NodeName) error {
	var kept Storage
	if err := s.protect(name); err != nil {
		return err
	}
	err := s.schemaTx(ctx, func(c *changes) error {
		t := c.v.tables[name]
		switch {
		case t == nil:
			return abort("no_exists", term.Atom(name))
		case slices.Contains(t.holders(), to):
			return abort("already_exists", term.Atom(name), term.Atom(to))
		case len(t.active) == 0:
			return abort("no_exists", term.Atom(name))
		case !slices.Contains(c.loaded(t), from):
			return abort("not_active", term.Atom(name), term.Atom(from))
		case !slices.Contains(c.v.nodes, to):
			return abort("not_active", term.Atom("schema"), term.Atom(to))
		}
		if err := c.active(t); err != nil {
			return err
		}
		kept = t.storage(from)
		d := c.next(t).place(to, kept)
		if err := checkPlaces(d); err != nil {
			return err
		}
		c.add("define", d)
		return nil
	})
	if err == nil {
		err = s.awaitCopy(ctx, name, to)
	}
	if err != nil {
		return err
	}
	return s.DelTableCopy(ctx, name, from)
}

// ChangeTableCopyType changes how a node keeps its copy.
func (s *Store) ChangeTableCopyType(ctx context.Context, name string, n kit.NodeName, st Storage) error {
	return s.schemaTx(ctx, func(c *changes) error {
		t := c.v.tables[name]
		if t == nil {
			return abort("no_exists", term.Atom(name))
		}
		if err := c.lockActive(t); err != nil {
			return err
		}
		was := t.storage(n)
		switch {
		case st == Unknown:
			return c.delCopy(t, n)
		case was == st:
			return abort("already_exists", term.Atom(name), term.Atom(n), term.Atom(st))
		case was == Unknown:
			return abort("badarg", term.Atom(name), term.Atom("unknown"))
		}
		if checkStorage(name, st) != nil {
			return abort("bad_type", term.T(term.Atom("storage_type"), term.Atom(st)))
		}
		if st == RAM { // the copy on disc goes: mnesia_schema:compare_storage_type/3 calls it incompatible
			if err := c.active(t); err != nil {
				return err
			}
		}
		d := c.next(t).place(n, st)
		if err := checkPlaces(d); err != nil {
			return err
		}
		if name != "schema" && st != RAM && slices.Contains(c.v.tables["schema"].RAM, n) {
			return abort("has_no_disc", term.Atom(n))
		}
		c.add("define", d)
		return nil
	})
}

// change makes a schema transaction of a change of one definition. protect refuses the table schema.
func (s *Store) changeDef(ctx context.Context, name string, protect bool, f func(c *changes, t *tab, d *Def) error) error {
	if protect {
		if err := s.protect(name); err != nil {
			return err
		}
	}
	return s.schemaTx(ctx, func(c *changes) error {
		t, err := c.table(name)
		if err != nil {
			return err
		}
		if err := c.active(t); err != nil {
			return err
		}
		d := c.next(t)
		if err := f(c, t, d); err != nil {
			return err
		}
		c.add("define", d)
		return nil
	})
}

// ChangeTableAccessMode makes a table read only, or writable again.
func (s *Store) ChangeTableAccessMode(ctx context.Context, name string, readOnly bool) error {
	mode := term.Atom("read_write")
	if readOnly {
		mode = "read_only"
	}
	return s.changeDef(ctx, name, false, func(c *changes, t *tab, d *Def) error {
		if err := c.lockActive(t); err != nil {
			return err
		}
		if t.ReadOnly == readOnly {
			return abort("already_exists", term.Atom(name), mode)
		}
		d.ReadOnly = readOnly
		return nil
	})
}

// ChangeTableLoadOrder sets the priority of loading.
func (s *Store) ChangeTableLoadOrder(ctx context.Context, name string, order int64) error {
	return s.changeDef(ctx, name, true, func(_ *changes, t *tab, d *Def) error {
		if t.LoadOrder == order {
			return abort("already_exists", term.Atom(name), term.Int(order))
		}
		d.LoadOrder = order
		return nil
	})
}

// ChangeTableMajority sets whether writes need a majority of the copies.
func (s *Store) ChangeTableMajority(ctx context.Context, name string, majority bool) error {
	return s.changeDef(ctx, name, true, func(_ *changes, t *tab, d *Def) error {
		if t.LocalContent && majority {
			return localMajority(term.Atom(name))
		}
		d.Majority = majority // also to what it is already, unlike the other changes
		return nil
	})
}

// localMajority refuses a table of local content whose writes need a majority.
func localMajority(tab term.Term) error {
	yes := func(k term.Atom) term.Term { return term.T(k, term.Atom("true")) }
	return abort("combine_error", tab, term.L(yes("local_content"), yes("majority")))
}

// AddTableIndex adds an index on an attribute, named or by position.
func (s *Store) AddTableIndex(ctx context.Context, name string, attr term.Term) error {
	return s.changeIndex(ctx, name, attr, func(t *tab, d *Def, pos int) error {
		if slices.Contains(t.Index, pos) {
			return abort("already_exists", term.Atom(name), term.Int(pos))
		}
		if pos < 3 || pos > t.arity() {
			return abort("bad_type", term.Atom(name), term.T(term.Atom("index"), term.L(term.Int(pos))))
		}
		d.Index = append(slices.Clone(t.Index), pos)
		slices.Sort(d.Index)
		return nil
	})
}

// DelTableIndex removes an index.
func (s *Store) DelTableIndex(ctx context.Context, name string, attr term.Term) error {
	return s.changeIndex(ctx, name, attr, func(t *tab, d *Def, pos int) error {
		if !slices.Contains(t.Index, pos) {
			return abort("no_exists", term.Atom(name), term.Int(pos))
		}
		d.Index = slices.DeleteFunc(slices.Clone(t.Index), func(p int) bool { return p == pos })
		return nil
	})
}

func (s *Store) changeIndex(ctx context.Context, name string, attr term.Term, f func(t *tab, d *Def, pos int) error) error {
	if err := s.protect(name); err != nil {
		return err
	}
	return s.schemaTx(ctx, func(c *changes) error {
		t := c.v.tables[name]
		if t == nil {
			return abort("no_exists", term.Atom(name))
		}
		if err := c.lockActive(t); err != nil {
			return err
		}
		if p, isTuple := attr.(term.Tuple); isTuple {
			return abort("bad_type", term.Atom(name), term.T(term.Atom("index"), term.L(p)))
		}
		pos, err := indexPos(c.v, name, attr)
		if err != nil {
			return err
		}
		if err := c.active(t); err != nil {
			return err
		}
		d := c.next(t)
		if err := f(t, d, pos); err != nil {
			return err
		}
		c.add("define", d)
		return nil
	})
}

// WriteTableProperty keeps a property, a tuple whose first element is its key, with the table's definition.
func (s *Store) WriteTableProperty(ctx context.Context, name string, prop term.Term) error {
	p, ok := prop.(term.Tuple)
	if !ok || len(p) == 0 {
		return abort("bad_type", term.Atom(name), prop)
	}
	return s.changeDef(ctx, name, false, func(_ *changes, t *tab, d *Def) error {
		d.UserProps = append(withoutProp(t.UserProps, p[0]), p)
		return nil
	})
}

func withoutProp(props term.List, key term.Term) term.List {
	return slices.DeleteFunc(slices.Clone(props), func(p term.Term) bool {
		t, ok := p.(term.Tuple)
		return ok && len(t) > 0 && term.Equal(t[0], key)
	})
}

// DeleteTableProperty removes a property.
func (s *Store) DeleteTableProperty(ctx context.Context, name string, key term.Term) error {
	return s.changeDef(ctx, name, false, func(_ *changes, t *tab, d *Def) error {
		d.UserProps = withoutProp(t.UserProps, key)
		return nil
	})
}

// ReadTableProperty gives a property. One that is not there is {no_exists, {Tab, user_property, Key}}.
func (s *Store) ReadTableProperty(name string, key term.Term) (term.Term, error) {
	if t := s.upTable(name); t != nil {
		for _, p := range t.UserProps {
			if tp, ok := p.(term.Tuple); ok && len(tp) > 0 && term.Equal(tp[0], key) {
				return p, nil
			}
		}
	}
	return nil, exit("no_exists", term.T(term.Atom(name), term.Atom("user_property"), key))
}

// Transform describes what TransformTable changes: the attributes, perhaps the record name, and the rows by Func; a
// nil Func leaves the rows as they are.
type Transform struct {
	Attributes []string
	RecordName string // empty: the old one
	Func       func(term.Tuple) (term.Term, error)
}

// TransformTable changes the definition and all rows of a table in one transaction. Func runs on this node only.
func (s *Store) TransformTable(ctx context.Context, name string, tr Transform) error {
	if err := s.protect(name); err != nil {
		return err
	}
	return s.schemaTx(ctx, func(c *changes) error {
		t, err := c.table(name)
		if err != nil {
			return err
		}
		if err := c.lockTable(name); err != nil {
			return err
		}
		if err := c.active(t); err != nil {
			return err
		}
		d := c.next(t)
		d.Attributes = tr.Attributes
		if tr.RecordName != "" {
			d.RecordName = tr.RecordName
		}
		if err := checkTransformed(d); err != nil {
			return err
		}
		o := schemaOp{kind: "transform", tab: name, def: d}
		if tr.Func != nil && t.LocalContent {
			c.ops = append(c.ops, o)
			return c.transformEach(t, d, tr.Func)
		}
		if tr.Func != nil {
			a, err := s.ask(c.tx.ctx(), t, query{kind: qAll, tab: name})
			if err != nil {
				return err
			}
			if o.rows, err = c.transformed(t, d, a.rows, tr.Func); err != nil {
				return err
			}
		}
		c.ops = append(c.ops, o)
		return nil
	})
}

// transformEach changes the rows of a table of local content, which are others on every node.
func (c *changes) transformEach(t *tab, d *Def, f func(term.Tuple) (term.Term, error)) error {
	var at []kit.NodeName
	for _, n := range sorted(t.holders()) {
		if slices.Contains(c.v.nodes, n) {
			at = append(at, n)
		}
	}
	if _, err := c.tx.lockAt(lock.Item{Table: t.Name}, lock.Write, at); err != nil {
		return err
	}
	for _, n := range at {
		q, a, err := query{kind: qAll, tab: t.Name}, answer{}, error(nil)
		if n == c.s.self {
			a, err = c.s.ask(c.tx.ctx(), t, q)
		} else {
			var down bool
			if a, down, err = c.s.askThere(c.tx.ctx(), n, q); down {
				err = abort("not_active", term.Atom(t.Name), node(n))
			}
		}
		if err != nil {
			return err
		}
		rows, err := c.transformed(t, d, a.rows, f)
		if err != nil {
			return err
		}
		c.ops = append(c.ops, schemaOp{kind: "content", tab: t.Name, at: n, rows: rows})
	}
	return nil
}

func checkTransformed(d *Def) error {
	o := &options{tab: term.Atom(d.Name), list: term.L(term.T(term.Atom("attributes"), names(d.Attributes)))}
	o.verifyAttributes(&Def{})
	if o.err != nil {
		return o.err
	}
	for _, pos := range d.Index {
		if pos > d.arity() {
			return abort("bad_type", term.Atom(d.Name), term.T(term.Atom("index"), term.L(ixTerm(pos))))
		}
	}
	return nil
}

// transformed gives the rows as f changes them. f must keep the key and give records of the new shape.
func (c *changes) transformed(t *tab, d *Def, old []term.Tuple, f func(term.Tuple) (term.Term, error)) ([]term.Tuple, error) {
	rows := make([]term.Tuple, 0, len(old))
	bad := func(text string, why ...term.Term) error {
		return prose(Aborted, "Bad transform function", term.Atom(t.Name), term.Opaque{Sort: "fun"}, node(c.s.self),
			append(term.Tuple{term.Str(text)}, why...))
	}
	for _, r := range old {
		out, err := f(r)
		if err != nil {
			var e *Error
			if errors.As(err, &e) {
				return nil, prose(Aborted, "Bad transform function", term.Atom(t.Name), term.Opaque{Sort: "fun"}, node(c.s.self), e.Reason)
			}
			return nil, err
		}
		n, ok := out.(term.Tuple)
		switch {
		case !ok || len(n) != d.arity():
			return nil, bad("Bad arity", r, out)
		case n[0] != term.Term(term.Atom(d.RecordName)) || !term.Equal(n[1], r[1]):
			return nil, bad("Bad key or Record Name", r, out)
		}
		rows = append(rows, n)
	}
	return rows, nil
}
