package messagepartition

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

var both = []kit.NodeName{"a", "b"}

// post is what the work did with letters: which were sent from a to b, and which b received, in order.
type post struct {
	sent     map[any][]letter // by message
	received []letter
}

type letter struct {
	op       int
	from, to time.Duration // of the request that sent it, or of the answer that brought it
	inbox    term.Pid
	text     term.Term
}

func postOf(h *history.History) post {
	p := post{sent: map[any][]letter{}}
	for _, o := range h.Ops {
		name, args := grade.Act(o)
		if o.Node != "a" || name != "send" || len(args) != 2 {
			continue
		}
		if inbox, ok := args[0].(term.Pid); ok && inbox.Node == "b" {
			key := term.Key(args[1])
			p.sent[key] = append(p.sent[key], letter{o.ID, o.Begin, o.End, inbox, args[1]})
		}
	}
	for _, m := range h.Messages() {
		if m.Node == "b" {
			p.received = append(p.received, letter{op: m.OpID, from: m.At, to: m.At, text: m.Value})
		}
	}
	return p
}

// arrived gives those of some letters that b received, in the order of arrival.
func (p post) arrived(letters []term.Term) []letter {
	var list []letter
	for _, l := range p.received {
		if slices.ContainsFunc(letters, func(t term.Term) bool { return term.Equal(t, l.text) }) {
			list = append(list, l)
		}
	}
	return list
}

// delivered wants letters to have been sent in order, each once, within a time, to one inbox, and received in that order.
// It gives the operations that show it.
func (p post) delivered(letters []term.Term, when history.Span, inbox *term.Pid) grade.Finding {
	f := p.sending(letters, when, inbox)
	if f.Verdict != grade.Pass {
		return f
	}
	got := p.arrived(letters)
	for i, l := range got {
		if i >= len(letters) || !term.Equal(l.text, letters[i]) {
			return grade.Failed("the letters did not arrive in the order in which they stand in the list", show(letters), show(texts(got)), l.op)
		}
		f.Evidence = append(f.Evidence, l.op)
	}
	if len(got) < len(letters) {
		return grade.Failed(fmt.Sprintf("%d of %d letters were not received on b", len(letters)-len(got), len(letters)), show(letters), show(texts(got)), f.Evidence...)
	}
	f.Evidence = slices.Compact(f.Evidence)
	return f
}

// sending wants each of some letters sent once, within a time and all to one inbox, which is filled in when it is not yet
// known.
func (p post) sending(letters []term.Term, when history.Span, inbox *term.Pid) grade.Finding {
	f := grade.Passed()
	for _, text := range letters {
		sent := p.sent[term.Key(text)]
		what := show([]term.Term{text})
		switch {
		case len(sent) == 0:
			return grade.Failed("a letter was never sent from a to a process on b", what, "no such send", f.Evidence...)
		case len(sent) > 1:
			return grade.Failed("a letter was sent more than once", what+" once", fmt.Sprintf("%d times", len(sent)), sent[0].op, sent[1].op)
		}
		l := sent[0]
		switch {
		case l.from < when.From:
			return grade.Failed("a letter was sent too early", what+" later", "at "+at(l.from), l.op)
		case when.To != history.Open && l.to > when.To:
			return grade.Failed("a letter was sent too late", what+" before "+at(when.To), "at "+at(l.from), l.op)
		case *inbox == (term.Pid{}):
			*inbox = l.inbox
		case *inbox != l.inbox:
			return grade.Failed("the letters went to different processes, so nothing follows for one of them", "all to "+term.String(*inbox), what+" to "+term.String(l.inbox), l.op)
		}
		f.Evidence = append(f.Evidence, l.op)
	}
	return f
}

func texts(list []letter) []term.Term {
	var all []term.Term
	for _, l := range list {
		all = append(all, l.text)
	}
	return all
}

