package proc

import (
	"slices"
	"sync/atomic"
)

// table holds the processes of a node that live, by number. Only the core changes it; get and len may be called by anybody
// meanwhile.
type table struct {
	chains atomic.Pointer[[]chain] // a process is in the one that its number's last bits say
	count  atomic.Int64
}

// chain is a list of processes, by next.
type chain = atomic.Pointer[process]

const (
	minChains = 64 // their number is a power of two
	maxSteps  = 64 // of a look without the core's lock
)

func newTable() *table {
	t := &table{}
	t.chains.Store(&[]chain{})
	t.resize(minChains)
	return t
}

func chainOf(all []chain, id uint64) *chain { return &all[id&uint64(len(all)-1)] }

// find is for the core.
func (t *table) find(id uint64) *process {
	p := chainOf(*t.chains.Load(), id).Load()
	for p != nil && p.pid.ID != id {
		p = p.next.Load()
	}
	return p
}

// get may miss a process that lives, when the core changes the table meanwhile; what it finds may just have ended.
func (t *table) get(id uint64) *process {
	p := chainOf(*t.chains.Load(), id).Load()
	for range maxSteps {
		if p == nil || p.pid.ID == id {
			return p
		}
		p = p.next.Load()
	}
	return nil
}

func (t *table) len() int { return int(t.count.Load()) }

func (t *table) put(p *process) {
	all := *t.chains.Load()
	if n := t.count.Add(1); int(n) > len(all) {
		all = t.resize(2 * len(all))
	}
	push(all, p)
}

func push(all []chain, p *process) {
	c := chainOf(all, p.pid.ID)
	p.next.Store(c.Load())
	c.Store(p)
}

// remove takes out a process that is there.
func (t *table) remove(p *process) {
	all := *t.chains.Load()
	at := chainOf(all, p.pid.ID)
	for at.Load() != p {
		at = &at.Load().next
	}
	at.Store(p.next.Load())
	p.next.Store(nil) // or a list of ended ones could be kept by the first of them; get may miss others by that
	if n := t.count.Add(-1); len(all) > minChains && int(n) < len(all)/8 {
		t.resize(len(all) / 2)
	}
}

func (t *table) resize(n int) []chain {
	all := make([]chain, n)
	old := *t.chains.Load()
	for i := range old {
		for p := old[i].Load(); p != nil; {
			next := p.next.Load()
			push(all, p)
			p = next
		}
	}
	t.chains.Store(&all)
	return all
}

// all lists the processes, the oldest first; for the core.
func (t *table) all() []*process {
	list := make([]*process, 0, t.len())
	chains := *t.chains.Load()
	for i := range chains {
		for p := chains[i].Load(); p != nil; p = p.next.Load() {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *process) int { return comparePids(a.pid, b.pid) })
	return list
}
