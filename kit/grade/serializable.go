package grade

import (
	"fmt"
	"slices"
	"strings"

	"netsplit/kit/history"
)

// Serializable demands that the transactions of a run can have happened one after the other: no lost update, no read of what
// was aborted (G1a) or half done (G1b), no circle of reading from each other (G1c), no write skew, and nothing else that
// history.Anomalies knows.
type Serializable struct {
	// RealTime demands strict serializability: what was acknowledged is seen by everyone who begins later.
	RealTime bool
	// Txns gives the transactions, for labs with verbs of their own; nil stands for those of the store (History.Transactions).
	// Fill in Txn.Ops: the explanation shows these requests.
	Txns func(h *history.History) []history.Txn
}

// Explained is the check.
func (s Serializable) Explained(h *history.History) Finding {
	if f, cut := cutOff(h); cut {
		return f
	}
	txns := h.Transactions()
	if s.Txns != nil {
		txns = s.Txns(h)
	}
	if !slices.ContainsFunc(txns, func(t history.Txn) bool { return t.Took == history.Yes && len(t.Steps) > 0 && !t.Final }) {
		return Unclear("no transaction was committed, so none can have got in another's way")
	}
	found, err := history.Anomalies(txns, history.Isolation{RealTime: s.RealTime})
	if err != nil {
		return Unclear(fmt.Sprintf("the transactions of this run cannot be judged: %v", err))
	}
	if len(found) == 0 {
		return Passed()
	}
	worst := found[0]
	var evidence []int
	for _, name := range worst.Txns {
		for _, t := range txns {
			if t.Name == name {
				evidence = append(evidence, t.Ops[:min(len(t.Ops), maxExcerpt/2)]...)
			}
		}
	}
	slices.Sort(evidence)
	why := fmt.Sprintf("%s on %s. %s", worst.Kind, firstFew(worst.Keys, ", "), strings.Join(worst.Story, " "))
	return Failed(clip(why, 2000), "an order of all transactions, one after the other, in which each reads what those before it wrote",
		fmt.Sprintf("%s, by %s", worst.Kind, firstFew(worst.Txns, " and ")), ids(evidence...)...)
}
