package shell

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

// page is one thing that help knows.
type page struct {
	name, signature, doc, example string
}

// pages lists every function once: those of the store under their names, and the language's own.
func (s *Session) pages() []page {
	list := []page{{"help", "help([name])", "Explains a function, or lists what there is.", `help("dirty_write")`}}
	for _, f := range functions {
		list = append(list, page{f.name, f.name + "(" + f.usage + ")", f.doc, f.example})
	}
	for i := range verbs {
		v := &verbs[i]
		on := "a.db."
		if v.via == viaTx {
			on = "tx."
		}
		list = append(list, page{v.name, on + v.signature(), v.doc, v.example})
	}
	for _, a := range activities {
		list = append(list, page{a.name, "a.db." + a.name + "(lambda tx: ..., [retries=], [durable=])", a.doc,
			fmt.Sprintf(`a.db.%s(lambda tx: tx.write("person", "ada", 37))`, a.name)})
	}
	for _, f := range dbFunctions {
		list = append(list, page{f.name, "a.db." + f.name + "(" + f.usage + ")", f.doc, f.example})
	}
	for _, f := range txFunctions {
		list = append(list, page{"tx." + f.name, "tx." + f.name + "(" + f.usage + ")", f.doc, ""})
	}
	for _, f := range nodeFunctions {
		list = append(list, page{"node." + f.name, "a." + f.name + "(" + f.usage + ")", f.doc, f.example})
	}
	return list
}

// topics are the longer texts.
var topics = []struct{ name, text string }{
	{"values", `Text, names and numbers

  "ada"         text: a binary in the store (<<"ada">> in Erlang)
  atom("ada")   an atom: ada in Erlang; None, True and False are the atoms
                undefined, true and false
  b"\x00\x01"   bytes, never anything else
  36  2.5       integers of any size, floats
  ("ada", 36)   tuple      ["ada", 36]  list      {"ada": 36}  map
  a             a node; where a value is meant, the atom of its name

A string stands for an atom where only a name can be meant: tables, attributes,
options, items of table_info, kinds of lock, the name of a record. In patterns
"_" and "$1" are match variables. Answers about tables and nodes show names as
strings, rows show atoms bare: status=active is an atom, status="active" is text.

A row is a record: r.age reads a field, r[1] is the key, r.replace(age=37) makes
a changed copy. Three ways to write the same row:

  a.db.dirty_write("person", "ada", 36)
  a.db.dirty_write(("person", "ada", 36))          # as Mnesia has it
  a.db.dirty_write("person", name="ada", age=36)
`},
	{"transactions", `Transactions

  a.db.transaction(lambda tx: tx.write("person", "ada", 37))

  def birthday(tx):
      for r in tx.wread("person", "ada"):
          tx.write(r.replace(age=r.age + 1))
  a.db.transaction(birthday)

The function may run more than once: when it meets an older transaction, its
locks are released and it starts again. So let it do nothing but read and write.
tx.abort(reason) or fail("...") gives it up, and nothing it wrote remains;
a.db.try_transaction gives a result with .ok and .error instead of an error.
tx.transaction(...) nests. Without tx, a.db.read(...) inside the function belongs
to the transaction too, and outside it is refused (no_transaction).

Step by step, to see two of them meet:

  t1 = a.db.begin()
  t2 = b.db.begin()
  t1.write("person", "ada", 1)
  t2.read("person", "ada")      # blocked
  t1.commit()
  t2.wait()                     # now it has its answer
`},
	{"processes", `Processes

  p = a.spawn("b", "counter")     # runs at b; what it writes is shown here
  a.processes()                   # what runs on a; processes() on all nodes
  a.process_info(p)               # all that is known of one of them
  a.send(p, "increment")          # no answer: whether it arrives nobody tells
  a.send(p, ("get", a.self()))    # a.self() is your own process at a
  a.await_message("count")        # waits for the answer (count, N)
  a.flush()                       # all the messages that it got
  a.monitor(p)                    # DOWN with the reason comes when p ends
  a.exit(p, "kill")
  a.await_message("DOWN", p)      # waits for that of p
  a.monitor_nodes(True)           # nodeup and nodedown come from now on
  await_event(a, "nodedown")      # waits for one
  a.rpc("b", "add", 1, 2)         # a function's answer, or badrpc

a.functions() lists what can be run; a program of yours adds its own
(node.App{Funcs: ...}). Names: a.register("counter", p) on one node,
a.global_register("boss", p) on all. When two sides of a cut gave the same
name away, the heal settles it: by default the process on the later node is
killed. A message to a node that is not connected connects to it first.
`},
	{"supervisors", `Supervisors

A supervisor starts processes and restarts those that end:

  sup = a.supervisor(children=[child("c1", "counter"), child("c2", "counter", 40)])
  a.which_children(sup)           # (id, pid, type, [function])
  a.exit(a.which_children(sup)[0][1], "kill")    # restarted: once in 5 seconds
  a.start_child(sup, child("c3", "counter", restart="transient"))
  a.terminate_child(sup, "c3"); a.restart_child(sup, "c3")
  child("sub", "supervisor", strategy="one_for_all", children=[...])    # a tree

A distributed one has a part on each member, under its name, and asks which of
them has the fewest children for each new one:

  a.dist_supervisor("workers", members=[a, b, c])
  a.start_child("workers", child("w1", "counter"))
  a.which_children("workers")     # the pids tell the nodes
  a.members("workers")
  kill(b)                         # b's children are restarted elsewhere, anew
  restart(b); a.rebalance("workers")

In a split each part takes the others for lost and restarts their children: the
same child lives twice. After the heal the copy that was moved least stays, the
others end with shutdown, and what they had done is lost. With quorum=True a part
without the majority of the members stops its children, which the others restart
3.5 seconds after they last heard of it: none lives twice.
`},
	{"language", `The language

It is Starlark, a small Python: numbers, strings, lists, dicts, tuples, def, lambda,
if, for, while, comprehensions. Queries are comprehensions:

  [r.name for r in a.db.table("person") if r.age > 30]

There are no classes, exceptions or imports: attempt(lambda: ...) gives a result
with .ok, .value and .error; check(condition, "message") stops the script;
load("file.star", "name") takes names from another file. Text is put together with
"%s is %d" % (name, age). _ is the last value. A name starting with lower case
that you assign hides a function of that name, nodes included.
`},
}

