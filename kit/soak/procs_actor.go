package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// actor is one process that the run acts for, and what it did and got.
type actor struct {
	r       *procRun
	label   string // of the process, and of the client that acts for it
	pid     term.Pid
	node    kit.NodeName
	life    int // of its node
	rand    *rand.Rand
	trap    bool
	ready   bool // it hears of nodes, and others may know of it
	dead    bool // an operation said so
	ended   bool // by its own client's doing
	home    bool // it ends with its client
	begun   time.Duration
	sent    int // messages and signals, numbered
	marks   int
	watch   map[string]bool   // what it watches, as it knows
	linked  map[term.Pid]bool // what it linked to itself, as it knows
	signals map[int]term.Pid  // exit signals that it sent, by number, and to whom
	global  bool              // it asked for a global name, at some time
	trace   []event
}

// event is one thing that an actor did (what it did) or got.
type event struct {
	at     time.Duration
	got    bool
	what   string // an operation, or: message, mark, DOWN, EXIT, nodeup, nodedown
	who    string // whom it is about: a pid's or name's text
	pid    term.Pid
	n      int    // number of a message, signal or mark
	reason string // of an end
	failed bool
}

func (e event) String() string {
	verb := "did"
	if e.got {
		verb = "got"
	}
	s := fmt.Sprintf("%s %s %s", verb, e.what, e.who)
	if e.n != 0 {
		s += fmt.Sprintf(" #%d", e.n)
	}
	if e.reason != "" {
		s += " " + e.reason
	}
	if e.failed {
		s += " (failed)"
	}
	return s
}

// concerns reports whether an event is worth telling in a story about some actors.
func (e event) concerns(about []string, r *procRun) bool {
	if e.what == "mark" || e.what == "drain" {
		return false
	}
	if a := r.byPid[e.pid]; a != nil {
		return slices.Contains(about, a.label)
	}
	return true
}

// over reports whether its process has ended, as far as the run knows. Callers hold the run's mu.
func (a *actor) over() bool { return a.dead || a.ended || a.r.nodes[a.node].lives != a.life }

func (a *actor) gone() bool {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	return a.over()
}

func (a *actor) did(e event) {
	e.at = a.r.w.Now()
	a.trace = append(a.trace, e)
}

// work is an actor's life: it gets ready, acts, and ends with the run's work.
func (a *actor) work(ctx context.Context) {
	if !a.ready {
		a.op(ctx, "monitor_nodes_reason", term.True)
		if a.rand.IntN(3) > 0 {
			a.trap = a.op(ctx, "trap_exit", term.True).Status == door.OK
		}
		if a.gone() {
			return
		}
		a.r.mu.Lock()
		a.ready = true
		a.r.mu.Unlock()
	}
	for a.r.w.Now() < a.r.until && ctx.Err() == nil && !a.gone() {
		a.act(ctx)
		_ = a.r.w.Sleep(ctx, time.Duration(a.rand.Int64N(int64(a.r.plan.Think))))
	}
}

// limits of the time that a request may take besides the pauses of its node. A try to connect takes 5 s when nothing comes
// back, and some operations ask several nodes one after the other.
const (
	stuckOp   = 20 * time.Second
	callLimit = 500 * time.Millisecond
)

// ask sends a request and checks that it is answered in time.
func (a *actor) ask(ctx context.Context, limit time.Duration, verb string, args ...term.Term) door.Outcome {
	begun := a.r.w.Now()
	out := a.r.call(ctx, a.label, a.node, verb, args...)
	took := a.r.w.Now() - begun
	a.r.mu.Lock()
	a.r.counts.Ops++
	if out.Status == door.Dead {
		a.dead = true
	}
	gone := a.r.nodes[a.node].lives != a.life
	for _, p := range a.r.pauses {
		if p.node == a.node && (p.to < 0 || p.to > begun) {
			took -= min(cmpEnd(p.to, a.r.w.Now()), a.r.w.Now()) - max(p.from, begun)
		}
	}
	a.r.mu.Unlock()
	if took > limit+100*time.Millisecond && !gone {
		a.r.problem("no answer", []term.Pid{a.pid}, "%s at %s: %s %s was answered after %v: %s", a.label, a.node, verb, term.String(term.List(args)), took, out.Status)
	}
	if (out.Status == door.Lost || out.Status == door.Down) && !gone {
		_ = a.r.w.Sleep(ctx, time.Millisecond)
		if !a.gone() {
			a.r.problem("no answer", []term.Pid{a.pid}, "%s at %s: %s %s: %s though the node lives", a.label, a.node, verb, term.String(term.List(args)), out.Status)
		}
	}
	return out
}

