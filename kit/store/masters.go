package store

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// WaitForTables waits until tables can be read here, from the own copy where there is one, or ctx ends: then the error is
// TimedOut with those that are missing.
func (s *Store) WaitForTables(ctx context.Context, tabs []string) error {
	if !s.Running() && s.Phase() == "no" {
		return failed("node_not_running", node(s.self))
	}
	var missing term.List
	var damage error
	err := s.wait(ctx, func() bool {
		missing, damage = nil, nil
		for _, name := range tabs {
			if t := s.tabs[name]; t == nil || t.read == "" || name != "schema" && t.own != Unknown && t.data == nil || s.phase != running {
				missing = append(missing, term.Atom(name))
				damage = cmp.Or(damage, s.damaged[name])
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
		return &Error{Class: TimedOut, Reason: missing, kind: kit.Unavailable, hint: damageHint(damage)}
	}
	return err
}

// damageHint says why a table cannot be loaded from the own disc, and what can be done.
func damageHint(err error) string {
	if err == nil {
		return ""
	}
	return "the copy on this node's disc cannot be read (" + err.Error() + "): load the table on another node that has it, by force if " +
		"this copy was the newest (stop this node first), or restore a backup"
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
		s.go_(func(ctx context.Context) { s.lateLoad(ctx, []string{name}, false) })
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
		switch {
		case d == nil && s.phase == stopped && !s.useDir():
			return nil // without a schema on disc there is nothing to look it up in
		case d == nil:
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
		holds := slices.DeleteFunc(slices.Clone(nodes), func(n kit.NodeName) bool {
			// of local content every node knows only its own copy
			return !slices.Contains(d.holders(), n) || d.LocalContent && n != s.self
		})
		set(name, holds)
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
