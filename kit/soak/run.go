package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/history"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// run is one run under way.
type run struct {
	w      World
	plan   Plan
	layout layout
	round  int
	log    *history.Log
	until  time.Duration // when the round's work is over
	rates  counterSums

	mu       sync.Mutex
	counts   Counts
	nodes    map[kit.NodeName]*nodeState
	durable  map[string]bool // transactions acknowledged as durable, as history.Transactions names them
	windows  []window
	isolated bool                      // one node is cut off, or not repaired
	broken   []string                  // what did not come back
	hangs    []string                  // requests that were not answered
	denials  []string                  // requests that were refused for want of a copy that the node has
	islands  map[kit.NodeName][]copyOf // what each node had before the operator stepped in
	told     map[kit.NodeName]bool     // nodes that have reported inconsistent_database in this round
}

// nodeState is what the run knows of a node.
type nodeState struct {
	alive  bool
	paused bool
	loaded bool // all its tables
	lives  int
}

// window is the time during which a node was cut off, until its store was restarted.
type window struct {
	node     kit.NodeName
	from, to time.Duration
}

// counterSums are the totals that dirty counters must have.
type counterSums map[int]int64

// operator is the client who gives orders.
const operator = "operator"

// Times, in milliseconds, that requests may take.
const (
	loadTime  = 20_000
	startTime = 30 * time.Second
)

func (r *run) count(f func(*Counts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.counts)
}

func (r *run) call(ctx context.Context, client string, n kit.NodeName, verb string, args ...term.Term) door.Outcome {
	return r.w.Call(ctx, client, n, door.Request{Client: client, Verb: verb, Args: args})
}

// must is call as the operator, for what cannot fail in a healthy cluster.
func (r *run) must(ctx context.Context, n kit.NodeName, verb string, args ...term.Term) (door.Outcome, error) {
	out := r.call(ctx, operator, n, verb, args...)
	if err := out.Err(); err != nil {
		return out, fmt.Errorf("%s at %s: %w", verb, n, err)
	}
	return out, nil
}

// isDurable takes down that a transaction was acknowledged as being on the discs.
func (r *run) isDurable(id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.durable[fmt.Sprint("tx ", id)] = true
	r.counts.Durable++
}

// setUp makes schema and tables.
func (r *run) setUp(ctx context.Context) error {
	r.nodes = map[kit.NodeName]*nodeState{}
	r.rates = counterSums{}
	all := atoms(r.plan.Nodes)
	for _, n := range r.plan.Nodes {
		r.nodes[n] = &nodeState{alive: true}
		others := slices.DeleteFunc(slices.Clone(all), func(t term.Term) bool { return t == term.Atom(n) })
		if _, err := r.must(ctx, n, "await_nodes", others, term.Int(10_000)); err != nil {
			return err
		}
	}
	first := r.plan.Nodes[0]
	if _, err := r.must(ctx, first, "create_schema", all); err != nil {
		return err
	}
	for _, n := range r.plan.Nodes {
		if _, err := r.must(ctx, n, "start_store"); err != nil {
			return err
		}
	}
	for _, t := range r.layout.tables {
		if _, err := r.must(ctx, first, "create_table", term.Atom(t.name), t.options(r.layout.majority)); err != nil {
			return err
		}
	}
	for _, n := range r.plan.Nodes {
		if _, err := r.must(ctx, n, "wait_for_tables", r.layout.names(), term.Int(loadTime)); err != nil {
			return err
		}
		r.nodes[n].loaded = true
	}
	var ops term.List
	for i := range accounts {
		ops = append(ops, term.L(term.Atom("write"), term.Atom("bank"), term.T(term.Atom("bank"), term.Int(i), term.Int(money))))
	}
	_, err := r.must(ctx, first, "activity", term.Atom("sync_transaction"), ops)
	if err == nil {
		_, err = r.must(ctx, first, "sync_log") // the money is there whatever happens
	}
	for _, n := range r.plan.Nodes[1:] {
		if err == nil {
			_, err = r.must(ctx, n, "sync_log")
		}
	}
	return err
}

