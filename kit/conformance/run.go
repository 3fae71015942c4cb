package conformance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// World is a cluster that traces run on: a world.World and what scenarios need besides.
type World interface {
	world.World
	// Leave ends a client's sessions at every node, as if its process had died.
	Leave(client string)
	// Stop ends a node in an orderly way; Restart starts it again.
	Stop(kit.NodeName) error
	// WipeDisc empties the disc of a node that does not run.
	WipeDisc(kit.NodeName) error
}

// Times of the recording runner, which belong to the scenarios.
const (
	blockTime = 600 * time.Millisecond // an operation without an answer by then is blocked
	silence   = 500 * time.Millisecond // an event that did not come by then does not come
	grace     = 120 * time.Millisecond // the same, when as many came as were recorded
	patience  = 15 * time.Second       // for commits and waits
	stepTime  = 40 * time.Second       // for any other step
	pace      = 10 * time.Millisecond  // between a step and one elsewhere, or a fault: the recording runner was no faster
)

// run is one trace being run.
type run struct {
	w       World
	ctx     context.Context
	trace   Trace
	cmp     comparer
	verbs   map[string][]string // the parameters of each verb of the door
	ops     map[string]bool     // the operations of transactions; nil when the door does not list them
	up      map[kit.NodeName]bool
	cuts    map[[2]kit.NodeName]bool
	bg      map[string]*pending
	shared  sharedFiles
	damages []Step // to discs of nodes that do not run
	txs     map[string]*tx
	procs   map[string]kit.NodeName // where a named process is
	pids    map[string]term.Pid     // those that proc_spawn and proc made
	asked   int                     // clients made for background steps
	place   string                  // where the last step was done
}

// pending is an answer that is waited for. The one who asks is another client of the world.
type pending struct {
	mu   sync.Mutex
	done bool
	out  json.RawMessage
}

func (p *pending) set(out json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.out = true, out
}

func (p *pending) get() (json.RawMessage, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out, p.done
}

// errNotYet says that the product lacks what a step needs.
type errNotYet struct{ what string }

func (e errNotYet) Error() string { return e.what + " is not known yet" }

// Run runs a trace on a fresh world with the trace's nodes, no store started. The world stays open. An error
// means that the run itself could not go on; what the product does wrong is in the Result.
func Run(ctx context.Context, w World, t Trace) (Result, error) {
	r := &run{w: w, ctx: ctx, trace: t, up: map[kit.NodeName]bool{}, cuts: map[[2]kit.NodeName]bool{},
		bg: map[string]*pending{}, txs: map[string]*tx{}, procs: map[string]kit.NodeName{}, pids: map[string]term.Pid{},
		cmp: comparer{nodes: t.Nodes, ordered: map[string]bool{}, pids: map[string]string{}}}
	for _, n := range t.Nodes {
		r.up[n] = true
	}
	res := Result{ID: t.ID, Topic: t.Topic, Title: t.Title}
	begun := w.Now()
	if err := r.learn(); err != nil {
		return res, err
	}
	if err := r.connectAll(); err != nil {
		return res, err
	}
	missing := map[string]bool{}
	elsewhere := false // a quirk has sent the run another way
	for i, s := range t.Steps {
		out := r.perform(s)
		out.Number, out.Step = i+1, s.String()
		var lacks errNotYet
		switch {
		case errors.As(out.err, &lacks):
			out.Verdict, out.Why = NotYet, lacks.Error()
			if !missing[lacks.what] {
				missing[lacks.what] = true
				res.Missing = append(res.Missing, lacks.what)
			}
		case out.err != nil:
			return res, fmt.Errorf("%s step %d (%s): %w", t.ID, i+1, s, out.err)
		case out.Verdict == Fail && (len(missing) > 0 || elsewhere):
			out.Verdict = Unsure
		}
		elsewhere = elsewhere || out.Verdict == Info && otherCourse(out.StepResult)
		res.Steps = append(res.Steps, out.StepResult)
	}
	res.Took = w.Now() - begun
	res.conclude()
	return res, nil
}

// otherCourse reports whether a step succeeded here and failed there, or the other way round.
func otherCourse(s StepResult) bool {
	want, _ := value(s.Want).(map[string]any)
	got, _ := value(s.Got).(map[string]any)
	if _, several := want["one_of"]; several {
		return false
	}
	return statusOf(want) != statusOf(got)
}

