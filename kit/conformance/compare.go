package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"netsplit/kit"
)

// comparer compares answers with what was recorded, by the rules of the format ("How strictly to compare").
type comparer struct {
	nodes   []kit.NodeName
	ordered map[string]bool   // tables that are ordered_sets
	pids    map[string]string // what the processes of the scenario are called here
	open    string            // why a difference was let pass: Mnesia promises no order there
}

// statuses are the keys of which an outcome has exactly one.
var statuses = []string{"ok", "aborted", "error", "timeout", "badrpc", "raised", "blocked", "pending", "ended", "started", "lost", "node", "process", "restart"}

// gone are the outcomes that say that the node or the process is gone. Which of them one gets is a matter of
// the runner.
var gone = []string{"lost", "node", "process"}

// value decodes JSON with numbers kept as they are written.
func value(raw json.RawMessage) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	return v
}

// outcome compares one outcome; the answer is empty when it is right, else it says what differs. s is the step, with
// "op" or "ops" telling how its values are ordered.
func (c *comparer) outcome(s Step, want, got any) string {
	w, ok := want.(map[string]any)
	if !ok {
		return "what was recorded is no outcome"
	}
	if list, ok := w["one_of"].([]any); ok {
		why := ""
		for _, one := range list {
			if why = c.outcome(s, one, got); why == "" {
				return ""
			}
		}
		return "none of what was recorded: " + why
	}
	g, _ := got.(map[string]any)
	ws, gs := statusOf(w), statusOf(g)
	switch {
	case slices.Contains(gone, ws) && slices.Contains(gone, gs):
		return ""
	case w["error"] == "start_failed" && (gs == "error" || gs == "aborted"):
		return ""
	case ws != gs:
		return fmt.Sprintf("%s instead of %s", gs, ws)
	}
	switch ws {
	case "ok":
		return c.answer(s, w[ws], g[ws])
	case "ended":
		return c.outcome(s, w[ws], g[ws])
	case "timeout":
		return c.list(w[ws], g[ws], true)
	case "blocked", "pending", "started", "restart":
		return ""
	}
	return c.failure(s, ws, w, g)
}

func statusOf(o map[string]any) string {
	for _, s := range statuses {
		if _, ok := o[s]; ok {
			return s
		}
	}
	return "no outcome"
}

// failure compares kind, arguments, class and partial results.
func (c *comparer) failure(s Step, status string, w, g map[string]any) string {
	if !c.equal(w[status], g[status]) {
		return fmt.Sprintf("%s %s instead of %s", status, text(g[status]), text(w[status]))
	}
	for _, field := range []string{"class", "at"} {
		if w[field] != nil && g[field] != nil && w[field] != g[field] {
			return fmt.Sprintf("%s %v instead of %v", field, g[field], w[field])
		}
	}
	wa, _ := w["args"].([]any)
	ga, _ := g["args"].([]any)
	if why := c.arguments(wa, ga); why != "" {
		return why
	}
	wr, ok1 := w["results"].([]any)
	gr, ok2 := g["results"].([]any)
	if ok1 && ok2 {
		if why := c.answers(s.ops(), wr, gr); why != "" {
			return "results before the failure: " + why
		}
	}
	return ""
}

// arguments compares the further elements of a reason. Lists of node names in them have no order.
func (c *comparer) arguments(want, got []any) string {
	if len(want) != len(got) {
		return fmt.Sprintf("arguments %s instead of %s", text(got), text(want))
	}
	for i := range want {
		if !c.equal(want[i], got[i]) && c.list(want[i], got[i], c.onlyNodes(want[i])) != "" {
			return fmt.Sprintf("argument %d: %s instead of %s", i+1, text(got[i]), text(want[i]))
		}
	}
	return ""
}

// answer compares the value of an ok.
func (c *comparer) answer(s Step, want, got any) string {
	switch s.Do() {
	case "transaction", "activity":
		return c.lists(s.ops(), want, got)
	case "dirty", "repeat_dirty", "tx_op", "tx_wait":
		var op []json.RawMessage
		_ = json.Unmarshal(s["op"], &op) // no operation: compared as it is
		return c.operation(op, want, got)
	case "contents", "local_contents":
		return c.list(want, got, !c.ordered[s.text("table")])
	case "system_info", "held_locks", "lock_queue", "global_names", "restore":
		return c.list(want, got, true)
	case "table_info":
		return c.list(want, got, s.text("item") != "attributes")
	case "events", "mailbox":
		return c.list(want, got, s.flag("unordered"))
	}
	return c.list(want, got, c.onlyNodes(want))
}

// ops gives the operations of a step, each as its elements.
func (s Step) ops() [][]json.RawMessage {
	var ops [][]json.RawMessage
	_ = json.Unmarshal(s["ops"], &ops) // none: no operations
	return ops
}

func (c *comparer) lists(ops [][]json.RawMessage, want, got any) string {
	w, ok1 := want.([]any)
	g, ok2 := got.([]any)
	if !ok1 || !ok2 {
		return c.list(want, got, false)
	}
	return c.answers(ops, w, g)
}

// answers compares the answers of operations one by one.
func (c *comparer) answers(ops [][]json.RawMessage, want, got []any) string {
	if len(want) != len(got) {
		return fmt.Sprintf("%d answers instead of %d", len(got), len(want))
	}
	for i := range want {
		var op []json.RawMessage
		if i < len(ops) {
			op = ops[i]
		}
		if why := c.operation(op, want[i], got[i]); why != "" {
			return fmt.Sprintf("answer %d: %s", i+1, why)
		}
	}
	return ""
}

