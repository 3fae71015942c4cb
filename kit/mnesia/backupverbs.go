package mnesia

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"

	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// backupVerbs are the verbs for backups, checkpoints, fallbacks and text files. Files are named, plain names without
// folders, and belong to the node; file_get and file_put carry them elsewhere.
func (f *Face) backupVerbs() []verb {
	v := func(schema bool, name string, params []string, doc string, h door.Handler) verb {
		return verb{Verb: door.Verb{Name: name, Params: params, Doc: doc, Handler: h}, schema: schema}
	}
	p := func(names ...string) []string { return names }
	return []verb{
		v(false, "backup", p("file"), "Writes a backup of all tables.", f.backup),
		v(true, "restore", p("file", "opts?"), "Puts a backup's content into the tables.", f.restore),
		v(false, "backup_contents", p("file"), "What a backup holds.", f.backupContents),
		v(false, "traverse_backup", p("file", "table", "fn", "to"), "Changes a backup's records of a table, into another backup.", f.traverseBackup),
		v(false, "install_fallback", p("file", "opts?"), "From the next start on the discs have a backup's content.", f.installFallback),
		v(false, "uninstall_fallback", p("opts?"), "Takes the fallback away.", f.uninstallFallback),
		v(false, "activate_checkpoint", p("opts"), "Notes the state of tables.", f.activateCheckpoint),
		v(false, "deactivate_checkpoint", p("name"), "Forgets a checkpoint.", f.deactivateCheckpoint),
		v(false, "backup_checkpoint", p("name", "file", "opts?"), "Writes a checkpoint to a backup.", f.backupCheckpoint),
		v(false, "load_textfile", p("def"), "Makes tables and fills them, from a definition or the text of a file.", f.loadText),
		v(false, "dump_to_textfile", p("file?"), "Writes the node's tables as text.", f.dumpText),
		v(false, "file_get", p("file", "offset"), "A part of a file of the node; empty at its end.", f.fileGet),
		v(false, "file_put", p("file", "offset", "bytes"), "Writes a part of a file of the node; offset 0 begins it, empty bytes end it.", f.filePut),
	}
}

// props reads options: a map or a list of pairs.
func props(t term.Term) (term.List, bool) {
	switch t := t.(type) {
	case term.List:
		return t, true
	case term.Map:
		l := term.List{}
		for _, p := range t {
			l = append(l, term.T(p.Key, p.Value))
		}
		return l, true
	}
	return nil, false
}

// optArg gives the options of a request, which may be left out.
func optArg(r door.Request, i int) term.Term {
	if i < len(r.Args) {
		return r.Args[i]
	}
	return term.List{}
}

// pair takes an option apart; what is none has no key.
func pair(t term.Term) (key term.Atom, value term.Term) {
	if p, ok := t.(term.Tuple); ok && len(p) == 2 {
		key, _ = p[0].(term.Atom)
		return key, p[1]
	}
	return "", nil
}

func fileName(t term.Term) string {
	switch t := t.(type) {
	case term.Bin:
		return string(t)
	case term.Atom:
		return string(t)
	}
	s, _ := chars(t)
	return s
}

// writeFile makes a file of the node. What the disc refuses is Mnesia's {'EXIT', {error, {file_error, Name, Why}}}.
func (f *Face) writeFile(name string, content func(io.Writer) error) error {
	fileError := func(why string) *store.Error {
		return &store.Error{Class: store.Failed, Reason: term.T(term.Atom("EXIT"), term.T(term.Atom("error"),
			term.T(term.Atom("file_error"), term.Str(name), term.Atom(why))))}
	}
	files := f.store.Files()
	switch {
	case disk.SideName(name) != nil:
		return fileError("enoent").WithHint("name it plainly, such as monday.bup, without folders: backups lie in a folder of the node's own, and file_get carries them elsewhere")
	case files == nil:
		return fileError("enoent").WithHint("this node has no folder for files")
	}
	err := files.WriteFile(name, content)
	var e *store.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	if errors.Is(err, disk.ErrFull) {
		return fileError("enospc").WithHint("the disc is full; what was there before is whole")
	}
	return err
}

