package soak

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// judge compares what was answered and what is left with what is promised.
func (r *run) judge(_ context.Context, before []int64, e ending) []Problem {
	j := &judgement{r: r, h: r.log.Snapshot(r.w.Now())}
	for _, b := range e.broken {
		j.add("not recovered", "%s", b)
	}
	for _, h := range r.hangs {
		j.add("no answer", "%s", h)
	}
	for _, d := range r.denials {
		j.add("no copy", "%s", d)
	}
	j.txns = j.transactions()
	j.tally()
	if len(e.broken) > 0 {
		return j.problems
	}
	for _, l := range e.locks {
		j.add("lock left", "%s", l)
	}
	j.equal(e.copies)
	j.counters(e.copies)
	if r.plan.Weather == Islands {
		j.islands(e.copies)
	} else {
		j.history(j.txns, e.copies, r.plan.Weather != Outage)
		j.money(before, e.copies)
	}
	j.audits()
	return j.problems
}

type judgement struct {
	r        *run
	h        *history.History
	txns     []history.Txn
	problems []Problem
}

func (j *judgement) add(what, format string, args ...any) {
	j.problems = append(j.problems, Problem{Round: j.r.round + 1, What: what, Text: fmt.Sprintf(format, args...)})
}

// transactions gives those on lists and registers, with the certainty that the weather allows.
func (j *judgement) transactions() []history.Txn {
	r := j.r
	mine := map[string]bool{}
	for _, p := range slices.Concat(r.layout.places(lists, r.round), r.layout.places(registers, r.round)) {
		mine[p.String()] = true
	}
	var all []history.Txn
	for _, t := range j.h.Transactions() {
		t.Steps = slices.DeleteFunc(t.Steps, func(s history.Step) bool { return !mine[s.Key] })
		if len(t.Steps) == 0 || j.cutOff(t) {
			continue
		}
		if r.plan.Weather == Outage && t.Took == history.Yes && !r.durable[t.Name] {
			t.Took = history.Maybe
		}
		all = append(all, t)
	}
	return all
}

// cutOff reports whether a transaction only read on a node that was cut off.
func (j *judgement) cutOff(t history.Txn) bool {
	if j.r.plan.Weather != Majority || slices.ContainsFunc(t.Steps, func(s history.Step) bool { return s.Kind != history.StepRead }) {
		return false
	}
	return slices.ContainsFunc(j.r.windows, func(w window) bool {
		return w.node == t.Node && (t.End == history.Open || t.End >= w.from) && (w.to < 0 || t.Begin <= w.to)
	})
}

// tally counts how transactions ended.
func (j *judgement) tally() {
	seen := map[string]bool{}
	for _, t := range j.txns {
		if t.Took == history.Yes {
			for _, s := range t.Steps {
				for _, v := range s.Seen {
					seen[s.Key+"="+v] = true
				}
			}
		}
	}
	j.r.count(func(c *Counts) {
		for _, t := range j.txns {
			switch t.Took {
			case history.Yes:
				c.Committed++
			case history.No:
				c.Aborted++
			default:
				c.Unknown++
				if slices.ContainsFunc(t.Steps, func(s history.Step) bool { return seen[s.Key+"="+s.Value] }) {
					c.Seen++
				}
			}
		}
	})
}

// equal compares the copies of each table.
func (j *judgement) equal(copies []copyOf) {
	first := map[string]copyOf{}
	for _, c := range copies {
		f, ok := first[c.table]
		switch {
		case c.err != "":
			j.add("not recovered", "the copy of %s at %s: %s", c.table, c.node, c.err)
		case !ok:
			first[c.table] = c
		case !slices.EqualFunc(f.rows, c.rows, func(a, b term.Tuple) bool { return term.Equal(a, b) }):
			j.add("copies differ", "table %s:\n  at %s and not at %s: %s\n  at %s and not at %s: %s", c.table,
				f.node, c.node, missing(f.rows, c.rows), c.node, f.node, missing(c.rows, f.rows))
		}
	}
}

// missing lists the rows of a that b does not have.
func missing(a, b []term.Tuple) string {
	var all []string
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y term.Tuple) bool { return term.Equal(x, y) }) {
			all = append(all, term.String(x))
		}
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, " ")
}

