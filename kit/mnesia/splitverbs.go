package mnesia

import (
	"context"
	"errors"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// splitVerbs are the verbs for what happened in a split network. Mnesia has none of them.
func (f *Face) splitVerbs() []verb {
	v := func(name string, params []string, doc string, h door.Handler) verb {
		return verb{Verb: door.Verb{Name: name, Params: params, Doc: doc, Handler: h}}
	}
	return []verb{
		v("split_info", nil, "The tables that have lost a node with a copy, and since when.", f.splitInfo),
		v("split_changes", []string{"table", "node"}, "What this node changed in a table since it lost a node.", f.splitChanges),
		v("forget_split", []string{"table", "node"}, "Ends the journal of a table for a node, when both copies were made equal.", f.forgetSplit),
		v("table_diff", []string{"table", "node"}, "The rows in which another node's copy differs, and who did what.", f.tableDiff),
	}
}

// maxShown is how many changes or differences a verb answers.
const maxShown = 1 << 16

func tooMany(what string) door.Outcome {
	return door.FromError(&kit.Error{Op: what, Kind: kit.Overloaded, Err: errors.New("there are too many to show"),
		Hint: "a program of the node's can go through them one by one"})
}

// fields makes a map of names and values.
func fields(kv ...any) term.Term {
	var ps []term.Pair
	for i := 0; i+1 < len(kv); i += 2 {
		ps = append(ps, term.Pair{Key: term.Atom(kv[i].(string)), Value: kv[i+1].(term.Term)})
	}
	return term.MakeMap(ps...)
}

func rowList(rows []term.Tuple) term.List {
	l := make(term.List, len(rows))
	for i, r := range rows {
		l[i] = r
	}
	return l
}

func (f *Face) splitInfo(context.Context, door.Request) door.Outcome {
	l := term.List{}
	splits, _ := f.store.SplitInfo()
	for _, s := range splits {
		kv := []any{"table", term.Atom(s.Table), "node", term.Atom(s.Peer), "seconds", term.Int(time.Since(s.Since).Seconds())}
		if s.Truncated != "" {
			kv = append(kv, "truncated", term.Bin(s.Truncated))
		}
		if s.CopiedFrom != "" {
			kv = append(kv, "copied_from", term.Atom(s.CopiedFrom))
		}
		l = append(l, fields(kv...))
	}
	return door.OKTerm(l)
}

func tableAndNode(r door.Request) (string, kit.NodeName, error) {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return "", "", err
	}
	n, ok := r.Args[1].(term.Atom)
	if !ok {
		return "", "", &store.Error{Class: store.Failed, Reason: term.T(term.Atom("badarg"), r.Args[1])}
	}
	return t, kit.NodeName(n), nil
}

// splitChanges answers the changes known. Where later ones are not, split_info says so, and so does the last element.
func (f *Face) splitChanges(_ context.Context, r door.Request) door.Outcome {
	t, n, err := tableAndNode(r)
	if err != nil {
		return Outcome(err)
	}
	l := term.List{}
	for c, err := range f.store.SplitChanges(t, n) {
		if kit.KindOf(err) == kit.Overloaded {
			l = append(l, fields("truncated", term.Bin(err.Error())))
			break
		}
		if err != nil {
			return Outcome(err)
		}
		if len(l) >= maxShown {
			return tooMany("show changes")
		}
		l = append(l, fields("key", c.Key, "first", term.Bin(c.First), "latest", term.Bin(c.Latest), "before", rowList(c.Before)))
	}
	return door.OKTerm(l)
}

func (f *Face) forgetSplit(_ context.Context, r door.Request) door.Outcome {
	t, n, err := tableAndNode(r)
	if err != nil {
		return Outcome(err)
	}
	return Outcome(f.store.ForgetSplit(t, n))
}

func (f *Face) tableDiff(ctx context.Context, r door.Request) door.Outcome {
	t, n, err := tableAndNode(r)
	if err != nil {
		return Outcome(err)
	}
	l := term.List{}
	for d, err := range f.store.Diff(ctx, t, n) {
		if err != nil {
			return Outcome(err)
		}
		if len(l) >= maxShown {
			return tooMany("show differences")
		}
		l = append(l, fields("key", d.Key, "here", rowList(d.Here), "there", rowList(d.There), "here_did", term.Bin(d.HereDid),
			"there_did", term.Bin(d.ThereDid), "before", rowList(d.Before)))
	}
	return door.OKTerm(l)
}
