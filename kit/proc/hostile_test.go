package proc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// besieged is a core b whose process watches and is linked to processes on the nodes a, who is hostile, and c, who holds a
// name and a lock here and was asked something.
type besieged struct {
	c       *Core
	p       term.Pid
	onC     term.Pid
	ref     uint64
	asked   uint64
	spawned uint64
}

func besiege(t *testing.T) *besieged {
	c := NewCore("b", 1, func(fn string) bool { return fn == "worker" }, 20, 50)
	p, err := c.Spawn("worker", nil, term.Pid{}, term.Pid{})
	if err != nil {
		t.Fatal(err)
	}
	b := &besieged{c: c, p: p, onC: term.Pid{Node: "c", ID: 5}}
	c.PeerUp("a")
	c.PeerUp("c")
	if err := c.Link(p.ID, b.onC); err != nil {
		t.Fatal(err)
	}
	b.ref = c.Monitor(p.ID, b.onC)
	c.Monitor(p.ID, term.Pid{Node: "a", ID: 1})
	host := term.Pid{Node: "c"}
	c.Signal(Signal{Op: OpClaim, From: host, Term: claim{term: term.Atom("name"), pid: b.onC, resolver: DefaultResolver}.wire(false)})
	c.Signal(Signal{Op: OpLock, From: b.onC, Ref: 1, Term: term.T(term.Atom("lock"), b.onC, term.Undefined)})
	b.asked, b.spawned = c.Ref(), c.Ref()
	c.Ask("c", Signal{Op: OpSync, From: c.host(), Ref: b.asked})
	c.Ask("c", Signal{Op: OpSpawn, From: p, Ref: b.spawned, Name: "worker", Term: request{leader: p, link: true}.term()})
	c.Effects()
	return b
}

// intact says what a has done in the name of c.
func (b *besieged) intact(replaced bool) error {
	if _, ok := b.c.asked[b.asked]; !ok {
		return fmt.Errorf("a question to c was answered")
	}
	if _, ok := b.c.asked[b.spawned]; !ok {
		return fmt.Errorf("a spawn on c was answered")
	}
	if held, ok := b.c.locks[keyOf(term.Atom("lock"))]; !ok || held.owner != b.onC {
		return fmt.Errorf("the lock of c is gone")
	}
	if pid, _ := b.c.WhereisGlobal(term.Atom("name")); pid != b.onC && !replaced {
		return fmt.Errorf("the name of c belongs to %v", pid)
	}
	p := b.c.find(b.p)
	if p == nil {
		return nil // anybody may end a process
	}
	if _, ok := p.links[b.onC]; !ok {
		return fmt.Errorf("the link to c is gone")
	}
	if _, ok := p.monitors[b.ref]; !ok {
		return fmt.Errorf("the monitor on c has fired")
	}
	for q := range p.links {
		if q.Node == "c" && q != b.onC {
			return fmt.Errorf("a link to another process of c: %v", q)
		}
	}
	return nil
}

// framed joins frames, each behind its length.
func framed(list ...Signal) []byte {
	var all []byte
	for _, s := range list {
		frame := s.Encode()
		all = append(binary.BigEndian.AppendUint16(all, uint16(len(frame))), frame...)
	}
	return all
}

// takes feeds a core with the frames of a, and reports whether one of them took a name from whoever had it, as registering
// again does.
func (s *besieged) takes(t *testing.T, data []byte) (replaced bool) {
	for range 64 {
		if len(data) < 2 {
			break
		}
		n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
		frame := data[2 : 2+n]
		data = data[2+n:]
		sig, err := Decode("a", frame)
		if err != nil {
			if kit.KindOf(err) != kit.Corrupt {
				t.Errorf("kind %v", kit.KindOf(err))
			}
			continue
		}
		if again := sig.Encode(); !bytes.Equal(again, frame) {
			t.Errorf("%x is written as %x", frame, again)
		}
		tuple, _ := sig.Term.(term.Tuple)
		replaced = replaced || sig.Op == OpClaim && len(tuple) == 4 && tuple[3] == term.True
		s.c.Signal(sig)
		for _, e := range s.c.Effects() {
			if e.Kind == Transmit && e.Signal.From.Node != "b" {
				t.Errorf("sends in the name of %s", e.Signal.From.Node)
			}
		}
	}
	return replaced
}

