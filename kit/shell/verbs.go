package shell

import "slices"

// via says how a verb reaches the store.
type via int

const (
	viaVerb  via = iota // a verb of the door
	viaDirty            // an operation that needs no transaction
	viaTx               // an operation of a transaction; outside one the store refuses it
)

// argKind says how a script's argument becomes a term.
type argKind int

const (
	argTable argKind = iota
	argTables
	argData
	argName
	argNames
	argNode
	argNodes
	argSpec
	argInt
	argTimeout // milliseconds, or "infinity"
	argOptions // a dict, a list of pairs, or named arguments
)

type param struct {
	name string
	kind argKind
	opt  bool
}

// verb is one function of a.db, of a transaction, or of both.
type verb struct {
	name    string
	via     via
	do      string // the door's verb or the operation, when it is not the name
	params  []param
	build   func(*callArgs) error // instead of params, for functions with more than one form
	usage   string                // arguments as help shows them
	rows    bool                  // the answer holds rows of the table
	names   bool                  // atoms in the answer are names
	keys    bool                  // atoms that are keys of its maps are names
	schema  bool                  // it changes table definitions
	doc     string
	example string
}

func (v *verb) doorName() string {
	if v.do != "" {
		return v.do
	}
	return v.name
}

var (
	pTable = param{name: "table", kind: argTable}
	pKey   = param{name: "key", kind: argData}
	pLock  = param{name: "lock", kind: argName, opt: true}
	pAttr  = param{name: "attribute", kind: argName}
	pSpec  = param{name: "spec", kind: argSpec}
	pItem  = param{name: "item", kind: argName}
	pNode  = param{name: "node", kind: argNode}
)

// verbs are all functions of the store, in the order of the help.
var verbs = slices.Concat(storeVerbs, schemaVerbs, backupVerbs, splitVerbs, dirtyVerbs, txVerbs)

var storeVerbs = []verb{
	{name: "start", do: "start_store", params: []param{{name: "config", kind: argOptions, opt: true}},
		doc: "Starts the store on this node; tables are loaded in the background.", example: "a.db.start()"},
	{name: "stop", do: "stop_store", doc: "Stops the store on this node in good order.", example: "a.db.stop()"},
	{name: "create_schema", params: []param{{name: "nodes", kind: argNodes}}, schema: true,
		doc: "Makes an empty schema on the discs of these nodes; their stores must be stopped.", example: "a.db.create_schema([a, b, c])"},
	{name: "delete_schema", params: []param{{name: "nodes", kind: argNodes}}, schema: true,
		doc: "Removes schema and tables from the discs of these nodes.", example: "a.db.delete_schema([a])"},
	{name: "wait_for_tables", params: []param{{name: "tables", kind: argTables}, {name: "timeout", kind: argTimeout}},
		doc: "Waits until these tables are loaded here, at most so many milliseconds.", example: `a.db.wait_for_tables(["person"], 5000)`},
	{name: "force_load_table", params: []param{pTable},
		doc: "Loads the copy at hand without waiting for a newer one. What the other nodes wrote last is lost.", example: `a.db.force_load_table("person")`},
	{name: "set_master_nodes", build: (*callArgs).masterNodes, usage: "[table], nodes",
		doc:     "From its next start on this node takes its tables (or this one) from the masters, whatever it has itself.",
		example: `a.db.set_master_nodes("person", [b])`},
	{name: "system_info", params: []param{pItem}, names: true, doc: "Answers a question about the store.", example: `a.db.system_info("running_db_nodes")`},
	{name: "table_info", params: []param{pTable, pItem}, names: true, doc: "Answers a question about a table.", example: `a.db.table_info("person", "size")`},
	{name: "change_config", params: []param{{name: "key", kind: argName}, {name: "value", kind: argNames}},
		doc: "Changes a setting of the running store; extra_db_nodes joins a cluster.", example: `a.db.change_config("extra_db_nodes", [b])`},
	{name: "subscribe", build: (*callArgs).subscription, usage: `"system" | "activity" | "table", name, ["detailed"]`,
		doc: "Asks for events; a.events() shows them.", example: `a.db.subscribe("table", "person")`},
	{name: "unsubscribe", build: (*callArgs).subscription, usage: `"system" | "activity" | "table", name`,
		doc: "Ends a subscription.", example: `a.db.unsubscribe("system")`},
	{name: "set_debug_level", params: []param{{name: "level", kind: argName}},
		doc: "none, verbose, debug or trace.", example: `a.db.set_debug_level("debug")`},
	{name: "report_event", params: []param{{name: "value", kind: argData}}, doc: "Sends mnesia_user to those who subscribed to system events.", example: `a.db.report_event("noon")`},
	{name: "dump_log", doc: "Moves the log into the tables' files.", example: "a.db.dump_log()"},
	{name: "sync_log", doc: "Returns when the log is on disc.", example: "a.db.sync_log()"},
	{name: "dump_tables", params: []param{{name: "tables", kind: argTables}},
		doc: "Writes ram copies to disc, so that they are there after a restart.", example: `a.db.dump_tables(["person"])`},
	{name: "held_locks", names: true, doc: "Lists the locks that transactions hold: table, key, kind, transaction.", example: "a.db.held_locks()"},
	{name: "lock_queue", names: true, doc: "Lists what waits for a lock.", example: "a.db.lock_queue()"},
	{name: "contents", params: []param{pTable}, rows: true, doc: "All rows as this node reads them, dirty.", example: `a.db.contents("person")`},
	{name: "local_contents", params: []param{pTable}, rows: true, doc: "All rows of this node's own copy; \"none\" when it has none.", example: `a.db.local_contents("person")`},
}

