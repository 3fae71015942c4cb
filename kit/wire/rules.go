package wire

import (
	"sync"

	"netsplit/kit"
)

// Rules holds the current Rule towards each peer. It is safe for concurrent use; Watch tells the network
// that a rule changed so that a loud cut can close connections.
type Rules struct {
	mu    sync.Mutex
	rules map[kit.NodeName]Rule
	watch []func(kit.NodeName, Rule)
}

// Set replaces the rule towards a peer; the zero Rule heals the direction.
func (r *Rules) Set(to kit.NodeName, rule Rule) {
	r.mu.Lock()
	if r.rules == nil {
		r.rules = map[kit.NodeName]Rule{}
	}
	if rule == (Rule{}) {
		delete(r.rules, to)
	} else {
		r.rules[to] = rule
	}
	watch := r.watch
	r.mu.Unlock()
	for _, f := range watch {
		f(to, rule)
	}
}

// To gives the rule towards a peer.
func (r *Rules) To(to kit.NodeName) Rule {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rules[to]
}

// Watch registers f to be called after every Set, outside the lock, on the caller's goroutine.
func (r *Rules) Watch(f func(kit.NodeName, Rule)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = append(r.watch, f)
}