// finals makes of each copy an observation of what is left.
func (j *judgement) finals(copies []copyOf) []history.Txn {
	places := slices.Concat(j.r.layout.places(lists, j.r.round), j.r.layout.places(registers, j.r.round))
	byNode := map[kit.NodeName]*history.Txn{}
	var order []kit.NodeName
	for _, c := range copies {
		if byNode[c.node] == nil {
			byNode[c.node] = &history.Txn{Name: "the copy on " + string(c.node), Took: history.Yes, Final: true}
			order = append(order, c.node)
		}
		for _, p := range places {
			if p.table == c.table {
				byNode[c.node].Steps = append(byNode[c.node].Steps, history.Step{Kind: history.StepRead, Key: p.String(), Seen: seenIn(c.rows, p)})
			}
		}
	}
	var all []history.Txn
	for _, n := range order {
		all = append(all, *byNode[n])
	}
	return all
}

// seenIn gives what stands at a place: the elements of a list, or one value.
func seenIn(rows []term.Tuple, p place) []string {
	for _, row := range rows {
		if !term.Equal(row[1], p.key) {
			continue
		}
		l, ok := row[2].(term.List)
		if !ok {
			return []string{term.String(row[2])}
		}
		var all []string
		for _, v := range l {
			all = append(all, term.String(v))
		}
		return all
	}
	return nil
}

// history looks for anomalies.
func (j *judgement) history(txns []history.Txn, copies []copyOf, time bool) {
	found, err := history.Anomalies(slices.Concat(txns, j.finals(copies)), history.Isolation{RealTime: time})
	if err != nil {
		j.add("cannot judge", "%v", err)
	}
	for _, a := range found {
		j.add(string(a.Kind), "%v", a)
	}
	if j.h.Truncated {
		j.add("cannot judge", "the record is full")
	}
}

// islands judges each side of a separation by itself, and that the masters' state is what all have in the end.
func (j *judgement) islands(after []copyOf) {
	if len(j.r.windows) == 0 {
		j.history(j.txns, after, true)
		return
	}
	w := j.r.windows[0]
	var lone, rest []copyOf
	for _, n := range j.r.plan.Nodes {
		if n == w.node {
			lone = append(lone, j.r.islands[n]...)
		} else {
			rest = append(rest, j.r.islands[n]...)
		}
	}
	j.history(side(j.txns, w.from, func(n kit.NodeName) bool { return n == w.node }), lone, true)
	j.history(side(j.txns, w.from, func(n kit.NodeName) bool { return n != w.node }), rest, true)
	j.equal(rest)
	for _, c := range rest {
		for _, now := range after {
			if now.table == c.table && now.node == w.node {
				kept := slices.DeleteFunc(slices.Clone(now.rows), func(r term.Tuple) bool { return isSettled(r) })
				was := slices.DeleteFunc(slices.Clone(c.rows), func(r term.Tuple) bool { return isSettled(r) })
				if !slices.EqualFunc(was, kept, func(a, b term.Tuple) bool { return term.Equal(a, b) }) {
					j.add("not the masters' state", "table %s:\n  master %s had and %s has not: %s\n  %s has and the master had not: %s", c.table,
						c.node, w.node, missing(was, kept), w.node, missing(kept, was))
				}
			}
		}
	}
}

func isSettled(r term.Tuple) bool {
	a, ok := r[1].(term.Atom)
	return ok && strings.HasPrefix(string(a), "settled_")
}

// side gives the history as one side of a separation can know it: its own transactions, and the others' from before. Of
// the rest of the others' nobody knows whether they took effect here, for a cut of one direction lets requests through, and with
// which reads: their coordinator may have tried again without this side.
func side(txns []history.Txn, cut time.Duration, mine func(kit.NodeName) bool) []history.Txn {
	var all []history.Txn
	for _, t := range txns {
		if !mine(t.Node) && (t.End == history.Open || t.End >= cut) && t.Took != history.No {
			t.Took = history.Maybe
			t.Steps = slices.DeleteFunc(slices.Clone(t.Steps), func(s history.Step) bool { return s.Kind == history.StepRead })
		}
		all = append(all, t)
	}
	return all
}

