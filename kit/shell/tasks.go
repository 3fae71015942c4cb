package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.starlark.net/starlark"
)

var taskFunctions = []function{
	{"background", "function, arguments...", "Starts the function beside what follows, as another client, and gives a task: task.wait() gives its value, task.done tells whether it is over, task.cancel() stops it.",
		`task = background(lambda: a.db.transaction(lambda tx: tx.read("person", "ada")))`, background},
}

// Task is a function that runs beside the others. Its fields are guarded by the session's turn.
type Task struct {
	s      *Session
	id     int
	cancel context.CancelCauseFunc
	done   bool
	value  starlark.Value
	err    error
	waited bool
}

// pollTask is how often the end of a file looks for tasks that are left.
const pollTask = 5 * time.Millisecond

var errCancelled = errors.New("the task was cancelled")

func background(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) == 0 {
		return nil, errors.New("background: give it a function: background(lambda: ...)")
	}
	fn, ok := args[0].(starlark.Callable)
	if !ok {
		return nil, fmt.Errorf("background: a %s is no function: write background(lambda: ...)", args[0].Type())
	}
	s := r.s
	if s.alive >= s.limits.Tasks {
		return nil, fmt.Errorf("background: %d tasks are running already", s.alive)
	}
	s.alive++
	s.taskSeq++
	ctx, cancel := context.WithCancelCause(s.ctx)
	t := &Task{s: s, id: s.taskSeq, cancel: cancel}
	sub := &run{s: s, client: s.taskClient()}
	s.tasks.Add(1)
	s.w.Go(func(world context.Context) {
		defer s.tasks.Done()
		defer cancel(nil)
		defer context.AfterFunc(world, func() { cancel(errClosed) })()
		sub.ctx = ctx
		t.run(sub, fn, args[1:], kwargs)
	})
	return t, nil
}

// taskClient finds a client name that no living task uses, so that the nodes' doors see few names.
func (s *Session) taskClient() string {
	for i := 1; ; i++ {
		name := fmt.Sprintf("%s.t%d", s.opts.Client, i)
		if !s.clients[name] {
			s.clients[name] = true
			return name
		}
	}
}

func (t *Task) run(r *run, fn starlark.Callable, args starlark.Tuple, kwargs []starlark.Tuple) {
	s := t.s
	th, release := r.thread(fmt.Sprintf("task %d", t.id))
	defer release()
	s.turn(r)
	defer s.yield()
	defer func() {
		if p := recover(); p != nil {
			t.err = fmt.Errorf("internal error: %v", p)
		}
		t.done = true
		s.alive--
		delete(s.clients, r.client)
		if t.err != nil && !t.waited {
			s.lost = append(s.lost, t)
		}
	}()
	t.value, t.err = starlark.Call(th, fn, args, kwargs)
	if t.err != nil && r.failed != nil {
		t.err = &placed{t.err, r.failed}
	}
}

// joinTasks waits at the end of a file for the tasks that are left, and gives the first failure that nobody
// has seen.
func (s *Session) joinTasks(r *run) error {
	for s.alive > 0 {
		if err := r.sleep(pollTask); err != nil {
			return err
		}
	}
	if len(s.lost) > 0 {
		t := s.lost[0]
		s.lost = nil
		return fmt.Errorf("background task %d: %w", t.id, t.err)
	}
	return nil
}

// String tells number and state.
func (t *Task) String() string {
	switch {
	case !t.done:
		return fmt.Sprintf("<task %d, running>", t.id)
	case t.err != nil:
		return fmt.Sprintf("<task %d, failed>", t.id)
	}
	return fmt.Sprintf("<task %d, done>", t.id)
}

// Type is "task".
func (t *Task) Type() string { return "task" }

// Freeze does nothing.
func (t *Task) Freeze() {}

// Truth is always true.
func (t *Task) Truth() starlark.Bool { return true }

// Hash is not offered.
func (t *Task) Hash() (uint32, error) { return 0, errors.New("a task has no hash") }

// Attr gives wait, cancel and done.
func (t *Task) Attr(name string) (starlark.Value, error) {
	switch name {
	case "wait":
		return t.s.method(name, t.wait), nil
	case "cancel":
		return t.s.method(name, t.stop), nil
	case "done":
		return starlark.Bool(t.done), nil
	}
	return nil, nil
}

// AttrNames lists them.
func (t *Task) AttrNames() []string { return []string{"cancel", "done", "wait"} }

func (t *Task) wait(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	timeout := 0
	if err := starlark.UnpackArgs(name, args, kwargs, "timeout?", &timeout); err != nil {
		return nil, err
	}
	t.waited = true
	for timeout == 0 && !t.done { // no matter how long
		if err := r.sleep(pollTask); err != nil {
			return nil, err
		}
	}
	ok, err := r.pollUntil(millis(timeout), func() (bool, error) { return t.done, nil })
	switch {
	case err != nil:
		return nil, err
	case !ok:
		t.waited = false
		return nil, fmt.Errorf("wait: task %d is still running after %d ms", t.id, timeout)
	case t.err != nil:
		t.s.lost = slices.DeleteFunc(t.s.lost, func(o *Task) bool { return o == t })
		return nil, t.err
	}
	return t.value, nil
}

func (t *Task) stop(_ *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	t.waited = true
	t.cancel(errCancelled)
	return Atom("ok"), nil
}
