package serializedwriter

import (
	"fmt"
	"strings"
	"testing"

	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// stocked is a warehouse of which the amounts are known.
func stocked() *warehouse {
	return &warehouse{items: []string{"beds", "bowls", "desks", "jars", "mugs"}, start: map[string]int64{"beds": 100, "bowls": 100, "desks": 100, "jars": 100, "mugs": 1000}}
}

// copies are what three nodes hold in the end.
func copies(beds ...int) string {
	var b strings.Builder
	b.WriteString("\nphase observe")
	for i, n := range beds {
		fmt.Fprintf(&b, "\n%d-%d grader %c local_contents \"stock\" => [{\"t\":[\"stock\",\"beds\",%d]},{\"t\":[\"stock\",\"bowls\",100]},{\"t\":[\"stock\",\"desks\",100]},{\"t\":[\"stock\",\"jars\",100]}]",
			900+i, 950+i, 'a'+i, n)
	}
	return b.String()
}

// crushed is a crush of so many that are let in and so many that are refused after some milliseconds.
func crushed(in, out, after int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "1 note %s true\n2-602 tom a tidy \"mugs\" => 4\n", crushBegins)
	has := 996
	for i := range in {
		has++
		fmt.Fprintf(&b, "100-%d late-%d a change \"mugs\" 1 => %d\n", 610+i, i, has)
	}
	for i := range out {
		fmt.Fprintf(&b, "100-%d late-%d b change \"mugs\" 1 => {\"error\":\"overloaded\"}\n", 100+after, in+i)
	}
	for i := range 3 {
		has++
		fmt.Fprintf(&b, "%d-%d ada a change \"mugs\" 1 => %d\n", 700+10*i, 705+10*i, has)
	}
	return b.String()
}

// TestJudges holds the lab's own checks against runs written by hand.
func TestJudges(t *testing.T) {
	d, r := day{stocked()}, restart{stocked()}
	const kill = `5-6 killer a proc "self" ["exit_signal","p","kill"] => "ok"` + "\n"
	for _, c := range []struct {
		name  string
		judge grade.Judge
		run   string
		want  string // the verdict, and a piece of what is said
	}{
		{"the copies hold what was answered", d.nothingLost, `1-2 ada a change "beds" -30 => 70` + "\n" + `3-4 bo b tidy "beds" => 10` + copies(60, 60, 60), "pass"},
		{"out of stock is an answer", d.nothingLost, `1-2 ada a change "beds" -130 => "out_of_stock"` + copies(100, 100, 100), "pass"},
		{"one is lost", d.nothingLost, `1-9 ada a change "beds" -30 => 70` + "\n" + `2-8 bo b change "beds" -20 => 80` + copies(70, 70, 70),
			"fail: updates of beds are lost or doubled: the copy of a is off by +20 from what was answered. Two requests that overlapped began"},
		{"one is lost beside slow work", d.nothingLost, `1-9 tom a tidy "beds" => 4` + "\n" + `2-8 bo b change "beds" -20 => 80` + copies(96, 96, 96),
			"fail: updates of beds are lost or doubled: the copy of a is off by +20 from what was answered. It is as if bo's change by -20 had not been"},
		{"more is taken than there was", d.nothingLost, `1-3 ada a change "beds" -60 => 40` + "\n" + `4-8 bo b change "beds" -70 => 30` + copies(40, 40, 40),
			"fail: updates of beds are lost or doubled: the copy of a is off by +70 from what was answered. More was taken"},
		{"one copy differs", d.nothingLost, `1-2 ada a change "beds" -30 => 70` + copies(70, 70, 100), "fail: updates of beds are lost or doubled: the copy of c is off by +30"},
		{"a copy cannot be read", d.nothingLost, copies(100, 100), "inconclusive"},
		{"nothing is broken, so all are served", d.nothingLost, `1-2 ada a change "beds" -30 => {"error":"overloaded"}` + copies(100, 100, 100), "fail: a request was not answered"},
		{"an old copy was read", d.inOrder, `1-2 ada a change "beds" -30 => 70` + "\n" + `3-4 ada b amount "beds" => 100`, "fail: ada's"},
		{"the rush is over in time", d.quick, "1 note the-rush-begins true\n" + `2-900 ada a change "beds" 1 => 101` + "\n1000 note the-crush-begins true", "pass"},
		{"it is not", d.quick, "1 note the-rush-begins true\n" + `2-1900 ada a change "beds" 1 => 101` + "\n2000 note the-crush-begins true", "fail: 12 clients asked"},
		{"room for twenty", d.full, crushed(20, 28, 40), "pass"},
		{"a few more", d.full, crushed(23, 25, 40), "pass"},
		{"room for all", d.full, crushed(48, 0, 40), "fail: 48 requests were let in"},
		{"room for few", d.full, crushed(5, 43, 40), "fail: only 5 requests were let in"},
		{"refused late", d.full, crushed(20, 28, 400), "fail: a request that found no room was told so only after 400ms"},
		{"nobody has the name", found, strings.Repeat("1-2 killer a whereis \"writer\" => \"undefined\"\n", 20), "fail: no process on any node"},
		{"it comes back late", found, "1-2 killer a whereis \"writer\" => {\"pid\":\"p\"}\n" + kill + strings.Repeat("7-8 killer a whereis \"writer\" => \"undefined\"\n", 5), "pass"},
		{"it stays away", found, kill + strings.Repeat("7-8 killer a whereis \"writer\" => \"undefined\"\n", 20), "fail: when the writer had been killed once, no process had its name"},
		{"all is well in the end", recovered, "phase observe\n" + `1-2 ada a change "beds" -5 => 95`, "pass"},
		{"a node does not answer", recovered, "phase observe\n" + `1-2 ada c amount "beds" => {"error":"unavailable"}`, "fail: more than 5s after the writer was killed for the last time, c does not answer"},
		{"a refusal that was done", r.oneOrder, `1-2 ada a change "beds" -30 => {"error":"unavailable"}` + "\n" + `3-4 ada b amount "beds" => 70`, "fail: ada's"},
		{"one of which nobody knows", r.oneOrder, `1-2 ada a change "beds" -30 => {"error":"unknown"}` + "\n" + `3-4 ada b amount "beds" => 70`, "pass"},
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
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestReceipts says when the kills have bitten.
func TestReceipts(t *testing.T) {
	const kill = `5-6 killer a proc "self" ["exit_signal","p","kill"] => "ok"`
	for run, want := range map[string]bool{
		kill + "\n" + `1-9 ada a change "beds" 1 => {"error":"unknown"}`: true,
		kill + "\n" + `1-2 ada a change "beds" 1 => 101`:                 false, // nobody was waiting
		`1-9 ada a change "beds" 1 => {"error":"unknown"}`:               false, // nobody was killed
	} {
		h, err := history.Parse(run)
		if err != nil {
			t.Fatal(err)
		}
		if r := receipt(h); r.Bit != want {
			t.Errorf("%s\nbit is %v: %s", run, r.Bit, r.Evidence)
		}
	}
}
