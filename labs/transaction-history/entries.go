package transactionhistory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// entry is an entry as the program's answers and the table's rows hold it.
type entry struct {
	account     string
	number      int64
	kind        string
	amount      int64
	millis      int64
	description string
	other       string
	rate        string
}

// signed is the amount as it changes the balance.
func (e entry) signed() int64 {
	if e.kind == "withdrawal" || e.kind == "transfer_out" {
		return -e.amount
	}
	return e.amount
}

func (e entry) String() string {
	return fmt.Sprintf("%s no. %d: %s of %d, %q", e.account, e.number, e.kind, e.amount, e.description)
}

func str(t term.Term) string {
	s, _ := t.(term.Bin)
	return string(s)
}

func num(t term.Term) int64 {
	n, _ := t.(term.Int)
	return int64(n)
}

// rowEntry reads a row of the table entry.
func rowEntry(t term.Term) (entry, bool) {
	row, ok := t.(term.Tuple)
	if !ok || len(row) != 8 {
		return entry{}, false
	}
	key, ok := row[1].(term.Tuple)
	if !ok || len(key) != 2 {
		return entry{}, false
	}
	return entry{account: str(key[0]), number: num(key[1]), kind: str(row[2]), amount: num(row[3]), millis: num(row[4]),
		description: str(row[5]), other: str(row[6]), rate: str(row[7])}, true
}

// entriesOf reads the list of entries that a program answered. ok is false for anything else.
func entriesOf(t term.Term) (list []entry, ok bool) {
	l, ok := t.(term.List)
	if !ok {
		return nil, false
	}
	for _, item := range l {
		e, ok := item.(term.Tuple)
		if !ok || len(e) != 8 {
			return nil, false
		}
		list = append(list, entry{account: str(e[0]), number: num(e[1]), kind: str(e[2]), amount: num(e[3]), millis: num(e[4]),
			description: str(e[5]), other: str(e[6]), rate: str(e[7])})
	}
	return list, true
}

// answer gives the term that a request was answered with; nil when it failed.
func answer(o history.Op) term.Term {
	if o.Outcome.Status != "ok" {
		return nil
	}
	t, err := term.FromJSON(o.Outcome.Value)
	if err != nil {
		return nil
	}
	return t
}

// by gives the requests of one client for a verb, in order.
func by(h *history.History, client, verb string) []history.Op {
	return h.Filter(func(o history.Op) bool { return o.Client == client && o.Verb == verb })
}

func outcomeText(o history.Op) string { return grade.AnswerText(o) }

// sameOutcome compares all that a client could see of two answers.
func sameOutcome(a, b history.Op) bool {
	x, err1 := json.Marshal(a.Outcome)
	y, err2 := json.Marshal(b.Outcome)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// wishText shows filters as they are typed: {"type": "deposit"}.
func wishText(wish map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(wish)) {
		parts = append(parts, fmt.Sprintf("%q: %q", name, wish[name]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func clip(s string) string {
	const most = 240
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func numbersOf(list []entry) string {
	var parts []string
	for _, e := range list {
		parts = append(parts, fmt.Sprint(e.number))
	}
	if len(parts) == 0 {
		return "no entries"
	}
	return "entries " + strings.Join(parts, ", ")
}
