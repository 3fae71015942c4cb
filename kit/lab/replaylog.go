package lab

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/sim"
	"netsplit/kit/wire"
)

// LogOptions say which entries of a run's event log to show. The zero value shows all, at most DefaultLogLimit.
type LogOptions struct {
	Which                   // the run
	Nodes    []kit.NodeName // only what these do or have done to them
	What     []string       // only these kinds
	From, To time.Duration  // only within these times; To 0 is the end
	Limit    int            // the most entries shown, the first ones; 0 is DefaultLogLimit
}

// DefaultLogLimit is how many entries of a log are shown when nothing else is said, MaxLogLimit the most that can be.
const (
	DefaultLogLimit = 2000
	MaxLogLimit     = maxLogged
)

// RunLog is the event log of a run, as the simulator took it.
type RunLog struct {
	Lab         string        `json:"lab"`
	Scenario    string        `json:"scenario"`
	Seed        uint64        `json:"seed"`
	Hash        string        `json:"hash"`
	Shrunk      *grade.Shrunk `json:"shrunk,omitempty"`      // it is the shorter run that explains a task, and not the whole
	Differences []string      `json:"differences,omitempty"` // how the run was not the recorded one
	Total       int           `json:"total"`                 // entries of the whole run, computing left out
	LeftOut     int           `json:"left_out,omitempty"`    // entries that fit and are not shown
	Events      []LogEntry    `json:"events"`
}

// LogEntry is one entry of an event log.
type LogEntry struct {
	Seq    uint64       `json:"seq"`
	Micros float64      `json:"us"` // virtual time since the start, in microseconds
	What   string       `json:"what"`
	Node   kit.NodeName `json:"node,omitempty"`
	Peer   kit.NodeName `json:"peer,omitempty"`
	ID     uint64       `json:"id,omitempty"`
	Size   int          `json:"size,omitempty"`
	Note   string       `json:"note,omitempty"`
}

func entryOf(e sim.Event) LogEntry {
	return LogEntry{Seq: e.Seq, Micros: float64(e.At.Nanoseconds()) / 1000, What: string(e.What), Node: e.Node, Peer: kit.NodeName(oneLine(string(e.Peer))),
		ID: e.ID, Size: e.Size, Note: oneLine(e.Note)}
}

// oneLine makes text of a submission harmless and short.
func oneLine(s string) string {
	const most = 200
	s = strings.Join(strings.Fields(grade.Clean(s)), " ")
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return s
}

// Log runs a result's case again and gives its event log.
func (g *Grader) Log(ctx context.Context, l *Lab, old *grade.Result, o LogOptions) (RunLog, error) {
	if err := o.check(l); err != nil {
		return RunLog{}, err
	}
	c, err := g.openCase(ctx, l, old, o.Which)
	if err != nil {
		return RunLog{}, err
	}
	r, err := g.run(ctx, c, func(*SimRun) {})
	if err != nil {
		return RunLog{}, err
	}
	log := RunLog{Lab: l.Slug, Scenario: c.scenario.Name, Seed: c.seed, Hash: r.trial.hash, Shrunk: c.shrunk, Total: len(r.events),
		Differences: c.otherwise(old, r.trial.hash, g.Version), Events: []LogEntry{}}
	for _, e := range r.events {
		switch {
		case !o.shows(e):
		case len(log.Events) >= o.Limit:
			log.LeftOut++
		default:
			log.Events = append(log.Events, entryOf(e))
		}
	}
	return log, nil
}

// check fills in what was not said, and reports names that a run cannot have.
func (o *LogOptions) check(l *Lab) error {
	if o.Limit == 0 {
		o.Limit = DefaultLogLimit
	}
	bad := func(what, hint string) error {
		return &kit.Error{Op: "show log", What: what, Kind: kit.Invalid, Hint: hint}
	}
	if o.Limit < 1 || o.Limit > MaxLogLimit {
		return bad(fmt.Sprintf("limit %d", o.Limit), fmt.Sprintf("1 to %d entries", MaxLogLimit))
	}
	if o.From < 0 || o.To < 0 {
		return bad("times", "they count from the run's start")
	}
	var nodes []string
	for _, s := range l.Scenarios {
		for _, n := range l.nodes(s) {
			nodes = append(nodes, string(n))
		}
	}
	for _, n := range o.Nodes {
		if !slices.Contains(nodes, string(n)) {
			slices.Sort(nodes)
			return bad(fmt.Sprintf("node %.64q", n), "the nodes are "+strings.Join(slices.Compact(nodes), ", "))
		}
	}
	for _, k := range o.What {
		if !slices.Contains(happenings, sim.Happening(k)) {
			return bad(fmt.Sprintf("kind %.64q", k), fmt.Sprintf("the kinds are %v", happenings))
		}
	}
	return nil
}

// happenings lists what a log can hold.
var happenings = []sim.Happening{sim.Boot, sim.Up, sim.Stop, sim.Dial, sim.Opened, sim.Refused, sim.Closed, sim.Send, sim.Receive, sim.Hold, sim.Drop, sim.Double,
	sim.Ask, sim.Serve, sim.Answer, sim.Outcome, sim.Rule, sim.Pause, sim.Resume, sim.Write, sim.Sync, sim.Synced, sim.Crash, sim.DiskRule, sim.ClockRule, sim.PaceRule,
	sim.Forge, sim.WorldOver}

func (o LogOptions) shows(e sim.Event) bool {
	switch {
	case e.At < o.From, o.To > 0 && e.At > o.To:
		return false
	case len(o.What) > 0 && !slices.Contains(o.What, string(e.What)):
		return false
	}
	return len(o.Nodes) == 0 || slices.Contains(o.Nodes, e.Node) || e.Peer != "" && slices.Contains(o.Nodes, e.Peer)
}

