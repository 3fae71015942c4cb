package mnesia

import (
	"context"
	"errors"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// list is every verb, in the order of the help. The parameters are named as the fields of conformance steps.
func (f *Face) list() []verb {
	plain := func(name string, params []string, doc string, h door.Handler) verb {
		return verb{Verb: door.Verb{Name: name, Params: params, Doc: doc, Handler: h}}
	}
	schema := func(name string, params []string, doc string, h door.Handler) verb {
		return verb{Verb: door.Verb{Name: name, Params: params, Doc: doc, Handler: h}, schema: true}
	}
	p := func(names ...string) []string { return names }
	return []verb{
		plain("create_schema", p("nodes"), "Makes an empty schema on the discs of nodes whose stores are stopped.", f.createSchema),
		plain("delete_schema", p("nodes"), "Removes schema and tables from the discs of nodes.", f.deleteSchema),
		plain("start_store", p("config?"), "Starts the store; tables load in the background.", f.startStore),
		plain("stop_store", nil, "Stops the store in good order.", f.stopStore),
		plain("damage", p("file", "what"), "Does to the disc of a stopped store what the loss of a file of Mnesia's does there.", f.damage),
		plain("change_config", p("key", "value"), "Changes a setting of the running store.", f.changeConfig),
		plain("set_master_nodes", p("nodes", "table?"), "From its next start on the node loads its tables from the masters.", f.setMasterNodes),
		plain("wait_for_tables", p("tables", "timeout"), "Waits until tables are loaded.", f.waitForTables),
		plain("force_load_table", p("table"), "Loads the own copy whatever others may have.", f.forceLoad),
		plain("system_info", p("item"), "Answers a question about the store.", f.systemInfo),
		plain("table_info", p("table", "item"), "Answers a question about a table.", f.tableInfo),
		plain("set_debug_level", p("level"), "Sets how much the store tells; answers the old level.", f.setDebugLevel),
		plain("report_event", p("value"), "Sends mnesia_user to subscribers of system events.", f.reportEvent),
		plain("dump_log", nil, "Moves the log into the tables' images.", f.dumpLog),
		plain("sync_log", nil, "Returns when the log is on disc.", f.syncLog),
		plain("held_locks", nil, "Lists the locks held at this node.", func(context.Context, door.Request) door.Outcome { return f.lockLines(f.store.HeldLocks()) }),
		plain("lock_queue", nil, "Lists what waits for a lock at this node.", func(context.Context, door.Request) door.Outcome { return f.lockLines(f.store.LockQueue()) }),
		schema("create_table", p("table", "opts?"), "Makes a table.", f.createTable),
		schema("create_table_raw", p("arg"), "Makes a table from a property list.", f.createTableRaw),
		schema("delete_table", p("table"), "Removes a table.", f.named(f.store.DeleteTable)),
		schema("clear_table", p("table"), "Deletes all rows.", f.named(f.store.ClearTable)),
		schema("add_table_copy", p("table", "node", "type"), "Gives a node a copy.", f.copied(f.store.AddTableCopy)),
		schema("del_table_copy", p("table", "node"), "Takes a copy away.", f.delCopy),
		schema("dump_tables", p("tables"), "Writes memory copies to disc.", f.dumpTables),
		schema("move_table_copy", p("table", "from", "to"), "Moves a copy.", f.moveCopy),
		schema("change_table_copy_type", p("table", "node", "type"), "Changes how a node keeps its copy.", f.copied(f.store.ChangeTableCopyType)),
		schema("change_table_access_mode", p("table", "mode"), "read_only or read_write.", f.accessMode),
		schema("change_table_load_order", p("table", "order"), "Higher loads earlier.", f.loadOrder),
		schema("change_table_majority", p("table", "majority"), "Whether writes need most copies.", f.majority),
		schema("add_table_index", p("table", "attr"), "Indexes an attribute.", f.indexed(f.store.AddTableIndex)),
		schema("del_table_index", p("table", "attr"), "Removes an index.", f.indexed(f.store.DelTableIndex)),
		schema("transform_table", p("table", "fn", "attributes", "record_name?"), "Changes all rows to a new shape.", f.transform),
		schema("write_table_property", p("table", "property"), "Attaches a property.", f.indexed(f.store.WriteTableProperty)),
		schema("delete_table_property", p("table", "key"), "Removes a property.", f.indexed(f.store.DeleteTableProperty)),
		plain("read_table_property", p("table", "key"), "Reads a property.", f.readProperty),

		plain("transaction", p("ops", "retries?", "durable?"), "Performs operations in a transaction; durable, true, waits until the commit is on the discs.", f.transaction),
		plain("activity", p("kind", "ops"), "Performs operations in an activity.", f.activityVerb),
		plain("dirty", p("op"), "Performs one operation with no activity around it.", f.dirty),
		plain("repeat_dirty", p("op", "times"), "The same, many times; answers the last.", f.repeatDirty),
		plain("measure", p("kind", "ops", "times"), "Performs operations many times, each time in an activity of its own; answers the nanoseconds.", f.measure),
		plain("fill", p("table", "n"), "Writes the records 1 to n, dirty.", f.fill),
		plain("contents", p("table"), "All rows as this node reads them.", f.contents),
		plain("local_contents", p("table"), "All rows of the node's own copy.", f.localContents),

		plain("tx_begin", p("tx", "kind?", "retries?", "durable?"), "Begins a transaction that waits for orders.", f.txBegin),
		plain("tx_op", p("tx", "op", "block_ms?"), "Orders an operation.", f.onTx(f.txOp)),
		plain("tx_wait", p("tx", "timeout?"), "The answer of the operation ordered last.", f.onTx(f.txWait)),
		plain("tx_commit", p("tx", "timeout?"), "Ends the transaction's function.", f.onTx(f.txCommit)),
		plain("tx_kill", p("tx"), "Ends the transaction's process.", f.onTx(f.txKill)),
		plain("tx_info", p("tx"), "Whether the transaction was restarted.", f.onTx(f.txInfo)),
		plain("tx_id", p("tx"), "How lock lists of other nodes name it.", f.onTx(f.txID)),

		plain("subscribe", p("p", "what?"), "Subscribes p, or the client, to events.", f.subscribe),
		plain("unsubscribe", p("p", "what?"), "Ends a subscription.", f.unsubscribe),
		plain("events", p("p?", "wait_ms?"), "What came since last asked.", f.events),
		plain("boot_events", nil, "System events since boot or since last asked.", f.bootEvents),
		plain("ops", nil, "Lists the operations.", listOps),
	}
}

func listOps(context.Context, door.Request) door.Outcome {
	l := term.List{}
	for _, o := range Ops() {
		params := term.List{}
		for _, p := range o.Params {
			params = append(params, term.Bin(p))
		}
		l = append(l, term.MakeMap(term.Pair{Key: term.Atom("name"), Value: term.Atom(o.Name)},
			term.Pair{Key: term.Atom("params"), Value: params}, term.Pair{Key: term.Atom("doc"), Value: term.Bin(o.Doc)},
			term.Pair{Key: term.Atom("dirty"), Value: term.Bool(o.dirty)}))
	}
	return door.OKTerm(l)
}

func (f *Face) createSchema(ctx context.Context, r door.Request) door.Outcome {
	ns, ok := nodesOf(r.Args[0])
	if !ok {
		return door.ErrorWith("badarg", r.Args[0])
	}
	return Outcome(f.store.CreateSchema(ctx, ns))
}

func (f *Face) deleteSchema(ctx context.Context, r door.Request) door.Outcome {
	ns, ok := nodesOf(r.Args[0])
	if !ok || len(ns) == 0 {
		return door.ErrorWith("badarg", r.Args[0])
	}
	return Outcome(f.store.DeleteSchema(ctx, ns))
}

func (f *Face) stopStore(ctx context.Context, _ door.Request) door.Outcome {
	if err := f.store.Stop(ctx); err != nil {
		return Outcome(err)
	}
	return door.OKTerm(term.Atom("stopped"))
}

func (f *Face) damage(_ context.Context, r door.Request) door.Outcome {
	file, ok := r.Args[0].(term.Bin)
	what, ok2 := r.Args[1].(term.Atom)
	if !ok || !ok2 {
		return door.ErrorWith("badarg", r.Args...)
	}
	if err := f.store.Damage(string(file), string(what)); err != nil {
		return Outcome(err)
	}
	return door.Done()
}

func (f *Face) changeConfig(ctx context.Context, r door.Request) door.Outcome {
	if name, _ := r.Args[0].(term.Atom); name != "extra_db_nodes" {
		if err := f.store.ChangeConfig(string(name), r.Args[1]); err != nil {
			return Outcome(err)
		}
		return door.OKTerm(r.Args[1])
	}
	if !f.store.Running() {
		return door.ErrorWith("node_not_running", term.Atom(f.store.Self()))
	}
	ns, ok := nodesOf(r.Args[1])
	if !ok {
		return door.ErrorWith("badarg", r.Args[0])
	}
	got, err := f.store.ChangeExtraNodes(ctx, ns)
	return answered(nodeList(got), err)
}

// createTable joins name and options into a property list, as mnesia:create_table/2 does.
func (f *Face) createTable(ctx context.Context, r door.Request) door.Outcome {
	arg := term.List{term.T(term.Atom("name"), r.Args[0])}
	if len(r.Args) > 1 {
		switch opts := r.Args[1].(type) {
		case term.Map:
			for _, p := range opts {
				arg = append(arg, term.T(p.Key, p.Value))
			}
		case term.List:
			arg = append(arg, opts...)
		default:
			return Outcome(&store.Error{Class: store.Aborted, Reason: term.T(term.Atom("badarg"), r.Args[0], r.Args[1])})
		}
	}
	return Outcome(f.store.CreateTableTerm(ctx, arg))
}

func (f *Face) createTableRaw(ctx context.Context, r door.Request) door.Outcome {
	return Outcome(f.store.CreateTableTerm(ctx, r.Args[0]))
}

// tableOf reads a table's name; anything else names no table.
func tableOf(t term.Term) (string, error) {
	if a, ok := t.(term.Atom); ok {
		return string(a), nil
	}
	return "", &store.Error{Class: store.Aborted, Reason: term.T(term.Atom("no_exists"), t)}
}

func (f *Face) named(act func(context.Context, string) error) door.Handler {
	return func(ctx context.Context, r door.Request) door.Outcome {
		t, err := tableOf(r.Args[0])
		if err != nil {
			return Outcome(err)
		}
		return Outcome(act(ctx, t))
	}
}

func (f *Face) indexed(act func(context.Context, string, term.Term) error) door.Handler {
	return func(ctx context.Context, r door.Request) door.Outcome {
		t, err := tableOf(r.Args[0])
		if err != nil {
			return Outcome(err)
		}
		return Outcome(act(ctx, t, r.Args[1]))
	}
}

func (f *Face) copied(act func(context.Context, string, kit.NodeName, store.Storage) error) door.Handler {
	return func(ctx context.Context, r door.Request) door.Outcome {
		t, err := tableOf(r.Args[0])
		if err != nil {
			return Outcome(err)
		}
		n, ok := r.Args[1].(term.Atom)
		st, ok2 := r.Args[2].(term.Atom)
		switch {
		case !ok:
			return Outcome(badType(term.Atom(t), r.Args[1]))
		case !ok2 && r.Verb == "change_table_copy_type":
			return Outcome(badType(term.T(term.Atom("storage_type"), r.Args[2])))
		case !ok2:
			return Outcome(&store.Error{Class: store.Aborted, Reason: term.T(term.Atom("badarg"), term.Atom(t), r.Args[2])})
		}
		return Outcome(act(ctx, t, kit.NodeName(n), store.Storage(st)))
	}
}

func badType(args ...term.Term) error {
	return &store.Error{Class: store.Aborted, Reason: append(term.Tuple{term.Atom("bad_type")}, args...)}
}

func (f *Face) delCopy(ctx context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	n, ok := r.Args[1].(term.Atom)
	switch {
	case err != nil:
		return Outcome(err)
	case !ok:
		return Outcome(badType(term.Atom(t), r.Args[1]))
	}
	return Outcome(f.store.DelTableCopy(ctx, t, kit.NodeName(n)))
}

func (f *Face) moveCopy(ctx context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	from, ok := r.Args[1].(term.Atom)
	to, ok2 := r.Args[2].(term.Atom)
	switch {
	case err != nil:
		return Outcome(err)
	case !ok || !ok2:
		return Outcome(badType(term.Atom(t), r.Args[1], r.Args[2]))
	}
	return Outcome(f.store.MoveTableCopy(ctx, t, kit.NodeName(from), kit.NodeName(to)))
}

func (f *Face) accessMode(ctx context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return Outcome(err)
	}
	switch r.Args[1] {
	case term.Atom("read_only"):
		return Outcome(f.store.ChangeTableAccessMode(ctx, t, true))
	case term.Atom("read_write"):
		return Outcome(f.store.ChangeTableAccessMode(ctx, t, false))
	}
	return Outcome(badType(term.Atom(t), term.T(term.Atom("access_mode"), r.Args[1])))
}