// counters checks the dirty counters, which nobody has touched since before the faults.
func (j *judgement) counters(copies []copyOf) {
	for _, c := range copies {
		if c.table != "count" {
			continue
		}
		for i, want := range j.r.rates {
			got := int64(0)
			for _, row := range c.rows {
				if n, ok := row[2].(term.Int); ok && term.Equal(row[1], term.Int(i)) {
					got = int64(n)
				}
			}
			if got != want {
				j.add("lost count", "counter %d at %s is %d; %d was counted before any fault", i, c.node, got, want)
			}
		}
	}
}

// audits checks that whoever read all accounts at once saw all the money.
func (j *judgement) audits() {
	for _, o := range j.h.Ops {
		if opsOf(o) == nil || o.Outcome.Status != door.OK || j.transfer(o) != nil {
			continue
		}
		t, _ := o.Outcome.Term()
		results, _ := t.(term.List)
		var rows []term.Tuple
		for _, x := range results {
			if l, ok := x.(term.List); ok && len(l) == 1 {
				if row, ok := l[0].(term.Tuple); ok && row[0] == term.Term(term.Atom("bank")) {
					rows = append(rows, row)
				}
			}
		}
		if len(rows) == accounts && sum(balancesIn(rows)) != accounts*money {
			j.add("half transfer", "%s at %s read %v at once at %v: %d in all, not %d", o.Client, o.Node, balancesIn(rows), o.Begin, sum(balancesIn(rows)), accounts*money)
		}
	}
}

func sum(ns []int64) int64 {
	total := int64(0)
	for _, n := range ns {
		total += n
	}
	return total
}

// opsOf gives the operations of a transaction that was one request.
func opsOf(o history.Op) term.List {
	var ops term.List
	switch {
	case o.Verb == "transaction" && len(o.Args) > 0:
		ops, _ = o.Args[0].(term.List)
	case o.Verb == "activity" && len(o.Args) > 1:
		ops, _ = o.Args[1].(term.List)
	}
	return ops
}

// transfer reads a transfer out of a request: what it adds to each account.
func (j *judgement) transfer(o history.Op) []int64 {
	ops := opsOf(o)
	var delta []int64
	for _, x := range ops {
		op, _ := x.(term.List)
		if len(op) != 4 || op[0] != term.Term(term.Atom("incr")) {
			return nil
		}
		if delta == nil {
			delta = make([]int64, accounts)
		}
		i, _ := op[2].(term.Int)
		n, _ := op[3].(term.Int)
		delta[i] += int64(n)
	}
	return delta
}

// maxUnknown bounds the transfers without an answer whose combinations are tried.
const maxUnknown = 12

// money checks that the accounts hold what acknowledged transfers made of them, with or without those that have no answer.
func (j *judgement) money(before []int64, copies []copyOf) {
	want := slices.Clone(before)
	var unknown [][]int64
	for _, o := range j.h.Ops {
		d := j.transfer(o)
		switch {
		case d == nil || o.Outcome.Status != door.OK && o.End != history.Open && o.Outcome.Definite():
		case o.Outcome.Status == door.OK && (j.r.plan.Weather != Outage || j.r.durable[fmt.Sprint("tx ", o.ID)]):
			for i := range want {
				want[i] += d[i]
			}
		default:
			unknown = append(unknown, d)
		}
	}
	for _, c := range copies {
		if c.table != "bank" {
			continue
		}
		have := balancesIn(c.rows)
		if sum(have) != sum(before) {
			j.add("half transfer", "the accounts at %s hold %v: %d in all, not %d", c.node, have, sum(have), sum(before))
			continue
		}
		if len(unknown) <= maxUnknown && !reachable(want, have, unknown) {
			j.add("lost transfer", "the accounts at %s hold %v; what was acknowledged makes %v of %v, and none of the %d transfers without an answer explain the rest", c.node, have, want, before, len(unknown))
		}
	}
}

// reachable reports whether some of the steps lead from one state to another.
func reachable(from, to []int64, steps [][]int64) bool {
	if slices.Equal(from, to) {
		return true
	}
	for i, d := range steps {
		next := slices.Clone(from)
		for k := range next {
			next[k] += d[k]
		}
		if reachable(next, to, steps[i+1:]) {
			return true
		}
	}
	return false
}
