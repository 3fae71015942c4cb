package transactionhistory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"netsplit/kit"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// desk is the quiet run: some entries are made, and then everything is asked that a counter clerk could ask.
type desk struct {
	r        *rand.Rand
	accounts []account // the first is the one that is asked about; the third has another currency
}

func newDesk(seed uint64) lab.Plan {
	r := rand.New(rand.NewPCG(seed, 4))
	d := &desk{r: r, accounts: drawAccounts(r, "EUR", "EUR", "USD")}
	return lab.Plan{
		Setup: func(ctx context.Context, w *lab.World) error {
			if err := setup(ctx, w, d.accounts); err != nil {
				return err
			}
			return w.Sleep(ctx, time.Second) // whoever subscribes to the tables has done so by then
		},
		Drive: d.drive,
		Checks: []lab.Check{
			{Task: "filter", Judge: filtered},
			{Task: "filter", Judge: refusedFilters},
			{Task: "forms", Judge: formed},
			{Task: "sorting", Judge: sortedRight},
			{Task: "pages", Judge: d.paged},
			{Task: "access", Judge: accessed},
			{Task: "currencies", Judge: d.converted},
			{Task: "notices", Judge: d.noticed},
		},
	}
}

// trickyWords are descriptions that customers think of.
var trickyWords = []string{"rent", "a, b and c", `the "best" tea`, "two\nlines", "=1+1", "-5 off", "@home", "caffè e tè", "\x1b[2Jgone", "'quoted'", "", "x;y\tz"}

func (d *desk) me() term.Term { return term.Bin(d.accounts[0].id) }

func empty() term.Term { return term.MakeMap() }

func wishes(kv ...string) term.Term {
	var pairs []term.Pair
	for i := 0; i+1 < len(kv); i += 2 {
		pairs = append(pairs, term.Pair{Key: term.Bin(kv[i]), Value: term.Bin(kv[i+1])})
	}
	return term.MakeMap(pairs...)
}