func cmpEnd(to, now time.Duration) time.Duration {
	if to < 0 {
		return now
	}
	return to
}

// op does an operation in the name of the process.
func (a *actor) op(ctx context.Context, name string, args ...term.Term) door.Outcome {
	return a.ask(ctx, stuckOp, "proc", a.pid, append(term.L(term.Atom(name)), args...))
}

// mark puts a message into the own mailbox, behind what has come by now.
func (a *actor) mark(ctx context.Context) int {
	a.marks++
	a.op(ctx, "send", a.pid, term.T(term.Atom("mark"), term.Int(a.marks)))
	return a.marks
}

// target picks another actor, which may have ended.
func (a *actor) target() *actor {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	var near []*actor
	for _, b := range a.r.actors {
		if b != a && b.ready && (!b.over() || a.rand.IntN(8) == 0) {
			near = append(near, b)
		}
	}
	if len(near) == 0 {
		return nil
	}
	return near[a.rand.IntN(len(near))]
}

// act does one thing.
func (a *actor) act(ctx context.Context) {
	t := a.target()
	if t == nil {
		a.drain(ctx)
		return
	}
	for _, c := range []struct {
		weight int
		do     func(context.Context, *actor)
	}{
		{30, a.sends}, {5, a.sendName}, {3, a.globalSend}, {9, a.monitors}, {3, a.demonitors}, {3, a.monitorsName},
		{6, a.links}, {3, a.unlinks}, {5, a.spawns}, {4, a.ends}, {4, a.signal}, {4, a.registers}, {8, a.globals}, {3, a.locks}, {5, a.calls},
	} {
		if a.rand.IntN(120) < c.weight {
			c.do(ctx, t)
			return
		}
	}
	a.drain(ctx)
}

func (a *actor) number() term.Term {
	a.sent++
	return term.T(term.Atom("m"), term.Atom(a.label), term.Int(a.sent))
}

func (a *actor) sends(ctx context.Context, t *actor) {
	for range 1 + a.rand.IntN(4) {
		msg := a.number()
		out := a.op(ctx, "send", t.pid, msg)
		a.did(event{what: "send", who: t.label, pid: t.pid, n: a.sent, failed: out.Status != door.OK})
	}
}

var localNames = []term.Term{term.Atom("n0"), term.Atom("n1")}
var globalNames = []term.Term{term.Atom("g0"), term.Atom("g1"), term.T(term.Atom("g"), term.Int(2))}
var lockNames = []term.Term{term.Atom("l0"), term.Atom("l1")}

func pickOf(r *rand.Rand, list []term.Term) term.Term { return list[r.IntN(len(list))] }

func nameAt(name term.Term, n kit.NodeName) string { return term.String(name) + "@" + string(n) }

func (a *actor) sendName(ctx context.Context, t *actor) {
	name, msg := pickOf(a.rand, localNames), a.number()
	out := a.op(ctx, "send_name", name, term.Atom(t.node), msg)
	a.did(event{what: "send", who: nameAt(name, t.node), n: a.sent, failed: out.Status != door.OK})
}

func (a *actor) globalSend(ctx context.Context, _ *actor) {
	name, msg := pickOf(a.rand, globalNames), a.number()
	out := a.op(ctx, "global_send", name, msg)
	to, ok := pidOf(out)
	a.did(event{what: "send", who: term.String(name), pid: to, n: a.sent, failed: !ok})
}

