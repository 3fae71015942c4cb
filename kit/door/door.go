// Package door is the one way into a node from outside: requests and outcomes as JSON, a line each, over a
// unix socket (real node) or the simulator's frames (simulated node). The shell, the command line, the
// grader, the console and the conformance runner all come through it.
package door

import (
	"context"
	"encoding/json"

	"netsplit/kit/term"
)

// Request asks a node for one verb. Client names who asks ("shell", "c1"); requests of one client are
// served in order, those of different clients concurrently. When the client's connection ends, what it left
// open (an interactive transaction, a subscription) is ended as if its Erlang process had died.
type Request struct {
	ID     uint64
	Client string
	Verb   string
	Args   []term.Term
}

// Outcome is the answer to a request; its JSON is the outcome of the conformance format
// ({"ok":V}, {"aborted":KIND,"args":[..]}, ...). Exactly one status is set.
type Outcome struct {
	Status  Status
	Value   json.RawMessage // for OK: the value in the conformance format (nested outcomes possible)
	Kind    term.Term       // for Aborted, Error, BadRPC: the kind; for Raised: the reason
	Args    []term.Term     // further elements of the reason; nil when the reason is a bare atom
	Text    string          // prose of the reason, when its kind is "text"
	How     string          // "exit" when raised instead of returned
	Class   string          // for Raised: error, exit or throw
	Crash   bool            // the reason carried a stack trace
	At      string          // for Error: the node the error came from
	Results json.RawMessage // answers of the operations that completed before the failure
	Tables  []string        // for Timeout
}

// Status says how a request ended.
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
	Lost    Status = "lost"
	Restart Status = "restart"
)

// Handler serves one verb. ctx ends when the client goes away or the node stops. Respond may be called from
// any goroutine, exactly once.
type Handler func(ctx context.Context, req Request) Outcome