// play goes through one round and judges it.
func (r *run) play(ctx context.Context) ([]Problem, error) {
	r.windows, r.broken, r.hangs, r.denials = nil, nil, nil, nil
	r.islands, r.told = map[kit.NodeName][]copyOf{}, map[kit.NodeName]bool{}
	before, err := r.balances(ctx)
	if err != nil {
		return nil, err
	}
	round := r.plan.Rounds[r.round]
	clients := r.clients()
	if err := r.countUp(ctx, clients); err != nil {
		return nil, err
	}
	r.log.Enter(history.Work)
	began := r.w.Now()
	r.until = began + round.Length
	for _, c := range clients {
		r.w.Go(c.work)
	}
	r.w.Go(func(ctx context.Context) { r.storm(ctx, began, round.Faults) })
	r.w.Wait()
	for _, c := range clients {
		r.w.Leave(c.name)
	}
	if r.plan.Weather == Islands && len(round.Faults) > 0 {
		r.endIslands(ctx, round.Faults[0].Node)
	}
	end := r.mend(ctx)
	r.log.Enter(history.Observe)
	return r.judge(ctx, before, end), nil
}

// clients makes the round's clients; the last of each node makes what it writes durable.
func (r *run) clients() []*client {
	var all []*client
	for _, n := range r.plan.Nodes {
		for i := range r.plan.Clients {
			number := len(all) + 1
			all = append(all, &client{r: r, name: fmt.Sprintf("c%d", number), node: n, number: number + 10*r.round,
				durable: r.plan.Weather == Outage && i > 0, rand: rand.New(rand.NewPCG(r.plan.Seed, uint64(1000*r.round+number)))})
		}
	}
	return all
}

// countUp lets every client count, while nothing is broken.
func (r *run) countUp(ctx context.Context, clients []*client) error {
	var mu sync.Mutex
	var failed error
	for _, c := range clients {
		r.w.Go(func(ctx context.Context) {
			for range 3 {
				i, n := c.rand.IntN(2), 1+c.rand.IntN(5)
				out := r.call(ctx, c.name, c.node, "dirty", term.L(term.Atom("dirty_update_counter"), term.Atom("count"), term.Int(i), term.Int(n)))
				mu.Lock()
				if err := out.Err(); err != nil && failed == nil {
					failed = fmt.Errorf("count at %s: %w", c.node, err)
				}
				r.rates[i] += int64(n)
				mu.Unlock()
			}
		})
	}
	r.w.Wait()
	for _, n := range r.plan.Nodes { // what was sent without waiting arrives before this does, and lasts
		if _, err := r.must(ctx, n, "activity", term.Atom("sync_transaction"), term.L(term.L(term.Atom("write_lock_table"), term.Atom("count")),
			term.L(term.Atom("write"), term.Atom("count"), term.T(term.Atom("count"), term.Atom(n), term.Int(0))))); err != nil {
			return errors.Join(failed, err)
		}
	}
	for _, n := range r.plan.Nodes {
		if _, err := r.must(ctx, n, "sync_log"); err != nil {
			return errors.Join(failed, err)
		}
	}
	return failed
}

// balances reads the accounts.
func (r *run) balances(ctx context.Context) ([]int64, error) {
	out, err := r.must(ctx, r.plan.Nodes[0], "contents", term.Atom("bank"))
	if err != nil {
		return nil, err
	}
	return balancesIn(rowsIn(out.Value)), nil
}

// rowsIn reads rows out of an answer.
func rowsIn(raw json.RawMessage) []term.Tuple {
	t, err := term.FromJSON(raw)
	l, _ := t.(term.List)
	if err != nil {
		return nil
	}
	var rows []term.Tuple
	for _, x := range l {
		if row, ok := x.(term.Tuple); ok && len(row) >= 3 {
			rows = append(rows, row)
		}
	}
	return rows
}

// balancesIn gives what stands on each account.
func balancesIn(rows []term.Tuple) []int64 {
	sums := make([]int64, accounts)
	for _, row := range rows {
		if i, ok := row[1].(term.Int); ok && i >= 0 && i < accounts {
			n, _ := row[2].(term.Int)
			sums[i] = int64(n)
		}
	}
	return sums
}

// healed is the rule of a healthy link.
var healed = wire.Rule{}

// fault puts an order on record.
func (r *run) fault(what string, n, peer kit.NodeName, detail string, err error) {
	f := history.Fault{At: r.w.Now(), What: what, Node: n, Peer: peer, Detail: detail}
	if err != nil {
		f.Err = err.Error()
	}
	r.log.Fault(f)
}
