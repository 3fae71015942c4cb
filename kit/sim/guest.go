package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	wasys "github.com/tetratelabs/wazero/sys"

	"netsplit/kit/simlink"
)

// Step is the virtual time that one step of a program takes: a node that computes is busy for as long. Steps are
// turns of loops, calls of functions and calls of the host (see meter), so a step stands for a dozen machine instructions.
const Step = 3 * time.Nanosecond

// epoch is the wall clock's time at a world's start. The monotonic clock starts at a second, since Go takes 0 for a
// broken clock.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

const monotonicStart = time.Second

// never is a deadline that does not come.
const never = time.Duration(math.MaxInt64)

// exitDropped is the exit code with which the host unwinds a guest that is killed or has forged a frame.
const exitDropped = 200

// guest is one boot of a node: an instance of its program, and the line between the two. The program is a
// coroutine of the world: it runs inside run until it has nothing to do.
type guest struct {
	handle func(f simlink.Frame) uint32 // a frame from the guest; the result is WASI's error number
	output *tail                        // stdout and stderr

	inbox    []byte        // bytes of frames that the guest has not read
	reads    bool          // it waits for frames too
	deadline time.Duration // when the guest wants to go on without a frame
	began    time.Duration // the world's time when the current run began
	allow    int64         // steps that the current run may take
	pace     time.Duration // how many times longer than Step a step of the current run takes
	fuel     api.MutableGlobal
	memFull  bool
	memPeak  uint64
	broken   error // the frame that could not be read

	idle   func(struct{}) bool // from inside: hand control back; false is the word to unwind
	resume func() (struct{}, bool)
	unwind func()
	ended  bool
	err    error // how the program ended
}

// waiting is what the guest has asked poll_oneoff for. A negative timeout is none.
type waiting struct {
	timeout time.Duration
	read    bool
}

func (w *waiting) clock(nanoseconds uint64) {
	t := time.Duration(min(nanoseconds, 1<<61))
	if w.timeout < 0 || t < w.timeout {
		w.timeout = t
	}
}

// launch is what a guest needs to begin.
type launch struct {
	engine *Engine
	code   code
	memory uint64
	random *randomSource
	skew   func() time.Duration // how far the wall clock is off now; nil is a right clock
	name   string
	args   []string
}

// newGuest prepares an instance; it begins with the first run.
func newGuest(l launch, handle func(simlink.Frame) uint32, output *tail) *guest {
	g := &guest{handle: handle, output: output, deadline: never, pace: 1}
	g.resume, g.unwind = iter.Pull(func(idle func(struct{}) bool) {
		g.idle = idle
		g.main(l)
	})
	return g
}

// main is the guest's life.
func (g *guest) main(l launch) {
	ctx := context.WithValue(context.Background(), guestKey{}, g)
	ctx = experimental.WithMemoryAllocator(ctx, l.engine.memories.allocator(l.memory, l.code.image, &g.memFull, &g.memPeak))
	cfg := wazero.NewModuleConfig().WithName("").WithArgs(append([]string{l.name}, l.args...)...).WithStartFunctions().
		WithRandSource(l.random).
		WithWalltime(func() (int64, int32) {
			t := epoch.Add(g.now())
			if l.skew != nil {
				t = t.Add(l.skew())
			}
			return t.Unix(), int32(t.Nanosecond())
		}, 1).
		WithNanotime(func() int64 {
			g.charge(hostCallSteps)
			return int64(monotonicStart + g.now())
		}, 1)
	mod, err := l.engine.runtime.InstantiateModule(ctx, l.code.module, cfg)
	if err != nil {
		g.err = fmt.Errorf("instantiate: %w", err)
		return
	}
	defer func() {
		if err := mod.Close(ctx); err != nil && g.err == nil {
			g.err = err
		}
	}()
	fuel, ok := mod.ExportedGlobal(fuelExport).(api.MutableGlobal)
	if !ok {
		g.err = errors.New("the program is not metered")
		return
	}
	g.fuel = fuel
	g.fuel.Set(uint64(g.allow))
	_, g.err = mod.ExportedFunction(startFunction).Call(ctx)
}

// run lets the guest compute from the given time until it is idle or has ended, for at most so many steps.
// It gives the time at which that was so.
func (g *guest) run(now time.Duration, steps int64) time.Duration {
	g.began, g.allow = now, steps
	if g.fuel != nil {
		g.fuel.Set(uint64(steps))
	}
	if _, idle := g.resume(); !idle {
		g.ended = true
	}
	return g.now()
}

