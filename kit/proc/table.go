package proc

import (
	"slices"
	"sync"
	"sync/atomic"
)

// table holds the processes of a node that live, by number. Only the core changes it; anybody may look.
type table struct {
	mu    sync.RWMutex
	chain []*process // by the number's last bits; those of one chain follow each other by next
	count atomic.Int64
}

// minChains is the least number of chains; their number is a power of two.
const minChains = 64

func newTable() *table { return &table{chain: make([]*process, minChains)} }

func (t *table) at(id uint64) **process { return &t.chain[id&uint64(len(t.chain)-1)] }

// find is get for the core.
func (t *table) find(id uint64) *process {
	p := *t.at(id)
	for p != nil && p.pid.ID != id {
		p = p.next
	}
	return p
}

func (t *table) get(id uint64) *process {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.find(id)
}

// len may be asked by anybody.
func (t *table) len() int { return int(t.count.Load()) }

func (t *table) put(p *process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.count.Add(1); int(n) > len(t.chain) {
		t.resize(2 * len(t.chain))
	}
	at := t.at(p.pid.ID)
	p.next, *at = *at, p
}

func (t *table) remove(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for at := t.at(id); *at != nil; at = &(*at).next {
		if p := *at; p.pid.ID == id {
			*at, p.next = p.next, nil
			if n := t.count.Add(-1); len(t.chain) > minChains && int(n) < len(t.chain)/8 {
				t.resize(len(t.chain) / 2)
			}
			return
		}
	}
}

func (t *table) resize(n int) {
	old := t.chain
	t.chain = make([]*process, n)
	for _, p := range old {
		for p != nil {
			next, at := p.next, t.at(p.pid.ID)
			p.next, *at = *at, p
			p = next
		}
	}
}

// all lists the processes, the oldest first; for the core.
func (t *table) all() []*process {
	list := make([]*process, 0, t.len())
	for _, p := range t.chain {
		for ; p != nil; p = p.next {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *process) int { return comparePids(a.pid, b.pid) })
	return list
}
