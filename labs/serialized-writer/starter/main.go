// Program serialized-writer is a node of a warehouse whose stock is kept in one table on three nodes. This file is given;
// nothing in it has to be changed, but it may be.
package main

import (
	"context"
	"errors"
	"time"

	"netsplit/kit/node"
	"netsplit/kit/term"
)

func main() {
	s := new(stock)
	node.Main(node.App{
		Start: s.start,
		Funcs: s.funcs(),
		Verbs: map[string]node.Verb{
			"change": s.changeVerb,
			"tidy":   s.tidyVerb,
			"amount": s.amountVerb,
		},
	})
}

// wayToShelf is how long it takes to walk to a shelf, or back.
const wayToShelf = 300 * time.Millisecond

// walk takes wayToShelf. It ends early, with an error, when ctx ends.
func walk(ctx context.Context) error {
	select {
	case <-time.After(wayToShelf):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errArgs is the answer to a request that makes no sense.
var errArgs = errors.New("change takes an item and a number, tidy and amount take an item")

// change: item, number -> what there is then, or out_of_stock
func (s *stock) changeVerb(ctx context.Context, _ *node.Node, args []term.Term) (term.Term, error) {
	if len(args) != 2 {
		return nil, errArgs
	}
	item, ok1 := args[0].(term.Bin)
	by, ok2 := args[1].(term.Int)
	if !ok1 || !ok2 {
		return nil, errArgs
	}
	return s.change(ctx, string(item), int64(by))
}

// tidy: item -> how many pieces were taken out
func (s *stock) tidyVerb(ctx context.Context, _ *node.Node, args []term.Term) (term.Term, error) {
	item, err := onlyItem(args)
	if err != nil {
		return nil, err
	}
	return s.tidy(ctx, item)
}

// amount: item -> what there is
func (s *stock) amountVerb(ctx context.Context, _ *node.Node, args []term.Term) (term.Term, error) {
	item, err := onlyItem(args)
	if err != nil {
		return nil, err
	}
	return s.amount(ctx, item)
}

func onlyItem(args []term.Term) (string, error) {
	if len(args) != 1 {
		return "", errArgs
	}
	item, ok := args[0].(term.Bin)
	if !ok {
		return "", errArgs
	}
	return string(item), nil
}