func (a *actor) monitors(ctx context.Context, t *actor) {
	key := term.String(t.pid)
	if a.watch[key] {
		return
	}
	out := a.op(ctx, "monitor", t.pid)
	if out.Status == door.OK {
		a.watch[key] = true
		a.did(event{what: "monitor", who: key, pid: t.pid, n: a.marks + 1})
		a.mark(ctx)
	}
}

func (a *actor) monitorsName(ctx context.Context, t *actor) {
	name := pickOf(a.rand, localNames)
	key := nameAt(name, t.node)
	if a.watch[key] {
		return
	}
	if out := a.op(ctx, "monitor_name", name, term.Atom(t.node)); out.Status == door.OK {
		a.watch[key] = true
		a.did(event{what: "monitor", who: key, pid: term.Pid{Node: string(t.node)}, n: a.marks + 1})
		a.mark(ctx)
	}
}

func (a *actor) demonitors(ctx context.Context, t *actor) {
	key := term.String(t.pid)
	if !a.watch[key] {
		return
	}
	if out := a.op(ctx, "demonitor", t.pid); out.Status == door.OK {
		a.watch[key] = false
		a.did(event{what: "demonitor", who: key, pid: t.pid})
	}
}

func (a *actor) links(ctx context.Context, t *actor) {
	if a.linked[t.pid] {
		return
	}
	out := a.op(ctx, "link", t.pid)
	a.did(event{what: "link", who: t.label, pid: t.pid, n: a.marks + 1, failed: out.Status != door.OK})
	if out.Status == door.OK {
		a.linked[t.pid] = true
		a.mark(ctx)
	}
}

func (a *actor) unlinks(ctx context.Context, t *actor) {
	if !a.linked[t.pid] {
		return
	}
	if out := a.op(ctx, "unlink", t.pid); out.Status == door.OK {
		a.linked[t.pid] = false
		a.did(event{what: "unlink", who: t.label, pid: t.pid, n: a.marks + 1})
		a.mark(ctx)
	}
}

func (a *actor) spawns(ctx context.Context, t *actor) {
	child := a.r.newActor(t.node, a.rand.Uint64())
	if child == nil {
		return
	}
	how := []string{"spawn_on", "spawn_link_on", "spawn_monitor_on"}[a.rand.IntN(3)]
	out := a.op(ctx, how, term.Atom(t.node))
	pid, ok := pidOf(out)
	if !ok {
		return
	}
	if pid.Node == string(t.node) {
		a.r.add(child, pid)
	}
	switch how {
	case "spawn_link_on":
		a.linked[pid] = true
		a.did(event{what: "link", who: term.String(pid), pid: pid, n: a.marks + 1})
	case "spawn_monitor_on":
		a.watch[term.String(pid)] = true
		a.did(event{what: "monitor", who: term.String(pid), pid: pid, n: a.marks + 1})
	default:
		a.did(event{what: "spawn", who: term.String(pid), pid: pid})
	}
	a.mark(ctx)
	if pid.Node == string(t.node) {
		a.r.w.Go(child.work)
	}
}

func (a *actor) reason() term.Term {
	a.sent++
	return term.T(term.Atom("bye"), term.Atom(a.label), term.Int(a.sent))
}

// ends ends the process, in one of the ways there are.
func (a *actor) ends(ctx context.Context, _ *actor) {
	if a.rand.IntN(3) > 0 {
		return
	}
	a.drain(ctx)
	e := event{what: "exit", reason: "normal", who: a.label}
	var op []term.Term
	switch a.rand.IntN(5) {
	case 0:
		op = term.L(term.Atom("return"))
	case 1:
		reason := a.reason()
		e.reason, op = term.String(reason), term.L(term.Atom("crash"), reason)
	case 2:
		if !a.home {
			return
		}
		a.did(e)
		a.end()
		a.r.w.Leave(a.label)
		return
	default:
		reason := a.reason()
		e.reason, op = term.String(reason), term.L(term.Atom("exit"), reason)
	}
	a.did(e)
	a.op(ctx, string(op[0].(term.Atom)), op[1:]...)
	a.end()
}

