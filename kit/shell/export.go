package shell

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"go.starlark.net/syntax"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Kinds of journal entries that the shell writes and Export reads.
const (
	JournalCommand = "command" // an entry typed in the shell; Data is EncodeEntry's
	JournalFault   = "fault"   // a fault, from the shell or the command line
	JournalData    = "data"    // the lab's random data; Data is a LabData
	JournalAnswer  = "answer"  // what was handed in with answer(name, value); Data is a Given
)

// entryJSON is the form of an Entry in the journal.
type entryJSON struct {
	Source  string `json:"source"`
	OK      bool   `json:"ok"`
	Outcome string `json:"outcome,omitempty"`
	Micros  int64  `json:"us"`
}

// EncodeEntry makes the Data of a journal entry.
func EncodeEntry(e Entry) json.RawMessage {
	b, err := json.Marshal(entryJSON{e.Source, e.OK, e.Outcome, e.Took.Microseconds()})
	if err != nil {
		return nil // strings and numbers always encode
	}
	return b
}

// DecodeEntry reads the Data of a journal entry of kind JournalCommand.
func DecodeEntry(b json.RawMessage) (Entry, error) {
	var e entryJSON
	if err := json.Unmarshal(b, &e); err != nil {
		return Entry{}, &kit.Error{Op: "read journal entry", Kind: kit.Corrupt, Err: err}
	}
	return Entry{Source: e.Source, OK: e.OK, Outcome: e.Outcome, Took: time.Duration(e.Micros) * time.Microsecond}, nil
}

// LabData is what a running lab was started with: the seed that its random data was drawn from, and the data.
type LabData struct {
	Seed uint64
	Data map[string]term.Term
}

type labDataJSON struct {
	Seed uint64              `json:"seed"`
	Data map[string]jsonTerm `json:"data"`
}

