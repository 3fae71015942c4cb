package mnesia

import (
	"context"
	"io"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// loadText is mnesia:load_textfile/1: it starts the store when it does not run, makes the tables that do not exist, and
// writes the records of those that could be made in one transaction.
func (f *Face) loadText(ctx context.Context, r door.Request) door.Outcome {
	tables, records, err := textDef(r.Args[0])
	if err != nil {
		return Outcome(err)
	}
	if err := f.ensureStarted(ctx); err != nil {
		return Outcome(err)
	}
	bad := map[term.Atom]bool{}
	for _, t := range tables {
		p, _ := t.(term.List)
		name, _ := p[0].(term.Atom)
		if _, _, ok := f.store.TableType(string(name)); ok {
			continue
		}
		opts, _ := props(p[1])
		if err := f.store.CreateTableTerm(ctx, append(term.L(term.T(term.Atom("name"), name)), opts...)); err != nil {
			bad[name] = true // Mnesia prints it and goes on
		}
	}
	return Outcome(f.store.Transaction(ctx, func(tx *store.Tx) error {
		for _, rec := range records {
			row, _ := rec.(term.Tuple)
			tab, _ := row[0].(term.Atom)
			if bad[tab] {
				continue
			}
			name, err := f.store.TableInfo(string(tab), term.Atom("record_name"))
			if err != nil {
				return err
			}
			if err := tx.Write(string(tab), append(term.Tuple{name}, row[1:]...)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// textDef reads a definition {tables: [[Name, Options]], records: [..]}, or the text of a file. What is wrong with it is
// refused as mnesia_text:parse/1 does; the hint says where.
func textDef(t term.Term) (tables, records term.List, err error) {
	if text, ok := t.(term.Bin); ok {
		tables, records, err = readText(string(text))
	} else {
		m, ok := t.(term.Map)
		if !ok {
			return nil, nil, badText("bad_header", "it is neither text nor a definition")
		}
		tables, _ = m.Opt("tables").(term.List)
		records, _ = m.Opt("records").(term.List)
	}
	if err != nil {
		return nil, nil, err
	}
	defined := map[term.Term]bool{}
	for _, t := range tables {
		p, ok := t.(term.List)
		if !ok || len(p) != 2 {
			return nil, nil, badText("bad_header", "a table is a name and its options")
		}
		name, isName := p[0].(term.Atom)
		if _, ok := props(p[1]); !ok || !isName {
			return nil, nil, badText("bad_header", "a table is a name and its options")
		}
		defined[name] = true
	}
	for _, rec := range records {
		row, _ := rec.(term.Tuple)
		if len(row) < 2 || !isAtom(row[0]) || !defined[row[0]] {
			return nil, nil, badText("undefined_object", "a record is a tuple that begins with the name of a table of the header: "+term.String(rec))
		}
	}
	return tables, records, nil
}

func isAtom(t term.Term) bool { _, ok := t.(term.Atom); return ok }

func badText(kind term.Atom, hint string) error {
	return &kit.Error{Op: "load text", Kind: kit.Invalid, Hint: hint, Err: &store.Error{Class: store.Failed, Reason: kind}}
}

// readText takes the terms of a file apart: first {tables, [{Name, Options}]}, then records.
func readText(text string) (tables, records term.List, err error) {
	terms, err := parseTerms(text)
	if err != nil {
		return nil, nil, badText("read", err.Error())
	}
	if len(terms) == 0 {
		return nil, nil, badText("bad_header", "it does not begin with {tables, [..]}")
	}
	head, value := pair(terms[0])
	l, ok := value.(term.List)
	switch {
	case head != "tables":
		return nil, nil, badText("bad_header", "it does not begin with {tables, [..]}")
	case !ok:
		return nil, nil, &store.Error{Class: store.Errored, Reason: term.T(term.Atom("case_clause"), value)}
	}
	for _, t := range l {
		if p, ok := t.(term.Tuple); ok { // a bare name defines nothing
			tables = append(tables, term.List(p))
		}
	}
	return tables, terms[1:], nil
}

// ensureStarted starts the store, with a schema on disc made for it when there is none.
func (f *Face) ensureStarted(ctx context.Context) error {
	if f.store.Running() {
		return nil
	}
	if v, err := f.store.SystemInfo(term.Atom("use_dir")); err == nil && v != term.True {
		if err := f.store.CreateSchema(ctx, nil); err != nil {
			return err
		}
	}
	return f.store.Start(ctx, store.StartOptions{})
}

// dumpText is mnesia:dump_to_textfile/1: it writes the tables that this node has a copy of, and answers what it wrote.
func (f *Face) dumpText(_ context.Context, r door.Request) door.Outcome {
	name := "text_out"
	if len(r.Args) > 0 {
		name = fileName(r.Args[0])
	}
	if !f.store.Running() {
		return door.ErrorWith("unspecified")
	}
	local, err := f.store.SystemInfo(term.Atom("local_tables"))
	if err != nil {
		return Outcome(err)
	}
	defs, shown, records := term.List{}, term.List{}, []term.Term{}
	for _, tab := range names(local) {
		rows, ok, err := f.store.LocalContents(tab)
		if err != nil || !ok || tab == "schema" {
			continue
		}
		attrs, err1 := f.store.TableInfo(tab, term.Atom("attributes"))
		rec, err2 := f.store.TableInfo(tab, term.Atom("record_name"))
		if err1 != nil || err2 != nil {
			continue // it was deleted meanwhile
		}
		defs = append(defs, term.T(term.Atom(tab), term.L(term.T(term.Atom("record_name"), rec), term.T(term.Atom("attributes"), attrs))))
		shown = append(shown, term.L(term.Atom(tab), term.Atoms("attributes", "record_name"), attrs))
		for _, row := range rows {
			records = append(records, append(term.Tuple{term.Atom(tab)}, row[1:]...))
		}
	}
	records = sorted(records)
	err = f.writeFile(name, func(w io.Writer) error {
		for _, t := range append([]term.Term{term.T(term.Atom("tables"), defs)}, records...) {
			if _, err := io.WriteString(w, term.String(t)+".\n"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Outcome(err)
	}
	return listing("tables", js(shown), "records", js(term.List(records)))
}
