package shell

import (
	"fmt"
	"strings"
	"testing"

	"go.starlark.net/starlark"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

func fakeMap(kv ...any) term.Map {
	var ps []term.Pair
	for i := 0; i+1 < len(kv); i += 2 {
		ps = append(ps, term.Pair{Key: term.Atom(kv[i].(string)), Value: kv[i+1].(term.Term)})
	}
	return term.MakeMap(ps...)
}

// look answers what the views ask: each node has three processes, on b one with a full mailbox; the store of c is
// stopped.
func (f *fake) look(node kit.NodeName, req door.Request) door.Outcome {
	switch req.Verb {
	case "output":
		return door.OKTerm(fakeMap("last", term.Int(0), "lines", term.List{}))
	case "node":
		return door.OKTerm(term.Atom(node))
	case "processes":
		list := term.List{}
		if len(req.Args) == 0 || req.Args[0] == term.Int(0) {
			for id := range uint64(3) {
				list = append(list, fakeProcess(node, id+1))
			}
		}
		return door.OKTerm(list)
	case "process_info":
		if pid := req.Args[0].(term.Pid); pid.ID <= 3 {
			return door.OKTerm(fakeProcess(kit.NodeName(pid.Node), pid.ID))
		}
		return door.OKTerm(term.Undefined)
	case "links":
		return door.OKTerm(f.fakeLinks(node))
	}
	store, tables := term.Atom("yes"), term.List{}
	if node == "c" {
		store = "no"
	}
	for name, t := range f.tables {
		kind, size := term.Atom("ram_copies"), term.Int(len(t.rows))
		if node == "b" {
			kind, size = "unknown", 0
		}
		if store == "yes" {
			tables = append(tables, fakeMap("table", term.Atom(name), "type", term.Atom("set"), "storage_type", kind, "size", size, "where_to_read", term.Atom("a")))
		}
	}
	return door.OKTerm(fakeMap("node", term.Atom(node), "uptime_ms", term.Int(3_725_000), "memory", term.Int(31_400_000), "processes", term.Int(3),
		"waiting", term.Int(5234), "nodes", f.connected(node), "store", store, "tables", tables))
}

func fakeProcess(node kit.NodeName, id uint64) term.Term {
	name, waiting, links := term.Atom("undefined"), term.Int(0), term.List{}
	if node == "b" && id == 2 {
		name, waiting, links = "backlog", 5234, term.List{term.Pid{Node: "c", ID: 1}}
	}
	return fakeMap("pid", term.Pid{Node: string(node), ID: id}, "name", name, "function", term.Atom("sleep"), "arity", term.Int(1),
		"message_queue_len", waiting, "received", waiting+term.Int(id), "links", links, "global_names", term.List{}, "extra", term.True)
}

func (f *fake) fakeLinks(node kit.NodeName) term.List {
	list := term.List{}
	for _, n := range f.nodes {
		if n == node {
			continue
		}
		rule := f.rules[[2]kit.NodeName{node, n}]
		cut := term.Atom(rule.Cut)
		if rule.Cut == wire.Whole {
			cut = "whole"
		}
		list = append(list, fakeMap("node", term.Atom(n), "up", boolAtom(!f.down[n] && rule.Cut == wire.Whole), "for_ms", term.Int(61_000), "reason", term.Bin("it does not answer"),
			"rule", fakeMap("cut", cut, "delay_us", term.Int(rule.Delay.Microseconds()), "loss", term.Float(rule.Loss)), "counts", fakeMap("delayed", term.Int(7))))
	}
	return list
}

// TestLongViewsAreCut shows the first rows and says how many more there are; no line is wider than a terminal.
func TestLongViewsAreCut(t *testing.T) {
	s := &sheet{heads: []heading{{"n", true}, {"text", false}}}
	for i := range maxSheetRows + 60 {
		s.add(starlark.MakeInt(i), fmt.Sprint(i), "äö"+string(make([]rune, 500)))
	}
	lines := 0
	for line := range strings.SplitSeq(s.text(), "\n") {
		lines++
		if n := len([]rune(line)); n > 80 {
			t.Errorf("line %d has %d columns", lines, n)
		}
	}
	if lines != 1+maxSheetRows+1 {
		t.Errorf("%d lines", lines)
	}
	if s.Len() != maxSheetRows+60 {
		t.Errorf("the value has %d rows", s.Len())
	}
}
