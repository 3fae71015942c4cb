package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/node"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// orderTime bounds one order to a node's door. A node that does not answer within it is as good as hung.
const orderTime = 3 * time.Second

// Fault is the Data of journal entries of kind "fault": what was done, in the words of the command line.
type Fault struct {
	Do     string         `json:"do"` // cut, heal, slow, loss, kill, stop, restart, pause, resume, wipe_disc, link
	Nodes  []kit.NodeName `json:"nodes,omitempty"`
	Silent bool           `json:"silent,omitempty"`
	OneWay bool           `json:"one_way,omitempty"`
	Delay  time.Duration  `json:"delay,omitempty"` // nanoseconds
	Loss   float64        `json:"loss,omitempty"`
	Rule   *wire.Rule     `json:"rule,omitempty"` // for link
}

// String gives the fault as the command line's verb.
func (f Fault) String() string {
	words := []string{f.Do}
	for _, n := range f.Nodes {
		words = append(words, string(n))
	}
	if f.Delay != 0 {
		words = append(words, f.Delay.String())
	}
	if f.Loss != 0 {
		words = append(words, fmt.Sprintf("%g%%", f.Loss*100))
	}
	if f.Silent {
		words = append(words, "--silent")
	}
	if f.OneWay {
		words = append(words, "--one-way")
	}
	if f.Rule != nil {
		words = append(words, RuleText(*f.Rule))
	}
	return strings.Join(words, " ")
}

// RuleText says a rule in words: "cut (silent), 20ms late", "whole".
func RuleText(r wire.Rule) string {
	var parts []string
	if r.Cut != wire.Whole {
		parts = append(parts, "cut ("+string(r.Cut)+")")
	}
	if r.Delay != 0 {
		parts = append(parts, r.Delay.String()+" late")
	}
	if r.Jitter != 0 {
		parts = append(parts, "up to "+r.Jitter.String()+" more")
	}
	for _, c := range []struct {
		chance float64
		what   string
	}{{r.Loss, "lost"}, {r.Duplicate, "doubled"}, {r.Reorder, "reordered"}} {
		if c.chance != 0 {
			parts = append(parts, fmt.Sprintf("%g%% %s", c.chance*100, c.what))
		}
	}
	if len(parts) == 0 {
		return "whole"
	}
	return strings.Join(parts, ", ")
}

// edge is one direction of a link.
type edge struct{ from, to kit.NodeName }

// both gives the two directions between a and b, or only the one from a to b.
func both(a, b kit.NodeName, oneWay bool) []edge {
	if oneWay {
		return []edge{{a, b}}
	}
	return []edge{{a, b}, {b, a}}
}

// Link sets the rule for traffic from one node to another; the zero Rule heals that direction. The rule stays
// in force when a node restarts.
func (c *Cluster) Link(from, to kit.NodeName, rule wire.Rule) error {
	return c.fault(Fault{Do: "link", Nodes: []kit.NodeName{from, to}, Rule: &rule}, func() error {
		return c.setRules(both(from, to, true), func(wire.Rule) wire.Rule { return rule })
	})
}

// Cut separates two nodes; what else was set on the link stays. One-way cuts only what a sends to b.
func (c *Cluster) Cut(a, b kit.NodeName, silent, oneWay bool) error {
	return c.fault(Fault{Do: "cut", Nodes: []kit.NodeName{a, b}, Silent: silent, OneWay: oneWay}, func() error {
		return c.setRules(both(a, b, oneWay), func(r wire.Rule) wire.Rule {
			r.Cut = wire.Loud
			if silent {
				r.Cut = wire.Silent
			}
			return r
		})
	})
}

// Slow delays what two nodes send each other; 0 takes the delay away.
func (c *Cluster) Slow(a, b kit.NodeName, delay time.Duration, oneWay bool) error {
	return c.fault(Fault{Do: "slow", Nodes: []kit.NodeName{a, b}, Delay: delay, OneWay: oneWay}, func() error {
		return c.setRules(both(a, b, oneWay), func(r wire.Rule) wire.Rule { r.Delay = delay; return r })
	})
}

