// Package shell is the language that students type: Starlark over a running cluster, real or simulated. Nodes
// are values (a, b, c), a.db holds Mnesia's functions by their names, and faults are functions (cut, heal,
// kill). The same Session serves the prompt, a file, a single expression and the replay of a run.star by
// the grader, which runs it in a child process with a memory limit (RunIsolated).
//
// One Starlark thread runs at a time: background tasks take turns whenever the running one waits for a
// node, sleeps, or has computed for a while. So scripts have no data races.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// Hook is a function that a lab adds to the language. It runs outside the script's process when that is
// isolated, so it speaks in terms.
type Hook func(ctx context.Context, w world.World, args []term.Term) (term.Term, error)

// Entry is what the journal keeps of one thing typed.
type Entry struct {
	Source  string        // as typed, without the last newline
	OK      bool          // false when it failed
	Outcome string        // the printed result or the error's text, cut to maxOutcome bytes
	Took    time.Duration // by the world's clock
}

const maxOutcome = 200

// Limits bound what a script may use. Zero fields take the default; a negative Steps or Wall means none.
type Limits struct {
	Steps  int64         // Starlark steps of all threads together; default 500 million
	Wall   time.Duration // real time of one Run or Eval; default 2 minutes
	Output int64         // bytes printed in all; default 1 MiB
	Depth  int           // nested calls; default 500
	Tasks  int           // background tasks alive at once; default 64
	Source int64         // bytes of source; default 256 KiB
	Memory int64         // bytes for the child of RunIsolated; default 384 MiB
	CPU    time.Duration // processor time for the child of RunIsolated, where it can be limited; default 30 s
}

func (l Limits) withDefaults() Limits {
	set := func(p *int64, def int64) {
		if *p == 0 {
			*p = def
		}
	}
	set(&l.Steps, 500_000_000)
	set(&l.Output, 1<<20)
	set(&l.Source, 256<<10)
	set(&l.Memory, 384<<20)
	if l.Wall == 0 {
		l.Wall = 2 * time.Minute
	}
	if l.CPU == 0 {
		l.CPU = 30 * time.Second
	}
	if l.Depth == 0 {
		l.Depth = 500
	}
	if l.Tasks == 0 {
		l.Tasks = 64
	}
	return l
}

// Options say what a session works on.
type Options struct {
	World   world.World
	Lab     string               // the lab's name, lab.name
	Data    map[string]term.Term // the lab's random data, lab.data
	Hooks   map[string]Hook      // functions that the lab adds
	Client  string               // name at the nodes' doors; default "shell"
	Out     io.Writer            // where print and results go; default: nowhere
	Width   int                  // columns for printing; default 80
	Limits  Limits
	Journal func(Entry)                         // told about every entry; may be nil
	Load    func(module string) ([]byte, error) // serves load(); nil refuses it
	Answer  func(name string, value term.Term)  // told at once about answer(name, value); may be nil
}

// Session is one conversation with a cluster: its globals live until Close. Its methods may be called from one
// goroutine at a time, except Interrupt and Close.
type Session struct {
	opts    Options
	w       world.World
	limits  Limits
	globals starlark.StringDict
	nodes   map[string]*Node
	order   []kit.NodeName

	ctx   context.Context
	stop  context.CancelCauseFunc
	tasks sync.WaitGroup

	gil     sync.Mutex // held by the Starlark thread that runs
	running *run       // who holds it
	steps   atomic.Int64
	out     output

	// Guarded by gil.
	tables  map[string]*tableInfo
	rules   map[[2]kit.NodeName]wire.Rule
	events  map[kit.NodeName]*eventLog
	mail    map[kit.NodeName][]starlark.Value // messages that were fetched and not yet taken
	outputs map[kit.NodeName]int64            // the last line of output of each node that was shown
	awaited map[kit.NodeName]int64            // the last line that await_output has passed
	answers map[string]term.Term
	modules map[string]*module
	txSeq   int
	taskSeq int
	alive   int
	free    []string          // client names of ended manual transactions, for reuse
	clients map[string]bool   // client names that living tasks use
	sources map[string]string // text of entries and files, for messages
	lost    []*Task           // tasks that failed and nobody waited for
}

