package grade

import (
	"cmp"
	"fmt"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// Looks joins several kinds of look.
func Looks(kinds ...func(*history.History) []Look) func(*history.History) []Look {
	return func(h *history.History) []Look {
		var all []Look
		for _, k := range kinds {
			all = append(all, k(h)...)
		}
		return all
	}
}

// LooksIn takes the answers to a verb for looks: a whole number is a total; a map from names to numbers, or a list of
// {name, number}, are amounts. keep chooses the requests that count; nil is all. Answers that say that nothing happened are
// no looks, and neither are missing ones; any other answer is a bad look.
func LooksIn(verb string, keep func(history.Op) bool) func(*history.History) []Look {
	return func(h *history.History) []Look {
		var all []Look
		for _, o := range h.Ops {
			if o.Verb != verb || o.Took() != history.Yes || keep != nil && !keep(o) {
				continue
			}
			l := Look{Who: fmt.Sprintf("the amounts that %s was told on %s", o.Client, o.Node), Ops: []int{o.ID}, Begin: o.Begin, End: o.End}
			v, err := o.Outcome.Term()
			if n, ok := term.BigInt(v); ok && err == nil {
				l.Who, l.Sum = fmt.Sprintf("the total that %s was told on %s", o.Client, o.Node), n
			} else if l.Amounts, ok = amountsOf(v); !ok || err != nil {
				l.Bad = "the answer " + answer(o) + " is neither a total nor a list of amounts"
			}
			all = append(all, l)
		}
		return all
	}
}

func amountsOf(t term.Term) ([]Amount, bool) {
	all := []Amount{}
	add := func(name, n term.Term) {
		i, _ := term.BigInt(n)
		all = append(all, Amount{Name: accountName(name), N: i})
	}
	switch t := t.(type) {
	case term.Map:
		for _, p := range t {
			add(p.Key, p.Value)
		}
	case term.List:
		for _, e := range t {
			pair, ok := e.(term.Tuple)
			if !ok || len(pair) != 2 {
				return nil, false
			}
			add(pair[0], pair[1])
		}
	default:
		return nil, false
	}
	return all, true
}

// accountName gives an account's name: atoms and text as what they say.
func accountName(t term.Term) string {
	if w := Word(t); w != "" {
		return clip(w, 80)
	}
	return clip(plain(t), 80)
}

// LooksInTransactions takes every committed transaction that read all rows of a table with these keys for a look; the amount
// is the field at pos (3 is the first after the key).
func LooksInTransactions(table string, pos int, keys ...term.Term) func(*history.History) []Look {
	return func(h *history.History) []Look {
		var all []Look
		for _, v := range Views(h, table, keys) {
			if !v.Tx {
				continue
			}
			l := Look{Who: fmt.Sprintf("the rows of %s that %s read in one transaction on %s", table, v.Client, v.Node), Ops: v.Ops, Begin: v.Begin, End: v.End, Amounts: []Amount{}}
			for i, k := range keys {
				n, _ := term.BigInt(v.Field(i, pos))
				l.Amounts = append(l.Amounts, Amount{Name: accountName(k), N: n})
			}
			all = append(all, l)
		}
		return all
	}
}

// LooksAtCopies takes each node's own copy of a table at the end (see Copies) for a look. A node without a readable copy
// gives none; demand the copies with Replicas or Converged.
func LooksAtCopies(table string, pos int, nodes ...kit.NodeName) func(*history.History) []Look {
	return func(h *history.History) []Look {
		copies := Copies(h, table)
		var all []Look
		for _, n := range nodes {
			if c, ok := copies[n]; ok {
				l := Look{Who: fmt.Sprintf("the rows of %s on %s at the end", table, n), Amounts: []Amount{}}
				l.take(h, c, pos)
				all = append(all, l)
			}
		}
		return all
	}
}

// LooksAcross takes the copies of all nodes at the end together for one look, for accounts that live on one node each. When
// one of the copies cannot be read there is no look.
func LooksAcross(table string, pos int, nodes ...kit.NodeName) func(*history.History) []Look {
	return func(h *history.History) []Look {
		copies := Copies(h, table)
		l := Look{Who: fmt.Sprintf("the rows of %s on %s together at the end", table, names(nodes)), Amounts: []Amount{}}
		for _, n := range nodes {
			c, ok := copies[n]
			if !ok {
				return nil
			}
			l.take(h, c, pos)
		}
		return []Look{l}
	}
}

// take adds the rows of a copy to a look.
func (l *Look) take(h *history.History, c Copy, pos int) {
	o, _ := h.Op(c.Op)
	if len(l.Ops) == 0 || o.Begin < l.Begin {
		l.Begin = o.Begin
	}
	l.End = max(l.End, o.End)
	l.Ops = append(l.Ops, c.Op)
	for _, row := range c.Rows {
		r, ok := row.(term.Tuple)
		if !ok || len(r) < 2 || pos < 1 || pos > len(r) {
			l.Bad = cmp.Or(l.Bad, "the row "+show(row)+" has no amount")
			continue
		}
		n, _ := term.BigInt(r[pos-1])
		l.Amounts = append(l.Amounts, Amount{Name: accountName(r[1]), N: n})
	}
}

// FlowsOf makes a flow of every request for a verb: of fills in Name and By or Moves, the rest is taken from the request.
// Requests of one name are tries of one and the same, which happens once; one without a name is left out.
func FlowsOf(verb string, of func(history.Op) Flow) func(*history.History) []Flow {
	return func(h *history.History) []Flow {
		var all []Flow
		index := map[string]int{}
		for _, o := range h.Ops {
			if o.Verb != verb {
				continue
			}
			f := of(o)
			f.Op, f.Begin, f.End, f.Took = o.ID, o.Begin, o.End, o.Took()
			i, known := index[f.Name]
			switch {
			case f.Name == "":
			case known:
				all[i].again(f)
			default:
				index[f.Name] = len(all)
				all = append(all, f)
			}
		}
		return all
	}
}

// again adds a later try of the same request.
func (f *Flow) again(later Flow) {
	switch {
	case f.Took == history.Yes && later.Took == history.Yes:
		f.End = min(f.End, later.End)
	case f.Took == history.Yes:
	case later.Took == history.Yes:
		f.Took, f.End, f.Op = history.Yes, later.End, later.Op
	case f.Took == history.Maybe || later.Took == history.Maybe:
		f.Took, f.End = history.Maybe, history.Open
	default:
		f.End = max(f.End, later.End)
	}
}

// Flows joins several kinds of flow.
func Flows(kinds ...func(*history.History) []Flow) func(*history.History) []Flow {
	return func(h *history.History) []Flow {
		var all []Flow
		for _, k := range kinds {
			all = append(all, k(h)...)
		}
		return all
	}
}
