package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// step does one step and gives its outcome; nil for steps that have none.
func (r *run) step(s Step) (json.RawMessage, error) {
	if len(r.verbs) == 0 {
		return nil, errNotYet{"such a node"}
	}
	switch s.Do() {
	case "cut":
		return nil, r.cut(s)
	case "heal":
		return nil, r.heal(s)
	case "kill":
		return nil, r.down(kit.NodeName(s.text("node")), r.w.Kill)
	case "stop_node":
		return nil, r.down(kit.NodeName(s.text("node")), r.w.Stop)
	case "start_node":
		return nil, r.start(kit.NodeName(s.text("node")))
	case "wipe_disc":
		return nil, r.wipeDisc(kit.NodeName(s.text("node")))
	case "settle", "sleep":
		return nil, r.sleep(time.Duration(s.number("ms", 300)) * time.Millisecond)
	case "comment":
		return nil, nil
	case "damage_shared":
		return nil, r.damageShared(s)
	case "damage":
		return nil, r.damage(s)
	case "await":
		return r.await(s)
	case "tx_begin":
		return r.txBegin(s)
	case "tx_op":
		return r.txOp(s)
	case "tx_wait":
		return r.txWait(s)
	case "tx_commit":
		return r.txCommit(s)
	case "tx_kill":
		return r.txKill(s)
	case "tx_info":
		return r.txInfo(s)
	case "proc_spawn", "proc", "is_alive", "rpc", "erpc", "multicall", "global_sync":
		return r.dist(s)
	case "events", "mailbox":
		if _, ok := r.pids[s.text("p")]; ok {
			return r.mailbox(s)
		}
		return r.events(s)
	case "boot_events":
		return r.bootEvents(s)
	case "held_locks", "lock_queue":
		out, err := r.ask(s)
		return r.nameTxs(out), err
	case "table_info", "system_info":
		out, err := r.ask(s)
		if s.text("item") == "all" {
			out = keysOf(out)
		}
		return out, err
	}
	return r.ask(s)
}

// ask does a step that is a verb of the door, on its node or nodes.
func (r *run) ask(s Step) (json.RawMessage, error) {
	verb, prepare, err := r.translate(s)
	if err != nil {
		return nil, err
	}
	if err := r.known(s, verb); err != nil {
		return nil, err
	}
	args, err := r.arguments(prepare, verb)
	if err != nil {
		return nil, err
	}
	r.learnTables(s)
	if err := r.giveFile(s); err != nil {
		return nil, err
	}
	nodes, list := s.on()
	if len(nodes) == 0 {
		n, ok := r.procs[s.text("p")]
		if !ok {
			return nil, fmt.Errorf("no node to do %s on", s.Do())
		}
		nodes = []kit.NodeName{n}
	}
	client := "main"
	if p := s.text("p"); p != "" {
		client = "p-" + p
		r.procs[p] = nodes[0]
	}
	times := 1
	if verb == "dirty" {
		times = s.number("times", 1)
	}
	do := func(ctx context.Context, client string, n kit.NodeName) json.RawMessage {
		var out json.RawMessage
		for range times {
			out = r.call(ctx, client, n, verb, args...)
		}
		return out
	}
	if bg := s.text("bg"); bg != "" {
		return r.background(bg, nodes[0], do), nil
	}
	out, err := r.everywhere(nodes, list, client, do)
	if err != nil {
		return nil, err
	}
	if err := r.takeFile(s); err != nil {
		return nil, err
	}
	return out, r.after(s)
}

// translate gives the verb that does a step, and the step in that verb's fields. Some steps are shorthands.
func (r *run) translate(s Step) (string, Step, error) {
	switch s.Do() {
	case "load_textfile":
		return s.Do(), textArgument(s), nil
	case "start_store":
		return s.Do(), withEventModule(s), nil
	case "repeat_dirty":
		if _, ok := r.verbs["repeat_dirty"]; !ok {
			return "dirty", s, nil
		}
	case "fill":
		if _, ok := r.verbs["fill"]; ok {
			return "fill", s, nil
		}
		table, ops := s.text("table"), [][]any{}
		for i := 1; i <= s.number("n", 0); i++ {
			ops = append(ops, []any{"dirty_write", table, map[string]any{"t": []any{table, i, i}}})
		}
		raw, err := json.Marshal(ops)
		return "activity", Step{"kind": json.RawMessage(`"async_dirty"`), "ops": raw}, err
	}
	return s.Do(), s, nil
}

