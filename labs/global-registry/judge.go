package globalregistry

import (
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

var nodes = []kit.NodeName{"a", "b", "c"}

// holding is a process that got the name.
type holding struct {
	pid      term.Pid
	resolver string
	op       history.Op
}

// holdings lists who got the name in the script, in order.
func (m *market) holdings(h *history.History) []holding {
	var list []holding
	for _, o := range h.During(history.Work).Ops {
		if o.Client == client || len(o.Args) < 2 || o.Verb != "global_register" && o.Verb != "global_re_register" || !term.Equal(o.Args[0], m.name) {
			continue
		}
		pid, ok := o.Args[1].(term.Pid)
		if !ok || string(o.Outcome.Value) != `"yes"` {
			continue
		}
		hold := holding{pid, "random_exit", o}
		if len(o.Args) > 2 && o.Args[2] != term.Undefined {
			hold.resolver = grade.Word(o.Args[2])
		}
		list = append(list, hold)
	}
	return list
}

// whereis finds the first answer of a node, asked by the script between from and to, that name is pid; the zero Pid stands
// for nobody. It gives 0 when there is none.
func (m *market) whereis(h *history.History, n kit.NodeName, from, to time.Duration, pid term.Pid) int {
	for _, o := range h.During(history.Work).Ops {
		if o.Verb != "global_whereis" || o.Node != n || o.Begin < from || o.End == history.Open || o.End > to || !term.Equal(o.Args[0], m.name) {
			continue
		}
		if got, _ := grade.Pid(o); o.Outcome.Status == door.OK && got == pid {
			return o.ID
		}
	}
	return 0
}

// known demands that the script has asked every node and was told pid.
func (m *market) known(h *history.History, on []kit.NodeName, from, to time.Duration, pid term.Pid) grade.Finding {
	f := grade.Passed()
	who := "nobody"
	if pid.Node != "" {
		who = term.String(pid)
	}
	for _, n := range on {
		id := m.whereis(h, n, from, to, pid)
		if id == 0 {
			return grade.Failed(fmt.Sprintf("it was not seen on %s that %s has the name", n, who),
				fmt.Sprintf("%s.global_whereis(%q) gives %s", n, m.name, who), "no such answer at that time", f.Evidence...)
		}
		f.Evidence = append(f.Evidence, id)
	}
	return f
}

// first is the first holder of the name that runs on b.
func (m *market) first(h *history.History) (holding, bool) {
	for _, hold := range m.holdings(h) {
		if hold.pid.Node == "b" {
			return hold, true
		}
	}
	return holding{}, false
}

// registered wants a process of b to have got the name, and a and c to know it.
func (m *market) registered(h *history.History) grade.Finding {
	first, ok := m.first(h)
	if !ok {
		actual := "nobody got it"
		if all := m.holdings(h); len(all) > 0 {
			actual = "it went to a process on " + all[0].pid.Node
		}
		return grade.Failed(fmt.Sprintf("no process of b got the global name %s", m.name), "global_register answered yes for a process on b", actual)
	}
	f := m.known(h, []kit.NodeName{"a", "c"}, first.op.End, m.until(h, first.op), first.pid)
	f.Evidence = append([]int{first.op.ID}, f.Evidence...)
	return f
}

// until is when the name was next given away after an operation, else the end of the run.
func (m *market) until(h *history.History, after history.Op) time.Duration {
	for _, hold := range m.holdings(h) {
		if hold.op.Begin > after.Begin {
			return hold.op.Begin
		}
	}
	return h.End
}

// booking is one amount that was sent to a till.
type booking struct {
	to     term.Pid
	amount int64
	named  bool // sent by its name
	op     history.Op
}

// bookings lists what was sent to tills during the work, by the shop or by the script.
func (m *market) bookings(h *history.History) []booking {
	var list []booking
	for _, o := range h.During(history.Work).Ops {
		to, msg, named := m.sent(o)
		if msg == nil {
			continue
		}
		amount, ok := term.Int(1), grade.Word(msg) == "increment"
		if t, is := msg.(term.Tuple); is && len(t) == 2 && grade.Word(t[0]) == "add" {
			amount, ok = t[1].(term.Int)
		}
		if ok {
			list = append(list, booking{to, int64(amount), named, o})
		}
	}
	return list
}

// sent gives the process that a request sent a message to, and whether by the name.
func (m *market) sent(o history.Op) (to term.Pid, msg term.Term, named bool) {
	switch op, args := grade.Act(o); {
	case op == "global_send" && len(args) == 2 && term.Equal(args[0], m.name):
		if pid, ok := grade.Pid(o); ok {
			return pid, args[1], true
		}
	case op == "send" && len(args) == 2:
		if pid, ok := args[0].(term.Pid); ok {
			return pid, args[1], false
		}
	}
	return to, nil, false
}

// total adds up what was sent to a till before a moment.
func total(list []booking, to term.Pid, before time.Duration) (sum int64) {
	for _, b := range list {
		if b.to == to && b.op.Begin < before {
			sum += b.amount
		}
	}
	return sum
}

// reached wants the float sent through the name from c, the sales booked, and the total of the till to have come to c.
func (m *market) reached(h *history.History) grade.Finding {
	first, ok := m.first(h)
	if !ok {
		return grade.Failed("nobody had the name", "a till on b", "none")
	}
	all := m.bookings(h)
	i := slices.IndexFunc(all, func(b booking) bool {
		return b.op.Node == "c" && b.op.Client != client && b.amount == m.float && b.to == first.pid
	})
	switch {
	case i < 0:
		return grade.Failed("the float was never sent to the till from c", fmt.Sprintf("c.global_send(%q, (\"add\", %d))", m.name, m.float), "no such message")
	case !all[i].named:
		return grade.Failed("the float was sent to the pid; who knows only the name cannot do that", fmt.Sprintf("c.global_send(%q, ...)", m.name),
			"c.send of the till's pid", all[i].op.ID)
	case !slices.ContainsFunc(all, func(b booking) bool { return b.op.Client == client && b.to == first.pid }):
		return grade.Failed("nothing was sold while the first till had the name", "sales() called", "no sale booked in it", all[i].op.ID)
	}
	var asked []int
	for _, o := range h.During(history.Work).Ops {
		to, msg, named := m.sent(o)
		if t, is := msg.(term.Tuple); !is || len(t) != 2 || grade.Word(t[0]) != "get" || to != first.pid || !named || o.Node != "c" || o.Client == client {
			continue
		}
		asked = append(asked, o.ID)
		want := total(all, first.pid, o.Begin)
		if got := counted(h, "c", o.Begin, want); got > 0 && o.Begin > all[i].op.Begin && m.sold(all, first.pid, o.Begin) {
			f := grade.Passed()
			f.Evidence = []int{all[i].op.ID, o.ID, got}
			return f
		}
	}
	if len(asked) == 0 {
		return grade.Failed("nobody on c asked the till for its total through the name", `("get", c.self()) sent with c.global_send`, "no such message", all[i].op.ID)
	}
	return grade.Failed("the till's total with the float and the sales in it did not come to c", fmt.Sprintf("(count, %d) in the mailbox of c.self()",
		total(all, first.pid, h.End)), "no such message", append([]int{all[i].op.ID}, asked...)...)
}

// sold reports whether the shop had booked something in a till before a moment.
func (m *market) sold(list []booking, to term.Pid, before time.Duration) bool {
	return slices.ContainsFunc(list, func(b booking) bool { return b.op.Client == client && b.to == to && b.op.Begin < before })
}

// counted finds the request whose answer brought the message {count, n} to the script's own process on a node.
func counted(h *history.History, node kit.NodeName, from time.Duration, n int64) int {
	for _, msg := range h.During(history.Work).Messages() {
		t, ok := msg.Value.(term.Tuple)
		if ok && len(t) == 2 && grade.Word(t[0]) == "count" && term.Equal(t[1], term.Int(n)) && msg.Node == node && msg.Client != client && msg.At >= from {
			return msg.OpID
		}
	}
	return 0
}

// ended finds the request of the script by which a process ended: an exit signal, or the message stop or crash.
func (m *market) ended(h *history.History, pid term.Pid, from, to time.Duration) (history.Op, bool) {
	for _, o := range h.During(history.Work).Ops {
		if o.Begin < from || o.Begin > to {
			continue
		}
		op, args := grade.Act(o)
		exit := op == "exit_signal" && len(args) == 2 && term.Equal(args[0], pid) && grade.Word(args[1]) != "normal"
		target, msg, _ := m.sent(o)
		if t, is := msg.(term.Tuple); is && len(t) == 2 {
			msg = t[0]
		}
		if exit || target == pid && slices.Contains([]string{"stop", "crash"}, grade.Word(msg)) {
			return o, true
		}
	}
	return history.Op{}, false
}

// unregistered finds a request that took the name away by hand.
func (m *market) unregistered(h *history.History, from, to time.Duration) int {
	for _, o := range h.During(history.Work).Ops {
		if o.Verb == "global_unregister" && len(o.Args) > 0 && term.Equal(o.Args[0], m.name) && o.Begin >= from && o.Begin <= to {
			return o.ID
		}
	}
	return 0
}

// released wants the name to have gone twice: with its process, and with the node of its process.
func (m *market) released(h *history.History) grade.Finding {
	return grade.All(
		func(h *history.History) grade.Finding { return m.gone(h, "process") },
		func(h *history.History) grade.Finding { return m.gone(h, "node") })(h)
}

// gone wants a name that went with its process, or with the node of its process, and was not taken away by hand.
func (m *market) gone(h *history.History, what string) grade.Finding {
	f := grade.Failed("no holder of the name was ended while its node lived", "b.exit of the till's pid, and nobody has the name after that", "nothing of the kind")
	if what == "node" {
		f = grade.Failed("no node was killed while one of its processes had the name", "kill of the node on which the till runs", "nothing of the kind")
	}
	tried := false // what went wrong the first time is what the student is told
	for _, hold := range m.holdings(h) {
		until := m.until(h, hold.op)
		at, evidence, others := m.end(h, hold, until, what)
		if at == 0 {
			continue
		}
		g := m.known(h, others, at, until, term.Pid{})
		if id := m.unregistered(h, hold.op.End, until); id > 0 {
			g = grade.Failed("the name was taken away by hand; it is to go with its holder", "no global_unregister", "global_unregister", hold.op.ID, id)
		}
		if g.Verdict == grade.Pass {
			g.Evidence = append(evidence, g.Evidence...)
			return g
		}
		if !tried {
			f, tried = g, true
		}
	}
	return f
}

// end tells when a holder ended, by itself or with its node, and which nodes are to forget its name; 0 when it did not
// end in that way.
func (m *market) end(h *history.History, hold holding, until time.Duration, what string) (at time.Duration, evidence []int, forget []kit.NodeName) {
	op, alone := m.ended(h, hold.pid, hold.op.End, until)
	if what == "process" {
		if !alone {
			return 0, nil, nil
		}
		return op.Begin, []int{hold.op.ID, op.ID}, nodes
	}
	for _, x := range h.During(history.Work).Faults {
		if !alone && x.What == "kill" && x.Err == "" && string(x.Node) == hold.pid.Node && x.At > hold.op.End && x.At < until {
			return x.At, []int{hold.op.ID}, slices.DeleteFunc(slices.Clone(nodes), func(n kit.NodeName) bool { return n == x.Node })
		}
	}
	return 0, nil, nil
}
