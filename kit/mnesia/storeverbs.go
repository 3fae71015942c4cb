package mnesia

import (
	"context"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

func (f *Face) startStore(ctx context.Context, r door.Request) door.Outcome {
	if len(r.Args) > 0 {
		config, ok := r.Args[0].(term.Map)
		if !ok {
			return door.ErrorWith("badarg", r.Args[0])
		}
		for _, p := range config {
			k, _ := p.Key.(term.Atom)
			if err := f.store.Set(string(k), p.Value); err != nil {
				return door.ErrorWith("bad_type", p.Key, p.Value)
			}
		}
	}
	return Outcome(f.store.Start(ctx, store.StartOptions{}))
}

func isBool(t term.Term) bool { a, ok := t.(term.Atom); return ok && (a == "true" || a == "false") }

// setMasterNodes takes the nodes and, when only one table is meant, the table.
func (f *Face) setMasterNodes(_ context.Context, r door.Request) door.Outcome {
	table := ""
	if len(r.Args) > 1 {
		var err error
		if table, err = tableOf(r.Args[1]); err != nil {
			return door.ErrorWith("no_exists", r.Args[1])
		}
	}
	l, ok := r.Args[0].(term.List)
	switch {
	case !ok && table != "":
		return door.ErrorWith("bad_type", r.Args[1], r.Args[0])
	case !ok:
		return door.ErrorWith("bad_type", r.Args[0])
	}
	var strange term.List // no names of nodes: nodes that keep no copy
	ns := []kit.NodeName{}
	for _, e := range l {
		if a, ok := e.(term.Atom); ok {
			ns = append(ns, kit.NodeName(a))
			continue
		}
		strange = append(strange, e)
	}
	if _, _, there := f.store.TableType(table); there && len(strange) > 0 {
		return door.ErrorWith("no_exists", r.Args[1], strange)
	}
	return Outcome(f.store.SetMasterNodes(table, ns))
}

func (f *Face) waitForTables(ctx context.Context, r door.Request) door.Outcome {
	l, ok := r.Args[0].(term.List)
	var tables []string
	var strange term.List // never there, however long one waits
	for _, t := range l {
		if a, isAtom := t.(term.Atom); isAtom {
			tables = append(tables, string(a))
			continue
		}
		strange = append(strange, t)
	}
	wait, err := waitOf(r, 1, maxWait)
	if n, isInt := r.Args[len(r.Args)-1].(term.Int); !ok || err != nil || len(r.Args) > 1 && isInt && n < 0 {
		return door.ErrorWith("badarg", r.Args...)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if len(strange) > 0 && f.store.Running() {
		<-ctx.Done()
		return timedOut(append(strange, f.notReady(tables)...))
	}
	return Outcome(f.store.WaitForTables(ctx, tables))
}

// timedOut is the answer of a wait that some tables, or what was given for tables, have outlasted.
func timedOut(waits term.List) door.Outcome {
	return door.Outcome{Status: door.Timeout, Value: js(term.List(sorted(waits)))}
}

// notReady lists those of some tables that cannot be used yet.
func (f *Face) notReady(tables []string) (l term.List) {
	for _, t := range tables {
		at, err := f.store.TableInfo(t, term.Atom("where_to_read"))
		if err != nil || at == term.Term(term.Atom("nowhere")) {
			l = append(l, term.Atom(t))
		}
	}
	return l
}

func (f *Face) forceLoad(ctx context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return door.ErrorWith("no_exists", r.Args[0])
	}
	if err := f.store.ForceLoadTable(ctx, t); err != nil {
		return Outcome(err)
	}
	return door.OKTerm(term.Atom("yes"))
}

// systemInfo sorts lists, whose order Mnesia leaves open.
func (f *Face) systemInfo(_ context.Context, r door.Request) door.Outcome {
	return answered(sortedList(f.store.SystemInfo(r.Args[0])))
}

func (f *Face) tableInfo(_ context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return Outcome(&store.Error{Class: store.Aborted, Exit: true, Reason: term.T(term.Atom("bad_type"), r.Args[0])})
	}
	v, err := f.store.TableInfo(t, r.Args[1])
	if r.Args[1] != term.Atom("attributes") {
		v, err = sortedList(v, err)
	}
	return answered(v, err)
}

func sortedList(t term.Term, err error) (term.Term, error) {
	if l, ok := t.(term.List); ok {
		return term.List(sorted(l)), err
	}
	return t, err
}

func (f *Face) setDebugLevel(_ context.Context, r door.Request) door.Outcome {
	old, err := f.store.SetDebugLevel(r.Args[0])
	return answered(term.Atom(old), err)
}

func (f *Face) reportEvent(_ context.Context, r door.Request) door.Outcome {
	f.store.ReportEvent(r.Args[0])
	return door.Done()
}

func (f *Face) dumpLog(context.Context, door.Request) door.Outcome {
	if err := f.store.DumpLog(); err != nil {
		return Outcome(err)
	}
	return door.OKTerm(term.Atom("dumped"))
}

func (f *Face) dumpTables(ctx context.Context, r door.Request) door.Outcome {
	l, ok := r.Args[0].(term.List)
	if !ok {
		return Outcome(badType(r.Args[0]))
	}
	return Outcome(f.store.DumpTables(ctx, names(l)))
}

func (f *Face) syncLog(context.Context, door.Request) door.Outcome {
	return Outcome(f.store.SyncLog())
}

