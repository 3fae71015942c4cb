package shell

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.starlark.net/starlark"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// viewFunctions look at the whole cluster at once: what the tabs of Erlang's observer show of one node.
var viewFunctions = []function{
	{"system", "", "Every node at a glance: whether it answers, its store, processes, messages waiting, memory, which nodes it sees and whose stores run with its own.", "system()", viewSystem},
	{"links", "", "Every link between two nodes, each way by itself: what the sender thinks of it, the round trip, and what a fault does to what is sent.", "links()", viewLinks},
	{"tables", "", "Every table: its type, and for each node the kind of copy and the rows in it.", "tables()", viewTables},
	{"processes", "", "The processes of all nodes, those with the most messages waiting first.", `[p for p in processes() if p["links"]]`, viewProcesses},
}

// lookTime bounds one question of a view; a node that does not answer in time is shown as such.
const lookTime = 2 * time.Second

// question is one request of a view.
type question struct {
	node kit.NodeName
	verb string
	args []term.Term
	line int // questions with different lines do not wait for each other at a node, which serves a client in order
}

// client names who asks: the session itself, or one of its further lines.
func (q question) client(session string) string {
	if q.line == 0 {
		return session
	}
	return fmt.Sprintf("%s-line%d", session, q.line)
}

// reply is what came back, and how long that took by the world's clock.
type reply struct {
	term term.Term // nil when there was no good answer
	down bool      // the node is not running
	took time.Duration
}

// askAll puts questions to nodes at the same time, so that one that hangs costs lookTime in all.
func (r *run) askAll(questions []question) ([]reply, error) {
	replies := make([]reply, len(questions))
	err := r.blocking(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		var all sync.WaitGroup
		for i, q := range questions {
			all.Go(func() {
				began := r.s.w.Now()
				client := q.client(r.client)
				out := r.s.w.Call(ctx, client, q.node, door.Request{Client: client, Verb: q.verb, Args: q.args})
				replies[i] = reply{down: out.Status == door.Down, took: r.s.w.Now() - began}
				if t, err := out.Term(); err == nil && out.Status == door.OK {
					replies[i].term = t
				}
			})
		}
		all.Wait()
		return nil
	})
	return replies, err
}

// askNodes puts one question to every node.
func (r *run) askNodes(verb string, args ...term.Term) ([]reply, error) {
	var questions []question
	for _, n := range r.s.order {
		questions = append(questions, question{node: n, verb: verb, args: args})
	}
	return r.askAll(questions)
}

// field reads one entry of an answer that is a map; nil when it is none, or has none of that name.
func field(t term.Term, name string) term.Term {
	m, ok := t.(term.Map)
	if !ok {
		return nil
	}
	return m.Opt(term.Atom(name))
}

func intField(t term.Term, name string) (int64, bool) {
	n, ok := field(t, name).(term.Int)
	return int64(n), ok
}

// listField reads a list of atoms, as names.
func listField(t term.Term, name string) []string {
	var names []string
	list, _ := field(t, name).(term.List)
	for _, x := range list {
		names = append(names, plainWord(x))
	}
	return names
}

// plainWord gives an atom or text without quotes.
func plainWord(t term.Term) string {
	switch t := t.(type) {
	case nil:
		return ""
	case term.Atom:
		return string(t)
	case term.Bin:
		return string(t)
	}
	return term.String(t)
}

// stateOf says in a word whether a node answered.
func (p reply) state() string {
	switch {
	case p.term != nil:
		return "up"
	case p.down:
		return "down"
	}
	return "no answer"
}

// value makes a script value of an answer's part: names as text.
func (r *run) value(t term.Term) starlark.Value {
	if t == nil {
		return starlark.None
	}
	return view{s: r.s, names: true, keys: true}.value(t)
}

// dictOf makes a row from names and values, one after the other.
func dictOf(kv ...any) *starlark.Dict {
	d := starlark.NewDict(len(kv) / 2)
	for i := 0; i+1 < len(kv); i += 2 {
		if d.SetKey(starlark.String(kv[i].(string)), kv[i+1].(starlark.Value)) != nil {
			continue // a string key never fails
		}
	}
	return d
}

func viewSystem(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	var questions []question
	for _, n := range r.s.order {
		questions = append(questions, question{node: n, verb: "status"})
	}
	for _, n := range r.s.order {
		questions = append(questions, question{node: n, verb: "system_info", args: []term.Term{term.Atom("running_db_nodes")}})
	}
	replies, err := r.askAll(questions)
	if err != nil {
		return nil, err
	}
	states, running := replies[:len(r.s.order)], replies[len(r.s.order):]
	s := &sheet{heads: []heading{{"node", false}, {"state", false}, {"up for", true}, {"store", false}, {"processes", true}, {"waiting", true},
		{"memory", true}, {"sees", false}, {"runs with", false}}}
	for i, n := range r.s.order {
		st := states[i].term
		with := namesOf(running[i].term, string(n))
		row := dictOf("node", r.s.nodes[string(n)], "state", starlark.String(states[i].state()), "up_ms", r.value(field(st, "uptime_ms")),
			"store", starlark.String(storeState(st)), "processes", r.value(field(st, "processes")), "waiting", r.value(field(st, "waiting")),
			"memory", r.value(field(st, "memory")), "sees", r.value(field(st, "nodes")), "runs_with", r.value(nameTerms(with)))
		s.add(row, string(n), states[i].state(), spanText(st, "uptime_ms"), cmp.Or(storeState(st), "-"), figure(st, "processes"),
			figure(st, "waiting"), memoryText(st), r.othersText(listField(st, "nodes")), r.othersText(with))
	}
	s.disagreements(r.s.order, states)
	return s, nil
}

