package shell

import (
	"context"

	"netsplit/kit/term"
)

// Result is what a script did.
type Result struct {
	// Err says why it stopped early, where, and what to do; nil when it ran to its end. Its kind is Overloaded
	// for a limit, Invalid for a mistake in the script, Broken for a fault of ours.
	Err error
	// OutOfTime says that Limits.Wall ended it. That is real time: on a busy machine it says nothing about the script.
	OutOfTime bool
	Answers   map[string]term.Term // what it handed in with answer(name, value)
	Steps     int64
	Isolation string // what kept it apart: "in process", or as RunIsolated says
}

// RunFile runs a script in this process: for scripts of one's own. name is for messages.
func RunFile(ctx context.Context, name string, src []byte, opts Options) Result {
	s, err := New(opts)
	if err != nil {
		return Result{Err: err, Isolation: inProcess}
	}
	err = s.RunFile(ctx, name, src)
	s.Close()
	return Result{Err: err, OutOfTime: outOfTime(err), Answers: s.Answers(), Steps: s.Steps(), Isolation: inProcess}
}

const inProcess = "in process"
