package proc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Resolver settles a clash: the processes a and b got the same global name on two sides of a cut; a's node comes first by
// name. It gives the one that keeps the name, or the zero Pid if neither does. It runs on one node, in a process of its
// own, p; when it fails, neither keeps the name. Of two processes registered with different resolvers a's counts.
type Resolver func(p *Process, name term.Term, a, b term.Pid) (term.Pid, error)

// DefaultResolver is what names are registered with when nobody says otherwise.
const DefaultResolver = "random_exit"

// resolvers are the built-in ones, named as Erlang's global has them.
var resolvers = map[string]Resolver{
	DefaultResolver: randomExit,
	"random_notify": randomNotify,
	"notify_all":    notifyAll,
}

// randomExit kills the process on the later node. Erlang calls it random too, and it is no more so there.
func randomExit(p *Process, _ term.Term, a, b term.Pid) (term.Pid, error) {
	p.SendExit(b, Kill)
	return a, nil
}

// randomNotify tells the process on the later node that it has lost the name.
func randomNotify(p *Process, name term.Term, a, b term.Pid) (term.Pid, error) {
	return a, p.Send(b, term.T(term.Atom("global_name_conflict"), name))
}

// notifyAll takes the name from both and tells both.
func notifyAll(p *Process, name term.Term, a, b term.Pid) (term.Pid, error) {
	conflict := term.Atom("global_name_conflict")
	return term.Pid{}, errors.Join(p.Send(a, term.T(conflict, name, b)), p.Send(b, term.T(conflict, name, a)))
}

// lastingClash is how long a clash of two nodes that do not see each other lasts before a third settles it.
const lastingClash = 2 * time.Second

// resolve has a clash settled after a while, if it is still there.
func (r *Runtime) resolve(k clash, after time.Duration) {
	r.later(after, func() {
		r.mu.Lock()
		still := r.core.Clashes(k) && !r.closed
		f := r.resolvers[k.resolver]
		var p *Process
		if still {
			pid, err := r.core.Attend("$resolver", r.core.host(), r.core.host())
			if err == nil {
				p = r.adopt(r.core.procs.find(pid.ID))
			}
		}
		r.mu.Unlock()
		if p != nil {
			r.settle(p, f, k)
		}
	})
}

// settle runs a resolver and does what it says.
func (r *Runtime) settle(p *Process, f Resolver, k clash) {
	defer p.End(Normal)
	keep := k.pids[0]
	_, e := p.apply(func(p *Process, _ []term.Term) (term.Term, error) {
		var err error
		if f == nil {
			f = randomExit
		}
		keep, err = f(p, k.name, k.pids[0], k.pids[1])
		return nil, err
	}, nil)
	if e != nil {
		keep = term.Pid{}
		r.report(fmt.Sprintf("resolver %s of the global name %s failed: %v", k.resolver, term.String(k.name), e))
	}
	r.report(fmt.Sprintf("global name %s: two processes had it, %s and %s; %s keeps it (%s)", term.String(k.name),
		term.String(k.pids[0]), term.String(k.pids[1]), winner(keep), k.resolver))
	for _, pid := range k.pids {
		if pid != keep {
			// When the node is lost meanwhile its names are forgotten anyway.
			_, _ = r.ask(r.ctx, pid.Node, Signal{Op: OpWithdraw, Term: term.T(k.name, pid)})
		}
	}
}

func winner(pid term.Pid) string {
	if pid.Node == "" {
		return "neither"
	}
	return term.String(pid)
}

// WhereisGlobal gives the process that has a global name, as this node knows it.
func (r *Runtime) WhereisGlobal(name term.Term) (term.Pid, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.WhereisGlobal(name)
}

// GlobalNames lists the global names that this node knows.
func (r *Runtime) GlobalNames() []term.Term {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.GlobalNames()
}

// RegisterGlobal gives a process a name in all connected nodes, and returns when they know it. It reports false when the
// name is taken, or the process has a global name already, as Erlang does by default. resolver settles a clash after a
// cut; empty is DefaultResolver.
func (r *Runtime) RegisterGlobal(ctx context.Context, name term.Term, pid term.Pid, resolver string) (bool, error) {
	return r.registerGlobal(ctx, name, pid, resolver, false)
}

// ReregisterGlobal is RegisterGlobal that takes the name from whoever has it.
func (r *Runtime) ReregisterGlobal(ctx context.Context, name term.Term, pid term.Pid, resolver string) error {
	_, err := r.registerGlobal(ctx, name, pid, resolver, true)
	return err
}

