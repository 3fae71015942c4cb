package main

import (
	"context"
	"time"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// The tables: account is a set, entry an ordered_set whose keys are {account, number}, so that the entries of
// one account lie together in the order in which they were made.
const (
	accountTable = "account"
	entryTable   = "entry"
)

// The types of an entry. Amounts are never negative; the type says which way the money went.
const (
	TypeDeposit     = "deposit"
	TypeWithdrawal  = "withdrawal"
	TypeTransferIn  = "transfer_in"
	TypeTransferOut = "transfer_out"
)

// Account is one account. Amounts are in the smallest unit of its currency, cents for example.
type Account struct {
	ID       string
	Owner    string
	Currency string
	Balance  int64
	Entries  int64 // how many entries it has, and so the number of the last one
}

// Entry is one line of an account's history. It is never changed.
type Entry struct {
	Account     string    `json:"account"`
	Number      int64     `json:"number"` // 1, 2, 3, ... without gaps
	Type        string    `json:"type"`
	Amount      int64     `json:"amount"`
	Date        time.Time `json:"date"`
	Description string    `json:"description"`
	Other       string    `json:"other,omitempty"` // the other account of a transfer
	Rate        string    `json:"rate,omitempty"`  // of a transfer between currencies, as in rates
}

// The refusals that clients rely on.
var (
	errNoAccount    = store.Abort(term.Atom("no_account"))
	errInsufficient = store.Abort(term.Atom("insufficient_funds"))
	errBadAmount    = store.Abort(term.Atom("bad_amount"))
	errForbidden    = store.Abort(term.Atom("forbidden"))
)

// readAccount reads an account under a write lock, because nearly all who read it will change it.
func readAccount(tx *store.Tx, id string) (Account, error) {
	rows, err := tx.Read(accountTable, term.Bin(id), store.WriteLock)
	if err != nil {
		return Account{}, err
	}
	if len(rows) == 0 {
		return Account{}, errNoAccount
	}
	return Account{ID: id, Owner: text(rows[0][2]), Currency: text(rows[0][3]), Balance: number(rows[0][4]), Entries: number(rows[0][5])}, nil
}

func writeAccount(tx *store.Tx, a Account) error {
	return tx.Write(accountTable, term.T(term.Atom(accountTable), term.Bin(a.ID), term.Bin(a.Owner), term.Bin(a.Currency),
		term.Int(a.Balance), term.Int(a.Entries)))
}

func writeEntry(tx *store.Tx, e Entry) error { return tx.Write(entryTable, e.row()) }

// row is the entry as the table holds it.
func (e Entry) row() term.Tuple {
	return term.T(term.Atom(entryTable), term.T(term.Bin(e.Account), term.Int(e.Number)), term.Bin(e.Type), term.Int(e.Amount),
		term.Int(e.Date.UnixMilli()), term.Bin(e.Description), term.Bin(e.Other), term.Bin(e.Rate))
}

// entryOf reads a row of the table; ok is false for anything else.
func entryOf(row term.Tuple) (e Entry, ok bool) {
	if len(row) != 8 {
		return e, false
	}
	key, ok := row[1].(term.Tuple)
	if !ok || len(key) != 2 {
		return e, false
	}
	return Entry{Account: text(key[0]), Number: number(key[1]), Type: text(row[2]), Amount: number(row[3]),
		Date: time.UnixMilli(number(row[4])).UTC(), Description: text(row[5]), Other: text(row[6]), Rate: text(row[7])}, true
}

// readEntries reads all entries of an account, oldest first.
func readEntries(tx *store.Tx, id string) ([]Entry, error) {
	any := term.Atom("_")
	rows, err := tx.MatchObject(entryTable, term.T(term.Atom(entryTable), term.T(term.Bin(id), any), any, any, any, any, any, any))
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, r := range rows {
		if e, ok := entryOf(r); ok {
			list = append(list, e)
		}
	}
	return list, nil
}

func text(t term.Term) string {
	s, _ := t.(term.Bin)
	return string(s)
}

func number(t term.Term) int64 {
	n, _ := t.(term.Int)
	return int64(n)
}

// entriesTerm is how entries are answered to clients: {account, number, type, amount, milliseconds, description,
// other, rate}.
func entriesTerm(list []Entry) term.Term {
	out := term.List{}
	for _, e := range list {
		out = append(out, term.T(term.Bin(e.Account), term.Int(e.Number), term.Bin(e.Type), term.Int(e.Amount),
			term.Int(e.Date.UnixMilli()), term.Bin(e.Description), term.Bin(e.Other), term.Bin(e.Rate)))
	}
	return out
}

// OpenLocal opens a store of its own, without other nodes and without a disc, with the bank's tables and the
// given accounts: for tests.
func OpenLocal(accounts ...Account) (*store.Store, error) {
	ctx := context.Background()
	s, err := store.Open(store.Config{Peers: store.Alone("test")})
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx, store.StartOptions{}); err != nil {
		return nil, err
	}
	for _, t := range []store.Table{
		{Name: accountTable, Attributes: []string{"id", "owner", "currency", "balance", "entries"}},
		{Name: entryTable, Type: "ordered_set", Attributes: []string{"id", "type", "amount", "date", "description", "other", "rate"}},
	} {
		if err := s.CreateTable(ctx, t); err != nil {
			return nil, err
		}
	}
	return s, s.Transaction(ctx, func(tx *store.Tx) error {
		for _, a := range accounts {
			if err := writeAccount(tx, a); err != nil {
				return err
			}
		}
		return nil
	})
}
