package proc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit/term"
)

// net is a cluster of cores that the scripts drive: no goroutine, no clock; signals wait on their links until they are
// delivered.
type net struct {
	t     *testing.T
	cores map[string]*Core
	links map[[2]string]bool
	wires map[[2]string][]Signal
	names map[string]term.Pid // what the script calls processes
	refs  map[string]uint64
	log   []string
}

func (n *net) core(node string) *Core {
	c := n.cores[node]
	if c == nil {
		c = NewCore(node, 1, func(fn string) bool { return fn == "worker" }, 0, 4)
		n.cores[node] = c
	}
	return c
}

// name gives a process as the script calls it.
func (n *net) name(t term.Term) string {
	switch t := t.(type) {
	case term.Pid:
		for name, pid := range n.names {
			if pid == t {
				return name
			}
		}
	case term.Tuple:
		var parts []string
		for _, e := range t {
			parts = append(parts, n.name(e))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	return term.String(t)
}

func (n *net) note(format string, args ...any) { n.log = append(n.log, fmt.Sprintf(format, args...)) }

// effects carries out what the cores want done, until nothing more happens on this node.
func (n *net) effects(node string) {
	for {
		list := slices.Clone(n.core(node).Effects())
		if len(list) == 0 {
			return
		}
		for _, e := range list {
			n.effect(node, e)
		}
	}
}

func (n *net) effect(node string, e Effect) {
	pid := term.Pid{Node: node, ID: e.ID}
	switch e.Kind {
	case Ended:
		n.note("%s ends: %s", n.name(pid), n.name(e.Reason))
	case Transmit:
		frame := e.Signal.Encode()
		s, err := Decode(node, frame)
		if err != nil {
			n.t.Fatalf("what %s sends cannot be read: %v", node, err)
		}
		wire := [2]string{node, e.Node}
		n.wires[wire] = append(n.wires[wire], s)
	case Connect:
		n.note("%s connects to %s", node, e.Node)
	case Answered:
		if e.Reason == nil {
			n.note("%s gets no answer", node)
		} else {
			n.note("%s is answered %s", node, n.name(e.Reason))
		}
	case Print:
		n.note("%s prints %q of %s", node, e.Line.Text, n.name(e.Line.From))
	case Resolve:
		n.note("%s resolves %s: %s or %s (%s)", node, term.String(e.Clash.name), n.name(e.Clash.pids[0]), n.name(e.Clash.pids[1]), e.Clash.resolver)
	case Conflict:
		n.note("%s sees %s and %s hold %s", node, n.name(e.Clash.pids[0]), n.name(e.Clash.pids[1]), term.String(e.Clash.name))
	case Suspect:
		n.note("%s hears that %s lost %s", node, e.Node, e.Name)
	case Drop:
		n.note("%s disconnects from %s", node, e.Node)
	case Report:
		n.note("%s reports: %s", node, e.Line.Text)
	}
}

// deliver brings everything on the wires to its node, in the order of the wires' names, until all are empty.
func (n *net) deliver() {
	for moved := true; moved; {
		moved = false
		for wire := range maps2(n.wires) {
			queue := n.wires[wire]
			delete(n.wires, wire)
			for _, s := range queue {
				moved = true
				n.core(wire[1]).Signal(s)
				n.effects(wire[1])
			}
		}
	}
}

// maps2 walks over wires in a fixed order.
func maps2(m map[[2]string][]Signal) func(func([2]string) bool) {
	keys := make([][2]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return strings.Compare(a[0]+" "+a[1], b[0]+" "+b[1]) })
	return slices.Values(keys)
}

func (n *net) link(a, b string, up, hidden bool) {
	for _, l := range [][2]string{{a, b}, {b, a}} {
		n.links[l] = up
		delete(n.wires, l)
	}
	for _, l := range [][2]string{{a, b}, {b, a}} {
		switch {
		case up && hidden:
			n.core(l[0]).PeerUpHidden(l[1])
		case up:
			n.core(l[0]).PeerUp(l[1])
		default:
			n.core(l[0]).PeerDown(l[1], term.Atom("connection_closed"))
		}
		n.effects(l[0])
	}
}

func (n *net) term(text string) term.Term {
	if pid, ok := n.names[text]; ok {
		return pid
	}
	if i, err := strconv.Atoi(text); err == nil {
		return term.Int(i)
	}
	return term.Atom(text)
}

// mail takes the messages of a process.
func (n *net) mail(name string) string {
	pid := n.names[name]
	p := n.core(pid.Node).find(pid)
	if p == nil {
		return "dead"
	}
	var all []string
	for p.box.len() > 0 {
		m := p.box.take(0)
		if t, ok := m.(term.Tuple); ok && len(t) == 5 && t[0] == term.Atom("DOWN") {
			m = term.T(t[0], t[3], t[4]) // numbers of references say nothing to a reader
		}
		all = append(all, n.name(m))
	}
	if all == nil {
		return "nothing"
	}
	return strings.Join(all, " ")
}

// line does one line of a script.
func (n *net) line(w []string) {
	arg := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	pid := n.names[arg(1)]
	node := pid.Node
	c := n.core(node)
	switch w[0] {
	case "spawn": // spawn NAME NODE
		q, err := n.core(arg(2)).Spawn("worker", nil, term.Pid{}, term.Pid{Node: arg(2)})
		node = arg(2)
		if n.names[arg(1)] = q; err != nil {
			n.note("%v", err)
		}
	case "up", "down": // up A B [hidden]
		n.link(arg(1), arg(2), w[0] == "up", arg(3) == "hidden")
		return
	case "deliver":
		n.deliver()
		return
	case "failed": // failed NODE TO: a connection attempt was in vain
		node = arg(1)
		n.core(node).ConnectFailed(arg(2))
	case "overlaps":
		node = arg(1)
		n.core(node).Overlaps(arg(2), arg(3))
	case "prevent":
		for _, name := range w[1:] {
			n.core(name).PreventOverlap(true)
		}
		return
	case "mail":
		n.note("%s: %s", arg(1), n.mail(arg(1)))
		return
	default:
		n.act(c, pid, w, arg)
	}
	n.effects(node)
}

// act does what a process asks for.
func (n *net) act(c *Core, pid term.Pid, w []string, arg func(int) string) {
	var err error
	switch w[0] {
	case "send":
		c.Send(pid, n.names[arg(2)], n.term(arg(3)))
	case "sendto": // sendto P NAME NODE MSG
		c.SendName(pid, arg(2), arg(3), n.term(arg(4)))
	case "link":
		err = c.Link(pid.ID, n.names[arg(2)])
	case "unlink":
		c.Unlink(pid.ID, n.names[arg(2)])
	case "trap":
		c.Trap(pid.ID, true)
	case "monitor":
		n.refs[arg(1)+arg(2)] = c.Monitor(pid.ID, n.names[arg(2)])
	case "monitorname":
		c.MonitorName(pid.ID, arg(2), arg(3))
	case "demonitor":
		c.Demonitor(pid.ID, n.refs[arg(1)+arg(2)])
	case "exit":
		c.Exit(pid.ID, n.term(arg(2)))
	case "signal": // signal FROM TO REASON
		c.SendExit(pid, n.names[arg(2)], n.term(arg(3)))
	case "register":
		err = c.Register(arg(2), pid)
	case "monitornodes":
		c.MonitorNodes(pid.ID, arg(2) != "off", arg(3) == "reason")
	case "monitornode":
		c.MonitorNode(pid.ID, arg(2), arg(3) != "off")
	case "claim":
		n.note("%v", c.Claim(pid.ID, n.term(arg(2)), DefaultResolver, arg(3) == "replace"))
	case "withdraw": // withdraw P NAME OF: P's node has OF give the name up
		c.Ask(n.names[arg(3)].Node, Signal{Op: OpWithdraw, From: c.host(), Ref: c.Ref(), Term: term.T(n.term(arg(2)), n.names[arg(3)])})
	case "whereis": // whereis NODE-OF-P NAME
		if q, ok := c.WhereisGlobal(n.term(arg(2))); ok {
			n.note("%s", n.name(q))
		} else {
			n.note("nobody")
		}
	case "lock": // lock P ID NODE
		c.Owns(pid.ID)
		c.Ask(arg(3), Signal{Op: OpLock, From: pid, Ref: c.Ref(), Term: term.T(n.term(arg(2)), pid, term.Undefined)})
	case "unlock":
		c.Ask(arg(3), Signal{Op: OpUnlock, From: pid, Ref: c.Ref(), Term: term.T(n.term(arg(2)), pid, term.Undefined)})
	case "spawnat": // spawnat P NEW NODE [link] [monitor]
		req := request{leader: c.procs.find(pid.ID).leader, link: slices.Contains(w, "link")}
		if slices.Contains(w, "monitor") {
			req.monitor = c.Ref()
		}
		n.names[arg(2)] = term.Pid{Node: arg(3), ID: n.core(arg(3)).last + 1}
		c.Ask(arg(3), Signal{Op: OpSpawn, From: pid, Ref: c.Ref(), Name: "worker", Term: req.term()})
	case "print":
		c.route(c.procs.find(pid.ID).leader.Node, Signal{Op: OpOutput, From: pid, To: c.procs.find(pid.ID).leader, Term: term.Bin(arg(2))})
	default:
		n.t.Fatalf("no command %q", w[0])
	}
	if err != nil {
		n.note("%v", err)
	}
}

// TestScripts runs the scripts: what processes do, and what becomes of it. Each file says its situation.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "supervisor") { // they have interpreters of their own
			return
		}
		n := &net{t: t, cores: map[string]*Core{}, links: map[[2]string]bool{}, wires: map[[2]string][]Signal{}, names: map[string]term.Pid{}, refs: map[string]uint64{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			n.log = nil
			if d.Cmd == "new" {
				*n = net{t: t, cores: map[string]*Core{}, links: map[[2]string]bool{}, wires: map[[2]string][]Signal{}, names: map[string]term.Pid{}, refs: map[string]uint64{}}
			}
			for l := range strings.Lines(d.Input) {
				if w := strings.Fields(l); len(w) > 0 {
					n.line(w)
				}
			}
			if len(n.log) == 0 {
				return "ok"
			}
			return strings.Join(n.log, "\n")
		})
	})
}