func (r *Runtime) registerGlobal(ctx context.Context, name term.Term, pid term.Pid, resolver string, replace bool) (bool, error) {
	if resolver == "" {
		resolver = DefaultResolver
	}
	if r.resolvers[resolver] == nil {
		return false, &kit.Error{Op: "register", What: term.String(name), Kind: kit.NotFound, Err: fmt.Errorf("there is no resolver %.64q", resolver)}
	}
	if pid.Node != string(r.cfg.Self) { // only its own node speaks for a process
		res, err := r.Call(ctx, term.Pid{}, kit.NodeName(pid.Node), registerFunc, []term.Term{name, pid, term.Bin(resolver), term.Bool(replace)}, globalPatience)
		if err != nil {
			return false, err
		}
		return res.Kind == Returned && res.Value == term.True, nil
	}
	var check term.Term = term.Undefined
	if !replace {
		check = name
	}
	ok := false
	err := r.locked(ctx, name, check, func() {
		r.step(func(c *Core) { ok = c.Claim(pid.ID, name, resolver, replace) })
	})
	return ok, err
}

// registerFunc is the function that registers a process of its own node for another.
const registerFunc = "$global_register"

func globalRegister(p *Process, args []term.Term) (term.Term, error) {
	if len(args) != 4 {
		return nil, badarg()
	}
	pid, ok1 := args[1].(term.Pid)
	resolver, ok2 := args[2].(term.Bin)
	if !ok1 || !ok2 || pid.Node != string(p.Node()) {
		return nil, badarg()
	}
	ok, err := p.rt.registerGlobal(p.Context(), args[0], pid, string(resolver), args[3] == term.True)
	return term.Bool(ok), err
}

// UnregisterGlobal takes a name from whoever has it.
func (r *Runtime) UnregisterGlobal(ctx context.Context, name term.Term) error {
	return r.locked(ctx, name, term.Undefined, func() {
		if pid, ok := r.WhereisGlobal(name); ok {
			_, _ = r.ask(ctx, pid.Node, Signal{Op: OpWithdraw, Term: term.T(name, pid)}) // a node that is lost has no names
		}
	})
}

// globalPatience bounds the wait for the lock of a name.
const globalPatience = 15 * time.Second

// locked does f while this node has the lock of a name everywhere. With check, f is not done when some node knows a
// holder of that name.
func (r *Runtime) locked(ctx context.Context, name, check term.Term, f func()) error {
	ctx, cancel := context.WithTimeout(ctx, globalPatience)
	defer cancel()
	r.mu.Lock()
	host := r.core.host()
	me := term.T(host, term.Int(r.core.Ref()))
	r.mu.Unlock()
	l := lockRequest{id: term.T(term.Atom("$global_name"), name), requester: me, owner: host, name: check}
	nodes, err := r.lock(ctx, l, r.everyNode, -1)
	if len(nodes) > 0 {
		f()
		r.unlock(ctx, l, nodes)
	}
	return err
}

// everyNode is this node and its peers.
func (r *Runtime) everyNode() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{string(r.cfg.Self)}, r.core.Peers()...)
}

// lockRequest is what one asks for at each node. The lock ends with its owner.
type lockRequest struct {
	id, requester, name term.Term
	owner               term.Pid
}

func (l lockRequest) term() term.Term { return term.T(l.id, l.requester, l.name) }

// SetLock takes a global lock at nodes for a process of this node (Erlang's global:set_lock with the requester pid), trying
// again so often when somebody else has it; a negative number is for ever. It reports whether it got the lock. The lock
// ends with the process, also while it is being asked for; nodes that are lost meanwhile do not count.
func (r *Runtime) SetLock(ctx context.Context, owner term.Pid, id term.Term, nodes []kit.NodeName, retries int) (bool, error) {
	if !r.owns(owner) {
		return false, ErrEnded
	}
	l := lockRequest{id, owner, term.Undefined, owner}
	got, err := r.lock(ctx, l, func() []string { return names(nodes) }, retries)
	if got != nil && !r.Alive(owner) { // what its end told may have come before the last of the requests
		r.unlock(ctx, l, got)
		return false, ErrEnded
	}
	return got != nil, err
}

// owns notes that a process asks for locks; false when it has ended.
func (r *Runtime) owns(owner term.Pid) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.core.find(owner) == nil {
		return false
	}
	r.core.Owns(owner.ID)
	return true
}

// DelLock gives a lock back.
func (r *Runtime) DelLock(ctx context.Context, owner term.Pid, id term.Term, nodes []kit.NodeName) {
	r.unlock(ctx, lockRequest{id, owner, term.Undefined, owner}, names(nodes))
}

