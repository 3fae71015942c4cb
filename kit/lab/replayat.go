package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/sim"
	"netsplit/kit/term"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// Moment is a point of a run: a time, or right after an entry of its event log.
type Moment struct {
	At    time.Duration
	Event uint64 // not 0: after the entry with this number
}

// ParseMoment reads "1.5s", or "#123" (also "123") for an event.
func ParseMoment(s string) (Moment, error) {
	if n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 10, 64); err == nil && n > 0 {
		return Moment{Event: n}, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > 24*time.Hour || strings.HasPrefix(s, "#") {
		return Moment{}, &kit.Error{Op: "read moment", What: fmt.Sprintf("%.64q", s), Kind: kit.Invalid,
			Hint: "a moment is a time since the run's start like 1.5s, or the number of an event like 345; \"netsplit replay RESULT --log\" lists both"}
	}
	return Moment{At: d}, nil
}

// String gives the moment as it is typed.
func (m Moment) String() string {
	if m.Event > 0 {
		return fmt.Sprintf("event %d", m.Event)
	}
	return m.At.String()
}

// Standing is how everything in a simulated run stands at one moment. Times are microseconds of the run's clock.
type Standing struct {
	Lab         string         `json:"lab"`
	Scenario    string         `json:"scenario"`
	Seed        uint64         `json:"seed"`
	Hash        string         `json:"hash"`             // of the run until its end
	Shrunk      *grade.Shrunk  `json:"shrunk,omitempty"` // it is the shorter run that explains a task, and not the whole
	Differences []string       `json:"differences,omitempty"`
	Micros      float64        `json:"us"`
	Event       uint64         `json:"event"` // the latest entry of the log
	Nodes       []NodeStanding `json:"nodes"`
	Links       []LinkStanding `json:"links"` // those with a rule or with something on its way
	Next        []LogEntry     `json:"next"`  // what happens next in the run
}

// NodeStanding is how one node stands.
type NodeStanding struct {
	Node     kit.NodeName      `json:"node"`
	State    string            `json:"state"` // up, booting, paused, dead
	Why      string            `json:"why,omitempty"`
	Boots    int               `json:"boots"`
	Computed float64           `json:"computed_us"` // in all boots
	Memory   uint64            `json:"memory"`      // bytes at most
	ClockOff float64           `json:"clock_off_us"`
	Slower   int               `json:"slower"`           // how many times slower than its own it computes
	Timer    *float64          `json:"timer_us"`         // when its next timer is due; null for none
	Waiting  int               `json:"waiting"`          // frames, requests and timers that wait for the end of its pause
	Unread   int               `json:"unread"`           // bytes given to it and not read
	Requests []RequestStanding `json:"requests"`         // asked of it and not answered
	Disc     DiscStanding      `json:"disc"`             //
	View     *NodeView         `json:"view,omitempty"`   // what it says of itself a moment later; null when it cannot
	Damage   *world.Damage     `json:"damage,omitempty"` // what faults have done to it until now
}

// RequestStanding is a request that has not been answered.
type RequestStanding struct {
	ID     uint64  `json:"id"`
	Client string  `json:"client"`
	Verb   string  `json:"verb"`
	Asked  float64 `json:"asked_us"`
	There  bool    `json:"there"` // it has reached the node
}

// DiscStanding is how a disc stands.
type DiscStanding struct {
	Rule     string         `json:"rule"`
	Bytes    int            `json:"bytes"`
	Unsynced int            `json:"unsynced"` // changes that a power cut would lose
	Syncs    int            `json:"syncs"`    // asked for and not done
	Files    []FileStanding `json:"files"`
}

// FileStanding is one file of a disc; -1 for a size that it does not have, because it is new or removed.
type FileStanding struct {
	Name    string `json:"name"`
	Size    int    `json:"size"`
	Durable int    `json:"durable"`
}

// LinkStanding is what one node sends another.
type LinkStanding struct {
	From    kit.NodeName `json:"from"`
	To      kit.NodeName `json:"to"`
	Rule    string       `json:"rule"`   // "whole", "cut silent", ...
	Flight  int          `json:"flight"` // frames on their way
	Queued  int          `json:"queued"` // frames held by a cut, or waiting for the receiver to read
	Bytes   int          `json:"bytes"`
	Frames  []uint64     `json:"frames"`  // the numbers of the first of them
	Packets int          `json:"packets"` // gossip packets on their way
}

// NodeView is what a node says of itself through its door.
type NodeView struct {
	Micros    float64     `json:"us"`    // when it had answered
	Store     string      `json:"store"` // yes when it runs, else no, starting or stopping
	Links     []string    `json:"links"` // the nodes that it is connected to
	Tables    []TableView `json:"tables"`
	Locks     []string    `json:"locks"`
	Processes []string    `json:"processes"`
	Trouble   string      `json:"trouble,omitempty"` // why something of it is missing
}