var schemaVerbs = []verb{
	{name: "create_table", params: []param{pTable, {name: "options", kind: argOptions, opt: true}}, schema: true,
		doc:     "Makes a table. Options: attributes, type (set, ordered_set, bag), ram_copies, disc_copies, disc_only_copies, index, majority, load_order, access_mode.",
		example: `a.db.create_table("person", attributes=["name", "age"], disc_copies=[a, b])`},
	{name: "delete_table", params: []param{pTable}, schema: true, doc: "Removes the table and all its copies.", example: `a.db.delete_table("person")`},
	{name: "clear_table", params: []param{pTable}, doc: "Deletes all rows.", example: `a.db.clear_table("person")`},
	{name: "add_table_copy", params: []param{pTable, pNode, {name: "type", kind: argName}}, schema: true,
		doc: "Gives a node a copy of the table.", example: `a.db.add_table_copy("person", c, "ram_copies")`},
	{name: "del_table_copy", params: []param{pTable, pNode}, schema: true, doc: "Takes a node's copy away.", example: `a.db.del_table_copy("person", c)`},
	{name: "change_table_copy_type", params: []param{pTable, pNode, {name: "type", kind: argName}}, schema: true,
		doc: "Changes how a node keeps its copy.", example: `a.db.change_table_copy_type("person", c, "disc_copies")`},
	{name: "move_table_copy", params: []param{pTable, {name: "from_node", kind: argNode}, {name: "to_node", kind: argNode}}, schema: true,
		doc: "Moves a copy from one node to another.", example: `a.db.move_table_copy("person", b, c)`},
	{name: "add_table_index", params: []param{pTable, pAttr}, schema: true, doc: "Indexes an attribute.", example: `a.db.add_table_index("person", "age")`},
	{name: "del_table_index", params: []param{pTable, pAttr}, schema: true, doc: "Removes an index.", example: `a.db.del_table_index("person", "age")`},
	{name: "change_table_access_mode", params: []param{pTable, {name: "mode", kind: argName}}, schema: true,
		doc: "read_only or read_write.", example: `a.db.change_table_access_mode("person", "read_only")`},
	{name: "change_table_load_order", params: []param{pTable, {name: "order", kind: argInt}}, schema: true,
		doc: "Higher numbers load earlier.", example: `a.db.change_table_load_order("person", 10)`},
	{name: "change_table_majority", params: []param{pTable, {name: "majority", kind: argName}}, schema: true,
		doc: "With majority, writes need more than half of the copies.", example: `a.db.change_table_majority("person", True)`},
	{name: "transform_table", params: []param{pTable, {name: "fn", kind: argNames}, {name: "attributes", kind: argNames}, {name: "record_name", kind: argName, opt: true}},
		schema: true, doc: "Changes all rows to a new shape. fn is \"ignore\" or a list of changes such as {\"append\": 0}.",
		example: `a.db.transform_table("person", [{"append": 0}], ["name", "age", "score"])`},
	{name: "write_table_property", params: []param{pTable, {name: "property", kind: argNames}}, schema: true,
		doc: "Attaches a tuple to the table's definition.", example: `a.db.write_table_property("person", ("owner", "hr"))`},
	{name: "read_table_property", params: []param{pTable, {name: "key", kind: argNames}}, doc: "Reads such a tuple.", example: `a.db.read_table_property("person", "owner")`},
	{name: "delete_table_property", params: []param{pTable, {name: "key", kind: argNames}}, schema: true,
		doc: "Removes such a tuple.", example: `a.db.delete_table_property("person", "owner")`},
}