// Loss makes part (0 to 1) of what two nodes send each other get lost; 0 takes the fault away.
func (c *Cluster) Loss(a, b kit.NodeName, part float64, oneWay bool) error {
	return c.fault(Fault{Do: "loss", Nodes: []kit.NodeName{a, b}, Loss: part, OneWay: oneWay}, func() error {
		return c.setRules(both(a, b, oneWay), func(r wire.Rule) wire.Rule { r.Loss = part; return r })
	})
}

// Heal takes every fault off the link between two nodes.
func (c *Cluster) Heal(a, b kit.NodeName) error {
	return c.fault(Fault{Do: "heal", Nodes: []kit.NodeName{a, b}}, func() error {
		return c.setRules(both(a, b, false), func(wire.Rule) wire.Rule { return wire.Rule{} })
	})
}

// HealAll takes every fault off every link.
func (c *Cluster) HealAll() error {
	return c.fault(Fault{Do: "heal"}, func() error {
		var edges []edge
		for from, rules := range c.rules() {
			for to := range rules {
				edges = append(edges, edge{from, to})
			}
		}
		return c.setRules(edges, func(wire.Rule) wire.Rule { return wire.Rule{} })
	})
}

// Rules gives the rules in force, without the healthy links.
func (c *Cluster) Rules() map[kit.NodeName]map[kit.NodeName]wire.Rule { return c.rules() }

// fault runs one fault under the lab's lock, after a check that the nodes exist, and journals it.
func (c *Cluster) fault(f Fault, act func() error) error {
	for i, n := range f.Nodes {
		if err := c.known(n); err != nil {
			return err
		}
		if slices.Contains(f.Nodes[:i], n) {
			return invalid(f.Do, string(n), "a node has no link to itself", "name two nodes")
		}
	}
	release, err := c.locked()
	if err != nil {
		return err
	}
	defer release()
	begun := time.Now() // what the nodes report of it comes later
	if err := act(); err != nil {
		return &kit.Error{Op: f.String(), Kind: kit.KindOf(err), Err: err}
	}
	c.noteAt(begun, "fault", f.String(), f)
	return nil
}

// locked takes the lab's lock and makes sure that the lab is still the one that was opened.
func (c *Cluster) locked() (release func(), err error) {
	release, err = c.files.lockLab()
	if err != nil {
		return nil, err
	}
	var now labFile
	if err := readJSON(c.files.labJSON(), &now); err != nil || now.ID != c.lab.ID {
		release()
		return nil, &kit.Error{Op: "use lab", What: c.files.lab, Kind: kit.Unavailable, Err: errors.New("it was ended meanwhile"),
			Hint: fmt.Sprintf("\"netsplit lab up %s\" starts it anew", c.files.lab)}
	}
	return release, nil
}

// known refuses a node that the lab does not have.
func (c *Cluster) known(n kit.NodeName) error {
	if slices.Contains(c.lab.Nodes, n) {
		return nil
	}
	var names []string
	for _, o := range c.lab.Nodes {
		names = append(names, string(o))
	}
	return &kit.Error{Op: "find node", What: fmt.Sprintf("%.64q", string(n)), Kind: kit.NotFound, Err: fmt.Errorf("lab %s has no such node", c.lab.Lab),
		Hint: "its nodes are " + strings.Join(names, ", ")}
}

// rules reads the rules in force; without a readable file there are none.
func (c *Cluster) rules() ruleFile {
	rules := ruleFile{}
	_ = readJSON(c.files.rules(), &rules)
	return rules
}

