package store_test

import (
	"context"
	"errors"
	"fmt"

	"netsplit/kit"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// open makes a store of its own that keeps everything in memory.
func open() *store.Store {
	s, err := store.Open(store.Config{Peers: store.Alone("a")})
	if err != nil {
		panic(err)
	}
	if err := s.Start(context.Background(), store.StartOptions{}); err != nil {
		panic(err)
	}
	return s
}

// Account is a record: the first field is its key.
type Account struct {
	ID      string
	Balance int
}

var accounts = store.TableOf[Account]("account")

// A transaction moves money, or does nothing at all.
func Example() {
	ctx := context.Background()
	s := open()
	defer s.Close()
	if err := s.CreateTable(ctx, accounts.Table()); err != nil {
		fmt.Println(err)
		return
	}
	_ = accounts.DirtyWrite(ctx, s, Account{"ann", 100})
	_ = accounts.DirtyWrite(ctx, s, Account{"bob", 0})

	move := func(n int) error {
		return s.Transaction(ctx, func(tx *store.Tx) error {
			from, _, err := accounts.Get(tx, "ann", store.WriteLock)
			if err != nil {
				return err
			}
			if from.Balance < n {
				return store.Abort(term.Atom("not_enough"))
			}
			to, _, err := accounts.Get(tx, "bob", store.WriteLock)
			if err != nil {
				return err
			}
			from.Balance -= n
			to.Balance += n
			if err := accounts.Write(tx, from); err != nil {
				return err
			}
			return accounts.Write(tx, to)
		})
	}
	fmt.Println(move(70))
	fmt.Println(move(70))

	_ = s.Transaction(ctx, func(tx *store.Tx) error {
		all, err := accounts.All(tx)
		fmt.Println(all)
		return err
	})
	// Output:
	// <nil>
	// aborted: not_enough
	// [{ann 30} {bob 70}]
}

// An error says what it is about, and whether it proves that nothing happened.
func ExampleError() {
	ctx := context.Background()
	s := open()
	defer s.Close()
	err := s.Transaction(ctx, func(tx *store.Tx) error {
		return tx.Write("nosuch", term.Rec("nosuch", "k", 1))
	})
	var e *store.Error
	if errors.As(err, &e) {
		fmt.Println(term.String(e.Reason), e.Definite(), kit.KindOf(err))
	}
	// Output: {no_exists,nosuch} true not found
}

// A subscriber gets the changes of a table in order.
func ExampleStore_NewSubscription() {
	ctx := context.Background()
	s := open()
	defer s.Close()
	_ = s.CreateTable(ctx, store.Table{Name: "t"})
	sub := s.NewSubscription()
	defer sub.Close()
	_, _ = sub.Subscribe(store.SubscribeTo{What: "table", Table: "t"})
	_ = s.DirtyWrite(ctx, "t", term.Rec("t", "k", 1))
	<-sub.Wake()
	evs, _ := sub.Drain()
	for _, e := range evs {
		fmt.Println(e.Kind, term.String(e.What), e.By)
	}
	// Output: write {t,<<"k">>,1} dirty
}