// MarshalJSON makes the Data of a journal entry of kind JournalData.
func (d LabData) MarshalJSON() ([]byte, error) {
	out := labDataJSON{Seed: d.Seed, Data: map[string]jsonTerm{}}
	for k, v := range d.Data {
		out.Data[k] = jsonTerm{v}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (d *LabData) UnmarshalJSON(b []byte) error {
	var in labDataJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return &kit.Error{Op: "read lab data", Kind: kit.Corrupt, Err: err}
	}
	d.Seed, d.Data = in.Seed, map[string]term.Term{}
	for k, v := range in.Data {
		d.Data[k] = v.Term
	}
	return nil
}

// Given is an answer that was handed in with answer(name, value).
type Given struct {
	Name  string
	Value term.Term
}

type givenJSON struct {
	Name  string   `json:"name"`
	Value jsonTerm `json:"value"`
}

// MarshalJSON makes the Data of a journal entry of kind JournalAnswer.
func (g Given) MarshalJSON() ([]byte, error) {
	return json.Marshal(givenJSON{g.Name, jsonTerm{g.Value}})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (g *Given) UnmarshalJSON(b []byte) error {
	var in givenJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return &kit.Error{Op: "read answer", Kind: kit.Corrupt, Err: err}
	}
	g.Name, g.Value = in.Name, in.Value.Term
	return nil
}

// Step is one thing that was done to a lab, in the order of the journal.
type Step struct {
	At     time.Time
	Entry  Entry    // typed in the shell
	Fault  []string // or a fault from the command line: its words, as "cut", "a", "b", "--silent"
	Source string   // where a fault came from, for the comment
}

// Limits of pauses that Export writes between steps.
const (
	shortestPause = 200 * time.Millisecond
	longestPause  = time.Second
)

// Export writes a run.star from what was done: what succeeded, in order; faults of the command line as calls;
// what failed as comments. Literals that equal the lab's random data in one place only become references to
// lab.data, so that the script holds for other data. After a fault it keeps a pause that was there, because a
// script goes on faster than hands.
func Export(lab string, data map[string]term.Term, steps []Step) string {
	refs := dataRefs(data)
	var b strings.Builder
	fmt.Fprintf(&b, "# What was done in lab %s. \"netsplit grade\" runs this on a fresh cluster with other data,\n", lab)
	b.WriteString("# so write lab.data[...] where a value differs from run to run.\n\n")
	for i, step := range steps {
		text := exportStep(step, refs)
		if text == "" {
			continue
		}
		b.WriteString(text)
		if i+1 < len(steps) && !step.At.IsZero() && disturbs(text) && !waits(steps[i+1]) {
			if gap := steps[i+1].At.Sub(step.At) - steps[i+1].Entry.Took; gap >= shortestPause {
				fmt.Fprintf(&b, "sleep(%d)\n", min(gap, longestPause).Round(100*time.Millisecond).Milliseconds())
			}
		}
	}
	return b.String()
}

func exportStep(step Step, refs []dataRef) string {
	if step.Fault != nil {
		call, err := faultCall(step.Fault)
		if err != nil {
			return fmt.Sprintf("# left out: %s (%v)\n", strings.Join(step.Fault, " "), err)
		}
		return fmt.Sprintf("%s  # netsplit %s\n", call, strings.Join(step.Fault, " "))
	}
	src := strings.TrimRight(step.Entry.Source, "\n ")
	switch {
	case src == "" || onlyLooks(src):
		return ""
	case !step.Entry.OK:
		first, _, more := strings.Cut(src, "\n")
		if more {
			first += " ..."
		}
		return fmt.Sprintf("# failed: %s\n#   %s\n", cutText(first, 120), strings.ReplaceAll(cutText(step.Entry.Outcome, 120), "\n", " "))
	}
	src = refer(src, refs)
	if strings.Contains(src, "\n") {
		src += "\n" // a block ends with an empty line
	}
	return src + "\n"
}

// onlyLooks reports whether an entry is of no use in a script: help, a bare name, a comment.
func onlyLooks(src string) bool {
	f, err := fileOptions().Parse("entry", src, 0)
	if err != nil {
		return false
	}
	if len(f.Stmts) == 0 {
		return true
	}
	expr := soleExpr(f)
	if expr == nil {
		return false
	}
	switch expr := expr.(type) {
	case *syntax.Ident, *syntax.Literal, *syntax.DotExpr:
		return true
	case *syntax.CallExpr:
		fn, ok := expr.Fn.(*syntax.Ident)
		return ok && (fn.Name == "help" || fn.Name == "dir" || fn.Name == "type")
	}
	return false
}

// disturbs reports whether a step changes links or nodes.
func disturbs(text string) bool {
	for _, f := range faultFunctions {
		if strings.Contains(text, f.name+"(") {
			return true
		}
	}
	return strings.Contains(text, ".db.stop()") || strings.Contains(text, ".db.start(")
}

func waits(step Step) bool {
	src := strings.TrimSpace(step.Entry.Source)
	return strings.Contains(src, "await_") || strings.Contains(src, "wait_") || strings.Contains(src, "sleep(")
}

// faultCall translates the words of a fault of the command line.
func faultCall(words []string) (string, error) {
	silent, oneWay := false, false
	var plain []string
	for _, w := range words[1:] {
		switch w {
		case "--silent":
			silent = true
		case "--one-way":
			oneWay = true
		default:
			plain = append(plain, w)
		}
	}
	nodes := func(n int) string {
		names := slices.Clone(plain[:n])
		for i := range names {
			names[i] = strings.ReplaceAll(names[i], "-", "_")
		}
		return strings.Join(names, ", ")
	}
	if oneWay {
		return "", fmt.Errorf("one way only, which scripts cannot say")
	}
	switch do := words[0]; {
	case do == "heal" && len(plain) == 0:
		return "heal()", nil
	case do == "cut" && len(plain) == 2 && silent:
		return fmt.Sprintf("cut(%s, silent=True)", nodes(2)), nil
	case (do == "cut" || do == "heal") && len(plain) == 2:
		return fmt.Sprintf("%s(%s)", do, nodes(2)), nil
	case do == "slow" && (len(plain) == 2 || len(plain) == 3):
		delay := append(plain, "0s")[2]
		return fmt.Sprintf("slow(%s, %q)", nodes(2), delay), nil
	case do == "loss" && (len(plain) == 2 || len(plain) == 3):
		share, ok := new(big.Rat).SetString(strings.TrimSuffix(append(plain, "0%")[2], "%"))
		if !ok {
			return "", fmt.Errorf("the share cannot be read")
		}
		f, _ := new(big.Rat).Quo(share, big.NewRat(100, 1)).Float64()
		return fmt.Sprintf("loss(%s, %v)", nodes(2), f), nil
	case slices.Contains([]string{"kill", "restart", "pause", "resume"}, do) && len(plain) == 1:
		return fmt.Sprintf("%s(%s)", do, nodes(1)), nil
	}
	return "", fmt.Errorf("scripts have no such fault")
}

// dataRef is a value of the lab's data and the expression that reads it.
type dataRef struct {
	value term.Term
	expr  string
}

// dataRefs lists the scalars of the data that occur once, so that a literal can only mean them.
func dataRefs(data map[string]term.Term) []dataRef {
	var all []dataRef
	keys := make([]string, 0, len(data))
	for k := range data {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		all = addRefs(all, data[k], fmt.Sprintf("lab.data[%s]", syntax.Quote(k, false)), 0)
	}
	var once []dataRef
	for i, r := range all {
		if !slices.ContainsFunc(all, func(o dataRef) bool { return o.expr != all[i].expr && term.Equal(o.value, r.value) }) {
			once = append(once, r)
		}
	}
	return once
}

// smallestNumber is the least number that is taken for data: smaller ones are counts and indexes.
const smallestNumber = 20

func addRefs(all []dataRef, t term.Term, expr string, depth int) []dataRef {
	if depth > 5 || len(all) > 10_000 {
		return all
	}
	switch t := t.(type) {
	case term.Bin:
		if t != "" {
			all = append(all, dataRef{t, expr})
		}
	case term.Atom:
		if t != "true" && t != "false" && t != "undefined" {
			all = append(all, dataRef{t, expr})
		}
	case term.Int:
		if t >= smallestNumber || t <= -smallestNumber {
			all = append(all, dataRef{t, expr})
		}
	case term.Big, term.Float:
		all = append(all, dataRef{t, expr})
	case term.Tuple:
		for i, x := range t {
			all = addRefs(all, x, fmt.Sprintf("%s[%d]", expr, i), depth+1)
		}
	case term.List:
		for i, x := range t {
			all = addRefs(all, x, fmt.Sprintf("%s[%d]", expr, i), depth+1)
		}
	case term.Map:
		for _, p := range t {
			if k, ok := p.Key.(term.Bin); ok {
				all = addRefs(all, p.Value, fmt.Sprintf("%s[%s]", expr, syntax.Quote(string(k), false)), depth+1)
			}
		}
	}
	return all
}

// Calls in which literals are no data: in the first all of them, in the second the arguments themselves, which are
// times, counts and messages.
var (
	noDataInside = []string{"help", "load", "record", "create_table", "table_info", "system_info", "wait_for_tables", "sleep", "slow", "loss", "range", "fail"}
	noDataDirect = []string{"timed", "wait_until", "await_event", "await_up", "await_down", "check", "print", "wait", "answer", "round"}
)

// refer replaces literals by references to the lab's data.
func refer(src string, refs []dataRef) string {
	f, err := fileOptions().Parse("entry", src, 0)
	if err != nil || len(refs) == 0 {
		return src
	}
	type edit struct {
		from, to int
		text     string
	}
	var edits []edit
	offsets := lineOffsets(src)
	skip := map[syntax.Expr]bool{}
	at := func(p syntax.Position) int { return byteOffset(src, offsets, p) }
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			if slices.Contains(noDataInside, calledName(n)) {
				return false
			}
			if slices.Contains(noDataDirect, calledName(n)) {
				for _, arg := range n.Args {
					if named, ok := arg.(*syntax.BinaryExpr); ok && named.Op == syntax.EQ {
						arg = named.Y
					}
					skip[arg] = true
				}
			}
			if value := atomCall(n); value != nil {
				if expr := refTo(refs, value); expr != "" {
					start, end := n.Span()
					edits = append(edits, edit{at(start), at(end), expr})
				}
				return false
			}
		case *syntax.Literal:
			if expr := refTo(refs, literalTerm(n)); expr != "" && !skip[n] {
				start, _ := n.Span()
				edits = append(edits, edit{at(start), at(start) + len(n.Raw), expr})
			}
		}
		return true
	})
	slices.SortFunc(edits, func(a, b edit) int { return b.from - a.from })
	for _, e := range edits {
		if e.from < 0 || e.to > len(src) || e.from >= e.to {
			return src
		}
		src = src[:e.from] + e.text + src[e.to:]
	}
	return src
}

