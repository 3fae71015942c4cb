package grade

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"netsplit/kit/door"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// Act gives the operation that a request did in the name of its client's own process, and its arguments; the name is empty
// for any other request, and for one that failed.
func Act(o history.Op) (name string, args []term.Term) {
	if o.Verb != "proc" || len(o.Args) != 2 || o.Outcome.Status != door.OK {
		return "", nil
	}
	list, _ := o.Args[1].(term.List)
	if len(list) == 0 {
		return "", nil
	}
	op, _ := list[0].(term.Atom)
	return string(op), list[1:]
}

// Pid gives the pid that a request was answered with.
func Pid(o history.Op) (pid term.Pid, ok bool) {
	if o.Outcome.Status != door.OK {
		return pid, false
	}
	v, err := o.Outcome.Term()
	if err != nil {
		return pid, false
	}
	pid, ok = v.(term.Pid)
	return pid, ok
}

// Word is term.Word, for labs that judge by what was said.
func Word(t term.Term) string { return term.Word(t) }

// runtimeMessages are what only the runtime of processes sends.
var runtimeMessages = []string{"DOWN", "EXIT", "nodeup", "nodedown", "global_name_conflict"}

// Genuine demands that nobody sent what only the runtime sends: then every such message in a mailbox is real.
func Genuine(h *history.History) Finding {
	for _, o := range h.During(history.Work).Ops {
		if slices.ContainsFunc(o.Args, pretends) {
			return Failed("a message that only the runtime sends was made by hand, so what came of it proves nothing",
				"DOWN and its like as the nodes send them", request(o), o.ID)
		}
	}
	return Passed()
}

// pretends reports whether there is a tuple in t that begins like a message of the runtime.
func pretends(t term.Term) bool {
	switch t := t.(type) {
	case term.Tuple:
		if len(t) > 1 {
			if head, ok := t[0].(term.Atom); ok && slices.Contains(runtimeMessages, string(head)) {
				return true
			}
		}
		return slices.ContainsFunc(t, pretends)
	case term.List:
		return slices.ContainsFunc(t, pretends)
	case term.Map:
		return slices.ContainsFunc(t, func(p term.Pair) bool { return pretends(p.Key) || pretends(p.Value) })
	}
	return false
}

// mailText tells what was in a mailbox: messages as they were sent, what the runtime sent with its name and its parts.
func mailText(raw json.RawMessage) string {
	var list []map[string]json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return string(raw)
	}
	var all []string
	for _, m := range list {
		if msg, err := term.FromJSON(m["message"]); err == nil && len(m["message"]) > 0 {
			all = append(all, plain(msg))
			continue
		}
		parts := []string{strings.Trim(string(m["event"]), `"`)}
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if v, err := term.FromJSON(m[key]); key != "event" && err == nil {
				parts = append(parts, plain(v))
			}
		}
		all = append(all, strings.Join(parts, " "))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
