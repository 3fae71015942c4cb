package grade

import (
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// factChecks are the checks that the scripts of testdata/checks name, as a lab would declare them.
func factChecks(t *testing.T, d *datadriven.TestData) (Judge, bool) {
	t.Helper()
	switch d.Cmd {
	case "money":
		return money(d).Always, true
	case "atomic":
		return atomic(d).Whole, true
	case "register":
		return register(d).Ordered, true
	case "number":
		return sum().Ordered, true
	case "once":
		return bookings(d).Counted, true
	case "forward":
		return versions(d).Forward, true
	case "converged":
		return Converged{Table: "account", Nodes: nodes(d, "nodes"), Within: 50 * time.Millisecond, Writes: []string{"put"}}.Equal, true
	case "serializable":
		return Serializable{RealTime: d.HasArg("time")}.Explained, true
	}
	return nil, false
}

// register is for get KEY, put KEY VALUE and cas KEY OLD NEW.
func register(d *datadriven.TestData) Linearizable {
	l := Linearizable{What: "the register", Object: history.Register(term.Atom("none")), Acts: func(o history.Op) (history.Act, bool) {
		name, ok := map[string]string{"get": "read", "put": "write", "cas": "cas"}[o.Verb]
		if !ok || len(o.Args) == 0 {
			return history.Act{}, false
		}
		return history.Act{Part: word(o, 0), Name: name, Args: o.Args[1:]}, true
	}}
	if d.HasArg("work") {
		l.Work = 1
	}
	return l
}

// sum is for read, and increment BY, which is answered with the number after it.
func sum() Linearizable {
	return Linearizable{What: "the counter", Object: history.Number(0), Acts: func(o history.Op) (history.Act, bool) {
		switch o.Verb {
		case "read":
			return history.Act{Name: "read"}, true
		case "increment":
			return history.Act{Name: "add_get", Args: o.Args}, true
		}
		return history.Act{}, false
	}}
}

// bookings is for book NAME, and rows {booking, NUMBER, NAME or list of names}.
func bookings(d *datadriven.TestData) Once {
	c := Once{What: "booking", SameAnswer: d.HasArg("same"), Requests: func(h *history.History) []Request {
		all := RequestsOf(h, "book", func(o history.Op) string { return word(o, 0) })
		copies := Copies(h, "booking")
		for _, n := range []kit.NodeName{"a", "b"} {
			if c, ok := copies[n]; ok {
				all = FindIn(all, n, c, 3)
			}
		}
		return all
	}}
	if d.HasArg("retried") {
		c.Retried = 1
	}
	return c
}

// versions is for version KEY, which is answered with a number, and edit KEY, which is answered with the new number.
func versions(d *datadriven.TestData) Monotonic {
	return Monotonic{What: "page", OwnWrites: d.HasArg("own"), Together: d.HasArg("together"), Seen: func(h *history.History) (all []Seen) {
		for _, o := range h.Ops {
			if v, err := o.Outcome.Term(); err == nil && (o.Verb == "version" || o.Verb == "edit") {
				s := SeenIn(o, word(o, 0), v)
				s.Wrote = o.Verb == "edit"
				all = append(all, s)
			}
		}
		return all
	}}
}

func word(o history.Op, i int) string {
	if i >= len(o.Args) {
		return ""
	}
	return Word(o.Args[i])
}

func amount(o history.Op, i int) int64 {
	if i >= len(o.Args) {
		return 0
	}
	n, _ := o.Args[i].(term.Int)
	return int64(n)
}

// money is for a bank: transfer NAME AMOUNT, deposit NAME AMOUNT, total, balances, and a table account.
func money(d *datadriven.TestData) Conserved {
	c := Conserved{What: "the money in all accounts", Start: 200, InFlight: d.HasArg("inflight"),
		Looks: Looks(LooksIn("total", nil), LooksIn("balances", nil), LooksInTransactions("account", 3, term.Atom("ann"), term.Atom("ben")),
			LooksAtCopies("account", 3, nodes(d, "copies")...)),
		Flows: Flows(
			FlowsOf("transfer", func(o history.Op) Flow { return Flow{Name: "the transfer " + word(o, 0), Moves: amount(o, 1)} }),
			FlowsOf("deposit", func(o history.Op) Flow { return Flow{Name: "the deposit " + word(o, 0), By: amount(o, 1)} })),
	}
	if across := nodes(d, "across"); len(across) > 0 {
		c.Looks = LooksAcross("account", 3, across...)
	}
	if d.HasArg("names") {
		c.Names = []string{"ann", "ben"}
	}
	if d.HasArg("floor") {
		c.Floor = new(int64)
	}
	return c
}

// atomic is for transfers whose name is the key of a row of the table entry on a and b, and a verb decision.
func atomic(d *datadriven.TestData) Atomic {
	a := Atomic{What: "transfer", MayBlock: d.HasArg("mayblock"), Deeds: func(h *history.History) []Deed {
		deeds := DeedsOf(h, "transfer", func(o history.Op) string { return word(o, 0) }, nil)
		copies := Copies(h, "entry")
		for i := range deeds {
			for _, n := range []kit.NodeName{"a", "b"} {
				p := RowAt(copies, n, term.Atom(deeds[i].Name))
				askDecision(h, &p, n, deeds[i].Name)
				deeds[i].Places = append(deeds[i].Places, p)
			}
		}
		return deeds
	}}
	if d.HasArg("least") {
		a.Least = 1
	}
	return a
}

// askDecision adds what a node answered to decision NAME.
func askDecision(h *history.History, p *Place, n kit.NodeName, name string) {
	for _, o := range h.Ops {
		if o.Verb != "decision" || o.Node != n || word(o, 0) != name {
			continue
		}
		p.Op = o.ID
		switch v, _ := o.Outcome.Term(); v {
		case term.Atom("committed"):
			p.Said = Committed
		case term.Atom("aborted"):
			p.Said = Aborted
		case term.Atom("in_doubt"):
			p.Held = InDoubt
		}
	}
}
