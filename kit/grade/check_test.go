package grade

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// The scripts of testdata/checks: "history" takes down a history by hand (history.Parse), every other command is
// a check on it and prints the finding.
func TestChecks(t *testing.T) {
	datadriven.Walk(t, "testdata/checks", func(t *testing.T, path string) {
		var h *history.History
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "history" {
				var err error
				if h, err = history.Parse(d.Input); err != nil {
					return err.Error() + "\n"
				}
				return fmt.Sprintf("%d operations, %d faults\n", len(h.Ops), len(h.Faults))
			}
			return print(checkOf(t, d)(h))
		})
	})
}

func checkOf(t *testing.T, d *datadriven.TestData) Judge {
	if judge, ok := factChecks(t, d); ok {
		return judge
	}
	switch d.Cmd {
	case "conserved":
		var pos int
		var want int64
		d.ScanArgs(t, "pos", &pos)
		d.ScanArgs(t, "want", &want)
		return Total{Table: "account", Keys: terms(t, d, "keys"), Pos: pos, Want: want}.Conserved
	case "replicas":
		r := Replicas{Table: "account", Nodes: nodes(d, "nodes"), What: "what the master held"}
		if d.HasArg("want") {
			r.Want = terms(t, d, "want")
		}
		return r.Equal
	case "kept":
		return Durable{Table: "account", Nodes: nodes(d, "nodes")}.Kept
	case "event":
		n := nodes(d, "on")
		about := kit.NodeName("")
		if d.HasArg("about") {
			about = nodes(d, "about")[0]
		}
		var kind string
		d.ScanArgs(t, "kind", &kind)
		return EventOn(n[0], kind, about)
	case "counter":
		return Counter{Increment: "increment", Read: "read"}.Exact
	case "prompt":
		return Prompt{Verbs: []string{"increment", "read"}, Limit: time.Second}.Answered
	case "order":
		return InOrder(steps(d)...)
	case "lists":
		return InOrder(Step{Name: "the list seen", Done: Lists(nodes(d, "on")[0], nodes(d, "nodes")...)})
	case "genuine":
		return Genuine
	case "answer":
		return Answer("ratio", "a number above 1", func(v term.Term) string {
			if n, ok := term.BigInt(v); !ok || n.Int64() <= 1 {
				return "that is no ratio"
			}
			return ""
		})
	case "cut":
		return func(h *history.History) Finding {
			return Passed(CutReceipt(h, nodes(d, "left"), nodes(d, "right"))).Bit()
		}
	}
	t.Fatalf("unknown command %s", d.Cmd)
	return nil
}

// steps reads lines "cut a b" (an order) and "a set_master_nodes" (a request).
func steps(d *datadriven.TestData) []Step {
	var all []Step
	for line := range strings.SplitSeq(d.Input, "\n") {
		w := strings.Fields(line)
		if len(w) == 3 {
			all = append(all, Step{Name: line, Done: Order(w[0], kit.NodeName(w[1]), kit.NodeName(w[2]))})
		} else {
			all = append(all, Step{Name: line, Done: Verb(kit.NodeName(w[0]), w[1])})
		}
	}
	return all
}

func nodes(d *datadriven.TestData, key string) []kit.NodeName {
	var all []kit.NodeName
	for _, a := range d.CmdArgs {
		if a.Key == key {
			for _, v := range a.Vals {
				all = append(all, kit.NodeName(v))
			}
		}
	}
	return all
}

// terms reads atoms, or with want=(ann:90) account records.
func terms(t *testing.T, d *datadriven.TestData, key string) []term.Term {
	t.Helper()
	all := []term.Term{}
	for _, a := range d.CmdArgs {
		if a.Key != key {
			continue
		}
		for _, v := range a.Vals {
			name, amount, isRow := strings.Cut(v, ":")
			if !isRow {
				all = append(all, term.Atom(v))
				continue
			}
			n, err := term.FromJSON([]byte(amount))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, term.Tuple{term.Atom("account"), term.Atom(name), n})
		}
	}
	return all
}

func print(f Finding) string {
	var b strings.Builder
	fmt.Fprintln(&b, f.Verdict)
	for _, line := range []struct{ name, text string }{{"why", f.Why}, {"expected", f.Expected}, {"actual", f.Actual}} {
		if line.text != "" {
			fmt.Fprintf(&b, "%s: %s\n", line.name, line.text)
		}
	}
	if len(f.Evidence) > 0 {
		fmt.Fprintf(&b, "evidence: %v\n", f.Evidence)
	}
	if n := len(f.Evidence); f.Focus != 0 && f.Focus != f.Evidence[n-1] {
		fmt.Fprintf(&b, "focus: %d\n", f.Focus)
	}
	for _, r := range f.Receipts {
		fmt.Fprintf(&b, "receipt: %s: %v, %s\n", r.Fault, r.Bit, r.Evidence)
	}
	return b.String()
}
