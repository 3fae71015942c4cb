package transactionhistory

import (
	"fmt"
	"strings"
	"testing"

	"netsplit/kit/history"
)

// TestServed says when a bank does too little of what it is asked.
func TestServed(t *testing.T) {
	const done, refused = `"ok"`, `{"error":"unavailable"}`
	asks := func(at int, node string, amount int, answers ...string) string {
		var s strings.Builder
		for i, a := range answers {
			begin := at + 10*i
			fmt.Fprintf(&s, "%d-%d ada %s withdraw {\"s\":\"ada-1\"} %d {\"s\":\"no. %d\"} => %s\n", begin, begin+5, node, amount, begin, a)
		}
		return s.String()
	}
	for _, c := range []struct{ name, run, want string }{
		{"one of four", asks(0, "a", 5, done, refused, refused, refused), "pass"},
		{"one of five", asks(0, "a", 5, done, refused, refused, refused, refused), "fail: the bank hardly does what it is there for: it did 1 of 5 requests to withdraw"},
		{"too few to tell", asks(0, "a", 5, refused, refused, refused), "pass"},
		{"more than anybody has", asks(0, "a", 1_000_000, refused, refused, refused, refused), "pass"},
		{"a node that was killed", "1 kill b\n" + asks(2, "b", 5, refused, refused, refused, refused), "pass"},
		{"killed meanwhile", asks(0, "b", 5, refused, refused, refused, "?") + "31 kill b\n", "pass"},
		{"killed afterwards", asks(0, "b", 5, refused, refused, refused, refused) + "50 kill b\n", "fail: the bank hardly does"},
		{"another node was killed", "1 kill b\n" + asks(2, "c", 5, refused, refused, refused, refused), "fail: the bank hardly does"},
	} {
		h, err := history.Parse(c.run)
		if err != nil {
			t.Fatalf("%s: %v\n%s", c.name, err, c.run)
		}
		f := (&ledger{}).served(h)
		if got := strings.TrimSuffix(string(f.Verdict)+": "+f.Why, ": "); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