func (f *Face) backup(ctx context.Context, r door.Request) door.Outcome {
	return Outcome(f.writeFile(fileName(r.Args[0]), func(w io.Writer) error { return f.store.Backup(ctx, w) }))
}

func aborted(why term.Term) door.Outcome {
	return Outcome(&store.Error{Class: store.Aborted, Reason: why})
}

func badarg(t term.Term) term.Term { return term.T(term.Atom("badarg"), t) }

func (f *Face) restore(ctx context.Context, r door.Request) door.Outcome {
	name := fileName(r.Args[0])
	opts, ok := props(optArg(r, 1))
	if !ok {
		return aborted(badarg(optArg(r, 1)))
	}
	o := store.RestoreOptions{Tables: map[string]store.RestoreOp{}}
	for _, t := range opts {
		if why := restoreOption(&o, t); why != nil {
			return aborted(badarg(why))
		}
	}
	tabs, err := f.store.Restore(ctx, f.store.File(name), o)
	var e *store.Error
	if err != nil && !errors.As(err, &e) && ctx.Err() == nil {
		return aborted(store.BackupReason(name, err))
	}
	l := term.List{}
	for _, t := range tabs {
		l = append(l, term.Atom(t))
	}
	return answered(l, err)
}

// restoreOption reads one option; one that is wrong is given back as Mnesia names it.
func restoreOption(o *store.RestoreOptions, t term.Term) term.Term {
	key, value := pair(t)
	ops := []store.RestoreOp{store.ClearTables, store.RecreateTables, store.KeepTables, store.SkipTables}
	if key == "default_op" {
		a, _ := value.(term.Atom)
		if !slices.Contains(ops, store.RestoreOp(a)) {
			return term.T(term.Atom("bad_default_op"), value)
		}
		o.Default = store.RestoreOp(a)
		return nil
	}
	l, ok := value.(term.List)
	if !ok || !slices.Contains(ops, store.RestoreOp(key)) {
		return t
	}
	for _, tab := range names(l) {
		if tab == "schema" {
			return term.T(key, term.Atom("schema"))
		}
		if _, named := o.Tables[tab]; !named {
			o.Tables[tab] = store.RestoreOp(key)
		}
	}
	return nil
}

// maxContents is how many records backup_contents gives.
const maxContents = 1 << 20

// item gives an entry as Mnesia has it in a backup: records with the table's name first, deletions as pairs.
func item(e store.Entry) term.Tuple {
	if e.Kind == store.EntryDelete {
		return term.T(term.Atom(e.Table), e.Key)
	}
	row := slices.Clone(e.Row)
	row[0] = term.Atom(e.Table)
	return row
}

func (f *Face) backupContents(_ context.Context, r door.Request) door.Outcome {
	name := fileName(r.Args[0])
	types, rows, order := map[string]string{}, map[string][]term.Term{}, []string{}
	n := 0
	err := store.TraverseBackup(f.store.File(name), nil, func(e store.Entry) ([]store.Entry, error) {
		switch e.Kind {
		case store.EntryTable:
			types[e.Table] = e.Def.Type
			return nil, nil
		case store.EntryDrop:
			return nil, nil
		}
		t := item(e)
		k := e.Table + "\x00" + string(term.Append(nil, t[1]))
		was, known := rows[k]
		if !known {
			order = append(order, k)
		}
		if n++; n > maxContents {
			return nil, errors.New("it has too many records to show")
		}
		switch {
		case e.Kind == store.EntryDelete:
			rows[k] = nil
		case types[e.Table] == "bag":
			rows[k] = append(slices.DeleteFunc(was, func(x term.Term) bool { return term.Equal(x, t) }), t)
		default:
			rows[k] = []term.Term{t}
		}
		return nil, nil
	})
	if err != nil {
		return traversalFailed(name, err)
	}
	all := []term.Term{}
	for _, k := range order {
		all = append(all, rows[k]...)
	}
	tabs := term.List{}
	for t := range types {
		tabs = append(tabs, term.Atom(t))
	}
	return listing("tables", js(term.List(sorted(tabs))), "records", js(term.List(sorted(all))))
}

