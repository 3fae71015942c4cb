package store

import (
	"slices"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Storage says how a node keeps its copy of a table.
type Storage string

// The storage types. Unknown is that of a node without a copy.
const (
	RAM      Storage = "ram_copies"
	Disc     Storage = "disc_copies"
	DiscOnly Storage = "disc_only_copies"
	Unknown  Storage = "unknown"
)

// Def is the definition of a table, as every node of the schema knows it. It is never changed: a schema change
// makes another one. The zero values mean Mnesia's defaults where Table.def fills them in.
type Def struct {
	Name         string
	Type         string // set, ordered_set, bag
	RAM          []kit.NodeName
	Disc         []kit.NodeName
	DiscOnly     []kit.NodeName
	LoadOrder    int64
	ReadOnly     bool
	Majority     bool
	LocalContent bool
	RecordName   string
	Attributes   []string
	Index        []int // positions in the record, from 3
	UserProps    term.List
	StorageProps term.List
	Cookie       Cookie
	Version      Version
}

// Cookie tells tables of one name apart that were made at different times or on different nodes.
type Cookie struct {
	Time uint64
	Node kit.NodeName
}

// Version counts the changes of a definition: Major those that others must agree to, Minor the others.
type Version struct {
	Major, Minor uint64
	By           Cookie // who made the last major change
}

// holders lists the nodes with a copy: ram, disc, disc only.
func (d *Def) holders() []kit.NodeName { return slices.Concat(d.RAM, d.Disc, d.DiscOnly) }

// storage gives how a node keeps the table.
func (d *Def) storage(n kit.NodeName) Storage {
	switch {
	case slices.Contains(d.RAM, n):
		return RAM
	case slices.Contains(d.Disc, n):
		return Disc
	case slices.Contains(d.DiscOnly, n):
		return DiscOnly
	}
	return Unknown
}

// place gives a definition in which node n keeps the table as st, or not at all when st is Unknown.
func (d *Def) place(n kit.NodeName, st Storage) *Def {
	c := *d
	drop := func(ns []kit.NodeName) []kit.NodeName {
		return slices.DeleteFunc(slices.Clone(ns), func(x kit.NodeName) bool { return x == n })
	}
	c.RAM, c.Disc, c.DiscOnly = drop(d.RAM), drop(d.Disc), drop(d.DiscOnly)
	switch st {
	case RAM:
		c.RAM = append(c.RAM, n)
	case Disc:
		c.Disc = append(c.Disc, n)
	case DiscOnly:
		c.DiscOnly = append(c.DiscOnly, n)
	}
	return &c
}

// arity is the size of a record.
func (d *Def) arity() int { return len(d.Attributes) + 1 }

// position finds an attribute's place in the record by name or position.
func (d *Def) position(attr term.Term) (int, bool) {
	switch a := attr.(type) {
	case term.Atom:
		if i := slices.Index(d.Attributes, string(a)); i >= 0 {
			return i + 2, true
		}
	case term.Int:
		if a >= 2 && int64(a) <= int64(d.arity()) {
			return int(a), true
		}
	}
	return 0, false
}

// wild is the pattern that matches every record.
func (d *Def) wild() term.Tuple {
	t := term.Tuple{term.Atom(d.RecordName)}
	for range d.Attributes {
		t = append(t, term.Atom("_"))
	}
	return t
}

// schemaDef is the definition of the table schema.
func schemaDef(c Cookie, ram, disc []kit.NodeName) *Def {
	return &Def{Name: "schema", Type: "set", RAM: ram, Disc: disc, RecordName: "schema",
		Attributes: []string{"table", "cstruct"}, Cookie: c, Version: Version{Major: 2}}
}

func nodeList(ns []kit.NodeName) term.List {
	l := make(term.List, len(ns))
	for i, n := range ns {
		l[i] = term.Atom(n)
	}
	return l
}

func names[S ~string](ns []S) term.List {
	l := make(term.List, len(ns))
	for i, n := range ns {
		l[i] = term.Atom(n)
	}
	return l
}

// term gives the definition as a map, for the wire, the disc and table_info.
func (d *Def) term() term.Term {
	ix := make(term.List, len(d.Index))
	for i, p := range d.Index {
		ix[i] = term.Int(p)
	}
	p := func(k string, v term.Term) term.Pair { return term.Pair{Key: term.Atom(k), Value: v} }
	return term.MakeMap(
		p("name", term.Atom(d.Name)), p("type", term.Atom(d.Type)),
		p("ram_copies", nodeList(d.RAM)), p("disc_copies", nodeList(d.Disc)), p("disc_only_copies", nodeList(d.DiscOnly)),
		p("load_order", term.Int(d.LoadOrder)), p("read_only", term.Bool(d.ReadOnly)), p("majority", term.Bool(d.Majority)),
		p("local_content", term.Bool(d.LocalContent)), p("record_name", term.Atom(d.RecordName)),
		p("attributes", names(d.Attributes)), p("index", ix),
		p("user_properties", d.UserProps), p("storage_properties", d.StorageProps),
		p("cookie", d.Cookie.term()),
		p("version", term.T(term.Int(d.Version.Major), term.Int(d.Version.Minor), d.Version.By.term())),
	)
}

func (c Cookie) term() term.Term { return term.T(term.Int(c.Time), term.Atom(c.Node)) }

func cookieOf(t term.Term) Cookie {
	tp, _ := t.(term.Tuple)
	if len(tp) != 2 {
		return Cookie{}
	}
	n, _ := tp[0].(term.Int)
	a, _ := tp[1].(term.Atom)
	return Cookie{Time: uint64(n), Node: kit.NodeName(a)}
}

// defOf reads a definition that came over the wire or from disc; ok is false when it is none.
func defOf(t term.Term) (*Def, bool) {
	m, ok := t.(term.Map)
	if !ok {
		return nil, false
	}
	d := &Def{}
	atom := func(k term.Atom) string {
		a, isAtom := m.Opt(k).(term.Atom)
		ok = ok && isAtom
		return string(a)
	}
	list := func(k term.Atom) term.List {
		l, isList := m.Opt(k).(term.List)
		ok = ok && (isList || m.Opt(k) == nil)
		return l
	}
	num := func(t term.Term) int64 {
		n, isInt := t.(term.Int)
		ok = ok && isInt
		return int64(n)
	}
	d.Name, d.Type, d.RecordName = atom("name"), atom("type"), atom("record_name")
	d.RAM, d.Disc, d.DiscOnly = nodesOf(list("ram_copies")), nodesOf(list("disc_copies")), nodesOf(list("disc_only_copies"))
	d.LoadOrder = num(m.Opt("load_order"))
	d.ReadOnly, d.Majority, d.LocalContent = atom("read_only") == "true", atom("majority") == "true", atom("local_content") == "true"
	for _, a := range list("attributes") {
		at, isAtom := a.(term.Atom)
		ok = ok && isAtom
		d.Attributes = append(d.Attributes, string(at))
	}
	for _, p := range list("index") {
		d.Index = append(d.Index, int(num(p)))
	}
	d.UserProps, d.StorageProps = list("user_properties"), list("storage_properties")
	d.Cookie = cookieOf(m.Opt("cookie"))
	v, isTuple := m.Opt("version").(term.Tuple)
	if !isTuple || len(v) != 3 {
		return nil, false
	}
	d.Version = Version{Major: uint64(num(v[0])), Minor: uint64(num(v[1])), By: cookieOf(v[2])}
	return d, ok && d.Name != "" && len(d.Attributes) >= 2
}

func nodesOf(l term.List) []kit.NodeName {
	var ns []kit.NodeName
	for _, t := range l {
		if a, ok := t.(term.Atom); ok {
			ns = append(ns, kit.NodeName(a))
		}
	}
	return ns
}

// index as Mnesia writes it in reasons.
func ixTerm(pos int) term.Term { return term.T(term.Int(pos), term.Atom("ordered")) }
