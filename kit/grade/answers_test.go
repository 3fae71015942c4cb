package grade

import (
	"errors"
	"strings"
	"testing"

	"netsplit/kit/history"
	"netsplit/kit/term"
)

// TestAnswered compares what was handed in with the truth, and never says what the truth is.
func TestAnswered(t *testing.T) {
	truths := map[string]term.Term{"node": term.Atom("b"), "waiting": term.Int(4711)}
	question := func(name, where string) Question {
		return Question{Name: name, Where: where, Truth: func(*history.History) (term.Term, error) {
			if truths[name] == nil {
				return nil, errors.New("nobody answered")
			}
			return truths[name], nil
		}}
	}
	judge := Answered(question("node", "look at the pid"), question("waiting", "look at the mailbox"))
	for _, c := range []struct {
		name    string
		node    term.Term
		waiting term.Term
		verdict Verdict
		credit  float64
		why     string
		actual  string
	}{
		{"right, as atoms", term.Atom("b"), term.Int(4711), Pass, 0, "", ""},
		{"right, as text", term.Bin(" b"), term.Bin("4711"), Pass, 0, "", ""},
		{"one wrong", term.Atom("a"), term.Int(4711), Fail, 0.5, "not what the cluster shows: node", "node: a"},
		{"one missing", term.Atom("b"), nil, Fail, 0.5, "not answered: waiting", "waiting: no answer"},
		{"both", term.L(term.Atom("b")), nil, Fail, 0, "not what the cluster shows: node; not answered: waiting", "node: [b]\nwaiting: no answer"},
		{"nearly", term.Bin("B"), term.Float(4711), Fail, 0, "not what the cluster shows: node, waiting", "node: \"B\"\nwaiting: 4711.0"},
		{"nothing is no name", term.Bin(""), term.Int(4711), Fail, 0.5, "not what the cluster shows: node", `node: ""`},
		{"long rubbish", term.Bin(strings.Repeat("x", 1000)), term.Int(4711), Fail, 0.5, "not what the cluster shows: node", `node: "xxx`},
	} {
		log := history.NewLog()
		for name, v := range map[string]term.Term{"node": c.node, "waiting": c.waiting} {
			if v != nil {
				log.Note(name, v, 0)
			}
		}
		f := judge(log.Snapshot(0))
		if f.Verdict != c.verdict || f.Credit != c.credit || f.Why != c.why || !strings.HasPrefix(f.Actual, c.actual) || len(f.Actual) > 200 {
			t.Errorf("%s: %+v", c.name, f)
		}
		if c.waiting == nil && strings.Contains(f.Why+f.Expected+f.Actual, "4711") {
			t.Errorf("%s: the finding tells the answer: %+v", c.name, f)
		}
		if f.Verdict == Fail && !strings.Contains(f.Expected, "look at the ") {
			t.Errorf("%s: it does not say where to look: %q", c.name, f.Expected)
		}
	}
	truths["node"] = nil
	if f := judge(history.NewLog().Snapshot(0)); f.Verdict != Inconclusive || !strings.Contains(f.Why, "could not read the answer to node") {
		t.Errorf("a truth that nobody knows: %+v", f)
	}
}