// FuzzSignals lets one peer send any frames. None makes the core panic, grow without bound or do something in another node's
// name, and when the peer is lost nothing of it is left.
func FuzzSignals(f *testing.F) {
	a, b, c := term.Pid{Node: "a", ID: 1}, term.Pid{Node: "b", ID: 1}, term.Pid{Node: "c", ID: 5}
	f.Add(framed(Signal{Op: OpLink, From: a, To: c}))
	for op := Op(1); op < lastOp; op++ {
		for _, t := range []term.Term{term.T(term.Atom("name"), c, term.Bin("random_exit"), term.False), term.T(term.Atom("lock"), c, term.Undefined),
			term.T(a, term.L(), term.True, term.Int(3)), c, term.L(term.Atom("d"), term.Atom("e")), Kill, term.T(term.Atom("name"), a)} {
			s := Signal{Op: op, From: a, To: b, Name: "worker", Ref: 4}
			if op.needsTerm() {
				s.Term = t
			}
			again := s
			again.Ref = 1
			f.Add(framed(s, again))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := besiege(t)
		replaced := s.takes(t, data)
		if err := s.intact(replaced); err != nil {
			t.Error(err)
		}
		s.c.PeerDown("a", term.Atom("connection_closed"))
		for _, l := range s.c.locks {
			if l.owner.Node == "a" {
				t.Error("a lock of a is left")
			}
		}
		for _, list := range maps.All(s.c.claims) {
			for _, cl := range list {
				if cl.pid.Node == "a" {
					t.Error("a name of a is left")
				}
			}
		}
		for _, p := range s.c.procs.all() {
			for w := range p.watchers {
				if w.pid.Node == "a" {
					t.Error("a still watches")
				}
			}
		}
	})
}

// A forged signal does what its sender may do, and no more.
func TestForgedSignals(t *testing.T) {
	a, host := term.Pid{Node: "a", ID: 9}, term.Pid{Node: "a"}
	b := besiege(t)
	for _, s := range []Signal{
		{Op: OpDown, From: host, To: b.p, Ref: b.ref, Term: Killed},
		{Op: OpExitLink, From: a, To: b.p, Term: Killed},
		{Op: OpUnlink, From: a, To: b.p},
		{Op: OpUnlock, From: host, Ref: 1, Term: term.T(term.Atom("lock"), b.onC, term.Undefined)},
		{Op: OpUnlockAll, From: a},
		{Op: OpUnclaim, From: host, Term: term.T(term.Atom("name"), b.onC)},
		{Op: OpClaim, From: host, Term: claim{term: term.Atom("other"), pid: b.onC}.wire(false)},
		{Op: OpDone, From: host, Ref: b.asked},
		{Op: OpSpawned, From: host, Ref: b.spawned, Term: term.Pid{Node: "c", ID: 77}},
		{Op: OpSpawned, From: host, Ref: b.spawned, Term: term.Pid{Node: "b", ID: 1}},
	} {
		read, err := Decode("a", s.Encode())
		if err != nil {
			t.Fatal(err)
		}
		b.c.Signal(read)
		if err := b.intact(false); err != nil {
			t.Errorf("signal %d: %v", s.Op, err)
		}
		if b.c.find(b.p) == nil {
			t.Errorf("signal %d has ended a process", s.Op)
		}
	}
	if _, ok := b.c.WhereisGlobal(term.Atom("other")); ok {
		t.Error("a claimed a name for a process of c")
	}
}