func traversalFailed(name string, err error) door.Outcome {
	return Outcome(&store.Error{Class: store.Failed, Reason: term.T(term.Str("Backup traversal failed"), store.BackupReason(name, err))})
}

func listing(k1 string, v1 json.RawMessage, k2 string, v2 json.RawMessage) door.Outcome {
	b, err := json.Marshal(map[string]json.RawMessage{k1: v1, k2: v2})
	if err != nil {
		return door.FromError(err)
	}
	return door.OKJSON(b)
}

func (f *Face) traverseBackup(_ context.Context, r door.Request) door.Outcome {
	name, to := fileName(r.Args[0]), fileName(r.Args[3])
	table, err := tableOf(r.Args[1])
	if err != nil {
		return Outcome(err)
	}
	fn := func(row term.Tuple) (term.Term, error) { return row, nil }
	if l, ok := r.Args[2].(term.List); ok {
		if fn, err = recordFunc(l); err != nil {
			return Outcome(err)
		}
	}
	n := 0
	change := func(e store.Entry) ([]store.Entry, error) {
		if e.Kind != store.EntryRow || e.Table != table {
			return []store.Entry{e}, nil
		}
		n++
		out, err := fn(item(e))
		if err != nil {
			return nil, err
		}
		row, ok := out.(term.Tuple)
		if !ok || len(row) < 3 {
			return nil, &store.Error{Class: store.Failed, Reason: badarg(out)}
		}
		if a, ok := row[0].(term.Atom); ok && a != term.Atom(table) {
			e.Table = string(a)
		} else {
			row[0] = e.Row[0] // the name of the records, where it is not the table's
		}
		e.Row = row
		return []store.Entry{e}, nil
	}
	if to == "read_only" {
		err = store.TraverseBackup(f.store.File(name), nil, change)
	} else {
		err = f.writeFile(to, func(w io.Writer) error { return store.TraverseBackup(f.store.File(name), w, change) })
	}
	if err != nil {
		return traversalFailed(name, err)
	}
	return door.OKTerm(term.Int(n))
}

func failedBadarg(t term.Term) door.Outcome {
	return Outcome(&store.Error{Class: store.Failed, Reason: badarg(t)})
}

// fallbackOptions reads the options of install_fallback and uninstall_fallback.
func fallbackOptions(t term.Term) (o store.FallbackOptions, wrong term.Term) {
	opts, ok := props(t)
	if !ok {
		return o, t
	}
	for _, t := range opts {
		key, value := pair(t)
		l, isList := value.(term.List)
		a, _ := value.(term.Atom)
		switch {
		case key == "scope" && (a == "global" || a == "local"):
			o.Local = a == "local"
		case key == "skip_tables" && isList:
			o.Skip = names(l)
		case key == "keep_tables" && isList, key == "default_op" && (a == "keep_tables" || a == "skip_tables"):
		default:
			return o, t
		}
	}
	return o, nil
}

func (f *Face) installFallback(ctx context.Context, r door.Request) door.Outcome {
	o, wrong := fallbackOptions(optArg(r, 1))
	if wrong != nil {
		return failedBadarg(wrong)
	}
	name := fileName(r.Args[0])
	return Outcome(f.store.InstallFallback(ctx, f.store.File(name), name, o))
}

func (f *Face) uninstallFallback(ctx context.Context, r door.Request) door.Outcome {
	o, wrong := fallbackOptions(optArg(r, 0))
	if wrong != nil {
		return failedBadarg(wrong)
	}
	return Outcome(f.store.UninstallFallback(ctx, o.Local))
}