func (f *Face) loadOrder(ctx context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return Outcome(err)
	}
	n, ok := r.Args[1].(term.Int)
	if !ok {
		return Outcome(badType(term.Atom(t), term.T(term.Atom("load_order"), r.Args[1])))
	}
	return Outcome(f.store.ChangeTableLoadOrder(ctx, t, int64(n)))
}

func (f *Face) majority(ctx context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return Outcome(err)
	}
	switch r.Args[1] {
	case term.Atom("true"), term.Atom("false"):
		return Outcome(f.store.ChangeTableMajority(ctx, t, r.Args[1] == term.Atom("true")))
	}
	return Outcome(&store.Error{Class: store.Errored, Reason: term.Atom("function_clause")})
}

func (f *Face) readProperty(_ context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return Outcome(err)
	}
	if !f.store.Running() {
		return Outcome(&store.Error{Class: store.Aborted, Exit: true, Reason: term.T(term.Atom("node_not_running"), term.Atom(f.store.Self()))})
	}
	return answered(f.store.ReadTableProperty(t, r.Args[1]))
}

// dirty performs one operation outside any activity. What a function of Mnesia raises there is an exit.
func (f *Face) dirty(ctx context.Context, r door.Request) door.Outcome {
	v, err := env{f: f, ctx: ctx}.op(r.Args[0], 0)
	if err == nil {
		return door.OKJSON(v)
	}
	var e *store.Error
	if errors.As(err, &e) && e.Class == store.Aborted {
		c := *e
		c.Exit = true
		err = &c
	}
	return Outcome(err)
}

