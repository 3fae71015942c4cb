package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Source opens a backup file to read it from its beginning; it may be called more than once.
type Source func() (io.ReadCloser, error)

// Files keeps named files for a node: backups and text dumps. A missing one is fs.ErrNotExist. *disk.Disk is one.
type Files interface {
	// WriteFile makes a file of what content writes, whole or not at all.
	WriteFile(name string, content func(io.Writer) error) error
	OpenFile(name string) (io.ReadCloser, error)
}

// Files gives where this node keeps backups by name: Config.Files, or else the disc; nil without either.
func (s *Store) Files() Files {
	switch {
	case s.files != nil:
		return s.files
	case s.disk != nil:
		return s.disk
	}
	return nil
}

// File is the Source of a named file of this node.
func (s *Store) File(name string) Source {
	return func() (io.ReadCloser, error) {
		if f := s.Files(); f != nil {
			return f.OpenFile(name)
		}
		return nil, fs.ErrNotExist
	}
}

// Backup writes a backup of all tables as they are now, schema first, while others go on writing. Of tables in memory it
// has what DumpTables last wrote. It is mnesia:backup/1.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	v := s.view.Load()
	if v == nil || !v.up {
		return failed("node_not_running", node(s.self))
	}
	name, _, err := s.ActivateCheckpoint(ctx, CheckpointOptions{Min: sortedKeys(v.tables)})
	if err != nil {
		return err
	}
	err = s.BackupCheckpoint(ctx, w, name, BackupOptions{})
	if derr := s.DeactivateCheckpoint(ctx, name); err == nil && s.Running() {
		err = derr
	}
	return err
}

// BackupOptions say what of a checkpoint is written.
type BackupOptions struct {
	Tables []string // empty: all of the checkpoint
	Local  bool     // only tables that are kept on this node
	// Since names an older checkpoint. Of tables that it keeps on this node only the keys that have changed since then
	// are written, with their rows at the newer checkpoint.
	Since string
}

// BackupCheckpoint writes a checkpoint that this node knows to a backup file. A backup without the table schema begins with
// the definitions of its tables. Errors are {error, {'EXIT', Reason}} as mnesia:backup_checkpoint/3 gives them.
func (s *Store) BackupCheckpoint(ctx context.Context, w io.Writer, name string, o BackupOptions) error {
	b := NewBackupWriter(w)
	err := s.backupTables(ctx, b, name, o)
	if err == nil {
		err = b.Close()
	}
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		exit := failed("EXIT", e.Reason)
		exit.hint = e.hint
		return exit
	}
	return err
}

