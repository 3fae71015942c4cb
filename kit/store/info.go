package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"netsplit/kit"
	"netsplit/kit/term"
)

// tableItems are the items of TableInfo that the word all lists.
var tableItems = []string{"access_mode", "active_replicas", "all_nodes", "arity", "attributes", "checkpoints", "commit_work", "cookie",
	"cstruct", "disc_copies", "disc_only_copies", "external_copies", "frag_properties", "index", "index_info", "load_by_force", "load_node", "load_order",
	"load_reason", "local_content", "majority", "master_nodes", "memory", "ram_copies", "record_name", "record_validation", "size", "snmp",
	"storage_properties", "storage_type", "subscribers", "type", "user_properties", "version", "where_to_commit", "where_to_read",
	"where_to_wlock", "where_to_write", "wild_pattern"}

// TableInfo gives one property of a table, as mnesia:table_info/2: see Mnesia's manual for the items.
func (s *Store) TableInfo(name string, item term.Term) (term.Term, error) {
	s.mu.Lock()
	t := s.tabs[name]
	up := s.phase == running || s.phase == starting
	masters := s.masters[name]
	s.mu.Unlock()
	word, _ := item.(term.Atom)
	if t == nil || !up {
		switch word {
		case "size", "memory":
			return term.Int(0), nil
		case "master_nodes":
			return term.List{}, nil
		}
		return nil, exit("no_exists", term.Atom(name), item)
	}
	if word == "all" {
		var l term.List
		for _, i := range tableItems {
			if v, ok := s.tableItem(t, i, masters); ok {
				l = append(l, term.T(term.Atom(i), v))
			}
		}
		if name == "schema" {
			l = append(l, term.T(term.Atom("tables"), names(s.tableNames())), term.T(term.Atom("local_tables"), names(s.localTables())))
		}
		for _, p := range t.Index {
			l = append(l, term.T(term.T(term.Atom("index"), term.Int(p)), indexStore(t.own)))
		}
		return l, nil
	}
	if v, ok := s.tableItem(t, string(word), masters); ok {
		return v, nil
	}
	return nil, exit("no_exists", term.Atom(name), item)
}

func (s *Store) tableItem(t *tab, item string, masters []kit.NodeName) (term.Term, bool) {
	if v, ok := t.Def.item(item); ok {
		return v, true
	}
	switch item {
	case "storage_type":
		return term.Atom(t.own), true
	case "size":
		if t.Name == "schema" {
			return term.Int(len(s.tableNames())), true
		}
		if t.data == nil {
			if t.own != Unknown {
				return term.Atom("undefined"), true // the copy is not loaded
			}
			return term.Int(0), true
		}
		return term.Int(t.data.size()), true
	case "memory":
		return term.Int(0), true // what the copy takes is not measured table by table
	case "where_to_read":
		if t.read == "" {
			return term.Atom("nowhere"), true
		}
		return node(t.read), true
	case "where_to_write":
		return nodeList(t.writers()), true
	case "where_to_wlock":
		return term.T(nodeList(t.writers()), term.Bool(t.Majority)), true
	case "where_to_commit":
		l := term.List{}
		for _, n := range t.targets() {
			l = append(l, term.T(node(n), term.Atom(t.storage(n))))
		}
		return l, true
	case "active_replicas":
		return nodeList(t.active), true
	case "master_nodes":
		return nodeList(masters), true
	case "load_by_force":
		return term.Bool(t.forced), true
	case "load_node", "load_reason":
		return t.origin(item), true
	case "index_info":
		return t.indexInfo(), true
	case "commit_work":
		if len(t.Index) > 0 {
			return term.L(t.indexInfo()), true // a commit keeps the indexes
		}
		return term.List{}, true
	case "subscribers":
		l := term.List{}
		for range s.hub.subscribers(t.Name) {
			l = append(l, term.Opaque{Sort: "pid"})
		}
		return l, true
	case "checkpoints":
		return s.tableCheckpoints(t.Name), true
	case "snmp", "frag_properties", "external_copies":
		return term.List{}, true
	}
	return nil, false
}

