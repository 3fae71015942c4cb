package proc

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/term"
)

// distNet is members of a distributed supervisor without processes, network or clock: events happen in the order of
// their times.
type distNet struct {
	t       *testing.T
	opts    DistOptions
	rng     *rand.Rand // nil: every delay is the same
	now     time.Time
	events  []distEvent
	seq     int
	nodes   map[string]*distNode
	up      map[[2]string]int // number of the session of a link as its end [0] sees it; 0: down
	cut     map[[2]string]bool
	session int
	check   func()
	log     []string
}

type distEvent struct {
	at  time.Time
	seq int
	do  func()
}

// distNode is one node: at most one member, and its children.
type distNode struct {
	net      *distNet
	name     string
	d        *dist
	pid      term.Pid
	lastPid  uint64
	kids     map[term.Pid]string
	refs     map[uint64]watched
	lastRef  uint64
	wakeAt   time.Time
	stubborn map[string]bool
}

func newDistNet(t *testing.T, opts DistOptions, rng *rand.Rand) *distNet {
	n := &distNet{t: t, opts: opts.whole(), rng: rng, now: time.Unix(0, 0), nodes: map[string]*distNode{}, up: map[[2]string]int{}, cut: map[[2]string]bool{}}
	for _, m := range n.opts.Members {
		name := string(m)
		n.nodes[name] = &distNode{net: n, name: name, kids: map[term.Pid]string{}, refs: map[uint64]watched{}, stubborn: map[string]bool{}}
	}
	for a := range n.nodes {
		for b := range n.nodes {
			n.up[[2]string{a, b}] = 1
		}
	}
	n.session = 1
	return n
}

func (n *distNet) note(format string, args ...any) {
	if n.rng != nil { // scripts do not tell the time
		format = n.now.Sub(time.Unix(0, 0)).String() + " " + format
	}
	n.log = append(n.log, fmt.Sprintf(format, args...))
}

func (n *distNet) after(d time.Duration, do func()) {
	n.seq++
	n.events = append(n.events, distEvent{n.now.Add(d), n.seq, do})
}

func (n *distNet) delay(least, most time.Duration) time.Duration {
	if n.rng == nil {
		return least
	}
	return least + time.Duration(n.rng.Int64N(int64(most-least)+1))
}

// run lets time pass.
func (n *distNet) run(d time.Duration) {
	end := n.now.Add(d)
	for len(n.events) > 0 {
		i := 0
		for j, e := range n.events {
			if cmp.Or(e.at.Compare(n.events[i].at), cmp.Compare(e.seq, n.events[i].seq)) < 0 {
				i = j
			}
		}
		e := n.events[i]
		if e.at.After(end) {
			break
		}
		n.events = slices.Delete(n.events, i, i+1)
		n.now = e.at
		e.do()
		if n.check != nil {
			n.check()
		}
	}
	n.now = end
}

// startPart begins the member of a node.
func (x *distNode) begin() {
	if x.d != nil {
		return
	}
	x.lastPid++
	x.pid = term.Pid{Node: x.name, ID: x.lastPid}
	x.d = newDist(x.name, x.net.opts, x, x.net.now)
	x.d.begin(x.net.now)
	x.wake()
}

// wake sees to it that the member takes a step when it wants to.
func (x *distNode) wake() {
	d := x.d
	at := x.net.now.Add(d.next())
	x.wakeAt = at
	x.net.after(at.Sub(x.net.now), func() {
		if x.d == d && x.wakeAt.Equal(at) {
			x.step(nil)
		}
	})
}

func (x *distNode) step(msg term.Term) {
	if x.d == nil {
		return
	}
	if reason := x.d.step(x.net.now, msg); reason != nil {
		x.net.note("%s: ends with %s", x.name, term.String(reason))
		x.die(reason)
		return
	}
	x.wake()
}

// die ends the member, and with it its children and monitors.
func (x *distNode) die(reason term.Term) {
	pid := x.pid
	x.d, x.pid = nil, term.Pid{}
	clear(x.kids)
	clear(x.refs)
	for _, y := range x.net.nodes {
		for _, ref := range slices.Sorted(maps.Keys(y.refs)) {
			if y.refs[ref].pid == pid {
				y.fire(ref, reason)
			}
		}
	}
}

func (x *distNode) fire(ref uint64, reason term.Term) {
	delete(x.refs, ref)
	d := x.d
	x.net.after(time.Millisecond, func() { // in order with what was sent before
		if x.d == d {
			x.step(term.T(term.Atom("DOWN"), term.Int(ref), term.Atom("process"), term.Atom("x"), reason))
		}
	})
}

