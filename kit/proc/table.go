package proc

import "sync"

// table finds the processes of a node by number, without the runtime's lock. The zero table is empty.
type table [16]struct {
	mu    sync.RWMutex
	procs map[uint64]*process
	_     [32]byte // a shard to itself in the processor's cache
}

func (t *table) get(id uint64) *process {
	s := &t[id%uint64(len(t))]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.procs[id]
}

func (t *table) put(p *process) {
	s := &t[p.pid.ID%uint64(len(t))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.procs == nil {
		s.procs = map[uint64]*process{}
	}
	s.procs[p.pid.ID] = p
}

// remove gives what it takes out; nil when there was nothing.
func (t *table) remove(id uint64) *process {
	s := &t[id%uint64(len(t))]
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.procs[id]
	delete(s.procs, id)
	return p
}