// origin tells where the own copy's rows came from, or why they were loaded.
func (t *tab) origin(item string) term.Term {
	switch {
	case item == "load_node" && t.from != "":
		return node(t.from)
	case item == "load_reason" && t.why != nil:
		return t.why
	}
	return term.Atom("unknown")
}

// indexInfo is Mnesia's record of a table's indexes: {index, Type, [{{Pos, ordered}, Store}]}.
func (t *tab) indexInfo() term.Term {
	l := term.List{}
	for _, p := range t.Index {
		l = append(l, term.T(ixTerm(p), indexStore(t.own)))
	}
	typ := "set"
	if t.Type == "bag" {
		typ = "bag"
	}
	return term.T(term.Atom("index"), term.Atom(typ), l)
}

// indexStore is what holds an index: a table in memory, whatever holds the rows.
func indexStore(Storage) term.Term { return term.T(term.Atom("ram"), term.Opaque{Sort: "ref"}) }

// item gives what the definition itself says.
func (d *Def) item(item string) (term.Term, bool) {
	switch item {
	case "type":
		return term.Atom(d.Type), true
	case "attributes":
		return names(d.Attributes), true
	case "arity":
		return term.Int(d.arity()), true
	case "ram_copies":
		return nodeList(d.RAM), true
	case "disc_copies":
		return nodeList(d.Disc), true
	case "disc_only_copies":
		return nodeList(d.DiscOnly), true
	case "all_nodes":
		return nodeList(d.holders()), true
	case "index":
		l := term.List{}
		for _, p := range d.Index {
			l = append(l, term.Int(p))
		}
		return l, true
	case "record_name":
		return term.Atom(d.RecordName), true
	case "record_validation":
		return term.T(term.Atom(d.RecordName), term.Int(d.arity()), term.Atom(d.Type)), true
	case "access_mode":
		if d.ReadOnly {
			return term.Atom("read_only"), true
		}
		return term.Atom("read_write"), true
	case "load_order":
		return term.Int(d.LoadOrder), true
	case "local_content":
		return term.Bool(d.LocalContent), true
	case "majority":
		return term.Bool(d.Majority), true
	case "wild_pattern":
		return d.wild(), true
	case "user_properties":
		return orEmpty(d.UserProps), true
	case "storage_properties":
		return orEmpty(d.StorageProps), true
	case "cookie":
		return d.Cookie.term(), true
	case "version":
		number := d.number()
		if d.Version.By == (Cookie{}) {
			return term.T(number, term.List{}), true // as it was made
		}
		return term.T(number, term.T(node(d.Version.By.Node), term.Int(d.Version.By.Time))), true
	case "cstruct":
		return d.term(), true
	}
	return nil, false
}

// number is the definition's version as two numbers.
func (d *Def) number() term.Term { return term.T(term.Int(d.Version.Major), term.Int(d.Version.Minor)) }

func orEmpty(l term.List) term.List {
	if l == nil {
		return term.List{}
	}
	return l
}

func (s *Store) tableNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sortedKeys(s.tabs)
}

// localTables lists the tables with a copy on this node.
func (s *Store) localTables() (l []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range sortedKeys(s.tabs) {
		if s.tabs[name].own != Unknown {
			l = append(l, name)
		}
	}
	return l
}

// systemItems are the items of SystemInfo.
var systemItems = []string{"access_module", "auto_repair", "backend_types", "backup_module", "checkpoints", "core_dir", "db_nodes",
	"dc_dump_limit", "debug", "directory", "dump_log_load_regulation", "dump_log_time_threshold", "dump_log_update_in_place",
	"dump_log_write_threshold", "event_module", "extra_db_nodes", "fallback_activated", "fallback_error_function", "held_locks",
	"ignore_fallback_at_startup", "is_running", "local_tables", "lock_queue", "log_version", "master_node_tables",
	"max_transfer_size", "max_wait_for_decision", "no_table_loaders", "protocol_version", "running_db_nodes", "schema_location",
	"schema_version", "send_compressed", "subscribers", "tables", "transaction_commits", "transaction_failures",
	"transaction_log_writes", "transaction_restarts", "transactions", "use_dir", "version"}

