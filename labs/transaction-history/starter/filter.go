package main

import (
	"time"

	"netsplit/kit/store"
)

// Part B.

// Filter says which entries of a history are wanted. A zero field asks for nothing; an entry must satisfy all.
type Filter struct {
	Type     string
	From, To time.Time // both ends belong to the range
	Min, Max *int64    // both ends belong to the range
}

// ParseFilter reads filters by name: type, from, to, min, max. Dates are 2026-11-22 or a moment as
// 2026-11-22T10:00:00.5Z; a whole day as "to" includes that day. What makes no sense is refused: an unknown name, a type
// that does not exist, no date, no amount, a range that ends before it begins.
//
// To do.
func ParseFilter(wishes map[string]string) (Filter, error) {
	return Filter{}, nil
}

// Match reports whether an entry is wanted.
//
// To do.
func (f Filter) Match(e Entry) bool {
	return true
}

// History gives the entries of an account that a filter wants, oldest first.
//
// To do: readEntries in bank.go reads them all.
func History(tx *store.Tx, id string, f Filter) ([]Entry, error) {
	return readEntries(tx, id)
}
