package wire

import (
	"context"
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"netsplit/kit"
)

// The handshake proves to both ends that the other knows the cookie, without sending it, and tells each the
// other's name. Four frames, each at most maxHello bytes:
//
//	dialler                         acceptor
//	hello version self wanted nonce ->
//	                                <- challenge self nonce   | refuse reason
//	proof HMAC(cookie, transcript)  ->
//	                                <- welcome HMAC(cookie, transcript) | refuse reason
//
// The transcript holds both names and both nonces, and a proof says whose it is, so that none can be used again
// or sent back. The dialler proves itself first: a stranger who knocks learns nothing to guess the cookie with.
const (
	handshakeVersion = "netsplit-wire/1"
	maxHello         = 512
	nonceSize        = 32
	// HandshakeTime is how long an acceptor waits for the whole handshake; delays of a link count.
	HandshakeTime = 10 * time.Second
	// maxHandshakes bounds the incoming connections that have not proved themselves yet.
	maxHandshakes = 256
)

// Kinds of handshake frames, their first byte.
const (
	helloFrame     = 'h'
	challengeFrame = 'c'
	proofFrame     = 'p'
	welcomeFrame   = 'w'
	refuseFrame    = 'r'
)

// Reasons of a refusal, sent to the dialler.
const (
	refusedCookie  = "wrong cookie"
	refusedVersion = "other version"
	refusedName    = "other node"
	refusedCut     = "link is cut"
)

// identity is who a node is in handshakes.
type identity struct {
	self   kit.NodeName
	cookie string
}

// rawConn is a connection before and during its handshake.
type rawConn interface {
	Send(frame []byte) error
	Recv() ([]byte, error)
	// bind sets the peer's name, and with it the rule that applies to what is sent; it fails under a loud cut.
	bind(peer kit.NodeName) error
	// admit lifts the small frame limit of the handshake.
	admit()
	// abort ends the connection at once.
	abort()
}

// dial performs the dialler's part on c; it aborts c when ctx ends or the handshake fails.
func (id identity) dial(ctx context.Context, c rawConn, want kit.NodeName) (err error) {
	defer context.AfterFunc(ctx, c.abort)()
	defer func() {
		if err != nil {
			c.abort()
			if ctx.Err() != nil {
				err = dialErr(want, ctx.Err())
			}
		}
	}()
	if want != "" {
		if err := c.bind(want); err != nil {
			return err
		}
	}
	mine := nonce()
	if err := c.Send(join(helloFrame, []byte(handshakeVersion), []byte(id.self), []byte(want), mine)); err != nil {
		return dialErr(want, err)
	}
	parts, err := answer(c, want, challengeFrame, 2)
	if err != nil {
		return err
	}
	peer, theirs := kit.NodeName(parts[0]), parts[1]
	switch {
	case !peer.Valid() || len(theirs) != nonceSize:
		return dialErr(want, errGarbled)
	case want != "" && peer != want:
		return otherNode(want, peer)
	case want == "":
		if err := c.bind(peer); err != nil {
			return err
		}
	}
	script := transcript(id.self, peer, mine, theirs)
	if err := c.Send(join(proofFrame, prove(id.cookie, "dialler", script))); err != nil {
		return dialErr(peer, err)
	}
	if parts, err = answer(c, peer, welcomeFrame, 1); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(parts[0], prove(id.cookie, "acceptor", script)) != 1 {
		return wrongCookie(peer)
	}
	c.admit()
	return nil
}

// accept performs the acceptor's part on c. It aborts c when ctx ends; when it refuses the dialler it says why
// first, and the caller closes c.
func (id identity) accept(ctx context.Context, c rawConn) (peer kit.NodeName, err error) {
	defer context.AfterFunc(ctx, c.abort)()
	parts, err := expect(c, helloFrame, 4)
	if err != nil {
		return "", err
	}
	peer = kit.NodeName(parts[1])
	refuse := func(reason string, err error) (kit.NodeName, error) {
		// The dialler may be gone already; then there is nobody to tell.
		_ = c.Send(join(refuseFrame, []byte(reason), []byte(id.self)))
		return peer, err
	}
	switch {
	case !peer.Valid() || len(parts[3]) != nonceSize:
		return "", errGarbled
	case string(parts[0]) != handshakeVersion:
		return refuse(refusedVersion, turnedAway(peer, refusedVersion, ""))
	}
	if err := c.bind(peer); err != nil {
		return peer, err
	}
	if want := kit.NodeName(parts[2]); want != "" && want != id.self || peer == id.self {
		return refuse(refusedName, turnedAway(peer, refusedName, "it looked for node "+clean(string(want))+" here, where "+string(id.self)+" is"))
	}
	mine := nonce()
	if err := c.Send(join(challengeFrame, []byte(id.self), mine)); err != nil {
		return peer, err
	}
	script := transcript(peer, id.self, parts[3], mine)
	if parts, err = expect(c, proofFrame, 1); err != nil {
		return peer, err
	}
	if subtle.ConstantTimeCompare(parts[0], prove(id.cookie, "dialler", script)) != 1 {
		return refuse(refusedCookie, wrongCookie(peer))
	}
	c.admit()
	return peer, c.Send(join(welcomeFrame, prove(id.cookie, "acceptor", script)))
}

