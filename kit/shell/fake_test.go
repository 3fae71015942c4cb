package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// fake is a world of three nodes that share one memory: enough of a store to try the language on, with a clock
// that only Sleep moves.
type fake struct {
	mu     sync.Mutex
	nodes  []kit.NodeName
	down   map[kit.NodeName]bool
	rules  map[[2]kit.NodeName]wire.Rule
	tables map[string]*fakeTable
	txs    map[string]*fakeTx
	events map[kit.NodeName][]string
	locks  map[string]string // "table key" -> tx
	clock  time.Duration
	work   sync.WaitGroup
	hang   bool // Sleep ends only with its context
	calls  []string
}

type fakeTable struct {
	attributes []string
	rows       []term.Tuple
}

type fakeTx struct {
	writes  []term.Tuple
	nests   []int
	restart bool // the next operation restarts it
	waiting term.List
}

func newFake() *fake {
	return &fake{nodes: []kit.NodeName{"a", "b", "c"}, down: map[kit.NodeName]bool{}, rules: map[[2]kit.NodeName]wire.Rule{},
		tables: map[string]*fakeTable{}, txs: map[string]*fakeTx{}, events: map[kit.NodeName][]string{}, locks: map[string]string{}}
}

func (f *fake) Nodes() []kit.NodeName { return f.nodes }

func (f *fake) Link(from, to kit.NodeName, rule wire.Rule) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.rules[[2]kit.NodeName{from, to}]
	f.rules[[2]kit.NodeName{from, to}] = rule
	if was.Cut != wire.Whole && rule.Cut == wire.Whole {
		f.events[from] = append(f.events[from], fmt.Sprintf(`{"event":"inconsistent_database","context":"running_partitioned_network","node":%q}`, to))
	}
	return nil
}

func (f *fake) Kill(n kit.NodeName) error { return f.setDown(n, true) }

func (f *fake) Restart(n kit.NodeName) error { return f.setDown(n, false) }

func (f *fake) setDown(n kit.NodeName, down bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down[n] == down {
		return &kit.Error{Op: "change node", What: string(n), Kind: kit.Invalid, Err: errors.New("it is so already")}
	}
	f.down[n] = down
	return nil
}

func (f *fake) Pause(kit.NodeName) error  { return nil }
func (f *fake) Resume(kit.NodeName) error { return nil }

func (f *fake) Now() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock
}

// Sleep moves the clock at once.
func (f *fake) Sleep(ctx context.Context, d time.Duration) error {
	f.mu.Lock()
	f.clock += d
	f.mu.Unlock()
	if f.hang {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (f *fake) Go(work func(context.Context)) { f.work.Go(func() { work(context.Background()) }) }
func (f *fake) Wait()                         { f.work.Wait() }
func (f *fake) Close() error                  { return nil }

func (f *fake) Call(_ context.Context, client string, node kit.NodeName, req door.Request) door.Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf("%s@%s %s %s", client, node, req.Verb, term.String(term.List(req.Args))))
	if f.down[node] {
		return door.NotRunning(string(node) + " is down")
	}
	switch req.Verb {
	case "nodes":
		return door.OKTerm(f.connected(node))
	case "ping":
		return door.OKTerm(term.Atom("pong"))
	case "start_store", "stop_store", "create_schema", "subscribe", "set_master_nodes":
		return door.Done()
	case "create_table":
		return f.create(req.Args)
	case "table_info":
		return f.tableInfo(req.Args)
	case "system_info":
		return f.systemInfo(req.Args[0].(term.Atom))
	case "dirty":
		return f.op(nil, req.Args[0].(term.List))
	case "boot_events":
		raw := "["
		for i, e := range f.events[node] {
			if i > 0 {
				raw += ","
			}
			raw += e
		}
		f.events[node] = nil
		return door.OKJSON(json.RawMessage(raw + "]"))
	case "tx_begin", "tx_op", "tx_wait", "tx_commit", "tx_kill":
		return f.transact(req)
	case "echo":
		return door.OKTerm(term.List(req.Args))
	case "status", "links", "processes", "process_info", "node", "output":
		return f.look(node, req)
	}
	return door.ErrorWith("undefined", term.Atom(req.Verb))
}

