package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// fallbackFile is the side file of the disc that a start begins with when it is there.
const fallbackFile = "FALLBACK.BUP"

// FallbackOptions say where a fallback is installed and what of the backup is left out.
type FallbackOptions struct {
	Local bool     // on this node only
	Skip  []string // tables that will not be there
}

// InstallFallback makes a backup the content of the discs of all nodes of its schema, from the next start of each on.
// Their stores may run or not, but all must be reachable; none may have a fallback already. It is
// mnesia:install_fallback/2.
func (s *Store) InstallFallback(ctx context.Context, src Source, name string, o FallbackOptions) error {
	refuse := func(why term.Term) error { return prose(Failed, "Cannot install fallback", why) }
	defs, err := backupDefs(src)
	if err != nil {
		return refuse(BackupReason(name, err))
	}
	def := defs["schema"]
	if def == nil {
		return refuse(reason("no_exists", term.Atom("schema")))
	}
	nodes := sorted(def.holders())
	if !slices.Contains(nodes, s.self) {
		return refuse(reason("not_active", node(s.self)))
	}
	if o.Local {
		nodes = []kit.NodeName{s.self}
	}
	tick := s.clock.next()
	id := term.Atom(fmt.Sprintf("fallback %s %d", tick.Node, tick.Time))
	defer func() {
		for _, n := range nodes {
			_ = s.atNode(ctx, n, "stage_drop", id) // what stays is dropped when this node goes
		}
	}()
	all := func(method string, arg term.Term) error {
		for _, n := range nodes {
			if n != s.self && !s.linked(n) {
				return refuse(reason("nodedown", node(n)))
			}
			if err := s.atNode(ctx, n, method, arg); err != nil {
				return err
			}
		}
		return nil
	}
	if err := all("fallback_begin", id); err != nil {
		return err
	}
	pr := &partWriter{send: func(p []byte) error { return all("fallback_part", term.T(id, term.Bin(p))) }}
	err = TraverseBackup(src, pr, func(e Entry) ([]Entry, error) {
		if slices.Contains(o.Skip, e.Table) {
			return nil, nil
		}
		return []Entry{e}, nil
	})
	if err == nil {
		err = pr.flush()
	}
	if err != nil {
		return err
	}
	return all("fallback_end", id)
}

// partWriter sends what is written in parts.
type partWriter struct {
	buf  []byte
	send func([]byte) error
}

func (w *partWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	if len(w.buf) < maxPart {
		return len(p), nil
	}
	return len(p), w.flush()
}

func (w *partWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	err := w.send(w.buf)
	w.buf = w.buf[:0]
	return err
}

// Fallback reports whether a fallback waits for the next start.
func (s *Store) Fallback() bool {
	if s.disk == nil {
		return false
	}
	f, err := s.disk.OpenFile(fallbackFile)
	if err != nil {
		return false
	}
	_ = f.Close() // it was only looked for
	return true
}

func fallbackBegin(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	refuse := func(kind string) error {
		return prose(Failed, "Cannot install fallback", reason(kind, node(s.self)))
	}
	switch {
	case s.disk == nil:
		return nil, refuse("has_no_disc")
	case s.Fallback():
		return nil, refuse("already_exists")
	}
	return stage(s, from, term.T(arg, term.Bool(true), term.List{}))
}

func (s *Store) stagedFallback(from kit.NodeName, id term.Term) (*staged, error) {
	a, _ := id.(term.Atom)
	st := s.cp.parts[string(a)]
	if st == nil || st.from != from {
		return nil, failed("no_exists", id)
	}
	return st, nil
}

func fallbackPart(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	a, ok := arg.(term.Tuple)
	if !ok || len(a) != 2 {
		return nil, failed("badarg", arg)
	}
	raw, ok := a[1].(term.Bin)
	s.cp.mu.Lock()
	defer s.cp.mu.Unlock()
	st, err := s.stagedFallback(from, a[0])
	if err != nil || !ok || len(st.raw)+len(raw) > maxStagedBytes {
		return nil, failed("system_limit", a[0])
	}
	st.raw = append(st.raw, raw...)
	return nil, nil
}