// unordered are the operations whose answer is a list that Mnesia orders only in an ordered_set.
var unordered = []string{"read", "wread", "match_object", "select", "all_keys", "walk", "walk_back", "foldl", "foldr"}

// operation compares the answer of one operation.
func (c *comparer) operation(op []json.RawMessage, want, got any) string {
	if len(op) == 0 {
		return c.list(want, got, false)
	}
	name := strings.TrimPrefix(str(op[0]), "dirty_")
	table := ""
	if len(op) > 1 {
		table = str(op[1])
	}
	switch name {
	case "transaction":
		return c.nested(Step{"do": op[0], "ops": op[len(op)-1]}, want, got)
	case "activity":
		return c.nested(Step{"do": op[0], "ops": op[len(op)-1]}, want, got)
	case "try":
		return c.nested(Step{"do": json.RawMessage(`"dirty"`), "op": op[1]}, want, got)
	case "api":
		var step Step
		_ = json.Unmarshal(op[1], &step) // not a step: compared as it is
		return c.nested(step, want, got)
	case "index_read", "index_match_object":
		return c.list(want, got, true)
	case "select_chunks", "qlc":
		return c.listOrObject(want, got, !c.ordered[table])
	case "table_info":
		return c.list(want, got, len(op) > 2 && str(op[2]) != "attributes")
	case "first", "last", "next", "prev":
		if !c.ordered[table] && !c.equal(want, got) && got != "$end_of_table" && want != "$end_of_table" && isKey(got) {
			c.open = "another key: the order of the keys of a set is nobody's promise"
			return ""
		}
	}
	return c.list(want, got, slices.Contains(unordered, name) && !c.ordered[table])
}

// isKey reports whether an answer can be a key, not a list of records or an outcome.
func isKey(v any) bool {
	if m, ok := v.(map[string]any); ok {
		return statusOf(m) == "no outcome"
	}
	return v != nil
}

// nested compares an answer that is an outcome, where it is one.
func (c *comparer) nested(s Step, want, got any) string {
	if w, ok := want.(map[string]any); ok && statusOf(w) != "no outcome" {
		return c.outcome(s, want, got)
	}
	return c.answer(s, want, got)
}

// listOrObject compares {"all":[..]} and {"chunks":[..]} by their lists.
func (c *comparer) listOrObject(want, got any, anyOrder bool) string {
	w, ok1 := want.(map[string]any)
	g, ok2 := got.(map[string]any)
	if ok1 && ok2 && len(w) == 1 && len(g) == 1 && w["all"] != nil && g["all"] != nil {
		return c.list(w["all"], g["all"], true)
	}
	return c.list(want, got, anyOrder)
}

// list compares values; two lists are compared without regard to order when anyOrder is set.
func (c *comparer) list(want, got any, anyOrder bool) string {
	w, ok1 := want.([]any)
	g, ok2 := got.([]any)
	if ok1 && ok2 && anyOrder && c.sameElements(w, g) || c.equal(want, got) {
		return ""
	}
	if ok1 && ok2 && len(w) != len(g) {
		return fmt.Sprintf("%d elements instead of %d", len(g), len(w))
	}
	return "another value"
}

func (c *comparer) sameElements(want, got []any) bool {
	if len(want) != len(got) {
		return false
	}
	left := slices.Clone(got)
	for _, w := range want {
		i := slices.IndexFunc(left, func(g any) bool { return c.equal(w, g) })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
}

// onlyNodes reports whether a value is a list of nothing but node names.
func (c *comparer) onlyNodes(v any) bool {
	l, ok := v.([]any)
	if !ok {
		return false
	}
	for _, e := range l {
		if name, ok := e.(string); !ok || !slices.Contains(c.nodes, kit.NodeName(name)) {
			return false
		}
	}
	return true
}

// equal compares two values of the format. In what was recorded {"fun":"?"}, {"ref":"?"} and {"pid":"?"} stand for any, {"str":"..."}
// for any prose; a named process is whichever answered for it first.
func (c *comparer) equal(want, got any) bool {
	switch w := want.(type) {
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(w, g, c.equal)
	case map[string]any:
		if len(w) == 1 {
			if w["checkpoint"] == "auto" { // a name that the store made up
				_, isText := got.(string)
				return isText
			}
			for k, v := range w {
				if name, ok := v.(string); ok && (k == "pid" || k == "fun" || k == "ref" || k == "str") {
					return c.equalSpecial(k, name, got)
				}
			}
		}
		g, ok := got.(map[string]any)
		if !ok || len(w) != len(g) {
			return false
		}
		for k, v := range w {
			if x, ok := g[k]; !ok || !c.equal(v, x) {
				return false
			}
		}
		return true
	case json.Number:
		g, ok := got.(json.Number)
		return ok && w.String() == g.String()
	}
	return want == got
}

func (c *comparer) equalSpecial(kind, name string, got any) bool {
	if kind == "str" {
		if l, ok := got.([]any); ok {
			return name == "..." || slices.EqualFunc([]rune(name), l, func(r rune, g any) bool { return g == json.Number(fmt.Sprint(r)) })
		}
	}
	g, ok := got.(map[string]any)
	here, isText := g[kind].(string)
	if !ok || !isText {
		return false
	}
	if kind != "pid" || name == "?" {
		return name == "?" || name == "..." || here == name
	}
	if known, ok := c.pids[name]; ok {
		return known == here
	}
	c.pids[name] = here
	return true
}

// str gives a JSON string; empty for anything else.
func str(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // not a string: empty
	return s
}

// text gives a value as JSON.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}
