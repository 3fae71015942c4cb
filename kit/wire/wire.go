// Package wire carries frames between nodes. One Network has three forms: TCP on loopback (real nodes), in
// memory (tests under testing/synctest) and the simulator's links (wasip1). Every fault of a link lives here, so
// that a cut hits gossip and data alike.
package wire

import (
	"context"
	"time"

	"netsplit/kit"
)

// Peer is where a node can be dialled.
type Peer struct {
	Node kit.NodeName
	Addr string
}

// Network opens and accepts connections for one node. Cookies are checked in the handshake: a peer with
// another cookie is refused (kit.Refused) and never reaches Accept.
type Network interface {
	// Dial opens a connection; it ends with ctx. Two connections between one pair may exist at once.
	Dial(ctx context.Context, to Peer) (Conn, error)
	// Accept waits for the next incoming connection; an error means that the network is closed.
	Accept(ctx context.Context) (Conn, error)
	// Addr is where others reach this node.
	Addr() string
	// Rules is the fault lever for everything this node sends and receives.
	Rules() *Rules
	Close() error
}

// Conn is an ordered, reliable stream of frames to one peer, as TCP is: under a silent cut frames are held
// back, and delivered after a heal if nobody closed the connection meanwhile.
type Conn interface {
	Peer() kit.NodeName
	// Send queues a frame and never blocks. It fails with kit.Overloaded when MaxQueue bytes wait, and with
	// kit.Unavailable when the connection is closed. The frame must not be changed afterwards.
	Send(frame []byte) error
	// Recv waits for the next frame; io.EOF after a close by either side.
	Recv() ([]byte, error)
	Close() error
}

// Limits of every network. A frame from outside that breaks them closes its connection.
const (
	MaxFrame = 16 << 20
	MaxQueue = 64 << 20
)

// Rule is what happens to traffic from this node to one peer (one direction of one link). The zero Rule is a
// healthy link. A cut in both directions is a rule at both ends.
type Rule struct {
	Cut       Cut
	Delay     time.Duration // added to every frame, order kept
	Jitter    time.Duration // up to this much more, evenly
	Loss      float64       // 0..1: gossip packets vanish; on a stream each loss is one retransmission delay
	Duplicate float64       // 0..1, packets only
	Reorder   float64       // 0..1, packets only
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