var (
	pFile = param{name: "file", kind: argData}
	pOpts = param{name: "options", kind: argOptions, opt: true}
)

var backupVerbs = []verb{
	{name: "backup", params: []param{pFile}, names: true, doc: "Writes a backup of all tables: one consistent state, while others go on writing. The file is the node's.",
		example: `a.db.backup("monday")`},
	{name: "restore", params: []param{pFile, pOpts}, names: true,
		doc:     "Puts a backup's content into the tables. Options: skip_tables, clear_tables, keep_tables, recreate_tables, default_op.",
		example: `a.db.restore("monday", default_op="recreate_tables")`},
	{name: "backup_contents", params: []param{pFile}, doc: "What a backup holds.", example: `a.db.backup_contents("monday")`},
	{name: "traverse_backup", params: []param{pFile, pTable, {name: "fn", kind: argNames}, {name: "to", kind: argData}},
		doc:     "Changes a backup's records of a table, into another backup; \"read_only\" only counts them.",
		example: `a.db.traverse_backup("monday", "person", [{"append": 0}], "tuesday")`},
	{name: "install_fallback", params: []param{pFile, pOpts}, names: true, doc: "From the next start on, the discs have a backup's content.",
		example: `a.db.install_fallback("monday")`},
	{name: "uninstall_fallback", params: []param{pOpts}, names: true, doc: "Takes the fallback away.", example: "a.db.uninstall_fallback()"},
	{name: "activate_checkpoint", params: []param{{name: "options", kind: argOptions}}, names: true,
		doc: "Keeps the state that tables have now. Options: name, max or min (tables), ram_overrides_dump.", example: `a.db.activate_checkpoint(name="noon", max=["person"])`},
	{name: "deactivate_checkpoint", params: []param{{name: "name", kind: argName}}, names: true, doc: "Forgets a checkpoint.", example: `a.db.deactivate_checkpoint("noon")`},
	{name: "backup_checkpoint", params: []param{{name: "name", kind: argName}, pFile, pOpts}, names: true, doc: "Writes the state of a checkpoint to a backup.",
		example: `a.db.backup_checkpoint("noon", "monday")`},
	{name: "load_textfile", params: []param{{name: "text", kind: argData}}, names: true,
		doc: "Makes tables and fills them from the text of Mnesia's format: a term {tables, [...]}, then records.", example: `a.db.load_textfile("{tables, [{t, []}]}.\n{t, 1, 2}.\n")`},
	{name: "dump_to_textfile", params: []param{{name: "file", kind: argData, opt: true}}, doc: "Writes the node's tables as text.", example: "a.db.dump_to_textfile()"},
}

var splitVerbs = []verb{
	{name: "split_info", names: true, doc: "The tables that have lost a node with a copy, and for how many seconds.", example: "a.db.split_info()"},
	{name: "split_changes", params: []param{pTable, pNode}, keys: true,
		doc:     "What this node changed in a table since it lost that node: of each key the first change, the rows before it, the latest.",
		example: `a.db.split_changes("person", b)`},
	{name: "forget_split", params: []param{pTable, pNode}, names: true, doc: "Ends that, when both copies were made equal by hand.",
		example: `a.db.forget_split("person", b)`},
	{name: "table_diff", params: []param{pTable, pNode}, keys: true,
		doc:     "The rows in which another node's copy differs, and what each node did to them since the split.",
		example: `a.db.table_diff("person", b)`},
}

