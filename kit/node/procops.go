package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

// procOp is one operation that a client can do in the name of a process.
type procOp struct {
	name   string
	params string // of the arguments, for those who read the list
	least  int
	most   int
	do     func(c *opCall) (term.Term, error)
}

// opCall is one operation being done.
type opCall struct {
	f    *procFace
	ctx  context.Context
	p    *proc.Process
	args []term.Term
}

// procOps are the operations, named as in the conformance format ("Distribution").
var procOps = []procOp{
	{"self", "", 0, 0, func(c *opCall) (term.Term, error) { return c.p.Self(), nil }},
	{"spawn_on", "node, [function], [args]", 1, 3, spawnOn},
	{"spawn_link_on", "node, [function], [args]", 1, 3, spawnLinkOn},
	{"spawn_monitor_on", "node, [function], [args]", 1, 3, spawnMonitorOn},
	{"monitor", "pid", 1, 1, monitor},
	{"monitor_name", "name, node", 2, 2, monitorName},
	{"demonitor", "pid or name or reference", 1, 1, demonitor},
	{"link", "pid", 1, 1, func(c *opCall) (term.Term, error) { return c.withPid(func(q term.Pid) error { return c.p.Link(q) }) }},
	{"unlink", "pid", 1, 1, func(c *opCall) (term.Term, error) {
		return c.withPid(func(q term.Pid) error { c.p.Unlink(q); return nil })
	}},
	{"trap_exit", "bool", 1, 1, func(c *opCall) (term.Term, error) { c.p.TrapExit(c.flag(0)); return nil, nil }},
	{"exit", "reason", 1, 1, func(c *opCall) (term.Term, error) { c.p.End(c.args[0]); return nil, nil }},
	{"crash", "reason", 1, 1, crash},
	{"return", "", 0, 0, func(c *opCall) (term.Term, error) { c.p.End(proc.Normal); return nil, nil }},
	{"exit_signal", "pid, reason", 2, 2, exitSignal},
	{"send", "pid or name or {name, node}, message", 2, 2, func(c *opCall) (term.Term, error) { return nil, c.p.Send(c.args[0], c.args[1]) }},
	{"send_name", "name, node, message", 3, 3, func(c *opCall) (term.Term, error) {
		return nil, c.p.Send(term.T(c.args[0], c.args[1]), c.args[2])
	}},
	{"send_seq", "pid, n", 2, 2, sendSeq},
	{"send_seq_big", "pid, n", 2, 2, sendSeqBig},
	{"register", "name", 1, 1, func(c *opCall) (term.Term, error) { return term.True, c.p.Register(c.name(0)) }},
	{"unregister", "name", 1, 1, func(c *opCall) (term.Term, error) { return term.True, c.f.rt.Unregister(c.name(0)) }},
	{"group_leader_node", "", 0, 0, func(c *opCall) (term.Term, error) { return term.Atom(c.p.Leader().Node), nil }},
	{"monitor_nodes", "bool", 1, 1, func(c *opCall) (term.Term, error) { c.p.MonitorNodes(c.flag(0), false); return nil, nil }},
	{"monitor_nodes_reason", "bool", 1, 1, func(c *opCall) (term.Term, error) { c.p.MonitorNodes(c.flag(0), true); return nil, nil }},
	{"monitor_node", "node, bool", 2, 2, func(c *opCall) (term.Term, error) {
		c.p.MonitorNode(kit.NodeName(c.name(0)), c.flag(1))
		return term.True, nil
	}},
	{"global_register", "name, [resolver]", 1, 2, globalRegister},
	{"global_register_other", "name, pid", 2, 2, globalRegisterOther},
	{"global_re_register", "name", 1, 1, func(c *opCall) (term.Term, error) {
		return term.Atom("yes"), c.f.rt.ReregisterGlobal(c.ctx, c.args[0], c.p.Self(), "")
	}},
	{"global_unregister", "name", 1, 1, func(c *opCall) (term.Term, error) { return nil, c.f.rt.UnregisterGlobal(c.ctx, c.args[0]) }},
	{"global_send", "name, message", 2, 2, globalSend},
	{"set_lock", "id, retries", 2, 2, setLock},
	{"del_lock", "id", 1, 1, func(c *opCall) (term.Term, error) {
		c.f.rt.DelLock(c.ctx, c.p.Self(), c.args[0], c.everyNode())
		return term.True, nil
	}},
	{"node_of", "pid", 1, 1, func(c *opCall) (term.Term, error) {
		pid, err := c.pid(0)
		return term.Atom(pid.Node), err
	}},
	{"is_process_alive", "pid", 1, 1, func(c *opCall) (term.Term, error) {
		pid, err := c.pid(0)
		if err == nil && pid.Node != string(c.p.Node()) {
			err = proc.Error(term.Atom("badarg"))
		}
		return term.Bool(c.f.rt.Alive(pid)), err
	}},
}

// procOps lists the operations.
func (f *procFace) procOps(context.Context, door.Request) door.Outcome {
	list := term.List{}
	for _, op := range procOps {
		list = append(list, pairs("name", term.Atom(op.name), "params", term.List{term.Bin(op.params)}))
	}
	return door.OKTerm(list)
}

