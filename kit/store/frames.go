package store

import (
	"netsplit/kit"
	"netsplit/kit/term"
)

// maxFrame is the largest frame that a store sends. A link carries 16 MiB, its own header included, and refuses more;
// what nobody sent nobody would answer, so what is too large is refused here, before anything has happened.
const maxFrame = 16<<20 - 1024

// tooLarge is the refusal of a request or an answer that does not fit a frame.
func tooLarge() error {
	return &Error{Class: Aborted, Reason: reason("system_limit", term.Atom("frame")), kind: kit.Overloaded,
		hint: "that is more than 16 MiB at once; do it in parts, or on a node with a copy of the table"}
}

// fits reports whether a frame can be sent.
func (w *writer) fits() bool { return len(w.b) <= maxFrame }

// weight is about how many bytes a term takes in a frame; it stops counting above maxFrame.
func weight(t term.Term) int {
	switch t := t.(type) {
	case term.Bin:
		return len(t) + 8
	case term.Atom:
		return len(t) + 4
	case term.Tuple:
		return weights(t)
	case term.List:
		return weights(t)
	case term.Map:
		n := 8
		for _, p := range t {
			if n += weight(p.Key) + weight(p.Value); n > maxFrame {
				break
			}
		}
		return n
	case term.Big:
		return t.BitLen()/8 + 16
	}
	return 12
}

func weights(list []term.Term) int {
	n := 8
	for _, e := range list {
		if n += weight(e); n > maxFrame {
			break
		}
	}
	return n
}