func refTo(refs []dataRef, value term.Term) string {
	if value == nil {
		return ""
	}
	for _, r := range refs {
		if term.Equal(r.value, value) {
			return r.expr
		}
	}
	return ""
}

func calledName(call *syntax.CallExpr) string {
	switch fn := call.Fn.(type) {
	case *syntax.Ident:
		return fn.Name
	case *syntax.DotExpr:
		return fn.Name.Name
	}
	return ""
}

// atomCall gives the atom of atom("x").
func atomCall(call *syntax.CallExpr) term.Term {
	if calledName(call) != "atom" || len(call.Args) != 1 {
		return nil
	}
	if lit, ok := call.Args[0].(*syntax.Literal); ok && lit.Token == syntax.STRING {
		if s, ok := lit.Value.(string); ok {
			return term.Atom(s)
		}
	}
	return nil
}

func literalTerm(lit *syntax.Literal) term.Term {
	switch v := lit.Value.(type) {
	case string:
		return term.Bin(v)
	case int64:
		return term.Int(v)
	case *big.Int:
		return term.Big{Int: v}
	case float64:
		return term.Float(v)
	}
	return nil
}

func lineOffsets(src string) []int {
	offsets := []int{0}
	for i := range len(src) {
		if src[i] == '\n' {
			offsets = append(offsets, i+1)
		}
	}
	return offsets
}

// byteOffset turns a position, whose column counts characters, into an offset; -1 when it is outside.
func byteOffset(src string, offsets []int, p syntax.Position) int {
	if p.Line < 1 || int(p.Line) > len(offsets) {
		return -1
	}
	i := offsets[p.Line-1]
	for range p.Col - 1 {
		if i >= len(src) {
			return -1
		}
		i++
		for i < len(src) && src[i]&0xC0 == 0x80 {
			i++
		}
	}
	return i
}