var dirtyVerbs = []verb{
	{name: "dirty_read", via: viaDirty, params: []param{pTable, pKey}, rows: true, doc: "Reads rows by key, without locks.", example: `a.db.dirty_read("person", "ada")`},
	{name: "dirty_write", via: viaDirty, build: (*callArgs).row, usage: "[table], record | fields...",
		doc: "Writes a row without locks or a transaction.", example: `a.db.dirty_write("person", "ada", 36)`},
	{name: "dirty_delete", via: viaDirty, params: []param{pTable, pKey}, doc: "Deletes by key.", example: `a.db.dirty_delete("person", "ada")`},
	{name: "dirty_delete_object", via: viaDirty, build: (*callArgs).row, usage: "[table], record | fields...", doc: "Deletes exactly this row.",
		example: `a.db.dirty_delete_object("person", "ada", 36)`},
	{name: "dirty_update_counter", via: viaDirty, params: []param{pTable, pKey, {name: "n", kind: argInt}}, doc: "Adds to a counter and gives the new value.",
		example: `a.db.dirty_update_counter("hits", "home", 1)`},
	{name: "dirty_match_object", via: viaDirty, build: (*callArgs).pattern, usage: "[table], pattern | field=value...", rows: true,
		doc: "Rows that match; \"_\" matches anything.", example: `a.db.dirty_match_object("person", age=36)`},
	{name: "dirty_select", via: viaDirty, params: []param{pTable, pSpec}, rows: true, doc: "Rows by a match specification.",
		example: `a.db.dirty_select("person", [(("person", "$1", "$2"), [(">", "$2", 30)], ["$1"])])`},
	{name: "dirty_index_read", via: viaDirty, params: []param{pTable, {name: "value", kind: argData}, pAttr}, rows: true, doc: "Rows by an indexed attribute.",
		example: `a.db.dirty_index_read("person", 36, "age")`},
	{name: "dirty_index_match_object", via: viaDirty, build: (*callArgs).indexPattern, usage: "[table], pattern, attribute", rows: true,
		doc: "As dirty_match_object, by an index.", example: `a.db.dirty_index_match_object("person", ("person", "_", 36), "age")`},
	{name: "dirty_all_keys", via: viaDirty, params: []param{pTable}, doc: "All keys.", example: `a.db.dirty_all_keys("person")`},
	{name: "dirty_first", via: viaDirty, params: []param{pTable}, doc: "The first key, or $end_of_table.", example: `a.db.dirty_first("person")`},
	{name: "dirty_last", via: viaDirty, params: []param{pTable}, doc: "The last key.", example: `a.db.dirty_last("person")`},
	{name: "dirty_next", via: viaDirty, params: []param{pTable, pKey}, doc: "The key after this one.", example: `a.db.dirty_next("person", "ada")`},
	{name: "dirty_prev", via: viaDirty, params: []param{pTable, pKey}, doc: "The key before this one.", example: `a.db.dirty_prev("person", "ada")`},
	{name: "dirty_walk", via: viaDirty, params: []param{pTable}, doc: "All keys, by dirty_first and dirty_next.", example: `a.db.dirty_walk("person")`},
	{name: "dirty_walk_back", via: viaDirty, params: []param{pTable}, doc: "All keys, by dirty_last and dirty_prev.", example: `a.db.dirty_walk_back("person")`},
}