// due reports whether the guest has something to do at that time.
func (g *guest) due(now time.Duration) bool {
	return g.fuel == nil || g.reads && len(g.inbox) > 0 || now >= g.deadline
}

// drop ends the guest, which is idle, and waits until nothing of it is left.
func (g *guest) drop() {
	g.unwind()
	g.ended, g.inbox = true, nil
}

// wait is the guest's side of run: it returns when there is something to do.
func (g *guest) wait(w waiting) {
	now := g.now()
	g.deadline = never
	if w.timeout >= 0 {
		g.deadline = now + w.timeout
	}
	if w.timeout == 0 || w.read && len(g.inbox) > 0 {
		return
	}
	g.reads = w.read
	if !g.idle(struct{}{}) {
		panic(wasys.NewExitError(exitDropped))
	}
}

// used gives the steps of the current run.
func (g *guest) used() int64 {
	if g.fuel == nil {
		return 0
	}
	return g.allow - int64(g.fuel.Get())
}

// now is the guest's clock: the world's, and the time that it has computed since.
func (g *guest) now() time.Duration { return g.began + time.Duration(g.used())*Step*g.pace }

func (g *guest) charge(steps int) {
	if g.fuel != nil {
		g.fuel.Set(g.fuel.Get() - uint64(steps))
	}
}

// put gives the guest a frame to read.
func (g *guest) put(f simlink.Frame) { g.inbox = simlink.Append(g.inbox, f) }

func (g *guest) print(b []byte) uint32 {
	g.output.write(b)
	return errnoOK
}

// frames takes what the guest wrote to the link. Every write is exactly one frame; anything else was not written
// by simlink, and what is forged ends the node.
func (g *guest) frames(b []byte) uint32 {
	f, n, err := simlink.Decode(b)
	switch {
	case err == nil && n == len(b) && n > 0:
		f.Data = append([]byte(nil), f.Data...)
		if errno := g.handle(f); g.broken == nil {
			return errno
		}
	case err == nil:
		g.forged(fmt.Errorf("forged or broken frame: a write of %d bytes", len(b)))
	default:
		g.forged(err)
	}
	panic(wasys.NewExitError(exitDropped))
}

// forged marks the guest as one that does not speak the link's language.
func (g *guest) forged(err error) { g.broken = err }

// Reason says why a node stopped.
type Reason string

// The reasons.
const (
	Running     Reason = ""
	Killed      Reason = "killed"        // by the world
	Exited      Reason = "exited"        // the program ended by itself
	Panicked    Reason = "panicked"      // an uncaught panic or a fatal error of Go's runtime
	Spinning    Reason = "spinning"      // it did not become idle within its budget
	OutOfMemory Reason = "out of memory" // it asked for more than its limit
	StackFull   Reason = "stack overflow"
	Forged      Reason = "forged or broken frames"
	Deaf        Reason = "not reading" // what was sent to it
	Trapped     Reason = "trapped"     // any other end of the instance
)

// why says how the program ended, with a sentence for people.
func (g *guest) why() (Reason, string) {
	var exit *wasys.ExitError
	switch {
	case g.broken != nil:
		return Forged, g.broken.Error()
	case g.memFull:
		return OutOfMemory, fmt.Sprintf("the node asked for more than its limit; it had %d MiB", g.memPeak>>20)
	case errors.As(g.err, &exit) && exit.ExitCode() == 2 && (g.output.contains("\ngoroutine ") || g.output.contains("fatal error: ")):
		return Panicked, g.output.line("panic: ", "fatal error: ")
	case errors.As(g.err, &exit):
		return Exited, fmt.Sprintf("the program ended by itself with exit code %d", exit.ExitCode())
	case g.err == nil:
		return Exited, "the program's main function returned"
	case trapped(g.err, "unreachable") && g.fuel != nil && int64(g.fuel.Get()) < 0:
		return Spinning, fmt.Sprintf("the node computed for %v without waiting for anything", (time.Duration(g.allow) * Step).Round(time.Microsecond))
	case strings.Contains(g.err.Error(), "stack overflow"):
		return StackFull, "a recursion went too deep"
	}
	first, _, _ := strings.Cut(g.err.Error(), "\n")
	return Trapped, first
}
