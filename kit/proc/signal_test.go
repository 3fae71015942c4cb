package proc

import (
	"bytes"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

// FuzzDecode feeds frames of any kind: they are refused, or are exactly what they encode to. What is decoded is then taken by
// a core, which must stand it.
func FuzzDecode(f *testing.F) {
	a, b := term.Pid{Node: "a", ID: 1}, term.Pid{Node: "b", ID: 1}
	for op := Op(1); op < lastOp; op++ {
		s := Signal{Op: op, From: a, To: b, Name: "worker", Ref: 7}
		if op.needsTerm() {
			s.Term = term.T(a, term.L(term.Int(1)), term.True, term.Int(3))
		}
		f.Add(s.Encode())
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, frame []byte) {
		s, err := Decode("a", frame)
		if err != nil {
			if kit.KindOf(err) != kit.Corrupt {
				t.Errorf("kind %v", kit.KindOf(err))
			}
			return
		}
		if again := s.Encode(); !bytes.Equal(again, frame) {
			t.Errorf("%x is read as %+v and written as %x", frame, s, again)
		}
		c := NewCore("b", 1, func(string) bool { return true }, 10, 10)
		if _, err := c.Spawn("worker", nil, term.Pid{}, term.Pid{}); err != nil {
			t.Fatal(err)
		}
		c.PeerUp("a")
		c.Signal(s)
		c.PeerDown("a", term.Atom("connection_closed"))
		c.Effects()
	})
}

// What is no signal is refused.
func TestDecodeRefuses(t *testing.T) {
	good := Signal{Op: OpSend, From: term.Pid{Node: "a", ID: 1}, To: term.Pid{Node: "b", ID: 2}, Term: term.Int(1)}
	if _, err := Decode("a", good.Encode()); err != nil {
		t.Fatal(err)
	}
	if _, err := Decode("c", good.Encode()); kit.KindOf(err) != kit.Corrupt {
		t.Errorf("a signal in another node's name: %v", err)
	}
	frame := good.Encode()
	for i := range frame {
		if _, err := Decode("a", frame[:i]); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a signal", i, len(frame))
		}
	}
	if _, err := Decode("a", append(frame, 1)); err == nil {
		t.Error("a byte too many")
	}
}