// performed is the result of a step, or why it could not be performed.
type performed struct {
	StepResult
	err error
}

// perform does one step and compares its answer.
func (r *run) perform(s Step) performed {
	if place := string(s["on"]) + s.text("tx") + s.text("p"); place != r.place {
		r.place = place
		if err := r.sleep(pace); err != nil {
			return performed{err: err}
		}
	}
	got, err := r.step(s)
	if err != nil {
		return performed{err: err}
	}
	p := performed{StepResult: StepResult{Verdict: Free}}
	if _, ok := s["expect"]; !ok || s.flag("unchecked") {
		return p
	}
	r.cmp.open = ""
	p.Why = r.compare(s, got)
	switch {
	case p.Why == "" && r.cmp.open != "":
		p.Verdict, p.Why, p.Want, p.Got = Info, r.cmp.open, s["expect"], got
	case p.Why == "":
		p.Verdict = Pass
	case s.text("quirk") != "":
		p.Verdict, p.Want, p.Got = Info, s["expect"], got
	default:
		p.Verdict, p.Want, p.Got = Fail, s["expect"], got
	}
	return p
}

// compare says how an answer differs from what was recorded.
func (r *run) compare(s Step, got json.RawMessage) string {
	want := value(s["expect"])
	nodes, list := s.on()
	if !list {
		if t := r.txs[s.text("tx")]; t != nil && s.Do() == "tx_wait" {
			s = Step{"do": s["do"], "op": t.lastOp()}
		}
		return r.cmp.outcome(s, want, value(got))
	}
	w, _ := want.(map[string]any)
	g, _ := value(got).(map[string]any)
	for _, n := range nodes {
		if why := r.cmp.outcome(s, w[string(n)], g[string(n)]); why != "" {
			return fmt.Sprintf("on %s: %s", n, why)
		}
	}
	return ""
}

// learn asks a node what verbs and operations there are.
func (r *run) learn() error {
	if r.trace.odd() {
		r.verbs = map[string][]string{}
		return nil // every step is not yet known: such nodes cannot be made
	}
	list, err := r.describe("verbs")
	if err != nil {
		return err
	}
	r.verbs = list
	if _, ok := list["ops"]; !ok {
		return nil
	}
	if list, err = r.describe("ops"); err != nil {
		return err
	}
	r.ops = map[string]bool{}
	for name := range list {
		r.ops[name] = true
	}
	return nil
}

// describe reads a list of maps with name and params.
func (r *run) describe(verb string) (map[string][]string, error) {
	out := r.w.Call(r.ctx, "conformance", r.trace.Nodes[0], door.Request{Verb: verb})
	t, err := out.Term()
	if err != nil {
		return nil, err
	}
	list, _ := t.(term.List)
	names := map[string][]string{}
	for _, e := range list {
		m, ok := e.(term.Map)
		if !ok {
			if a, ok := e.(term.Atom); ok {
				names[string(a)] = nil
			}
			continue
		}
		var params []string
		ps, _ := m.Opt("params").(term.List)
		for _, p := range ps {
			if b, ok := p.(term.Bin); ok {
				params = append(params, string(b))
			}
		}
		switch n := m.Opt("name").(type) {
		case term.Atom:
			names[string(n)] = params
		case term.Bin:
			names[string(n)] = params
		}
	}
	return names, nil
}

// call asks a node, or finds that it does not run.
func (r *run) call(ctx context.Context, client string, n kit.NodeName, verb string, args ...term.Term) json.RawMessage {
	if !r.up[n] {
		return json.RawMessage(`{"node":"not running"}`)
	}
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	return encode(r.w.Call(ctx, client, n, door.Request{Verb: verb, Args: args}))
}

func encode(out door.Outcome) json.RawMessage {
	b, err := out.MarshalJSON()
	if err != nil {
		b, _ = json.Marshal(map[string]string{"error": "runner", "text": err.Error()})
	}
	return b
}

// until polls until f holds, for at most so long; it reports whether f held.
func (r *run) until(limit time.Duration, f func() bool) bool {
	end, nap := r.w.Now()+limit, 2*time.Millisecond
	for {
		if f() {
			return true
		}
		if r.w.Now() >= end {
			return false
		}
		if r.w.Sleep(r.ctx, nap) != nil {
			return false
		}
		nap = min(nap*3/2, 20*time.Millisecond)
	}
}

