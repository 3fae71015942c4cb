package soak

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// snapshot is what one node says of its processes.
type snapshot map[term.Pid]procInfo

// procInfo is what is known of one process.
type procInfo struct {
	links, watchers []term.Term
	monitors        []term.Term
	globals         []term.Term
	name            string
}

// snap asks a node for its processes.
func (r *procRun) snap(ctx context.Context, n kit.NodeName) snapshot {
	s := snapshot{}
	for after := term.Int(0); ; {
		out := r.call(ctx, operator, n, "processes", after)
		t, err := out.Term()
		list, ok := t.(term.List)
		if err != nil || !ok {
			r.problem("no answer", nil, "processes at %s: %v", n, out.Err())
			return s
		}
		for _, x := range list {
			m, _ := x.(term.Map)
			var i procInfo
			var pid term.Pid
			for _, p := range m {
				l, _ := p.Value.(term.List)
				switch p.Key {
				case term.Atom("pid"):
					pid, _ = p.Value.(term.Pid)
				case term.Atom("links"):
					i.links = l
				case term.Atom("monitors"):
					i.monitors = l
				case term.Atom("monitored_by"):
					i.watchers = l
				case term.Atom("global_names"):
					i.globals = l
				case term.Atom("name"):
					i.name = term.String(p.Value)
				}
			}
			s[pid] = i
			after = max(after, term.Int(pid.ID))
		}
		if len(list) < 1000 {
			return s
		}
	}
}

// finish lets all that live say a last word to each other, judges what came of the run, and sees that nothing is left
// when all have ended.
func (r *procRun) finish(ctx context.Context) {
	all := r.living()
	for _, a := range all {
		for _, b := range all {
			if a != b && !a.gone() {
				msg := a.number()
				out := a.op(ctx, "send", b.pid, msg)
				a.did(event{what: "send", who: b.label, pid: b.pid, n: a.sent, failed: out.Status != door.OK})
			}
		}
	}
	_ = r.w.Sleep(ctx, 500*time.Millisecond)
	for _, a := range all {
		if !a.gone() {
			a.drain(ctx)
		}
	}
	r.seen = map[kit.NodeName]snapshot{}
	for _, n := range r.plan.Nodes {
		r.seen[n] = r.snap(ctx, n)
	}
	r.sameNames(ctx, r.plan.Nodes)
	r.judge()
	if len(r.problems) == 0 {
		r.contest(ctx, all)
	}
	if len(r.problems) == 0 {
		r.cleanUp(ctx)
	}
}

// sameNames checks that nodes which are connected to each other, and to no other, know the same global names, and that
// the holders live.
func (r *procRun) sameNames(ctx context.Context, nodes []kit.NodeName) {
	first := ""
	for _, n := range nodes {
		out := r.call(ctx, operator, n, "global_names")
		t, err := out.Term()
		if err != nil {
			r.problem("no answer", nil, "global_names at %s: %v", n, err)
			return
		}
		list, _ := t.(term.List)
		var lines []string
		for _, name := range list {
			pid, ok := pidOf(r.call(ctx, operator, n, "global_whereis", name))
			if !ok {
				r.problem("names not settled", nil, "%s lists the name %s and does not know who has it", n, term.String(name))
				continue
			}
			lines = append(lines, term.String(name)+" "+term.String(pid))
			if !slices.Contains(nodes, kit.NodeName(pid.Node)) {
				r.problem("a name of the other side", []term.Pid{pid}, "%s knows %s as %s, whose node is not connected", n, term.String(name), term.String(pid))
				continue
			}
			if s := r.snap(ctx, kit.NodeName(pid.Node)); s[pid].globals == nil || !hasTerm(s[pid].globals, name) {
				_, lives := s[pid]
				r.problem("a name without holder", []term.Pid{pid}, "%s knows %s as %s; that process lives: %v, and has the names %s", n, term.String(name), term.String(pid), lives, term.String(term.List(s[pid].globals)))
			}
		}
		text := strings.Join(lines, ", ")
		if n == nodes[0] {
			first = text
		} else if text != first {
			r.problem("two holders", nil, "%s knows [%s], %s knows [%s]", nodes[0], first, n, text)
		}
	}
}

func hasTerm(list []term.Term, t term.Term) bool {
	return slices.ContainsFunc(list, func(x term.Term) bool { return term.Equal(x, t) })
}

// contest lets all that may register one name at once: exactly one gets it, and everybody knows.
func (r *procRun) contest(ctx context.Context, all []*actor) {
	name := term.Atom("contest")
	yes := 0
	entered := 0
	for _, a := range all {
		if i, lives := r.seen[a.node][a.pid]; !lives || len(i.globals) > 0 {
			continue
		}
		entered++
		r.w.Go(func(ctx context.Context) {
			out := a.op(ctx, "global_register", name)
			v, err := out.Term()
			r.mu.Lock()
			defer r.mu.Unlock()
			if v == term.Atom("yes") {
				yes++
			} else if err != nil {
				r.problems = append(r.problems, Problem{Round: 1, What: "no answer", Text: fmt.Sprintf("%s could not take part in the contest: %v", a.label, err)})
			}
		})
	}
	r.w.Wait()
	if entered > 0 && yes != 1 {
		r.problem("two holders", nil, "%d processes asked for one name at once and %d got it", entered, yes)
	}
	r.sameNames(ctx, r.plan.Nodes)
}

// cleanUp ends all processes and sees that nothing is left.
func (r *procRun) cleanUp(ctx context.Context) {
	for _, a := range r.actors {
		r.w.Leave(a.label)
	}
	for _, n := range r.plan.Nodes {
		for _, pid := range slices.SortedFunc(maps.Keys(r.snap(ctx, n)), func(a, b term.Pid) int { return cmp.Compare(a.ID, b.ID) }) {
			r.call(ctx, operator, n, "proc", pid, term.L(term.Atom("exit"), term.Atom("shutdown")))
		}
	}
	for _, n := range r.plan.Nodes {
		var text string
		for range 20 {
			out := r.call(ctx, operator, n, "proc_counts")
			t, _ := out.Term()
			m, ok := t.(term.Map)
			left := []string{}
			for _, p := range m {
				if p.Value != term.Term(term.Int(0)) {
					left = append(left, term.String(p.Key)+" "+term.String(p.Value))
				}
			}
			text = strings.Join(left, ", ")
			if !ok {
				text = string(out.Status)
			}
			if text == "" {
				break
			}
			_ = r.w.Sleep(ctx, 50*time.Millisecond)
		}
		if text != "" {
			r.problem("something is left", nil, "at %s when all processes have ended: %s", n, text)
		}
	}
}
