package lab

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Text tells how everything stands, a paragraph for each node.
func (s Standing) Text(w io.Writer) error {
	out := textWriter{w: w}
	out.line("%s, scenario %s, seed %d: how everything stands at %s, after event #%d", s.Lab, s.Scenario, s.Seed, seconds(span(s.Micros)), s.Event)
	out.shorter(s.Shrunk)
	for _, n := range s.Nodes {
		out.node(n, s.Micros)
	}
	out.line("\nlinks")
	for _, l := range s.Links {
		out.link(l)
	}
	if len(s.Links) == 0 {
		out.line("  all are whole, and nothing is on its way")
	}
	out.line("\nwhat happens next")
	for _, e := range s.Next {
		out.line("  %s", e)
	}
	if len(s.Next) == 0 {
		out.line("  nothing: the run is over")
	}
	out.differences(s.Differences)
	return out.err
}

func span(us float64) time.Duration { return time.Duration(us * 1000) }

func (t *textWriter) node(n NodeStanding, now float64) {
	t.line("\nnode %s: %s", n.Node, state(n))
	if n.State != "dead" {
		timer := "no timer"
		if n.Timer != nil {
			timer = "next timer in " + max(0, span(*n.Timer-now)).Round(time.Microsecond).String()
		}
		t.line("  %s; %s unread; it has computed %v, with %d MiB", timer, bytesText(n.Unread), span(n.Computed).Round(time.Microsecond), n.Memory>>20)
	}
	for _, r := range n.Requests {
		where := "on its way there"
		if r.There {
			where = "not answered"
		}
		t.line("  request %d: %s asked for %s at %s; %s", r.ID, r.Client, r.Verb, seconds(span(r.Asked)), where)
	}
	t.disc(n.Disc)
	if v := n.View; v != nil {
		t.view(v, now)
	}
}

// state is what is to be said first of a node.
func state(n NodeStanding) string {
	parts := []string{n.State}
	if n.Why != "" {
		parts = append(parts, n.Why)
	}
	if n.Boots > 1 {
		parts = append(parts, fmt.Sprintf("started %d times", n.Boots))
	}
	if n.Waiting > 0 {
		parts = append(parts, many(n.Waiting, "thing")+" waiting for it to go on")
	}
	if n.ClockOff != 0 {
		parts = append(parts, "its clock is off by "+signed(span(n.ClockOff)))
	}
	if n.Slower > 1 {
		parts = append(parts, fmt.Sprintf("it computes %d times slower", n.Slower))
	}
	return strings.Join(parts, "; ")
}

func (t *textWriter) disc(d DiscStanding) {
	line := fmt.Sprintf("disc: %s in %s", bytesText(d.Bytes), many(len(d.Files), "file"))
	if len(d.Files) == 0 {
		line = "disc: empty"
	}
	if d.Unsynced > 0 {
		line += "; " + many(d.Unsynced, "change") + " not synced"
	}
	if d.Syncs > 0 {
		line += "; " + many(d.Syncs, "sync") + " asked for"
	}
	if d.Rule != "healthy" {
		line += "; its rule: " + d.Rule
	}
	t.line("  %s", line)
	for _, f := range d.Files {
		switch {
		case f.Size < 0:
			t.line("    %s  removed; %d durable", f.Name, f.Durable)
		case f.Durable < 0:
			t.line("    %s  %s, none durable", f.Name, bytesText(f.Size))
		case f.Size != f.Durable:
			t.line("    %s  %s, %d durable", f.Name, bytesText(f.Size), f.Durable)
		default:
			t.line("    %s  %s", f.Name, bytesText(f.Size))
		}
	}
}

func (t *textWriter) view(v *NodeView, now float64) {
	links := strings.Join(v.Links, ", ")
	if links == "" {
		links = "nobody"
	}
	store := map[string]string{"yes": "its store runs", "no": "its store is not started", "": "it says nothing of its store"}[v.Store]
	if store == "" {
		store = "its store is " + v.Store
	}
	t.line("  asked %v later: %s; connected to %s", span(v.Micros-now).Round(time.Microsecond), store, links)
	for _, table := range v.Tables {
		t.line("  table %s (%s, %s): %s", table.Name, table.Type, table.Storage, many(table.Size, "record"))
		for _, r := range table.Rows {
			t.line("    %s", r)
		}
	}
	for _, l := range v.Locks {
		t.line("  lock %s", l)
	}
	for _, p := range v.Processes {
		t.line("  process %s", p)
	}
	if v.Trouble != "" {
		t.line("  it does not answer all that it is asked: %s", v.Trouble)
	}
}

func (t *textWriter) link(l LinkStanding) {
	line := fmt.Sprintf("  %s → %s  %s", l.From, l.To, l.Rule)
	if l.Flight > 0 {
		line += "; " + many(l.Flight, "frame") + " on the way"
	}
	if l.Queued > 0 {
		line += "; " + many(l.Queued, "frame") + " waiting"
	}
	if len(l.Frames) > 0 {
		line += fmt.Sprintf(" (%s; %s)", bytesText(l.Bytes), numbers(l.Frames))
	}
	if l.Packets > 0 {
		line += "; " + many(l.Packets, "packet") + " on the way"
	}
	t.line("%s", line)
}

func numbers(ids []uint64) string {
	var all []string
	for _, id := range ids {
		all = append(all, fmt.Sprint(id))
	}
	if len(all) == 1 {
		return "number " + all[0]
	}
	return "numbers " + strings.Join(all, ", ")
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
