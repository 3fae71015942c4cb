package store

import (
	"context"
	"maps"
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/commit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// Transactions in doubt: what a node that has voted yes does when it does not hear the decision. What it has said and
// what was decided is in the logs of the nodes with a disc, so that a crash of all of them ends as if nobody had
// crashed: before a table is loaded, those who know are asked.
//
// A coordinator keeps its decisions until all participants have theirs in their logs. They say so now and then, by
// naming the transactions that are still open.

// metaTx names what is kept on disc about a transaction: "prepared", its operations at a participant, or "decided",
// the participants that may have to ask its coordinator.
func metaTx(kind string, id commitID) term.Term {
	return term.T(term.Atom(kind), term.Int(id.Time), term.Atom(id.Node))
}

func idOfMeta(k term.Tuple) (commitID, bool) {
	if len(k) != 3 {
		return commitID{}, false
	}
	t, ok1 := k[1].(term.Int)
	n, ok2 := k[2].(term.Atom)
	return commitID{Time: uint64(t), Node: kit.NodeName(n)}, ok1 && ok2
}

// onDisc reports whether this node keeps its schema on disc, for the data path.
func (s *Store) onDisc() bool {
	v := s.view.Load()
	if v == nil || s.disk == nil {
		return false
	}
	t := v.tables["schema"]
	return t != nil && t.own == Disc
}

// settleEvery is after how many transactions a participant tells their coordinator that it needs no answers any more;
// forgetAtOnce is how many decisions the coordinator then takes out of its log with one batch.
const (
	settleEvery  = 256
	forgetAtOnce = 64
)

// decision gives what goes into the log with a commit: that it is decided, and that older ones need not be kept.
func (s *Store) decision(pl *plan) []disk.Change {
	if !pl.logged || !s.onDisc() {
		return nil
	}
	p := &s.part
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed[pl.id] = slices.Clone(pl.others)
	changes := make([]disk.Change, 0, 4)
	n := min(len(p.forget), forgetAtOnce)
	for _, id := range p.forget[:n] {
		changes = append(changes, disk.Change{Op: disk.DelMeta, Key: metaTx("decided", id)})
	}
	p.forget = slices.Delete(p.forget, 0, n)
	return append(changes, disk.Change{Op: disk.SetMeta, Key: metaTx("decided", pl.id), Value: nodeList(pl.others)})
}

// settled counts transactions of a coordinator that are over here, and tells it when there are many. What it may
// forget then is on this disc.
func (s *Store) settled(coordinator kit.NodeName) {
	p := &s.part
	p.mu.Lock()
	p.over[coordinator]++
	tell := p.over[coordinator] >= settleEvery
	if tell {
		p.over[coordinator] = 0
	}
	p.mu.Unlock()
	if tell {
		s.tellSettled(coordinator)
	}
}

func (s *Store) tellSettled(n kit.NodeName) {
	if n == s.self || !s.onDisc() {
		return
	}
	w := newFrame(fSettled)
	s.part.mu.Lock()
	open := slices.DeleteFunc(sortedIDs(s.part.voted), func(id commitID) bool { return id.Node != n })
	s.part.mu.Unlock()
	w.num(uint64(len(open)))
	for _, id := range open {
		w.num(id.Time)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running {
		return
	}
	s.go_(func(context.Context) {
		if s.disk.Sync(0) == nil {
			s.peers.Send(n, w.b)
		}
	})
}

// onSettled forgets decisions that a participant does not need any more.
func (s *Store) onSettled(from kit.NodeName, r *reader) {
	open := map[uint64]bool{}
	for range r.count() {
		open[r.num()] = true
	}
	if r.err != nil {
		return
	}
	p := &s.part
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range sortedIDs(p.owed) {
		if open[id.Time] || p.driven[id] != nil {
			continue
		}
		rest := slices.DeleteFunc(p.owed[id], func(n kit.NodeName) bool { return n == from })
		if p.owed[id] = rest; len(rest) == 0 {
			delete(p.owed, id)
			p.forget = append(p.forget, id)
		}
	}
}

// readDoubts takes from the disc what is known of transactions that were on their way when this node crashed or
// stopped. Callers hold mu, or are alone.
func (s *Store) readDoubts() {
	if s.disk == nil {
		return
	}
	p := &s.part
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = nil
	for _, m := range s.disk.AllMeta() {
		k, _ := m.Key.(term.Tuple)
		id, ok := idOfMeta(k)
		if !ok {
			continue
		}
		switch k[0] {
		case term.Term(term.Atom("decided")):
			ns, _ := m.Value.(term.List)
			p.owed[id] = nodesOf(ns)
			p.done[id] = commit.Committed
		case term.Term(term.Atom("ruled")):
			p.kept = append(p.kept, id)
			p.done[id] = commit.Committed
		case term.Term(term.Atom("prepared")):
			pr, ok := prepareOf(m.Value)
			if ok && pr.id == id && p.voted[id] == nil {
				vt := newVoted(s.self, pr)
				vt.logged, vt.found, vt.schema = true, true, nil // a schema is merged when its node joins
				vt.p.Found()
				p.voted[id] = vt
			}
		}
	}
}

// prepareOf reads what the log has of a prepared transaction: what came, and whose copies it left out.
func prepareOf(v term.Term) (*prepared, bool) {
	t, ok := v.(term.Tuple)
	if !ok || len(t) != 2 {
		return nil, false
	}
	body, ok := t[0].(term.Bin)
	if !ok {
		return nil, false
	}
	pr, ok := readPrepare([]byte(body))
	if ok {
		left, _ := t[1].(term.List)
		pr.left = nodesOf(left)
	}
	return pr, ok
}

// lockDoubts locks the records of transactions that were found in the log, in the lock table of a new start.
func (s *Store) lockDoubts() {
	s.part.mu.Lock()
	var reqs []lock.Request
	for _, id := range sortedIDs(s.part.voted) {
		vt := s.part.voted[id]
		for i := range vt.ops {
			o := &vt.ops[i]
			reqs = append(reqs, lock.Request{Tx: vt.tx, Item: lock.Item{Table: o.tab, Key: o.keyTerm()}, Kind: lock.Write})
		}
		s.clock.see(lock.Tx(id))
	}
	s.part.mu.Unlock()
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	for _, r := range reqs {
		s.locks.table.Ask(r) // they had these locks together before
	}
}

// settle asks all who can know about the transactions in doubt and returns when they have answered, or have gone. It is
// called before tables are loaded. What was found in the log stays in doubt, with its locks, while its coordinator is down: that
// has the decision in its own log, and may have gone on without this node (max_wait_for_decision, which is infinity in Mnesia, too).
// One that will never come back is taken out of the schema: see forsake.
func (s *Store) settle(ctx context.Context) {
	if !s.askDoubts(s.peers.Up()...) {
		return
	}
	_ = s.wait(ctx, func() bool { // when ctx ends, nothing is loaded either
		s.part.mu.Lock()
		defer s.part.mu.Unlock()
		for _, vt := range s.part.voted {
			if vt.found && vt.p.Waiting() {
				return false
			}
		}
		return true
	})
}

// askDoubts asks nodes that can be reached now; false when nothing is in doubt.
func (s *Store) askDoubts(up ...kit.NodeName) bool {
	return s.doubts(func(vt *voted) commit.Act {
		if vt.found || vt.p.Alone() {
			return vt.p.Up(up...)
		}
		return commit.Act{}
	})
}

// forsake ends the waiting for nodes that were taken out of the schema, as is done with a machine that will not come back: what
// they had prepared ends as the votes say, and tables that waited for them are loaded. Callers hold mu.
func (s *Store) forsake(gone []kit.NodeName) {
	if len(gone) == 0 || s.phase != running {
		return
	}
	s.go_(func(context.Context) {
		up := s.peers.Up()
		s.doubts(func(vt *voted) commit.Act {
			var act commit.Act
			for _, n := range gone {
				if a := vt.p.Forsake(n, up); !act.Ended {
					act.Ask, act.Ended, act.State = append(act.Ask, a.Ask...), a.Ended, a.State
				}
			}
			return act
		})
		s.noteDoubts()
		s.adoptAll()
	})
}

// tellResolved lets all nodes look after their tables: some may have waited for a transaction that was in doubt here.
func (s *Store) tellResolved() {
	s.mu.Lock()
	others := s.others()
	s.mu.Unlock()
	for _, n := range others {
		s.cast(n, "resolved", term.List{})
	}
	_, _ = serveResolved(s, s.self, nil)
}

// serveResolved takes the news that a node is not in doubt any more about some transaction.
func serveResolved(s *Store, _ kit.NodeName, _ term.Term) (term.Term, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == running {
		s.go_(func(context.Context) { s.adoptAll() })
	}
	return nil, nil
}

// adoptAll looks after tables that nobody has loaded, when one that stood in the way does not any more.
func (s *Store) adoptAll() {
	s.mu.Lock()
	nodes := slices.Sorted(maps.Keys(s.nodes))
	s.mu.Unlock()
	for _, n := range nodes {
		s.adoptOrphans(n)
	}
}

// doubts lets something happen to all transactions that this node has voted for; false when there are none.
func (s *Store) doubts(event func(vt *voted) commit.Act) bool {
	p := &s.part
	p.mu.Lock()
	ids := sortedIDs(p.voted)
	p.mu.Unlock()
	for _, id := range ids {
		p.mu.Lock()
		vt := p.voted[id]
		var act commit.Act
		var st commit.State
		var asked []kit.NodeName
		if vt != nil {
			act = event(vt)
			st = vt.p.State()
			if act.Ended {
				p.rule(id, act.State)
				s.cp.spoil()
			}
			if vt.p.Alone() {
				asked = p.askedBy[id]
				delete(p.askedBy, id)
			}
		}
		p.mu.Unlock()
		if vt == nil {
			continue
		}
		if !act.Ended {
			s.sendOutcome(id, st, asked)
			asked = nil
		}
		if len(act.Ask) > 0 || act.Ended {
			s.conclude(id, vt, act)
		}
		s.sendOutcome(id, act.State, asked)
	}
	return len(ids) > 0
}

// commitPeerDown tells all commits that a node has gone.
func (s *Store) commitPeerDown(n kit.NodeName) {
	up := s.peers.Up()
	s.part.mu.Lock()
	driven := sortedIDs(s.part.driven)
	s.part.mu.Unlock()
	for _, id := range driven {
		s.step(id, func(c *commit.Coordinator) commit.Step { return c.Down(n) })
	}
	if s.doubts(func(vt *voted) commit.Act { return vt.p.Down(n, up) }) {
		s.noteDoubts()
	}
}

// noteDoubts wakes settle.
func (s *Store) noteDoubts() {
	s.mu.Lock()
	s.publish()
	s.mu.Unlock()
}

// onOutcome answers a participant in doubt; it is told later when this node does not know but will.
func (s *Store) onOutcome(from kit.NodeName, r *reader) {
	id, logged := r.commit(), r.flag()
	if r.err != nil {
		return
	}
	p := &s.part
	p.mu.Lock()
	st, known := p.done[id]
	if !known {
		vt := p.voted[id]
		switch {
		case vt == nil && p.driven[id] == nil:
			st = s.unheard(id, logged)
			if id.Node != s.self {
				p.record(id, st) // it cannot be prepared here any more
			}
		case vt != nil && (vt.p.Alone() || vt.found):
			st = vt.p.State()
		default:
			if len(p.askedBy[id]) < maxAskers {
				p.askedBy[id] = append(p.askedBy[id], from)
			}
			p.mu.Unlock()
			return
		}
	}
	p.mu.Unlock()
	s.sendOutcome(id, st, []kit.NodeName{from})
}

// maxAskers bounds those who wait to hear of one transaction: each participant asks once.
const maxAskers = 256

// unheard says what it means that this node knows nothing of a transaction: it has not voted, or decided, yes. But it
// may have lost its memory. Callers hold part.mu.
func (s *Store) unheard(id commitID, logged bool) commit.State {
	switch {
	case slices.Contains(s.part.kept, id):
		return commit.Committed
	case id.Time > s.born && id.Time > s.part.evicted:
		return commit.Aborted
	case id.Node == s.self && logged && s.disk != nil:
		return commit.Aborted // a decision stays in the log until nobody can ask for it; so it has not decided
	}
	return commit.Forgotten
}

func (s *Store) sendOutcome(id commitID, st commit.State, to []kit.NodeName) {
	for _, n := range to {
		s.peers.Send(n, newFrame(fOutcomeIs).commit(id).num(uint64(st)).b)
	}
}

func (s *Store) tellOutcome(id commitID, asked []kit.NodeName) {
	if len(asked) == 0 {
		return
	}
	s.part.mu.Lock()
	st := s.part.done[id]
	s.part.mu.Unlock()
	s.sendOutcome(id, st, asked)
}

// onOutcomeIs takes an answer.
func (s *Store) onOutcomeIs(from kit.NodeName, r *reader) {
	id, st := r.commit(), commit.State(r.num())
	if r.err != nil || st > commit.Presumed {
		return
	}
	p, up := &s.part, s.peers.Up()
	p.mu.Lock()
	vt := p.voted[id]
	var act commit.Act
	if vt != nil {
		if act = vt.p.Outcome(from, st, up); act.Ended && st != act.State && !vt.p.Presumed() {
			p.rule(id, act.State)
		}
		vt.told = vt.told || from == id.Node && act.Ended && act.State == commit.Committed
	}
	p.mu.Unlock()
	if vt != nil {
		if act.Ended {
			s.cp.spoil()
		}
		s.conclude(id, vt, act)
		s.noteDoubts()
	}
}

// rule remembers a decision that was made without its coordinator, to compare with it when it is back. Callers hold mu.
func (p *participants) rule(id commitID, st commit.State) {
	if len(p.ruled) < maxRuled {
		p.ruled[id] = st
	}
}

// keepRuling gives what goes into the log with a commit that was not the coordinator's: another participant that was down
// may ask for it when both have been restarted. The oldest of very many are forgotten.
func (p *participants) keepRuling(id commitID) []disk.Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, id)
	changes := []disk.Change{{Op: disk.SetMeta, Key: metaTx("ruled", id), Value: term.Atom("committed")}}
	if len(p.kept) > maxRuled {
		changes = append(changes, disk.Change{Op: disk.DelMeta, Key: metaTx("ruled", p.kept[0])})
		p.kept = slices.Delete(p.kept, 0, 1)
	}
	return changes
}

