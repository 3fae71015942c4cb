package observesystem

import (
	"context"
	"errors"
	"fmt"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// observe asks every node what the checks need to know.
func observe(ctx context.Context, w *lab.World) error {
	for _, n := range w.Nodes() {
		w.Do(ctx, "grader", n, "processes")
		w.Do(ctx, "grader", n, "links")
		w.Do(ctx, "grader", n, "status")
		w.Do(ctx, "grader", n, "global_whereis", term.Atom(leader))
	}
	return nil
}

func checks() []lab.Check {
	return []lab.Check{
		{Task: "mailbox", Judge: grade.Answered(
			question("mailbox_name", "the name in the first line of processes(), which sorts by the messages that wait", fullest, name),
			question("mailbox_node", "the node that stands in a pid, <node.number>", fullest, home),
			question("mailbox_waiting", "the column waiting, not received: a message that was taken waits no longer", fullest, waiting))},
		{Task: "copies", Judge: grade.Answered(
			question("single_table", "tables(), row by row: in how many of the nodes' columns does a copy stand?", single, tableName),
			question("single_node", "tables(): whose column has that one copy?", single, tableNode),
			question("memory_table", "tables(): look for a row without disc and without disc_only, in any column", inMemory, tableName))},
		{Task: "link", Judge: grade.Answered(
			question("slow_from", "links(): a round trip is long at both ends, so it does not tell the direction; the last column does", slow, from),
			question("slow_to", "links(): the same row, the other node", slow, to))},
		{Task: "leader", Judge: grade.Answered(
			question("leader_node", "global_whereis on any node: the pid names the node. whereis asks for a local name, which is another thing", led, home),
			question("leader_name", "process_info of that pid, or its line in processes(): the name", led, name))},
	}
}

// question joins what finds a thing on record with the part of it that is asked for.
func question[T any](called, where string, find func(*history.History) (T, error), part func(T) term.Term) grade.Question {
	return grade.Question{Name: called, Where: where, Truth: func(h *history.History) (term.Term, error) {
		v, err := find(h)
		if err != nil {
			return nil, err
		}
		return part(v), nil
	}}
}

// told gives what each node answered to a verb of observe.
func told(h *history.History, verb string) (map[kit.NodeName]term.Term, error) {
	all := map[kit.NodeName]term.Term{}
	for _, o := range h.During(history.Observe).Ops {
		if o.Verb != verb {
			continue
		}
		t, err := o.Outcome.Term()
		if err != nil {
			return nil, fmt.Errorf("node %s did not answer %s: %w", o.Node, verb, err)
		}
		all[o.Node] = t
	}
	if len(all) < len(nodes) {
		return nil, fmt.Errorf("only %d nodes answered %s", len(all), verb)
	}
	return all, nil
}

func maps(t term.Term) []term.Map {
	var all []term.Map
	list, _ := t.(term.List)
	for _, x := range list {
		if m, ok := x.(term.Map); ok {
			all = append(all, m)
		}
	}
	return all
}

// A process is known by its facts, as the verb processes gives them.
func name(p term.Map) term.Term    { return p.Opt("name") }
func waiting(p term.Map) term.Term { return p.Opt("message_queue_len") }

func home(p term.Map) term.Term {
	pid, _ := p.Opt("pid").(term.Pid)
	return term.Atom(pid.Node)
}

// fullest finds the process with the most messages waiting.
func fullest(h *history.History) (term.Map, error) {
	nodes, err := told(h, "processes")
	if err != nil {
		return nil, err
	}
	var first term.Map
	var most, second term.Int
	for _, list := range nodes {
		for _, p := range maps(list) {
			switch n, _ := waiting(p).(term.Int); {
			case n > most:
				first, most, second = p, n, most
			case n > second:
				second = n
			}
		}
	}
	if first == nil || most == second {
		return nil, errors.New("no mailbox stands out")
	}
	return first, nil
}

// led finds the process that has the global name.
func led(h *history.History) (term.Map, error) {
	holders, err := told(h, "global_whereis")
	if err != nil {
		return nil, err
	}
	lists, err := told(h, "processes")
	if err != nil {
		return nil, err
	}
	for n, pid := range holders {
		if !term.Equal(pid, holders[nodes[0]]) {
			return nil, fmt.Errorf("%s knows another holder of the name than %s", n, nodes[0])
		}
	}
	for _, list := range lists {
		for _, p := range maps(list) {
			if term.Equal(p.Opt("pid"), holders[nodes[0]]) {
				return p, nil
			}
		}
	}
	return nil, errors.New("the holder of the name does not run")
}

// kept is a table with the nodes that have a copy, by kind of copy.
type kept struct {
	name term.Term
	on   map[kit.NodeName]term.Term
}

func tableName(t kept) term.Term { return t.name }

func tableNode(t kept) term.Term {
	for n := range t.on {
		return term.Atom(n)
	}
	return term.Undefined
}

// one finds the only table that fits.
func one(h *history.History, what string, fits func(kept) bool) (kept, error) {
	status, err := told(h, "status")
	if err != nil {
		return kept{}, err
	}
	tables := map[any]kept{}
	for n, s := range status {
		m, _ := s.(term.Map)
		for _, row := range maps(m.Opt("tables")) {
			key := term.Key(row.Opt("table"))
			if tables[key].on == nil {
				tables[key] = kept{row.Opt("table"), map[kit.NodeName]term.Term{}}
			}
			if kind := row.Opt("storage_type"); kind != term.Atom("unknown") {
				tables[key].on[n] = kind
			}
		}
	}
	var found []kept
	for _, t := range tables {
		if fits(t) {
			found = append(found, t)
		}
	}
	if len(found) != 1 {
		return kept{}, fmt.Errorf("%d tables %s, not one", len(found), what)
	}
	return found[0], nil
}

func single(h *history.History) (kept, error) {
	return one(h, "have a single copy", func(t kept) bool { return len(t.on) == 1 })
}

func inMemory(h *history.History) (kept, error) {
	return one(h, "are in memory only", func(t kept) bool {
		for _, kind := range t.on {
			if kind != term.Atom("ram_copies") {
				return false
			}
		}
		return true
	})
}

// way is one direction of a link.
type way struct{ from, to term.Term }

func from(w way) term.Term { return w.from }
func to(w way) term.Term   { return w.to }

// slow finds the only direction in which frames are late.
func slow(h *history.History) (way, error) {
	all, err := told(h, "links")
	if err != nil {
		return way{}, err
	}
	var found []way
	for n, list := range all {
		for _, l := range maps(list) {
			rule, _ := l.Opt("rule").(term.Map)
			if us, ok := rule.Opt("delay_us").(term.Int); ok && us > 0 {
				found = append(found, way{term.Atom(n), l.Opt("node")})
			}
		}
	}
	if len(found) != 1 {
		return way{}, fmt.Errorf("%d links are slow, not one", len(found))
	}
	return found[0], nil
}
