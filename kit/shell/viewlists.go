package shell

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// tableCopy is what one node keeps of a table.
type tableCopy struct {
	kind string    // ram_copies, ...; "" when the node keeps none
	rows term.Term // nil when they are not known: the node is down, or has not loaded its copy
}

// tableSeen is one table as all nodes together tell of it.
type tableSeen struct {
	name, kind string
	copies     map[kit.NodeName]tableCopy
}

func viewTables(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	states, err := r.askNodes("status")
	if err != nil {
		return nil, err
	}
	seen, err := r.gatherTables(states)
	if err != nil {
		return nil, err
	}
	s := &sheet{heads: []heading{{"table", false}, {"type", false}}}
	for i, n := range r.s.order {
		s.heads = append(s.heads, heading{string(n), false})
		switch store := storeState(states[i].term); {
		case states[i].term == nil:
			s.note("%s: %s", n, states[i].state())
		case store != "running":
			s.note("%s: its store is %s", n, store)
		}
	}
	for _, t := range seen {
		copies, rows := starlark.NewDict(len(t.copies)), starlark.NewDict(len(t.copies))
		cells := []string{t.name, t.kind}
		for _, n := range r.s.order {
			c := t.copies[n]
			cells = append(cells, c.text())
			if c.kind == "" {
				continue
			}
			for d, v := range map[*starlark.Dict]starlark.Value{copies: starlark.String(c.kind), rows: r.value(c.rows)} {
				if err := d.SetKey(r.s.nodes[string(n)], v); err != nil {
					return nil, err
				}
			}
		}
		s.add(dictOf("table", starlark.String(t.name), "type", starlark.String(t.kind), "copies", copies, "rows", rows), cells...)
	}
	return s, nil
}

func (c tableCopy) text() string {
	if c.kind == "" {
		return "-"
	}
	rows := "?"
	if n, ok := c.rows.(term.Int); ok {
		rows = fmt.Sprint(n)
	}
	return strings.TrimSuffix(c.kind, "_copies") + " " + rows
}

// gatherTables puts together what the running nodes tell. Each knows its own copies and rows, and from the schema who
// else should have copies.
func (r *run) gatherTables(states []reply) ([]tableSeen, error) {
	byName := map[string]*tableSeen{}
	var questions []question
	for i, n := range r.s.order {
		list, _ := field(states[i].term, "tables").(term.List)
		for _, row := range list {
			name := plainWord(field(row, "table"))
			t := byName[name]
			if t == nil {
				t = &tableSeen{name: name, kind: plainWord(field(row, "type")), copies: map[kit.NodeName]tableCopy{}}
				byName[name] = t
				for _, kind := range copyTypes {
					questions = append(questions, question{node: n, verb: "table_info", args: []term.Term{term.Atom(name), term.Atom(kind)}})
				}
			}
			kind := plainWord(field(row, "storage_type"))
			if !slices.Contains(copyTypes, kind) {
				continue
			}
			size, ok := field(row, "size").(term.Int)
			c := tableCopy{kind: kind}
			if ok {
				c.rows = size
			}
			t.copies[n] = c
		}
	}
	replies, err := r.askAll(questions)
	if err != nil {
		return nil, err
	}
	for i, q := range questions {
		t, kind := byName[plainWord(q.args[0])], plainWord(q.args[1])
		for _, holder := range namesOf(replies[i].term, "") {
			if n := kit.NodeName(holder); t.copies[n].kind == "" {
				t.copies[n] = tableCopy{kind: kind}
			}
		}
	}
	var all []tableSeen
	for _, t := range byName {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b tableSeen) int { return cmp.Compare(a.name, b.name) })
	return all, nil
}

// Processes are asked for in pages, as many as maxPages.
const (
	pageRows = 1000 // what a node puts into one answer
	maxPages = 20
)