// listedStopped are the items that the word all lists of a stopped store.
var listedStopped = []string{"auto_repair", "backup_module", "core_dir", "db_nodes", "debug", "directory", "dump_log_load_regulation",
	"dump_log_time_threshold", "dump_log_update_in_place", "dump_log_write_threshold", "event_module", "extra_db_nodes",
	"fallback_error_function", "ignore_fallback_at_startup", "is_running", "log_version", "max_wait_for_decision", "protocol_version",
	"running_db_nodes", "schema_location", "schema_version", "use_dir", "version"}

// fixedItems are those that say which Mnesia this store is like.
var fixedItems = map[string]term.Term{
	"version": term.Str("4.21.3"), "log_version": term.Str("4.3"), "protocol_version": term.T(term.Int(8), term.Int(6)),
	"backend_types": term.L(term.Atom(RAM), term.Atom(Disc), term.Atom(DiscOnly)),
}

// SystemInfo gives one property of the store, as mnesia:system_info/1: see Mnesia's manual for the items. The word all
// gives a list of pairs of those that can be told now.
func (s *Store) SystemInfo(item term.Term) (term.Term, error) {
	word, ok := item.(term.Atom)
	up := s.Running()
	if word == "all" {
		items := systemItems
		if !up {
			items = listedStopped
		}
		var l term.List
		for _, i := range items {
			if v, err := s.SystemInfo(term.Atom(i)); err == nil {
				l = append(l, term.T(term.Atom(i), v))
			}
		}
		return l, nil
	}
	if !ok || !slices.Contains(systemItems, string(word)) {
		return nil, exit("badarg", item)
	}
	if v, ok := fixedItems[string(word)]; ok {
		return v, nil
	}
	if word != "debug" && word != "extra_db_nodes" {
		if v, ok := s.settingOf(word); ok {
			return v, nil
		}
	}
	if !up {
		return s.stoppedItem(string(word))
	}
	return s.systemItem(string(word))
}

// stoppedItem gives an item of a store that does not run, or refuses it as Mnesia does, which crashes in some.
func (s *Store) stoppedItem(item string) (term.Term, error) {
	down := node(s.self)
	switch item {
	case "held_locks", "lock_queue", "transaction_commits", "transaction_failures", "transaction_log_writes", "transaction_restarts":
		return nil, exit("badarg")
	case "transactions":
		return nil, exit("badmatch", term.T(term.Atom("error"), term.T(term.Atom("node_not_running"), down)))
	case "master_node_tables":
		return term.List{}, nil
	case "schema_version":
		s.mu.Lock()
		defer s.mu.Unlock()
		if defs, err := s.readDefs(); err == nil && defs["schema"] != nil {
			return defs["schema"].number(), nil
		}
		return term.T(term.Int(0), term.Int(0)), nil
	case "checkpoints", "local_tables", "subscribers", "tables":
		return nil, exit("node_not_running", down)
	}
	return s.systemItem(item)
}

