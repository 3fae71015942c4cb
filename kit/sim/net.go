package sim

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/simlink"
	"netsplit/kit/wire"
)

// How faults of a link act on time; the same figures as the TCP form of kit/wire uses.
const (
	retransmit     = 200 * time.Millisecond // what one lost segment costs a stream
	maxRetransmits = 5
	reorderBy      = 20 * time.Millisecond // how long a reordered packet is held back at most
)

// Limits of one node. What is on its way counts with its bytes and itemCost for what the world keeps of it, so that
// a flood of empty frames ends as one of full ones does.
const (
	maxQueue  = wire.MaxQueue // bytes sent and not arrived
	itemCost  = 512
	maxConns  = 4096
	maxInbox  = 128 << 20 // bytes arrived and not read
	maxCookie = 1 << 10
)

// link is one direction between two nodes: its rule, its chance, its receipts.
type link struct {
	from, to *node
	rule     wire.Rule
	dice     dice
	lanes    []*lane // of connections that live, in order of opening
	counts   wire.Counts
	packets  int // on their way
}

// conn is a connection: a lane each way. The dialler's is the first.
type conn struct {
	id    uint64
	lanes [2]*lane
}

// lane is one direction of one connection, ordered as TCP is.
type lane struct {
	link    *link
	conn    *conn
	back    *lane  // the other direction
	fromID  uint64 // the connection's ID as the sender knows it
	toID    uint64 // as the receiver knows it; 0 before it has accepted
	queue   []item // waiting: for a heal, or for room in the window
	flight  []item // on their way, in order of arrival
	epoch   int    // arrivals of an earlier epoch are void
	stalled bool   // an item arrived at a cut; the flight waits for the heal
	last    time.Duration
	unread  int  // data bytes launched and not yet reported as taken
	bytes   int  // data bytes in queue and flight
	open    bool // the receiver knows that the connection is made
	dead    bool // the receiver is gone: nothing arrives any more
}

// item is what travels on a lane.
type item struct {
	kind simlink.Kind // Dial, Opened, Refused, Data, Close
	id   uint64       // of a frame, for the log
	note string       // Dial: the cookie; Refused: "cookie", "down" or "cut"
	data []byte
	held bool // counted as held
}

func (it item) cost() int { return itemCost + len(it.data) }

// link gives the direction between two nodes.
func (w *World) link(from, to *node) *link {
	key := [2]kit.NodeName{from.name, to.name}
	l := w.links[key]
	if l == nil {
		l = &link{from: from, to: to, dice: newDice(w.cfg.Seed, "link", string(from.name), string(to.name))}
		l.counts.Peer = to.name
		w.links[key] = l
	}
	return l
}

// dial begins a connection that a node asks for.
func (w *World) dial(n *node, f simlink.Frame) uint32 {
	if f.ID <= n.lastDial || f.ID >= simlink.HostConn {
		return n.forged("dial %d after dial %d", f.ID, n.lastDial)
	}
	switch {
	case len(f.Data) > maxCookie:
		return n.forged("a cookie of %d bytes", len(f.Data))
	case len(n.lanes) >= maxConns || n.queued > maxQueue:
		return errnoNobufs
	}
	n.lastDial = f.ID
	w.lastConn++
	to := w.nodes[kit.NodeName(f.Name)]
	w.note(Event{What: Dial, Node: n.name, Peer: kit.NodeName(clean(f.Name)), ID: w.lastConn}, f.Data)
	if to == nil {
		n.put(simlink.Frame{Kind: simlink.Refused, ID: f.ID, Name: "down", Data: []byte("no such node")})
		return errnoOK
	}
	c := &conn{id: w.lastConn}
	out := &lane{link: w.link(n, to), conn: c, fromID: f.ID}
	back := &lane{link: w.link(to, n), conn: c, toID: f.ID, back: out}
	out.back = back
	c.lanes = [2]*lane{out, back}
	n.lanes[f.ID] = out
	out.link.lanes = append(out.link.lanes, out)
	back.link.lanes = append(back.link.lanes, back)
	if out.link.rule.Cut == wire.Loud || back.link.rule.Cut == wire.Loud {
		out.link.counts.Refused++
		w.refuse(out, "cut", "the link is cut")
		return errnoOK
	}
	if out.link.rule.Cut == wire.Silent {
		out.link.counts.Refused++
	}
	w.push(out, item{kind: simlink.Dial, note: string(f.Data)})
	return errnoOK
}

