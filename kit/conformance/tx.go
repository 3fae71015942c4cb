package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// tx is an interactive transaction: a client of its own that performs its operations one by one, and, when the
// store restarts it, all of them again from the first.
type tx struct {
	r      *run
	name   string
	node   kit.NodeName
	client string
	id     string // the store's own name of it; empty when it has none

	mu        sync.Mutex
	ops       []json.RawMessage // asked so far
	commit    bool              // asked, as the last
	busy      bool              // somebody performs
	answer    *pending          // of the last thing asked
	restarted bool
	killed    bool
	over      bool // it has ended
	asked     bool // something, after it had ended
}

func (t *tx) lastOp() json.RawMessage {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ops) == 0 || t.commit {
		return nil
	}
	return t.ops[len(t.ops)-1]
}

func (r *run) txBegin(s Step) (json.RawMessage, error) {
	if err := r.known(s, "tx_begin"); err != nil {
		return nil, err
	}
	if _, ok := s["retries"]; ok && s["kind"] == nil {
		s["kind"] = json.RawMessage(`"transaction"`) // what stands before it has to be said
	}
	args, err := r.arguments(s, "tx_begin")
	if err != nil {
		return nil, err
	}
	nodes, _ := s.on()
	name := s.text("tx")
	r.asked++
	t := &tx{r: r, name: name, node: nodes[0], client: "tx-" + name}
	r.txs[name] = t
	out := r.call(r.ctx, t.client, t.node, "tx_begin", args...)
	if _, ok := r.verbs["tx_id"]; ok && r.up[t.node] {
		id, err := r.w.Call(r.ctx, t.client, t.node, door.Request{Verb: "tx_id", Args: []term.Term{term.Atom(name)}}).Term()
		if a, ok := id.(term.Atom); ok && err == nil {
			t.id = string(a)
		}
	}
	return out, nil
}

// find gives the transaction of a step, or the outcome when it is gone with its node.
func (r *run) find(s Step) (*tx, json.RawMessage, error) {
	t := r.txs[s.text("tx")]
	switch {
	case t == nil:
		return nil, nil, errNotYet{"transaction " + s.text("tx")}
	case !r.up[t.node]:
		return nil, json.RawMessage(`{"lost":true}`), nil
	}
	return t, nil, nil
}

// blocked is the answer that does not come.
var blocked = json.RawMessage(`{"blocked":true}`)

// deaf reports that a transaction's process takes no more orders: it has ended, or was killed. The recording runner
// asked it all the same, and waited in vain.
func (t *tx) deaf() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.killed {
		t.asked = true
	}
	return t.asked
}

func (r *run) txOp(s Step) (json.RawMessage, error) {
	t, out, err := r.find(s)
	if t == nil {
		return out, err
	}
	if err := r.known(s, "tx_op"); err != nil {
		return nil, err
	}
	if t.deaf() {
		return blocked, nil
	}
	t.ask(s["op"], false)
	limit := time.Duration(s.number("block_ms", int(blockTime/time.Millisecond))) * time.Millisecond
	if !s.mayBlock() {
		limit = max(limit, patience) // it ends as soon as the answer is there, on a slow machine later
	}
	return t.wait(limit)
}

// mayBlock reports whether no answer is one that the recording has, or may have.
func (s Step) mayBlock() bool {
	expect, ok := s["expect"]
	return !ok || bytes.Contains(expect, []byte("blocked"))
}

func (r *run) txWait(s Step) (json.RawMessage, error) {
	t, out, err := r.find(s)
	if t == nil {
		return out, err
	}
	return t.wait(time.Duration(s.number("timeout", int(patience/time.Millisecond))) * time.Millisecond)
}

func (r *run) txCommit(s Step) (json.RawMessage, error) {
	t, out, err := r.find(s)
	if t == nil {
		return out, err
	}
	if err := r.known(s, "tx_commit"); err != nil {
		return nil, err
	}
	if t.deaf() {
		return blocked, nil
	}
	t.ask(nil, true)
	return t.wait(time.Duration(s.number("timeout", int(patience/time.Millisecond))) * time.Millisecond)
}