// setRules changes rules: first in the file, which decides what a restarted or resumed node gets, then at the
// nodes that run.
func (c *Cluster) setRules(edges []edge, change func(wire.Rule) wire.Rule) error {
	rules := c.rules()
	fresh := map[edge]wire.Rule{}
	for _, e := range edges {
		r := change(rules[e.from][e.to])
		fresh[e] = r
		if rules[e.from] == nil {
			rules[e.from] = map[kit.NodeName]wire.Rule{}
		}
		if rules[e.from][e.to] = r; r == (wire.Rule{}) {
			delete(rules[e.from], e.to)
		}
	}
	if err := writeJSON(c.files.rules(), rules); err != nil {
		return err
	}
	var errs []error
	for _, e := range edges {
		if s, _ := c.files.state(e.from); s.State == Running {
			errs = append(errs, c.order(e.from, "link", term.Atom(e.to), node.RuleTerm(fresh[e])))
		}
	}
	return errors.Join(errs...)
}

// order asks a node's door for something that takes no time.
func (c *Cluster) order(n kit.NodeName, verb string, args ...term.Term) error {
	ctx, cancel := context.WithTimeout(context.Background(), orderTime)
	defer cancel()
	out := c.Call(ctx, system, n, door.Request{Verb: verb, Args: args})
	if err := out.Err(); err != nil {
		return &kit.Error{Op: "order " + verb + " at node", What: string(n), Kind: kit.KindOf(err), Err: err}
	}
	return nil
}

// processOf gives a node's process and what it is doing.
func (c *Cluster) processOf(n kit.NodeName) (process, string) {
	s, nf := c.files.state(n)
	return process{nf.Pid, nf.Started}, s.State
}

// Kill ends a node's process as kill -9 does: nothing is flushed, nobody is told. A paused node can be killed too.
func (c *Cluster) Kill(n kit.NodeName) error {
	return c.fault(Fault{Do: "kill", Nodes: []kit.NodeName{n}}, func() error {
		p, state := c.processOf(n)
		if state != Running && state != Paused {
			return c.notUp(n, state)
		}
		if err := c.updateNode(n, func(nf *nodeFile) { nf.Ended = Killed }); err != nil {
			return err
		}
		return c.end(p, p.kill)
	})
}

// Stop ends a node in an orderly way: its store stops first. Past a few seconds it is killed.
func (c *Cluster) Stop(n kit.NodeName) error {
	return c.fault(Fault{Do: "stop", Nodes: []kit.NodeName{n}}, func() error { return c.stop(n) })
}

func (c *Cluster) stop(n kit.NodeName) error {
	p, state := c.processOf(n)
	if state != Running {
		return c.notUp(n, state)
	}
	if err := c.updateNode(n, func(nf *nodeFile) { nf.Ended = Stopped }); err != nil {
		return err
	}
	return c.end(p, p.terminate)
}

// end gives the process its last signal and waits until it is gone.
func (c *Cluster) end(p process, signal func() error) error {
	if err := signal(); err != nil {
		return err
	}
	if err := p.await(endTime, gone); err == nil {
		return nil
	}
	if err := p.kill(); err != nil && kit.KindOf(err) != kit.Unavailable {
		return err
	}
	return p.await(endTime, gone)
}

// notUp is the error of an order that the node's state does not allow.
func (c *Cluster) notUp(n kit.NodeName, state string) error {
	e := &kit.Error{Kind: kit.Unavailable, Err: fmt.Errorf("node %s is %s", n, state)}
	switch state {
	case Paused:
		e.Hint = fmt.Sprintf("\"netsplit resume %s\" lets it go on", n)
	case Running: // it was to be resumed, or its disc wiped
	default:
		e.Hint = fmt.Sprintf("\"netsplit restart %s\" starts it again", n)
	}
	return e
}