func (d *desk) drive(ctx context.Context, w *lab.World) error {
	for _, step := range []func(context.Context, *lab.World) error{d.makeEntries, d.askFilters, d.askForms, d.askOrders, d.turnPages, d.askAccess, d.changeMoney, d.listen} {
		if err := step(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// makeEntries leaves a dozen entries and a half in the first account's history, and one that is refused.
func (d *desk) makeEntries(ctx context.Context, w *lab.World) error {
	other := term.Bin(d.accounts[1].id)
	for i, k := range d.r.Perm(len(trickyWords) + 6) {
		words := fmt.Sprintf("plain %d", i)
		if k < len(trickyWords) {
			words = trickyWords[k]
		}
		amount, why := term.Int(1+d.r.Int64N(120)), term.Bin(words)
		node := w.Nodes()[d.r.IntN(2)]
		switch d.r.IntN(4) {
		case 0:
			w.Do(ctx, "teller", node, "withdraw", d.me(), amount, why)
		case 1:
			w.Do(ctx, "teller", node, "transfer", d.me(), other, amount, why)
		case 2:
			w.Do(ctx, "teller", node, "transfer", other, d.me(), amount, why)
		default:
			w.Do(ctx, "teller", node, "deposit", d.me(), amount, why)
		}
		if err := w.Sleep(ctx, time.Duration(d.r.IntN(3)*7)*time.Millisecond); err != nil {
			return err
		}
	}
	w.Do(ctx, "teller", "a", "withdraw", d.me(), term.Int(1<<40), term.Bin("more than there is"))
	w.Do(ctx, reader, "a", "history", term.Bin("bank"), d.me(), empty())
	return ctx.Err()
}

// base gives the history as the program answers it without a filter.
func base(w *lab.World) []entry {
	ops := by(w.History(), reader, "history")
	if len(ops) == 0 {
		return nil
	}
	list, _ := entriesOf(answer(ops[0]))
	return list
}

func moment(millis int64) string { return time.UnixMilli(millis).UTC().Format(time.RFC3339Nano) }
func day(millis int64) string    { return time.UnixMilli(millis).UTC().Format(time.DateOnly) }

// askFilters takes the ends of ranges from entries that are there, because mistakes live at the ends.
func (d *desk) askFilters(ctx context.Context, w *lab.World) error {
	list := base(w)
	ask := func(kv ...string) { w.Do(ctx, filterer, "b", "history", term.Bin("bank"), d.me(), wishes(kv...)) }
	for _, kind := range []string{"deposit", "withdrawal", "transfer_in", "transfer_out"} {
		ask("type", kind)
	}
	if len(list) > 1 {
		pick := func() entry { return list[d.r.IntN(len(list))] }
		lo, hi := order(pick().millis, pick().millis)
		small, large := order(pick().amount, pick().amount)
		ask("from", moment(lo))
		ask("to", moment(hi))
		ask("from", moment(lo), "to", moment(hi))
		ask("to", day(lo))
		ask("from", day(hi))
		ask("from", day(lo), "to", day(lo))
		ask("min", strconv.FormatInt(small, 10))
		ask("max", strconv.FormatInt(large, 10))
		ask("min", strconv.FormatInt(small, 10), "max", strconv.FormatInt(large, 10), "type", pick().kind)
		ask("min", strconv.FormatInt(large+1, 10))
	}
	fake := func(kv ...string) { w.Do(ctx, faker, "b", "history", term.Bin("bank"), d.me(), wishes(kv...)) }
	fake("type", "gift")
	fake("tpye", "deposit")
	fake("from", "yesterday")
	fake("to", "2026-13-01")
	fake("min", "ten")
	fake("max", "-1")
	fake("from", "2026-02-02", "to", "2026-02-01")
	fake("min", "10", "max", "9")
	return ctx.Err()
}

func order(a, b int64) (lo, hi int64) { return min(a, b), max(a, b) }

func (d *desk) askForms(ctx context.Context, w *lab.World) error {
	for _, form := range []string{"table", "json", "csv"} {
		w.Do(ctx, printer, "a", "statement", term.Bin("bank"), d.me(), empty(), term.Bin(form))
		w.Do(ctx, printer, "a", "statement", term.Bin("bank"), d.me(), wishes("min", "1000000000"), term.Bin(form))
	}
	return ctx.Err()
}

var orders = []string{"number", "-number", "date", "-date", "amount", "-amount", ""}

func (d *desk) page(ctx context.Context, w *lab.World, client, by, cursor string, size int) (next string, ok bool) {
	out := w.Do(ctx, client, "a", "page", term.Bin("bank"), d.me(), empty(), term.Bin(by), term.Bin(cursor), term.Int(size))
	t, err := out.Term()
	pair, isPair := t.(term.Tuple)
	if err != nil || !isPair || len(pair) != 2 {
		return "", false
	}
	return str(pair[1]), true
}

func (d *desk) askOrders(ctx context.Context, w *lab.World) error {
	for _, by := range orders {
		d.page(ctx, w, sorter, by, "", 1000)
	}
	d.page(ctx, w, sorter+"-fake", "colour", "", 1000)
	return ctx.Err()
}

// turnPages goes through the newest entries first, while new ones are made.
func (d *desk) turnPages(ctx context.Context, w *lab.World) error {
	cursor, ok := "", false
	const most = 40
	for i := range most {
		if cursor, ok = d.page(ctx, w, pager, "-number", cursor, 4); !ok || cursor == "" {
			break
		}
		if i < 3 {
			w.Do(ctx, "teller", "b", "deposit", d.me(), term.Int(3), term.Bin(fmt.Sprintf("between pages %d", i)))
		}
	}
	for _, wrong := range []struct {
		cursor string
		size   int
	}{{"", 0}, {"", 1001}, {"no-such-cursor", 4}} {
		d.page(ctx, w, pager+"-fake", "number", wrong.cursor, wrong.size)
	}
	return ctx.Err()
}

func (d *desk) askAccess(ctx context.Context, w *lab.World) error {
	ask := func(caller, id string) {
		w.Do(ctx, stranger, "a", "history", term.Bin(caller), term.Bin(id), empty())
	}
	me, other := d.accounts[0], d.accounts[1]
	ask(me.owner, me.id)       // the owner: allowed
	ask("bank", me.id)         // the bank: allowed
	ask(other.owner, me.id)    // somebody else
	ask(other.owner, "no-one") // somebody else, and no such account
	ask("bank", "no-one")      // the bank, and no such account
	w.Do(ctx, stranger, "a", "statement", term.Bin(other.owner), term.Bin(me.id), empty(), term.Bin("json"))
	w.Do(ctx, stranger, "a", "notifications", term.Bin(other.owner), term.Bin(me.id))
	return ctx.Err()
}

// changeMoney moves money between currencies: amounts whose conversion has to be rounded.
func (d *desk) changeMoney(ctx context.Context, w *lab.World) error {
	me, dollars := d.accounts[0].id, d.accounts[2].id
	for i, amount := range []int64{1, 99, 1 + d.r.Int64N(500)} {
		w.Do(ctx, changer, "a", "transfer", term.Bin(me), term.Bin(dollars), term.Int(amount), term.Bin(fmt.Sprintf("to dollars %d", i)))
		w.Do(ctx, changer, "b", "transfer", term.Bin(dollars), term.Bin(me), term.Int(amount), term.Bin(fmt.Sprintf("to euros %d", i)))
	}
	w.Do(ctx, changer, "a", "open", term.Bin("yen-1"), term.Bin("yuki"), term.Bin("JPY"), term.Int(100_000))
	w.Do(ctx, changer, "a", "transfer", term.Bin("yen-1"), term.Bin(me), term.Int(100), term.Bin("no rate"))
	for _, id := range []string{me, dollars} {
		w.Do(ctx, changer, "a", "history", term.Bin("bank"), term.Bin(id), empty())
	}
	return ctx.Err()
}

// listen asks both nodes what they were told: everything since the beginning, once, and then nothing.
func (d *desk) listen(ctx context.Context, w *lab.World) error {
	if err := w.Sleep(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	w.Do(ctx, listener, "a", "history", term.Bin("bank"), d.me(), empty())
	for _, n := range []kit.NodeName{"a", "b"} {
		w.Do(ctx, listener, n, "notifications", term.Bin(d.accounts[0].owner), d.me())
		w.Do(ctx, listener, n, "notifications", term.Bin(d.accounts[0].owner), d.me())
	}
	return ctx.Err()
}
