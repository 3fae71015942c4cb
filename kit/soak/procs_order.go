package soak

import (
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// order checks that between two messages that came from one process to another none is missing, unless their nodes
// lost each other between; and that nothing came that was not sent.
func (j *procJudge) order() {
	for _, s := range j.r.actors {
		sent := map[term.Pid][]int{}
		named := map[int]bool{}
		numbers := map[int]term.Pid{}
		for _, e := range s.trace {
			switch {
			case e.got || e.what != "send" && e.what != "signal":
			case e.pid.ID == 0:
				named[e.n] = true
			default:
				if !e.failed && (e.what == "send" || j.r.byPid[e.pid] != nil && j.r.byPid[e.pid].trap && e.reason != "kill") {
					sent[e.pid] = append(sent[e.pid], e.n)
				}
				numbers[e.n] = e.pid
			}
		}
		for _, to := range j.r.actors {
			if to != s {
				j.pair(s, to, sent[to.pid], func(n int) bool { return named[n] || numbers[n] == to.pid })
			}
		}
	}
}

// pair judges what went from one actor to another.
func (j *procJudge) pair(s, to *actor, sent []int, could func(int) bool) {
	came := map[int]bool{}
	lost := map[int]bool{} // numbers that came first after a loss
	down := false
	for _, e := range to.trace {
		if !e.got {
			continue
		}
		switch {
		case e.what == "nodedown" && e.who == string(s.node), e.what == "nodeup" && e.who == string(s.node) && len(came) == 0:
			down = true
		case e.what == "message" && e.who == s.label, e.signalOf(s, to):
			if !could(e.n) {
				j.r.problem("came to another", []term.Pid{s.pid, to.pid}, "%s got #%d of %s, which was not sent to it", to.label, e.n, s.label)
			}
			came[e.n], lost[e.n] = true, down
			down = false
			j.r.counts.Messages++
		}
	}
	both := j.alive(s.pid) && j.alive(to.pid)
	for i, n := range sent {
		if came[n] {
			continue
		}
		next, excused := 0, false
		for _, m := range sent[i+1:] {
			if came[m] {
				next = m
				break
			}
		}
		excused = next != 0 && lossBetween(n, next, lost)
		switch {
		case next == 0 && !both, excused && s.node != to.node:
		case next == 0:
			j.r.problem("message lost", []term.Pid{s.pid, to.pid}, "%s did not get #%d of %s, nor anything after it; both live", to.label, n, s.label)
			return
		default:
			j.r.problem("message lost", []term.Pid{s.pid, to.pid}, "%s did not get #%d of %s, but the later #%d, and their nodes had not lost each other", to.label, n, s.label, next)
			return
		}
	}
}

// lossBetween reports whether the receiver lost the sender's node between the last that came before n and next.
func lossBetween(n, next int, lost map[int]bool) bool {
	for m, l := range lost {
		if m > n && m <= next && l {
			return true
		}
	}
	return false
}

// mirrors checks that what one process says of its links and monitors the other says too.
func (j *procJudge) mirrors() {
	watching, watched := map[[2]string]int{}, map[[2]string]int{}
	for n, s := range j.r.seen {
		for pid, i := range s {
			for _, t := range i.links {
				q, _ := t.(term.Pid)
				other, alive := j.r.seen[kit.NodeName(q.Node)][q]
				if !alive || !hasTerm(other.links, pid) {
					j.r.problem("half a link", []term.Pid{pid, q}, "%s says that it is linked to %s, which lives: %v, and does not say so", term.String(pid), term.String(q), alive)
				}
			}
			for _, t := range i.monitors {
				switch t := t.(type) {
				case term.Pid:
					watching[[2]string{term.String(pid), t.Node}]++
				case term.Tuple:
					watching[[2]string{term.String(pid), term.String(t[1])}]++
				}
			}
			for _, t := range i.watchers {
				watched[[2]string{term.String(t), string(n)}]++
			}
		}
	}
	for k, n := range watched {
		if watching[k] != n {
			j.r.problem("half a monitor", nil, "%s watches %d processes on %s, and %d say so", k[0], watching[k], k[1], n)
		}
	}
	for k, n := range watching {
		if watched[k] == 0 && n > 0 {
			j.r.problem("half a monitor", nil, "%s watches %d processes on %s, and none says so", k[0], n, k[1])
		}
	}
}

// counts checks local names.
func (j *procJudge) counts() {
	for n, s := range j.r.seen {
		names := map[string]term.Pid{}
		for pid, i := range s {
			if i.name == "undefined" {
				continue
			}
			if other, twice := names[i.name]; twice {
				j.r.problem("two holders", []term.Pid{pid, other}, "%s and %s at %s both have the name %s", term.String(pid), term.String(other), n, i.name)
			}
			names[i.name] = pid
		}
	}
}

// calm checks what holds only while there is no fault: locks and names exclude each other.
func (j *procJudge) calm() {
	meet := func(a, b holding) bool {
		return a.what == b.what && a.who != b.who && a.from < b.to-time.Microsecond && b.from < a.to-time.Microsecond
	}
	for i, a := range j.r.held {
		for _, b := range j.r.held[i+1:] {
			if meet(a, b) {
				j.r.problem("two holders", []term.Pid{a.who, b.who}, "%s and %s had %s at the same time, %v and %v", term.String(a.who), term.String(b.who), a.what, a, b)
			}
		}
	}
	for _, a := range j.r.names {
		if !j.alive(a.who) {
			continue
		}
		disturbed := false
		for _, b := range j.r.names {
			if b.what == a.what && b.who.ID == 0 && b.to > a.from {
				disturbed = true
			}
		}
		if !disturbed && !hasName(j.r.seen[kit.NodeName(a.who.Node)][a.who].globals, a.what) {
			j.r.problem("a name is lost", []term.Pid{a.who}, "%s got the name %s, nobody took it, and it has it no more", term.String(a.who), a.what)
		}
	}
}

func hasName(list []term.Term, name string) bool {
	for _, t := range list {
		if term.String(t) == name {
			return true
		}
	}
	return false
}
