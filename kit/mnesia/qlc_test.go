package mnesia

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"testing"

	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// queried is a store of one node with some tables, and what asks it: it gives the answer, and the bytes of memory that it took.
func queried(t *testing.T, rows int) func(op string) (json.RawMessage, uint64) {
	t.Helper()
	s, err := store.Open(store.Config{Peers: store.Alone("a")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ctx := t.Context()
	if err := s.Start(ctx, store.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, table := range []store.Table{
		{Name: "p", Attributes: []string{"name", "age", "dept"}, Index: []string{"age"}},
		{Name: "o", Type: "ordered_set", Attributes: []string{"k", "v"}},
		{Name: "d", Attributes: []string{"id", "town"}},
		{Name: "e", Attributes: []string{"name", "dept"}, Index: []string{"dept"}},
	} {
		if err := s.CreateTable(ctx, table); err != nil {
			t.Fatal(err)
		}
	}
	for i := range rows {
		n := term.Int(i)
		for _, r := range []term.Tuple{term.T(term.Atom("p"), n, n, n%10), term.T(term.Atom("o"), n, n), term.T(term.Atom("d"), n, n), term.T(term.Atom("e"), n, n)} {
			if err := s.DirtyWrite(ctx, string(r[0].(term.Atom)), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := New(s)
	t.Cleanup(f.Close)
	return func(op string) (json.RawMessage, uint64) {
		t.Helper()
		ops, err := term.FromStep(json.RawMessage("[" + op + "]"))
		if err != nil {
			t.Fatal(err)
		}
		var out door.Outcome
		best := uint64(math.MaxUint64)
		var before, after runtime.MemStats
		for range 5 {
			runtime.ReadMemStats(&before)
			out = f.transaction(context.Background(), door.Request{Verb: "transaction", Args: []term.Term{ops}})
			runtime.ReadMemStats(&after)
			best = min(best, after.TotalAlloc-before.TotalAlloc)
		}
		if out.Status != door.OK {
			return json.RawMessage(fmt.Sprint(out)), best
		}
		return out.Value, best
	}
}

// Every way to rows gives what looking at each row gives.
func TestQueryAnswers(t *testing.T) {
	ask := queried(t, 20)
	for _, c := range []struct{ query, want, plan string }{
		{`{"from":"p","filter":[2,"=:=",7]}`, `[[{"t":["p",7,7,7]}]]`, `key`},
		{`{"from":"p","filter":["name","=:=",7],"select":"age"}`, `[[7]]`, `key`},
		{`{"from":"p","filter":["name","==",7]}`, `[[{"t":["p",7,7,7]}]]`, `scan`},
		{`{"from":"p","filter":["name","=:=",{"f":"7.0"}]}`, `[[]]`, `key`},
		{`{"from":"p","filter":["name","==","seven"]}`, `[[]]`, `key`},
		{`{"from":"p","filter":[3,"=:=",7],"select":2}`, `[[7]]`, `index`},
		{`{"from":"p","filter":[4,"=:=",7],"select":2,"sort":true}`, `[[7,17]]`, `scan`},
		{`{"from":"p","filter":[4,">",8],"select":"name","sort":true}`, `[[9,19]]`, `scan`},
		{`{"from":"p","filter":[9,">",8]}`, `{"raised":"badarg","class":"error"}`, `scan`},
		{`{"from":"o","filter":["k","<",3],"select":2}`, `[[0,1,2]]`, `range`},
		{`{"from":"o","filter":["k","=:=",{"f":"3.0"}]}`, `[[]]`, `key`},
		{`{"from":"o","filter":["k","==",{"f":"3.0"}]}`, `[[{"t":["o",3,3]}]]`, `range`},
		{`{"from":"o","filter":["v",">=",18],"select":"k"}`, `[[18,19]]`, `scan`},
		{`{"from":"p","filter":["name","=:=",3],"join":{"table":"d","on":["dept","id"],"select":"town"},"select":"age"}`, `[[{"t":[3,3]}]]`, `key key`},
		{`{"from":"p","filter":["name","=:=",3],"join":{"table":"e","on":["dept","dept"],"select":"name"},"select":"age"}`, `[[{"t":[3,3]}]]`, `key index`},
		{`{"from":"p","filter":["name","=:=",3],"join":{"table":"d","on":["dept","town"],"select":"id"},"select":"age"}`, `[[{"t":[3,3]}]]`, `key hash`},
	} {
		got, _ := ask(`["qlc",` + c.query + `]`)
		if string(got) != c.want {
			if c.want[0] != '{' || !json.Valid([]byte(c.want)) || len(got) == 0 || got[0] == '[' {
				t.Errorf("%s\n gives %s\n want  %s", c.query, got, c.want)
			}
		}
		told, _ := ask(`["explain",` + c.query + `]`)
		if plan := plans(t, told); plan != c.plan {
			t.Errorf("%s goes by %s, want %s: %s", c.query, plan, c.plan, told)
		}
	}
}

// plans gives the ways that explain tells, one for each table.
func plans(t *testing.T, told json.RawMessage) string {
	t.Helper()
	var lists [][]struct {
		M [][2]any `json:"m"`
	}
	if err := json.Unmarshal(told, &lists); err != nil || len(lists) != 1 {
		t.Fatalf("%s: %v", told, err)
	}
	ways := ""
	for _, table := range lists[0] {
		for _, p := range table.M {
			if p[0] == "access" {
				ways += fmt.Sprint(" ", p[1])
			}
		}
	}
	return ways[1:]
}

// What is explained is what is done: looking at each of many rows takes memory for all of them, going by a key, an index or
// a range does not.
func TestQueryUsesKeys(t *testing.T) {
	ask := queried(t, 20_000)
	_, scan := ask(`["qlc",{"from":"p","filter":["dept","=:=",-1]}]`)
	for _, q := range []string{
		`{"from":"p","filter":["name","=:=",7]}`, `{"from":"p","filter":["age","=:=",7]}`, `{"from":"o","filter":["k","<",3]}`,
		`{"from":"p","filter":["name","=:=",3],"join":{"table":"d","on":["dept","id"],"select":"town"}}`,
		`{"from":"p","filter":["name","=:=",3],"join":{"table":"e","on":["dept","dept"],"select":"name"}}`,
	} {
		if _, took := ask(`["qlc",` + q + `]`); took > scan/5 {
			t.Errorf("%s takes %d bytes, a scan %d", q, took, scan)
		}
	}
}

// Queries from a hostile hand are refused.
func TestBadQueries(t *testing.T) {
	ask := queried(t, 3)
	for _, q := range []string{`"x"`, `{}`, `{"from":"nosuch"}`, `{"from":["p"]}`, `{"from":"p","filter":[2,["x"],1]}`, `{"from":"p","filter":[2]}`,
		`{"from":"p","filter":[2,"~",1]}`, `{"from":"p","join":{"table":"d"}}`, `{"from":"p","join":{"table":"nosuch","on":[1,2]}}`,
		`{"from":"p","opts":{"lock":"nosuch"}}`, `{"from":"p","filter":[-1,"=:=",1]}`} {
		if got, _ := ask(`["qlc",` + q + `]`); len(got) > 0 && got[0] == '[' && json.Valid(got) {
			t.Errorf("%s is answered: %s", q, got)
		}
	}
}
