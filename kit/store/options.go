package store

import (
	"slices"

	"netsplit/kit"
	"netsplit/kit/term"
)

// optionNames are the fields of Mnesia's cstruct record: what a table definition may contain.
var optionNames = []term.Atom{"name", "type", "ram_copies", "disc_copies", "disc_only_copies", "external_copies",
	"load_order", "access_mode", "majority", "index", "snmp", "local_content", "record_name", "attributes",
	"user_properties", "frag_properties", "storage_properties", "cookie", "version"}

// options is a table definition as the caller wrote it.
type options struct {
	tab  term.Term
	list term.List
	err  error
}

// pick finds an option. A pair that is no pair is refused like Mnesia does.
func (o *options) pick(key term.Atom, def term.Term) term.Term {
	for _, t := range o.list {
		p, ok := t.(term.Tuple)
		if !ok || len(p) == 0 || p[0] != term.Term(key) {
			continue
		}
		if len(p) != 2 {
			o.fail(abort("bad_type", o.tab, p))
			return def
		}
		return p[1]
	}
	return def
}

// fail keeps the first refusal.
func (o *options) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

func (o *options) must(ok bool, err error) {
	if !ok {
		o.fail(err)
	}
}

func isList(t term.Term) bool { _, ok := t.(term.List); return ok }
func isAtom(t term.Term) bool { _, ok := t.(term.Atom); return ok }

// badProp refuses an option with its value.
func (o *options) badProp(kind, name string, v term.Term) error {
	return abort(kind, o.tab, term.T(term.Atom(name), v))
}

// parseDef reads the argument of mnesia:create_table/1 in the order of mnesia_schema:list2cs/1 and
// assert_correct_cstruct/1, so that the first of several faults is the same.
func parseDef(self kit.NodeName, arg term.Term) (*Def, error) {
	list, ok := arg.(term.List)
	if !ok || len(list) == 0 {
		return nil, abort("badarg", arg)
	}
	o := &options{tab: term.Atom("unknown"), list: list}
	name := o.pick("name", nil)
	if o.err != nil {
		return nil, o.err
	}
	if name == nil {
		return nil, abort("badarg", term.Atom("unknown"), term.Str("Missing key"), term.Atom("name"), list)
	}
	o.tab = name
	d := &Def{}
	o.read(d, self)
	if o.err == nil {
		o.verify(d, name)
	}
	if o.err != nil {
		return nil, o.err
	}
	return d, nil
}

// read is what mnesia_schema:list2cs/1 itself finds wrong, before it is known whether the table exists.
func (o *options) read(d *Def, self kit.NodeName) {
	o.readLists(d, self)
	if o.err == nil {
		o.checkKeys()
	}
	if o.err == nil {
		o.indexNames()
	}
}

// readLists takes the options that list2cs itself looks into.
func (o *options) readLists(d *Def, self kit.NodeName) {
	ram := o.pick("ram_copies", term.List{})
	if l, _ := ram.(term.List); len(l) == 0 && isList(ram) && o.pick("disc_copies", nil) == nil && o.pick("disc_only_copies", nil) == nil {
		d.RAM = []kit.NodeName{self}
	}
	up := o.pick("user_properties", term.List{})
	o.must(isList(up), o.badProp("bad_type", "user_properties", up))
	ix := o.pick("index", term.List{})
	o.must(isList(ix), o.badProp("bad_type", "index", term.L(ix)))
	fp := o.pick("frag_properties", term.List{})
	o.must(isList(fp), o.badProp("badarg", "frag_properties", fp))
	o.storageProps(d)
}

// storageProps checks {storage_properties, [{ets, Opts}, {dets, Opts}]}.
func (o *options) storageProps(d *Def) {
	v := o.pick("storage_properties", term.List{})
	props, ok := v.(term.List)
	if !ok {
		o.fail(crashed("function_clause"))
		return
	}
	forbidden := map[term.Atom][]term.Atom{
		"ets":  {"set", "ordered_set", "bag", "duplicate_bag", "public", "private", "protected", "keypos", "named_table"},
		"dets": {"type", "keypos", "repair", "access", "file"},
	}
	for _, backend := range []term.Atom{"ets", "dets"} {
		opts := propValue(props, backend)
		l, ok := opts.(term.List)
		if !ok {
			o.fail(o.badProp("badarg", string(backend), opts))
			return
		}
		for _, opt := range l {
			if head, known := headAtom(opt); !known || slices.Contains(forbidden[backend], head) {
				o.fail(abort("badarg", o.tab, opt))
				return
			}
		}
	}
	d.StorageProps = slices.Clone(props)
	slices.SortFunc(d.StorageProps, term.Compare)
}

// propValue is proplists:get_value/3 with [] as default.
func propValue(props term.List, key term.Atom) term.Term {
	for _, p := range props {
		switch p := p.(type) {
		case term.Tuple:
			if len(p) == 2 && p[0] == term.Term(key) {
				return p[1]
			}
		case term.Atom:
			if p == key {
				return term.Atom("true")
			}
		}
	}
	return term.List{}
}

