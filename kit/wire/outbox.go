package wire

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// closeTime is how long a closed connection tries to deliver what was sent before.
	closeTime = time.Second
	// stopTime is how long a closed network gives all its connections for that.
	stopTime = 200 * time.Millisecond
	// retransmit is what one lost segment costs a stream: the smallest retransmission timeout of Linux's TCP.
	retransmit = 200 * time.Millisecond
	// maxRetransmits bounds the losses of one frame, so that Loss 1 is a very slow stream and not an endless loop.
	maxRetransmits = 5
	// reorderBy is how long a reordered packet is held back at most.
	reorderBy = 20 * time.Millisecond
)

// outbox is one direction of one connection: what was sent and may not be delivered yet, under the rule of its
// link. It is a plain value that is told the time; whoever owns it locks it and moves what it releases.
type outbox struct {
	link    *link
	rng     *rand.Rand
	latency time.Duration // of the healthy link
	stream  []item        // in order of sending
	packets []item        // in order of due
	bytes   int           // of all frames in both
	held    int           // the first held items of stream are counted as held
}

type item struct {
	frame []byte
	least time.Time // when a healthy link delivers it
	due   time.Time // when it gets through as things were when it was sent
	fin   bool
}

func (o *outbox) empty() bool { return len(o.stream) == 0 && len(o.packets) == 0 }

// push queues a frame of the stream.
func (o *outbox) push(frame []byte, now time.Time) {
	o.stream = append(o.stream, o.item(now, frame, false))
	o.bytes += len(frame)
	o.countHeld()
}

// pushFin queues the close of the stream behind its frames.
func (o *outbox) pushFin(now time.Time) {
	o.stream = append(o.stream, o.item(now, nil, true))
}

// item draws when something of the stream gets through, if what was sent before it is through by then.
func (o *outbox) item(now time.Time, frame []byte, fin bool) item {
	it := item{frame: frame, fin: fin, least: o.least(now)}
	it.due = it.least
	if r := o.link.rule.Load(); r != nil {
		it.due = it.due.Add(r.Delay + o.upTo(r.Jitter))
		for range maxRetransmits {
			if r.Loss <= 0 || o.rng.Float64() >= r.Loss {
				break
			}
			it.due = it.due.Add(retransmit)
		}
		if it.due.After(it.least) {
			o.link.delayed.Add(1)
		}
	}
	return it
}

// least draws when the healthy link delivers what is sent now: after its latency, or up to a half more.
func (o *outbox) least(now time.Time) time.Time {
	if o.latency == 0 {
		return now
	}
	return now.Add(o.latency + o.upTo(o.latency/2))
}

// pushPacket queues a frame that the rule may lose, double or hold back.
func (o *outbox) pushPacket(frame []byte, now time.Time) {
	r := o.link.now()
	if r.Cut != Whole || r.Loss > 0 && o.rng.Float64() < r.Loss {
		o.link.lost.Add(1)
		return
	}
	copies := 1
	if r.Duplicate > 0 && o.rng.Float64() < r.Duplicate {
		o.link.duplicated.Add(1)
		copies = 2
	}
	for range copies {
		least := o.least(now)
		due := least.Add(r.Delay + o.upTo(r.Jitter))
		if due.After(least) {
			o.link.delayed.Add(1)
		}
		if r.Reorder > 0 && o.rng.Float64() < r.Reorder {
			o.link.reordered.Add(1)
			due = due.Add(time.Millisecond + o.upTo(reorderBy))
		}
		at, _ := slices.BinarySearchFunc(o.packets, due, func(i item, t time.Time) int {
			if i.due.After(t) {
				return 1
			}
			return -1 // of two packets due at once the earlier sent goes first
		})
		o.packets = slices.Insert(o.packets, at, item{frame: frame, least: least, due: due})
		o.bytes += len(frame)
	}
}

func (o *outbox) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(o.rng.Int64N(int64(d) + 1))
}

// pop releases the next item that gets through now. After a heal what waited goes at once.
func (o *outbox) pop(now time.Time) (it item, ok bool) {
	r := o.link.rule.Load()
	ready := func(i item) bool { return !i.when(r).After(now) }
	for len(o.packets) > 0 && ready(o.packets[0]) {
		it = o.packets[0]
		o.packets = shift(o.packets)
		o.bytes -= len(it.frame)
		if r != nil && r.Cut != Whole {
			o.link.lost.Add(1)
			continue
		}
		return it, true
	}
	if r != nil && r.Cut != Whole {
		o.countHeld()
		return item{}, false
	}
	if len(o.stream) == 0 || !ready(o.stream[0]) {
		return item{}, false
	}
	it = o.stream[0]
	o.stream = shift(o.stream)
	o.bytes -= len(it.frame)
	o.held = max(o.held-1, 0)
	return it, true
}

// when says when an item gets through under a rule.
func (i item) when(r *Rule) time.Time {
	if r == nil {
		return i.least
	}
	return i.due
}

// shift drops the first item, and the array behind an emptied queue, so that nothing sent stays referenced.
func shift(q []item) []item {
	q[0] = item{}
	if len(q) == 1 {
		return nil
	}
	return q[1:]
}

// wait says how long until pop may release something; ok is false when only a new item or another rule can change
// anything.
func (o *outbox) wait(now time.Time) (d time.Duration, ok bool) {
	r := o.link.rule.Load()
	cut := r != nil && r.Cut != Whole
	if len(o.stream) > 0 && !cut {
		d, ok = o.stream[0].when(r).Sub(now), true
	}
	if len(o.packets) > 0 {
		if p := o.packets[0].when(r).Sub(now); !ok || p < d {
			d, ok = p, true
		}
	}
	return max(d, 0), ok
}

// countHeld counts the frames that a silent cut holds, each once.
func (o *outbox) countHeld() {
	if o.link.now().Cut != Silent {
		return
	}
	for ; o.held < len(o.stream); o.held++ {
		if !o.stream[o.held].fin {
			o.link.held.Add(1)
		}
	}
}

// drop forgets everything queued, because the connection is gone; under a cut that is the cut's doing.
func (o *outbox) drop() {
	if o.link.now().Cut != Whole {
		for _, it := range o.stream {
			if !it.fin {
				o.link.dropped.Add(1)
			}
		}
		o.link.lost.Add(uint64(len(o.packets)))
	}
	o.stream, o.packets, o.bytes, o.held = nil, nil, 0, 0
}
