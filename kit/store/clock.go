package store

import (
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/store/lock"
)

// clock gives transactions their age. It follows real time and never lags behind a time seen from another
// node, so that whoever began earlier is older also between nodes that have not spoken since, as far as their
// clocks agree (a hybrid logical clock).
type clock struct {
	node   kit.NodeName
	opened time.Time // real time goes on from here; asking how long ago it was costs half of asking for the time
	last   atomic.Uint64
}

func (c *clock) open(n kit.NodeName) { c.node, c.opened = n, time.Now() }

func (c *clock) next() lock.Tx {
	now := uint64(c.opened.UnixNano() + int64(time.Since(c.opened)))
	for {
		last := c.last.Load()
		t := max(last+1, now)
		if c.last.CompareAndSwap(last, t) {
			return lock.Tx{Time: t, Node: c.node}
		}
	}
}

// tick is next without a look at real time, for a node that nobody else's transactions meet.
func (c *clock) tick() lock.Tx { return lock.Tx{Time: c.last.Add(1), Node: c.node} }

// txTime gives a transaction its name and age.
func (s *Store) txTime() lock.Tx {
	if v := s.view.Load(); v != nil && len(v.nodes) == 1 && v.nodes[0] == s.self {
		return s.clock.tick()
	}
	return s.clock.next()
}

// see takes note of a time from another node. One far ahead of real time would age all later ones; a hostile
// peer cannot do worse than that.
func (c *clock) see(t lock.Tx) {
	for {
		last := c.last.Load()
		if t.Time <= last || c.last.CompareAndSwap(last, t.Time) {
			return
		}
	}
}
