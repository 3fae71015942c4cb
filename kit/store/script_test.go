package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/term"
)

// TestScripts runs the scripts in testdata on a cluster in memory, in virtual time. Commands, NODE first:
//
//	nodes N...                          nodes with an empty disc and their links; schema N... makes one
//	start|stop|kill|boot N              the store starts or stops; the process dies or comes up
//	start N M...                        the store starts and asks other nodes for their schema
//	full|room N                         the disc of a node is full; it has room again
//	crash N...                          they die at the same moment; power N... and lose what was not synced
//	lose N N KIND                       frames vanish: prepare, vote, decide, outcome
//	wipe N                              the disc of a node that does not run is empty
//	cut|heal N N                        the link between two nodes
//	create N table=T ram=a,b disc=c type=bag index=attr majority
//	write|delete|read N T KEY [VALUE]   each in a transaction of its own; dirty-write, dirty-read likewise
//	write N T KEY VALUE durable; start-write N T KEY VALUE (goes on in the background)
//	local N T                           the node's own copy
//	begin N TX; in TX write|read T KEY [VALUE]; answer TX; commit TX; close TX
//	masters N [T] N...                  set master nodes
//	wait N T                            until the table can be read, at most a minute
//	info N T ITEM, running N, events N, locks N
//	copy N T TO TYPE                    add_table_copy; uncopy N T FROM
//	clear N T                           clear_table
//	splits N; split N T PEER            what the split journal is kept for, and what it knows of a table
//	diff N T OTHER                      the rows in which two copies differ
//	heir [silent=N]                     who loads a table that nobody has; a line for each node with a copy on its disc: name, a
//	                                    stroke for every change that it saw while it had the table, whose copies it says are old
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			t.Skip("what a fuzzer found")
		}
		bubble(t, func(t *testing.T) {
			sc := &script{t: t, txs: map[string]*scriptTx{}}
			datadriven.RunTest(t, path, func(_ *testing.T, d *datadriven.TestData) string {
				sc.d = d
				out := sc.run(d.Cmd)
				synctest.Wait()
				return strings.TrimRight(out, "\n") + "\n"
			})
			for _, tx := range sc.txs {
				tx.tx.Close()
			}
		})
	})
}

type script struct {
	t   *testing.T
	d   *datadriven.TestData
	m   *mesh
	txs map[string]*scriptTx
}

// scriptTx is a transaction of a script, with the answer of an operation that waits.
type scriptTx struct {
	tx     *Tx
	answer string
}

func (sc *script) arg(i int) string {
	if i >= len(sc.d.CmdArgs) {
		return ""
	}
	return sc.d.CmdArgs[i].Key
}

func (sc *script) node(i int) kit.NodeName { return kit.NodeName(sc.arg(i)) }

func (sc *script) store() *Store {
	n := sc.m.nodes[sc.node(0)]
	if n == nil || n.store == nil {
		sc.t.Fatalf("%s: node %s does not run", sc.d.Pos, sc.arg(0))
	}
	return n.store
}

func (sc *script) nodes(from int) []kit.NodeName {
	var ns []kit.NodeName
	for i := from; i < len(sc.d.CmdArgs); i++ {
		ns = append(ns, sc.node(i))
	}
	return ns
}

