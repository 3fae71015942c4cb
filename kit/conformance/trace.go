// Package conformance runs recorded traces of real Mnesia against a cluster and compares, step by step, what
// it answers. A trace is a file of the conformance format: a scenario and, for each step, what Mnesia answered.
// The cluster is any world: real processes or the simulator.
//
// Three verdicts: pass, fail, and not yet, which a trace gets that needs a verb or an operation that the
// product does not know; that is listed and never counted as a pass or a failure.
//
//	go test ./kit/conformance -v -args -traces DIR -world real,sim -topics tables,tx,dirty,part -seeds 20 -report FILE
package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netsplit/kit"
)

// Trace is one recorded scenario.
type Trace struct {
	ID      string          `json:"id"`
	Title   string          `json:"title"`
	Topic   string          `json:"topic"`
	Nodes   []kit.NodeName  `json:"nodes"`
	Connect *bool           `json:"connect"`   // false: the nodes are not connected at boot
	Kernel  map[string]bool `json:"kernel"`    // settings of Erlang's runtime
	Env     json.RawMessage `json:"store_env"` // settings of Mnesia at boot
	Steps   []Step          `json:"steps"`
}

// connected reports whether the nodes are to be connected without being asked to.
func (t Trace) connected() bool { return t.Connect == nil || *t.Connect }

// manual reports whether nodes connect only when asked to, as those of the recording runner do. It makes no difference to
// stores; traces of the distribution itself show it.
func (t Trace) manual() bool { return !t.connected() || t.Topic == "dist" }

// odd reports whether the trace wants nodes with settings that there are not.
func (t Trace) odd() bool {
	for name := range t.Kernel {
		if name != "prevent_overlapping_partitions" {
			return true
		}
	}
	return len(t.Env) > 0
}

// Step is one step: its fields as they stand in the file.
type Step map[string]json.RawMessage

// Do is the step's verb.
func (s Step) Do() string { return s.text("do") }

// text gives a field that is a string; empty when it is not there.
func (s Step) text(field string) string {
	var v string
	_ = json.Unmarshal(s[field], &v) // not a string: empty
	return v
}

// maxNumber bounds the milliseconds, times and counts of a step that the runner itself goes by.
const maxNumber = 100_000

func (s Step) number(field string, otherwise int) int {
	n := otherwise
	if raw, ok := s[field]; !ok || json.Unmarshal(raw, &n) != nil {
		return otherwise
	}
	return min(max(n, 0), maxNumber)
}

func (s Step) flag(field string) bool {
	var v bool
	_ = json.Unmarshal(s[field], &v) // not a boolean: false
	return v
}

// on gives the nodes that the step runs on, and whether the step has a list of them.
func (s Step) on() (nodes []kit.NodeName, list bool) {
	if one := s.text("on"); one != "" {
		return []kit.NodeName{kit.NodeName(one)}, false
	}
	_ = json.Unmarshal(s["on"], &nodes) // none: empty
	return nodes, len(nodes) > 0
}

// String gives the step without what was expected of it.
func (s Step) String() string {
	keys := make([]string, 0, len(s))
	for k := range s {
		if !slices.Contains([]string{"do", "on", "expect", "note", "quirk"}, k) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var b strings.Builder
	b.WriteString(s.Do())
	if on, ok := s["on"]; ok {
		fmt.Fprintf(&b, " on %s", on)
	}
	for _, k := range keys {
		fmt.Fprintf(&b, " %s=%s", k, s[k])
	}
	return b.String()
}

// Load reads the traces of a folder (or one file), sorted by ID. topics limits them to those; none means all. A file
// that is no trace is an error.
func Load(path string, topics ...string) ([]Trace, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &kit.Error{Op: "load traces", Kind: kit.NotFound, Err: err}
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.json")); err != nil {
			return nil, &kit.Error{Op: "load traces", Kind: kit.Invalid, Err: err}
		}
	}
	var traces []Trace
	for _, f := range files {
		t, err := read(f)
		if err != nil {
			return nil, err
		}
		if len(topics) == 0 || slices.ContainsFunc(topics, t.has) {
			traces = append(traces, t)
		}
	}
	slices.SortFunc(traces, func(a, b Trace) int { return strings.Compare(a.ID, b.ID) })
	return traces, nil
}

// has reports whether the trace is of a topic, named in full ("partition") or as in the IDs ("part-01", "x-part-01").
func (t Trace) has(topic string) bool {
	return t.Topic == topic || strings.HasPrefix(strings.TrimPrefix(t.ID, "x-"), topic+"-")
}

// Limits of a trace.
const (
	MaxFile  = 1 << 20 // bytes
	MaxNodes = 9
	MaxSteps = 2000
)

func read(file string) (Trace, error) {
	f, err := os.Open(file)
	if err != nil {
		return Trace{}, &kit.Error{Op: "read trace", Kind: kit.Broken, Err: err}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return Trace{}, &kit.Error{Op: "read trace", Kind: kit.Broken, Err: err}
	}
	t, err := Parse(b)
	var e *kit.Error
	if errors.As(err, &e) {
		e.What = file
	}
	return t, err
}

// Parse reads a trace. What is none, or breaks a limit, is an error of kind Invalid.
func Parse(b []byte) (Trace, error) {
	var t Trace
	bad := func(err error) (Trace, error) {
		return Trace{}, &kit.Error{Op: "read trace", Kind: kit.Invalid, Err: err}
	}
	if len(b) > MaxFile {
		return bad(fmt.Errorf("it is longer than %d bytes", MaxFile))
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return bad(err)
	}
	switch {
	case t.ID == "" || len(t.Nodes) == 0 || len(t.Steps) == 0:
		return bad(errors.New("it has no id, nodes or steps"))
	case !plainName(t.ID, 40):
		return bad(errors.New("an id has letters, digits and dashes"))
	case len(t.Nodes) > MaxNodes || len(t.Steps) > MaxSteps:
		return bad(fmt.Errorf("at most %d nodes and %d steps", MaxNodes, MaxSteps))
	}
	for i, n := range t.Nodes {
		if !plainName(string(n), 16) || slices.Contains(t.Nodes[:i], n) {
			return bad(fmt.Errorf("node %q is no name, or there twice", n))
		}
	}
	for i, s := range t.Steps {
		if s.Do() == "" {
			return bad(fmt.Errorf("step %d has no do", i+1))
		}
	}
	return t, nil
}

func plainName(s string, most int) bool {
	return s != "" && len(s) <= most && s[0] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