// end notes that its client has ended the process.
func (a *actor) end() {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	a.ended = true
}

// signal sends an exit signal; its number is one of the messages'.
func (a *actor) signal(ctx context.Context, t *actor) {
	if a.rand.IntN(2) > 0 {
		return
	}
	a.sent++
	var reason term.Term = term.T(term.Atom("sig"), term.Atom(a.label), term.Int(a.sent))
	if a.rand.IntN(3) == 0 {
		reason = term.Atom("kill")
	}
	a.signals[a.sent] = t.pid
	out := a.op(ctx, "exit_signal", t.pid, reason)
	a.did(event{what: "signal", who: t.label, pid: t.pid, n: a.sent, reason: term.String(reason), failed: out.Status != door.OK})
}

func (a *actor) registers(ctx context.Context, _ *actor) {
	name := pickOf(a.rand, localNames)
	if a.rand.IntN(3) == 0 {
		out := a.op(ctx, "unregister", name)
		a.did(event{what: "unregister", who: term.String(name), failed: out.Status != door.OK})
		return
	}
	out := a.op(ctx, "register", name)
	a.did(event{what: "register", who: term.String(name), failed: out.Status != door.OK})
}

// globals asks for a global name, or takes one away.
func (a *actor) globals(ctx context.Context, t *actor) {
	name := pickOf(a.rand, globalNames)
	e := event{what: "global_register", who: term.String(name)}
	begun := a.r.w.Now()
	var out door.Outcome
	switch a.rand.IntN(8) {
	case 0:
		e.what = "global_unregister"
		out = a.op(ctx, e.what, name)
	case 1:
		e.what = "global_re_register"
		a.wants(a)
		out = a.op(ctx, e.what, name)
	case 2:
		e.pid = t.pid
		e.what = "global_register_other"
		a.wants(t)
		out = a.op(ctx, e.what, name, t.pid)
	default:
		a.wants(a)
		resolver := term.Atom([]string{"random_exit", "random_notify", "notify_all"}[a.rand.IntN(3)])
		out = a.op(ctx, "global_register", name, resolver)
	}
	v, _ := out.Term()
	e.reason = term.String(v)
	if out.Status != door.OK {
		e.reason, e.failed = fmt.Sprint(out.Status, " ", out.Text), true
		if out.Status == door.Error {
			a.r.problem("no answer", []term.Pid{a.pid}, "%s at %s: %s %s: %v", a.label, a.node, e.what, e.who, out.Err())
		}
	}
	a.did(e)
	h := holding{what: e.who, from: begun, to: a.r.w.Now()} // of nobody: the name was taken away, or given
	if e.what == "global_register" {
		h.who = a.pid
	}
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	if h.who.ID == 0 || v == term.Atom("yes") {
		a.r.names = append(a.r.names, h)
		a.r.counts.Yes++
	}
}

// wants notes that a process may get a global name, and so be killed by a resolver.
func (a *actor) wants(b *actor) {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	b.global = true
	a.r.counts.Names++
}

// locks takes a lock, works a while and gives it back.
func (a *actor) locks(ctx context.Context, _ *actor) {
	id := pickOf(a.rand, lockNames)
	out := a.op(ctx, "set_lock", id, term.Int(a.rand.IntN(3)))
	v, _ := out.Term()
	a.did(event{what: "set_lock", who: term.String(id), reason: term.String(v), failed: out.Status != door.OK})
	if v != term.True {
		return
	}
	h := holding{what: "lock " + term.String(id), who: a.pid, from: a.r.w.Now()}
	_ = a.r.w.Sleep(ctx, time.Duration(a.rand.Int64N(int64(30*time.Millisecond))))
	h.to = a.r.w.Now()
	if !a.gone() && a.op(ctx, "self").Status == door.OK {
		a.r.mu.Lock()
		a.r.held = append(a.r.held, h)
		a.r.mu.Unlock()
	}
	if a.rand.IntN(4) > 0 {
		a.op(ctx, "del_lock", id)
		a.did(event{what: "del_lock", who: term.String(id)})
	} else if !a.trap || a.rand.IntN(2) == 0 {
		a.did(event{what: "exit", who: a.label, reason: "normal"})
		a.op(ctx, "return")
		a.end()
	}
}