// deliver carries a message over a link, in order, unless the link is cut or another session of it has begun.
func (n *distNet) deliver(from, to string, msg term.Term, want term.Pid) {
	link := [2]string{from, to}
	session := n.up[link]
	if session == 0 || n.cut[link] {
		return
	}
	msg, rest, err := term.Decode(term.Append(nil, msg))
	if err != nil || len(rest) > 0 {
		n.t.Fatalf("a message cannot be carried: %v", err)
	}
	n.after(time.Millisecond, func() {
		x := n.nodes[to]
		if n.up[[2]string{to, from}] == session && !n.cut[link] && x.d != nil && (want == (term.Pid{}) || want == x.pid) {
			x.step(msg)
		}
	})
}

func (x *distNode) self() term.Pid                  { return x.pid }
func (x *distNode) send(to term.Pid, msg term.Term) { x.net.deliver(x.name, to.Node, msg, to) }
func (x *distNode) sendTo(node string, msg term.Term) {
	x.net.deliver(x.name, node, msg, term.Pid{})
}

func (x *distNode) monitor(pid term.Pid) uint64 {
	x.lastRef++
	x.refs[x.lastRef] = watched{pid: pid, node: pid.Node}
	if x.net.up[[2]string{x.name, pid.Node}] == 0 {
		x.fire(x.lastRef, NoConnection)
	} else if x.net.nodes[pid.Node].pid != pid {
		x.fire(x.lastRef, NoProc)
	}
	return x.lastRef
}

func (x *distNode) monitorName(node string) uint64 {
	x.lastRef++
	ref, y := x.lastRef, x.net.nodes[node]
	x.refs[ref] = watched{pid: y.pid, node: node}
	if y.d == nil && !x.net.cut[[2]string{x.name, node}] {
		x.fire(ref, NoProc)
	}
	return ref
}

func (x *distNode) demonitor(ref uint64) { delete(x.refs, ref) }

func (x *distNode) connected() (list []string) {
	for _, y := range slices.Sorted(maps.Keys(x.net.nodes)) {
		if y != x.name && x.net.up[[2]string{x.name, y}] != 0 {
			list = append(list, y)
		}
	}
	return list
}

func (x *distNode) startPart(node string) {
	if !x.net.cut[[2]string{x.name, node}] {
		x.net.after(time.Millisecond, x.net.nodes[node].begin)
	}
}

func (x *distNode) start(spec ChildSpec) (term.Pid, term.Term) {
	if spec.Function == "nosuch" {
		return term.Pid{}, Undef
	}
	x.lastPid++
	pid := term.Pid{Node: x.name, ID: x.lastPid}
	if x.net.rng != nil {
		x.net.note("%s: starts %s", x.name, term.String(spec.ID))
	}
	x.kids[pid] = term.String(spec.ID)
	return pid, nil
}

func (x *distNode) exit(pid term.Pid, reason term.Term) {
	if reason != Kill && x.stubborn[x.kids[pid]] {
		return
	}
	wait := time.Duration(0)
	if reason != Kill {
		wait = x.net.delay(0, 900*time.Millisecond)
	}
	x.net.after(wait, func() { x.kidEnds(pid, reason) })
}

func (x *distNode) kidEnds(pid term.Pid, reason term.Term) {
	if x.kids[pid] == "" {
		return
	}
	delete(x.kids, pid)
	x.step(term.T(term.Atom("EXIT"), pid, reason))
}

func (x *distNode) answer(_ term.Pid, ref, v term.Term) {
	x.net.note("%s answers %s", x.name, term.String(v))
}

func (x *distNode) say(text string) {
	x.net.note("%s: %s", x.name, text)
}

func (x *distNode) ask(req term.Term) {
	x.step(term.T(superviseAtom, term.T(term.Pid{Node: x.name, ID: 1}, term.Int(1)), req))
}

// downAt lets one end of a link notice that it is lost.
func (n *distNet) downAt(a, b string) {
	link := [2]string{a, b}
	if n.up[link] == 0 {
		return
	}
	n.up[link] = 0
	x := n.nodes[a]
	for _, ref := range slices.Sorted(maps.Keys(x.refs)) {
		if x.refs[ref].node == b {
			x.fire(ref, NoConnection)
		}
	}
	x.step(term.T(term.Atom("nodedown"), term.Atom(b)))
	n.upAt(a, b)
}

// upAt begins a new session when both ends have noticed the loss of the old one and the link is whole.
func (n *distNet) upAt(a, b string) {
	n.after(5*time.Millisecond, func() {
		ab, ba := [2]string{a, b}, [2]string{b, a}
		if n.cut[ab] || n.cut[ba] || n.up[ab] != 0 || n.up[ba] != 0 {
			return
		}
		n.session++
		n.up[ab], n.up[ba] = n.session, n.session
		for _, l := range [][2]string{ab, ba} {
			n.nodes[l[0]].step(term.T(term.Atom("nodeup"), term.Atom(l[1])))
		}
	})
}