var txVerbs = []verb{
	{name: "read", via: viaTx, params: []param{pTable, pKey, pLock}, rows: true, doc: "Reads rows by key under a read lock.", example: `tx.read("person", "ada")`},
	{name: "wread", via: viaTx, params: []param{pTable, pKey}, rows: true, doc: "Reads under a write lock, for rows that will be changed.", example: `tx.wread("person", "ada")`},
	{name: "write", via: viaTx, build: (*callArgs).row, usage: "[table], record | fields..., [lock=]", doc: "Writes a row under a write lock.", example: `tx.write("person", "ada", 37)`},
	{name: "s_write", via: viaTx, build: (*callArgs).rowOnly, usage: "record", doc: "Writes under a sticky lock.", example: `tx.s_write(("person", "ada", 37))`},
	{name: "delete", via: viaTx, params: []param{pTable, pKey, pLock}, doc: "Deletes by key.", example: `tx.delete("person", "ada")`},
	{name: "s_delete", via: viaTx, params: []param{pTable, pKey}, doc: "Deletes under a sticky lock.", example: `tx.s_delete("person", "ada")`},
	{name: "delete_object", via: viaTx, build: (*callArgs).row, usage: "[table], record | fields..., [lock=]", doc: "Deletes exactly this row.",
		example: `tx.delete_object("person", "ada", 36)`},
	{name: "match_object", via: viaTx, build: (*callArgs).pattern, usage: "[table], pattern | field=value..., [lock=]", rows: true,
		doc: "Rows that match; \"_\" matches anything.", example: `tx.match_object("person", age=36)`},
	{name: "select", via: viaTx, params: []param{pTable, pSpec, pLock}, rows: true, doc: "Rows by a match specification.",
		example: `tx.select("person", [(("person", "$1", "$2"), [(">", "$2", 30)], ["$_"])])`},
	{name: "select_chunks", via: viaTx, params: []param{pTable, pSpec, {name: "limit", kind: argInt}, pLock}, rows: true,
		doc: "As select, in parts of about so many rows.", example: `tx.select_chunks("person", [("_", [], ["$_"])], 10)`},
	{name: "index_read", via: viaTx, params: []param{pTable, {name: "value", kind: argData}, pAttr}, rows: true, doc: "Rows by an indexed attribute.",
		example: `tx.index_read("person", 36, "age")`},
	{name: "index_match_object", via: viaTx, build: (*callArgs).indexPattern, usage: "[table], pattern, attribute, [lock]", rows: true,
		doc: "As match_object, by an index.", example: `tx.index_match_object("person", ("person", "_", 36), "age")`},
	{name: "qlc", via: viaTx, build: (*callArgs).query, usage: "table, [where=], [select=], [join=], [sort=], [lock=]",
		doc: "A query comprehension, done by the store: it goes by the key, an index or a range of keys where it can. where is (attribute, operator, value), select an attribute, join (table, attribute, attribute of it, what to take of it).", example: `tx.qlc("person", where=("age", ">", 30), select="name", sort=True)`},
	{name: "explain", via: viaTx, build: (*callArgs).query, usage: "table, [where=], [select=], [join=], [sort=], [lock=]", names: true,
		doc:     "How qlc would find the rows of each table: by key, index, range (of keys, in an ordered_set), scan (each row is looked at where the copy is), or hash (of a join, each row once).",
		example: `tx.explain("person", where=("name", "=:=", "ada"))`},
	{name: "all_keys", via: viaTx, params: []param{pTable}, doc: "All keys.", example: `tx.all_keys("person")`},
	{name: "first", via: viaTx, params: []param{pTable}, doc: "The first key, or $end_of_table.", example: `tx.first("person")`},
	{name: "last", via: viaTx, params: []param{pTable}, doc: "The last key.", example: `tx.last("person")`},
	{name: "next", via: viaTx, params: []param{pTable, pKey}, doc: "The key after this one.", example: `tx.next("person", "ada")`},
	{name: "prev", via: viaTx, params: []param{pTable, pKey}, doc: "The key before this one.", example: `tx.prev("person", "ada")`},
	{name: "walk", via: viaTx, params: []param{pTable}, doc: "All keys, by first and next.", example: `tx.walk("person")`},
	{name: "walk_back", via: viaTx, params: []param{pTable}, doc: "All keys, by last and prev.", example: `tx.walk_back("person")`},
	{name: "lock", via: viaTx, build: (*callArgs).lockItem, usage: `("table", t) | ("record", t, key) | ("global", key, nodes), kind`,
		doc: "Takes a lock: read, write or sticky_write.", example: `tx.lock(("record", "person", "ada"), "write")`},
	{name: "read_lock_table", via: viaTx, params: []param{pTable}, doc: "Locks the whole table for reading.", example: `tx.read_lock_table("person")`},
	{name: "write_lock_table", via: viaTx, params: []param{pTable}, doc: "Locks the whole table for writing.", example: `tx.write_lock_table("person")`},
	{name: "is_transaction", via: viaTx, names: true, doc: "Whether this runs in a transaction.", example: "tx.is_transaction()"},
}

// verbNamed finds a function of the store; nil when there is none.
func verbNamed(name string) *verb {
	for i := range verbs {
		if verbs[i].name == name {
			return &verbs[i]
		}
	}
	return nil
}
