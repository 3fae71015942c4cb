package main

import (
	"time"

	"netsplit/kit/store"
)

// region: record
// record adds an entry to an account and changes its balance. Both are written by the same transaction, and the
// entry's number comes from the account's own row, so whatever happens the entries add up to the balance.
func record(tx *store.Tx, a Account, e Entry) (Account, error) {
	switch e.Type {
	case TypeWithdrawal, TypeTransferOut:
		a.Balance -= e.Amount
	default:
		a.Balance += e.Amount
	}
	a.Entries++
	e.Account, e.Number = a.ID, a.Entries
	if err := writeAccount(tx, a); err != nil {
		return a, err
	}
	return a, writeEntry(tx, e)
}

// endregion

// Deposit puts money into an account and gives the new balance.
func Deposit(tx *store.Tx, id string, amount int64, description string, at time.Time) (int64, error) {
	if amount <= 0 {
		return 0, errBadAmount
	}
	a, err := readAccount(tx, id)
	if err != nil {
		return 0, err
	}
	a, err = record(tx, a, Entry{Type: TypeDeposit, Amount: amount, Date: at, Description: description})
	return a.Balance, err
}

// Withdraw takes money out of an account and gives the new balance. More than there is is refused.
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
	a, err = record(tx, a, Entry{Type: TypeWithdrawal, Amount: amount, Date: at, Description: description})
	return a.Balance, err
}

// Transfer moves money from one account to another: an entry on both sides, with the same moment. Between
// currencies the amount is the payer's, and what arrives is converted.
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
	arrives, rate, err := Convert(amount, payer.Currency, payee.Currency)
	if err != nil {
		return err
	}
	if _, err := record(tx, payer, Entry{Type: TypeTransferOut, Amount: amount, Date: at, Description: description, Other: to, Rate: rate}); err != nil {
		return err
	}
	_, err = record(tx, payee, Entry{Type: TypeTransferIn, Amount: arrives, Date: at, Description: description, Other: from, Rate: rate})
	return err
}