// refuse tells the dialler of a lane that its dial has failed, whatever the rules are.
func (w *World) refuse(out *lane, name, text string) {
	back := out.back
	w.discard(out)
	w.discard(back)
	at := w.clock() + w.latency(back.link)
	w.at(at, back.link.to, func() {
		if n := back.link.to; n.lanes[back.toID] == out {
			delete(n.lanes, back.toID)
			w.note(Event{What: Refused, Node: n.name, Peer: out.link.to.name, ID: out.conn.id, Note: name}, nil)
			n.put(simlink.Frame{Kind: simlink.Refused, ID: back.toID, Name: name, Data: []byte(text)})
		}
	})
}

// discard ends a lane: what is on it is lost.
func (w *World) discard(l *lane) {
	for _, it := range slices.Concat(l.flight, l.queue) {
		if it.kind == simlink.Data {
			w.dropped(l, it)
		}
	}
	w.unqueue(l, l.bytes)
	l.queue, l.flight, l.dead = nil, nil, true
	l.epoch++
	l.link.lanes = slices.DeleteFunc(l.link.lanes, func(other *lane) bool { return other == l })
}

func (w *World) dropped(l *lane, it item) {
	if l.link.rule.Cut != wire.Whole {
		l.link.counts.Dropped++
	}
	w.note(Event{What: Drop, Node: l.link.from.name, Peer: l.link.to.name, ID: it.id, Size: len(it.data)}, nil)
}

// unqueue takes bytes off what a lane and its sender have waiting.
func (w *World) unqueue(l *lane, bytes int) {
	l.bytes -= bytes
	l.link.from.queued -= bytes
}

// transmit takes a frame of a node's connection.
func (w *World) transmit(n *node, f simlink.Frame) uint32 {
	l, errno := n.lane(f)
	if l == nil {
		return errno
	}
	switch {
	case len(f.Data) > wire.MaxFrame:
		return n.forged("a frame of %d bytes", len(f.Data))
	case n.queued+len(f.Data) > maxQueue:
		return errnoNobufs
	}
	w.lastFrame++
	it := item{kind: simlink.Data, id: w.lastFrame, data: f.Data}
	w.note(Event{What: Send, Node: n.name, Peer: l.link.to.name, ID: it.id, Size: len(f.Data)}, f.Data)
	if f.Kind == simlink.Packet {
		w.pushPacket(l, it)
		return errnoOK
	}
	w.push(l, it)
	return errnoOK
}

// lane finds the connection that a node's frame is for. An ID that never was is a forgery; one that has ended
// meanwhile is an honest mistake.
func (n *node) lane(f simlink.Frame) (*lane, uint32) {
	if l := n.lanes[f.ID]; l != nil {
		return l, errnoOK
	}
	if f.ID == 0 || f.ID > n.lastDial && f.ID < simlink.HostConn || f.ID > n.lastAccept {
		return nil, n.forged("%v for connection %d, which never was", f.Kind, f.ID)
	}
	return nil, errnoPipe
}

// hangUp takes a node's close.
func (w *World) hangUp(n *node, f simlink.Frame) uint32 {
	l, errno := n.lane(f)
	if l == nil {
		return errno
	}
	delete(n.lanes, f.ID)
	w.discard(l.back)
	w.push(l, item{kind: simlink.Close})
	return errnoOK
}

// taken takes a node's report that it has consumed data.
func (w *World) taken(n *node, f simlink.Frame) uint32 {
	l, errno := n.lane(f)
	if l == nil {
		return errno
	}
	if len(f.Data) != 8 {
		return n.forged("a report of %d bytes", len(f.Data))
	}
	size := binary.LittleEndian.Uint64(f.Data)
	if size > uint64(l.back.unread) {
		return n.forged("%d bytes taken of %d", size, l.back.unread)
	}
	l.back.unread -= int(size)
	w.flush(l.back)
	return errnoOK
}

// push puts an item at the end of a lane.
func (w *World) push(l *lane, it item) {
	if l.dead {
		if it.kind == simlink.Data {
			w.dropped(l, it)
		}
		return
	}
	w.unqueue(l, -it.cost())
	l.queue = append(l.queue, it)
	w.flush(l)
}

