package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"time"

	"netsplit/kit"
)

// Happening says what an Event is about.
type Happening string

// The happenings of a run. Node did it or had it done to it; Peer, ID and the rest as said.
const (
	Boot      Happening = "boot"      // Node began to start; ID: which boot
	Up        Happening = "up"        // Node's door is open
	Stop      Happening = "stop"      // Node stopped; Note: the Reason
	Ran       Happening = "ran"       // Node computed; Size: its steps. Only in the hash, not in Events
	Dial      Happening = "dial"      // Node dials Peer; ID: the connection, as in the next three
	Opened    Happening = "opened"    // Node's dial to Peer succeeded
	Refused   Happening = "refused"   // Node's dial to Peer did not; Note: why
	Closed    Happening = "closed"    // Node learnt that Peer's side of the connection is closed
	Send      Happening = "send"      // Node sends Peer a frame; ID: the frame, as in the next four; Size: its bytes
	Receive   Happening = "receive"   // Node gets a frame from Peer
	Hold      Happening = "hold"      // a cut holds Node's frame to Peer
	Drop      Happening = "drop"      // Node's frame to Peer is lost
	Double    Happening = "double"    // Node's packet to Peer will come twice
	Ask       Happening = "ask"       // a client's request leaves for Node; ID: the request; Note: client and verb
	Serve     Happening = "serve"     // the request reaches Node
	Answer    Happening = "answer"    // Node answers the request
	Outcome   Happening = "outcome"   // the client has the answer; Note: its status
	Rule      Happening = "rule"      // the rule from Node to Peer changed; Note: the rule
	Pause     Happening = "pause"     // Node is stopped in its tracks
	Resume    Happening = "resume"    // Node goes on
	Write     Happening = "write"     // Node changes its disc; Note: how; Size: bytes
	Sync      Happening = "sync"      // Node asks for what it wrote to be made durable; ID: the request
	Synced    Happening = "synced"    // it is durable; ID: the request
	Crash     Happening = "crash"     // Node's disc lost writes; Size: how many changes
	DiskRule  Happening = "disc"      // the rule of Node's disc changed; Note: the rule
	ClockRule Happening = "clock"     // Node's wall clock jumps; Note: how far it is off from now on
	PaceRule  Happening = "pace"      // Node computes at another speed; Size: how many times slower
	Forge     Happening = "forge"     // Node wrote something that is no frame; Note: what is wrong
	WorldOver Happening = "worldover" // the world stops everything; Note: the limit that was reached
)

// Event is one entry of a world's log. Entries are in the order in which the world took them; At may be a little
// ahead of later entries, since a node that computes acts at its own, later time.
type Event struct {
	Seq  uint64
	At   time.Duration
	What Happening
	Node kit.NodeName
	Peer kit.NodeName
	ID   uint64
	Size int
	Note string
}

// eventLog hashes every entry and keeps the latest ones.
type eventLog struct {
	sum   hash.Hash
	buf   []byte
	seq   uint64
	kept  []Event // a ring once it holds max entries
	max   int
	first int // index of the oldest
}

func newEventLog(limit int) *eventLog { return &eventLog{sum: sha256.New(), max: limit} }

// add takes an entry; what it carried goes into the hash too.
func (l *eventLog) add(e Event, carried []byte) {
	l.seq++
	e.Seq = l.seq
	b := binary.AppendVarint(l.buf[:0], int64(e.At))
	for _, s := range [...]string{string(e.What), string(e.Node), string(e.Peer), e.Note} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, e.ID), uint64(e.Size))
	b = binary.AppendUvarint(b, uint64(len(carried)))
	l.buf = b
	l.sum.Write(b)
	l.sum.Write(carried)
	if e.What == Ran || l.max <= 0 {
		return
	}
	if len(l.kept) < l.max {
		l.kept = append(l.kept, e)
		return
	}
	l.kept[l.first] = e
	l.first = (l.first + 1) % l.max
}

// hash names everything so far. It stays the same while nothing is added.
func (l *eventLog) hash() string {
	sum := l.sum.Sum(nil)
	return hex.EncodeToString(sum[:16])
}

// events gives what is kept, oldest first.
func (l *eventLog) events() []Event {
	all := make([]Event, 0, len(l.kept))
	all = append(all, l.kept[l.first:]...)
	return append(all, l.kept[:l.first]...)
}