func (f *fake) connected(node kit.NodeName) term.List {
	list := term.List{}
	for _, n := range f.nodes {
		if n != node && !f.down[n] && f.rules[[2]kit.NodeName{node, n}].Cut == wire.Whole {
			list = append(list, term.Atom(n))
		}
	}
	return list
}

func (f *fake) create(args []term.Term) door.Outcome {
	name := string(args[0].(term.Atom))
	if f.tables[name] != nil {
		return door.AbortWith("already_exists", args[0])
	}
	t := &fakeTable{attributes: []string{"key", "val"}}
	for _, p := range args[1].(term.Map) {
		if p.Key == term.Atom("attributes") {
			t.attributes = nil
			for _, a := range p.Value.(term.List) {
				t.attributes = append(t.attributes, string(a.(term.Atom)))
			}
		}
	}
	f.tables[name] = t
	return door.Done()
}

func (f *fake) tableInfo(args []term.Term) door.Outcome {
	t := f.tables[string(args[0].(term.Atom))]
	if t == nil {
		return door.AbortWith("no_exists", args[0], args[1])
	}
	switch args[1] {
	case term.Atom("attributes"):
		return door.OKTerm(atoms(t.attributes))
	case term.Atom("record_name"):
		return door.OKTerm(args[0])
	case term.Atom("size"):
		return door.OKTerm(term.Int(len(t.rows)))
	case term.Atom("type"):
		return door.OKTerm(term.Atom("set"))
	case term.Atom("ram_copies"):
		return door.OKTerm(atoms([]string{"a", "b"}))
	}
	return door.OKTerm(term.Atom("undefined"))
}

func (f *fake) systemInfo(item term.Atom) door.Outcome {
	switch item {
	case "tables":
		names := []string{"schema"}
		for n := range f.tables {
			names = append(names, n)
		}
		slices.Sort(names)
		return door.OKTerm(atoms(names))
	case "is_running":
		return door.OKTerm(term.Atom("yes"))
	}
	return door.OKTerm(atoms([]string{"a", "b", "c"}))
}

func atoms(names []string) term.List {
	list := term.List{}
	for _, n := range names {
		list = append(list, term.Atom(n))
	}
	return list
}

// op performs one operation, in a transaction or dirty.
func (f *fake) op(tx *fakeTx, op term.List) door.Outcome {
	what := string(op[0].(term.Atom))
	if len(what) < 6 || what[:6] != "dirty_" {
		if tx == nil {
			return door.AbortWith("no_transaction")
		}
		what = "dirty_" + what
	}
	if what == "dirty_abort" {
		return door.Outcome{Status: door.Aborted, Kind: op[1]}
	}
	name := string(op[1].(term.Atom))
	t := f.tables[name]
	if t == nil {
		return door.AbortWith("no_exists", op[1])
	}
	rows := slices.Clone(t.rows)
	if tx != nil {
		for _, w := range tx.writes {
			rows = put(rows, w)
		}
	}
	switch what {
	case "dirty_read", "dirty_wread":
		return door.OKTerm(filter(rows, func(r term.Tuple) bool { return term.Equal(r[1], op[2]) }))
	case "dirty_select", "dirty_match_object":
		return door.OKTerm(filter(rows, func(r term.Tuple) bool { return what == "dirty_select" || matches(op[2].(term.Tuple), r) }))
	case "dirty_write":
		rec, ok := op[2].(term.Tuple)
		if !ok || len(rec) != 1+len(t.attributes) {
			return door.AbortWith("bad_type", op[2])
		}
		if tx != nil {
			tx.writes = append(tx.writes, rec)
		} else {
			t.rows = put(t.rows, rec)
		}
		return door.Done()
	}
	return door.ErrorWith("undefined", op[0])
}

