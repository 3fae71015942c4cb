package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"netsplit/kit"
	"netsplit/kit/term"
)

// run is one Starlark thread's life: the context that ends it, the client it speaks as, and the transaction
// that its innermost lambda is in.
type run struct {
	s      *Session
	ctx    context.Context
	client string
	tx     *Tx
	counts uint64 // steps already added to the session's sum
	th     *starlark.Thread
	failed error // why the thread was cancelled, when a function that cannot fail met an error
}

// quantum is how many steps a thread runs before it looks at the limits and lets another have a turn.
const quantum = 10_000

const runKey = "run"

func runOf(th *starlark.Thread) *run { return th.Local(runKey).(*run) }

// fileOptions is the dialect: all that a student may reasonably type. Recursion is bounded by Limits.Depth.
func fileOptions() *syntax.FileOptions {
	return &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true,
		LoadBindsGlobally: true, Recursion: true}
}

// thread makes a Starlark thread for r. release must be called when it is done.
func (r *run) thread(name string) (th *starlark.Thread, release func()) {
	th = &starlark.Thread{Name: name, Load: r.load}
	th.Print = func(_ *starlark.Thread, msg string) { r.print(th, msg) }
	th.SetLocal(runKey, r)
	th.SetMaxExecutionSteps(quantum)
	th.OnMaxSteps = r.tick
	r.th = th
	stop := context.AfterFunc(r.ctx, func() { th.Cancel(reasonOf(r.ctx).Error()) })
	return th, func() {
		stop()
		r.s.steps.Add(int64(th.Steps - r.counts))
	}
}

// tick runs every quantum of steps, inside the interpreter.
func (r *run) tick(th *starlark.Thread) {
	total := r.s.steps.Add(int64(th.Steps - r.counts))
	r.counts = th.Steps
	th.SetMaxExecutionSteps(th.Steps + quantum)
	switch limits := r.s.limits; {
	case limits.Steps > 0 && total > limits.Steps:
		th.Cancel(fmt.Sprintf("%s (%d)", tooManySteps, limits.Steps))
	case th.CallStackDepth() > limits.Depth:
		th.Cancel(fmt.Sprintf("%s (%d calls)", tooDeep, limits.Depth))
	default:
		r.s.yield()
		r.s.turn(r)
	}
}

const (
	tooManySteps = "the script took too many steps"
	tooDeep      = "the recursion is too deep"
)

func reasonOf(ctx context.Context) error {
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	return err
}

// blocking runs f without holding the turn. An interrupt during f is the error.
func (r *run) blocking(f func(ctx context.Context) error) error {
	if r.ctx.Err() != nil {
		return reasonOf(r.ctx)
	}
	r.s.yield()
	err := f(r.ctx)
	r.s.turn(r)
	if r.ctx.Err() != nil {
		return reasonOf(r.ctx)
	}
	return err
}

func (r *run) sleep(d time.Duration) error {
	return r.blocking(func(ctx context.Context) error { return r.s.w.Sleep(ctx, d) })
}

// pollUntil asks cond again and again until it is true, an error, or the time is over (false).
func (r *run) pollUntil(timeout time.Duration, cond func() (bool, error)) (bool, error) {
	const shortest, longest = 2 * time.Millisecond, 50 * time.Millisecond
	end, pause := r.s.w.Now()+timeout, shortest
	for {
		ok, err := cond()
		if ok || err != nil {
			return ok, err
		}
		left := end - r.s.w.Now()
		if left <= 0 {
			return false, nil
		}
		if err := r.sleep(min(pause, left)); err != nil {
			return false, err
		}
		pause = min(pause*3/2, longest)
	}
}

// output is where all threads print. It counts bytes, and keeps what tasks print while no entry runs.
type output struct {
	mu    sync.Mutex
	w     io.Writer
	left  int64
	busy  bool
	saved strings.Builder
	full  bool
}

const maxSaved = 64 << 10

// print writes one line, and reports false when the limit is reached.
func (o *output) print(msg string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left -= int64(len(msg)) + 1; o.left < 0 {
		o.full = true
		return false
	}
	if !o.busy {
		if o.saved.Len()+len(msg) < maxSaved {
			o.saved.WriteString(msg + "\n")
		}
		return true
	}
	o.write(msg + "\n")
	return true
}