// TableView is a node's own copy of a table.
type TableView struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Storage string   `json:"storage"`
	Size    int      `json:"size"` // records
	Rows    []string `json:"rows"` // the first of them
}

// Limits of what a Standing shows.
const (
	maxShownRows   = 20
	maxShownTables = 40
	maxShownNext   = 15
	maxShownFiles  = 40
)

// Stand runs a result's case again up to a moment and shows how everything stands there. The run is done twice: once to its
// end, so that it can be compared with the recorded one and what comes next can be told, and once to the moment.
func (g *Grader) Stand(ctx context.Context, l *Lab, old *grade.Result, which Which, m Moment) (Standing, error) {
	c, err := g.openCase(ctx, l, old, which)
	if err != nil {
		return Standing{}, err
	}
	whole, err := g.run(ctx, c, func(*SimRun) {})
	if err != nil {
		return Standing{}, err
	}
	s := Standing{Lab: l.Slug, Scenario: c.scenario.Name, Seed: c.seed, Hash: whole.trial.hash, Shrunk: c.shrunk, Differences: c.otherwise(old, whole.trial.hash, g.Version)}
	looked := false
	part, err := g.run(ctx, c, func(o *SimRun) {
		o.Halt = &sim.Halt{At: m.At, Seq: m.Event, Look: func(ctx context.Context, w *sim.World) {
			looked = true
			s.take(w.Picture())
			for i := range s.Nodes {
				if n := &s.Nodes[i]; n.State == "up" {
					n.View = viewOf(ctx, w, n.Node)
				}
			}
		}}
	})
	if err != nil {
		return Standing{}, err
	}
	if !looked {
		return Standing{}, errNever(m, whole)
	}
	if !samePast(whole.events, part.events, s.Event) {
		s.Differences = append(s.Differences, "the run that was stopped went otherwise than the one that was not")
	}
	s.Next = []LogEntry{}
	for _, e := range whole.events {
		if e.Seq > s.Event && len(s.Next) < maxShownNext {
			s.Next = append(s.Next, entryOf(e))
		}
	}
	return s, nil
}

func errNever(m Moment, r simRun) error {
	hint := "nothing happens in it"
	if n := len(r.events); n > 0 {
		hint = fmt.Sprintf("its last event is %d, at %s", r.events[n-1].Seq, seconds(r.events[n-1].At))
	}
	return &kit.Error{Op: "stop the run at", What: m.String(), Kind: kit.NotFound, Err: errors.New("the run ends before that"), Hint: hint}
}

// samePast compares two logs up to an entry, as far as both keep it.
func samePast(a, b []sim.Event, until uint64) bool {
	past := func(all []sim.Event) []sim.Event {
		return slices.DeleteFunc(slices.Clone(all), func(e sim.Event) bool { return e.Seq > until })
	}
	a, b = past(a), past(b)
	n := min(len(a), len(b))
	return slices.Equal(a[len(a)-n:], b[len(b)-n:])
}

