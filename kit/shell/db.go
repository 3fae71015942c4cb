package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// builtin is a function of the language that knows its session and thread.
type builtin func(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)

func (s *Session) bind(f builtin) func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return func(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return f(runOf(th), b.Name(), args, kwargs)
	}
}

func (s *Session) method(name string, f builtin) *starlark.Builtin {
	return starlark.NewBuiltin(name, s.bind(f))
}

// DB is a node's store: a.db.
type DB struct{ node *Node }

// String is a.db.
func (d *DB) String() string { return d.node.String() + ".db" }

// Type is "db".
func (d *DB) Type() string { return "db" }

// Freeze does nothing.
func (d *DB) Freeze() {}

// Truth is always true.
func (d *DB) Truth() starlark.Bool { return true }

// Hash is that of the node.
func (d *DB) Hash() (uint32, error) { return d.node.Hash() }

// activities are the functions that run a lambda, with Mnesia's kind of activity.
var activities = []struct{ name, doc string }{
	{"transaction", "Runs the lambda with all its operations at once or not at all, and gives its value. It may be run again when it meets another transaction. With durable=True it waits until the commit is on the discs (fdatasync)."},
	{"sync_transaction", "As transaction, and waits until every copy has the changes."},
	{"async_dirty", "Runs the lambda without locks; copies follow later."},
	{"sync_dirty", "Runs the lambda without locks; each write waits for every copy."},
	{"ets", "Runs the lambda on this node's memory alone."},
}

func isActivity(name string) bool {
	for _, a := range activities {
		if a.name == name {
			return true
		}
	}
	return false
}

// Attr finds a function of the store.
func (d *DB) Attr(name string) (starlark.Value, error) {
	s := d.node.s
	if v := verbNamed(name); v != nil {
		return s.method(name, func(r *run, _ string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			return d.perform(r, v, args, kwargs)
		}), nil
	}
	if isActivity(name) {
		return s.method(name, d.activity), nil
	}
	for _, f := range dbFunctions {
		if f.name == name {
			return s.method(name, func(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
				return f.call(d, r, name, args, kwargs)
			}), nil
		}
	}
	return nil, starlark.NoSuchAttrError(fmt.Sprintf("the store has no function %s; help(\"db\") lists them", name))
}

// AttrNames lists all functions of the store.
func (d *DB) AttrNames() []string {
	var names []string
	for i := range verbs {
		names = append(names, verbs[i].name)
	}
	for _, a := range activities {
		names = append(names, a.name)
	}
	for _, f := range dbFunctions {
		names = append(names, f.name)
	}
	return names
}

// near is what to add to a complaint about a name: the one that was perhaps meant.
func near(name string, known []string) string {
	best := kit.Near(name, known)
	if len(best) == 0 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best[0])
}

// dbFunction is a function of a.db that is more than one request.
type dbFunction struct {
	name, usage, doc, example string
	call                      func(d *DB, r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)
}

var dbFunctions = []dbFunction{
	{"try_transaction", "lambda tx: ..., [retries=], [durable=]", "As transaction, but gives a result with .ok, .value and .error instead of stopping at an abort.",
		`a.db.try_transaction(lambda tx: tx.abort("no"))`, (*DB).tryTransaction},
	{"activity", "kind, lambda tx: ...", "Runs a lambda as the kind of activity named.", `a.db.activity("sync_dirty", lambda tx: tx.read("person", "ada"))`, (*DB).activityNamed},
	{"begin", `["transaction"], [retries=], [durable=]`, "Opens a transaction to be stepped by hand: tx.read(...), then tx.commit() or tx.abort().", "tx = a.db.begin()", (*DB).begin},
	{"measure", "kind, operation, arguments..., [times=1000]", "Runs an operation so many times on the node itself, each as an activity of its own, and gives the nanoseconds that all took.",
		`a.db.measure("transaction", "read", "person", "ada", times=2000)`, (*DB).measure},
	{"foldl", "function, start, table", "Folds the rows of a table, in a transaction.", `a.db.foldl(lambda row, sum: sum + row.age, 0, "person")`, (*DB).fold},
	{"table", "name", "The table as something to iterate over: rows for list comprehensions.", `[r.name for r in a.db.table("person") if r.age > 30]`, (*DB).tableValue},
	{"tables", "", "The names of the tables.", "a.db.tables()", (*DB).tableNames},
	{"info", "", "Prints the state of the store: nodes, tables, copies, sizes.", "a.db.info()", (*DB).info},
	{"call", "operation, arguments...", "Sends one operation by name, for those that have no function here.", `a.db.call("dirty_read", "person", "ada")`, (*DB).rawOp},
}

