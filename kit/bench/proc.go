package bench

import (
	"context"
	"runtime"
	"strconv"
	"time"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

// VerbProc runs one sample of a ProcOp: operation, count, senders, the other node, profile?. It answers a list of floats, one for
// each row of the operation.
const VerbProc = "bench_proc"

// ProcRow is one figure of an operation.
type ProcRow struct {
	Name string
	Unit string
	More bool // more is better
}

// ProcOp is one workload of processes.
type ProcOp struct {
	Op      string
	Count   int // operations of a sample that make it a good fraction of a second
	Senders int // processes that do it at once; 0 where that means nothing
	rows    []ProcRow
}

// Rows gives the figures of a sample of count operations.
func (o ProcOp) Rows(count int) []ProcRow {
	many := strconv.Itoa(count)
	if count%1000 == 0 {
		many = strconv.Itoa(count/1000) + "k"
	}
	rows := make([]ProcRow, len(o.rows))
	for i, r := range o.rows {
		switch o.Op {
		case "mailbox", "alive":
			r.Name = many + r.Name
		case "messages":
			r.Name += ", " + strconv.Itoa(o.Senders) + " senders"
			if o.Senders == 1 {
				r.Name = o.rows[i].Name + ", 1 sender"
			}
		}
		rows[i] = r
	}
	return rows
}

// MaxProcCount bounds the operations of a sample.
const MaxProcCount = 200_000

// ProcOps lists the workloads, those between two nodes first.
func ProcOps() []ProcOp {
	micros := func(name string) []ProcRow { return []ProcRow{{name, "us", false}} }
	messages := []ProcRow{{"messages to another node", "messages/s", true}}
	return []ProcOp{
		{"round_trip_remote", 5_000, 0, micros("round trip, 2 nodes")},
		{"spawn_remote", 2_000, 0, micros("spawn on another node")},
		{"watch_remote", 2_000, 0, micros("spawn on another node, watched until it has ended")},
		{"call_remote", 2_000, 0, micros("call on another node")},
		{"messages", 100_000, 1, messages},
		{"messages", 100_000, 8, messages},
		{"messages", 100_000, 64, messages},
		{"round_trip", 100_000, 0, micros("round trip, same node")},
		{"spawn", 50_000, 0, micros("spawn, same node, until it has ended")},
		{"mailbox", 100_000, 0, []ProcRow{{" messages to one mailbox: send", "us", false}, {" messages in one mailbox: receive", "us", false}}},
		{"alive", 100_000, 0, []ProcRow{{" processes alive: spawn", "us", false}, {" processes alive: memory of one", "bytes", false},
			{" processes alive: end", "us", false}}},
	}
}

// ReadProcSample reads what VerbProc answers for the operation.
func ReadProcSample(o ProcOp, t term.Term) ([]float64, error) {
	l, ok := t.(term.List)
	if !ok || len(l) != len(o.rows) {
		return nil, wrong("%s are no figures of %s", term.String(t), o.Op)
	}
	figures := make([]float64, len(l))
	for i := range l {
		f, ok := l[i].(term.Float)
		if !ok {
			return nil, wrong("%s are no figures of %s", term.String(t), o.Op)
		}
		figures[i] = float64(f)
	}
	return figures, nil
}

// procBench are the workloads on one node.
type procBench struct {
	rt   *proc.Runtime
	gate chan struct{} // lets a process that waits outside of Receive go on
	base float64       // bytes in use before the first sample of alive; 0 before that
}

// funcs are the functions that the workloads' processes run.
func (b *procBench) funcs() map[string]proc.Func {
	return map[string]proc.Func{
		"bench_driver":  b.driver,
		"bench_nothing": func(*proc.Process, []term.Term) (term.Term, error) { return nil, nil },
		"bench_waits":   waits,
		"bench_last":    last,
		"bench_sink":    sink,
		"bench_sender":  sender,
		"bench_box":     b.box,
	}
}

// sample runs an operation in a process of its own.
func (b *procBench) sample(ctx context.Context, n *node.Node, args []term.Term) (term.Term, error) {
	if len(args) < 4 {
		return nil, invalid("operation, count, senders and a node are needed")
	}
	count, ok1 := args[1].(term.Int)
	senders, ok2 := args[2].(term.Int)
	if !ok1 || !ok2 || count < 2 || count > MaxProcCount || senders < 0 || senders > maxClients {
		return nil, invalid("from 2 to %d operations and up to %d senders are possible", MaxProcCount, maxClients)
	}
	stop, err := profile(atom(args, 4))
	if err != nil {
		return nil, err
	}
	defer stop()
	res, err := n.Procs().Call(ctx, term.Pid{}, n.Name(), "bench_driver", args[:4], maxFor)
	if err != nil {
		return nil, err
	}
	if res.Kind != proc.Returned {
		return nil, wrong("%s: %s %s", atom(args, 0), res.Kind, term.String(res.Value))
	}
	return res.Value, nil
}

// patience is how long a workload waits for one message.
const patience = time.Minute

// take takes one message, which must come.
func take(p *proc.Process) (term.Term, error) {
	msg, ok := p.Receive(patience, nil)
	if !ok {
		return nil, wrong("no message came within %v", patience)
	}
	return msg, nil
}

// driver does what its arguments say and answers the figures.
func (b *procBench) driver(p *proc.Process, args []term.Term) (term.Term, error) {
	op, count, senders := atom(args, 0), int(field(term.Tuple(args), 1)), int(field(term.Tuple(args), 2))
	other := kit.NodeName(atom(args, 3))
	each := func(do func() error) (term.Term, error) {
		begun := time.Now()
		for range count {
			if err := do(); err != nil {
				return nil, err
			}
		}
		return figures(micros(begun, count)), nil
	}
	switch op {
	case "round_trip_remote":
		return roundTrips(p, other, count)
	case "round_trip":
		return roundTrips(p, p.Node(), count)
	case "spawn_remote":
		return each(func() error { _, err := p.Spawn(other, "bench_nothing"); return err })
	case "watch_remote":
		return each(func() error {
			if _, _, err := p.SpawnMonitor(other, "bench_nothing"); err != nil {
				return err
			}
			_, err := take(p)
			return err
		})
	case "call_remote":
		return each(func() error { return b.callAdd(p, other) })
	case "messages":
		return messages(p, other, count, senders)
	case "spawn":
		return spawns(p, count)
	case "mailbox":
		return b.mailbox(p, count)
	case "alive":
		return b.alive(p, count)
	}
	return nil, invalid("there is no operation %q", op)
}

func figures(f ...float64) term.Term {
	l := term.List{}
	for _, v := range f {
		l = append(l, term.Float(v))
	}
	return l
}

// micros is the time of one of n operations, in microseconds.
func micros(begun time.Time, n int) float64 { return time.Since(begun).Seconds() * 1e6 / float64(n) }

func roundTrips(p *proc.Process, at kit.NodeName, count int) (term.Term, error) {
	q, err := p.Spawn(at, "echo")
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	for i := range count {
		if err := p.Send(q, term.T(p.Self(), term.Int(i))); err != nil {
			return nil, err
		}
		if _, err := take(p); err != nil {
			return nil, err
		}
	}
	f := figures(micros(begun, count))
	return f, p.Send(q, term.Atom("stop"))
}

func (b *procBench) callAdd(p *proc.Process, at kit.NodeName) error {
	res, err := b.rt.Call(p.Context(), p.Self(), at, "add", []term.Term{term.Int(1), term.Int(2)}, patience)
	if err == nil && res.Value != term.Int(3) {
		err = wrong("1 and 2 are %s %s", res.Kind, term.String(res.Value))
	}
	return err
}

// messages lets some processes send to one on another node, which tells when it has all of them.
func messages(p *proc.Process, at kit.NodeName, count, senders int) (term.Term, error) {
	each := max(count/max(senders, 1), 1)
	to, err := p.Spawn(at, "bench_sink", p.Self(), term.Int(each*senders))
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	for range senders {
		if _, err := p.Spawn(p.Node(), "bench_sender", to, term.Int(each)); err != nil {
			return nil, err
		}
	}
	if _, err := take(p); err != nil {
		return nil, err
	}
	return figures(float64(each*senders) / time.Since(begun).Seconds()), nil
}

// sink takes as many messages as it is told, then says so.
func sink(p *proc.Process, args []term.Term) (term.Term, error) {
	for range field(term.Tuple(args), 1) {
		if _, err := take(p); err != nil {
			return nil, err
		}
	}
	return nil, p.Send(args[0], term.Atom("done"))
}

func sender(p *proc.Process, args []term.Term) (term.Term, error) {
	for i := range field(term.Tuple(args), 1) {
		if err := p.Send(args[0], term.T(term.Atom("bench"), term.Int(i))); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// spawns begins processes that end at once, until the last one says that it has run.
func spawns(p *proc.Process, count int) (term.Term, error) {
	begun := time.Now()
	for range count - 1 {
		if _, err := p.Spawn(p.Node(), "bench_nothing"); err != nil {
			return nil, err
		}
	}
	if _, err := p.Spawn(p.Node(), "bench_last", p.Self()); err != nil {
		return nil, err
	}
	_, err := take(p)
	return figures(micros(begun, count)), err
}

func last(p *proc.Process, args []term.Term) (term.Term, error) {
	return nil, p.Send(args[0], term.Atom("done"))
}

// mailbox sends to a process that does not look, and then lets it look.
func (b *procBench) mailbox(p *proc.Process, count int) (term.Term, error) {
	q, err := p.Spawn(p.Node(), "bench_box", p.Self(), term.Int(count))
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	for i := range count {
		if err := p.Send(q, term.T(term.Atom("bench"), term.Int(i))); err != nil {
			return nil, err
		}
	}
	sent := micros(begun, count)
	select {
	case b.gate <- struct{}{}:
	case <-p.Context().Done():
		return nil, p.Context().Err()
	}
	took, err := take(p)
	if err != nil {
		return nil, err
	}
	received, _ := took.(term.Float)
	return figures(sent, float64(received)), nil
}

// box waits at the gate, takes its messages and tells how long each took. The clock runs from the first one on.
func (b *procBench) box(p *proc.Process, args []term.Term) (term.Term, error) {
	select {
	case <-b.gate:
	case <-p.Context().Done():
		return nil, p.Context().Err()
	}
	if _, err := take(p); err != nil {
		return nil, err
	}
	n := int(field(term.Tuple(args), 1)) - 1
	begun := time.Now()
	for range n {
		p.Receive(proc.Forever, nil)
	}
	return nil, p.Send(args[0], term.Float(micros(begun, n)))
}

func waits(p *proc.Process, _ []term.Term) (term.Term, error) {
	p.Receive(proc.Forever, nil)
	return nil, nil
}

// alive begins processes that wait for a message, weighs them, and lets them end.
func (b *procBench) alive(p *proc.Process, count int) (term.Term, error) {
	if b.base == 0 {
		b.base = inUse()
	}
	before := b.rt.Count()
	all := make([]term.Pid, count)
	begun := time.Now()
	for i := range all {
		var err error
		if all[i], err = p.Spawn(p.Node(), "bench_waits"); err != nil {
			return nil, err
		}
	}
	spawned := micros(begun, count)
	memory := (inUse() - b.base) / float64(count)
	begun = time.Now()
	for _, q := range all {
		if err := p.Send(q, term.Atom("stop")); err != nil {
			return nil, err
		}
	}
	for b.rt.Count() > before {
		runtime.Gosched()
	}
	return figures(spawned, memory, micros(begun, count)), nil
}

// inUse are the bytes in use on the heap and by stacks. What Go keeps for goroutines that have ended is in it, so that it is
// compared with what it was before the first of them.
func inUse() float64 {
	runtime.GC()
	runtime.GC() // what the first one has found to be finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}
