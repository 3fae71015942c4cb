// Program distributed-counter is a node whose cluster shares one counter. This file is given; nothing in it has to be
// changed, but it may be.
package main

import (
	"context"
	"errors"

	"netsplit/kit/node"
	"netsplit/kit/term"
)

func main() {
	c := new(counter)
	node.Main(node.App{
		Start: c.start,
		Funcs: c.funcs(),
		Verbs: map[string]node.Verb{
			"increment": c.incrementVerb,
			"read":      c.readVerb,
		},
	})
}

// errArgs is the answer to a request that makes no sense.
var errArgs = errors.New("increment takes an amount above 0 and the name of the request, read takes nothing")

// increment: amount, name of the request -> what the counter is then
func (c *counter) incrementVerb(ctx context.Context, _ *node.Node, args []term.Term) (term.Term, error) {
	if len(args) != 2 {
		return nil, errArgs
	}
	by, ok1 := args[0].(term.Int)
	name, ok2 := args[1].(term.Bin)
	if !ok1 || !ok2 || by <= 0 {
		return nil, errArgs
	}
	n, err := c.increment(ctx, int64(by), string(name))
	return term.Int(n), err
}

// read: -> what the counter is
func (c *counter) readVerb(ctx context.Context, _ *node.Node, args []term.Term) (term.Term, error) {
	if len(args) != 0 {
		return nil, errArgs
	}
	n, err := c.read(ctx)
	return term.Int(n), err
}
