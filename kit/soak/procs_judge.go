package soak

import (
	"slices"

	"netsplit/kit"
	"netsplit/kit/term"
)

// procJudge compares what actors got with what was done.
type procJudge struct {
	r       *procRun
	reasons map[term.Pid][]string // that a process may have ended with
	told    map[term.Pid]string   // the reason that somebody was told
	tied    map[term.Pid]bool     // it had a link, so that it may have ended with any reason there is
	linkers map[[2]term.Pid]int   // links that the first made to the second
}

const (
	noProc       = "noproc"
	noConnection = "noconnection"
)

func (r *procRun) judge() {
	j := &procJudge{r: r, reasons: map[term.Pid][]string{}, told: map[term.Pid]string{}, tied: map[term.Pid]bool{}, linkers: map[[2]term.Pid]int{}}
	for _, a := range r.actors {
		j.collect(a)
	}
	for _, a := range r.actors {
		(&replay{j: j, a: a, nodes: map[string]string{}, watch: map[string]*standing{}, link: map[term.Pid]*standing{}, last: map[string]int{}, owed: map[string]string{}}).run()
		j.ended(a)
	}
	j.order()
	j.mirrors()
	j.counts()
	if !r.hit {
		j.calm()
	}
}

func (j *procJudge) alive(pid term.Pid) bool {
	_, ok := j.r.seen[kit.NodeName(pid.Node)][pid]
	return ok
}

// collect notes for what reasons processes may have ended, and who linked whom.
func (j *procJudge) collect(a *actor) {
	for _, e := range a.trace {
		switch {
		case e.got:
		case e.what == "exit":
			j.reasons[a.pid] = append(j.reasons[a.pid], e.reason)
		case e.what == "signal" && e.reason == "kill":
			j.reasons[e.pid] = append(j.reasons[e.pid], "killed")
		case e.what == "signal":
			j.reasons[e.pid] = append(j.reasons[e.pid], e.reason)
		case e.what == "link":
			j.tied[a.pid], j.tied[e.pid] = true, true
			j.linkers[[2]term.Pid{a.pid, e.pid}]++
		}
	}
	if a.global {
		j.reasons[a.pid] = append(j.reasons[a.pid], "killed")
	}
}

// mayEnd reports whether a process can have ended for a reason.
func (j *procJudge) mayEnd(pid term.Pid, reason string) bool {
	if slices.Contains(j.reasons[pid], reason) {
		return true
	}
	t := j.r.byPid[pid]
	return t == nil || j.tied[pid] && !t.trap
}

// ended checks that an actor that ended had something to end for.
func (j *procJudge) ended(a *actor) {
	if a.pid.ID == 0 || j.alive(a.pid) || j.r.nodes[a.node].lives != a.life || len(j.reasons[a.pid]) > 0 || j.tied[a.pid] && !a.trap {
		return
	}
	j.r.problem("ended for nothing", []term.Pid{a.pid}, "%s (%s) has ended; nobody has ended it", a.label, term.String(a.pid))
}

// standing is a monitor or link that an actor has, as its record goes.
type standing struct {
	pid   term.Pid
	on    bool
	armed bool // and its mark has come: what comes now came after it
	mark  int
	left  int // mark of an unlink that has not come back: what an EXIT before it is about
	ends  int // how often it fired
}

// replay goes through the record of one actor.
type replay struct {
	j     *procJudge
	a     *actor
	nodes map[string]string // what it last heard of each node
	watch map[string]*standing
	link  map[term.Pid]*standing
	last  map[string]int    // the last number that came from each actor
	owed  map[string]string // nodes whose loss was told by a reason and not yet by nodedown
}

func (p *replay) problem(what string, e event, format string, args ...any) {
	p.j.r.problem(what, []term.Pid{p.a.pid, e.pid}, "%s (%s), "+format, append([]any{p.a.label, term.String(p.a.pid)}, args...)...)
}