// proc does one operation.
func (f *procFace) proc(ctx context.Context, r door.Request) door.Outcome {
	p, err := f.actor(ctx, r, 0)
	if err != nil {
		return outcome(nil, err)
	}
	list, _ := r.Args[1].(term.List)
	if len(list) == 0 {
		return door.ErrorWith("badarg", r.Args[1])
	}
	name, _ := list[0].(term.Atom)
	var known []string
	for _, op := range procOps {
		if op.name != string(name) {
			known = append(known, op.name)
			continue
		}
		if n := len(list) - 1; n < op.least || n > op.most {
			return door.FromError(&kit.Error{Op: op.name, Kind: kit.Invalid, Err: fmt.Errorf("it takes %s, not %d arguments", op.params, n)})
		}
		var v term.Term
		err := p.Act(func() (err error) {
			v, err = op.do(&opCall{f, ctx, p, list[1:]})
			return err
		})
		return outcome(v, err)
	}
	return outcome(nil, near(&kit.Error{Op: "proc", What: string(name), Kind: kit.NotFound, Err: errors.New("there is no such operation")}, string(name), known))
}

func (c *opCall) pid(i int) (term.Pid, error) {
	pid, ok := c.args[i].(term.Pid)
	if !ok {
		return pid, proc.Error(term.Atom("badarg"))
	}
	return pid, nil
}

func (c *opCall) withPid(f func(term.Pid) error) (term.Term, error) {
	pid, err := c.pid(0)
	if err != nil {
		return nil, err
	}
	return nil, f(pid)
}

func (c *opCall) flag(i int) bool { return c.args[i] == term.True }

func (c *opCall) name(i int) string {
	name, _ := c.args[i].(term.Atom)
	return string(name)
}

// everyNode is this node and all that it is connected to.
func (c *opCall) everyNode() []kit.NodeName {
	return append(c.f.node.links.Up(), c.f.node.cfg.Node)
}

// spawnArgs reads node, function and arguments; without a function the process is one to act for.
func (c *opCall) spawnArgs() (kit.NodeName, string, []term.Term) {
	fn, args := "attended", term.List{}
	if len(c.args) > 1 {
		fn = c.name(1)
	}
	if len(c.args) > 2 {
		args, _ = c.args[2].(term.List)
	}
	return kit.NodeName(c.name(0)), fn, args
}

func spawnOn(c *opCall) (term.Term, error) {
	node, fn, args := c.spawnArgs()
	return pidOr(c.p.Spawn(node, fn, args...))
}

func spawnLinkOn(c *opCall) (term.Term, error) {
	node, fn, args := c.spawnArgs()
	return pidOr(c.p.SpawnLink(node, fn, args...))
}

func spawnMonitorOn(c *opCall) (term.Term, error) {
	node, fn, args := c.spawnArgs()
	pid, ref, err := c.p.SpawnMonitor(node, fn, args...)
	c.f.keepRef(c.p, pid, ref)
	return pidOr(pid, err)
}

func pidOr(pid term.Pid, err error) (term.Term, error) { return pid, err }

// keepRef remembers the last monitor that a process has on something, for demonitor.
func (f *procFace) keepRef(p *proc.Process, of term.Term, ref uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	refs := f.refs[p.Self().ID]
	if refs == nil {
		refs = map[string]uint64{}
		f.refs[p.Self().ID] = refs
	}
	if len(refs) < maxAttended {
		refs[term.String(of)] = ref
	}
}

func monitor(c *opCall) (term.Term, error) {
	return c.withPid(func(q term.Pid) error {
		c.f.keepRef(c.p, q, c.p.Monitor(q))
		return nil
	})
}

func monitorName(c *opCall) (term.Term, error) {
	c.f.keepRef(c.p, c.args[0], c.p.MonitorName(c.name(0), kit.NodeName(c.name(1))))
	return nil, nil
}

func demonitor(c *opCall) (term.Term, error) {
	ref, isRef := c.args[0].(term.Int)
	if !isRef {
		c.f.mu.Lock()
		ref = term.Int(c.f.refs[c.p.Self().ID][term.String(c.args[0])])
		c.f.mu.Unlock()
	}
	if ref <= 0 {
		return nil, proc.Error(term.Atom("badarg"))
	}
	c.p.Demonitor(uint64(ref))
	return term.True, nil
}

// crash ends the process as an error would, with a stack.
func crash(c *opCall) (term.Term, error) {
	c.p.End(proc.CrashReason(c.args[0], "attended"))
	return nil, nil
}

func exitSignal(c *opCall) (term.Term, error) {
	return c.withPid(func(q term.Pid) error {
		c.p.SendExit(q, c.args[1])
		return nil
	})
}

// maxSeq bounds the messages of one send_seq.
const maxSeq = 1_000_000

func sendSeq(c *opCall) (term.Term, error) {
	return c.sendAll(func(i term.Int) term.Term { return term.T(term.Atom("n"), i) })
}