func (f *Face) contents(ctx context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return Outcome(err)
	}
	_, wild, ok := f.store.TableType(t)
	if !ok {
		return Outcome(&store.Error{Class: store.Aborted, Exit: true, Reason: term.T(term.Atom("no_exists"), term.Atom(t), term.Atom("wild_pattern"))})
	}
	rows, err := f.store.DirtyMatchObject(ctx, t, wild)
	v, err := env{f: f}.rows(t, rows, err)
	if err != nil {
		return Outcome(err)
	}
	return door.OKJSON(v)
}

func (f *Face) localContents(_ context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return Outcome(err)
	}
	rows, ok, err := f.store.LocalContents(t)
	switch {
	case err != nil:
		return Outcome(err)
	case !ok:
		return door.OKTerm(term.Atom("none"))
	}
	v, err := env{f: f}.rows(t, rows, nil)
	if err != nil {
		return Outcome(err)
	}
	return door.OKJSON(v)
}

// transform takes "ignore", a list of changes made to each record one after the other, or {"raw": term}.
func (f *Face) transform(ctx context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return Outcome(err)
	}
	name, err := f.store.TableInfo(t, term.Atom("record_name"))
	switch {
	case len(r.Args) > 3:
		name = r.Args[3]
	case err != nil && f.store.Running():
		return Outcome(&store.Error{Class: store.Aborted, Exit: true, Reason: term.T(term.Atom("no_exists"), term.T(term.Atom(t), term.Atom("record_name")))})
	case err != nil:
		name = term.Atom(t)
	}
	fn := r.Args[1]
	if m, ok := fn.(term.Map); ok && len(m) == 1 && m[0].Key == term.Atom("raw") {
		fn = m[0].Value
	}
	tr := store.Transform{}
	changes, isFunc := fn.(term.List)
	if isFunc {
		if tr.Func, err = recordFunc(changes); err != nil {
			return Outcome(err)
		}
	}
	attrs, ok := r.Args[2].(term.List)
	a, ok2 := name.(term.Atom)
	if !ok || !ok2 || !isFunc && fn != term.Term(term.Atom("ignore")) {
		return Outcome(badType(term.Atom(t), fn, r.Args[2], name))
	}
	for _, attr := range attrs {
		if _, ok := attr.(term.Atom); !ok {
			return Outcome(badType(term.Atom(t), term.T(term.Atom("attributes"), term.L(attr))))
		}
	}
	tr.Attributes, tr.RecordName = names(attrs), string(a)
	return Outcome(f.store.TransformTable(ctx, t, tr))
}

// recordFunc builds a function over records from the changes of the conformance format.
func recordFunc(changes term.List) (func(term.Tuple) (term.Term, error), error) {
	var steps []func(term.Tuple) (term.Tuple, error)
	for _, c := range changes {
		m, ok := c.(term.Map)
		if !ok || len(m) != 1 {
			return nil, badOp("a change of a record is an object with one key")
		}
		name, _ := m[0].Key.(term.Atom)
		step := recordStep(string(name), m[0].Value)
		if step == nil {
			return nil, badOp("a change of a record is append, drop_last, rename, set, add, identity or crash")
		}
		steps = append(steps, step)
	}
	return func(r term.Tuple) (term.Term, error) {
		r = append(term.Tuple{}, r...)
		for _, step := range steps {
			var err error
			if r, err = step(r); err != nil {
				return nil, err
			}
		}
		return r, nil
	}, nil
}

var errBadRecord = &store.Error{Class: store.Errored, Reason: term.Atom("badarg")}

func recordStep(name string, v term.Term) func(term.Tuple) (term.Tuple, error) {
	switch name {
	case "append":
		return func(r term.Tuple) (term.Tuple, error) { return append(r, v), nil }
	case "drop_last":
		return func(r term.Tuple) (term.Tuple, error) {
			if len(r) == 0 {
				return nil, errBadRecord
			}
			return r[:len(r)-1], nil
		}
	case "rename":
		return func(r term.Tuple) (term.Tuple, error) { return setElement(r, 1, v) }
	case "identity":
		return func(r term.Tuple) (term.Tuple, error) { return r, nil }
	case "crash":
		return func(term.Tuple) (term.Tuple, error) { return nil, &store.Error{Class: store.Raised, Reason: v} }
	case "set", "add":
		args, ok := v.(term.List)
		if !ok || len(args) != 2 {
			return nil
		}
		pos, ok := args[0].(term.Int)
		if !ok {
			return nil
		}
		if name == "set" {
			return func(r term.Tuple) (term.Tuple, error) { return setElement(r, int(pos), args[1]) }
		}
		return func(r term.Tuple) (term.Tuple, error) {
			if pos < 1 || int(pos) > len(r) {
				return nil, errBadRecord
			}
			sum, err := plus(r[pos-1], args[1])
			if err != nil {
				return nil, err
			}
			return setElement(r, int(pos), sum)
		}
	}
	return nil
}

func setElement(r term.Tuple, pos int, v term.Term) (term.Tuple, error) {
	if pos < 1 || pos > len(r) {
		return nil, errBadRecord
	}
	r[pos-1] = v
	return r, nil
}

func plus(a, b term.Term) (term.Term, error) {
	x, ok := term.BigInt(a)
	y, ok2 := term.BigInt(b)
	if !ok || !ok2 {
		return nil, errBadRecord
	}
	return term.Integer(x.Add(x, y)), nil
}