func (p *replay) run() {
	for _, e := range p.a.trace {
		if e.got {
			p.got(e)
		} else {
			p.did(e)
		}
	}
	for n, what := range p.owed {
		p.problem("lost for nothing", event{}, "got %s, and no nodedown of %s", what, n)
	}
	if p.a.pid.ID == 0 || !p.j.alive(p.a.pid) {
		return
	}
	for who, s := range p.watch {
		if s.on && s.pid.ID != 0 && !p.j.alive(s.pid) {
			p.problem("DOWN lost", event{pid: s.pid}, "which watches %s, did not get DOWN; that has ended", who)
		}
	}
	for pid, s := range p.link {
		if !s.on || p.j.alive(pid) || p.j.linkers[[2]term.Pid{pid, p.a.pid}] > 0 {
			continue
		}
		if p.a.trap {
			p.problem("EXIT lost", event{pid: pid}, "which is linked to %s, did not get EXIT; that has ended", term.String(pid))
		} else if said, ok := p.j.told[pid]; ok && said != "normal" {
			p.problem("EXIT lost", event{pid: pid}, "which is linked to %s, lives on; that has ended with %s", term.String(pid), said)
		}
	}
	p.passive()
}

// passive checks links that others made to this actor and still had when they ended, on the same node.
func (p *replay) passive() {
	for _, b := range p.j.r.actors {
		key := [2]term.Pid{b.pid, p.a.pid}
		if !p.a.trap || b.node != p.a.node || p.j.linkers[key] == 0 || p.j.linkers[[2]term.Pid{p.a.pid, b.pid}] > 0 || p.j.alive(b.pid) || b.life != p.a.life {
			continue
		}
		on := false
		for _, e := range b.trace {
			if e.pid == p.a.pid && !e.got && !e.failed && (e.what == "link" || e.what == "unlink") {
				on = e.what == "link"
			}
		}
		if s := p.link[b.pid]; on && (s == nil || s.ends == 0) {
			p.problem("EXIT lost", event{pid: b.pid}, "to which %s linked itself, did not get EXIT; that has ended", b.label)
		}
	}
}

func (p *replay) did(e event) {
	switch {
	case e.failed:
	case e.what == "monitor":
		p.watch[e.who] = &standing{pid: e.pid, on: true, mark: e.n}
	case e.what == "demonitor":
		p.watch[e.who].on = false
	case e.what == "link":
		s := p.linkTo(e.pid)
		s.on, s.armed, s.mark = true, false, e.n
	case e.what == "unlink":
		s := p.linkTo(e.pid)
		s.on, s.left = false, e.n
	}
}

func (p *replay) linkTo(pid term.Pid) *standing {
	s := p.link[pid]
	if s == nil {
		s = &standing{pid: pid}
		p.link[pid] = s
	}
	return s
}

func (p *replay) got(e event) {
	switch e.what {
	case "mark":
		for _, s := range p.watch {
			s.armed = s.armed || s.mark == e.n
		}
		for _, s := range p.link {
			s.armed = s.armed || s.mark == e.n
			if s.left == e.n {
				s.left = 0
			}
		}
	case "message":
		p.numbered(e.who, e.n, e)
	case "DOWN":
		p.down(e)
	case "EXIT":
		p.exit(e)
	case "global_name_conflict":
		p.j.r.counts.Clashes++
	case "nodeup":
		if p.nodes[e.who] == "nodeup" {
			p.problem("nodeup doubled", e, "of %s", e.who)
		}
		p.nodes[e.who] = e.what
		p.unpaid(e.who)
	case "nodedown":
		p.nodedown(e)
	}
}

// numbered checks the order of what comes from one actor.
func (p *replay) numbered(from string, n int, e event) {
	if n <= p.last[from] {
		p.problem("order broken", e, "got #%d from %s after #%d", n, from, p.last[from])
	}
	p.last[from] = n
	for _, b := range p.j.r.actors {
		if b.label == from {
			p.unpaid(string(b.node))
			if s := p.watch[term.String(b.pid)]; s != nil && s.ends > 0 && !s.on {
				_ = s // a monitor on a process that was lost with its node may be followed by messages of another link
			}
		}
	}
}