// Text writes the log, an entry a line.
func (r RunLog) Text(w io.Writer) error {
	out := textWriter{w: w}
	out.line("%s, scenario %s, seed %d: %d events, hash %s", r.Lab, r.Scenario, r.Seed, r.Total, r.Hash)
	out.shorter(r.Shrunk)
	out.line("%-8s %12s  %-4s what happens", "event", "time", "node")
	for _, e := range r.Events {
		out.line("%s", e)
	}
	if r.LeftOut > 0 {
		out.line("... and %d more; --limit shows more, --node, --what, --from and --to fewer", r.LeftOut)
	}
	out.differences(r.Differences)
	return out.err
}

// textWriter keeps the first error of many writes.
type textWriter struct {
	w   io.Writer
	err error
}

func (t *textWriter) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
}

// shorter says that what is shown is not the whole run.
func (t *textWriter) shorter(s *grade.Shrunk) {
	if s != nil {
		t.line("%s; --full shows the whole run", s.Story())
	}
}

func (t *textWriter) differences(all []string) {
	if len(all) > 0 {
		t.line("\nThe run was not the same:\n  %s", strings.Join(all, "\n  "))
	}
}

// String tells an entry in a line.
func (e LogEntry) String() string {
	at := time.Duration(e.Micros * 1000)
	return fmt.Sprintf("%-8s %12s  %-4s %s", fmt.Sprintf("#%d", e.Seq), seconds(at), e.Node, e.sentence())
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6fs", d.Seconds()) }

// sentence says what happened to the entry's node.
func (e LogEntry) sentence() string {
	switch sim.Happening(e.What) {
	case sim.Boot:
		return fmt.Sprintf("boots, for the %s time", ordinal(e.ID))
	case sim.Up:
		return "its door is open"
	case sim.Stop:
		return "stops: " + e.Note
	case sim.Dial:
		return fmt.Sprintf("dials %s, connection %d", e.Peer, e.ID)
	case sim.Opened:
		return fmt.Sprintf("is connected to %s, connection %d", e.Peer, e.ID)
	case sim.Refused:
		return fmt.Sprintf("is refused by %s (%s), connection %d", e.Peer, e.Note, e.ID)
	case sim.Closed:
		return strings.TrimRight(fmt.Sprintf("sees %s close connection %d %s", e.Peer, e.ID, e.Note), " ")
	case sim.Send:
		return fmt.Sprintf("sends %s frame %d, %s", e.Peer, e.ID, bytesText(e.Size))
	case sim.Receive:
		return fmt.Sprintf("receives from %s frame %d, %s", e.Peer, e.ID, bytesText(e.Size))
	case sim.Hold:
		return fmt.Sprintf("has frame %d to %s held by a cut, %s", e.ID, e.Peer, bytesText(e.Size))
	case sim.Drop:
		return fmt.Sprintf("has frame %d to %s lost, %s", e.ID, e.Peer, bytesText(e.Size))
	case sim.Double:
		return fmt.Sprintf("has packet %d to %s doubled", e.ID, e.Peer)
	case sim.Ask:
		client, verb, _ := strings.Cut(e.Note, " ")
		return fmt.Sprintf("is asked by %s for %s, request %d, %s", client, verb, e.ID, bytesText(e.Size))
	case sim.Serve:
		return fmt.Sprintf("gets request %d", e.ID)
	case sim.Answer:
		return fmt.Sprintf("answers request %d, %s", e.ID, bytesText(e.Size))
	}
	return e.moreSentences()
}

func (e LogEntry) moreSentences() string {
	switch sim.Happening(e.What) {
	case sim.Outcome:
		return fmt.Sprintf("request %d is over: %s", e.ID, e.Note)
	case sim.Rule:
		return fmt.Sprintf("its link to %s is %s", e.Peer, ruleNote(e.Note))
	case sim.Pause:
		return "is paused"
	case sim.Resume:
		return "goes on"
	case sim.Write:
		return fmt.Sprintf("writes: %s, %s", e.Note, bytesText(e.Size))
	case sim.Sync:
		return fmt.Sprintf("asks its disc for sync %d", e.ID)
	case sim.Synced:
		return fmt.Sprintf("has sync %d done", e.ID)
	case sim.Crash:
		return "its disc loses what was not synced: " + many(e.Size, "change")
	case sim.DiskRule:
		return "its disc is " + e.Note
	case sim.ClockRule:
		return fmt.Sprintf("its clock jumps: off by %s", e.Note)
	case sim.PaceRule:
		return fmt.Sprintf("computes %d times slower", e.Size)
	case sim.Forge:
		return "writes what is no frame: " + e.Note
	case sim.WorldOver:
		return "the run ends: " + e.Note
	}
	return strings.TrimSpace(e.What + " " + e.Note)
}

// ruleNote puts the simulator's note of a rule into the words that faults are ordered in.
func ruleNote(note string) string {
	var r wire.Rule
	var cut, delay, jitter string
	if n, _ := fmt.Sscanf(note, "cut %q delay %s jitter %s loss %g duplicate %g reorder %g", &cut, &delay, &jitter, &r.Loss, &r.Duplicate, &r.Reorder); n != 6 {
		return note
	}
	r.Cut = wire.Cut(cut)
	r.Delay, _ = time.ParseDuration(delay)
	r.Jitter, _ = time.ParseDuration(jitter)
	return linkText(r)
}

func bytesText(n int) string { return many(n, "byte") }

func ordinal(n uint64) string {
	switch {
	case n%10 == 1 && n%100 != 11:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2 && n%100 != 12:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3 && n%100 != 13:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}