// withEventModule adds to the parameters of a start what the recording runner had set: its own receiver of events, which
// system_info tells.
func withEventModule(s Step) Step {
	config := map[string]json.RawMessage{}
	if raw, ok := s["config"]; ok && json.Unmarshal(raw, &config) != nil {
		return s
	}
	config["event_module"] = json.RawMessage(`"conform_event"`)
	c := Step{}
	for k, v := range s {
		c[k] = v
	}
	c["config"], _ = json.Marshal(config) // what was decoded can be encoded
	return c
}

// learnTables notes which tables are ordered_sets; their answers have an order.
func (r *run) learnTables(s Step) {
	switch s.Do() {
	case "create_table":
		var opts struct {
			Type string `json:"type"`
		}
		_ = json.Unmarshal(s["opts"], &opts) // strange options: not ordered
		r.cmp.ordered[s.text("table")] = opts.Type == "ordered_set"
	case "create_table_raw":
		arg, err := term.FromStep(s["arg"])
		list, _ := arg.(term.List)
		name, ordered := term.Atom(""), false
		for _, e := range list {
			if p, ok := e.(term.Tuple); ok && len(p) == 2 {
				if p[0] == term.Atom("name") {
					name, _ = p[1].(term.Atom)
				}
				ordered = ordered || p[0] == term.Atom("type") && p[1] == term.Atom("ordered_set")
			}
		}
		if err == nil && name != "" {
			r.cmp.ordered[string(name)] = ordered
		}
	}
}

// everywhere does something on one node, or on several at once.
func (r *run) everywhere(nodes []kit.NodeName, list bool, client string, do func(context.Context, string, kit.NodeName) json.RawMessage) (json.RawMessage, error) {
	if !list {
		return do(r.ctx, client, nodes[0]), nil
	}
	waits := make([]*pending, len(nodes))
	for i, n := range nodes {
		waits[i] = &pending{}
		r.w.Go(func(ctx context.Context) { waits[i].set(do(ctx, client, n)) })
	}
	all := map[kit.NodeName]json.RawMessage{}
	ok := r.until(stepTime, func() bool {
		for i, p := range waits {
			out, done := p.get()
			if !done {
				return false
			}
			all[nodes[i]] = out
		}
		return true
	})
	if !ok {
		for _, n := range nodes {
			if all[n] == nil {
				all[n] = json.RawMessage(`{"pending":true}`)
			}
		}
	}
	return json.Marshal(all)
}

// background begins a step and leaves it to itself.
func (r *run) background(name string, n kit.NodeName, do func(context.Context, string, kit.NodeName) json.RawMessage) json.RawMessage {
	p := &pending{}
	r.bg[name] = p
	r.asked++
	client := fmt.Sprintf("bg-%d", r.asked)
	r.w.Go(func(ctx context.Context) { p.set(do(ctx, client, n)) })
	_ = r.sleep(20 * time.Millisecond) // the world ends otherwise, and the next step says so
	b, _ := json.Marshal(map[string]string{"started": name})
	return b
}

func (r *run) await(s Step) (json.RawMessage, error) {
	p := r.bg[s.text("bg")]
	if p == nil {
		return nil, errNotYet{"background step " + s.text("bg")} // it was begun by a step that could not be done
	}
	if out, ok := r.wait(p, time.Duration(s.number("timeout", 10_000))*time.Millisecond); ok {
		return out, nil
	}
	return json.RawMessage(`{"pending":true}`), nil
}

func (r *run) wait(p *pending, limit time.Duration) (out json.RawMessage, ok bool) {
	ok = r.until(limit, func() bool {
		out, ok = p.get()
		return ok
	})
	return out, ok
}

// after waits for what the recording runner waited for.
func (r *run) after(s Step) error {
	_, list := s.on()
	switch s.Do() {
	case "stop_store":
		r.settleView()
		return r.sleep(200 * time.Millisecond)
	case "start_store":
		if list {
			return r.sleep(400 * time.Millisecond)
		}
		return r.sleep(250 * time.Millisecond)
	case "disconnect":
		r.settleView()
	}
	return nil
}

// events collects what a process received, until as much as was recorded has come and a while nothing more, or
// until silence.
func (r *run) events(s Step) (json.RawMessage, error) {
	if _, ok := r.verbs["events"]; !ok {
		return nil, errNotYet{"events"}
	}
	p := s.text("p")
	n, ok := r.procs[p]
	if !ok {
		return nil, errNotYet{"process " + p}
	}
	args, err := r.arguments(s, "events")
	if err != nil {
		return nil, err
	}
	return r.collect(s, func() json.RawMessage { return r.call(r.ctx, "p-"+p, n, "events", args...) })
}