// unpaid complains when a node was said to be lost and is there without having gone.
func (p *replay) unpaid(n string) {
	if what, ok := p.owed[n]; ok {
		delete(p.owed, n)
		p.problem("lost for nothing", event{}, "got %s, and then more from %s without nodedown", what, n)
	}
}

func (p *replay) nodedown(e event) {
	if p.nodes[e.who] == "nodedown" {
		p.problem("nodedown doubled", e, "of %s", e.who)
	}
	p.nodes[e.who] = e.what
	delete(p.owed, e.who)
	p.j.r.counts.Lost++
	for who, s := range p.watch {
		if s.on && s.armed && s.pid.Node == e.who {
			p.problem("DOWN lost", event{pid: s.pid}, "which watches %s, got nodedown of %s and no DOWN", who, e.who)
			s.on = false
		}
	}
	for pid, s := range p.link {
		// One that does not trap exits is not told of an end that was normal.
		if s.on && s.armed && pid.Node == e.who && p.j.linkers[[2]term.Pid{pid, p.a.pid}] == 0 && (p.a.trap || p.j.alive(pid)) {
			p.problem("EXIT lost", event{pid: pid}, "which is linked to %s, got nodedown of %s and no EXIT", term.String(pid), e.who)
		}
		if pid.Node == e.who && s.armed {
			s.on = false
		}
	}
	if !p.j.r.hit {
		p.problem("lost for nothing", e, "got nodedown of %s, and there was no fault", e.who)
	}
}

func (p *replay) down(e event) {
	p.j.r.counts.Downs++
	s := p.watch[e.who]
	if s == nil || !s.on {
		p.problem("DOWN doubled", e, "got DOWN of %s, which it did not watch any more", e.who)
		return
	}
	s.on = false
	s.ends++
	p.reason("DOWN", e)
}

// reason checks that a process can have ended as is said.
func (p *replay) reason(what string, e event) {
	t := p.j.r.byPid[e.pid]
	alive := p.j.alive(e.pid)
	switch {
	case e.reason == noConnection:
		lives := t != nil && (alive || t.trap)
		if p.nodes[e.pid.Node] == "nodeup" && lives && e.pid.Node != string(p.a.node) {
			p.owed[e.pid.Node] = what + " of " + e.who + " with noconnection"
		}
		if e.pid.Node == string(p.a.node) && alive {
			p.problem("wrong reason", e, "got %s noconnection of %s on its own node, which lives", what, e.who)
		}
	case e.pid.ID == 0: // whoever had a name
	case alive:
		p.problem("wrong reason", e, "got %s %s of %s, which lives", what, e.reason, e.who)
	case e.reason == noProc:
	case !p.j.mayEnd(e.pid, e.reason):
		p.problem("wrong reason", e, "got %s %s of %s, which had nothing to do with that", what, e.reason, e.who)
	default:
		if said, ok := p.j.told[e.pid]; ok && said != e.reason {
			p.problem("wrong reason", e, "got %s %s of %s; somebody else was told %s", what, e.reason, e.who, said)
		}
		p.j.told[e.pid] = e.reason
	}
}

func (p *replay) exit(e event) {
	p.j.r.counts.Exits++
	if b := p.j.r.byPid[e.pid]; b != nil && e.signalOf(b, p.a) {
		p.numbered(b.label, e.n, e)
		return
	}
	s := p.linkTo(e.pid)
	s.ends++
	mine, theirs := p.j.linkers[[2]term.Pid{p.a.pid, e.pid}], p.j.linkers[[2]term.Pid{e.pid, p.a.pid}]
	switch {
	case s.left != 0: // it came before the unlink, which takes no message back
		s.left = 0
		p.reason("EXIT", e)
		return
	case !s.on && theirs == 0:
		p.problem("EXIT doubled", e, "got EXIT %s of %s, to which it was not linked any more", e.reason, e.who)
	case s.ends > mine+theirs:
		p.problem("EXIT doubled", e, "got %d EXIT of %s; there were %d links", s.ends, e.who, mine+theirs)
	}
	s.on = false
	p.reason("EXIT", e)
}