func (o *output) write(text string) {
	if o.w != nil {
		_, _ = io.WriteString(o.w, text) // a reader that went away is noticed by the entry loop
	}
}

// begin and end bracket an entry; begin shows what tasks printed meanwhile.
func (o *output) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy = true
	o.write(o.saved.String())
	o.saved.Reset()
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy = false
}

func (r *run) print(th *starlark.Thread, msg string) {
	if !r.s.out.print(msg) {
		th.Cancel(fmt.Sprintf("%s (%d bytes)", tooMuchOutput, r.s.limits.Output))
	}
}

const tooMuchOutput = "the script printed too much"

// Eval runs one entry as typed: an expression's value is printed (and kept as _), statements are executed. It is
// journalled. The error is a *kit.Error that says where and carries a hint.
func (s *Session) Eval(ctx context.Context, name, src string) error {
	return s.evalAs(ctx, name, src, src)
}

// evalAs is Eval with the text for the journal apart.
func (s *Session) evalAs(ctx context.Context, name, src, typed string) error {
	began := s.w.Now()
	shown, err := s.entry(ctx, name, src)
	if s.opts.Journal != nil {
		e := Entry{Source: strings.TrimRight(typed, "\n"), OK: err == nil, Outcome: shown, Took: s.w.Now() - began}
		if err != nil {
			e.Outcome = err.Error()
		}
		e.Outcome = cutText(e.Outcome, maxOutcome)
		s.opts.Journal(e)
	}
	return err
}

func (s *Session) entry(ctx context.Context, name, src string) (string, error) {
	f, err := s.parse(name, src)
	if err != nil {
		return "", err
	}
	if len(f.Stmts) == 0 {
		return "", nil
	}
	s.out.resetLimit(s.limits.Output)
	var shown string
	err = s.inside(ctx, name, src, func(th *starlark.Thread) error {
		before, expr := lastExpr(f)
		if len(before.Stmts) > 0 {
			if err := starlark.ExecREPLChunk(before, th, s.globals); err != nil {
				return err
			}
		}
		if expr == nil {
			return nil
		}
		v, err := starlark.EvalExprOptions(f.Options, th, expr, s.globals)
		if err != nil {
			return err
		}
		if v != starlark.None {
			s.globals["_"] = v
			shown = pretty(v, s.opts.Width)
			runOf(th).print(th, shown)
		}
		return nil
	})
	return shown, err
}

func (o *output) resetLimit(n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left, o.full = n, false
}

// RunFile runs a whole file in the session, without printing values of expressions, and waits for the
// background tasks it left. A task that failed and that nobody waited for fails the file.
func (s *Session) RunFile(ctx context.Context, name string, src []byte) error {
	f, err := s.parse(name, string(src))
	if err != nil {
		return err
	}
	return s.inside(ctx, name, string(src), func(th *starlark.Thread) error {
		if err := starlark.ExecREPLChunk(f, th, s.globals); err != nil {
			return err
		}
		return s.joinTasks(runOf(th))
	})
}

func (s *Session) parse(name, src string) (*syntax.File, error) {
	if int64(len(src)) > s.limits.Source {
		return nil, &kit.Error{Op: "read", What: name, Kind: kit.Overloaded,
			Err: fmt.Errorf("the source has %d bytes, more than %d", len(src), s.limits.Source)}
	}
	f, err := fileOptions().Parse(name, src, 0)
	if err != nil {
		return nil, s.explain(name, src, err)
	}
	return f, nil
}

// inside runs f as the session's foreground thread, under the limits.
func (s *Session) inside(ctx context.Context, name, src string, f func(*starlark.Thread) error) (err error) {
	if s.limits.Wall > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.limits.Wall, errWall{s.limits.Wall})
		defer cancel()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })()
	r := &run{s: s, ctx: ctx, client: s.opts.Client}
	th, release := r.thread(name)
	s.out.begin()
	defer s.out.end()
	s.turn(r)
	defer s.yield()
	s.remember(name, src)
	defer release()
	defer func() {
		if p := recover(); p != nil {
			err = &kit.Error{Op: "run", What: name, Kind: kit.Broken, Err: fmt.Errorf("internal error: %v", p),
				Hint: "this is a fault in the shell, not in your code; please report what you typed"}
		}
	}()
	if err := f(th); err != nil {
		if r.failed != nil {
			err = &placed{err, r.failed}
		}
		return markLate(ctx, s.explain(name, src, err))
	}
	return nil
}