func (r *run) sleep(d time.Duration) error { return r.w.Sleep(r.ctx, d) }

// separated reports whether a cut is in force between two nodes.
func (r *run) separated(a, b kit.NodeName) bool {
	return r.cuts[[2]kit.NodeName{a, b}] || r.cuts[[2]kit.NodeName{b, a}]
}

// reachable gives the running nodes that a node has a whole link to.
func (r *run) reachable(n kit.NodeName) []kit.NodeName {
	var out []kit.NodeName
	for _, o := range r.trace.Nodes {
		if o != n && r.up[o] && !r.separated(n, o) {
			out = append(out, o)
		}
	}
	return out
}

// connectAll waits until every running node is connected to all that it can reach.
func (r *run) connectAll() error {
	if len(r.verbs) == 0 || !r.trace.connected() {
		return nil
	}
	for _, n := range r.trace.Nodes {
		if !r.up[n] {
			continue
		}
		peers := r.reachable(n)
		if r.trace.manual() {
			r.connect(n, peers)
		}
		ok := r.until(patience, func() bool {
			have := r.names(n, "nodes")
			return !slices.ContainsFunc(peers, func(p kit.NodeName) bool { return !slices.Contains(have, p) })
		})
		if !ok {
			return &kit.Error{Op: "connect node", Kind: kit.Broken, What: string(n), Err: fmt.Errorf("it has %v, not all of %v", r.names(n, "nodes"), peers)}
		}
	}
	return nil
}

// connect tells a node to connect to others, as the recording runner does.
func (r *run) connect(n kit.NodeName, peers []kit.NodeName) {
	for _, p := range peers {
		if n < p {
			r.w.Call(r.ctx, "conformance", n, door.Request{Verb: "connect", Args: []term.Term{term.Atom(p)}})
		}
	}
}

// names asks a node for a list of node names; nil when it does not answer with one.
func (r *run) names(n kit.NodeName, verb string, args ...term.Term) []kit.NodeName {
	out := r.w.Call(r.ctx, "conformance", n, door.Request{Verb: verb, Args: args})
	t, err := out.Term()
	if err != nil {
		return nil
	}
	list, _ := t.(term.List)
	var names []kit.NodeName
	for _, e := range list {
		if a, ok := e.(term.Atom); ok {
			names = append(names, kit.NodeName(a))
		}
	}
	return names
}

// settleView waits until no running node lists one that it has lost, neither as connected nor as a running store.
func (r *run) settleView() {
	for _, n := range r.trace.Nodes {
		if !r.up[n] {
			continue
		}
		there := append(r.reachable(n), n)
		r.until(10*time.Second, func() bool {
			for _, o := range append(r.names(n, "nodes"), r.names(n, "system_info", term.Atom("running_db_nodes"))...) {
				if !slices.Contains(there, o) {
					return false
				}
			}
			return true
		})
	}
}

// cut separates every pair across, both ways and at once, as closed connections do.
func (r *run) cut(s Step) error {
	for _, p := range sides(s) {
		r.cuts[p] = true
		for _, link := range [][2]kit.NodeName{p, {p[1], p[0]}} {
			if err := r.w.Link(link[0], link[1], wire.Rule{Cut: wire.Loud}); err != nil {
				return err
			}
		}
	}
	r.settleView()
	return r.sleep(200 * time.Millisecond)
}

// heal joins the pairs one after the other, as the recording runner connected them: the order shows in events.
func (r *run) heal(s Step) error {
	pairs := sides(s)
	for i, p := range pairs {
		if p[0] > p[1] {
			pairs[i] = [2]kit.NodeName{p[1], p[0]}
		}
	}
	slices.SortFunc(pairs, func(p, q [2]kit.NodeName) int {
		return cmp.Or(cmp.Compare(p[0], q[0]), cmp.Compare(p[1], q[1]))
	})
	for _, p := range pairs {
		delete(r.cuts, p)
		delete(r.cuts, [2]kit.NodeName{p[1], p[0]})
		for _, link := range [][2]kit.NodeName{p, {p[1], p[0]}} {
			if err := r.w.Link(link[0], link[1], wire.Rule{}); err != nil {
				return err
			}
		}
		if err := r.connectAll(); err != nil {
			return err
		}
	}
	return r.sleep(700 * time.Millisecond)
}