func show(letters []term.Term) string {
	const most = 3
	if len(letters) == 0 {
		return "none"
	}
	text := ""
	for i, l := range letters[:min(most, len(letters))] {
		if i > 0 {
			text += ", "
		}
		b, _ := l.(term.Bin)
		text += fmt.Sprintf("%q", string(b))
	}
	if more := len(letters) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func at(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// always is any time.
var always = history.Span{To: history.Open}

// inbox gives the process on b that the letters of before went to.
func (m *mail) inbox(p post) term.Pid {
	var inbox term.Pid
	p.sending(m.before, always, &inbox)
	return inbox
}

// order wants the letters of before delivered.
func (m *mail) order(h *history.History) grade.Finding {
	var inbox term.Pid
	return postOf(h.During(history.Work)).delivered(m.before, always, &inbox)
}

// cut is one time during which a and b were cut off from each other both ways, and the orders that made it.
type cut struct {
	history.Span
	faults []history.Fault
}

// cutOf finds the first cut of a manner; it ends when the first direction heals.
func cutOf(h *history.History, how string) (cut, bool) {
	c := cut{Span: history.Span{To: history.Open}}
	for _, from := range both {
		way := func(f history.Fault) bool { return f.Node == from && f.Peer == other(from) && f.Err == "" }
		i := slices.IndexFunc(h.Faults, func(f history.Fault) bool { return way(f) && f.What == "cut" && f.Detail == how })
		if i < 0 {
			return cut{}, false
		}
		c.From = max(c.From, h.Faults[i].At)
		c.faults = append(c.faults, h.Faults[i])
		rest := h.Faults[i:]
		if j := slices.IndexFunc(rest, func(f history.Fault) bool { return way(f) && f.What != "cut" }); j >= 0 {
			if c.To == history.Open || rest[j].At < c.To {
				c.To = rest[j].At
			}
			c.faults = append(c.faults, rest[j])
		}
	}
	slices.SortStableFunc(c.faults, func(f, g history.Fault) int { return cmp.Compare(f.At, g.At) })
	return c, true
}

// loud wants a loud cut of which both nodes and a monitor of the inbox told.
func (m *mail) loud(h *history.History) grade.Finding {
	work := h.During(history.Work)
	c, ok := cutOf(work, "loud")
	if !ok {
		actual := "no cut at all"
		if _, silent := cutOf(work, "silent"); silent {
			actual = "silent cuts only"
		}
		return grade.Failed("the link was never cut loudly", "cut(a, b)", actual)
	}
	f := grade.Passed()
	for _, n := range both {
		e, ok := told(work, n, c.Span, func(e history.Event) bool { return e.Kind == "nodedown" && e.About == string(other(n)) })
		if !ok {
			return grade.Failed(fmt.Sprintf("%s did not tell of its loss during the cut", n), fmt.Sprintf("nodedown on %s", n), "nothing of the kind; it comes to those who subscribed before")
		}
		f.Evidence = append(f.Evidence, e.OpID)
	}
	inbox := m.inbox(postOf(work))
	e, ok := told(work, "a", c.Span, func(e history.Event) bool { return noConnection(e, inbox) })
	if !ok {
		return grade.Failed("no monitor told that the inbox is out of reach", fmt.Sprintf("DOWN with the reason noconnection of %s on a", term.String(inbox)),
			"nothing of the kind during the cut", f.Evidence...)
	}
	if !slices.ContainsFunc(work.Ops, func(o history.Op) bool { return watches(o, inbox) && o.Begin < c.From }) {
		return grade.Failed("the monitor was set only when the link was cut already, so it shows nothing of what the cut did", "a.monitor(inbox) before the cut",
			"later ones only", e.OpID)
	}
	f.Evidence = append(f.Evidence, e.OpID)
	return f
}

// told finds the first event that a node told during a span.
func told(h *history.History, n kit.NodeName, span history.Span, fits func(history.Event) bool) (history.Event, bool) {
	for _, e := range h.Events() {
		if e.Node == n && e.At >= span.From && (span.To == history.Open || e.At <= span.To) && fits(e) {
			return e, true
		}
	}
	return history.Event{}, false
}

// noConnection fits the message of a monitor that a process is out of reach.
func noConnection(e history.Event, of term.Pid) bool {
	var down struct {
		Reason string          `json:"reason"`
		Who    json.RawMessage `json:"who"`
	}
	if e.Kind != "DOWN" || json.Unmarshal(e.Raw, &down) != nil || down.Reason != "noconnection" {
		return false
	}
	who, err := term.FromJSON(down.Who)
	return err == nil && term.Equal(who, of)
}

// watches fits a request by which a watches a process.
func watches(o history.Op, pid term.Pid) bool {
	name, args := grade.Act(o)
	return o.Node == "a" && name == "monitor" && len(args) == 1 && term.Equal(args[0], pid)
}

// lost wants the letters of during sent while the link was cut, given up before it was healed, and never received; and those
// of after delivered.
func (m *mail) lost(h *history.History) grade.Finding {
	work := h.During(history.Work)
	c, ok := cutOf(work, "loud")
	if !ok {
		return grade.Failed("the link was never cut loudly", "cut(a, b)", "no such cut")
	}
	p := postOf(work)
	inbox := m.inbox(p)
	if late := p.arrived(m.during); len(late) > 0 {
		return grade.Failed("a letter of those that should be lost was received", "none of "+show(m.during), show(texts(late)), late[0].op)
	}
	f := p.sending(m.during, c.Span, &inbox)
	if f.Verdict != grade.Pass {
		return f
	}
	gaveUp, ok := givenUp(work, p, m.during, c.Span, inbox)
	if !ok {
		return grade.Failed("the link was healed before it was certain that a had given up: a message waits as long as an attempt to connect goes on, and may arrive after all",
			"a pang, or a DOWN with noconnection, after the last letter of during and before heal()", "nothing of the kind", f.Evidence...)
	}
	after := p.delivered(m.after, history.Span{From: c.To, To: history.Open}, &inbox)
	if after.Verdict != grade.Pass {
		return after
	}
	f.Evidence = append(append(f.Evidence, gaveUp), after.Evidence...)
	f.Receipts = []grade.Receipt{receipt(h, c, m.during)}
	return f.Bit()
}

// givenUp finds what shows, after the last of some letters and before the end of a cut, that a's attempt to connect has
// failed: what waited for it is lost then.
func givenUp(h *history.History, p post, letters []term.Term, cut history.Span, inbox term.Pid) (int, bool) {
	if cut.To == history.Open {
		return 0, false
	}
	since := time.Duration(0)
	for _, text := range letters {
		since = max(since, p.sent[term.Key(text)][0].to)
	}
	for _, o := range h.Ops {
		if o.Node == "a" && o.Begin >= since && o.End != history.Open && o.End <= cut.To &&
			(o.Verb == "ping" && string(o.Outcome.Value) == `"pang"` || o.Verb == "connect" && string(o.Outcome.Value) == "false") {
			return o.ID, true
		}
	}
	// A monitor that was set after the letters waits for the same attempt, behind them.
	set := slices.IndexFunc(h.Ops, func(o history.Op) bool { return watches(o, inbox) && o.Begin >= since && o.End <= cut.To })
	if set < 0 {
		return 0, false
	}
	e, ok := told(h, "a", history.Span{From: h.Ops[set].Begin, To: cut.To}, func(e history.Event) bool { return noConnection(e, inbox) })
	return e.OpID, ok
}

// receipt shows whether a cut bit that some letters were sent into.
func receipt(h *history.History, c cut, letters []term.Term) grade.Receipt {
	one := *h
	one.Faults = c.faults
	r := grade.CutReceipt(&one, []kit.NodeName{"a"}, []kit.NodeName{"b"})
	r.Fault += ", " + c.faults[0].Detail
	r.Evidence += fmt.Sprintf(" in the whole run; %d letters sent into the cut, none received", len(letters))
	return r
}

// silent wants the letters of unnoticed sent into a silent cut while a still counted b among its nodes, both nodes to have
// noticed before the heal, none of those letters received, and the last one delivered.
func (m *mail) silent(h *history.History) grade.Finding {
	work := h.During(history.Work)
	c, ok := cutOf(work, "silent")
	if !ok {
		return grade.Failed("the link was never cut silently", "cut(a, b, silent=True)", "no such cut")
	}
	p := postOf(work)
	inbox := m.inbox(p)
	if late := p.arrived(m.unnoticed); len(late) > 0 {
		return grade.Failed("letters that were sent into the silent cut were received: a connection that outlives the cut delivers what it held, late",
			"none of "+show(m.unnoticed), show(texts(late)), late[0].op)
	}
	noticed := history.Span{From: c.From, To: c.To}
	var evidence []int
	for _, n := range both {
		e, ok := told(work, n, c.Span, func(e history.Event) bool { return e.Kind == "nodedown" && e.About == string(other(n)) })
		if !ok {
			return grade.Failed(fmt.Sprintf("%s had not noticed the silent cut when it was healed", n), fmt.Sprintf("nodedown on %s before heal()", n),
				"nothing of the kind; it comes to those who subscribed before")
		}
		if n == "a" {
			noticed.To = e.At
		}
		evidence = append(evidence, e.OpID)
	}
	f := p.sending(m.unnoticed, noticed, &inbox)
	if f.Verdict != grade.Pass {
		return f
	}
	look := slices.IndexFunc(work.Ops, func(o history.Op) bool {
		return o.Begin >= c.From && o.End <= noticed.To && grade.Lists("a", "b")(grade.Moment{Op: &o})
	})
	if look < 0 {
		return grade.Failed("nobody looked whom a believed to be connected to, before it noticed", "[b] as the answer of a.nodes() during the silent cut", "no such answer", f.Evidence...)
	}
	last := p.delivered([]term.Term{m.last}, history.Span{From: c.To, To: history.Open}, &inbox)
	if last.Verdict != grade.Pass {
		return last
	}
	f.Evidence = slices.Concat(f.Evidence, []int{work.Ops[look].ID}, evidence, last.Evidence)
	f.Receipts = []grade.Receipt{receipt(h, c, m.unnoticed)}
	return f.Bit()
}
