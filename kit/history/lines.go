package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// maxLine bounds one line of a recorded history.
const maxLine = 16 << 20

// The JSON forms; times are microseconds of the run's clock, terms are values of the conformance format.
type (
	lineJSON struct {
		Head  *headJSON  `json:"history,omitempty"`
		Op    *opJSON    `json:"op,omitempty"`
		Fault *faultJSON `json:"fault,omitempty"`
		Note  *noteJSON  `json:"note,omitempty"`
	}
	headJSON struct {
		Version   int   `json:"version"`
		End       int64 `json:"end"`
		Truncated bool  `json:"truncated,omitempty"`
	}
	opJSON struct {
		ID      int               `json:"id"`
		Phase   Phase             `json:"phase"`
		Client  string            `json:"client"`
		Node    kit.NodeName      `json:"node"`
		Verb    string            `json:"verb"`
		Args    []json.RawMessage `json:"args"`
		Begin   int64             `json:"begin"`
		End     *int64            `json:"end,omitempty"`
		Outcome *door.Outcome     `json:"outcome,omitempty"`
	}
	faultJSON struct {
		At int64 `json:"at"`
		Fault
	}
	noteJSON struct {
		At    int64           `json:"at"`
		Phase Phase           `json:"phase"`
		Name  string          `json:"name"`
		Value json.RawMessage `json:"value"`
	}
)

// version is written into the first line; Read refuses any other.
const version = 1

// Write writes h as JSON lines: a head, then operations, faults and notes.
func (h *History) Write(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	if err := out.Encode(lineJSON{Head: &headJSON{Version: version, End: h.End.Microseconds(), Truncated: h.Truncated}}); err != nil {
		return err
	}
	for _, o := range h.Ops {
		j, err := opLine(o)
		if err != nil {
			return err
		}
		if err := out.Encode(lineJSON{Op: j}); err != nil {
			return err
		}
	}
	for _, f := range h.Faults {
		if err := out.Encode(lineJSON{Fault: &faultJSON{At: f.At.Microseconds(), Fault: f}}); err != nil {
			return err
		}
	}
	for _, n := range h.Notes {
		v, err := term.ToJSON(n.Value)
		if err != nil {
			return err
		}
		if err := out.Encode(lineJSON{Note: &noteJSON{At: n.At.Microseconds(), Phase: n.Phase, Name: n.Name, Value: v}}); err != nil {
			return err
		}
	}
	return nil
}

func opLine(o Op) (*opJSON, error) {
	j := &opJSON{ID: o.ID, Phase: o.Phase, Client: o.Client, Node: o.Node, Verb: o.Verb, Begin: o.Begin.Microseconds(),
		Args: make([]json.RawMessage, len(o.Args))}
	for i, a := range o.Args {
		raw, err := term.ToJSON(a)
		if err != nil {
			return nil, err
		}
		j.Args[i] = raw
	}
	if o.End != Open {
		end := o.End.Microseconds()
		j.End, j.Outcome = &end, &o.Outcome
	}
	return j, nil
}

// Read reads what Write wrote. Bad or oversized input is an error of kind Corrupt that names the line.
func Read(r io.Reader) (*History, error) {
	h := &History{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if n > MaxEntries+1 {
			return nil, corrupt(n, fmt.Errorf("more than %d entries", MaxEntries))
		}
		if err := h.readLine(lines.Bytes(), n == 1); err != nil {
			return nil, corrupt(n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, corrupt(len(h.Ops), err)
	}
	return h, nil
}

func corrupt(line int, err error) error {
	return &kit.Error{Op: "read history", What: fmt.Sprintf("line %d", line), Kind: kit.Corrupt, Err: err}
}

func (h *History) readLine(b []byte, first bool) error {
	var l lineJSON
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	switch {
	case first && (l.Head == nil || l.Head.Version != version):
		return fmt.Errorf("this is no history of version %d", version)
	case l.Head != nil:
		h.End, h.Truncated = micros(l.Head.End), l.Head.Truncated
	case l.Op != nil:
		return h.readOp(l.Op)
	case l.Fault != nil:
		f := l.Fault.Fault
		f.At = micros(l.Fault.At)
		h.Faults = append(h.Faults, f)
	case l.Note != nil:
		v, err := term.FromJSON(l.Note.Value)
		if err != nil {
			return err
		}
		h.Notes = append(h.Notes, Note{Phase: l.Note.Phase, At: micros(l.Note.At), Name: l.Note.Name, Value: v})
	default:
		return fmt.Errorf("neither op, fault nor note")
	}
	return nil
}

func (h *History) readOp(j *opJSON) error {
	if len(h.Ops) > 0 && j.ID <= h.Ops[len(h.Ops)-1].ID {
		return fmt.Errorf("operation %d is out of order", j.ID)
	}
	o := Op{ID: j.ID, Phase: j.Phase, Client: j.Client, Node: j.Node, Verb: j.Verb, Begin: micros(j.Begin), End: Open,
		Outcome: door.Outcome{Status: door.Pending}}
	for _, raw := range j.Args {
		a, err := term.FromJSON(raw)
		if err != nil {
			return err
		}
		o.Args = append(o.Args, a)
	}
	if j.End != nil && j.Outcome != nil {
		o.End, o.Outcome = micros(*j.End), *j.Outcome
	}
	h.Ops = append(h.Ops, o)
	return nil
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
