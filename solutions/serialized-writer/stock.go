package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/node"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

// stock is this node's program: the way to the one process that changes the table, and on one node that process.
type stock struct {
	node *node.Node
	desk chan struct{} // on the writer's node: one in it for each request that waits or is being served
}

const (
	table      = "stock"  // {stock, item, amount}, with a copy on every node
	writerName = "writer" // the local name of the one process that changes the table
	room       = 20       // so many requests may wait for it
	dozen      = 12

	patience  = 4 * time.Second // of who asks
	turnsLate = 3 * time.Second // how long a request may wait for its turn

	restarts = 20 // of the writer in a second, before its supervisor gives up
)

// outOfStock is the answer to a change that would leave less than nothing; nothing is changed then.
const outOfStock = term.Atom("out_of_stock")

// start begins the writer, on one node only, and who starts it again.
func (s *stock) start(ctx context.Context, n *node.Node) error {
	s.node = n
	if n.Name() != s.home() {
		return nil
	}
	s.desk = make(chan struct{}, room+1)
	_, err := n.Procs().StartSupervisor(ctx, proc.SupervisorOptions{
		MaxRestarts: restarts,
		Within:      time.Second,
		Children:    []proc.ChildSpec{{ID: term.Atom(writerName), Function: "writer"}},
	})
	return err
}

func (s *stock) funcs() map[string]proc.Func {
	return map[string]proc.Func{"writer": s.writer, "submit": s.submit}
}

// home is the node of the writer. It does not depend on who is connected to whom, so that all nodes agree at all times.
func (s *stock) home() kit.NodeName {
	return slices.Min(append(s.node.Known(), s.node.Name()))
}

func (s *stock) change(ctx context.Context, item string, by int64) (term.Term, error) {
	return s.ask(ctx, term.T(term.Atom("change"), term.Bin(item), term.Int(by)))
}

func (s *stock) tidy(ctx context.Context, item string) (term.Term, error) {
	return s.ask(ctx, term.T(term.Atom("tidy"), term.Bin(item), term.Int(0)))
}

func (s *stock) amount(ctx context.Context, item string) (term.Term, error) {
	return s.ask(ctx, term.T(term.Atom("amount"), term.Bin(item), term.Int(0)))
}

// What submit gives: one of these, and a value.
const (
	done    = term.Atom("done")    // the answer
	full    = term.Atom("full")    // nothing happened: too many wait
	away    = term.Atom("away")    // nothing happened: there is no writer
	unknown = term.Atom("unknown") // it may have happened
)

// ask hands a request in at the writer's node and waits for what becomes of it.
func (s *stock) ask(ctx context.Context, request term.Term) (term.Term, error) {
	home := s.home()
	if home != s.node.Name() && !slices.Contains(s.node.Nodes(), home) {
		return nil, &kit.Error{Op: "ask the writer", Kind: kit.Unavailable, Err: errors.New("its node cannot be reached")}
	}
	res, err := s.node.Procs().Call(ctx, term.Pid{}, home, "submit", []term.Term{request}, patience)
	if err != nil {
		return nil, err
	}
	if t, ok := res.Value.(term.Tuple); ok && res.Kind == proc.Returned && len(t) == 2 {
		switch t[0] {
		case done:
			return t[1], nil
		case full:
			return nil, &kit.Error{Op: "ask the writer", Kind: kit.Overloaded, Err: errors.New("too many requests wait"), Hint: "ask again later"}
		case away:
			return nil, &kit.Error{Op: "ask the writer", Kind: kit.Unavailable, Err: errors.New("it is being started again")}
		}
	}
	return nil, &kit.Error{Op: "ask the writer", Kind: kit.Unknown, Err: errors.New("no answer; it may have been done")}
}

// submit runs on the writer's node, in a process of its own for each request. It takes a place at the desk or refuses at once,
// hands the request over, and waits for the answer or the writer's end.
func (s *stock) submit(p *proc.Process, args []term.Term) (term.Term, error) {
	select {
	case s.desk <- struct{}{}:
		defer func() { <-s.desk }()
	default:
		return term.T(full, term.True), nil
	}
	writer, there := s.node.Procs().Whereis(writerName)
	if !there {
		return term.T(away, term.True), nil
	}
	ref := p.Monitor(writer)
	if err := p.Send(writer, term.T(p.Self(), args[0])); err != nil {
		return nil, err
	}
	msg, _ := p.Receive(turnsLate, nil)
	t, _ := msg.(term.Tuple)
	switch {
	case len(t) == 2 && t[0] == done:
		return t, nil
	case len(t) == 5 && t[1] == term.Int(ref) && t[4] == proc.NoProc: // it had ended before the request was sent
		return term.T(away, term.True), nil
	}
	return term.T(unknown, term.True), nil
}

// writer is the process that changes the table: one request after the other, each from its reading to its answer.
func (s *stock) writer(p *proc.Process, _ []term.Term) (term.Term, error) {
	if err := p.Register(writerName); err != nil {
		return nil, err
	}
	for {
		msg, _ := p.Receive(proc.Forever, nil)
		t, ok := msg.(term.Tuple)
		if !ok || len(t) != 2 {
			continue // not from submit
		}
		value, err := s.serve(p.Context(), t[1])
		answer := term.T(done, value)
		if err != nil {
			answer = term.T(unknown, term.Bin(err.Error()))
		}
		_ = p.Send(t[0], answer) // who is gone needs no answer
	}
}

// serve does one request. Nobody else writes, so what it reads stays true until it has written.
func (s *stock) serve(ctx context.Context, request term.Term) (term.Term, error) {
	t, ok := request.(term.Tuple)
	if !ok || len(t) != 3 {
		return nil, errArgs
	}
	item, _ := t[1].(term.Bin)
	by, _ := t[2].(term.Int)
	has, err := s.has(ctx, string(item))
	if err != nil {
		return nil, err
	}
	switch t[0] {
	case term.Atom("change"):
		if has+int64(by) < 0 {
			return outOfStock, nil
		}
		has += int64(by)
		return term.Int(has), s.set(ctx, string(item), has)
	case term.Atom("tidy"):
		if err := walk(ctx); err != nil {
			return nil, err
		}
		if err := s.set(ctx, string(item), has-has%dozen); err != nil {
			return nil, err
		}
		return term.Int(has % dozen), walk(ctx)
	}
	return term.Int(has), nil
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