func put(rows []term.Tuple, rec term.Tuple) []term.Tuple {
	for i, r := range rows {
		if term.Equal(r[1], rec[1]) {
			rows = slices.Clone(rows)
			rows[i] = rec
			return rows
		}
	}
	return append(slices.Clone(rows), rec)
}

func matches(pattern, row term.Tuple) bool {
	for i, p := range pattern {
		if p != term.Atom("_") && !term.Equal(p, row[i]) {
			return false
		}
	}
	return len(pattern) == len(row)
}

func filter(rows []term.Tuple, keep func(term.Tuple) bool) term.List {
	list := term.List{}
	for _, r := range rows {
		if keep(r) {
			list = append(list, r)
		}
	}
	return list
}

// transact serves the steps of interactive transactions. A write locks its key until the end; who meets the
// lock is blocked. A key "again" restarts the transaction once.
func (f *fake) transact(req door.Request) door.Outcome {
	name := string(req.Args[0].(term.Atom))
	if req.Verb == "tx_begin" {
		f.txs[name] = &fakeTx{}
		return door.Done()
	}
	tx := f.txs[name]
	if tx == nil {
		return door.ErrorWith("no_such_tx", req.Args[0])
	}
	switch req.Verb {
	case "tx_wait":
		if f.blocked(name, tx.waiting) {
			return door.Outcome{Status: door.Blocked}
		}
		return f.op(tx, tx.waiting)
	case "tx_kill":
		f.end(name)
		return door.Done()
	case "tx_commit":
		for _, w := range tx.writes {
			t := f.tables[string(w[0].(term.Atom))]
			t.rows = put(t.rows, w)
		}
		f.end(name)
		return door.Done()
	}
	return f.step(name, tx, req.Args[1].(term.List))
}

func (f *fake) step(name string, tx *fakeTx, op term.List) door.Outcome {
	switch op[0] {
	case term.Atom("try"):
		out := f.step(name, tx, op[1].(term.List))
		raw, err := json.Marshal(out)
		if out.Status == door.Restart || out.Status == door.Blocked || err != nil {
			return out
		}
		f.txs[name] = tx // it lives on
		return door.OKJSON(raw)
	case term.Atom("nest_begin"):
		tx.nests = append(tx.nests, len(tx.writes))
		return door.Done()
	case term.Atom("nest_abort"):
		tx.writes = tx.writes[:tx.nests[len(tx.nests)-1]]
		fallthrough
	case term.Atom("nest_commit"):
		tx.nests = tx.nests[:len(tx.nests)-1]
		return door.Done()
	}
	if len(op) > 2 && term.Equal(op[2], term.Bin("again")) && !tx.restart {
		tx.restart, tx.writes = true, nil
		return door.Outcome{Status: door.Restart}
	}
	if f.blocked(name, op) {
		tx.waiting = op
		return door.Outcome{Status: door.Blocked}
	}
	out := f.op(tx, op)
	if op[0] == term.Atom("write") && out.Status == door.OK {
		f.locks[string(op[1].(term.Atom))+term.String(op[2].(term.Tuple)[1])] = name
	}
	if out.Status == door.Aborted {
		f.end(name)
	}
	return out
}

func (f *fake) blocked(name string, op term.List) bool {
	if len(op) < 3 {
		return false
	}
	key := op[2]
	if rec, ok := key.(term.Tuple); ok {
		key = rec[1]
	}
	holder := f.locks[string(op[1].(term.Atom))+term.String(key)]
	return holder != "" && holder != name
}

func (f *fake) end(name string) {
	delete(f.txs, name)
	for k, holder := range f.locks {
		if holder == name {
			delete(f.locks, k)
		}
	}
}