// New makes a session; Close ends it.
func New(opts Options) (*Session, error) {
	if opts.World == nil {
		return nil, &kit.Error{Op: "open shell", Kind: kit.Broken, Err: errors.New("no world given")}
	}
	if opts.Client == "" {
		opts.Client = "shell"
	}
	if opts.Width == 0 {
		opts.Width = 80
	}
	s := &Session{opts: opts, w: opts.World, limits: opts.Limits.withDefaults(), nodes: map[string]*Node{},
		tables: map[string]*tableInfo{}, rules: map[[2]kit.NodeName]wire.Rule{},
		events: map[kit.NodeName]*eventLog{}, mail: map[kit.NodeName][]starlark.Value{},
		outputs: map[kit.NodeName]int64{}, awaited: map[kit.NodeName]int64{}, answers: map[string]term.Term{}, modules: map[string]*module{}, clients: map[string]bool{}, sources: map[string]string{}}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.out.w, s.out.left = opts.Out, s.limits.Output
	s.order = slices.Clone(opts.World.Nodes())
	for _, name := range s.order {
		n := &Node{name: name, s: s}
		n.db = &DB{node: n}
		s.nodes[string(name)] = n
	}
	globals, err := s.predeclared()
	if err != nil {
		return nil, err
	}
	s.globals = globals
	return s, nil
}

// Close stops background tasks and waits for them. It does not close the world.
func (s *Session) Close() {
	s.stop(errClosed)
	s.tasks.Wait()
}

var (
	errClosed      = errors.New("the session has ended")
	errInterrupted = errors.New("interrupted")
)

// turn gives the turn to r; yield takes it away.
func (s *Session) turn(r *run) {
	s.gil.Lock()
	s.running = r
}

func (s *Session) yield() {
	s.running = nil
	s.gil.Unlock()
}

// Answers gives what the script handed in with answer(name, value).
func (s *Session) Answers() map[string]term.Term {
	s.gil.Lock()
	defer s.gil.Unlock()
	out := map[string]term.Term{}
	for k, v := range s.answers {
		out[k] = v
	}
	return out
}

// Steps gives the Starlark steps used so far.
func (s *Session) Steps() int64 { return s.steps.Load() }

func (s *Session) node(name string) *Node { return s.nodes[name] }

// predeclared builds the globals: nodes, functions, lab and what the lab adds.
func (s *Session) predeclared() (starlark.StringDict, error) {
	g := starlark.StringDict{"ok": Atom("ok"), "lab": s.labValue()}
	for _, f := range functions {
		g[f.name] = s.method(f.name, f.call)
	}
	g["help"] = s.method("help", help)
	for name, hook := range s.opts.Hooks {
		if g.Has(name) {
			return nil, &kit.Error{Op: "open shell", What: name, Kind: kit.Exists, Err: errors.New("the lab's function has the name of a built-in one")}
		}
		g[name] = starlark.NewBuiltin(name, s.hook(hook))
	}
	for _, name := range s.order {
		id := strings.ReplaceAll(string(name), "-", "_") // oam-1 is typed oam_1
		if g.Has(id) {
			return nil, &kit.Error{Op: "open shell", What: string(name), Kind: kit.Exists, Err: errors.New("the node has the name of a function"),
				Hint: "name the node otherwise"}
		}
		g[id] = s.nodes[string(name)]
	}
	return g, nil
}

func (s *Session) labValue() starlark.Value {
	data := starlark.NewDict(len(s.opts.Data))
	keys := make([]string, 0, len(s.opts.Data))
	for k := range s.opts.Data {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := data.SetKey(starlark.String(k), view{s: s}.value(s.opts.Data[k])); err != nil {
			continue // a string key never fails
		}
	}
	data.Freeze()
	nodes := make(starlark.Tuple, len(s.order))
	for i, n := range s.order {
		nodes[i] = s.nodes[string(n)]
	}
	return newFields("lab", "name", starlark.String(s.opts.Lab), "nodes", nodes, "data", data)
}

func (s *Session) hook(h Hook) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return func(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if len(kwargs) > 0 {
			return nil, fmt.Errorf("%s takes no named arguments", b.Name())
		}
		terms := make([]term.Term, len(args))
		for i, a := range args {
			t, err := toTerm(a, asData)
			if err != nil {
				return nil, err
			}
			terms[i] = t
		}
		var result term.Term
		err := runOf(th).blocking(func(ctx context.Context) (err error) {
			result, err = h(ctx, s.w, terms)
			return err
		})
		if err != nil {
			return nil, err
		}
		return view{s: s}.value(result), nil
	}
}

// call asks a node on behalf of the running thread, giving up the turn while it waits.
func (r *run) call(node kit.NodeName, req door.Request) (door.Outcome, error) {
	return r.callAs(r.client, node, req)
}

func (r *run) callAs(client string, node kit.NodeName, req door.Request) (door.Outcome, error) {
	var out door.Outcome
	err := r.blocking(func(ctx context.Context) error {
		out = r.s.w.Call(ctx, client, node, req)
		return nil
	})
	if err == nil && out.Status == "" {
		err = &kit.Error{Op: "call " + req.Verb, What: string(node), Kind: kit.Broken, Err: errors.New("the answer has no status")}
	}
	return out, err
}
