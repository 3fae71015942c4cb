package proc

import (
	"errors"
	"fmt"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Op says what a signal is.
type Op byte

// The signals between processes, as Erlang's distribution protocol has them, and those between runtimes.
const (
	OpSend        Op = iota + 1 // To, Term: a message
	OpSendName                  // Name, Term: a message to whoever has the name there
	OpLink                      // To: From links to it
	OpUnlink                    // To
	OpExitLink                  // To, Term: the reason; From has ended and they were linked
	OpExit                      // To, Term: the reason; an exit signal that somebody sent
	OpMonitor                   // To, Ref
	OpMonitorName               // Name, Ref
	OpDemonitor                 // Ref: From watches no longer
	OpDown                      // To, Ref, Term: the reason; what To watched has ended
	OpSpawn                     // Ref, Name: the function, Term: {leader, args, link, monitor ref}
	OpSpawned                   // Ref, Term: the pid, or a reason
	OpCall                      // Ref, Name: the function, Term: {leader, args}
	OpReturn                    // Ref, Term: {return | throw | exit | error | signal, value}
	OpOutput                    // Term: a line of text that From wrote
	OpNodes                     // Term: list of the nodes that the sender is connected to
	OpLost                      // Name: a node that the sender has lost (see Config.PreventOverlap)
	OpLock                      // Ref, Term: {id, requester, name or undefined}
	OpLocked                    // Ref, Term: granted, busy, or the pid that has the name
	OpUnlock                    // Ref, Term: {id, requester, undefined}
	OpUnlockAll                 // From has ended: all its locks
	OpClaim                     // Ref, Term: {name, pid, resolver, replaces}
	OpUnclaim                   // Term: {name, pid}
	OpWithdraw                  // Ref, Term: {name, pid}: the holder's node is to give the name up
	OpDone                      // Ref: that was done
	OpSync                      // Ref
	OpUnlinked                  // To: its OpUnlink has come to From
	lastOp
)

// Signal is one thing that passes from a process, or a node's runtime (ID 0), to another.
type Signal struct {
	Op   Op
	From term.Pid
	To   term.Pid
	Name string
	Ref  uint64
	Term term.Term // nil where the signal has none
	size int       // of the frame that brought it; 0 within a node
}

// Encode gives the frame of a signal.
func (s Signal) Encode() []byte {
	b := make([]byte, 0, 64)
	b = append(b, byte(s.Op))
	b = term.Append(b, s.From)
	b = term.Append(b, s.To)
	b = term.Append(b, term.Bin(s.Name))
	b = term.Append(b, term.Int(s.Ref))
	if s.Term == nil {
		return b
	}
	return term.Append(b, s.Term)
}

// maxName bounds the bytes of a name in a signal: the longest atom.
const maxName = 4 * term.MaxAtom

var errShape = errors.New("it has not the parts of a signal")

// Decode reads a signal that the node from sent. What no node of ours sends, and what claims to come from a process of
// another node than the sender, is an error of kind Corrupt.
func Decode(from string, frame []byte) (Signal, error) {
	bad := func(err error) (Signal, error) {
		return Signal{}, &kit.Error{Op: "read signal", What: "of " + from, Kind: kit.Corrupt, Err: err}
	}
	if len(frame) < 1 || frame[0] == 0 || Op(frame[0]) >= lastOp {
		return bad(fmt.Errorf("an unknown kind"))
	}
	s, rest := Signal{Op: Op(frame[0]), size: len(frame)}, frame[1:]
	var parts [4]term.Term
	for i := range parts {
		t, more, err := term.Decode(rest)
		if err != nil {
			return bad(err)
		}
		parts[i], rest = t, more
	}
	var ok [4]bool
	var name term.Bin
	var ref term.Int
	s.From, ok[0] = parts[0].(term.Pid)
	s.To, ok[1] = parts[1].(term.Pid)
	name, ok[2] = parts[2].(term.Bin)
	ref, ok[3] = parts[3].(term.Int)
	if ok != [4]bool{true, true, true, true} || len(name) > maxName || ref < 0 {
		return bad(errShape)
	}
	s.Name, s.Ref = string(name), uint64(ref)
	if len(rest) > 0 {
		t, more, err := term.Decode(rest)
		if err != nil {
			return bad(err)
		}
		if len(more) > 0 {
			return bad(errShape)
		}
		s.Term = t
	}
	if s.From.Node != from {
		return bad(fmt.Errorf("it claims to come from a process on %.64q", s.From.Node))
	}
	return s, s.check(bad)
}

// needsTerm are the signals that mean nothing without a term.
func (o Op) needsTerm() bool {
	switch o {
	case OpLink, OpUnlink, OpUnlinked, OpMonitor, OpMonitorName, OpDemonitor, OpLost, OpUnlockAll, OpDone, OpSync:
		return false
	}
	return true
}

func (s Signal) check(bad func(error) (Signal, error)) error {
	if s.Op.needsTerm() != (s.Term != nil) {
		_, err := bad(errShape)
		return err
	}
	return nil
}
