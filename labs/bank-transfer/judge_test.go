package banktransfer

import (
	"fmt"
	"strings"
	"testing"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// small is a bank with an account of 100 at each branch.
func small() *bank {
	return &bank{accounts: []string{"a-1", "b-1", "c-1"}, start: map[string]int64{"a-1": 100, "b-1": 100, "c-1": 100}}
}

// look writes what a look at the tables answers.
func look(at int, has ...int) string {
	var s strings.Builder
	for i, n := range has {
		b := string(branches[i])
		fmt.Fprintf(&s, "%d-%d grader %s local_contents \"account_%s\" => [{\"t\":[\"account_%s\",\"%s-1\",%d]}]\n", at, at+1, b, b, b, b, n)
	}
	return s.String()
}

// TestJudges holds the checks against runs written by hand.
func TestJudges(t *testing.T) {
	b := small()
	kept, answers, seen, refused := b.kept(b.start), b.answers(b.start), b.seen(b.start), refusals(b.start)
	const move = `1-10 ada c transfer "a-1" "b-1" 30 "ada-1" => 70` + "\n"
	const lost = `1-10 ada c transfer "a-1" "b-1" 30 "ada-1" => ?` + "\n"
	const refusedBy = `1-10 ada c transfer "a-1" "b-1" 30 "ada-1" => {"error":"unavailable"}` + "\n"
	audit := func(at, n, m, k int) string {
		return fmt.Sprintf(`%d-%d olga b audit => [{"t":["a-1",%d]},{"t":["b-1",%d]},{"t":["c-1",%d]}]`+"\n", at, at+2, n, m, k)
	}
	for _, c := range []struct {
		name  string
		judge grade.Judge
		run   string
		want  string // the verdict, and a piece of what is said
	}{
		{"moved", kept, move + look(20, 70, 130, 100), "pass"},
		{"lost", kept, move + look(20, 100, 100, 100), "fail: the transfer ada-1 of 30 from a-1 to b-1 is lost"},
		{"half done", kept, move + look(20, 70, 100, 100), "fail: the transfer ada-1 of 30 from a-1 to b-1 is half done: 30 left a-1 and never arrived at b-1"},
		{"the other half", kept, move + look(20, 100, 130, 100), "fail: the transfer ada-1 of 30 from a-1 to b-1 is half done: 30 arrived at b-1 and never left a-1"},
		{"twice", kept, move + look(20, 40, 160, 100), "fail: the transfer ada-1 of 30 from a-1 to b-1 counted twice"},
		{"refused and done", kept, move + `11-12 bo a transfer "b-1" "c-1" 7 "bo-1" => {"error":"unavailable"}` + "\n" + look(20, 70, 123, 107), "fail: the transfer bo-1 of 7 from b-1 to c-1 was refused and was done all the same"},
		{"refused and half done", kept, move + `11-12 bo a transfer "b-1" "c-1" 7 "bo-1" => {"error":"unavailable"}` + "\n" + look(20, 70, 123, 100), "fail: the transfer bo-1 of 7 from b-1 to c-1 was refused, and 7 left b-1 all the same"},
		{"an account is gone", kept, move + "20-21 grader a local_contents \"account_a\" => []\n" + look(24, 1, 1, 1)[len(look(24, 1)):], "fail: the account a-1 is gone"},
		{"nobody knows, and it was done", kept, lost + `11-12 bo a transfer "b-1" "c-1" 7 "bo-1" => 123` + "\n" + look(20, 70, 123, 107), "pass"},
		{"nobody knows, and it was not", kept, lost + `11-12 bo a transfer "b-1" "c-1" 7 "bo-1" => 93` + "\n" + look(20, 100, 93, 107), "pass"},
		{"nothing was done", kept, refusedBy + look(20, 100, 100, 100), "inconclusive: no transfer was done"},
		{"the answer of one who was alone", answers, move, "pass"},
		{"an answer out of date", answers, move + `11-12 bo a transfer "a-1" "c-1" 5 "bo-1" => 95`, "fail: the transfer ada-1 of 30 from a-1 to b-1 is lost: it was answered before, and the answer to bo-1 is as if it had never been"},
		{"two that collide", answers, `1-10 ada c transfer "a-1" "b-1" 30 "ada-1" => 70` + "\n" + `2-9 bo b transfer "a-1" "c-1" 40 "bo-1" => 60` + "\n" + `11-12 cleo a transfer "a-1" "c-1" 1 "cleo-1" => 69`,
			"fail: money is lost or made: the transfer ada-1 took a-1 from 100 to 70, and the transfer bo-1 took it from 100 to 60, as if the other had not been"},
		{"overdrawn", answers, `1-2 ada c transfer "a-1" "b-1" 130 "ada-1" => -30`, "fail: a-1 was overdrawn"},
		{"seen before", seen, lost + audit(5, 100, 100, 100), "pass"},
		{"seen after", seen, lost + audit(5, 70, 130, 100), "pass"},
		{"half seen", seen, lost + audit(5, 70, 100, 100), "fail: the audit saw half of the transfer ada-1 of 30 from a-1 to b-1: 30 had left a-1 and had not arrived at b-1"},
		{"not seen although answered", seen, move + audit(15, 100, 100, 100), "fail: the audit does not show the transfer ada-1 of 30 from a-1 to b-1, which was answered 5 ms before it was asked for"},
		{"a balance out of date", seen, move + `11-12 ada b balance "b-1" => 100`, "fail: the balance of b-1 does not show the transfer ada-1 of 30 from a-1 to b-1, which was answered 1 ms before"},
		{"a balance at the moment of the answer", seen, move + `10-12 ada b balance "b-1" => 100`, "pass"},
		{"three halves seen", seen, lost + `1-? bo c transfer "b-1" "c-1" 7 "bo-1" => ?` + "\n" + `1-? cleo c transfer "c-1" "a-1" 11 "cleo-1" => ?` + "\n" + audit(5, 70, 93, 89),
			"fail: the audit saw half of the transfer ada-1 of 30 from a-1 to b-1: 30 had left a-1 and had not arrived at b-1 (expected both sides of every transfer or none (2 more were caught halfway): a-1 100, b-1 100, c-1 100; 300 in all accounts)"},
		{"a part of the bank", seen, `1-2 olga b audit => [{"t":["a-1",100]},{"t":["b-1",100]}]`, "fail: the audit on b is of a part of the bank: no account of branch c is in it"},
		{"refused for no reason", refused, `1-2 ada c transfer "a-1" "b-1" 30 "ada-1" => {"aborted":"insufficient_funds"}`, "fail: the transfer ada-1 of 30 was refused although a-1 had 100 at least"},
		{"refused because another may take it", refused, `1-5 bo c transfer "a-1" "c-1" 80 "bo-1" => 20` + "\n" + `2-3 ada c transfer "a-1" "b-1" 30 "ada-1" => {"aborted":"insufficient_funds"}`, "pass"},
		{"asked again", sameAnswer, move + `11-12 ada b transfer "a-1" "b-1" 30 "ada-1" => 40`, "fail: the transfer ada-1 of 30 from a-1 to b-1 was answered 70 by c, and asked for under the same name it was answered 40 by b"},
		{"nothing is broken, so all are answered", allAnswered, refusedBy, "fail: ada's transfer on c ended in an error although no node and no link was broken"},
		{"all is well in the end", recovered, "phase observe\n" + audit(1, 1, 1, 1), "pass"},
		{"it is not", recovered, "phase observe\n1-2 olga c audit => {\"error\":\"unavailable\"}", "fail: 5s after everything was whole again, c does not answer"},
	} {
		h, err := history.Parse(c.run)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		f := c.judge(h)
		got := string(f.Verdict)
		if f.Why != "" {
			got += ": " + f.Why
		}
		if strings.Contains(c.want, "(expected") {
			got += fmt.Sprintf(" (expected %s)", f.Expected)
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestTrouble judges whether those who can do without a node went on, and whether its absence bit.
func TestTrouble(t *testing.T) {
	tr := trouble{bank: small(), how: loud, away: "a", others: []kit.NodeName{"b", "c"}}
	const cut = "10 cut a b loud\n10 cut b a loud\n10 cut a c loud\n10 cut c a loud\n"
	const before = `1-2 ada a transfer "a-1" "b-1" 5 "ada-1" => 95` + "\n"
	const across = `20-30 ada a transfer "a-1" "b-1" 5 "ada-2" => {"error":"unavailable"}` + "\n"
	for _, c := range []struct {
		run       string
		goes, bit bool
	}{
		{before + cut + across + "9000 heal a b\n9001 note traffic:a>b 4", true, true},
		{before + cut + across + `4500-4600 bo b transfer "b-1" "c-1" 5 "bo-1" => 95` + "\n9000 heal a b\n9001 note traffic:a>b 4", true, true},
		{before + cut + `4500-4600 bo b transfer "b-1" "c-1" 5 "bo-1" => {"error":"unavailable"}` + "\n" + `5500-5600 bo b transfer "b-1" "c-1" 5 "bo-2" => {"error":"unavailable"}` + "\n9000 heal a b", false, false},
		{cut + across + "9000 heal a b\n9001 note traffic:a>b 4", true, false},
		{before, true, false},
	} {
		h, err := history.Parse(c.run)
		if err != nil {
			t.Fatal(err)
		}
		if f := tr.goesOn(h); (f.Verdict == grade.Pass) != c.goes {
			t.Errorf("%s\ngoes on: %s %s", c.run, f.Verdict, f.Why)
		}
		if r := tr.receipt(h); r.Bit != c.bit {
			t.Errorf("%s\nbit is %v: %s", c.run, r.Bit, r.Evidence)
		}
	}
}

// TestOpen finds the transfers that have to be asked for again in the end.
func TestOpen(t *testing.T) {
	h, err := history.Parse(`
		1-? ada a transfer "a-1" "b-1" 5 "a1" => ?
		3-4 ada b transfer "a-1" "b-1" 5 "a1" => {"error":"unavailable"}
		5-6 bo b transfer "a-1" "b-1" 7 "b1" => {"error":"unavailable"}
		7-? cleo c transfer "a-1" "b-1" 9 "c1" => ?
		8-9 cleo a transfer "a-1" "b-1" 9 "c1" => 91`)
	if err != nil {
		t.Fatal(err)
	}
	list := readBooks(h).open()
	if len(list) != 1 || list[0].name != "a1" || len(list[0].tries) != 2 {
		t.Errorf("%d transfers are open, want the first alone", len(list))
	}
}
