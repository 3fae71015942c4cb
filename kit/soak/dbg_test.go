package soak

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"netsplit/kit/door"
	"netsplit/kit/term"
)

func TestDbg(t *testing.T) {
	dir, _ := filepath.Abs(*module)
	maker := Simulated(dir, "./cmd/node")
	seed, _ := strconv.Atoi(os.Getenv("SEED"))
	p := PlanOf(uint64(seed))
	w, err := maker(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), w, p)
	t.Log(problems(r), err)
	for _, n := range p.Nodes {
		for _, tb := range []string{"only", "disc"} {
			for _, it := range []string{"where_to_write", "where_to_read", "where_to_commit", "load_node", "load_reason", "active_replicas"} {
				out := w.Call(context.Background(), "x", n, door.Request{Verb: "table_info", Args: []term.Term{term.Atom(tb), term.Atom(it)}})
				t.Log(n, tb, it, out.Status, string(out.Value))
			}
		}
		for _, it := range []string{"running_db_nodes", "db_nodes", "is_running", "held_locks", "lock_queue", "transactions"} { o := w.Call(context.Background(), "x", n, door.Request{Verb: "system_info", Args: []term.Term{term.Atom(it)}}); t.Log(n, it, o.Status, string(o.Value)) }
		out := w.Call(context.Background(), "x", n, door.Request{Verb: "boot_events"})
		t.Log(n, string(out.Value))
	}
	w.Close()
}