// Restart starts a node that was killed, stopped or crashed: empty memory, the same disc, the same rules on its
// links. A running node is stopped in an orderly way first. It returns when the node's door is open.
func (c *Cluster) Restart(n kit.NodeName) error {
	return c.fault(Fault{Do: "restart", Nodes: []kit.NodeName{n}}, func() error {
		switch _, state := c.processOf(n); state {
		case Paused:
			return c.notUp(n, state)
		case Running:
			if err := c.stop(n); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeoutCause(context.Background(), DefaultReadyIn, fmt.Errorf("it was not ready within %v", DefaultReadyIn))
		defer cancel()
		return c.startAgain(ctx, n)
	})
}

// startAgain starts a node at its old address, or at a new one when that is taken, which the others are told.
func (c *Cluster) startAgain(ctx context.Context, n kit.NodeName) error {
	var peers []wire.Peer
	self := 0
	for i, o := range c.lab.Nodes {
		s, _ := c.files.state(o)
		peers = append(peers, wire.Peer{Node: o, Addr: s.Address})
		if o == n {
			self = i
		}
	}
	c.dropClients(n)
	err := c.startNode(ctx, n, peers, c.rules()[n])
	for try := 1; kit.KindOf(err) == kit.Exists && try < portTries; try++ {
		addrs, freeErr := freeAddrs(1)
		if freeErr != nil {
			return freeErr
		}
		peers[self].Addr = addrs[0]
		if err = c.startNode(ctx, n, peers, c.rules()[n]); err == nil {
			c.introduce(peers[self])
		}
	}
	if err != nil {
		if p, state := c.processOf(n); state == Running || state == Paused {
			_ = c.end(p, p.kill) // it never became ready, and perhaps is about to end by itself; err says why
		}
		return c.explain(n, err)
	}
	return nil
}

// introduce tells the running nodes a peer's new address; the others get it when they restart or resume.
func (c *Cluster) introduce(p wire.Peer) {
	if slices.Contains(c.lab.Hidden, p.Node) {
		return // it tells its address itself
	}
	for _, o := range c.lab.Nodes {
		if s, _ := c.files.state(o); o != p.Node && s.State == Running {
			_ = c.order(o, "introduce", term.Atom(p.Node), term.Bin(p.Addr)) // it will be dialled by p anyway
		}
	}
}

// Pause stops a node's process as SIGSTOP does: it holds its connections and says nothing. It returns when the
// process has stopped.
func (c *Cluster) Pause(n kit.NodeName) error {
	return c.fault(Fault{Do: "pause", Nodes: []kit.NodeName{n}}, func() error {
		p, state := c.processOf(n)
		if state != Running {
			return c.notUp(n, state)
		}
		return p.pause()
	})
}

// Resume lets a paused node go on, and gives it the rules that changed meanwhile.
func (c *Cluster) Resume(n kit.NodeName) error {
	return c.fault(Fault{Do: "resume", Nodes: []kit.NodeName{n}}, func() error {
		p, state := c.processOf(n)
		if state != Paused {
			return c.notUp(n, state)
		}
		if err := p.resume(); err != nil {
			return err
		}
		rules := c.rules()[n]
		var errs []error
		for _, o := range c.lab.Nodes {
			if o != n {
				errs = append(errs, c.order(n, "link", term.Atom(o), node.RuleTerm(rules[o])))
			}
		}
		return errors.Join(errs...)
	})
}

// WipeDisc empties the disc of a node that does not run. Its backups lie beside it and stay.
func (c *Cluster) WipeDisc(n kit.NodeName) error {
	return c.fault(Fault{Do: "wipe_disc", Nodes: []kit.NodeName{n}}, func() error {
		if _, state := c.processOf(n); state == Running || state == Paused {
			return &kit.Error{Kind: kit.Refused, Err: fmt.Errorf("node %s is %s", n, state), Hint: fmt.Sprintf("\"netsplit kill %s\" ends it", n)}
		}
		if err := os.RemoveAll(c.files.disc(n)); err != nil {
			return &kit.Error{Op: "wipe disc", Kind: kit.Broken, Err: err}
		}
		return os.MkdirAll(c.files.disc(n), 0o700)
	})
}