// markLate notes in an explained error that it is Limits.Wall which ended ctx.
func markLate(ctx context.Context, err error) error {
	var se *ScriptError
	if errors.As(context.Cause(ctx), new(errWall)) && errors.As(err, &se) {
		se.late = true
	}
	return err
}

// outOfTime reports whether it is Limits.Wall that ended a script.
func outOfTime(err error) bool {
	var se *ScriptError
	return errors.As(err, &se) && se.late || errors.As(err, new(errWall))
}

// maxSources bounds the texts kept for messages.
const maxSources = 500

// remember keeps a text, so that an error in a function of an earlier entry can show its line.
func (s *Session) remember(name, src string) {
	if len(s.sources) >= maxSources {
		clear(s.sources)
	}
	s.sources[name] = src
}

// placed is an error whose place is known from another one.
type placed struct {
	place error // an EvalError
	err   error
}

func (p *placed) Error() string   { return p.err.Error() }
func (p *placed) Unwrap() []error { return []error{p.err, p.place} }

type errWall struct{ d time.Duration }

func (e errWall) Error() string { return fmt.Sprintf("the script ran longer than %v", e.d) }

// lastExpr parts an entry into its last statement, if that is an expression, whose value is shown, and what comes before.
func lastExpr(f *syntax.File) (before *syntax.File, expr syntax.Expr) {
	last, ok := f.Stmts[len(f.Stmts)-1].(*syntax.ExprStmt)
	if !ok {
		return f, nil
	}
	head := *f
	head.Stmts = f.Stmts[:len(f.Stmts)-1]
	return &head, last.X
}

func soleExpr(f *syntax.File) syntax.Expr {
	if len(f.Stmts) == 1 {
		if stmt, ok := f.Stmts[0].(*syntax.ExprStmt); ok {
			return stmt.X
		}
	}
	return nil
}

// module is a loaded file: its globals, or the error it gave; nil globals while it is being loaded.
type module struct {
	globals starlark.StringDict
	err     error
}

// load serves load("file.star", "name"): each file runs once in a session.
func (r *run) load(_ *starlark.Thread, name string) (starlark.StringDict, error) {
	s := r.s
	if s.opts.Load == nil {
		return nil, errors.New("load is not possible here")
	}
	if m := s.modules[name]; m != nil {
		if m.globals == nil && m.err == nil {
			return nil, fmt.Errorf("%s loads itself", name)
		}
		return m.globals, m.err
	}
	m := &module{}
	s.modules[name] = m
	m.globals, m.err = r.loadFile(name)
	if m.err != nil {
		delete(s.modules, name) // it may be mended and loaded again
	}
	return m.globals, m.err
}

func (r *run) loadFile(name string) (starlark.StringDict, error) {
	var src []byte
	err := r.blocking(func(context.Context) (err error) {
		src, err = r.s.opts.Load(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	f, err := r.s.parse(name, string(src))
	if err != nil {
		return nil, err
	}
	prog, err := starlark.FileProgram(f, r.s.globals.Has)
	if err != nil {
		return nil, r.s.explain(name, string(src), err)
	}
	sub := &run{s: r.s, ctx: r.ctx, client: r.client, tx: r.tx}
	th, release := sub.thread(name)
	defer release()
	r.s.running = sub
	defer func() { r.s.running = r }()
	r.s.remember(name, string(src))
	globals, err := prog.Init(th, r.s.globals)
	if err != nil {
		return nil, err
	}
	return globals, nil
}

func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// answer keeps a value for the grader.
func (s *Session) keepAnswer(name string, t term.Term) error {
	const maxAnswers = 100
	if len(s.answers) >= maxAnswers {
		return fmt.Errorf("more than %d answers", maxAnswers)
	}
	s.answers[name] = t
	return nil
}