// maxRuled bounds the decisions that wait for their coordinator to come back, and those that are kept.
const maxRuled = 4096

// compare tells a node that has come back what was decided about its transactions without it.
func (s *Store) compare(n kit.NodeName) {
	s.part.mu.Lock()
	var frames [][]byte
	for _, id := range sortedIDs(s.part.ruled) {
		if id.Node == n {
			frames = append(frames, newFrame(fRuled).commit(id).num(uint64(s.part.ruled[id])).b)
			delete(s.part.ruled, id)
		}
	}
	s.part.mu.Unlock()
	for _, f := range frames {
		s.peers.Send(n, f)
	}
}

// onRuled compares another node's decision with the own one. Two that differ are an inconsistent database, bad_decision,
// on both sides (mnesia_recover:decision/3).
func (s *Store) onRuled(from kit.NodeName, r *reader) {
	id, st := r.commit(), commit.State(r.num())
	if r.err != nil {
		return
	}
	s.part.mu.Lock()
	mine, known := s.part.done[id]
	s.part.mu.Unlock()
	if !known || mine == st {
		return
	}
	s.hub.system(Event{Kind: "inconsistent_database", Context: "bad_decision", Node: from})
	if id.Node == s.self {
		s.peers.Send(from, newFrame(fRuled).commit(id).num(uint64(mine)).b)
	}
}

