package sim

import (
	"maps"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/simlink"
	"netsplit/kit/wire"
	"netsplit/kit/world"
)

// Picture is how everything in a world stands at one moment.
type Picture struct {
	At    time.Duration
	Seq   uint64 // of the latest entry of the log
	Nodes []NodePicture
	Links []LinkPicture // those with a rule, or with something on its way
}

// NodePicture is how one node stands.
type NodePicture struct {
	NodeInfo
	Clock    time.Duration // how far its wall clock is off
	Pace     int           // how many times slower than its own it computes
	Busy     time.Duration // until when it computes; not after Picture.At when it is idle
	Timer    time.Duration // its next timer; negative when it has none
	Waiting  int           // frames, requests and timers that wait for the end of its pause
	Unread   int           // bytes that it has been given and has not read
	Conns    int           // its connections, made or being made
	Disk     DiskPicture
	Requests []RequestPicture // asked of it and not answered, by ID
	Damage   world.Damage
}

// DiskPicture is how a disc stands.
type DiskPicture struct {
	Rule     DiskFault
	Bytes    int // as the node sees it
	Files    []FilePicture
	Unsynced int // changes that are not durable yet
	Syncs    int // asked for and not done
}

// FilePicture is one file of a disc: its bytes as the node sees it, and those that are durable; -1 when there is no such
// file, because it was removed, or is new.
type FilePicture struct {
	Name    string
	Size    int
	Durable int
}

// RequestPicture is a client's request that has not been answered.
type RequestPicture struct {
	ID     uint64
	Client string
	Verb   string
	Asked  time.Duration
	There  bool // it has reached the node
}

// LinkPicture is one direction between two nodes.
type LinkPicture struct {
	From, To kit.NodeName
	Rule     wire.Rule
	Flight   int      // frames on their way
	Queued   int      // frames that wait: for a heal, or for the receiver to read
	Bytes    int      // of all these
	Frames   []uint64 // the numbers of the first of them, in order; at most maxFrames
	Packets  int      // gossip packets on their way
	Counts   wire.Counts
}

const maxFrames = 20

// Picture takes down how everything stands. It changes nothing.
func (w *World) Picture() Picture {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := Picture{At: w.now, Seq: w.log.seq}
	for _, name := range w.cfg.Nodes {
		p.Nodes = append(p.Nodes, w.nodePicture(w.nodes[name]))
	}
	for _, from := range w.cfg.Nodes {
		for _, to := range w.cfg.Nodes {
			l := w.links[[2]kit.NodeName{from, to}]
			if l == nil {
				continue
			}
			if lp := l.picture(); lp.Rule != (wire.Rule{}) || lp.Flight+lp.Queued+lp.Packets > 0 {
				p.Links = append(p.Links, lp)
			}
		}
	}
	return p
}

func (w *World) nodePicture(n *node) NodePicture {
	p := NodePicture{NodeInfo: n.info(), Clock: n.skew, Pace: int(n.pace), Busy: n.busy, Timer: n.timer, Waiting: len(n.deferred), Damage: n.hurt()}
	if n.timer == never {
		p.Timer = -1
	}
	p.Disk = n.disk.picture()
	if n.g != nil {
		p.Unread, p.Conns, p.Disk.Syncs = len(n.g.inbox), len(n.lanes), n.syncs
	}
	for _, id := range slices.Sorted(maps.Keys(w.calls)) {
		if c := w.calls[id]; c.node == n && !c.done {
			p.Requests = append(p.Requests, RequestPicture{ID: id, Client: c.client, Verb: c.verb, Asked: c.asked, There: c.there})
		}
	}
	return p
}

func (d *disk) picture() DiskPicture {
	p := DiskPicture{Rule: d.fault, Bytes: d.bytes, Unsynced: len(d.pending)}
	names := map[string]bool{}
	for name := range d.sizes {
		names[name] = true
	}
	for name := range d.durable {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := FilePicture{Name: clean(name), Size: -1, Durable: -1}
		if size, ok := d.sizes[name]; ok {
			f.Size = size
		}
		if data, ok := d.durable[name]; ok {
			f.Durable = len(data)
		}
		p.Files = append(p.Files, f)
	}
	return p
}

func (l *link) picture() LinkPicture {
	p := LinkPicture{From: l.from.name, To: l.to.name, Rule: l.rule, Packets: l.packets, Counts: l.counts}
	for _, lane := range l.lanes {
		for i, it := range slices.Concat(lane.flight, lane.queue) {
			if it.kind != simlink.Data {
				continue
			}
			if i < len(lane.flight) && !lane.stalled {
				p.Flight++
			} else {
				p.Queued++
			}
			p.Bytes += len(it.data)
			p.Frames = append(p.Frames, it.id)
		}
	}
	slices.Sort(p.Frames)
	p.Frames = p.Frames[:min(len(p.Frames), maxFrames)]
	return p
}
