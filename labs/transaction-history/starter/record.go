package main

import (
	"time"

	"netsplit/kit/store"
)

// Part A. Deposit shows how a change is recorded: the balance and the entry are written by one transaction, and the
// entry's number comes from the account's own row.

// Deposit puts money into an account and gives the new balance.
func Deposit(tx *store.Tx, id string, amount int64, description string, at time.Time) (int64, error) {
	if amount <= 0 {
		return 0, errBadAmount
	}
	a, err := readAccount(tx, id)
	if err != nil {
		return 0, err
	}
	a.Balance += amount
	a.Entries++
	if err := writeAccount(tx, a); err != nil {
		return 0, err
	}
	return a.Balance, writeEntry(tx, Entry{Account: id, Number: a.Entries, Type: TypeDeposit,
		Amount: amount, Date: at, Description: description})
}

// Withdraw takes money out of an account and gives the new balance. More than there is is refused with
// errInsufficient, an amount that is not positive with errBadAmount.
//
// To do: record it.
func Withdraw(tx *store.Tx, id string, amount int64, description string, at time.Time) (int64, error) {
	if amount <= 0 {
		return 0, errBadAmount
	}
	a, err := readAccount(tx, id)
	if err != nil {
		return 0, err
	}
	if a.Balance < amount {
		return 0, errInsufficient
	}
	a.Balance -= amount
	return a.Balance, writeAccount(tx, a)
}

// Transfer moves money from one account to another. A transfer to the same account is refused with errBadAmount.
//
// To do: record it on both sides, with the same moment: transfer_out for the payer, transfer_in for the payee, and in
// Other the account on the other side.
func Transfer(tx *store.Tx, from, to string, amount int64, description string, at time.Time) error {
	if amount <= 0 || from == to {
		return errBadAmount
	}
	payer, err := readAccount(tx, from)
	if err != nil {
		return err
	}
	payee, err := readAccount(tx, to)
	if err != nil {
		return err
	}
	if payer.Balance < amount {
		return errInsufficient
	}
	arrives, _, err := Convert(amount, payer.Currency, payee.Currency)
	if err != nil {
		return err
	}
	payer.Balance -= amount
	payee.Balance += arrives
	if err := writeAccount(tx, payer); err != nil {
		return err
	}
	return writeAccount(tx, payee)
}