func nonce() []byte {
	b := make([]byte, nonceSize)
	_, _ = crand.Read(b) // never fails: the runtime ends the process instead
	return b
}

func transcript(dialler, acceptor kit.NodeName, theirs, ours []byte) []byte {
	return join(0, []byte(handshakeVersion), []byte(dialler), []byte(acceptor), theirs, ours)
}

func prove(cookie, role string, script []byte) []byte {
	mac := hmac.New(sha256.New, []byte(cookie))
	_, _ = mac.Write([]byte(role))
	_, _ = mac.Write(script)
	return mac.Sum(nil)
}

// join makes a frame of a kind byte and parts of at most 255 bytes, each behind its length.
func join(kind byte, parts ...[]byte) []byte {
	b := []byte{kind}
	for _, p := range parts {
		b = append(append(b, byte(len(p))), p...)
	}
	return b
}

// split takes a frame apart; it must consist of exactly n parts.
func split(b []byte, n int) ([][]byte, bool) {
	parts := make([][]byte, 0, n)
	for len(b) > 0 && len(parts) < n {
		size := int(b[0])
		if len(b) < 1+size {
			return nil, false
		}
		parts, b = append(parts, b[1:1+size]), b[1+size:]
	}
	return parts, len(b) == 0 && len(parts) == n
}

var errGarbled = errors.New("what was received is not a handshake")

func expect(c rawConn, kind byte, n int) ([][]byte, error) {
	b, err := c.Recv()
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || b[0] != kind {
		return nil, errGarbled
	}
	parts, ok := split(b[1:], n)
	if !ok {
		return nil, errGarbled
	}
	return parts, nil
}

// answer is expect for the dialler, whom the acceptor may refuse instead.
func answer(c rawConn, peer kit.NodeName, kind byte, n int) ([][]byte, error) {
	b, err := c.Recv()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the connection was closed during the handshake")
		}
		return nil, dialErr(peer, err)
	}
	if len(b) > 0 && b[0] == refuseFrame {
		if parts, ok := split(b[1:], 2); ok {
			return nil, told(peer, string(parts[0]), kit.NodeName(parts[1]))
		}
	}
	if len(b) > 0 && b[0] == kind {
		if parts, ok := split(b[1:], n); ok {
			return parts, nil
		}
	}
	return nil, dialErr(peer, errGarbled)
}

// told turns the acceptor's refusal into the dialler's error.
func told(peer kit.NodeName, reason string, by kit.NodeName) error {
	switch reason {
	case refusedCookie:
		return wrongCookie(peer)
	case refusedName:
		return otherNode(peer, by)
	case refusedCut:
		return cutErr(peer)
	case refusedVersion:
		return &kit.Error{Op: "connect to", Kind: kit.Refused, What: string(peer), Err: errors.New("it speaks another version of the protocol"),
			Hint: "start all nodes of a lab from the same netsplit"}
	}
	return &kit.Error{Op: "connect to", Kind: kit.Refused, What: string(peer), Err: fmt.Errorf("it answered %s", clean(reason))}
}

func wrongCookie(peer kit.NodeName) error {
	return &kit.Error{Op: "connect to", Kind: kit.Refused, What: string(peer), Err: errors.New(refusedCookie),
		Hint: "start both nodes with the same cookie"}
}

func otherNode(want, is kit.NodeName) error {
	return &kit.Error{Op: "connect to", Kind: kit.Refused, What: string(want), Err: fmt.Errorf("node %s is at this address", clean(string(is))),
		Hint: "check the addresses and names of the nodes; every node needs its own name"}
}

// turnedAway is the acceptor's error for its log.
func turnedAway(peer kit.NodeName, reason, hint string) error {
	return &kit.Error{Op: "accept", Kind: kit.Refused, What: string(peer), Err: errors.New(reason), Hint: hint}
}

// clean makes text from outside fit for one line of an error.
func clean(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