// perform runs one verb: as an operation of the thread's transaction when there is one on this node.
func (d *DB) perform(r *run, v *verb, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if v.via == viaTx && r.tx != nil && r.tx.node == d.node {
		return r.tx.perform(r, v, args, kwargs)
	}
	c := &callArgs{r: r, db: d, verb: v, args: args, kwargs: kwargs}
	if err := c.collect(); err != nil {
		return nil, err
	}
	req := door.Request{Verb: v.doorName(), Args: c.out}
	if v.via != viaVerb {
		req = door.Request{Verb: "dirty", Args: []term.Term{append(term.List{term.Atom(c.operation())}, c.out...)}}
	}
	out, err := d.ask(r, req)
	if err != nil {
		return nil, err
	}
	if out.Status == door.OK && (v.name == "subscribe" || v.name == "unsubscribe") {
		r.s.noteSubscription(d.node, v.name, c.out)
	}
	return d.answer(r, v, c.table, out)
}

func (c *callArgs) operation() string {
	if c.do != "" {
		return c.do
	}
	return c.verb.doorName()
}

// ask sends a request with the thread's client name.
func (d *DB) ask(r *run, req door.Request) (door.Outcome, error) {
	req.Client = r.client
	return r.call(d.node.name, req)
}

// answer turns an outcome into a value or an error.
func (d *DB) answer(r *run, v *verb, table string, out door.Outcome) (starlark.Value, error) {
	s := d.node.s
	if v.schema || out.Status != door.OK {
		clear(s.tables)
	}
	if out.Status == door.Timeout && v.name == "wait_for_tables" {
		return nil, &outcomeError{out: out, s: s, node: d.node.String(), what: v.name}
	}
	if out.Status != door.OK {
		return nil, &outcomeError{out: out, s: s, node: d.node.String(), what: v.name}
	}
	return d.show(r, v, table, out)
}

// show decodes a successful answer; where it holds rows, they get the names of their fields.
func (d *DB) show(r *run, v *verb, table string, out door.Outcome) (starlark.Value, error) {
	w := view{s: d.node.s, names: v.names, keys: v.keys}
	if v.rows && table != "" && !bytes.Equal(bytes.TrimSpace(out.Value), []byte("[]")) {
		w.table = r.tableInfo(d.node, table)
	}
	value, err := w.decode(out.Value, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: the node's answer cannot be read: %w", v.name, err)
	}
	return value, nil
}

// tableInfo is what the shell must know of a table to show its rows.
type tableInfo struct {
	record string
	fields []string
}

// tableInfo asks the node once for a table's record name and attributes; nil when it does not know them now.
func (r *run) tableInfo(n *Node, table string) *tableInfo {
	s := r.s
	if info := s.tables[table]; info != nil {
		return info
	}
	record, err := r.tableItem(n, table, "record_name")
	if err != nil {
		return nil
	}
	attributes, err := r.tableItem(n, table, "attributes")
	if err != nil {
		return nil
	}
	name, ok := record.(term.Atom)
	list, ok2 := attributes.(term.List)
	if !ok || !ok2 {
		return nil
	}
	info := &tableInfo{record: string(name)}
	for _, a := range list {
		field, ok := a.(term.Atom)
		if !ok {
			return nil
		}
		info.fields = append(info.fields, string(field))
	}
	s.tables[table] = info
	return info
}

