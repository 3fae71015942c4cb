package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// Sort puts entries into an order: date, amount or number, or one of them with a minus before it for the other way
// round. Entries that are equal in it are ordered by number, so that the order is the same every time. The empty
// order is number.
func Sort(entries []Entry, order string) error {
	key, down := strings.CutPrefix(order, "-")
	var by func(a, b Entry) int
	switch key {
	case "", "number":
		by = func(a, b Entry) int { return 0 }
	case "date":
		by = func(a, b Entry) int { return a.Date.Compare(b.Date) }
	case "amount":
		by = func(a, b Entry) int { return cmp.Compare(a.Amount, b.Amount) }
	default:
		return fmt.Errorf("there is no order %q", order)
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		c := cmp.Or(by(a, b), cmp.Compare(a.Number, b.Number))
		if down {
			return -c
		}
		return c
	})
	return nil
}

// Page gives at most size entries after a cursor, and the cursor for the next page: empty when there is none. A cursor
// names the last entry of the page before, so entries that come meanwhile neither repeat nor hide one.
func Page(entries []Entry, cursor string, size int) ([]Entry, string, error) {
	if size < 1 || size > 1000 {
		return nil, "", errors.New("a page has 1 to 1000 entries")
	}
	if cursor != "" {
		after, err := strconv.ParseInt(cursor, 10, 64)
		if err != nil {
			return nil, "", fmt.Errorf("%q is no cursor", cursor)
		}
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.Number == after })
		if i < 0 {
			return nil, "", fmt.Errorf("%q is no cursor of this history", cursor)
		}
		entries = entries[i+1:]
	}
	if len(entries) <= size {
		return entries, "", nil
	}
	return entries[:size], strconv.FormatInt(entries[size-1].Number, 10), nil
}

// Bank is the caller that may read everything.
const Bank = "bank"

// MayRead refuses everybody but the account's owner and the bank. The refusal is the same whether the account
// exists or not, so it tells nothing to a stranger.
func MayRead(tx *store.Tx, caller, id string) error {
	a, err := readAccount(tx, id)
	switch {
	case caller == Bank:
		return err
	case errors.Is(err, errNoAccount):
		return errForbidden
	case err != nil:
		return err
	case a.Owner != caller:
		return errForbidden
	}
	return nil
}

// rates says how many units of the second currency one unit of the first is worth, as a fraction: tenths of a
// thousandth.
var rates = map[string]int64{"EUR/USD": 10_850, "USD/EUR": 9_217, "EUR/GBP": 8_430, "GBP/EUR": 11_862, "USD/GBP": 7_769, "GBP/USD": 12_871}

const rateUnit = 10_000

// Convert gives what an amount is worth in another currency, rounded down, and the rate as it is recorded: "1.0850".
// The rate is empty when both are the same.
func Convert(amount int64, from, to string) (int64, string, error) {
	if from == to {
		return amount, "", nil
	}
	rate, ok := rates[from+"/"+to]
	if !ok {
		return 0, "", fmt.Errorf("there is no rate from %s to %s", from, to)
	}
	whole, part := amount/rateUnit, amount%rateUnit
	return whole*rate + part*rate/rateUnit, fmt.Sprintf("%d.%04d", rate/rateUnit, rate%rateUnit), nil
}

// notices are the entries of each account since somebody asked for them on this node.
var notices struct {
	mu   sync.Mutex
	wait map[string][]Entry
}

// maxNotices bounds what waits for one account; older ones are dropped, the history still has them.
const maxNotices = 1000

// startNotices subscribes to the table of entries as soon as this node has it, and sorts what it hears by account. The
// store tells of a row when its transaction has been committed, once on every node with a copy.
func startNotices(ctx context.Context, s *store.Store) error {
	sub := s.NewSubscription()
	go func() {
		defer sub.Close()
		for !subscribed(ctx, s, sub) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-sub.Wake():
				events, _ := sub.Drain()
				for _, e := range events {
					notice(e)
				}
			}
		}
	}()
	return nil
}

// subscribed waits for the table; it fails as long as the store is not started or the table not made.
func subscribed(ctx context.Context, s *store.Store, sub *store.Subscription) bool {
	if err := s.WaitForTables(ctx, []string{entryTable}); err != nil {
		return false
	}
	_, err := sub.Subscribe(store.SubscribeTo{What: "table", Table: entryTable})
	return err == nil
}

func notice(ev store.Event) {
	row, ok := ev.What.(term.Tuple)
	if ev.Kind != "write" || !ok {
		return
	}
	e, ok := entryOf(row)
	if !ok {
		return
	}
	notices.mu.Lock()
	defer notices.mu.Unlock()
	if notices.wait == nil {
		notices.wait = map[string][]Entry{}
	}
	list := append(notices.wait[e.Account], e)
	notices.wait[e.Account] = list[max(0, len(list)-maxNotices):]
}

// takeNotices gives what has come for an account, and forgets it.
func takeNotices(id string) []Entry {
	notices.mu.Lock()
	defer notices.mu.Unlock()
	list := notices.wait[id]
	delete(notices.wait, id)
	return list
}
