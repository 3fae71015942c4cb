package sim

import (
	"context"
	"errors"
	"time"

	wasys "github.com/tetratelabs/wazero/sys"

	"netsplit/kit"
	"netsplit/kit/simlink"
)

// Ended is how a program that ran by itself came to its end.
type Ended struct {
	OK     bool          // it ended by itself with exit code 0
	Reason Reason        // why it ended
	Why    string        // the same as a sentence
	Output string        // the beginning and the end of what it printed
	Took   time.Duration // virtual time
	Memory uint64        // bytes it had at most
}

// Exec runs a program that is no node, such as a test binary, alone in the sandbox until it ends: no link, no
// disc, no peers, and a clock that jumps to the next timer whenever the program waits. Of cfg it uses Engine,
// Program, Seed, Memory, MaxTime and MaxCPU. The error is for what is wrong with the sandbox; how the program
// ended is in Ended.
func Exec(ctx context.Context, cfg Config) (Ended, error) {
	cfg.Nodes = []kit.NodeName{"program"}
	if err := cfg.validate(); err != nil {
		return Ended{}, err
	}
	code, release, err := cfg.Engine.hold(ctx, cfg.Program)
	if err != nil {
		return Ended{}, err
	}
	defer release()
	out := &tail{}
	noLink := func(simlink.Frame) uint32 { return errnoBadf }
	g := newGuest(launch{engine: cfg.Engine, code: code, memory: cfg.Memory, name: "program", args: cfg.Program.Args,
		random: &randomSource{stream(cfg.Seed, "random", "program")}}, noLink, out)
	now, left := time.Duration(0), int64(cfg.MaxCPU/Step)
	for !g.ended {
		now = g.run(now, left)
		left -= g.used()
		switch {
		case g.ended:
		case ctx.Err() != nil:
			g.drop()
			return Ended{}, &kit.Error{Op: "run program", Kind: kit.Unavailable, Err: context.Cause(ctx)}
		case g.deadline == never || g.deadline > cfg.MaxTime:
			g.drop()
			return Ended{Reason: Killed, Why: "it waits for something that does not come", Output: out.String(), Took: now, Memory: g.memPeak}, nil
		default:
			now = max(now, g.deadline)
		}
	}
	reason, why := g.why()
	var exit *wasys.ExitError
	ok := reason == Exited && (g.err == nil || errors.As(g.err, &exit) && exit.ExitCode() == 0)
	return Ended{OK: ok, Reason: reason, Why: why, Output: out.String(), Took: now, Memory: g.memPeak}, nil
}