// setCut cuts a link loudly, both ends know at once, or silently, they notice within seconds, each at its own time.
func (n *distNet) setCut(a, b string, silent bool) {
	for _, l := range [][2]string{{a, b}, {b, a}} {
		n.cut[l] = true
		d := time.Duration(0)
		if silent {
			d = n.delay(time.Second, 6*time.Second)
		}
		session := n.up[l]
		n.after(d, func() {
			if n.up[l] == session {
				n.downAt(l[0], l[1])
			}
		})
	}
}

func (n *distNet) heal(a, b string) {
	n.cut[[2]string{a, b}], n.cut[[2]string{b, a}] = false, false
	n.upAt(a, b)
}

// kill ends a node; the others notice at once. It is back, without a member, a while later.
func (n *distNet) kill(name string) {
	x := n.nodes[name]
	if n.rng != nil {
		n.note("%s is killed", name)
	}
	x.d, x.pid = nil, term.Pid{}
	clear(x.kids)
	clear(x.refs)
	for _, y := range slices.Sorted(maps.Keys(n.nodes)) {
		if y != name {
			n.up[[2]string{name, y}] = 0
			n.downAt(y, name)
		}
	}
}

func (n *distNet) where() map[string][]string {
	w := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(n.nodes)) {
		for _, id := range n.nodes[name].kids {
			w[id] = append(w[id], name)
		}
	}
	return w
}

func (n *distNet) show() string {
	var lines []string
	w := n.where()
	for _, id := range slices.Sorted(maps.Keys(w)) {
		slices.Sort(w[id])
		lines = append(lines, id+" on "+strings.Join(w[id], " and "))
	}
	if len(lines) == 0 {
		return "no children"
	}
	return strings.Join(lines, ", ")
}

// Scripts of members that meet, lose each other and meet again.
func TestDistSupervisorScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/supervisor_dist", func(t *testing.T, path string) {
		var n *distNet
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				opts := DistOptions{Name: "workers"}
				for _, a := range d.CmdArgs {
					if a.Key == "quorum" {
						opts.Quorum = true
					} else {
						opts.Members = append(opts.Members, kit.NodeName(a.Key))
					}
				}
				n = newDistNet(t, opts, nil)
			}
			for line := range strings.Lines(d.Input) {
				if words := strings.Fields(line); len(words) > 0 {
					n.command(words)
				}
			}
			out := strings.Join(append(n.log, ""), "\n")
			n.log = nil
			return out
		})
	})
}

func (n *distNet) command(w []string) {
	cutAll := func(do func(a, b string)) {
		for _, b := range strings.Split(w[2], ",") {
			for _, a := range strings.Split(w[1], ",") {
				do(a, b)
			}
		}
	}
	switch w[0] {
	case "begin":
		for _, a := range w[1:] {
			n.nodes[a].begin()
		}
		n.run(50 * time.Millisecond)
	case "start": // start NODE ID [restart=...]
		n.nodes[w[1]].ask(term.T(term.Atom("start_child"), (&superScript{}).spec(w[2:])))
		n.run(50 * time.Millisecond)
	case "terminate":
		n.nodes[w[1]].ask(term.T(term.Atom("terminate_child"), term.Atom(w[2])))
		n.run(50 * time.Millisecond)
	case "ask":
		n.nodes[w[1]].ask(literal(w[2]))
		n.run(50 * time.Millisecond)
	case "cut":
		cutAll(func(a, b string) { n.setCut(a, b, len(w) > 3) })
		n.run(50 * time.Millisecond)
	case "heal":
		cutAll(n.heal)
		n.run(100 * time.Millisecond)
	case "kill":
		n.kill(w[1])
		n.run(50 * time.Millisecond)
	case "restart":
		for _, y := range slices.Sorted(maps.Keys(n.nodes)) {
			if y != w[1] {
				n.upAt(w[1], y)
			}
		}
		n.run(100 * time.Millisecond)
	case "end": // a child ends by itself
		for _, x := range n.nodes {
			for pid, id := range maps.Clone(x.kids) {
				if id == w[1] {
					x.kidEnds(pid, literal(w[2]))
				}
			}
		}
		n.run(50 * time.Millisecond)
	case "stubborn":
		for _, x := range n.nodes {
			x.stubborn[w[1]] = true
		}
	case "sleep":
		d, err := time.ParseDuration(w[1])
		if err != nil {
			n.t.Fatal(err)
		}
		n.run(d)
	case "where":
		n.log = append(n.log, n.show())
	default:
		n.t.Fatalf("no command %q", w)
	}
}