func fallbackEnd(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	s.cp.mu.Lock()
	st, err := s.stagedFallback(from, arg)
	s.cp.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return nil, s.disk.WriteFile(fallbackFile, func(w io.Writer) error {
		_, err := w.Write(st.raw)
		return err
	})
}

// UninstallFallback removes the fallback from the nodes of its schema, or from this one.
func (s *Store) UninstallFallback(ctx context.Context, local bool) error {
	if !s.Fallback() {
		return failed("enoent")
	}
	nodes := []kit.NodeName{s.self}
	if !local {
		defs, err := backupDefs(func() (io.ReadCloser, error) { return s.disk.OpenFile(fallbackFile) })
		if err != nil {
			return &Error{Class: Failed, Reason: BackupReason(fallbackFile, err)}
		}
		if d := defs["schema"]; d != nil {
			nodes = sorted(d.holders())
		}
	}
	for _, n := range nodes {
		if n != s.self && !s.linked(n) {
			return prose(Failed, "Cannot uninstall fallback", reason("nodedown", node(n)))
		}
	}
	for _, n := range nodes {
		if err := s.atNode(ctx, n, "fallback_drop", term.List{}); err != nil {
			return err
		}
	}
	return nil
}

func fallbackDrop(s *Store, _ kit.NodeName, _ term.Term) (term.Term, error) {
	if s.disk == nil {
		return nil, nil
	}
	return nil, s.disk.RemoveFile(fallbackFile)
}

// useFallback makes a fallback the content of the disc. The file goes last, so that after a crash it is all done
// again. Callers hold mu.
func (s *Store) useFallback() error {
	if s.disk == nil {
		return nil
	}
	f, err := s.disk.OpenFile(fallbackFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxStagedBytes))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	defs, tabs := map[string]*Def{}, map[string]*data{}
	for e, err := range ReadBackup(bytes.NewReader(raw)) {
		if err != nil {
			return err
		}
		fallbackEntry(defs, tabs, e)
	}
	if err := s.wipe(); err != nil {
		return err
	}
	clear(s.downs)
	clear(s.masters)
	for _, name := range sortedKeys(defs) {
		if err := s.fallbackTable(defs[name], tabs[name]); err != nil {
			return err
		}
	}
	if err := s.disk.Sync(0); err != nil {
		return err
	}
	return s.disk.RemoveFile(fallbackFile)
}

func fallbackEntry(defs map[string]*Def, tabs map[string]*data, e Entry) {
	d := tabs[e.Table]
	switch e.Kind {
	case EntryTable:
		defs[e.Table], tabs[e.Table] = e.Def, newData(e.Def)
	case EntryDrop:
		delete(defs, e.Table)
		delete(tabs, e.Table)
	case EntryRow:
		if d != nil && len(e.Row) == defs[e.Table].arity() {
			d.put(e.Row)
		}
	case EntryDelete:
		if d != nil {
			d.delete(e.Key)
		}
	}
}

func (s *Store) fallbackTable(d *Def, rows *data) error {
	cs := []disk.Change{{Op: disk.SetMeta, Key: metaTable(d.Name), Value: d.term()}}
	st := d.storage(s.self)
	keep := d.Name != "schema" && (st == Disc || st == DiscOnly || st == RAM && rows.size() > 0)
	if keep {
		if st == RAM {
			st = Disc // as DumpTables leaves it
		}
		cs = append(cs, makeOnDisc(d, st))
	}
	if _, err := s.disk.Append(cs...); err != nil {
		return err
	}
	if !keep {
		return nil
	}
	return s.disk.Replace(d.Name, slices.Values(rows.all()))
}
