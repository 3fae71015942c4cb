package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"netsplit/kit/store"
)

// Filter says which entries of a history are wanted. A zero field asks for nothing; an entry must satisfy all.
type Filter struct {
	Type     string
	From, To time.Time // both ends belong to the range
	Min, Max *int64    // both ends belong to the range
}

// ParseFilter reads filters by name: type, from, to, min, max. Dates are 2026-11-22 or a moment as
// 2026-11-22T10:00:00.5Z; a whole day as "to" includes that day. What makes no sense is refused.
func ParseFilter(wishes map[string]string) (Filter, error) {
	var f Filter
	for name, value := range wishes {
		var err error
		switch name {
		case "type":
			if !slices.Contains([]string{TypeDeposit, TypeWithdrawal, TypeTransferIn, TypeTransferOut}, value) {
				err = fmt.Errorf("there is no type %q", value)
			}
			f.Type = value
		case "from":
			f.From, err = parseMoment(value, false)
		case "to":
			f.To, err = parseMoment(value, true)
		case "min":
			f.Min, err = parseAmount(value)
		case "max":
			f.Max, err = parseAmount(value)
		default:
			err = fmt.Errorf("there is no filter %q", name)
		}
		if err != nil {
			return Filter{}, err
		}
	}
	if !f.From.IsZero() && !f.To.IsZero() && f.To.Before(f.From) {
		return Filter{}, fmt.Errorf("the range of dates ends before it begins")
	}
	if f.Min != nil && f.Max != nil && *f.Max < *f.Min {
		return Filter{}, fmt.Errorf("the range of amounts ends before it begins")
	}
	return f, nil
}

// parseMoment reads a date or a moment; a date that ends a range means the end of that day.
func parseMoment(s string, end bool) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no date", s)
	}
	if end {
		t = t.AddDate(0, 0, 1).Add(-time.Nanosecond)
	}
	return t, nil
}

func parseAmount(s string) (*int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%q is no amount", s)
	}
	return &n, nil
}

// Match reports whether an entry is wanted.
func (f Filter) Match(e Entry) bool {
	switch {
	case f.Type != "" && e.Type != f.Type:
		return false
	case !f.From.IsZero() && e.Date.Before(f.From):
		return false
	case !f.To.IsZero() && e.Date.After(f.To):
		return false
	case f.Min != nil && e.Amount < *f.Min:
		return false
	case f.Max != nil && e.Amount > *f.Max:
		return false
	}
	return true
}

// History gives the entries of an account that a filter wants, oldest first.
func History(tx *store.Tx, id string, f Filter) ([]Entry, error) {
	all, err := readEntries(tx, id)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(e Entry) bool { return !f.Match(e) }), nil
}
