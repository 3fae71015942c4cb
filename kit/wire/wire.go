// Package wire carries frames between nodes. One Network has three forms: TCP on loopback (real nodes), in
// memory (tests under testing/synctest) and the simulator's links (wasip1). Every fault of a link lives here, so
// that a cut hits gossip and data alike.
package wire

import (
	"context"
	"errors"
	"io"
	"time"

	"netsplit/kit"
)

// Peer is where a node can be dialled. A Peer without a Node is an address only: the handshake tells who is there.
type Peer struct {
	Node kit.NodeName
	Addr string
}

// Network opens and accepts connections for one node. Cookies are checked in the handshake: a peer with
// another cookie is refused (kit.Refused) and never reaches Accept.
//
// Every form behaves alike, and the suite in conformance_test.go holds each to it: frames of a connection arrive
// whole and in order; a close arrives after the frames sent before it; a silent cut of one direction holds what is
// sent that way (frames, closes, handshakes) until the heal, and lets packets vanish; a loud cut of either
// direction closes the connection for both ends at once and refuses new ones; a node that dies without closing
// (a crash, a lost power supply) tells nobody. The simulated form leaves faults, delays and chance to its host,
// keeps the same limits, and starts no goroutine that would stay runnable while the node is idle.
type Network interface {
	// Dial opens a connection; it ends with ctx. Two connections between one pair may exist at once. Its errors
	// are kit.Refused for a wrong cookie or a wrong name and kit.Unavailable for all that time may mend; among those
	// ErrNobody says that the machine was reached and no node listens there.
	Dial(ctx context.Context, to Peer) (Conn, error)
	// Accept waits for the next incoming connection; an error means that ctx ended or the network is closed.
	Accept(ctx context.Context) (Conn, error)
	// Addr is where others reach this node.
	Addr() string
	// Rules is the fault lever for everything this node sends.
	Rules() *Rules
	// Close closes every connection and returns when nothing of the network runs any more.
	Close() error
}

// Conn is an ordered, reliable stream of frames to one peer, as TCP is: under a silent cut frames are held
// back, and delivered after a heal if nobody closed the connection meanwhile. All methods may be called from any
// goroutine; Recv by one at a time.
type Conn interface {
	// Peer is the name that the other end proved to know the cookie for.
	Peer() kit.NodeName
	// Send queues a frame and never blocks. It fails with kit.Overloaded when MaxQueue bytes wait, with
	// kit.Invalid when the frame is longer than MaxFrame, and with kit.Unavailable when the connection is
	// closed. The frame must not be changed afterwards.
	Send(frame []byte) error
	// SendPacket is Send without the promises: the frame may be lost, doubled or overtaken as the rule says, it
	// vanishes under a cut, and nobody is told. It arrives through Recv like any other frame.
	SendPacket(frame []byte) error
	// Recv waits for the next frame; io.EOF after a close by either side.
	Recv() ([]byte, error)
	// Close ends the connection; frames sent before are still delivered, as far as the peer takes them.
	Close() error
}

// ErrNobody is the cause of a Dial's error when the place was reached and no node listens there.
var ErrNobody = errors.New("nobody listens there")

// LaterConn is a Conn that can hold a frame back for a moment, so that it goes with the next one in one system call and
// the peer wakes up once for both.
type LaterConn interface {
	Conn
	// SendLater is Send for a frame that nobody waits for. It keeps its place in the order, and leaves within LaterTime.
	SendLater(frame []byte) error
}

// GatheringConn is a Conn whose answers can go together.
type GatheringConn interface {
	Conn
	// Gather says that from now on one goroutine calls Recv, and again as soon as it has dealt with a frame, which never waits for
	// the peer. While frames are at hand what is sent by anybody waits for the last of them to be dealt with, and leaves in
	// one system call; a frame that is sent after a millisecond of that takes all along.
	Gather()
}

// QueuedConn is a Conn that tells how many bytes wait to be sent. The simulated form leaves its queue to the host.
type QueuedConn interface {
	Conn
	Queued() int
}

// LaterTime is how long SendLater may hold a frame back: about a round trip between two processes of one machine.
const LaterTime = 50 * time.Microsecond

// Limits of every network. A frame from outside that breaks them closes its connection.
const (
	MaxFrame = 16 << 20 // bytes in one frame
	MaxQueue = 64 << 20 // bytes waiting to be sent on one connection
)

// Rule is what happens to traffic from this node to one peer (one direction of one link). The zero Rule is a
// healthy link. A cut in both directions is a rule at both ends.
type Rule struct {
	Cut       Cut
	Delay     time.Duration // added to every frame, order kept
	Jitter    time.Duration // up to this much more, evenly
	Loss      float64       // 0..1: packets vanish; on a stream each loss is one retransmission delay
	Duplicate float64       // 0..1, packets only
	Reorder   float64       // 0..1, packets only: the packet is held back for some milliseconds more
}

// Cut says whether and how a direction is cut.
type Cut string

// The cuts. Silent: frames vanish (streams hold them), nobody is told. Loud: open connections are closed and new
// ones refused, so that both sides know at once.
const (
	Whole  Cut = ""
	Silent Cut = "silent"
	Loud   Cut = "loud"
)

// maxRuleTime bounds Delay and Jitter; longer than that is a cut.
const maxRuleTime = time.Hour

// Check reports what is wrong with a rule that comes from outside, as kit.Invalid.
func (r Rule) Check() error {
	bad := func(what, hint string) error {
		return &kit.Error{Op: "set rule", Kind: kit.Invalid, What: what, Hint: hint}
	}
	switch r.Cut {
	case Whole, Silent, Loud:
	default:
		return bad("cut "+string(r.Cut), `a cut is "silent" or "loud"`)
	}
	if r.Delay < 0 || r.Delay > maxRuleTime || r.Jitter < 0 || r.Jitter > maxRuleTime {
		return bad("delay", "delay and jitter lie between 0 and 1h")
	}
	for _, p := range []float64{r.Loss, r.Duplicate, r.Reorder} {
		if !(p >= 0 && p <= 1) {
			return bad("chance", "loss, duplicate and reorder lie between 0 and 1")
		}
	}
	return nil
}

// closedErr is what Send answers on a connection that has ended.
func closedErr(peer kit.NodeName) error {
	return &kit.Error{Op: "send to", Kind: kit.Unavailable, What: string(peer), Err: io.ErrClosedPipe}
}

// checkSend applies the limits of every network to one frame, with queued bytes waiting before it.
func checkSend(peer kit.NodeName, frame []byte, queued int) error {
	if len(frame) > MaxFrame {
		return &kit.Error{Op: "send to", Kind: kit.Invalid, What: string(peer), Hint: "split what is sent: one frame holds at most 16 MiB"}
	}
	if queued+len(frame) > MaxQueue {
		return &kit.Error{Op: "send to", Kind: kit.Overloaded, What: string(peer), Hint: "the peer takes frames more slowly than they are sent; wait and try again"}
	}
	return nil
}
