package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"netsplit/kit/store"
)

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

func do(t *testing.T, s *store.Store, f func(tx *store.Tx) error) error {
	t.Helper()
	return s.Transaction(context.Background(), f)
}

// state gives the balance and the history of an account.
func state(t *testing.T, s *store.Store, id string) (left int64, list []Entry) {
	t.Helper()
	err := do(t, s, func(tx *store.Tx) error {
		a, err := readAccount(tx, id)
		if err != nil {
			return err
		}
		left = a.Balance
		list, err = History(tx, id, Filter{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return left, list
}

func TestWithdrawIsRecorded(t *testing.T) {
	s := bank(t)
	err := do(t, s, func(tx *store.Tx) error { _, err := Withdraw(tx, "ada", 100, "all of it", noon); return err })
	if err != nil {
		t.Fatal(err)
	}
	left, list := state(t, s, "ada")
	if left != 0 || len(list) != 1 || list[0].Type != TypeWithdrawal || list[0].Amount != 100 || list[0].Description != "all of it" || !list[0].Date.Equal(noon) {
		t.Errorf("balance %d, history %+v", left, list)
	}
}

func TestRefusedIsNotRecorded(t *testing.T) {
	s := bank(t)
	for _, f := range []func(tx *store.Tx) error{
		func(tx *store.Tx) error { _, err := Withdraw(tx, "ada", 101, "too much", noon); return err },
		func(tx *store.Tx) error { _, err := Withdraw(tx, "ada", 0, "nothing", noon); return err },
		func(tx *store.Tx) error { _, err := Withdraw(tx, "ada", -5, "less", noon); return err },
		func(tx *store.Tx) error { return Transfer(tx, "ada", "bo", 101, "too much", noon) },
		func(tx *store.Tx) error { return Transfer(tx, "ada", "nobody", 1, "to whom?", noon) },
		func(tx *store.Tx) error { return Transfer(tx, "ada", "ada", 1, "to myself", noon) },
	} {
		if err := do(t, s, f); err == nil {
			t.Error("it was not refused")
		}
	}
	if left, list := state(t, s, "ada"); left != 100 || len(list) != 0 {
		t.Errorf("balance %d, history %+v", left, list)
	}
}

func TestTransferIsRecordedOnBothSides(t *testing.T) {
	s := bank(t)
	if err := do(t, s, func(tx *store.Tx) error { return Transfer(tx, "ada", "bo", 30, "rent", noon) }); err != nil {
		t.Fatal(err)
	}
	left, out := state(t, s, "ada")
	if left != 70 || len(out) != 1 || out[0].Type != TypeTransferOut || out[0].Amount != 30 || out[0].Other != "bo" || out[0].Number != 1 {
		t.Errorf("ada: balance %d, history %+v", left, out)
	}
	left, in := state(t, s, "bo")
	if left != 80 || len(in) != 1 || in[0].Type != TypeTransferIn || in[0].Amount != 30 || in[0].Other != "ada" || in[0].Description != "rent" {
		t.Errorf("bo: balance %d, history %+v", left, in)
	}
}

func TestNumbersHaveNoGaps(t *testing.T) {
	s := bank(t)
	for range 3 {
		if err := do(t, s, func(tx *store.Tx) error { _, err := Deposit(tx, "ada", 1, "", noon); return err }); err != nil {
			t.Fatal(err)
		}
	}
	_, list := state(t, s, "ada")
	if len(list) != 3 {
		t.Errorf("after three deposits the history has %d entries", len(list))
	}
	for i, e := range list {
		if e.Number != int64(i+1) {
			t.Errorf("entry %d has number %d", i+1, e.Number)
		}
	}
}

func TestFilters(t *testing.T) {
	amount := func(n int64) *int64 { return &n }
	e := Entry{Type: TypeDeposit, Amount: 10, Date: noon}
	for _, c := range []struct {
		name string
		f    Filter
		want bool
	}{
		{"nothing asked", Filter{}, true},
		{"its type", Filter{Type: TypeDeposit}, true},
		{"another type", Filter{Type: TypeWithdrawal}, false},
		{"from its moment", Filter{From: noon}, true},
		{"to its moment", Filter{To: noon}, true},
		{"from later", Filter{From: noon.Add(time.Millisecond)}, false},
		{"to earlier", Filter{To: noon.Add(-time.Millisecond)}, false},
		{"at least its amount", Filter{Min: amount(10)}, true},
		{"at most its amount", Filter{Max: amount(10)}, true},
		{"more", Filter{Min: amount(11)}, false},
		{"less", Filter{Max: amount(9)}, false},
		{"one fits and one does not", Filter{Type: TypeDeposit, Max: amount(9)}, false},
	} {
		if got := c.f.Match(e); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestParseFilter(t *testing.T) {
	f, err := ParseFilter(map[string]string{"to": "2026-03-31"})
	if err != nil || !f.Match(Entry{Date: noon}) || f.Match(Entry{Date: noon.Add(12 * time.Hour)}) {
		t.Errorf("the last day is not in its range, or the next one is: %v %v", f, err)
	}
	f, err = ParseFilter(map[string]string{"min": "9"})
	if err != nil || !f.Match(Entry{Amount: 10}) {
		t.Errorf("10 is less than 9: %v", err)
	}
	for _, wrong := range []map[string]string{
		{"type": "gift"}, {"type": ""}, {"tpye": "deposit"}, {"from": "yesterday"}, {"min": "x"}, {"min": "-1"},
		{"from": "2026-04-01", "to": "2026-03-31"}, {"min": "10", "max": "9"},
	} {
		if _, err := ParseFilter(wrong); err == nil {
			t.Errorf("%v was not refused", wrong)
		}
	}
}

func TestForms(t *testing.T) {
	list := []Entry{
		{Number: 9, Type: TypeDeposit, Amount: 5, Date: noon, Description: "é"},
		{Number: 10, Type: TypeTransferOut, Amount: 12345, Date: noon, Description: "a, \"b\"\nc\x1b[2J"},
		{Number: 11, Type: TypeDeposit, Amount: 7, Date: noon, Description: "=1+1"},
	}
	table := FormatTable(list)
	lines := strings.Split(strings.TrimSuffix(table, "\n"), "\n")
	if len(lines) != 4 || strings.Contains(table, "\x1b") {
		t.Fatalf("the table is not a line an entry, or steers the terminal: %q", table)
	}
	at := strings.Index(lines[0], "amount") + len("amount")
	for i, want := range []string{"5", "12345", "7"} {
		if got := string([]rune(lines[i+1])[:at]); !strings.HasSuffix(got, " "+want) {
			t.Errorf("amount %s does not end under its heading: %q", want, lines[i+1])
		}
	}
	text, err := FormatJSON(list)
	var back []Entry
	if err != nil || json.Unmarshal([]byte(text), &back) != nil || len(back) != 3 || back[1].Description != list[1].Description {
		t.Errorf("JSON does not hold the entries: %v %s", err, text)
	}
	if text, _ := FormatJSON(nil); strings.TrimSpace(text) != "[]" {
		t.Errorf("no entries are %s", text)
	}
	text, err = FormatCSV(list)
	rows, bad := csv.NewReader(bytes.NewBufferString(text)).ReadAll()
	if err != nil || bad != nil || len(rows) != 4 || rows[2][4] != list[1].Description || rows[3][4] != "'=1+1" {
		t.Errorf("CSV does not hold the entries: %v %v %q", err, bad, text)
	}
}
