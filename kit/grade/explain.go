package grade

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"netsplit/kit/diagram"
	"netsplit/kit/door"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// maxExcerpt is how many operations and faults an explanation shows; more would hide the point.
const maxExcerpt = 16

// Explain fills a task's explanation from a finding and the history it was made from: the words, the excerpt and
// the diagram. It leaves verdict-neutral fields (title, lesson, replay) alone.
func (t *Task) Explain(f Finding, h *history.History) {
	t.Verdict, t.Why, t.Expected, t.Actual, t.Receipts = f.Verdict, Clean(f.Why), Clean(f.Expected), Clean(f.Actual), f.Receipts
	t.Excerpt, t.Diagram, t.SVG, t.credit = nil, "", "", min(max(f.Credit, 0), 1)
	if h == nil || len(f.Evidence) == 0 {
		return
	}
	story := storyOf(h, f.Evidence)
	for _, m := range story {
		t.Excerpt = append(t.Excerpt, line(m))
	}
	focus := f.Focus
	if focus == 0 {
		focus = f.Evidence[len(f.Evidence)-1]
	}
	if f.Verdict == Pass {
		focus = f.Focus
	}
	picture := spaceTime(story, focus)
	t.Diagram = picture.Text(100)
	t.SVG = picture.SVG("task-"+t.Name, t.Title)
}

// storyOf gives the moments to tell: the evidence, and the faults ordered before its end that were still in
// force or fell into its time.
func storyOf(h *history.History, evidence []int) []Moment {
	var from, to time.Duration = -1, 0
	for _, id := range evidence {
		o, ok := h.Op(id)
		if !ok {
			continue
		}
		if from < 0 || o.Begin < from {
			from = o.Begin
		}
		to = max(to, o.Begin, o.End)
	}
	var ops, faults []Moment
	for _, m := range Moments(h) {
		switch {
		case m.Op != nil && slices.Contains(evidence, m.Op.ID):
			ops = append(ops, m)
		case m.Fault != nil && m.From <= to && (m.From >= from || inForce(h, *m.Fault, from)):
			faults = append(faults, m)
		}
	}
	if len(faults) == 0 {
		faults = lastTrouble(h, ops, from)
	}
	faults = bothWays(faults)
	if len(ops) > maxExcerpt {
		half := maxExcerpt / 2
		ops = slices.Concat(ops[:half], ops[len(ops)-half:])
	}
	story := slices.Concat(ops, faults[:min(len(faults), maxExcerpt)])
	slices.SortStableFunc(story, func(a, b Moment) int { return int(a.From - b.From) })
	return story
}

// lastTrouble gives the faults that were over when the evidence began, when it is about the nodes concerned: what was
// mended last before it, and how that had been broken. What goes wrong after a heal goes wrong because of the cut.
func lastTrouble(h *history.History, ops []Moment, from time.Duration) []Moment {
	concerned := func(f history.Fault) bool {
		return f.Err == "" && slices.ContainsFunc(ops, func(m Moment) bool { return m.Op.Node == f.Node || m.Op.Node == f.Peer })
	}
	mended := time.Duration(-1)
	for _, f := range h.Faults {
		if f.Mends() && f.At < from && concerned(f) {
			mended = max(mended, f.At)
		}
	}
	var all []Moment
	for _, m := range Moments(h) {
		f := m.Fault
		switch {
		case f == nil || mended < 0 || f.At > mended || !concerned(*f):
		case f.Mends() && f.At == mended, !f.Mends() && inForce(h, *f, mended-1):
			all = append(all, m)
		}
	}
	return all
}

// bothWays tells an order for one direction of a link and the same for the other, given at one moment, as one.
func bothWays(faults []Moment) []Moment {
	var told []Moment
	for _, m := range faults {
		f := m.Fault
		back := slices.IndexFunc(told, func(o Moment) bool {
			g := o.Fault
			return !o.both && f.Peer != "" && g.Node == f.Peer && g.Peer == f.Node && g.At == f.At && g.What == f.What && g.Detail == f.Detail && g.Err == f.Err
		})
		if back >= 0 {
			told[back].both = true
			continue
		}
		told = append(told, m)
	}
	return told
}

