package history

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// Parse reads a history written by hand, for the tests of checks. Times are milliseconds, values are in the
// conformance format, an answer is a value, or an outcome when it starts with a status, or ? for none:
//
//	# a comment
//	phase work
//	1-2 c1 a dirty ["dirty_write","account",{"t":["account","ann",90]}] => "ok"
//	3-4 c2 b tx_commit "t1" => {"aborted":"no_transaction"}
//	5-? c1 a tx_op "t1" ["read","account","ann"] => ?
//	6 cut a b silent
//	7 kill c
//	7 clock c +2s
//	8 note ratio 9
//	9 end
//
// Phases default to work. An order with two nodes stands for one direction; write a line for each.
func Parse(script string) (*History, error) {
	p := scriptParser{phase: Work, h: &History{}}
	for i, text := range strings.Split(script, "\n") {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if err := p.line(text); err != nil {
			return nil, &kit.Error{Op: "parse history", What: fmt.Sprintf("line %d", i+1), Kind: kit.Invalid, Err: err}
		}
	}
	return p.h, nil
}

type scriptParser struct {
	phase Phase
	h     *History
}

func (p *scriptParser) line(text string) error {
	first, rest, _ := strings.Cut(text, " ")
	if first == "phase" {
		p.phase = Phase(strings.TrimSpace(rest))
		return nil
	}
	from, to, isOp := strings.Cut(first, "-")
	at, err := millis(from)
	if err != nil {
		return err
	}
	p.h.End = max(p.h.End, at)
	if isOp {
		return p.op(at, to, rest)
	}
	words := strings.Fields(rest)
	switch {
	case len(words) == 1 && words[0] == "end":
		return nil
	case len(words) >= 3 && words[0] == "note":
		name, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(rest, "note")), " ")
		v, err := term.FromJSON([]byte(value))
		p.h.Notes = append(p.h.Notes, Note{Phase: p.phase, At: at, Name: name, Value: v})
		return err
	case len(words) >= 2:
		f := Fault{Phase: p.phase, At: at, What: words[0], Node: kit.NodeName(words[1])}
		switch rest := words[2:]; {
		case slices.Contains([]string{"disc", "clock", "pace", "mend"}, f.What):
			f.Detail = strings.Join(rest, " ")
		case len(rest) > 0:
			f.Peer = kit.NodeName(rest[0])
			f.Detail = strings.Join(rest[1:], " ")
		}
		p.h.Faults = append(p.h.Faults, f)
		return nil
	}
	return fmt.Errorf("%q is neither an operation, a fault nor a note", text)
}

func (p *scriptParser) op(begin time.Duration, to, rest string) error {
	o := Op{ID: len(p.h.Ops) + 1, Phase: p.phase, Begin: begin, End: Open, Outcome: door.Outcome{Status: door.Pending}}
	ask, answer, ok := strings.Cut(rest, " => ")
	words := strings.SplitN(ask, " ", 4)
	if !ok || len(words) < 3 {
		return fmt.Errorf("want CLIENT NODE VERB ARGS => ANSWER")
	}
	o.Client, o.Node, o.Verb = words[0], kit.NodeName(words[1]), words[2]
	if len(words) > 3 {
		for d := json.NewDecoder(strings.NewReader(words[3])); d.More(); {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return err
			}
			a, err := term.FromStep(raw)
			if err != nil {
				return err
			}
			o.Args = append(o.Args, a)
		}
	}
	if answer = strings.TrimSpace(answer); answer != "?" {
		end, err := millis(to)
		if err != nil {
			return err
		}
		o.End, p.h.End = end, max(p.h.End, end)
		if o.Outcome, err = outcome(answer); err != nil {
			return err
		}
	}
	p.h.Ops = append(p.h.Ops, o)
	return nil
}

// outcome reads a plain value as {"ok": value}.
func outcome(answer string) (door.Outcome, error) {
	for _, status := range []door.Status{door.OK, door.Aborted, door.Error, door.Timeout, door.Raised, door.BadRPC, door.Lost,
		door.Restart, door.Blocked, door.Ended} {
		if strings.HasPrefix(answer, `{"`+string(status)+`":`) {
			var out door.Outcome
			err := json.Unmarshal([]byte(answer), &out)
			return out, err
		}
	}
	if !json.Valid([]byte(answer)) {
		return door.Outcome{}, fmt.Errorf("%s is no answer", answer)
	}
	return door.Outcome{Status: door.OK, Value: json.RawMessage(answer)}, nil
}

func millis(s string) (time.Duration, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || n > 1e12 {
		return 0, fmt.Errorf("%q is no time in milliseconds", s)
	}
	return time.Duration(n * float64(time.Millisecond)), nil
}
