package soak

import (
	"fmt"

	"netsplit/kit"
	"netsplit/kit/term"
)

// table is one table of a run.
type table struct {
	name    string
	use     use
	ram     []kit.NodeName
	disc    []kit.NodeName
	only    []kit.NodeName // disc_only_copies
	ordered bool
}

// use says what clients do with a table.
type use int

// The uses.
const (
	lists     use = iota // elements are appended to lists, each the name of its write
	registers            // values are read and overwritten
	bank                 // money moves between accounts
	counters             // dirty counters
)

// layout is the tables of a run.
type layout struct {
	tables   []table
	majority bool
}

// accounts, their money, and the keys of each table of lists and registers in each round.
const (
	accounts = 4
	money    = 100
	keys     = 3
)

// layoutOf gives the tables for a plan. Where all nodes may die or lose what was not synced, every copy is on a disc; and
// where they lose power, all tables are on all nodes, so that each node's log has the whole history in one order.
func layoutOf(p Plan) layout {
	a, b, c := p.Nodes[:1], p.Nodes[1:2], p.Nodes[2:]
	ab, bc, all := p.Nodes[:2], p.Nodes[1:], p.Nodes
	switch p.Weather {
	case Blackout:
		return layout{tables: []table{{name: "disc", disc: all}, {name: "only", only: ab}, {name: "both", disc: a, only: c, ordered: false},
			{name: "reg", use: registers, disc: bc}, {name: "bank", use: bank, disc: all}, {name: "count", use: counters, disc: all}}}
	case Outage:
		return layout{tables: []table{{name: "disc", disc: all}, {name: "ord", disc: all, ordered: true}, {name: "only", only: all},
			{name: "reg", use: registers, disc: all}, {name: "bank", use: bank, disc: all}, {name: "count", use: counters, disc: all}}}
	case Majority:
		return layout{majority: true, tables: []table{{name: "ram", ram: all}, {name: "disc", disc: all}, {name: "mix", ram: a, disc: b, only: c},
			{name: "reg", use: registers, disc: all}, {name: "bank", use: bank, disc: all}, {name: "count", use: counters, disc: all}}}
	}
	return layout{tables: []table{{name: "ram", ram: all}, {name: "disc", disc: all, ordered: true}, {name: "only", only: ab}, {name: "mix", ram: a, disc: bc},
		{name: "reg", use: registers, disc: bc}, {name: "bank", use: bank, disc: all}, {name: "count", use: counters, disc: all}}}
}

// holders lists the nodes with a copy.
func (t table) holders() []kit.NodeName {
	var all []kit.NodeName
	all = append(all, t.ram...)
	all = append(all, t.disc...)
	return append(all, t.only...)
}

// options are those of create_table.
func (t table) options(majority bool) term.Term {
	pairs := []term.Pair{}
	add := func(key string, nodes []kit.NodeName) {
		if len(nodes) > 0 {
			pairs = append(pairs, term.Pair{Key: term.Atom(key), Value: atoms(nodes)})
		}
	}
	add("ram_copies", t.ram)
	add("disc_copies", t.disc)
	add("disc_only_copies", t.only)
	if t.ordered && len(t.only) == 0 {
		pairs = append(pairs, term.Pair{Key: term.Atom("type"), Value: term.Atom("ordered_set")})
	}
	if majority {
		pairs = append(pairs, term.Pair{Key: term.Atom("majority"), Value: term.True})
	}
	return term.MakeMap(pairs...)
}

// place is a key of a table, in the round that uses it.
type place struct {
	table string
	key   term.Atom
}

// String is as history.Transactions names keys.
func (p place) String() string { return p.table + "/" + term.String(p.key) }

// places lists the keys that a use has in a round.
func (l layout) places(u use, round int) []place {
	var all []place
	for _, t := range l.tables {
		if t.use != u {
			continue
		}
		for i := range keys {
			all = append(all, place{t.name, term.Atom(fmt.Sprintf("r%dk%d", round+1, i+1))})
		}
	}
	return all
}

// names lists the tables, for wait_for_tables.
func (l layout) names() term.List {
	var all term.List
	for _, t := range l.tables {
		all = append(all, term.Atom(t.name))
	}
	return all
}

func atoms(nodes []kit.NodeName) term.List {
	var l term.List
	for _, n := range nodes {
		l = append(l, term.Atom(n))
	}
	return l
}
