package proc

import (
	"testing"

	"netsplit/kit/term"
)

// A name is taken over on a node that the holder's node does not see. A third that sees both keeps both, and is right
// whichever of them keeps the name in the end.
func TestReplacedBehindACut(t *testing.T) {
	name := term.Atom("boss")
	old, next := term.Pid{Node: "a", ID: 1}, term.Pid{Node: "b", ID: 1}
	c := NewCore("c", 1, func(string) bool { return true }, 0, 0)
	c.PeerUp("a")
	c.PeerUp("b")
	claims := func(p term.Pid, replaces bool) {
		c.Signal(Signal{Op: OpClaim, From: term.Pid{Node: p.Node}, Term: claim{term: name, pid: p, resolver: DefaultResolver}.wire(replaces)})
	}
	gives := func(p term.Pid) {
		c.Signal(Signal{Op: OpUnclaim, From: term.Pid{Node: p.Node}, Term: term.T(name, p)})
	}
	is := func(want term.Pid) {
		t.Helper()
		if got, _ := c.WhereisGlobal(name); got != want {
			t.Errorf("c knows %v, want %v", got, want)
		}
	}
	claims(old, false)
	is(old)
	c.Effects()
	claims(next, true)
	is(next)
	late := false
	for _, e := range c.Effects() {
		late = late || e.Kind == Conflict
		if e.Kind == Resolve {
			t.Error("c settles at once what the holder is about to settle")
		}
	}
	if !late {
		t.Error("nobody looks after a clash that lasts")
	}
	gives(next) // a and b have seen each other, and b has lost
	is(old)
	claims(next, true)
	gives(old)
	is(next)
	claims(next, true)
	is(next)
	c.PeerDown("b", term.Atom("connection_closed"))
	is(term.Pid{})
}
