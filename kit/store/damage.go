package store

import (
	"errors"
	"strings"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// metaBroken marks the disc of a node whose store cannot start any more; the value tells why.
var metaBroken = term.T(term.Atom("broken"), term.Atom("store"))

// Damage does to what a stopped store has on its disc what the loss of one of Mnesia's files does to a node of Mnesia.
// The files are named as Mnesia's; this store keeps its own, which tear and rot as the simulator's disc faults have it.
// what is delete, truncate or append (of rubbish).
//
//   - schema.DAT deleted: the node has no schema. Truncated: the store cannot start.
//   - T.DCD or T.DAT deleted: the rows that were there are gone. T.DAT truncated: the store cannot start.
//   - DECISION_TAB.LOG truncated or with rubbish: the store cannot start.
//   - anything else is repaired by the next start.
//
// A deleted schema, or a wiped disc, ends the state in which the store cannot start.
func (s *Store) Damage(file, what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disk == nil {
		return failed("has_no_disc", node(s.self))
	}
	base, ext, _ := strings.Cut(file, ".")
	_, isTable := s.disk.Meta(metaTable(base))
	var cs []disk.Change
	switch {
	case s.phase != stopped:
		return &kit.Error{Op: "damage disc", Kind: kit.Refused, What: string(s.self), Hint: "stop the store first"}
	case what != "delete" && what != "truncate" && what != "append":
		return &kit.Error{Op: "damage disc", Kind: kit.Invalid, What: what, Hint: "delete, truncate or append"}
	case file == "schema.DAT" && what == "delete":
		for _, p := range s.disk.AllMeta() {
			if k, ok := p.Key.(term.Tuple); ok && len(k) == 2 && k[0] == term.Term(term.Atom("table")) {
				cs = append(cs, disk.Change{Op: disk.DelMeta, Key: p.Key})
			}
		}
	case file == "schema.DAT" && what == "truncate":
		cs = breakStart(`mnesia_tm crashed: {{"Cannot read schema",...`)
	case file == "DECISION_TAB.LOG" && what != "delete":
		cs = breakStart("Possibly truncated decision_tab file: {corrupt_log_file,...")
	case isTable && ext == "DAT" && what == "truncate":
		cs = breakStart(`{error,{"Cannot open dets table",` + base + ",...")
	case isTable && (ext == "DAT" || ext == "DCD") && what == "delete":
		cs = append(cs, disk.Change{Op: disk.Clear, Table: base})
	}
	if len(cs) == 0 {
		return nil
	}
	lsn, err := s.disk.Append(cs...)
	if err != nil {
		return err
	}
	return s.disk.Sync(lsn)
}

func breakStart(why string) []disk.Change {
	return []disk.Change{{Op: disk.SetMeta, Key: metaBroken, Value: term.Bin(why)}}
}

// brokenBy gives why the store cannot start, or nothing. Callers hold mu.
func (s *Store) brokenBy() error {
	if s.disk == nil {
		return nil
	}
	if v, ok := s.disk.Meta(metaBroken); ok {
		why, _ := v.(term.Bin)
		return errors.New(string(why))
	}
	return nil
}