func headAtom(t term.Term) (term.Atom, bool) {
	if tp, ok := t.(term.Tuple); ok && len(tp) > 0 {
		t = tp[0]
	}
	a, ok := t.(term.Atom)
	return a, ok
}

// checkKeys refuses unknown options, what is no option at all, and duplicates.
func (o *options) checkKeys() {
	var keys term.List
	for i, t := range o.list {
		p, ok := t.(term.Tuple)
		if !ok || len(p) != 2 {
			o.fail(abort("badarg", o.tab, o.list[i:]))
			return
		}
		if a, isA := p[0].(term.Atom); !isA || !slices.Contains(optionNames, a) {
			o.fail(abort("badarg", o.tab, p[0]))
			return
		}
		keys = append(keys, p[0])
	}
	for i, k := range keys {
		if slices.Contains(keys[:i], k) {
			o.fail(abort("badarg", o.tab, term.Str("Duplicate keys"), keys))
			return
		}
	}
}

// indexNames refuses an index on a name that is no attribute.
func (o *options) indexNames() {
	attrs, ok := o.pick("attributes", names([]string{"key", "val"})).(term.List)
	for _, a := range o.pick("index", term.List{}).(term.List) {
		switch a.(type) {
		case term.Atom, term.Int, term.Tuple:
		default:
			o.fail(o.badProp("bad_type", "index", term.L(a)))
			return
		}
		if a = indexAttr(a); isAtom(a) && (!ok || !slices.Contains(attrs, a)) {
			o.fail(abort("bad_type", a))
			return
		}
	}
}

// indexAttr takes the attribute out of {Attr, ordered}, the only kind of index there is.
func indexAttr(t term.Term) term.Term {
	if p, ok := t.(term.Tuple); ok && len(p) == 2 && (isAtom(p[0]) || isInt(p[0])) {
		return p[0]
	}
	return t
}

func isInt(t term.Term) bool { _, ok := t.(term.Int); return ok }

// verify fills in the definition and checks it as assert_correct_cstruct does.
func (o *options) verify(d *Def, name term.Term) {
	o.verifyNodes(d)
	if o.err != nil {
		return
	}
	tab, ok := name.(term.Atom)
	if !ok {
		o.fail(abort("bad_type", name))
		return
	}
	d.Name = string(tab)
	typ := o.pick("type", term.Atom("set"))
	switch typ {
	case term.Term(term.Atom("set")), term.Atom("ordered_set"), term.Atom("bag"):
		d.Type = string(typ.(term.Atom))
	default:
		o.fail(o.badProp("bad_type", "type", typ))
		return
	}
	if d.Type == "ordered_set" && len(d.DiscOnly) > 0 {
		o.fail(abort("bad_type", o.tab, term.T(term.Atom("not_supported"), typ, term.Atom("disc_only_copies"))))
		return
	}
	rec := o.pick("record_name", tab)
	o.must(isAtom(rec), o.badProp("bad_type", "record_name", rec))
	if o.err == nil {
		d.RecordName = string(rec.(term.Atom))
		o.verifyAttributes(d)
	}
	if o.err == nil {
		o.verifyIndex(d)
	}
	if o.err == nil {
		o.verifyFlags(d)
	}
}

func (o *options) verifyNodes(d *Def) {
	var all term.List
	for _, c := range []struct {
		name string
		to   *[]kit.NodeName
	}{{"ram_copies", &d.RAM}, {"disc_copies", &d.Disc}, {"disc_only_copies", &d.DiscOnly}} {
		v := o.pick(term.Atom(c.name), term.List{})
		l, ok := v.(term.List)
		if !ok {
			o.fail(o.badProp("bad_type", c.name, v))
			return
		}
		all = append(all, l...)
		if len(l) > 0 {
			*c.to = nodesOf(l)
		}
	}
	for _, k := range []term.Atom{"cookie", "version"} {
		v := o.pick(k, term.Tuple{})
		if _, ok := v.(term.Tuple); !ok {
			o.fail(o.badProp("bad_type", string(k), v))
			return
		}
	}
	lo := o.pick("load_order", term.Int(0))
	if n, ok := lo.(term.Int); ok {
		d.LoadOrder = int64(n)
	} else {
		o.fail(o.badProp("bad_type", "load_order", lo))
		return
	}
	if len(all) == 0 && len(d.RAM) == 0 {
		e := func(k string) term.Term { return term.T(term.Atom(k), term.List{}) }
		o.fail(abort("combine_error", o.tab, term.L(e("ram_copies"), e("disc_copies"), e("disc_only_copies"))))
		return
	}
	for i, n := range all {
		if slices.ContainsFunc(all[:i], func(m term.Term) bool { return term.Equal(m, n) }) {
			o.fail(abort("combine_error", o.tab, all))
			return
		}
	}
	for _, n := range all {
		o.must(isAtom(n), abort("bad_type", o.tab, n))
	}
}

