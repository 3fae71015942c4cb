// Package proc is the runtime of processes: spawn, mailboxes, links, monitors, exit signals, names and calls,
// within a node and across nodes, with the answers that Erlang gives.
//
// Core decides and Runtime acts. Core is a state machine of one node: it takes what a process asks for or a peer
// sends, changes its tables and says what is to be done (run this process, send that signal). It has no goroutine
// or clock, and is tested by scripts. Runtime holds the lock around it, runs each process in a goroutine of its own and
// carries the signals over the links that the node gives it (Peers). Only mailboxes have locks of their own: a message to
// a process of the same node goes past the core, which has nothing to decide about it.
//
// What holds between two processes: messages and signals from one to the other arrive in the order sent, or, when
// the link between their nodes goes down, not at all from some point on; the sender gets no error for that. Links
// and monitors across a link that goes down fire with the reason noconnection, though the process may live on. Using
// a node that is known but not connected connects to it; what is sent meanwhile waits for the attempt.
//
// Supervisors are processes that start others and restart them: the function supervisor within a node
// (SupervisorOptions), dist_supervisor over several (DistOptions). Each is a core that decides, supervisor and dist, and
// a process that acts; a node's program starts them by Runtime.StartSupervisor and Runtime.StartDistSupervisor, and
// anybody asks them through Runtime.Supervisor.
package proc

import (
	"errors"
	"fmt"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Limits of one node.
const (
	MaxProcesses  = 262_144 // processes alive, as Erlang's default
	MaxMailbox    = 1 << 20 // messages that wait in one mailbox; one more ends the process with {system_limit, mailbox}
	MaxMessage    = 8 << 20 // bytes of one message to another node, encoded
	MaxConnecting = 65_536  // signals that wait for one connection attempt; further messages are lost
	MaxOutput     = 4096    // lines of output kept for whoever asks
	MaxLine       = 8192    // bytes of one line of output; the rest is cut off
	MaxLocks      = 65_536  // global locks that one node knows
	MaxNames      = 65_536  // names in each registry
)

// Func is what a process runs, or what a call from another node does: p is the process, args what it was given. The
// value is the answer of a call; for a spawned process it is dropped. A nil error is the exit reason normal. An error
// made by Exit, Error or Throw is what Erlang's exit, error and throw raise; any other is an error whose reason is its
// text. A panic is an error too. When the process is killed, whatever it asks p for next does not return; a function
// that computes for long without asking should look at p.Context().
type Func func(p *Process, args []term.Term) (term.Term, error)

// The atoms and reasons that every process meets.
const (
	Normal       = term.Atom("normal")
	Kill         = term.Atom("kill")
	Killed       = term.Atom("killed")
	NoProc       = term.Atom("noproc")
	NoConnection = term.Atom("noconnection")
	Undef        = term.Atom("undef")
)

// Exception is what Erlang raises: a class, one of error, exit and throw, and a reason. Stack is Erlang's list of
// frames where there is one.
type Exception struct {
	Class  string
	Reason term.Term
	Stack  term.List
}

// Error says class and reason.
func (e *Exception) Error() string { return e.Class + " " + term.String(e.Reason) }

// Exit makes the error that ends a process with a reason.
func Exit(reason term.Term) error { return &Exception{Class: "exit", Reason: reason} }

// Error makes the error of a process that failed; its exit reason is {reason, Stack}.
func Error(reason term.Term) error { return &Exception{Class: "error", Reason: reason} }

// Throw makes a value that is thrown; a call answers it, a process that throws ends with {{nocatch, value}, Stack}.
func Throw(value term.Term) error { return &Exception{Class: "throw", Reason: value} }

func badarg() error { return Error(term.Atom("badarg")) }

// exception gives an error of a function as what it raised.
func exception(err error, fn string, arity int) *Exception {
	var e *Exception
	if !errors.As(err, &e) {
		e = &Exception{Class: "error", Reason: term.Bin(err.Error())}
	}
	if e.Stack == nil && e.Class != "exit" {
		e = &Exception{Class: e.Class, Reason: e.Reason, Stack: term.List{frameOf(fn, arity, "", 0)}}
	}
	return e
}

// exitReason is the reason that a process ends with that raised e and caught it nowhere.
func (e *Exception) exitReason() term.Term {
	switch e.Class {
	case "exit":
		return e.Reason
	case "throw":
		return term.T(term.T(term.Atom("nocatch"), e.Reason), e.Stack)
	}
	return term.T(e.Reason, e.Stack)
}

// frameOf makes one frame of a stack trace as Erlang has it: {Module, Function, Arity, [{file, F}, {line, N}]}.
func frameOf(fn string, arity int, file string, line int) term.Tuple {
	place := term.List{}
	if file != "" {
		place = term.List{term.T(term.Atom("file"), term.Bin(file)), term.T(term.Atom("line"), term.Int(line))}
	}
	return term.T(term.Atom("netsplit"), term.Atom(fn), term.Int(arity), place)
}

// WithoutStack gives a reason without the stack trace that it carries, and whether it carried one.
func WithoutStack(reason term.Term) (term.Term, bool) {
	t, ok := reason.(term.Tuple)
	if !ok || len(t) != 2 {
		return reason, false
	}
	stack, ok := t[1].(term.List)
	if !ok || len(stack) == 0 {
		return reason, false
	}
	for _, f := range stack {
		if frame, ok := f.(term.Tuple); !ok || len(frame) != 4 {
			return reason, false
		} else if _, ok := frame[3].(term.List); !ok {
			return reason, false
		}
	}
	return t[0], true
}

// overloaded is the error of a limit that was reached.
func overloaded(op, what string, limit int) error {
	return &kit.Error{Op: op, What: what, Kind: kit.Overloaded, Err: fmt.Errorf("the limit of %d is reached", limit)}
}

// CrashReason is the exit reason of a process of a function that raised an error.
func CrashReason(reason term.Term, fn string) term.Term {
	return exception(Error(reason), fn, 0).exitReason()
}
