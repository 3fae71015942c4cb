package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// dist does a step of the topic dist that names processes or functions as scenarios do.
func (r *run) dist(s Step) (json.RawMessage, error) {
	verb := s.Do()
	if err := r.known(s, verb); err != nil {
		return nil, err
	}
	args, err := r.distArgs(s)
	if err != nil {
		return nil, err
	}
	nodes, list := s.on()
	p := s.text("p")
	if len(nodes) == 0 {
		pid, ok := r.pids[p]
		if !ok {
			return nil, errNotYet{"process " + p}
		}
		nodes = []kit.NodeName{kit.NodeName(pid.Node)}
		if !r.up[nodes[0]] {
			return json.RawMessage(`{"lost":true}`), nil
		}
	}
	client := "main"
	if verb == "proc" || verb == "proc_spawn" {
		client = "p-" + p
	}
	do := func(ctx context.Context, client string, n kit.NodeName) json.RawMessage {
		return r.call(ctx, client, n, verb, args...)
	}
	if bg := s.text("bg"); bg != "" {
		return r.background(bg, nodes[0], do), nil
	}
	out, err := r.everywhere(nodes, list, client, do)
	if err != nil {
		return nil, err
	}
	return r.made(s, out)
}

// distArgs makes the arguments of a step: processes become pids.
func (r *run) distArgs(s Step) ([]term.Term, error) {
	switch s.Do() {
	case "proc_spawn":
		return []term.Term{term.Atom(s.text("p"))}, nil
	case "is_alive":
		pid, err := r.pid(s.text("p"))
		return []term.Term{pid}, err
	case "proc":
		op, err := r.operationOf(s)
		if err != nil {
			return nil, err
		}
		pid, err := r.pid(s.text("p"))
		return []term.Term{pid, op}, err
	}
	c := Step{}
	for k, v := range s {
		c[k] = v
	}
	if raw, ok := s["fn"]; ok {
		c["fn"] = functionOf(raw)
	}
	return r.arguments(c, s.Do())
}

func (r *run) pid(name string) (term.Pid, error) {
	pid, ok := r.pids[name]
	if !ok {
		return pid, errNotYet{"process " + name}
	}
	return pid, nil
}

// functions are those that the format names; any other fn is a term that the function mirror answers.
var functions = []string{"node", "crash", "exit", "throw", "kill", "undefined", "add", "sleep"}

// functionOf gives the fn of a step as the door takes it.
func functionOf(raw json.RawMessage) json.RawMessage {
	name := str(raw)
	var list []json.RawMessage
	if name == "" && json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		name = str(list[0])
	}
	if slices.Contains(functions, name) {
		return raw
	}
	b, _ := json.Marshal([]json.RawMessage{json.RawMessage(`"mirror"`), raw}) // what was decoded can be encoded
	return b
}

// processAt says which argument of an operation names a process.
var processAt = map[string]int{"monitor": 1, "demonitor": 1, "link": 1, "unlink": 1, "exit_signal": 1, "send": 1, "send_seq": 1, "send_seq_big": 1,
	"node_of": 1, "is_process_alive": 1, "global_register_other": 2}

// operationOf gives the operation of a step with the pids of the processes that it names.
func (r *run) operationOf(s Step) (term.Term, error) {
	var op []json.RawMessage
	if err := json.Unmarshal(s["op"], &op); err != nil || len(op) == 0 {
		return nil, fmt.Errorf("no operation: %s", s["op"])
	}
	out := term.List{}
	for i, raw := range op {
		if at, ok := processAt[str(op[0])]; ok && i == at {
			if pid, ok := r.pids[str(raw)]; ok {
				out = append(out, pid)
				continue
			}
		}
		t, err := term.FromStep(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, r.withPids(t))
	}
	return out, nil
}

// withPids puts pids in the place of the scenario's names.
func (r *run) withPids(t term.Term) term.Term {
	switch x := t.(type) {
	case term.Opaque:
		for name, pid := range r.pids {
			if x == term.Process(name) {
				return pid
			}
		}
	case term.Tuple:
		return term.Tuple(r.eachWithPids(x))
	case term.List:
		return term.List(r.eachWithPids(x))
	}
	return t
}

func (r *run) eachWithPids(ts []term.Term) []term.Term {
	out := make([]term.Term, len(ts))
	for i, t := range ts {
		out[i] = r.withPids(t)
	}
	return out
}

// made notes the process that a step has made. What is compared says ok, as the recording runner did.
func (r *run) made(s Step, out json.RawMessage) (json.RawMessage, error) {
	name, op := s.text("p"), ""
	if s.Do() == "proc" {
		var parts []json.RawMessage
		_ = json.Unmarshal(s["op"], &parts) // it was read before
		op = str(parts[0])
		if as := s.text("as"); as != "" {
			name = as
		}
		if op == "exit_signal" {
			return out, r.sleep(50 * time.Millisecond)
		}
	}
	if s.Do() != "proc_spawn" && op != "spawn_on" && op != "spawn_link_on" && op != "spawn_monitor_on" {
		return out, nil
	}
	var answer struct {
		OK json.RawMessage `json:"ok"`
	}
	if json.Unmarshal(out, &answer) != nil || answer.OK == nil {
		return out, nil
	}
	t, err := term.FromJSON(answer.OK)
	pid, ok := t.(term.Pid)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s gave no pid: %s", s, out)
	}
	r.pids[name] = pid
	r.cmp.pids[name] = fmt.Sprintf("%s.%d", pid.Node, pid.ID)
	r.procs[name] = kit.NodeName(pid.Node)
	return json.RawMessage(`{"ok":"ok"}`), nil
}

// mailbox takes a process's messages, until as many as were recorded have come and a while nothing more, or until silence.
func (r *run) mailbox(s Step) (json.RawMessage, error) {
	pid := r.pids[s.text("p")]
	n := kit.NodeName(pid.Node)
	if !r.up[n] {
		return json.RawMessage(`{"lost":true}`), nil
	}
	return r.collect(s, func() json.RawMessage { return r.call(r.ctx, "p-"+s.text("p"), n, "mailbox", pid) })
}