func (o *options) verifyAttributes(d *Def) {
	v := o.pick("attributes", names([]string{"key", "val"}))
	l, ok := v.(term.List)
	if !ok || len(l) < 2 {
		o.fail(o.badProp("bad_type", "attributes", v))
		return
	}
	var seen term.List
	for _, a := range l {
		at, ok := a.(term.Atom)
		if !ok || at == "snmp" {
			o.fail(o.badProp("bad_type", "attributes", term.L(a)))
			return
		}
		if slices.Contains(seen, a) {
			o.fail(o.badProp("combine_error", "attributes", append(term.L(a), seen...)))
			return
		}
		seen = append(term.L(a), seen...)
		d.Attributes = append(d.Attributes, string(at))
	}
}

func (o *options) verifyIndex(d *Def) {
	ix := o.pick("index", term.List{}).(term.List)
	for _, item := range ix {
		a := indexAttr(item)
		pos, ok := d.position(a)
		if p, isPair := item.(term.Tuple); isPair && len(p) == 2 && ok && p[1] != term.Term(term.Atom("ordered")) {
			o.fail(o.badProp("bad_type", "index", term.L(term.T(term.Int(pos), p[1]))))
			return
		}
		switch {
		case !ok && isAtom(a):
			o.fail(abort("bad_type", a))
			return
		case !ok || pos == 2:
			if n, isInt := a.(term.Int); isInt {
				pos = int(n)
			}
			bad := term.T(a, term.Atom("ordered"))
			if pos != 0 {
				bad = ixTerm(pos).(term.Tuple)
			}
			o.fail(o.badProp("bad_type", "index", term.L(bad)))
			return
		}
		d.Index = append(d.Index, pos)
	}
	slices.Sort(d.Index)
}

func (o *options) verifyFlags(d *Def) {
	flag := func(name string, to *bool) {
		v := o.pick(term.Atom(name), term.Atom("false"))
		o.must(v == term.Term(term.Atom("true")) || v == term.Term(term.Atom("false")), o.badProp("bad_type", name, v))
		*to = v == term.Term(term.Atom("true"))
	}
	flag("local_content", &d.LocalContent)
	mode := o.pick("access_mode", term.Atom("read_write"))
	o.must(mode == term.Term(term.Atom("read_write")) || mode == term.Term(term.Atom("read_only")), o.badProp("bad_type", "access_mode", mode))
	d.ReadOnly = mode == term.Term(term.Atom("read_only"))
	flag("majority", &d.Majority)
	if d.Majority && d.LocalContent {
		o.fail(localMajority(o.tab))
	}
	if v := o.pick("snmp", term.List{}); !isList(v) {
		o.fail(o.badProp("badarg", "snmp", v))
		return
	}
	d.UserProps = o.pick("user_properties", term.List{}).(term.List)
	for _, p := range d.UserProps {
		if t, ok := p.(term.Tuple); !ok || len(t) == 0 {
			o.fail(o.badProp("bad_type", "user_properties", term.L(p)))
			return
		}
	}
}

// Table describes a table to create in Go's terms; see CreateTable.
type Table struct {
	Name         string
	Type         string         // set (when empty), ordered_set or bag
	Attributes   []string       // the key first; key and val when empty
	RAM          []kit.NodeName // nodes with a copy in memory; the own node when there are no copies at all
	Disc         []kit.NodeName // nodes with a copy in memory and on disc
	DiscOnly     []kit.NodeName // nodes with a copy on disc
	Index        []string       // attributes with an index
	RecordName   string         // the first element of every record; the table's name when empty
	LoadOrder    int64          // greater ones are loaded first
	ReadOnly     bool
	Majority     bool // writes need a majority of the copies
	LocalContent bool // every node keeps rows of its own under the same name
}

// options gives the description as Mnesia's property list.
func (t Table) options() term.List {
	l := term.L(term.T(term.Atom("name"), term.Atom(t.Name)))
	add := func(k string, v term.Term, set bool) {
		if set {
			l = append(l, term.T(term.Atom(k), v))
		}
	}
	add("type", term.Atom(t.Type), t.Type != "")
	add("attributes", names(t.Attributes), t.Attributes != nil)
	add("ram_copies", nodeList(t.RAM), t.RAM != nil)
	add("disc_copies", nodeList(t.Disc), t.Disc != nil)
	add("disc_only_copies", nodeList(t.DiscOnly), t.DiscOnly != nil)
	add("index", names(t.Index), t.Index != nil)
	add("record_name", term.Atom(t.RecordName), t.RecordName != "")
	add("load_order", term.Int(t.LoadOrder), t.LoadOrder != 0)
	add("access_mode", term.Atom("read_only"), t.ReadOnly)
	add("majority", term.Atom("true"), t.Majority)
	add("local_content", term.Atom("true"), t.LocalContent)
	return l
}