func (sc *script) run(cmd string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch cmd {
	case "nodes":
		sc.m = newMesh(sc.t, sc.nodes(0)...)
		return "up"
	case "schema":
		return result(sc.store().CreateSchema(ctx, sc.nodes(0)))
	case "start":
		return result(sc.store().Start(ctx, StartOptions{ExtraNodes: sc.nodes(1)}))
	case "stop":
		return result(sc.store().Stop(ctx))
	case "kill":
		sc.m.kill(sc.node(0))
		return "dead"
	case "boot":
		sc.m.boot(sc.node(0))
		return "up"
	case "crash", "power":
		sc.m.crash(cmd == "power", sc.nodes(0)...)
		return "dead"
	case "lose":
		kind := map[string]frameKind{"prepare": fPrepare, "vote": fVote, "decide": fDecide, "outcome": fOutcomeIs}[sc.arg(2)]
		sc.m.lose(sc.node(0), sc.node(1), kind)
		return "lost from now on"
	case "wipe":
		sc.m.wipe(sc.node(0))
		return "its disc is empty"
	case "full":
		sc.m.nodes[sc.node(0)].files.SetRoom(0)
		return "its disc is full"
	case "room":
		sc.m.nodes[sc.node(0)].files.SetRoom(-1)
		return "its disc has room"
	case "cut":
		sc.m.cut(sc.node(0), sc.node(1))
		return "cut"
	case "heal":
		sc.m.heal(sc.node(0), sc.node(1))
		return "healed"
	case "create":
		return result(sc.store().CreateTable(ctx, sc.table()))
	case "copy":
		return result(sc.store().AddTableCopy(ctx, sc.arg(1), sc.node(2), Storage(sc.arg(3))))
	case "uncopy":
		return result(sc.store().DelTableCopy(ctx, sc.arg(1), sc.node(2)))
	case "masters":
		if tab := sc.arg(1); sc.m.nodes[kit.NodeName(tab)] == nil {
			return result(sc.store().SetMasterNodes(tab, sc.nodes(2)))
		}
		return result(sc.store().SetMasterNodes("", sc.nodes(1)))
	case "wait":
		return result(sc.store().WaitForTables(ctx, []string{sc.arg(1)}))
	case "clear":
		return result(sc.store().ClearTable(ctx, sc.arg(1)))
	case "heir":
		return sc.heir()
	case "splits", "split", "diff":
		return sc.split(ctx, cmd)
	}
	if out, ok := sc.access(ctx, cmd); ok {
		return out
	}
	return sc.look(cmd)
}

func (sc *script) table() Table {
	var t Table
	for _, a := range sc.d.CmdArgs[1:] {
		var ns []kit.NodeName
		for _, v := range a.Vals {
			ns = append(ns, kit.NodeName(v))
		}
		switch a.Key {
		case "table":
			t.Name = a.Vals[0]
		case "type":
			t.Type = a.Vals[0]
		case "ram":
			t.RAM = ns
		case "disc":
			t.Disc = ns
		case "index":
			t.Index = a.Vals
		case "majority":
			t.Majority = true
		}
	}
	return t
}

func value(s string) term.Term {
	if n, err := strconv.Atoi(s); err == nil {
		return term.Int(n)
	}
	return term.Atom(s)
}

func (sc *script) access(ctx context.Context, cmd string) (string, bool) {
	tab, key, val := sc.arg(1), value(sc.arg(2)), value(sc.arg(3))
	switch cmd {
	case "write", "delete", "read":
		var out string
		err := sc.store().Transaction(ctx, func(tx *Tx) (err error) {
			out, err = do(tx, cmd, tab, key, val)
			return err
		}, TxOptions{Durable: sc.d.HasArg("durable")})
		return either(out, err), true
	case "start-write": // in the background; its answer is not waited for
		s := sc.store()
		go func() {
			_ = s.Transaction(context.Background(), func(tx *Tx) error { _, err := do(tx, "write", tab, key, val); return err })
		}()
		return "begun", true
	case "dirty-write":
		return result(sc.store().DirtyWrite(ctx, tab, term.T(term.Atom(tab), key, val))), true
	case "dirty-read":
		rows, err := sc.store().DirtyRead(ctx, tab, key)
		return either(printRows(rows), err), true
	case "begin":
		tx, err := sc.store().Begin(context.Background(), Transaction)
		sc.txs[sc.arg(1)] = &scriptTx{tx: tx}
		time.Sleep(time.Millisecond) // so that the next one is younger
		return result(err), true
	case "in", "answer", "commit", "close":
		return sc.inTx(cmd), true
	}
	return "", false
}

func do(tx *Tx, cmd, tab string, key, val term.Term) (string, error) {
	switch cmd {
	case "write":
		return "ok", tx.Write(tab, term.T(term.Atom(tab), key, val))
	case "delete":
		return "ok", tx.Delete(tab, key)
	}
	rows, err := tx.Read(tab, key)
	return printRows(rows), err
}

func (sc *script) inTx(cmd string) string {
	s := sc.txs[sc.arg(0)]
	switch cmd {
	case "in":
		s.answer = ""
		op, tab, key, val := sc.arg(1), sc.arg(2), value(sc.arg(3)), value(sc.arg(4))
		go func() {
			out, err := do(s.tx, op, tab, key, val)
			s.answer = either(out, err)
		}()
		synctest.Wait()
		if s.answer == "" {
			return "waits"
		}
	case "commit":
		s.answer = ""
		go func() { s.answer = result(s.tx.Commit()) }()
		synctest.Wait()
		if s.answer == "" {
			return "waits"
		}
	case "close":
		s.tx.Close()
		return "closed"
	}
	synctest.Wait()
	if s.answer == "" {
		return "waits"
	}
	return s.answer
}

