package main

import (
	"context"
	"testing"
	"time"

	"netsplit/kit/store"
)

// Part D. Your tests are graded: they must pass with a right program and fail with wrong ones that you have not seen. They
// are compiled with a program that has the functions and types of this folder, so test those.

var noon = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)

// bank opens two accounts with 100 and 50.
func bank(t *testing.T) *store.Store {
	t.Helper()
	s, err := OpenLocal(Account{ID: "ada", Owner: "ada", Currency: "EUR", Balance: 100}, Account{ID: "bo", Owner: "bo", Currency: "EUR", Balance: 50})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestDeposit(t *testing.T) {
	s := bank(t)
	var left int64
	err := s.Transaction(context.Background(), func(tx *store.Tx) (err error) {
		left, err = Deposit(tx, "ada", 20, "a gift", noon)
		return err
	})
	if err != nil || left != 120 {
		t.Errorf("after a deposit of 20 to 100 there are %d (%v)", left, err)
	}
}
