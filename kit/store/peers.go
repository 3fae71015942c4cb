package store

import "netsplit/kit"

// Peers is what a store needs of the cluster. The node (or a test) fills it and calls PeerUp, PeerDown and
// Receive on the store: for one peer these calls are serial and in order (up, frames, down).
type Peers interface {
	// Self is the node's own name.
	Self() kit.NodeName
	// Up lists the nodes whose direct link is up now, sorted, without Self.
	Up() []kit.NodeName
	// Send queues a frame for the peer's store and never blocks. Frames to one peer arrive in order. When the
	// link is down the frame is lost silently; PeerDown tells.
	Send(to kit.NodeName, frame []byte)
}

// LaterSender is what Peers may be able to do besides: send a frame that nobody waits for together with the next one, a
// moment later at most. The order of frames to a peer stays. Decisions go that way, since who has committed
// usually begins its next transaction.
type LaterSender interface {
	SendLater(to kit.NodeName, frame []byte)
}