// maxTimes bounds repeat_dirty, measure and fill.
const maxTimes = 10_000_000

func (f *Face) times(r door.Request, i int) (int, error) {
	n, err := r.Int(i)
	if err == nil && (n < 0 || n > maxTimes) {
		err = &kit.Error{Op: r.Verb, Kind: kit.Overloaded, Err: errors.New("so many times are not possible"), Hint: "at most 10 million"}
	}
	return int(n), err
}

func (f *Face) repeatDirty(ctx context.Context, r door.Request) door.Outcome {
	n, err := f.times(r, 1)
	if err != nil {
		return door.FromError(err)
	}
	out := door.Done()
	for range n {
		if ctx.Err() != nil {
			return door.FromError(ctx.Err())
		}
		if out = f.dirty(ctx, r); out.Status != door.OK {
			break
		}
	}
	return out
}

func (f *Face) fill(ctx context.Context, r door.Request) door.Outcome {
	t, err := tableOf(r.Args[0])
	if err != nil {
		return Outcome(err)
	}
	n, err := f.times(r, 1)
	if err != nil {
		return door.FromError(err)
	}
	for i := 1; i <= n; i++ {
		if err := f.store.DirtyWrite(ctx, t, term.T(term.Atom(t), term.Int(i), term.Int(i))); err != nil {
			return Outcome(err)
		}
	}
	return door.Done()
}