// collect asks for messages again and again.
func (r *run) collect(s Step, ask func() json.RawMessage) (json.RawMessage, error) {
	due := -1
	var want struct {
		OK []json.RawMessage `json:"ok"`
	}
	if json.Unmarshal(s["expect"], &want) == nil {
		due = len(want.OK)
	}
	all := []json.RawMessage{}
	last := r.w.Now()
	for {
		out := ask()
		got, ok := okList(out)
		if !ok {
			return out, nil
		}
		if len(got) > 0 {
			all, last = append(all, got...), r.w.Now()
		}
		quiet := silence
		if len(all) == due && due > 0 {
			quiet = grace
		}
		if r.w.Now()-last >= quiet {
			break
		}
		if err := r.sleep(5 * time.Millisecond); err != nil {
			return nil, err
		}
	}
	return json.Marshal(map[string]any{"ok": pick(all, s, nil)})
}

// okList gives the elements of an {"ok":[..]}.
func okList(out json.RawMessage) ([]json.RawMessage, bool) {
	var got struct {
		OK []json.RawMessage `json:"ok"`
	}
	err := json.Unmarshal(out, &got)
	return got.OK, err == nil && got.OK != nil
}

// systemEvents are those that boot_events gives when it is not told which.
var systemEvents = []string{"inconsistent_database", "mnesia_fatal", "mnesia_up", "mnesia_down", "mnesia_overload"}

// bootEvents gives the events of a node since it booted, after a while for those that are under way.
func (r *run) bootEvents(s Step) (json.RawMessage, error) {
	if err := r.sleep(time.Duration(s.number("settle", 300)) * time.Millisecond); err != nil {
		return nil, err
	}
	out, err := r.ask(s)
	var each map[string]json.RawMessage
	if on := s["on"]; err == nil && len(on) > 0 && on[0] == '[' && json.Unmarshal(out, &each) == nil {
		for n, o := range each {
			if each[n], err = onlyEvents(s, o); err != nil {
				return nil, err
			}
		}
		return json.Marshal(each)
	}
	if err != nil {
		return out, err
	}
	return onlyEvents(s, out)
}

// onlyEvents keeps the events that a step asks for.
func onlyEvents(s Step, out json.RawMessage) (json.RawMessage, error) {
	events, ok := okList(out)
	if !ok {
		return out, nil
	}
	only := systemEvents
	if raw, ok := s["only"]; ok {
		only = nil // "all", unless it is a list
		var list []string
		if json.Unmarshal(raw, &list) == nil {
			only = list
		}
	}
	return json.Marshal(map[string]any{"ok": pick(events, s, only)})
}

// pick leaves out what the format leaves out: events that are not asked for, and, unless the step wants all, their prose.
func pick(events []json.RawMessage, s Step, only []string) []json.RawMessage {
	out := []json.RawMessage{}
	for _, raw := range events {
		var e map[string]json.RawMessage
		if json.Unmarshal(raw, &e) != nil {
			out = append(out, raw)
			continue
		}
		if only != nil && !slices.Contains(only, str(e["event"])) {
			continue
		}
		if _, ok := e["text"]; ok && !s.flag("all") {
			delete(e, "text")
			raw, _ = json.Marshal(e) // what was decoded can be encoded
		}
		out = append(out, raw)
	}
	return out
}

// keysOf gives the keys of a list of pairs, which is what the recording runner keeps of all there is to know.
func keysOf(out json.RawMessage) json.RawMessage {
	items, ok := okList(out)
	if !ok {
		return out
	}
	keys := []json.RawMessage{}
	for _, raw := range items {
		var pair struct {
			T []json.RawMessage `json:"t"`
		}
		if json.Unmarshal(raw, &pair) != nil || len(pair.T) != 2 {
			return out
		}
		keys = append(keys, pair.T[0])
	}
	raw, _ := json.Marshal(map[string]any{"ok": keys}) // what was decoded can be encoded
	return raw
}

// nameTxs puts the scenario's names of transactions in the place of the store's own.
func (r *run) nameTxs(out json.RawMessage) json.RawMessage {
	text := string(out)
	for _, t := range r.txs {
		if t.id != "" {
			text = strings.ReplaceAll(text, string(quoteJSON(t.id)), string(quoteJSON(t.name)))
		}
	}
	return json.RawMessage(text)
}