// A mailbox is bounded; its process ends, and the node lives.
func TestMailboxWithoutEnd(t *testing.T) {
	cluster(t, 2, Config{Funcs: ours, MaxMailbox: 2000}, func(t *testing.T, _ *mesh, nodes []*Runtime) {
		p := attend(t, nodes[0])
		const reason = "{system_limit,mailbox}"
		for _, c := range []struct {
			node kit.NodeName
			most int // messages that it stands
		}{{"a", 2000}, {"b", 2000}} {
			pid, ref, err := p.SpawnMonitor(c.node, "attended")
			if err != nil {
				t.Fatal(err)
			}
			msg := term.Int(1)
			for range c.most {
				if err := p.Send(pid, msg); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
			if msg, ok := p.Receive(0, nil); ok {
				t.Errorf("%+v: %s came early", c, term.String(msg))
			}
			for range 3 {
				if err := p.Send(pid, msg); err != nil {
					t.Error(err) // nobody is told
				}
			}
			time.Sleep(time.Minute)
			want(t, p, fmt.Sprintf("{'DOWN',%d,process,%s,%s}", ref, term.String(pid), reason))
			if res, err := nodes[0].Call(t.Context(), term.Pid{}, c.node, "node", nil, time.Minute); err != nil || res.Kind != Returned {
				t.Errorf("the node answers %v %v", res, err)
			}
		}
	})
}

// What is taken out makes room again, in whatever order.
func TestMailboxBytes(t *testing.T) {
	var b mailbox
	big := term.Bin(strings.Repeat("x", 1000))
	for i := range 10_000 {
		if !b.add(big, 1<<20, 1<<30) {
			if i < 250 || i > 260 {
				t.Errorf("%d messages", i)
			}
			break
		}
	}
	for range 100 {
		if m, ok := b.look(3, true, false); !ok || !term.Equal(m, big) {
			t.Fatal(m, ok)
		}
	}
	b.remove(func(m term.Term) bool { return term.Equal(m, big) })
	if n, _ := b.waits(); n != 0 || b.bytes != 0 {
		t.Errorf("%d messages, %d bytes are left", n, b.bytes)
	}
}

// An end is not told over a new connection: the node may have been disconnected on purpose.
func TestAnEndDoesNotConnect(t *testing.T) {
	c := NewCore("a", 1, func(string) bool { return true }, 0, 0)
	spawn := func() term.Pid {
		pid, err := c.Spawn("worker", nil, term.Pid{}, term.Pid{})
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	p, q := spawn(), spawn()
	c.PeerUp("b")
	far := term.Pid{Node: "b", ID: 1}
	for _, err := range []error{c.Link(p.ID, far), c.Link(p.ID, q)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Signal(Signal{Op: OpMonitor, From: far, To: q, Ref: 1})
	c.Signal(Signal{Op: OpLink, From: far, To: q})
	c.Effects()
	c.PeerDown("b", term.Atom("disconnect")) // p ends, and with it q, which b watched
	for _, e := range c.Effects() {
		if e.Kind == Connect {
			t.Errorf("connects to %s", e.Node)
		}
	}
	if c.Count() != 0 {
		t.Errorf("%d processes are left", c.Count())
	}
}

// What is taken back while the connection is being made is taken back there too.
func TestTakenBackWhileConnecting(t *testing.T) {
	c := NewCore("a", 1, func(string) bool { return true }, 0, 0)
	p, err := c.Spawn("worker", nil, term.Pid{}, term.Pid{})
	if err != nil {
		t.Fatal(err)
	}
	far := term.Pid{Node: "b", ID: 1}
	if err := c.Link(p.ID, far); err != nil {
		t.Fatal(err)
	}
	c.Unlink(p.ID, far)
	c.Demonitor(p.ID, c.Monitor(p.ID, far))
	c.Effects()
	c.PeerUp("b")
	var ops []Op
	for _, e := range c.Effects() {
		if e.Kind == Transmit {
			ops = append(ops, e.Signal.Op)
		}
	}
	if got := fmt.Sprint(ops); got != fmt.Sprint([]Op{OpNodes, OpLink, OpUnlink, OpMonitor, OpDemonitor}) {
		t.Errorf("%v is sent", got)
	}
}

// A process that is killed while it spawns one that is linked to it ends that one with it.
func TestKilledWhileItSpawns(t *testing.T) {
	c := NewCore("a", 1, func(string) bool { return true }, 0, 0)
	p, err := c.Spawn("worker", nil, term.Pid{}, term.Pid{})
	if err != nil {
		t.Fatal(err)
	}
	c.PeerUp("b")
	ref := c.Ref()
	c.Ask("b", Signal{Op: OpSpawn, From: p, Ref: ref, Name: "worker", Term: request{leader: p, link: true}.term()})
	c.Exit(p.ID, Killed)
	c.Forget(ref)
	c.Effects()
	child := term.Pid{Node: "b", ID: 7}
	c.Signal(Signal{Op: OpSpawned, From: term.Pid{Node: "b"}, Ref: ref, Term: child})
	told := false
	for _, e := range c.Effects() {
		told = told || e.Kind == Transmit && e.Signal.Op == OpExitLink && e.Signal.To == child
	}
	if !told || c.Held() != (Held{}) {
		t.Errorf("the child was told: %v; %+v is left", told, c.Held())
	}
}