func (r *run) tableItem(n *Node, table, item string) (term.Term, error) {
	out, err := r.call(n.name, door.Request{Client: r.client, Verb: "table_info", Args: []term.Term{term.Atom(table), term.Atom(item)}})
	if err != nil {
		return nil, err
	}
	return out.Term()
}

// rawOp sends an operation that has no function of its own; arguments follow the rule of data.
func (d *DB) rawOp(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) == 0 || len(kwargs) > 0 {
		return nil, errors.New("call: name an operation, then give its arguments")
	}
	op := term.List{}
	for i, a := range args {
		rule := asData
		if i < 2 {
			rule = asName // the operation, and as a rule the table
		}
		t, err := toTerm(a, rule)
		if err != nil {
			return nil, err
		}
		op = append(op, t)
	}
	v := &verb{name: name}
	if r.tx != nil && r.tx.node == d.node {
		return r.tx.send(r, v, "", op)
	}
	out, err := d.ask(r, door.Request{Verb: "dirty", Args: []term.Term{op}})
	if err != nil {
		return nil, err
	}
	return d.answer(r, v, "", out)
}

// tableNames lists the tables, the schema apart.
func (d *DB) tableNames(r *run, _ string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs("tables", args, kwargs); err != nil {
		return nil, err
	}
	names, err := d.nameList(r, "tables")
	if err != nil {
		return nil, err
	}
	kept := names[:0]
	for _, n := range names {
		if n != "schema" {
			kept = append(kept, n)
		}
	}
	return stringList(kept), nil
}

// nameList asks system_info for a list of names.
func (d *DB) nameList(r *run, item string) ([]string, error) {
	out, err := d.ask(r, door.Request{Verb: "system_info", Args: []term.Term{term.Atom(item)}})
	if err != nil {
		return nil, err
	}
	if out.Status != door.OK {
		return nil, &outcomeError{out: out, s: d.node.s, node: d.node.String(), what: "system_info"}
	}
	t, err := out.Term()
	if err != nil {
		return nil, err
	}
	list, _ := t.(term.List)
	var names []string
	for _, x := range list {
		if a, ok := x.(term.Atom); ok {
			names = append(names, string(a))
		}
	}
	return names, nil
}

// measure sends one operation with the number of times to run it, so that the way to the node does not count.
func (d *DB) measure(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	usage := func(why string) error {
		return fmt.Errorf("measure: %s; usage: measure(kind, operation, arguments..., [times=1000])", why)
	}
	times, kwargs, given := takeKeyword(kwargs, "times")
	if !given {
		times = starlark.MakeInt(1000)
	}
	n, err := starlark.AsInt32(times)
	if err != nil || n < 1 || n > maxTimed {
		return nil, usage(fmt.Sprintf("times is between 1 and %d", maxTimed))
	}
	if len(args) < 2 {
		return nil, usage("it needs a kind of activity and an operation")
	}
	kind, err := tableName(args[0])
	if err != nil || !isActivity(kind) {
		return nil, usage(args[0].String() + " is no kind of activity")
	}
	op, err := tableName(args[1])
	if err != nil {
		return nil, usage(err.Error())
	}
	v := verbNamed(op)
	if v == nil || v.via == viaVerb {
		return nil, usage(op + " is no operation on a table")
	}
	c := &callArgs{r: r, db: d, verb: v, args: args[2:], kwargs: kwargs}
	if err := c.collect(); err != nil {
		return nil, err
	}
	ops := term.List{append(term.List{term.Atom(c.operation())}, c.out...)}
	out, err := d.ask(r, door.Request{Verb: name, Args: []term.Term{term.Atom(kind), ops, term.Int(n)}})
	if err != nil {
		return nil, err
	}
	return d.answer(r, &verb{name: name}, "", out)
}

