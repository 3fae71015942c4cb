package peer

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/wire"
)

// TestScripts runs the scripts in testdata, each on a fabric in virtual time. Commands:
//
//	cluster a b c               starts nodes that all know each other
//	start a [addr=X] [cookie=X] [peers=(b,c)] [seed=ADDR] [hidden]   starts one (again)
//	cut silent|loud a b | a>b   cuts both ways, or one
//	slow a b 100ms              delays both ways
//	heal [a b]                  heals one link, or all
//	crash a / kill a / stop a   power lost / process killed / stopped in good order
//	disconnect a b, connect a b, ping a b   as a asks for them
//	send a b TEXT               on channel 1
//	sleep 1s                    prints what happened meanwhile, node by node
//	up                          prints who sees whom
//	links a, counts a           prints what a knows of its links
//
// Every command takes 30 ms and prints what happened meanwhile. A frame takes 1 ms on a healthy link, so that no two
// things depend on the order of goroutines within one instant.
func TestScripts(t *testing.T) {
	oneThread(t)
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		synctest.Test(t, func(t *testing.T) {
			l := &lab{t: t, fabric: wire.NewFabric(1), nodes: map[string]*node{}, began: time.Now()}
			l.fabric.Latency = time.Millisecond
			defer l.stopAll()
			datadriven.RunTest(t, path, l.run)
		})
	})
}

// oneThread keeps a test that uses bubbles on one thread at a time. With more, Go 1.26's race detector now and then
// crashes: a bubble's timers have one context of the detector, which the threads that fire them share without a lock.
func oneThread(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

type lab struct {
	t      *testing.T
	fabric *wire.Fabric
	nodes  map[string]*node
	began  time.Time
}

type node struct {
	name kit.NodeName
	net  *wire.Memory
	mesh *Mesh

	mu  sync.Mutex
	log []happened
}

// happened is one event. Those of one instant come in the order of their peers, because goroutines run in any.
type happened struct {
	at   time.Duration
	peer kit.NodeName
	line string
}

func (l *lab) names() []string {
	var all []string
	for name := range l.nodes {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func (l *lab) start(name string, d *datadriven.TestData) {
	addr, cookie, seed := "mem:"+name, "secret", ""
	cfg := Config{Self: kit.NodeName(name), Seed: 1, Static: true, Logf: l.t.Logf}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "hidden":
			cfg.Hidden = true
		case "addr":
			addr = a.Vals[0]
		case "cookie":
			cookie = a.Vals[0]
		case "seed":
			seed = a.Vals[0]
			cfg.Peers = append(cfg.Peers, wire.Peer{Addr: seed})
		case "peers":
			for _, p := range a.Vals {
				cfg.Peers = append(cfg.Peers, wire.Peer{Node: kit.NodeName(p), Addr: "mem:" + p})
			}
		}
	}
	net, err := l.fabric.Listen(cfg.Self, addr, cookie)
	if err != nil {
		d.Fatalf(l.t, "%v", err)
	}
	cfg.Network = net
	n := &node{name: cfg.Self, net: net}
	began := l.began
	cfg.Handle = func(e Event) {
		at := time.Since(began).Round(10 * time.Millisecond)
		line := fmt.Sprintf("%s %s %s", at, e.Kind, e.Node)
		switch e.Kind {
		case Up:
			line += fmt.Sprintf(" (session %d)", e.Session)
			if e.Hidden {
				line += " hidden"
			}
		case Down:
			line += ": " + e.Reason
		case Frame:
			line += fmt.Sprintf(" %d %q", e.Channel, e.Frame)
		}
		n.mu.Lock()
		n.log = append(n.log, happened{at, e.Node, line})
		n.mu.Unlock()
	}
	if n.mesh, err = Start(cfg); err != nil {
		d.Fatalf(l.t, "%v", err)
	}
	l.nodes[name] = n
}

func (l *lab) stopAll() {
	for _, n := range l.nodes {
		n.mesh.Stop()
		_ = n.net.Close()
	}
}

// report prints what happened at each node since the last report.
func (l *lab) report() string {
	time.Sleep(30 * time.Millisecond)
	var b strings.Builder
	for _, name := range l.names() {
		n := l.nodes[name]
		n.mu.Lock()
		slices.SortStableFunc(n.log, func(x, y happened) int {
			return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.peer, y.peer))
		})
		for _, h := range n.log {
			fmt.Fprintf(&b, "%s: %s\n", name, h.line)
		}
		n.log = nil
		n.mu.Unlock()
	}
	return b.String()
}

