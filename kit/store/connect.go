package store

import (
	"context"
	"sync"
	"time"

	"netsplit/kit"
)

// Connector is what Peers may be able to do besides: bring a link up when it is wanted. Start asks for the nodes
// of the schema, as Mnesia's does through net_kernel: otherwise a store that is started in the moment in which
// its node boots would take its peers for absent, and run alone beside them.
type Connector interface {
	// Connect returns when the link to a node is up, or when it is known that it cannot be had now.
	Connect(ctx context.Context, to kit.NodeName) error
}

// connectIn is how long a start waits for links that do not come up: packets to a node behind a silent cut vanish.
const connectIn = time.Second

// connectAll tries to bring up the links to the nodes of the schema.
func (s *Store) connectAll(ctx context.Context, extra []kit.NodeName) {
	c, ok := s.peers.(Connector)
	if !ok {
		return
	}
	s.mu.Lock()
	nodes := s.schemaNodes(extra)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, connectIn)
	defer cancel()
	var all sync.WaitGroup
	for _, n := range nodes {
		if n != s.self && !s.linked(n) {
			all.Go(func() { // a node that is not there does not hinder a start
				if c.Connect(ctx, n) == nil {
					_ = s.wait(ctx, func() bool { return s.links[n] != nil })
				}
			})
		}
	}
	all.Wait()
}