// flush launches what may go.
func (w *World) flush(l *lane) {
	for len(l.queue) > 0 {
		it := &l.queue[0]
		if l.link.rule.Cut == wire.Silent || l.stalled {
			w.holdAll(l, l.queue)
			return
		}
		if it.kind == simlink.Data {
			if l.unread >= simlink.Window {
				return
			}
			l.unread += len(it.data)
		}
		due := w.due(l.link)
		l.last = max(l.last, due)
		l.flight = append(l.flight, *it)
		l.queue = l.queue[1:]
		epoch := l.epoch
		w.at(l.last, l.link.to, func() {
			if l.epoch == epoch {
				w.arrive(l)
			}
		})
	}
}

// due draws when something sent now gets through.
func (w *World) due(l *link) time.Duration {
	r := l.rule
	due := w.clock() + w.latency(l) + r.Delay + l.dice.upTo(r.Jitter)
	late := r.Delay > 0 || r.Jitter > 0
	for range maxRetransmits {
		if !l.dice.chance(r.Loss) {
			break
		}
		due += retransmit
		late = true
	}
	if late {
		l.counts.Delayed++
	}
	return due
}

func (w *World) latency(l *link) time.Duration {
	return l.dice.between(w.cfg.Latency.Min, w.cfg.Latency.Max)
}

// holdAll counts items that a cut holds, once each.
func (w *World) holdAll(l *lane, items []item) {
	for i := range items {
		if it := &items[i]; !it.held {
			it.held = true
			if it.kind == simlink.Data {
				l.link.counts.Held++
				w.note(Event{What: Hold, Node: l.link.from.name, Peer: l.link.to.name, ID: it.id, Size: len(it.data)}, nil)
			}
		}
	}
}

// arrive brings the first item in flight to its receiver, unless it meets a cut.
func (w *World) arrive(l *lane) {
	if l.link.rule.Cut == wire.Silent {
		l.stalled = true
	}
	if l.stalled {
		w.holdAll(l, l.flight)
		return
	}
	it := l.flight[0]
	l.flight = l.flight[1:]
	w.unqueue(l, it.cost())
	n := l.link.to
	switch it.kind {
	case simlink.Dial:
		w.welcome(l, it)
	case simlink.Opened:
		w.note(Event{What: Opened, Node: n.name, Peer: l.link.from.name, ID: l.conn.id}, nil)
		l.open = true
		n.put(simlink.Frame{Kind: simlink.Opened, ID: l.toID})
	case simlink.Data:
		w.note(Event{What: Receive, Node: n.name, Peer: l.link.from.name, ID: it.id, Size: len(it.data)}, nil)
		n.put(simlink.Frame{Kind: simlink.Data, ID: l.toID, Data: it.data})
	case simlink.Refused, simlink.Close:
		w.discard(l)
		w.discard(l.back)
		delete(n.lanes, l.toID)
		if it.kind == simlink.Refused {
			w.note(Event{What: Refused, Node: n.name, Peer: l.link.from.name, ID: l.conn.id, Note: it.note}, nil)
			n.put(simlink.Frame{Kind: simlink.Refused, ID: l.toID, Name: it.note, Data: it.data})
			return
		}
		if l.toID != 0 {
			w.note(Event{What: Closed, Node: n.name, Peer: l.link.from.name, ID: l.conn.id}, nil)
			n.put(simlink.Frame{Kind: simlink.Close, ID: l.toID})
		}
	}
}

// welcome is the handshake, at the node that was dialled. The host does it, so that no node can lie about its name.
func (w *World) welcome(l *lane, it item) {
	n := l.link.to
	refusal := func(name, text string) {
		w.discard(l)
		w.push(l.back, item{kind: simlink.Refused, note: name, data: []byte(text)})
	}
	switch {
	case n.g == nil || !n.listening:
		refusal("down", "nobody listens there")
	case n.cookie != it.note:
		refusal("cookie", "the cookies differ")
	case len(n.lanes) >= maxConns:
		refusal("down", "it has too many connections")
	default:
		n.lastAccept++
		l.toID, l.back.fromID = n.lastAccept, n.lastAccept
		n.lanes[l.toID] = l.back
		l.open = true
		n.put(simlink.Frame{Kind: simlink.Accept, ID: l.toID, Name: string(l.link.from.name)})
		w.push(l.back, item{kind: simlink.Opened})
	}
}