// calls calls a function at another node, or at all.
func (a *actor) calls(ctx context.Context, t *actor) {
	a.sent++
	a.r.mu.Lock()
	a.r.counts.Calls++
	a.r.mu.Unlock()
	what := term.T(term.Atom(a.label), term.Int(a.sent))
	fn := term.L(term.Atom("mirror"), what)
	want := term.T(term.Atom(t.node), what)
	ms := term.Int(callLimit / time.Millisecond)
	switch verb := []string{"rpc", "erpc", "multicall", "cast"}[a.rand.IntN(4)]; verb {
	case "multicall":
		out := a.ask(ctx, callLimit, verb, append(a.r.others(a.node), term.Atom(a.node)), fn, ms)
		var answer struct {
			Results []json.RawMessage `json:"results"`
			Bad     []string          `json:"bad_nodes"`
		}
		if err := json.Unmarshal(out.Value, &answer); out.Status == door.OK && (err != nil || len(answer.Results)+len(answer.Bad) != len(a.r.plan.Nodes)) {
			a.r.problem("wrong answer", []term.Pid{a.pid}, "%s: multicall: %s", a.label, out.Value)
		}
	case "cast":
		a.ask(ctx, callLimit, verb, term.Atom(t.node), term.L(term.Atom("add"), term.Int(1), term.Int(2)))
	default:
		out := a.ask(ctx, callLimit, verb, term.Atom(t.node), fn, ms)
		v, err := out.Term()
		switch {
		case out.Status == door.OK && (err != nil || !term.Equal(v, want)):
			a.r.problem("wrong answer", []term.Pid{a.pid}, "%s: %s of %s: %s", a.label, verb, term.String(want), out.Value)
		case out.Status == door.BadRPC && out.Kind != term.Term(term.Atom("nodedown")) && out.Kind != term.Term(term.Atom("timeout")),
			out.Status == door.Raised && out.Kind != term.Term(term.Atom("erpc")):
			a.r.problem("wrong answer", []term.Pid{a.pid}, "%s: %s: %s", a.label, verb, term.String(out.Reason()))
		}
	}
}

// drain takes what is in the mailbox.
func (a *actor) drain(ctx context.Context) {
	out := a.ask(ctx, stuckOp, "mailbox", a.pid)
	if out.Status != door.OK {
		return
	}
	var list []json.RawMessage
	if err := json.Unmarshal(out.Value, &list); err != nil {
		a.r.problem("wrong answer", []term.Pid{a.pid}, "mailbox: %v", err)
	}
	for _, raw := range list {
		e, err := readEvent(raw)
		if err != nil {
			a.r.problem("wrong answer", []term.Pid{a.pid}, "a message of %s: %s: %v", a.label, raw, err)
		}
		e.at, e.got = a.r.w.Now(), true
		if e.what == "DOWN" {
			a.watch[e.who] = false
		}
		if b := a.r.actorOf(e.pid); e.what == "EXIT" && (b == nil || !e.signalOf(b, a)) {
			a.linked[e.pid] = false
		}
		a.trace = append(a.trace, e)
	}
}

func (r *procRun) actorOf(pid term.Pid) *actor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byPid[pid]
}

// signalOf reports whether an EXIT is a signal that b sent to an actor, and not b's end.
func (e event) signalOf(b, to *actor) bool {
	return e.what == "EXIT" && e.pid == b.pid && strings.HasPrefix(e.reason, "{sig,"+b.label+",") && b.signals[e.n] == to.pid
}
