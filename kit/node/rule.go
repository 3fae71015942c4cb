package node

import (
	"errors"
	"fmt"
	"math"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// RuleTerm writes a link's rule as the map that the verb link takes: cut (whole, silent or loud), delay_us and
// jitter_us (integers), loss, duplicate and reorder (0.0 to 1.0).
func RuleTerm(r wire.Rule) term.Map {
	cut := term.Atom(r.Cut)
	if r.Cut == wire.Whole {
		cut = "whole"
	}
	return term.MakeMap(
		term.Pair{Key: term.Atom("cut"), Value: cut},
		term.Pair{Key: term.Atom("delay_us"), Value: term.Int(r.Delay.Microseconds())},
		term.Pair{Key: term.Atom("jitter_us"), Value: term.Int(r.Jitter.Microseconds())},
		term.Pair{Key: term.Atom("loss"), Value: term.Float(r.Loss)},
		term.Pair{Key: term.Atom("duplicate"), Value: term.Float(r.Duplicate)},
		term.Pair{Key: term.Atom("reorder"), Value: term.Float(r.Reorder)},
	)
}

// RuleFromTerm reads a rule. Fields that are left out are zero; unknown ones are an error.
func RuleFromTerm(t term.Term) (wire.Rule, error) {
	var r wire.Rule
	m, ok := t.(term.Map)
	if !ok {
		return r, badRule(errors.New("it must be a map"))
	}
	for _, p := range m {
		key, _ := p.Key.(term.Atom)
		var err error
		switch key {
		case "cut":
			r.Cut, err = cutOf(p.Value)
		case "delay_us":
			r.Delay, err = delayOf(p.Value)
		case "jitter_us":
			r.Jitter, err = delayOf(p.Value)
		case "loss":
			r.Loss, err = chanceOf(p.Value)
		case "duplicate":
			r.Duplicate, err = chanceOf(p.Value)
		case "reorder":
			r.Reorder, err = chanceOf(p.Value)
		default:
			err = errors.New("no such field")
		}
		if err != nil {
			return wire.Rule{}, badRule(fmt.Errorf("%s: %w", term.String(p.Key), err))
		}
	}
	return r, r.Check()
}

func badRule(err error) error {
	return &kit.Error{Op: "read rule of a link", Kind: kit.Invalid, Err: err}
}

func cutOf(t term.Term) (wire.Cut, error) {
	switch t {
	case term.Atom("whole"):
		return wire.Whole, nil
	case term.Atom("silent"):
		return wire.Silent, nil
	case term.Atom("loud"):
		return wire.Loud, nil
	}
	return wire.Whole, errors.New("it is whole, silent or loud")
}

func delayOf(t term.Term) (time.Duration, error) {
	us, ok := t.(term.Int)
	if ok && us >= 0 && us <= math.MaxInt64/term.Int(time.Microsecond) {
		return time.Duration(us) * time.Microsecond, nil
	}
	return 0, errors.New("it is a number of microseconds")
}

func chanceOf(t term.Term) (float64, error) {
	switch v := t.(type) {
	case term.Float:
		return float64(v), nil
	case term.Int:
		return float64(v), nil
	}
	return 0, errors.New("it is a number from 0 to 1")
}