func (sc *script) split(ctx context.Context, cmd string) string {
	s, other := sc.store(), sc.node(2)
	var out []string
	switch cmd {
	case "splits":
		all, _ := s.SplitInfo()
		for _, sp := range all {
			line := fmt.Sprintf("%s without %s", sp.Table, sp.Peer)
			if sp.CopiedFrom != "" {
				line += fmt.Sprintf(", copied from %s", sp.CopiedFrom)
			}
			out = append(out, line+sp.Truncated)
		}
	case "split":
		for c, err := range s.SplitChanges(sc.arg(1), other) {
			if err != nil {
				out = append(out, err.Error())
				break
			}
			line := fmt.Sprintf("%s: %s", term.String(c.Key), c.First)
			if c.Latest != c.First {
				line += ", then " + c.Latest
			}
			for _, r := range c.Before {
				line += " was " + term.String(r)
			}
			out = append(out, line)
		}
	case "diff":
		for d, err := range s.Diff(ctx, sc.arg(1), other) {
			if err != nil {
				return err.Error()
			}
			line := fmt.Sprintf("%s: %s here, %s there", term.String(d.Key), d.HereDid, d.ThereDid)
			for _, part := range []struct {
				name string
				rows []term.Tuple
			}{{"here", d.Here}, {"there", d.There}, {"before", d.Before}} {
				if len(part.rows) > 0 {
					line += "; " + part.name + " " + strings.ReplaceAll(printRows(part.rows), "\n", " ")
				}
			}
			out = append(out, line)
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, "\n")
}

func (sc *script) look(cmd string) string {
	s := sc.store()
	switch cmd {
	case "local":
		rows, ok, err := s.LocalContents(sc.arg(1))
		if err == nil && !ok {
			return "no copy"
		}
		return either(printRows(rows), err)
	case "info":
		v, err := s.TableInfo(sc.arg(1), term.Atom(sc.arg(2)))
		if err != nil {
			return result(err)
		}
		return term.String(v)
	case "running":
		v, err := s.SystemInfo(term.Atom("running_db_nodes"))
		return either(term.String(v), err)
	case "events":
		var out []string
		for _, e := range s.BootEvents() {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s%s", e.Kind, e.Node, e.Context, e.Text)))
		}
		if len(out) == 0 {
			return "none"
		}
		return strings.Join(out, "\n")
	case "locks":
		var out []string
		for _, k := range s.HeldLocks() {
			out = append(out, k.Kind+" "+k.Table+" "+term.String(k.Key))
		}
		if len(out) == 0 {
			return "none"
		}
		return strings.Join(out, "\n")
	}
	sc.t.Fatalf("%s: no command %q", sc.d.Pos, cmd)
	return ""
}

func result(err error) string { return either("ok", err) }

func either(out string, err error) string {
	if errors.Is(err, ErrRestart) {
		return "restart"
	}
	if err != nil {
		return err.Error()
	}
	return out
}

func printRows(rows []term.Tuple) string {
	var out []string
	for _, r := range rows {
		out = append(out, term.String(r))
	}
	slices.Sort(out)
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, "\n")
}

// bubble runs a test in virtual time on one thread: with more, Go 1.26's race detector now and then crashes on the
// timers of a bubble, whose context the threads that fire them share without a lock.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f)
}

func (sc *script) heir() string {
	claims, t, silent := map[kit.NodeName]knowledge{}, &tab{Def: &Def{}}, ""
	for _, line := range strings.Split(sc.d.Input, "\n") {
		f := strings.Fields(line)
		n, k := kit.NodeName(f[0]), knowledge{at: uint64(len(f[1]))}
		for _, old := range f[2:] {
			k.late = append(k.late, kit.NodeName(old))
		}
		t.Disc, claims[n] = append(t.Disc, n), k
	}
	sc.d.MaybeScanArgs(sc.t, "silent", &silent)
	return cmp.Or(string(t.heir(claims, []kit.NodeName{kit.NodeName(silent)})), "nobody")
}