// txKill ends the client as a killed process ends.
func (r *run) txKill(s Step) (json.RawMessage, error) {
	t, out, err := r.find(s)
	if t == nil {
		return out, err
	}
	t.mu.Lock()
	t.killed = true
	t.mu.Unlock()
	r.w.Leave(t.client)
	return json.RawMessage(`{"ok":"ok"}`), r.sleep(20 * time.Millisecond)
}

func (r *run) txInfo(s Step) (json.RawMessage, error) {
	t, out, err := r.find(s)
	if t == nil {
		return out, err
	}
	t.mu.Lock()
	restarted := t.restarted
	t.mu.Unlock()
	if _, ok := r.verbs["tx_info"]; ok && !restarted {
		return r.call(r.ctx, "main", t.node, "tx_info", term.Atom(t.name)), nil
	}
	return json.Marshal(map[string]any{"ok": map[string]bool{"restarted": restarted}})
}

func (t *tx) wait(limit time.Duration) (json.RawMessage, error) {
	t.mu.Lock()
	p, lost := t.answer, t.asked
	t.mu.Unlock()
	if lost {
		return blocked, nil
	}
	if p == nil {
		return nil, errNotYet{"wait before the first operation"}
	}
	if out, ok := t.r.wait(p, limit); ok {
		return out, nil
	}
	return blocked, nil
}

// ask adds an operation, or the commit, and sees to it that somebody performs.
func (t *tx) ask(op json.RawMessage, commit bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if commit {
		t.commit = true
	} else {
		t.ops = append(t.ops, op)
	}
	t.answer = &pending{}
	if !t.busy {
		t.busy = true
		from := len(t.ops) - 1
		if commit {
			from++
		}
		t.r.w.Go(func(ctx context.Context) { t.perform(ctx, from) })
	}
}

// perform does the operations from one on, and after a restart all of them. Only the answer of the last one asked is
// kept. It ends when nothing more is asked, or the transaction has ended.
func (t *tx) perform(ctx context.Context, i int) {
	for {
		t.mu.Lock()
		if i > len(t.ops) || i == len(t.ops) && !t.commit {
			t.busy = false
			t.mu.Unlock()
			return
		}
		commit := i == len(t.ops)
		var op json.RawMessage
		if !commit {
			op = t.ops[i]
		}
		t.mu.Unlock()
		out := t.one(ctx, op, commit)
		if out.Status == door.Restart {
			t.mu.Lock()
			t.restarted, i = true, 0
			t.mu.Unlock()
			continue
		}
		i++
		if t.answered(out, i, commit) {
			return
		}
	}
}

// one performs one thing. Where the door answers that it is blocked, the answer is asked for again.
func (t *tx) one(ctx context.Context, op json.RawMessage, commit bool) door.Outcome {
	verb := "tx_op"
	if commit {
		verb = "tx_commit"
	}
	out := t.call(ctx, verb, Step{"tx": quoteJSON(t.name), "op": op})
	for out.Status == door.Blocked && ctx.Err() == nil {
		out = t.call(ctx, "tx_wait", Step{"tx": quoteJSON(t.name)})
	}
	return out
}

func (t *tx) call(ctx context.Context, verb string, s Step) door.Outcome {
	args, err := t.r.arguments(s, verb)
	if err != nil {
		return door.FromError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	return t.r.w.Call(ctx, t.client, t.node, door.Request{Verb: verb, Args: args})
}

func quoteJSON(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always encodes
	return b
}

// answered keeps the answer of the i-th thing if it is the last one asked, and reports whether the transaction is over.
func (t *tx) answered(out door.Outcome, i int, commit bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	over := commit || out.Status != door.OK
	last := i == len(t.ops) && !t.commit || commit
	if last || over {
		raw := encode(out)
		if over && !commit && out.Status != door.Ended && out.Status != door.Lost && out.Status != door.Down {
			raw = json.RawMessage(`{"ended":` + string(raw) + `}`)
		}
		t.answer.set(raw)
	}
	if over {
		t.busy, t.over = false, true
	}
	return over
}