func (f *Face) activateCheckpoint(ctx context.Context, r door.Request) door.Outcome {
	opts, ok := props(r.Args[0])
	if !ok {
		return failedBadarg(r.Args[0])
	}
	var o store.CheckpointOptions
	for _, t := range opts {
		if !checkpointOption(&o, t) {
			return failedBadarg(t)
		}
	}
	name, nodes, err := f.store.ActivateCheckpoint(ctx, o)
	return answered(term.T(term.Atom(name), nodeList(nodes)), err)
}

func checkpointOption(o *store.CheckpointOptions, t term.Term) bool {
	key, value := pair(t)
	l, isList := value.(term.List)
	a, isAtom := value.(term.Atom)
	switch {
	case key == "name" && isAtom:
		o.Name = string(a)
	case key == "min" && isList:
		o.Min = names(l)
	case key == "max" && isList:
		o.Max = names(l)
	case key == "ram_overrides_dump" && isList:
		o.RAMOverrides = names(l)
	case key == "ram_overrides_dump" && isBool(value):
		o.AllRAM = a == "true"
	case key == "allow_remote" && isBool(value):
	default:
		return false
	}
	return true
}

func (f *Face) deactivateCheckpoint(ctx context.Context, r door.Request) door.Outcome {
	return Outcome(f.store.DeactivateCheckpoint(ctx, fileName(r.Args[0])))
}

func (f *Face) backupCheckpoint(ctx context.Context, r door.Request) door.Outcome {
	opts, ok := props(optArg(r, 2))
	if !ok {
		return failedBadarg(optArg(r, 2))
	}
	var o store.BackupOptions
	for _, t := range opts {
		key, value := pair(t)
		l, isList := value.(term.List)
		a, isAtom := value.(term.Atom)
		switch {
		case key == "tables" && isList:
			o.Tables = names(l)
		case key == "incremental" && isAtom:
			o.Since = string(a)
		case key == "scope" && (a == "local" || a == "global"):
			o.Local = a == "local"
		case key == "module" && isAtom:
		default:
			return failedBadarg(t)
		}
	}
	name := fileName(r.Args[0])
	return Outcome(f.writeFile(fileName(r.Args[1]), func(w io.Writer) error { return f.store.BackupCheckpoint(ctx, w, name, o) }))
}

// filePart is how many bytes file_get gives at most.
const filePart = 256 << 10

func (f *Face) fileGet(_ context.Context, r door.Request) door.Outcome {
	at, err := r.Int(1)
	if err != nil {
		return door.FromError(err)
	}
	file, err := f.store.File(fileName(r.Args[0]))()
	if errors.Is(err, fs.ErrNotExist) {
		return door.ErrorWith("enoent")
	}
	if err != nil {
		return door.FromError(err)
	}
	defer file.Close()
	if _, err := io.CopyN(io.Discard, file, int64(max(at, 0))); err != nil && err != io.EOF {
		return door.FromError(err)
	}
	b, err := io.ReadAll(io.LimitReader(file, filePart))
	if err != nil {
		return door.FromError(err)
	}
	return door.OKTerm(term.Bin(b))
}

// maxPut is how many bytes of a file may come through the door.
const maxPut = 64 << 20

func (f *Face) filePut(_ context.Context, r door.Request) door.Outcome {
	name := fileName(r.Args[0])
	at, err := r.Int(1)
	b, ok := r.Args[2].(term.Bin)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil || !ok || at < 0:
		return door.ErrorWith("badarg", r.Args[1])
	case at == 0:
		f.coming, f.comingFor = nil, name
	}
	if f.comingFor != name || int(at) != len(f.coming) || len(f.coming)+len(b) > maxPut {
		return door.ErrorWith("badarg", r.Args[1])
	}
	f.coming = append(f.coming, b...)
	if len(b) > 0 {
		return door.Done()
	}
	whole := f.coming
	f.coming, f.comingFor = nil, ""
	return Outcome(f.writeFile(name, func(w io.Writer) error {
		_, err := w.Write(whole)
		return err
	}))
}
