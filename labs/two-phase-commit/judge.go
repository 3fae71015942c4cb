package twophasecommit

import (
	"fmt"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// request is a transfer that was asked for.
type request struct {
	id    string
	op    history.Op
	parts []part
}

// requests lists the transfers that clients asked for, the grader's gifts among them.
func requests(h *history.History) []request {
	var all []request
	for _, o := range h.Ops {
		if o.Verb != "transfer" || len(o.Args) != 2 {
			continue
		}
		r := request{id: grade.Word(o.Args[0]), op: o}
		list, _ := o.Args[1].(term.List)
		for _, e := range list {
			if t, ok := e.(term.Tuple); ok && len(t) == 3 {
				r.parts = append(r.parts, part{kit.NodeName(grade.Word(t[0])), grade.Word(t[1]), number(t[2])})
			}
		}
		all = append(all, r)
	}
	return all
}

func find(h *history.History, id string) (request, bool) {
	for _, r := range requests(h) {
		if r.id == id {
			return r, true
		}
	}
	return request{}, false
}

// about gives the transfer that a failure is about: its first evidence.
func about(h *history.History, f grade.Finding) (request, bool) {
	if f.Verdict != grade.Fail || len(f.Evidence) == 0 {
		return request{}, false
	}
	all := requests(h)
	i := slices.IndexFunc(all, func(r request) bool { return r.op.ID == f.Evidence[0] })
	if i < 0 {
		return request{}, false
	}
	return all[i], true
}

// said is what the client was told.
func (r request) said() grade.Decision { return grade.Decided(r.op) }

func (r request) touches(n kit.NodeName) bool {
	return r.op.Node == n || slices.ContainsFunc(r.parts, func(p part) bool { return p.node == n })
}

func number(t term.Term) int64 { n, _ := t.(term.Int); return int64(n) }

// entry is one line of an account's statement.
type entry struct {
	id string
	by int64
}

// account is what an account was found to hold, and the request that found it.
type account struct {
	name    string
	balance int64
	entries []entry
	op      int
}

func (a account) has(id string) bool {
	return slices.ContainsFunc(a.entries, func(e entry) bool { return e.id == id })
}

// at names an account of a node.
type at struct {
	node    kit.NodeName
	account string
}

// looked reads what somebody was shown of an account.
func looked(o history.Op) (where at, a account, ok bool) {
	if o.Verb != "dirty" || len(o.Args) != 1 || o.Outcome.Status != door.OK {
		return at{}, account{}, false
	}
	list, _ := o.Args[0].(term.List)
	t, _ := o.Outcome.Term()
	rows, _ := t.(term.List)
	if len(list) != 3 {
		return at{}, account{}, false
	}
	if len(rows) == 1 {
		a, ok = accountOf(rows[0])
	}
	a.op = o.ID
	return at{o.Node, grade.Word(list[2])}, a, ok
}

// books is what the grader saw in each account last.
func books(h *history.History) map[at]account {
	all := map[at]account{}
	for _, o := range h.Ops {
		if where, a, ok := looked(o); ok && o.Client == grader {
			all[where] = a
		}
	}
	return all
}

// accountOf reads {account, Name, Balance, Entries}.
func accountOf(row term.Term) (account, bool) {
	t, _ := row.(term.Tuple)
	if len(t) != 4 {
		return account{}, false
	}
	a := account{name: grade.Word(t[1]), balance: number(t[2])}
	list, _ := t[3].(term.List)
	for _, e := range list {
		if line, ok := e.(term.Tuple); ok && len(line) == 2 {
			a.entries = append(a.entries, entry{grade.Word(line[0]), number(line[1])})
		}
	}
	return a, true
}

// readAt is when the grader looked last; what was asked for later cannot be in the accounts.
func readAt(h *history.History) time.Duration {
	last := h.End
	for _, o := range h.Ops {
		if _, _, ok := looked(o); ok && o.Client == grader {
			last = o.Begin
		}
	}
	return last
}

// deeds are the transfers with what the accounts say of them.
func deeds(h *history.History) []grade.Deed {
	final, last := books(h), readAt(h)
	var all []grade.Deed
	for _, r := range requests(h) {
		if r.op.Begin >= last {
			continue
		}
		d := grade.Deed{Name: r.id, Answers: []grade.Told{{Op: r.op.ID, Decision: r.said()}}}
		for _, p := range r.parts {
			a, ok := final[at{p.node, p.account}]
			place := grade.Place{Name: fmt.Sprintf("%s (account %s)", p.node, p.account), Op: a.op}
			switch {
			case !ok && slices.Contains(accounts[p.node], p.account):
				place.Held = grade.Unread
			case a.has(r.id):
				place.Held = grade.Done
			}
			d.Places = append(d.Places, place)
		}
		all = append(all, d)
	}
	return all
}

// whole wants every transfer to be in all of its accounts or in none, as its client was told.
func whole(h *history.History) grade.Finding {
	return grade.Atomic{What: "transfer", Deeds: deeds}.Whole(h)
}

// sound wants the accounts to be what their statements say, no transfer to be in one twice, and none to be overdrawn.
func sound(h *history.History) grade.Finding {
	final := books(h)
	for _, n := range nodes {
		for _, name := range accounts[n] {
			a, ok := final[at{n, name}]
			if !ok {
				continue // whole has told
			}
			if f := a.sound(h, n); f.Verdict != grade.Pass {
				return f
			}
		}
	}
	return grade.Passed()
}

func (a account) sound(h *history.History, n kit.NodeName) grade.Finding {
	sum, seen := int64(opening), map[string]int64{}
	var withdrawals []int // the requests that took from it
	for _, e := range a.entries {
		r, known := find(h, e.id)
		asked := slices.ContainsFunc(r.parts, func(p part) bool { return p == part{n, a.name, e.by} })
		before, twice := seen[e.id]
		switch {
		case twice:
			return grade.Failed(fmt.Sprintf("the transfer %s is twice in the account %s on %s", e.id, a.name, n),
				fmt.Sprintf("%+d once, however often the decision is told", before), fmt.Sprintf("%+d and %+d", before, e.by), r.op.ID, a.op)
		case !known || !asked:
			return grade.Failed(fmt.Sprintf("the account %s on %s has %+d of %s, which nobody asked for", a.name, n, e.by, e.id),
				"the changes that clients asked for", fmt.Sprintf("%+d", e.by), a.op)
		}
		seen[e.id] = e.by
		sum += e.by
		if e.by < 0 {
			withdrawals = append(withdrawals, r.op.ID)
		}
	}
	if a.balance != sum {
		return grade.Failed(fmt.Sprintf("the account %s on %s is not what its statement says: it began with %d, and its entries add up to %+d", a.name, n, opening, sum-opening),
			fmt.Sprint(sum), fmt.Sprint(a.balance), a.op)
	}
	if a.balance < 0 {
		return grade.Failed(fmt.Sprintf("the account %s on %s is overdrawn: each of the transfers that took from it could be borne, but not all of them together", a.name, n),
			"a yes that keeps the money back for its transfer, until that is decided", fmt.Sprintf("%d in the account", a.balance), append(withdrawals, a.op)...)
	}
	return grade.Passed()
}

var prompt = grade.Prompt{Verbs: []string{"transfer"}, Limit: limit}

// decided wants whoever answers to know: the node that is asked decides, and nobody else.
func decided(h *history.History) grade.Finding {
	for _, r := range requests(h) {
		o := r.op
		switch {
		case o.End == history.Open || o.Outcome.Status == door.Lost || o.Outcome.Status == door.Down:
			continue
		case o.Outcome.Status != door.OK && !o.Outcome.Definite():
			return grade.Failed(fmt.Sprintf("%s, which was asked for the transfer %s, does not know whether it is committed", o.Node, r.id),
				"committed or aborted: the node that is asked decides alone, so it always knows", grade.AnswerText(o), o.ID)
		case o.Outcome.Status != door.OK:
			continue
		}
		if v, _ := o.Outcome.Term(); v != term.Atom("committed") && v != term.Atom("aborted") {
			return grade.Failed(fmt.Sprintf("the transfer %s was answered with something else than a decision", r.id), "committed or aborted", grade.AnswerText(o), o.ID)
		}
	}
	return grade.Passed()
}

// recovered wants the gifts in the end to be committed: no account is locked any more.
func recovered(h *history.History) grade.Finding {
	for _, r := range requests(h) {
		if r.op.Client != grader || r.said() == grade.Committed {
			continue
		}
		var evidence []int
		for _, earlier := range requests(h) {
			if earlier.op.Client != grader && earlier.meets(r) && earlier.troubled(h) {
				evidence = append(evidence, earlier.op.ID)
			}
		}
		return grade.Failed(fmt.Sprintf("%v after everything was whole again %s could not carry out a gift to an account of each node, although no other transfer was under way: "+
			"one of them is still locked for a transfer of which its node has never heard the end", settleIn, r.op.Node),
			"committed", grade.AnswerText(r.op), append(evidence[:min(len(evidence), 2)], r.op.ID)...)
	}
	return grade.Passed()
}

// troubled reports whether a transfer may have left somebody in doubt: a node of it was killed meanwhile, or nobody was told of its
// end, or somebody was long in answering. The first of those is the one that has left a lock; later ones met it.
func (r request) troubled(h *history.History) bool {
	return r.said() == grade.Undecided || r.op.End-r.op.Begin > 500*time.Millisecond || slices.ContainsFunc(h.Faults, func(f history.Fault) bool {
		return f.What == "kill" && r.touches(f.Node) && r.op.Overlaps(f.At, f.At)
	})
}

// meets reports whether two transfers have an account in common.
func (r request) meets(o request) bool {
	return slices.ContainsFunc(r.parts, func(p part) bool {
		return slices.ContainsFunc(o.parts, func(q part) bool { return p.node == q.node && p.account == q.account })
	})
}
