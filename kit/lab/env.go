package lab

import (
	"context"
	"fmt"
	"io"
	"time"

	"netsplit/kit"
	"netsplit/kit/shell"
	"netsplit/kit/sim"
	"netsplit/kit/term"
	"netsplit/kit/world"
)

// Env is what grading needs of the world outside: clusters, the simulator, the compiler. System gives the real
// ones; tests script their own.
type Env struct {
	// Cluster starts a fresh real cluster; Close ends its nodes and removes their folders.
	Cluster func(ctx context.Context, lab string, nodes []kit.NodeName) (world.World, error)
	// Room says why the disc on which clusters keep their files has none left; nil when there is some. nil never asks.
	Room func() error
	// Script replays a student's script on a world. A mistake in the script is in the report, not an error.
	Script func(ctx context.Context, src []byte, o ScriptRun) (ScriptReport, error)
	// Build compiles a program (or with tests its test binary) for the simulator. A program that does not
	// compile is a *CompileError.
	Build func(ctx context.Context, src Source) (Program, error)
	// BuildAll compiles many programs of a module together, which takes little longer than one. It gives them in order, or none when they
	// must be compiled one by one. nil: always one by one.
	BuildAll func(ctx context.Context, module string, programs []map[string][]byte) ([]Program, error)
	// Simulate starts nodes that all run one program.
	Simulate func(ctx context.Context, p Program, o SimRun) (Simulation, error)
	// Test runs a compiled test binary in the simulator's sandbox, with each seed; it ends early after a run that did not
	// end by itself.
	Test func(ctx context.Context, p Program, seeds ...uint64) ([]TestReport, error)
}

// ScriptRun says what a script is run on.
type ScriptRun struct {
	World world.World
	Lab   string
	Data  map[string]term.Term
	Hooks map[string]shell.Hook
	Wall  time.Duration
	Out   io.Writer
}

// ScriptReport is what became of a script.
type ScriptReport struct {
	Answers map[string]term.Term
	// Err is the student's mistake (syntax, an error raised, a limit); nil when the script ran to its end.
	Err error
	// OutOfTime says that ScriptRun.Wall ended it: real time, of which a busy machine has less to give.
	OutOfTime bool
	// Isolation says what kept the script apart from the grader.
	Isolation string
}

// Source is a program to compile: its files by name relative to the module, which is named after the lab.
type Source struct {
	Module string
	Files  map[string][]byte
	Tests  map[string][]byte // not nil: compile the test binary of the root package instead
}

// Program is compiled code, opaque to the grader.
type Program any

// CompileError is what the compiler says, with file:line as the student knows them.
type CompileError struct{ Text, Hint string }

// Error gives the compiler's text.
func (e *CompileError) Error() string { return e.Text }

// Exhausted is the error of a budget in real time that ran out before anything was known of the submission. It makes a
// result inconclusive, never a failure: another machine might have been fast enough.
type Exhausted struct {
	Budget string // "compiling"
	After  time.Duration
}

// Error says what took too long.
func (e *Exhausted) Error() string {
	return fmt.Sprintf("%s took longer than %v on this machine", e.Budget, e.After)
}

// SimRun says what to simulate.
type SimRun struct {
	Nodes []kit.NodeName
	Seed  uint64
	// Clocks are the nodes' wall clocks that are wrong from the start, and by how much.
	Clocks map[kit.NodeName]time.Duration
	// Halt is where the run stands still to be looked at, and ends; nil for nowhere.
	Halt *sim.Halt
	// Events is how many entries of the event log are kept, the latest ones; 0 is the simulator's default.
	Events int
}

// Simulation is a simulated cluster.
type Simulation interface {
	world.World
	// Hash names the run so far: two runs with equal hashes were the same.
	Hash() string
	// Deaths lists the nodes that ended without having been told to, and why, as text for the student: a panic
	// with its trace, an exit, no rest for too long, too much memory, rubbish instead of frames.
	Deaths() []Death
	// Over says why the simulation ended before its time (a budget), empty when it did not.
	Over() string
	// Output is the last that the nodes printed.
	Output() string
}

// Death is the end of a node that nobody ordered.
type Death struct {
	Node kit.NodeName
	At   time.Duration
	Why  string // "panic: index out of range [3] with length 2"
	Text string // what it printed last, the trace
}

// TestReport is what became of a test binary.
type TestReport struct {
	Passed bool
	Output string
	Why    string // when it ended otherwise than by itself: budget, memory
}