func (l *lab) run(t *testing.T, d *datadriven.TestData) string {
	var args []string
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			args = append(args, a.Key)
		}
	}
	switch d.Cmd {
	case "cluster":
		for _, name := range args {
			others := slices.DeleteFunc(slices.Clone(args), func(s string) bool { return s == name })
			one := &datadriven.TestData{CmdArgs: []datadriven.CmdArg{{Key: "peers", Vals: others}}}
			l.start(name, one)
			time.Sleep(time.Millisecond)
		}
	case "start":
		l.start(args[0], d)
	case "cut":
		l.rule(wire.Rule{Cut: wire.Cut(args[0])}, args[1:])
	case "slow":
		delay, err := time.ParseDuration(args[2])
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		l.rule(wire.Rule{Delay: delay}, args[:2])
	case "heal":
		l.heal(args)
	case "crash", "kill", "stop":
		l.end(d.Cmd, args[0])
	case "sleep":
		wait, err := time.ParseDuration(args[0])
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		time.Sleep(wait)
	case "send":
		if err := l.nodes[args[0]].mesh.Send(kit.NodeName(args[1]), 1, []byte(args[2])); err != nil {
			return l.report() + err.Error() + "\n"
		}
	default:
		return l.ask(d, args)
	}
	return l.report()
}

func (l *lab) rule(r wire.Rule, ends []string) {
	if from, to, one := strings.Cut(ends[0], ">"); one {
		l.nodes[from].net.Rules().Set(kit.NodeName(to), r)
		return
	}
	l.nodes[ends[0]].net.Rules().Set(kit.NodeName(ends[1]), r)
	time.Sleep(time.Millisecond)
	l.nodes[ends[1]].net.Rules().Set(kit.NodeName(ends[0]), r)
}

func (l *lab) heal(ends []string) {
	if len(ends) > 0 {
		l.rule(wire.Rule{}, ends)
		return
	}
	for _, from := range l.names() {
		for _, to := range l.names() {
			l.nodes[from].net.Rules().Set(kit.NodeName(to), wire.Rule{})
			time.Sleep(time.Millisecond)
		}
	}
}

// end ends a node as the command says; its program ends with it.
func (l *lab) end(how, name string) {
	n := l.nodes[name]
	switch how {
	case "crash":
		l.fabric.Crash(n.name)
	case "kill":
		l.fabric.Kill(n.name)
	}
	n.mesh.Stop()
	_ = n.net.Close()
	delete(l.nodes, name)
}

// ask runs the commands that ask a node for something.
func (l *lab) ask(d *datadriven.TestData, args []string) string {
	if d.Cmd == "up" {
		answer := l.report()
		for _, name := range l.names() {
			m := l.nodes[name].mesh
			answer += fmt.Sprintf("%s sees %v", name, m.Up())
			if hidden := m.UpHidden(); len(hidden) > 0 {
				answer += fmt.Sprintf(", hidden %v", hidden)
			}
			answer += "\n"
		}
		return answer
	}
	m := l.nodes[args[0]].mesh
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer := "ok\n"
	var err error
	switch d.Cmd {
	case "connect":
		err = m.Connect(ctx, kit.NodeName(args[1]))
	case "disconnect":
		err = m.Disconnect(kit.NodeName(args[1]))
	case "ping":
		var took time.Duration
		took, err = m.Ping(ctx, kit.NodeName(args[1]))
		answer = fmt.Sprintf("pong after %v\n", took)
	case "links":
		answer = ""
		for _, info := range m.Links() {
			answer += fmt.Sprintf("%s at %s: up %v, %s\n", info.Node, info.Addr, info.Up, info.Reason)
		}
	case "counts":
		answer = ""
		for _, c := range m.cfg.Network.Rules().Counts() {
			answer += fmt.Sprintf("%+v\n", c)
		}
	default:
		d.Fatalf(l.t, "no command %s", d.Cmd)
	}
	if err != nil {
		answer = err.Error() + "\n"
		if hint := kit.HintOf(err); hint != "" {
			answer += "hint: " + hint + "\n"
		}
	}
	return l.report() + answer
}
