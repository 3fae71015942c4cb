package main

import (
	"context"
	"sync"

	"netsplit/kit/node"
	"netsplit/kit/proc"
)

// counter is this node's part of the counter.
//
// To do: it is a counter of this node alone. Make it one counter of all nodes.
type counter struct {
	node *node.Node

	mu    sync.Mutex
	total int64
}

// start runs once on every node when it stands, before anybody asks it for something. The store may not have been started
// yet, and the other nodes need not be connected yet; c.node.Known() lists them all the same.
func (c *counter) start(_ context.Context, n *node.Node) error {
	c.node = n
	return nil
}

// funcs are the functions that processes can run, by name: c.node.Procs().Spawn("name") starts one.
func (c *counter) funcs() map[string]proc.Func {
	return map[string]proc.Func{}
}

// increment adds to the counter and gives what it is then. name is the request's: who asks again under the same name, here
// or at another node, gets the first answer again, and nothing is added.
//
// An error of kind kit.Unavailable, Refused, Overloaded or Invalid says for sure that nothing was added. When that is not sure,
// the error is of kind kit.Unknown.
func (c *counter) increment(ctx context.Context, by int64, name string) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += by
	return c.total, nil
}

// read gives what the counter is: everything that was answered before read was called has been added.
func (c *counter) read(ctx context.Context) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total, nil
}
