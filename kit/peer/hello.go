package peer

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
)

// The first frame of a connection is the dialler's hello. On a link the acceptor answers; if the answer is yes, the
// dialler confirms and the link is up: at the dialler with the answer, at the acceptor with the confirmation. Every
// later frame begins with its channel.
type hello struct {
	Purpose     string
	Incarnation uint64        `json:",omitempty"` // of the dialler
	Session     uint64        `json:",omitempty"` // the last session of this pair that the dialler knows of
	Addr        string        `json:",omitempty"` // where the dialler itself can be dialled
	Took        time.Duration `json:",omitempty"` // how long the dialler took to get through
	Asked       bool          `json:",omitempty"` // somebody asked for the connection; it overrides a Disconnect
	Hidden      bool          `json:",omitempty"` // the dialler is a hidden node
}

type answer struct {
	Refused     string `json:",omitempty"` // why not; empty is yes
	Session     uint64 `json:",omitempty"` // the number of the new session
	Incarnation uint64 `json:",omitempty"` // of the acceptor
	Hidden      bool   `json:",omitempty"` // the acceptor is a hidden node
}

const (
	purposeLink   = "link"
	purposeGossip = "gossip"
)

// Why an acceptor says no.
const (
	refusedStale        = "the link is up already"        // this hello is older than the session
	refusedCrossed      = "our own connection was faster" // both dialled; the smaller name's call counts
	refusedDisconnected = "disconnected"                  // Disconnect was called, and nobody asked
)

// maxHello bounds the frames of the greeting, in bytes.
const maxHello = 1024

// Channels of the mesh itself; the others are the users'.
const (
	controlChannel byte = 0
	gossipChannel  byte = 255
)

// Control frames: the byte after the channel.
const (
	controlTick    byte = 't'
	controlConfirm byte = 'c'
	controlPing    byte = 'p' // and eight bytes
	controlPong    byte = 'q' // and the same eight bytes
	controlBye     byte = 'b' // and one of the byes
)

const (
	byeDisconnect byte = 'd'
	byeStop       byte = 's'
)

var (
	tickFrame    = []byte{controlChannel, controlTick}
	confirmFrame = []byte{controlChannel, controlConfirm}
)

// errDisconnected is a refusal after which trying again makes no sense.
var errDisconnected = errors.New("it was disconnected on purpose")

var errGarbled = errors.New("the greeting cannot be understood")

func sendJSON(c wire.Conn, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Send(b)
}

// recvGreeting takes one frame, as long as ctx lasts; then it closes the connection.
func recvGreeting(ctx context.Context, c wire.Conn) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	b, err := c.Recv()
	switch {
	case !stop():
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case len(b) > maxHello:
		return nil, errGarbled
	}
	return b, nil
}

func recvHello(ctx context.Context, c wire.Conn) (h hello, err error) {
	b, err := recvGreeting(ctx, c)
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(b, &h); err != nil || h.Purpose != purposeLink && h.Purpose != purposeGossip {
		return h, errGarbled
	}
	return h, nil
}

// call dials a peer for a link and greets it; the answer is yes, and trip the time that took, when err is nil.
func call(ctx context.Context, n wire.Network, to wire.Peer, h hello) (c wire.Conn, a answer, trip time.Duration, err error) {
	start := time.Now()
	if c, err = n.Dial(ctx, to); err != nil {
		return nil, a, 0, err
	}
	h.Took = time.Since(start)
	start = time.Now()
	fail := func(err error) (wire.Conn, answer, time.Duration, error) {
		_ = c.Close()
		return nil, a, 0, &kit.Error{Op: "connect to", Kind: kit.Unavailable, What: string(to.Node), Err: err}
	}
	if err := sendJSON(c, h); err != nil {
		return fail(err)
	}
	b, err := recvGreeting(ctx, c)
	if err != nil {
		return fail(err)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return fail(errGarbled)
	}
	switch a.Refused {
	case "":
		return c, a, time.Since(start), nil
	case refusedDisconnected:
		return fail(errDisconnected)
	}
	return fail(errors.New(a.Refused))
}

// awaitConfirm answers a hello with yes and waits until the dialler confirms.
func awaitConfirm(ctx context.Context, c wire.Conn, a answer) error {
	if err := sendJSON(c, a); err != nil {
		return err
	}
	b, err := recvGreeting(ctx, c)
	if err != nil {
		return err
	}
	if string(b) != string(confirmFrame) {
		return errGarbled
	}
	return nil
}

// decision is what to do with a hello.
type decision int

const (
	take   decision = iota // answer yes; a session that is up was lost by the peer, so it ends here too
	refuse                 // answer no
	park                   // wait what becomes of our own call
)

// situation is what a link's decision about a hello depends on.
type situation struct {
	self, peer   kit.NodeName
	up           bool
	session      uint64 // the last session of the pair that we know of
	incarnation  uint64 // the peer's, as it last told; 0 is never
	disconnected bool   // by Disconnect at either end
	calling      bool   // our own call is under way,
	calledAddr   string // to here
}

// judge decides about a hello, with the reason of a refusal. Both ends come to decisions that fit together: of two
// calls that cross, that of the smaller name counts.
func judge(s situation, h hello) (decision, string) {
	reborn := h.Incarnation != s.incarnation
	if s.disconnected && !h.Asked && !reborn {
		return refuse, refusedDisconnected
	}
	// A hello that was sent before the session we have, and arrives after it.
	if s.up && (h.Incarnation < s.incarnation || !reborn && h.Session < s.session) {
		return refuse, refusedStale
	}
	// Our call may have gone to the peer's former life, or to where it lived then, and would reach nobody.
	moved := reborn && s.incarnation != 0 || h.Addr != "" && h.Addr != s.calledAddr
	if s.calling && !s.up && s.self < s.peer && !moved {
		return park, ""
	}
	return take, ""
}
