// Package door is the one way into a node from outside: requests and outcomes as JSON, a line each, over a
// unix socket (real node) or the simulator's frames (simulated node). The shell, the command line, the
// grader, the console and the conformance runner all come through it.
//
// The layers are apart: codec.go turns requests and answers into lines, Mux finds the verb, Desk serves lines
// in order per client whatever carries them, Server and Client carry them over a socket.
package door

import (
	"context"
	"encoding/json"
	"sync"

	"netsplit/kit/term"
)

// Limits of every door. What breaks them is answered with an error, or its connection is closed.
const (
	MaxLine    = 16 << 20 // bytes of one request or answer
	MaxClients = 256      // clients that one connection can speak for
	MaxWaiting = 256      // requests of one client waiting to be served
	MaxConns   = 256      // connections to one door
	MaxName    = 64       // bytes of a client's or verb's name
)

// Request asks a node for one verb. Client names who asks ("shell", "c1"); requests of one client are
// served in order, those of different clients concurrently. When the client's connection ends, what it left
// open (an interactive transaction, a subscription) is ended as if its Erlang process had died.
type Request struct {
	ID     uint64 // chosen by the asker, unique among its open requests; Client fills it in
	Client string
	Verb   string
	Args   []term.Term
}

// Outcome is the answer to a request; its JSON is the outcome of the conformance format
// ({"ok":V}, {"aborted":KIND,"args":[..]}, ...). Exactly one status is set.
type Outcome struct {
	Status  Status
	Value   json.RawMessage // for OK: the value in the conformance format (nested outcomes possible); for Ended: the outcome; for Timeout: the list when it is not of names
	Kind    term.Term       // for Aborted, Error, BadRPC: the kind; for Raised: the reason; for Started: the name
	Args    []term.Term     // further elements of the reason; nil when the reason is a bare atom
	Text    string          // prose of the reason, when its kind is "text"
	How     string          // "exit" when raised instead of returned
	Class   string          // for Raised: error, exit or throw
	Crash   bool            // the reason carried a stack trace
	At      string          // for Error: the node the error came from
	Results json.RawMessage // answers of the operations that completed before the failure
	Tables  []string        // for Timeout
	Hint    string          // ours: what the reader can do about it; never compared
}

// Status says how a request ended; it is the key of the outcome's JSON.
type Status string

// The statuses, named as in the conformance format. Restart is ours: the interactive transaction lost its
// locks and the caller must perform its operations again from the first, on the same transaction.
const (
	OK      Status = "ok"
	Aborted Status = "aborted"
	Error   Status = "error"
	Timeout Status = "timeout"
	Raised  Status = "raised"
	BadRPC  Status = "badrpc"
	Blocked Status = "blocked"
	Pending Status = "pending"
	Ended   Status = "ended"
	Started Status = "started"
	Lost    Status = "lost"    // the answer was lost; whether it happened is not known
	Down    Status = "node"    // {"node":"not running"}: nobody was asked, nothing happened
	Dead    Status = "process" // {"process":"dead"}
	Restart Status = "restart"
)

// Handler serves one request and returns its outcome, on a goroutine of the client's own. ctx ends when the
// request is cancelled, the client goes away or the node stops; SessionOf(ctx) outlives the request.
type Handler func(ctx context.Context, req Request) Outcome

// Session is one client's stay at a door: from its first request until its connection ends. Handlers hang
// on it what must end with the client.
type Session struct {
	Client string
	ctx    context.Context

	mu    sync.Mutex
	ended bool
	onEnd []func()
}

type sessionKey struct{}

// NewSession starts a session, for those who call handlers without a Desk. End ends it.
func NewSession(ctx context.Context, client string) (s *Session, end func()) {
	s = &Session{Client: client}
	inner, cancel := context.WithCancel(ctx)
	s.ctx = context.WithValue(inner, sessionKey{}, s)
	return s, func() { cancel(); s.end() }
}

// SessionOf gives the session that a handler's context belongs to; nil outside a door.
func SessionOf(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// Context ends when the client goes away or the door closes.
func (s *Session) Context() context.Context { return s.ctx }

// OnEnd registers f to run once after the session's last request has returned. When the session has ended
// already, f runs at once.
func (s *Session) OnEnd(f func()) {
	s.mu.Lock()
	if !s.ended {
		s.onEnd = append(s.onEnd, f)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	f()
}

func (s *Session) end() {
	s.mu.Lock()
	fs := s.onEnd
	s.ended, s.onEnd = true, nil
	s.mu.Unlock()
	for i := len(fs) - 1; i >= 0; i-- {
		fs[i]()
	}
}