// help is help(), help("topic") and help("function").
func help(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var what starlark.Value = starlark.None
	if err := starlark.UnpackArgs(name, args, kwargs, "name?", &what); err != nil {
		return nil, err
	}
	text := ""
	switch what := what.(type) {
	case starlark.NoneType:
		text = r.s.overview()
	case starlark.String:
		text = r.s.helpOn(string(what))
	case *starlark.Builtin:
		text = r.s.helpOn(what.Name())
	case *DB:
		text = r.s.helpOn("db")
	case *Tx:
		text = r.s.helpOn("tx")
	case *Node:
		text = r.s.helpOn("node")
	default:
		text = fmt.Sprintf("This is a %s. It has: %s", what.Type(), strings.Join(attrNames(what), ", "))
	}
	r.print(r.th, strings.TrimRight(text, "\n"))
	return starlark.None, nil
}

func attrNames(v starlark.Value) []string {
	if h, ok := v.(starlark.HasAttrs); ok {
		return h.AttrNames()
	}
	return []string{"nothing by name"}
}

func (s *Session) overview() string {
	var b strings.Builder
	node := s.anyNode()
	fmt.Fprintf(&b, "Nodes: %s. A node's store is %s.db, with Mnesia's functions:\n\n", s.nodeNames(), node)
	fmt.Fprintf(&b, "  %s.db.start()                               help(\"db\") lists them all\n", node)
	fmt.Fprintf(&b, "  %s.db.create_table(\"person\", attributes=[\"name\", \"age\"])\n", node)
	fmt.Fprintf(&b, "  %s.db.dirty_write(\"person\", \"ada\", 36)\n", node)
	fmt.Fprintf(&b, "  %s.db.transaction(lambda tx: tx.read(\"person\", \"ada\"))\n\n", node)
	section := func(title string, names []string) {
		fmt.Fprintf(&b, "%s:\n%s\n\n", title, wrap(strings.Join(names, ", "), s.opts.Width, "  "))
	}
	section("The whole cluster at a glance", functionNames(viewFunctions))
	section("Faults", functionNames(faultFunctions))
	section("Waiting and measuring", functionNames(waitFunctions))
	section("Values and the rest", append(functionNames(valueFunctions), functionNames(taskFunctions)...))
	if len(s.opts.Hooks) > 0 {
		var names []string
		for name := range s.opts.Hooks {
			names = append(names, name)
		}
		slices.Sort(names)
		section("This lab adds", names)
	}
	if s.opts.Lab != "" {
		fmt.Fprintf(&b, "lab.data is this lab's data: %s\n\n", cutText(valueText(s.globals["lab"].(*fieldsValue).get("data")), 200))
	}
	b.WriteString("help(\"cut\") explains one function; help(\"values\"), help(\"transactions\"),\nhelp(\"processes\"), help(\"supervisors\") and help(\"language\") explain more;\nhelp(\"node\"), help(\"db\") and help(\"tx\") list.")
	return b.String()
}

func functionNames(list []function) []string {
	var names []string
	for _, f := range list {
		names = append(names, f.name)
	}
	return names
}

// helpOn explains one function or topic, or says what is near.
func (s *Session) helpOn(name string) string {
	for _, t := range topics {
		if t.name == name {
			return strings.TrimRight(t.text+"\n"+strings.Join(s.pagesOn(name), "\n"), "\n")
		}
	}
	switch name {
	case "db":
		return s.listing("Functions of a node's store, as a.db.NAME(...)", dbNames())
	case "tx":
		return s.listing("What a transaction has, as tx.NAME(...)", (&Tx{}).AttrNames())
	case "node":
		return s.listing("What a node has, as a.NAME(...)", (&Node{}).AttrNames())
	}
	if found := s.pagesOn(name); len(found) > 0 {
		return strings.Join(found, "\n")
	}
	if _, isHook := s.opts.Hooks[name]; isHook {
		return name + "(...)\n  A function of this lab: see its brief."
	}
	var known []string
	for _, p := range s.pages() {
		known = append(known, p.name)
	}
	return fmt.Sprintf("There is no %s%s.", name, near(name, known))
}

// pagesOn explains every function of a name.
func (s *Session) pagesOn(name string) []string {
	var found []string
	for _, p := range s.pages() {
		if p.name == name || strings.HasSuffix(p.name, "."+name) {
			text := p.signature + "\n" + wrap(p.doc, s.opts.Width, "  ")
			if p.example != "" {
				text += "\n  " + p.example
			}
			found = append(found, text)
		}
	}
	return found
}

func dbNames() []string {
	var names []string
	for _, n := range (&DB{}).AttrNames() {
		if v := verbNamed(n); v == nil || v.via != viaTx {
			names = append(names, n)
		}
	}
	return names
}

func (s *Session) listing(title string, names []string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	return title + ":\n" + wrap(strings.Join(slices.Compact(names), ", "), s.opts.Width, "  ") + "\nhelp(\"NAME\") explains one."
}