func names(nodes []kit.NodeName) []string {
	list := make([]string, len(nodes))
	for i, n := range nodes {
		list[i] = string(n)
	}
	return list
}

// lock asks all nodes, and gives them back when it has the lock, else nil. Unless all say yes it gives back what it got and,
// after a while, asks again whoever is a node then, but no node that was lost; nor anybody when some process has the name
// that the request is about.
func (r *Runtime) lock(ctx context.Context, l lockRequest, nodes func() []string, retries int) ([]string, error) {
	lost := map[string]bool{}
	for try := 0; ; try++ {
		all := slices.DeleteFunc(nodes(), func(n string) bool { return lost[n] })
		a, err := r.askLocks(ctx, l, all)
		if err == nil && !a.busy && !a.taken {
			return all, nil
		}
		if len(a.taking) > 0 {
			r.unlock(ctx, l, a.taking)
		}
		if err != nil || a.taken || retries >= 0 && try >= retries {
			return nil, err
		}
		if l.owner.ID != 0 && !r.Alive(l.owner) {
			return nil, ErrEnded
		}
		for _, n := range a.lost {
			lost[n] = true
		}
		r.mu.Lock()
		wait := time.Duration(r.rng.Int64N(int64(min(10*time.Millisecond<<min(try, 10), time.Second))) + 1)
		r.mu.Unlock()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-r.ctx.Done():
			return nil, errClosed("lock")
		}
	}
}

// lockAnswers is what nodes said to a request for a lock.
type lockAnswers struct {
	taking []string // they have granted it just now, or may do so yet
	lost   []string // no link to them
	busy   bool     // another one has it at some node
	taken  bool     // some node knows a holder of the name
}

// askLocks asks every node once. The first node by name is asked before the others, so that those who compete meet there and
// not each with a part of the nodes.
func (r *Runtime) askLocks(ctx context.Context, l lockRequest, nodes []string) (a lockAnswers, err error) {
	nodes = slices.Sorted(slices.Values(nodes))
	for _, part := range [][]string{nodes[:min(1, len(nodes))], nodes[min(1, len(nodes)):]} {
		if err = r.askLocksOf(ctx, l, part, &a); a.busy || a.taken || err != nil {
			break
		}
	}
	return a, err
}

func (r *Runtime) askLocksOf(ctx context.Context, l lockRequest, nodes []string, all *lockAnswers) error {
	answers, err := r.askAll(ctx, nodes, Signal{Op: OpLock, From: l.owner, Term: l.term()})
	for _, node := range nodes {
		switch a, answered := answers[node]; {
		case !answered: // it was asked, and what gives the lock back arrives later
			all.taking = append(all.taking, node)
		case a == nil:
			all.lost = append(all.lost, node)
		case a == term.Atom("held"): // ours already
		case a == term.Atom("granted"):
			all.taking = append(all.taking, node)
		case a == term.Atom("busy"):
			all.busy = true
		default:
			all.taken = true
		}
	}
	return err
}

// unlock gives a lock back. The nodes are told even if ctx has ended; their answers are not waited for then.
func (r *Runtime) unlock(ctx context.Context, l lockRequest, nodes []string) {
	l.name = term.Undefined
	_, _ = r.askAll(ctx, nodes, Signal{Op: OpUnlock, From: l.owner, Term: l.term()}) // who does not answer is lost, and the lock with it
}

// askAll asks several nodes at once.
func (r *Runtime) askAll(ctx context.Context, nodes []string, s Signal) (map[string]term.Term, error) {
	answers := map[string]term.Term{}
	type asked struct {
		ref uint64
		ch  chan term.Term
	}
	waits := map[string]asked{}
	for _, n := range nodes {
		ref, ch, err := r.begins(n, s)
		if err != nil {
			return answers, err
		}
		waits[n] = asked{ref, ch}
	}
	var failed error
	for n, w := range maps.All(waits) {
		a, err := r.answered(ctx, w.ref, w.ch)
		if err != nil {
			failed = err
			continue
		}
		answers[n] = a
	}
	return answers, failed
}

// SyncGlobal returns when this node knows the names of all nodes that it is connected to, and clashes that it knows of
// are settled.
func (r *Runtime) SyncGlobal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, globalPatience)
	defer cancel()
	r.mu.Lock()
	nodes := r.core.Peers()
	r.mu.Unlock()
	if _, err := r.askAll(ctx, nodes, Signal{Op: OpSync}); err != nil {
		return err
	}
	for {
		r.mu.Lock()
		settled := r.core.Settled()
		r.mu.Unlock()
		if settled {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		case <-r.ctx.Done():
			return errClosed("sync")
		}
	}
}