// inForce reports whether what f broke was still broken at a moment: nothing was ordered for the same part of the same
// node or link in between.
func inForce(h *history.History, f history.Fault, at time.Duration) bool {
	if f.Mends() || f.Err != "" {
		return false
	}
	return !slices.ContainsFunc(h.Faults, func(g history.Fault) bool {
		return g.Node == f.Node && g.Peer == f.Peer && g.Part() == f.Part() && g.At > f.At && g.At <= at && g.Err == ""
	})
}

// line tells one moment in a line of text.
func line(m Moment) string {
	if f := m.Fault; f != nil {
		return Clean(fmt.Sprintf("%9s  %s", ms(f.At), faultText(*f, m.both)))
	}
	o := m.Op
	return Clean(fmt.Sprintf("%9s  %-8s %s  %s → %s", ms(o.Begin), o.Client, o.Node, request(*o), answer(*o)))
}

// faultText tells a fault: in the words of the order that was given, and for what befalls a machine in a sentence.
func faultText(f history.Fault, both bool) string {
	s := f.What + " " + string(f.Node)
	switch {
	case f.Peer != "":
		arrow := " → "
		if both {
			arrow = " ↔ "
		}
		s += arrow + string(f.Peer)
		if f.Detail != "" {
			s += " (" + f.Detail + ")"
		}
	case f.What == "poweroff":
		s = fmt.Sprintf("power off %s: what it wrote and did not sync is lost", f.Node)
	case f.What == "disc":
		s = fmt.Sprintf("disc of %s: %s", f.Node, f.Detail)
	case f.What == "clock":
		s = fmt.Sprintf("clock of %s jumps: it is off by %s", f.Node, f.Detail)
	case f.What == "pace":
		s = fmt.Sprintf("slow %s: it computes %s", f.Node, f.Detail)
	case f.What == "mend":
		s = mendText(f)
	case f.Detail != "":
		s += " (" + f.Detail + ")"
	}
	if f.Err != "" {
		s += ", refused: " + f.Err
	}
	return s
}

func mendText(f history.Fault) string {
	switch f.Detail {
	case "disc":
		return fmt.Sprintf("disc of %s is healthy again", f.Node)
	case "clock":
		return fmt.Sprintf("clock of %s is right again", f.Node)
	case "pace":
		return fmt.Sprintf("%s computes at its own speed again", f.Node)
	}
	return fmt.Sprintf("mend %s of %s", f.Detail, f.Node)
}

// request shows what was asked: an operation as in the shell, dirty_read(account, <<"ann">>).
func request(o history.Op) string {
	verb, args := o.Verb, o.Args
	switch {
	case verb == "proc" && len(args) == 2 && term.Equal(args[0], term.Atom("self")): // as a.send(...) is typed
		if list, ok := args[1].(term.List); ok && len(list) > 0 {
			verb, args = plain(list[0]), list[1:]
		}
	case verb == "dirty" && len(args) > 0, verb == "tx_op" && len(args) > 1:
		if list, ok := args[len(args)-1].(term.List); ok && len(list) > 0 {
			prefix := ""
			if name, ok := args[0].(term.Atom); ok && verb == "tx_op" {
				prefix = string(name) + ": "
			}
			verb, args = prefix+plain(list[0]), list[1:]
		}
	}
	return clip(fmt.Sprintf("%s(%s)", verb, plains(args, ", ")), 120)
}