// take turns the simulator's picture into words and plain numbers.
func (s *Standing) take(p sim.Picture) {
	s.Micros, s.Event = micros(p.At), p.Seq
	for _, n := range p.Nodes {
		s.Nodes = append(s.Nodes, nodeStanding(n))
	}
	s.Links = []LinkStanding{}
	for _, l := range p.Links {
		s.Links = append(s.Links, LinkStanding{From: l.From, To: l.To, Rule: linkText(l.Rule), Flight: l.Flight, Queued: l.Queued, Bytes: l.Bytes,
			Frames: slices.Concat([]uint64{}, l.Frames), Packets: l.Packets})
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// linkText is a rule in the words that faults are ordered in.
func linkText(r wire.Rule) string {
	switch {
	case r == (wire.Rule{}):
		return "whole"
	case r.Cut != wire.Whole:
		return "cut " + string(r.Cut)
	}
	return "slow: " + ruleText(r)
}

func nodeStanding(n sim.NodePicture) NodeStanding {
	s := NodeStanding{Node: n.Name, State: "up", Boots: n.Boots, Computed: micros(n.CPU), Memory: n.Memory, ClockOff: micros(n.Clock), Slower: n.Pace,
		Waiting: n.Waiting, Unread: n.Unread, Requests: []RequestStanding{},
		Disc: DiscStanding{Rule: n.Disk.Rule.String(), Bytes: n.Disk.Bytes, Unsynced: n.Disk.Unsynced, Syncs: n.Disk.Syncs, Files: []FileStanding{}}}
	switch {
	case !n.Running:
		s.State, s.Why = "dead", oneLine(string(n.Reason)+": "+n.Why)
	case n.Paused:
		s.State = "paused"
	case !n.Up:
		s.State = "booting"
	}
	if n.Timer >= 0 && n.Running {
		at := micros(n.Timer)
		s.Timer = &at
	}
	if n.Damage != (world.Damage{}) {
		s.Damage = &n.Damage
	}
	for _, r := range n.Requests {
		s.Requests = append(s.Requests, RequestStanding{ID: r.ID, Client: oneLine(r.Client), Verb: oneLine(r.Verb), Asked: micros(r.Asked), There: r.There})
	}
	for i, f := range n.Disk.Files {
		if i < maxShownFiles {
			s.Disc.Files = append(s.Disc.Files, FileStanding{Name: oneLine(f.Name), Size: f.Size, Durable: f.Durable})
		}
	}
	return s
}

// asker asks one node for a view.
type asker struct {
	ctx  context.Context
	w    *sim.World
	node kit.NodeName
	view *NodeView
}

// viewOf asks a node that is up how it sees itself. The world goes on meanwhile, by what the questions take.
func viewOf(ctx context.Context, w *sim.World, node kit.NodeName) *NodeView {
	const patience = 300 * time.Millisecond
	a := asker{ctx: Patient(ctx, patience), w: w, node: node, view: &NodeView{Links: []string{}, Tables: []TableView{}, Locks: []string{}, Processes: []string{}}}
	status, _ := a.ask("status").(term.Map)
	a.view.Store = plainText(get(status, "store"))
	for _, n := range listItems(get(status, "nodes")) {
		a.view.Links = append(a.view.Links, plainText(n))
	}
	tables := listItems(get(status, "tables"))
	for _, t := range tables[:min(len(tables), maxShownTables)] {
		if m, ok := t.(term.Map); ok {
			a.view.Tables = append(a.view.Tables, a.table(m))
		}
	}
	if a.view.Store == "yes" {
		a.view.Locks = rowTexts(a.ask("system_info", term.Atom("held_locks")))
	}
	for _, p := range firstTerms(listItems(a.ask("processes"))) {
		a.view.Processes = append(a.view.Processes, processText(p))
	}
	a.view.Micros = micros(w.Now())
	return a.view
}

func (a asker) table(m term.Map) TableView {
	size, _ := get(m, "size").(term.Int)
	t := TableView{Name: plainText(get(m, "table")), Type: plainText(get(m, "type")), Storage: plainText(get(m, "storage_type")), Size: int(size), Rows: []string{}}
	if t.Storage != "unknown" {
		t.Rows = rowTexts(a.ask("local_contents", get(m, "table")))
	}
	return t
}

// ask asks one question; what goes wrong is said once.
func (a asker) ask(verb string, args ...term.Term) term.Term {
	if a.view.Trouble != "" {
		return nil
	}
	out := a.w.Call(a.ctx, "replay", a.node, door.Request{Verb: verb, Args: args})
	v, err := out.Term()
	if err != nil {
		a.view.Trouble = oneLine(fmt.Sprintf("%s: %v", verb, err))
		return nil
	}
	return v
}

func listItems(t term.Term) term.List {
	l, _ := t.(term.List)
	return l
}

// firstTerms gives the first of a list, and how many more there are, if so, as the last.
func firstTerms(all term.List) term.List {
	if len(all) <= maxShownRows {
		return all
	}
	return append(slices.Clone(all[:maxShownRows]), term.Atom(fmt.Sprintf("... and %d more", len(all)-maxShownRows)))
}

// rowTexts shows the first of a list's terms, a text each.
func rowTexts(t term.Term) []string {
	rows := []string{}
	for _, row := range firstTerms(listItems(t)) {
		rows = append(rows, plainText(row))
	}
	return rows
}

// processText tells what is known of a process in a line.
func processText(t term.Term) string {
	m, ok := t.(term.Map)
	if !ok {
		return plainText(t)
	}
	text := plainText(get(m, "pid")) + " " + plainText(get(m, "function"))
	if name := plainText(get(m, "name")); name != "undefined" && name != "" {
		text += ", named " + name
	}
	if n, _ := get(m, "message_queue_len").(term.Int); n > 0 {
		text += ", " + many(int(n), "message") + " waiting"
	}
	for _, part := range []string{"links", "monitors"} {
		if all := listItems(get(m, part)); len(all) > 0 {
			text += ", " + part + " " + plainText(all)
		}
	}
	return oneLine(text)
}

// plainText shows a term as explanations do.
func plainText(t term.Term) string {
	if t == nil {
		return ""
	}
	return oneLine(grade.AnswerText(history.Op{Outcome: door.OKTerm(t)}))
}