// storeState says in a word what a node's store does; "" when the node tells nothing.
func storeState(status term.Term) string {
	switch w := plainWord(field(status, "store")); w {
	case "yes":
		return "running"
	case "no":
		return "stopped"
	default:
		return w
	}
}

// namesOf lists the other nodes of an answer.
func namesOf(t term.Term, self string) []string {
	list, _ := t.(term.List)
	var names []string
	for _, x := range list {
		if w := plainWord(x); w != self {
			names = append(names, w)
		}
	}
	slices.Sort(names)
	return names
}

func nameTerms(names []string) term.List {
	out := term.List{}
	for _, n := range names {
		out = append(out, term.Atom(n))
	}
	return out
}

// othersText lists nodes; when they are many, and nobody is missing, it says so.
func (r *run) othersText(names []string) string {
	if most := len(r.s.order) - 1; len(names) == most && most > 3 {
		return fmt.Sprintf("all %d", most)
	}
	return namesText(names)
}

func namesText(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ", ")
}

func figure(t term.Term, name string) string {
	if n, ok := intField(t, name); ok {
		return fmt.Sprint(n)
	}
	return "-"
}

func spanText(t term.Term, name string) string {
	ms, ok := intField(t, name)
	if !ok {
		return "-"
	}
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

func memoryText(t term.Term) string {
	n, ok := intField(t, "memory")
	if !ok || n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}

// disagreements notes each pair of nodes of which only one sees the other.
func (s *sheet) disagreements(nodes []kit.NodeName, states []reply) {
	for i, a := range nodes {
		for j := i + 1; j < len(nodes); j++ {
			b := nodes[j]
			if states[i].term == nil || states[j].term == nil {
				continue
			}
			there := slices.Contains(listField(states[i].term, "nodes"), string(b))
			back := slices.Contains(listField(states[j].term, "nodes"), string(a))
			switch {
			case there && !back:
				s.note("%s sees %s, and %s does not see %s", a, b, b, a)
			case back && !there:
				s.note("%s sees %s, and %s does not see %s", b, a, a, b)
			}
		}
	}
}

func viewLinks(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	states, err := r.askNodes("links")
	if err != nil {
		return nil, err
	}
	// Only links that are up are measured: a ping connects, and looking must not change what is seen.
	var pings []question
	for i, n := range r.s.order {
		for j, l := range linkList(states[i]) {
			if field(l, "up") == term.True {
				pings = append(pings, question{n, "ping", []term.Term{field(l, "node")}, j})
			}
		}
	}
	trips, err := r.askAll(pings)
	if err != nil {
		return nil, err
	}
	s := &sheet{heads: []heading{{"from", false}, {"to", false}, {"state", false}, {"for", true}, {"round trip", true}, {"what is sent this way", false}}}
	for i, n := range r.s.order {
		if states[i].term == nil {
			s.note("%s: %s", n, states[i].state())
		}
		for _, l := range linkList(states[i]) {
			var trip *reply
			if field(l, "up") == term.True {
				trip, trips = &trips[0], trips[1:]
			}
			s.addLink(r, n, l, trip)
		}
	}
	return s, nil
}

func linkList(p reply) []term.Term {
	list, _ := p.term.(term.List)
	return list
}

func (s *sheet) addLink(r *run, from kit.NodeName, l term.Term, trip *reply) {
	to, state := plainWord(field(l, "node")), "down"
	round, roundText := starlark.Value(starlark.None), "-"
	if trip != nil {
		state, roundText = "up", "no answer"
		if trip.term == term.Atom("pong") {
			ms := float64(trip.took.Microseconds()) / 1000
			round, roundText = starlark.Float(ms), fmt.Sprintf("%.1f ms", ms)
		}
	}
	fault := faultWords(field(l, "rule"))
	remark := fault
	if reason := plainWord(field(l, "reason")); state == "down" && reason != "" && fault == "" {
		remark = reason
	}
	row := dictOf("from", r.value(term.Atom(from)), "to", r.value(term.Atom(to)), "up", starlark.Bool(state == "up"), "for_ms", r.value(field(l, "for_ms")),
		"round_trip_ms", round, "fault", starlark.String(fault), "reason", r.value(field(l, "reason")), "counts", r.value(field(l, "counts")))
	s.add(row, string(from), to, state, spanText(l, "for_ms"), roundText, cmp.Or(remark, "-"))
}

// faultWords says what a link's rule does; "" when it is whole.
func faultWords(rule term.Term) string {
	var parts []string
	if cut := plainWord(field(rule, "cut")); cut != "" && cut != "whole" {
		parts = append(parts, "cut ("+cut+")")
	}
	for _, d := range []struct{ name, words string }{{"delay_us", "%v late"}, {"jitter_us", "up to %v more"}} {
		if us, ok := intField(rule, d.name); ok && us > 0 {
			parts = append(parts, fmt.Sprintf(d.words, time.Duration(us)*time.Microsecond))
		}
	}
	for _, c := range []struct{ name, words string }{{"loss", "lost"}, {"duplicate", "doubled"}, {"reorder", "reordered"}} {
		if share, ok := field(rule, c.name).(term.Float); ok && share > 0 {
			parts = append(parts, fmt.Sprintf("%g%% %s", float64(share)*100, c.words))
		}
	}
	return strings.Join(parts, ", ")
}