// plain prints a term as term.String does, but text as it is typed in the shell: "ann", not <<"ann">>.
func plain(t term.Term) string {
	switch t := t.(type) {
	case nil:
		return "nothing"
	case term.Bin:
		if utf8.ValidString(string(t)) {
			return strconv.Quote(string(t))
		}
	case term.Tuple:
		return "{" + plains(t, ",") + "}"
	case term.List:
		return "[" + plains(t, ",") + "]"
	case term.Map:
		var parts []string
		for _, p := range t {
			parts = append(parts, plain(p.Key)+": "+plain(p.Value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return term.String(t)
}

func plains(all []term.Term, sep string) string {
	var parts []string
	for _, t := range all {
		parts = append(parts, plain(t))
	}
	return strings.Join(parts, sep)
}

// AnswerText says in a line what a request was answered with, as the diagrams do.
func AnswerText(o history.Op) string { return Clean(clip(said(o), 240)) }

func answer(o history.Op) string { return clip(said(o), 100) }

func said(o history.Op) string {
	if o.End == history.Open {
		return "no answer"
	}
	if o.Outcome.Status != door.OK {
		return o.Outcome.Err().Error()
	}
	v, err := o.Outcome.Term()
	switch {
	case err == nil:
		return plain(v)
	case o.Verb == "mailbox":
		return mailText(o.Outcome.Value)
	}
	return string(o.Outcome.Value)
}

// spaceTime draws the story: a lane for each client and each node in it, a request as an arrow to the node and one
// back.
func spaceTime(story []Moment, focus int) *diagram.SpaceTime {
	d := &diagram.SpaceTime{}
	lane := func(name string) int {
		if i := slices.Index(d.Lanes, name); i >= 0 {
			return i
		}
		d.Lanes = append(d.Lanes, name)
		return len(d.Lanes) - 1
	}
	for _, m := range story {
		if m.Op != nil {
			lane(m.Op.Client)
		}
	}
	for _, n := range nodesIn(story) {
		lane("node " + n)
	}
	for _, m := range story {
		if f := m.Fault; f != nil {
			d.Events = append(d.Events, faultEvent(*f, m.both, lane))
			continue
		}
		o := m.Op
		client, node := lane(o.Client), lane("node "+string(o.Node))
		d.Events = append(d.Events, diagram.Event{At: o.Begin, Kind: diagram.Send, Lane: client, To: node, Text: Clean(clip(request(*o), 60))})
		if o.End == history.Open {
			d.Events = append(d.Events, diagram.Event{At: o.Begin, Kind: diagram.Lose, Lane: node, To: client, Text: "no answer", Bad: o.ID == focus})
			continue
		}
		d.Events = append(d.Events, diagram.Event{At: o.End, Kind: diagram.Send, Lane: node, To: client,
			Text: Clean(clip(answer(*o), 60)), Bad: o.ID == focus})
	}
	return d
}

// nodesIn lists the nodes of a story by name.
func nodesIn(story []Moment) []string {
	names := map[string]bool{}
	for _, m := range story {
		if m.Op != nil {
			names[string(m.Op.Node)] = true
		}
		if f := m.Fault; f != nil {
			names[string(f.Node)] = true
			if f.Peer != "" {
				names[string(f.Peer)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func faultEvent(f history.Fault, both bool, lane func(string) int) diagram.Event {
	e := diagram.Event{At: f.At, Lane: lane("node " + string(f.Node)), Text: faultText(f, both)}
	if f.Peer != "" {
		e.To = lane("node " + string(f.Peer))
	}
	switch f.What {
	case "cut":
		e.Kind = diagram.Cut
	case "heal":
		e.Kind = diagram.Heal
	case "kill", "pause", "poweroff":
		e.Kind = diagram.Down
	case "restart", "resume":
		e.Kind = diagram.Up
	}
	return e
}

// Clean makes bytes that came from a submission harmless in a terminal, a log or a page: control characters,
// escape sequences' introducers and invalid UTF-8 become visible or vanish; line ends and tabs stay. "##[" is parted,
// because GitHub's runner takes it for a command wherever it stands in a line that a step prints.
func Clean(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == 0x1b:
			return '␛'
		case unicode.IsControl(r):
			return -1
		case r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069: // text direction overrides
			return -1
		}
		return r
	}, s)
	return strings.ReplaceAll(s, "##[", "## [")
}
