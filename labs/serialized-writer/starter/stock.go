package main

import (
	"context"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

// stock is this node's program. Every node runs it, and every node takes requests for all items.
//
// To do: every node reads and writes the table for itself. Have one process do it for all of them.
type stock struct{ node *node.Node }

const (
	table      = "stock"  // {stock, item, amount}, with a copy on every node
	writerName = "writer" // the local name of the one process that changes the table
	room       = 20       // so many requests may wait for it
	dozen      = 12
)

// outOfStock is the answer to a change that would leave less than nothing; nothing is changed then.
const outOfStock = term.Atom("out_of_stock")

// start runs once on every node when it stands, before anybody asks it for something. The store may not have been started
// yet, and the other nodes need not be connected yet; s.node.Known() lists them all the same.
func (s *stock) start(_ context.Context, n *node.Node) error {
	s.node = n
	return nil
}

// funcs are the functions that processes can run, by name: s.node.Procs().Spawn("name") starts one, and Call runs one on
// another node and waits for what it gives.
func (s *stock) funcs() map[string]proc.Func {
	return map[string]proc.Func{}
}

// change adds to what there is of an item, or takes away with a negative number, and gives what there is then, or outOfStock.
//
// An error of kind kit.Overloaded, Unavailable, Refused or Invalid says for sure that nothing was changed and nothing will
// be. When that is not sure, the error is of kind kit.Unknown. The same holds for tidy.
func (s *stock) change(ctx context.Context, item string, by int64) (term.Term, error) {
	has, err := s.has(ctx, item)
	switch {
	case err != nil:
		return nil, err
	case has+by < 0:
		return outOfStock, nil
	}
	return term.Int(has + by), s.set(ctx, item, has+by)
}

// tidy takes out of the shelf what is no full dozen, and gives how many pieces that was. It takes a while.
func (s *stock) tidy(ctx context.Context, item string) (term.Term, error) {
	has, err := s.has(ctx, item)
	if err != nil {
		return nil, err
	}
	if err := walk(ctx); err != nil {
		return nil, err
	}
	if err := s.set(ctx, item, has-has%dozen); err != nil {
		return nil, err
	}
	return term.Int(has % dozen), walk(ctx)
}

// amount gives what there is of an item: every request that was answered before amount was called is in it.
func (s *stock) amount(ctx context.Context, item string) (term.Term, error) {
	has, err := s.has(ctx, item)
	return term.Int(has), err
}

// has reads what there is of an item from this node's copy, without a lock.
func (s *stock) has(ctx context.Context, item string) (int64, error) {
	rows, err := s.node.Store().DirtyRead(ctx, table, term.Bin(item))
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		return 0, &kit.Error{Op: "look for the item", What: item, Kind: kit.Invalid}
	}
	has, _ := rows[0][2].(term.Int)
	return int64(has), nil
}

// set writes what there is of an item into this node's copy. The others get it a moment later.
func (s *stock) set(ctx context.Context, item string, has int64) error {
	return s.node.Store().DirtyWrite(ctx, table, term.T(term.Atom(table), term.Bin(item), term.Int(has)))
}