// processes gives the processes of one node, up to pageRows*maxPages, as the node lists them.
func (n *Node) processList(r *run) (term.List, error) {
	var all term.List
	after := term.Int(0)
	for range maxPages {
		out, err := r.call(n.name, door.Request{Client: r.client, Verb: "processes", Args: []term.Term{after}})
		if err != nil {
			return nil, err
		}
		if out.Status != door.OK {
			return nil, &outcomeError{out: out, s: n.s, node: n.String(), what: "processes"}
		}
		t, err := out.Term()
		if err != nil {
			return nil, err
		}
		page, _ := t.(term.List)
		all = append(all, page...)
		if len(page) < pageRows {
			return all, nil
		}
		last, ok := field(page[len(page)-1], "pid").(term.Pid)
		if !ok {
			return all, nil
		}
		after = term.Int(last.ID)
	}
	return all, nil
}

// processSheet shows processes, those with the most messages waiting first and otherwise in their order.
func (r *run) processSheet(all term.List) *sheet {
	s := &sheet{heads: []heading{{"pid", false}, {"name", false}, {"function", false}, {"waiting", true}, {"received", true}, {"links", true}, {"global names", false}}}
	waiting := func(p term.Term) int64 { n, _ := intField(p, "message_queue_len"); return n }
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(p, q term.Term) int { return cmp.Compare(waiting(q), waiting(p)) })
	for _, p := range all {
		name := plainWord(field(p, "name"))
		if name == "undefined" {
			name = "-"
		}
		links, _ := field(p, "links").(term.List)
		pid, _ := field(p, "pid").(term.Pid)
		s.add(r.processValue(p), Pid{pid}.String(), name, fmt.Sprintf("%s/%s", plainWord(field(p, "function")), figure(p, "arity")), figure(p, "message_queue_len"),
			figure(p, "received"), fmt.Sprint(len(links)), namesText(listField(p, "global_names")))
	}
	return s
}

// infoOrder is the order in which a process's facts are shown; others follow.
var infoOrder = []string{"pid", "name", "function", "arity", "message_queue_len", "received", "links", "monitors", "monitored_by", "global_names",
	"trap_exit", "parent", "group_leader"}

// processValue makes a dict of what is known of a process, the telling facts first.
func (r *run) processValue(t term.Term) starlark.Value {
	m, ok := t.(term.Map)
	if !ok {
		return r.value(t)
	}
	d := starlark.NewDict(len(m))
	for _, name := range infoOrder {
		if v := field(m, name); v != nil {
			_ = d.SetKey(starlark.String(name), r.value(v)) // a string key never fails
		}
	}
	for _, p := range m {
		if name := plainWord(p.Key); !slices.Contains(infoOrder, name) {
			_ = d.SetKey(starlark.String(name), r.value(p.Value))
		}
	}
	return d
}

// processInfo is a.process_info(pid).
func (n *Node) processInfo(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var who starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "pid", &who); err != nil {
		return nil, err
	}
	pid, err := toTerm(who, asData)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := n.beginOutput(r); err != nil {
		return nil, err
	}
	out, err := r.call(n.name, door.Request{Client: r.client, Verb: name, Args: []term.Term{pid}})
	if err != nil {
		return nil, err
	}
	if out.Status != door.OK {
		return nil, &outcomeError{out: out, s: n.s, node: n.String(), what: name}
	}
	t, err := out.Term()
	if err != nil {
		return nil, err
	}
	return r.processValue(t), nil
}

// processes is a.processes().
func (n *Node) processes(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	if err := n.beginOutput(r); err != nil {
		return nil, err
	}
	all, err := n.processList(r)
	if err != nil {
		return nil, err
	}
	return r.processSheet(all), nil
}

// viewProcesses is processes(): those of all nodes that answer.
func viewProcesses(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	states, err := r.askNodes("node")
	if err != nil {
		return nil, err
	}
	var all term.List
	var silent []string
	for i, n := range r.s.order {
		if states[i].term == nil {
			silent = append(silent, fmt.Sprintf("%s: %s", n, states[i].state()))
			continue
		}
		list, err := r.s.nodes[string(n)].processList(r)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	s := r.processSheet(all)
	s.notes = silent
	return s, nil
}
