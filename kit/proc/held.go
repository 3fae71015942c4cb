package proc

// Held says how much a runtime holds. When every process has ended and every call has returned, all are 0.
type Held struct {
	Processes     int // alive
	Functions     int // that have not returned, also of processes that were killed
	Names         int // local
	GlobalNames   int // known here, of processes anywhere
	Locks         int // global ones, as this node knows them
	Owners        int // processes of this node that ever asked for a lock, and live
	Questions     int // to other nodes, without an answer yet
	Waiting       int // nodes that a connection is being made to
	Subscriptions int // to nodeup and nodedown
}

// Held tells how much is held.
func (c *Core) Held() Held {
	n := Held{Processes: c.procs.len(), Names: len(c.names), GlobalNames: len(c.claims), Locks: len(c.locks), Owners: len(c.owned),
		Questions: max(len(c.asked), len(c.spawning)), Waiting: len(c.waiting), Subscriptions: len(c.subs)}
	for _, wishes := range c.nodes {
		n.Subscriptions += len(wishes)
	}
	return n
}

// Held tells how much the runtime holds.
func (r *Runtime) Held() Held {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.core.Held()
	n.Functions = len(r.busy)
	for _, p := range r.core.procs.all() {
		if p.handle.running {
			n.Functions++
		}
	}
	n.Questions = max(n.Questions, len(r.answers))
	return n
}