// Table is a table as an iterable: for r in a.db.table("person"). Its rows are read when the iteration
// begins, in the thread's transaction when there is one, else dirty.
type Table struct {
	name string
	d    *DB
}

func (d *DB) tableValue(_ *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "name", &v); err != nil {
		return nil, err
	}
	table, err := tableName(v)
	if err != nil {
		return nil, err
	}
	return &Table{name: table, d: d}, nil
}

// String is a.db.table("person").
func (t *Table) String() string { return fmt.Sprintf("%s.table(%q)", t.d, t.name) }

// Type is "table".
func (t *Table) Type() string { return "table" }

// Freeze does nothing.
func (t *Table) Freeze() {}

// Truth is always true.
func (t *Table) Truth() starlark.Bool { return true }

// Hash is that of the name.
func (t *Table) Hash() (uint32, error) { return Atom(t.name).Hash() }

// Iterate reads the rows. The language gives an iteration no thread, so it borrows the one that last called
// a function of the session, which is the one that runs.
func (t *Table) Iterate() starlark.Iterator {
	r := t.d.node.s.running
	rows, err := t.rows(r)
	if err != nil {
		r.fail(err)
		return starlark.Tuple{}.Iterate()
	}
	return rows.Iterate()
}

func (t *Table) rows(r *run) (starlark.Iterable, error) {
	all := term.List{term.Tuple{term.Atom("_"), term.List{}, term.List{term.Atom("$_")}}}
	v := verbNamed("dirty_select")
	var value starlark.Value
	var err error
	if r.tx != nil && r.tx.node == t.d.node {
		value, err = r.tx.send(r, verbNamed("select"), t.name, term.List{term.Atom("select"), term.Atom(t.name), all})
	} else {
		var out door.Outcome
		if out, err = t.d.ask(r, door.Request{Verb: "dirty", Args: []term.Term{term.List{term.Atom("dirty_select"), term.Atom(t.name), all}}}); err == nil {
			value, err = t.d.answer(r, v, t.name, out)
		}
	}
	if err != nil {
		return nil, err
	}
	rows, ok := value.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("the rows of %s cannot be read", t.name)
	}
	return rows, nil
}

// fail ends the running thread with an error that a place without error results met.
func (r *run) fail(err error) {
	r.failed = err
	r.th.Cancel(err.Error())
}

// fold is Mnesia's foldl: the function is called here, with each row and the value so far.
func (d *DB) fold(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var fn starlark.Callable
	var acc, table starlark.Value
	if err := starlark.UnpackArgs(name, args, kwargs, "function", &fn, "start", &acc, "table", &table); err != nil {
		return nil, err
	}
	tab, err := tableName(table)
	if err != nil {
		return nil, err
	}
	rows, err := (&Table{name: tab, d: d}).rowsInTransaction(r)
	if err != nil {
		return nil, err
	}
	it := rows.Iterate()
	defer it.Done()
	var row starlark.Value
	for it.Next(&row) {
		if acc, err = starlark.Call(r.th, fn, starlark.Tuple{row, acc}, nil); err != nil {
			return nil, err
		}
	}
	return acc, nil
}

// rowsInTransaction refuses to fall back to dirty reads.
func (t *Table) rowsInTransaction(r *run) (starlark.Iterable, error) {
	if r.tx != nil && r.tx.node == t.d.node {
		return t.rows(r)
	}
	out := door.Outcome{Status: door.Aborted, Kind: term.Atom("no_transaction")}
	return nil, &outcomeError{out: out, s: r.s, node: t.d.node.String(), what: "foldl"}
}

// leave tells a node, even when the script was interrupted, that a transaction is over.
func (s *Session) leave(client string, n *Node, req door.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	req.Client = client
	_ = s.w.Call(ctx, client, n.name, req) // the node ends it anyway when the client goes
}