// pushPacket sends a frame that may be lost, doubled or overtaken.
func (w *World) pushPacket(l *lane, it item) {
	r := l.link.rule
	if l.dead || r.Cut != wire.Whole || l.link.dice.chance(r.Loss) {
		l.link.counts.Lost++
		w.note(Event{What: Drop, Node: l.link.from.name, Peer: l.link.to.name, ID: it.id, Size: len(it.data)}, nil)
		return
	}
	copies := 1
	if l.link.dice.chance(r.Duplicate) {
		copies = 2
		l.link.counts.Duplicated++
		w.note(Event{What: Double, Node: l.link.from.name, Peer: l.link.to.name, ID: it.id}, nil)
	}
	for range copies {
		due := max(w.clock()+w.latency(l.link)+r.Delay+l.link.dice.upTo(r.Jitter), l.last)
		if l.link.dice.chance(r.Reorder) {
			due += l.link.dice.between(time.Millisecond, reorderBy)
			l.link.counts.Reordered++
		} else {
			l.last = due
		}
		w.unqueue(l, -it.cost())
		l.link.packets++
		w.at(due, l.link.to, func() { w.arrivePacket(l, it) })
	}
}

func (w *World) arrivePacket(l *lane, it item) {
	l.link.packets--
	if l.dead {
		return // its bytes were taken off when the lane ended
	}
	w.unqueue(l, it.cost())
	if l.link.rule.Cut != wire.Whole || l.toID == 0 {
		l.link.counts.Lost++
		w.note(Event{What: Drop, Node: l.link.from.name, Peer: l.link.to.name, ID: it.id, Size: len(it.data)}, nil)
		return
	}
	w.note(Event{What: Receive, Node: l.link.to.name, Peer: l.link.from.name, ID: it.id, Size: len(it.data)}, nil)
	l.link.to.put(simlink.Frame{Kind: simlink.Packet, ID: l.toID, Data: it.data})
}

// setRule changes a direction's rule, with all that follows from it.
func (w *World) setRule(l *link, r wire.Rule) {
	l.rule = r
	w.note(Event{What: Rule, Node: l.from.name, Peer: l.to.name, Note: ruleText(r)}, nil)
	switch r.Cut {
	case wire.Loud:
		w.sever(l)
	case wire.Whole:
		for _, lane := range slices.Clone(l.lanes) {
			if lane.stalled {
				lane.stalled = false
				lane.epoch++
				for _, it := range lane.flight {
					if it.kind == simlink.Data {
						lane.unread -= len(it.data)
					}
				}
				lane.queue = append(lane.flight, lane.queue...)
				lane.flight = nil
			}
			w.flush(lane)
		}
	}
}

func ruleText(r wire.Rule) string {
	if r == (wire.Rule{}) {
		return "whole"
	}
	return fmt.Sprintf("cut %q delay %v jitter %v loss %v duplicate %v reorder %v", r.Cut, r.Delay, r.Jitter, r.Loss, r.Duplicate, r.Reorder)
}

// sever closes every connection between the ends of a link, and tells both ends at once.
func (w *World) sever(l *link) {
	for _, out := range slices.Clone(l.lanes) {
		l.counts.Refused++
		for _, end := range []*lane{out, out.back} { // end: towards the node that is told
			n, id := end.link.to, end.toID
			w.discard(end)
			at := w.clock() + w.latency(end.link)
			w.at(at, n, func() {
				if id == 0 || n.lanes[id] != end.back {
					return
				}
				delete(n.lanes, id)
				w.note(Event{What: Closed, Node: n.name, Peer: end.link.from.name, ID: end.conn.id, Note: "cut"}, nil)
				if !end.open {
					n.put(simlink.Frame{Kind: simlink.Refused, ID: id, Name: "cut", Data: []byte("the link is cut")})
					return
				}
				n.put(simlink.Frame{Kind: simlink.Close, ID: id})
			})
		}
	}
}

// disconnect ends a dead node's connections: what it had not sent yet is lost, and its peers learn of the close as the
// links let them.
func (w *World) disconnect(n *node) {
	for _, id := range slices.Sorted(maps.Keys(n.lanes)) {
		l := n.lanes[id]
		delete(n.lanes, id)
		w.discard(l.back)
		for _, it := range l.queue {
			if it.kind == simlink.Data {
				w.unqueue(l, it.cost())
				w.dropped(l, it)
			}
		}
		l.queue = slices.DeleteFunc(l.queue, func(it item) bool { return it.kind == simlink.Data })
		w.push(l, item{kind: simlink.Close})
	}
}