func (s *Store) systemItem(item string) (term.Term, error) {
	switch item {
	case "is_running":
		return term.Atom(s.Phase()), nil
	case "checkpoints":
		return names(s.Checkpoints()), nil
	case "fallback_activated":
		return term.Bool(s.Fallback()), nil
	case "held_locks":
		return lockTerms(s.HeldLocks()), nil
	case "lock_queue":
		return lockTerms(s.LockQueue()), nil
	case "transactions":
		return s.transactionTerms(), nil
	case "transaction_commits":
		return term.Int(s.count.commits.Load()), nil
	case "transaction_failures":
		return term.Int(s.count.failures.Load()), nil
	case "transaction_restarts":
		return term.Int(s.count.restarts.Load()), nil
	case "transaction_log_writes":
		return term.Int(s.count.logged.Load() + s.count.schema.Load()), nil
	case "subscribers":
		l := term.List{}
		for range s.hub.systemSubscribers() {
			l = append(l, term.Opaque{Sort: "pid"})
		}
		return l, nil
	case "local_tables":
		return names(s.localTables()), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch item {
	case "db_nodes":
		return nodeList(s.dbNodes()), nil
	case "running_db_nodes":
		return nodeList(s.runningNodes()), nil
	case "extra_db_nodes":
		return nodeList(s.extra), nil
	case "use_dir":
		return term.Bool(s.useDir()), nil
	case "debug":
		return term.Atom(s.debug), nil
	case "directory":
		return term.Str("mnesia_" + string(s.self)), nil
	case "tables":
		return names(sortedKeys(s.tabs)), nil
	case "master_node_tables":
		return names(sortedKeys(s.masters)), nil
	case "schema_version":
		return s.tabs["schema"].Def.number(), nil
	}
	return nil, exit("badarg", term.Atom(item))
}

// dbNodes lists the nodes of the schema. Callers hold mu.
func (s *Store) dbNodes() []kit.NodeName {
	if t := s.tabs["schema"]; t != nil {
		return sorted(t.holders())
	}
	if defs, err := s.readDefs(); err == nil && defs["schema"] != nil {
		return sorted(defs["schema"].holders())
	}
	return []kit.NodeName{s.self}
}

// runningNodes lists the running stores of the cluster; a stopped store tells what it knows of the others.
func (s *Store) runningNodes() []kit.NodeName {
	if s.phase != stopped {
		return slices.Sorted(maps.Keys(s.nodes))
	}
	var ns []kit.NodeName
	for _, n := range s.dbNodes() {
		if l := s.links[n]; l != nil && l.phase == running {
			ns = append(ns, n)
		}
	}
	return ns
}

func lockTerms(lines []LockLine) term.Term {
	l := term.List{}
	for _, k := range lines {
		key := k.Key
		if key == nil {
			key = wholeTable
		}
		tid := term.T(term.Atom("tid"), term.Int(k.Tx.Time), node(k.Tx.Node))
		l = append(l, term.T(term.T(term.Atom(k.Table), key), term.Atom(k.Kind), tid))
	}
	return l
}

func (s *Store) transactionTerms() term.Term {
	l := term.List{}
	for _, tx := range s.open.list() {
		l = append(l, term.T(term.Atom("tid"), term.Int(tx.id.Time), node(tx.id.Node)))
	}
	return l
}

// LocalContents gives the rows of the own copy; ok is false without one.
func (s *Store) LocalContents(name string) (rows []term.Tuple, ok bool, err error) {
	t := s.upTable(name)
	switch {
	case t == nil:
		return nil, false, exit("no_exists", term.Atom(name), term.Atom("storage_type"))
	case t.own == Unknown:
		return nil, false, nil
	case t.data == nil:
		return nil, true, nil
	}
	return t.data.all(), true, nil
}

// TableType gives a table's type and wild pattern as this node knows them; ok is false for one that is not known.
func (s *Store) TableType(name string) (typ string, wild term.Tuple, ok bool) {
	t := s.upTable(name)
	if t == nil {
		return "", nil, false
	}
	return t.Type, t.wild(), true
}

// debugLevels are the levels of SetDebugLevel.
var debugLevels = []string{"none", "verbose", "debug", "trace"}

// debugLevel reads a debug level; true means debug, false none.
func debugLevel(t term.Term) (string, bool) {
	switch t {
	case term.Term(term.Atom("true")):
		return "debug", true
	case term.Term(term.Atom("false")):
		return "none", true
	}
	a, _ := t.(term.Atom)
	return string(a), slices.Contains(debugLevels, string(a))
}

// SetDebugLevel sets the debug level and gives the old one. true means debug, false none.
func (s *Store) SetDebugLevel(level term.Term) (string, error) {
	word, ok := debugLevel(level)
	if !ok {
		return "", failed("bad_type", term.Atom("debug"), level)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.debug
	s.debug = word
	return old, nil
}

// ReportEvent sends an event of the caller's to all who subscribe to system events on this node.
func (s *Store) ReportEvent(value term.Term) {
	s.hub.system(Event{Kind: "mnesia_user", Value: value})
}

// DumpLog moves the log into the table images.
func (s *Store) DumpLog() error {
	s.mu.Lock()
	use := s.useDir()
	s.mu.Unlock()
	if !s.Running() {
		return failed("node_not_running", node(s.self))
	}
	if !use {
		return nil
	}
	return s.disk.Dump()
}

// SyncLog returns when everything committed so far is on the disc.
func (s *Store) SyncLog() error {
	if !s.Running() {
		return failed("node_not_running", node(s.self))
	}
	if s.disk == nil {
		return nil
	}
	s.cp.split.Sync()
	return s.disk.Sync(0)
}

// Info gives what mnesia:info/0 prints: the locks, transactions and nodes, and a line for each table.
func (s *Store) Info() string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	list := func(ns []kit.NodeName) string { return term.String(nodeList(ns)) }
	if !s.Running() {
		p("===> System info: node %s, store is not running <===", s.self)
		s.mu.Lock()
		defer s.mu.Unlock()
		p("db nodes           = %s", list(s.dbNodes()))
		return b.String()
	}
	p("---> Processes holding locks <---")
	for _, k := range s.HeldLocks() {
		p("Lock: %s", lockLine(k))
	}
	p("---> Processes waiting for locks <---")
	for _, k := range s.LockQueue() {
		p("Lock: %s", lockLine(k))
	}
	p("---> Transactions <---\n%s", term.String(s.transactionTerms()))
	p("---> Active tables <---")
	s.mu.Lock()
	tabs := maps.Clone(s.tabs)
	running, all, masters := s.runningNodes(), s.dbNodes(), sortedKeys(s.masters)
	use := s.useDir()
	s.mu.Unlock()
	var remote, ram, disc, only []string
	for _, name := range sortedKeys(tabs) {
		t := tabs[name]
		switch t.own {
		case Unknown:
			remote = append(remote, name)
			continue
		case RAM:
			ram = append(ram, name)
		case Disc:
			disc = append(disc, name)
		case DiscOnly:
			only = append(only, name)
		}
		if t.data != nil {
			p("%-15s: with %-8d records", name, t.data.size())
		}
	}
	p("===> System info: version \"4.21.3\", debug level = %s <===", s.debugLevel())
	p("opt_disc. Directory is %sused.", map[bool]string{true: "", false: "NOT "}[use])
	p("running db nodes   = %s", list(running))
	p("stopped db nodes   = %s", list(slices.DeleteFunc(all, func(n kit.NodeName) bool { return slices.Contains(running, n) })))
	p("master node tables = %s", term.String(names(masters)))
	p("remote             = %s", term.String(names(remote)))
	p("ram_copies         = %s", term.String(names(ram)))
	p("disc_copies        = %s", term.String(names(disc)))
	p("disc_only_copies   = %s", term.String(names(only)))
	for _, name := range sortedKeys(tabs) {
		t := tabs[name]
		var at []string
		for _, n := range sorted(t.holders()) {
			at = append(at, fmt.Sprintf("{%s,%s}", n, t.storage(n)))
		}
		p("[%s] = [%s]", strings.Join(at, ","), name)
	}
	c := &s.count
	p("%d transactions committed, %d aborted, %d restarted, %d logged to disc",
		c.commits.Load(), c.failures.Load(), c.restarts.Load(), c.logged.Load())
	return b.String()
}

func lockLine(k LockLine) string {
	key := "whole table"
	if k.Key != nil {
		key = term.String(k.Key)
	}
	return fmt.Sprintf("%s %s %s by %s", k.Kind, k.Table, key, k.Tx)
}

func (s *Store) debugLevel() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.debug
}