func (s *Store) backupTables(ctx context.Context, b *BackupWriter, name string, o BackupOptions) error {
	cp := s.cp.named(name)
	if cp == nil {
		return s.gone(name)
	}
	tabs := cp.tabs
	if len(o.Tables) > 0 {
		tabs = o.Tables
	}
	if o.Local {
		tabs = slices.DeleteFunc(slices.Clone(tabs), func(t string) bool { return cp.keeps[t] == nil })
	}
	all := slices.Contains(tabs, "schema")
	for _, t := range tabs {
		if !slices.ContainsFunc(cp.defs, func(d *Def) bool { return d.Name == t }) {
			return &Error{Reason: term.Atom("badarg")}
		}
	}
	for _, d := range cp.defs {
		if all || slices.Contains(tabs, d.Name) {
			if err := b.Write(Entry{Kind: EntryTable, Table: d.Name, Def: d}); err != nil {
				return err
			}
		}
	}
	for _, t := range tabs {
		if t == "schema" {
			continue
		}
		if err := s.backupTable(ctx, b, cp, t, o.Since); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) backupTable(ctx context.Context, b *BackupWriter, cp *checkpoint, tab, since string) error {
	var entries []Entry
	r := cp.keeps[tab]
	if old := s.cp.named(since); since != "" && since != cp.name && old != nil && old.keeps[tab] != nil && r != nil {
		entries = s.changedSince(old.keeps[tab], r, tab)
	} else if r != nil {
		entries = s.keptRows(cp, tab)
	} else {
		return s.backupRemote(ctx, b, cp, tab)
	}
	if cp.over.Load() { // from then on changes are not kept, so that what was just read may have some of them
		return s.gone(cp.name)
	}
	for _, e := range entries {
		if err := b.Write(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) gone(name string) error {
	return s.noCheckpoint(name, &Error{Reason: reason("error", reason("error", reason("no_exists", term.Atom(name))))})
}

// changedSince gives the keys that an older checkpoint had to keep, with their rows at the checkpoint r.
func (s *Store) changedSince(old, r *retainer, tab string) []Entry {
	t := s.table(tab)
	old.mu.Lock()
	keys := slices.Clone(old.keys)
	old.mu.Unlock()
	var out []Entry
	for _, k := range keys {
		out = append(out, Entry{Kind: EntryDelete, Table: tab, Key: k})
		var rows []term.Tuple
		if t != nil && t.data != nil {
			rows = t.data.get(k)
		}
		r.mu.Lock()
		if was, changed := r.old[term.Key(k)]; changed {
			rows = was
		}
		r.mu.Unlock()
		for _, row := range rows {
			out = append(out, Entry{Kind: EntryRow, Table: tab, Row: row})
		}
	}
	return out
}

func (s *Store) keptRows(cp *checkpoint, tab string) []Entry {
	var d *data
	if t := s.table(tab); t != nil {
		d = t.data
	}
	rows := cp.keeps[tab].rows(d)
	out := make([]Entry, len(rows))
	for i, row := range rows {
		out[i] = Entry{Kind: EntryRow, Table: tab, Row: row}
	}
	return out
}

// backupRemote writes a table that another node keeps.
func (s *Store) backupRemote(ctx context.Context, b *BackupWriter, cp *checkpoint, tab string) error {
	from := kit.NodeName("")
	for _, n := range cp.writers[tab] {
		if n != s.self && s.joined(n) {
			from = n
			break
		}
	}
	if from == "" {
		why := prose(Failed, "No retainer attached to table", term.L(term.Atom(tab), term.Atom(cp.name)))
		return &Error{Reason: reason("error", reason("error", why.Reason))}
	}
	for at := 0; ; {
		v, err := s.call(ctx, from, "checkpoint_read", term.T(term.Atom(cp.name), term.Atom(tab), term.Int(at)))
		if err != nil {
			return err
		}
		l, _ := v.(term.List)
		if len(l) == 0 {
			return nil
		}
		for _, t := range l {
			e, ok := entryOf(t)
			if !ok || e.Kind != EntryRow || e.Table != tab {
				return broken("read checkpoint", "malformed rows from %s", from)
			}
			if err := b.Write(e); err != nil {
				return err
			}
		}
		at += len(l)
	}
}

// maxPart is about how many bytes of rows go into one message.
const maxPart = 1 << 20

// checkpointRead gives a part of a table of a checkpoint, from a number on; nothing is the end.
func checkpointRead(s *Store, _ kit.NodeName, arg term.Term) (term.Term, error) {
	a, ok := arg.(term.Tuple)
	if !ok || len(a) != 3 {
		return nil, failed("badarg", arg)
	}
	name, _ := a[0].(term.Atom)
	tab, _ := a[1].(term.Atom)
	at, _ := a[2].(term.Int)
	cp := s.cp.named(string(name))
	if cp == nil || cp.keeps[string(tab)] == nil {
		return nil, failed("no_exists", name)
	}
	var entries []Entry
	if at == 0 {
		entries = s.keptRows(cp, string(tab))
	}
	if cp.over.Load() {
		return nil, failed("no_exists", name)
	}
	s.cp.mu.Lock()
	defer s.cp.mu.Unlock()
	if at == 0 {
		cp.reading[string(tab)] = entries
	}
	entries = cp.reading[string(tab)]
	if at < 0 || int64(at) >= int64(len(entries)) {
		delete(cp.reading, string(tab))
		return term.List{}, nil
	}
	out, size := term.List{}, 0
	for _, e := range entries[at:] {
		t := e.term()
		if size += len(term.Append(nil, t)); size > maxPart && len(out) > 0 {
			break
		}
		out = append(out, t)
	}
	return out, nil
}

// TraverseBackup reads a backup and hands every entry to f, which gives the entries that stand for it in the backup
// written to w; w may be nil. It needs no running store: mnesia:traverse_backup/4.
func TraverseBackup(src Source, w io.Writer, f func(Entry) ([]Entry, error)) error {
	r, err := src()
	if err != nil {
		return err
	}
	defer r.Close()
	b := NewBackupWriter(io.Discard)
	if w != nil {
		b = NewBackupWriter(w)
	}
	for e, err := range ReadBackup(r) {
		if err != nil {
			return err
		}
		out, err := f(e)
		if err != nil {
			return err
		}
		for _, e := range out {
			if err := b.Write(e); err != nil {
				return err
			}
		}
	}
	return b.Close()
}

// BackupReason gives Mnesia's reason for a backup that cannot be read: enoent, {not_a_log_file, Name}, or prose.
func BackupReason(name string, err error) term.Term {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Reason
	case errors.Is(err, fs.ErrNotExist):
		return term.Atom("enoent")
	case errors.Is(err, errNoBackup):
		return reason("not_a_log_file", term.Str(name))
	}
	return term.T(term.Str("Possibly truncated"), term.Str(err.Error()))
}
