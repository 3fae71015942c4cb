package mnesia

import (
	"context"
	"errors"
	"testing"

	"netsplit/kit/door"
	"netsplit/kit/store"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
)

// FuzzLoadText loads texts from a hostile hand into a store: an answer, never a panic, and the store still works.
func FuzzLoadText(f *testing.F) {
	f.Add(`{tables,[{t,[{attributes,[k,v]}]},{b,[{type,bag},{record_name,r}]}]}. {t,1,2}. {b,x,[1,<<"two">>]}.`)
	f.Add(`{tables,[t,{u,[{index,[val]},{ram_copies,[a]}]}]}. {t,1.0,#{}}. {u,{},''}.`)
	f.Add(`{tables,[{schema,[]}]}. {schema,t,[]}. {tables,1,2}.`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := disk.Open(disk.NewMemory().Options())
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(store.Config{Peers: store.Alone("a"), Disk: d})
		if err != nil {
			t.Fatal(err)
		}
		face := New(s)
		ctx := context.Background()
		face.loadText(ctx, door.Request{Args: []term.Term{term.Bin(text)}})
		if err := face.ensureStarted(ctx); err != nil {
			t.Fatal(err)
		}
		face.dumpText(ctx, door.Request{})
		if err := s.CreateTable(ctx, store.Table{Name: "afterwards"}); err != nil {
			t.Fatal(err)
		}
		face.Close()
		if err := errors.Join(s.Close(), d.Close()); err != nil {
			t.Fatal(err)
		}
	})
}