// measure performs operations n times and answers how many nanoseconds that took in all. The operations a
// measurement is mostly made of run without the cost of writing their answers.
func (f *Face) measure(ctx context.Context, r door.Request) door.Outcome {
	kind, ok := kindOf(r.Args[0])
	ops, ok2 := listOf(r.Args[1])
	if !ok || !ok2 || len(ops) == 0 {
		return door.ErrorWith("badarg", r.Args[0])
	}
	n, err := f.times(r, 2)
	if err != nil {
		return door.FromError(err)
	}
	begun := time.Now()
	for range n {
		if ctx.Err() != nil {
			return door.FromError(ctx.Err())
		}
		err := f.store.Activity(ctx, kind, func(tx *store.Tx) error {
			for _, op := range ops {
				if err := (env{f: f, ctx: ctx, tx: tx}).quick(op); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return Outcome(asAborted(err))
		}
	}
	return door.OKTerm(term.Int(time.Since(begun).Nanoseconds()))
}

// quick performs an operation and drops its answer.
func (e env) quick(t term.Term) error {
	l, _ := t.(term.List)
	if len(l) == 3 {
		if table, ok := l[1].(term.Atom); ok {
			switch l[0] {
			case term.Atom("read"):
				_, err := e.tx.Read(string(table), l[2])
				return err
			case term.Atom("write"):
				return e.tx.Write(string(table), l[2])
			}
		}
	}
	_, err := e.op(t, 0)
	return err
}