// sides gives the pairs of a step's "between".
func sides(s Step) [][2]kit.NodeName {
	var groups []json.RawMessage
	_ = json.Unmarshal(s["between"], &groups) // not two groups: no pairs
	if len(groups) != 2 {
		return nil
	}
	var pairs [][2]kit.NodeName
	for _, a := range nodeList(groups[0]) {
		for _, b := range nodeList(groups[1]) {
			pairs = append(pairs, [2]kit.NodeName{a, b})
		}
	}
	return pairs
}

func nodeList(raw json.RawMessage) []kit.NodeName {
	if one := str(raw); one != "" {
		return []kit.NodeName{kit.NodeName(one)}
	}
	var list []kit.NodeName
	_ = json.Unmarshal(raw, &list) // not a list: none
	return list
}

// down ends a node and waits until the others have noticed.
func (r *run) down(n kit.NodeName, how func(kit.NodeName) error) error {
	if err := how(n); err != nil {
		return err
	}
	r.up[n] = false
	r.settleView()
	return r.sleep(200 * time.Millisecond)
}

func (r *run) start(n kit.NodeName) error {
	if err := r.w.Restart(n); err != nil {
		return err
	}
	r.up[n] = true
	for name, t := range r.txs {
		if t.node == n {
			delete(r.txs, name)
		}
	}
	if err := r.connectAll(); err != nil {
		return err
	}
	if err := r.damageLater(); err != nil {
		return err
	}
	return r.sleep(200 * time.Millisecond)
}

// known reports what a step needs and the product lacks.
func (r *run) known(s Step, verb string) error {
	if _, ok := r.verbs[verb]; !ok {
		return errNotYet{verb}
	}
	var op []json.RawMessage
	ops := s.ops()
	if json.Unmarshal(s["op"], &op) == nil && len(op) > 0 && s.Do() != "proc" {
		ops = append(ops, op)
	}
	for _, o := range ops {
		if err := r.knownOp(o); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) knownOp(op []json.RawMessage) error {
	if r.ops == nil || len(op) == 0 {
		return nil
	}
	name := str(op[0])
	if !r.ops[name] {
		return errNotYet{"op " + name}
	}
	switch name {
	case "transaction", "activity":
		return r.known(Step{"ops": op[len(op)-1]}, "transaction")
	case "try":
		return r.known(Step{"op": op[1]}, "transaction")
	case "api":
		var step Step
		if json.Unmarshal(op[1], &step) == nil {
			return r.known(step, step.Do())
		}
	}
	return nil
}

// arguments makes the positional arguments of a verb of the step's fields.
func (r *run) arguments(s Step, verb string) ([]term.Term, error) {
	var args []term.Term
	for _, p := range r.verbs[verb] {
		name := strings.TrimRight(p, "?.")
		raw, ok := s[name]
		if !ok {
			raw, ok = s[aliases[name]]
		}
		if !ok {
			if strings.HasSuffix(p, "?") {
				break
			}
			if raw, ok = defaults[name]; !ok {
				return nil, errNotYet{fmt.Sprintf("%s without %s", verb, name)}
			}
		}
		if name == "to" && verb == "move_table_copy" {
			name = "node"
		}
		t, err := argument(name, raw)
		if err != nil {
			return nil, err
		}
		args = append(args, t)
	}
	return args, nil
}

// aliases are the names that fields have in scenarios, where the door's parameters have others.
var aliases = map[string]string{"property": "value"}

// defaults are the values of fields that scenarios may leave out.
var defaults = map[string]json.RawMessage{"opts": json.RawMessage(`{}`), "timeout": json.RawMessage(`5000`), "config": json.RawMessage(`{}`)}

// argument reads a field's value. Prose and file names are text, not atoms; so is a number of retries that is none, which
// the recording runner passed on as it stands in the file.
func argument(name string, raw json.RawMessage) (term.Term, error) {
	if name == "text" || name == "file" || name == "to" || name == "retries" {
		if s := str(raw); s != "" {
			return term.Bin(s), nil
		}
	}
	return term.FromStep(raw)
}