// sendSeqBig sends what takes time to make between small messages; only its size is in the message.
func sendSeqBig(c *opCall) (term.Term, error) {
	return c.sendAll(func(i term.Int) term.Term { return term.T(term.Atom("n"), i, 200_000*(i%3)) })
}

func (c *opCall) sendAll(msg func(term.Int) term.Term) (term.Term, error) {
	n, ok := c.args[1].(term.Int)
	if !ok || n < 0 || n > maxSeq {
		return nil, proc.Error(term.Atom("badarg"))
	}
	return c.withPid(func(q term.Pid) error {
		for i := term.Int(1); i <= n; i++ {
			if err := c.p.Send(q, msg(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

func globalRegister(c *opCall) (term.Term, error) {
	resolver := ""
	if len(c.args) > 1 {
		resolver = c.name(1)
	}
	ok, err := c.f.rt.RegisterGlobal(c.ctx, c.args[0], c.p.Self(), resolver)
	return yesNo(ok), err
}

func globalRegisterOther(c *opCall) (term.Term, error) {
	pid, err := c.pid(1)
	if err != nil {
		return nil, err
	}
	ok, err := c.f.rt.RegisterGlobal(c.ctx, c.args[0], pid, "")
	return yesNo(ok), err
}

func globalSend(c *opCall) (term.Term, error) {
	pid, ok := c.f.rt.WhereisGlobal(c.args[0])
	if !ok {
		return nil, proc.Exit(term.T(term.Atom("badarg"), term.T(c.args[0], c.args[1])))
	}
	return pid, c.p.Send(pid, c.args[1])
}

func setLock(c *opCall) (term.Term, error) {
	retries := -1
	switch n := c.args[1].(type) {
	case term.Int:
		retries = int(max(-1, min(n, 1000)))
	default:
		if n != term.Atom("infinity") {
			return nil, proc.Error(term.Atom("badarg"))
		}
	}
	ok, err := c.f.rt.SetLock(c.ctx, c.p.Self(), c.args[0], c.everyNode(), retries)
	return term.Bool(ok), err
}

// maxDrained bounds the messages of one answer.
const maxDrained = 10_000

// mailbox takes all messages, rendered as the conformance format has them.
func (f *procFace) mailbox(ctx context.Context, r door.Request) door.Outcome {
	p, err := f.actor(ctx, r, 0)
	if err != nil {
		return outcome(nil, err)
	}
	d, err := wait(r, 1, 0)
	if err != nil {
		return door.FromError(err)
	}
	raw := []byte{'['}
	n := 0
	err = p.Act(func() error {
		for ; n < maxDrained && ctx.Err() == nil; n++ {
			msg, ok := p.Receive(min(d, time.Minute), nil)
			if !ok {
				return nil
			}
			one, err := messageJSON(msg)
			if err != nil {
				return err
			}
			if n > 0 {
				raw = append(raw, ',')
			}
			raw = append(raw, one...)
		}
		return nil
	})
	if err != nil && (n == 0 || !errors.Is(err, proc.ErrEnded)) {
		return outcome(nil, err)
	}
	return door.OKJSON(append(raw, ']'))
}

// messageJSON renders a message: those that the runtime sends as events, any other as it is.
func messageJSON(msg term.Term) ([]byte, error) {
	t, _ := msg.(term.Tuple)
	kind := term.Atom("")
	if len(t) > 1 {
		kind, _ = t[0].(term.Atom)
	}
	switch {
	case kind == "DOWN" && len(t) == 5:
		return eventJSON(kind, "reason", plain(t[4]), "who", t[3])
	case kind == "EXIT" && len(t) == 3:
		return eventJSON(kind, "reason", plain(t[2]), "who", t[1])
	case (kind == "nodeup" || kind == "nodedown") && len(t) == 2, kind == "nodeup" && len(t) == 3:
		return eventJSON(kind, "node", t[1])
	case kind == "nodedown" && len(t) == 3:
		return eventJSON(kind, "info", t[2], "node", t[1])
	case kind == "global_name_conflict" && len(t) == 2:
		return eventJSON(kind, "name", t[1])
	case kind == "global_name_conflict" && len(t) == 3:
		return eventJSON(kind, "name", t[1], "other", t[2])
	}
	raw, err := term.ToJSON(msg)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]json.RawMessage{"message": raw})
}

// plain is a reason without its stack trace.
func plain(reason term.Term) term.Term {
	reason, _ = proc.WithoutStack(reason)
	return reason
}

func eventJSON(kind term.Atom, kv ...any) ([]byte, error) {
	b := bytes.NewBufferString(`{"event":`)
	name, err := json.Marshal(string(kind))
	b.Write(name)
	for i := 0; i+1 < len(kv) && err == nil; i += 2 {
		var raw []byte
		if who, ok := kv[i+1].(term.Tuple); ok && kv[i] == "who" && len(who) == 2 {
			raw, err = json.Marshal(map[string]term.Term{"name": who[0], "node": who[1]})
		} else {
			raw, err = term.ToJSON(kv[i+1].(term.Term))
		}
		fmt.Fprintf(b, `,%q:%s`, kv[i], raw)
	}
	b.WriteByte('}')
	return b.Bytes(), err
}
