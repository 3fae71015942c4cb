package store

import (
	"context"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// sink is the Peers of a store whose peers b and c are up and never answer.
type sink struct{}

func (*sink) Self() kit.NodeName        { return "a" }
func (*sink) Up() []kit.NodeName        { return []kit.NodeName{"b", "c"} }
func (*sink) Send(kit.NodeName, []byte) {}

// FuzzReceive gives a running store frames of a hostile peer, one after another: what is between two lengths of the
// input. Whatever they say, the store must not panic or hang, and must still do its own work.
func FuzzReceive(f *testing.F) {
	id := commitID{Time: 7, Node: "b"}
	row := term.T(term.Atom("t"), term.Int(1), term.Int(2))
	ops := []op{{kind: opWrite, tab: "t", row: row}, {kind: opDelete, tab: "t", key: term.Int(3)}}
	var s Store
	all := []kit.NodeName{"a", "c"}
	prepare := s.prepareFrame(&plan{id: id, tx: lock.Tx(id), others: all, logged: true}, ops, nil)
	locking := s.prepareFrame(&plan{id: id, tx: lock.Tx(id), others: all, locks: 9, logged: true, durable: true}, ops, nil)
	decide := newFrame(fDecide).commit(id).flag(true).flag(true).b
	lockIt := newFrame(fLock).num(1).tx(lock.Tx(id)).num(1).flag(true).str("t").flag(true).term(term.Int(1)).b
	for _, frames := range [][][]byte{
		{prepare, decide}, {locking, decide}, {lockIt, newFrame(fRelease).tx(lock.Tx(id)).b}, {lockIt, locking, decide},
		{newFrame(fVote).commit(id).num(voteStand).num(3).b}, {newFrame(fVote).commit(id).num(voteNo).term(term.Atom("x")).b},
		{newFrame(fLocked).num(1).num(0).num(0).b}, {newFrame(fApplied).commit(id).b}, {newFrame(fOutcome).commit(id).flag(true).b},
		{prepare, newFrame(fOutcomeIs).commit(id).num(1).b}, {newFrame(fSettled).num(1).num(7).b}, {newFrame(fRuled).commit(id).num(2).b},
		{newFrame(fDirty).num(1).ops(ops[:1]).b}, {newFrame(fCall).num(1).str("join_info").term(term.List{}).b},
		{newFrame(fCast).str("joining").term(term.T(term.Atom("t"), term.Atom("a"))).b}, {newFrame(fReply).num(1).num(0).term(term.Int(1)).b},
		{newFrame(fChunk).str("t").num(0).num(1).term(row).b}, {newFrame(fStatus).num(2).num(1).flag(true).flag(false).num(1).b},
	} {
		var in []byte
		for _, fr := range frames {
			in = append(in, byte(len(fr)>>8), byte(len(fr)))
			in = append(in, fr...)
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) { receive(t, in) })
}

func receive(t *testing.T, in []byte) {
	d, err := disk.Open(disk.NewMemory().Options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	s, err := Open(Config{Peers: &sink{}, Disk: d})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.CreateSchema(ctx, nil); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	clear(s.links)
	s.mu.Unlock()
	if err := s.Start(ctx, StartOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateTable(ctx, Table{Name: "t", Disc: []kit.NodeName{"a"}}); err != nil {
		t.Fatal(err)
	}
	s.PeerUp("b")
	for n := 0; len(in) >= 2 && n < 64; n++ {
		size := min(int(in[0])<<8|int(in[1]), len(in)-2)
		s.Receive("b", in[2:2+size])
		in = in[2+size:]
	}
	s.PeerDown("b")
	if s.Running() { // a frame may have made it stop: a status that says so of a member, or a disc that is full
		done := make(chan error, 1)
		go func() { done <- s.DirtyWrite(ctx, "t", term.T(term.Atom("t"), term.Int(9), term.Int(9))) }()
		select {
		case <-done: // a hostile peer may have deleted the table: the cookie lets in who may do that
		case <-time.After(10 * time.Second):
			t.Fatal("the store hangs")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