// dropDoubts forgets what transactions in doubt would do to a table that was copied from a node that knows better.
func (s *Store) dropDoubts(table string) {
	p := &s.part
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, vt := range p.voted {
		if vt.found {
			vt.ops = slices.DeleteFunc(slices.Clone(vt.ops), func(o op) bool { return o.tab == table })
		}
	}
}

// promised reports whether this node has said yes to a transaction and does not know its end: then only the decision
// releases its locks. A coordinator that saw the link break lets go of what it takes for forgotten, and may be heard
// again before the outcome is known here.
func (s *Store) promised(tx lock.Tx) bool {
	s.part.mu.Lock()
	defer s.part.mu.Unlock()
	for _, vt := range s.part.voted {
		if vt.tx == tx {
			return true
		}
	}
	return false
}

// doubtful lists the tables that a transaction changes which was found in the log.
func (s *Store) doubtful() []string {
	s.part.mu.Lock()
	defer s.part.mu.Unlock()
	var tabs []string
	for _, vt := range s.part.voted {
		for i := range vt.ops {
			if vt.found && !slices.Contains(tabs, vt.ops[i].tab) {
				tabs = append(tabs, vt.ops[i].tab)
			}
		}
	}
	slices.Sort(tabs)
	return tabs
}

// inDoubt gives the transactions that this node has voted for without knowing their end.
func (s *Store) inDoubt() map[lock.Tx]bool {
	s.part.mu.Lock()
	defer s.part.mu.Unlock()
	m := make(map[lock.Tx]bool, len(s.part.voted))
	for _, vt := range s.part.voted {
		m[vt.tx] = true
	}
	return m
}

// commitID makes a name for an attempt to commit.
func (s *Store) commitID() commitID { return commitID(s.clock.next()) }

func sortedIDs[V any](m map[commitID]V) []commitID {
	ids := make([]commitID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b commitID) int { return lock.Tx(a).Compare(lock.Tx(b)) })
	return ids
}
